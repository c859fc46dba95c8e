//! What the commands are told about releases, in variables.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shipkit_core::{Digest, Release};

/// A release and its identity.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    /// Its identity.
    pub(crate) digest: Digest,
    /// What it says.
    pub(crate) release: Release,
}

impl Named {
    /// The digest of each service's image.
    pub(crate) fn digests(&self) -> Value {
        self.release.services.iter().map(|(name, service)| (name.clone(), json!(service.digest))).collect()
    }
}

/// The variables for commands that bring `to`, where `previous` is what may be there now.
pub(crate) fn variables(environment: &str, to: &Named, previous: Option<&Named>) -> BTreeMap<String, String> {
    let environment = ("SHIPKIT_ENVIRONMENT".to_owned(), environment.to_owned());
    let previous = previous.into_iter().flat_map(|previous| of("SHIPKIT_PREVIOUS", previous));
    of("SHIPKIT", to).into_iter().chain(previous).chain([environment]).collect()
}

fn of(prefix: &str, named: &Named) -> Vec<(String, String)> {
    let images = named.release.services.iter().map(|(name, service)| (name, service.image().to_string()));
    let digests: Value = images.clone().map(|(name, image)| (name.clone(), json!(image))).collect();
    let images = images.map(|(name, image)| {
        // Names have no `_`, so no two of them become one.
        (format!("{prefix}_IMAGE_{}", name.to_uppercase().replace('-', "_")), image)
    });
    let about = [
        ("RELEASE", named.digest.to_string()),
        ("VERSION", named.release.version.clone()),
        ("DIGESTS", digests.to_string()),
    ];
    about.into_iter().map(|(name, value)| (format!("{prefix}_{name}"), value)).chain(images).collect()
}
