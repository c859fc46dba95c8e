//! `BadManifests`: why manifests are refused; `Remark`: what people should know about those that are not.

use std::collections::BTreeSet;
use std::fmt;

use super::object::{Id, Kind, Place};
use super::template::Slot;
use crate::exit::ExitCode;
use crate::hint::Hint;

/// Why manifests are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadManifests {
    /// A file is no YAML, or too much of it.
    #[error("{place} cannot be read: {reason}")]
    Unreadable {
        /// Where reading ended.
        place: Place,
        /// What is wrong.
        reason: String,
    },
    /// What stands there is filled in by Helm or the like.
    #[error("{place} is a template and no manifest: `{text}`")]
    Template {
        /// Where.
        place: Place,
        /// What shows it.
        text: String,
    },
    /// What stands there is read by kustomize alone.
    #[error("{0} is a kustomization and no manifest")]
    Kustomization(Place),
    /// There is no object at all.
    #[error("the manifests hold no object")]
    Empty,
    /// A document is a list or a text.
    #[error("{0} is no object: it has no `apiVersion`, `kind` and `metadata`")]
    NoObject(Place),
    /// An object lacks what every object has, or it is no text.
    #[error("{place} has an object without a text at `{key}`")]
    Lacks {
        /// Where.
        place: Place,
        /// What it lacks.
        key: &'static str,
    },
    /// The cluster would make up a name, another one each time.
    #[error("{place} has a {kind} with `generateName`, which would be another object in each deploy")]
    Generated {
        /// Where.
        place: Place,
        /// Its kind.
        kind: String,
    },
    /// No object can have this name.
    #[error("{place} has an object with the name `{}`, which none can have", .name.escape_debug())]
    Name {
        /// Where.
        place: Place,
        /// The name of it or of its namespace.
        name: String,
    },
    /// Two objects have the same name.
    #[error("`{id}` is there twice: in {first} and in {second}")]
    Twice {
        /// What names both.
        id: String,
        /// Where one is.
        first: Place,
        /// Where the other one is.
        second: Place,
    },
    /// The cluster does not know some kinds.
    #[error("the cluster knows no {}", listed(.0))]
    Kinds(BTreeSet<Kind>),
    /// Objects belong to another namespace than the target's.
    #[error("objects are not in namespace `{namespace}`, which is that of the target: {}", elsewhere(.objects))]
    Elsewhere {
        /// The namespace of the target.
        namespace: String,
        /// The objects, each with its place.
        objects: Vec<(Id, Place)>,
    },
    /// The name of the stack cannot be the value of a label.
    #[error("`{0}` cannot be the name of a stack: objects could not carry it as a label")]
    Stack(String),
    /// A container has no image, or none that can be read.
    #[error("{slot} of `{workload}` ({place}) has no image that can be read: {reason}")]
    Image {
        /// The object.
        workload: String,
        /// Where it is.
        place: Place,
        /// What of its pods.
        slot: Slot,
        /// What is wrong.
        reason: String,
    },
    /// Images of the release are nowhere in the manifests.
    #[error("no image of the manifests is that of {}: there are {}", quoted(.services), quoted(.images))]
    Nowhere {
        /// The services, each with its repository.
        services: Vec<String>,
        /// The images that are there.
        images: BTreeSet<String>,
    },
    /// The Kubernetes deployment of a service is not there.
    #[error("the manifests have no Deployment `{deployment}` for service `{service}`: there are {}", quoted(.there))]
    NoDeployment {
        /// The service.
        service: String,
        /// Its deployment.
        deployment: String,
        /// Those that are there.
        there: Vec<String>,
    },
    /// The container of a service is not there.
    #[error("`{workload}` has no container `{container}` for service `{service}`: there are {}", quoted(.there))]
    NoContainer {
        /// The service.
        service: String,
        /// Its Kubernetes deployment.
        workload: String,
        /// Its container.
        container: String,
        /// Those that are there.
        there: Vec<String>,
    },
    /// A container can be that of two services.
    #[error("{slot} of `{workload}` can be that of service `{first}` and of `{second}`")]
    Ambiguous {
        /// The object.
        workload: String,
        /// What of its pods.
        slot: Slot,
        /// One service.
        first: String,
        /// The other one.
        second: String,
    },
    /// Images would be whatever was pushed last.
    #[error("the manifests would run whatever was pushed last: {}", .0.join(", "))]
    Floating(Vec<String>),
    /// No requests could shift.
    #[error("no Service of the manifests sends requests to a Deployment of {}, so nothing could shift", quoted(.0))]
    NoSlots(Vec<String>),
    /// A Service cannot say which slot it means.
    #[error(
        "`{service}` sends requests to `{inside}`, which has two slots, and to `{outside}`, which has none"
    )]
    HalfShifted {
        /// The Service.
        service: String,
        /// One that it selects, which has slots.
        inside: String,
        /// One that it selects, which has none.
        outside: String,
    },
    /// There can be no second Service for the requests of a route.
    #[error(
        "`Service/{service}` would get its share by weights, beside a Service `{second}`, {}",
        if *.is_taken { "which the manifests have, too" } else { "a name that is too long for one" }
    )]
    NoSecond {
        /// The Service.
        service: String,
        /// The name of its second one.
        second: String,
        /// Whether the manifests have an object of that name.
        is_taken: bool,
    },
    /// A Service could not send requests to the pods of both slots.
    #[error(
        "`Service/{service}` selects by other labels than before, so it could not send a share of its requests to `{deployment}`"
    )]
    OtherLabels {
        /// The Service.
        service: String,
        /// The deployment.
        deployment: String,
    },
    /// An autoscaler would go on scaling what is there no more.
    #[error("{} would change with each shift, and autoscalers scale it that are not among the manifests", quoted(.0))]
    ScaledFromOutside(Vec<String>),
}

impl Hint for BadManifests {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unreadable { .. } | Self::NoObject(_) | Self::Lacks { .. } | Self::Name { .. } => {
                return None;
            }
            Self::Template { .. } => "render it in a step before (`helm template`) and name the result",
            Self::Kustomization(_) => "render it in a step before (`kustomize build`) and name the result",
            Self::Empty => "name the file or the folder that holds them",
            Self::Generated { .. } => {
                "give it a `name`; what runs once for each release is `migrate` of the environment"
            }
            Self::Twice { .. } => "keep one of them",
            Self::Kinds(_) => "apply its definition in a step before, or put that among the manifests",
            Self::Elsewhere { .. } => {
                "leave out `metadata.namespace`, or deploy them as an environment of their own"
            }
            Self::Stack(_) => {
                "it has at most 63 letters, digits, `-`, `_` and `.`, and begins and ends with a letter or digit"
            }
            Self::Image { .. } => "write it as in `ghcr.io/acme/api:1.2.3`",
            Self::Nowhere { .. } => {
                "write its repository at the container that runs it, or name that by `services.NAME.kubernetes`"
            }
            Self::NoDeployment { service, .. } => {
                return Some(format!("correct `services.{service}.kubernetes.deployment`"));
            }
            Self::NoContainer { service, .. } => {
                return Some(format!("correct `services.{service}.kubernetes.container`"));
            }
            Self::Ambiguous { .. } => {
                "give each service a container of its own, by `services.NAME.kubernetes`"
            }
            Self::Floating(_) => "name a version of each, or better its digest",
            Self::NoSlots(_) => "add the Service, or use `strategy: rolling`",
            Self::HalfShifted { .. } => {
                "give each a Service of its own, or all of them `strategy: blue-green`"
            }
            Self::NoSecond { .. } => "give one of them another name, or use `strategy: blue-green`",
            Self::OtherLabels { .. } => "use `strategy: blue-green` for this release",
            Self::ScaledFromOutside(_) => "put the autoscaler among the manifests",
        };
        Some(hint.to_owned())
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// What people should know about manifests that are deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// An image that is none of the release is named by a tag.
    Unpinned {
        /// The object.
        workload: Id,
        /// What of its pods.
        slot: Slot,
        /// The image.
        image: String,
    },
    /// `replicas` of an object is left out.
    ReplicasLeft {
        /// The object.
        workload: Id,
        /// The autoscaler; `None` if it is in the cluster alone.
        autoscaler: Option<Id>,
    },
    /// A config map or secret that pods read keeps its name.
    NameKept {
        /// It.
        config: Id,
        /// Why.
        because: WhyKept,
    },
    /// A Job whose pods change with each release, which the cluster refuses.
    Fixed(Id),
    /// Pods that serve stop as soon as they are told to.
    NoDrain(Id),
    /// A service has no slots although that is how it should be replaced.
    NotShifted(String),
}

/// Why a config map or secret keeps its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyKept {
    /// Its annotation says so.
    Asked,
    /// What is in it comes from the cluster.
    Filled,
    /// Something names it where shipkit does not write.
    NamedBy(Id),
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unpinned { workload, slot, image } => {
                write!(f, "{slot} of `{workload}` runs `{image}`, which is a tag: what it names can change")
            }
            Self::ReplicasLeft { workload, autoscaler: Some(autoscaler) } => {
                write!(f, "`replicas` of `{workload}` is left out: `{autoscaler}` decides it")
            }
            Self::ReplicasLeft { workload, autoscaler: None } => {
                write!(f, "`replicas` of `{workload}` is left out: an autoscaler in the cluster decides it")
            }
            Self::NameKept { config, because } => write!(
                f,
                "`{config}` keeps its name, because {because}: pods of the release before see what is in it now"
            ),
            Self::NotShifted(service) => write!(
                f,
                "`{service}` is `strategy: blue-green` and no Service sends requests to a Deployment of it: it is replaced pod by pod"
            ),
            Self::Fixed(job) => write!(
                f,
                "`{job}` cannot be changed while it is there, and each release changes it: run it as `migrate` of the environment"
            ),
            Self::NoDrain(workload) => write!(
                f,
                "a rolling update of `{workload}` can lose requests: no container has a `preStop` that lets requests come to an end"
            ),
        }
    }
}

impl fmt::Display for WhyKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("its annotation says so"),
            Self::Filled => f.write_str("the cluster fills it"),
            Self::NamedBy(id) => write!(f, "`{id}` names it"),
        }
    }
}

/// Texts in backticks, with commas.
pub(super) fn quoted<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    let texts: Vec<_> = texts.into_iter().map(|text| format!("`{text}`")).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

fn listed(kinds: &BTreeSet<Kind>) -> String {
    kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" and no ")
}

fn elsewhere(objects: &[(Id, Place)]) -> String {
    let one = |(id, place): &(Id, Place)| {
        format!("`{id}` in `{}` ({place})", id.namespace.as_deref().unwrap_or_default())
    };
    objects.iter().map(one).collect::<Vec<_>>().join(", ")
}
