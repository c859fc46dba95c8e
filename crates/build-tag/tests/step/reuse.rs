//! What `build-tag plan` builds and what it takes from earlier releases: a git repository and a registry in memory.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_tests::server::registry::{Broken, Fault, Kind, Options, Registry};
use shipkit_tests::step::Done;

use crate::project::Project;

const SOON: (&str, &str) = ("SHIPKIT_NOW", "2026-01-03T00:00:00Z");

/// A project of two services, each with a Dockerfile upon the same base image.
struct Shop {
    project: Project,
    registry: Registry,
}

impl Shop {
    fn new() -> Self {
        Self::with("api: {build: {context: api}}", &[])
    }

    /// A project whose `api` is this, with these files besides.
    fn with(api: &str, files: &[(&str, &str)]) -> Self {
        let registry = Registry::start(Options::default());
        let config = format!(
            "version: 1\nname: shop\nregistry: {}/shop\ntags: {{include: [sha, branch, semver]}}\nservices:\n  {api}\n  \
             web: {{build: {{context: web}}}}\nenvironments:\n  staging: {{branches: [main, 'stable/*'], tags: ['v*'], target: {{type: swarm}}}}\n",
            registry.host()
        );
        let project = Project::new(&config);
        let shop = Self { project, registry };
        shop.base(b"first");
        for service in ["api", "web"] {
            shop.write(
                &format!("{service}/Dockerfile"),
                &format!("FROM {}/base:1\nCOPY . /\n", shop.registry.host()),
            );
            shop.write(&format!("{service}/main.txt"), "first");
        }
        for (path, text) in files {
            shop.write(path, text);
        }
        shop.project.git(&["init", "-q", "-b", "main"]);
        // What is handed on from step to step is nobody's to commit.
        std::fs::write(shop.project.path().join(".git/info/exclude"), ".shipkit\n").unwrap();
        shop.commit("first");
        shop
    }

    /// Makes the base image be another one.
    fn base(&self, layer: &[u8]) {
        let digest = self.registry.seed_image("base", &json!({"os": "linux"}), &[layer]);
        self.registry.set_tag("base", "1", &digest);
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.project.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn commit(&self, message: &str) -> String {
        self.project.git(&["add", "."]);
        self.project.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.head()
    }

    fn head(&self) -> String {
        self.project.git(&["rev-parse", "HEAD"])
    }

    fn plan_as(&self, name: &str, event: &Value, more: &[(&str, &str)]) -> Done {
        let head = self.head();
        let vars = [&[("GITHUB_SHA", head.as_str()), SOON][..], more].concat();
        let done = self.project.plan(name, event, &vars);
        assert_eq!(done.exit, Some(0), "{done:#?}");
        done
    }

    fn plan(&self, git_ref: &str) -> Done {
        self.plan_as("push", &self.push(git_ref), &[])
    }

    fn push(&self, git_ref: &str) -> Value {
        json!({"ref": git_ref, "after": self.head(), "head_commit": {"id": self.head(), "timestamp": "2026-01-02T03:04:05Z"},
            "repository": {"full_name": "Acme/Shop", "default_branch": "main"}})
    }

    /// Builds what was planned, as buildx would: every image is another one.
    fn build(&self) {
        let plan = self.project.json("plan.json");
        let mut metadata = json!({});
        for (name, service) in plan["services"].as_object().unwrap() {
            let config =
                json!({"os": "linux", "architecture": "amd64", "of": [plan["commit"], service["because"]]});
            let digest = self.registry.seed_image(&format!("shop/{name}"), &config, &[]);
            self.registry.set_tag(&format!("shop/{name}"), plan["buildTag"].as_str().unwrap(), &digest);
            metadata[name] = json!({"containerimage.digest": digest});
        }
        std::fs::write(self.project.handed_on("bake-metadata.json"), metadata.to_string()).unwrap();
    }

    fn release(&self) -> (String, Value) {
        let done = self.project.step(&[("INPUT_COMMAND", "release"), ("INPUT_JSON", "true")]);
        assert_eq!(done.exit, Some(0), "{done:#?}");
        let said: Value = serde_json::from_str(&done.stdout).unwrap();
        (done.output("release").to_owned(), said["content"].clone())
    }

    /// Plans, builds and records a push, and returns the release.
    fn ship(&self, git_ref: &str) -> Value {
        self.plan(git_ref);
        self.build();
        self.release().1
    }

    /// Why each service is built or kept, in the order of their names.
    fn reasons(&self) -> String {
        let plan = self.project.json("plan.json");
        let mut reasons = BTreeMap::new();
        for (name, service) in plan["services"].as_object().unwrap() {
            reasons.insert(name.clone(), service["because"].as_str().unwrap().to_owned());
        }
        for (name, service) in plan["reused"].as_object().unwrap() {
            reasons.insert(name.clone(), service["because"].as_str().unwrap().to_owned());
        }
        reasons.into_iter().map(|(name, because)| format!("{name} {because}")).collect::<Vec<_>>().join("\n")
    }

    #[track_caller]
    fn check(&self, expected: &str) {
        assert_eq!(self.reasons(), expected);
    }
}

fn short(release: &Value) -> String {
    format!("{:.7}", release["commit"].as_str().unwrap())
}

/// `release 0.0.0-main.g... (0123abc)`.
fn words(release: &Value) -> String {
    format!("release {} ({})", release["version"].as_str().unwrap(), short(release))
}

#[test]
fn what_did_not_change_is_taken_from_the_release_before() {
    let shop = Shop::new();
    let first = shop.ship("refs/heads/main");
    shop.write("web/main.txt", "second");
    shop.commit("second");
    let done = shop.plan("refs/heads/main");
    shop.check(&format!(
        "api reused from {0}: same content key\nweb built: `web/main.txt` changed since {0}",
        words(&first)
    ));
    assert_eq!(done.output("services"), "[\"web\"]");
    assert!(
        done.summary.contains("| api |") && done.summary.contains("same content key"),
        "{}",
        done.summary
    );
    assert!(done.stderr.contains("keep api -> "), "{}", done.stderr);
    let bake = shop.project.json("bake.json");
    assert_eq!(bake["group"]["default"]["targets"], json!(["web"]));
    shop.build();
    let second = shop.release().1;
    assert_eq!(second["services"]["api"], first["services"]["api"], "digest, revision and key stay");
    assert_ne!(second["services"]["web"]["digest"], first["services"]["web"]["digest"]);
    assert_eq!(second["services"]["web"]["revision"], second["commit"]);
}

#[test]
fn a_commit_that_changes_no_service_is_released_without_a_build() {
    let shop = Shop::new();
    let first = shop.ship("refs/heads/main");
    shop.write("README.md", "about");
    shop.commit("second");
    let done = shop.plan("refs/heads/main");
    assert_eq!(done.output("services"), "[]");
    std::fs::remove_file(shop.project.handed_on("bake-metadata.json")).unwrap();
    let (digest, second) = shop.release();
    assert_eq!(second["services"], first["services"]);
    assert_ne!(second["commit"], first["commit"]);
    // The next commit finds it there, and a second run of this one changes nothing.
    shop.plan("refs/heads/main");
    assert_eq!(shop.release().0, digest);
    shop.commit("third");
    shop.plan("refs/heads/main");
    shop.check(&format!(
        "api reused from {0}: same content key\nweb reused from {0}: same content key",
        words(&second)
    ));
}

#[test]
fn the_commit_the_version_and_the_time_are_not_part_of_a_key() {
    let shop = Shop::with(
        "api: {build: {context: api, args: {V: '${SHIPKIT_VERSION}', C: '${SHIPKIT_COMMIT}', A: '${A}'}}}",
        &[],
    );
    let plan = |a: &str| shop.plan_as("push", &shop.push("refs/heads/main"), &[("A", a)]);
    plan("1");
    shop.build();
    let first = shop.release().1;
    shop.commit("second");
    assert_eq!(plan("1").output("services"), "[]");
    plan("2");
    shop.check(&format!(
        "api built: its arguments, labels or what it builds upon changed since {0}\nweb reused from {0}: same content key",
        words(&first)
    ));
}

#[test]
fn a_base_image_that_moved_is_built_upon_anew() {
    let shop = Shop::new();
    let first = shop.ship("refs/heads/main");
    shop.base(b"second");
    shop.commit("second");
    shop.plan("refs/heads/main");
    let image = format!("{}/base:1", shop.registry.host());
    let reason = format!("built: its base image `{image}` moved since {}", words(&first));
    shop.check(&format!("api {reason}\nweb {reason}"));
}

#[test]
fn what_no_protected_branch_recorded_is_never_taken() {
    let shop = Shop::new();
    let first = shop.ship("refs/heads/feat/x");
    shop.commit("second");
    shop.plan("refs/heads/main");
    shop.check("api built: no release to compare with\nweb built: no release to compare with");
    // Not even if somebody made the tags of a release that was never recorded.
    let tags = shop.registry.tags("shop/release");
    assert_eq!(tags.len(), 1, "{tags:?}");
    shop.ship("refs/heads/stable/1");
    shop.commit("third");
    shop.plan("refs/heads/feat/y");
    assert_eq!(shop.project.json("plan.json")["services"], json!({}));
    drop(first);
}

#[test]
fn a_release_off_the_line_of_the_branch_is_not_found() {
    let shop = Shop::new();
    shop.project.git(&["checkout", "-q", "-b", "stable/1"]);
    shop.commit("on the side");
    shop.ship("refs/heads/stable/1");
    shop.project.git(&["checkout", "-q", "main"]);
    shop.plan("refs/heads/main");
    assert_eq!(shop.project.json("plan.json")["reused"], json!({}));
}

#[test]
fn a_tag_takes_what_its_commit_was_tested_with_and_never_builds() {
    let shop = Shop::new();
    let first = shop.ship("refs/heads/main");
    shop.base(b"second");
    let done = shop.plan("refs/tags/v1.0.0");
    let because = format!("reused from {}: the release of this very commit", words(&first));
    shop.check(&format!("api {because}\nweb {because}"));
    assert_eq!(done.output("services"), "[]");
    let (tagged, second) = shop.release();
    assert_eq!((&second["version"], &second["services"]), (&json!("1.0.0"), &first["services"]));
    let tag = format!("sha-{}", shop.head());
    assert_ne!(shop.registry.tags("shop/release")[&tag], tagged, "the release of the branch keeps the tag");
    let event = json!({"action": "published", "release": {"tag_name": "v1.0.0", "prerelease": false, "draft": false},
        "repository": {"full_name": "Acme/Shop", "default_branch": "main"}});
    assert_eq!(shop.plan_as("release", &event, &[]).output("services"), "[]");
}

#[test]
fn a_tag_on_a_commit_without_a_release_is_built_and_says_why() {
    let shop = Shop::new();
    shop.plan("refs/tags/v1.0.0");
    let because = "built: no release of this commit was recorded for a protected branch";
    shop.check(&format!("api {because}\nweb {because}"));
    shop.ship("refs/heads/feat/x");
    shop.plan("refs/tags/v1.0.0");
    shop.check(&format!("api {because}\nweb {because}"));
}

#[test]
fn a_published_version_is_never_built_again() {
    let shop = Shop::new();
    let first = shop.ship("refs/heads/main");
    let tags = shop.registry.tags("shop/release");
    let digest: Digest = tags.values().next().unwrap().parse().unwrap();
    shop.registry.set_tag("shop/release", first["version"].as_str().unwrap(), &digest);
    shop.base(b"second");
    let done = shop.plan("refs/heads/main");
    assert_eq!(done.output("services"), "[]", "its permanent tags could name nothing else");
}

#[test]
fn an_image_that_is_too_old_or_gone_is_built() {
    let shop = Shop::with("api: {build: {context: api, max_age: 10d}}", &[]);
    let first = shop.ship("refs/heads/main");
    let commit = shop.commit("second");
    let later = [("GITHUB_SHA", commit.as_str()), ("SHIPKIT_NOW", "2026-01-13T00:00:00Z")];
    shop.plan_as("push", &shop.push("refs/heads/main"), &later);
    shop.check(&format!(
        "api built: its image of {0} is too old or gone\nweb reused from {0}: same content key",
        words(&first)
    ));
    shop.registry.remove("shop/web", &first["services"]["web"]["digest"].as_str().unwrap().parse().unwrap());
    shop.plan("refs/heads/main");
    assert!(shop.reasons().contains("web built: its image of release"), "{}", shop.reasons());
    assert!(shop.reasons().contains("api reused"), "{}", shop.reasons());
}

#[test]
fn the_very_commit_is_never_too_old_for_its_own_images() {
    let shop = Shop::with("api: {build: {context: api, max_age: 10d}}", &[]);
    shop.ship("refs/heads/main");
    let later = [("SHIPKIT_NOW", "2026-06-13T00:00:00Z")];
    let done = shop.plan_as("push", &shop.push("refs/heads/main"), &later);
    assert_eq!(done.output("services"), "[]", "its permanent tags could name nothing else");
}

#[test]
fn an_image_in_another_repository_is_not_taken() {
    let shop = Shop::new();
    shop.ship("refs/heads/main");
    let config = std::fs::read_to_string(shop.project.path().join("shipkit.yml")).unwrap();
    let named = format!("api: {{image_name: {}/elsewhere/api, build:", shop.registry.host());
    shop.write("shipkit.yml", &config.replace("api: {build:", &named));
    shop.commit("second");
    assert_eq!(shop.plan("refs/heads/main").output("services"), "[\"api\"]");
}

#[test]
fn a_branch_that_nobody_protects_does_not_hide_the_release_of_one_that_is() {
    let shop = Shop::new();
    let first = shop.ship("refs/heads/main");
    shop.ship("refs/heads/feat/x");
    shop.commit("second");
    shop.plan("refs/heads/main");
    shop.check(&format!(
        "api reused from {0}: same content key\nweb reused from {0}: same content key",
        words(&first)
    ));
}

#[test]
fn a_work_tree_that_is_not_the_commit_takes_nothing() {
    let shop = Shop::with(
        "api: {build: {context: api}}",
        &[("api/.dockerignore", "*.log\nbuild\n"), (".gitignore", "*.tmp\n")],
    );
    shop.ship("refs/heads/main");
    shop.commit("second");
    let dirty = |path: &str| {
        shop.plan("refs/heads/main");
        let reasons = shop.reasons();
        assert!(reasons.contains("api built: not compared with"), "{reasons}");
        assert!(reasons.contains(&format!("`{path}` is in its context and not in the commit")), "{reasons}");
        assert!(reasons.contains("web reused"), "{reasons}");
    };
    shop.write("api/main.txt", "changed");
    dirty("api/main.txt");
    shop.project.git(&["add", "api/main.txt"]);
    dirty("api/main.txt");
    shop.project.git(&["reset", "-q", "--hard"]);
    shop.write("api/new.txt", "new");
    dirty("api/new.txt");
    std::fs::remove_file(shop.project.path().join("api/new.txt")).unwrap();
    // Git ignores it, Docker does not.
    shop.write("api/x.tmp", "new");
    dirty("api/x.tmp");
    std::fs::remove_file(shop.project.path().join("api/x.tmp")).unwrap();
    std::fs::remove_file(shop.project.path().join("api/main.txt")).unwrap();
    dirty("api/main.txt");
    shop.project.git(&["reset", "-q", "--hard"]);
    // What Docker ignores may be anything.
    shop.write("api/x.log", "new");
    shop.write("api/build/x", "new");
    assert_eq!(shop.plan("refs/heads/main").output("services"), "[]");
}

#[test]
fn what_a_dockerignore_names_is_no_change() {
    let shop = Shop::with(
        "api: {build: {context: api}}",
        &[("api/.dockerignore", "*.md\n"), ("web/Dockerfile.dockerignore", "*.md\n")],
    );
    shop.ship("refs/heads/main");
    shop.write("api/README.md", "about");
    shop.write("web/README.md", "about");
    shop.commit("second");
    assert_eq!(shop.plan("refs/heads/main").output("services"), "[]");
    shop.write("api/.dockerignore", "");
    shop.commit("third");
    assert_eq!(shop.plan("refs/heads/main").output("services"), "[\"api\"]");
}

#[test]
fn a_context_that_holds_the_history_has_no_key() {
    let shop = Shop::with("api: {build: {context: ., dockerfile: api/Dockerfile}}", &[]);
    shop.plan("refs/heads/main");
    assert!(shop.reasons().contains("api built: `.git` is in its context"), "{}", shop.reasons());
    shop.write(".dockerignore", ".git\n");
    shop.commit("second");
    shop.ship("refs/heads/main");
    shop.commit("third");
    assert_eq!(shop.plan("refs/heads/main").output("services"), "[]", "{}", shop.reasons());
}

#[test]
fn a_service_that_another_builds_upon_is_part_of_its_key() {
    let api = "api: {build: {context: api, contexts: {shared: 'service:web'}}}";
    let shop = Shop::with(api, &[]);
    let first = shop.ship("refs/heads/main");
    assert_eq!(shop.project.json("bake.json")["target"]["api"]["contexts"], json!({"shared": "target:web"}));
    shop.write("web/main.txt", "second");
    shop.commit("second");
    assert_eq!(shop.plan("refs/heads/main").output("services"), "[\"api\",\"web\"]");
    shop.project.git(&["reset", "-q", "--hard", "HEAD~1"]);
    shop.write("api/main.txt", "second");
    shop.commit("third");
    assert_eq!(shop.plan("refs/heads/main").output("services"), "[\"api\"]");
    let web = &first["services"]["web"];
    let image =
        format!("docker-image://{}@{}", web["repository"].as_str().unwrap(), web["digest"].as_str().unwrap());
    assert_eq!(shop.project.json("bake.json")["target"]["api"]["contexts"], json!({"shared": image}));
}

#[test]
fn what_is_deployed_is_what_is_compared_with() {
    let shop = Shop::new();
    let first = shop.ship("refs/heads/main");
    let tags = shop.registry.tags("shop/release");
    let digest: Digest = tags.values().next().unwrap().parse().unwrap();
    shop.registry.set_tag("shop/release", "deployed-staging", &digest);
    for (at, path) in ["api/a", "api/b", "api/c", "api/d", "web/Dockerfile"].into_iter().enumerate() {
        shop.write(path, &format!("FROM scratch\nLABEL a={at}"));
        shop.commit(path);
        shop.ship("refs/heads/main");
    }
    shop.write("api/a", "again");
    shop.commit("last");
    shop.plan("refs/heads/main");
    let reasons = shop.reasons();
    let expected = format!(
        "api built: 4 files changed since {} in staging: api/a, api/b, api/c and 1 more",
        words(&first)
    );
    assert!(reasons.starts_with(&expected), "{reasons}");
    assert!(reasons.contains("web reused from"), "{reasons}");
}

#[test]
fn a_branch_without_releases_is_compared_with_where_it_began() {
    let shop = Shop::new();
    let main = shop.head();
    shop.project.git(&["checkout", "-q", "-b", "feat/x"]);
    shop.write("web/main.txt", "second");
    shop.commit("second");
    shop.plan("refs/heads/feat/x");
    shop.check(&format!(
        "api built: nothing changed since `main` ({main:.7})\nweb built: `web/main.txt` changed since `main` ({main:.7})"
    ));
}

#[test]
fn a_pull_request_builds_only_what_it_changes() {
    let shop = Shop::new();
    shop.ship("refs/heads/main");
    shop.project.git(&["checkout", "-q", "-b", "feat/x"]);
    shop.write("web/main.txt", "second");
    let head = shop.commit("second");
    shop.project.git(&["checkout", "-q", "--detach", "main"]);
    shop.project.git(&["merge", "-q", "--no-ff", "-m", "merge", "feat/x"]);
    let event = json!({"pull_request": {"number": 7, "base": {"ref": "main"}, "head": {"sha": head}},
        "repository": {"full_name": "Acme/Shop", "default_branch": "main"}});
    let done = shop.plan_as("pull_request", &event, &[]);
    assert_eq!((done.output("services"), done.output("push")), ("[\"web\"]", "false"), "{}", shop.reasons());
    assert_eq!(shop.project.json("plan.json")["commit"], head);
}

#[test]
fn a_checkout_of_another_commit_takes_nothing() {
    let shop = Shop::new();
    let first = shop.head();
    shop.ship("refs/heads/main");
    shop.commit("second");
    let mut event = shop.push("refs/heads/main");
    event["after"] = json!(first);
    event["head_commit"]["id"] = json!(first);
    shop.plan_as("push", &event, &[("GITHUB_SHA", &first)]);
    assert!(shop.reasons().contains("the checkout is at"), "{}", shop.reasons());
}

#[test]
fn a_registry_that_fails_means_that_everything_is_built() {
    let shop = Shop::new();
    shop.ship("refs/heads/main");
    shop.commit("second");
    shop.registry.fail(Fault::new("GET", Kind::Tags, Broken::Status(403, Vec::new())));
    shop.plan("refs/heads/main");
    let reasons = shop.reasons();
    assert_eq!(reasons.matches("built: earlier releases could not be read").count(), 2, "{reasons}");
    shop.registry.fail(Fault::new("HEAD", Kind::Manifest, Broken::Status(403, Vec::new())));
    shop.plan("refs/heads/main");
    assert!(shop.reasons().contains("built"), "{}", shop.reasons());
    let host = shop.registry.host();
    let Shop { project, registry } = shop;
    drop(registry);
    let head = project.git(&["rev-parse", "HEAD"]);
    let event =
        json!({"ref": "refs/heads/main", "repository": {"full_name": "Acme/Shop", "default_branch": "main"}});
    let done = project.plan("workflow_dispatch", &event, &[("GITHUB_SHA", &head)]);
    done.check(0, &format!("its base image `{host}/base:1` could not be looked up"));
    assert_eq!(done.output("services"), "[\"api\",\"web\"]");
}

#[test]
fn the_login_for_the_registry_is_that_of_the_inputs() {
    let auth = shipkit_tests::server::registry::Auth::Basic;
    let registry = Registry::start(Options { auth, ..Options::default() });
    let shop = Shop { registry, ..Shop::new() };
    let config = std::fs::read_to_string(shop.project.path().join("shipkit.yml")).unwrap();
    let line = config.lines().find(|line| line.starts_with("registry: ")).unwrap();
    shop.write("shipkit.yml", &config.replace(line, &format!("registry: {}/shop", shop.registry.host())));
    shop.write("api/Dockerfile", "FROM scratch\n");
    shop.write("web/Dockerfile", "FROM scratch\n");
    shop.commit("second");
    let login = [("INPUT_REGISTRY-USERNAME", "user"), ("INPUT_REGISTRY-PASSWORD", "hunter2")];
    shop.plan_as("push", &shop.push("refs/heads/main"), &login);
    shop.check("api built: no release to compare with\nweb built: no release to compare with");
    let asked = shop.registry.requests().len();
    // The job's token is GitHub's: no other registry may see it.
    let token = [("INPUT_GITHUB-TOKEN", "ghs_secret")];
    let done = shop.plan_as("push", &shop.push("refs/heads/main"), &token);
    done.check(0, "earlier releases could not be read");
    let later: Vec<_> = shop.registry.requests().split_off(asked);
    assert!(!later.is_empty() && later.iter().all(|request| request.authorization.is_none()), "{later:?}");
}
