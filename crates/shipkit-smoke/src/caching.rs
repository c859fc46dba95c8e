//! How long browsers use an answer without asking about it anew (RFC 9111), and whether it can be asked about (RFC 9110 13).

use http::header::{CACHE_CONTROL, DATE, ETAG, EXPIRES, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use url::Url;

use crate::judge::{joined, short};

/// For how many seconds a page may be used unasked: after a rollout, an older one names files that are gone.
pub(crate) const PAGE: u64 = 60;
/// For how many seconds a file must be used unasked whose name changes with what is in it: a year.
pub(crate) const FILE: u64 = 365 * 24 * 60 * 60;
/// How many letters and digits are a hash.
pub(crate) const HASH: usize = 8;

/// What an answer says about how long it may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// Not without asking.
    Asked,
    /// For so many seconds.
    For(u64),
    /// Nothing: browsers guess, by how old it is (RFC 9111 4.2.2).
    Guessed,
}

/// What is wrong with how a page is kept.
pub(crate) fn of_page(headers: &HeaderMap) -> Option<String> {
    match Kept::of(headers) {
        Kept::Asked => None,
        Kept::For(seconds) if seconds <= PAGE => None,
        Kept::For(seconds) => Some(format!("browsers use it for {seconds} seconds without asking about it anew{}", said(headers))),
        Kept::Guessed => Some(
            "browsers guess how long it is good, because it says `last-modified` and no `cache-control`; `no-cache` makes them ask"
                .to_owned(),
        ),
    }
}

/// What is wrong with how a file is kept whose name has a hash.
pub(crate) fn of_file(headers: &HeaderMap) -> Option<String> {
    let is_long = matches!(Kept::of(headers), Kept::For(seconds) if FILE <= seconds);
    // RFC 8246 2.
    let is_immutable = directives(headers).iter().any(|(name, _)| name == "immutable");
    (!is_long || !is_immutable).then(|| {
        let said = said(headers);
        let said = if said.is_empty() { " (it says no `cache-control`)".to_owned() } else { said };
        format!("is not kept for a year by `max-age={FILE}, immutable`{said}")
    })
}

/// Whether the name of a file changes with what is in it: a part of it, between `.`, `-` and `_`, has eight letters and digits or
/// more, and a digit before a letter.
pub(crate) fn has_hash(url: &Url) -> bool {
    let name = url.path().rsplit('/').next().unwrap_or_default();
    name.split(['.', '-', '_']).any(|part| {
        let bytes = part.as_bytes();
        let is_plain = HASH <= bytes.len() && bytes.iter().all(u8::is_ascii_alphanumeric);
        let is_mixed = bytes.iter().skip_while(|byte| !byte.is_ascii_digit()).any(u8::is_ascii_alphabetic);
        is_plain && is_mixed
    })
}

/// The header with which an answer is asked about anew, if it can be (RFC 9110 13.1): a tag says more than a time.
/// What may not be stored is not asked about.
pub(crate) fn question(headers: &HeaderMap) -> Option<(HeaderName, HeaderValue)> {
    if directives(headers).iter().any(|(name, _)| name == "no-store") {
        return None;
    }
    let tag = headers.get(ETAG).map(|tag| (IF_NONE_MATCH, tag.clone()));
    tag.or_else(|| headers.get(LAST_MODIFIED).map(|time| (IF_MODIFIED_SINCE, time.clone())))
}

/// What is wrong with the answer to that question: 304 where nothing has changed (RFC 9110 15.4.5).
pub(crate) fn unanswered(before: &HeaderMap, status: u16, after: &HeaderMap) -> Option<String> {
    if status == 304 {
        return None;
    }
    let (asked, value) = question(before)?;
    let is_same = question(after).is_some_and(|(_, now)| now == value);
    if (200..300).contains(&status) && !is_same {
        // It has changed, or it is another one each time, and then all of it is the right answer.
        return None;
    }
    Some(format!("with `{asked}` it answers with status {status}, not 304, though nothing has changed"))
}

impl Kept {
    fn of(headers: &HeaderMap) -> Self {
        let directives = directives(headers);
        let find = |wanted: &str| directives.iter().find(|(name, _)| name == wanted);
        if find("no-store").is_some() || find("no-cache").is_some() {
            return Self::Asked;
        }
        if let Some((_, value)) = find("max-age") {
            // RFC 9111 4.2.1: what is not valid counts as stale.
            return value.parse().map_or(Self::Asked, Self::For);
        }
        if headers.contains_key(EXPIRES) {
            // RFC 9111 5.3: so does a time that is none, such as `0`.
            let fresh =
                moment(headers, EXPIRES).zip(moment(headers, DATE)).map(|(end, now)| end.saturating_sub(now));
            return fresh.and_then(|seconds| u64::try_from(seconds).ok()).map_or(Self::Asked, Self::For);
        }
        if headers.contains_key(LAST_MODIFIED) { Self::Guessed } else { Self::Asked }
    }
}

/// A moment that a header says, in seconds of Unix time.
fn moment(headers: &HeaderMap, name: HeaderName) -> Option<i64> {
    let text = headers.get(name)?.to_str().ok()?;
    DateTimeParser::new().parse_timestamp(text).ok().map(Timestamp::as_second)
}

/// The directives of `Cache-Control`, in lower case (RFC 9111 5.2).
fn directives(headers: &HeaderMap) -> Vec<(String, String)> {
    let all = joined(headers, CACHE_CONTROL).unwrap_or_default().to_ascii_lowercase();
    let directive = |text: &str| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.trim().to_owned(), value.trim().trim_matches('"').to_owned())
    };
    all.split(',').map(directive).filter(|(name, _)| !name.is_empty()).collect()
}

fn said(headers: &HeaderMap) -> String {
    joined(headers, CACHE_CONTROL)
        .map(|said| format!(" (`cache-control: {}`)", short(&said)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())
        };
        lines.iter().map(line).collect()
    }

    const CHANGED: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    const NOW: (&str, &str) = ("date", "Mon, 05 Jan 2026 10:00:00 GMT");

    fn control(value: &'static str) -> (&'static str, &'static str) {
        ("cache-control", value)
    }

    #[test]
    fn a_page_is_asked_about_anew() {
        for good in [
            vec![],
            vec![control("no-cache"), CHANGED],
            vec![control("No-Store")],
            vec![control("public, max-age=0"), CHANGED],
            vec![control("max-age=60, must-revalidate")],
            vec![control("s-maxage=600, max-age=0")],
            vec![control("max-age=soon"), CHANGED],
            vec![("expires", "0"), CHANGED],
            vec![("expires", "Mon, 05 Jan 2026 10:01:00 GMT"), NOW],
            vec![("expires", "Mon, 05 Jan 2026 09:00:00 GMT"), NOW],
        ] {
            assert_eq!(of_page(&headers(&good)), None, "{good:?}");
        }
        for (bad, part) in [
            (
                vec![control("max-age=61")],
                "for 61 seconds without asking about it anew (`cache-control: max-age=61`)",
            ),
            (vec![control("public"), control("max-age=\"3600\"")], "for 3600 seconds"),
            (
                vec![("expires", "Mon, 05 Jan 2026 11:00:00 GMT"), NOW],
                "for 3600 seconds without asking about it anew",
            ),
            (vec![CHANGED], "guess"),
            (vec![CHANGED, control("public")], "guess"),
        ] {
            let found = of_page(&headers(&bad)).unwrap_or_default();
            assert!(found.contains(part), "{bad:?}: {found}");
        }
    }

    #[test]
    fn a_file_with_a_hash_is_kept_for_a_year() {
        let of = |value| of_file(&headers(&[control(value)]));
        assert_eq!(of("public, max-age=31536000, immutable"), None);
        assert_eq!(of("Immutable, Max-Age=63072000"), None);
        for bad in [
            "max-age=31536000",
            "immutable",
            "max-age=31535999, immutable",
            "no-store, max-age=31536000, immutable",
        ] {
            assert!(
                of(bad).is_some_and(|fault| fault.ends_with(&format!("(`cache-control: {bad}`)"))),
                "{bad}"
            );
        }
        assert!(
            of_file(&headers(&[CHANGED]))
                .is_some_and(|fault| fault.ends_with("(it says no `cache-control`)"))
        );
    }

    #[test]
    fn a_hash_in_a_name_is_no_word_and_no_number() {
        let of = |path: &str| has_hash(&format!("https://a.example{path}").parse().unwrap());
        for hash in [
            "/assets/index-B3k9d2aQ.js",
            "/static/js/main.3f2a9c1b.chunk.js",
            "/app.0123456789abcdef0123456789abcdef.css",
            "/a_4FGH2JKL.js?x=1",
        ] {
            assert!(of(hash), "{hash}");
        }
        for none in [
            "/assets/app.js",
            "/bootstrap5.min.css",
            "/polyfills-legacy.js",
            "/20260131.js",
            "/3f2a9c1.js",
            "/3f2a9c1b/app.js",
            "/",
            "/app.js?v=3f2a9c1b",
        ] {
            assert!(!of(none), "{none}");
        }
    }

    #[test]
    fn nothing_new_is_304() {
        let tag = ("etag", "W/\"a\"");
        let asked = |lines: &[(&'static str, &'static str)]| {
            question(&headers(lines)).map(|(name, value)| (name, value.to_str().unwrap().to_owned()))
        };
        assert_eq!(asked(&[tag, CHANGED]), Some((IF_NONE_MATCH, tag.1.to_owned())));
        assert_eq!(asked(&[CHANGED]), Some((IF_MODIFIED_SINCE, CHANGED.1.to_owned())));
        assert_eq!(asked(&[]), None);
        assert_eq!(asked(&[tag, control("no-store")]), None);
        let found =
            |before: &[(&'static str, &'static str)], status, after: &[(&'static str, &'static str)]| {
                unanswered(&headers(before), status, &headers(after)).is_some()
            };
        assert!(!found(&[tag], 304, &[]));
        assert!(found(&[tag], 200, &[tag]), "the same tag, and all of it again");
        assert!(!found(&[tag], 200, &[("etag", "W/\"b\"")]), "it has changed");
        assert!(found(&[CHANGED], 200, &[CHANGED]));
        assert!(found(&[tag], 500, &[]));
        assert!(!found(&[], 200, &[]));
    }
}
