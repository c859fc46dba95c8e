//! Rate limits: what servers declare about them, and what a burst of requests shows.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::fmt::rfc2822;
use shipkit_core::Outcome;

use crate::client::Answer;
use crate::judge::short;

/// How servers declare a limit: `X-RateLimit-*`, which is common; one field for each number, up to draft-6 of
/// draft-ietf-httpapi-ratelimit-headers; and one field for all, with a second one for the policy, from draft-7 on. Draft-7 has
/// `limit=100, remaining=50, reset=5` and `100;w=60` there, and draft-8 and later `"name";r=50;t=5` and `"name";q=100;w=60`.
const FIELDS: [&str; 8] = [
    "ratelimit-policy",
    "ratelimit",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

/// What a server says about its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    /// The first of its fields, as it stands there.
    pub(crate) field: String,
    /// How many requests it takes in a window: the least, where several are named.
    pub(crate) limit: Option<u64>,
}

/// What a burst of requests showed. Counted as the answers come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Burst {
    /// Answers before one was refused, by status.
    answered: BTreeMap<u16, u64>,
    declared: Option<Declared>,
    refused: Option<Refused>,
}

/// The first answer with status 429.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refused {
    retry_after: Option<String>,
    declared: Option<Declared>,
}

/// What the fields of an answer declare.
pub(crate) fn declared(headers: &HeaderMap) -> Option<Declared> {
    let text = |name: &str| Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned());
    let (name, value) = FIELDS.iter().find_map(|name| Some((*name, text(name)?)))?;
    let limits = FIELDS.iter().filter_map(|name| limit(name, &text(name)?));
    Some(Declared { field: format!("{name}: {}", short(&value)), limit: limits.min() })
}

/// The least limit that a field names. What is no number of requests names none.
fn limit(name: &str, value: &str) -> Option<u64> {
    let numbers = value.split(',').filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let first = parts.next()?;
        let named = |wanted: &str, part: &str| {
            let (key, number) = part.split_once('=')?;
            (key.trim() == wanted).then(|| number.trim().parse::<u64>().ok())?
        };
        match name {
            "ratelimit-policy" => first.parse().ok().or_else(|| parts.find_map(|part| named("q", part))),
            "ratelimit" => named("limit", first),
            "ratelimit-limit" | "x-ratelimit-limit" => first.parse().ok(),
            _ => None,
        }
    });
    numbers.min()
}

impl Burst {
    /// Takes one answer; whether it was refused, so that no more is asked.
    pub(crate) fn take(&mut self, answer: &Answer) -> bool {
        let declared = declared(&answer.headers);
        if answer.status == 429 {
            let text = |value: &http::HeaderValue| short(&String::from_utf8_lossy(value.as_bytes()));
            let retry_after = answer.headers.get(RETRY_AFTER).map(text);
            self.refused = Some(Refused { retry_after, declared });
            return true;
        }
        *self.answered.entry(answer.status).or_default() += 1;
        self.declared = self.declared.take().or(declared);
        false
    }

    /// How many requests were answered before one was refused.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.values().sum()
    }

    /// What it shows: a limit is applied if a request is refused with 429 (RFC 6585 4) and told when to come again.
    pub(crate) fn outcome(&self) -> Outcome {
        let answered = self.answered();
        let statuses: Vec<_> =
            self.answered.iter().map(|(status, count)| format!("{count} with {status}")).collect();
        let statuses = statuses.join(", ");
        if let Some(refused) = &self.refused {
            return refused.outcome(answered);
        }
        if let Some(declared) = &self.declared {
            let Declared { field, limit } = declared;
            return match limit {
                Some(limit) if answered <= *limit => Outcome::inconclusive(format!(
                    "`{field}` declares a limit of {limit}, which {answered} requests do not exceed"
                )),
                Some(_) | None => Outcome::fail(format!(
                    "declared, not applied: `{field}`, but none of {answered} requests was refused ({statuses})"
                )),
            };
        }
        let only_503 = self.answered.get(&503).is_some_and(|count| *count < answered);
        let nginx = if only_503 {
            "; `limit_req` of nginx refuses with 503 unless `limit_req_status 429` is set"
        } else {
            ""
        };
        Outcome::fail(format!("none of {answered} requests was refused with 429 ({statuses}){nginx}"))
    }
}

impl Refused {
    fn outcome(&self, answered: u64) -> Outcome {
        let when = match answered {
            0 => "refused with 429 from the first request on".to_owned(),
            answered => format!("refused with 429 after {answered} answers"),
        };
        match (&self.retry_after, &self.declared) {
            (Some(value), _) if is_time(value) => Outcome::pass(format!("{when}: `retry-after: {value}`")),
            (_, Some(declared)) => Outcome::pass(format!("{when}: `{}`", declared.field)),
            (Some(value), None) => Outcome::fail(format!(
                "{when}, but `retry-after: {value}` is neither a number of seconds nor a date"
            )),
            (None, None) => Outcome::fail(format!(
                "{when}, but neither `retry-after` nor a RateLimit field says when to come again"
            )),
        }
    }
}

/// Seconds, or a date (RFC 9110 10.2.3). Dates of HTTP are those of mail.
fn is_time(value: &str) -> bool {
    let is_seconds = !value.is_empty() && value.bytes().all(|digit| digit.is_ascii_digit());
    is_seconds || rfc2822::parse(value).is_ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderName;
    use shipkit_core::Verdict;

    use super::*;
    use crate::client::Phases;

    type Fields = &'static [(&'static str, &'static str)];

    fn headers(fields: Fields) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[track_caller]
    fn declares(fields: Fields, limit: Option<u64>) {
        let declared = declared(&headers(fields)).unwrap();
        assert_eq!(declared.limit, limit, "{declared:?}");
        assert!(!declared.field.ends_with(": "), "{declared:?}");
    }

    #[test]
    fn a_limit_is_declared_in_four_ways() {
        declares(
            &[("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "99"), ("x-ratelimit-reset", "1")],
            Some(100),
        );
        declares(
            &[("ratelimit-limit", "100"), ("ratelimit-remaining", "99"), ("ratelimit-reset", "50")],
            Some(100),
        );
        declares(&[("ratelimit-limit", "100, 10;w=1, 1000;w=3600")], Some(10));
        declares(&[("ratelimit", "limit=100, remaining=50, reset=5")], Some(100));
        declares(
            &[("ratelimit-policy", "100;w=900"), ("ratelimit", "limit=100, remaining=50, reset=5")],
            Some(100),
        );
        declares(&[("ratelimit-policy", "\"burst\";q=100;w=60, \"daily\";q=1000;w=86400")], Some(100));
        declares(&[("ratelimit-policy", "\"a\";w=60;q=7"), ("ratelimit", "\"a\";r=6;t=30")], Some(7));
        declares(&[("ratelimit", "\"default\";r=50;t=30")], None);
        declares(&[("x-ratelimit-remaining", "3")], None);
        for nonsense in ["many", "", "-1", ";;,=,", "99999999999999999999999", "limit=x"] {
            for name in FIELDS {
                assert_eq!(limit(name, nonsense), None, "{name}: {nonsense}");
            }
        }
        assert_eq!(declared(&headers(&[("retry-after", "1"), ("x-limit", "100")])), None);
    }

    /// Answers of these statuses and fields, up to the first that was refused.
    #[track_caller]
    fn check(answers: &[(u64, u16, Fields)], verdict: Verdict, part: &str) {
        let mut burst = Burst::default();
        for (count, status, fields) in answers {
            for _ in 0..*count {
                let (headers, body) = (headers(fields), Vec::new());
                let answer = Answer {
                    status: *status,
                    headers,
                    body,
                    is_whole: true,
                    took: Duration::ZERO,
                    phases: Phases::default(),
                };
                assert_eq!(burst.take(&answer), *status == 429);
            }
        }
        let outcome = burst.outcome();
        assert_eq!(outcome.verdict, verdict, "{outcome:?}");
        assert!(outcome.cause.contains(part), "{outcome:?}");
    }

    #[test]
    fn a_limit_is_applied_where_requests_are_refused_and_told_when_to_come_again() {
        let none: Fields = &[];
        let at = |fields| [(30, 200, none), (1, 429, fields)];
        let pass = |fields, part| check(&at(fields), Verdict::Pass, part);
        let fail = |fields, part| check(&at(fields), Verdict::Fail, part);
        pass(&[("retry-after", "1")], "refused with 429 after 30 answers: `retry-after: 1`");
        pass(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], "08:49:37 GMT`");
        pass(&[("ratelimit", "\"default\";r=0;t=30")], "`ratelimit: \"default\";r=0;t=30`");
        pass(&[("x-ratelimit-reset", "1372700873")], "`x-ratelimit-reset: 1372700873`");
        pass(&[("retry-after", "soon"), ("ratelimit-reset", "3")], "`ratelimit-reset: 3`");
        fail(&[], "neither `retry-after` nor a RateLimit field says when to come again");
        fail(&[("retry-after", "soon")], "`retry-after: soon` is neither a number of seconds nor a date");
        fail(&[("retry-after", "")], "`retry-after: ` is neither");
        check(&[(1, 429, &[("retry-after", "9")])], Verdict::Pass, "429 from the first request on");
    }

    #[test]
    fn a_limit_that_nobody_meets_is_declared_and_not_applied() {
        let declared: Fields = &[("x-ratelimit-limit", "100")];
        let part = "declared, not applied: `x-ratelimit-limit: 100`, but none of 120 requests was refused (120 with 200)";
        check(&[(120, 200, declared)], Verdict::Fail, part);
        check(&[(101, 200, declared)], Verdict::Fail, "declared, not applied");
        check(
            &[(100, 200, declared)],
            Verdict::Inconclusive,
            "a limit of 100, which 100 requests do not exceed",
        );
        check(&[(120, 200, &[("ratelimit", "\"a\";r=50;t=30")])], Verdict::Fail, "declared, not applied");
    }

    #[test]
    fn no_limit_at_all_is_a_fail() {
        check(&[(120, 200, &[])], Verdict::Fail, "none of 120 requests was refused with 429 (120 with 200)");
        let nginx = "(31 with 200, 89 with 503); `limit_req` of nginx refuses with 503 unless `limit_req_status 429` is set";
        check(&[(31, 200, &[]), (89, 503, &[])], Verdict::Fail, nginx);
        check(&[(120, 503, &[])], Verdict::Fail, "(120 with 503)");
    }
}
