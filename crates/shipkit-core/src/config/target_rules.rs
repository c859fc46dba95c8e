//! What `target` of an environment must still fulfil to make sense.

use super::environment::origin;
use super::error::list;
use super::resolve::Context;
use super::rules::{NAME_HINT, is_absolute, is_http, is_name, is_volume};
use super::target::{Auth, Proxy, Target, TargetKind};
use super::types::Environment;
use super::yaml::join;
use crate::compose::ProxyKind;
use crate::prometheus::ServiceAddress;
use crate::ssh::SshAddress;

/// What a target in a cluster has.
const KUBERNETES: [&str; 7] = ["manifests", "kustomize", "namespace", "context", "server", "ca", "auth"];

/// Checks what does not depend on the rest of the file.
pub(super) fn target(context: &mut Context<'_>, one: &Environment) {
    let path = origin(context, &one.name, "target");
    let (kind, allowed): (&str, &[&str]) = match one.target.kind {
        TargetKind::Compose => ("compose", &["host", "files", "env_file", "stack", "directory", "proxy"]),
        TargetKind::Swarm => ("swarm", &["host", "files", "env_file", "stack", "proxy"]),
        TargetKind::Kubernetes => ("kubernetes", &KUBERNETES),
        TargetKind::Command => ("command", &["run", "rollback"]),
    };
    let all = ["host", "files", "env_file", "stack", "directory", "proxy", "run", "rollback"]
        .into_iter()
        .chain(KUBERNETES);
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
    access(context, &path, &one.target);
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

/// How a cluster is reached: by an address or by a kubeconfig, and by names that the clouds know.
fn access(context: &mut Context<'_>, path: &str, target: &Target) {
    if let Some(server) = target.server.as_deref().filter(|server| !is_address(server)) {
        // It is not shown where it may have a password in it.
        let shown =
            if server.contains('@') { "an address with a user".to_owned() } else { format!("`{server}`") };
        let message = format!("{shown} is not the address of an API server");
        context.wrong(&join(path, "server"), message, Some("write `https://host:port`"));
    }
    if target.server.is_some() && target.context.is_some() {
        let hint = Some("keep `server`, or the context of a kubeconfig");
        context.wrong_key(&join(path, "context"), "both `server` and `context` are given", hint);
    }
    let ca = join(path, "ca");
    if target.server.is_none() && context.document.has(&ca) {
        context.wrong_key(&ca, "`ca` is given without `server`", None);
    }
    names_of_a_cloud(context, &join(path, "auth"), target.auth.as_ref());
}

/// Where Prometheus is: at an address, or in the cluster that the target is in.
pub(super) fn prometheus(context: &mut Context<'_>, one: &Environment) {
    let Some(address) = one.analysis.as_ref().map(|analysis| &analysis.prometheus) else { return };
    let path = join(&origin(context, &one.name, "analysis"), "prometheus");
    // What stands before `@` may be a password.
    let shown = address.rsplit_once('@').map_or_else(|| address.clone(), |(_, rest)| format!("***@{rest}"));
    if !address.starts_with(ServiceAddress::SCHEME) {
        if !is_http(address) || address.contains(['?', '#']) || address.contains(char::is_whitespace) {
            let hint = "it begins with `https://` or `http://`, and ends before `/api/v1`";
            context.wrong(&path, format!("`{shown}` is not an address"), Some(hint));
        }
        return;
    }
    if one.target.kind != TargetKind::Kubernetes {
        let hint = "only a target of type `kubernetes` reaches Prometheus through its cluster; give an address with `http://`";
        context.wrong(&path, format!("`{shown}` is in a cluster, and the target is not"), Some(hint));
    } else if address.parse::<ServiceAddress>().is_err() {
        let hint = "it has the form `service://NAMESPACE/NAME:PORT/path`";
        context.wrong(&path, format!("`{shown}` is not the address of a Service"), Some(hint));
    }
}

/// Names that become part of addresses, and would lead elsewhere if they had other signs in them.
fn names_of_a_cloud(context: &mut Context<'_>, path: &str, auth: Option<&Auth>) {
    let named: Vec<(&str, Option<&String>, &str)> = match auth {
        Some(Auth::Eks(eks)) => {
            vec![("eks.cluster", Some(&eks.cluster), "NAME"), ("eks.region", Some(&eks.region), "REGION")]
        }
        Some(Auth::Gke(gke)) => {
            let provider = "projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER";
            let account = "NAME@PROJECT.iam.gserviceaccount.com";
            vec![
                ("gke.cluster", gke.cluster.as_ref(), "projects/PROJECT/locations/LOCATION/clusters/NAME"),
                ("gke.workload_identity_provider", gke.workload_identity_provider.as_ref(), provider),
                ("gke.service_account", gke.service_account.as_ref(), account),
            ]
        }
        Some(Auth::Aks(aks)) => {
            vec![
                ("aks.tenant_id", aks.tenant_id.as_ref(), "ID"),
                ("aks.client_id", aks.client_id.as_ref(), "ID"),
            ]
        }
        None => return,
    };
    for (key, name, form) in named {
        if let Some(name) = name.filter(|name| !fits(name, form)) {
            let message = format!("`{name}` is not of the form `{form}`");
            context.wrong(&join(path, key), message, None);
        }
    }
}

/// Whether a name has the form: parts in small letters stand for themselves, the others for any name.
fn fits(name: &str, form: &str) -> bool {
    let is_fine = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b':')
            || byte == b'@' && form.contains('@')
    };
    let one = |(part, form): (&str, &str)| {
        if form.starts_with(|c: char| c.is_ascii_lowercase()) {
            part == form
        } else {
            !part.is_empty() && part != ".." && part.bytes().all(is_fine)
        }
    };
    name.split('/').count() == form.split('/').count() && name.split('/').zip(form.split('/')).all(one)
}

/// Whether it is the address of a server: by TLS, or on this machine.
fn is_address(server: &str) -> bool {
    let local = ["http://127.0.0.1:", "http://localhost:"].iter().any(|begin| server.starts_with(begin));
    let host = server.strip_prefix("https://").or_else(|| server.strip_prefix("http://").filter(|_| local));
    host.is_some_and(|host| {
        !host.is_empty() && !host.contains(['@', '?', '#']) && !host.contains(char::is_whitespace)
    })
}
