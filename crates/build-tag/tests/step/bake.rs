//! A real `docker buildx bake` and a real registry: one of three images that fails publishes none of the others.

use std::process::{Command, Stdio};

use shipkit_core::{Digest, Repository, Verdict};
use shipkit_registry::Credentials;
use shipkit_tests::server::docker_registry::DockerRegistry;
use shipkit_tests::step::Done;

use crate::project::{Project, push};
use crate::services::bed;

const SERVICES: [&str; 3] = ["api", "web", "worker"];

/// Three services at a registry of their own. What the builder keeps of them goes when this is dropped.
struct Three {
    project: Project,
    registry: DockerRegistry,
}

fn docker(project: &Project, arguments: &[&str]) -> (bool, String) {
    let mut docker = Command::new("docker");
    let done = docker.args(arguments).current_dir(project.path()).stdin(Stdio::null()).output();
    let Ok(done) = done else { return (false, "there is no `docker`".to_owned()) };
    (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
}

impl Three {
    fn new() -> Self {
        let registry = DockerRegistry::start();
        let services = SERVICES.map(|name| format!("  {name}: {{build: {{context: {name}}}}}\n")).concat();
        let config = format!(
            "version: 1\nname: shop\nregistry: {}/shop\ntags: {{include: [sha, semver]}}\nservices:\n{services}{}\n",
            registry.host(),
            crate::project::ONE_ENVIRONMENT
        );
        let project = Project::new(&config);
        for name in SERVICES {
            let folder = project.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("Dockerfile"), "FROM scratch\nCOPY text /\n").unwrap();
            std::fs::write(folder.join("text"), name).unwrap();
        }
        Self { project, registry }
    }

    /// Plans a run and builds it; whether the build went through.
    fn build(&self, run: &str) -> bool {
        let planned = self.project.plan("push", &push("refs/tags/v1.2.3"), &[("GITHUB_RUN_ID", run)]);
        assert_eq!(planned.exit, Some(0), "{planned:#?}");
        let (file, metadata) = (".shipkit/bake.json", ".shipkit/bake-metadata.json");
        let arguments = ["buildx", "bake", "--file", file, "--metadata-file", metadata, "--push"];
        let (is_built, said) = docker(&self.project, &arguments);
        assert!(is_built || said.contains("text"), "{said}");
        is_built
    }

    fn repository(&self, name: &str) -> Repository {
        format!("{}/shop/{name}", self.registry.host()).parse().unwrap()
    }

    /// The tags that people see.
    fn published(&self, name: &str) -> Vec<String> {
        let client = shipkit_registry::Registry::new(Credentials::default()).unwrap();
        let tags = crate::publish::block_on(client.tags(&self.repository(name))).unwrap();
        let is_seen = |tag: &String| !tag.starts_with("build-") && !tag.starts_with("sha256-");
        tags.iter().map(ToString::to_string).filter(is_seen).collect()
    }
}

impl Drop for Three {
    fn drop(&mut self) {
        for name in SERVICES {
            for run in ["1", "2"] {
                docker(&self.project, &["image", "rm", &format!("{}:build-{run}-2", self.repository(name))]);
            }
        }
    }
}

#[test]
fn one_image_that_does_not_build_moves_no_tag_of_the_others() {
    let three = Three::new();
    if !docker(&three.project, &["buildx", "version"]).0 {
        println!("left out: there is no `docker buildx`");
        return;
    }
    let text = three.project.path().join("worker/text");
    std::fs::remove_file(&text).unwrap();
    assert!(!three.build("1"));
    let step = |command: &str, more: &[(&str, &str)]| {
        three.project.step(&[&[("INPUT_COMMAND", command)][..], more].concat())
    };
    step("release", &[]).check(2, "bake-metadata.json` cannot be read");
    let repository = three.repository("release").to_string();
    let commit = [("INPUT_RELEASE", crate::project::COMMIT), ("INPUT_REPOSITORY", repository.as_str())];
    step("publish", &commit).check(3, "does not have release `0123456789abcdef");
    for name in ["api", "web", "worker", "release"] {
        assert_eq!(three.published(name), Vec::<String>::new(), "{name}");
    }

    std::fs::write(&text, "worker").unwrap();
    assert!(three.build("2"));
    let released = step("release", &[("GITHUB_RUN_ID", "2")]);
    assert_eq!(released.exit, Some(0), "{released:#?}");
    step("publish", &commit).check(3, "nothing was published: the scan of `api`");
    for name in SERVICES {
        let metadata = three.project.json("bake-metadata.json");
        let digest: Digest = metadata[name]["containerimage.digest"].as_str().unwrap().parse().unwrap();
        crate::publish::scan(&three.repository(name), &digest, Verdict::Pass, 1);
    }
    for said in ["(new)", "(as before)"] {
        step("publish", &commit).check(0, said);
        for name in SERVICES {
            let commit = format!("sha-{}", crate::project::COMMIT);
            assert_eq!(three.published(name), ["1", "1.2", "1.2.3", "latest", &commit]);
        }
    }
}

/// Asks for both secrets; what it compares them with is not what they say, because a Dockerfile stays.
const WITH_SECRETS: &str = "RUN --mount=type=secret,id=TOKEN --mount=type=secret,id=netrc \\
    test \"$(tr a-z b-za < /run/secrets/TOKEN) $(tr a-z b-za < /run/secrets/netrc)\" = 'ijeefo-wbmvf ijeefo-gjmf'\n";

#[test]
fn secrets_reach_the_build_by_variable_or_file_and_are_in_nothing_that_stays() {
    let registry = DockerRegistry::start();
    let project = Project::new(&format!(
        "version: 1\nname: shop\nregistry: {}/shop\nservices:\n  api: {{build: {{context: api, secrets: [TOKEN, netrc=.netrc]}}}}\n{}\n",
        registry.host(),
        crate::project::ONE_ENVIRONMENT
    ));
    let write = |name: &str, text: &str| {
        let path = project.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("api/Dockerfile", &format!("FROM {}/shop-base/python:3.11\n{WITH_SECRETS}", bed("REGISTRY")));
    write(".netrc", "hidden-file");
    let planned = project.plan("push", &push("refs/heads/main"), &[("GITHUB_RUN_ID", "3")]);
    assert_eq!(planned.exit, Some(0), "{planned:#?}");
    let build = |secrets: &str| {
        let mut bash = Command::new("bash");
        bash.args([".shipkit/build.sh", "--progress=plain", "--no-cache"]).current_dir(project.path());
        bash.env_remove("TOKEN").env("SHIPKIT_BUILD_ENV", secrets).env("GITHUB_ACTIONS", "true");
        Done::from(bash.stdin(Stdio::null()).output().unwrap())
    };
    let refused = build("");
    assert_ne!(refused.exit, Some(0), "{refused:#?}");
    assert!(refused.stdout.contains("the secret `TOKEN` of `build.secrets` is empty here"), "{refused:#?}");
    let done = build("# npm\nTOKEN=hidden-value\nOTHER=unasked-value\n");
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert_eq!(
        done.stdout,
        "::add-mask::hidden-value\n::add-mask::unasked-value\n::add-mask::hidden-value\n"
    );
    let image = format!("{}/shop/api:build-3-2", registry.host());
    let stays = ["plan.json", "bake.json", "build.sh", "bake-metadata.json"].map(|name| project.read(name));
    docker(&project, &["pull", "--quiet", &image]);
    let history = crate::services::docker(&["history", "--no-trunc", &image]);
    let configuration = crate::services::docker(&["image", "inspect", &image]);
    for text in stays.iter().chain([&history, &configuration, &done.stderr]) {
        assert!(
            !["hidden-value", "hidden-file", "unasked-value"].iter().any(|secret| text.contains(secret)),
            "{text}"
        );
    }
    docker(&project, &["image", "rm", &image]);
}
