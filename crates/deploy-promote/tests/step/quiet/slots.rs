//! Blue-green on a Swarm, behind a real Traefik: two services of a release shift, fail and go back together.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::PoisonError;

use shipkit_core::Digest;
use shipkit_tests::container::docker;
use shipkit_tests::server::gate::{Gate, Moment};

use super::QUIET;
use super::load::{check_lossless, watched};
use crate::bed::{Bed, Step, commit};
use crate::front::Front;
use crate::kills::{kill_at, numbers};
use crate::left::check_closed;

/// The change of the Swarm that sends visitors to the first service of a second release: lease, journal, the new slot and that it
/// can be asked come before.
const SHIFT: usize = 5;

/// A stack whose `api` and `web` are behind Traefik, which looks every second.
struct Behind {
    bed: Bed,
    url: String,
}

impl Behind {
    fn new(name: &str) -> Self {
        let bed = Bed::new(name);
        let stack = bed.stack.clone();
        let label = format!("com.docker.stack.namespace={stack}");
        docker(&["network", "create", "--driver", "overlay", "--attachable", "--label", &label, &stack]);
        let only_ours =
            format!("--providers.swarm.constraints=Label(`com.docker.stack.namespace`, `{stack}`)");
        let rule = "{{ if contains \"web\" .Name }}PathPrefix(`/web`){{ else }}PathPrefix(`/`){{ end }}";
        let create = "service create --detach --no-resolve-image --publish mode=host,target=80 --stop-grace-period 1s \
                      --mount type=bind,src=/var/run/docker.sock,dst=/var/run/docker.sock";
        let name = format!("{stack}_edge");
        let ours = ["--label", &label, "--network", &stack, "--name", &name];
        let program = "shipkit-test/traefik:3 traefik --entrypoints.web.address=:80 \
                       --providers.swarm.endpoint=unix:///var/run/docker.sock --providers.swarm.refreshSeconds=1 \
                       --providers.providersThrottleDuration=100ms --providers.swarm.exposedByDefault=false";
        let rule = format!("--providers.swarm.defaultRule={rule}");
        let words: Vec<&str> =
            create.split_whitespace().chain(ours).chain(program.split_whitespace()).collect();
        docker(&[&words[..], &[&only_ours, &rule]].concat());
        let container = std::iter::repeat_with(|| bed.containers("edge")).find(|there| !there.is_empty());
        let port = docker(&["port", &container.unwrap()[0], "80/tcp"]);
        let port = port.lines().next().unwrap().rsplit(':').next().unwrap().to_owned();
        Self { bed, url: format!("http://127.0.0.1:{port}") }
    }

    /// `api` and `web` built here and blue-green.
    fn config(&self) -> String {
        let (stack, registry) = (&self.bed.stack, self.bed.host());
        let service = "port: 8080\n    stop_grace_period: 1s\n    deploy: {endpoint_mode: dnsrr, update_config: {delay: 0s, monitor: 1s}}\n    \
                       healthcheck: {test: [CMD, /container, ask], ready: /ready, interval: 1s, timeout: 5s, retries: 1}\n";
        format!(
            "version: 1\nname: shop\nregistry: {registry}/{stack}\nservices:\n\
             \x20 api:\n    build: {{context: api}}\n    {service}\
             \x20 web:\n    build: {{context: web}}\n    {service}\
             environments:\n\
             \x20 staging:\n    url: {}\n    timeout: 30s\n    strategy: blue-green\n    \
             target: {{type: swarm, stack: {stack}, proxy: {{traefik: edge}}}}\n\
             \x20   smoke:\n    - {{release: /version, service: api}}\n    - {{get: /items, expect: {{status: 200, json: {{state: fine}}}}, retries: 0}}\n",
            self.url
        )
    }

    /// The same, whose services say at another path whether they are ready, and soon.
    fn serving(&self) -> String {
        self.config().replace("ready: /ready", "ready: /serving").replace("timeout: 30s", "timeout: 15s")
    }

    /// A deploy with another configuration.
    fn deploy_by(&self, config: &str, release: &Digest) -> Step {
        let step = self.bed.step_of("deploy", config);
        step.input("environment", "staging").input("release", release.as_str())
    }

    /// What is answered to a visitor who says this word.
    fn ask(&self, word: &str) -> String {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).unwrap();
        let mut answer = String::new();
        write!(stream, "GET /version HTTP/1.0\r\nhost: x\r\nx-shipkit-preview: {word}\r\n\r\n").unwrap();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The word by which the new tasks of `api` are asked now.
    fn word(&self, slot: &str) -> String {
        let rule = format!(
            "{{{{index .Spec.Labels \"traefik.http.routers.shipkit-preview-{}-api.rule\"}}}}",
            self.bed.stack
        );
        let rule = self.bed.inspect(slot, &rule);
        rule.split('`').nth(3).unwrap_or_else(|| panic!("{rule}")).to_owned()
    }

    fn step(&self, command: &str) -> Step {
        self.bed.step_of(command, &self.config()).input("environment", "staging")
    }

    fn deploy(&self, release: &Digest) -> Step {
        self.step("deploy").input("release", release.as_str())
    }

    /// Both run this version in these slots, which alone are there, and nobody holds the stack.
    #[track_caller]
    fn check(&self, version: &str, slots: [&str; 2]) {
        let mut services = self.bed.services();
        services.sort();
        let stack = &self.bed.stack;
        let expected = [slots[0], "edge", slots[1]].map(|name| format!("{stack}_{name}"));
        assert_eq!(services, expected);
        let version_label = "{{index .Spec.Labels \"dev.shipkit.version\"}}";
        for slot in slots {
            assert_eq!(self.bed.inspect(slot, version_label), version, "{slot}");
            assert_eq!(self.bed.inspect(slot, "{{index .Spec.Labels \"traefik.enable\"}}"), "true", "{slot}");
            assert!(!self.bed.inspect(slot, "{{json .Spec.Labels}}").contains("preview"), "{slot}");
        }
        check_closed(&self.bed, &[]);
    }

    /// The slots that are there.
    fn slots(&self) -> [&'static str; 2] {
        let services = self.bed.services();
        let is_there = |name: &str| services.contains(&format!("{}_{name}", self.bed.stack));
        [if is_there("api") { "api" } else { "api-green" }, if is_there("web") { "web" } else { "web-green" }]
    }
}

#[test]
fn all_services_of_a_release_shift_and_fail_and_go_back_together() {
    let mut behind = Behind::new("slots");
    let (one, two) = (behind.bed.answering(1, "good"), behind.bed.answering(2, "good"));
    let (crash, broken) = (behind.bed.answering(3, "crash"), behind.bed.answering(4, "broken"));
    let first = behind.bed.release(1, (&one, 1), (&one, 1));
    let run = behind.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    for service in ["api", "web"] {
        let said = format!("the new tasks of `{service}` answer as they should");
        assert_eq!(run.stderr.matches(&said).count(), 1, "{}", run.stderr);
    }
    behind.check("1.1.0", ["api", "web"]);
    let kept = behind.bed.containers("api");
    let run = behind.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    assert!(run.stderr.contains("keep `api`") && !run.stderr.contains("new tasks"), "{}", run.stderr);
    assert_eq!(behind.bed.containers("api"), kept);

    let second = behind.bed.release(2, (&two, 2), (&two, 2));
    behind.deploy(&second).run().ended(0, "1.2.0 serves in staging");
    behind.check("1.2.0", ["api-green", "web-green"]);
    let run = behind.step("status").run().ended(0, "1.2.0 serves");
    assert!(run.stdout.contains("api: 1.2.0 since ") && !run.stdout.contains("green"), "{}", run.stdout);
    assert!(behind.step("logs").run().exit == Some(0));

    let third = behind.bed.release(3, (&two, 2), (&crash, 3));
    let run = behind.deploy(&third).run().ended(1, "rolled back: `web` keeps failing");
    assert!(run.outputs["cause"].contains("(exit code 3)"), "{run:#?}");
    behind.check("1.2.0", ["api-green", "web-green"]);
    // It is seen only after the shift.
    let fourth = behind.bed.release(4, (&broken, 4), (&one, 1));
    let run = behind.deploy(&fourth).run().ended(1, "rolled back: ");
    assert!(run.outputs["cause"].ends_with("; 1.2.0 serves"), "{run:#?}");
    behind.check("1.2.0", ["api-green", "web-green"]);

    behind.bed.stop_registry();
    behind.step("rollback").run().ended(0, "1.1.0 serves in staging again");
    behind.check("1.1.0", ["api", "web"]);
    behind.step("rollback").input("to", "1.2.0").run().ended(0, "1.2.0 serves in staging again");
    behind.check("1.2.0", ["api-green", "web-green"]);
    let run = behind.step("history").run().ended(0, "");
    assert!(run.stdout.contains("1.2.0 ") && run.stdout.contains("runs now"), "{}", run.stdout);
}

#[test]
fn a_release_that_is_slower_than_the_one_that_serves_gets_no_visitor() {
    let mut behind = Behind::new("slower");
    let (one, two) = (behind.bed.answering(1, "steady"), behind.bed.answering(2, "steady"));
    let lame = behind.bed.answering(2, "lame");
    let config = behind.config().replace("timeout: 30s", "timeout: 90s");
    let config = format!(
        "{config}    - {{get: /items, service: api, expect: {{p95: 10s, max_regress: 2}}, retries: 0}}\n"
    );
    let first = behind.bed.release(1, (&one, 1), (&one, 1));
    let run = behind.deploy_by(&config, &first).run().ended(0, "1.1.0 serves in staging");
    assert!(run.stderr.contains("nothing serves that could be asked beside it"), "{}", run.stderr);
    assert!(run.stderr.contains("there is no baseline, so it was not compared"), "{}", run.stderr);

    let second = behind.bed.release(2, (&lame, 2), (&two, 2));
    let run = behind.deploy_by(&config, &second).run();
    let run = run.ended(1, "rolled back: `api` was not verified: get /items: p95 is over 2 times that of `");
    let told = format!("`{}_api` had ", behind.bed.stack);
    let cause = &run.outputs["cause"];
    assert!(cause.contains(&told) && cause.ends_with("; 1.1.0 serves"), "{run:#?}");
    behind.check("1.1.0", ["api", "web"]);

    let third = behind.bed.release(3, (&two, 2), (&two, 2));
    let run = behind.deploy_by(&config, &third).run().ended(0, "1.3.0 serves in staging");
    let said = "; before the shift: p95 is within 2 times that of `";
    assert!(run.stderr.contains(said) && run.stderr.contains(&told), "{}", run.stderr);
    behind.check("1.3.0", ["api-green", "web-green"]);
}

#[test]
fn what_is_not_ready_never_gets_a_request_of_a_visitor_and_takes_all_services_back() {
    let _alone = QUIET.write().unwrap_or_else(PoisonError::into_inner);
    let mut behind = Behind::new("unready");
    let (one, two) = (behind.bed.answering(1, "good"), behind.bed.answering(2, "good"));
    let unready = behind.bed.answering(2, "unready");
    let config = behind.serving();
    let first = behind.bed.release(1, (&one, 1), (&one, 1));
    behind.deploy_by(&config, &first).run().ended(0, "1.1.0 serves in staging");

    let second = behind.bed.release(2, (&unready, 2), (&two, 2));
    let (run, report) = watched(&behind.url, || behind.deploy_by(&config, &second).run());
    let run = run.ended(1, "rolled back: `api` was not verified: ready: not ready after ");
    let cause = &run.outputs["cause"];
    assert!(cause.contains("status 500") && cause.ends_with("; 1.1.0 serves"), "{run:#?}");
    check_lossless(&report, &[1]);
    behind.check("1.1.0", ["api", "web"]);

    // `api` has its traffic already when the next one is asked.
    let third = behind.bed.release(3, (&two, 2), (&unready, 2));
    let (run, report) = watched(&behind.url, || behind.deploy_by(&config, &third).run());
    run.ended(1, "rolled back: `web` was not verified: ready: not ready after ");
    check_lossless(&report, &[1, 2]);
    behind.check("1.1.0", ["api", "web"]);
}

#[test]
fn who_knows_no_word_is_never_sent_to_what_is_asked_and_a_run_that_is_killed_then_leaves_it_to_the_next() {
    let mut behind = Behind::new("word");
    let gate = Gate::start("/var/run/docker.sock");
    let (one, two) = (behind.bed.answering(1, "good"), behind.bed.answering(2, "good"));
    let first = behind.bed.release(1, (&one, 1), (&one, 1));
    let second = behind.bed.release(2, (&two, 2), (&two, 2));
    behind.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    let through = |release| behind.deploy(release).input("docker-host", &gate.host());

    let held = gate.hold(SHIFT, Moment::Before);
    let change = kill_at(&through(&second), &held).unwrap();
    drop(held);
    assert!(change.contains("/update?"), "{change}: {:#?}", gate.changes());
    let word = behind.word("api-green");
    let is_new = |answer: &str| answer.contains(&commit(2)) && answer.contains("X-Shipkit-Preview: ");
    let is_old = |answer: &str| answer.contains(&commit(1)) && !answer.contains("X-Shipkit-Preview");
    assert!(is_new(&behind.ask(&word)), "{}", behind.ask(&word));
    for wrong in ["", "1", &word.to_uppercase()] {
        assert!(is_old(&behind.ask(wrong)), "{}", behind.ask(wrong));
    }
    behind.bed.lease_ends();
    behind.step("rollback").run();
    behind.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    behind.check("1.1.0", ["api", "web"]);
    assert!(std::iter::repeat_with(|| behind.ask(&word)).any(|answer| is_old(&answer)));

    let held = gate.hold(SHIFT, Moment::Before);
    let step = through(&second);
    let child = step.start();
    assert!(held.wait().unwrap().contains("/update?"));
    let second_word = behind.word("api-green");
    assert_ne!(second_word, word);
    drop(held);
    let run = step.finish(child).ended(0, "1.2.0 serves in staging");
    assert!(!format!("{run:?}").contains(&second_word), "{run:#?}");
    behind.check("1.2.0", ["api-green", "web-green"]);
}

#[test]
fn what_is_not_reached_where_the_environment_answers_is_neither_shifted_nor_taken_back() {
    let mut behind = Behind::new("apart");
    let one = behind.bed.answering(1, "good");
    let first = behind.bed.release(1, (&one, 1), (&one, 1));
    let front = Front::start(|_| (200, format!("{{\"revision\": \"{}\", \"state\": \"fine\"}}", commit(1))));
    let config = behind.config().replace(&behind.url, &format!("http://{}", front.host()));
    let run = behind.deploy_by(&config, &first).run();
    let run =
        run.ended(3, "whether `api` is good could not be found out: no new task was reached at http://127.");
    assert!(run.outputs["cause"].contains("another answered (status 200)"), "{run:#?}");
    let labels = behind.bed.inspect("api", "{{json .Spec.Labels}}");
    assert!(labels.contains("\"traefik.enable\":\"false\"") && !labels.contains("preview"), "{labels}");
    behind.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    behind.check("1.1.0", ["api", "web"]);

    let config = config
        .split("    smoke:")
        .next()
        .unwrap()
        .replace(&format!("    url: http://{}\n", front.host()), "");
    let run = behind.bed.step_of("check", &config).input("environment", "staging");
    let run = run.input("release", first.as_str()).run().ended(0, "nothing is in the way");
    let said = "new tasks of `api`, `web` are not asked anything before traffic goes to them: the environment has no `url`";
    assert!(run.stderr.contains(said), "{}", run.stderr);
}

#[test]
fn a_service_becomes_blue_green_and_rolling_again() {
    let mut behind = Behind::new("becomes");
    let (one, two) = (behind.bed.answering(1, "good"), behind.bed.answering(2, "good"));
    let first = behind.bed.release(1, (&one, 1), (&one, 1));
    let second = behind.bed.release(2, (&two, 2), (&two, 2));
    let rolling = |release: &Digest| {
        let config = behind.config().replace("strategy: blue-green", "strategy: rolling");
        // Nobody is sent to them yet.
        let config =
            config.split("    smoke:").next().unwrap().replace(&format!("    url: {}\n", behind.url), "");
        behind
            .bed
            .step_of("deploy", &config)
            .input("environment", "staging")
            .input("release", release.as_str())
    };
    let aliases =
        |slot: &str| behind.bed.inspect(slot, "{{json .Spec.TaskTemplate.Networks}}").contains("Aliases");
    rolling(&first).run().ended(0, "1.1.0 runs in staging");
    assert!(aliases("api"));
    behind.deploy(&second).run().ended(0, "1.2.0 serves in staging");
    behind.check("1.2.0", ["api-green", "web-green"]);
    assert!(!aliases("api-green"));
    rolling(&first).run().ended(0, "1.1.0 runs in staging");
    behind.check("1.1.0", ["api-green", "web-green"]);
    assert!(aliases("api-green"));
    behind.step("rollback").run().ended(0, "1.2.0 serves in staging again");
    behind.check("1.2.0", ["api-green", "web-green"]);
    behind.step("rollback").input("to", "1.1.0").run().ended(0, "1.1.0 serves in staging again");
}

/// What is killed at one of its changes of the Swarm, and what is done then.
#[derive(Clone, Copy)]
enum Killed {
    DeployThenAgain,
    DeployThenReconcile,
    DeployThenRollback,
    RollbackThenReconcile,
}

/// Each run is killed at one more of its changes, and what comes then leaves one release in one slot of each.
fn killed_at(name: &str, killed: Killed, moment: Moment, samples: &[usize]) {
    let mut behind = Behind::new(name);
    let gate = Gate::start("/var/run/docker.sock");
    let (one, two) = (behind.bed.answering(1, "good"), behind.bed.answering(2, "good"));
    let first = behind.bed.release(1, (&one, 1), (&one, 1));
    let second = behind.bed.release(2, (&two, 2), (&two, 2));
    let through = |step: Step| step.input("docker-host", &gate.host());
    behind.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    let all = numbers(0);
    for number in if all.len() == 1 { samples.to_vec() } else { all } {
        if matches!(killed, Killed::RollbackThenReconcile) {
            behind.deploy(&second).run().ended(0, "1.2.0 serves in staging");
        }
        let step = match killed {
            Killed::RollbackThenReconcile => behind.step("rollback"),
            Killed::DeployThenAgain | Killed::DeployThenReconcile | Killed::DeployThenRollback => {
                behind.deploy(&second)
            }
        };
        let held = gate.hold(number, moment);
        let change = kill_at(&through(step), &held);
        drop(held);
        behind.bed.lease_ends();
        let run = match killed {
            Killed::DeployThenAgain => behind.deploy(&second).run(),
            Killed::DeployThenReconcile | Killed::RollbackThenReconcile => behind.step("reconcile").run(),
            Killed::DeployThenRollback => behind.step("rollback").run(),
        };
        let at = format!("killed {moment:?} change {number}, {change:?}: {run:#?}, {:#?}", gate.changes());
        let serves = behind.step("status").run().outputs["cause"].clone();
        let version = if serves.starts_with("1.1.0 serves") { "1.1.0" } else { "1.2.0" };
        match killed {
            Killed::DeployThenAgain => assert_eq!((run.exit, version), (Some(0), "1.2.0"), "{at}"),
            Killed::DeployThenReconcile | Killed::RollbackThenReconcile => {
                assert_eq!(run.exit, Some(0), "{at}");
            }
            // It may have been killed before it began, or after what serves was written down.
            Killed::DeployThenRollback => assert_eq!(version, "1.1.0", "{at}"),
        }
        assert!(serves.ends_with(" serves"), "{at}: {serves}");
        if !matches!(killed, Killed::DeployThenRollback) || run.exit == Some(0) {
            behind.check(version, behind.slots());
        }
        // Who asks for a way back before anything changed is told that there is none, and what was begun stays written down.
        if version == "1.2.0" || run.exit != Some(0) {
            behind.deploy(&first).run().ended(0, "1.1.0 serves in staging");
        }
        behind.check("1.1.0", behind.slots());
        if change.is_none() {
            break;
        }
    }
}

#[test]
fn a_deploy_that_is_killed_is_finished_by_the_next_one() {
    killed_at("slkilla", Killed::DeployThenAgain, Moment::After, &[6]);
}

#[test]
fn a_deploy_that_is_killed_is_finished_by_reconcile() {
    killed_at("slkillb", Killed::DeployThenReconcile, Moment::After, &[4, 13]);
}

#[test]
fn a_deploy_that_is_killed_is_taken_back_by_a_rollback() {
    killed_at("slkillc", Killed::DeployThenRollback, Moment::After, &[7]);
}

#[test]
fn a_rollback_that_is_killed_is_finished_by_reconcile() {
    killed_at("slkilld", Killed::RollbackThenReconcile, Moment::After, &[5, 8]);
}
