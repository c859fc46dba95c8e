//! Admission: may this release be deployed to this environment, going by the evidence found?
//!
//! Decided from evidence, never from the order of jobs. The newest record of a kind counts, so that a `fail` written
//! after a `pass` refuses. What is missing or unreadable is `inconclusive`: it could not be found out.

use crate::evidence::{Kind, Record};
use crate::reference::ImageRef;
use crate::verdict::{Outcome, Verdict};

/// One piece of evidence that an environment asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Required {
    /// This image passed its scan.
    Scan {
        /// The service, for the sentence.
        service: String,
        /// The image that is judged.
        image: ImageRef,
        /// The environment by whose policy, if it has one of its own. What passed for another one says nothing here.
        environment: Option<String>,
    },
    /// The release passed this kind of check in an environment before this one.
    Release {
        /// `smoke` or `deployment`.
        kind: Kind,
        /// Where.
        environment: String,
    },
}

/// What looking for one required piece of evidence gave.
#[derive(Debug, Clone)]
pub enum Found {
    /// The records at the subject of this kind (and environment), in any order; possibly none.
    Records(Vec<Record>),
    /// They could not be read; the text says why.
    Unreadable(String),
}

/// What an environment asks for: a scan of every image, one more where the policy is its own (`judged_for` is its name then), and that the
/// same release was deployed and verified in every environment named under `needs`.
#[must_use]
pub fn required<'a>(
    images: impl IntoIterator<Item = (&'a String, ImageRef)>,
    needs: &[String],
    judged_for: Option<&str>,
) -> Vec<Required> {
    let policies = [None].into_iter().chain(judged_for.map(Some));
    let scans = images.into_iter().flat_map(|(service, image)| {
        policies.clone().map(move |environment| Required::Scan {
            service: service.clone(),
            image: image.clone(),
            environment: environment.map(str::to_owned),
        })
    });
    let before = needs.iter().flat_map(|environment| {
        [Kind::Deployment, Kind::Smoke]
            .map(|kind| Required::Release { kind, environment: environment.clone() })
    });
    scans.chain(before).collect()
}

/// Judges one required piece of evidence.
#[must_use]
pub fn judge(required: &Required, found: &Found) -> Outcome {
    let records = match found {
        Found::Records(records) => records,
        Found::Unreadable(why) => {
            return Outcome::inconclusive(format!("{} could not be read: {why}", required.name()));
        }
    };
    let fits = |record: &&Record| match required {
        Required::Scan { environment, .. } => record.kind == Kind::Scan && record.environment == *environment,
        Required::Release { kind, environment } => {
            record.kind == *kind && record.environment.as_ref() == Some(environment)
        }
    };
    // Of two records of the same moment the one that does not pass counts.
    let newest =
        records.iter().filter(fits).max_by_key(|record| (record.time, record.verdict != Verdict::Pass));
    match newest {
        None => Outcome::inconclusive(format!("{} is missing{}", required.name(), required.made_by())),
        Some(newest) => match newest.verdict {
            Verdict::Pass => Outcome::pass(format!("{}: pass, {}", required.name(), newest.time)),
            Verdict::Fail => Outcome::fail(format!("{} says fail: {}", required.name(), newest.cause)),
            Verdict::Inconclusive | Verdict::Unreachable | Verdict::Skipped => Outcome::inconclusive(
                format!("{} says {}: {}", required.name(), newest.verdict, newest.cause),
            ),
        },
    }
}

/// The admission: every required piece judged, and the verdict over all. Where nothing is required it passes and says so.
#[must_use]
pub fn admit(judged: &[Outcome]) -> Outcome {
    let verdict =
        if judged.is_empty() { Verdict::Pass } else { Verdict::of_all(judged.iter().map(|o| o.verdict)) };
    let decisive =
        judged.iter().filter(|outcome| outcome.verdict == verdict).map(|outcome| outcome.cause.as_str());
    let cause = match verdict {
        Verdict::Pass => format!(
            "{} of {} required pieces of evidence pass (advisory: unsigned)",
            judged.len(),
            judged.len()
        ),
        Verdict::Fail | Verdict::Inconclusive | Verdict::Unreachable | Verdict::Skipped => {
            decisive.collect::<Vec<_>>().join("; ")
        }
    };
    Outcome { verdict, cause }
}

impl Required {
    /// How a sentence calls it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Scan { service, image, environment } => {
                let by = environment.as_ref().map(|name| format!(" by the policy of `{name}`"));
                format!("the scan of `{service}` ({}){}", image.digest.short(), by.unwrap_or_default())
            }
            Self::Release { kind, environment } => format!("the {} evidence of `{environment}`", kind.word()),
        }
    }

    /// What makes it, where nobody would guess.
    fn made_by(&self) -> String {
        match self {
            Self::Scan { environment: Some(name), .. } => {
                format!(": `image-scan --release RELEASE --environment {name}` makes it")
            }
            Self::Scan { environment: None, .. } | Self::Release { .. } => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use serde_json::Value;

    fn scan() -> Required {
        let image = "ghcr.io/a/api".parse::<crate::Repository>().unwrap().at(&Digest::of(b"api"));
        Required::Scan { service: "api".to_owned(), image, environment: None }
    }

    /// The scan that `production` asks for besides.
    fn own_scan() -> Required {
        match scan() {
            Required::Scan { service, image, .. } => {
                Required::Scan { service, image, environment: Some("production".to_owned()) }
            }
            Required::Release { .. } => unreachable!(),
        }
    }

    fn staging(kind: Kind) -> Required {
        Required::Release { kind, environment: "staging".to_owned() }
    }

    fn record(kind: Kind, environment: Option<&str>, verdict: Verdict, minute: u8) -> Record {
        Record {
            kind,
            verdict,
            cause: "because".to_owned(),
            environment: environment.map(str::to_owned),
            time: format!("2026-01-02T03:{minute:02}:00Z").parse().unwrap(),
            by: "test 1".to_owned(),
            run: None,
            details: Value::Null,
        }
    }

    #[track_caller]
    fn check(required: &Required, records: Vec<Record>, verdict: Verdict) {
        assert_eq!(judge(required, &Found::Records(records)).verdict, verdict);
    }

    #[test]
    fn a_pass_is_a_pass() {
        check(&scan(), vec![record(Kind::Scan, None, Verdict::Pass, 1)], Verdict::Pass);
    }

    #[test]
    fn no_evidence_is_never_a_pass_and_never_a_fail() {
        check(&scan(), vec![], Verdict::Inconclusive);
        assert_eq!(judge(&scan(), &Found::Unreadable("503".to_owned())).verdict, Verdict::Inconclusive);
    }

    #[test]
    fn the_newest_record_counts() {
        let (pass, fail) =
            (record(Kind::Scan, None, Verdict::Pass, 1), record(Kind::Scan, None, Verdict::Fail, 2));
        check(&scan(), vec![fail.clone(), pass.clone()], Verdict::Fail);
        let later = record(Kind::Scan, None, Verdict::Pass, 3);
        check(&scan(), vec![later, fail, pass], Verdict::Pass);
    }

    #[test]
    fn of_two_records_of_one_moment_the_one_that_does_not_pass_counts() {
        let pass = record(Kind::Scan, None, Verdict::Pass, 1);
        for (verdict, judged) in
            [(Verdict::Fail, Verdict::Fail), (Verdict::Inconclusive, Verdict::Inconclusive)]
        {
            let other = record(Kind::Scan, None, verdict, 1);
            check(&scan(), vec![pass.clone(), other.clone()], judged);
            check(&scan(), vec![other, pass.clone()], judged);
        }
    }

    #[test]
    fn evidence_of_another_environment_or_kind_does_not_count() {
        check(
            &staging(Kind::Smoke),
            vec![record(Kind::Smoke, Some("dev"), Verdict::Pass, 1)],
            Verdict::Inconclusive,
        );
        check(
            &staging(Kind::Smoke),
            vec![record(Kind::Deployment, Some("staging"), Verdict::Pass, 1)],
            Verdict::Inconclusive,
        );
        check(
            &staging(Kind::Smoke),
            vec![record(Kind::Smoke, Some("staging"), Verdict::Pass, 1)],
            Verdict::Pass,
        );
    }

    #[test]
    fn what_could_not_be_found_out_does_not_pass() {
        for verdict in [Verdict::Inconclusive, Verdict::Unreachable, Verdict::Skipped] {
            check(&scan(), vec![record(Kind::Scan, None, verdict, 1)], Verdict::Inconclusive);
        }
    }

    #[test]
    fn one_failed_piece_refuses_and_the_sentence_names_it() {
        let outcome = admit(&[
            Outcome::pass("a"),
            Outcome::fail("the scan of `api` says fail"),
            Outcome::inconclusive("b"),
        ]);
        assert_eq!(outcome, Outcome::fail("the scan of `api` says fail"));
        assert_eq!(admit(&[]).verdict, Verdict::Pass);
    }

    #[test]
    fn an_environment_with_needs_asks_for_smoke_and_deployment_there() {
        let images = [(
            "api".to_owned(),
            "ghcr.io/a/api".parse::<crate::Repository>().unwrap().at(&Digest::of(b"api")),
        )];
        let asked =
            required(images.iter().map(|(name, image)| (name, image.clone())), &["staging".to_owned()], None);
        assert_eq!(asked, [scan(), staging(Kind::Deployment), staging(Kind::Smoke)]);
        let named = images.iter().map(|(name, image)| (name, image.clone()));
        assert_eq!(required(named, &[], Some("production")), [scan(), own_scan()]);
    }

    #[test]
    fn a_scan_counts_for_the_policy_that_it_was_judged_by() {
        let by = |environment| vec![record(Kind::Scan, environment, Verdict::Pass, 1)];
        for (required, environment, verdict) in [
            (own_scan(), Some("production"), Verdict::Pass),
            (own_scan(), Some("staging"), Verdict::Inconclusive),
            (own_scan(), None, Verdict::Inconclusive),
            (scan(), Some("production"), Verdict::Inconclusive),
            (scan(), None, Verdict::Pass),
        ] {
            check(&required, by(environment), verdict);
        }
        // A later verdict by another policy hides nothing.
        let failed = record(Kind::Scan, Some("production"), Verdict::Fail, 1);
        let later = record(Kind::Scan, None, Verdict::Pass, 2);
        check(&own_scan(), vec![failed, later], Verdict::Fail);
        let missing = judge(&own_scan(), &Found::Records(by(Some("staging")))).cause;
        assert!(
            missing.ends_with("is missing: `image-scan --release RELEASE --environment production` makes it")
        );
    }
}
