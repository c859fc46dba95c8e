//! What one entry of `smoke` must fulfil to make sense.

use super::check::{Check, CheckKind, Exposition, Openapi, Running};
use super::error::list;
use super::metric_rules;
use super::raw_check::RawCheck;
use super::request::Request;
use super::request_rules;
use super::resolve::Context;
use super::rules::{is_address, known_service};
use super::types::Config;
use super::yaml::join;

/// What each kind of check is given.
pub(super) fn check(context: &mut Context<'_>, path: &str, check: &Check, config: &Config) {
    if let Some(service) = &check.service {
        known_service(context, &join(path, "service"), service, config);
    }
    metric_rules::check(context, path, check);
    let (what, fits, hint) = match &check.kind {
        CheckKind::Http(Request { url, .. })
        | CheckKind::RateLimit(url)
        | CheckKind::Page(url)
        | CheckKind::Caching(url)
        | CheckKind::Compression(url)
        | CheckKind::Release(Running { path: url, .. })
        | CheckKind::Metrics(Exposition { path: url, .. })
        | CheckKind::Redirect { url, .. } => {
            (url, is_address(url), "write a path (`/health`) or `https://...`")
        }
        CheckKind::Cors(wanted) => {
            web_origin(context, path, &wanted.origin);
            (&wanted.path, is_address(&wanted.path), "write a path (`/api`) or `https://...`")
        }
        CheckKind::SocketIo(said) => {
            namespace(context, path, &said.namespace);
            (&said.path, is_address(&said.path), "write a path (`/socket.io/`) or `https://...`")
        }
        CheckKind::Ws(url) => {
            let fits = url.starts_with('/') || url.starts_with("ws://") || url.starts_with("wss://");
            (url, fits, "write a path (`/socket`) or `wss://...`")
        }
        CheckKind::Tcp(address) => {
            let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
            (
                address,
                port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port != 0)),
                "write `host:port`",
            )
        }
        CheckKind::Promql(text) | CheckKind::Openapi(Openapi { file: text, .. }) | CheckKind::Run(text) => {
            (text, !text.trim().is_empty(), "it may not be empty")
        }
        CheckKind::Hurl(patterns) => match patterns.iter().find(|pattern| pattern.trim().is_empty()) {
            Some(bad) => (bad, false, "name files: `tests/*.hurl`"),
            None => return,
        },
        CheckKind::Tls(_) | CheckKind::Alerts(_) | CheckKind::Dns(_) => return,
        CheckKind::SecurityHeaders(wanted) => match wanted.paths.iter().find(|path| !is_address(path)) {
            Some(bad) => (bad, false, "write a path (`/health`) or `https://...`"),
            None => return,
        },
    };
    if !fits {
        let path = join(path, check.kind.word());
        context.wrong(&path, format!("`{what}` cannot be asked"), Some(hint));
    }
}

/// Browsers send scheme, host and port, and nothing else (RFC 6454 6.1).
fn web_origin(context: &mut Context<'_>, path: &str, origin: &str) {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")).unwrap_or_default();
    let is_one = !host.is_empty() && !host.contains(['/', '?', '#', '@', '*', ' ']);
    if !is_one || origin.contains(char::is_uppercase) {
        let hint = Some("write it as browsers do, such as `https://app.example.com`");
        context.wrong(&format!("{path}.cors.origin"), format!("`{origin}` is no origin"), hint);
    }
}

/// A comma ends the name of a namespace in a packet, and a query is not part of it.
fn namespace(context: &mut Context<'_>, path: &str, name: &str) {
    if !name.starts_with('/') || name.contains([',', '?']) {
        let path = format!("{path}.socketio.namespace");
        context.wrong(&path, format!("`{name}` is no namespace"), Some("write one such as `/chat`"));
    }
}

/// Exactly one kind in an entry, and `body` and `to` only where they mean something.
pub(super) fn one_kind(context: &mut Context<'_>, path: &str, raw: &RawCheck, kinds: &[CheckKind]) {
    let words: Vec<&str> = kinds.iter().map(CheckKind::word).collect();
    match words.as_slice() {
        [] => {
            let all = "one of `get`, `head`, `options`, `post`, `put`, `patch`, `delete`, `ws`, `socketio`, `tcp`, `dns`, `tls`, `redirect`, \
                       `page`, `caching`, `compression`, `cors`, `security_headers`, `metrics`, `alerts`, `promql`, `openapi`, `rate_limit`, `run`, `hurl` and `release` is needed";
            context.wrong_key(path, "the check asks nothing", Some(all));
        }
        [one] => {
            if raw.to.is_some() && *one != "redirect" {
                context.wrong_key(&join(path, "to"), "`to` belongs to `redirect`", None);
            }
            for kind in kinds {
                request_rules::keys(context, path, raw, kind);
            }
            metric_rules::belongs(context, path, raw, one);
        }
        several => {
            let message = format!("one check asks several things: {}", list(several));
            context.wrong_key(path, message, Some("make an entry of each"));
        }
    }
}
