//! Secrets for a command: in its environment and nowhere else.

use std::collections::BTreeMap;
use std::fs;

use shipkit_core::exit::ExitCode;
use shipkit_core::{Hint as _, Secret};
use shipkit_docker::{Ended, HostCommand, HostError};

use crate::place::{Place, names};

fn secrets(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::from(*value))).collect()
}

const ODD: [&str; 6] = ["it's", "$HOME `id` $(id) \\", "a\n\n", "", "\"q\" é\t", "#x"];

/// Says a secret, its argument, its input, and every command line of this machine.
const SHOW: &str = r#"printf %s, "$A" "$1"; cat; printf ,; cat /proc/[0-9]*/cmdline 2> /dev/null; exit 3"#;

#[tokio::test]
async fn a_command_gets_the_values_as_they_are_and_they_stand_nowhere_else() {
    for place in Place::both().await {
        for value in ODD {
            let argv = ["sh", "-c", SHOW, "sh", "x y"];
            let command =
                HostCommand { stdin: value.as_bytes(), output: 16 << 20, ..HostCommand::new(&argv) };
            let secrets = secrets(&[("A", value), ("B_1", "s3cret-of-this-test")]);
            let output = place.host.run_with(&secrets, command).await.unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let start: String = said.chars().take(60).collect();
            assert!(said.starts_with(&format!("{value},x y,{value},")), "{start}");
            assert!(!said.contains("s3cret-of-this-test"));
            assert_eq!(output.ended, Ended::Code(3));
        }
        assert_eq!(names(&place.home), [""; 0]);
    }
}

#[tokio::test]
async fn what_no_shell_takes_is_refused_by_name_alone() {
    let place = Place::here();
    for (name, value) in
        [("a b", "s3cret"), ("1A", "s3cret"), ("", "s3cret"), ("A;id", "s3cret"), ("A", "s3\0cret")]
    {
        let secrets = secrets(&[(name, value)]);
        let error = place.host.run_with(&secrets, HostCommand::new(&["true"])).await.unwrap_err();
        assert!(matches!(&error, HostError::BadVariable(bad) if bad == name), "{error}");
        assert!(!format!("{error} {error:?}").contains("cret"), "{error:?}");
        assert_eq!(error.exit_code(), ExitCode::Usage);
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named_here_as_well() {
    for place in Place::both().await {
        let argv = ["dokker", "compose"];
        let error = place.host.run_with(&secrets(&[]), HostCommand::new(&argv)).await.unwrap_err();
        assert!(error.to_string().starts_with("there is no program `dokker`"), "{error}");
        let command = HostCommand::new(&["sh", "-c", "exit 127"]);
        let output = place.host.run_with(&secrets(&[]), command).await.unwrap();
        assert_eq!(output.ended, Ended::Code(127));
    }
}

/// `docker compose` itself (`scripts/bed up`).
#[tokio::test]
async fn compose_takes_them_for_what_its_files_leave_open_and_over_those_of_an_environment_file() {
    let place = Place::here();
    let compose = "services: {a: {image: x, environment: {A: \"${A}\", B: \"${B}\", C: \"${C}\"}}}\n";
    fs::write(place.path("compose.yml"), compose).unwrap();
    fs::write(place.path("env"), "A=of the file\nC=of the file\n").unwrap();
    let (file, env) = (place.text("compose.yml"), place.text("env"));
    let argv =
        ["docker", "compose", "-p", "x", "-f", &file, "--env-file", &env, "config", "--format", "json"];
    let secrets = secrets(&[("A", ODD[1]), ("B", ODD[2])]);
    let output = place.host.run_with(&secrets, HostCommand::new(&argv)).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let model: serde_json::Value = serde_json::from_slice(&output.stdout).expect(&said);
    let environment = &model["services"]["a"]["environment"];
    // Compose escapes `$` for itself.
    assert_eq!(environment["A"], ODD[1].replace('$', "$$"));
    assert_eq!((&environment["B"], &environment["C"]), (&ODD[2].into(), &"of the file".into()));
}
