//! `Explained`: what each rule of `tags` in `shipkit.yml` gives for an event, and why.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::channel::{channels, exact};
use super::version::{TaggedVersion, tagged};
use super::{NameError, branch_tag, git_tag, plain};
use crate::config::{Config, Latest, Service, Source, TagKind};
use crate::event::{Event, Trigger};
use crate::reference::Tag;
use crate::release::{PublishTags, VersionTags};

/// One rule, what it gives, and why it gives that or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The rule by its key: `tags.include: semver`.
    pub rule: String,
    /// The tags that it gives.
    pub tags: Vec<Given>,
    /// Why.
    pub because: String,
}

/// A tag that a rule gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Given {
    /// The tag.
    pub tag: Tag,
    /// What becomes of it later.
    pub life: Life,
}

/// What becomes of a tag once it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Life {
    /// It never names anything else.
    Permanent,
    /// The same, for a tag that is the version itself.
    Version,
    /// It moves with every release that has it.
    Moving,
    /// It moves to newer versions only.
    Channel,
}

/// What every rule gives for this event, in the order of the rules.
///
/// # Errors
/// When a branch's name makes no tag.
pub fn explain(event: &Event, committed: Timestamp, config: &Config) -> Result<Vec<Explained>, NameError> {
    let version = tagged(&event.trigger, built(config));
    let mut all = Vec::new();
    for kind in [TagKind::Sha, TagKind::Branch, TagKind::Semver, TagKind::Pr, TagKind::Date] {
        let word = match kind {
            TagKind::Sha => "sha",
            TagKind::Branch => "branch",
            TagKind::Semver => "semver",
            TagKind::Pr => "pr",
            TagKind::Date => "date",
        };
        let (tags, because) = if config.tags.include.contains(&kind) {
            of_kind(kind, event, committed, version.as_ref())?
        } else {
            (Vec::new(), "it is not among `tags.include`".to_owned())
        };
        all.push(Explained { rule: format!("tags.include: {word}"), tags, because });
    }
    all.push(latest(event, config.tags.latest, version.as_ref())?);
    if !config.tags.immutable {
        // Then none is permanent, and a second build of a commit may move all of them.
        for given in all.iter_mut().flat_map(|explained| &mut explained.tags) {
            given.life = match given.life {
                Life::Permanent | Life::Moving => Life::Moving,
                Life::Version | Life::Channel => Life::Channel,
            };
        }
    }
    Ok(all)
}

/// The tags of an event, each once.
pub(in crate::plan) fn tags(
    event: &Event,
    committed: Timestamp,
    config: &Config,
) -> Result<PublishTags, NameError> {
    let mut tags = PublishTags::default();
    let mut version = tagged(&event.trigger, built(config)).map(|tagged| VersionTags {
        version: tagged.version,
        service: tagged.service,
        permanent: Vec::new(),
        channels: Vec::new(),
    });
    let mut seen = BTreeSet::new();
    for given in explain(event, committed, config)?.into_iter().flat_map(|explained| explained.tags) {
        if !seen.insert(given.tag.clone()) {
            continue;
        }
        match (given.life, &mut version) {
            (Life::Version, Some(version)) => version.permanent.push(given.tag),
            (Life::Channel, Some(version)) => version.channels.push(given.tag),
            (Life::Permanent | Life::Version, _) => tags.permanent.push(given.tag),
            (Life::Moving | Life::Channel, _) => tags.moving.push(given.tag),
        }
    }
    tags.version = version.filter(|version| !version.permanent.is_empty() || !version.channels.is_empty());
    Ok(tags)
}

/// The services whose images are built here, so that a git tag can name a version of them.
pub(in crate::plan) fn built(config: &Config) -> impl Iterator<Item = &String> {
    let is_built = |service: &Service| matches!(service.source, Source::Build(_));
    config.services.iter().filter(move |(_, service)| is_built(service)).map(|(name, _)| name)
}

/// What one kind of `tags.include` gives, and why.
fn of_kind(
    kind: TagKind,
    event: &Event,
    committed: Timestamp,
    version: Option<&TaggedVersion>,
) -> Result<(Vec<Given>, String), NameError> {
    let one = |tag, life| vec![Given { tag, life }];
    let none = |why: &str| (Vec::new(), why.to_owned());
    Ok(match (kind, &event.trigger) {
        (TagKind::Sha, _) => {
            (one(plain(&format!("sha-{}", event.commit))?, Life::Permanent), "the commit".to_owned())
        }
        (TagKind::Branch, Trigger::Branch { name, .. }) => {
            (one(branch_tag(name)?, Life::Moving), format!("the branch `{name}`"))
        }
        (TagKind::Branch, _) => none("this event is about no branch"),
        (TagKind::Semver, trigger) => of_version(git_tag(trigger), version)?,
        (TagKind::Pr, Trigger::PullRequest { number, .. }) => {
            (one(plain(&format!("pr-{number}"))?, Life::Moving), format!("pull request {number}"))
        }
        (TagKind::Pr, _) => none("this event is about no pull request"),
        (TagKind::Date, _) => {
            let day = committed.strftime("%Y-%m-%d").to_string();
            (one(plain(&day)?, Life::Moving), "the day of the commit, in UTC".to_owned())
        }
    })
}

/// The version itself and its channels.
fn of_version(tag: Option<&str>, version: Option<&TaggedVersion>) -> Result<(Vec<Given>, String), NameError> {
    let (tag, TaggedVersion { service, version }) = match (tag, version) {
        (Some(tag), Some(tagged)) => (tag, tagged),
        (Some(tag), None) => {
            return Ok((
                Vec::new(),
                format!("the tag `{tag}` is no version, neither of all nor of one service"),
            ));
        }
        (None, _) => return Ok((Vec::new(), "this event is about no git tag".to_owned())),
    };
    let mut tags = vec![Given { tag: exact(version)?, life: Life::Version }];
    tags.extend(channels(version)?.into_iter().map(|tag| Given { tag, life: Life::Channel }));
    let of = service.as_ref().map(|service| format!(" of `{service}` alone")).unwrap_or_default();
    Ok((tags, format!("the tag `{tag}` is version {version}{of}")))
}

fn latest(event: &Event, rule: Latest, version: Option<&TaggedVersion>) -> Result<Explained, NameError> {
    let (word, given, because) = match rule {
        Latest::Never => ("never", None, "it never moves".to_owned()),
        Latest::DefaultBranch => {
            let (is_given, because) = match (&event.trigger, &event.default_branch) {
                (Trigger::Branch { .. }, None) => (false, "the default branch is not known".to_owned()),
                (Trigger::Branch { name, .. }, Some(default)) if name == default => {
                    (true, format!("`{name}` is the default branch"))
                }
                (Trigger::Branch { name, .. }, Some(default)) => {
                    (false, format!("`{name}` is not the default branch `{default}`"))
                }
                _ => (false, "this event is about no branch".to_owned()),
            };
            ("default-branch", is_given.then_some(Life::Moving), because)
        }
        Latest::Release => {
            let (is_given, because) = match version {
                Some(tagged) if tagged.version.pre.is_empty() => {
                    (true, format!("{} is no prerelease", tagged.version))
                }
                Some(tagged) => (false, format!("{} is a prerelease", tagged.version)),
                None => (false, "this event is about no version tag".to_owned()),
            };
            ("release", is_given.then_some(Life::Channel), because)
        }
    };
    let tags = given.map(|life| Ok(Given { tag: plain("latest")?, life })).transpose()?;
    Ok(Explained { rule: format!("tags.latest: {word}"), tags: tags.into_iter().collect(), because })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{COMMIT, branch, event};
    use super::*;
    use crate::config::Needed;

    fn config(tags: &str) -> Config {
        let text = format!(
            "version: 1\nname: shop\ntags: {tags}\nservices:\n  {{api: {{build: {{}}}}, web: {{build: {{}}}}, db: {{image: postgres:16}}}}\n\
             environments: {{staging: {{}}}}\n"
        );
        Config::parse("shipkit.yml", &text, &|_| None, Needed::Build).unwrap()
    }

    const ALL: &str = "{include: [sha, branch, semver, pr, date], latest: release}";

    fn day() -> Timestamp {
        "2026-01-31T23:00:00Z".parse().unwrap()
    }

    fn tag(name: &str) -> Event {
        event(Trigger::Tag { name: name.to_owned() })
    }

    fn request() -> Event {
        event(Trigger::PullRequest { number: 7, base: "main".to_owned() })
    }

    /// permanent | of the version | channels | moving.
    #[track_caller]
    fn check(event: &Event, rules: &str, expected: &str) {
        let tags = tags(event, day(), &config(rules)).unwrap();
        let list = |tags: &[Tag]| tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let version = tags.version.as_ref();
        let of_version = version.map(|version| list(&version.permanent)).unwrap_or_default();
        let channels = version.map(|version| list(&version.channels)).unwrap_or_default();
        let found = format!("{} | {of_version} | {channels} | {}", list(&tags.permanent), list(&tags.moving));
        assert_eq!(found, expected.replace("SHA", &format!("sha-{COMMIT}")));
    }

    #[test]
    fn each_event_gets_its_tags() {
        check(&branch("main"), ALL, "SHA |  |  | main 2026-01-31");
        check(&branch("feat/x y"), ALL, "SHA |  |  | feat-x-y 2026-01-31");
        check(&tag("v1.2.3"), ALL, "SHA | 1.2.3 | 1.2 1 latest | 2026-01-31");
        check(&tag("0.2.3"), ALL, "SHA | 0.2.3 | 0.2 latest | 2026-01-31");
        check(&tag("v2.0.0-rc.1"), ALL, "SHA | 2.0.0-rc.1 | rc | 2026-01-31");
        check(&tag("v2.0.0-0.1"), ALL, "SHA | 2.0.0-0.1 |  | 2026-01-31");
        check(&tag("v1.2.3+b5"), ALL, "SHA | 1.2.3_b5 | 1.2 1 latest | 2026-01-31");
        check(&tag("nightly"), ALL, "SHA |  |  | 2026-01-31");
        check(&request(), ALL, "SHA |  |  | pr-7 2026-01-31");
        let release = event(Trigger::Release { tag: "v1.2.3".to_owned(), prerelease: false });
        check(&release, ALL, "SHA | 1.2.3 | 1.2 1 latest | 2026-01-31");
    }

    #[test]
    fn latest_follows_the_default_branch_or_the_releases_as_asked() {
        let on_branch = "{include: [semver], latest: default-branch}";
        check(&branch("main"), on_branch, " |  |  | latest");
        check(&branch("feat"), on_branch, " |  |  | ");
        check(&tag("v1.2.3"), on_branch, " | 1.2.3 | 1.2 1 | ");
        check(&tag("v1.2.3"), "{include: [sha], latest: release}", "SHA |  | latest | ");
        check(&tag("v1.2.3"), "{include: [semver], latest: never}", " | 1.2.3 | 1.2 1 | ");
    }

    #[test]
    fn where_tags_may_change_none_is_permanent() {
        let rules = "{include: [sha, semver], latest: release, immutable: false}";
        check(&tag("v1.2.3"), rules, " |  | 1.2.3 1.2 1 latest | SHA");
        check(&branch("main"), rules, " |  |  | SHA");
    }

    #[test]
    fn the_tag_of_one_service_is_a_version_of_that_service() {
        let found = tags(&tag("api/v1.2.3"), day(), &config(ALL)).unwrap().version.unwrap();
        assert_eq!((found.service.as_deref(), found.version.to_string().as_str()), (Some("api"), "1.2.3"));
        check(&tag("api/v1.2.3"), ALL, "SHA | 1.2.3 | 1.2 1 latest | 2026-01-31");
        // No service is called so; and nobody here builds the other one.
        check(&tag("lib/v1.2.3"), ALL, "SHA |  |  | 2026-01-31");
        check(&tag("db/v1.2.3"), ALL, "SHA |  |  | 2026-01-31");
        assert_eq!(tags(&tag("v1.2.3"), day(), &config(ALL)).unwrap().version.unwrap().service, None);
    }

    #[test]
    fn every_rule_says_what_it_gives_or_why_it_gives_nothing() {
        let said = |event: &Event, rules: &str| {
            let lines = explain(event, day(), &config(rules)).unwrap().into_iter().map(|explained| {
                let tags = explained.tags.iter().map(|given| format!("{} {:?}", given.tag, given.life));
                let tags = tags.collect::<Vec<_>>().join(", ");
                format!("{} -> {tags} ({})", explained.rule, explained.because)
            });
            lines.collect::<Vec<_>>().join("\n").replace(COMMIT, "SHA")
        };
        let rules = "{include: [sha, branch, semver], latest: release}";
        assert_eq!(
            said(&tag("api/v1.2.3"), rules),
            "tags.include: sha -> sha-SHA Permanent (the commit)\n\
             tags.include: branch ->  (this event is about no branch)\n\
             tags.include: semver -> 1.2.3 Version, 1.2 Channel, 1 Channel (the tag `api/v1.2.3` is version 1.2.3 of `api` alone)\n\
             tags.include: pr ->  (it is not among `tags.include`)\n\
             tags.include: date ->  (it is not among `tags.include`)\n\
             tags.latest: release -> latest Channel (1.2.3 is no prerelease)"
        );
        assert_eq!(
            said(&branch("main"), "{include: [branch, semver, pr, date], latest: default-branch}"),
            "tags.include: sha ->  (it is not among `tags.include`)\n\
             tags.include: branch -> main Moving (the branch `main`)\n\
             tags.include: semver ->  (this event is about no git tag)\n\
             tags.include: pr ->  (this event is about no pull request)\n\
             tags.include: date -> 2026-01-31 Moving (the day of the commit, in UTC)\n\
             tags.latest: default-branch -> latest Moving (`main` is the default branch)"
        );
        for (event, rule, because) in [
            (tag("nightly"), 2, "the tag `nightly` is no version, neither of all nor of one service"),
            (tag("v1.0.0-rc.1"), 5, "1.0.0-rc.1 is a prerelease"),
            (branch("feat"), 5, "this event is about no version tag"),
            (request(), 1, "this event is about no branch"),
        ] {
            assert_eq!(explain(&event, day(), &config(ALL)).unwrap()[rule].because, because);
        }
    }
}
