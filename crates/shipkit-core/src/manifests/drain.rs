//! What a rolling update loses, or cannot do, that can be seen in the manifests.

use serde_json::Value;

use super::colour::{Colour, sends_to};
use super::error::Remark;
use super::object::Object;
use super::template;

/// Says which objects a deploy is not kind to.
pub(super) fn remarks(objects: &[Object]) -> Vec<Remark> {
    let fixed = objects.iter().filter(|object| object.id().is("batch", "Job"));
    let fixed = fixed.map(|object| Remark::Fixed(object.id().clone()));
    let loses = |object: &&Object| object.id().is("apps", "Deployment") && loses_requests(object, objects);
    let losing = objects.iter().filter(loses).map(|object| Remark::NoDrain(object.id().clone()));
    fixed.chain(losing).collect()
}

/// Whether pods are replaced one by one, get requests, and stop as soon as they are told to: for a moment after that, requests
/// still come, however many pods may be away at a time.
fn loses_requests(object: &Object, objects: &[Object]) -> bool {
    let strategy = object.value().pointer("/spec/strategy/type").and_then(Value::as_str);
    let Some(template) = template::of(object) else { return false };
    let containers = template.pointer("/spec/containers").and_then(Value::as_array);
    let mut containers = containers.into_iter().flatten();
    let waits =
        |container: &Value| container.pointer("/lifecycle/preStop").is_some_and(|hook| !hook.is_null());
    // What has two slots loses them before its pods stop.
    Colour::of(object.value()).is_none()
        && strategy.is_none_or(|strategy| strategy == "RollingUpdate")
        && !containers.any(waits)
        && objects.iter().any(|service| sends_to(service, object))
}
