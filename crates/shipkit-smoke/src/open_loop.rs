//! `OpenLoop`: requests at a fixed rate, whatever their answers do.
//!
//! Request `n` is due at `start + n / rate` and goes out then, even if none before it was answered. Who waits for answers
//! asks less while the target stands still, and sees a stall of a second as one slow request ("coordinated omission").

use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use crate::class::Class;
use crate::client::{Answer, Bad};
use crate::tally::Probe;

/// A server that says how many more requests it takes from us is asked no more when these are left: the checks that follow want to
/// be answered as well.
const SPARED: u64 = 50;
/// How servers say it: in their own way, which is common, and as the drafts of the IETF have it (draft-ietf-httpapi-ratelimit-headers).
const REMAINING: [&str; 2] = ["x-ratelimit-remaining", "ratelimit-remaining"];

/// How often to ask, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenLoop {
    /// Requests a second, more than 0.
    pub(crate) rate: u32,
    /// How many requests may wait for their answers. What is due while so many do is not sent, and counts as failed.
    pub(crate) at_once: usize,
    /// When to stop; only `stop` ends it if not given.
    pub(crate) duration: Option<Duration>,
    /// How long after the end answers are waited for.
    pub(crate) drain: Duration,
}

/// How a request ended.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    /// A good answer and the revision in it, if one is read.
    pub(crate) seen: Result<Option<String>, Bad>,
    /// Whether the server wants no more requests.
    pub(crate) is_enough: bool,
}

impl OpenLoop {
    /// Asks until the time is over, `stop` is there or `take` breaks, and gives every request that was due to `take` once, with
    /// whether the server wants no more. `ask` gets the number of a request, from 0, and the moment at which it is due.
    pub(crate) async fn run<Asking>(
        &self,
        stop: impl Future,
        ask: impl Fn(u32, Instant) -> Asking,
        mut take: impl FnMut(Probe, bool) -> ControlFlow<()>,
    ) where
        Asking: Future<Output = Settled> + Send + 'static,
    {
        let start = Instant::now();
        let mut waiting = Waiting { asked: JoinSet::new(), due: Vec::new() };
        let mut stop = pin!(stop);
        let mut clock = Clock::new(start, self.rate);
        'asking: for n in 0_u32.. {
            let due = clock.due(n);
            if self.duration.is_some_and(|duration| duration <= due) {
                break;
            }
            tokio::select! {
                biased;
                _ = &mut stop => break,
                () = clock.tick(n) => {}
            }
            let late = start.elapsed().saturating_sub(due);
            while let Some(joined) = waiting.asked.try_join_next() {
                if let Some((probe, is_enough)) = waiting.settled(joined)
                    && take(probe, is_enough).is_break()
                {
                    break 'asking;
                }
            }
            if self.at_once <= waiting.due.len() {
                // Whoever wants no more hears it from the next answer.
                let _goes_on = take(self.dropped(due, late), false);
                continue;
            }
            waiting.due.push((due, late));
            let asking = ask(n, start + due);
            waiting.asked.spawn(async move {
                let Settled { seen, is_enough } = asking.await;
                (Probe { due, late, done: start.elapsed(), seen }, is_enough)
            });
        }
        let end = Instant::now() + self.drain;
        while let Ok(Some(joined)) = timeout_at(end, waiting.asked.join_next()).await {
            // Nothing is asked any more, so there is nothing to end.
            let _ends = waiting.settled(joined).map(|(probe, is_enough)| take(probe, is_enough));
        }
        let done = start.elapsed();
        for (due, late) in waiting.due {
            let bad = Bad::new(Class::Timeout, "no answer by the end");
            let _ends = take(Probe { due, late, done, seen: Err(bad) }, false);
        }
    }

    fn dropped(&self, due: Duration, late: Duration) -> Probe {
        let detail = format!("{} requests were waiting for their answers", self.at_once);
        Probe { due, late, done: due + late, seen: Err(Bad::new(Class::Dropped, detail)) }
    }
}

/// When requests are due.
///
/// The timer of the next one waits already while that of this one does: a timer that is due before all others makes tokio wake itself
/// through the system, and without it that would be the case for each time limit of each request.
struct Clock {
    start: Instant,
    rate: u32,
    this: Pin<Box<Sleep>>,
    next: Pin<Box<Sleep>>,
}

impl Clock {
    fn new(start: Instant, rate: u32) -> Self {
        let [this, next] = [0, 1].map(|n| Box::pin(sleep_until(start + due(n, rate))));
        Self { start, rate, this, next }
    }

    /// When request `n` is due, from the start.
    fn due(&self, n: u32) -> Duration {
        due(n, self.rate)
    }

    /// Waits until request `n` is due; each is waited for, in order.
    async fn tick(&mut self, n: u32) {
        tokio::select! {
            biased;
            () = &mut self.this => {}
            () = &mut self.next => {}
        }
        std::mem::swap(&mut self.this, &mut self.next);
        self.next.as_mut().reset(self.start + due(n.saturating_add(2), self.rate));
    }
}

fn due(n: u32, rate: u32) -> Duration {
    Duration::from_secs(u64::from(n)) / rate
}

/// The requests that were sent and not counted yet.
struct Waiting {
    asked: JoinSet<(Probe, bool)>,
    /// When they were due, and how much later they were sent.
    due: Vec<(Duration, Duration)>,
}

impl Waiting {
    /// What became of a request, which does not wait any more. One that panicked waits until the end.
    fn settled(&mut self, joined: Result<(Probe, bool), JoinError>) -> Option<(Probe, bool)> {
        let (probe, is_enough) = joined.ok()?;
        self.due.retain(|(due, _)| *due != probe.due);
        Some((probe, is_enough))
    }
}

/// Whether a server wants no more requests: with status 429 (RFC 6585 4), or because few are left.
pub(crate) fn is_enough(answer: &Answer) -> bool {
    let remaining = |name: &&str| answer.headers.get(*name)?.to_str().ok()?.trim().parse::<u64>().ok();
    answer.status == 429 || REMAINING.iter().find_map(remaining).is_some_and(|left| left < SPARED)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::sleep;

    use super::*;
    use crate::client::Phases;

    const GOOD: Settled = Settled { seen: Ok(None), is_enough: false };

    async fn asked<Asking: Future<Output = Settled> + Send + 'static>(
        paced: OpenLoop,
        ask: impl Fn(u32, Instant) -> Asking,
    ) -> Vec<Probe> {
        let mut probes = Vec::new();
        let take = |probe, is_enough| {
            probes.push(probe);
            if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        paced.run(std::future::pending::<()>(), ask, take).await;
        probes.sort_by_key(|probe: &Probe| probe.due);
        probes
    }

    fn ten_a_second() -> OpenLoop {
        let second = Duration::from_secs(1);
        OpenLoop { rate: 10, at_once: 4, duration: Some(second), drain: second }
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_is_due_on_schedule_whatever_the_answers_do() {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = sent.clone();
        // Each answer takes two and a half times as long as there is between requests.
        let probes = asked(ten_a_second(), move |_, due| {
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                assert_eq!(Instant::now(), due);
                sleep(ms(250)).await;
                GOOD
            }
        })
        .await;
        let seen: Vec<_> =
            probes.iter().map(|probe| (probe.due, probe.done.saturating_sub(probe.due))).collect();
        let expected: Vec<_> = (0..10).map(|n| (ms(n * 100), ms(250))).collect();
        assert_eq!((seen, sent.load(Ordering::SeqCst)), (expected, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_the_cap_is_not_sent_and_counts_as_dropped() {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = sent.clone();
        let probes = asked(ten_a_second(), move |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
            async {
                sleep(ms(750)).await;
                GOOD
            }
        })
        .await;
        let class = |probe: &Probe| probe.seen.as_ref().err().map(|bad| bad.class);
        let classes: Vec<_> = probes.iter().map(class).collect();
        let mut expected = vec![None; 10];
        expected[4..8].fill(Some(Class::Dropped));
        assert_eq!((classes, sent.load(Ordering::SeqCst)), (expected, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_until_the_end_has_failed_and_is_counted_once() {
        let never = OpenLoop { at_once: 100, ..ten_a_second() };
        let probes = asked(never, |_, _| std::future::pending::<Settled>()).await;
        let is_late = |probe: &Probe| probe.seen.as_ref().is_err_and(|bad| bad.class == Class::Timeout);
        assert_eq!((probes.len(), probes.iter().all(is_late)), (10, true));
        assert_eq!(probes[9].done, ms(1900));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_wants_no_more_is_asked_no_more() {
        let probes = asked(ten_a_second(), |n, _| async move { Settled { is_enough: n == 3, ..GOOD } }).await;
        assert_eq!(probes.len(), 4);
    }

    #[test]
    fn few_requests_left_are_for_others() {
        let answer = |status, header: Option<(&'static str, &'static str)>| Answer {
            status,
            headers: header
                .into_iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect(),
            body: Vec::new(),
            is_whole: true,
            took: Duration::ZERO,
            phases: Phases::default(),
        };
        assert!(is_enough(&answer(429, None)));
        assert!(is_enough(&answer(200, Some(("x-ratelimit-remaining", "49")))));
        assert!(is_enough(&answer(200, Some(("ratelimit-remaining", "0")))));
        assert!(!is_enough(&answer(200, Some(("ratelimit-remaining", "50")))));
        assert!(!is_enough(&answer(503, None)));
    }
}
