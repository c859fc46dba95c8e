//! Reports of other scanners, read from files.

use std::collections::BTreeMap;
use std::path::Path;

use shipkit_core::policy::{Report, Vulnerabilities};
use shipkit_runner::Failure;

use crate::foreign;

/// The reports by service; the empty name is the report for whatever image there is.
pub(crate) type Reports = BTreeMap<String, Report>;

/// Reads `FILE` and `SERVICE=FILE`.
pub(crate) fn read(arguments: &[String]) -> Result<Reports, Failure> {
    let mut reports = Reports::new();
    for argument in arguments {
        let (service, file) = argument.split_once('=').unwrap_or(("", argument));
        let report = parse(Path::new(file))
            .map_err(|failure| failure.context(format!("the report `{file}` cannot be used")))?;
        if reports.insert(service.to_owned(), report).is_some() {
            return Err(Failure::usage(format!("two reports are given for `{service}`")));
        }
    }
    Ok(reports)
}

fn parse(file: &Path) -> Result<Report, Failure> {
    // A gate whose data cannot be read has found nothing out.
    let bytes = foreign::read(file).map_err(Failure::unknown)?;
    Report::parse(&bytes).map_err(|error| {
        use std::error::Error as _;
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Failure::unknown(format!("{error}{cause}"))
    })
}

/// The findings about one image. A report about other bytes is not about this image.
pub(crate) fn of(
    reports: &Reports,
    name: &str,
    digests: &[String],
) -> Result<Option<Vulnerabilities>, Failure> {
    let Some(report) = reports.get(name).or_else(|| reports.get("")) else { return Ok(None) };
    if !report.is_about(digests.iter().map(String::as_str)) {
        return Err(Failure::unknown(format!(
            "the {} report is about {}, and `{name}` is {}",
            report.scanner,
            report.digests.join(", "),
            digests.first().map_or("", String::as_str)
        ))
        .with_hint("scan the image by the digest of this release"));
    }
    Ok(Some(Vulnerabilities { findings: report.findings.clone(), doubts: report.doubts.clone() }))
}
