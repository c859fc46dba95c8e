//! What `docker compose up` started is taken over as it runs; and what its containers wrote is shown.

use shipkit_tests::container::docker;

use super::project::Project;

/// What people start themselves: these services, of an image by its tag.
fn up(project: &Project, tag: &str, services: &[&str]) {
    let text = project.compose().replace("build: api", &format!("image: {tag}"));
    project.write("theirs.yaml", &text.replace("build: web", &format!("image: {tag}")));
    let file = project.folder.path().join("theirs.yaml");
    let mut words = vec!["compose", "-p", &project.bed.stack, "-f", file.to_str().unwrap(), "up", "--detach"];
    words.extend(["--no-deps", "--wait", "--quiet-pull"]);
    words.extend(services);
    docker(&words);
}

fn tag(project: &Project, name: &str) -> String {
    format!("{}/{}/app:{name}", project.bed.host(), project.bed.stack)
}

#[test]
fn what_others_started_is_adopted_as_it_runs_and_is_a_release_to_come_back_to() {
    let mut project = Project::new("theirs");
    let [one, two, three] = [1, 2, 3].map(|revision| project.bed.image(revision, "good"));
    let (second, third) = (project.release(2, &two), project.release(3, &three));
    let run = project.step("adopt").run().ended(2, "there is nothing to adopt in `");
    assert!(run.stderr.contains("`api`, `web` are not there"), "{}", run.stderr);
    up(&project, &tag(&project, "1good"), &["api", "web"]);
    let theirs = project.everything();
    project.edit("compose.yaml", "    build: web\n", "    build: web\n    container_name: web\n");
    project.step("adopt").run().ended(2, "`services.web.container_name`");
    project.write("compose.yaml", &project.compose());
    let run = project.step("adopt").input("dry-run", "true").run().ended(0, "dry run: nothing was changed");
    let short = one.digest.short();
    let lines = format!(
        "adopt `api` as it runs: 2 containers at {short}\nadopt `web` as it runs: 1 container at {short}\n"
    );
    assert_eq!((run.stdout, project.remembered().as_str()), (lines, ""));

    project.step("adopt").run().ended(0, "adopted as it runs: api, web");
    assert_eq!(project.everything(), theirs);
    let run = project.step("status").run().ended(0, "what was adopted serves");
    assert!(
        run.stdout.contains("/api: adopted since ") && run.stdout.contains(", 2 running, "),
        "{}",
        run.stdout
    );
    let run = project.step("history").run();
    assert!(
        run.stdout.starts_with("adopted sha256:") && run.stdout.ends_with(": runs now\n"),
        "{}",
        run.stdout
    );
    project.step("adopt").run().ended(0, "nothing was left to adopt");
    project.step("rollback").run().ended(1, "remembers no good release before it");
    assert_eq!(
        (project.everything(), project.step("history").run().stdout.lines().count()),
        (theirs.clone(), 1)
    );

    let run = project.deploy(&second).run().ended(0, "1.2.0 serves in staging");
    assert_eq!(run.outputs["previous"], "");
    let run = project.step("rollback").run().ended(0, "what was adopted serves in staging again");
    assert_eq!(project.containers("api").len(), 2, "{run:#?}");
    let ids = |lines: &[String]| {
        lines.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let now = [project.containers("api"), project.containers("web")].concat();
    assert_eq!(ids(&now), ids(&theirs));

    // When its containers are gone they are made again, without anything of ours.
    for release in [&second, &third] {
        project.deploy(release).run().ended(0, "serves in staging");
    }
    project.step("adopt").run().ended(2, "`api` cannot be adopted: it is of release 1.3.0");
    project
        .step("rollback")
        .input("to", "adopted")
        .run()
        .ended(0, "what was adopted serves in staging again");
    assert_eq!(project.running("api"), vec![one.to_string(); 2]);
    let label = "{{index .Config.Labels \"dev.shipkit.key\"}}";
    assert_eq!(docker(&["inspect", "--format", label, &project.id("web")]), "");
    project.step("status").run().ended(0, "what was adopted serves");
}

#[test]
fn the_last_lines_of_what_fails_come_first_and_tell_no_secret() {
    let mut project = Project::new("wrote");
    project.bed.image(1, "crash");
    let text = project.compose().replace("build: web", &format!("image: {}", tag(&project, "1crash")));
    let more = "    environment: ['CANARY=s3cret-canary']\n    stop_grace_period: 1s\n    deploy";
    project.write("theirs.yaml", &text.replace("    stop_grace_period: 1s\n    deploy", more));
    let file = project.folder.path().join("theirs.yaml");
    let compose = ["compose", "-p", &project.bed.stack, "-f", file.to_str().unwrap()];
    docker(&[&compose[..], &["up", "--detach", "db"]].concat());
    docker(&[&compose[..], &["up", "--detach", "web"]].concat());
    docker(&["wait", &project.id("web")]);
    let step = |command: &str| project.step(command).var("SHIPKIT_ENV", "CANARY=s3cret-canary");
    let run = step("logs").run().ended(0, "2 containers, 1 of them failing");
    let name = |service: &str| format!("{}-{service}-1", project.bed.stack);
    let said: Vec<&str> = run.stderr.lines().filter(|line| line.contains(&project.bed.stack)).collect();
    let canary = format!("{} (failing) | CANARY is ***", name("web"));
    assert!(said.contains(&canary.as_str()), "{}", run.stderr);
    assert!(said[0].starts_with("::group::last lines of "), "{}", run.stderr);
    assert_eq!(said.last().unwrap(), &format!("{}: has written nothing", name("db")));
    assert!(!run.everything().contains("s3cret"), "{run:#?}");

    let json = |tail: &str| {
        let step = step("logs").input("service", "web").input("tail", tail).input("json", "true");
        let run = step.run().ended(0, "1 containers, 1 of them failing");
        assert!(!run.everything().contains("s3cret"), "{run:#?}");
        let shown: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(shown["containers"][0]["failing"], true);
        shown["containers"][0]["lines"].as_array().unwrap().clone()
    };
    assert!(json("50").contains(&"CANARY is ***".into()));
    assert_eq!(json("1").len(), 1);
    step("logs").input("service", "api").run().ended(2, "nothing of a service `api` is in project `");
}
