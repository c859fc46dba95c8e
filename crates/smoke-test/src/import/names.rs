//! Our names for variables: what several files capture by the same name are several variables here.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::note::Notes;
use super::text::{Text, as_made};

/// Gives every variable a name that is ours, and tells what this changes. Returns what the environment has to give.
pub(super) fn resolve(drafts: &mut Vec<Draft>, notes: &mut Notes) -> BTreeSet<String> {
    without_own(drafts, notes);
    let mut names = Names::default();
    let mut known: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for draft in drafts.iter() {
        let here = known.entry(draft.place.file).or_default();
        for name in
            draft.names_sent().into_iter().chain(draft.terms.iter().flat_map(super::draft::Term::names))
        {
            if !here.contains(&name) {
                names.outside(&name);
            }
        }
        here.extend(draft.captures.iter().map(|(name, _)| name.clone()));
    }
    let mut current: BTreeMap<(usize, String), String> = BTreeMap::new();
    drafts.retain_mut(|draft| {
        let file = draft.place.file;
        let name = |name: &str| {
            let captured = current.get(&(file, name.to_owned())).cloned();
            captured.or_else(|| names.outside.get(name).cloned()).unwrap_or_default()
        };
        let is_written = fill(draft, &name, notes);
        for (captured, _) in draft.captures.iter_mut().filter(|_| is_written) {
            let ours = names.free(captured);
            if ours != *captured {
                notes.tell(draft.place, format!("what is captured as `{captured}` is `{ours}`"));
            }
            current.insert((file, captured.clone()), ours.clone());
            *captured = ours;
        }
        is_written
    });
    names.outside.into_values().collect()
}

/// Takes out what an answer is compared with that is captured of it: here a check does not wait for itself.
fn without_own(drafts: &mut [Draft], notes: &mut Notes) {
    for draft in drafts {
        let own: Vec<String> = draft.captures.iter().map(|(name, _)| name.clone()).collect();
        let place = draft.place;
        draft.terms.retain(|term| {
            let mine = term.names().into_iter().find(|name| own.contains(name));
            if let Some(name) = &mine {
                let place = super::note::Place { line: term.line, ..place };
                notes.left_out(place, format!("what is compared with `{name}`, which the same answer gives"));
            }
            mine.is_none()
        });
    }
}

/// Writes all texts with our names. `false` where what is sent cannot be written.
fn fill(draft: &mut Draft, name: &dyn Fn(&str) -> String, notes: &mut Notes) -> bool {
    let ours = |text: &str| Text::read(text).ours(name);
    let place = draft.place;
    if draft.sent().into_iter().any(|text| ours(text).is_none()) {
        notes.left_out(place, "the request, which has a dollar sign before a variable");
        return false;
    }
    draft.terms.retain(|term| {
        let mut probe = Draft::new(place, draft.method, String::new());
        probe.body = Some(term.matchers.clone().into());
        let is_written = probe.sent().into_iter().all(|text| ours(text).is_some());
        if !is_written {
            let place = super::note::Place { line: term.line, ..place };
            notes.left_out(place, "what is compared with a dollar sign before a variable");
        }
        is_written
    });
    draft.change(&|text| ours(text).unwrap_or_default());
    true
}

/// The names that are taken.
#[derive(Debug, Default)]
struct Names {
    /// What no file captures before it uses it, by its name there.
    outside: BTreeMap<String, String>,
    taken: BTreeSet<String>,
}

impl Names {
    fn outside(&mut self, name: &str) {
        if !self.outside.contains_key(name) {
            let ours = self.free(as_made(name).unwrap_or(name));
            self.outside.insert(name.to_owned(), ours);
        }
    }

    /// This name as a variable of ours, or one like it that is free.
    fn free(&mut self, name: &str) -> String {
        let one = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let plain: String = name.chars().map(one).collect();
        let plain = if plain.starts_with(|c: char| c.is_ascii_digit()) { format!("_{plain}") } else { plain };
        let more = (2..).map(|number: u32| format!("{plain}_{number}"));
        let free = std::iter::once(plain.clone()).chain(more).find(|name| !self.taken.contains(name));
        let free = free.unwrap_or(plain);
        self.taken.insert(free.clone());
        free
    }
}

#[cfg(test)]
mod tests {
    use super::super::draft::{Part, Term};
    use super::super::note::Place;
    use super::*;
    use shipkit_core::config::Method;

    fn draft(file: usize, url: &str, captures: &[&str]) -> Draft {
        let mut draft = Draft::new(Place { file, line: 1 }, Method::Get, url.to_owned());
        draft.captures = captures.iter().map(|name| ((*name).to_owned(), "$.a".into())).collect();
        draft
    }

    #[test]
    fn each_file_has_its_own_captures_and_all_have_the_same_environment() {
        let mut drafts = vec![
            draft(0, "/{{host}}/{{id}}", &["user-id", "id"]),
            draft(0, "/{{user-id}}/{{id}}", &["id"]),
            draft(0, "/{{id}}", &[]),
            draft(1, "/{{host}}/{{user-id}}", &["id"]),
            draft(1, "/{{id}}", &[]),
        ];
        let outside = resolve(&mut drafts, &mut Notes::default());
        let urls: Vec<_> = drafts.iter().map(|draft| draft.url.as_str()).collect();
        assert_eq!(
            urls,
            ["/${host}/${id}", "/${user_id_2}/${id_2}", "/${id_3}", "/${host}/${user_id}", "/${id_4}"]
        );
        assert_eq!(outside.into_iter().collect::<Vec<_>>(), ["host", "id", "user_id"]);
    }

    #[test]
    fn nobody_waits_for_himself() {
        let mut own = draft(0, "/", &["id"]);
        own.terms =
            vec![Term::one(7, Part::Body, "contains", "{{id}}"), Term::one(8, Part::Body, "contains", "x")];
        let (mut drafts, mut notes) = (vec![own], Notes::default());
        resolve(&mut drafts, &mut notes);
        assert_eq!(drafts[0].terms.len(), 1);
        let notes = notes.sorted();
        assert_eq!((notes.len(), notes[0].place.line), (1, 7));
    }
}
