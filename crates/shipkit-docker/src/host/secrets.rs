//! Secrets for a command: variables that it finds in its environment.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use shipkit_core::{Secret, ssh::shell_line};

use super::{Host, HostError, NO_PROGRAM};
use crate::ssh::{Ended, HostCommand, Output};

/// Arguments: how many bytes of the input are the variables, as lines for the shell, and the command, which reads the rest.
const WITH: &str = r#"eval "$(dd bs=1 count="$1" 2> /dev/null)" && shift && exec "$@""#;

impl Host {
    /// Runs a command with these variables in its environment. They come to it through a pipe, so they stand in no file and on
    /// no command line, and are gone when it ends, however that is.
    ///
    /// # Errors
    /// As for [`stream`](Self::stream), and when a variable has a name that no shell knows, or a NUL byte in its value.
    pub async fn run_with(
        &self,
        variables: &BTreeMap<String, Secret>,
        command: HostCommand<'_>,
    ) -> Result<Output, HostError> {
        let mut lines = String::new();
        for (name, value) in variables {
            let value = shell_line(&[value.reveal()]).filter(|_| is_name(name));
            let value = value.ok_or_else(|| HostError::BadVariable(name.clone()))?;
            // Writing to a String cannot fail.
            writeln!(lines, "export {name}={value}").ok();
        }
        let size = lines.len().to_string();
        let argv = [&["sh", "-c", WITH, "sh", &size], command.argv].concat();
        let stdin = [lines.as_bytes(), command.stdin].concat();
        let output = self.run(HostCommand { argv: &argv, stdin: &stdin, ..command }).await?;
        if let (Ended::Code(NO_PROGRAM), Some(program)) = (&output.ended, command.argv.first()) {
            self.is_there(program).await?;
        }
        Ok(output)
    }
}

/// Whether a shell takes it for the name of a variable.
fn is_name(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.bytes().all(word) && text.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}
