//! `deploy-promote reconcile`: finishes or takes back what a run that was killed has left.

use shipkit_core::Digest;
use shipkit_core::journal::{Intent, Journal, Resume, resume};
use shipkit_core::target::{ObservedService, Stamp};
use shipkit_core::verdict::Outcome;
use shipkit_runner::{Failure, Runner};

use crate::args::DeployArgs;
use crate::deploy::{self, refuse_pull_requests};
use crate::hold::Hold;
use crate::project::Project;
use crate::rollback::{self, Wanted};
use crate::target::Target;

/// Takes the lease, so that whoever wrote the journal is known to be over, and does what the journal says.
pub(crate) async fn run(project: &Project<'_>, runner: &Runner) -> Result<Outcome, Failure> {
    refuse_pull_requests(runner)?;
    let target = project.target(runner).await?;
    if project.args.dry_run {
        let journal = target.ledger().journal().await?;
        runner.data(why(&resume(journal.as_ref(), Intent::Reconcile)));
        return Ok(Outcome::pass("dry run: nothing was changed"));
    }
    let hold = match Hold::take(&target, project.environment.timeout, runner).await? {
        Ok(hold) => hold,
        Err(outcome) => return Ok(outcome),
    };
    let ended = settle(project, &target, &hold, runner).await;
    // A deploy takes the lease itself.
    hold.end(runner).await;
    match ended? {
        Settled::Ended(outcome) => Ok(outcome),
        Settled::ToFinish(args) => deploy::run(project, &args, runner).await,
    }
}

/// What became of what was left.
enum Settled {
    /// Nothing is left.
    Ended(Outcome),
    /// This deploy is.
    ToFinish(DeployArgs),
}

/// Under the lease: does what the journal says, up to a deploy.
async fn settle(
    project: &Project<'_>,
    target: &Target,
    hold: &Hold,
    runner: &Runner,
) -> Result<Settled, Failure> {
    let journal = hold.journal().await?;
    let resume = resume(journal.as_ref(), Intent::Reconcile);
    runner.say(why(&resume));
    let ended = match (resume, journal) {
        (Resume::Finish { .. }, Some(journal)) => {
            return Ok(Settled::ToFinish(DeployArgs {
                release: journal.stamp().release.to_string(),
                repository: journal.repository().cloned(),
                timeout: None,
                break_glass: None,
            }));
        }
        (Resume::Undo { why }, Some(journal)) => {
            undo(project, (target, hold), (&why, journal), runner).await?
        }
        (Resume::Hold { why }, _) => Outcome::fail(why),
        (Resume::Nothing { why } | Resume::Finish { why } | Resume::Undo { why }, _) => Outcome::pass(why),
    };
    Ok(Settled::Ended(ended))
}

/// Goes back; where nothing is left to go back from, only the journal is closed.
async fn undo(
    project: &Project<'_>,
    (target, hold): (&Target, &Hold),
    (why, journal): (&str, Journal),
    runner: &Runner,
) -> Result<Outcome, Failure> {
    // Who went to a release by its name has left services that are confirmed.
    let wanted = Wanted { to: journal.unreached().map(Digest::as_str), reason: None };
    let observed = project.observe(target).await?;
    let is_left = wanted.to.is_some() || observed.services.iter().any(|one| goes_back(one, &journal));
    if is_left {
        return rollback::go_back(project, (target, hold), &wanted, runner).await;
    }
    rollback::end((target, hold), (why, journal), runner).await
}

/// Whether a service still has to go back: it is not confirmed, or it still is what the run went back from and knows where to.
fn goes_back(service: &ObservedService, journal: &Journal) -> bool {
    let is_of_it = |stamp: &Stamp| stamp.release == journal.stamp().release;
    !service.is_confirmed || service.previous.is_some() && service.stamp.as_ref().is_some_and(is_of_it)
}

fn why(resume: &Resume) -> &str {
    match resume {
        Resume::Nothing { why } | Resume::Finish { why } | Resume::Undo { why } | Resume::Hold { why } => why,
    }
}
