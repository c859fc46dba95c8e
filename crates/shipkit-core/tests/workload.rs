//! Rollouts of simulated workloads: controllers that replace pods as those of Kubernetes do, pods with fates, and watches
//! that are behind, each by its own time.
//!
//! What must hold: it is never done before all pods that should be new are new and ready, it is done soon when all go well,
//! and it is told soon, with the right words, when one does not.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use shipkit_core::Digest;
use shipkit_core::rollout::workload::{Container, End, Pod, Seen, State, Wanted, Workload};
use shipkit_core::rollout::{Next, Purpose};

/// In seconds, as all times here.
const DEADLINE: usize = 300;
const MONITOR: usize = 2;
/// How long what has not arrived yet may be on its way.
const GRACE: usize = 30;
/// The most that a watch is behind.
const LAG: usize = 3;

/// How pods are replaced.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// A new one comes before an old one goes, in any order.
    Deployment,
    /// From the last to this one, each after the one before.
    StatefulSet { partition: usize },
    /// An old one goes before a new one comes.
    DaemonSet,
}

/// What becomes of a new pod.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// It is ready after so long.
    Good(usize),
    /// It ends after so long, again and again.
    Crash(usize),
    /// Its image never comes.
    NoImage,
    /// It runs and is never ready.
    Unready,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct One {
    slot: usize,
    /// When it was made; `None` if it is of the revision before.
    born: Option<usize>,
    fate: Fate,
}

impl One {
    fn is_ready(&self, now: usize) -> bool {
        match (self.born, self.fate) {
            (None, _) => true,
            (Some(born), Fate::Good(after)) => born + after <= now,
            (Some(_), Fate::Crash(_) | Fate::NoImage | Fate::Unready) => false,
        }
    }

    fn state(&self, now: usize) -> State {
        let age = self.born.map_or(usize::MAX, |born| now - born);
        let waiting = |reason: &str| State::Waiting { reason: reason.to_owned(), message: String::new() };
        match self.fate {
            Fate::Crash(after) if after < age => waiting("CrashLoopBackOff"),
            Fate::Crash(after) if after == age => State::Ended(End { exit_code: 3, ..End::default() }),
            Fate::NoImage => waiting("ErrImagePull"),
            Fate::Good(_) | Fate::Crash(_) | Fate::Unready => State::Running,
        }
    }

    fn pod(&self, now: usize) -> Pod {
        let ended = End { exit_code: 3, ..End::default() };
        let container = Container {
            name: "app".to_owned(),
            image_id: image("new"),
            state: self.state(now),
            ended_before: matches!(self.state(now), State::Waiting { .. }).then_some(ended),
            ..Container::default()
        };
        Pod {
            uid: format!("{}-{:?}", self.slot, self.born),
            name: format!("app-{}", self.slot),
            is_ready: self.is_ready(now),
            unplaced: None,
            containers: vec![container],
        }
    }
}

#[derive(Debug, Clone)]
struct Scenario {
    kind: Kind,
    wanted: usize,
    /// When the controller notices the change.
    notices: usize,
    fates: Vec<Fate>,
    /// How far the watches are behind: that of the workload, that of its pods.
    lags: (usize, usize),
}

fn image(content: &str) -> String {
    format!("ghcr.io/a/app@{}", Digest::of(content.as_bytes()))
}

impl Scenario {
    fn kept(&self) -> usize {
        match self.kind {
            Kind::StatefulSet { partition } => partition.min(self.wanted),
            Kind::Deployment | Kind::DaemonSet => 0,
        }
    }

    /// The pods that there are a second later.
    fn step(&self, pods: &[One], now: usize) -> Vec<One> {
        let mut pods = pods.to_vec();
        if now < self.notices {
            return pods;
        }
        let new = |slot| One { slot, born: Some(now), fate: self.fates[slot % self.fates.len()] };
        let all_ready = pods.iter().all(|one| one.is_ready(now));
        match self.kind {
            Kind::Deployment => {
                let made = pods.iter().filter(|one| one.born.is_some()).count();
                let old = pods.iter().position(|one| one.born.is_none());
                if let Some(old) = old.filter(|_| all_ready && self.wanted < pods.len()) {
                    pods.remove(old);
                } else if made < self.wanted && pods.len() <= self.wanted {
                    pods.push(new(made));
                }
            }
            Kind::StatefulSet { .. } | Kind::DaemonSet => {
                let missing = (0..self.wanted).find(|slot| pods.iter().all(|one| one.slot != *slot));
                let old = pods.iter().rposition(|one| one.born.is_none() && self.kept() <= one.slot);
                if let Some(missing) = missing {
                    pods.push(new(missing));
                    pods.sort_by_key(|one| one.slot);
                } else if let Some(old) = old.filter(|_| all_ready) {
                    pods.remove(old);
                }
            }
        }
        pods
    }

    /// What its watches show: its numbers of one moment, its pods of another.
    fn seen(&self, history: &[Vec<One>], now: usize) -> Seen {
        let (then, pods_then) = (now.saturating_sub(self.lags.0), now.saturating_sub(self.lags.1));
        let count = |all: &[One], is: &dyn Fn(&One) -> bool| {
            u64::try_from(all.iter().filter(|one| is(one)).count()).unwrap()
        };
        let pods = &history[then];
        let is_noticed = self.notices <= then;
        // Before the controller looks, the pods of the revision before are the updated ones.
        let updated = count(pods, &|one| one.born.is_some() || !is_noticed);
        let shown = history[pods_then].iter().filter(|one| one.born.is_some());
        Seen {
            is_ours: true,
            observed_generation: if is_noticed { 2 } else { 1 },
            wanted: u64::try_from(self.wanted).unwrap(),
            kept: u64::try_from(self.kept()).unwrap(),
            replicas: count(pods, &|_| true),
            updated,
            available: count(pods, &|one| one.is_ready(then)),
            images: BTreeMap::from([("app".to_owned(), image(if is_noticed { "new" } else { "old" }))]),
            pods: shown.map(|one| one.pod(pods_then)).collect(),
            ..Seen::default()
        }
    }

    /// How it ends and when, with the pods that there were from second to second.
    fn run(&self) -> (Next, usize, Vec<Vec<One>>) {
        let digests = BTreeSet::from([Digest::of(b"new")]);
        let wanted = BTreeMap::from([("app".to_owned(), Wanted { image: image("new"), digests })]);
        let [monitor, deadline] =
            [MONITOR, DEADLINE].map(|time| Duration::from_secs(u64::try_from(time).unwrap()));
        let mut rule = Workload::new("app", Purpose::Deploy, 2, wanted, (monitor, deadline));
        let old = (0..self.wanted).map(|slot| One { slot, born: None, fate: Fate::Good(0) }).collect();
        let mut history: Vec<Vec<One>> = vec![old];
        for now in 0..=DEADLINE {
            let next = rule.next(&self.seen(&history, now), Duration::from_secs(u64::try_from(now).unwrap()));
            let Next::Wait(time) = next else { return (next, now, history) };
            assert!(!time.is_zero(), "it asks again at once, second {now}");
            history.push(self.step(&history[now], now + 1));
        }
        panic!("it never ends")
    }

    /// The fates of the pods that it makes.
    fn made(&self) -> Vec<Fate> {
        let slots = if self.kind == Kind::Deployment { 0..self.wanted } else { self.kept()..self.wanted };
        slots.map(|slot| self.fates[slot % self.fates.len()]).collect()
    }
}

fn scenarios(fate: impl Strategy<Value = Fate>) -> impl Strategy<Value = Scenario> {
    let kind = prop_oneof![
        Just(Kind::Deployment),
        Just(Kind::DaemonSet),
        (0usize..5).prop_map(|partition| Kind::StatefulSet { partition }),
    ];
    let lags = (0..=LAG, 0..=LAG);
    (kind, 0usize..6, 0usize..5, prop::collection::vec(fate, 1..6), lags)
        .prop_map(|(kind, wanted, notices, fates, lags)| Scenario { kind, wanted, notices, fates, lags })
}

fn good() -> impl Strategy<Value = Fate> {
    (0usize..6).prop_map(Fate::Good)
}

fn any_fate() -> impl Strategy<Value = Fate> {
    let bad = (0usize..4).prop_map(Fate::Crash);
    prop_oneof![8 => good(), 1 => bad, 1 => select(vec![Fate::NoImage, Fate::Unready])]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_well_is_done_when_all_is_new_and_not_long_after(scenario in scenarios(good())) {
        let (next, end, history) = scenario.run();
        prop_assert_eq!(next, Next::Done);
        let is_there = |pods: &Vec<One>, at: usize| {
            let new = pods.iter().filter(|one| one.born.is_some()).count();
            pods.len() == scenario.wanted
                && new == scenario.wanted - scenario.kept()
                && pods.iter().all(|one| one.is_ready(at))
        };
        let since = history.iter().enumerate().position(|(at, pods)| scenario.notices <= at && is_there(pods, at));
        let since = since.unwrap_or_else(|| panic!("it is done in second {end} and was never there"));
        prop_assert!(since + MONITOR <= end && end <= since + LAG + MONITOR, "there since {since}, done {end}");
    }

    #[test]
    fn what_does_not_go_well_is_never_done_and_is_told_soon(scenario in scenarios(any_fate())) {
        let (next, end, history) = scenario.run();
        let first = scenario.made().into_iter().find(|fate| !matches!(fate, Fate::Good(_)));
        if first.is_none() {
            prop_assert_eq!(next, Next::Done);
            return Ok(());
        }
        let Next::RollBack { cause } = next else { panic!("{next:?}") };
        let bad = history.iter().flatten().find(|one| one.born.is_some() && !matches!(one.fate, Fate::Good(_)));
        let bad = bad.unwrap_or_else(|| panic!("no bad pod was made: {cause}"));
        let born = bad.born.unwrap();
        let (words, latest) = match bad.fate {
            Fate::Crash(after) => ("`app` keeps failing: ", born + after + 1 + LAG),
            Fate::NoImage => ("`app` cannot start: ", born + GRACE + LAG),
            Fate::Unready | Fate::Good(_) => ("`app` did not converge within 300 s", DEADLINE),
        };
        prop_assert!(cause.starts_with(words) && end <= latest, "second {end}, not {latest}: {cause}");
    }
}
