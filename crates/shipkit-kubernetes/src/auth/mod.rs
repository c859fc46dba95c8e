//! `Login`: who asks a cluster of a cloud. Tokens are made here, without any program of the cloud, from the credentials of
//! the environment or from the identity token that GitHub gives to a job.

mod aks;
mod eks;
mod error;
mod github;
mod gke;
mod http;
mod jwt;
mod sigv4;
mod tokens;

use std::time::Duration;

use shipkit_core::Secret;

pub use aks::{Aks, AksCredentials};
pub use eks::{AwsKeys, Eks, EksCredentials};
pub use error::{AuthError, Step};
pub use github::Identity;
pub use gke::{Gke, GkeCredentials, GoogleEndpoints};

pub(crate) use http::Http;
pub(crate) use tokens::Tokens;

/// Who asks, and at which cloud.
#[derive(Debug, Clone)]
pub enum Login {
    /// Amazon EKS.
    Eks(Eks),
    /// Google Kubernetes Engine.
    Gke(Gke),
    /// Azure Kubernetes Service.
    Aks(Aks),
}

/// A token, and for how long the cluster takes it.
#[derive(Debug, Clone)]
pub(crate) struct Minted {
    /// The token.
    pub(crate) token: Secret,
    /// From the moment when it was asked for.
    pub(crate) life: Duration,
}

/// Where an API server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Its address.
    pub(crate) server: String,
    /// Who has signed its certificate: PEM in base64.
    pub(crate) ca: String,
}

impl Login {
    /// A new token.
    pub(crate) async fn mint(&self, http: &Http) -> Result<Minted, AuthError> {
        match self {
            Self::Eks(eks) => eks.mint(http).await,
            Self::Gke(gke) => gke.mint(http).await,
            Self::Aks(aks) => aks.mint(http).await,
        }
    }

    /// Where the cluster is, as its cloud says.
    pub(crate) async fn find(&self, http: &Http) -> Result<Endpoint, AuthError> {
        match self {
            Self::Eks(eks) => eks.find(http).await,
            Self::Gke(gke) => gke.find(http).await,
            Self::Aks(_) => Err(AuthError::NoServer),
        }
    }
}
