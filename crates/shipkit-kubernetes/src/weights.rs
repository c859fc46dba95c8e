//! Requests that come by routes of the Gateway API: each route weighs a Service and a second one, and in the end it is as the set has it.
//! What it is to be is decided in `shipkit_core::manifests`.
//!
//! A second Service always selects exactly one slot, so that one change of it takes requests back, whatever becomes of the route.

use std::collections::BTreeMap;

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use shipkit_core::manifests::{
    Colour, Id, Object, Rendered, Taken, is_route, route_kinds, second_name, share, taken,
};
use tokio::time::{Instant, sleep};

use crate::annotations;
use crate::change::MANAGER;
use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::slots::{Held, LOOK_AGAIN, SHIFTED, SHIFTING, name, selector};
use crate::values::annotations_of;

impl Cluster {
    /// Lets routes send so many percent of their requests to the slot of a set, and sees that they do. Nothing where no route sends any.
    pub(crate) async fn weigh(&self, rendered: &Rendered, percent: u8) -> Result<(), ClusterError> {
        let seconds = rendered.seconds()?;
        if seconds.is_empty() {
            return Ok(());
        }
        let fronts = self.fronts().await?;
        let means_other = |second: &&Object| {
            let other = rendered.slot().map(Colour::other);
            fronts.iter().any(|one| name(one) == second.id().name && Colour::selected(one) == other)
        };
        // One that means the other slot gets as much as a step before allowed, until the routes send it less.
        let (later, now): (Vec<&Object>, Vec<&Object>) = seconds.iter().partition(means_other);
        self.put_seconds(&now).await?;
        for route in rendered.routes() {
            self.own(route, rendered.weighed(route, percent)).await?;
        }
        for route in rendered.routes() {
            self.is_taken(route).await?;
        }
        self.put_seconds(&later).await
    }

    /// Makes second Services, or lets those that are there mean the slot of their set, once that has ready pods.
    async fn put_seconds(&self, seconds: &[&Object]) -> Result<(), ClusterError> {
        let how = PatchParams::apply(MANAGER).force();
        for second in seconds {
            self.ready_pods(&second.id().name, selector(second)).await?;
            self.write(second, None, &how).await?;
        }
        for second in seconds {
            self.arrives(&second.id().name, selector(second)).await?;
        }
        Ok(())
    }

    /// Lets the routes of a set that weigh slots be as the set has them.
    pub(crate) async fn leave_weights(
        &self,
        rendered: &Rendered,
        live: &BTreeMap<Id, Value>,
        how: &PatchParams,
    ) -> Result<(), ClusterError> {
        let weighs = |route: &&Object| is_route(route.id()) && live.get(route.id()).and_then(share).is_some();
        let routes: Vec<&Object> = rendered.objects().iter().filter(weighs).collect();
        for route in &routes {
            self.write(route, None, how).await?;
        }
        for route in routes {
            self.is_taken(route).await?;
            // What is not repeated is given away: the annotation goes last, and says until then that this is not over.
            let nothing = json!({
                "apiVersion": route.kind().api_version(), "kind": route.kind().kind,
                "metadata": {"name": route.id().name},
            });
            self.own(route, nothing).await?;
        }
        Ok(())
    }

    /// The percentage of requests that all routes of a set send to its slot at least.
    pub(crate) async fn weight(&self, rendered: &Rendered) -> Result<u8, ClusterError> {
        let fronts = self.fronts().await?;
        let means_it = |second: &Object| {
            fronts.iter().any(|one| name(one) == second.id().name && Colour::selected(one) == rendered.slot())
        };
        if !rendered.seconds()?.iter().all(means_it) {
            return Ok(0);
        }
        let mut least = 100;
        for route in rendered.routes() {
            let live = self.current(route).await?;
            least = live.as_ref().and_then(share).unwrap_or_default().min(least);
        }
        Ok(least)
    }

    /// The second Services that mean another slot than this one, to be changed: they are those that are there beside their first ones
    /// and not in the set.
    pub(crate) fn seconds_to(rendered: &Rendered, fronts: &[Value], slot: Colour) -> Vec<Held> {
        let is_second = |one: &&Value| {
            let is_in_set = rendered
                .objects()
                .iter()
                .any(|object| object.id().is("", "Service") && object.id().name == name(one));
            !is_in_set && fronts.iter().any(|first| second_name(&name(first)) == name(one))
        };
        let others =
            fronts.iter().filter(is_second).filter(|one| Colour::selected(one) == Some(slot.other()));
        others.map(|one| Held::to_slot(one, slot)).collect()
    }

    /// Which share of requests routes send to which release, a sentence for each that weighs slots.
    pub(crate) async fn weights(
        &self,
        fronts: &[Value],
        members: &[(Id, Value)],
    ) -> Result<Vec<String>, ClusterError> {
        let pair = |first: &Value| {
            let second = fronts.iter().find(|one| name(one) == second_name(&name(first)))?;
            Some((Colour::selected(first)?, Colour::selected(second)?))
        };
        let Some((old, new)) = fronts.iter().find_map(pair) else { return Ok(Vec::new()) };
        let version = |slot: Colour| {
            let of_slot = members.iter().find(|(_, value)| Colour::of(value) == Some(slot));
            let stamp = of_slot.and_then(|(_, value)| annotations::stamp(&annotations_of(value)));
            stamp.map(|stamp| stamp.called().to_owned()).unwrap_or_default()
        };
        let mut told = Vec::new();
        for (id, value) in self.of_stack(&self.learn(route_kinds().into()).await?).await? {
            let Some(share) = share(&value) else { continue };
            let (old, new) = (version(old), version(new));
            told.push(format!(
                "`{id}` sends {} % to {old} and {share} % to {new} of its requests, by weight",
                100 - share
            ));
        }
        Ok(told)
    }

    /// Sets what a route is on the way from one slot to the other.
    async fn own(&self, route: &Object, what: Value) -> Result<(), ClusterError> {
        let kind = route.kind();
        let resource = self.resource(&kind).await?.ok_or(ClusterError::NotServed(kind))?;
        let (routes, how) = (self.objects_of(&resource), PatchParams::apply(SHIFTING).force());
        let asked = format!("patch {}", resource.0.plural);
        self.ask(&asked, routes.patch(&route.id().name, &how, &Patch::Apply(what))).await.map(drop)
    }

    /// Waits until those who carry the requests of a route say that they do as it is now.
    async fn is_taken(&self, route: &Object) -> Result<(), ClusterError> {
        let begun = Instant::now();
        loop {
            let live = self.current(route).await?;
            match live.as_ref().map_or(Taken::NotYet, taken) {
                Taken::Yes => return Ok(()),
                Taken::No(reason) => {
                    return Err(ClusterError::NotTaken { route: route.id().to_string(), reason });
                }
                Taken::NotYet if SHIFTED <= begun.elapsed() => {
                    let reason = format!("no gateway says so within {} s", SHIFTED.as_secs());
                    return Err(ClusterError::NotTaken { route: route.id().to_string(), reason });
                }
                Taken::NotYet => sleep(LOOK_AGAIN).await,
            }
        }
    }
}
