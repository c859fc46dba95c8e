//! What an image's configuration says about it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use shipkit_core::Digest;
use shipkit_core::policy::{ImageFacts, Port, Traces};

use crate::leaks::Said;

/// The most steps, variables and labels: people write no image with so many.
const MANY: usize = 2000;

#[derive(Deserialize)]
struct RawImage {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    config: Option<RawConfig>,
    rootfs: Option<RawRoot>,
    history: Option<Vec<RawStep>>,
}

#[derive(Default, Deserialize)]
struct RawRoot {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

#[derive(Deserialize)]
struct RawStep {
    created_by: Option<String>,
    #[serde(default)]
    empty_layer: bool,
}

/// What a configuration says.
pub(crate) struct Configuration {
    /// What rules are about.
    pub(crate) facts: ImageFacts,
    /// The digests of the tars of its layers, the lowest first.
    pub(crate) diff_ids: Vec<Digest>,
    /// What made each of them, where it says that for all. No secret stands there.
    pub(crate) steps: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawConfig {
    user: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    env: Option<Vec<String>>,
    exposed_ports: Option<BTreeMap<String, Value>>,
    // Not in the OCI spec; Docker and BuildKit write it into OCI images too.
    healthcheck: Option<RawHealthcheck>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawHealthcheck {
    test: Option<Vec<String>>,
}

/// What a configuration blob says; the sizes come from elsewhere.
///
/// # Errors
/// When the bytes are no image configuration.
pub(crate) fn read(config: &[u8]) -> Result<Configuration, serde_json::Error> {
    let image: RawImage = serde_json::from_slice(config)?;
    let text = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
    let mut platform = format!("{}/{}", text(image.os), text(image.architecture));
    if let Some(variant) = image.variant.filter(|variant| !variant.is_empty()) {
        platform.push('/');
        platform.push_str(&variant);
    }
    let config = image.config.unwrap_or_default();
    // `["NONE"]` switches off what a base image states; an empty list inherits, and there is nothing left to inherit.
    let check = config.healthcheck.and_then(|check| check.test).unwrap_or_default();
    let has_healthcheck = check.first().is_some_and(|word| word != "NONE");
    let (labels, environment) = (config.labels.unwrap_or_default(), config.env.unwrap_or_default());
    let history = image.history.unwrap_or_default();
    // Secrets of each are looked for in all others.
    if MANY < history.len() || MANY < environment.len() || MANY < labels.len() {
        return Err(serde::de::Error::custom("it has more steps, variables or labels than any image"));
    }
    let steps = history.iter().filter_map(|step| step.created_by.as_deref()).collect();
    let said = Said { environment: &environment, labels: &labels, steps };
    let diff_ids = image.rootfs.unwrap_or_default().diff_ids;
    let made = history.iter().filter(|step| !step.empty_layer);
    let steps: Vec<_> =
        made.map(|step| said.without_secrets(step.created_by.as_deref().unwrap_or_default())).collect();
    let steps = if steps.len() == diff_ids.len() { steps } else { Vec::new() };
    let traces = Traces { leaks: said.leaks(), ..Traces::default() };
    let facts = ImageFacts {
        platform,
        user: config.user.unwrap_or_default(),
        has_healthcheck,
        labels,
        ports: config.exposed_ports.unwrap_or_default().into_keys().map(Port).collect(),
        traces,
        compressed: 0,
        unpacked: 0,
        layers: 0,
        support: Vec::new(),
    };
    Ok(Configuration { facts, diff_ids, steps })
}

#[cfg(test)]
mod tests {
    use shipkit_core::Digest;

    use super::read;

    #[test]
    fn an_image_says_who_it_runs_as_and_how_to_ask_for_its_health() {
        let config = br#"{"os": "linux", "architecture": "arm", "variant": "v7",
            "config": {"User": "app", "Labels": {"a": "b"}, "Healthcheck": {"Test": ["CMD", "/check"]}}}"#;
        let facts = read(config).unwrap().facts;
        assert_eq!((facts.platform.as_str(), facts.user.as_str()), ("linux/arm/v7", "app"));
        assert!(facts.has_healthcheck);
    }

    #[test]
    fn a_health_check_of_none_is_none() {
        for check in ["null", "{}", r#"{"Test": null}"#, r#"{"Test": []}"#, r#"{"Test": ["NONE"]}"#] {
            let config = format!(
                r#"{{"os": "linux", "architecture": "amd64", "config": {{"Healthcheck": {check}}}}}"#
            );
            assert!(!read(config.as_bytes()).unwrap().facts.has_healthcheck, "{check}");
        }
    }

    #[test]
    fn an_image_without_a_configuration_runs_as_root() {
        let facts = read(br#"{"config": null}"#).unwrap().facts;
        assert_eq!((facts.user.as_str(), facts.platform.as_str()), ("", "unknown/unknown"));
        assert!(read(b"[]").is_err());
    }

    #[test]
    fn a_layer_has_the_step_that_made_it_where_there_are_as_many() {
        let digest = Digest::of(b"x");
        let said = |history: &str| {
            let config =
                format!(r#"{{"rootfs": {{"diff_ids": ["{digest}", "{digest}"]}}, "history": {history}}}"#);
            read(config.as_bytes()).unwrap().steps
        };
        let history = r#"[{"created_by": "ADD x"}, {"created_by": "ENV y", "empty_layer": true}, {"created_by": "RUN z"}]"#;
        assert_eq!(said(history), ["ADD x", "RUN z"]);
        for other in ["null", "[]", r#"[{"created_by": "ADD x"}]"#] {
            assert_eq!(said(other), Vec::<String>::new(), "{other}");
        }
    }
}
