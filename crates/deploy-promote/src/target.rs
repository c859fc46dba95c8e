//! `Target`: what an environment runs on. Every kind does the same things in its own way; what should happen is decided
//! in core, and how a deploy goes is the same for all.

use std::time::Duration;

use jiff::Timestamp;
use shipkit_core::Hint;
use shipkit_core::exit::ExitCode;
use shipkit_core::history::Entry;
use shipkit_core::journal::Migration;
use shipkit_core::rollout::Next;
use shipkit_core::rollout::slots::{Observation, Slot, Step};
use shipkit_core::target::{Adoption, Change, Desired, Found, Observed, Return, Written};
use shipkit_core::verdict::Outcome;
use shipkit_docker::{
    Compose, ComposeError, History, Host, Login, Memory, Preview, SlotPreview, Stack, StackError, Swarm,
    SwarmError,
};
use shipkit_kubernetes::{Cluster, ClusterError, Rest};

use crate::ledger::Ledger;
use crate::preview::{Asking, Instance};
use crate::problems::Problems;

/// What an environment runs on.
pub(crate) enum Target {
    /// One stack of a Swarm.
    Swarm {
        /// The Swarm.
        swarm: Swarm,
        /// Its files, where it has its services from some and they are needed.
        files: Option<Box<Stack>>,
        /// The stack.
        stack: String,
    },
    /// One Compose project on a host.
    Compose {
        /// The project.
        compose: Compose,
        /// Its host.
        host: Host,
        /// Its name.
        stack: String,
    },
    /// One namespace of a Kubernetes cluster.
    Cluster(Cluster),
}

/// The part of a target that an environment has for itself.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// `stack`, `project` or `namespace`.
    pub(crate) kind: &'static str,
    /// Its name.
    pub(crate) name: &'a str,
    separator: char,
}

/// A service that was just changed, and where: what is needed to watch it and to undo it.
pub(crate) enum Applied {
    /// A service of a Swarm.
    Swarm(Swarm, shipkit_docker::Applied),
    /// A service of a Compose project.
    Compose(Compose, Box<shipkit_docker::ComposeApplied>),
    /// A deployment of a cluster.
    Cluster(Cluster, shipkit_kubernetes::Applied),
}

/// The last lines of something that failed.
pub(crate) struct Log {
    /// What wrote them.
    pub(crate) source: String,
    /// The lines, oldest first. Foreign text.
    pub(crate) lines: Vec<String>,
}

/// Why a target cannot be asked or does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    /// A Swarm.
    #[error(transparent)]
    Swarm(#[from] SwarmError),
    /// Stack files on a Swarm.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// A Compose project.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// A cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl TargetError {
    /// Whether it is somebody else's change or a target that cannot be asked: not a failure of the release.
    pub(crate) fn is_unknown(&self) -> bool {
        let is_overtaken = match self {
            Self::Swarm(error) | Self::Stack(StackError::Swarm(error)) => {
                matches!(error, SwarmError::Overtaken { .. })
            }
            Self::Stack(_) | Self::Compose(_) => false,
            Self::Cluster(error) => matches!(error, ClusterError::Overtaken(_)),
        };
        is_overtaken || self.exit_code() == ExitCode::Unknown
    }
}

impl Hint for TargetError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Swarm(error) => error.hint(),
            Self::Stack(error) => error.hint(),
            Self::Compose(error) => error.hint(),
            Self::Cluster(error) => error.hint(),
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Swarm(error) => error.exit_code(),
            Self::Stack(error) => error.exit_code(),
            Self::Compose(error) => error.exit_code(),
            Self::Cluster(error) => error.exit_code(),
        }
    }
}

impl Place<'_> {
    /// The name of a service as the target's own tools show it.
    pub(crate) fn full_name(&self, service: &str) -> String {
        format!("{}{}{service}", self.name, self.separator)
    }
}

impl Target {
    /// The part of the target that is meant.
    pub(crate) fn place(&self) -> Place<'_> {
        match self {
            Self::Swarm { stack, .. } => Place { kind: "stack", name: stack, separator: '_' },
            Self::Compose { stack, .. } => Place { kind: "project", name: stack, separator: '/' },
            Self::Cluster(cluster) => Place { kind: "namespace", name: cluster.namespace(), separator: '/' },
        }
    }

    /// Where its lease and its journal lie.
    pub(crate) fn ledger(&self) -> Ledger {
        match self {
            Self::Swarm { swarm, stack, .. } => Ledger::Swarm { swarm: swarm.clone(), stack: stack.clone() },
            Self::Compose { host, stack, .. } => Ledger::Host { host: host.clone(), stack: stack.clone() },
            Self::Cluster(cluster) => Ledger::Cluster(cluster.clone()),
        }
    }

    /// What becomes of what was begun when nobody waits for it any more.
    pub(crate) fn when_left_alone(&self) -> &'static str {
        match self {
            Self::Swarm { .. } => "the Swarm finishes or undoes by itself what it began",
            Self::Compose { .. } => "what was begun stays as it is",
            Self::Cluster(_) => "the cluster goes on with what it began",
        }
    }

    /// What is there.
    pub(crate) async fn observe(&self) -> Result<Observed, TargetError> {
        Ok(match self {
            Self::Swarm { swarm, files, stack } => {
                let observed = swarm.observe(stack).await?;
                // Where there are files, networks are for them.
                Observed { has_network: observed.has_network || files.is_some(), ..observed }
            }
            Self::Compose { compose, .. } => Box::pin(compose.observe()).await?,
            Self::Cluster(cluster) => cluster.observe().await?,
        })
    }

    /// Finds what is in the way of a deploy, and gives what a person should know.
    pub(crate) async fn preflight(
        &self,
        desired: &Desired,
        observed: &Observed,
        login: Option<&Login>,
        problems: &mut Problems,
    ) -> Vec<String> {
        match self {
            Self::Swarm { swarm, files, .. } => {
                let mut remarks = match files {
                    Some(files) => problems.found(files.preflight(desired, observed).await),
                    None => Vec::new(),
                };
                remarks.extend(problems.found(swarm.preflight(desired, observed, login).await));
                remarks
            }
            Self::Compose { compose, .. } => {
                problems.found(Box::pin(compose.preflight(desired, observed, login)).await)
            }
            Self::Cluster(cluster) => {
                problems.note(cluster.preflight(desired, observed).await).unwrap_or_default()
            }
        }
    }

    /// Carries out one step of a plan; `None` if there is nothing to wait for.
    pub(crate) async fn apply(
        &self,
        desired: &Desired,
        change: &Change,
        login: Option<&Login>,
    ) -> Result<Option<Applied>, TargetError> {
        Ok(match self {
            Self::Swarm { swarm, .. } => {
                let applied = swarm.apply(desired, change, login).await?;
                applied.map(|applied| Applied::Swarm(swarm.clone(), applied))
            }
            Self::Compose { compose, .. } => {
                let applied = Box::pin(compose.apply(desired, change, login)).await?;
                applied.map(|applied| Applied::Compose(compose.clone(), Box::new(applied)))
            }
            Self::Cluster(cluster) => {
                let applied = cluster.apply(desired, change).await?;
                applied.map(|applied| Applied::Cluster(cluster.clone(), applied))
            }
        })
    }

    /// Puts services back, each as [`restore`](Self::restore) does; where they stand in manifests, all of these. Gives what is
    /// to be watched, what is left to do once it has arrived, and why the others cannot be put back.
    pub(crate) async fn put_back(
        &self,
        returns: &[Return],
        entry: Option<&Entry>,
        login: impl Fn(&Return) -> Option<Login>,
    ) -> (Vec<Applied>, Option<Rest>, Vec<String>) {
        let (mut arriving, mut failed) = (Vec::new(), Vec::new());
        if let Self::Cluster(cluster) = self
            && cluster.has_manifests()
        {
            let (all, put) = cluster.put_all_back(entry).await;
            arriving.extend(all.into_iter().map(|one| Applied::Cluster(cluster.clone(), one)));
            let rest = put.map_err(|error| failed.push(error.to_string())).ok();
            return (arriving, rest, failed);
        }
        // One that cannot be put back is no reason to leave the others.
        for service in returns {
            match self.restore(service, entry, login(service).as_ref()).await {
                Ok(applied) => arriving.push(applied),
                Err(error) => failed.push(format!("`{}`: {error}", service.service)),
            }
        }
        (arriving, None, failed)
    }

    /// Does what is left once everything that was put back has arrived.
    pub(crate) async fn finish(&self, rest: &Rest) -> Result<(), TargetError> {
        match self {
            Self::Cluster(cluster) => cluster.finish(rest).await?,
            Self::Swarm { .. } | Self::Compose { .. } => {}
        }
        Ok(())
    }

    /// Puts one service back to what `entry` keeps of it; without one, to the last good state that the target remembers.
    pub(crate) async fn restore(
        &self,
        back: &Return,
        entry: Option<&Entry>,
        login: Option<&Login>,
    ) -> Result<Applied, TargetError> {
        Ok(match self {
            Self::Swarm { swarm, stack, .. } => {
                let applied = match entry {
                    Some(entry) => swarm.come_back(stack, entry, &back.service, login).await?,
                    None => swarm.restore(stack, back, login).await?,
                };
                Applied::Swarm(swarm.clone(), applied)
            }
            Self::Compose { compose, .. } => {
                let applied = match entry {
                    Some(entry) => compose.come_back(entry, &back.service, login).await?,
                    None => compose.restore(back, login).await?,
                };
                Applied::Compose(compose.clone(), Box::new(applied))
            }
            // Where it keeps entries, all of one comes back together.
            Self::Cluster(cluster) => Applied::Cluster(cluster.clone(), cluster.restore(back).await?),
        })
    }

    /// Removes what an earlier run would have removed as its last step. Only a Swarm may have that: slots of services.
    pub(crate) async fn tidy(&self) -> Result<(), TargetError> {
        match self {
            Self::Swarm { swarm, stack, .. } => swarm.tidy(stack).await?,
            Self::Compose { .. } | Self::Cluster(_) => {}
        }
        Ok(())
    }

    /// Writes on the target that this deploy was seen to succeed.
    pub(crate) async fn confirm(&self, desired: &Desired, now: Timestamp) -> Result<(), TargetError> {
        match self {
            Self::Swarm { swarm, .. } => swarm.confirm(desired, now).await?,
            Self::Compose { compose, .. } => compose.confirm(desired).await?,
            Self::Cluster(cluster) => cluster.confirm(desired).await?,
        }
        Ok(())
    }

    /// Keeps on the target what it takes to come back to what was just confirmed.
    pub(crate) async fn remember(
        &self,
        desired: &Desired,
        migration: Migration,
        now: Timestamp,
    ) -> Result<Memory, TargetError> {
        Ok(match self {
            Self::Swarm { swarm, .. } => swarm.remember(desired, migration, now).await?,
            Self::Compose { compose, .. } => {
                compose.record(desired, migration, now).await?;
                Memory::Kept
            }
            Self::Cluster(cluster) => {
                cluster.remember(desired, migration, now).await?;
                Memory::Kept
            }
        })
    }

    /// Removes what the release that was confirmed has no more. Where services are replaced one by one, nothing is removed.
    pub(crate) async fn remove_what_is_left(&self) -> Result<(), TargetError> {
        match self {
            Self::Cluster(cluster) => cluster.remove_what_is_left().await?,
            Self::Swarm { .. } | Self::Compose { .. } => {}
        }
        Ok(())
    }

    /// The releases that were confirmed; `None` where the target keeps none.
    pub(crate) async fn history(&self) -> Result<Option<History>, TargetError> {
        Ok(match self {
            Self::Swarm { swarm, stack, .. } => Some(swarm.history(stack).await?),
            Self::Compose { compose, .. } => Some(compose.history().await?),
            Self::Cluster(cluster) if cluster.has_manifests() => {
                let (entries, unreadable) = cluster.history().await?;
                Some(History { entries, unreadable })
            }
            Self::Cluster(_) => None,
        })
    }

    /// What else than images differs from what is kept of the releases that run, and why not all of it is known. A Compose project
    /// does not keep so much.
    pub(crate) async fn drift(&self, newest_first: &[Entry]) -> (Vec<String>, Result<(), TargetError>) {
        match self {
            Self::Swarm { swarm, stack, .. } => match swarm.drift(stack, newest_first).await {
                Ok(found) => (found, Ok(())),
                Err(error) => (Vec::new(), Err(error.into())),
            },
            Self::Compose { .. } => (Vec::new(), Ok(())),
            Self::Cluster(cluster) => {
                let (found, told) = cluster.drift(newest_first).await;
                (found, told.map_err(TargetError::from))
            }
        }
    }

    /// How requests would come to the release, where that is in steps: lines for people.
    pub(crate) async fn way(&self) -> Result<Vec<String>, TargetError> {
        Ok(match self {
            Self::Cluster(cluster) => cluster.way().await?,
            Self::Swarm { .. } | Self::Compose { .. } => Vec::new(),
        })
    }

    /// Which share of requests goes to which release, where it goes to two of them: sentences.
    pub(crate) async fn shares(&self) -> Result<Vec<String>, TargetError> {
        Ok(match self {
            Self::Cluster(cluster) => cluster.shares().await?,
            Self::Swarm { .. } | Self::Compose { .. } => Vec::new(),
        })
    }

    /// Makes sure that what `entry` keeps of a service can run, before anything goes back. The nodes of a Swarm find that
    /// out themselves.
    pub(crate) async fn bring(
        &self,
        entry: &Entry,
        service: &str,
        login: Option<&Login>,
    ) -> Result<(), TargetError> {
        match self {
            Self::Compose { compose, .. } => compose.bring(entry, service, login).await?,
            Self::Swarm { .. } | Self::Cluster(_) => {}
        }
        Ok(())
    }

    /// Makes a service that stays forget the release before it.
    pub(crate) async fn forget(&self, service: &str) -> Result<(), TargetError> {
        match self {
            Self::Swarm { swarm, stack, .. } => swarm.forget(stack, service).await?,
            Self::Compose { compose, .. } => compose.forget(service).await?,
            Self::Cluster(_) => {}
        }
        Ok(())
    }

    /// What there is of each of these services, whoever started it; `None` where nothing is adopted.
    pub(crate) async fn found(&self, services: &[&str]) -> Result<Option<Vec<Found>>, TargetError> {
        Ok(match self {
            Self::Swarm { swarm, stack, .. } => Some(swarm.found(stack, services).await?),
            Self::Compose { compose, .. } => Some(compose.found(services).await?),
            Self::Cluster(_) => None,
        })
    }

    /// Writes down that these services serve as they are.
    pub(crate) async fn adopt(&self, adoption: &Adoption, now: Timestamp) -> Result<Memory, TargetError> {
        Ok(match self {
            Self::Swarm { swarm, stack, .. } => swarm.adopt(stack, adoption, now).await?,
            Self::Compose { compose, .. } => {
                compose.adopt(adoption, now).await?;
                Memory::Kept
            }
            Self::Cluster(_) => Memory::Kept,
        })
    }

    /// The last lines of all containers, or of those of one service.
    pub(crate) async fn written(
        &self,
        service: Option<&str>,
        tail: u32,
    ) -> Result<Vec<Written>, TargetError> {
        Ok(match self {
            Self::Swarm { swarm, stack, .. } => swarm.written(stack, service, tail).await?,
            Self::Compose { compose, .. } => compose.written(service, tail).await?,
            Self::Cluster(cluster) => cluster.written(service, tail).await?,
        })
    }
}

impl Applied {
    /// The service's name.
    pub(crate) fn service(&self) -> &str {
        match self {
            Self::Swarm(_, applied) => applied.service(),
            Self::Compose(_, applied) => applied.service(),
            Self::Cluster(_, applied) => applied.service(),
        }
    }

    /// Waits until the rollout is decided. `show` is told how many are ready, and how many there should be. New instances are
    /// asked before traffic goes to them, where the target shows them before.
    pub(crate) async fn rollout(
        &self,
        deadline: Duration,
        mut show: impl FnMut(u64, u64),
        asking: Option<Asking<'_>>,
    ) -> Result<Next, TargetError> {
        Ok(match self {
            Self::Swarm(swarm, applied) => {
                let show = |seen: &shipkit_core::rollout::Observation| show(seen.ready, seen.wanted);
                match asking {
                    Some(Asking { questions, runner }) => {
                        let verify =
                            async |slot: SlotPreview, left| questions.ask_slot(&slot, left, runner).await;
                        Box::pin(swarm.rollout_verified(applied, deadline, show, verify)).await?
                    }
                    None => swarm.rollout(applied, deadline, show).await?,
                }
            }
            Self::Compose(compose, applied) => {
                let show = |seen: &Observation, _: &Step| {
                    let is_new = |slot| slot == Slot::Preview;
                    let ready =
                        seen.instances.iter().filter(|one| is_new(one.slot) && one.is_ready()).count();
                    show(count(ready), count(seen.wanted));
                };
                let verify = async |instances: Vec<Preview>, left| match asking {
                    Some(Asking { questions, runner }) => {
                        let serving = instances.first().and_then(Preview::serving).cloned();
                        let serving = serving.map(Instance::Container);
                        let instances: Vec<_> = instances.into_iter().map(Instance::Container).collect();
                        questions.ask(&instances, serving.as_ref(), left, runner).await
                    }
                    None => Outcome::skipped("nothing is asked of its instances"),
                };
                Box::pin(compose.rollout_verified(applied, deadline, show, verify)).await?
            }
            Self::Cluster(cluster, applied) => {
                cluster.rollout(applied, deadline, |seen| show(seen.updated, seen.wanted)).await?
            }
        })
    }

    /// Why what has arrived does not run as it should any more, if that is so. A Swarm and a Docker host start
    /// again what crashes, and say so nowhere else; a cluster is not looked at. What a node lost may come back until the deadline.
    pub(crate) async fn why_not_still(&self, deadline: Duration) -> Result<Option<String>, TargetError> {
        Ok(match self {
            Self::Swarm(swarm, applied) => swarm.why_not_still(applied, deadline).await?,
            Self::Compose(compose, applied) => Box::pin(compose.why_not_still(applied)).await?,
            Self::Cluster(..) => None,
        })
    }

    /// Puts back what was there before the change; `None` if nothing is left to do.
    pub(crate) async fn undo(&self, login: Option<&Login>) -> Result<Option<Self>, TargetError> {
        Ok(match self {
            Self::Swarm(swarm, applied) => {
                swarm.undo(applied, login).await?.map(|back| Self::Swarm(swarm.clone(), back))
            }
            Self::Compose(compose, applied) => {
                compose.undo(applied, login).await?.map(|back| Self::Compose(compose.clone(), Box::new(back)))
            }
            Self::Cluster(cluster, applied) => {
                cluster.undo(applied).await?.map(|back| Self::Cluster(cluster.clone(), back))
            }
        })
    }

    /// The last lines of what failed.
    pub(crate) async fn logs(&self) -> Result<Vec<Log>, TargetError> {
        Ok(match self {
            Self::Swarm(swarm, applied) => {
                let logs = swarm.logs(applied).await?.into_iter();
                logs.map(|log| Log { source: format!("task {}", log.task), lines: log.lines }).collect()
            }
            Self::Compose(compose, applied) => {
                let logs = compose.logs(applied).await?.into_iter();
                logs.map(|log| Log { source: format!("container {}", log.task), lines: log.lines }).collect()
            }
            Self::Cluster(cluster, applied) => {
                let logs = cluster.logs(applied).await?.into_iter();
                logs.map(|log| Log { source: format!("container {}", log.container), lines: log.lines })
                    .collect()
            }
        })
    }
}

fn count(instances: usize) -> u64 {
    u64::try_from(instances).unwrap_or(u64::MAX)
}
