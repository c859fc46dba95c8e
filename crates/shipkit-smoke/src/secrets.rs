//! `Secrets`: what no report may show.

use std::collections::BTreeSet;

use serde_json::Value;
use shipkit_core::Secret;

use crate::report::{Attempt, CheckReport};
use crate::variable::as_part;

/// What is shorter hides nothing: it would star out every other word.
const SHORTEST: usize = 4;

/// What no report may show, in each of the forms that it may have there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Secrets {
    /// The longest first, so that one secret inside another does not leave the rest of it readable.
    forms: Vec<Secret>,
}

impl Secrets {
    pub(crate) fn of<'a>(values: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut secrets = Self::default();
        secrets.extend(values);
        secrets
    }

    pub(crate) fn extend<'a>(&mut self, values: impl IntoIterator<Item = &'a Secret>) {
        let known = self.forms.iter().map(|form| form.reveal().to_owned());
        let more = values.into_iter().flat_map(|value| forms(value.reveal()));
        let forms: BTreeSet<String> = known.chain(more).collect();
        self.forms = forms.into_iter().map(Secret::from).collect();
        self.forms.sort_by_key(|form| std::cmp::Reverse(form.reveal().len()));
    }

    /// The text without them.
    pub(crate) fn hide(&self, text: &str) -> String {
        self.forms.iter().fold(text.to_owned(), |text, form| text.replace(form.reveal(), "***"))
    }

    /// The report without them.
    pub(crate) fn hide_in(&self, report: CheckReport) -> CheckReport {
        let attempt = |attempt: Attempt| Attempt { seen: self.hide(&attempt.seen), ..attempt };
        let mut outcome = report.outcome;
        outcome.cause = self.hide(&outcome.cause);
        CheckReport {
            name: self.hide(&report.name),
            url: self.hide(&report.url),
            repeat: self.hide(&report.repeat),
            said: report.said.map(|said| self.hide(&said)),
            measured: report.measured.map(|measured| measured.renamed(|name| self.hide(name))),
            attempts: report.attempts.into_iter().map(attempt).collect(),
            outcome,
            ..report
        }
    }
}

/// The value, and each of its lines, as it is, as a part of a path, and inside JSON.
fn forms(value: &str) -> impl Iterator<Item = String> {
    let lines = value.lines().map(str::trim).chain([value]);
    let forms = lines.flat_map(|text| {
        let json = Value::from(text).to_string();
        let inside = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or_default();
        [text.to_owned(), as_part(text).unwrap_or_default(), inside.to_owned()]
    });
    forms.filter(|form| SHORTEST <= form.len()).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_in_every_form_and_the_longest_first() {
        let values = ["hunter2", "hunter2-and-more", "a\"b/c d", "no"].map(Secret::from);
        let secrets = Secrets::of(&values);
        for (text, hidden) in [
            ("hunter2-and-more, hunter2", "***, ***"),
            ("it is `a\"b/c d`", "it is `***`"),
            (r#"it is `"a\"b/c d"`"#, r#"it is `"***"`"#),
            ("/x/a%22b%2Fc%20d?y", "/x/***?y"),
            ("no", "no"),
        ] {
            assert_eq!(secrets.hide(text), hidden, "{text}");
        }
        let mut lines = secrets.clone();
        lines.extend(&[Secret::from("-----BEGIN\nsecret\n")]);
        assert_eq!(lines.hide("it holds secret"), "it holds ***");
    }
}
