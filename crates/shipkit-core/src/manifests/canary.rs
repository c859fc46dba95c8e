//! How a release gets its share of requests, step by step: the Services select the pods of both slots, and the new one has as many
//! beside the old ones as make the share. Where a route of the Gateway API weighs the slots, the new one has all of its pods from the
//! first step on, and the weight is the share.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Rendered;
use super::colour::{Colour, SLOT, pod_labels, selects, sends_to};
use super::error::BadManifests;
use super::object::{Id, Object};

/// The label that the pods of both slots have, and no others; in the selector of a Service, that it sends requests to both.
pub const SLOTTED: &str = "shipkit.dev/slotted";

/// How many pods the deployment of a slot is to have once requests have shifted, and how many serve beside it until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The pods of the slot that requests leave. They stay until the shift.
    pub old: u64,
    /// The pods of the new slot after the last step.
    pub full: u64,
    /// Whether routes weigh the slots, all that sends it requests.
    pub is_weighed: bool,
}

/// A share of requests on the way to all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The share that is asked for, in percent.
    pub percent: u8,
    /// The pods that each deployment of the new slot has for it.
    pub pods: BTreeMap<Id, u64>,
}

/// The way of the deployments of a slot to all requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    sizes: BTreeMap<Id, Sizes>,
    percents: Vec<u8>,
    steps: Vec<Step>,
}

impl Sizes {
    /// How many pods make the share, if the old ones all stay: as many as are needed at least, and never more than there will be in
    /// the end, for none should have to go again. All of them where routes weigh the slots.
    #[must_use]
    pub fn at(self, percent: u8) -> u64 {
        if self.is_weighed {
            return self.full;
        }
        let (part, rest) = (u64::from(percent.min(99)), u64::from(100 - percent.min(99)));
        self.old.saturating_mul(part).div_ceil(rest).clamp(1, self.full.max(1))
    }

    /// The share of requests that so many pods get beside the old ones, in percent.
    #[must_use]
    pub fn share(self, pods: u64) -> u64 {
        let all = pods.saturating_add(self.old).max(1);
        pods.saturating_mul(100).saturating_add(all / 2) / all
    }
}

impl Course {
    /// The steps by these shares, which ascend. Those that would change neither pods nor weights are left out.
    #[must_use]
    pub fn new(sizes: BTreeMap<Id, Sizes>, percents: &[u8]) -> Self {
        let step = |percent: &u8| Step {
            percent: *percent,
            pods: sizes.iter().map(|(id, sizes)| (id.clone(), sizes.at(*percent))).collect(),
        };
        let mut steps: Vec<Step> = percents.iter().map(step).collect();
        if sizes.values().all(|sizes| !sizes.is_weighed) {
            steps.dedup_by(|next, one| next.pods == one.pods);
        }
        Self { sizes, percents: percents.to_vec(), steps }
    }

    /// The same way as it is seen later, when an autoscaler may have changed how many old pods there are. With fewer requests
    /// for the old ones there may be fewer of them, but all requests need as many as they did at first.
    #[must_use]
    pub fn seen_again(&self, now: &Self) -> Self {
        let size = |(id, sizes): (&Id, &Sizes)| {
            let before = self.sizes.get(id).map_or(0, |before| before.full);
            (id.clone(), Sizes { full: sizes.full.max(before), ..*sizes })
        };
        Self::new(now.sizes.iter().map(size).collect(), &self.percents)
    }

    /// The step after that of a share which has gone well; none where all pods come next. No pod that is there is too many.
    #[must_use]
    pub fn after(&self, percent: u8, there: &BTreeMap<Id, u64>) -> Option<Step> {
        let next = self.steps.iter().find(|step| percent < step.percent)?;
        let pods = |(id, pods): (&Id, &u64)| (id.clone(), there.get(id).copied().unwrap_or(0).max(*pods));
        Some(Step { percent: next.percent, pods: next.pods.iter().map(pods).collect() })
    }

    /// The steps from the one on that is reached with so many pods of each and this percentage by routes that weigh; all of them
    /// where none is reached.
    #[must_use]
    pub fn from(&self, pods: &BTreeMap<Id, u64>, weight: u8) -> &[Step] {
        let is_weighed = self.sizes.values().any(|sizes| sizes.is_weighed);
        let is_reached = |step: &Step| {
            step.pods.iter().all(|(id, least)| pods.get(id) >= Some(least))
                && (!is_weighed || step.percent <= weight)
        };
        let reached = self.steps.iter().rposition(is_reached).unwrap_or_default();
        self.steps.get(reached..).unwrap_or_default()
    }

    /// How many pods each deployment has at first: those that it has where requests already go to it, and else those of the first
    /// step.
    #[must_use]
    pub fn first(&self, there: &BTreeMap<Id, u64>) -> BTreeMap<Id, u64> {
        let first = self.steps.first().map(|step| &step.pods);
        let of = |(id, sizes): (&Id, &Sizes)| {
            let least = first.and_then(|pods| pods.get(id)).copied().unwrap_or(sizes.full);
            let pods = there.get(id).copied().unwrap_or_default().clamp(least, sizes.full.max(least));
            (id.clone(), pods)
        };
        self.sizes.iter().map(of).collect()
    }

    /// How many pods each has before requests shift.
    #[must_use]
    pub fn full(&self) -> BTreeMap<Id, u64> {
        self.sizes.iter().map(|(id, sizes)| (id.clone(), sizes.full)).collect()
    }

    /// Its deployments.
    #[must_use]
    pub fn deployments(&self) -> BTreeSet<&Id> {
        self.sizes.keys().collect()
    }

    /// A step, for people: what serves beside what.
    #[must_use]
    pub fn said(&self, step: &Step) -> String {
        let one = |(id, pods): (&Id, &u64)| {
            let sizes = self.sizes.get(id)?;
            let (share, how) =
                if sizes.is_weighed { (step.percent.into(), " by weight") } else { (sizes.share(*pods), "") };
            Some(format!("`{id}` has {pods} beside {} ({share} %{how})", sizes.old))
        };
        step.pods.iter().filter_map(one).collect::<Vec<_>>().join(", ")
    }

    /// The whole way, a line for each deployment.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let line = |(id, sizes): (&Id, &Sizes)| {
            if sizes.is_weighed {
                let (percents, Sizes { old, full, .. }) =
                    (self.steps.iter().map(|step| format!("{} %", step.percent)), sizes);
                let percents = percents.collect::<Vec<_>>().join(", ");
                return format!(
                    "`{id}` gets requests in steps: {full} beside {old}, {percents} by weight, then all requests"
                );
            }
            let pods = self.steps.iter().filter_map(|step| step.pods.get(id));
            let steps = pods.map(|pods| format!("{pods} beside {} ({} %)", sizes.old, sizes.share(*pods)));
            let steps = steps.collect::<Vec<_>>().join(", ");
            format!("`{id}` gets requests in steps: pods {steps}, then {} and all requests", sizes.full)
        };
        self.sizes.iter().map(line).collect()
    }
}

impl Rendered {
    /// Sees that the Services that are there now would find the pods of the new slot, too, if they meant both. Those that get their
    /// requests by routes need not.
    ///
    /// # Errors
    /// When one would not, because its selector changes.
    pub fn check_spread(&self, fronts: &[Value]) -> Result<(), BadManifests> {
        let routed = self.routed();
        let of_slot = || self.objects.iter().filter(|object| Colour::of(object.value()).is_some());
        for front in self.objects.iter().filter(|front| !routed.contains(front.id().name.as_str())) {
            let is_it =
                |live: &&Value| live.pointer("/metadata/name") == front.value().pointer("/metadata/name");
            let Some(live) = fronts.iter().find(is_it) else { continue };
            let both = json!({"spec": {"selector": both_slots(live)}});
            let is_lost =
                |deployment: &&Object| sends_to(front, deployment) && !selects(&both, pod_labels(deployment));
            if let Some(lost) = of_slot().find(is_lost) {
                let (service, deployment) = (front.id().name.clone(), lost.id().to_string());
                return Err(BadManifests::OtherLabels { service, deployment });
            }
        }
        Ok(())
    }
}

/// Whether a Service sends requests to both slots.
#[must_use]
pub fn is_spread(service: &Value) -> bool {
    service.pointer("/spec/selector").is_some_and(|all| all.get(SLOTTED).is_some())
}

/// The selector of a Service that means a slot, or both, changed to mean both.
#[must_use]
pub fn both_slots(service: &Value) -> Value {
    let mut selector = service.pointer("/spec/selector").cloned().unwrap_or_else(|| json!({}));
    if let Some(labels) = selector.as_object_mut() {
        labels.remove(SLOT);
        labels.insert(SLOTTED.to_owned(), json!("true"));
    }
    selector
}

#[cfg(test)]
mod tests {
    use super::super::sample::{FILES, Given};
    use super::*;

    fn id(name: &str) -> Id {
        Id {
            group: "apps".to_owned(),
            kind: "Deployment".to_owned(),
            namespace: Some("shop".to_owned()),
            name: name.to_owned(),
        }
    }

    fn course(sizes: &[(&str, u64, u64)], percents: &[u8]) -> Course {
        let sizes = sizes
            .iter()
            .map(|(name, old, full)| (id(name), Sizes { old: *old, full: *full, is_weighed: false }));
        Course::new(sizes.collect(), percents)
    }

    fn pods(all: &[(&str, u64)]) -> BTreeMap<Id, u64> {
        all.iter().map(|(name, pods)| (id(name), *pods)).collect()
    }

    #[test]
    fn a_share_is_made_of_whole_pods_and_said_as_it_is() {
        for (old, full, percent, pods, share) in [
            (3, 3, 25, 1, 25),
            (3, 3, 10, 1, 25),
            (3, 3, 50, 3, 50),
            (9, 9, 10, 1, 10),
            (10, 10, 10, 2, 17),
            (4, 4, 75, 4, 50),
            (4, 12, 75, 12, 75),
            (1, 1, 1, 1, 50),
            (20, 5, 50, 5, 20),
            (1, 0, 50, 1, 50),
            (100, 100, 1, 2, 2),
            (1, u64::MAX, 99, 99, 99),
        ] {
            let sizes = Sizes { old, full, is_weighed: false };
            assert_eq!((sizes.at(percent), sizes.share(pods)), (pods, share), "{old} {full} {percent}");
        }
    }

    #[test]
    fn more_is_asked_for_more_and_the_share_is_reached_or_all_pods_are_there() {
        for old in 1..40 {
            for full in 1..40 {
                let sizes = Sizes { old, full, is_weighed: false };
                let mut before = 0;
                for percent in 1..=99 {
                    let pods = sizes.at(percent);
                    assert!(before <= pods && 1 <= pods && pods <= full, "{sizes:?} {percent}");
                    let is_reached = u64::from(percent) * (pods + old) <= 100 * pods;
                    let is_needed = pods == 1 || 100 * (pods - 1) < u64::from(percent) * (pods - 1 + old);
                    assert!((is_reached || pods == full) && is_needed, "{sizes:?} {percent}");
                    before = pods;
                }
            }
        }
    }

    #[test]
    fn a_way_goes_on_where_it_is_and_never_loses_a_pod() {
        let way = course(&[("api", 3, 3), ("web", 10, 8)], &[10, 25, 50]);
        let all: Vec<_> =
            way.from(&pods(&[]), 0).iter().map(|step| (step.percent, step.pods.clone())).collect();
        let [one, two, three] =
            [[("api", 1), ("web", 2)], [("api", 1), ("web", 4)], [("api", 3), ("web", 8)]]
                .map(|all| pods(&all));
        assert_eq!(all, [(10, one.clone()), (25, two.clone()), (50, three.clone())]);
        assert_eq!(way.full(), pods(&[("api", 3), ("web", 8)]));
        let at =
            |there: &BTreeMap<Id, u64>| way.from(there, 0).iter().map(|one| one.percent).collect::<Vec<_>>();
        assert_eq!(at(&one), [10, 25, 50]);
        assert_eq!(at(&pods(&[("api", 3), ("web", 3)])), [10, 25, 50]);
        assert_eq!(at(&two), [25, 50]);
        assert_eq!(at(&three), [50]);
        assert_eq!(way.first(&pods(&[])), one);
        assert_eq!(way.first(&pods(&[("api", 2), ("web", 99)])), pods(&[("api", 2), ("web", 8)]));
        // What changes nothing is no step.
        let small = course(&[("api", 1, 1)], &[10, 50, 90]);
        assert_eq!(small.from(&pods(&[]), 0).len(), 1);
        assert_eq!(
            small.lines(),
            ["`Deployment/api` gets requests in steps: pods 1 beside 1 (50 %), then 1 and all requests"]
        );
        let first = &way.from(&pods(&[]), 0)[0];
        assert_eq!(
            way.said(first),
            "`Deployment/api` has 1 beside 3 (25 %), `Deployment/web` has 2 beside 10 (17 %)"
        );
    }

    #[test]
    fn by_weight_all_pods_are_there_at_first_and_a_step_is_reached_by_its_weight() {
        let sizes = |old, is_weighed| Sizes { old, full: 4, is_weighed };
        let way =
            Course::new([(id("api"), sizes(3, true)), (id("web"), sizes(4, false))].into(), &[10, 25, 26]);
        let there = pods(&[("api", 4), ("web", 1)]);
        assert_eq!(way.first(&pods(&[])), there);
        let left = |pods: &BTreeMap<Id, u64>, weight| {
            way.from(pods, weight).iter().map(|one| (one.percent, one.pods[&id("web")])).collect::<Vec<_>>()
        };
        // The third changes the weight alone.
        assert_eq!(left(&there, 0), [(10, 1), (25, 2), (26, 2)]);
        assert_eq!(left(&there, 10), [(10, 1), (25, 2), (26, 2)]);
        assert_eq!(left(&there, 25), [(10, 1), (25, 2), (26, 2)], "web lacks a pod");
        assert_eq!(left(&pods(&[("api", 4), ("web", 2)]), 25), [(25, 2), (26, 2)]);
        assert_eq!(left(&pods(&[("api", 4), ("web", 4)]), 99), [(26, 2)]);
        assert_eq!(
            way.lines()[0],
            "`Deployment/api` gets requests in steps: 4 beside 3, 10 %, 25 %, 26 % by weight, then all requests"
        );
        let said = way.said(&way.from(&there, 25)[1]);
        assert_eq!(
            said,
            "`Deployment/api` has 4 beside 3 (25 % by weight), `Deployment/web` has 2 beside 4 (33 %)"
        );
    }

    #[test]
    fn a_way_counts_with_the_old_pods_that_are_there_now_and_never_ends_with_fewer_than_at_first() {
        let way = course(&[("web", 4, 4)], &[25, 50]);
        let one = pods(&[("web", 2)]);
        let grown = way.seen_again(&course(&[("web", 9, 9)], &[25, 50]));
        assert_eq!(grown.after(25, &one), Some(Step { percent: 50, pods: pods(&[("web", 9)]) }));
        assert_eq!(grown.full(), pods(&[("web", 9)]));
        let small = way.seen_again(&course(&[("web", 1, 1)], &[25, 50]));
        assert_eq!(small.full(), pods(&[("web", 4)]));
        assert_eq!(small.after(25, &one), None, "one beside one is half already");
        let fewer = way.seen_again(&course(&[("web", 2, 2)], &[25, 50]));
        assert_eq!(fewer.after(25, &pods(&[("web", 3)])).map(|step| step.pods), Some(pods(&[("web", 3)])));
        assert_eq!(way.after(50, &one), None);
    }

    #[test]
    fn a_service_that_selects_by_other_labels_could_not_send_a_share() {
        let given = Given::default().shifted(&["api", "web"]);
        let rendered = given.render(&FILES).unwrap().in_slot(Colour::Green).0;
        let live =
            |name: &str, labels: Value| json!({"metadata": {"name": name}, "spec": {"selector": labels}});
        let same = live("api", json!({"app": "api", SLOT: "blue"}));
        assert_eq!(rendered.check_spread(&[]), Ok(()));
        assert_eq!(rendered.check_spread(&[same.clone(), live("other", json!({"app": "x"}))]), Ok(()));
        assert_eq!(rendered.check_spread(&[live("api", json!({"app": "api", SLOTTED: "true"}))]), Ok(()));
        let before = live("web", json!({"name": "web", SLOT: "blue"}));
        assert_eq!(
            rendered.check_spread(&[same, before]).unwrap_err().to_string(),
            "`Service/web` selects by other labels than before, so it could not send a share of its requests to \
             `Deployment/web-green`"
        );
    }

    #[test]
    fn a_service_means_both_slots_and_nothing_else() {
        let one = json!({"spec": {"selector": {"app": "web", SLOT: "blue"}}});
        let both = json!({"spec": {"selector": both_slots(&one)}});
        assert_eq!(both["spec"]["selector"], json!({"app": "web", SLOTTED: "true"}));
        assert_eq!((is_spread(&one), is_spread(&both)), (false, true));
        assert_eq!(both_slots(&both), both["spec"]["selector"]);
    }
}
