//! `FakeCloud`: what AWS, Google, Entra ID and GitHub's runner do for whoever wants a token for a cluster, at one address.
//! Each request must be as the clouds document it, and show the identity that the step before gave.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a fake server stops the test at the first surprise"
)]

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::to_bytes;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// What the job shows to GitHub.
const REQUEST_TOKEN: &str = "the-request-token";
/// The role that may be taken on.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";
/// The provider whose identities become a service account, and with `direct` at its end one whose do not.
pub const PROVIDER: &str = "projects/1/locations/global/workloadIdentityPools/github/providers/shop";
/// The service account.
pub const ACCOUNT: &str = "deploy@shop.iam.gserviceaccount.com";
/// The GKE cluster.
pub const GKE: &str = "projects/shop/locations/europe-west1/clusters/shop";
/// What the application in Entra ID proves itself with.
pub const CLIENT_SECRET: &str = "the-client-secret";

/// A running fake; it ends when it is dropped.
#[derive(Debug)]
pub struct FakeCloud {
    address: SocketAddr,
    shared: Arc<Mutex<Inside>>,
    _stop: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Inside {
    token: (String, u64),
    cluster: (String, String),
    trouble: BTreeMap<String, (u16, String, usize)>,
    requests: Vec<String>,
    /// With the key of the service account.
    keys: TempDir,
}

impl FakeCloud {
    /// Starts on a free port, on a thread of its own, and gives the token `one` for an hour.
    #[must_use]
    pub fn start() -> Self {
        let shared = Arc::new(Mutex::new(Inside {
            token: ("one".to_owned(), 3600),
            cluster: (String::new(), String::new()),
            trouble: BTreeMap::new(),
            requests: Vec::new(),
            keys: tempfile::tempdir().unwrap(),
        }));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    served = axum::serve(listener, router) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { address: told.recv().unwrap(), shared, _stop: stop }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the runner and the user set so that everything is asked here.
    #[must_use]
    pub fn vars(&self) -> Vec<(&'static str, String)> {
        vec![
            ("ACTIONS_ID_TOKEN_REQUEST_URL", self.identity_url()),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN.to_owned()),
            ("AWS_ENDPOINT_URL_STS", self.url()),
            ("AWS_ENDPOINT_URL_EKS", self.url()),
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_STS", self.url()),
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS", self.url()),
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER", self.url()),
            ("AZURE_AUTHORITY_HOST", self.url()),
        ]
    }

    /// Where the job asks for its identity.
    #[must_use]
    pub fn identity_url(&self) -> String {
        format!("{}/identity?api-version=2.0", self.url())
    }

    /// What the job shows there.
    #[must_use]
    pub fn request_token() -> &'static str {
        REQUEST_TOKEN
    }

    /// From now on it gives this token, for so many seconds.
    pub fn gives(&self, token: &str, seconds: u64) {
        self.shared.lock().unwrap().token = (token.to_owned(), seconds);
    }

    /// Where the clusters are: the address without its scheme, and the certificate as a kubeconfig has it.
    pub fn cluster_is_at(&self, host: &str, ca: &str) {
        self.shared.lock().unwrap().cluster = (host.to_owned(), ca.to_owned());
    }

    /// The next so many requests to this path are answered so.
    pub fn refuses(&self, path: &str, status: u16, said: &str, times: usize) {
        self.shared.lock().unwrap().trouble.insert(path.to_owned(), (status, said.to_owned(), times));
    }

    /// Method and path of all requests.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().unwrap().requests.clone()
    }

    /// The JSON file of a service account, with a new key.
    #[must_use]
    pub fn service_account(&self) -> String {
        let inside = self.shared.lock().unwrap();
        let (key, public) = (inside.keys.path().join("key"), inside.keys.path().join("public"));
        let (key, public) = (key.to_str().unwrap(), public.to_str().unwrap());
        openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key]);
        openssl(&["pkey", "-in", key, "-pubout", "-out", public]);
        json!({
            "type": "service_account", "project_id": "shop", "private_key_id": "7", "client_email": ACCOUNT,
            "private_key": std::fs::read_to_string(key).unwrap(), "token_uri": format!("{}/token", self.url()),
        })
        .to_string()
    }

    /// The JSON file that `google-github-actions/auth` writes for the identity of a job.
    #[must_use]
    pub fn external_account(&self) -> String {
        let audience = format!("//iam.googleapis.com/{PROVIDER}");
        let account = format!("{}/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken", self.url());
        json!({
            "type": "external_account", "audience": audience, "token_url": format!("{}/v1/token", self.url()),
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "service_account_impersonation_url": account,
            "credential_source": {
                "url": format!("{}&audience=https:{audience}", self.identity_url()),
                "headers": {"Authorization": format!("Bearer {REQUEST_TOKEN}")},
                "format": {"type": "json", "subject_token_field_name": "value"},
            },
        })
        .to_string()
    }
}

/// The identity of the job, for somebody.
fn identity(audience: &str) -> String {
    format!("identity-for-{audience}")
}

async fn answer(
    State(shared): State<Arc<Mutex<Inside>>>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let path = parts.uri.path().to_owned();
    let mut inside = shared.lock().unwrap();
    inside.requests.push(format!("{} {path}", parts.method));
    if let Some((status, said, times)) = inside.trouble.get_mut(&path).filter(|(_, _, times)| 0 < *times) {
        *times -= 1;
        // AWS has its code in this header.
        let kind = [("x-amzn-errortype", said.split(':').next().unwrap_or_default().to_owned())];
        let is_json = said.starts_with('{') || said.starts_with('<');
        let status = StatusCode::from_u16(*status).unwrap();
        let said = if is_json { said.clone() } else { json!({"message": said}).to_string() };
        return if is_json { (status, said).into_response() } else { (status, kind, said).into_response() };
    }
    let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    match (parts.method.as_str(), path.as_str()) {
        ("GET", "/identity") => {
            assert_eq!(bearer(&parts.headers), REQUEST_TOKEN);
            assert_eq!(query["api-version"], "2.0");
            Json(json!({"value": identity(&query["audience"])})).into_response()
        }
        ("POST", "/") => assume_role(&form),
        ("GET", "/clusters/shop") => inside.describe(&parts.headers),
        ("POST", "/v1/token") => inside.exchange(&form),
        ("POST", path) if path.ends_with(":generateAccessToken") => {
            assert_eq!(path, format!("/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"));
            inside.impersonate(&parts.headers, &serde_json::from_slice(&body).unwrap())
        }
        ("GET", path) if path == format!("/v1/{GKE}") => inside.get_cluster(&parts.headers),
        ("POST", "/token") => inside.grant(&form, &parts.headers),
        ("POST", "/tenant-1/oauth2/v2.0/token") => inside.entra(&form),
        other => panic!("no such thing: {other:?}"),
    }
}

fn bearer(headers: &HeaderMap) -> &str {
    headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap()
}

fn assume_role(form: &HashMap<String, String>) -> Response {
    assert_eq!((&*form["Action"], &*form["Version"]), ("AssumeRoleWithWebIdentity", "2011-06-15"));
    assert_eq!((&*form["RoleArn"], &*form["RoleSessionName"]), (ROLE, "shipkit"));
    assert_eq!(form["WebIdentityToken"], identity("sts.amazonaws.com"));
    "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult>\
     <Credentials><AccessKeyId>ASIAFAKE</AccessKeyId><SecretAccessKey>the/secret+key</SecretAccessKey>\
     <SessionToken>the-session==</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration></Credentials>\
     </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        .into_response()
}

impl Inside {
    /// Signatures are compared with those of botocore elsewhere; here it counts who signs what.
    fn describe(&self, headers: &HeaderMap) -> Response {
        let signed = headers["authorization"].to_str().unwrap();
        assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=ASIAFAKE/"), "{signed}");
        let what =
            "/eu-central-1/eks/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=";
        assert!(signed.contains(what), "{signed}");
        assert_eq!(headers["x-amz-security-token"], "the-session==");
        let (host, ca) = &self.cluster;
        let cluster = json!({"endpoint": format!("https://{host}"), "certificateAuthority": {"data": ca}});
        Json(json!({"cluster": cluster})).into_response()
    }

    fn exchange(&self, form: &HashMap<String, String>) -> Response {
        let kind = "urn:ietf:params:oauth:token-type:";
        assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:token-exchange");
        assert_eq!(form["requested_token_type"], format!("{kind}access_token"));
        assert_eq!(form["subject_token_type"], format!("{kind}jwt"));
        assert_eq!(form["scope"], "https://www.googleapis.com/auth/cloud-platform");
        assert_eq!(form["subject_token"], identity(&format!("https:{}", form["audience"])));
        let is_direct = form["audience"] == format!("//iam.googleapis.com/{PROVIDER}-direct");
        assert!(is_direct || form["audience"] == format!("//iam.googleapis.com/{PROVIDER}"));
        let (token, seconds) = if is_direct { self.token.clone() } else { ("federated".to_owned(), 3600) };
        Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": seconds})).into_response()
    }

    fn impersonate(&self, headers: &HeaderMap, body: &Value) -> Response {
        assert_eq!(bearer(headers), "federated");
        let scopes = ["cloud-platform", "userinfo.email"];
        assert_eq!(body["scope"], json!(scopes.map(|one| format!("https://www.googleapis.com/auth/{one}"))));
        let end = SystemTime::now() + Duration::from_secs(self.token.1);
        let seconds = i64::try_from(end.duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let out =
            Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"]).output();
        let time = String::from_utf8(out.unwrap().stdout).unwrap();
        Json(json!({"accessToken": self.token.0, "expireTime": time.trim()})).into_response()
    }

    fn get_cluster(&self, headers: &HeaderMap) -> Response {
        assert_eq!(bearer(headers), self.token.0);
        let (host, ca) = &self.cluster;
        Json(json!({"endpoint": host, "masterAuth": {"clusterCaCertificate": ca}})).into_response()
    }

    /// The signature is verified by openssl.
    fn grant(&self, form: &HashMap<String, String>, headers: &HeaderMap) -> Response {
        assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
        let (text, signature) = form["assertion"].rsplit_once('.').unwrap();
        let path = |name: &str| self.keys.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("text"), text).unwrap();
        std::fs::write(path("signature"), URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let (public, made) = (path("public"), path("signature"));
        openssl(&["dgst", "-sha256", "-verify", &public, "-signature", &made, &path("text")]);
        let (header, claims) = text.split_once('.').unwrap();
        let read =
            |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        assert_eq!(read(header), json!({"alg": "RS256", "typ": "JWT", "kid": "7"}));
        let claims = read(claims);
        let url = format!("http://{}/token", headers["host"].to_str().unwrap());
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!(ACCOUNT), &json!(url)));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
        Json(json!({"access_token": self.token.0, "expires_in": self.token.1})).into_response()
    }

    fn entra(&self, form: &HashMap<String, String>) -> Response {
        assert_eq!((&*form["grant_type"], &*form["client_id"]), ("client_credentials", "client-1"));
        assert_eq!(form["scope"], "6dae42f8-4368-4678-94ff-3960e28e3630/.default");
        if let Some(secret) = form.get("client_secret") {
            assert_eq!(secret, CLIENT_SECRET);
        } else {
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            assert_eq!(form["client_assertion_type"], kind);
            assert_eq!(form["client_assertion"], identity("api://AzureADTokenExchange"));
        }
        Json(json!({"access_token": self.token.0, "expires_in": self.token.1})).into_response()
    }
}

fn openssl(arguments: &[&str]) {
    let done = Command::new("openssl").args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}
