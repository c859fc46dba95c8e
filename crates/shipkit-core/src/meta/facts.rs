//! `Facts`: what is known about the event, its commit and its repository.

use jiff::Timestamp;
use serde_json::Value;

/// What tags and labels are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `GITHUB_EVENT_NAME`.
    pub event: String,
    /// The ref: `refs/heads/main`, `refs/tags/v1`, `refs/pull/7/merge`, or nothing.
    pub git_ref: String,
    /// The full commit, or nothing.
    pub commit: String,
    /// How many digits a short commit has.
    pub short: usize,
    /// The branch that a pull request wants to change, or that a tag was pushed from, as far as GitHub says.
    pub base_ref: String,
    /// When the commit was made, if it is known.
    pub committed: Option<Timestamp>,
    /// The time of the run.
    pub now: Timestamp,
    /// The time that the label `created` says.
    pub created: Timestamp,
    /// The repository.
    pub about: About,
}

/// What is known about a repository; `Some` and empty is known to be nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Its name, without the owner.
    pub title: Option<String>,
    /// What it says about itself.
    pub description: Option<String>,
    /// Where people can see it.
    pub url: Option<String>,
    /// Its licence, by SPDX.
    pub license: Option<String>,
    /// Its default branch.
    pub default_branch: Option<String>,
}

/// What an event says by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// As in [`Facts`].
    pub event: String,
    /// As in [`Facts`].
    pub git_ref: String,
    /// As in [`Facts`].
    pub commit: String,
    /// As in [`Facts`].
    pub base_ref: String,
    /// As in [`Facts`].
    pub committed: Option<Timestamp>,
    /// As in [`Facts`].
    pub about: About,
}

/// Which commit a pull request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfPullRequest {
    /// The last one that its author pushed.
    Head,
    /// The one that the event names: GitHub's merge with the base, or the base itself for `pull_request_target`.
    Event,
}

impl Happened {
    /// Reads the payload of an event that has this name, ref and commit. What a payload should hold and does not is
    /// not known; nothing that stands in one is an error.
    #[must_use]
    pub fn read(event: &str, git_ref: &str, commit: &str, payload: &Value, which: OfPullRequest) -> Self {
        let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let mut git_ref = git_ref.to_owned();
        let mut commit = commit.to_owned();
        if event == "pull_request_target"
            && let Some(number) = payload.get("number").and_then(Value::as_u64)
        {
            // GitHub names the base branch here; what is built is the pull request.
            git_ref = format!("refs/pull/{number}/merge");
        }
        let head = text("/pull_request/head/sha");
        if event.starts_with("pull_request") && which == OfPullRequest::Head && !head.is_empty() {
            head.clone_into(&mut commit);
        }
        let base_ref = match git_ref.as_str() {
            tag if tag.starts_with("refs/tags/") => {
                let base = text("/base_ref");
                base.strip_prefix("refs/heads/").unwrap_or(base)
            }
            pull if pull.starts_with("refs/pull/") => text("/pull_request/base/ref"),
            _ => "",
        };
        let base_ref = base_ref.to_owned();
        let committed = committed(payload, &commit);
        let about = payload.get("repository").map(About::of).unwrap_or_default();
        Self { event: event.to_owned(), git_ref, commit, base_ref, committed, about }
    }
}

/// When a push made this commit.
fn committed(payload: &Value, commit: &str) -> Option<Timestamp> {
    let listed = payload.get("commits").and_then(Value::as_array);
    let commits = listed.into_iter().flatten().chain(payload.get("head_commit"));
    commits
        .filter(|made| !commit.is_empty() && made.get("id").and_then(Value::as_str) == Some(commit))
        .find_map(|made| made.get("timestamp").and_then(Value::as_str)?.parse().ok())
}

impl About {
    /// Reads GitHub's description of a repository: the one in a payload, or the one of the API.
    #[must_use]
    pub fn of(repository: &Value) -> Self {
        // A key that is there with `null` says that there is nothing.
        let known =
            |key: &str| repository.get(key).map(|value| value.as_str().unwrap_or_default().to_owned());
        let license = repository
            .get("license")
            .map(|license| license.get("spdx_id").and_then(Value::as_str).unwrap_or_default().to_owned());
        Self {
            title: known("name"),
            description: known("description"),
            url: known("html_url"),
            license,
            default_branch: known("default_branch").filter(|branch| !branch.is_empty()),
        }
    }

    /// Whether everything is known.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let all = [&self.title, &self.description, &self.url, &self.license, &self.default_branch];
        all.into_iter().all(Option::is_some)
    }

    /// This, and what only `other` knows.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            title: self.title.or(other.title),
            description: self.description.or(other.description),
            url: self.url.or(other.url),
            license: self.license.or(other.license),
            default_branch: self.default_branch.or(other.default_branch),
        }
    }
}

impl Facts {
    /// The branch, if the ref is one.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        self.git_ref.strip_prefix("refs/heads/")
    }

    /// The tag, if the ref is one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.git_ref.strip_prefix("refs/tags/")
    }

    /// The pull request, if the ref is one: its number.
    #[must_use]
    pub fn pull_request(&self) -> Option<&str> {
        let rest = self.git_ref.strip_prefix("refs/pull/")?;
        Some(rest.strip_suffix("/merge").unwrap_or(rest))
    }

    /// The first digits of the commit.
    #[must_use]
    pub fn short_commit(&self) -> &str {
        self.commit.get(..self.short).unwrap_or(&self.commit)
    }

    /// Whether the ref is the default branch.
    #[must_use]
    pub fn is_on_default_branch(&self) -> bool {
        match (self.branch(), &self.about.default_branch) {
            (Some(branch), Some(default)) => branch == default,
            // GitHub runs these on the default branch only, so it need not be known by name.
            (Some(_), None) => {
                ["schedule", "issues", "discussion", "discussion_comment"].contains(&self.event.as_str())
            }
            (None, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pull_request_is_about_its_head_or_about_what_the_event_names() {
        let payload =
            json!({"number": 15, "pull_request": {"head": {"sha": "aaa"}, "base": {"ref": "main"}}});
        let read = |event, git_ref, which| Happened::read(event, git_ref, "bbb", &payload, which);
        let head = read("pull_request", "refs/pull/15/merge", OfPullRequest::Head);
        assert_eq!((head.commit.as_str(), head.base_ref.as_str()), ("aaa", "main"));
        assert_eq!(read("pull_request", "refs/pull/15/merge", OfPullRequest::Event).commit, "bbb");
        let target = read("pull_request_target", "refs/heads/main", OfPullRequest::Event);
        assert_eq!((target.git_ref.as_str(), target.commit.as_str()), ("refs/pull/15/merge", "bbb"));
        assert_eq!(read("push", "refs/heads/main", OfPullRequest::Head).commit, "bbb");
    }

    #[test]
    fn the_date_is_that_of_the_commit_and_of_no_other() {
        let payload = json!({
            "commits": [{"id": "a", "timestamp": "2020-01-01T00:00:00Z"}, {"id": "b", "timestamp": "soon"}],
            "head_commit": {"id": "c", "timestamp": "2020-01-03T00:00:00+01:00"},
        });
        let date = |commit| committed(&payload, commit).map(|time| time.to_string());
        assert_eq!(date("a").as_deref(), Some("2020-01-01T00:00:00Z"));
        assert_eq!(date("c").as_deref(), Some("2020-01-02T23:00:00Z"));
        assert_eq!((date("b"), date("d"), date("")), (None, None, None));
    }

    #[test]
    fn what_is_null_is_known_and_what_is_missing_is_not() {
        let about = About::of(&json!({"name": "shop", "description": null, "license": null}));
        assert_eq!(
            (about.description.as_deref(), about.license.as_deref(), about.url.as_deref()),
            (Some(""), Some(""), None)
        );
        assert!(!about.is_complete());
        let all = about.or(About::of(&json!({"name": "other", "html_url": "u", "default_branch": "main"})));
        assert_eq!((all.title.as_deref(), all.is_complete()), (Some("shop"), true));
        assert_eq!(About::of(&json!("not a repository")), About::default());
    }

    #[test]
    fn a_new_branch_is_not_the_default_branch_and_a_schedule_is() {
        let on = |event: &str, git_ref: &str, default: Option<&str>| {
            let about = About { default_branch: default.map(str::to_owned), ..About::default() };
            let (event, git_ref) = (event.to_owned(), git_ref.to_owned());
            let now = Timestamp::UNIX_EPOCH;
            let (commit, base_ref) = (String::new(), String::new());
            Facts { event, git_ref, commit, short: 7, base_ref, committed: None, now, created: now, about }
                .is_on_default_branch()
        };
        assert!(on("push", "refs/heads/main", Some("main")));
        assert!(!on("create", "refs/heads/dev", Some("main")));
        assert!(!on("create", "refs/tags/main", Some("main")));
        assert!(on("schedule", "refs/heads/main", None));
        assert!(!on("push", "refs/heads/main", None));
        assert!(!on("schedule", "refs/heads/dev", Some("main")));
    }
}
