//! What is asked for besides: HTTP/2, strict transport security, and an answer about revocation.

use crate::nginx::{Nginx, Site};
use shipkit_core::config::Tls;
use shipkit_core::{Outcome, Verdict};

const YEAR: &str = "add_header Strict-Transport-Security \"max-age=31536000; includeSubDomains\" always;";

#[track_caller]
fn check(outcome: &Outcome, verdict: Verdict, part: &str) {
    assert_eq!(outcome.verdict, verdict, "{outcome:?}");
    assert!(outcome.cause.contains(part), "{outcome:?}");
}

#[tokio::test]
async fn http_2_is_on_or_off() {
    let wanted = || Tls { http2: true, ..Tls::default() };
    check(&Nginx::start(&Site::fine()).tls(wanted()).await, Verdict::Fail, "it does not speak HTTP/2");
    let on = Site { listen: "http2".to_owned(), ..Site::fine() };
    check(&Nginx::start(&on).tls(wanted()).await, Verdict::Pass, "TLS 1.2, TLS 1.3");
}

#[tokio::test]
async fn strict_transport_security_is_there_once_and_for_long() {
    let wanted = || Tls { hsts: true, http2: true, ..Tls::default() };
    // Over HTTP/1.1 whatever else is spoken.
    let with = |lines: &str| Nginx::start(&Site { listen: "http2".to_owned(), ..Site::fine().lines(lines) });
    check(&with(YEAR).tls(wanted()).await, Verdict::Pass, "");
    check(&with("").tls(wanted()).await, Verdict::Fail, "there is no `Strict-Transport-Security`");
    let short = "add_header Strict-Transport-Security max-age=300;";
    check(&with(short).tls(wanted()).await, Verdict::Fail, "a `max-age` of 300, less than 15768000");
    check(&with(&format!("{YEAR} {short}")).tls(wanted()).await, Verdict::Fail, "is there 2 times");
}

#[tokio::test]
async fn what_is_said_of_revocation_is_stapled_or_not() {
    let wanted = || Tls { ocsp_stapling: true, ..Tls::default() };
    check(&Nginx::start(&Site::fine()).tls(wanted()).await, Verdict::Fail, "no OCSP response is stapled");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ocsp.der");
    // The shortest `OCSPResponse` there is: successful, and nothing else (RFC 6960 4.2.1).
    std::fs::write(&file, [0x30, 3, 0x0a, 1, 0]).unwrap();
    let stapled = format!("ssl_stapling on; ssl_stapling_file {};", file.display());
    for versions in ["TLSv1.2", "TLSv1.3"] {
        let site = Site::fine().speaks(versions).lines(&stapled);
        check(&Nginx::start(&site).tls(wanted()).await, Verdict::Pass, "is valid for");
    }
}
