//! What a build context would send.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;
use shipkit_tests::step::{Done, Files};

use crate::bench::Bench;

/// `image-scan context` with these arguments, in the folder of the bench.
fn context(bench: &Bench, arguments: &[&str]) -> Done {
    let files = Files::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_image-scan"));
    files.step(&mut command, []);
    command.arg("context").args(arguments).current_dir(bench.path());
    files.done(command.output().unwrap())
}

fn bench(files: &[(&str, &str)]) -> Bench {
    let bench = Bench::new();
    for (path, content) in files {
        bench.write(path, content);
    }
    bench
}

#[test]
fn what_should_not_be_sent_is_named_and_its_content_is_not() {
    let bench = bench(&[
        ("src/main.js", "1"),
        (".env", "TOKEN=hunter2"),
        (".git/HEAD", "12"),
        ("node_modules/a/index.js", "123"),
        ("tls/server.key", "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"),
    ]);
    let done = context(&bench, &[]);
    done.check(1, "the context sends what it should not, of 5 files, 80 B: `.env` (settings of a program, 13 B), `.git` (the history of the project, 2 B), `node_modules` (installed packages, 3 B), `tls/server.key` (a private key, 61 B); there is no `.dockerignore`: write one");
    assert_eq!((done.output("verdict"), done.output("findings")), ("fail", "4"));
    assert!(done.summary.contains(r"| node\_modules | installed packages | 3 B |"), "{}", done.summary);
    assert!(!format!("{done:?}").contains("hunter2"), "{done:#?}");
}

#[test]
fn what_is_ignored_is_not_sent() {
    let bench = bench(&[
        ("api/.dockerignore", "# secrets\n**/.env*\n!**/.env.example\n/.git/\nnode_modules\n"),
        ("api/web/.env.local", "A=b"),
        ("api/.env.example", "A="),
        ("api/.git/HEAD", "1"),
        ("api/node_modules/x", "1"),
    ]);
    let done = context(&bench, &["api", "--json"]);
    done.check(0, "the context sends 2 files");
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&told["files"], &told["ignoredBy"]), (&2.into(), &"api/.dockerignore".into()));
    // What is beside the Dockerfile goes before it, whole.
    bench.write("api/Dockerfile.dockerignore", "node_modules\n");
    let done = context(&bench, &["api"]);
    done.check(1, "`.git` (the history of the project, 1 B), `web/.env.local`");
    assert!(done.output("cause").ends_with("name them in `api/Dockerfile.dockerignore`"), "{done:#?}");
    context(&bench, &["api", "--dockerfile", "build/Dockerfile"]).check(0, "3 files");
}

#[test]
fn what_is_asked_wrongly_and_what_cannot_be_read_differ() {
    let bench = bench(&[("file", "1"), ("api/a", "1"), ("odd/.dockerignore", "[a&&b]")]);
    context(&bench, &["nowhere"]).check(2, "the context `nowhere` does not exist");
    context(&bench, &["file"]).check(2, "the context `file` is no folder");
    context(&bench, &["api", "--wrong"]).check(2, "--wrong");
    context(&bench, &["odd"])
        .check(3, "`odd/.dockerignore` cannot be read as Docker reads it: the pattern `[a&&b]`");
    let closed = bench.path().join("api/closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o0)).unwrap();
    // Root may read it all the same.
    if std::fs::read_dir(&closed).is_err() {
        context(&bench, &["api"]).check(3, "`api/closed` cannot be read");
    }
    bench.write("broken/.dockerignore/x", "");
    context(&bench, &["broken"]).check(3, "`broken/.dockerignore` cannot be read");
    // Images are judged as before.
    bench.step(&[]).check(2, "required");
    let done = context(&bench, &["api", "--release", "1.0.0"]);
    done.check(2, "--release");
}
