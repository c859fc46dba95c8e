//! What is done with findings, as it is written: in `scan.image`, and in the policy of an environment.

use schemars::JsonSchema;
use serde::Deserialize;

use super::raw::RawImageScan;
use super::values::{Days, Percent};

/// How images are judged before they come to an environment.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `scan`")]
pub(super) struct RawEnvironmentPolicy {
    /// What is done with findings; over what `scan.image` says. Images need evidence of a scan for this environment then.
    pub(super) scan: Option<RawFindings>,
}

/// What is done with findings.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawFindings {
    /// Findings of this severity and above fail.
    pub(super) severity: Option<RawSeverity>,
    /// Whether findings without a fix are left out.
    pub(super) ignore_unfixed: Option<bool>,
    /// What is done with findings whose severity nobody has told: `pass`, or `fail` as those of `severity`.
    pub(super) unknown: Option<RawUnknown>,
    /// How long a finding may be known before it fails, by its severity; in place of all of `scan.image.grace`.
    pub(super) grace: Option<RawGrace>,
    /// The catalog of known exploited vulnerabilities of CISA.
    pub(super) kev: Option<String>,
    /// Scores of FIRST (EPSS).
    pub(super) epss: Option<RawEpss>,
    /// What an image is compared with, so that only findings that are new fail, in the words of `scan.image.baseline`.
    pub(super) baseline: Option<String>,
}

/// How long a finding may be known before it fails: days from its publication, or from its fix where that came later and its day is told.
/// Of what nobody tells when it became known, none.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of severities to days, as in `high: 14d`")]
pub(super) struct RawGrace {
    /// Critical findings: `2d`.
    pub(super) critical: Option<Days>,
    /// High ones.
    pub(super) high: Option<Days>,
    /// Medium ones.
    pub(super) medium: Option<Days>,
    /// Low ones.
    pub(super) low: Option<Days>,
    /// Those of unknown severity.
    pub(super) unknown: Option<Days>,
}

/// How likely it is that vulnerabilities are exploited.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `file` and `above`")]
pub(super) struct RawEpss {
    /// A file in the checkout with the scores of FIRST, as CSV, also with gzip.
    pub(super) file: String,
    /// What is more likely than this within thirty days fails: `10%`.
    pub(super) above: Percent,
}

/// What is done with findings of unknown severity.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawUnknown {
    /// They do not fail.
    Pass,
    /// They fail.
    Fail,
}

impl RawImageScan {
    /// The part of it that an environment may change.
    pub(super) fn findings(&self) -> RawFindings {
        RawFindings {
            severity: self.severity,
            ignore_unfixed: self.ignore_unfixed,
            unknown: self.unknown,
            grace: self.grace,
            kev: self.kev.clone(),
            epss: self.epss.clone(),
            baseline: self.baseline.clone(),
        }
    }
}

/// A finding that is accepted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawIgnore {
    /// The vulnerability, by any of its names: `CVE-2026-1234`, `GHSA-...`.
    pub(super) id: String,
    /// The only package in which it is accepted; with distributions the source package. Without it, any.
    pub(super) package: Option<String>,
    /// Why it is accepted.
    pub(super) reason: String,
    /// Who answers for that.
    pub(super) owner: Option<String>,
    /// The last day on which it is accepted: `2027-01-31`.
    pub(super) until: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum RawSeverity {
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}
