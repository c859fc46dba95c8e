//! Security headers: what browsers are told by the headers of an answer, and what is missing (OWASP Secure Headers Project; the
//! clauses stand beside the rules).

use http::HeaderMap;
use shipkit_core::config::Profile;

use crate::judge::{joined, short};
use crate::tls::hsts;

/// An answer that is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// Whether it is a page, which browsers show.
    pub(crate) is_page: bool,
    pub(crate) is_https: bool,
}

/// What is wrong with one answer, each with the header that it is about.
pub(crate) fn faults(profile: Profile, seen: Seen<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    if seen.is_https {
        let lines = seen.headers.get_all("strict-transport-security").iter();
        faults.extend(hsts::fault(&lines.map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>()));
    }
    // Fetch, 2.2.6: the only value there is.
    faults.extend(one_of(seen.headers, "x-content-type-options", &["nosniff"]));
    if seen.is_page && profile != Profile::Api {
        faults.extend(of_pages(seen.headers));
    }
    if profile == Profile::Strict {
        // Fetch, 3.7.
        let origins = ["same-origin", "same-site", "cross-origin"];
        faults.extend(one_of(seen.headers, "cross-origin-resource-policy", &origins));
        if seen.is_page {
            faults.extend(of_strict_pages(seen.headers));
        }
    }
    faults
}

/// What is said besides, and does no good.
pub(crate) fn remark(headers: &HeaderMap) -> Option<&'static str> {
    let value = joined(headers, "x-xss-protection")?;
    value.trim().starts_with('1').then_some(
        "`x-xss-protection` switches a filter on that browsers have removed because it made pages unsafe; `0` or nothing is better",
    )
}

fn of_pages(headers: &HeaderMap) -> Vec<String> {
    let mut faults = Vec::new();
    let policy = joined(headers, "content-security-policy").map(|text| policy(&text));
    match &policy {
        None => faults.push("`content-security-policy` is missing".to_owned()),
        Some(directives) if directives.is_empty() => {
            faults.push("`content-security-policy` has no directive that browsers know".to_owned());
        }
        Some(_) => {}
    }
    // CSP3, 6.4.2: `frame-ancestors` makes browsers pass over `X-Frame-Options`.
    let frames = policy.iter().flatten().any(|(name, _)| name == "frame-ancestors");
    if !frames {
        faults.extend(one_of(headers, "x-frame-options", &["deny", "sameorigin"]));
    }
    faults.extend(referrer(headers));
    faults
}

fn of_strict_pages(headers: &HeaderMap) -> Vec<String> {
    let mut faults = Vec::new();
    let policy = joined(headers, "content-security-policy").map(|text| policy(&text)).unwrap_or_default();
    let sources = |name: &str| policy.iter().find(|(known, _)| known == name).map(|(_, sources)| sources);
    for kind in ["script-src", "style-src"] {
        let Some(sources) = sources(kind).or_else(|| sources("default-src")) else {
            if !policy.is_empty() {
                faults.push(format!("`content-security-policy` limits neither `{kind}` nor `default-src`"));
            }
            continue;
        };
        // CSP3, 6.7.3.2: with a nonce or a hash, browsers pass over `unsafe-inline`.
        let is_overruled = sources.iter().any(|source| {
            ["'nonce-", "'sha256-", "'sha384-", "'sha512-"].iter().any(|known| source.starts_with(known))
        });
        let unsafe_ones = sources
            .iter()
            .filter(|source| *source == "'unsafe-eval'" || *source == "'unsafe-inline'" && !is_overruled);
        faults
            .extend(unsafe_ones.map(|source| format!("`content-security-policy` has {source} in `{kind}`")));
    }
    // HTML, 7.1.3.
    faults.extend(one_of(
        headers,
        "cross-origin-opener-policy",
        &["same-origin", "same-origin-allow-popups", "noopener-allow-popups"],
    ));
    if !headers.contains_key("permissions-policy") {
        faults.push("`permissions-policy` is missing".to_owned());
    }
    faults
}

/// Referrer Policy, 4.1: the last value that browsers know counts.
fn referrer(headers: &HeaderMap) -> Option<String> {
    const SAFE: [&str; 7] = [
        "no-referrer",
        "no-referrer-when-downgrade",
        "same-origin",
        "origin",
        "strict-origin",
        "origin-when-cross-origin",
        "strict-origin-when-cross-origin",
    ];
    let Some(said) = joined(headers, "referrer-policy") else {
        return Some("`referrer-policy` is missing".to_owned());
    };
    let words: Vec<String> = said.split(',').map(|word| word.trim().to_ascii_lowercase()).collect();
    let known = words.iter().rev().find(|word| *word == "unsafe-url" || SAFE.contains(&word.as_str()));
    match known.map(String::as_str) {
        Some("unsafe-url") => Some("`referrer-policy` is `unsafe-url`".to_owned()),
        Some(_) => None,
        None => Some(format!("`referrer-policy` is `{}`, which browsers do not know", short(&said))),
    }
}

/// The value of a header that must be one of these, whatever its case.
fn one_of(headers: &HeaderMap, name: &str, known: &[&str]) -> Option<String> {
    let Some(said) = joined(headers, name) else {
        return Some(format!("`{name}` is missing"));
    };
    let mut words = said.split(',').map(str::trim);
    let fits = words.all(|word| known.iter().any(|known| word.eq_ignore_ascii_case(known)));
    (!fits).then(|| {
        format!(
            "`{name}` is `{}`, not {}",
            short(&said),
            known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(" or ")
        )
    })
}

/// The directives of a policy that browsers know, with their sources in lower case but for hashes and nonces (CSP3, 2.2.1). The
/// first of a name counts.
fn policy(text: &str) -> Vec<(String, Vec<String>)> {
    const KNOWN: [&str; 21] = [
        "base-uri",
        "child-src",
        "connect-src",
        "default-src",
        "font-src",
        "form-action",
        "frame-ancestors",
        "frame-src",
        "img-src",
        "manifest-src",
        "media-src",
        "object-src",
        "require-trusted-types-for",
        "sandbox",
        "script-src",
        "script-src-elem",
        "style-src",
        "style-src-elem",
        "trusted-types",
        "upgrade-insecure-requests",
        "worker-src",
    ];
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    // Several policies hold together, and are joined by a comma: the strictest would count, and the first is judged.
    for directive in text.split(',').next().unwrap_or_default().split(';') {
        let mut words = directive.split_ascii_whitespace();
        let Some(name) = words.next().map(str::to_ascii_lowercase) else { continue };
        if KNOWN.contains(&name.as_str()) && !found.iter().any(|(known, _)| *known == name) {
            found.push((name, words.map(str::to_ascii_lowercase).collect()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HSTS: (&str, &str) = ("strict-transport-security", "max-age=31536000");
    const NOSNIFF: (&str, &str) = ("x-content-type-options", "nosniff");
    const CSP: (&str, &str) = ("content-security-policy", "default-src 'self'");
    const FRAMES: (&str, &str) = ("x-frame-options", "DENY");
    const REFERRER: (&str, &str) = ("referrer-policy", "no-referrer");

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
        };
        lines.iter().map(line).collect()
    }

    #[track_caller]
    fn check(profile: Profile, is_page: bool, lines: &[(&'static str, &'static str)], expected: &[&str]) {
        let headers = headers(lines);
        assert_eq!(
            faults(profile, Seen { headers: &headers, is_page, is_https: true }),
            expected,
            "{lines:?}"
        );
    }

    #[test]
    fn a_page_has_five_headers() {
        use Profile::Baseline;
        check(Baseline, true, &[HSTS, NOSNIFF, CSP, FRAMES, REFERRER], &[]);
        check(Baseline, true, &[HSTS, NOSNIFF, FRAMES, REFERRER], &["`content-security-policy` is missing"]);
        check(Baseline, true, &[HSTS, NOSNIFF, CSP, REFERRER], &["`x-frame-options` is missing"]);
        check(Baseline, true, &[HSTS, NOSNIFF, CSP, FRAMES], &["`referrer-policy` is missing"]);
        check(Baseline, true, &[HSTS, CSP, FRAMES, REFERRER], &["`x-content-type-options` is missing"]);
        check(
            Baseline,
            true,
            &[NOSNIFF, CSP, FRAMES, REFERRER],
            &["there is no `Strict-Transport-Security`"],
        );
        let ancestors = ("content-security-policy", "frame-ancestors 'none'");
        check(Baseline, true, &[HSTS, NOSNIFF, ancestors, REFERRER], &[]);
    }

    #[test]
    fn values_that_browsers_pass_over_are_none() {
        use Profile::Baseline;
        let check = |lines: &[(&'static str, &'static str)], expected: &str| {
            let all = [&[HSTS], lines].concat();
            check(Baseline, true, &all, &[expected]);
        };
        check(
            &[("x-content-type-options", "sniff"), CSP, FRAMES, REFERRER],
            "`x-content-type-options` is `sniff`, not `nosniff`",
        );
        check(
            &[NOSNIFF, ("content-security-policy", "none"), FRAMES, REFERRER],
            "`content-security-policy` has no directive that browsers know",
        );
        check(
            &[NOSNIFF, ("content-security-policy", " ; "), FRAMES, REFERRER],
            "`content-security-policy` has no directive that browsers know",
        );
        check(
            &[NOSNIFF, CSP, ("x-frame-options", "ALLOW-FROM https://a.example"), REFERRER],
            "`x-frame-options` is `ALLOW-FROM https://a.example`, not `deny` or `sameorigin`",
        );
        check(
            &[NOSNIFF, CSP, FRAMES, ("referrer-policy", "unsafe-url")],
            "`referrer-policy` is `unsafe-url`",
        );
        check(
            &[NOSNIFF, CSP, FRAMES, ("referrer-policy", "never")],
            "`referrer-policy` is `never`, which browsers do not know",
        );
    }

    #[test]
    fn lines_that_are_there_twice_count_together() {
        use Profile::Baseline;
        let rest = [HSTS, CSP, REFERRER];
        check(Baseline, true, &[rest.as_slice(), &[NOSNIFF, NOSNIFF, FRAMES]].concat(), &[]);
        let both = [NOSNIFF, FRAMES, ("x-frame-options", "no")];
        let expected = "`x-frame-options` is `DENY, no`, not `deny` or `sameorigin`";
        check(Baseline, true, &[rest.as_slice(), &both].concat(), &[expected]);
        let fallback = [HSTS, NOSNIFF, CSP, FRAMES, ("referrer-policy", "unsafe-url, strict-origin")];
        check(Baseline, true, &fallback, &[]);
    }

    #[test]
    fn what_is_no_page_needs_less_and_an_api_never_more() {
        check(Profile::Baseline, false, &[HSTS, NOSNIFF], &[]);
        check(Profile::Baseline, false, &[HSTS], &["`x-content-type-options` is missing"]);
        check(Profile::Api, true, &[HSTS, NOSNIFF], &[]);
        let headers = headers(&[NOSNIFF]);
        let plain = Seen { headers: &headers, is_page: false, is_https: false };
        assert!(faults(Profile::Api, plain).is_empty(), "over http browsers pass over HSTS (RFC 6797 8.1)");
    }

    #[test]
    fn a_strict_page_runs_only_what_it_names() {
        use Profile::Strict;
        const CORP: (&str, &str) = ("cross-origin-resource-policy", "same-origin");
        const COOP: (&str, &str) = ("cross-origin-opener-policy", "same-origin");
        const PERMISSIONS: (&str, &str) = ("permissions-policy", "camera=()");
        let with = |policy: &'static str| {
            vec![
                HSTS,
                NOSNIFF,
                ("content-security-policy", policy),
                FRAMES,
                REFERRER,
                CORP,
                COOP,
                PERMISSIONS,
            ]
        };
        check(Strict, true, &with("default-src 'self'"), &[]);
        let inline = "`content-security-policy` has 'unsafe-inline' in `style-src`";
        check(Strict, true, &with("default-src 'self'; style-src 'self' 'UNSAFE-INLINE'"), &[inline]);
        check(Strict, true, &with("default-src 'self'; style-src 'unsafe-inline' 'nonce-x'"), &[]);
        let eval = "`content-security-policy` has 'unsafe-eval' in `script-src`";
        check(Strict, true, &with("script-src 'unsafe-eval' 'nonce-x'; style-src 'self'"), &[eval]);
        let open = "`content-security-policy` limits neither `style-src` nor `default-src`";
        check(Strict, true, &with("script-src 'self'; img-src *"), &[open]);
        check(Strict, true, &with("script-src 'self'; script-src *; style-src 'self'; junk"), &[]);
        check(Strict, false, &[HSTS, NOSNIFF], &["`cross-origin-resource-policy` is missing"]);
        check(
            Strict,
            true,
            &[HSTS, NOSNIFF, CSP, FRAMES, REFERRER, CORP],
            &["`cross-origin-opener-policy` is missing", "`permissions-policy` is missing"],
        );
    }

    #[test]
    fn an_old_filter_is_remarked_on() {
        assert!(remark(&headers(&[("x-xss-protection", "1; mode=block")])).is_some());
        assert_eq!(remark(&headers(&[("x-xss-protection", "0")])), None);
        assert_eq!(remark(&headers(&[])), None);
    }
}
