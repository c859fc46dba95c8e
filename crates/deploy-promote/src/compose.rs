//! A Compose project as the configuration describes it: the host that it is on, its files, and what reaches its services.

use std::path::PathBuf;

use shipkit_core::ProjectPath;
use shipkit_core::config::{COMPOSE_FILES, EnvFile, Source};
use shipkit_docker::{Access, Compose, ComposeProject, Host, HostError, Proxy, Ssh};
use shipkit_runner::{Failure, Runner, env};

use crate::docker;
use crate::project::Project;

/// Connects to the project on its host. Only a deploy needs its files: what goes back finds on the host what it needs.
pub(crate) async fn connect(
    project: &Project<'_>,
    (stack, address): (&str, &str),
    runner: &Runner,
) -> Result<(Compose, Host), Failure> {
    let access = docker::access(address, project.args, runner)?;
    let host = host(address, &access, runner).await?;
    let compose = if project.is_deploy {
        let is_remote = address.starts_with("ssh://");
        files(project, stack, is_remote.then_some(&host)).await?
    } else {
        ComposeProject { directory: host.folder(stack), ..ComposeProject::default() }
    };
    let compose = ComposeProject {
        stack: stack.to_owned(),
        secrets: project.values.clone(),
        services: replaced(project),
        ready: ready(project),
        proxy: project.environment.target.proxy.as_ref().map(|proxy| Proxy {
            kind: proxy.kind,
            service: proxy.service.clone(),
            directory: proxy.directory.clone(),
        }),
        ..compose
    };
    Ok((Compose::connect(address, &access, host.clone(), compose).await?, host))
}

/// Where the Docker host is that is meant.
pub(crate) async fn host(address: &str, access: &Access, runner: &Runner) -> Result<Host, Failure> {
    if !address.starts_with("ssh://") {
        return Ok(Host::here(runner.env().get(env::HOME).unwrap_or_default())?);
    }
    let server = address.parse().map_err(shipkit_docker::SwarmError::from)?;
    let ssh = Ssh::connect(&server, &access.ssh).await.map_err(HostError::from)?;
    Ok(Host::over(ssh).await?)
}

/// The services that are built here, each with the port at which the proxy reaches it. What holds data is never replaced.
fn replaced(project: &Project<'_>) -> std::collections::BTreeMap<String, Option<u16>> {
    let has_proxy = project.environment.target.proxy.is_some();
    let services = project.config.services.iter();
    let built = services.filter(|(_, one)| matches!(one.source, Source::Build(_)) && !one.stateful);
    built.map(|(name, service)| (name.clone(), service.port.filter(|_| has_proxy))).collect()
}

/// The paths at which services answer when they can serve.
fn ready(project: &Project<'_>) -> std::collections::BTreeMap<String, String> {
    let services = project.config.services.iter();
    services
        .filter_map(|(name, one)| Some((name.clone(), one.healthcheck.as_ref()?.ready.clone()?)))
        .collect()
}

/// The files of the project where Compose runs: in the checkout, or on the `remote` host, to which they are brought.
async fn files(project: &Project<'_>, stack: &str, remote: Option<&Host>) -> Result<ComposeProject, Failure> {
    let target = &project.environment.target;
    let here = folder(project)?;
    let files = match target.files.as_slice() {
        [] => vec![beside(&here)?],
        files => files.to_vec(),
    };
    let uploaded = match (&target.env_file, files.clone()) {
        (Some(EnvFile::Project(path)), files) => [files, vec![path.clone()]].concat(),
        (Some(EnvFile::Host(_)) | None, files) => files,
    };
    let there = match remote {
        Some(host) => host.upload(stack, &here, &uploaded).await?,
        None => here.to_string_lossy().into_owned(),
    };
    let at = |path: &ProjectPath| format!("{there}/{path}");
    Ok(ComposeProject {
        files: files.iter().map(at).collect(),
        env_files: target
            .env_file
            .iter()
            .map(|file| match file {
                EnvFile::Project(path) => at(path),
                EnvFile::Host(path) => path.clone(),
            })
            .collect(),
        directory: target.directory.clone().unwrap_or(there),
        ..ComposeProject::default()
    })
}

/// The folder of `shipkit.yml`.
pub(crate) fn folder(project: &Project<'_>) -> Result<PathBuf, Failure> {
    let file = project.args.directory.join(&project.args.config);
    let found = file.parent().map(|folder| if folder.as_os_str().is_empty() { ".".as_ref() } else { folder });
    let folder = found.unwrap_or_else(|| ".".as_ref());
    std::fs::canonicalize(folder)
        .map_err(|error| Failure::usage(format!("`{}` cannot be found: {error}", folder.display())))
}

/// The Compose file that counts where none is named.
fn beside(folder: &std::path::Path) -> Result<ProjectPath, Failure> {
    let found = COMPOSE_FILES.iter().find(|name| folder.join(name).is_file());
    found.and_then(|name| name.parse().ok()).ok_or_else(|| {
        Failure::usage(format!("there is no Compose file in `{}`", folder.display()))
            .with_hint("put `compose.yaml` beside shipkit.yml, or name `target.files`")
    })
}
