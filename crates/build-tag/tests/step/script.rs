//! The test script that `build-tag plan` writes, run by `bash`: commands, secrets and tools. `services.rs` has containers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::project::{CONFIG, Project, push};
use shipkit_tests::step::Done;

/// A checkout with this under `test`, planned.
#[track_caller]
pub(crate) fn planned(test: &str) -> Project {
    let project = Project::new(&format!("{CONFIG}test:\n{test}"));
    let done = project.plan("push", &push("refs/heads/main"), &[]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert!(!done.stderr.contains("no effect"), "{done:#?}");
    project
}

/// The script, with these variables and no others but `PATH` and `HOME`, where the docker client has its plugins. It hears an
/// interrupt also where the tests run in the background of a shell, which lets them ignore it.
pub(crate) fn script(project: &Project, vars: &[(&str, &str)]) -> Command {
    let mut bash = Command::new("env");
    bash.args(["--default-signal=INT", "bash"])
        .arg(project.handed_on("test.sh"))
        .env_clear()
        .stdin(Stdio::null());
    bash.env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", std::env::var_os("HOME").unwrap())
        .envs(vars.iter().copied());
    bash
}

/// What the script does.
pub(crate) fn run(test: &str, vars: &[(&str, &str)]) -> Done {
    Done::from(script(&planned(test), vars).output().unwrap())
}

#[test]
fn the_first_failure_is_the_last_command() {
    let done = run("  run: [echo one, sh -c 'exit 7', echo three]\n", &[]);
    assert_eq!(done.exit, Some(7));
    assert_eq!(
        done.stdout,
        "+ echo one\none\n+ sh -c 'exit 7'\ntest: error: `sh -c 'exit 7'` failed with exit code 7\n"
    );
    assert_eq!(done.stderr, "");
}

#[test]
fn no_command_reaches_the_next_by_cd_or_exit() {
    let done = run("  run: [cd /, \"test -f shipkit.yml\", exit 0, \"false; true\", echo never]\n", &[]);
    assert_eq!(done.exit, Some(1));
    assert!(done.stdout.contains("+ exit 0\n+ false; true\n"), "{}", done.stdout);
    assert!(!done.stdout.contains("never"), "{}", done.stdout);
}

#[test]
fn values_arrive_as_they_are_whatever_they_hold() {
    let test = r#"  environment: {A: "it's \"$HOME\" `id` \\n"}
  run: ["printf '%s' \"$A\""]
"#;
    let done = run(test, &[]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert!(done.stdout.ends_with(r#"it's "$HOME" `id` \n"#), "{}", done.stdout);
}

#[test]
fn what_runs_in_the_background_serves_the_next_command_and_ends_with_the_script() {
    let done = run("  run: [\"sleep 1000 & echo $! > .pid\", \"kill -0 $(cat .pid) && cat .pid\"]\n", &[]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let pid: u32 = done.stdout.lines().last().unwrap().parse().unwrap();
    assert!(!Path::new(&format!("/proc/{pid}/cmdline")).exists() || is_zombie(pid), "{pid} still runs");
}

/// Whether nobody has taken notice of its end yet.
fn is_zombie(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn a_project_without_tests_says_so() {
    let project = Project::new(CONFIG);
    project.plan("push", &push("refs/heads/main"), &[]);
    let done = Done::from(script(&project, &[]).output().unwrap());
    assert_eq!((done.exit, &*done.stdout), (Some(0), "shipkit.yml names no tests\n"));
}

/// A dotenv text as people write them.
const DOTENV: &str =
    "# tests\n\n  KEY = \"two words\"  \nexport OTHER='x=100%'\nUNASKED=unasked-value\nSHORT=abc";

#[test]
fn secrets_come_from_the_dotenv_text_and_stay_out_of_script_and_log() {
    let test = "  secrets: [KEY, OTHER, SHORT, SET]\n  run: ['printf \"%s|%s|%s|%s|%s|%s\" \"$KEY\" \"$OTHER\" \"$SHORT\" \"$SET\" \"${UNASKED-}\" \"${SHIPKIT_TEST_ENV-}\" > .seen']\n";
    let project = planned(test);
    let vars = [("SHIPKIT_TEST_ENV", DOTENV), ("SET", "set-before"), ("GITHUB_ACTIONS", "true")];
    let done = Done::from(script(&project, &vars).output().unwrap());
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let seen = std::fs::read_to_string(project.path().join(".seen")).unwrap();
    assert_eq!(seen, "two words|x=100%|abc|set-before||");
    // Every value is masked, also those that nobody asked for, and shown nowhere else; three letters would star out the log.
    let masks: Vec<_> = done.stdout.lines().filter(|line| line.starts_with("::add-mask::")).collect();
    for value in ["two words", "x=100%25", "unasked-value", "set-before"] {
        assert!(masks.contains(&&*format!("::add-mask::{value}")), "{value}: {masks:?}");
    }
    assert!(!masks.contains(&"::add-mask::abc"), "{masks:?}");
    let script = project.read("test.sh");
    assert!(!["two words", "x=100%", "set-before"].iter().any(|value| script.contains(value)));
}

#[test]
fn a_secret_that_is_not_there_is_empty_and_said() {
    let test = "  secrets: [KEY]\n  run: ['test \"$KEY\" = \"\"']\n";
    let done = run(test, &[("SHIPKIT_TEST_ENV", ""), ("GITHUB_ACTIONS", "true")]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert!(done.stdout.starts_with("::warning title=test::the secret `KEY`"), "{}", done.stdout);
    assert!(!done.stdout.contains("add-mask"), "{}", done.stdout);
}

#[test]
fn a_dotenv_line_without_a_name_is_refused_and_not_shown() {
    let done = run("  secrets: [KEY]\n  run: echo never\n", &[("SHIPKIT_TEST_ENV", "KEY=1\nhunter2\n")]);
    assert_eq!(done.exit, Some(2), "{done:#?}");
    assert!(done.stdout.contains("line 2 of `SHIPKIT_TEST_ENV` is not `NAME=value`"), "{done:#?}");
    assert!(!done.stdout.contains("hunter2") && !done.stdout.contains("never"), "{done:#?}");
}

/// A machine with these programs in its tool cache (`<tool>/<version>`), and with programs on its path; each is a script.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new(cached: &[(&str, &str)], on_path: &[(&str, &str)]) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        for (at, said) in cached {
            let name = at.split('/').next().unwrap().to_lowercase();
            let name = if name == "python" { "python3".to_owned() } else { name };
            for architecture in ["x64", "arm64"] {
                machine.program(&format!("cache/{at}/{architecture}/bin/{name}"), &format!("echo '{said}'"));
            }
        }
        for (name, script) in on_path {
            machine.program(&format!("bin/{name}"), script);
        }
        machine
    }

    fn program(&self, path: &str, script: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// `PATH` holds the system's own folders besides, which have no tool of this name.
    fn run(&self, test: &str) -> Done {
        let path = format!("{}:/usr/bin:/bin", self.at("bin").display());
        let (cache, temp) = (self.at("cache"), self.at("temp"));
        let vars = [
            ("PATH", &*path),
            ("RUNNER_TOOL_CACHE", cache.to_str().unwrap()),
            ("RUNNER_TEMP", temp.to_str().unwrap()),
        ];
        run(test, &vars)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn a_tool_comes_in_the_newest_version_that_fits_and_says_which() {
    let cached = [
        ("tool/20.9.0", "v20.9.0"),
        ("tool/20.20.2", "v20.20.2"),
        ("tool/200.1.0", "v200.1.0"),
        ("tool/22.1.0", "v22.1.0"),
    ];
    let machine = Machine::new(&cached, &[("tool", "echo 18.0.0")]);
    let done = machine.run("  setup: {tool: 20}\n  run: tool\n");
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert!(done.stdout.starts_with("tool 20.20.2 (") && done.stdout.ends_with("\nv20.20.2\n"), "{done:#?}");
    let done = machine.run("  setup: {tool: '20.9'}\n  run: tool\n");
    assert!(done.stdout.ends_with("\nv20.9.0\n"), "{done:#?}");
    let done = machine.run("  setup: {tool: '18.0'}\n  run: tool\n");
    assert!(done.stdout.ends_with("\n18.0.0\n"), "{done:#?}");
}

#[test]
fn each_tool_is_asked_in_its_own_way() {
    let cached = [
        ("Python/3.12.4", "Python 3.12.4"),
        ("go/1.24.1", "go version go1.24.1 linux/amd64"),
        ("Java_Temurin-Hotspot_jdk/21.0.3-9", "never"),
    ];
    let machine = Machine::new(&cached, &[("rustc", "echo 'rustc 1.90.0 (0123 2025-01-01)'")]);
    let java = r#"test "$*" = -version && echo 'openjdk version "21.0.3" 2024' >&2"#;
    for architecture in ["x64", "arm64"] {
        machine.program(&format!("cache/Java_Temurin-Hotspot_jdk/21.0.3-9/{architecture}/bin/java"), java);
    }
    let done = machine.run(
        "  setup: {python: '3.12', go: '1.24', java: 21, rust: '1.90'}\n  run: 'test -x \"$JAVA_HOME/bin/java\"'\n",
    );
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let told: Vec<_> = done.stdout.lines().filter_map(|line| line.split(" (").next()).collect();
    assert_eq!(
        told.first_chunk::<4>().unwrap(),
        &["go 1.24.1", "java 21.0.3", "python 3.12.4", "rust 1.90.0"]
    );
}

#[test]
fn a_version_that_is_nowhere_names_what_is_there() {
    let machine =
        Machine::new(&[("tool/20.20.2", "v20.20.2"), ("tool/22.1.0", "22.1.0")], &[("tool", "echo v24.0.1")]);
    let done = machine.run("  setup: {tool: 18}\n  run: echo never\n");
    assert_eq!(done.exit, Some(2), "{done:#?}");
    let sentence = "`test.setup` wants tool 18, but this machine has 24.0.1 on PATH and 22.1.0, 20.20.2 in its tool cache";
    assert!(done.stdout.contains(sentence), "{done:#?}");
    assert!(!done.stdout.contains("never"), "{done:#?}");
    let done = Machine::new(&[], &[]).run("  setup: {no-such-tool: 1}\n  run: echo never\n");
    assert!(done.stdout.contains("this machine has none on PATH and none in its tool cache"), "{done:#?}");
}

/// A package manager that installs programs which say the version they were asked for.
const NPM: &str = r#"
prefix=$5 name=${6%@*} version=${6##*@}
test "$1 $2 $3 $4" = 'install --global --silent --prefix' || exit 9
mkdir -p "$prefix/bin" && printf '#!/bin/sh\necho %s.15.9 from %s\n' "$version" "$name" > "$prefix/bin/${NAME-${name##*/}}"
chmod +x "$prefix/bin/"*"#;

#[test]
fn package_managers_are_installed_by_npm() {
    let machine = Machine::new(&[], &[("npm", NPM), ("pnpm", "echo 10.1.0")]);
    let done = machine.run("  setup: {pnpm: 8}\n  run: pnpm\n");
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert!(done.stdout.starts_with("pnpm 8.15.9 ("), "{done:#?}");
    assert!(done.stdout.ends_with("\n8.15.9 from pnpm\n"), "{done:#?}");
    // What fits already is taken.
    let done = machine.run("  setup: {pnpm: 10}\n  run: pnpm\n");
    assert!(done.stdout.ends_with("\n10.1.0\n"), "{done:#?}");
    let done = machine.run("  environment: {NAME: yarn}\n  setup: {yarn: 4}\n  run: yarn\n");
    assert!(done.stdout.ends_with("\n4.15.9 from @yarnpkg/cli-dist\n"), "{done:#?}");
    let broken = Machine::new(&[], &[("npm", "echo 'npm error: no network' >&2; exit 1")]);
    let done = broken.run("  setup: {pnpm: 8}\n  run: echo never\n");
    assert_eq!(done.exit, Some(2), "{done:#?}");
    assert!(done.stderr.contains("no network") && done.stdout.contains("wants pnpm 8"), "{done:#?}");
}

#[test]
fn toolchains_of_rust_are_installed_by_rustup() {
    let rustc = r#"echo "rustc ${RUSTUP_TOOLCHAIN:-1.80}.0 (x)""#;
    let rustup = r#"echo "rustup $*""#;
    let machine = Machine::new(&[], &[("rustc", rustc), ("rustup", rustup)]);
    let done = machine.run("  setup: {rust: '1.90'}\n  run: rustc\n");
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert!(
        done.stdout.starts_with(
            "rustup --quiet toolchain install --no-self-update --profile minimal 1.90\nrust 1.90.0 ("
        ),
        "{done:#?}"
    );
    let done = machine.run("  setup: {rust: '1.80'}\n  run: rustc\n");
    assert!(done.stdout.starts_with("rust 1.80.0 ("), "{done:#?}");
}
