//! A Compose project on a host that is reached over SSH, at a real sshd.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use shipkit_tests::container::docker;
use shipkit_tests::server::sshd::{Sshd, fingerprint, output};

use super::project::Project;
use crate::bed::Step;

/// One on which there is Docker.
pub(crate) fn server() -> Sshd {
    let sshd = Sshd::start();
    std::fs::create_dir_all(sshd.path("bin")).unwrap();
    symlink(output("sh", &["-c", "command -v docker"]), sshd.path("bin").join("docker")).unwrap();
    sshd
}

#[test]
fn a_release_goes_to_a_host_behind_ssh_with_its_files_and_comes_back() {
    let mut project = Project::new("remote");
    let sshd = server();
    let (one, two) = (project.bed.image(1, "good"), project.bed.image(2, "good"));
    let (first, second) = (project.release(1, &one), project.release(2, &two));
    let key = std::fs::read_to_string(sshd.path("user")).unwrap();
    let pin = fingerprint(&sshd.path("host"));
    let over = |step: Step| {
        step.input("docker-host", &sshd.host()).input("ssh-key", &key).input("ssh-known-hosts", &pin)
    };

    let check = || over(project.step("check").input("release", first.as_str()));
    let run = check().run().ended(2, "`services.nginx.volumes` (`nginx.conf`)");
    assert!(run.stderr.contains("target.directory"), "{}", run.stderr);
    assert_eq!(project.everything(), Vec::<String>::new());

    // On the server, under another path than the checkout.
    let there = tempfile::tempdir().unwrap();
    std::fs::copy(project.folder.path().join("nginx.conf"), there.path().join("nginx.conf")).unwrap();
    let directory = format!("directory: {}, proxy", there.path().display());
    project.edit("shipkit.yml", "proxy", &directory);
    project.edit(
        "shipkit.yml",
        "type: compose,",
        "type: compose, files: [compose.yaml], env_file: staging.env,",
    );
    project.write("staging.env", "GREETING=from-a-file\n");
    project.edit(
        "compose.yaml",
        "    build: api\n",
        "    build: api\n    environment: {GREETING: '${GREETING:?}'}\n",
    );
    // The engine of this server is that of the tests, and has what they make.
    docker(&["rmi", "--force", &one.to_string()]);
    let df = sshd.path("bin").join("df");
    let script = "#!/bin/sh\nprintf 'Filesystem 1024-blocks Used Available Capacity Mounted\\n/dev/x 9 8 1 99%% /\\n'\n";
    std::fs::write(&df, script).unwrap();
    std::fs::set_permissions(&df, std::fs::Permissions::from_mode(0o755)).unwrap();
    let run =
        check().run().ended(1, "on the host has 1 MB left, and the images of the release need at least");
    assert!(run.stderr.contains("docker image prune"), "{}", run.stderr);
    std::fs::remove_file(&df).unwrap();
    check().run().ended(0, "nothing is in the way");
    let run = over(project.deploy(&first)).run().ended(0, "1.1.0 serves in staging");
    for number in [1, 2] {
        let said = run.stderr.lines().find(|line| line.contains(&format!("instance `api-{number}@")));
        assert!(said.is_some_and(|line| line.ends_with("answers as it should")), "{}", run.stderr);
    }
    assert!(project.remembered().contains("from-a-file"));
    over(project.deploy(&second)).run().ended(0, "1.2.0 serves in staging");
    over(project.step("status")).run().ended(0, "1.2.0 serves");
    over(project.step("rollback")).run().ended(0, "1.1.0 serves in staging again");
    assert_eq!(project.running("api"), vec![one.to_string(); 2]);
}
