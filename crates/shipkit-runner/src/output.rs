//! What a step hands to the runner by file: outputs and the summary.
//!
//! The form of an output is the one that GitHub's runner and act read alike: act refuses a blank line between entries,
//! drops leading blank lines of a value and the carriage return before a line end. (act also fails on a line of more
//! than 64 KiB, which no value of ours needs.)

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use shipkit_core::Hint;
use shipkit_core::exit::ExitCode;

/// How much all outputs of a job may hold: 1 MiB, counted in UTF-16, as GitHub counts.
pub const OUTPUT_LIMIT: usize = 1 << 20;
/// How large the summary of a step may be, in bytes: GitHub drops the whole of a larger one.
pub const SUMMARY_LIMIT: usize = 1 << 20;
/// Stands at the end of a summary that did not fit.
const TRUNCATED: &str = "\n\n(truncated: a step summary holds at most 1 MiB)\n";

/// An output or a summary that could not be handed over.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The name of an output is not one.
    #[error("`{0}` is not the name of an output")]
    Name(&'static str),
    /// The value of an output has a NUL character.
    #[error("the output `{0}` would hold a NUL character")]
    Nul(&'static str),
    /// The value holds the random delimiter: something reads our memory, or the randomness is none.
    #[error("the output `{0}` holds its own delimiter")]
    Delimiter(&'static str),
    /// Together the outputs are too large.
    #[error("with the output `{name}` the outputs would have {size} bytes of at most {OUTPUT_LIMIT}")]
    TooLarge {
        /// The output that did not fit.
        name: &'static str,
        /// What all would hold together.
        size: usize,
    },
    /// The operating system gave no random numbers.
    #[error("no random numbers for the delimiter of the output `{name}`")]
    Random {
        /// The output.
        name: &'static str,
        /// What the system said.
        source: getrandom::Error,
    },
    /// The runner's file cannot be written.
    #[error("`{variable}` names `{}`, which cannot be written", path.display())]
    Unwritable {
        /// The variable that names the file.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Hint for OutputError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unwritable { .. } => Some(
                "the container must run as root and see the runner's files; act with jobs on the host does not \
                 mount them: use an image for the job"
                    .to_owned(),
            ),
            Self::Name(_)
            | Self::Nul(_)
            | Self::Delimiter(_)
            | Self::TooLarge { .. }
            | Self::Random { .. } => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Unknown
    }
}

/// The lines for one output, with this delimiter. Line ends become `\n` and those around the value are cut.
///
/// # Errors
/// When name or value are unfit.
pub fn entry(name: &'static str, value: &str, delimiter: &str) -> Result<String, OutputError> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name.is_empty() || !name.bytes().all(is_word) {
        return Err(OutputError::Name(name));
    }
    if value.contains('\0') {
        return Err(OutputError::Nul(name));
    }
    if value.contains(delimiter) {
        return Err(OutputError::Delimiter(name));
    }
    let lines = value.split('\n').map(|line| line.trim_end_matches('\r'));
    let value = lines.collect::<Vec<_>>().join("\n");
    let value = value.trim_matches(['\r', '\n']);
    // No line at all for the empty value: a blank one would be another value under act.
    let end = if value.is_empty() { "" } else { "\n" };
    Ok(format!("{name}<<{delimiter}\n{value}{end}{delimiter}\n"))
}

/// What a value counts towards [`OUTPUT_LIMIT`].
pub(crate) fn weight(value: &str) -> usize {
    value.encode_utf16().count().saturating_mul(2)
}

/// A delimiter that nobody can foresee: 128 random bits.
pub(crate) fn delimiter(name: &'static str) -> Result<String, OutputError> {
    let mut bits = [0_u8; 16];
    getrandom::fill(&mut bits).map_err(|source| OutputError::Random { name, source })?;
    Ok(format!("shipkit_{:032x}", u128::from_be_bytes(bits)))
}

/// Appends in one write. On a runner the file must exist: one that we had to make ourselves, nobody would read.
pub(crate) fn append(
    variable: &'static str,
    path: &Path,
    is_runner: Runs,
    text: &str,
) -> Result<(), OutputError> {
    OpenOptions::new()
        .append(true)
        .create(is_runner == Runs::Elsewhere)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| OutputError::Unwritable { variable, path: path.to_owned(), source })
}

/// Where the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    /// In a step of a workflow.
    OnRunner,
    /// On somebody's machine.
    Elsewhere,
}

/// What of `markdown` still fits behind `present` bytes, with a line that says so where something was left out.
/// `None` when there is no room for anything.
pub(crate) fn fitting(present: usize, markdown: &str) -> Option<String> {
    let room = SUMMARY_LIMIT.saturating_sub(present).saturating_sub(TRUNCATED.len());
    if markdown.len() < room {
        return Some(format!("{}\n", markdown.trim_end_matches('\n')));
    }
    // The truncation line itself filled the reserve: it has been said.
    if room == 0 {
        return None;
    }
    let end = (0..room).rev().find(|end| markdown.is_char_boundary(*end)).unwrap_or(0);
    let kept = markdown.get(..end).unwrap_or_default();
    let whole_lines = kept.rfind('\n').and_then(|line_end| kept.get(..line_end)).unwrap_or(kept);
    // Fills up to the limit, so that the next call finds no room and says nothing a second time.
    let filler = " ".repeat(room.saturating_sub(whole_lines.len()));
    Some(format!("{whole_lines}{filler}{TRUNCATED}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_a_block_without_blank_lines_around() {
        assert_eq!(entry("a", "x", "D").unwrap(), "a<<D\nx\nD\n");
        assert_eq!(entry("a", "\r\n\nx\r\n\ny\n\n", "D").unwrap(), "a<<D\nx\n\ny\nD\n");
        assert_eq!(entry("a", "", "D").unwrap(), "a<<D\nD\n");
    }

    #[test]
    fn what_would_break_the_form_is_refused() {
        assert!(matches!(entry("a=b", "x", "D"), Err(OutputError::Name("a=b"))));
        assert!(matches!(entry("a", "x\0", "D"), Err(OutputError::Nul("a"))));
        assert!(matches!(entry("a", "x\nD\ny", "D"), Err(OutputError::Delimiter("a"))));
    }

    #[test]
    fn no_two_delimiters_are_the_same() {
        let (one, other) = (delimiter("a").unwrap(), delimiter("a").unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 40);
    }

    #[test]
    fn a_summary_that_does_not_fit_is_cut_and_says_so_once() {
        assert_eq!(fitting(0, "a\n\n").unwrap(), "a\n");
        let first = fitting(0, &"ä line\n".repeat(200_000)).unwrap();
        assert!(first.ends_with(TRUNCATED));
        assert_eq!(first.len(), SUMMARY_LIMIT);
        assert_eq!(fitting(first.len(), "more"), None);
    }

    #[test]
    fn on_a_runner_a_missing_file_is_an_error_and_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("output");
        let error = append("GITHUB_OUTPUT", &file, Runs::OnRunner, "x").unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Unknown);
        assert!(!file.exists());
        append("GITHUB_OUTPUT", &file, Runs::Elsewhere, "x").unwrap();
        append("GITHUB_OUTPUT", &file, Runs::OnRunner, "y").unwrap();
        assert_eq!(std::fs::read_to_string(file).unwrap(), "xy");
    }
}
