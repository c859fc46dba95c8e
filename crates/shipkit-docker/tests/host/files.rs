//! Files: whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use shipkit_core::Hint as _;
use shipkit_core::exit::ExitCode;
use shipkit_docker::{Host, HostError};
use shipkit_tests::server::sshd::{Sshd, output, pipe, until};

use crate::client::connect;
use crate::place::{Place, names};

fn mode(place: &Place, name: &str) -> u32 {
    fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o7777
}

/// A server on which `cat`, through which all content goes, is this script.
async fn with_cat(script: &str) -> Place {
    let place = Place::over_ssh().await;
    let sshd = place.sshd.as_ref().unwrap();
    fs::create_dir(sshd.path("bin")).unwrap();
    let script = script.replace("FOLDER", &sshd.text(""));
    fs::write(sshd.path("bin/cat"), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(sshd.path("bin/cat"), Permissions::from_mode(0o755)).unwrap();
    place
}

#[tokio::test]
async fn a_file_is_replaced_by_another_and_never_written_over() {
    for place in Place::both().await {
        for name in ["env", "-rf", "it's a\nname", "日本"] {
            let path = place.text(name);
            place.host.write(&path, b"old\0\n").await.unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
            let mut old = File::open(&path).unwrap();
            place.host.write(&path, &vec![7; 3_000_000]).await.unwrap();
            let mut bytes = Vec::new();
            old.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, b"old\0\n");
            assert!(place.host.read(&path, 3_000_000).await.unwrap().unwrap() == vec![7; 3_000_000]);
            assert_eq!(mode(&place, name), 0o600);
            place.host.remove(&path).await.unwrap();
            place.host.remove(&path).await.unwrap();
            assert_eq!(place.host.read(&path, 1).await.unwrap(), None);
        }
        assert_eq!(names(&place.home), [""; 0]);
        assert_eq!(place.host.list(&place.text("gone")).await.unwrap(), [""; 0]);
        for name in ["x", ".y"] {
            place.host.write(&place.text(&format!("-folder/{name}")), b"").await.unwrap();
        }
        assert_eq!(place.host.list(&place.text("-folder")).await.unwrap(), [".y", "x"]);
        place.host.write(&place.text("empty"), b"").await.unwrap();
        assert_eq!(place.host.read(&place.text("empty"), 0).await.unwrap(), Some(Vec::new()));
    }
}

#[tokio::test]
async fn folders_that_a_file_lacks_are_made_for_its_owner_alone() {
    for place in Place::both().await {
        place.host.write(&place.text("a/b/x"), b"x").await.unwrap();
        assert_eq!((mode(&place, "a"), mode(&place, "a/b"), mode(&place, "a/b/x")), (0o700, 0o700, 0o600));
    }
}

#[tokio::test]
async fn nobody_else_can_read_a_file_before_it_has_content() {
    let place = with_cat("exec 4>&1; stat -L -c '%a %s' /proc/$$/fd/4 > FOLDER/seen; exec /bin/cat").await;
    place.host.write(&place.text("x"), b"secret").await.unwrap();
    assert_eq!(fs::read_to_string(place.sshd.as_ref().unwrap().path("seen")).unwrap(), "600 0\n");
    assert_eq!(fs::read(place.path("x")).unwrap(), b"secret");
}

#[tokio::test]
async fn a_link_is_replaced_and_what_it_points_to_stays() {
    for place in Place::both().await {
        fs::write(place.path("other"), "other").unwrap();
        symlink(place.path("other"), place.path("x")).unwrap();
        place.host.write(&place.text("x"), b"new").await.unwrap();
        assert_eq!(fs::read_to_string(place.path("other")).unwrap(), "other");
        assert_eq!(fs::read_to_string(place.path("x")).unwrap(), "new");
        assert!(!place.path("x").is_symlink());
    }
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_any_more_is_carried_through() {
    for place in Place::both().await {
        let (path, bytes) = (place.text("x"), vec![7; 10_000_000]);
        tokio::select! {
            written = place.host.write(&path, &bytes) => panic!("too quick: {written:?}"),
            () = until("it has begun", || !names(&place.home).is_empty()) => {}
        }
        let is_whole = || fs::metadata(&path).is_ok_and(|file| file.len() == 10_000_000);
        until("it is there", is_whole).await;
        until("nothing else is", || names(&place.home) == ["x"]).await;
    }
}

#[tokio::test]
async fn what_fails_half_way_leaves_the_old_file_and_nothing_else() {
    // Files of at most 64 KiB.
    let sshd = Sshd::with("ForceCommand ulimit -f 128; eval \"$SSH_ORIGINAL_COMMAND\"");
    let host = Host::over(connect(&sshd).await).await.unwrap();
    fs::create_dir(sshd.path("files")).unwrap();
    let path = sshd.text("files/x");
    host.write(&path, b"old").await.unwrap();
    let error = host.write(&path, &vec![7; 3_000_000]).await.unwrap_err();
    let said = format!("could not write `{path}` on `{}`: ", sshd.host());
    assert!(error.to_string().starts_with(&said), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Unknown);
    assert_eq!(names(&sshd.path("files")), ["x"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
}

#[tokio::test]
async fn an_upload_whose_connection_breaks_off_leaves_the_old_file_and_nothing_else() {
    let place = with_cat("head -c 1; echo > FOLDER/begun; /bin/cat FOLDER/go; exec /bin/cat").await;
    let sshd = place.sshd.as_ref().unwrap();
    let path = place.text("x");
    fs::write(&path, "old").unwrap();
    let begun = pipe(&sshd.path("begun"));
    output("mkfifo", &[&sshd.text("go")]);
    let bytes = vec![7; 30_000_000];
    let cut = async {
        begun.await.unwrap();
        assert_eq!(names(&place.home).len(), 2, "the new file is not there yet");
        sshd.signal("KILL");
        fs::write(sshd.path("go"), "").unwrap();
    };
    let (written, ()) = tokio::join!(place.host.write(&path, &bytes), cut);
    let error = written.unwrap_err();
    assert!(error.to_string().contains("is not reachable"), "{error}");
    until("the server cleans up", || names(&place.home) == ["x"]).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
}

#[tokio::test]
async fn what_cannot_be_written_read_or_removed_is_told_in_the_hosts_words() {
    for place in Place::both().await {
        let host = &place.host;
        fs::write(place.path("file"), "").unwrap();
        let error = host.write(&place.text("file/x"), b"x").await.unwrap_err();
        assert!(error.to_string().contains(&format!("file/x` {}: ", place.name)), "{error}");
        assert!(error.to_string().ends_with("File exists"), "{error}");
        fs::remove_file(place.path("file")).unwrap();
        fs::create_dir(place.path("files")).unwrap();
        let folder = place.text("files");
        let error = host.write(&folder, b"x").await.unwrap_err();
        assert!(error.to_string().ends_with(": it is a folder"), "{error}");
        assert_eq!(names(&place.home), ["files"]);
        let error = host.read(&folder, 10).await.unwrap_err();
        assert!(error.to_string().ends_with("Is a directory"), "{error}");
        let error = host.remove(&folder).await.unwrap_err();
        assert!(error.to_string().ends_with("Is a directory"), "{error}");
        fs::write(place.path("large"), "12345").unwrap();
        let error = host.read(&place.text("large"), 4).await.unwrap_err();
        assert!(matches!(error, HostError::TooLarge { limit: 4, .. }), "{error}");
        for path in ["relative", "", "/folder/"] {
            let error = host.write(path, b"x").await.unwrap_err();
            assert!(matches!(error, HostError::BadPath(_)), "{error}");
            assert_eq!((error.exit_code(), error.hint()), (ExitCode::Usage, None));
        }
    }
}
