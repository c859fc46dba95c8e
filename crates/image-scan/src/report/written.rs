//! The files of a report, which are written all or not at all.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use shipkit_core::config::{Config, ReportFormat};
use shipkit_runner::{Failure, Runner, files};

use super::{Judged, junit, outcome, page, sarif, whole};
use crate::places::Places;

/// The input that names the folder.
const INPUT: &str = "output";
/// Where the one file goes that a configuration asks for, in the checkout.
const FOLDER: &str = ".shipkit/image-scan";

/// Which files are wanted, and where.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The folder, which is there.
    folder: PathBuf,
    /// As it was named.
    named: PathBuf,
    /// The only form; none means all.
    only: Option<ReportFormat>,
}

impl Wanted {
    /// All files in the folder that the input names; else the one that the configuration asks for; else none. The folder is made.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn of(
        output: Option<&Path>,
        directory: &Path,
        config: Option<&Config>,
    ) -> Result<Option<Self>, Failure> {
        let form = config.and_then(|config| config.scan.image.report);
        let (named, only) = match (output, form) {
            (Some(folder), _) => (folder.to_owned(), None),
            (None, Some(form)) => (PathBuf::from(FOLDER), Some(form)),
            (None, None) => return Ok(None),
        };
        let folder = directory.join(&named);
        files::folder(INPUT, &folder)?;
        Ok(Some(Self { folder, named, only }))
    }

    /// Writes them, and says where.
    ///
    /// # Errors
    /// When one cannot be written: then none is.
    pub(crate) fn write(&self, images: &[Judged], places: &Places, runner: &Runner) -> Result<(), Failure> {
        let mut all = Vec::new();
        let is_wanted = |form| self.only.is_none_or(|only| only == form);
        if is_wanted(ReportFormat::Sarif) {
            let sarif::Files { texts, left_out } = sarif::of(images, places);
            for sentence in &left_out {
                runner.say(sentence);
            }
            self.remove_from(texts.len())?;
            all.extend(texts.into_iter().enumerate().map(|(number, text)| (sarif_name(number), text)));
        }
        if is_wanted(ReportFormat::Json) {
            let text = shipkit_runner::sanitize::json(&format!("{:#}\n", whole(images)));
            all.push(("image-scan.json".to_owned(), text));
        }
        if is_wanted(ReportFormat::Table) {
            let page = page::of(&outcome(images), images, runner.now());
            all.push(("image-scan.html".to_owned(), page));
        }
        if self.only.is_none() {
            all.push(("image-scan.xml".to_owned(), junit::of(images)?));
        }
        let all: Vec<_> = all.into_iter().map(|(name, text)| (name, runner.redact(&text))).collect();
        files::write(INPUT, &self.folder, &all)?;
        Ok(runner.output("report-path", &self.named.to_string_lossy())?)
    }

    /// Removes what an earlier run wrote beyond this number: it would be uploaded again.
    fn remove_from(&self, count: usize) -> Result<(), Failure> {
        for number in count.. {
            match fs::remove_file(self.folder.join(sarif_name(number))) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(Failure::usage(error).context("an old report cannot be removed")),
            }
        }
        Ok(())
    }
}

/// `image-scan.sarif`, `image-scan-2.sarif`, and so on.
fn sarif_name(number: usize) -> String {
    match number {
        0 => "image-scan.sarif".to_owned(),
        more => format!("image-scan-{}.sarif", more.saturating_add(1)),
    }
}
