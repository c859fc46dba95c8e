//! Releases arrive, replace each other without a request lost, and go back.

use std::collections::BTreeSet;

use shipkit_core::Digest;
use shipkit_core::evidence::Kind;
use shipkit_core::verdict::Verdict;
use shipkit_smoke::WatchReport;
use shipkit_tests::container::docker;

use super::project::Project;
use crate::quiet::load::{self, check_lossless};

/// Asks 200 times a second, on new connections and kept ones, while something happens.
pub(super) fn watched<T>(project: &Project, happens: impl FnOnce() -> T) -> (T, WatchReport) {
    load::watched(&project.url(), happens)
}

#[test]
fn a_release_arrives_is_replaced_without_a_loss_and_comes_back_without_a_registry() {
    let mut project = Project::alone("compose");
    let (one, two) = (project.bed.image(1, "good"), project.bed.image(2, "good"));
    let (first, second) = (project.release(1, &one), project.release(2, &two));

    let run = project.deploy(&first).input("dry-run", "true").run().ended(0, "dry run: nothing was changed");
    for line in ["create `api`", "create `web`", "start `nginx`, which is not there", "start `db`"] {
        assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
    }
    assert_eq!((project.everything(), project.remembered().as_str()), (Vec::new(), ""));

    project.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    assert_eq!(project.running("api"), vec![one.to_string(); 2]);
    assert_eq!(project.running("web"), [one.to_string()]);
    for kind in [Kind::Deployment, Kind::Smoke] {
        assert_eq!(project.bed.evidence(&first, kind, "staging").unwrap().verdict, Verdict::Pass);
    }
    let (data, nginx) = (project.id("db"), project.id("nginx"));

    let before = (project.everything(), project.remembered());
    let run = project.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    assert_eq!((project.everything(), project.remembered()), before, "{run:#?}");

    let (run, report) = watched(&project, || project.deploy(&second).run());
    let run = run.ended(0, "1.2.0 serves in staging");
    assert_eq!(run.outputs["previous"], first.as_str());
    check_lossless(&report, &[1, 2]);
    assert_eq!(project.running("api"), vec![two.to_string(); 2]);
    let run = project.step("status").input("json", "true").run().ended(0, "1.2.0 serves");
    let said: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(said["project"], project.bed.stack.as_str());

    back_and_there_again(&project, &first, &second);
    project.bed.stop_registry();
    // The way back needs no file of the checkout but shipkit.yml.
    std::fs::remove_file(project.folder.path().join("compose.yaml")).unwrap();
    let kept = project.containers("api");
    let run = project.step("rollback").input("dry-run", "true").run().ended(0, "dry run");
    assert!(run.stdout.contains("return `api`"), "{}", run.stdout);
    let (run, report) = watched(&project, || project.step("rollback").run());
    run.ended(0, "1.1.0 serves in staging again");
    check_lossless(&report, &[1, 2]);
    let ids = |lines: &[String]| -> BTreeSet<String> {
        lines.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    assert!(ids(&project.containers("api")).is_subset(&ids(&kept)), "kept ones are started, none is made");
    assert_eq!(project.running("api"), vec![one.to_string(); 2]);
    project.step("rollback").run().ended(1, "remembers no good release before it");
    project.step("status").run().ended(0, "1.1.0 serves");
    assert_eq!((project.id("db"), project.id("nginx")), (data, nginx));
}

#[test]
fn behind_kamal_proxy_a_release_arrives_is_replaced_without_a_loss_and_comes_back() {
    let mut project = Project::alone("kamal");
    let (one, two) = (project.bed.image(1, "good"), project.bed.image(2, "good"));
    let (first, second) = (project.release(1, &one), project.release(2, &two));
    let text = std::fs::read_to_string(project.folder.path().join("compose.yaml")).unwrap();
    let (before, rest) = text.split_once("  nginx:\n").unwrap();
    let (_, after) = rest.split_once("  api:\n").unwrap();
    let edge = "  edge:\n    image: shipkit-test/kamal-proxy:0.9\n    stop_grace_period: 1s\n    depends_on: [api]\n    \
                volumes: ['shipkit:/home/kamal-proxy/.config/kamal-proxy']\n";
    project.write("compose.yaml", &format!("{before}{edge}  api:\n{after}"));
    project.edit("shipkit.yml", "proxy: {nginx: nginx}", "proxy: {kamal-proxy: edge}");
    let run = project.deploy(&first).run().ended(2, "nothing says at which path");
    assert!(run.stderr.contains("`services.api.healthcheck.ready`"), "{}", run.stderr);
    assert_eq!(project.everything(), Vec::<String>::new());
    project.edit("shipkit.yml", "port: 8080", "port: 8080, healthcheck: {ready: /ready}");
    project.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    let edge = project.id("edge");
    let (run, report) = watched(&project, || project.deploy(&second).run());
    run.ended(0, "1.2.0 serves in staging");
    check_lossless(&report, &[1, 2]);
    let (run, report) = watched(&project, || project.step("rollback").run());
    run.ended(0, "1.1.0 serves in staging again");
    check_lossless(&report, &[1, 2]);
    assert_eq!((project.running("api"), project.id("edge")), (vec![one.to_string(); 2], edge));
}

/// A rollback and three rollouts without a loss, again and again. The second release serves before and after, and each time the
/// way back leads to the first.
fn back_and_there_again(project: &Project, first: &Digest, second: &Digest) {
    for _ in 0..load::rounds(15) {
        let (run, report) = watched(project, || project.step("rollback").run());
        run.ended(0, "1.1.0 serves in staging again");
        check_lossless(&report, &[1, 2]);
        for release in [second, first, second] {
            let (run, report) = watched(project, || project.deploy(release).run());
            run.ended(0, "serves in staging");
            check_lossless(&report, &[1, 2]);
        }
    }
}

#[test]
fn what_holds_data_is_the_same_container_after_ten_deploys_and_a_rollback() {
    let mut project = Project::new("data");
    let images = [project.bed.image(1, "good"), project.bed.image(2, "good")];
    let api = images[0].clone();
    project.edit("compose.yaml", "replicas: 2", "replicas: 1");
    let releases: Vec<_> =
        (0..2).map(|at| project.bed.release(at + 1, (&api, 1), (&images[usize::from(at)], at + 1))).collect();
    project.deploy(&releases[0]).run().ended(0, "1.1.0 serves");
    let kept = (project.id("db"), project.id("nginx"), project.id("api"));
    for round in 1..10 {
        project.deploy(&releases[round % 2]).run().ended(0, "serves in staging");
    }
    project.step("rollback").run().ended(0, "serves in staging again");
    assert_eq!((project.id("db"), project.id("nginx"), project.id("api")), kept);
}

#[test]
fn secrets_reach_the_services_and_nobody_else() {
    let mut project = Project::new("secret");
    let one = project.bed.image(1, "crash");
    project.edit("shipkit.yml", "    timeout: 40s\n", "    timeout: 40s\n    secrets: [CANARY]\n");
    project.edit(
        "compose.yaml",
        "    build: api\n",
        "    build: api\n    environment: ['CANARY=${CANARY:?}']\n",
    );
    let first = project.release(1, &one);
    let run =
        project.deploy(&first).run().ended(2, "`environments.staging.secrets` names `CANARY`, not set here");
    assert_eq!(project.everything(), Vec::<String>::new(), "{run:#?}");
    let run = project.deploy(&first).var("CANARY", "s3cret-canary").run().ended(1, "rolled back: ");
    assert!(run.stderr.contains("CANARY is ***"), "{}", run.stderr);
    assert!(!run.everything().contains("s3cret"), "{run:#?}");
    assert!(!project.state().join("env").exists());
}

#[test]
fn services_that_only_the_compose_file_names_are_deployed_as_it_says() {
    let mut project = Project::new("beside");
    let one = project.bed.image(1, "good");
    let first = project.release(1, &one);
    let config = project.config();
    let (before, rest) = config.split_once("services:\n").unwrap();
    let (_, after) = rest.split_once("environments:\n").unwrap();
    project.write("shipkit.yml", &format!("{before}environments:\n{after}"));
    let run = project.step("check").input("release", first.as_str()).run();
    run.ended(2, "`environments.staging.target.proxy` has nobody to pass requests on to");
    project.edit("shipkit.yml", ", proxy: {nginx: nginx}", "");
    project.edit("nginx.conf", "http://api;", "http://api:8080;");
    let more = "    build: api\n    environment: ['GREETING=${GREETING}']\n";
    project.edit("compose.yaml", "    build: api\n", more);
    project.write(".env", "GREETING=hello\n");
    project.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    let id = project.containers("api")[0].split(' ').next().unwrap().to_owned();
    assert!(docker(&["inspect", "--format", "{{.Config.Env}}", &id]).contains("GREETING=hello"));
    let remembered: serde_json::Value = serde_json::from_str(&project.remembered()).unwrap();
    // What is added to the files, and not what they say themselves.
    assert_eq!(remembered["services"]["api"]["now"]["environment"], serde_json::json!({}));
}
