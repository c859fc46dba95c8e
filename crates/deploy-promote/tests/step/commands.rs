//! Environments that the user's own commands deploy to: here they write files, and no Docker engine is needed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;

use serde_json::{Value, json};
use shipkit_core::evidence::Kind;
use shipkit_core::verdict::Verdict;
use shipkit_core::{Digest, ImageRef, Repository};
use shipkit_tests::server::registry::{Options, Registry};
use tempfile::TempDir;

use crate::analysis::Prometheus;
use crate::bed::{Step, client, commit, record, release_of, terminate, wait};
use crate::front::Front;

/// A checkout whose commands write into `live` which version is there; the front answers as that one does.
struct Shop {
    registry: Registry,
    folder: TempDir,
    front: Front,
}

impl Shop {
    fn new(target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let live = folder.path().join("live");
        let front = Front::start(move |path| {
            let version = std::fs::read_to_string(&live).unwrap_or_default();
            let digit = version.split('.').nth(1).and_then(|digit| digit.parse().ok()).unwrap_or(0);
            match path {
                "/version" => (200, json!({"revision": commit(digit)}).to_string()),
                // The third is the one that does not work.
                "/items" if digit == 3 => (500, "{}".to_owned()),
                _ => (200, "{}".to_owned()),
            }
        });
        let shop = Self { registry: Registry::start(Options::default()), folder, front };
        let (registry, front) = (shop.registry.host(), shop.front.host());
        shop.configure(&format!(
            "version: 1\nname: shop\nregistry: {registry}/shop\nservices:\n\
             \x20 api: {{build: {{context: api}}}}\n  web-app: {{build: {{context: web}}}}\n\
             environments:\n  staging:\n    url: http://{front}\n    timeout: 30s\n    secrets: [TOKEN]\n\
             \x20   target: {{type: command, {target}}}\n\
             \x20   smoke:\n    - {{release: /version, service: api}}\n    - {{get: /items, retries: 0}}\n"
        ));
        shop
    }

    fn configure(&self, config: &str) {
        std::fs::write(self.path("shipkit.yml"), config).unwrap();
    }

    fn edit(&self, old: &str, new: &str) {
        let text = self.read("shipkit.yml");
        assert!(text.contains(old), "{old}: {text}");
        self.configure(&text.replacen(old, new, 1));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn repository(&self, name: &str) -> Repository {
        format!("{}/shop/{name}", self.registry.host()).parse().unwrap()
    }

    /// The image of a service in the release of this digit.
    fn image(&self, service: &str, digit: u8) -> ImageRef {
        let image = self.registry.seed_image(&format!("shop/{service}"), &json!({}), &[&[digit]]);
        self.repository(service).at(&image)
    }

    /// The release `1.<digit>.0`, scanned.
    fn release(&self, digit: u8) -> Digest {
        let images = ["api", "web-app"].map(|name| (name, self.image(name, digit), digit));
        let client = client(&self.registry.host());
        wait(async {
            for (_, image, _) in &images {
                let scan = record(Kind::Scan, Verdict::Pass, None);
                client.put_evidence(&image.repository, &image.digest, &scan).await.unwrap();
            }
            client.put_release(&self.repository("release"), &release_of(digit, &images)).await.unwrap()
        })
    }

    fn step(&self, command: &str) -> Step {
        let step = Step::new(command, "").input("environment", "staging").var("TOKEN", "t0ken-canary");
        let folder = self.folder.path().to_str().unwrap();
        step.input("directory", folder).var("HOME", folder).var("PATH", &std::env::var("PATH").unwrap())
    }

    fn deploy(&self, release: &Digest) -> Step {
        self.step("deploy").input("release", release.as_str())
    }

    /// What the tags beside the releases name: begun, passed, before.
    fn standing(&self) -> [Option<String>; 3] {
        let tags = self.registry.tags("shop/release");
        ["deploying-staging", "deployed-staging", "before-staging"].map(|tag| tags.get(tag).cloned())
    }

    /// The newest deployment evidence on a release.
    fn evidence(&self, release: &Digest) -> (Verdict, String) {
        let wanted = [(Kind::Deployment, Some("staging"))];
        let client = client(&self.registry.host());
        let found = wait(client.evidence(&self.repository("release"), release, &wanted)).unwrap().records;
        let newest = found.into_iter().find(|one| one.kind == Kind::Deployment).unwrap();
        (newest.verdict, newest.cause)
    }
}

fn names(digests: &[&Digest]) -> Vec<Option<String>> {
    digests.iter().map(|digest| Some(digest.to_string())).collect()
}

const WRITES: &str =
    r#"run: ['env | grep ^SHIPKIT_ | sort > told', 'echo "$SHIPKIT_VERSION" > live; echo "$TOKEN"']"#;

#[test]
fn a_release_goes_out_by_commands_and_comes_back_by_them() {
    let shop = Shop::new(WRITES);
    let (one, two) = (shop.release(1), shop.release(2));
    shop.step("status").run().ended(0, "no release has passed; what runs now, only its own commands");
    shop.step("rollback").run().ended(1, "nothing was rolled back: no release has passed there");
    let run = shop.deploy(&one).input("dry-run", "true").run().ended(0, "dry run: nothing was changed");
    assert!(run.stdout.contains("run: env | grep"), "{}", run.stdout);
    assert_eq!((shop.read("live").as_str(), shop.standing()), ("", [None, None, None]));

    let run = shop.deploy(&one).run().ended(0, "1.1.0 serves in staging: ");
    assert_eq!((shop.read("live").as_str(), run.outputs["previous"].as_str()), ("1.1.0\n", ""));
    assert!(run.stderr.contains("| ***") && !run.everything().contains("t0ken"), "{run:#?}");
    let (api, web) = (shop.image("api", 1).to_string(), shop.image("web-app", 1).to_string());
    let told: Vec<String> = shop.read("told").lines().map(str::to_owned).collect();
    let digests = json!({"api": api, "web-app": web});
    assert_eq!(
        told,
        [
            format!("SHIPKIT_DIGESTS={digests}"),
            "SHIPKIT_ENVIRONMENT=staging".to_owned(),
            format!("SHIPKIT_IMAGE_API={api}"),
            format!("SHIPKIT_IMAGE_WEB_APP={web}"),
            format!("SHIPKIT_RELEASE={one}"),
            "SHIPKIT_VERSION=1.1.0".to_owned(),
        ]
    );

    let run = shop.deploy(&two).run().ended(0, "1.2.0 serves in staging: ");
    assert_eq!(run.outputs["previous"], one.as_str());
    let now: Value = serde_json::from_str(&run.outputs["digests"]).unwrap();
    assert_eq!(now["api"], shop.image("api", 2).digest.as_str());
    for line in [
        format!("SHIPKIT_PREVIOUS_RELEASE={one}"),
        "SHIPKIT_PREVIOUS_VERSION=1.1.0".to_owned(),
        format!("SHIPKIT_PREVIOUS_DIGESTS={digests}"),
        format!("SHIPKIT_PREVIOUS_IMAGE_API={api}"),
    ] {
        assert!(shop.read("told").lines().any(|told| told == line), "{line}: {}", shop.read("told"));
    }
    assert_eq!(shop.evidence(&two).0, Verdict::Pass);
    assert_eq!(shop.standing().to_vec(), names(&[&two, &two, &one]));
    // The same once more is run again, and there is still a way back.
    std::fs::remove_file(shop.path("live")).unwrap();
    shop.deploy(&two).run().ended(0, "1.2.0 serves in staging: ");
    assert_eq!(
        (shop.read("live").as_str(), shop.standing().to_vec()),
        ("1.2.0\n", names(&[&two, &two, &one]))
    );
    let run = shop.step("status").input("json", "true").run().ended(0, "1.2.0 passed last; what runs now");
    let said: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&said["passed"]["version"], &said["unfinished"]), (&json!("1.2.0"), &Value::Null));

    shop.step("rollback").run().ended(0, "1.1.0 was put back in staging");
    assert_eq!(shop.read("live"), "1.1.0\n");
    assert!(shop.read("told").contains("SHIPKIT_PREVIOUS_VERSION=1.2.0\n"), "{}", shop.read("told"));
    shop.step("status").run().ended(0, "1.1.0 passed last; what runs now");
    shop.step("rollback").run().ended(1, "no release is known that passed there before");
    assert_eq!(shop.read("live"), "1.1.0\n");
}

#[test]
fn what_fails_is_put_back_by_its_own_commands() {
    let back = r#"rollback: 'echo "from $SHIPKIT_PREVIOUS_VERSION" > back; echo "$SHIPKIT_VERSION" > live'"#;
    let shop = Shop::new(&format!("{WRITES}, {back}"));
    let (one, two, three) = (shop.release(1), shop.release(2), shop.release(3));
    let run = shop.deploy(&three).run().ended(1, "get /items: ");
    assert!(
        run.outputs["cause"].ends_with("; nothing was taken back: no release has passed there"),
        "{run:#?}"
    );
    shop.deploy(&one).run().ended(0, "1.1.0 serves in staging: ");

    let run = shop.deploy(&three).run().ended(1, "rolled back: get /items: ");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 was put back"), "{run:#?}");
    assert_eq!((shop.read("live").as_str(), shop.read("back").as_str()), ("1.1.0\n", "from 1.3.0\n"));
    let now: Value = serde_json::from_str(&run.outputs["digests"]).unwrap();
    assert_eq!(now["api"], shop.image("api", 1).digest.as_str());
    let (verdict, cause) = shop.evidence(&three);
    assert!(verdict == Verdict::Fail && cause.starts_with("rolled back: "), "{cause}");
    assert_eq!(shop.standing().to_vec()[..2], names(&[&one, &one]));

    shop.edit(
        "'echo \"$SHIPKIT_VERSION\" > live; echo \"$TOKEN\"'",
        "'echo half > live; echo \"$TOKEN\" >&2; exit 4'",
    );
    let run = shop.deploy(&two).run().ended(1, "rolled back: `echo half > live; ");
    assert!(run.outputs["cause"].contains("ended with exit status: 4"), "{run:#?}");
    assert_eq!(shop.read("live"), "1.1.0\n");

    shop.edit("rollback: '", "rollback: 'exit 5; ");
    let run = shop.deploy(&two).run().ended(1, "the rollback failed as well: `exit 5; ");
    assert!(run.outputs["cause"].contains("it began because `echo half"), "{run:#?}");
    shop.step("status").run().ended(0, "1.1.0 passed last, 1.2.0 was begun and did not pass");
    shop.edit("rollback: 'exit 5; ", "rollback: '");
    shop.step("rollback").run().ended(0, "1.1.0 was put back in staging");
    assert_eq!((shop.read("live").as_str(), shop.read("back").as_str()), ("1.1.0\n", "from 1.2.0\n"));
    shop.step("status").run().ended(0, "1.1.0 passed last; ");

    shop.edit("    timeout: 30s\n", "    timeout: 30s\n    rollback: manual\n");
    let run = shop.deploy(&two).run().ended(1, "; nothing was rolled back, `deploy-promote rollback");
    assert_eq!((shop.read("live").as_str(), run.outputs["digests"].as_str()), ("half\n", "null"));
    shop.edit("    timeout: 30s\n", "    timeout: 30s\n    backup: {run: exit 6}\n");
    shop.deploy(&two)
        .run()
        .ended(1, "the backup failed: `exit 6` ended with exit status: 6; nothing was changed");
}

#[test]
fn a_deploy_that_is_cancelled_or_takes_too_long_ends_its_commands_and_all_that_they_have_started() {
    let shop = Shop::new(r#"run: 'tail -f /dev/null & echo "$$ $!" > running; echo begun; wait'"#);
    let one = shop.release(1);
    let ended = |text: String| {
        let is_there = |id: &&str| std::path::Path::new("/proc").join(id).join("exe").exists();
        // A killed process is gone a moment after the signal.
        let gone = std::iter::repeat_with(|| text.split_whitespace().filter(is_there).count()).take(10_000);
        assert!(text.split_whitespace().count() == 2 && gone.into_iter().any(|left| left == 0), "{text}");
    };
    let step = shop.deploy(&one);
    let mut child = step.start();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    said.find(|line| line.contains("| begun")).unwrap();
    terminate(&child);
    let rest = std::thread::spawn(move || said.count());
    let run =
        step.finish(child).ended(143, "cancelled by SIGTERM: in the middle of a deploy; 1.1.0 may be there");
    rest.join().unwrap();
    ended(shop.read("running"));
    shop.step("status").run().ended(0, "no release has passed, 1.1.0 was begun and did not pass");
    assert!(run.outputs["cause"].contains("deploy-promote rollback --environment staging"), "{run:#?}");

    let run =
        shop.deploy(&one).input("timeout", "1s").run().ended(1, "did not end within 1 s; nothing was taken");
    assert!(run.stderr.contains("| begun"), "{}", run.stderr);
    ended(shop.read("running"));
}

#[test]
fn a_second_run_on_this_machine_waits_for_the_first() {
    let shop =
        Shop::new(r#"run: 'echo "$SHIPKIT_VERSION" > live; [ "$SHIPKIT_VERSION" = 1.2.0 ] || cat go'"#);
    shipkit_tests::server::sshd::output("mkfifo", &[shop.path("go").to_str().unwrap()]);
    let (one, two) = (shop.release(1), shop.release(2));
    let listening = |step: &Step| {
        let mut child = step.start();
        let said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        (child, said)
    };
    let (first, second) = (shop.deploy(&one), shop.deploy(&two));
    let (earlier, mut said) = listening(&first);
    said.find(|line| line.contains("running: ")).unwrap();
    let (later, mut said_later) = listening(&second);
    said_later
        .find(|line| line.contains("waiting: another run on this machine deploys to `staging`"))
        .unwrap();
    let rest = [std::thread::spawn(move || said.count()), std::thread::spawn(move || said_later.count())];
    std::fs::File::options().write(true).open(shop.path("go")).unwrap().write_all(b"go\n").unwrap();
    first.finish(earlier).ended(0, "1.1.0 serves in staging");
    second.finish(later).ended(0, "1.2.0 serves in staging");
    for one in rest {
        one.join().unwrap();
    }
    assert_eq!(shop.standing().to_vec(), names(&[&two, &two, &one]));
}

#[test]
fn what_commands_cannot_do_is_said_before_anything_runs() {
    let shop = Shop::new(WRITES);
    let one = shop.release(1);
    let run = shop.deploy(&one).var("PATH", "/nowhere").run().ended(2, "`target.run` needs `bash`");
    assert!(run.stderr.contains("org/shipkit/setup"), "{}", run.stderr);
    let run = shop.deploy(&one).var("TOKEN", "").run();
    run.ended(2, "`environments.staging.secrets` names `TOKEN`, not set here");
    shop.deploy(&one).var("HOME", "").run().ended(2, "`HOME` is no absolute path");
    let run = shop.step("rollback").input("to", "1.1.0").run().ended(2, "commands keep none");
    assert!(run.stderr.contains("`deploy` goes to any release"), "{}", run.stderr);
    shop.step("history").run().ended(2, "commands keep no list of the releases");
    shop.step("reconcile").run().ended(2, "nothing but its own commands can reach this one");
    let check = || shop.step("check").input("release", one.as_str()).run();
    assert!(check().ended(0, "nothing is in the way").stdout.contains("run: env"));
    for (key, text) in [
        ("`migrate`", "migrate: {service: api, command: migrate}"),
        ("`environment`", "environment: {A: b}"),
        ("`strategy: blue-green`", "strategy: blue-green"),
    ] {
        shop.edit("    timeout: 30s\n", &format!("    timeout: 30s\n    {text}\n"));
        check().ended(2, &format!("asks for {key}, which this version cannot do with commands"));
        shop.edit(&format!("    {text}\n"), "");
    }
    let gone = shop.image("web-app", 1);
    shop.registry.remove("shop/web-app", &gone.digest);
    let run = check();
    assert!(run.outputs["cause"].contains("web-app"), "{run:#?}");
    assert_ne!(run.exit, Some(0));
    assert_eq!((shop.read("live").as_str(), shop.standing()), ("", [None, None, None]));
}

#[test]
fn prometheus_decides_about_what_commands_have_put_there() {
    let back = r#"rollback: 'echo "$SHIPKIT_VERSION" > live'"#;
    let (prometheus, shop) = (Prometheus::start(), Shop::new(&format!("{WRITES}, {back}")));
    let (one, two) = (shop.release(1), shop.release(2));
    shop.edit("    timeout: 30s\n", &format!("{}    timeout: 30s\n", prometheus.line("window: 5s")));
    prometheus.set(40, 0);
    shop.deploy(&one).run().ended(0, "; analysis of 5s: error rate 0% of ");
    prometheus.set(40, 10);
    let run = shop.deploy(&two).run().ended(1, "rolled back: analysis of 5s: error rate 20% of ");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 was put back"), "{run:#?}");
    assert_eq!(shop.read("live"), "1.1.0\n");
}

#[test]
fn a_tag_without_evidence_is_not_believed() {
    let shop = Shop::new(WRITES);
    let (one, two) = (shop.release(1), shop.release(2));
    shop.deploy(&one).run().ended(0, "1.1.0 serves in staging: ");
    shop.registry.set_tag("shop/release", "deployed-staging", &two);
    let run = shop.step("rollback").run().ended(1, "no release has passed there");
    assert!(run.stderr.contains("and no evidence does"), "{}", run.stderr);
    shop.registry.set_tag("shop/release", "deployed-staging", &one);
    shop.step("status").run().ended(0, "1.1.0 passed last; ");
}
