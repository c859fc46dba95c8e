//! The reference projects that run on Kubernetes: their own shipkit.yml, and manifests as their plans describe them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use shipkit_core::evidence::Kind;
use shipkit_core::verdict::Verdict;
use shipkit_core::{Digest, ImageRef, Repository};
use shipkit_tests::server::door::kubectl;
use shipkit_tests::server::kubernetes::{Fate, Namespace, kubeconfig};
use shipkit_tests::server::registry::{Options, Registry};

use crate::bed::{Step, client, record, release_of, wait};
use crate::cluster::step_as;

/// A project in a namespace of its own.
struct Project {
    name: &'static str,
    services: [&'static str; 2],
    namespace: Namespace,
    registry: Registry,
    config: String,
    manifests: Vec<(&'static str, String)>,
}

impl Project {
    /// `manifests` are where the configuration says. What needs a running application is left out: no pod has one here.
    fn new(
        name: &'static str,
        (fixture, target): (&str, &str),
        services: [&'static str; 2],
        manifests: Vec<(&'static str, String)>,
    ) -> Self {
        let (namespace, registry) = (Namespace::new(name), Registry::start(Options::default()));
        let here = format!(
            "target: {{type: kubernetes, manifests: {target}, namespace: {}, context: bed}}",
            namespace.name()
        );
        let left_out = ["registry:", "smoke:", "analysis:", "url:", "- {"];
        let line = |line: &str| {
            let key = line.trim_start();
            if left_out.iter().any(|left| key.starts_with(left)) {
                return None;
            }
            Some(if key.starts_with("name:") {
                format!("{line}\nregistry: {}/{name}", registry.host())
            } else if key.starts_with("target:") {
                line.replacen(key, &here, 1)
            } else {
                line.to_owned()
            })
        };
        let config = fixture.lines().filter_map(line).map(|line| line + "\n").collect();
        Self { name, services, namespace, registry, config, manifests }
    }

    fn image(&self, service: &str, digit: u8) -> ImageRef {
        let layer = format!("{service} {digit}");
        let digest =
            self.registry.seed_image(&format!("{}/{service}", self.name), &json!({}), &[layer.as_bytes()]);
        format!("{}/{}/{service}", self.registry.host(), self.name).parse::<Repository>().unwrap().at(&digest)
    }

    fn release(&self, digit: u8) -> Digest {
        let images = self.services.map(|service| (service, self.image(service, digit), digit));
        let mut release = release_of(digit, &images);
        self.name.clone_into(&mut release.name);
        let repository: Repository =
            format!("{}/{}/release", self.registry.host(), self.name).parse().unwrap();
        wait(async {
            let client = client(&self.registry.host());
            for service in release.services.values() {
                let scan = record(Kind::Scan, Verdict::Pass, None);
                client.put_evidence(&service.repository, &service.digest, &scan).await.unwrap();
            }
            client.put_release(&repository, &release).await.unwrap()
        })
    }

    fn step(&self, command: &str, environment: &str) -> Step {
        let step = step_as(command, &self.config).input("environment", environment);
        self.manifests.iter().fold(step, |step, (name, text)| step.file(name, text))
    }

    fn deploy(&self, environment: &str, digit: u8) -> Step {
        self.step("deploy", environment).input("release", self.release(digit).as_str())
    }

    /// The image that a container of a deployment runs.
    #[track_caller]
    fn runs(&self, deployment: &str, service: &str, digit: u8) {
        let live = self.namespace.get("Deployment", deployment);
        let image = &live["spec"]["template"]["spec"]["containers"][0]["image"];
        assert_eq!(image, &json!(self.image(service, digit).to_string()));
    }

    fn secret(&self, name: &str, keys: &[&str]) {
        let data: BTreeMap<&str, &str> = keys.iter().map(|key| (*key, "of the tests")).collect();
        self.namespace.apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data,
        }));
    }

    fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(kubectl());
        command.args(["--kubeconfig", kubeconfig().to_str().unwrap(), "--namespace", self.namespace.name()]);
        command.args(arguments).stdout(Stdio::null());
        command
    }

    /// A volume of a class that only this project asks for.
    fn volume(&self, class: &str) {
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": class},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
                "hostPath": {"path": "/nonexistent"}, "persistentVolumeReclaimPolicy": "Delete",
            },
        });
        let mut child = self.kubectl(&["create", "--filename", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(volume.to_string().as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn uid(&self, kind: &str, name: &str) -> Value {
        self.namespace.get(kind, name)["metadata"]["uid"].clone()
    }
}

#[test]
fn daira_arrives_with_its_databases_goes_back_and_no_release_touches_what_they_keep() {
    let text = include_str!("../fixtures/projects/daira-staging.yaml");
    let fixture = include_str!("../../../../tests/fixtures/projects/daira.shipkit.yml");
    let mut daira = Project::new("daira", (fixture, "k8s/staging.yaml"), ["backend", "frontend"], vec![]);
    let volume = daira.namespace.name().to_owned();
    daira.manifests = vec![("k8s/staging.yaml", text.replace("CLASS", &volume))];
    // The disk of the database, which a team has before.
    daira.volume(&volume);
    let refused = daira.deploy("staging", 1).run();
    let sentence = "secrets do not exist in the namespace: `DATABASE_URL` in any that the pods read, `JWT_SECRET` in any";
    refused.ended(2, sentence);
    daira.secret("daira-secrets", &["DATABASE_URL", "REDIS_URL", "JWT_SECRET", "POSTGRES_PASSWORD"]);
    daira.deploy("staging", 1).run().ended(0, "1.1.0 runs in staging");
    let there = ["StatefulSet", "StatefulSet", "PersistentVolumeClaim", "Pod", "Pod"].into_iter().zip([
        "postgres",
        "redis",
        "data-postgres-0",
        "postgres-0",
        "redis-0",
    ]);
    let kept = || there.clone().map(|(kind, name)| daira.uid(kind, name)).collect::<Vec<_>>();
    let before = kept();
    for (digit, step) in [
        (2, daira.deploy("staging", 2)),
        (1, daira.step("rollback", "staging")),
        (3, daira.deploy("staging", 3)),
    ] {
        step.run().ended(0, &format!("1.{digit}.0 "));
        daira.runs("daira-backend", "backend", digit);
        daira.runs("daira-frontend", "frontend", digit);
        assert_eq!(kept(), before, "1.{digit}.0");
    }
    daira.namespace.will(daira.image("frontend", 4).digest.as_str(), Fate::Crash(1));
    daira.deploy("staging", 4).run().ended(1, "rolled back: `frontend` keeps failing");
    daira.runs("daira-backend", "backend", 3);
    assert_eq!(kept(), before);
    // It goes with the claim, and that goes with the namespace.
    let gone = daira.kubectl(&["delete", "persistentvolume", &volume, "--wait=false"]).status().unwrap();
    assert!(gone.success());
}

#[test]
fn chat_is_refused_without_its_frontend_and_runs_its_migration_before_the_release_that_needs_it() {
    let file = |name, text: &str| (name, text.to_owned());
    let manifests = vec![
        file(
            "k8s/backend-deployment.yaml",
            include_str!("../fixtures/projects/chat/backend-deployment.yaml"),
        ),
        file("k8s/hpa.yaml", include_str!("../fixtures/projects/chat/hpa.yaml")),
        file("k8s/ingress.yaml", include_str!("../fixtures/projects/chat/ingress.yaml")),
    ];
    let fixture = include_str!("../../../../tests/fixtures/projects/chat.shipkit.yml");
    let mut chat = Project::new("chat", (fixture, "k8s/"), ["backend", "frontend"], manifests);
    chat.secret("chat-secrets", &["database-url", "redis-url"]);
    chat.deploy("production", 1).run().ended(2, "`frontend`");
    let frontend = include_str!("../fixtures/projects/chat/frontend-deployment.yaml");
    chat.manifests.push(file("k8s/frontend-deployment.yaml", frontend));
    let run = chat.deploy("production", 1).run();
    run.ended(2, "secrets do not exist in the namespace: `jwt-secret` in `chat-secrets`");
    chat.secret("chat-secrets", &["database-url", "redis-url", "jwt-secret"]);

    for digit in [1, 2] {
        chat.namespace.jobs_will(chat.image("backend", digit).digest.as_str(), Fate::Exit(0));
        chat.deploy("production", digit).run().ended(0, &format!("1.{digit}.0 runs in production"));
        // What the files call `latest` is nowhere.
        chat.runs("chat-backend", "backend", digit);
        chat.runs("chat-frontend", "frontend", digit);
    }
    chat.namespace.jobs_will(chat.image("backend", 3).digest.as_str(), Fate::Exit(4));
    let run = chat.deploy("production", 3).run();
    run.ended(1, "nothing was rolled out");
    chat.runs("chat-backend", "backend", 2);
    chat.step("rollback", "production").run().ended(0, "1.1.0 serves in production again");
    chat.runs("chat-backend", "backend", 1);
    chat.runs("chat-frontend", "frontend", 1);
}
