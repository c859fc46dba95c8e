//! What to build, how to name it and where it may go: pure decisions from the event and the configuration.

mod bake;
mod compose;
mod gaps;
mod names;
mod pattern;
mod script;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use bake::{FOLDER, bake_file};
pub use compose::{COMPOSE_FILE, test_compose};
pub use gaps::{Gaps, gaps};
pub use names::{NameError, TagRule, git_tag, slug, version};
pub use pattern::{is_supported, matches};
pub use script::test_script;

use crate::config::{BuildArg, Config, Environment, EventKind, Latest, Service, Source, TagKind};
use crate::event::{Event, Trigger};
use crate::exit::ExitCode;
use crate::hint::Hint;
use crate::reference::{BadName, Repository, Tag};
use crate::release::PublishTags;

/// The repository, below the registry prefix, that holds releases. No service may be called so.
pub const RELEASE_REPOSITORY: &str = "release";

/// A plan: the same event, commit and configuration always give the same one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The project's name.
    pub name: String,
    /// The version for people.
    pub version: String,
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
    /// The services to build, by name.
    pub services: BTreeMap<String, PlannedService>,
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
    /// Names of environment variables that are given as build secrets.
    pub secrets: Vec<String>,
    /// Platforms; empty means the builder's own.
    pub platforms: Vec<String>,
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
    },
}

impl Hint for PlanError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoRegistry => Some("set `registry: ghcr.io/<owner>/<name>` in shipkit.yml".to_owned()),
            Self::Repository { .. } | Self::Commit(_) | Self::Name(NameError::ControlCharacters(_)) => None,
            Self::ReservedName => Some("give the service another name, or set its `image_name`".to_owned()),
            Self::Name(NameError::NotATag { .. }) => Some(
                "rename the branch or tag: names of images end after 128 characters and know `A-Za-z0-9_.-`"
                    .to_owned(),
            ),
            Self::Variable { variable, .. } => {
                Some(format!("set the environment variable `{variable}` for this step"))
            }
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// Decides what this event builds and which environments it may reach.
///
/// `committed` is when the commit was made. `variables` answers for build arguments of the form `${NAME}`;
/// `SHIPKIT_COMMIT` and `SHIPKIT_VERSION` are known here.
///
/// # Errors
/// When images cannot be named, or a build argument has no value.
pub fn plan(
    event: &Event,
    committed: Timestamp,
    config: &Config,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<Plan, PlanError> {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if !matches!(event.commit.len(), 40 | 64) || !event.commit.bytes().all(is_hex) {
        return Err(PlanError::Commit(event.commit.clone()));
    }
    let prefix = prefix(event, config)?;
    let version = version(event)?;
    let known = |name: &str| match name {
        "SHIPKIT_COMMIT" => Some(event.commit.clone()),
        "SHIPKIT_VERSION" => Some(version.clone()),
        _ => variables(name),
    };
    let mut services = BTreeMap::new();
    for (name, service) in &config.services {
        if let Source::Build(build) = &service.source {
            let repository = repository(&prefix, name, service)?;
            let labels = labels(event, committed, config, name, &version);
            services.insert(
                name.clone(),
                PlannedService { repository, build: planned(name, build, &known)?, labels },
            );
        }
    }
    let release_repository = prefix
        .join(RELEASE_REPOSITORY)
        .map_err(|source| PlanError::Repository { what: "registry".to_owned(), source })?;
    let (environments, out_of_reach) = reach(event, config);
    Ok(Plan {
        name: config.name.clone(),
        commit: event.commit.clone(),
        git_ref: event.trigger.git_ref(),
        created: committed,
        run: event.run_url(),
        push: may_push(&event.trigger),
        release_repository,
        build_tag: build_tag(event)?,
        tags: tags(event, committed, config)?,
        version,
        services,
        environments,
        out_of_reach,
    })
}

/// The repository that holds the releases of this project.
///
/// # Errors
/// When neither the configuration nor the event says which registry it is.
pub fn release_repository(repository: Option<&str>, config: &Config) -> Result<Repository, PlanError> {
    let failed = |source| PlanError::Repository { what: "registry".to_owned(), source };
    registry_prefix(repository, config)?.join(RELEASE_REPOSITORY).map_err(failed)
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
        (Some(registry), _) => registry.trim_end_matches('/').to_lowercase(),
        (None, Some(repository)) => format!("ghcr.io/{}", repository.to_lowercase()),
        (None, None) => return Err(PlanError::NoRegistry),
    };
    text.parse().map_err(|source| PlanError::Repository { what: "registry".to_owned(), source })
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
        let text = match value {
            BuildArg::Literal(text) => text.clone(),
            BuildArg::Variable(variable) => known(variable).ok_or_else(|| PlanError::Variable {
                service: name.to_owned(),
                arg: arg.clone(),
                variable: variable.clone(),
            })?,
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
    })
}

fn labels(
    event: &Event,
    committed: Timestamp,
    config: &Config,
    service: &str,
    version: &str,
) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("org.opencontainers.image.title".to_owned(), format!("{}/{service}", config.name)),
        ("org.opencontainers.image.created".to_owned(), committed.to_string()),
        ("org.opencontainers.image.revision".to_owned(), event.commit.clone()),
        ("org.opencontainers.image.version".to_owned(), version.to_owned()),
    ]);
    if let Some(repository) = &event.repository {
        let source = format!("{}/{repository}", event.server_url);
        labels.insert("org.opencontainers.image.source".to_owned(), source.clone());
        labels.insert("org.opencontainers.image.url".to_owned(), source);
    }
    labels.extend(config.tags.labels.clone());
    labels
}

/// Where tags need not be immutable none is permanent, and a second build of a commit may move all of them.
fn tags(event: &Event, committed: Timestamp, config: &Config) -> Result<PublishTags, NameError> {
    let mut tags = names::tags(event, committed, &rules(config))?;
    if !config.tags.immutable {
        let moving = std::mem::take(&mut tags.permanent).into_iter().chain(tags.moving).collect();
        tags = PublishTags { permanent: Vec::new(), moving };
    }
    Ok(tags)
}

fn rules(config: &Config) -> Vec<TagRule> {
    let mut rules: Vec<_> = config
        .tags
        .include
        .iter()
        .map(|kind| match kind {
            TagKind::Sha => TagRule::Sha,
            TagKind::Branch => TagRule::Branch,
            TagKind::Semver => TagRule::Semver,
            TagKind::Pr => TagRule::Pr,
            TagKind::Date => TagRule::Date,
        })
        .collect();
    match config.tags.latest {
        Latest::Never => {}
        Latest::DefaultBranch => rules.push(TagRule::LatestOnDefaultBranch),
        Latest::Release => rules.push(TagRule::LatestOnRelease),
    }
    rules
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

fn reach(event: &Event, config: &Config) -> (Vec<Reached>, Vec<OutOfReach>) {
    let mut reached = Vec::new();
    let mut out = Vec::new();
    for environment in &config.environments {
        let name = environment.name.clone();
        match reason(&event.trigger, environment) {
            Ok(because) => reached.push(Reached { name, url: environment.url.clone(), because }),
            Err(because) => out.push(OutOfReach { name, because }),
        }
    }
    // An environment behind one that this event does not reach stays in the list: it asks for evidence that the same
    // release passed there, which an earlier run may have left.
    (reached, out)
}

/// Why this environment is reached (`Ok`) or not (`Err`).
fn reason(trigger: &Trigger, environment: &Environment) -> Result<String, String> {
    let fits =
        |patterns: &[String], name: &str| patterns.iter().find(|pattern| matches(pattern, name)).cloned();
    let events: BTreeSet<_> = environment.events.iter().copied().collect();
    match trigger {
        Trigger::Branch { dispatched: true, name } => by_hand(&fits, environment, name),
        // `events` narrows: an environment for releases only is not reached by a push.
        Trigger::Branch { .. } | Trigger::Tag { .. }
            if !events.is_empty() && !events.contains(&EventKind::Push) =>
        {
            Err("pushes are not among its `events`".to_owned())
        }
        Trigger::Branch { name, .. } => branch_reason(&fits, environment, name),
        Trigger::Tag { name } => match fits(&environment.tags, name) {
            Some(pattern) => Ok(format!("tag `{name}` fits `{pattern}`")),
            None => Err(format!("tag `{name}` is not among its `tags`")),
        },
        Trigger::Release { tag, .. } => {
            let listed = events.contains(&EventKind::Release);
            if !events.is_empty() && !listed {
                return Err("releases are not among its `events`".to_owned());
            }
            match fits(&environment.tags, tag) {
                Some(pattern) => Ok(format!("release `{tag}` fits `{pattern}`")),
                None if listed && environment.tags.is_empty() => Ok(format!("release `{tag}`")),
                None => Err(format!("release `{tag}` is not among its `events` and `tags`")),
            }
        }
        Trigger::PullRequest { .. } => Err("pull requests are never deployed".to_owned()),
        Trigger::Other { name, .. } => Err(format!("the event `{name}` deploys nothing")),
    }
}

/// A start by hand reaches what its branch reaches, unless `events` leave it out; an environment without branches and
/// tags is for starts by hand only.
fn by_hand(
    fits: &dyn Fn(&[String], &str) -> Option<String>,
    environment: &Environment,
    name: &str,
) -> Result<String, String> {
    let is_listed = environment.events.contains(&EventKind::WorkflowDispatch);
    if !environment.events.is_empty() && !is_listed {
        return Err("starts by hand are not among its `events`".to_owned());
    }
    let is_open = is_listed || environment.tags.is_empty();
    if environment.branches.is_empty() && is_open {
        return Ok("started by hand".to_owned());
    }
    branch_reason(fits, environment, name)
}

fn branch_reason(
    fits: &dyn Fn(&[String], &str) -> Option<String>,
    environment: &Environment,
    name: &str,
) -> Result<String, String> {
    match fits(&environment.branches, name) {
        Some(pattern) => Ok(format!("branch `{name}` fits `{pattern}`")),
        None => Err(format!("branch `{name}` is not among its `branches`")),
    }
}
