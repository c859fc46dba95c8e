//! Which versions are spoken, beside what OpenSSL's client, testssl.sh and sslyze say about the same servers.

use std::process::{Command, Stdio};

use crate::nginx::{Nginx, Site};
use serde_json::Value;
use shipkit_core::Verdict;
use shipkit_core::config::{Tls, TlsVersion};

/// What a version is called by everybody.
struct Version {
    /// In the report.
    name: &'static str,
    nginx: &'static str,
    /// The flag of `openssl s_client`.
    openssl: &'static str,
    testssl: &'static str,
    sslyze: &'static str,
}

const VERSIONS: [Version; 4] = [
    Version { name: "TLS 1.0", nginx: "TLSv1", openssl: "-tls1", testssl: "TLS1", sslyze: "tls_1_0" },
    Version { name: "TLS 1.1", nginx: "TLSv1.1", openssl: "-tls1_1", testssl: "TLS1_1", sslyze: "tls_1_1" },
    Version { name: "TLS 1.2", nginx: "TLSv1.2", openssl: "-tls1_2", testssl: "TLS1_2", sslyze: "tls_1_2" },
    Version { name: "TLS 1.3", nginx: "TLSv1.3", openssl: "-tls1_3", testssl: "TLS1_3", sslyze: "tls_1_3" },
];

/// Which of [`VERSIONS`] the servers speak.
const SETS: [&[usize]; 9] = [&[0], &[1], &[2], &[3], &[0, 1], &[1, 2], &[0, 2], &[2, 3], &[0, 1, 2, 3]];

fn names(is_spoken: impl Fn(&Version) -> bool) -> Vec<&'static str> {
    VERSIONS.iter().filter(|version| is_spoken(version)).map(|version| version.name).collect()
}

/// The versions that the report says are spoken, of those that OpenSSL's client knows.
async fn reported(nginx: &Nginx) -> Vec<&'static str> {
    let cause = nginx.tls(Tls::default()).await.cause;
    let list = cause.rsplit_once(" (").map_or(cause.as_str(), |(_, known)| known);
    let list: Vec<&str> = list.split([';', ')']).next().unwrap().split(", ").collect();
    names(|version| list.contains(&version.name))
}

fn place(nginx: &Nginx) -> String {
    format!("127.0.0.1:{}", nginx.https.port().unwrap())
}

fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// What OpenSSL's client comes to an end of a handshake with.
fn of_openssl(nginx: &Nginx) -> Vec<&'static str> {
    names(|version| {
        let mut openssl = quiet("openssl");
        openssl.args(["s_client", "-connect", &place(nginx), "-servername", "localhost"]);
        openssl.args(["-cipher", "ALL@SECLEVEL=0", version.openssl]);
        openssl.status().expect("openssl is there").success()
    })
}

/// What testssl.sh finds offered.
fn of_testssl(nginx: &Nginx) -> Vec<&'static str> {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let mut testssl = quiet("testssl");
    testssl.args(["-p", "--quiet", "--warnings", "off", "--nodns", "min", "--ip", "one", "--jsonfile"]);
    testssl.arg(&report).arg(place(nginx)).status().expect("`scripts/bed up testssl` installs it");
    let found: Vec<Value> = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let finding = |id: &str| found.iter().find(|one| one["id"] == id)?["finding"].as_str();
    names(|version| finding(version.testssl).unwrap().starts_with("offered"))
}

/// What sslyze takes for supported, of each of these.
fn of_sslyze(all: &[Nginx]) -> Vec<Vec<&'static str>> {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let program = std::env::var("SSLYZE").expect("`scripts/bed up sslyze` says where it is");
    let mut sslyze = quiet(&program);
    sslyze.args(["--quiet", "--mozilla_config", "disable", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3"]);
    sslyze.arg("--json_out").arg(&report).args(all.iter().map(place));
    assert!(sslyze.status().expect("sslyze is there").success());
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let results = report["server_scan_results"].as_array().unwrap();
    let of = |nginx: &Nginx| {
        let port = nginx.https.port().unwrap();
        let result = results.iter().find(|one| one["server_location"]["port"] == port).unwrap();
        let spoken = |version: &Version| {
            let said = &result["scan_result"][format!("{}_cipher_suites", version.sslyze)];
            said["result"]["is_tls_version_supported"].as_bool().unwrap()
        };
        names(spoken)
    };
    all.iter().map(of).collect()
}

#[tokio::test]
async fn each_set_of_versions_is_told_as_others_tell_it() {
    let words = |set: &[usize]| set.iter().map(|at| VERSIONS[*at].nginx).collect::<Vec<_>>().join(" ");
    let all: Vec<Nginx> = SETS.iter().map(|set| Nginx::start(&Site::fine().speaks(&words(set)))).collect();
    let of_sslyze = of_sslyze(&all);
    let of_testssl: Vec<_> = std::thread::scope(|threads| {
        let asked: Vec<_> = all.iter().map(|nginx| threads.spawn(|| of_testssl(nginx))).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (at, set) in SETS.iter().enumerate() {
        let seen = reported(&all[at]).await;
        assert_eq!(seen, of_openssl(&all[at]), "{set:?}");
        assert_eq!(seen, of_testssl[at], "{set:?}");
        assert_eq!(seen, of_sslyze[at], "{set:?}");
        // This nginx really speaks them, so that they do not agree about nothing.
        assert_eq!(seen, set.iter().map(|at| VERSIONS[*at].name).collect::<Vec<_>>(), "{set:?}");
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
