//! Assembling an image index from the manifests of its platforms.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use shipkit_core::{Digest, Repository};

use crate::error::Error;
use crate::releases::pointer;
use crate::{Manifest, ManifestKind, NotAManifest, OCI_INDEX, Platform, Registry, Target};

/// Configurations of images are a few kilobytes; a very long history makes some hundred.
const CONFIG_LIMIT: u64 = 4 * 1024 * 1024;

impl Registry {
    /// Stores an index of images that are in the repository already, in this order, and returns its digest. Each
    /// image's platform is read from its own configuration; the entries of an index, attestations among them, are taken
    /// over as they are. Nothing is tagged.
    ///
    /// # Errors
    /// When one is not there, or the registry does not take the index.
    pub async fn index(
        &self,
        repository: &Repository,
        images: &[Digest],
        annotations: &BTreeMap<String, String>,
    ) -> Result<Digest, Error> {
        let mut manifests = Vec::new();
        for digest in images {
            let manifest = self.manifest(repository, &Target::Digest(digest.clone())).await?;
            if let ManifestKind::Index { .. } = manifest.kind {
                manifests.extend(entries(repository, &manifest)?);
                continue;
            }
            let platform = self.platform(repository, &manifest).await?;
            let mut entry = pointer(&manifest.descriptor());
            if let Some(fields) = entry.as_object_mut() {
                fields.insert("platform".to_owned(), platform_json(&platform));
            }
            manifests.push(entry);
        }
        let mut index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
        if let Some(fields) = index.as_object_mut().filter(|_| !annotations.is_empty()) {
            fields.insert("annotations".to_owned(), json!(annotations));
        }
        let bytes = index.to_string();
        let target = Target::Digest(Digest::of(bytes.as_bytes()));
        self.put_manifest(repository, &target, OCI_INDEX, bytes).await
    }

    /// The platform of one image, from its configuration.
    ///
    /// # Errors
    /// [`Error::WrongKind`] for an index; and when the configuration cannot be read.
    pub async fn platform(&self, repository: &Repository, manifest: &Manifest) -> Result<Platform, Error> {
        #[derive(Deserialize)]
        struct Config {
            os: String,
            architecture: String,
            variant: Option<String>,
        }
        let ManifestKind::Image { config, .. } = &manifest.kind else {
            return Err(Error::WrongKind {
                repository: repository.clone(),
                digest: manifest.digest.clone(),
                found: manifest.kind.word(),
                wanted: "an image",
            });
        };
        let bytes = self.blob(repository, config, CONFIG_LIMIT).await?;
        let config: Config = serde_json::from_slice(&bytes).map_err(|error| Error::Manifest {
            registry: repository.registry().to_owned(),
            what: format!("the configuration of `{}`", manifest.digest),
            source: NotAManifest::Shape(error),
        })?;
        Ok(Platform { os: config.os, architecture: config.architecture, variant: config.variant })
    }
}

/// The entries of an index with all that it says of them.
fn entries(repository: &Repository, index: &Manifest) -> Result<Vec<Value>, Error> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Vec<Value>,
    }
    let index: Index = serde_json::from_slice(&index.bytes).map_err(|error| Error::Manifest {
        registry: repository.registry().to_owned(),
        what: format!("the index `{}`", index.digest),
        source: NotAManifest::Shape(error),
    })?;
    Ok(index.manifests)
}

fn platform_json(platform: &Platform) -> Value {
    let mut json = json!({"architecture": platform.architecture, "os": platform.os});
    if let (Some(fields), Some(variant)) = (json.as_object_mut(), &platform.variant) {
        fields.insert("variant".to_owned(), json!(variant));
    }
    json
}
