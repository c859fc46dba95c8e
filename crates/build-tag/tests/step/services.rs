//! Containers of the tests, on a real engine: there before the first command, heard when they fail, gone afterwards.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use shipkit_core::config::{Config, Needed};
use shipkit_core::plan::{test_compose, test_script};
use shipkit_tests::step::Done;

use crate::project::Project;
use crate::script::{planned, script};

/// Postgres as scripts/bed makes it, with a password that needs no secret of the engine.
const POSTGRES: &str = "shipkit-test/postgres:15";

/// A program on the host's network that writes to the database and reads it.
const CLIENT: &str = "docker run --rm --network host --entrypoint python3 shop-base/python:3.11 -c";

pub(crate) fn docker(arguments: &[&str]) -> String {
    let done = Command::new("docker").args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// What scripts/bed says about itself.
pub(crate) fn bed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bed.env");
    let bed = std::fs::read_to_string(path).expect("scripts/bed has run");
    let line = bed.lines().find_map(|line| line.strip_prefix(&format!("export {name}=")));
    line.unwrap_or_else(|| panic!("no {name} in {bed}")).to_owned()
}

pub(crate) fn postgres() -> &'static str {
    let folder = tempfile::tempdir().unwrap();
    let base = format!("{}/shop-base/postgres:15", bed("REGISTRY"));
    let dockerfile =
        format!("FROM {base}\nRUN printf test > /tmp/password\nENV POSTGRES_PASSWORD_FILE=/tmp/password\n");
    std::fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    docker(&["build", "--quiet", "--tag", POSTGRES, folder.path().to_str().unwrap()]);
    POSTGRES
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A test section: Postgres, on the network of the host, and these commands.
fn with_postgres(port: u16, commands: &str) -> Project {
    let image = postgres();
    planned(&format!(
        "  environment: {{DATABASE_URL: 'postgresql://test:test@localhost:{port}/test'}}\n  services: {{postgres: {{image: '{image}', environment: {{PGPORT: {port}}}}}}}\n  run:\n{commands}"
    ))
}

/// All that is left of the containers of a checkout's tests.
pub(crate) fn left(project: &Project) -> String {
    let name = Command::new("sh")
        .args(["-c", "pwd -P | cksum | cut -d ' ' -f 1"])
        .current_dir(project.path())
        .output()
        .unwrap();
    let name = format!("shipkit-test-{}", String::from_utf8(name.stdout).unwrap().trim());
    let stacks = ["services", "e2e"].map(|stack| format!("label=com.docker.compose.project={name}-{stack}"));
    let of = |filter: &String| {
        docker(&["ps", "--all", "--quiet", "--filter", filter])
            + &docker(&["network", "ls", "--quiet", "--filter", filter])
            + &docker(&["volume", "ls", "--quiet", "--filter", filter])
    };
    stacks.iter().map(of).collect()
}

#[track_caller]
fn run(project: &Project, vars: &[(&str, &str)]) -> Done {
    let done = Done::from(script(project, vars).output().unwrap());
    assert_eq!(left(project), "", "{done:#?}");
    done
}

#[test]
fn the_first_command_finds_a_database_that_takes_data() {
    let code = "import os, psycopg2; c = psycopg2.connect(os.environ[\"U\"]); x = c.cursor(); x.execute(\"create table t (n int); insert into t values (41); update t set n = n + 1; select n from t\"); print(x.fetchone())";
    let command = CLIENT.replace("--network", "-e U=$DATABASE_URL --network");
    let project = with_postgres(free_port(), &format!("    - |\n      {command} '{code}'\n"));
    let done = run(&project, &[]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert!(done.stdout.ends_with("(42,)\n"), "{done:#?}");
}

#[test]
fn a_service_that_dies_under_the_tests_is_named_and_its_log_is_shown() {
    let kill = "docker kill $(docker ps --quiet --filter label=com.docker.compose.service=postgres --filter publish=PORT)";
    let port = free_port();
    let image = postgres();
    let project = planned(&format!(
        "  services: {{postgres: {{image: '{image}', environment: {{POSTGRES_USER: test}}, ports: ['127.0.0.1:{port}:5432']}}}}\n  run:\n    - {}\n    - 'exit 7'\n    - echo never\n",
        kill.replace("PORT", &port.to_string())
    ));
    let done = run(&project, &[("GITHUB_ACTIONS", "true")]);
    assert_eq!(done.exit, Some(7), "{done:#?}");
    assert!(!done.stdout.contains("never"), "{done:#?}");
    let named = "::error title=test::`postgres` of `test.services` ended while the tests ran: Exited (137)";
    assert!(done.stdout.contains(named), "{done:#?}");
    // What it said is a quotation in which the runner hears no command.
    let (_, quoted) = done.stdout.split_once("::stop-commands::").unwrap();
    let (token, quoted) = quoted.split_once('\n').unwrap();
    assert_eq!(token.len(), 32);
    let (quoted, after) = quoted.split_once(&format!("\n::{token}::\n")).unwrap();
    assert!(
        quoted.contains("| ") && quoted.contains("database system is ready to accept connections"),
        "{quoted}"
    );
    assert_eq!(after, "");
}

#[test]
fn a_service_that_does_not_start_is_an_error_before_the_first_command() {
    // Without a password file this image ends at once.
    let image = format!("{}/shop-base/postgres:15", bed("REGISTRY"));
    let project = planned(&format!("  services: {{db: {{image: '{image}'}}}}\n  run: echo never\n"));
    let done = run(&project, &[]);
    assert_eq!(done.exit, Some(3), "{done:#?}");
    assert!(
        done.stdout.contains("`db` of `test.services` ended before the tests began: Exited"),
        "{done:#?}"
    );
    assert!(done.stdout.contains("| /entrypoint: 6: POSTGRES_PASSWORD_FILE: parameter not set"), "{done:#?}");
    assert!(!done.stdout.contains("never"), "{done:#?}");
    let project = planned(&format!(
        "  services: {{db: {{image: '{}', environment: {{POSTGRES_USER: test, PGPORT: {}}}, healthcheck: {{test: 'false', retries: 1}}}}}}\n  run: echo never\n",
        postgres(),
        free_port()
    ));
    let done = run(&project, &[]);
    assert_eq!(done.exit, Some(3), "{done:#?}");
    assert!(done.stdout.contains("`db` of `test.services` is unhealthy"), "{done:#?}");
    assert!(!done.stdout.contains("never"), "{done:#?}");
}

/// Starts the script, waits for its first command, and sends it a signal.
fn signalled(project: &Project, signal: &str) -> Done {
    let mut command = script(project, &[]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ready = project.path().join("ready");
    let status = Command::new("timeout")
        .args(["60", "sh", "-c", "until [ -e \"$0\" ]; do sleep 0.1; done", ready.to_str().unwrap()])
        .status();
    assert!(status.unwrap().success(), "the first command did not begin: {:?}", child.kill());
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    Done::from(child.wait_with_output().unwrap())
}

const WAITS: &str = "    - touch ready; exec sleep 1000\n";

#[test]
fn whoever_cancels_leaves_nothing_behind() {
    for (signal, exit) in [("-INT", 130), ("-TERM", 143)] {
        let project = with_postgres(free_port(), WAITS);
        let done = signalled(&project, signal);
        assert_eq!(done.exit, Some(exit), "{done:#?}");
        assert_eq!(left(&project), "", "{signal}: {done:#?}");
    }
}

#[test]
fn a_run_that_was_killed_is_cleaned_up_by_the_next() {
    let project =
        with_postgres(free_port(), "    - touch ready; test -e again || exec sleep 20 > /dev/null 2>&1\n");
    let done = signalled(&project, "-KILL");
    assert_eq!(done.exit, None, "{done:#?}");
    assert_ne!(left(&project), "");
    std::fs::write(project.path().join("again"), "").unwrap();
    let done = run(&project, &[]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
}

/// A stack with all that a stack leaves: containers (one that only prepares something), a network, volumes.
const STACK: &str = "
services:
  prepare:
    image: shop-base/python:3.11
    entrypoint: [sh, -c, 'echo done > /shared/prepared']
    volumes: ['shared:/shared']
  web:
    image: shop-base/python:3.11
    entrypoint: [python3, -m, http.server, '--directory', /shared, '8000']
    depends_on: {prepare: {condition: service_completed_successfully}}
    ports: ['127.0.0.1:${PORT}:8000']
    volumes: ['shared:/shared', '/anonymous']
    stop_grace_period: 0s
    healthcheck: {test: [CMD, python3, -c, \"import urllib.request as r; r.urlopen('http://localhost:8000')\"], interval: 1s}
volumes: {shared: {}}
";

#[test]
fn end_to_end_tests_meet_a_whole_stack_that_goes_also_when_they_fail() {
    let port = free_port();
    let get = |end: &str| {
        let code = "import os, urllib.request as r; print(r.urlopen(f\"http://localhost:{os.environ[\"PORT\"]}/prepared\").read())";
        planned(&format!(
            "  environment: {{PORT: {port}}}\n  run: echo first\n  e2e:\n    files: [stack.yml]\n    run:\n      - |\n        python3 -c '{}'\n      - {end}\n      - echo last\n",
            code.replace(
                "f\"http://localhost:{os.environ[\"PORT\"]}/prepared\"",
                "\"http://localhost:\" + os.environ[\"PORT\"] + \"/prepared\""
            )
        ))
    };
    for (end, exit) in [("exit 5", 5), ("'true'", 0)] {
        let project = get(end);
        std::fs::write(project.path().join("stack.yml"), STACK).unwrap();
        let done = run(&project, &[]);
        assert_eq!(done.exit, Some(exit), "{done:#?}");
        assert!(done.stdout.starts_with("+ echo first\nfirst\nstarting test.e2e\n"), "{done:#?}");
        assert!(done.stdout.contains("b'done\\n'"), "{done:#?}");
        assert_eq!(done.stdout.ends_with("\nlast\n"), exit == 0, "{done:#?}");
    }
}

#[test]
fn a_compose_file_that_is_not_there_is_an_error() {
    let done = run(&planned("  e2e: {files: [no-such.yml], run: echo never}\n"), &[]);
    assert_eq!(done.exit, Some(3), "{done:#?}");
    assert!(
        done.stderr.contains("no-such.yml") && done.stdout.contains("`test.e2e` cannot be started"),
        "{done:#?}"
    );
    assert!(!done.stdout.contains("never"), "{done:#?}");
}

#[test]
fn a_machine_without_compose_is_told_what_to_install() {
    let project = planned("  services: {db: {image: postgres}}\n  run: echo never\n");
    let bin = project.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("docker"), "#!/bin/sh\ncase $1 in ps | network | volume) ;; *) exit 1 ;; esac\n")
        .unwrap();
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(bin.join("docker"), mode).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let done = Done::from(script(&project, &[("PATH", &path)]).output().unwrap());
    assert_eq!(done.exit, Some(2), "{done:#?}");
    assert!(
        done.stdout.contains("`test.services` needs `docker compose`") && done.stdout.contains("install"),
        "{done:#?}"
    );
    assert!(!done.stdout.contains("never"), "{done:#?}");
}

#[test]
fn shells_and_compose_take_what_the_five_projects_get() {
    for name in ["chat", "ciphertalk", "daira", "devagent", "grocery"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../../tests/fixtures/projects/{name}.shipkit.yml"));
        let text = std::fs::read_to_string(path).unwrap();
        let config = Config::parse(name, &text, &|_| None, Needed::Build).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (sh, compose) = (folder.path().join("test.sh"), folder.path().join("test.compose.yml"));
        std::fs::write(&sh, test_script(config.test.as_ref())).unwrap();
        std::fs::write(&compose, test_compose(config.test.as_ref()).to_string()).unwrap();
        for shell in ["sh", "bash"] {
            let done = Command::new(shell).arg("-n").arg(&sh).output().unwrap();
            assert!(done.status.success() && done.stderr.is_empty(), "{name}: {done:?}");
        }
        let done =
            Command::new("docker").arg("compose").arg("--file").arg(&compose).arg("config").output().unwrap();
        assert!(done.status.success(), "{name}: {done:?}");
        let services = config.test.unwrap().services;
        let shown = String::from_utf8(done.stdout).unwrap();
        assert!(
            services.values().all(|service| shown.contains(&format!("image: {}", service.image))),
            "{shown}"
        );
    }
}
