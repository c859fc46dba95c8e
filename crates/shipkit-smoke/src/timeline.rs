//! `Timeline`: what became of a stream of requests over time, in parts of equal length.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::report::millis;

/// How many parts there are at most.
const PARTS: usize = 120;
/// How long a part is at first: it grows with the stream.
const STEP: Duration = Duration::from_millis(125);

/// What became of requests, by when they were due. There are at most 120 parts, and those of a longer stream are longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// How long each part is: 125 ms, or that doubled as often as it takes.
    #[serde(rename = "stepMs", serialize_with = "millis")]
    pub step: Duration,
    /// The parts in order, from the start.
    pub parts: Vec<Part>,
}

/// What became of the requests that were due in one part of the time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// How many were answered well.
    pub answered: u64,
    /// How many were not.
    pub failed: u64,
    /// How many answers named which revision, where revisions are read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub revisions: BTreeMap<String, u64>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { step: STEP, parts: Vec::new() }
    }
}

impl Timeline {
    /// A request that was due then was answered, by this revision if one is read.
    pub(crate) fn answered(&mut self, due: Duration, revision: Option<String>) {
        let Some(part) = self.part(due) else { return };
        part.answered += 1;
        if let Some(revision) = revision {
            *part.revisions.entry(revision).or_default() += 1;
        }
    }

    /// A request that was due then was not.
    pub(crate) fn failed(&mut self, due: Duration) {
        if let Some(part) = self.part(due) {
            part.failed += 1;
        }
    }

    fn part(&mut self, due: Duration) -> Option<&mut Part> {
        let index = loop {
            let index = usize::try_from(due.as_nanos() / self.step.as_nanos()).unwrap_or(usize::MAX);
            if index < PARTS {
                break index;
            }
            self.double();
        };
        if self.parts.len() <= index {
            self.parts.resize_with(index + 1, Part::default);
        }
        self.parts.get_mut(index)
    }

    /// Makes one part of every two.
    fn double(&mut self) {
        self.step *= 2;
        let mut parts = std::mem::take(&mut self.parts).into_iter();
        while let Some(mut part) = parts.next() {
            if let Some(next) = parts.next() {
                part.answered += next.answered;
                part.failed += next.failed;
                for (revision, answers) in next.revisions {
                    *part.revisions.entry(revision).or_default() += answers;
                }
            }
            self.parts.push(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn requests_are_counted_when_they_were_due_whatever_the_order() {
        let mut timeline = Timeline::default();
        timeline.failed(ms(250));
        timeline.answered(ms(0), Some("old".to_owned()));
        timeline.answered(ms(124), Some("new".to_owned()));
        timeline.answered(ms(249), None);
        let counts: Vec<_> = timeline.parts.iter().map(|part| (part.answered, part.failed)).collect();
        assert_eq!((timeline.step, counts), (ms(125), vec![(2, 0), (1, 0), (0, 1)]));
        assert_eq!(timeline.parts[0].revisions.len(), 2);
    }

    #[test]
    fn a_long_stream_has_longer_parts_and_loses_nothing() {
        let mut timeline = Timeline::default();
        for n in 0..5000 {
            match n % 5 {
                0 => timeline.failed(ms(n * 100)),
                _ => timeline.answered(ms(n * 100), Some((n % 2).to_string())),
            }
        }
        assert_eq!((timeline.step, timeline.parts.len()), (ms(8000), 63));
        let sum = |count: fn(&Part) -> u64| timeline.parts.iter().map(count).sum::<u64>();
        assert_eq!((sum(|part| part.answered), sum(|part| part.failed)), (4000, 1000));
        assert_eq!(sum(|part| part.revisions.values().sum()), 4000);
    }
}
