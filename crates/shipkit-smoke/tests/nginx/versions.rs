//! Which versions are spoken, beside what OpenSSL's client says about the same servers.

use std::process::{Command, Stdio};

use crate::nginx::{Nginx, Site};
use shipkit_core::Verdict;
use shipkit_core::config::{Tls, TlsVersion};

/// Names in nginx, in the report, and the flag of `openssl s_client`.
const VERSIONS: [(&str, &str, &str); 4] = [
    ("TLSv1", "TLS 1.0", "-tls1"),
    ("TLSv1.1", "TLS 1.1", "-tls1_1"),
    ("TLSv1.2", "TLS 1.2", "-tls1_2"),
    ("TLSv1.3", "TLS 1.3", "-tls1_3"),
];

/// The versions that the report says are spoken, of those that OpenSSL's client knows.
async fn reported(nginx: &Nginx) -> Vec<&'static str> {
    let cause = nginx.tls(Tls::default()).await.cause;
    let list = cause.rsplit_once(" (").map_or(cause.as_str(), |(_, known)| known);
    let list: Vec<&str> = list.split([';', ')']).next().unwrap().split(", ").collect();
    VERSIONS.iter().map(|(_, name, _)| *name).filter(|name| list.contains(name)).collect()
}

/// What OpenSSL's client comes to an end of a handshake with.
fn of_openssl(nginx: &Nginx) -> Vec<&'static str> {
    let place = format!("127.0.0.1:{}", nginx.https.port().unwrap());
    let speaks = |flag: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args([
            "s_client",
            "-connect",
            &place,
            "-servername",
            "localhost",
            "-cipher",
            "ALL@SECLEVEL=0",
            flag,
        ]);
        let ended = openssl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        ended.expect("openssl is there").success()
    };
    VERSIONS.iter().filter(|(_, _, flag)| speaks(flag)).map(|(_, name, _)| *name).collect()
}

#[tokio::test]
async fn each_set_of_versions_is_told_as_openssl_tells_it() {
    for set in [&[0][..], &[1], &[2], &[3], &[0, 1], &[1, 2], &[0, 2], &[2, 3], &[0, 1, 2, 3]] {
        let words: Vec<&str> = set.iter().map(|at| VERSIONS[*at].0).collect();
        let nginx = Nginx::start(&Site::fine().speaks(&words.join(" ")));
        let seen = reported(&nginx).await;
        assert_eq!(seen, of_openssl(&nginx), "{words:?}");
        // This nginx really speaks them, so that the two do not agree about nothing.
        assert_eq!(seen, set.iter().map(|at| VERSIONS[*at].1).collect::<Vec<_>>(), "{words:?}");
    }
}

#[tokio::test]
async fn what_is_older_than_the_floor_fails_and_is_named() {
    let nginx = Nginx::start(&Site::fine().speaks("TLSv1 TLSv1.1 TLSv1.2 TLSv1.3"));
    let outcome = nginx.tls(Tls::default()).await;
    assert_eq!(outcome.verdict, Verdict::Fail, "{outcome:?}");
    assert!(outcome.cause.starts_with("it speaks TLS 1.0, TLS 1.1, older than TLS 1.2 ("), "{outcome:?}");
    let nginx = Nginx::start(&Site::fine());
    let newest = Tls { min_version: Some(TlsVersion::V1_3), ..Tls::default() };
    let outcome = nginx.tls(newest.clone()).await;
    assert!(outcome.cause.starts_with("it speaks TLS 1.2, older than TLS 1.3 ("), "{outcome:?}");
    let nginx = Nginx::start(&Site::fine().speaks("TLSv1.3"));
    assert_eq!(nginx.tls(newest).await.verdict, Verdict::Pass);
}

#[tokio::test]
async fn who_speaks_only_old_versions_shows_no_certificate() {
    let nginx = Nginx::start(&Site::fine().speaks("TLSv1"));
    let outcome = nginx.tls(Tls::default()).await;
    assert_eq!(outcome.verdict, Verdict::Fail, "{outcome:?}");
    assert!(outcome.cause.starts_with("no handshake with TLS 1.2 or 1.3: "), "{outcome:?}");
    assert!(outcome.cause.ends_with("; it speaks TLS 1.0, older than TLS 1.2 (TLS 1.0)"), "{outcome:?}");
}

#[tokio::test]
async fn a_request_for_a_key_in_another_group_is_an_answer() {
    let nginx = Nginx::start(&Site::fine().speaks("TLSv1.3").lines("ssl_ecdh_curve secp384r1;"));
    let outcome = nginx.tls(Tls::default()).await;
    assert_eq!(outcome.verdict, Verdict::Pass, "{outcome:?}");
    assert!(outcome.cause.starts_with("TLS 1.3; "), "{outcome:?}");
}

#[tokio::test]
async fn plain_http_at_the_port_is_no_tls() {
    let nginx = Nginx::start(&Site::fine());
    let plain = nginx.http.as_str().replace("http:", "https:").parse().unwrap();
    let outcome = nginx.ask(&plain, shipkit_smoke::Kind::Tls(Tls::default())).await.outcome;
    let port = plain.port().unwrap();
    assert_eq!(outcome, shipkit_core::Outcome::fail(format!("what answers at `localhost:{port}` is no TLS")));
}
