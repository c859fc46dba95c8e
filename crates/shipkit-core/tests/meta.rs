//! Whatever stands in inputs, refs and payloads: no panic, and no tag that a registry refuses.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests stop at the first surprise")]

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;
use shipkit_core::Tag;
use shipkit_core::meta::{About, Asked, BakePart, Facts, Happened, Inputs, OfPullRequest, decide};

/// Texts out of what entries are made of, so that many of them get past the first check.
fn entries() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("type=semver,pattern={{version}}"),
        Just("type=semver,pattern=v{{major}}.{{minor}}-{{sha}},value={{branch}}"),
        Just("type=pep440,pattern={{raw}}"),
        Just("type=match,\"pattern=(\\d{1,3}).*\",group=1"),
        Just("type=match,pattern=/[^/]+$/g,group=0"),
        Just("type=ref,event=branch"),
        Just("type=ref,event=tag"),
        Just("type=ref,event=pr,prefix="),
        Just("type=sha,prefix={{branch}}-,format=long"),
        Just("type=edge"),
        Just("type=schedule,pattern={{date 'dddd [at] LT Z z' tz='Asia/Kathmandu'}}"),
        Just("type=raw,value={{tag}}{{base_ref}},suffix={{commit_date 'YYYYYY-ww-GGGG'}}"),
        Just("enable={{is_default_branch}},x"),
        Just(",priority=-7"),
        Just("{{"),
        Just("}}"),
        Just("\""),
        Just("\n"),
        Just("#"),
        Just("="),
        Just("ü\u{0}"),
    ];
    let piece =
        prop_oneof![8 => piece.prop_map(str::to_owned), 1 => "\\PC{0,12}", 1 => "[a-z,='\"{}\n]{0,12}"];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.join("\n").replace("\n,", ","))
}

fn facts(git_ref: &str, event: &str, seconds: i32) -> Facts {
    let now = Timestamp::from_second(i64::from(seconds)).unwrap();
    Facts {
        event: event.to_owned(),
        git_ref: git_ref.to_owned(),
        commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        short: 7,
        base_ref: git_ref.to_owned(),
        committed: None,
        now,
        created: now,
        about: About {
            default_branch: git_ref.strip_prefix("refs/heads/").map(str::to_owned),
            ..About::default()
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_and_no_ref_gives_a_bad_tag_or_a_panic(
        tags in entries(),
        flavor in prop_oneof![Just(String::new()), "(latest=(auto|true|false|x)|(prefix|suffix)=[-.a{}]{0,3}(,onlatest=true)?)(\nlatest=true)?"],
        git_ref in "refs/(heads|tags|pull)/\\PC{0,160}|refs/tags/v?[0-9]{1,2}\\.[0-9]{1,2}(\\.[0-9]{1,2})?(-?(rc|a|post)\\.?[0-9])?",
        event in prop_oneof![Just("push"), Just("schedule"), Just("create")],
        seconds in any::<i32>(),
    ) {
        let inputs = Inputs { tags: &tags, flavor: &flavor, images: "Acme/A\nacme/b", ..Inputs::default() };
        if let Ok(asked) = Asked::read(&inputs)
            && let Ok(meta) = decide(&asked, &facts(&git_ref, event, seconds))
        {
            for name in &meta.names {
                prop_assert!(name.as_str().parse::<Tag>().is_ok(), "{name}");
            }
            let mut names = meta.names.clone();
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), meta.names.len());
            let explained: Vec<_> = meta.explained.iter().flat_map(|rule| rule.tags.clone()).collect();
            prop_assert_eq!(&explained, &meta.names);
            prop_assert!(meta.bake(BakePart::TagsAndLabels)["target"].is_object());
        }
    }

    #[test]
    fn any_text_is_an_input_or_an_error(text in "\\PC*|[ -~\n]{0,60}") {
        for inputs in [
            Inputs { images: &text, ..Inputs::default() },
            Inputs { tags: &text, ..Inputs::default() },
            Inputs { flavor: &text, ..Inputs::default() },
            Inputs { labels: &text, annotations: &text, ..Inputs::default() },
            Inputs { bake_target: &text, ..Inputs::default() },
            Inputs { annotations_levels: &text, ..Inputs::default() },
            Inputs { short_sha_length: &text, pr_head_sha: &text, ..Inputs::default() },
        ] {
            if let Err(error) = Asked::read(&inputs) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn any_payload_can_be_read(event in "\\PC{0,20}|pull_request(_target)?", git_ref in "\\PC{0,20}", value in any::<u64>(), text in "\\PC{0,20}") {
        for payload in [json!(text), json!({"number": value, "pull_request": {"head": {"sha": text}}, "commits": [text], "repository": text})] {
            let read = Happened::read(&event, &git_ref, &text, &payload, OfPullRequest::Head);
            prop_assert_eq!(read.event.as_str(), event.as_str());
        }
    }
}

#[test]
fn ten_thousand_entries_and_a_label_of_a_megabyte_are_no_trouble() {
    let tags = (0..10_000).map(|n| format!("type=raw,value=t{n}")).collect::<Vec<_>>().join("\n");
    let label = format!("a={}", "x".repeat(1 << 20));
    let asked = Asked::read(&Inputs { tags: &tags, labels: &label, ..Inputs::default() }).unwrap();
    let meta = decide(&asked, &facts("refs/heads/main", "push", 0)).unwrap();
    assert_eq!((meta.names.len(), meta.labels[0].1.len()), (10_000, 1 << 20));
}
