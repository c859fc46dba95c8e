//! Blue-green on a Swarm: a service of shipkit.yml is one service of the Swarm and, while it is replaced, two. The second one
//! is brought up whole beside the first, then labels send Traefik from one to the other, which restarts nothing.
//!
//! Nothing but the two services says how far that is. What was left over is removed once it gets no traffic any more: the
//! label that remembers the release before holds all that it takes to bring it back.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use shipkit_core::rollout::shift::{self, Phase, Shown, Step};
use shipkit_core::rollout::{Next, Purpose, why_not_still};
use shipkit_core::target::{Desired, DesiredService};
use tokio::time::{Instant, sleep};

use crate::error::SwarmError;
use crate::job::LOOK_AGAIN;
use crate::labels;
use crate::rollout::{Applied, Undo, text};
use crate::slot_labels::{self, SlotLabels, close, copy_traefik, is_open, is_shifted, put_port, put_slot};
use crate::spec::{self, at, full_name, put};
use crate::swarm::{Login, Swarm};

/// How long a task may take to stop where nothing is said: the engine's own default.
const GRACE: Duration = Duration::from_secs(10);

/// What there is of one service of shipkit.yml.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Its name within the stack.
    pub(crate) service: String,
    /// The service of the Swarm that speaks for it.
    pub(crate) now: Value,
    /// The other slot.
    pub(crate) other: Option<Value>,
    /// What the slot that came last is to the one before; `None` where there is one only.
    pub(crate) phase: Option<Phase>,
}

/// A shift that comes once the tasks of a service run.
#[derive(Debug, Clone)]
pub(crate) struct Shift {
    pub(crate) stack: String,
    /// The service of Traefik.
    pub(crate) edge: String,
    /// The full name of the service that gets no traffic then.
    pub(crate) from: Option<String>,
}

/// What serves, and what is beside it without traffic.
struct Calm {
    active: Value,
    idle: Option<Value>,
}

/// The name within the stack of what a service of the Swarm stands for.
pub(crate) fn name_of(spec: &Value, stack: &str) -> String {
    let full = text(spec, &["Name"]);
    let own = || full.strip_prefix(&full_name(stack, "")).unwrap_or(full).to_owned();
    slot_labels::slot(spec).of.unwrap_or_else(own)
}

/// The full name of the second slot of a service.
pub(crate) fn second_name(stack: &str, service: &str) -> String {
    format!("{}{}", full_name(stack, service), Swarm::SECOND)
}

/// A specification as it is written over `there`, which keeps its name and what Traefik knows of it.
pub(crate) fn in_place(good: &Value, there: &Value) -> Value {
    let mut spec = good.clone();
    let (good, there_slot) = (slot_labels::slot(good), slot_labels::slot(there));
    put(&mut spec, &["Name"], at(there, &["Name"]).clone());
    put_slot(&mut spec, &SlotLabels { of: there_slot.of, behind: good.behind, beside: None });
    if there_slot.behind.is_some() {
        copy_traefik(&mut spec, there);
    }
    spec
}

impl Standing {
    /// Of the services that have this name; `None` if there are none.
    fn new(service: String, mut there: Vec<Value>) -> Option<Self> {
        let slot = |one: &Value| slot_labels::slot(at(one, &["Spec"]));
        let is_beside =
            |one: &Value, other: &Value| slot(one).beside.as_deref() == Some(text(other, &["ID"]));
        let last = there.pop()?;
        let Some(other) = there.pop() else {
            return Some(Self { service, now: last, other: None, phase: None });
        };
        let (arriving, leaving) = if is_beside(&last, &other) { (last, other) } else { (other, last) };
        if !is_beside(&arriving, &leaving) {
            // Nobody has brought one beside the other: the second slot is not ours.
            return Some(Self { service, now: arriving, other: None, phase: None });
        }
        let phase = shift::phase(shown(&arriving), shown(&leaving));
        let (now, other) = match phase {
            Phase::Deploying | Phase::Arrived => (arriving, leaving),
            Phase::Returning => (leaving, arriving),
        };
        Some(Self { service, now, other: Some(other), phase: Some(phase) })
    }

    /// The specification that counts.
    pub(crate) fn spec(&self) -> &Value {
        at(&self.now, &["Spec"])
    }

    /// The full name of the service that counts.
    pub(crate) fn full_name(&self) -> &str {
        text(&self.now, &["Spec", "Name"])
    }

    /// The service of Traefik that its traffic comes from, if it is replaced by a shift.
    fn edge(&self) -> Option<String> {
        let behind = |service: &Value| slot_labels::slot(at(service, &["Spec"])).behind;
        behind(&self.now).or_else(|| behind(self.other.as_ref()?))
    }

    /// The shift to what counts.
    pub(crate) fn shift(&self, stack: &str) -> Option<Shift> {
        let from = self.other.as_ref().map(|other| text(other, &["Spec", "Name"]).to_owned());
        self.edge().map(|edge| Shift { stack: stack.to_owned(), edge, from })
    }
}

fn shown(service: &Value) -> Shown {
    let spec = at(service, &["Spec"]);
    Shown { is_confirmed: labels::is_confirmed(spec), has_traffic: is_open(spec) }
}

impl Swarm {
    /// What the name of the second slot of a service ends with.
    pub const SECOND: &str = "-green";

    /// What there is of each service of a stack, in the order of their names.
    pub(crate) async fn standings(&self, stack: &str) -> Result<Vec<Standing>, SwarmError> {
        let mut named: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for service in self.services(stack).await? {
            named.entry(name_of(at(&service, &["Spec"]), stack)).or_default().push(service);
        }
        Ok(named.into_iter().filter_map(|(name, there)| Standing::new(name, there)).collect())
    }

    /// What there is of one service of a stack.
    pub(crate) async fn standing(&self, stack: &str, service: &str) -> Result<Option<Standing>, SwarmError> {
        let first = self.service(&full_name(stack, service)).await?;
        let second = self.service(&second_name(stack, service)).await?;
        let is_ours = |one: &Value| slot_labels::slot(at(one, &["Spec"])).of.as_deref() == Some(service);
        let there = first.into_iter().chain(second.filter(is_ours)).collect();
        Ok(Standing::new(service.to_owned(), there))
    }

    /// The same of a service that must be there.
    pub(crate) async fn standing_there(&self, stack: &str, service: &str) -> Result<Standing, SwarmError> {
        let there = self.standing(stack, service).await?;
        there.ok_or_else(|| SwarmError::NoSuchService(full_name(stack, service)))
    }

    /// Brings a service as it should be up beside what serves, without traffic; [`rollout`](Self::rollout) shifts.
    pub(crate) async fn bring(
        &self,
        desired: &Desired,
        service: &DesiredService,
        login: Option<&Login>,
    ) -> Result<Applied, SwarmError> {
        let (stack, name) = (desired.stack.as_str(), service.name.as_str());
        let edge = self.edge.as_ref().ok_or_else(|| SwarmError::Unreached(name.to_owned()))?;
        let port = edge.ports.get(name).ok_or_else(|| SwarmError::Unreached(name.to_owned()))?;
        let calm = self.calm(stack, name).await?;
        let before = calm.as_ref().map(|calm| at(&calm.active, &["Spec"]));
        let mut after = spec::merged(before, desired, service, &self.ids(stack).await?);
        put_port(&mut after, &format!("{stack}-{name}"), *port);
        let shift = Shift { stack: stack.to_owned(), edge: edge.service.clone(), from: None };
        let behind = Some(edge.service.clone());
        self.beside((name, shift), calm, (after, behind, Purpose::Deploy), login).await
    }

    /// Puts a service back to this specification, by a shift where it is one that is replaced so.
    pub(crate) async fn return_to(
        &self,
        (stack, service): (&str, &str),
        good: &Value,
        login: Option<&Login>,
    ) -> Result<Applied, SwarmError> {
        let good = spec::for_return(good);
        let Some(standing) = self.standing(stack, service).await? else {
            return self
                .create_as((service, text(&good, &["Name"])), good.clone(), Purpose::Restore, login)
                .await;
        };
        let is_good = |one: &&Value| labels::mark(at(one, &["Spec"])) == labels::mark(&good);
        let shift = standing.shift(stack);
        match (standing.phase, standing.other.as_ref().filter(is_good), shift) {
            // What it was brought beside is where it goes back to.
            (Some(Phase::Deploying), Some(leaving), Some(shift)) => {
                let (from, to) = (standing.full_name(), text(leaving, &["Spec", "Name"]));
                self.turn((service, to), from, shift, labels::forget_previous).await
            }
            (Some(Phase::Returning), Some(arriving), Some(shift)) => {
                let from = Some(standing.full_name().to_owned());
                let applied = self.as_it_is(service, arriving.clone(), Purpose::Restore).await?;
                Ok(Applied { shift: Some(Shift { from, ..shift }), ..applied })
            }
            (_, _, shift) => {
                let calm = self.calm(stack, service).await?;
                let calm = calm.ok_or_else(|| SwarmError::NoSuchService(full_name(stack, service)))?;
                let there = at(&calm.active, &["Spec"]);
                let template = |spec: &Value| spec::fingerprint(at(spec, &["TaskTemplate"]));
                if let Some(shift) = shift.filter(|_| template(there) != template(&good)) {
                    let mut after = good.clone();
                    copy_traefik(&mut after, there);
                    let behind = slot_labels::slot(&good).behind;
                    return self
                        .beside((service, shift), Some(calm), (after, behind, Purpose::Restore), login)
                        .await;
                }
                self.alone(&calm).await?;
                self.put_back(service, text(there, &["Name"]), &in_place(&good, there), login).await
            }
        }
    }

    /// Creates the specification beside what serves, or over what is there without traffic.
    async fn beside(
        &self,
        (service, shift): (&str, Shift),
        calm: Option<Calm>,
        (mut after, behind, purpose): (Value, Option<String>, Purpose),
        login: Option<&Login>,
    ) -> Result<Applied, SwarmError> {
        let (first, second) = (full_name(&shift.stack, service), second_name(&shift.stack, service));
        let from = calm.as_ref().map(|calm| text(&calm.active, &["Spec", "Name"]).to_owned());
        let (name, of) =
            if from.as_ref() == Some(&first) { (second, Some(service.to_owned())) } else { (first, None) };
        let beside = calm.as_ref().map(|calm| text(&calm.active, &["ID"]).to_owned());
        put(&mut after, &["Name"], json!(name));
        put_slot(&mut after, &SlotLabels { of, behind, beside });
        close(&mut after);
        let mut applied = match calm.and_then(|calm| calm.idle) {
            Some(_) => {
                let swapped = self.swap(&name, |_| after.clone(), login).await?;
                self.applied(service, &name, purpose, swapped).await?
            }
            None => self.create_as((service, &name), after, purpose, login).await?,
        };
        if from.is_some() && purpose == Purpose::Deploy {
            applied.undo = Undo::Shift;
        }
        Ok(Applied { shift: Some(Shift { from, ..shift }), ..applied })
    }

    /// Makes what serves serve alone, and takes all traffic away from what an unfinished run has brought beside it.
    async fn calm(&self, stack: &str, service: &str) -> Result<Option<Calm>, SwarmError> {
        let Some(standing) = self.standing(stack, service).await? else { return Ok(None) };
        let shift = standing.shift(stack);
        let Standing { now, other, phase, .. } = standing;
        Ok(Some(match (phase, other, shift) {
            (Some(Phase::Arrived), Some(leaving), Some(shift)) => {
                self.remove(&shift, text(&leaving, &["Spec", "Name"])).await?;
                Calm { active: now, idle: None }
            }
            (Some(phase), Some(other), Some(shift)) => {
                let (active, idle) = if phase == Phase::Deploying { (other, now) } else { (now, other) };
                let (to, from) = (text(&active, &["Spec", "Name"]), text(&idle, &["Spec", "Name"]));
                let shift = Shift { from: Some(from.to_owned()), ..shift };
                if had_traffic(&idle) {
                    while let Step::Open | Step::Close | Step::Wait(_) = self.step(&shift, to, true).await? {}
                }
                let active =
                    self.service(to).await?.ok_or_else(|| SwarmError::NoSuchService(to.to_owned()))?;
                Calm { active, idle: Some(idle) }
            }
            (_, _, _) => Calm { active: self.hidden(now).await?, idle: None },
        }))
    }

    /// A service that came first and alone, which nobody asks before its visitors do any more.
    async fn hidden(&self, service: Value) -> Result<Value, SwarmError> {
        if !slot_labels::is_shown(at(&service, &["Spec"])) {
            return Ok(service);
        }
        let name = text(&service, &["Spec", "Name"]);
        self.label(name, slot_labels::hide).await?;
        self.service(name).await?.ok_or_else(|| SwarmError::NoSuchService(name.to_owned()))
    }

    /// The full name of what serves, with nothing beside it.
    pub(crate) async fn active(&self, stack: &str, service: &str) -> Result<String, SwarmError> {
        let calm = self.calm(stack, service).await?;
        let calm = calm.ok_or_else(|| SwarmError::NoSuchService(full_name(stack, service)))?;
        self.alone(&calm).await?;
        Ok(text(&calm.active, &["Spec", "Name"]).to_owned())
    }

    async fn alone(&self, calm: &Calm) -> Result<(), SwarmError> {
        match &calm.idle {
            Some(idle) => self.delete(idle).await,
            None => Ok(()),
        }
    }

    /// Sends the traffic, if there was any, back from `from` to `to`, whose specification is edited on the way.
    async fn turn(
        &self,
        (service, to): (&str, &str),
        from: &str,
        shift: Shift,
        edit: impl Fn(&mut Value),
    ) -> Result<Applied, SwarmError> {
        let left = self.service(from).await?.unwrap_or_default();
        let had_traffic = had_traffic(&left);
        self.label(to, |spec| {
            edit(spec);
            if had_traffic {
                slot_labels::shift(spec, true);
            }
        })
        .await?;
        if had_traffic {
            self.label(from, |spec| slot_labels::shift(spec, false)).await?;
        }
        let there = self.service(to).await?.ok_or_else(|| SwarmError::NoSuchService(to.to_owned()))?;
        let applied = self.as_it_is(service, there, Purpose::Restore).await?;
        Ok(Applied { shift: Some(Shift { from: Some(from.to_owned()), ..shift }), ..applied })
    }

    /// Takes back what was brought beside another slot; `None` if nothing is to be waited for.
    pub(crate) async fn shift_back(
        &self,
        applied: &Applied,
        arriving: &Value,
    ) -> Result<Option<Applied>, SwarmError> {
        let Some(shift) = &applied.shift else { return Ok(None) };
        match &shift.from {
            Some(to) if had_traffic(arriving) => {
                let turned = self.turn((&applied.service, to), &applied.full_name, shift.clone(), |_| {});
                turned.await.map(Some)
            }
            Some(_) | None => self.delete(arriving).await.map(|()| None),
        }
    }

    /// Sends the traffic to a service whose tasks run, and waits until Traefik has seen that. What comes back stays alone.
    pub(crate) async fn shift(
        &self,
        applied: &Applied,
        shift: &Shift,
        patience: Duration,
    ) -> Result<Next, SwarmError> {
        let start = Instant::now();
        loop {
            let looked = match self.step(shift, &applied.full_name, false).await {
                Ok(Step::Done) => break,
                Ok(Step::Open | Step::Close | Step::Wait(_)) => self.observation(applied).await,
                Err(error) => Err(error),
            };
            match looked {
                Ok(seen) if applied.purpose == Purpose::Deploy => {
                    if let Some(cause) = why_not_still(&applied.service, &seen) {
                        return Ok(Next::RollBack { cause });
                    }
                }
                Ok(_) => {}
                Err(error) if error.may_pass() && start.elapsed() < patience => sleep(LOOK_AGAIN).await,
                Err(error) => return Err(error),
            }
        }
        if let (Purpose::Restore, Some(from)) = (applied.purpose, &shift.from) {
            self.remove(shift, from).await?;
        }
        Ok(Next::Done)
    }

    /// One step of the traffic to a service, carried out; `is_drained` if what leaves is to end what it has begun, too.
    async fn step(&self, shift: &Shift, to: &str, is_drained: bool) -> Result<Step, SwarmError> {
        let there = self.service(to).await?.ok_or_else(|| SwarmError::NoSuchService(to.to_owned()))?;
        let from = match &shift.from {
            Some(from) => self.service(from).await?,
            None => None,
        };
        let shifted = std::iter::once(&there).chain(&from).filter(|one| is_shifted(at(one, &["Spec"])));
        let now = self.now().await?;
        let settled = shifted.map(|one| age(one, now)).min().unwrap_or(Duration::MAX);
        let hold = self.hold(shift, from.as_ref().filter(|_| is_drained)).await?;
        let open = |service: &Value| is_open(at(service, &["Spec"]));
        let step = shift::next(open(&there), from.as_ref().map(open), settled, hold);
        match (step, &shift.from) {
            (Step::Open, _) => self.label(to, |spec| slot_labels::shift(spec, true)).await?,
            (Step::Close, Some(from)) => self.label(from, |spec| slot_labels::shift(spec, false)).await?,
            (Step::Wait(pause), _) => sleep(pause).await,
            (Step::Close, None) | (Step::Done, _) => {}
        }
        Ok(step)
    }

    /// How long it takes until Traefik has seen a label and, where `drained` is given, that has ended what it had begun.
    async fn hold(&self, shift: &Shift, drained: Option<&Value>) -> Result<Duration, SwarmError> {
        let poll = self.poll(&shift.stack, &shift.edge).await?;
        let grace = |service: &Value| {
            let said = at(service, &["Spec", "TaskTemplate", "ContainerSpec", "StopGracePeriod"]).as_u64();
            said.map_or(GRACE, Duration::from_nanos)
        };
        Ok(poll.saturating_add(drained.map(grace).unwrap_or_default()))
    }

    /// Changes the labels of a service.
    pub(crate) async fn label(&self, name: &str, edit: impl Fn(&mut Value)) -> Result<(), SwarmError> {
        let edit = |spec: &Value| {
            let mut spec = spec.clone();
            edit(&mut spec);
            spec
        };
        self.swap(name, edit, None).await.map(drop)
    }

    /// Removes what gets no traffic any more, once it has ended what it had begun.
    async fn remove(&self, shift: &Shift, name: &str) -> Result<(), SwarmError> {
        loop {
            let Some(there) = self.service(name).await? else { return Ok(()) };
            let hold = self.hold(shift, Some(&there)).await?;
            let age = age(&there, self.now().await?);
            if !is_shifted(at(&there, &["Spec"])) || hold <= age {
                return self.delete(&there).await;
            }
            sleep(hold.saturating_sub(age)).await;
        }
    }

    async fn delete(&self, service: &Value) -> Result<(), SwarmError> {
        let path = format!("/services/{}", text(service, &["ID"]));
        match self.engine.delete("remove a service", &path).await {
            // Somebody else did.
            Err(SwarmError::Refused { status: 404, .. }) => Ok(()),
            ended => ended,
        }
    }

    /// Removes the slots that deploys of this stack left over which are confirmed, and ways back that have arrived. To be
    /// called by the holder of the lease.
    ///
    /// # Errors
    /// When the Swarm refuses or cannot be asked.
    pub async fn tidy(&self, stack: &str) -> Result<(), SwarmError> {
        for standing in self.standings(stack).await? {
            let shift = standing.shift(stack).filter(|_| standing.phase == Some(Phase::Arrived));
            if let (Some(shift), Some(left)) = (&shift, &standing.other) {
                self.remove(shift, text(left, &["Spec", "Name"])).await?;
            }
        }
        Ok(())
    }

    /// Removes what was replaced by this deploy, which is confirmed.
    pub(crate) async fn sweep(&self, desired: &Desired) -> Result<(), SwarmError> {
        let release = desired.stamp.release.as_str();
        for standing in self.standings(&desired.stack).await? {
            let spec = standing.spec();
            let is_ours =
                labels::mark(spec).is_some_and(|(of, _)| of == release) && labels::is_confirmed(spec);
            let other = standing.other.as_ref().filter(|other| is_ours && !is_open(at(other, &["Spec"])));
            if let (Some(other), Some(shift)) = (other, standing.shift(&desired.stack)) {
                self.remove(&shift, text(other, &["Spec", "Name"])).await?;
            }
        }
        Ok(())
    }
}

/// Whether Traefik may have sent traffic to a slot that was brought beside another one.
fn had_traffic(service: &Value) -> bool {
    let spec = at(service, &["Spec"]);
    is_open(spec) || is_shifted(spec)
}

/// How long ago a service was last changed.
fn age(service: &Value, now: Timestamp) -> Duration {
    let changed = text(service, &["UpdatedAt"]).parse::<Timestamp>();
    changed
        .map_or(Duration::ZERO, |changed| Duration::try_from(now.duration_since(changed)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service of the stack `shop`: its identifier and name, what it was brought beside, and what is true of it.
    fn service(name: &str, beside: &str, (is_confirmed, is_open): (bool, bool)) -> Value {
        let mut labels = json!({"dev.shipkit.release": "r", "dev.shipkit.deployed": "t", "traefik.enable": is_open.to_string()});
        if is_confirmed {
            labels["dev.shipkit.confirmed"] = json!("t");
        }
        let mut spec = json!({"Name": format!("shop_{name}"), "Labels": labels});
        let of = name.strip_suffix(Swarm::SECOND).map(str::to_owned);
        put_slot(
            &mut spec,
            &SlotLabels { of, behind: Some("edge".to_owned()), beside: Some(beside.to_owned()) },
        );
        json!({"ID": name, "Spec": spec})
    }

    #[track_caller]
    fn check(there: &[Value], now: &str, from: Option<&str>, phase: Option<Phase>) {
        for turned in [false, true] {
            let mut there = there.to_vec();
            if turned {
                there.reverse();
            }
            let standing = Standing::new("api".to_owned(), there).unwrap();
            let shift = standing.shift("shop").unwrap();
            assert_eq!((standing.full_name(), shift.from.as_deref(), standing.phase), (now, from, phase));
        }
    }

    #[test]
    fn what_counts_of_two_slots_is_what_a_run_was_about() {
        let (first, second) = ("shop_api", "shop_api-green");
        check(&[service("api", "", (true, true))], first, None, None);
        // It was brought beside one that is not there any more.
        check(&[service("api-green", "api", (true, true))], second, None, None);
        let serves = service("api", "gone", (true, true));
        let left = service("api", "gone", (true, false));
        let deploying = Some(Phase::Deploying);
        check(&[serves.clone(), service("api-green", "api", (false, false))], second, Some(first), deploying);
        check(&[left.clone(), service("api-green", "api", (false, true))], second, Some(first), deploying);
        let returning = Some(Phase::Returning);
        check(&[serves.clone(), service("api-green", "api", (true, false))], first, Some(second), returning);
        check(&[left, service("api-green", "api", (true, true))], second, Some(first), Some(Phase::Arrived));
        // The same the other way round.
        let serves = service("api-green", "gone", (true, true));
        check(&[service("api", "api-green", (false, false)), serves], first, Some(second), deploying);
    }

    #[test]
    fn both_slots_have_the_name_that_shipkit_yml_says() {
        let spec = |name| service(name, "", (true, true))["Spec"].clone();
        assert_eq!(
            (name_of(&spec("api"), "shop"), name_of(&spec("api-green"), "shop")),
            ("api".into(), "api".into())
        );
        // Somebody has called a service so.
        assert_eq!(name_of(&json!({"Name": "shop_api-green"}), "shop"), "api-green");
    }

    #[test]
    fn what_comes_back_in_place_keeps_the_name_and_the_routers_of_what_it_replaces() {
        let there = service("api-green", "api", (true, true));
        let mut good = service("api", "old", (true, false))["Spec"].clone();
        good["Labels"]["traefik.http.routers.old.rule"] = json!("gone");
        let back = in_place(&good, &there["Spec"]);
        assert_eq!(name_of(&back, "shop"), "api");
        assert_eq!(back["Name"], "shop_api-green");
        assert!(is_open(&back) && back["Labels"].get("traefik.http.routers.old.rule").is_none());
        assert_eq!(slot_labels::slot(&back).beside, None);
    }

    #[test]
    fn the_age_of_a_service_is_that_of_its_last_change() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let age = |changed: &str| age(&json!({"UpdatedAt": changed}), now);
        assert_eq!(age("2026-01-02T03:04:01.5Z"), Duration::from_millis(3500));
        assert_eq!(age("2026-01-02T03:04:06Z"), Duration::ZERO);
        assert_eq!(age("then"), Duration::ZERO);
    }
}
