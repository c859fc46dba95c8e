//! `Purl`: a package URL, the name of a package that scanners and VEX documents have in common.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

/// The name of a package as in github.com/package-url/purl-spec, without the path inside of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Purl {
    kind: String,
    namespace: String,
    name: String,
    version: Option<String>,
    qualifiers: BTreeMap<String, String>,
}

/// Whose packages a package is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home<'a> {
    /// An ecosystem without releases, as OSV names it; or `node`, the runtime.
    Ecosystem(&'static str),
    /// A distribution, by its own name for itself: `debian`.
    Distribution(&'a str),
}

/// A text that is no package URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no package URL")]
pub struct NotAPurl(pub String);

impl Purl {
    /// The package of an ecosystem as OSV names it: `Debian:12`, `npm`. None where there is no type for it, or no name.
    #[must_use]
    pub fn of(ecosystem: &str, name: &str, version: &str) -> Option<Self> {
        let family = ecosystem.split_once(':').map_or(ecosystem, |(family, _)| family);
        let split = |separator: char| name.rsplit_once(separator).unwrap_or(("", name));
        let (kind, (namespace, name)) = match family {
            "Debian" => ("deb", ("debian", name)),
            "Ubuntu" => ("deb", ("ubuntu", name)),
            "Alpine" => ("apk", ("alpine", name)),
            "Wolfi" => ("apk", ("wolfi", name)),
            "Chainguard" => ("apk", ("chainguard", name)),
            // The runtime is a package of nobody.
            "node" => ("generic", ("", name)),
            "npm" => ("npm", split('/')),
            "PyPI" => ("pypi", ("", name)),
            "Go" => ("golang", split('/')),
            "crates.io" => ("cargo", ("", name)),
            "Maven" => ("maven", split(':')),
            "NuGet" => ("nuget", ("", name)),
            "RubyGems" => ("gem", ("", name)),
            "Packagist" => ("composer", split('/')),
            "Hex" => ("hex", ("", name)),
            "Pub" => ("pub", ("", name)),
            _ => return None,
        };
        let name = if kind == "pypi" { name.to_ascii_lowercase().replace('_', "-") } else { name.to_owned() };
        (!name.is_empty()).then(|| Self {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name,
            version: Some(version.to_owned()).filter(|version| !version.is_empty()),
            qualifiers: BTreeMap::new(),
        })
    }

    /// The digest of an image, which is the version of one: `pkg:oci/api@sha256:...`.
    #[must_use]
    pub fn image_digest(&self) -> Option<&str> {
        let is_image = matches!(self.kind.as_str(), "oci" | "docker");
        self.version.as_deref().filter(|version| is_image && version.starts_with("sha256:"))
    }

    /// Whether it is of an image, with a digest or without.
    #[must_use]
    pub fn is_image(&self) -> bool {
        matches!(self.kind.as_str(), "oci" | "docker")
    }

    /// Whose packages it is one of; none where the type, or its namespace, is not known.
    #[must_use]
    pub fn home(&self) -> Option<Home<'_>> {
        match (self.kind.as_str(), self.namespace.as_str()) {
            ("deb", id @ ("debian" | "ubuntu")) | ("apk", id @ "alpine") => Some(Home::Distribution(id)),
            ("npm", _) => Some(Home::Ecosystem("npm")),
            ("pypi", _) => Some(Home::Ecosystem("PyPI")),
            ("golang", _) => Some(Home::Ecosystem("Go")),
            ("cargo", _) => Some(Home::Ecosystem("crates.io")),
            ("maven", _) => Some(Home::Ecosystem("Maven")),
            ("generic", "") if self.name == "node" => Some(Home::Ecosystem("node")),
            _ => None,
        }
    }

    /// Its name as OSV has it, with the scope or group that is a part of it there.
    #[must_use]
    pub fn full_name(&self) -> String {
        let (namespace, name) = (&self.namespace, &self.name);
        match self.kind.as_str() {
            "npm" | "golang" if !namespace.is_empty() => format!("{namespace}/{name}"),
            "maven" if !namespace.is_empty() => format!("{namespace}:{name}"),
            _ => name.clone(),
        }
    }

    /// What a qualifier says: `distro`, `upstream`, `arch`.
    #[must_use]
    pub fn qualifier(&self, key: &str) -> Option<&str> {
        self.qualifiers.get(key).map(String::as_str)
    }

    /// The same without a version, or with another one.
    #[must_use]
    pub fn with_version(self, version: Option<&str>) -> Self {
        Self { version: version.map(str::to_owned), ..self }
    }

    /// The same with a qualifier.
    #[must_use]
    pub fn with_qualifier(mut self, key: &str, value: String) -> Self {
        self.qualifiers.insert(key.to_owned(), value);
        self
    }

    /// The version, where there is one.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Whether what is said of this package is said of the other one: the same type, namespace and name, and the version if this has one.
    /// A qualifier counts where both have it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let is_version = self
            .version
            .as_ref()
            .is_none_or(|own| other.version.as_ref().is_some_and(|its| self.is(own, its)));
        let is_name = self.kind == other.kind
            && self.comparable(&self.namespace) == other.comparable(&other.namespace)
            && self.comparable(&self.name) == other.comparable(&other.name);
        let mut both =
            self.qualifiers.iter().filter_map(|(key, own)| Some((key, own, other.qualifiers.get(key)?)));
        is_name
            && is_version
            && both.all(|(key, own, its)| own == its || key == "distro" && is_part(own, its))
    }

    /// Whether two versions are the same: those of Go are written with a `v` or without.
    fn is(&self, own: &str, other: &str) -> bool {
        let bare = |version: &'_ str| version.strip_prefix('v').unwrap_or(version).to_owned();
        own == other || self.kind == "golang" && bare(own) == bare(other)
    }

    /// How names of this type compare.
    fn comparable(&self, name: &str) -> String {
        match self.kind.as_str() {
            "pypi" => {
                let lower = name.to_ascii_lowercase();
                let parts: Vec<_> = lower.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
                parts.join("-")
            }
            "apk" | "composer" | "deb" | "docker" | "golang" | "npm" | "oci" => name.to_ascii_lowercase(),
            _ => name.to_owned(),
        }
    }
}

/// Whether a release is one of another: `debian-12.5` of `debian-12`.
fn is_part(whole: &str, part: &str) -> bool {
    part.strip_prefix(whole).is_some_and(|rest| rest.starts_with('.'))
}

impl FromStr for Purl {
    type Err = NotAPurl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || NotAPurl(text.to_owned());
        let rest = text.strip_prefix("pkg:").ok_or_else(refuse)?.trim_start_matches('/');
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (rest, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
        let (kind, rest) = rest.split_once('/').ok_or_else(refuse)?;
        // The `@` of a scope stands in front of a `/`, where somebody left it as it is.
        let (path, version) = match rest.rsplit_once('@') {
            Some((path, version)) if !path.is_empty() && !version.contains('/') => (path, Some(version)),
            Some(_) | None => (rest, None),
        };
        let (namespace, name) =
            path.trim_matches('/').rsplit_once('/').unwrap_or(("", path.trim_matches('/')));
        let mut known = BTreeMap::new();
        for (key, value) in qualifiers.split('&').filter_map(|one| one.split_once('=')) {
            known.insert(key.to_ascii_lowercase(), decoded(value).ok_or_else(refuse)?);
        }
        let (namespace, name) = (decoded(namespace).ok_or_else(refuse)?, decoded(name).ok_or_else(refuse)?);
        let version = version.map(|version| decoded(version).ok_or_else(refuse)).transpose()?;
        if kind.is_empty() || name.is_empty() {
            return Err(refuse());
        }
        let version = version.filter(|version| !version.is_empty());
        Ok(Self { kind: kind.to_ascii_lowercase(), namespace, name, version, qualifiers: known })
    }
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pkg:{}/", self.kind)?;
        for part in self.namespace.split('/').filter(|part| !part.is_empty()) {
            write!(f, "{}/", encoded(part))?;
        }
        f.write_str(&encoded(&self.name))?;
        if let Some(version) = &self.version {
            write!(f, "@{}", encoded(version))?;
        }
        for (index, (key, value)) in self.qualifiers.iter().enumerate() {
            write!(f, "{}{key}={}", if index == 0 { '?' } else { '&' }, encoded(value))?;
        }
        Ok(())
    }
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(encoded, "%{byte:02X}").ok();
        }
    }
    encoded
}

pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let (high, low) =
                (char::from(rest.next()?).to_digit(16)?, char::from(rest.next()?).to_digit(16)?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purl(text: &str) -> Purl {
        text.parse().unwrap()
    }

    #[test]
    fn packages_of_each_ecosystem_have_the_names_of_the_specification() {
        for (ecosystem, name, version, expected) in [
            ("Debian:12", "openssl", "1:3.0.1-1+deb12u1", "pkg:deb/debian/openssl@1:3.0.1-1%2Bdeb12u1"),
            ("Ubuntu:22.04:LTS", "bash", "5", "pkg:deb/ubuntu/bash@5"),
            ("Alpine:v3.21", "musl", "1.2.5-r8", "pkg:apk/alpine/musl@1.2.5-r8"),
            ("npm", "@nestjs/core", "9.0.0", "pkg:npm/%40nestjs/core@9.0.0"),
            ("npm", "ws", "", "pkg:npm/ws"),
            ("PyPI", "Jinja_2.x", "3.0", "pkg:pypi/jinja-2.x@3.0"),
            ("Go", "golang.org/x/net", "0.1.0", "pkg:golang/golang.org/x/net@0.1.0"),
            ("Go", "stdlib", "1.22.0", "pkg:golang/stdlib@1.22.0"),
            ("crates.io", "tokio", "1.0.0", "pkg:cargo/tokio@1.0.0"),
            ("Maven", "org.acme:core", "2.4", "pkg:maven/org.acme/core@2.4"),
        ] {
            let made = Purl::of(ecosystem, name, version).unwrap();
            assert_eq!(made.to_string(), expected);
            assert!(purl(expected).covers(&made) && made.covers(&purl(expected)), "{expected}");
        }
        assert_eq!(Purl::of("Nowhere", "node", "20.0.0"), None);
        assert_eq!(Purl::of("npm", "", "1"), None);
    }

    #[test]
    fn the_way_back_leads_to_where_a_package_is_of() {
        for (ecosystem, name) in [
            ("npm", "@nestjs/core"),
            ("npm", "ws"),
            ("PyPI", "jinja-2.x"),
            ("Go", "golang.org/x/net"),
            ("Go", "stdlib"),
            ("crates.io", "tokio"),
            ("Maven", "org.acme:core"),
            ("node", "node"),
        ] {
            let purl = Purl::of(ecosystem, name, "1").unwrap().to_string().parse::<Purl>().unwrap();
            assert_eq!((purl.home(), purl.full_name()), (Some(Home::Ecosystem(ecosystem)), name.to_owned()));
        }
        for (text, home) in [
            ("pkg:deb/debian/curl@7", Some(Home::Distribution("debian"))),
            ("pkg:deb/ubuntu/curl@7", Some(Home::Distribution("ubuntu"))),
            ("pkg:apk/alpine/musl@1", Some(Home::Distribution("alpine"))),
            ("pkg:apk/wolfi/musl@1", None),
            ("pkg:deb/raspbian/curl@7", None),
            ("pkg:rpm/fedora/curl@7", None),
            ("pkg:generic/busybox@1", None),
            ("pkg:oci/api@sha256:ab", None),
        ] {
            assert_eq!(purl(text).home(), home, "{text}");
        }
        let libssl = purl("pkg:deb/debian/libssl3@3.0?distro=debian-12&upstream=openssl%403.0");
        assert_eq!((libssl.qualifier("upstream"), libssl.qualifier("arch")), (Some("openssl@3.0"), None));
    }

    #[track_caller]
    fn check(said: &str, of: &str, covers: bool) {
        assert_eq!(purl(said).covers(&purl(of)), covers, "{said} of {of}");
    }

    #[test]
    fn a_statement_covers_the_same_package_and_the_version_if_it_has_one() {
        check("pkg:npm/ws", "pkg:npm/ws@8.0.0", true);
        check("pkg:npm/ws@8.0.0", "pkg:npm/ws@8.0.0", true);
        check("pkg:npm/ws@8.0.0", "pkg:npm/ws@8.0.1", false);
        check("pkg:npm/ws@8.0.0", "pkg:npm/ws", false);
        check("pkg:npm/ws", "pkg:cargo/ws@8.0.0", false);
        check("pkg:npm/%40a/ws", "pkg:npm/@a/ws@8.0.0", true);
        check("pkg:npm/%40a/ws", "pkg:npm/ws@8.0.0", false);
        check("pkg:deb/debian/curl@7", "pkg:deb/ubuntu/curl@7", false);
        check("pkg:pypi/zope_interface", "pkg:pypi/Zope.Interface@5", true);
        check(
            "pkg:golang/github.com/BurntSushi/toml@v1.0.0",
            "pkg:golang/github.com/burntsushi/toml@1.0.0",
            true,
        );
        check("pkg:maven/org.acme/Core", "pkg:maven/org.acme/core@1", false);
    }

    #[test]
    fn qualifiers_count_where_both_have_them() {
        let said = "pkg:deb/debian/curl@7?arch=amd64&distro=debian-12";
        check(said, "pkg:deb/debian/curl@7", true);
        check(said, "pkg:deb/debian/curl@7?arch=amd64&distro=debian-12.5", true);
        check(said, "pkg:deb/debian/curl@7?arch=arm64", false);
        check(said, "pkg:deb/debian/curl@7?distro=debian-11", false);
        check("pkg:deb/debian/curl@7?distro=debian-1", "pkg:deb/debian/curl@7?distro=debian-12", false);
        check("pkg:deb/debian/curl@7", said, true);
    }

    #[test]
    fn an_image_is_told_by_its_digest() {
        let image = purl("pkg:oci/api@sha256%3Aab?repository_url=ghcr.io/acme/api");
        assert_eq!((image.image_digest(), image.is_image()), (Some("sha256:ab"), true));
        assert_eq!(purl("pkg:oci/api@1.2").image_digest(), None);
        assert_eq!(purl("pkg:npm/api@sha256:ab").image_digest(), None);
        for text in
            ["", "api", "pkg:", "pkg:npm", "pkg:npm/", "pkg:npm/a%", "pkg:npm/a%zz", "pkg:/a", "https://a/b"]
        {
            assert_eq!(text.parse::<Purl>(), Err(NotAPurl(text.to_owned())));
        }
    }
}
