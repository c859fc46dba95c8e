//! `Bed`: a project of its own on the engine, with a registry of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use shipkit_core::compose::ProxyKind;
use shipkit_core::rollout::Next;
use shipkit_core::target::{self, Desired, DesiredService, Observed, Replacement, Settings, Stamp, Update};
use shipkit_core::{Digest, ImageRef};
use shipkit_docker::{Access, Compose, ComposeApplied, ComposeError, ComposeProject, Host, Proxy};
use shipkit_tests::container::{docker, imported, remove_project, root_archive};
use shipkit_tests::server::docker_registry::DockerRegistry;
use tempfile::TempDir;
use url::Url;

pub(crate) const SOCKET: &str = "unix:///var/run/docker.sock";
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);
/// nginx asks one server, once: what is lost behind it is lost in front of it.
const NGINX: &str = "events { worker_connections 4096; }
error_log stderr;
http {
    include /etc/nginx/shipkit/*.conf;
    access_log off;
    server {
        listen 80;
        location / {
            proxy_request_buffering off;
            proxy_next_upstream off;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_pass http://api;
        }
        location /echo {
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_pass http://api;
        }
    }
}
";

/// One that answers when it is well.
pub(crate) const API: &str = "
    image: api
    stop_grace_period: 1s
    healthcheck: {test: [CMD, /container, ask], interval: 300ms, timeout: 2s, retries: 3}
    deploy:
      replicas: 2
      update_config: {parallelism: 1, monitor: 500ms, order: start-first}
";

/// The same as one container.
pub(crate) const ONE: &str = "
    image: api
    stop_grace_period: 1s
    healthcheck: {test: [CMD, /container, ask], interval: 300ms, timeout: 2s, retries: 3}
    deploy:
      update_config: {monitor: 500ms, order: start-first}
";

/// One without a port and without a health check.
pub(crate) const WORKER: &str = "
    image: worker
    stop_grace_period: 1s
    deploy:
      update_config: {monitor: 500ms, order: start-first}
";

/// nginx without anything that says where traffic goes.
pub(crate) const PROXY: &str = "
    image: shop-base/nginx:1.22
    command: [nginx, -g, daemon off;]
    stop_grace_period: 1s
    depends_on: [api]
    volumes:
      - shipkit:/etc/nginx/shipkit
      - ./nginx.conf:/etc/nginx/nginx.conf:ro
";

/// Traefik, whose router is a label of its own and whose service is a file of ours.
pub(crate) const TRAEFIK: &str = "
    image: shipkit-test/traefik:3
    command: [traefik, '--entrypoints.web.address=:80', --providers.docker=true,
              --providers.docker.exposedbydefault=false, --providers.file.directory=/etc/traefik/shipkit]
    stop_grace_period: 1s
    depends_on: [api]
    expose: ['80']
    labels:
      traefik.enable: 'true'
      traefik.http.routers.api.rule: PathPrefix(`/`)
      traefik.http.routers.api.service: api@file
    volumes:
      - shipkit:/etc/traefik/shipkit
      - /var/run/docker.sock:/var/run/docker.sock
";

/// kamal-proxy, which keeps what it is told.
pub(crate) const KAMAL: &str = "
    image: shipkit-test/kamal-proxy:0.9
    stop_grace_period: 1s
    depends_on: [api]
    volumes: ['shipkit:/home/kamal-proxy/.config/kamal-proxy']
";

pub(crate) struct Bed {
    pub(crate) project: ComposeProject,
    folder: TempDir,
    registry: DockerRegistry,
    images: Vec<String>,
    releases: i64,
}

impl Bed {
    /// A project whose only service is `api`, behind nginx.
    pub(crate) fn new(name: &str) -> Self {
        let mut bed = Self::bare(name);
        bed.project.services = BTreeMap::from([("api".to_owned(), Some(8080))]);
        let (kind, directory) = (ProxyKind::Nginx, "/etc/nginx/shipkit".to_owned());
        bed.project.proxy = Some(Proxy { kind, service: "nginx".to_owned(), directory });
        bed.write(&[("api", API), ("nginx", PROXY)]);
        bed
    }

    /// The same behind a newer nginx, which closes no connection that is kept when it is told of a change.
    pub(crate) fn keeping(name: &str) -> Self {
        let bed = Self::new(name);
        // What a kept connection brings to an old worker of nginx still goes to the old containers.
        let api = patient();
        let nginx = PROXY.replace("shop-base/nginx:1.22", "shipkit-test/nginx:newer");
        bed.write(&[("api", &api), ("nginx", &nginx)]);
        bed.write_nginx(|conf| {
            conf.replace("access_log off;", "access_log off;\n    keepalive_min_timeout 5s;")
        });
        bed
    }

    /// A project whose only service is `api`, behind Traefik.
    pub(crate) fn traefik(name: &str) -> Self {
        let mut bed = Self::bare(name);
        bed.project.services = BTreeMap::from([("api".to_owned(), Some(8080))]);
        let (kind, directory) = (ProxyKind::Traefik, "/etc/traefik/shipkit".to_owned());
        bed.project.proxy = Some(Proxy { kind, service: "edge".to_owned(), directory });
        bed.write(&[("api", API), ("edge", TRAEFIK)]);
        bed
    }

    /// A project whose only service is `api`, behind kamal-proxy, which asks it at `/ready`.
    pub(crate) fn kamal(name: &str) -> Self {
        let mut bed = Self::bare(name);
        bed.project.services = BTreeMap::from([("api".to_owned(), Some(8080))]);
        bed.project.ready = BTreeMap::from([("api".to_owned(), "/ready".to_owned())]);
        let kind = ProxyKind::KamalProxy;
        let (service, directory) = ("edge".to_owned(), kind.directory().to_owned());
        bed.project.proxy = Some(Proxy { kind, service, directory });
        bed.write(&[("api", API), ("edge", KAMAL)]);
        bed
    }

    /// A project whose only service is `worker`, without a proxy.
    pub(crate) fn bare(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("nginx.conf"), NGINX).unwrap();
        let file = folder.path().join("compose.yml").to_str().unwrap().to_owned();
        let project = ComposeProject {
            stack: format!("skc{}-{name}", std::process::id()),
            directory: folder.path().to_str().unwrap().to_owned(),
            files: vec![file],
            services: BTreeMap::from([("worker".to_owned(), None)]),
            ..ComposeProject::default()
        };
        let bed =
            Self { project, folder, registry: DockerRegistry::start(), images: Vec::new(), releases: 0 };
        bed.write(&[("worker", WORKER)]);
        bed
    }

    /// Writes the Compose file: services by name, each with what it says.
    pub(crate) fn write(&self, services: &[(&str, &str)]) {
        let services: Vec<String> = services.iter().map(|(name, says)| format!("  {name}:{says}")).collect();
        let text = format!("services:\n{}volumes: {{shipkit: {{}}, data: {{}}}}\n", services.concat());
        fs::write(self.folder.path().join("compose.yml"), text).unwrap();
    }

    pub(crate) fn write_nginx(&self, edit: impl FnOnce(&str) -> String) {
        // Over the old text: the container has this very file.
        fs::write(self.folder.path().join("nginx.conf"), edit(NGINX)).unwrap();
    }

    /// Another run: it reads the files again.
    pub(crate) async fn compose(&self) -> Compose {
        let host = Host::here(&std::env::var("HOME").unwrap()).unwrap();
        Compose::connect(SOCKET, &Access::default(), host, self.project.clone()).await.unwrap()
    }

    /// An image that runs these words, pushed.
    pub(crate) fn image(&mut self, version: &str, command: &[&str]) -> ImageRef {
        let repository = format!("{}/{}", self.registry.host(), self.project.stack);
        let tagged = format!("{repository}:{version}");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/container.rs");
        let archive = root_archive(source, env!("CARGO_TARGET_TMPDIR"));
        let digest = imported(&archive, version, command, &tagged);
        self.images.push(tagged);
        digest.parse().unwrap()
    }

    /// One that answers with its version.
    pub(crate) fn good(&mut self, version: &str) -> ImageRef {
        self.image(version, &["/container", "http", version])
    }

    /// Takes an image from the host and ends the registry that has it.
    pub(crate) fn lose(&mut self, image: &ImageRef) {
        let id = docker(&["image", "inspect", "--format", "{{.Id}}", &image.to_string()]);
        docker(&["rmi", "--force", &id]);
        self.registry = DockerRegistry::start();
    }

    /// The next release: each is deployed a second after the one before.
    pub(crate) fn release(&mut self, services: Vec<DesiredService>) -> Desired {
        self.releases += 1;
        let version = self.releases.to_string();
        let stamp = Stamp {
            release: Digest::of(version.as_bytes()),
            version,
            commit: "c".repeat(40),
            environment: "staging".to_owned(),
            run: None,
            time: "2026-01-02T03:04:05Z".parse::<Timestamp>().unwrap() + self.releases.seconds(),
        };
        Desired { stack: self.project.stack.clone(), stamp, services }
    }

    pub(crate) async fn observe(&self) -> Observed {
        self.compose().await.observe().await.unwrap()
    }

    /// Applies every step of the plan and carries each rollout out, up to the first that fails. Each step of a rollout is
    /// in the list, with those of what was taken back.
    pub(crate) async fn try_deploy(&self, desired: &Desired) -> Result<(Next, Vec<String>), ComposeError> {
        let compose = self.compose().await;
        let desired = compose.complete(desired.clone()).await?;
        let observed = compose.observe().await?;
        let (mut all, mut steps): (Vec<ComposeApplied>, _) = (Vec::new(), Vec::new());
        for change in target::plan(&desired, &observed) {
            let Some(applied) = compose.apply(&desired, &change, None).await? else { continue };
            let next = compose.rollout(&applied, DEADLINE, |_, step| steps.push(step.to_string())).await?;
            all.push(applied);
            if next != Next::Done {
                while let Some(applied) = all.pop() {
                    let Some(back) = compose.undo(&applied, None).await? else { continue };
                    let back =
                        compose.rollout(&back, DEADLINE, |_, step| steps.push(step.to_string())).await?;
                    assert_eq!(back, Next::Done, "{steps:#?}");
                }
                return Ok((next, steps));
            }
        }
        compose.confirm(&desired).await?;
        Ok((Next::Done, steps))
    }

    /// A deploy that must succeed; gives the steps that were not waiting.
    pub(crate) async fn deploy(&self, desired: &Desired) -> Vec<String> {
        let (next, steps) = self.try_deploy(desired).await.unwrap();
        assert_eq!(next, Next::Done, "{steps:#?}");
        steps.into_iter().filter(|step| step != "wait").collect()
    }

    /// A deploy that must fail; gives why, and the steps with those of what was taken back.
    pub(crate) async fn fail(&self, desired: &Desired) -> (String, Vec<String>) {
        match self.try_deploy(desired).await.unwrap() {
            (Next::RollBack { cause }, steps) => (cause, steps),
            (other, steps) => panic!("{other:?}: {steps:#?}"),
        }
    }

    /// A rollback of the whole project.
    pub(crate) async fn rollback(&self) -> Vec<String> {
        let (compose, mut steps) = (self.compose().await, Vec::new());
        let way = target::way_back(&self.project.stack, &compose.observe().await.unwrap()).unwrap();
        for back in &way.returns {
            let applied = compose.restore(back, None).await.unwrap();
            let next = compose.rollout(&applied, DEADLINE, |_, step| steps.push(step.to_string())).await;
            assert_eq!(next.unwrap(), Next::Done, "{steps:#?}");
        }
        steps.into_iter().filter(|step| step != "wait").collect()
    }

    /// The identifiers of the containers of a service.
    pub(crate) fn ids(&self, service: &str) -> Vec<String> {
        let project = format!("label=com.docker.compose.project={}", self.project.stack);
        let service = format!("label=com.docker.compose.service={service}");
        let list =
            docker(&["ps", "--all", "--no-trunc", "--quiet", "--filter", &project, "--filter", &service]);
        let mut ids: Vec<String> = list.lines().map(str::to_owned).collect();
        ids.sort();
        ids
    }

    pub(crate) fn id(&self, service: &str) -> String {
        let ids = self.ids(service);
        assert_eq!(ids.len(), 1, "{service}");
        ids[0].clone()
    }

    /// The containers of a service as `<name> <image> <state>`.
    pub(crate) fn containers(&self, service: &str) -> Vec<String> {
        let format = "{{.Name}} {{.Config.Image}} {{.State.Status}}";
        self.ids(service).iter().map(|id| docker(&["inspect", "--format", format, id])).collect()
    }

    /// How many containers of a service have this image and are in this state.
    #[track_caller]
    pub(crate) fn check_containers(&self, service: &str, expected: &[(&ImageRef, &str, usize)]) {
        let there = self.containers(service);
        let count = |image: &ImageRef, state: &str| {
            there.iter().filter(|line| line.ends_with(&format!(" {image} {state}"))).count()
        };
        for (image, state, number) in expected {
            assert_eq!(count(image, state), *number, "{image} {state}: {there:#?}");
        }
        let all: usize = expected.iter().map(|(_, _, number)| number).sum();
        assert_eq!(there.len(), all, "{there:#?}");
    }

    /// Where the proxy answers.
    pub(crate) fn url(&self) -> Url {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let proxy = &self.project.proxy.as_ref().unwrap().service;
        let address = docker(&["inspect", "--format", format, &self.id(proxy)]);
        format!("http://{address}/").parse().unwrap()
    }

    /// What the proxy answers now.
    pub(crate) fn answer(&self) -> String {
        let output = Command::new("curl").args(["-sS", "-m", "5", self.url().as_str()]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The file of the proxy for `api`, or the one that it keeps.
    pub(crate) fn conf(&self) -> String {
        let Proxy { kind, service, directory } = self.project.proxy.as_ref().unwrap();
        let name =
            kind.file().map_or("kamal-proxy.state".to_owned(), |file| format!("api.{}", file.ending()));
        docker(&["exec", &self.id(service), "cat", &format!("{directory}/{name}")])
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        remove_project(&self.project.stack);
        for image in &self.images {
            Command::new("docker").args(["rmi", "--force", image]).output().unwrap();
        }
        let home = std::env::var("HOME").unwrap();
        fs::remove_dir_all(format!("{home}/.shipkit/{}", self.project.stack)).ok();
    }
}

/// What `API` says, with time to end what was begun.
pub(crate) fn patient() -> String {
    API.replace("stop_grace_period: 1s", "stop_grace_period: 6s\n    stop_signal: SIGKILL")
}

pub(crate) fn service(name: &str, image: &ImageRef) -> DesiredService {
    DesiredService {
        name: name.to_owned(),
        image: image.clone(),
        platforms: BTreeSet::new(),
        revision: "r".to_owned(),
        depends_on: Vec::new(),
        stateful: false,
        settings: Settings::default(),
    }
}

pub(crate) fn replaced(mut service: DesiredService, replacement: Replacement) -> DesiredService {
    service.settings.update = Update { replacement, ..service.settings.update };
    service
}
