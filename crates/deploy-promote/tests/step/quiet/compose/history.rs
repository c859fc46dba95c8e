//! The releases that were confirmed in a Compose project, and the way back to each of them.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;

use shipkit_core::{Digest, ImageRef};
use shipkit_tests::container::docker;
use shipkit_tests::soon;

use super::project::Project;
use crate::bed::Step;

fn back_to(project: &Project, name: &str) -> Step {
    project.step("rollback").input("to", name)
}

/// Takes an image from the host.
fn lose(image: &ImageRef) {
    let id = docker(&["image", "inspect", "--format", "{{.Id}}", &image.to_string()]);
    docker(&["rmi", "--force", &id]);
}

/// Starts a way back and kills it when the first service goes.
fn kill(project: &Project, to: &Digest) {
    let step = back_to(project, to.as_str());
    let mut child = step.start();
    let said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.into_iter().any(|line| line.contains("return `api`")), "it never began");
    // Written before anything goes.
    let journal = || std::fs::read_to_string(project.state().join("journal.json")).unwrap();
    let is_written = |text: String| text.contains(to.as_str()) && text.contains("\"hasEnded\":false");
    soon("it never wrote where it goes", || is_written(journal()));
    child.kill().unwrap();
    child.wait().unwrap();
    project.lease_ends();
}

#[test]
fn a_release_that_was_confirmed_earlier_comes_back_as_a_whole_and_needs_a_registry_for_images_alone() {
    let mut project = Project::new("further");
    let [one, two, three] = [1, 2, 3].map(|revision| project.bed.image(revision, "good"));
    let (first, second) = (project.release(1, &one), project.release(2, &two));
    let third = project.bed.release(3, (&two, 2), (&three, 3));
    let run = project.step("history").run().ended(0, "no release of shipkit serves");
    assert_eq!(run.stdout, format!("{}: no confirmed releases\n", project.bed.stack));
    back_to(&project, "1.1.0").run().ended(2, "none was confirmed here");
    // The second deploy of a release adds nothing.
    for release in [&first, &second, &second, &third] {
        project.deploy(release).run().ended(0, "serves in staging");
    }
    let entry = project.state().join("history/1.json");
    assert_eq!(std::fs::metadata(&entry).unwrap().permissions().mode() & 0o777, 0o600);
    let data = (project.id("db"), project.id("nginx"));

    // Neither containers nor the image are left of it; nor is a file of the checkout but shipkit.yml.
    lose(&one);
    std::fs::remove_file(project.folder.path().join("compose.yaml")).unwrap();
    let run = back_to(&project, "1.1.0").input("dry-run", "true").run().ended(0, "dry run");
    let line = |name: &str, from: &ImageRef| {
        let (from, to) = (from.digest.short(), one.digest.short());
        format!("return `{name}` {from} -> {to} (release 1.3.0 -> 1.1.0)\n")
    };
    assert!(
        run.stdout.starts_with(&format!("{}{}", line("api", &two), line("web", &three))),
        "{}",
        run.stdout
    );
    back_to(&project, "1.1.0").run().ended(0, "1.1.0 serves in staging again");
    assert_eq!(
        (project.running("api"), project.running("web")),
        (vec![one.to_string(); 2], vec![one.to_string()])
    );
    // Nothing leads to what was left, and nothing is kept of it.
    assert_eq!((project.containers("api").len(), project.containers("web").len()), (2, 1));
    let run = project.step("rollback").run().ended(1, "remembers no good release before it; ");
    assert!(run.outputs["cause"].ends_with("; `rollback --to` reaches 1.3.0, 1.2.0"), "{run:#?}");

    project.bed.stop_registry();
    let run = project.step("history").run().ended(0, "1.1.0 serves");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", run.stdout);
    assert!(lines[0].starts_with("1.3.0 commit 3333") && lines[0].ends_with("`rollback --to` reaches it"));
    assert!(lines[2].contains(first.as_str()) && lines[2].ends_with(": runs now"), "{}", lines[2]);
    let before = project.everything();
    back_to(&project, "1.1.0").run().ended(0, "1.1.0 serves in staging again");
    assert_eq!(project.everything(), before, "what runs is not replaced");
    kill(&project, &second);
    project.step("rollback").run().ended(0, "1.2.0 serves in staging again");
    assert_eq!(
        (project.running("api"), project.running("web")),
        (vec![two.to_string(); 2], vec![two.to_string()])
    );
    project.write("compose.yaml", &project.compose());
    project.step("reconcile").run().ended(0, "has ended");
    kill(&project, &first);
    project.step("reconcile").run().ended(0, "1.1.0 serves in staging again");

    // Of one that is not all there, nothing comes back.
    lose(&three);
    let run = back_to(&project, "1.3.0")
        .run()
        .ended(3, "nothing was changed: what comes back is not all on the host: `web`");
    assert!(run.outputs["cause"].contains(three.digest.as_str()), "{run:#?}");
    assert_eq!(project.running("api"), vec![one.to_string(); 2]);
    project.step("reconcile").run().ended(0, "has ended");
    assert_eq!((project.id("db"), project.id("nginx")), data);
}
