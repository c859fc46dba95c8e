//! Images at a registry.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shipkit_core::{Digest, Verdict};
use shipkit_tests::server::registry::{Auth, Broken, Fault, Kind, Options, PASSWORD, Registry, USERNAME};

use crate::bench::{Bench, good, gzip, of_layers, scans};
use shipkit_tests::step::Done;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn reference(registry: &Registry, digest: &Digest) -> String {
    format!("{}/shop/api@{digest}", registry.host())
}

fn scan(bench: &Bench, registry: &Registry, digest: &Digest, more: &[(&str, &str)]) -> Done {
    let image = reference(registry, digest);
    bench.step(&[&[("INPUT_IMAGE", image.as_str())][..], more].concat())
}

/// An image whose one layer has this media type and these bytes, and unpacks to those.
fn with_layer(registry: &Registry, media_type: &str, layer: &[u8], unpacked: &[u8]) -> Digest {
    let config = of_layers(&good(), &[unpacked]).to_string();
    let layers = [
        json!({"mediaType": media_type, "size": layer.len(), "digest": registry.seed_blob("shop/api", layer.to_vec())}),
    ];
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
        "config": {"mediaType": CONFIG, "size": config.len(), "digest": registry.seed_blob("shop/api", config)}});
    registry.seed_manifest("shop/api", MANIFEST, manifest.to_string())
}

fn index(registry: &Registry, entries: &[(Digest, &str, &str)]) -> Digest {
    let entries: Vec<Value> = entries
        .iter()
        .map(|(digest, os, architecture)| {
            json!({"mediaType": MANIFEST, "digest": digest, "size": 1, "platform": {"os": os, "architecture": architecture}})
        })
        .collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    registry.seed_manifest("shop/api", INDEX, index.to_string())
}

/// Judges an image that is good but for `change`.
#[track_caller]
fn check(change: impl FnOnce(&mut Value), exit: i32, sentence: &str) {
    let (bench, registry) = (Bench::new(), Registry::start(Options::default()));
    let mut config = good();
    change(&mut config);
    let config = of_layers(&config, &[&[0; 2000]]);
    let digest = registry.seed_image("shop/api", &config, &[&gzip(&[0; 2000])]);
    let done = scan(&bench, &registry, &digest, &[]);
    done.check(exit, sentence);
    let records = scans(&registry.host(), "shop/api", &digest);
    let verdict = if exit == 0 { Verdict::Pass } else { Verdict::Fail };
    assert_eq!(records.iter().map(|record| record.verdict).collect::<Vec<_>>(), [verdict]);
}

#[test]
fn a_good_image_passes_and_both_sizes_are_said() {
    check(|_| (), 0, "compressed, 2.0 kB unpacked");
}

#[test]
fn every_rule_of_the_default_policy_can_fail() {
    check(|config| config["config"]["User"] = json!(""), 1, "it runs as root");
    check(|config| config["config"]["User"] = json!("0:app"), 1, "it runs as root");
    check(|config| config["config"]["Healthcheck"] = json!({"Test": ["NONE"]}), 1, "it has no `HEALTHCHECK`");
    let base = "org.opencontainers.image.base.name";
    check(
        |config| config["config"]["Labels"][base] = json!("debian:latest"),
        1,
        "its base `debian:latest` is `latest`",
    );
}

#[test]
fn the_evidence_says_who_when_and_what() {
    let (bench, registry) = (Bench::new(), Registry::start(Options::default()));
    let digest = registry.seed_image("shop/api", &of_layers(&good(), &[&[0; 2000]]), &[&gzip(&[0; 2000])]);
    let done = scan(&bench, &registry, &digest, &[]);
    done.check(0, "there is no `./shipkit.yml`: the default policy is used");
    assert_eq!((done.output("verdict"), done.output("findings")), ("pass", "0"));
    assert!(done.output("cause").ends_with("(evidence is unsigned)"));
    assert!(done.summary.starts_with("### Image scan: pass"), "{}", done.summary);
    let records = scans(&registry.host(), "shop/api", &digest);
    let record = &records[0];
    assert_eq!(
        (record.time.to_string(), record.run.as_deref()),
        ("2026-05-06T07:08:09Z".to_owned(), Some("7"))
    );
    assert!(record.by.starts_with("image-scan "));
    let rules: Vec<_> = record.details[0]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["rule"].as_str().unwrap())
        .collect();
    assert_eq!(rules, ["non-root", "healthcheck", "pinned-base", "size", "vulnerabilities"]);
}

#[test]
fn a_run_that_may_only_read_judges_and_stores_nothing() {
    let (bench, registry) = (Bench::new(), Registry::start(Options::default()));
    let digest = registry.seed_image("shop/api", &of_layers(&good(), &[&[0; 2000]]), &[&gzip(&[0; 2000])]);
    let request = json!({"pull_request": {"head": {"repo": {"full_name": "somebody/shop"}}}, "repository": {"full_name": "acme/shop"}});
    bench.write("event.json", request.to_string());
    let event = [("GITHUB_EVENT_NAME", "pull_request"), ("GITHUB_EVENT_PATH", "event.json")];
    let done = scan(&bench, &registry, &digest, &event);
    done.check(0, "compressed, 2.0 kB unpacked (evidence: skipped(read-only token))");
    assert!(scans(&registry.host(), "shop/api", &digest).is_empty());
    scan(&bench, &registry, &digest, &[("GITHUB_ACTOR", "dependabot[bot]")])
        .check(0, "skipped(read-only token)");
    assert!(scans(&registry.host(), "shop/api", &digest).is_empty());
}

#[test]
fn the_budget_of_a_service_is_about_unpacked_bytes() {
    let registry = Registry::start(Options::default());
    let (small, large) = (vec![0; 300_000], vec![0; 700_000]);
    let layers = [gzip(&small), [gzip(&large[..500_000]), gzip(&large[500_000..])].concat()];
    let config = of_layers(&good(), &[&small, &large]);
    let digest = registry.seed_image("shop/api", &config, &[&layers[0], &layers[1]]);
    for (budget, exit) in [("1000k", 0), ("999k", 1)] {
        let release = release(&registry, &digest);
        let bench = Bench::with_config(&format!(
            "registry: {}/shop\nservices: {{api: {{build: {{}}, size_limit: {budget}}}}}",
            registry.host()
        ));
        let image = reference(&registry, &digest);
        for what in [("INPUT_RELEASE", release.as_str()), ("INPUT_IMAGE", image.as_str())] {
            let done = bench.step(&[what]);
            assert_eq!(done.exit, Some(exit), "{done:#?}");
            assert!(done.stderr.contains("1.0 MB unpacked"), "{}", done.stderr);
        }
    }
}

/// Stores a release of one service.
fn release(registry: &Registry, digest: &Digest) -> String {
    release_of(registry, digest, "1.2.3")
}

/// Stores a release of one service with this version.
pub(crate) fn release_of(registry: &Registry, digest: &Digest, version: &str) -> String {
    let release = shipkit_core::Release {
        name: "shop".to_owned(),
        version: version.to_owned(),
        commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        created: "2026-01-02T03:04:05Z".parse().unwrap(),
        run: None,
        services: [(
            "api".to_owned(),
            shipkit_core::release::ServiceImage {
                key: None,
                created: None,
                bases: BTreeMap::new(),
                repository: format!("{}/shop/api", registry.host()).parse().unwrap(),
                digest: digest.clone(),
                media_type: MANIFEST.to_owned(),
                platforms: [("linux/amd64".to_owned(), digest.clone())].into(),
                revision: "0123456789abcdef0123456789abcdef01234567".to_owned(),
                version: None,
            },
        )]
        .into(),
        tags: shipkit_core::release::PublishTags::default(),
    };
    let repository = format!("{}/shop/release", registry.host()).parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = shipkit_registry::Registry::new(shipkit_registry::Credentials::default()).unwrap();
    runtime.block_on(client.put_release(&repository, &release)).unwrap().to_string()
}

#[test]
fn a_release_needs_no_configuration_when_its_repository_is_given() {
    let (bench, registry) = (Bench::new(), Registry::start(Options::default()));
    let digest = registry.seed_image("shop/api", &good(), &[]);
    let release = release(&registry, &digest);
    let repository = format!("{}/shop/release", registry.host());
    let done = bench.step(&[("INPUT_RELEASE", &release), ("INPUT_REPOSITORY", &repository)]);
    done.check(0, "`api` (linux/amd64): ");
    assert_eq!(scans(&registry.host(), "shop/api", &digest).len(), 1);
    bench.step(&[("INPUT_RELEASE", &release)]).check(2, "the configuration `./shipkit.yml` cannot be read");
}

#[test]
fn every_platform_of_an_index_is_judged_and_attestations_are_not() {
    let (bench, registry) = (Bench::new(), Registry::start(Options::default()));
    let amd64 = registry.seed_image("shop/api", &good(), &[]);
    let mut config = good();
    config["architecture"] = json!("arm64");
    config["config"]["User"] = json!("root");
    let arm64 = registry.seed_image("shop/api", &config, &[]);
    let attestation = registry.seed_image("shop/api", &json!({}), &[]);
    let entries = [(amd64, "linux", "amd64"), (arm64, "linux", "arm64"), (attestation, "unknown", "unknown")];
    let digest = index(&registry, &entries);
    let done = scan(&bench, &registry, &digest, &[("INPUT_JSON", "true")]);
    done.check(1, "`shop/api` (linux/arm64): it runs as root");
    let said: Value = serde_json::from_str(&done.stdout).unwrap();
    let platforms: Vec<_> = said.as_array().unwrap().iter().map(|image| &image["platform"]).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert_eq!(scans(&registry.host(), "shop/api", &digest)[0].verdict, Verdict::Fail);
    let empty = index(&registry, &entries[2..]);
    scan(&bench, &registry, &empty, &[]).check(3, "an index without images");
}

/// That nothing can be found out about this image, and no evidence is written.
#[track_caller]
fn unreadable(registry: &Registry, digest: &Digest, sentence: &str) {
    let done = scan(&Bench::new(), registry, digest, &[]);
    done.check(3, sentence);
    assert_eq!(done.output("verdict"), "inconclusive");
    assert!(registry.requests().iter().all(|request| matches!(request.method.as_str(), "GET" | "HEAD")));
}

#[test]
fn an_image_without_a_configuration_is_not_judged() {
    let registry = Registry::start(Options::default());
    let digest = registry.seed_image("shop/api", &good(), &[]);
    registry.remove("shop/api", &Digest::of(good().to_string().as_bytes()));
    unreadable(&registry, &digest, "does not have the");
    let digest = registry.seed_image("shop/api", &json!([]), &[]);
    unreadable(&registry, &digest, "the configuration of");
}

#[test]
fn a_layer_that_cannot_be_unpacked_or_is_another_one_is_not_judged() {
    let registry = Registry::start(Options::default());
    let plain: Vec<u8> = std::iter::repeat_n(0, 9000).collect();
    let whole = gzip(&plain);
    let cut = whole.get(..whole.len() - 9).unwrap();
    unreadable(&registry, &with_layer(&registry, GZIP, cut, &plain), "cannot be read: it cannot be unpacked");
    let zstd = with_layer(&registry, "application/vnd.oci.image.layer.v1.tar+zstd", b"zstd", &plain);
    unreadable(&registry, &zstd, "cannot be read: it cannot be unpacked");
    let encrypted = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted";
    let encrypted = with_layer(&registry, encrypted, &whole, &plain);
    unreadable(&registry, &encrypted, "gzip+encrypted`, which cannot be unpacked here");
    unreadable(&registry, &with_layer(&registry, GZIP, &whole, b"other"), "says that layer 0 is");
}

#[test]
fn a_plain_tar_is_as_large_as_it_is_and_zstd_is_unpacked() {
    let registry = Registry::start(Options::default());
    let plain = [0; 2048];
    let digest = with_layer(&registry, "application/vnd.oci.image.layer.v1.tar", &plain, &plain);
    scan(&Bench::new(), &registry, &digest, &[]).check(0, "2.0 kB compressed, 2.0 kB unpacked");
    let packed = zstd::encode_all(&plain[..], 1).unwrap();
    let zstd = with_layer(&registry, "application/vnd.oci.image.layer.v1.tar+zstd", &packed, &plain);
    scan(&Bench::new(), &registry, &zstd, &[]).check(0, " compressed, 2.0 kB unpacked");
}

/// The tar of one file.
pub(crate) fn tar(path: &str, content: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len().try_into().unwrap());
    header.set_mode(0o644);
    builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn a_layer_that_services_have_in_common_is_read_once() {
    let registry = Registry::start(Options::default());
    let (common, own) = (tar("common", "x"), tar("own", "y"));
    let image = |architecture: &str, layers: &[&[u8]]| {
        let packed: Vec<_> = layers.iter().map(|layer| gzip(layer)).collect();
        let packed: Vec<&[u8]> = packed.iter().map(Vec::as_slice).collect();
        let mut config = of_layers(&good(), layers);
        config["architecture"] = json!(architecture);
        registry.seed_image("shop/api", &config, &packed)
    };
    let (one, two) = (image("amd64", &[&common]), image("arm64", &[&common, &own]));
    let index = index(&registry, &[(one, "linux", "amd64"), (two, "linux", "arm64")]);
    scan(&Bench::new(), &registry, &index, &[]).check(0, "2.0 kB unpacked");
    let asked = |layer: &[u8]| {
        let digest = Digest::of(&gzip(layer)).to_string();
        registry.requests().iter().filter(|request| request.path.ends_with(&digest)).count()
    };
    assert_eq!((asked(&common), asked(&own)), (1, 1));
}

#[test]
fn the_packages_of_an_image_are_told_with_the_step_that_brought_them() {
    let registry = Registry::start(Options::default());
    let system = tar("etc/os-release", "ID=alpine\nVERSION_ID=3.21.2\nPRETTY_NAME=\"Alpine Linux v3.21\"\n");
    let installed = tar("lib/apk/db/installed", "P:libcrypto3\nV:3.3.2-r4\no:openssl\n\n");
    let own = tar("app/node_modules/ws/package.json", r#"{"name": "ws", "version": "8.17.1"}"#);
    let layers = [&system[..], &installed, &own];
    let mut config = of_layers(&good(), &layers);
    config["history"] = json!([{"created_by": "ADD alpine"}, {"created_by": "RUN apk add openssl"},
        {"created_by": "USER app", "empty_layer": true}, {"created_by": "RUN npm ci"}]);
    let packed = layers.map(gzip);
    let digest = registry.seed_image("shop/api", &config, &[&packed[0], &packed[1], &packed[2]]);
    let done = scan(&Bench::new(), &registry, &digest, &[]);
    done.check(0, "it holds packages: 1 of Alpine:v3.21, 1 of npm");
    assert!(
        done.summary.contains("(linux/amd64) holds packages: 1 of Alpine:v3.21, 1 of npm"),
        "{}",
        done.summary
    );
    let kept = &scans(&registry.host(), "shop/api", &digest)[0].details[0]["inventory"];
    let counts = json!({"Alpine:v3.21": 1, "npm": 1});
    let support = json!([{"what": "Alpine Linux v3.21", "until": "2026-11-01"}]);
    let short = json!({"system": "Alpine Linux v3.21", "counts": counts, "owned": 0, "doubts": [], "support": support});
    assert_eq!(*kept, short);
    let done = scan(&Bench::new(), &registry, &digest, &[("INPUT_JSON", "true")]);
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    let packages = json!([
        {"ecosystem": "Alpine:v3.21", "name": "libcrypto3", "version": "3.3.2-r4", "source": ["openssl", "3.3.2-r4"],
            "layer": 1, "path": "lib/apk/db/installed", "madeBy": "RUN apk add openssl"},
        {"ecosystem": "npm", "name": "ws", "version": "8.17.1", "layer": 2,
            "path": "app/node_modules/ws/package.json", "madeBy": "RUN npm ci"},
    ]);
    assert_eq!(told[0]["inventory"]["packages"], packages);
}

#[test]
fn a_distribution_without_fixes_is_told() {
    let registry = Registry::start(Options::default());
    let text = "ID=debian\nVERSION_ID=\"10\"\nPRETTY_NAME=\"Debian GNU/Linux 10 (buster)\"\n";
    let system = tar("etc/os-release", text);
    let digest = registry.seed_image("shop/api", &of_layers(&good(), &[&system]), &[&gzip(&system)]);
    let done = scan(&Bench::new(), &registry, &digest, &[]);
    let told = "Debian GNU/Linux 10 (buster) has had no fixes since 2024-06-30";
    done.check(0, told);
    assert!(done.summary.contains("no fixes since 2024-06-30"), "{}", done.summary);
}

#[test]
fn other_bytes_than_the_digest_names_are_not_judged() {
    let registry = Registry::start(Options::default());
    let layer = gzip(&[0; 100]);
    let digest = with_layer(&registry, GZIP, &layer, &[0; 100]);
    registry.tamper("shop/api", &Digest::of(&layer), gzip(&[1; 100]));
    unreadable(&registry, &digest, "served other bytes than");
}

#[test]
fn an_artifact_and_an_index_in_an_index_are_no_images() {
    let registry = Registry::start(Options::default());
    let inner = index(&registry, &[(registry.seed_image("shop/api", &good(), &[]), "linux", "amd64")]);
    let outer = index(&registry, &[(inner, "linux", "amd64")]);
    unreadable(&registry, &outer, "an index inside an index");
    let release = release(&registry, &outer).parse().unwrap();
    let image = format!("{}/shop/release@{release}", registry.host());
    Bench::new().step(&[("INPUT_IMAGE", &image)]).check(3, "an artifact");
    assert!(scans(&registry.host(), "shop/release", &release).is_empty());
}

#[test]
fn a_dry_run_judges_and_writes_no_evidence() {
    let registry = Registry::start(Options::default());
    let digest = registry.seed_image("shop/api", &good(), &[]);
    let done = scan(&Bench::new(), &registry, &digest, &[("INPUT_DRY-RUN", "true")]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert!(!done.output("cause").contains("evidence"));
    assert!(scans(&registry.host(), "shop/api", &digest).is_empty());
}

#[test]
fn a_verdict_that_cannot_be_stored_is_no_verdict() {
    let registry = Registry::start(Options::default());
    let digest = registry.seed_image("shop/api", &good(), &[]);
    let denied = Broken::Status(403, Vec::new());
    registry.fail(Fault::new("POST", Kind::Upload, denied).times(100));
    let done = scan(&Bench::new(), &registry, &digest, &[]);
    done.check(3, "refused");
    assert!(done.stderr.contains("`registry-username`"), "{}", done.stderr);
}

#[test]
fn a_login_is_used_and_never_shown() {
    let registry = Registry::start(Options { auth: Auth::Basic, ..Options::default() });
    let digest = registry.seed_image("shop/api", &good(), &[]);
    let bench = Bench::new();
    scan(&bench, &registry, &digest, &[]).check(3, "refused");
    let login = [("INPUT_REGISTRY-USERNAME", USERNAME), ("INPUT_REGISTRY-PASSWORD", PASSWORD)];
    let done = scan(&bench, &registry, &digest, &login);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let shown = format!("{}{}{:?}", done.stdout, done.summary, done.outputs);
    assert!(!shown.contains(PASSWORD), "{shown}");
    let lines = done.stderr.lines().filter(|line| line.contains(PASSWORD));
    assert!(lines.collect::<Vec<_>>().iter().all(|line| line.starts_with("::add-mask::")), "{}", done.stderr);
}

#[test]
fn a_registry_that_is_down_is_named() {
    let registry = Registry::start(Options::default());
    let image = reference(&registry, &Digest::of(b"x"));
    let host = registry.host();
    drop(registry);
    Bench::new().step(&[("INPUT_IMAGE", &image)]).check(3, &format!("`{host}` could not be reached"));
}

#[test]
fn what_is_asked_wrongly_is_exit_2() {
    let bench = Bench::new();
    bench.step(&[]).check(2, "required");
    bench.step(&[("INPUT_IMAGE", "ghcr.io/acme/api:latest")]).check(2, "ghcr.io/acme/api:latest");
    let (upper, release) = (format!("ghcr.io/Acme/Api@{}", Digest::of(b"x")), ("INPUT_RELEASE", "1.0.0"));
    bench.step(&[("INPUT_IMAGE", &upper)]).check(2, "write `ghcr.io/acme/api`");
    bench
        .step(&[release, ("INPUT_REPOSITORY", "ghcr.io/Acme/Release")])
        .check(2, "write `ghcr.io/acme/release`");
    let image = format!("127.0.0.1:1/a@{}", Digest::of(b"x"));
    bench.step(&[("INPUT_IMAGE", &image), ("INPUT_LAYOUT", ".")]).check(2, "cannot be used with");
    let other = [("INPUT_IMAGE", image.as_str()), ("INPUT_CONFIG", "other.yml")];
    bench.step(&other).check(2, "the configuration `./other.yml` cannot be read");
    let asks = Bench::with_config("services: {api: {build: {}}}\nscan: {policy: [read-only]}");
    let registry = Registry::start(Options::default());
    let digest = registry.seed_image("shop/api", &good(), &[]);
    scan(&asks, &registry, &digest, &[]).check(2, "asks for `read-only`, which this version cannot judge");
}

#[test]
fn a_verdict_about_one_platform_is_none_about_the_index() {
    let (bench, registry) = (Bench::new(), Registry::start(Options::default()));
    let config = of_layers(&good(), &[&[0; 2000]]);
    let mut other = config.clone();
    other["architecture"] = json!("arm64");
    let packed = gzip(&[0; 2000]);
    let image = |config: &Value| registry.seed_image("shop/api", config, &[&packed]);
    let (one, two) = (image(&config), image(&other));
    let index = index(&registry, &[(one.clone(), "linux", "amd64"), (two.clone(), "linux", "arm64")]);
    scan(&bench, &registry, &index, &[("INPUT_PLATFORM", "linux/amd64")]).check(0, "unpacked");
    let count = |digest| scans(&registry.host(), "shop/api", digest).len();
    assert_eq!((count(&index), count(&one), count(&two)), (0, 1, 0));
}
