//! The cases of docker/metadata-action's own tests, as neutral data outside of the repository: `build-tag meta` gives
//! the same, but for the exceptions below. Without the data the tests say so and pass.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use shipkit_tests::step::Done;

use crate::github::Api;
use crate::named::{Named, lines};

/// Cases in which our default is another, and the variables with which the answer is the same. A case that stands here
/// and gives the expected answer without them fails, so that no exception outlives its reason.
const OTHER_DEFAULT: &[(&str, &[(&str, &str)])] = &[
    // A pull request is about the commit that its author pushed: the merge commit is gone when the run is over.
    ("pr/pr01", EVENT_COMMIT),
    ("pr/pr02", EVENT_COMMIT),
    ("pr/pr03", EVENT_COMMIT),
    ("pr/pr04", EVENT_COMMIT),
    ("pr/pr05", EVENT_COMMIT),
    ("pr/pr06", EVENT_COMMIT),
    ("pr/pr07", EVENT_COMMIT),
    ("pr/pr08", EVENT_COMMIT),
    ("pr/pr09", EVENT_COMMIT),
    ("pr/pr10", EVENT_COMMIT),
    ("pr/pr11", EVENT_COMMIT),
    ("pr/pr12", EVENT_COMMIT),
];
const EVENT_COMMIT: &[(&str, &str)] = &[("DOCKER_METADATA_PR_HEAD_SHA", "false")];

/// Rows that the peer's parser takes and we refuse, with the sentence.
const REFUSED: &[(&str, &str)] = &[
    // An expression that is never closed would otherwise be skipped, for prereleases only.
    ("{{ version }},{{raw }.", "is never closed"),
];

fn data(file: &str) -> Option<Value> {
    let path = shared().join(file);
    let text = std::fs::read_to_string(&path).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/metadata-action")
}

/// A step for this event of the data, at this time.
fn step(event: &Value, now: &str) -> Named {
    let text = |key: &str| event[key].as_str().unwrap();
    Named::by(text("event_name"), text("ref"), text("sha"), &event["payload"])
        .with("GITHUB_REPOSITORY", text("repository"))
        .with("GITHUB_BASE_REF", text("base_ref"))
        .with("GITHUB_HEAD_REF", text("head_ref"))
        .with("SHIPKIT_NOW", now)
}

/// What an input holds: a text, or lines.
fn input(value: &Value) -> String {
    match value.as_array() {
        Some(items) => items.iter().map(|item| item.as_str().unwrap()).collect::<Vec<_>>().join("\n"),
        None => value.as_str().unwrap().to_owned(),
    }
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// Everything in which the answer differs from what is expected.
fn differences(step: &Named, done: &Done, expected: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, is: Value, wanted: Value| {
        if is != wanted {
            found.push(format!("{what} is {is}, not {wanted}"));
        }
    };
    for (key, wanted) in expected.as_object().unwrap() {
        let bake = key.replace('_', "-");
        match key.as_str() {
            "version" => {
                compare(key, json!(done.output(key)), json!(wanted["main"].as_str().unwrap_or_default()));
                let first = wanted["main"].as_str().into_iter().chain(texts(&wanted["partial"]));
                let latest = wanted["latest"].as_bool().unwrap();
                let names = lines(done, "tag-names");
                let (names, last) = names.split_at(names.len() - usize::from(latest));
                compare("tag-names", json!(names), first.collect());
                compare("latest", json!(last.iter().all(|name| name.contains("latest"))), json!(true));
            }
            "tags" | "labels" => compare(key, json!(lines(done, key)), wanted.clone()),
            "annotations" => {
                let levelled = texts(wanted).into_iter().map(|line| format!("manifest:{line}"));
                compare(key, json!(lines(done, key)), levelled.collect());
            }
            "json" => compare(key, serde_json::from_str(done.output(key)).unwrap(), wanted.clone()),
            "tags_output" => compare(key, json!(done.output("tags")), wanted.clone()),
            _ => compare(key, step.file(done, &bake), wanted.clone()),
        }
    }
    found
}

#[test]
fn every_case_of_the_peer_has_the_same_answer_or_a_reason() {
    let (Some(cases), Some(events)) = (data("cases.json"), data("events.json")) else {
        writeln!(std::io::stderr(), "shared cases: 0").unwrap();
        return;
    };
    let api = Api::start(cases["repo"].clone(), cases["commit_date"].as_str().unwrap());
    let mut wrong = Vec::new();
    let all = cases["cases"].as_array().unwrap();
    for case in all {
        let id = case["id"].as_str().unwrap();
        let run = |more: &[(&str, &str)]| {
            let mut step = step(&events[case["event"].as_str().unwrap()], cases["now"].as_str().unwrap())
                .with("GITHUB_API_URL", api.url())
                .input("github-token", "ghs_token");
            for (name, value) in case["env"].as_object().unwrap() {
                step = step.with(name, value.as_str().unwrap());
            }
            for (name, value) in more {
                step = step.with(name, value);
            }
            for (name, value) in case["inputs"].as_object().unwrap() {
                step = step.input(name, &input(value));
            }
            let done = step.run();
            assert_eq!(done.exit, Some(0), "{id}: {done:#?}");
            differences(&step, &done, &case["expected"])
        };
        let exception = OTHER_DEFAULT.iter().find(|(case, _)| *case == id);
        if let Some((_, with)) = exception {
            let is_needed = !run(&[]).is_empty();
            assert!(is_needed, "{id} needs no exception any more");
            wrong.extend(run(with).into_iter().map(|difference| format!("{id}: {difference}")));
        } else {
            wrong.extend(run(&[]).into_iter().map(|difference| format!("{id}: {difference}")));
        }
    }
    writeln!(std::io::stderr(), "shared cases: {}", all.len()).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An event of our own for the rows of parsers: they say nothing about events.
fn on(git_ref: &str) -> Named {
    let event = if git_ref.starts_with("refs/pull/") { "pull_request" } else { "push" };
    let repository = json!({"name": "shop", "description": null, "html_url": "u", "license": null, "default_branch": "master"});
    let head = json!({"id": crate::named::COMMIT, "timestamp": "2020-01-10T00:30:00Z"});
    let payload = json!({"repository": repository, "head_commit": head});
    Named::by(event, git_ref, crate::named::COMMIT, &payload)
}

fn rows(name: &str) -> Vec<Value> {
    data("parsers.json").map(|data| data[name].as_array().unwrap().clone()).unwrap_or_default()
}

/// The entry with every attribute that the parser should have found, each in quotes.
fn spelt_out(parsed: &Value) -> String {
    let attributes = parsed["attrs"].as_object().unwrap().iter();
    let attributes = attributes.filter(|(_, value)| *value != "" || parsed["type"] == "sha");
    let quoted = attributes.map(|(key, value)| format!("\"{key}={}\"", value.as_str().unwrap()));
    std::iter::once(format!("type={}", parsed["type"].as_str().unwrap()))
        .chain(quoted)
        .collect::<Vec<_>>()
        .join(",")
}

/// What the parser found shows in the tags: an entry gives the same as one that spells out the attributes of the row,
/// for a branch, two tags, a pull request and a schedule, and between two others that differ from it by 1 in priority.
#[test]
fn an_entry_is_read_as_the_peer_reads_it() {
    let rows = rows("tag_parse");
    writeln!(std::io::stderr(), "shared cases: {}", rows.len()).unwrap();
    for row in rows {
        let given = row["input"].as_str().unwrap();
        if row["error"] == true {
            let done = on("refs/heads/master").input("tags", given).run();
            done.check(2, "line 1 of `tags`: ");
            assert!(!done.outputs.contains_key("tags"), "{given}");
            continue;
        }
        let parsed = &row["expected"];
        let priority: i64 = parsed["attrs"]["priority"].as_str().unwrap().parse().unwrap();
        let mut is_seen = false;
        for (event, git_ref) in [
            ("push", "refs/heads/master"),
            ("push", "refs/tags/v1.2.3"),
            ("push", "refs/tags/p1/v1.0.0"),
            ("pull_request", "refs/pull/7/merge"),
            ("schedule", "refs/heads/master"),
        ] {
            let tags = |entry: &str| {
                let (above, below) = (priority + 1, priority - 1);
                let list =
                    format!("type=raw,below,priority={below}\n{entry}\ntype=raw,above,priority={above}");
                let done = on(git_ref).with("GITHUB_EVENT_NAME", event).input("tags", &list).run();
                assert_eq!(done.exit, Some(0), "{entry}: {done:#?}");
                lines(&done, "tags").into_iter().map(str::to_owned).collect::<Vec<_>>()
            };
            let found = tags(given);
            assert_eq!(found, tags(&spelt_out(parsed)), "{given} on {git_ref}");
            is_seen |= found.len() == 3 && found[0] == "above" && found[2] == "below";
        }
        assert_eq!(
            is_seen,
            parsed["attrs"]["enable"] == "true",
            "{given} gives no tag between its neighbours"
        );
    }
}

#[test]
fn entries_are_sorted_as_the_peer_sorts_them() {
    let rows = rows("tag_sort");
    writeln!(std::io::stderr(), "shared cases: {}", rows.len()).unwrap();
    for row in rows {
        let done = on("refs/heads/master")
            .input("command", "explain")
            .input("tags", &input(&row["input"]))
            .run_with(&["--json"]);
        let explained: Vec<Value> = serde_json::from_str(&done.stdout).unwrap();
        let types = explained.iter().filter_map(|rule| rule["rule"].as_str().unwrap().strip_prefix("type="));
        let types: Vec<_> = types.map(|rule| rule.split(',').next().unwrap()).collect();
        let expected: Vec<_> =
            row["expected"].as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap()).collect();
        assert_eq!(types, expected);
    }
}

/// What the parser found shows in the tags of a release and of something else.
#[test]
fn a_flavor_is_read_as_the_peer_reads_it() {
    let rows = rows("flavor");
    writeln!(std::io::stderr(), "shared cases: {}", rows.len()).unwrap();
    for row in rows {
        let given = input(&row["input"]);
        let step = |entry: &str| on("refs/tags/x").input("tags", entry).input("flavor", &given).run();
        if row["error"] == true {
            step("x").check(2, "line 1 of `flavor`: ");
            continue;
        }
        let flavor = &row["expected"];
        let text = |key: &str| flavor[key].as_str().unwrap();
        let on_latest = |key: &str, on: &str| if flavor[on] == true { text(key) } else { "" };
        let latest =
            format!("{}latest{}", on_latest("prefix", "prefixLatest"), on_latest("suffix", "suffixLatest"));
        for (entry, auto) in [("type=raw,x", false), ("type=ref,event=tag", true)] {
            let mut expected = vec![format!("{}x{}", text("prefix"), text("suffix"))];
            if text("latest") == "true" || text("latest") == "auto" && auto {
                expected.push(latest.clone());
            }
            assert_eq!(lines(&step(entry), "tags"), expected, "{given}");
        }
    }
}

#[test]
fn an_image_is_read_as_the_peer_reads_it() {
    let rows = rows("image");
    writeln!(std::io::stderr(), "shared cases: {}", rows.len()).unwrap();
    for row in rows {
        let given = input(&row["input"]);
        let done = on("refs/heads/master").input("images", &given).input("tags", "x").run();
        if row["error"] == true {
            done.check(2, "of `images`: ");
            continue;
        }
        let enabled = row["expected"].as_array().unwrap().iter().filter(|image| image["enable"] == true);
        let expected: Vec<_> =
            enabled.map(|image| format!("{}:x", image["name"].as_str().unwrap().to_lowercase())).collect();
        assert_eq!(lines(&done, "tags"), expected, "{given}");
    }
}

/// A pattern that is `{{raw}}` alone shows in the tag of a prerelease.
#[test]
fn a_pattern_that_is_raw_alone_is_known_as_such() {
    let rows = rows("is_raw_statement");
    writeln!(std::io::stderr(), "shared cases: {}", rows.len()).unwrap();
    for row in rows {
        let pattern = row["input"].as_str().unwrap();
        let entry = format!("type=semver,\"pattern={pattern}\"");
        let done = on("refs/tags/v1.0.0-rc.1").input("tags", &entry).run();
        if let Some((_, sentence)) = REFUSED.iter().find(|(refused, _)| *refused == pattern) {
            done.check(2, sentence);
            continue;
        }
        let expected = if row["expected"] == true { "v1.0.0-rc.1" } else { "1.0.0-rc.1" };
        assert_eq!(lines(&done, "tags"), [expected], "{pattern}");
    }
}

/// What the inputs were read as shows in the outputs.
#[test]
fn inputs_are_read_as_the_peer_reads_them() {
    let rows = rows("get_inputs");
    writeln!(std::io::stderr(), "shared cases: {}", rows.len()).unwrap();
    for row in rows {
        let mut step = on("refs/heads/master");
        for (name, value) in row["input"].as_object().unwrap() {
            step = step.input(name, value.as_str().unwrap());
        }
        let done = step.run();
        assert_eq!(done.exit, Some(0), "{done:#?}");
        let expected = &row["expected"];
        let separator = |key: &str| expected[key].as_str().unwrap();
        let names = match (texts(&expected["tags"]).as_slice(), texts(&expected["flavor"]).as_slice()) {
            ([], []) => vec!["master"],
            (["type=raw,value=foo#bar"], ["prefix=v#1"]) => vec!["v-1foo-bar"],
            other => panic!("a new row: {other:?}"),
        };
        let images = texts(&expected["images"]);
        let under = |image: &&str| names.iter().map(|name| format!("{image}:{name}")).collect::<Vec<_>>();
        let tags: Vec<String> = if images.is_empty() {
            names.iter().map(|name| (*name).to_owned()).collect()
        } else {
            images.iter().flat_map(under).collect()
        };
        assert_eq!(done.output("tags"), tags.join(separator("sep-tags")));
        for (key, prefix) in [("labels", ""), ("annotations", "manifest:")] {
            let found: Vec<_> = done.output(key).split(separator(&format!("sep-{key}"))).collect();
            assert!(7 < found.len(), "{found:?}");
            for wanted in texts(&expected[key]) {
                assert!(found.contains(&format!("{prefix}{wanted}").as_str()), "{wanted}: {found:?}");
            }
            assert!(!found.iter().any(|line| line.contains("comment")), "{found:?}");
        }
        let bake = step.file(&done, "bake-file");
        let targets: Vec<_> = bake["target"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(json!(targets), json!([expected["bake-target"]]));
    }
}
