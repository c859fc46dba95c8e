//! `Aks`: tokens for AKS, which Entra ID gives to an application or a managed identity.

use std::time::Duration;

use shipkit_core::Secret;

use super::Minted;
use super::error::{AuthError, Step};
use super::github::Identity;
use super::http::{Ask, Http, text};

/// The application that every AKS cluster with Entra ID is to Entra ID.
const SCOPE: &str = "6dae42f8-4368-4678-94ff-3960e28e3630/.default";
/// Whom GitHub's identity token is for.
const AUDIENCE: &str = "api://AzureADTokenExchange";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Who asks an AKS cluster.
#[derive(Debug, Clone)]
pub struct Aks {
    /// The Entra tenant.
    pub tenant: String,
    /// The application or managed identity.
    pub client: String,
    /// How it proves itself.
    pub credentials: AksCredentials,
    /// `AZURE_AUTHORITY_HOST`: another address of Entra ID.
    pub authority: Option<String>,
}

/// How an application proves itself.
#[derive(Debug, Clone)]
pub enum AksCredentials {
    /// `AZURE_CLIENT_SECRET`.
    Secret(Secret),
    /// A token of an identity that it trusts.
    Federated(Identity),
}

impl Aks {
    pub(super) async fn mint(&self, http: &Http) -> Result<Minted, AuthError> {
        let base = self.authority.as_deref().unwrap_or("https://login.microsoftonline.com");
        let url = format!("{}/{}/oauth2/v2.0/token", base.trim_end_matches('/'), self.tenant);
        let mut fields =
            vec![("grant_type", "client_credentials"), ("client_id", &self.client), ("scope", SCOPE)];
        let proof = match &self.credentials {
            AksCredentials::Secret(secret) => secret.clone(),
            AksCredentials::Federated(identity) => identity.token(AUDIENCE, http).await?,
        };
        match &self.credentials {
            AksCredentials::Secret(_) => fields.push(("client_secret", proof.reveal())),
            AksCredentials::Federated(_) => {
                fields.extend([("client_assertion_type", ASSERTION), ("client_assertion", proof.reveal())]);
            }
        }
        let ask = Ask::form(Step::Entra, &url, &fields)?.hiding(&proof);
        let answer = http.ask(&ask).await?.json(&ask)?;
        let token = text(&answer, "/access_token").ok_or_else(|| ask.lacks("access_token"))?;
        let seconds = answer.get("expires_in").and_then(serde_json::Value::as_u64);
        let seconds = seconds.ok_or_else(|| ask.lacks("expires_in"))?;
        Ok(Minted { token: Secret::new(token), life: Duration::from_secs(seconds) })
    }
}
