//! A migration runs once for a release, before anything is replaced.

use shipkit_tests::container::docker;

use super::project::Project;

fn migrating(project: &Project, command: &str) {
    let hook = format!("    migrate: {{service: api, command: {command}, compatible: true}}\n");
    project.edit("shipkit.yml", "    timeout: 40s\n", &format!("    timeout: 40s\n{hook}"));
}

/// The containers that migrate or have migrated.
fn migrations(project: &Project) -> Vec<String> {
    project.containers("shipkit-migrate")
}

#[test]
fn a_migration_runs_once_and_its_container_is_removed() {
    let mut project = Project::new("migrate");
    let (one, two) = (project.bed.image(1, "good"), project.bed.image(2, "good"));
    let (first, second) = (project.release(1, &one), project.release(2, &two));
    migrating(&project, "/container migrate");
    let run = project.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    let said = |text: &str| run.stderr.find(text).unwrap_or_else(|| panic!("{text}: {}", run.stderr));
    assert!(said("migrating with 1111") < said("create `api`"), "{}", run.stderr);
    assert_eq!(migrations(&project), Vec::<String>::new());
    let run = project.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    assert!(!run.stderr.contains("migrating"), "{}", run.stderr);

    project.write("shipkit.yml", &project.config());
    migrating(&project, "/container migrate fail");
    let run = project.deploy(&second).run().ended(1, "the migration failed: it ended with exit code 4");
    assert!(run.outputs["cause"].ends_with("; nothing was rolled out, 1.1.0 serves"), "{run:#?}");
    let kept = migrations(&project);
    let run = project.deploy(&second).run().ended(1, "it is not run twice for one release: `docker rm");
    assert_eq!((kept.len(), migrations(&project)), (1, kept), "{run:#?}");
    assert_eq!(project.running("api"), vec![one.to_string(); 2]);
}

#[test]
fn a_migration_whose_run_was_killed_is_waited_for_by_the_next_one() {
    let mut project = Project::new("waited");
    let one = project.bed.image(1, "good");
    let first = project.release(1, &one);
    migrating(&project, "/container migrate wait");
    let step = project.deploy(&first);
    let mut child = step.start();
    let running = || migrations(&project).into_iter().find(|line| line.contains(" running "));
    let found = std::iter::repeat_with(running).find_map(|found| found).unwrap();
    child.kill().unwrap();
    step.finish(child);
    project.lease_ends();
    let id = found.split(' ').next().unwrap().to_owned();
    let step = project.deploy(&first);
    let child = step.start();
    docker(&["exec", &id, "/container", "touch", "/done"]);
    let run = step.finish(child).ended(0, "1.1.0 serves in staging");
    assert_eq!(run.stderr.matches("migrating with").count(), 0, "it is not run again: {}", run.stderr);
    assert_eq!(migrations(&project), Vec::<String>::new());
}
