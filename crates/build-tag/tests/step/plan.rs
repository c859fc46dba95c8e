//! `build-tag plan`.

use serde_json::{Value, json};

use crate::project::{COMMIT, CONFIG, ONE_ENVIRONMENT, Project, push};

/// What a plan of [`CONFIG`] says about this event: push, version, permanent and moving tags, environments.
#[track_caller]
fn check(name: &str, event: &Value, expected: &str) {
    let project = Project::new(CONFIG);
    let done = project.plan(name, event, &[]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let plan = project.json("plan.json");
    let list = |paths: [&str; 2]| {
        let tags = paths.iter().filter_map(|path| plan.pointer(path).and_then(Value::as_array));
        tags.flatten().map(|tag| tag.as_str().unwrap()).collect::<Vec<_>>().join(" ")
    };
    let found = format!(
        "push={} version={} permanent={} moving={} environments={}",
        done.output("push"),
        done.output("version"),
        list(["/tags/permanent", "/tags/version/permanent"]),
        list(["/tags/moving", "/tags/version/channels"]),
        done.output("environments"),
    );
    assert_eq!(found, expected.replace("SHA", &format!("sha-{COMMIT}")));
    assert_eq!(plan["commit"], COMMIT);
    assert_eq!(done.output("commit"), COMMIT);
}

const MERGE: &str = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";

fn repository() -> Value {
    json!({"full_name": "Acme/Shop", "default_branch": "main"})
}

#[test]
fn a_push_to_the_default_branch_reaches_staging() {
    check(
        "push",
        &push("refs/heads/main"),
        "push=true version=0.0.0-main.g0123456789ab permanent=SHA moving=main latest environments=[\"staging\"]",
    );
}

#[test]
fn a_feature_branch_is_built_and_reaches_nothing_which_is_green() {
    check(
        "push",
        &push("refs/heads/feat/x"),
        "push=true version=0.0.0-feat-x.g0123456789ab permanent=SHA moving=feat-x environments=[]",
    );
}

#[test]
fn a_version_tag_has_its_version_and_channels() {
    check(
        "push",
        &push("refs/tags/v1.2.3"),
        "push=true version=1.2.3 permanent=SHA 1.2.3 moving=1.2 1 environments=[\"production\"]",
    );
}

#[test]
fn a_release_is_like_its_tag() {
    let event = json!({"action": "published", "release": {"tag_name": "v1.2.3", "prerelease": false, "draft": false},
        "repository": repository()});
    check(
        "release",
        &event,
        "push=true version=1.2.3 permanent=SHA 1.2.3 moving=1.2 1 environments=[\"production\"]",
    );
}

#[test]
fn a_pull_request_builds_its_head_and_pushes_nothing() {
    // The commit of the run is a merge that nobody has in a branch.
    let event = json!({"pull_request": {"number": 7, "base": {"ref": "main"}, "head": {"sha": COMMIT},
        "merge_commit_sha": MERGE}, "after": MERGE, "repository": repository()});
    let project = Project::new(CONFIG);
    project.plan("pull_request", &event, &[("GITHUB_SHA", MERGE)]);
    let everything = format!("{}{}", project.read("plan.json"), project.read("bake.json"));
    assert!(everything.contains(COMMIT) && !everything.contains("eeeeeeeeeeee"), "{everything}");
    check(
        "pull_request",
        &event,
        "push=false version=0.0.0-pr-7.g0123456789ab permanent=SHA moving= environments=[]",
    );
}

#[test]
fn a_start_by_hand_reaches_what_its_branch_reaches() {
    check(
        "workflow_dispatch",
        &json!({"ref": "refs/heads/main", "repository": repository()}),
        "push=true version=0.0.0-main.g0123456789ab permanent=SHA moving=main latest environments=[\"staging\"]",
    );
}

#[test]
fn an_event_that_nobody_planned_for_pushes_nothing() {
    check(
        "schedule",
        &json!({"schedule": "0 0 * * *", "repository": repository()}),
        "push=false version=0.0.0-g0123456789ab permanent=SHA moving= environments=[]",
    );
}

#[test]
fn the_outputs_are_what_the_jobs_after_it_need() {
    let done = Project::new(CONFIG).plan("push", &push("refs/heads/main"), &[]);
    let outputs: Vec<_> = done.outputs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let expected = format!(
        "builder=default\ncause=shop 0.0.0-main.g0123456789ab from {COMMIT}\ncommit={COMMIT}\nenvironment-1=staging\n\
         environment-1-url=http://staging.localhost\nenvironment-2=\nenvironment-2-url=\nenvironment-3=\n\
         environment-3-url=\nenvironment-4=\nenvironment-4-url=\nenvironments=[\"staging\"]\nkeep=false\npush=true\n\
         repository=ghcr.io/acme/shop/release\nservices=[\"api\",\"web\"]\nverdict=pass\n\
         version=0.0.0-main.g0123456789ab"
    );
    assert_eq!(outputs.join("\n"), expected);
    assert!(done.summary.contains("| production | no |"), "{}", done.summary);
}

#[test]
fn the_owner_in_upper_case_gives_image_names_in_lower_case() {
    let project = Project::new(CONFIG);
    project.plan("push", &push("refs/heads/main"), &[]);
    let plan = project.json("plan.json");
    assert_eq!(plan["services"]["api"]["repository"], "ghcr.io/acme/shop/api");
    let labels = &plan["services"]["api"]["labels"];
    assert_eq!(labels["org.opencontainers.image.source"], "https://github.com/Acme/Shop");
    assert_eq!(labels["org.opencontainers.image.created"], "2026-01-02T03:04:05Z");
    assert_eq!(plan["run"], "https://github.com/Acme/Shop/actions/runs/7/attempts/2");
}

#[test]
fn the_same_event_gives_the_same_plan() {
    let (first, second) = (Project::new(CONFIG), Project::new(CONFIG));
    for project in [&first, &second] {
        project.plan("push", &push("refs/heads/main"), &[]);
    }
    for file in ["plan.json", "bake.json", "test.sh"] {
        assert_eq!(first.read(file), second.read(file), "{file}");
    }
}

/// That it ends with exit 2 and this sentence, and leaves nothing behind.
#[track_caller]
fn refused(project: &Project, name: &str, event: &Value, sentence: &str) {
    let done = project.plan(name, event, &[]);
    done.check(2, sentence);
    assert_eq!(done.output("verdict"), "inconclusive");
    assert!(!project.path().join(".shipkit").exists());
}

#[test]
fn a_deleted_branch_is_nothing_to_build() {
    let mut event = push("refs/heads/old");
    event["deleted"] = json!(true);
    event["head_commit"] = Value::Null;
    refused(&Project::new(CONFIG), "push", &event, "`refs/heads/old` was deleted");
}

#[test]
fn a_branch_with_a_workflow_command_in_its_name_is_one_clear_error() {
    let project = Project::new(CONFIG);
    let done = project.plan("push", &push("refs/heads/a\";b\n##[set-output name=x]1"), &[]);
    done.check(2, "holds control characters");
    let everything = format!("{}{}{:?}{}", done.stdout, done.stderr, done.outputs, done.summary);
    assert!(!everything.contains("##["), "{everything}");
    assert_eq!(done.stderr.lines().filter(|line| line.starts_with("error")).count(), 1, "{}", done.stderr);
    // What is left over are the error and its annotation, each on one line.
    assert!(done.stderr.lines().all(|line| line.starts_with("error: ") || line.starts_with("::error ")));
    assert!(!done.output("cause").contains('\n'));
    assert!(!project.path().join(".shipkit").exists());
}

#[test]
fn a_branch_with_a_workflow_command_and_no_line_break_becomes_a_plain_tag() {
    let project = Project::new(CONFIG);
    let done = project.plan("push", &push("refs/heads/a\";b##[set-output"), &[]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert_eq!(project.json("plan.json")["tags"]["moving"], json!(["a-b-set-output"]));
    let everything = format!("{}{}{:?}{}", done.stdout, done.stderr, done.outputs, done.summary);
    assert!(!everything.contains("##["), "{everything}");
}

#[test]
fn a_tag_longer_than_128_characters_is_an_error_before_anything_is_built() {
    let project = Project::new(CONFIG);
    for length in [109, 129] {
        let event = push(&format!("refs/heads/{}", "b".repeat(length)));
        refused(&project, "push", &event, "no image tag can be made of");
    }
}

#[test]
fn wrong_configuration_says_where() {
    let event = push("refs/heads/main");
    for (config, sentence) in [
        ("name: [\n", "shipkit.yml"),
        ("version: 1\nname: shop\nservices: {api: {biuld: {}}}\n", "`build`"),
        (
            "version: 1\nname: shop\nservices: {release: {build: {}}}\n",
            "a service may not be called `release`",
        ),
        (
            "version: 1\nname: shop\nservices: {api: {build: {args: {A: '${NOWHERE}'}}}}\n",
            "`${NOWHERE}`, which is not set",
        ),
    ] {
        refused(&Project::new(&format!("{config}{ONE_ENVIRONMENT}\n")), "push", &event, sentence);
    }
    let empty = Project::new("");
    std::fs::remove_file(empty.path().join("shipkit.yml")).unwrap();
    refused(&empty, "push", &event, "the configuration `./shipkit.yml` cannot be read");
}

#[test]
fn wrong_event_files_are_named() {
    let project = Project::new(CONFIG);
    let vars = [("INPUT_COMMAND", "plan"), ("GITHUB_EVENT_NAME", "push")];
    let missing = [&vars[..], &[("GITHUB_EVENT_PATH", "/nowhere/event.json")]].concat();
    project.step(&missing).check(2, "the event file `/nowhere/event.json` cannot be read");
    let file = project.path().join("event.json");
    std::fs::write(&file, "{").unwrap();
    let broken = [&vars[..], &[("GITHUB_EVENT_PATH", file.to_str().unwrap())]].concat();
    project.step(&broken).check(2, "is not JSON");
    assert!(!project.path().join(".shipkit").exists());
}

#[test]
fn an_unknown_input_is_named() {
    let done = Project::new(CONFIG).plan("push", &push("refs/heads/main"), &[("INPUT_DRY-RAN", "true")]);
    done.check(2, "dry-run");
}

#[test]
fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let project = Project::new(CONFIG);
    let done = project.plan("push", &push("refs/heads/main"), &[("INPUT_DRY-RUN", "true")]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let documents: Vec<Value> =
        serde_json::Deserializer::from_str(&done.stdout).into_iter().map(Result::unwrap).collect();
    assert_eq!(documents[0]["version"], "0.0.0-main.g0123456789ab");
    assert_eq!(documents[1]["group"]["default"]["targets"], json!(["api", "web"]));
    assert_eq!(std::fs::read_dir(project.path()).unwrap().count(), 1);
}

#[test]
fn on_a_laptop_git_tells_what_is_checked_out() {
    let project = Project::with_git(CONFIG, "feat/y");
    let done = project.program(&[], &["plan", "--json"]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let plan: Value = serde_json::from_str(&done.stdout).unwrap();
    let commit = project.git(&["rev-parse", "HEAD"]);
    assert_eq!(plan["commit"], commit);
    assert_eq!(plan["ref"], "refs/heads/feat/y");
    assert_eq!(plan["created"], "2026-01-02T03:04:05Z");
    assert_eq!(plan["releaseRepository"], "ghcr.io/acme/shop/release");
    assert_eq!(plan["buildTag"], format!("build-{commit:.12}"));
    assert_eq!(plan.get("run"), None);
    project.git(&["checkout", "-q", "--detach"]);
    let done = project.program(&[], &["plan", "--json"]);
    let plan: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&plan["push"], &plan["commit"]), (&json!(false), &json!(commit)));
}

#[test]
fn without_event_and_without_git_the_way_on_is_named() {
    let done = Project::new(CONFIG).program(&[], &["plan"]);
    done.check(2, "is not inside a git repository");
    assert!(done.stderr.contains("hint: run inside a checkout, or give the event with `--event`"));
}

#[test]
fn the_commit_of_a_checkout_dates_an_event_without_a_date() {
    let project = Project::with_git(CONFIG, "main");
    let commit = project.git(&["rev-parse", "HEAD"]);
    let event = json!({"ref": "refs/heads/main", "repository": repository()});
    project.plan("workflow_dispatch", &event, &[("GITHUB_SHA", &commit)]);
    assert_eq!(project.json("plan.json")["created"], "2026-01-02T03:04:05Z");
    let done = Project::new(CONFIG).plan("workflow_dispatch", &event, &[]);
    done.check(0, "its date is taken as now");
}

#[test]
fn the_bake_file_holds_every_value_as_it_stands() {
    let config = "\
version: 1
name: shop
tags: {labels: {note: 'costs %{if}'}}
services:
  api: {build: {context: ., dockerfile: d/Dockerfile, target: run, platforms: [linux/amd64, linux/arm64], secrets: [NPM_TOKEN], args: {URL: '${URL}'}}}
";
    let project = Project::new(&format!("{config}{ONE_ENVIRONMENT}\n"));
    let done = project.plan("push", &push("refs/heads/main"), &[("URL", "https://h/?a=${b}")]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let target = project.json("bake.json")["target"]["api"].clone();
    assert_eq!(target["context"], ".");
    assert_eq!(target["dockerfile"], "d/Dockerfile");
    assert_eq!(target["target"], "run");
    assert_eq!(target["platforms"], json!(["linux/amd64", "linux/arm64"]));
    assert_eq!(target["secret"], json!(["id=NPM_TOKEN,env=NPM_TOKEN"]));
    assert_eq!(target["tags"], json!(["ghcr.io/acme/shop/api:build-7-2"]));
    assert_eq!(target["args"]["SOURCE_DATE_EPOCH"], "1767323045");
    let output = "type=image,push=true,rewrite-timestamp=true";
    assert_eq!((&target["output"], done.output("builder")), (&json!([output]), "container"));
    assert_eq!(target["labels"]["org.opencontainers.image.revision"], COMMIT);
    // `$${` is bake's way to write `${` without a template.
    assert_eq!(target["args"]["URL"], "https://h/?a=$${b}");
    assert_eq!(target["labels"]["note"], "costs %%{if}");
}

#[test]
fn a_pull_request_is_built_into_layouts() {
    let project = Project::new(CONFIG);
    let event = json!({"pull_request": {"number": 7, "base": {"ref": "main"}, "head": {"sha": COMMIT}},
        "repository": repository()});
    project.plan("pull_request", &event, &[]);
    let bake = project.json("bake.json");
    assert_eq!(
        bake["target"]["api"]["output"],
        json!(["type=oci,dest=.shipkit/layout/api.tar,rewrite-timestamp=true"])
    );
    assert!(project.handed_on("layout").is_dir());
}

#[test]
fn buildx_reads_the_bake_file_where_it_is_installed() {
    let config = CONFIG.replace("${SHIPKIT_COMMIT}", "${B}");
    let project = Project::new(&config);
    project.plan("push", &push("refs/heads/main"), &[("B", "a ${b} %{c}")]);
    let docker = |arguments: &[&str]| {
        let mut docker = std::process::Command::new("docker");
        docker.args(arguments).current_dir(project.path()).output()
    };
    if !docker(&["buildx", "version"]).is_ok_and(|done| done.status.success()) {
        return;
    }
    let done = docker(&["buildx", "bake", "--print", "-f", ".shipkit/bake.json"]).unwrap();
    let printed: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(printed["target"]["api"]["args"]["COMMIT"], "a ${b} %{c}");
    assert_eq!(printed["target"]["web"]["context"], "web");
}

#[test]
fn help_names_every_command() {
    let done = Project::new(CONFIG).program(&[], &["--help"]);
    assert_eq!(done.exit, Some(0));
    for word in ["plan", "release", "publish"] {
        assert!(done.stdout.contains(word), "{}", done.stdout);
    }
}

/// What is planned for this configuration of `api` where `docker buildx inspect` said this about the builder.
fn built_by(builder: &str, event: (&str, &Value), api: &str) -> (Project, shipkit_tests::step::Done) {
    let config =
        format!("version: 1\nname: shop\nservices: {{api: {{build: {{{api}}}}}}}\n{ONE_ENVIRONMENT}\n");
    let project = Project::new(&config);
    std::fs::create_dir(project.path().join(".shipkit")).unwrap();
    std::fs::write(project.handed_on("builder.txt"), builder).unwrap();
    let done = project.plan(event.0, event.1, &[]);
    (project, done)
}

const OLD_ENGINE: &str = "Driver: docker\nNodes:\nBuildKit version: v0.8+unknown\n";
const CONTAINERD: &str = "Driver: docker\nNodes:\nBuildKit version: v0.13.2\nLabels:\n org.mobyproject.buildkit.worker.snapshotter: overlayfs\n";

#[test]
fn a_builder_is_started_only_where_the_present_one_cannot_do_it() {
    let pull_request = json!({"pull_request": {"number": 7, "base": {"ref": "main"}, "head": {"sha": COMMIT}},
        "repository": repository()});
    let (pushed, pulled) = (("push", &push("refs/heads/main")), ("pull_request", &pull_request));
    let both = "platforms: [linux/amd64, linux/arm64]";
    for (builder, event, api, expected) in [
        (OLD_ENGINE, pushed, "cache: inline", "default"),
        (OLD_ENGINE, pushed, "platforms: [linux/amd64]", "default"),
        (OLD_ENGINE, pulled, "", "container"),
        (OLD_ENGINE, pushed, both, "container"),
        (OLD_ENGINE, pushed, "cache: registry", "container"),
        (OLD_ENGINE, pushed, "cache: gha", "container"),
        (OLD_ENGINE, pushed, "cache: local", "container"),
        (OLD_ENGINE, pushed, "provenance: true", "container"),
        (OLD_ENGINE, pushed, "provenance: false", "default"),
        (OLD_ENGINE, pushed, "sbom: true", "container"),
        (OLD_ENGINE, pushed, "contexts: {a: docker-image://b}", "container"),
        (CONTAINERD, pulled, "", "default"),
        (CONTAINERD, pushed, both, "default"),
        (CONTAINERD, pushed, "cache: registry, sbom: true, contexts: {a: ./b}", "default"),
        ("nothing", pushed, "", "default"),
        ("nothing", pushed, "platforms: [linux/amd64]", "container"),
        ("nothing", pushed, "cache: registry", "container"),
        ("nothing", pulled, "", "container"),
    ] {
        let (_project, done) = built_by(builder, event, api);
        assert_eq!(done.exit, Some(0), "{done:#?}");
        assert_eq!(done.output("builder"), expected, "{builder:?} {api}");
        assert_eq!(done.stderr.contains("a builder in a container is needed for"), expected == "container");
    }
}

#[test]
fn times_of_files_are_rewritten_where_the_builder_can() {
    let pull_request = json!({"pull_request": {"number": 7, "base": {"ref": "main"}, "head": {"sha": COMMIT}},
        "repository": repository()});
    let (pushed, pulled) = (("push", &push("refs/heads/main")), ("pull_request", &pull_request));
    let own = "Driver: docker-container\nBuildKit version: v0.29.0\n";
    for (builder, event, expected) in [
        (OLD_ENGINE, pushed, "type=registry"),
        (CONTAINERD, pushed, "type=registry"),
        (own, pushed, "type=image,push=true,rewrite-timestamp=true"),
        ("Driver: docker-container\nBuildKit version: v0.12.5\n", pushed, "type=registry"),
        ("nothing", pushed, "type=registry"),
        (CONTAINERD, pulled, "type=oci,dest=.shipkit/layout/api.tar,rewrite-timestamp=true"),
        (OLD_ENGINE, pulled, "type=oci,dest=.shipkit/layout/api.tar,rewrite-timestamp=true"),
    ] {
        let (project, _) = built_by(builder, event, "");
        let output = project.json("bake.json")["target"]["api"]["output"].clone();
        assert_eq!(output, json!([expected]), "{builder:?}");
    }
}

#[test]
fn a_person_is_told_what_the_builder_lacks_before_anything_is_built() {
    let (project, _) = built_by(OLD_ENGINE, ("push", &push("refs/heads/main")), "cache: registry");
    project.git(&["init", "-q", "-b", "main"]);
    project.git(&["remote", "add", "origin", "git@github.com:Acme/Shop.git"]);
    project.git(&["commit", "-q", "--allow-empty", "-m", "first"]);
    let done = project.program(&[], &["plan"]);
    done.check(2, "the present builder cannot make a cache outside the image (api)");
    assert!(done.stderr.contains("docker buildx create --use --driver docker-container"), "{}", done.stderr);
    std::fs::remove_file(project.handed_on("builder.txt")).unwrap();
    project.program(&[], &["plan"]).check(0, "a builder in a container is needed for a cache");
}

#[test]
fn caches_attestations_and_contexts_are_those_of_the_configuration() {
    let target = |event: (&str, &Value), api: &str| {
        let (project, done) = built_by(CONTAINERD, event, api);
        assert_eq!(done.exit, Some(0), "{done:#?}");
        project.json("bake.json")["target"]["api"].clone()
    };
    let main = push("refs/heads/main");
    let (main, feature) = (("push", &main), ("push", &push("refs/heads/feat/x")));
    let cache = "type=registry,ref=ghcr.io/acme/shop/api:build-cache";
    let found = target(main, "cache: registry");
    assert_eq!(
        (&found["cache-from"], &found["cache-to"]),
        (&json!([cache]), &json!([format!("{cache},mode=max")]))
    );
    // What anybody may push must not get into what a protected branch builds.
    let found = target(feature, "cache: registry");
    assert_eq!((&found["cache-from"], found.get("cache-to")), (&json!([cache]), None));
    let found = target(main, "cache: gha");
    assert_eq!(found["cache-to"], json!(["type=gha,scope=api,mode=max"]));
    let found = target(main, "cache: local");
    assert_eq!(found["cache-from"], json!(["type=local,src=.shipkit/cache/api"]));
    let found = target(main, "cache: inline");
    assert_eq!((found.get("cache-from"), &found["cache-to"]), (None, &json!(["type=inline"])));
    assert_eq!(target(main, "")["cache-to"], Value::Null);
    assert_eq!(target(main, "")["attest"], Value::Null);
    assert_eq!(
        target(main, "provenance: true, sbom: true")["attest"],
        json!(["type=provenance,mode=max", "type=sbom"])
    );
    assert_eq!(target(main, "provenance: false")["attest"], json!(["type=provenance,disabled=true"]));
    let found = target(main, "contexts: {a: ./b, c: docker-image://d}, args: {SOURCE_DATE_EPOCH: '0'}");
    assert_eq!(found["contexts"], json!({"a": "./b", "c": "docker-image://d"}));
    assert_eq!(found["args"], json!({"SOURCE_DATE_EPOCH": "0"}));
}

#[test]
fn explain_without_rules_of_its_own_tells_those_of_the_project() {
    let project = Project::with_git(CONFIG, "main");
    let done = project.program(&[("PATH", "/nowhere")], &["explain"]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let commit = project.git(&["rev-parse", "HEAD"]);
    for line in [
        format!("sha-{commit} (permanent) <- tags.include: sha\n"),
        "main (moves) <- tags.include: branch\n".to_owned(),
        "(none) <- tags.include: semver\n".to_owned(),
        "(none) <- tags.include: pr\n    it is not among `tags.include`\n".to_owned(),
        "(none) <- tags.latest: default-branch\n".to_owned(),
    ] {
        assert!(done.stdout.contains(&line), "{line}: {}", done.stdout);
    }
    let json = project.program(&[("PATH", "/nowhere")], &["explain", "--json"]);
    let rules: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(rules[0]["tags"][0]["tag"], format!("sha-{commit}"));
    let own = project.program(&[("PATH", "/nowhere")], &["explain", "--tags", "type=sha"]);
    assert!(own.stdout.contains("<- type=sha\n    line 1 of `tags`"), "{}", own.stdout);
    assert!(!own.stdout.contains("tags.include"), "{}", own.stdout);
}
