//! The order in which objects are applied: what others need comes first.

use std::collections::{BTreeMap, BTreeSet};

use super::object::{Id, Object};
use super::scope::{Scope, built_in};
use super::template;
use super::{Part, Use};

/// Groups whose objects make config maps and secrets, which pods wait for.
const MAKE_CONFIG: [&str; 4] =
    ["bitnami.com", "cert-manager.io", "external-secrets.io", "secrets-store.csi.x-k8s.io"];

/// What an object is to others: the first is applied first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Namespace,
    Definition,
    Cluster,
    Limits,
    Account,
    Rights,
    Config,
    Claim,
    Service,
    Workload,
    Autoscaler,
    Budget,
    Route,
    Rest,
    /// What is called when others are applied: it must run first.
    Hook,
}

/// Puts objects in order: by what they are, workloads also by which service depends on which, and else as they were.
pub(super) fn ordered(
    mut objects: Vec<Object>,
    uses: &[Use],
    services: &BTreeMap<String, Part>,
) -> Vec<Object> {
    let levels = levels(services);
    let mut of_workloads: BTreeMap<&Id, usize> = BTreeMap::new();
    for one in uses {
        let level = levels.get(one.service.as_str()).copied().unwrap_or_default();
        let known = of_workloads.entry(&one.workload).or_default();
        *known = level.max(*known);
    }
    // What no release holds is known by its name alone.
    let named = |id: &Id| {
        let called = |(service, part): &(&String, &Part)| {
            let deployment = part.names.as_ref().and_then(|names| names.deployment.as_ref());
            *deployment.unwrap_or(service) == id.name
        };
        services.iter().find(called).and_then(|(service, _)| levels.get(service.as_str()).copied())
    };
    let level = |id: &Id| of_workloads.get(id).copied().or_else(|| named(id)).unwrap_or_default();
    objects.sort_by_cached_key(|object| {
        let rank = rank(object.id());
        (rank, if rank == Rank::Workload { level(object.id()) } else { 0 })
    });
    objects
}

/// How many services must be in place before each one, one after the other. A circle ends where it closes.
fn levels(services: &BTreeMap<String, Part>) -> BTreeMap<&str, usize> {
    let mut levels: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in services {
        let before = levels.clone();
        for (service, part) in services {
            let on = part.depends_on.iter().filter(|on| services.contains_key(on.as_str()));
            let deepest =
                on.map(|on| before.get(on.as_str()).copied().unwrap_or_default().saturating_add(1)).max();
            levels.insert(service, deepest.unwrap_or_default().min(services.len()));
        }
        if levels == before {
            break;
        }
    }
    levels
}

/// What an object is to others.
pub(super) fn rank(id: &Id) -> Rank {
    match (id.group.as_str(), id.kind.as_str()) {
        ("", "Namespace") => Rank::Namespace,
        ("apiextensions.k8s.io", _) => Rank::Definition,
        ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => Rank::Hook,
        ("", "LimitRange" | "ResourceQuota") | ("networking.k8s.io", "NetworkPolicy") => Rank::Limits,
        ("", "ServiceAccount") => Rank::Account,
        ("rbac.authorization.k8s.io", _) => Rank::Rights,
        ("", "ConfigMap" | "Secret") => Rank::Config,
        ("", "PersistentVolumeClaim") => Rank::Claim,
        ("", "Endpoints" | "Service") | ("discovery.k8s.io", _) => Rank::Service,
        ("autoscaling" | "autoscaling.k8s.io" | "keda.sh", _) => Rank::Autoscaler,
        ("policy", _) => Rank::Budget,
        ("networking.k8s.io", "Ingress") | ("gateway.networking.k8s.io" | "traefik.io", _) => Rank::Route,
        (group, _) if MAKE_CONFIG.contains(&group) => Rank::Config,
        (group, kind) if built_in(group, kind) == Some(Scope::Cluster) => Rank::Cluster,
        _ if template::pointer(id).is_some() => Rank::Workload,
        _ if id.namespace.is_none() => Rank::Cluster,
        _ => Rank::Rest,
    }
}

/// Whether it makes pods.
pub(super) fn is_workload(id: &Id) -> bool {
    rank(id) == Rank::Workload
}

/// Whether pods need it before they can start.
pub(super) fn is_needed_by_pods(id: &Id) -> bool {
    rank(id) < Rank::Service
}

/// Names in the order in which their objects are taken away: what others need goes last.
pub(super) fn backwards(ids: BTreeSet<Id>) -> Vec<Id> {
    let mut ids: Vec<Id> = ids.into_iter().collect();
    ids.sort_by_key(|id| std::cmp::Reverse(rank(id)));
    ids
}
