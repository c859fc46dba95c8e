//! The kinds of checks, for people who choose one.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::check::READY_PATHS;
use crate::run::{Options, burst, scrape, socket, talk};
use crate::tls::{certificate, hsts};
use crate::{caching, compression, exposition, latency, page, redirect};

/// A kind of check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KindOfCheck {
    /// Its key in an entry of `smoke`; `ready` is no key and comes first by itself.
    pub kind: &'static str,
    /// When it passes, in a few words.
    pub passes_when: &'static str,
    /// What holds where nothing else is said.
    pub defaults: BTreeMap<&'static str, String>,
}

/// Every kind that this version runs, in the order in which they are asked, and then by name.
#[must_use]
pub fn kinds() -> Vec<KindOfCheck> {
    let options = Options::default();
    let kind = |kind, passes_when, defaults: &[(&'static str, String)]| KindOfCheck {
        kind,
        passes_when,
        defaults: defaults.iter().cloned().collect(),
    };
    let status = || ("expect.status", "2xx".to_owned());
    let cookies = || ("expect.cookies", "not asked".to_owned());
    let answer = |method, passes_when| kind(method, passes_when, &[status()]);
    let mut kinds = vec![
        kind(
            "ready",
            "one of the paths answers well several times in a row, within the deadline",
            &ready(&options),
        ),
        kind(
            "release",
            "the path says on new connections that it is the release that was shipped",
            &[
                ("connections", options.samples.to_string()),
                ("addresses", "one, as the system chooses".to_owned()),
            ],
        ),
        kind("get", "the answer is as it is expected", &[vec![status(), cookies()], percentile()].concat()),
        answer("head", "the same for HEAD"),
        answer("options", "the same for OPTIONS"),
        answer("post", "the same for POST"),
        answer("put", "the same for PUT"),
        answer("patch", "the same for PATCH"),
        answer("delete", "the same for DELETE"),
        kind("run", "the command ends with exit code 0", &[("expect.within", "the deadline".to_owned())]),
        kind(
            "hurl",
            "an installed `hurl` finds everything as the files say",
            &[("expect.within", "the deadline".to_owned())],
        ),
    ];
    kinds.extend(of_connections(&kind));
    kinds.extend(of_pages(&kind));
    kinds.extend(of_measurements(&kind));
    kinds
}

type Make<'a> = &'a dyn Fn(&'static str, &'static str, &[(&'static str, String)]) -> KindOfCheck;

fn of_connections(kind: Make<'_>) -> [KindOfCheck; 6] {
    let sessions = [
        ("path", "/socket.io/".to_owned()),
        ("namespace", "/".to_owned()),
        ("requests", (1 + talk::REQUESTS).to_string()),
    ];
    let servers =
        [("name", "the host of `url`".to_owned()), ("resolvers", "those of /etc/resolv.conf".to_owned())];
    [
        kind(
            "dns",
            "all name servers say the same addresses, and the alias, TTL and CAA that are wanted",
            &servers,
        ),
        kind(
            "redirect",
            "it leads to https of the same host, or to `to`",
            &[("redirects", redirect::HOPS.to_string())],
        ),
        kind(
            "socketio",
            "sessions of socket.io stay with their replica and change to a WebSocket",
            &sessions,
        ),
        kind("tcp", "every address of the name takes a connection", &[]),
        kind("tls", "versions and certificate are sound", &tls()),
        kind("ws", "a WebSocket opens, answers pings and closes", &[("pings", socket::PINGS.to_string())]),
    ]
}

fn of_pages(kind: Make<'_>) -> [KindOfCheck; 5] {
    [
        kind(
            "caching",
            "browsers ask about the page anew, and keep files with a hash in their name",
            &[
                ("the page, at most", format!("{}s", caching::PAGE)),
                ("its files, at least", format!("max-age={}, immutable", caching::FILE)),
            ],
        ),
        kind(
            "compression",
            "the page, its scripts and styles come as gzip, and unpacked are what they are without",
            &[("from", format!("{} bytes", compression::LEAST))],
        ),
        kind(
            "cors",
            "pages of the origin are let in from browsers, and others are not",
            &[("method", "GET".to_owned()), ("credentials", "false".to_owned())],
        ),
        kind(
            "page",
            "the page is there with its scripts, styles and icons",
            &[("files", page::FILES.to_string())],
        ),
        kind(
            "security_headers",
            "answers have the headers that protect visitors",
            &[
                ("profile", "baseline".to_owned()),
                ("paths", "`/`, a file of it, and two that do not exist".to_owned()),
            ],
        ),
    ]
}

fn of_measurements(kind: Make<'_>) -> [KindOfCheck; 5] {
    let growth = [
        ("by", "/".to_owned()),
        ("requests", scrape::REQUESTS.to_string()),
        ("series of a family without a warning", exposition::MANY.to_string()),
    ];
    [
        kind("metrics", "Prometheus can read it, the series are there, and counters grow", &growth),
        kind(
            "promql",
            "Prometheus gives values within the limits",
            &[("expect", "a value, and not 0 with `bool`".to_owned())],
        ),
        kind("openapi", "the operations of an API that only read answer as its description says", &[]),
        kind("alerts", "rules are evaluated, and no alert fires that did not fire before", &[]),
        kind(
            "rate_limit",
            "who asks too often is refused with 429, after all other checks",
            &[("requests", burst::BUDGET.to_string()), ("at once", burst::AT_ONCE.to_string())],
        ),
    ]
}

fn ready(options: &Options) -> Vec<(&'static str, String)> {
    vec![
        ("paths", READY_PATHS.join(" ")),
        ("answers in a row", options.successes.to_string()),
        ("between them", span(options.between)),
        ("where nothing was changed", "the first answer, if it is good".to_owned()),
        ("deadline", span(options.deadline)),
        ("timeout of a request", span(options.timeout)),
    ]
}

fn percentile() -> Vec<(&'static str, String)> {
    vec![
        ("p95: requests a second", latency::RATE.to_string()),
        ("p95: not judged", span(latency::WARM_UP)),
        ("p95: first look after", span(latency::WARM_UP + latency::FIRST)),
        ("p95: at most", span(latency::WARM_UP + latency::BUDGET)),
        ("p95: at once", latency::AT_ONCE.to_string()),
    ]
}

fn tls() -> Vec<(&'static str, String)> {
    vec![
        ("min_version", "1.2".to_owned()),
        ("expires_in", format!("{}d, or a third of its life", certificate::SOON / certificate::DAY)),
        ("hsts", format!("not asked; else max-age of {} seconds", hsts::LEAST)),
        ("RSA keys", format!("{} bits", certificate::RSA_BITS)),
        ("curves", format!("{} bits", certificate::CURVE_BITS)),
    ]
}

fn span(time: Duration) -> String {
    format!("{}s", time.as_secs())
}
