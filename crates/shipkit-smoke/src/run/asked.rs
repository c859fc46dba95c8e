//! `Asked`: a check with everything that can be known before anything is sent.

use std::collections::BTreeMap;

use http::HeaderName;
use shipkit_core::config::{self, Alerts, Cors, Exposition, Method, Profile, SecurityHeaders, Statuses, Tls};
use url::Url;

use super::burst::BUDGET;
use super::filled::{self, Request};
use super::operations::Operations;
use super::promql::Promql;
use super::scrape::Scrape;
use crate::alerts::FIRING;
use crate::capture::Captured;
use crate::check::{Capture, Check, Expect, Http, Kind, Wanted};
use crate::client::Ask;
use crate::error::SmokeError;
use crate::expected::Expected;
use crate::exposition::Selector;
use crate::graph::{Graph, Tangle};
use crate::json_path::JsonPath;
use crate::prometheus::Prometheus;
use crate::redirect::{Route, To};
use crate::secrets::Secrets;
use crate::socketio::{Talk, Transport};
use crate::tcp::Endpoint;
use crate::tls::Target;
use crate::variable::{Values, is_name};
use crate::websocket;

/// The stages of a run in order.
pub(super) const STAGES: [Stage; 5] =
    [Stage::Ready, Stage::Release, Stage::Rest, Stage::Measured, Stage::Burst];

/// When a check is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Ready,
    Release,
    Rest,
    /// After those that are quick: what Prometheus has measured takes its time.
    Measured,
    /// After all others, which would be refused, too.
    Burst,
}

/// A check, and the question in it.
pub(super) struct Asked<'a> {
    pub(super) check: &'a Check,
    /// What is asked, or asked first; with marks in place of variables.
    pub(super) url: Url,
    pub(super) question: Question<'a>,
}

pub(super) enum Question<'a> {
    Ready { urls: Vec<Url> },
    Release { url: Url, wanted: &'a Wanted },
    Rest(Rest<'a>),
    Promql(Promql<'a>),
    Alerts { prometheus: &'a Prometheus, wanted: &'a Alerts },
    Burst { ask: Ask },
}

/// What is asked once, and again only as often as the check says.
pub(super) enum Rest<'a> {
    Http(Box<Request<'a>>),
    Tcp(Endpoint),
    Redirect(Route),
    Tls(Box<Target>),
    Ws { ask: Ask, expected: Box<Expected> },
    Metrics(Scrape),
    SocketIo(Talk),
    Operations(Operations),
    Page(Url),
    Cors { url: Url, wanted: &'a Cors },
    SecurityHeaders { profile: Profile, root: Url, urls: Vec<Url> },
}

/// Resolves every address and header, as far as nothing has to be captured for it.
pub(super) fn prepare<'a>(
    base: &Url,
    checks: impl IntoIterator<Item = &'a Check, IntoIter: Clone>,
    prometheus: Option<&'a Prometheus>,
) -> Result<Vec<Asked<'a>>, SmokeError> {
    let checks = checks.into_iter();
    let later = filled::marks(checks.clone().flat_map(Check::captures));
    checks.map(|check| prepare_one(base, check, &later, prometheus)).collect()
}

/// Who waits for whom.
pub(super) fn graph(checks: &[Check]) -> Result<Graph, SmokeError> {
    let name = |number: &usize| checks.get(*number).map(|check| check.name.as_str()).unwrap_or_default();
    Graph::of(checks).map_err(|tangle| match tangle {
        Tangle::Twice { name: captured, first, second } => SmokeError::CapturedTwice {
            check: name(&second).to_owned(),
            line: checks.get(second).and_then(|check| check.line),
            name: captured,
            other: name(&first).into(),
        },
        Tangle::Circle(circle) => {
            let round = circle.iter().chain(circle.first());
            SmokeError::Circle(
                round.map(|number| format!("`{}`", name(number))).collect::<Vec<_>>().join(" needs "),
            )
        }
    })
}

fn prepare_one<'a>(
    base: &Url,
    check: &'a Check,
    later: &Captured,
    prometheus: Option<&'a Prometheus>,
) -> Result<Asked<'a>, SmokeError> {
    let (url, question) = match &check.kind {
        Kind::Ready { paths } => {
            let (first, urls) = one_or_more(base, paths, check)?;
            (first, Question::Ready { urls })
        }
        Kind::Release { wanted, .. } if *wanted == Wanted::default() => {
            return Err(SmokeError::WhichRelease(check.name.clone()));
        }
        Kind::Release { path, wanted } => {
            let url = address(base, path, check)?;
            (url.clone(), Question::Release { url, wanted })
        }
        Kind::Http(http) => {
            let (url, request) = request(base, check, http, later)?;
            (url, Question::Rest(Rest::Http(Box::new(request))))
        }
        Kind::Tcp { address } => {
            let (url, endpoint) = endpoint(address, check)?;
            (url, Question::Rest(Rest::Tcp(endpoint)))
        }
        Kind::Redirect { path, to } => {
            let route = route(base, path, to.as_deref(), check)?;
            (route.asked.clone(), Question::Rest(Rest::Redirect(route)))
        }
        Kind::Tls(wanted) => (base.clone(), Question::Rest(Rest::Tls(target(base, wanted, check)?))),
        Kind::Ws { path, expect } => {
            let (ask, expected) = (handshake(base, check, path)?, of_handshake(check, expect)?);
            (ask.url.clone(), Question::Rest(Rest::Ws { ask, expected: Box::new(expected) }))
        }
        Kind::SocketIo(said) => {
            let talk = talk(base, said, check)?;
            (talk.url.clone(), Question::Rest(Rest::SocketIo(talk)))
        }
        Kind::Page { path } => {
            let url = address(base, path, check)?;
            (url.clone(), Question::Rest(Rest::Page(url)))
        }
        Kind::Cors(wanted) => cors(base, wanted, check)?,
        Kind::SecurityHeaders(wanted) => security_headers(base, wanted, check)?,
        Kind::Openapi(api) => {
            let operations = Operations::of(base, check, api)?;
            (address(base, "/", check)?, Question::Rest(Rest::Operations(operations)))
        }
        Kind::RateLimit { path } => {
            let ask = Ask::get(address(base, path, check)?);
            (ask.url.clone(), Question::Burst { ask })
        }
        Kind::Metrics(metrics) => {
            let scrape = scrape(base, check, metrics)?;
            (scrape.ask.url.clone(), Question::Rest(Rest::Metrics(scrape)))
        }
        Kind::Alerts(wanted) => {
            measured(prometheus, check, |prometheus| Question::Alerts { prometheus, wanted })?
        }
        Kind::Promql { query, bounds } => measured(prometheus, check, |prometheus| {
            Question::Promql(Promql { prometheus, name: &check.name, query, bounds })
        })?,
    };
    Ok(Asked { check, url, question })
}

/// A request with marks in place of what is not known yet, and where it goes, with marks in place of all values: those may be secret.
fn request<'a>(
    base: &Url,
    check: &Check,
    http: &'a Http,
    later: &Captured,
) -> Result<(Url, Request<'a>), SmokeError> {
    captures(check, http)?;
    let own = &http.variables;
    let request = filled::request(base, check, http, Values { captured: later, own })?;
    let marks = filled::marks(&check.names());
    Ok((filled::url(base, check, http, Values { captured: &marks, own })?, request))
}

/// A path lies below the path of the base address: `https://example.com/shop` and `/health` make `/shop/health`.
pub(crate) fn address(base: &Url, path: &str, check: &Check) -> Result<Url, SmokeError> {
    let bad = |why: &dyn std::fmt::Display| SmokeError::Address {
        check: check.name.clone(),
        address: path.to_owned(),
        why: why.to_string(),
    };
    let whole = if path.starts_with('/') && !path.starts_with("//") {
        let mut root = base.clone();
        root.set_query(None);
        root.set_fragment(None);
        format!("{}{path}", root.as_str().trim_end_matches('/'))
    } else {
        path.to_owned()
    };
    let url = Url::parse(&whole).map_err(|error| bad(&error))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(bad(&format!("`{other}` is not http or https"))),
    }
}

fn addresses(base: &Url, paths: &[String], check: &Check) -> Result<Vec<Url>, SmokeError> {
    paths.iter().map(|path| address(base, path, check)).collect()
}

fn cors<'a>(base: &Url, wanted: &'a Cors, check: &Check) -> Result<(Url, Question<'a>), SmokeError> {
    let url = address(base, &wanted.path, check)?;
    Ok((url.clone(), Question::Rest(Rest::Cors { url, wanted })))
}

fn security_headers<'a>(
    base: &Url,
    wanted: &SecurityHeaders,
    check: &Check,
) -> Result<(Url, Question<'a>), SmokeError> {
    let SecurityHeaders { profile, paths } = wanted;
    let (urls, root) = (addresses(base, paths, check)?, address(base, "/", check)?);
    Ok((root.clone(), Question::Rest(Rest::SecurityHeaders { profile: *profile, root, urls })))
}

/// Where Prometheus answers queries, which must be known.
fn measured<'a>(
    prometheus: Option<&'a Prometheus>,
    check: &Check,
    question: impl FnOnce(&'a Prometheus) -> Question<'a>,
) -> Result<(Url, Question<'a>), SmokeError> {
    let prometheus = prometheus.ok_or_else(|| SmokeError::WherePrometheus(check.name.clone()))?;
    Ok((prometheus.at_path("query"), question(prometheus)))
}

fn target(base: &Url, wanted: &Tls, check: &Check) -> Result<Box<Target>, SmokeError> {
    let no_tls = || SmokeError::NoTls { check: check.name.clone(), address: harmless(base).to_string() };
    Target::of(base, wanted).map(Box::new).ok_or_else(no_tls)
}

/// The first of them, and all.
fn one_or_more(base: &Url, paths: &[String], check: &Check) -> Result<(Url, Vec<Url>), SmokeError> {
    let urls = addresses(base, paths, check)?;
    let first = urls.first().ok_or_else(|| SmokeError::Address {
        check: check.name.clone(),
        address: String::new(),
        why: "there is no path to ask".to_owned(),
    })?;
    Ok((first.clone(), urls))
}

fn talk(base: &Url, said: &config::SocketIo, check: &Check) -> Result<Talk, SmokeError> {
    let config::SocketIo { path, namespace, auth, emit } = said.clone();
    Ok(Talk { url: address(base, &path, check)?, namespace, auth, emit })
}

fn endpoint(address: &str, check: &Check) -> Result<(Url, Endpoint), SmokeError> {
    let bad = || SmokeError::Endpoint { check: check.name.clone(), address: address.to_owned() };
    let endpoint = Endpoint::read(address).ok_or_else(bad)?;
    let url = Url::parse(&format!("tcp://{endpoint}")).ok().ok_or_else(bad)?;
    Ok((url, endpoint))
}

/// Every name that is captured can be used, and is at a place.
fn captures(check: &Check, http: &Http) -> Result<(), SmokeError> {
    let bad = |why: String| SmokeError::Capture { check: check.name.clone(), line: check.line, why };
    for (name, place) in &http.captures {
        if !is_name(name) {
            return Err(bad(format!("`{name}` is no name of letters, digits and `_`")));
        }
        match place {
            Capture::Json(path) => drop(path.parse::<JsonPath>().map_err(|error| bad(error.to_string()))?),
            Capture::Header(header) if HeaderName::try_from(header).is_err() => {
                return Err(bad(format!("`{header}` is no name of a header")));
            }
            Capture::Header(_) => {}
        }
    }
    Ok(())
}

/// A path is asked over http where it must lead to https, at the usual port, and without a password: it could be read on the way.
fn route(base: &Url, path: &str, to: Option<&str>, check: &Check) -> Result<Route, SmokeError> {
    let asked = address(base, path, check)?;
    let is_path = path.starts_with('/');
    let Some(to) = to else {
        let mut asked = harmless(&asked);
        if is_path && asked.scheme() == "https" {
            // Both are possible for every https address.
            asked.set_port(None).ok();
            asked.set_scheme("http").ok();
        }
        if asked.scheme() != "http" {
            return Err(SmokeError::Address {
                check: check.name.clone(),
                address: path.to_owned(),
                why: "what leads from http to https is asked over http; say with `to` where else it leads"
                    .to_owned(),
            });
        }
        return Ok(Route { asked, to: To::Https });
    };
    let mut host = asked.clone();
    host.set_path("/");
    let wanted = address(if is_path { base } else { &host }, to, check)?;
    Ok(Route { asked, to: if to.starts_with('/') { To::Path(wanted) } else { To::Address(wanted) } })
}

/// What the answer to a handshake has to be: 101, if nothing else is said.
fn of_handshake(check: &Check, expect: &Expect) -> Result<Expected, SmokeError> {
    let values = Values { captured: &Captured::new(), own: &BTreeMap::new() };
    let expect = Expect { status: expect.status.clone().or(Statuses::one(101)), ..expect.clone() };
    Expected::read(&expect, values, Secrets::default()).map_err(|why| filled::unread(check, why))
}

/// A handshake but for its key. `ws` and `wss` are the schemes of `http` and `https` (RFC 6455 3).
fn handshake(base: &Url, check: &Check, path: &str) -> Result<Ask, SmokeError> {
    let rest = path.strip_prefix("ws").filter(|rest| rest.starts_with("://") || rest.starts_with("s://"));
    let url = match rest {
        Some(rest) => address(base, &format!("http{rest}"), check)?,
        None => address(base, path, check)?,
    };
    Ok(Ask { headers: websocket::handshake(), ..Ask::get(url) })
}

/// Reads the series that are looked for. Where nothing else is said, what should grow is asked of the base address.
fn scrape(base: &Url, check: &Check, metrics: &Exposition) -> Result<Scrape, SmokeError> {
    let wanted = |text: &String| {
        let bad = || SmokeError::Series { check: check.name.clone(), series: text.clone() };
        Selector::read(text).ok_or_else(bad)
    };
    Ok(Scrape {
        ask: Scrape::ask(address(base, &metrics.path, check)?),
        by: address(base, metrics.by.as_deref().unwrap_or("/"), check)?,
        series: metrics.series.iter().map(wanted).collect::<Result<_, _>>()?,
        grows: metrics.grows.iter().map(wanted).collect::<Result<_, _>>()?,
    })
}

impl Asked<'_> {
    /// The question again, with what was captured, if it needs any of it.
    pub(super) fn filled(
        &self,
        base: &Url,
        captured: &Captured,
    ) -> Option<Result<Box<Request<'_>>, SmokeError>> {
        let Kind::Http(http) = &self.check.kind else { return None };
        let names = self.check.names();
        if !names.iter().any(|name| captured.contains_key(name)) {
            return None;
        }
        let values = Values { captured, own: &http.variables };
        Some(filled::request(base, self.check, http, values).map(Box::new))
    }
}

impl Question<'_> {
    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Ready { .. } => Stage::Ready,
            Self::Release { .. } => Stage::Release,
            Self::Rest(_) => Stage::Rest,
            Self::Promql(_) | Self::Alerts { .. } => Stage::Measured,
            Self::Burst { .. } => Stage::Burst,
        }
    }

    /// A command that asks the same. Values of headers and bodies may be secret and are left out.
    pub(super) fn repeat(&self, url: &Url) -> String {
        let url = quoted(harmless(url).as_str());
        let curl = "curl -sS -i --max-time 5";
        match self {
            Self::Ready { .. }
            | Self::Release { .. }
            | Self::Rest(
                Rest::Page(_) | Rest::SecurityHeaders { .. } | Rest::Metrics(_) | Rest::Operations(_),
            ) => {
                format!("{curl} {url}")
            }
            Self::Rest(Rest::Http(request)) => format!("{curl}{} {url}", flags(&request.ask)),
            Self::Rest(Rest::Cors { wanted, .. }) => {
                let origin = quoted(&format!("origin: {}", wanted.origin));
                let method = wanted.method.word();
                format!("{curl} -X OPTIONS -H {origin} -H 'access-control-request-method: {method}' {url}")
            }
            Self::Rest(Rest::Redirect(_)) => format!("{curl} -L --max-redirs 3 {url}"),
            Self::Rest(Rest::Tls(target)) => target.repeat(),
            Self::Rest(Rest::Tcp(Endpoint { host, port })) => format!("nc -vz -w 5 {} {port}", quoted(host)),
            Self::Rest(Rest::Ws { ask, .. }) => format!("{curl} --http1.1{} {url}", handshake_flags(ask)),
            Self::Promql(Promql { query, .. }) => queried(&url, query),
            Self::Alerts { .. } => queried(&url, FIRING),
            Self::Rest(Rest::SocketIo(talk)) => {
                let url = harmless(&talk.address(Transport::Polling, None));
                format!("{curl} {}", quoted(url.as_str()))
            }
            Self::Burst { .. } => format!(
                "for _ in $(seq {BUDGET}); do curl -sS -o /dev/null -w '%{{http_code}}\\n' --max-time 5 {url} & done; wait"
            ),
        }
    }
}

fn queried(url: &str, query: &str) -> String {
    format!("curl -sS --max-time 20 {url} --data-urlencode {}", quoted(&format!("query={query}")))
}

fn flags(ask: &Ask) -> String {
    let method = match ask.method {
        Method::Get => String::new(),
        // Without it, curl waits for a body.
        Method::Head => " --head".to_owned(),
        Method::Options | Method::Post | Method::Put | Method::Patch | Method::Delete => {
            format!(" -X {}", ask.method.word())
        }
    };
    let headers: Vec<_> = ask.headers.keys().map(|name| format!(" -H '{name}: ...'")).collect();
    let body = if ask.body.is_some() { " --data '...'" } else { "" };
    format!("{method}{}{body}", headers.concat())
}

/// The same headers, which are no secret, and the key of RFC 6455 1.3. The connection stays open until the time is up.
fn handshake_flags(ask: &Ask) -> String {
    let values = ask.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let all = values.chain([("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]);
    all.map(|(name, value)| format!(" -H '{name}: {value}'")).collect::<Vec<_>>().concat()
}

/// A URL without user name and password.
pub(crate) fn harmless(url: &Url) -> Url {
    let mut url = url.clone();
    // Both fail only for addresses that have no host, which have no password either.
    url.set_password(None).ok();
    url.set_username("").ok();
    url
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
