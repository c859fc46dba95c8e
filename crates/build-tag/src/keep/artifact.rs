//! `Service`: the artifact service of GitHub Actions, version 4, as far as storing goes.
//!
//! It answers JSON over HTTP (Twirp): `CreateArtifact` gives a signed address of a blob store, the blob is written in
//! blocks without any credential but that address, and `FinalizeArtifact` makes the artifact visible. A block is written
//! under its number, so that a second try of one changes nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shipkit_core::Digest;
use shipkit_core::Secret;
use shipkit_core::exit::ExitCode;
use shipkit_core::hint::Hint;
use shipkit_runner::{Runner, env};
use tokio::sync::mpsc;

use super::found::Found;
use super::pack::pack;

const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(250);
/// What is read of an answer.
const ANSWER_LIMIT: usize = 64 * 1024;

/// The service of this run.
pub(crate) struct Service {
    http: reqwest::Client,
    address: Url,
    token: Secret,
    /// The run and the job, as the service calls them.
    run: String,
    job: String,
}

/// What was stored.
pub(crate) struct Stored {
    /// Its number.
    pub(crate) id: String,
    /// The digest of the zip.
    pub(crate) digest: Digest,
}

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArtifactError {
    /// What the runner says about the service makes no sense.
    #[error("`{0}` is not what a runner sets")]
    Context(&'static str),
    /// The server knows no such service.
    #[error("`{0}` has no artifact service")]
    NoService(String),
    /// The name is taken.
    #[error("this run has an artifact `{0}` already")]
    Taken(String),
    /// It answered something else.
    #[error("the artifact service refused to {what}: {status}{said}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Its answer.
        status: StatusCode,
        /// What it says besides.
        said: String,
    },
    /// An answer that is none.
    #[error("the artifact service answered nothing that can be understood when asked to {0}")]
    Answer(&'static str),
    /// No connection.
    #[error("the artifact service cannot be reached to {what}")]
    Unreachable {
        /// What was asked.
        what: &'static str,
        /// Why.
        source: reqwest::Error,
    },
    /// No client can be made.
    #[error("no HTTP client can be made")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file went away or cannot be read.
    #[error("the files cannot be packed")]
    Pack(#[source] std::io::Error),
}

impl Hint for ArtifactError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Taken(_) => {
                Some("give projects that share a workflow run different names in shipkit.yml".to_owned())
            }
            Self::Context(_)
            | Self::NoService(_)
            | Self::Refused { .. }
            | Self::Answer(_)
            | Self::Unreachable { .. }
            | Self::Client(_)
            | Self::Pack(_) => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Taken(_) => ExitCode::Usage,
            Self::Context(_)
            | Self::NoService(_)
            | Self::Refused { .. }
            | Self::Answer(_)
            | Self::Unreachable { .. }
            | Self::Client(_)
            | Self::Pack(_) => ExitCode::Unknown,
        }
    }
}

impl Service {
    /// The service that the runner names; none where it names none.
    pub(crate) fn of(runner: &Runner) -> Result<Option<Self>, ArtifactError> {
        let (token, address) =
            (runner.env().secret(env::ACTIONS_RUNTIME_TOKEN), runner.env().get(env::ACTIONS_RESULTS_URL));
        let Some((token, address)) = token.zip(address) else { return Ok(None) };
        runner.mask(&token);
        let address =
            Url::parse(address).map_err(|_no_address| ArtifactError::Context("ACTIONS_RESULTS_URL"))?;
        let (run, job) = backend(&token).ok_or(ArtifactError::Context("ACTIONS_RUNTIME_TOKEN"))?;
        Ok(Some(Self { http: client()?, address, token, run, job }))
    }

    /// Stores the files as one artifact: a zip.
    pub(crate) async fn store(
        &self,
        name: &str,
        root: &Path,
        found: &Found,
    ) -> Result<Stored, ArtifactError> {
        let upload = self.create(name).await?;
        let (sender, mut blocks) = mpsc::channel(1);
        let (root, files) = (root.to_owned(), found.files.keys().cloned().collect::<Vec<_>>());
        let packing = tokio::task::spawn_blocking(move || pack(&root, &files, sender));
        let (mut count, mut size, mut hash) = (0_u32, 0_u64, Sha256::new());
        while let Some(block) = blocks.recv().await {
            hash.update(&block);
            size = size.saturating_add(u64::try_from(block.len()).unwrap_or(u64::MAX));
            let query = [("comp", "block"), ("blockid", &block_id(count))];
            self.put(&upload, &query, block, "store a block").await?;
            count += 1;
        }
        packing.await.map_err(|error| ArtifactError::Pack(error.into()))?.map_err(ArtifactError::Pack)?;
        self.put(&upload, &[("comp", "blocklist")], block_list(count), "join the blocks").await?;
        let digest = Digest::from_sha256(&hash.finalize());
        let id = self.finalize(name, size, &digest).await?;
        Ok(Stored { id, digest })
    }

    /// Where to write.
    async fn create(&self, name: &str) -> Result<Url, ArtifactError> {
        const WHAT: &str = "begin an artifact";
        let answer = match self.call("CreateArtifact", json!({"name": name, "version": 4}), WHAT).await {
            Err(ArtifactError::Refused {
                status: StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED,
                ..
            }) => {
                let host = self.address.host_str().unwrap_or_default().to_owned();
                return Err(ArtifactError::NoService(host));
            }
            Err(ArtifactError::Refused { status: StatusCode::CONFLICT, .. }) => {
                return Err(ArtifactError::Taken(name.to_owned()));
            }
            answer => answer?,
        };
        // GitHub writes the names of the protocol, others those of its JSON form.
        let url = field(&answer, "signed_upload_url", "signedUploadUrl").and_then(|url| Url::parse(url).ok());
        // Nothing travels in the clear but where the service itself does, on the same machine.
        let is_safe = |url: &Url| {
            url.scheme() == "https"
                || (url.scheme() == self.address.scheme() && url.host() == self.address.host())
        };
        url.filter(is_safe).ok_or(ArtifactError::Answer(WHAT))
    }

    async fn finalize(&self, name: &str, size: u64, digest: &Digest) -> Result<String, ArtifactError> {
        const WHAT: &str = "finish the artifact";
        // Numbers of 64 bits are texts in this form of JSON.
        let body = json!({"name": name, "size": size.to_string(), "hash": digest.as_str()});
        let answer = self.call("FinalizeArtifact", body, WHAT).await?;
        field(&answer, "artifact_id", "artifactId").map(str::to_owned).ok_or(ArtifactError::Answer(WHAT))
    }

    async fn call(&self, method: &str, mut body: Value, what: &'static str) -> Result<Value, ArtifactError> {
        if let Some(body) = body.as_object_mut() {
            body.insert("workflow_run_backend_id".to_owned(), json!(self.run));
            body.insert("workflow_job_run_backend_id".to_owned(), json!(self.job));
        }
        let mut url = self.address.clone();
        url.set_path(&format!("twirp/github.actions.results.api.v1.ArtifactService/{method}"));
        let body = body.to_string();
        let request = || {
            self.http
                .request(Method::POST, url.clone())
                .bearer_auth(self.token.reveal())
                .header("content-type", "application/json")
                .body(body.clone())
        };
        let answer = send(&request, what).await?;
        let answer: Value =
            serde_json::from_slice(&answer).map_err(|_no_json| ArtifactError::Answer(what))?;
        if answer.get("ok") == Some(&Value::Bool(true)) {
            Ok(answer)
        } else {
            Err(ArtifactError::Answer(what))
        }
    }

    /// Writes to the blob store. The address is the credential: it is never shown.
    async fn put(
        &self,
        upload: &Url,
        query: &[(&str, &str)],
        body: Vec<u8>,
        what: &'static str,
    ) -> Result<(), ArtifactError> {
        let mut url = upload.clone();
        url.query_pairs_mut().extend_pairs(query);
        let body = bytes::Bytes::from(body);
        let request = || {
            let request = self.http.request(Method::PUT, url.clone()).body(body.clone());
            request.header("x-ms-blob-content-type", "application/zip")
        };
        send(&request, what).await?;
        Ok(())
    }
}

/// Sends until there is an answer that will not change: at most five times, with pauses that grow.
async fn send(
    request: &dyn Fn() -> reqwest::RequestBuilder,
    what: &'static str,
) -> Result<Vec<u8>, ArtifactError> {
    let mut failed = 0;
    loop {
        let error = match once(request(), what).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        failed += 1;
        let may_change = match &error {
            ArtifactError::Refused { status, .. } => {
                status.is_server_error() && *status != StatusCode::NOT_IMPLEMENTED
                    || *status == StatusCode::TOO_MANY_REQUESTS
            }
            ArtifactError::Unreachable { .. } => true,
            ArtifactError::Context(_)
            | ArtifactError::NoService(_)
            | ArtifactError::Taken(_)
            | ArtifactError::Answer(_)
            | ArtifactError::Client(_)
            | ArtifactError::Pack(_) => false,
        };
        if !may_change || failed == TRIES {
            return Err(error);
        }
        tokio::time::sleep(PAUSE.saturating_mul(1 << failed)).await;
    }
}

async fn once(request: reqwest::RequestBuilder, what: &'static str) -> Result<Vec<u8>, ArtifactError> {
    let unreachable =
        |error: reqwest::Error| ArtifactError::Unreachable { what, source: error.without_url() };
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let mut answer = Vec::new();
    while let Some(part) = response.chunk().await.map_err(unreachable)? {
        answer.extend_from_slice(&part);
        if ANSWER_LIMIT < answer.len() {
            return Err(ArtifactError::Answer(what));
        }
    }
    if status.is_success() {
        return Ok(answer);
    }
    let said = serde_json::from_slice::<Value>(&answer).ok();
    let said = said.as_ref().and_then(|said| said.get("msg")).and_then(Value::as_str);
    let said = said.map(|said| format!(", `{said}`")).unwrap_or_default();
    Err(ArtifactError::Refused { what, status, said })
}

fn client() -> Result<reqwest::Client, ArtifactError> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ArtifactError::Client(error.into()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_mins(2))
        .user_agent(concat!("shipkit/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| ArtifactError::Client(error.into()))
}

fn field<'a>(answer: &'a Value, name: &str, other: &str) -> Option<&'a str> {
    answer.get(name).or_else(|| answer.get(other)).and_then(Value::as_str)
}

/// All of one length, as the blob store asks.
fn block_id(at: u32) -> String {
    STANDARD.encode(format!("{at:08}"))
}

/// What joins the first `count` blocks.
fn block_list(count: u32) -> Vec<u8> {
    let mut list = r#"<?xml version="1.0" encoding="utf-8"?><BlockList>"#.to_owned();
    for at in 0..count {
        list.extend(["<Latest>", &block_id(at), "</Latest>"]);
    }
    list.push_str("</BlockList>");
    list.into_bytes()
}

/// Run and job out of the token's scope `Actions.Results:<run>:<job>`. The token is the service's to check.
fn backend(token: &Secret) -> Option<(String, String)> {
    let claims = URL_SAFE_NO_PAD.decode(token.reveal().split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let scopes = claims.get("scp")?.as_str()?;
    let scope = scopes.split(' ').find_map(|scope| scope.strip_prefix("Actions.Results:"))?;
    let (run, job) = scope.split_once(':')?;
    Some((run.to_owned(), job.to_owned()))
}
