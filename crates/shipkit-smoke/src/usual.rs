//! The checks that fit any address, for those who name nothing else.

use shipkit_core::config::{Profile, SecurityHeaders, Tls};
use url::Url;

use crate::check::{Check, Kind, Severity};

/// A check that fits, and how it stands in `shipkit.yml`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Usual {
    /// The check. It only warns: what nobody asked for decides nothing.
    pub(crate) check: Check,
    /// The entry of `smoke` that asks the same.
    pub(crate) yaml: &'static str,
}

/// What fits an address that answers with a page, or with something else.
pub(crate) fn usual(base: &Url, is_page: bool) -> Vec<Usual> {
    let mut found = Vec::new();
    let mut add = |name: &str, kind, yaml| {
        let check = Check { severity: Severity::Warn, ..Check::new(name, kind) };
        found.push(Usual { check, yaml });
    };
    let headers = |profile| Kind::SecurityHeaders(SecurityHeaders { profile, paths: Vec::new() });
    if base.scheme() == "https" {
        add("tls", Kind::Tls(Tls::default()), "{tls: {}, severity: warn}");
        // Another port may have nothing beside it at port 80.
        if base.port().is_none() {
            let kind = Kind::Redirect { path: "/".to_owned(), to: None };
            add("redirect /", kind, "{redirect: /, severity: warn}");
        }
    }
    if is_page {
        add("page /", Kind::Page { path: "/".to_owned() }, "{page: /, severity: warn}");
        add("security_headers", headers(Profile::Baseline), "{security_headers: baseline, severity: warn}");
    } else {
        add("security_headers", headers(Profile::Api), "{security_headers: api, severity: warn}");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, is_page: bool, expected: &[&str]) {
        let found = usual(&base.parse().unwrap(), is_page);
        let yaml: Vec<_> =
            found.iter().map(|usual| usual.yaml.trim_end_matches(", severity: warn}")).collect();
        assert_eq!(yaml, expected, "{base}");
        assert!(found.iter().all(|usual| usual.check.severity == Severity::Warn));
    }

    #[test]
    fn what_fits_depends_on_the_scheme_and_on_what_answers() {
        check(
            "https://a.example",
            true,
            &["{tls: {}", "{redirect: /", "{page: /", "{security_headers: baseline"],
        );
        check("https://a.example:8443", false, &["{tls: {}", "{security_headers: api"]);
        check("http://a.example", true, &["{page: /", "{security_headers: baseline"]);
        check("http://a.example", false, &["{security_headers: api"]);
    }
}
