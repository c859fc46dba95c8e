//! A build whose platforms are built by runners of their own: what each job plans, and how `release` puts it together.

use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_tests::server::registry::{Options, Registry};
use shipkit_tests::step::Done;

use crate::project::{ONE_ENVIRONMENT, Project, push};
use crate::release::{INDEX, image};

const BOTH: &str =
    r#"[{"platform": "linux/amd64", "runner": "amd"}, {"platform": "linux/arm64", "runner": "arm"}]"#;
const ARM64: &str = r#"[{"platform": "linux/arm64", "runner": "arm"}]"#;
const AMD64_TAG: &str = "build-7-linux-amd64";
const ARM64_TAG: &str = "build-7-linux-arm64";

/// `api` has two platforms, `web` none.
fn project(host: &str) -> Project {
    Project::new(&format!(
        "version: 1\nname: shop\nregistry: {host}/shop\nservices:\n  \
         api: {{build: {{context: api, platforms: [linux/amd64, linux/arm64], cache: registry}}}}\n  \
         web: {{build: {{context: web}}}}\n{ONE_ENVIRONMENT}\n"
    ))
}

fn plan(project: &Project, more: &[(&str, &str)]) -> Done {
    let done = project.plan("push", &push("refs/heads/main"), more);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    done
}

#[track_caller]
fn refused(config: &str, more: &[(&str, &str)], sentence: &str) {
    let project = Project::new(&format!("version: 1\nname: shop\n{config}\n{ONE_ENVIRONMENT}\n"));
    project.plan("push", &push("refs/heads/main"), more).check(2, sentence);
    assert!(!project.handed_on("bake.json").exists());
}

#[test]
fn a_shard_builds_its_platform_of_the_services_that_name_it() {
    let project = project("127.0.0.1:1");
    let done = plan(&project, &[("INPUT_SHARDS", BOTH), ("INPUT_SHARD", "linux/arm64")]);
    assert_eq!(done.output("services"), r#"["api"]"#);
    let bake = project.json("bake.json");
    assert_eq!(bake["group"]["default"]["targets"], json!(["api"]));
    let api = &bake["target"]["api"];
    assert_eq!(api["platforms"], json!(["linux/arm64"]));
    assert_eq!(api["tags"], json!([format!("127.0.0.1:1/shop/api:{ARM64_TAG}")]));
    assert_eq!(
        api["cache-to"],
        json!(["type=registry,ref=127.0.0.1:1/shop/api:build-cache-linux-arm64,mode=max"])
    );
    assert_eq!(bake["target"].as_object().unwrap().len(), 1);
}

#[test]
fn the_job_that_joins_builds_what_has_no_platforms() {
    let project = project("127.0.0.1:1");
    let done = plan(&project, &[("INPUT_SHARDS", BOTH)]);
    assert_eq!(done.output("services"), r#"["web"]"#);
    assert!(done.stderr.contains("join api of linux/amd64, linux/arm64 -> 127.0.0.1:1/shop/api:build-7-2"));
    let bake = project.json("bake.json");
    assert_eq!(bake["target"].as_object().unwrap().keys().collect::<Vec<_>>(), ["web"]);
    assert_eq!(bake["group"]["default"]["targets"], json!(["web"]));
}

#[test]
fn without_shards_nothing_is_divided() {
    let project = project("127.0.0.1:1");
    let done = plan(&project, &[("INPUT_SHARDS", ""), ("INPUT_SHARD", "")]);
    assert_eq!(done.output("services"), r#"["api","web"]"#);
    assert_eq!(
        project.json("bake.json")["target"]["api"]["platforms"],
        json!(["linux/amd64", "linux/arm64"])
    );
}

#[test]
fn a_division_that_leaves_something_out_is_refused() {
    let services = |api: &str, web: &str| {
        format!("registry: 127.0.0.1:1/shop\nservices:\n  api: {{build: {api}}}\n  web: {{build: {web}}}")
    };
    let both = "{context: a, platforms: [linux/amd64, linux/arm64]}";
    refused(
        &services(both, "{context: w}"),
        &[("INPUT_SHARDS", ARM64)],
        "`api` is built for `linux/amd64` too, which no shard is for",
    );
    refused(
        &services(both, "{context: w}"),
        &[("INPUT_SHARDS", BOTH), ("INPUT_SHARD", "linux/s390x")],
        "no shard of `shards` is for `linux/s390x`",
    );
    refused(&services(both, "{context: w}"), &[("INPUT_SHARD", "linux/arm64")], "no shard of `shards`");
    let upon = |platforms: &str| format!("{{context: w, contexts: {{base: 'service:api'}}{platforms}}}");
    for web in [upon(""), upon(", platforms: [linux/arm64]")] {
        refused(
            &services(both, &web),
            &[("INPUT_SHARDS", BOTH)],
            "`web` builds upon `api`, which is not built on the same runners",
        );
    }
    refused(&services(both, "{context: w}"), &[("INPUT_SHARDS", "linux/arm64")], "a list like");
}

#[test]
fn services_that_build_upon_each_other_are_divided_together() {
    let project = Project::new(&format!(
        "version: 1\nname: shop\nregistry: 127.0.0.1:1/shop\nservices:\n  \
         api: {{build: {{context: a, platforms: [linux/arm64]}}}}\n  \
         web: {{build: {{context: w, platforms: [linux/arm64], contexts: {{base: 'service:api'}}}}}}\n{ONE_ENVIRONMENT}\n"
    ));
    let done = plan(&project, &[("INPUT_SHARDS", ARM64), ("INPUT_SHARD", "linux/arm64")]);
    assert_eq!(done.output("services"), r#"["api","web"]"#);
    assert_eq!(project.json("bake.json")["target"]["web"]["contexts"], json!({"base": "target:api"}));
}

/// A registry with the images of both shards and of `web`, and a plan that joins them, of a second attempt.
struct Joined {
    project: Project,
    registry: Registry,
    arm64: Digest,
}

impl Joined {
    fn new() -> Self {
        let registry = Registry::start(Options::default());
        let project = project(&registry.host());
        plan(&project, &[("INPUT_SHARDS", BOTH)]);
        let web = image(&registry, "shop/web", "amd64");
        registry.set_tag("shop/web", "build-7-2", &web);
        let metadata = json!({"web": {"containerimage.digest": web}});
        std::fs::write(project.handed_on("bake-metadata.json"), metadata.to_string()).unwrap();
        let amd64 = image(&registry, "shop/api", "amd64");
        registry.set_tag("shop/api", AMD64_TAG, &amd64);
        let arm64 = image(&registry, "shop/api", "arm64");
        let joined = Self { project, registry, arm64 };
        joined.registry.set_tag("shop/api", ARM64_TAG, &joined.with_attestation());
        joined
    }

    /// As BuildKit pushes one platform with provenance.
    fn with_attestation(&self) -> Digest {
        let attestation = self.registry.seed_image("shop/api", &json!({}), &[]);
        let manifest = "application/vnd.oci.image.manifest.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {"mediaType": manifest, "digest": self.arm64, "size": 1, "platform": {"os": "linux", "architecture": "arm64"}},
            {"mediaType": manifest, "digest": attestation, "size": 1, "platform": {"os": "unknown", "architecture": "unknown"},
             "annotations": {"vnd.docker.reference.digest": self.arm64, "vnd.docker.reference.type": "attestation-manifest"}},
        ]});
        self.registry.seed_manifest("shop/api", INDEX, index.to_string())
    }

    fn release(&self) -> Done {
        self.project.step(&[("INPUT_COMMAND", "release"), ("INPUT_JSON", "true")])
    }
}

#[test]
fn a_release_joins_the_images_of_all_shards_with_their_attestations() {
    let joined = Joined::new();
    let done = joined.release();
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let said: Value = serde_json::from_str(&done.stdout).unwrap();
    let api = &said["content"]["services"]["api"];
    let platforms: Vec<_> = api["platforms"].as_object().unwrap().keys().collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert_eq!(api["platforms"]["linux/arm64"], json!(joined.arm64));
    assert_eq!(joined.registry.tags("shop/api")["build-7-2"], api["digest"].as_str().unwrap());
    let (_, index) =
        joined.registry.stored("shop/api", &api["digest"].as_str().unwrap().parse().unwrap()).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 3);
    assert_eq!(index["manifests"][2]["annotations"]["vnd.docker.reference.digest"], json!(joined.arm64));
    assert_eq!(
        joined.release().output("release"),
        done.output("release"),
        "a second try gives the same release"
    );
}

#[test]
fn without_the_image_of_every_shard_there_is_no_release() {
    let joined = Joined::new();
    joined.registry.remove_tag("shop/api", ARM64_TAG);
    joined.release().check(1, "`api` has no image for `linux/arm64`");
    assert!(joined.registry.manifests("shop/release").is_empty());
    let joined = Joined::new();
    let amd64 = joined.registry.tags("shop/api")[AMD64_TAG].parse().unwrap();
    joined.registry.set_tag("shop/api", ARM64_TAG, &amd64);
    joined.release().check(1, "the image of `api` has no `linux/arm64`");
    assert!(joined.registry.manifests("shop/release").is_empty());
}

#[test]
fn one_shard_makes_no_release() {
    let project = project("127.0.0.1:1");
    plan(&project, &[("INPUT_SHARDS", BOTH), ("INPUT_SHARD", "linux/arm64")]);
    let done = project.step(&[("INPUT_COMMAND", "release")]);
    done.check(2, "this plan is for `linux/arm64` alone, and a release is made of all platforms");
}
