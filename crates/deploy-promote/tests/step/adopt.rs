//! What `docker service create` started on a real Swarm is taken over as it runs; and what its tasks wrote is shown.

use shipkit_tests::container::docker;

use crate::bed::Bed;

/// Creates a service of `staging` as people do.
fn create(bed: &Bed, service: &str, tag: &str, more: &[&str]) {
    let (name, image) =
        (format!("{}_{service}", bed.stack), format!("{}/{}/app:{tag}", bed.host(), bed.stack));
    let mut words = vec!["service", "create", "--quiet", "--name", &name, "--stop-grace-period", "1s"];
    words.extend(more);
    words.push(&image);
    docker(&words);
}

fn namespace(stack: &str) -> String {
    format!("com.docker.stack.namespace={stack}")
}

/// The tasks of all services of `staging`, with what they are meant to do.
fn tasks(bed: &Bed) -> Vec<String> {
    let of = |service: &str| {
        let name = format!("{}_{service}", bed.stack);
        let list = docker(&["service", "ps", "--no-trunc", "--format", "{{.ID}} {{.DesiredState}}", &name]);
        list.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    ["api", "db", "web"].iter().flat_map(|service| of(service)).collect()
}

#[test]
fn what_others_started_is_adopted_without_a_restart_and_is_a_release_to_come_back_to() {
    let mut bed = Bed::new("adopt");
    let (one, two, three) = (bed.image(1, "good"), bed.image(2, "good"), bed.image(3, "good"));
    let (second, third) = (bed.release(2, (&two, 2), (&two, 2)), bed.release(3, (&three, 3), (&three, 3)));
    bed.step("adopt", "staging").run().ended(2, "there is nothing to adopt in `");
    // One without any label of a stack, one as a stack would have it, and one of another stack.
    create(&bed, "api", "1good", &["--label", "team=a"]);
    create(&bed, "db", "1good", &["--label", &namespace(&bed.stack)]);
    create(&bed, "web", "1good", &["--label", &namespace("other")]);
    let theirs = tasks(&bed);
    let run =
        bed.step("adopt", "staging").run().ended(2, "`web` cannot be adopted: it belongs to stack `other`");
    assert!(run.stderr.contains("target.stack"), "{}", run.stderr);
    let web = format!("{}_web", bed.stack);
    docker(&["service", "update", "--quiet", "--label-add", &namespace(&bed.stack), &web]);
    let run =
        bed.step("adopt", "staging").input("dry-run", "true").run().ended(0, "dry run: nothing was changed");
    let line = format!("adopt `api` as it runs: 1 container at {}\n", one.digest.short());
    assert!(run.stdout.starts_with(&line) && run.stdout.lines().count() == 3, "{}", run.stdout);
    assert_eq!(bed.inspect("api", "{{.Spec.Labels}}"), "map[team:a]");

    let containers = ["api", "db", "web"].map(|service| bed.containers(service));
    bed.step("adopt", "staging").run().ended(0, "adopted as it runs: api, db, web");
    assert_eq!(
        (tasks(&bed), ["api", "db", "web"].map(|service| bed.containers(service))),
        (theirs.clone(), containers)
    );
    assert_eq!(bed.inspect("api", "{{.Spec.Labels.team}}"), "a");
    let run = bed.step("status", "staging").run().ended(0, "what was adopted serves");
    assert!(
        run.stdout.contains("_api: adopted since ") && run.stdout.contains("1 running"),
        "{}",
        run.stdout
    );
    bed.step("adopt", "staging").run().ended(0, "nothing was left to adopt");
    bed.step("rollback", "staging").run().ended(1, "remembers no good release before it");
    let run = bed.step("history", "staging").run();
    assert!(
        run.stdout.starts_with("adopted sha256:") && run.stdout.ends_with(": runs now\n"),
        "{}",
        run.stdout
    );
    assert_eq!((run.stdout.lines().count(), tasks(&bed)), (1, theirs));

    let data = bed.containers("db");
    let run = bed.deploy(&second, "staging").run().ended(0, "1.2.0 serves in staging");
    assert_eq!(run.outputs["previous"], "");
    bed.step("rollback", "staging").run().ended(0, "what was adopted serves in staging again");
    let image = bed.inspect("api", "{{.Spec.TaskTemplate.ContainerSpec.Image}}");
    assert!(image.ends_with(one.digest.as_str()), "{image}");
    for release in [&second, &third] {
        bed.deploy(release, "staging").run().ended(0, "serves in staging");
    }
    bed.step("adopt", "staging").run().ended(2, "`api` cannot be adopted: it is of release 1.3.0");
    let back = bed.step("rollback", "staging").input("to", "adopted");
    back.run().ended(0, "what was adopted serves in staging again");
    assert_eq!(bed.containers("db"), data);
}

#[test]
fn the_last_lines_of_what_fails_come_first_and_tell_no_secret() {
    let mut bed = Bed::new("logs");
    bed.image(1, "good");
    bed.image(2, "crash");
    create(&bed, "api", "1good", &["--label", &namespace(&bed.stack)]);
    let label = namespace(&bed.stack);
    let crash =
        ["--detach", "--label", &label, "--restart-max-attempts", "1", "--env", "CANARY=s3cret-canary"];
    create(&bed, "web", "2crash", &crash);
    let step = || bed.step("logs", "staging").var("SHIPKIT_ENV", "CANARY=s3cret-canary");
    let canary = " (failing) | CANARY is ***";
    let run =
        std::iter::repeat_with(|| step().run()).take(50).find(|run| run.stderr.contains(canary)).unwrap();
    let said: Vec<&str> =
        run.stderr.lines().filter(|line| line.contains(&format!("{}_", bed.stack))).collect();
    assert!(said[0].starts_with(&format!("{}_web.1@", bed.stack)), "{}", run.stderr);
    let last = said.last().unwrap();
    assert!(
        last.starts_with(&format!("{}_api.1@", bed.stack)) && last.ends_with(": has written nothing"),
        "{last}"
    );
    assert!(!run.everything().contains("s3cret"), "{run:#?}");
    let run = step().input("service", "api").run().ended(0, "1 containers, 0 of them failing");
    assert!(!run.stderr.contains("_web"), "{}", run.stderr);
    step().input("service", "db").run().ended(2, "nothing of a service `db` is in stack `");
}
