//! Events: a payload and an environment in, plain values out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::io::Write as _;

use serde_json::{Value, json};
use shipkit_core::Hint as _;
use shipkit_core::event::{Event, Trigger};
use shipkit_core::exit::ExitCode;
use shipkit_runner::{Env, EventError, Form, Runner};

const HEAD: &str = "1111111111111111111111111111111111111111";
const MERGE: &str = "2222222222222222222222222222222222222222";
const TAG_OBJECT: &str = "3333333333333333333333333333333333333333";

/// What the runner sets for each event; the path of the payload comes later.
const ENV: [(&str, &str); 5] = [
    ("GITHUB_ACTIONS", "true"),
    ("GITHUB_SHA", MERGE),
    ("GITHUB_REF", "refs/heads/main"),
    ("GITHUB_REPOSITORY", "Acme/Shop"),
    ("GITHUB_RUN_ID", "7"),
];

fn read_text(name: &str, payload: &str) -> Result<Option<Event>, EventError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(payload.as_bytes()).unwrap();
    let mut env = ENV.to_vec();
    env.extend([("GITHUB_EVENT_NAME", name), ("GITHUB_EVENT_PATH", file.path().to_str().unwrap())]);
    Runner::detached(Env::of(env), Form::Text).event(None, None)
}

#[track_caller]
fn read(name: &str, payload: &Value) -> Event {
    read_text(name, &payload.to_string()).unwrap().unwrap()
}

#[track_caller]
fn refused(name: &str, payload: &Value, sentence: &str) {
    let error = read_text(name, &payload.to_string()).unwrap_err();
    let shown = error.to_string();
    let path = shown.split('`').find(|part| part.starts_with('/')).unwrap_or("-").to_owned();
    assert_eq!(shown.replace(&path, "FILE"), sentence);
    assert_eq!(error.exit_code(), ExitCode::Usage);
}

fn push(git_ref: &str) -> Value {
    json!({
        "ref": git_ref, "after": TAG_OBJECT, "deleted": false,
        "head_commit": {"id": HEAD, "timestamp": "2026-01-02T04:04:05+01:00"},
        "repository": {"full_name": "Acme/Shop", "default_branch": "main"},
    })
}

#[test]
fn a_pushed_branch_is_its_name_commit_and_time() {
    let event = read("push", &push("refs/heads/feat/x"));
    assert_eq!(event.trigger, Trigger::Branch { name: "feat/x".to_owned(), dispatched: false });
    assert_eq!((event.commit.as_str(), event.repository.as_deref()), (HEAD, Some("Acme/Shop")));
    assert_eq!(event.committed.unwrap().to_string(), "2026-01-02T03:04:05Z");
    assert_eq!(event.default_branch.as_deref(), Some("main"));
    assert_eq!(event.run_url().unwrap(), "https://github.com/Acme/Shop/actions/runs/7/attempts/1");
}

#[test]
fn an_annotated_tag_is_its_commit_and_not_its_own_object() {
    let event = read("push", &push("refs/tags/v1.2.3"));
    assert_eq!(event.trigger, Trigger::Tag { name: "v1.2.3".to_owned() });
    assert_eq!(event.commit, HEAD);
}

#[test]
fn a_nearly_empty_payload_is_filled_from_the_environment() {
    let event = read("push", &json!({}));
    assert_eq!(event.trigger, Trigger::Branch { name: "main".to_owned(), dispatched: false });
    assert_eq!((event.commit.as_str(), event.committed), (MERGE, None));
}

#[test]
fn a_pull_request_is_its_head_and_not_the_merge_commit() {
    let payload = json!({"pull_request": {"number": 5, "head": {"sha": HEAD}, "base": {"ref": "main"}}});
    for name in ["pull_request", "pull_request_target"] {
        let event = read(name, &payload);
        assert_eq!(event.trigger, Trigger::PullRequest { number: 5, base: "main".to_owned() });
        assert_eq!(event.commit, HEAD);
    }
}

#[test]
fn the_token_of_a_fork_and_of_dependabot_reads_only() {
    let of = |head: Value| json!({"pull_request": {"number": 5, "head": {"sha": HEAD, "repo": head}, "base": {"ref": "main"}}});
    let (own, fork) =
        (json!({"full_name": "acme/shop"}), json!({"full_name": "somebody/shop", "fork": true}));
    for (name, actor, payload, expected) in [
        ("pull_request", "somebody", of(fork.clone()), true),
        ("pull_request", "somebody", of(Value::Null), true),
        ("pull_request", "keeper", of(own.clone()), false),
        ("pull_request", "dependabot[bot]", of(own), true),
        ("push", "dependabot[bot]", push("refs/heads/dependabot/x"), true),
        ("pull_request_target", "somebody", of(fork), false),
        ("push", "keeper", push("refs/heads/main"), false),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(payload.to_string().as_bytes()).unwrap();
        let mut env = ENV.to_vec();
        let path = file.path().to_str().unwrap();
        env.extend([("GITHUB_EVENT_NAME", name), ("GITHUB_EVENT_PATH", path), ("GITHUB_ACTOR", actor)]);
        let reads_only = Runner::detached(Env::of(env), Form::Text).has_read_only_token().unwrap();
        assert_eq!(reads_only, expected, "{name} by {actor}");
    }
    assert!(!Runner::detached(Env::of([("USER", "x")]), Form::Text).has_read_only_token().unwrap());
}

#[test]
fn a_release_counts_when_it_is_published() {
    let release = |action, draft| json!({"action": action, "release": {"tag_name": "v2", "prerelease": true, "draft": draft}});
    let published = Trigger::Release { tag: "v2".to_owned(), prerelease: true };
    assert_eq!(read("release", &release("published", false)).trigger, published);
    for payload in [release("edited", false), release("published", true)] {
        assert!(matches!(read("release", &payload).trigger, Trigger::Other { .. }));
    }
}

#[test]
fn a_run_by_hand_and_a_schedule_know_their_branch() {
    let by_hand = read("workflow_dispatch", &json!({"ref": "refs/heads/hot"}));
    assert_eq!(by_hand.trigger, Trigger::Branch { name: "hot".to_owned(), dispatched: true });
    let schedule = read("schedule", &json!({"schedule": "0 0 * * *"}));
    let expected = Trigger::Other { name: "schedule".to_owned(), branch: Some("main".to_owned()) };
    assert_eq!(schedule.trigger, expected);
}

#[test]
fn what_was_deleted_is_not_built() {
    let mut payload = push("refs/heads/old");
    payload["deleted"] = json!(true);
    payload["head_commit"] = Value::Null;
    refused("push", &payload, "`refs/heads/old` was deleted: there is nothing to build");
}

#[test]
fn a_payload_that_is_not_githubs_names_file_and_key() {
    let pull = json!({"pull_request": {"number": 5, "head": {}, "base": {"ref": "main"}}});
    refused("pull_request", &pull, "the event file `FILE` has no `pull_request.head.sha`");
    let pull = json!({"pull_request": {"number": "5"}});
    refused("pull_request", &pull, "`pull_request.number` in the event file `FILE` is not a whole number");
    let short = json!({"ref": "refs/heads/a", "head_commit": {"id": "abc"}});
    refused("push", &short, "`head_commit.id` in the event file `FILE` is not a full commit");
    let odd = json!({"ref": "main"});
    refused(
        "push",
        &odd,
        "`ref` in the event file `FILE` is not the full name of a branch or tag, like `refs/heads/main`",
    );
    let text = json!({"ref": 3});
    refused("push", &text, "`ref` in the event file `FILE` is not a text");
}

#[test]
fn a_file_that_is_missing_no_json_or_too_large_is_an_error_and_no_panic() {
    let runner = Runner::detached(Env::of([("GITHUB_EVENT_PATH", "/no/such/file")]), Form::Text);
    assert_eq!(
        runner.event(None, None).unwrap_err().to_string(),
        "the event file `/no/such/file` cannot be read"
    );
    assert!(matches!(read_text("push", "{"), Err(EventError::NotJson { .. })));
    assert!(matches!(read_text("push", &"[".repeat(100_000)), Err(EventError::NotJson { .. })));
    assert!(matches!(read_text("push", &" ".repeat(25_000_001)), Err(EventError::TooLarge { .. })));
}

#[test]
fn without_any_event_there_is_none() {
    let laptop: [(&str, &str); 0] = [];
    assert_eq!(Runner::detached(Env::of(laptop), Form::Text).event(None, None).unwrap(), None);
}

#[test]
fn a_file_named_by_hand_is_of_the_kind_that_its_keys_show() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(push("refs/tags/v9").to_string().as_bytes()).unwrap();
    let mut env = ENV.to_vec();
    env.push(("GITHUB_EVENT_NAME", "workflow_dispatch"));
    let runner = Runner::detached(Env::of(env), Form::Text);
    let event = runner.event(Some(file.path()), None).unwrap().unwrap();
    assert_eq!(event.trigger, Trigger::Tag { name: "v9".to_owned() });
    let other = runner.event(Some(file.path()), Some("merge_group")).unwrap().unwrap();
    assert!(matches!(other.trigger, Trigger::Other { .. }));
}
