//! `Bases`: upon which image another was built, so that a finding says whether it comes from there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shipkit_core::policy::Base;
use shipkit_core::{Digest, ImageRef, Repository};
use shipkit_registry::Registry;
use shipkit_runner::Failure;
use tokio::sync::OnceCell;

use crate::before::{labelled, pushed};
use crate::source::Contents;

/// How long a registry may take to tell: no verdict needs this, so nobody waits long for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The digests of the layers of an image, where its registry tells them.
type Layers = Arc<OnceCell<Option<Vec<Digest>>>>;

/// The layers of images that others may have been built upon: each is asked for once, by its name and platform.
#[derive(Default)]
pub(crate) struct Bases(Mutex<BTreeMap<(String, String), Layers>>);

impl Bases {
    /// Of the images that it may have been built upon the largest with whose layers it begins. None where no registry tells.
    pub(crate) async fn of(
        &self,
        contents: &Contents,
        candidates: &[(String, ImageRef)],
        client: impl Fn(&Repository) -> Result<Registry, Failure>,
    ) -> Option<Base> {
        let own: Vec<_> = contents.layers.iter().map(|layer| &layer.diff_id).collect();
        let mut best: Option<Base> = None;
        for (name, image) in labelled(contents).iter().chain(candidates) {
            let platform = &contents.facts.platform;
            let Some(layers) = self.layers(image, platform, &client).await else { continue };
            let begins = layers.len() <= own.len() && layers.iter().zip(&own).all(|(base, own)| base == *own);
            if begins && best.as_ref().is_none_or(|best| best.layers < layers.len()) {
                best = Some(Base { name: name.clone(), layers: layers.len() });
            }
        }
        best
    }

    async fn layers(
        &self,
        image: &ImageRef,
        platform: &str,
        client: &impl Fn(&Repository) -> Result<Registry, Failure>,
    ) -> Option<Vec<Digest>> {
        let cell = {
            let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry((image.to_string(), platform.to_owned())).or_default())
        };
        // It is large, and most runs ask for nothing.
        let asked = Box::pin(async {
            let (source, manifest) = pushed(&client(&image.repository)?, image).await?;
            source.diff_ids(&manifest, platform).await
        });
        let told = || async { tokio::time::timeout(PATIENCE, asked).await.ok()?.ok().flatten() };
        cell.get_or_init(told).await.clone()
    }
}
