//! Carries out a plan on the target, one service after the other, and takes all of it back when one fails.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use shipkit_core::manifests::{Course, Id, Step};
use shipkit_core::rollout::Next;
use shipkit_core::rollout::workload::Seen;
use shipkit_core::target::{Change, Desired};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_docker::{Login, Stack, Swarm};
use shipkit_kubernetes::{Applied as Workload, Back, Cluster, ClusterError};
use shipkit_runner::Runner;

use crate::prepare::Ready;
use crate::preview::{Asking, Instance, Previews};
use crate::target::{Applied, Target, TargetError};

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
        /// Whether it is somebody else's change or a target that cannot be asked: not a failure of the release.
        is_unknown: bool,
    },
}

/// The changes made so far, so that they can be taken back.
pub(crate) struct Rollout<'a> {
    /// The target.
    pub(crate) target: &'a Target,
    /// What should be there.
    pub(crate) desired: &'a Desired,
    /// The login for pulling.
    pub(crate) login: Option<Login>,
    /// The longest time for one service.
    pub(crate) deadline: Duration,
    /// What new instances are asked before traffic goes to them.
    pub(crate) previews: &'a Previews,
    /// How long a step must go well.
    interval: Duration,
    applied: Vec<Applied>,
    /// What brings back the manifests that were there before.
    recorded: Option<Back>,
}

impl<'a> Rollout<'a> {
    /// Nothing is changed yet.
    pub(crate) fn new(ready: &'a Ready<'_>, login: Option<Login>) -> Self {
        Self {
            target: &ready.target,
            desired: &ready.desired,
            login,
            deadline: ready.candidate.deadline,
            previews: &ready.previews,
            interval: ready.candidate.project.environment.canary.interval,
            applied: Vec::new(),
            recorded: None,
        }
    }

    /// Carries out the changes in order, or all at once where the target does that, and stops at the first that fails.
    /// Where requests shift in steps, `gate` says after each whether it went well, told the share in percent.
    pub(crate) async fn forward(
        &mut self,
        changes: &[Change],
        gate: impl AsyncFnMut(u8) -> Outcome,
        runner: &Runner,
    ) -> Ended {
        if let Target::Swarm { swarm, files: Some(files), .. } = self.target {
            return Box::pin(self.all_at_once((swarm, files), changes, runner)).await;
        }
        if let Target::Cluster(cluster) = self.target
            && cluster.manifests_digest().is_some()
        {
            return Box::pin(self.all_of_them(cluster, changes, gate, runner)).await;
        }
        for change in changes {
            runner.say(&change.to_string());
            let applied = match self.target.apply(self.desired, change, self.login.as_ref()).await {
                Ok(Some(applied)) => applied,
                Ok(None) => continue,
                Err(error) => return broken(&error),
            };
            let questions = self.previews.get(applied.service());
            let asking = questions.map(|questions| Asking { questions, runner });
            let next = applied.rollout(self.deadline, watching(runner, &applied), asking).await;
            let ended = self::ended(&applied, next, runner).await;
            self.applied.push(applied);
            if let Ended::Failed { .. } = ended {
                return ended;
            }
        }
        Ended::Done
    }

    /// Changes all services at once, and watches them until all have arrived or one fails.
    async fn all_at_once(
        &mut self,
        (swarm, files): (&Swarm, &Stack),
        changes: &[Change],
        runner: &Runner,
    ) -> Ended {
        for change in changes {
            runner.say(&change.to_string());
        }
        let (applied, told) = files.apply(self.desired, changes, self.login.as_ref()).await;
        self.applied = applied.into_iter().map(|applied| Applied::Swarm(swarm.clone(), applied)).collect();
        if let Err(error) = told {
            return broken(&error.into());
        }
        self.all_arrive(runner).await
    }

    /// Applies the manifests, and watches everything in them until all has arrived or one fails.
    async fn all_of_them(
        &mut self,
        cluster: &Cluster,
        changes: &[Change],
        gate: impl AsyncFnMut(u8) -> Outcome,
        runner: &Runner,
    ) -> Ended {
        for change in changes {
            runner.say(&change.to_string());
        }
        let (applied, back, told) = cluster.apply_all(self.desired, changes).await;
        self.applied = applied.into_iter().map(|one| Applied::Cluster(cluster.clone(), one)).collect();
        self.recorded = back;
        if let Err(error) = told {
            return broken(&error.into());
        }
        let ended = self.all_arrive(runner).await;
        if let Ended::Failed { .. } = ended {
            return ended;
        }
        if let Some(ended) = self.asked_in_its_slot(cluster, runner).await {
            return ended;
        }
        let ended = match cluster.steps().await {
            Ok(None) => Ended::Done,
            Ok(Some((course, steps))) => self.in_steps(cluster, (&course, &steps), gate, runner).await,
            Err(error) => broken(&error.into()),
        };
        if let Ended::Failed { .. } = ended {
            return ended;
        }
        cluster.shift_all().await.map_or_else(|error| broken(&error.into()), |()| Ended::Done)
    }

    /// Asks the new pods of each service that has slots. Gives how the rollout ends, if they do not answer as they should.
    async fn asked_in_its_slot(&self, cluster: &Cluster, runner: &Runner) -> Option<Ended> {
        for (service, questions) in self.previews {
            let pods = match cluster.in_the_new_slot(service).await {
                Ok(pods) => pods,
                Err(error) => return Some(broken(&error.into())),
            };
            let serving = match cluster.in_the_serving_slot(service).await {
                Ok(serving) => serving.map(|pod| Instance::Pod(Box::new(pod))),
                Err(error) => return Some(broken(&error.into())),
            };
            let pods: Vec<_> = pods.into_iter().map(|pod| Instance::Pod(Box::new(pod))).collect();
            let said = questions.ask(&pods, serving.as_ref(), self.deadline, runner).await;
            if said.verdict != Verdict::Pass {
                if let Some(applied) = self.applied.iter().find(|one| one.service() == service) {
                    show_logs(applied, runner).await;
                }
                let cause = format!("`{service}` is not sent any request: {}", said.cause);
                return Some(Ended::Failed { cause, is_unknown: said.verdict != Verdict::Fail });
            }
        }
        None
    }

    /// Lets requests come to what has arrived, a step after the other, and stops at the first that does not go well. In the end all
    /// pods are there, and the last share serves.
    async fn in_steps(
        &mut self,
        cluster: &Cluster,
        (course, steps): (&Course, &[Step]),
        mut gate: impl AsyncFnMut(u8) -> Outcome,
        runner: &Runner,
    ) -> Ended {
        let (mut course, mut next) = (course.clone(), steps.first().cloned());
        while let Some(step) = next {
            let ended = self.resized(cluster, &step.pods, runner).await;
            if let Ended::Failed { .. } = ended {
                return ended;
            }
            if let Err(error) = cluster.spread(step.percent).await {
                return broken(&error.into());
            }
            runner.say(&format!("step of {} %: {}", step.percent, course.said(&step)));
            let ended = self.all_stay(cluster, runner).await;
            if let Ended::Failed { .. } = ended {
                return ended;
            }
            let Outcome { verdict, cause } = gate(step.percent).await;
            let is_unknown = match verdict {
                Verdict::Pass | Verdict::Skipped => None,
                Verdict::Fail => Some(false),
                Verdict::Inconclusive | Verdict::Unreachable => Some(true),
            };
            if let Some(is_unknown) = is_unknown {
                let cause = format!("at the step of {} %: {cause}", step.percent);
                return Ended::Failed { cause, is_unknown };
            }
            // An autoscaler may have changed the old pods meanwhile.
            match cluster.steps().await {
                Ok(now) => course = now.map_or(course.clone(), |(now, _)| course.seen_again(&now)),
                Err(error) => return broken(&error.into()),
            }
            next = course.after(step.percent, &step.pods);
        }
        self.resized(cluster, &course.full(), runner).await
    }

    /// Gives deployments so many pods, and waits until they are there.
    async fn resized(&mut self, cluster: &Cluster, pods: &BTreeMap<Id, u64>, runner: &Runner) -> Ended {
        let generations = match cluster.resize(pods).await {
            Ok(generations) => generations,
            Err(error) => return broken(&error.into()),
        };
        for one in &mut self.applied {
            if let Applied::Cluster(_, one) = one {
                one.resized(&generations);
            }
        }
        self.all_arrive(runner).await
    }

    /// Sees whether all that has arrived stays for as long as a step should go well.
    async fn all_stay(&self, cluster: &Cluster, runner: &Runner) -> Ended {
        let (all, show) = self.in_the_cluster(runner);
        self.all_end(cluster.stay(&all, self.interval, show).await, runner).await
    }

    /// Watches what was changed until all of it has arrived or one fails.
    async fn all_arrive(&self, runner: &Runner) -> Ended {
        if let Target::Cluster(cluster) = self.target {
            let (all, show) = self.in_the_cluster(runner);
            return self.all_end(cluster.rollouts(&all, self.deadline, show).await, runner).await;
        }
        let deadline = self.deadline;
        let arrive = |applied| async move {
            (applied, Applied::rollout(applied, deadline, watching(runner, applied), None).await)
        };
        let mut arriving: FuturesUnordered<_> = self.applied.iter().map(arrive).collect();
        while let Some((applied, next)) = arriving.next().await {
            let ended = ended(applied, next, runner).await;
            if let Ended::Failed { .. } = ended {
                return ended;
            }
        }
        Ended::Done
    }

    /// What was changed in a cluster, and what shows how far each of it is.
    fn in_the_cluster<'b>(
        &'b self,
        runner: &Runner,
    ) -> (Vec<&'b Workload>, impl FnMut(usize, &Seen) + use<'a>) {
        let one = |applied: &'b Applied| match applied {
            Applied::Cluster(_, one) => Some((one, watching(runner, applied))),
            Applied::Swarm(..) | Applied::Compose(..) => None,
        };
        let (all, mut shown): (Vec<_>, Vec<_>) = self.applied.iter().filter_map(one).unzip();
        let show = move |place: usize, seen: &Seen| {
            if let Some(show) = shown.get_mut(place) {
                show(seen.updated, seen.wanted);
            }
        };
        (all, show)
    }

    /// How it ended in a cluster that all were waited for.
    async fn all_end(&self, told: Result<Option<(usize, Next)>, ClusterError>, runner: &Runner) -> Ended {
        match told {
            Ok(None) => Ended::Done,
            Ok(Some((place, next))) => match self.applied.get(place) {
                Some(applied) => ended(applied, Ok(next), runner).await,
                None => Ended::Done,
            },
            Err(error) => broken(&error.into()),
        }
    }

    /// Takes back everything that was changed, newest first. Gives the services that did not come back, each with why.
    pub(crate) async fn back(&mut self, runner: &Runner) -> Vec<String> {
        let (mut stuck, mut arriving, mut rest) = (Vec::new(), Vec::new(), None);
        if let (Some(back), Target::Cluster(cluster)) = (self.recorded.take(), self.target) {
            self.applied.clear();
            let (all, put) = cluster.go_back(&back).await;
            arriving.extend(
                all.into_iter()
                    .map(|one| (one.service().to_owned(), Ok(Some(Applied::Cluster(cluster.clone(), one))))),
            );
            match put {
                Ok(left) => rest = Some((cluster, left)),
                Err(error) => stuck.push(error.to_string()),
            }
        }
        // All are taken back before one is waited for: a mixture of releases should not last.
        while let Some(applied) = self.applied.pop() {
            let back = applied.undo(self.login.as_ref()).await;
            arriving.push((applied.service().to_owned(), back));
        }
        for (name, back) in arriving {
            let arrived = match back {
                Ok(Some(back)) => arrive(&back, runner).await,
                Ok(None) => Ok(Next::Done),
                Err(error) => Err(error),
            };
            match arrived {
                Ok(Next::Done | Next::Wait(_) | Next::RolledBack { .. }) => {
                    runner.say(&format!("`{name}` is taken back"));
                }
                Ok(Next::RollBack { cause } | Next::Stuck { cause } | Next::Overtaken { cause }) => {
                    stuck.push(cause);
                }
                Err(error) => stuck.push(format!("`{name}`: {error}")),
            }
        }
        if let Some((cluster, rest)) = rest.filter(|_| stuck.is_empty()) {
            stuck.extend(cluster.finish(&rest).await.err().map(|error| error.to_string()));
        }
        stuck
    }

    /// Looks once more at what has arrived: it may have crashed since, while the others came or were asked.
    pub(crate) async fn still(&self, runner: &Runner) -> Ended {
        for applied in &self.applied {
            match applied.why_not_still(self.deadline).await {
                Ok(None) => {}
                Ok(Some(cause)) => {
                    show_logs(applied, runner).await;
                    return Ended::Failed { cause, is_unknown: false };
                }
                Err(error) => return broken(&error),
            }
        }
        Ended::Done
    }
}

/// How the rollout of one service ended.
async fn ended(applied: &Applied, next: Result<Next, TargetError>, runner: &Runner) -> Ended {
    match next {
        Ok(Next::Done | Next::Wait(_)) => Ended::Done,
        Ok(Next::RollBack { cause } | Next::RolledBack { cause } | Next::Stuck { cause }) => {
            show_logs(applied, runner).await;
            Ended::Failed { cause, is_unknown: false }
        }
        Ok(Next::Overtaken { cause }) => Ended::Failed { cause, is_unknown: true },
        Err(error) => broken(&error),
    }
}

/// The last lines of what failed, for people.
async fn show_logs(applied: &Applied, runner: &Runner) {
    // A log that cannot be had is no reason to keep the failure itself from being told.
    for log in applied.logs().await.unwrap_or_default() {
        runner.say(&format!("last lines of `{}`, {}:", applied.service(), log.source));
        runner.quote(&log.lines.join("\n"), 50);
    }
}

/// Waits for a service that was put back.
pub(crate) async fn arrive(applied: &Applied, runner: &Runner) -> Result<Next, TargetError> {
    // What served before is not verified again.
    applied.rollout(BACK, watching(runner, applied), None).await
}

/// Shows on a terminal how far a service is.
fn watching(runner: &Runner, applied: &Applied) -> impl FnMut(u64, u64) + use<> {
    let bar = runner.progress(&format!("rollout of {}", applied.service()), None);
    let name = applied.service().to_owned();
    move |ready, wanted| bar.now_doing(&format!("{name}: {ready} of {wanted} ready"))
}

/// What the target refuses is a failure of the release; somebody else's change, or no answer, is not.
fn broken(error: &TargetError) -> Ended {
    Ended::Failed { cause: error.to_string(), is_unknown: error.is_unknown() }
}
