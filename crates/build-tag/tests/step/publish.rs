//! `build-tag publish`, against a registry in memory.

use std::collections::BTreeMap;

use serde_json::Value;
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::{Digest, Repository, Verdict};
use shipkit_registry::Credentials;
use shipkit_tests::server::registry::Registry;

use crate::project::COMMIT;
use crate::release::Built;
use shipkit_tests::step::Done;

/// A release that is recorded and waits for its gate.
struct Recorded {
    built: Built,
    digest: String,
}

impl Recorded {
    fn new() -> Self {
        let built = Built::new();
        let digest = built.release(&[]).output("release").to_owned();
        Self { built, digest }
    }

    fn with_scans(api: Verdict, web: Verdict) -> Self {
        let recorded = Self::new();
        recorded.scan("api", api, 1);
        recorded.scan("web", web, 1);
        recorded
    }

    fn scan(&self, service: &str, verdict: Verdict, minute: u8) {
        let repository: Repository = format!("{}/shop/{service}", self.registry().host()).parse().unwrap();
        let record = Record {
            kind: Kind::Scan,
            verdict,
            cause: "because".to_owned(),
            environment: None,
            time: format!("2026-01-02T03:{minute:02}:00Z").parse().unwrap(),
            by: "test 1".to_owned(),
            run: None,
            details: Value::Null,
        };
        let subject = self.image(service);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = shipkit_registry::Registry::new(Credentials::default()).unwrap();
        runtime.block_on(client.put_evidence(&repository, &subject, &record)).unwrap();
    }

    fn registry(&self) -> &Registry {
        &self.built.registry
    }

    fn image(&self, service: &str) -> Digest {
        self.registry().tags(&format!("shop/{service}"))["build-7-2"].parse().unwrap()
    }

    fn publish(&self, more: &[(&str, &str)]) -> Done {
        let vars = [("INPUT_COMMAND", "publish"), ("INPUT_RELEASE", self.digest.as_str())];
        let repository = format!("{}/shop/release", self.registry().host());
        self.built.project.step(&[&vars[..], &[("INPUT_REPOSITORY", &repository)], more].concat())
    }

    /// The tags of a repository, without those that carry builds and evidence.
    fn tags(&self, name: &str) -> BTreeMap<String, String> {
        let mut tags = self.registry().tags(&format!("shop/{name}"));
        tags.retain(|tag, _| !tag.starts_with("build-") && !tag.starts_with("sha256-"));
        tags
    }

    #[track_caller]
    fn nothing_is_tagged(&self) {
        assert_eq!((self.tags("api"), self.tags("web")), (BTreeMap::new(), BTreeMap::new()));
        assert_eq!(self.tags("release").into_keys().collect::<Vec<_>>(), [format!("sha-{COMMIT}")]);
    }
}

#[test]
fn without_a_scan_nothing_is_published() {
    let recorded = Recorded::new();
    recorded.publish(&[]).check(3, "nothing was published: the scan of `api`");
    recorded.scan("api", Verdict::Pass, 1);
    recorded.publish(&[]).check(3, "nothing was published: the scan of `web`");
    recorded.nothing_is_tagged();
}

#[test]
fn a_failed_scan_publishes_nothing() {
    let recorded = Recorded::with_scans(Verdict::Pass, Verdict::Fail);
    let done = recorded.publish(&[]);
    done.check(1, "nothing was published: the scan of `web`");
    assert_eq!(done.output("verdict"), "fail");
    recorded.nothing_is_tagged();
}

#[test]
fn a_scan_that_found_nothing_out_publishes_nothing() {
    for verdict in [Verdict::Inconclusive, Verdict::Unreachable, Verdict::Skipped] {
        let recorded = Recorded::with_scans(verdict, Verdict::Pass);
        recorded.publish(&[]).check(3, "nothing was published");
        recorded.nothing_is_tagged();
    }
}

#[test]
fn the_newest_scan_counts() {
    let recorded = Recorded::with_scans(Verdict::Pass, Verdict::Pass);
    recorded.scan("web", Verdict::Fail, 2);
    recorded.publish(&[]).check(1, "nothing was published");
    recorded.nothing_is_tagged();
}

#[test]
fn a_passed_release_gets_permanent_and_moving_tags() {
    let recorded = Recorded::with_scans(Verdict::Pass, Verdict::Pass);
    let done = recorded.publish(&[("INPUT_JSON", "true")]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let sha = format!("sha-{COMMIT}");
    for service in ["api", "web"] {
        let tags = recorded.tags(service);
        assert_eq!(tags.keys().collect::<Vec<_>>(), ["1", "1.2", "1.2.3", "latest", &sha]);
        assert!(tags.values().all(|digest| *digest == recorded.image(service).to_string()));
    }
    assert_eq!(recorded.tags("release")["1.2.3"], recorded.digest);
    let tags: Vec<String> = serde_json::from_str(done.output("tags")).unwrap();
    let host = recorded.registry().host();
    assert_eq!(tags[..2], [format!("{host}/shop/api:{sha}"), format!("{host}/shop/api:1.2.3")]);
    assert_eq!(tags.len(), 11);
    let said: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(said["tags"], serde_json::json!(tags));
    assert_eq!(done.output("version"), "1.2.3");
}

#[test]
fn a_second_publish_changes_nothing() {
    let recorded = Recorded::with_scans(Verdict::Pass, Verdict::Pass);
    recorded.publish(&[]);
    let before = recorded.registry().requests().len();
    let done = recorded.publish(&[]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let writes = recorded.registry().requests().split_off(before);
    assert!(writes.iter().all(|request| matches!(request.method.as_str(), "GET" | "HEAD")), "{writes:?}");
    assert!(!done.stderr.contains("(new)"), "{}", done.stderr);
}

#[test]
fn a_permanent_tag_that_names_something_else_stops_everything_before_the_first_tag() {
    let recorded = Recorded::with_scans(Verdict::Pass, Verdict::Pass);
    let other = recorded.registry().seed_image("shop/web", &serde_json::json!({"os": "other"}), &[]);
    recorded.registry().set_tag("shop/web", "1.2.3", &other);
    let done = recorded.publish(&[]);
    done.check(1, "the tag `1.2.3` of");
    assert!(done.stderr.contains("is permanent"), "{}", done.stderr);
    assert!(recorded.tags("api").is_empty());
    assert_eq!(recorded.tags("web"), BTreeMap::from([("1.2.3".to_owned(), other.to_string())]));
}

#[test]
fn moving_tags_move() {
    let recorded = Recorded::with_scans(Verdict::Pass, Verdict::Pass);
    let old = recorded.registry().seed_image("shop/web", &serde_json::json!({"os": "old"}), &[]);
    recorded.registry().set_tag("shop/web", "latest", &old);
    recorded.publish(&[]).check(0, &format!("(moved from {})", old.short()));
    assert_eq!(recorded.tags("web")["latest"], recorded.image("web").to_string());
}

#[test]
fn a_dry_run_says_what_it_would_tag_and_tags_nothing() {
    let recorded = Recorded::with_scans(Verdict::Pass, Verdict::Pass);
    let done = recorded.publish(&[("INPUT_DRY-RUN", "true")]);
    done.check(0, "nothing was tagged");
    let line = format!("/shop/web:latest -> {} (new)", recorded.image("web").short());
    assert!(done.stdout.contains(&line), "{}", done.stdout);
    recorded.nothing_is_tagged();
}

#[test]
fn a_release_is_found_by_commit_through_the_configuration() {
    let recorded = Recorded::with_scans(Verdict::Pass, Verdict::Pass);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), crate::project::push("refs/heads/main").to_string()).unwrap();
    let done = recorded.built.project.step(&[
        ("INPUT_COMMAND", "publish"),
        ("INPUT_RELEASE", COMMIT),
        ("GITHUB_EVENT_NAME", "push"),
        ("GITHUB_EVENT_PATH", file.path().to_str().unwrap()),
    ]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert_eq!(recorded.tags("release")["1.2.3"], recorded.digest);
}

#[test]
fn a_release_that_is_not_there_or_is_none_is_exit_3() {
    let recorded = Recorded::new();
    let nowhere = Digest::of(b"nowhere").to_string();
    recorded.publish(&[("INPUT_RELEASE", &nowhere)]).check(3, "has no");
    recorded.publish(&[("INPUT_RELEASE", "9.9.9")]).check(3, "has no release `9.9.9`");
    let image = recorded.registry().seed_image("shop/release", &serde_json::json!({}), &[]).to_string();
    recorded.publish(&[("INPUT_RELEASE", &image)]).check(3, "is not a release");
    recorded.publish(&[("INPUT_RELEASE", "a b")]).check(2, "`a b` names no release");
}
