//! `build-tag publish`: which channels move, going by the versions that the registry has.

use std::collections::BTreeMap;

use shipkit_core::Digest;
use shipkit_tests::server::registry::{Broken, Fault, Kind};
use shipkit_tests::step::Done;

use crate::project::COMMIT;
use crate::publish::Recorded;

impl Recorded {
    /// Gives these tags of a service to another image, which is returned.
    fn has(&self, service: &str, tags: &[&str]) -> Digest {
        let name = format!("shop/{service}");
        let other = self.registry().seed_image(&name, &serde_json::json!({"os": "other"}), &[]);
        for tag in tags {
            self.registry().set_tag(&name, tag, &other);
        }
        other
    }

    /// The tags of a service that name this release's image, without the commit's.
    fn named(&self, service: &str) -> String {
        let image = self.image(service).to_string();
        let tags = self
            .tags(service)
            .into_iter()
            .filter(|(tag, digest)| *digest == image && !tag.starts_with("sha-"));
        tags.map(|(tag, _)| tag).collect::<Vec<_>>().join(" ")
    }
}

fn writes(recorded: &Recorded) -> usize {
    recorded.registry().requests().iter().filter(|request| request.method == "PUT").count()
}

/// That a run ended with 3 and wrote nothing.
#[track_caller]
fn nothing_was_written(recorded: &Recorded, before: usize, done: &Done, sentence: &str) {
    done.check(3, sentence);
    assert_eq!(writes(recorded), before, "{done:#?}");
    assert_eq!((recorded.tags("api"), recorded.tags("web")), (BTreeMap::new(), BTreeMap::new()));
}

#[test]
fn a_backport_moves_its_own_channels_and_never_latest() {
    let recorded = Recorded::passed("refs/tags/v1.2.3");
    let other = recorded.has("api", &["2.0.0", "2.0", "2", "latest"]);
    recorded.has("web", &["1.3.0", "1.3", "1", "1.2.2", "1.2", "2.0.0", "latest"]);
    let done = recorded.publish(&[]);
    done.check(0, "api: `latest` stays on 2.0.0: 1.2.3 is older");
    done.check(0, "api: `1.2` begins with 1.2.3");
    done.check(0, "web: `1` stays on 1.3.0: 1.2.3 is older");
    done.check(0, "web: `1.2` moves to 1.2.3: 1.2.2 was the newest");
    assert_eq!(
        (recorded.named("api").as_str(), recorded.named("web").as_str()),
        ("1 1.2 1.2.3", "1.2 1.2.3")
    );
    assert_eq!(recorded.tags("api")["latest"], other.to_string());
    assert!(!done.output("tags").contains("latest"), "{done:#?}");
    assert!(done.summary.contains("stays on 2.0.0"), "{}", done.summary);
}

#[test]
fn a_newer_version_moves_every_channel() {
    let recorded = Recorded::passed("refs/tags/v1.2.3");
    recorded.has("api", &["1.2.2", "1.1.9", "0.9.0", "1.2", "1", "latest", "9", "main"]);
    recorded.publish(&[]).check(0, "api: `latest` moves to 1.2.3: 1.2.2 was the newest");
    assert_eq!(recorded.named("api"), "1 1.2 1.2.3 latest");
}

#[test]
fn a_prerelease_moves_the_channel_of_its_word_and_never_back() {
    let recorded = Recorded::passed("refs/tags/v2.0.0-rc.2");
    recorded.has("api", &["2.0.0-rc.1", "1.9.0", "latest"]);
    recorded.has("web", &["2.0.0-rc.10", "rc"]);
    let done = recorded.publish(&[]);
    done.check(0, "api: `rc` moves to 2.0.0-rc.2: 2.0.0-rc.1 was the newest");
    done.check(0, "web: `rc` stays on 2.0.0-rc.10: 2.0.0-rc.2 is older");
    assert_eq!(recorded.named("api"), "2.0.0-rc.2 rc");
    assert_eq!(recorded.named("web"), "2.0.0-rc.2");
}

#[test]
fn a_registry_that_does_not_list_its_tags_stops_everything_before_the_first() {
    let recorded = Recorded::passed("refs/tags/v1.2.3");
    for status in [401, 403, 404, 405, 501] {
        let before = writes(&recorded);
        // The second service's list: the first one's is whole.
        recorded.registry().fail(Fault::new("GET", Kind::Tags, Broken::Status(status, vec![])).after(1));
        nothing_was_written(&recorded, before, &recorded.publish(&[]), "the list of tags of `shop/web`");
    }
    recorded.publish(&[]).check(0, "(new)");
}

#[test]
fn the_tag_of_one_service_gives_its_version_to_that_service_alone() {
    let recorded = Recorded::passed("refs/tags/api/v1.2.3");
    let untouched = recorded.has("web", &["1.0.0", "latest"]);
    let done = recorded.publish(&[]);
    assert_eq!((done.exit, done.output("version")), (Some(0), "api-1.2.3"), "{done:#?}");
    assert_eq!(recorded.named("api"), "1 1.2 1.2.3 latest");
    assert_eq!(recorded.named("web"), "");
    assert_eq!(recorded.tags("web")["latest"], untouched.to_string());
    assert_eq!(recorded.tags("web")[&format!("sha-{COMMIT}")], recorded.image("web").to_string());
    assert_eq!(recorded.tags("release")["api-1.2.3"], recorded.digest);
    let lists =
        recorded.registry().requests().into_iter().filter(|request| request.path.ends_with("/tags/list"));
    assert_eq!(lists.map(|request| request.path).collect::<Vec<_>>(), ["/v2/shop/api/tags/list"]);
    for name in ["api/v1.2.3", "api-1.2.3"] {
        recorded.publish(&[("INPUT_RELEASE", name)]).check(0, "(as before)");
    }
}

#[test]
fn a_git_tag_names_again_what_a_branch_built_and_the_commit_stays_the_branchs() {
    let recorded = Recorded::passed("refs/heads/main");
    assert_eq!(recorded.publish(&[]).exit, Some(0));
    let branch = recorded.digest.clone();
    let images = (recorded.image("api"), recorded.image("web"));
    let commit = format!("sha-{COMMIT}");
    for (git_ref, version, api, web) in [
        ("refs/tags/v1.2.3", "1.2.3", "1 1.2 1.2.3 latest", "1 1.2 1.2.3 latest"),
        ("refs/tags/web/v4.0.0", "web-4.0.0", "1 1.2 1.2.3 latest", "1 1.2 1.2.3 4 4.0 4.0.0 latest"),
    ] {
        // The plan finds the images again: here they carry the throw-away tag of this run, too.
        recorded.built.project.plan("push", &crate::project::push(git_ref), &[]);
        let release = recorded.built.release(&[]);
        assert_eq!(release.exit, Some(0), "{release:#?}");
        let digest = release.output("release").to_owned();
        assert_ne!(digest, branch);
        assert_eq!(recorded.tags("release")[&commit], branch);
        let done = recorded.publish(&[("INPUT_RELEASE", &digest)]);
        assert_eq!((done.exit, done.output("version")), (Some(0), version), "{done:#?}");
        assert_eq!((recorded.named("api").as_str(), recorded.named("web").as_str()), (api, web));
        assert_eq!(recorded.tags("release")[version], digest);
        assert_eq!((recorded.image("api"), recorded.image("web")), images);
    }
}

#[test]
fn a_branch_asks_for_no_list() {
    let recorded = Recorded::passed("refs/heads/main");
    recorded.registry().fail(Fault::new("GET", Kind::Tags, Broken::Status(403, vec![])));
    assert_eq!(recorded.publish(&[]).exit, Some(0));
}
