//! `Stack`: services of a Swarm that stack files describe, put in place by `docker stack deploy` on the host.
//!
//! `docker stack config` renders the files. What it says of a service, with the image by digest and our labels, is all that
//! `docker stack deploy` is given, and only of services that change: what is not in its file it does not touch. It says nothing
//! of how that ends. What was there before is remembered, so that every service is watched and put back as on any Swarm.

mod apply;
mod error;
mod job;
mod run;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use shipkit_core::stack::{Needs, StackFile};
use shipkit_core::target::{Change, Desired, DesiredService, Observed, Settings, Update, plan};
use shipkit_core::{Digest, ImageRef, Secret};

pub use error::StackError;

use crate::host::Host;
use crate::rollout::text;
use crate::spec::{at, items};
use crate::swarm::{Preflight, Swarm};

/// The files of a stack, where Docker reads them.
#[derive(Debug, Clone, Default)]
pub struct StackFiles {
    /// The name of the stack.
    pub stack: String,
    /// The files on the host, in order.
    pub files: Vec<String>,
    /// The folder on the host that holds nothing but what was brought there; `None` where files are where they always are.
    pub brought_to: Option<String>,
    /// Variables that the files may name and that are kept nowhere.
    pub variables: BTreeMap<String, Secret>,
    /// Further environment variables of services, over those of the files.
    pub environment: BTreeMap<String, BTreeMap<String, String>>,
    /// What is in the files that configs and secrets are made from, by their paths on the host.
    pub contents: BTreeMap<String, Digest>,
}

/// A stack on a Swarm as its files have it.
#[derive(Debug, Clone)]
pub struct Stack {
    swarm: Swarm,
    host: Host,
    /// Where `docker` finds the engine, on the host.
    socket: String,
    name: String,
    file: StackFile,
    contents: BTreeMap<String, Digest>,
}

impl Stack {
    /// Renders the files. `engine` is where `swarm` was found: `unix:///var/run/docker.sock`, or `ssh://user@host`.
    ///
    /// # Errors
    /// When `docker` cannot run on the host or is older than 23.0, it refuses the files, or they say what cannot be done.
    pub async fn render(
        (swarm, engine): (Swarm, &str),
        host: Host,
        files: StackFiles,
    ) -> Result<Self, StackError> {
        let socket = run::socket(engine)?;
        let mut file = run::render(&host, &socket, &files).await?;
        if let Some(folder) = &files.brought_to {
            let mounted = file.mounts_below(folder);
            if !mounted.is_empty() {
                return Err(StackError::NotBrought(mounted.join(", ")));
            }
        }
        for (service, variables) in &files.environment {
            file = file.with_environment(service, variables);
        }
        Ok(Self { swarm, host, socket, name: files.stack, file, contents: files.contents })
    }

    /// The services that the files name, each with its image as they say it.
    pub fn services(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.file.services().map(|name| (name, self.file.image(name)))
    }

    /// A service of this image as the files have it.
    ///
    /// # Errors
    /// When they do not name it.
    pub fn desired(&self, name: &str, image: ImageRef) -> Result<DesiredService, StackError> {
        let digest = self.file.digest(name, &self.contents);
        let order = self.file.order(name);
        let compose = Some(digest.ok_or_else(|| StackError::NotInFiles(name.to_owned()))?);
        Ok(DesiredService {
            name: name.to_owned(),
            image,
            platforms: BTreeSet::new(),
            revision: String::new(),
            depends_on: Vec::new(),
            stateful: false,
            settings: Settings {
                compose,
                update: Update { order, ..Update::default() },
                ..Settings::default()
            },
        })
    }

    /// What is in the way of a deploy besides what [`Swarm::preflight`] finds: of the services that come or change, networks,
    /// configs and secrets that others should have made and did not, and configs that have another content on the Swarm.
    ///
    /// # Errors
    /// When the Swarm cannot be asked.
    pub async fn preflight(
        &self,
        desired: &Desired,
        observed: &Observed,
    ) -> Result<Preflight<StackError>, StackError> {
        let changes = plan(desired, observed);
        let comes = |change: &&Change| matches!(change, Change::Create { .. } | Change::Update { .. });
        let coming: BTreeSet<&str> = changes.iter().filter(comes).filter_map(Change::service).collect();
        let needs = self.file.needs((&self.name, &coming), &self.contents);
        let engine = &self.swarm.engine;
        let mut problems = Vec::new();
        let secrets = engine.get("list secrets", "/secrets").await?;
        let configs = engine.get("list configs", "/configs").await?;
        let networks = engine.get("list networks", "/networks").await?;
        let Needs { networks: of_networks, configs: of_configs, secrets: of_secrets, contents } = needs;
        for (kind, needed, there, path) in [
            ("network", of_networks, &networks, &["Name"][..]),
            ("config", of_configs, &configs, &["Spec", "Name"]),
            ("secret", of_secrets, &secrets, &["Spec", "Name"]),
        ] {
            let there: BTreeSet<&str> = items(there).map(|one| text(one, path)).collect();
            let missing = needed.into_iter().filter(|name| !there.contains(name.as_str()));
            problems.extend(missing.map(|name| StackError::Missing { kind, name }));
        }
        let with_others = contents.into_iter().filter(|(name, content)| {
            let named = items(&configs).find(|one| text(one, &["Spec", "Name"]) == name);
            named.is_some_and(|one| config_content(one).as_ref() != Some(content))
        });
        problems.extend(with_others.map(|(name, _)| StackError::ConfigChanged(name)));
        Ok(Preflight { problems, remarks: Vec::new() })
    }
}

/// What a config of the Swarm holds.
fn config_content(config: &Value) -> Option<Digest> {
    let data = STANDARD.decode(at(config, &["Spec", "Data"]).as_str()?).ok()?;
    Some(Digest::of(&data))
}
