//! `watch`: asks at a fixed rate, whatever the answers do.
//!
//! The load is open: request `n` is due at `start + n / rate` and goes out then, even if none before it was answered. A
//! prober that waits for answers asks less while the target stands still, and reports a stall of a second as one slow
//! request ("coordinated omission").

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use url::Url;

use crate::class::Class;
use crate::client::{Ask, Bad, Client, Reuse};
use crate::error::SmokeError;
use crate::judge;
use crate::run::harmless;
use crate::tally::{Probe, Tally, WatchReport};

/// The highest rate: each request costs a port for a minute, and there are about 28,000.
const HIGHEST_RATE: u32 = 2000;
/// How many requests may wait for their answers: below the usual limit of 1024 open files.
const AT_ONCE: usize = 800;
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
            allow: 0,
            ca_pem: None,
        }
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
        return Err(SmokeError::Address {
            check: "watch".to_owned(),
            address: harmless(&options.url).to_string(),
            why: "only http and https can be asked".to_owned(),
        });
    }
    let prober = Prober::new(&options)?;
    let (sender, mut done) = mpsc::unbounded_channel();
    let (started, start) = (Timestamp::now(), Instant::now());
    let mut tally = Tally::new();
    let mut pending = Vec::new();
    let mut stop = std::pin::pin!(stop);
    for n in 0_u32.. {
        let due = Duration::from_secs(u64::from(n)) / options.rate;
        if options.duration.is_some_and(|duration| duration <= due) {
            break;
        }
        tokio::select! {
            biased;
            _ = &mut stop => break,
            () = sleep_until(start + due) => {}
        }
        while let Ok(probe) = done.try_recv() {
            settle(&mut pending, &mut tally, probe);
        }
        if AT_ONCE <= pending.len() {
            tally.take(dropped(due, start.elapsed()));
            continue;
        }
        pending.push(due);
        prober.spawn(n, due, start, sender.clone());
    }
    drop(sender);
    drain(&mut done, &mut pending, &mut tally).await;
    let end = start.elapsed();
    for due in pending {
        let bad = Bad::new(Class::Timeout, "no answer by the end");
        tally.take(Probe { due, done: end, seen: Err(bad) });
    }
    Ok(tally.report(started, options.allow))
}

/// Counts a probe, which is then not pending any more.
fn settle(pending: &mut Vec<Duration>, tally: &mut Tally, probe: Probe) {
    pending.retain(|due| *due != probe.due);
    tally.take(probe);
}

async fn drain(done: &mut mpsc::UnboundedReceiver<Probe>, pending: &mut Vec<Duration>, tally: &mut Tally) {
    let end = Instant::now() + DRAIN;
    while let Ok(Some(probe)) = tokio::time::timeout_at(end, done.recv()).await {
        settle(pending, tally, probe);
    }
}

fn dropped(due: Duration, done: Duration) -> Probe {
    let bad = Bad::new(Class::Dropped, format!("{AT_ONCE} requests were waiting for their answers"));
    Probe { due, done, seen: Err(bad) }
}

/// What every request of a watch has in common.
struct Prober {
    new: Client,
    kept: Client,
    connections: Connections,
    ask: Ask,
    timeout: Duration,
    reads_revision: bool,
}

impl Prober {
    fn new(options: &WatchOptions) -> Result<Self, SmokeError> {
        let client = |reuse| Client::new(options.ca_pem.as_deref(), reuse, options.timeout);
        Ok(Self {
            new: client(Reuse::Never)?,
            kept: client(Reuse::Allowed)?,
            connections: options.connections,
            ask: Ask::get(options.url.clone()),
            timeout: options.timeout,
            reads_revision: options.reads_revision,
        })
    }

    /// Sends request `n` without waiting for it.
    fn spawn(&self, n: u32, due: Duration, start: Instant, sender: mpsc::UnboundedSender<Probe>) {
        let client = match self.connections {
            Connections::New => self.new.clone(),
            Connections::Both if n.is_multiple_of(2) => self.new.clone(),
            Connections::Kept | Connections::Both => self.kept.clone(),
        };
        let (ask, reads_revision) = (self.ask.clone(), self.reads_revision);
        let deadline = start + due + self.timeout;
        tokio::spawn(async move {
            let answer = client.ask(&ask, deadline).await;
            let seen = answer.and_then(|answer| {
                if reads_revision {
                    judge::said(&answer).map(|said| Some(said.name()))
                } else {
                    judge::ready(&answer).map(|()| None)
                }
            });
            // The receiver is gone only when nobody counts any more.
            sender.send(Probe { due, done: start.elapsed(), seen }).ok();
        });
    }
}
