//! The project's configuration, read from its file with the environment's values in it.

use std::path::{Path, PathBuf};

use shipkit_core::Hint;
use shipkit_core::config::{Config, Needed};
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
    /// The configuration in `path`, for building and judging; `${NAME}` in it is the environment's.
    ///
    /// # Errors
    /// When it cannot be read, or is wrong: with file, line and key. All are exit 2.
    pub fn config(&self, path: &Path) -> Result<Config, Failure> {
        self.config_for(path, Needed::Build)
    }

    /// The configuration in `path`, for what needs the values `needed`; `${NAME}` in it is the environment's.
    ///
    /// # Errors
    /// As for [`Runner::config`].
    pub fn config_for(&self, path: &Path, needed: Needed<'_>) -> Result<Config, Failure> {
        self.config_with(path, needed, &|name| self.env().lookup(name).map(str::to_owned))
    }

    /// The configuration in `path`, for what needs the values `needed`, with values for `${NAME}` from `variables`.
    ///
    /// # Errors
    /// As for [`Runner::config`].
    pub fn config_with(
        &self,
        path: &Path,
        needed: Needed<'_>,
        variables: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, Failure> {
        use std::io::Read as _;
        let failed = |source| Unreadable { path: path.to_owned(), source };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(LIMIT).read_to_string(&mut text).map_err(failed)?;
        Ok(Config::parse(&path.display().to_string(), &text, variables, needed)?)
    }
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
