//! `smoke-test import`: what is made of a Hurl file gives the verdicts that Hurl itself gives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};

/// What stands below a request, and whether the shop answers so.
const CASES: &[(bool, &str)] = &[
    (true, "HTTP 200"),
    (false, "HTTP 201"),
    (true, "HTTP *"),
    (true, "HTTP/1.1 200"),
    (true, "HTTP 200\nX-Kind: shop"),
    (false, "HTTP 200\nX-Kind: shops"),
    (false, "HTTP 200\nX-Other: shop"),
    (true, "HTTP *\n[Asserts]\nstatus < 300\nstatus >= 200"),
    (false, "HTTP *\n[Asserts]\nstatus > 299"),
    (true, "HTTP 200\n[Asserts]\nheader \"x-kind\" == \"shop\""),
    (false, "HTTP 200\n[Asserts]\nheader \"X-Kind\" != \"shop\""),
    (true, "HTTP 200\n[Asserts]\nheader \"X-Kind\" exists"),
    (false, "HTTP 200\n[Asserts]\nheader \"X-Kind\" not exists"),
    (true, "HTTP 200\n[Asserts]\nheader \"X-None\" not exists"),
    (true, "HTTP 200\n[Asserts]\nheader \"X-Count\" toInt > 11"),
    (false, "HTTP 200\n[Asserts]\nheader \"X-Count\" toInt <= 11"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.id\" == 7"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.id\" == \"7\""),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.text\" == 7"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.text\" == \"7\""),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.id\" != 8"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.none\" != 8"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.price\" > 2.4"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.price\" > 2.5"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.price\" >= 2.5"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.price\" < 2.5"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.price\" <= 2.5"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.text\" > 1"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.text\" >= 1"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.flag\" == true"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.flag\" == false"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.nothing\" == null"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.nothing\" exists"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.none\" not exists"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.none\" exists"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.name\" startsWith \"A.n\""),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.name\" startsWith \"Ann\""),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.name\" endsWith \"n (x)\""),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.name\" contains \".\""),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.name\" not contains \".\""),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.name\" matches \"^A.n \\\\(x\\\\)$\""),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.name\" matches /n \\(x/"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.name\" matches /^n/"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.tags\" count == 2"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.tags\" count > 2"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.tags\" count >= 2"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.tags[*]\" count == 2"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.tags\" contains \"a\"\njsonpath \"$.tags\" contains \"b\""),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.tags\" contains \"a\"\njsonpath \"$.tags\" contains \"c\""),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.tags\" nth 1 == \"b\""),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.tags\" nth 0 == \"b\""),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.empty\" isEmpty"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.tags\" isEmpty"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.nested['a.b']\" == 1"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.id\" isInteger"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.price\" isInteger"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.price\" isFloat"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.id\" isFloat"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.flag\" isBoolean"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.id\" isString"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.uuid\" isUuid"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.name\" isUuid"),
    (true, "HTTP 200\n[Asserts]\nbody contains \"A.n\"\nbody contains \"uuid\""),
    (false, "HTTP 200\n[Asserts]\nbody contains \"A.n\"\nbody contains \"nowhere\""),
    (true, "HTTP 200\n[Asserts]\nbody matches /\"id\":\\d,/"),
    (true, "HTTP 200\n[Asserts]\nbytes count > 100"),
    (false, "HTTP 200\n[Asserts]\nbytes count == 1"),
    (
        false,
        "HTTP 200\n[Asserts]\nsha256 == hex,ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad;",
    ),
    (true, "HTTP 200\n[Asserts]\nduration < 60000"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.id\" == {{seven}}"),
    (false, "HTTP 200\n[Asserts]\njsonpath \"$.id\" == {{eight}}"),
    (true, "HTTP 200\n[Asserts]\njsonpath \"$.name\" startsWith \"{{begin}}\""),
    (false, "HTTP 200\n{\"id\": 7}"),
];

/// Variables of the environment.
const VARIABLES: [(&str, &str); 3] = [("seven", "7"), ("eight", "8"), ("begin", "A.n")];

/// A service that answers `/shop` always so, and `/echo` with what it was asked; returns its address.
async fn shop() -> String {
    let body = json!({
        "id": 7, "text": "7", "name": "A.n (x)", "price": 2.5, "tags": ["a", "b"], "empty": [], "nothing": null, "flag": true,
        "nested": {"a.b": 1}, "uuid": "0b8a3f5e-6c1d-4e2a-9f00-112233445566"
    });
    let shop = || async { ([("x-kind", "shop"), ("x-count", "12")], axum::Json(body)) };
    let echo = |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
        let kept = ["accept-language", "authorization", "content-type", "cookie", "x-own"];
        let header = |name: &&str| Some(format!("{name}={}", headers.get(*name)?.to_str().unwrap()));
        let headers: Vec<_> = kept.iter().filter_map(header).collect();
        let body = String::from_utf8(body.to_vec()).unwrap();
        axum::Json(
            json!({"method": method.as_str(), "query": uri.query(), "headers": headers, "body": body, "token": "t-1"}),
        )
    };
    let app = Router::new()
        .route("/health", axum::routing::get(|| async { StatusCode::NO_CONTENT }))
        .route("/shop", axum::routing::get(shop))
        .route("/echo", axum::routing::any(echo));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn smoke(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smoke-test"));
    command.env_clear().current_dir(folder).env("GITHUB_WORKSPACE", folder).args(args).envs(VARIABLES);
    command
}

/// What `run` finds of what `import` makes of these files: by the name of a check whether it passed; and what `import` says.
async fn ours(folder: &Path, url: &str, files: &[String]) -> (BTreeMap<String, bool>, String) {
    let names: Vec<&str> = std::iter::once("import").chain(files.iter().map(String::as_str)).collect();
    let made = output(smoke(folder, &names)).await;
    let told = String::from_utf8(made.stderr).unwrap();
    assert!(made.status.success(), "{told}");
    let yaml = String::from_utf8(made.stdout).unwrap();
    let checks: String = yaml.lines().flat_map(|line| ["    ", line, "\n"]).collect();
    let config = format!(
        "version: 1\nname: shop\nservices: {{api: {{build: {{}}}}}}\nenvironments:\n  staging:\n    url: {url}\n{checks}  production: {{needs: staging}}\n"
    );
    std::fs::write(folder.join("shipkit.yml"), config).unwrap();
    let run = output(smoke(folder, &["--json", "run", "--environment", "staging"])).await;
    let report: Value = serde_json::from_slice(&run.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {yaml}", String::from_utf8_lossy(&run.stderr)));
    let verdict =
        |check: &Value| (check["name"].as_str().unwrap().to_owned(), check["outcome"]["verdict"] == "pass");
    (report["checks"].as_array().unwrap().iter().map(verdict).collect(), told)
}

/// Whether Hurl is content with each of the files.
async fn hurl(folder: &Path, files: &[String]) -> Vec<bool> {
    let program = std::env::var_os("HURL_PROGRAM").expect("`scripts/bed up hurl` says where it is");
    let mut command = Command::new(program);
    command.current_dir(folder).args(["--test", "--report-json", "report"]).args(files);
    for (name, value) in VARIABLES {
        command.arg("--variable").arg(format!("{name}={value}"));
    }
    let ended = output(command).await;
    let report = std::fs::read(folder.join("report/report.json"))
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&ended.stderr)));
    let report: Value = serde_json::from_slice(&report).unwrap();
    let by_name: BTreeMap<&str, bool> = report
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["filename"].as_str().unwrap(), one["success"] == true))
        .collect();
    files.iter().map(|file| by_name.get(file.as_str()).copied().unwrap_or(false)).collect()
}

#[tokio::test]
async fn the_verdicts_are_those_of_hurl() {
    let (folder, url) = (tempfile::tempdir().unwrap(), shop().await);
    let mut files = Vec::new();
    for (number, (_, text)) in CASES.iter().enumerate() {
        let name = format!("{number}.hurl");
        std::fs::write(folder.path().join(&name), format!("GET {url}/shop?case={number}\n{text}\n")).unwrap();
        files.push(name);
    }
    let (found, told) = ours(folder.path(), &url, &files).await;
    let theirs = hurl(folder.path(), &files).await;
    let mut wrong = Vec::new();
    for (number, (is_good, text)) in CASES.iter().enumerate() {
        let seen = found.get(&format!("get /shop?case={number}"));
        let their = theirs[number];
        if seen != Some(is_good) || their != *is_good {
            wrong.push(format!("{text}: ours {seen:?}, theirs {their}, expected {is_good}"));
        }
    }
    assert!(wrong.is_empty(), "{}\n{told}", wrong.join("\n"));
    let left_out: Vec<&str> = told.lines().filter(|line| line.contains("left out: ")).collect();
    assert_eq!(left_out.len(), 1, "only the version of HTTP: {left_out:?}");
}

/// What a request says, as `/echo` repeats it, is what Hurl says. The second value is what the answer has to be.
#[tokio::test]
async fn the_requests_are_those_of_hurl() {
    let (folder, url) = (tempfile::tempdir().unwrap(), shop().await);
    let expected = |method: &str, query: Option<&str>, headers: &[&str], body: &str| {
        json!({"method": method, "query": query, "headers": headers, "body": body, "token": "t-1"})
            .to_string()
    };
    let json = r#"{"a":1,"b":["x"]}"#;
    let form = "content-type=application/x-www-form-urlencoded";
    let cases = [
        (
            "GET {url}/echo?a=1\n[Query]\nbc: d&e=\nx: {{seven}}",
            expected("GET", Some("a=1&bc=d%26e%3D&x=7"), &[], ""),
        ),
        (
            "POST {url}/echo\n[Form]\nab: c&d e\nx: {{seven}}",
            expected("POST", None, &[form], "ab=c%26d%20e&x=7"),
        ),
        (
            "PUT {url}/echo\nX-Own: a b\n[Cookies]\na: b\nc: d",
            expected("PUT", None, &["cookie=a=b; c=d", "x-own=a b"], ""),
        ),
        (
            "PATCH {url}/echo\n{\"a\":1,\"b\":[\"x\"]}",
            expected("PATCH", None, &["content-type=application/json"], json),
        ),
        ("POST {url}/echo\n```\none {{seven}}\ntwo\n```", expected("POST", None, &[], "one 7\ntwo\n")),
        ("POST {url}/echo\n`one\\ntwo`", expected("POST", None, &[], "one\ntwo")),
        ("POST {url}/echo\nbase64,aGVsbG8=;", expected("POST", None, &[], "hello")),
        (
            "POST {url}/echo\nContent-Type: text/plain\nhex,6865;",
            expected("POST", None, &["content-type=text/plain"], "he"),
        ),
        (
            "DELETE {url}/echo\n<a>\n  <b/>\n</a>",
            expected("DELETE", None, &["content-type=application/xml"], "<a>\n  <b/>\n</a>"),
        ),
        (
            "POST {url}/echo\n{\"n\": {{seven}}}",
            expected("POST", None, &["content-type=application/json"], "{\"n\": 7}"),
        ),
        ("OPTIONS {url}/echo", expected("OPTIONS", None, &[], "")),
    ];
    let mut files = Vec::new();
    for (number, (request, answer)) in cases.iter().enumerate() {
        let name = format!("{number}.hurl");
        // In one line, so that the answer is compared as it comes.
        let text = format!(
            "{}\nHTTP 200\n[Asserts]\nbody == `{}`\n",
            request.replace("{url}", &url),
            answer.replace('\\', "\\\\")
        );
        std::fs::write(folder.path().join(&name), text).unwrap();
        files.push(name);
    }
    let (found, told) = ours(folder.path(), &url, &files).await;
    let wrong: Vec<_> = found.iter().filter(|(_, is_good)| !**is_good).collect();
    assert!(wrong.is_empty() && found.len() == cases.len() + 1, "{wrong:?} of {}: {told}", found.len());
    assert_eq!(hurl(folder.path(), &files).await, vec![true; cases.len()]);
}

#[tokio::test]
async fn what_is_captured_is_used_and_a_failed_login_is_passed_on() {
    let (folder, url) = (tempfile::tempdir().unwrap(), shop().await);
    let login = |status: u16| {
        format!(
            "POST {url}/echo?login={status}\n{{\"user\": \"a\"}}\nHTTP {status}\n[Captures]\ntoken: jsonpath \"$.token\"\n\
             GET {url}/echo?after={status}\nAuthorization: Bearer {{{{token}}}}\nHTTP 200\n[Asserts]\n\
             jsonpath \"$.headers\" contains \"authorization=Bearer t-1\"\n"
        )
    };
    let files = ["good.hurl".to_owned(), "bad.hurl".to_owned()];
    std::fs::write(folder.path().join(&files[0]), login(200)).unwrap();
    std::fs::write(folder.path().join(&files[1]), login(201)).unwrap();
    let (found, told) = ours(folder.path(), &url, &files).await;
    for (name, is_good) in [
        ("post /echo?login=200", true),
        ("get /echo?after=200", true),
        ("post /echo?login=201", false),
        ("get /echo?after=201", false),
    ] {
        assert_eq!(found.get(name), Some(&is_good), "{name}: {found:?} {told}");
    }
    assert_eq!(hurl(folder.path(), &files).await, [true, false]);
}

#[tokio::test]
async fn what_is_no_file_of_the_two_is_asked_wrongly_and_what_gives_no_check_is_no() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text, exit, part) in [
        ("a.txt", "what is this", 2, "`a.txt`, line 1: a method and an address are expected"),
        ("b.json", "{\"openapi\": \"3.0.0\"}", 2, "`b.json`, line 1: it is no collection of Postman"),
        ("c.hurl", "# nothing\n", 1, "nothing of it could be made a check"),
        ("d.hurl", "TRACE http://a/\n", 1, "d.hurl:1: left out: the request: checks have no method `TRACE`"),
        ("e.hurl", "GET http://a/\nHTTP 200\n", 0, "1 checks, 0 things left out"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
        let ended = output(smoke(folder.path(), &["import", name])).await;
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(exit), "{name}: {told}");
        assert!(told.contains(part), "{name}: {told}");
    }
    let ended = output(smoke(folder.path(), &["import", "none.hurl"])).await;
    assert_eq!(ended.status.code(), Some(2));
}
