//! What is written where: files, outputs and the summary.

use serde_json::Value;

use crate::fixture::{HOSTILE, run, shop, step};

#[tokio::test]
async fn the_file_holds_what_json_shows_and_outputs_say_the_rest() {
    let place = shop().await;
    let checks = ["release: /version", "get: /flaky", "{get: /items, expect: {status: 404}}"];
    let args = ["--release", "1.4.0", "--report", "out", "--json"];
    let step = run(&format!("http://{place}"), &checks, &args, &[]).await.ends_with(1);
    let shown: Value = serde_json::from_slice(&step.ended.stdout).unwrap();
    assert_eq!(step.json(), shown);
    assert_eq!(
        (&shown["checks"][1]["said"], &shown["checks"][2]["isFlaky"]),
        (&"1.4.0".into(), &true.into())
    );
    for (name, value) in [
        ("verdict", "fail"),
        ("release-seen", "1.4.0"),
        ("exit-class", "status 200"),
        ("p95-ms", ""),
        ("report-path", "out"),
        ("passed", "3"),
        ("failed", "1"),
    ] {
        assert_eq!(step.output(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(step.output("failed-gates").unwrap(), shown["checks"][3]["name"]);
    let left: Vec<_> = std::fs::read_dir(step.folder.path().join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[tokio::test]
async fn without_a_folder_no_file_is_written() {
    let step = run(&format!("http://{}", shop().await), &["get: /items"], &[], &[]).await.ends_with(0);
    assert_eq!(step.output("report-path").as_deref(), Some(""));
    assert_eq!(
        (step.output("exit-class").as_deref(), step.output("failed-gates").as_deref()),
        (Some(""), Some(""))
    );
    assert_eq!(std::fs::read_dir(step.folder.path()).unwrap().count(), 3);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_told_before_anything_is_asked() {
    let args = ["run", "--url", "http://127.0.0.1:1", "--report", "shipkit.yml/out", "--deadline", "1s"];
    let step = step("", &args, &[]).await.ends_with(2);
    assert!(step.stderr().contains("`report`: `"), "{}", step.stderr());
}

#[tokio::test]
async fn the_summary_begins_with_one_sentence_and_folds_the_attempts() {
    let place = shop().await;
    let checks = [
        "release: /version",
        "get: /flaky",
        "{get: /hostile, expect: {json: {said: ok}}}",
        "rate_limit: /items",
    ];
    let step = run(&format!("http://{place}"), &checks, &["--release", "1.4.0"], &[]).await.ends_with(1);
    let summary = step.file("GITHUB_STEP_SUMMARY");
    let mut lines = summary.lines().filter(|line| !line.is_empty());
    assert_eq!(lines.next(), Some("### Smoke test: fail"));
    let sentence = lines.next().unwrap();
    assert!(sentence.starts_with("\\`1.4.0\\` answers on 20 of 20 new connections after "), "{sentence}");
    assert!(
        sentence.contains("; 3 of 5 checks pass, 1 fail, 1 skipped, 1 after a retry; it took "),
        "{sentence}"
    );
    let failure = lines.next().unwrap();
    assert!(failure.starts_with("- **get /hostile** (fail): \\`said\\` is "), "{failure}");
    assert!(
        failure.contains(&format!("repeat with `curl -sS -i --max-time 5 'http://{place}/hostile'`")),
        "{failure}"
    );
    let (shown, folded) = summary.split_once("<details><summary>Attempts</summary>").unwrap();
    assert!(folded.contains("**get /flaky**") && folded.contains("| bad | status 503 |"), "{folded}");
    assert!(!folded.contains("**get /version**") && folded.trim_end().ends_with("</details>"), "{folded}");
    assert!(shown.contains("| rate\\_limit /items | skipped | 0 |"), "{shown}");
    for part in ["<script", "<img", "##[", "\n::error"] {
        assert!(!summary.contains(part), "{part} of {HOSTILE} in {summary}");
    }
    assert!(!summary.contains("xychart"), "nothing was measured: {summary}");
}

#[tokio::test]
async fn a_watch_writes_the_same_files() {
    let url = format!("http://{}", shop().await);
    let args = [
        "watch",
        "--url",
        &url,
        "--rate",
        "50",
        "--duration",
        "1s",
        "--revision-path",
        "/rolling",
        "--report",
        "out",
    ];
    let step = step("", &args, &[]).await.ends_with(1);
    let json = step.json();
    let sum = |key: &str| {
        json["timeline"]["parts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| part[key].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!((sum("answered"), sum("failed")), (46, 4));
    assert_eq!((&json["timeline"]["stepMs"], json["curveMs"].as_array().unwrap().len()), (&125.into(), 46));
    assert_eq!(step.output("release-seen").as_deref(), Some("1.4.0"));
    assert_eq!(step.output("exit-class").as_deref(), Some("status 502"));
    assert!(step.output("p95-ms").unwrap().parse::<u64>().is_ok());
    let page = step.file("out/smoke-test.html");
    assert!(page.contains("<h2>Rollout window</h2>") && page.contains("1.3.0"), "{page}");
    assert!(step.file("out/smoke-test.xml").contains("4 of 50 scheduled requests failed"));
    let summary = step.file("GITHUB_STEP_SUMMARY");
    let (table, chart) = summary.split_once("```mermaid\nxychart-beta\n").unwrap();
    assert!(table.contains("| Half | 95 % | 99 % | All |"), "{summary}");
    let points = |line: &str| {
        chart.lines().find(|found| found.trim_start().starts_with(line)).unwrap().matches(',').count() + 1
    };
    assert_eq!((points("x-axis"), points("line")), (20, 20), "{chart}");
}

#[tokio::test]
async fn a_watch_that_nobody_answers_has_no_times() {
    let args = ["watch", "--url", "http://127.0.0.1:1", "--duration", "1s", "--report", "out"];
    let step = step("", &args, &[]).await.ends_with(1);
    assert_eq!(
        (step.output("p95-ms").as_deref(), step.output("exit-class").as_deref()),
        (Some(""), Some("refused"))
    );
    let page = step.file("out/smoke-test.html");
    assert!(page.contains("Rollout window") && !page.contains("Times of answers"), "{page}");
    assert!(!step.file("out/smoke-test.xml").contains("p95-ms"));
    assert!(!step.file("GITHUB_STEP_SUMMARY").contains("mermaid"));
}
