//! `Host`: where programs run and files lie. This machine, or one that is reached over SSH: what is done there is the same.

mod error;
mod file;
mod group;
mod here;
mod lease;
mod reach;
mod secrets;
mod upload;

use std::fmt;
use std::time::Duration;

use crate::ssh::{Ended, HostCommand, Output, Ssh, Stream};

pub use error::HostError;
pub use group::ProcessGroup;
pub use reach::Reached;

/// How long a small script may take.
const TIME: Duration = Duration::from_mins(1);
/// The most that is kept of what a failing script says, in bytes.
const WORDS: usize = 4096;
/// How a shell ends when it finds no such program.
const NO_PROGRAM: u32 = 127;

/// How a script ends when somebody keeps the lock of a stack, and when there is no program to lock it with.
const LOCKED: u32 = 46;
const NO_FLOCK: u32 = 47;

/// Gives the folder of the user.
const HOME: &str = r#"printf %s "$HOME""#;

/// Argument: program.
const FIND: &str = r#"command -v "$1" > /dev/null"#;

/// A machine on which programs run and files lie. It needs what every Linux has: a POSIX shell and the tools that come with
/// it, which are the only way anything is done there.
#[derive(Debug, Clone)]
pub struct Host {
    machine: Machine,
    home: String,
}

#[derive(Debug, Clone)]
enum Machine {
    Here,
    Ssh(Ssh),
}

impl Host {
    /// This machine. `home` is the folder of the user who deploys.
    ///
    /// # Errors
    /// When `home` is no absolute path.
    pub fn here(home: &str) -> Result<Self, HostError> {
        Self { machine: Machine::Here, home: String::new() }.at_home(home)
    }

    /// A machine that is reached over SSH.
    ///
    /// # Errors
    /// When the server runs no commands, the connection is lost, or the server does not say where the user's folder is.
    pub async fn over(ssh: Ssh) -> Result<Self, HostError> {
        let host = Self { machine: Machine::Ssh(ssh), home: String::new() };
        let output = host.script(HOME, &[], b"").await?;
        host.succeeded(&output, "find the folder of the user")?;
        host.at_home(&String::from_utf8_lossy(&output.stdout))
    }

    fn at_home(self, home: &str) -> Result<Self, HostError> {
        if home.starts_with('/') {
            return Ok(Self { home: home.trim_end_matches('/').to_owned(), ..self });
        }
        Err(HostError::NoHome { host: self.to_string() })
    }

    /// The folder in which everything about a stack lies that must outlast a run. It need not be there.
    #[must_use]
    pub fn folder(&self, stack: &str) -> String {
        format!("{}/.shipkit/{stack}", self.home)
    }

    /// Runs a command to its end and gives what it said. That it ended badly is no error here.
    ///
    /// # Errors
    /// As for [`stream`](Self::stream).
    pub async fn run(&self, command: HostCommand<'_>) -> Result<Output, HostError> {
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
    /// than was handed on. If this is dropped or takes too long, the command and all that it has started are killed on this
    /// machine; over SSH nobody waits for them any longer, and they get no more input.
    ///
    /// # Errors
    /// When there is no such program, it cannot be started, does not end in time, or the connection is lost.
    pub async fn stream(
        &self,
        command: HostCommand<'_>,
        said: impl FnMut(Stream, &[u8]),
    ) -> Result<(Ended, bool), HostError> {
        let end = self.follow(command, said).await?;
        // What is started here says so by itself.
        if let (Ended::Code(NO_PROGRAM), Machine::Ssh(_), Some(program)) =
            (&end.0, &self.machine, command.argv.first())
        {
            self.is_there(program).await?;
        }
        Ok(end)
    }

    async fn follow(
        &self,
        command: HostCommand<'_>,
        said: impl FnMut(Stream, &[u8]),
    ) -> Result<(Ended, bool), HostError> {
        match &self.machine {
            Machine::Here => here::stream(&command, said).await,
            Machine::Ssh(ssh) => Ok(ssh.stream(command, said).await?),
        }
    }

    /// Nothing, if there is such a program. Others, too, may end as the shell does that finds none.
    async fn is_there(&self, program: &str) -> Result<(), HostError> {
        let argv = ["sh", "-c", FIND, "sh", program];
        match self.follow(HostCommand::new(&argv), |_, _| {}).await?.0 {
            Ended::Code(0) => Ok(()),
            Ended::Code(_) | Ended::Signal(_) => Err(self.no_program(program)),
        }
    }

    /// Runs a small script. What it works on are arguments, never parts of its text.
    async fn script(&self, script: &str, arguments: &[&str], stdin: &[u8]) -> Result<Output, HostError> {
        let argv = [&["sh", "-c", script, "sh"], arguments].concat();
        self.run(HostCommand { argv: &argv, stdin, time: TIME, output: WORDS }).await
    }

    /// The same for one that must not be cut short: what was begun goes on if nobody waits for it any more.
    async fn carry_through(
        &self,
        script: &'static str,
        arguments: Vec<String>,
        stdin: Vec<u8>,
    ) -> Result<Output, HostError> {
        let host = self.clone();
        let going = tokio::spawn(async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            host.script(script, &arguments, &stdin).await
        });
        going.await.map_err(|error| self.failed("wait for a script", &error.to_string()))?
    }

    /// Nothing, if a script that takes the lock of a stack did what it should; `what` completes "could not".
    fn locked(&self, output: &Output, what: &str) -> Result<(), HostError> {
        match output.ended {
            Ended::Code(LOCKED) => {
                Err(self.failed(what, "somebody keeps the file `lock` of the stack locked"))
            }
            Ended::Code(NO_FLOCK) => Err(self.no_program("flock")),
            Ended::Code(_) | Ended::Signal(_) => self.succeeded(output, what),
        }
    }

    /// Nothing, if a script did what it should; `what` completes "could not".
    fn succeeded(&self, output: &Output, what: &str) -> Result<(), HostError> {
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = match (&output.ended, said.trim()) {
            (Ended::Code(0), _) => return Ok(()),
            (Ended::Code(code), "") => format!("it ends with {code}"),
            (Ended::Signal(name), "") => format!("it is ended by SIG{name}"),
            (_, said) => said.lines().last().unwrap_or(said).to_owned(),
        };
        Err(self.failed(what, &reason))
    }

    fn failed(&self, what: &str, reason: &str) -> HostError {
        HostError::Failed { host: self.to_string(), what: what.to_owned(), reason: reason.to_owned() }
    }

    fn no_program(&self, program: &str) -> HostError {
        let program = program.to_owned();
        match &self.machine {
            Machine::Here => HostError::NotHere { program },
            Machine::Ssh(ssh) => HostError::NotThere { host: ssh.address().to_string(), program },
        }
    }
}

/// Where it is, as it stands in a sentence: `on this machine`.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.machine {
            Machine::Here => f.write_str("on this machine"),
            Machine::Ssh(ssh) => write!(f, "on `{}`", ssh.address()),
        }
    }
}
