//! `Matchers`: what a value, or the text of a body or header, has to be like.

use regex::Regex;
use serde_json::{Map, Value};
use shipkit_core::Digest;

use crate::variable::{Unfilled, Values, shown};

/// The words of a mapping that is no value itself, but says what the value has to be like.
const WORDS: [&str; 11] =
    ["equals", "not", "contains", "matches", "exists", "count", "over", "under", "type", "sha256", "size"];
/// The words of `type`: those of JSON Schema 2020-12 (core 6.1.1, validation 6.1.1).
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// All that a value has to be like.
#[derive(Debug, Clone)]
pub(crate) struct Matchers(Vec<Matcher>);

#[derive(Debug, Clone)]
enum Matcher {
    Equals(Value),
    Not(Matchers),
    Contains(Value),
    Matches(Box<Regex>),
    Exists(bool),
    Count(Matchers),
    Over(f64),
    Under(f64),
    Type(String),
    Sha256(String),
    Size(Matchers),
}

/// What a value is that is no mapping of matchers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    /// It is what the other has to be.
    Equal,
    /// It is what a header has to be; a mapping is never meant.
    Text,
    /// It is a part of the text of a body; a mapping is never meant.
    Part,
}

/// Why there are no matchers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unread {
    /// A variable in them.
    Unfilled(Unfilled),
    /// What is wrong with them.
    Wrong(String),
}

impl From<Unfilled> for Unread {
    fn from(unfilled: Unfilled) -> Self {
        Self::Unfilled(unfilled)
    }
}

/// How values of others are shown: cut, and without secrets.
pub(crate) type Cut<'a> = &'a dyn Fn(&str) -> String;

impl Matchers {
    /// Reads what is written, with values in place of variables. A mapping is matchers if all of its keys are words of matchers, and a
    /// value if none is; `equals` has a value in any case. A list is a value, but for headers and bodies: there all of its entries must hold.
    pub(crate) fn read(written: &Value, plain: Plain, values: Values<'_>) -> Result<Self, Unread> {
        let wrong = |why: String| Err(Unread::Wrong(why));
        if let (Value::Array(items), Plain::Text | Plain::Part) = (written, plain) {
            let all: Vec<Self> =
                items.iter().map(|item| Self::read(item, plain, values)).collect::<Result<_, _>>()?;
            let all: Vec<Matcher> = all.into_iter().flat_map(|matchers| matchers.0).collect();
            return if all.is_empty() { wrong("it says nothing".to_owned()) } else { Ok(Self(all)) };
        }
        let Value::Object(fields) = written else {
            let value = values.value(written)?;
            return Ok(Self(vec![match plain {
                Plain::Equal => Matcher::Equals(value),
                Plain::Text => Matcher::Equals(shown(&value).into()),
                Plain::Part => Matcher::Contains(shown(&value).into()),
            }]));
        };
        let is_word = |key: &&String| WORDS.contains(&key.as_str());
        let stranger = fields.keys().find(|key| !is_word(key));
        match (fields.keys().find(is_word), stranger) {
            (Some(word), Some(stranger)) => wrong(format!(
                "`{stranger}` beside `{word}` is none of {}; what is meant as it stands is written under `equals`",
                list(&WORDS)
            )),
            (None, Some(stranger)) if plain != Plain::Equal => {
                wrong(format!("`{stranger}` is none of {}", list(&WORDS)))
            }
            (None, _) if plain != Plain::Equal => wrong("it says nothing".to_owned()),
            (None, _) => Ok(Self(vec![Matcher::Equals(values.value(written)?)])),
            (Some(_), None) => all(fields, plain, values),
        }
    }

    /// What is wrong with a value.
    pub(crate) fn wrong(&self, seen: Option<&Value>, cut: Cut<'_>) -> Option<String> {
        let Some(value) = seen else { return self.wrong_with_nothing() };
        self.first(|matcher| matcher.wrong(value, cut))
    }

    /// What is wrong with the values at all places that a path names: each must be as it should be, and there must be one at least;
    /// `exists` and `count` are about the places.
    pub(crate) fn wrong_with_all(&self, seen: &[&Value], cut: Cut<'_>) -> Option<String> {
        self.first(|matcher| match matcher {
            Matcher::Exists(true) if seen.is_empty() => Some("is missing".to_owned()),
            Matcher::Exists(false) if !seen.is_empty() => Some("is there".to_owned()),
            Matcher::Exists(_) => None,
            Matcher::Count(count) => {
                let wrong = count.wrong(Some(&seen.len().into()), cut)?;
                Some(format!("has a number of places that {wrong}"))
            }
            Matcher::Equals(_)
            | Matcher::Not(_)
            | Matcher::Contains(_)
            | Matcher::Matches(_)
            | Matcher::Over(_)
            | Matcher::Under(_)
            | Matcher::Type(_)
            | Matcher::Sha256(_)
            | Matcher::Size(_) => match seen {
                [] => Some("is missing".to_owned()),
                all => all.iter().find_map(|value| matcher.wrong(value, cut)),
            },
        })
    }

    /// What is wrong with a body: `sha256` and `size` are about its bytes, and the others about its text. There is none without a byte.
    pub(crate) fn wrong_with_body(&self, body: &[u8], cut: Cut<'_>) -> Option<String> {
        let text = Value::from(String::from_utf8_lossy(body));
        self.first(|matcher| match matcher {
            Matcher::Sha256(wanted) => {
                let seen = Digest::of(body);
                (seen.hex() != wanted).then(|| format!("has the digest `{seen}`, not `sha256:{wanted}`"))
            }
            Matcher::Size(size) => {
                let wrong = size.wrong(Some(&body.len().into()), cut)?;
                Some(format!("has a size that {wrong}"))
            }
            Matcher::Exists(is_wanted) if *is_wanted == body.is_empty() => {
                Some(if body.is_empty() { "is empty" } else { "is not empty" }.to_owned())
            }
            Matcher::Exists(_) => None,
            Matcher::Not(matchers) => {
                matchers.wrong_with_body(body, cut).is_none().then(|| "is what is ruled out".to_owned())
            }
            Matcher::Contains(wanted) => {
                let is_wrong = matcher.wrong(&text, cut).is_some();
                is_wrong.then(|| format!("does not hold `{}`", cut(&shown(wanted))))
            }
            Matcher::Equals(_)
            | Matcher::Matches(_)
            | Matcher::Count(_)
            | Matcher::Over(_)
            | Matcher::Under(_)
            | Matcher::Type(_) => matcher.wrong(&text, cut),
        })
    }

    /// Whether it takes the whole body to judge.
    pub(crate) fn needs_all(&self) -> bool {
        self.0.iter().any(|matcher| match matcher {
            Matcher::Contains(_) | Matcher::Exists(_) | Matcher::Type(_) => false,
            Matcher::Equals(_)
            | Matcher::Not(_)
            | Matcher::Matches(_)
            | Matcher::Count(_)
            | Matcher::Over(_)
            | Matcher::Under(_)
            | Matcher::Sha256(_)
            | Matcher::Size(_) => true,
        })
    }

    fn wrong_with_nothing(&self) -> Option<String> {
        let is_fine = |matcher: &Matcher| matches!(matcher, Matcher::Exists(false));
        (!self.0.iter().all(is_fine)).then(|| "is missing".to_owned())
    }

    fn first(&self, wrong: impl Fn(&Matcher) -> Option<String>) -> Option<String> {
        self.0.iter().find_map(wrong)
    }
}

fn all(fields: &Map<String, Value>, plain: Plain, values: Values<'_>) -> Result<Matchers, Unread> {
    fields.iter().map(|(word, value)| one(word, value, plain, values)).collect::<Result<_, _>>().map(Matchers)
}

fn one(word: &str, value: &Value, plain: Plain, values: Values<'_>) -> Result<Matcher, Unread> {
    let wrong = |wanted: &str| Unread::Wrong(format!("`{word}` is `{value}`, which is not {wanted}"));
    let number = || value.as_f64().ok_or_else(|| wrong("a number"));
    let limits = || Matchers::read(value, Plain::Equal, values);
    let is_hash = |hash: &&str| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    Ok(match word {
        "equals" => Matcher::Equals(values.value(value)?),
        "not" => Matcher::Not(Matchers::read(value, plain, values)?),
        "contains" => Matcher::Contains(values.value(value)?),
        "matches" => {
            let pattern = values.pattern(value.as_str().ok_or_else(|| wrong("a pattern"))?)?;
            let regex = Regex::new(&pattern).map_err(|_no_pattern| wrong("a pattern that can be read"))?;
            Matcher::Matches(Box::new(regex))
        }
        "exists" => Matcher::Exists(value.as_bool().ok_or_else(|| wrong("`true` or `false`"))?),
        "count" => Matcher::Count(limits()?),
        "over" => Matcher::Over(number()?),
        "under" => Matcher::Under(number()?),
        "type" => {
            let word = value.as_str().filter(|word| TYPES.contains(word));
            Matcher::Type(word.ok_or_else(|| wrong(&format!("one of {}", list(&TYPES))))?.to_owned())
        }
        "sha256" | "size" if plain != Plain::Part => {
            return Err(Unread::Wrong(format!("`{word}` is for the whole body: `expect.body`")));
        }
        "sha256" => {
            let hash = value.as_str().filter(is_hash).ok_or_else(|| wrong("64 hexadecimal digits"))?;
            Matcher::Sha256(hash.to_ascii_lowercase())
        }
        _ => Matcher::Size(limits()?),
    })
}

impl Matcher {
    /// What is wrong with a value that is there.
    fn wrong(&self, seen: &Value, cut: Cut<'_>) -> Option<String> {
        let is = || cut(&seen.to_string());
        let number = || seen.as_f64().or_else(|| seen.as_str()?.trim().parse().ok());
        match self {
            Self::Equals(wanted) => (!is_equal(seen, wanted))
                .then(|| format!("is `{}`, not `{}`", is(), cut(&wanted.to_string()))),
            Self::Not(matchers) => matchers
                .wrong(Some(seen), cut)
                .is_none()
                .then(|| format!("is `{}`, which is ruled out", is())),
            Self::Contains(wanted) => {
                let holds = match seen {
                    Value::Array(items) => items.iter().any(|item| is_equal(item, wanted)),
                    Value::Object(fields) => wanted.as_str().is_some_and(|key| fields.contains_key(key)),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                        shown(seen).contains(&shown(wanted))
                    }
                };
                (!holds).then(|| format!("is `{}`, without `{}`", is(), cut(&shown(wanted))))
            }
            Self::Matches(regex) => (!regex.is_match(&shown(seen)))
                .then(|| format!("is `{}`, not like `{}`", is(), cut(regex.as_str()))),
            Self::Exists(is_wanted) => (!is_wanted).then(|| "is there".to_owned()),
            Self::Count(count) => {
                let Some(entries) = entries(seen) else {
                    return Some(format!("is `{}`, which has no entries", is()));
                };
                let wrong = count.wrong(Some(&entries.into()), cut)?;
                Some(format!("has a number of entries that {wrong}"))
            }
            Self::Over(limit) => (!number().is_some_and(|seen| *limit < seen))
                .then(|| format!("is `{}`, not over {limit}", is())),
            Self::Under(limit) => (!number().is_some_and(|seen| seen < *limit))
                .then(|| format!("is `{}`, not under {limit}", is())),
            Self::Type(wanted) => {
                (!is_of(seen, wanted)).then(|| format!("is `{}`, of another type than {wanted}", is()))
            }
            // Only bodies have them, which are judged as a whole.
            Self::Sha256(_) | Self::Size(_) => None,
        }
    }
}

/// How many entries a list or mapping has, or characters a text.
fn entries(value: &Value) -> Option<usize> {
    match value {
        Value::Array(items) => Some(items.len()),
        Value::Object(fields) => Some(fields.len()),
        Value::String(text) => Some(text.chars().count()),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn is_of(value: &Value, wanted: &str) -> bool {
    let is_whole =
        || value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0);
    match value {
        Value::Null => wanted == "null",
        Value::Bool(_) => wanted == "boolean",
        Value::Number(_) => wanted == "number" || (wanted == "integer" && is_whole()),
        Value::String(_) => wanted == "string",
        Value::Array(_) => wanted == "array",
        Value::Object(_) => wanted == "object",
    }
}

/// Numbers are equal by value: `1` and `1.0` are one number in JSON. Whole numbers are compared exactly, because large
/// ones do not fit into a float.
fn is_equal(seen: &Value, wanted: &Value) -> bool {
    let is_fraction = seen.is_f64() || wanted.is_f64();
    match (seen.as_f64(), wanted.as_f64()) {
        (Some(seen), Some(wanted)) if is_fraction => seen.total_cmp(&wanted).is_eq(),
        _ => seen == wanted,
    }
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn read(written: &Value, plain: Plain) -> Result<Matchers, Unread> {
        let captured = BTreeMap::from([("id".to_owned(), json!(7)), ("dot".to_owned(), json!("a.b"))]);
        Matchers::read(written, plain, Values { captured: &captured, own: &BTreeMap::new() })
    }

    fn cut(text: &str) -> String {
        text.to_owned()
    }

    #[track_caller]
    fn check(written: &Value, good: &[Value], bad: &[Value]) {
        let matchers = read(written, Plain::Equal).unwrap();
        for value in good {
            assert_eq!(matchers.wrong(Some(value), &cut), None, "{written} of {value}");
        }
        for value in bad {
            assert!(matchers.wrong(Some(value), &cut).is_some(), "{written} of {value}");
        }
    }

    #[test]
    fn each_matcher_takes_what_it_says_and_nothing_else() {
        check(&json!("${id}"), &[json!(7)], &[json!("7"), json!(8)]);
        check(&json!({"a": 1}), &[json!({"a": 1})], &[json!({"a": 1, "b": 2}), json!(1)]);
        check(&json!({}), &[json!({})], &[json!({"a": 1}), json!([])]);
        check(&json!({"equals": {"type": "x"}}), &[json!({"type": "x"})], &[json!("x")]);
        check(&json!({"equals": 1}), &[json!(1.0)], &[json!("1")]);
        check(&json!({"not": null}), &[json!(0), json!("")], &[json!(null)]);
        check(
            &json!({"not": {"contains": "x", "type": "string"}}),
            &[json!("a"), json!(["x"])],
            &[json!("axb")],
        );
        check(
            &json!({"contains": "x"}),
            &[json!("axb"), json!(["x"]), json!({"x": 1})],
            &[json!("a"), json!(["ax"]), json!({"a": "x"})],
        );
        check(&json!({"contains": 1}), &[json!([2, 1.0]), json!(314)], &[json!(["1"]), json!({"1": 1})]);
        check(&json!({"matches": "^a+$"}), &[json!("aaa")], &[json!("ab"), json!("b\naaa")]);
        check(&json!({"matches": "^${dot}$"}), &[json!("a.b")], &[json!("axb")]);
        check(&json!({"exists": true}), &[json!(null), json!(false)], &[]);
        check(&json!({"exists": false}), &[], &[json!(null)]);
        check(
            &json!({"count": 2}),
            &[json!([1, 2]), json!({"a": 1, "b": 2}), json!("éa")],
            &[json!([1]), json!(2), json!(null)],
        );
        check(&json!({"count": {"over": 1}}), &[json!([1, 2])], &[json!([1])]);
        check(
            &json!({"over": 1, "under": 3}),
            &[json!(2), json!("2.5")],
            &[json!(1), json!(3), json!("x"), json!(null)],
        );
    }

    #[test]
    fn a_type_is_that_of_its_values_and_of_no_others() {
        let values = || {
            TYPES.iter().zip([
                json!([]),
                json!(true),
                json!(1),
                json!(null),
                json!(1.5),
                json!({}),
                json!(""),
            ])
        };
        for (word, _) in values() {
            for (other, seen) in values() {
                let is_good = word == other || (*word == "number" && *other == "integer");
                let list = std::slice::from_ref(&seen);
                let (good, bad) = if is_good { (list, &[][..]) } else { (&[][..], list) };
                check(&json!({"type": word}), good, bad);
            }
        }
        check(&json!({"type": "integer"}), &[json!(2.0)], &[json!(2.5)]);
    }

    #[test]
    fn numbers_are_equal_by_value_and_whole_ones_exactly() {
        assert!(is_equal(&json!(1), &json!(1.0)));
        assert!(!is_equal(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992_u64)));
        assert!(!is_equal(&json!("1"), &json!(1)));
    }

    #[test]
    fn what_is_not_there_is_only_good_where_it_must_not_be() {
        for (written, is_good) in [
            (json!({"exists": false}), true),
            (json!({"exists": false, "type": "null"}), false),
            (json!({"not": 1}), false),
            (json!(null), false),
            (json!({"exists": true}), false),
        ] {
            assert_eq!(
                read(&written, Plain::Equal).unwrap().wrong(None, &cut).is_none(),
                is_good,
                "{written}"
            );
        }
    }

    #[test]
    fn every_place_that_a_path_names_must_be_good() {
        let (one, two) = (json!(1), json!(2));
        for (written, places, is_good) in [
            (json!({"under": 3}), vec![&one, &two], true),
            (json!({"under": 2}), vec![&one, &two], false),
            (json!({"under": 2}), vec![], false),
            (json!({"not": 2}), vec![&one, &two], false),
            (json!({"count": 2}), vec![&one, &two], true),
            (json!({"count": 0}), vec![], true),
            (json!({"count": {"over": 2}}), vec![&one, &two], false),
            (json!({"exists": false}), vec![], true),
            (json!({"exists": false}), vec![&one], false),
            (json!({"exists": true}), vec![], false),
            (json!(1), vec![&one, &one], true),
        ] {
            let wrong = read(&written, Plain::Equal).unwrap().wrong_with_all(&places, &cut);
            assert_eq!(wrong.is_none(), is_good, "{written} of {places:?}: {wrong:?}");
        }
    }

    #[test]
    fn a_body_has_bytes_and_a_text() {
        let hash = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        for (written, body, is_good) in [
            (json!("b"), "abc", true),
            (json!("x"), "abc", false),
            (json!(5), "15", true),
            (json!({"equals": "abc"}), "abc", true),
            (json!({"equals": "ab"}), "abc", false),
            (json!({"not": "x"}), "abc", true),
            (json!({"not": "b"}), "abc", false),
            (json!({"sha256": hash}), "abc", true),
            (json!({"sha256": hash}), "abd", false),
            (json!({"not": {"sha256": hash}}), "abd", true),
            (json!({"size": 3}), "abc", true),
            (json!({"size": {"over": 3}}), "abc", false),
            (json!({"exists": false}), "", true),
            (json!({"exists": false}), "a", false),
            (json!({"exists": true, "matches": "^.{3}$"}), "abc", true),
            (json!(["a", {"contains": "c"}]), "abc", true),
            (json!(["a", {"contains": "d"}]), "abc", false),
            (json!(["d", "a"]), "abc", false),
            (json!({"not": ["a", "d"]}), "abc", true),
        ] {
            let wrong = read(&written, Plain::Part).unwrap().wrong_with_body(body.as_bytes(), &cut);
            assert_eq!(wrong.is_none(), is_good, "{written} of {body}: {wrong:?}");
        }
    }

    #[test]
    fn what_is_neither_a_value_nor_matchers_is_told() {
        for (written, plain, part) in [
            (json!({"over": 1, "undr": 2}), Plain::Equal, "`undr` beside `over` is none of"),
            (json!({"type": "user"}), Plain::Equal, "`type` is `\"user\"`, which is not one of"),
            (json!({"over": "many"}), Plain::Equal, "which is not a number"),
            (json!({"matches": "("}), Plain::Equal, "which is not a pattern"),
            (json!({"exists": 1}), Plain::Equal, "which is not `true` or `false`"),
            (json!({"size": 1}), Plain::Equal, "`size` is for the whole body"),
            (json!({"sha256": "ab"}), Plain::Part, "which is not 64 hexadecimal digits"),
            (json!({"a": 1}), Plain::Text, "`a` is none of"),
            (json!({}), Plain::Part, "it says nothing"),
            (json!([]), Plain::Part, "it says nothing"),
            (json!({"not": {"count": {"over": "x"}}}), Plain::Equal, "which is not a number"),
        ] {
            let Err(Unread::Wrong(why)) = read(&written, plain) else { panic!("{written}") };
            assert!(why.contains(part), "{why}");
        }
        assert!(matches!(
            read(&json!({"contains": "${no}"}), Plain::Equal),
            Err(Unread::Unfilled(Unfilled::Unknown(_)))
        ));
    }
}
