//! `ContentKey`: what an image is made of, as one name. The same key means that building again gives the same image,
//! as far as anybody can tell without building.
//!
//! The commit is not part of it, nor are the version and the time. What a `RUN` fetches from the network cannot be
//! seen; `build.max_age` is there for that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::bake::FOLDER;
use super::checkout::{Checkout, Entry, within};
use super::dockerfile;
use super::dockerignore::{Ignore, Walk};
use super::{LABELS_OF_COMMIT, PlannedService, is_per_commit};
use crate::config::{Build, BuildArg, BuildContext, Config, Part};
use crate::digest::Digest;

/// Part of every key: a later version that looks at more must not find the keys of this one.
const FORMAT: u32 = 1;
const SUBMODULE: u32 = 0o160_000;

/// The name of what an image is made of. Texts of another form, from another version, are equal to none of ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentKey(String);

/// Why a service has no content key: then it is built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// Not a git checkout, or one that cannot be read.
    #[error("git does not know what is built: {0}")]
    NoGit(String),
    /// Another commit is checked out than the one that is planned.
    #[error("the checkout is at {0} and not at the commit of this event")]
    OtherCommit(String),
    /// A context that is not a folder of this repository.
    #[error("its context `{0}` is not a folder of this git repository")]
    Elsewhere(String),
    /// Nothing of the context is committed.
    #[error("nothing of its context `{0}` is in git")]
    NotInGit(String),
    /// The Dockerfile is not committed.
    #[error("its Dockerfile `{0}` is not in git")]
    NoDockerfile(String),
    /// The work tree is not what is committed.
    #[error("`{0}` is in its context and not in the commit; commit it, or put it into `.dockerignore`")]
    Dirty(String),
    /// The whole history is in the context, and every commit has another one.
    #[error("`.git` is in its context; put it into `.dockerignore`")]
    History,
    /// A submodule, of which git knows a commit and no files.
    #[error("the submodule `{0}` is in its context")]
    Submodule(String),
    /// Something in the Dockerfile or the `.dockerignore`.
    #[error("`{file}` is not understood: {what}")]
    NotUnderstood {
        /// Which file.
        file: String,
        /// What is not.
        what: String,
    },
    /// What a base image is now could not be found out.
    #[error("its base image `{image}` could not be looked up: {why}")]
    Image {
        /// As the Dockerfile names it.
        image: String,
        /// Why.
        why: String,
    },
    /// A service that it builds upon has none.
    #[error("`{0}`, which it builds upon, has to be built")]
    Linked(String),
}

/// What a key is made of, before anybody was asked over the network.
#[derive(Debug, Clone)]
pub struct Ingredients {
    /// The context, as a folder of the repository.
    pub context: String,
    /// The Dockerfile, as a file of the repository.
    pub dockerfile: String,
    /// The images whose digests are needed, as the Dockerfile names them.
    pub images: BTreeSet<String>,
    /// The services that it builds upon.
    pub linked: BTreeSet<String>,
    ignore: Ignore,
    content: Value,
}

/// Finds ingredients; services that share a context have it read once.
pub struct Pantry<'a> {
    config: &'a Config,
    checkout: &'a Checkout,
    text: &'a dyn Fn(&Entry) -> Option<String>,
    contexts: BTreeMap<(String, String), Result<String, NoKey>>,
}

impl fmt::Display for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ingredients {
    /// The key, now that the digests of the images and the keys of linked services are known.
    ///
    /// # Errors
    /// When one of them is not known.
    pub fn key(
        &self,
        images: &BTreeMap<String, Result<Digest, String>>,
        keys: &BTreeMap<String, ContentKey>,
    ) -> Result<ContentKey, NoKey> {
        let linked: BTreeMap<_, _> = self
            .linked
            .iter()
            .map(|name| keys.get(name).map(|key| (name, key)).ok_or_else(|| NoKey::Linked(name.clone())))
            .collect::<Result<_, _>>()?;
        let images = self.bases(images)?;
        let whole = json!({"format": FORMAT, "content": self.content, "images": images, "linked": linked});
        Ok(ContentKey(Digest::of(whole.to_string().as_bytes()).to_string()))
    }

    /// The digests of the images that it builds upon.
    ///
    /// # Errors
    /// When one of them is not known.
    pub fn bases(
        &self,
        images: &BTreeMap<String, Result<Digest, String>>,
    ) -> Result<BTreeMap<String, Digest>, NoKey> {
        let base = |image: &String| match images.get(image) {
            Some(Ok(digest)) => Ok((image.clone(), digest.clone())),
            Some(Err(why)) => Err(NoKey::Image { image: image.clone(), why: why.clone() }),
            None => Err(NoKey::Image { image: image.clone(), why: "nobody was asked".to_owned() }),
        };
        self.images.iter().map(base).collect()
    }

    /// Whether this file of the repository is among what the image is made of.
    #[must_use]
    pub fn uses(&self, path: &str) -> bool {
        let inside = if self.context.is_empty() {
            Some(path)
        } else {
            path.strip_prefix(&self.context).and_then(|rest| rest.strip_prefix('/'))
        };
        path == self.dockerfile || inside.is_some_and(|path| !self.ignore.ignores(path))
    }
}

impl<'a> Pantry<'a> {
    /// Looks into this checkout. `text` answers for the content of a file as it is committed.
    #[must_use]
    pub fn new(
        config: &'a Config,
        checkout: &'a Checkout,
        text: &'a dyn Fn(&Entry) -> Option<String>,
    ) -> Self {
        Self { config, checkout, text, contexts: BTreeMap::new() }
    }

    /// What the image of a service is made of.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn ingredients(&mut self, build: &Build, service: &PlannedService) -> Result<Ingredients, NoKey> {
        let folder = self.folder(&build.context)?;
        let elsewhere = || NoKey::NoDockerfile(build.dockerfile.clone());
        let path = within(&folder, &build.dockerfile).ok_or_else(elsewhere)?;
        let dockerfile = self.clean(&path)?.ok_or_else(elsewhere)?;
        let named: BTreeSet<_> = build.contexts.keys().map(String::as_str).collect();
        let not_understood = |what| NoKey::NotUnderstood { file: path.clone(), what };
        let text = (self.text)(dockerfile).ok_or_else(|| not_understood("it is no text".to_owned()))?;
        let images = dockerfile::images(&text, &service.build.args, &named).map_err(not_understood)?;
        let (ignore, ignored_by) = self.ignore(&folder, &path)?;
        let files = self.context(&folder, &ignore, &ignored_by)?;
        let linked = BTreeSet::new();
        let mut made =
            Ingredients { context: folder, dockerfile: path, images, linked, ignore, content: Value::Null };
        let contexts = self.contexts(build, &mut made)?;
        made.content = json!({
            "context": files,
            "dockerfile": dockerfile.id,
            "target": build.target,
            "platforms": BTreeSet::from_iter(&build.platforms),
            "args": args(build, service),
            "contexts": contexts,
            "secrets": BTreeSet::from_iter(&build.secrets),
            "labels": self.labels(service),
            "attest": [json!(build.provenance), json!(build.sbom)],
        });
        Ok(made)
    }

    /// What the named contexts hold; images and services among them become ingredients.
    fn contexts(&mut self, build: &Build, made: &mut Ingredients) -> Result<BTreeMap<String, Value>, NoKey> {
        let mut contexts = BTreeMap::new();
        for (name, more) in &build.contexts {
            let holds = match more {
                BuildContext::Service(other) => {
                    made.linked.insert(other.clone());
                    json!({"service": other})
                }
                BuildContext::Image(image) => {
                    made.images.insert(image.clone());
                    json!({"image": image})
                }
                BuildContext::Other(text) => {
                    let folder = self.folder(text)?;
                    json!({"files": self.context(&folder, &Ignore::default(), "")?})
                }
            };
            contexts.insert(name.clone(), holds);
        }
        Ok(contexts)
    }

    /// The labels that are the same for every commit, and those of the configuration.
    fn labels<'b>(&self, service: &'b PlannedService) -> BTreeMap<&'b String, &'b String> {
        let own = &self.config.tags.labels;
        let is_lasting = |name: &str| own.contains_key(name) || !LABELS_OF_COMMIT.contains(&name);
        service.labels.iter().filter(|(name, _)| is_lasting(name)).collect()
    }

    fn folder(&self, context: &str) -> Result<String, NoKey> {
        // An address or `docker-image://...`; `github.com/...` looks like a folder, and then nothing of it is in git.
        let is_local = !context.contains("://") && !context.starts_with("git@");
        let folder = is_local.then(|| within(&self.checkout.folder, context)).flatten();
        folder.ok_or_else(|| NoKey::Elsewhere(context.to_owned()))
    }

    /// The committed file, unless the work tree has another one, or one where the commit has none.
    fn clean(&self, path: &str) -> Result<Option<&'a Entry>, NoKey> {
        if self.checkout.dirt.iter().any(|dirt| dirt.path == path) {
            return Err(NoKey::Dirty(path.to_owned()));
        }
        Ok(self.checkout.tree.get(path))
    }

    /// The patterns for a context, and the name of the object they are in: the Dockerfile's own come first.
    fn ignore(&self, context: &str, dockerfile: &str) -> Result<(Ignore, String), NoKey> {
        let shared = within(context, ".dockerignore").unwrap_or_default();
        for path in [format!("{dockerfile}.dockerignore"), shared] {
            let Some(entry) = self.clean(&path)? else { continue };
            let text = (self.text)(entry).ok_or_else(|| "it is no text".to_owned());
            return match text.and_then(|text| Ignore::read(&text)) {
                Ok(ignore) => Ok((ignore, entry.id.clone())),
                Err(what) => Err(NoKey::NotUnderstood { file: path, what }),
            };
        }
        Ok((Ignore::default(), String::new()))
    }

    fn context(&mut self, folder: &str, ignore: &Ignore, ignored_by: &str) -> Result<String, NoKey> {
        let place = (folder.to_owned(), ignored_by.to_owned());
        if let Some(known) = self.contexts.get(&place) {
            return known.clone();
        }
        let found = self.read_context(folder, ignore);
        self.contexts.insert(place, found.clone());
        found
    }

    /// The hash of the files in a context, by their paths in it.
    fn read_context(&self, folder: &str, ignore: &Ignore) -> Result<String, NoKey> {
        let mut is_empty = true;
        let mut walk = Walk::new(ignore);
        let mut hash = Sha256::new();
        let mut line = String::new();
        for (path, entry) in self.checkout.tree.below(folder) {
            is_empty = false;
            if walk.ignores(path) {
                continue;
            }
            if entry.mode == SUBMODULE {
                return Err(NoKey::Submodule(entry.path.clone()));
            }
            line.clear();
            // Writing to a String cannot fail.
            write!(line, "{:o} {} {path}\0", entry.mode, entry.id).ok();
            hash.update(line.as_bytes());
        }
        if is_empty {
            return Err(NoKey::NotInGit(folder.to_owned()));
        }
        if folder.is_empty() && !ignore.ignores(".git") {
            return Err(NoKey::History);
        }
        if let Some(dirt) = self.dirt(folder, ignore) {
            return Err(NoKey::Dirty(dirt.to_owned()));
        }
        let mut text = String::new();
        for byte in hash.finalize() {
            write!(text, "{byte:02x}").ok();
        }
        Ok(text)
    }

    /// Something in a context that the commit does not have like that. What we hand on ourselves does not count.
    fn dirt(&self, folder: &str, ignore: &Ignore) -> Option<&'a str> {
        let own = within(&self.checkout.folder, FOLDER)?;
        let is_own =
            |path: &str| path.strip_prefix(&own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let matters = |dirt: &&super::checkout::Dirt| {
            let Some(path) = dirt.path.strip_prefix(&prefix).filter(|_| !is_own(&dirt.path)) else {
                return false;
            };
            !ignore.ignores(path) || dirt.is_folder && ignore.may_bring_back_below(path)
        };
        self.checkout.dirt.iter().find(matters).map(|dirt| dirt.path.as_str())
    }
}

/// Build arguments by value, but those that hold the commit or the version by name: every commit has another one.
fn args(build: &Build, service: &PlannedService) -> BTreeMap<String, Value> {
    let arg = |(name, value): (&String, &BuildArg)| {
        let content = match value {
            BuildArg::Variable(variable) if is_per_commit(variable) => json!({"variable": variable}),
            BuildArg::Mixed(parts) if parts.iter().all(is_constant) => json!({"parts": by_name(parts)}),
            BuildArg::Variable(_) | BuildArg::Literal(_) | BuildArg::Mixed(_) => {
                json!({"value": service.build.args.get(name)})
            }
        };
        (name.clone(), content)
    };
    build.args.iter().map(arg).collect()
}

/// Whether the piece is the same for every commit, once the variables of commits stand there by name.
fn is_constant(part: &Part) -> bool {
    match part {
        Part::Text(_) => true,
        Part::Variable { name, .. } => is_per_commit(name),
    }
}

fn by_name(parts: &[Part]) -> Vec<Value> {
    let piece = |part: &Part| match part {
        Part::Text(text) => json!({"value": text}),
        Part::Variable { name, .. } => json!({"variable": name}),
    };
    parts.iter().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ComposeFile, Needed, Source};
    use crate::event::{Event, Trigger};
    use crate::plan::{History, plan};

    /// What the key sees of the argument `A` of a Compose file, at this commit.
    fn argument(value: &str, commit: char) -> Value {
        let own = "version: 1\nname: shop\nenvironments: {a: {}}\n";
        let text = format!("services: {{api: {{build: {{context: ., args: ['A={value}']}}}}}}");
        let compose = ComposeFile { file: "compose.yaml", text: &text, folder: "", env_file: None };
        let variables = |name: &str| (name == "X").then(|| "x".to_owned());
        let config = Config::parse_beside("f", own, Some(compose), &variables, Needed::Build).unwrap();
        let event = Event {
            trigger: Trigger::Branch { name: "main".to_owned(), dispatched: false },
            commit: commit.to_string().repeat(40),
            committed: None,
            repository: Some("acme/shop".to_owned()),
            default_branch: None,
            server_url: String::new(),
            run: None,
        };
        let time = "2026-01-02T03:04:05Z".parse().unwrap();
        let plan = plan(&event, time, &History::Missing, &config, &variables).unwrap();
        let Source::Build(build) = &config.services["api"].source else { panic!("api is built") };
        args(build, &plan.services["api"])["A"].clone()
    }

    #[test]
    fn a_commit_in_a_text_is_no_part_of_the_key_and_the_rest_of_the_text_is() {
        assert_eq!(argument("of-$SHIPKIT_COMMIT-$X", 'a'), argument("of-$SHIPKIT_COMMIT-$X", 'b'));
        assert_eq!(argument("of-$SHIPKIT_COMMIT-$X", 'a'), argument("of-$SHIPKIT_COMMIT-x", 'b'));
        assert_ne!(argument("of-$SHIPKIT_COMMIT-$X", 'a'), argument("of-$SHIPKIT_COMMIT-y", 'a'));
        assert_ne!(argument("of-$SHIPKIT_COMMIT", 'a'), argument("of-$SHIPKIT_VERSION", 'a'));
        assert_eq!(argument("$X", 'a'), json!({"value": "x"}));
    }
}
