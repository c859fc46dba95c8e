//! The record of a deploy, against a GitHub that refuses what GitHub does not describe.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shipkit_core::exit::ExitCode;
use shipkit_core::{Digest, Hint as _, Secret};
use shipkit_github::{DeploymentRecord, DeploymentRequest, Error, Finish, GitHub, Links};
use shipkit_tests::server::github::{FakeGitHub, REPOSITORY, Recorded, TOKEN, Trouble};

fn client(fake: &FakeGitHub) -> GitHub {
    GitHub::new(&fake.url(), REPOSITORY, Secret::from(TOKEN)).unwrap()
}

fn links() -> Links {
    Links {
        log_url: Some("https://github.com/acme/shop/actions/runs/7/attempts/1".to_owned()),
        environment_url: Some("https://shop.example".to_owned()),
    }
}

fn request(environment: &str) -> DeploymentRequest {
    DeploymentRequest {
        commit: "a".repeat(40),
        environment: environment.to_owned(),
        production: environment == "production",
        release: Digest::of(b"release"),
        digests: BTreeMap::from([("api".to_owned(), Digest::of(b"api"))]),
        run: Some("7/1".to_owned()),
        description: "shop 1.2.3".to_owned(),
        links: links(),
    }
}

fn failure() -> Finish {
    Finish::Failure { sentence: "api did not become ready".to_owned() }
}

/// The payload of a record that another run of ours made.
fn ours(run: &str) -> Value {
    json!({ "by": "shipkit", "release": Digest::of(b"old"), "digests": {}, "run": run })
}

fn only(fake: &FakeGitHub) -> Recorded {
    let [deployment] = fake.deployments().try_into().unwrap();
    deployment
}

#[track_caller]
fn check_states(fake: &FakeGitHub, id: u64, states: &[&str]) {
    let all = fake.deployments();
    assert_eq!(all.iter().find(|deployment| deployment.id == id).unwrap().states(), states);
    assert_eq!(fake.refused(), Vec::<String>::new());
}

fn answers(method: &'static str, status: u16, body: &str) -> Trouble {
    Trouble::Answers { method, status, header: None, body: body.to_owned(), times: usize::MAX }
}

/// What `start` says when this goes wrong.
async fn start_with(trouble: Trouble) -> Error {
    let fake = FakeGitHub::start();
    fake.trouble(trouble);
    client(&fake).start(&request("staging")).await.unwrap_err()
}

/// The error's whole text, causes and debug included, for looking into.
fn all_of(error: &Error) -> String {
    format!("{error} {error:?} {error:#?} {:?}", error.hint())
}

#[tokio::test]
async fn a_deploy_is_recorded_before_it_begins_with_its_digests() {
    let fake = FakeGitHub::start();
    let record = client(&fake).start(&request("production")).await.unwrap();
    check_states(&fake, record.id, &["in_progress"]);
    let deployment = only(&fake);
    assert_eq!(
        deployment.body,
        json!({
            "ref": "a".repeat(40),
            "environment": "production",
            "description": "shop 1.2.3",
            "auto_merge": false,
            "required_contexts": [],
            "production_environment": true,
            "transient_environment": false,
            "payload": {
                "by": "shipkit",
                "release": Digest::of(b"release"),
                "digests": { "api": Digest::of(b"api") },
                "run": "7/1",
            },
        })
    );
    assert_eq!(deployment.statuses[0]["environment_url"], "https://shop.example");
    assert_eq!(deployment.statuses[0]["log_url"], links().log_url.unwrap());
}

#[tokio::test]
async fn a_success_makes_the_live_one_before_it_inactive() {
    let fake = FakeGitHub::start();
    let live = fake.seed("production", &json!(""), &["in_progress", "success"]);
    let github = client(&fake);
    let record = github.start(&request("production")).await.unwrap();
    check_states(&fake, live, &["in_progress", "success"]);
    assert_eq!(github.finish(&record, &Finish::Success, &links()).await.unwrap(), 1);
    check_states(&fake, record.id, &["in_progress", "success"]);
    check_states(&fake, live, &["in_progress", "success", "inactive"]);
}

#[tokio::test]
async fn a_failed_or_unclear_deploy_leaves_the_live_one_alone() {
    let fake = FakeGitHub::start();
    let live = fake.seed("staging", &ours("1/1"), &["success"]);
    let github = client(&fake);
    for (finish, state) in
        [(failure(), "failure"), (Finish::Error { sentence: "cancelled".to_owned() }, "error")]
    {
        let record = github.start(&request("staging")).await.unwrap();
        assert_eq!(github.finish(&record, &finish, &links()).await.unwrap(), 0);
        check_states(&fake, record.id, &["in_progress", state]);
        check_states(&fake, live, &["success"]);
    }
    assert_eq!(fake.deployments()[1].statuses[1]["description"], "api did not become ready");
}

#[tokio::test]
async fn only_what_still_counts_in_the_same_environment_becomes_inactive() {
    let fake = FakeGitHub::start();
    let untouched = [
        fake.seed("production", &ours("1/1"), &["success"]),
        fake.seed("staging", &ours("2/1"), &["in_progress", "failure"]),
        fake.seed("staging", &json!(""), &["success", "inactive"]),
        fake.seed("staging", &json!("by hand"), &["in_progress"]),
        fake.seed("staging", &json!({}), &[]),
    ];
    let before = fake.deployments();
    let ended = [
        fake.seed("staging", &ours("3/1"), &["in_progress"]),
        fake.seed("staging", &ours("4/1"), &[]),
        fake.seed("staging", &json!({ "any": 1 }), &["success"]),
    ];
    let github = client(&fake);
    let record = github.start(&request("staging")).await.unwrap();
    let newer = fake.seed("staging", &ours("9/1"), &["success"]);
    assert_eq!(github.finish(&record, &Finish::Success, &links()).await.unwrap(), 3);
    for (id, before) in untouched.into_iter().zip(&before) {
        check_states(&fake, id, &before.states());
    }
    check_states(&fake, newer, &["success"]);
    for id in ended {
        let all = fake.deployments();
        let deployment = all.iter().find(|deployment| deployment.id == id).unwrap();
        assert_eq!(deployment.states().last(), Some(&"inactive"));
    }
}

#[tokio::test]
async fn every_page_of_earlier_deployments_is_looked_at() {
    let fake = FakeGitHub::start();
    for _ in 0..250 {
        fake.seed("production", &json!(""), &["success"]);
    }
    let github = client(&fake);
    let record = github.start(&request("production")).await.unwrap();
    assert_eq!(github.finish(&record, &Finish::Success, &links()).await.unwrap(), 250);
    let live: Vec<u64> = fake
        .deployments()
        .iter()
        .filter(|deployment| deployment.states().last() != Some(&"inactive"))
        .map(|deployment| deployment.id)
        .collect();
    assert_eq!(live, [record.id]);
    assert_eq!(fake.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn a_long_history_of_ours_costs_few_requests() {
    let fake = FakeGitHub::start();
    for run in 0..250 {
        fake.seed("staging", &ours(&format!("{run}/1")), &["success", "inactive"]);
    }
    fake.seed("staging", &ours("250/1"), &["success"]);
    let github = client(&fake);
    let record = github.start(&request("staging")).await.unwrap();
    let before = fake.requests().len();
    assert_eq!(github.finish(&record, &Finish::Success, &links()).await.unwrap(), 1);
    assert!(fake.requests().len() - before < 20, "{:#?}", fake.requests());
}

#[tokio::test]
async fn when_ending_earlier_ones_is_cut_short_the_next_deploy_goes_on() {
    let fake = FakeGitHub::start();
    let old: Vec<u64> =
        (0..3).map(|run| fake.seed("staging", &ours(&format!("{run}/1")), &["success"])).collect();
    let github = client(&fake);
    let record = github.start(&request("staging")).await.unwrap();
    // What a first success leaves behind that GitHub stopped after one: the oldest is done, the others are not.
    fake.trouble(Trouble::StopsAfter { posts: 2 });
    let error = github.finish(&record, &Finish::Success, &links()).await.unwrap_err();
    assert!(
        matches!(&error, Error::Earlier { turned: 1, environment, .. } if environment == "staging"),
        "{error:?}"
    );
    check_states(&fake, record.id, &["in_progress", "success"]);
    check_states(&fake, old[0], &["success", "inactive"]);
    check_states(&fake, old[2], &["success"]);
    fake.calm();
    let next = DeploymentRequest { run: Some("8/1".to_owned()), ..request("staging") };
    let next = github.start(&next).await.unwrap();
    assert_eq!(github.finish(&next, &Finish::Success, &links()).await.unwrap(), 3);
}

#[tokio::test]
async fn a_run_takes_up_the_record_that_it_left_unfinished() {
    let fake = FakeGitHub::start();
    let github = client(&fake);
    let first = github.start(&request("staging")).await.unwrap();
    assert_eq!(github.start(&request("staging")).await.unwrap(), first);
    check_states(&fake, first.id, &["in_progress", "in_progress"]);
    assert_eq!(fake.deployments().len(), 1);
}

#[tokio::test]
async fn another_run_release_or_environment_or_a_finished_record_is_a_new_one() {
    let fake = FakeGitHub::start();
    let github = client(&fake);
    let first = github.start(&request("staging")).await.unwrap();
    let others = [
        DeploymentRequest { run: Some("7/2".to_owned()), ..request("staging") },
        DeploymentRequest { release: Digest::of(b"other"), ..request("staging") },
        DeploymentRequest { run: None, ..request("staging") },
        DeploymentRequest { run: None, ..request("staging") },
        request("production"),
    ];
    for (index, other) in others.iter().enumerate() {
        github.start(other).await.unwrap();
        assert_eq!(fake.deployments().len(), index + 2);
    }
    github.finish(&first, &failure(), &links()).await.unwrap();
    assert_ne!(github.start(&request("staging")).await.unwrap(), first);
    assert_eq!(fake.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lost_answer_does_not_make_a_second_deployment() {
    let fake = FakeGitHub::start();
    fake.trouble(Trouble::LosesAnAnswer);
    let record = client(&fake).start(&request("staging")).await.unwrap();
    assert_eq!(only(&fake).id, record.id);
    check_states(&fake, record.id, &["in_progress"]);
}

#[tokio::test]
async fn a_passing_fault_is_not_noticed_and_a_lasting_one_is_named() {
    for (times, passes) in [(2, true), (usize::MAX, false)] {
        let fake = FakeGitHub::start();
        let body = "<html>bad gateway</html>".to_owned();
        fake.trouble(Trouble::Answers { method: "GET", status: 502, header: None, body, times });
        match client(&fake).start(&request("staging")).await {
            Ok(_) => assert!(passes),
            Err(error) => assert!(!passes && matches!(error, Error::Server { status: 502 }), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_merge_instead_of_a_deployment_is_an_error() {
    let error = start_with(answers("POST", 202, r#"{"message":"Auto-merged main into topic"}"#)).await;
    assert!(matches!(&error, Error::Merged { message } if message.contains("Auto-merged")), "{error:?}");
}

#[tokio::test]
async fn a_conflict_is_told_with_githubs_words() {
    let error = start_with(answers("POST", 409, r#"{"message":"Commit status checks failed"}"#)).await;
    assert!(
        matches!(&error, Error::Conflict { message } if message == "Commit status checks failed"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_missing_permission_is_named_with_its_remedy() {
    let error =
        start_with(answers("POST", 403, r#"{"message":"Resource not accessible by integration"}"#)).await;
    assert!(matches!(error, Error::NoPermission { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("permissions: deployments: write"));
    assert_eq!(error.exit_code(), ExitCode::Unknown);
}

#[tokio::test]
async fn a_rate_limit_is_not_taken_for_a_missing_permission() {
    for (status, header, body) in [
        (403, Some(("x-ratelimit-remaining", "0")), "{}"),
        (403, None, r#"{"message":"You have exceeded a secondary rate limit"}"#),
        (429, Some(("retry-after", "60")), "{}"),
    ] {
        let trouble =
            Trouble::Answers { method: "GET", status, header, body: body.to_owned(), times: usize::MAX };
        let error = start_with(trouble).await;
        assert!(matches!(error, Error::RateLimited { .. }), "{error:?}");
        assert_eq!(error.hint().is_some(), status == 429);
    }
}

#[tokio::test]
async fn what_github_finds_invalid_is_told_with_its_details() {
    let fake = FakeGitHub::start();
    let wrong = DeploymentRequest { commit: "main".to_owned(), ..request("staging") };
    let error = client(&fake).start(&wrong).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid { message } if message == "No ref found for: main"), "{error:?}");
    let body =
        r#"{"message":"Validation Failed","errors":["too long",{"field":"environment","code":"invalid"}]}"#;
    let error = start_with(answers("POST", 422, body)).await;
    assert!(error.to_string().ends_with("Validation Failed; too long; `environment` is invalid"), "{error}");
}

#[tokio::test]
async fn a_wrong_token_or_repository_is_told_apart() {
    let fake = FakeGitHub::start();
    let stranger = GitHub::new(&fake.url(), REPOSITORY, Secret::from("ghs_wrong")).unwrap();
    let error = stranger.start(&request("staging")).await.unwrap_err();
    assert!(matches!(error, Error::WrongToken { .. }), "{error:?}");
    let lost = GitHub::new(&fake.url(), "acme/shopp", Secret::from(TOKEN)).unwrap();
    let error = lost.start(&request("staging")).await.unwrap_err();
    assert!(error.to_string().contains("`/repos/acme/shopp/deployments"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let header = Some(("location", "https://elsewhere.example/"));
    let trouble =
        Trouble::Answers { method: "GET", status: 301, header, body: "{}".to_owned(), times: usize::MAX };
    let error = start_with(trouble).await;
    assert!(matches!(error, Error::Moved { status: 301, .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_is_not_githubs_is_an_error() {
    for body in ["", "<html>", "{}", r#"[{"id":"text"}]"#] {
        let error = start_with(answers("GET", 200, body)).await;
        assert!(matches!(error, Error::Unreadable { .. }), "{body}: {error:?}");
    }
    let endless = format!("[{}]", " ".repeat(9 << 20));
    let error = start_with(answers("GET", 200, &endless)).await;
    assert!(matches!(error, Error::Unreadable { .. }), "{error:?}");
}

#[tokio::test]
async fn where_nothing_answers_the_host_is_named() {
    // Bound and not listened on any more: the port is free, and refuses.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let github = GitHub::new(&format!("http://127.0.0.1:{port}"), REPOSITORY, Secret::from(TOKEN)).unwrap();
    let error = github.start(&request("staging")).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_github_that_never_answers_is_left_at_the_limit() {
    let fake = FakeGitHub::start();
    fake.trouble(Trouble::Silence);
    let github = client(&fake).within(Duration::from_millis(200));
    let begun = Instant::now();
    let error = github.start(&request("staging")).await.unwrap_err();
    assert!(matches!(error, Error::TooSlow { .. }), "{error:?}");
    let record = DeploymentRecord { id: 1, environment: "staging".to_owned() };
    let error = github.finish(&record, &Finish::Success, &links()).await.unwrap_err();
    assert!(matches!(error, Error::TooSlow { .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn long_and_many_lined_sentences_fit() {
    let fake = FakeGitHub::start();
    let github = client(&fake);
    let long = DeploymentRequest { description: "ä\n".repeat(500), ..request("staging") };
    let record = github.start(&long).await.unwrap();
    let finish = Finish::Failure { sentence: "🚢".repeat(500) };
    github.finish(&record, &finish, &links()).await.unwrap();
    check_states(&fake, record.id, &["in_progress", "failure"]);
    assert_eq!(only(&fake).statuses[1]["description"].as_str().unwrap().chars().count(), 140);
}

#[tokio::test]
async fn no_error_and_no_debug_text_shows_the_token() {
    let fake = FakeGitHub::start();
    assert!(!format!("{:?}", client(&fake)).contains(TOKEN));
    for (status, body) in [
        (422, format!(r#"{{"message":"{TOKEN}","errors":["Bearer {TOKEN}",{{"message":"{TOKEN}"}}]}}"#)),
        (403, format!(r#"{{"message":"{TOKEN}"}}"#)),
        (418, format!(r#"{{"message":"{TOKEN}"}}"#)),
        (200, format!("{TOKEN} is no JSON")),
        (200, format!(r#"["{TOKEN}"]"#)),
    ] {
        let error = start_with(answers("GET", status, &body)).await;
        assert!(!all_of(&error).contains(TOKEN), "{error:?}");
    }
    for trouble in [Trouble::Silence, answers("GET", 500, TOKEN)] {
        fake.trouble(trouble);
        let error =
            client(&fake).within(Duration::from_millis(100)).start(&request("staging")).await.unwrap_err();
        assert!(!all_of(&error).contains(TOKEN), "{error:?}");
    }
}
