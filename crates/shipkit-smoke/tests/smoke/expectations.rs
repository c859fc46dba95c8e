//! What is expected of answers, by requests to a server that gives them.

use std::collections::BTreeMap;

use crate::fixture::{Server, answer, json, serve};
use serde_json::{Value, json};
use shipkit_core::{Outcome, Secret, Verdict};
use shipkit_smoke::{Capture, Check, Expect, Http, Kind, Options, SmokeError, Statuses};

fn get(expect: Expect) -> Check {
    let kind = Kind::Http(Http { path: "/".to_owned(), expect, ..Http::default() });
    Check { retries: 0, ..Check::new("get", kind) }
}

async fn outcome(server: &Server, expect: Expect) -> Outcome {
    let report = shipkit_smoke::run(&server.url, vec![get(expect)], &Options::default()).await.unwrap();
    report.checks.into_iter().next().unwrap().outcome
}

fn values(values: &[(&str, Value)]) -> Expect {
    let json = values.iter().map(|(place, value)| ((*place).to_owned(), value.clone())).collect();
    Expect { json, ..Expect::default() }
}

async fn orders() -> Server {
    serve(|_, _| json(r#"{"orders": [{"id": 1, "price": 9.5}, {"id": 2, "price": 20}], "next": null}"#)).await
}

#[tokio::test]
async fn values_are_compared_at_paths_of_both_kinds() {
    let server = orders().await;
    let good = values(&[
        ("$.orders[*]", json!({"count": 2, "type": "object"})),
        ("$.orders[?@.price > 10].id", json!(2)),
        ("$..price", json!({"over": 9, "under": 21})),
        ("$.gone", json!({"exists": false})),
        ("orders", json!({"count": {"over": 1}})),
        ("orders.0.id", json!({"not": 2})),
        ("next", json!(null)),
    ]);
    assert_eq!(outcome(&server, good).await.verdict, Verdict::Pass);
    let bad = values(&[
        ("$..price", json!({"under": 10})),
        ("$.orders[*]", json!({"count": 3})),
        ("$.gone", json!({"type": "string"})),
        ("next", json!({"not": null})),
    ]);
    let cause = "`$..price` is `20`, not under 10; `$.gone` is missing; `$.orders[*]` has a number of places that is `2`, \
                 not `3`; `next` is `null`, which is ruled out";
    assert_eq!(outcome(&server, bad).await, Outcome::fail(cause));
}

#[tokio::test]
async fn elements_of_a_page_are_compared() {
    let page = "<title>Shop</title><meta name=version content=1.4.0><ul><li>rye<li>wheat</ul><p class=error>out of bread";
    let server = serve(|_, _| answer(200, "text/html", page)).await;
    let expect = |wanted: &[(&str, Value)]| {
        let html = wanted.iter().map(|(selector, value)| ((*selector).to_owned(), value.clone())).collect();
        Expect { html, ..Expect::default() }
    };
    let good = expect(&[
        ("title", json!("Shop")),
        ("li", json!({"count": 2, "matches": "[ey]"})),
        ("meta[name=version]::attr(content)", json!({"matches": "^1\\."})),
        ("h1", json!({"exists": false})),
    ]);
    assert_eq!(outcome(&server, good).await.verdict, Verdict::Pass);
    let bad = expect(&[
        (".error", json!({"exists": false})),
        ("h1", json!("Bread")),
        ("li", json!("rye")),
        ("title", json!({"not": "Shop"})),
    ]);
    let cause = "`.error` is there; `h1` is missing; `li` is `wheat`, not `rye`; `title` is `Shop`, which is ruled out";
    assert_eq!(outcome(&server, bad).await, Outcome::fail(cause));
}

#[tokio::test]
async fn a_status_may_be_one_of_several() {
    let server = serve(|_, _| answer(404, "text/plain", "gone")).await;
    let expect = |text: &str| Expect { status: Some(text.parse::<Statuses>().unwrap()), ..Expect::default() };
    assert_eq!(outcome(&server, expect("4xx")).await.verdict, Verdict::Pass);
    assert_eq!(outcome(&server, expect("3xx")).await, Outcome::fail("status 404, not 3xx"));
}

#[tokio::test]
async fn headers_and_bodies_take_matchers() {
    let server = serve(|_, _| answer(200, "text/html; charset=utf-8", "abc")).await;
    let expect = |kind: Value, body: Value| Expect {
        headers: BTreeMap::from([
            ("content-type".to_owned(), Some(kind)),
            ("x-powered-by".to_owned(), Some(json!({"exists": false}))),
        ]),
        body: Some(body),
        ..Expect::default()
    };
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let good =
        expect(json!({"matches": "^text/html\\b"}), json!({"sha256": hash, "size": 3, "not": "error"}));
    assert_eq!(outcome(&server, good).await.verdict, Verdict::Pass);
    let bad = expect(json!({"contains": "json"}), json!({"size": {"over": 3}}));
    let cause = "header `content-type` is `text/html; charset=utf-8`, without `json`; the body has a size that is `3`, not over 3";
    assert_eq!(outcome(&server, bad).await, Outcome::fail(cause));
}

#[tokio::test]
async fn a_body_that_is_not_read_to_its_end_has_no_size() {
    let long = "x".repeat(1024 * 1024 + 1);
    let server = serve(move |_, _| answer(200, "text/plain", &long)).await;
    let expect = |body: Value| Expect { body: Some(body), ..Expect::default() };
    let cause = "the body is larger than 1048576 bytes";
    assert_eq!(outcome(&server, expect(json!({"size": 1_048_577}))).await, Outcome::fail(cause));
    assert_eq!(outcome(&server, expect(json!({"not": "y"}))).await, Outcome::fail(cause));
    assert_eq!(outcome(&server, expect(json!("xx"))).await.verdict, Verdict::Pass);
}

#[tokio::test]
async fn a_body_has_to_fit_its_schema() {
    let server = orders().await;
    let expect = |price: &str| Expect {
        schema: Some(
            json!({"properties": {"orders": {"items": {"properties": {"price": {"type": price}}}}}}),
        ),
        ..Expect::default()
    };
    assert_eq!(outcome(&server, expect("number")).await.verdict, Verdict::Pass);
    let found = outcome(&server, expect("integer")).await;
    assert_eq!(found.verdict, Verdict::Fail);
    assert!(
        found.cause.starts_with("`/orders/0/price` does not fit the schema: 9.5 is not"),
        "{}",
        found.cause
    );
}

#[tokio::test]
async fn a_captured_text_stands_for_itself_in_a_pattern() {
    let server = serve(|_, head| {
        json(if head.starts_with("GET /login") {
            r#"{"name": "a.b"}"#
        } else {
            r#"{"names": ["a.b", "axb"]}"#
        })
    })
    .await;
    let mut login = get(Expect::default());
    let Kind::Http(http) = &mut login.kind else { panic!("a request") };
    "/login".clone_into(&mut http.path);
    http.captures = BTreeMap::from([("name".to_owned(), Capture::Json("$.name".to_owned()))]);
    http.variables = BTreeMap::from([("unused".to_owned(), Secret::from("x"))]);
    let names = get(values(&[("$.names[0]", json!({"matches": "^${name}$"}))]));
    let others = get(values(&[("$.names[1]", json!({"matches": "^${name}$"}))]));
    let report =
        shipkit_smoke::run(&server.url, vec![login, names, others], &Options::default()).await.unwrap();
    let verdicts: Vec<_> = report.checks.iter().map(|check| check.outcome.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass, Verdict::Fail]);
}

#[tokio::test]
async fn what_cannot_be_compared_is_told_before_anything_is_asked() {
    let server = orders().await;
    let header = Expect {
        headers: BTreeMap::from([("a".to_owned(), Some(json!({"type": "x"})))]),
        ..Expect::default()
    };
    let body = Expect { body: Some(json!({"matches": "("})), ..Expect::default() };
    let html = Expect { html: BTreeMap::from([("a[".to_owned(), json!("x"))]), ..Expect::default() };
    let schema = Expect { schema: Some(json!({"$ref": "https://127.0.0.1:1/x"})), ..Expect::default() };
    for (expect, part) in [
        (values(&[("$.a[", json!(1))]), "`$.a[` is no JSONPath (RFC 9535)"),
        (values(&[("a", json!({"over": 1, "undr": 2}))]), "`expect.json.a`: `undr` beside `over` is none of"),
        (header, "`headers.a`: `type` is `\"x\"`, which is not one of"),
        (body, "`expect.body`: `matches` is `\"(\"`, which is not a pattern"),
        (html, "`a[` is no CSS selector: "),
        (schema, "`expect.schema`: "),
    ] {
        let error =
            shipkit_smoke::run(&server.url, vec![get(expect)], &Options::default()).await.unwrap_err();
        assert!(matches!(&error, SmokeError::Expected { why, .. } if why.starts_with(part)), "{error}");
        assert_eq!(shipkit_core::Hint::exit_code(&error), shipkit_core::exit::ExitCode::Usage);
    }
    assert_eq!(server.asked(), 0);
}
