//! Signals: the first asks to finish, the second (or too much time) ends the process.
//!
//! GitHub sends SIGINT and 7.5 s later SIGTERM, to process 1 of the container, which without handlers ignores both.

use std::time::Duration;

use shipkit_core::exit::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// How long a process may go on after the first signal.
pub const GRACE: Duration = Duration::from_secs(7);

/// Who asked us to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C, or the first that the runner sends.
    Interrupt,
    /// SIGTERM: `docker stop`, or the second that the runner sends.
    Terminate,
}

impl Signal {
    /// What the process ends with.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Interrupt => ExitCode::Interrupted,
            Self::Terminate => ExitCode::Terminated,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

/// Installs both handlers. Must be called inside a tokio runtime.
pub(crate) fn listen() -> std::io::Result<mpsc::UnboundedReceiver<Signal>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for (kind, name) in
        [(SignalKind::interrupt(), Signal::Interrupt), (SignalKind::terminate(), Signal::Terminate)]
    {
        let mut arrivals = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move { while arrivals.recv().await.is_some() && sender.send(name).is_ok() {} });
    }
    Ok(receiver)
}

/// Waits for the first signal and tells `first` about it; then until the process must end whatever it does.
/// The signal that decides the exit code is the first.
pub(crate) async fn must_end(
    signals: &mut mpsc::UnboundedReceiver<Signal>,
    first: impl FnOnce(Signal),
) -> Option<Signal> {
    let signal = signals.recv().await?;
    first(signal);
    tokio::time::timeout(GRACE, signals.recv()).await.ok();
    Some(signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_the_first_signal_there_are_seven_seconds() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        sender.send(Signal::Terminate).unwrap();
        let start = tokio::time::Instant::now();
        let mut told = None;
        assert_eq!(must_end(&mut receiver, |signal| told = Some(signal)).await, Some(Signal::Terminate));
        assert_eq!((told, start.elapsed()), (Some(Signal::Terminate), GRACE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_ends_at_once_and_the_first_decides() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        sender.send(Signal::Interrupt).unwrap();
        sender.send(Signal::Terminate).unwrap();
        let start = tokio::time::Instant::now();
        assert_eq!(must_end(&mut receiver, |_| ()).await, Some(Signal::Interrupt));
        assert!(start.elapsed() < GRACE);
    }
}
