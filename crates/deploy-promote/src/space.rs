//! Whether what a release brings finds room on the host, as far as manifests tell.

use std::collections::{BTreeMap, BTreeSet};

use shipkit_core::exit::ExitCode;
use shipkit_core::target::{Desired, Observed};
use shipkit_core::{Digest, ImageRef};
use shipkit_registry::{Error, Manifest, ManifestKind, Registry};
use shipkit_runner::Failure;

use crate::target::Target;

/// Nothing, if there is room. What is downloaded lies there packed and unpacked, and unpacked is never smaller: less than twice
/// its size is too little, whatever is in it. Layers of the images that serve are there already. Images of
/// other registries than that of the release are not looked at.
///
/// # Errors
/// When there is too little, or it cannot be found out.
pub(crate) async fn check(
    target: &Target,
    desired: &Desired,
    observed: &Observed,
    (registry, host): (&Registry, &str),
) -> Result<(), Failure> {
    let Target::Compose { compose, .. } = target else { return Ok(()) };
    let mut coming = BTreeMap::new();
    for service in &desired.services {
        let there = observed.services.iter().find(|one| one.name == service.name);
        let old = there.and_then(|there| there.image.as_ref());
        let is_elsewhere = |image: &ImageRef| image.repository.registry() != host;
        let stays = there.is_some() && service.stateful || old == Some(&service.image);
        if stays || is_elsewhere(&service.image) || compose.has_image(&service.image.to_string()).await? {
            continue;
        }
        let known = match old.filter(|old| !is_elsewhere(old)) {
            Some(old) => platforms(registry, old).await?.iter().flat_map(layers).map(|(id, _)| id).collect(),
            None => BTreeSet::new(),
        };
        let new = platforms(registry, &service.image).await?;
        coming.extend(least(&new.iter().map(layers).collect::<Vec<_>>(), &known));
    }
    if coming.is_empty() {
        return Ok(());
    }
    let needed = coming.values().sum::<u64>().saturating_mul(2);
    let (folder, free) = compose.free_space().await?;
    if needed <= free {
        return Ok(());
    }
    let (needed, free) = (megabytes(needed), megabytes(free));
    let sentence = format!(
        "`{folder}` on the host has {free} MB left, and the images of the release need at least {needed} MB"
    );
    let failure =
        Failure::unknown(sentence).with_hint("`docker image prune` removes images that nothing uses");
    Err(Failure { exit: ExitCode::No, ..failure })
}

/// The image, or what an index has for each platform.
async fn platforms(registry: &Registry, image: &ImageRef) -> Result<Vec<Manifest>, Error> {
    let top = registry.manifest(&image.repository, &image.digest.clone().into()).await?;
    let ManifestKind::Index { manifests } = &top.kind else { return Ok(vec![top]) };
    let mut all = Vec::new();
    for entry in manifests {
        let is_image = entry.platform.as_ref().is_none_or(|platform| platform.os != "unknown");
        if is_image {
            all.push(registry.manifest(&image.repository, &entry.digest.clone().into()).await?);
        }
    }
    Ok(all)
}

fn layers(manifest: &Manifest) -> Vec<(Digest, u64)> {
    match &manifest.kind {
        ManifestKind::Index { .. } => Vec::new(),
        ManifestKind::Image { layers, .. } => {
            layers.iter().map(|layer| (layer.digest.clone(), layer.size)).collect()
        }
    }
}

/// Of the platforms, each with its layers, what is new in the one that brings least: which one the host takes is for it to say.
fn least(platforms: &[Vec<(Digest, u64)>], known: &BTreeSet<Digest>) -> BTreeMap<Digest, u64> {
    let new = platforms
        .iter()
        .map(|layers| layers.iter().filter(|(digest, _)| !known.contains(digest)).cloned().collect())
        .min_by_key(|new: &BTreeMap<Digest, u64>| new.values().sum::<u64>());
    new.unwrap_or_default()
}

/// In whole megabytes, upwards.
fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, size: u64) -> (Digest, u64) {
        (Digest::of(name.as_bytes()), size)
    }

    #[test]
    fn layers_count_once_and_those_that_are_there_do_not() {
        let known = BTreeSet::from([layer("base", 0).0]);
        let image = [vec![layer("base", 100), layer("app", 5), layer("app", 5)]];
        assert_eq!(least(&image, &known), BTreeMap::from([layer("app", 5)]));
        assert_eq!(least(&image, &BTreeSet::new()).values().sum::<u64>(), 105);
        assert!(least(&[], &known).is_empty());
    }

    #[test]
    fn of_several_platforms_the_smallest_counts() {
        let platforms = [vec![layer("amd64", 9)], vec![layer("arm64", 7)]];
        assert_eq!(least(&platforms, &BTreeSet::new()), BTreeMap::from([layer("arm64", 7)]));
    }

    #[test]
    fn megabytes_are_whole() {
        assert_eq!((megabytes(0), megabytes(1), megabytes(2_000_000)), (0, 1, 2));
    }
}
