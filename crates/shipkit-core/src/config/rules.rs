//! What a well-formed `shipkit.yml` must still fulfil to make sense.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check_rules;
use super::environment::origin;
use super::error::suggestion;
use super::raw::{RawConfig, RawService};
use super::request_rules;
use super::resolve::Context;
use super::target::TargetKind;
use super::target_rules::{prometheus, target};
use super::test_rules::is_variable;
use super::types::{Build, BuildContext, Config, Environment, ScanBaseline, Service, Source, Strategy};
use super::yaml::join;
use crate::plan::{is_supported, release_name};
use crate::reference::{ImageName, Repository};

/// The workflow has this many slots for deploys.
const MAX_ENVIRONMENTS: usize = 4;
pub(super) const NAME_HINT: &str =
    "lower-case letters, digits and `-` make a name, and it begins with a letter or digit";

/// The name in `${NAME}`, if the whole text is that.
pub(super) fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    is_variable(name).then_some(name)
}

/// What can be said before anything is resolved.
pub(super) fn whole_file(
    context: &mut Context<'_>,
    raw: &RawConfig,
    services: &BTreeMap<String, RawService>,
) {
    if raw.version != 1 {
        context.wrong("version", format!("version {} is not known", raw.version), Some("write `version: 1`"));
    }
    name(context, "name", &raw.name);
    for (key, names) in [
        ("services", services.keys().collect::<Vec<_>>()),
        ("environments", raw.environments.keys().collect()),
        ("groups", raw.groups.iter().flat_map(BTreeMap::keys).collect()),
    ] {
        if names.is_empty() && key != "groups" {
            context.wrong(key, "at least one is needed", None);
        }
        for one in names {
            let path = join(key, one);
            if !is_name(one) {
                context.wrong_key(&path, format!("`{one}` is not a name"), Some(NAME_HINT));
            }
        }
    }
    if MAX_ENVIRONMENTS < raw.environments.len() {
        let message =
            format!("{} environments, but the workflow has four deploy slots", raw.environments.len());
        context.wrong_key(
            "environments",
            message,
            Some("keep four, or deploy the others from a file of their own"),
        );
    }
    if raw.tags.as_ref().and_then(|tags| tags.include.as_ref()).is_some_and(Vec::is_empty) {
        context.wrong("tags.include", "at least one kind of tag is needed", None);
    }
    let value = context.document.value.clone();
    stray_variables(context, "", &value);
}

/// `${NAME}` where nothing is replaced would be taken literally, which nobody means.
fn stray_variables(context: &mut Context<'_>, path: &str, value: &Value) {
    match value {
        Value::String(text) => {
            if let Some(name) = variable(text) {
                let hint = "variables are replaced in `registry`, `mirrors`, `url`, `args`, `environment` and the requests of `smoke` only";
                context.wrong(path, format!("`${{{name}}}` is not replaced here"), Some(hint));
            }
        }
        Value::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                stray_variables(context, &format!("{path}[{index}]"), entry);
            }
        }
        Value::Object(entries) => {
            for (key, entry) in entries {
                // Commands are the shell's, and what is sent or expected is taken as it is.
                let is_free = match key.as_str() {
                    "registry" | "mirrors" | "url" | "args" | "environment" | "run" | "rollback"
                    | "command" | "body" | "json" | "html" => true,
                    "test" => !entry.is_object(),
                    // Requests have variables; of other checks, who asks them says that they have none.
                    "smoke" => entry.is_array(),
                    _ => false,
                };
                if !is_free {
                    stray_variables(context, &join(path, key), entry);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What needs the whole configuration.
pub(super) fn config(context: &mut Context<'_>, config: &Config) {
    // Empty means a variable that is not set, which was said.
    let registry = config.registry.as_ref().filter(|text| !text.is_empty());
    if let Some(Err(bad)) = registry.map(|text| Repository::prefix(text)) {
        context.wrong("registry", bad.to_string(), None);
    }
    for (name, one) in &config.services {
        service(context, &join("services", name), one, config);
    }
    let edges: BTreeMap<&str, &[String]> = config
        .services
        .iter()
        .map(|(name, service)| (name.as_str(), service.depends_on.as_slice()))
        .collect();
    if let Some(circle) = circle(&edges) {
        let path = format!("services.{}.depends_on", circle.first().copied().unwrap_or_default());
        context.wrong(
            &path,
            format!("services depend on each other in a circle: {}", circle.join(" -> ")),
            None,
        );
    }
    let linked = linked(config);
    let edges = linked.iter().map(|(name, others)| (*name, others.as_slice())).collect();
    if let Some(circle) = circle(&edges) {
        let path = format!("services.{}.build.contexts", circle.first().copied().unwrap_or_default());
        context.wrong(
            &path,
            format!("services build upon each other in a circle: {}", circle.join(" -> ")),
            None,
        );
    }
    groups(context, config);
    baseline(context, config);
    for one in &config.environments {
        environment(context, one, config);
    }
}

/// An environment that images are compared with is one of the file.
fn baseline(context: &mut Context<'_>, config: &Config) {
    let image = &config.scan.image;
    if image.limits.growth.is_some() && image.baseline.is_none() {
        let hint = "name an environment in `scan.image.baseline`";
        context.wrong("scan.image.limits.growth", "there is nothing to grow from", Some(hint));
    }
    let own = config.environments.iter().filter_map(|one| {
        let path = join(&origin(context, &one.name, "policy"), "scan.baseline");
        // What it has from `scan.image` is wrong there.
        Some((one.scan.as_ref().filter(|_| context.has(&path))?, path))
    });
    let all: Vec<_> = [(image, "scan.image.baseline".to_owned())].into_iter().chain(own).collect();
    let names: Vec<_> = config.environments.iter().map(|environment| environment.name.as_str()).collect();
    for (scan, path) in all {
        if let Some(ScanBaseline::Environment(name)) = &scan.baseline
            && !names.contains(&name.as_str())
        {
            let known = [&names[..], &["last-release", "base-image", "none"]].concat();
            let message = format!("there is no environment `{name}`");
            context.wrong(&path, message, suggestion(name, &known).as_deref());
        }
    }
}

/// With groups every service is in exactly one: what is in none would never be released, what is in two twice.
fn groups(context: &mut Context<'_>, config: &Config) {
    let mut homes: BTreeMap<&str, &str> = BTreeMap::new();
    for (group, services) in &config.groups {
        let path = join("groups", group);
        if services.is_empty() {
            context.wrong(&path, "a group needs at least one service", None);
        }
        let repository = release_name(Some(group));
        if config.services.contains_key(&repository) {
            let message =
                format!("the releases of `{group}` are stored as `{repository}`, which is a service");
            context.wrong_key(&path, message, Some("give the group or the service another name"));
        }
        for (index, name) in services.iter().enumerate() {
            let path = format!("{path}[{index}]");
            known_service(context, &path, name, config);
            if let Some(other) = homes.insert(name, group) {
                context.wrong(&path, format!("`{name}` is in group `{other}` already"), None);
            }
        }
    }
    if config.groups.is_empty() {
        return;
    }
    for name in config.services.keys().filter(|name| !homes.contains_key(name.as_str())) {
        let hint = "where there are groups, every service is in one: what is in none is never released";
        context.wrong_key(&join("services", name), format!("`{name}` is in no group"), Some(hint));
    }
    // A group is built by itself, so what it builds upon has to be in it.
    for (name, others) in linked(config) {
        for other in others.iter().filter(|other| homes.get(other.as_str()) != homes.get(name)) {
            let path = format!("services.{name}.build.contexts");
            let message = format!("`{name}` builds upon `{other}`, which is in another group");
            context.wrong_key(&path, message, Some("put both into one group"));
        }
    }
}

/// Where its image comes from.
fn source(context: &mut Context<'_>, path: &str, service: &Service, config: &Config) {
    match &service.source {
        Source::Build(_) if service.stateful => {
            let hint = Some("give it an `image`, or leave `stateful` out");
            context.wrong_key(
                &join(path, "stateful"),
                "a service that holds data is never rebuilt and replaced",
                hint,
            );
        }
        Source::Image(image) if !image.is_empty() => image_name(context, &join(path, "image"), image),
        Source::Build(build) => {
            contexts(context, &join(path, "build.contexts"), build, config);
            build_secrets(context, &join(path, "build.secrets"), &build.secrets);
        }
        Source::Image(_) => {}
    }
    match (&service.source, &service.image_name) {
        (Source::Build(_), Some(image)) => {
            if let Err(bad) = image.parse::<Repository>() {
                context.wrong(&join(path, "image_name"), bad.to_string(), None);
            }
        }
        (Source::Image(_), Some(_)) => {
            context.wrong_key(&join(path, "image_name"), "only a built image can be given a name", None);
        }
        (_, None) => {}
    }
}

fn service(context: &mut Context<'_>, path: &str, service: &Service, config: &Config) {
    source(context, path, service, config);
    if service.port == Some(0) {
        context.wrong(&join(path, "port"), "`0` is not a port", Some("ports are 1 to 65535"));
    }
    for (index, other) in service.depends_on.iter().enumerate() {
        known_service(context, &format!("{path}.depends_on[{index}]"), other, config);
    }
    for (index, volume) in service.volumes.iter().enumerate() {
        let fits =
            volume.split_once(':').is_some_and(|(name, path)| is_volume(name) && path.starts_with('/'));
        if !fits {
            let hint = Some("write `<volume>:</absolute/path>`");
            context.wrong(
                &format!("{path}.volumes[{index}]"),
                format!("`{volume}` is not a named volume"),
                hint,
            );
        }
    }
    for (index, secret) in service.secrets.iter().enumerate() {
        if !is_volume(secret) {
            context.wrong(
                &format!("{path}.secrets[{index}]"),
                format!("`{secret}` is not the name of a secret"),
                None,
            );
        }
    }
    for (key, value) in
        service.healthcheck.iter().flat_map(|check| [("live", &check.live), ("ready", &check.ready)])
    {
        let path = format!("{path}.healthcheck.{key}");
        if value.as_ref().is_some_and(|value| !value.starts_with('/')) && context.has(&path) {
            context.wrong(&path, "a path begins with `/`", None);
        }
    }
}

fn contexts(context: &mut Context<'_>, path: &str, build: &Build, config: &Config) {
    for (name, more) in &build.contexts {
        let path = join(path, name);
        match more {
            BuildContext::Service(other) => {
                known_service(context, &path, other, config);
                if config.services.get(other).is_some_and(|other| matches!(other.source, Source::Image(_))) {
                    let hint = Some("name its image: `docker-image://...`");
                    context.wrong(&path, format!("`{other}` is not built here"), hint);
                }
            }
            BuildContext::Image(image) => image_name(context, &path, image),
            BuildContext::Other(text) if text.is_empty() => {
                context.wrong(&path, "it names nothing", Some("write `service:<name>` or a folder"));
            }
            BuildContext::Other(_) => {}
        }
    }
}

/// The services that each built service builds upon.
fn linked(config: &Config) -> BTreeMap<&str, Vec<String>> {
    let linked = |service: &Service| match &service.source {
        Source::Build(build) => build
            .contexts
            .values()
            .filter_map(|more| match more {
                BuildContext::Service(other) => Some(other.clone()),
                BuildContext::Image(_) | BuildContext::Other(_) => None,
            })
            .collect(),
        Source::Image(_) => Vec::new(),
    };
    config.services.iter().map(|(name, service)| (name.as_str(), linked(service))).collect()
}

/// A variable, or `<id>=<file>`; both end up in the comma-separated words of a bake file.
fn build_secrets(context: &mut Context<'_>, path: &str, secrets: &[String]) {
    for (index, secret) in secrets.iter().enumerate() {
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let is_one = match secret.split_once('=') {
            Some((id, file)) => {
                !id.is_empty() && id.bytes().all(word) && !file.is_empty() && !file.contains([',', '"'])
            }
            None => is_variable(secret),
        };
        if !is_one {
            let message =
                format!("`{secret}` is neither the name of an environment variable nor `<id>=<file>`");
            context.wrong(&format!("{path}[{index}]"), message, None);
        }
    }
}

fn image_name(context: &mut Context<'_>, path: &str, image: &str) {
    if let Err(bad) = image.parse::<ImageName>() {
        context.wrong(path, bad.to_string(), None);
    }
}

fn environment(context: &mut Context<'_>, one: &Environment, config: &Config) {
    for (key, patterns) in [("branches", &one.branches), ("tags", &one.tags)] {
        for pattern in patterns.iter().filter(|pattern| !is_supported(pattern)) {
            let path = origin(context, &one.name, key);
            let hint = Some("`*` and `**` are known, at most four of them");
            context.wrong(&path, format!("`{pattern}` is not a pattern that can be matched"), hint);
        }
    }
    if let Some(url) = one.url.as_ref().filter(|url| !url.is_empty() && !is_http(url)) {
        let path = origin(context, &one.name, "url");
        context.wrong(
            &path,
            format!("`{url}` is not an address"),
            Some("it begins with `https://` or `http://`"),
        );
    }
    if let Some(migrate) = &one.migrate {
        let path = origin(context, &one.name, "migrate");
        known_service(context, &join(&path, "service"), &migrate.service, config);
    }
    if let Some(job) = &one.backup_job {
        let path = origin(context, &one.name, "backup");
        known_service(context, &join(&path, "service"), &job.service, config);
    }
    prometheus(context, one);
    canary(context, one, config);
    target(context, one);
    let reads_secrets = match one.target.kind {
        TargetKind::Compose => Some("Compose files read secrets as `${NAME}`"),
        TargetKind::Command => Some("commands read secrets as `$NAME`"),
        TargetKind::Swarm if one.target.is_stack_of_files() => Some("stack files read secrets as `${NAME}`"),
        TargetKind::Swarm | TargetKind::Kubernetes => None,
    };
    if let Some(hint) = reads_secrets {
        let path = origin(context, &one.name, "secrets");
        for (index, secret) in one.secrets.iter().enumerate().filter(|(_, name)| !is_variable(name)) {
            let message = format!("`{secret}` is not the name of an environment variable");
            context.wrong(&format!("{path}[{index}]"), message, Some(hint));
        }
    }
    let smoke = origin(context, &one.name, "smoke");
    for (index, check) in one.smoke.iter().enumerate() {
        let path = format!("{smoke}[{index}]");
        check_rules::check(context, &path, check, config);
        request_rules::writes(context, &path, check, one, config);
    }
}

/// Steps that nobody takes would only look as if they were; what all environments share may be for some.
fn canary(context: &mut Context<'_>, one: &Environment, config: &Config) {
    let path = format!("environments.{}.canary", one.name);
    let is_canary = |strategy: Strategy| strategy == Strategy::Canary;
    let is_taken =
        config.services.values().any(|service| is_canary(service.strategy.unwrap_or(one.strategy)));
    if context.document.has(&path) && !is_taken && !is_canary(one.strategy) {
        context.wrong_key(&path, "nothing is `strategy: canary`", Some("say so, or leave the steps out"));
    }
}

pub(super) fn known_service(context: &mut Context<'_>, path: &str, name: &str, config: &Config) {
    if !config.services.contains_key(name) {
        let known: Vec<&str> = config.services.keys().map(String::as_str).collect();
        let hint = suggestion(name, &known);
        context.wrong(path, format!("there is no service `{name}`"), hint.as_deref());
    }
}

/// The environments so that each comes after those it needs, and otherwise as they came.
pub(super) fn in_order(context: &mut Context<'_>, mut left: Vec<Environment>) -> Vec<Environment> {
    let names: Vec<String> = left.iter().map(|one| one.name.clone()).collect();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    for one in &left {
        for need in &one.needs {
            let path = origin(context, &one.name, "needs");
            if *need == one.name {
                context.wrong(&path, format!("`{need}` needs itself"), None);
            } else if !names.contains(need) {
                let hint = suggestion(need, &known);
                context.wrong(&path, format!("there is no environment `{need}`"), hint.as_deref());
            }
        }
    }
    let edges: BTreeMap<&str, &[String]> =
        left.iter().map(|one| (one.name.as_str(), one.needs.as_slice())).collect();
    if let Some(circle) = circle(&edges).filter(|circle| 2 < circle.len()) {
        let path = origin(context, circle.first().copied().unwrap_or_default(), "needs");
        let message = format!("environments need each other in a circle: {}", circle.join(" -> "));
        context.wrong(&path, message, None);
    }
    let mut sorted: Vec<Environment> = Vec::new();
    while !left.is_empty() {
        let is_free = |one: &Environment| {
            one.needs
                .iter()
                .all(|need| !left.iter().any(|other| other.name == *need && other.name != one.name))
        };
        // In a circle nothing is free; that was said, and the order no longer matters.
        let next = left.iter().position(is_free).unwrap_or(0);
        sorted.push(left.remove(next));
    }
    sorted
}

/// A circle, its first name repeated at the end, if there is one.
fn circle<'a>(edges: &BTreeMap<&'a str, &'a [String]>) -> Option<Vec<&'a str>> {
    // What depends on nothing that is left is taken away until only circles, and what leads to them, remain.
    let mut left = edges.clone();
    loop {
        let free: Vec<&str> = left
            .iter()
            .filter(|(_, others)| !others.iter().any(|other| left.contains_key(other.as_str())))
            .map(|(name, _)| *name)
            .collect();
        if free.is_empty() {
            break;
        }
        left.retain(|name, _| !free.contains(name));
    }
    let mut walk = vec![*left.keys().next()?];
    loop {
        let others = left.get(walk.last()?)?;
        let next = others.iter().find(|other| left.contains_key(other.as_str()))?.as_str();
        if let Some(start) = walk.iter().position(|name| *name == next) {
            walk.push(next);
            return walk.get(start..).map(<[&str]>::to_vec);
        }
        walk.push(next);
    }
}

fn name(context: &mut Context<'_>, path: &str, text: &str) {
    if !is_name(text) {
        context.wrong(path, format!("`{text}` is not a name"), Some(NAME_HINT));
    }
}

/// `[a-z0-9][a-z0-9-]*`, at most 63 characters as DNS allows.
pub(super) fn is_name(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.bytes().next().is_some_and(letter)
        && text.bytes().all(|b| letter(b) || b == b'-')
        && text.len() <= 63
}

/// What Docker takes as the name of a volume or secret.
pub(super) fn is_volume(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric();
    text.bytes().next().is_some_and(word) && text.bytes().all(|b| word(b) || matches!(b, b'_' | b'.' | b'-'))
}

pub(super) fn is_absolute(text: &str) -> bool {
    let is_plain = |part: &str| part != ".." && !part.chars().any(char::is_control);
    text.strip_prefix('/').is_some_and(|rest| !rest.is_empty() && rest.split('/').all(is_plain))
}

pub(super) fn is_http(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
}

pub(super) fn is_address(text: &str) -> bool {
    text.starts_with('/') || is_http(text)
}
