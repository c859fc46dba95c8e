//! `run`: asks the checks in stages, and stops before what makes no sense any more.

mod alerts;
mod asked;
pub(crate) mod burst;
mod caching;
mod compression;
mod dns;
mod filled;
mod host;
mod log;
mod measured;
mod operations;
mod order;
mod pages;
mod promql;
mod question;
mod release;
pub(crate) mod scrape;
mod sender;
pub(crate) mod socket;
pub(crate) mod talk;
mod together;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use rustls::RootCertStore;
use shipkit_core::config::Method;
use shipkit_core::{Outcome, Secret, Verdict};
use tokio::time::{Instant, sleep};
use url::Url;

use crate::baseline::Baseline;
use crate::capture::{Captured, capture, secret};
use crate::check::{Check, Severity};
use crate::class::Class;
use crate::client::{self, Answer, Ask, Bad, Client, Reuse};
use crate::error::SmokeError;
use crate::judge;
use crate::marked::{Marked, Marks};
use crate::prometheus::Prometheus;
use crate::redirect::{Next, Route, Trail};
use crate::report::{CheckReport, Report};
use crate::secrets::Secrets;
use crate::streak::{Pace, Streak};
use crate::usual::{Usual, usual};
use crate::{cookies, tcp, tls};
use asked::{Asked, Stage};
pub(crate) use asked::{address, harmless};
use filled::Request;
use log::Log;
use pages::is_page;
use question::{Question, Rest};
use sender::Sender;
use together::{First, Look, can_be_together};

/// How many requests of one check are under way at once.
const AT_ONCE: usize = 8;

/// How to ask.
#[derive(Debug, Clone)]
pub struct Options {
    /// No attempt begins later than this after the start; one that has begun may take `timeout`, and a measurement of
    /// `expect.p95` 20 seconds more.
    pub deadline: Duration,
    /// The longest time for one request with its whole answer.
    pub timeout: Duration,
    /// How many good answers in a row mean ready.
    pub successes: u32,
    /// Whether nobody says that the target was changed. It is ready then if its first answer is good, and what only reads is asked at the
    /// same moment; if that answer is bad, `successes` in a row are waited for, and all is asked after them. Nothing of this holds where a
    /// release is asked for.
    pub is_settled: bool,
    /// The time between good answers while that is counted.
    pub between: Duration,
    /// How many new connections must all reach the wanted release; to each address where all are asked. With three replicas behind
    /// a balancer that chooses by chance, an old one among them is missed by ten once in 58 times, and by twenty once in 3,300.
    pub samples: u32,
    /// The first wait after a bad answer; each is half as long again as the one before.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// An address that answers whenever the network from here works. Without one, a target that gives no sign of life
    /// (no address for its name, no route, no connection in time) is `inconclusive`; with one it is `fail` if that
    /// address answers and `unreachable` if it does not. A refused connection is always `fail`: the host is there.
    pub control: Option<Url>,
    /// Certificates to trust beside the roots of the web, in PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Who is meant, where several answer at the address. What another one answers is no answer.
    pub marked: Option<Marked>,
    /// Whether what fits the address is asked besides, and only warns.
    pub detects: bool,
    /// Whether the target is one that people use: no bursts of requests are sent to it.
    pub is_production: bool,
    /// The Prometheus that measures the target. One answer of it may take 20 seconds.
    pub prometheus: Option<Prometheus>,
    /// What checks that compare are compared with: the last good run, or another release.
    pub baseline: Option<Baseline>,
    /// Where programs are run, and where they look for files.
    pub folder: PathBuf,
    /// The release that was shipped, as programs are told.
    pub release: Option<String>,
    /// The moment before the target was changed, if it is known: what fired then is no fault of the change.
    pub since: Option<Timestamp>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: Duration::from_mins(5),
            timeout: Duration::from_secs(5),
            successes: 3,
            is_settled: false,
            between: Duration::from_secs(1),
            samples: 20,
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(5),
            control: None,
            ca_pem: None,
            marked: None,
            detects: false,
            is_production: false,
            prometheus: None,
            baseline: None,
            since: None,
            folder: PathBuf::from("."),
            release: None,
        }
    }
}

/// Asks all checks: first those for readiness, then those for the release, then the others, then what Prometheus has measured, and bursts
/// last. When a gate of one stage does not pass, the later stages are skipped: their answers would be about something else.
///
/// # Errors
/// When nothing can be asked at all. Whatever the target does is part of the report.
pub async fn run(base: &Url, checks: Vec<Check>, options: &Options) -> Result<Report, SmokeError> {
    let asked = asked::prepare(base, &checks, options.prometheus.as_ref())?;
    let graph = asked::graph(&checks)?;
    let mut session = Session::new(base, options)?;
    session.is_settled = options.is_settled && can_be_together(&asked);
    session.learn(asked.iter().flat_map(|asked| asked.check.variables()).cloned());
    let mut reports: Vec<CheckReport> = Vec::new();
    let mut blocker: Option<String> = None;
    let mut detected: Vec<Usual> = Vec::new();
    let mut early: Option<Vec<CheckReport>> = None;
    for stage in asked::STAGES {
        if stage == Stage::Rest && options.detects && blocker.is_none() {
            detected = session.detect(base).await;
        }
        let is_now = |asked: &Asked<'_>| asked.question.stage() == stage;
        let mut found: Vec<CheckReport> = match (&blocker, early.take_if(|_| stage == Stage::Rest)) {
            (Some(name), _) => {
                asked.iter().filter(|one| is_now(one)).map(|asked| skipped(asked, name)).collect()
            }
            (None, Some(found)) => found,
            (None, None) if stage == Stage::Ready && session.is_settled => {
                let ready;
                (ready, early) = session.together(&asked, &graph).await;
                ready
            }
            (None, None) => session.in_order(&asked, &graph, is_now).await,
        };
        if stage == Stage::Rest {
            found.extend(session.ask_detected(base, &detected).await?);
        }
        let stops =
            |check: &&CheckReport| check.severity == Severity::Gate && check.outcome.verdict != Verdict::Pass;
        blocker = blocker.or_else(|| found.iter().find(stops).map(|check| check.name.clone()));
        reports.extend(found);
    }
    let Session { secrets, .. } = session;
    let secrets = secrets.into_inner().unwrap_or_else(PoisonError::into_inner);
    let hidden = Secrets::of(&secrets);
    let report = Report::of(reports.into_iter().map(|report| hidden.hide_in(report)).collect());
    let detected = detected.into_iter().map(|usual| usual.yaml).collect();
    Ok(Report { detected, secrets, ..report })
}

/// Whether these checks can be asked of this address, without asking: for use before anything is changed.
///
/// # Errors
/// As [`run`] would give.
pub fn validate(base: &Url, checks: &[Check], options: &Options) -> Result<(), SmokeError> {
    asked::prepare(base, checks, options.prometheus.as_ref())?;
    asked::graph(checks)?;
    Client::new(options.ca_pem.as_deref(), Reuse::Never, options.timeout)?;
    Ok(())
}

/// Asks the address itself until the one that is meant answers, whatever it says. `inconclusive` if it does not until the
/// deadline: what the others say tells nothing about it.
///
/// # Errors
/// When nothing can be asked at all.
pub async fn meet(base: &Url, options: &Options) -> Result<Outcome, SmokeError> {
    Ok(Session::new(base, options)?.meet(base).await)
}

/// One run.
struct Session<'a> {
    sender: Sender,
    roots: RootCertStore,
    options: &'a Options,
    base: &'a Url,
    /// As in [`Options`], where it is possible.
    is_settled: bool,
    look: Look,
    began: Instant,
    end: Instant,
    captured: Mutex<Captured>,
    /// What no report may show.
    secrets: Mutex<Vec<Secret>>,
}

fn skipped(asked: &Asked<'_>, blocker: &str) -> CheckReport {
    let outcome = Outcome::skipped(format!("`{blocker}` did not pass"));
    Log::start().report(asked, outcome, &asked.url)
}

impl<'a> Session<'a> {
    fn new(base: &'a Url, options: &'a Options) -> Result<Self, SmokeError> {
        let client = Client::new(options.ca_pem.as_deref(), Reuse::Never, options.timeout)?;
        let roots = client::roots(options.ca_pem.as_deref())?;
        let marks = options.marked.as_ref().map(Marks::of).transpose()?;
        let began = Instant::now();
        Ok(Self {
            sender: Sender { client, marks },
            roots,
            options,
            base,
            is_settled: false,
            look: Look::over(),
            began,
            end: began + options.deadline,
            captured: Mutex::default(),
            secrets: Mutex::default(),
        })
    }

    /// From now on these are secrets of the run.
    fn learn(&self, secrets: impl Iterator<Item = Secret>) {
        let mut known = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets {
            if !known.contains(&secret) {
                known.push(secret);
            }
        }
    }

    async fn meet(&self, base: &Url) -> Outcome {
        let mut attempt = 1;
        loop {
            match self.send(&Ask::get(base.clone()), self.options.timeout).await {
                Ok(answer) => return Outcome::pass(format!("it answers, with status {}", answer.status)),
                Err(_) if self.pause(self.wait(attempt)).await => attempt += 1,
                Err(bad) => return Outcome::inconclusive(bad.detail),
            }
        }
    }

    async fn ask_detected(&self, base: &Url, detected: &[Usual]) -> Result<Vec<CheckReport>, SmokeError> {
        let asked = asked::prepare(base, detected.iter().map(|usual| &usual.check), None)?;
        // In a loop, for with a closure the future of a run could not be sent to another thread.
        let mut asking = Vec::new();
        for one in &asked {
            asking.push(self.ask(one));
        }
        Ok(stream::iter(asking).buffered(AT_ONCE).collect().await)
    }

    /// What fits the address, which has answered before: what does not answer now is taken for no page.
    async fn detect(&self, base: &Url) -> Vec<Usual> {
        let answer = self.send(&Ask::get(base.clone()), self.options.timeout).await;
        usual(base, answer.is_ok_and(|answer| is_page(&answer)))
    }

    async fn ask(&self, asked: &Asked<'_>) -> CheckReport {
        let mut log = Log::start();
        let mut url = asked.url.clone();
        let outcome = if self.end <= Instant::now() {
            Outcome::inconclusive("the time was up before it was asked")
        } else {
            match &asked.question {
                Question::Ready { urls } => self.ready(urls, &mut log, &mut url).await,
                Question::Release(running) => self.release(running, &mut log).await,
                Question::Rest(Rest::Operations(operations)) if operations.described.is_empty() => {
                    Outcome::skipped(operations.left_out())
                }
                Question::Rest(rest) => self.rest_filled(asked, rest, &mut log).await,
                Question::Promql(promql) => self.promql(promql, asked.check.retries, &mut log).await,
                Question::Alerts { prometheus, wanted } => {
                    self.alerts((*prometheus, *wanted), asked.check.retries, &mut log).await
                }
                Question::Burst { ask } => self.burst(ask, &mut log).await,
            }
        };
        log.report(asked, outcome, &url)
    }

    async fn ready(&self, urls: &[Url], log: &mut Log, chosen: &mut Url) -> Outcome {
        let successes = self.options.successes;
        let (mut streak, mut at_once) = if self.is_settled {
            (Streak::of_settled(successes), urls.len())
        } else {
            (Streak::of(successes), 1)
        };
        loop {
            let began = Instant::now();
            let (url, answered) = self.first_that_exists(urls, std::mem::replace(&mut at_once, 1)).await;
            if let Some(url) = url.filter(|url| url != chosen) {
                // Good answers of another path prove nothing about this one.
                streak.restart();
                *chosen = url;
            }
            self.look.take(answered.is_ok());
            let is_enough = streak.take(answered.is_ok());
            let wait = log.take(began, answered.map(|()| "ready".to_owned()));
            match wait {
                Ok(()) if is_enough && streak.count() < successes => {
                    return Outcome::pass("ready: its first answer is good");
                }
                Ok(()) if is_enough => {
                    return Outcome::pass(format!(
                        "ready after {}: {successes} good answers in a row",
                        log.elapsed()
                    ));
                }
                Ok(()) if self.pause(self.options.between).await => {}
                Err(bad) if is_hopeless_while_rolling(bad.class) => return Outcome::fail(bad.detail),
                Err(_) if self.pause(self.wait(log.bad_in_a_row())).await => {}
                Ok(()) | Err(_) => return self.give_up("not ready", log).await,
            }
        }
    }

    /// Asks the paths in order, so many of them at once, until one exists. Where several are tried, a page is not the answer of a health path:
    /// many front ends answer every path with their page.
    async fn first_that_exists(&self, urls: &[Url], at_once: usize) -> (Option<Url>, Result<(), Bad>) {
        let mut last = Bad::new(Class::Status(404), "none of the usual paths exists");
        // In a loop, for with a closure the future of a run could not be sent to another thread.
        let mut asking = Vec::new();
        for url in urls {
            asking.push(async move { (url, self.send(&Ask::get(url.clone()), self.options.timeout).await) });
        }
        let mut answers = stream::iter(asking).buffered(at_once);
        while let Some((url, answer)) = answers.next().await {
            match answer {
                Ok(answer) if answer.status == 404 && 1 < urls.len() => {}
                Ok(answer) if 1 < urls.len() && url.path() != "/" && is_page(&answer) => {}
                Ok(answer) => {
                    let judged = judge::ready(&answer);
                    let proven = if judged.is_ok() { self.proves(url, &answer).await } else { judged };
                    return (Some(url.clone()), proven);
                }
                Err(bad) => {
                    last = bad;
                    break;
                }
            }
        }
        (None, Err(last))
    }

    /// Asks with what was captured for it, if anything was.
    async fn rest_filled(&self, asked: &Asked<'_>, rest: &Rest<'_>, log: &mut Log) -> Outcome {
        let captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match asked.filled(self.base, &captured) {
            None => self.rest(rest, asked.check, log).await,
            Some(Ok(rest)) => self.rest(&rest, asked.check, log).await,
            Some(Err(error)) => Outcome::fail(error.to_string()),
        }
    }

    async fn rest(&self, rest: &Rest<'_>, check: &Check, log: &mut Log) -> Outcome {
        let mut left = check.retries;
        if !rest.only_reads() {
            self.look.is(First::Good).await;
        }
        loop {
            let began = Instant::now();
            let judged = self.attempt(rest, began).await;
            match log.take(began, judged) {
                Ok(()) => {
                    let measured = self.measured(rest, check, log).await;
                    return measured.unwrap_or_else(|| Outcome::pass(log.last_seen()));
                }
                Err(bad) if left == 0 || !may_repeat(rest, bad.class) => break,
                Err(_) if self.pause(self.wait(log.bad_in_a_row())).await => left -= 1,
                Err(_) => break,
            }
        }
        self.give_up("", log).await
    }

    async fn attempt(&self, rest: &Rest<'_>, began: Instant) -> Result<String, Bad> {
        match rest {
            Rest::Http(request) => self.request(request).await,
            Rest::Tcp(endpoint) => tcp::ask(endpoint, began + self.options.timeout).await,
            Rest::Dns(lookup) => lookup.ask(began + self.options.timeout).await,
            Rest::Redirect(route) => self.follow(route).await,
            Rest::Tls(target) => tls::ask(target, &self.roots, began + self.options.timeout).await,
            Rest::Metrics(scrape) => self.scrape(scrape).await,
            Rest::SocketIo(talk) => self.talk(talk).await,
            Rest::Operations(operations) => self.operations(operations).await,
            Rest::Page(url) => self.page(url).await,
            Rest::Caching(url) => self.caching(url).await,
            Rest::Compression(url) => self.compression(url).await,
            Rest::Program(program) => self.program(program).await,
            Rest::Cors { url, wanted } => self.cors(url, wanted).await,
            Rest::SecurityHeaders { profile, root, urls } => {
                self.security_headers(*profile, root, urls).await
            }
            Rest::Ws { ask, expected } => {
                self.socket(ask, expected, expected.within.unwrap_or(self.options.timeout)).await
            }
        }
    }

    async fn request(&self, request: &Request<'_>) -> Result<String, Bad> {
        let Request { ask, expected, http } = request;
        let answer = self.send(ask, expected.within.unwrap_or(self.options.timeout)).await?;
        if http.captures.is_empty() {
            judge::expected(&answer, expected)?;
        } else {
            // What can be captured is secret, whatever else is wrong with the answer.
            let (captured, result) = capture(&answer, &http.captures);
            let found: Vec<Secret> = captured.values().filter_map(secret).collect();
            let mut expected = expected.clone();
            expected.secrets.extend(&found);
            self.learn(found.into_iter());
            judge::expected(&answer, &expected)?;
            result?;
            self.captured.lock().unwrap_or_else(PoisonError::into_inner).extend(captured);
        }
        if !http.expect.cookies.is_empty() {
            cookies::judge(&answer.headers, &http.expect.cookies, ask.url.scheme() == "https")?;
        }
        if ask.method == Method::Get && http.expect.is_bare() {
            self.proves(&ask.url, &answer).await?;
        }
        Ok(format!("status {} in {:.1?}", answer.status, answer.took))
    }

    /// Each address is asked as any visitor would: what belongs to one host is not sent to another.
    async fn follow(&self, route: &Route) -> Result<String, Bad> {
        let mut trail = Trail::from(&route.asked);
        let mut url = route.asked.clone();
        loop {
            let end = Instant::now() + self.options.timeout;
            let answered = self.sender.client.ask(&Ask::get(url), end).await;
            let answer = answered.map_err(|bad| trail.broken(bad))?;
            match route.next(&mut trail, answer.status, &answer.headers)? {
                Next::Ask(next) => url = next,
                Next::Done(told) => return Ok(told),
            }
        }
    }

    async fn send(&self, ask: &Ask, timeout: Duration) -> Result<Answer, Bad> {
        self.sender.send(ask, Instant::now() + timeout).await
    }

    fn wait(&self, attempt: u32) -> Duration {
        let mut random = [u8::MAX];
        // Without randomness the wait is only less spread.
        getrandom::fill(&mut random).ok();
        let pace = Pace { first: self.options.first_wait, longest: self.options.longest_wait };
        pace.wait(attempt, random.first().copied().unwrap_or(u8::MAX))
    }

    /// Waits, and whether there is time for one more attempt.
    async fn pause(&self, wait: Duration) -> bool {
        let is_in_time = Instant::now() + wait < self.end;
        if is_in_time {
            sleep(wait).await;
        }
        is_in_time
    }

    /// What it means that no attempt was good.
    async fn give_up(&self, what: &str, log: &Log) -> Outcome {
        let what = if what.is_empty() { String::new() } else { format!("{what} after {}: ", log.elapsed()) };
        let cause = format!("{what}{}", log.causes());
        if !log.is_silent() {
            return Outcome::fail(cause);
        }
        let Some(control) = &self.options.control else {
            return Outcome::inconclusive(format!(
                "{cause}; the target gave no sign of life, so the fault may be here"
            ));
        };
        let end = Instant::now() + self.options.timeout;
        match self.sender.client.ask(&Ask::get(control.clone()), end).await {
            Err(bad) if bad.class.is_silence() || bad.class == Class::Refused => Outcome::unreachable(
                format!("{cause}; and the network from here does not work: {}", bad.detail),
            ),
            Ok(_) | Err(_) => Outcome::fail(format!("{cause}; the network from here works")),
        }
    }
}

/// While a rollout goes on a path may not be there yet; who is not let in will not be.
fn is_hopeless_while_rolling(class: Class) -> bool {
    !class.is_mendable() && class != Class::Status(404)
}

/// What may not be sent twice is sent again only if it cannot have had an effect.
fn may_repeat(rest: &Rest<'_>, class: Class) -> bool {
    match rest {
        Rest::Http(request) if !request.ask.method.repeats() => {
            class.is_silence() || matches!(class, Class::Refused | Class::Status(425 | 429))
        }
        Rest::Http(_)
        | Rest::Tcp(_)
        | Rest::Dns(_)
        | Rest::Redirect(_)
        | Rest::Tls(_)
        | Rest::Metrics(_)
        | Rest::SocketIo(_)
        | Rest::Operations(_)
        | Rest::Page(_)
        | Rest::Caching(_)
        | Rest::Compression(_)
        | Rest::Program(_)
        | Rest::Cors { .. }
        | Rest::SecurityHeaders { .. }
        | Rest::Ws { .. } => class.is_mendable(),
    }
}
