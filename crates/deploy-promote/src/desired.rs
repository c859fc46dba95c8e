//! The stack as it should be: configuration and release, in the target's words.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shipkit_core::config::{
    Approval, Because, Compose, Config, Environment, FailureAction, Healthcheck, Service, Source, Strategy,
    TargetKind,
};
use shipkit_core::target::{
    Desired, DesiredService, HealthCheck, Observed, Order, Replacement, Settings, Stamp, Update, VolumeMount,
};
use shipkit_core::{ImageRef, Release, Repository, Tag};
use shipkit_docker::{Edge, Swarm};
use shipkit_kubernetes::Cluster;
use shipkit_registry::Registry;
use shipkit_runner::Failure;

use crate::project::Project;

/// What this version cannot do is refused before anything changes: a migration that is silently left out costs data.
pub(crate) fn refuse_what_is_missing(config: &Config, environment: &Environment) -> Result<(), Failure> {
    let target = &environment.target;
    let is_way = |way| move |service: &Service| slots(service, environment) == Some(way);
    let is_any = |way| config.services.values().any(is_way(way)) || environment.strategy == way;
    let is_compose = target.kind == TargetKind::Compose;
    let is_cluster = target.kind == TargetKind::Kubernetes;
    let is_command = target.kind == TargetKind::Command;
    let is_files = target.is_stack_of_files();
    let missing = [
        (is_command && environment.migrate.is_some(), "migrate"),
        (!is_cluster && environment.backup_job.is_some(), "backup.service"),
        (!is_compose && !is_files && !target.files.is_empty(), "target.files"),
        (!is_compose && !is_files && target.env_file.is_some(), "target.env_file"),
        (
            (is_command || is_files || is_cluster && target.manifests.is_none())
                && config.services.values().any(is_way(Strategy::BlueGreen)),
            if is_cluster {
                "strategy: blue-green` without `target.manifests"
            } else {
                "strategy: blue-green"
            },
        ),
        (
            (!is_cluster || target.manifests.is_none()) && is_any(Strategy::Canary),
            if is_cluster { "strategy: canary` without `target.manifests" } else { "strategy: canary" },
        ),
        (target.kustomize.is_some(), "target.kustomize"),
        ((is_cluster || is_command) && !environment.environment.is_empty(), "environment"),
    ];
    let named: Vec<_> =
        missing.iter().filter(|(is_set, _)| *is_set).map(|(_, key)| format!("`{key}`")).collect();
    let place = match target.kind {
        TargetKind::Compose => "in a Compose project",
        TargetKind::Kubernetes => "in a cluster",
        TargetKind::Swarm => "on a Swarm",
        TargetKind::Command => "with commands",
    };
    if named.is_empty() {
        refuse_two_ways(config, environment)?;
        if target.kind == TargetKind::Swarm && !is_files {
            refuse_what_does_not_shift(config, environment)?;
            refuse_what_compose_knows(config)?;
        }
        return Ok(());
    }
    let sentence = format!(
        "`environments.{}` asks for {}, which this version cannot do {place}",
        environment.name,
        named.join(", "),
    );
    Err(Failure::usage(sentence).with_hint("take it out of shipkit.yml, or do it in a step before"))
}

/// All that has slots changes them together, so it does so in one way.
fn refuse_two_ways(config: &Config, environment: &Environment) -> Result<(), Failure> {
    let find = |way| config.services.iter().find(|(_, one)| slots(one, environment) == Some(way));
    let (Some((canary, _)), Some((other, _))) = (find(Strategy::Canary), find(Strategy::BlueGreen)) else {
        return Ok(());
    };
    let sentence = format!(
        "`{canary}` is `strategy: canary` and `{other}` is `strategy: blue-green` in `environments.{}`, and all services with slots \
         change them together",
        environment.name
    );
    Err(Failure::usage(sentence).with_hint("make both the same"))
}

/// How requests to a service shift between two slots, if it should have some.
pub(crate) fn slots(service: &Service, environment: &Environment) -> Option<Strategy> {
    let way = service.strategy.unwrap_or(environment.strategy);
    let has_slots = match way {
        Strategy::BlueGreen | Strategy::Canary => !service.stateful,
        Strategy::Rolling | Strategy::Recreate => false,
    };
    has_slots.then_some(way)
}

/// Whether the service has two slots on a Swarm: what is not built here is replaced task by task, whatever the environment says
/// of the rest.
fn is_shifted(service: &Service, environment: &Environment) -> bool {
    slots(service, environment).is_some() && matches!(service.source, Source::Build(_))
}

/// On a Swarm nothing can shift but what Traefik sends: the names of services are resolved to all of their tasks.
fn refuse_what_does_not_shift(config: &Config, environment: &Environment) -> Result<(), Failure> {
    let shifted = || config.services.iter().filter(|(_, one)| is_shifted(one, environment));
    let Some((first, _)) = shifted().next() else { return Ok(()) };
    if environment.target.proxy.is_none() {
        let key = format!("environments.{}.target", environment.name);
        let sentence = format!(
            "`{first}` is `strategy: blue-green`, and on a Swarm only what Traefik sends can shift: `{key}` names no `proxy`"
        );
        return Err(Failure::usage(sentence).with_hint(format!("give `{key}.proxy: {{traefik: SERVICE}}`")));
    }
    for (name, service) in shifted() {
        let sentence = match (service.port, namesake(config, name), dependent(config, name)) {
            (None, _, _) => {
                format!(
                    "`services.{name}` is `strategy: blue-green` and has no `port` that Traefik could send to"
                )
            }
            (_, Some(other), _) => {
                format!(
                    "`services.{other}` has the name of the second slot of `{name}`, which is `strategy: blue-green`"
                )
            }
            (_, _, Some(other)) => format!(
                "`services.{other}.depends_on` names `{name}`, and on a Swarm no name reaches what is `strategy: blue-green`"
            ),
            (Some(_), None, None) => continue,
        };
        let hint = format!(
            "give `services.{name}` a port, names of its own, and callers that reach it through Traefik and do not depend on \
             it; or `strategy: rolling`"
        );
        return Err(Failure::usage(sentence).with_hint(hint));
    }
    Ok(())
}

/// The service that has the name of another one's second slot.
fn namesake<'a>(config: &'a Config, name: &str) -> Option<&'a str> {
    config.services.keys().find(|other| other.strip_suffix(Swarm::SECOND) == Some(name)).map(String::as_str)
}

/// A service that says that it calls another one.
fn dependent<'a>(config: &'a Config, name: &str) -> Option<&'a str> {
    let mut services = config.services.iter();
    services.find(|(_, one)| one.depends_on.iter().any(|on| on == name)).map(|(other, _)| other.as_str())
}

/// Traefik and the services that it sends to, where some of a Swarm are replaced by a shift.
pub(crate) fn edge(config: &Config, environment: &Environment) -> Option<Edge> {
    let service = environment.target.proxy.as_ref()?.service.clone();
    let shifted = config.services.iter().filter(|(_, one)| is_shifted(one, environment));
    let ports = shifted.filter_map(|(name, one)| Some((name.clone(), one.port?))).collect();
    Some(Edge { service, ports })
}

/// A proxy that is to know nobody would only look as if it did: who it passes requests on to has a `port`.
pub(crate) fn refuse_proxy_for_nobody(config: &Config, environment: &Environment) -> Result<(), Failure> {
    let is_behind =
        |one: &Service| matches!(one.source, Source::Build(_)) && !one.stateful && one.port.is_some();
    if environment.target.proxy.is_none() || config.services.values().any(is_behind) {
        return Ok(());
    }
    let sentence = format!(
        "`environments.{}.target.proxy` has nobody to pass requests on to: no service that is built has a `port`",
        environment.name
    );
    Err(Failure::usage(sentence)
        .with_hint("name the services in shipkit.yml, with the `port` of each that is reached through it"))
}

/// A service of a Compose file whose command or data cannot be given to a Swarm would be another one there.
fn refuse_what_compose_knows(config: &Config) -> Result<(), Failure> {
    let Some(Compose { file, left }) = &config.compose else { return Ok(()) };
    let essence = left.iter().filter(|left| left.because == Because::Essence);
    let paths: Vec<_> = essence.map(|left| format!("`{}`", left.path())).collect();
    if paths.is_empty() {
        return Ok(());
    }
    let sentence = format!("this version cannot give {} of {file} to a Swarm", paths.join(", "));
    let hint = "give images their command (a stage for each, and `build.target`) and named volumes, and name in shipkit.yml \
                the services that are deployed";
    Err(Failure::usage(sentence).with_hint(hint))
}

/// What a Compose file says about how its services run and the target has its own settings for: one sentence.
fn left_in_compose(config: &Config) -> Option<String> {
    let Compose { file, left } = config.compose.as_ref()?;
    let mut services: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for left in left.iter().filter(|left| left.because == Because::Run) {
        services.entry(&left.key).or_default().push(&left.service);
    }
    let keys = services.iter().map(|(key, names)| format!("`{key}` ({})", names.join(", ")));
    let keys = keys.collect::<Vec<_>>().join(", ");
    (!keys.is_empty()).then(|| format!("{keys} of {file}: the target keeps what it has"))
}

/// Keys that this version does not act upon and that do not change what a deploy means: one sentence each.
pub(crate) fn ignored(config: &Config, environment: &Environment) -> Vec<String> {
    let key = format!("environments.{}", environment.name);
    let mut remarks = Vec::new();
    if environment.approval == Approval::Required {
        remarks
            .push(format!("`{key}.approval` is not checked: give the GitHub environment required reviewers"));
    }
    if !environment.notify.is_empty() {
        remarks.push(format!("`{key}.notify` is not acted upon: nobody is told"));
    }
    let is_cluster = environment.target.kind == TargetKind::Kubernetes;
    let is_files = environment.target.is_stack_of_files();
    let is_compose = environment.target.kind == TargetKind::Compose;
    if environment.target.kind == TargetKind::Command {
        // How services run is all for the commands to say.
        return remarks;
    }
    if is_files && environment.strategy != Strategy::Rolling {
        remarks.push(format!("`{key}.strategy` is not acted upon: the stack files state it"));
    }
    let is_idle = |edge: Edge| edge.ports.is_empty() && !is_cluster && !is_compose;
    if edge(config, environment).is_some_and(is_idle) {
        remarks.push(format!("`{key}.target.proxy` is not acted upon: no service is `strategy: blue-green`"));
    }
    remarks.extend(left_in_compose(config).filter(|_| !is_cluster && !is_compose && !is_files));
    for (name, service) in &config.services {
        if is_cluster {
            remarks.extend(left_to_manifests(name, service));
            continue;
        }
        if is_compose || is_files {
            remarks.extend(left_to_files(name, service, is_files).filter(|_| config.compose.is_none()));
            continue;
        }
        if service.deploy.resources.is_some() {
            remarks.push(format!(
                "`services.{name}.deploy.resources` is not acted upon: the target keeps the limits it has"
            ));
        }
        if service.deploy.update.failure_action != FailureAction::Rollback {
            remarks.push(format!(
                "`services.{name}.deploy.update_config.failure_action` is not acted upon: the Swarm rolls back"
            ));
        }
    }
    remarks
}

/// Keys of a service that a cluster states in its own manifests, where they already are.
fn left_to_manifests(name: &str, service: &Service) -> Vec<String> {
    let is_built = matches!(service.source, Source::Build(_));
    let keys = [
        (service.deploy.replicas.is_some(), "deploy.replicas"),
        (service.deploy.resources.is_some(), "deploy.resources"),
        (!service.environment.is_empty(), "environment"),
        (!service.secrets.is_empty(), "secrets"),
        (!service.volumes.is_empty(), "volumes"),
    ];
    let set = keys.iter().filter(|(is_set, _)| is_built && *is_set);
    set.map(|(_, key)| {
        format!("`services.{name}.{key}` is not acted upon: the deployment in the cluster states it")
    })
    .collect()
}

/// Keys of a service that the files which describe it state themselves.
fn left_to_files(name: &str, service: &Service, is_stack: bool) -> impl Iterator<Item = String> {
    let files = if is_stack { "stack" } else { "Compose" };
    let keys = [
        (is_stack && service.deploy.replicas.is_some(), "deploy.replicas"),
        (is_stack && service.strategy.is_some(), "strategy"),
        (service.deploy.resources.is_some(), "deploy.resources"),
        (!service.secrets.is_empty(), "secrets"),
        (!service.volumes.is_empty(), "volumes"),
        (service.healthcheck.as_ref().is_some_and(|check| check.test.is_some()), "healthcheck.test"),
        (service.stop_grace_period.is_some(), "stop_grace_period"),
    ];
    let set = keys.into_iter().filter(|(is_set, _)| *is_set);
    set.map(move |(_, key)| format!("`services.{name}.{key}` is not acted upon: the {files} files state it"))
}

/// The services that are built here, as they should be in a cluster: their images. Everything else stands in the
/// manifests, and what is not built here or holds data does so altogether.
pub(crate) fn workloads(
    project: &Project<'_>,
    release: &Release,
    (cluster, stamp): (&Cluster, Stamp),
) -> Result<Desired, Failure> {
    let settings = Settings { manifests: cluster.manifests_digest(), ..Settings::default() };
    let mut services = Vec::new();
    for (name, service) in &project.config.services {
        if !matches!(service.source, Source::Build(_)) || service.stateful {
            continue;
        }
        services.push(DesiredService { settings: settings.clone(), ..built(release, name, service)? });
    }
    Ok(Desired { stack: cluster.namespace().to_owned(), stamp, services })
}

/// The services that are built here, as they should be in a Compose project: their images, and how they are replaced where
/// the Compose files do not say. Everything else stands in those files, and what is not built here does so altogether.
pub(crate) fn project(
    project: &Project<'_>,
    release: &Release,
    (stack, stamp): (&str, Stamp),
) -> Result<Desired, Failure> {
    let mut services = Vec::new();
    for (name, service) in &project.config.services {
        if !matches!(service.source, Source::Build(_)) {
            continue;
        }
        let settings = Settings {
            replicas: service.deploy.replicas,
            environment: environment(project, service),
            update: update(project, service),
            ..Settings::default()
        };
        services.push(DesiredService { settings, ..built(release, name, service)? });
    }
    Ok(Desired { stack: stack.to_owned(), stamp, services })
}

/// The variables of a service that is built here, over those of the files that describe it. Where it stands in the Compose file
/// beside `shipkit.yml`, its own are read from there by whoever reads that.
pub(crate) fn environment(project: &Project<'_>, service: &Service) -> BTreeMap<String, String> {
    let mut environment =
        if project.config.compose.is_some() { BTreeMap::new() } else { service.environment.clone() };
    environment.extend(project.environment.environment.clone());
    environment
}

/// A service that is built here, with the image that the release has of it.
pub(crate) fn built(release: &Release, name: &str, service: &Service) -> Result<DesiredService, Failure> {
    let built = release.services.get(name).ok_or_else(|| not_built(release, name))?;
    Ok(DesiredService {
        name: name.to_owned(),
        image: built.image(),
        platforms: built.platforms.values().cloned().collect(),
        revision: built.revision.clone(),
        depends_on: service.depends_on.clone(),
        stateful: service.stateful,
        settings: Settings::default(),
    })
}

fn not_built(release: &Release, name: &str) -> Failure {
    let hint = "build a release of this commit's shipkit.yml, or deploy with the configuration of the release's commit";
    Failure::usage(format!("release {} holds no image of `{name}`", release.version)).with_hint(hint)
}

/// The whole stack. Images that the project does not build are resolved to the digest that their tag names now; one
/// that holds data and is there keeps the image it has, whatever the registry says.
pub(crate) async fn stack(
    project: &Project<'_>,
    release: &Release,
    (stack, stamp): (&str, Stamp),
    registry: &Registry,
    observed: &Observed,
) -> Result<Desired, Failure> {
    let mut services = Vec::new();
    for (name, service) in &project.config.services {
        let (image, revision) = match (&service.source, release.services.get(name)) {
            (Source::Build(_), Some(built)) => (built.image(), built.revision.clone()),
            (Source::Build(_), None) => return Err(not_built(release, name)),
            (Source::Image(text), _) => {
                let there = observed.services.iter().find(|there| there.name == *name && service.stateful);
                match there.and_then(|there| there.image.clone()) {
                    Some(image) => (image, String::new()),
                    None => (resolved(registry, name, text).await?, String::new()),
                }
            }
        };
        services.push(DesiredService {
            name: name.clone(),
            image,
            platforms: BTreeSet::new(),
            revision,
            depends_on: service.depends_on.clone(),
            stateful: service.stateful,
            settings: settings(project, name, service)?,
        });
    }
    Ok(Desired { stack: stack.to_owned(), stamp, services })
}

/// An image somebody else built, by digest.
pub(crate) async fn resolved(registry: &Registry, name: &str, text: &str) -> Result<ImageRef, Failure> {
    if let Ok(image) = text.parse() {
        return Ok(image);
    }
    let tag_at = text.rfind(':').filter(|at| text.rfind('/').is_none_or(|slash| slash < *at));
    let (repository, tag) = match tag_at {
        Some(at) => (text.get(..at).unwrap_or(text), text.get(at + 1..).unwrap_or_default()),
        None => (text, "latest"),
    };
    let bad =
        |error: shipkit_core::reference::BadName| Failure::usage(format!("`services.{name}.image`: {error}"));
    let repository: Repository = repository.parse().map_err(bad)?;
    let tag: Tag = tag.parse().map_err(bad)?;
    match registry.resolve(&repository, &tag).await? {
        Some(digest) => Ok(repository.at(&digest)),
        None => {
            Err(Failure::usage(format!("`services.{name}.image`: the registry has no `{repository}:{tag}`")))
        }
    }
}

fn settings(project: &Project<'_>, name: &str, service: &Service) -> Result<Settings, Failure> {
    let is_built = matches!(service.source, Source::Build(_));
    let mut environment: BTreeMap<_, _> = service.environment.clone();
    let mut secrets = service.secrets.clone();
    if is_built {
        environment.extend(project.environment.environment.clone());
        secrets.extend(
            project.environment.secrets.iter().filter(|secret| !service.secrets.contains(secret)).cloned(),
        );
    }
    let mut volumes = Vec::new();
    for volume in &service.volumes {
        match volume.split_once(':') {
            Some((volume, path)) => {
                volumes.push(VolumeMount { volume: volume.to_owned(), path: path.to_owned() });
            }
            None => {
                return Err(Failure::usage(format!(
                    "`services.{name}.volumes`: `{volume}` is not `<volume>:</path>`"
                )));
            }
        }
    }
    Ok(Settings {
        replicas: service.deploy.replicas,
        environment,
        secrets,
        volumes,
        healthcheck: service.healthcheck.as_ref().and_then(health),
        endpoint_mode: service.deploy.endpoint_mode,
        stop_grace: service.stop_grace_period,
        update: match update(project, service) {
            shifted if is_shifted(service, &project.environment) => shifted,
            // What replaces tasks by itself knows no other way than task by task; `strategy` is in the order.
            update => Update { replacement: Replacement::Rolling, ..update },
        },
        compose: None,
        manifests: None,
    })
}

/// How the service is replaced.
pub(crate) fn update(project: &Project<'_>, service: &Service) -> Update {
    let update = &service.deploy.update;
    let (order, replacement) = match service.strategy.unwrap_or(project.environment.strategy) {
        Strategy::Recreate => (Order::StopFirst, Replacement::Recreate),
        Strategy::Rolling => (update.order, Replacement::Rolling),
        // Nothing in shipkit.yml says how long the old ones still run.
        Strategy::BlueGreen | Strategy::Canary => {
            (update.order, Replacement::BlueGreen { bake: Duration::ZERO })
        }
    };
    Update {
        parallelism: update.parallelism,
        delay: update.delay,
        order,
        monitor: update.monitor,
        replacement,
    }
}

/// The container's health check, where the configuration states its command; else the image's own counts.
fn health(check: &Healthcheck) -> Option<HealthCheck> {
    let test = check.test.clone()?;
    Some(HealthCheck {
        test,
        interval: check.interval.unwrap_or(Duration::from_secs(30)),
        timeout: check.timeout.unwrap_or(Duration::from_secs(30)),
        retries: check.retries.unwrap_or(3),
        start_period: check.start_period.unwrap_or_default(),
    })
}
