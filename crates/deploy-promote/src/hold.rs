//! `Hold`: the lease on a target while this run changes it, and `Diary`: the journal that it leaves there.

use std::time::Duration;

use shipkit_core::Repository;
use shipkit_core::journal::{Hook, Journal, Migration, Run};
use shipkit_core::lease::{Claim, Claimant, DURATION, RENEW_EVERY};
use shipkit_core::target::Stamp;
use shipkit_core::verdict::Outcome;
use shipkit_runner::{Failure, Runner, env};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::deploy::{UNTOUCHED, run_url};
use crate::ledger::{Ledger, LedgerError};
use crate::target::Target;

/// How long to wait at most before asking again for a lease that somebody has.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long a cancelled run waits for the answer to what it asked last.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// The lease on a target. It is renewed until it ends.
pub(crate) struct Hold {
    ledger: Ledger,
    token: u64,
    lost: watch::Receiver<Option<String>>,
    renewing: JoinHandle<()>,
}

/// The journal of this run.
pub(crate) struct Diary {
    ledger: Ledger,
    token: u64,
    journal: Option<Journal>,
}

impl Hold {
    /// Takes the lease, and waits `patience` for somebody else who has it; at least so long that a killed run's is over.
    /// `Err` is how the run ends without it, also when it is cancelled while it waits.
    pub(crate) async fn take(
        target: &Target,
        patience: Duration,
        runner: &Runner,
    ) -> Result<Result<Self, Outcome>, Failure> {
        let mut taking = Box::pin(Self::wait(target, patience, runner));
        let hold = tokio::select! {
            biased;
            _signal = runner.cancelled() => {
                // What was asked for last may have been given: nobody else would get it before it ends.
                if let Ok(Ok(Ok(hold))) = timeout(LAST_ANSWER, taking).await {
                    hold.end(runner).await;
                }
                return Ok(Err(Outcome::inconclusive(UNTOUCHED)));
            }
            taken = &mut taking => match taken? {
                Ok(hold) => hold,
                Err(ended) => return Ok(Err(ended)),
            },
        };
        let ended = tokio::select! {
            biased;
            _signal = runner.cancelled() => Ok(Err(Outcome::inconclusive(UNTOUCHED))),
            tidied = target.tidy() => match tidied {
                Ok(()) => return Ok(Ok(hold)),
                Err(error) => Err(error.into()),
            },
        };
        hold.end(runner).await;
        ended
    }

    async fn wait(
        target: &Target,
        patience: Duration,
        runner: &Runner,
    ) -> Result<Result<Self, Outcome>, Failure> {
        let ledger = target.ledger();
        let mut me = Claimant { owner: owner(runner), token: None };
        let start = Instant::now();
        let mut told = None;
        loop {
            let claim = ledger.claim(&me, DURATION).await?;
            match &claim {
                Claim::Take(lease) | Claim::Renew(lease) => {
                    me.token = Some(lease.token);
                    return Ok(Ok(Self::renewed(ledger, me, lease.token)));
                }
                Claim::Wait { held, left } => {
                    if patience.max(DURATION.saturating_add(RENEW_EVERY)) <= start.elapsed() {
                        return Ok(Err(Outcome::inconclusive(format!("{UNTOUCHED}: {claim}"))));
                    }
                    if told.as_ref() != Some(&held.token) {
                        runner.say(&format!("waiting: {claim}"));
                        told = Some(held.token);
                    }
                    tokio::select! {
                        _signal = runner.cancelled() => return Ok(Err(Outcome::inconclusive(UNTOUCHED))),
                        () = sleep((*left).clamp(Duration::from_millis(50), ASK_AGAIN)) => {}
                    }
                }
                // Who has no token cannot lose it.
                Claim::Lost { .. } => return Ok(Err(Outcome::inconclusive(claim.to_string()))),
            }
        }
    }

    /// Why this run may not go on, as soon as that is so.
    pub(crate) async fn lost(&self) -> String {
        let mut lost = self.lost.clone();
        loop {
            if let Some(why) = lost.borrow_and_update().clone() {
                return why;
            }
            if lost.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// What the last run left.
    pub(crate) async fn journal(&self) -> Result<Option<Journal>, LedgerError> {
        self.ledger.journal().await
    }

    /// Opens the journal as it is.
    pub(crate) fn diary(&self, journal: Option<Journal>) -> Diary {
        Diary { ledger: self.ledger.clone(), token: self.token, journal }
    }

    /// Begins the journal of a deploy of a release that this repository holds.
    pub(crate) async fn begin(
        &self,
        stamp: &Stamp,
        repository: &Repository,
        migration: Migration,
    ) -> Result<Diary, LedgerError> {
        let before = self.journal().await?;
        let journal = Journal::begin(before.as_ref(), stamp.clone(), self.token, migration);
        let mut diary = self.diary(Some(journal.of_repository(repository.clone())));
        diary.note(|_| {}).await?;
        Ok(diary)
    }

    /// Gives the lease up. One that cannot be given up ends by itself.
    pub(crate) async fn end(self, runner: &Runner) {
        self.renewing.abort();
        if let Err(error) = self.ledger.give_up(self.token).await {
            runner.say(&format!("the lease was not given up, and ends by itself: {error}"));
        }
    }

    /// A lease that was just taken.
    fn renewed(ledger: Ledger, me: Claimant, token: u64) -> Self {
        let (tell, lost) = watch::channel(None);
        let renewing = tokio::spawn(renew(ledger.clone(), me, tell));
        Self { ledger, token, lost, renewing }
    }
}

/// Renews the lease until it is lost.
async fn renew(ledger: Ledger, me: Claimant, tell: watch::Sender<Option<String>>) {
    let mut renewed = Instant::now();
    loop {
        sleep(RENEW_EVERY).await;
        let why = match ledger.claim(&me, DURATION).await {
            Ok(Claim::Take(_) | Claim::Renew(_)) => {
                renewed = Instant::now();
                continue;
            }
            Ok(lost) => lost.to_string(),
            // A target that does not answer for a moment is asked again as long as the lease lasts.
            Err(_) if renewed.elapsed() < DURATION.saturating_sub(RENEW_EVERY) => continue,
            Err(error) => format!("the lease could not be renewed: {error}"),
        };
        tell.send_replace(Some(why));
        return;
    }
}

impl Diary {
    /// Changes the journal and writes it.
    pub(crate) async fn note(&mut self, change: impl FnOnce(&mut Journal)) -> Result<(), LedgerError> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        journal.take_over(self.token)?;
        change(journal);
        self.ledger.write_journal(self.token, journal).await
    }

    /// The same where there is no other way than on: that it could not be written is said.
    pub(crate) async fn note_or_say(&mut self, change: impl FnOnce(&mut Journal), runner: &Runner) {
        if let Err(error) = self.note(change).await {
            runner.say(&format!("the journal on the target could not be written: {error}"));
        }
    }

    /// Whether a hook is to be run.
    pub(crate) fn hook(&self, hook: Hook) -> Run {
        self.journal.as_ref().map_or(Run::Now, |journal| journal.hook(hook))
    }

    /// The error for a hook whose end nobody saw.
    pub(crate) fn unfinished(&self, hook: Hook) -> String {
        let version = self.journal.as_ref().map(|journal| journal.unfinished(hook).to_string());
        version.unwrap_or_else(|| format!("nobody saw the end of `{hook}`"))
    }

    /// Why this run must not go back by itself, if that is so.
    pub(crate) fn why_not_back(&self) -> Option<String> {
        self.journal.as_ref().and_then(Journal::why_not_back)
    }
}

/// This run, in words for people.
fn owner(runner: &Runner) -> String {
    run_url(runner).unwrap_or_else(|| {
        let user = runner.env().get(env::USER).unwrap_or("somebody");
        format!("{user}, process {}", std::process::id())
    })
}
