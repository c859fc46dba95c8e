//! Readings as a table: of each the four answers, and when it is over.

use super::*;
use crate::config::{Query, Threshold};
use crate::prometheus::Sample;
use Answer::{Given, Nothing, Unreachable};
use Verdict::{Fail, Inconclusive, Pass};

const MINUTES: Duration = Duration::from_mins(5);

fn analysis(promql: &[&str]) -> Analysis {
    Analysis {
        prometheus: "http://p".to_owned(),
        window: MINUTES,
        error_rate: Threshold { warning: Some(BasisPoints(100)), critical: BasisPoints(500) },
        p95: Threshold { warning: Some(Duration::from_millis(500)), critical: Duration::from_secs(1) },
        promql: promql.iter().map(|text| Query { name: "q".to_owned(), query: (*text).to_owned() }).collect(),
    }
}

fn errors(failed: f64, all: f64) -> Answer<Share> {
    Given(Share { failed, all })
}

fn times(requests: f64, p95: Quantile) -> Answer<Times> {
    Given(Times { requests, p95 })
}

fn quick() -> Answer<Times> {
    times(100.0, Quantile::About(0.2))
}

fn reading(errors: Answer<Share>, times: Answer<Times>) -> Reading {
    Reading { errors, times, queries: Vec::new() }
}

#[test]
fn of_each_metric_there_are_four_answers_and_the_worst_decides() {
    use Quantile::{About, Above};
    let gone = || "gone".to_owned();
    let few = "too few requests: 58, and 59 are needed";
    #[rustfmt::skip]
    let table = [
        (errors(1.0, 100.0), quick(), Pass, "error rate 1% of 100 requests, p95 200ms of 100 requests"),
        (errors(0.0, 59.0), times(59.0, About(0.2)), Pass, "error rate 0% of 59 requests, p95 200ms of 59 requests"),
        (errors(5.0, 100.0), quick(), Pass, "error rate 5% of 100 requests is above the warning of 1%, p95 200ms of 100 requests"),
        (errors(0.0, 100.0), times(100.0, About(0.62)), Pass, "error rate 0% of 100 requests, p95 620ms of 100 requests is above the warning of 500ms"),
        (errors(5.1, 100.0), quick(), Fail, "error rate 5.1% of 100 requests is above 5%"),
        (errors(20.0, 100.0), times(100.0, About(1.25)), Fail, "error rate 20% of 100 requests is above 5%, p95 1.25s of 100 requests is above 1s"),
        (errors(0.0, 100.0), times(100.0, Above(1.0)), Fail, "p95 above 1s of 100 requests is above 1s"),
        (errors(0.0, 100.0), times(100.0, Above(0.5)), Inconclusive, "p95 is above 500ms, where the buckets of its histogram end, so whether it is above 1s is not known"),
        (errors(58.0, 58.0), times(58.0, About(9.0)), Inconclusive, few),
        (errors(0.0, 0.0), quick(), Inconclusive, "too few requests: 0, and 59 are needed"),
        (errors(f64::NAN, f64::NAN), quick(), Inconclusive, "error rate is not a number"),
        (Nothing(gone()), quick(), Inconclusive, "gone"),
        (Unreachable(gone()), Unreachable(gone()), Verdict::Unreachable, "gone"),
        (Unreachable(gone()), quick(), Verdict::Unreachable, "gone"),
        // A fail is one, whatever could not be found out beside it.
        (errors(20.0, 100.0), Unreachable(gone()), Fail, "error rate 20% of 100 requests is above 5%"),
        (errors(20.0, 100.0), Nothing(gone()), Fail, "error rate 20% of 100 requests is above 5%"),
    ];
    for (errors, times, verdict, cause) in table {
        let found = outcome(&judge(&analysis(&[]), &reading(errors, times)), MINUTES);
        assert_eq!(found, Outcome { verdict, cause: format!("analysis of 5m: {cause}") });
    }
}

#[test]
fn a_query_must_give_something_and_a_question_yes() {
    let values = |values: &[f64]| {
        let one = |value: &f64| Sample { labels: std::collections::BTreeMap::new(), value: *value };
        Given(Samples { samples: values.iter().map(one).collect(), warnings: Vec::new() })
    };
    let table = [
        ("up", values(&[1.0, 0.0]), Pass, "`q` gives 1, 0"),
        ("rate(x[1m]) < 5", values(&[0.0]), Pass, "`q` gives 0"),
        ("rate(x[1m]) < 5", values(&[]), Inconclusive, "`q` gives nothing"),
        ("a / b", values(&[1.0, f64::NAN]), Inconclusive, "`q` gives something that is not a number"),
        ("a < bool 5", values(&[1.0]), Pass, "`q` gives 1"),
        ("a <bool(5)", values(&[1.0, 0.0]), Fail, "`q` says no"),
        ("a{b=\" bool \"}", values(&[0.0]), Pass, "`q` gives 0"),
        ("my_bool", values(&[0.0]), Pass, "`q` gives 0"),
        ("a < bool 5", values(&[]), Inconclusive, "`q` gives nothing"),
        ("a", Nothing("no".to_owned()), Inconclusive, "no"),
        ("a", Unreachable("no".to_owned()), Verdict::Unreachable, "no"),
        ("a", values(&[1.0, 2.0, 3.0, 4.0]), Pass, "`q` gives 1, 2, 3, ..."),
    ];
    for (query, answer, verdict, cause) in table {
        let reading = Reading { queries: vec![answer], ..reading(errors(0.0, 100.0), quick()) };
        let found = judge(&analysis(&[query]), &reading).pop().unwrap();
        assert_eq!(found.outcome, Outcome { verdict, cause: cause.to_owned() }, "{query}");
    }
}

#[test]
fn what_cannot_be_asked_is_no_fail_of_the_release() {
    let at = || "http://p".to_owned();
    let query = || "q".to_owned();
    let answers = [
        PrometheusError::Query { query: query(), message: "bad".to_owned() },
        PrometheusError::TooLarge { query: query(), mib: 1 },
        PrometheusError::Refused { at: at(), status: 503, message: "late".to_owned() },
        PrometheusError::Foreign { at: at(), status: 200 },
        PrometheusError::Unreachable { at: at(), reason: "refused".to_owned() },
    ];
    let verdicts = answers
        .map(|error| outcome(&judge(&analysis(&[]), &reading(error.into(), quick())), MINUTES).verdict);
    let unreachable = Verdict::Unreachable;
    assert_eq!(verdicts, [Inconclusive, Inconclusive, unreachable, unreachable, unreachable]);
}

#[test]
fn it_lasts_for_its_window_and_is_asked_ten_times() {
    let wait = |window: u64, elapsed: u64| {
        let [window, elapsed] = [window, elapsed].map(Duration::from_secs);
        match next(&analysis(&[]), window, elapsed, &[]) {
            Next::Wait(wait) => wait.as_secs(),
            Next::Done(_) => panic!("it is not over"),
        }
    };
    assert_eq!(wait(100, 0), 10);
    assert_eq!(wait(100, 95), 5);
    assert_eq!(wait(20, 0), 5);
    assert_eq!(wait(3, 0), 3);
    assert_eq!(wait(3600, 0), 30);
    let good = [reading(errors(0.0, 100.0), quick())];
    assert!(matches!(next(&analysis(&[]), MINUTES, MINUTES, &good), Next::Done(_)));
    assert!(matches!(next(&analysis(&[]), MINUTES, MINUTES / 2, &good), Next::Wait(_)));
}

#[test]
fn only_what_fails_twice_in_a_row_by_enough_requests_ends_it_early() {
    let good = || reading(errors(0.0, 100.0), quick());
    let bad = || reading(errors(20.0, 100.0), quick());
    let slow = || reading(errors(0.0, 100.0), times(100.0, Quantile::About(2.0)));
    let few = || reading(errors(20.0, 20.0), quick());
    let gone = || reading(Unreachable("gone".to_owned()), Unreachable("gone".to_owned()));
    let no = || Reading { queries: vec![Nothing("no".to_owned())], ..good() };
    let is_over = |readings: &[Reading], elapsed| {
        matches!(next(&analysis(&["a < bool 1"]), MINUTES, elapsed, readings), Next::Done(_))
    };
    let soon = Duration::from_mins(1);
    assert!(is_over(&[bad(), bad()], soon));
    assert!(is_over(&[good(), bad(), slow()], soon));
    for readings in [
        vec![bad()],
        vec![good(), bad()],
        vec![bad(), gone()],
        vec![few(), few(), few()],
        vec![gone(), gone(), gone()],
        vec![no(), no(), no()],
        vec![bad(), bad(), good()],
    ] {
        assert!(!is_over(&readings, soon), "{readings:?}");
        assert!(is_over(&readings, MINUTES), "{readings:?}");
    }
}
