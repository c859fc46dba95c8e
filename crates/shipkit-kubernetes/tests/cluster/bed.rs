//! `Bed`: a namespace with deployments, and the releases that are deployed to it.

use std::collections::BTreeSet;
use std::time::Duration;

use shipkit_core::rollout::Next;
use shipkit_core::target::{Change, Desired, DesiredService, Observed, Settings, Stamp, plan};
use shipkit_core::{Digest, ImageRef, Repository};
use shipkit_kubernetes::{Access, Applied, Cluster, ClusterError, Place, Workload};
use shipkit_tests::server::kubernetes::{Namespace, kubeconfig};

/// Longer than any rollout that works.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);
/// How long all must stay as it should be.
pub(crate) const MONITOR: Duration = Duration::from_millis(200);

pub(crate) struct Bed {
    pub(crate) namespace: Namespace,
    pub(crate) cluster: Cluster,
}

pub(crate) fn workload(name: &str) -> Workload {
    let name = name.to_owned();
    Workload { service: name.clone(), name: name.clone(), container: name, monitor: MONITOR }
}

pub(crate) fn image(content: &str) -> ImageRef {
    let repository: Repository = "registry.example/shop/app".parse().unwrap();
    repository.at(&Digest::of(content.as_bytes()))
}

/// A release: each service with the content of its image. `minute` orders the deploys.
pub(crate) fn release(version: &str, minute: u8, services: &[(&str, &str)]) -> Desired {
    let stamp = Stamp {
        release: Digest::of(version.as_bytes()),
        version: version.to_owned(),
        commit: "c".repeat(40),
        environment: "staging".to_owned(),
        run: None,
        time: format!("2026-01-02T03:{minute:02}:00Z").parse().unwrap(),
    };
    let service = |(name, content): &(&str, &str)| DesiredService {
        name: (*name).to_owned(),
        image: image(content),
        platforms: BTreeSet::from([Digest::of(format!("{content} amd64").as_bytes())]),
        revision: "r".to_owned(),
        depends_on: Vec::new(),
        stateful: false,
        settings: Settings::default(),
    };
    Desired { stack: "shop".to_owned(), stamp, services: services.iter().map(service).collect() }
}

/// Name, version, whether it is confirmed, and how many pods run which image.
type Shown = (String, Option<String>, bool, Vec<(String, u64)>);

impl Bed {
    /// A namespace in which these services already run something that shipkit did not deploy.
    pub(crate) fn new(name: &str, services: &[&str]) -> Self {
        let namespace = Namespace::new(name);
        for service in services {
            namespace.deployment(service, "registry.example/shop/app:before");
        }
        let cluster = cluster(&namespace, services, &[]).unwrap();
        Self { namespace, cluster }
    }

    pub(crate) fn observe(&self) -> Observed {
        self.namespace.wait(self.cluster.observe()).unwrap()
    }

    /// The plan's steps but those that change nothing, carried out and not waited for.
    pub(crate) fn apply(&self, desired: &Desired) -> Vec<Applied> {
        let changes = plan(desired, &self.observe());
        let apply = |change: &Change| self.namespace.wait(self.cluster.apply(desired, change)).unwrap();
        changes.iter().filter_map(apply).collect()
    }

    pub(crate) fn arrive(&self, applied: &Applied, deadline: Duration) -> Next {
        self.namespace.wait(self.cluster.rollout(applied, deadline, |_| {})).unwrap()
    }

    /// A deploy that works, confirmed.
    pub(crate) fn deploy(&self, desired: &Desired) {
        for applied in self.apply(desired) {
            assert_eq!(self.arrive(&applied, DEADLINE), Next::Done);
        }
        self.namespace.wait(self.cluster.confirm(desired)).unwrap();
    }

    /// The sentence with which a deploy of one service fails.
    pub(crate) fn fails(&self, desired: &Desired, deadline: Duration) -> (Applied, String) {
        let applied = self.apply(desired).pop().unwrap();
        let next = self.arrive(&applied, deadline);
        let Next::RollBack { cause } = next else { panic!("{next:?}") };
        (applied, cause)
    }

    /// The version, whether it is confirmed, and the image that runs, with how many pods: for each service.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let services = self.observe().services.into_iter();
        let shown = services.map(|service| {
            let version = service.stamp.map(|stamp| stamp.version);
            (service.name, version, service.is_confirmed, service.running.into_iter().collect())
        });
        shown.collect()
    }
}

/// What runs in a service of three pods.
pub(crate) fn three(content: &str) -> Vec<(String, u64)> {
    vec![(image(content).digest.to_string(), 3)]
}

pub(crate) fn cluster(
    namespace: &Namespace,
    services: &[&str],
    secrets: &[&str],
) -> Result<Cluster, ClusterError> {
    let access = Access::File { path: kubeconfig(), context: Some("bed".to_owned()) };
    namespace.wait(Cluster::connect(&access, place(namespace.name(), services, secrets)))
}

pub(crate) fn place(namespace: &str, services: &[&str], secrets: &[&str]) -> Place {
    Place {
        project: "shop".to_owned(),
        namespace: Some(namespace.to_owned()),
        workloads: services.iter().map(|name| workload(name)).collect(),
        secrets: secrets.iter().map(|&name| name.to_owned()).collect(),
        has_jobs: false,
        has_manifests: false,
        canary: Vec::new(),
    }
}
