//! Commands: their arguments, their input and output, their end.

use std::fs;
use std::time::Duration;

use shipkit_docker::{Ended, HostCommand, SshError, Stream};

use shipkit_tests::server::sshd::{Sshd, pipe};

use crate::client::connect;

#[tokio::test]
async fn arguments_arrive_as_they_are() {
    let ssh = Sshd::start();
    let ssh = (connect(&ssh).await, ssh);
    let odd = [
        "it's",
        "\"q\"",
        "a\nb\n",
        "-rf",
        "--",
        "$(id)`id`$HOME",
        "*",
        "\\",
        "",
        "日本 é",
        "!x",
        "~",
        "a\tb",
    ];
    let mut argv = vec!["sh", "-c", "for a; do printf '%s\\0' \"$a\"; done", "sh"];
    argv.extend(odd);
    let output = ssh.0.run(HostCommand::new(&argv)).await.unwrap();
    let expected = odd.join("\0") + "\0";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[tokio::test]
async fn the_end_of_a_command_and_what_it_said_are_told() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    for code in [0, 1, 7, 255] {
        let script = format!("echo out; echo err >&2; exit {code}");
        let output = ssh.run(HostCommand::new(&["sh", "-c", &script])).await.unwrap();
        assert_eq!(output.ended, Ended::Code(code));
        assert_eq!(
            (output.stdout, output.stderr, output.is_cut),
            (b"out\n".to_vec(), b"err\n".to_vec(), false)
        );
    }
    let output = ssh.run(HostCommand::new(&["sh", "-c", "kill -s KILL $$"])).await.unwrap();
    assert_eq!(output.ended, Ended::Signal("KILL".to_owned()));
    let output = ssh.run(HostCommand::new(&["no such program"])).await.unwrap();
    assert_eq!(output.ended, Ended::Code(127));
}

#[tokio::test]
async fn output_beyond_its_limit_is_dropped_and_the_command_goes_on() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    let many = ["sh", "-c", "head -c 20000000 /dev/zero; exit 3"];
    let command = HostCommand { output: 1_000_000, ..HostCommand::new(&many) };
    let output = ssh.run(command).await.unwrap();
    assert_eq!((output.ended, output.stdout.len(), output.is_cut), (Ended::Code(3), 1_000_000, true));
    let command = HostCommand { output: 20_000_000, ..command };
    let output = ssh.run(command).await.unwrap();
    assert_eq!((output.stdout.len(), output.is_cut), (20_000_000, false));
}

#[tokio::test]
async fn input_and_output_flow_at_the_same_time() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    let bytes: Vec<u8> = (0..8_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let command = HostCommand { stdin: &bytes, output: usize::MAX, ..HostCommand::new(&["cat"]) };
    assert!(ssh.run(command).await.unwrap().stdout == bytes);
    // Nor does input that nobody reads keep a command from ending.
    let output = ssh.run(HostCommand { stdin: &bytes, ..HostCommand::new(&["true"]) }).await.unwrap();
    assert_eq!(output.ended, Ended::Code(0));
}

#[tokio::test]
async fn output_is_handed_on_when_it_is_said() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    let go = sshd.path("go");
    let script = format!("echo one; echo two >&2; until [ -e '{}' ]; do :; done; echo three", go.display());
    let mut said = Vec::new();
    let argv = ["sh", "-c", &script];
    let ended = ssh.stream(HostCommand::new(&argv), |stream, part| {
        said.push((stream, String::from_utf8(part.to_vec()).unwrap()));
        if said.len() == 2 {
            fs::write(&go, "").unwrap();
        }
    });
    assert_eq!(ended.await.unwrap(), (Ended::Code(0), false));
    assert_eq!(said.last().unwrap(), &(Stream::Stdout, "three\n".to_owned()));
    assert!(said.contains(&(Stream::Stderr, "two\n".to_owned())), "{said:?}");
}

#[tokio::test]
async fn a_command_that_does_not_end_is_given_up_and_has_no_more_input() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    let ended = pipe(&sshd.path("pipe"));
    let script = format!("cat; echo ended > '{}'", sshd.text("pipe"));
    let argv = ["sh", "-c", &script];
    // More than anybody takes while nobody reads its output.
    let stdin = vec![7; 100_000_000];
    let command =
        HostCommand { time: Duration::from_secs(1), stdin: &stdin, output: 0, ..HostCommand::new(&argv) };
    let error = ssh.run(command).await.unwrap_err();
    assert_eq!(error.to_string(), format!("`sh` on `{}` did not end within 1 s", sshd.host()));
    assert_eq!(ended.await.unwrap(), "ended");
}

#[tokio::test]
async fn a_command_that_cannot_be_handed_over_is_refused() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    for argv in [&[][..], &["echo", "a\0b"]] {
        let error = ssh.run(HostCommand::new(argv)).await.unwrap_err();
        assert!(matches!(error, SshError::BadArgument { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_runs_no_commands_is_told_so() {
    let sshd = Sshd::with("MaxSessions 0");
    let error = connect(&sshd).await.run(HostCommand::new(&["true"])).await.unwrap_err();
    assert!(matches!(error, SshError::NoCommands(_)), "{error}");
}

#[tokio::test]
async fn commands_wait_for_one_another_where_a_server_runs_few_at_once() {
    let sshd = Sshd::with("MaxSessions 1");
    let ssh = connect(&sshd).await;
    let running: Vec<_> = (0..6)
        .map(|n| {
            let ssh = ssh.clone();
            tokio::spawn(async move { ssh.run(HostCommand::new(&["echo", &n.to_string()])).await })
        })
        .collect();
    for (n, one) in running.into_iter().enumerate() {
        assert_eq!(one.await.unwrap().unwrap().stdout, format!("{n}\n").into_bytes());
    }
}
