//! `Gke`: tokens for GKE, which are access tokens of Google: for the identity token of a job, or for the key of a service account.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use shipkit_core::Secret;

use super::error::{AuthError, Step};
use super::github::Identity;
use super::http::{Ask, Http, text};
use super::{Endpoint, Minted, jwt};

/// What an access token is for. A cluster knows a service account by its address only with the second one.
const SCOPES: [&str; 2] =
    ["https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email"];
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// How long a signed request may be valid.
const GRANT_SECONDS: i64 = 3600;

/// A GKE cluster, and who asks.
#[derive(Debug, Clone)]
pub struct Gke {
    /// The cluster, `projects/*/locations/*/clusters/*`, if GKE is to be asked where it is.
    pub cluster: Option<String>,
    /// Who asks.
    pub credentials: GkeCredentials,
    /// Other addresses of Google.
    pub endpoints: GoogleEndpoints,
}

/// Who asks a GKE cluster.
#[derive(Debug, Clone)]
pub enum GkeCredentials {
    /// The JSON text that `GOOGLE_APPLICATION_CREDENTIALS` leads to: `service_account` or `external_account`.
    Json(Secret),
    /// An identity that a provider admits.
    Federated {
        /// The provider, `projects/*/locations/global/workloadIdentityPools/*/providers/*`.
        provider: String,
        /// The account that it becomes then.
        service_account: Option<String>,
        /// The identity.
        identity: Identity,
    },
}

/// Other addresses of Google, in the words of `gcloud`.
#[derive(Debug, Clone, Default)]
pub struct GoogleEndpoints {
    /// `CLOUDSDK_API_ENDPOINT_OVERRIDES_STS`.
    pub sts: Option<String>,
    /// `CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS`.
    pub iamcredentials: Option<String>,
    /// `CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER`.
    pub container: Option<String>,
}

/// An identity that is shown to Google, and where.
struct External {
    audience: String,
    token_url: String,
    impersonation_url: Option<String>,
    subject: Subject,
}

/// Where the token of an identity comes from.
enum Subject {
    Identity(Identity),
    /// An address, the headers for it, and the JSON field of its answer, if that is JSON.
    Url(String, Vec<(String, Secret)>, Option<String>),
    File(PathBuf, Option<String>),
}

impl Gke {
    pub(super) async fn mint(&self, http: &Http) -> Result<Minted, AuthError> {
        match &self.credentials {
            GkeCredentials::Federated { provider, service_account, identity } => {
                let sts = self.endpoints.sts.as_deref().unwrap_or("https://sts.googleapis.com");
                let iam = self.endpoints.iamcredentials.as_deref();
                let iam = iam.unwrap_or("https://iamcredentials.googleapis.com").trim_end_matches('/');
                let impersonation_url = service_account.as_ref().map(|account| {
                    format!("{iam}/v1/projects/-/serviceAccounts/{account}:generateAccessToken")
                });
                let external = External {
                    audience: format!("//iam.googleapis.com/{provider}"),
                    token_url: format!("{}/v1/token", sts.trim_end_matches('/')),
                    impersonation_url,
                    subject: Subject::Identity(identity.clone()),
                };
                external.mint(http).await
            }
            GkeCredentials::Json(json) => {
                // The error of the parser may quote the key.
                let file: Value =
                    serde_json::from_str(json.reveal()).map_err(|_quotes| unfit("it is no JSON"))?;
                match text(&file, "/type") {
                    Some("service_account") => by_key(&file, http).await,
                    Some("external_account") => external(&file)?.mint(http).await,
                    other => Err(unfit(&format!(
                        "its `type` is `{}`, and neither `service_account` nor `external_account`",
                        other.unwrap_or_default()
                    ))),
                }
            }
        }
    }

    pub(super) async fn find(&self, http: &Http) -> Result<Endpoint, AuthError> {
        let cluster = self.cluster.as_ref().ok_or(AuthError::NoServer)?;
        let token = self.mint(http).await?.token;
        let base = self.endpoints.container.as_deref().unwrap_or("https://container.googleapis.com");
        let url = format!("{}/v1/{cluster}", base.trim_end_matches('/'));
        let ask = Ask::get(Step::GetCluster, &url)?.bearer(&token);
        let answer = http.ask(&ask).await?.json(&ask)?;
        let found = |pointer: &str, lacks| text(&answer, pointer).ok_or_else(|| ask.lacks(lacks));
        Ok(Endpoint {
            server: format!("https://{}", found("/endpoint", "endpoint")?),
            ca: found("/masterAuth/clusterCaCertificate", "clusterCaCertificate")?.to_owned(),
        })
    }
}

impl External {
    async fn mint(&self, http: &Http) -> Result<Minted, AuthError> {
        let subject = self.subject(http).await?;
        let fields = [
            ("grant_type", EXCHANGE),
            ("audience", &self.audience),
            ("scope", SCOPES[0]),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token_type", JWT),
            ("subject_token", subject.reveal()),
        ];
        let ask = Ask::form(Step::Exchange, &self.token_url, &fields)?.hiding(&subject);
        let minted = access_token(&http.ask(&ask).await?.json(&ask)?, &ask)?;
        let Some(url) = &self.impersonation_url else { return Ok(minted) };
        let asked = Timestamp::now();
        let ask = Ask::json(Step::Impersonate, url, &json!({"scope": SCOPES}))?.bearer(&minted.token);
        let answer = http.ask(&ask).await?.json(&ask)?;
        let token = text(&answer, "/accessToken").ok_or_else(|| ask.lacks("accessToken"))?;
        let expires: Option<Timestamp> = text(&answer, "/expireTime").and_then(|time| time.parse().ok());
        let expires = expires.ok_or_else(|| ask.lacks("expireTime"))?;
        let life = Duration::try_from(expires.duration_since(asked)).unwrap_or_default();
        Ok(Minted { token: Secret::new(token), life })
    }

    async fn subject(&self, http: &Http) -> Result<Secret, AuthError> {
        let (answer, field) = match &self.subject {
            Subject::Identity(identity) => {
                return identity.token(&format!("https:{}", self.audience), http).await;
            }
            Subject::Url(url, headers, field) => {
                let mut ask = Ask::get(Step::Identity, url)?;
                for (name, value) in headers {
                    ask = ask.hiding(value).header(name, value.clone());
                }
                (http.ask(&ask).await?.text, field)
            }
            Subject::File(path, field) => {
                let read = tokio::fs::read_to_string(path).await;
                let why = |error| format!("`{}`, which it names: {error}", path.display());
                (Secret::new(read.map_err(|error| unfit(&why(error)))?), field)
            }
        };
        let Some(field) = field else { return Ok(Secret::new(answer.reveal().trim())) };
        let value: Value = serde_json::from_str(answer.reveal()).unwrap_or_default();
        let found = value.get(field).and_then(Value::as_str);
        found.map(Secret::from).ok_or_else(|| unfit(&format!("its source has no `{field}`")))
    }
}

/// The access token of an answer.
fn access_token(answer: &Value, ask: &Ask) -> Result<Minted, AuthError> {
    let token = text(answer, "/access_token").ok_or_else(|| ask.lacks("access_token"))?;
    let seconds = answer.get("expires_in").and_then(Value::as_u64).ok_or_else(|| ask.lacks("expires_in"))?;
    Ok(Minted { token: Secret::new(token), life: Duration::from_secs(seconds) })
}

/// A token for whoever has the key of a service account.
async fn by_key(file: &Value, http: &Http) -> Result<Minted, AuthError> {
    let field =
        |name: &str| text(file, &format!("/{name}")).ok_or_else(|| unfit(&format!("it has no `{name}`")));
    let (url, key) = (field("token_uri")?, Secret::new(field("private_key")?));
    let now = Timestamp::now().as_second();
    let claims = json!({
        "iss": field("client_email")?, "scope": SCOPES.join(" "), "aud": url, "iat": now, "exp": now + GRANT_SECONDS,
    });
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": field("private_key_id")?});
    let assertion = jwt::signed(&header, &claims, &key).map_err(unfit)?;
    let fields = [("grant_type", GRANT), ("assertion", assertion.reveal())];
    let ask = Ask::form(Step::Grant, url, &fields)?.hiding(&assertion);
    access_token(&http.ask(&ask).await?.json(&ask)?, &ask)
}

/// What `google-github-actions/auth` and `gcloud iam workload-identity-pools create-cred-config` write.
fn external(file: &Value) -> Result<External, AuthError> {
    let field = |pointer: &str| {
        text(file, pointer).ok_or_else(|| unfit(&format!("it has no `{}`", &pointer.replace('/', "."))))
    };
    let is_json = text(file, "/credential_source/format/type") == Some("json");
    let name = is_json.then(|| field("/credential_source/format/subject_token_field_name")).transpose()?;
    let name = name.map(str::to_owned);
    let subject = match (text(file, "/credential_source/url"), text(file, "/credential_source/file")) {
        (Some(url), _) => {
            let headers = file.pointer("/credential_source/headers").and_then(Value::as_object);
            let headers = headers.into_iter().flatten();
            let headers =
                headers.filter_map(|(name, value)| Some((name.clone(), Secret::from(value.as_str()?))));
            Subject::Url(url.to_owned(), headers.collect(), name)
        }
        (None, Some(path)) => Subject::File(PathBuf::from(path), name),
        (None, None) => return Err(unfit("its `credential_source` has neither `url` nor `file`")),
    };
    Ok(External {
        audience: field("/audience")?.to_owned(),
        token_url: field("/token_url")?.to_owned(),
        impersonation_url: text(file, "/service_account_impersonation_url").map(str::to_owned),
        subject,
    })
}

fn unfit(why: &str) -> AuthError {
    AuthError::BadCredentials { what: "the credentials of Google".to_owned(), why: why.to_owned() }
}
