//! `Asked`: a check with everything that can be known before anything is sent.

use serde_json::Value;
use shipkit_core::config::{self, Profile, SecurityHeaders};
use url::Url;

use super::burst::BUDGET;
use crate::check::{Check, Expect, Http, Kind, Method, Wanted};
use crate::client::{self, Ask};
use crate::error::SmokeError;
use crate::redirect::{Route, To};
use crate::socketio::{Talk, Transport};
use crate::tcp::Endpoint;
use crate::tls::Target;
use crate::websocket;

/// The stages of a run in order.
pub(super) const STAGES: [Stage; 4] = [Stage::Ready, Stage::Release, Stage::Rest, Stage::Burst];

/// When a check is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Ready,
    Release,
    Rest,
    /// After all others, which would be refused, too.
    Burst,
}

/// A check, and the question in it.
pub(super) struct Asked<'a> {
    pub(super) check: &'a Check,
    /// What is asked, or asked first.
    pub(super) url: Url,
    pub(super) question: Question<'a>,
}

pub(super) enum Question<'a> {
    Ready { urls: Vec<Url> },
    Release { url: Url, wanted: &'a Wanted },
    Rest(Rest<'a>),
    Burst { ask: Ask },
}

/// What is asked once, and again only as often as the check says.
pub(super) enum Rest<'a> {
    Http { ask: Ask, expect: &'a Expect },
    Tcp(Endpoint),
    Redirect(Route),
    Tls(Box<Target>),
    Ws { ask: Ask, expect: &'a Expect },
    SocketIo(Talk),
    Page(Url),
    SecurityHeaders { profile: Profile, root: Url, urls: Vec<Url> },
}

/// Resolves every address and header.
pub(super) fn prepare<'a>(
    base: &Url,
    checks: impl IntoIterator<Item = &'a Check>,
) -> Result<Vec<Asked<'a>>, SmokeError> {
    checks.into_iter().map(|check| prepare_one(base, check)).collect()
}

fn prepare_one<'a>(base: &Url, check: &'a Check) -> Result<Asked<'a>, SmokeError> {
    let (url, question) = match &check.kind {
        Kind::Ready { paths } => {
            let urls = addresses(base, paths, check)?;
            let first = urls.first().ok_or_else(|| SmokeError::Address {
                check: check.name.clone(),
                address: String::new(),
                why: "there is no path to ask".to_owned(),
            })?;
            (first.clone(), Question::Ready { urls })
        }
        Kind::Release { wanted, .. } if *wanted == Wanted::default() => {
            return Err(SmokeError::WhichRelease(check.name.clone()));
        }
        Kind::Release { path, wanted } => {
            let url = address(base, path, check)?;
            (url.clone(), Question::Release { url, wanted })
        }
        Kind::Http(http) => {
            let ask = request(base, check, http)?;
            (ask.url.clone(), Question::Rest(Rest::Http { ask, expect: &http.expect }))
        }
        Kind::Tcp { address } => {
            let (url, endpoint) = endpoint(address, check)?;
            (url, Question::Rest(Rest::Tcp(endpoint)))
        }
        Kind::Redirect { path, to } => {
            let route = route(base, path, to.as_deref(), check)?;
            (route.asked.clone(), Question::Rest(Rest::Redirect(route)))
        }
        Kind::Tls(wanted) => {
            let address = || harmless(base).to_string();
            let no_tls = || SmokeError::NoTls { check: check.name.clone(), address: address() };
            let target = Target::of(base, wanted).ok_or_else(no_tls)?;
            (base.clone(), Question::Rest(Rest::Tls(Box::new(target))))
        }
        Kind::Ws { path, expect } => {
            let ask = handshake(base, check, path)?;
            (ask.url.clone(), Question::Rest(Rest::Ws { ask, expect }))
        }
        Kind::SocketIo(said) => {
            let config::SocketIo { path, namespace, auth, emit } = said.clone();
            let talk = Talk { url: address(base, &path, check)?, namespace, auth, emit };
            (talk.url.clone(), Question::Rest(Rest::SocketIo(talk)))
        }
        Kind::Page { path } => {
            let url = address(base, path, check)?;
            (url.clone(), Question::Rest(Rest::Page(url)))
        }
        Kind::SecurityHeaders(SecurityHeaders { profile, paths }) => {
            let urls = addresses(base, paths, check)?;
            let root = address(base, "/", check)?;
            (root.clone(), Question::Rest(Rest::SecurityHeaders { profile: *profile, root, urls }))
        }
        Kind::RateLimit { path } => {
            let ask = Ask::get(address(base, path, check)?);
            (ask.url.clone(), Question::Burst { ask })
        }
    };
    Ok(Asked { check, url, question })
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

fn endpoint(address: &str, check: &Check) -> Result<(Url, Endpoint), SmokeError> {
    let bad = || SmokeError::Endpoint { check: check.name.clone(), address: address.to_owned() };
    let endpoint = Endpoint::read(address).ok_or_else(bad)?;
    let url = Url::parse(&format!("tcp://{endpoint}")).ok().ok_or_else(bad)?;
    Ok((url, endpoint))
}

fn request(base: &Url, check: &Check, http: &Http) -> Result<Ask, SmokeError> {
    let mut headers = client::headers(&check.name, &http.headers)?;
    let body = http.body.as_ref().map(|body| match body {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            let json = http::HeaderValue::from_static("application/json");
            headers.entry(http::header::CONTENT_TYPE).or_insert(json);
            body.to_string()
        }
    });
    Ok(Ask { method: http.method, url: address(base, &http.path, check)?, headers, body })
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

/// A handshake but for its key. `ws` and `wss` are the schemes of `http` and `https` (RFC 6455 3).
fn handshake(base: &Url, check: &Check, path: &str) -> Result<Ask, SmokeError> {
    let rest = path.strip_prefix("ws").filter(|rest| rest.starts_with("://") || rest.starts_with("s://"));
    let url = match rest {
        Some(rest) => address(base, &format!("http{rest}"), check)?,
        None => address(base, path, check)?,
    };
    Ok(Ask { headers: websocket::handshake(), ..Ask::get(url) })
}

impl Question<'_> {
    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Ready { .. } => Stage::Ready,
            Self::Release { .. } => Stage::Release,
            Self::Rest(_) => Stage::Rest,
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
            | Self::Rest(Rest::Page(_) | Rest::SecurityHeaders { .. }) => format!("{curl} {url}"),
            Self::Rest(Rest::Http { ask, .. }) => format!("{curl}{} {url}", flags(ask)),
            Self::Rest(Rest::Redirect(_)) => format!("{curl} -L --max-redirs 3 {url}"),
            Self::Rest(Rest::Tls(target)) => target.repeat(),
            Self::Rest(Rest::Tcp(Endpoint { host, port })) => format!("nc -vz -w 5 {} {port}", quoted(host)),
            Self::Rest(Rest::Ws { ask, .. }) => format!("{curl} --http1.1{} {url}", handshake_flags(ask)),
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

fn flags(ask: &Ask) -> String {
    let method = match ask.method {
        Method::Get => "",
        Method::Post => " -X POST",
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
