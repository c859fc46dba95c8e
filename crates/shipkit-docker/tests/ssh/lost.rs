//! Connections that break off, and servers that mean no good: told within the time that was given.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use shipkit_core::Hint as _;
use shipkit_core::exit::ExitCode;
use shipkit_docker::{Ended, HostCommand, Ssh, SshError, SshOptions};

use shipkit_tests::server::sshd::{Sshd, output, pipe};

use crate::client::{connect, options};

/// Short for a test, and long enough for a login on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(2);

fn impatient(sshd: &Sshd) -> SshOptions {
    SshOptions { patience: PATIENCE, ..options(sshd) }
}

/// What is said about a server that answers each connection like this.
async fn against(play: impl Fn(TcpStream) + Send + 'static) -> SshError {
    let sshd = Sshd::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("ssh://x@{}", listener.local_addr().unwrap()).parse().unwrap();
    std::thread::spawn(move || play(listener.accept().unwrap().0));
    let start = Instant::now();
    let error = Ssh::connect(&address, &impatient(&sshd)).await.unwrap_err();
    assert!(start.elapsed() < PATIENCE * 3, "{:?}: {error}", start.elapsed());
    assert_eq!(error.exit_code(), ExitCode::Unknown);
    error
}

#[tokio::test]
async fn a_server_that_never_answers_is_unreachable_in_time() {
    let error = against(|stream| {
        // Kept open until the other side has had enough.
        std::io::copy(&mut &stream, &mut std::io::sink()).ok();
    })
    .await;
    assert!(error.to_string().ends_with("is not reachable: no login within 2 s"), "{error}");
}

#[tokio::test]
async fn a_server_that_greets_and_says_no_more_is_unreachable_in_time() {
    let error = against(|mut stream| {
        stream.write_all(b"SSH-2.0-mute\r\n").unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).ok();
    })
    .await;
    assert!(error.to_string().ends_with("no login within 2 s"), "{error}");
}

#[tokio::test]
async fn a_greeting_that_never_ends_is_not_listened_to() {
    for part in ["welcome\r\n", "welcome", "\n"] {
        let error = against(move |mut stream| while stream.write_all(part.as_bytes()).is_ok() {}).await;
        assert!(matches!(error, SshError::Garbled { .. }), "{part:?}: {error}");
    }
}

#[tokio::test]
async fn a_server_of_another_kind_is_not_taken_for_ssh() {
    let error = against(|mut stream| {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
    })
    .await;
    assert!(matches!(error, SshError::Garbled { .. } | SshError::Unreachable { .. }), "{error}");
    let error = against(|mut stream| {
        stream.write_all(b"SSH-2.0-x\r\n").unwrap();
        while stream.write_all(&[0xff; 4096]).is_ok() {}
    })
    .await;
    assert!(matches!(error, SshError::Garbled { .. }), "{error}");
}

#[tokio::test]
async fn a_port_that_nobody_listens_at_is_unreachable() {
    let sshd = Sshd::start();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("ssh://127.0.0.1:{port}").parse().unwrap();
    let error = Ssh::connect(&address, &options(&sshd)).await.unwrap_err();
    assert!(error.to_string().contains("Connection refused"), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Unknown);
}

/// What a running command is told when this happens to its server.
async fn meanwhile(sshd: &Sshd, ssh: &Ssh, signal: &str) -> SshError {
    let number = pipe(&sshd.path("pipe"));
    let script = format!("echo $$ > '{}'; exec sleep 600", sshd.text("pipe"));
    let argv = ["sh", "-c", &script];
    let cut = async {
        let number = number.await.unwrap();
        sshd.signal(signal);
        (number, Instant::now())
    };
    let (ran, (number, start)) = tokio::join!(ssh.run(HostCommand::new(&argv)), cut);
    assert!(start.elapsed() < PATIENCE * 3, "{:?}", start.elapsed());
    output("kill", &[&number]);
    let error = ran.unwrap_err();
    assert!(matches!(error, SshError::Unreachable { .. }), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Unknown);
    error
}

#[tokio::test]
async fn a_connection_that_is_cut_is_told_and_the_next_call_makes_another() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    meanwhile(&sshd, &ssh, "KILL").await;
    let output = ssh.clone().run(HostCommand::new(&["true"])).await.unwrap();
    assert_eq!(output.ended, Ended::Code(0));
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed_in_time() {
    let sshd = Sshd::start();
    let ssh = Ssh::connect(&sshd.address(), &impatient(&sshd)).await.unwrap();
    let error = meanwhile(&sshd, &ssh, "STOP").await;
    assert!(error.to_string().ends_with("it no longer answers"), "{error}");
}

#[tokio::test]
async fn a_command_that_is_silent_for_long_is_no_lost_connection() {
    let sshd = Sshd::start();
    let ssh = Ssh::connect(&sshd.address(), &impatient(&sshd)).await.unwrap();
    let output = ssh.run(HostCommand::new(&["sleep", "5"])).await.unwrap();
    assert_eq!(output.ended, Ended::Code(0));
}
