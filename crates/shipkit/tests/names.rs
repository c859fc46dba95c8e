//! One file, called by the names of four programs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests stop at the first surprise")]

use std::path::Path;
use std::process::{Command, Output};

const FILE: &str = env!("CARGO_BIN_EXE_shipkit");

fn called(name: &str, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join(name);
    std::os::unix::fs::symlink(FILE, &link).unwrap();
    run(&link, args)
}

fn run(program: &Path, args: &[&str]) -> Output {
    // Nothing of a job in which the tests themselves may run.
    Command::new(program).args(args).env_clear().output().unwrap()
}

#[test]
fn a_link_is_the_program_whose_name_it_has() {
    for name in ["build-tag", "image-scan", "deploy-promote", "smoke-test"] {
        let output = called(name, &["--version"]);
        assert_eq!(output.status.code(), Some(0), "{name}");
        let version = String::from_utf8(output.stdout).unwrap();
        assert_eq!(version.trim_end(), format!("{name} {}", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn a_step_of_build_tag_without_a_command_names_images() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("build-tag");
    std::os::unix::fs::symlink(FILE, &link).unwrap();
    let output = Command::new(&link)
        .env_clear()
        .env("GITHUB_ACTIONS", "true")
        .env("INPUT_IMAGES", "ghcr.io/acme/api:v1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("ghcr.io/acme/api:v1"), "{told}");
}

#[test]
fn any_other_name_is_asked_wrongly_and_says_which_there_are() {
    let called_so: [(&str, &[&str]); 3] =
        [("shipkit", &[]), ("shipkit", &["plan", "--json"]), ("tag", &["--help-me"])];
    for (name, args) in called_so {
        let output = called(name, args);
        assert_eq!(output.status.code(), Some(2), "{name} {args:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("build-tag, image-scan, deploy-promote or smoke-test"), "{told}");
    }
}
