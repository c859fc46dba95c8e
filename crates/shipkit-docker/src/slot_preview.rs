//! `SlotPreview`: a slot that has come and that visitors are not sent to yet, and how it is asked: its network is reached from
//! nowhere else, so Traefik passes those requests on to it that say a word which nobody else knows.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use shipkit_core::rollout::shift::judged;
use shipkit_core::rollout::{Next, Purpose, why_not_still};
use shipkit_core::{Outcome, Secret};
use tokio::time::{Instant, sleep};

use crate::error::SwarmError;
use crate::job::LOOK_AGAIN;
use crate::rollout::Applied;
use crate::slot_labels::{self, Router, is_open};
use crate::slots::Shift;
use crate::spec::at;
use crate::swarm::Swarm;

/// How long it is waited at least until Traefik passes requests on to a slot: the machine may be busy, and waiting ends with the
/// first answer.
const REACHED: Duration = Duration::from_secs(15);

/// A new slot before any visitor is sent to it.
#[derive(Debug, Clone)]
pub struct SlotPreview {
    /// The service within its stack.
    pub service: String,
    /// What requests say in [`HEADER`](Self::HEADER), so that Traefik passes them on to it, wherever it is asked.
    pub ask: Secret,
    /// What its answers say in the same header.
    pub answer: String,
    /// How many tasks it has: Traefik passes requests on to one after the other.
    pub tasks: u32,
    /// How long Traefik may take until it does that.
    pub within: Duration,
    /// The full name of the service that all other requests go to meanwhile; `None` where there is none.
    pub serving: Option<String>,
}

impl SlotPreview {
    /// The header by which its requests and answers are known.
    pub const HEADER: &str = "X-Shipkit-Preview";
}

impl Swarm {
    /// Asks about a slot whose tasks run, for as long as they do, before any traffic goes to it. `None` if some may go there now;
    /// else nobody can ask it any more.
    pub(crate) async fn preview(
        &self,
        applied: &Applied,
        shift: &Shift,
        left: Duration,
        verify: impl AsyncFn(SlotPreview, Duration) -> Outcome,
    ) -> Result<Option<Next>, SwarmError> {
        let name = applied.full_name.as_str();
        let there = patiently(left, async || self.service(name).await).await?;
        if applied.purpose != Purpose::Deploy || there.is_none_or(|there| is_open(at(&there, &["Spec"]))) {
            return Ok(None);
        }
        let slot = SlotPreview {
            service: applied.service.clone(),
            ask: word()?.into(),
            answer: word()?,
            tasks: patiently(left, async || self.running(applied).await).await?,
            within: patiently(left, async || self.poll(&shift.stack, &shift.edge).await)
                .await?
                .max(REACHED)
                .min(left),
            serving: patiently(left, async || self.serving(shift).await).await?,
        };
        let router = Router {
            name: format!("shipkit-preview-{}-{}", shift.stack, applied.service),
            port: self.edge.as_ref().and_then(|edge| edge.ports.get(&applied.service)).copied(),
            header: SlotPreview::HEADER,
            ask: slot.ask.reveal(),
            answer: &slot.answer,
        };
        let show = async || self.label(name, |spec| slot_labels::show(spec, &router)).await;
        patiently(left, show).await?;
        let next = tokio::select! {
            said = verify(slot.clone(), left) => judged(&applied.service, &said),
            why = self.until_it_fails(applied) => Some(why?),
        };
        if next.is_some() {
            patiently(left, async || self.label(name, slot_labels::hide).await).await?;
        }
        Ok(next)
    }

    async fn serving(&self, shift: &Shift) -> Result<Option<String>, SwarmError> {
        let Some(from) = &shift.from else { return Ok(None) };
        let there = self.service(from).await?;
        Ok(there.filter(|there| is_open(at(there, &["Spec"]))).map(|_| from.clone()))
    }

    async fn running(&self, applied: &Applied) -> Result<u32, SwarmError> {
        Ok(self.observation(applied).await?.ready.try_into().unwrap_or(u32::MAX))
    }

    async fn until_it_fails(&self, applied: &Applied) -> Result<Next, SwarmError> {
        loop {
            sleep(LOOK_AGAIN).await;
            match self.observation(applied).await {
                Ok(seen) => {
                    if let Some(cause) = why_not_still(&applied.service, &seen) {
                        return Ok(Next::RollBack { cause });
                    }
                }
                Err(error) if error.may_pass() => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Does it again for as long while the engine may be restarting.
async fn patiently<T>(
    patience: Duration,
    act: impl AsyncFn() -> Result<T, SwarmError>,
) -> Result<T, SwarmError> {
    let start = Instant::now();
    loop {
        match act().await {
            Err(error) if error.may_pass() && start.elapsed() < patience => sleep(LOOK_AGAIN).await,
            done => return done,
        }
    }
}

/// A word that nobody can guess: 128 random bits.
fn word() -> Result<String, SwarmError> {
    let mut bits = [0; 16];
    SystemRandom::new().fill(&mut bits).map_err(|_unspecified| SwarmError::NoRandomness)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_words_are_the_same() {
        let (one, two) = (word().unwrap(), word().unwrap());
        assert_eq!((one.len(), two.len()), (32, 32));
        assert_ne!(one, two);
    }
}
