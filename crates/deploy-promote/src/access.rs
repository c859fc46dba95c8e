//! How the cluster of an environment is reached, out of the command line, `shipkit.yml` and the environment.

use std::path::PathBuf;

use shipkit_core::Secret;
use shipkit_core::config::Ca;
use shipkit_kubernetes::{Access, Token};
use shipkit_runner::{Failure, Runner, env};

use crate::project::Project;
use crate::{cloud, compose};

/// A kubeconfig that is typed, else what shipkit.yml says, else what `kubectl` would take, else the cluster that this runs in.
/// Where shipkit.yml names a cloud, its tokens take the place of credentials in a kubeconfig.
pub(crate) fn of(project: &Project<'_>, runner: &Runner) -> Result<Access, Failure> {
    let target = &project.environment.target;
    let (typed, token) = (project.args.kubeconfig.as_ref(), project.args.cluster_token.as_ref());
    let kubeconfig = typed.map(|typed| by_kubeconfig(project, typed));
    if let Some(auth) = &target.auth {
        if token.is_some() {
            let hint = "leave `cluster-token` out, or `target.auth`";
            return Err(Failure::usage("`cluster-token` and `target.auth` are both given").with_hint(hint));
        }
        let login = Box::new(cloud::login(auth, project, runner)?);
        let at = match kubeconfig {
            None => server(project, None)?,
            typed => typed,
        };
        return Ok(Access::Cloud { login, at: at.map(Box::new) });
    }
    if let Some(kubeconfig) = kubeconfig {
        return Ok(kubeconfig);
    }
    match (target.server.is_some(), token) {
        (true, None) => Err(Failure::usage("`target.server` is given, and no token for it")
            .with_hint("give the input `cluster-token`, or name the cloud in `target.auth`")),
        (false, Some(_)) => Err(Failure::usage("`cluster-token` is given without `target.server`")
            .with_hint("name the API server in shipkit.yml: `server` and `ca` of the target")),
        (_, token) => {
            let token = token.map(|token| {
                if is_path(token) {
                    Token::File(PathBuf::from(token.reveal()))
                } else {
                    Token::Text(token.clone())
                }
            });
            Ok(server(project, token)?.unwrap_or_else(|| as_kubectl(project, runner)))
        }
    }
}

/// The server that shipkit.yml names.
fn server(project: &Project<'_>, token: Option<Token>) -> Result<Option<Access>, Failure> {
    let target = &project.environment.target;
    let Some(address) = target.server.clone() else { return Ok(None) };
    let ca =
        match &target.ca {
            None => None,
            Some(Ca::Text(text)) => Some(text.clone()),
            Some(Ca::File(path)) => {
                let file = compose::folder(project)?.join(path.as_str());
                let read = std::fs::read_to_string(&file);
                Some(read.map_err(|error| {
                    Failure::usage(format!("`target.ca`: `{path}` cannot be read: {error}"))
                })?)
            }
        };
    Ok(Some(Access::Server { address, ca, token }))
}

fn by_kubeconfig(project: &Project<'_>, typed: &Secret) -> Access {
    let context = project.environment.target.context.clone();
    if is_kubeconfig(typed) {
        return Access::Text { text: typed.clone(), context };
    }
    Access::File { path: PathBuf::from(typed.reveal()), context }
}

fn as_kubectl(project: &Project<'_>, runner: &Runner) -> Access {
    let home = || {
        let path = PathBuf::from(runner.env().get(env::HOME)?).join(".kube/config");
        path.is_file().then_some(path)
    };
    let context = project.environment.target.context.clone();
    match runner.env().get(env::KUBECONFIG).map(PathBuf::from).or_else(home) {
        Some(path) => Access::File { path, context },
        None => Access::InCluster,
    }
}

/// Whether it is the text of a kubeconfig, and not its path.
pub(crate) fn is_kubeconfig(typed: &Secret) -> bool {
    typed.reveal().contains(['\n', '{'])
}

/// Whether it is the path of a token, and not the token.
pub(crate) fn is_path(token: &Secret) -> bool {
    token.reveal().starts_with('/')
}
