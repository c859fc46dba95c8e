//! Two slots of one service where each is a service of its own to the target, and a label says whether the proxy sends it
//! traffic: what they are to each other, and how the traffic goes from one to the other.
//!
//! The slots of [`slots`](super::slots) are lists of instances that shipkit starts and stops one by one. Here the target
//! keeps the instances and watches them (as [`Rollout`](super::Rollout) sees it), so what is left to decide is the shift.

use std::time::Duration;

use super::{Next, one_line};
use crate::verdict::{Outcome, Verdict};

/// How often it is looked whether what gets the traffic is still well.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What one of two slots shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Whether its release was seen to succeed.
    pub is_confirmed: bool,
    /// Whether it is labelled so that the proxy sends it traffic.
    pub has_traffic: bool,
}

/// What a slot that was brought beside another one is to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is deployed, with or without traffic yet, and its release is not confirmed.
    Deploying,
    /// It is a good release that comes back and does not serve alone yet.
    Returning,
    /// It serves alone and is good: the other one is left over.
    Arrived,
}

/// The next step of a shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Label the slot that the traffic goes to so that it gets some.
    Open,
    /// Label the slot that leaves so that it gets none.
    Close,
    /// Look again after this time.
    Wait(Duration),
    /// The proxy has had the time that it takes to see it.
    Done,
}

/// What the slot that was brought beside `leaving` is to it.
#[must_use]
pub fn phase(arriving: Shown, leaving: Shown) -> Phase {
    match (arriving.is_confirmed, arriving.has_traffic, leaving.has_traffic) {
        (false, _, _) => Phase::Deploying,
        (true, true, false) => Phase::Arrived,
        (true, _, _) => Phase::Returning,
    }
}

/// Decides what to do so that all traffic goes to a slot; `to` and `from` say whether each has some now (`from` is `None`
/// where nothing leaves). Both have some for a moment, and never neither: a proxy that looks at any time finds a slot that
/// serves, and mostly goes from one to the other in one look. `settled` is how long ago a label changed, by the clock of the
/// target, and `hold` how long the proxy may take to see it.
#[must_use]
pub fn next(to: bool, from: Option<bool>, settled: Duration, hold: Duration) -> Step {
    match (to, from, hold.saturating_sub(settled)) {
        (false, _, _) => Step::Open,
        (true, Some(true), _) => Step::Close,
        (true, Some(false) | None, Duration::ZERO) => Step::Done,
        (true, Some(false) | None, left) => Step::Wait(left.min(LOOK_AGAIN)),
    }
}

/// What it means for a slot of `service` what its tasks said before any traffic went to it; `None` if some may go there.
#[must_use]
pub fn judged(service: &str, said: &Outcome) -> Option<Next> {
    let cause = one_line(&said.cause);
    match said.verdict {
        Verdict::Pass | Verdict::Skipped => None,
        Verdict::Fail => Some(Next::RollBack { cause: format!("`{service}` was not verified: {cause}") }),
        Verdict::Inconclusive | Verdict::Unreachable => {
            let cause = format!("whether `{service}` is good could not be found out: {cause}");
            Some(Next::Overtaken { cause })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_slot_is_confirmed_and_serves_alone_or_is_on_its_way() {
        let shown = |is_confirmed, has_traffic| Shown { is_confirmed, has_traffic };
        let table = [
            (shown(false, false), true, Phase::Deploying),
            (shown(false, true), true, Phase::Deploying),
            (shown(false, true), false, Phase::Deploying),
            (shown(true, false), true, Phase::Returning),
            (shown(true, true), true, Phase::Returning),
            (shown(true, false), false, Phase::Returning),
            (shown(true, true), false, Phase::Arrived),
        ];
        for (arriving, leaving, expected) in table {
            for is_confirmed in [true, false] {
                assert_eq!(phase(arriving, shown(is_confirmed, leaving)), expected, "{arriving:?} {leaving}");
            }
        }
    }

    #[test]
    fn who_comes_gets_traffic_before_who_leaves_gets_none() {
        let step = |to, from, settled| next(to, from, settled * SECOND, 20 * SECOND);
        assert_eq!(step(false, Some(true), 90), Step::Open);
        assert_eq!(step(false, Some(false), 90), Step::Open);
        assert_eq!(step(false, None, 90), Step::Open);
        assert_eq!(step(true, Some(true), 0), Step::Close);
        assert_eq!(step(true, Some(false), 0), Step::Wait(SECOND));
        assert_eq!(step(true, None, 19), Step::Wait(SECOND));
        assert_eq!(step(true, Some(false), 20), Step::Done);
        assert_eq!(step(true, None, 20), Step::Done);
        assert_eq!(next(true, None, 19_900 * SECOND / 1000, 20 * SECOND), Step::Wait(SECOND / 10));
    }

    #[test]
    fn only_what_answered_well_gets_traffic_and_what_could_not_be_asked_is_not_taken_back() {
        let judged = |said| judged("api", &said);
        assert_eq!(judged(Outcome::pass("")), None);
        assert_eq!(judged(Outcome::skipped("nothing to ask")), None);
        let failed = Some(Next::RollBack { cause: "`api` was not verified: status 500".to_owned() });
        assert_eq!(judged(Outcome::fail("status\n500.")), failed);
        for unknown in [Outcome::inconclusive("no answer"), Outcome::unreachable("no answer")] {
            let cause = "whether `api` is good could not be found out: no answer".to_owned();
            assert_eq!(judged(unknown), Some(Next::Overtaken { cause }));
        }
    }

    /// A run that is killed after any step and another one that goes the same way, or the other, leave nobody without
    /// traffic at any time, and come to an end.
    #[test]
    fn at_every_moment_somebody_has_traffic_whichever_way_the_next_run_goes() {
        for kills in 0..4 {
            for is_back in [false, true] {
                let (mut new, mut old, mut settled, mut steps) = (false, true, Duration::ZERO, 0);
                loop {
                    assert!(new || old);
                    let turned = is_back && kills <= steps;
                    let (to, from) = if turned { (&mut old, &mut new) } else { (&mut new, &mut old) };
                    match next(*to, Some(*from), settled, 20 * SECOND) {
                        Step::Open => (*to, settled) = (true, Duration::ZERO),
                        Step::Close => (*from, settled) = (false, Duration::ZERO),
                        Step::Wait(time) => settled += time,
                        Step::Done => {
                            assert!(*to && !*from);
                            break;
                        }
                    }
                    steps += 1;
                    assert!(steps < 40);
                }
            }
        }
    }
}
