//! The configurations of the five reference projects: which environments does each event reach?

use std::path::Path;

use shipkit_core::config::{Config, Needed};
use shipkit_core::event::{Event, Trigger};
use shipkit_core::plan::{History, plan};

use crate::project::COMMIT;

fn branch(name: &str) -> Trigger {
    Trigger::Branch { name: name.to_owned(), dispatched: false }
}

fn by_hand(name: &str) -> Trigger {
    Trigger::Branch { name: name.to_owned(), dispatched: true }
}

fn tag(name: &str) -> Trigger {
    Trigger::Tag { name: name.to_owned() }
}

fn release(name: &str) -> Trigger {
    Trigger::Release { tag: name.to_owned(), prerelease: false }
}

fn pull_request() -> Trigger {
    Trigger::PullRequest { number: 7, base: "main".to_owned() }
}

/// What each event reaches, as `environment+environment`, and the tags that move.
#[track_caller]
fn check(project: &str, cases: &[(Trigger, &str, &str)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../../tests/fixtures/projects/{project}.shipkit.yml"));
    let config =
        Config::parse(project, &std::fs::read_to_string(path).unwrap(), &|_| None, Needed::Build).unwrap();
    for (trigger, environments, moving) in cases {
        let event = Event {
            trigger: trigger.clone(),
            commit: COMMIT.to_owned(),
            committed: None,
            repository: Some("Acme/Project".to_owned()),
            default_branch: Some("main".to_owned()),
            server_url: "https://github.com".to_owned(),
            run: None,
        };
        let time = "2026-01-02T03:04:05Z".parse().unwrap();
        let value = |name: &str| Some(format!("value of {name}"));
        let plan = plan(&event, time, &History::Missing, &config, &value).unwrap();
        let reached: Vec<_> = plan.environments.iter().map(|reached| reached.name.as_str()).collect();
        let channels = plan.tags.version.iter().flat_map(|version| &version.channels);
        let tags: Vec<_> = plan.tags.moving.iter().chain(channels).map(ToString::to_string).collect();
        let found = (reached.join("+"), tags.join(" "));
        assert_eq!(found, ((*environments).to_owned(), (*moving).to_owned()), "{project}: {trigger:?}");
        assert_eq!(plan.push, !matches!(trigger, Trigger::PullRequest { .. }));
        assert_eq!(plan.environments.len() + plan.out_of_reach.len(), config.environments.len());
        assert!(plan.services.values().all(|service| service.labels.len() >= 5));
    }
}

#[test]
fn chat_deploys_main_to_production() {
    check(
        "chat",
        &[
            (branch("main"), "production", "latest"),
            (branch("feat/x"), "", ""),
            (by_hand("main"), "production", "latest"),
            (by_hand("feat/x"), "", ""),
            (tag("v1.2.3"), "", ""),
            (release("v1.2.3"), "", ""),
            (pull_request(), "", ""),
        ],
    );
}

#[test]
fn ciphertalk_takes_main_through_staging_to_production() {
    check(
        "ciphertalk",
        &[
            (branch("main"), "staging+production", "main latest"),
            (branch("develop"), "staging", "develop"),
            (branch("feat/x"), "", "feat-x"),
            (by_hand("develop"), "staging", "develop"),
            (tag("v1.2.3"), "", ""),
            (release("v1.2.3"), "", ""),
            (pull_request(), "", ""),
        ],
    );
}

#[test]
fn daira_takes_main_through_staging_to_production() {
    check(
        "daira",
        &[
            (branch("main"), "staging+production", "main"),
            (branch("develop"), "staging", "develop"),
            (branch("feat/x"), "", "feat-x"),
            (by_hand("main"), "staging+production", "main"),
            (tag("v1.2.3"), "", "1.2 1"),
            (release("v1.2.3"), "", "1.2 1"),
            (pull_request(), "", ""),
        ],
    );
}

#[test]
fn devagent_deploys_to_production_by_release_only() {
    check(
        "devagent",
        &[
            (branch("master"), "staging", "master"),
            (branch("develop"), "staging", "develop"),
            (branch("main"), "", "main"),
            (by_hand("master"), "staging", "master"),
            (tag("v1.2.3"), "", "1.2 1 latest"),
            (release("v1.2.3"), "production", "1.2 1 latest"),
            (release("v1.2.3-rc.1"), "production", "rc"),
            (pull_request(), "", ""),
        ],
    );
}

#[test]
fn grocery_deploys_version_tags() {
    check(
        "grocery",
        &[
            (branch("main"), "", ""),
            (by_hand("main"), "", ""),
            (tag("v1.2.3"), "production", "1.2 1"),
            (tag("nightly"), "", ""),
            (release("v1.2.3"), "production", "1.2 1"),
            (pull_request(), "", ""),
        ],
    );
}
