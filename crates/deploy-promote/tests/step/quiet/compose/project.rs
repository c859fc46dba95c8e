//! `Project`: a checkout with Compose files, deployed as a Compose project of its own.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use shipkit_core::lease::Lease;
use shipkit_core::{Digest, ImageRef};
use shipkit_docker::Host;
use shipkit_tests::container::remove_project;
use tempfile::TempDir;

use crate::bed::{Bed, Step, ask, running_with, wait};
use crate::front::Front;
use crate::quiet::QUIET;

const NGINX: &str = "events { worker_connections 4096; }
error_log stderr;
http {
    include /etc/nginx/shipkit/*.conf;
    access_log off;
    keepalive_min_timeout 5s;
    server {
        listen 80;
        location / {
            proxy_next_upstream off;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_pass http://api;
        }
    }
}
";

/// One that answers, behind nginx, and one that only works; `DATA` is what holds data.
const COMPOSE: &str = "services:
  db:
    image: DATA
    command: [/container, serve]
    stop_grace_period: 1s
    volumes: ['data:/data']
  nginx:
    image: shipkit-test/nginx:newer
    command: [nginx, -g, daemon off;]
    stop_grace_period: 1s
    depends_on: [api]
    volumes: ['shipkit:/etc/nginx/shipkit', './nginx.conf:/etc/nginx/nginx.conf:ro']
  api:
    build: api
    command: [/container, http]
    depends_on: [db]
    stop_grace_period: 1s
    healthcheck: {test: [CMD, /container, ask], interval: 1s, timeout: 5s, retries: 2}
    deploy: {replicas: 2, update_config: {monitor: 500ms, order: start-first}}
  web:
    build: web
    command: [/container, serve]
    stop_grace_period: 1s
    deploy: {update_config: {monitor: 500ms, order: start-first}}
volumes: {shipkit: {}, data: {}}
";

/// Held as long as a project is there.
enum Quiet {
    Shared(#[expect(dead_code, reason = "it is held")] RwLockReadGuard<'static, ()>),
    Alone(#[expect(dead_code, reason = "it is held")] RwLockWriteGuard<'static, ()>),
}

/// A checkout, and what it becomes; all of it is removed at its end.
pub(crate) struct Project {
    pub(crate) bed: Bed,
    pub(crate) folder: TempDir,
    front: Front,
    _quiet: Quiet,
}

impl Project {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, Quiet::Shared(QUIET.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// While no other one is there. Its `api` answers kept connections as long as nginx keeps them.
    pub(crate) fn alone(name: &str) -> Self {
        let project = Self::with(name, Quiet::Alone(QUIET.write().unwrap_or_else(PoisonError::into_inner)));
        let long = "depends_on: [db]\n    stop_grace_period: 7s\n    stop_signal: SIGKILL\n";
        project.edit("compose.yaml", "depends_on: [db]\n    stop_grace_period: 1s\n", long);
        project
    }

    fn with(name: &str, quiet: Quiet) -> Self {
        let mut bed = Bed::new(name);
        let stack: Arc<str> = bed.stack.as_str().into();
        let front = Front::start(move |path| ask_nginx(&stack, path));
        bed.image(9, "good");
        let project = Self { bed, folder: tempfile::tempdir().unwrap(), front, _quiet: quiet };
        project.write("nginx.conf", NGINX);
        project.write("compose.yaml", &project.compose());
        project.write("shipkit.yml", &project.config());
        project
    }

    /// What its Compose file says.
    pub(crate) fn compose(&self) -> String {
        COMPOSE.replace("DATA", self.bed.data())
    }

    /// What its `shipkit.yml` says.
    pub(crate) fn config(&self) -> String {
        let (stack, front) = (&self.bed.stack, self.front.host());
        format!(
            "version: 1\nname: shop\nregistry: {}/{stack}\nservices:\n\
             \x20 db: {{image: db, stateful: true}}\n\
             \x20 api: {{build: {{context: api}}, port: 8080}}\n\
             \x20 web: {{build: {{context: web}}}}\n\
             environments:\n\
             \x20 staging:\n    url: http://{front}\n    timeout: 40s\n\
             \x20   target: {{type: compose, stack: {stack}, proxy: {{nginx: nginx}}}}\n\
             \x20   smoke:\n    - {{release: /version, service: api}}\n    - {{get: /items, expect: {{status: 200, json: {{state: fine}}}}, retries: 0}}\n",
            self.bed.host()
        )
    }

    /// Writes a file of the checkout.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Edits a file of the checkout.
    pub(crate) fn edit(&self, name: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.folder.path().join(name)).unwrap();
        assert!(text.contains(old), "{old}: {text}");
        self.write(name, &text.replacen(old, new, 1));
    }

    pub(crate) fn step(&self, command: &str) -> Step {
        let variable = |name: &str| std::env::var(name).unwrap();
        let step = match &self.bed.swarm {
            Some(host) => Step::new(command, "").input("docker-host", host),
            None => Step::new(command, ""),
        };
        step.input("environment", "staging")
            .input("directory", self.folder.path().to_str().unwrap())
            .var("HOME", &variable("HOME"))
            .var("PATH", &variable("PATH"))
    }

    pub(crate) fn deploy(&self, release: &Digest) -> Step {
        self.step("deploy").input("release", release.as_str())
    }

    /// A release of this image for both services.
    pub(crate) fn release(&self, digit: u8, image: &ImageRef) -> Digest {
        self.bed.release(digit, (image, digit), (image, digit))
    }

    /// The containers of a service as `<id> <state> <image>`, in their order.
    pub(crate) fn containers(&self, service: &str) -> Vec<String> {
        let (project, service) = (
            format!("label=com.docker.compose.project={}", self.bed.stack),
            format!("label=com.docker.compose.service={service}"),
        );
        let format = "{{.ID}} {{.State}} {{.Image}}";
        let list = self.bed.docker(&[
            "ps",
            "--all",
            "--no-trunc",
            "--format",
            format,
            "--filter",
            &project,
            "--filter",
            &service,
        ]);
        let mut lines: Vec<String> = list.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// The images of the containers of a service that run.
    pub(crate) fn running(&self, service: &str) -> Vec<String> {
        let lines = self.containers(service);
        let running = lines.iter().filter_map(|line| line.split_once(" running "));
        running.map(|(_, image)| image.to_owned()).collect()
    }

    /// The identifier of the one container of a service.
    pub(crate) fn id(&self, service: &str) -> String {
        let lines = self.containers(service);
        assert_eq!(lines.len(), 1, "{service}: {lines:?}");
        lines[0].split(' ').next().unwrap().to_owned()
    }

    /// Everything that runs, for comparison.
    pub(crate) fn everything(&self) -> Vec<String> {
        ["db", "nginx", "api", "web"].iter().flat_map(|service| self.containers(service)).collect()
    }

    /// Where everything about it lies that outlasts a run.
    pub(crate) fn state(&self) -> PathBuf {
        PathBuf::from(std::env::var("HOME").unwrap()).join(".shipkit").join(&self.bed.stack)
    }

    /// What is remembered of it.
    pub(crate) fn remembered(&self) -> String {
        fs::read_to_string(self.state().join("state.json")).unwrap_or_default()
    }

    /// Where nginx answers.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", address(&self.bed.stack).unwrap())
    }

    /// As if the time of a killed run were over: it cannot give its lease up.
    pub(crate) fn lease_ends(&self) {
        let Ok(text) = fs::read_to_string(self.state().join("lease.json")) else { return };
        let Ok(lease) = Lease::parse(&text) else { return };
        let host = Host::here(&std::env::var("HOME").unwrap()).unwrap();
        wait(host.give_up(&self.bed.stack, lease.token)).unwrap();
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        remove_project(&self.bed.stack);
        fs::remove_dir_all(self.state()).ok();
    }
}

/// The address of nginx, or of what is in its place.
fn address(stack: &str) -> Option<String> {
    ["nginx", "edge"].iter().find_map(|service| address_of(stack, service))
}

fn address_of(stack: &str, service: &str) -> Option<String> {
    let project = format!("com.docker.compose.project={stack}");
    let running = running_with(&[&project, &format!("com.docker.compose.service={service}")]);
    let networks = running[0]["NetworkSettings"]["Networks"].as_object()?;
    let address = networks.values().find_map(|network| network["IPAddress"].as_str())?;
    (!address.is_empty()).then(|| address.to_owned())
}

/// What nginx answers.
fn ask_nginx(stack: &str, path: &str) -> (u16, String) {
    let Some(address) = address(stack) else { return (502, "nobody".to_owned()) };
    let Ok(stream) = TcpStream::connect((address, 80)) else { return (502, "nobody".to_owned()) };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    ask(stream, path)
}
