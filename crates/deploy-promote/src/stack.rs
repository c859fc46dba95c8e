//! A Swarm whose services stand in stack files: the files where Docker reads them, and the services of a release in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use shipkit_core::config::{EnvFile, Source};
use shipkit_core::stack::files_beside;
use shipkit_core::target::{Desired, DesiredService, Observed, Stamp};
use shipkit_core::{Digest, ImageRef, ProjectPath, Release, Secret};
use shipkit_docker::{Host, Stack, StackFiles, Swarm};
use shipkit_registry::Registry;
use shipkit_runner::{Failure, Runner};

use crate::project::{self, Project};
use crate::{compose, desired, docker};

/// The most that an environment file on the host may have, in bytes: 1 MiB.
const ENV_FILE: usize = 1 << 20;

/// Brings the files to where Docker reads them, and has them rendered.
pub(crate) async fn connect(
    project: &Project<'_>,
    swarm: &Swarm,
    (stack, address): (&str, &str),
    runner: &Runner,
) -> Result<Stack, Failure> {
    let access = docker::access(address, project.args, runner)?;
    let host = compose::host(address, &access, runner).await?;
    let target = &project.environment.target;
    let here = compose::folder(project)?;
    let beside = beside(&here, &target.files)?;
    let brought_to = if address.starts_with("ssh://") {
        let all: BTreeSet<ProjectPath> = target.files.iter().chain(beside.keys()).cloned().collect();
        Some(host.upload(stack, &here, &all.into_iter().collect::<Vec<_>>()).await?)
    } else {
        None
    };
    let there = brought_to.clone().unwrap_or_else(|| here.to_string_lossy().into_owned());
    let at = |path: &ProjectPath| format!("{there}/{path}");
    let files = StackFiles {
        stack: stack.to_owned(),
        files: target.files.iter().map(at).collect(),
        contents: beside.iter().map(|(path, content)| (at(path), content.clone())).collect(),
        variables: variables(project, &here, &host).await?,
        environment: environment(project),
        brought_to,
    };
    Ok(Stack::render((swarm.clone(), address), host, files).await?)
}

/// The files beside those of the stack that Docker reads as well and that are there, each with the digest of its content.
fn beside(here: &Path, files: &[ProjectPath]) -> Result<BTreeMap<ProjectPath, Digest>, Failure> {
    let folder =
        files.first().and_then(|first| first.as_str().rsplit_once('/')).map_or("", |(folder, _)| folder);
    let mut all = BTreeMap::new();
    for file in files {
        let text = read(&here.join(file.as_str()))?;
        for path in files_beside(file.as_str(), &text, folder)? {
            // What is missing is for Docker to tell, who knows whether it matters.
            let content = std::fs::read(here.join(path.as_str()));
            all.extend(content.ok().map(|content| (path, Digest::of(&content))));
        }
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::usage(format!("`{}` cannot be read: {error}", path.display())))
}

/// What the files may name: the environment file, and the secrets, which count more.
async fn variables(
    project: &Project<'_>,
    here: &Path,
    host: &Host,
) -> Result<BTreeMap<String, Secret>, Failure> {
    let target = &project.environment.target;
    let (text, name) = match &target.env_file {
        None => return Ok(project.values.clone()),
        Some(EnvFile::Project(path)) => (Some(read(&here.join(path.as_str()))?), path.to_string()),
        Some(EnvFile::Host(path)) => (host.read(path, ENV_FILE).await?, path.clone()),
    };
    let text = text.ok_or_else(|| Failure::usage(format!("`{name}` is not on the Docker host")))?;
    let text = Secret::new(String::from_utf8_lossy(&text).into_owned());
    let mut variables = project::dotenv(Some(&text), &name)?;
    variables.extend(project.values.clone());
    Ok(variables)
}

/// Further variables of the services that are built here.
fn environment(project: &Project<'_>) -> BTreeMap<String, BTreeMap<String, String>> {
    let services = project.config.services.iter();
    let built = services.filter(|(_, service)| matches!(service.source, Source::Build(_)));
    built.map(|(name, service)| (name.clone(), desired::environment(project, service))).collect()
}

/// The services of the files as they should be. What is built here has the image of the release, everything else the one that
/// its tag names now; what holds data and is there keeps the image it has.
pub(crate) async fn wanted(
    (project, files): (&Project<'_>, &Stack),
    release: &Release,
    (name, stamp): (&str, Stamp),
    registry: &Registry,
    observed: &Observed,
) -> Result<Desired, Failure> {
    let named: BTreeMap<&str, Option<&str>> = files.services().collect();
    refuse_missing(project, &named)?;
    let mut services = Vec::new();
    for (name, image) in named {
        let service = project.config.services.get(name);
        if project.config.group.is_some() && service.is_none() {
            continue;
        }
        if let Some(service) = service.filter(|service| matches!(service.source, Source::Build(_))) {
            let built = desired::built(release, name, service)?;
            let said = files.desired(name, built.image.clone())?;
            services.push(DesiredService { settings: said.settings, depends_on: Vec::new(), ..built });
            continue;
        }
        let stateful = service.is_some_and(|service| service.stateful);
        let there = observed.services.iter().find(|there| there.name == name && stateful);
        let image: ImageRef = match (there.and_then(|there| there.image.clone()), image) {
            (Some(image), _) => image,
            (None, Some(text)) => desired::resolved(registry, name, text).await?,
            (None, None) => return Err(without_image(name)),
        };
        services.push(DesiredService { stateful, ..files.desired(name, image)? });
    }
    Ok(Desired { stack: name.to_owned(), stamp, services })
}

fn without_image(name: &str) -> Failure {
    Failure::usage(format!(
        "`services.{name}` of the stack files has no `image`, and shipkit.yml does not build it"
    ))
    .with_hint(format!("name `{name}` in shipkit.yml with its `build`, or give it an `image`"))
}

/// A service of shipkit.yml that no file names would be left out without a word; of those that a Compose file beside it names,
/// only what is built counts.
fn refuse_missing(project: &Project<'_>, named: &BTreeMap<&str, Option<&str>>) -> Result<(), Failure> {
    let counts = |source: &Source| matches!(source, Source::Build(_)) || project.config.compose.is_none();
    let services = project.config.services.iter().filter(|(_, service)| counts(&service.source));
    match services.map(|(name, _)| name).find(|name| !named.contains_key(name.as_str())) {
        Some(name) => Err(shipkit_docker::StackError::NotInFiles(name.clone()).into()),
        None => Ok(()),
    }
}
