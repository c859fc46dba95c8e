//! A namespace of a real control plane whose node is played: the same deploy, rollback and status as on a Swarm.

use std::io::{BufRead as _, BufReader};
use std::process::Command;

use serde_json::json;
use shipkit_core::evidence::Kind;
use shipkit_core::verdict::Verdict;
use shipkit_core::{Digest, ImageRef, Repository};
use shipkit_tests::server::door::kubectl;
use shipkit_tests::server::kubernetes::{Fate, Namespace, kubeconfig};
use shipkit_tests::server::registry::{Options, Registry};
use shipkit_tests::soon;

use crate::bed::{Step, client, record, release_of, wait};

/// A project of two services in one namespace, and the registry of its releases.
pub(crate) struct Shop {
    pub(crate) namespace: Namespace,
    pub(crate) registry: Registry,
}

impl Shop {
    pub(crate) fn new(name: &str) -> Self {
        let namespace = Namespace::new(name);
        for service in ["shop-api", "web"] {
            namespace.deployment(service, "registry.example/shop:before");
        }
        Self { namespace, registry: Registry::start(Options::default()) }
    }

    pub(crate) fn config(&self) -> String {
        let (registry, namespace) = (self.registry.host(), self.namespace.name());
        let deploy = "deploy: {update_config: {monitor: 0s}}";
        format!(
            "version: 1\nname: shop\nregistry: {registry}/shop\nservices:\n\
             \x20 db: {{image: \"postgres:17\", stateful: true}}\n\
             \x20 api:\n    build: {{context: api}}\n    kubernetes: {{deployment: shop-api, container: shop-api}}\n    {deploy}\n\
             \x20 web:\n    build: {{context: web}}\n    depends_on: [api]\n    {deploy}\n\
             environments:\n  staging:\n    timeout: 60s\n    target: {{type: kubernetes, namespace: {namespace}, context: bed}}\n"
        )
    }

    /// A release whose images are its own, and what becomes of the one of `web`.
    pub(crate) fn release(&self, digit: u8, web: Option<Fate>) -> Digest {
        let host = self.registry.host();
        let (api, web_image) = (self.image("api", digit), self.image("web", digit));
        if let Some(fate) = web {
            self.namespace.will(web_image.digest.as_str(), fate);
        }
        let release = release_of(digit, &[("api", api, digit), ("web", web_image, digit)]);
        let repository: Repository = format!("{host}/shop/release").parse().unwrap();
        wait(async {
            let client = client(&host);
            for service in release.services.values() {
                let scan = record(Kind::Scan, Verdict::Pass, None);
                client.put_evidence(&service.repository, &service.digest, &scan).await.unwrap();
            }
            client.put_release(&repository, &release).await.unwrap()
        })
    }

    pub(crate) fn image(&self, name: &str, digit: u8) -> ImageRef {
        let layer = format!("{name} {digit}");
        let digest = self.registry.seed_image(&format!("shop/{name}"), &json!({}), &[layer.as_bytes()]);
        format!("{}/shop/{name}", self.registry.host()).parse::<Repository>().unwrap().at(&digest)
    }

    /// What becomes of jobs in the image of `api` in this release.
    pub(crate) fn api_jobs_will(&self, digit: u8, fate: Fate) {
        self.namespace.jobs_will(self.image("api", digit).digest.as_str(), fate);
    }

    pub(crate) fn step(&self, command: &str) -> Step {
        step_as(command, &self.config())
    }

    pub(crate) fn deploy(&self, release: &Digest) -> Step {
        self.step("deploy").input("release", release.as_str())
    }

    /// The versions that the deployments name, and their images.
    fn there(&self) -> Vec<(String, String)> {
        let one = |name| {
            let live = self.namespace.get("Deployment", name);
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let image = text(&live["spec"]["template"]["spec"]["containers"][0]["image"]);
            (text(&live["metadata"]["annotations"]["shipkit.dev/version"]), image)
        };
        vec![one("shop-api"), one("web")]
    }

    pub(crate) fn versions(&self) -> Vec<String> {
        self.there().into_iter().map(|(version, _)| version).collect()
    }

    /// What a person types.
    #[track_caller]
    pub(crate) fn kubectl(&self, arguments: &[&str]) {
        let mut command = Command::new(kubectl());
        command.args(["--kubeconfig", kubeconfig().to_str().unwrap(), "--namespace", self.namespace.name()]);
        let run = command.args(arguments).output().unwrap();
        assert!(run.status.success(), "{arguments:?}: {run:?}");
    }

    /// A kubeconfig of a user with a role that is shipped, by its file and its name.
    pub(crate) fn user_of(&self, file: &str, role: &str) -> String {
        let path = format!("{}/../../actions/deploy-promote/{file}", env!("CARGO_MANIFEST_DIR"));
        self.kubectl(&["apply", "--filename", &path]);
        self.namespace.user_with(role)
    }

    /// As if the time of a killed run were over: it cannot give its lease up.
    pub(crate) fn lease_ends(&self) {
        for lease in self.namespace.names("Lease") {
            self.namespace.merge("Lease", &lease, &json!({"spec": {"holderIdentity": null}}));
        }
    }
}

/// One run of the program against the control plane of the bed.
pub(crate) fn step_as(command: &str, config: &str) -> Step {
    let path = kubeconfig();
    Step::new(command, config).input("environment", "staging").input("kubeconfig", path.to_str().unwrap())
}

#[test]
fn a_release_is_deployed_a_bad_one_goes_back_as_a_whole_and_a_good_one_can_be_taken_back() {
    let shop = Shop::new("dp-life");
    let one = shop.release(1, None);
    let before = shop.there();
    let run = shop.deploy(&one).input("dry-run", "true").run().ended(0, "dry run: nothing was changed");
    assert!(run.stdout.starts_with("update `api` a tag -> ") && !run.stdout.contains("`db`"), "{run:#?}");
    assert_eq!(shop.there(), before);

    let run = shop.deploy(&one).run().ended(0, "1.1.0 runs in staging");
    assert_eq!(run.outputs["verdict"], "pass");
    let good = shop.there();
    assert_eq!(shop.versions(), ["1.1.0", "1.1.0"]);
    assert!(good.iter().all(|(_, image)| image.contains("@sha256:")), "{good:?}");
    assert!(run.outputs["digests"].contains(good[0].1.split_once('@').unwrap().1), "{run:#?}");

    let two = shop.release(2, Some(Fate::Crash(3)));
    let run =
        shop.deploy(&two).run().ended(1, "rolled back: `web` keeps failing: container `web` of pod `web-");
    assert!(run.outputs["cause"].ends_with("ended with exit code 3; 1.1.0 serves"), "{run:#?}");
    assert_eq!(shop.there(), good, "all services are back");

    let three = shop.release(3, None);
    shop.deploy(&three).run().ended(0, "1.3.0 runs in staging");
    let run = shop.step("status").run().ended(0, "1.3.0 serves");
    let line = format!("{}/api: 1.3.0 since ", shop.namespace.name());
    assert!(run.stdout.starts_with(&line) && run.stdout.contains(", 3 running, "), "{run:#?}");
    let run = shop.step("rollback").run().ended(0, "1.1.0 serves in staging again");
    assert_eq!((shop.there(), run.exit), (good, Some(0)));
    shop.step("rollback").run().ended(1, "remembers no good release before it");
}

#[test]
fn a_deploy_to_a_cluster_that_is_killed_is_finished_by_the_next_one() {
    let shop = Shop::new("dp-kill");
    let releases = [("1.1.0", shop.release(1, None)), ("1.2.0", shop.release(2, None))];
    shop.deploy(&releases[0].1).run().ended(0, "1.1.0 runs in staging");
    // Its lines: three of evidence, two of each service. The first change is on its way with the fourth.
    for (round, lines) in [4, 6].into_iter().enumerate() {
        let (version, release) = &releases[(round + 1) % 2];
        let step = shop.deploy(release);
        let mut child = step.start();
        let said = BufReader::new(child.stderr.take().unwrap()).lines().take(lines).count();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(said, lines, "it ended before it could be killed");
        shop.lease_ends();
        let run = shop.deploy(release).run().ended(0, &format!("{version} runs in staging"));
        assert_eq!(shop.versions(), [*version, *version], "killed after line {said}: {run:#?}");
        let back = shop.step("rollback").input("dry-run", "true").run().ended(0, "dry run");
        let expected = format!("(release {version} -> {})", releases[round % 2].0);
        assert_eq!(back.stdout.matches(&expected).count(), 2, "killed after line {said}: {}", back.stdout);
    }
}

#[test]
fn what_somebody_else_changes_meanwhile_is_reported_as_unknown_and_kept() {
    let shop = Shop::new("dp-else");
    let one = shop.release(1, Some(Fate::Unready));
    let step = shop.deploy(&one);
    let mut child = step.start();
    let stderr = child.stderr.take().unwrap();
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let mut said = Vec::new();
    let begins = |line: String| {
        said.push(line);
        said.last().unwrap().starts_with("update `web`")
    };
    assert!(lines.any(begins), "it never began: {said:#?}");
    // It is written, and never becomes ready.
    soon("it was never written", || shop.versions()[1] == "1.1.0");
    shop.namespace.deployment("web", "registry.example/shop:hotfix");
    let rest: Vec<_> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(3), "{rest:#?}");
    assert_eq!(shop.there()[1].1, "registry.example/shop:hotfix");
}

#[test]
fn what_cannot_be_done_in_a_cluster_is_refused_before_anything_changes() {
    let shop = Shop::new("dp-refuse");
    let one = shop.release(1, None);
    let before = shop.there();
    let deploy = |config: &str| step_as("deploy", config).input("release", one.as_str());
    let with = |from: &str, to: &str| deploy(&shop.config().replacen(from, to, 1));
    with("context: bed", "context: prod").run().ended(2, "failed to load current context: prod");
    let nowhere = format!("namespace: {}", shop.namespace.name());
    with(&nowhere, "namespace: sk-nowhere").run().ended(2, "there is no namespace `sk-nowhere`");
    with("context: bed", "kustomize: k8s")
        .run()
        .ended(2, "asks for `target.kustomize`, which this version cannot do in a cluster");
    with("timeout: 60s", "environment: {A: b}")
        .run()
        .ended(2, "asks for `environment`, which this version cannot do in a cluster");
    with("deployment: shop-api", "deployment: web")
        .run()
        .ended(2, "services `api` and `web` are both in deployment `web`");
    with("deployment: shop-api", "deployment: other").run().ended(2, "has no deployment `other`");
    with("container: shop-api", "container: app")
        .run()
        .ended(2, "deployment `shop-api` has no container `app`, only `shop-api`");
    with("timeout: 60s", "secrets: [key]").run().ended(2, "secrets do not exist in the namespace: `key`");
    let none = Step::new("status", &shop.config()).input("environment", "staging");
    none.run().ended(2, "no cluster is named");
    for step in [shop.step("history"), shop.step("rollback").input("to", "1.1.0")] {
        step.run().ended(2, "a cluster does not keep the releases that were confirmed there");
    }
    shop.step("adopt").run().ended(2, "a cluster has nothing to adopt");

    // The least role, but for one verb; as the text of a kubeconfig, whose token is never shown.
    let reader = shop.namespace.user(
        "reader",
        &[
            (&["get", "list", "watch"], "apps", &["deployments", "replicasets"]),
            (&["list", "watch"], "", &["pods"]),
            (&["get", "create", "patch"], "coordination.k8s.io", &["leases"]),
        ],
    );
    let run = deploy(&shop.config()).input("kubeconfig", &reader).run();
    let run = run.ended(3, "these credentials may not, in namespace");
    assert!(run.outputs["cause"].ends_with(": patch deployments"), "{run:#?}");
    let (_, token) = reader.split_once("token: ").unwrap();
    let (token, _) = token.split_once('}').unwrap();
    assert!(run.stderr.contains(&format!("::add-mask::{token}")), "it is not masked");
    assert!(!run.everything().contains(token), "it is shown");
    assert_eq!(shop.there(), before);
}
