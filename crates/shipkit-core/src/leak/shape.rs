//! Secrets that are known by their form alone.

use std::ops::Range;

use super::is_literal;

/// The tokens that begin with a word of their own: what they are, how they begin, how many characters follow, and which.
const TOKENS: [(&str, &str, usize, Alphabet); 17] = [
    ("an access key of AWS", "AKIA", 16, Alphabet::Upper),
    ("an access key of AWS", "ASIA", 16, Alphabet::Upper),
    ("a token of GitHub", "ghp_", 36, Alphabet::Letters),
    ("a token of GitHub", "gho_", 36, Alphabet::Letters),
    ("a token of GitHub", "ghu_", 36, Alphabet::Letters),
    ("a token of GitHub", "ghs_", 36, Alphabet::Letters),
    ("a token of GitHub", "ghr_", 36, Alphabet::Letters),
    ("a token of GitHub", "github_pat_", 40, Alphabet::Lines),
    ("a token of GitLab", "glpat-", 20, Alphabet::Lines),
    ("a token of Slack", "xoxb-", 20, Alphabet::Lines),
    ("a token of Slack", "xoxa-", 20, Alphabet::Lines),
    ("a token of Slack", "xoxp-", 20, Alphabet::Lines),
    ("a token of Slack", "xoxr-", 20, Alphabet::Lines),
    ("a token of Slack", "xoxs-", 20, Alphabet::Lines),
    ("a token of npm", "npm_", 36, Alphabet::Letters),
    ("a token of PyPI", "pypi-AgEIcHlwaS5vcmc", 40, Alphabet::Lines),
    ("a key of Stripe", "sk_live_", 20, Alphabet::Letters),
];

/// Of which characters the rest of a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    /// Capitals and digits, exactly as many as are asked for.
    Upper,
    /// Letters and digits, at least as many.
    Letters,
    /// Those, `_` and `-`, at least as many.
    Lines,
}

/// All of a text, in no order.
pub(super) fn all(text: &str) -> Vec<(&'static str, Range<usize>)> {
    let mut found: Vec<_> = private_keys(text).collect();
    let is_inside = |found: &[(&str, Range<usize>)], at: &Range<usize>| {
        found.iter().any(|(_, other)| other.start <= at.start && at.start < other.end)
    };
    for (what, at) in passwords(text).chain(words(text).filter_map(token)) {
        if !is_inside(&found, &at) {
            found.push((what, at));
        }
    }
    found
}

/// Private keys in PEM (RFC 7468, and the like of OpenSSH and PGP), to where they end.
fn private_keys(text: &str) -> impl Iterator<Item = (&'static str, Range<usize>)> {
    const BEGIN: &str = "-----BEGIN ";
    text.match_indices(BEGIN).filter_map(move |(start, _)| {
        let after = text.get(start.saturating_add(BEGIN.len())..)?;
        let (label, body) = after.split_once("-----")?;
        if !label.ends_with("PRIVATE KEY") && !label.ends_with("PRIVATE KEY BLOCK") || 40 < label.len() {
            return None;
        }
        let end = format!("-----END {label}-----");
        let length = match body.find(&end) {
            Some(at) => text.len().saturating_sub(body.len()).saturating_add(at).saturating_add(end.len()),
            None => text.len(),
        };
        Some(("a private key", start..length))
    })
}

/// Passwords in addresses (RFC 3986 3.2.1). One that is for this machine or for an example is none.
fn passwords(text: &str) -> impl Iterator<Item = (&'static str, Range<usize>)> {
    const WORDS: [&str; 6] = ["password", "pass", "pw", "pwd", "secret", "user"];
    text.match_indices("://").filter_map(move |(at, _)| {
        let scheme = text.get(..at)?.chars().next_back()?;
        let start = at.saturating_add(3);
        let ends = |char: char| char.is_whitespace() || matches!(char, '/' | '?' | '#' | '"' | '\'' | '`');
        let authority = text.get(start..)?.split(ends).next()?;
        let (login, host) = authority.rsplit_once('@')?;
        let (user, password) = login.split_once(':')?;
        let host = host.split(':').next()?;
        let is_example = matches!(host, "localhost" | "127.0.0.1" | "[" | "host" | "hostname" | "")
            || host.ends_with(".example")
            || host.starts_with("example.")
            || host.contains(".example.");
        let is_one = scheme.is_ascii_alphanumeric()
            && !is_example
            && is_literal(password)
            && !WORDS.contains(&password.to_ascii_lowercase().as_str());
        let from = start.saturating_add(user.len()).saturating_add(1);
        is_one.then(|| ("a password in an address", from..from.saturating_add(password.len())))
    })
}

/// The longest pieces of a text that a token could be, with where they begin.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_other = |char: char| !char.is_ascii_alphanumeric() && !matches!(char, '_' | '-' | '.');
    let mut at = 0;
    text.split(is_other).map(move |word| {
        let here = at;
        // What separates words may be longer than a byte.
        let behind = here + word.len();
        let separator = text.get(behind..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        at = behind + separator;
        (here, word)
    })
}

fn token((at, word): (usize, &str)) -> Option<(&'static str, Range<usize>)> {
    let start = word.len() - word.trim_start_matches(['-', '.', '_']).len();
    let bare = word.get(start..)?.trim_end_matches(['.', '-', '_']);
    let at = at + start;
    if is_web_token(bare) {
        return Some(("a JSON Web Token", at..at + bare.len()));
    }
    let mut from = at;
    for part in bare.split('.') {
        if let Some(what) = TOKENS.iter().find_map(|form| has_form(part, form)) {
            return Some((what, from..from + part.len()));
        }
        from += part.len() + 1;
    }
    None
}

fn has_form(
    word: &str,
    (what, start, length, alphabet): &(&'static str, &str, usize, Alphabet),
) -> Option<&'static str> {
    let rest = word.strip_prefix(start)?;
    let is_long = match alphabet {
        Alphabet::Upper => rest.len() == *length,
        Alphabet::Letters | Alphabet::Lines => *length <= rest.len(),
    };
    let is_of = |byte: u8| match alphabet {
        Alphabet::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        Alphabet::Letters => byte.is_ascii_alphanumeric(),
        Alphabet::Lines => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
    };
    (is_long && rest.bytes().all(is_of) && is_literal(word)).then_some(what)
}

/// A signed token (RFC 7519): header, claims and signature, the first two of them JSON objects.
fn is_web_token(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    let [header, claims, signature] = parts[..] else { return false };
    // Base64url of `{"`.
    let is_object = |part: &str| part.starts_with("eyJ") && 12 <= part.len();
    is_object(header) && is_object(claims) && 20 <= signature.len()
}
