//! `DockerConfig`: the logins of the Docker client, in its own order: the helper of the registry, the store, the file.
//!
//! A helper is a program of the user's. Its name must be one word, so that the file cannot name any other program; what
//! it prints is read and never shown.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use shipkit_core::Secret;
use shipkit_core::reference::canonical_registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use crate::Login;
use crate::credentials::IDENTITY;
use crate::error::Error;

/// A login is a line of JSON; an identity token has some kilobytes.
const ANSWER_LIMIT: u64 = 64 * 1024;
/// What helpers print when they know no login (docker-credential-helpers, `credentials/error.go`).
const UNKNOWN: &str = "credentials not found in native keychain";
/// The name by which Docker keeps the login for Docker Hub.
const HUB: &str = "https://index.docker.io/v1/";

/// Docker's `config.json`, as far as it says who we are.
#[derive(Debug)]
pub(crate) struct DockerConfig {
    path: PathBuf,
    stated: Stated,
    patience: Duration,
    /// Where helpers are looked for, if not in this program's `PATH`.
    search: Option<OsString>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stated {
    #[serde(default)]
    auths: HashMap<String, Entry>,
    #[serde(default)]
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    identitytoken: Option<String>,
}

/// What a helper answers to `get`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl DockerConfig {
    /// Reads `config.json` in `folder`; `None` where there is none.
    pub(crate) fn read(folder: &Path, patience: Duration) -> Result<Option<Self>, Error> {
        let path = folder.join("config.json");
        let bad = |why: String| Error::DockerConfig { path: path.clone(), why };
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(bad(error.to_string())),
        };
        // The parser's own message could quote a password, so only the place is told.
        let stated = serde_json::from_slice(&text).map_err(|e| {
            bad(format!("line {}, column {} is not as Docker writes it", e.line(), e.column()))
        })?;
        Ok(Some(Self { path, stated, patience, search: None }))
    }

    /// The login for a registry, if there is one.
    pub(crate) async fn login(&self, registry: &str) -> Result<Option<Login>, Error> {
        let own = find(&self.stated.cred_helpers, registry);
        let helper = own.or(self.stated.creds_store.as_ref()).filter(|name| !name.is_empty());
        if let Some(helper) = helper
            && let Some(login) = self.ask(helper, registry).await?
        {
            return Ok(Some(login));
        }
        find(&self.stated.auths, registry).map_or(Ok(None), |entry| self.kept(registry, entry))
    }

    /// The login that the file itself keeps.
    fn kept(&self, registry: &str, entry: &Entry) -> Result<Option<Login>, Error> {
        let login = |username: &str, password: Secret| {
            Some(Login { registry: registry.to_owned(), username: username.to_owned(), password })
        };
        if let Some(token) = entry.identitytoken.as_deref().filter(|token| !token.is_empty()) {
            return Ok(login(IDENTITY, token.into()));
        }
        // Without `auth` a helper keeps the login.
        let Some(auth) = entry.auth.as_deref().filter(|auth| !auth.is_empty()) else {
            return Ok(None);
        };
        let pair = BASE64_STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((username, password)) = pair.as_deref().and_then(|pair| pair.split_once(':')) else {
            let why = format!("the login for `{registry}` is not base64 of `user:password`");
            return Err(Error::DockerConfig { path: self.path.clone(), why });
        };
        Ok(login(username, Secret::new(password.trim_end_matches('\0'))))
    }

    /// Asks a credential helper; `None` where it knows no login.
    async fn ask(&self, helper: &str, registry: &str) -> Result<Option<Login>, Error> {
        let is_word = helper.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !is_word {
            let why = format!("`{helper}` is not the name of a credential helper");
            return Err(Error::DockerConfig { path: self.path.clone(), why });
        }
        let program = format!("docker-credential-{helper}");
        let bad =
            |why: String| Error::Helper { program: program.clone(), registry: registry.to_owned(), why };
        let answer = timeout(self.patience, self.run(&program, registry));
        let (is_fine, text) = answer
            .await
            .map_err(|_elapsed| bad(format!("it did not end within {:?}", self.patience)))?
            .map_err(|error| bad(error.to_string()))?;
        if !is_fine {
            let is_unknown = String::from_utf8_lossy(&text).trim() == UNKNOWN;
            return if is_unknown { Ok(None) } else { Err(bad("it failed".to_owned())) };
        }
        let answer: Answer = serde_json::from_slice(&text)
            .map_err(|_could_quote_a_password| bad("its answer is not a login".to_owned()))?;
        if answer.username.is_empty() && answer.secret.is_empty() {
            return Ok(None);
        }
        let password = Secret::new(answer.secret);
        Ok(Some(Login { registry: registry.to_owned(), username: answer.username, password }))
    }

    /// Runs a helper; whether it ended well, and what it printed.
    async fn run(&self, program: &str, registry: &str) -> std::io::Result<(bool, Vec<u8>)> {
        let mut command = Command::new(program);
        command
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some(search) = &self.search {
            command.env("PATH", search);
        }
        let mut process = command.spawn()?;
        if let Some(mut stdin) = process.stdin.take() {
            let server = if registry == "docker.io" { HUB } else { registry };
            // A helper that does not read is one that fails; its exit code says so.
            stdin.write_all(server.as_bytes()).await.ok();
        }
        let mut text = Vec::new();
        if let Some(stdout) = process.stdout.take() {
            stdout.take(ANSWER_LIMIT).read_to_end(&mut text).await?;
        }
        Ok((process.wait().await?.success(), text))
    }
}

/// What is kept for a registry, whose name in the file may be a URL; for Docker Hub it is its oldest, with a path.
fn find<'a, T>(kept: &'a HashMap<String, T>, registry: &str) -> Option<&'a T> {
    let host = |name: &str| {
        let bare = name.trim_start_matches("https://").trim_start_matches("http://");
        canonical_registry(bare.split('/').next().unwrap_or(bare)).to_owned()
    };
    kept.get(registry).or_else(|| kept.iter().find(|(name, _)| host(name) == registry).map(|(_, kept)| kept))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;

    /// A folder with a configuration, and with credential helpers that are these shell scripts.
    fn folder(config: &Value, helpers: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        for (name, script) in helpers {
            let path = folder.path().join(format!("docker-credential-{name}"));
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    fn read(folder: &TempDir) -> DockerConfig {
        let mut config = DockerConfig::read(folder.path(), Duration::from_secs(10)).unwrap().unwrap();
        let mut search = folder.path().as_os_str().to_owned();
        search.push(":/usr/bin:/bin");
        config.search = Some(search);
        config
    }

    async fn login(config: &DockerConfig, registry: &str) -> Option<(String, String)> {
        let login = config.login(registry).await.unwrap()?;
        Some((login.username, login.password.reveal().to_owned()))
    }

    fn pair(username: &str, password: &str) -> (String, String) {
        (username.to_owned(), password.to_owned())
    }

    #[tokio::test]
    async fn logins_are_read_as_docker_writes_them() {
        let auth = |pair: &str| BASE64_STANDARD.encode(pair);
        let config = json!({"auths": {
            "ghcr.io": {"auth": auth("docker:a:b")},
            "https://index.docker.io/v1/": {"auth": auth("hub:secret")},
            "acr.example": {"auth": auth("00000000:"), "identitytoken": "refresh"},
            "helper.example": {},
            "broken.example": {"auth": "%"},
        }});
        let config = read(&folder(&config, &[]));
        assert_eq!(login(&config, "ghcr.io").await, Some(pair("docker", "a:b")));
        assert_eq!(login(&config, "docker.io").await, Some(pair("hub", "secret")));
        assert_eq!(login(&config, "acr.example").await, Some(pair(IDENTITY, "refresh")));
        assert_eq!(login(&config, "helper.example").await, None);
        assert_eq!(login(&config, "evil.ghcr.io").await, None);
        let error = config.login("broken.example").await.unwrap_err().to_string();
        assert!(error.contains("is not base64"), "{error}");
    }

    #[tokio::test]
    async fn the_helper_of_a_registry_comes_first_then_the_store_then_the_file() {
        let auth = BASE64_STANDARD.encode("file:f");
        let entry = || json!({"auth": auth});
        let config = json!({
            "auths": {"own.example": entry(), "any.example": entry(), "unknown.example": entry()},
            "credHelpers": {"own.example": "own", "index.docker.io": "own"},
            "credsStore": "store",
        });
        let own = r#"read server; echo "{\"Username\":\"own $1\",\"Secret\":\"$server\"}""#;
        let store = r#"read server
            if [ "$server" = unknown.example ]; then echo "credentials not found in native keychain"; exit 1; fi
            echo "{\"ServerURL\":\"$server\",\"Username\":\"<token>\",\"Secret\":\"s\"}""#;
        let folder = folder(&config, &[("own", own), ("store", store)]);
        let config = read(&folder);
        assert_eq!(login(&config, "own.example").await, Some(pair("own get", "own.example")));
        assert_eq!(login(&config, "docker.io").await, Some(pair("own get", HUB)));
        assert_eq!(login(&config, "any.example").await, Some(pair(IDENTITY, "s")));
        assert_eq!(login(&config, "unknown.example").await, Some(pair("file", "f")));
    }

    #[tokio::test]
    async fn a_helper_that_does_not_help_is_an_error_that_shows_nothing_of_it() {
        let config = json!({"credHelpers": {
            "fails.example": "fails", "hangs.example": "hangs", "babbles.example": "babbles",
            "missing.example": "missing", "path.example": "../../bin/sh", "upper.example": "A b",
        }});
        let helpers = [
            ("fails", "echo hunter2; echo hunter2 >&2; exit 3"),
            ("hangs", "exec tail -f /dev/null"),
            ("babbles", "echo '{\"Username\":\"me\",\"Secret\":hunter2}'"),
        ];
        let folder = folder(&config, &helpers);
        let mut config = read(&folder);
        for (registry, expected) in [
            ("fails.example", "it failed"),
            ("babbles.example", "its answer is not a login"),
            ("missing.example", "No such file"),
            ("path.example", "is not the name of a credential helper"),
            ("upper.example", "is not the name of a credential helper"),
        ] {
            let error = config.login(registry).await.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!format!("{error} {error:?} {config:?}").contains("hunter2"), "{error}");
        }
        config.patience = Duration::from_millis(100);
        let error = config.login("hangs.example").await.unwrap_err();
        assert!(error.to_string().contains("it did not end within 100ms"), "{error}");
    }

    #[test]
    fn a_broken_file_is_an_error_that_shows_no_password_and_a_missing_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let read = || DockerConfig::read(folder.path(), Duration::from_secs(10));
        assert!(read().unwrap().is_none());
        std::fs::write(folder.path().join("config.json"), r#"{"auths":{"a":{"auth":"hunter2"#).unwrap();
        let error = read().unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("line 1"), "{error}");
    }
}
