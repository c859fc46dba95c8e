//! `build-tag keep` as one step: against a fake of the artifact service, and against the one that act has.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use shipkit_tests::server::artifacts::{FakeArtifacts, Trouble};
use shipkit_tests::step::Done;

use crate::project::{CONFIG, Project, push};
use crate::services::{bed, docker, left, postgres};

const TEST: &str = "test: {run: echo, coverage: ./coverage/lcov.info, artifacts: [reports/]}\n";

/// A checkout whose tests left a coverage report and a folder.
fn tested() -> Project {
    let project = Project::new(&format!("{CONFIG}{TEST}"));
    write(&project, "coverage/lcov.info", b"TN:\n");
    write(&project, "reports/html/index.html", "é".as_bytes());
    project
}

fn write(project: &Project, path: &str, bytes: &[u8]) {
    let path = project.path().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn keep(project: &Project, service: &FakeArtifacts) -> Done {
    let vars = [
        ("INPUT_COMMAND", "keep"),
        ("ACTIONS_RESULTS_URL", &service.url()),
        ("ACTIONS_RUNTIME_TOKEN", &FakeArtifacts::token()),
    ];
    project.step(&vars)
}

/// Names and contents of a zip.
fn unpack(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(zip)).unwrap();
    (0..archive.len())
        .map(|at| {
            let mut file = archive.by_index(at).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            let name = file.name().unwrap().into_owned();
            (name, bytes)
        })
        .collect()
}

#[test]
fn coverage_and_artifacts_become_one_artifact_of_the_run() {
    let (project, service) = (tested(), FakeArtifacts::start(None));
    let done = keep(&project, &service);
    done.check(0, "kept 2 files (6 bytes) as the artifact `shop-test`");
    assert_eq!(done.output("artifact"), "42");
    assert!(
        done.summary.contains("[shop-test](https://github.com/Acme/Shop/actions/runs/7/artifacts/42)"),
        "{done:#?}"
    );
    let stored = service.stored().unwrap();
    assert_eq!(stored.body["name"], "shop-test");
    assert_eq!(stored.body["hash"], shipkit_core::Digest::of(&stored.zip).as_str());
    let expected = [("coverage/lcov.info", b"TN:\n".to_vec()), ("reports/html/index.html", "é".into())];
    assert_eq!(unpack(&stored.zip), expected.map(|(name, bytes)| (name.to_owned(), bytes)));
    // The token is masked and, like the address to write to, shown nowhere.
    let shown = done.stderr.replace(&format!("::add-mask::{}", FakeArtifacts::token()), "");
    assert!(!shown.contains(&FakeArtifacts::token()) && !shown.contains("sig="), "{shown}");
}

#[test]
fn a_plan_says_whether_there_is_anything_to_keep() {
    for (test, expected) in [(TEST, "true"), ("test: {run: echo}\n", "false"), ("", "false")] {
        let project = Project::new(&format!("{CONFIG}{test}"));
        let planned = project.plan("push", &push("refs/heads/main"), &[]);
        assert_eq!(planned.output("keep"), expected, "{test}");
    }
}

#[test]
fn what_is_large_travels_in_blocks_and_each_may_be_sent_twice() {
    let (project, service) = (tested(), FakeArtifacts::start(Some(Trouble::FirstTry(503))));
    // Nothing that deflate makes smaller.
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u8::try_from(state >> 56).unwrap()
    })
    .take(9 * 1024 * 1024)
    .collect();
    write(&project, "reports/video.bin", &noise);
    let done = keep(&project, &service);
    done.check(0, "kept 3 files (9 MiB)");
    let stored = service.stored().unwrap();
    assert_eq!(stored.blocks, 3);
    assert!(unpack(&stored.zip).contains(&("reports/video.bin".to_owned(), noise)));
    assert_eq!(service.requests().len(), 2 * (1 + 3 + 1 + 1), "{:#?}", service.requests());
}

#[test]
fn where_there_is_no_service_it_is_skipped_and_green() {
    let project = tested();
    let done = project.step(&[("INPUT_COMMAND", "keep")]);
    done.check(0, "skipped: this is no step of a run with an artifact service");
    let service = FakeArtifacts::start(Some(Trouble::Always(404, json!({"code": "bad_route"}))));
    let done = keep(&project, &service);
    done.check(0, "skipped: `127.0.0.1` has no service for artifacts of this version");
    assert_eq!(done.output("verdict"), "skipped");
}

#[test]
fn a_refusal_is_quoted_and_could_not_find_out() {
    let project = tested();
    let said = json!({"code": "resource_exhausted", "msg": "storage quota has been hit\n::error::x"});
    let service = FakeArtifacts::start(Some(Trouble::Always(403, said)));
    let done = keep(&project, &service);
    done.check(3, "the artifact service refused to begin an artifact: 403 Forbidden, `storage quota has been hit ::error::x`");
    assert_eq!(service.requests().len(), 1);
    let service = FakeArtifacts::start(Some(Trouble::Always(409, json!({}))));
    keep(&project, &service).check(2, "this run has an artifact `shop-test` already");
    let service = FakeArtifacts::start(Some(Trouble::Always(200, json!({"ok": false}))));
    keep(&project, &service).check(3, "answered nothing that can be understood");
    let service = FakeArtifacts::start(Some(Trouble::Always(502, json!({}))));
    keep(&project, &service).check(3, "502 Bad Gateway");
    assert_eq!(service.requests().len(), 5);
}

#[test]
fn reports_go_nowhere_in_the_clear() {
    let service = FakeArtifacts::start(Some(Trouble::UploadTo("http://example.com".to_owned())));
    let done = keep(&tested(), &service);
    done.check(3, "answered nothing that can be understood when asked to begin an artifact");
    assert_eq!(service.requests(), ["POST CreateArtifact"]);
}

#[test]
fn what_the_runner_sets_must_make_sense() {
    for (url, token, named) in [
        ("no address", FakeArtifacts::token(), "ACTIONS_RESULTS_URL"),
        ("http://127.0.0.1:1", "opaque".to_owned(), "ACTIONS_RUNTIME_TOKEN"),
        ("http://127.0.0.1:1", "e30.e30.e30".to_owned(), "ACTIONS_RUNTIME_TOKEN"),
    ] {
        let vars =
            [("INPUT_COMMAND", "keep"), ("ACTIONS_RESULTS_URL", url), ("ACTIONS_RUNTIME_TOKEN", &token)];
        tested().step(&vars).check(3, &format!("`{named}` is not what a runner sets"));
    }
}

#[test]
fn what_the_tests_did_not_leave_is_said() {
    let project = Project::new(&format!("{CONFIG}{TEST}"));
    let done = project.step(&[("INPUT_COMMAND", "keep")]);
    done.check(0, "skipped: nothing that shipkit.yml wants kept is in the checkout");
    assert!(
        done.stderr.contains("::warning title=nothing to keep::nothing in the checkout fits `reports/`"),
        "{done:#?}"
    );
    let done = Project::new(CONFIG).step(&[("INPUT_COMMAND", "keep")]);
    done.check(0, "skipped: shipkit.yml names nothing to keep");
}

#[test]
fn a_dry_run_lists_the_files_and_sends_nothing() {
    let (project, service) = (tested(), FakeArtifacts::start(None));
    let vars = [
        ("INPUT_COMMAND", "keep"),
        ("INPUT_DRY-RUN", "true"),
        ("ACTIONS_RESULTS_URL", &service.url()),
        ("ACTIONS_RUNTIME_TOKEN", &FakeArtifacts::token()),
    ];
    let done = project.step(&vars);
    done.check(0, "2 files (6 bytes) would be kept");
    assert_eq!(done.stdout, "coverage/lcov.info\nreports/html/index.html\n");
    assert_eq!(service.requests(), Vec::<String>::new());
}

/// A workflow whose tests leave a report and then fail, as ship.yml runs them.
const WORKFLOW: &str = "
on: push
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@0000000000000000000000000000000000000000
      - run: mkdir -p .shipkit
      - uses: ./build-tag
        with: {command: plan}
      - run: exec bash .shipkit/test.sh
        env: {SHIPKIT_TEST_ENV: '${{ secrets.SHIPKIT_TEST_ENV }}'}
      - if: ${{ !cancelled() }}
        continue-on-error: true
        uses: ./build-tag
        with: {command: keep}
";

#[test]
fn acts_artifact_server_keeps_the_reports_of_tests_that_failed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let test = "test:\n  secrets: [KEY]\n  services: {db: {image: 'shipkit-test/postgres:15', environment: {POSTGRES_USER: test}, ports: ['127.0.0.1::5432']}}\n  run: [mkdir -p reports, 'printf %s \"$KEY\" | tr a-z A-Z > reports/key', echo $KEY, exit 7]\n  artifacts: [reports]\n";
    postgres();
    let project = Project::with_git(&format!("{CONFIG}{test}"), "main");
    // The action as the repository has it, with an image of the program that is tested.
    let image = format!("shipkit-test/build-tag:{}", std::process::id());
    let context = tempfile::tempdir().unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_build-tag"), context.path().join("build-tag")).unwrap();
    std::fs::set_permissions(context.path().join("build-tag"), std::fs::Permissions::from_mode(0o755))
        .unwrap();
    std::fs::write(context.path().join("Dockerfile"), "FROM scratch\nCOPY build-tag /build-tag\n").unwrap();
    docker(&["build", "--quiet", "--tag", &image, context.path().to_str().unwrap()]);
    let action = std::fs::read_to_string(root.join("actions/build-tag/action.yml")).unwrap();
    let (before, _) = action.split_once("image: ").unwrap();
    write(
        &project,
        "build-tag/action.yml",
        format!("{before}image: docker://{image}\n  entrypoint: /build-tag\n").as_bytes(),
    );
    write(&project, ".github/workflows/test.yml", WORKFLOW.as_bytes());
    project.git(&["add", "."]);
    project.git(&["commit", "-q", "-m", "tested"]);
    let (config, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(config.path().join("act")).unwrap();
    std::fs::write(config.path().join("act/actrc"), "").unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let runner = format!("ubuntu-latest={}", bed("RUNNER_IMAGE"));
    let mut act = Command::new(bed("ACT"));
    act.args([
        "push",
        "--rm",
        "--pull=false",
        "-P",
        &runner,
        "--secret",
        "SHIPKIT_TEST_ENV=KEY=hidden-value",
    ]);
    act.args(["--artifact-server-addr", "127.0.0.1", "--artifact-server-port", &free]);
    act.arg("--artifact-server-path").arg(store.path()).current_dir(project.path()).stdin(Stdio::null());
    act.env("XDG_CONFIG_HOME", config.path());
    let done = Done::from(act.output().unwrap());
    docker(&["rmi", &image]);
    assert_eq!(done.exit, Some(1), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("`exit 7` failed with exit code 7"), "{}", done.stdout);
    assert!(!done.stdout.contains("hidden-value") && done.stdout.contains("***"), "{}", done.stdout);
    let stored = store.path().join("1/shop-test/shop-test.zip");
    let zip = std::fs::read(&stored).unwrap_or_else(|error| panic!("{error}: {}", done.stdout));
    assert_eq!(unpack(&zip), [("reports/key".to_owned(), b"HIDDEN-VALUE".to_vec())]);
    assert_eq!(left(&project), "");
}
