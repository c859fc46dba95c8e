//! The lease on the services of a project in a namespace, and the journal of its last run: one `Lease` object, which
//! `kubectl get leases` shows to people, and an annotation of it.
//!
//! The time is that of the API server, which tells it with every answer: no clock of a runner counts. A change of the lease
//! is made over exactly the version of the object that was read. The journal is written in one request that the API server
//! carries out only if the lease still has the token.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{GetParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::core::{Request, Status};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use shipkit_core::journal::Journal;
use shipkit_core::lease::{BadLease, Claim, Claimant, Lease, claim};

use crate::cluster::Cluster;
use crate::error::{ClusterError, INVALID, NOT_FOUND};

/// How often a change is tried again because somebody was quicker.
const SWAPS: usize = 8;
const JOURNAL: &str = "shipkit.dev/journal";
/// The same in a path of a JSON patch.
const JOURNAL_PATH: &str = "/metadata/annotations/shipkit.dev~1journal";
/// The project: on a lease also so that there is one annotation, to which others can be added.
pub(crate) const PROJECT: &str = "shipkit.dev/project";

impl Cluster {
    /// Takes or renews the lease, if it can be had. [`Claim::Take`] and [`Claim::Renew`] are written when this returns.
    ///
    /// # Errors
    /// When the cluster cannot be asked or refuses, or what lies there is not a lease.
    pub async fn claim(&self, me: &Claimant, duration: Duration) -> Result<Claim, ClusterError> {
        for _ in 0..SWAPS {
            let (object, now) = self.look().await?;
            let there = object.as_ref().map(lease).transpose()?;
            let claim = claim(there.as_ref(), me, now, duration);
            let (Claim::Take(lease) | Claim::Renew(lease)) = &claim else { return Ok(claim) };
            if self.put(object.as_ref(), lease, (now, duration)).await? {
                return Ok(claim);
            }
        }
        Err(ClusterError::Restless(self.lease_name()))
    }

    /// Gives the lease up, if it is still the one of this token. It has no holder then, and keeps the token.
    ///
    /// # Errors
    /// When the cluster cannot be asked or refuses.
    pub async fn give_up(&self, token: u64) -> Result<(), ClusterError> {
        let change = json!({"op": "remove", "path": "/spec/holderIdentity"});
        match self.change_with(token, &change).await {
            Err(error) if error.status() == Some(NOT_FOUND) => Ok(()),
            // It is somebody else's, or nobody's already.
            Err(error) if error.status() == Some(INVALID) => Ok(()),
            other => other,
        }
    }

    /// The journal of the last run.
    ///
    /// # Errors
    /// When the cluster cannot be asked or refuses, or what lies there is not a journal.
    pub async fn journal(&self) -> Result<Option<Journal>, ClusterError> {
        let name = self.lease_name();
        let object = self.ask("get leases", self.leases().get_opt(&name)).await?;
        let text = object.as_ref().and_then(|object| object.annotations().get(JOURNAL));
        Ok(text.map(|text| Journal::parse(text)).transpose()?)
    }

    /// Writes the journal of the run that holds the lease with this token.
    ///
    /// # Errors
    /// When the cluster cannot be asked or refuses, or the lease is not this run's any more.
    pub async fn write_journal(&self, token: u64, journal: &Journal) -> Result<(), ClusterError> {
        let change = json!({"op": "add", "path": JOURNAL_PATH, "value": json!(journal).to_string()});
        match self.change_with(token, &change).await {
            Err(error) if matches!(error.status(), Some(INVALID | NOT_FOUND)) => {
                let there = self.look().await?.0.as_ref().map(lease).transpose()?;
                let is_ours = there.is_some_and(|lease| lease.token == token);
                Err(if is_ours { error } else { ClusterError::LeaseLost(self.lease_name()) })
            }
            other => other,
        }
    }

    /// The name of the object. Several projects may share a namespace; groups of one project share what they deploy to.
    fn lease_name(&self) -> String {
        format!("{}-shipkit", self.place.project)
    }

    fn leases(&self) -> Api<Object> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The object, and the time by the clock of the API server.
    async fn look(&self) -> Result<(Option<Object>, Timestamp), ClusterError> {
        let get = Request::new(self.leases().resource_url()).get(&self.lease_name(), &GetParams::default());
        let asked = async {
            let answer = self.client.send(get.map_err(kube::Error::BuildRequest)?.map(Body::from)).await?;
            let (head, body) = answer.into_parts();
            Ok((head, body.collect_bytes().await?))
        };
        let (head, body) = self.ask("get leases", asked).await?;
        let date = head.headers.get("date").and_then(|date| date.to_str().ok());
        let now = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
        let now = now.ok_or_else(|| self.garbled("it does not say what time it is"))?;
        if head.status == NOT_FOUND {
            return Ok((None, now));
        }
        if !head.status.is_success() {
            let status = serde_json::from_slice::<Status>(&body).unwrap_or_else(|_not_one| Status::default());
            let status = kube::Error::Api(status.with_code(head.status.as_u16()).boxed());
            return Err(self.error(&status, "get leases"));
        }
        let object = serde_json::from_slice(&body);
        Ok((Some(object.map_err(|error| self.garbled(&format!("it gives no lease: {error}")))?), now))
    }

    /// Writes the lease over exactly what was read; `false` if somebody was quicker.
    async fn put(
        &self,
        before: Option<&Object>,
        lease: &Lease,
        (now, duration): (Timestamp, Duration),
    ) -> Result<bool, ClusterError> {
        let spec = LeaseSpec {
            holder_identity: Some(lease.owner.clone()),
            lease_transitions: Some(
                i32::try_from(lease.token).map_err(|_too_great| BadLease::Token(lease.token))?,
            ),
            renew_time: Some(MicroTime(now)),
            lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
            ..LeaseSpec::default()
        };
        let annotations = [(PROJECT.to_owned(), self.place.project.clone())];
        let mut metadata = ObjectMeta {
            name: Some(self.lease_name()),
            annotations: Some(annotations.into()),
            ..ObjectMeta::default()
        };
        let leases = self.leases();
        let written = if let Some(before) = before {
            metadata.uid = before.uid();
            metadata.resource_version = before.resource_version();
            let patch = Patch::Merge(json!({"metadata": metadata, "spec": spec}));
            let (name, how) = (self.lease_name(), PatchParams::default());
            self.ask("patch leases", leases.patch(&name, &how, &patch)).await
        } else {
            let object = Object { metadata, spec: Some(spec) };
            self.ask("create leases", leases.create(&PostParams::default(), &object)).await
        };
        match written {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(NOT_FOUND) && before.is_none() => {
                Err(ClusterError::NoNamespace(self.namespace.clone()))
            }
            Err(error) if error.is_gone() => Ok(false),
            // The answer may be lost and the change made: the next look tells.
            Err(ClusterError::NoAnswer { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// One change of the object, made only if the lease is held with this token. Made twice, it is as if it was made once.
    async fn change_with(&self, token: u64, change: &Value) -> Result<(), ClusterError> {
        match self.try_change(token, change).await {
            Err(ClusterError::NoAnswer { .. }) => self.try_change(token, change).await,
            answer => answer,
        }
    }

    async fn try_change(&self, token: u64, change: &Value) -> Result<(), ClusterError> {
        let is_mine = json!({"op": "test", "path": "/spec/leaseTransitions", "value": token});
        let steps = Patch::Merge(json!([is_mine, change]));
        let leases = self.leases();
        let patch =
            Request::new(leases.resource_url()).patch(&self.lease_name(), &PatchParams::default(), &steps);
        let asked = async {
            let mut patch = patch.map_err(kube::Error::BuildRequest)?;
            // What these steps are is said here: the client knows them only with a library for making them.
            let kind = patch.headers_mut().get_mut("content-type");
            if let (Some(kind), Ok(steps)) = (kind, "application/json-patch+json".parse()) {
                *kind = steps;
            }
            self.client.request::<Object>(patch).await.map(drop)
        };
        self.ask("patch leases", asked).await
    }
}

/// The lease in an object.
fn lease(object: &Object) -> Result<Lease, BadLease> {
    let spec = object.spec.clone().unwrap_or_default();
    let renewed = spec.renew_time.map(|time| time.0);
    let lasts = spec.lease_duration_seconds.map(|seconds| Duration::from_secs(seconds.unsigned_abs().into()));
    let ends = renewed.zip(lasts).and_then(|(renewed, lasts)| renewed.checked_add(lasts).ok());
    let (owner, expires) = match spec.holder_identity {
        Some(owner) if !owner.is_empty() => (owner, ends),
        // It was given up.
        Some(_) | None => ("nobody".to_owned(), renewed),
    };
    let lease =
        json!({"owner": owner, "token": spec.lease_transitions.unwrap_or_default(), "expires": expires});
    Lease::parse(&lease.to_string())
}
