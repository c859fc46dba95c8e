//! `Evidence`: a verdict about a digest, as an in-toto statement.
//!
//! The predicate types are the vetted ones of in-toto where one fits (vulns v0.2, test-result v0.1); a deployment has
//! none yet (in-toto/attestation issue 407), so that one is ours, as is that of an inventory: what is read
//! back of it must be exactly what was found, and no bill of materials has a place for all of that. Each predicate carries our own block under the key
//! [`RECORD_KEY`], and only that block is read back: one shape for all kinds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::digest::Digest;
use crate::verdict::Verdict;

/// The media type of a statement (in-toto attestation spec v1).
pub const STATEMENT_MEDIA_TYPE: &str = "application/vnd.in-toto+json";
/// The type of an in-toto statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The key of our own block in every predicate.
pub const RECORD_KEY: &str = "https://shipkit.dev/record/v1";

/// What a piece of evidence is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An image was judged by a policy; the subject is an image.
    Scan,
    /// What an image of one platform holds, whatever may be thought of that; the subject is that image.
    Inventory,
    /// A release was verified in an environment; the subject is a release.
    Smoke,
    /// A release was deployed to an environment; the subject is a release.
    Deployment,
    /// A release was deployed to an environment that did not admit it, because a person said so; the subject is a release.
    #[serde(rename = "break-glass")]
    BreakGlass,
}

/// A verdict about a digest: who found what, when, where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// What it is about.
    pub kind: Kind,
    /// The verdict.
    pub verdict: Verdict,
    /// One sentence.
    pub cause: String,
    /// The environment, for smoke and deployment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
    /// When it was found.
    pub time: Timestamp,
    /// The program and its version: `image-scan 0.1.0`.
    pub by: String,
    /// The run of GitHub Actions, if one made it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<String>,
    /// What else the program wants to keep; never used to decide.
    #[serde(default)]
    pub details: Value,
}

/// Why bytes are not evidence about the digest that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum BadEvidence {
    /// Not JSON, or not the shape of a statement with our block.
    #[error("not a statement of ours")]
    Shape(#[source] serde_json::Error),
    /// Another statement type.
    #[error("the statement's type is `{0}`")]
    Type(String),
    /// A statement about something else, attached to this digest.
    #[error("it is about `{found}`, not about `{wanted}`")]
    Subject {
        /// The digest in the statement.
        found: String,
        /// The digest it was found at.
        wanted: Digest,
    },
    /// The predicate type is not the one of the record's kind.
    #[error("a `{kind}` record in a predicate of type `{found}`")]
    Predicate {
        /// What the record says it is.
        kind: &'static str,
        /// What the statement says it is.
        found: String,
    },
}

#[derive(Deserialize)]
struct RawStatement {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<RawSubject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: RawPredicate,
}

#[derive(Deserialize)]
struct RawSubject {
    digest: RawDigest,
}

#[derive(Deserialize)]
struct RawDigest {
    sha256: String,
}

#[derive(Deserialize)]
struct RawPredicate {
    #[serde(rename = "https://shipkit.dev/record/v1")]
    record: Record,
}

impl Kind {
    /// The word for tags, reports and `--json`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Inventory => "inventory",
            Self::Smoke => "smoke",
            Self::Deployment => "deployment",
            Self::BreakGlass => "break-glass",
        }
    }

    /// The predicate type of a statement of this kind.
    #[must_use]
    pub fn predicate_type(self) -> &'static str {
        match self {
            Self::Scan => "https://in-toto.io/attestation/vulns/v0.2",
            Self::Inventory => "https://shipkit.dev/attestation/inventory/v1",
            Self::Smoke => "https://in-toto.io/attestation/test-result/v0.1",
            Self::Deployment => "https://shipkit.dev/attestation/deployment/v1",
            Self::BreakGlass => "https://shipkit.dev/attestation/break-glass/v1",
        }
    }
}

impl Record {
    /// The bytes of the in-toto statement that says this about `subject`.
    #[must_use]
    pub fn statement(&self, subject_name: &str, subject: &Digest) -> Vec<u8> {
        let record = json!(self);
        let mut predicate = match self.kind {
            Kind::Scan => json!({
                "scanner": {"uri": "https://github.com/org/shipkit", "version": self.by, "result": []},
                "metadata": {"scanStartedOn": self.time, "scanFinishedOn": self.time},
            }),
            Kind::Smoke => json!({"result": test_result(self.verdict), "configuration": []}),
            Kind::Inventory | Kind::Deployment | Kind::BreakGlass => json!({}),
        };
        if let Some(fields) = predicate.as_object_mut() {
            fields.insert(RECORD_KEY.to_owned(), record);
        }
        let statement = json!({
            "_type": STATEMENT_TYPE,
            "subject": [{"name": subject_name, "digest": {"sha256": subject.hex()}}],
            "predicateType": self.kind.predicate_type(),
            "predicate": predicate,
        });
        statement.to_string().into_bytes()
    }

    /// Reads a statement that was found at `subject`.
    ///
    /// # Errors
    /// When it is not one of ours, or is about another digest.
    pub fn from_statement(bytes: &[u8], subject: &Digest) -> Result<Self, BadEvidence> {
        let statement: RawStatement = serde_json::from_slice(bytes).map_err(BadEvidence::Shape)?;
        if statement.statement_type != STATEMENT_TYPE {
            return Err(BadEvidence::Type(statement.statement_type));
        }
        let about = |s: &RawSubject| s.digest.sha256 == subject.hex();
        if statement.subject.len() != 1 || !statement.subject.iter().all(about) {
            let found =
                statement.subject.iter().map(|s| s.digest.sha256.as_str()).collect::<Vec<_>>().join(", ");
            return Err(BadEvidence::Subject { found, wanted: subject.clone() });
        }
        let record = statement.predicate.record;
        if statement.predicate_type != record.kind.predicate_type() {
            return Err(BadEvidence::Predicate { kind: record.kind.word(), found: statement.predicate_type });
        }
        Ok(record)
    }
}

/// test-result v0.1 knows three words; what could not be found out is not a pass.
fn test_result(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASSED",
        Verdict::Skipped => "WARNED",
        Verdict::Fail | Verdict::Inconclusive | Verdict::Unreachable => "FAILED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: Kind) -> Record {
        Record {
            kind,
            verdict: Verdict::Pass,
            cause: "3 of 3 checks passed".to_owned(),
            environment: Some("staging".to_owned()),
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
            by: "smoke-test 0.1.0".to_owned(),
            run: None,
            details: Value::Null,
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let subject = Digest::of(b"release");
        for kind in [Kind::Scan, Kind::Inventory, Kind::Smoke, Kind::Deployment, Kind::BreakGlass] {
            let bytes = record(kind).statement("shop", &subject);
            assert_eq!(Record::from_statement(&bytes, &subject).unwrap(), record(kind));
        }
    }

    #[test]
    fn a_statement_about_another_digest_is_not_evidence() {
        let bytes = record(Kind::Smoke).statement("shop", &Digest::of(b"other"));
        let error = Record::from_statement(&bytes, &Digest::of(b"release")).unwrap_err();
        assert!(matches!(error, BadEvidence::Subject { .. }), "{error}");
    }

    #[test]
    fn a_scan_record_inside_a_smoke_statement_is_refused() {
        let subject = Digest::of(b"release");
        let text = String::from_utf8(record(Kind::Scan).statement("shop", &subject)).unwrap();
        let forged = text.replace(Kind::Scan.predicate_type(), Kind::Smoke.predicate_type());
        let error = Record::from_statement(forged.as_bytes(), &subject).unwrap_err();
        assert!(matches!(error, BadEvidence::Predicate { .. }), "{error}");
    }
}
