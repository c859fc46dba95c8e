//! Which images are there already, and why the others are built.
//!
//! An image is used again only out of a release that was recorded for a protected branch: a tag with the right name
//! could have been pushed by anybody who may push a branch.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::key::{ContentKey, Ingredients, NoKey};
use super::{Plan, PlannedService, Reused, matches};
use crate::config::{Config, Source};
use crate::digest::Digest;
use crate::event::{Event, Trigger};
use crate::reference::{BadName, ImageRef, Tag};
use crate::release::{Release, ServiceImage};

/// So many changed files are named.
const NAMED: usize = 3;

/// A release that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its identity.
    pub digest: Digest,
    /// What it says.
    pub release: Release,
}

/// What is known about the image of one service before it is decided.
#[derive(Debug)]
pub struct Seen<'a> {
    /// What it is made of, if that can be told.
    pub ingredients: Option<&'a Ingredients>,
    /// The name of that.
    pub key: Result<&'a ContentKey, &'a NoKey>,
    /// The images that it builds upon.
    pub bases: BTreeMap<String, Digest>,
    /// What it is compared with.
    pub since: Option<Since<'a>>,
    /// Why nothing can be used again although there is a key.
    pub remark: Option<&'a str>,
}

/// What the commit is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Since<'a> {
    /// In words: `release 1.4.0 (0123abc) in production`.
    pub what: &'a str,
    /// Every path in the repository that changed.
    pub changed: &'a [&'a str],
    /// The image that it has of this service, if it is a release.
    pub image: Option<&'a ServiceImage>,
}

/// What is done about a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is built.
    Build {
        /// What it is made of, if that can be told.
        key: Option<ContentKey>,
        /// The images that it builds upon, if that can be told.
        bases: BTreeMap<String, Digest>,
        /// Its image in the release before.
        previous: Option<ImageRef>,
        /// Why.
        because: String,
    },
    /// Its image is there.
    Reuse(Reused),
}

/// The tag in the repository of releases that names the release in an environment: a pointer for people, and for the
/// plan, which says what changed since.
///
/// # Errors
/// When the environment's name makes no tag.
pub fn deployed_tag(environment: &str) -> Result<Tag, BadName> {
    format!("deployed-{environment}").parse()
}

/// The branches that not everybody may push to: the default branch, and those that some environment takes releases from.
pub(super) fn protected_branches(event: &Event, config: &Config) -> Vec<String> {
    let of_environments = config.environments.iter().flat_map(|environment| &environment.branches);
    let all: BTreeSet<_> = of_environments.chain(&event.default_branch).cloned().collect();
    all.into_iter().collect()
}

/// The image to use again, out of these releases, newest first; they must be admissible already.
///
/// `now` and the age of an image decide whether it is too old, except for the very commit that is planned: it has
/// permanent tags, which could not name another image.
#[must_use]
pub fn reusable(
    name: &str,
    service: &PlannedService,
    key: &ContentKey,
    releases: &[Known],
    (event, config, now): (&Event, &Config, Timestamp),
) -> Option<Reused> {
    let max_age = match &config.services.get(name)?.source {
        Source::Build(build) => build.max_age,
        Source::Image(_) => return None,
    };
    let is_young = |image: &ServiceImage| {
        let age = image.created.and_then(|created| now.duration_since(created).try_into().ok());
        // A commit from the future has no age that could be converted, and is young.
        image.created.is_some() && age.is_none_or(|age: std::time::Duration| age <= max_age)
    };
    releases.iter().find_map(|known| {
        let image = known.release.services.get(name)?;
        let is_it = image.key.as_ref() == Some(key) && image.repository == service.repository;
        let is_same_commit = image.revision == event.commit;
        (is_it && (is_same_commit || is_young(image))).then(|| Reused {
            image: image.clone(),
            because: format!("reused from {}: same content key", words(&known.release)),
        })
    })
}

/// The images of the release of a tagged commit, whatever they are made of: what was tested is what gets the version.
#[must_use]
pub fn of_commit(name: &str, service: &PlannedService, known: &Known) -> Option<Reused> {
    let image = known.release.services.get(name).filter(|image| image.repository == service.repository)?;
    let because = format!("reused from {}: the release of this very commit", words(&known.release));
    Some(Reused { image: image.clone(), because })
}

/// Whether this event gives a name to what a branch has built.
#[must_use]
pub fn names_a_commit(trigger: &Trigger) -> bool {
    match trigger {
        Trigger::Tag { .. } | Trigger::Release { .. } => true,
        Trigger::Branch { .. } | Trigger::PullRequest { .. } | Trigger::Other { .. } => false,
    }
}

/// `release 1.4.0 (0123abc)`.
#[must_use]
pub fn words(release: &Release) -> String {
    format!("release {} ({})", release.version, release.commit.get(..7).unwrap_or(&release.commit))
}

impl Seen<'_> {
    /// The sentence that says why a service is built.
    #[must_use]
    pub fn because(&self) -> String {
        let reason = match (&self.key, self.remark) {
            (Err(no_key), _) => Some(no_key.to_string()),
            (Ok(_), remark) => remark.map(str::to_owned),
        };
        let changes = self.since.as_ref().map(|since| self.changes(since));
        match (changes, reason) {
            (Some(changes), None) => format!("built: {changes}"),
            (Some(changes), Some(reason)) => format!("built: {changes}; {reason}"),
            (None, Some(reason)) => format!("built: {reason}"),
            (None, None) => "built: no release to compare with".to_owned(),
        }
    }

    fn changes(&self, since: &Since<'_>) -> String {
        let what = since.what;
        let files: Vec<_> = match self.ingredients {
            Some(ingredients) => {
                since.changed.iter().copied().filter(|path| ingredients.uses(path)).collect()
            }
            None => return format!("not compared with {what}"),
        };
        if let [first, ..] = files.as_slice() {
            let named = files.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
            let more = files.len().saturating_sub(NAMED);
            return match (files.len(), more) {
                (1, _) => format!("`{first}` changed since {what}"),
                (count, 0) => format!("{count} files changed since {what}: {named}"),
                (count, more) => format!("{count} files changed since {what}: {named} and {more} more"),
            };
        }
        let Some(image) = since.image else { return format!("nothing changed since {what}") };
        let moved =
            |(name, now): &(&String, &Digest)| image.bases.get(*name).is_some_and(|then| then != *now);
        if let Some((name, _)) = self.bases.iter().find(moved) {
            return format!("its base image `{name}` moved since {what}");
        }
        match (&image.key, &self.key) {
            (Some(then), Ok(now)) if then == *now => format!("its image of {what} is too old or gone"),
            (None, _) => format!("{what} does not say what its image is made of"),
            _ => format!("its arguments, labels or what it builds upon changed since {what}"),
        }
    }
}

impl Plan {
    /// Whether a release of this git ref may lend its images to later ones: the ref is a protected branch.
    #[must_use]
    pub fn protects(&self, git_ref: &str) -> bool {
        let branch = git_ref.strip_prefix("refs/heads/");
        branch.is_some_and(|branch| self.protected_branches.iter().any(|pattern| matches(pattern, branch)))
    }

    /// The plan with what was decided about its services.
    #[must_use]
    pub fn decided(mut self, decisions: BTreeMap<String, Decision>) -> Self {
        for (name, decision) in decisions {
            match decision {
                Decision::Build { key, bases, previous, because } => {
                    if let Some(service) = self.services.get_mut(&name) {
                        *service = PlannedService { key, bases, previous, because, ..service.clone() };
                    }
                }
                Decision::Reuse(reused) => {
                    let link = format!("target:{name}");
                    let image = format!("docker-image://{}", reused.image.image());
                    // Who builds upon it takes the very image that the release will have.
                    for service in self.services.values_mut() {
                        let links = service.build.contexts.values_mut().filter(|context| **context == link);
                        links.for_each(|context| context.clone_from(&image));
                    }
                    self.services.remove(&name);
                    self.reused.insert(name, reused);
                }
            }
        }
        self
    }
}
