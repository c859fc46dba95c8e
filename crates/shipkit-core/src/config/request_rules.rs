//! Rules about what checks send.

use super::check::{Check, CheckKind};
use super::raw_check::RawCheck;
use super::resolve::{Context, list};
use super::types::{Config, Environment};
use super::yaml::join;

/// The keys of requests belong to requests, and a body to those that may have one.
pub(super) fn keys(context: &mut Context<'_>, path: &str, raw: &RawCheck, kind: &CheckKind) {
    let request = if let CheckKind::Http(request) = kind { Some(request) } else { None };
    let is_unsafe = request.is_some_and(|request| !request.method.is_safe());
    let sends = request.is_some() || matches!(kind, CheckKind::Openapi(_));
    let writes = is_unsafe || is_program(kind);
    let (unsafe_ones, all_that_write, all, all_that_send) = (
        "`post`, `put`, `patch` and `delete`",
        "`post`, `put`, `patch`, `delete`, `run` and `hurl`",
        "`get`, `head`, `options`, `post`, `put`, `patch` and `delete`",
        "`get`, `head`, `options`, `post`, `put`, `patch`, `delete` and `openapi`",
    );
    for (key, is_given, belongs, owners) in [
        ("body", raw.body.is_some(), is_unsafe, unsafe_ones),
        ("writes", raw.writes.is_some(), writes, all_that_write),
        ("send", raw.send.is_some(), sends, all_that_send),
        ("capture", raw.capture.is_some(), request.is_some(), all),
    ] {
        if is_given && !belongs {
            context.wrong_key(&join(path, key), format!("`{key}` belongs to {owners}"), None);
        }
    }
    let Some(cookies) = raw.expect.as_ref().and_then(|expect| expect.cookies.as_ref()) else { return };
    let path = join(path, "expect.cookies");
    if request.is_none() {
        context.wrong_key(&path, format!("`cookies` belongs to {all}"), None);
    }
    let names = list(Some(cookies));
    if names.is_empty() {
        context.wrong(&path, "no cookie is named", Some("name the one that a login sets"));
    }
    for name in names.iter().filter(|name| !is_cookie(name)) {
        context.wrong(&path, format!("`{name}` is no name of a cookie"), None);
    }
}

/// A token (RFC 9110 5.6.2) in the sense of RFC 6265 4.1.1, as far as what is often mistaken for one.
fn is_cookie(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '=' || c == ';' || c.is_whitespace() || c.is_control())
}

/// What it does nobody knows.
fn is_program(kind: &CheckKind) -> bool {
    matches!(kind, CheckKind::Run(_) | CheckKind::Hurl(_))
}

/// What may change something is asked where people are only if the check says that it may.
pub(super) fn writes(
    context: &mut Context<'_>,
    path: &str,
    check: &Check,
    environment: &Environment,
    config: &Config,
) {
    let changes = is_program(&check.kind)
        || matches!(&check.kind, CheckKind::Http(request) if !request.method.is_safe());
    if !changes || check.writes || !config.is_production(&environment.name) {
        return;
    }
    let key = check.kind.word();
    let message = format!("`{key}` may change something, and people use `{}`", environment.name);
    let hint = "say `writes: true` in the check if it may, or leave it to an environment before";
    context.wrong_key(&join(path, key), message, Some(hint));
}
