//! Reads the evidence that an environment asks for, and lets core judge it.

use shipkit_core::admission::{Found, Required, admit, judge, required};
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::verdict::Outcome;
use shipkit_core::{Digest, Release, Repository};
use shipkit_registry::{Error, Evidence, Registry};

/// What was asked for and found, and the verdict over all.
pub(crate) struct Admission {
    /// Each required piece with its verdict.
    pub(crate) judged: Vec<(Required, Outcome)>,
    /// The verdict.
    pub(crate) outcome: Outcome,
}

/// May this release go to an environment with these `needs`?
pub(crate) async fn ask(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
    release: &Release,
    needs: &[String],
) -> Admission {
    let images = release.services.iter().map(|(name, service)| (name, service.image()));
    let mut judged = Vec::new();
    for wanted in required(images, needs) {
        let found = match &wanted {
            Required::Scan { image, .. } => {
                registry.evidence(&image.repository, &image.digest, &[(Kind::Scan, None)]).await
            }
            Required::Release { kind, environment } => {
                registry.evidence(repository, digest, &[(*kind, Some(environment))]).await
            }
        };
        let outcome = judge(&wanted, &found_of(found));
        judged.push((wanted, outcome));
    }
    let outcomes: Vec<_> = judged.iter().map(|(_, outcome)| outcome.clone()).collect();
    Admission { judged, outcome: admit(&outcomes) }
}

fn found_of(found: Result<Evidence, Error>) -> Found {
    match found {
        Ok(evidence) => Found::Records(evidence.records),
        Err(error) => Found::Unreadable(error.to_string()),
    }
}

/// A record about a release in an environment.
pub(crate) fn record(
    kind: Kind,
    outcome: &Outcome,
    environment: &str,
    time: jiff::Timestamp,
    run: Option<String>,
) -> Record {
    Record {
        kind,
        verdict: outcome.verdict,
        cause: outcome.cause.clone(),
        environment: Some(environment.to_owned()),
        time,
        by: concat!("deploy-promote ", env!("CARGO_PKG_VERSION")).to_owned(),
        run,
        details: serde_json::Value::Null,
    }
}
