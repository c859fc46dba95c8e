//! `Builder`: what the present builder can do, and which builder a plan needs.
//!
//! What is said about it comes from `docker buildx inspect`, so that a lack is found before anything is built: the
//! engine's own builder finds out late, or drops what it cannot do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Plan, PlannedService};
use crate::config::Cache;

/// The label of a builder that keeps images in containerd's store.
const SNAPSHOTTER: &str = "org.mobyproject.buildkit.worker.snapshotter:";

/// The builder that `docker buildx` uses now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builder {
    /// Whether it is the one inside the Docker engine.
    is_engine: bool,
    /// Whether images are kept in containerd's store.
    has_containerd: bool,
    /// Its minor version. Old engines give their own, and those that distributions build none.
    minor: Option<u32>,
    /// Whether it labels itself, as engines do since 23.
    has_labels: bool,
}

/// Something that not every builder can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Layout,
    Platforms,
    Attestation,
    Contexts,
    Cache,
}

/// The builder for a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chosen {
    /// Which one.
    pub which: Which,
    /// What the present one lacks, in words: `images of several platforms (api)`.
    pub lacks: Vec<String>,
    /// Whether it sets the times of files to that of the commit, so that a rebuild gives the same bytes.
    pub rewrites_timestamps: bool,
}

/// Which builder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// The present one.
    #[default]
    Default,
    /// One in a container of its own.
    Container,
}

impl Builder {
    /// Reads what `docker buildx inspect` says; `None` if that does not name a driver.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let value = |key: &str| text.lines().find_map(|line| Some(line.trim().strip_prefix(key)?.trim()));
        let version = value("BuildKit version:").or_else(|| value("Buildkit:")).unwrap_or_default();
        // Engines before 23 give their own version, like 20.10.24.
        let minor = version
            .strip_prefix("v0.")
            .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
            .filter(|minor| *minor != 0);
        Some(Self {
            is_engine: value("Driver:")? == "docker",
            has_containerd: text.lines().any(|line| line.trim().starts_with(SNAPSHOTTER)),
            minor,
            has_labels: text.lines().any(|line| line.trim() == "Labels:"),
        })
    }

    fn can(&self, need: Need) -> bool {
        match need {
            Need::Layout | Need::Platforms | Need::Attestation | Need::Cache => {
                !self.is_engine || self.has_containerd
            }
            // Part of the Dockerfile's language since BuildKit 0.10.
            Need::Contexts => self.minor.map_or(!self.is_engine || self.has_labels, |minor| 10 <= minor),
        }
    }

    /// Files of layouts get other times in any builder since 0.13. An engine that pushes wants to keep and unpack the
    /// image first, which does not go together with it.
    fn rewrites_timestamps(&self, plan: &Plan) -> bool {
        let can = !self.is_engine || self.has_containerd && !plan.push;
        can && self.minor.is_none_or(|minor| 13 <= minor)
    }
}

impl Need {
    fn words(self) -> &'static str {
        match self {
            Self::Layout => "OCI layouts, which a pull request is built into",
            Self::Platforms => "images of several platforms",
            Self::Attestation => "provenance and SBOM",
            Self::Contexts => "named contexts",
            Self::Cache => "a cache outside the image",
        }
    }
}

impl Plan {
    /// The plan with the builder that it needs. Nothing is known about one that was not inspected: then it is trusted
    /// with what every builder can do, and with nothing else.
    #[must_use]
    pub fn with_builder(mut self, present: Option<&Builder>) -> Self {
        let mut lacks: BTreeMap<Need, Vec<&str>> = BTreeMap::new();
        for (name, service) in self.built_here() {
            for need in needs(&self, service) {
                let is_lacking = match present {
                    Some(builder) => !builder.can(need),
                    None => true,
                };
                if is_lacking {
                    lacks.entry(need).or_default().push(name);
                }
            }
            // Of one that was not inspected not even the platform is known.
            if present.is_none() && service.build.platforms.len() == 1 {
                lacks.entry(Need::Platforms).or_default().push(name);
            }
        }
        let which = if lacks.is_empty() { Which::Default } else { Which::Container };
        let rewrites_timestamps = match which {
            Which::Default => present.is_some_and(|builder| builder.rewrites_timestamps(&self)),
            Which::Container => true,
        };
        let lacks = lacks
            .into_iter()
            .map(|(need, names)| format!("{} ({})", need.words(), names.join(", ")))
            .collect();
        self.builder = Chosen { which, lacks, rewrites_timestamps };
        self
    }
}

fn needs(plan: &Plan, service: &PlannedService) -> Vec<Need> {
    let build = &service.build;
    let keeps_cache = match build.cache {
        Cache::None | Cache::Inline => false,
        Cache::Gha | Cache::Registry | Cache::Local => true,
    };
    let needs = [
        (!plan.push, Need::Layout),
        (1 < build.platforms.len(), Need::Platforms),
        (build.provenance == Some(true) || build.sbom, Need::Attestation),
        (!build.contexts.is_empty(), Need::Contexts),
        (keeps_cache, Need::Cache),
    ];
    needs.into_iter().filter(|(is_needed, _)| *is_needed).map(|(_, need)| need).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "Name:   default\nDriver: docker\n\nNodes:\nName:      default\nEndpoint:  default\n\
                       BuildKit version: v0.8+unknown\nPlatforms: linux/amd64, linux/386\n";
    const CONTAINERD: &str = "Name: default\nDriver:  docker\n\nNodes:\nBuildKit version: v0.13.2\n\
                              Labels:\n org.mobyproject.buildkit.worker.snapshotter:  overlayfs\n";

    #[track_caller]
    fn check(text: &str, expected: (bool, bool, Option<u32>)) {
        let builder = Builder::read(text).unwrap();
        assert_eq!((builder.is_engine, builder.has_containerd, builder.minor), expected);
    }

    #[test]
    fn what_buildx_says_is_read() {
        check(OLD, (true, false, Some(8)));
        check(CONTAINERD, (true, true, Some(13)));
        check("Driver: docker\nBuildkit: 20.10.24+dfsg1", (true, false, None));
        check("Driver: docker-container\nBuildKit version: v0.29.0", (false, false, Some(29)));
        check("Driver: docker\nBuildKit version: v0.0.0+unknown", (true, false, None));
        assert_eq!(Builder::read(""), None);
        assert_eq!(Builder::read("ERROR: no builder \"x\" found"), None);
    }

    #[test]
    fn an_engine_without_containerds_store_can_do_little() {
        let old = Builder::read(OLD).unwrap();
        let newer = Builder::read("Driver: docker\nBuildKit version: v0.12.5").unwrap();
        let containerd = Builder::read(CONTAINERD).unwrap();
        let container = Builder::read("Driver: docker-container\nBuildKit version: v0.29.0").unwrap();
        for need in [Need::Layout, Need::Platforms, Need::Attestation, Need::Cache] {
            let can: Vec<_> = [&old, &newer, &containerd, &container].map(|builder| builder.can(need)).into();
            assert_eq!(can, [false, false, true, true], "{need:?}");
        }
        // Debian builds its engines without a version; the labels tell a new one from an old one.
        let debians = Builder::read(&CONTAINERD.replace("v0.13.2", "v0.0.0+unknown")).unwrap();
        let nameless = Builder::read("Driver: docker\nBuildkit: 20.10.24").unwrap();
        let can: Vec<_> = [&old, &nameless, &newer, &containerd, &debians]
            .map(|builder| builder.can(Need::Contexts))
            .into();
        assert_eq!(can, [false, false, true, true, true]);
        assert!(debians.can(Need::Layout));
    }
}
