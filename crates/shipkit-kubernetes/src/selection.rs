//! `Selection`: the objects that any of several selectors selects, asked for by one.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::{Expression, Selector, SelectorExt as _};

/// How long a selector may be: it is a part of a URL, and not every proxy takes a long one.
const LONGEST: usize = 2000;

/// The objects that any of several selectors selects.
pub(crate) struct Selection {
    any: Vec<Selector>,
    asked: Selector,
}

impl Selection {
    /// What any of these selects.
    pub(crate) fn of(any: impl IntoIterator<Item = Selector>) -> Self {
        let any: Vec<Selector> = any.into_iter().collect();
        let asked = asked(&any);
        Self { any, asked }
    }

    /// A selector of all of them, and perhaps of others: everything, where nothing narrower does.
    pub(crate) fn asked(&self) -> &Selector {
        &self.asked
    }

    /// Whether what has these labels is one of them.
    pub(crate) fn has(&self, labels: &BTreeMap<String, String>) -> bool {
        self.any.iter().any(|selector| selector.matches(labels))
    }
}

/// The narrowest selector that selects all that these do: themselves if they are one, else the values that they want of a label
/// that all of them name.
fn asked(any: &[Selector]) -> Selector {
    let Some((first, others)) = any.split_first() else { return Selector::default() };
    if others.iter().all(|other| other == first) {
        return first.clone();
    }
    let labels = values(first).into_iter().filter_map(|(key, value)| {
        let mut all = BTreeSet::from([value]);
        for other in others {
            all.insert(values(other).remove(&key)?);
        }
        Some(Selector::from(Expression::In(key, all)))
    });
    let short = labels.filter(|selector| selector.to_string().len() <= LONGEST);
    // Of two labels the one with more values says more.
    short.max_by_key(|selector| selector.to_string().len()).unwrap_or_default()
}

/// The labels whose value a selector names.
fn values(selector: &Selector) -> BTreeMap<String, String> {
    let named = selector.clone().into_iter().filter_map(|one| match one {
        Expression::Equal(key, value) => Some((key, value)),
        Expression::In(..)
        | Expression::NotIn(..)
        | Expression::NotEqual(..)
        | Expression::Exists(_)
        | Expression::DoesNotExist(_) => None,
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(pairs: &[(&str, &str)]) -> Selector {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[track_caller]
    fn check(any: &[Selector], wanted: &str) {
        assert_eq!(Selection::of(any.to_vec()).asked().to_string(), wanted);
    }

    #[test]
    fn several_are_asked_for_by_the_label_that_all_name_and_that_says_most() {
        let (api, web) = (selector(&[("app", "api"), ("of", "x")]), selector(&[("app", "web"), ("of", "x")]));
        check(std::slice::from_ref(&api), "app=api,of=x");
        check(&[api.clone(), api.clone()], "app=api,of=x");
        check(&[api.clone(), web.clone()], "app in (api,web)");
        check(&[api.clone(), web, selector(&[("app", "db")])], "app in (api,db,web)");
        check(&[api.clone(), selector(&[("name", "db")])], "");
        check(&[api, Expression::Exists("app".to_owned()).into()], "");
        let long: Vec<_> = (0..300).map(|number| selector(&[("app", &format!("app-{number}"))])).collect();
        check(&long, "");
    }

    #[test]
    fn what_none_selects_is_not_one_of_them() {
        let all = Selection::of([selector(&[("app", "api")]), selector(&[("app", "web"), ("tier", "a")])]);
        let has = |pairs: &[(&str, &str)]| {
            let labels = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            all.has(&labels.collect())
        };
        assert!(has(&[("app", "api"), ("more", "b")]) && has(&[("app", "web"), ("tier", "a")]));
        assert!(!has(&[("app", "web")]) && !has(&[]));
    }
}
