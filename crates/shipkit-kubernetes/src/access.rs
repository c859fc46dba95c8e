//! `Access`: how a cluster is reached.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::client::AuthError;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use shipkit_core::Secret;

use crate::auth::{Http, Login, Tokens};
use crate::error::{ClusterError, causes, last_line};

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
    /// By the address of its API server.
    Server {
        /// The address.
        address: String,
        /// Who has signed its certificate: PEM, or PEM in base64; `None` is one of the public authorities.
        ca: Option<String>,
        /// What says who asks; `None` where a cloud says it.
        token: Option<Token>,
    },
    /// With tokens of a cloud, which are made here and renewed in time.
    Cloud {
        /// Who asks.
        login: Box<Login>,
        /// Where the cluster is: by any of the ways above, whose own credentials are left out. `None` asks the cloud.
        at: Option<Box<Self>>,
    },
}

/// A token for a cluster.
#[derive(Debug, Clone)]
pub enum Token {
    /// The token itself.
    Text(Secret),
    /// A file that somebody else keeps fresh: it is read again at least once a minute.
    File(PathBuf),
}

impl Access {
    /// A client, its address for people, and the namespace that is meant where none is named. Nobody is asked yet, but for a
    /// cloud that gives tokens.
    pub(crate) async fn client(&self) -> Result<(Client, String, String), ClusterError> {
        let (mut config, tokens) = match self {
            Self::Cloud { login, at } => {
                let http = Http::new()?;
                let mut config = if let Some(at) = at {
                    Box::pin(at.config()).await?
                } else {
                    let found = login.find(&http).await?;
                    server(&found.server, Some(&found.ca), None)?
                };
                let tokens = Tokens::begin(login.as_ref().clone(), http).await?;
                config.auth_info = AuthInfo::default();
                (config, Some(tokens))
            }
            Self::Text { .. } | Self::File { .. } | Self::InCluster | Self::Server { .. } => {
                (self.config().await?, None)
            }
        };
        config.connect_timeout = Some(TIME_LIMIT);
        let (server, namespace) = (config.cluster_url.to_string(), config.default_namespace.clone());
        let server = server.trim_end_matches('/').to_owned();
        let program = config.auth_info.exec.as_ref().and_then(|exec| exec.command.clone());
        let client = Client::try_from(config).map_err(|error| match (&error, program) {
            (kube::Error::Auth(error), Some(program)) => no_credentials(error, program),
            (error, _) => ClusterError::of(error, "make a client", &server, &namespace),
        })?;
        let client = match tokens {
            Some(tokens) => tokens.carried_by(client),
            None => client,
        };
        Ok((client, server, namespace))
    }

    async fn config(&self) -> Result<Config, ClusterError> {
        match self {
            Self::Text { text, context } => {
                // The text itself stays out of the message: a parser may quote a line with a token.
                let kubeconfig = Kubeconfig::from_yaml(text.reveal())
                    .map_err(|_quotes| ClusterError::BadKubeconfig("it is no YAML of its form".to_owned()))?;
                from_kubeconfig(kubeconfig, context.clone()).await
            }
            Self::File { path, context } => {
                let bad =
                    |error: kube::config::KubeconfigError| ClusterError::BadKubeconfig(error.to_string());
                from_kubeconfig(Kubeconfig::read_from(path).map_err(bad)?, context.clone()).await
            }
            Self::InCluster => Config::incluster().map_err(|_neither| ClusterError::NoAccess),
            Self::Server { address, ca, token } => server(address, ca.as_deref(), token.as_ref()),
            Self::Cloud { .. } => Err(ClusterError::NoAccess),
        }
    }
}

async fn from_kubeconfig(kubeconfig: Kubeconfig, context: Option<String>) -> Result<Config, ClusterError> {
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.map_err(|error| ClusterError::BadKubeconfig(error.to_string()))
}

/// A server by its address.
fn server(address: &str, ca: Option<&str>, token: Option<&Token>) -> Result<Config, ClusterError> {
    let bad = |what: &str, why: &dyn std::fmt::Display| ClusterError::BadServer(format!("{what}: {why}"));
    let url = address.parse().map_err(|error| bad(&format!("its address `{address}`"), &error))?;
    let mut config = Config::new(url);
    config.root_cert = ca.map(certificates).transpose().map_err(|why| bad("its `ca`", &why))?;
    match token {
        Some(Token::Text(token)) => config.auth_info.token = Some(token.reveal().trim().to_owned().into()),
        Some(Token::File(path)) => config.auth_info.token_file = Some(path.display().to_string()),
        None => {}
    }
    Ok(config)
}

/// The certificates in PEM, or in PEM in base64.
fn certificates(text: &str) -> Result<Vec<Vec<u8>>, &'static str> {
    let pem = if text.contains("-----BEGIN") {
        text.as_bytes().to_vec()
    } else {
        let packed: String = text.split_whitespace().collect();
        STANDARD.decode(packed).map_err(|_says_little| "it is neither PEM nor base64")?
    };
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|_says_little| "its PEM is damaged")?;
    if all.is_empty() {
        return Err("there is no certificate in it");
    }
    Ok(all.iter().map(|one| one.to_vec()).collect())
}

/// Why a program gave no credentials. What it wrote to stdout stays out: it may be the credentials.
fn no_credentials(error: &AuthError, program: String) -> ClusterError {
    let why = if let AuthError::AuthExecStart(error) = error {
        if error.kind() == ErrorKind::NotFound {
            return ClusterError::NoProgram(program);
        }
        format!("`{program}` does not start: {error}")
    } else if let AuthError::AuthExecRun { out, .. } = error {
        let said = last_line(&String::from_utf8_lossy(&out.stderr));
        format!("`{program}` ended with {}{said}", out.status)
    } else if let AuthError::AuthExecParse(_) = error {
        // The error of the parser may quote what it read.
        format!("what `{program}` printed is no `ExecCredential`")
    } else {
        causes(error)
    };
    ClusterError::NoCredentials(why)
}
