//! `Manifests`: what a release is in a cluster, where a project states it as Kubernetes objects of its own.
//!
//! [`Manifests::parse`] reads files, [`Manifests::rendered`] makes of them what is applied, and [`Rendered`] is that: all objects
//! in their order, which container runs which service, and remarks. A set is deployed, recorded and taken back as a whole, so
//! that configuration goes back with the images.
//!
//! - It stays what the files say: what shipkit does not know reaches the cluster as it was. What only the cluster writes
//!   (`status`, `uid` and the like) is left out.
//! - Images of the release are named by digest, `replicas` is left to autoscalers, and the name of each config map and secret
//!   that pods read ends with the hash of its content: pods of the release before keep theirs.
//! - An object is marked by a label of our own, on itself and not in selectors or pod templates, where it would restart pods.
//!   `app.kubernetes.io/managed-by` is left alone: Helm reads from it what is Helm's.
//! - Nothing here asks the cluster. What must be known of it (the scope of custom kinds, live autoscalers, live objects) is
//!   given, as values.

mod canary;
mod colour;
mod difference;
mod drain;
mod error;
mod object;
mod order;
mod pin;
mod prune;
mod read;
mod record;
mod replicas;
mod scope;
mod suffix;
mod template;
mod weights;

use std::collections::{BTreeMap, BTreeSet};

use crate::config::KubernetesNames;
use crate::digest::Digest;
use crate::reference::ImageRef;

pub use canary::{Course, SLOTTED, Sizes, Step, both_slots, is_spread};
pub use colour::{Colour, HASH, SLOT, Seen, choose, is_narrow, selects};
pub use difference::{Fate, differences};
pub use error::{BadManifests, Remark, WhyKept};
pub use object::{Id, Kind, Object, Place};
pub use prune::STACK;
pub use record::{BadRecord, MAX_RECORD};
pub use replicas::Scaled;
pub use scope::Scope;
pub use suffix::KEEP_NAME;
pub use template::{Slot, secrets_read};
pub use weights::{SHARE, Taken, is_route, route_kinds, second_name, share, taken};

/// The objects of some files, as they stand there.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifests {
    objects: Vec<Object>,
}

/// What manifests are rendered for.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The name of the stack, by which its objects are found again: no other in the cluster has it, and it is the value of a
    /// label, so at most 63 characters.
    pub stack: &'a str,
    /// The namespace of the target.
    pub namespace: &'a str,
    /// The scope of each of [`Manifests::foreign_kinds`] that the cluster knows.
    pub scopes: &'a BTreeMap<Kind, Scope>,
    /// The services by name.
    pub services: &'a BTreeMap<String, Part>,
    /// What autoscalers own that are in the cluster and not in the manifests.
    pub scaled: &'a BTreeSet<Scaled>,
}

/// A service, as far as manifests are concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// The image that the release has of it; `None` if it has none.
    pub image: Option<ImageRef>,
    /// Its names in the cluster, where `shipkit.yml` gives any: then its container is found by them.
    pub names: Option<KubernetesNames>,
    /// The services that are put in place before it.
    pub depends_on: Vec<String>,
    /// Whether it is replaced by a shift between two slots, at once or in steps.
    pub has_slots: bool,
}

/// Which service a container, or a volume made of an image, belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Use {
    /// The service.
    pub service: String,
    /// The object with the pod template.
    pub workload: Id,
    /// What of its pods runs the service's image.
    pub slot: Slot,
}

/// Objects as they are applied, in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    stack: String,
    namespace: String,
    objects: Vec<Object>,
    uses: Vec<Use>,
    scaled: BTreeSet<Id>,
    remarks: Vec<Remark>,
}

impl Manifests {
    /// The kinds whose scope has to be asked of the cluster: neither built in nor defined by the manifests.
    #[must_use]
    pub fn foreign_kinds(&self) -> BTreeSet<Kind> {
        scope::foreign(&self.objects)
    }

    /// Its objects, each in the namespace or in none.
    ///
    /// # Errors
    /// When an object cannot be placed.
    pub fn placed(
        self,
        namespace: &str,
        scopes: &BTreeMap<Kind, Scope>,
    ) -> Result<Vec<Object>, BadManifests> {
        scope::placed(self.objects, namespace, scopes)
    }

    /// Makes of them what is applied. What is replaced by a shift is in the first slot: [`Rendered::in_slot`] gives the other one.
    ///
    /// # Errors
    /// When an object cannot be placed, a service of the release is nowhere among the images, or an image without a tag or with
    /// `latest` would stay.
    pub fn rendered(self, wanted: &Wanted<'_>) -> Result<Rendered, BadManifests> {
        prune::check_stack(wanted.stack)?;
        let mut objects = scope::placed(self.objects, wanted.namespace, wanted.scopes)?;
        let (mut uses, mut remarks) = pin::pin(&mut objects, wanted.services)?;
        let (mut scaled, left) = replicas::leave_out(&mut objects, wanted.scaled);
        remarks.extend(left);
        remarks.extend(suffix::suffix(&mut objects));
        read::refuse_twice(&objects)?;
        let in_slots = wanted.services.iter().filter(|(_, part)| part.has_slots && part.image.is_some());
        let in_slots: BTreeSet<&String> = in_slots.map(|(name, _)| name).collect();
        if !in_slots.is_empty() {
            let all = (objects.as_mut_slice(), uses.as_mut_slice(), &mut scaled);
            remarks.extend(colour::paint(all, &in_slots, wanted.scaled)?);
        }
        remarks.extend(drain::remarks(&objects));
        for object in &mut objects {
            object.label(STACK, wanted.stack);
        }
        let objects = order::ordered(objects, &uses, wanted.services);
        let (stack, namespace) = (wanted.stack.to_owned(), wanted.namespace.to_owned());
        Ok(Rendered { stack, namespace, objects, uses, scaled, remarks })
    }
}

impl Rendered {
    /// The name of the stack.
    #[must_use]
    pub fn stack(&self) -> &str {
        &self.stack
    }

    /// The namespace of all objects that have one.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The objects, in the order in which they are applied.
    #[must_use]
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The names of the secrets that its pods read.
    #[must_use]
    pub fn secrets_read(&self) -> BTreeSet<String> {
        self.objects.iter().filter_map(template::of).flat_map(secrets_read).collect()
    }

    /// The same in steps: workloads are written side by side, everything else by itself.
    pub fn steps(&self) -> impl Iterator<Item = &[Object]> {
        self.objects.chunk_by(|one, next| order::is_workload(one.id()) && order::is_workload(next.id()))
    }

    /// Which container runs the image of which service.
    #[must_use]
    pub fn uses(&self) -> &[Use] {
        &self.uses
    }

    /// The objects whose `replicas` belongs to an autoscaler: it must never be applied, and whoever owned the field before hands
    /// it over first.
    #[must_use]
    pub fn scaled(&self) -> &BTreeSet<Id> {
        &self.scaled
    }

    /// The kinds of its objects.
    #[must_use]
    pub fn kinds(&self) -> BTreeSet<Kind> {
        self.objects.iter().map(Object::kind).collect()
    }

    /// What people should know: each once, nothing that stops a deploy. Empty for what was read from a record.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// The objects that pods need before they can start: those that are applied before the first of them.
    pub fn needed_by_pods(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(|object| order::is_needed_by_pods(object.id()))
    }

    /// The config maps and secrets, for [`Rendered::prunable`] of another release.
    #[must_use]
    pub fn config(&self) -> BTreeSet<Id> {
        self.objects.iter().map(Object::id).filter(|id| suffix::is_config(id)).cloned().collect()
    }

    /// The digest of the whole set. It is the same whatever the order of documents and keys.
    #[must_use]
    pub fn digest(&self) -> Digest {
        record::digest(&self.objects)
    }
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
