//! A plan carried out by `docker stack deploy`: all services that change at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shipkit_core::ImageRef;
use shipkit_core::rollout::Purpose;
use shipkit_core::stack::Pin;
use shipkit_core::target::{Change, Desired, DesiredService};
use tokio::time::sleep;

use super::{Stack, StackError};
use crate::change::Swapped;
use crate::error::SwarmError;
use crate::host::HostError;
use crate::job::LOOK_AGAIN;
use crate::labels;
use crate::rollout::{Applied, text};
use crate::spec::{self, at, full_name};
use crate::ssh::SshError;
use crate::swarm::Login;

/// How often the Swarm is told again because it changed a service between Docker's reading and writing it.
const TRIES: usize = 8;
/// How the Swarm says so.
const STALE: &str = "update out of sequence";

/// A service that is about to change.
struct Coming {
    service: String,
    full_name: String,
    /// As it was; null if it was not there.
    before: Value,
    /// The tasks that were there.
    known: BTreeSet<String>,
    pin: Pin,
}

impl Stack {
    /// Carries out a plan: what comes and changes all at once, by `docker stack deploy`; then what only becomes a part of this
    /// release. Gives every service that was changed or found as it should be, also when it failed in the middle: each is to be
    /// watched, and undone with the others.
    pub async fn apply(
        &self,
        desired: &Desired,
        changes: &[Change],
        login: Option<&Login>,
    ) -> (Vec<Applied>, Result<(), StackError>) {
        let mut applied = Vec::new();
        let ended = self.carry_out((desired, changes), login, &mut applied).await;
        (applied, ended)
    }

    async fn carry_out(
        &self,
        (desired, changes): (&Desired, &[Change]),
        login: Option<&Login>,
        applied: &mut Vec<Applied>,
    ) -> Result<(), StackError> {
        let find = |name: &str| {
            let found = desired.services.iter().find(|service| service.name == name);
            found.ok_or_else(|| SwarmError::NotDesired(name.to_owned()))
        };
        let mut coming = Vec::new();
        for change in changes {
            if let Change::Create { service, .. } | Change::Update { service, .. } = change {
                coming.push(self.coming(desired, find(service)?).await?);
            }
        }
        if !coming.is_empty() {
            let pins = coming.iter().map(|one| (one.service.as_str(), one.pin.clone())).collect();
            let ended = self.tell(&pins, login).await;
            self.seen(desired, coming, ended, applied).await?;
        }
        for change in changes {
            match change {
                Change::Relabel { service, .. } => {
                    applied.push(self.swarm.relabel(desired, find(service)?).await?);
                }
                Change::Keep { service, .. } => applied.push(self.swarm.keep(&self.name, service).await?),
                Change::CreateNetwork { .. }
                | Change::Start { .. }
                | Change::Create { .. }
                | Change::Update { .. }
                | Change::LeaveStateful { .. }
                | Change::Object { .. } => {}
            }
        }
        Ok(())
    }

    /// A service as it is now, and as it should be.
    async fn coming(&self, desired: &Desired, service: &DesiredService) -> Result<Coming, StackError> {
        let full_name = full_name(&self.name, &service.name);
        let before = self.swarm.service(&full_name).await?.unwrap_or_default();
        let known = match text(&before, &["ID"]) {
            "" => BTreeSet::new(),
            id => self.swarm.known(id).await?,
        };
        let spec = before.get("Spec");
        let pin = Pin {
            image: image(spec, &service.image),
            labels: labels::for_files(spec, &desired.stamp, service),
        };
        // Where this label names the image that the file has, Docker keeps the one that is there, whoever put it there since.
        if spec.is_some_and(|spec| {
            labels::is_of_image(spec, &pin.image) && spec::image_text(spec) != Some(&pin.image)
        }) {
            self.swarm.swap(&full_name, labels::without_image, None).await?;
        }
        Ok(Coming { service: service.name.clone(), full_name, before, known, pin })
    }

    async fn tell(&self, pins: &BTreeMap<&str, Pin>, login: Option<&Login>) -> Result<(), StackError> {
        let file = self.file.only(pins);
        let mut ended = Ok(());
        for _ in 0..TRIES {
            ended = self.deploy(&file, login).await;
            // Who is told the same once more changes nothing where it is done already.
            match &ended {
                Err(StackError::Refused(why)) if why.contains(STALE) => {}
                // Should the one that nobody hears any more still be at work, it changes only what is as it has found it.
                Err(StackError::Host(HostError::Ssh(SshError::Unreachable { .. }))) => {
                    sleep(LOOK_AGAIN).await;
                }
                Ok(()) | Err(_) => break,
            }
        }
        ended
    }

    /// What became of what Docker was told: the labels say so, whatever it said itself.
    async fn seen(
        &self,
        desired: &Desired,
        coming: Vec<Coming>,
        ended: Result<(), StackError>,
        applied: &mut Vec<Applied>,
    ) -> Result<(), StackError> {
        let mark = Some((desired.stamp.release.to_string(), desired.stamp.time.to_string()));
        let mut others = None;
        for one in coming {
            let there = self.swarm.service(&one.full_name).await?.unwrap_or_default();
            let after = at(&there, &["Spec"]).clone();
            if labels::mark(&after) == mark && spec::image_text(&after) == Some(&one.pin.image) {
                let swapped = Swapped { before: one.before, after, known: Some(one.known) };
                let name = (one.service.as_str(), one.full_name.as_str());
                applied.push(self.swarm.applied(name.0, name.1, Purpose::Deploy, swapped).await?);
            } else {
                others = Some(SwarmError::Overtaken { service: one.full_name });
            }
        }
        match (ended, others) {
            // The answer may be lost and everything done.
            (_, None) => Ok(()),
            (Err(error), Some(_)) => Err(error),
            (Ok(()), Some(overtaken)) => Err(overtaken.into()),
        }
    }
}

/// The text of an image. One that is there already keeps its own, for another text for the same image would restart its tasks.
fn image(before: Option<&Value>, wanted: &ImageRef) -> String {
    let there = before.and_then(spec::image_text);
    let same = there.filter(|text| text.parse::<ImageRef>().as_ref() == Ok(wanted));
    same.map_or_else(|| wanted.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shipkit_core::Digest;

    #[test]
    fn an_image_that_is_there_keeps_its_text() {
        let wanted: ImageRef = format!("a.example/b@{}", Digest::of(b"1")).parse().unwrap();
        let of =
            |text: String| image(Some(&json!({"TaskTemplate": {"ContainerSpec": {"Image": text}}})), &wanted);
        let tagged = format!("a.example/b:1@{}", Digest::of(b"1"));
        assert_eq!(of(tagged.clone()), tagged);
        assert_eq!(of(format!("a.example/b:1@{}", Digest::of(b"2"))), wanted.to_string());
        assert_eq!(
            (of("a.example/b:1".to_owned()), image(None, &wanted)),
            (wanted.to_string(), wanted.to_string())
        );
    }
}
