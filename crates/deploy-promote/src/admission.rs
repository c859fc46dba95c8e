//! Reads the evidence that an environment asks for, and lets core judge it.

use shipkit_core::admission::{Found, Required, admit, judge, required};
use shipkit_core::config::Environment;
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

/// May this release go to an environment?
pub(crate) async fn ask(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
    release: &Release,
    to: &Environment,
) -> Admission {
    let Environment { name, needs, scan, .. } = to;
    let images = release.services.iter().map(|(name, service)| (name, service.image()));
    let again = if needs.is_empty() { Ok(None) } else { named_again(registry, repository, release).await };
    let subjects: Result<Vec<_>, _> = match again {
        Ok(built) => Ok([digest.clone()].into_iter().chain(built.filter(|built| built != digest)).collect()),
        Err(error) => Err(error.to_string()),
    };
    let mut judged = Vec::new();
    for wanted in required(images, needs, scan.as_ref().map(|_| name.as_str())) {
        let found = match (&wanted, &subjects) {
            (Required::Scan { image, environment, .. }, _) => {
                let kinds = [(Kind::Scan, environment.as_deref())];
                found_of(registry.evidence(&image.repository, &image.digest, &kinds).await)
            }
            (Required::Release { .. }, Err(why)) => Found::Unreadable(why.clone()),
            (Required::Release { kind, environment }, Ok(subjects)) => {
                found_on(registry, repository, subjects, &[(*kind, Some(environment))]).await
            }
        };
        let outcome = judge(&wanted, &found);
        judged.push((wanted, outcome));
    }
    let outcomes: Vec<_> = judged.iter().map(|(_, outcome)| outcome.clone()).collect();
    Admission { judged, outcome: admit(&outcomes) }
}

/// The release that the git tag of this one names again: that of the commit, if its images are the very same. What
/// passed there is what is here.
async fn named_again(
    registry: &Registry,
    repository: &Repository,
    release: &Release,
) -> Result<Option<Digest>, Error> {
    if !release.is_of_git_tag() {
        return Ok(None);
    }
    let built = match registry.find_release(repository, &release.commit).await {
        Ok(built) => built,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let is_same = registry.release(repository, &built).await?.has_images_of(release);
    Ok(is_same.then_some(built))
}

/// The evidence on all of these releases.
async fn found_on(
    registry: &Registry,
    repository: &Repository,
    subjects: &[Digest],
    kinds: &[(Kind, Option<&str>)],
) -> Found {
    let mut records = Vec::new();
    for subject in subjects {
        match found_of(registry.evidence(repository, subject, kinds).await) {
            Found::Records(found) => records.extend(found),
            Found::Unreadable(why) => return Found::Unreadable(why),
        }
    }
    Found::Records(records)
}

fn found_of(found: Result<Evidence, Error>) -> Found {
    match found {
        Ok(evidence) => Found::Records(evidence.records),
        Err(error) => Found::Unreadable(error.to_string()),
    }
}

/// That a release goes to an environment which does not admit it: the refusal, and who said why it should not count.
pub(crate) fn break_glass(
    refusal: &Outcome,
    reason: &str,
    actor: Option<&str>,
    record: impl FnOnce(Kind, &Outcome) -> Record,
) -> Record {
    let cause = format!("{reason}; it was not admitted: {}", refusal.cause);
    let outcome = Outcome { verdict: refusal.verdict, cause };
    let details = serde_json::json!({"reason": reason, "refusal": refusal.cause, "actor": actor});
    Record { details, ..record(Kind::BreakGlass, &outcome) }
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
