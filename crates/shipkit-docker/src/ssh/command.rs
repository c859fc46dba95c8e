//! `HostCommand`: a command on the server, its input, its output and its end.

use std::pin::pin;
use std::time::Duration;

use russh::{ChannelMsg, Sig};
use shipkit_core::ssh::shell_line;

use super::connection::Connection;
use super::{Ssh, SshError};

/// How long a command may take, where nothing else is said.
const TIME: Duration = Duration::from_mins(1);
/// How much of a command's output is kept, where nothing else is said: 1 MiB.
const OUTPUT: usize = 1 << 20;
/// What SSH calls the standard error output (RFC 4254, section 5.2).
const STDERR: u32 = 1;

/// A command for a server, or for any other [`Host`](crate::Host).
#[derive(Debug, Clone, Copy)]
pub struct HostCommand<'a> {
    /// The program and its arguments, which reach it exactly as they are; on a server the login shell must be a POSIX shell.
    pub argv: &'a [&'a str],
    /// What it reads.
    pub stdin: &'a [u8],
    /// How long it may take. Nobody waits for it any longer then, but on a server it may go on: SSH has no way to end it that
    /// servers offer to everybody.
    pub time: Duration,
    /// How many bytes of its output are handed on; what goes beyond that is dropped.
    pub output: usize,
}

/// How a command ended and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub ended: Ended,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error output.
    pub stderr: Vec<u8>,
    /// Whether there was more of them.
    pub is_cut: bool,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(u32),
    /// By a signal: its name without `SIG`.
    Signal(String),
}

/// Where a command says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The standard output.
    Stdout,
    /// The standard error output.
    Stderr,
}

impl<'a> HostCommand<'a> {
    /// A command that reads nothing, with a minute and 1 MiB of output.
    #[must_use]
    pub fn new(argv: &'a [&'a str]) -> Self {
        Self { argv, stdin: b"", time: TIME, output: OUTPUT }
    }
}

impl Ssh {
    /// Runs a command to its end and gives what it said. That it ended badly is no error here.
    ///
    /// # Errors
    /// When the server runs no commands, the connection is lost, or the command does not end in time.
    pub async fn run(&self, command: HostCommand<'_>) -> Result<Output, SshError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let (ended, is_cut) = self
            .stream(command, |stream, part| match stream {
                Stream::Stdout => stdout.extend_from_slice(part),
                Stream::Stderr => stderr.extend_from_slice(part),
            })
            .await?;
        Ok(Output { ended, stdout, stderr, is_cut })
    }

    /// Runs a command to its end and hands on what it says when it says it. Gives how it ended, and whether it said more
    /// than was handed on.
    ///
    /// # Errors
    /// When the server runs no commands, the connection is lost, or the command does not end in time.
    pub async fn stream(
        &self,
        command: HostCommand<'_>,
        said: impl FnMut(Stream, &[u8]),
    ) -> Result<(Ended, bool), SshError> {
        let line = shell_line(command.argv).ok_or_else(|| SshError::BadArgument {
            host: self.address().to_string(),
            what: command.argv.join(" ").replace('\0', "\\0"),
            reason: "a command has a program and no NUL bytes",
        })?;
        let connection = self.connection().await?;
        run(&connection, line, &command, said).await
    }
}

async fn run(
    connection: &Connection,
    line: String,
    command: &HostCommand<'_>,
    mut said: impl FnMut(Stream, &[u8]),
) -> Result<(Ended, bool), SshError> {
    let (mut reader, writer) = connection.session().await?.split();
    let mut too_late = pin!(tokio::time::sleep(command.time));
    writer.exec(true, line).await.map_err(|error| connection.broken(&error))?;
    let mut feeding = pin!(async {
        writer.data_bytes(command.stdin.to_vec()).await?;
        writer.eof().await
    });
    let mut is_fed = false;
    let mut room = command.output;
    let mut is_cut = false;
    let mut hand_on = |stream, part: &[u8]| {
        let kept = part.split_at(part.len().min(room)).0;
        room -= kept.len();
        is_cut |= kept.len() < part.len();
        if !kept.is_empty() {
            said(stream, kept);
        }
    };
    let mut ended = None;
    loop {
        let message = tokio::select! {
            // That nobody takes it is seen by what follows: the command ends, or the connection.
            _ = &mut feeding, if !is_fed => {
                is_fed = true;
                continue;
            }
            () = &mut too_late => {
                // So that the command cannot write any more, and reads the end of its input.
                writer.close().await.ok();
                return Err(connection.too_slow(command));
            }
            message = reader.wait() => message,
        };
        match message {
            Some(ChannelMsg::Data { data }) => hand_on(Stream::Stdout, &data),
            Some(ChannelMsg::ExtendedData { data, ext: STDERR }) => hand_on(Stream::Stderr, &data),
            Some(ChannelMsg::ExitStatus { exit_status }) => ended = Some(Ended::Code(exit_status)),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                ended = Some(Ended::Signal(name(&signal_name)));
            }
            Some(ChannelMsg::Failure) => return Err(connection.no_commands()),
            Some(ChannelMsg::Close) => break,
            Some(_) => {}
            None => return Err(connection.ended()),
        }
    }
    ended
        .map(|ended| (ended, is_cut))
        .ok_or_else(|| connection.garbled("it does not say how a command ended"))
}

/// A signal's name as RFC 4254, section 6.10, writes it.
fn name(signal: &Sig) -> String {
    if let Sig::Custom(name) = signal { name.chars().take(32).collect() } else { format!("{signal:?}") }
}
