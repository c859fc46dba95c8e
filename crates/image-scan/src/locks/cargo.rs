//! `Cargo.lock`, of all its versions. It does not say what is only for development.

use serde_json::Value;

use super::{GIT, Lock, MEMBER, OTHER};

/// What crates.io is called there, by either protocol; a mirror of it is called the same.
const CRATES_IO: [&str; 2] =
    ["registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"];

/// What such a file says.
///
/// # Errors
/// When it is no TOML.
pub(super) fn read(text: &str) -> Result<Lock, String> {
    let file: Value = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let mut lock = Lock::default();
    for entry in file.get("package").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| entry.get(name).and_then(Value::as_str);
        match field("source") {
            None => lock.leave_out(MEMBER),
            Some(source) if CRATES_IO.contains(&source) => {
                lock.take(
                    "crates.io",
                    field("name").unwrap_or_default(),
                    field("version").unwrap_or_default(),
                    false,
                );
            }
            Some(source) if source.starts_with("git+") => lock.leave_out(GIT),
            // What is called the same there is another crate.
            Some(_) => lock.leave_out(OTHER),
        }
    }
    Ok(lock)
}
