//! `Credentials`: who we are to registries.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use shipkit_core::Secret;

/// What Docker writes in place of a user name where the secret is an identity token.
pub(crate) const IDENTITY: &str = "<token>";

/// Who we are to registries. Nothing given means anonymous.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Logins, each for one registry; it goes to no other host.
    pub logins: Vec<Login>,
    /// The folder with Docker's `config.json`, for registries without a login here. Used as Docker uses it: the
    /// registry's credential helper (`credHelpers`), else `credsStore`, then `auths`. A missing file is no login.
    pub docker_config: Option<PathBuf>,
}

/// A user name and password for one registry.
#[derive(Debug, Clone)]
pub struct Login {
    /// Host and port as in image names: `ghcr.io`, `127.0.0.1:5000`.
    pub registry: String,
    /// The user name; `<token>` where the password is an identity token, as Docker has it.
    pub username: String,
    /// The password or token.
    pub password: Secret,
}

impl Credentials {
    /// Docker's own logins, and over them this one for `registry`, where both name and password are given.
    #[must_use]
    pub fn new(
        registry: &str,
        username: Option<&str>,
        password: Option<&Secret>,
        docker_config: Option<PathBuf>,
    ) -> Self {
        let login = username.zip(password).map(|(username, password)| Login {
            registry: registry.to_owned(),
            username: username.to_owned(),
            password: password.clone(),
        });
        Self { logins: login.into_iter().collect(), docker_config }
    }

    /// The same and one more login, for work at several registries at once. The first one for a registry counts.
    #[must_use]
    pub fn and(mut self, login: Login) -> Self {
        self.logins.push(login);
        self
    }
}

impl Login {
    /// The value of `Authorization: Basic`; `None` for an identity token, which only a token server understands.
    pub(crate) fn basic(&self) -> Option<Secret> {
        if self.username == IDENTITY {
            return None;
        }
        let pair = format!("{}:{}", self.username, self.password.reveal());
        Some(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(pair))))
    }

    pub(crate) fn identity_token(&self) -> Option<&Secret> {
        (self.username == IDENTITY).then_some(&self.password)
    }
}
