//! `HostKeys`: which host key of a server is believed. Nothing is believed because it is seen for the first time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use russh::keys::ssh_key::Fingerprint;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};
use shipkit_core::SshAddress;

use super::error::SshError;

/// The kinds of host keys whose signatures can be checked, in the order in which they are asked for.
const KINDS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
];

/// What is known about the host keys of one server.
#[derive(Debug)]
pub(super) struct HostKeys {
    host: String,
    known_as: String,
    pins: Vec<Pin>,
    known: Vec<Known>,
}

#[derive(Debug)]
enum Pin {
    Fingerprint(Fingerprint),
    Key(PublicKey),
}

/// A line of `known_hosts` that is about this server.
#[derive(Debug)]
struct Known {
    line: usize,
    is_revoked: bool,
    key: PublicKey,
}

impl HostKeys {
    /// Reads `known_hosts`, whose lines that say nothing here are passed over as every SSH client does, and pins: a
    /// fingerprint, a public key, or a line of `known_hosts`, all of which must say something.
    pub(super) fn read(address: &SshAddress, known_hosts: &str, pins: &[String]) -> Result<Self, SshError> {
        let mut keys = Self {
            host: address.to_string(),
            known_as: address.known_as(),
            pins: Vec::new(),
            known: Vec::new(),
        };
        let lines = known_hosts.lines().enumerate();
        keys.known = lines.filter_map(|(at, text)| known(at + 1, text, &keys.known_as)).collect();
        for text in pins.iter().flat_map(|pin| pin.lines()).map(str::trim).filter(|pin| !is_comment(pin)) {
            keys.pins.push(pin(text, &keys.known_as).ok_or_else(|| SshError::BadPin(text.to_owned()))?);
        }
        Ok(keys)
    }

    /// The kinds of host keys to ask for: first those that something is known of.
    pub(super) fn kinds(&self) -> Vec<Algorithm> {
        let pinned = self.pins.iter().filter_map(|pin| match pin {
            Pin::Fingerprint(_) => None,
            Pin::Key(key) => Some(key.algorithm()),
        });
        let there: Vec<Algorithm> =
            pinned.chain(self.known.iter().map(|known| known.key.algorithm())).collect();
        let (mut first, rest): (Vec<_>, Vec<_>) = KINDS.into_iter().partition(|kind| there.contains(kind));
        first.extend(rest);
        first
    }

    /// Whether the server is the one that was meant. Pins, where there are any, alone decide.
    pub(super) fn check(&self, shown: &PublicKey) -> Result<(), SshError> {
        let fingerprint = shown.fingerprint(HashAlg::Sha256).to_string();
        let (host, algorithm) = (self.host.clone(), shown.algorithm().to_string());
        let is_same = |key: &PublicKey| key.key_data() == shown.key_data();
        if let Some(known) = self.known.iter().find(|known| known.is_revoked && is_same(&known.key)) {
            return Err(SshError::RevokedHostKey { host, fingerprint, line: known.line });
        }
        if !self.pins.is_empty() {
            let is_pinned = self.pins.iter().any(|pin| match pin {
                Pin::Fingerprint(pinned) => *pinned == shown.fingerprint(pinned.algorithm()),
                Pin::Key(key) => is_same(key),
            });
            return if is_pinned {
                Ok(())
            } else {
                Err(SshError::NotPinned { host, algorithm, fingerprint })
            };
        }
        let mut believed = self.known.iter().filter(|known| !known.is_revoked);
        if believed.clone().any(|known| is_same(&known.key)) {
            return Ok(());
        }
        if let Some(other) = believed.find(|known| known.key.algorithm() == shown.algorithm()) {
            return Err(SshError::ChangedHostKey { host, algorithm, fingerprint, line: other.line });
        }
        let key = PublicKey::new(shown.key_data().clone(), "").to_openssh().unwrap_or_default();
        Err(SshError::UnknownHostKey {
            host,
            algorithm,
            fingerprint,
            line: format!("{} {key}", self.known_as),
        })
    }
}

fn is_comment(line: &str) -> bool {
    line.is_empty() || line.starts_with('#')
}

fn pin(text: &str, known_as: &str) -> Option<Pin> {
    if text.starts_with("SHA256:") {
        return text.parse().ok().map(Pin::Fingerprint);
    }
    let of_this_server = known(0, text, known_as).filter(|known| !known.is_revoked).map(|known| known.key);
    of_this_server.or_else(|| text.parse().ok()).map(Pin::Key)
}

/// Reads one line of `known_hosts`. `None` if it is about another server, or a certificate authority.
fn known(line: usize, text: &str, known_as: &str) -> Option<Known> {
    let text = text.trim();
    if is_comment(text) {
        return None;
    }
    let mut words = text.split_ascii_whitespace();
    let mut hosts = words.next()?;
    let is_revoked = hosts == "@revoked";
    if is_revoked {
        hosts = words.next()?;
    } else if hosts.starts_with('@') {
        return None;
    }
    let key = format!("{} {}", words.next()?, words.next()?).parse().ok()?;
    is_about(hosts, known_as).then_some(Known { line, is_revoked, key })
}

/// Whether the first field of a line names the server: hashed, or a list of patterns of which one that begins with `!`
/// takes the whole line away (sshd(8), on the format of `ssh_known_hosts`).
fn is_about(field: &str, known_as: &str) -> bool {
    if let Some(hashed) = field.strip_prefix("|1|") {
        let Some((salt, hash)) = hashed.split_once('|') else { return false };
        let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else { return false };
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
        return hmac::verify(&key, known_as.as_bytes(), &hash).is_ok();
    }
    let mut is_named = false;
    for pattern in field.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if fits(pattern, known_as) => return false,
            Some(_) => {}
            None => is_named |= fits(pattern, known_as),
        }
    }
    is_named
}

/// Whether a pattern with `*` and `?` fits a whole name, in time that grows with the product of their lengths only.
fn fits(pattern: &str, name: &str) -> bool {
    // One for each length: whether what was read of the pattern fits that much of the name.
    let mut reached: Vec<bool> = std::iter::once(true).chain(name.chars().map(|_| false)).collect();
    for wanted in pattern.chars() {
        reached = if wanted == '*' {
            let so_far = reached.iter().scan(false, |any, is_reached| {
                *any |= is_reached;
                Some(*any)
            });
            so_far.collect()
        } else {
            let is_one = |c: char| wanted == '?' || wanted.eq_ignore_ascii_case(&c);
            let longer = reached.iter().zip(name.chars()).map(|(is_reached, c)| *is_reached && is_one(c));
            std::iter::once(false).chain(longer).collect()
        };
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const TWO: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK2pr+Bfus1hvPof4Wb/plZCzSbqadHH0u+/f4ODtKnE";

    fn key(text: &str) -> PublicKey {
        text.parse().unwrap()
    }

    fn print(text: &str) -> String {
        key(text).fingerprint(HashAlg::Sha256).to_string()
    }

    #[track_caller]
    fn check(known_hosts: &str, pins: &[&str]) -> Result<(), SshError> {
        let address = "ssh://deploy@web1.example.org:2222".parse().unwrap();
        let pins: Vec<String> = pins.iter().map(|pin| (*pin).to_owned()).collect();
        HostKeys::read(&address, known_hosts, &pins)?.check(&key(ONE))
    }

    #[track_caller]
    fn is_unknown(known_hosts: &str) {
        let error = check(known_hosts, &[]).unwrap_err();
        assert!(matches!(error, SshError::UnknownHostKey { .. }), "{known_hosts}: {error}");
    }

    #[test]
    fn a_key_that_stands_there_is_believed() {
        for hosts in ["[web1.example.org]:2222", "a,[WEB1.example.org]:2222", "[web?.*]:2222", "*"] {
            check(&format!("# mine\n\n{hosts} {ONE} me@home\n"), &[]).unwrap();
        }
    }

    #[test]
    fn a_line_about_another_server_says_nothing() {
        for hosts in [
            "web1.example.org",
            "[web1.example.org]:22",
            "*,![web1.*]:2222",
            "[web?.example.or]:2222",
            "@cert-authority *",
        ] {
            is_unknown(&format!("{hosts} {ONE}\n"));
        }
        is_unknown("");
        is_unknown("[web1.example.org]:2222 ssh-ed25519 AAAA\n[web1.example.org]:2222\n");
    }

    #[test]
    fn a_name_may_be_hashed() {
        let salt = [7; 20];
        let hash = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt),
            b"[web1.example.org]:2222",
        );
        let (salt, hash) = (STANDARD.encode(salt), STANDARD.encode(hash.as_ref()));
        check(&format!("|1|{salt}|{hash} {ONE}"), &[]).unwrap();
        is_unknown(&format!("|1|{hash}|{salt} {ONE}"));
        is_unknown(&format!("|1|{hash} {ONE}"));
    }

    #[test]
    fn another_key_of_the_same_kind_is_a_change_and_says_where() {
        let error = check(&format!("x {ONE}\n[web1.example.org]:2222 {TWO}\n"), &[]).unwrap_err();
        assert!(matches!(error, SshError::ChangedHostKey { line: 2, .. }), "{error}");
        check(&format!("[web1.example.org]:2222 {TWO}\n[web1.example.org]:2222 {ONE}\n"), &[]).unwrap();
    }

    #[test]
    fn an_unknown_key_comes_with_the_line_that_makes_it_known() {
        let error = check("", &[]).unwrap_err();
        let hint = shipkit_core::Hint::hint(&error).unwrap();
        assert!(hint.contains(&format!("`[web1.example.org]:2222 {ONE}`")), "{hint}");
        assert!(hint.contains(&print(ONE)) && error.to_string().contains(&print(ONE)), "{error} {hint}");
    }

    #[test]
    fn a_revoked_key_is_refused_whoever_else_believes_it() {
        let revoked = format!("* {ONE}\n@revoked * {ONE}\n");
        for pins in [vec![], vec![ONE]] {
            let error = check(&revoked, &pins).unwrap_err();
            assert!(matches!(error, SshError::RevokedHostKey { line: 2, .. }), "{error}");
        }
    }

    #[test]
    fn a_pin_is_a_fingerprint_a_key_or_a_line_of_known_hosts() {
        let line = format!("[web1.example.org]:2222 {ONE} comment");
        for pin in [print(ONE).as_str(), ONE, &line, &format!("# all\n{}\n{}\n", print(TWO), print(ONE))] {
            check("", &[pin]).unwrap();
        }
    }

    #[test]
    fn pins_alone_decide() {
        let error = check(&format!("* {ONE}\n"), &[&print(TWO)]).unwrap_err();
        assert!(matches!(error, SshError::NotPinned { .. }), "{error}");
        check(&format!("* {TWO}\n"), &[&print(ONE)]).unwrap();
    }

    #[test]
    fn a_pin_that_says_nothing_is_refused() {
        for pin in
            ["SHA256:x", "MD5:00", "web1.example.org", &format!("other {ONE}"), &format!("@revoked * {ONE}")]
        {
            let error = check("", &[pin]).unwrap_err();
            assert!(matches!(error, SshError::BadPin(_)), "{pin}: {error}");
        }
    }

    #[test]
    fn what_is_known_is_asked_for_first() {
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBMxBTpMIGvo7CnordO7wP0QQRqpBwUjOLl4eMhfucfE1sjTYyK5wmTl1UqoSDS1PtRVTBdl+0+9pquFb46U7fwg=";
        let address = "ssh://host".parse().unwrap();
        let keys = HostKeys::read(&address, &format!("host {ecdsa}"), &[]).unwrap();
        assert_eq!(keys.kinds().first(), Some(&key(ecdsa).algorithm()));
        assert_eq!(keys.kinds().len(), 4);
    }
}
