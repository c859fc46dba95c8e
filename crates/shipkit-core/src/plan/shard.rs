//! Shards: a build whose platforms are built by runners of their own, and put together into one image afterwards.

use serde::Deserialize;

use super::{NameError, Plan, PlannedService};
use crate::event::Event;
use crate::exit::ExitCode;
use crate::hint::Hint;
use crate::reference::Tag;

/// The platforms that runners of their own build, as a caller of ship.yml lists them:
/// `[{"platform": "linux/arm64", "runner": "ubuntu-24.04-arm"}]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shards(Vec<String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawShard {
    platform: String,
    /// For the workflow, which starts the job there.
    #[serde(rename = "runner")]
    _runner: String,
}

/// Why a build cannot be divided like that.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The shard that is built here is not one of them.
    #[error("no shard of `shards` is for `{0}`")]
    Unknown(String),
    /// A service with one platform in the shards and another one outside.
    #[error("`{service}` is built for `{platform}` too, which no shard is for")]
    Uncovered {
        /// The service.
        service: String,
        /// The platform.
        platform: String,
    },
    /// A service that builds upon another one, which is not built where it is.
    #[error("`{service}` builds upon `{linked}`, which is not built on the same runners")]
    Apart {
        /// The service.
        service: String,
        /// The service that it builds upon.
        linked: String,
    },
    /// A platform that makes no name.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Hint for ShardError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown(platform) => format!("add {{\"platform\": \"{platform}\", \"runner\": ...}}"),
            Self::Uncovered { platform, .. } => {
                format!("add a shard for `{platform}`: shards build all platforms of a service, or none")
            }
            Self::Apart { linked, .. } => format!("give `{linked}` the same `build.platforms`"),
            Self::Name(_) => "write a platform like `linux/arm64`".to_owned(),
        })
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

impl Shards {
    /// Reads the list; an empty text is an empty list.
    ///
    /// # Errors
    /// With one sentence, when it is no such list or names a platform twice.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let shards: Vec<RawShard> = serde_json::from_str(text).map_err(|error| {
            format!("a list like [{{\"platform\": \"linux/arm64\", \"runner\": \"ubuntu-24.04-arm\"}}] is needed: {error}")
        })?;
        let mut platforms: Vec<String> = Vec::new();
        for shard in shards {
            if platforms.contains(&shard.platform) {
                return Err(format!("two shards are for `{}`", shard.platform));
            }
            platforms.push(shard.platform);
        }
        Ok(Self(platforms))
    }
}

impl Plan {
    /// The part of the plan that is built in this job: with `here`, the images of this platform; without, all that no
    /// shard builds. A plan without shards stays as it is.
    ///
    /// # Errors
    /// When a service would have a platform that nobody builds, or would be built apart from one that it builds upon.
    pub fn sharded(mut self, event: &Event, shards: &Shards, here: Option<&str>) -> Result<Self, ShardError> {
        let divided = self.divided(shards)?;
        if let Some(platform) = here {
            return self.one_shard(event, shards, platform, &divided);
        }
        for (_, service) in self.services.iter_mut().filter(|(name, _)| divided.contains(name)) {
            for platform in &service.build.platforms {
                service.shards.insert(platform.clone(), tag(event, platform)?);
            }
        }
        Ok(self)
    }

    /// The names of the services that shards build, all platforms of each.
    fn divided(&self, shards: &Shards) -> Result<Vec<String>, ShardError> {
        let mut divided = Vec::new();
        for (name, service) in &self.services {
            let (inside, outside): (Vec<_>, Vec<_>) =
                service.build.platforms.iter().partition(|platform| shards.0.contains(platform));
            match outside.first() {
                _ if inside.is_empty() => {}
                None => divided.push(name.clone()),
                Some(platform) => {
                    let (service, platform) = (name.clone(), (*platform).clone());
                    return Err(ShardError::Uncovered { service, platform });
                }
            }
        }
        for (name, service) in &self.services {
            let is_apart = |linked: &&str| {
                let is_divided = |name: &str| divided.iter().any(|divided| divided == name);
                let other = self.services.get(*linked).map(|other| &other.build.platforms);
                (is_divided(name) || is_divided(linked)) && other != Some(&service.build.platforms)
            };
            let links = service.build.contexts.values().filter_map(|context| context.strip_prefix("target:"));
            if let Some(linked) = links.into_iter().find(is_apart) {
                return Err(ShardError::Apart { service: name.clone(), linked: linked.to_owned() });
            }
        }
        Ok(divided)
    }

    fn one_shard(
        mut self,
        event: &Event,
        shards: &Shards,
        platform: &str,
        divided: &[String],
    ) -> Result<Self, ShardError> {
        if !shards.0.iter().any(|shard| shard == platform) {
            return Err(ShardError::Unknown(platform.to_owned()));
        }
        let platforms = vec![platform.to_owned()];
        self.services.retain(|name, service| {
            divided.contains(name) && service.build.platforms.iter().any(|own| own == platform)
        });
        for service in self.services.values_mut() {
            service.build.platforms.clone_from(&platforms);
        }
        self.reused.clear();
        self.build_tag = tag(event, platform)?;
        self.shard = Some(platform.to_owned());
        Ok(self)
    }

    /// The services that are built in this job.
    pub fn built_here(&self) -> impl Iterator<Item = (&String, &PlannedService)> {
        self.services.iter().filter(|(_, service)| service.shards.is_empty())
    }
}

/// The throw-away tag of the images that a shard builds. All attempts of a run have the same: those of an earlier one
/// count, because GitHub repeats only the jobs that failed.
fn tag(event: &Event, platform: &str) -> Result<Tag, NameError> {
    let name = match &event.run {
        Some(run) => format!("build-{}-{}", run.id, words(platform)),
        None => format!("build-{}-{}", event.commit.get(..12).unwrap_or(&event.commit), words(platform)),
    };
    name.parse().map_err(|source| NameError::NotATag { name, source })
}

/// `linux-arm64`, for names that know no `/`.
pub(super) fn words(platform: &str) -> String {
    platform.replace('/', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_shards_is_read() {
        let text =
            r#"[{"platform": "linux/amd64", "runner": "a"}, {"platform": "linux/arm64", "runner": "b"}]"#;
        assert_eq!(Shards::read(text).unwrap().0, ["linux/amd64", "linux/arm64"]);
        assert_eq!(Shards::read(" ").unwrap(), Shards::default());
        let twice = text.replace("arm64", "amd64");
        assert_eq!(Shards::read(&twice).unwrap_err(), "two shards are for `linux/amd64`");
        for wrong in [
            "linux/arm64",
            r#"[{"platform": "linux/arm64"}]"#,
            r#"[{"platform": "a", "runner": "b", "x": 1}]"#,
        ] {
            assert!(Shards::read(wrong).unwrap_err().starts_with("a list like"), "{wrong}");
        }
    }
}
