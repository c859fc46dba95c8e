//! The files of a project on a host: all of them or none.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use shipkit_core::exit::ExitCode;
use shipkit_core::{Hint as _, ProjectPath};
use shipkit_docker::HostError;
use shipkit_tests::server::sshd::{output, pipe, until};
use tempfile::TempDir;

use crate::place::{Place, names, while_locked};

const STACK: &str = "shop-staging";

fn project(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn paths(paths: &[&str]) -> Vec<ProjectPath> {
    paths.iter().map(|path| path.parse().unwrap()).collect()
}

fn text(folder: &str, name: &str) -> String {
    fs::read_to_string(Path::new(folder).join(name)).unwrap()
}

#[tokio::test]
async fn files_arrive_under_their_paths_and_for_their_owner_alone() {
    for place in Place::both().await {
        let binary = "é\0\n\n";
        let files =
            [("compose.yml", "services: {}\n"), ("deploy/it's/-f", ""), (".env", binary), ("more.yml", "x")];
        let project = project(&files);
        let wanted = paths(&["compose.yml", "deploy/it's/-f", ".env"]);
        let there = place.host.upload(STACK, project.path(), &wanted).await.unwrap();
        assert!(there.starts_with(&place.text(".shipkit/shop-staging/files/")), "{there}");
        assert_eq!(names(Path::new(&there)), [".env", "compose.yml", "deploy"]);
        assert_eq!(text(&there, "compose.yml"), "services: {}\n");
        assert_eq!((text(&there, "deploy/it's/-f").as_str(), text(&there, ".env").as_str()), ("", binary));
        for (path, mode) in [(".env", 0o600), ("deploy", 0o700), ("../..", 0o700)] {
            let found = fs::metadata(Path::new(&there).join(path)).unwrap().permissions().mode();
            assert_eq!(found & 0o7777, mode, "{path}");
        }
        assert_eq!(names(&place.path(".shipkit/shop-staging/files")).len(), 1);
    }
}

#[tokio::test]
async fn another_set_is_beside_the_first_and_the_same_one_is_the_same_folder() {
    for place in Place::both().await {
        let project = project(&[("compose.yml", "1"), ("b.yml", "1")]);
        let upload =
            async |files: &[&str]| place.host.upload(STACK, project.path(), &paths(files)).await.unwrap();
        let first = upload(&["compose.yml"]).await;
        fs::write(project.path().join("compose.yml"), "2").unwrap();
        let second = upload(&["compose.yml"]).await;
        let both = upload(&["compose.yml", "b.yml"]).await;
        let renamed = upload(&["b.yml"]).await;
        assert_eq!(names(Path::new(&renamed)), ["b.yml"]);
        assert_eq!(
            (text(&first, "compose.yml"), text(&second, "compose.yml")),
            ("1".to_owned(), "2".to_owned())
        );
        assert_eq!(names(&place.path(".shipkit/shop-staging/files")).len(), 4);
        assert_eq!(names(Path::new(&both)), ["b.yml", "compose.yml"]);
        // What somebody has changed there is put right.
        fs::set_permissions(&second, Permissions::from_mode(0o700)).unwrap();
        fs::write(Path::new(&second).join("compose.yml"), "by hand").unwrap();
        fs::write(Path::new(&second).join("more"), "").unwrap();
        assert_eq!(upload(&["compose.yml"]).await, second);
        assert_eq!(
            (text(&second, "compose.yml").as_str(), names(Path::new(&second))),
            ("2", vec!["compose.yml".to_owned()])
        );
        assert_eq!(names(&place.path(".shipkit/shop-staging/files")).len(), 4);
    }
}

#[tokio::test]
async fn runs_that_bring_the_same_files_at_once_do_not_get_in_each_others_way() {
    for place in Place::both().await {
        let project = project(&[("compose.yml", "1")]);
        let going: Vec<_> = (0..6)
            .map(|_| {
                let (host, project) = (place.host.clone(), project.path().to_owned());
                tokio::spawn(async move { host.upload(STACK, &project, &paths(&["compose.yml"])).await })
            })
            .collect();
        for one in going {
            let there = one.await.unwrap().unwrap();
            assert_eq!(names(Path::new(&there)), ["compose.yml"]);
        }
        assert_eq!(names(&place.path(".shipkit/shop-staging/files")).len(), 1);
    }
}

#[tokio::test]
async fn a_set_gets_its_name_under_the_lock_of_the_stack() {
    let place = Place::here();
    let project = project(&[("compose.yml", "1")]);
    let files = paths(&["compose.yml"]);
    place.host.write(&place.text(".shipkit/shop-staging/lock"), b"").await.unwrap();
    let sets = place.path(".shipkit/shop-staging/files");
    let has_none = || assert!(names(&sets).iter().all(|name| name.starts_with(".new.")));
    let (uploaded, ()) =
        tokio::join!(place.host.upload(STACK, project.path(), &files), while_locked(&place, has_none));
    assert_eq!(text(&uploaded.unwrap(), "compose.yml"), "1");
}

#[tokio::test]
async fn an_upload_whose_connection_breaks_off_leaves_nothing() {
    let place = Place::over_ssh().await;
    let sshd = place.sshd.as_ref().unwrap();
    fs::create_dir(sshd.path("bin")).unwrap();
    let script = "#!/bin/sh\necho > FOLDER/begun; /bin/cat FOLDER/go; exec /bin/dd \"$@\"\n";
    fs::write(sshd.path("bin/dd"), script.replace("FOLDER", &sshd.text(""))).unwrap();
    fs::set_permissions(sshd.path("bin/dd"), Permissions::from_mode(0o755)).unwrap();
    let begun = pipe(&sshd.path("begun"));
    output("mkfifo", &[&sshd.text("go")]);
    let files = place.path(".shipkit/shop-staging/files");
    // More than anybody takes while nobody reads it.
    let large = "x".repeat(1 << 20);
    let many: Vec<String> = (0..8).map(|n| format!("{n}.yml")).collect();
    let project = project(&many.iter().map(|name| (name.as_str(), large.as_str())).collect::<Vec<_>>());
    let many = paths(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let cut = async {
        begun.await.unwrap();
        assert_eq!(names(&files).len(), 1, "it has no name yet");
        sshd.signal("KILL");
        fs::write(sshd.path("go"), "").unwrap();
    };
    let (uploaded, ()) = tokio::join!(place.host.upload(STACK, project.path(), &many), cut);
    assert!(uploaded.unwrap_err().to_string().contains("is not reachable"));
    until("the server cleans up", || names(&files).is_empty()).await;
}

#[tokio::test]
async fn what_is_not_of_the_project_is_refused_before_anything_is_written() {
    let place = Place::here();
    let project = project(&[("compose.yml", "1"), ("folder/x", "")]);
    let root = project.path();
    symlink("/etc/passwd", root.join("link")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("compose.yml", root.join("alias.yml")).unwrap();
    fs::write(root.join("large"), vec![b'x'; (1 << 20) + 1]).unwrap();
    let refusal = async |file: &str| {
        let wanted = paths(&["compose.yml", file]);
        let error = place.host.upload(STACK, root, &wanted).await.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Usage, "{error}");
        error
    };
    let error = refusal("link").await;
    assert_eq!(error.to_string(), "`link` is a link out of the project's folder");
    let beside = format!("up/{}/../../etc/passwd", root.file_name().unwrap().to_str().unwrap());
    assert!(beside.parse::<ProjectPath>().is_err());
    assert!(matches!(refusal("up").await, HostError::LeadsOut { .. }));
    let error = refusal("nowhere.yml").await.to_string();
    assert!(error.contains("nowhere.yml` cannot be read: No such file"), "{error}");
    assert!(refusal("folder").await.to_string().contains("cannot be read"));
    assert!(refusal("large").await.to_string().ends_with("it is larger than 1048576 bytes"));
    assert_eq!(names(&place.home), [""; 0]);
    let there = place.host.upload(STACK, root, &paths(&["alias.yml"])).await.unwrap();
    assert_eq!(text(&there, "alias.yml"), "1");
}
