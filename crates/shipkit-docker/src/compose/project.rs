//! `ComposeProject`: which project is meant, and `docker compose` for it.

use std::collections::BTreeMap;
use std::time::Duration;

use shipkit_core::Secret;
use shipkit_core::compose::Model;
use shipkit_core::ssh::shell_line;

use super::Compose;
use super::error::ComposeError;
use super::host::{Said, last_line};

/// How long rendering may take.
const RENDER: Duration = Duration::from_mins(1);
/// How long creating containers may take.
const CREATE: Duration = Duration::from_mins(3);
/// How long starting a service that shipkit does not replace may take, pulling included.
const UP: Duration = Duration::from_mins(15);
/// Takes its first standard input, as many bytes as `$1` says, as assignments of shell variables for the program, so that
/// values appear in no file and in no list of processes.
const WITH_SECRETS: &str = r#"
size=$1
shift
set -a
eval "$(dd bs=1 count="$size" 2> /dev/null)"
set +a
exec "$@"
"#;

/// A Compose project and how traffic reaches its services.
#[derive(Debug, Clone, Default)]
pub struct ComposeProject {
    /// Its name.
    pub stack: String,
    /// The folder on the host that relative paths in the files mean.
    pub directory: String,
    /// The Compose files on the host, in order; without any Compose looks for them in the folder.
    pub files: Vec<String>,
    /// Files with variables on the host; without any Compose takes `.env` of the folder.
    pub env_files: Vec<String>,
    /// Variables that the files may name and that are kept nowhere.
    pub secrets: BTreeMap<String, Secret>,
    /// The services that are replaced, each with the port at which nginx reaches it, if its traffic comes that way.
    pub services: BTreeMap<String, Option<u16>>,
    /// Where the traffic comes from.
    pub proxy: Option<Proxy>,
}

/// nginx as a service of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The service.
    pub service: String,
    /// The folder in its container from which it includes `*.conf`.
    pub directory: String,
}

impl ComposeProject {
    /// The port of a service whose traffic comes through nginx, and nginx.
    pub(crate) fn proxied(&self, service: &str) -> Option<(u16, &Proxy)> {
        Some(((*self.services.get(service)?)?, self.proxy.as_ref()?))
    }
}

impl Compose {
    /// The project as Compose renders it: once, for one run sees one project.
    pub(crate) async fn model(&self) -> Result<&Model, ComposeError> {
        let render = || async {
            let what = "render the project";
            let said = self.compose(what, &["config", "--format", "json"], b"", RENDER).await?;
            if said.code != Some(0) {
                self.has_compose().await?;
            }
            Ok(Model::parse(&expect(said, what, true)?)?)
        };
        self.model.get_or_try_init(render).await
    }

    /// Without the plugin, `docker` complains about the first word that it does not know.
    async fn has_compose(&self) -> Result<(), ComposeError> {
        let argv = ["docker", "compose", "version"];
        let said = self.host.run("ask for the version of Compose", &argv, b"", RENDER).await?;
        if said.code == Some(0) { Ok(()) } else { Err(ComposeError::NoCompose(last_line(&said.stderr))) }
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
        let said = self.alone(&what, model, &words, CREATE).await?;
        expect(said, &what, false).map(drop)
    }

    /// Starts a service that is not there, and touches none that is. `model` if it is not as the files have it.
    pub(crate) async fn up(&self, service: &str, model: Option<&Model>) -> Result<(), ComposeError> {
        let words = ["up", "--detach", "--no-deps", "--no-recreate", "--no-build", service];
        let what = format!("start `{service}`");
        let said = match model {
            Some(model) => self.alone(&what, model, &words, UP).await?,
            None => self.compose(&what, &words, b"", UP).await?,
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
        let said = self.alone(&what, &model, &words, UP).await?;
        expect(said, &what, false).map(drop)
    }

    /// With a rendered project in place of the files.
    async fn alone(
        &self,
        what: &str,
        model: &Model,
        words: &[&str],
        time: Duration,
    ) -> Result<Said, ComposeError> {
        let mut all = vec!["--file", "-"];
        all.extend(words);
        self.run(what, &all, model.value().to_string().as_bytes(), time).await
    }

    /// With the files of the project.
    async fn compose(
        &self,
        what: &str,
        words: &[&str],
        stdin: &[u8],
        time: Duration,
    ) -> Result<Said, ComposeError> {
        let files = self.project.files.iter().flat_map(|file| ["--file", file]);
        let mut all: Vec<&str> = files.collect();
        all.extend(words);
        self.run(what, &all, stdin, time).await
    }

    async fn run(
        &self,
        what: &str,
        words: &[&str],
        stdin: &[u8],
        time: Duration,
    ) -> Result<Said, ComposeError> {
        let project = &self.project;
        let mut argv = vec!["docker", "--host", &self.socket, "compose", "--project-name", &project.stack];
        argv.extend(["--project-directory", &project.directory]);
        argv.extend(project.env_files.iter().flat_map(|file| ["--env-file", file]));
        argv.extend(words);
        if project.secrets.is_empty() {
            return self.host.run(what, &argv, stdin, time).await;
        }
        let mut input = assignments(&project.secrets).into_bytes();
        let size = input.len().to_string();
        input.extend_from_slice(stdin);
        let mut all = vec!["sh", "-c", WITH_SECRETS, "sh", &size];
        all.extend(argv);
        self.host.run(what, &all, &input, time).await
    }
}

/// Assignments as a shell reads them.
fn assignments(secrets: &BTreeMap<String, Secret>) -> String {
    let line = |(name, value): (&String, &Secret)| {
        // A value with a NUL byte cannot be in an environment.
        Some(format!("{name}={}\n", shell_line(&[value.reveal()])?))
    };
    secrets.iter().filter_map(line).collect()
}

/// What a program said, or what it had against it.
fn expect(said: Said, what: &str, is_usage: bool) -> Result<Vec<u8>, ComposeError> {
    if said.code == Some(0) {
        return Ok(said.stdout);
    }
    Err(ComposeError::Compose { what: what.to_owned(), reason: last_line(&said.stderr), is_usage })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reaches_the_shell_as_it_is() {
        let secrets = BTreeMap::from([("A".to_owned(), Secret::from("it's $(x)\n2"))]);
        assert_eq!(assignments(&secrets), "A='it'\\''s $(x)\n2'\n");
    }
}
