//! A cluster whose objects stand in manifests: the files, and the services of a release in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use shipkit_core::Release;
use shipkit_core::config::Source;
use shipkit_core::manifests::{Manifests, Part};
use shipkit_kubernetes::{Cluster, ClusterError};
use shipkit_runner::Failure;

use crate::compose;
use crate::desired::slots;
use crate::project::Project;

/// What files of a folder are manifests, by the ends of their names.
const ENDS: [&str; 3] = ["json", "yaml", "yml"];

/// Reads the manifests of the environment. As `kubectl` does, a folder is its own files, by name, and not those of folders in it.
pub(crate) fn read(project: &Project<'_>) -> Result<Manifests, Failure> {
    let named = project.environment.target.manifests.as_deref().unwrap_or_default();
    let key = format!("environments.{}.target.manifests", project.environment.name);
    let path = compose::folder(project)?.join(named);
    let unreadable = |path: &Path, error: std::io::Error| {
        Failure::usage(format!("`{key}`: `{}` cannot be read: {error}", path.display()))
    };
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for path in paths(&path).map_err(|error| unreadable(&path, error))? {
        let content = std::fs::read(&path).map_err(|error| unreadable(&path, error))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        files.push((name, content));
    }
    let files = files.iter().map(|(name, content)| (name.as_str(), content.as_slice()));
    Manifests::parse(files).map_err(|error| Failure::from(ClusterError::from(error)))
}

fn paths(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let all: Vec<PathBuf> =
        std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    let is_manifest = |path: &PathBuf| {
        let end = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
        path.is_file() && end.is_some_and(|end| ENDS.contains(&end.as_str()))
    };
    let mut files: Vec<PathBuf> = all.into_iter().filter(is_manifest).collect();
    files.sort();
    Ok(files)
}

/// Renders the manifests for the cluster, with the images of the release. Gives what people should know about them.
pub(crate) async fn render(
    project: &Project<'_>,
    cluster: &mut Cluster,
    release: &Release,
) -> Result<Vec<String>, Failure> {
    Ok(cluster.render(read(project)?, &parts(project, release)).await?)
}

/// The services, with the images that the release has of those that are built here.
fn parts(project: &Project<'_>, release: &Release) -> BTreeMap<String, Part> {
    let services = project.config.services.iter().map(|(name, service)| {
        let is_released = matches!(service.source, Source::Build(_)) && !service.stateful;
        let image = release
            .services
            .get(name)
            .filter(|_| is_released)
            .map(shipkit_core::release::ServiceImage::image);
        let part = Part {
            image,
            names: service.kubernetes.clone(),
            depends_on: service.depends_on.clone(),
            has_slots: slots(service, &project.environment).is_some(),
        };
        (name.clone(), part)
    });
    services.collect()
}
