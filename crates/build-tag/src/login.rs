//! The registry client of this run.

use shipkit_core::exit::ExitCode;
use shipkit_core::hint::Hint;
use shipkit_core::reference::canonical_registry;
use shipkit_core::{Repository, Secret};
use shipkit_registry::{Credentials, Login, Options, Registry};
use shipkit_runner::{Failure, Runner};

use crate::args::{PublishArgs, RegistryArgs};

/// A line of `mirror-logins` that cannot be used. What is in it is never told, because any word may be the password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadLogin {
    /// Other than three words.
    #[error("line {line} of `mirror-logins` is not `<registry> <user> <password>`")]
    Form {
        /// The line, from 1.
        line: usize,
    },
    /// No mirror would use it.
    #[error(
        "line {line} of `mirror-logins` is for a registry that none of the `mirrors` in shipkit.yml is at"
    )]
    NoMirror {
        /// The line, from 1.
        line: usize,
        /// Where mirrors are.
        hosts: Vec<String>,
    },
    /// The registry itself has inputs of its own.
    #[error("line {line} of `mirror-logins` is for `{host}`, where the registry itself is")]
    Registry {
        /// The line, from 1.
        line: usize,
        /// The host.
        host: String,
    },
    /// Two logins for one registry.
    #[error("line {line} of `mirror-logins` is for `{host}`, as is a line before it")]
    Twice {
        /// The line, from 1.
        line: usize,
        /// The host.
        host: String,
    },
}

impl Hint for BadLogin {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Form { .. } => Some(
                "write three words a line: the host as in `mirrors`, the user, and the password or token".to_owned(),
            ),
            Self::NoMirror { hosts, .. } if hosts.is_empty() => {
                Some("list `mirrors` in shipkit.yml, or leave `mirror-logins` out".to_owned())
            }
            Self::NoMirror { hosts, .. } => {
                let hosts: Vec<_> = hosts.iter().map(|host| format!("`{host}`")).collect();
                Some(format!("mirrors are at {}", hosts.join(", ")))
            }
            Self::Registry { .. } => Some(
                "a registry knows one login at a time: give it as `registry-username` and `registry-password`"
                    .to_owned(),
            ),
            Self::Twice { .. } => Some("keep one of the two".to_owned()),
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// A client that logs in to the registry of `repository` as the inputs say, else as Docker's configuration says.
pub(crate) fn registry(
    runner: &Runner,
    args: &RegistryArgs,
    repository: &Repository,
) -> Result<Registry, Failure> {
    with(runner, args, repository, options(args))
}

/// The same with these options.
pub(crate) fn with(
    runner: &Runner,
    args: &RegistryArgs,
    repository: &Repository,
    options: Options,
) -> Result<Registry, Failure> {
    Ok(Registry::with(credentials(runner, args, repository), options)?)
}

/// The same, and at mirrors as `mirror-logins` says. A login is shown to the registry that it is for, and to no other.
pub(crate) fn with_mirrors(
    runner: &Runner,
    args: &PublishArgs,
    repository: &Repository,
    mirrors: &[Repository],
) -> Result<Registry, Failure> {
    let text = args.mirror_logins.as_ref().map_or("", Secret::reveal);
    for (_, words) in lines(text) {
        // Also in front of an error: whatever stands there may be one.
        words.last().into_iter().for_each(|password| runner.mask(&Secret::new(*password)));
    }
    let credentials = credentials(runner, &args.registry, repository);
    let credentials =
        mirror_logins(text, repository, mirrors)?.into_iter().fold(credentials, Credentials::and);
    Ok(Registry::with(credentials, options(&args.registry))?)
}

fn options(args: &RegistryArgs) -> Options {
    let mut options = Options::default();
    options.deadline = args.registry_timeout.unwrap_or(options.deadline);
    options
}

fn credentials(runner: &Runner, args: &RegistryArgs, repository: &Repository) -> Credentials {
    let (username, password) = (args.registry_username.as_deref(), args.registry_password.as_ref());
    if let Some(password) = password {
        runner.mask(password);
    }
    Credentials::new(repository.registry(), username, password, runner.env().docker_config())
}

/// The words of each line that has any, by its number.
fn lines(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    let lines =
        text.lines().zip(1..).map(|(line, number)| (number, line.split_whitespace().collect::<Vec<_>>()));
    lines.filter(|(_, words)| !words.is_empty())
}

/// The logins of `<registry> <user> <password>` a line.
fn mirror_logins(text: &str, registry: &Repository, mirrors: &[Repository]) -> Result<Vec<Login>, BadLogin> {
    let at_home = canonical_registry(registry.registry());
    let mut hosts: Vec<&str> = mirrors.iter().map(|mirror| canonical_registry(mirror.registry())).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let mut logins: Vec<Login> = Vec::new();
    for (line, words) in lines(text) {
        let [host, username, password] = words.as_slice() else { return Err(BadLogin::Form { line }) };
        let host = host.to_lowercase();
        let host = canonical_registry(&host).to_owned();
        if host == at_home {
            return Err(BadLogin::Registry { line, host });
        }
        if !hosts.contains(&host.as_str()) {
            let hosts = hosts.iter().map(ToString::to_string).collect();
            return Err(BadLogin::NoMirror { line, hosts });
        }
        if logins.iter().any(|login| login.registry == host) {
            return Err(BadLogin::Twice { line, host });
        }
        logins.push(Login {
            registry: host,
            username: (*username).to_owned(),
            password: Secret::new(*password),
        });
    }
    Ok(logins)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIRRORS: [&str; 3] = ["docker.io/acme", "quay.io/acme/shop", "ghcr.io/other"];

    fn read(text: &str, mirrors: &[&str]) -> Result<Vec<String>, BadLogin> {
        let mirrors: Vec<Repository> = mirrors.iter().map(|mirror| mirror.parse().unwrap()).collect();
        let logins = mirror_logins(text, &"ghcr.io/acme/shop/release".parse().unwrap(), &mirrors)?;
        let shown =
            |login: Login| format!("{} {} {}", login.registry, login.username, login.password.reveal());
        Ok(logins.into_iter().map(shown).collect())
    }

    #[test]
    fn a_login_is_three_words_and_docker_hub_may_have_any_of_its_names() {
        let text = "\n Index.docker.io\tacme  s3cret \r\n\nquay.io acme+robot <&\"'$x\n";
        assert_eq!(read(text, &MIRRORS).unwrap(), ["docker.io acme s3cret", "quay.io acme+robot <&\"'$x"]);
        assert!(read("", &MIRRORS).unwrap().is_empty() && read(" \n", &[]).unwrap().is_empty());
    }

    #[test]
    fn a_line_that_cannot_be_used_is_named_by_its_number_and_never_shown() {
        let hosts = || vec!["docker.io".to_owned(), "ghcr.io".to_owned(), "quay.io".to_owned()];
        for (text, wanted) in [
            ("hunter2", BadLogin::Form { line: 1 }),
            ("docker.io acme", BadLogin::Form { line: 1 }),
            ("docker.io acme hunter2\n\nquay.io a b hunter2", BadLogin::Form { line: 3 }),
            ("hunter2 acme docker.io", BadLogin::NoMirror { line: 1, hosts: hosts() }),
            ("evil.docker.io acme hunter2", BadLogin::NoMirror { line: 1, hosts: hosts() }),
            ("https://docker.io acme hunter2", BadLogin::NoMirror { line: 1, hosts: hosts() }),
            ("ghcr.io acme hunter2", BadLogin::Registry { line: 1, host: "ghcr.io".to_owned() }),
            (
                "docker.io a hunter2\nregistry-1.docker.io b hunter2",
                BadLogin::Twice { line: 2, host: "docker.io".to_owned() },
            ),
        ] {
            let error = read(text, &MIRRORS).unwrap_err();
            assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("hunter2"), "{error}");
            assert_eq!((error.exit_code(), error), (ExitCode::Usage, wanted), "{text}");
        }
        let error = read("docker.io acme hunter2", &[]).unwrap_err();
        assert!(error.hint().unwrap().contains("leave `mirror-logins` out"), "{error}");
    }
}
