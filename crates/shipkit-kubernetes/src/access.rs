//! `Access`: how a cluster is reached.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use shipkit_core::Secret;

use crate::error::ClusterError;

/// How long a connection may take to be made, and an answer to begin: a watch says something at least this often.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// How a cluster is reached.
#[derive(Debug, Clone)]
pub enum Access {
    /// The text of a kubeconfig, and one of its contexts if not the current one.
    Text {
        /// The text: it holds credentials.
        text: Secret,
        /// The context.
        context: Option<String>,
    },
    /// A kubeconfig in a file, whose paths are relative to it.
    File {
        /// The file.
        path: PathBuf,
        /// The context.
        context: Option<String>,
    },
    /// As a pod of the cluster itself.
    InCluster,
}

impl Access {
    /// A client, its address for people, and the namespace that is meant where none is named. Nobody is asked yet.
    pub(crate) async fn client(&self) -> Result<(Client, String, String), ClusterError> {
        let bad = |error: &dyn std::error::Error| ClusterError::BadKubeconfig(error.to_string());
        let mut config = match self {
            Self::Text { text, context } => {
                // The text itself stays out of the message: a parser may quote a line with a token.
                let kubeconfig = Kubeconfig::from_yaml(text.reveal())
                    .map_err(|_quotes| ClusterError::BadKubeconfig("it is no YAML of its form".to_owned()))?;
                from_kubeconfig(kubeconfig, context.clone()).await?
            }
            Self::File { path, context } => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(|error| bad(&error))?;
                from_kubeconfig(kubeconfig, context.clone()).await?
            }
            Self::InCluster => Config::incluster().map_err(|_neither| ClusterError::NoAccess)?,
        };
        config.connect_timeout = Some(TIME_LIMIT);
        let (server, namespace) = (config.cluster_url.to_string(), config.default_namespace.clone());
        let server = server.trim_end_matches('/').to_owned();
        let client = Client::try_from(config)
            .map_err(|error| ClusterError::of(&error, "make a client", &server, &namespace))?;
        Ok((client, server, namespace))
    }
}

async fn from_kubeconfig(kubeconfig: Kubeconfig, context: Option<String>) -> Result<Config, ClusterError> {
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.map_err(|error| ClusterError::BadKubeconfig(error.to_string()))
}
