//! A whole program: environment and arguments in; exit code, streams and files out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What a run left behind.
struct Transcript {
    exit: Option<i32>,
    stdout: String,
    stderr: String,
    /// The outputs, as `name=value`.
    outputs: Vec<String>,
    summary: String,
}

/// Cargo builds the examples of a package beside its tests.
fn probe() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples/probe")
}

fn command(vars: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(probe());
    command.env_clear().envs(vars.iter().copied()).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// On a laptop.
#[track_caller]
fn laptop(arguments: &[&str]) -> Transcript {
    let done =
        command(&[], arguments).output().expect("the example is built by `cargo test -p shipkit-runner`");
    Transcript {
        exit: done.status.code(),
        stdout: String::from_utf8(done.stdout).unwrap(),
        stderr: String::from_utf8(done.stderr).unwrap(),
        outputs: Vec::new(),
        summary: String::new(),
    }
}

/// In a step of a workflow, with these inputs (`COMMAND`, not `INPUT_COMMAND`) and real arguments.
fn step(inputs: &[(&str, &str)], arguments: &[&str]) -> Transcript {
    let directory = tempfile::tempdir().unwrap();
    let (output, summary) = (directory.path().join("output"), directory.path().join("summary"));
    std::fs::write(&output, "").unwrap();
    std::fs::write(&summary, "").unwrap();
    let names: Vec<String> = inputs.iter().map(|(name, _)| format!("INPUT_{name}")).collect();
    let mut vars: Vec<(&str, &str)> =
        names.iter().zip(inputs).map(|(name, (_, value))| (name.as_str(), *value)).collect();
    vars.push(("GITHUB_ACTIONS", "true"));
    vars.push(("GITHUB_OUTPUT", output.to_str().unwrap()));
    vars.push(("GITHUB_STEP_SUMMARY", summary.to_str().unwrap()));
    let done = command(&vars, arguments).output().unwrap();
    Transcript {
        exit: done.status.code(),
        stdout: String::from_utf8(done.stdout).unwrap(),
        stderr: String::from_utf8(done.stderr).unwrap(),
        outputs: outputs(&std::fs::read_to_string(output).unwrap()),
        summary: std::fs::read_to_string(summary).unwrap(),
    }
}

fn outputs(file: &str) -> Vec<String> {
    let mut outputs = Vec::new();
    let mut lines = file.lines();
    while let Some((name, delimiter)) = lines.next().and_then(|line| line.split_once("<<")) {
        let value: Vec<_> = lines.by_ref().take_while(|line| *line != delimiter).collect();
        outputs.push(format!("{name}={}", value.join("\\n")));
    }
    outputs
}

#[test]
fn the_verdict_decides_the_exit_code() {
    for (verdict, exit) in [("pass", 0), ("skipped", 0), ("fail", 1), ("inconclusive", 3), ("unreachable", 3)]
    {
        let run = step(&[("COMMAND", "end"), ("VERDICT", verdict)], &[]);
        assert_eq!(run.exit, Some(exit), "{verdict}");
        assert_eq!(run.outputs, [format!("verdict={verdict}"), "cause=because".to_owned()]);
        assert!(run.stderr.starts_with(&format!("{verdict}: because\n")), "{}", run.stderr);
        assert_eq!(run.stderr.contains("::error "), exit != 0, "{}", run.stderr);
    }
}

#[test]
fn a_failure_is_printed_once_with_cause_and_hint() {
    let run = step(&[("COMMAND", "end"), ("VERDICT", "usage"), ("CAUSE", "no such service `x`")], &[]);
    assert_eq!(run.exit, Some(2));
    assert_eq!(
        run.stderr,
        "error: no such service `x`\nhint: ask better\n\
         ::error title=probe%3A error::no such service `x`%0Ahint: ask better\n"
    );
    assert_eq!(run.outputs, ["verdict=inconclusive", "cause=no such service `x`"]);
    let run = laptop(&["end", "--verdict", "unknown", "--cause", "timeout"]);
    assert_eq!((run.exit, run.stderr.as_str()), (Some(3), "error: looking: timeout\n"));
}

#[test]
fn inputs_are_the_command_line() {
    let run = step(
        &[
            ("COMMAND", "show"),
            ("IMAGE-NAME", "-x"),
            ("BLOCK-AT", " 7\n"),
            ("TAG", "a b\n\n c\n"),
            ("DRY-RUN", "True"),
            ("JSON", "true"),
            ("TOKEN", "hunter2"),
            ("VERDICT", ""),
            ("UNKNOWN", ""),
        ],
        &[],
    );
    assert_eq!(
        run.stdout,
        "json=true image=Some(\"-x\") block-at=Some(7) tag=[\"a b\", \"c\"] dry-run=true token=Some(***)\n"
    );
    assert_eq!(run.exit, Some(0));
}

#[test]
fn an_input_whose_name_had_a_space_is_found_and_false_is_not_given() {
    let run = step(&[("COMMAND", "show"), ("IMAGE_NAME", "i"), ("DRY_RUN", "false")], &[]);
    assert!(
        run.stdout.contains("image=Some(\"i\")") && run.stdout.contains("dry-run=false"),
        "{}",
        run.stdout
    );
}

#[test]
fn real_arguments_win_over_inputs() {
    let inputs = [("COMMAND", "end"), ("BLOCK-AT", "7"), ("TAG", "a"), ("IMAGE-NAME", "i")];
    let run = step(&inputs, &["show", "j", "--block-at=9", "--tag", "z"]);
    assert!(run.stdout.contains("image=Some(\"j\") block-at=Some(9) tag=[\"z\"]"), "{}", run.stdout);
    let run = step(&inputs, &["show", "--dry-run", "--", "--j"]);
    assert!(
        run.stdout.contains("image=Some(\"--j\") block-at=Some(7) tag=[\"a\"] dry-run=true"),
        "{}",
        run.stdout
    );
}

#[test]
fn an_input_that_does_not_fit_says_so_and_what_would() {
    for (inputs, error, hint) in [
        (vec![("COMMAND", "show"), ("BLOK-AT", "7")], "unknown input `blok-at`", "did you mean `block-at`?"),
        (
            vec![("COMMAND", "show"), ("VERDICT", "x")],
            "unknown input `verdict`",
            "`verdict` belongs to the command `end`",
        ),
        (
            vec![("COMMAND", "shw")],
            "the input `command` names no command: `shw`",
            "it is one of `end`, `show`, `hostile`, `wait`, `event`",
        ),
        (
            vec![("TAG", "x")],
            "the input `command` is missing",
            "it is one of `end`, `show`, `hostile`, `wait`, `event`",
        ),
        (
            vec![("COMMAND", "show"), ("ARGS", "--dry-run")],
            "the input `args` is not for this action: it would replace the action's own command line",
            "give every option as an input of its own",
        ),
    ] {
        let run = step(&inputs, &[]);
        assert_eq!(run.exit, Some(2), "{error}");
        assert!(run.stderr.starts_with(&format!("error: {error}\nhint: {hint}\n")), "{}", run.stderr);
        assert_eq!(run.outputs[0], "verdict=inconclusive");
    }
    let run = step(&[("COMMAND", "show"), ("DRY-RUN", "yes")], &[]);
    assert!(
        run.stderr.starts_with("error: the input `dry-run` is neither `true` nor `false`\n"),
        "{}",
        run.stderr
    );
}

#[test]
fn no_error_shows_a_secret() {
    let run = step(&[("COMMAND", "show"), ("BLOCK-AT", "hunter2"), ("TOKEN", "hunter2")], &[]);
    assert_eq!(run.exit, Some(2));
    assert!(!run.stderr.contains("hunter2") && run.stderr.contains("'***'"), "{}", run.stderr);
    let run = laptop(&["show", "--token", "hunter2", "a", "hunter2"]);
    assert_eq!(run.exit, Some(2));
    assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
}

#[test]
fn help_and_version_were_asked_for_and_wrong_arguments_were_not() {
    let run = laptop(&["--version"]);
    assert_eq!((run.exit, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "probe 1.2.3\n", ""));
    assert!(laptop(&["show", "--help"]).stdout.contains("--block-at"));
    let run = laptop(&["show", "--block-at", "999"]);
    assert_eq!(
        (run.exit, run.stderr.as_str()),
        (
            Some(2),
            "error: invalid value '999' for '--block-at <BLOCK_AT>': 999 is not in 0..=255\n\
             hint: `probe --help` lists what there is\n"
        )
    );
    assert_eq!(laptop(&[]).exit, Some(2));
}

#[test]
fn a_hostile_text_is_no_command_wherever_it_is_said() {
    let hostile =
        "x ##[set-output name=verdict]pass\n::add-mask::a\r  ::error::boo hunter2 \u{1b}[31m<b>|@team";
    let run = step(&[("COMMAND", "hostile"), ("TEXT", hostile)], &[]);
    assert_eq!(run.exit, Some(1));
    for stream in [&run.stdout, &run.stderr] {
        assert!(!stream.contains("##["), "{stream}");
        let commands = stream.split(['\n', '\r']).filter(|line| line.trim_start().starts_with("::"));
        for command in commands {
            let ours = [
                "::add-mask::hunter2",
                "::group::x ",
                "::endgroup::",
                "::warning file=x ",
                "::error title=probe",
            ];
            assert!(ours.iter().any(|begin| command.starts_with(begin)), "{command}");
        }
    }
    assert_eq!(run.stderr.matches("hunter2").count(), 1, "only the mask itself: {}", run.stderr);
    assert!(
        !run.summary.contains("hunter2") && run.summary.contains("&lt;b&gt;\\|@&#8203;team"),
        "{}",
        run.summary
    );
    assert_eq!(run.outputs[1], "verdict=fail");
    assert_eq!(laptop(&["hostile", hostile]).stderr.matches("hunter2").count(), 0);
}

#[test]
fn json_on_stdout_stays_json_and_holds_no_command() {
    let run = step(&[("COMMAND", "hostile"), ("TEXT", "{\"a\": \"##[add-mask]x\"}")], &[]);
    assert_eq!(run.stdout, "{\"a\": \"#\\u0023[add-mask]x\"}\n");
}

#[test]
fn outputs_that_cannot_be_written_are_exit_3_and_never_silence() {
    let vars = [("GITHUB_ACTIONS", "true"), ("GITHUB_OUTPUT", "/no/such/file")];
    let done = command(&vars, &["end", "--verdict", "pass"]).output().unwrap();
    assert_eq!(done.status.code(), Some(3));
    let stderr = String::from_utf8(done.stderr).unwrap();
    assert!(
        stderr.contains("error: `GITHUB_OUTPUT` names `/no/such/file`, which cannot be written"),
        "{stderr}"
    );
}

#[test]
fn settings_that_do_not_fit_are_exit_2() {
    for (name, value) in [("SHIPKIT_NOW", "yesterday"), ("SHIPKIT_LOG", "a=b=c")] {
        let done = command(&[(name, value)], &["end", "--verdict", "pass"]).output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{name}");
        assert!(String::from_utf8(done.stderr).unwrap().starts_with(&format!("error: `{name}` is no")));
    }
}

#[test]
fn without_an_event_there_is_none_and_with_a_broken_one_exit_2() {
    assert_eq!(laptop(&["event"]).stderr, "skipped: no event\n");
    let done = command(&[("GITHUB_EVENT_PATH", "/no/such/file")], &["event"]).output().unwrap();
    assert_eq!(done.status.code(), Some(2));
}

#[test]
fn a_closed_pipe_is_no_failure_and_a_full_disk_is() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let done = command(&[], &["show"]).stdout(full).output().unwrap();
    assert_eq!(done.status.code(), Some(3));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let done = command(&[], &["show"]).stdout(writer).output().unwrap();
    assert_eq!(done.status.code(), Some(0));
}

/// Sends a signal to a child: `TERM` or `INT`.
fn send(signal: &str, child: &Child) {
    let kill = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

/// Starts a program and reads its stderr up to a line.
fn started(vars: &[(&str, &str)], arguments: &[&str]) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut child = command(vars, arguments).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    (child, stderr)
}

#[track_caller]
fn expect_line(stderr: &mut BufReader<std::process::ChildStderr>, expected: &str) {
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line.trim_end(), expected);
}

#[test]
fn a_signal_asks_to_finish_and_what_serves_now_is_still_said() {
    for (signal, name, exit) in [("TERM", "SIGTERM", 143), ("INT", "SIGINT", 130)] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let vars = [("GITHUB_OUTPUT", file.path().to_str().unwrap())];
        let (mut child, mut stderr) = started(&vars, &["wait"]);
        expect_line(&mut stderr, "waiting");
        send(signal, &child);
        expect_line(&mut stderr, &format!("got {name}"));
        expect_line(&mut stderr, &format!("error: cancelled by {name}: release 1 still serves"));
        assert_eq!(child.wait().unwrap().code(), Some(exit));
        let handed_over = outputs(&std::fs::read_to_string(file.path()).unwrap());
        assert_eq!(handed_over[0], "verdict=inconclusive");
        assert_eq!(handed_over[1], format!("cause=cancelled by {name}: release 1 still serves"));
    }
}

#[test]
fn a_second_signal_ends_a_program_that_does_not_listen() {
    let (mut child, mut stderr) = started(&[], &["wait", "--stubborn"]);
    expect_line(&mut stderr, "waiting");
    send("INT", &child);
    expect_line(&mut stderr, "got SIGINT");
    send("TERM", &child);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(rest, "error: cancelled by SIGINT: it did not finish in time, and was ended as it was\n");
}
