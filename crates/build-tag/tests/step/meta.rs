//! `build-tag meta` and `explain`: every type, every knob, and what must never come out.

use serde_json::{Value, json};
use shipkit_tests::step::Done;

use crate::github::Api;
use crate::named::{COMMIT, Named, lines};
use crate::project::Project;

/// A repository as payloads describe it: nothing is left to ask for.
fn repository() -> Value {
    json!({
        "name": "Shop", "description": "All you need", "html_url": "https://github.com/Acme/Shop",
        "default_branch": "main", "license": {"spdx_id": "MIT"},
    })
}

fn push(git_ref: &str) -> Named {
    let head = json!({"id": COMMIT, "timestamp": "2026-01-02T04:04:05+01:00"});
    Named::by("push", git_ref, COMMIT, &json!({"repository": repository(), "head_commit": head}))
}

fn pull_request(event: &str, git_ref: &str) -> Named {
    let head = "1111111111111111111111111111111111111111";
    let payload = json!({
        "number": 7, "repository": repository(),
        "pull_request": {"number": 7, "head": {"sha": head}, "base": {"ref": "main"}},
    });
    Named::by(event, git_ref, COMMIT, &payload)
}

fn schedule() -> Named {
    Named::by(
        "schedule",
        "refs/heads/main",
        COMMIT,
        &json!({"schedule": "0 0 * * *", "repository": repository()}),
    )
}

/// The tags that these rules give.
#[track_caller]
fn check(step: Named, tags: &str, expected: &[&str]) {
    let done = step.input("tags", tags).run();
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert_eq!(lines(&done, "tag-names"), expected, "{tags}\n{}", done.stderr);
}

/// The sentence with which these rules are refused; then nothing is put out.
#[track_caller]
fn refused(step: Named, tags: &str, sentence: &str) {
    let done = step.input("tags", tags).run();
    done.check(2, sentence);
    assert_eq!(done.outputs.keys().collect::<Vec<_>>(), ["cause", "verdict"], "{tags}");
}

#[test]
fn without_rules_branches_tags_and_pull_requests_have_their_names() {
    check(push("refs/heads/feat/x y"), "", &["feat-x-y"]);
    check(push("refs/tags/v1.2.3"), "", &["v1.2.3", "latest"]);
    check(pull_request("pull_request", "refs/pull/7/merge"), "", &["pr-7"]);
    check(pull_request("pull_request_target", "refs/heads/main"), "", &["pr-7"]);
    check(schedule(), "", &["nightly", "main"]);
}

#[test]
fn a_schedule_has_its_pattern_and_nothing_else_has() {
    check(schedule(), "type=schedule,pattern={{date 'YYYYMMDD'}}", &["20260506"]);
    check(
        schedule(),
        "type=schedule,pattern=n-{{date 'YYYYMMDD-HHmm' tz='Asia/Tokyo'}}",
        &["n-20260506-1608"],
    );
    check(push("refs/heads/main"), "type=schedule", &[]);
}

#[test]
fn a_semantic_version_has_its_channels_and_a_prerelease_has_none() {
    let rules = "type=semver,pattern={{version}}\ntype=semver,pattern={{major}}.{{minor}}\ntype=semver,pattern=v{{major}}";
    check(push("refs/tags/v1.2.3"), rules, &["1.2.3", "1.2", "v1", "latest"]);
    check(push("refs/tags/v1.2.3-rc.1"), rules, &["1.2.3-rc.1"]);
    check(push("refs/tags/v1.2.3+b5"), rules, &["1.2.3", "1.2", "v1", "latest"]);
    check(push("refs/tags/1.2"), rules, &[]);
    check(push("refs/heads/v1.2.3"), rules, &[]);
    check(push("refs/tags/v1.2.3-rc.1"), "type=semver,pattern={{raw}}", &["v1.2.3-rc.1"]);
    check(push("refs/heads/main"), "type=semver,pattern={{patch}},value=v4.5.6", &["6", "latest"]);
}

#[test]
fn a_service_of_a_monorepo_has_its_part_of_the_tag() {
    let rule = r"type=semver,pattern={{version}},match=^api/v(\d+\.\d+\.\d+)$";
    check(push("refs/tags/api/v1.2.3"), rule, &["1.2.3", "latest"]);
    check(push("refs/tags/web/v1.2.3"), rule, &[]);
    check(push("refs/tags/v2.0.0"), rule, &["2.0.0", "latest"]);
}

#[test]
fn a_version_of_python_has_its_normal_form() {
    let rules = "type=pep440,pattern={{version}}\ntype=pep440,pattern={{major}}.{{minor}}";
    check(push("refs/tags/v1.2.3"), rules, &["1.2.3", "1.2", "latest"]);
    check(push("refs/tags/1.2-RC.1"), rules, &["1.2rc1"]);
    check(push("refs/tags/1!2.0.post3"), rules, &["1-2.0.post3"]);
    check(push("refs/tags/1.2rc1"), "type=pep440,pattern={{raw}}", &["1.2rc1"]);
    check(push("refs/tags/nightly"), rules, &[]);
}

#[test]
fn a_pattern_may_hold_commas_look_ahead_and_flags() {
    check(push("refs/tags/release12"), "type=match,\"pattern=release(\\d{1,2})\",group=1", &["12", "latest"]);
    check(push("refs/tags/v0.1"), r"type=match,pattern=^v(?!0)(\d+),group=1", &[]);
    check(push("refs/tags/V2"), "type=match,pattern=/^v(\\d)$/i,group=1", &["2", "latest"]);
    check(push("refs/tags/v2"), "type=match,pattern=v,group=5", &[]);
    check(push("refs/heads/main"), "type=match,pattern=x(.*),group=1,value=x9", &["9", "latest"]);
}

#[test]
fn edge_is_the_default_branch_or_the_one_that_is_named() {
    check(push("refs/heads/main"), "type=edge", &["edge"]);
    check(push("refs/heads/dev"), "type=edge", &[]);
    check(push("refs/heads/dev"), "type=edge,branch=dev", &["edge"]);
    check(push("refs/tags/main"), "type=edge", &[]);
}

#[test]
fn a_commit_is_short_or_long_or_as_long_as_the_variable_says() {
    check(push("refs/heads/main"), "type=sha\ntype=sha,format=long,prefix=", &["sha-0123456", COMMIT]);
    let step = || push("refs/heads/main");
    check(step().with("DOCKER_METADATA_SHORT_SHA_LENGTH", "12"), "type=sha", &["sha-0123456789ab"]);
    check(step().with("DOCKER_METADATA_SHORT_SHA_LENGTH", "99"), "x{{sha}}", &[&format!("x{COMMIT}")]);
    for wrong in ["0", "-1", "many"] {
        let step = step().with("DOCKER_METADATA_SHORT_SHA_LENGTH", wrong);
        refused(step, "type=sha", "is not a number from 1");
    }
}

#[test]
fn a_pull_request_is_about_its_head_unless_the_variable_says_otherwise() {
    let step = || pull_request("pull_request", "refs/pull/7/merge");
    check(step(), "type=sha", &["sha-1111111"]);
    check(step().with("DOCKER_METADATA_PR_HEAD_SHA", "false"), "type=sha", &["sha-0123456"]);
    check(step().with("DOCKER_METADATA_PR_HEAD_SHA", "TRUE"), "{{base_ref}}-{{sha}}", &["main-1111111"]);
    refused(
        step().with("DOCKER_METADATA_PR_HEAD_SHA", "maybe"),
        "x",
        "`DOCKER_METADATA_PR_HEAD_SHA`: `maybe` is not `true` or `false`",
    );
}

#[test]
fn expressions_are_filled_in_without_escaping() {
    let rule = "type=raw,value=x-{{branch}}-{{sha}}";
    check(push("refs/heads/a&b"), rule, &["x-a-b-0123456"]);
    check(push("refs/heads/it's"), "type=raw,value=x-{{branch}}", &["x-it-s"]);
    check(push("refs/tags/v1"), "type=raw,value={{tag}}-{{is_default_branch}}", &["v1-false"]);
    check(
        push("refs/heads/main"),
        "a,enable={{is_default_branch}}\nb,enable={{is_not_default_branch}}",
        &["a"],
    );
    check(push("refs/heads/main"), "c-{{commit_date 'YYYY.MM.DD'}}", &["c-2026.01.02"]);
    check(push("refs/heads/main"), "\"{{date '[a,b] Do'}}\"", &["a-b-6th"]);
    let done = push("refs/heads/a&b").input("labels", "x=<{{branch}}>").run();
    assert!(lines(&done, "labels").contains(&"x=<a&b>"), "{done:#?}");
}

#[test]
fn the_branch_of_a_create_event_is_the_default_branch_only_if_it_is() {
    let create = |git_ref| Named::by("create", git_ref, COMMIT, &json!({"repository": repository()}));
    check(create("refs/heads/dev"), "latest,enable={{is_default_branch}}", &[]);
    check(create("refs/heads/main"), "latest,enable={{is_default_branch}}", &["latest"]);
}

#[test]
fn priorities_order_and_the_first_tag_is_the_version() {
    let done = push("refs/heads/main").input("tags", "a\nb,priority=900\ntype=sha\ntype=edge").run();
    assert_eq!(lines(&done, "tag-names"), ["b", "edge", "a", "sha-0123456"]);
    assert_eq!(done.output("version"), "b");
    assert!(lines(&done, "labels").contains(&"org.opencontainers.image.version=b"));
}

#[test]
fn a_flavor_holds_for_every_tag_that_has_none_of_its_own() {
    let step = |flavor: &str| push("refs/tags/v1").input("flavor", flavor);
    let rules = "type=ref,event=tag\nx,prefix=,suffix=-own";
    check(
        step("prefix={{sha}}-,onlatest=true\nsuffix=-b"),
        rules,
        &["0123456-v1-b", "x-own", "0123456-latest"],
    );
    check(step("suffix=-b,onlatest=true"), "type=ref,event=tag", &["v1-b", "latest-b"]);
    check(step("latest=false"), "type=ref,event=tag", &["v1"]);
    check(step("latest=true"), "x", &["x", "latest"]);
    check(step("suffix=-b"), "type=raw,value=", &[]);
    check(step("latest=true"), "latest\nx", &["latest", "x"]);
}

#[test]
fn no_tag_is_ever_one_that_a_registry_refuses() {
    check(push("refs/tags/v1"), "type=sha,prefix={{branch}}-", &["0123456"]);
    check(push("refs/heads/-lead"), "type=ref,event=branch", &["lead"]);
    check(push("refs/heads/.x"), "type=ref,event=branch", &["x"]);
    let long = format!("refs/heads/{}", "b".repeat(129));
    refused(push(&long), "type=sha\ntype=ref,event=branch", "line 2 of `tags`: `bbbbb");
    refused(push("refs/heads/日本"), "type=ref,event=branch", "line 1 of `tags`: `日本` makes no tag");
    let done = push(&long).input("tags", "type=ref,event=branch").run();
    assert!(
        done.stderr.contains("has 129 characters, and a tag has at most 128\nhint: it is never cut"),
        "{done:#?}"
    );
}

#[test]
fn what_begins_no_tag_is_left_out_and_that_is_said() {
    let done = push("refs/tags/v1").input("tags", "\n\ntype=sha,prefix={{branch}}-").run();
    assert!(done.stderr.contains("a tag cannot begin like `-0123456`, so it is `0123456`"), "{done:#?}");
    assert!(done.stderr.contains("::warning"), "{done:#?}");
}

#[test]
fn what_cannot_be_meant_is_an_error_with_its_line_and_a_hint() {
    let step = || push("refs/heads/main");
    for (rules, sentence) in [
        ("a\ntype=semvr", "line 2 of `tags`: unknown type `semvr`\nhint: did you mean `semver`?"),
        ("type=sha,prefx=x", "unknown attribute of type=sha `prefx`\nhint: did you mean `prefix`?"),
        ("x,priority=high", "`priority` is `high`, and not a whole number"),
        ("x{{brnch}}", "unknown expression `brnch`\nhint: did you mean `branch`?"),
        (
            "{{date 'YYYY' tz='Asia/Tokio'}}",
            "unknown time zone `Asia/Tokio`\nhint: did you mean `Asia/Tokyo`?",
        ),
        ("{{date 'YYYY' tz='Nowhere'}}", "unknown time zone `Nowhere`\nhint: "),
        ("x,enable=yes", "line 1 of `tags`: `enable` is `yes`, and not `true` or `false`"),
        ("a\n\n# b\ntype=raw,\"value=x", "line 4 of `tags`: a `\"` is never closed"),
        ("type=raw,value=\"x\"", "a `\"` stands inside `value=\"x\"`\nhint: quote the whole attribute"),
        ("type=match,pattern=v(", "the pattern `v(` cannot be read"),
    ] {
        refused(step(), rules, sentence);
    }
    let tagged = step().input("images", "a/b\nghcr.io/acme/shop:1").run();
    tagged.check(2, "line 2 of `images`: `ghcr.io/acme/shop:1` carries a tag or a digest");
    step()
        .input("flavor", "lates=true")
        .run()
        .check(2, "unknown flavor `lates`\nhint: did you mean `latest`?");
    step().input("labels", "a\nb={{now}}").run().check(2, "line 2 of `labels`: unknown expression `now`");
    step()
        .with("DOCKER_METADATA_ANNOTATIONS_LEVELS", "manifst")
        .run()
        .check(2, "hint: did you mean `manifest`?");
    step().input("context", "gti").run().check(2, "invalid value 'gti' for '--context <SOURCE>'");
    step().input("image", "a/b").run().check(2, "unknown input `image`\nhint: did you mean `images`?");
}

#[test]
fn images_are_in_lower_case_and_each_is_tagged_once() {
    let images = "ghcr.io/Acme/Shop\nname=acme/shop\nghcr.io/acme/shop\noff/x,enable=false";
    let done = push("refs/heads/main").input("images", images).input("tags", "a\na\nb").run();
    let expected = ["ghcr.io/acme/shop:a", "ghcr.io/acme/shop:b", "acme/shop:a", "acme/shop:b"];
    assert_eq!(lines(&done, "tags"), expected);
    assert_eq!(lines(&done, "tag-names"), ["a", "b"]);
}

#[test]
fn separators_are_taken_with_their_white_space() {
    let done = push("refs/heads/main")
        .input("tags", "a\nb")
        .input("sep-tags", " ")
        .input("sep-labels", ", ")
        .input("sep-annotations", "|")
        .run();
    assert_eq!((done.output("tags"), done.output("tag-names")), ("a b", "a b"));
    assert!(done.output("labels").contains("Z, org.opencontainers.image.description="), "{done:#?}");
    assert!(done.output("annotations").contains("Z|manifest:org."), "{done:#?}");
}

#[test]
fn labels_say_what_the_event_says_and_the_user_has_the_last_word() {
    let labels = "maintainer=me\norg.opencontainers.image.title=a=b, c\n\"x=1,\n2\"\nno label\nempty=";
    let done = push("refs/heads/main").input("tags", "a").input("labels", labels).run();
    let found: Value = serde_json::from_str(done.output("json")).unwrap();
    assert_eq!(
        found["labels"],
        json!({
            "empty": "", "maintainer": "me",
            "org.opencontainers.image.created": "2026-01-02T03:04:05.000Z",
            "org.opencontainers.image.description": "All you need",
            "org.opencontainers.image.licenses": "MIT",
            "org.opencontainers.image.revision": COMMIT,
            "org.opencontainers.image.source": "https://github.com/Acme/Shop",
            "org.opencontainers.image.title": "a=b, c",
            "org.opencontainers.image.url": "https://github.com/Acme/Shop",
            "org.opencontainers.image.version": "a",
            "x": "1,\n2",
        })
    );
    assert!(done.stderr.contains("line 5 of `labels`: `no label` is no `key=value`"), "{done:#?}");
}

#[test]
fn annotations_stand_at_every_level_that_is_asked_for() {
    let done = push("refs/heads/main")
        .input("annotations", "a=1")
        .with("DOCKER_METADATA_ANNOTATIONS_LEVELS", "manifest, index")
        .run();
    let found = lines(&done, "annotations");
    assert_eq!((found.len(), found[0], found[9]), (18, "manifest:a=1", "index:a=1"));
    assert!(!done.output("labels").contains("a=1"));
}

#[test]
fn one_run_names_many_images_for_their_bake_targets() {
    let step = push("refs/heads/main")
        .input("images", "acme/api,target=api\nacme/web,target=web\nghcr.io/acme/all")
        .input("tags", "1");
    let done = step.run();
    let tags = step.file(&done, "bake-file-tags");
    let api = json!({
        "tags": ["acme/api:1", "ghcr.io/acme/all:1"],
        "args": {"DOCKER_META_IMAGES": "acme/api,ghcr.io/acme/all", "DOCKER_META_VERSION": "1"},
    });
    assert_eq!(tags["target"]["api"], api);
    assert_eq!(tags["target"]["web"]["tags"], json!(["acme/web:1", "ghcr.io/acme/all:1"]));
    assert_eq!(tags["target"]["docker-metadata-action"]["tags"], json!(["ghcr.io/acme/all:1"]));
    let both = push("refs/heads/main").input("bake-target", "api, web").input("tags", "1");
    let file = both.file(&both.run(), "bake-file");
    assert_eq!(file["target"].as_object().unwrap().keys().collect::<Vec<_>>(), ["api", "web"]);
    push("refs/heads/main")
        .input("bake-target", "a b")
        .run()
        .check(2, "`bake-target`: `a b` is not the name of a bake target");
}

#[test]
fn bake_files_lie_in_the_checkout_and_two_steps_do_not_share_one() {
    let step = push("refs/heads/main").input("tags", "1");
    let (done, again) = (step.run(), step.run());
    for output in ["bake-file", "bake-file-tags", "bake-file-labels", "bake-file-annotations"] {
        assert!(done.output(output).starts_with(&format!(".shipkit/{output}-")), "{done:#?}");
        assert_eq!(done.output(output), again.output(output));
    }
    let other = step.input("bake-target", "other").run();
    assert_ne!(done.output("bake-file"), other.output("bake-file"));
    assert!(done.output("bake-file-labels") != done.output("bake-file-tags"));
}

#[test]
fn the_time_is_that_of_the_source_then_the_one_that_is_set() {
    let rules = "{{date 'X'}}\n{{commit_date 'X'}}";
    check(push("refs/heads/main").with("SOURCE_DATE_EPOCH", "60"), rules, &["60", "1767323045"]);
    check(push("refs/heads/main"), rules, &["1778051289", "1767323045"]);
    let created = |done: &Done| lines(done, "labels")[0].split_once('=').unwrap().1.to_owned();
    let epoch = push("refs/heads/main").with("SOURCE_DATE_EPOCH", "60").run();
    assert_eq!(created(&epoch), "1970-01-01T00:01:00.000Z");
    assert_eq!(created(&push("refs/heads/main").run()), "2026-01-02T03:04:05.000Z");
    assert_eq!(created(&schedule().run()), "2026-05-06T07:08:09.000Z");
}

#[test]
fn github_is_asked_only_for_what_nothing_else_says() {
    let api = Api::start(repository(), "2026-02-03T04:05:06Z");
    let step = |step: Named| step.with("GITHUB_API_URL", api.url()).input("github-token", "ghs_token").run();
    step(push("refs/heads/main"));
    assert_eq!(api.asked(), Vec::<String>::new());
    let bare = step(Named::by("schedule", "refs/heads/main", COMMIT, &json!({"schedule": "0 0 * * *"})));
    assert_eq!(api.asked(), ["/repos/Acme/Shop".to_owned(), format!("/repos/Acme/Shop/commits/{COMMIT}")]);
    assert!(lines(&bare, "labels").contains(&"org.opencontainers.image.created=2026-02-03T04:05:06.000Z"));
    assert!(lines(&bare, "labels").contains(&"org.opencontainers.image.licenses=MIT"));
    assert!(!bare.stderr.contains("warning"), "{bare:#?}");
    step(schedule().with("SOURCE_DATE_EPOCH", "60"));
    assert_eq!(api.asked().len(), 2, "the date of the commit is not needed then");
    step(schedule().with("SOURCE_DATE_EPOCH", "60").input("tags", "{{commit_date 'X'}}"));
    assert_eq!(api.asked().len(), 3);
}

#[test]
fn a_default_branch_that_nobody_knows_is_said_to_be_unknown() {
    let bare = |tags| Named::by("push", "refs/heads/main", COMMIT, &json!({})).input("tags", tags).run();
    for tags in ["type=edge", "type=raw,value=x{{is_default_branch}}", "x,enable={{is_not_default_branch}}"] {
        bare(tags).check(0, "the default branch is not known");
    }
    assert!(!bare("type=edge,branch=main").stderr.contains("the default branch is not known"));
}

#[test]
fn without_github_there_is_a_remark_and_what_is_known() {
    let bare = || Named::by("schedule", "refs/heads/main", COMMIT, &json!({"schedule": "0 0 * * *"}));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let offline =
        bare().with("GITHUB_API_URL", &format!("http://{closed}")).input("github-token", "ghs_token");
    for (done, remark) in [(offline.run(), "cannot be reached"), (bare().run(), "there is no `github-token`")]
    {
        done.check(0, remark);
        assert_eq!(lines(&done, "tag-names"), ["nightly", "main"]);
        assert!(lines(&done, "labels").contains(&"org.opencontainers.image.title=Shop"));
        assert!(
            lines(&done, "labels").contains(&"org.opencontainers.image.source=https://github.com/Acme/Shop")
        );
        assert!(!done.stderr.contains("ghs_token\n") || done.stderr.contains("::add-mask::ghs_token"));
    }
}

#[test]
fn no_event_at_all_gives_no_tag_and_is_no_error() {
    let done =
        Named::by("", "", "", &json!({})).input("images", "a/b").input("tags", "type=sha\n{{branch}}").run();
    assert_eq!((done.exit, done.output("verdict"), done.output("version")), (Some(0), "skipped", ""));
    assert_eq!((done.output("tags"), done.output("tag-names")), ("", ""));
}

#[test]
fn variables_of_later_steps_are_never_set() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let done = push("refs/heads/main")
        .with("DOCKER_METADATA_SET_OUTPUT_ENV", "true")
        .with("GITHUB_ENV", file.path().to_str().unwrap())
        .run();
    done.check(0, "`DOCKER_METADATA_SET_OUTPUT_ENV` has no effect");
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "");
    let quiet = push("refs/heads/main").run();
    assert!(!quiet.stderr.contains("SET_OUTPUT_ENV"), "{quiet:#?}");
}

#[test]
fn explain_tells_for_every_rule_what_it_gives_and_why() {
    let rules = "type=semver,pattern={{version}}\ntype=edge\n\ntype=sha\nmain,enable=false\nedge";
    let done = push("refs/heads/main").input("command", "explain").input("tags", rules).run();
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let expected = format!(
        "(none) <- type=semver,pattern={{{{version}}}}\n    line 1 of `tags`: `refs/heads/main` is no tag, and there is no `value`\n\
         edge <- type=edge\n    line 2 of `tags`: the branch is `main`\n\
         (none) <- main,enable=false\n    line 5 of `tags`: `enable` is `false`\n\
         (none) <- edge\n    line 6 of `tags`: it gives `edge`, which is there already\n\
         sha-0123456 <- type=sha\n    line 4 of `tags`: the commit is `{COMMIT}`\n\
         (none) <- latest=auto\n    by default: the first tag, of line 2 of `tags`, names no release\n"
    );
    assert_eq!(done.stdout, expected);
    assert_eq!(done.outputs.keys().collect::<Vec<_>>(), ["cause", "verdict"]);
    assert!(done.summary.contains("version edge, 2 tags"), "{}", done.summary);
}

#[test]
fn explain_tells_programs_the_same() {
    let step =
        push("refs/tags/v1").input("command", "explain").input("tags", "type=ref,event=tag\ntype=edge");
    let explained: Value = serde_json::from_str(&step.run_with(&["--json"]).stdout).unwrap();
    let expected = json!([
        {"rule": "type=edge", "place": {"line": {"input": "tags", "line": 2}}, "tags": [], "because": "`refs/tags/v1` is no branch"},
        {"rule": "type=ref,event=tag", "place": {"line": {"input": "tags", "line": 1}}, "tags": ["v1"], "because": "the ref is the tag `v1`"},
        {"rule": "latest=auto", "place": "default", "tags": ["latest"], "because": "the first tag, of line 1 of `tags`, names a release"},
    ]);
    assert_eq!(explained, expected);
}

#[test]
fn a_laptop_and_a_detached_or_shallow_checkout_know_their_ref() {
    let project = Project::with_git("x", "feat/x");
    let meta = |directory: &str, more: &[&str]| {
        let arguments: Vec<_> = [
            "meta",
            "--tags",
            "type=ref,event=branch\ntype=ref,event=tag\ntype=sha",
            "--directory",
            directory,
        ]
        .iter()
        .chain(more)
        .copied()
        .collect();
        let done = project.program(&[("SHIPKIT_NOW", "2026-05-06T07:08:09Z")], &arguments);
        assert_eq!(done.exit, Some(0), "{done:#?}");
        done.stdout
    };
    let sha = format!("sha-{}", project.git(&["rev-parse", "--short=7", "HEAD"]));
    assert_eq!(meta(".", &[]), format!("feat-x\n{sha}\n"));
    project.git(&["checkout", "-q", "--detach"]);
    assert_eq!(meta(".", &[]), format!("feat-x\n{sha}\n"));
    project.git(&["tag", "-a", "v1", "-m", "v1"]);
    assert_eq!(meta(".", &["--flavor", "latest=false"]), format!("v1\n{sha}\n"));
    let clone = project.path().join("clone");
    let address = format!("file://{}", project.path().display());
    project.git(&["clone", "-q", "--depth", "1", "--branch", "v1", &address, clone.to_str().unwrap()]);
    assert_eq!(meta("clone", &[]), format!("v1\n{sha}\nlatest\n"));
    let json = project
        .program(&[], &["meta", "--json", "--tags", "{{commit_date 'YYYY-MM-DD'}}", "--images", "a/b"]);
    let found: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&found["version"], &found["tags"][0]), (&json!("2026-01-02"), &json!("a/b:2026-01-02")));
    assert_eq!(found["labels"]["org.opencontainers.image.source"], "https://github.com/Acme/Shop");
}

#[test]
fn the_context_git_is_what_is_checked_out_whatever_the_event_was() {
    let project = Project::with_git("x", "other");
    let commit = project.git(&["rev-parse", "HEAD"]);
    let step = pull_request("pull_request", "refs/pull/7/merge")
        .input("context", "git")
        .input("directory", project.path().to_str().unwrap())
        .input("tags", "type=ref,event=branch\ntype=sha,format=long,prefix=");
    let done = step.run();
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert_eq!(lines(&done, "tag-names"), ["other", commit.as_str()]);
}

#[test]
fn a_program_without_a_command_says_what_there_is_and_a_step_without_one_is_meta() {
    let project = Project::new("x");
    project.program(&[], &[]).check(2, "`build-tag` needs to be told what to do");
    let done = push("refs/heads/main").run();
    assert_eq!(done.output("version"), "main");
    push("refs/heads/main").input("command", "mta").run().check(2, "names no command: `mta`");
}

#[test]
fn the_token_that_an_action_always_passes_disturbs_no_other_command() {
    let done = Project::new(crate::project::CONFIG).plan(
        "push",
        &crate::project::push("refs/heads/main"),
        &[("INPUT_GITHUB-TOKEN", "ghs_token")],
    );
    assert_eq!(done.exit, Some(0), "{done:#?}");
}

#[test]
fn a_payload_that_is_no_payload_gives_what_is_left_and_never_a_crash() {
    for payload in
        [json!(null), json!([1]), json!({"repository": 7, "commits": {}, "number": "x", "pull_request": []})]
    {
        let done = Named::by("pull_request_target", "refs/heads/main", COMMIT, &payload)
            .input("tags", "type=sha")
            .run();
        assert_eq!(done.exit, Some(0), "{done:#?}");
        assert_eq!(lines(&done, "tag-names"), ["sha-0123456"]);
    }
}
