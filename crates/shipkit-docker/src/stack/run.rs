//! `docker stack` on the host, for the engine that is meant there.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use shipkit_core::stack::StackFile;
use shipkit_core::{Secret, SshAddress};

use super::{Stack, StackError, StackFiles};
use crate::error::SwarmError;
use crate::host::Host;
use crate::ssh::{Ended, HostCommand, Output};
use crate::swarm::Login;

/// How long rendering may take.
const RENDER: Duration = Duration::from_mins(1);
/// How long telling the Swarm may take; pulling is not in it.
const DEPLOY: Duration = Duration::from_mins(3);
/// The most that `docker` may say, in bytes: 16 MiB.
const OUTPUT: usize = 16 << 20;
/// The first version that knows `docker stack config`.
const CONFIG: u32 = 23;
/// The first version that can be told whether to wait.
const DETACH: u32 = 26;
/// The variable with the login, and the key of Docker Hub in Docker's configuration.
const LOGIN: &str = "SHIPKIT_LOGIN";
const HUB: &str = "https://index.docker.io/v1/";

/// Arguments: folder, registry, command. Docker asks a program of ours for the login, and that has it from its environment: so
/// it is never in a file.
const WITH_LOGIN: &str = r#"
set -eu
umask 077
mkdir -p "$1"
printf '{"credHelpers":{"%s":"shipkit"}}\n' "$2" > "$1/config.json"
printf '#!/bin/sh\ncat > /dev/null\nprintf %%s "$SHIPKIT_LOGIN"\n' > "$1/docker-credential-shipkit"
chmod 700 "$1/docker-credential-shipkit"
export DOCKER_CONFIG="$1" PATH="$1:$PATH"
shift 2
exec "$@"
"#;

/// Where `docker` finds an engine, on its host.
pub(super) fn socket(engine: &str) -> Result<String, StackError> {
    if engine.starts_with("ssh://") {
        let address: SshAddress = engine.parse().map_err(SwarmError::from)?;
        Ok(format!("unix://{}", address.socket()))
    } else if engine.starts_with("unix://") {
        Ok(engine.to_owned())
    } else {
        Err(StackError::BadHost(engine.to_owned()))
    }
}

/// The files as Docker renders them.
pub(super) async fn render(host: &Host, socket: &str, files: &StackFiles) -> Result<StackFile, StackError> {
    let version = version(host).await?;
    if version < CONFIG {
        return Err(StackError::TooOld(version));
    }
    let mut argv = vec!["docker", "--host", socket, "stack", "config"];
    argv.extend(files.files.iter().flat_map(|file| ["--compose-file", file]));
    let command = HostCommand { argv: &argv, stdin: b"", time: RENDER, output: OUTPUT };
    let said = host.run_with(&files.variables, command).await?;
    match said.ended {
        Ended::Code(0) => Ok(StackFile::parse(&said.stdout)?),
        Ended::Code(_) | Ended::Signal(_) => Err(StackError::NotRendered(last_line(&said))),
    }
}

/// The major version of the client on the host.
async fn version(host: &Host) -> Result<u32, StackError> {
    let said = host.run(HostCommand::new(&["docker", "--version"])).await?;
    let text = String::from_utf8_lossy(&said.stdout);
    major(&text).ok_or_else(|| StackError::NoVersion(text.trim().to_owned()))
}

/// Of `Docker version 28.2.2, build e6534b4`.
fn major(text: &str) -> Option<u32> {
    text.split_once("version ")?.1.split_once('.')?.0.parse().ok()
}

impl Stack {
    /// Hands a file to `docker stack deploy`.
    pub(super) async fn deploy(&self, file: &Value, login: Option<&Login>) -> Result<(), StackError> {
        let words = ["docker", "--host", &self.socket, "stack", "deploy", "--with-registry-auth"];
        let mut argv: Vec<&str> = words.to_vec();
        // Images are by digest: there is nothing to be found out about them.
        argv.extend(["--resolve-image", "never", "--compose-file", "-"]);
        if DETACH <= version(&self.host).await? {
            argv.push("--detach=true");
        }
        argv.push(&self.name);
        let mut variables = BTreeMap::new();
        let folder = format!("{}/login", self.host.folder(&self.name));
        let registry = login.map(registry_key).unwrap_or_default();
        if let Some(login) = login {
            variables.insert(LOGIN.to_owned(), credentials(login));
            argv = [&["sh", "-c", WITH_LOGIN, "sh", &folder, &registry], argv.as_slice()].concat();
        }
        let stdin = file.to_string();
        let command = HostCommand { argv: &argv, stdin: stdin.as_bytes(), time: DEPLOY, output: OUTPUT };
        let said = self.host.run_with(&variables, command).await?;
        match said.ended {
            Ended::Code(0) => Ok(()),
            Ended::Code(_) | Ended::Signal(_) => Err(StackError::Refused(last_line(&said))),
        }
    }
}

/// What Docker calls a registry.
fn registry_key(login: &Login) -> String {
    if login.registry == "docker.io" { HUB.to_owned() } else { login.registry.clone() }
}

/// A login as a credential helper of Docker says it.
fn credentials(login: &Login) -> Secret {
    let said = json!({
        "ServerURL": registry_key(login), "Username": login.username, "Secret": login.password.reveal(),
    });
    Secret::new(said.to_string())
}

/// The last line that says something.
fn last_line(said: &Output) -> String {
    let text = String::from_utf8_lossy(&said.stderr);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.unwrap_or("it does not say why").chars().take(1000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_client_is_read() {
        assert_eq!(major("Docker version 28.2.2, build e6534b4\n"), Some(28));
        assert_eq!(major("Docker version 20.10.24+dfsg1, build 297e128\n"), Some(20));
        assert_eq!(
            (major("podman version 4.3.1"), major(""), major("Docker version x.y")),
            (Some(4), None, None)
        );
    }

    #[test]
    fn an_engine_is_found_where_the_files_are() {
        assert_eq!(socket("unix:///x.sock").unwrap(), "unix:///x.sock");
        assert_eq!(socket("ssh://a@b").unwrap(), "unix:///var/run/docker.sock");
        assert!(matches!(socket("tcp://a:1"), Err(StackError::BadHost(_))));
    }

    #[test]
    fn a_login_is_said_as_docker_wants_it() {
        let login = |registry: &str| Login {
            registry: registry.to_owned(),
            username: "u".to_owned(),
            password: "p\"".into(),
        };
        let said = |registry: &str| credentials(&login(registry)).reveal().to_owned();
        assert_eq!(said("ghcr.io"), r#"{"ServerURL":"ghcr.io","Username":"u","Secret":"p\""}"#);
        assert!(said("docker.io").contains(HUB));
    }
}
