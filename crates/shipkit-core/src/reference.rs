//! Names of images: `Repository`, `Tag` and `ImageRef`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A repository at a registry: `ghcr.io/acme/shop/api`, without tag or digest.
///
/// The registry is the part before the first `/` when it holds a `.`, a `:` or is `localhost`; a name without one
/// means Docker Hub (`docker.io`, with `library/` before a single component), as for `docker pull`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository {
    registry: String,
    path: String,
}

/// A tag, by the grammar of the OCI distribution-spec: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

/// One image, and never another: a repository and a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    /// Where it can be had.
    pub repository: Repository,
    /// What it is.
    pub digest: Digest,
}

/// An image as people write it: by tag (`latest`, where there is none) or by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageName {
    /// Whatever the tag names now.
    Tagged(Repository, Tag),
    /// One image, and never another.
    Fixed(ImageRef),
}

/// Why a text does not name a repository, a tag or an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Upper-case letters, and nothing else that is wrong: GitHub allows them in owners, and registries do not.
    #[error("`{text}` has upper-case letters, which no registry takes: write `{lower}`")]
    UpperCase {
        /// The name as it was typed.
        text: String,
        /// The name that was meant.
        lower: String,
    },
    /// Spaces and the like.
    #[error("`{0}` is not a repository name: lower-case letters, digits, `.`, `_`, `-` and `/` make one")]
    Repository(String),
    /// A repository name that carries a tag or a digest where none belongs.
    #[error("`{0}` carries a tag or a digest where only a repository name belongs")]
    Tagged(String),
    /// Not by the grammar, or longer than 128 characters.
    #[error(
        "`{0}` is not a tag: it has 1 to 128 letters, digits, `_`, `.` and `-`, and begins with neither `.` nor `-`"
    )]
    Tag(String),
    /// An image without a digest, or with a bad one.
    #[error("`{0}` does not name an image by digest, as in `ghcr.io/acme/api@sha256:...`")]
    Image(String),
}

/// The one name of a registry that counts where registries are compared: Docker Hub has three.
#[must_use]
pub fn canonical_registry(host: &str) -> &str {
    match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    }
}

impl Repository {
    /// Reads a prefix of repositories as people write it: in any case, because registries know the lower one only, and
    /// with or without a `/` at its end.
    ///
    /// # Errors
    /// When it is no repository name in lower case either.
    pub fn prefix(text: &str) -> Result<Self, BadName> {
        text.trim_end_matches('/').to_lowercase().parse()
    }

    /// The same place, under the one name of its registry that counts.
    #[must_use]
    pub fn canonical(&self) -> Self {
        Self { registry: canonical_registry(&self.registry).to_owned(), path: self.path.clone() }
    }

    /// Host and port of the registry, as written.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name at the registry: `acme/shop/api`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The repository `name` below this one: `ghcr.io/acme/shop` and `api` give `ghcr.io/acme/shop/api`.
    ///
    /// # Errors
    /// When the joined name is not a repository name.
    pub fn join(&self, name: &str) -> Result<Self, BadName> {
        format!("{self}/{name}").parse()
    }

    /// The image in this repository that `digest` identifies.
    #[must_use]
    pub fn at(&self, digest: &Digest) -> ImageRef {
        ImageRef { repository: self.clone(), digest: digest.clone() }
    }

    /// Whether the registry is on this machine, so that plain HTTP is what it speaks.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.registry.rsplit_once(':').map_or(self.registry.as_str(), |(host, _)| host);
        host == "localhost" || host == "[::1]" || host.starts_with("127.")
    }
}

/// One path component by the distribution-spec: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
    let ends_well = |b: Option<u8>| b.is_some_and(alphanumeric);
    if !ends_well(text.bytes().next()) || !ends_well(text.bytes().last()) {
        return false;
    }
    text.split(|c: char| c.is_ascii_digit() || c.is_ascii_lowercase())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_fits = match bare {
        Some(address) => !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => {
            !host.is_empty()
                && host.split('.').all(|label| {
                    !label.is_empty()
                        && !label.starts_with('-')
                        && !label.ends_with('-')
                        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                })
        }
    };
    host_fits && port.is_none_or(|p| p.parse::<u16>().is_ok())
}

impl FromStr for Repository {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let last = text.rsplit('/').next().unwrap_or(text);
        let names_a_registry = |first: &str| first.contains(['.', ':']) || first == "localhost";
        let (registry, path) = match text.split_once('/') {
            Some((first, rest)) if names_a_registry(first) => (first.to_owned(), rest.to_owned()),
            Some(_) => ("docker.io".to_owned(), text.to_owned()),
            None => ("docker.io".to_owned(), format!("library/{text}")),
        };
        if text.contains('@') || last.contains(':') {
            return Err(BadName::Tagged(text.to_owned()));
        }
        // 255 characters for registry and path together is what registries accept.
        let fits = is_registry(&registry) && path.split('/').all(is_component) && text.len() <= 255;
        if fits {
            return Ok(Self { registry, path });
        }
        let lower = text.to_lowercase();
        // Once it is in lower case this cannot come again.
        let is_case_alone = lower != text && lower.parse::<Self>().is_ok();
        let text = text.to_owned();
        Err(if is_case_alone { BadName::UpperCase { text, lower } } else { BadName::Repository(text) })
    }
}

impl Tag {
    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let fits = (1..=128).contains(&text.len())
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|b| word(b) || b == b'.' || b == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(BadName::Tag(text.to_owned())) }
    }
}

impl FromStr for ImageRef {
    type Err = BadName;

    /// Reads `repository@sha256:...`; a tag between them is dropped, because the digest already decides.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadName::Image(text.to_owned());
        let (name, digest) = text.split_once('@').ok_or_else(bad)?;
        let digest = digest.parse().map_err(|_not_a_digest| bad())?;
        let tag_at = name.rfind(':').filter(|at| name.rfind('/').is_none_or(|slash| slash < *at));
        let name = tag_at.and_then(|at| name.get(..at)).unwrap_or(name);
        Ok(Self { repository: name.parse()?, digest })
    }
}

impl FromStr for ImageName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('@') {
            return text.parse().map(Self::Fixed);
        }
        let tag_at = text.rfind(':').filter(|at| text.rfind('/').is_none_or(|slash| slash < *at));
        let (name, tag) = match tag_at.and_then(|at| text.split_at_checked(at)) {
            Some((name, tag)) => (name, tag.strip_prefix(':').unwrap_or(tag)),
            None => (text, "latest"),
        };
        Ok(Self::Tagged(name.parse()?, tag.parse()?))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

/// Text in, text out, for serde: a value is its canonical text.
macro_rules! text_in_text_out {
    ($($name:ty),*) => {$(
        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}

text_in_text_out!(Repository, Tag, ImageRef);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, registry: &str, path: &str) {
        let repository: Repository = text.parse().unwrap();
        assert_eq!((repository.registry(), repository.path()), (registry, path));
    }

    #[test]
    fn a_first_part_with_a_dot_or_a_port_is_a_registry() {
        check("ghcr.io/acme/shop/api", "ghcr.io", "acme/shop/api");
        check("localhost:5000/api", "localhost:5000", "api");
        check("[::1]:5000/api", "[::1]:5000", "api");
        check("localhost/api", "localhost", "api");
        check("acme/api", "docker.io", "acme/api");
        check("nginx", "docker.io", "library/nginx");
    }

    #[test]
    fn a_prefix_is_read_in_lower_case_and_docker_hub_has_one_name() {
        let prefix = |text: &str| Repository::prefix(text).unwrap().canonical().to_string();
        assert_eq!(prefix("ghcr.io/Acme/Shop//"), "ghcr.io/acme/shop");
        for name in ["docker.io/acme", "Index.docker.io/Acme/", "registry-1.docker.io/acme"] {
            assert_eq!(prefix(name), "docker.io/acme");
        }
        assert!(Repository::prefix("").is_err() && Repository::prefix("ghcr.io/a:v1").is_err());
    }

    #[test]
    fn a_name_that_a_registry_would_refuse_is_refused_here() {
        for text in [
            "",
            "ghcr.io/",
            "ghcr.io/Acme/api",
            "ghcr.io/a//b",
            "ghcr.io/a b",
            "ghcr.io/-a",
            "a..b/c",
            "x.io:http/a",
        ] {
            assert!(text.parse::<Repository>().is_err(), "{text}");
        }
        assert_eq!("ghcr.io/a:v1".parse::<Repository>(), Err(BadName::Tagged("ghcr.io/a:v1".to_owned())));
    }

    #[test]
    fn upper_case_is_told_apart_and_the_right_spelling_is_named() {
        let error = "ghcr.io/Acme/Shop".parse::<Repository>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`ghcr.io/Acme/Shop` has upper-case letters, which no registry takes: write `ghcr.io/acme/shop`"
        );
        let image = format!("ghcr.io/Acme/api@{}", Digest::of(b"x")).parse::<ImageRef>().unwrap_err();
        assert!(matches!(image, BadName::UpperCase { .. }), "{image}");
        for text in ["ghcr.io/Acme/a b", "ghcr.io/Acme//b", "ghcr.io/\u{130}cme/b"] {
            assert!(matches!(text.parse::<Repository>(), Err(BadName::Repository(_))), "{text}");
        }
    }

    #[test]
    fn a_tag_has_at_most_128_characters_and_begins_with_a_word_character() {
        assert!("v1.2.3".parse::<Tag>().is_ok());
        assert!("_x".parse::<Tag>().is_ok());
        assert!("a".repeat(128).parse::<Tag>().is_ok());
        for text in ["", ".a", "-a", "a/b", "a b", "a\"b", &"a".repeat(129)] {
            assert!(text.parse::<Tag>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_image_is_named_by_digest_and_a_tag_beside_it_is_dropped() {
        let digest = Digest::of(b"x");
        let image: ImageRef = format!("localhost:5000/a/b:v1@{digest}").parse().unwrap();
        assert_eq!(image.to_string(), format!("localhost:5000/a/b@{digest}"));
        assert!("localhost:5000/a/b:v1".parse::<ImageRef>().is_err());
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for (text, expected) in [
            ("localhost:5000/a", true),
            ("127.0.0.1:1/a", true),
            ("[::1]:5/a", true),
            ("ghcr.io/a", false),
            ("localhost.evil.com/a", false),
        ] {
            assert_eq!(text.parse::<Repository>().unwrap().is_loopback(), expected, "{text}");
        }
    }
}
