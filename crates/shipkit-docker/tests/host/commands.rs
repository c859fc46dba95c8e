//! Commands: the same here and over SSH, and here they end with all that they have started.

use std::fs;
use std::time::Duration;

use shipkit_core::Hint as _;
use shipkit_core::exit::ExitCode;
use shipkit_docker::{Ended, Host, HostCommand, HostError, Stream};
use shipkit_tests::server::sshd::until;
use tokio::sync::oneshot;

use crate::place::Place;

#[tokio::test]
async fn arguments_input_output_and_end_are_those_of_the_command() {
    for place in Place::both().await {
        let argv =
            ["sh", "-c", "for a; do printf '%s,' \"$a\"; done; cat >&2; exit 7", "sh", "it's", "", "$(id)\n"];
        let output = place.host.run(HostCommand { stdin: b"in\0", ..HostCommand::new(&argv) }).await.unwrap();
        assert_eq!(output.ended, Ended::Code(7));
        assert_eq!(
            (output.stdout, output.stderr, output.is_cut),
            (b"it's,,$(id)\n,".to_vec(), b"in\0".to_vec(), false)
        );
        for signal in ["KILL", "TERM", "SEGV"] {
            let script = format!("kill -s {signal} $$");
            let ended = place.host.run(HostCommand::new(&["sh", "-c", &script])).await.unwrap().ended;
            assert_eq!(ended, Ended::Signal(signal.to_owned()));
        }
    }
}

#[tokio::test]
async fn input_and_output_flow_at_the_same_time_and_only_so_much_is_kept() {
    let bytes: Vec<u8> = (0..8_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    for place in Place::both().await {
        let command = HostCommand { stdin: &bytes, output: usize::MAX, ..HostCommand::new(&["cat"]) };
        assert!(place.host.run(command).await.unwrap().stdout == bytes);
        let cut = place.host.run(HostCommand { output: 1_000_000, ..command }).await.unwrap();
        assert_eq!((cut.stdout.len(), cut.is_cut), (1_000_000, true));
        // Nor does input that nobody reads keep a command from ending.
        let unread = HostCommand { stdin: &bytes, ..HostCommand::new(&["true"]) };
        assert_eq!(place.host.run(unread).await.unwrap().ended, Ended::Code(0));
        // What closes its outputs still gets the rest.
        let script = format!("exec > /dev/null 2>&1; cat > '{}'", place.text("kept"));
        let argv = ["sh", "-c", &script];
        let silent = HostCommand { stdin: &bytes, ..HostCommand::new(&argv) };
        assert_eq!(place.host.run(silent).await.unwrap().ended, Ended::Code(0));
        assert!(fs::read(place.path("kept")).unwrap() == bytes);
    }
}

#[tokio::test]
async fn output_is_handed_on_when_it_is_said() {
    for place in Place::both().await {
        let go = place.path("go");
        let script = format!("echo one; until [ -e '{}' ]; do :; done; echo two >&2", go.display());
        let mut said = Vec::new();
        let argv = ["sh", "-c", &script];
        let ended = place.host.stream(HostCommand::new(&argv), |stream, part| {
            said.push((stream, String::from_utf8(part.to_vec()).unwrap()));
            fs::write(&go, "").unwrap();
        });
        assert_eq!(ended.await.unwrap(), (Ended::Code(0), false));
        assert_eq!(said, [(Stream::Stdout, "one\n".to_owned()), (Stream::Stderr, "two\n".to_owned())]);
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named_with_what_to_do() {
    for place in Place::both().await {
        let error = place.host.run(HostCommand::new(&["dokker", "compose"])).await.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Usage);
        let hint = error.hint().unwrap();
        match &place.sshd {
            None => {
                assert_eq!(error.to_string(), "there is no program `dokker` where this runs");
                assert!(hint.contains("ssh://user@host") && hint.contains("org/shipkit/setup"), "{hint}");
            }
            Some(sshd) => {
                assert_eq!(error.to_string(), format!("there is no program `dokker` on `{}`", sshd.host()));
                assert!(hint.starts_with("install it on `ssh://"), "{hint}");
            }
        }
        let output = place.host.run(HostCommand::new(&["sh", "-c", "exit 127"])).await.unwrap();
        assert_eq!(output.ended, Ended::Code(127));
    }
}

#[tokio::test]
async fn what_cannot_be_started_is_told() {
    let place = Place::here();
    for argv in [&["/"][..], &["echo", "a\0b"]] {
        let error = place.host.run(HostCommand::new(argv)).await.unwrap_err();
        assert!(matches!(error, HostError::NotStarted { .. }), "{error}");
    }
    let error = Host::here("relative").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the folder of the user on this machine is not known: `HOME` is no absolute path"
    );
    assert_eq!(error.exit_code(), ExitCode::Usage);
}

/// Whether a process is no more: what nobody has waited for has no command line.
fn is_gone(process: &str) -> bool {
    fs::read(format!("/proc/{}/cmdline", process.trim())).unwrap_or_default().is_empty()
}

/// A shell that says the number of a process which it has started, and waits for it.
const FAMILY: &[&str] = &["sh", "-c", "sleep 1000 & echo $!; wait"];

#[tokio::test]
async fn a_cancelled_command_is_killed_with_all_that_it_has_started() {
    let place = Place::here();
    let (tell, told) = oneshot::channel();
    let mut tell = Some(tell);
    let running = place.host.stream(HostCommand::new(FAMILY), |_, part| {
        tell.take().unwrap().send(String::from_utf8(part.to_vec()).unwrap()).unwrap();
    });
    let child = tokio::select! {
        ended = running => panic!("{ended:?}"),
        child = told => child.unwrap(),
    };
    until("the child is gone", || is_gone(&child)).await;
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_all_that_it_has_started() {
    let place = Place::here();
    // Also where only what it has started is left.
    for argv in [FAMILY, &["sh", "-c", "sleep 1000 & echo $!"]] {
        let mut child = String::new();
        let command = HostCommand { time: Duration::from_millis(500), ..HostCommand::new(argv) };
        let error =
            place.host.stream(command, |_, part| child.push_str(std::str::from_utf8(part).unwrap())).await;
        let error = error.unwrap_err();
        assert_eq!(error.to_string(), "`sh` did not end within 0.5 s");
        assert_eq!(error.exit_code(), ExitCode::Unknown);
        assert!(!child.is_empty());
        until("the child is gone", || is_gone(&child)).await;
    }
}
