//! Checks out of `shipkit.yml`. What this version cannot run is an error here, before anything is deployed.

use std::collections::BTreeSet;

use serde_json::Value;
use shipkit_core::ProjectPath;
use shipkit_core::Secret;
use shipkit_core::config::{self, BasisPoints, CheckKind, Config, Method, Request};
use shipkit_core::release::{Release, ServiceImage};

use crate::check::{Check, Expect, Http, Kind, READY_PATHS, Severity, Wanted};
use crate::error::SmokeError;
use crate::openapi::Api;

/// What a check of kind `release` compares with.
#[derive(Debug, Clone, Copy)]
pub enum Shipped<'a> {
    /// This release: each service has to say the revision that is recorded for its image.
    Release(&'a Release),
    /// A commit or version that somebody named.
    Named(&'a Wanted),
    /// Nobody said; a check of kind `release` is then an error.
    Unknown,
}

/// What checks refer to beside themselves.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// What a check of kind `release` compares with.
    pub shipped: Shipped<'a>,
    /// The environment variables.
    pub variables: &'a dyn Fn(&str) -> Option<Secret>,
    /// The bytes of a file beside the configuration.
    pub files: &'a dyn Fn(&ProjectPath) -> std::io::Result<Vec<u8>>,
}

/// The checks of an environment. Readiness is not among them: see [`ready_paths`].
///
/// # Errors
/// [`SmokeError::Unsupported`] with all that cannot be run; [`SmokeError::WhichService`] and
/// [`SmokeError::WhichRelease`] where it is not clear what a service should say. All are exit 2.
pub fn configured(wanted: &[config::Check], given: &Given<'_>) -> Result<Vec<Check>, SmokeError> {
    let unsupported: Vec<String> = wanted.iter().filter_map(unsupported).collect();
    if !unsupported.is_empty() {
        return Err(SmokeError::Unsupported(unsupported));
    }
    let converted = wanted.iter().map(|check| convert(check, &given.shipped));
    let mut checks: Vec<Check> = converted.collect::<Result<_, _>>()?;
    for (check, wanted) in checks.iter_mut().zip(wanted) {
        match (&mut check.kind, &wanted.kind, &wanted.expect.schema) {
            (Kind::Http(http), _, Some(file)) => http.expect.schema = Some(schema(wanted, file, given)?),
            (Kind::Openapi(api), CheckKind::Openapi(asked), _) => *api = described(wanted, asked, given)?,
            _ => {}
        }
    }
    let captured: Vec<String> = checks.iter().flat_map(Check::captures).cloned().collect();
    for check in &mut checks {
        let own: Vec<String> = check.names().into_iter().filter(|name| !captured.contains(name)).collect();
        let known = own.into_iter().filter_map(|name| Some((name.clone(), (given.variables)(&name)?)));
        if let Kind::Http(http) = &mut check.kind {
            http.variables = known.collect();
        } else if let Kind::Openapi(api) = &mut check.kind {
            api.variables = known.collect();
        }
    }
    Ok(checks)
}

/// What stands in a file with a schema, which is JSON.
fn schema(check: &config::Check, file: &ProjectPath, given: &Given<'_>) -> Result<Value, SmokeError> {
    let bytes = (given.files)(file).map_err(|error| unread(check, file.as_str(), error.to_string()))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| unread(check, file.as_str(), format!("it is no JSON: {error}")))
}

/// What stands in the description of an API.
fn described(check: &config::Check, asked: &config::Openapi, given: &Given<'_>) -> Result<Api, SmokeError> {
    let config::Openapi { file, send } = asked;
    let bad = |why: String| unread(check, file, why);
    let path = file.parse::<ProjectPath>().map_err(|error| bad(error.to_string()))?;
    let bytes = (given.files)(&path).map_err(|error| bad(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| bad(error.to_string()))?;
    let document = config::document(file, &text).map_err(|error| bad(error.to_string()))?;
    Api::read(&document, send.clone()).map_err(bad)
}

fn unread(check: &config::Check, file: &str, why: String) -> SmokeError {
    let line = u64::try_from(check.line).ok();
    SmokeError::File { check: check.name.clone(), line, file: file.into(), why }
}

/// Those of `some` that need nothing of the other checks of `all`.
#[must_use]
pub fn without_strangers(all: &[config::Check], mut some: Vec<config::Check>) -> Vec<config::Check> {
    let captured = |checks: &[config::Check]| -> BTreeSet<String> {
        checks.iter().filter_map(request).flat_map(|request| request.captures.keys().cloned()).collect()
    };
    loop {
        let count = some.len();
        let here = captured(&some);
        let strange: BTreeSet<String> = captured(all).difference(&here).cloned().collect();
        some.retain(|check| {
            let names = request(check).and_then(|request| http(check, request).names().ok());
            names.is_none_or(|names| names.is_disjoint(&strange))
        });
        if some.len() == count {
            return some;
        }
    }
}

fn request(check: &config::Check) -> Option<&Request> {
    if let CheckKind::Http(request) = &check.kind { Some(request) } else { None }
}

/// The paths to try for readiness: what the services say in `healthcheck.ready`, then the usual ones.
#[must_use]
pub fn ready_paths(config: &Config) -> Vec<String> {
    let stated = config.services.values().filter_map(|service| service.healthcheck.as_ref()?.ready.clone());
    let mut paths: Vec<String> = Vec::new();
    for path in stated.chain(READY_PATHS.map(str::to_owned)) {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// What this version cannot do in a check, with its line.
fn unsupported(check: &config::Check) -> Option<String> {
    let place = format!("(`{}`, line {})", check.name, check.line);
    if has_variables(check) {
        return Some(format!("`${{...}}` in `{}` {place}", check.kind.word()));
    }
    let what = match &check.kind {
        CheckKind::Http(request) => beyond_an_answer(check, request.method)?,
        CheckKind::Ws(_) => beyond_a_handshake(check)?,
        CheckKind::RateLimit(_) => beyond_a_burst(check)?,
        CheckKind::Release(_) => beyond_a_release(check)?,
        CheckKind::Tcp(_)
        | CheckKind::Dns(_)
        | CheckKind::Redirect { .. }
        | CheckKind::Tls(_)
        | CheckKind::SocketIo(_)
        | CheckKind::Page(_)
        | CheckKind::Caching(_)
        | CheckKind::Compression(_)
        | CheckKind::Cors(_)
        | CheckKind::SecurityHeaders(_)
        | CheckKind::Metrics(_)
        | CheckKind::Alerts(_)
        | CheckKind::Openapi(_) => without_answer(check)?,
        CheckKind::Promql(_) => beyond_values(check)?,
        CheckKind::Run(_) | CheckKind::Hurl(_) => beyond_time(check)?,
    };
    Some(format!("{what} {place}"))
}

/// Whether anything but a request has a variable where it is asked or in its headers: it would go out as it stands.
fn has_variables(check: &config::Check) -> bool {
    let texts: Vec<&String> = match &check.kind {
        CheckKind::Http(_)
        | CheckKind::Dns(_)
        | CheckKind::Tls(_)
        | CheckKind::Alerts(_)
        | CheckKind::Promql(_)
        | CheckKind::Openapi(_)
        | CheckKind::Run(_)
        | CheckKind::Hurl(_) => {
            return false;
        }
        CheckKind::Redirect { url, to } => to.iter().chain([url]).collect(),
        CheckKind::Cors(wanted) => vec![&wanted.path, &wanted.origin],
        CheckKind::SecurityHeaders(wanted) => wanted.paths.iter().collect(),
        CheckKind::Metrics(shown) => shown.by.iter().chain([&shown.path]).collect(),
        CheckKind::SocketIo(said) => {
            let told = said.auth.iter().chain(&said.emit).any(|value| value.to_string().contains("${"));
            return told || said.path.contains("${");
        }
        CheckKind::Page(text)
        | CheckKind::Caching(text)
        | CheckKind::Compression(text)
        | CheckKind::Ws(text)
        | CheckKind::Tcp(text)
        | CheckKind::RateLimit(text)
        | CheckKind::Release(config::Running { path: text, .. }) => {
            vec![text]
        }
    };
    let headers = check.headers.iter().filter_map(|header| header.value.as_ref()?.as_str());
    texts.into_iter().map(String::as_str).chain(headers).any(|text| text.contains("${"))
}

/// What is expected of an answer that this kind does not compare with it: it would only seem to be asked.
fn without_answer(check: &config::Check) -> Option<String> {
    let word = check.kind.word();
    if !check.headers.is_empty() {
        return Some(format!("`headers` of `{word}`"));
    }
    (check.expect != config::Expect::default()).then(|| format!("`expect` of `{word}`"))
}

/// What is expected of an answer that cannot show it: how quick others are is measured by reading again and again, and `HEAD` asks for
/// no body (RFC 9110 9.3.2).
fn beyond_an_answer(check: &config::Check, method: Method) -> Option<String> {
    let config::Expect {
        status: _,
        json,
        html,
        body,
        schema,
        p95,
        max_regress: _,
        errors,
        within: _,
        cookies: _,
        bounds: _,
    } = &check.expect;
    let is_headless = method == Method::Head;
    let given = [
        ("p95", p95.is_some() && method != Method::Get),
        ("errors", errors.is_some() && method != Method::Get),
        ("schema", schema.is_some() && is_headless),
        ("json", !json.is_empty() && is_headless),
        ("html", !html.is_empty() && is_headless),
        ("body", body.is_some() && is_headless),
    ];
    let (key, _) = given.into_iter().find(|(_, is_given)| *is_given)?;
    Some(format!("`expect.{key}` of `{}`", check.kind.word()))
}

/// What is expected of a handshake that its answer cannot show: it has no body, and there is one of it.
fn beyond_a_handshake(check: &config::Check) -> Option<String> {
    let config::Expect {
        status: _,
        json,
        html,
        body,
        schema,
        p95,
        max_regress: _,
        errors,
        within: _,
        cookies,
        bounds: _,
    } = &check.expect;
    let given = [
        ("json", !json.is_empty()),
        ("html", !html.is_empty()),
        ("body", body.is_some()),
        ("schema", schema.is_some()),
        ("p95", p95.is_some()),
        ("errors", errors.is_some()),
        ("cookies", !cookies.is_empty()),
    ];
    let (key, _) = given.into_iter().find(|(_, is_given)| *is_given)?;
    Some(format!("`expect.{key}` of `{}`", check.kind.word()))
}

/// What is said of a release that is waited for: until then, answers are bad.
fn beyond_a_release(check: &config::Check) -> Option<String> {
    let given = [
        ("expect.p95", check.expect.p95.is_some()),
        ("expect.errors", check.expect.errors.is_some()),
        ("flaky", check.flaky_fails),
    ];
    let (key, _) = given.into_iter().find(|(_, is_given)| *is_given)?;
    Some(format!("`{key}` of `release`"))
}

/// What a burst does not take: no one answer is what it is about, and a second burst would find the limit used up.
fn beyond_a_burst(check: &config::Check) -> Option<String> {
    let has_expect = check.expect != config::Expect::default();
    let given = [
        ("expect", has_expect),
        ("headers", !check.headers.is_empty()),
        ("retries", check.retries.is_some()),
        ("flaky", check.flaky_fails),
    ];
    let (key, _) = given.into_iter().find(|(_, is_given)| *is_given)?;
    Some(format!("`{key}` of `{}`", check.kind.word()))
}

/// What a program has not: it ends well or it does not, and in time.
fn beyond_time(check: &config::Check) -> Option<String> {
    let expect = config::Expect { within: None, ..check.expect.clone() };
    without_answer(&config::Check { expect, ..check.clone() })
}

/// What values of a query have not: they are no answer of the service.
fn beyond_values(check: &config::Check) -> Option<String> {
    let expect = config::Expect { bounds: config::Bounds::default(), ..check.expect.clone() };
    without_answer(&config::Check { expect, ..check.clone() })
}

fn convert(check: &config::Check, shipped: &Shipped<'_>) -> Result<Check, SmokeError> {
    let kind = match &check.kind {
        CheckKind::Http(request) => Kind::Http(http(check, request)),
        CheckKind::Release(config::Running { path, every_address }) => Kind::Release {
            path: path.clone(),
            wanted: wanted(check, shipped)?,
            every_address: *every_address,
        },
        CheckKind::Tcp(address) => Kind::Tcp { address: address.clone() },
        CheckKind::Dns(wanted) => Kind::Dns(wanted.clone()),
        CheckKind::Redirect { url, to } => Kind::Redirect { path: url.clone(), to: to.clone() },
        CheckKind::Tls(wanted) => Kind::Tls(wanted.clone()),
        CheckKind::Ws(path) => Kind::Ws { path: path.clone(), expect: expect(check) },
        CheckKind::SocketIo(said) => Kind::SocketIo(said.clone()),
        CheckKind::Page(path) => Kind::Page { path: path.clone() },
        CheckKind::Caching(path) => Kind::Caching { path: path.clone() },
        CheckKind::Compression(path) => Kind::Compression { path: path.clone() },
        CheckKind::Cors(wanted) => Kind::Cors(wanted.clone()),
        CheckKind::SecurityHeaders(wanted) => Kind::SecurityHeaders(wanted.clone()),
        CheckKind::RateLimit(path) => Kind::RateLimit { path: path.clone() },
        CheckKind::Alerts(alerts) => Kind::Alerts(alerts.clone()),
        CheckKind::Metrics(metrics) => Kind::Metrics(metrics.clone()),
        CheckKind::Promql(query) => {
            Kind::Promql { query: query.clone(), bounds: check.expect.bounds.clone() }
        }
        // Its file is read when all are known.
        CheckKind::Openapi(_) => Kind::Openapi(Api::default()),
        CheckKind::Run(command) => Kind::Run { command: command.clone(), within: check.expect.within },
        CheckKind::Hurl(patterns) => Kind::Hurl { patterns: patterns.clone(), within: check.expect.within },
    };
    // Nobody knows what a command does when it is run twice.
    let usual = if matches!(kind, Kind::Run { .. } | Kind::Hurl { .. }) { 0 } else { 2 };
    let retries = check.retries.map_or(usual, |retries| u32::try_from(retries).unwrap_or(u32::MAX));
    let line = u64::try_from(check.line).ok();
    let severity = if check.only_warns { Severity::Warn } else { Severity::Gate };
    let flaky_fails = check.flaky_fails;
    Ok(Check { name: check.name.clone(), kind, severity, flaky_fails, retries, line })
}

fn http(check: &config::Check, request: &Request) -> Http {
    let Request { method, url, send, body, captures } = request.clone();
    Http { method, path: url, headers: send, body, expect: expect(check), captures, ..Http::default() }
}

fn expect(check: &config::Check) -> Expect {
    let headers = check.headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect();
    let config::Expect {
        status,
        json,
        html,
        body,
        schema: _,
        p95,
        max_regress,
        errors,
        within,
        cookies,
        bounds: _,
    } = check.expect.clone();
    let max_regress = max_regress.and_then(|factor| factor.as_f64());
    let errors = errors.map(|BasisPoints(points)| f64::from(points) / 1e4);
    Expect { status, headers, json, html, body, schema: None, within, p95, max_regress, errors, cookies }
}

/// What the service of the check should say: the revision and the version of its own image, which are older than the
/// release's where the service did not change, and where a git tag only names the image again.
fn wanted(check: &config::Check, shipped: &Shipped<'_>) -> Result<Wanted, SmokeError> {
    let release = match shipped {
        Shipped::Release(release) => release,
        Shipped::Named(wanted) => return Ok((*wanted).clone()),
        Shipped::Unknown => return Err(SmokeError::WhichRelease(check.name.clone())),
    };
    let mut services = release.services.values();
    let image: Option<&ServiceImage> = match (&check.service, services.next(), services.next()) {
        (Some(name), ..) => release.services.get(name),
        (None, only, None) => only,
        (None, _, Some(_)) => None,
    };
    let image = image.ok_or_else(|| SmokeError::WhichService {
        check: check.name.clone(),
        services: release.services.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    })?;
    // Releases of before do not say as what an image was built.
    let of_release = || (image.revision == release.commit).then(|| release.version.clone());
    let version = image.version.clone().or_else(of_release);
    Ok(Wanted { revision: Some(image.revision.clone()), version })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shipkit_core::Digest;
    use shipkit_core::config::{Capture, Statuses};
    use std::collections::BTreeMap;

    const UNKNOWN: Given<'_> = Given {
        shipped: Shipped::Unknown,
        variables: &|_| None,
        files: &|_| Err(std::io::ErrorKind::NotFound.into()),
    };

    fn check(kind: CheckKind, service: Option<&str>) -> config::Check {
        config::Check {
            name: "c".to_owned(),
            service: service.map(str::to_owned),
            kind,
            headers: Vec::new(),
            expect: config::Expect::default(),
            retries: None,
            writes: false,
            only_warns: false,
            flaky_fails: false,
            line: 7,
        }
    }

    fn running() -> CheckKind {
        CheckKind::Release(config::Running { path: "/version".to_owned(), every_address: true })
    }

    fn release(services: &[(&str, &str)]) -> Release {
        let image = |name: &str, revision: &str| ServiceImage {
            key: None,
            created: None,
            bases: BTreeMap::new(),
            repository: format!("ghcr.io/a/{name}").parse().unwrap(),
            digest: Digest::of(name.as_bytes()),
            media_type: "x".to_owned(),
            platforms: BTreeMap::new(),
            revision: revision.to_owned(),
            version: None,
        };
        Release {
            name: "shop".to_owned(),
            version: "1.4.0".to_owned(),
            commit: "new".to_owned(),
            git_ref: "refs/heads/main".to_owned(),
            created: jiff::Timestamp::UNIX_EPOCH,
            run: None,
            services: services
                .iter()
                .map(|(name, revision)| ((*name).to_owned(), image(name, revision)))
                .collect(),
            tags: shipkit_core::release::PublishTags::default(),
        }
    }

    fn asks(
        release: &Release,
        service: Option<&str>,
    ) -> Result<(Option<String>, Option<String>), SmokeError> {
        let checks = [check(running(), service)];
        let converted = configured(&checks, &Given { shipped: Shipped::Release(release), ..UNKNOWN })?;
        let Kind::Release { wanted, every_address: true, .. } = &converted[0].kind else {
            panic!("another kind")
        };
        Ok((wanted.revision.clone(), wanted.version.clone()))
    }

    #[test]
    fn what_only_warns_is_no_gate() {
        let gate = check(CheckKind::Http(Request::default()), None);
        let warns = config::Check { only_warns: true, ..gate.clone() };
        let converted = configured(&[gate, warns], &UNKNOWN).unwrap();
        assert_eq!([converted[0].severity, converted[1].severity], [Severity::Gate, Severity::Warn]);
    }

    #[test]
    fn everything_that_cannot_run_is_named_at_once() {
        let ask = |method| CheckKind::Http(Request { method, url: "/".to_owned(), ..Request::default() });
        let mut slow = check(ask(Method::Post), None);
        slow.expect.p95 = Some(std::time::Duration::from_secs(1));
        let get = config::Check { kind: ask(Method::Get), ..slow.clone() };
        let mut head = check(ask(Method::Head), None);
        head.expect.body = Some("x".into());
        let mut run = check(CheckKind::Run("x".to_owned()), None);
        run.expect.within = Some(std::time::Duration::from_secs(1));
        run.expect.body = Some("x".into());
        let error = configured(&[run, slow, get, head], &UNKNOWN).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this version cannot run `expect` of `run` (`c`, line 7), `expect.p95` of `post` (`c`, line 7), \
             `expect.body` of `head` (`c`, line 7)"
        );
    }

    /// A request to `/${path}` that captures `captures`.
    fn uses(path: &str, captures: &str) -> config::Check {
        let captures =
            captures.split_whitespace().map(|name| (name.to_owned(), Capture::Json("$".to_owned())));
        let (url, captures) = (format!("/${{{path}}}"), captures.collect());
        check(CheckKind::Http(Request { url, captures, ..Request::default() }), None)
    }

    #[test]
    fn what_no_check_captures_is_an_environment_variable() {
        let given = Given { variables: &|name| Some(Secret::from(format!("env {name}"))), ..UNKNOWN };
        let found = configured(&[uses("token", "a"), uses("TOKEN", "token")], &given).unwrap();
        let variables = |check: &Check| {
            let Kind::Http(http) = &check.kind else { panic!("another kind") };
            http.variables
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.reveal()))
                .collect::<Vec<_>>()
        };
        assert!(variables(&found[0]).is_empty());
        assert_eq!(variables(&found[1]), ["TOKEN: env TOKEN"]);
        let ws = check(CheckKind::Ws("/${room}".to_owned()), None);
        let error = configured(&[ws], &given).unwrap_err();
        assert_eq!(error.to_string(), "this version cannot run `${...}` in `ws` (`c`, line 7)");
    }

    #[test]
    fn who_needs_a_check_that_is_not_asked_is_not_asked_either() {
        let all =
            [uses("x", "a"), uses("a", "b"), uses("b", "c"), uses("c", ""), uses("y", "z"), uses("z", "")];
        let paths = |checks: Vec<config::Check>| {
            checks.iter().map(|check| request(check).unwrap().url.clone()).collect::<Vec<_>>()
        };
        assert_eq!(paths(without_strangers(&all, all.to_vec())).len(), 6);
        assert_eq!(paths(without_strangers(&all, all[1..].to_vec())), ["/${y}", "/${z}"]);
    }

    #[test]
    fn of_a_handshake_only_its_answer_can_be_expected() {
        let mut ws = check(CheckKind::Ws("/socket".to_owned()), None);
        ws.expect.status = Statuses::one(401);
        ws.headers.push(config::WantedHeader { name: "x".to_owned(), value: None });
        let converted = configured(std::slice::from_ref(&ws), &UNKNOWN).unwrap();
        let headers = BTreeMap::from([("x".to_owned(), None)]);
        let expect = Expect { status: Statuses::one(401), headers, ..Expect::default() };
        assert_eq!(converted[0].kind, Kind::Ws { path: "/socket".to_owned(), expect });
        ws.expect.body = Some("hello".into());
        let error = configured(&[ws], &UNKNOWN).unwrap_err();
        assert_eq!(error.to_string(), "this version cannot run `expect.body` of `ws` (`c`, line 7)");
    }

    #[test]
    fn of_a_burst_nothing_can_be_expected() {
        let burst = check(CheckKind::RateLimit("/api".to_owned()), None);
        let converted = configured(std::slice::from_ref(&burst), &UNKNOWN).unwrap();
        assert_eq!(converted[0].kind, Kind::RateLimit { path: "/api".to_owned() });
        let expect = config::Expect { status: Statuses::one(503), ..config::Expect::default() };
        let header = config::WantedHeader { name: "retry-after".to_owned(), value: None };
        let beyond = [
            config::Check { expect, ..burst.clone() },
            config::Check { headers: vec![header], ..burst.clone() },
            config::Check { retries: Some(1), ..burst.clone() },
            config::Check { flaky_fails: true, ..burst },
        ];
        let error = configured(&beyond, &UNKNOWN).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this version cannot run `expect` of `rate_limit` (`c`, line 7), `headers` of `rate_limit` (`c`, line 7), \
             `retries` of `rate_limit` (`c`, line 7), `flaky` of `rate_limit` (`c`, line 7)"
        );
    }

    #[test]
    fn of_a_query_only_its_values_can_be_expected() {
        let mut query = check(CheckKind::Promql("up".to_owned()), None);
        query.expect.bounds.samples = Some(2);
        let bounds = query.expect.bounds.clone();
        let converted = configured(std::slice::from_ref(&query), &UNKNOWN).unwrap();
        assert_eq!(converted[0].kind, Kind::Promql { query: "up".to_owned(), bounds });
        query.expect.status = Statuses::one(200);
        let error = configured(&[query], &UNKNOWN).unwrap_err();
        assert_eq!(error.to_string(), "this version cannot run `expect` of `promql` (`c`, line 7)");
    }

    #[test]
    fn what_has_no_answer_to_compare_expects_none() {
        let tcp = || check(CheckKind::Tcp("db:5432".to_owned()), None);
        let redirect = CheckKind::Redirect { url: "/a".to_owned(), to: Some("/b".to_owned()) };
        let converted = configured(&[tcp(), check(redirect, None)], &UNKNOWN).unwrap();
        assert_eq!(converted[0].kind, Kind::Tcp { address: "db:5432".to_owned() });
        let redirect = Kind::Redirect { path: "/a".to_owned(), to: Some("/b".to_owned()) };
        assert_eq!(converted[1].kind, redirect);
        let shown = config::Exposition { path: "/metrics".to_owned(), ..config::Exposition::default() };
        let converted = configured(&[check(CheckKind::Metrics(shown.clone()), None)], &UNKNOWN).unwrap();
        assert_eq!(converted[0].kind, Kind::Metrics(shown));
        let alerts = config::Alerts { jobs: vec!["api".to_owned()], ..config::Alerts::default() };
        let converted = configured(&[check(CheckKind::Alerts(alerts.clone()), None)], &UNKNOWN).unwrap();
        assert_eq!(converted[0].kind, Kind::Alerts(alerts));
        let mut expects = tcp();
        expects.expect.status = Statuses::one(200);
        let mut has_headers = tcp();
        has_headers.headers.push(config::WantedHeader { name: "x".to_owned(), value: None });
        let error = configured(&[expects, has_headers], &UNKNOWN).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this version cannot run `expect` of `tcp` (`c`, line 7), `headers` of `tcp` (`c`, line 7)"
        );
    }

    #[test]
    fn a_service_that_did_not_change_keeps_its_revision_and_its_version_is_not_compared() {
        let release = release(&[("api", "new"), ("web", "old")]);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(asks(&release, Some("api")).unwrap(), (text("new"), text("1.4.0")));
        assert_eq!(asks(&release, Some("web")).unwrap(), (text("old"), None));
    }

    #[test]
    fn an_image_is_asked_for_the_version_that_it_was_built_as() {
        let mut release = release(&[("api", "new"), ("web", "old")]);
        let text = |text: &str| Some(text.to_owned());
        for image in release.services.values_mut() {
            image.version = text("1.3.1-main.2.g0123");
        }
        assert_eq!(asks(&release, Some("api")).unwrap(), (text("new"), text("1.3.1-main.2.g0123")));
        assert_eq!(asks(&release, Some("web")).unwrap(), (text("old"), text("1.3.1-main.2.g0123")));
    }

    #[test]
    fn which_service_must_be_said_where_there_are_several() {
        let several = release(&[("api", "new"), ("web", "old")]);
        assert!(matches!(asks(&several, None), Err(SmokeError::WhichService { .. })));
        assert!(matches!(asks(&several, Some("db")), Err(SmokeError::WhichService { .. })));
        assert!(asks(&release(&[("api", "new")]), None).is_ok());
        let one = check(running(), None);
        assert!(matches!(configured(std::slice::from_ref(&one), &UNKNOWN), Err(SmokeError::WhichRelease(_))));
        let flaky = configured(&[config::Check { flaky_fails: true, ..one }], &UNKNOWN).unwrap_err();
        assert_eq!(flaky.to_string(), "this version cannot run `flaky` of `release` (`c`, line 7)");
    }
}
