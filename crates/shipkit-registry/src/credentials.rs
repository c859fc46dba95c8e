//! `Credentials`: who we are to registries.

use std::path::PathBuf;

use shipkit_core::Secret;

/// Who we are to registries. Nothing given means anonymous.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// A login for one registry; it goes to no other host.
    pub login: Option<Login>,
    /// The folder with Docker's `config.json`, whose `auths` are used for registries other than `login`'s. A missing
    /// file is no login. Credential helpers are not asked.
    pub docker_config: Option<PathBuf>,
}

/// A user name and password for one registry.
#[derive(Debug, Clone)]
pub struct Login {
    /// Host and port as in image names: `ghcr.io`, `127.0.0.1:5000`.
    pub registry: String,
    /// The user name.
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
        Self { login, docker_config }
    }
}
