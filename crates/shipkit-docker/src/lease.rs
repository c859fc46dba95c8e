//! The lease on a stack, and the journal of its last run: labels of one config object of the Swarm, because its labels are
//! changed as compare-and-swap and nothing restarts for them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use shipkit_core::journal::Journal;
use shipkit_core::lease::{Claim, Claimant, Lease, claim};

use crate::error::SwarmError;
use crate::labels;
use crate::rollout::text;
use crate::spec::{at, full_name};
use crate::swarm::Swarm;

/// How often a change is tried again because somebody was quicker.
const SWAPS: usize = 8;
/// The name of the object within its stack.
const OBJECT: &str = "shipkit";
const LEASE: &str = "dev.shipkit.lease";
const JOURNAL: &str = "dev.shipkit.journal";

impl Swarm {
    /// Takes or renews the lease on a stack, if it can be had. [`Claim::Take`] and [`Claim::Renew`] are written when this
    /// returns.
    ///
    /// # Errors
    /// When the Swarm cannot be asked, or what lies there is not a lease.
    pub async fn claim(&self, stack: &str, me: &Claimant, duration: Duration) -> Result<Claim, SwarmError> {
        let mut tried: Option<Claim> = None;
        for _ in 0..SWAPS {
            let object = self.object(stack).await?;
            let there =
                object.as_ref().and_then(|object| label(object, LEASE)).map(Lease::parse).transpose()?;
            // It was written, and the answer was lost: nobody else writes the same nanosecond.
            if there.is_some()
                && let Some(claim) = tried.take_if(|claim| claim.lease() == there.as_ref())
            {
                return Ok(claim);
            }
            let claim = claim(there.as_ref(), me, self.now().await?, duration);
            let Some(lease) = claim.lease() else { return Ok(claim) };
            if self.put_label(stack, object.as_ref(), LEASE, &json!(lease).to_string()).await? {
                return Ok(claim);
            }
            tried = Some(claim);
        }
        Err(SwarmError::Overtaken { service: full_name(stack, OBJECT) })
    }

    /// Gives the lease up, if it is still the one of this token.
    ///
    /// # Errors
    /// When the Swarm cannot be asked.
    pub async fn give_up(&self, stack: &str, token: u64) -> Result<(), SwarmError> {
        for _ in 0..SWAPS {
            let Some(object) = self.object(stack).await? else { return Ok(()) };
            let there = label(&object, LEASE).and_then(|lease| Lease::parse(lease).ok());
            let Some(mine) = there.filter(|lease| lease.token == token) else { return Ok(()) };
            let released = json!(mine.released(self.now().await?)).to_string();
            if self.put_label(stack, Some(&object), LEASE, &released).await? {
                return Ok(());
            }
        }
        Err(SwarmError::Overtaken { service: full_name(stack, OBJECT) })
    }

    /// The journal of the last run on a stack.
    ///
    /// # Errors
    /// When the Swarm cannot be asked, or what lies there is not a journal.
    pub async fn journal(&self, stack: &str) -> Result<Option<Journal>, SwarmError> {
        let object = self.object(stack).await?;
        Ok(object.as_ref().and_then(|object| label(object, JOURNAL)).map(Journal::parse).transpose()?)
    }

    /// Writes the journal of the run that holds the lease with this token.
    ///
    /// # Errors
    /// When the Swarm cannot be asked, or the lease is not this run's any more.
    pub async fn write_journal(&self, stack: &str, token: u64, journal: &Journal) -> Result<(), SwarmError> {
        for _ in 0..SWAPS {
            let object = self.object(stack).await?;
            let there =
                object.as_ref().and_then(|object| label(object, LEASE)).map(Lease::parse).transpose()?;
            if there.is_none_or(|lease| lease.token != token) {
                return Err(SwarmError::LeaseLost(stack.to_owned()));
            }
            if self.put_label(stack, object.as_ref(), JOURNAL, &json!(journal).to_string()).await? {
                return Ok(());
            }
        }
        Err(SwarmError::Overtaken { service: full_name(stack, OBJECT) })
    }

    async fn object(&self, stack: &str) -> Result<Option<Value>, SwarmError> {
        self.engine.find("show a config", &format!("/configs/{}", full_name(stack, OBJECT))).await
    }

    /// The time by the clock of the target.
    pub(crate) async fn now(&self) -> Result<Timestamp, SwarmError> {
        let info = self.engine.get("describe itself", "/info").await?;
        text(&info, &["SystemTime"]).parse().map_err(|_bad| self.engine.garbled("it says no time"))
    }

    /// Sets a label over exactly what was read; `false` if somebody was quicker.
    async fn put_label(
        &self,
        stack: &str,
        object: Option<&Value>,
        name: &str,
        value: &str,
    ) -> Result<bool, SwarmError> {
        let written = match object {
            None => {
                let labels = json!({labels::NAMESPACE: stack, name: value});
                // An empty object is refused.
                let data = STANDARD.encode("the lease and the journal of shipkit");
                let body = json!({"Name": full_name(stack, OBJECT), "Labels": labels, "Data": data});
                self.engine.post("create a config", "/configs/create", &body, None).await.map(drop)
            }
            Some(object) => {
                let mut spec = at(object, &["Spec"]).clone();
                if let Some(labels) = spec.get_mut("Labels").and_then(Value::as_object_mut) {
                    labels.insert(name.to_owned(), json!(value));
                }
                let version = at(object, &["Version", "Index"]).as_u64().unwrap_or_default();
                let path = format!("/configs/{}/update?version={version}", text(object, &["ID"]));
                self.engine.change("update a config", &path, &spec).await
            }
        };
        match written {
            Ok(()) => Ok(true),
            // The engine says 500 and not 409 where a version is old.
            Err(SwarmError::Refused { message, .. })
                if message.contains("update out of sequence") || message.contains("already exists") =>
            {
                Ok(false)
            }
            // The answer may be lost and the change made: the next look tells.
            Err(SwarmError::NoAnswer { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    at(object, &["Spec", "Labels", name]).as_str()
}
