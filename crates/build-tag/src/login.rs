//! The registry client of this run.

use shipkit_core::Repository;
use shipkit_registry::{Credentials, Options, Registry};
use shipkit_runner::{Failure, Runner};

use crate::args::RegistryArgs;

/// A client that logs in to the registry of `repository` as the inputs say, else as Docker's configuration says.
pub(crate) fn registry(
    runner: &Runner,
    args: &RegistryArgs,
    repository: &Repository,
) -> Result<Registry, Failure> {
    let mut options = Options::default();
    options.deadline = args.registry_timeout.unwrap_or(options.deadline);
    with(runner, args, repository, options)
}

/// The same with these options.
pub(crate) fn with(
    runner: &Runner,
    args: &RegistryArgs,
    repository: &Repository,
    options: Options,
) -> Result<Registry, Failure> {
    let (username, password) = (args.registry_username.as_deref(), args.registry_password.as_ref());
    if let Some(password) = password {
        runner.mask(password);
    }
    let docker_config = runner.env().docker_config();
    let credentials = Credentials::new(repository.registry(), username, password, docker_config);
    Ok(Registry::with(credentials, options)?)
}
