//! What to do about the findings of an image.

use std::cmp::Ordering;

use shipkit_core::policy::{Advice, Finding, Standing, advice};

use super::{Found, Judged};
use crate::version::{Scheme, Version};

/// What to do about those that fail; where none does, about all that nobody has taken out.
pub(crate) fn todo(image: &Judged) -> Vec<Advice> {
    if !image.judgement.blocking.is_empty() {
        return advice(&image.judgement.blocking, &image.build, highest);
    }
    let is_left = |one: &&Found| !matches!(one.standing, Standing::Accepted | Standing::NotAffected);
    let all = image.findings.iter().flatten().filter(is_left).map(|one| one.finding.clone());
    advice(&all.collect::<Vec<_>>(), &image.build, highest)
}

/// The highest of these versions of its package, by the order of its ecosystem.
fn highest(finding: &Finding, versions: &[&str]) -> Option<String> {
    let [first, others @ ..] = versions else { return None };
    if others.is_empty() {
        return Some((*first).to_owned());
    }
    let scheme = scheme(finding.purl.as_deref()?)?;
    let mut highest = (*first, Version::parse(scheme, first).ok()?);
    for other in others {
        let version = Version::parse(scheme, other).ok()?;
        if version.order(&highest.1)? == Ordering::Greater {
            highest = (other, version);
        }
    }
    Some(highest.0.to_owned())
}

/// By the type of a package URL.
fn scheme(purl: &str) -> Option<Scheme> {
    match purl.strip_prefix("pkg:")?.split('/').next()? {
        "deb" => Some(Scheme::Debian),
        "apk" => Some(Scheme::Alpine),
        "npm" | "cargo" => Some(Scheme::Semver),
        "pypi" => Some(Scheme::Pypi),
        "golang" => Some(Scheme::Go),
        "maven" => Some(Scheme::Maven),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_is_that_of_the_ecosystem() {
        for (purl, versions, expected) in [
            (Some("pkg:npm/ws@1.0.0"), &["10.0.0", "8.17.1", "9.1.0"][..], Some("10.0.0")),
            (Some("pkg:deb/debian/a@1"), &["1.0", "1.0-1", "1.0~rc1"], Some("1.0-1")),
            (Some("pkg:npm/ws@1.0.0"), &["10.0.0", "a version after 8.0.0"], None),
            (Some("pkg:nuget/x@1"), &["1.0", "2.0"], None),
            (None, &["1.0", "2.0"], None),
            (None, &["1.0"], Some("1.0")),
        ] {
            let finding = Finding { purl: purl.map(str::to_owned), ..Finding::default() };
            assert_eq!(highest(&finding, versions).as_deref(), expected, "{versions:?}");
        }
    }
}
