//! `Auth`: challenges, tokens and logins. A password goes to its registry and to the token server that this registry
//! names, and nowhere else.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use shipkit_core::Secret;
use shipkit_core::reference::canonical_registry;
use tokio::time::Instant;

use crate::credentials::{Credentials, Login};
use crate::docker_config::DockerConfig;
use crate::error::Error;

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
    docker: Option<DockerConfig>,
    /// What Docker's configuration said for a registry: its helpers are slow, and some ask a person.
    found: tokio::sync::Mutex<HashMap<String, Option<Login>>>,
    challenges: Mutex<HashMap<String, Challenge>>,
    tokens: Mutex<HashMap<(String, Vec<String>), Token>>,
    /// What this login is given no token for.
    refused: Mutex<HashSet<(String, Vec<String>)>>,
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
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
    /// `patience` is how long a credential helper may take.
    pub(crate) fn new(credentials: Credentials, patience: Duration) -> Result<Self, Error> {
        let docker =
            credentials.docker_config.map(|folder| DockerConfig::read(&folder, patience)).transpose()?;
        Ok(Self {
            logins: credentials.logins,
            docker: docker.flatten(),
            found: tokio::sync::Mutex::default(),
            challenges: Mutex::default(),
            tokens: Mutex::default(),
            refused: Mutex::default(),
            turns: Mutex::default(),
        })
    }

    /// Who we are at a registry: the login that was given, else what Docker's configuration says.
    pub(crate) async fn login(&self, registry: &str) -> Result<Option<Login>, Error> {
        let registry = canonical_registry(registry);
        if let Some(login) = self.logins.iter().find(|login| canonical_registry(&login.registry) == registry)
        {
            return Ok(Some(login.clone()));
        }
        let Some(docker) = &self.docker else { return Ok(None) };
        let mut found = self.found.lock().await;
        if let Some(login) = found.get(registry) {
            return Ok(login.clone());
        }
        let login = docker.login(registry).await?;
        found.insert(registry.to_owned(), login.clone());
        Ok(login)
    }

    /// Whoever holds it may ask the registry's token server.
    pub(crate) async fn turn(&self, registry: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = Arc::clone(lock(&self.turns).entry(registry.to_owned()).or_default());
        turn.lock_owned().await
    }

    pub(crate) fn challenge(&self, registry: &str) -> Option<Challenge> {
        lock(&self.challenges).get(registry).cloned()
    }

    pub(crate) fn remember(&self, registry: &str, challenge: Challenge) {
        lock(&self.challenges).insert(registry.to_owned(), challenge);
    }

    /// A token that is still good for these scopes.
    pub(crate) fn token(&self, registry: &str, scopes: &[String]) -> Option<Secret> {
        let tokens = lock(&self.tokens);
        let token = tokens.get(&(registry.to_owned(), scopes.to_vec()))?;
        (Instant::now() < token.expires).then(|| token.secret.clone())
    }

    pub(crate) fn refuse(&self, registry: &str, scopes: &[String]) {
        lock(&self.refused).insert((registry.to_owned(), scopes.to_vec()));
    }

    pub(crate) fn is_refused(&self, registry: &str, scopes: &[String]) -> bool {
        lock(&self.refused).contains(&(registry.to_owned(), scopes.to_vec()))
    }

    /// Drops the token that was refused, and not the one that another call may have fetched since.
    pub(crate) fn forget(&self, refused: &Secret) {
        lock(&self.tokens).retain(|_, token| token.secret.reveal() != refused.reveal());
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

/// The form with which an identity token is exchanged for one that allows `scopes`.
pub(crate) fn identity_form(token: &Secret, service: Option<&str>, scopes: &[String]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token");
    form.append_pair("client_id", "shipkit");
    form.append_pair("service", service.unwrap_or_default());
    form.append_pair("scope", &scopes.join(" "));
    form.append_pair("refresh_token", token.reveal());
    form.finish()
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
}
