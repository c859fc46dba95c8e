//! The control: the fake GitHub of the tests really refuses what GitHub does not describe.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use octocrab::Octocrab;
use serde_json::{Value, json};
use shipkit_tests::server::github::{FakeGitHub, REPOSITORY, TOKEN};

fn anyone(fake: &FakeGitHub) -> Octocrab {
    Octocrab::builder().base_uri(fake.url()).unwrap().personal_token(TOKEN).build().unwrap()
}

async fn post(fake: &FakeGitHub, path: &str, body: &Value) -> u16 {
    anyone(fake)._post(format!("/repos/{REPOSITORY}/{path}"), Some(body)).await.unwrap().status().as_u16()
}

async fn get(fake: &FakeGitHub, path: &str) -> u16 {
    anyone(fake)._get(format!("/repos/{REPOSITORY}/{path}")).await.unwrap().status().as_u16()
}

fn allowed() -> Value {
    json!({ "ref": "a".repeat(40), "auto_merge": false, "required_contexts": [] })
}

fn with(key: &str, value: Value) -> Value {
    let mut body = allowed();
    body[key] = value;
    body
}

#[tokio::test]
async fn a_body_that_github_does_not_describe_is_refused() {
    let fake = FakeGitHub::start();
    assert_eq!(post(&fake, "deployments", &allowed()).await, 201);
    for wrong in [
        json!({}),
        json!([]),
        with("ref", json!(1)),
        with("auto_merge", json!("no")),
        with("required_contexts", json!("none")),
        with("payload", json!(1)),
        with("environment", Value::Null),
        with("production_enviroment", json!(true)),
    ] {
        assert_eq!(post(&fake, "deployments", &wrong).await, 400, "{wrong}");
    }
    assert_eq!((fake.deployments().len(), fake.refused().len()), (1, 8));
}

#[tokio::test]
async fn a_state_a_path_or_a_parameter_that_does_not_exist_is_refused() {
    let fake = FakeGitHub::start();
    let id = fake.seed("staging", &json!(""), &[]);
    assert_eq!(post(&fake, &format!("deployments/{id}/statuses"), &json!({ "state": "queued" })).await, 201);
    assert_eq!(post(&fake, &format!("deployments/{id}/statuses"), &json!({ "state": "active" })).await, 400);
    assert_eq!(post(&fake, &format!("deployments/{id}/status"), &json!({ "state": "queued" })).await, 400);
    assert_eq!(post(&fake, "deployments/none/statuses", &json!({ "state": "queued" })).await, 400);
    assert_eq!(get(&fake, "deployments?environment=staging&per_page=100").await, 200);
    assert_eq!(get(&fake, "deployments?enviroment=staging").await, 400);
    assert_eq!(get(&fake, "deployments?per_page=many").await, 400);
    assert_eq!(fake.refused().len(), 5);
}

#[tokio::test]
async fn what_is_left_to_github_merges_or_conflicts_as_it_does_there() {
    let fake = FakeGitHub::start();
    assert_eq!(post(&fake, "deployments", &json!({ "ref": "a".repeat(40) })).await, 202);
    assert_eq!(post(&fake, "deployments", &json!({ "ref": "a".repeat(40), "auto_merge": false })).await, 409);
    assert_eq!(fake.deployments().len(), 0);
}

#[tokio::test]
async fn a_description_that_is_too_long_is_refused_as_there() {
    let fake = FakeGitHub::start();
    let id = fake.seed("staging", &json!(""), &[]);
    for (length, status) in [(140, 201), (141, 422)] {
        let body = json!({ "state": "failure", "description": "x".repeat(length) });
        assert_eq!(post(&fake, &format!("deployments/{id}/statuses"), &body).await, status);
    }
}
