//! What is there already: asks git and the registry, and decides for each service whether it is built.
//!
//! Nothing here stops a plan. Whatever cannot be found out means that a service is built, and the reason is said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use shipkit_core::config::{Config, Source};
use shipkit_core::event::{Event, Trigger};
use shipkit_core::plan::{
    ContentKey, Decision, Ingredients, Known, NoKey, Pantry, Plan, Reused, Seen, Since, deployed_tag,
    names_a_commit, of_commit, reusable, words,
};
use shipkit_core::{Digest, ImageName, ImageRef, Release, Tag};
use shipkit_registry::{Error, Registry, Target, version_tag};
use tokio::time::timeout;

use crate::checkout::{Found, Looked};

/// The longest time that everything at registries may take.
const LIMIT: Duration = Duration::from_secs(10);
/// So many releases are read.
const RELEASES: usize = 10;

/// What is known before anything is asked.
pub(crate) struct Asked<'a> {
    pub(crate) config: &'a Config,
    pub(crate) event: &'a Event,
    pub(crate) plan: &'a Plan,
    pub(crate) directory: &'a Path,
    pub(crate) now: Timestamp,
    /// `None` where there can be no client; then everything is built.
    pub(crate) registry: Option<&'a Registry>,
}

/// What the registry knows.
#[derive(Default)]
struct Told {
    /// Admissible releases of this commit and the ones before it, newest first.
    releases: Vec<Known>,
    /// The release whose images this event must take, whatever they are made of.
    very: Option<Known>,
    /// What is deployed to the first environment that this event reaches, and that environment.
    deployed: Option<(Known, String)>,
    /// Why less is known than could be.
    remark: Option<String>,
}

/// What is compared with, and everything that changed since.
struct Before {
    what: String,
    release: Option<Release>,
    tree: Option<shipkit_core::plan::Tree>,
}

impl Told {
    /// The image that the newest release has of a service.
    fn previous(&self, name: &str) -> Option<ImageRef> {
        self.releases.iter().find_map(|known| Some(known.release.services.get(name)?.image()))
    }
}

type Made = BTreeMap<String, Result<Ingredients, NoKey>>;
type Bases = BTreeMap<String, Result<Digest, String>>;

impl Asked<'_> {
    /// What is done about each service that the plan would build.
    pub(crate) async fn decide(&self) -> BTreeMap<String, Decision> {
        let found = Found::look(self.directory);
        let made = self.ingredients(&found);
        let (bases, mut told) = tokio::join!(self.bases(&made), self.told(&found, &made));
        let mut keys = keys(&made, &bases);
        let mut reused = self.hits(&keys, &told);
        if let Err(why) = self.confirm(&mut reused).await {
            told.remark = Some(why);
        }
        let before = self.before(&found, &told);
        let changed = match (&found, before.as_ref().and_then(|before| before.tree.as_ref())) {
            (Ok(found), Some(tree)) => found.checkout.tree.changed(tree),
            _ => Vec::new(),
        };
        let mut decisions = BTreeMap::new();
        for name in self.plan.services.keys() {
            if let Some(image) = reused.remove(name) {
                decisions.insert(name.clone(), Decision::Reuse(image));
                continue;
            }
            let key = keys.remove(name).unwrap_or_else(|| Err(NoKey::NotInGit(name.clone())));
            let ingredients = made.get(name).and_then(|made| made.as_ref().ok());
            let known = ingredients.and_then(|made| made.bases(&bases).ok()).unwrap_or_default();
            let since = before.as_ref().map(|before| Since {
                what: &before.what,
                changed: &changed,
                image: before.release.as_ref().and_then(|release| release.services.get(name)),
            });
            let remark = told.remark.as_deref();
            let seen = Seen { ingredients, key: key.as_ref(), bases: known.clone(), since, remark };
            let (because, previous) = (seen.because(), told.previous(name));
            decisions
                .insert(name.clone(), Decision::Build { because, bases: known, previous, key: key.ok() });
        }
        decisions
    }

    fn ingredients(&self, found: &Looked) -> Made {
        let of_all = |why: &dyn Fn() -> NoKey| {
            self.plan.services.keys().map(|name| (name.clone(), Err(why()))).collect()
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => return of_all(&|| NoKey::NoGit(error.to_string())),
        };
        let head = &found.checkout.head;
        // What a pull request builds is its merge with the base, which is no commit of anybody's.
        if *head != self.event.commit && !matches!(self.event.trigger, Trigger::PullRequest { .. }) {
            return of_all(&|| NoKey::OtherCommit(head.chars().take(7).collect()));
        }
        let text = |entry: &_| found.text(entry);
        let mut pantry = Pantry::new(self.config, &found.checkout, &text);
        let mut made = BTreeMap::new();
        for (name, service) in &self.plan.services {
            if let Some(Source::Build(build)) = self.config.services.get(name).map(|service| &service.source)
            {
                made.insert(name.clone(), pantry.ingredients(build, service));
            }
        }
        made
    }

    /// The digests that base images have now, each asked for once.
    async fn bases(&self, made: &Made) -> Bases {
        let images: BTreeSet<_> = made.values().flatten().flat_map(|made| &made.images).collect();
        let lookups = images.into_iter().map(async |image| {
            let digest = timeout(LIMIT, self.base(image)).await;
            (image.clone(), digest.unwrap_or_else(|_elapsed| Err("it took too long".to_owned())))
        });
        join_all(lookups).await.into_iter().collect()
    }

    async fn base(&self, image: &str) -> Result<Digest, String> {
        let (repository, tag) = match image.parse::<ImageName>().map_err(|bad| bad.to_string())? {
            ImageName::Fixed(image) => return Ok(image.digest),
            ImageName::Tagged(repository, tag) => (repository, tag),
        };
        let registry = self.registry.ok_or("there is no client for registries")?;
        let digest = registry.resolve(&repository, &tag).await.map_err(|error| error.to_string())?;
        digest.ok_or_else(|| "there is no such image".to_owned())
    }

    async fn told(&self, found: &Looked, made: &Made) -> Told {
        let is_of_use = made.values().any(Result::is_ok) || names_a_commit(&self.event.trigger);
        let (Some(registry), Ok(found), true) = (self.registry, found, is_of_use) else {
            return Told::default();
        };
        let line = &found.checkout.line;
        let remark = match timeout(LIMIT, self.ask(registry, line)).await {
            Ok(Ok(told)) => return told,
            Ok(Err(error)) => format!("earlier releases could not be read: {error}"),
            Err(_elapsed) => "earlier releases could not be read in time".to_owned(),
        };
        Told { remark: Some(remark), ..Told::default() }
    }

    async fn ask(&self, registry: &Registry, line: &[String]) -> Result<Told, Error> {
        let tags = registry.tags(&self.plan.release_repository).await?;
        let mut told = Told::default();
        let is_there = |commit: &&String| Release::tag_for(commit).is_ok_and(|tag| tags.contains(&tag));
        let mut commits = line.iter().filter(is_there).take(RELEASES);
        let newest = self.read(registry, commits.next()).await?;
        let is_of_commit = |known: &&Known| known.release.commit == self.event.commit;
        if names_a_commit(&self.event.trigger) {
            told.very = newest.iter().find(is_of_commit).cloned();
            if told.very.is_none() {
                told.remark =
                    Some("no release of this commit was recorded for a protected branch".to_owned());
            }
        }
        let published = version_tag(&self.plan.version)?;
        if self.config.tags.immutable && tags.contains(&published) {
            told.very = self.published(registry, &published).await?.or(told.very);
        }
        told.releases = newest;
        told.releases.extend(self.read(registry, commits).await?);
        told.deployed = self.deployed(registry, &tags).await?;
        Ok(told)
    }

    /// The releases of these commits that may be used again.
    async fn read<'a>(
        &self,
        registry: &Registry,
        commits: impl IntoIterator<Item = &'a String>,
    ) -> Result<Vec<Known>, Error> {
        let reads = commits.into_iter().filter_map(|commit| Release::tag_for(commit).ok());
        let releases = join_all(reads.map(async |tag| self.release(registry, &tag).await)).await;
        let mut known = Vec::new();
        for release in releases {
            known.extend(release?);
        }
        known.retain(|known| self.plan.protects(&known.release.git_ref));
        Ok(known)
    }

    async fn release(&self, registry: &Registry, tag: &Tag) -> Result<Option<Known>, Error> {
        let repository = &self.plan.release_repository;
        let Some(digest) = registry.resolve(repository, tag).await? else { return Ok(None) };
        let release = registry.release(repository, &digest).await?;
        Ok((release.name == self.config.name).then_some(Known { digest, release }))
    }

    /// The release that this very event published in an earlier run: its permanent tags can name nothing else.
    async fn published(&self, registry: &Registry, tag: &Tag) -> Result<Option<Known>, Error> {
        let is_same = |known: &Known| {
            known.release.commit == self.plan.commit && known.release.git_ref == self.plan.git_ref
        };
        Ok(self.release(registry, tag).await?.filter(is_same))
    }

    async fn deployed(
        &self,
        registry: &Registry,
        tags: &BTreeSet<Tag>,
    ) -> Result<Option<(Known, String)>, Error> {
        let first = self.plan.environments.first().map(|reached| &reached.name);
        let Some((name, tag)) = first.and_then(|name| Some((name, deployed_tag(name).ok()?))) else {
            return Ok(None);
        };
        if !tags.contains(&tag) {
            return Ok(None);
        }
        Ok(self.release(registry, &tag).await?.map(|known| (known, name.clone())))
    }

    /// The images that can be used again, by service.
    fn hits(
        &self,
        keys: &BTreeMap<String, Result<ContentKey, NoKey>>,
        told: &Told,
    ) -> BTreeMap<String, Reused> {
        let hit = |(name, service): (&String, &_)| {
            let very = told.very.as_ref().and_then(|known| of_commit(name, service, known));
            let same = || {
                let key = keys.get(name)?.as_ref().ok()?;
                let facts = (self.event, self.config, self.now);
                reusable(name, service, key, &told.releases, facts)
            };
            Some((name.clone(), very.or_else(same)?))
        };
        self.plan.services.iter().filter_map(hit).collect()
    }

    /// Drops what the registry does not have any more, and says so.
    async fn confirm(&self, reused: &mut BTreeMap<String, Reused>) -> Result<(), String> {
        let Some(registry) = self.registry else { return Ok(()) };
        let looks = reused.iter().map(async |(name, reused)| {
            let image = &reused.image;
            let target = Target::Digest(image.digest.clone());
            let looked = timeout(LIMIT, registry.manifest(&image.repository, &target)).await;
            let why = match looked {
                Ok(Ok(_manifest)) => return None,
                Ok(Err(error)) => error.to_string(),
                Err(_elapsed) => "it took too long".to_owned(),
            };
            Some((name.clone(), format!("its image of an earlier release could not be read: {why}")))
        });
        let gone: BTreeMap<_, _> = join_all(looks).await.into_iter().flatten().collect();
        reused.retain(|name, _| !gone.contains_key(name));
        gone.into_values().next().map_or(Ok(()), Err)
    }

    /// What the commit is compared with: what is deployed, else the newest release, else where the branch began.
    fn before(&self, found: &Looked, told: &Told) -> Option<Before> {
        let found = found.as_ref().ok();
        let of_release = |known: &Known, what: String| {
            let tree = found.and_then(|found| found.tree_of(&known.release.commit))?;
            Some(Before { what, release: Some(known.release.clone()), tree: Some(tree) })
        };
        let deployed = told.deployed.as_ref().and_then(|(known, environment)| {
            of_release(known, format!("{} in {environment}", words(&known.release)))
        });
        let newest = || {
            let others = told.releases.iter().find(|known| known.release.commit != self.event.commit)?;
            of_release(others, words(&others.release))
        };
        let left = || {
            let branch = self.event.default_branch.as_deref()?;
            let commit = found?.left(branch).filter(|commit| *commit != self.event.commit)?;
            let what = format!("`{branch}` ({})", commit.get(..7).unwrap_or(&commit));
            Some(Before { what, release: None, tree: found?.tree_of(&commit) })
        };
        deployed.or_else(newest).or_else(left)
    }
}

/// The key of each service. Those that build upon others come after them.
fn keys(made: &Made, bases: &Bases) -> BTreeMap<String, Result<ContentKey, NoKey>> {
    let mut known: BTreeMap<String, ContentKey> = BTreeMap::new();
    // Each round finds at least one more, or none is left that could be found.
    loop {
        let before = known.len();
        for (name, made) in made {
            if let Some(key) = made.as_ref().ok().and_then(|made| made.key(bases, &known).ok()) {
                known.insert(name.clone(), key);
            }
        }
        if known.len() == before {
            break;
        }
    }
    let key = |made: &Result<Ingredients, NoKey>| made.as_ref().map_err(Clone::clone)?.key(bases, &known);
    made.iter().map(|(name, made)| (name.clone(), key(made))).collect()
}
