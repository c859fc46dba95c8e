//! What is seen of deployments, replica sets and pods, in core's words.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus, PodTemplateSpec,
};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use shipkit_core::ImageRef;
use shipkit_core::rollout::{Status, workload as rule};
use shipkit_core::target::{ObservedService, Previous, Settings};

use crate::annotations::{self, Annotations, Ours};
use crate::cluster::{Cluster, Workload};
use crate::error::ClusterError;
use crate::live::{HASH, Live};

/// Where the deployment controller numbers the revisions of a deployment and of its replica sets.
pub(crate) const NUMBER: &str = "deployment.kubernetes.io/revision";
/// How many problems of one service are named.
const PROBLEMS: usize = 3;

/// What of a replica set matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) uid: String,
    pub(crate) owner: String,
    /// Which revision of its deployment it is.
    pub(crate) number: Option<String>,
    pub(crate) images: BTreeMap<String, String>,
    ready: u64,
}

/// What of a pod matters: who owns it, and core's view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) owner: String,
    /// The revision of its stateful set or daemon set.
    pub(crate) hash: Option<String>,
    pub(crate) pod: rule::Pod,
    /// Whether it is meant to run: neither going away nor ended as a whole.
    pub(crate) is_wanted: bool,
    /// Whether it has failed as a whole and is still there.
    pub(crate) has_failed: bool,
}

impl Cluster {
    /// Services that are there, as core sees them. The number of requests does not depend on the number of pods.
    pub(crate) async fn observed(
        &self,
        services: &[(&Workload, &Deployment)],
    ) -> Result<Vec<ObservedService>, ClusterError> {
        if services.is_empty() {
            return Ok(Vec::new());
        }
        let (sets, every) = (self.replica_sets(), ListParams::default());
        let sets = self.ask("list replicasets", sets.list(&every)).await?;
        let sets: Vec<Set> = sets.iter().map(Set::from).collect();
        let mut observed = Vec::new();
        for (workload, deployment) in services {
            let own: Vec<&Set> = sets.iter().filter(|set| set.owner == uid(*deployment)).collect();
            let mut service = service(workload, deployment, &own);
            if service.running.values().sum::<u64>() < wanted(deployment) {
                let live = Live::from(*deployment);
                let pods = self.list_pods(&live).await?;
                service.problems = problems(&live, &own, &pods);
            }
            observed.push(service);
        }
        Ok(observed)
    }

    pub(crate) fn replica_sets(&self) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The pods that a workload selects.
    pub(crate) async fn list_pods(&self, live: &Live) -> Result<Vec<Owned>, ClusterError> {
        let (pods, selected) = (self.pods(), ListParams::default().labels_from(&live.selector));
        let pods = self.ask("list pods", pods.list(&selected)).await?;
        Ok(pods.iter().map(Owned::from).collect())
    }
}

impl From<&ReplicaSet> for Set {
    fn from(set: &ReplicaSet) -> Self {
        let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
        Self {
            uid: uid(set),
            owner: owner(set),
            number: set.annotations().get(NUMBER).cloned(),
            images: template.map(template_images).unwrap_or_default(),
            ready: count(set.status.as_ref().and_then(|status| status.ready_replicas)),
        }
    }
}

impl From<&Pod> for Owned {
    fn from(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let has_failed = status.phase.as_deref() == Some("Failed");
        let has_ended = has_failed || status.phase.as_deref() == Some("Succeeded");
        let is_leaving = pod.metadata.deletion_timestamp.is_some();
        Self {
            owner: owner(pod),
            hash: pod.labels().get(HASH).cloned(),
            is_wanted: !is_leaving && !has_ended,
            has_failed: !is_leaving && has_failed,
            pod: rule::Pod {
                uid: uid(pod),
                name: pod.name_any(),
                is_ready: condition(&status, "Ready").is_some_and(|(is_so, _, _)| is_so),
                unplaced: condition(&status, "PodScheduled")
                    .filter(|(is_so, reason, _)| !is_so && *reason == "Unschedulable")
                    .map(|(_, _, message)| message.to_owned()),
                containers: pod_containers(&status),
            },
        }
    }
}

/// The name of an object.
pub(crate) fn name(object: &Deployment) -> &str {
    object.metadata.name.as_deref().unwrap_or_default()
}

/// The containers of a deployment's pods, with their images.
pub(crate) fn containers(deployment: &Deployment) -> impl Iterator<Item = (&str, &str)> {
    let template = deployment.spec.as_ref().map(|spec| &spec.template);
    let pod = template.and_then(|template| template.spec.as_ref());
    pod.into_iter()
        .flat_map(|pod| &pod.containers)
        .map(|one| (one.name.as_str(), one.image.as_deref().unwrap_or_default()))
}

/// The image of the container that is a service's.
pub(crate) fn images(workload: &Workload, deployment: &Deployment) -> BTreeMap<String, String> {
    containers(deployment)
        .filter(|(name, _)| *name == workload.container)
        .map(|(name, image)| (name.to_owned(), image.to_owned()))
        .collect()
}

/// The images of a pod template by container, those of the initialisation too.
pub(crate) fn template_images(template: &PodTemplateSpec) -> BTreeMap<String, String> {
    let pod = template.spec.as_ref();
    let init = pod.and_then(|pod| pod.init_containers.as_ref()).into_iter().flatten();
    let containers = init.chain(pod.into_iter().flat_map(|pod| &pod.containers));
    containers.map(|one| (one.name.clone(), one.image.clone().unwrap_or_default())).collect()
}

fn service(workload: &Workload, deployment: &Deployment, sets: &[&Set]) -> ObservedService {
    let annotations = deployment.annotations();
    let image_of = |images: &BTreeMap<String, String>| -> Option<ImageRef> {
        images.get(&workload.container).and_then(|image| image.parse().ok())
    };
    let mut running = BTreeMap::new();
    for set in sets.iter().filter(|set| 0 < set.ready) {
        let text = set.images.get(&workload.container).cloned().unwrap_or_default();
        let image = image_of(&set.images).map_or(text, |image| image.digest.to_string());
        *running.entry(image).or_insert(0) += set.ready;
    }
    let image = image_of(&images(workload, deployment));
    let generation =
        deployment.metadata.generation.and_then(|number| number.try_into().ok()).unwrap_or_default();
    observed_service(workload, annotations, (image, running), generation)
}

/// A service by what the annotations of its workload say, the image that it should run, and those that it runs.
pub(crate) fn observed_service(
    workload: &Workload,
    annotations: &Annotations,
    (image, running): (Option<ImageRef>, BTreeMap<String, u64>),
    generation: u64,
) -> ObservedService {
    let image_of = |images: &BTreeMap<String, String>| -> Option<ImageRef> {
        images.get(&workload.container).and_then(|image| image.parse().ok())
    };
    ObservedService {
        name: workload.service.clone(),
        image,
        settings: Settings::default(),
        running,
        stamp: annotations::stamp(annotations),
        revision: annotations::revision(annotations),
        is_confirmed: annotations::is_confirmed(annotations),
        previous: Ours::previous(annotations).map(|good| Previous {
            stamp: annotations::stamp(&good.annotations),
            image: image_of(&good.images),
        }),
        update: Status::None,
        version: generation,
        problems: Vec::new(),
    }
}

/// What the pods of the present revision suffer from, and what the cluster says about pods that there are none of.
fn problems(live: &Live, sets: &[&Set], pods: &[Owned]) -> Vec<String> {
    let seen = live.seen(sets.iter().copied(), [], pods);
    let refused = seen.refused.map(|why| format!("it gets no pods: {why}"));
    refused.into_iter().chain(rule::problems(&seen.pods)).take(PROBLEMS).collect()
}

fn wanted(deployment: &Deployment) -> u64 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).map_or(1, |replicas| count(Some(replicas)))
}

pub(crate) fn count(number: Option<i32>) -> u64 {
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
}

pub(crate) fn uid(object: &impl kube::ResourceExt) -> String {
    object.uid().unwrap_or_default()
}

/// The identifier of the controller that an object belongs to.
pub(crate) fn owner(object: &impl kube::ResourceExt) -> String {
    let mut owners = object.owner_references().iter();
    owners.find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone()).unwrap_or_default()
}

/// Reason and message of a deployment's condition, if it has this status.
pub(crate) fn said<'a>(status: &'a DeploymentStatus, kind: &str, is: &str) -> Option<(&'a str, &'a str)> {
    let mut conditions = status.conditions.iter().flatten();
    let found = conditions.find(|condition| condition.type_ == kind && condition.status == is)?;
    Some((found.reason.as_deref().unwrap_or_default(), found.message.as_deref().unwrap_or_default()))
}

/// Whether a pod's condition is so, with reason and message.
fn condition<'a>(status: &'a PodStatus, kind: &str) -> Option<(bool, &'a str, &'a str)> {
    let found = status.conditions.iter().flatten().find(|condition| condition.type_ == kind)?;
    let text = |text: &'a Option<String>| text.as_deref().unwrap_or_default();
    Some((found.status == "True", text(&found.reason), text(&found.message)))
}

fn pod_containers(status: &PodStatus) -> Vec<rule::Container> {
    let init = status.init_container_statuses.iter().flatten().map(|one| container(one, true));
    init.chain(status.container_statuses.iter().flatten().map(|one| container(one, false))).collect()
}

fn container(status: &ContainerStatus, is_init: bool) -> rule::Container {
    rule::Container {
        name: status.name.clone(),
        is_init,
        image_id: status.image_id.clone(),
        restarts: count(Some(status.restart_count)),
        state: status.state.as_ref().map(state).unwrap_or_default(),
        ended_before: status.last_state.as_ref().and_then(|last| last.terminated.as_ref()).map(end),
    }
}

fn state(state: &ContainerState) -> rule::State {
    match (&state.waiting, &state.terminated) {
        (Some(waiting), _) => rule::State::Waiting {
            reason: waiting.reason.clone().unwrap_or_default(),
            message: waiting.message.clone().unwrap_or_default(),
        },
        (None, Some(terminated)) => rule::State::Ended(end(terminated)),
        (None, None) => rule::State::Running,
    }
}

fn end(terminated: &ContainerStateTerminated) -> rule::End {
    rule::End {
        exit_code: terminated.exit_code.into(),
        reason: terminated.reason.clone().unwrap_or_default(),
        message: terminated.message.clone().unwrap_or_default(),
    }
}
