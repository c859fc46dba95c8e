//! `Eks`: tokens for EKS, each the address of a signed request to STS, which the cluster asks in turn who has signed it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use shipkit_core::Secret;

use super::error::{AuthError, Step};
use super::github::Identity;
use super::http::{Ask, Http, element, text};
use super::sigv4::{Signer, Unsigned};
use super::{Endpoint, Minted};

/// What a token begins with.
const PREFIX: &str = "k8s-aws-v1.";
/// The address itself expires sooner; the cluster counts from its date.
const SECONDS: u32 = 60;
/// A minute less than the quarter of an hour for which the cluster takes a token.
const LIFE: Duration = Duration::from_mins(14);
/// Whom GitHub's identity token is for.
const AUDIENCE: &str = "sts.amazonaws.com";
/// How the run is called in the logs of AWS.
const SESSION: &str = "shipkit";

/// An EKS cluster, and who asks.
#[derive(Debug, Clone)]
pub struct Eks {
    /// The name of the cluster.
    pub cluster: String,
    /// Its region.
    pub region: String,
    /// Who asks.
    pub credentials: EksCredentials,
    /// `AWS_ENDPOINT_URL_STS`: another address of STS, for keys of a role. Clusters take addresses of AWS itself only.
    pub sts: Option<String>,
    /// `AWS_ENDPOINT_URL_EKS`: another address of EKS.
    pub eks: Option<String>,
}

/// Who asks an EKS cluster.
#[derive(Debug, Clone)]
pub enum EksCredentials {
    /// The holder of these keys.
    Keys(AwsKeys),
    /// A role that is taken on with an identity token.
    Role {
        /// Its ARN.
        role: String,
        /// The identity.
        identity: Identity,
    },
}

/// Keys of AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsKeys {
    /// `AWS_ACCESS_KEY_ID`.
    pub id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret: Secret,
    /// `AWS_SESSION_TOKEN`, of keys that expire.
    pub session: Option<Secret>,
}

impl Eks {
    pub(super) async fn mint(&self, http: &Http) -> Result<Minted, AuthError> {
        let keys = self.keys(http).await?;
        Ok(Minted { token: token(&keys, &self.cluster, &self.region, Timestamp::now()), life: LIFE })
    }

    pub(super) async fn find(&self, http: &Http) -> Result<Endpoint, AuthError> {
        let keys = self.keys(http).await?;
        let base = self.eks.clone().unwrap_or_else(|| format!("https://{}", host("eks", &self.region)));
        let path = format!("/clusters/{}", self.cluster);
        let mut ask = Ask::get(Step::DescribeCluster, &format!("{}{path}", base.trim_end_matches('/')))?;
        let host = ask.host();
        let request = Unsigned { host: &host, path: &path, query: &[], headers: &[] };
        let signer = Signer { keys: &keys, region: &self.region, service: "eks", at: Timestamp::now() };
        for (name, value) in signer.authorize(&request) {
            ask = ask.header(name, Secret::new(value));
        }
        let answer = http.ask(&ask).await?.json(&ask)?;
        let found = |pointer: &str, lacks| text(&answer, pointer).ok_or_else(|| ask.lacks(lacks));
        Ok(Endpoint {
            server: found("/cluster/endpoint", "endpoint")?.to_owned(),
            ca: found("/cluster/certificateAuthority/data", "certificateAuthority")?.to_owned(),
        })
    }

    async fn keys(&self, http: &Http) -> Result<AwsKeys, AuthError> {
        let (role, identity) = match &self.credentials {
            EksCredentials::Keys(keys) => return Ok(keys.clone()),
            EksCredentials::Role { role, identity } => (role, identity),
        };
        let identity = identity.token(AUDIENCE, http).await?;
        let base = self.sts.clone().unwrap_or_else(|| format!("https://{}/", host("sts", &self.region)));
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", SESSION),
            ("WebIdentityToken", identity.reveal()),
        ];
        let ask = Ask::form(Step::AssumeRole, &base, &fields)?.hiding(&identity);
        let answer = http.ask(&ask).await?;
        let found = |name, lacks| element(answer.text.reveal(), name).ok_or_else(|| ask.lacks(lacks));
        Ok(AwsKeys {
            id: found("AccessKeyId", "AccessKeyId")?.to_owned(),
            secret: Secret::new(found("SecretAccessKey", "SecretAccessKey")?),
            session: Some(Secret::new(found("SessionToken", "SessionToken")?)),
        })
    }
}

/// The host of a service in a region.
fn host(service: &str, region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("{service}.{region}.{domain}")
}

/// A token for a cluster.
fn token(keys: &AwsKeys, cluster: &str, region: &str, at: Timestamp) -> Secret {
    let host = host("sts", region);
    let query = [("Action", "GetCallerIdentity"), ("Version", "2011-06-15")];
    let request = Unsigned { host: &host, path: "/", query: &query, headers: &[("x-k8s-aws-id", cluster)] };
    let query = Signer { keys, region, service: "sts", at }.presign(&request, SECONDS);
    Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(format!("https://{host}/?{query}"))))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// What `scripts/sign-as-botocore` wrote, at the same times with the same keys.
    #[test]
    fn tokens_and_signed_requests_are_those_of_the_aws_cli_byte_by_byte() {
        let made: Value = serde_json::from_str(include_str!("botocore.json")).unwrap();
        let cases = made["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let field = |name: &str| case[name].as_str().unwrap();
            let keys = AwsKeys {
                id: field("id").to_owned(),
                secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                session: case["session"].as_str().map(Secret::from),
            };
            let (cluster, region, at) = (field("cluster"), field("region"), field("time").parse().unwrap());
            let made = token(&keys, cluster, region, at);
            let url = URL_SAFE_NO_PAD.decode(made.reveal().strip_prefix(PREFIX).unwrap()).unwrap();
            assert_eq!(String::from_utf8(url).unwrap(), field("url"));
            assert_eq!(made.reveal(), field("token"));

            let (host, path) = (host("eks", region), format!("/clusters/{cluster}"));
            let request = Unsigned { host: &host, path: &path, query: &[], headers: &[] };
            let headers = Signer { keys: &keys, region, service: "eks", at }.authorize(&request);
            let (_, authorization) = headers.last().unwrap();
            assert_eq!(authorization, field("describe"));
        }
    }
}
