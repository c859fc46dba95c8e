//! VEX documents, read from the checkout.

use std::path::Path;

use shipkit_core::config::Config;
use shipkit_core::policy::vex::Document;
use shipkit_runner::Failure;

use crate::foreign;

/// Reads the documents that the configuration names. One that cannot be understood is none that says nothing.
pub(crate) fn read(directory: &Path, config: Option<&Config>) -> Result<Vec<Document>, Failure> {
    let files = config.map(|config| &config.scan.image.vex[..]).unwrap_or_default();
    files.iter().map(|file| document(directory, file.as_str())).collect()
}

fn document(directory: &Path, file: &str) -> Result<Document, Failure> {
    let read = foreign::read(&directory.join(file)).map_err(Failure::usage);
    let parsed = read.and_then(|bytes| {
        Document::parse(file, &bytes).map_err(|error| {
            use std::error::Error as _;
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            Failure::usage(format!("{error}{cause}"))
        })
    });
    parsed.map_err(|failure| {
        failure.context(format!("the document `{file}` of `scan.image.vex` cannot be used"))
    })
}
