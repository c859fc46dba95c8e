//! Programs on the machine that asks: commands of the project, and an installed `hurl`.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout_at};

use super::Session;
use crate::check::Check;
use crate::class::Class;
use crate::client::Bad;
use crate::error::SmokeError;
use crate::hurl;
use crate::judge::short;
use crate::secrets::Secrets;

/// How much of what a command writes is kept, from its end.
const TAIL: usize = 4 * 1024;
/// How many lines of that are shown.
const SHOWN: usize = 5;
/// A report that is larger is not read.
const REPORT: usize = 16 * 1024 * 1024;

/// What is run.
pub(super) struct Program<'a> {
    pub(super) task: Task<'a>,
    /// How long it may take; otherwise as long as there is time.
    pub(super) within: Option<Duration>,
}

/// What there is to run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Task<'a> {
    /// A command for the shell.
    Shell(&'a str),
    /// Hurl files, by patterns.
    Hurl(&'a [String]),
}

impl Program<'_> {
    /// Whether what it takes is here: the image of the action has no programs.
    pub(super) fn look(&self, check: &Check) -> Result<(), SmokeError> {
        let (program, args) = match self.task {
            Task::Shell(_) => ("sh", ["-c", ":"].as_slice()),
            Task::Hurl(_) => ("hurl", ["--version"].as_slice()),
        };
        let mut command = std::process::Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) | Err(_) => Err(SmokeError::NotHere { check: check.name.clone(), program }),
        }
    }

    /// The same, for people to type.
    pub(super) fn repeat(&self, url: &str) -> String {
        match self.task {
            Task::Shell(command) => format!("SHIPKIT_URL={url} sh -c {}", super::question::quoted(command)),
            Task::Hurl(patterns) => {
                let globs =
                    patterns.iter().map(|pattern| format!(" --glob {}", super::question::quoted(pattern)));
                format!("HURL_VARIABLE_url={url} hurl --test{}", globs.collect::<String>())
            }
        }
    }
}

impl Session<'_> {
    /// Runs it to its end, or to the end of its time: then all that it has started ends with it.
    pub(super) async fn program(&self, program: &Program<'_>) -> Result<String, Bad> {
        let bad = |detail: String| Bad::new(Class::Command, detail);
        let began = Instant::now();
        let end = program.within.map_or(self.end, |within| self.end.min(began + within));
        let (mut command, keep) = self.command(program.task);
        let group = ProcessGroup::start(&mut command);
        let mut group = group.map_err(|error| bad(format!("it cannot be started: {error}")))?;
        let tail = Mutex::new(Tail::default());
        let mut report = Vec::new();
        let ended = match timeout_at(end, follow(group.leader(), keep, &mut report, &tail)).await {
            Ok(ended) => ended.map_err(|error| bad(error.to_string()))?,
            Err(_elapsed) => {
                let time = end.duration_since(began);
                return Err(bad(format!("it did not end within {time:.1?}{}", self.shown(&tail))));
            }
        };
        if let Task::Hurl(_) = program.task {
            let told = String::from_utf8_lossy(&report);
            let judged = hurl::judge(&told, ended.success()).filter(|_| report.len() < REPORT);
            if let Some(judged) = judged {
                return judged.map_err(|wrong| bad(self.hidden(&wrong)));
            }
        } else if ended.success() {
            return Ok(format!("it ended well after {:.1?}", began.elapsed()));
        }
        Err(bad(format!("it ended with {ended}{}", self.shown(&tail))))
    }

    /// The command, and how much of its output is kept as it is.
    fn command(&self, task: Task<'_>) -> (Command, usize) {
        let url = self.base.as_str().trim_end_matches('/');
        let release = self.options.release.as_deref().unwrap_or_default();
        let (mut command, keep) = match task {
            Task::Shell(line) => {
                let mut command = Command::new("sh");
                // In one stream, so that what it writes stays in its order.
                command.args(["-c".to_owned(), format!("exec 2>&1\n{line}")]);
                command.env("SHIPKIT_URL", url).env("SHIPKIT_RELEASE", release);
                (command, 0)
            }
            Task::Hurl(patterns) => {
                let mut command = Command::new("hurl");
                command.args(["--test", "--json", "--no-color"]);
                command.args(patterns.iter().map(|pattern| format!("--glob={pattern}")));
                // Not as arguments, which others on the machine can read.
                command.env("HURL_VARIABLE_url", url).env("HURL_VARIABLE_release", release);
                (command, REPORT)
            }
        };
        command.current_dir(&self.options.folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        (command, keep)
    }

    /// The last lines of what it wrote, without secrets.
    fn shown(&self, tail: &Mutex<Tail>) -> String {
        let text = tail.lock().unwrap_or_else(PoisonError::into_inner).text();
        let text = self.hidden(&text);
        let is_shown = |line: &&str| !line.trim().is_empty();
        let mut lines: Vec<String> = text
            .lines()
            .rev()
            .filter(is_shown)
            .take(SHOWN)
            .map(|line| {
                let plain: String = line.trim().chars().filter(|c| !c.is_control()).collect();
                short(&plain)
            })
            .collect();
        lines.reverse();
        if lines.is_empty() { String::new() } else { format!("; its last lines: {}", lines.join(" | ")) }
    }

    fn hidden(&self, text: &str) -> String {
        Secrets::of(self.secrets.lock().unwrap_or_else(PoisonError::into_inner).iter()).hide(text)
    }
}

/// Reads what it writes, and waits for its end.
async fn follow(
    child: &mut Child,
    keep: usize,
    report: &mut Vec<u8>,
    tail: &Mutex<Tail>,
) -> io::Result<ExitStatus> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let write = |bytes: &[u8]| tail.lock().unwrap_or_else(PoisonError::into_inner).write(bytes);
    let of_out = async {
        if keep == 0 {
            return drain(out, write).await;
        }
        drain(out, |bytes| {
            let left = keep.saturating_sub(report.len());
            report.extend(bytes.iter().take(left));
        })
        .await;
    };
    tokio::join!(of_out, drain(err, write));
    child.wait().await
}

async fn drain(stream: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(&[u8])) {
    let Some(mut stream) = stream else { return };
    let mut bytes = vec![0; 8 * 1024];
    while let Ok(count) = stream.read(&mut bytes).await {
        match bytes.get(..count) {
            Some(read) if 0 < count => take(read),
            Some(_) | None => return,
        }
    }
}

/// The end of what was written.
#[derive(Debug, Default)]
struct Tail {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Tail {
    fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if 2 * TAIL < self.bytes.len() {
            self.bytes.drain(..self.bytes.len() - TAIL);
            self.is_cut = true;
        }
    }

    /// Whole lines only: of a secret that was cut the rest could be read.
    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        match text.split_once('\n') {
            Some((_, rest)) if self.is_cut => rest.to_owned(),
            None if self.is_cut => String::new(),
            Some(_) | None => text,
        }
    }
}

/// A command and all that it has started, which is killed when this is dropped before its leader was waited for.
struct ProcessGroup(Child);

impl ProcessGroup {
    fn start(command: &mut Command) -> io::Result<Self> {
        command.process_group(0).kill_on_drop(true).spawn().map(Self)
    }

    fn leader(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // While nobody has waited for the leader, its number belongs to nobody else.
        let leader = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(leader) = leader {
            // It fails only if nobody is left.
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_begins_with_a_line() {
        let mut tail = Tail::default();
        tail.write(b"a\nb");
        assert_eq!(tail.text(), "a\nb");
        for _ in 0..100 {
            tail.write(&[b'x'; 1000]);
            assert!(tail.bytes.len() <= 2 * TAIL);
        }
        assert_eq!(tail.text(), "");
        tail.write(b"\nlast");
        assert_eq!(tail.text(), "last");
    }
}
