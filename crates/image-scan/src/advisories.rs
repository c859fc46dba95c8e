//! `Advisories`: where the records about packages come from. What they mean for a package is for `osv` to say; all sources give
//! records that mean the same.

mod api;
mod artifact;
mod folder;
mod index;
mod wanted;

use std::io;
use std::time::Duration;

pub use api::Api;
pub use artifact::{Artifact, push};
pub use folder::Folder;
#[cfg(feature = "fuzzing")]
pub(crate) use index::in_blob;
pub use index::{Blob, Index};
use jiff::Timestamp;
use shipkit_core::exit::ExitCode;
use shipkit_core::hint::Hint;
use wanted::Wanted;

use crate::osv::{Package, Record};

/// A source of advisories.
#[derive(Debug)]
pub enum Advisories {
    /// The service of OSV.
    Api(Api),
    /// Files in the layout of the bucket of OSV.
    Folder(Folder),
    /// The same in a compact form.
    Index(Index),
    /// That at a registry.
    Artifact(Artifact),
}

/// What a source has about packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Every record that may be about one of them in the version that it has, perhaps with others about them, each with its entries about
    /// them, by ecosystem and then by id. Where sources are kept by
    /// ecosystem, a record about packages of two ecosystems comes once for each.
    pub records: Vec<Record>,
    /// The records that cannot be understood, whatever they are about. Whoever judges has to tell of them.
    pub unread: Vec<String>,
}

/// Why nobody can say what there is about the packages. It never means that there is nothing.
#[derive(Debug, thiserror::Error)]
pub enum AdvisoriesError {
    /// A file or folder cannot be read.
    #[error("`{place}` cannot be read")]
    Read {
        /// Its path.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// A file is no archive of advisories.
    #[error("`{place}` is no archive of advisories: {why}")]
    Archive {
        /// Its path.
        place: String,
        /// Why.
        why: String,
    },
    /// More than is read.
    #[error("`{place}` has {what}")]
    Large {
        /// Its path.
        place: String,
        /// Which limit it exceeds.
        what: &'static str,
    },
    /// A source without a word about an ecosystem.
    #[error("`{place}` has no advisories for `{ecosystem}`, but for {there}")]
    Missing {
        /// What was asked for.
        ecosystem: String,
        /// What was looked at.
        place: String,
        /// What it has.
        there: String,
    },
    /// It is hardly a matter of single records.
    #[error("`{place}` has more than {count} records that cannot be understood, `{first}` among them")]
    Unread {
        /// What was looked at.
        place: String,
        /// How many are borne.
        count: usize,
        /// One of them.
        first: String,
    },
    /// A blob of an index that cannot be read.
    #[error("the index of `{ecosystem}` cannot be read: {why}")]
    Damaged {
        /// What it is about.
        ecosystem: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A folder without folders of ecosystems.
    #[error("`{0}` has no folder of an ecosystem, such as `Debian` or `npm`")]
    Nothing(String),
    /// An artifact of another kind, or an image.
    #[error("`{0}` is no index of advisories")]
    NoIndex(String),
    /// What became known since is not in it.
    #[error("the advisories of `{place}` are of {built}, more than 30 days ago")]
    Old {
        /// The index.
        place: String,
        /// When it was built.
        built: Timestamp,
    },
    /// A registry that does not give it.
    #[error(transparent)]
    Registry(Box<shipkit_registry::Error>),
    /// An address that is none, or to which packages should not be told.
    #[error("`{0}` is no address of a service of advisories")]
    Address(String),
    /// No client can be made.
    #[error("no HTTP client can be made")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No connection, or one that broke.
    #[error("the service of advisories cannot be reached to {what}")]
    Unreachable {
        /// What it was asked.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The service does not answer the question.
    #[error("the service of advisories refused to {what}: status {status}")]
    Refused {
        /// What it was asked.
        what: &'static str,
        /// Its answer.
        status: u16,
    },
    /// An answer that is none.
    #[error("the service of advisories answered nothing that can be understood when asked to {what}: {why}")]
    Answer {
        /// What it was asked.
        what: &'static str,
        /// What is wrong with the answer.
        why: String,
    },
    /// No answer in time.
    #[error("the service of advisories has not answered for {0:?}")]
    Late(Duration),
    /// The program ends before it is done.
    #[error("reading advisories was stopped")]
    Stopped(#[source] tokio::task::JoinError),
}

impl From<shipkit_registry::Error> for AdvisoriesError {
    fn from(error: shipkit_registry::Error) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl Hint for AdvisoriesError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { ecosystem, .. } => {
                Some(format!("add the advisories for `{ecosystem}`, or ask another source"))
            }
            Self::Damaged { .. } => Some("build the index again".to_owned()),
            Self::NoIndex(_) => Some("name one that `image-scan index build` has stored".to_owned()),
            Self::Old { .. } => {
                Some("build the index again, and write its digest into `scan.image.advisories`".to_owned())
            }
            Self::Registry(error) => error.hint(),
            Self::Read { .. }
            | Self::Archive { .. }
            | Self::Large { .. }
            | Self::Unread { .. }
            | Self::Nothing(_)
            | Self::Client(_)
            | Self::Answer { .. }
            | Self::Stopped(_) => None,
            Self::Address(_) => Some(format!("give an `https` address, such as `{}`", Api::ADDRESS)),
            Self::Unreachable { .. } | Self::Refused { .. } | Self::Late(_) => {
                Some("try again later, or use advisories that are kept nearby".to_owned())
            }
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Address(_) | Self::NoIndex(_) | Self::Nothing(_) => ExitCode::Usage,
            Self::Registry(error) => error.exit_code(),
            // A gate that cannot fetch its advisories has not passed, and has not failed either.
            Self::Read { .. }
            | Self::Archive { .. }
            | Self::Large { .. }
            | Self::Missing { .. }
            | Self::Unread { .. }
            | Self::Damaged { .. }
            | Self::Old { .. }
            | Self::Client(_)
            | Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::Answer { .. }
            | Self::Late(_)
            | Self::Stopped(_) => ExitCode::Unknown,
        }
    }
}

impl Advisories {
    /// What there is about packages. Records that were withdrawn are left out.
    ///
    /// # Errors
    /// When that is not known for one of their ecosystems.
    pub async fn about(&self, packages: &[Package<'_>]) -> Result<Known, AdvisoriesError> {
        let wanted = Wanted::of(packages);
        match self {
            Self::Api(api) => api.about(packages).await,
            Self::Folder(folder) => {
                let folder = folder.clone();
                aside(move || folder.about(&wanted)).await
            }
            Self::Index(index) => {
                let index = index.clone();
                aside(move || index.about(&wanted)).await
            }
            Self::Artifact(artifact) => {
                let index = artifact.index(&wanted).await?;
                aside(move || index.about(&wanted)).await
            }
        }
    }
}

/// Reading files is no work for a thread on which others wait.
async fn aside<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, AdvisoriesError> + Send + 'static,
) -> Result<T, AdvisoriesError> {
    tokio::task::spawn_blocking(read).await.map_err(AdvisoriesError::Stopped)?
}

/// `Debian` of `Debian:12`.
fn family(ecosystem: &str) -> &str {
    ecosystem.split_once(':').map_or(ecosystem, |(family, _)| family)
}

/// Some of many names, for a message.
fn some<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name:.80}`")).collect();
    match names.get(..20) {
        Some(first) if first.len() < names.len() => format!("{} and others", first.join(", ")),
        _ if names.is_empty() => "none".to_owned(),
        _ => names.join(", "),
    }
}
