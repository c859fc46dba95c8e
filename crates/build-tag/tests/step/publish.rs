//! `build-tag publish`, against a registry in memory.

use std::collections::BTreeMap;

use serde_json::Value;
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::{Digest, Repository, Verdict};
use shipkit_registry::Credentials;
use shipkit_tests::server::registry::{Broken, Fault, Registry, Request};

use crate::project::COMMIT;
use crate::release::Built;
use shipkit_tests::step::Done;

/// Writes this verdict of a scan on an image.
pub(crate) fn scan(repository: &Repository, image: &Digest, verdict: Verdict, minute: u8) {
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
    let client = shipkit_registry::Registry::new(Credentials::default()).unwrap();
    block_on(client.put_evidence(repository, image, &record)).unwrap();
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A release that is recorded and waits for its gate.
pub(crate) struct Recorded {
    pub(crate) built: Built,
    pub(crate) digest: String,
}

impl Recorded {
    fn new() -> Self {
        Self::of("refs/tags/v1.2.3")
    }

    fn of(git_ref: &str) -> Self {
        let built = Built::of(git_ref);
        let digest = built.release(&[]).output("release").to_owned();
        Self { built, digest }
    }

    /// The release of a push of this ref, whose images have passed.
    pub(crate) fn passed(git_ref: &str) -> Self {
        let recorded = Self::of(git_ref);
        recorded.scan("api", Verdict::Pass, 1);
        recorded.scan("web", Verdict::Pass, 1);
        recorded
    }

    fn with_scans(api: Verdict, web: Verdict) -> Self {
        let recorded = Self::new();
        recorded.scan("api", api, 1);
        recorded.scan("web", web, 1);
        recorded
    }

    fn scan(&self, service: &str, verdict: Verdict, minute: u8) {
        let repository = format!("{}/shop/{service}", self.registry().host()).parse().unwrap();
        scan(&repository, &self.image(service), verdict, minute);
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.built.registry
    }

    pub(crate) fn image(&self, service: &str) -> Digest {
        self.registry().tags(&format!("shop/{service}"))["build-7-2"].parse().unwrap()
    }

    pub(crate) fn publish(&self, more: &[(&str, &str)]) -> Done {
        let vars = [("INPUT_COMMAND", "publish"), ("INPUT_RELEASE", self.digest.as_str())];
        let repository = self.repository();
        self.built.project.step(&[&vars[..], &[("INPUT_REPOSITORY", &repository)], more].concat())
    }

    /// The repository that holds the release.
    pub(crate) fn repository(&self) -> String {
        format!("{}/shop/release", self.registry().host())
    }

    /// The tags of a repository, without those that carry builds and evidence.
    pub(crate) fn tags(&self, name: &str) -> BTreeMap<String, String> {
        let mut tags = self.registry().tags(&format!("shop/{name}"));
        tags.retain(|tag, _| !tag.starts_with("build-") && !tag.starts_with("sha256-"));
        tags
    }

    /// Takes all tags away that a publish gives.
    pub(crate) fn untag(&self) {
        for name in ["api", "web", "release"] {
            for tag in self.tags(name).into_keys() {
                if name != "release" || !tag.starts_with("sha-") {
                    self.registry().remove_tag(&format!("shop/{name}"), &tag);
                }
            }
        }
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
    assert_eq!(tags[..2], [format!("{host}/shop/api:{sha}"), format!("{host}/shop/web:{sha}")]);
    assert_eq!(tags[4], format!("{host}/shop/release:1.2.3"));
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
fn a_name_in_upper_case_is_one_clear_error() {
    let recorded = Recorded::new();
    let done = recorded.publish(&[("INPUT_REPOSITORY", "ghcr.io/Acme/Shop/release")]);
    done.check(
        2,
        "`ghcr.io/Acme/Shop/release` has upper-case letters, which no registry takes: write `ghcr.io/acme/shop/release`",
    );
    assert_eq!(done.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", done.stderr);
}

#[test]
fn an_image_that_is_gone_stops_everything_before_the_first_tag() {
    let recorded = Recorded::with_scans(Verdict::Pass, Verdict::Pass);
    let web = recorded.image("web");
    let before = recorded.registry().requests().len();
    // The scan reads it first, so the fault is at what is read for the tags.
    let faults =
        Fault::new("GET", shipkit_tests::server::registry::Kind::Manifest, Broken::Status(410, vec![]));
    recorded.publish(&[("INPUT_DRY-RUN", "true")]);
    let asked = recorded.registry().requests().split_off(before);
    let reads =
        asked.iter().filter(|request| request.method == "GET" && request.path.contains("/manifests/"));
    recorded.registry().fail(faults.after(reads.count() + 1));
    let done = recorded.publish(&[]);
    done.check(3, &format!("the manifest `{web}` of `shop/web`"));
    recorded.nothing_is_tagged();
}

#[test]
fn as_few_requests_as_the_promises_allow() {
    let recorded = Recorded::with_scans(Verdict::Pass, Verdict::Pass);
    let count = |from: usize, method: &str| {
        let requests = recorded.registry().requests().split_off(from);
        let is_one = |request: &&Request| request.method == method && !request.path.contains("/blobs/");
        requests.iter().filter(is_one).count()
    };
    let start = recorded.registry().requests().len();
    recorded.publish(&[("INPUT_DRY-RUN", "true")]);
    let (gets, heads) = (count(start, "GET"), count(start, "HEAD"));
    let start = recorded.registry().requests().len();
    recorded.publish(&[]);
    // 11 tags of 3 manifests: each manifest is read once; each tag is asked for, written, and read back. A HEAD that finds
    // nothing is followed by a GET, which tells a missing tag from a missing page.
    assert_eq!((count(start, "GET") - gets, count(start, "HEAD") - heads, count(start, "PUT")), (3, 11, 11));
    assert_eq!(heads, 11, "one for each tag");
}

#[test]
fn a_release_that_is_not_there_or_is_none_is_exit_3() {
    let recorded = Recorded::new();
    let nowhere = Digest::of(b"nowhere").to_string();
    recorded.publish(&[("INPUT_RELEASE", &nowhere)]).check(3, "does not have the manifest");
    recorded.publish(&[("INPUT_RELEASE", "9.9.9")]).check(3, "does not have release `9.9.9`");
    let image = recorded.registry().seed_image("shop/release", &serde_json::json!({}), &[]).to_string();
    recorded.publish(&[("INPUT_RELEASE", &image)]).check(3, "is not a release");
    recorded.publish(&[("INPUT_RELEASE", "a b")]).check(2, "`a b` names no release");
}
