//! The project's configuration, read from its files with the environment's values in it.

use std::path::{Path, PathBuf};

use shipkit_core::Hint;
use shipkit_core::config::{COMPOSE_FILES, ComposeFile, Config, Needed};
use shipkit_core::exit::ExitCode;

use crate::env::{self, Env};
use crate::failure::Failure;
use crate::runner::Runner;

/// The largest configuration that is read, in bytes; the parser's own limit is lower and says more.
const LIMIT: u64 = 4 * 1024 * 1024;

/// The configuration's file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the configuration `{}` cannot be read", path.display())]
struct Unreadable {
    path: PathBuf,
    source: std::io::Error,
}

impl Hint for Unreadable {
    fn hint(&self) -> Option<String> {
        (self.source.kind() == std::io::ErrorKind::NotFound)
            .then(|| "give its path with `--config`, or run where `shipkit.yml` is".to_owned())
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

impl Runner {
    /// The configuration `file` of the checkout, for building and judging; `${NAME}` in it is the environment's. Services
    /// that it does not name are those of the Compose file beside it.
    ///
    /// # Errors
    /// When it cannot be read, or is wrong: with file, line and key. All are exit 2.
    pub fn config(&self, checkout: &Path, file: &Path) -> Result<Config, Failure> {
        self.config_for(checkout, file, Needed::Build)
    }

    /// The configuration `file` of the checkout, for what needs the values `needed`; `${NAME}` in it is the environment's.
    ///
    /// # Errors
    /// As for [`Runner::config`].
    pub fn config_for(&self, checkout: &Path, file: &Path, needed: Needed<'_>) -> Result<Config, Failure> {
        let variables = |name: &str| self.env().lookup(name).map(str::to_owned);
        self.config_with(checkout, file, needed, &variables)
    }

    /// The configuration `file` of the checkout, for what needs the values `needed`, with values for `${NAME}` from
    /// `variables`.
    ///
    /// # Errors
    /// As for [`Runner::config`].
    pub fn config_with(
        &self,
        checkout: &Path,
        file: &Path,
        needed: Needed<'_>,
        variables: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, Failure> {
        let path = checkout.join(file);
        let text = read(&path).map_err(|source| Unreadable { path: path.clone(), source })?;
        let found = if Config::wants_compose(&text) { beside(&path)? } else { None };
        let env_file = if found.is_some() { values_beside(&path) } else { None };
        let named = found.as_ref().map(|(path, text)| (path.display().to_string(), text));
        let folder = file.parent().unwrap_or(Path::new("")).display().to_string();
        let compose = named.as_ref().map(|(name, text)| ComposeFile {
            file: name,
            text,
            folder: &folder,
            env_file: env_file.as_deref(),
        });
        Ok(Config::parse_beside(&path.display().to_string(), &text, compose, variables, needed)?)
    }
}

/// The Compose file beside the configuration, with its path; `None` if there is none.
fn beside(path: &Path) -> Result<Option<(PathBuf, String)>, Unreadable> {
    for name in COMPOSE_FILES {
        let path = path.with_file_name(name);
        match read(&path) {
            Ok(text) => return Ok(Some((path, text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(Unreadable { path, source }),
        }
    }
    Ok(None)
}

/// The file `.env` beside the configuration. What is called so and is no text, as the folder of a Python, says nothing.
fn values_beside(path: &Path) -> Option<String> {
    read(&path.with_file_name(".env")).ok()
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

impl Env {
    /// The folder of the Docker client's configuration: `DOCKER_CONFIG`, else `.docker` in the home directory. It need
    /// not exist; in a container action the home directory is the runner's, not the one that `docker login` wrote to.
    #[must_use]
    pub fn docker_config(&self) -> Option<PathBuf> {
        let home = || self.get(env::HOME).map(|home| Path::new(home).join(".docker"));
        self.get(env::DOCKER_CONFIG).map(PathBuf::from).or_else(home)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_folder_is_the_one_that_is_set_or_the_one_at_home() {
        let folder = |vars: &[(&str, &str)]| Env::of(vars.iter().copied()).docker_config();
        assert_eq!(folder(&[("HOME", "/h"), ("DOCKER_CONFIG", "/d")]), Some(PathBuf::from("/d")));
        assert_eq!(folder(&[("HOME", "/h")]), Some(PathBuf::from("/h/.docker")));
        assert_eq!(folder(&[]), None);
    }
}
