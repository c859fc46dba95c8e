//! `Found`: the checkout as git knows it, each tree read once.

use std::path::Path;

use gix::status::index_worktree;
use shipkit_core::plan::{Checkout, Dirt, Entry, Tree};

/// So far back releases are looked for.
const LINE: usize = 100;
/// The largest file that is read out of git: Dockerfiles and their like.
const TEXT_LIMIT: usize = 2 * 1024 * 1024;

/// A checkout, and the repository to ask for more.
pub(crate) struct Found {
    repository: gix::Repository,
    /// What is known about it.
    pub(crate) checkout: Checkout,
}

type Anything = Box<dyn std::error::Error + Send + Sync>;

/// What looking came to.
pub(crate) type Looked = Result<Found, Anything>;

impl Found {
    /// Looks at the checkout that `directory` is in.
    ///
    /// # Errors
    /// When it is none, or git's files cannot be read: then nothing is known, which is never the same as "clean".
    pub(crate) fn look(directory: &Path) -> Result<Self, Anything> {
        let repository = gix::discover(directory)?;
        let root = repository.workdir().ok_or("it has no work tree")?.canonicalize()?;
        let folder =
            directory.canonicalize()?.strip_prefix(&root)?.to_str().ok_or("its path is no text")?.to_owned();
        let head = repository.head_commit()?;
        let tree = tree(&head)?;
        let dirt = dirt(&repository, &tree)?;
        let checkout = Checkout { head: head.id().to_string(), line: line(head), tree, dirt, folder };
        Ok(Self { repository, checkout })
    }

    /// The text of a committed file, if it is one.
    pub(crate) fn text(&self, entry: &Entry) -> Option<String> {
        let id = gix::ObjectId::from_hex(entry.id.as_bytes()).ok()?;
        let header = self.repository.find_header(id).ok()?;
        let is_small = usize::try_from(header.size()).is_ok_and(|size| size <= TEXT_LIMIT);
        let blob = self.repository.find_object(id).ok().filter(|_| is_small)?;
        String::from_utf8(blob.detach().data).ok()
    }

    /// The files of another commit, if this checkout holds it.
    pub(crate) fn tree_of(&self, commit: &str) -> Option<Tree> {
        let id = gix::ObjectId::from_hex(commit.as_bytes()).ok()?;
        tree(&self.repository.find_commit(id).ok()?).ok()
    }

    /// Where the line of this checkout left that of a branch, if both are known.
    pub(crate) fn left(&self, branch: &str) -> Option<String> {
        let known = [format!("refs/remotes/origin/{branch}"), format!("refs/heads/{branch}")];
        let mut reference = known.iter().find_map(|name| self.repository.find_reference(name).ok())?;
        let tip = reference.peel_to_commit().ok()?;
        let theirs = line(tip);
        self.checkout.line.iter().find(|commit| theirs.contains(commit)).cloned()
    }
}

/// A commit and its first parents. A shallow checkout ends early.
fn line(mut commit: gix::Commit<'_>) -> Vec<String> {
    let mut line = vec![commit.id().to_string()];
    while line.len() < LINE {
        let Some(parent) = commit.parent_ids().next().and_then(|id| id.try_object().ok().flatten()) else {
            break;
        };
        let Ok(parent) = parent.try_into_commit() else { break };
        line.push(parent.id().to_string());
        commit = parent;
    }
    line
}

fn tree(commit: &gix::Commit<'_>) -> Result<Tree, Anything> {
    let entries = commit.tree()?.traverse().breadthfirst.files()?;
    let entry = |entry: gix::traverse::tree::recorder::Entry| Entry {
        path: entry.filepath.to_string(),
        mode: entry.mode.value().into(),
        id: entry.oid.to_string(),
    };
    Ok(Tree::new(entries.into_iter().filter(|entry| !entry.mode.is_tree()).map(entry).collect()))
}

/// What differs between commit, index and work tree, files that git ignores among it.
fn dirt(repository: &gix::Repository, head: &Tree) -> Result<Vec<Dirt>, Anything> {
    use gix::dir::walk::EmissionMode::CollapseDirectory;
    let index = repository.index_or_empty()?;
    let file = |path: &str| Dirt { path: path.to_owned(), is_folder: false };
    let mut staged = Vec::new();
    let mut dirt = Vec::new();
    let unchecked = gix::index::entry::Flags::SKIP_WORKTREE | gix::index::entry::Flags::ASSUME_VALID;
    for entry in index.entries() {
        let path = entry.path(&index).to_string();
        // A sparse checkout lacks files, and of others git was told not to look.
        if entry.flags.intersects(unchecked) {
            dirt.push(file(&path));
        }
        staged.push(Entry { path, mode: entry.mode.bits(), id: entry.id.to_string() });
    }
    dirt.extend(Tree::new(staged).changed(head).into_iter().map(file));
    let changes = repository
        .status(gix::progress::Discard)?
        .index_worktree_rewrites(None)
        .dirwalk_options(|options| {
            options.emit_untracked(CollapseDirectory).emit_ignored(Some(CollapseDirectory))
        })
        .into_index_worktree_iter(Vec::new())?;
    for change in changes {
        dirt.extend(of_worktree(&change?));
    }
    Ok(dirt)
}

fn of_worktree(change: &index_worktree::Item) -> Option<Dirt> {
    use gix::status::plumbing::index_as_worktree::EntryStatus;
    let (path, is_folder) = match change {
        index_worktree::Item::Modification { status: EntryStatus::NeedsUpdate(_), .. } => return None,
        index_worktree::Item::Modification { rela_path, .. } => (rela_path, false),
        index_worktree::Item::DirectoryContents { entry, .. } => {
            (&entry.rela_path, entry.disk_kind.is_some_and(|kind| kind.is_dir()))
        }
        index_worktree::Item::Rewrite { dirwalk_entry, .. } => (&dirwalk_entry.rela_path, false),
    };
    Some(Dirt { path: path.to_string(), is_folder })
}
