//! Who asks the cluster of a cloud: the credentials that the environment has, else the identity token that GitHub gives.

use std::path::PathBuf;

use shipkit_core::Secret;
use shipkit_core::config::{AksAuth, Auth, EksAuth, GkeAuth};
use shipkit_kubernetes::{
    Aks, AksCredentials, AwsKeys, Eks, EksCredentials, Gke, GkeCredentials, GoogleEndpoints, Identity, Login,
};
use shipkit_runner::env::{self, Name};
use shipkit_runner::{Failure, Runner};

use crate::project::Project;

/// What a cloud needs to know of the environment. Lines of `SHIPKIT_ENV` count, too.
struct Around<'a> {
    project: &'a Project<'a>,
    runner: &'a Runner,
}

/// Who asks.
pub(crate) fn login(auth: &Auth, project: &Project<'_>, runner: &Runner) -> Result<Login, Failure> {
    let around = Around { project, runner };
    match auth {
        Auth::Eks(eks) => around.eks(eks).map(Login::Eks),
        Auth::Gke(gke) => around.gke(gke).map(Login::Gke),
        Auth::Aks(aks) => around.aks(aks).map(Login::Aks),
    }
}

impl Around<'_> {
    fn text(&self, name: Name) -> Option<String> {
        self.project.variable(name, self.runner).map(|value| value.reveal().to_owned())
    }

    /// A variable that is hidden from now on.
    fn secret(&self, name: Name) -> Option<Secret> {
        let secret = self.project.variable(name, self.runner)?;
        self.runner.mask(&secret);
        Some(secret)
    }

    /// The identity token in a file, else that of GitHub.
    fn identity(&self, file: Option<Name>, instead: &str) -> Result<Identity, Failure> {
        if let Some(path) = file.and_then(|file| self.text(file)) {
            return Ok(Identity::File(PathBuf::from(path)));
        }
        let asked =
            (self.text(env::ACTIONS_ID_TOKEN_REQUEST_URL), self.secret(env::ACTIONS_ID_TOKEN_REQUEST_TOKEN));
        let (Some(url), Some(token)) = asked else {
            let sentence = "GitHub gives no identity token to this job, and there are no other credentials";
            let hint = format!(
                "the job needs `permissions: id-token: write`: use `ship-oidc.yml`; or set {instead}"
            );
            return Err(Failure::usage(sentence).with_hint(hint));
        };
        Ok(Identity::GitHub { url, token })
    }

    fn eks(&self, eks: &EksAuth) -> Result<Eks, Failure> {
        let keys = (self.text(env::AWS_ACCESS_KEY_ID), self.secret(env::AWS_SECRET_ACCESS_KEY));
        let credentials = if let (Some(id), Some(secret)) = keys {
            EksCredentials::Keys(AwsKeys { id, secret, session: self.secret(env::AWS_SESSION_TOKEN) })
        } else {
            let instead = "`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`";
            let Some(role) = eks.role.clone().or_else(|| self.text(env::AWS_ROLE_ARN)) else {
                return Err(Failure::usage(
                    "`target.auth.eks` names no `role`, and there are no keys of AWS",
                )
                .with_hint(format!("give `role`, or set {instead}")));
            };
            let identity = self.identity(Some(env::AWS_WEB_IDENTITY_TOKEN_FILE), instead)?;
            EksCredentials::Role { role, identity }
        };
        Ok(Eks {
            cluster: eks.cluster.clone(),
            region: eks.region.clone(),
            credentials,
            sts: self.text(env::AWS_ENDPOINT_URL_STS),
            eks: self.text(env::AWS_ENDPOINT_URL_EKS),
        })
    }

    fn gke(&self, gke: &GkeAuth) -> Result<Gke, Failure> {
        let instead = "`GOOGLE_APPLICATION_CREDENTIALS`";
        let credentials = if let Some(provider) = gke.workload_identity_provider.clone() {
            let identity = self.identity(None, instead)?;
            GkeCredentials::Federated { provider, service_account: gke.service_account.clone(), identity }
        } else if let Some(json) = self.secret(env::GOOGLE_CREDENTIALS) {
            GkeCredentials::Json(json)
        } else if let Some(path) = self.text(env::GOOGLE_APPLICATION_CREDENTIALS) {
            let read = std::fs::read_to_string(&path);
            let json = read
                .map_err(|error| Failure::usage(format!("`{path}` of {instead} cannot be read: {error}")))?;
            GkeCredentials::Json(Secret::new(json))
        } else {
            let sentence = "`target.auth.gke` names no `workload_identity_provider`, and there are no credentials of Google";
            return Err(Failure::usage(sentence)
                .with_hint(format!("give `workload_identity_provider`, or set {instead}")));
        };
        Ok(Gke {
            cluster: gke.cluster.clone(),
            credentials,
            endpoints: GoogleEndpoints {
                sts: self.text(env::CLOUDSDK_API_ENDPOINT_OVERRIDES_STS),
                iamcredentials: self.text(env::CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS),
                container: self.text(env::CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER),
            },
        })
    }

    fn aks(&self, aks: &AksAuth) -> Result<Aks, Failure> {
        let named = |value: &Option<String>, key: &str, name: Name| {
            value.clone().or_else(|| self.text(name)).ok_or_else(|| {
                Failure::usage(format!("`target.auth.aks` names no `{key}`"))
                    .with_hint(format!("give it, or set `{}`", name.as_str()))
            })
        };
        let tenant = named(&aks.tenant_id, "tenant_id", env::AZURE_TENANT_ID)?;
        let client = named(&aks.client_id, "client_id", env::AZURE_CLIENT_ID)?;
        let credentials = if let Some(secret) = self.secret(env::AZURE_CLIENT_SECRET) {
            AksCredentials::Secret(secret)
        } else {
            let file = Some(env::AZURE_FEDERATED_TOKEN_FILE);
            AksCredentials::Federated(self.identity(file, "`AZURE_CLIENT_SECRET`")?)
        };
        Ok(Aks { tenant, client, credentials, authority: self.text(env::AZURE_AUTHORITY_HOST) })
    }
}
