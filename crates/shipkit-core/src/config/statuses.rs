//! `Statuses`: which statuses of HTTP are good.

use std::fmt;
use std::str::FromStr;

/// Which statuses are good: single ones, and classes of a hundred (RFC 9110 15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(Vec<Range>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    One(u16),
    Class(u16),
}

/// What is no status and no class of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an HTTP status (`100` to `599`) and not a class of them (`2xx`)")]
pub struct NotAStatus(String);

impl Statuses {
    /// Only this one; `None` if it is no status.
    #[must_use]
    pub fn one(status: u16) -> Option<Self> {
        (100..600).contains(&status).then(|| Self(vec![Range::One(status)]))
    }

    /// The 200 to 299, which are good where nothing else is said.
    #[must_use]
    pub fn successful() -> Self {
        Self(vec![Range::Class(2)])
    }

    /// Whether this one is good.
    #[must_use]
    pub fn allow(&self, status: u16) -> bool {
        self.0.iter().any(|range| match range {
            Range::One(one) => *one == status,
            Range::Class(class) => *class == status / 100,
        })
    }

    /// Both.
    #[must_use]
    pub(super) fn or(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }
}

impl FromStr for Statuses {
    type Err = NotAStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let statuses = match text.as_bytes() {
            [class @ b'1'..=b'5', b'x', b'x'] => Some(Self(vec![Range::Class(u16::from(class - b'0'))])),
            digits if digits.iter().all(u8::is_ascii_digit) => text.parse().ok().and_then(Self::one),
            _ => None,
        };
        statuses.ok_or_else(|| NotAStatus(text.to_owned()))
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, range) in self.0.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { " or " })?;
            match range {
                Range::One(status) => write!(f, "{status}")?,
                Range::Class(class) => write!(f, "{class}xx")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_a_hundred_and_a_status_is_one() {
        let statuses = "2xx".parse::<Statuses>().unwrap().or("404".parse().unwrap());
        let good: Vec<u16> = (100..600).filter(|status| statuses.allow(*status)).collect();
        let wanted: Vec<u16> = (200..300).chain([404]).collect();
        assert_eq!((good, statuses.to_string().as_str()), (wanted, "2xx or 404"));
        for text in ["", "xx", "0xx", "6xx", "2x", "2xxx", "99", "600", "+200", "-1", "abc", "02xx"] {
            assert!(text.parse::<Statuses>().is_err(), "{text}");
        }
    }
}
