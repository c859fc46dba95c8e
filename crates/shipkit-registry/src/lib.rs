//! OCI registries: manifests, tags, releases and evidence, every byte checked.
//!
//! One client for every registry. Manifests travel as the bytes they are, because their digest is their identity;
//! what is typed is only ever read. Nothing here decides anything: a verdict comes from `shipkit-core`.
//!
//! What is read is checked against digest and size on every byte, and blobs between two registries are never held whole
//! ([`Registry::copy`]). What is written is read back: tags, and the listing of evidence, which most registries keep at a
//! tag that every client rewrites. A request is tried again where that is safe; one deadline ends all of it.

mod artifact;
mod auth;
mod blob;
mod content;
mod copied_evidence;
mod copy;
mod credentials;
mod docker_config;
mod error;
mod evidence;
mod index;
mod inside;
pub mod layout;
mod listing;
mod manifest;
mod pieces;
mod referrers;
mod releases;
mod retry;
mod session;
mod stream;
mod tag_list;
mod tags;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use shipkit_core::{Digest, Tag};

pub use artifact::{Artifact, Layer};
pub use copy::{Along, Copied};
pub use credentials::{Credentials, Login};
pub use error::Error;
pub use evidence::Evidence;
pub use inside::is_named_inside;
pub use manifest::{Descriptor, MANIFEST_LIMIT, Manifest, ManifestKind, NotAManifest, Platform};
pub use pieces::Pieces;
pub use releases::version_tag;
pub use tags::{Move, Tagged};

/// The media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A client for registries; clones share connections, tokens and credentials.
///
/// Every call retries what can be retried safely (at most five tries, with jitter, within [`Options::deadline`]).
#[derive(Debug, Clone)]
pub struct Registry {
    transport: Arc<transport::Transport>,
    session: Arc<session::Session>,
}

/// How long to try, and where plain HTTP is allowed.
#[derive(Debug, Clone)]
pub struct Options {
    /// The longest time for one request with all its retries, and for a whole copy.
    pub deadline: Duration,
    /// The longest silence in the middle of an answer or an upload, and the longest time for a credential helper.
    pub idle: Duration,
    /// Registries (host and port) that speak plain HTTP. Those on this machine always may.
    pub insecure: Vec<String>,
}

/// What names a manifest in its repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// By tag: whatever it names now.
    Tag(Tag),
    /// By digest: these bytes or none.
    Digest(Digest),
}

impl Default for Options {
    fn default() -> Self {
        Self { deadline: Duration::from_mins(10), idle: Duration::from_secs(30), insecure: Vec::new() }
    }
}

impl Registry {
    /// A client with these credentials and the default [`Options`].
    ///
    /// # Errors
    /// When Docker's configuration is there and cannot be read.
    pub fn new(credentials: Credentials) -> Result<Self, Error> {
        Self::with(credentials, Options::default())
    }

    /// A client with these credentials and options.
    ///
    /// # Errors
    /// When Docker's configuration is there and cannot be read.
    pub fn with(credentials: Credentials, options: Options) -> Result<Self, Error> {
        let transport = Arc::new(transport::Transport::new(credentials, options)?);
        Ok(Self { transport, session: Arc::default() })
    }
}

impl Target {
    fn as_str(&self) -> &str {
        match self {
            Self::Tag(tag) => tag.as_str(),
            Self::Digest(digest) => digest.as_str(),
        }
    }
}

impl From<Tag> for Target {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for Target {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}
