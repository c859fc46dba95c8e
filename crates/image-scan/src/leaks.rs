//! Secrets in what an image says of itself: its environment, its labels and the steps of its history.

use std::collections::BTreeMap;

use shipkit_core::leak;
use shipkit_core::policy::{Leak, Place};

/// What an image says of itself.
pub(crate) struct Said<'a> {
    /// `NAME=value`, as Docker writes it.
    pub(crate) environment: &'a [String],
    pub(crate) labels: &'a BTreeMap<String, String>,
    /// Steps that made no layer as well.
    pub(crate) steps: Vec<&'a str>,
}

impl Said<'_> {
    /// The secrets in it.
    pub(crate) fn leaks(&self) -> Vec<Leak> {
        let variables =
            self.variables().map(|(what, name, _)| Leak { what, place: Place::Variable(name.to_owned()) });
        let labels = self.labels.iter().filter_map(|(name, value)| {
            leak::in_value(name, value).map(|what| Leak { what, place: Place::Label(name.clone()) })
        });
        let mut leaks: Vec<_> = variables.chain(labels).collect();
        for step in &self.steps {
            // The step that sets a variable or a label says the same as that.
            let is_told = |name: &str| {
                leaks.iter().any(|leak| match &leak.place {
                    Place::Variable(told) | Place::Label(told) => told == name,
                    Place::Step(_) | Place::File { .. } => false,
                })
            };
            let found = leak::in_text(step);
            let new = found.iter().find(|one| !one.name.as_deref().is_some_and(is_told));
            let Some(what) = new.map(|one| one.what) else { continue };
            let leak = Leak { what, place: Place::Step(self.without_secrets(step)) };
            if !leaks.contains(&leak) {
                leaks.push(leak);
            }
        }
        leaks
    }

    /// A step as it may be shown.
    pub(crate) fn without_secrets(&self, step: &str) -> String {
        // In a step a value may stand where nothing says what it is.
        let shown =
            self.variables().fold(step.to_owned(), |shown, (_, _, value)| shown.replace(value, "***"));
        leak::redacted(&shown)
    }

    /// The variables that are secret.
    fn variables(&self) -> impl Iterator<Item = (&'static str, &str, &str)> {
        self.environment.iter().filter_map(|entry| {
            let (name, value) = entry.split_once('=')?;
            Some((leak::in_value(name, value)?, name, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(environment: &[&str], labels: &[(&str, &str)], steps: &[&str]) -> Vec<String> {
        let environment: Vec<_> = environment.iter().map(|&entry| entry.to_owned()).collect();
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let said = Said { environment: &environment, labels: &labels, steps: steps.to_vec() };
        said.leaks().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_secret_is_told_once_and_never_shown() {
        let all = said(
            &["PATH=/bin", "DB_PASSWORD=hunter2", "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D"],
            &[("api-token", "hunter3"), ("maintainer", "a")],
            &["ENV DB_PASSWORD=hunter2", "LABEL api-token=hunter3", "RUN echo hunter2", "ARG A=b"],
        );
        assert_eq!(
            all,
            ["a password or token in `ENV DB_PASSWORD`", "a password or token in the label `api-token`"]
        );
    }

    #[test]
    fn a_build_argument_is_in_every_step_after_it() {
        let step = "RUN |1 NPM_TOKEN=hunter2 /bin/sh -c npm ci # buildkit";
        let told = "a password or token in the step `RUN |1 NPM_TOKEN=*** /bin/sh -c npm ci`";
        assert_eq!(said(&[], &[], &[step, step, "RUN npm ci"]), [told]);
    }

    #[test]
    fn a_value_is_hidden_wherever_it_stands() {
        let environment = ["DB_PASSWORD=hunter2".to_owned()];
        let said = Said { environment: &environment, labels: &BTreeMap::new(), steps: Vec::new() };
        assert_eq!(said.without_secrets("RUN echo hunter2 > x"), "RUN echo *** > x");
        assert_eq!(
            said.without_secrets("RUN echo hunter2 && A_TOKEN=hunter3 x"),
            "RUN echo *** && A_TOKEN=*** x"
        );
    }
}
