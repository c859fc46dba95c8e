//! `deploy-promote reconcile`: finishes or takes back what a run that was killed has left.

use shipkit_core::journal::{Intent, Journal, Resume, resume};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_runner::{Failure, Runner};

use crate::args::DeployArgs;
use crate::deploy::{self, refuse_pull_requests};
use crate::hold::Hold;
use crate::project::Project;
use crate::rollback;
use crate::target::Target;

/// Takes the lease, so that whoever wrote the journal is known to be over, and does what the journal says.
pub(crate) async fn run(project: &Project<'_>, runner: &Runner) -> Result<Outcome, Failure> {
    refuse_pull_requests(runner)?;
    let target = project.target(runner).await?;
    let Some(ledger) = target.ledger() else {
        return Err(Failure::usage(
            "`reconcile` knows what a run has left on a Docker host, and this is a cluster",
        )
        .with_hint("deploy again, or roll back"));
    };
    if project.args.dry_run {
        let journal = ledger.journal().await?;
        runner.data(why(&resume(journal.as_ref(), Intent::Reconcile)));
        return Ok(Outcome::pass("dry run: nothing was changed"));
    }
    let hold = match Hold::take(&target, project.environment.timeout, runner).await? {
        Ok(hold) => hold,
        Err(outcome) => return Ok(outcome),
    };
    let journal = hold.journal().await?;
    let resume = resume(journal.as_ref(), Intent::Reconcile);
    runner.say(why(&resume));
    let ended = match (&resume, &journal) {
        (Resume::Finish { .. }, Some(journal)) => {
            let args = DeployArgs {
                release: journal.stamp().release.to_string(),
                repository: None,
                timeout: None,
                break_glass: None,
            };
            // It takes the lease itself.
            hold.end(runner).await;
            return deploy::run(project, &args, runner).await;
        }
        (Resume::Undo { why }, Some(_)) => undo(project, (&target, &hold), why, runner).await,
        (Resume::Hold { why }, _) => Ok(Outcome::fail(why)),
        (Resume::Nothing { why } | Resume::Finish { why } | Resume::Undo { why }, _) => {
            Ok(Outcome::pass(why))
        }
    };
    hold.end(runner).await;
    ended
}

/// Goes back; where nothing is left to go back from, only the journal is closed.
async fn undo(
    project: &Project<'_>,
    (target, hold): (&Target, &Hold),
    why: &str,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    let is_left = project.observe(target).await?.services.iter().any(|service| !service.is_confirmed);
    if is_left {
        return rollback::go_back(project, target, hold, None, runner).await;
    }
    hold.diary(hold.journal().await?).note(Journal::end).await?;
    Ok(Outcome { verdict: Verdict::Pass, cause: format!("nothing was left to do: {why}") })
}

fn why(resume: &Resume) -> &str {
    match resume {
        Resume::Nothing { why } | Resume::Finish { why } | Resume::Undo { why } | Resume::Hold { why } => why,
    }
}
