//! What to build, how to name it and where it may go: pure decisions from the event and the configuration.

mod bake;
mod builder;
mod checkout;
mod compose;
mod dockerfile;
pub mod dockerignore;
mod gaps;
mod key;
mod mirrors;
mod names;
mod pattern;
mod reach;
mod reuse;
mod script;
mod shard;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use bake::{FOLDER, bake_file};
pub use builder::{Builder, Chosen, Which};
pub use checkout::{Checkout, Dirt, Entry, Tree};
pub use compose::{COMPOSE_FILE, test_compose};
pub use gaps::{Gaps, gaps};
pub use key::{ContentKey, Ingredients, NoKey, Pantry};
pub use mirrors::{Place, places};
pub use names::{
    Channel, Explained, Given, History, Life, NameError, Named, channel, explain, git_tag, semver, slug,
    version,
};
pub use pattern::{is_supported, matches};
pub use reuse::{Decision, Known, Seen, Since, deployed_tag, names_a_commit, of_commit, reusable, words};
pub use script::{build_script, test_script};
pub use shard::{ShardError, Shards};

use crate::config::{BuildArg, BuildContext, Cache, Config, Part, Service, Source};
use crate::digest::Digest;
use crate::event::{Event, Trigger};
use crate::exit::ExitCode;
use crate::hint::Hint;
use crate::reference::{BadName, ImageRef, Repository, Tag};
use crate::release::{PublishTags, ServiceImage};

/// The repository, below the registry prefix, that holds releases. No service may be called so.
pub const RELEASE_REPOSITORY: &str = "release";

/// The variables of build arguments that are always known.
const COMMIT: &str = "SHIPKIT_COMMIT";
const VERSION: &str = "SHIPKIT_VERSION";
pub(crate) const ALWAYS_KNOWN: [&str; 2] = [COMMIT, VERSION];

/// The labels of an image that every commit has others of.
const LABELS_OF_COMMIT: [&str; 3] = [
    "org.opencontainers.image.created",
    "org.opencontainers.image.revision",
    "org.opencontainers.image.version",
];

/// A plan: the same event, commit and configuration always give the same one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The project's name.
    pub name: String,
    /// The version for people.
    pub version: String,
    /// Why it is this version.
    #[serde(default)]
    pub version_because: String,
    /// The full commit.
    pub commit: String,
    /// The git ref.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// When the commit was made.
    pub created: Timestamp,
    /// The run, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<String>,
    /// Whether images may be pushed: never for a pull request.
    pub push: bool,
    /// Where the release will be stored.
    pub release_repository: Repository,
    /// The throw-away tag that carries the images until they are published.
    pub build_tag: Tag,
    /// The tags that `publish` gives.
    pub tags: PublishTags,
    /// Patterns of the branches whose releases later plans may take images from.
    #[serde(default)]
    pub protected_branches: Vec<String>,
    /// The builder that it needs.
    #[serde(default)]
    pub builder: Chosen,
    /// The platform for which it builds, where runners of their own build the platforms.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shard: Option<String>,
    /// The services to build, by name.
    pub services: BTreeMap<String, PlannedService>,
    /// The services whose image is there already, by name.
    #[serde(default)]
    pub reused: BTreeMap<String, Reused>,
    /// The environments that this event may reach, in the order of `needs`.
    pub environments: Vec<Reached>,
    /// The other environments, each with the reason.
    pub out_of_reach: Vec<OutOfReach>,
}

/// A service to build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedService {
    /// Where its image goes.
    pub repository: Repository,
    /// How it is built.
    pub build: PlannedBuild,
    /// OCI labels.
    pub labels: BTreeMap<String, String>,
    /// What it is made of, if that can be told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<ContentKey>,
    /// The images that it builds upon, if that can be told.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub bases: BTreeMap<String, Digest>,
    /// Its image in the release before, whose layers may serve again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<ImageRef>,
    /// The throw-away tag of each platform's image, where runners of their own build them; empty for one that is built in
    /// this job.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub shards: BTreeMap<String, Tag>,
    /// Why it is built.
    #[serde(default)]
    pub because: String,
}

/// A service that is not built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reused {
    /// Its image, as an earlier release has it.
    pub image: ServiceImage,
    /// Why it is used again.
    pub because: String,
}

/// How a service is built, in the words of a bake target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedBuild {
    /// The context folder.
    pub context: String,
    /// The Dockerfile, relative to the context as for `docker buildx bake`.
    pub dockerfile: String,
    /// The stage, if not the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Build secrets: names of environment variables, and files as `<id>=<file>`.
    pub secrets: Vec<String>,
    /// Platforms; empty means the builder's own.
    pub platforms: Vec<String>,
    /// What the Dockerfile may name besides its own stages: `target:<service>`, an image or a folder.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub contexts: BTreeMap<String, String>,
    /// Where its cache is kept.
    #[serde(default)]
    pub cache: Cache,
    /// Whether the image says how it was built; `None` leaves that to the builder.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provenance: Option<bool>,
    /// Whether the image lists what is in it.
    #[serde(default)]
    pub sbom: bool,
}

/// An environment that this event may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Its name.
    pub name: String,
    /// Where it answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
    /// Why it is reached.
    pub because: String,
}

/// An environment that this event does not reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutOfReach {
    /// Its name.
    pub name: String,
    /// Why not.
    pub because: String,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Neither `registry` nor a repository to derive it from.
    #[error("no registry is known for the images")]
    NoRegistry,
    /// The registry prefix and a service's name make no repository.
    #[error("no image name can be made for `{what}`")]
    Repository {
        /// The service, or `registry`.
        what: String,
        /// Why.
        source: BadName,
    },
    /// A service that would overwrite the releases.
    #[error("a service may not be called `{RELEASE_REPOSITORY}`: releases are stored under that name")]
    ReservedName,
    /// A mirror would have an image where one lives already.
    #[error("`{place}` would be the mirror of `{service}`, and is where the image of `{other}` lives")]
    NoOtherPlace {
        /// The repository.
        place: Repository,
        /// The service that the mirror would have there.
        service: String,
        /// The service whose image is there.
        other: String,
    },
    /// The branch or tag makes no name.
    #[error("the build cannot be named")]
    Name(#[from] NameError),
    /// A commit that is not one.
    #[error("`{0}` is not a full commit of 40 or 64 hexadecimal digits")]
    Commit(String),
    /// A build argument that names a variable nobody knows.
    #[error("`services.{service}.build.args.{arg}` names `${{{variable}}}`, which is not set")]
    Variable {
        /// The service.
        service: String,
        /// The argument.
        arg: String,
        /// The variable.
        variable: String,
        /// What the file says about it.
        message: String,
    },
}

impl Hint for PlanError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoRegistry => Some("set `registry: ghcr.io/<owner>/<name>` in shipkit.yml".to_owned()),
            Self::Repository { .. } | Self::Commit(_) | Self::Name(NameError::ControlCharacters(_)) => None,
            Self::ReservedName => Some("give the service another name, or set its `image_name`".to_owned()),
            Self::NoOtherPlace { .. } => {
                Some("choose another prefix in `mirrors`, or another `image_name`".to_owned())
            }
            Self::Name(NameError::NotATag { .. }) => Some(
                "rename the branch or tag: names of images end after 128 characters and know `A-Za-z0-9_.-`"
                    .to_owned(),
            ),
            Self::Variable { variable, message, .. } => {
                let more = if message.is_empty() { String::new() } else { format!(": {message}") };
                Some(format!("set the environment variable `{variable}` for this step{more}"))
            }
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// Decides what this event builds and which environments it may reach.
///
/// `committed` is when the commit was made, and `history` what lies behind it. `variables` answers for build arguments of the form `${NAME}`;
/// `SHIPKIT_COMMIT` and `SHIPKIT_VERSION` are known here.
///
/// # Errors
/// When images cannot be named, or a build argument has no value.
pub fn plan(
    event: &Event,
    committed: Timestamp,
    history: &History,
    config: &Config,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<Plan, PlanError> {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if !matches!(event.commit.len(), 40 | 64) || !event.commit.bytes().all(is_hex) {
        return Err(PlanError::Commit(event.commit.clone()));
    }
    let prefix = prefix(event, config)?;
    let Named { version, because } = version(event, history, names::built(config))?;
    let known = |name: &str| match name {
        COMMIT => Some(event.commit.clone()),
        VERSION => Some(version.clone()),
        _ => variables(name),
    };
    let mut services = BTreeMap::new();
    for (name, service) in &config.services {
        if let Source::Build(build) = &service.source {
            let repository = repository(&prefix, name, service)?;
            let service = PlannedService {
                repository,
                build: planned(name, build, &known)?,
                labels: labels(event, committed, config, name, &version),
                key: None,
                bases: BTreeMap::new(),
                previous: None,
                shards: BTreeMap::new(),
                because: String::new(),
            };
            services.insert(name.clone(), service);
        }
    }
    // Told before anything is built, and not when the images are published.
    let homes = services.iter().map(|(name, service)| (name.as_str(), &service.repository)).collect();
    places(&homes, &config.mirrors)?;
    let release_repository = release_repository(event.repository.as_deref(), config)?;
    let (environments, out_of_reach) = reach::reach(event, config);
    Ok(Plan {
        name: config.name.clone(),
        commit: event.commit.clone(),
        git_ref: event.trigger.git_ref(),
        created: committed,
        run: event.run_url(),
        push: may_push(&event.trigger),
        release_repository,
        build_tag: build_tag(event)?,
        tags: names::tags(event, committed, config)?,
        version,
        version_because: because,
        builder: Chosen::default(),
        shard: None,
        protected_branches: reuse::protected_branches(event, config),
        services,
        reused: BTreeMap::new(),
        environments,
        out_of_reach,
    })
}

/// Whether a variable of build arguments is another one for every commit.
fn is_per_commit(variable: &str) -> bool {
    ALWAYS_KNOWN.contains(&variable)
}

/// The repository, below the registry prefix, that holds the releases of the project, or of one group of it.
#[must_use]
pub fn release_name(group: Option<&str>) -> String {
    group.map_or_else(|| RELEASE_REPOSITORY.to_owned(), |group| format!("{RELEASE_REPOSITORY}-{group}"))
}

/// The repository that holds the releases of this project, or of the group that the configuration was reduced to.
///
/// # Errors
/// When neither the configuration nor the event says which registry it is.
pub fn release_repository(repository: Option<&str>, config: &Config) -> Result<Repository, PlanError> {
    let failed = |source| PlanError::Repository { what: "registry".to_owned(), source };
    registry_prefix(repository, config)?.join(&release_name(config.group.as_deref())).map_err(failed)
}

/// The service whose images go to this repository, if one's do.
#[must_use]
pub fn service_of<'a>(images: &Repository, repository: Option<&str>, config: &'a Config) -> Option<&'a str> {
    let prefix = registry_prefix(repository, config).ok();
    let goes_there = |(name, service): &(&String, &Service)| {
        let own = service.image_name.as_ref().and_then(|image| image.parse().ok());
        own.or_else(|| prefix.as_ref()?.join(name).ok()).as_ref() == Some(images)
    };
    config.services.iter().find(goes_there).map(|(name, _)| name.as_str())
}

fn prefix(event: &Event, config: &Config) -> Result<Repository, PlanError> {
    registry_prefix(event.repository.as_deref(), config)
}

/// `registry` of the configuration, or `ghcr.io/<owner>/<name>`; in lower case, because registries refuse any other.
fn registry_prefix(repository: Option<&str>, config: &Config) -> Result<Repository, PlanError> {
    let text = match (&config.registry, repository) {
        (Some(registry), _) => registry.clone(),
        (None, Some(repository)) => format!("ghcr.io/{repository}"),
        (None, None) => return Err(PlanError::NoRegistry),
    };
    Repository::prefix(&text).map_err(|source| PlanError::Repository { what: "registry".to_owned(), source })
}

fn repository(prefix: &Repository, name: &str, service: &Service) -> Result<Repository, PlanError> {
    let failed = |source| PlanError::Repository { what: name.to_owned(), source };
    match &service.image_name {
        Some(image) => image.parse().map_err(failed),
        None if name == RELEASE_REPOSITORY => Err(PlanError::ReservedName),
        None => prefix.join(name).map_err(failed),
    }
}

fn planned(
    name: &str,
    build: &crate::config::Build,
    known: &dyn Fn(&str) -> Option<String>,
) -> Result<PlannedBuild, PlanError> {
    let mut args = BTreeMap::new();
    for (arg, value) in &build.args {
        let unset = |variable: &str, message: &str| PlanError::Variable {
            service: name.to_owned(),
            arg: arg.clone(),
            variable: variable.to_owned(),
            message: message.to_owned(),
        };
        let part = |part: &Part| match part {
            Part::Text(text) => Ok(text.clone()),
            Part::Variable { name, message: None } => known(name).ok_or_else(|| unset(name, "")),
            Part::Variable { name, message: Some(message) } => {
                known(name).filter(|text| !text.is_empty()).ok_or_else(|| unset(name, message))
            }
        };
        let text = match value {
            BuildArg::Literal(text) => text.clone(),
            BuildArg::Variable(variable) => known(variable).ok_or_else(|| unset(variable, ""))?,
            BuildArg::Mixed(parts) => parts.iter().map(part).collect::<Result<_, _>>()?,
        };
        args.insert(arg.clone(), text);
    }
    Ok(PlannedBuild {
        context: build.context.clone(),
        dockerfile: build.dockerfile.clone(),
        target: build.target.clone(),
        args,
        secrets: build.secrets.clone(),
        platforms: build.platforms.clone(),
        contexts: build.contexts.iter().map(|(name, more)| (name.clone(), context(more))).collect(),
        cache: build.cache,
        provenance: build.provenance,
        sbom: build.sbom,
    })
}

/// A named context, in bake's words.
fn context(context: &BuildContext) -> String {
    match context {
        BuildContext::Service(name) => format!("target:{name}"),
        BuildContext::Image(image) => format!("docker-image://{image}"),
        BuildContext::Other(text) => text.clone(),
    }
}

fn labels(
    event: &Event,
    committed: Timestamp,
    config: &Config,
    service: &str,
    version: &str,
) -> BTreeMap<String, String> {
    let title = ("org.opencontainers.image.title".to_owned(), format!("{}/{service}", config.name));
    let of_commit = [committed.to_string(), event.commit.clone(), version.to_owned()];
    let of_commit = LABELS_OF_COMMIT.iter().map(ToString::to_string).zip(of_commit);
    let mut labels: BTreeMap<_, _> = of_commit.chain([title]).collect();
    if let Some(repository) = &event.repository {
        let source = format!("{}/{repository}", event.server_url);
        labels.insert("org.opencontainers.image.source".to_owned(), source.clone());
        labels.insert("org.opencontainers.image.url".to_owned(), source);
    }
    labels.extend(config.tags.labels.clone());
    labels
}

/// Pull requests never push, whoever opened them; an event that nobody planned for does not either.
fn may_push(trigger: &Trigger) -> bool {
    match trigger {
        Trigger::Branch { .. } | Trigger::Tag { .. } | Trigger::Release { .. } => true,
        Trigger::PullRequest { .. } | Trigger::Other { .. } => false,
    }
}

/// `build-<run>-<attempt>`; on a laptop, where there is no run, `build-<12 digits of the commit>`.
fn build_tag(event: &Event) -> Result<Tag, PlanError> {
    let text = match &event.run {
        Some(run) => format!("build-{}-{}", run.id, run.attempt),
        None => format!("build-{}", event.commit.get(..12).unwrap_or(&event.commit)),
    };
    text.parse().map_err(|source| NameError::NotATag { name: text, source }.into())
}
