//! `Question`: what a kind of check asks, as far as it can be known before anything is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderName;
use shipkit_core::config::{
    Alerts, Bounds, Cors, Dns, Exposition, Method, Profile, SecurityHeaders, SocketIo, Statuses, Tls,
};
use url::Url;

use super::asked::{Stage, address, harmless};
use super::burst::BUDGET;
use super::dns::Lookup;
use super::filled::{self, Request};
use super::host::{Program, Task};
use super::operations::Operations;
use super::promql::Promql;
use super::release::Running;
use super::scrape::Scrape;
use crate::alerts::FIRING;
use crate::capture::Captured;
use crate::check::{Capture, Check, Expect, Http, Kind, Wanted};
use crate::client::Ask;
use crate::error::SmokeError;
use crate::expected::Expected;
use crate::exposition::Selector;
use crate::json_path::JsonPath;
use crate::openapi::Api;
use crate::prometheus::Prometheus;
use crate::redirect::{Route, To};
use crate::secrets::Secrets;
use crate::socketio::{Talk, Transport};
use crate::tcp::Endpoint;
use crate::tls::Target;
use crate::variable::{Values, is_name};
use crate::websocket;

/// What is asked.
pub(super) enum Question<'a> {
    Ready { urls: Vec<Url> },
    Release(Running<'a>),
    Rest(Rest<'a>),
    Promql(Promql<'a>),
    Alerts { prometheus: &'a Prometheus, wanted: &'a Alerts },
    Burst { ask: Ask },
}

/// What is asked once, and again only as often as the check says.
pub(super) enum Rest<'a> {
    Http(Box<Request<'a>>),
    Tcp(Endpoint),
    Dns(Lookup<'a>),
    Redirect(Route),
    Tls(Box<Target>),
    Ws { ask: Ask, expected: Box<Expected> },
    Metrics(Scrape),
    SocketIo(Talk),
    Operations(Operations),
    Page(Url),
    Caching(Url),
    Compression(Url),
    Program(Program<'a>),
    Cors { url: Url, wanted: &'a Cors },
    SecurityHeaders { profile: Profile, root: Url, urls: Vec<Url> },
}

/// What is asked, or asked first, with marks in place of variables; and the question.
type Prepared<'a> = Result<(Url, Question<'a>), SmokeError>;

impl<'a> Question<'a> {
    /// The question in a check.
    pub(super) fn of(
        base: &Url,
        check: &'a Check,
        later: &Captured,
        prometheus: Option<&'a Prometheus>,
    ) -> Prepared<'a> {
        match &check.kind {
            Kind::Ready { paths } => ready(base, paths, check),
            Kind::Release { path, wanted, every_address } => {
                let running =
                    Running { url: address(base, path, check)?, wanted, every_address: *every_address };
                release(running, check)
            }
            Kind::Http(http) => request(base, http, later, check),
            Kind::Tcp { address } => tcp(address, check),
            Kind::Dns(wanted) => dns(base, wanted, check),
            Kind::Redirect { path, to } => redirect(base, path, to.as_deref(), check),
            Kind::Tls(wanted) => tls(base, wanted, check),
            Kind::Ws { path, expect } => ws(base, path, expect, check),
            Kind::SocketIo(said) => socketio(base, said, check),
            Kind::Page { path } => page(base, path, check, Rest::Page),
            Kind::Caching { path } => page(base, path, check, Rest::Caching),
            Kind::Compression { path } => page(base, path, check, Rest::Compression),
            Kind::Run { command, within } => program(base, Task::Shell(command), *within, check),
            Kind::Hurl { patterns, within } => program(base, Task::Hurl(patterns), *within, check),
            Kind::Cors(wanted) => cors(base, wanted, check),
            Kind::SecurityHeaders(wanted) => security_headers(base, wanted, check),
            Kind::Openapi(api) => openapi(base, api, later, check),
            Kind::RateLimit { path } => rate_limit(base, path, check),
            Kind::Metrics(metrics) => scrape(base, metrics, check),
            Kind::Alerts(wanted) => alerts(prometheus, wanted, check),
            Kind::Promql { query, bounds } => promql(prometheus, query, bounds, check),
        }
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
                Rest::Page(_)
                | Rest::Caching(_)
                | Rest::SecurityHeaders { .. }
                | Rest::Metrics(_)
                | Rest::Operations(_),
            ) => {
                format!("{curl} {url}")
            }
            Self::Rest(Rest::Compression(_)) => {
                format!("curl -sS -D - -o /dev/null --max-time 5 -H 'accept-encoding: gzip' {url}")
            }
            Self::Rest(Rest::Program(program)) => program.repeat(&url),
            Self::Rest(Rest::Http(request)) => format!("{curl}{} {url}", flags(&request.ask)),
            Self::Rest(Rest::Cors { wanted, .. }) => {
                let origin = quoted(&format!("origin: {}", wanted.origin));
                let method = wanted.method.word();
                format!("{curl} -X OPTIONS -H {origin} -H 'access-control-request-method: {method}' {url}")
            }
            Self::Rest(Rest::Redirect(_)) => format!("{curl} -L --max-redirs 3 {url}"),
            Self::Rest(Rest::Tls(target)) => target.repeat(),
            Self::Rest(Rest::Tcp(Endpoint { host, port })) => format!("nc -vz -w 5 {} {port}", quoted(host)),
            Self::Rest(Rest::Dns(lookup)) => lookup.repeat(),
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

fn rest(url: Url, rest: Rest<'_>) -> (Url, Question<'_>) {
    (url, Question::Rest(rest))
}

/// The first path is shown until it is known which of them exists.
fn ready(base: &Url, paths: &[String], check: &Check) -> Prepared<'static> {
    let urls = addresses(base, paths, check)?;
    let first = urls.first().ok_or_else(|| SmokeError::Address {
        check: check.name.clone(),
        address: String::new(),
        why: "there is no path to ask".to_owned(),
    })?;
    Ok((first.clone(), Question::Ready { urls }))
}

fn release<'a>(running: Running<'a>, check: &Check) -> Prepared<'a> {
    if *running.wanted == Wanted::default() {
        return Err(SmokeError::WhichRelease(check.name.clone()));
    }
    Ok((running.url.clone(), Question::Release(running)))
}

/// A request with marks in place of what is not known yet, and where it goes, with marks in place of all values: those may be secret.
fn request<'a>(base: &Url, http: &'a Http, later: &Captured, check: &Check) -> Prepared<'a> {
    captures(check, http)?;
    let own = &http.variables;
    let request = filled::request(base, check, http, Values { captured: later, own })?;
    let marks = filled::marks(&check.names());
    let shown = filled::url(base, check, http, Values { captured: &marks, own })?;
    Ok(rest(shown, Rest::Http(Box::new(request))))
}

fn tcp(address: &str, check: &Check) -> Prepared<'static> {
    let bad = || SmokeError::Endpoint { check: check.name.clone(), address: address.to_owned() };
    let endpoint = Endpoint::read(address).ok_or_else(bad)?;
    let url = Url::parse(&format!("tcp://{endpoint}")).ok().ok_or_else(bad)?;
    Ok(rest(url, Rest::Tcp(endpoint)))
}

/// The address that is shown is one of RFC 4501.
fn dns<'a>(base: &Url, wanted: &'a Dns, check: &Check) -> Prepared<'a> {
    let lookup = Lookup::of(base, wanted, check)?;
    let no_name = |_| SmokeError::NoName { check: check.name.clone(), host: lookup.name.clone() };
    let url = Url::parse(&format!("dns:{}", lookup.name)).map_err(no_name)?;
    Ok(rest(url, Rest::Dns(lookup)))
}

fn redirect(base: &Url, path: &str, to: Option<&str>, check: &Check) -> Prepared<'static> {
    let route = route(base, path, to, check)?;
    Ok(rest(route.asked.clone(), Rest::Redirect(route)))
}

fn tls(base: &Url, wanted: &Tls, check: &Check) -> Prepared<'static> {
    let no_tls = || SmokeError::NoTls { check: check.name.clone(), address: harmless(base).to_string() };
    let target = Target::of(base, wanted).ok_or_else(no_tls)?;
    Ok(rest(base.clone(), Rest::Tls(Box::new(target))))
}

fn ws(base: &Url, path: &str, expect: &Expect, check: &Check) -> Prepared<'static> {
    let (ask, expected) = (handshake(base, check, path)?, of_handshake(check, expect)?);
    Ok(rest(ask.url.clone(), Rest::Ws { ask, expected: Box::new(expected) }))
}

fn socketio(base: &Url, said: &SocketIo, check: &Check) -> Prepared<'static> {
    let SocketIo { path, namespace, auth, emit } = said.clone();
    let url = address(base, &path, check)?;
    Ok(rest(url.clone(), Rest::SocketIo(Talk { url, namespace, auth, emit })))
}

fn page(base: &Url, path: &str, check: &Check, of: fn(Url) -> Rest<'static>) -> Prepared<'static> {
    let url = address(base, path, check)?;
    Ok(rest(url.clone(), of(url)))
}

fn program<'a>(base: &Url, task: Task<'a>, within: Option<Duration>, check: &Check) -> Prepared<'a> {
    let program = Program { task, within };
    program.look(check)?;
    Ok(rest(base.clone(), Rest::Program(program)))
}

fn cors<'a>(base: &Url, wanted: &'a Cors, check: &Check) -> Prepared<'a> {
    let url = address(base, &wanted.path, check)?;
    Ok(rest(url.clone(), Rest::Cors { url, wanted }))
}

fn security_headers(base: &Url, wanted: &SecurityHeaders, check: &Check) -> Prepared<'static> {
    let SecurityHeaders { profile, paths } = wanted;
    let (urls, root) = (addresses(base, paths, check)?, address(base, "/", check)?);
    Ok(rest(root.clone(), Rest::SecurityHeaders { profile: *profile, root, urls }))
}

fn openapi(base: &Url, api: &Api, later: &Captured, check: &Check) -> Prepared<'static> {
    let operations = Operations::of(base, check, api, Values { captured: later, own: &api.variables })?;
    Ok(rest(address(base, "/", check)?, Rest::Operations(operations)))
}

fn rate_limit(base: &Url, path: &str, check: &Check) -> Prepared<'static> {
    let ask = Ask::get(address(base, path, check)?);
    Ok((ask.url.clone(), Question::Burst { ask }))
}

/// Reads the series that are looked for. Where nothing else is said, what should grow is asked of the base address.
fn scrape(base: &Url, metrics: &Exposition, check: &Check) -> Prepared<'static> {
    let wanted = |text: &String| {
        let bad = || SmokeError::Series { check: check.name.clone(), series: text.clone() };
        Selector::read(text).ok_or_else(bad)
    };
    let scrape = Scrape {
        ask: Scrape::ask(address(base, &metrics.path, check)?),
        by: address(base, metrics.by.as_deref().unwrap_or("/"), check)?,
        series: metrics.series.iter().map(wanted).collect::<Result<_, _>>()?,
        grows: metrics.grows.iter().map(wanted).collect::<Result<_, _>>()?,
    };
    Ok(rest(scrape.ask.url.clone(), Rest::Metrics(scrape)))
}

fn alerts<'a>(prometheus: Option<&'a Prometheus>, wanted: &'a Alerts, check: &Check) -> Prepared<'a> {
    let prometheus = known(prometheus, check)?;
    Ok((prometheus.at_path("query"), Question::Alerts { prometheus, wanted }))
}

fn promql<'a>(
    prometheus: Option<&'a Prometheus>,
    query: &'a str,
    bounds: &'a Bounds,
    check: &'a Check,
) -> Prepared<'a> {
    let prometheus = known(prometheus, check)?;
    let promql = Promql { prometheus, name: &check.name, query, bounds };
    Ok((prometheus.at_path("query"), Question::Promql(promql)))
}

fn known<'a>(prometheus: Option<&'a Prometheus>, check: &Check) -> Result<&'a Prometheus, SmokeError> {
    prometheus.ok_or_else(|| SmokeError::WherePrometheus(check.name.clone()))
}

fn addresses(base: &Url, paths: &[String], check: &Check) -> Result<Vec<Url>, SmokeError> {
    paths.iter().map(|path| address(base, path, check)).collect()
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

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
