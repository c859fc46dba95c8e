//! Asks a target that nobody has changed: readiness, and at the same moment all that only reads.

use shipkit_core::Verdict;
use tokio::sync::watch;

use super::Session;
use super::asked::{Asked, Stage};
use super::question::Rest;
use crate::graph::Graph;
use crate::report::CheckReport;

/// What is known of the first answer about readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// It is waited for.
    Unknown,
    Good,
    Bad,
}

/// The first answer about readiness, for those who wait for it.
pub(super) struct Look(watch::Sender<First>);

impl Look {
    /// Nobody has to wait.
    pub(super) fn over() -> Self {
        Self(watch::Sender::new(First::Good))
    }

    /// From now on it is waited for.
    fn begin(&self) {
        self.0.send_replace(First::Unknown);
    }

    /// Nobody has to wait any more.
    fn end(&self) {
        self.0.send_replace(First::Good);
    }

    /// Takes an answer; only the first counts.
    pub(super) fn take(&self, is_good: bool) {
        let seen = if is_good { First::Good } else { First::Bad };
        self.0.send_if_modified(|first| {
            let is_first = *first == First::Unknown;
            *first = if is_first { seen } else { *first };
            is_first
        });
    }

    /// Ends as soon as it is so.
    pub(super) async fn is(&self, wanted: First) {
        // Whoever sends lives as long as this.
        self.0.subscribe().wait_for(|first| *first == wanted).await.ok();
    }
}

/// Whether these checks can be asked together: readiness is one of them, and no release is, which has to be there before anything else is asked.
pub(super) fn can_be_together(asked: &[Asked<'_>]) -> bool {
    let count = |stage| asked.iter().filter(|one| one.question.stage() == stage).count();
    count(Stage::Ready) == 1 && count(Stage::Release) == 0
}

impl Session<'_> {
    /// Asks about readiness and all the rest at the same moment. If the first answer about readiness is bad, the rest is dropped, and `None`:
    /// what was answered meanwhile tells nothing.
    pub(super) async fn together(
        &self,
        asked: &[Asked<'_>],
        graph: &Graph,
    ) -> (Vec<CheckReport>, Option<Vec<CheckReport>>) {
        self.look.begin();
        let rest = async {
            tokio::select! {
                biased;
                () = self.look.is(First::Bad) => None,
                found = self.in_order(asked, graph, |one| one.question.stage() == Stage::Rest) => Some(found),
            }
        };
        let ready = self.in_order(asked, graph, |one| one.question.stage() == Stage::Ready);
        let (ready, rest) = tokio::join!(ready, rest);
        let was_ready =
            |check: &CheckReport| check.outcome.verdict == Verdict::Pass && check.attempts.len() == 1;
        let rest = rest.filter(|_| ready.iter().all(was_ready));
        self.look.end();
        (ready, rest)
    }
}

impl Rest<'_> {
    /// Whether it changes nothing, so that it can be asked of a target that may not be ready.
    pub(super) fn only_reads(&self) -> bool {
        match self {
            Self::Http(request) => request.ask.method.is_safe(),
            Self::SocketIo(talk) => talk.emit.is_empty(),
            // What it does nobody knows.
            Self::Program(_) => false,
            Self::Tcp(_)
            | Self::Dns(_)
            | Self::Redirect(_)
            | Self::Tls(_)
            | Self::Ws { .. }
            | Self::Metrics(_)
            | Self::Operations(_)
            | Self::Page(_)
            | Self::Caching(_)
            | Self::Compression(_)
            | Self::Cors { .. }
            | Self::SecurityHeaders { .. } => true,
        }
    }
}
