//! `Tls`: a connection to a Docker host on which both sides show certificates.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use shipkit_core::Secret;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::SwarmError;

/// The three files that Docker's clients know as `ca.pem`, `cert.pem` and `key.pem`: their text.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    /// The authorities, one of which must have signed the certificate of the host.
    pub ca: String,
    /// The certificate that the host is shown.
    pub certificate: String,
    /// Its private key.
    pub key: Secret,
}

#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({:?})", self.name)
    }
}

impl Tls {
    /// Reads what is given for the host at `authority`, a `host:port`.
    pub(crate) fn read(options: &TlsOptions, authority: &str) -> Result<Self, SwarmError> {
        let bad = |what, reason: &dyn ToString| SwarmError::BadPem { what, reason: reason.to_string() };
        let mut roots = RootCertStore::empty();
        for root in certificates("ca", &options.ca)? {
            roots.add(root).map_err(|error| bad("ca", &error))?;
        }
        let chain = certificates("certificate", &options.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(options.key.reveal().as_bytes());
        let key = key.map_err(|error| bad("key", &error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| bad("key", &error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|error| bad("key", &error))?;
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
        let name = name.map_err(|_invalid| SwarmError::BadHost(format!("tcp://{authority}")))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    pub(crate) async fn shake_hands(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

/// All certificates of a text, of which there must be one.
fn certificates(what: &'static str, text: &str) -> Result<Vec<CertificateDer<'static>>, SwarmError> {
    let bad = |reason: String| SwarmError::BadPem { what, reason };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let read = read.map_err(|error| bad(error.to_string()))?;
    if read.is_empty() { Err(bad("no certificate in it".to_owned())) } else { Ok(read) }
}
