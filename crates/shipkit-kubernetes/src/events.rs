//! What the cluster says about the pods of a rollout that has failed: asked once, then.

use std::time::Duration;

use k8s_openapi::api::core::v1::Event as Object;
use kube::Api;
use kube::api::ListParams;
use shipkit_core::rollout::Next;
use shipkit_core::rollout::workload::{Event, Seen, with_event};
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::error::ClusterError;

/// How long events are waited for: they only say more about what is known.
const PATIENCE: Duration = Duration::from_secs(5);

impl Cluster {
    /// A rollout that has failed, with what the cluster says about the new pods. Where that cannot be read, nothing is added.
    pub(crate) async fn with_events(&self, next: Next, seen: &Seen) -> Next {
        match next {
            Next::RollBack { cause } => Next::RollBack { cause: self.explained(cause, seen).await },
            Next::Stuck { cause } => Next::Stuck { cause: self.explained(cause, seen).await },
            Next::Done | Next::Wait(_) | Next::RolledBack { .. } | Next::Overtaken { .. } => next,
        }
    }

    async fn explained(&self, cause: String, seen: &Seen) -> String {
        let mut events = Vec::new();
        let all = async {
            for pod in seen.asked() {
                let Ok(said) = self.warnings(&pod.uid).await else { return };
                events.extend(said);
            }
        };
        timeout(PATIENCE, all).await.ok();
        with_event(cause, &events)
    }

    /// The warnings about one pod.
    async fn warnings(&self, uid: &str) -> Result<Vec<Event>, ClusterError> {
        let events: Api<Object> = Api::namespaced(self.client.clone(), &self.namespace);
        let of_pod = ListParams::default().fields(&format!("involvedObject.uid={uid},type=Warning"));
        let listed = self.ask("list events", events.list(&of_pod)).await?;
        Ok(listed.items.into_iter().map(read).collect())
    }
}

fn read(event: Object) -> Event {
    let series = event.series.and_then(|series| series.last_observed_time).map(|time| time.0);
    let time = event.last_timestamp.map(|time| time.0).or(series).or(event.event_time.map(|time| time.0));
    // As `spec.containers{api}` or `spec.initContainers{wait}`.
    let container =
        event.involved_object.field_path.as_deref().and_then(|path| path.strip_suffix('}')?.split_once('{'));
    Event {
        container: container.map(|(_, name)| name.to_owned()),
        pod: event.involved_object.name.unwrap_or_default(),
        reason: event.reason.unwrap_or_default(),
        message: event.message.unwrap_or_default(),
        time,
    }
}
