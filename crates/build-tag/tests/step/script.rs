//! The test script that `build-tag plan` writes, run by `sh`.

use std::process::Command;

use crate::project::{CONFIG, Project, push};
use shipkit_tests::step::Done;

fn run(test: &str) -> Done {
    let project = Project::new(&format!("{CONFIG}test:\n{test}"));
    let done = project.plan("push", &push("refs/heads/main"), &[]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let mut sh = Command::new("sh");
    sh.arg(project.handed_on("test.sh")).current_dir(project.path()).env_clear();
    let ran = sh.env("PATH", std::env::var_os("PATH").unwrap()).output().unwrap();
    Done {
        exit: ran.status.code(),
        stdout: String::from_utf8(ran.stdout).unwrap(),
        stderr: String::from_utf8(ran.stderr).unwrap(),
        ..done
    }
}

#[test]
fn the_first_failure_is_the_last_command() {
    let done = run("  run: [echo one, sh -c 'exit 7', echo three]\n");
    assert_eq!(done.exit, Some(7));
    assert_eq!(done.stdout, "+ echo one\none\n+ sh -c 'exit 7'\n");
}

#[test]
fn no_command_reaches_the_next_by_cd_or_exit() {
    let done = run("  run: [cd /, \"test -f shipkit.yml\", exit 0, \"false; true\", echo never]\n");
    assert_eq!(done.exit, Some(1));
    assert!(done.stdout.ends_with("+ exit 0\n+ false; true\n"), "{}", done.stdout);
}

#[test]
fn values_arrive_as_they_are_whatever_they_hold() {
    let done = run(r#"  environment: {A: "it's \"$HOME\" `id` \\n"}
  run: ["printf '%s' \"$A\""]
"#);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert!(done.stdout.ends_with(r#"it's "$HOME" `id` \n"#), "{}", done.stdout);
}

#[test]
fn a_project_without_tests_says_so() {
    let project = Project::new(CONFIG);
    project.plan("push", &push("refs/heads/main"), &[]);
    let ran = Command::new("sh").arg(project.handed_on("test.sh")).output().unwrap();
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), "shipkit.yml names no tests\n");
}
