//! What is done with findings: what an environment says, over what all of them share.

use super::environment::in_project;
use super::raw_scan::{RawFindings, RawGrace, RawSeverity, RawUnknown};
use super::resolve::Context;
use super::types::{Epss, ImageScan, ScanBaseline};
use super::units::BasisPoints;
use super::values::{Days, Percent};
use super::yaml::join;
use crate::policy::{Grace, Severity, UnknownSeverity};

/// `shared` with what is written at `path` in place of it.
pub(super) fn over(context: &mut Context<'_>, path: &str, raw: RawFindings, shared: ImageScan) -> ImageScan {
    let RawFindings { severity, ignore_unfixed, unknown, grace, kev, epss, baseline } = raw;
    let kev = kev.and_then(|file| in_project(context, &join(path, "kev"), &file));
    let epss = epss.and_then(|raw| {
        let Percent(above) = raw.above;
        if BasisPoints(10_000) <= above {
            let hint = Some("write how likely it may be at most: `above: 10%`");
            context.wrong(&join(path, "epss.above"), "nothing is more likely than `100%`", hint);
        }
        Some(Epss { file: in_project(context, &join(path, "epss.file"), &raw.file)?, above })
    });
    ImageScan {
        severity: severity.map_or(shared.severity, RawSeverity::resolve),
        ignore_unfixed: ignore_unfixed.unwrap_or(shared.ignore_unfixed),
        unknown: unknown.map_or(shared.unknown, RawUnknown::resolve),
        grace: grace.map_or(shared.grace, RawGrace::resolve),
        kev: kev.or(shared.kev),
        epss: epss.or(shared.epss),
        baseline: baseline.map_or(shared.baseline, ScanBaseline::of),
        ..shared
    }
}

impl ScanBaseline {
    fn of(text: String) -> Option<Self> {
        match text.as_str() {
            "none" => None,
            "last-release" => Some(Self::LastRelease),
            "base-image" => Some(Self::BaseImage),
            _ => Some(Self::Environment(text)),
        }
    }
}

impl RawSeverity {
    fn resolve(self) -> Severity {
        match self {
            Self::Low => Severity::Low,
            Self::Medium => Severity::Medium,
            Self::High => Severity::High,
            Self::Critical => Severity::Critical,
        }
    }
}

impl RawUnknown {
    fn resolve(self) -> UnknownSeverity {
        match self {
            Self::Pass => UnknownSeverity::Pass,
            Self::Fail => UnknownSeverity::Fail,
        }
    }
}

impl RawGrace {
    fn resolve(self) -> Grace {
        let days = |days: Option<Days>| days.map_or(0, |Days(days)| days);
        Grace {
            critical: days(self.critical),
            high: days(self.high),
            medium: days(self.medium),
            low: days(self.low),
            unknown: days(self.unknown),
        }
    }
}
