//! The Docker engine as tests use it: images of one static program, and what a Compose project leaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "fixtures stop at the first surprise"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use shipkit_core::Digest;

/// Runs the client of the engine, which must succeed, and gives what it prints without the white space around it.
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("the docker program");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "docker {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Pushes an image that was built or imported, and gives its name with its digest in the repository of this tag: the same image may
/// have been pushed to others, which may be gone.
pub fn push(tagged: &str) -> String {
    docker(&["push", "--quiet", tagged]);
    let named = docker(&["image", "inspect", "--format", "{{join .RepoDigests \"\\n\"}}", tagged]);
    let repository = tagged.rsplit_once(':').unwrap().0;
    let is_here = |name: &&str| name.split_once('@').is_some_and(|(of, _)| of == repository);
    named.lines().find(is_here).unwrap().to_owned()
}

/// Makes an image of an archive, which runs these words and has a label with its version, and pushes it. Gives its name with its
/// digest.
pub fn imported(archive: &Path, version: &str, command: &[&str], tagged: &str) -> String {
    let change = format!("CMD {}", serde_json::to_string(command).unwrap());
    let label = format!("LABEL version={version}");
    docker(&["import", "--change", &change, "--change", &label, archive.to_str().unwrap(), tagged]);
    push(tagged)
}

/// The archive of a root folder with the static program `/container` of this source, which is `/bin/sh`, too. It is made
/// once for each text of the source, and stays in the folder `kept`.
pub fn root_archive(source: &str, kept: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let text = std::fs::read(source).unwrap();
    let archive = Path::new(kept).join(format!("root-{}.tar", Digest::of(&text).short()));
    if !archive.exists() {
        let folder = tempfile::tempdir_in(kept).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let status = Command::new(program).args(arguments).current_dir(&folder).status().unwrap();
            assert!(status.success(), "{program} {arguments:?}");
        };
        let is_static = "-Ctarget-feature=+crt-static";
        run("rustc", &["--edition=2024", is_static, "-Cstrip=symbols", "-o", "container", source]);
        run("mkdir", &["bin"]);
        run("ln", &["container", "bin/sh"]);
        run("tar", &["-cf", "root.tar", "container", "bin"]);
        std::fs::rename(folder.path().join("root.tar"), &archive).unwrap();
    }
    archive
}

/// Removes the containers, volumes and networks of a Compose project, whatever is still there of them.
pub fn remove_project(name: &str) {
    let quiet = |arguments: &[&str]| Command::new("docker").args(arguments).output().unwrap();
    let lines = |arguments: &[&str]| -> Vec<String> {
        String::from_utf8_lossy(&quiet(arguments).stdout).lines().map(str::to_owned).collect()
    };
    let filter = format!("label=com.docker.compose.project={name}");
    for container in lines(&["ps", "--all", "--quiet", "--filter", &filter]) {
        quiet(&["rm", "--force", "--volumes", &container]);
    }
    for kind in ["volume", "network"] {
        for one in lines(&[kind, "ls", "--quiet", "--filter", &filter]) {
            quiet(&[kind, "rm", &one]);
        }
    }
}
