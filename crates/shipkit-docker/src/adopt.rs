//! What others started on a Swarm becomes what serves: their services get our labels, and no task restarts.

use jiff::Timestamp;
use serde_json::Value;
use shipkit_core::journal::Migration;
use shipkit_core::rollout::Status;
use shipkit_core::target::{Adoption, Found};

use crate::error::SwarmError;
use crate::history::Memory;
use crate::labels;
use crate::rollout::{is_running, status, text};
use crate::slots::{name_of, second_name};
use crate::spec::{self, at, full_name, items};
use crate::swarm::Swarm;

impl Swarm {
    /// What there is of each of these services of a stack, whoever created it.
    ///
    /// # Errors
    /// When the Swarm cannot be asked.
    pub async fn found(&self, stack: &str, services: &[&str]) -> Result<Vec<Found>, SwarmError> {
        let there = self.engine.get("list services", "/services").await?;
        let named = |name: &str| items(&there).find(|service| text(service, &["Spec", "Name"]) == name);
        let mut found = Vec::new();
        for name in services {
            let full = full_name(stack, name);
            let second = second_name(stack, name);
            let is_ours = |service: &&Value| name_of(at(service, &["Spec"]), stack) == *name;
            found.push(match named(&full).or_else(|| named(&second).filter(is_ours)) {
                Some(service) => self.found_there(stack, service).await?,
                None => match named(name).filter(|service| namespace(service).is_none()) {
                    Some(_) => Found::Misnamed {
                        there: format!("service `{name}`"),
                        wanted: format!(
                            "in stack `{stack}` it would be called `{full}`, and a Swarm renames nothing"
                        ),
                    },
                    None => Found::Nothing,
                },
            });
        }
        Ok(found)
    }

    /// A service that has the name which it needs.
    async fn found_there(&self, stack: &str, service: &Value) -> Result<Found, SwarmError> {
        let spec = at(service, &["Spec"]);
        if let Some(other) = namespace(service).filter(|other| *other != stack) {
            return Ok(Found::Elsewhere { belongs_to: format!("stack `{other}`") });
        }
        match (labels::mark(spec), labels::stamp(spec)) {
            (Some(_), Some(stamp)) if labels::is_confirmed(spec) => return Ok(Found::Known(stamp)),
            (Some(_), Some(_)) => return Ok(Found::Changing),
            (Some(_), None) => {
                let belongs_to = "a release of shipkit whose labels are damaged".to_owned();
                return Ok(Found::Elsewhere { belongs_to });
            }
            (None, _) => {}
        }
        match status(service) {
            Status::Updating | Status::Paused | Status::RollingBack | Status::RollbackPaused => {
                return Ok(Found::Changing);
            }
            Status::None | Status::Completed | Status::RolledBack => {}
        }
        let tasks = self.tasks(text(service, &["ID"])).await?;
        let count = tasks.iter().filter(|task| is_running(task)).count();
        Ok(match u64::try_from(count) {
            Ok(0) => Found::Down,
            count => Found::Runs { image: spec::image(spec), count: count.unwrap_or(u64::MAX) },
        })
    }

    /// Writes down that these services serve, as they are, and keeps what it takes to come back to them. Restarts nothing. To
    /// be called by the holder of the lease.
    ///
    /// # Errors
    /// When the Swarm refuses or cannot be asked, or somebody else changes a service at the same time.
    pub async fn adopt(
        &self,
        stack: &str,
        adoption: &Adoption,
        time: Timestamp,
    ) -> Result<Memory, SwarmError> {
        for adopted in &adoption.services {
            let edit = |spec: &Value| {
                let mut after = spec.clone();
                // Who deploys at the same time is not adopted: that service is of a release now.
                if labels::mark(spec).is_none()
                    && let Some(fields) = after.as_object_mut()
                {
                    let labels = labels::for_adoption(spec, stack, &adoption.stamp);
                    fields.insert("Labels".to_owned(), labels);
                }
                after
            };
            self.swap(&full_name(stack, &adopted.service), edit, None).await?;
        }
        let (release, parts) = (&adoption.stamp.release, adoption.parts());
        self.remember_parts((stack, release, &parts), Migration::Compatible, time).await
    }
}

/// The stack that a service belongs to.
fn namespace(service: &Value) -> Option<&str> {
    at(service, &["Spec", "Labels", labels::NAMESPACE]).as_str()
}
