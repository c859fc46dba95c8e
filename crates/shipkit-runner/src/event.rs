//! The event that started the workflow, out of the runner's payload file. Payloads are foreign: anybody who may open
//! a pull request writes into them.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;
use shipkit_core::Hint;
use shipkit_core::event::{Event, Run, Trigger};
use shipkit_core::exit::ExitCode;

use crate::env::{self, Env, Name};

/// The largest payload that is read, in bytes; GitHub's own limit for webhooks.
const PAYLOAD_LIMIT: u64 = 25_000_000;

/// A payload that does not say what happened.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The file is not there or not readable.
    #[error("the event file `{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is too large.
    #[error("the event file `{}` has more than {PAYLOAD_LIMIT} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no JSON.
    #[error("the event file `{}` is not JSON", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Where it stops being JSON.
        source: serde_json::Error,
    },
    /// A value that is needed is in neither the file nor the environment.
    #[error("the event file `{}` has no `{key}`{}", path.display(), instead.map(|name| format!(", and `{}` is not set", name.as_str())).unwrap_or_default())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The path of the key: `pull_request.head.sha`.
        key: &'static str,
        /// The variable that would do instead.
        instead: Option<Name>,
    },
    /// A value of another kind than GitHub's.
    #[error("`{key}` in the event file `{}` is not {wanted}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The path of the key.
        key: &'static str,
        /// What it should be, with its article.
        wanted: &'static str,
    },
    /// A file without a name for what is in it.
    #[error("what kind of event the file `{}` holds is not known", path.display())]
    Nameless {
        /// The file.
        path: PathBuf,
    },
    /// A branch or tag was deleted.
    #[error("`{git_ref}` was deleted: there is nothing to build")]
    Deleted {
        /// The full name of what was deleted.
        git_ref: String,
    },
}

impl Hint for EventError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Deleted { .. } => {
                Some("let the job run only `if: ${{ !github.event.deleted }}`".to_owned())
            }
            Self::Nameless { .. } => Some("name it with `GITHUB_EVENT_NAME`, like `push`".to_owned()),
            Self::Unreadable { .. }
            | Self::TooLarge { .. }
            | Self::NotJson { .. }
            | Self::Missing { .. }
            | Self::Wrong { .. } => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// Reads the event: from `file` if one is named, else from the runner's; `None` where there is neither.
///
/// What the payload says counts; the environment fills what it leaves out (act writes nearly empty payloads, and a
/// schedule has no ref). Only the commit of a push comes from the environment before `after`, which for an annotated
/// tag is the tag's own object.
pub(crate) fn read(env: &Env, file: Option<&Path>, name: Option<&str>) -> Result<Option<Event>, EventError> {
    let Some(path) = file.map(Path::to_owned).or_else(|| env.file(env::GITHUB_EVENT_PATH)) else {
        return Ok(None);
    };
    let payload = Payload::read(path)?;
    // A file that was named by hand is of another kind than the event that started this run.
    let of_runner = if file.is_none() { env.get(env::GITHUB_EVENT_NAME) } else { None };
    let likely = name.or(of_runner).or_else(|| payload.likely_name());
    let Some(name) = likely.or_else(|| env.get(env::GITHUB_EVENT_NAME)) else {
        return Err(EventError::Nameless { path: payload.path });
    };
    let (trigger, commit) = payload.trigger(env, name)?;
    Ok(Some(Event {
        trigger,
        commit,
        committed: payload.committed(name)?,
        repository: payload.or_env(env, "repository.full_name", env::GITHUB_REPOSITORY)?,
        default_branch: payload.text("repository.default_branch")?.map(str::to_owned),
        server_url: env.get(env::GITHUB_SERVER_URL).unwrap_or("https://github.com").to_owned(),
        run: run(env),
    }))
}

/// The payload of the runner's event as it is; `None` where there is no event.
pub(crate) fn payload(env: &Env) -> Result<Option<Value>, EventError> {
    let path = env.file(env::GITHUB_EVENT_PATH);
    path.map(Payload::read).transpose().map(|payload| payload.map(|payload| payload.value))
}

/// Whether GitHub gives the run a token that reads only: somebody from elsewhere asks for a pull request, or Dependabot started it (GitHub
/// Docs, "Events that trigger workflows" and "Automating Dependabot with GitHub Actions").
pub(crate) fn has_read_only_token(env: &Env) -> Result<bool, EventError> {
    if env.get(env::GITHUB_ACTOR) == Some("dependabot[bot]") {
        return Ok(true);
    }
    // For `pull_request_target` the token is that of the base branch.
    if env.get(env::GITHUB_EVENT_NAME) != Some("pull_request") {
        return Ok(false);
    }
    let Some(path) = env.file(env::GITHUB_EVENT_PATH) else { return Ok(false) };
    let payload = Payload::read(path)?;
    // A fork may be gone already.
    let head = payload.text("pull_request.head.repo.full_name")?;
    let home = payload.or_env(env, "repository.full_name", env::GITHUB_REPOSITORY)?;
    Ok(head.is_none_or(|head| home.is_none_or(|home| !home.eq_ignore_ascii_case(head))))
}

/// The run, if there is one.
fn run(env: &Env) -> Option<Run> {
    Some(Run {
        id: env.get(env::GITHUB_RUN_ID)?.to_owned(),
        attempt: env.get(env::GITHUB_RUN_ATTEMPT).unwrap_or("1").to_owned(),
        actor: env.get(env::GITHUB_ACTOR).unwrap_or_default().to_owned(),
    })
}

/// A payload and where it came from.
struct Payload {
    path: PathBuf,
    value: Value,
}

impl Payload {
    fn read(path: PathBuf) -> Result<Self, EventError> {
        let mut bytes = Vec::new();
        let read =
            std::fs::File::open(&path).and_then(|file| file.take(PAYLOAD_LIMIT + 1).read_to_end(&mut bytes));
        match read {
            Err(source) => return Err(EventError::Unreadable { path, source }),
            Ok(_) if usize::try_from(PAYLOAD_LIMIT).is_ok_and(|limit| limit < bytes.len()) => {
                return Err(EventError::TooLarge { path });
            }
            Ok(_) => {}
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self { path, value }),
            Err(source) => Err(EventError::NotJson { path, source }),
        }
    }

    /// The kind of event, going by what only that kind has.
    fn likely_name(&self) -> Option<&'static str> {
        let has = |key| self.value.get(key).is_some();
        match () {
            () if has("pull_request") => Some("pull_request"),
            () if has("release") => Some("release"),
            () if has("inputs") || has("workflow") => Some("workflow_dispatch"),
            () if has("ref") => Some("push"),
            () => None,
        }
    }

    fn trigger(&self, env: &Env, name: &str) -> Result<(Trigger, String), EventError> {
        match name {
            "push" => self.push(env),
            "pull_request" | "pull_request_target" => {
                let number = self.need("pull_request.number", None, self.number("pull_request.number")?)?;
                let base = self.or_env(env, "pull_request.base.ref", env::GITHUB_BASE_REF)?;
                let base = self.need("pull_request.base.ref", Some(env::GITHUB_BASE_REF), base)?;
                let commit = self.commit("pull_request.head.sha")?;
                Ok((Trigger::PullRequest { number, base }, self.need("pull_request.head.sha", None, commit)?))
            }
            "release" if self.is_published()? => {
                let tag = self.text("release.tag_name")?.map(str::to_owned);
                let tag = self.need("release.tag_name", None, tag)?;
                let prerelease = self.flag("release.prerelease")?;
                Ok((Trigger::Release { tag, prerelease }, self.started_commit(env)?))
            }
            "workflow_dispatch" => {
                let git_ref = self.or_env(env, "ref", env::GITHUB_REF)?;
                let trigger = match self.need("ref", Some(env::GITHUB_REF), git_ref)? {
                    git_ref if git_ref.starts_with("refs/tags/") => {
                        Trigger::Tag { name: git_ref.replacen("refs/tags/", "", 1) }
                    }
                    git_ref => {
                        Trigger::Branch { name: git_ref.replacen("refs/heads/", "", 1), dispatched: true }
                    }
                };
                Ok((trigger, self.started_commit(env)?))
            }
            other => {
                let branch = env.get(env::GITHUB_REF).and_then(|git_ref| git_ref.strip_prefix("refs/heads/"));
                let trigger = Trigger::Other { name: other.to_owned(), branch: branch.map(str::to_owned) };
                Ok((trigger, self.started_commit(env)?))
            }
        }
    }

    fn push(&self, env: &Env) -> Result<(Trigger, String), EventError> {
        let git_ref = self.or_env(env, "ref", env::GITHUB_REF)?;
        let git_ref = self.need("ref", Some(env::GITHUB_REF), git_ref)?;
        if self.flag("deleted")? {
            return Err(EventError::Deleted { git_ref });
        }
        let trigger = if let Some(name) = git_ref.strip_prefix("refs/heads/") {
            Trigger::Branch { name: name.to_owned(), dispatched: false }
        } else if let Some(name) = git_ref.strip_prefix("refs/tags/") {
            Trigger::Tag { name: name.to_owned() }
        } else {
            return Err(self.wrong("ref", "the full name of a branch or tag, like `refs/heads/main`"));
        };
        let commit = match self.commit("head_commit.id")? {
            Some(commit) => commit,
            None => self.started_commit(env)?,
        };
        Ok((trigger, commit))
    }

    /// The commit that GitHub says the run is about.
    fn started_commit(&self, env: &Env) -> Result<String, EventError> {
        let of_env = env.get(env::GITHUB_SHA).map(str::to_owned);
        let commit = if of_env.is_some() { of_env } else { self.commit("after")? };
        match self.need("after", Some(env::GITHUB_SHA), commit)? {
            commit if is_commit(&commit) => Ok(commit),
            _ => Err(self.wrong("GITHUB_SHA", "a full commit")),
        }
    }

    /// Whether a release came out, and not only changed. A draft is none yet.
    fn is_published(&self) -> Result<bool, EventError> {
        let action = self.text("action")?.unwrap_or_default();
        Ok(["published", "released", "prereleased"].contains(&action) && !self.flag("release.draft")?)
    }

    fn committed(&self, name: &str) -> Result<Option<Timestamp>, EventError> {
        let Some(time) = self.text("head_commit.timestamp")?.filter(|_| name == "push") else {
            return Ok(None);
        };
        match time.parse() {
            Ok(time) => Ok(Some(time)),
            Err(_not_a_time) => {
                Err(self.wrong("head_commit.timestamp", "a time like `2026-01-02T03:04:05Z`"))
            }
        }
    }

    /// The value at a dotted path. What is `null` is missing.
    fn at(&self, key: &'static str) -> Option<&Value> {
        key.split('.').try_fold(&self.value, |value, name| value.get(name)).filter(|value| !value.is_null())
    }

    fn text(&self, key: &'static str) -> Result<Option<&str>, EventError> {
        match self.at(key).map(|value| value.as_str().ok_or_else(|| self.wrong(key, "a text"))) {
            None => Ok(None),
            Some(text) => Ok(Some(text?).filter(|text| !text.is_empty())),
        }
    }

    fn number(&self, key: &'static str) -> Result<Option<u64>, EventError> {
        self.at(key).map(|value| value.as_u64().ok_or_else(|| self.wrong(key, "a whole number"))).transpose()
    }

    fn flag(&self, key: &'static str) -> Result<bool, EventError> {
        let flag =
            self.at(key).map(|value| value.as_bool().ok_or_else(|| self.wrong(key, "`true` or `false`")));
        Ok(flag.transpose()?.unwrap_or(false))
    }

    fn commit(&self, key: &'static str) -> Result<Option<String>, EventError> {
        match self.text(key)? {
            Some(commit) if !is_commit(commit) => Err(self.wrong(key, "a full commit")),
            commit => Ok(commit.map(str::to_owned)),
        }
    }

    fn or_env(&self, env: &Env, key: &'static str, name: Name) -> Result<Option<String>, EventError> {
        Ok(self.text(key)?.or_else(|| env.get(name)).map(str::to_owned))
    }

    fn need<T>(&self, key: &'static str, instead: Option<Name>, value: Option<T>) -> Result<T, EventError> {
        value.ok_or_else(|| EventError::Missing { path: self.path.clone(), key, instead })
    }

    fn wrong(&self, key: &'static str, wanted: &'static str) -> EventError {
        EventError::Wrong { path: self.path.clone(), key, wanted }
    }
}

/// 40 hexadecimal digits, or 64 in a repository with SHA-256; not the all-zero one that stands for nothing.
fn is_commit(text: &str) -> bool {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (text.len() == 40 || text.len() == 64) && text.bytes().all(is_hex) && text.bytes().any(|b| b != b'0')
}
