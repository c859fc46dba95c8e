//! `Http`: one question to a cloud and its answer: bounded in size and time, never redirected, with no secret in its errors.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shipkit_core::Secret;
use url::Url;
use url::form_urlencoded::Serializer;

use super::error::{AuthError, Step};

/// How long an answer may take.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How many bytes an answer may have. Certificates and tokens are some thousands.
const SIZE_LIMIT: usize = 1 << 20;
/// How many characters of a cloud's own words are shown.
const WORDS: usize = 500;
/// The pauses between the tries: all of these questions may be asked again.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];

/// A client for the services of the clouds.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
}

/// One question.
#[derive(Debug)]
pub(super) struct Ask {
    step: Step,
    url: Url,
    headers: Vec<(String, Secret)>,
    body: Option<Body>,
    /// What must not be in an error even if the cloud repeats it.
    hidden: Vec<Secret>,
}

#[derive(Debug)]
struct Body {
    kind: &'static str,
    text: Secret,
}

/// A good answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: Secret,
}

impl Http {
    pub(crate) fn new() -> Result<Self, AuthError> {
        let broken = |error: &dyn std::fmt::Display| AuthError::Client(error.to_string());
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
            .connect_timeout(CONNECT_LIMIT)
            .timeout(TIME_LIMIT)
            .user_agent(concat!("shipkit/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| broken(&error))?;
        Ok(Self { client })
    }

    /// Asks, and once more where that may help.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Answer, AuthError> {
        let mut pauses = PAUSES.into_iter();
        loop {
            match self.once(ask).await {
                Err(error) if error.is_passing() => match pauses.next() {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(error),
                },
                answer => return answer,
            }
        }
    }

    async fn once(&self, ask: &Ask) -> Result<Answer, AuthError> {
        let mut request = match &ask.body {
            None => self.client.get(ask.url.clone()),
            Some(body) => {
                let request = self.client.post(ask.url.clone()).header("content-type", body.kind);
                request.body(body.text.reveal().to_owned())
            }
        };
        for (name, value) in &ask.headers {
            request = request.header(name, value.reveal());
        }
        let mut response = request.send().await.map_err(|error| ask.no_answer(&error))?;
        let status = response.status().as_u16();
        // AWS has its code here, and only the message in the body.
        let kind = response.headers().get("x-amzn-errortype").and_then(|value| value.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(':').next()).map(str::to_owned);
        let mut bytes = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| ask.no_answer(&error))? {
            bytes.extend_from_slice(&part);
            if SIZE_LIMIT < bytes.len() {
                return Err(ask.lacks("end"));
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if (200..300).contains(&status) {
            return Ok(Answer { text: Secret::new(text) });
        }
        let said = ask.without_secrets(said(kind.as_deref(), &text));
        Err(AuthError::Refused { host: ask.host(), step: ask.step, status, said })
    }
}

impl Ask {
    /// A question without a body.
    pub(super) fn get(step: Step, url: &str) -> Result<Self, AuthError> {
        let bad = |why: String| AuthError::BadCredentials { what: format!("the address `{url}`"), why };
        let parsed = Url::parse(url).map_err(|error| bad(error.to_string()))?;
        // What is asked is secret, and so is what is answered.
        let is_here = matches!(parsed.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        if parsed.scheme() != "https" && !(parsed.scheme() == "http" && is_here) {
            return Err(bad("it does not begin with `https://`".to_owned()));
        }
        Ok(Self { step, url: parsed, headers: Vec::new(), body: None, hidden: Vec::new() })
    }

    /// A question with the fields of a form.
    pub(super) fn form(step: Step, url: &str, fields: &[(&str, &str)]) -> Result<Self, AuthError> {
        let text = Serializer::new(String::new()).extend_pairs(fields).finish();
        let body = Body { kind: "application/x-www-form-urlencoded", text: Secret::new(text) };
        Ok(Self { body: Some(body), ..Self::get(step, url)? })
    }

    /// A question with a JSON body.
    pub(super) fn json(step: Step, url: &str, body: &Value) -> Result<Self, AuthError> {
        let body = Body { kind: "application/json", text: Secret::new(body.to_string()) };
        Ok(Self { body: Some(body), ..Self::get(step, url)? })
    }

    /// The same in the name of the holder of a token.
    pub(super) fn bearer(self, token: &Secret) -> Self {
        self.hiding(token).header("authorization", Secret::new(format!("Bearer {}", token.reveal())))
    }

    /// The same with one more header.
    pub(super) fn header(mut self, name: &str, value: Secret) -> Self {
        self.headers.push((name.to_owned(), value));
        self
    }

    /// The same, with something more that must not be in an error.
    pub(super) fn hiding(mut self, secret: &Secret) -> Self {
        self.hidden.push(secret.clone());
        self
    }

    /// The answer to this has not what it should have.
    pub(super) fn lacks(&self, lacks: &'static str) -> AuthError {
        AuthError::Garbled { host: self.host(), step: self.step, lacks }
    }

    /// Who is asked.
    pub(super) fn host(&self) -> String {
        match (self.url.host_str(), self.url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        }
    }

    fn no_answer(&self, error: &reqwest::Error) -> AuthError {
        // The outer errors name the address, which is said already.
        let mut innermost: &dyn std::error::Error = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        let reason = if error.is_timeout() {
            format!("nothing within {} s", TIME_LIMIT.as_secs())
        } else {
            innermost.to_string()
        };
        AuthError::NoAnswer { host: self.host(), step: self.step, reason }
    }

    fn without_secrets(&self, text: String) -> String {
        self.hidden.iter().fold(text, |text, secret| text.replace(secret.reveal(), "***"))
    }
}

impl Answer {
    pub(super) fn json(&self, ask: &Ask) -> Result<Value, AuthError> {
        // The error of the parser may quote what it read.
        serde_json::from_str(self.text.reveal()).map_err(|_quotes| ask.lacks("JSON"))
    }
}

/// The text at a JSON pointer.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The text of the first XML element of this name. Answers of AWS have neither attributes nor comments.
pub(super) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

/// What a cloud says about its refusal, its own code first.
fn said(kind: Option<&str>, body: &str) -> String {
    let value: Value = serde_json::from_str(body).unwrap_or_default();
    let first = |pointers: &[&str]| pointers.iter().find_map(|pointer| text(&value, pointer));
    let code = kind
        .or_else(|| first(&["/error/status", "/error", "/code"]))
        .or_else(|| element(body, "Code"))
        .unwrap_or_default();
    let message = first(&["/error/message", "/error_description", "/message", "/Message"])
        .or_else(|| element(body, "Message"))
        .unwrap_or_default();
    // Entra goes on with lines for its support.
    let message = message.lines().next().unwrap_or_default();
    let said = match (code.is_empty(), message.is_empty()) {
        (false, false) => format!("{code}: {message}"),
        (true, true) => "it does not say why".to_owned(),
        (_, _) => format!("{code}{message}"),
    };
    said.replace("&apos;", "'").replace("&quot;", "\"").replace("&amp;", "&").chars().take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Option<&str>, body: &str, wanted: &str) {
        assert_eq!(said(kind, body), wanted);
    }

    #[test]
    fn the_words_of_every_cloud_are_read() {
        check(
            None,
            "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized to perform \
             sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>",
            "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity",
        );
        check(
            Some("ResourceNotFoundException"),
            r#"{"message": "No cluster found for name: shop."}"#,
            "ResourceNotFoundException: No cluster found for name: shop.",
        );
        check(
            None,
            r#"{"error": "invalid_grant", "error_description": "The audience does not match."}"#,
            "invalid_grant: The audience does not match.",
        );
        check(
            None,
            r#"{"error": {"code": 403, "message": "Permission denied", "status": "PERMISSION_DENIED"}}"#,
            "PERMISSION_DENIED: Permission denied",
        );
        check(
            None,
            r#"{"error": "unauthorized_client", "error_description": "AADSTS700016: not found.\r\nTrace ID: 1"}"#,
            "unauthorized_client: AADSTS700016: not found.",
        );
        check(None, "<html>", "it does not say why");
    }

    #[test]
    fn only_tls_or_this_machine_is_asked() {
        for (url, is_asked) in [
            ("https://sts.amazonaws.com/", true),
            ("http://127.0.0.1:80/", true),
            ("http://sts.amazonaws.com/", false),
            ("http://127.0.0.1.example/", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(Ask::get(Step::Exchange, url).is_ok(), is_asked, "{url}");
        }
    }

    #[test]
    fn a_secret_that_is_repeated_is_not_shown() {
        let ask = Ask::get(Step::Entra, "https://login.example/").unwrap();
        let ask = ask.bearer(&Secret::new("hunter2"));
        assert_eq!(ask.without_secrets("bad token hunter2".to_owned()), "bad token ***");
        assert!(!format!("{ask:?}").contains("hunter2"));
    }
}
