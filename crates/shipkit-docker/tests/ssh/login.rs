//! Who is let in, and what is said when nobody is.

use std::fs;

use shipkit_core::Hint as _;
use shipkit_core::exit::ExitCode;
use shipkit_docker::{Ssh, SshError, SshOptions};

use shipkit_tests::server::sshd::{Agent, Sshd, fingerprint, key, output, public};

use crate::client::{connect, options};

pub(crate) async fn refusal(sshd: &Sshd, options: &SshOptions) -> SshError {
    Ssh::connect(&sshd.address(), options).await.unwrap_err()
}

#[tokio::test]
async fn a_key_logs_in() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    assert_eq!(ssh.address(), &sshd.address());
    let mut options = options(&sshd);
    // As secrets are, once they went through a form.
    let text = options.key.unwrap().reveal().trim().replace('\n', "\r\n");
    options.key = Some(text.into());
    Ssh::connect(&sshd.address(), &options).await.unwrap();
}

#[tokio::test]
async fn an_ecdsa_key_logs_in() {
    let sshd = Sshd::start();
    let ecdsa = key(&sshd.path(""), "ecdsa", &["-t", "ecdsa", "-N", ""]);
    fs::write(sshd.path("authorized"), public(&ecdsa)).unwrap();
    let key = Some(fs::read_to_string(&ecdsa).unwrap().into());
    Ssh::connect(&sshd.address(), &SshOptions { key, ..options(&sshd) }).await.unwrap();
}

#[tokio::test]
async fn an_encrypted_key_needs_its_passphrase() {
    let sshd = Sshd::start();
    let locked = key(&sshd.path(""), "locked", &["-t", "ed25519", "-a", "1", "-N", "open sesame"]);
    fs::write(sshd.path("authorized"), public(&locked)).unwrap();
    let key = Some(fs::read_to_string(&locked).unwrap().into());
    let mut options = SshOptions { key, ..options(&sshd) };
    let error = refusal(&sshd, &options).await;
    assert!(matches!(error, SshError::KeyLocked), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Usage);
    options.passphrase = Some("open barley".into());
    let error = refusal(&sshd, &options).await;
    assert!(matches!(error, SshError::WrongPassphrase), "{error}");
    options.passphrase = Some("open sesame".into());
    Ssh::connect(&sshd.address(), &options).await.unwrap();
}

#[tokio::test]
async fn the_keys_of_an_agent_log_in_rsa_as_well() {
    let sshd = Sshd::start();
    let rsa = key(&sshd.path(""), "rsa", &["-t", "rsa", "-b", "2048", "-N", ""]);
    let other = key(&sshd.path(""), "other", &[]);
    let agent = Agent::start(&sshd.path("agent"), &[other.clone(), rsa.clone(), sshd.path("user")]);
    let mut options = SshOptions { key: None, agent: Some(agent.socket.clone()), ..options(&sshd) };
    for allowed in [sshd.path("user"), rsa.clone()] {
        fs::write(sshd.path("authorized"), public(&allowed)).unwrap();
        Ssh::connect(&sshd.address(), &options).await.unwrap();
    }
    // After a key that the server does not know.
    options.key = Some(fs::read_to_string(&other).unwrap().into());
    Ssh::connect(&sshd.address(), &options).await.unwrap();
}

#[tokio::test]
async fn a_key_that_the_server_does_not_know_is_named() {
    let sshd = Sshd::start();
    let other = key(&sshd.path(""), "other", &[]);
    let key = Some(fs::read_to_string(&other).unwrap().into());
    let error = refusal(&sshd, &SshOptions { key, ..options(&sshd) }).await;
    let said = format!("`{}` lets nobody in with the key {}", sshd.host(), fingerprint(&other));
    assert_eq!(error.to_string(), said);
    assert!(error.hint().unwrap().contains("authorized_keys"));
    assert_eq!(error.exit_code(), ExitCode::Unknown);
}

#[tokio::test]
async fn a_server_that_has_seen_enough_keys_is_unreachable() {
    let sshd = Sshd::with("MaxAuthTries 1");
    let keys: Vec<_> = (0..3).map(|number| key(&sshd.path(""), &format!("k{number}"), &[])).collect();
    let agent = Agent::start(&sshd.path("agent"), &keys);
    let options = SshOptions { key: None, agent: Some(agent.socket.clone()), ..options(&sshd) };
    let error = refusal(&sshd, &options).await;
    assert!(
        error.to_string().ends_with("it ended the connection: Too many authentication failures"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_no_key_is_said_before_anybody_is_asked() {
    let nowhere = "ssh://127.0.0.1:1".parse().unwrap();
    let refusal = async |key: Option<String>| {
        let options = SshOptions { key: key.map(Into::into), ..SshOptions::default() };
        Ssh::connect(&nowhere, &options).await.unwrap_err()
    };
    let folder = tempfile::tempdir().unwrap();
    let rsa = key(folder.path(), "rsa", &["-t", "rsa", "-b", "2048", "-N", ""]);
    let pem = key(folder.path(), "pem", &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""]);
    let good = key(folder.path(), "good", &[]);
    let error = refusal(None).await;
    assert!(matches!(error, SshError::NoKey(_)), "{error}");
    let error = refusal(Some(" \n".to_owned())).await;
    assert!(matches!(error, SshError::NoKey(_)), "{error}");
    for path in [rsa, pem] {
        let error = refusal(Some(fs::read_to_string(path).unwrap())).await;
        assert!(matches!(error, SshError::KeyKind(_)), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Usage);
    }
    let half: String = fs::read_to_string(&good).unwrap().lines().take(3).collect();
    for text in [public(&good), half, "-----BEGIN OPENSSH PRIVATE KEY-----".to_owned()] {
        let error = refusal(Some(text.clone())).await;
        assert!(matches!(error, SshError::BadKey(_)), "{text}: {error}");
    }
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_named() {
    let sshd = Sshd::start();
    let agent = Some(sshd.path("nobody"));
    let error = refusal(&sshd, &SshOptions { key: None, agent, ..options(&sshd) }).await;
    assert!(error.to_string().starts_with(&format!("the SSH agent at `{}`", sshd.text("nobody"))), "{error}");
    let unknown = format!("nobody-{}", output("id", &["-un"]));
    let address = sshd.host().replace(&output("id", &["-un"]), &unknown).parse().unwrap();
    let error = Ssh::connect(&address, &options(&sshd)).await.unwrap_err();
    assert!(matches!(error, SshError::LoginRefused { .. }), "{error}");
}
