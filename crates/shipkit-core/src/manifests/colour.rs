//! Two slots for what is `strategy: blue-green` or `canary`: each service that a Kubernetes Service sends requests to has a deployment for
//! each of two colours, and the selectors of the Services say which one gets them.
//!
//! All services of a set change slots together, and so do the autoscalers that are for them. What nobody sends requests to is
//! replaced pod by pod, as always.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::canary::SLOTTED;
use super::error::{BadManifests, Remark};
use super::object::{Id, Object};
use super::replicas::Scaled;
use super::weights::{is_route, share};
use super::{Rendered, Use, template};
use crate::digest::Digest;

/// The label of the deployments and pods of a slot, with its colour; in the selector of a Service the slot that gets requests.
pub const SLOT: &str = "shipkit.dev/slot";

/// The label that Kubernetes gives the pods of each replica set: the one thing that tells the pods of a deployment without slots
/// from those of a slot.
pub const HASH: &str = "pod-template-hash";

/// One of two slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colour {
    /// The first.
    Blue,
    /// The second.
    Green,
}

/// What is seen of one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The digest of the set that it was deployed with.
    pub set: Option<Digest>,
    /// Whether that was seen to succeed.
    pub is_confirmed: bool,
    /// Whether any Service sends requests to it.
    pub has_traffic: bool,
}

impl Colour {
    /// Both, in their order.
    pub const BOTH: [Self; 2] = [Self::Blue, Self::Green];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }

    /// As it stands in labels and names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }

    /// The slot that an object belongs to.
    #[must_use]
    pub fn of(object: &Value) -> Option<Self> {
        object.pointer("/metadata/labels")?.get(SLOT)?.as_str()?.parse().ok()
    }

    /// The slot that a Service sends requests to; none where it sends them to both.
    #[must_use]
    pub fn selected(service: &Value) -> Option<Self> {
        service.pointer("/spec/selector")?.get(SLOT)?.as_str()?.parse().ok()
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Colour {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::BOTH.into_iter().find(|one| one.as_str() == text).ok_or(())
    }
}

/// Decides which slot a release takes: the one where it is already; else the one that serves nobody, and never the only one that
/// is good. `sets` are the digests that the set of the release has in each slot.
#[must_use]
pub fn choose(seen: &BTreeMap<Colour, Seen>, sets: &BTreeMap<Colour, Digest>) -> Colour {
    let has_traffic = |slot: &Colour| seen.get(slot).is_some_and(|one| one.has_traffic);
    let is_good = |slot: &Colour| seen.get(slot).is_some_and(|one| one.is_confirmed);
    let is_there = |slot: &Colour| {
        let set = seen.get(slot).and_then(|one| one.set.as_ref());
        set.is_some() && set == sets.get(slot)
    };
    if let Some(slot) = Colour::BOTH.into_iter().filter(is_there).max_by_key(has_traffic) {
        return slot;
    }
    // The only good one stays, and else what serves.
    let stays = |slot: &Colour| is_good(slot) && !is_good(&slot.other());
    let is_equal = is_good(&Colour::Blue) == is_good(&Colour::Green);
    if stays(&Colour::Blue) || is_equal && has_traffic(&Colour::Blue) { Colour::Green } else { Colour::Blue }
}

/// All that names deployments: objects, what of them runs services, and what autoscalers own.
type All<'a> = (&'a mut [Object], &'a mut [Use], &'a mut BTreeSet<Id>);

/// Puts the deployments of these services into the first slot, those of them that a Service sends requests to. Says which have
/// none.
pub(super) fn paint(
    (objects, uses, scaled): All<'_>,
    services: &BTreeSet<&String>,
    in_cluster: &BTreeSet<Scaled>,
) -> Result<Vec<Remark>, BadManifests> {
    let mut remarks = Vec::new();
    let mut painted: BTreeSet<Id> = BTreeSet::new();
    for service in services {
        let mut shifts = false;
        let of_it: BTreeSet<&Id> =
            uses.iter().filter(|one| one.service == **service).map(|one| &one.workload).collect();
        for id in of_it.into_iter().filter(|id| id.is("apps", "Deployment")) {
            let workload = objects.iter().find(|object| object.id() == id);
            if workload.is_some_and(|workload| objects.iter().any(|front| sends_to(front, workload))) {
                shifts = true;
                painted.insert(id.clone());
            }
        }
        if !shifts {
            remarks.push(Remark::NotShifted((*service).clone()));
        }
    }
    if painted.is_empty() {
        return Err(BadManifests::NoSlots(services.iter().map(|name| (*name).clone()).collect()));
    }
    let fronts = fronts(objects, &painted)?;
    refuse_autoscalers(objects, &painted, in_cluster)?;
    let colour = Colour::Blue;
    let names = painted.into_iter().map(|id| (id.clone(), format!("{}-{colour}", id.name))).collect();
    dress((objects, uses, scaled), (&names, &fronts), colour);
    Ok(remarks)
}

/// Gives deployments new names and the labels of a slot, and lets these Services and the autoscalers of the deployments mean it.
fn dress(
    (objects, uses, scaled): All<'_>,
    (names, fronts): (&BTreeMap<Id, String>, &BTreeSet<Id>),
    colour: Colour,
) {
    for object in objects {
        let of = Scaled::by(object.value()).and_then(|of| names.iter().find(|(id, _)| of.is(id)));
        if let Some((_, name)) = of {
            if let Some(target) = object.value_mut().pointer_mut("/spec/scaleTargetRef/name") {
                *target = json!(name);
            }
        } else if let Some(name) = names.get(object.id()) {
            for labels in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
                put(object.value_mut(), labels, (SLOT, colour.as_str()));
            }
            put(object.value_mut(), "/spec/template/metadata/labels", (SLOTTED, "true"));
            object.label(SLOT, colour.as_str());
            object.rename(name);
        } else if fronts.contains(object.id()) {
            put(object.value_mut(), "/spec/selector", (SLOT, colour.as_str()));
        }
    }
    for one in uses {
        if let Some(name) = names.get(&one.workload) {
            name.clone_into(&mut one.workload.name);
        }
    }
    let renamed = |id: Id| match names.get(&id) {
        Some(name) => Id { name: name.clone(), ..id },
        None => id,
    };
    *scaled = std::mem::take(scaled).into_iter().map(renamed).collect();
}

/// The Services that send requests to what is in a slot. One that sends to something else as well cannot say which slot it means.
fn fronts(objects: &[Object], painted: &BTreeSet<Id>) -> Result<BTreeSet<Id>, BadManifests> {
    let mut fronts = BTreeSet::new();
    for front in objects {
        let to = objects.iter().filter(|object| template::of(object).is_some() && sends_to(front, object));
        let (inside, outside): (Vec<_>, Vec<_>) = to.partition(|object| painted.contains(object.id()));
        match (inside.first(), outside.first()) {
            (Some(inside), Some(outside)) => {
                return Err(BadManifests::HalfShifted {
                    service: front.id().to_string(),
                    inside: inside.id().to_string(),
                    outside: outside.id().to_string(),
                });
            }
            (Some(_), None) => drop(fronts.insert(front.id().clone())),
            (None, _) => {}
        }
    }
    Ok(fronts)
}

/// An autoscaler that is not among the objects would go on scaling what is there no more.
fn refuse_autoscalers(
    objects: &[Object],
    painted: &BTreeSet<Id>,
    in_cluster: &BTreeSet<Scaled>,
) -> Result<(), BadManifests> {
    let own: BTreeSet<Scaled> = objects.iter().filter_map(|object| Scaled::by(object.value())).collect();
    let others = in_cluster.difference(&own);
    let foreign: Vec<String> =
        others.flat_map(|of| painted.iter().filter(|id| of.is(id))).map(Id::to_string).collect();
    if foreign.is_empty() { Ok(()) } else { Err(BadManifests::ScaledFromOutside(foreign)) }
}

fn put(value: &mut Value, labels: &str, (key, text): (&str, &str)) {
    if let Some(labels) = value.pointer_mut(labels).and_then(Value::as_object_mut) {
        labels.insert(key.to_owned(), json!(text));
    }
}

/// Whether an object is a Service that selects the pods of another one.
pub(super) fn sends_to(front: &Object, workload: &Object) -> bool {
    front.id().is("", "Service") && selects(front.value(), pod_labels(workload))
}

/// The labels of the pods of a workload.
pub(super) fn pod_labels(workload: &Object) -> Option<&Value> {
    template::of(workload)?.pointer("/metadata/labels")
}

/// Whether a Service selects pods with these labels.
#[must_use]
pub fn selects(service: &Value, labels: Option<&Value>) -> bool {
    let selector = service.pointer("/spec/selector").and_then(Value::as_object);
    let has = |labels: &Map<String, Value>, selector: &Map<String, Value>| {
        selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    let labels = labels.and_then(Value::as_object);
    selector.zip(labels).is_some_and(|(selector, labels)| !selector.is_empty() && has(labels, selector))
}

/// Whether a Service means a slot, both of them, or exactly one replica set.
#[must_use]
pub fn is_narrow(service: &Value) -> bool {
    let selector = service.pointer("/spec/selector");
    selector.is_some_and(|all| [SLOT, SLOTTED, HASH].iter().any(|key| all.get(*key).is_some()))
}

impl Rendered {
    /// The slot of its deployments; `None` if it has none.
    #[must_use]
    pub fn slot(&self) -> Option<Colour> {
        self.objects.iter().find_map(|object| Colour::of(object.value()))
    }

    /// The same in another slot, and the new name of each deployment that has one. What has no slots stays as it is.
    #[must_use]
    pub fn in_slot(mut self, colour: Colour) -> (Self, BTreeMap<Id, Id>) {
        let new_name = |object: &Object| {
            let of = Colour::of(object.value())?;
            let name = &object.id().name;
            let base = name.strip_suffix(of.as_str()).and_then(|name| name.strip_suffix('-')).unwrap_or(name);
            Some((object.id().clone(), format!("{base}-{colour}")))
        };
        let names: BTreeMap<Id, String> = self.objects.iter().filter_map(new_name).collect();
        let fronts = self.fronts().cloned().collect();
        dress((&mut self.objects, &mut self.uses, &mut self.scaled), (&names, &fronts), colour);
        let ids = names.into_iter().map(|(id, name)| (id.clone(), Id { name, ..id })).collect();
        (self, ids)
    }

    /// The objects that change with the traffic, once everything else is in place: Services that send to a slot, or did so
    /// before, routes that weigh slots, and autoscalers that change what they scale. `live` is what is there of the objects.
    #[must_use]
    pub fn shifted(&self, live: &BTreeMap<Id, Value>) -> BTreeSet<Id> {
        let shifts = |object: &&Object| {
            let there = live.get(object.id());
            if object.id().is("", "Service") {
                return is_narrow(object.value()) || there.is_some_and(is_narrow);
            }
            if is_route(object.id()) {
                return there.and_then(share).is_some();
            }
            let of = Scaled::by(object.value());
            let is_for_a_slot = |of: &Scaled| {
                self.objects.iter().any(|one| of.is(one.id()) && Colour::of(one.value()).is_some())
            };
            of.is_some_and(|of| {
                is_for_a_slot(&of) || there.and_then(Scaled::by).is_some_and(|before| before != of)
            })
        };
        self.objects.iter().filter(shifts).map(|object| object.id().clone()).collect()
    }

    /// The Services that send requests to a slot.
    pub fn fronts(&self) -> impl Iterator<Item = &Id> {
        let fronts = self.objects.iter().filter(|object| Colour::selected(object.value()).is_some());
        fronts.map(Object::id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{FILES, Given, object, shop, with};
    use super::*;
    use crate::exit::ExitCode;
    use crate::hint::Hint as _;

    fn in_slots(services: &[&str], slot: Colour) -> Rendered {
        Given::default().shifted(services).render(&FILES).unwrap().in_slot(slot).0
    }

    fn ids(rendered: &Rendered) -> Vec<String> {
        rendered.objects().iter().map(|object| object.id().to_string()).collect()
    }

    #[test]
    fn a_deployment_that_gets_requests_has_slots_and_all_that_names_it_means_one() {
        let green = in_slots(&["api"], Colour::Green);
        let api = object(&green, "Deployment", "api-green");
        assert_eq!(api["spec"]["selector"]["matchLabels"], json!({"app": "api", SLOT: "green"}));
        let labels = json!({"app": "api", SLOT: "green", SLOTTED: "true"});
        assert_eq!(api["spec"]["template"]["metadata"]["labels"], labels);
        assert_eq!(Colour::of(api), Some(Colour::Green));
        assert_eq!(Colour::selected(object(&green, "Service", "api")), Some(Colour::Green));
        let scaled = object(&green, "HorizontalPodAutoscaler", "api").pointer("/spec/scaleTargetRef/name");
        assert_eq!(scaled, Some(&json!("api-green")));
        let scaled: Vec<_> = green.scaled().iter().map(Id::to_string).collect();
        assert_eq!(scaled, ["Deployment/api-green"]);
        assert!(green.uses().iter().all(|one| one.workload.name != "api"));
        assert_eq!(green.uses().iter().filter(|one| one.workload.name == "api-green").count(), 2);
        // What selects both slots, and everything else, is as it was.
        let plain = shop();
        for (kind, name) in [("Service", "web"), ("Deployment", "web"), ("PodDisruptionBudget", "api")] {
            assert_eq!(object(&green, kind, name), object(&plain, kind, name), "{kind}/{name}");
        }
        assert_eq!((green.slot(), plain.slot()), (Some(Colour::Green), None));
    }

    #[test]
    fn the_set_of_one_slot_becomes_that_of_the_other_and_comes_back() {
        let (blue, green) =
            (in_slots(&["api", "web"], Colour::Blue), in_slots(&["api", "web"], Colour::Green));
        let (there, names) = blue.clone().in_slot(Colour::Green);
        assert_eq!(
            (there.objects(), there.uses(), there.scaled()),
            (green.objects(), green.uses(), green.scaled())
        );
        let names: Vec<_> = names.iter().map(|(from, to)| format!("{from} {to}")).collect();
        assert_eq!(
            names,
            ["Deployment/api-blue Deployment/api-green", "Deployment/web-blue Deployment/web-green"]
        );
        assert_eq!(there.digest(), green.digest());
        assert_ne!(there.digest(), blue.digest());
        assert_eq!(there.in_slot(Colour::Blue).0.digest(), blue.digest());
        assert_eq!(shop().in_slot(Colour::Green), (shop(), BTreeMap::new()));
    }

    #[test]
    fn what_nobody_sends_requests_to_is_replaced_pod_by_pod_and_that_is_said() {
        let rendered = in_slots(&["api", "worker"], Colour::Blue);
        assert!(rendered.remarks().contains(&Remark::NotShifted("worker".to_owned())));
        assert!(!rendered.remarks().contains(&Remark::NotShifted("api".to_owned())));
        let has_no_drain =
            |rendered: &Rendered| rendered.remarks().iter().any(|one| matches!(one, Remark::NoDrain(_)));
        assert!(has_no_drain(&shop()) && !has_no_drain(&rendered));
        assert!(ids(&rendered).contains(&"Deployment/worker".to_owned()));
        let alone = Given::default().shifted(&["worker"]).render(&FILES).unwrap_err();
        assert_eq!(alone, BadManifests::NoSlots(vec!["worker".to_owned()]));
        assert_eq!((alone.exit_code(), alone.hint().is_some()), (ExitCode::Usage, true));
    }

    #[test]
    fn a_service_for_something_else_as_well_cannot_say_which_slot_it_means() {
        let all = "apiVersion: v1\nkind: Service\nmetadata: {name: all}\nspec: {selector: {tier: front}}\n";
        let labelled = FILES.map(|(name, text)| {
            (
                name,
                text.replace("metadata: {labels: {app: api}}", "metadata: {labels: {app: api, tier: front}}")
                    .replace("metadata: {labels: {app: web}}", "metadata: {labels: {app: web, tier: front}}"),
            )
        });
        let files: Vec<_> = labelled
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .chain([("k8s/all.yaml", all)])
            .collect();
        let half = Given::default().shifted(&["api"]).render(&files).unwrap_err();
        let said = "`Service/all` sends requests to `Deployment/api`, which has two slots, and to `Deployment/web`, which has none";
        assert_eq!(half.to_string(), said);
        let both = Given::default().shifted(&["api", "web"]).render(&files).unwrap();
        assert_eq!(Colour::selected(object(&both, "Service", "all")), Some(Colour::Blue));
        assert!(with(all).is_ok());
    }

    #[test]
    fn an_autoscaler_must_be_among_the_manifests_to_follow() {
        let scaled = |name: &str| Scaled {
            group: "apps".to_owned(),
            kind: "Deployment".to_owned(),
            name: name.to_owned(),
        };
        let mut given = Given::default().shifted(&["web"]);
        given.scaled = [scaled("web"), scaled("worker")].into();
        let foreign = given.render(&FILES).unwrap_err();
        assert_eq!(foreign, BadManifests::ScaledFromOutside(vec!["Deployment/web".to_owned()]));
        // What is there of their own, from before there were slots.
        let mut given = Given::default().shifted(&["api"]);
        given.scaled = [scaled("api")].into();
        assert!(given.render(&FILES).is_ok());
    }

    #[test]
    fn services_and_autoscalers_change_with_the_traffic_and_on_the_way_to_slots_and_back() {
        let live = |rendered: &Rendered| {
            rendered
                .objects()
                .iter()
                .map(|object| (object.id().clone(), object.value().clone()))
                .collect::<BTreeMap<_, _>>()
        };
        let shifted =
            |rendered: &Rendered, live| rendered.shifted(&live).iter().map(Id::to_string).collect::<Vec<_>>();
        let (plain, blue, green) =
            (shop(), in_slots(&["api"], Colour::Blue), in_slots(&["api"], Colour::Green));
        let both = ["Service/api", "HorizontalPodAutoscaler/api"];
        let sorted = |mut all: Vec<String>| {
            all.sort();
            all
        };
        let expected = sorted(both.map(str::to_owned).to_vec());
        for (rendered, there) in
            [(&blue, BTreeMap::new()), (&blue, live(&plain)), (&green, live(&blue)), (&plain, live(&green))]
        {
            assert_eq!(sorted(shifted(rendered, there)), expected);
        }
        assert_eq!(shifted(&plain, live(&plain)), Vec::<String>::new());
        assert_eq!(shifted(&plain, BTreeMap::new()), Vec::<String>::new());
        // A Service that means one replica set only: a run that was killed has left it so.
        let mut held = live(&plain);
        let service = held.iter_mut().find(|(id, _)| id.is("", "Service") && id.name == "web").unwrap().1;
        service["spec"]["selector"][HASH] = json!("7d9c");
        assert_eq!(shifted(&plain, held), ["Service/web"]);
        // One that means both slots: a run stays in the middle of its steps.
        let mut spread = live(&plain);
        let service = spread.iter_mut().find(|(id, _)| id.is("", "Service") && id.name == "web").unwrap().1;
        service["spec"]["selector"][SLOTTED] = json!("true");
        assert_eq!(shifted(&plain, spread), ["Service/web"]);
    }

    /// Nothing is seen of the slot, or whether it is the set of the release, is good, and has traffic.
    fn every_slot(colour: Colour) -> Vec<Option<Seen>> {
        let mut all = vec![None];
        for is_there in [false, true] {
            for is_confirmed in [false, true] {
                for has_traffic in [false, true] {
                    let set = Some(Digest::of(if is_there { colour.as_str() } else { "another" }.as_bytes()));
                    all.push(Some(Seen { set, is_confirmed, has_traffic }));
                }
            }
        }
        all
    }

    #[test]
    fn a_release_takes_the_slot_that_it_has_or_one_that_serves_nobody_and_never_the_only_good_one() {
        let sets = Colour::BOTH.map(|one| (one, Digest::of(one.as_str().as_bytes()))).into();
        for blue in every_slot(Colour::Blue) {
            for green in every_slot(Colour::Green) {
                let slots = [(Colour::Blue, &blue), (Colour::Green, &green)];
                let seen: BTreeMap<Colour, Seen> =
                    slots.iter().filter_map(|(one, seen)| Some((*one, (*seen).clone()?))).collect();
                let slot = choose(&seen, &sets);
                let of = |slot: Colour| seen.get(&slot);
                let is_there = |slot: Colour| of(slot).is_some_and(|one| one.set.as_ref() == sets.get(&slot));
                let is_good = |slot: Colour| of(slot).is_some_and(|one| one.is_confirmed);
                let has_traffic = |slot: Colour| of(slot).is_some_and(|one| one.has_traffic);
                let at = format!("{seen:?}: {slot}");
                if is_there(slot) {
                    assert!(
                        !is_there(slot.other()) || has_traffic(slot) || !has_traffic(slot.other()),
                        "{at}"
                    );
                    continue;
                }
                assert!(!is_there(slot.other()), "{at}");
                assert!(!is_good(slot) || is_good(slot.other()), "the only good one: {at}");
                if is_good(slot) == is_good(slot.other()) && has_traffic(slot) {
                    assert!(has_traffic(slot.other()), "{at}");
                }
            }
        }
        let none = choose(&BTreeMap::new(), &sets);
        assert_eq!(none, Colour::Blue);
    }
}
