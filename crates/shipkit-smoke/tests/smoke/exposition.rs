//! `metrics`: expositions, judged as the real promtool judges them but where a reason is given, and applications that show them.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shipkit_core::config::Exposition;
use shipkit_core::{Outcome, Verdict};
use shipkit_smoke::{Check, CheckReport, Kind, Options, SmokeError};
use url::Url;

use crate::fixture::{Reply, answer, nobody, serve, status};
use crate::prometheus::promtool;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn metrics(series: &[&str], grows: &[&str]) -> Exposition {
    let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Exposition { path: "/metrics".to_owned(), series: own(series), grows: own(grows), by: None }
}

async fn asked(url: &Url, metrics: Exposition) -> CheckReport {
    let options = Options {
        timeout: Duration::from_mins(1),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        ..Options::default()
    };
    let check = Check { retries: 1, ..Check::new("c", Kind::Metrics(metrics)) };
    shipkit_smoke::run(url, vec![check], &options).await.unwrap().checks.remove(0)
}

/// What is said about an exposition.
async fn judged(kind: &'static str, body: &[u8]) -> Outcome {
    let head = format!("HTTP/1.1 200 x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
    let bytes = [head.as_bytes(), body].concat();
    let server = serve(move |_, _| Reply::Bytes(bytes.clone())).await;
    asked(&server.url, metrics(&[], &[])).await.outcome
}

#[track_caller]
fn is(outcome: &Outcome, verdict: Verdict, part: &str) {
    assert_eq!(outcome.verdict, verdict, "{outcome:?}");
    assert!(outcome.cause.contains(part), "{outcome:?}");
}

/// Whether promtool can read it: what it only finds no good style (3) is read.
fn promtool_reads(body: &[u8]) -> bool {
    let mut child = Command::new(promtool())
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(body).unwrap();
    matches!(child.wait().unwrap().code(), Some(0 | 3))
}

#[rustfmt::skip]
const GOOD: &[&str] = &[
    "", "\n", "a 1\n", "a{} 1\n", "a{x=\"1\",} 1\n", "a { x = \"1\" , y = \"2\" } 1\n", " a 1\n", "a\t1\n", "\n\na 1\n\n",
    "a NaN\n", "a inf\n", "a -Inf\n", "a Infinity\n", "a .5\n", "a 5.\n", "a -1.5e-3\n", "a 1 1395066363000\n", "a 1 -5\n",
    "a+Inf\n", "a{x=\"1\"}1\n", "a::b 1\n", ":a 1\n", "_a 1\n", "a{x=\"\u{e4}\"} 1\n", "a{x=\"\\\\ \\\" \\n\"} 1\n", "a{x=\"}\"} 1\n",
    "a{x=\"#\"} 1\n", "a{x=\"1\"} 1\na{x=\"2\"} 1\n", "a 1\nb 1\na{x=\"1\"} 2\n",
    "#\n", "#foo\n# EOF\n", "# UNIT a b\na 1\n", "# HELP a\n", "# HELP a b\\\\n \\n\na 1\n", "# TYPE a\na 1\n", "  #  TYPE  a  counter\na 1\n",
    "# HELP a \"\u{e4}\" # {}\n# TYPE a gauge\na 1\n", "# TYPE a untyped\na 1\n", "# TYPE a counter\na 0\n",
    "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 1\nh_count 3\n",
    "# TYPE h histogram\nh_bucket{le=\"+Inf\",a=\"1\"} 3\nh_bucket{le=\"+Inf\",a=\"2\"} 2\nh_count{a=\"2\"} 2\nh_count{a=\"1\"} 3\n",
    "# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns{quantile=\"1\"} 2\ns_sum 4\ns_count 2\n", "# TYPE x_count summary\nx_count{quantile=\"0.5\"} 1\n",
];

#[rustfmt::skip]
const BAD: &[&str] = &[
    "a 1", "a\n", "a \n", "a 1 \n", "a 1\r\n", "a x\n", "a -nan\n", "a +NaN\n", "a 0x10\n", "a 0x1p4\n", "a 1e999\n", "a 1_0\n", "a 1,5\n",
    "a 1 2.5\n", "a 1 2 3\n", "a 1 # {x=\"1\"} 1\n", "1a 1\n", "a-b 1\n", "a.b 1\n", "{x=\"1\"} 1\n", "{\"a.b\"} 1\n", "<html>\n", "{\"a\": 1}\n",
    "a{x=\"1\",x=\"2\"} 1\n", "a{__name__=\"1\"} 1\n", "a{x=\"\\q\"} 1\n", "a{1x=\"2\"} 1\n", "a{x=1} 1\n", "a{x='1'} 1\n", "a{x=\"a\nb\"} 1\n",
    "a{x=\"1\" y=\"2\"} 1\n", "a{,} 1\n", "a{x=\"1\",,} 1\n", "a{x} 1\n", "a{x=\"1\" 1\n", "a{x=\"1\n", "a{x=\"1\\\"} 1\n", "a{\u{e4}=\"1\"} 1\n", "a{a:b=\"1\"} 1\n",
    "# TYPE a foo\na 1\n", "# TYPE a counter \na 1\n", "# TYPE a counter x\na 1\n", "# TYPE a counter\n# TYPE a counter\na 1\n",
    "a 1\n# TYPE a counter\n", "# HELP a x\n# HELP a y\n", "# HELP a \\q\n", "# HELP 1a x\n",
    "# TYPE h histogram\nh_bucket{le=\"x\"} 2\n", "# TYPE s summary\ns{quantile=\"x\"} 2\n",
];

/// What promtool reads, and why it is no good all the same.
#[rustfmt::skip]
const DIFFERENT: &[(&str, &str)] = &[
    // A scrape takes the words as they are written.
    ("# TYPE a Counter\na 1\n", "line 1: `Counter` is no type"),
    // A scrape keeps one of the two and drops the other.
    ("a 1\na 1\n", "line 2: a series of `a` is there twice"),
    ("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 1\n", "line 2: a series of `a` is there twice"),
    // Queries give wrong quantiles, and nobody tells why.
    ("# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\n", "line 3: `h`: the bucket up to inf of a histogram holds less"),
    ("# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_count 2\n", "line 3: `h`: a histogram has no bucket `le=\"+Inf\"`"),
    ("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 2\n", "line 3: `h`: a histogram counts 2, and its last bucket holds 1"),
    ("# TYPE h histogram\nh_sum 1\nh_count 2\n", "line 3: `h`: a histogram has no buckets"),
    ("# TYPE h histogram\nh_bucket 2\n", "line 2: `h_bucket` has no number as `le`"),
    ("# TYPE h histogram\nh 2\n", "line 2: a sample of `h` ends with none of _bucket, _sum, _count"),
    ("# TYPE s summary\ns{quantile=\"1.5\"} 2\n", "line 2: `s`: a summary has a quantile 1.5"),
    ("# TYPE s summary\ns 2\n", "line 2: `s` has no number as `quantile`"),
    // What counts does not go below zero.
    ("# TYPE c counter\nc -1\n", "line 2: counter `c` is -1"),
    ("# TYPE c counter\nc NaN\n", "line 2: counter `c` is NaN"),
];

#[tokio::test]
async fn an_exposition_is_read_as_promtool_reads_it() {
    for text in GOOD {
        assert!(promtool_reads(text.as_bytes()), "promtool: {text}");
        assert_eq!(judged(TEXT, text.as_bytes()).await.verdict, Verdict::Pass, "{text}");
    }
    for text in BAD {
        assert!(!promtool_reads(text.as_bytes()), "promtool: {text}");
        let outcome = judged(TEXT, text.as_bytes()).await;
        assert!(
            outcome.verdict == Verdict::Fail && outcome.cause.starts_with("line "),
            "{text}: {outcome:?}"
        );
    }
    for (text, cause) in DIFFERENT {
        assert!(promtool_reads(text.as_bytes()), "promtool: {text}");
        is(&judged(TEXT, text.as_bytes()).await, Verdict::Fail, cause);
    }
    let bad = b"a{x=\"\xff\"} 1\n";
    assert!(!promtool_reads(bad));
    is(&judged(TEXT, bad).await, Verdict::Fail, "line 1: this is not UTF-8");
    // Only labels are looked at by promtool.
    let bad = b"a 1\n# HELP a \xff\n";
    assert!(promtool_reads(bad));
    is(&judged(TEXT, bad).await, Verdict::Fail, "line 2: this is not UTF-8");
}

/// promtool does not know this format.
#[tokio::test]
async fn openmetrics_is_read_as_its_text_says() {
    #[rustfmt::skip]
    let good = [
        "# EOF\n", "# EOF", "a 1\n# EOF\n", "a{x=\"1\",y=\"2\"} 1 1.5\n# EOF\n", "# TYPE a unknown\n# HELP a b \\\" \\n\na 1\n# EOF\n",
        "# TYPE a counter\na_total 1 # {trace=\"x\"} 0.5 1.5\na_created 1.5\n# EOF\n", "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds -1\n# EOF\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {} 0.5\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 3\nh_created 1\n# EOF\n",
        "# TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 2\ng_gcount 2\ng_gsum -3\n# EOF\n", "# TYPE i info\ni_info{v=\"1\"} 1\n# EOF\n",
        "# TYPE s stateset\ns{s=\"a\"} 1\ns{s=\"b\"} 0\n# EOF\n", "a 1 1\na 1 2\n# EOF\n", "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_count 1\n# EOF\n",
    ];
    for text in good {
        let outcome = judged(OPEN, text.as_bytes()).await;
        assert_eq!(outcome.verdict, Verdict::Pass, "{text}: {outcome:?}");
    }
    let long = format!("# TYPE a counter\na_total 1 # {{x=\"{}\"}} 1\n# EOF\n", "y".repeat(128));
    #[rustfmt::skip]
    let bad = [
        ("a 1\n", "line 1: there is no `# EOF` at the end"), ("# EOF\na 1\n", "line 2: there is more after `# EOF`"), ("# EOF\n\n", "line 2: there is more"),
        ("\na 1\n# EOF\n", "line 1: "), ("# a comment\n# EOF\n", "line 1: "), ("a  1\n# EOF\n", "line 1: "), ("a{ x=\"1\"} 1\n# EOF\n", "line 1: "),
        ("a 1 x\n# EOF\n", "line 1: ` x` is no timestamp"), ("a 1 # {} 1\n# EOF\n", "line 1: `a` takes no exemplar"),
        ("# TYPE a counter\na 1\n# EOF\n", "line 2: a sample of `a` ends with none of _total, _created"),
        ("# TYPE a counter\na_total 1 # x\n# EOF\n", "line 2: the exemplar is not"), (long.as_str(), "line 2: the labels of the exemplar have 129 characters"),
        ("# TYPE a untyped\n# EOF\n", "line 1: `untyped` is no type"), ("# TYPE a gauge\n# UNIT a seconds\n# EOF\n", "line 2: `a` does not end with its unit `seconds`"),
        ("a 1\nb 1\na{x=\"1\"} 1\n# EOF\n", "line 3: the lines of `a` do not stand together"), ("a 1\n# HELP a b\n# EOF\n", "line 2: `a` is described after its samples"),
        ("# TYPE i info\ni_info 2\n# EOF\n", "line 2: info `i` is 2, and not 1"), ("# TYPE s stateset\ns{s=\"a\"} 2\n# EOF\n", "line 2: state `s` is 2"),
        ("# TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 2\ng_gcount 3\n# EOF\n", "line 3: `g`: a histogram counts 3"), ("a 1\na 1\n# EOF\n", "line 2: a series of `a` is there twice"),
        ("# UNIT a_b b\n# UNIT a_b b\n# EOF\n", "line 2: `a_b` has two units"), ("# TYPE a\n# EOF\n", "line 1: nothing is said about `a`"),
    ];
    for (text, cause) in bad {
        is(&judged(OPEN, text.as_bytes()).await, Verdict::Fail, cause);
    }
}

#[tokio::test]
async fn what_is_no_exposition_is_told_by_its_media_type() {
    let part = "the media type `text/html` is none that Prometheus reads";
    is(&judged("text/html", b"a 1\n").await, Verdict::Fail, part);
    is(&judged("", b"a 1\n").await, Verdict::Fail, "the media type `` is none");
    is(&judged("Text/Plain", b"a 1\n").await, Verdict::Pass, "1 metrics with 1 series");
}

#[tokio::test]
async fn series_are_found_by_their_names_and_labels() {
    let body = "a{x=\"1\",y=\"}\"} 1\na{x=\"2\"} 2\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 0\n";
    let server = serve(move |_, _| answer(200, TEXT, body)).await;
    let there = ["a", "a{x=\"2\"}", "a{y=\"}\"}", "a{}", "h_bucket"];
    is(&asked(&server.url, metrics(&there, &[])).await.outcome, Verdict::Pass, "2 metrics with 3 series");
    let wanted = metrics(&["a{x=\"3\"}", "h", "a"], &["a{z=\"\"}"]);
    let part = "there is no series `a{x=\"3\"}`, `h`, `a{z=\"\"}`";
    is(&asked(&server.url, wanted).await.outcome, Verdict::Fail, part);
    for series in ["", "a b", "a{x}", "a{x=\"1\"} 1", "sum(a)"] {
        let checks = vec![Check::new("c", Kind::Metrics(metrics(&[series], &[])))];
        let error = shipkit_smoke::run(&server.url, checks, &Options::default()).await.unwrap_err();
        assert!(matches!(error, SmokeError::Series { .. }), "{series}: {error}");
    }
}

#[tokio::test]
async fn many_series_of_one_metric_are_a_warning() {
    let series = |count: u32| (0..count).map(|n| format!("a{{n=\"{n}\"}} 1\n")).collect::<Vec<_>>().concat();
    let outcome = judged(TEXT, series(10_000).as_bytes()).await;
    is(&outcome, Verdict::Pass, "1 metrics with 10000 series");
    assert!(!outcome.cause.contains("warning"), "{outcome:?}");
    let part = "warning: `a` has 10001 series, more than 10000";
    is(&judged(TEXT, series(10_001).as_bytes()).await, Verdict::Pass, part);
}

/// Counts requests to `/` and to nothing else.
#[tokio::test]
async fn what_should_grow_grows_by_requests() {
    let count = Arc::new(AtomicUsize::new(0));
    let server = serve(move |_, head| {
        if head.starts_with("GET /metrics ") {
            let count = count.load(Ordering::SeqCst);
            let body =
                format!("requests{{path=\"/\"}} {count}\nrequests{{path=\"/x\"}} 0\nstill 1\nnone NaN\n");
            return answer(200, TEXT, &body);
        }
        if head.starts_with("GET / ") {
            count.fetch_add(1, Ordering::SeqCst);
        }
        status(404)
    })
    .await;
    let grows = asked(&server.url, metrics(&[], &["requests"])).await;
    is(&grows.outcome, Verdict::Pass, "3 metrics with 4 series; `requests` grows");
    assert_eq!((grows.attempts.len(), server.asked()), (1, 12), "{grows:?}");
    let still = asked(&server.url, metrics(&[], &["requests{path=\"/x\"}", "requests", "none"])).await;
    let part =
        "`requests{path=\"/x\"}` does not grow: 0, and 0 after 10 requests to `/`; `none` does not grow: NaN";
    is(&still.outcome, Verdict::Fail, part);
    assert_eq!(still.attempts.len(), 2, "{still:?}");
    let by = Exposition { by: Some("/x".to_owned()), ..metrics(&[], &["requests"]) };
    let part = "`requests` does not grow: 30, and 30 after 10 requests to `/x`";
    is(&asked(&server.url, by).await.outcome, Verdict::Fail, part);
}

/// Two instances take turns: what the first counts is compared with what the first counts.
#[tokio::test]
async fn one_instance_is_not_compared_with_another() {
    let reads = Arc::new(AtomicUsize::new(0));
    let server = serve(move |_, head| {
        if !head.starts_with("GET /metrics ") {
            return status(200);
        }
        let began = reads.fetch_add(1, Ordering::SeqCst) % 2;
        answer(200, TEXT, &format!("process_start_time_seconds {began}\nrequests {}\n", began * 100))
    })
    .await;
    let report = asked(&server.url, metrics(&[], &["requests"])).await;
    is(&report.outcome, Verdict::Fail, "`requests` does not grow: 0, and 0");
}

#[tokio::test]
async fn answers_that_are_none_end_with_a_verdict() {
    let at = |reply: fn() -> Reply| async move {
        asked(&serve(move |_, _| reply()).await.url, metrics(&[], &[])).await.outcome
    };
    is(&at(|| status(500)).await, Verdict::Fail, "status 500");
    is(&at(|| status(404)).await, Verdict::Fail, "status 404");
    is(
        &at(|| Reply::Reset(b"HTTP/1.1 200 x\r\ncontent-type: text/plain\r\n\r\na 1\n".to_vec())).await,
        Verdict::Fail,
        "",
    );
    let endless = || Reply::Endless(b"HTTP/1.1 200 x\r\ncontent-type: text/plain\r\n\r\n".to_vec());
    is(&at(endless).await, Verdict::Fail, "there is more than 8 MiB of it");
    let gone = nobody().await;
    is(&asked(&gone, metrics(&[], &[])).await.outcome, Verdict::Fail, "");
}
