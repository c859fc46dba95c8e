//! `Seen`: what a server shows in a handshake, whatever it is worth. Who vouches for it is asked afterwards, so that one fault
//! does not hide the others.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::certificate::printable;
use crate::class::Class;
use crate::client::{Bad, class_of_io};
use crate::tcp::connect;

/// What a server has shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Its certificate and those it sends along.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// Whether an answer about its revocation came along (RFC 6066 8, RFC 8446 4.4.2.1).
    pub(crate) is_stapled: bool,
    /// Why it has not shown that it has the key of its certificate.
    pub(crate) unproven: Option<String>,
    /// Whether HTTP/2 was chosen (RFC 7301, RFC 9113 3.2).
    pub(crate) is_http2: bool,
    /// Why the handshake did not come to its end.
    pub(crate) broken: Option<Bad>,
}

/// Takes any certificate, and remembers it.
#[derive(Debug)]
struct Recorder {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Seen>,
}

/// A handshake with TLS 1.2 or 1.3 that offers HTTP/2 and HTTP/1.1.
pub(crate) async fn shake(address: SocketAddr, name: ServerName<'static>, deadline: Instant) -> Seen {
    let (mut config, recorder) = match taking_any() {
        Ok(made) => made,
        Err(error) => {
            return Seen { broken: Some(Bad::new(Class::Tls, error.to_string())), ..Seen::default() };
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let shaken = async {
        let stream = connect(address, deadline).await?;
        let done = timeout_at(deadline, connector.connect(name, stream)).await;
        match done {
            Ok(Ok(stream)) => Ok(stream.get_ref().1.alpn_protocol() == Some(b"h2")),
            Ok(Err(error)) => Err(Bad::new(class_of(&error), printable(&error.to_string()))),
            Err(_elapsed) => Err(Bad::new(Class::Timeout, "no end of the handshake in time")),
        }
    };
    let ended = shaken.await;
    let mut seen = recorder.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match ended {
        Ok(is_http2) => seen.is_http2 = is_http2,
        Err(bad) => seen.broken = Some(bad),
    }
    seen
}

/// For asking what even a server says whose certificate is worth nothing. Nothing secret may be sent over it.
pub(crate) fn blind() -> Result<ClientConfig, Error> {
    taking_any().map(|(config, _)| config)
}

fn taking_any() -> Result<(ClientConfig, Arc<Recorder>), Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let recorder = Arc::new(Recorder { provider: provider.clone(), seen: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(recorder.clone())
        .with_no_client_auth();
    Ok((config, recorder))
}

/// A fault of TLS comes out of the connection as an error of input and output.
fn class_of(error: &std::io::Error) -> Class {
    match error.get_ref() {
        Some(inner) if inner.is::<Error>() => Class::Tls,
        Some(_) | None => class_of_io(error).unwrap_or(Class::Tls),
    }
}

impl Recorder {
    /// Goes on when the server has not shown that it has the key, as what comes then is worth knowing, too.
    fn proven(&self, shown: Result<HandshakeSignatureValid, Error>) -> HandshakeSignatureValid {
        if let Err(error) = shown {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.unproven = Some(printable(&error.to_string()));
        }
        HandshakeSignatureValid::assertion()
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.chain =
            std::iter::once(end_entity).chain(intermediates).map(|one| one.clone().into_owned()).collect();
        seen.is_stapled = !ocsp_response.is_empty();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.proven(verify_tls12_signature(message, cert, dss, algorithms)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.proven(verify_tls13_signature(message, cert, dss, algorithms)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
