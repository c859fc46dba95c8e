//! CORS: which origins a service lets in from a browser, and whether others stay out (Fetch, 3.3).

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use shipkit_core::config::{Cors, Method};

use crate::client::Answer;
use crate::judge::{joined, short};

/// An origin that nobody has (RFC 6761 6.4).
pub(crate) const STRANGER: &str = "https://shipkit-smoke.invalid";
/// Methods that browsers send without being let (Fetch, 2.2.1).
const SIMPLE: [Method; 3] = [Method::Get, Method::Head, Method::Post];

/// The headers of a request from a page of this origin: of the one that asks first, with the method that is meant.
pub(crate) fn headers(origin: &str, method: Option<Method>) -> Option<HeaderMap> {
    let origin = [(ORIGIN, HeaderValue::from_str(origin).ok()?)];
    let method =
        method.map(|method| (ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static(method.word())));
    Some(origin.into_iter().chain(method).collect())
}

/// What keeps pages of the origin out, though the question was asked first (`is_first`), or on the request itself.
pub(crate) fn shut_out(wanted: &Cors, answer: &Answer, is_first: bool) -> Option<String> {
    let what = if is_first { "the question before it" } else { "the request" };
    let wrong = |why: String| Some(format!("{what} from `{}` is answered {why}", wanted.origin));
    if is_first && !(200..300).contains(&answer.status) {
        return wrong(format!("with status {}", answer.status));
    }
    let Some(allowed) = joined(&answer.headers, &ACCESS_CONTROL_ALLOW_ORIGIN) else {
        return wrong("without `access-control-allow-origin`".to_owned());
    };
    if allowed == "*" && wanted.credentials {
        return wrong(
            "with `access-control-allow-origin: *`, which browsers refuse with credentials".to_owned(),
        );
    }
    if allowed != wanted.origin && allowed != "*" {
        return wrong(format!("with `access-control-allow-origin: {}`", short(&allowed)));
    }
    if allowed != "*" && !lists(&answer.headers, &VARY, "origin") {
        return wrong(
            "without `vary: origin`, so that a cache gives one origin the answer for another".to_owned(),
        );
    }
    let lets_credentials =
        joined(&answer.headers, &ACCESS_CONTROL_ALLOW_CREDENTIALS).as_deref() == Some("true");
    if wanted.credentials && !lets_credentials {
        return wrong("without `access-control-allow-credentials: true`".to_owned());
    }
    let is_simple = SIMPLE.contains(&wanted.method);
    if is_first && !is_simple && !lists(&answer.headers, &ACCESS_CONTROL_ALLOW_METHODS, wanted.method.word())
    {
        return wrong(format!("without `{}` in `access-control-allow-methods`", wanted.method.word()));
    }
    None
}

/// What lets pages of an origin in that nobody has.
pub(crate) fn let_in(answer: &Answer) -> Option<String> {
    let allowed = joined(&answer.headers, &ACCESS_CONTROL_ALLOW_ORIGIN)?;
    let with = match joined(&answer.headers, &ACCESS_CONTROL_ALLOW_CREDENTIALS).as_deref() {
        Some("true") => ", with credentials",
        Some(_) | None => "",
    };
    let is_open = allowed == "*" || allowed == STRANGER || allowed == "null";
    is_open
        .then(|| format!("any origin is let in (`access-control-allow-origin: {}`{with})", short(&allowed)))
}

fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let value = joined(headers, name).unwrap_or_default();
    value.split(',').map(str::trim).any(|word| word == "*" || word.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::Phases;

    const APP: &str = "https://app.example.com";

    fn wanted(method: Method, credentials: bool) -> Cors {
        Cors { path: "/api".to_owned(), origin: APP.to_owned(), method, credentials }
    }

    fn answer(status: u16, lines: &[(&'static str, &'static str)]) -> Answer {
        let line = |(name, value): &(&'static str, &'static str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())
        };
        let headers = lines.iter().map(line).collect();
        Answer {
            status,
            headers,
            body: Vec::new(),
            is_whole: true,
            took: Duration::ZERO,
            phases: Phases::default(),
        }
    }

    const ALLOWED: (&str, &str) = ("access-control-allow-origin", APP);
    const VARIES: (&str, &str) = ("vary", "accept-encoding, Origin");
    const CREDENTIALS: (&str, &str) = ("access-control-allow-credentials", "true");

    #[track_caller]
    fn check(wanted: &Cors, answer: &Answer, part: Option<&str>) {
        match (shut_out(wanted, answer, true), part) {
            (None, None) => {}
            (Some(seen), Some(part)) => assert!(seen.contains(part), "{seen}"),
            (seen, part) => panic!("{seen:?}, not {part:?}"),
        }
    }

    #[test]
    fn the_origin_is_let_in_by_its_name() {
        let get = wanted(Method::Get, false);
        check(&get, &answer(204, &[ALLOWED, VARIES]), None);
        check(&get, &answer(204, &[("access-control-allow-origin", "*")]), None);
        check(&get, &answer(204, &[]), Some("without `access-control-allow-origin`"));
        check(
            &get,
            &answer(403, &[ALLOWED, VARIES]),
            Some("the question before it from `https://app.example.com` is answered with status 403"),
        );
        check(&get, &answer(204, &[ALLOWED]), Some("without `vary: origin`"));
        let other = ("access-control-allow-origin", "https://other.example.com");
        check(
            &get,
            &answer(204, &[other, VARIES]),
            Some("with `access-control-allow-origin: https://other.example.com`"),
        );
        check(
            &get,
            &answer(204, &[ALLOWED, ALLOWED, VARIES]),
            Some("https://app.example.com, https://app.example.com"),
        );
    }

    #[test]
    fn credentials_need_more() {
        let wanted = wanted(Method::Get, true);
        check(&wanted, &answer(204, &[ALLOWED, VARIES, CREDENTIALS]), None);
        check(
            &wanted,
            &answer(204, &[ALLOWED, VARIES]),
            Some("without `access-control-allow-credentials: true`"),
        );
        let any = ("access-control-allow-origin", "*");
        check(&wanted, &answer(204, &[any, CREDENTIALS]), Some("which browsers refuse with credentials"));
    }

    #[test]
    fn methods_that_are_not_simple_are_named() {
        let put = wanted(Method::Put, false);
        let methods = |value| ("access-control-allow-methods", value);
        check(&put, &answer(204, &[ALLOWED, VARIES, methods("GET, PUT")]), None);
        check(&put, &answer(204, &[ALLOWED, VARIES, methods("*")]), None);
        check(&put, &answer(204, &[ALLOWED, VARIES, methods("GET")]), Some("without `PUT` in"));
        assert_eq!(
            shut_out(&put, &answer(500, &[ALLOWED, VARIES]), false),
            None,
            "the request itself names none"
        );
    }

    #[test]
    fn strangers_stay_out() {
        assert_eq!(let_in(&answer(204, &[])), None);
        assert_eq!(let_in(&answer(204, &[ALLOWED])), None);
        let echoed = let_in(&answer(204, &[("access-control-allow-origin", STRANGER), CREDENTIALS])).unwrap();
        assert!(echoed.contains("any origin is let in") && echoed.ends_with("with credentials)"), "{echoed}");
        assert!(let_in(&answer(204, &[("access-control-allow-origin", "null")])).is_some());
    }
}
