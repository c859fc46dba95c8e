//! `run` against servers that misbehave.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fixture::{Reply, Server, answer, json, nobody, serve, status};
use serde_json::Value;
use shipkit_core::{Outcome, Verdict};
use shipkit_smoke::{
    Check, Class, Expect, Http, Kind, Marked, Method, Options, READY_PATHS, Report, SmokeError, Wanted, meet,
};
use url::Url;

fn quick() -> Options {
    Options {
        deadline: Duration::from_secs(20),
        timeout: Duration::from_secs(5),
        between: Duration::from_millis(1),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        ..Options::default()
    }
}

fn soon() -> Options {
    Options { deadline: Duration::from_millis(300), timeout: Duration::from_millis(300), ..quick() }
}

async fn run(url: &Url, checks: Vec<Check>, options: &Options) -> Report {
    shipkit_smoke::run(url, checks, options).await.unwrap()
}

async fn outcome(server: &Server, check: Check, options: &Options) -> Outcome {
    run(&server.url, vec![check], options).await.checks.remove(0).outcome
}

#[track_caller]
fn check(outcome: &Outcome, verdict: Verdict, part: &str) {
    assert_eq!(outcome.verdict, verdict, "{outcome:?}");
    assert!(outcome.cause.contains(part), "{outcome:?}");
}

fn ready() -> Check {
    Check::ready(["/health"])
}

fn release() -> Check {
    Check::release("/version", Wanted::from_text("aaaaaaaaaaaa"))
}

fn get(expect: Expect) -> Check {
    Check::new("get", Kind::Http(Http { path: "/x".to_owned(), expect, ..Http::default() }))
}

#[tokio::test]
async fn no_check_at_all_shows_nothing() {
    let report = run(&nobody().await, Vec::new(), &quick()).await;
    assert_eq!(report.outcome.verdict, Verdict::Inconclusive);
}

#[tokio::test]
async fn ready_after_some_tries_and_then_three_times_in_a_row() {
    let server = serve(|n, _| status(if n < 3 { 503 } else { 200 })).await;
    check(&outcome(&server, ready(), &quick()).await, Verdict::Pass, "3 good answers");
    assert_eq!(server.asked(), 6);
}

#[tokio::test]
async fn a_flapping_service_never_is_ready() {
    let server = serve(|n, _| status(if n % 3 == 2 { 503 } else { 200 })).await;
    check(&outcome(&server, ready(), &soon()).await, Verdict::Fail, "not ready after");
}

#[tokio::test]
async fn who_is_not_let_in_is_not_asked_again() {
    for refusal in [401, 403, 302] {
        let server = serve(move |_, _| status(refusal)).await;
        check(&outcome(&server, ready(), &quick()).await, Verdict::Fail, &format!("status {refusal}"));
        assert_eq!(server.asked(), 1);
    }
}

#[tokio::test]
async fn a_page_on_every_path_is_not_taken_for_a_health_path() {
    let server = serve(|_, head| match head.split(' ').nth(1) {
        Some("/healthz") => json("{}"),
        _ => answer(200, "text/html", "<!doctype html>"),
    })
    .await;
    let report = run(&server.url, vec![Check::ready(READY_PATHS)], &quick()).await;
    assert!(report.checks[0].url.ends_with("/healthz"), "{}", report.checks[0].url);
}

#[tokio::test]
async fn nobody_listening_is_a_fail() {
    let report = run(&nobody().await, vec![ready()], &soon()).await;
    check(&report.outcome, Verdict::Fail, "efused");
}

#[tokio::test]
async fn a_target_without_a_sign_of_life_is_not_a_fail_unless_the_network_works() {
    let nowhere: Url = "http://shop.invalid".parse().unwrap();
    check(&run(&nowhere, vec![ready()], &soon()).await.outcome, Verdict::Inconclusive, "no sign of life");
    let works = Options { control: Some(serve(|_, _| status(404)).await.url), ..soon() };
    check(&run(&nowhere, vec![ready()], &works).await.outcome, Verdict::Fail, "the network from here works");
    let broken = Options { control: Some("http://control.invalid".parse().unwrap()), ..soon() };
    check(&run(&nowhere, vec![ready()], &broken).await.outcome, Verdict::Unreachable, "does not work");
}

#[tokio::test]
async fn the_old_release_on_every_third_answer_is_not_the_new_release() {
    let says = |n: usize| if n % 3 == 2 { "bbbbbbb" } else { "aaaaaaa" };
    let server = serve(move |n, _| json(&format!(r#"{{"build":{{"commit":"{}"}}}}"#, says(n)))).await;
    let report = run(&server.url, vec![release()], &soon()).await;
    let check = &report.checks[0];
    assert_eq!(check.outcome.verdict, Verdict::Fail, "{check:?}");
    assert_eq!(check.attempts[0].seen, "mixed: 14 answers are `aaaaaaa`, 6 are `bbbbbbb`");
}

#[tokio::test]
async fn a_release_that_nobody_expects_fails_at_once() {
    let server =
        serve(|n, _| json(&format!(r#"{{"commit": "{}"}}"#, ["b", "b", "c"][n.min(2)].repeat(12)))).await;
    let cause = "`cccccccccccc` answers, which is neither the release that was shipped nor `bbbbbbbbbbbb`, which answered before";
    let found = outcome(&server, release(), &quick()).await;
    check(&found, Verdict::Fail, cause);
    assert_eq!(server.asked(), 3);
}

#[tokio::test]
async fn the_new_release_is_waited_for_and_seen_on_twenty_new_connections() {
    let says = |n: usize| if n < 5 { "bbbbbbb" } else { "aaaaaaa" };
    let server = serve(move |n, _| json(&format!(r#"{{"git_sha":"{}"}}"#, says(n)))).await;
    check(&outcome(&server, release(), &quick()).await, Verdict::Pass, "`aaaaaaa` answers on 20 of 20");
    assert_eq!(server.asked(), 25);
}

#[tokio::test]
async fn a_page_is_no_version() {
    let server = serve(|_, _| answer(200, "text/html", "<p>aaaaaaaaaaaa</p>")).await;
    check(&outcome(&server, release(), &soon()).await, Verdict::Fail, "no JSON (`text/html`)");
}

#[tokio::test]
async fn later_stages_are_skipped_when_a_gate_before_them_fails() {
    let server = serve(|_, _| status(401)).await;
    let report = run(&server.url, vec![Check::get("/"), release(), ready()], &quick()).await;
    let verdicts: Vec<_> =
        report.checks.iter().map(|check| (check.name.as_str(), check.outcome.verdict)).collect();
    assert_eq!(
        verdicts,
        [("ready", Verdict::Fail), ("release", Verdict::Skipped), ("get /", Verdict::Skipped)]
    );
    check(&report.outcome, Verdict::Fail, "ready: status 401");
}

#[tokio::test]
async fn every_part_that_is_wrong_is_named() {
    let server = serve(|_, _| json(r#"{"status":"down","n":1}"#)).await;
    let expect = Expect {
        headers: BTreeMap::from([("x-frame-options".to_owned(), None)]),
        json: BTreeMap::from([("status".to_owned(), Value::from("ok")), ("n".to_owned(), Value::from(1))]),
        body: Some("healthy".into()),
        ..Expect::default()
    };
    let expected = "header `x-frame-options` is missing; `status` is `\"down\"`, not `\"ok\"`; \
                    the body does not hold `healthy` (3 times)";
    assert_eq!(outcome(&server, get(expect), &quick()).await, Outcome::fail(expected));
}

#[tokio::test]
async fn a_pass_after_a_retry_is_marked() {
    let server = serve(|n, _| status(if n == 0 { 502 } else { 200 })).await;
    let report = run(&server.url, vec![Check::get("/")], &quick()).await;
    assert_eq!((report.outcome.verdict, report.checks[0].is_flaky), (Verdict::Pass, true));
    assert_eq!(report.checks[0].attempts[0].seen, "status 502");
}

#[tokio::test]
async fn a_pass_after_a_retry_is_a_failure_where_that_is_said() {
    let server = serve(|n, _| status(if n == 0 { 502 } else { 200 })).await;
    let strict = Check { flaky_fails: true, ..Check::get("/") };
    let report = run(&server.url, vec![strict.clone()], &quick()).await;
    check(&report.outcome, Verdict::Fail, "get /: good only after a retry: status 502");
    assert_eq!((report.checks[0].is_flaky, report.checks[0].class), (false, Some(Class::Status(502))));
    assert_eq!(server.asked(), 2);
    let server = serve(|_, _| status(200)).await;
    check(&outcome(&server, strict, &quick()).await, Verdict::Pass, "");
}

#[tokio::test]
async fn a_post_that_may_have_had_an_effect_is_not_sent_again() {
    let server = serve(|_, _| status(500)).await;
    let http =
        Http { method: Method::Post, path: "/x".to_owned(), body: Some(Value::from("a")), ..Http::default() };
    check(
        &outcome(&server, Check::new("post", Kind::Http(http)), &quick()).await,
        Verdict::Fail,
        "status 500",
    );
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server =
        serve(|_, _| Reply::Bytes(b"HTTP/1.1 302 x\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n".to_vec()))
            .await;
    check(&outcome(&server, Check::get("/x"), &quick()).await, Verdict::Fail, "status 302 (to `/x`)");
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_connection_that_ends_in_the_middle_of_a_body_is_a_reset() {
    let head = b"HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\nhalf".to_vec();
    let cut = head.clone();
    let server = serve(move |_, _| Reply::Bytes(cut.clone())).await;
    check(&outcome(&server, Check::get("/"), &quick()).await, Verdict::Fail, "3 times");
    let server = serve(move |_, _| Reply::Reset(head.clone())).await;
    check(&outcome(&server, Check::get("/"), &quick()).await, Verdict::Fail, "3 times");
}

#[tokio::test]
async fn a_body_without_end_is_read_to_one_mebibyte() {
    let server =
        serve(|_, _| Reply::Endless(b"HTTP/1.1 200 x\r\ncontent-length: 1073741824\r\n\r\n".to_vec())).await;
    check(&outcome(&server, Check::get("/"), &quick()).await, Verdict::Pass, "status 200");
    let once = Options { timeout: Duration::from_mins(1), ..soon() };
    check(&outcome(&server, release(), &once).await, Verdict::Fail, "larger than 1048576");
}

#[tokio::test]
async fn header_bombs_and_other_nonsense_end_in_a_verdict() {
    let many = format!("HTTP/1.1 200 x\r\n{}\r\n", "a: b\r\n".repeat(10_000));
    let large = format!("HTTP/1.1 200 x\r\na: {}\r\n\r\n", "b".repeat(4_000_000));
    for bytes in [many.into_bytes(), large.into_bytes(), b"\xff\xfe\x00nonsense\r\n\r\n".to_vec(), Vec::new()]
    {
        let server = serve(move |_, _| Reply::Bytes(bytes.clone())).await;
        check(&outcome(&server, Check::get("/"), &quick()).await, Verdict::Fail, "");
    }
}

#[tokio::test]
async fn a_body_that_is_not_text_is_only_wrong() {
    let body = b"HTTP/1.1 200 x\r\ncontent-encoding: gzip\r\n\r\n\xff\xfe".to_vec();
    let server = serve(move |_, _| Reply::Bytes(body.clone())).await;
    let expect = Expect { body: Some("x".into()), ..Expect::default() };
    check(&outcome(&server, get(expect), &quick()).await, Verdict::Fail, "does not hold `x`");
}

#[tokio::test]
async fn no_answer_is_waited_for_only_so_long() {
    let server = serve(|_, _| Reply::Silence).await;
    let expect = Expect { within: Some(Duration::from_millis(20)), ..Expect::default() };
    check(&outcome(&server, get(expect), &quick()).await, Verdict::Fail, "no whole answer within 20");
}

#[tokio::test]
async fn what_cannot_be_asked_is_an_error_before_anything_is_asked() {
    let server = serve(|_, _| status(200)).await;
    let wrong =
        [Check::get("ftp://x/"), Check::ready(Vec::<String>::new()), Check::release("/v", Wanted::default())];
    for wrong in wrong {
        let ended = shipkit_smoke::run(&server.url, vec![ready(), wrong], &quick()).await;
        assert!(matches!(ended, Err(SmokeError::Address { .. } | SmokeError::WhichRelease(_))), "{ended:?}");
    }
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a_password_in_the_address_is_in_no_report() {
    let server = serve(|_, _| status(401)).await;
    let mut url = server.url.clone();
    url.set_username("me").unwrap();
    url.set_password(Some("hunter2")).unwrap();
    let report = run(&url, vec![ready()], &quick()).await;
    assert!(!serde_json::to_string(&report).unwrap().contains("hunter2"));
}

/// Who is meant where two answer at one address.
fn marked(options: Options) -> Options {
    let marked = Marked { header: "X-Which".to_owned(), ask: "w0rd".into(), answer: "new".to_owned() };
    Options { marked: Some(marked), ..options }
}

/// Two of them: one that is ready, and one that says 500 to those who ask for it, from this request on.
async fn two(from: usize) -> Server {
    serve(move |n, head| {
        let is_asked = head.lines().any(|line| line.eq_ignore_ascii_case("x-which: w0rd"));
        if from <= n && is_asked {
            let head = "HTTP/1.1 500 x\r\nx-which: new\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            Reply::Bytes(head.to_owned().into_bytes())
        } else {
            status(200)
        }
    })
    .await
}

#[tokio::test]
async fn who_is_meant_is_waited_for_and_met_whatever_it_says() {
    let server = two(3).await;
    check(&meet(&server.url, &marked(quick())).await.unwrap(), Verdict::Pass, "status 500");
    assert_eq!(server.asked(), 4);
    let server = two(usize::MAX).await;
    let never = meet(&server.url, &marked(soon())).await.unwrap();
    check(&never, Verdict::Inconclusive, "another answered (status 200), without the header `x-which`");
}

#[tokio::test]
async fn what_another_answers_is_no_answer() {
    let server = two(0).await;
    check(&outcome(&server, ready(), &marked(soon())).await, Verdict::Fail, "status 500");
    check(&outcome(&server, ready(), &quick()).await, Verdict::Pass, "3 good answers");
    let server = two(usize::MAX).await;
    let report = run(&server.url, vec![get(Expect::default())], &marked(quick())).await;
    assert_eq!(report.checks[0].class, Some(Class::Elsewhere), "{report:?}");
    assert!(!serde_json::to_string(&report).unwrap().contains("w0rd"));
    // One that is posted may have had an effect there.
    let post = Http { method: Method::Post, path: "/x".to_owned(), ..Http::default() };
    let server = two(usize::MAX).await;
    outcome(&server, Check::new("post", Kind::Http(post)), &marked(quick())).await;
    assert_eq!(server.asked(), 1);
}
