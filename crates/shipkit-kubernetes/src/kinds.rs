//! `Kinds`: under which resource the cluster has objects of each kind, and whom they belong to.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResource, APIResourceList};
use kube::Api;
use kube::core::{ApiResource, DynamicObject};
use shipkit_core::manifests::{Kind, Scope};

use crate::cluster::Cluster;
use crate::error::{ClusterError, NOT_FOUND};

/// The kinds that were asked for and that the cluster has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kinds {
    known: BTreeMap<Kind, (ApiResource, Scope)>,
}

impl Kinds {
    /// Adds what was learnt later.
    pub(crate) fn extend(&mut self, more: Self) {
        self.known.extend(more.known);
    }

    /// The scope of each kind.
    pub(crate) fn scopes(&self) -> BTreeMap<Kind, Scope> {
        self.known.iter().map(|(kind, (_, scope))| (kind.clone(), *scope)).collect()
    }

    /// The resource of a kind; `None` if the cluster has no such kind.
    pub(crate) fn resource(&self, kind: &Kind) -> Option<&(ApiResource, Scope)> {
        self.known.get(kind)
    }

    /// Every kind with its resource.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Kind, &(ApiResource, Scope))> {
        self.known.iter()
    }
}

impl Cluster {
    /// Asks where these kinds are, with one request for each version of a group. Kinds that the cluster does not have are
    /// left out.
    pub(crate) async fn learn(&self, kinds: BTreeSet<Kind>) -> Result<Kinds, ClusterError> {
        let mut by_version: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
        for kind in kinds {
            by_version.entry(kind.api_version()).or_default().push(kind);
        }
        let mut known = Kinds::default();
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
        Ok(known)
    }

    /// The objects of a kind, in our namespace where they belong to one.
    pub(crate) fn objects_of(&self, (resource, scope): &(ApiResource, Scope)) -> Api<DynamicObject> {
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
