//! `build-tag publish` to several registries: mirrors get the images with their scans, and the same tags.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use shipkit_core::evidence::Kind as Evidence;
use shipkit_core::{Digest, Repository, Tag, Verdict};
use shipkit_registry::{Along, Credentials, Move};
use shipkit_tests::server::docker_registry::DockerRegistry;
use shipkit_tests::server::registry::{
    Auth, Broken, Fault, Kind, Options, PASSWORD, Registry, Request, USERNAME,
};
use shipkit_tests::step::Done;

use crate::project::{COMMIT, Project, push};
use crate::publish::{Recorded, block_on, scan};

const OTHER_PASSWORD: &str = "swordfish";
const HOUR: Duration = Duration::from_hours(1);

/// A release that has passed, and a mirror of its own.
struct Pair {
    recorded: Recorded,
    mirror: Registry,
}

impl Pair {
    fn new() -> Self {
        let pair = Self {
            recorded: Recorded::passed("refs/tags/v1.2.3"),
            mirror: Registry::start(Options::default()),
        };
        pair.mirrors(&[&format!("{}/copy", pair.mirror.host())]);
        pair
    }

    /// What `shipkit.yml` lists from now on.
    fn mirrors(&self, mirrors: &[&str]) {
        let file = self.recorded.built.project.path().join("shipkit.yml");
        let text = std::fs::read_to_string(&file).unwrap();
        let kept = text.lines().filter(|line| !line.starts_with("mirrors:")).collect::<Vec<_>>().join("\n");
        std::fs::write(file, format!("{kept}\nmirrors: {}\n", json!(mirrors))).unwrap();
    }

    fn publish(&self, more: &[(&str, &str)]) -> Done {
        self.recorded.publish(more)
    }

    /// The tags of a service at the mirror, without those that carry evidence.
    fn tags(&self, service: &str) -> BTreeMap<String, String> {
        tags(&self.mirror, &format!("copy/{service}"))
    }

    /// All of the release is at both places, and nothing else has its tags.
    #[track_caller]
    fn assert_published(&self) {
        let sha = format!("sha-{COMMIT}");
        for service in ["api", "web"] {
            let image = self.recorded.image(service);
            assert_eq!(self.tags(service), self.recorded.tags(service));
            assert_eq!(
                self.tags(service).into_keys().collect::<Vec<_>>(),
                ["1", "1.2", "1.2.3", "latest", &sha]
            );
            assert!(self.tags(service).values().all(|digest| *digest == image.to_string()));
            assert_same(
                self.recorded.registry(),
                &format!("shop/{service}"),
                &self.mirror,
                &format!("copy/{service}"),
            );
        }
        assert!(self.mirror.manifests("copy/release").is_empty(), "the release is at the registry alone");
    }

    /// No tag of the release is anywhere.
    #[track_caller]
    fn assert_untagged(&self) {
        for service in ["api", "web"] {
            assert_eq!((self.tags(service), self.recorded.tags(service)), (BTreeMap::new(), BTreeMap::new()));
        }
        assert!(!self.recorded.tags("release").contains_key("1.2.3"));
    }

    /// The requests at registry and mirror since these counts.
    fn since(&self, (registry, mirror): (usize, usize)) -> (Vec<Request>, Vec<Request>) {
        (self.recorded.registry().requests().split_off(registry), self.mirror.requests().split_off(mirror))
    }

    fn count(&self) -> (usize, usize) {
        (self.recorded.registry().requests().len(), self.mirror.requests().len())
    }
}

fn tags(registry: &Registry, name: &str) -> BTreeMap<String, String> {
    let mut tags = registry.tags(name);
    tags.retain(|tag, _| !tag.starts_with("build-") && !tag.starts_with("sha256-"));
    tags
}

/// The images, with what refers to them, are the same bytes.
#[track_caller]
fn assert_same(from: &Registry, name: &str, to: &Registry, copy: &str) {
    let stored = |registry: &Registry, name: &str| -> BTreeMap<String, _> {
        let digests = registry.manifests(name).into_iter();
        digests.map(|text| (text.clone(), registry.stored(name, &text.parse().unwrap()))).collect()
    };
    // The listing of evidence is each registry's own, and old ones stay.
    let is_listing =
        |kept: &Option<(String, _)>| kept.as_ref().is_some_and(|(kind, _)| kind.contains("index"));
    let image = from.tags(name)["build-7-2"].clone();
    let mut wanted = stored(from, name);
    wanted.retain(|digest, kept| *digest == image || !is_listing(kept));
    let found = stored(to, copy);
    for (digest, kept) in wanted {
        assert_eq!(found.get(&digest), Some(&kept), "{copy} {digest}");
    }
    assert_eq!(to.blobs(copy), from.blobs(name));
}

#[track_caller]
fn only_reads(requests: &[Request]) {
    let writes: Vec<_> =
        requests.iter().filter(|request| !matches!(request.method.as_str(), "GET" | "HEAD")).collect();
    assert!(writes.is_empty(), "{writes:#?}");
}

#[test]
fn a_mirror_gets_images_scans_and_tags_and_the_report_says_where() {
    let pair = Pair::new();
    let done = pair.publish(&[]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    pair.assert_published();
    assert_eq!(pair.recorded.tags("release")["1.2.3"], pair.recorded.digest);
    let (home, away) = (pair.recorded.registry().host(), pair.mirror.host());
    let web = pair.recorded.image("web").short().to_owned();
    done.check(0, &format!("{away}/copy/web@{web} <- {home}/shop/web (new, evidence: 1 new)"));
    done.check(0, &format!("{away}/copy/web:latest -> {web} (new)"));
    done.check(0, "published 1.2.3 with 21 tags");
    assert!(done.summary.contains(&format!("{away}/copy/web")), "{}", done.summary);
    let tags: Vec<String> = serde_json::from_str(done.output("tags")).unwrap();
    let count = |prefix: &str| tags.iter().filter(|tag| tag.starts_with(prefix)).count();
    assert_eq!((tags.len(), count(&format!("{home}/shop/")), count(&format!("{away}/copy/"))), (21, 11, 10));
}

#[test]
fn permanent_tags_are_everywhere_before_any_moves_and_the_registry_comes_last() {
    let pair = Pair::new();
    let done = pair.publish(&[]);
    let tags: Vec<String> = serde_json::from_str(done.output("tags")).unwrap();
    let (home, away) = (pair.recorded.registry().host(), pair.mirror.host());
    let order: Vec<_> = tags
        .iter()
        .map(|tag| {
            let is_permanent = tag.ends_with(":1.2.3") || tag.contains(":sha-");
            (
                if tag.starts_with(&home) {
                    "home"
                } else {
                    assert!(tag.starts_with(&away));
                    "away"
                },
                is_permanent,
            )
        })
        .collect();
    let wanted = [
        vec![("away", true); 4],
        vec![("home", true); 5],
        vec![("away", false); 6],
        vec![("home", false); 6],
    ];
    assert_eq!(order, wanted.concat());
}

#[test]
fn a_second_publish_asks_and_sends_nothing_again_at_another_host_and_at_the_same() {
    let pair = Pair::new();
    pair.recorded.registry().set(|options| options.mount = true);
    let (away, home) = (pair.mirror.host(), pair.recorded.registry().host());
    pair.mirrors(&[&format!("{away}/copy"), &format!("{home}/copy")]);
    assert_eq!(pair.publish(&[]).exit, Some(0));
    pair.assert_published();
    assert_same(pair.recorded.registry(), "shop/api", pair.recorded.registry(), "copy/api");
    assert_eq!(tags(pair.recorded.registry(), "copy/web"), pair.recorded.tags("web"));
    let bodies = |request: &&Request| request.method == "GET" && request.path.contains("/copy/api/blobs/");
    assert_eq!(pair.recorded.registry().requests().iter().filter(bodies).count(), 0, "they are mounted");
    let before = pair.count();
    let done = pair.publish(&[]);
    done.check(
        0,
        &format!("{home}/copy/api@{} <- {home}/shop/api (as before)", pair.recorded.image("api").short()),
    );
    assert!(!done.stderr.contains("new)"), "{}", done.stderr);
    let (at_home, at_mirror) = pair.since(before);
    only_reads(&at_home);
    only_reads(&at_mirror);
    assert!(
        at_mirror
            .iter()
            .chain(&at_home)
            .all(|request| !request.path.contains("/blobs/") || request.path.starts_with("/v2/shop/")),
        "{at_home:#?}"
    );
}

#[test]
fn evidence_that_came_later_is_brought_by_the_next_publish() {
    let pair = Pair::new();
    assert_eq!(pair.publish(&[]).exit, Some(0));
    let repository: Repository = format!("{}/shop/web", pair.recorded.registry().host()).parse().unwrap();
    scan(&repository, &pair.recorded.image("web"), Verdict::Pass, 9);
    let done = pair.publish(&[]);
    let web = pair.recorded.image("web").short().to_owned();
    done.check(0, &format!("/copy/web@{web} <- {repository} (as before, evidence: 1 new)"));
    pair.assert_published();
}

#[test]
fn without_mirrors_nothing_is_copied_and_no_more_is_asked() {
    let pair = Pair::new();
    pair.mirrors(&[]);
    let before = pair.count();
    assert_eq!(pair.publish(&[]).exit, Some(0));
    let (at_home, at_mirror) = pair.since(before);
    let count = |method: &str| at_home.iter().filter(|request| request.method == method).count();
    // The release; scan, list of tags and manifest of two images; and what eleven tags take.
    assert_eq!((count("GET"), count("HEAD"), count("PUT"), at_home.len()), (28, 22, 11, 61));
    assert_eq!(at_mirror, []);
}

#[test]
fn a_permanent_tag_that_is_taken_at_the_mirror_stops_everything_before_the_first_write() {
    let pair = Pair::new();
    let other = pair.mirror.seed_image("copy/web", &json!({"os": "other"}), &[]);
    pair.mirror.set_tag("copy/web", "1.2.3", &other);
    let before = pair.count();
    let done = pair.publish(&[]);
    done.check(
        1,
        &format!("the tag `1.2.3` of `{}/copy/web` is permanent and names `{other}`", pair.mirror.host()),
    );
    let (at_home, at_mirror) = pair.since(before);
    only_reads(&at_home);
    only_reads(&at_mirror);
    assert_eq!(pair.mirror.manifests("copy/web"), [other.to_string()]);
    assert!(pair.mirror.manifests("copy/api").is_empty() && pair.recorded.tags("api").is_empty());
}

#[test]
fn what_a_moving_tag_named_at_the_mirror_is_told() {
    let pair = Pair::new();
    let old = pair.mirror.seed_image("copy/web", &json!({"os": "old"}), &[]);
    pair.mirror.set_tag("copy/web", "latest", &old);
    // Channels go by the registry, which has no 9.0.0.
    pair.mirror.set_tag("copy/web", "9.0.0", &old);
    pair.publish(&[]).check(
        0,
        &format!("/copy/web:latest -> {} (moved from {})", pair.recorded.image("web").short(), old.short()),
    );
    assert_eq!(pair.tags("web")["latest"], pair.recorded.image("web").to_string());
}

#[test]
fn a_mirror_that_is_down_is_exit_3_and_moves_no_tag_at_the_registry() {
    let Pair { recorded, mirror } = Pair::new();
    let (host, before) = (mirror.host(), recorded.registry().requests().len());
    drop(mirror);
    recorded.publish(&[]).check(3, &format!("`{host}` could not be reached"));
    only_reads(&recorded.registry().requests().split_off(before));
    assert!(recorded.tags("api").is_empty() && recorded.tags("web").is_empty());
}

#[test]
fn a_mirror_that_takes_no_image_or_no_tag_moves_none_anywhere_and_the_next_run_goes_on() {
    let pair = Pair::new();
    let denied = || Broken::Status(403, vec![]);
    for (method, kind) in [("POST", Kind::Upload), ("PUT", Kind::Upload), ("PUT", Kind::Manifest)] {
        let before = pair.count();
        pair.mirror
            .set(|options| options.faults = vec![Fault::new(method, kind, denied()).after(2).times(99)]);
        let done = pair.publish(&[]);
        done.check(3, &format!("`{}` refused", pair.mirror.host()));
        pair.assert_untagged();
        only_reads(&pair.since(before).0);
    }
    // The first tag, after everything was copied: the registry is still untouched.
    let fresh = Pair::new();
    assert_eq!(fresh.publish(&[]).exit, Some(0));
    let puts = |pair: &Pair| {
        pair.mirror.requests().iter().filter(|r| r.method == "PUT" && r.path.contains("/manifests/")).count()
    };
    let copied = puts(&fresh) - 10;
    let pair = Pair::new();
    pair.mirror.fail(Fault::new("PUT", Kind::Manifest, denied()).after(copied).times(1));
    pair.publish(&[]).check(3, "refused the manifest");
    pair.assert_untagged();
    assert_eq!(pair.publish(&[]).exit, Some(0));
    pair.assert_published();
}

/// Starts a publish and kills it, as nothing can be caught, when `registry` gets this request after so many.
fn kill(pair: &Pair, registry: &Registry, method: &str, kind: Kind, after: usize) {
    let (tell, told) = mpsc::channel();
    registry.fail(Fault::new(method, kind, Broken::Halt(tell)).after(after));
    let repository = pair.recorded.repository();
    let arguments = ["publish", "--release", &pair.recorded.digest, "--repository", &repository];
    let mut child = pair.recorded.built.project.start(&arguments);
    told.recv().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_publish_that_is_killed_anywhere_is_finished_by_the_next_one() {
    let mut pair = Pair::new();
    assert_eq!(pair.publish(&[]).exit, Some(0));
    let writes = |method: &str, part: &str| {
        let is_one = |request: &&Request| request.method == method && request.path.contains(part);
        pair.mirror.requests().iter().filter(is_one).count()
    };
    let (uploads, manifests) = (writes("PUT", "/blobs/uploads/"), writes("PUT", "/manifests/"));
    let copied = manifests - 10;
    assert!(4 <= uploads && 8 <= copied, "{uploads} {copied}");
    // Some of those of the copies, whose order is not always the same; and every tag.
    let blobs = (0..uploads).step_by(4).map(|after| (Kind::Upload, after));
    let others = (0..copied).step_by(3).chain(copied..manifests).map(|after| (Kind::Manifest, after));
    for (kind, after) in blobs.chain(others) {
        pair.recorded.untag();
        pair.mirror = Registry::start(Options::default());
        pair.mirrors(&[&format!("{}/copy", pair.mirror.host())]);
        kill(&pair, &pair.mirror, "PUT", kind, after);
        let at = format!("{kind:?} {after}");
        let given = |tags: &BTreeMap<String, String>| {
            let moving =
                tags.keys().filter(|tag| tag.starts_with('1') && *tag != "1.2.3" || *tag == "latest").count();
            (tags.len() - moving, moving)
        };
        let (mut here, mut there) = ((0, 0), (0, 0));
        for service in ["api", "web"] {
            let (own, mirrored) = (given(&pair.recorded.tags(service)), given(&pair.tags(service)));
            (here.0, here.1) = (here.0 + own.0, here.1 + own.1);
            (there.0, there.1) = (there.0 + mirrored.0, there.1 + mirrored.1);
        }
        let tagged = if kind == Kind::Manifest { after.saturating_sub(copied) } else { 0 };
        assert_eq!(there, (tagged.min(4), tagged.saturating_sub(4)), "{at}");
        assert_eq!(here, (if 4 <= tagged { 4 } else { 0 }, 0), "{at}");
        let done = pair.publish(&[]);
        assert_eq!(done.exit, Some(0), "{at}: {done:#?}");
        pair.assert_published();
    }
}

#[test]
fn a_dry_run_says_what_would_be_copied_and_tagged_and_writes_nothing() {
    let pair = Pair::new();
    let before = pair.count();
    let done = pair.publish(&[("INPUT_DRY-RUN", "true")]);
    done.check(0, "nothing was tagged");
    let (home, away) = (pair.recorded.registry().host(), pair.mirror.host());
    let web = pair.recorded.image("web").short().to_owned();
    for line in [
        format!("{away}/copy/web@{web} <- {home}/shop/web (new)\n"),
        format!("{away}/copy/web:1.2.3 -> {web} (new)\n"),
        format!("{home}/shop/web:1.2.3 -> {web} (new)\n"),
    ] {
        assert!(done.stdout.contains(&line), "{line} is not in {}", done.stdout);
    }
    let (at_home, at_mirror) = pair.since(before);
    only_reads(&at_home);
    only_reads(&at_mirror);
    assert_eq!(pair.publish(&[]).exit, Some(0));
    let done = pair.publish(&[("INPUT_DRY-RUN", "true")]);
    assert!(done.stdout.contains("<-") && !done.stdout.contains("(new"), "{}", done.stdout);
}

#[test]
fn an_image_that_failed_its_scan_goes_to_no_mirror() {
    let pair = Pair::new();
    let repository = format!("{}/shop/web", pair.recorded.registry().host()).parse().unwrap();
    scan(&repository, &pair.recorded.image("web"), Verdict::Fail, 9);
    pair.publish(&[]).check(1, "nothing was published");
    assert_eq!(pair.mirror.requests(), []);
}

#[test]
fn a_mirror_where_the_images_live_is_exit_2() {
    let pair = Pair::new();
    let home = format!("{}/shop", pair.recorded.registry().host());
    pair.mirrors(&[&home]);
    pair.publish(&[]).check(2, &format!("`{home}` is the registry itself"));
    // Where the registry is not written down, the plan tells, before anything is built.
    let text = format!(
        "version: 1\nname: shop\nmirrors: [ghcr.io/acme/Shop]\nservices: {{api: {{build: {{}}}}}}\n{}\n",
        crate::project::ONE_ENVIRONMENT
    );
    let done = Project::new(&text).plan("push", &push("refs/heads/main"), &[]);
    done.check(
        2,
        "`ghcr.io/acme/shop/api` would be the mirror of `api`, and is where the image of `api` lives",
    );
}

/// Both places want a token, and know different passwords.
fn protected() -> Pair {
    let pair = Pair::new();
    let auth = Auth::Bearer { ttl: HOUR };
    pair.recorded.registry().set(|options| options.auth = auth);
    pair.mirror.set(|options| (options.auth, options.password) = (auth, Some(OTHER_PASSWORD)));
    pair
}

const LOGIN: [(&str, &str); 2] =
    [("INPUT_REGISTRY-USERNAME", USERNAME), ("INPUT_REGISTRY-PASSWORD", PASSWORD)];

/// Every secret that a registry was shown is its own: its password, or a token that it gave itself.
#[track_caller]
fn assert_shown_its_own(registry: &Registry, password: &str) {
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{USERNAME}:{password}")));
    let token = format!("Bearer token-{}-", registry.host());
    for request in registry.requests() {
        let is_own =
            request.authorization.as_ref().is_none_or(|shown| *shown == basic || shown.starts_with(&token));
        assert!(is_own, "{request:?}");
    }
}

#[track_caller]
fn assert_hides(done: &Done, secret: &str) {
    let log = done.stderr.lines().filter(|line| !line.starts_with("::add-mask::"));
    let shown: Vec<_> = log
        .chain(done.stdout.lines())
        .chain(done.summary.lines())
        .filter(|line| line.contains(secret))
        .collect();
    assert!(shown.is_empty(), "{shown:?}");
}

#[test]
fn each_registry_is_shown_its_own_login_only() {
    let pair = protected();
    let logins = format!("\n{} {USERNAME} {OTHER_PASSWORD}\n", pair.mirror.host());
    let done = pair.publish(&[&LOGIN[..], &[("INPUT_MIRROR-LOGINS", &logins)]].concat());
    assert_eq!(done.exit, Some(0), "{done:#?}");
    pair.assert_published();
    assert_shown_its_own(pair.recorded.registry(), PASSWORD);
    assert_shown_its_own(&pair.mirror, OTHER_PASSWORD);
    assert!(done.stderr.contains(&format!("::add-mask::{OTHER_PASSWORD}")), "{}", done.stderr);
    assert_hides(&done, OTHER_PASSWORD);
    // A repository that is not there yet is denied to some who ask to read it only.
    let tokens: Vec<_> =
        pair.mirror.requests().into_iter().filter(|request| request.path == "/token").collect();
    assert!(
        !tokens.is_empty() && tokens.iter().all(|request| request.query.contains("%3Apull%2Cpush")),
        "{tokens:?}"
    );
}

#[test]
fn a_mirror_without_a_login_is_not_shown_the_registrys_and_stops_everything() {
    let pair = protected();
    let before = pair.count();
    let done = pair.publish(&LOGIN);
    done.check(3, &format!("`{}` refused", pair.mirror.host()));
    done.check(3, "`mirror-logins`");
    let (at_home, at_mirror) = pair.since(before);
    only_reads(&at_home);
    assert!(
        !at_mirror.is_empty() && at_mirror.iter().all(|request| request.authorization.is_none()),
        "{at_mirror:?}"
    );
}

#[test]
fn dockers_configuration_logs_in_to_a_mirror_too() {
    let pair = protected();
    let folder = tempfile::tempdir().unwrap();
    let auth = BASE64_STANDARD.encode(format!("{USERNAME}:{OTHER_PASSWORD}"));
    let config = json!({"auths": {pair.mirror.host(): {"auth": auth}}}).to_string();
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    let docker = ("DOCKER_CONFIG", folder.path().to_str().unwrap());
    assert_eq!(pair.publish(&[&LOGIN[..], &[docker]].concat()).exit, Some(0));
    pair.assert_published();
    assert_shown_its_own(pair.recorded.registry(), PASSWORD);
    assert_shown_its_own(&pair.mirror, OTHER_PASSWORD);
}

#[test]
fn another_namespace_of_the_registry_needs_no_other_login_and_gets_mounts() {
    let pair = protected();
    let registry = pair.recorded.registry();
    registry.set(|options| options.mount = true);
    pair.mirrors(&[&format!("{}/other", registry.host())]);
    let before = registry.requests().len();
    let done = pair.publish(&LOGIN);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert_eq!(tags(registry, "other/api"), pair.recorded.tags("api"));
    let requests = registry.requests().split_off(before);
    let layers = requests.iter().filter(|r| r.method == "PUT" && r.path.contains("/blobs/uploads/")).count();
    assert_eq!(layers, 0, "all of them are mounted");
    let login = format!("{} {USERNAME} {PASSWORD}", registry.host());
    let done = pair.publish(&[&LOGIN[..], &[("INPUT_MIRROR-LOGINS", &login)]].concat());
    done.check(2, "where the registry itself is");
}

#[test]
fn a_bad_line_of_mirror_logins_is_exit_2_before_any_request_and_is_never_shown() {
    let pair = Pair::new();
    let (host, before) = (pair.mirror.host(), pair.count());
    for (logins, sentence) in [
        (
            format!("{host} {USERNAME}:s3cret-7"),
            "line 1 of `mirror-logins` is not `<registry> <user> <password>`",
        ),
        (format!("{host} {USERNAME} s3cret-7 s3cret-7"), "line 1 of `mirror-logins` is not"),
        (format!("{host} {USERNAME} good\n\ns3cret-7"), "line 3 of `mirror-logins` is not"),
        (
            format!("s3cret-7 {USERNAME} {host}"),
            "line 1 of `mirror-logins` is for a registry that none of the `mirrors`",
        ),
        (format!("{host} a s3cret-7\n{host} b s3cret-7"), "line 2 of `mirror-logins` is for `"),
    ] {
        let done = pair.publish(&[("INPUT_MIRROR-LOGINS", &logins)]);
        done.check(2, sentence);
        assert_hides(&done, "s3cret-7");
        assert_eq!(pair.count(), before, "{logins}");
    }
}

#[test]
fn real_registries_have_the_images_and_their_scans_under_the_same_names() {
    let (primary, mirror) =
        (DockerRegistry::start(), DockerRegistry::newer().unwrap_or_else(DockerRegistry::start));
    let source = Registry::start(Options::default());
    let text = format!(
        "version: 1\nname: shop\nregistry: {}/Shop\nmirrors: ['{}/Acme/', '{}/inside']\ntags: {{include: [sha, semver]}}\n\
         services: {{api: {{build: {{context: api}}}}, web: {{build: {{context: web}}}}}}\n{}\n",
        primary.host(),
        mirror.host(),
        primary.host(),
        crate::project::ONE_ENVIRONMENT
    );
    let project = Project::new(&text);
    assert_eq!(project.plan("push", &push("refs/tags/v1.2.3"), &[]).exit, Some(0));
    let client = shipkit_registry::Registry::new(Credentials::default()).unwrap();
    let at = |host: &str, prefix: &str, name: &str| -> Repository {
        format!("{host}/{prefix}/{name}").parse().unwrap()
    };
    let mut images: BTreeMap<&str, Digest> = BTreeMap::new();
    let mut metadata = json!({});
    for name in ["api", "web"] {
        let config = json!({"os": "linux", "architecture": "amd64", "config": {"User": name}});
        let digest = source.seed_image("seed", &config, &[name.repeat(20_000).as_bytes()]);
        let tag: (Tag, Move) = ("build-7-2".parse().unwrap(), Move::Moving);
        let seed: Repository = format!("{}/seed", source.host()).parse().unwrap();
        let home = at(primary.host(), "shop", name);
        block_on(client.copy(&seed.at(&digest), &home, &[tag], Along::Nothing)).unwrap();
        metadata[name] = json!({"containerimage.digest": digest});
        scan(&home, &digest, Verdict::Pass, 1);
        images.insert(name, digest);
    }
    std::fs::write(project.handed_on("bake-metadata.json"), metadata.to_string()).unwrap();
    let release = project.step(&[("INPUT_COMMAND", "release")]);
    let vars = [
        ("INPUT_COMMAND", "publish"),
        ("INPUT_RELEASE", release.output("release")),
        ("INPUT_REPOSITORY", release.output("repository")),
    ];
    let done = project.step(&vars);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let again = project.step(&vars);
    assert!(again.exit == Some(0) && !again.stderr.contains("new)"), "{again:#?}");
    for (host, prefix) in [(primary.host(), "shop"), (mirror.host(), "acme"), (primary.host(), "inside")] {
        for (name, digest) in &images {
            let repository = at(host, prefix, name);
            for tag in ["1.2.3", "1.2", "1", "latest", &format!("sha-{COMMIT}")] {
                let found = block_on(client.resolve(&repository, &tag.parse().unwrap())).unwrap();
                assert_eq!(found.as_ref(), Some(digest), "{repository}:{tag}");
            }
            let home = at(primary.host(), "shop", name);
            let whole = |at: &Repository| block_on(client.manifest(at, &digest.clone().into())).unwrap();
            assert_eq!(whole(&repository), whole(&home));
            let found = block_on(client.evidence(&repository, digest, &[(Evidence::Scan, None)])).unwrap();
            assert_eq!(found.records.len(), 1, "{repository}");
        }
    }
    let version: Tag = "1.2.3".parse().unwrap();
    for (host, prefix, is_there) in [(primary.host(), "shop", true), (mirror.host(), "acme", false)] {
        let found = block_on(client.resolve(&at(host, prefix, "release"), &version)).unwrap();
        assert_eq!(found.is_some(), is_there);
    }
}
