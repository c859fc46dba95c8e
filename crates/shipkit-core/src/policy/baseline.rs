//! `Baseline`: what there was before, so that only what a change brings is held against it.

use std::collections::BTreeSet;

use super::finding::Finding;

/// The image that an image is compared with, matched with the same advisories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline {
    /// Which one it is, in words: `what production has (1.4.0)`.
    pub what: String,
    /// What was found in it.
    pub findings: Vec<Finding>,
    /// Names and versions of its packages, those of source packages too.
    pub packages: BTreeSet<(String, String)>,
    /// Bytes of its layers unpacked.
    pub unpacked: u64,
}

/// What became of the findings of a baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Which image it was compared with, in words.
    pub what: String,
    /// How many findings were there already.
    pub old: usize,
    /// Those that were not, whether they fail or not.
    pub new: Vec<Finding>,
    /// Those that are gone.
    pub fixed: Vec<Finding>,
}

impl Baseline {
    /// Whether a finding was there already: the same vulnerability in the package, whatever its version, or the very same version of the
    /// package, of which a scanner may know more than the advisories. Malware is never old.
    #[must_use]
    pub fn has(&self, finding: &Finding) -> bool {
        let here = (finding.package.clone(), finding.version.clone());
        let is_same = |old: &Finding| old.package == finding.package && old.is_one_with(finding);
        !finding.is_malware && (self.packages.contains(&here) || self.findings.iter().any(is_same))
    }

    /// What became of its findings.
    #[must_use]
    pub fn compare(&self, now: &[Finding]) -> Compared {
        let (old, new): (Vec<_>, Vec<_>) = now.iter().partition(|finding| self.has(finding));
        let is_left =
            |old: &&Finding| now.iter().any(|new| new.package == old.package && new.is_one_with(old));
        let fixed = self.findings.iter().filter(|old| !is_left(old)).cloned().collect();
        Compared { what: self.what.clone(), old: old.len(), new: new.into_iter().cloned().collect(), fixed }
    }
}

impl Compared {
    /// How many were there before, in words.
    pub(super) fn before(&self) -> String {
        format!(", {} of them in {} already", self.old, self.what)
    }

    /// That what fails is new, in words.
    pub(super) fn since(&self) -> String {
        format!("; new since {}, which had {} others already", self.what, self.old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Severity;

    fn finding(id: &str, aliases: &[&str], package: &str, version: &str) -> Finding {
        Finding {
            id: id.to_owned(),
            aliases: aliases.iter().map(|&name| name.to_owned()).collect(),
            package: package.to_owned(),
            version: version.to_owned(),
            purl: None,
            built: Vec::new(),
            severity: Severity::High,
            fixed_in: None,
            is_malware: false,
            ..Finding::default()
        }
    }

    fn baseline(findings: &[Finding]) -> Baseline {
        let packages = [("zlib".to_owned(), "1.2".to_owned())].into();
        Baseline {
            what: "what production has".to_owned(),
            findings: findings.to_vec(),
            packages,
            unpacked: 0,
        }
    }

    #[test]
    fn the_same_vulnerability_in_another_version_of_the_package_is_not_new() {
        let baseline = baseline(&[finding("CVE-1", &["GHSA-1"], "ws", "8.0")]);
        for (now, is_old) in [
            (finding("CVE-1", &[], "ws", "8.1"), true),
            (finding("GHSA-1", &[], "ws", "8.1"), true),
            (finding("X-1", &["GHSA-1"], "ws", "8.1"), true),
            (finding("CVE-1", &["GHSA-1"], "other", "8.0"), false),
            (finding("CVE-2", &["GHSA-2"], "ws", "8.0"), false),
        ] {
            assert_eq!(baseline.has(&now), is_old, "{now:?}");
        }
    }

    #[test]
    fn what_a_package_of_the_same_version_has_is_not_new_but_for_malware() {
        let baseline = baseline(&[]);
        assert!(baseline.has(&finding("CVE-1", &[], "zlib", "1.2")));
        assert!(!baseline.has(&finding("CVE-1", &[], "zlib", "1.3")));
        assert!(!baseline.has(&Finding { is_malware: true, ..finding("MAL-1", &[], "zlib", "1.2") }));
    }

    #[test]
    fn what_is_gone_is_told() {
        let (left, gone) = (finding("CVE-1", &["GHSA-1"], "ws", "8.0"), finding("CVE-2", &[], "ws", "8.0"));
        let (still, new) = (finding("GHSA-1", &[], "ws", "8.1"), finding("CVE-3", &[], "ws", "8.1"));
        let compared = baseline(&[left, gone.clone()]).compare(&[still, new.clone()]);
        let what = "what production has".to_owned();
        assert_eq!(compared, Compared { what, old: 1, new: vec![new], fixed: vec![gone] });
    }
}
