//! Secrets that stand in a file as they are: no check repeats them, a variable stands in their place.

use serde_json::Value;

use super::draft::Draft;
use super::note::{Notes, Place};
use super::text::{Text, made};

/// Parts of names of what is secret.
const PARTS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "credential",
    "private_key",
    "session",
    "signature",
];
/// Whole names.
const WHOLE: [&str; 10] =
    ["authorization", "proxy-authorization", "auth", "pwd", "pass", "pin", "otp", "sid", "jwt", "key"];
/// Names that only sound like it.
const HARMLESS: [&str; 2] = ["token_type", "grant_type"];
/// The media type of a form.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";
/// What is shorter is not looked for elsewhere: it stands in too many words.
const SHORTEST: usize = 4;

/// The secrets that were met: each with the name of its variable.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<(String, String)>);

/// Whether what has this name is secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let has = |part: &&str| name.contains(*part);
    !HARMLESS.contains(&name.as_str()) && (WHOLE.contains(&name.as_str()) || PARTS.iter().any(has))
}

impl Secrets {
    /// The variable for a secret, by this name or one like it; and that is told.
    pub(super) fn variable(&mut self, name: &str, value: &str, place: Place, notes: &mut Notes) -> String {
        let known = self.0.iter().find(|(secret, _)| secret == value).map(|(_, variable)| variable.clone());
        let variable = known.unwrap_or_else(|| {
            let name = as_variable(name);
            let is_taken = |name: &String| self.0.iter().any(|(_, taken)| taken == name);
            let names = (2..).map(|number: u32| format!("{name}_{number}"));
            let free = std::iter::once(name.clone()).chain(names).find(|name| !is_taken(name));
            let variable = free.unwrap_or(name);
            self.0.push((value.to_owned(), variable.clone()));
            variable
        });
        notes.tell(
            place,
            format!("a secret stands here, which is not repeated: it is the variable `{variable}`"),
        );
        made(&variable)
    }

    /// Takes the secrets out of what is sent. `false` where a text may hold one that cannot be told from the rest.
    pub(super) fn take(&mut self, draft: &mut Draft, notes: &mut Notes) -> bool {
        let place = draft.place;
        for (name, value) in &mut draft.send {
            if name.eq_ignore_ascii_case("cookie") {
                *value = self.in_pairs(value, "; ", place, notes);
            } else if is_secret(name) && is_literal(value) {
                *value = self.in_header(name, value, place, notes);
            }
        }
        draft.url = self.in_url(&draft.url, place, notes);
        match &mut draft.body {
            Some(Value::String(text)) => {
                let pairs = self.in_pairs(text, "&", place, notes);
                let is_form = draft.send.iter().any(|(_, value)| value == FORM);
                let lower = text.to_ascii_lowercase();
                *text = pairs;
                return is_form || !PARTS.iter().any(|part| lower.contains(part));
            }
            Some(body) => self.in_json(None, body, place, notes),
            None => {}
        }
        true
    }

    /// Puts variables in place of secrets wherever else they stand.
    pub(super) fn hide(&self, text: &str) -> String {
        let mut secrets: Vec<_> = self.0.iter().filter(|(secret, _)| SHORTEST <= secret.len()).collect();
        // The longest first: one may be a part of another.
        secrets.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
        Text::read(text).map(|literal| {
            secrets
                .iter()
                .fold(literal.to_owned(), |text, (secret, variable)| text.replace(secret, &made(variable)))
        })
    }

    /// The scheme stays readable (RFC 9110 11.4).
    fn in_header(&mut self, name: &str, value: &str, place: Place, notes: &mut Notes) -> String {
        match value.split_once(' ') {
            Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => {
                format!("{scheme} {}", self.variable("BEARER_TOKEN", secret.trim(), place, notes))
            }
            Some((scheme, secret)) if scheme.eq_ignore_ascii_case("basic") => {
                format!("{scheme} {}", self.variable("BASIC_AUTH", secret.trim(), place, notes))
            }
            _ => self.variable(name, value, place, notes),
        }
    }

    fn in_url(&mut self, url: &str, place: Place, notes: &mut Notes) -> String {
        let (rest, fragment) = url.split_once('#').map_or((url, None), |(rest, after)| (rest, Some(after)));
        let Some((path, query)) = rest.split_once('?') else { return url.to_owned() };
        let query = self.in_pairs(query, "&", place, notes);
        let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
        format!("{path}?{query}{fragment}")
    }

    /// In `name=value` with something between.
    fn in_pairs(&mut self, text: &str, between: &str, place: Place, notes: &mut Notes) -> String {
        let pairs: Vec<String> = text
            .split(between)
            .map(|pair| match pair.split_once('=') {
                Some((name, value)) if is_secret(name.trim()) && is_literal(value) => {
                    format!("{name}={}", self.variable(name.trim(), value, place, notes))
                }
                _ => pair.to_owned(),
            })
            .collect();
        pairs.join(between)
    }

    fn in_json(&mut self, name: Option<&str>, value: &mut Value, place: Place, notes: &mut Notes) {
        let is_named = name.is_some_and(is_secret);
        match value {
            Value::String(text) if is_named && is_literal(text) => {
                *value = self.variable(name.unwrap_or_default(), text, place, notes).into();
            }
            Value::Number(number) if is_named => {
                // A variable of the environment is a text, and would not be a number again.
                let text = number.to_string();
                *value = self.variable(name.unwrap_or_default(), &text, place, notes).into();
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.in_json(name, item, place, notes)),
            Value::Object(fields) => {
                fields.iter_mut().for_each(|(name, field)| self.in_json(Some(name), field, place, notes));
            }
            Value::String(_) | Value::Number(_) | Value::Null | Value::Bool(_) => {}
        }
    }
}

/// Whether it says something by itself, without a variable.
fn is_literal(text: &str) -> bool {
    !text.trim().is_empty() && Text::read(text).variables().next().is_none()
}

/// A name as environment variables have it.
pub(super) fn as_variable(name: &str) -> String {
    let one = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = name.chars().map(one).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shipkit_core::config::Method;

    #[test]
    fn names_of_secrets_are_known() {
        for name in ["password", "Authorization", "X-Api-Key", "access_token", "PHPSESSION", "client-secret"]
        {
            assert!(is_secret(name), "{name}");
        }
        for name in ["accept", "token_type", "user", "author", "keyboard"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn no_secret_is_left_where_it_stood_and_elsewhere() {
        let place = Place { file: 0, line: 1 };
        let mut draft = Draft::new(place, Method::Post, "http://h/?api_key=canary1&page=2".to_owned());
        draft.send = vec![
            ("Authorization".to_owned(), "Bearer canary2".to_owned()),
            ("Cookie".to_owned(), "theme=dark; sid=canary3".to_owned()),
            ("X-Token".to_owned(), "{{token}}".to_owned()),
        ];
        draft.body = Some(json!({"user": "canary2", "login": {"password": "canary4"}, "pin": 1234}));
        let (mut secrets, mut notes) = (Secrets::default(), Notes::default());
        assert!(secrets.take(&mut draft, &mut notes));
        draft.change(&|text| secrets.hide(text));
        assert_eq!(draft.url, "http://h/?api_key={{=API_KEY}}&page=2");
        let values: Vec<_> = draft.send.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["Bearer {{=BEARER_TOKEN}}", "theme=dark; sid={{=SID}}", "{{token}}"]);
        let body =
            json!({"user": "{{=BEARER_TOKEN}}", "login": {"password": "{{=PASSWORD}}"}, "pin": "{{=PIN}}"});
        assert_eq!(draft.body, Some(body));
        assert_eq!(notes.sorted().len(), 5);
        draft.body = Some("<login password='canary5'/>".into());
        assert!(!secrets.take(&mut draft, &mut Notes::default()));
    }

    #[test]
    fn the_same_secret_is_one_variable_and_another_one_is_another() {
        let (mut secrets, mut notes) = (Secrets::default(), Notes::default());
        let place = Place { file: 0, line: 1 };
        let mut name = |value: &str| secrets.variable("password", value, place, &mut notes);
        assert_eq!([name("a"), name("b"), name("a")], ["{{=PASSWORD}}", "{{=PASSWORD_2}}", "{{=PASSWORD}}"]);
    }
}
