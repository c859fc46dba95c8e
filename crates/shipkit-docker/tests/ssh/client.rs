//! The client, as it logs in at the server of a test.

use std::fs;

use shipkit_docker::{Ssh, SshOptions};
use shipkit_tests::server::sshd::{Sshd, fingerprint};

/// What it takes to log in: the key, and the pinned host key.
pub(crate) fn options(sshd: &Sshd) -> SshOptions {
    SshOptions {
        key: Some(fs::read_to_string(sshd.path("user")).unwrap().into()),
        host_keys: vec![fingerprint(&sshd.path("host"))],
        ..SshOptions::default()
    }
}

pub(crate) async fn connect(sshd: &Sshd) -> Ssh {
    Ssh::connect(&sshd.address(), &options(sshd)).await.unwrap_or_else(|error| {
        panic!("{error}\n{}", fs::read_to_string(sshd.path("log")).unwrap_or_default())
    })
}
