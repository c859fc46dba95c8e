//! The scripts that a job runs beside the bake file: `test` of `shipkit.yml` as a shell script that stops at the first failure
//! and leaves nothing behind, and the build with its secrets.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Plan;
use super::bake::FOLDER;
use super::compose::COMPOSE_FILE;
use crate::config::Test;

/// How a script begins: `bash`, and where it comes from.
const HEAD: &str = "#!/usr/bin/env bash\n# Made by `build-tag plan` from `{from}` in shipkit.yml. It runs by hand, too: `bash .shipkit/{part}.sh`.\n\
                    set -euo pipefail\npart={part}\n";
/// How scripts say things and get their secrets.
const SECRETS: &str = include_str!("secrets.sh");
/// What the test script knows how to do besides: functions, and the traps that clean up.
const TESTS: &str = include_str!("script.sh");
/// Where the build leaves what `release` reads.
const BAKE: &str = "docker buildx bake --file .shipkit/bake.json --metadata-file .shipkit/bake-metadata.json";

/// The script for `bash`. Tools and services are there before the first command, in the order of a pipeline: secrets,
/// tools, services, commands, end-to-end tests. Without tests it says so and succeeds.
#[must_use]
pub fn test_script(test: Option<&Test>) -> String {
    let mut script = [&head("test", "test"), SECRETS, TESTS].concat();
    let Some(test) = test.filter(|test| has_commands(test)) else {
        script.push_str("echo 'shipkit.yml names no tests'\n");
        return script;
    };
    for (name, value) in &test.environment {
        // Writing to a String cannot fail.
        writeln!(script, "export {name}={}", quoted(value)).ok();
    }
    if !test.secrets.is_empty() {
        writeln!(script, "secrets SHIPKIT_TEST_ENV test.secrets{}", words(&test.secrets, "")).ok();
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

/// The script for `bash` that builds what is planned: `docker buildx bake` with the bake file, after the secrets that it takes
/// from variables are set.
#[must_use]
pub fn build_script(plan: &Plan) -> String {
    let secrets = plan.built_here().flat_map(|(_, service)| &service.build.secrets);
    let names: BTreeSet<_> = secrets.filter(|secret| !secret.contains('=')).cloned().collect();
    let mut script = head("build", "services.*.build");
    script.push_str(SECRETS);
    if !names.is_empty() {
        let names: Vec<_> = names.into_iter().collect();
        // Writing to a String cannot fail.
        writeln!(script, "secrets SHIPKIT_BUILD_ENV build.secrets{}", words(&names, "")).ok();
    }
    // In place of the shell, so that a signal reaches it.
    writeln!(script, "exec {BAKE} \"$@\"").ok();
    script
}

fn head(part: &str, from: &str) -> String {
    HEAD.replace("{part}", part).replace("{from}", from)
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
