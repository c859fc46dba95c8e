//! What of a stack of manifests is good, what a deploy writes over it, and what brings it back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shipkit_core::history::{Entry, Means};
use shipkit_core::manifests::{Id, Rendered, Slot};
use shipkit_core::target::Desired;

use crate::annotations::{self, CONTAINERS, Deployed, Ours, RECORD, SET};
use crate::expected::WorkloadKind;
use crate::set::Back;
use crate::values::{all_images, annotations_of};

/// What was good before a deploy.
pub(crate) struct Good {
    /// Where all of it is recorded; `None` if shipkit has not applied manifests yet.
    pub(crate) record: Option<String>,
    /// The state of each object that runs a service.
    pub(crate) states: BTreeMap<Id, Ours>,
}

/// What brings back what the release remembers that was deployed last.
pub(crate) fn remembered(members: &[(Id, Value)]) -> Option<Back> {
    let all = members.iter().map(|(_, value)| annotations_of(value));
    let named = all.filter_map(|all| {
        let record = Ours::previous(&all)?.annotations.get(RECORD)?.clone();
        Some((annotations::stamp(&all).map(|stamp| stamp.time), record))
    });
    named.max().map(|(_, record)| Back { record })
}

/// What brings back the release of an entry of the history.
pub(crate) fn of_entry(entry: &Entry) -> Option<Back> {
    entry.services.values().find_map(|kept| match &kept.means {
        Means::Specification(value) => Some(Back { record: value.get("record")?.as_str()?.to_owned() }),
        Means::HoldsData | Means::TooLarge | Means::NotKnown => None,
    })
}

/// What was good: of everything that runs a service, and where that is recorded.
pub(crate) fn good(rendered: &Rendered, live: &BTreeMap<Id, Value>, members: &[(Id, Value)]) -> Good {
    let good = |id: &Id, value: &Value| Ours::last_good(&annotations_of(value), images(rendered, id, value));
    let of_members = members.iter().map(|(id, value)| (id, value));
    let used = users(rendered);
    let all = live.iter().filter(|(id, _)| used.contains(*id)).chain(of_members);
    let states: BTreeMap<Id, Ours> =
        all.filter_map(|(id, value)| Some((id.clone(), good(id, value)?))).collect();
    let recorded = states.values().filter_map(|state| {
        let record = state.annotations.get(RECORD)?;
        Some((annotations::stamp(&state.annotations).map(|stamp| stamp.time), record.clone()))
    });
    Good { record: recorded.max().map(|(_, record)| record), states }
}

/// What a deploy writes on an object that runs services.
pub(crate) fn to_write(
    rendered: &Rendered,
    id: &Id,
    desired: &Desired,
    (good, before): (&Good, &str),
    record: &str,
) -> Ours {
    let containers = containers(rendered, id);
    let services = || desired.services.iter().filter(|one| containers.values().any(|name| *name == one.name));
    let platforms: BTreeSet<String> =
        services().flat_map(|one| &one.platforms).map(ToString::to_string).collect();
    let image = |service: &String| desired.services.iter().find(|one| one.name == *service);
    let images = containers
        .iter()
        .filter_map(|(container, service)| Some((container.clone(), image(service)?.image.to_string())));
    let new = Deployed {
        stamp: &desired.stamp,
        revision: services().next().map_or("", |one| one.revision.as_str()),
        platforms: platforms.into_iter().collect::<Vec<_>>().join(" "),
        images: images.collect(),
    };
    // What comes with this release goes with it: the release before is where it goes to. Where there was nothing, a rollback goes
    // nowhere: a deploy that fails removes what it made, and nobody else should.
    let newest =
        good.states.values().max_by_key(|state| annotations::mark(&state.annotations).map(|mark| mark.1));
    let without = |newest: &Ours| Ours { annotations: newest.annotations.clone(), images: BTreeMap::new() };
    let mut last_good = good.states.get(id).cloned().or_else(|| newest.map(without));
    if let Some(good) = &mut last_good {
        good.annotations.insert(RECORD.to_owned(), before.to_owned());
    }
    let mut state = Ours::deploy(new, last_good.as_ref());
    let mut put = |name: &str, text: String| drop(state.annotations.insert(name.to_owned(), text));
    put(SET, rendered.digest().to_string());
    put(RECORD, record.to_owned());
    put(CONTAINERS, json!(containers).to_string());
    state
}

/// The service of each container of an object.
pub(crate) fn containers(rendered: &Rendered, id: &Id) -> BTreeMap<String, String> {
    let uses = rendered.uses().iter().filter(|one| one.workload == *id);
    let named = uses.filter_map(|one| match &one.slot {
        Slot::Container(name) => Some((name.clone(), one.service.clone())),
        Slot::InitContainer(_) | Slot::Volume(_) => None,
    });
    named.collect()
}

/// The objects that run services and whose rollout can be watched.
pub(crate) fn users(rendered: &Rendered) -> BTreeSet<Id> {
    let ids = rendered.uses().iter().map(|one| one.workload.clone());
    ids.filter(|id| serves(id) && !containers(rendered, id).is_empty()).collect()
}

/// The images that a live object has of the containers that are services'.
pub(crate) fn images(rendered: &Rendered, id: &Id, value: &Value) -> BTreeMap<String, String> {
    let known = annotations::containers(&annotations_of(value));
    let named = if known.is_empty() { containers(rendered, id) } else { known };
    all_images(value).into_iter().filter(|(name, _)| named.contains_key(name)).collect()
}

/// Whether an object serves: a job that runs a service ends.
fn serves(id: &Id) -> bool {
    WorkloadKind::of(id).is_some_and(|kind| kind != WorkloadKind::Job)
}
