//! `Kinds`: under which resource the cluster has objects of each kind, and whom they belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResource, APIResourceList};
use kube::Api;
use kube::core::{ApiResource, DynamicObject};
use shipkit_core::manifests::{Kind, Scope};

use crate::cluster::Cluster;
use crate::error::{ClusterError, NOT_FOUND};

/// Where the objects of a kind are, and whom they belong to.
pub(crate) type Resource = (ApiResource, Scope);

/// The kinds that were asked for and that the cluster has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kinds {
    known: BTreeMap<Kind, Resource>,
}

impl Kinds {
    /// The scope of each kind.
    pub(crate) fn scopes(&self) -> BTreeMap<Kind, Scope> {
        self.known.iter().map(|(kind, (_, scope))| (kind.clone(), *scope)).collect()
    }

    /// Every kind with its resource.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Kind, &Resource)> {
        self.known.iter()
    }
}

impl Cluster {
    /// Where these kinds are. What is not known yet is asked, with one request for each version of a group. Kinds that the
    /// cluster does not have are left out, and asked for again: their definitions may come.
    pub(crate) async fn learn(&self, kinds: BTreeSet<Kind>) -> Result<Kinds, ClusterError> {
        let (mut known, mut by_version) = (Kinds::default(), BTreeMap::<String, Vec<Kind>>::new());
        {
            let before = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
            for kind in kinds {
                match before.known.get(&kind) {
                    Some(resource) => drop(known.known.insert(kind, resource.clone())),
                    None => by_version.entry(kind.api_version()).or_default().push(kind),
                }
            }
        }
        for (version, kinds) in by_version {
            let Some(list) = self.resources(&version).await? else { continue };
            for kind in kinds {
                // A subresource has a kind, too, and a slash in its name.
                let is_it = |one: &&APIResource| one.kind == kind.kind && !one.name.contains('/');
                let Some(found) = list.resources.iter().find(is_it) else { continue };
                let scope = if found.namespaced { Scope::Namespaced } else { Scope::Cluster };
                let resource = ApiResource {
                    group: kind.group.clone(),
                    version: kind.version.clone(),
                    api_version: version.clone(),
                    kind: kind.kind.clone(),
                    plural: found.name.clone(),
                };
                known.known.insert(kind, (resource, scope));
            }
        }
        let mut all = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        all.known.extend(known.known.clone());
        Ok(known)
    }

    /// Where a kind is; `None` if the cluster has no such kind.
    pub(crate) async fn resource(&self, kind: &Kind) -> Result<Option<Resource>, ClusterError> {
        Ok(self.learn([kind.clone()].into()).await?.known.remove(kind))
    }

    /// The objects of a kind, in our namespace where they belong to one.
    pub(crate) fn objects_of(&self, (resource, scope): &Resource) -> Api<DynamicObject> {
        match scope {
            Scope::Namespaced => Api::namespaced_with(self.client.clone(), &self.namespace, resource),
            Scope::Cluster => Api::all_with(self.client.clone(), resource),
        }
    }

    async fn resources(&self, version: &str) -> Result<Option<APIResourceList>, ClusterError> {
        let list = if version.contains('/') {
            self.ask("list resources", self.client.list_api_group_resources(version)).await
        } else {
            self.ask("list resources", self.client.list_core_api_resources(version)).await
        };
        match list {
            Ok(list) => Ok(Some(list)),
            Err(error) if error.status() == Some(NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
