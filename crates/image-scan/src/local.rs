//! Images that are on this machine: OCI layouts, archives of `docker save`, and what an engine sends.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use shipkit_core::ImageName;
use shipkit_core::config::Config;
use shipkit_core::plan::service_of;
use shipkit_registry::layout::{Layout, LayoutError};
use shipkit_runner::{Failure, Runner, env};

use crate::Image;
use crate::archive::{Archive, ArchiveError};
use crate::source::Source;

/// The images of one layout or archive, or of every `<service>.tar` in a folder, as `build-tag plan` has a pull request build them.
///
/// # Errors
/// When there is none, or one of them cannot be read.
pub(crate) fn images(path: &Path, config: Option<&Config>, runner: &Runner) -> Result<Vec<Image>, Failure> {
    let repository = runner.env().get(env::GITHUB_REPOSITORY);
    let service = |tag: &str| service(tag, repository, config);
    if path.is_file() {
        return file(path, service);
    }
    if path.join("index.json").is_file() {
        return Ok(vec![layout(path, Layout::open(path)?)?]);
    }
    let failed = |source: std::io::Error| {
        Failure::usage(format!("`{}` cannot be read: {source}", path.display()))
            .with_hint("give an OCI layout, its tar, an archive of `docker save`, or a folder of such tars")
    };
    let mut tars = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|extension| extension == "tar") {
            tars.push(file);
        }
    }
    tars.sort();
    if tars.is_empty() {
        return Err(Failure::usage(format!(
            "`{}` holds neither an OCI layout nor a tar of one",
            path.display()
        )));
    }
    let mut images = Vec::new();
    for tar in &tars {
        images.extend(file(tar, service)?);
    }
    Ok(images)
}

/// The image that an engine has under a name.
pub(crate) fn of_engine(
    archive: Archive,
    name: &str,
    config: Option<&Config>,
    runner: &Runner,
) -> Vec<Image> {
    let repository = runner.env().get(env::GITHUB_REPOSITORY);
    let name = service(name, repository, config).unwrap_or_else(|| name.to_owned());
    of_archive(archive, &name, |tag| service(tag, repository, config))
}

/// The images of an archive: a single one is named after the file, others after their services, or else their tags.
fn of_archive(archive: Archive, name: &str, service: impl Fn(&str) -> Option<String>) -> Vec<Image> {
    let archive = Arc::new(archive);
    let is_single = archive.images.len() == 1;
    let image = |(tag, manifest): &(Option<String>, _)| {
        let tagged = tag.as_ref().filter(|_| !is_single);
        let name = tagged.map_or_else(|| name.to_owned(), |tag| service(tag).unwrap_or_else(|| tag.clone()));
        let source = Source::Archive(Arc::clone(&archive));
        Image { name, source, manifest: Clone::clone(manifest), bases: Vec::new() }
    };
    archive.images.iter().map(image).collect()
}

/// The service whose images have this tag.
fn service(tag: &str, repository: Option<&str>, config: Option<&Config>) -> Option<String> {
    let images = match tag.parse().ok()? {
        ImageName::Fixed(image) => image.repository,
        ImageName::Tagged(repository, _) => repository,
    };
    service_of(&images, repository, config?).map(str::to_owned)
}

/// A tar is a layout or an archive, and what newer engines save is both: then it is read as a layout, which may be read in parts, unless
/// only `manifest.json` tells its images apart.
fn file(path: &Path, service: impl Fn(&str) -> Option<String>) -> Result<Vec<Image>, Failure> {
    let found = match Layout::open(path) {
        Ok(found) if found.manifests().len() == 1 => return Ok(vec![layout(path, found)?]),
        Err(error) if !matches!(error, LayoutError::Missing { .. }) => return Err(error.into()),
        found => found,
    };
    let opened = File::open(path).map_err(|source| LayoutError::Io { path: path.to_owned(), source })?;
    match (Archive::read(opened), found) {
        (Ok(archive), _) => Ok(of_archive(archive, &stem(path), service)),
        (Err(ArchiveError::NotOne), Ok(found)) => Ok(vec![layout(path, found)?]),
        (Err(ArchiveError::NotOne), Err(error)) => Err(error.into()),
        (Err(error), _) => Err(Failure::from(error).context(format!("`{}` cannot be read", path.display()))),
    }
}

fn layout(path: &Path, layout: Layout) -> Result<Image, Failure> {
    let [descriptor] = layout.manifests() else {
        let count = layout.manifests().len();
        return Err(Failure::usage(format!(
            "the layout `{}` lists {count} images, and one is needed",
            path.display()
        )));
    };
    let manifest = layout.manifest(descriptor)?;
    Ok(Image { name: stem(path), source: Source::Layout(layout), manifest, bases: Vec::new() })
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "image".to_owned(), |stem| stem.to_string_lossy().into_owned())
}
