//! `watch`: asks at a fixed rate, whatever the answers do, while something else changes the target.

use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use shipkit_core::config::Method;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::Instant;
use url::Url;

use crate::check::{Check, Http, Kind};
use crate::client::{Ask, Client, Prepared, Reuse};
use crate::error::SmokeError;
use crate::judge;
use crate::open_loop::{OpenLoop, Settled, is_enough};
use crate::run::{address, harmless};
use crate::tally::{Allowed, Tally, WatchReport};

/// The highest rate: each request costs a port for a minute, and there are about 28,000.
const HIGHEST_RATE: u32 = 2000;
/// How many requests may wait for their answers: below the usual limit of 1024 open files.
const AT_ONCE: usize = 800;
/// How long nobody may be answered, beside the time between two requests.
const GAP: Duration = Duration::from_secs(1);
/// How long after the end answers are waited for: the process must end within 7 s of a signal.
const DRAIN: Duration = Duration::from_secs(5);

/// What to ask, and how often.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// The whole address.
    pub url: Url,
    /// Requests a second, 1 to 2000.
    pub rate: u32,
    /// When to stop; only `stop` ends it if not given.
    pub duration: Option<Duration>,
    /// The longest time from the moment a request is due to the end of its answer.
    pub timeout: Duration,
    /// Which connections requests go over.
    pub connections: Connections,
    /// Whether an answer has to name its revision in JSON. Otherwise every status from 200 to 299 is good.
    pub reads_revision: bool,
    /// Whether to ask no more as soon as the server wants that: with status 429, or because few requests are left.
    pub yields: bool,
    /// How many requests may fail.
    pub allow: u64,
    /// Certificates to trust beside the roots of the web, in PEM.
    pub ca_pem: Option<Vec<u8>>,
}

/// Which connections requests go over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Connections {
    /// A new one each, as a new visitor has.
    #[default]
    New,
    /// Kept ones where there are any, as a browser has. On a kept one that the server has just closed, HTTP itself may
    /// send a request again that was not begun (RFC 9112 9.3.1).
    Kept,
    /// In turn.
    Both,
}

impl WatchOptions {
    /// Ten requests a second for 30 seconds, on new connections, none may fail.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self {
            url,
            rate: 10,
            duration: Some(Duration::from_secs(30)),
            timeout: Duration::from_secs(5),
            connections: Connections::New,
            reads_revision: false,
            yields: false,
            allow: 0,
            ca_pem: None,
        }
    }

    /// What is asked, once a second, while a release arrives: the first of `checks` that asks which release runs, else the
    /// first that reads and wants any of 200 to 299. `None` if there is neither.
    #[must_use]
    pub fn of_rollout(base: &Url, checks: &[Check]) -> Option<Self> {
        let release = checks.iter().find_map(|check| {
            let Kind::Release { path, .. } = &check.kind else { return None };
            Some((check, path, true))
        });
        let reading = checks.iter().find_map(|check| {
            let Kind::Http(Http { method: Method::Get, path, headers, expect, .. }) = &check.kind else {
                return None;
            };
            let is_good =
                expect.status.as_ref().is_none_or(|statuses| (200..300).all(|status| statuses.allow(status)));
            (headers.is_empty() && is_good).then_some((check, path, false))
        });
        let (check, path, reads_revision) = release.or(reading)?;
        let url = address(base, path, check).ok()?;
        Some(Self { rate: 1, duration: None, reads_revision, yields: true, ..Self::new(url) })
    }

    fn unusable(&self, why: &str) -> SmokeError {
        let (check, address) = ("watch".to_owned(), harmless(&self.url).to_string());
        SmokeError::Address { check, address, why: why.to_owned() }
    }
}

/// Asks until the duration is over or `stop` resolves; then answers still due are waited for, at most five seconds.
///
/// # Errors
/// When nothing can be asked at all. Whatever the target does is part of the report.
pub async fn watch(options: WatchOptions, stop: impl Future) -> Result<WatchReport, SmokeError> {
    if !(1..=HIGHEST_RATE).contains(&options.rate) {
        return Err(SmokeError::Rate(options.rate));
    }
    if !matches!(options.url.scheme(), "http" | "https") {
        return Err(options.unusable("only http and https can be asked"));
    }
    let prober = Prober::new(&options)?;
    let started = Timestamp::now();
    let allowed = Allowed { failures: options.allow, gap: GAP + Duration::from_secs(1) / options.rate };
    let (tell, told) = oneshot::channel();
    let (give, given) = oneshot::channel();
    let failed = |error: &dyn std::fmt::Display| SmokeError::Client(error.to_string());
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
    // On a thread of its own, to which answers come: otherwise one thread would wake another for each of them.
    std::thread::spawn(move || {
        // As a task, for what is not one is waked through the system even by its own thread.
        let watching = runtime.spawn(watched(prober, options, told));
        if let Ok(tally) = runtime.block_on(watching) {
            // Nobody waits for it any more if it is not taken.
            give.send(tally).ok();
        }
    });
    let mut given = pin!(given);
    let tally = tokio::select! {
        tally = &mut given => tally,
        _ = stop => {
            // Who has ended already need not be told.
            tell.send(()).ok();
            given.await
        }
    };
    tally.map(|tally| tally.report(started, allowed)).map_err(|error| failed(&error))
}

/// Asks until the duration is over, or it is told to stop, or nobody is there to tell it.
async fn watched(prober: Prober, options: WatchOptions, told: oneshot::Receiver<()>) -> Tally {
    let mut tally = Tally::new();
    let paced = OpenLoop { rate: options.rate, at_once: AT_ONCE, duration: options.duration, drain: DRAIN };
    let take = |probe, is_enough| {
        tally.take(probe);
        if is_enough && options.yields { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    paced.run(told, |n, due| prober.ask(n, due), take).await;
    tally
}

/// What every request of a watch has in common.
struct Prober {
    new: Client,
    kept: Client,
    connections: Connections,
    ask: Prepared,
    timeout: Duration,
    reads_revision: bool,
}

impl Prober {
    fn new(options: &WatchOptions) -> Result<Self, SmokeError> {
        let client = |reuse| Client::new(options.ca_pem.as_deref(), reuse, options.timeout);
        let ask = Ask::get(options.url.clone()).prepared();
        Ok(Self {
            new: client(Reuse::Never)?,
            kept: client(Reuse::Allowed)?,
            connections: options.connections,
            ask: ask.map_err(|bad| options.unusable(&bad.detail))?,
            timeout: options.timeout,
            reads_revision: options.reads_revision,
        })
    }

    /// Request `n`, to be sent now.
    fn ask(&self, n: u32, due: Instant) -> impl Future<Output = Settled> + Send + use<> {
        let client = match self.connections {
            Connections::New => self.new.clone(),
            Connections::Both if n.is_multiple_of(2) => self.new.clone(),
            Connections::Kept | Connections::Both => self.kept.clone(),
        };
        let (ask, reads_revision) = (self.ask.clone(), self.reads_revision);
        let deadline = due + self.timeout;
        async move {
            let answer = client.ask_again(ask, deadline).await;
            let is_enough = answer.as_ref().is_ok_and(is_enough);
            let seen = answer.and_then(|answer| {
                if reads_revision {
                    judge::said(&answer).map(|said| Some(said.name()))
                } else {
                    judge::ready(&answer).map(|()| None)
                }
            });
            Settled { seen, is_enough }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::Wanted;
    use shipkit_core::config::Statuses;

    use super::*;

    fn http(edit: impl FnOnce(&mut Http)) -> Check {
        let mut http = Http { path: "/items".to_owned(), ..Http::default() };
        edit(&mut http);
        Check::new("x", Kind::Http(http))
    }

    #[test]
    fn a_rollout_is_watched_where_an_answer_says_most() {
        let base = "http://shop.example/eu".parse().unwrap();
        let asked = |checks: &[Check]| {
            let options = WatchOptions::of_rollout(&base, checks)?;
            assert!(options.rate == 1 && options.duration.is_none() && options.yields);
            Some((options.url.to_string(), options.reads_revision))
        };
        let gone = http(|http| http.expect.status = Statuses::one(404));
        let post = http(|http| http.method = Method::Post);
        let login = http(|http| drop(http.headers.insert("authorization".to_owned(), "x".to_owned())));
        let silent = [Check::ready(["/ready"]), gone, post, login];
        assert_eq!(asked(&silent), None);
        let items = [&silent[..], &[Check::get("/items")]].concat();
        assert_eq!(asked(&items), Some(("http://shop.example/eu/items".to_owned(), false)));
        let all = [&items[..], &[Check::release("/version", Wanted::default())]].concat();
        assert_eq!(asked(&all), Some(("http://shop.example/eu/version".to_owned(), true)));
    }
}
