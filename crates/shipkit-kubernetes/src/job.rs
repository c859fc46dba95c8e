//! What runs before a release is rolled out as a job of the cluster, which remembers what ran: a run that comes later finds the
//! job and waits for it, or takes its end for what it was. Nothing is ever run a second time for one release.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{Stream, select};
use futures_util::{AsyncBufReadExt as _, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use shipkit_core::journal::Hook;
use shipkit_core::rollout::workload::problems;
use shipkit_core::target::{Desired, Job, JobEnd};
use tokio::time::{Instant, timeout, timeout_at};

use crate::annotations::{Deployed, Ours};
use crate::cluster::{Cluster, no_container};
use crate::error::{CONFLICT, ClusterError};
use crate::lease::PROJECT;
use crate::migration::{self, End, LABEL, Object};
use crate::observe::Owned;
use crate::rollout::SILENCE;

/// How long a pod may be kept from running before that counts: an image may come, and a node.
const GRACE: Duration = Duration::from_secs(30);
/// How long the cluster may take to say that a job has ended whose time is over.
const SLACK: Duration = Duration::from_secs(30);
/// How long the last lines of a job that has ended are waited for.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Why a job failed whose time was over.
const TOO_LATE: &str = "DeadlineExceeded";

/// How waiting for a job ended.
enum Seen {
    /// With its end, and what kept it from running if anything did.
    End(End, Option<String>),
    /// It cannot run: why, in one sentence.
    Stuck(String),
    /// Its time is over.
    Late,
    /// It is not there any more.
    Gone,
}

/// Something about a job, or about one of its pods.
enum Sight {
    /// The watch of the job begins anew, and has not heard anything yet.
    JobBegins,
    /// The job is there, with its end if it has ended.
    Job(Option<End>),
    /// If it is there, it was shown.
    JobListed,
    /// It was removed.
    JobRemoved,
    /// The watch of its pods begins anew.
    PodsBegin,
    /// A pod, and what keeps it from running.
    Pod(Option<String>),
    /// Nothing that matters.
    Other,
}

impl Cluster {
    /// Makes the job that backs up or migrates for a release, without beginning it, unless it is there or was begun before.
    /// Those of other releases of the project are removed.
    ///
    /// # Errors
    /// When the cluster refuses or cannot be asked, or the job of another release still runs.
    pub async fn make_job(&self, hook: Hook, desired: &Desired, job: Job<'_>) -> Result<(), ClusterError> {
        let name = migration::name(hook, &desired.stamp.release);
        if self.make_room(hook, &name).await? || job.is_begun {
            Ok(())
        } else {
            self.make((hook, name), desired, job).await
        }
    }

    /// Begins the job that was made, or waits for the one that a killed run began. `line` is told what it writes, as
    /// it comes; foreign text. After its limit the cluster ends it. Dropping the future leaves it running, for the next
    /// deploy of this release to wait for.
    ///
    /// # Errors
    /// When the cluster refuses or cannot be asked.
    pub async fn run_job(
        &self,
        hook: Hook,
        desired: &Desired,
        job: Job<'_>,
        mut line: impl FnMut(&str),
    ) -> Result<JobEnd, ClusterError> {
        let name = migration::name(hook, &desired.stamp.release);
        let jobs = self.jobs();
        let Some(there) = self.ask("get jobs", jobs.get_opt(&name)).await? else { return Ok(JobEnd::Gone) };
        let is_new = migration::is_fresh(&there);
        if is_new {
            let begin = Patch::Merge(json!({"spec": {"suspend": false}}));
            self.ask("patch jobs", jobs.patch(&name, &PatchParams::default(), &begin)).await?;
        }
        let container = match &self.manifests {
            Some(rendered) => self.deployment_in(rendered, &job.service.name)?.0.container,
            None => self.workload(&job.service.name)?.container.clone(),
        };
        let told = self.tell(&name, &container, &mut line);
        let seen = self.ended(&name, job.limit);
        tokio::pin!(told, seen);
        let seen = tokio::select! {
            seen = &mut seen => {
                let seen = seen?;
                // What ended well before was told by the run that saw it.
                if is_new || !matches!(seen, Seen::End(End::Complete, _)) {
                    timeout(LAST_LINES, told).await.ok();
                }
                seen
            }
            () = &mut told => seen.await?,
        };
        self.judged(&name, seen, is_new, job.limit).await
    }

    /// How it is told that a job was seen to end so.
    async fn judged(
        &self,
        name: &str,
        seen: Seen,
        is_new: bool,
        limit: Duration,
    ) -> Result<JobEnd, ClusterError> {
        let seconds = limit.as_secs();
        let (cause, is_over) = match seen {
            Seen::End(End::Complete, _) if is_new => return Ok(JobEnd::Done),
            Seen::End(End::Complete, _) => return Ok(JobEnd::DoneBefore),
            Seen::Gone => return Ok(JobEnd::Gone),
            Seen::End(End::Failed { reason, .. }, kept) if reason == TOO_LATE => {
                let kept = kept.map(|why| format!(": {why}")).unwrap_or_default();
                (format!("it did not end within {seconds} s, so the cluster has ended it{kept}"), true)
            }
            Seen::End(End::Failed { reason, message }, _) => {
                (self.why_failed(name, &reason, &message).await?, true)
            }
            Seen::Stuck(why) => (why, false),
            Seen::Late => (format!("it did not end within {seconds} s"), false),
        };
        let then = match (is_over, is_new) {
            (true, true) => String::new(),
            (true, false) => {
                format!("; it is not run twice for one release: `kubectl delete job {name}` allows it again")
            }
            (false, _) => format!("; it stays as job `{name}`: the next deploy of this release waits for it"),
        };
        Ok(JobEnd::Failed { cause: format!("{cause}{then}") })
    }

    /// Whether a job of the project has begun and not ended.
    pub(crate) async fn has_jobs_that_run(&self) -> Result<bool, ClusterError> {
        let may_run =
            |job: &Object| migration::end(job.status.as_ref()).is_none() && !migration::is_fresh(job);
        Ok(self.jobs_of_project(LABEL).await?.iter().any(may_run))
    }

    /// Whether the job of this name is there. Those of other releases of the project are removed.
    async fn make_room(&self, hook: Hook, name: &str) -> Result<bool, ClusterError> {
        let (jobs, mut is_there) = (self.jobs(), false);
        for job in &self.jobs_of_project(&format!("{LABEL}={hook}")).await? {
            let other = job.name_any();
            if other == name {
                is_there = true;
            } else if migration::end(job.status.as_ref()).is_none() && !migration::is_fresh(job) {
                return Err(ClusterError::StillRuns(other));
            } else {
                let this = Preconditions { uid: job.uid(), resource_version: None };
                let how = DeleteParams::background().preconditions(this);
                match self.ask("delete jobs", jobs.delete(&other, &how)).await {
                    Err(error) if error.is_gone() => {}
                    deleted => drop(deleted?),
                }
            }
        }
        Ok(is_there)
    }

    /// The jobs of the project with these labels.
    async fn jobs_of_project(&self, labels: &str) -> Result<Vec<Object>, ClusterError> {
        let jobs = self.jobs();
        let listed = self.ask("list jobs", jobs.list(&ListParams::default().labels(labels))).await?;
        let is_of_project = |job: &Object| job.annotations().get(PROJECT) == Some(&self.place.project);
        Ok(listed.items.into_iter().filter(is_of_project).collect())
    }

    async fn make(
        &self,
        (hook, name): (Hook, String),
        desired: &Desired,
        job: Job<'_>,
    ) -> Result<(), ClusterError> {
        let (workload, deployment) = if let Some(rendered) = &self.manifests {
            self.make_what_pods_need().await?;
            self.deployment_in(rendered, &job.service.name)?
        } else {
            let workload = self.workload(&job.service.name)?;
            (workload.clone(), self.deployment(&workload.name).await?)
        };
        let new = Deployed {
            stamp: &desired.stamp,
            revision: &job.service.revision,
            platforms: String::new(),
            images: BTreeMap::new(),
        };
        let mut annotations = Ours::deploy(new, None).annotations;
        annotations.insert(PROJECT.to_owned(), self.place.project.clone());
        let object = migration::object((hook, name), (&deployment, &workload), job, annotations);
        let object = object.ok_or_else(|| no_container(&workload, &deployment))?;
        let made = self.ask("create jobs", self.jobs().create(&PostParams::default(), &object)).await;
        match made {
            // The answer was lost, and the client has asked again by itself.
            Err(error) if error.status() == Some(CONFLICT) => Ok(()),
            made => made.map(drop),
        }
    }

    /// Waits until a job has ended or there is no hope that it will.
    async fn ended(&self, name: &str, limit: Duration) -> Result<Seen, ClusterError> {
        let itself = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let jobs = watcher(self.jobs(), itself).default_backoff();
        let jobs = jobs.map(|event| event.map(Sight::of_job)).boxed();
        let pods = self.watch_pods(name).map(|event| event.map(Sight::of_pod)).boxed();
        let mut sights = select(jobs, pods);
        let over = Instant::now() + limit.saturating_add(SLACK);
        let (mut stuck, mut broken) = (None::<(String, Instant)>, None::<(ClusterError, Instant)>);
        let mut is_there = false;
        loop {
            let ends = [stuck.as_ref().map(|(_, end)| *end), broken.as_ref().map(|(_, end)| *end)];
            let until = ends.into_iter().flatten().fold(over, Instant::min);
            let Ok(Some(sight)) = timeout_at(until, sights.next()).await else {
                return match (broken, stuck) {
                    (Some((error, _)), _) => Err(error),
                    (None, Some((why, _))) => Ok(Seen::Stuck(why)),
                    (None, None) => Ok(Seen::Late),
                };
            };
            let is_cut = matches!(sight, Err(_) | Ok(Sight::JobBegins | Sight::PodsBegin));
            match sight {
                Ok(Sight::Job(Some(end))) => return Ok(Seen::End(end, stuck.map(|(why, _)| why))),
                Ok(Sight::Job(None)) => is_there = true,
                Ok(Sight::JobListed) if !is_there => return Ok(Seen::Gone),
                Ok(Sight::JobRemoved) => return Ok(Seen::Gone),
                Ok(Sight::JobBegins) => is_there = false,
                Ok(Sight::Pod(hindrance)) => {
                    let end = stuck.map_or_else(|| Instant::now() + GRACE, |(_, end)| end);
                    stuck = hindrance.map(|why| (why, end));
                }
                Ok(Sight::JobListed | Sight::PodsBegin | Sight::Other) => {}
                Err(error) => {
                    let error = self.broken(&error)?;
                    broken.get_or_insert((error, Instant::now() + SILENCE));
                }
            }
            broken = broken.filter(|_| is_cut);
        }
    }

    /// Tells the lines that the container of a job writes, up to its end. A log that cannot be read is left out.
    async fn tell(&self, name: &str, container: &str, line: &mut impl FnMut(&str)) {
        let mut pods = self.watch_pods(name).boxed();
        let mut last = None;
        while let Some(event) = pods.next().await {
            let Ok(Event::Apply(pod) | Event::InitApply(pod)) = event else { continue };
            let Some(has_ended) = has_ended(&pod, container) else { continue };
            last = self.tell_lines(&pod.name_any(), container, last, line).await;
            if has_ended {
                return;
            }
        }
    }

    /// Tells the lines that come after a time, and gives the time of the last one.
    async fn tell_lines(
        &self,
        pod: &str,
        container: &str,
        after: Option<Timestamp>,
        line: &mut impl FnMut(&str),
    ) -> Option<Timestamp> {
        let how = LogParams {
            container: Some(container.to_owned()),
            follow: true,
            timestamps: true,
            // In whole seconds: some lines come again.
            since_time: after,
            ..LogParams::default()
        };
        let pods = self.pods();
        let Ok(stream) = self.ask("get pods/log", pods.log_stream(pod, &how)).await else { return after };
        let (mut lines, mut last) = (stream.lines(), after);
        while let Some(Ok(text)) = lines.next().await {
            if let Some((time, new)) = new_line(&text, after) {
                line(new);
                last = Some(time);
            }
        }
        last
    }

    /// Why a job failed: what its container says, else what the cluster does.
    async fn why_failed(&self, name: &str, reason: &str, message: &str) -> Result<String, ClusterError> {
        let (pods, its) = (self.pods(), ListParams::default().labels(&of(name)));
        let pods = self.ask("list pods", pods.list(&its)).await?;
        let said = pods.iter().find_map(problem);
        Ok(said.unwrap_or_else(|| format!("job `{name}` failed, {reason}: {message}")))
    }

    fn watch_pods(
        &self,
        name: &str,
    ) -> impl Stream<Item = Result<Event<Pod>, watcher::Error>> + Send + 'static {
        watcher(self.pods(), watcher::Config::default().labels(&of(name))).default_backoff()
    }

    fn jobs(&self) -> Api<Object> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// A line and its time, if it comes after this one.
fn new_line(line: &str, after: Option<Timestamp>) -> Option<(Timestamp, &str)> {
    let (time, text) = line.split_once(' ').unwrap_or((line, ""));
    let time = time.parse().ok()?;
    after.is_none_or(|after| after < time).then_some((time, text))
}

impl Sight {
    fn of_job(event: Event<Object>) -> Self {
        match event {
            Event::Init => Self::JobBegins,
            Event::Apply(job) | Event::InitApply(job) => Self::Job(migration::end(job.status.as_ref())),
            Event::InitDone => Self::JobListed,
            Event::Delete(_) => Self::JobRemoved,
        }
    }

    fn of_pod(event: Event<Pod>) -> Self {
        match event {
            Event::Init => Self::PodsBegin,
            Event::Apply(pod) | Event::InitApply(pod) => Self::Pod(hindrance(&pod)),
            Event::InitDone | Event::Delete(_) => Self::Other,
        }
    }
}

/// The selector of a job's pods.
fn of(name: &str) -> String {
    format!("job-name={name}")
}

/// What is wrong with a pod.
fn problem(pod: &Pod) -> Option<String> {
    problems(&[Owned::from(pod).pod]).into_iter().next()
}

/// What keeps a pod from running.
fn hindrance(pod: &Pod) -> Option<String> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase == Some("Pending") { problem(pod) } else { None }
}

/// Whether a container of a pod has ended; `None` if it has not begun.
fn has_ended(pod: &Pod, container: &str) -> Option<bool> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let state = statuses.iter().find(|one| one.name == container)?.state.as_ref()?;
    match (&state.running, &state.terminated) {
        (_, Some(_)) => Some(true),
        (Some(_), None) => Some(false),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_that_is_read_again_only_what_is_new_is_told() {
        let text = |line, after: Option<&str>| {
            let after = after.map(|time| time.parse().unwrap());
            new_line(line, after).map(|(_, text)| text)
        };
        // Nodes leave zeros at the end of a time out.
        let last = Some("2026-01-02T03:04:05.1Z");
        assert_eq!(text("2026-01-02T03:04:05.1Z a b", None), Some("a b"));
        assert_eq!(text("2026-01-02T03:04:05.1Z a b", last), None);
        assert_eq!(text("2026-01-02T03:04:05.09Z before", last), None);
        assert_eq!(text("2026-01-02T03:04:05.10000001Z", last), Some(""));
        assert_eq!(text("no time", None), None);
    }
}
