//! `Previews`: what the new instances of a service are asked before any traffic goes to them: each at its own address (in a
//! cluster through the API server) or, on a Swarm, all through Traefik, where the environment answers.

use std::any::Any;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use shipkit_core::config::{self, CheckKind, Service, Source};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_core::{Hint, ProjectPath, Release};
use shipkit_docker::{Preview, SlotPreview, Swarm};
use shipkit_kubernetes::{Cluster, PodPreview};
use shipkit_runner::{Failure, Runner};
use shipkit_smoke::{
    Baseline, Beside, Check, CheckReport, Class, Given, Kind, Marked, Options, Report, Shipped, SmokeError,
    configured, meet, without_strangers,
};
use url::Url;

use crate::deploy::warn;
use crate::problems::Problems;
use crate::project::Project;
use crate::target::Target;

/// How long one instance that is ready may take for the checks that come after that.
const CHECKS: Duration = Duration::from_secs(5);
/// How long it takes at most to compare what answers with what serves: 21 seconds, and the time of a request.
const COMPARING: Duration = Duration::from_secs(26);
/// The time between two questions to a slot.
const BETWEEN: Duration = Duration::from_millis(100);

/// The questions for each service that has any.
pub(crate) type Previews = BTreeMap<String, Questions>;

/// What the new instances of one service are asked.
pub(crate) struct Questions {
    port: u16,
    ready: Option<Check>,
    checks: Vec<Check>,
    /// Where the environment answers.
    url: Option<String>,
    compared: Mutex<Compared>,
}

/// What came of comparing with the release that serves, by the line of each check that asks for it.
pub(crate) type Compared = BTreeMap<u64, String>;

/// The questions, and who hears what is said of the answers.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    /// The questions.
    pub(crate) questions: &'a Questions,
    /// Who hears it.
    pub(crate) runner: &'a Runner,
}

/// An instance that serves nobody yet.
pub(crate) enum Instance {
    /// A container of a Docker host.
    Container(Preview),
    /// A pod of a cluster.
    Pod(Box<PodPreview>),
}

/// A way to an instance, as long as this is kept.
struct Way {
    address: SocketAddr,
    _open: Box<dyn Any + Send>,
}

/// What came of comparing new instances with those that serve.
pub(crate) fn compared(previews: &Previews) -> Compared {
    previews.values().flat_map(Questions::told).collect()
}

/// The check, as it is asked after the shift: what was compared before is not compared again.
pub(crate) fn once_compared(mut check: Check, compared: &Compared) -> Check {
    let is_known = check.line.is_some_and(|line| compared.contains_key(&line));
    if let Kind::Http(http) = &mut check.kind {
        http.expect.max_regress = http.expect.max_regress.filter(|_| !is_known);
    }
    check
}

/// The report of a verification, with what came of comparing before the shift.
pub(crate) fn with_compared(mut report: Report, compared: &Compared) -> Report {
    for check in &mut report.checks {
        let told = check.line.and_then(|line| compared.get(&line));
        if let Some(told) = told {
            check.outcome.cause = format!("{}; before the shift: {told}", check.outcome.cause);
        }
    }
    report
}

/// How many times as long as the release that serves a check allows, if it says so.
pub(crate) fn max_regress(check: &Check) -> Option<f64> {
    if let Kind::Http(http) = &check.kind { http.expect.max_regress } else { None }
}

/// What shipkit.yml says of a service that one of its instances can be asked: its ready path, and the checks that name it and
/// ask a path.
pub(crate) fn of(project: &Project<'_>, release: &Release, runner: &Runner) -> Result<Previews, Failure> {
    let environment = &project.environment;
    let variables = |name: &str| project.given(name, runner);
    let files = |file: &ProjectPath| std::fs::read(project.folder().join(file.as_str()));
    let given = Given { shipped: Shipped::Release(release), variables: &variables, files: &files };
    Ok(questions(&project.config.services, (&environment.smoke, environment.url.as_deref()), &given)?)
}

fn questions(
    services: &BTreeMap<String, Service>,
    (smoke, url): (&[config::Check], Option<&str>),
    given: &Given<'_>,
) -> Result<Previews, SmokeError> {
    let mut previews = Previews::new();
    for (name, service) in services {
        let Some(port) = service.port.filter(|_| is_replaced(service)) else { continue };
        let ready = service.healthcheck.as_ref().and_then(|check| check.ready.clone());
        let ready = ready.map(|path| Check::ready([path]));
        let asked = smoke.iter().filter(|check| is_of(check, name));
        // How good the service is, all its instances show together after the shift; beside what serves, one of each does.
        let expect =
            |check: &config::Check| config::Expect { p95: None, errors: None, ..check.expect.clone() };
        let asked: Vec<_> =
            asked.map(|check| config::Check { expect: expect(check), ..check.clone() }).collect();
        // Who needs what another service or the environment gives is asked where all of them are.
        let checks = configured(&without_strangers(smoke, asked), given)?;
        if ready.is_some() || !checks.is_empty() {
            let (url, compared) = (url.map(str::to_owned), Mutex::default());
            previews.insert(name.clone(), Questions { port, ready, checks, url, compared });
        }
    }
    Ok(previews)
}

fn is_replaced(service: &Service) -> bool {
    matches!(service.source, Source::Build(_)) && !service.stateful
}

/// Whether the check can be asked of an instance of this service.
fn is_of(check: &config::Check, service: &str) -> bool {
    let path = match &check.kind {
        CheckKind::Http(config::Request { url: path, .. })
        | CheckKind::Release(config::Running { path, .. }) => path,
        CheckKind::Ws(_)
        | CheckKind::SocketIo(_)
        | CheckKind::Page(_)
        | CheckKind::Caching(_)
        | CheckKind::Compression(_)
        | CheckKind::Cors(_)
        | CheckKind::SecurityHeaders(_)
        | CheckKind::Tcp(_)
        | CheckKind::Dns(_)
        | CheckKind::Tls(_)
        | CheckKind::Redirect { .. }
        | CheckKind::Metrics(_)
        | CheckKind::Alerts(_)
        | CheckKind::Promql(_)
        | CheckKind::Openapi(_)
        | CheckKind::RateLimit(_)
        | CheckKind::Run(_)
        | CheckKind::Hurl(_) => return false,
    };
    check.service.as_deref() == Some(service) && path.starts_with('/')
}

/// The questions, if new containers can be asked them; that they cannot is told before anything changes.
pub(crate) async fn can_be_asked(
    previews: Previews,
    target: &Target,
    problems: &mut Problems,
    runner: &Runner,
) -> Previews {
    let compose = match target {
        Target::Compose { compose, .. } => compose,
        Target::Swarm { swarm, .. } => return of_slots(previews, swarm, runner),
        Target::Cluster(cluster) => return of_pods(previews, cluster, problems, runner).await,
    };
    if previews.is_empty() || problems.note(compose.has_addresses().await) != Some(false) {
        return previews;
    }
    let names = previews.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    warn(
        runner,
        "before the rollout",
        &format!(
            "containers of this engine have no address that its host sees (it is rootless, or in a virtual machine), so new \
             ones of {names} are not asked anything before traffic goes to them"
        ),
    );
    Previews::new()
}

/// The questions for what has slots: all else a cluster sends traffic to as soon as it is ready.
async fn of_pods(
    mut previews: Previews,
    cluster: &Cluster,
    problems: &mut Problems,
    runner: &Runner,
) -> Previews {
    previews.retain(|name, _| cluster.shifts(name));
    if previews.is_empty() || problems.note(cluster.may_reach_slots().await) != Some(false) {
        return previews;
    }
    let names = previews.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let message = format!(
        "new pods of {names} are not asked anything before traffic goes to them: these credentials may not create and get \
         pods/portforward"
    );
    warn(runner, "before the rollout", &message);
    Previews::new()
}

/// The questions for what has slots: all else a Swarm sends traffic to by itself.
fn of_slots(mut previews: Previews, swarm: &Swarm, runner: &Runner) -> Previews {
    previews.retain(|name, _| swarm.shifts(name));
    let without = previews.iter().filter(|(_, questions)| questions.url.is_none());
    let names = without.map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if !names.is_empty() {
        let why = "the environment has no `url`, and they are reached through Traefik alone";
        let message =
            format!("new tasks of {names} are not asked anything before traffic goes to them: {why}");
        warn(runner, "before the rollout", &message);
    }
    previews.retain(|_, questions| questions.url.is_some());
    previews
}

impl Instance {
    fn name(&self) -> &str {
        match self {
            Self::Container(container) => container.instance(),
            Self::Pod(pod) => pod.pod(),
        }
    }

    /// Where a port of it answers; `Err` if it cannot be reached.
    async fn reach(&self, port: u16) -> Result<Way, Outcome> {
        match self {
            Self::Container(container) => {
                let reached = container.reach(port).await.map_err(|error| unreached(&error))?;
                Ok(Way { address: reached.address(), _open: Box::new(reached) })
            }
            Self::Pod(pod) => {
                let reached = pod.reach(port).await.map_err(|error| unreached(&error))?;
                Ok(Way { address: reached.address(), _open: Box::new(reached) })
            }
        }
    }
}

fn unreached(error: &(impl std::fmt::Display + Hint)) -> Outcome {
    let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    Outcome::inconclusive(format!("{error}{hint}"))
}

impl Questions {
    /// Asks one instance after the other, up to the first that does not answer as it should; `left` is the time for all. The first
    /// of all is compared with the one that serves.
    pub(crate) async fn ask(
        &self,
        instances: &[Instance],
        serving: Option<&Instance>,
        left: Duration,
        runner: &Runner,
    ) -> Outcome {
        let start = Instant::now();
        let mut serving = serving;
        for instance in instances {
            let name = instance.name();
            let left = left.saturating_sub(start.elapsed());
            let said = self.ask_one(instance, serving.take(), left, runner).await;
            let said = said.unwrap_or_else(|unknown| unknown);
            if said.verdict != Verdict::Pass {
                return Outcome { cause: format!("instance `{name}`: {}", said.cause), ..said };
            }
            runner.say(&format!("instance `{name}` answers as it should"));
        }
        Outcome::pass("")
    }

    /// What one instance answers; `Err` if it could not be asked.
    async fn ask_one(
        &self,
        instance: &Instance,
        serving: Option<&Instance>,
        left: Duration,
        runner: &Runner,
    ) -> Result<Outcome, Outcome> {
        let way = instance.reach(self.port).await?;
        let other = match serving.filter(|_| self.is_to_be_compared()) {
            Some(serving) => Some((serving.reach(self.port).await?, serving.name())),
            None => None,
        };
        let base = format!("http://{}/", way.address);
        let beside = other.as_ref().map(|(way, name)| (format!("http://{}/", way.address), *name));
        let beside = beside.as_ref().map(|(base, name)| (base.as_str(), *name));
        // Of one instance, one good answer says as much as many.
        let options = Options {
            deadline: left,
            successes: 1,
            samples: 1,
            baseline: self.baseline(beside, left, runner)?,
            ..Options::default()
        };
        let name = format!("instance `{}`", instance.name());
        self.answers((&base, &name), options, runner).await
    }

    /// What came of comparing.
    fn told(&self) -> Compared {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a check asks for it, and nothing has come of it yet: not each instance is measured.
    fn is_to_be_compared(&self) -> bool {
        self.told().is_empty() && self.checks.iter().any(|check| max_regress(check).is_some())
    }

    /// What is compared with, at its address; `Err` if there is no time for it. That nothing serves yet is told and no fault.
    fn baseline(
        &self,
        serving: Option<(&str, &str)>,
        left: Duration,
        runner: &Runner,
    ) -> Result<Option<Baseline>, Outcome> {
        if !self.is_to_be_compared() {
            return Ok(None);
        }
        let Some((url, name)) = serving else {
            runner
                .say("nothing serves that could be asked beside it, so `max_regress` compares with nothing");
            return Ok(None);
        };
        if left < COMPARING {
            let (left, needed) = (left.as_secs(), COMPARING.as_secs());
            return Err(Outcome::inconclusive(format!(
                "there was no time for comparing it with `{name}`: {left} s of `timeout` were left, and it takes {needed} s"
            )));
        }
        let url = url.parse().map_err(|error| not_run(&format!("`{url}` is no address: {error}")))?;
        runner.say(&format!("comparing with `{name}`, which serves"));
        Ok(Some(Baseline::Beside(Beside { url, name: name.to_owned(), is_before: true })))
    }

    /// Asks a slot through Traefik, once that passes requests on to it: as often as it has tasks.
    pub(crate) async fn ask_slot(&self, slot: &SlotPreview, left: Duration, runner: &Runner) -> Outcome {
        let url = self.url.as_deref().unwrap_or_default();
        let base = match url.parse::<Url>().and_then(|url| url.join("/")) {
            Ok(base) => base,
            Err(error) => return Outcome::inconclusive(format!("`{url}` is no address: {error}")),
        };
        let marked = Marked {
            header: SlotPreview::HEADER.to_owned(),
            ask: slot.ask.clone(),
            answer: slot.answer.clone(),
        };
        let options = Options {
            deadline: slot.within,
            successes: slot.tasks,
            samples: slot.tasks,
            between: BETWEEN,
            longest_wait: Duration::from_secs(1),
            marked: Some(marked),
            ..Options::default()
        };
        let met =
            meet(&base, &options).await.unwrap_or_else(|error| Outcome::inconclusive(error.to_string()));
        if met.verdict != Verdict::Pass {
            let (at, within) = (base.origin().ascii_serialization(), slot.within.as_secs());
            let cause = format!("no new task was reached at {at} within {within} s: {}", met.cause);
            return Outcome { cause, ..met };
        }
        let name = format!("the new tasks of `{}`", slot.service);
        // Without the mark, Traefik passes requests on to what serves.
        let serving = slot.serving.as_deref().map(|serving| (base.as_str(), serving));
        let baseline = match self.baseline(serving, left, runner) {
            Ok(baseline) => baseline,
            Err(unknown) => return unknown,
        };
        let options = Options { deadline: left, baseline, ..options };
        let said =
            self.answers((base.as_str(), &name), options, runner).await.unwrap_or_else(|unknown| unknown);
        if said.verdict == Verdict::Pass {
            runner.say(&format!("{name} answer as they should"));
        }
        said
    }

    /// Keeps and tells what came of comparing.
    fn note(&self, reports: &[CheckReport], runner: &Runner) {
        let lines = self.checks.iter().filter(|check| max_regress(check).is_some()).map(|check| check.line);
        let lines: Vec<_> = lines.collect();
        let mut compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        for report in reports.iter().filter(|report| lines.contains(&report.line)) {
            runner.say(&format!("{}: {}", report.name, report.outcome.cause));
            compared.extend(report.line.map(|line| (line, report.outcome.cause.clone())));
        }
    }

    /// What is answered there; `Err` if it could not be asked.
    async fn answers(
        &self,
        (base, name): (&str, &str),
        options: Options,
        runner: &Runner,
    ) -> Result<Outcome, Outcome> {
        if let Some(ready) = &self.ready {
            let ready = asked(base, vec![ready.clone()], &options).await?.outcome;
            if ready.verdict != Verdict::Pass {
                return Ok(ready);
            }
        }
        let options = Options { deadline: CHECKS, ..options };
        let (elsewhere, here) = apart(asked(base, self.checks.clone(), &options).await?.checks);
        if options.baseline.is_some() {
            self.note(&here, runner);
        }
        for check in elsewhere {
            runner.say(&format!(
                "`{}` is no path of {name}: it is asked after the shift, where the environment answers",
                check.name,
            ));
        }
        let is_of_another = |check: &&CheckReport| check.class == Some(Class::Elsewhere);
        if let Some(check) = here.iter().find(is_of_another) {
            return Err(Outcome::inconclusive(format!("{}: {}", check.name, check.outcome.cause)));
        }
        Ok(if here.is_empty() { Outcome::pass("") } else { Report::of(here).outcome })
    }
}

async fn asked(base: &str, checks: Vec<Check>, options: &Options) -> Result<Report, Outcome> {
    let base = base.parse().map_err(|error| not_run(&format!("`{base}` is no address: {error}")))?;
    shipkit_smoke::run(&base, checks, options).await.map_err(|error| not_run(&error.to_string()))
}

fn not_run(error: &str) -> Outcome {
    Outcome::inconclusive(format!("the checks could not be run: {error}"))
}

/// The checks whose paths an instance does not know, and those that say something about it: a proxy may take a part of a path
/// away.
fn apart(checks: Vec<CheckReport>) -> (Vec<CheckReport>, Vec<CheckReport>) {
    checks.into_iter().partition(|check| check.class == Some(Class::Status(404)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shipkit_core::config::{Config, Needed};
    use shipkit_runner::{Env, Form};
    use shipkit_smoke::{Expect, Http};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::sleep_until;

    const CONFIG: &str = "version: 1
name: shop
services:
  db: {image: 'postgres:17', port: 5432, healthcheck: {ready: /up}}
  api: {build: {}, port: 8080, healthcheck: {live: /live}}
  web: {build: {}, port: 3000}
  worker: {build: {}, healthcheck: {ready: /up}}
  page: {build: {}, port: 80}
environments:
  staging:
    url: https://shop.example
    smoke:
    - {get: /items, service: api, expect: {p95: 500ms, errors: 5%, max_regress: 1.5}}
    - {post: /orders, body: {}, service: web, writes: true}
    - {get: 'https://shop.example/items', service: web}
    - {get: /items, service: worker}
    - {get: /}
";

    /// Each service with its port, and the kinds of its questions.
    fn asked(text: &str) -> Vec<(String, u16, bool, Vec<String>)> {
        let config = Config::parse("shipkit.yml", text, &|_| None, Needed::Build).unwrap();
        let release = Release {
            name: "shop".to_owned(),
            version: "1.0.0".to_owned(),
            commit: "1".repeat(40),
            git_ref: "refs/heads/main".to_owned(),
            created: jiff::Timestamp::UNIX_EPOCH,
            run: None,
            services: BTreeMap::new(),
            tags: shipkit_core::release::PublishTags::default(),
        };
        let given = Given {
            shipped: Shipped::Release(&release),
            variables: &|_| None,
            files: &|_| Err(std::io::ErrorKind::NotFound.into()),
        };
        let found = questions(&config.services, (&config.environments[0].smoke, None), &given).unwrap();
        let is_measured = |check: &Check| matches!(&check.kind, Kind::Http(http) if http.expect.p95.is_some() || http.expect.errors.is_some());
        assert!(
            !found.values().flat_map(|one| &one.checks).any(is_measured),
            "how quick it is, all show together"
        );
        let factors: Vec<_> = found.values().flat_map(|one| &one.checks).filter_map(max_regress).collect();
        assert_eq!(factors, [1.5], "beside what serves, one of them shows it");
        let names = |checks: Vec<Check>| checks.into_iter().map(|check| check.name).collect();
        found
            .into_iter()
            .map(|(name, one)| (name, one.port, one.ready.is_some(), names(one.checks)))
            .collect()
    }

    /// A service that answers everything after so long; gives its address.
    async fn answering(after: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut head = [0; 1024];
                    let Ok(1..) = stream.read(&mut head).await else { return };
                    sleep_until(tokio::time::Instant::now() + after).await;
                    stream.write_all(b"HTTP/1.1 204 x\r\nconnection: close\r\n\r\n").await.ok();
                });
            }
        });
        url
    }

    /// What is asked of a service with a check in line 9 that compares, and one that does not.
    fn comparing() -> Questions {
        let expect = Expect { max_regress: Some(2.0), ..Expect::default() };
        let items = Http { path: "/items".to_owned(), expect, ..Http::default() };
        let items = Check { line: Some(9), ..Check::new("items", Kind::Http(items)) };
        let checks = vec![items, Check { line: Some(10), ..Check::get("/up") }];
        Questions { port: 80, ready: None, checks, url: None, compared: Mutex::default() }
    }

    #[tokio::test]
    async fn the_first_instance_is_compared_with_the_one_that_serves_and_no_other() {
        let runner = Runner::detached(Env::default(), Form::Text);
        let (quick, slow) =
            (answering(Duration::from_millis(150)).await, answering(Duration::from_millis(600)).await);
        let ask = async |questions: &Questions, new: &str, serving: Option<&str>| {
            let serving = serving.map(|serving| (serving, "blue"));
            let baseline = questions.baseline(serving, Duration::from_mins(1), &runner)?;
            questions.answers((new, "x"), Options { baseline, ..Options::default() }, &runner).await
        };
        let (first, worse, better) = (comparing(), comparing(), comparing());
        let (alone, slower, quicker) = tokio::join!(
            ask(&first, &slow, None),
            ask(&worse, &slow, Some(&quick)),
            ask(&better, &quick, Some(&slow))
        );
        assert_eq!((alone.unwrap().verdict, first.told()), (Verdict::Pass, Compared::new()));
        let slower = slower.unwrap();
        assert_eq!(slower.verdict, Verdict::Fail, "{slower:?}");
        assert!(slower.cause.starts_with("items: p95 is over 2 times that of `blue`: "), "{slower:?}");
        assert_eq!(quicker.unwrap().verdict, Verdict::Pass);
        let told = better.told();
        assert_eq!(told.keys().collect::<Vec<_>>(), [&9]);
        assert!(told[&9].starts_with("p95 is within 2 times that of `blue`: "), "{told:?}");
        // It has been compared, so that the next instance is only asked.
        assert_eq!(better.baseline(Some((&slow, "blue")), Duration::ZERO, &runner), Ok(None));
        let late = first.baseline(Some((&slow, "blue")), Duration::from_secs(25), &runner).unwrap_err();
        assert_eq!(late.verdict, Verdict::Inconclusive);
        assert!(late.cause.contains("25 s of `timeout` were left, and it takes 26 s"), "{late:?}");
    }

    #[test]
    fn after_the_shift_what_was_compared_is_told_and_not_compared_again() {
        let compared = Compared::from([(9, "`blue` had 4.0 ms".to_owned())]);
        let [items, up] = comparing().checks.try_into().unwrap();
        let elsewhere = Check { line: Some(8), ..items.clone() };
        let factors = [items, elsewhere, up].map(|check| max_regress(&once_compared(check, &compared)));
        assert_eq!(factors, [None, Some(2.0), None]);
        let report = |line| CheckReport {
            name: "items".to_owned(),
            outcome: Outcome::pass("p95 is within 1s"),
            severity: shipkit_smoke::Severity::Gate,
            url: String::new(),
            attempts: Vec::new(),
            took: Duration::ZERO,
            is_flaky: false,
            class: None,
            measured: None,
            said: None,
            line: Some(line),
            repeat: String::new(),
        };
        let told = with_compared(Report::of(vec![report(9), report(8)]), &compared);
        let causes: Vec<_> = told.checks.iter().map(|check| check.outcome.cause.as_str()).collect();
        assert_eq!(causes, ["p95 is within 1s; before the shift: `blue` had 4.0 ms", "p95 is within 1s"]);
    }

    #[test]
    fn what_is_built_and_has_a_port_is_asked_its_own_paths() {
        let api = ("api".to_owned(), 8080, true, vec!["get /items".to_owned()]);
        let web = ("web".to_owned(), 3000, false, vec!["post /orders".to_owned()]);
        assert_eq!(asked(CONFIG), [api, web]);
    }
}
