//! `Artifact`: what a registry keeps that is no image: layers of a type of their own, and an empty configuration.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;
use shipkit_core::{Digest, Repository};

use crate::error::Error;
use crate::releases::{EMPTY, EMPTY_TYPE, pointer};
use crate::{Descriptor, OCI_MANIFEST, Registry, Target};

/// What is stored as one artifact.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The media type that says what it is, of the artifact and of its layers alike.
    pub kind: &'static str,
    /// Its layers, in their order.
    pub layers: Vec<Layer>,
    /// What its manifest says of it.
    pub annotations: BTreeMap<String, String>,
}

/// One layer of an artifact.
#[derive(Debug, Clone)]
pub struct Layer {
    /// What it holds.
    pub bytes: Bytes,
    /// What the manifest says of it.
    pub annotations: BTreeMap<String, String>,
}

impl Registry {
    /// Stores an artifact by digest, without a tag, and returns that digest. The same artifact has the same digest wherever
    /// and whenever it is stored.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn put_artifact(&self, repository: &Repository, artifact: Artifact) -> Result<Digest, Error> {
        let Artifact { kind, layers, annotations } = artifact;
        self.put_blob(repository, EMPTY).await?;
        let mut pointers = Vec::new();
        for Layer { bytes, annotations } in layers {
            let mut layer = pointer(&Descriptor::of(kind, &bytes));
            if let (Some(fields), false) = (layer.as_object_mut(), annotations.is_empty()) {
                fields.insert("annotations".to_owned(), json!(annotations));
            }
            pointers.push(layer);
            self.put_blob(repository, bytes).await?;
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": kind,
            "config": pointer(&Descriptor::of(EMPTY_TYPE, EMPTY)),
            "layers": pointers,
            "annotations": annotations,
        });
        let bytes = manifest.to_string();
        let target = Target::Digest(Digest::of(bytes.as_bytes()));
        self.put_manifest(repository, &target, OCI_MANIFEST, bytes).await
    }
}
