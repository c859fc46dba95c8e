//! What `target` of an environment must still fulfil to make sense.

use super::environment::origin;
use super::error::list;
use super::resolve::Context;
use super::rules::{NAME_HINT, is_absolute, is_name, is_volume};
use super::types::{Environment, Proxy, TargetKind};
use super::yaml::join;
use crate::compose::ProxyKind;
use crate::ssh::SshAddress;

/// Checks what does not depend on the rest of the file.
pub(super) fn target(context: &mut Context<'_>, one: &Environment) {
    let path = origin(context, &one.name, "target");
    let (kind, allowed): (&str, &[&str]) = match one.target.kind {
        TargetKind::Compose => ("compose", &["host", "files", "env_file", "stack", "directory", "proxy"]),
        TargetKind::Swarm => ("swarm", &["host", "files", "env_file", "stack", "proxy"]),
        TargetKind::Kubernetes => ("kubernetes", &["manifests", "kustomize", "namespace", "context"]),
        TargetKind::Command => ("command", &["run", "rollback"]),
    };
    let kubernetes = ["manifests", "kustomize", "namespace", "context"];
    let all = ["host", "files", "env_file", "stack", "directory", "proxy", "run", "rollback"]
        .into_iter()
        .chain(kubernetes);
    for key in all.filter(|key| !allowed.contains(key)) {
        let path = join(&path, key);
        if context.document.has(&path) {
            let hint = format!("it has {}", list(allowed));
            context.wrong_key(&path, format!("a target of type `{kind}` has no `{key}`"), Some(&hint));
        }
    }
    let over_ssh = one.target.host.as_ref().filter(|host| host.starts_with("ssh://"));
    if let Some(error) = over_ssh.and_then(|host| host.parse::<SshAddress>().err()) {
        context.wrong(&join(&path, "host"), error.to_string(), Some("write `ssh://user@host:port`"));
    }
    let proxy = one.target.proxy.as_ref();
    if let Some(Proxy { kind, service, .. }) = proxy.filter(|proxy| !is_volume(&proxy.service)) {
        let key = format!("proxy.{}", kind.key());
        context.wrong(&join(&path, &key), format!("`{service}` is not the name of a service"), None);
    }
    if one.target.kind == TargetKind::Swarm {
        proxy_of_a_swarm(context, &path, proxy);
    }
    let folders =
        [("directory", one.target.directory.as_ref()), ("proxy.directory", proxy.map(|one| &one.directory))];
    for (key, folder) in folders {
        if let Some(folder) = folder.filter(|folder| !is_absolute(folder)) {
            let hint = Some("it begins with `/`, and has no `..` in it");
            context.wrong(
                &join(&path, key),
                format!("`{folder}` is not the absolute path of a folder"),
                hint,
            );
        }
    }
    if one.target.kind == TargetKind::Command && one.target.run.is_empty() {
        context.wrong_key(&path, "a target of type `command` needs `run`", None);
    }
    if one.target.manifests.is_some() && one.target.kustomize.is_some() {
        context.wrong_key(&path, "both `manifests` and `kustomize` are given", Some("keep one of them"));
    }
    if let Some(stack) = one.target.stack.as_ref().filter(|stack| !is_name(stack)) {
        let stack_path = join(&path, "stack");
        if context.document.has(&stack_path) {
            context.wrong(&stack_path, format!("`{stack}` is not a name"), Some(NAME_HINT));
        }
    }
}

/// Only Traefik reads labels of services, and no file is written for it.
fn proxy_of_a_swarm(context: &mut Context<'_>, path: &str, proxy: Option<&Proxy>) {
    if let Some(kind) = proxy.map(|proxy| proxy.kind).filter(|kind| *kind != ProxyKind::Traefik) {
        let (key, hint) = (kind.key(), "it has `traefik: SERVICE`, with its provider for a Swarm");
        let message = format!("a Swarm shifts no traffic of {key}");
        context.wrong_key(&join(path, &format!("proxy.{key}")), message, Some(hint));
    }
    let directory = join(path, "proxy.directory");
    if context.document.has(&directory) {
        let hint = Some("leave it out: Traefik reads the labels of services there");
        context.wrong_key(&directory, "nothing is written to a folder of a proxy on a Swarm", hint);
    }
}
