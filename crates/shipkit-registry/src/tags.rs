//! Tags: names for people, written last and read back.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shipkit_core::{Digest, ImageRef, Repository, Tag};

use crate::error::Error;
use crate::{Manifest, Registry, Target};

/// How many tags are asked for at once.
const AT_ONCE: usize = 8;

/// Whether a tag may ever name something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Never: `1.4.0`, `sha-...`.
    Permanent,
    /// From release to release: `main`, `latest`.
    Moving,
}

/// What tagging did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tagged {
    /// The tag is new.
    Created,
    /// The tag named something else before.
    Moved {
        /// What it named.
        from: Digest,
    },
    /// The tag named this image already; nothing was written.
    Unchanged,
}

impl Registry {
    /// What [`Registry::tag`] would do now, without doing it.
    ///
    /// # Errors
    /// [`Error::Taken`] when the tag is permanent and names something else; or when it could not be found out.
    pub async fn plan_tag(&self, image: &ImageRef, tag: &Tag, may: Move) -> Result<Tagged, Error> {
        match (self.resolve(&image.repository, tag).await?, may) {
            (None, _) => Ok(Tagged::Created),
            (Some(found), _) if found == image.digest => Ok(Tagged::Unchanged),
            (Some(from), Move::Moving) => Ok(Tagged::Moved { from }),
            (Some(found), Move::Permanent) => Err(Error::Taken {
                repository: image.repository.clone(),
                tag: tag.clone(),
                found,
                wanted: image.digest.clone(),
            }),
        }
    }

    /// Makes `tag` name this image, and makes sure that it does.
    ///
    /// # Errors
    /// [`Error::Taken`] when the tag is permanent and names something else, which it then still does;
    /// [`Error::Overwritten`] when somebody else wrote it at the same time; and when the image is not there.
    pub async fn tag(&self, image: &ImageRef, tag: &Tag, may: Move) -> Result<Tagged, Error> {
        let done = self.plan_tag(image, tag, may).await?;
        self.give_tags(image, &[(tag.clone(), done.clone())]).await?;
        Ok(done)
    }

    /// [`Registry::tag`] for many tags of one image, all of which are asked for before the first is written. It takes as
    /// few requests as that promise allows: one for each tag, one for the image, and two for each tag that is written.
    ///
    /// # Errors
    /// As for [`Registry::tag`]; no tag has been written when a permanent one is taken.
    pub async fn tag_all(&self, image: &ImageRef, tags: &[(Tag, Move)]) -> Result<Vec<Tagged>, Error> {
        let planned: Vec<Tagged> = stream::iter(tags)
            .map(|(tag, may)| self.plan_tag(image, tag, *may))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let wanted: Vec<_> = tags.iter().map(|(tag, _)| tag.clone()).zip(planned.iter().cloned()).collect();
        self.give_tags(image, &wanted).await?;
        Ok(planned)
    }

    /// Writes the tags of one image that [`Registry::plan_tag`] has looked at, in this order, and reads each back. Those
    /// that are [`Tagged::Unchanged`] are passed over.
    ///
    /// # Errors
    /// [`Error::Overwritten`] when somebody else wrote one at the same time; and when the image is not there.
    pub async fn give_tags(&self, image: &ImageRef, planned: &[(Tag, Tagged)]) -> Result<(), Error> {
        let mut wanted = planned.iter().filter(|(_, tagged)| *tagged != Tagged::Unchanged).peekable();
        if wanted.peek().is_none() {
            return Ok(());
        }
        let manifest = self.manifest(&image.repository, &Target::Digest(image.digest.clone())).await?;
        for (tag, _) in wanted {
            self.put_tag(&image.repository, tag, &manifest).await?;
        }
        Ok(())
    }

    /// Writes a tag that [`Registry::plan_tag`] has looked at, and reads it back.
    ///
    /// # Errors
    /// [`Error::Overwritten`] when somebody else wrote it at the same time.
    pub async fn put_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let target = Target::Tag(tag.clone());
        self.put_manifest(repository, &target, &manifest.media_type, manifest.bytes.clone()).await?;
        let found = self.resolve(repository, tag).await?;
        if found.as_ref() == Some(&manifest.digest) {
            return Ok(());
        }
        Err(Error::Overwritten {
            repository: repository.clone(),
            tag: tag.clone(),
            found: found.map_or_else(|| "nothing".to_owned(), |digest| format!("`{digest}`")),
            wanted: manifest.digest.clone(),
        })
    }
}
