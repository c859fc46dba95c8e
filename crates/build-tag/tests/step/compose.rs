//! Services out of a Compose file: planned as if `shipkit.yml` named them, built by a real builder, and read as Docker
//! Compose reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use shipkit_core::config::{ComposeFile, Config, Needed};
use shipkit_core::event::{Event, Trigger};
use shipkit_core::plan::{History, PlannedBuild, plan};

use crate::project::{COMMIT, ONE_ENVIRONMENT, Project, push};

/// The variables of the files in `tests/fixtures/compose/right`.
const VARIABLES: [(&str, &str); 3] = [("HANDED_ON", "on $HOME's way"), ("OWNER", "acme"), ("BLANK", "")];
const ENV_FILE: &str = "# values for Compose\nFROM_FILE=\"by ${OWNER}\"\nOWNER=nobody\n";

fn own(more: &str) -> String {
    format!("version: 1\nname: shop\n{more}{ONE_ENVIRONMENT}\n")
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/compose/right").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(fixture(name)).unwrap()
}

/// A project whose Compose file this is.
fn project(name: &str, compose: &str) -> Project {
    let project = Project::new(&own("registry: localhost:5000/shop\n"));
    std::fs::write(project.path().join(name), compose).unwrap();
    project
}

fn variable(name: &str) -> Option<String> {
    let found = VARIABLES.iter().find(|(other, _)| *other == name);
    found.map(|(_, value)| (*value).to_owned())
}

/// The builds as they are planned.
#[track_caller]
fn planned(compose: &str) -> BTreeMap<String, PlannedBuild> {
    let compose = ComposeFile { file: "compose.yaml", text: compose, folder: "", env_file: Some(ENV_FILE) };
    let config = Config::parse_beside("shipkit.yml", &own(""), Some(compose), &variable, Needed::Build);
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    let event = Event {
        trigger: Trigger::Branch { name: "main".to_owned(), dispatched: false },
        commit: COMMIT.to_owned(),
        committed: None,
        repository: Some("acme/shop".to_owned()),
        default_branch: Some("main".to_owned()),
        server_url: "https://github.com".to_owned(),
        run: None,
    };
    let time = "2026-01-02T03:04:05Z".parse().unwrap();
    let plan = plan(&event, time, &History::Missing, &config, &variable).unwrap();
    plan.services.into_iter().map(|(name, service)| (name, service.build)).collect()
}

/// What Docker Compose says; `None` on a machine without it.
fn docker_compose(folder: &Path, more: &[&str]) -> Option<String> {
    let version = Command::new("docker").args(["compose", "version"]).stderr(Stdio::null()).output().ok()?;
    if !version.status.success() {
        return None;
    }
    let mut docker = Command::new("docker");
    docker.args(["compose", "--file", "compose.yaml", "config"]).args(more).current_dir(folder).env_clear();
    for name in ["PATH", "HOME"] {
        docker.env(name, std::env::var_os(name).unwrap_or_default());
    }
    let done = docker.envs(VARIABLES).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Some(String::from_utf8(done.stdout).unwrap())
}

fn absolute(folder: &Path, path: &str) -> PathBuf {
    let mut whole = PathBuf::new();
    for part in &folder.join(path) {
        if part == ".." {
            whole.pop();
        } else {
            whole.push(part);
        }
    }
    whole
}

/// A build in Compose's words; texts are not escaped.
fn in_words(folder: &Path, build: &PlannedBuild) -> Value {
    let contexts: BTreeMap<_, _> = build
        .contexts
        .iter()
        .map(|(name, place)| {
            let is_named = place.contains("://") || place.starts_with("target:");
            let path = if is_named { PathBuf::from(place) } else { absolute(folder, place) };
            (name, path.to_str().unwrap().replace("target:", "service:"))
        })
        .collect();
    json!({
        "context": absolute(folder, &build.context),
        "dockerfile": build.dockerfile,
        "target": build.target.as_deref().unwrap_or_default(),
        "args": build.args,
        "platforms": build.platforms,
        "contexts": contexts,
    })
}

/// The same of what Docker Compose says of a service.
fn of_compose(service: &Value) -> Value {
    let build = &service["build"];
    let or = |value: &Value, other: Value| if value.is_null() { other } else { value.clone() };
    let own = service.get("platform").map(|platform| json!([platform])).unwrap_or(json!([]));
    let told = json!({
        "context": build["context"],
        "dockerfile": build["dockerfile"],
        "target": or(&build["target"], json!("")),
        "args": or(&build["args"], json!({})),
        "platforms": or(&build["platforms"], own),
        "contexts": or(&build["additional_contexts"], json!({})),
    });
    serde_json::from_str(&told.to_string().replace("$$", "$")).unwrap()
}

#[test]
fn docker_compose_reads_the_same() {
    for name in ["shop.yaml", "forms.yaml", "merged.yaml"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        std::fs::write(path.join("compose.yaml"), text(name)).unwrap();
        std::fs::write(path.join(".env"), ENV_FILE).unwrap();
        std::fs::write(path.join("api.env"), "").unwrap();
        let ours = planned(&text(name));
        let Some(said) = docker_compose(&path, &["--format", "json"]) else {
            println!("left out: there is no `docker compose`");
            return;
        };
        let said: Value = serde_json::from_str(&said).unwrap();
        let built = said["services"].as_object().unwrap().iter();
        let built = built.filter(|(_, service)| service["build"].is_object());
        let theirs: BTreeMap<_, _> =
            built.map(|(name, service)| (name.clone(), of_compose(service))).collect();
        let ours: BTreeMap<_, _> =
            ours.iter().map(|(name, build)| (name.clone(), in_words(&path, build))).collect();
        assert!(3 <= ours.len());
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn what_docker_compose_makes_of_a_file_is_read_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let extended = "include: [more.yaml]\nservices:\n  api: {build: {context: api, args: {A: $$1}}, environment: {E: $$2}}\n  \
                    worker: {extends: api, build: {target: worker}, depends_on: [db]}\n";
    std::fs::write(path.join("compose.yaml"), extended).unwrap();
    std::fs::write(path.join("more.yaml"), "services: {db: {image: postgres}}\n").unwrap();
    let Some(said) = docker_compose(path, &["--no-path-resolution"]) else {
        println!("left out: there is no `docker compose`");
        return;
    };
    let builds = planned(&said);
    let worker = &builds["worker"];
    assert_eq!((worker.context.as_str(), worker.target.as_deref()), ("api", Some("worker")));
    assert_eq!(worker.args["A"], "$1");
}

#[test]
fn a_plan_says_from_which_file_its_services_are() {
    let project = project("compose.yaml", &text("shop.yaml"));
    std::fs::write(project.path().join("docker-compose.yml"), "services: [").unwrap();
    let more = [("INPUT_DRY-RUN", "true"), ("FROM_FILE", "f"), ("OWNER", "acme")];
    let done = project.plan("push", &push("refs/heads/main"), &more);
    done.check(0, "shipkit.yml names no services, so they are those of ./compose.yaml: api, db, web, worker");
    let said = &done.stderr;
    assert!(said.contains("not taken over: `services.cache.profiles`"), "{said}");
    assert!(said.contains("build api -> localhost:5000/shop/api"), "{said}");
    assert!(!said.contains("build db"), "{said}");
    assert!(done.summary.contains("those of ./compose.yaml"), "{}", done.summary);
}

#[test]
fn a_plan_of_a_compose_file_is_that_of_the_same_services_in_shipkit_yml() {
    let event = push("refs/heads/main");
    let own = own(
        "registry: localhost:5000/shop\nservices:\n  api: {build: {context: api, target: run, args: {V: \"${SHIPKIT_VERSION}\", B: b}}}\n  web: {build: {context: web, contexts: {a: \"service:api\"}}}\n",
    );
    let named = Project::new(&own);
    let compose = "services:\n  api: {build: {context: ./api, target: run, args: [SHIPKIT=no, 'V=${SHIPKIT_VERSION:-dev}', B=b]}}\n  web: {build: {context: web, additional_contexts: [a=service:api]}}\n";
    let taken = project("compose.yml", &compose.replace("SHIPKIT=no, ", ""));
    let bake = |project: &Project| {
        assert_eq!(project.plan("push", &event, &[]).exit, Some(0));
        (project.json("bake.json"), project.json("plan.json"))
    };
    assert_eq!(bake(&named), bake(&taken));
}

#[test]
fn a_compose_file_that_is_not_understood_ends_the_plan() {
    let project =
        project("docker-compose.yaml", "services:\n  api: {build: {context: api, ssh: [default]}}\n");
    project
        .plan("push", &push("refs/heads/main"), &[])
        .check(2, "docker-compose.yaml:2:31: services.api.build.ssh: `ssh` is not understood");
    let neither = Project::new(&own(""));
    neither
        .plan("push", &push("refs/heads/main"), &[])
        .check(2, "`services` is missing; name them here, or in a Compose file beside it (`compose.yaml`)");
}

#[test]
fn a_folder_called_env_is_no_file_of_values() {
    let project = project("compose.yaml", "services: {api: {build: api}}\n");
    std::fs::create_dir(project.path().join(".env")).unwrap();
    assert_eq!(project.plan("push", &push("refs/heads/main"), &[]).exit, Some(0));
}

#[test]
fn a_builder_takes_what_is_planned_for_a_compose_file() {
    let compose = "services:\n  api:\n    build: {context: ./api, dockerfile: ../Dockerfile.api, target: run, args: [TEXT=a$$b]}\n  \
                   web: {build: ./web}\n  db: {image: postgres}\n";
    let project = project("compose.yaml", compose);
    let path = project.path();
    let dockerfile =
        "FROM scratch AS run\nARG TEXT\nLABEL text=$TEXT\nCOPY text /\nFROM run AS other\nCOPY not-there /\n";
    std::fs::write(path.join("Dockerfile.api"), dockerfile).unwrap();
    for folder in ["api", "web"] {
        std::fs::create_dir(path.join(folder)).unwrap();
        std::fs::write(path.join(folder).join("text"), folder).unwrap();
    }
    std::fs::write(path.join("web/Dockerfile"), "FROM scratch\nCOPY text /\n").unwrap();
    assert_eq!(project.plan("push", &push("refs/heads/main"), &[]).exit, Some(0));
    let buildx = |arguments: &[&str]| {
        let mut docker = Command::new("docker");
        docker.args(["buildx", "bake", "--file", ".shipkit/bake.json"]).args(arguments);
        docker.current_dir(path).stdin(Stdio::null()).output()
    };
    let printed = match buildx(&["--print"]) {
        Ok(done) if done.status.success() => done.stdout,
        _ => {
            println!("left out: there is no `docker buildx`");
            return;
        }
    };
    let printed: Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!(printed["target"]["api"]["args"]["TEXT"], "a$b");
    assert_eq!(printed["target"].as_object().unwrap().len(), 2);
    let built = buildx(&["--set", "*.output=type=cacheonly"]).unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}
