//! Queries that somebody writes: what their answers mean, and how far back they look.

use std::time::Duration;

use serde_json::Number;

use super::Answer;
use crate::config::Bounds;
use crate::prometheus::{Sample, Samples, Target};
use crate::verdict::Outcome;

/// How much of the labels of a sample is repeated.
const LABELS: usize = 100;

/// How often Prometheus scrapes where nothing says it (the default of `scrape_interval`).
const SCRAPE_INTERVAL: Duration = Duration::from_mins(1);

/// What an answer means. A query must give something; `bool` in it makes it a question, and 0 is then no. With limits every
/// value must be within them. Nothing, too little and what is not a number say neither yes nor no.
#[must_use]
pub fn judged(name: &str, query: &str, answer: &Answer<Samples>, bounds: &Bounds) -> Outcome {
    let given = match answer {
        Answer::Given(given) => given,
        Answer::Nothing(why) => return Outcome::inconclusive(why),
        Answer::Unreachable(why) => return Outcome::unreachable(why),
    };
    let samples = &given.samples;
    let count = u64::try_from(samples.len()).unwrap_or(u64::MAX);
    if samples.is_empty() {
        return Outcome::inconclusive(format!("`{name}` gives nothing"));
    }
    if samples.iter().any(|one| one.value.is_nan()) {
        return Outcome::inconclusive(format!("`{name}` gives something that is not a number"));
    }
    if let Some(wanted) = bounds.samples.filter(|wanted| count < *wanted) {
        return Outcome::inconclusive(format!(
            "`{name}` gives too few samples: {count}, and {wanted} are needed"
        ));
    }
    let has_limits = bounds.over.is_some() || bounds.under.is_some();
    if !has_limits && is_question(query) && samples.iter().any(|one| one.value == 0.0) {
        return Outcome::fail(format!("`{name}` says no"));
    }
    match beyond(samples, bounds) {
        Some(beyond) => Outcome::fail(format!("`{name}` gives {beyond}")),
        None => Outcome::pass(format!("`{name}` gives {}", values(given))),
    }
}

/// The first values of an answer.
#[must_use]
pub fn values(given: &Samples) -> String {
    let mut values: Vec<String> = given.samples.iter().take(3).map(|one| one.value.to_string()).collect();
    if values.len() < given.samples.len() {
        values.push("...".to_owned());
    }
    values.join(", ")
}

/// The first value that is not within the limits, and how many more are not.
fn beyond(samples: &[Sample], bounds: &Bounds) -> Option<String> {
    let limit = |limit: &Option<Number>| limit.as_ref().and_then(Number::as_f64);
    let (over, under) = (limit(&bounds.over), limit(&bounds.under));
    let wrong = |one: &&Sample| match (over, under) {
        (Some(over), _) if one.value <= over => Some(format!("not over {over}")),
        (_, Some(under)) if under <= one.value => Some(format!("not under {under}")),
        (Some(_) | None, Some(_) | None) => None,
    };
    let mut beyond = samples.iter().filter_map(|one| Some((one, wrong(&one)?)));
    let (first, why) = beyond.next()?;
    let more = match beyond.count() {
        0 => String::new(),
        more => format!(", and {more} more like it"),
    };
    Some(format!("{}{}, which is {why}{more}", first.value, labels(first)))
}

/// Of which series a sample is, if there is anything to say.
fn labels(sample: &Sample) -> String {
    if sample.labels.is_empty() {
        return String::new();
    }
    let all: Vec<String> = sample.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let all: String = all.join(", ").chars().take(LABELS).collect();
    format!(" for `{{{all}}}`")
}

/// How long before the moment at which it is asked a query looks back: its ranges (`[5m]`, `[30m:1m]`) and what is added to them
/// by `offset`, each upon what stands within it. What recording rules look back at does not stand in it. `None` if a range is
/// no duration.
fn reach(query: &str) -> Option<Duration> {
    let query = bare(query);
    let mut words = words(&query).into_iter();
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::default();
    while let Some(word) = words.next() {
        match word {
            "(" => outer.push(std::mem::take(&mut level)),
            ")" => {
                let inner = level.longest;
                level = outer.pop().unwrap_or_default();
                level.last = Duration::ZERO;
                level.add(inner);
            }
            "[" => {
                let range: String = words.by_ref().take_while(|word| *word != "]").collect();
                level.add(duration(range.split(':').next()?)?);
            }
            // A negative offset looks less far back.
            "offset" => match words.next()? {
                "-" => {}
                offset => level.add(duration(offset)?),
            },
            word if word.starts_with(|first: char| first.is_alphabetic() || first == '_') => {
                level.last = Duration::ZERO;
            }
            _ => {}
        }
    }
    Some(outer.iter().map(|level| level.longest).fold(level.longest, Duration::max))
}

/// What stands between two parentheses, as far as it was read.
#[derive(Default)]
struct Level {
    /// How far back the farthest part of it looks.
    longest: Duration,
    /// How far back the last part of it looks, which a range or an offset may follow.
    last: Duration,
}

impl Level {
    fn add(&mut self, more: Duration) {
        self.last = self.last.saturating_add(more);
        self.longest = self.longest.max(self.last);
    }
}

/// How long after a beginning all that a query is about lies after it: as long as it looks back, and two scrapes more, since what
/// grows is seen by two of them. `None` if a range is no duration.
///
/// It goes by the longest interval of the jobs that the query selects by name, or of all if there are none such, and by that which
/// Prometheus itself takes if nothing is known.
#[must_use]
pub fn settles(query: &str, targets: &[Target]) -> Option<Duration> {
    let named: Vec<&str> = query.split("job=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let is_named = |target: &&Target| named.contains(&target.job.as_str());
    let longest = |targets: &mut dyn Iterator<Item = &Target>| targets.filter_map(|one| one.interval).max();
    let interval = longest(&mut targets.iter().filter(is_named)).or_else(|| longest(&mut targets.iter()));
    Some(reach(query)?.saturating_add(interval.unwrap_or(SCRAPE_INTERVAL).saturating_mul(2)))
}

/// `1h30m`, or a number of seconds.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 7] = [
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
        ("y", 31_536_000_000),
    ];
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (mut total, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let number: u64 = rest.strip_suffix(unit)?.parse().ok()?;
        let (millis, after) =
            UNITS.iter().find_map(|(name, millis)| Some((*millis, unit.strip_prefix(name)?)))?;
        total = total.checked_add(number.checked_mul(millis)?)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

/// Whether a comparison with `bool` stands in it.
fn is_question(query: &str) -> bool {
    words(&bare(query)).contains(&"bool")
}

/// The query without its texts and comments.
fn bare(query: &str) -> String {
    let (mut within, mut is_escaped) = (None, false);
    let letter = |letter: char| {
        match within {
            None if matches!(letter, '"' | '\'' | '`' | '#') => within = Some(letter),
            None => return letter,
            Some(_) if is_escaped => is_escaped = false,
            Some('"' | '\'') if letter == '\\' => is_escaped = true,
            Some('#') if letter == '\n' => within = None,
            Some(open) if open == letter && open != '#' => within = None,
            Some(_) => {}
        }
        ' '
    };
    query.chars().map(letter).collect()
}

/// Names, numbers and durations, and each sign between them.
fn words(query: &str) -> Vec<&str> {
    let is_sign = |letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | ':' | '.'));
    let mut words = Vec::new();
    for piece in query.split_inclusive(is_sign) {
        let word = piece.trim_end_matches(is_sign);
        let sign = piece.strip_prefix(word).unwrap_or_default();
        words.extend([word, sign].into_iter().filter(|part| !part.trim().is_empty()));
    }
    words
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::verdict::Verdict::{self, Fail, Inconclusive, Pass};

    #[test]
    fn a_query_looks_back_as_far_as_its_farthest_part() {
        let table = [
            ("up", Some(0)),
            ("rate(x[5m])", Some(300)),
            ("rate(x{a=\"[9h]\"}[5m]) # [9h]", Some(300)),
            ("sum(rate(a[5m])) / sum(rate(b[1h30m]))", Some(5400)),
            ("max_over_time(rate(x[5m])[30m:1m])", Some(2100)),
            ("max_over_time(sum by (le) (rate(x[5m]))[30m:])", Some(2100)),
            ("avg_over_time(x[2m]) + min_over_time(x[1m] offset 10m)", Some(660)),
            ("x offset -10m", Some(0)),
            ("x{a='it\\'s [1h]'}[30]", Some(30)),
            ("(rate(x[1m]) or rate(y[2m])) offset 1d", Some(86_520)),
            ("rate(x[5q])", None),
            ("rate(x[])", None),
            ("rate(x[99999999999999999999y])", None),
            ("rate(x[5m]", Some(300)),
            ("))([1m]", Some(60)),
        ];
        for (query, seconds) in table {
            assert_eq!(reach(query), seconds.map(Duration::from_secs), "{query}");
        }
        assert_eq!(reach("rate(x[ 500ms ])"), Some(Duration::from_millis(500)));
    }

    #[test]
    fn it_settles_two_scrapes_after_what_it_looks_back_at() {
        let target = |job: &str, interval: u64| Target {
            job: job.to_owned(),
            instance: String::new(),
            health: "up".to_owned(),
            error: String::new(),
            interval: Some(Duration::from_secs(interval)),
        };
        let targets = [target("api", 5), target("web", 15), target("slow", 3600)];
        let after = |query| settles(query, &targets).map(|after| after.as_secs());
        assert_eq!(after("rate(x{job=\"api\"}[1m])"), Some(70));
        assert_eq!(after("x{job=\"api\"} / y{job=\"web\"}"), Some(30));
        assert_eq!(after("up"), Some(7200));
        assert_eq!(after("up{job=~\"api.*\"}"), Some(7200));
        assert_eq!(after("up{job=\"none\"}"), Some(7200));
        assert_eq!(after("rate(x[1x])"), None);
        assert_eq!(settles("rate(x[1m])", &[]), Some(Duration::from_mins(3)));
    }

    #[track_caller]
    fn check(query: &str, values: &[f64], bounds: [Option<f64>; 2], verdict: Verdict, cause: &str) {
        let bare = |value: &f64| Sample { labels: BTreeMap::new(), value: *value };
        let mut samples: Vec<Sample> = values.iter().map(bare).collect();
        samples.iter_mut().take(1).for_each(|first| {
            first.labels.insert("instance".to_owned(), "a:1".to_owned());
        });
        let [over, under] = bounds.map(|limit| limit.and_then(Number::from_f64));
        let bounds = Bounds { over, under, samples: Some(2) };
        let answer = Answer::Given(Samples { samples, warnings: Vec::new() });
        assert_eq!(judged("q", query, &answer, &bounds), Outcome { verdict, cause: cause.to_owned() });
    }

    #[test]
    fn every_value_is_within_the_limits_or_it_is_a_fail() {
        let between = [Some(0.0), Some(5.0)];
        check("x", &[0.5, 1.0], between, Pass, "`q` gives 0.5, 1");
        check("x", &[5.0, 1.0], between, Fail, "`q` gives 5 for `{instance=\"a:1\"}`, which is not under 5");
        check("x", &[1.0, 0.0, -1.0], between, Fail, "`q` gives 0, which is not over 0, and 1 more like it");
        check("x", &[f64::INFINITY, 0.0], [Some(-1.0), None], Pass, "`q` gives inf, 0");
        // A comparison with `bool` beside limits is a number as any other.
        check("x > bool 1", &[0.0, 0.0], [None, Some(1.0)], Pass, "`q` gives 0, 0");
        check("x > bool 1", &[0.0, 0.0], [None, None], Fail, "`q` says no");
    }

    #[test]
    fn too_little_says_neither_yes_nor_no() {
        let none = [None, Some(5.0)];
        check("x", &[], none, Inconclusive, "`q` gives nothing");
        check("x", &[9.0], none, Inconclusive, "`q` gives too few samples: 1, and 2 are needed");
        check("x", &[9.0, f64::NAN], none, Inconclusive, "`q` gives something that is not a number");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(query in ".{0,200}") {
            reach(&query);
            is_question(&query);
        }
    }
}
