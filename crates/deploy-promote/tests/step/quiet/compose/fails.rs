//! Releases that fail: the one before serves, and one sentence says why.

use shipkit_core::evidence::Kind;
use shipkit_core::verdict::Verdict;

use super::life::watched;
use super::project::Project;
use crate::bed::commit;

#[test]
fn a_release_that_crashes_is_never_ready_or_fails_its_checks_is_taken_back_as_a_whole() {
    let mut project = Project::new("bad");
    let one = project.bed.image(1, "good");
    let first = project.release(1, &one);
    project.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    let kept = project.everything();
    for (digit, mode, cause) in [
        (2, "crash", "rolled back: `api`"),
        (3, "sick", "rolled back: `api`"),
        (4, "broken", "rolled back: "),
    ] {
        let image = project.bed.image(digit, mode);
        // `web` works in any case, and goes back with the other.
        let release = project.bed.release(digit, (&image, digit), (&image, digit));
        let run = project.deploy(&release).run().ended(1, cause);
        assert!(run.outputs["cause"].ends_with("; 1.1.0 serves"), "{run:#?}");
        assert_eq!(run.outputs["verdict"], "fail");
        assert!(!run.outputs["cause"].contains('\n'), "{run:#?}");
        if mode == "crash" {
            assert!(run.stderr.contains("REVISION is 2222"), "the log is shown: {}", run.stderr);
        }
        assert_eq!(project.everything(), kept, "{mode}");
        let evidence = project.bed.evidence(&release, Kind::Deployment, "staging").unwrap();
        assert_eq!(evidence.verdict, Verdict::Fail);
        project.step("status").run().ended(0, "1.1.0 serves");
    }
}

#[test]
fn a_first_release_that_fails_leaves_no_container_of_it() {
    let mut project = Project::new("none");
    let image = project.bed.image(1, "crash");
    let first = project.release(1, &image);
    let run = project.deploy(&first).run().ended(1, "; no release of shipkit serves");
    assert!(run.outputs["cause"].starts_with("rolled back: `api`"), "{run:#?}");
    assert_eq!((project.containers("api"), project.containers("web")), (Vec::new(), Vec::new()));
    project.step("rollback").run().ended(1, "holds nothing that shipkit deployed");
}

#[test]
fn a_release_whose_instances_say_that_they_cannot_serve_gets_no_request() {
    let mut project = Project::new("unready");
    let (one, two) = (project.bed.image(1, "good"), project.bed.image(2, "unready"));
    let (first, second) = (project.release(1, &one), project.release(2, &two));
    project.edit("shipkit.yml", "port: 8080", "port: 8080, healthcheck: {ready: /serving}");
    // nginx takes a part of the path away, so no instance knows it.
    project.edit(
        "nginx.conf",
        "        location / {",
        "        location /shop/ { proxy_pass http://api/; }\n        location / {",
    );
    project.edit("shipkit.yml", "release: /version", "release: /shop/version");
    let run = project.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    for number in [1, 2] {
        assert_eq!(run.stderr.matches(&format!("instance `api-{number}@")).count(), 2, "{}", run.stderr);
    }
    assert_eq!(run.stderr.matches("is no path of instance").count(), 2, "{}", run.stderr);
    assert!(!run.stderr.contains("instance `web"), "nothing can be asked of it: {}", run.stderr);

    let kept = project.everything();
    let deploy = || project.deploy(&second).input("timeout", "10s").run();
    let (run, report) = watched(&project, deploy);
    let run = run.ended(1, "rolled back: `api` was not verified: instance `api-");
    assert!(run.outputs["cause"].contains(": ready: not ready after "), "{run:#?}");
    assert!(run.outputs["cause"].contains("status 500"), "{run:#?}");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 serves"), "{run:#?}");
    let seen: Vec<_> = report.revisions.iter().map(|seen| seen.revision.as_str()).collect();
    assert_eq!(seen, [commit(1)], "{report:#?}");
    assert_eq!(project.everything(), kept);
}
