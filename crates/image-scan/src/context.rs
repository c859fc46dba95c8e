//! `image-scan context`: what a build would be sent that it should not get.

mod walk;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::json;
use shipkit_core::plan::dockerignore::Ignore;
use shipkit_core::policy::human;
use shipkit_core::verdict::Outcome;
use shipkit_runner::markdown::text as escape;
use shipkit_runner::{Failure, Runner};
use walk::{Sent, WalkError};

use crate::args::ContextArgs;

/// How many of what should not be sent the sentence names.
const NAMED: usize = 5;

/// Judges a context folder.
///
/// # Errors
/// When there is none, or when not all of it can be read: then nobody knows what would be sent.
pub(crate) fn run(args: &ContextArgs, runner: &Runner) -> Result<Outcome, Failure> {
    let folder = &args.folder;
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(no_folder(folder, "is no folder")),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(no_folder(folder, "does not exist"));
        }
        Err(source) => return Err(WalkError { path: folder.clone(), source }.into()),
    }
    let (file, ignore) = ignore(folder, &args.dockerfile)?;
    let sent = Sent::of(folder, &ignore)?;
    let outcome = judge(&sent, file.as_deref());
    runner.output("findings", &sent.wrong.len().to_string())?;
    runner.summary(&summary(&outcome, &sent))?;
    if runner.is_json() {
        let wrong = sent
            .wrong
            .iter()
            .map(|(path, wrong)| json!({"path": path, "what": wrong.what, "bytes": wrong.bytes}));
        let ignored_by = file.as_ref().map(|file| file.display().to_string());
        let told = json!({"context": folder.display().to_string(), "ignoredBy": ignored_by, "files": sent.files,
            "bytes": sent.bytes, "verdict": outcome.verdict, "findings": wrong.collect::<Vec<_>>()});
        runner.data(&told.to_string());
    } else if !sent.wrong.is_empty() {
        runner.say(&lines(&sent));
    }
    Ok(outcome)
}

fn no_folder(folder: &Path, why: &str) -> Failure {
    Failure::usage(format!("the context `{}` {why}", folder.display()))
        .with_hint("give the folder that is built")
}

/// What stays out: as `<Dockerfile>.dockerignore` says, else as `.dockerignore` does.
fn ignore(folder: &Path, dockerfile: &Path) -> Result<(Option<PathBuf>, Ignore), Failure> {
    let mut own = folder.join(dockerfile).into_os_string();
    own.push(".dockerignore");
    for file in [PathBuf::from(own), folder.join(".dockerignore")] {
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(source) => return Err(WalkError { path: file, source }.into()),
        };
        let ignore = Ignore::read(&String::from_utf8_lossy(&bytes)).map_err(|why| {
            Failure::unknown(format!("`{}` cannot be read as Docker reads it: {why}", file.display()))
        })?;
        return Ok((Some(file), ignore));
    }
    Ok((None, Ignore::default()))
}

fn judge(sent: &Sent, file: Option<&Path>) -> Outcome {
    let size = format!("{} files, {}", sent.files, human(sent.bytes));
    if sent.wrong.is_empty() {
        return Outcome::pass(format!("the context sends {size}, and nothing that it should not"));
    }
    let first: Vec<_> =
        sent.wrong.iter().take(NAMED).map(|(path, wrong)| format!("`{path}` ({})", wrong.words())).collect();
    let more = match sent.wrong.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let where_to = match file {
        Some(file) => format!("name them in `{}`", file.display()),
        None => "there is no `.dockerignore`: write one that names them".to_owned(),
    };
    Outcome::fail(format!(
        "the context sends what it should not, of {size}: {}{more}; {where_to}",
        first.join(", ")
    ))
}

fn summary(outcome: &Outcome, sent: &Sent) -> String {
    let rows = sent
        .wrong
        .iter()
        .map(|(path, wrong)| format!("| {} | {} | {} |\n", escape(path), wrong.what, human(wrong.bytes)));
    let rows: String = rows.collect();
    let table =
        if rows.is_empty() { rows } else { format!("\n| path | what | size |\n|---|---|---|\n{rows}") };
    format!("### Build context: {}\n\n{}\n{table}", outcome.verdict, escape(&outcome.cause))
}

fn lines(sent: &Sent) -> String {
    sent.wrong.iter().map(|(path, wrong)| format!("{path}: {}", wrong.words())).collect::<Vec<_>>().join("\n")
}
