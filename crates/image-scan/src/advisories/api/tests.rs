//! The service as it should answer, and as it does on bad days.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use saphyr::{LoadableYamlNode as _, Yaml};
use serde_json::{Value, json};
use shipkit_core::exit::ExitCode;
use shipkit_core::hint::Hint as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const PACE: Pace =
    Pace { total: Duration::from_secs(20), each: Duration::from_secs(10), pause: Duration::from_millis(1) };

/// Status, headers, body. Status 0 hangs up, status 1 never answers.
type Reply = (u16, &'static str, String);

/// What the service was asked: method, path and body.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// A server that answers each request by its line, its body, and how often the same came before.
async fn serve(reply: impl Fn(&str, &Value, usize) -> Reply + Send + Sync + 'static) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (reply, asked) = (Arc::new(reply), Asked::default());
    let all = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (reply, asked) = (Arc::clone(&reply), Arc::clone(&all));
            tokio::spawn(async move {
                let (mut client, line, body) = request(client).await;
                let before = {
                    let mut asked = asked.lock().unwrap();
                    asked.push((line.clone(), body.clone()));
                    asked.iter().filter(|one| **one == (line.clone(), body.clone())).count() - 1
                };
                let (status, headers, text) = reply(&line, &body, before);
                match status {
                    0 => return,
                    1 => std::future::pending().await,
                    _ => {}
                }
                let head = format!(
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
                    text.len()
                );
                client.write_all((head + &text).as_bytes()).await.ok();
            });
        }
    });
    (address, asked)
}

async fn request(client: TcpStream) -> (TcpStream, String, Value) {
    let mut client = BufReader::new(client);
    let (mut line, mut size) = (String::new(), 0);
    client.read_line(&mut line).await.unwrap();
    loop {
        let mut header = String::new();
        client.read_line(&mut header).await.unwrap();
        if let Some(length) = header.to_ascii_lowercase().strip_prefix("content-length: ") {
            size = length.trim().parse().unwrap();
        }
        if header.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; size];
    client.read_exact(&mut body).await.unwrap();
    let line = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
    (client.into_inner(), line, serde_json::from_slice(&body).unwrap_or_default())
}

const BATCH_LINE: &str = "POST /v1/querybatch";

/// An answer to a batch: for each query what `page` says.
fn pages(body: &Value, page: impl Fn(&Value) -> Value) -> Reply {
    let queries = body["queries"].as_array().unwrap();
    (200, "", json!({"results": queries.iter().map(page).collect::<Vec<_>>()}).to_string())
}

fn listed(ids: &[&str]) -> Value {
    json!({"vulns": ids.iter().map(|id| json!({"id": id, "modified": "2026-01-01T00:00:00Z"})).collect::<Vec<_>>()})
}

/// The record that a path names.
fn shown(line: &str) -> Reply {
    (200, "", json!({"id": line.rsplit('/').next().unwrap()}).to_string())
}

async fn about(address: &str, names: &[&str]) -> Result<Known, AdvisoriesError> {
    let packages: Vec<_> =
        names.iter().map(|name| Package { ecosystem: "npm", name, version: "1.0.0" }).collect();
    Api::with_pace(address, PACE).unwrap().about(&packages).await
}

fn ids(known: &Known) -> Vec<&str> {
    known.records.iter().map(|record| record.id.as_str()).collect()
}

#[tokio::test]
async fn each_package_is_asked_for_once_and_each_record_comes_once() {
    let (address, asked) = serve(|line, body, _| {
        if !line.ends_with("/querybatch") {
            return shown(line);
        }
        pages(body, |query| match query["package"]["name"].as_str().unwrap() {
            "a" => listed(&["GHSA-2", "GHSA-1"]),
            "b" => listed(&["GHSA-2"]),
            _ => json!({}),
        })
    })
    .await;
    let known = about(&(address + "/mirror/"), &["b", "a", "c", "a"]).await.unwrap();
    assert_eq!(ids(&known), ["GHSA-1", "GHSA-2"]);
    let asked = asked.lock().unwrap();
    let (line, body) = &asked[0];
    assert_eq!(line, "POST /mirror/v1/querybatch");
    assert_eq!(body["queries"].as_array().unwrap().len(), 3);
    assert_eq!(body["queries"][0], json!({"package": {"ecosystem": "npm", "name": "a"}, "version": "1.0.0"}));
    assert_eq!(asked.len(), 3);
}

#[tokio::test]
async fn a_batch_has_at_most_a_thousand_queries() {
    let (address, asked) = serve(|_, body, _| pages(body, |_| Value::Null)).await;
    let names: Vec<_> = (0..2001).map(|number| format!("p{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(about(&address, &names).await.unwrap(), Known::default());
    let sizes =
        asked.lock().unwrap().iter().map(|(_, body)| body["queries"].as_array().unwrap().len()).collect();
    let mut sizes: Vec<usize> = sizes;
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 1000, 1000]);
}

#[tokio::test]
async fn pages_are_followed_also_where_one_has_nothing_but_a_token() {
    let (address, asked) = serve(|line, body, _| {
        if line != BATCH_LINE {
            return shown(line);
        }
        pages(body, |query| {
            match (query["package"]["name"].as_str().unwrap(), query["page_token"].as_str()) {
                ("a", None) => json!({"next_page_token": "2"}),
                ("a", Some("2")) => json!({"vulns": [{"id": "A-1"}], "next_page_token": "3"}),
                ("a", Some("3")) => listed(&["A-2"]),
                _ => listed(&["B-1"]),
            }
        })
    })
    .await;
    assert_eq!(ids(&about(&address, &["a", "b"]).await.unwrap()), ["A-1", "A-2", "B-1"]);
    let asked = asked.lock().unwrap();
    let batches = asked.iter().filter(|(line, _)| line == BATCH_LINE);
    let sizes: Vec<_> = batches.map(|(_, body)| body["queries"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [2, 1, 1]);
}

#[tokio::test]
async fn a_record_that_was_withdrawn_is_left_out() {
    let (address, _) = serve(|line, body, _| {
        if line == BATCH_LINE {
            return pages(body, |_| listed(&["A-1"]));
        }
        (200, "", json!({"id": "A-1", "withdrawn": "2026-01-01T00:00:00Z"}).to_string())
    })
    .await;
    assert_eq!(about(&address, &["a"]).await.unwrap(), Known::default());
}

#[tokio::test]
async fn what_may_be_over_soon_is_tried_again() {
    let (address, asked) = serve(|line, body, before| match (line, before) {
        (BATCH_LINE, 0) => (503, "", String::new()),
        (BATCH_LINE, 1) => (429, "retry-after: 0\r\n", String::new()),
        (BATCH_LINE, 2) => (0, "", String::new()),
        (BATCH_LINE, _) => pages(body, |_| listed(&["A-1"])),
        (_, 0) => (500, "", String::new()),
        _ => shown(line),
    })
    .await;
    assert_eq!(ids(&about(&address, &["a"]).await.unwrap()), ["A-1"]);
    assert_eq!(asked.lock().unwrap().len(), 6);
}

/// What a server that answers so makes of a question, and how often it was asked.
async fn check_refused(
    reply: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
    expected: (&str, usize),
) {
    let (address, asked) = serve(move |line, body, _| reply(line, body)).await;
    let error = about(&address, &["a"]).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Unknown);
    assert!(error.to_string().contains(expected.0), "{error}");
    assert_eq!(asked.lock().unwrap().len(), expected.1, "{error}");
}

#[tokio::test]
async fn what_the_service_cannot_say_is_an_error_and_never_nothing() {
    let plain =
        |status, headers, body: &'static str| move |_: &str, _: &Value| (status, headers, body.to_owned());
    check_refused(plain(400, "", r#"{"message": "too many"}"#), ("status 400", 1)).await;
    check_refused(plain(302, "location: /\r\n", ""), ("status 302", 1)).await;
    check_refused(plain(500, "", ""), ("status 500", 5)).await;
    check_refused(plain(0, "", ""), ("cannot be reached", 5)).await;
    check_refused(plain(429, "retry-after: 3600\r\n", ""), ("status 429", 1)).await;
    check_refused(plain(200, "", "{}"), ("missing field", 1)).await;
    check_refused(plain(200, "", r#"{"results": []}"#), ("another number of results", 1)).await;
    check_refused(|_, body| pages(body, |_| listed(&["../x"])), ("an id that is none", 1)).await;
    check_refused(|_, body| pages(body, |_| json!({"next_page_token": "t"})), ("is the page itself", 2))
        .await;
    let endless = |_: &str, body: &Value| {
        let more = |query: &Value| {
            let number: usize = query["page_token"].as_str().unwrap_or("0").parse().unwrap();
            json!({"next_page_token": (number + 1).to_string()})
        };
        pages(body, more)
    };
    check_refused(endless, ("pages without an end", PAGES)).await;
    let one = |record: Reply| {
        move |line: &str, body: &Value| {
            if line == BATCH_LINE { pages(body, |_| listed(&["A-1"])) } else { record.clone() }
        }
    };
    check_refused(one((404, "", String::new())), ("status 404", 2)).await;
    check_refused(one((200, "", r#"{"id": "A-2"}"#.to_owned())), ("`A-2` came", 2)).await;
    check_refused(one((200, "", "{}".to_owned())), ("`A-1`: missing field", 2)).await;
    let large = " ".repeat(33 << 20);
    check_refused(one((200, "", large)), ("more than 33554432 bytes", 2)).await;
}

#[tokio::test]
async fn whoever_never_answers_is_not_waited_for() {
    let (address, asked) = serve(|_, _, _| (1, "", String::new())).await;
    let packages = [Package { ecosystem: "npm", name: "a", version: "1" }];
    let short = Duration::from_millis(20);
    for (total, each, tries) in [(PACE.total, short, 5), (short, PACE.each, 6)] {
        let api = Api::with_pace(&address, Pace { total, each, ..PACE }).unwrap();
        let error = api.about(&packages).await.unwrap_err();
        assert!(matches!(error, AdvisoriesError::Late(limit) if limit == short), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Unknown);
        // The last one may not even have been sent.
        assert!(asked.lock().unwrap().len() <= tries);
    }
}

#[test]
fn packages_are_told_to_nobody_who_listens() {
    for address in [
        Api::ADDRESS,
        "https://osv.example/mirror",
        "http://127.0.0.1:1",
        "http://localhost:1",
        "http://[::1]:1",
    ] {
        assert!(Api::new(address).is_ok(), "{address}");
    }
    for address in [
        "http://api.osv.dev",
        "ftp://localhost",
        "https://a:b@osv.example",
        "https://osv.example?x",
        "osv.dev",
        "",
    ] {
        let error = Api::new(address).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Usage, "{address}");
    }
}

/// The questions and answers of a recording.
fn recorded(path: &Path) -> Vec<(Value, Value)> {
    let text = std::fs::read_to_string(path).unwrap();
    let documents = Yaml::load_from_str(&text).unwrap();
    let interactions = documents[0]["interactions"].as_sequence().unwrap();
    let read = |part: &Yaml<'_>| serde_json::from_str::<Value>(part["body"].as_str().unwrap()).ok();
    interactions.iter().filter_map(|one| Some((read(&one["request"])?, read(&one["response"])?))).collect()
}

#[tokio::test]
async fn recorded_answers_are_understood() {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/osv/extra/osv-api-cassettes");
    for name in ["image-TestCommand_Docker.yaml", "image-TestCommand_OCIImage_JSONFormat.yaml"] {
        let path = folder.join(name);
        if !path.exists() {
            continue;
        }
        for (question, answer) in recorded(&path) {
            let (Some(queries), Some(results)) =
                (question["queries"].as_array(), answer["results"].as_array())
            else {
                continue;
            };
            let text =
                |query: &Value, key: &str| query["package"][key].as_str().unwrap_or_default().to_owned();
            let known: Vec<_> = queries.iter().cloned().zip(results.iter().cloned()).collect();
            let expected: BTreeSet<_> = results
                .iter()
                .flat_map(|result| {
                    let vulns = result["vulns"].as_array().into_iter().flatten();
                    vulns.map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
                })
                .collect();
            let (address, _) = serve(move |line, body, _| {
                if line != BATCH_LINE {
                    return shown(line);
                }
                let result = |query: &Value| {
                    known
                        .iter()
                        .find(|(asked, _)| asked == query)
                        .map_or(Value::Null, |(_, result)| result.clone())
                };
                pages(body, result)
            })
            .await;
            let rows: Vec<_> = queries
                .iter()
                .map(|query| {
                    let version = query["version"].as_str().unwrap_or_default().to_owned();
                    (text(query, "ecosystem"), text(query, "name"), version)
                })
                .collect();
            let packages: Vec<_> =
                rows.iter().map(|(ecosystem, name, version)| Package { ecosystem, name, version }).collect();
            let found = Api::with_pace(&address, PACE).unwrap().about(&packages).await.unwrap();
            assert_eq!(ids(&found).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), expected);
        }
    }
}
