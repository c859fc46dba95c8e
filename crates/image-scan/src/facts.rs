//! What an image's configuration says about it.

use std::collections::BTreeMap;

use serde::Deserialize;
use shipkit_core::policy::ImageFacts;

#[derive(Deserialize)]
struct RawImage {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    config: Option<RawConfig>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawConfig {
    user: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    // Not in the OCI spec; Docker and BuildKit write it into OCI images too.
    healthcheck: Option<RawHealthcheck>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawHealthcheck {
    test: Option<Vec<String>>,
}

/// The facts in a configuration blob; the sizes come from elsewhere.
///
/// # Errors
/// When the bytes are no image configuration.
pub(crate) fn read(config: &[u8], compressed: u64, unpacked: u64) -> Result<ImageFacts, serde_json::Error> {
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
    Ok(ImageFacts {
        platform,
        user: config.user.unwrap_or_default(),
        has_healthcheck,
        labels: config.labels.unwrap_or_default(),
        compressed,
        unpacked,
    })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn an_image_says_who_it_runs_as_and_how_to_ask_for_its_health() {
        let config = br#"{"os": "linux", "architecture": "arm", "variant": "v7",
            "config": {"User": "app", "Labels": {"a": "b"}, "Healthcheck": {"Test": ["CMD", "/check"]}}}"#;
        let facts = read(config, 1, 2).unwrap();
        assert_eq!((facts.platform.as_str(), facts.user.as_str()), ("linux/arm/v7", "app"));
        assert!(facts.has_healthcheck);
        assert_eq!((facts.compressed, facts.unpacked), (1, 2));
    }

    #[test]
    fn a_health_check_of_none_is_none() {
        for check in ["null", "{}", r#"{"Test": null}"#, r#"{"Test": []}"#, r#"{"Test": ["NONE"]}"#] {
            let config = format!(
                r#"{{"os": "linux", "architecture": "amd64", "config": {{"Healthcheck": {check}}}}}"#
            );
            assert!(!read(config.as_bytes(), 0, 0).unwrap().has_healthcheck, "{check}");
        }
    }

    #[test]
    fn an_image_without_a_configuration_runs_as_root() {
        let facts = read(br#"{"config": null}"#, 0, 0).unwrap();
        assert_eq!((facts.user.as_str(), facts.platform.as_str()), ("", "unknown/unknown"));
        assert!(read(b"[]", 0, 0).is_err());
    }
}
