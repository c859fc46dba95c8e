//! Which server is believed.

use std::fs;

use shipkit_core::Hint as _;
use shipkit_core::exit::ExitCode;
use shipkit_docker::{Ssh, SshError, SshOptions};

use shipkit_tests::server::sshd::{Sshd, fingerprint, key, output, public};

use crate::client::options;
use crate::login::refusal;

fn believing(sshd: &Sshd, known_hosts: &str) -> SshOptions {
    SshOptions { host_keys: Vec::new(), known_hosts: known_hosts.to_owned(), ..options(sshd) }
}

#[tokio::test]
async fn an_unknown_host_key_is_refused_every_time_and_what_to_pin_is_said() {
    let sshd = Sshd::start();
    for _ in 0..2 {
        let error = refusal(&sshd, &believing(&sshd, "")).await;
        let print = fingerprint(&sshd.path("host"));
        let said = format!("the host key of `{}` is not known: it shows ssh-ed25519 {print}", sshd.host());
        assert_eq!(error.to_string(), said);
        assert_eq!(error.exit_code(), ExitCode::Usage);
        let hint = error.hint().unwrap();
        assert!(hint.contains(&format!("pin `{print}`")), "{hint}");
        // What the hint says works.
        let line = hint.split('`').find(|part| part.starts_with("[127.0.0.1]:")).unwrap();
        Ssh::connect(&sshd.address(), &believing(&sshd, line)).await.unwrap();
    }
}

#[tokio::test]
async fn a_changed_host_key_is_told_from_an_unknown_one() {
    let sshd = Sshd::start();
    let old = key(&sshd.path(""), "old", &[]);
    let known = format!("# x\n[127.0.0.1]:{} {}\n", sshd.address().port(), public(&old));
    let error = refusal(&sshd, &believing(&sshd, &known)).await;
    let print = fingerprint(&sshd.path("host"));
    let said = format!(
        "the host key of `{}` has changed: it shows ssh-ed25519 {print}, and line 2 of the known hosts has another",
        sshd.host()
    );
    assert_eq!(error.to_string(), said);
    assert_eq!(error.exit_code(), ExitCode::Unknown);
}

#[tokio::test]
async fn a_pinned_host_key_is_the_only_one_that_is_believed() {
    let sshd = Sshd::start();
    let host = sshd.path("host");
    for pin in [fingerprint(&host), public(&host)] {
        Ssh::connect(&sshd.address(), &SshOptions { host_keys: vec![pin], ..options(&sshd) }).await.unwrap();
    }
    let other = fingerprint(&sshd.path("user"));
    let known_hosts = format!("* {}", public(&host));
    let error = refusal(&sshd, &SshOptions { host_keys: vec![other], known_hosts, ..options(&sshd) }).await;
    assert!(matches!(error, SshError::NotPinned { .. }), "{error}");
    assert!(error.to_string().contains(&fingerprint(&host)), "{error}");
}

#[tokio::test]
async fn names_that_ssh_keygen_has_hashed_are_read() {
    let sshd = Sshd::start();
    let path = sshd.text("known");
    fs::write(&path, format!("[127.0.0.1]:{} {}\n", sshd.address().port(), public(&sshd.path("host"))))
        .unwrap();
    output("ssh-keygen", &["-H", "-f", &path]);
    let known = fs::read_to_string(&path).unwrap();
    assert!(known.starts_with("|1|"), "{known}");
    Ssh::connect(&sshd.address(), &believing(&sshd, &known)).await.unwrap();
}

#[tokio::test]
async fn the_kind_of_host_key_that_is_known_is_the_one_that_is_asked_for() {
    let sshd = Sshd::with("HostKey FOLDER/host\nHostKey FOLDER/ecdsa");
    let ecdsa = key(&sshd.path(""), "ecdsa", &["-t", "ecdsa", "-b", "384", "-N", ""]);
    let known = format!("[127.0.0.1]:{} {}\n", sshd.address().port(), public(&ecdsa));
    Ssh::connect(&sshd.address(), &believing(&sshd, &known)).await.unwrap();
}

#[tokio::test]
async fn a_server_with_nothing_but_an_rsa_host_key_is_told_so() {
    let sshd = Sshd::with("HostKey FOLDER/rsa");
    key(&sshd.path(""), "rsa", &["-t", "rsa", "-b", "2048", "-N", ""]);
    let error = refusal(&sshd, &options(&sshd)).await;
    assert!(
        error.to_string().ends_with("of Key algorithms it only knows rsa-sha2-512, rsa-sha2-256"),
        "{error}"
    );
    assert_eq!(error.exit_code(), ExitCode::Unknown);
}

#[tokio::test]
async fn what_is_no_host_key_to_pin_is_refused_before_anybody_is_asked() {
    let sshd = Sshd::start();
    let host_keys = vec!["SHA256:short".to_owned()];
    let error = refusal(&sshd, &SshOptions { host_keys, ..options(&sshd) }).await;
    assert_eq!(error.to_string(), "`SHA256:short` is no host key to pin");
    assert_eq!(error.exit_code(), ExitCode::Usage);
}
