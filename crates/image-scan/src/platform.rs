//! `Wanted`: the platform of which images are judged.

use std::fmt;
use std::str::FromStr;

/// A platform, as `linux/amd64` or `linux/arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted(String);

/// It is no platform.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no platform such as `linux/amd64` or `linux/arm/v7`, and not `all`")]
pub struct NotAPlatform(String);

/// Which platforms are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platforms {
    /// Every one that there is.
    All,
    /// Only this one.
    One(Wanted),
}

impl Wanted {
    /// Whether a platform is this one. A variant that is the usual one need not be said (containerd, `platforms.Normalize`).
    pub(crate) fn is(&self, platform: &str) -> bool {
        normal(&self.0) == normal(platform)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Platforms {
    type Err = NotAPlatform;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Self::All);
        }
        let is_word = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        let parts = text.split('/').count();
        if (2..=3).contains(&parts) && text.split('/').all(is_word) {
            return Ok(Self::One(Wanted(text.to_owned())));
        }
        Err(NotAPlatform(text.to_owned()))
    }
}

impl Platforms {
    /// The one, if it is one.
    pub(crate) fn wanted(&self) -> Option<&Wanted> {
        match self {
            Self::All => None,
            Self::One(wanted) => Some(wanted),
        }
    }
}

fn normal(platform: &str) -> &str {
    match platform {
        "linux/arm64/v8" => "linux/arm64",
        "linux/arm/v7" => "linux/arm",
        "linux/amd64/v1" => "linux/amd64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_has_two_parts_or_three() {
        for (text, other, expected) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64", "linux/arm64", false),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm/v7", "linux/arm", true),
            ("linux/arm/v6", "linux/arm", false),
        ] {
            let platforms: Platforms = text.parse().unwrap();
            assert_eq!(platforms.wanted().unwrap().is(other), expected, "{text} {other}");
        }
        assert_eq!("all".parse::<Platforms>().unwrap(), Platforms::All);
        for bad in ["", "linux", "linux/", "linux/amd64/v1/x", "linux/am d64", "All"] {
            bad.parse::<Platforms>().unwrap_err();
        }
    }
}
