//! `Auth`: challenges, tokens and logins. A password goes to its registry and to the token server that this registry
//! names, and nowhere else.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use shipkit_core::Secret;
use tokio::time::Instant;

use crate::error::Error;
use crate::{Credentials, Login};

/// What a registry answers to a request without the right authorization (RFC 9110, 11.6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

/// Who we are, and what registries have told us so far.
#[derive(Debug)]
pub(crate) struct Auth {
    logins: Vec<Login>,
    challenges: Mutex<HashMap<String, Challenge>>,
    tokens: Mutex<HashMap<(String, Vec<String>), Token>>,
}

#[derive(Debug, Clone)]
struct Token {
    secret: Secret,
    expires: Instant,
}

/// A token server's answer (distribution: docs/spec/auth/token.md); both names of the token are in use.
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Auth {
    pub(crate) fn new(credentials: Credentials) -> Result<Self, Error> {
        let mut logins: Vec<Login> = credentials.login.into_iter().collect();
        if let Some(folder) = credentials.docker_config {
            // After the login that was given: the first one for a host counts.
            logins.extend(docker_logins(&folder.join("config.json"))?);
        }
        Ok(Self { logins, challenges: Mutex::default(), tokens: Mutex::default() })
    }

    pub(crate) fn challenge(&self, registry: &str) -> Option<Challenge> {
        lock(&self.challenges).get(registry).cloned()
    }

    pub(crate) fn remember(&self, registry: &str, challenge: Challenge) {
        lock(&self.challenges).insert(registry.to_owned(), challenge);
    }

    /// The value of `Authorization: Basic` for a registry, if we have a login there.
    pub(crate) fn basic(&self, registry: &str) -> Option<Secret> {
        let login = self.logins.iter().find(|login| canonical(&login.registry) == canonical(registry))?;
        let pair = format!("{}:{}", login.username, login.password.reveal());
        Some(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(pair))))
    }

    /// A token that is still good for these scopes.
    pub(crate) fn token(&self, registry: &str, scopes: &[String]) -> Option<Secret> {
        let tokens = lock(&self.tokens);
        let token = tokens.get(&(registry.to_owned(), scopes.to_vec()))?;
        (Instant::now() < token.expires).then(|| token.secret.clone())
    }

    pub(crate) fn forget_token(&self, registry: &str, scopes: &[String]) {
        lock(&self.tokens).remove(&(registry.to_owned(), scopes.to_vec()));
    }

    /// Keeps the token of an answer; `None` when there is none in it.
    pub(crate) fn keep(&self, registry: &str, scopes: &[String], answer: TokenAnswer) -> Option<Secret> {
        let text = answer.token.or(answer.access_token).filter(|token| !token.is_empty())?;
        let secret = Secret::new(format!("Bearer {text}"));
        // The spec's default is 60 s. A token is not used in its last fifth, at most 10 s, of life.
        let life = Duration::from_secs(answer.expires_in.unwrap_or(60).min(24 * 60 * 60));
        let margin = (life / 5).min(Duration::from_secs(10));
        let expires = Instant::now() + life.saturating_sub(margin);
        let token = Token { secret: secret.clone(), expires };
        lock(&self.tokens).insert((registry.to_owned(), scopes.to_vec()), token);
        Some(secret)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The maps are whole after every statement, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Docker Hub has three names, and Docker's file uses the oldest with a path.
fn canonical(host: &str) -> &str {
    match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    }
}

fn docker_logins(path: &Path) -> Result<Vec<Login>, Error> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(default)]
        auths: HashMap<String, Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        auth: Option<String>,
    }
    let bad = |why: String| Error::DockerConfig { path: path.to_owned(), why };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(bad(error.to_string())),
    };
    // The parser's own message could quote a password, so only the place is told.
    let config: Config = serde_json::from_slice(&text)
        .map_err(|e| bad(format!("line {}, column {} is not as Docker writes it", e.line(), e.column())))?;
    let mut logins = Vec::new();
    for (host, entry) in config.auths {
        // Without `auth` a helper or an identity token keeps the login.
        let Some(auth) = entry.auth.filter(|auth| !auth.is_empty()) else { continue };
        let pair = BASE64_STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((username, password)) = pair.as_deref().and_then(|pair| pair.split_once(':')) else {
            return Err(bad(format!("the login for `{host}` is not base64 of `user:password`")));
        };
        let bare = host.trim_start_matches("https://").trim_start_matches("http://");
        logins.push(Login {
            registry: bare.split('/').next().unwrap_or(bare).to_owned(),
            username: username.to_owned(),
            password: Secret::new(password.trim_end_matches('\0')),
        });
    }
    Ok(logins)
}

/// Reads the challenges of one `WWW-Authenticate` header; those of unknown schemes are left out.
pub(crate) fn challenges(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut rest = header.trim_start();
    while !rest.is_empty() {
        let (scheme, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let (parameters, after) = parameters(after);
        let value = |name: &str| {
            parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            found.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = value("realm")
        {
            found.push(Challenge::Bearer { realm, service: value("service") });
        }
        rest = after;
    }
    found
}

/// `key=value` and `key="value"`, separated by commas, up to what is not a parameter: the next scheme.
fn parameters(mut text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        let Some((key, after)) = text.split_once('=') else { return (found, text) };
        if key.trim_end().contains([' ', '\t', ',']) {
            return (found, text);
        }
        let (value, after) = if let Some(quoted) = after.trim_start().strip_prefix('"') {
            unquote(quoted)
        } else {
            let end = after.find([',', ' ', '\t']).unwrap_or(after.len());
            let (value, after) = after.split_at_checked(end).unwrap_or((after, ""));
            (value.to_owned(), after)
        };
        found.push((key.trim_end().to_owned(), value));
        text = after;
    }
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    (value, characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) }
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let ghcr =
            r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a/b:pull,push""#;
        assert_eq!(challenges(ghcr), [bearer("https://ghcr.io/token", Some("ghcr.io"))]);
        assert_eq!(challenges(r#"Basic realm="Registry Realm""#), [Challenge::Basic]);
        assert_eq!(challenges("Basic"), [Challenge::Basic]);
        assert_eq!(challenges("bearer realm=http://a/t"), [bearer("http://a/t", None)]);
        assert_eq!(
            challenges(r#"Negotiate, Basic realm="a, b=c", Bearer realm="https://x/\"t""#),
            [Challenge::Basic, bearer("https://x/\"t", None)]
        );
        assert_eq!(challenges(r#"Bearer service="x""#), []);
    }

    #[test]
    fn any_text_ends() {
        for text in ["", ",", "=", "\"", "Bearer", "Bearer =", "a=\"", "Bearer realm=\"\\", ",,=,=", "é=é, é"]
        {
            challenges(text);
        }
    }

    #[test]
    fn the_login_given_comes_before_the_one_of_docker() {
        let folder = tempfile::tempdir().unwrap();
        let auth = |pair: &str| BASE64_STANDARD.encode(pair);
        let config = serde_json::json!({"auths": {
            "ghcr.io": {"auth": auth("docker:a:b")},
            "https://index.docker.io/v1/": {"auth": auth("hub:secret")},
            "helper.example": {},
        }});
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let auth_of =
            |login| Auth::new(Credentials { login, docker_config: Some(folder.path().to_owned()) }).unwrap();
        let basic = |auth: &Auth, host: &str| auth.basic(host).map(|secret| secret.reveal().to_owned());
        let expected = |pair: &str| Some(format!("Basic {}", auth(pair)));
        assert_eq!(basic(&auth_of(None), "ghcr.io"), expected("docker:a:b"));
        assert_eq!(basic(&auth_of(None), "docker.io"), expected("hub:secret"));
        assert_eq!(basic(&auth_of(None), "helper.example"), None);
        let given = Login { registry: "ghcr.io".to_owned(), username: "me".to_owned(), password: "p".into() };
        assert_eq!(basic(&auth_of(Some(given.clone())), "ghcr.io"), expected("me:p"));
        assert_eq!(basic(&auth_of(Some(given)), "evil.ghcr.io"), None);
    }

    #[test]
    fn a_broken_docker_config_is_an_error_that_shows_no_password() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), r#"{"auths":{"a":{"auth":"hunter2"#).unwrap();
        let credentials = Credentials { login: None, docker_config: Some(folder.path().to_owned()) };
        let error = Auth::new(credentials).unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("line 1"), "{error}");
    }
}
