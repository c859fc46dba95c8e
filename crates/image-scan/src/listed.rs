//! `Listed`: packages that are judged without an image: those of lock files, or of a bill of materials.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use shipkit_core::Digest;
use shipkit_core::config::Config;
use shipkit_core::policy::bill::{Bill, Packaged};
use shipkit_core::policy::purl::{Home, Purl};
use shipkit_runner::Failure;

use crate::args::Args;
use crate::inventory::{Inventory, Package, System};
use crate::locks::Locks;

/// Larger than any bill of one image.
const LIMIT: u64 = 256 * 1024 * 1024;

/// Packages, and where they are listed.
pub(crate) struct Listed {
    /// What they are of, for people.
    pub(crate) name: String,
    /// Of the image that a bill is about, otherwise of what was read.
    pub(crate) digest: Digest,
    /// The digests of the image that a bill is about; none of lock files.
    pub(crate) images: Vec<String>,
    /// The packages.
    pub(crate) inventory: Inventory,
    /// How they are listed.
    pub(crate) listing: Listing,
}

/// How packages are listed that are in no image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    /// `lock files`, `CycloneDX`, `SPDX`.
    pub(crate) what: &'static str,
    /// What was read.
    pub(crate) files: Vec<String>,
    /// How many of what is listed are no packages of a registry, by what they are.
    pub(crate) left_out: BTreeMap<&'static str, usize>,
}

impl Listing {
    /// What was read and what was left out, in one sentence.
    pub(crate) fn words(&self) -> String {
        let left_out: Vec<_> = self.left_out.iter().map(|(what, count)| format!("{count} {what}")).collect();
        let left_out =
            if left_out.is_empty() { String::new() } else { format!("; left out: {}", left_out.join(", ")) };
        let files = match &self.files[..] {
            [first, second, third, _, ..] => {
                format!("{first}, {second}, {third} and {} more", self.files.len().saturating_sub(3))
            }
            few => few.join(", "),
        };
        format!("listed in {files}{left_out}")
    }
}

/// What the command line says to judge, if that is no image.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read(args: &Args, config: Option<&Config>) -> Result<Option<Listed>, Failure> {
    let listed = match (&args.source, &args.from_sbom) {
        (Some(folder), _) => locks(&args.directory, folder, config)?,
        (None, Some(file)) => bill(&args.directory, file)?,
        (None, None) => return Ok(None),
    };
    let is_looked_up = config.is_some_and(|config| config.scan.image.advisories.is_some());
    if !is_looked_up && args.reports.is_empty() {
        return Err(Failure::usage(format!(
            "nothing says by what the packages of `{}` are judged",
            listed.name
        ))
        .with_hint(
            "name advisories in `scan.image.advisories` of shipkit.yml, or give the report of a scanner",
        ));
    }
    Ok(Some(listed))
}

fn locks(directory: &Path, folder: &Path, config: Option<&Config>) -> Result<Listed, Failure> {
    let Locks { inventory, left_out, files, digest } = Locks::read(&directory.join(folder))?;
    let name = if folder == Path::new(".") {
        config.map_or_else(|| "source".to_owned(), |config| config.name.clone())
    } else {
        folder.display().to_string()
    };
    let listing = Listing { what: "lock files", files, left_out };
    Ok(Listed { name, digest, images: Vec::new(), inventory, listing })
}

fn bill(directory: &Path, file: &Path) -> Result<Listed, Failure> {
    let shown = file.display();
    let mut bytes = Vec::new();
    let opened = File::open(directory.join(file)).map_err(|error| {
        Failure::usage(format!("the bill of materials `{shown}` cannot be read: {error}"))
    })?;
    let read = opened.take(LIMIT + 1).read_to_end(&mut bytes);
    read.map_err(|error| {
        Failure::unknown(format!("the bill of materials `{shown}` cannot be read: {error}"))
    })?;
    if LIMIT < u64::try_from(bytes.len()).unwrap_or(u64::MAX) {
        return Err(Failure::unknown(format!(
            "the bill of materials `{shown}` is larger than {LIMIT} bytes"
        )));
    }
    let bill = Bill::parse(&bytes).map_err(|error| {
        use std::error::Error as _;
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Failure::unknown(format!("{error}{cause}"))
            .context(format!("the bill of materials `{shown}` cannot be used"))
    })?;
    let inventory = inventory(&bill, &shown.to_string());
    let digest = bill.digests.iter().find_map(|digest| digest.parse().ok());
    let digest = digest.unwrap_or_else(|| Digest::of(&bytes));
    let stem = || file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let name = if bill.name.is_empty() { stem() } else { bill.name };
    let listing = Listing { what: bill.format, files: vec![shown.to_string()], left_out: BTreeMap::new() };
    Ok(Listed { name, digest, images: bill.digests, inventory, listing })
}

/// The packages of a bill, as an image would have them.
fn inventory(bill: &Bill, file: &str) -> Inventory {
    let mut inventory = Inventory {
        system: None,
        packages: Vec::new(),
        owned: 0,
        doubts: bill.doubts.clone(),
        support: Vec::new(),
    };
    let system = |id: &str, version: &str| System {
        id: id.to_owned(),
        version: version.to_owned(),
        name: format!("{id} {version}").trim_end().to_owned(),
    };
    inventory.system = bill.system.as_ref().map(|(id, version)| system(id, version));
    for one in &bill.packages {
        let (ecosystem, of) = match one.purl.home() {
            Some(Home::Ecosystem(ecosystem)) => (Some(ecosystem.to_owned()), None),
            Some(Home::Distribution(id)) => {
                let release = release(&one.purl, id).map(|release| system(id, release));
                let of = release.or_else(|| inventory.system.clone().filter(|system| system.id == id));
                (of.as_ref().and_then(System::ecosystem), of)
            }
            None => (None, None),
        };
        inventory.system = inventory.system.take().or(of);
        match ecosystem {
            Some(ecosystem) => inventory.packages.push(package(one, ecosystem, file)),
            None => inventory.doubts.push(format!("`{:.200}` is of nothing that is known here", one.purl)),
        }
    }
    inventory.packages.sort();
    inventory.packages.dedup();
    inventory
}

/// `12` of `debian-12`, and of `12`, as Trivy writes it for Alpine.
fn release<'a>(purl: &'a Purl, id: &str) -> Option<&'a str> {
    let distro = purl.qualifier("distro")?;
    let release = distro.strip_prefix(id).and_then(|rest| rest.strip_prefix('-')).unwrap_or(distro);
    release.starts_with(|first: char| first.is_ascii_digit()).then_some(release)
}

fn package(one: &Packaged, ecosystem: String, file: &str) -> Package {
    let Packaged { purl, name, source } = one;
    // Some write the names of modules of Go in small letters there, and OSV does not.
    let own = purl.full_name();
    let name = if ecosystem == "Go" && own.eq_ignore_ascii_case(name) { name.clone() } else { own };
    let version = purl.version().unwrap_or_default();
    // Debian's versions may begin with an epoch, which some keep apart.
    let epoch = purl.qualifier("epoch").filter(|epoch| *epoch != "0" && !version.contains(':'));
    let version = epoch.map_or_else(|| version.to_owned(), |epoch| format!("{epoch}:{version}"));
    let source = match (purl.home(), source) {
        (Some(Home::Distribution(_)), Some((source, of))) => {
            Some((source.clone(), of.clone().unwrap_or_else(|| version.clone())))
        }
        (Some(Home::Distribution(_)), None) => Some((name.clone(), version.clone())),
        (Some(Home::Ecosystem(_)) | None, _) => None,
    };
    Package { ecosystem, name, version, source, layer: 0, path: file.to_owned(), is_dev: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only package of a bill as `ecosystem name version source source-version`, or what is doubted.
    fn told(purl: &str, name: &str, source: Option<(&str, Option<&str>)>) -> String {
        let source = source.map(|(name, version)| (name.to_owned(), version.map(str::to_owned)));
        let packages = vec![Packaged { purl: purl.parse().unwrap(), name: name.to_owned(), source }];
        let system = Some(("debian".to_owned(), "12.5".to_owned()));
        let inventory = inventory(&Bill { packages, system, ..Bill::default() }, "x");
        let packages = inventory.packages.iter().map(|one| {
            let source = one.source.as_ref().map(|(name, version)| format!(" < {name} {version}"));
            format!("{} {} {}{}", one.ecosystem, one.name, one.version, source.unwrap_or_default())
        });
        packages.chain(inventory.doubts.clone()).collect()
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn packages_of_a_bill_are_those_that_advisories_know() {
        for (purl, name, source, expected) in [
            ("pkg:npm/%40a/ws@8.0.0", "ws", None, "npm @a/ws 8.0.0"),
            (
                "pkg:golang/github.com/burntsushi/toml@v1.0.0",
                "github.com/BurntSushi/toml",
                None,
                "Go github.com/BurntSushi/toml v1.0.0",
            ),
            (
                "pkg:golang/github.com/burntsushi/toml@v1.0.0",
                "toml",
                None,
                "Go github.com/burntsushi/toml v1.0.0",
            ),
            ("pkg:generic/node@20.1.0", "node", None, "node node 20.1.0"),
            (
                "pkg:deb/debian/curl@7.88-1?distro=debian-11",
                "curl",
                None,
                "Debian:11 curl 7.88-1 < curl 7.88-1",
            ),
            // Without a release of its own, that of the whole.
            ("pkg:deb/debian/curl@7.88-1", "curl", None, "Debian:12 curl 7.88-1 < curl 7.88-1"),
            (
                "pkg:deb/debian/curl@7.88-1?distro=bookworm",
                "curl",
                None,
                "Debian:12 curl 7.88-1 < curl 7.88-1",
            ),
            (
                "pkg:deb/debian/zlib1g@1.2-1?epoch=1",
                "zlib1g",
                Some(("zlib", None)),
                "Debian:12 zlib1g 1:1.2-1 < zlib 1:1.2-1",
            ),
            (
                "pkg:deb/debian/zlib1g@1:1.2-1?epoch=1",
                "zlib1g",
                Some(("zlib", Some("1:1.2"))),
                "Debian:12 zlib1g 1:1.2-1 < zlib 1:1.2",
            ),
            (
                "pkg:apk/alpine/libssl3@3.3.2-r0?distro=3.21.2",
                "libssl3",
                Some(("openssl", None)),
                "Alpine:v3.21 libssl3 3.3.2-r0 < openssl 3.3.2-r0",
            ),
            (
                "pkg:deb/ubuntu/curl@7",
                "curl",
                None,
                "`pkg:deb/ubuntu/curl@7` is of nothing that is known here",
            ),
            (
                "pkg:rpm/fedora/curl@7",
                "curl",
                None,
                "`pkg:rpm/fedora/curl@7` is of nothing that is known here",
            ),
            (
                "pkg:generic/busybox@1",
                "busybox",
                None,
                "`pkg:generic/busybox@1` is of nothing that is known here",
            ),
        ] {
            assert_eq!(told(purl, name, source), expected);
        }
    }
}
