//! When a failed request is tried again, and after how long.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::error::Error;

/// One request is sent at most this often.
const TRIES: u32 = 5;
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(8);
/// No connection at all is either a restart that is over soon, or a registry that is down and should be reported so.
const LONGEST_UNCONNECTED: Duration = Duration::from_secs(2);

/// Why one try did not work, and whether another one may.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Box<Error>,
    pub(crate) again: Again,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Again {
    /// The answer will be the same.
    Never,
    /// After a pause that grows.
    Later,
    /// After a short pause: there was no connection.
    Soon,
    /// After the pause that the registry asks for.
    After(Duration),
    /// At once and one time only: the login has been renewed.
    Renewed,
}

/// The tries of one call.
pub(crate) struct Tries {
    pub(crate) failed: u32,
    is_renewed: bool,
    pub(crate) deadline: Instant,
}

impl Tries {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self { failed: 0, is_renewed: false, deadline }
    }

    /// Waits until the next try.
    ///
    /// # Errors
    /// The failure, when there is no next try.
    pub(crate) async fn wait(&mut self, failure: Failure) -> Result<(), Error> {
        let Failure { error, again } = failure;
        let grown = Duration::from_secs(1).saturating_mul(1 << self.failed.min(8));
        self.failed += 1;
        let pause = match again {
            Again::Never => return Err(*error),
            Again::Renewed if self.is_renewed => return Err(*error),
            _ if TRIES <= self.failed => return Err(*error),
            Again::Later => jitter(SHORTEST, grown.min(LONGEST)),
            Again::Soon => jitter(SHORTEST, grown.min(LONGEST_UNCONNECTED)),
            Again::After(pause) => pause,
            Again::Renewed => Duration::ZERO,
        };
        self.is_renewed |= matches!(again, Again::Renewed);
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left <= pause {
            return Err(match (again, *error) {
                (Again::After(pause), Error::Status { registry, what, .. }) => {
                    Error::Busy { registry, what, seconds: pause.as_secs() }
                }
                (_, error) => error,
            });
        }
        tracing::debug!("try {} failed, next in {pause:?}: {error}", self.failed);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// A random time between the two, so that many clients do not come back together.
pub(crate) fn jitter(shortest: Duration, longest: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    shortest + longest.saturating_sub(shortest).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// Reads `Retry-After`: seconds, or an HTTP date (RFC 9110, 10.2.3). What is neither is as if it were not there.
pub(crate) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value.trim()).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Fri, 02 Jan 2026 03:04:15 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Fri, 02 Jan 2026 03:04:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
    }

    #[test]
    fn a_pause_lies_between_its_bounds() {
        for _ in 0..200 {
            let pause = jitter(SHORTEST, LONGEST);
            assert!(SHORTEST <= pause && pause <= LONGEST, "{pause:?}");
        }
    }
}
