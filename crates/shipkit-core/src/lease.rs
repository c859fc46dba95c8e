//! `Lease`: who may change a target, and until when.
//!
//! It lies on the target. One that is given up is not deleted but ends at once: its token must not be given out again.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::exit::ExitCode;
use crate::hint::Hint;

/// How long a lease lasts.
pub const DURATION: Duration = Duration::from_mins(1);
/// How often its owner asks for it again.
pub const RENEW_EVERY: Duration = Duration::from_secs(15);
/// The greatest token that JSON carries everywhere; a target changes hands less often.
const MOST: u64 = (1 << 53) - 1;

/// The right to change a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Who has it: one run, in words for people.
    pub owner: String,
    /// The fencing token: grows by one with each new holder. What carries an older one comes from a run that lost the
    /// lease and does not know it.
    pub token: u64,
    /// When it ends, by the clock of the target.
    pub expires: Timestamp,
}

/// Who asks for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// The owner that the lease would name.
    pub owner: String,
    /// The token that it was given; `None` before it has the lease.
    pub token: Option<u64>,
}

/// What the claimant does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The lease is free: write this one over exactly what was read, which fails for all but one.
    Take(Lease),
    /// It is the claimant's: write this one over exactly what was read.
    Renew(Lease),
    /// Somebody else has it.
    Wait {
        /// What they have.
        held: Lease,
        /// How long it lasts if they do not renew it.
        left: Duration,
    },
    /// The claimant had it and has it no more: it must not change anything from here on.
    Lost {
        /// What is there instead; `None` if somebody deleted it.
        to: Option<Lease>,
    },
}

impl Claim {
    /// The lease that is to be written; `None` if none is.
    #[must_use]
    pub const fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Take(lease) | Self::Renew(lease) => Some(lease),
            Self::Wait { .. } | Self::Lost { .. } => None,
        }
    }
}

/// What lies there is not a lease.
#[derive(Debug, thiserror::Error)]
pub enum BadLease {
    /// Not JSON, or not the shape of a lease.
    #[error("the lease on the target cannot be read")]
    Shape(#[source] serde_json::Error),
    /// A token that was never given out.
    #[error("the lease on the target has the token {0}, which no lease has")]
    Token(u64),
}

impl Lease {
    /// Reads what lies on the target.
    ///
    /// # Errors
    /// When it is not a lease.
    pub fn parse(text: &str) -> Result<Self, BadLease> {
        let lease: Self = serde_json::from_str(text).map_err(BadLease::Shape)?;
        if (1..MOST).contains(&lease.token) { Ok(lease) } else { Err(BadLease::Token(lease.token)) }
    }

    /// The same lease, given up: whoever comes next may take it at once.
    #[must_use]
    pub fn released(&self, now: Timestamp) -> Self {
        Self { expires: now.min(self.expires), ..self.clone() }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.expires <= now
    }
}

/// Decides what a claimant does, given what is there `now`, by the clock of the target.
///
/// A claimant without a token waits even for a lease that names it as the owner: two jobs of one run have the same name.
/// One with a token goes on with its own lease even after it ended, as long as nobody else took it.
#[must_use]
pub fn claim(there: Option<&Lease>, me: &Claimant, now: Timestamp, duration: Duration) -> Claim {
    let lease = |token| Lease {
        owner: me.owner.clone(),
        token,
        expires: now.checked_add(duration).unwrap_or(Timestamp::MAX),
    };
    match (there, me.token) {
        (Some(there), Some(token)) if there.token == token && there.owner == me.owner => {
            Claim::Renew(lease(token))
        }
        (there, Some(_)) => Claim::Lost { to: there.cloned() },
        (None, None) => Claim::Take(lease(1)),
        (Some(there), None) if there.is_over(now) => Claim::Take(lease(there.token.saturating_add(1))),
        (Some(there), None) => {
            let left = there.expires.duration_since(now).unsigned_abs();
            Claim::Wait { held: there.clone(), left }
        }
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` until {} (token {})", self.owner, self.expires, self.token)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Take(lease) => write!(f, "the target is free, and taken by {lease}"),
            Self::Renew(lease) => write!(f, "the target stays with {lease}"),
            Self::Wait { held, left } => {
                write!(f, "the target is held by {held}, for {} s unless that renews it", left.as_secs())
            }
            Self::Lost { to: Some(lease) } => write!(f, "the target was taken over by {lease}"),
            Self::Lost { to: None } => f.write_str("the lease on the target was deleted by somebody"),
        }
    }
}

impl Hint for BadLease {
    fn hint(&self) -> Option<String> {
        Some("if no other run is under way, delete the lease on the target".to_owned())
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn lease(owner: &str, token: u64, until: i64) -> Lease {
        Lease { owner: owner.to_owned(), token, expires: at(until) }
    }

    #[track_caller]
    fn check(there: Option<&Lease>, token: Option<u64>, expected: &Claim) {
        let me = Claimant { owner: "me".to_owned(), token };
        assert_eq!(claim(there, &me, at(100), DURATION), *expected);
    }

    #[test]
    fn a_free_target_is_taken_with_the_next_token() {
        check(None, None, &Claim::Take(lease("me", 1, 160)));
        check(Some(&lease("other", 7, 100)), None, &Claim::Take(lease("me", 8, 160)));
        check(Some(&lease("me", 7, 99)), None, &Claim::Take(lease("me", 8, 160)));
    }

    #[test]
    fn a_lease_of_somebody_else_is_waited_for_until_it_ends() {
        let held = lease("other", 7, 101);
        check(Some(&held), None, &Claim::Wait { held: held.clone(), left: Duration::from_secs(1) });
    }

    #[test]
    fn a_second_job_of_the_same_run_waits_too() {
        let held = lease("me", 7, 142);
        check(Some(&held), None, &Claim::Wait { held: held.clone(), left: Duration::from_secs(42) });
    }

    #[test]
    fn its_owner_renews_it_with_the_same_token_even_late() {
        check(Some(&lease("me", 7, 120)), Some(7), &Claim::Renew(lease("me", 7, 160)));
        check(Some(&lease("me", 7, 20)), Some(7), &Claim::Renew(lease("me", 7, 160)));
    }

    #[test]
    fn what_somebody_else_took_or_deleted_is_lost_even_if_they_are_gone() {
        for there in
            [lease("other", 8, 150), lease("other", 8, 50), lease("other", 7, 150), lease("me", 8, 150)]
        {
            check(Some(&there), Some(7), &Claim::Lost { to: Some(there.clone()) });
        }
        check(None, Some(7), &Claim::Lost { to: None });
    }

    #[test]
    fn a_lease_that_is_given_up_is_free_at_once_and_its_token_is_not_given_out_again() {
        let released = lease("other", 7, 150).released(at(100));
        check(Some(&released), None, &Claim::Take(lease("me", 8, 160)));
        assert_eq!(lease("other", 7, 50).released(at(100)).expires, at(50));
    }

    #[test]
    fn people_read_who_holds_it_and_until_when() {
        let me = Claimant { owner: "me".to_owned(), token: None };
        let wait = claim(Some(&lease("shop run 12", 7, 142)), &me, at(100), DURATION);
        let said = "the target is held by `shop run 12` until 2027-01-15T08:02:22Z (token 7), \
                    for 42 s unless that renews it";
        assert_eq!(wait.to_string(), said);
        let lost = Claim::Lost { to: Some(lease("b", 8, 0)) };
        assert_eq!(lost.to_string(), "the target was taken over by `b` until 2027-01-15T08:00:00Z (token 8)");
    }

    #[test]
    fn it_comes_back_from_the_target_as_it_went() {
        let lease = lease("me", 7, 1);
        assert_eq!(Lease::parse(&serde_json::to_string(&lease).unwrap()).unwrap(), lease);
    }

    #[test]
    fn what_is_no_lease_is_an_error_and_never_a_free_target() {
        let with =
            |token: &str| format!(r#"{{"owner":"a","token":{token},"expires":"2027-01-15T08:00:00Z"}}"#);
        assert!(Lease::parse(&with("1")).is_ok());
        for text in ["", "{}", "null", "7", &with("0"), &with("18446744073709551615"), &with("-1")] {
            let error = Lease::parse(text).unwrap_err();
            assert!(error.hint().is_some() && error.exit_code() == ExitCode::Unknown, "{text}: {error}");
        }
    }

    #[test]
    fn a_lease_that_would_outlast_time_ends_with_it() {
        let me = Claimant { owner: "me".to_owned(), token: None };
        let claimed = claim(None, &me, Timestamp::MAX, DURATION);
        assert_eq!(claimed, Claim::Take(Lease { owner: "me".to_owned(), token: 1, expires: Timestamp::MAX }));
    }
}
