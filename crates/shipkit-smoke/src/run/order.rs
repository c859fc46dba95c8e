//! Asks checks side by side, but each after those whose captures it uses.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use shipkit_core::{Outcome, Verdict};

use super::Session;
use super::asked::Asked;
use super::log::Log;
use crate::graph::{Graph, State, Step};
use crate::report::CheckReport;

/// How many checks are asked at once: all of them, as a rule, so that they take no longer than the slowest. More would be a burst.
const AT_ONCE: usize = 32;

impl Session<'_> {
    /// The reports of the checks that `is_now` picks of all of them, in their order.
    pub(super) async fn in_order(
        &self,
        asked: &[Asked<'_>],
        graph: &Graph,
        is_now: impl Fn(&Asked<'_>) -> bool,
    ) -> Vec<CheckReport> {
        let mut states: Vec<State> =
            asked.iter().map(|one| if is_now(one) { State::Waiting } else { State::Begun }).collect();
        let mut reports: Vec<Option<CheckReport>> = asked.iter().map(|_| None).collect();
        let mut running = FuturesUnordered::new();
        loop {
            let (number, report) = match graph.steps(&states).first() {
                Some(Step::Skip { check, producer }) => match (asked.get(*check), asked.get(*producer)) {
                    (Some(one), Some(producer)) => (*check, needs(one, &producer.check.name)),
                    _ => break,
                },
                Some(Step::Ask(check)) if running.len() < AT_ONCE => {
                    let (Some(one), Some(state)) = (asked.get(*check), states.get_mut(*check)) else { break };
                    *state = State::Begun;
                    let number = *check;
                    running.push(async move { (number, self.ask(one).await) });
                    continue;
                }
                Some(Step::Ask(_)) | None => match running.next().await {
                    Some(ended) => ended,
                    None => break,
                },
            };
            let has_passed = report.outcome.verdict == Verdict::Pass;
            if let (Some(state), Some(slot)) = (states.get_mut(number), reports.get_mut(number)) {
                *state = if has_passed { State::Passed } else { State::NotPassed };
                *slot = Some(report);
            }
        }
        reports.into_iter().flatten().collect()
    }
}

/// The report of a check whose producer has given nothing.
fn needs(asked: &Asked<'_>, producer: &str) -> CheckReport {
    Log::start().report(asked, Outcome::skipped(format!("needs `{producer}`")), &asked.url)
}
