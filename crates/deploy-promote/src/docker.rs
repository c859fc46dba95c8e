//! What it takes to be let in by a Docker host: keys and certificates as they are typed, or as `ssh` and `docker` would find
//! them.

use std::path::{Path, PathBuf};

use shipkit_core::Secret;
use shipkit_docker::{Access, SshOptions, TlsOptions};
use shipkit_runner::{Failure, Runner, env};

use crate::args::TargetArgs;

/// Reads what `host` asks for, and nothing else.
pub(crate) fn access(host: &str, args: &TargetArgs, runner: &Runner) -> Result<Access, Failure> {
    if host.starts_with("ssh://") {
        return Ok(Access { ssh: ssh(args, runner)?, tls: None });
    }
    let typed = args.docker_cert_path.as_deref();
    let folder = typed.or_else(|| runner.env().get(env::DOCKER_CERT_PATH).map(Path::new));
    let tls = folder.filter(|_| host.starts_with("tcp://")).map(|folder| tls(folder, runner)).transpose()?;
    Ok(Access { tls, ..Access::default() })
}

fn ssh(args: &TargetArgs, runner: &Runner) -> Result<SshOptions, Failure> {
    let key = match &args.ssh_key {
        Some(typed) if typed.reveal().contains('\n') => Some(typed.clone()),
        Some(path) => Some(Secret::new(read(Path::new(path.reveal()), runner)?)),
        None => None,
    };
    let known = match args.ssh_known_hosts.as_deref() {
        Some(text) if text.contains([' ', '\n']) || text.starts_with("SHA256:") => text.to_owned(),
        Some(path) => read(Path::new(path), runner)?,
        None => {
            let home = runner.env().get(env::HOME).map(|home| PathBuf::from(home).join(".ssh/known_hosts"));
            home.filter(|path| path.is_file())
                .map(|path| read(&path, runner))
                .transpose()?
                .unwrap_or_default()
        }
    };
    let (pins, lines): (Vec<_>, Vec<_>) =
        known.lines().map(str::trim).partition(|line| line.starts_with("SHA256:"));
    Ok(SshOptions {
        key,
        passphrase: args.ssh_passphrase.clone(),
        agent: runner.env().get(env::SSH_AUTH_SOCK).map(PathBuf::from),
        known_hosts: lines.join("\n"),
        host_keys: pins.into_iter().map(str::to_owned).collect(),
        ..SshOptions::default()
    })
}

fn tls(folder: &Path, runner: &Runner) -> Result<TlsOptions, Failure> {
    let file = |name: &str| read(&folder.join(name), runner);
    Ok(TlsOptions { ca: file("ca.pem")?, certificate: file("cert.pem")?, key: Secret::new(file("key.pem")?) })
}

/// A file, relative to the workspace. What it holds is never shown.
fn read(path: &Path, runner: &Runner) -> Result<String, Failure> {
    let path = runner.env().workspace().join(path);
    std::fs::read_to_string(&path)
        .map_err(|error| Failure::usage(format!("`{}` cannot be read: {error}", path.display())))
}
