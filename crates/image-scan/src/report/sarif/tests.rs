//! What GitHub takes, and what stays the same from one version to the next.

use shipkit_core::policy::{Build, Judgement, Traces};
use shipkit_core::verdict::Outcome;

use super::*;
use crate::inventory::Inventory;

fn found(id: &str, package: &str, version: &str, severity: Severity, standing: Standing) -> Found {
    let text = str::to_owned;
    let finding = Finding {
        id: text(id),
        package: text(package),
        version: text(version),
        severity,
        fixed_in: Some(text("9")),
        ..Finding::default()
    };
    Found { finding, standing }
}

fn image(name: &str, findings: Vec<Found>) -> Judged {
    Judged {
        name: name.to_owned(),
        digest: Digest::of(name.as_bytes()),
        platform: "linux/amd64".to_owned(),
        judgement: Judgement {
            outcome: Outcome::fail("x"),
            rules: vec![("non-root", Outcome::fail("it runs as root"))],
            blocking: Vec::new(),
            waiting: Vec::new(),
            compared: None,
        },
        traces: Traces::default(),
        inventory: Inventory {
            system: None,
            packages: Vec::new(),
            owned: 0,
            doubts: Vec::new(),
            support: Vec::new(),
        },
        ended: Vec::new(),
        build: Build::default(),
        findings: Some(findings),
        listing: None,
    }
}

fn files(images: &[Judged]) -> (Vec<Value>, Vec<String>) {
    let Files { texts, left_out } = of(images, &Places::default());
    (texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect(), left_out)
}

fn print(found: Found) -> Value {
    let (files, _) = files(&[image("api", vec![found])]);
    files[0]["runs"][0]["results"][1]["partialFingerprints"]["primaryLocationLineHash"].clone()
}

#[test]
fn a_file_has_no_more_runs_than_are_taken_and_each_its_own_category() {
    let images: Vec<_> = (0..41).map(|number| image(&format!("s{number}"), Vec::new())).collect();
    let (several, _) = files(&images);
    let counts: Vec<_> = several.iter().map(|file| file["runs"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [20, 20, 1]);
    let names = ["shop/api", "shop/api", "a b\n"].map(|name| image(name, Vec::new()));
    let (one, _) = files(&names);
    let ids: Vec<_> =
        one[0]["runs"].as_array().unwrap().iter().map(|run| run["automationDetails"]["id"].clone()).collect();
    let expected = [
        "image-scan/shop/api/linux/amd64/",
        "image-scan/shop/api/linux/amd64/2/",
        "image-scan/a-b-/linux/amd64/",
    ];
    assert_eq!(ids, expected);
    // Without an image there is still a file, and no run.
    assert_eq!(files(&[]).0[0]["runs"], json!([]));
}

#[test]
fn of_too_many_results_the_worst_are_kept_and_that_is_told() {
    let many = (0..=RESULTS)
        .map(|number| found(&format!("CVE-{number}"), "a", "1", Severity::High, Standing::Blocks));
    let (all, told) = files(&[image("api", many.collect())]);
    let results = all[0]["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 1 + RESULTS);
    assert_eq!(results[RESULTS]["ruleId"], "CVE-4999");
    let expected =
        "`api` (linux/amd64): 5000 of 5001 findings are in the SARIF file, the worst: GitHub shows no more";
    assert_eq!(told, [expected]);
    let note = &all[0]["runs"][0]["invocations"][0]["toolExecutionNotifications"][0];
    assert_eq!((&note["level"], &note["message"]["text"]), (&json!("warning"), &json!(expected)));
}

#[test]
fn only_what_counts_is_a_result_and_its_rule_says_how_bad_it_is() {
    let (all, _) = files(&[image(
        "api",
        vec![
            found("CVE-1", "a", "1", Severity::Critical, Standing::Blocks),
            found("CVE-1", "b", "1", Severity::Critical, Standing::Old),
            found("CVE-2", "a", "1", Severity::Unknown, Standing::Waits),
            found("CVE-3", "a", "1", Severity::Low, Standing::Below),
            found("CVE-4", "a", "1", Severity::High, Standing::Unfixed),
            found("CVE-5", "a", "1", Severity::High, Standing::Accepted),
            found("CVE-6", "a", "1", Severity::High, Standing::NotAffected),
        ],
    )]);
    let run = &all[0]["runs"][0];
    let told: Vec<_> = run["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["ruleId"].as_str().unwrap(),
                one["ruleIndex"].as_u64().unwrap(),
                one["level"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("image/non-root", 0, "error"),
        ("CVE-1", 1, "error"),
        ("CVE-1", 1, "warning"),
        ("CVE-2", 2, "warning"),
    ];
    assert_eq!(told, expected);
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let scores: Vec<_> = rules.iter().map(|rule| rule["properties"]["security-severity"].clone()).collect();
    assert_eq!(scores, [Value::Null, json!("9.5"), Value::Null]);
    assert_eq!(rules[1]["helpUri"], "https://osv.dev/vulnerability/CVE-1");
    assert!(rules[1]["help"]["text"].as_str().unwrap().contains("fixed in 9"), "{rules:?}");
}

#[test]
fn a_finding_is_the_same_whatever_the_version_and_another_elsewhere() {
    let of = |id, package, version| print(found(id, package, version, Severity::High, Standing::Blocks));
    let first = of("CVE-1", "a", "1");
    assert!(first.as_str().unwrap().ends_with(":1"), "{first}");
    assert_eq!(first, of("CVE-1", "a", "2"));
    assert_ne!(first, of("CVE-2", "a", "1"));
    assert_ne!(first, of("CVE-1", "b", "1"));
    let twice = ["1", "2"].map(|version| found("CVE-1", "a", version, Severity::High, Standing::Blocks));
    let (all, _) = files(&[image("api", twice.to_vec())]);
    let second = &all[0]["runs"][0]["results"][2]["partialFingerprints"]["primaryLocationLineHash"];
    assert_eq!(second.as_str().unwrap(), first.as_str().unwrap().replace(":1", ":2"));
}

#[test]
fn what_could_not_be_told_is_no_success() {
    let mut one = image("api", Vec::new());
    one.judgement.outcome = Outcome::inconclusive("nobody knows");
    one.judgement.rules = vec![("vulnerabilities", Outcome::inconclusive("nobody knows"))];
    let (all, _) = files(&[one]);
    let invocation = &all[0]["runs"][0]["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    assert_eq!(invocation["toolExecutionNotifications"][0]["message"]["text"], "nobody knows");
}

#[test]
fn messages_have_neither_links_nor_placeholders_and_paths_are_references() {
    assert_eq!(text("a [x](https://evil) {0}\n\u{1b}[31mb", 99), "a (x)(https://evil) (0) b");
    assert_eq!(text("abcd", 3), "abc...");
    assert_eq!(uri("a b/Dockerfile.größe"), "a%20b/Dockerfile.gr%C3%B6%C3%9Fe");
}
