//! The bake file: what `docker buildx bake` is asked to build.
//!
//! JSON, one target per service, readable and runnable by hand. Keys are those of the bake file reference; only what is
//! set is written.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::shard::words;
use super::{Plan, PlannedBuild, PlannedService};
use crate::config::Cache;

/// The folder, below the checkout, in which steps of one job hand files on.
pub const FOLDER: &str = ".shipkit";
/// The tag that a cache has in the repository of its image. No branch gets a tag that begins like that.
const CACHE_TAG: &str = "build-cache";

/// The bake file of a plan. A plan that pushes gives every image its throw-away tag; one that does not (a pull request)
/// writes OCI layouts to `.shipkit/layout/<service>.tar`, so that the images can be judged without a push.
#[must_use]
pub fn bake_file(plan: &Plan) -> Value {
    let mut targets = Map::new();
    for (name, service) in plan.built_here() {
        let mut target = base(plan, &service.build);
        target.insert("labels".to_owned(), json!(service.labels));
        target.insert("tags".to_owned(), json!([format!("{}:{}", service.repository, plan.build_tag)]));
        target.insert("output".to_owned(), json!([output(plan, name)]));
        let (from, to) = cache(plan, name, service);
        for (key, entries) in [("cache-from", from), ("cache-to", to)] {
            if !entries.is_empty() {
                target.insert(key.to_owned(), json!(entries));
            }
        }
        targets.insert(name.clone(), Value::Object(target));
    }
    let names: Vec<_> = plan.built_here().map(|(name, _)| name).collect();
    literal(json!({"group": {"default": {"targets": names}}, "target": targets}))
}

/// Where the image goes. Where the builder can, the files in its layers get the time of the commit at most.
fn output(plan: &Plan, name: &str) -> String {
    match (plan.push, plan.builder.rewrites_timestamps) {
        (true, false) => "type=registry".to_owned(),
        (true, true) => "type=image,push=true,rewrite-timestamp=true".to_owned(),
        (false, false) => format!("type=oci,dest={FOLDER}/layout/{name}.tar"),
        (false, true) => format!("type=oci,dest={FOLDER}/layout/{name}.tar,rewrite-timestamp=true"),
    }
}

/// Where layers of earlier builds come from and where those of this one go. Only a protected branch writes what other
/// branches read.
fn cache(plan: &Plan, name: &str, service: &PlannedService) -> (Vec<String>, Vec<String>) {
    let writes = plan.push && plan.protects(&plan.git_ref);
    let to = |text: String| if writes { vec![text] } else { Vec::new() };
    let repository = &service.repository;
    // Shards that wrote to one place would throw away each other's layers.
    let shard = plan.shard.as_deref().map(|platform| format!("-{}", words(platform))).unwrap_or_default();
    match service.build.cache {
        Cache::None => (Vec::new(), Vec::new()),
        // GitHub keeps the caches of branches apart by itself.
        Cache::Gha => (
            vec![format!("type=gha,scope={name}{shard}")],
            vec![format!("type=gha,scope={name}{shard},mode=max")],
        ),
        Cache::Registry => {
            let place = format!("type=registry,ref={repository}:{CACHE_TAG}{shard}");
            (vec![place.clone()], to(format!("{place},mode=max")))
        }
        Cache::Inline => {
            let from = service.previous.iter().map(|image| format!("type=registry,ref={image}"));
            (from.collect(), vec!["type=inline".to_owned()])
        }
        Cache::Local => {
            let place = format!("{FOLDER}/cache/{name}{shard}");
            (vec![format!("type=local,src={place}")], vec![format!("type=local,dest={place},mode=max")])
        }
    }
}

/// The same with every text as it stands: bake reads `${` and `%{` in the JSON form, too, as the start of a template.
fn literal(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("${", "$${").replace("%{", "%%{")),
        Value::Array(values) => values.into_iter().map(literal).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, literal(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

fn base(plan: &Plan, build: &PlannedBuild) -> Map<String, Value> {
    let mut target = Map::new();
    target.insert("context".to_owned(), json!(build.context));
    target.insert("dockerfile".to_owned(), json!(build.dockerfile));
    if let Some(stage) = &build.target {
        target.insert("target".to_owned(), json!(stage));
    }
    // The time of the commit in place of now, for builders that know it; others pay no heed.
    let mut args = BTreeMap::from([("SOURCE_DATE_EPOCH".to_owned(), plan.created.as_second().to_string())]);
    args.extend(build.args.clone());
    target.insert("args".to_owned(), json!(args));
    if !build.contexts.is_empty() {
        target.insert("contexts".to_owned(), json!(build.contexts));
    }
    let attest: Vec<_> = [
        build
            .provenance
            .map(|is_on| if is_on { "type=provenance,mode=max" } else { "type=provenance,disabled=true" }),
        build.sbom.then_some("type=sbom"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !attest.is_empty() {
        target.insert("attest".to_owned(), json!(attest));
    }
    if !build.secrets.is_empty() {
        // By variable or file and never by value: an argument or label would end up in the image.
        let secret = |secret: &String| match secret.split_once('=') {
            Some((id, file)) => format!("id={id},src={file}"),
            None => format!("id={secret},env={secret}"),
        };
        let secrets: Vec<_> = build.secrets.iter().map(secret).collect();
        target.insert("secret".to_owned(), json!(secrets));
    }
    if !build.platforms.is_empty() {
        target.insert("platforms".to_owned(), json!(build.platforms));
    }
    target
}
