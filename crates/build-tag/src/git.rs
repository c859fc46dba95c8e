//! What git knows about the checkout: the event, for a laptop, where no runner tells; and the versions behind a commit.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use gix::bstr::ByteSlice as _;
use gix::revision::plumbing::describe::Options;
use gix::{ObjectId, Repository};
use jiff::Timestamp;
use shipkit_core::event::{Event, Trigger};
use shipkit_core::exit::ExitCode;
use shipkit_core::hint::Hint;
use shipkit_core::plan::{History, semver};

/// Why git could not tell what is checked out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    /// No repository here or above.
    #[error("`{directory}` is not inside a git repository")]
    NotARepository {
        /// Where it was looked for.
        directory: String,
        /// What git said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A repository without a commit.
    #[error("the git repository has no commit yet")]
    NoCommit {
        /// What git said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Hint for GitError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotARepository { .. } => Some(
                "run inside a checkout, or give the event with `--event` and `GITHUB_EVENT_NAME`".to_owned(),
            ),
            Self::NoCommit { .. } => Some("commit something first".to_owned()),
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// The event that a push of the current checkout would be: its branch, or, when detached, its version tag, if it has
/// one; and its commit.
///
/// # Errors
/// When `directory` is not in a git repository, or nothing is committed.
pub(crate) fn event(directory: &Path) -> Result<Event, GitError> {
    let repository = gix::discover(directory).map_err(|source| GitError::NotARepository {
        directory: directory.display().to_string(),
        source: Box::new(source),
    })?;
    let commit =
        repository.head_commit().map_err(|source| GitError::NoCommit { source: Box::new(source) })?;
    let branch = repository.head_name().ok().flatten().map(|name| name.shorten().to_string());
    let trigger = match branch {
        Some(name) => Trigger::Branch { name, dispatched: false },
        None => match version_tags(&repository).remove(&commit.id) {
            Some(name) => Trigger::Tag { name },
            None => Trigger::Other { name: "detached".to_owned(), branch: None },
        },
    };
    Ok(Event {
        trigger,
        commit: commit.id().to_string(),
        committed: commit.time().ok().and_then(|time| Timestamp::from_second(time.seconds).ok()),
        repository: origin(&repository),
        default_branch: default_branch(&repository),
        server_url: "https://github.com".to_owned(),
        run: None,
    })
}

/// What is checked out, for who needs no event: `meta`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// The ref; nothing where the checkout is detached and no ref names its commit.
    pub(crate) git_ref: String,
    /// The full commit.
    pub(crate) commit: String,
    /// `owner/name`, out of the address of `origin`.
    pub(crate) repository: Option<String>,
    /// The default branch of `origin`, which a clone knows and `actions/checkout` does not.
    pub(crate) default_branch: Option<String>,
}

/// What is checked out. In a detached checkout it is what else names its commit: the ref that is `expected` if that is
/// among them, else a tag (the greatest by name), a pull request, a branch of a remote.
///
/// # Errors
/// When `directory` is not in a git repository, or nothing is committed.
pub(crate) fn head(directory: &Path, expected: Option<&str>) -> Result<Head, GitError> {
    let repository = gix::discover(directory).map_err(|source| GitError::NotARepository {
        directory: directory.display().to_string(),
        source: Box::new(source),
    })?;
    let commit = repository.head_id().map_err(|source| GitError::NoCommit { source: Box::new(source) })?;
    let branch = repository.head_name().ok().flatten().map(|name| name.as_bstr().to_string());
    let git_ref = branch.or_else(|| detached(&repository, commit.detach(), expected)).unwrap_or_default();
    let origin_head = repository.try_find_reference("refs/remotes/origin/HEAD").ok().flatten();
    let default_branch = origin_head.and_then(|head| {
        let target = head.target().try_name()?.as_bstr().to_string();
        Some(target.strip_prefix("refs/remotes/origin/")?.to_owned())
    });
    Ok(Head { git_ref, commit: commit.to_string(), repository: origin(&repository), default_branch })
}

/// The ref that a detached checkout is of.
fn detached(repository: &gix::Repository, commit: gix::ObjectId, expected: Option<&str>) -> Option<String> {
    let mut named = Vec::new();
    for mut reference in repository.references().ok()?.all().ok()?.flatten() {
        let name = reference.name().as_bstr().to_string();
        if reference.peel_to_id().is_ok_and(|id| id == commit) {
            named.extend(as_github_says(&name));
        }
    }
    let among = |wanted: &str| named.iter().any(|name| name == wanted);
    let first = |kind: &str| named.iter().filter(|name| name.starts_with(kind)).max().cloned();
    let expected = expected.filter(|expected| among(expected)).map(str::to_owned);
    expected.or_else(|| first("refs/tags/")).or_else(|| first("refs/pull/")).or_else(|| first("refs/heads/"))
}

/// The name that `GITHUB_REF` has for a ref of the checkout.
fn as_github_says(name: &str) -> Option<String> {
    if name.starts_with("refs/tags/") || name.starts_with("refs/heads/") {
        return Some(name.to_owned());
    }
    let of_remote = name.strip_prefix("refs/remotes/")?;
    if of_remote.starts_with("pull/") {
        return Some(format!("refs/{of_remote}"));
    }
    let (_, branch) = of_remote.split_once('/')?;
    (branch != "HEAD").then(|| format!("refs/heads/{branch}"))
}

/// When `commit` was made, if this checkout holds it. Shallow and detached checkouts hold at least their own.
#[must_use]
pub(crate) fn commit_time(directory: &Path, commit: &str) -> Option<Timestamp> {
    let repository = gix::discover(directory).ok()?;
    let id = ObjectId::from_hex(commit.as_bytes()).ok()?;
    let seconds = repository.find_commit(id).ok()?.time().ok()?.seconds;
    Timestamp::from_second(seconds).ok()
}

/// The nearest version tag behind `commit`, counted as `git describe` does. A checkout that cannot tell is no error.
#[must_use]
pub(crate) fn history(directory: &Path, commit: &str) -> History {
    let found = || {
        let repository = gix::discover(directory).ok()?;
        let id = ObjectId::from_hex(commit.as_bytes()).ok()?;
        repository.find_commit(id).ok()?;
        Some(since_version(&repository, id))
    };
    found().unwrap_or(History::Missing)
}

fn since_version(repository: &Repository, commit: ObjectId) -> History {
    let tags = version_tags(repository);
    let name_by_oid = tags.iter().map(|(id, tag)| (*id, Cow::Borrowed(tag.as_bytes().as_bstr()))).collect();
    // Git writes one for large repositories, where it saves most of the reading.
    let cache = repository.commit_graph_if_enabled().ok().flatten();
    let mut graph = repository.revision_graph(cache.as_ref());
    let options = Options { name_by_oid, ..Options::default() };
    let found = gix::revision::plumbing::describe(&commit, &mut graph, options);
    let is_whole = found.is_ok() && !repository.is_shallow().unwrap_or(true);
    let found = found.ok().flatten().and_then(|found| Some((found.name?.to_string(), found.depth)));
    match found {
        Some((tag, distance)) => History::Since { tag, distance: distance.into() },
        None if is_whole => History::Untagged,
        None => History::Cut,
    }
}

/// The commits that tags of whole versions name; of several tags at a commit the one of the highest version.
fn version_tags(repository: &Repository) -> BTreeMap<ObjectId, String> {
    let mut tags: BTreeMap<ObjectId, String> = BTreeMap::new();
    let references = repository.references();
    let Some(named) = references.as_ref().ok().and_then(|references| references.tags().ok()) else {
        return tags;
    };
    for mut reference in named.filter_map(Result::ok) {
        let name = reference.name().shorten().to_string();
        let Some(version) = semver(&name) else { continue };
        // A shallow checkout may know the name of a tag and not what it names.
        let Ok(commit) = reference.peel_to_id().map(gix::Id::detach) else { continue };
        let is_higher = tags.get(&commit).and_then(|other| semver(other)).is_none_or(|other| other < version);
        if is_higher {
            tags.insert(commit, name);
        }
    }
    tags
}

/// The branch that `origin` had as its default when it was cloned.
fn default_branch(repository: &Repository) -> Option<String> {
    let head = repository.find_reference("refs/remotes/origin/HEAD").ok()?;
    let name = head.target().try_name()?.as_bstr().to_string();
    name.strip_prefix("refs/remotes/origin/").map(str::to_owned)
}

/// `owner/name` out of the address of `origin`: `git@host:owner/name.git` and `https://host/owner/name` alike.
fn origin(repository: &Repository) -> Option<String> {
    let config = repository.config_snapshot();
    let address = config.string("remote.origin.url")?.to_string();
    owner_and_name(&address)
}

fn owner_and_name(address: &str) -> Option<String> {
    let url = gix::url::parse(address).ok()?;
    if url.scheme == gix::url::Scheme::File {
        return None;
    }
    let path = url.path.to_str().ok()?.trim_end_matches('/').trim_end_matches(".git");
    let mut parts = path.rsplit('/');
    let (name, owner) = (parts.next()?, parts.next()?);
    (!name.is_empty() && !owner.is_empty()).then(|| format!("{owner}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_names_the_same_repository() {
        for address in
            ["git@github.com:acme/shop.git", "https://github.com/acme/shop", "ssh://git@host/acme/shop.git/"]
        {
            assert_eq!(owner_and_name(address).as_deref(), Some("acme/shop"), "{address}");
        }
        for address in [
            "shop",
            "/srv/git/acme/shop.git",
            "file:///srv/acme/shop",
            "../acme/shop",
            "https://host/shop",
            "",
        ] {
            assert_eq!(owner_and_name(address), None, "{address}");
        }
    }

    #[test]
    fn a_ref_of_the_checkout_has_the_name_that_github_gives_it() {
        for (name, expected) in [
            ("refs/tags/v1", Some("refs/tags/v1")),
            ("refs/heads/feat/x", Some("refs/heads/feat/x")),
            ("refs/remotes/origin/feat/x", Some("refs/heads/feat/x")),
            ("refs/remotes/pull/7/merge", Some("refs/pull/7/merge")),
            ("refs/remotes/origin/HEAD", None),
            ("refs/stash", None),
        ] {
            assert_eq!(as_github_says(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_folder_without_git_is_a_clear_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = event(folder.path()).unwrap_err();
        assert!(matches!(error, GitError::NotARepository { .. }), "{error}");
        assert_eq!(commit_time(folder.path(), "0123"), None);
        assert_eq!(history(folder.path(), "0123"), History::Missing);
    }
}
