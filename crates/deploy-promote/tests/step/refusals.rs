//! What is refused before anything is touched: no test here reaches a Docker engine.

use std::path::Path;

use serde_json::json;
use shipkit_core::evidence::Kind;
use shipkit_core::verdict::Verdict;
use shipkit_core::{Digest, Release, Repository};
use shipkit_tests::server::registry::{Broken, Fault, Kind as Asked, Options, Registry};

use crate::bed::{Step, Transcript, client, record, release_of, terminate, wait};
use crate::front::Front;

/// Where nothing answers: whoever gets as far as the target says so.
const NOWHERE: &str = "unix:///nowhere/docker.sock";

/// A registry in memory with one release of one image, and the configuration of its project.
struct Shop {
    registry: Registry,
    image: Digest,
    release: Digest,
}

impl Shop {
    fn new() -> Self {
        let registry = Registry::start(Options::default());
        let digest = registry.seed_image("shop/api", &json!({}), &[b"layer"]);
        let repository: Repository = format!("{}/shop/api", registry.host()).parse().unwrap();
        let release = release_of(1, &[("api", repository.at(&digest), 1)]);
        let put = async { client(&registry.host()).put_release(&releases(&registry), &release).await };
        let release = wait(put).unwrap();
        Self { registry, image: digest, release }
    }

    /// As one that `image-scan` judged so.
    fn scanned(self, verdict: Verdict) -> Self {
        self.scanned_for(None, verdict)
    }

    /// As one that `image-scan` judged so by the policy of an environment.
    fn scanned_for(self, environment: Option<&str>, verdict: Verdict) -> Self {
        let repository: Repository = format!("{}/shop/api", self.registry.host()).parse().unwrap();
        let scan = record(Kind::Scan, verdict, environment);
        wait(async { client(&self.registry.host()).put_evidence(&repository, &self.image, &scan).await })
            .unwrap();
        self
    }

    /// As one that this kind of evidence of `staging` says so about.
    fn known(self, kind: Kind, verdict: Verdict) -> Self {
        let found = record(kind, verdict, Some("staging"));
        let repository = releases(&self.registry);
        wait(async { client(&self.registry.host()).put_evidence(&repository, &self.release, &found).await })
            .unwrap();
        self
    }

    /// The release of a git tag on the same commit, with the same images.
    fn tagged(self) -> Self {
        self.released(|release| release.git_ref = "refs/tags/v1.1.0".into())
    }

    /// Another release, changed in this way.
    fn released(self, change: impl FnOnce(&mut Release)) -> Self {
        let (client, repository) = (client(&self.registry.host()), releases(&self.registry));
        let mut release = wait(client.release(&repository, &self.release)).unwrap();
        change(&mut release);
        // As `build-tag release` does it: the tag of the commit stays with the release of its branch.
        let stored = if release.is_of_git_tag() {
            wait(client.store_release(&repository, &release)).unwrap()
        } else {
            wait(client.put_release(&repository, &release)).unwrap()
        };
        Self { release: stored, ..self }
    }

    fn config(&self) -> String {
        format!(
            "version: 1\nname: shop\nregistry: {}/shop\nservices:\n  api:\n    build: {{context: api}}\n\
             environments:\n  staging:\n    target: {{type: swarm}}\n\
             \x20 production:\n    needs: staging\n    target: {{type: swarm}}\n",
            self.registry.host()
        )
    }

    fn deploy(&self, environment: &str) -> Step {
        self.deploy_as(environment, &self.config())
    }

    fn deploy_as(&self, environment: &str, config: &str) -> Step {
        let step = Step::new("deploy", config).input("environment", environment);
        step.input("release", self.release.as_str()).input("docker-host", NOWHERE)
    }
}

fn releases(registry: &Registry) -> Repository {
    format!("{}/shop/release", registry.host()).parse().unwrap()
}

/// It got past every gate, up to a target that is not there.
#[track_caller]
fn admitted(run: Transcript) {
    run.ended(2, "there is no Docker socket at `/nowhere/docker.sock`");
}

#[test]
fn a_release_without_scan_evidence_is_not_admitted_and_that_is_no_fail() {
    let run =
        Shop::new().deploy("staging").run().ended(3, "1.1.0 is not admitted to staging: the scan of `api`");
    assert!(run.outputs["cause"].ends_with("is missing"), "{run:#?}");
    assert_eq!(run.outputs["verdict"], "inconclusive");
    assert!(run.summary.starts_with("### Not deployed\n"), "{}", run.summary);
}

#[test]
fn a_release_whose_scan_failed_is_refused() {
    let run = Shop::new().scanned(Verdict::Fail).deploy("staging").run();
    let run = run.ended(1, "says fail: because");
    assert_eq!(run.outputs["verdict"], "fail");
}

#[test]
fn an_environment_with_a_policy_of_its_own_asks_for_a_scan_by_it() {
    let deploy = |shop: Shop, environment: &str| {
        let policy = "policy: {scan: {severity: MEDIUM}}\n    target:";
        shop.deploy_as(environment, &shop.config().replace("target:", policy)).run()
    };
    let scanned = || Shop::new().scanned(Verdict::Pass);
    admitted(deploy(scanned().scanned_for(Some("staging"), Verdict::Pass), "staging"));
    let missing = "by the policy of `staging` is missing: `image-scan --release RELEASE --environment staging` makes it";
    deploy(scanned(), "staging").ended(3, missing);
    deploy(scanned().scanned_for(Some("production"), Verdict::Pass), "staging").ended(3, missing);
    let failed = scanned().scanned_for(Some("staging"), Verdict::Fail);
    deploy(failed, "staging").ended(1, "by the policy of `staging` says fail: because");
    // It stands beside the scan before the release was published, and in place of none.
    deploy(Shop::new().scanned_for(Some("staging"), Verdict::Pass), "staging").ended(3, ") is missing");
    // Where nothing is said, nothing more is asked for.
    admitted(scanned().scanned_for(Some("production"), Verdict::Fail).deploy("staging").run());
    let both = |shop: Shop| shop.known(Kind::Deployment, Verdict::Pass).known(Kind::Smoke, Verdict::Pass);
    let staged = both(scanned().scanned_for(Some("staging"), Verdict::Pass));
    deploy(staged, "production").ended(3, "1.1.0 is not admitted to production: the scan of `api`");
}

#[test]
fn a_refusal_is_passed_over_for_a_reason_where_there_is_one() {
    let shop = Shop::new();
    let step = |reason: &str| shop.deploy("staging").input("break-glass", reason);
    admitted(step("outage").run());
    let admitted_anyway = Shop::new().scanned(Verdict::Pass);
    let run = admitted_anyway.deploy("staging").input("break-glass", "outage").run();
    assert!(run.stderr.contains("break-glass: not needed"), "{run:#?}");
    admitted(run);
}

#[test]
fn evidence_that_cannot_be_read_never_counts_as_none_and_never_as_a_pass() {
    let shop = Shop::new().scanned(Verdict::Pass);
    admitted(shop.deploy("staging").run());
    let broken = || Broken::Status(500, Vec::new());
    // The release itself is read before: its manifest is one request.
    shop.registry.fail(Fault::new("GET", Asked::Manifest, broken()).after(1).times(99));
    let run = shop.deploy("staging").run().ended(3, "could not be read: ");
    assert_eq!(run.outputs["verdict"], "inconclusive");
}

#[test]
fn production_asks_for_deployment_and_smoke_of_staging() {
    let both = |deployment: Verdict, smoke: Verdict| {
        let shop = Shop::new().scanned(Verdict::Pass);
        shop.known(Kind::Deployment, deployment).known(Kind::Smoke, smoke).deploy("production").run()
    };
    admitted(both(Verdict::Pass, Verdict::Pass));
    both(Verdict::Pass, Verdict::Fail).ended(1, "the smoke evidence of `staging` says fail: because");
    both(Verdict::Pass, Verdict::Skipped).ended(3, "the smoke evidence of `staging` says skipped: because");
    both(Verdict::Inconclusive, Verdict::Pass)
        .ended(3, "the deployment evidence of `staging` says inconclusive");
    let run = Shop::new().scanned(Verdict::Pass).known(Kind::Deployment, Verdict::Pass);
    run.deploy("production").run().ended(3, "the smoke evidence of `staging` is missing");
}

#[test]
fn the_release_of_a_git_tag_is_admitted_by_what_passed_as_the_very_same_images() {
    let passed = || {
        Shop::new()
            .scanned(Verdict::Pass)
            .known(Kind::Deployment, Verdict::Pass)
            .known(Kind::Smoke, Verdict::Pass)
    };
    admitted(passed().tagged().deploy("production").run());
    // What is written on the tag's own release counts as well, and the newest of both is what counts.
    let failed = passed().tagged().known(Kind::Smoke, Verdict::Fail);
    failed.deploy("production").run().ended(1, "the smoke evidence of `staging` says fail: because");
    // Another release of the same commit, and a branch's.
    let missing = "the smoke evidence of `staging` is missing";
    passed()
        .released(|release| release.version = "1.1.1".into())
        .deploy("production")
        .run()
        .ended(3, missing);
    let other = passed().tagged().released(|release| {
        let more = release.services["api"].clone();
        release.services.insert("web".to_owned(), more);
    });
    other.deploy("production").run().ended(3, missing);
    let alone = Shop::new().scanned(Verdict::Pass).tagged();
    alone.deploy("production").run().ended(3, missing);
    let broken = passed().tagged();
    broken.registry.fail(Fault::new("HEAD", Asked::Manifest, Broken::Status(403, Vec::new())));
    broken.deploy("production").run().ended(3, "the smoke evidence of `staging` could not be read");
}

#[test]
fn a_name_in_upper_case_is_one_clear_error() {
    let run = Shop::new().deploy("staging").input("repository", "ghcr.io/Acme/Release").run();
    run.ended(2, "`ghcr.io/Acme/Release` has upper-case letters, which no registry takes: write `ghcr.io/acme/release`");
}

#[test]
fn a_registry_that_is_down_is_unknown() {
    let shop = Shop::new();
    let step = shop.deploy("staging");
    drop(shop);
    let run = step.run().ended(3, "");
    assert_eq!(run.outputs["verdict"], "inconclusive");
}

#[test]
fn a_run_that_is_cancelled_before_it_changes_anything_says_so() {
    let shop = Shop::new();
    let before = shop.registry.requests().len();
    shop.registry.fail(Fault::new("GET", Asked::Manifest, Broken::Stall).times(99));
    let step = shop.deploy("staging");
    let child = step.start();
    // It has asked, so it listens to signals by now.
    while shop.registry.requests().len() == before {
        std::thread::yield_now();
    }
    terminate(&child);
    step.finish(child).ended(143, "cancelled by SIGTERM: nothing was changed");
}

#[test]
fn an_environment_that_is_not_there_is_named_with_those_that_are() {
    let run = Shop::new().deploy("qa").run().ended(2, "there is no environment `qa`");
    assert!(run.stderr.contains("hint: it has `staging`, `production`"), "{}", run.stderr);
    let config = Shop::new().config();
    let run = Step::new("status", &config).run().ended(2, "no environment is given");
    assert!(run.stderr.contains("--environment"), "{}", run.stderr);
}

#[test]
fn pull_requests_change_no_environment() {
    let shop = Shop::new().scanned(Verdict::Pass);
    for event in ["pull_request", "pull_request_target"] {
        let said = format!("a `{event}` event never changes an environment");
        shop.deploy("staging").var("GITHUB_EVENT_NAME", event).run().ended(2, &said);
        let back = Step::new("rollback", &shop.config()).input("environment", "staging");
        back.input("docker-host", NOWHERE).var("GITHUB_EVENT_NAME", event).run().ended(2, &said);
    }
}

#[test]
fn what_this_version_cannot_do_is_named_and_nothing_is_asked() {
    let shop = Shop::new();
    let before = shop.registry.requests().len();
    let backup = "  staging:\n    backup: {service: api, command: save}\n";
    let run = shop.deploy_as("staging", &shop.config().replace("  staging:\n", backup)).run();
    run.ended(2, "asks for `backup.service`, which this version cannot do on a Swarm");
    let behind = |text: &str| {
        let config = shop.config().replace("{context: api}", "{context: api}\n    strategy: blue-green");
        config.replace("type: swarm", &format!("type: swarm, {text}"))
    };
    let no_proxy = behind("").replace("type: swarm, ", "type: swarm");
    let run = shop.deploy_as("staging", &no_proxy).run();
    run.ended(
        2,
        "on a Swarm only what Traefik sends can shift: `environments.staging.target` names no `proxy`",
    );
    let config = behind("proxy: {traefik: edge}");
    shop.deploy_as("staging", &config).run().ended(2, "no service that is built has a `port`");
    let beside = |other: &str| {
        let config = config.replace("strategy: blue-green", "strategy: blue-green\n    port: 8080");
        config.replace("environments:\n", &format!("  {other}\nenvironments:\n"))
    };
    for (other, said) in [
        ("web: {build: {}, depends_on: [api]}", "`services.web.depends_on` names `api`"),
        ("api-green: {build: {}}", "`services.api-green` has the name of the second slot of `api`"),
        (
            "worker: {build: {}, strategy: blue-green}",
            "`services.worker` is `strategy: blue-green` and has no `port`",
        ),
    ] {
        shop.deploy_as("staging", &beside(other)).run().ended(2, said);
    }
    assert_eq!(shop.registry.requests().len(), before);
}

#[test]
fn what_a_compose_file_says_and_a_swarm_cannot_be_given_is_refused_or_said() {
    let shop = Shop::new();
    let own = shop.config().replace("services:\n  api:\n    build: {context: api}\n", "");
    let deploy = |more: &str| {
        let text = format!("services:\n  api:\n    build: api\n    ports: [80]\n{more}");
        shop.deploy_as("staging", &own).file("compose.yaml", &text).run()
    };
    let run = deploy("    restart: always\n    labels: [a]\n").ended(3, "is missing");
    assert!(run.stderr.contains("`labels` (api), `ports` (api), `restart` (api) of "), "{}", run.stderr);
    assert!(run.stderr.contains("compose.yaml: the target keeps what it has"), "{}", run.stderr);
    for (path, more) in [
        ("api.command", "    command: [serve]\n"),
        ("api.entrypoint", "    entrypoint: serve\n"),
        ("db.volumes[0]", "  db: {image: postgres, volumes: [\"./data:/d\"]}\n"),
        (
            "api.depends_on.up.condition",
            "    depends_on: {up: {condition: service_completed_successfully}}\n  up: {image: up}\n",
        ),
    ] {
        let run = deploy(more).ended(2, &format!("this version cannot give `services.{path}` of "));
        assert!(run.stderr.contains("compose.yaml to a Swarm"), "{}", run.stderr);
    }
    let cluster = own.replace("type: swarm", "type: kubernetes");
    let text = "services:\n  api: {build: api, command: serve, ports: [80]}\n";
    let run = shop.deploy_as("staging", &cluster).file("compose.yaml", text).run();
    assert!(!run.stderr.contains("compose.yaml"), "{}", run.stderr);
}

#[test]
fn what_is_not_acted_upon_is_said() {
    let shop = Shop::new();
    let key = "  staging:\n    approval: required\n    notify: [team]\n";
    let deploy = "{context: api}\n    deploy: {resources: {limits: {memory: 64M}}, update_config: {failure_action: pause}}";
    let config = shop.config().replace("  staging:\n", key).replace("{context: api}", deploy);
    let run = shop.deploy_as("staging", &config).run().ended(3, "is missing");
    let keys = ["environments.staging.approval", "environments.staging.notify"];
    let more = ["services.api.deploy.resources", "services.api.deploy.update_config.failure_action"];
    for key in keys.iter().chain(&more) {
        assert!(run.stderr.contains(&format!("`{key}` is not ")), "{key}: {}", run.stderr);
    }
    assert!(run.stderr.contains("::warning title=not acted upon"), "{}", run.stderr);
}

#[test]
fn checks_that_cannot_be_run_are_named_before_anything_is_deployed() {
    let shop = Shop::new().scanned(Verdict::Pass);
    let with = |text: &str| {
        let config = shop.config().replace("  staging:\n", &format!("  staging:\n{text}\n"));
        shop.deploy_as("staging", &config).run()
    };
    let checks = "    - {tcp: \"127.0.0.1:9\", expect: 200}\n    - {page: /, expect: 200}";
    let sentence = "this version cannot run `expect` of `tcp` (`tcp 127.0.0.1:9`, line ";
    let run = with(&format!("    url: http://127.0.0.1:9\n    smoke:\n{checks}")).ended(2, sentence);
    assert!(run.outputs["cause"].contains("`expect` of `page` (`page /`, line "), "{run:#?}");
    with("    smoke:\n    - {get: /}").ended(2, "`environments.staging.url` does not say where to ask");
}

#[test]
fn a_release_of_another_project_is_refused() {
    let shop = Shop::new();
    let config = shop.config().replace("name: shop", "name: store");
    shop.deploy_as("staging", &config).run().ended(2, "release 1.1.0 is of `shop`, and this is `store`");
}

#[test]
fn a_release_that_does_not_exist_is_unknown() {
    let shop = Shop::new();
    let missing = Digest::of(b"nothing");
    shop.deploy("staging").input("release", missing.as_str()).run().ended(3, missing.as_str());
    shop.deploy("staging").input("release", "9.9.9").run().ended(3, "does not have release `9.9.9`");
}

#[test]
fn a_docker_that_is_no_manager_is_named() {
    let shop = Shop::new().scanned(Verdict::Pass);
    for (state, said) in [("inactive", "is not part of a Swarm"), ("active", "is a worker of its Swarm")] {
        let front = Front::start(move |path: &str| match path {
            path if path.ends_with("/info") => {
                let swarm = json!({"LocalNodeState": state, "ControlAvailable": false});
                (200, json!({"Swarm": swarm}).to_string())
            }
            _ => (200, json!({"ApiVersion": "1.41", "MinAPIVersion": "1.12"}).to_string()),
        });
        let host = format!("tcp://{}", front.host());
        shop.deploy("staging").input("docker-host", &host).run().ended(2, said);
    }
    assert!(!Path::new("/nowhere").exists());
}

#[test]
fn a_rollback_needs_no_variable_of_the_environment() {
    let shop = Shop::new();
    let config = shop.config().replace("  staging:\n", "  staging:\n    environment: {KEY: \"${KEY}\"}\n");
    shop.deploy_as("staging", &config).run().ended(2, "the variable `KEY` is not set");
    let step = Step::new("rollback", &config).input("environment", "staging");
    admitted(step.input("docker-host", NOWHERE).run());
}

#[test]
fn a_broken_line_of_the_secrets_is_named_and_not_shown() {
    let step = Shop::new().deploy("staging").var("SHIPKIT_ENV", "A=1\ns3cret-canary\n");
    let run = step.run().ended(2, "line 2 of `SHIPKIT_ENV` is not `NAME=value`");
    assert!(!format!("{run:?}").contains("s3cret"), "{run:#?}");
}

#[test]
fn the_engine_is_that_of_docker_host_unless_the_input_or_the_target_names_one() {
    let status = |target: &str| {
        let config = format!(
            "version: 1\nname: shop\nregistry: ghcr.io/acme/shop\nservices:\n  api:\n    build: {{context: api}}\n\
             environments:\n  staging:\n    target: {target}\n"
        );
        Step::new("status", &config)
            .input("environment", "staging")
            .var("DOCKER_HOST", "unix:///environment.sock")
    };
    let plain = || status("{type: swarm}");
    let named = || status("{type: swarm, host: 'unix:///target.sock'}");
    let asked = |step: Step, socket: &str| {
        step.run().ended(2, &format!("there is no Docker socket at `/{socket}.sock`"));
    };
    asked(plain(), "environment");
    asked(named(), "target");
    asked(plain().input("docker-host", "unix:///input.sock"), "input");
    asked(named().input("docker-host", "unix:///input.sock"), "input");
}
