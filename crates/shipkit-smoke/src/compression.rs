//! Whether an answer comes compressed to those who can unpack it, and unpacked is what it is without (RFC 9110 8.4, 12.5.3).

use std::io::Read as _;

use flate2::bufread::MultiGzDecoder;
use http::HeaderMap;
use http::header::{ALT_SVC, CONTENT_ENCODING, VARY};

use crate::client::Answer;
use crate::judge::{joined, short};

/// What is smaller goes into a packet or two, compressed or not.
pub(crate) const LEAST: usize = 2048;
/// What is read of an answer, compressed or not.
pub(crate) const LIMIT: usize = 4 * 1024 * 1024;
/// How many answers are held at once, each twice.
pub(crate) const AT_ONCE: usize = 4;

/// What a compressed answer is worth.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packed {
    /// It is what comes without.
    Same,
    /// It is something else, or it is another one each time.
    Another,
    /// It is of no use.
    Wrong(String),
}

/// What is wrong with an answer to somebody who can unpack nothing.
pub(crate) fn of_plain(plain: &Answer) -> Option<String> {
    let said = coding(&plain.headers)?;
    Some(format!("it is `content-encoding: {}` also for who takes `identity` alone", short(&said)))
}

/// What an answer is worth to somebody who takes gzip, beside the one without.
pub(crate) fn of_gzip(plain: &Answer, packed: &Answer) -> Packed {
    let wrong = |why: String| Packed::Wrong(why);
    match coding(&packed.headers).as_deref() {
        Some("gzip" | "x-gzip") => {}
        Some(other) => {
            return wrong(format!("it is `content-encoding: {}`, and gzip was asked for", short(other)));
        }
        None => return wrong("it is not compressed".to_owned()),
    }
    if !varies(&packed.headers) {
        let why =
            "it is without `vary: accept-encoding`, so that caches give it to who cannot unpack it, too";
        return wrong(why.to_owned());
    }
    if !packed.is_whole {
        return wrong(format!("there is more than {} MiB of it, compressed", LIMIT >> 20));
    }
    match is_same(&packed.body, plain) {
        Ok(true) => Packed::Same,
        Ok(false) => Packed::Another,
        Err(error) => wrong(format!("it cannot be unpacked: {}", short(&error.to_string()))),
    }
}

/// Whether it says that it can be had over HTTP/3 as well (RFC 7838 3, RFC 9114 3.1.1).
pub(crate) fn offers_http3(headers: &HeaderMap) -> bool {
    let services = joined(headers, ALT_SVC).unwrap_or_default();
    services.split(',').any(|service| service.trim_start().starts_with("h3="))
}

/// The coding of an answer, in lower case. `identity` is none.
fn coding(headers: &HeaderMap) -> Option<String> {
    let said = joined(headers, CONTENT_ENCODING)?.trim().to_ascii_lowercase();
    (!said.is_empty() && said != "identity").then_some(said)
}

/// Whether caches keep it apart (RFC 9110 12.5.5).
fn varies(headers: &HeaderMap) -> bool {
    let said = joined(headers, VARY).unwrap_or_default();
    said.split(',').map(str::trim).any(|name| name == "*" || name.eq_ignore_ascii_case("accept-encoding"))
}

/// Unpacks no further than the answer without goes: what unpacks to gigabytes is another one.
fn is_same(packed: &[u8], plain: &Answer) -> std::io::Result<bool> {
    let mut unpacked = MultiGzDecoder::new(packed);
    let mut rest = plain.body.as_slice();
    let mut part = [0; 16 * 1024];
    loop {
        let read = unpacked.read(&mut part)?;
        let part = part.get(..read).unwrap_or_default();
        if part.is_empty() {
            return Ok(rest.is_empty());
        }
        match rest.split_at_checked(part.len()) {
            Some((same, more)) if same == part => rest = more,
            // The rest of the one without was not read.
            None if !plain.is_whole && part.starts_with(rest) => return Ok(true),
            Some(_) | None => return Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Phases;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;
    use std::time::Duration;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn answer(lines: &[(&'static str, &'static str)], body: &[u8]) -> Answer {
        let line = |(name, value): &(&'static str, &'static str)| {
            (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
        };
        let headers = lines.iter().map(line).collect();
        Answer {
            status: 200,
            headers,
            body: body.to_vec(),
            is_whole: true,
            took: Duration::ZERO,
            phases: Phases::default(),
        }
    }

    const GZIP: (&str, &str) = ("content-encoding", "GZIP");
    const VARIES: (&str, &str) = ("vary", "Origin, Accept-Encoding");
    const TEXT: &[u8] = b"let hello = 'world';";

    #[track_caller]
    fn check(lines: &[(&'static str, &'static str)], body: &[u8], expected: &Packed) {
        assert_eq!(of_gzip(&answer(&[], TEXT), &answer(lines, body)), *expected, "{lines:?}");
    }

    #[track_caller]
    fn wrong(lines: &[(&'static str, &'static str)], body: &[u8], part: &str) {
        let found = of_gzip(&answer(&[], TEXT), &answer(lines, body));
        assert!(matches!(&found, Packed::Wrong(why) if why.contains(part)), "{found:?}");
    }

    #[test]
    fn unpacked_it_is_what_comes_without() {
        check(&[GZIP, VARIES], &packed(TEXT), &Packed::Same);
        check(&[GZIP, ("vary", "*")], &packed(TEXT), &Packed::Same);
        let two = [packed(&TEXT[..7]), packed(&TEXT[7..])].concat();
        check(&[GZIP, VARIES], &two, &Packed::Same);
        for other in [b"".as_slice(), &TEXT[1..], &TEXT[..19], b"let hello = 'World';"] {
            check(&[GZIP, VARIES], &packed(other), &Packed::Another);
        }
        check(&[GZIP, VARIES], &packed(&[TEXT, b"x"].concat()), &Packed::Another);
    }

    #[test]
    fn what_is_of_no_use_is_told() {
        wrong(&[], TEXT, "not compressed");
        wrong(&[("content-encoding", "identity")], TEXT, "not compressed");
        wrong(&[("content-encoding", "br"), VARIES], TEXT, "`content-encoding: br`, and gzip was asked for");
        wrong(&[GZIP, GZIP, VARIES], &packed(TEXT), "`content-encoding: gzip, gzip`");
        wrong(&[GZIP], &packed(TEXT), "without `vary: accept-encoding`");
        wrong(&[GZIP, ("vary", "Accept")], &packed(TEXT), "without `vary: accept-encoding`");
        wrong(&[GZIP, VARIES], TEXT, "cannot be unpacked");
        wrong(&[GZIP, VARIES], &packed(TEXT)[..20], "cannot be unpacked");
        let cut = Answer { is_whole: false, ..answer(&[GZIP, VARIES], &packed(TEXT)) };
        assert!(matches!(of_gzip(&answer(&[], TEXT), &cut), Packed::Wrong(_)));
        assert!(of_plain(&answer(&[GZIP], TEXT)).is_some());
        assert_eq!(of_plain(&answer(&[("content-encoding", "identity")], TEXT)), None);
    }

    #[test]
    fn of_a_long_one_the_beginning_is_compared() {
        let plain = |text: &[u8]| Answer { is_whole: false, ..answer(&[], text) };
        let long = answer(&[GZIP, VARIES], &packed(&b"x".repeat(100_000)));
        assert_eq!(of_gzip(&plain(&b"x".repeat(20_000)), &long), Packed::Same);
        assert_eq!(of_gzip(&plain(&[b"x".repeat(19_999), b"y".to_vec()].concat()), &long), Packed::Another);
    }

    #[test]
    fn gigabytes_in_a_few_bytes_are_another_one() {
        // A hundred members of ten megabytes each: unpacked, they would be a gigabyte.
        let bomb = packed(&vec![0; 10 << 20]).repeat(100);
        check(&[GZIP, VARIES], &bomb, &Packed::Another);
        let zeros = answer(&[], &[0; 4096]);
        assert_eq!(of_gzip(&zeros, &answer(&[GZIP, VARIES], &bomb)), Packed::Another);
    }

    #[test]
    fn http3_is_offered_by_its_name_alone() {
        let offers = |value| offers_http3(&answer(&[("alt-svc", value)], b"").headers);
        assert!(offers("h3=\":443\"; ma=86400") && offers("h2=\"alt.example:443\", h3=\":443\""));
        assert!(!offers("clear") && !offers("h3-29=\":443\"") && !offers("h2=\":443\""));
        assert!(!offers_http3(&HeaderMap::new()));
    }
}
