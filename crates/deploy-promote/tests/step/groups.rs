//! Groups: services that are deployed and taken back by themselves, in one stack.

use shipkit_core::evidence::Kind;
use shipkit_core::verdict::Verdict;
use shipkit_core::{Digest, ImageRef, Repository};

use crate::bed::{Bed, Step, record, release_of, wait};

/// `api` with the database in one group, `web` in another.
fn config(bed: &Bed) -> String {
    bed.config().replace("environments:\n", "groups: {back: [api, db], front: [web]}\nenvironments:\n")
}

/// A release of one service in the repository of its group, scanned.
fn release(bed: &Bed, group: &str, digit: u8, service: &str, image: &ImageRef) -> (Repository, Digest) {
    let repository = bed.repository().to_string() + "-" + group;
    let repository: Repository = repository.parse().unwrap();
    let release = release_of(digit, &[(service, image.clone(), digit)]);
    let digest = wait(async {
        let client = bed.client();
        let scan = record(Kind::Scan, Verdict::Pass, None);
        client.put_evidence(&image.repository, &image.digest, &scan).await.unwrap();
        client.put_release(&repository, &release).await.unwrap()
    });
    (repository, digest)
}

fn step(bed: &Bed, command: &str, group: &str) -> Step {
    Step::new(command, &config(bed)).input("environment", "staging").input("group", group)
}

#[test]
fn a_group_is_deployed_and_taken_back_without_the_others() {
    let mut bed = Bed::new("group");
    let (one, two) = (bed.image(1, "good"), bed.image(2, "good"));
    let deploy = |bed: &Bed, group: &str, digit: u8, service: &str, image: &ImageRef| {
        let (_repository, digest) = release(bed, group, digit, service, image);
        // The repository is not given: it follows from the group.
        step(bed, "deploy", group).input("release", digest.as_str()).run()
    };
    deploy(&bed, "back", 1, "api", &one).ended(0, "1.1.0 serves in staging");
    let run = deploy(&bed, "front", 1, "web", &one).ended(0, "1.1.0 serves in staging");
    assert!(!run.stderr.contains("is not in this release"), "the other group is no stranger: {run:#?}");
    let api = bed.containers("api");
    deploy(&bed, "front", 2, "web", &two).ended(0, "1.2.0 serves in staging");
    assert_eq!((bed.versions(), bed.containers("api")), (texts(["1.1.0", "1.1.0", "1.2.0"]), api.clone()));
    deploy(&bed, "back", 2, "api", &two).ended(0, "1.2.0 serves in staging");
    let web = bed.containers("web");

    // The newest deploy is that of `back`; what is asked for goes back all the same, and nothing else.
    step(&bed, "rollback", "front").run().ended(0, "1.1.0 serves in staging again");
    assert_eq!(bed.versions(), ["1.2.0", "1.1.0", "1.1.0"]);
    assert_ne!(bed.containers("web"), web);
    let run = step(&bed, "status", "front").run().ended(0, "1.1.0 serves");
    assert!(run.stdout.contains("web: 1.1.0") && !run.stdout.contains("api"), "{}", run.stdout);
    let run = step(&bed, "status", "back").run().ended(0, "1.2.0 serves");
    assert!(run.stdout.contains("api: 1.2.0") && !run.stdout.contains("web"), "{}", run.stdout);
}

#[test]
fn a_deploy_without_its_group_changes_nothing() {
    let mut bed = Bed::new("nogroup");
    bed.image(1, "good");
    let without =
        Step::new("deploy", &config(&bed)).input("environment", "staging").input("release", "1.0.0");
    let run = without.run().ended(2, "none is named");
    assert!(run.stderr.contains("`back`, `front`"), "{}", run.stderr);
    let run = step(&bed, "rollback", "bakc").run().ended(2, "no group `bakc`");
    assert!(run.stderr.contains("did you mean `back`?"), "{}", run.stderr);
    assert_eq!(bed.services(), Vec::<String>::new());
}

fn texts(texts: [&str; 3]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}
