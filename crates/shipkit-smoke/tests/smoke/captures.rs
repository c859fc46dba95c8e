//! One login feeds many checks, and what it gives is shown nowhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::fixture::{Reply, Server, answer, json, serve, status};
use serde_json::{Value, json};
use shipkit_core::{Secret, Verdict};
use shipkit_smoke::{Capture, Check, Expect, Http, Kind, Method, Options, Report, SmokeError};
use url::Url;

const TOKEN: &str = "tok/en \"1\"";

fn request(name: &str, edit: impl FnOnce(&mut Http)) -> Check {
    let mut http = Http::default();
    edit(&mut http);
    Check { retries: 0, ..Check::new(name, Kind::Http(http)) }
}

/// A login that gives a token, a number and what its header says.
fn login() -> Check {
    request("login", |http| {
        http.method = Method::Post;
        "/login".clone_into(&mut http.path);
        http.body = Some(json!({"user": "eve", "password": "${PASSWORD}"}));
        http.variables = BTreeMap::from([("PASSWORD".to_owned(), Secret::from("hunter2"))]);
        http.captures = BTreeMap::from([
            ("token".to_owned(), Capture::Json("$.access.token".to_owned())),
            ("id".to_owned(), Capture::Json("$.id".to_owned())),
            ("trace".to_owned(), Capture::Header("X-Trace".to_owned())),
        ]);
    })
}

fn user(name: &str) -> Check {
    request(name, |http| {
        "/users/${token}?trace=${trace}".clone_into(&mut http.path);
        http.headers = BTreeMap::from([("X-Id".to_owned(), "n${id}".to_owned())]);
        http.expect.json = BTreeMap::from([("id".to_owned(), Value::from("${id}"))]);
    })
}

/// Gives a token to who logs in; keeps all heads.
async fn shop(login: impl Fn() -> Reply + Send + Sync + 'static) -> (Server, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let server = serve(move |_, head| {
        seen.lock().unwrap().push(head.to_owned());
        if head.starts_with("POST /login") { login() } else { json(r#"{"id": 4711}"#) }
    })
    .await;
    (server, heads)
}

fn token() -> Reply {
    let body = json!({"access": {"token": TOKEN}, "id": 4711}).to_string();
    let head = format!(
        "HTTP/1.1 200 x\r\nx-trace: abcd\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    Reply::Bytes(format!("{head}{body}").into_bytes())
}

async fn run(server: &Server, checks: Vec<Check>) -> Report {
    shipkit_smoke::run(&server.url, checks, &Options::default()).await.unwrap()
}

/// Each check with its verdict and cause.
fn told(report: &Report) -> Vec<(&str, Verdict, &str)> {
    report
        .checks
        .iter()
        .map(|check| (check.name.as_str(), check.outcome.verdict, check.outcome.cause.as_str()))
        .collect()
}

#[tokio::test]
async fn what_is_captured_goes_into_later_requests_and_what_they_expect() {
    let (server, heads) = shop(token).await;
    let report = run(&server, vec![user("a"), login(), user("b")]).await;
    assert_eq!(report.outcome.verdict, Verdict::Pass, "{report:?}");
    let names: Vec<_> = report.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["a", "login", "b"]);
    let heads = heads.lock().unwrap().clone();
    assert!(heads[0].starts_with("POST /login "), "{heads:?}");
    for head in &heads[1..] {
        assert!(head.starts_with("GET /users/tok%2Fen%20%221%22?trace=abcd HTTP"), "{head}");
        assert!(head.contains("x-id: n4711\r\n"), "{head}");
    }
    let user = &report.checks[0];
    assert!(user.url.ends_with("/users/${token}?trace=${trace}"), "{}", user.url);
    assert!(user.repeat.contains("/users/${token}?trace=${trace}'"), "{}", user.repeat);
}

#[tokio::test]
async fn no_report_shows_what_was_captured_or_came_from_the_environment() {
    // It says the token and the password wherever it can, at a place where a long text is cut as well.
    let echo = |head: &str| {
        let long = format!("{}{TOKEN}", "x".repeat(95));
        let body = json!({"id": TOKEN, "cut": long, "password": "hunter2", "raw": head}).to_string();
        answer(200, "application/json", &body)
    };
    let server = serve(move |_, head| if head.starts_with("POST") { token() } else { echo(head) }).await;
    let mut nosy = user("nosy ${token}");
    let Kind::Http(http) = &mut nosy.kind else { panic!("a request") };
    let wanted = ["cut", "password", "raw"].map(|key| (key.to_owned(), Value::from("not ${token}")));
    http.expect.json.extend(wanted);
    http.expect.body = Some("no ${token} here".into());
    http.expect.headers = BTreeMap::from([("content-type".to_owned(), Some("${token}".into()))]);
    // It uses nothing of it, and sees it all the same.
    let stranger = request("stranger", |http| {
        "/".clone_into(&mut http.path);
        http.expect.json = BTreeMap::from([("id".to_owned(), Value::from(1))]);
    });
    let report = run(&server, vec![login(), nosy, stranger]).await;
    assert_eq!(told(&report)[2], ("stranger", Verdict::Fail, "`id` is `\"***\"`, not `1`"));
    assert_eq!(told(&report)[1].1, Verdict::Fail, "{report:?}");
    let shown = format!("{} {:?}", serde_json::to_string(&report).unwrap(), report);
    assert!(shown.contains("***"), "{shown}");
    for part in ["hunter2", "tok/", "tok%2F", "4711", "abcd"] {
        assert!(!shown.contains(part), "{part}: {shown}");
    }
    let mut secrets: Vec<_> = report.secrets.iter().map(Secret::reveal).collect();
    secrets.sort_unstable();
    assert_eq!(secrets, ["4711", "abcd", "hunter2", TOKEN]);
}

#[tokio::test]
async fn who_needs_what_a_failed_check_should_give_is_skipped() {
    let (server, _) = shop(|| status(401)).await;
    let other = request("other", |http| "/other".clone_into(&mut http.path));
    let mut second = user("second");
    let Kind::Http(http) = &mut second.kind else { panic!("a request") };
    http.captures = BTreeMap::from([("more".to_owned(), Capture::Json("$.id".to_owned()))]);
    let third = request("third", |http| "/${more}".clone_into(&mut http.path));
    let report = run(&server, vec![third, second, login(), other]).await;
    let told = told(&report);
    assert_eq!(told[0], ("third", Verdict::Skipped, "needs `second`"));
    assert_eq!(told[1], ("second", Verdict::Skipped, "needs `login`"));
    assert_eq!(told[2], ("login", Verdict::Fail, "status 401"));
    assert_eq!(told[3].1, Verdict::Pass);
    assert_eq!((report.outcome.verdict, report.outcome.cause.as_str()), (Verdict::Fail, "login: status 401"));
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn an_answer_without_what_is_captured_is_a_failure() {
    let (server, _) = shop(|| json(r#"{"access": {"token": ["a"]}, "id": ""}"#)).await;
    let report = run(&server, vec![login(), user("user")]).await;
    let told = told(&report);
    assert_eq!(
        told[0].2,
        "`token` cannot be captured: `$.access.token` is no text, number or truth value; `trace` cannot be captured: header \
         `X-Trace` is missing"
    );
    assert_eq!(told[1].2, "needs `login`");
    // An empty text would ask for another path.
    let (server, _) = shop(|| json(r#"{"id": ""}"#)).await;
    let mut login = login();
    let Kind::Http(http) = &mut login.kind else { panic!("a request") };
    http.captures.retain(|name, _| name == "id");
    let user = request("user", |http| "/users/${id}".clone_into(&mut http.path));
    let report = run(&server, vec![login, user]).await;
    let cause = "`${id}` in the path of check `user` is empty, `.` or `..`, which is no part of a path";
    assert_eq!(report.checks[1].outcome.cause, cause);
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn what_waits_for_nobody_is_asked_side_by_side() {
    // Nobody is answered before all eight are there.
    let barrier = Arc::new(std::sync::Barrier::new(8));
    let waiting = barrier.clone();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let waiting = waiting.clone();
            std::thread::spawn(move || {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
                    head.extend(byte);
                }
                waiting.wait();
                let answer = b"HTTP/1.1 204 x\r\nconnection: close\r\n\r\n";
                std::io::Write::write_all(&mut stream, answer).unwrap();
            });
        }
    });
    let checks = (0..8).map(|n| Check::get(format!("/{n}"))).collect();
    let options = Options { timeout: std::time::Duration::from_mins(1), ..Options::default() };
    // A task may run on any thread, and so may a run.
    let run = tokio::spawn(async move { shipkit_smoke::run(&url, checks, &options).await.unwrap() });
    assert_eq!(run.await.unwrap().outcome.cause, "8 of 8 checks pass");
}

#[tokio::test]
async fn what_cannot_be_filled_is_told_before_anything_is_asked() {
    let (server, _) = shop(token).await;
    let named =
        |path: &str| Check { line: Some(7), ..request("user", |http| path.clone_into(&mut http.path)) };
    let twice = request("again", |http| {
        "/again".clone_into(&mut http.path);
        http.captures = BTreeMap::from([("id".to_owned(), Capture::Header("x".to_owned()))]);
    });
    let own = request("own", |http| {
        "/${own}".clone_into(&mut http.path);
        http.captures = BTreeMap::from([("own".to_owned(), Capture::Json("$".to_owned()))]);
    });
    let nowhere = request("x", |http| {
        http.captures = BTreeMap::from([("a".to_owned(), Capture::Json("token".to_owned()))]);
    });
    let empty = request("x", |http| {
        "/${E}".clone_into(&mut http.path);
        http.variables = BTreeMap::from([("E".to_owned(), Secret::from(""))]);
    });
    for (checks, part) in [
        (vec![login(), named("/${TOKEN}")], "check `user` (line 7) uses `${TOKEN}`, which no check captures"),
        (vec![named("/${x")], "check `user` (line 7) has a `${` that no name"),
        (vec![login(), twice], "check `again` captures `id`, and so does `login`"),
        (vec![own], "checks wait for what each other capture: `own` needs `own`"),
        (vec![nowhere], "check `x` captures from nowhere: `token` is no JSONPath"),
        (vec![empty], "`${E}` in the path of check `x` is empty"),
    ] {
        let error = shipkit_smoke::run(&server.url, checks.clone(), &Options::default()).await.unwrap_err();
        assert!(error.to_string().starts_with(part), "{error}");
        let same = shipkit_smoke::validate(&server.url, &checks, &Options::default()).unwrap_err();
        assert_eq!(same.to_string(), error.to_string());
        assert_eq!(shipkit_core::Hint::exit_code(&error), shipkit_core::exit::ExitCode::Usage);
    }
    assert_eq!(server.asked(), 0);
    let own = Expect { body: Some("${x".into()), ..Expect::default() };
    let checks = vec![request("user", |http| http.expect = own)];
    let error = shipkit_smoke::run(&server.url, checks, &Options::default()).await.unwrap_err();
    assert!(matches!(error, SmokeError::Broken { .. }), "{error}");
}
