//! `Transport`: one HTTP request to a registry, with authorization, redirects, limits and retries.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use shipkit_core::{Digest, Repository, Secret};
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use crate::auth::{Auth, Challenge, TokenAnswer, challenges, identity_form};
use crate::error::Error;
use crate::inside::leads_inside;
use crate::manifest::size_of;
use crate::retry::{Again, Failure, Tries, retry_after};
use crate::session::Session;
use crate::{Credentials, Login, Options};

/// Enough for any answer that is not content: errors, tokens, listings of one page.
pub(crate) const ANSWER_LIMIT: u64 = 4 * 1024 * 1024;
const HOPS: usize = 5;

/// Connections, tokens and options; shared by all clones of a `Registry`.
#[derive(Debug)]
pub(crate) struct Transport {
    client: reqwest::Client,
    auth: Auth,
    pub(crate) options: Options,
}

/// One request.
pub(crate) struct Call {
    pub(crate) repository: Repository,
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// For error messages: "the manifest `v1` of `acme/api`".
    pub(crate) what: String,
    pub(crate) access: Access,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Bytes,
    /// The longest body that is read.
    pub(crate) limit: u64,
    /// What the body of a 200 must be; anything else is read again.
    pub(crate) expect: Option<Digest>,
    /// Its size, where that is known too.
    pub(crate) size: Option<u64>,
    pub(crate) redirects: Redirects,
    pub(crate) session: Arc<Session>,
}

/// What a token must allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Pull,
    Push,
}

/// Only blobs may come from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redirects {
    Refuse,
    Follow,
    /// The redirect itself is the answer: a registry only sends a HEAD elsewhere when the blob is there, and the store
    /// behind it may only allow a GET.
    Answer,
}

/// A whole answer: any status but 401, 403, 408, 429 and 5xx, which are failures.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Transport {
    pub(crate) fn new(credentials: Credentials, options: Options) -> Result<Self, Error> {
        let broken = |error: &dyn std::fmt::Display| Error::Client(error.to_string());
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| broken(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .user_agent(concat!("shipkit/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| broken(&error))?;
        Ok(Self { client, auth: Auth::new(credentials, options.idle)?, options })
    }

    /// `https://<registry>/v2/<name>/<path>`; `http` where the registry is on this machine or named as insecure.
    pub(crate) fn url(&self, repository: &Repository, path: &str) -> Result<Url, Error> {
        let scheme = if self.is_plain(repository) { "http" } else { "https" };
        // Docker Hub's interface lives at another name than its images.
        let host =
            if repository.registry() == "docker.io" { "registry-1.docker.io" } else { repository.registry() };
        let text = format!("{scheme}://{host}/v2/{}/{path}", repository.path());
        Url::parse(&text).map_err(|error| Error::Protocol {
            registry: repository.registry().to_owned(),
            what: format!("ask for `{path}`"),
            why: error.to_string(),
        })
    }

    fn is_plain(&self, repository: &Repository) -> bool {
        repository.is_loopback() || self.options.insecure.iter().any(|host| host == repository.registry())
    }

    /// Sends until it is answered, or the tries or the time are used up.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, Error> {
        let mut tries = Tries::until(call.session.deadline(&self.options));
        loop {
            match self.once(call, tries.deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => tries.wait(failure).await?,
            }
        }
    }

    /// One try, in which a refused token is renewed once.
    pub(crate) async fn once(&self, call: &Call, deadline: Instant) -> Result<Answer, Failure> {
        let answer = async {
            let response = self.authorized(call).await?;
            call.judge(self.read(call, response).await?)
        };
        timeout_at(deadline, answer).await.unwrap_or_else(|_elapsed| Err(call.too_late()))
    }

    /// The answer to an authorized request, its body not yet read.
    pub(crate) async fn authorized(&self, call: &Call) -> Result<reqwest::Response, Failure> {
        let authorization = self.authorization(call).await?;
        let home = self.home(call)?;
        let response = self.exchange(call, authorization.as_ref(), &home).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        // Read to its end, so that the connection can be used again.
        let answer = self.read(call, response).await?;
        if !self.learn(call, &answer, authorization.as_ref()).await? && authorization.is_none() {
            return Err(call.denied(&answer));
        }
        let authorization = self.authorization(call).await?;
        self.exchange(call, authorization.as_ref(), &home).await
    }

    /// Takes from a 401 how to log in, and drops the token that was refused. Whether there is a way that we can go.
    pub(crate) async fn learn(
        &self,
        call: &Call,
        answer: &Answer,
        refused: Option<&Secret>,
    ) -> Result<bool, Failure> {
        let registry = call.repository.registry();
        let offered = answer.headers.get_all(WWW_AUTHENTICATE).iter();
        let mut offered: Vec<Challenge> =
            offered.filter_map(|value| value.to_str().ok()).flat_map(challenges).collect();
        if offered.contains(&Challenge::Basic) && self.basic(call).await?.is_none() {
            offered.retain(|challenge| *challenge != Challenge::Basic);
        }
        // A token is asked for where both are offered: it allows less than a password.
        let best = offered.iter().position(|challenge| *challenge != Challenge::Basic).unwrap_or(0);
        if let Some(refused) = refused {
            self.auth.forget(refused);
        }
        match offered.into_iter().nth(best) {
            Some(challenge) => self.auth.remember(registry, challenge),
            None => return Ok(false),
        }
        Ok(true)
    }

    /// Where credentials may go.
    pub(crate) fn home(&self, call: &Call) -> Result<url::Origin, Failure> {
        Ok(self.url(&call.repository, "").map_err(never)?.origin())
    }

    /// The value of `Authorization: Basic` for the registry of a call, if we have a password there.
    async fn basic(&self, call: &Call) -> Result<Option<Secret>, Failure> {
        let login = self.auth.login(call.repository.registry()).await.map_err(never)?;
        Ok(login.as_ref().and_then(Login::basic))
    }

    /// The value of `Authorization` by what the registry last asked for; `None` before it has asked.
    pub(crate) async fn authorization(&self, call: &Call) -> Result<Option<Secret>, Failure> {
        let registry = call.repository.registry();
        let Some(challenge) = self.auth.challenge(registry) else { return Ok(None) };
        let Challenge::Bearer { realm, service } = challenge else { return self.basic(call).await };
        let (scopes, own) = (call.scopes(), call.own_scopes());
        if scopes != own && !self.auth.is_refused(registry, &scopes) {
            match self.token(call, &realm, service.as_deref(), &scopes).await {
                // A token for several repositories may be more than this login is given; one for this one is less.
                Err(Failure { error, .. }) if matches!(*error, Error::Denied { .. }) => {
                    self.auth.refuse(registry, &scopes);
                }
                token => return token.map(Some),
            }
        }
        self.token(call, &realm, service.as_deref(), &own).await.map(Some)
    }

    async fn token(
        &self,
        call: &Call,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
    ) -> Result<Secret, Failure> {
        let registry = call.repository.registry();
        if let Some(token) = self.auth.token(registry, scopes) {
            return Ok(token);
        }
        // Many calls at once need one token, not one each.
        let _turn = self.auth.turn(registry).await;
        if let Some(token) = self.auth.token(registry, scopes) {
            return Ok(token);
        }
        self.fetch_token(call, realm, service, scopes).await
    }

    /// A realm is told by the registry, so it decides where our password goes: never in the clear to another machine.
    fn token_url(&self, call: &Call, realm: &str) -> Result<Url, Failure> {
        let refuse =
            |why: &str| call.protocol(format!("it sends us to `{}` for a token: {why}", plain(realm)));
        let url = Url::parse(realm).map_err(|error| refuse(&error.to_string()))?;
        let home = self.url(&call.repository, "").map_err(never)?;
        if leads_inside(&home, &url) {
            return Err(refuse("only this machine gets there"));
        }
        let is_plain = url.scheme() == "http"
            && self.is_plain(&call.repository)
            && (is_loopback(&url) || self.options.insecure.iter().any(|host| *host == host_of(&url)));
        if url.scheme() == "https" || is_plain { Ok(url) } else { Err(refuse("only https is safe for that")) }
    }

    /// Asks the token server: with a password by GET, with an identity token by POST (distribution:
    /// docs/spec/auth/token.md and oauth.md).
    async fn fetch_token(
        &self,
        call: &Call,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
    ) -> Result<Secret, Failure> {
        let registry = call.repository.registry();
        let url = self.token_url(call, realm)?;
        let what = format!("a token for {}", call.what);
        let mut token_call = Call::get(&call.repository, url, what, &call.session);
        let login = self.auth.login(registry).await.map_err(never)?;
        let basic = login.as_ref().and_then(Login::basic);
        if let Some(token) = login.as_ref().and_then(Login::identity_token) {
            token_call.method = Method::POST;
            token_call.headers = vec![(CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned())];
            token_call.body = identity_form(token, service, scopes).into();
        } else {
            let mut query = token_call.url.query_pairs_mut();
            query.extend_pairs(service.map(|service| ("service", service)));
            query.extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
        }
        let here = token_call.url.origin();
        let response = self.exchange(&token_call, basic.as_ref(), &here).await?;
        let answer = self.read(&token_call, response).await?;
        if matches!(answer.status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND)
        {
            return Err(token_call.denied(&answer));
        }
        let answer = token_call.judge(answer)?;
        let token = serde_json::from_slice(&answer.body).ok();
        token
            .filter(|_| answer.status == StatusCode::OK)
            .and_then(|token: TokenAnswer| self.auth.keep(registry, scopes, token))
            .ok_or_else(|| token_call.protocol("there is no token in it".to_owned()))
    }

    /// Sends, and follows redirects where they are allowed. `authorization` goes to `home` only.
    async fn exchange(
        &self,
        call: &Call,
        authorization: Option<&Secret>,
        home: &url::Origin,
    ) -> Result<reqwest::Response, Failure> {
        let mut url = call.url.clone();
        for _ in 0..=HOPS {
            let allowed = authorization.filter(|_| url.origin() == *home);
            let response = self.request(call, &url, allowed).await?;
            // A challenge from elsewhere must not decide where our password goes.
            if response.status() == StatusCode::UNAUTHORIZED && url.origin() != *home {
                let answer = self.read(call, response).await?;
                return Err(Failure { error: Box::new(call.status(&answer)), again: Again::Later });
            }
            if !response.status().is_redirection() {
                return Ok(response);
            }
            match call.redirects {
                Redirects::Follow => {}
                Redirects::Answer => return Ok(response),
                Redirects::Refuse => {
                    return Err(call.protocol("a redirect, which only a blob may have".to_owned()));
                }
            }
            let next = location(response.headers(), &url).map_err(|why| call.protocol(why))?;
            if is_downgrade(&url, &next) {
                return Err(call.protocol(format!("a redirect from https to `{}`", plain(next.as_str()))));
            }
            url = next;
        }
        Err(call.protocol(format!("more than {HOPS} redirects")))
    }

    async fn request(
        &self,
        call: &Call,
        url: &Url,
        authorization: Option<&Secret>,
    ) -> Result<reqwest::Response, Failure> {
        let mut request = self.build(call, url, authorization)?;
        if matches!(call.method, Method::POST | Method::PUT) {
            // Some registries refuse a POST without a length (distribution-spec, "POST then PUT").
            request = request.header(CONTENT_LENGTH, call.body.len()).body(call.body.clone());
            call.session.meter.sent(size_of(&call.body));
        }
        // Silence is counted from the moment when even a slow line (64 kB/s) has carried the body.
        let patience = self.options.idle + Duration::from_secs(size_of(&call.body) / 65_536);
        timeout(patience, request.send())
            .await
            .map_err(|_elapsed| call.unreachable(format!("no answer within {patience:?}"), Again::Later))?
            .map_err(|error| call.broken(&error))
    }

    /// A request with its headers and without a body.
    pub(crate) fn build(
        &self,
        call: &Call,
        url: &Url,
        authorization: Option<&Secret>,
    ) -> Result<reqwest::RequestBuilder, Failure> {
        call.session.meter.asked();
        let mut request = self.client.request(call.method.clone(), url.clone());
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if let Some(secret) = authorization {
            let mut value = HeaderValue::from_str(secret.reveal())
                .map_err(|_unprintable| call.protocol("a token that no header can hold".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        Ok(request)
    }

    pub(crate) async fn read(&self, call: &Call, mut response: reqwest::Response) -> Result<Answer, Failure> {
        let (status, headers) = (response.status(), response.headers().clone());
        let limit = if status == StatusCode::OK { call.size.unwrap_or(call.limit) } else { ANSWER_LIMIT };
        let idle = self.options.idle;
        let mut body = BytesMut::new();
        while let Some(chunk) = timeout(idle, response.chunk())
            .await
            .map_err(|_elapsed| call.silent(idle))?
            .map_err(|error| call.broken(&error))?
        {
            call.session.meter.received(size_of(&chunk));
            if limit < size_of(&body).saturating_add(size_of(&chunk)) {
                return Err(call.too_large(limit));
            }
            body.extend_from_slice(&chunk);
        }
        let body = body.freeze();
        if let Some(wanted) = call.expect.as_ref().filter(|_| status == StatusCode::OK) {
            let found = Digest::of(&body);
            if found != *wanted {
                return Err(call.wrong_bytes(format!("{} bytes of `{found}`", body.len())));
            }
        }
        Ok(Answer { status, headers, body })
    }
}

impl Call {
    /// A GET without anything special.
    pub(crate) fn get(repository: &Repository, url: Url, what: String, session: &Arc<Session>) -> Self {
        Self {
            repository: repository.clone(),
            method: Method::GET,
            url,
            what,
            access: Access::Pull,
            headers: Vec::new(),
            body: Bytes::new(),
            limit: ANSWER_LIMIT,
            expect: None,
            size: None,
            redirects: Redirects::Refuse,
            session: Arc::clone(session),
        }
    }

    /// What the token must allow: what the session needs at this registry, or this call alone.
    fn scopes(&self) -> Vec<String> {
        self.session.scopes(self.repository.registry()).map_or_else(|| self.own_scopes(), <[String]>::to_vec)
    }

    fn own_scopes(&self) -> Vec<String> {
        let actions = match self.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        vec![format!("repository:{}:{actions}", self.repository.path())]
    }

    fn names(&self) -> (String, String) {
        (self.repository.registry().to_owned(), self.what.clone())
    }

    /// Sorts out what no caller can use.
    pub(crate) fn judge(&self, answer: Answer) -> Result<Answer, Failure> {
        let status = answer.status;
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return Err(self.denied(&answer));
        }
        let is_passing = status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT
            || status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
        if !is_passing {
            return Ok(answer);
        }
        let wanted = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let again =
            wanted.and_then(|value| retry_after(value, Timestamp::now())).map_or(Again::Later, Again::After);
        Err(Failure { error: Box::new(self.status(&answer)), again })
    }

    pub(crate) fn denied(&self, answer: &Answer) -> Failure {
        let (registry, what) = self.names();
        never(Error::Denied { registry, what, why: format!("{}, {}", answer.status.as_u16(), answer.why()) })
    }

    /// The error for a status that the caller did not expect.
    pub(crate) fn status(&self, answer: &Answer) -> Error {
        let (registry, what) = self.names();
        Error::Status { registry, what, status: answer.status.as_u16(), why: answer.why() }
    }

    pub(crate) fn not_found(&self) -> Error {
        let (registry, what) = self.names();
        Error::NotFound { registry, what }
    }

    pub(crate) fn protocol(&self, why: String) -> Failure {
        let (registry, what) = self.names();
        never(Error::Protocol { registry, what, why })
    }

    pub(crate) fn wrong_bytes(&self, found: String) -> Failure {
        let (registry, what) = self.names();
        Failure { error: Box::new(Error::WrongBytes { registry, what, found }), again: Again::Later }
    }

    fn too_large(&self, limit: u64) -> Failure {
        if self.size == Some(limit) {
            return self.wrong_bytes(format!("more than {limit} bytes"));
        }
        let (registry, what) = self.names();
        never(Error::TooLarge { registry, what, limit })
    }

    pub(crate) fn too_late(&self) -> Failure {
        self.unreachable("the deadline passed".to_owned(), Again::Never)
    }

    pub(crate) fn silent(&self, idle: Duration) -> Failure {
        self.unreachable(format!("silence for {idle:?} in an answer"), Again::Later)
    }

    pub(crate) fn unreachable(&self, why: String, again: Again) -> Failure {
        let (registry, what) = self.names();
        Failure { error: Box::new(Error::Unreachable { registry, what, why }), again }
    }

    pub(crate) fn broken(&self, error: &reqwest::Error) -> Failure {
        // The innermost cause says it best, and the outer ones quote the URL, which may hold a signature.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let why =
            if error.source().is_some() { cause.to_string() } else { "the connection broke".to_owned() };
        self.unreachable(why, if error.is_connect() { Again::Soon } else { Again::Later })
    }
}

impl Answer {
    /// The codes of an error answer (distribution-spec, "Error Codes").
    pub(crate) fn codes(&self) -> Vec<String> {
        let errors = serde_json::from_slice::<serde_json::Value>(&self.body).unwrap_or_default();
        let errors = errors.get("errors").and_then(|errors| errors.as_array().cloned()).unwrap_or_default();
        errors.iter().filter_map(|error| error.get("code")?.as_str().map(str::to_owned)).collect()
    }

    pub(crate) fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What the registry says about the status, and its request id for whoever runs it.
    fn why(&self) -> String {
        let said = String::from_utf8_lossy(self.body.get(..self.body.len().min(600)).unwrap_or_default());
        let said = plain(&said);
        let id = ["x-request-id", "x-github-request-id", "x-amzn-requestid", "x-ms-correlation-request-id"]
            .iter()
            .find_map(|name| self.header(*name))
            .map(|id| format!(" (request {})", plain(id)))
            .unwrap_or_default();
        let said = if said.is_empty() { "no reason given" } else { &said };
        format!("{said}{id}")
    }
}

/// Where `Location` points, seen from `base`.
pub(crate) fn location(headers: &HeaderMap, base: &Url) -> Result<Url, String> {
    let value = headers.get(LOCATION).ok_or("no `Location`")?;
    let text = value.to_str().map_err(|_not_text| "a `Location` that is not text")?;
    let url = base.join(text).map_err(|error| format!("the `Location` `{}`: {error}", plain(text)))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("a `Location` of scheme `{}`", plain(url.scheme())));
    }
    if leads_inside(base, &url) {
        return Err(format!("a redirect to `{}`, where only this machine gets", plain(url.as_str())));
    }
    Ok(url)
}

/// Whether the way from one to the other leaves TLS.
pub(crate) fn is_downgrade(from: &Url, to: &Url) -> bool {
    from.scheme() == "https" && to.scheme() != "https"
}

/// An error that another try would only repeat.
pub(crate) fn never(error: Error) -> Failure {
    Failure { error: Box::new(error), again: Again::Never }
}

fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Foreign text for one line of an error: no control characters, at most 300 characters, no query of a URL.
fn plain(text: &str) -> String {
    let text = if text.starts_with("http") { text.split('?').next().unwrap_or(text) } else { text };
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(300)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_relative_absolute_or_elsewhere_and_never_leaves_tls() {
        let base = Url::parse("https://ghcr.io/v2/a/b/blobs/uploads/").unwrap();
        let at = |value: &'static str| {
            let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(value))]);
            location(&headers, &base).map(|url| (url.to_string(), is_downgrade(&base, &url)))
        };
        for (value, expected, is_down) in [
            ("/v2/a/b/blobs/uploads/1?s=x%2Fy", "https://ghcr.io/v2/a/b/blobs/uploads/1?s=x%2Fy", false),
            ("1", "https://ghcr.io/v2/a/b/blobs/uploads/1", false),
            ("https://store.example/1", "https://store.example/1", false),
            ("//store.example/1", "https://store.example/1", false),
            ("http://ghcr.io/1", "http://ghcr.io/1", true),
        ] {
            assert_eq!(at(value).unwrap(), (expected.to_owned(), is_down));
        }
        assert_eq!(location(&HeaderMap::new(), &base).unwrap_err(), "no `Location`");
        for refused in ["file:///etc/passwd", "data:,x", "https://"] {
            assert!(at(refused).is_err(), "{refused}");
        }
        let plain = Url::parse("http://127.0.0.1:5000/").unwrap();
        assert!(!is_downgrade(&plain, &plain) && !is_downgrade(&plain, &base));
    }
}
