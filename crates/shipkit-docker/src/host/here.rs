//! Commands on this machine: each is the leader of a process group of its own, so that it can be ended with all that it has
//! started.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::HostError;
use super::group::ProcessGroup;
use crate::ssh::{Ended, HostCommand, Stream};

/// How much is read at once, in bytes.
const PART: usize = 16 << 10;

pub(super) async fn stream(
    command: &HostCommand<'_>,
    said: impl FnMut(Stream, &[u8]),
) -> Result<(Ended, bool), HostError> {
    let mut group = start(command)?;
    let program = || command.argv.first().copied().unwrap_or_default().to_owned();
    match tokio::time::timeout(command.time, follow(group.leader(), command, said)).await {
        Ok(Ok((status, is_cut))) => Ok((ended(status), is_cut)),
        Ok(Err(error)) => Err(HostError::NotStarted { program: program(), reason: error.to_string() }),
        Err(_elapsed) => Err(HostError::TooSlow { program: program(), limit: command.time }),
    }
}

fn start(command: &HostCommand<'_>) -> Result<ProcessGroup, HostError> {
    let (program, arguments) = command.argv.split_first().unwrap_or((&"", &[]));
    let mut child = Command::new(program);
    child.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ProcessGroup::start(&mut child).map_err(|error| {
        let program = (*program).to_owned();
        let is_absent = error.kind() == ErrorKind::NotFound;
        if is_absent {
            HostError::NotHere { program }
        } else {
            HostError::NotStarted { program, reason: error.to_string() }
        }
    })
}

/// Feeds a command, hands on what it says, and waits for its end: for that last, see [`ProcessGroup`].
async fn follow(
    child: &mut Child,
    command: &HostCommand<'_>,
    mut said: impl FnMut(Stream, &[u8]),
) -> std::io::Result<(ExitStatus, bool)> {
    let (stdin, mut stdout, mut stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let mut feeding = pin!(async {
        if let Some(mut stdin) = stdin {
            // What nobody reads is no error: the command ends as it ends.
            stdin.write_all(command.stdin).await.ok();
        }
    });
    let (mut is_fed, mut room, mut is_cut) = (false, command.output, false);
    let (mut out, mut err) = (vec![0; PART], vec![0; PART]);
    while stdout.is_some() || stderr.is_some() {
        let (stream, part) = tokio::select! {
            () = &mut feeding, if !is_fed => {
                is_fed = true;
                continue;
            }
            part = take(&mut stdout, &mut out), if stdout.is_some() => (Stream::Stdout, part),
            part = take(&mut stderr, &mut err), if stderr.is_some() => (Stream::Stderr, part),
        };
        let kept = part.split_at(part.len().min(room)).0;
        room -= kept.len();
        is_cut |= kept.len() < part.len();
        if !kept.is_empty() {
            said(stream, kept);
        }
    }
    loop {
        tokio::select! {
            () = &mut feeding, if !is_fed => is_fed = true,
            status = child.wait() => return Ok((status?, is_cut)),
        }
    }
}

/// The next part of a stream, which is gone after its end.
async fn take<'a>(stream: &mut Option<impl AsyncRead + Unpin>, buffer: &'a mut [u8]) -> &'a [u8] {
    let read = match stream {
        Some(open) => open.read(buffer).await.unwrap_or(0),
        None => 0,
    };
    if read == 0 {
        *stream = None;
    }
    buffer.get(..read).unwrap_or_default()
}

fn ended(status: ExitStatus) -> Ended {
    let code = status.code().and_then(|code| u32::try_from(code).ok());
    code.map_or_else(|| Ended::Signal(name(status.signal().unwrap_or_default())), Ended::Code)
}

/// A signal's name as SSH writes it, too; those that it has no name for are a number.
fn name(signal: i32) -> String {
    let named = [
        (Signal::ABORT, "ABRT"),
        (Signal::ALARM, "ALRM"),
        (Signal::FPE, "FPE"),
        (Signal::HUP, "HUP"),
        (Signal::ILL, "ILL"),
        (Signal::INT, "INT"),
        (Signal::KILL, "KILL"),
        (Signal::PIPE, "PIPE"),
        (Signal::QUIT, "QUIT"),
        (Signal::SEGV, "SEGV"),
        (Signal::TERM, "TERM"),
    ];
    let found = named.iter().find(|(one, _)| one.as_raw() == signal);
    found.map_or_else(|| signal.to_string(), |(_, name)| (*name).to_owned())
}
