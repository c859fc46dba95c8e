//! Carries out a plan on the Swarm, one service after the other, and takes all of it back when one fails.

use std::time::Duration;

use shipkit_core::Hint as _;
use shipkit_core::exit::ExitCode;
use shipkit_core::rollout::{Next, Observation};
use shipkit_core::target::{Change, Desired};
use shipkit_docker::{Applied, Login, Swarm, SwarmError};
use shipkit_runner::Runner;

/// How long putting one service back may take.
const BACK: Duration = Duration::from_mins(5);

/// How carrying out a plan ended.
pub(crate) enum Ended {
    /// Everything runs that should.
    Done,
    /// One service failed.
    Failed {
        /// Why, in one sentence.
        cause: String,
        /// Whether it is somebody else's change or a Swarm that cannot be asked: not a failure of the release.
        is_unknown: bool,
    },
}

/// The changes made so far, so that they can be taken back.
pub(crate) struct Rollout<'a> {
    /// The Swarm.
    pub(crate) swarm: &'a Swarm,
    /// What should be there.
    pub(crate) desired: &'a Desired,
    /// The login for pulling.
    pub(crate) login: Option<Login>,
    /// The longest time for one service.
    pub(crate) deadline: Duration,
    applied: Vec<Applied>,
}

impl<'a> Rollout<'a> {
    /// Nothing is changed yet.
    pub(crate) fn new(
        swarm: &'a Swarm,
        desired: &'a Desired,
        login: Option<Login>,
        deadline: Duration,
    ) -> Self {
        Self { swarm, desired, login, deadline, applied: Vec::new() }
    }

    /// Carries out the changes in order and stops at the first that fails.
    pub(crate) async fn forward(&mut self, changes: &[Change], runner: &Runner) -> Ended {
        for change in changes {
            runner.say(&change.to_string());
            let applied = match self.swarm.apply(self.desired, change, self.login.as_ref()).await {
                Ok(Some(applied)) => applied,
                Ok(None) => continue,
                Err(error) => return broken(&error),
            };
            let next = self.swarm.rollout(&applied, self.deadline, watching(runner, &applied)).await;
            self.applied.push(applied);
            match next {
                Ok(Next::Done | Next::Wait(_)) => {}
                Ok(Next::RollBack { cause } | Next::RolledBack { cause } | Next::Stuck { cause }) => {
                    self.show_logs(runner).await;
                    return Ended::Failed { cause, is_unknown: false };
                }
                Ok(Next::Overtaken { cause }) => return Ended::Failed { cause, is_unknown: true },
                Err(error) => return broken(&error),
            }
        }
        Ended::Done
    }

    /// Takes back everything that was changed, newest first. Gives the services that did not come back, each with why.
    pub(crate) async fn back(&mut self, runner: &Runner) -> Vec<String> {
        let mut stuck = Vec::new();
        while let Some(applied) = self.applied.pop() {
            let name = applied.service().to_owned();
            match put_back(self.swarm, &applied, self.login.as_ref(), runner).await {
                Ok(Next::Done | Next::Wait(_) | Next::RolledBack { .. }) => {
                    runner.say(&format!("`{name}` is taken back"));
                }
                Ok(Next::RollBack { cause } | Next::Stuck { cause } | Next::Overtaken { cause }) => {
                    stuck.push(cause);
                }
                Err(error) => stuck.push(format!("`{name}`: {error}")),
            }
        }
        stuck
    }

    /// The last lines of what failed, for people.
    async fn show_logs(&self, runner: &Runner) {
        let Some(applied) = self.applied.last() else { return };
        // A log that cannot be had is no reason to keep the failure itself from being told.
        for log in self.swarm.logs(applied).await.unwrap_or_default() {
            runner.say(&format!("last lines of `{}`, task {}:", applied.service(), log.task));
            runner.quote(&log.lines.join("\n"), 50);
        }
    }
}

/// Puts one service back and waits for it.
async fn put_back(
    swarm: &Swarm,
    applied: &Applied,
    login: Option<&Login>,
    runner: &Runner,
) -> Result<Next, SwarmError> {
    match swarm.undo(applied, login).await? {
        None => Ok(Next::Done),
        Some(back) => swarm.rollout(&back, BACK, watching(runner, &back)).await,
    }
}

/// Waits for a service that was put back by [`Swarm::restore`].
pub(crate) async fn arrive(swarm: &Swarm, applied: &Applied, runner: &Runner) -> Result<Next, SwarmError> {
    swarm.rollout(applied, BACK, watching(runner, applied)).await
}

/// Shows on a terminal how far a service is.
fn watching(runner: &Runner, applied: &Applied) -> impl FnMut(&Observation) {
    let bar = runner.progress(&format!("rollout of {}", applied.service()), None);
    let name = applied.service().to_owned();
    move |seen| bar.now_doing(&format!("{name}: {} of {} ready", seen.ready, seen.wanted))
}

/// What the Swarm refuses is a failure of the release; somebody else's change, or no answer, is not.
fn broken(error: &SwarmError) -> Ended {
    let is_unknown = matches!(error, SwarmError::Overtaken { .. }) || error.exit_code() == ExitCode::Unknown;
    Ended::Failed { cause: error.to_string(), is_unknown }
}
