//! `openapi`: answers that are as described, and others.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use shipkit_core::Verdict;
use shipkit_core::config::{self, CheckKind};
use shipkit_smoke::{Check, CheckReport, Given, Options, Shipped, SmokeError, configured};
use url::Url;

use crate::fixture::{answer, json as json_answer, serve, status};

const API: &str = "
openapi: 3.0.3
servers: [{url: https://api.chat.example.com/v1}]
paths:
  /health:
    get:
      responses: {'200': {description: fine}}
  /rooms/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string, example: lobby}}]
    get:
      responses:
        '200': {description: it, content: {application/json: {schema: {$ref: '#/components/schemas/Room'}}}}
        '404': {description: none}
    delete:
      responses: {'204': {description: gone}}
  /me:
    get:
      security: [{bearer: []}]
      responses: {'200': {description: me}}
components:
  schemas:
    Room: {type: object, required: [id, topic], properties: {id: {type: string}, topic: {type: string, nullable: true}}}
";

/// The check of this description.
fn read(text: &str) -> Result<Vec<Check>, SmokeError> {
    let entry = config::Check {
        name: "openapi".to_owned(),
        service: None,
        kind: CheckKind::Openapi(config::Openapi {
            file: "docs/openapi.yaml".to_owned(),
            send: BTreeMap::new(),
        }),
        headers: Vec::new(),
        expect: config::Expect::default(),
        retries: None,
        writes: false,
        only_warns: false,
        flaky_fails: false,
        line: 7,
    };
    let files = |_: &_| Ok(text.as_bytes().to_vec());
    configured(&[entry], &Given { shipped: Shipped::Unknown, variables: &|_| None, files: &files })
}

async fn asked(url: &Url, description: &str) -> CheckReport {
    let options = Options {
        timeout: Duration::from_mins(1),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        ..Options::default()
    };
    shipkit_smoke::run(url, read(description).unwrap(), &options).await.unwrap().checks.remove(0)
}

#[track_caller]
fn check(report: &CheckReport, verdict: Verdict, part: &str) {
    assert_eq!(report.outcome.verdict, verdict, "{report:?}");
    assert!(report.outcome.cause.contains(part), "{report:?}");
}

/// A service whose only room is this.
async fn chat(room: Value) -> Url {
    let reply = move |_, head: &str| match head.lines().next().unwrap_or_default() {
        "GET /v1/health HTTP/1.1" => status(200),
        "GET /v1/rooms/lobby HTTP/1.1" => json_answer(&room.to_string()),
        _ => status(500),
    };
    serve(reply).await.url
}

#[tokio::test]
async fn what_reads_is_asked_once_and_answers_as_described() {
    let url = chat(json!({"id": "lobby", "topic": null})).await;
    let part = "2 operations answer as described; left out: `GET /me` needs a login";
    check(&asked(&url, API).await, Verdict::Pass, part);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_names_its_operation() {
    let url = chat(json!({"id": "lobby", "topic": 5})).await;
    let report = asked(&url, API).await;
    check(&report, Verdict::Fail, "1 of 2 operations: `GET /rooms/{id}`: `/topic` does not fit the schema");
}

#[tokio::test]
async fn a_status_that_is_not_described_and_a_page_are_no_answers() {
    let teapot = serve(|_, _| status(418)).await;
    let report = asked(&teapot.url, API).await;
    check(&report, Verdict::Fail, "2 of 2 operations: `GET /health`: status 418, which is not described");
    let nothing = serve(|_, head| status(if head.contains("rooms") { 404 } else { 200 })).await;
    check(&asked(&nothing.url, API).await, Verdict::Pass, "2 operations answer as described");
    let page = serve(|_, _| answer(200, "text/html", "<!doctype html>")).await;
    check(
        &asked(&page.url, API).await,
        Verdict::Fail,
        "`GET /rooms/{id}`: status 200 with `text/html`, not JSON",
    );
    let broken = serve(|_, _| status(503)).await;
    let report = asked(&broken.url, &API.replace("'404'", "default")).await;
    check(&report, Verdict::Fail, "`GET /rooms/{id}`: status 503 (3 times)");
}

#[tokio::test]
async fn a_description_of_which_nothing_can_be_asked_is_skipped() {
    let closed = API.replace("paths:", "security: [{bearer: []}]\npaths:");
    let server = serve(|_, _| status(200)).await;
    let report = asked(&server.url, &closed).await;
    check(
        &report,
        Verdict::Skipped,
        "left out: `GET /health` needs a login, `GET /rooms/{id}` needs a login, `GET /me` needs",
    );
    assert_eq!(server.asked(), 0);
}

#[test]
fn what_is_no_description_is_told_before_anything_is_asked() {
    let told = |text: &str| read(text).unwrap_err().to_string();
    let file = "check `openapi` (line 7) needs the file `docs/openapi.yaml`, which cannot be read: ";
    assert_eq!(told("swagger: '2.0'"), format!("{file}it is no OpenAPI 3 document: `openapi` is ``"));
    assert!(told("a: [").starts_with(&format!("{file}docs/openapi.yaml:")), "{}", told("a: ["));
}

/// What `/me` is for: a login gives a token, and only who brings it is let in.
#[tokio::test]
async fn with_a_login_what_needs_one_is_asked_and_no_token_is_shown() {
    const TOKEN: &str = "canary-token-1";
    let reply = |_, head: &str| match head.lines().next().unwrap_or_default() {
        "GET /login HTTP/1.1" => json_answer(&json!({"token": TOKEN}).to_string()),
        "GET /v1/health HTTP/1.1" => status(200),
        "GET /v1/rooms/lobby HTTP/1.1" => json_answer(&json!({"id": "lobby", "topic": null}).to_string()),
        "GET /v1/me HTTP/1.1" if head.contains(&format!("Bearer {TOKEN}")) => {
            json_answer(&json!({"name": TOKEN}).to_string())
        }
        _ => status(401),
    };
    let url = serve(reply).await.url;
    let entry = |kind| config::Check {
        name: "x".to_owned(),
        service: None,
        kind,
        headers: Vec::new(),
        expect: config::Expect::default(),
        retries: None,
        writes: false,
        only_warns: false,
        flaky_fails: false,
        line: 7,
    };
    let captures = BTreeMap::from([("token".to_owned(), config::Capture::Json("$.token".to_owned()))]);
    let login = config::Request { url: "/login".to_owned(), captures, ..config::Request::default() };
    let send = BTreeMap::from([("Authorization".to_owned(), "Bearer ${token}".to_owned())]);
    let api = config::Openapi { file: "docs/openapi.yaml".to_owned(), send };
    let entries = [entry(CheckKind::Openapi(api)), entry(CheckKind::Http(login))];
    let asked = async |description: String| {
        let files = |_: &_| Ok(description.as_bytes().to_vec());
        let given = Given { shipped: Shipped::Unknown, variables: &|_| None, files: &files };
        let checks = configured(&entries, &given).unwrap();
        let options = Options { first_wait: Duration::from_millis(1), ..Options::default() };
        shipkit_smoke::run(&url, checks, &options).await.unwrap().checks.remove(0)
    };
    check(&asked(API.to_owned()).await, Verdict::Pass, "3 operations answer as described");
    let wrong = "'200': {description: me, content: {application/json: {schema: {type: object, properties: {name: {type: integer}}}}}}";
    let report = asked(API.replace("'200': {description: me}", wrong)).await;
    check(&report, Verdict::Fail, "1 of 3 operations: `GET /me`: `/name` does not fit the schema");
    assert!(!format!("{report:?}").contains("canary"), "{report:?}");
}
