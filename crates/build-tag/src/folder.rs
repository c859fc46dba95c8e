//! `.shipkit/`: the folder in which the steps of one job hand files on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use shipkit_core::Digest;
use shipkit_core::exit::ExitCode;
use shipkit_core::hint::Hint;
use shipkit_core::plan::{Builder, FOLDER, Plan};

/// More than buildx says of any builder, in bytes.
const BUILDER_LIMIT: u64 = 256 * 1024;

/// A file of the folder that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// The system said no.
    #[error("`{}` cannot be {doing}", path.display())]
    File {
        /// `read` or `written`.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not what an earlier step would have written.
    #[error("`{}` is not what `{writer}` writes", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// Who should have written it.
        writer: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The build left no digest for a service.
    #[error("`{}` holds no digest for `{service}`: its image was not pushed", path.display())]
    NoDigest {
        /// Which file.
        path: PathBuf,
        /// Which service.
        service: String,
    },
}

impl Hint for FolderError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File { doing: "read", .. } => {
                Some(format!("run `build-tag plan` and `bash {FOLDER}/build.sh` first, in the same checkout"))
            }
            Self::File { .. } | Self::Content { .. } => None,
            Self::NoDigest { .. } => {
                Some("a build that does not push (a pull request) makes no release".to_owned())
            }
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// Writes what `plan` hands on, each file whole or not at all.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn write(directory: &Path, files: &[(&str, String)]) -> Result<(), FolderError> {
    let folder = directory.join(FOLDER);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| FolderError::File { doing: "written", path, source }
    };
    // buildx does not make the folder that a layout goes to.
    let layouts = folder.join("layout");
    std::fs::create_dir_all(&layouts).map_err(failed(&layouts))?;
    for (name, text) in files {
        let path = folder.join(name);
        let half = folder.join(format!("{name}.part"));
        std::fs::write(&half, text).map_err(failed(&half))?;
        std::fs::rename(&half, &path).map_err(failed(&path))?;
    }
    Ok(())
}

/// What an earlier step wrote down about the builder (`docker buildx inspect`), if there was one.
pub(crate) fn builder(directory: &Path) -> Option<Builder> {
    use std::io::Read as _;
    let file = std::fs::File::open(directory.join(FOLDER).join("builder.txt")).ok()?;
    let mut text = String::new();
    file.take(BUILDER_LIMIT).read_to_string(&mut text).ok()?;
    Builder::read(&text)
}

/// The plan that an earlier step wrote.
///
/// # Errors
/// When there is none, or it is damaged.
pub(crate) fn plan(directory: &Path) -> Result<Plan, FolderError> {
    let path = directory.join(FOLDER).join("plan.json");
    let bytes = read(&path)?;
    serde_json::from_slice(&bytes).map_err(|source| FolderError::Content {
        path,
        writer: "build-tag plan",
        source,
    })
}

/// The digests that buildx reported for the services that are built in this job (`--metadata-file`, key `containerimage.digest`).
///
/// # Errors
/// When the file is missing, damaged, or lacks a service.
pub(crate) fn built(directory: &Path, plan: &Plan) -> Result<BTreeMap<String, Digest>, FolderError> {
    if plan.built_here().next().is_none() {
        return Ok(BTreeMap::new());
    }
    let path = directory.join(FOLDER).join("bake-metadata.json");
    let bytes = read(&path)?;
    let metadata: Value = serde_json::from_slice(&bytes).map_err(|source| FolderError::Content {
        path: path.clone(),
        writer: "docker buildx bake",
        source,
    })?;
    let digest = |service: &String| {
        let text = metadata
            .get(service)
            .and_then(|target| target.get("containerimage.digest"))
            .and_then(Value::as_str);
        let digest = text.and_then(|text| text.parse().ok());
        digest
            .map(|digest| (service.clone(), digest))
            .ok_or_else(|| FolderError::NoDigest { path: path.clone(), service: service.clone() })
    };
    plan.built_here().map(|(name, _)| digest(name)).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, FolderError> {
    std::fs::read(path).map_err(|source| FolderError::File { doing: "read", path: path.to_owned(), source })
}
