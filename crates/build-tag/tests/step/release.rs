//! `build-tag release`, against a registry in memory.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_tests::server::registry::{Options, Registry};

use crate::project::{COMMIT, Project, push};
use shipkit_tests::step::Done;

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const BUILD_TAG: &str = "build-7-2";

/// A planned project and the registry that its images were pushed to.
pub(crate) struct Built {
    pub(crate) project: Project,
    pub(crate) registry: Registry,
}

pub(crate) fn image(registry: &Registry, name: &str, architecture: &str) -> Digest {
    let config = json!({"os": "linux", "architecture": architecture, "config": {"User": name}});
    registry.seed_image(name, &config, &[b"layer"])
}

impl Built {
    /// `api` is an index of two platforms with an attestation, `web` a single image.
    pub(crate) fn new() -> Self {
        Self::of("refs/tags/v1.2.3")
    }

    /// The same for a push of this ref.
    pub(crate) fn of(git_ref: &str) -> Self {
        let registry = Registry::start(Options::default());
        let project = Project::new(&config(&registry.host()));
        let done = project.plan("push", &push(git_ref), &[]);
        assert_eq!(done.exit, Some(0), "{done:#?}");
        let built = Self { project, registry };
        let digests = [("api", built.index()), ("web", image(&built.registry, "shop/web", "amd64"))];
        built.finish(&digests);
        built
    }

    /// What buildx leaves: the throw-away tag at the registry and the metadata file.
    pub(crate) fn finish(&self, digests: &[(&str, Digest)]) {
        let mut metadata = json!({});
        for (service, digest) in digests {
            self.registry.set_tag(&format!("shop/{service}"), BUILD_TAG, digest);
            metadata[*service] = json!({"containerimage.digest": digest});
        }
        self.metadata(&metadata.to_string());
    }

    fn index(&self) -> Digest {
        let entry = |digest: &Digest, os: &str, architecture: &str| {
            json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1,
                "platform": {"os": os, "architecture": architecture}})
        };
        let (amd64, arm64) =
            (image(&self.registry, "shop/api", "amd64"), image(&self.registry, "shop/api", "arm64"));
        let attestation = self.registry.seed_image("shop/api", &json!({}), &[]);
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            entry(&amd64, "linux", "amd64"), entry(&arm64, "linux", "arm64"), entry(&attestation, "unknown", "unknown")]});
        self.registry.seed_manifest("shop/api", INDEX, index.to_string())
    }

    pub(crate) fn metadata(&self, text: &str) {
        std::fs::write(self.project.handed_on("bake-metadata.json"), text).unwrap();
    }

    pub(crate) fn release(&self, more: &[(&str, &str)]) -> Done {
        self.project.step(&[&[("INPUT_COMMAND", "release")][..], more].concat())
    }

    #[track_caller]
    fn refused(&self, exit: i32, sentence: &str) {
        self.release(&[]).check(exit, sentence);
        assert!(self.registry.manifests("shop/release").is_empty());
        assert!(self.registry.tags("shop/release").is_empty());
    }
}

fn config(host: &str) -> String {
    format!(
        "version: 1\nname: shop\nregistry: {host}/shop\ntags: {{include: [sha, semver], latest: release}}\nservices:\n  \
         api: {{build: {{context: api, platforms: [linux/amd64, linux/arm64]}}}}\n  web: {{build: {{context: web}}}}\n{}\n",
        crate::project::ONE_ENVIRONMENT
    )
}

#[test]
fn a_release_names_what_the_registry_holds() {
    let built = Built::new();
    let done = built.release(&[("INPUT_JSON", "true")]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let said: Value = serde_json::from_str(&done.stdout).unwrap();
    let content = &said["content"];
    assert_eq!(said["release"], done.output("release"));
    assert_eq!(done.output("repository"), format!("{}/shop/release", built.registry.host()));
    assert_eq!((done.output("version"), &content["commit"]), ("1.2.3", &json!(COMMIT)));
    let platforms: Vec<_> = content["services"]["api"]["platforms"].as_object().unwrap().keys().collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"], "attestations are no platforms");
    assert_eq!(content["services"]["api"]["mediaType"], INDEX);
    let web = &content["services"]["web"];
    assert_eq!(web["platforms"], json!({"linux/amd64": web["digest"]}));
    let tags = built.registry.tags("shop/release");
    assert_eq!(
        tags.into_iter().collect::<Vec<_>>(),
        [(format!("sha-{COMMIT}"), done.output("release").to_owned())]
    );
    assert!(!built.registry.tags("shop/api").contains_key("1.2.3"), "only publish gives permanent tags");
}

#[test]
fn the_same_input_gives_the_same_release_also_in_another_run() {
    let built = Built::new();
    let first = built.release(&[]).output("release").to_owned();
    assert_eq!(built.release(&[]).output("release"), first);
    let again = [("GITHUB_RUN_ID", "8"), ("GITHUB_RUN_ATTEMPT", "1")];
    built.project.plan("push", &push("refs/tags/v1.2.3"), &again);
    for service in ["api", "web"] {
        let digest = built.registry.tags(&format!("shop/{service}"))[BUILD_TAG].parse().unwrap();
        built.registry.set_tag(&format!("shop/{service}"), "build-8-1", &digest);
    }
    assert_eq!(built.release(&again).output("release"), first);
    assert_eq!(Built::new().registry.manifests("shop/release").len(), 0);
}

#[test]
fn a_registry_with_another_digest_makes_no_release() {
    let built = Built::new();
    let other = image(&built.registry, "shop/web", "arm64");
    built.registry.set_tag("shop/web", BUILD_TAG, &other);
    built.refused(3, &format!("/shop/web:{BUILD_TAG}` is `{other}`, but `web` was built as"));
}

#[test]
fn a_tag_that_is_not_there_makes_no_release() {
    let built = Built::new();
    built.metadata(&built_metadata(&built, "web", &Digest::of(b"elsewhere")));
    built.refused(3, "but `web` was built as");
    let built = Built::new();
    let project = &built.project;
    project.plan("push", &push("refs/tags/v1.2.3"), &[("GITHUB_RUN_ID", "9")]);
    built.refused(3, "build-9-2` is missing, but `api` was built as");
}

fn built_metadata(built: &Built, service: &str, digest: &Digest) -> String {
    let mut metadata = built.project.json("bake-metadata.json");
    metadata[service] = json!({"containerimage.digest": digest});
    metadata.to_string()
}

#[test]
fn a_manifest_that_is_gone_or_changed_makes_no_release() {
    let built = Built::new();
    let web: Digest = built.registry.tags("shop/web")[BUILD_TAG].parse().unwrap();
    built.registry.remove("shop/web", &web);
    built.refused(3, "web");
}

#[test]
fn a_platform_that_was_asked_for_must_be_there() {
    let built = Built::new();
    built.finish(&[("api", image(&built.registry, "shop/api", "amd64"))]);
    built.metadata(&built_metadata(&built, "web", &Digest::of(b"never looked at")));
    built.refused(1, "the image of `api` has no `linux/arm64`");
}

#[test]
fn a_registry_that_is_down_is_named_within_seconds() {
    let built = Built::new();
    let host = built.registry.host();
    let Built { project, registry } = built;
    drop(registry);
    let begun = Instant::now();
    let done = project.step(&[("INPUT_COMMAND", "release")]);
    done.check(3, &format!("`{host}` could not be reached"));
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(done.output("verdict"), "inconclusive");
}

#[test]
fn what_the_build_left_is_checked() {
    let built = Built::new();
    built.metadata("{}");
    built.refused(2, "holds no digest for `api`");
    built.metadata(r#"{"api": {"containerimage.digest": "sha256:short"}}"#);
    built.refused(2, "holds no digest for `api`");
    built.metadata("[");
    built.refused(2, "is not what `docker buildx bake` writes");
    std::fs::remove_file(built.project.handed_on("bake-metadata.json")).unwrap();
    built.refused(2, "bake-metadata.json` cannot be read");
    std::fs::remove_dir_all(built.project.path().join(".shipkit")).unwrap();
    built.refused(2, "plan.json` cannot be read");
}

#[test]
fn a_pull_request_has_nothing_to_release() {
    let built = Built::new();
    let event = json!({"pull_request": {"number": 7, "base": {"ref": "main"}, "head": {"sha": COMMIT}}});
    built.project.plan("pull_request", &event, &[]);
    built.refused(2, "this event pushes nothing, so there is nothing to release");
}

#[test]
fn a_dry_run_confirms_and_stores_nothing() {
    let built = Built::new();
    let done = built.release(&[("INPUT_DRY-RUN", "true")]);
    done.check(0, "nothing was stored");
    let release: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(release["version"], "1.2.3");
    assert!(built.registry.manifests("shop/release").is_empty());
    assert!(
        built.registry.requests().iter().all(|request| matches!(request.method.as_str(), "GET" | "HEAD"))
    );
}
