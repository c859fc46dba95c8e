//! A JSON web token that is signed with an RSA key (RS256), as Google takes it from the holder of a service account's key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use shipkit_core::Secret;

/// The claims, signed with the PKCS #8 key in `pem`; else why that is no such key.
pub(super) fn signed(header: &Value, claims: &Value, pem: &Secret) -> Result<Secret, &'static str> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.reveal().as_bytes());
    // The errors themselves stay out: they may quote the key.
    let key = key.map_err(|_quotes| "its `private_key` is no PEM of PKCS #8")?;
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der())
        .map_err(|_quotes| "its `private_key` is no RSA key of 2048 bits or more")?;
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_says_nothing| "its `private_key` does not sign")?;
    Ok(Secret::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::json;

    use super::*;

    fn openssl(arguments: &[&str]) {
        let done = Command::new("openssl").args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    #[test]
    fn openssl_verifies_what_was_signed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (key, public, signature, text) = (path("key"), path("public"), path("signature"), path("text"));
        openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &key]);
        openssl(&["pkey", "-in", &key, "-pubout", "-out", &public]);
        let pem = Secret::new(std::fs::read_to_string(&key).unwrap());
        let (header, claims) = (json!({"alg": "RS256", "typ": "JWT"}), json!({"iss": "a", "exp": 1}));
        let token = signed(&header, &claims, &pem).unwrap();
        let (said, made) = token.reveal().rsplit_once('.').unwrap();
        // RFC 7515, A.1.1: parts are base64url without padding.
        assert_eq!(said, "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJhIiwiZXhwIjoxfQ");
        std::fs::write(&text, said).unwrap();
        std::fs::write(&signature, URL_SAFE_NO_PAD.decode(made).unwrap()).unwrap();
        openssl(&["dgst", "-sha256", "-verify", &public, "-signature", &signature, &text]);
    }

    #[test]
    fn what_is_no_key_is_not_shown() {
        let said = signed(&json!({}), &json!({}), &Secret::new("hunter2")).unwrap_err();
        assert_eq!(said, "its `private_key` is no PEM of PKCS #8");
        let pem = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n";
        let said = signed(&json!({}), &json!({}), &Secret::new(pem)).unwrap_err();
        assert_eq!(said, "its `private_key` is no RSA key of 2048 bits or more");
    }
}
