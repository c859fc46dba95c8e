//! Turns the source form of the actions into the form that `act`, GitHub Enterprise Server and a release use.
//!
//! In the sources a file names its neighbours by `uses: $/path`, which only a current github.com understands. Here such a
//! line gets a repository and a reference, and the image a name that exists. Lines are edited as text: comments and order stay.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The image of the sources, up to its digest.
const IMAGE: &str = "ghcr.io/org/shipkit@sha256:";

/// Who will read the rewritten tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// GitHub, which knows every key that we use.
    GitHub,
    /// `act`, which refuses a workflow with `environment.deployment`.
    Act,
}

/// What the rewritten tree should say.
#[derive(Debug, Clone)]
pub struct Form {
    /// The git reference that replaces `$`: a full commit for a release, a word for a test.
    pub reference: String,
    /// The image to run; nothing keeps the one that the sources name.
    pub image: Option<String>,
    /// Who will read it.
    pub reader: Reader,
}

/// Why a tree could not be rewritten.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// The output folder holds something already.
    #[error("`{0}` is not empty")]
    NotEmpty(PathBuf),
    /// The folder is not a git checkout, or git is missing.
    #[error("git cannot list the files of `{0}`: {1}")]
    Git(PathBuf, String),
    /// A file could not be read or written.
    #[error("cannot copy `{0}`")]
    File(PathBuf, #[source] io::Error),
}

impl Form {
    /// Rewrites the text of one action or workflow.
    #[must_use]
    pub fn rewrite(&self, text: &str) -> String {
        text.split_inclusive('\n').filter_map(|line| self.line(line)).collect()
    }

    fn line(&self, line: &str) -> Option<String> {
        let words = line.trim();
        if self.reader == Reader::Act && words == "deployment: false" {
            return None;
        }
        let key = words.strip_prefix("- ").unwrap_or(words);
        if let Some(path) = key.strip_prefix("uses: $/").and_then(|rest| rest.split_whitespace().next()) {
            return Some(line.replacen(
                &format!("$/{path}"),
                &format!("org/shipkit/{path}@{}", self.reference),
                1,
            ));
        }
        Some(self.with_image(line))
    }

    fn with_image(&self, line: &str) -> String {
        let Some((image, (before, after))) = self.image.as_ref().zip(line.split_once(IMAGE)) else {
            return line.to_owned();
        };
        let after = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        format!("{before}{image}{after}")
    }

    /// Copies the files that git knows or would add, from `from` to the new or empty folder `to`, and rewrites the actions and workflows.
    ///
    /// # Errors
    ///
    /// If `to` is not empty, if git cannot list the files, or if one cannot be read or written.
    pub fn copy(&self, from: &Path, to: &Path) -> Result<(), RewriteError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| RewriteError::File(path, source)
        };
        fs::create_dir_all(to).map_err(at(to))?;
        if fs::read_dir(to).map_err(at(to))?.next().is_some() {
            return Err(RewriteError::NotEmpty(to.to_owned()));
        }
        for path in files(from)? {
            let (source, target) = (from.join(&path), to.join(&path));
            fs::create_dir_all(target.parent().unwrap_or(to)).map_err(at(&target))?;
            // The copy keeps the mode; the text then replaces what was copied.
            fs::copy(&source, &target).map_err(at(&source))?;
            if is_ours(&path) {
                let text = fs::read_to_string(&source).map_err(at(&source))?;
                fs::write(&target, self.rewrite(&text)).map_err(at(&target))?;
            }
        }
        Ok(())
    }
}

/// Whether the path is an action or a workflow of shipkit; the workflows of examples are their own.
#[must_use]
pub fn is_ours(path: &str) -> bool {
    let folders = ["actions/", "deploy/", "setup/", ".github/workflows/"];
    Path::new(path).extension().is_some_and(|end| end == "yml")
        && folders.iter().any(|folder| path.starts_with(folder))
}

/// Lists the files that git tracks or would add and that exist, relative to `folder`.
///
/// # Errors
///
/// If git is missing or `folder` is not a checkout.
pub fn files(folder: &Path) -> Result<Vec<String>, RewriteError> {
    let refused = |why: String| RewriteError::Git(folder.to_owned(), why);
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])
        .current_dir(folder)
        .output()
        .map_err(|error| refused(error.to_string()))?;
    if !output.status.success() {
        return Err(refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    // A file that was deleted but not yet committed is still listed.
    Ok(names.split_terminator('\0').filter(|name| folder.join(name).is_file()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reader: Reader, before: &str, after: &str) {
        let form = Form { reference: "dev".to_owned(), image: Some("shipkit:dev".to_owned()), reader };
        assert_eq!(form.rewrite(before), after);
    }

    #[test]
    fn a_neighbour_gets_a_repository_and_a_reference() {
        check(Reader::GitHub, "      - uses: $/actions/x\n", "      - uses: org/shipkit/actions/x@dev\n");
        check(
            Reader::GitHub,
            "        uses: $/deploy # why\n",
            "        uses: org/shipkit/deploy@dev # why\n",
        );
        check(
            Reader::GitHub,
            "    uses: $/.github/workflows/x.yml",
            "    uses: org/shipkit/.github/workflows/x.yml@dev",
        );
    }

    #[test]
    fn other_references_and_comments_stay() {
        for line in
            ["uses: actions/checkout@0123 # v6\n", "# uses: $/actions/x\n", "run: echo '$/'\n", "\n", "last"]
        {
            check(Reader::GitHub, line, line);
        }
    }

    #[test]
    fn the_image_is_swapped_with_its_digest_and_nothing_else() {
        let digest = "0".repeat(64);
        check(
            Reader::GitHub,
            &format!("  image: docker://{IMAGE}{digest}\n"),
            "  image: docker://shipkit:dev\n",
        );
        check(Reader::GitHub, &format!("  IMAGE: {IMAGE}{digest} # x\n"), "  IMAGE: shipkit:dev # x\n");
        check(Reader::GitHub, "  image: docker://other@sha256:00\n", "  image: docker://other@sha256:00\n");
    }

    #[test]
    fn without_an_image_the_digest_of_the_sources_stays() {
        let form = Form { reference: "dev".to_owned(), image: None, reader: Reader::GitHub };
        let line = format!("image: docker://{IMAGE}{}\n", "a".repeat(64));
        assert_eq!(form.rewrite(&line), line);
    }

    #[test]
    fn only_act_loses_the_deployment_key() {
        let text = "environment:\n  name: x\n  deployment: false\nsteps:\n";
        check(Reader::GitHub, text, text);
        check(Reader::Act, text, "environment:\n  name: x\nsteps:\n");
    }
}
