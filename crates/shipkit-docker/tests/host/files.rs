//! Files: whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use shipkit_core::Hint as _;
use shipkit_core::exit::ExitCode;
use shipkit_docker::SshError;

use shipkit_tests::server::sshd::{Sshd, output, pipe, until};

use crate::client::connect;

fn names(sshd: &Sshd, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(sshd.path(folder)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A server on which `cat`, through which all content goes, is this script.
fn with_cat(script: &str) -> Sshd {
    let sshd = Sshd::start();
    fs::create_dir(sshd.path("bin")).unwrap();
    fs::create_dir(sshd.path("files")).unwrap();
    let script = script.replace("FOLDER", &sshd.text(""));
    fs::write(sshd.path("bin/cat"), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(sshd.path("bin/cat"), Permissions::from_mode(0o755)).unwrap();
    sshd
}

#[tokio::test]
async fn a_file_is_replaced_by_another_and_never_written_over() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    fs::create_dir(sshd.path("files")).unwrap();
    for name in ["env", "-rf", "it's a\nname", "日本"] {
        let path = sshd.text(&format!("files/{name}"));
        ssh.upload(&path, b"old\0\n", 0o600).await.unwrap();
        let mut old = File::open(&path).unwrap();
        ssh.upload(&path, &vec![7; 3_000_000], 0o644).await.unwrap();
        let mut bytes = Vec::new();
        old.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"old\0\n");
        assert!(ssh.read(&path, 3_000_000).await.unwrap().unwrap() == vec![7; 3_000_000]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
        ssh.remove(&path).await.unwrap();
        ssh.remove(&path).await.unwrap();
        assert_eq!(ssh.read(&path, 1).await.unwrap(), None);
    }
    assert_eq!(names(&sshd, "files"), [""; 0]);
    ssh.upload(&sshd.text("files/empty"), b"", 0o400).await.unwrap();
    assert_eq!(ssh.read(&sshd.text("files/empty"), 0).await.unwrap(), Some(Vec::new()));
}

#[tokio::test]
async fn a_file_has_its_mode_before_it_has_content() {
    let sshd = with_cat("exec 4>&1; stat -L -c '%a %s' /proc/$$/fd/4 > FOLDER/seen; exec /bin/cat");
    for mode in [0o600, 0o400, 0o644] {
        connect(&sshd).await.upload(&sshd.text("files/x"), b"secret", mode).await.unwrap();
        assert_eq!(fs::read_to_string(sshd.path("seen")).unwrap(), format!("{mode:o} 0\n"));
        assert_eq!(fs::read(sshd.path("files/x")).unwrap(), b"secret");
    }
}

#[tokio::test]
async fn a_link_is_replaced_and_what_it_points_to_stays() {
    let sshd = Sshd::start();
    fs::create_dir(sshd.path("files")).unwrap();
    fs::write(sshd.path("other"), "other").unwrap();
    symlink(sshd.path("other"), sshd.path("files/x")).unwrap();
    connect(&sshd).await.upload(&sshd.text("files/x"), b"new", 0o600).await.unwrap();
    assert_eq!(fs::read_to_string(sshd.path("other")).unwrap(), "other");
    assert_eq!(fs::read_to_string(sshd.path("files/x")).unwrap(), "new");
    assert!(!sshd.path("files/x").is_symlink());
}

#[tokio::test]
async fn what_fails_half_way_leaves_the_old_file_and_nothing_else() {
    // Files of at most 64 KiB.
    let sshd = Sshd::with("ForceCommand ulimit -f 128; eval \"$SSH_ORIGINAL_COMMAND\"");
    let ssh = connect(&sshd).await;
    fs::create_dir(sshd.path("files")).unwrap();
    let path = sshd.text("files/x");
    ssh.upload(&path, b"old", 0o600).await.unwrap();
    let error = ssh.upload(&path, &vec![7; 3_000_000], 0o600).await.unwrap_err();
    assert!(
        error.to_string().starts_with(&format!("could not write `{path}` on `{}`: ", sshd.host())),
        "{error}"
    );
    assert_eq!(error.exit_code(), ExitCode::Unknown);
    assert_eq!(names(&sshd, "files"), ["x"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
}

#[tokio::test]
async fn an_upload_whose_connection_breaks_off_leaves_the_old_file_and_nothing_else() {
    let sshd = with_cat("head -c 1; echo > FOLDER/begun; /bin/cat FOLDER/go; exec /bin/cat");
    let ssh = connect(&sshd).await;
    let path = sshd.text("files/x");
    fs::write(&path, "old").unwrap();
    let begun = pipe(&sshd.path("begun"));
    output("mkfifo", &[&sshd.text("go")]);
    let bytes = vec![7; 30_000_000];
    let cut = async {
        begun.await.unwrap();
        assert_eq!(names(&sshd, "files").len(), 2, "the new file is not there yet");
        sshd.signal("KILL");
        fs::write(sshd.path("go"), "").unwrap();
    };
    let (uploaded, ()) = tokio::join!(ssh.upload(&path, &bytes, 0o600), cut);
    let error = uploaded.unwrap_err();
    assert!(matches!(error, SshError::Unreachable { .. }), "{error}");
    until("the server cleans up", || names(&sshd, "files") == ["x"]).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
}

#[tokio::test]
async fn what_cannot_be_written_read_or_removed_is_told_in_the_servers_words() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    let error = ssh.upload(&sshd.text("nowhere/x"), b"x", 0o600).await.unwrap_err();
    assert!(error.to_string().contains("nowhere/x` on `"), "{error}");
    assert!(error.to_string().ends_with("No such file or directory"), "{error}");
    fs::create_dir(sshd.path("files")).unwrap();
    let folder = sshd.text("files");
    let error = ssh.upload(&folder, b"x", 0o600).await.unwrap_err();
    assert!(error.to_string().ends_with(": it is a folder"), "{error}");
    assert_eq!(names(&sshd, "files"), [""; 0]);
    let error = ssh.read(&folder, 10).await.unwrap_err();
    assert!(error.to_string().ends_with("Is a directory"), "{error}");
    let error = ssh.remove(&folder).await.unwrap_err();
    assert!(error.to_string().ends_with("Is a directory"), "{error}");
    fs::write(sshd.path("large"), "12345").unwrap();
    let error = ssh.read(&sshd.text("large"), 4).await.unwrap_err();
    assert!(matches!(error, SshError::TooLarge { limit: 4, .. }), "{error}");
    for path in ["relative", "", "/folder/"] {
        let error = ssh.upload(path, b"x", 0o600).await.unwrap_err();
        assert!(matches!(error, SshError::BadArgument { .. }), "{error}");
        assert_eq!((error.exit_code(), error.hint()), (ExitCode::Usage, None));
    }
}
