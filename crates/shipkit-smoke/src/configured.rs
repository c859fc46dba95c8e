//! Checks out of `shipkit.yml`. What this version cannot run is an error here, before anything is deployed.

use shipkit_core::config::{self, CheckKind, Config};
use shipkit_core::release::{Release, ServiceImage};

use crate::check::{Check, Expect, Http, Kind, Method, READY_PATHS, Severity, Wanted};
use crate::error::SmokeError;

/// What a check of kind `release` compares with.
#[derive(Debug, Clone)]
pub enum Shipped<'a> {
    /// This release: each service has to say the revision that is recorded for its image.
    Release(&'a Release),
    /// A commit or version that somebody named.
    Named(Wanted),
    /// Nobody said; a check of kind `release` is then an error.
    Unknown,
}

/// The checks of an environment. Readiness is not among them: see [`ready_paths`].
///
/// # Errors
/// [`SmokeError::Unsupported`] with all that cannot be run; [`SmokeError::WhichService`] and
/// [`SmokeError::WhichRelease`] where it is not clear what a service should say. All are exit 2.
pub fn configured(checks: &[config::Check], shipped: &Shipped<'_>) -> Result<Vec<Check>, SmokeError> {
    let unsupported: Vec<String> = checks.iter().filter_map(unsupported).collect();
    if !unsupported.is_empty() {
        return Err(SmokeError::Unsupported(unsupported));
    }
    checks.iter().filter_map(|check| convert(check, shipped).transpose()).collect()
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
    let what = match &check.kind {
        CheckKind::Get(_) => return None,
        CheckKind::Ws(_) => beyond_a_handshake(check)?,
        CheckKind::RateLimit(_) => beyond_a_burst(check)?,
        CheckKind::Post { .. } | CheckKind::Release(_) => {
            check.expect.p95.map(|_| format!("`expect.p95` of `{}`", check.kind.word()))?
        }
        CheckKind::Tcp(_)
        | CheckKind::Redirect { .. }
        | CheckKind::Tls(_)
        | CheckKind::SocketIo(_)
        | CheckKind::Page(_)
        | CheckKind::SecurityHeaders(_) => without_answer(check)?,
        CheckKind::Promql(_) | CheckKind::Openapi(_) | CheckKind::Run(_) => {
            format!("`{}`", check.kind.word())
        }
    };
    Some(format!("{what} (`{}`, line {})", check.name, check.line))
}

/// What is expected of an answer that this kind does not compare with it: it would only seem to be asked.
fn without_answer(check: &config::Check) -> Option<String> {
    let word = check.kind.word();
    if !check.headers.is_empty() {
        return Some(format!("`headers` of `{word}`"));
    }
    (check.expect != config::Expect::default()).then(|| format!("`expect` of `{word}`"))
}

/// What is expected of a handshake that its answer cannot show: it has no body, and there is one of it.
fn beyond_a_handshake(check: &config::Check) -> Option<String> {
    let config::Expect { status: _, json, body, p95, within: _ } = &check.expect;
    let given = [("json", !json.is_empty()), ("body", body.is_some()), ("p95", p95.is_some())];
    let (key, _) = given.into_iter().find(|(_, is_given)| *is_given)?;
    Some(format!("`expect.{key}` of `{}`", check.kind.word()))
}

/// What a burst does not take: no one answer is what it is about, and a second burst would find the limit used up.
fn beyond_a_burst(check: &config::Check) -> Option<String> {
    let has_expect = check.expect != config::Expect::default();
    let given = [
        ("expect", has_expect),
        ("headers", !check.headers.is_empty()),
        ("retries", check.retries.is_some()),
    ];
    let (key, _) = given.into_iter().find(|(_, is_given)| *is_given)?;
    Some(format!("`{key}` of `{}`", check.kind.word()))
}

/// `None` for kinds that [`unsupported`] has refused.
fn convert(check: &config::Check, shipped: &Shipped<'_>) -> Result<Option<Check>, SmokeError> {
    let kind = match &check.kind {
        CheckKind::Get(path) => request(check, Method::Get, path, None),
        CheckKind::Post { url, body } => request(check, Method::Post, url, body.clone()),
        CheckKind::Release(path) => Kind::Release { path: path.clone(), wanted: wanted(check, shipped)? },
        CheckKind::Tcp(address) => Kind::Tcp { address: address.clone() },
        CheckKind::Redirect { url, to } => Kind::Redirect { path: url.clone(), to: to.clone() },
        CheckKind::Tls(wanted) => Kind::Tls(wanted.clone()),
        CheckKind::Ws(path) => Kind::Ws { path: path.clone(), expect: expect(check) },
        CheckKind::SocketIo(said) => Kind::SocketIo(said.clone()),
        CheckKind::Page(path) => Kind::Page { path: path.clone() },
        CheckKind::SecurityHeaders(wanted) => Kind::SecurityHeaders(wanted.clone()),
        CheckKind::RateLimit(path) => Kind::RateLimit { path: path.clone() },
        CheckKind::Promql(_) | CheckKind::Openapi(_) | CheckKind::Run(_) => return Ok(None),
    };
    let retries = check.retries.map_or(2, |retries| u32::try_from(retries).unwrap_or(u32::MAX));
    let line = u64::try_from(check.line).ok();
    let severity = if check.only_warns { Severity::Warn } else { Severity::Gate };
    Ok(Some(Check { name: check.name.clone(), kind, severity, retries, line }))
}

fn request(check: &config::Check, method: Method, path: &str, body: Option<serde_json::Value>) -> Kind {
    Kind::Http(Http { method, path: path.to_owned(), body, expect: expect(check), ..Http::default() })
}

fn expect(check: &config::Check) -> Expect {
    let headers = check.headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect();
    let config::Expect { status, json, body, p95, within } = check.expect.clone();
    Expect { status, headers, json, body, within, p95 }
}

/// What the service of the check should say: the revision and the version of its own image, which are older than the
/// release's where the service did not change, and where a git tag only names the image again.
fn wanted(check: &config::Check, shipped: &Shipped<'_>) -> Result<Wanted, SmokeError> {
    let release = match shipped {
        Shipped::Release(release) => release,
        Shipped::Named(wanted) => return Ok(wanted.clone()),
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
    use std::collections::BTreeMap;

    fn check(kind: CheckKind, service: Option<&str>) -> config::Check {
        config::Check {
            name: "c".to_owned(),
            service: service.map(str::to_owned),
            kind,
            headers: Vec::new(),
            expect: config::Expect::default(),
            retries: None,
            only_warns: false,
            line: 7,
        }
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
        let checks = [check(CheckKind::Release("/version".to_owned()), service)];
        let converted = configured(&checks, &Shipped::Release(release))?;
        let Kind::Release { wanted, .. } = &converted[0].kind else { panic!("another kind") };
        Ok((wanted.revision.clone(), wanted.version.clone()))
    }

    #[test]
    fn what_only_warns_is_no_gate() {
        let gate = check(CheckKind::Get("/".to_owned()), None);
        let warns = config::Check { only_warns: true, ..gate.clone() };
        let converted = configured(&[gate, warns], &Shipped::Unknown).unwrap();
        assert_eq!([converted[0].severity, converted[1].severity], [Severity::Gate, Severity::Warn]);
    }

    #[test]
    fn everything_that_cannot_run_is_named_at_once() {
        let mut slow = check(CheckKind::Post { url: "/".to_owned(), body: None }, None);
        slow.expect.p95 = Some(std::time::Duration::from_secs(1));
        let get = config::Check { kind: CheckKind::Get("/".to_owned()), ..slow.clone() };
        let error = configured(&[check(CheckKind::Run("x".to_owned()), None), slow, get], &Shipped::Unknown)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "this version cannot run `run` (`c`, line 7), `expect.p95` of `post` (`c`, line 7)"
        );
    }

    #[test]
    fn of_a_handshake_only_its_answer_can_be_expected() {
        let mut ws = check(CheckKind::Ws("/socket".to_owned()), None);
        ws.expect.status = Some(401);
        ws.headers.push(config::WantedHeader { name: "x".to_owned(), value: None });
        let converted = configured(std::slice::from_ref(&ws), &Shipped::Unknown).unwrap();
        let headers = BTreeMap::from([("x".to_owned(), None)]);
        let expect = Expect { status: Some(401), headers, ..Expect::default() };
        assert_eq!(converted[0].kind, Kind::Ws { path: "/socket".to_owned(), expect });
        ws.expect.body = Some("hello".to_owned());
        let error = configured(&[ws], &Shipped::Unknown).unwrap_err();
        assert_eq!(error.to_string(), "this version cannot run `expect.body` of `ws` (`c`, line 7)");
    }

    #[test]
    fn of_a_burst_nothing_can_be_expected() {
        let burst = check(CheckKind::RateLimit("/api".to_owned()), None);
        let converted = configured(std::slice::from_ref(&burst), &Shipped::Unknown).unwrap();
        assert_eq!(converted[0].kind, Kind::RateLimit { path: "/api".to_owned() });
        let expect = config::Expect { status: Some(503), ..config::Expect::default() };
        let header = config::WantedHeader { name: "retry-after".to_owned(), value: None };
        let beyond = [
            config::Check { expect, ..burst.clone() },
            config::Check { headers: vec![header], ..burst.clone() },
            config::Check { retries: Some(1), ..burst },
        ];
        let error = configured(&beyond, &Shipped::Unknown).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this version cannot run `expect` of `rate_limit` (`c`, line 7), `headers` of `rate_limit` (`c`, line 7), \
             `retries` of `rate_limit` (`c`, line 7)"
        );
    }

    #[test]
    fn what_has_no_answer_to_compare_expects_none() {
        let tcp = || check(CheckKind::Tcp("db:5432".to_owned()), None);
        let redirect = CheckKind::Redirect { url: "/a".to_owned(), to: Some("/b".to_owned()) };
        let converted = configured(&[tcp(), check(redirect, None)], &Shipped::Unknown).unwrap();
        assert_eq!(converted[0].kind, Kind::Tcp { address: "db:5432".to_owned() });
        let redirect = Kind::Redirect { path: "/a".to_owned(), to: Some("/b".to_owned()) };
        assert_eq!(converted[1].kind, redirect);
        let mut expects = tcp();
        expects.expect.status = Some(200);
        let mut has_headers = tcp();
        has_headers.headers.push(config::WantedHeader { name: "x".to_owned(), value: None });
        let error = configured(&[expects, has_headers], &Shipped::Unknown).unwrap_err();
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
        let one = [check(CheckKind::Release("/version".to_owned()), None)];
        assert!(matches!(configured(&one, &Shipped::Unknown), Err(SmokeError::WhichRelease(_))));
    }
}
