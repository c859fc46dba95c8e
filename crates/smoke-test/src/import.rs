//! `smoke-test import`: Hurl files and Postman collections as checks for `shipkit.yml`. What cannot be taken over is told.

mod base;
mod draft;
mod hurl;
mod json;
mod names;
mod note;
mod postman;
mod secret;
mod status;
mod text;
mod written;
mod yaml;

use std::fmt;
use std::path::{Path, PathBuf};

use shipkit_core::exit::ExitCode;
use shipkit_core::{Hint, Outcome};
use shipkit_runner::{Failure, Runner};

use crate::args::ImportArgs;
use crate::read;
use note::{Kind, Notes};

/// No file that people have written is larger.
const LARGEST: usize = 4 * 1024 * 1024;
/// Nor has more requests.
pub(crate) const MOST: usize = 2000;

/// A file that is neither of the two.
#[derive(Debug, thiserror::Error)]
#[error("`{}`, line {line}: {why}", path.display())]
struct Foreign {
    path: PathBuf,
    line: usize,
    why: String,
}

impl Hint for Foreign {
    fn hint(&self) -> Option<String> {
        Some("`import` reads Hurl files and Postman collections of version 2.1".to_owned())
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// Why a file cannot be read.
#[derive(Debug, PartialEq, Eq)]
struct Broken {
    line: usize,
    why: String,
}

impl Broken {
    fn at(line: usize, why: impl fmt::Display) -> Self {
        Self { line, why: why.to_string() }
    }
}

/// Writes what is made of the files to stdout, and what could not be taken over to stderr.
pub(crate) fn import(args: &ImportArgs, runner: &Runner) -> Result<Outcome, Failure> {
    let mut notes = Notes::default();
    let mut drafts = Vec::new();
    for (number, path) in args.files.iter().enumerate() {
        let foreign = |Broken { line, why }| Foreign { path: path.clone(), line, why };
        let text = text(read(runner, path)?).map_err(foreign)?;
        let read = if text.trim_start().starts_with('{') {
            postman::read(&text, number, &mut notes)
        } else {
            hurl::read(&text, number, &mut notes)
        };
        drafts.extend(read.map_err(foreign)?);
    }
    let names: Vec<String> = args.files.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let written = written::all(drafts, &names, &mut notes);
    let notes = notes.sorted();
    for note in &notes {
        let file = names.get(note.place.file).map(String::as_str).unwrap_or_default();
        runner.say(&format!("{file}:{}: {}", note.place.line, note.text));
    }
    if written.count == 0 {
        return Ok(Outcome::fail("nothing of it could be made a check"));
    }
    runner.data(written.yaml.trim_end());
    let left_out = notes.iter().filter(|note| note.kind == Kind::LeftOut).count();
    Ok(Outcome::pass(format!("{} checks, {left_out} things left out", written.count)))
}

fn text(bytes: Vec<u8>) -> Result<String, Broken> {
    if LARGEST < bytes.len() {
        return Err(Broken::at(1, format!("it is larger than {} MiB", LARGEST / 1024 / 1024)));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        Broken::at(line, "it is no text in UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
}

/// The name of a file without its folders.
fn short(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
