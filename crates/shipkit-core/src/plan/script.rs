//! The test script: `test` of `shipkit.yml` as a shell script that stops at the first failure and leaves nothing behind.

use std::fmt::Write as _;

use super::bake::FOLDER;
use super::compose::COMPOSE_FILE;
use crate::config::Test;

/// What the script knows how to do: functions, and the traps that clean up.
const FUNCTIONS: &str = include_str!("script.sh");

/// The script for `bash`. Tools and services are there before the first command, in the order of a pipeline: secrets,
/// tools, services, commands, end-to-end tests. Without tests it says so and succeeds.
#[must_use]
pub fn test_script(test: Option<&Test>) -> String {
    let mut script = FUNCTIONS.to_owned();
    let Some(test) = test.filter(|test| has_commands(test)) else {
        script.push_str("echo 'shipkit.yml names no tests'\n");
        return script;
    };
    for (name, value) in &test.environment {
        // Writing to a String cannot fail.
        writeln!(script, "export {name}={}", quoted(value)).ok();
    }
    if !test.secrets.is_empty() {
        writeln!(script, "secrets{}", words(&test.secrets, "")).ok();
    }
    for (name, version) in &test.setup {
        writeln!(script, "tool {} {}", quoted(name), quoted(version)).ok();
    }
    if !test.services.is_empty() {
        writeln!(script, "up services --file {FOLDER}/{COMPOSE_FILE}").ok();
    }
    commands(&mut script, &test.run);
    if let Some(e2e) = &test.e2e {
        if !e2e.files.is_empty() {
            // The stack of the end-to-end tests has a database of its own, most likely on the same port.
            writeln!(script, "remove services\nup e2e{}", words(&e2e.files, "--file ")).ok();
        }
        commands(&mut script, &e2e.run);
    }
    script
}

fn has_commands(test: &Test) -> bool {
    let e2e = test.e2e.iter().any(|e2e| !e2e.files.is_empty() || !e2e.run.is_empty());
    e2e || !test.run.is_empty()
}

fn commands(script: &mut String, commands: &[String]) {
    for command in commands {
        writeln!(script, "run {}", quoted(command)).ok();
    }
}

/// ` <before>'<text>'` for each text.
fn words(texts: &[String], before: &str) -> String {
    texts.iter().flat_map(|text| [" ".to_owned(), before.to_owned(), quoted(text)]).collect()
}

/// A text as one word of a POSIX shell, whatever it holds.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_quote_in_a_value_stays_inside_its_word() {
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
