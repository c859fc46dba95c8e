//! The files of a report, which are written all or not at all.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use shipkit_core::Hint;
use shipkit_core::exit::ExitCode;

/// A report that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("`{input}`: `{}` cannot be written", path.display())]
pub struct Unwritable {
    input: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

impl Hint for Unwritable {
    fn hint(&self) -> Option<String> {
        None
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// Makes the folder that an input names. Called before anything is asked, because nobody wants to hear of it after five minutes.
///
/// # Errors
/// When it cannot be made: exit 2.
pub fn folder(input: &'static str, path: &Path) -> Result<(), Unwritable> {
    fs::create_dir_all(path).map_err(|source| Unwritable { input, path: path.to_owned(), source })
}

/// Writes texts into the folder that an input names, each under its name: first beside the files that are to hold them, and renames
/// all once each of them is there.
///
/// # Errors
/// When one cannot be written: exit 2.
pub fn write(input: &'static str, folder: &Path, files: &[(String, String)]) -> Result<(), Unwritable> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Unwritable { input, path, source }
    };
    let half = |name: &str| folder.join(format!("{name}.part"));
    for (name, text) in files {
        let path = half(name);
        anew(&path, text).map_err(failed(&path))?;
    }
    for (name, _) in files {
        let path = folder.join(name);
        fs::rename(half(name), &path).map_err(failed(&path))?;
    }
    Ok(())
}

/// Not through a link that stands there: it may have come with the checkout, and lead anywhere.
fn anew(path: &Path, text: &str) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(word: &str) -> [(String, String); 3] {
        ["json", "xml", "html"].map(|kind| (format!("x.{kind}"), format!("{word} {kind}")))
    }

    #[test]
    fn all_are_written_or_none() {
        let folder = tempfile::tempdir().unwrap();
        write("output", folder.path(), &texts("first")).unwrap();
        // A folder where the last file is prepared: it cannot be.
        fs::create_dir(folder.path().join("x.html.part")).unwrap();
        let error = write("output", folder.path(), &texts("second")).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Usage);
        assert!(error.to_string().starts_with("`output`: `"), "{error}");
        for (name, text) in texts("first") {
            assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), text);
        }
    }

    #[test]
    fn no_link_in_the_checkout_leads_out_of_it() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let victim = elsewhere.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        for name in ["x.json", "x.json.part"] {
            std::os::unix::fs::symlink(&victim, folder.path().join(name)).unwrap();
        }
        write("output", folder.path(), &texts("new")).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert_eq!(fs::read_to_string(folder.path().join("x.json")).unwrap(), "new json");
    }
}
