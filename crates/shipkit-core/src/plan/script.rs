//! The test script: `test.run` of `shipkit.yml` as a shell script that stops at the first failure.

use std::fmt::Write as _;

use crate::config::Test;

/// The script for `sh`. Every command runs in a shell of its own, in the checkout, so that no `cd` or `exit` of one
/// reaches the next; services are containers
/// on the host's network, waited for until healthy, and removed whatever happens. Without tests it says so and succeeds.
#[must_use]
pub fn test_script(test: Option<&Test>) -> String {
    let mut script =
        "#!/bin/sh\n# Made by `build-tag plan` from `test` in shipkit.yml.\nset -eu\n".to_owned();
    let Some(test) = test.filter(|test| !test.run.is_empty()) else {
        script.push_str("echo 'shipkit.yml names no tests'\n");
        return script;
    };
    for (name, value) in &test.environment {
        // Writing to a String cannot fail.
        writeln!(script, "export {name}={}", quoted(value)).ok();
    }
    if !test.services.is_empty() {
        script.push_str(
            "services=''\ntrap 'for s in $services; do docker rm -fv \"$s\" >/dev/null; done' EXIT\n",
        );
        // A shell that is killed runs no `EXIT` trap unless it exits by itself.
        script.push_str("trap 'exit 130' INT\ntrap 'exit 143' TERM\n");
        for (name, service) in &test.services {
            let container = quoted(&format!("shipkit-test-{name}"));
            let mut run = format!("docker run -d --network host --name {container}");
            for (key, value) in &service.environment {
                write!(run, " -e {}", quoted(&format!("{key}={value}"))).ok();
            }
            let check = service.healthcheck.as_ref().and_then(|check| check.test.as_ref());
            if let Some(command) = check {
                write!(run, " --health-interval 1s --health-cmd {}", quoted(command)).ok();
            }
            writeln!(
                script,
                "{run} {} >/dev/null\nservices=\"$services \"{container}",
                quoted(&service.image)
            )
            .ok();
            let state = if check.is_some() { "{{.State.Health.Status}}" } else { "{{.State.Status}}" };
            let wanted = if check.is_some() { "healthy" } else { "running" };
            writeln!(
                script,
                "tries=0\nuntil [ \"$(docker inspect -f '{state}' {container})\" = {wanted} ]; do\n  tries=$((tries + 1))\n  \
                 if [ $tries -ge 60 ]; then echo {} >&2; docker logs {container} >&2; exit 1; fi\n  sleep 1\ndone",
                quoted(&format!("the test service {name} did not become {wanted} within 60 s"))
            )
            .ok();
        }
    }
    for command in &test.run {
        // Not `echo`: that of dash reads backslashes.
        writeln!(script, "printf '%s\\n' {}\nsh -ec {}", quoted(&format!("+ {command}")), quoted(command))
            .ok();
    }
    script
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
