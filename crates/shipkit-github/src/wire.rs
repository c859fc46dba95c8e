//! What travels to and from GitHub: bodies, and the few fields that are read back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shipkit_core::Digest;

use crate::request::{DeploymentRequest, Finish, Links};

/// The longest description that a status may have (GitHub's description of the API, "create a deployment status").
const LONGEST_DESCRIPTION: usize = 140;
/// The name in [`Payload::by`] that marks a record as ours.
const OURS: &str = "shipkit";

/// The body that creates a deployment.
#[derive(Debug, Serialize)]
pub(crate) struct NewDeployment {
    #[serde(rename = "ref")]
    git_ref: String,
    environment: String,
    description: String,
    /// Otherwise GitHub merges the default branch into the ref and makes no deployment.
    auto_merge: bool,
    /// Empty: what gates a deploy is evidence on the release, not the commit's other checks.
    required_contexts: [String; 0],
    production_environment: bool,
    transient_environment: bool,
    payload: Payload,
}

/// What we keep in a deployment, and know it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payload {
    by: String,
    release: Digest,
    digests: BTreeMap<String, Digest>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    run: Option<String>,
}

/// A deployment, as GitHub lists it: without its state.
#[derive(Debug, Deserialize)]
pub(crate) struct Deployment {
    pub(crate) id: u64,
    pub(crate) environment: String,
    #[serde(default)]
    payload: Value,
}

/// A status, as GitHub lists it.
#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) state: State,
}

/// The state that a status gives a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Error,
    Failure,
    Inactive,
    InProgress,
    Queued,
    Pending,
    Success,
    /// A state that GitHub gives by itself, such as `waiting` for a reviewer.
    #[serde(other, skip_serializing)]
    Other,
}

/// The body that gives a deployment a status.
#[derive(Debug, Serialize)]
pub(crate) struct NewStatus {
    state: State,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment_url: Option<String>,
    /// GitHub's own way leaves out production and records of killed runs, so that earlier ones are ended by us.
    auto_inactive: bool,
}

impl NewDeployment {
    pub(crate) fn new(request: &DeploymentRequest) -> Self {
        Self {
            git_ref: request.commit.clone(),
            environment: request.environment.clone(),
            description: short(&request.description),
            auto_merge: false,
            required_contexts: [],
            production_environment: request.production,
            transient_environment: false,
            payload: Payload::of(request),
        }
    }
}

impl Payload {
    pub(crate) fn of(request: &DeploymentRequest) -> Self {
        Self {
            by: OURS.to_owned(),
            release: request.release.clone(),
            digests: request.digests.clone(),
            run: request.run.clone(),
        }
    }

    /// Whether `other` was written by the same run for the same release; never, where no run is known.
    pub(crate) fn is_same_run(&self, other: &Self) -> bool {
        self.run.is_some() && self == other
    }
}

impl Deployment {
    /// Our payload, if this deployment is ours. GitHub gives a payload back as an object or as text with JSON in it.
    pub(crate) fn payload(&self) -> Option<Payload> {
        let payload: Payload = match self.payload.as_str() {
            Some(text) => serde_json::from_str(text).ok()?,
            None => Payload::deserialize(&self.payload).ok()?,
        };
        (payload.by == OURS).then_some(payload)
    }
}

impl State {
    /// Whether a deployment in this state still waits for its end.
    pub(crate) fn is_unfinished(self) -> bool {
        match self {
            Self::InProgress | Self::Queued | Self::Pending => true,
            Self::Error | Self::Failure | Self::Inactive | Self::Success | Self::Other => false,
        }
    }
}

impl NewStatus {
    pub(crate) fn begun(links: &Links) -> Self {
        Self::new(State::InProgress, "", links)
    }

    pub(crate) fn finished(finish: &Finish, links: &Links) -> Self {
        match finish {
            Finish::Success => Self::new(State::Success, "", links),
            Finish::Failure { sentence } => Self::new(State::Failure, sentence, links),
            Finish::Error { sentence } => Self::new(State::Error, sentence, links),
        }
    }

    pub(crate) fn replaced_by(id: u64) -> Self {
        Self::new(State::Inactive, &format!("replaced by deployment {id}"), &Links::default())
    }

    fn new(state: State, description: &str, links: &Links) -> Self {
        Self {
            state,
            description: short(description),
            log_url: links.log_url.clone(),
            environment_url: links.environment_url.clone(),
            auto_inactive: false,
        }
    }
}

/// One line of at most 140 characters; GitHub refuses a status with a longer one.
fn short(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= LONGEST_DESCRIPTION {
        return line;
    }
    let mut cut: String = line.chars().take(LONGEST_DESCRIPTION - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn listed(payload: Value) -> Option<Payload> {
        Deployment { id: 1, environment: "staging".to_owned(), payload }.payload()
    }

    #[test]
    fn a_description_is_one_line_of_at_most_140_characters() {
        assert_eq!(short("two\nlines"), "two lines");
        assert_eq!(short(&"ä".repeat(140)), "ä".repeat(140));
        let cut = short(&"ä".repeat(141));
        assert_eq!((cut.chars().count(), cut.chars().last()), (140, Some('…')));
    }

    #[test]
    fn a_payload_is_ours_as_an_object_and_as_text() {
        let payload = json!({ "by": "shipkit", "release": Digest::of(b"r"), "digests": {}, "run": "1/1" });
        assert!(listed(payload.clone()).is_some());
        assert_eq!(listed(Value::String(payload.to_string())), listed(payload));
    }

    #[test]
    fn any_other_payload_is_not_ours() {
        for payload in [
            Value::Null,
            json!(""),
            json!("{"),
            json!({ "by": "shipkit" }),
            json!({ "by": "someone", "release": Digest::of(b"r"), "digests": {} }),
        ] {
            assert_eq!(listed(payload.clone()), None, "{payload}");
        }
    }

    #[test]
    fn two_starts_without_a_run_are_two_deploys() {
        let payload =
            Payload { by: OURS.to_owned(), release: Digest::of(b"r"), digests: BTreeMap::new(), run: None };
        assert!(!payload.is_same_run(&payload));
        let known = Payload { run: Some("1/1".to_owned()), ..payload };
        assert!(known.is_same_run(&known));
        assert!(!known.is_same_run(&Payload { run: Some("1/2".to_owned()), ..known.clone() }));
    }

    #[test]
    fn a_state_that_we_do_not_know_is_left_alone() {
        let status: Status = serde_json::from_value(json!({ "state": "waiting" })).unwrap();
        assert_eq!(status.state, State::Other);
        assert!(!status.state.is_unfinished());
    }
}
