//! The bake file: what `docker buildx bake` is asked to build.
//!
//! JSON, one target per service, readable and runnable by hand. Keys are those of the bake file reference; only what is
//! set is written.

use serde_json::{Map, Value, json};

use super::{Plan, PlannedBuild};

/// The folder, below the checkout, in which steps of one job hand files on.
pub const FOLDER: &str = ".shipkit";

/// The bake file of a plan. A plan that pushes gives every image its throw-away tag; one that does not (a pull request)
/// writes OCI layouts to `.shipkit/layout/<service>.tar`, so that the images can be judged without a push.
#[must_use]
pub fn bake_file(plan: &Plan) -> Value {
    let mut targets = Map::new();
    for (name, service) in &plan.services {
        let mut target = base(&service.build);
        target.insert("labels".to_owned(), json!(service.labels));
        target.insert("tags".to_owned(), json!([format!("{}:{}", service.repository, plan.build_tag)]));
        let output = if plan.push {
            "type=registry".to_owned()
        } else {
            format!("type=oci,dest={FOLDER}/layout/{name}.tar")
        };
        target.insert("output".to_owned(), json!([output]));
        targets.insert(name.clone(), Value::Object(target));
    }
    let names: Vec<_> = plan.services.keys().collect();
    literal(json!({"group": {"default": {"targets": names}}, "target": targets}))
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

fn base(build: &PlannedBuild) -> Map<String, Value> {
    let mut target = Map::new();
    target.insert("context".to_owned(), json!(build.context));
    target.insert("dockerfile".to_owned(), json!(build.dockerfile));
    if let Some(stage) = &build.target {
        target.insert("target".to_owned(), json!(stage));
    }
    if !build.args.is_empty() {
        target.insert("args".to_owned(), json!(build.args));
    }
    if !build.secrets.is_empty() {
        // By environment variable and never by value: an argument or label would end up in the image.
        let secrets: Vec<_> = build.secrets.iter().map(|name| format!("id={name},env={name}")).collect();
        target.insert("secret".to_owned(), json!(secrets));
    }
    if !build.platforms.is_empty() {
        target.insert("platforms".to_owned(), json!(build.platforms));
    }
    target
}
