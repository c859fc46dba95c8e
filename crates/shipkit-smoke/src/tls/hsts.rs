//! `Strict-Transport-Security`: what its header lines are worth (RFC 6797).

/// Six months: what browsers' lists and the common graders ask for at least.
pub(crate) const LEAST: u64 = 15_768_000;

/// What is wrong with the header lines of an answer over TLS, if anything is.
pub(crate) fn fault(lines: &[Vec<u8>]) -> Option<String> {
    match lines {
        [] => Some("there is no `Strict-Transport-Security`".to_owned()),
        [line] => match max_age(&String::from_utf8_lossy(line)) {
            Ok(age) if LEAST <= age => None,
            Ok(0) => Some("`Strict-Transport-Security` is switched off by `max-age=0`".to_owned()),
            Ok(age) => {
                Some(format!("`Strict-Transport-Security` has a `max-age` of {age}, less than {LEAST}"))
            }
            Err(why) => Some(format!("`Strict-Transport-Security` {why}, so browsers ignore it")),
        },
        // Only the first counts, and which one that is depends on who has put them together (RFC 6797 8.1).
        _ => Some(format!("`Strict-Transport-Security` is there {} times", lines.len())),
    }
}

/// The seconds in the value of the header. A directive may stand there once; those that nobody knows are passed over (RFC 6797
/// 6.1).
fn max_age(value: &str) -> Result<u64, &'static str> {
    let mut names: Vec<String> = Vec::new();
    let mut age = None;
    for directive in directives(value) {
        let (name, value) = match directive.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (directive.trim(), None),
        };
        if name.is_empty() && value.is_none() {
            continue;
        }
        let name = name.to_ascii_lowercase();
        if name == "max-age" {
            age = Some(value.and_then(seconds).ok_or("has no number as `max-age`")?);
        }
        if names.contains(&name) {
            return Err("says a directive twice");
        }
        names.push(name);
    }
    age.ok_or("has no `max-age`")
}

/// A number of seconds, which may stand in quotes. One that no clock will see the end of is as good as the largest.
fn seconds(value: &str) -> Option<u64> {
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let digits = quoted.unwrap_or(value);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// The parts between semicolons that stand in no quotes.
fn directives(value: &str) -> Vec<&str> {
    let mut is_quoted = false;
    value
        .split(|symbol: char| {
            is_quoted ^= symbol == '"';
            symbol == ';' && !is_quoted
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(lines: &[&str], part: Option<&str>) {
        let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        let seen = fault(&lines);
        match part {
            Some(part) => assert!(seen.as_ref().is_some_and(|seen| seen.contains(part)), "{seen:?}"),
            None => assert_eq!(seen, None),
        }
    }

    #[test]
    fn six_months_are_enough_however_they_are_written() {
        for good in [
            "max-age=15768000",
            "MAX-AGE = \"63072000\" ; includeSubDomains; preload",
            "includeSubDomains;;max-age=99999999999999999999999",
            "x=\"a;max-age=1\"; max-age=31536000",
        ] {
            check(&[good], None);
        }
    }

    #[test]
    fn less_is_too_short_and_none_is_missing() {
        check(&["max-age=15767999"], Some("of 15767999, less than 15768000"));
        check(&["max-age=0"], Some("switched off"));
        check(&[], Some("there is no"));
    }

    #[test]
    fn what_browsers_ignore_is_told() {
        for bad in ["max-age", "max-age=", "max-age=1y", "max-age=-1", "max-age=31536000, max-age=31536000"] {
            check(&[bad], Some("has no number as `max-age`"));
        }
        check(&["includeSubDomains"], Some("has no `max-age`"));
        check(&["max-age=31536000; Max-Age=31536000"], Some("twice"));
        check(&["max-age=31536000", "max-age=31536000"], Some("is there 2 times"));
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_meaning(line in prop::collection::vec(any::<u8>(), 0..80)) {
            fault(&[line]);
        }
    }
}
