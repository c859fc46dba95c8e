//! What a Compose target refuses before anything changes.

use super::project::Project;

#[test]
fn everything_that_cannot_be_replaced_without_a_gap_is_named_at_once() {
    let mut project = Project::new("refused");
    let one = project.bed.image(1, "good");
    let first = project.release(1, &one);
    project.edit("compose.yaml", "    build: api\n", "    build: api\n    ports: ['8081:8080']\n");
    project.edit(
        "compose.yaml",
        "    build: web\n",
        "    build: web\n    container_name: web\n    ports: ['9000-9001:9000-9001']\n",
    );
    let run = project.step("check").input("release", first.as_str()).run().ended(2, "problems: ");
    let cause = &run.outputs["cause"];
    for key in
        ["`services.api.ports (8081:8080)`", "`services.web.container_name`", "`services.web.ports (9000"]
    {
        assert!(cause.contains(key), "{key}: {cause}");
    }
    assert!(cause.contains("strategy: recreate"), "{cause}");
    project.deploy(&first).run().ended(2, "problems: ");
    assert_eq!((project.everything(), project.remembered().as_str()), (Vec::new(), ""));

    // One container that is stopped before the next one starts may have a name.
    project.write("compose.yaml", &project.compose());
    let name = format!("    build: web\n    container_name: {}-fixed\n", project.bed.stack);
    project.edit("compose.yaml", "    build: web\n", &name);
    project.edit("shipkit.yml", "build: {context: web}", "build: {context: web}, strategy: recreate");
    project.edit("compose.yaml", "serve]\n    stop_grace_period: 1s\n    deploy: {update_config: {monitor: 500ms, order: start-first}}", "serve]\n    stop_grace_period: 1s");
    project.step("check").input("release", first.as_str()).run().ended(0, "nothing is in the way");
}

#[test]
fn where_docker_compose_cannot_run_it_is_said_before_anything_else() {
    let mut project = Project::new("absent");
    let one = project.bed.image(1, "good");
    let first = project.release(1, &one);
    let run = project.deploy(&first).var("PATH", "/nowhere").run();
    let run = run.ended(2, "there is no program `docker` where this runs");
    assert!(run.stderr.contains("target.host"), "{}", run.stderr);
    for host in ["tcp://127.0.0.1:2375", "npipe:////./pipe/docker_engine"] {
        let run = project.deploy(&first).input("docker-host", host).run();
        let run = run.ended(2, &format!("a Compose project cannot be deployed to `{host}`"));
        assert!(run.stderr.contains("ssh://user@host"), "{}", run.stderr);
    }
    std::fs::remove_file(project.folder.path().join("compose.yaml")).unwrap();
    project.deploy(&first).run().ended(2, "there is no Compose file in ");
    assert!(!project.state().join("lease.json").exists());
}
