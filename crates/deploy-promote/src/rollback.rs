//! `deploy-promote rollback`: needs nothing but the target.

use shipkit_core::Digest;
use shipkit_core::history::{self, Entry, why_not_to};
use shipkit_core::journal::{Intent, Journal, JournalError, Resume, resume};
use shipkit_core::rollout::Next;
use shipkit_core::target::{Observed, Return, Stamp, WayBack, way_back};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_docker::{HostError, Login, SwarmError};
use shipkit_kubernetes::ClusterError;
use shipkit_runner::{Failure, Runner};

use crate::args::RollbackArgs;
use crate::candidate::reason;
use crate::deploy::{UNTOUCHED, refuse_pull_requests, run_url, warn};
use crate::github::{Record, Shipment};
use crate::glass::BrokenGlass;
use crate::history::kept;
use crate::hold::Hold;
use crate::ledger::LedgerError;
use crate::project::Project;
use crate::target::{Applied, Target};
use crate::{report, rollout};

/// What is asked for.
pub(crate) struct Wanted<'a> {
    /// The release to go to; `None` for the one before.
    pub(crate) to: Option<&'a str>,
    /// Why it should go back although a migration holds it.
    pub(crate) reason: Option<&'a str>,
}

/// A way back that was found.
struct Way {
    back: WayBack,
    /// Where it leads; `None` for what each service remembers itself.
    entry: Option<Entry>,
    /// Why nobody must go it without saying so.
    held: Option<String>,
}

/// Puts every service of the last release back to the one before, or to one that was confirmed earlier, all together.
pub(crate) async fn run(
    project: &Project<'_>,
    args: &RollbackArgs,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    refuse_pull_requests(runner)?;
    let wanted = Wanted { to: args.to.as_deref(), reason: reason(args.break_glass.as_deref())? };
    let target = project.target(runner).await?;
    // What cannot go back needs no lease to say so.
    let seen = journal(&target).await?.unwrap_or_default();
    let way = match find(project, &target, &wanted, seen.as_ref(), runner).await? {
        Ok(way) => Some(way),
        Err(_) if unended(&wanted, seen.as_ref()).is_some() => None,
        Err(none) => return Ok(none),
    };
    if project.args.dry_run {
        let Some(way) = way else { return Ok(Outcome::pass("dry run: nothing was changed")) };
        runner.data(&report::way_back(&way.back));
        let held = why_held(&way, seen.as_ref()).map(|why| format!("; it would be held: {why}"));
        return Ok(Outcome::pass(format!("dry run: nothing was changed{}", held.unwrap_or_default())));
    }
    let hold = match Hold::take(&target, project.environment.timeout, runner).await? {
        Ok(hold) => hold,
        Err(outcome) => return Ok(outcome),
    };
    let ended = go_back(project, (&target, &hold), &wanted, runner).await;
    hold.end(runner).await;
    ended
}

/// The journal of the last run. Inside, why it is none: that must not keep anybody from going back.
async fn journal(target: &Target) -> Result<Result<Option<Journal>, JournalError>, Failure> {
    match target.ledger().journal().await {
        Ok(journal) => Ok(Ok(journal)),
        Err(
            LedgerError::Journal(error)
            | LedgerError::Swarm(SwarmError::Journal(error))
            | LedgerError::Host(HostError::Journal(error))
            | LedgerError::Cluster(ClusterError::Journal(error)),
        ) => Ok(Err(error)),
        Err(error) => Err(error.into()),
    }
}

/// The way back; `Err` says that there is none.
async fn find(
    project: &Project<'_>,
    target: &Target,
    wanted: &Wanted<'_>,
    journal: Option<&Journal>,
    runner: &Runner,
) -> Result<Result<Way, Outcome>, Failure> {
    let observed = project.observe(target).await?;
    let entries = match (project.history(target, runner).await, wanted.to) {
        (Ok(entries), Some(_)) => kept(entries)?,
        (Ok(entries), None) => entries.unwrap_or_default(),
        (Err(error), Some(_)) => return Err(error.into()),
        // Who goes to the release before needs no list of releases.
        (Err(error), None) => {
            runner.say(&format!("the history is passed over: {error}"));
            Vec::new()
        }
    };
    let entries = &entries;
    // Another group of the stack may have left the journal.
    let unreached = journal.and_then(Journal::unreached);
    let unreached = unreached.filter(|to| entries.iter().any(|entry| entry.stamp.release == **to));
    if let Some(name) = wanted.to.or(unreached.map(Digest::as_str)) {
        let entry = history::find(entries, name)?;
        if let Some(why) = entry.why_not_reachable() {
            let version = &entry.stamp.version;
            return Ok(Err(Outcome::fail(format!(
                "{version} is only listed, because {why}; deploy what should serve; {}",
                report::serves(&project.config, &observed)
            ))));
        }
        let held = why_not_to(entries, entry);
        return Ok(Ok(Way { back: entry.way_to(&observed), entry: Some(entry.clone()), held }));
    }
    Ok(match way_back(target.place().name, &observed) {
        Ok(back) => {
            let left: Vec<&Stamp> = back.returns.iter().filter_map(|service| service.from.as_ref()).collect();
            let held = history::why_not_back(entries, &left);
            Ok(Way { back, entry: None, held })
        }
        Err(error) => {
            let serves = report::serves(&project.config, &observed);
            Err(Outcome::fail(format!("{error}; {serves}{}", others(entries, &observed))))
        }
    })
}

/// What there is to end where there is nothing to go back from: a rollback that was killed near its end.
fn unended(wanted: &Wanted<'_>, journal: Option<&Journal>) -> Option<String> {
    match resume(journal, Intent::Reconcile) {
        Resume::Undo { why } if wanted.to.is_none() => Some(why),
        Resume::Undo { .. } | Resume::Nothing { .. } | Resume::Finish { .. } | Resume::Hold { .. } => None,
    }
}

/// Ends a rollback of which nothing else is left.
pub(crate) async fn end(
    (target, hold): (&Target, &Hold),
    (why, journal): (&str, Journal),
    runner: &Runner,
) -> Result<Outcome, Failure> {
    let failed = settle(target, runner).await;
    if !failed.is_empty() {
        return Ok(Outcome::fail(format!("the rollback failed: {}", failed.join("; "))));
    }
    hold.diary(Some(journal)).note(Journal::end).await?;
    Ok(Outcome::pass(format!("nothing was left to do: {why}")))
}

/// What can be named where nothing is remembered, which is so after a release that was taken back.
fn others(entries: &[Entry], observed: &Observed) -> String {
    let others = entries.iter().filter(|entry| !entry.runs(observed) && entry.why_not_reachable().is_none());
    let versions: Vec<&str> = others.map(|entry| entry.stamp.version.as_str()).collect();
    if versions.is_empty() {
        String::new()
    } else {
        format!("; `rollback --to` reaches {}", versions.join(", "))
    }
}

/// Under the lease.
pub(crate) async fn go_back(
    project: &Project<'_>,
    (target, hold): (&Target, &Hold),
    wanted: &Wanted<'_>,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    let journal = journal(target).await?.unwrap_or_else(|error| {
        let why =
            format!("{error}, so it is not known whether a migration holds this; going back all the same");
        warn(runner, "the journal is passed over", &why);
        None
    });
    let way = match find(project, target, wanted, journal.as_ref(), runner).await? {
        Ok(way) => way,
        Err(none) => {
            let Some((why, journal)) = unended(wanted, journal.as_ref()).zip(journal) else {
                return Ok(none);
            };
            return end((target, hold), (&why, journal), runner).await;
        }
    };
    let glass = match broken_glass(&way, journal.as_ref(), wanted.reason, runner) {
        Ok(glass) => glass,
        Err(refusal) => return Ok(refusal),
    };
    runner.say(&report::way_back(&way.back));
    let missing = tokio::select! {
        biased;
        _signal = runner.cancelled() => return Ok(Outcome::inconclusive(UNTOUCHED)),
        missing = bring(target, project, &way) => missing,
    };
    if let Some(missing) = missing {
        return Ok(missing);
    }
    let mut diary = hold.diary(journal);
    let cause = "it was asked for";
    let turn = |journal: &mut Journal| match &way.entry {
        Some(entry) => journal.turn_back_to(entry.stamp.release.clone(), cause),
        None => journal.turn_back(cause),
    };
    diary.note_or_say(turn, runner).await;
    let outcome = tokio::select! {
        biased;
        _signal = runner.cancelled() => Outcome::inconclusive(format!(
            "in the middle of a rollback; run `{}` again to finish it", command(project, &way)
        )),
        why = hold.lost() => Outcome::inconclusive(format!("in the middle of a rollback, {why}")),
        outcome = put_back(target, project, &way, runner) => outcome,
    };
    if outcome.verdict == Verdict::Pass {
        diary.note_or_say(Journal::end, runner).await;
    }
    record(project, &way.back, &outcome, runner).await;
    if let Some(glass) = glass {
        glass.keep(project, runner).await;
    }
    let now = project.observe(target).await?;
    runner.summary(&report::status_summary(target.place(), &now, &[]))?;
    if runner.is_json() {
        runner.data(&report::status_json(target.place(), &now, &[]).to_string());
    }
    Ok(outcome)
}

/// What is recorded of a way that is held and gone all the same; `Err` where nobody says why it should be.
fn broken_glass(
    way: &Way,
    journal: Option<&Journal>,
    reason: Option<&str>,
    runner: &Runner,
) -> Result<Option<BrokenGlass>, Outcome> {
    match (why_held(way, journal), reason) {
        (Some(why), None) => {
            let hint = "`--break-glass REASON` goes back all the same";
            Err(Outcome::fail(format!("nothing was rolled back: {why}; {hint}")))
        }
        (Some(why), Some(reason)) => {
            warn(runner, "break-glass", &format!("{reason}; it was held: {why}"));
            Ok(Some(BrokenGlass::new(&why, reason, &way.back, journal)))
        }
        (None, _) => Ok(None),
    }
}

/// Why nobody must go this way without saying so: what the history says, and what the last run did that may not stand there.
fn why_held(way: &Way, journal: Option<&Journal>) -> Option<String> {
    let is_its_own = |journal: &&Journal| {
        way.entry.as_ref().is_some_and(|entry| entry.stamp.release == journal.stamp().release)
    };
    let last_run = || journal.filter(|journal| !is_its_own(journal)).and_then(Journal::why_not_back);
    way.held.clone().or_else(last_run)
}

/// What to type to go this way.
fn command(project: &Project<'_>, way: &Way) -> String {
    let to = way.entry.as_ref().map(|entry| format!(" --to {}", entry.stamp.version)).unwrap_or_default();
    format!("deploy-promote rollback --environment {}{to}", project.environment.name)
}

/// Tells GitHub, afterwards: nothing there can hold a rollback up.
async fn record(project: &Project<'_>, back: &WayBack, outcome: &Outcome, runner: &Runner) {
    if let Some(shipment) = Shipment::returned(back)
        && !runner.is_cancelled()
    {
        let run = run_url(runner);
        Record::begin(project, &shipment, run.as_deref(), runner).await.end(outcome, runner).await;
    }
}

/// The login for the registry of what comes back.
fn login(project: &Project<'_>, service: &Return) -> Option<Login> {
    let registry = service.to.image.as_ref().map(|image| image.repository.registry().to_owned());
    project.login(&registry.unwrap_or_default())
}

/// Makes sure that everything can run that comes back: a mixture would be worse than what serves. Gives how it ends if not.
async fn bring(target: &Target, project: &Project<'_>, way: &Way) -> Option<Outcome> {
    let entry = way.entry.as_ref()?;
    let mut missing = Vec::new();
    for service in &way.back.returns {
        let login = login(project, service);
        if let Err(error) = target.bring(entry, &service.service, login.as_ref()).await {
            missing.push((service, error));
        }
    }
    let is_unknown = missing.iter().any(|(_, error)| error.is_unknown());
    let all: Vec<_> =
        missing.into_iter().map(|(service, error)| format!("`{}`: {error}", service.service)).collect();
    if all.is_empty() {
        return None;
    }
    let cause = format!("{UNTOUCHED}: what comes back is not all on the host: {}", all.join("; "));
    Some(if is_unknown { Outcome::inconclusive(cause) } else { Outcome::fail(cause) })
}

/// Does once more what comes after everything is back, where a run that was killed may not have come to it. Gives what went
/// wrong.
pub(crate) async fn settle(target: &Target, runner: &Runner) -> Vec<String> {
    let Target::Cluster(cluster) = target else { return Vec::new() };
    let (applied, rest) = cluster.put_there_again().await;
    let applied = applied.into_iter().map(|one| Applied::Cluster(cluster.clone(), one)).collect();
    let mut failed = arrive(applied, runner).await;
    let finished = match rest {
        Ok(Some(rest)) if failed.is_empty() => cluster.finish(&rest).await,
        rest => rest.map(drop),
    };
    failed.extend(finished.err().map(|error| error.to_string()));
    failed
}

/// Waits for what was put back. Gives why what does not come back does not.
async fn arrive(arriving: Vec<Applied>, runner: &Runner) -> Vec<String> {
    let mut failed = Vec::new();
    for applied in &arriving {
        match rollout::arrive(applied, runner).await {
            Ok(Next::Done | Next::Wait(_)) => runner.say(&format!("`{}` is back", applied.service())),
            Ok(
                Next::RollBack { cause }
                | Next::RolledBack { cause }
                | Next::Overtaken { cause }
                | Next::Stuck { cause },
            ) => failed.push(cause),
            Err(error) => failed.push(format!("`{}`: {error}", applied.service())),
        }
    }
    failed
}

async fn put_back(target: &Target, project: &Project<'_>, way: &Way, runner: &Runner) -> Outcome {
    let back = &way.back;
    // All are put back before one is waited for: a mixture of releases should not last.
    let login = |service: &Return| login(project, service);
    let (arriving, rest, mut failed) = target.put_back(&back.returns, way.entry.as_ref(), login).await;
    // Going back once more must not lead these, and only these, to a release in between.
    for service in back.stay.iter().filter(|_| way.entry.is_some()) {
        if let Err(error) = target.forget(service).await {
            failed.push(format!("`{service}`: {error}"));
        }
    }
    failed.extend(arrive(arriving, runner).await);
    if let Some(rest) = rest.filter(|_| failed.is_empty()) {
        failed.extend(target.finish(&rest).await.err().map(|error| error.to_string()));
    }
    if !failed.is_empty() {
        let again =
            format!("`deploy-promote status --environment {}` shows what serves", project.environment.name);
        return Outcome::fail(format!("the rollback failed: {}; {again}", failed.join("; ")));
    }
    let unmoved = match back.stay.as_slice() {
        [] => String::new(),
        [one] => format!("; {one} was no part of it, and stays"),
        several => format!("; {} were no part of it, and stay", several.join(", ")),
    };
    let version = back
        .returns
        .iter()
        .find_map(|service| service.to.stamp.as_ref())
        .map_or("what was there before", Stamp::called);
    Outcome::pass(format!("{version} serves in {} again{unmoved}", project.environment.name))
}
