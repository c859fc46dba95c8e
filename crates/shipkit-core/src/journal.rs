//! `Journal`: what a run writes on the target before each step, so that one that was killed can be finished or undone.
//!
//! It holds only what the target cannot show by itself: which release is wanted, which way it goes and why, and which hooks
//! ran. The instances say the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::exit::ExitCode;
use crate::hint::Hint;
use crate::reference::Repository;
use crate::target::Stamp;

/// The one version of a journal that this program writes and reads. What an unknown one asks for is not known, so it is
/// an error and not skipped.
const VERSION: u64 = 1;

/// What the last run on a target was about. One that has ended stays there: it knows which hooks ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Journal {
    version: u64,
    stamp: Stamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    repository: Option<Repository>,
    token: u64,
    direction: Direction,
    migration: Migration,
    hooks: BTreeMap<Hook, Progress>,
    done: BTreeSet<String>,
    has_ended: bool,
}

/// Which way a run goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Direction {
    /// To the release.
    Forward,
    /// Away from it, to what was there before.
    Back {
        /// Why, in one sentence.
        cause: String,
        /// The release that was asked for; `None` for the one before.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        to: Option<Digest>,
    },
}

/// Whether what was there before still works after the migration of the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Migration {
    /// It does, or there is no migration.
    Compatible,
    /// It may not.
    Breaking,
}

/// What runs once for a release before its services are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Hook {
    /// Saves the data.
    Backup,
    /// Changes the data.
    Migrate,
}

/// How far a hook is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Progress {
    Begun,
    Succeeded,
    Failed,
}

/// What to do about a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It never ran for this release, was seen to fail, or is a backup that nobody saw the end of: run it.
    Now,
    /// It was begun by a run that did not see its end: look for it and wait for its end. If it is not there any more,
    /// that is [`JournalError::Unfinished`].
    Attach,
    /// It ran: nothing to do.
    Not,
}

/// What somebody asks for who finds a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent<'a> {
    /// To deploy this release.
    Deploy(&'a Digest),
    /// To go back.
    RollBack,
    /// Only to bring to an end what was begun.
    Reconcile,
}

/// What must be done first about the run before, with the sentence that says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// Nothing was left.
    Nothing {
        /// Why, in one sentence.
        why: String,
    },
    /// Go on forward.
    Finish {
        /// Why, in one sentence.
        why: String,
    },
    /// Go back.
    Undo {
        /// Why, in one sentence.
        why: String,
    },
    /// It should go back and cannot: a person must decide.
    Hold {
        /// Why, in one sentence.
        why: String,
    },
}

/// Why a journal does not say how to go on.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Not JSON, or not the shape of a journal.
    #[error("the journal on the target cannot be read")]
    Shape(#[source] serde_json::Error),
    /// Another version.
    #[error("the journal on the target has the version {0}, and this program reads {VERSION}")]
    Version(u64),
    /// A newer holder of the lease has written it.
    #[error("the journal on the target belongs to a newer run (token {theirs}, and this run has {ours})")]
    Fenced {
        /// The token of this run.
        ours: u64,
        /// The token in the journal.
        theirs: u64,
    },
    /// A hook was begun, and nobody saw how it ended.
    #[error("`{hook}` was begun for release {version} and nobody saw its end, so it is not run again")]
    Unfinished {
        /// Which hook.
        hook: Hook,
        /// The version of the release.
        version: String,
    },
}

impl Journal {
    /// The journal of a run that goes to the release of `stamp`, with the token of its lease. Hooks that ran for this
    /// very release are taken over from the journal before.
    #[must_use]
    pub fn begin(before: Option<&Self>, stamp: Stamp, token: u64, migration: Migration) -> Self {
        let same = before.filter(|before| before.stamp.release == stamp.release);
        let hooks = same.map(|before| before.hooks.clone()).unwrap_or_default();
        let (version, direction, done) = (VERSION, Direction::Forward, BTreeSet::new());
        let repository = None;
        Self { version, stamp, repository, token, direction, migration, hooks, done, has_ended: false }
    }

    /// The same, with the repository that holds the release.
    #[must_use]
    pub fn of_repository(self, repository: Repository) -> Self {
        Self { repository: Some(repository), ..self }
    }

    /// Reads what lies on the target.
    ///
    /// # Errors
    /// When it is not a journal, or one of a version that is not known.
    pub fn parse(text: &str) -> Result<Self, JournalError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let Versioned { version } = serde_json::from_str(text).map_err(JournalError::Shape)?;
        if version != VERSION {
            return Err(JournalError::Version(version));
        }
        serde_json::from_str(text).map_err(JournalError::Shape)
    }

    /// The release that the run is about.
    #[must_use]
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The repository that holds the release; `None` if that was not written.
    #[must_use]
    pub fn repository(&self) -> Option<&Repository> {
        self.repository.as_ref()
    }

    /// The release that a run goes back to, was asked for by name and has not reached.
    #[must_use]
    pub fn unreached(&self) -> Option<&Digest> {
        match &self.direction {
            Direction::Back { to, .. } if !self.has_ended => to.as_ref(),
            Direction::Back { .. } | Direction::Forward => None,
        }
    }

    /// Which way the run goes.
    #[must_use]
    pub fn direction(&self) -> &Direction {
        &self.direction
    }

    /// Whether the service has arrived, as far as the run came in its direction.
    #[must_use]
    pub fn is_done(&self, service: &str) -> bool {
        self.done.contains(service)
    }

    /// Another run goes on with it, under its own lease. A driver also asks this before each write.
    ///
    /// # Errors
    /// When a newer run has it.
    pub fn take_over(&mut self, token: u64) -> Result<(), JournalError> {
        if token < self.token {
            return Err(JournalError::Fenced { ours: token, theirs: self.token });
        }
        self.token = token;
        Ok(())
    }

    /// The run turns back: no service has arrived where it goes now. To be written before anything goes back, and not
    /// without having asked [`why_not_back`](Self::why_not_back).
    pub fn turn_back(&mut self, cause: impl Into<String>) {
        self.direction = Direction::Back { cause: cause.into(), to: None };
        self.done.clear();
        self.has_ended = false;
    }

    /// The same, to a release that was asked for.
    pub fn turn_back_to(&mut self, to: Digest, cause: impl Into<String>) {
        self.turn_back(cause);
        if let Direction::Back { to: asked, .. } = &mut self.direction {
            *asked = Some(to);
        }
    }

    /// A service has arrived.
    pub fn service_done(&mut self, service: impl Into<String>) {
        self.done.insert(service.into());
    }

    /// The run has ended, in either direction.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// Whether a hook is to be run.
    #[must_use]
    pub fn hook(&self, hook: Hook) -> Run {
        match (self.hooks.get(&hook), hook) {
            // Half a backup is none, and nothing was changed since.
            (None | Some(Progress::Failed), _) | (Some(Progress::Begun), Hook::Backup) => Run::Now,
            (Some(Progress::Succeeded), _) => Run::Not,
            (Some(Progress::Begun), Hook::Migrate) => Run::Attach,
        }
    }

    /// The error for a hook that was begun, whose end nobody saw and that cannot be attached to.
    #[must_use]
    pub fn unfinished(&self, hook: Hook) -> JournalError {
        JournalError::Unfinished { hook, version: self.stamp.version.clone() }
    }

    /// A hook begins: to be written before it does.
    pub fn hook_begins(&mut self, hook: Hook) {
        self.hooks.insert(hook, Progress::Begun);
    }

    /// A hook was seen to succeed.
    pub fn hook_succeeded(&mut self, hook: Hook) {
        self.hooks.insert(hook, Progress::Succeeded);
    }

    /// A hook was seen to fail: the next run may try it again.
    pub fn hook_failed(&mut self, hook: Hook) {
        self.hooks.insert(hook, Progress::Failed);
    }

    /// Why this run must not turn back by itself, if that is so: what was there before may not work with the data any more.
    #[must_use]
    pub fn why_not_back(&self) -> Option<String> {
        // A migration that failed may have changed some of the data.
        if self.migration == Migration::Compatible || !self.hooks.contains_key(&Hook::Migrate) {
            return None;
        }
        let version = &self.stamp.version;
        Some(format!(
            "release {version} has migrated the data, and its migration is not marked `compatible`: \
             the release before it may not work any more"
        ))
    }
}

/// Decides what must be done first about the run that wrote the journal. Who asks holds the lease, so that run is over.
#[must_use]
pub fn resume(journal: Option<&Journal>, intent: Intent<'_>) -> Resume {
    let Some(journal) = journal else {
        return Resume::Nothing { why: "no run has left a journal".to_owned() };
    };
    let version = &journal.stamp.version;
    if journal.has_ended {
        return Resume::Nothing { why: format!("the last run, of release {version}, has ended") };
    }
    if let Direction::Back { cause, .. } = &journal.direction {
        let why = format!("a run that went back from release {version} did not end; it went back: {cause}");
        return Resume::Undo { why };
    }
    let stopped = format!("a run that deployed release {version} did not end");
    let is_same = match intent {
        Intent::Deploy(release) => *release == journal.stamp.release,
        Intent::Reconcile => true,
        Intent::RollBack => false,
    };
    match (is_same, journal.why_not_back()) {
        (true, _) => Resume::Finish { why: stopped },
        (false, None) => Resume::Undo { why: stopped },
        (false, Some(not_back)) => Resume::Hold { why: format!("{stopped}; {not_back}") },
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backup => "backup",
            Self::Migrate => "migrate",
        })
    }
}

impl Hint for JournalError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Shape(_) => Some("look at what runs on the target, then delete the journal".to_owned()),
            Self::Version(_) => Some("use the version of shipkit that wrote it, or a newer one".to_owned()),
            Self::Fenced { .. } => Some("see what the newer run did before trying again".to_owned()),
            Self::Unfinished { hook, .. } => {
                Some(format!("find out on the target whether `{hook}` went through, before anything else"))
            }
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(version: &str) -> Stamp {
        Stamp {
            release: Digest::of(version.as_bytes()),
            version: version.to_owned(),
            commit: "c".repeat(40),
            environment: "staging".to_owned(),
            run: None,
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
        }
    }

    fn begun(migration: Migration) -> Journal {
        Journal::begin(None, stamp("2"), 7, migration)
    }

    fn turned() -> Journal {
        let mut journal = begun(Migration::Compatible);
        journal.turn_back("`api` keeps failing");
        journal
    }

    #[test]
    fn without_a_journal_or_after_the_end_there_is_nothing_to_do() {
        let mut ended = begun(Migration::Compatible);
        ended.end();
        let mut back = turned();
        back.end();
        for intent in [Intent::RollBack, Intent::Reconcile, Intent::Deploy(&stamp("2").release)] {
            let why = "no run has left a journal".to_owned();
            assert_eq!(resume(None, intent), Resume::Nothing { why });
            for journal in [&ended, &back] {
                let why = "the last run, of release 2, has ended".to_owned();
                assert_eq!(resume(Some(journal), intent), Resume::Nothing { why });
            }
        }
    }

    #[test]
    fn a_run_that_was_killed_on_its_way_is_finished_by_the_same_release_and_undone_by_another() {
        let (same, other) = (stamp("2").release, stamp("3").release);
        let why = || "a run that deployed release 2 did not end".to_owned();
        for (intent, expected) in [
            (Intent::Deploy(&same), Resume::Finish { why: why() }),
            (Intent::Reconcile, Resume::Finish { why: why() }),
            (Intent::Deploy(&other), Resume::Undo { why: why() }),
            (Intent::RollBack, Resume::Undo { why: why() }),
        ] {
            assert_eq!(resume(Some(&begun(Migration::Compatible)), intent), expected);
        }
    }

    #[test]
    fn a_run_that_was_killed_on_its_way_back_goes_back_whoever_comes() {
        let why = "a run that went back from release 2 did not end; it went back: `api` keeps failing";
        for intent in [Intent::RollBack, Intent::Reconcile, Intent::Deploy(&stamp("2").release)] {
            assert_eq!(resume(Some(&turned()), intent), Resume::Undo { why: why.to_owned() });
        }
    }

    #[test]
    fn after_a_migration_that_is_not_compatible_nobody_goes_back_by_themselves() {
        let progress = [Journal::hook_begins, Journal::hook_succeeded, Journal::hook_failed];
        for migrate in progress {
            let mut journal = begun(Migration::Breaking);
            assert_eq!(journal.why_not_back(), None);
            migrate(&mut journal, Hook::Backup);
            assert_eq!(journal.why_not_back(), None);
            migrate(&mut journal, Hook::Migrate);
            let held = resume(Some(&journal), Intent::RollBack);
            let why = "a run that deployed release 2 did not end; release 2 has migrated the data, and its migration \
                       is not marked `compatible`: the release before it may not work any more";
            assert_eq!(held, Resume::Hold { why: why.to_owned() });
            assert!(matches!(resume(Some(&journal), Intent::Reconcile), Resume::Finish { .. }));
            let mut compatible = begun(Migration::Compatible);
            migrate(&mut compatible, Hook::Migrate);
            assert!(matches!(resume(Some(&compatible), Intent::RollBack), Resume::Undo { .. }));
        }
    }

    #[test]
    fn a_hook_runs_once_and_again_only_after_it_was_seen_to_fail() {
        for hook in [Hook::Backup, Hook::Migrate] {
            let mut journal = begun(Migration::Compatible);
            assert_eq!(journal.hook(hook), Run::Now);
            journal.hook_begins(hook);
            match hook {
                Hook::Migrate => assert_eq!(journal.hook(hook), Run::Attach),
                // Half a backup is none.
                Hook::Backup => assert_eq!(journal.hook(hook), Run::Now),
            }
            journal.hook_failed(hook);
            assert_eq!(journal.hook(hook), Run::Now);
            journal.hook_succeeded(hook);
            assert_eq!(journal.hook(hook), Run::Not);
        }
    }

    #[test]
    fn hooks_belong_to_a_release_and_not_to_a_run() {
        let mut first = begun(Migration::Compatible);
        first.hook_succeeded(Hook::Migrate);
        first.service_done("api");
        first.turn_back("no");
        first.end();
        let again = Journal::begin(Some(&first), stamp("2"), 8, Migration::Compatible);
        assert_eq!((again.hook(Hook::Migrate), again.direction()), (Run::Not, &Direction::Forward));
        assert!(!again.is_done("api") && !again.has_ended);
        let other = Journal::begin(Some(&first), stamp("3"), 8, Migration::Compatible);
        assert_eq!(other.hook(Hook::Migrate), Run::Now);
    }

    #[test]
    fn turning_back_begins_with_all_services_again() {
        let mut journal = begun(Migration::Compatible);
        journal.service_done("api");
        assert!(journal.is_done("api") && !journal.is_done("web"));
        journal.end();
        journal.turn_back("asked for");
        assert!(!journal.is_done("api"));
        assert!(matches!(resume(Some(&journal), Intent::Reconcile), Resume::Undo { .. }));
    }

    #[test]
    fn a_run_that_lost_its_lease_does_not_write() {
        let mut journal = begun(Migration::Compatible);
        journal.take_over(7).unwrap();
        journal.take_over(9).unwrap();
        let error = journal.take_over(8).unwrap_err();
        let said = "the journal on the target belongs to a newer run (token 9, and this run has 8)";
        assert_eq!((error.to_string().as_str(), error.exit_code()), (said, ExitCode::Unknown));
    }

    #[test]
    fn it_comes_back_from_the_target_as_it_went() {
        let mut journal = turned();
        journal.hook_begins(Hook::Migrate);
        journal.hook_succeeded(Hook::Backup);
        journal.service_done("api");
        let text = serde_json::to_string(&journal).unwrap();
        assert_eq!(Journal::parse(&text).unwrap(), journal);
        let shape = r#""token":7,"direction":{"back":{"cause":"`api` keeps failing"}},"migration":"compatible","hooks":{"backup":"succeeded","migrate":"begun"},"done":["api"],"hasEnded":false}"#;
        assert!(text.starts_with(r#"{"version":1,"stamp":{"#) && text.ends_with(shape), "{text}");
    }

    #[test]
    fn it_knows_the_repository_and_the_release_that_was_asked_for_until_it_has_ended() {
        let repository: Repository = "ghcr.io/acme/shop/release".parse().unwrap();
        let mut journal = begun(Migration::Compatible).of_repository(repository.clone());
        let text = serde_json::to_string(&journal).unwrap();
        assert_eq!(Journal::parse(&text).unwrap().repository(), Some(&repository));
        assert_eq!((begun(Migration::Compatible).repository(), journal.unreached()), (None, None));
        journal.turn_back_to(stamp("1").release, "asked for");
        journal = Journal::parse(&serde_json::to_string(&journal).unwrap()).unwrap();
        assert_eq!(journal.unreached(), Some(&stamp("1").release));
        assert!(matches!(resume(Some(&journal), Intent::Reconcile), Resume::Undo { .. }));
        journal.end();
        assert_eq!(journal.unreached(), None);
        journal.turn_back("asked for");
        assert_eq!(journal.unreached(), None);
    }

    #[test]
    fn an_unknown_version_is_an_error_whatever_else_it_says() {
        let error = Journal::parse(r#"{"version":2,"steps":[]}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the journal on the target has the version 2, and this program reads 1"
        );
        assert!(error.hint().is_some());
    }

    #[test]
    fn what_is_no_journal_is_an_error_and_never_nothing_to_do() {
        let good = serde_json::to_string(&begun(Migration::Compatible)).unwrap();
        let more = good.replace(r#""token""#, r#""more":1,"token""#);
        let strange = good.replace(r#""forward""#, r#""sideways""#);
        for text in ["", "null", "{}", "[]", r#"{"version":1}"#, &more, &strange] {
            assert!(matches!(Journal::parse(text), Err(JournalError::Shape(_))), "{text}");
        }
    }
}
