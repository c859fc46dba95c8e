//! Certificates, one fault each.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::made::{Issuer, Made, Validity, days, self_signed};
use crate::nginx::{Nginx, Site, months, now};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, SupportedProtocolVersion};
use shipkit_core::config::Tls;
use shipkit_core::{Outcome, Verdict};
use shipkit_smoke::{Check, Kind, Options};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;

const HOUR: i64 = 60 * 60;

#[track_caller]
fn check(outcome: &Outcome, verdict: Verdict, parts: &[&str]) {
    assert_eq!(outcome.verdict, verdict, "{outcome:?}");
    for part in parts {
        assert!(outcome.cause.contains(part), "`{part}` is not in {outcome:?}");
    }
}

async fn seen(site: &Site) -> Outcome {
    Nginx::start(site).tls(Tls::default()).await
}

#[tokio::test]
async fn a_sound_one_passes_and_its_days_are_told() {
    let outcome = seen(&Site::fine()).await;
    let left = "the certificate for `localhost`, by `Test Middle`, is valid for 59 days more";
    assert_eq!(outcome, Outcome::pass(format!("TLS 1.2, TLS 1.3; {left}")));
}

#[tokio::test]
async fn an_address_may_stand_in_one() {
    let nginx = Nginx::start(&Site::of(&["127.0.0.1", "::1"], months()));
    let mut url = nginx.https.clone();
    url.set_host(Some("127.0.0.1")).unwrap();
    let outcome = nginx.ask(&url, Kind::Tls(Tls::default())).await.outcome;
    check(&outcome, Verdict::Pass, &["the certificate for `127.0.0.1`, `::1`"]);
}

#[tokio::test]
async fn one_that_has_expired_turns_visitors_away() {
    let outcome = seen(&Site::of(&["localhost"], days(now(), -90, -5))).await;
    check(
        &outcome,
        Verdict::Fail,
        &["its certificate expired on ", ", 5 days ago (TLS 1.2, TLS 1.3; ", "no days left"],
    );
}

#[tokio::test]
async fn one_that_is_not_valid_yet_does_so_too() {
    let validity = Validity { from: now() + 30 * HOUR + 60, until: now() + 2000 * HOUR };
    let outcome = seen(&Site::of(&["localhost"], validity)).await;
    check(&outcome, Verdict::Fail, &["its certificate is not valid before ", ", 30 hours from now"]);
}

#[tokio::test]
async fn one_for_another_host_is_named_with_its_hosts() {
    let outcome = seen(&Site::of(&["shop.test", "*.shop.test"], months())).await;
    check(
        &outcome,
        Verdict::Fail,
        &["its certificate is for `shop.test`, `*.shop.test`, not for `localhost`"],
    );
}

#[tokio::test]
async fn a_missing_intermediate_is_no_unknown_root() {
    let fine = Site::fine();
    let end = "-----END CERTIFICATE-----\n";
    let (leaf, _) = fine.chain.split_once(end).unwrap();
    let alone = Site { chain: format!("{leaf}{end}"), ..fine };
    check(&seen(&alone).await, Verdict::Fail, &["an intermediate certificate is missing: `Test Middle`"]);
    let unknown = Site { ca: None, ..Site::fine() };
    check(&seen(&unknown).await, Verdict::Fail, &["its chain ends at `Test Root`, which is no trusted root"]);
}

#[tokio::test]
async fn one_that_signs_itself_is_told_so_even_where_it_is_an_authority() {
    let text = &["its certificate is signed by itself", "is valid for 59 days more"];
    check(&seen(&Site::with(&self_signed("localhost", months()))).await, Verdict::Fail, text);
    let (chain, key) = by_openssl(&["-newkey", "rsa:2048", "-sha256"]);
    let outcome = seen(&Site { chain, key, ..Site::fine() }).await;
    check(&outcome, Verdict::Fail, &["its certificate is signed by itself"]);
    assert!(!outcome.cause.contains("has an RSA key"), "{outcome:?}");
}

#[tokio::test]
async fn one_that_lives_for_days_needs_a_third_of_them() {
    let of_six_days =
        |left: i64| Validity { from: now() - (144 - left) * HOUR - 60, until: now() + left * HOUR - 60 };
    let outcome = seen(&Site::of(&["localhost"], of_six_days(73))).await;
    check(&outcome, Verdict::Pass, &["is valid for 72 hours more"]);
    let soon = Site::of(&["localhost"], of_six_days(48));
    check(
        &seen(&soon).await,
        Verdict::Fail,
        &["its certificate expires on ", ", in 47 hours, which is less than 48 hours"],
    );
}

#[tokio::test]
async fn how_long_it_must_be_valid_may_be_said() {
    let nginx = Nginx::start(&Site::fine());
    let wants = |days: u64| Tls { expires_in: Some(Duration::from_hours(24 * days)), ..Tls::default() };
    check(&nginx.tls(wants(59)).await, Verdict::Pass, &[]);
    check(&nginx.tls(wants(60)).await, Verdict::Fail, &["in 59 days, which is less than 60 days"]);
}

#[tokio::test]
async fn a_small_key_and_a_broken_hash_are_told() {
    let (chain, key) = by_openssl(&["-newkey", "rsa:1024", "-sha1"]);
    let site = Site { chain, key, ..Site::fine() }.speaks("TLSv1.2 TLSv1.3");
    let outcome = seen(&site).await;
    let parts = [
        "the certificate of `localhost` has an RSA key of 1024 bits, less than 2048",
        "the certificate of `localhost` has a signature with SHA-1",
    ];
    check(&outcome, Verdict::Fail, &parts);
    assert!(!outcome.cause.contains("does not show"), "{outcome:?}");
}

#[tokio::test]
async fn an_authority_that_signs_with_a_broken_hash_is_not_trusted() {
    let (root, folder) = (Issuer::root("Test Root"), tempfile::tempdir().unwrap());
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ca, ca_key) = (file("ca.pem", root.certificate.pem()), file("ca.key", root.key_pem()));
    // By its own configuration OpenSSL would make an authority.
    let plain = file("plain.cnf", "[req]\ndistinguished_name = name\n[name]\n".to_owned());
    let by_ca = ["-newkey", "rsa:2048", "-sha1", "-config", &plain, "-CA", &ca, "-CAkey", &ca_key];
    let (chain, key) = by_openssl(&by_ca);
    let site = Site { chain, key, ca: Some(root.certificate.pem().into_bytes()), ..Site::fine() };
    let parts = [
        "its chain has a signature of a kind that is not trusted",
        "the certificate of `localhost` has a signature with SHA-1",
    ];
    check(&seen(&site.speaks("TLSv1.2 TLSv1.3")).await, Verdict::Fail, &parts);
}

#[tokio::test]
async fn who_shows_the_certificate_of_another_does_not_have_its_key() {
    let root = Issuer::root("Test Root");
    let ca = root.certificate.pem().into_bytes();
    let sound = Site { ca: Some(ca.clone()), ..Site::with(&root.server(&["localhost"], months())) };
    check(&seen(&sound).await, Verdict::Pass, &["by `Test Root`"]);
    // nginx itself refuses a pair that does not fit together.
    let (shown, other) = (root.server(&["localhost"], months()), root.server(&["localhost"], months()));
    let options = Options { ca_pem: Some(ca), timeout: Duration::from_mins(1), ..Options::default() };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let url = mismatched(&shown, &other, version).await;
        let asked = vec![Check::new("tls", Kind::Tls(Tls::default()))];
        let outcome = shipkit_smoke::run(&url, asked, &options).await.unwrap().checks.remove(0).outcome;
        check(
            &outcome,
            Verdict::Fail,
            &["it does not show that the certificate is its own: ", "is valid for 59 days"],
        );
    }
}

#[tokio::test]
async fn all_faults_stand_in_one_sentence_the_gravest_first() {
    let site = Site { ca: None, ..Site::of(&["shop.test"], days(now(), -90, -5)) }.speaks("TLSv1 TLSv1.2");
    let wanted = Tls { hsts: true, http2: true, ocsp_stapling: true, ..Tls::default() };
    let cause = Nginx::start(&site).tls(wanted).await.cause;
    let order = [
        "its certificate expired",
        "its certificate is for `shop.test`",
        "its chain ends at `Test Root`",
        "it speaks TLS 1.0, older than TLS 1.2",
        "there is no `Strict-Transport-Security`",
        "it does not speak HTTP/2",
        "no OCSP response is stapled",
        "(TLS 1.0, TLS 1.2; ",
    ];
    let places: Vec<usize> =
        order.iter().map(|part| cause.find(part).unwrap_or_else(|| panic!("{part}: {cause}"))).collect();
    assert!(places.is_sorted(), "{cause}");
}

/// A certificate that signs itself and its key, as OpenSSL makes them: an authority, too.
fn by_openssl(args: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-nodes",
        "-days",
        "60",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
    ]);
    let output = openssl
        .args(args)
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&chain)
        .output()
        .expect("openssl is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (std::fs::read_to_string(chain).unwrap(), std::fs::read_to_string(key).unwrap())
}

/// A server that shows the one certificate and signs with the key of the other.
async fn mismatched(shown: &Made, other: &Made, version: &'static SupportedProtocolVersion) -> Url {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(other.key.serialize_der()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let pair = Arc::new(CertifiedKey::new(vec![shown.certificate.der().clone()], key));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(acceptor.accept(stream));
        }
    });
    format!("https://localhost:{port}").parse().unwrap()
}
