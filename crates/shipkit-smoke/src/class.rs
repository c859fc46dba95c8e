//! `Class`: the ways in which a request ends badly.

use std::fmt;

use serde::{Serialize, Serializer};

/// How a request ended badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The name has no address.
    Dns,
    /// Nothing listens there.
    Refused,
    /// There is no way to the host from here.
    NoRoute,
    /// The host did not take the connection in time.
    ConnectTimeout,
    /// The certificate is not for this name, not trusted or not valid now, or there was no TLS.
    Tls,
    /// The connection ended before the answer did.
    Reset,
    /// The answer did not come in time.
    Timeout,
    /// What came is no HTTP, or more of it than anybody needs.
    Protocol,
    /// A status that was not expected.
    Status(u16),
    /// The headers are not what they should be.
    Headers,
    /// The body is not what it should be.
    Body,
    /// What name servers say of the name is not what it should be.
    Records,
    /// It was not sent in time, because too many requests were waiting for their answers.
    Dropped,
    /// Another than the one that is meant has answered.
    Elsewhere,
    /// A program here did not end well, or in time.
    Command,
}

impl Class {
    /// Whether the host gave no sign of life at all, so that the fault may be between here and there.
    #[must_use]
    pub fn is_silence(self) -> bool {
        match self {
            Self::Dns | Self::NoRoute | Self::ConnectTimeout => true,
            Self::Refused
            | Self::Tls
            | Self::Reset
            | Self::Timeout
            | Self::Protocol
            | Self::Status(_)
            | Self::Headers
            | Self::Body
            | Self::Records
            | Self::Dropped
            | Self::Elsewhere
            | Self::Command => false,
        }
    }

    /// Whether it may be better a moment later. Who is not let in today is not let in tomorrow either.
    #[must_use]
    pub fn is_mendable(self) -> bool {
        match self {
            Self::Dns
            | Self::Refused
            | Self::NoRoute
            | Self::ConnectTimeout
            | Self::Reset
            | Self::Timeout
            | Self::Body
            | Self::Records
            | Self::Dropped
            | Self::Elsewhere
            | Self::Command => true,
            Self::Tls | Self::Protocol | Self::Headers => false,
            // 408 Request Timeout, 425 Too Early, 429 Too Many Requests (RFC 9110 15.5.9, RFC 8470, RFC 6585).
            Self::Status(status) => matches!(status, 408 | 425 | 429 | 500..=599),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::NoRoute => "no route",
            Self::ConnectTimeout => "connect timeout",
            Self::Tls => "tls",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Status(status) => return write!(f, "status {status}"),
            Self::Headers => "wrong headers",
            Self::Body => "wrong body",
            Self::Records => "wrong records",
            Self::Dropped => "dropped",
            Self::Elsewhere => "elsewhere",
            Self::Command => "command",
        })
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_time_can_mend_is_tried_again() {
        for status in [408, 425, 429, 500, 502, 503, 599] {
            assert!(Class::Status(status).is_mendable(), "{status}");
        }
        for status in [200, 301, 400, 401, 403, 404] {
            assert!(!Class::Status(status).is_mendable(), "{status}");
        }
        assert!(!Class::Tls.is_mendable());
        assert!(Class::Refused.is_mendable());
    }
}
