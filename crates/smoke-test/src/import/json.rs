//! Paths in JSON that lead to one place (RFC 9535), taken apart and spelt in other ways.

use serde_json::Value;

/// A step to a field or an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Entry(i64),
}

/// The steps of a path that leads to one place at most (a singular query, RFC 9535 2.3.5.1).
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.trim().strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, after) = after.split_at_checked(end)?;
            let is_name = |c: char| c.is_alphanumeric() || c == '_' || !c.is_ascii();
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(is_name)
            {
                return None;
            }
            steps.push(Step::Field(name.to_owned()));
            rest = after;
        } else {
            let after = rest.strip_prefix('[')?;
            let quote = after.chars().next().filter(|c| matches!(c, '\'' | '"'));
            if let Some(quote) = quote {
                let (name, after) = after.strip_prefix(quote)?.split_once(quote)?;
                if name.contains('\\') {
                    return None;
                }
                steps.push(Step::Field(name.to_owned()));
                rest = after.strip_prefix(']')?;
            } else {
                let (number, after) = after.split_once(']')?;
                steps.push(Step::Entry(number.parse().ok()?));
                rest = after;
            }
        }
    }
    Some(steps)
}

/// Whether a path leads to one place at most.
pub(super) fn is_singular(path: &str) -> bool {
    steps(path).is_some()
}

/// The ways to write a path as a key of `expect.json`, the given one first.
pub(super) fn spellings(path: &str) -> Vec<String> {
    let mut all = vec![path.to_owned()];
    let Some(steps) = steps(path) else { return all };
    all.extend(dotted(&steps));
    all.push(format!("${}", steps.iter().map(bracketed).collect::<Vec<_>>().concat()));
    let mut seen = Vec::new();
    all.retain(|one| {
        !seen.contains(one) && {
            seen.push(one.clone());
            true
        }
    });
    all
}

/// The key under which the entries of what is at one place are counted: there a path itself would count places.
pub(super) fn counted(path: &str) -> Option<String> {
    let steps = steps(path)?;
    Some(dotted(&steps).unwrap_or_else(|| format!("{path}[*]")))
}

/// The path to an entry of what is at this place.
pub(super) fn entry(path: &str, number: i64) -> Option<String> {
    is_singular(path).then(|| format!("{}[{number}]", path.trim()))
}

/// With dots, where every step can be written so.
fn dotted(steps: &[Step]) -> Option<String> {
    let step = |step: &Step| match step {
        Step::Field(name) => (!name.is_empty() && !name.contains(['.', '$'])).then(|| name.clone()),
        Step::Entry(number) => (0 <= *number).then(|| number.to_string()),
    };
    let steps: Vec<String> = steps.iter().map(step).collect::<Option<_>>()?;
    (!steps.is_empty()).then(|| steps.join("."))
}

fn bracketed(step: &Step) -> String {
    match step {
        Step::Field(name) if name.contains('\'') => format!("[{}]", Value::from(name.as_str())),
        Step::Field(name) => format!("['{name}']"),
        Step::Entry(number) => format!("[{number}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_to_one_place_is_told_from_others() {
        for path in ["$", "$.a", "$.a.b[0]['c d'].e", "$[\"a\"][-1]"] {
            assert!(is_singular(path), "{path}");
        }
        for path in ["", "a", "$.a[*]", "$..a", "$.a[1:2]", "$.a[?@.b]", "$.a[0,1]", "$.*", "$.", "$.a["] {
            assert!(!is_singular(path), "{path}");
        }
    }

    #[test]
    fn a_path_is_spelt_in_several_ways() {
        assert_eq!(spellings("$.a[0]"), ["$.a[0]", "a.0", "$['a'][0]"]);
        assert_eq!(spellings("$['a.b'][-1]"), ["$['a.b'][-1]"]);
        assert_eq!(spellings("$..a"), ["$..a"]);
        assert_eq!(counted("$.a").as_deref(), Some("a"));
        assert_eq!(counted("$").as_deref(), Some("$[*]"));
        assert_eq!(counted("$['a.b']").as_deref(), Some("$['a.b'][*]"));
        assert_eq!(counted("$.a[*]"), None);
        assert_eq!(entry("$.a", 2).as_deref(), Some("$.a[2]"));
    }
}
