//! What a step shows besides its summary: counts for later steps, and remarks on the line of the configuration.

use shipkit_core::policy::Severity;
use shipkit_runner::{Annotation, Level, OutputError, Runner};

use super::{Judged, found};
use crate::places::Places;

/// How many findings are shown at the run, beside the sentence that says how it ended: GitHub shows ten of a step.
const ERRORS: usize = 9;

/// The outputs that count. How many findings there are is told only where somebody looked for them in every image.
pub(super) fn counts(images: &[Judged], runner: &Runner) -> Result<(), OutputError> {
    let findings: usize = images.iter().map(|image| image.judgement.blocking.len()).sum();
    runner.output("findings", &findings.to_string())?;
    let all: Option<Vec<_>> = images.iter().map(|image| image.findings.as_ref()).collect();
    for (name, severity) in [
        ("critical", Severity::Critical),
        ("high", Severity::High),
        ("medium", Severity::Medium),
        ("low", Severity::Low),
        ("unknown", Severity::Unknown),
    ] {
        let count = all.as_ref().map(|all| {
            let found = all.iter().flat_map(|found| found.iter());
            found.filter(|one| one.finding.severity == severity).count().to_string()
        });
        runner.output(name, &count.unwrap_or_default())?;
    }
    let compared: Vec<_> = images.iter().filter_map(|image| image.judgement.compared.as_ref()).collect();
    if compared.is_empty() {
        return Ok(());
    }
    let (new, fixed) = compared.iter().fold((0_usize, 0_usize), |(new, fixed), one| {
        (new.saturating_add(one.new.len()), fixed.saturating_add(one.fixed.len()))
    });
    runner.output("new", &new.to_string())?;
    runner.output("fixed", &fixed.to_string())
}

/// The findings that fail, where the configuration has their service: the first few, all of them are in the summary and the files.
pub(super) fn annotate(images: &[Judged], places: &Places, runner: &Runner) {
    let blocking =
        images.iter().flat_map(|image| image.judgement.blocking.iter().map(move |one| (image, one)));
    for (image, finding) in blocking.take(ERRORS) {
        let title = format!("{} in {}", finding.id, finding.what());
        let said = format!("{}: {}", image.name, found::sentence(finding, &image.build));
        let annotation = Annotation::new(Level::Error, title, said);
        runner.annotate(match places.of_service(&image.name) {
            Some(place) => annotation.at(place.file, Some(place.line)),
            None => annotation,
        });
    }
}
