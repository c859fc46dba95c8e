//! `PodPreview`: the ready pods of a slot that no Service selects yet, and a way to each: a port of this machine that the API server
//! forwards, as `kubectl port-forward` does.

use std::net::{Ipv4Addr, SocketAddr};

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::Value;
use shipkit_core::manifests::{Colour, SLOT};
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::cluster::{Cluster, Needed};
use crate::error::ClusterError;
use crate::slots::is_ready;

/// A pod of a slot that serves nobody yet.
pub struct PodPreview {
    cluster: Cluster,
    pod: String,
}

/// An address of this machine that leads to a port of a pod, as long as this is kept.
#[derive(Debug)]
pub struct Forwarded {
    address: SocketAddr,
    forwarding: JoinHandle<()>,
}

impl Forwarded {
    /// The address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}

impl PodPreview {
    /// The name of the pod.
    #[must_use]
    pub fn pod(&self) -> &str {
        &self.pod
    }

    /// Where one of its ports answers from here, as long as what this gives is kept. Whether anything answers there is not known
    /// then: a connection for which nothing does is closed.
    ///
    /// # Errors
    /// When the cluster forwards nothing to the pod.
    pub async fn reach(&self, port: u16) -> Result<Forwarded, ClusterError> {
        // Asked once before anybody relies on it: to a client, a forwarding that is refused looks like a pod that does not answer.
        let what = format!("forward a port of pod `{}`", self.pod);
        drop(self.cluster.ask(&what, self.cluster.pods().portforward(&self.pod, &[port])).await?);
        let here = |error: std::io::Error| ClusterError::NoPort(error.to_string());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(here)?;
        let address = listener.local_addr().map_err(here)?;
        let forwarding = tokio::spawn(forward(listener, self.cluster.pods(), self.pod.clone(), port));
        Ok(Forwarded { address, forwarding })
    }
}

/// Forwards each connection by itself. One that fails on its way is closed: who asked sees it as the pod's.
async fn forward(listener: TcpListener, pods: Api<Pod>, pod: String, port: u16) {
    let mut connections = JoinSet::new();
    while let Ok((mut here, _)) = listener.accept().await {
        let (pods, pod) = (pods.clone(), pod.clone());
        connections.spawn(async move {
            let Ok(mut forwarder) = pods.portforward(&pod, &[port]).await else { return };
            let Some(mut there) = forwarder.take_stream(port) else { return };
            let _ended = copy_bidirectional(&mut here, &mut there).await;
            drop(there);
            let _closed = forwarder.join().await;
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Cluster {
    /// Whether these credentials may reach the pods of a slot.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn may_reach_slots(&self) -> Result<bool, ClusterError> {
        let needed =
            |verb| Needed { group: "", resource: "pods/portforward", verb, namespace: Some(&self.namespace) };
        match self.may_all(&["get", "create"].map(needed)).await {
            Err(ClusterError::Forbidden { .. }) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Whether a service has two slots.
    #[must_use]
    pub fn shifts(&self, service: &str) -> bool {
        self.slot_of(service).is_some()
    }

    fn slot_of(&self, service: &str) -> Option<(Colour, &Value)> {
        let rendered = self.manifests.as_ref()?;
        let used = rendered.uses().iter().filter(|one| one.service == service);
        used.filter_map(|one| rendered.objects().iter().find(|object| *object.id() == one.workload))
            .find_map(|object| Some((Colour::of(object.value())?, object.value())))
    }

    /// The ready pods of a service in the slot that the release takes; none where Services send requests there already.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn in_the_new_slot(&self, service: &str) -> Result<Vec<PodPreview>, ClusterError> {
        let Some((slot, deployment)) = self.slot_of(service) else { return Ok(Vec::new()) };
        if self.traffic().await?.contains(&slot) {
            return Ok(Vec::new());
        }
        self.ready_in(slot, deployment).await
    }

    /// A ready pod of a service in the slot that Services send requests to while the release comes in the other one; none where
    /// requests go to what has no slot, or nowhere.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn in_the_serving_slot(&self, service: &str) -> Result<Option<PodPreview>, ClusterError> {
        let Some((slot, deployment)) = self.slot_of(service) else { return Ok(None) };
        if self.traffic().await? != [slot.other()].into() {
            return Ok(None);
        }
        Ok(self.ready_in(slot.other(), deployment).await?.into_iter().next())
    }

    /// The ready pods that a deployment would have in this slot.
    async fn ready_in(&self, slot: Colour, deployment: &Value) -> Result<Vec<PodPreview>, ClusterError> {
        let how = ListParams::default().labels(&selector(slot, deployment));
        let listed = self.ask("list pods", self.pods().list(&how)).await?;
        let ready = listed.into_iter().filter(is_ready);
        Ok(ready.map(|pod| PodPreview { cluster: self.clone(), pod: pod.name_any() }).collect())
    }
}

/// The labels of its pods, with those of this slot.
fn selector(slot: Colour, deployment: &Value) -> String {
    let labels = deployment.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let label = |(key, value): (&String, &Value)| {
        let value = if key == SLOT { slot.as_str() } else { value.as_str()? };
        Some(format!("{key}={value}"))
    };
    labels.into_iter().flatten().filter_map(label).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_pods_of_both_slots_differ_by_one_label() {
        let of = json!({"spec": {"selector": {"matchLabels": {"app": "api", SLOT: "green"}}}});
        assert_eq!(selector(Colour::Green, &of), format!("app=api,{SLOT}=green"));
        assert_eq!(selector(Colour::Blue, &of), format!("app=api,{SLOT}=blue"));
    }
}
