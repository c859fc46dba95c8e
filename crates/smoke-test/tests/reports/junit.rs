//! `JUnit` XML as those read it who draw tests: by element and attribute. Read with Python's parser, which is not the one that wrote it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::fixture::{run, shop};

/// Elements as lists of their name, attributes, text and children.
const READ: &str = "
import json, sys, xml.etree.ElementTree as tree
def read(e): return {'name': e.tag, 'has': e.attrib, 'text': (e.text or '').strip(), 'in': [read(c) for c in e]}
print(json.dumps(read(tree.fromstring(sys.stdin.buffer.read()))))
";

fn read(xml: &str) -> Value {
    let mut python = Command::new("python3");
    let mut child = python.args(["-c", READ]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(xml.as_bytes()).unwrap();
    let read = child.wait_with_output().unwrap();
    assert!(read.status.success(), "no XML: {xml}");
    serde_json::from_slice(&read.stdout).unwrap()
}

fn named<'a>(parent: &'a Value, name: &str) -> Vec<&'a Value> {
    parent["in"].as_array().unwrap().iter().filter(|child| child["name"] == name).collect()
}

#[tokio::test]
async fn every_check_is_a_test_case_with_its_attempts() {
    let checks = [
        "release: /version",
        "get: /flaky",
        "{get: /broken, retries: 2}",
        "{get: /hostile, expect: {json: {said: ok}}}",
        "{get: /limited, expect: {p95: 500ms}}",
        "rate_limit: /items",
    ];
    let place = shop().await;
    let step = run(&format!("http://{place}"), &checks, &["--release", "1.4.0", "--report", "out"], &[])
        .await
        .ends_with(1);
    let report = read(&step.file("out/smoke-test.xml"));
    let counts = |element: &Value| {
        ["tests", "failures", "errors"].map(|name| element["has"][name].as_str().unwrap().to_owned())
    };
    assert_eq!(
        (&report["name"], counts(&report)),
        (&json!("testsuites"), ["7", "2", "1"].map(str::to_owned))
    );
    let suite = named(&report, "testsuite")[0];
    assert_eq!(counts(suite), ["7", "2", "1"]);
    assert_eq!((&suite["has"]["skipped"], &suite["has"]["name"]), (&json!("1"), &json!("staging")));
    let properties = named(named(suite, "properties")[0], "property");
    assert_eq!(properties[0]["has"], json!({"name": "release", "value": "1.4.0"}));
    let cases = named(suite, "testcase");
    for case in &cases {
        assert_eq!(case["has"]["classname"], "127.0.0.1", "{case}");
        assert!(case["has"]["time"].as_str().unwrap().parse::<f64>().is_ok(), "{case}");
    }
    let case =
        |name: &str| *cases.iter().find(|case| case["has"]["name"].as_str().unwrap().contains(name)).unwrap();
    assert!(case("release")["in"].as_array().unwrap().is_empty());
    let flaky = named(case("flaky"), "flakyFailure");
    assert_eq!((flaky.len(), &flaky[0]["has"]["message"]), (1, &json!("status 503")));
    assert!(named(case("flaky"), "failure").is_empty());
    let broken = case("broken");
    let (failure, reruns) = (named(broken, "failure")[0], named(broken, "rerunFailure"));
    assert_eq!((reruns.len(), &failure["has"]["type"]), (2, &json!("status 503")));
    assert!(failure["text"].as_str().unwrap().starts_with("repeat with: curl "), "{failure}");
    let hostile = named(case("hostile"), "failure")[0]["has"]["message"].as_str().unwrap();
    assert!(hostile.contains("</td><script>alert(1)</script>"), "{hostile}");
    assert_eq!(named(case("limited"), "error")[0]["has"]["type"], "inconclusive");
    let skipped = named(case("rate_limit"), "skipped")[0];
    assert!(skipped["has"]["message"].as_str().unwrap().contains("did not pass"), "{skipped}");
}
