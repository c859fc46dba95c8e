//! The real engine behind TLS that asks for certificates, as dockerd does with `--tlsverify`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use shipkit_core::Hint as _;
use shipkit_core::exit::ExitCode;
use shipkit_docker::{Access, Swarm, SwarmError, TlsOptions};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::TlsAcceptor;

const SOCKET: &str = "/var/run/docker.sock";

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let output = command.args(arguments.split(' ')).current_dir(folder).output();
    let output = output.expect("openssl: `scripts/bed up ssh` installs it");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, and what it has signed for a server at 127.0.0.1 and for a client.
fn certificates() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2";
    let path = folder.path();
    openssl(path, &format!("req -x509 {new} -subj /CN=authority -keyout ca.key -out ca.pem"));
    for (name, further) in [("server", " -addext subjectAltName=IP:127.0.0.1"), ("client", "")] {
        let by = "-CA ca.pem -CAkey ca.key -addext basicConstraints=critical,CA:false";
        openssl(
            path,
            &format!("req -x509 {new} {by} -subj /CN={name} -keyout {name}.key -out {name}.pem{further}"),
        );
    }
    folder
}

fn text(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

fn access(authority: &TempDir, own: &TempDir) -> Access {
    let tls = TlsOptions {
        ca: text(authority, "ca.pem"),
        certificate: text(own, "client.pem"),
        key: text(own, "client.key").into(),
    };
    Access { tls: Some(tls), ..Access::default() }
}

/// Serves the engine of this machine and gives the port.
async fn serve(folder: &TempDir) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let read = |name| CertificateDer::from_pem_slice(text(folder, name).as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(read("ca.pem")).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = PrivateKeyDer::from_pem_slice(text(folder, "server.key").as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![read("server.pem")], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut engine = UnixStream::connect(SOCKET).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut engine).await
            });
        }
    });
    port
}

#[tokio::test]
async fn the_engine_is_the_same_behind_tls() {
    let folder = certificates();
    let host = format!("tcp://127.0.0.1:{}", serve(&folder).await);
    let swarm = Swarm::connect_with(&host, &access(&folder, &folder)).await.unwrap();
    assert!(swarm.observe("no-such-stack").await.unwrap().services.is_empty());
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_told_from_an_engine_that_is_not_there() {
    let (folder, other) = (certificates(), certificates());
    let port = serve(&folder).await;
    let refusal = async |host: &str, access: &Access| {
        let error = Swarm::connect_with(&format!("tcp://{host}:{port}"), access).await.unwrap_err();
        assert!(matches!(error, SwarmError::Tls { .. }), "{error:?}");
        assert_eq!(error.exit_code(), ExitCode::Unknown);
        error.to_string()
    };
    // Signed by somebody else.
    let said = refusal("127.0.0.1", &access(&other, &folder)).await;
    assert!(said.contains("invalid peer certificate"), "{said}");
    // For another name.
    let said = refusal("localhost", &access(&folder, &folder)).await;
    assert!(said.contains("not valid for name"), "{said}");
    // Ours is not taken.
    let said = refusal("127.0.0.1", &access(&folder, &other)).await;
    assert!(said.contains("received fatal alert"), "{said}");
}

#[tokio::test]
async fn what_is_no_certificate_is_said_before_anybody_is_asked() {
    let folder = certificates();
    let good = access(&folder, &folder).tls.unwrap();
    let bad = [
        TlsOptions { ca: String::new(), ..good.clone() },
        TlsOptions { certificate: "-----BEGIN CERTIFICATE-----\nx".to_owned(), ..good.clone() },
        TlsOptions { key: "x".into(), ..good.clone() },
        TlsOptions { key: text(&folder, "ca.key").into(), ..good.clone() },
    ];
    for (tls, what) in bad.into_iter().zip(["ca", "certificate", "key", "key"]) {
        let access = Access { tls: Some(tls), ..Access::default() };
        let error = Swarm::connect_with("tcp://127.0.0.1:1", &access).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("the `{what}` for TLS cannot be read: ")), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Usage);
    }
}
