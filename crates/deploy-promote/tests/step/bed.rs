//! `Step`: the program as one step of a workflow. `Bed`: a project with registry, images and stacks of its own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::lease::Lease;
use shipkit_core::release::{PublishTags, Release, ServiceImage};
use shipkit_core::verdict::Verdict;
use shipkit_core::{Digest, ImageRef, Repository};
use shipkit_docker::Swarm;
use shipkit_registry::{Credentials, Registry};
use shipkit_tests::container::{docker, push, root_archive};
use shipkit_tests::server::docker_registry::DockerRegistry;
use shipkit_tests::server::engine::Engine;
use shipkit_tests::step::outputs;
use tempfile::TempDir;

use crate::front::Front;

/// A commit of the tests: forty times the same digit.
pub(crate) fn commit(digit: u8) -> String {
    digit.to_string().repeat(40)
}

/// What a step left behind.
#[derive(Debug)]
pub(crate) struct Transcript {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) summary: String,
}

impl Transcript {
    #[track_caller]
    pub(crate) fn ended(self, exit: i32, cause: &str) -> Self {
        assert_eq!(self.exit, Some(exit), "{self:#?}");
        assert!(self.outputs["cause"].contains(cause), "{cause}: {self:#?}");
        self
    }

    /// Everything that it wrote, without the lines that tell the runner what to hide.
    pub(crate) fn everything(&self) -> String {
        let said = self.stderr.lines().filter(|line| !line.starts_with("::add-mask::"));
        let said: Vec<_> = said.collect();
        format!("{}{}{:?}{}", self.stdout, said.join("\n"), self.outputs, self.summary)
    }
}

/// One run of the program: a scrubbed environment, inputs as the runner gives them.
pub(crate) struct Step {
    vars: BTreeMap<String, String>,
    folder: TempDir,
}

impl Step {
    pub(crate) fn new(command: &str, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("output", ""), ("summary", ""), ("shipkit.yml", config)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let vars = BTreeMap::from([
            ("GITHUB_ACTIONS".to_owned(), "true".to_owned()),
            ("GITHUB_OUTPUT".to_owned(), path("output")),
            ("GITHUB_STEP_SUMMARY".to_owned(), path("summary")),
            ("GITHUB_REPOSITORY".to_owned(), "acme/shop".to_owned()),
            ("GITHUB_SERVER_URL".to_owned(), "https://github.example".to_owned()),
            ("GITHUB_RUN_ID".to_owned(), "7".to_owned()),
            ("INPUT_COMMAND".to_owned(), command.to_owned()),
            ("INPUT_DIRECTORY".to_owned(), path("")),
        ]);
        Self { vars, folder }
    }

    /// The same with one more file in the checkout.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn input(self, name: &str, value: &str) -> Self {
        self.var(&format!("INPUT_{}", name.to_uppercase()), value)
    }

    pub(crate) fn start(&self) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deploy-promote"));
        command.env_clear().envs(&self.vars).current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn finish(self, child: Child) -> Transcript {
        let done = child.wait_with_output().unwrap();
        let read = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        Transcript {
            exit: done.status.code(),
            stdout: String::from_utf8(done.stdout).unwrap(),
            stderr: String::from_utf8(done.stderr).unwrap(),
            outputs: outputs(&read("output")),
            summary: read("summary"),
        }
    }

    pub(crate) fn run(self) -> Transcript {
        let child = self.start();
        self.finish(child)
    }
}

/// Asks a run to end, as `docker stop` does.
pub(crate) fn terminate(child: &Child) {
    terminate_process(child.id());
}

pub(crate) fn terminate_process(process: u32) {
    let status = Command::new("kill").args(["-TERM", &process.to_string()]).status().unwrap();
    assert!(status.success());
}

/// Waits for a future; the tests themselves are not async.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A client of the registry at `host`, without any login.
pub(crate) fn client(host: &str) -> Registry {
    Registry::new(Credentials::new(host, None, None, None)).unwrap()
}

/// A record as one of the programs would write it.
pub(crate) fn record(kind: Kind, verdict: Verdict, environment: Option<&str>) -> Record {
    Record {
        kind,
        verdict,
        cause: "because".to_owned(),
        environment: environment.map(str::to_owned),
        time: jiff::Timestamp::now(),
        by: "test 1".to_owned(),
        run: None,
        details: serde_json::Value::Null,
    }
}

/// A release of these images. Its version is `1.<digit>.0`.
pub(crate) fn release_of(digit: u8, images: &[(&str, ImageRef, u8)]) -> Release {
    let services = images.iter().map(|(name, image, revision)| {
        let service = ServiceImage {
            key: None,
            created: None,
            bases: BTreeMap::new(),
            repository: image.repository.clone(),
            digest: image.digest.clone(),
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            platforms: BTreeMap::new(),
            revision: commit(*revision),
            version: None,
        };
        ((*name).to_owned(), service)
    });
    Release {
        name: "shop".to_owned(),
        version: format!("1.{digit}.0"),
        commit: commit(digit),
        git_ref: "refs/heads/main".to_owned(),
        created: jiff::Timestamp::UNIX_EPOCH,
        run: None,
        services: services.collect(),
        tags: PublishTags::default(),
    }
}

/// A project with a registry, images and stacks of its own, all removed at its end.
pub(crate) struct Bed {
    pub(crate) stack: String,
    registry: Option<DockerRegistry>,
    host: String,
    front: Front,
    images: Vec<String>,
    /// The host of the engine, where it is not this machine's own.
    pub(crate) swarm: Option<String>,
}

impl Bed {
    pub(crate) fn new(name: &str) -> Self {
        let registry = DockerRegistry::start();
        let mut bed = Self::at(name, registry.host());
        bed.registry = Some(registry);
        bed
    }

    /// The same with a registry that is there already.
    pub(crate) fn at(name: &str, registry: &str) -> Self {
        let stack = format!("dp{}-{name}", std::process::id());
        let asked = stack.clone();
        let front = Front::start(move |path| ask_api(&asked, path));
        Self { stack, registry: None, host: registry.to_owned(), front, images: Vec::new(), swarm: None }
    }

    /// Two built services and one that holds data; `staging`, then `production`.
    pub(crate) fn config(&self) -> String {
        let (stack, registry, front) = (&self.stack, &self.host, self.front.host());
        let data = self.images.first().cloned().unwrap_or_default();
        let deploy = "stop_grace_period: 1s\n    deploy: {endpoint_mode: dnsrr, update_config: {delay: 0s, monitor: 1s}}\n    healthcheck: {test: healthy, ready: /ready, interval: 1s, timeout: 5s, retries: 1}\n";
        format!(
            "version: 1\nname: shop\nregistry: {registry}/{stack}\nservices:\n\
             \x20 db:\n    image: {data}\n    stateful: true\n    stop_grace_period: 1s\n    deploy: {{endpoint_mode: dnsrr}}\n\
             \x20 api:\n    build: {{context: api}}\n    depends_on: [db]\n    {deploy}\
             \x20 web:\n    build: {{context: web}}\n    depends_on: [api]\n    {deploy}\
             environments:\n\
             \x20 staging:\n    url: http://{front}\n    timeout: 30s\n    target: {{type: swarm, stack: {stack}}}\n\
             \x20   smoke:\n    - {{release: /version, service: api}}\n    - {{get: /items, expect: {{status: 200, json: {{state: fine}}}}, retries: 0}}\n\
             \x20 production:\n    needs: staging\n    timeout: 30s\n    target: {{type: swarm, stack: {stack}-live}}\n"
        )
    }

    /// An image with this revision that behaves so, pushed.
    pub(crate) fn image(&mut self, revision: u8, mode: &str) -> ImageRef {
        self.image_from(revision, (mode, "serve"), &archive())
    }

    /// The same, which answers over HTTP at port 8080.
    pub(crate) fn answering(&mut self, revision: u8, mode: &str) -> ImageRef {
        self.image_from(revision, (mode, "http"), &archive())
    }

    /// One that works and takes so many megabytes where it is unpacked.
    pub(crate) fn large_image(&mut self, revision: u8, megabytes: u64) -> ImageRef {
        let folder = tempfile::tempdir().unwrap();
        let (large, all) = (folder.path().join("large"), folder.path().join("root.tar"));
        std::fs::File::create(&large).unwrap().set_len(megabytes << 20).unwrap();
        std::fs::copy(archive(), &all).unwrap();
        let added =
            Command::new("tar").arg("-rf").arg(&all).arg("-C").arg(folder.path()).arg("large").status();
        assert!(added.unwrap().success());
        self.image_from(revision, ("good", "serve"), &all)
    }

    fn image_from(&mut self, revision: u8, (mode, runs): (&str, &str), archive: &Path) -> ImageRef {
        let repository = format!("{}/{}/app", self.host, self.stack);
        let kind = if runs == "serve" { "" } else { runs };
        let tagged = format!("{repository}:{revision}{mode}{kind}");
        let (revision, mode) = (format!("ENV REVISION={}", commit(revision)), format!("ENV MODE={mode}"));
        let command = format!("CMD [\"/container\", \"{runs}\"]");
        docker(&["import", "-c", &revision, "-c", &mode, "-c", &command, archive.to_str().unwrap(), &tagged]);
        self.pushed(tagged)
    }

    /// An image of `examples/shop`, `api` or `web`, with this revision, pushed.
    pub(crate) fn shop_image(&mut self, name: &str, revision: u8) -> ImageRef {
        let tagged = format!("{}/{}/{name}:{revision}", self.host, self.stack);
        let folder = format!("{}/../../examples/shop/{name}", env!("CARGO_MANIFEST_DIR"));
        let (version, revision) =
            (format!("VERSION=1.{revision}.0"), format!("REVISION={}", commit(revision)));
        docker(&[
            "buildx",
            "build",
            "--quiet",
            "--tag",
            &tagged,
            "--build-arg",
            &version,
            "--build-arg",
            &revision,
            &folder,
        ]);
        self.pushed(tagged)
    }

    fn pushed(&mut self, tagged: String) -> ImageRef {
        let digest = push(&tagged);
        self.images.push(tagged);
        digest.parse().unwrap()
    }

    /// The image of what holds data: the first.
    pub(crate) fn data(&self) -> &str {
        &self.images[0]
    }

    /// The registry.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// An engine of this test's own that reaches the registry, with so many megabytes of room; the releases go there from
    /// now on.
    pub(crate) fn own_engine(&mut self, room: Option<u32>) -> Engine {
        let storage = self.registry.as_ref().unwrap().storage();
        let engine = Engine::start(&self.host, &storage, room);
        self.swarm = Some(engine.host());
        engine
    }

    /// Runs the client against the engine.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let host: Vec<&str> = self.swarm.iter().flat_map(|host| ["--host", host]).collect();
        docker(&[&host[..], arguments].concat())
    }

    /// Where releases are.
    pub(crate) fn repository(&self) -> Repository {
        format!("{}/{}/release", self.host, self.stack).parse().unwrap()
    }

    /// The release that the tag of an environment names.
    pub(crate) fn pointer(&self, environment: &str) -> Option<Digest> {
        let tag = format!("deployed-{environment}").parse().unwrap();
        wait(self.client().resolve(&self.repository(), &tag)).unwrap()
    }

    pub(crate) fn client(&self) -> Registry {
        client(&self.host)
    }

    /// A release of these images of `api` and `web`, each with the digit of its revision, stored and scanned.
    pub(crate) fn release(&self, digit: u8, api: (&ImageRef, u8), web: (&ImageRef, u8)) -> Digest {
        let release = release_of(digit, &[("api", api.0.clone(), api.1), ("web", web.0.clone(), web.1)]);
        wait(async {
            let client = self.client();
            for service in release.services.values() {
                let scan = record(Kind::Scan, Verdict::Pass, None);
                client.put_evidence(&service.repository, &service.digest, &scan).await.unwrap();
            }
            client.put_release(&self.repository(), &release).await.unwrap()
        })
    }

    /// The newest evidence of this kind about a release in an environment.
    pub(crate) fn evidence(&self, release: &Digest, kind: Kind, environment: &str) -> Option<Record> {
        let wanted = [(kind, Some(environment))];
        let found = wait(async {
            self.client().evidence(&self.repository(), release, &wanted).await.unwrap().records
        });
        let fits =
            |record: &Record| record.kind == kind && record.environment.as_deref() == Some(environment);
        found.into_iter().find(fits)
    }

    /// From now on there is no registry.
    pub(crate) fn stop_registry(&mut self) {
        self.registry = None;
    }

    pub(crate) fn step(&self, command: &str, environment: &str) -> Step {
        self.step_of(command, &self.config()).input("environment", environment)
    }

    /// A step with another configuration.
    pub(crate) fn step_of(&self, command: &str, config: &str) -> Step {
        let step = Step::new(command, config);
        match &self.swarm {
            Some(host) => step.input("docker-host", host),
            None => step,
        }
    }

    pub(crate) fn deploy(&self, release: &Digest, environment: &str) -> Step {
        self.step("deploy", environment).input("release", release.as_str())
    }

    /// One field of a service of `staging`.
    pub(crate) fn inspect(&self, service: &str, format: &str) -> String {
        self.docker(&["service", "inspect", "--format", format, &format!("{}_{service}", self.stack)])
    }

    /// The version that the labels of each service of `staging` name, in the order of the names.
    pub(crate) fn versions(&self) -> Vec<String> {
        let format = "{{index .Spec.Labels \"dev.shipkit.version\"}}";
        ["api", "db", "web"].map(|service| self.inspect(service, format)).to_vec()
    }

    /// The containers that run for a service of `staging` and are meant to: one that was replaced is on its way out for a while.
    pub(crate) fn containers(&self, service: &str) -> Vec<String> {
        let name = format!("{}_{service}", self.stack);
        let meant = ["service", "ps", "--no-trunc", "--quiet", "--filter", "desired-state=running", &name];
        // There are none of a service that is not there.
        let tasks = Command::new("docker").args(meant).output().unwrap();
        let tasks = String::from_utf8(tasks.stdout).unwrap();
        let format = "{{.ID}} {{.Label \"com.docker.swarm.task.id\"}}";
        let filter = format!("label=com.docker.swarm.service.name={name}");
        let listed = self.docker(&["ps", "--no-trunc", "--filter", &filter, "--format", format]);
        let running = listed.lines().filter_map(|line| line.split_once(' '));
        let running = running.filter(|(_, task)| tasks.lines().any(|meant| meant == *task));
        let mut containers: Vec<String> = running.map(|(container, _)| container.to_owned()).collect();
        containers.sort();
        containers
    }

    /// As if the time of a killed run were over: it cannot give its lease up.
    pub(crate) fn lease_ends(&self) {
        let format = "{{index .Spec.Labels \"dev.shipkit.lease\"}}";
        let config = format!("{}_shipkit", self.stack);
        let asked = Command::new("docker").args(["config", "inspect", "--format", format, &config]).output();
        let Ok(lease) = Lease::parse(String::from_utf8_lossy(&asked.unwrap().stdout).trim()) else { return };
        wait(async {
            let swarm = Swarm::connect("unix:///var/run/docker.sock").await.unwrap();
            swarm.give_up(&self.stack, lease.token).await.unwrap();
        });
    }

    /// The services that exist in both stacks.
    pub(crate) fn services(&self) -> Vec<String> {
        let listed = self.docker(&[
            "service",
            "ls",
            "--format",
            "{{.Name}}",
            "--filter",
            &format!("name={}", self.stack),
        ]);
        listed.lines().map(str::to_owned).collect()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let quiet = |arguments: &[&str]| Command::new("docker").args(arguments).output().unwrap();
        let lines = |arguments: &[&str]| -> Vec<String> {
            String::from_utf8_lossy(&quiet(arguments).stdout).lines().map(str::to_owned).collect()
        };
        let name = format!("name={}", self.stack);
        for service in lines(&["service", "ls", "--quiet", "--filter", &name]) {
            quiet(&["service", "rm", &service]);
        }
        for config in lines(&["config", "ls", "--quiet", "--filter", &name]) {
            quiet(&["config", "rm", &config]);
        }
        // Containers hold the networks and images.
        for container in lines(&["ps", "--all", "--quiet", "--filter", &name]) {
            quiet(&["rm", "--force", &container]);
        }
        // One that a task is just leaving may be listed again after it was removed.
        for _ in 0..200 {
            let networks = lines(&["network", "ls", "--format", "{{.Name}}", "--filter", &name]);
            if networks.is_empty() {
                break;
            }
            for network in networks {
                quiet(&["network", "rm", &network]);
            }
        }
        for image in &self.images {
            quiet(&["rmi", "--force", image]);
        }
    }
}

/// The root folder of the test images.
fn archive() -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/container.rs");
    root_archive(source, env!("CARGO_TARGET_TMPDIR"))
}

/// What the newest container of `api` answers. Who it is, it is asked all the time while it is replaced: that is not worth
/// starting a program for.
pub(crate) fn ask_api(stack: &str, path: &str) -> (u16, String) {
    let running = running_with(&[&format!("com.docker.swarm.service.name={stack}_api")]);
    let Some(id) = running[0]["Id"].as_str() else { return (502, "nobody".to_owned()) };
    if path == "/version" {
        let container = ask_engine(&format!("/containers/{id}/json"));
        let mut variables = container["Config"]["Env"].as_array().unwrap().iter().filter_map(Value::as_str);
        let revision = variables.find_map(|variable| variable.strip_prefix("REVISION="));
        return (200, json!({"revision": revision}).to_string());
    }
    let output = Command::new("docker").args(["exec", id, "/container", "answer", path]).output().unwrap();
    match String::from_utf8_lossy(&output.stdout).split_once('\n') {
        Some((status, body)) => (status.parse().unwrap(), body.trim_end().to_owned()),
        None => (502, "gone".to_owned()),
    }
}

/// The running containers with these labels, the newest first.
pub(crate) fn running_with(labels: &[&str]) -> Value {
    let filters = json!({"label": labels}).to_string();
    let escaped: String = url::form_urlencoded::byte_serialize(filters.as_bytes()).collect();
    ask_engine(&format!("/containers/json?filters={escaped}"))
}

/// What this machine's engine answers.
pub(crate) fn ask_engine(path: &str) -> Value {
    let socket = UnixStream::connect("/var/run/docker.sock").unwrap();
    serde_json::from_str(&ask(socket, path).1).unwrap_or_default()
}

/// Status and body of an answer over a connection that is then over.
pub(crate) fn ask(mut stream: impl Read + Write, path: &str) -> (u16, String) {
    let mut answer = Vec::new();
    let sent = write!(stream, "GET {path} HTTP/1.0\r\nhost: x\r\n\r\n")
        .and_then(|()| stream.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    match (sent, status, answer.split_once("\r\n\r\n")) {
        (Ok(_), Some(status), Some((_, body))) => (status, body.to_owned()),
        _ => (502, "gone".to_owned()),
    }
}
