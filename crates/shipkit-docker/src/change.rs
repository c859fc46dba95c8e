//! How one service changes: created, updated as compare-and-swap, or put back.

use std::collections::BTreeSet;

use serde_json::Value;
use shipkit_core::rollout::Purpose;
use shipkit_core::rollout::shift::Phase;
use shipkit_core::target::{Desired, DesiredService, Replacement};

use crate::error::SwarmError;
use crate::labels;
use crate::rollout::{Applied, Undo, text};
use crate::slots::Standing;
use crate::spec::{self, at, full_name};
use crate::swarm::{Login, Swarm};

/// How often a change is tried again because somebody changed the service between reading and writing it.
const SWAPS: usize = 8;

/// What a change found and wrote.
pub(crate) struct Swapped {
    /// The service as it was; null if it was not there.
    pub(crate) before: Value,
    /// The specification as it should be now.
    pub(crate) after: Value,
    /// The tasks that were there before; `None` if nothing was to be written.
    pub(crate) known: Option<BTreeSet<String>>,
}

impl Swarm {
    pub(crate) async fn create(
        &self,
        desired: &Desired,
        service: &DesiredService,
        login: Option<&Login>,
    ) -> Result<Applied, SwarmError> {
        if is_shifted(service) {
            return self.bring(desired, service, login).await;
        }
        let ids = self.ids(&desired.stack).await?;
        let after = spec::merged(None, desired, service, &ids);
        let name = full_name(&desired.stack, &service.name);
        self.create_as((&service.name, &name), after, Purpose::Deploy, login).await
    }

    /// Creates a service of this specification, which names it.
    pub(crate) async fn create_as(
        &self,
        (service, name): (&str, &str),
        after: Value,
        purpose: Purpose,
        login: Option<&Login>,
    ) -> Result<Applied, SwarmError> {
        let created = self.engine.post("create a service", "/services/create", &after, login).await;
        match created {
            Ok(_) => {}
            // Either the answer was lost, or somebody else was quicker: the label tells.
            Err(error @ (SwarmError::NoAnswer { .. } | SwarmError::Refused { status: 409, .. })) => {
                let there = self.service(name).await?.ok_or(error)?;
                if labels::mark(at(&there, &["Spec"])) != labels::mark(&after) {
                    return Err(SwarmError::Overtaken { service: name.to_owned() });
                }
            }
            Err(error) => return Err(error),
        }
        let swapped = Swapped { before: Value::Null, after, known: Some(BTreeSet::new()) };
        self.applied(service, name, purpose, swapped).await
    }

    pub(crate) async fn update(
        &self,
        desired: &Desired,
        service: &DesiredService,
        login: Option<&Login>,
    ) -> Result<Applied, SwarmError> {
        if is_shifted(service) {
            return self.bring(desired, service, login).await;
        }
        let ids = self.ids(&desired.stack).await?;
        let name = self.active(&desired.stack, &service.name).await?;
        let edit = |spec: &Value| spec::merged(Some(spec), desired, service, &ids);
        let swapped = self.swap(&name, edit, login).await?;
        self.applied(&service.name, &name, Purpose::Deploy, swapped).await
    }

    pub(crate) async fn relabel(
        &self,
        desired: &Desired,
        service: &DesiredService,
    ) -> Result<Applied, SwarmError> {
        let standing = self.standing_there(&desired.stack, &service.name).await?;
        let name = standing.full_name();
        let swapped = self.swap(name, |spec| spec::relabelled(spec, desired, service), None).await?;
        let applied = self.applied(&service.name, name, Purpose::Deploy, swapped).await?;
        Ok(goes_on(applied, &desired.stack, &standing))
    }

    pub(crate) async fn keep(&self, stack: &str, service: &str) -> Result<Applied, SwarmError> {
        let standing = self.standing_there(stack, service).await?;
        let applied = self.as_it_is(service, standing.now.clone(), Purpose::Deploy).await?;
        Ok(goes_on(applied, stack, &standing))
    }

    /// A service that is watched and not changed.
    pub(crate) async fn as_it_is(
        &self,
        service: &str,
        there: Value,
        purpose: Purpose,
    ) -> Result<Applied, SwarmError> {
        let name = text(&there, &["Spec", "Name"]).to_owned();
        let swapped = Swapped { after: at(&there, &["Spec"]).clone(), before: there, known: None };
        self.applied(service, &name, purpose, swapped).await
    }

    pub(crate) async fn put_back(
        &self,
        service: &str,
        name: &str,
        good: &Value,
        login: Option<&Login>,
    ) -> Result<Applied, SwarmError> {
        let swapped = self.swap(name, |_| good.clone(), login).await?;
        self.applied(service, name, Purpose::Restore, swapped).await
    }

    /// The tasks of a service that are there before a change.
    pub(crate) async fn known(&self, id: &str) -> Result<BTreeSet<String>, SwarmError> {
        let tasks = self.tasks(id).await?;
        Ok(tasks.iter().map(|task| text(task, &["ID"]).to_owned()).collect())
    }

    /// Changes a specification as compare-and-swap: if somebody changed the service after it was read, it is read and
    /// edited again, unless that was another deploy.
    pub(crate) async fn swap(
        &self,
        name: &str,
        edit: impl Fn(&Value) -> Value,
        login: Option<&Login>,
    ) -> Result<Swapped, SwarmError> {
        let mut first = None;
        let mut refusal = None;
        for _ in 0..SWAPS {
            let before =
                self.service(name).await?.ok_or_else(|| SwarmError::NoSuchService(name.to_owned()))?;
            let known = Some(self.known(text(&before, &["ID"])).await?);
            let spec = at(&before, &["Spec"]);
            let after = edit(spec);
            let mark = labels::mark(spec);
            let first = first.get_or_insert_with(|| mark.clone());
            if *first != mark {
                return Err(SwarmError::Overtaken { service: name.to_owned() });
            }
            if *spec == after {
                return Ok(Swapped { before, after, known });
            }
            let version = at(&before, &["Version", "Index"]).as_u64().unwrap_or_default();
            let path = format!("/services/{}/update?version={version}", text(&before, &["ID"]));
            match self.engine.post("update a service", &path, &after, login).await {
                Ok(_) => return Ok(Swapped { before, after, known }),
                Err(error @ SwarmError::NoAnswer { .. }) => {
                    // The answer may be lost and the update made: only then do the labels say so.
                    let there = self.service(name).await?.unwrap_or_default();
                    let is_made = at(&there, &["Spec", "Labels"]) == at(&after, &["Labels"]);
                    return if is_made { Ok(Swapped { before, after, known }) } else { Err(error) };
                }
                // The engine says 500 and not 409 for this one.
                Err(SwarmError::Refused { message, status, what })
                    if message.contains("update out of sequence") =>
                {
                    refusal = Some(SwarmError::Refused { what, status, message });
                }
                Err(error) => return Err(error),
            }
        }
        Err(refusal.unwrap_or_else(|| SwarmError::Overtaken { service: name.to_owned() }))
    }

    /// What is needed to watch and undo a change.
    pub(crate) async fn applied(
        &self,
        service: &str,
        name: &str,
        purpose: Purpose,
        swapped: Swapped,
    ) -> Result<Applied, SwarmError> {
        let Swapped { before, after, known } = swapped;
        let there = self.service(name).await?.ok_or_else(|| SwarmError::NoSuchService(name.to_owned()))?;
        let mark = labels::mark(&after);
        // As the engine stores it, if nobody has changed it since: it may write a field in another way than we do.
        let stored = if labels::mark(at(&there, &["Spec"])) == mark { at(&there, &["Spec"]) } else { &after };
        let undo = match purpose {
            Purpose::Deploy => undo(&before, known.is_some()),
            Purpose::Restore => Undo::Nothing,
        };
        Ok(Applied {
            service: service.to_owned(),
            full_name: name.to_owned(),
            id: text(&there, &["ID"]).to_owned(),
            purpose,
            mark,
            wanted: spec::fingerprint(at(stored, &["TaskTemplate"])),
            known: match known {
                Some(known) => known,
                None => self.known(text(&there, &["ID"])).await?,
            },
            earlier: at(&before, &["UpdateStatus", "StartedAt"]).as_str().map(str::to_owned),
            monitor: spec::monitor(&after),
            undo,
            shift: None,
        })
    }
}

fn is_shifted(service: &DesiredService) -> bool {
    matches!(service.settings.update.replacement, Replacement::BlueGreen { .. })
}

/// A change of what an earlier run may have left between two slots.
fn goes_on(applied: Applied, stack: &str, standing: &Standing) -> Applied {
    let undo = if standing.phase == Some(Phase::Deploying) { Undo::Shift } else { applied.undo };
    Applied { shift: standing.shift(stack), undo, ..applied }
}

/// What puts back what was there: the last good specification, and where none is known what was there at all.
fn undo(before: &Value, was_written: bool) -> Undo {
    if before.is_null() {
        return Undo::Remove;
    }
    let spec = at(before, &["Spec"]);
    match labels::last_good(spec) {
        Some(_) if !was_written && labels::is_confirmed(spec) => Undo::Nothing,
        Some(good) => Undo::Restore(Box::new(good)),
        None if was_written => Undo::Restore(Box::new(spec.clone())),
        None => Undo::Nothing,
    }
}
