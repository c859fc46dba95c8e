//! `Login`: the keys that are shown to a server.

use std::path::PathBuf;
use std::sync::Arc;

use russh::client::Handle;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, Error, HashAlg, PrivateKey, PrivateKeyWithHashAlg, decode_secret_key};
use shipkit_core::{Secret, SshAddress};

use super::SshOptions;
use super::connection::{Guard, failed};
use super::error::SshError;

/// What to log in with: one of them at least.
pub(super) struct Login {
    key: Option<Arc<PrivateKey>>,
    agent: Option<PathBuf>,
}

impl Login {
    pub(super) fn read(address: &SshAddress, options: &SshOptions) -> Result<Self, SshError> {
        let given = options.key.as_ref().filter(|key| !key.reveal().trim().is_empty());
        let key = given.map(|text| private_key(text, options.passphrase.as_ref())).transpose()?;
        if key.is_none() && options.agent.is_none() {
            return Err(SshError::NoKey(address.to_string()));
        }
        Ok(Self { key: key.map(Arc::new), agent: options.agent.clone() })
    }

    /// Shows the private key, then those of the agent, until the server lets one in.
    pub(super) async fn log_in(
        &self,
        handle: &mut Handle<Guard>,
        address: &SshAddress,
    ) -> Result<(), SshError> {
        let mut tried = Vec::new();
        if let Some(key) = &self.key {
            tried.push(format!("the key {}", key.fingerprint(HashAlg::Sha256)));
            let key = PrivateKeyWithHashAlg::new(Arc::clone(key), None);
            let answer = handle.authenticate_publickey(address.user(), key).await;
            if answer.map_err(|error| failed(address, &error))?.success() {
                return Ok(());
            }
        }
        if let Some(socket) = &self.agent {
            let broken = |error: &dyn ToString| SshError::Agent {
                socket: socket.display().to_string(),
                reason: error.to_string(),
            };
            let mut agent = AgentClient::connect_uds(socket).await.map_err(|error| broken(&error))?;
            let keys = agent.request_identities().await.map_err(|error| broken(&error))?;
            tried.push(format!("the {} keys of the agent", keys.len()));
            for identity in keys {
                let AgentIdentity::PublicKey { key, .. } = identity else { continue };
                let hash = matches!(key.algorithm(), Algorithm::Rsa { .. }).then_some(HashAlg::Sha512);
                let answer = handle.authenticate_publickey_with(address.user(), key, hash, &mut agent).await;
                // A key that the agent does not sign with, as one that must be confirmed, is passed over.
                if answer.is_ok_and(|answer| answer.success()) {
                    return Ok(());
                }
            }
        }
        Err(SshError::LoginRefused { host: address.to_string(), tried: tried.join(" or ") })
    }
}

fn private_key(text: &Secret, passphrase: Option<&Secret>) -> Result<PrivateKey, SshError> {
    let passphrase = passphrase.map(Secret::reveal).filter(|passphrase| !passphrase.is_empty());
    // A secret that went through a form or a shell may have lost the end of its last line, or got other line ends.
    let text = text.reveal().trim().replace("\r\n", "\n") + "\n";
    let key = decode_secret_key(&text, passphrase).map_err(|error| {
        if matches!(error, Error::KeyIsEncrypted) {
            SshError::KeyLocked
        } else if let Error::UnsupportedKeyType { key_type_string, .. } = error {
            SshError::KeyKind(key_type_string)
        } else if passphrase.is_some() {
            SshError::WrongPassphrase
        } else {
            SshError::BadKey(error.to_string())
        }
    })?;
    let kind = key.algorithm();
    let can_sign = matches!(kind, Algorithm::Ed25519 | Algorithm::Ecdsa { .. });
    if can_sign { Ok(key) } else { Err(SshError::KeyKind(kind.to_string())) }
}
