//! Images at mirrors: copied by digest, with their evidence and without a tag.

use std::fmt::Write as _;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shipkit_core::{ImageRef, Repository};
use shipkit_registry::{Along, Registry};
use shipkit_runner::{Failure, Runner};

/// How many images are copied at once. Each may send a few blobs at a time.
const AT_ONCE: usize = 4;

/// An image, and the repository at a mirror that is to have it.
#[derive(Debug, Clone)]
pub(crate) struct Mirrored {
    pub(crate) image: ImageRef,
    pub(crate) to: Repository,
}

/// What a mirror lacks, or lacked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lacking {
    /// Whether that is the image itself.
    image: bool,
    /// How many of its referrers.
    evidence: usize,
}

/// Brings every image, with what refers to it, to where it is to be. What is there already is not sent again.
pub(crate) async fn copy(
    registry: &Registry,
    copies: &[Mirrored],
    runner: &Runner,
) -> Result<Vec<Lacking>, Failure> {
    let progress = runner.progress("copying to mirrors", u64::try_from(copies.len()).ok());
    let bring = |copy: &Mirrored| {
        let (registry, copy, progress) = (registry.clone(), copy.clone(), &progress);
        async move {
            let brought = registry.copy(&copy.image, &copy.to, &[], Along::Evidence).await?;
            progress.advance(1);
            Ok::<_, Failure>(Lacking { image: brought.is_sent, evidence: brought.evidence })
        }
    };
    stream::iter(copies).map(bring).buffered(AT_ONCE).try_collect().await
}

/// Which images would be copied now. Evidence is not asked for.
pub(crate) async fn missing(registry: &Registry, copies: &[Mirrored]) -> Result<Vec<Lacking>, Failure> {
    let ask = |copy: &Mirrored| {
        let (registry, image) = (registry.writing_to(&copy.to), copy.to.at(&copy.image.digest));
        async move { Ok::<_, Failure>(Lacking { image: !registry.has(&image).await?, evidence: 0 }) }
    };
    stream::iter(copies).map(ask).buffered(AT_ONCE).try_collect().await
}

/// A line for each copy.
pub(crate) fn report(copies: &[Mirrored], lacking: &[Lacking]) -> String {
    let mut text = String::new();
    for (Mirrored { image, to }, lacking) in copies.iter().zip(lacking) {
        let what = if lacking.image { "new" } else { "as before" };
        let evidence = match lacking.evidence {
            0 => String::new(),
            count => format!(", evidence: {count} new"),
        };
        // Writing to a String cannot fail.
        writeln!(text, "{to}@{} <- {} ({what}{evidence})", image.digest.short(), image.repository).ok();
    }
    text
}
