//! `Transport`: one HTTP request to a registry, with authorization, redirects, limits and retries.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use shipkit_core::{Digest, Repository, Secret};
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use crate::auth::{Auth, Challenge, TokenAnswer, challenges};
use crate::error::Error;
use crate::manifest::size_of;
use crate::retry::{Again, Failure, Tries, retry_after};
use crate::{Credentials, Options};

/// Enough for any answer that is not content: errors, tokens, listings of one page.
pub(crate) const ANSWER_LIMIT: u64 = 4 * 1024 * 1024;
const HOPS: usize = 5;

/// Connections, tokens and options; shared by all clones of a `Registry`.
#[derive(Debug)]
pub(crate) struct Transport {
    client: reqwest::Client,
    auth: Auth,
    options: Options,
}

/// One request.
pub(crate) struct Call<'a> {
    pub(crate) repository: &'a Repository,
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
        Ok(Self { client, auth: Auth::new(credentials)?, options })
    }

    /// When a call that begins now must be over.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.options.deadline
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
    pub(crate) async fn send(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let mut tries = Tries::until(self.deadline());
        loop {
            match self.once(call, tries.deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => tries.wait(failure).await?,
            }
        }
    }

    /// One try, in which a refused token is renewed once.
    pub(crate) async fn once(&self, call: &Call<'_>, deadline: Instant) -> Result<Answer, Failure> {
        timeout_at(deadline, self.authorized(call))
            .await
            .unwrap_or_else(|_elapsed| Err(call.unreachable("the deadline passed".to_owned(), Again::Never)))
    }

    async fn authorized(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let registry = call.repository.registry();
        let authorization = self.authorization(call).await?;
        let had_one = authorization.is_some();
        let home = self.url(call.repository, "").map_err(never)?.origin();
        let answer = self.exchange(call, authorization.as_ref(), &home).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return call.judge(answer);
        }
        let offered = answer.headers.get_all(WWW_AUTHENTICATE).iter();
        let mut offered: Vec<Challenge> =
            offered.filter_map(|value| value.to_str().ok()).flat_map(challenges).collect();
        offered.retain(|challenge| *challenge != Challenge::Basic || self.auth.basic(registry).is_some());
        // A token is asked for where both are offered: it allows less than a password.
        let best = offered.iter().position(|challenge| *challenge != Challenge::Basic).unwrap_or(0);
        if let Some(challenge) = offered.into_iter().nth(best) {
            self.auth.remember(registry, challenge);
        } else if !had_one {
            return call.judge(answer);
        }
        self.auth.forget_token(registry, &call.scopes());
        let authorization = self.authorization(call).await?;
        call.judge(self.exchange(call, authorization.as_ref(), &home).await?)
    }

    /// The value of `Authorization` by what the registry last asked for; `None` before it has asked.
    async fn authorization(&self, call: &Call<'_>) -> Result<Option<Secret>, Failure> {
        let registry = call.repository.registry();
        match self.auth.challenge(registry) {
            None => Ok(None),
            Some(Challenge::Basic) => Ok(self.auth.basic(registry)),
            Some(Challenge::Bearer { realm, service }) => {
                let scopes = call.scopes();
                if let Some(token) = self.auth.token(registry, &scopes) {
                    return Ok(Some(token));
                }
                let url = self.token_url(call, &realm, service.as_deref(), &scopes)?;
                self.fetch_token(call, url, &scopes).await.map(Some)
            }
        }
    }

    /// A realm is told by the registry, so it decides where our password goes: never in the clear to another machine.
    fn token_url(
        &self,
        call: &Call<'_>,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
    ) -> Result<Url, Failure> {
        let refuse =
            |why: &str| call.protocol(format!("it sends us to `{}` for a token: {why}", plain(realm)));
        let mut url = Url::parse(realm).map_err(|error| refuse(&error.to_string()))?;
        let is_plain = url.scheme() == "http"
            && self.is_plain(call.repository)
            && (is_loopback(&url) || self.options.insecure.iter().any(|host| *host == host_of(&url)));
        if url.scheme() != "https" && !is_plain {
            return Err(refuse("only https is safe for that"));
        }
        url.query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
        Ok(url)
    }

    async fn fetch_token(&self, call: &Call<'_>, url: Url, scopes: &[String]) -> Result<Secret, Failure> {
        let registry = call.repository.registry();
        let token_call = Call {
            url,
            method: Method::GET,
            what: format!("a token for {}", call.what),
            headers: Vec::new(),
            body: Bytes::new(),
            limit: ANSWER_LIMIT,
            expect: None,
            size: None,
            redirects: Redirects::Refuse,
            ..*call
        };
        let here = token_call.url.origin();
        let answer = self.exchange(&token_call, self.auth.basic(registry).as_ref(), &here).await?;
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

    /// Sends, follows redirects where they are allowed, and reads the whole answer. `authorization` goes to `home` only.
    async fn exchange(
        &self,
        call: &Call<'_>,
        authorization: Option<&Secret>,
        home: &url::Origin,
    ) -> Result<Answer, Failure> {
        let mut url = call.url.clone();
        for _ in 0..=HOPS {
            let allowed = authorization.filter(|_| url.origin() == *home);
            let answer = self.request(call, &url, allowed).await?;
            // A challenge from elsewhere must not decide where our password goes.
            if answer.status == StatusCode::UNAUTHORIZED && url.origin() != *home {
                return Err(Failure { error: Box::new(call.status(&answer)), again: Again::Later });
            }
            if !answer.status.is_redirection() {
                return Ok(answer);
            }
            match call.redirects {
                Redirects::Follow => {}
                Redirects::Answer => return Ok(answer),
                Redirects::Refuse => {
                    return Err(call.protocol("a redirect, which only a blob may have".to_owned()));
                }
            }
            let next = location(&answer.headers, &url).map_err(|why| call.protocol(why))?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(call.protocol(format!("a redirect from https to `{}`", plain(next.as_str()))));
            }
            url = next;
        }
        Err(call.protocol(format!("more than {HOPS} redirects")))
    }

    async fn request(
        &self,
        call: &Call<'_>,
        url: &Url,
        authorization: Option<&Secret>,
    ) -> Result<Answer, Failure> {
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
        if matches!(call.method, Method::POST | Method::PUT) {
            // Some registries refuse a POST without a length (distribution-spec, "POST then PUT").
            request = request.header(CONTENT_LENGTH, call.body.len()).body(call.body.clone());
        }
        // Silence is counted from the moment when even a slow line (64 kB/s) has carried the body.
        let patience = self.options.idle + Duration::from_secs(size_of(&call.body) / 65_536);
        let response = timeout(patience, request.send())
            .await
            .map_err(|_elapsed| call.unreachable(format!("no answer within {patience:?}"), Again::Later))?
            .map_err(|error| call.broken(&error))?;
        self.read(call, response).await
    }

    async fn read(&self, call: &Call<'_>, mut response: reqwest::Response) -> Result<Answer, Failure> {
        let (status, headers) = (response.status(), response.headers().clone());
        let limit = if status == StatusCode::OK { call.size.unwrap_or(call.limit) } else { ANSWER_LIMIT };
        let idle = self.options.idle;
        let mut body = BytesMut::new();
        while let Some(chunk) = timeout(idle, response.chunk())
            .await
            .map_err(|_elapsed| call.unreachable(format!("silence for {idle:?} in an answer"), Again::Later))?
            .map_err(|error| call.broken(&error))?
        {
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

impl Call<'_> {
    fn scopes(&self) -> Vec<String> {
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
    fn judge(&self, answer: Answer) -> Result<Answer, Failure> {
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

    fn denied(&self, answer: &Answer) -> Failure {
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

    fn unreachable(&self, why: String, again: Again) -> Failure {
        let (registry, what) = self.names();
        Failure { error: Box::new(Error::Unreachable { registry, what, why }), again }
    }

    fn broken(&self, error: &reqwest::Error) -> Failure {
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
    let is_http = matches!(url.scheme(), "http" | "https");
    if is_http { Ok(url) } else { Err(format!("a `Location` of scheme `{}`", plain(url.scheme()))) }
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
