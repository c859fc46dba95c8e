//! A Swarm whose services stand in stack files: `docker stack deploy` puts them in place, and what comes of it is watched.

use std::path::Path;

use shipkit_core::{Digest, ImageRef};
use shipkit_tests::container::docker;
use shipkit_tests::server::gate::{Gate, Moment};
use shipkit_tests::soon;
use tempfile::TempDir;

use crate::bed::{Bed, Step};
use crate::kills::kill_at;
use crate::left::check_closed;

/// What is in both files; `DATA` is what holds data.
const STACK: &str = "services:
  db:
    image: DATA
    command: [/container, serve]
    stop_grace_period: 1s
    volumes: ['data:/data']
    deploy: {endpoint_mode: dnsrr}
  api:
    build: ../api
    env_file: api.env
    environment: {CANARY: '${CANARY:?}', PRICE: '$$5'}
    depends_on: [db]
    stop_grace_period: 1s
    healthcheck: {test: healthy, interval: 1s, timeout: 5s, retries: 1}
    configs: [greeting]
    networks: {default: {aliases: [shop]}}
    deploy:
      endpoint_mode: dnsrr
      labels: {team: 'a$$b'}
      update_config: {order: start-first, monitor: 1s}
  web:
    image: example.com/any/web:1
    stop_grace_period: 1s
    healthcheck: {test: healthy, interval: 1s, timeout: 5s, retries: 1}
    deploy: {endpoint_mode: dnsrr, update_config: {order: start-first, monitor: 1s}}
configs: {greeting: {file: ./greeting.txt}}
volumes: {data: {}}
";

/// What comes over it. `worker` is of no release.
const PROD: &str = "services:
  api: {deploy: {replicas: 2}}
  worker:
    image: DATA
    command: [/container, serve]
    stop_grace_period: 1s
    deploy: {endpoint_mode: dnsrr, update_config: {monitor: 1s}}
";

/// A checkout with stack files, which is also the home of who deploys.
pub(crate) struct Checkout {
    pub(crate) bed: Bed,
    folder: TempDir,
}

impl Checkout {
    pub(crate) fn new(name: &str) -> Self {
        let mut bed = Bed::new(name);
        bed.image(9, "good");
        let checkout = Self { bed, folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(checkout.folder.path().join("deploy")).unwrap();
        checkout.write("deploy/stack.yml", &STACK.replace("DATA", checkout.bed.data()));
        checkout.write("deploy/prod.yml", &PROD.replace("DATA", checkout.bed.data()));
        checkout.write("deploy/api.env", "FROM_FILE=x$y\n");
        checkout.write("deploy/greeting.txt", "hello\n");
        checkout.write("shipkit.yml", &checkout.config());
        checkout
    }

    fn config(&self) -> String {
        let stack = &self.bed.stack;
        let target = format!("{{type: swarm, stack: {stack}}}");
        let files = format!("{{type: swarm, stack: {stack}, files: [deploy/stack.yml, deploy/prod.yml]}}");
        let config = self.bed.config();
        let (before, rest) = config.split_once("services:\n").unwrap();
        let (_, after) = rest.split_once("environments:\n").unwrap();
        let services = "  db: {image: db, stateful: true}\n  api: {build: {context: api}}\n  web: {build: {context: web}}\n";
        let config = format!("{before}services:\n{services}environments:\n{after}");
        let config = config.replacen(
            "    timeout: 30s",
            "    secrets: [CANARY]\n    environment: {MORE: 'm$n'}\n    timeout: 30s",
            1,
        );
        config.replacen(&target, &files, 1)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    pub(crate) fn edit(&self, name: &str, old: &str, new: &str) {
        let text = std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        assert!(text.contains(old), "{old}: {text}");
        self.write(name, &text.replacen(old, new, 1));
    }

    /// Adds something to what is said of `staging`.
    fn say(&self, line: &str) {
        self.edit("shipkit.yml", "  staging:\n", &format!("  staging:\n    {line}\n"));
    }

    pub(crate) fn step(&self, command: &str) -> Step {
        let folder = self.folder.path().to_str().unwrap();
        Step::new(command, "")
            .input("environment", "staging")
            .input("directory", folder)
            .var("HOME", folder)
            .var("PATH", &std::env::var("PATH").unwrap())
            .var("SHIPKIT_ENV", "CANARY=s3cret$canary")
    }

    pub(crate) fn deploy(&self, release: &Digest) -> Step {
        self.step("deploy").input("release", release.as_str())
    }

    /// A release of these images of `api` and `web`.
    pub(crate) fn release(&self, digit: u8, api: &ImageRef, web: &ImageRef) -> Digest {
        self.bed.release(digit, (api, digit), (web, digit))
    }

    /// A release that works and serves, and its image.
    pub(crate) fn serving(&mut self) -> (Digest, ImageRef) {
        let one = self.bed.image(1, "good");
        let first = self.release(1, &one, &one);
        self.deploy(&first).run().ended(0, "1.1.0 serves in staging");
        (first, one)
    }

    /// The versions that the labels of each service name.
    pub(crate) fn versions(&self) -> Vec<String> {
        let format = "{{index .Spec.Labels \"dev.shipkit.version\"}}";
        ["api", "db", "web", "worker"].map(|service| self.bed.inspect(service, format)).to_vec()
    }

    /// Every task that is meant to run, and the version of every specification.
    pub(crate) fn everything(&self) -> Vec<String> {
        let services = ["api", "db", "web", "worker"].iter();
        services
            .flat_map(|service| {
                let mut all = self.bed.containers(service);
                all.push(self.bed.inspect(service, "{{.Version.Index}}"));
                all
            })
            .collect()
    }

    pub(crate) fn image(&self, service: &str) -> String {
        self.bed.inspect(service, "{{.Spec.TaskTemplate.ContainerSpec.Image}}")
    }

    pub(crate) fn environment(&self, service: &str) -> String {
        self.bed.inspect(service, "{{json .Spec.TaskTemplate.ContainerSpec.Env}}")
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        docker(&["stack", "rm", &self.bed.stack]);
    }
}

#[test]
fn a_release_in_stack_files_arrives_stays_and_goes_back() {
    let mut checkout = Checkout::new("files");
    let (one, two) = (checkout.bed.image(1, "good"), checkout.bed.image(2, "good"));
    let (first, second) = (checkout.release(1, &one, &one), checkout.release(2, &two, &one));

    let run = checkout.deploy(&first).input("dry-run", "true").run().ended(0, "dry run: nothing was changed");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", run.stdout);
    assert_eq!(lines[0], format!("create `api` at {}", one.digest.short()));
    assert!(lines[3].starts_with("create `worker` at "), "{}", run.stdout);
    assert_eq!(checkout.bed.services(), Vec::<String>::new());

    let run = checkout.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    assert!(!run.everything().contains("s3cret"), "{run:#?}");
    assert_eq!(checkout.versions(), ["1.1.0"; 4]);
    assert_eq!((checkout.image("api"), checkout.image("web")), (one.to_string(), one.to_string()));
    assert_eq!(checkout.bed.containers("api").len(), 2);
    for variable in ["CANARY=s3cret$canary", "FROM_FILE=x$y", "MORE=m$n", "PRICE=$5"] {
        assert!(checkout.environment("api").contains(&format!("\"{variable}\"")), "{variable}");
    }
    assert_eq!(checkout.bed.inspect("api", "{{.Spec.Labels.team}}"), "a$b");
    check_closed_but(&checkout, "greeting");

    unchanged(&checkout, &first);
    changed(&checkout, &second, &two);
    let data = checkout.bed.containers("db");
    checkout.bed.stop_registry();
    checkout.step("rollback").run().ended(0, "1.1.0 serves in staging again");
    assert_eq!(checkout.versions(), ["1.1.0"; 4]);
    assert_eq!(checkout.image("api"), one.to_string());
    let run = checkout.step("history").run().ended(0, "1.1.0 serves");
    assert_eq!(run.stdout.lines().count(), 2, "{}", run.stdout);
    checkout.step("rollback").input("to", "1.2.0").run().ended(0, "1.2.0 serves in staging again");
    assert_eq!((checkout.image("api"), checkout.bed.containers("db")), (two.to_string(), data));
    assert_eq!(checkout.versions(), ["1.2.0", "1.1.0", "1.2.0", "1.2.0"]);
}

/// The ledger is closed, and no other object is there but this config.
#[track_caller]
pub(crate) fn check_closed_but(checkout: &Checkout, config: &str) {
    let full = format!("{}_{config}", checkout.bed.stack);
    assert!(docker(&["config", "ls", "--format", "{{.Name}}"]).lines().any(|name| name == full));
    check_closed(&checkout.bed, &[&full]);
}

/// The same release again writes nothing at all.
fn unchanged(checkout: &Checkout, first: &Digest) {
    let everything = checkout.everything();
    let run = checkout.deploy(first).run().ended(0, "1.1.0 serves in staging");
    assert_eq!(run.stderr.matches("keep `").count(), 3, "{}", run.stderr);
    assert_eq!(checkout.everything(), everything);
    // What holds data is not changed, whatever is written.
    let db = "    image: ";
    checkout.edit("deploy/stack.yml", db, "    environment: {NEW: db}\n    image: ");
    let run = checkout.deploy(first).run().ended(0, "1.1.0 serves in staging");
    assert!(run.stderr.contains("leave `db`, which holds data (differs: compose file)"), "{}", run.stderr);
    assert_eq!(checkout.everything(), everything);
}

/// The next release replaces what changed and takes everything along.
fn changed(checkout: &Checkout, second: &Digest, two: &ImageRef) {
    let kept =
        (checkout.bed.containers("web"), checkout.bed.containers("db"), checkout.bed.containers("worker"));
    let run = checkout.deploy(second).run().ended(0, "1.2.0 serves in staging");
    assert!(run.stderr.contains(&format!("-> {} (image)", two.digest.short())), "{}", run.stderr);
    assert!(
        run.stderr.contains("keep `web` at ") && run.stderr.contains("as a part of the new"),
        "{}",
        run.stderr
    );
    assert_eq!(checkout.versions(), ["1.2.0", "1.1.0", "1.2.0", "1.2.0"]);
    let now =
        (checkout.bed.containers("web"), checkout.bed.containers("db"), checkout.bed.containers("worker"));
    assert_eq!((checkout.image("api"), now), (two.to_string(), kept));
    let run = checkout.step("status").run().ended(0, "1.2.0 serves");
    assert!(run.stdout.contains("api: 1.2.0 since ") && run.stdout.contains("2 running"), "{}", run.stdout);
}

#[test]
fn a_release_that_crashes_is_taken_back_whole_with_what_the_files_changed() {
    let mut checkout = Checkout::new("crash");
    let (first, one) = checkout.serving();
    let (two, crash) = (checkout.bed.image(2, "good"), checkout.bed.image(2, "crash"));
    let second = checkout.release(2, &two, &crash);
    let data = checkout.bed.containers("db");
    let worker = checkout.bed.containers("worker");
    checkout.edit("deploy/prod.yml", "  worker:\n", "  worker:\n    environment: {A: b}\n");
    let further = format!(
        "  more: {{image: {}, command: [/container, serve], stop_grace_period: 1s, deploy: {{endpoint_mode: dnsrr}}}}\n",
        checkout.bed.data()
    );
    checkout.edit("deploy/prod.yml", "services:\n", &format!("services:\n{further}"));

    let run = checkout.deploy(&second).run().ended(1, "rolled back: `web` ");
    assert!(run.outputs["cause"].contains("(exit code 3); 1.1.0 serves"), "{run:#?}");
    assert!(run.stderr.contains("`more` is taken back"), "{}", run.stderr);
    assert_eq!(checkout.versions(), ["1.1.0"; 4]);
    assert_eq!(checkout.bed.services().len(), 4);
    for service in ["api", "web"] {
        assert_eq!(checkout.image(service), one.to_string());
    }
    assert_eq!(checkout.environment("worker"), "null");
    assert_eq!(checkout.bed.containers("db"), data);
    assert_ne!(checkout.bed.containers("worker"), worker, "it was changed as well");
    check_closed_but(&checkout, "greeting");

    // A first deploy leaves nothing that it made.
    checkout.edit("deploy/prod.yml", &further, "");
    checkout.edit("deploy/prod.yml", "    environment: {A: b}\n", "");
    checkout.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    assert_eq!(checkout.versions(), ["1.1.0"; 4]);
}

#[test]
fn a_first_release_that_crashes_leaves_no_service() {
    let mut checkout = Checkout::new("nothing");
    let (good, crash) = (checkout.bed.image(1, "good"), checkout.bed.image(1, "crash"));
    let first = checkout.release(1, &good, &crash);
    checkout.deploy(&first).run().ended(1, "; no release of shipkit serves");
    assert_eq!(checkout.bed.services(), Vec::<String>::new());
}

#[test]
fn what_docker_refuses_in_the_middle_takes_back_what_it_had_done() {
    let mut checkout = Checkout::new("half");
    let (_, one) = checkout.serving();
    let two = checkout.bed.image(2, "good");
    let second = checkout.release(2, &two, &two);
    // Only the engine knows that these do not go together.
    checkout.edit("deploy/prod.yml", "  worker:\n", "  worker:\n    ports: ['80']\n");
    let run = checkout.deploy(&second).run().ended(1, "rolled back: `docker stack deploy` failed: ");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 serves"), "{run:#?}");
    assert_eq!(checkout.versions(), ["1.1.0"; 4]);
    assert_eq!((checkout.image("api"), checkout.image("web")), (one.to_string(), one.to_string()));
    check_closed_but(&checkout, "greeting");
}

#[test]
fn what_others_changed_meanwhile_is_put_right() {
    let mut checkout = Checkout::new("drift");
    let (first, one) = checkout.serving();
    let other = checkout.bed.image(3, "good");
    let web = format!("{}_web", checkout.bed.stack);
    // Docker remembers which image its files had, and would keep this one for it.
    docker(&[
        "service",
        "update",
        "--quiet",
        "--detach",
        "--no-resolve-image",
        "--image",
        &other.to_string(),
        &web,
    ]);
    let run = checkout.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    let line = format!("update `web` {} -> {} (image)", other.digest.short(), one.digest.short());
    assert!(run.stderr.contains(&line), "{}", run.stderr);
    assert_eq!(checkout.image("web"), one.to_string());
}

#[test]
fn what_others_changed_is_named_without_any_text_and_what_the_swarm_took_back_is_not() {
    let mut checkout = Checkout::new("named");
    checkout.serving();
    let full = |service: &str| format!("{}_{service}", checkout.bed.stack);
    let update = |service: &str, change: &[&str]| {
        docker(&[&["service", "update", "--quiet"], change, &[&full(service)]].concat());
    };
    let status = || checkout.step("status").run().ended(0, "1.1.0 serves");
    let check_quiet = || {
        let run = status();
        assert!(!run.stdout.contains("changed since") && run.outputs["cause"] == "1.1.0 serves", "{run:#?}");
    };
    check_quiet();
    // Its client reads the whole specification and writes it again.
    update("api", &["--force", "--label-add", "mine=1"]);
    update("api", &["--label-rm", "mine"]);
    check_quiet();
    docker(&[
        "service",
        "update",
        "--detach",
        "--env-add",
        "MODE=crash",
        "--update-failure-action",
        "rollback",
        &full("web"),
    ]);
    let state = || checkout.bed.inspect("web", "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}");
    assert!(std::iter::repeat_with(state).any(|state| state == "rollback_completed"));
    check_quiet();

    let memory = ["--limit-memory", "64M", "--replicas", "3"];
    let texts = ["--env-add", "LOG=s3cret$canary", "--env-rm", "PRICE", "--label-add", "team=s3cret$canary"];
    update("api", &[&memory[..], &texts].concat());
    update("worker", &["--label-rm", "dev.shipkit.release"]);
    let run = status();
    for line in [
        "`api` is not as 1.1.0 left it: `TaskTemplate.Resources.Limits.MemoryBytes` 0 -> 67108864, \
         environment `LOG` added, environment `PRICE` removed, label `team` changed, replicas 2 -> 3",
        "`worker` was put there by another tool since 1.1.0",
    ] {
        assert!(run.stdout.lines().any(|there| there == format!("changed since: {line}")), "{}", run.stdout);
        assert!(run.summary.contains("changed since: "), "{}", run.summary);
    }
    assert!(!run.everything().contains("s3cret"), "{run:#?}");
    docker(&["service", "rollback", "--quiet", &full("api")]);
    assert!(!status().stdout.contains("`api` is not as"), "{:#?}", status());
}

#[test]
fn what_docker_stack_deployed_is_adopted_and_goes_on_without_a_restart() {
    let mut checkout = Checkout::new("taken");
    let one = checkout.bed.image(1, "good");
    let first = checkout.release(1, &one, &one);
    checkout.edit("deploy/stack.yml", "example.com/any/web:1", &one.to_string());
    checkout.edit(
        "deploy/stack.yml",
        "    build: ../api\n",
        &format!("    image: {one}\n    environment: {{MORE: 'm$$n'}}\n"),
    );
    checkout.edit("deploy/stack.yml", "    environment: {CANARY: '${CANARY:?}', PRICE: '$$5'}\n", "");
    checkout.edit(
        "deploy/stack.yml",
        "    deploy: {endpoint_mode: dnsrr, update_config: {order",
        "    environment: {MORE: 'm$$n'}\n    deploy: {endpoint_mode: dnsrr, update_config: {order",
    );
    let path = |name: &str| checkout.folder.path().join(name).to_str().unwrap().to_owned();
    docker(&[
        "stack",
        "deploy",
        "--with-registry-auth",
        "-c",
        &path("deploy/stack.yml"),
        "-c",
        &path("deploy/prod.yml"),
        &checkout.bed.stack,
    ]);
    let services = ["api", "db", "web", "worker"];
    // Its tasks are only just starting.
    soon("they never ran", || checkout.step("adopt").run().exit == Some(0));
    let containers = services.map(|service| checkout.bed.containers(service));
    let run = checkout.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    assert!(run.stderr.contains("(compose file)"), "{}", run.stderr);
    assert_eq!(services.map(|service| checkout.bed.containers(service)), containers);
    checkout.step("rollback").run().ended(0, "what was adopted serves in staging again");
    assert_eq!(services.map(|service| checkout.bed.containers(service)), containers);
}

#[test]
fn a_migration_runs_once_with_all_that_the_files_say_of_the_service() {
    let mut checkout = Checkout::new("fmigrate");
    let one = checkout.bed.image(1, "good");
    let first = checkout.release(1, &one, &one);
    checkout.say("migrate: {service: api, command: /container migrate}");
    let run = checkout.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    assert_eq!(run.stderr.matches("migrating with 1111").count(), 1, "{}", run.stderr);
    assert!(checkout.environment("shipkit-migrate").contains("\"CANARY=s3cret$canary\""));
    let aliases = "{{range .Spec.TaskTemplate.Networks}}{{.Aliases}}{{end}}";
    assert_eq!(checkout.bed.inspect("shipkit-migrate", aliases), "[shipkit-migrate]");
    let run = checkout.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    assert!(!run.stderr.contains("migrating"), "{}", run.stderr);
    let run = checkout.step("status").run().ended(0, "1.1.0 serves");
    assert!(!run.stdout.contains("shipkit-migrate"), "{}", run.stdout);

    checkout.edit("shipkit.yml", "/container migrate}", "/container migrate fail}");
    let two = checkout.bed.image(2, "good");
    let second = checkout.release(2, &two, &two);
    let run = checkout.deploy(&second).run().ended(1, "the migration failed: task failed: ");
    assert!(run.outputs["cause"].ends_with("nothing was rolled out, 1.1.0 serves"), "{run:#?}");
}

/// Kills a deploy at its first change of the Swarm of which `is_meant` is said. By what it is and not by its number: what a
/// deploy has to change is not the same twice.
fn killed(
    checkout: &Checkout,
    release: &Digest,
    moment: Moment,
    is_meant: impl Fn(&str) -> bool + Send + 'static,
) {
    let gate = Gate::start("/var/run/docker.sock");
    let held = gate.hold_first(is_meant, moment);
    let step = checkout.deploy(release).input("docker-host", &gate.host());
    kill_at(&step, &held).unwrap();
    drop(held);
    checkout.bed.lease_ends();
}

#[test]
fn a_deploy_that_is_killed_in_the_middle_is_finished_by_the_next_one() {
    let mut checkout = Checkout::new("fkill");
    let (first, one) = checkout.serving();
    let two = checkout.bed.image(2, "good");
    let second = checkout.release(2, &two, &two);
    let is_update = |change: &str| change.contains("/services/") && change.contains("/update?");
    // The first service is changed, and Docker does not hear of it.
    killed(&checkout, &second, Moment::After, is_update);
    assert!(
        checkout.versions().contains(&"1.2.0".to_owned())
            && checkout.versions().contains(&"1.1.0".to_owned())
    );
    checkout.deploy(&second).run().ended(0, "1.2.0 serves in staging");
    assert_eq!(checkout.versions(), ["1.2.0", "1.1.0", "1.2.0", "1.2.0"]);
    check_closed_but(&checkout, "greeting");

    killed(&checkout, &first, Moment::After, is_update);
    checkout.step("reconcile").run().ended(0, "1.1.0 serves in staging");
    assert_eq!(checkout.versions(), ["1.1.0"; 4]);
    assert_eq!((checkout.image("api"), checkout.image("web")), (one.to_string(), one.to_string()));
    let back = checkout.step("rollback").input("dry-run", "true").run().ended(0, "dry run");
    assert_eq!(back.stdout.matches("(release 1.1.0 -> 1.2.0)").count(), 3, "{}", back.stdout);
    check_closed_but(&checkout, "greeting");
}

#[test]
fn a_deploy_that_is_killed_before_it_watches_goes_back_when_it_fails_then() {
    let mut checkout = Checkout::new("fwatch");
    let (_, one) = checkout.serving();
    let (two, crash) = (checkout.bed.image(2, "good"), checkout.bed.image(2, "crash"));
    let second = checkout.release(2, &two, &crash);
    // Docker has told the Swarm of `api` and `web`; `worker` only becomes a part of the release.
    let worker = checkout.bed.inspect("worker", "{{.ID}}");
    let is_worker = move |change: &str| change.contains(&format!("/services/{worker}/update?"));
    killed(&checkout, &second, Moment::Before, is_worker);
    assert_eq!(checkout.image("web"), crash.to_string());
    let run = checkout.deploy(&second).run().ended(1, "rolled back: `web` ");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 serves"), "{run:#?}");
    assert_eq!((checkout.image("api"), checkout.image("web")), (one.to_string(), one.to_string()));
    check_closed_but(&checkout, "greeting");
}

#[test]
fn a_login_reaches_the_nodes_and_is_in_no_file() {
    let mut checkout = Checkout::new("login");
    let one = checkout.bed.image(1, "good");
    let first = checkout.release(1, &one, &one);
    let gate = Gate::start("/var/run/docker.sock");
    let step = checkout.deploy(&first).input("docker-host", &gate.host());
    let run = step.input("registry-username", "robot").input("registry-password", "s3cret-token").run();
    let run = run.ended(0, "1.1.0 serves in staging");
    assert!(!run.everything().contains("s3cret-token"), "{run:#?}");
    let with = gate.logins().into_iter().filter(|login| login.contains("s3cret-token")).count();
    assert!(4 <= with, "{:?}", gate.logins());
    let folder = checkout.folder.path().join(".shipkit").join(&checkout.bed.stack).join("login");
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in files {
        assert!(!std::fs::read_to_string(&file).unwrap().contains("s3cret"), "{}", file.display());
    }
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_changes() {
    let mut checkout = Checkout::new("refused");
    let one = checkout.bed.image(1, "good");
    let first = checkout.release(1, &one, &one);
    let check = || checkout.step("check").input("release", first.as_str());
    let away = |old: &str, new: &str, cause: &str, hint: &str| {
        let text = std::fs::read_to_string(checkout.folder.path().join("deploy/stack.yml")).unwrap();
        checkout.edit("deploy/stack.yml", old, new);
        let run = check().run().ended(2, cause);
        assert!(run.stderr.contains(hint), "{hint}: {}", run.stderr);
        checkout.write("deploy/stack.yml", &text);
    };
    away("  web:\n", "  wob:\n", "the stack files hold no service `web`", "target.files");
    away(
        "      labels:",
        "      mode: replicated-job\n      labels:",
        "`services.api.deploy.mode` of the stack files is a job",
        "migrate",
    );
    away(
        "volumes: {data: {}}",
        "networks: {default: {name: nobody-made, external: true}}\nvolumes: {data: {}}",
        "network `nobody-made` does not exist",
        "docker network create",
    );
    away(
        "file: ./greeting.txt",
        "name: nobody-made, external: true",
        "config `nobody-made` does not exist",
        "docker config create",
    );
    away(
        "${CANARY:?}",
        "${OTHER:?is missing}",
        "`docker stack config` refuses the stack files",
        "is missing",
    );
    away("configs: [greeting]", "nonsense: 1", "`docker stack config` refuses the stack files", "nonsense");
    let config = format!("{}_greeting", checkout.bed.stack);
    let here = checkout.folder.path().join("deploy/prod.yml");
    docker(&["config", "create", &config, here.to_str().unwrap()]);
    check().run().ended(2, &format!("config `{config}` has another content on the Swarm"));
    docker(&["config", "rm", &config]);

    check().var("PATH", "/nowhere").run().ended(2, "there is no program `docker` where this runs");
    let old = checkout.folder.path().join("bin");
    std::fs::create_dir(&old).unwrap();
    program(&old.join("docker"), "echo 'Docker version 20.10.24+dfsg1, build 297e128'");
    let path = format!("{}:{}", old.display(), std::env::var("PATH").unwrap());
    check().var("PATH", &path).run().ended(2, "is of version 20, and `docker stack config` came with 23.0");
    check().run().ended(0, "nothing is in the way");
    assert_eq!(checkout.bed.services(), Vec::<String>::new());
}

fn program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
