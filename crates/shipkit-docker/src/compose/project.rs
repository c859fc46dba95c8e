//! `ComposeProject`: which project is meant, and `docker compose` for it.

use std::collections::BTreeMap;
use std::time::Duration;

use shipkit_core::Secret;
use shipkit_core::compose::{Model, ProxyKind};

use super::Compose;
use super::error::ComposeError;
use crate::host::Host;
use crate::ssh::{Ended, HostCommand, Output};

/// How long rendering may take.
const RENDER: Duration = Duration::from_mins(1);
/// How long creating containers may take.
const CREATE: Duration = Duration::from_mins(3);
/// How long starting a service that shipkit does not replace may take, pulling included.
const UP: Duration = Duration::from_mins(15);
/// The most that Compose may say, in bytes: 16 MiB.
const OUTPUT: usize = 16 << 20;

/// A Compose project and how traffic reaches its services.
#[derive(Debug, Clone, Default)]
pub struct ComposeProject {
    /// Its name.
    pub stack: String,
    /// The folder on the host that relative paths in the files mean.
    pub directory: String,
    /// The Compose files on the host, in order; none where what is remembered is enough, as for going back.
    pub files: Vec<String>,
    /// Files with variables on the host; without any Compose takes `.env` of the folder.
    pub env_files: Vec<String>,
    /// Variables that the files may name and that are kept nowhere.
    pub secrets: BTreeMap<String, Secret>,
    /// The services that are replaced, each with the port at which the proxy reaches it, if its traffic comes that way.
    pub services: BTreeMap<String, Option<u16>>,
    /// The paths at which those services answer when they can serve, as far as they are known.
    pub ready: BTreeMap<String, String>,
    /// Where the traffic comes from.
    pub proxy: Option<Proxy>,
}

/// What passes requests on, as a service of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// What it is.
    pub kind: ProxyKind,
    /// The service.
    pub service: String,
    /// The folder in its container from which it takes its files, or in which it keeps its own one.
    pub directory: String,
}

impl ComposeProject {
    /// The port of a service whose traffic comes through the proxy, and the proxy.
    pub(crate) fn proxied(&self, service: &str) -> Option<(u16, &Proxy)> {
        Some(((*self.services.get(service)?)?, self.proxy.as_ref()?))
    }
}

impl Compose {
    /// The project as Compose renders it: once, for one run sees one project.
    pub(crate) async fn model(&self) -> Result<&Model, ComposeError> {
        let render = || async {
            let what = "render the project";
            let said = self.compose(&["config", "--format", "json"], RENDER).await?;
            Ok(Model::parse(&expect(said, what, true)?)?)
        };
        self.model.get_or_try_init(render).await
    }

    /// Makes the containers of a service that are missing to `total`, and starts none.
    pub(crate) async fn create(
        &self,
        model: &Model,
        service: &str,
        total: usize,
    ) -> Result<(), ComposeError> {
        let scale = format!("{service}={total}");
        let words = ["create", "--no-recreate", "--no-build", "--pull", "never", "--scale", &scale, service];
        let what = format!("create containers of `{service}`");
        let said = self.alone(model, &words, CREATE).await?;
        expect(said, &what, false).map(drop)
    }

    /// Starts a service that is not there, and touches none that is. `model` if it is not as the files have it.
    pub(crate) async fn up(&self, service: &str, model: Option<&Model>) -> Result<(), ComposeError> {
        let words = ["up", "--detach", "--no-deps", "--no-recreate", "--no-build", service];
        let what = format!("start `{service}`");
        let said = match model {
            Some(model) => self.alone(model, &words, UP).await?,
            None => self.compose(&words, UP).await?,
        };
        expect(said, &what, false).map(drop)
    }

    /// Makes the container of a service that is not there, as the files have it.
    pub(crate) async fn create_as_written(&self, service: &str) -> Result<(), ComposeError> {
        let words = ["create", "--no-recreate", "--no-build", service];
        // Without its dependencies: they come after it.
        let model = self.model().await?.without_dependencies(service);
        let model = model.ok_or_else(|| ComposeError::NotInFiles(service.to_owned()))?;
        let what = format!("create `{service}`");
        let said = self.alone(&model, &words, UP).await?;
        expect(said, &what, false).map(drop)
    }

    /// With a rendered project in place of the files.
    async fn alone(&self, model: &Model, words: &[&str], time: Duration) -> Result<Output, ComposeError> {
        let mut all = vec!["--file", "-"];
        all.extend(words);
        self.run(&all, model.value().to_string().as_bytes(), time).await
    }

    /// With the files of the project.
    async fn compose(&self, words: &[&str], time: Duration) -> Result<Output, ComposeError> {
        let files = self.project.files.iter().flat_map(|file| ["--file", file]);
        let mut all: Vec<&str> = files.collect();
        all.extend(words);
        self.run(&all, b"", time).await
    }

    async fn run(&self, words: &[&str], stdin: &[u8], time: Duration) -> Result<Output, ComposeError> {
        let project = &self.project;
        let mut argv = vec!["docker", "--host", &self.socket, "compose", "--project-name", &project.stack];
        argv.extend(["--project-directory", &project.directory]);
        argv.extend(project.env_files.iter().flat_map(|file| ["--env-file", file]));
        argv.extend(words);
        let command = HostCommand { argv: &argv, stdin, time, output: OUTPUT };
        Ok(self.host.run_with(&project.secrets, command).await?)
    }
}

/// Nothing, if `docker` is there and knows Compose: without the plugin it complains about the first word of a command that it
/// does not know.
pub(super) async fn has_compose(host: &Host) -> Result<(), ComposeError> {
    let said = host.run(HostCommand::new(&["docker", "compose", "version"])).await?;
    match said.ended {
        Ended::Code(0) => Ok(()),
        Ended::Code(_) | Ended::Signal(_) => Err(ComposeError::NoCompose(last_line(&said.stderr))),
    }
}

/// What a program said, or what it had against it.
fn expect(said: Output, what: &str, is_usage: bool) -> Result<Vec<u8>, ComposeError> {
    if said.ended == Ended::Code(0) {
        return Ok(said.stdout);
    }
    Err(ComposeError::Compose { what: what.to_owned(), reason: last_line(&said.stderr), is_usage })
}

/// The last line that says something.
pub(super) fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.unwrap_or("it does not say why").chars().take(1000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_says_something_is_the_reason() {
        assert_eq!(last_line(b"warning\n why \n\n"), "why");
        assert_eq!(last_line(b" \n"), "it does not say why");
    }
}
