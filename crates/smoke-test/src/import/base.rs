//! The address that requests have in common: it is the `url` of the environment, and what lies below it is a path.

use super::draft::Draft;
use super::note::Notes;
use super::text::Text;

/// Splits an address into where it is asked and what is asked there.
fn split(url: &str) -> Option<(&str, &str)> {
    let end = |text: &str| text.find(['/', '?', '#']).unwrap_or(text.len());
    if let Some((scheme, rest)) =
        url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
    {
        let host = skip_braces(rest, end)?;
        return (0 < host).then(|| url.split_at_checked(scheme.len() + "://".len() + host))?;
    }
    url.starts_with("{{").then(|| url.split_at_checked(skip_braces(url, end)?))?
}

/// Where the first part ends, outside of variables.
fn skip_braces(text: &str, end: impl Fn(&str) -> usize) -> Option<usize> {
    let mut length = 0;
    let mut rest = text;
    loop {
        let stop = end(rest);
        match rest.find("{{").filter(|start| *start < stop) {
            None => return Some(length + stop),
            Some(start) => {
                let after = start + rest.get(start..)?.find("}}")? + "}}".len();
                length += after;
                rest = rest.get(after..)?;
            }
        }
    }
}

/// Makes paths of what lies below the address that most requests have, which is returned with `None` where there is none.
/// A request to elsewhere keeps its whole address, as far as it has no variable.
pub(super) fn take(drafts: &mut Vec<Draft>, notes: &mut Notes) -> Option<String> {
    drafts.retain_mut(|draft| {
        draft.url = without_fragment(&draft.url);
        let is_address = split(&draft.url).is_some();
        if !is_address {
            notes.left_out(
                draft.place,
                "the request, whose address does not begin with `http://`, `https://` or a variable",
            );
        }
        is_address
    });
    let bases: Vec<&str> = drafts.iter().filter_map(|draft| Some(split(&draft.url)?.0)).collect();
    let count = |base: &str| bases.iter().filter(|other| **other == base).count();
    // The first of those that are the most frequent.
    let base = bases.iter().rev().max_by_key(|base| count(base)).map(|base| (*base).to_owned());
    drafts.retain_mut(|draft| {
        let Some((here, path)) = split(&draft.url) else { return false };
        if Some(here) != base.as_deref() {
            let is_plain = Text::read(here).variables().next().is_none();
            if !is_plain {
                notes.left_out(
                    draft.place,
                    "the request, whose host is another variable than that of most requests",
                );
            }
            return is_plain;
        }
        draft.url = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        true
    });
    base
}

fn without_fragment(url: &str) -> String {
    url.split_once('#').map_or(url, |(url, _)| url).to_owned()
}

/// The address without user and password, and these.
pub(super) fn without_login(url: &str) -> Option<(String, String)> {
    let (base, path) = split(url)?;
    let (scheme, rest) = base.split_once("://")?;
    let (login, host) = rest.rsplit_once('@')?;
    Some((format!("{scheme}://{host}{path}"), login.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::note::Place;
    use super::*;
    use shipkit_core::config::Method;

    #[test]
    fn an_address_ends_before_its_path() {
        for (url, base, path) in [
            ("https://a.example:8443/b?c", "https://a.example:8443", "/b?c"),
            ("http://a", "http://a", ""),
            ("{{ base/url }}?c", "{{ base/url }}", "?c"),
            ("https://{{host}}:{{port}}/{{b}}", "https://{{host}}:{{port}}", "/{{b}}"),
        ] {
            assert_eq!(split(url), Some((base, path)), "{url}");
        }
        for url in ["", "/a", "ftp://a/b", "http://", "a.example/b", "{{a"] {
            assert_eq!(split(url), None, "{url}");
        }
        let login = without_login("http://u:p@h/b@c");
        assert_eq!(login, Some(("http://h/b@c".to_owned(), "u:p".to_owned())));
        assert_eq!(without_login("http://h/b@c"), None);
    }

    #[test]
    fn what_most_have_in_common_is_the_address_of_the_environment() {
        let urls = ["http://x/1", "{{b}}/2", "http://y/3#d", "{{b}}", "{{c}}/5", "six"];
        let draft = |url: &str| Draft::new(Place { file: 0, line: 1 }, Method::Get, url.to_owned());
        let mut drafts: Vec<_> = urls.into_iter().map(draft).collect();
        let mut notes = Notes::default();
        assert_eq!(take(&mut drafts, &mut notes).as_deref(), Some("{{b}}"));
        let urls: Vec<_> = drafts.iter().map(|draft| draft.url.as_str()).collect();
        assert_eq!(urls, ["http://x/1", "/2", "http://y/3", "/"]);
        assert_eq!(notes.sorted().len(), 2);
    }
}
