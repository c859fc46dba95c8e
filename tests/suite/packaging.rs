//! The actions and workflows: what they promise each other, and what their READMEs say about them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value};
use shipkit_tests::rewrite::{Form, Reader, files, is_ours};

const BINARIES: [&str; 4] = ["build-tag", "image-scan", "deploy-promote", "smoke-test"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn value(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::String(text)) => Value::String(text.to_string()),
        Yaml::Value(Scalar::Boolean(yes)) => Value::Bool(*yes),
        Yaml::Value(Scalar::Integer(number)) => Value::from(*number),
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Sequence(items) => items.iter().map(value).collect(),
        Yaml::Mapping(entries) => Value::Object(
            entries.iter().map(|(key, entry)| (key.as_str().unwrap().to_owned(), value(entry))).collect(),
        ),
        other @ (Yaml::Value(Scalar::FloatingPoint(_))
        | Yaml::Representation(..)
        | Yaml::Tagged(..)
        | Yaml::Alias(_)
        | Yaml::BadValue) => {
            panic!("an unexpected node {other:?}")
        }
    }
}

fn yaml(path: &str) -> Value {
    value(&Yaml::load_from_str(&text(path)).unwrap()[0])
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn keys(value: &Value) -> BTreeSet<String> {
    object(value).keys().cloned().collect()
}

/// Every YAML file of ours: the actions first, then the workflows.
fn ours() -> Vec<String> {
    let found: Vec<_> = files(&root()).unwrap().into_iter().filter(|path| is_ours(path)).collect();
    assert!(8 < found.len(), "{found:?}");
    found
}

/// All steps of an action or of the jobs of a workflow.
fn steps(file: &Value) -> Vec<Value> {
    let of = |holder: &Value| holder["steps"].as_array().cloned().unwrap_or_default();
    let mut all = of(&file["runs"]);
    object(&file["jobs"]).values().for_each(|job| all.extend(of(job)));
    all
}

/// A file with our own references in it: the path in the tree of each step that runs one of our actions.
fn own_uses(file: &Value) -> Vec<(String, Value)> {
    let own = |step: Value| {
        let path = step["uses"].as_str()?.strip_prefix("$/")?.to_owned();
        Some((path, step))
    };
    steps(file).into_iter().filter_map(own).collect()
}

#[test]
fn every_container_action_runs_its_own_program_by_digest_without_arguments() {
    for name in BINARIES {
        let runs = &yaml(&format!("actions/{name}/action.yml"))["runs"];
        assert_eq!(keys(runs), ["entrypoint", "image", "using"].map(str::to_owned).into(), "{name}");
        assert_eq!(runs["entrypoint"], format!("/{name}"));
        let digest =
            runs["image"].as_str().unwrap().strip_prefix("docker://ghcr.io/org/shipkit@sha256:").unwrap();
        assert!(
            digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{name}: {digest}"
        );
    }
}

#[test]
fn one_digest_is_named_in_the_whole_tree() {
    let named = |path: &String| -> Vec<String> {
        text(path).split("org/shipkit@sha256:").skip(1).map(|rest| rest.chars().take(64).collect()).collect()
    };
    let digests: Vec<_> = ours().iter().flat_map(named).collect();
    assert_eq!(digests.len(), 5, "four container actions and setup");
    assert_eq!(digests.into_iter().collect::<BTreeSet<_>>().len(), 1);
}

#[test]
fn a_container_action_has_no_default_but_the_job_token() {
    for name in BINARIES {
        for (input, declared) in object(&yaml(&format!("actions/{name}/action.yml"))["inputs"]) {
            let is_token = input == "token" || input == "github-token";
            let allowed = is_token && declared["default"] == "${{ github.token }}";
            assert!(declared["default"].is_null() || allowed, "{name}: {input}");
        }
    }
}

#[test]
fn every_action_tells_verdict_and_cause_first() {
    for path in ours().iter().filter(|path| path.ends_with("action.yml") && !path.starts_with("setup/")) {
        let outputs: Vec<_> = object(&yaml(path)["outputs"]).keys().take(2).cloned().collect();
        assert_eq!(outputs, ["verdict", "cause"], "{path}");
    }
}

#[test]
fn a_composite_puts_out_exactly_these() {
    let outputs = |path: &str| object(&yaml(path)["outputs"]).keys().cloned().collect::<Vec<_>>();
    assert_eq!(outputs("deploy/action.yml"), ["verdict", "cause", "url", "digests", "previous", "timings"]);
    assert_eq!(outputs("setup/action.yml"), ["path"]);
}

#[test]
fn what_is_passed_to_a_neighbour_is_one_of_its_inputs_and_none_that_it_requires_is_missing() {
    let mut seen = 0;
    for path in ours() {
        for (target, step) in own_uses(&yaml(&path)) {
            let inputs = yaml(&format!("{target}/action.yml"))["inputs"].clone();
            let given = keys(&step["with"]);
            assert!(
                given.is_subset(&keys(&inputs)),
                "{path}: {target}: {:?}",
                given.difference(&keys(&inputs))
            );
            for (input, _) in object(&inputs).iter().filter(|(_, declared)| declared["required"] == true) {
                assert!(given.contains(input), "{path}: {target}: {input} is required");
            }
            seen += 1;
        }
    }
    assert!(10 < seen, "only {seen} steps use an action of ours");
}

/// The text of `ship.yml` as `ship-oidc.yml` has it: whoever deploys may ask GitHub for an identity token as well.
fn with_identity(ship: &str) -> String {
    const PERMISSION: &str = "      deployments: write # The deployment record.\n";
    let (head, jobs) = ship.split_once("\nname: ship\n").unwrap();
    let from = head.find("# Where tokens for a cluster").unwrap();
    let (before, after) = head.split_at(from);
    let after = after.split_once('\n').unwrap().1;
    let head = before
        .replace("/ship.yml@v1", "/ship-oidc.yml@v1")
        .replace("deployments: write}", "deployments: write, id-token: write}")
        .replace("these three permissions", "these four permissions");
    let first = "# Written from ship.yml by UPDATE=1 cargo test: the same, with `id-token: write` for the jobs that deploy.\n#\n";
    let identity = "      id-token: write # The identity of the job, for the cloud of a cluster.\n";
    let jobs = jobs.replace(PERMISSION, &format!("{PERMISSION}{identity}"));
    format!("{first}{head}{after}\nname: ship-oidc\n{jobs}")
}

#[test]
fn ship_oidc_is_ship_with_one_more_permission_for_deploys() {
    let (path, wanted) =
        (".github/workflows/ship-oidc.yml", with_identity(&text(".github/workflows/ship.yml")));
    if env::var_os("UPDATE").is_some() {
        fs::write(root().join(path), &wanted).unwrap();
    }
    assert_eq!(text(path), wanted, "{path}: run UPDATE=1 cargo test -p shipkit-tests --test packaging");
    let (mut oidc, ship) = (yaml(path), yaml(".github/workflows/ship.yml"));
    assert!(wanted.contains("ship-oidc.yml@v1") && wanted.contains("deployments: write, id-token: write}"));
    for (name, job) in oidc["jobs"].as_object_mut().unwrap() {
        let identity = job["permissions"].as_object_mut().unwrap().remove("id-token");
        assert_eq!(identity.is_some(), name.starts_with("deploy-"), "{name}");
    }
    assert_eq!((&oidc["jobs"], &oidc["on"]), (&ship["jobs"], &ship["on"]));
}

/// The names behind `prefix` in every expression of the text, such as `needs.build.outputs.`.
fn mentioned(text: &str, prefix: &str) -> BTreeSet<String> {
    let in_name = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.split(prefix).skip(1).map(|rest| rest.chars().take_while(in_name).collect()).collect()
}

#[test]
fn every_output_that_is_read_is_one_that_the_step_or_job_declares() {
    for path in [".github/workflows/ship.yml", "deploy/action.yml"] {
        let (file, text) = (yaml(path), text(path));
        for (target, step) in own_uses(&file) {
            let Some(id) = step["id"].as_str() else { continue };
            let declared = keys(&yaml(&format!("{target}/action.yml"))["outputs"]);
            let read = mentioned(&text, &format!("steps.{id}.outputs."));
            assert!(
                !read.is_empty() && read.is_subset(&declared),
                "{path}: {id}: {:?}",
                read.difference(&declared)
            );
        }
        let declared = keys(&file["jobs"]["build"]["outputs"]);
        let read = mentioned(&text, "needs.build.outputs.");
        assert!(read.is_subset(&declared), "{path}: {:?}", read.difference(&declared));
    }
}

#[test]
fn no_expression_reaches_a_shell_and_a_run_is_one_line() {
    for path in ours() {
        for step in steps(&yaml(&path)) {
            let run = step["run"].as_str().unwrap_or_default().trim_end();
            assert!(!run.contains("${{") && !run.contains('\n'), "{path}: {run}");
            assert!(!run.contains("GITHUB_ENV") && !run.contains("GITHUB_PATH"), "{path}: {run}");
        }
    }
}

#[test]
fn what_is_not_ours_is_checkout_by_commit_without_credentials() {
    for path in ours() {
        for step in steps(&yaml(&path)) {
            let Some(uses) = step["uses"].as_str().filter(|uses| !uses.starts_with("$/")) else { continue };
            let commit = uses.strip_prefix("actions/checkout@").unwrap_or_else(|| panic!("{path}: {uses}"));
            assert!(
                commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{path}: {uses}"
            );
            assert_eq!(step["with"]["persist-credentials"], false, "{path}");
        }
    }
}

#[test]
fn every_workflow_starts_without_permissions_and_every_job_states_its_own_and_its_time_limit() {
    for path in ours().iter().filter(|path| path.starts_with(".github/")) {
        let file = yaml(path);
        assert_eq!(file["permissions"], Value::Object(Map::new()), "{path}");
        for (name, job) in object(&file["jobs"]) {
            assert!(job["timeout-minutes"].is_i64() || job["timeout-minutes"].is_u64(), "{path}: {name}");
            assert!(job["permissions"].is_object(), "{path}: {name}");
        }
    }
}

#[test]
fn the_example_allows_exactly_the_permissions_that_ship_asks_for() {
    let jobs = object(&yaml(".github/workflows/ship.yml")["jobs"]);
    let mut asked = Map::new();
    for (scope, access) in jobs.values().flat_map(|job| object(&job["permissions"])) {
        if access == "write" || !asked.contains_key(&scope) {
            asked.insert(scope, access);
        }
    }
    assert_eq!(
        yaml("examples/shop/.github/workflows/ship.yml")["jobs"]["ship"]["permissions"],
        Value::Object(asked)
    );
}

#[test]
fn ship_goes_from_test_and_build_through_publish_to_four_slots_in_order() {
    let jobs = yaml(".github/workflows/ship.yml")["jobs"].clone();
    let needs = |job: &str| jobs[job]["needs"].clone();
    assert_eq!((needs("test"), needs("shard")), (Value::Null, Value::Null));
    assert_eq!(needs("build"), Value::from(vec!["shard"]));
    assert_eq!(needs("publish"), Value::from(vec!["test", "build"]));
    // GitHub skips what comes after a skipped job, however far, unless its condition asks how the run stands.
    for job in ["build", "publish"] {
        assert!(jobs[job]["if"].as_str().unwrap().contains("!failure()"), "{job}");
    }
    for slot in 1..=4 {
        let earlier = (1..slot).map(|before| format!("deploy-{before}"));
        let wanted: Vec<_> = ["build", "publish"].map(str::to_owned).into_iter().chain(earlier).collect();
        assert_eq!(needs(&format!("deploy-{slot}")), Value::from(wanted));
    }
    assert_eq!(object(&jobs).len(), 8);
}

#[test]
fn a_shard_builds_its_platform_as_the_job_build_builds_the_rest() {
    let steps = |job: &str| {
        let steps = yaml(".github/workflows/ship.yml")["jobs"][job]["steps"].as_array().unwrap().clone();
        let of_release = |step: &Value| step["id"] == "release" || step["name"] == "scan";
        steps.into_iter().filter(|step| !of_release(step)).collect::<Vec<_>>()
    };
    let mut shard = steps("shard");
    let plan = shard.iter_mut().find(|step| step["id"] == "plan").unwrap();
    assert_eq!(
        plan["with"].as_object_mut().unwrap().remove("shard").unwrap(),
        "${{ matrix.shard.platform }}"
    );
    assert_eq!(shard, steps("build"));
}

#[test]
fn the_slots_differ_in_their_number_and_in_nothing_else() {
    let text = text(".github/workflows/ship.yml");
    let slot = |number: usize| {
        let (_, from) = text.split_once(&format!("\n  deploy-{number}:")).unwrap();
        let body = from.split(&format!("\n  deploy-{}:", number + 1)).next().unwrap();
        let lines = body.trim_end().lines().filter(|line| !line.contains("needs: ["));
        lines.map(|line| line.replace(&format!("-{number}"), "-N")).collect::<Vec<_>>().join("\n")
    };
    for number in 2..=4 {
        assert_eq!(slot(number), slot(1));
    }
}

#[test]
fn a_deploy_is_never_cancelled_by_the_next_and_leaves_the_record_to_us() {
    for slot in 1..=4 {
        let job = yaml(".github/workflows/ship.yml")["jobs"][format!("deploy-{slot}")].clone();
        assert_eq!(job["concurrency"]["cancel-in-progress"], false);
        assert!(
            job["concurrency"]["group"]
                .as_str()
                .unwrap()
                .starts_with("shipkit-${{ needs.build.outputs.environment-")
        );
        assert_eq!(job["environment"]["deployment"], false);
        assert!(job["if"].as_str().unwrap().contains("!failure()"));
    }
}

#[test]
fn ship_inspects_the_builder_before_it_plans_and_starts_one_only_if_the_plan_says_so() {
    let build = yaml(".github/workflows/ship.yml")["jobs"]["build"]["steps"].as_array().unwrap().clone();
    let at = |fits: &dyn Fn(&Value) -> bool| build.iter().position(fits).unwrap();
    let inspect = at(&|step| {
        step["run"].as_str().is_some_and(|run| run.contains("buildx inspect > .shipkit/builder.txt"))
    });
    let plan = at(&|step| step["id"] == "plan");
    let start = at(&|step| step["name"] == "start a builder");
    let bake = at(&|step| step["run"].as_str().is_some_and(|run| run.contains(".shipkit/build.sh")));
    assert!(inspect < plan && plan < start && start < bake);
    assert!(
        build[inspect]["run"].as_str().unwrap().ends_with("|| true"),
        "a runner without buildx can still plan"
    );
    assert!(build[start]["if"].as_str().unwrap().contains("steps.plan.outputs.builder == 'container'"));
    for step in [start, bake] {
        assert!(build[step]["if"].as_str().unwrap().contains("steps.plan.outputs.services != '[]'"));
    }
    // What is pushed, and how, stands in the bake file.
    assert!(!build[bake]["run"].as_str().unwrap().contains("--push"));
}

#[test]
fn a_rewritten_tree_names_no_neighbour_by_a_dollar_and_nothing_by_a_branch() {
    let out = tempfile::tempdir().unwrap();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let form = Form { reference: commit.to_owned(), image: None, reader: Reader::GitHub };
    form.copy(&root(), out.path()).unwrap();
    for path in ours() {
        let text = fs::read_to_string(out.path().join(&path)).unwrap();
        for line in text.lines().filter(|line| line.contains("uses:")) {
            assert!(
                !["$/", "@main", "@master", "@dev"].iter().any(|word| line.contains(word)),
                "{path}: {line}"
            );
        }
    }
    let deploy = fs::read_to_string(out.path().join("deploy/action.yml")).unwrap();
    assert!(deploy.contains(&format!("uses: org/shipkit/actions/deploy-promote@{commit}\n")));
    let ship = fs::read_to_string(out.path().join(".github/workflows/ship.yml")).unwrap();
    assert_eq!(ship.matches("deployment: false").count(), 4 + 1, "four slots and the comment");
    let again = form.copy(&root(), out.path()).unwrap_err();
    assert!(again.to_string().ends_with("is not empty"), "{again}");
}

#[test]
fn the_tree_for_act_runs_the_given_image_and_knows_no_deployment_key() {
    let out = tempfile::tempdir().unwrap();
    let form =
        Form { reference: "dev".to_owned(), image: Some("shipkit:dev".to_owned()), reader: Reader::Act };
    form.copy(&root(), out.path()).unwrap();
    for path in ours() {
        let text = fs::read_to_string(out.path().join(&path)).unwrap();
        assert!(!text.contains("ghcr.io/org/shipkit@"), "{path}");
        assert!(!text.lines().any(|line| line.trim() == "deployment: false"), "{path}");
    }
    assert!(
        fs::read_to_string(out.path().join("actions/build-tag/action.yml"))
            .unwrap()
            .contains("image: docker://shipkit:dev\n")
    );
}

/// The tables of inputs and outputs of an action, as its README shows them.
fn tables(action: &Value) -> String {
    let cell = |value: &Value| value.as_str().unwrap_or_default().replace('|', "\\|");
    let mut lines = vec!["| input | | |".to_owned(), "|---|---|---|".to_owned()];
    for (name, input) in object(&action["inputs"]) {
        let must = match (input["required"] == true, input["default"].as_str()) {
            (true, _) => "required".to_owned(),
            (false, Some(default)) => format!("default `{default}`"),
            (false, None) => String::new(),
        };
        lines.push(format!("| `{name}` | {must} | {} |", cell(&input["description"])));
    }
    lines.extend([String::new(), "| output | |".to_owned(), "|---|---|".to_owned()]);
    for (name, output) in object(&action["outputs"]) {
        lines.push(format!("| `{name}` | {} |", cell(&output["description"])));
    }
    lines.join("\n")
}

#[test]
fn every_readme_shows_the_inputs_and_outputs_of_its_action() {
    const START: &str = "<!-- inputs and outputs, written by UPDATE=1 cargo test -->\n";
    const END: &str = "\n<!-- end -->";
    for folder in BINARIES
        .map(|name| format!("actions/{name}"))
        .into_iter()
        .chain(["deploy".to_owned(), "setup".to_owned()])
    {
        let path = format!("{folder}/README.md");
        let readme = text(&path);
        let (before, rest) = readme.split_once(START).unwrap_or_else(|| panic!("{path} lacks the markers"));
        let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("{path} lacks the end marker"));
        let wanted = format!("{before}{START}{}{END}{after}", tables(&yaml(&format!("{folder}/action.yml"))));
        if env::var_os("UPDATE").is_some() {
            fs::write(root().join(&path), wanted).unwrap();
        } else {
            assert_eq!(readme, wanted, "{path}: run UPDATE=1 cargo test -p shipkit-tests --test packaging");
        }
    }
}

/// The text of all source files of a binary.
fn sources(name: &str) -> String {
    let folder = format!("crates/{name}/src/");
    // A fixture beside them need not be text.
    let is_source = |path: &&String| {
        path.starts_with(&folder) && Path::new(path).extension().is_some_and(|extension| extension == "rs")
    };
    files(&root()).unwrap().iter().filter(is_source).map(|path| text(path)).collect()
}

#[test]
fn every_input_is_an_option_of_the_program() {
    for name in BINARIES {
        let args = text(&format!("crates/{name}/src/args.rs"));
        for input in keys(&yaml(&format!("actions/{name}/action.yml"))["inputs"]) {
            let as_field = format!("pub {}:", input.replace('-', "_"));
            let as_word = format!("long = \"{input}\"");
            assert!(args.contains(&as_field) || args.contains(&as_word), "{name}: {input}");
        }
    }
}

#[test]
fn every_output_is_written_by_the_program() {
    for name in BINARIES {
        let sources = sources(name);
        for output in keys(&yaml(&format!("actions/{name}/action.yml"))["outputs"]) {
            // `shipkit_runner::run` writes these two for every program.
            let by_runner = output == "verdict" || output == "cause";
            assert!(by_runner || sources.contains(&format!("\"{output}\"")), "{name}: {output}");
        }
    }
}
