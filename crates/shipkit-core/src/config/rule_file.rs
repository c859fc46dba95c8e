//! Rule files of Prometheus: what Prometheus itself would refuse when it starts, or drop without a word (prometheus.io,
//! "Defining recording rules" and "Alerting rules").
//!
//! Expressions are parsed and not evaluated; templates are only looked at for an end.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::error::{ConfigError, Problem};
use super::shape;
use super::yaml::{Document, Form, join};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping with `groups`")]
struct RawFile {
    groups: Vec<RawGroup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping with `name` and `rules`")]
struct RawGroup {
    name: String,
    interval: Option<Value>,
    query_offset: Option<Value>,
    #[serde(rename = "limit")]
    _limit: Option<u64>,
    #[serde(default)]
    labels: BTreeMap<String, Value>,
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping with `expr` and `alert` or `record`")]
struct RawRule {
    record: Option<String>,
    alert: Option<String>,
    expr: Value,
    #[serde(rename = "for")]
    pending: Option<Value>,
    keep_firing_for: Option<Value>,
    #[serde(default)]
    labels: BTreeMap<String, Value>,
    #[serde(default)]
    annotations: BTreeMap<String, Value>,
}

/// Reads a rule file; `file` is only named in errors.
///
/// # Errors
/// When Prometheus would refuse it, or it holds no rule. What does not fit the form is reported one by one, broken rules
/// all at once.
pub fn check_rule_file(file: &str, text: &str) -> Result<(), ConfigError> {
    let document = Document::read(file, text, Form::Rules)?;
    let raw: RawFile = shape::read(&document)?;
    let mut check = Check { document: &document, problems: Vec::new() };
    check.file(&raw);
    ConfigError::of(check.problems).map_or(Ok(()), Err)
}

struct Check<'a> {
    document: &'a Document,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn wrong(&mut self, path: &str, message: impl Into<String>, hint: Option<&str>) {
        self.problems.push(self.document.problem(path, message, hint.map(str::to_owned)));
    }

    fn file(&mut self, file: &RawFile) {
        if file.groups.iter().all(|group| group.rules.is_empty()) {
            self.wrong("", "the file holds no rule", Some("Prometheus takes it, and never says so"));
        }
        let mut names = BTreeSet::new();
        for (index, group) in file.groups.iter().enumerate() {
            let path = format!("groups[{index}]");
            if group.name.is_empty() {
                self.wrong(&join(&path, "name"), "a group has no name", None);
            } else if !names.insert(&group.name) {
                self.wrong(&join(&path, "name"), format!("two groups are named `{}`", group.name), None);
            }
            self.duration(&join(&path, "interval"), group.interval.as_ref());
            self.duration(&join(&path, "query_offset"), group.query_offset.as_ref());
            self.labels(&join(&path, "labels"), &group.labels);
            for (index, rule) in group.rules.iter().enumerate() {
                self.rule(&format!("{path}.rules[{index}]"), rule);
            }
        }
    }

    fn rule(&mut self, path: &str, rule: &RawRule) {
        match (rule.record.as_deref(), rule.alert.as_deref()) {
            (Some(_), Some(_)) => self.wrong(path, "a rule has both `record` and `alert`", Some("make two")),
            (None | Some(""), None) | (None, Some("")) => {
                self.wrong(path, "a rule has neither `record` nor `alert`", Some("give it a name by one"));
            }
            (Some(name), None) => self.record(path, name, rule),
            (None, Some(_)) => {}
        }
        match text(&rule.expr).as_deref() {
            None | Some("") => self.wrong(&join(path, "expr"), "there is no expression", None),
            Some(expression) => {
                if let Err(why) = promql_parser::parser::parse(expression) {
                    let message = format!("this is not PromQL: {}", why.lines().next().unwrap_or_default());
                    self.wrong(&join(path, "expr"), message, None);
                }
            }
        }
        self.duration(&join(path, "for"), rule.pending.as_ref());
        self.duration(&join(path, "keep_firing_for"), rule.keep_firing_for.as_ref());
        self.labels(&join(path, "labels"), &rule.labels);
        self.templates(&join(path, "labels"), &rule.labels);
        self.templates(&join(path, "annotations"), &rule.annotations);
    }

    /// What only an alert has. The name of what is recorded is told from an expression by nobody but its author.
    fn record(&mut self, path: &str, name: &str, rule: &RawRule) {
        if name.contains(['{', '}', ' ', '\n']) {
            let hint = Some("labels are listed under `labels`");
            self.wrong(&join(path, "record"), format!("`{name}` is not the name of a metric"), hint);
        }
        let only_alerts = [
            ("for", rule.pending.is_some()),
            ("keep_firing_for", rule.keep_firing_for.is_some()),
            ("annotations", !rule.annotations.is_empty()),
        ];
        for (key, _) in only_alerts.into_iter().filter(|(_, is_given)| *is_given) {
            let message = format!("a rule that records has no `{key}`");
            self.wrong(&join(path, key), message, Some("only an alert has it"));
        }
    }

    fn labels(&mut self, path: &str, labels: &BTreeMap<String, Value>) {
        for (name, value) in labels {
            if name.is_empty() || name == "__name__" {
                self.wrong(&join(path, name), format!("`{name}` is not the name of a label"), None);
            }
            if text(value).is_none() {
                self.wrong(&join(path, name), "the value of a label is a text", None);
            }
        }
    }

    /// A template that never ends is all that is certain without Go.
    fn templates(&mut self, path: &str, texts: &BTreeMap<String, Value>) {
        for (name, value) in texts {
            let Some(value) = text(value) else {
                self.wrong(&join(path, name), "this is a text or nothing", None);
                continue;
            };
            if value.split("{{").skip(1).any(|action| !action.contains("}}")) {
                self.wrong(&join(path, name), "the template has a `{{` without its `}}`", None);
            }
        }
    }

    fn duration(&mut self, path: &str, value: Option<&Value>) {
        let Some(value) = value else { return };
        let text = text(value).unwrap_or_default();
        if !is_duration(&text) {
            let hint = Some("write it as `5m` or `1h30m`");
            self.wrong(path, format!("`{text}` is not a duration of Prometheus"), hint);
        }
    }
}

/// A plain value as Prometheus reads it where it wants a text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is_true) => Some(is_true.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whole numbers with units, the largest unit first; `0` needs none (prometheus/common, `ParseDuration`).
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    for unit in ["y", "w", "d", "h", "m", "s", "ms"] {
        let after = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let is_number = after.len() < rest.len();
        // `ms` is no `m`.
        if let Some(next) = after.strip_prefix(unit).filter(|next| is_number && !next.starts_with('s')) {
            rest = next;
        }
    }
    text == "0" || (rest.is_empty() && !text.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The parser is somebody else's, and what it is given is foreign.
        #[test]
        fn whatever_stands_there_is_judged(expression in r#"([a-z_]{1,4}|[0-9e.+-]{1,5}|[(){}\[\]:,@"'\\~=<>!* ]|offset|by|5m|-1){0,12}"#) {
            let file = serde_json::json!({"groups": [{"name": "a", "rules": [{"alert": "A", "expr": expression}]}]});
            if let Err(error) = check_rule_file("rules.yml", &file.to_string()) {
                prop_assert!(error.problems().iter().all(|problem| problem.path.ends_with("expr")), "{error}");
            }
        }
    }

    #[test]
    fn a_problem_says_where_it_stands() {
        let text = "groups:\n- name: a\n  rules:\n  - alert: A\n    expr: |\n      sum(\n        up\n    for: soon\n";
        let error = check_rule_file("rules.yml", text).unwrap_err();
        let found: Vec<_> = error.problems().iter().map(|one| (one.line, one.path.as_str())).collect();
        assert_eq!(found, [(6, "groups[0].rules[0].expr"), (8, "groups[0].rules[0].for")]);
    }

    #[test]
    fn durations_are_those_of_prometheus() {
        for good in ["0", "5m", "1h30m", "100ms", "1y2w3d4h5m6s7ms", "0s", "5m10ms"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["", "5", "m", "5 m", "-5m", "30m1h", "1.5h", "5min", "5m5", "5mss"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }
}
