//! `Certificate`: what a certificate says of itself (RFC 5280), and what is wrong with that. Who vouches for it is `trust`'s.

use std::time::Duration;

use jiff::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::FromDer as _;
use x509_parser::extensions::GeneralName;
use x509_parser::public_key::PublicKey;
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::{AlgorithmIdentifier, X509Name};

use super::fault::{Fault, Gravity};
use crate::judge::short;

/// What is asked for when nobody says: long enough to notice and renew.
pub(crate) const SOON: i64 = 14 * DAY;
pub(crate) const DAY: i64 = 24 * HOUR;
const HOUR: i64 = 60 * 60;
/// How many days are told exactly.
const FEW: i64 = 4;
/// How many names a sentence holds.
const NAMED: usize = 3;
/// The smallest keys that authorities may sign (CA/Browser Forum, Baseline Requirements 6.1.5), in bits.
pub(crate) const RSA_BITS: usize = 2048;
pub(crate) const CURVE_BITS: usize = 256;

/// What stands in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Who it is about, for people.
    pub(crate) subject: String,
    /// Who issued it, for people.
    pub(crate) issuer: String,
    /// The same as bytes, which are equal where a chain holds together (RFC 5280 6.1.3).
    pub(crate) subject_bytes: Vec<u8>,
    pub(crate) issuer_bytes: Vec<u8>,
    /// In seconds of Unix time, both included.
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    /// The hosts in its subject alternative names: nothing else names a host (RFC 9525 6.1).
    pub(crate) hosts: Vec<String>,
    pub(crate) key: Key,
    /// The broken hash function that it is signed with.
    pub(crate) broken_hash: Option<&'static str>,
}

/// A public key, as far as its size goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Rsa {
        bits: usize,
    },
    Curve {
        bits: usize,
    },
    /// DSA, which no server should have any more.
    Dsa,
    /// Ed25519 and others that come in one size.
    Other,
}

impl Certificate {
    /// Reads DER; `None` if it is no certificate.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (rest, read) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        Some(Self {
            subject: name(read.subject()),
            issuer: name(read.issuer()),
            subject_bytes: read.subject().as_raw().to_vec(),
            issuer_bytes: read.issuer().as_raw().to_vec(),
            not_before: read.validity().not_before.timestamp(),
            not_after: read.validity().not_after.timestamp(),
            hosts: hosts(&read),
            key: key(&read),
            broken_hash: broken_hash(&read.signature_algorithm),
        })
    }

    /// Whether it names itself as its issuer.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.subject_bytes == self.issuer_bytes
    }

    /// The moment nearest to `now` at which it is valid.
    pub(crate) fn valid_moment(&self, now: i64) -> i64 {
        now.min(self.not_after).max(self.not_before)
    }

    /// What is wrong with its dates. `wanted` is how long it must stay valid; without it 14 days, or a third of its whole life
    /// where that is less: those who renew every few days have less to lose.
    pub(crate) fn date_fault(&self, now: i64, wanted: Option<Duration>) -> Option<Fault> {
        let (from, until) = (day(self.not_before), day(self.not_after));
        if now < self.not_before {
            let wait = span(self.not_before.saturating_sub(now));
            return Some(Fault::new(
                Gravity::OutOfTime,
                format!("its certificate is not valid before {from}, {wait} from now"),
            ));
        }
        let left = self.not_after.saturating_sub(now);
        if left < 0 {
            let ago = span(now.saturating_sub(self.not_after));
            return Some(Fault::new(
                Gravity::OutOfTime,
                format!("its certificate expired on {until}, {ago} ago"),
            ));
        }
        let wanted = match wanted {
            Some(wanted) => i64::try_from(wanted.as_secs()).unwrap_or(i64::MAX),
            None => SOON.min(self.not_after.saturating_sub(self.not_before) / 3),
        };
        (left < wanted).then(|| {
            let unit = if wanted < FEW * DAY { HOUR } else { DAY };
            // Up to the next whole one, so that it is more than what is left.
            let wanted = span(wanted.saturating_add(unit - 1) / unit * unit);
            let text =
                format!("its certificate expires on {until}, in {}, which is less than {wanted}", span(left));
            Fault::new(Gravity::Soon, text)
        })
    }

    /// How long it is valid, for a sentence.
    pub(crate) fn told(&self, now: i64) -> String {
        let whose = match self.hosts.as_slice() {
            [] => format!("the certificate of `{}`", self.subject),
            _ => format!("the certificate for {}", listed(&self.hosts)),
        };
        let left = self.not_after.saturating_sub(now);
        if left < 0 || now < self.not_before {
            return format!("{whose}, by `{}`, has no days left", self.issuer);
        }
        format!("{whose}, by `{}`, is valid for {} more", self.issuer, span(left))
    }

    /// What is too weak in it: whoever breaks it can be this server.
    pub(crate) fn weaknesses(&self) -> Vec<Fault> {
        let hash = self.broken_hash.map(|hash| format!("a signature with {hash}"));
        let said = [self.key.weakness(), hash].into_iter().flatten();
        said.map(|what| {
            Fault::new(Gravity::Weak, format!("the certificate of `{}` has {what}", self.subject))
        })
        .collect()
    }
}

impl Key {
    /// What is wrong with its size, if anything is.
    pub(crate) fn weakness(self) -> Option<String> {
        match self {
            Self::Rsa { bits } if bits < RSA_BITS => {
                Some(format!("an RSA key of {bits} bits, less than {RSA_BITS}"))
            }
            Self::Curve { bits } if bits < CURVE_BITS => {
                Some(format!("a key on a curve of {bits} bits, less than {CURVE_BITS}"))
            }
            Self::Dsa => Some("a DSA key".to_owned()),
            Self::Rsa { .. } | Self::Curve { .. } | Self::Other => None,
        }
    }
}

pub(crate) fn listed(hosts: &[String]) -> String {
    let first = hosts.iter().take(NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match hosts.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// A foreign text that is safe to show.
pub(crate) fn printable(text: &str) -> String {
    short(
        &text
            .chars()
            .map(|symbol| if symbol.is_control() || symbol == '`' { '?' } else { symbol })
            .collect::<String>(),
    )
}

/// The common name, the organisation, or all of it.
fn name(name: &X509Name<'_>) -> String {
    let first = name.iter_common_name().chain(name.iter_organization()).find_map(|part| part.as_str().ok());
    printable(&first.map_or_else(|| name.to_string(), str::to_owned))
}

fn hosts(read: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = read.subject_alternative_name() else {
        return Vec::new();
    };
    let host = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(printable(name)),
        GeneralName::IPAddress(bytes) => address(bytes),
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    };
    names.value.general_names.iter().filter_map(host).collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string())).ok()
}

fn key(read: &X509Certificate<'_>) -> Key {
    match read.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => Key::Rsa { bits: bits(key.modulus) },
        Ok(PublicKey::EC(point)) => Key::Curve { bits: point.key_size() },
        Ok(PublicKey::DSA(_)) => Key::Dsa,
        Ok(PublicKey::GostR3410(_) | PublicKey::GostR3410_2012(_) | PublicKey::Unknown(_)) | Err(_) => {
            Key::Other
        }
    }
}

/// The length of a number without the zeros in front.
fn bits(number: &[u8]) -> usize {
    let mut significant = number.iter().skip_while(|byte| **byte == 0);
    let first = significant.next().map_or(0, |byte| 8 - usize::try_from(byte.leading_zeros()).unwrap_or(8));
    first + 8 * significant.count()
}

/// Hash functions for which two certificates can be made that have the same signature (RFC 6194, RFC 6151).
fn broken_hash(algorithm: &AlgorithmIdentifier<'_>) -> Option<&'static str> {
    if let Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) = SignatureAlgorithm::try_from(algorithm) {
        return of_hash(&parameters.hash_algorithm_oid().to_id_string());
    }
    match algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.2" => Some("MD2"),
        "1.2.840.113549.1.1.4" | "1.3.14.3.2.25" => Some("MD5"),
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" => Some("SHA-1"),
        _ => None,
    }
}

fn of_hash(oid: &str) -> Option<&'static str> {
    match oid {
        "1.3.14.3.2.26" => Some("SHA-1"),
        "1.2.840.113549.2.5" => Some("MD5"),
        _ => None,
    }
}

fn day(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(moment) => moment.to_string().chars().take(10).collect(),
        Err(_beyond_the_calendar) => "a day beyond the calendar".to_owned(),
    }
}

/// Days, or hours where they are few.
fn span(seconds: i64) -> String {
    match (seconds / DAY, seconds / HOUR) {
        (0, 1) => "1 hour".to_owned(),
        (0..FEW, hours) => format!("{hours} hours"),
        (days, _) => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::{self, NOW};
    use super::*;
    use proptest::prelude::*;

    /// A sound one that has lived for `lived` and has `left`.
    fn sound(lived: i64, left: i64) -> Certificate {
        Certificate {
            subject: "shop.test".to_owned(),
            issuer: "Root".to_owned(),
            subject_bytes: vec![1],
            issuer_bytes: vec![2],
            not_before: NOW - lived,
            not_after: NOW + left,
            hosts: vec!["shop.test".to_owned()],
            key: Key::Curve { bits: 256 },
            broken_hash: None,
        }
    }

    fn date_fault(lived: i64, left: i64, wanted: Option<u64>) -> Option<(Gravity, String)> {
        let wanted = wanted.map(Duration::from_secs);
        sound(lived, left).date_fault(NOW, wanted).map(|fault| (fault.gravity, fault.bad.detail))
    }

    #[test]
    fn who_lives_for_months_needs_two_weeks() {
        assert_eq!(date_fault(76 * DAY, 14 * DAY, None), None);
        let (gravity, text) = date_fault(76 * DAY, 14 * DAY - 1, None).unwrap();
        assert_eq!(gravity, Gravity::Soon);
        assert_eq!(text, "its certificate expires on 2027-01-29, in 13 days, which is less than 14 days");
    }

    #[test]
    fn who_lives_for_days_needs_a_third_of_them() {
        assert_eq!(date_fault(4 * DAY, 2 * DAY, None), None);
        let (_, text) = date_fault(4 * DAY + 1, 2 * DAY - HOUR, None).unwrap();
        assert!(text.contains("in 47 hours, which is less than 48 hours"), "{text}");
        // What is asked for counts, whatever the life.
        assert!(date_fault(4 * DAY, 2 * DAY, Some(172_801)).is_some());
        assert_eq!(date_fault(360 * DAY, 5 * DAY, Some(432_000)), None);
    }

    #[test]
    fn what_is_over_or_not_yet_is_graver() {
        let (gravity, text) = date_fault(90 * DAY, -3 * DAY, None).unwrap();
        assert_eq!(
            (gravity, text.as_str()),
            (Gravity::OutOfTime, "its certificate expired on 2027-01-12, 72 hours ago")
        );
        let (gravity, text) = date_fault(-HOUR, 90 * DAY, Some(0)).unwrap();
        assert_eq!(
            (gravity, text.as_str()),
            (Gravity::OutOfTime, "its certificate is not valid before 2027-01-15, 1 hour from now")
        );
        // The last second is valid, and so is the first (RFC 5280 4.1.2.5).
        assert_eq!(date_fault(0, 90 * DAY, None), None);
        assert_eq!(date_fault(90 * DAY, 0, Some(0)), None);
    }

    #[test]
    fn the_days_left_are_told() {
        let certificate = sound(30 * DAY, 60 * DAY + 5);
        assert_eq!(
            certificate.told(NOW),
            "the certificate for `shop.test`, by `Root`, is valid for 60 days more"
        );
        assert!(certificate.told(NOW + 70 * DAY).ends_with("has no days left"));
    }

    #[test]
    fn small_keys_and_broken_hashes_are_weak() {
        let weak = |key, broken_hash| -> Vec<String> {
            let certificate = Certificate { key, broken_hash, ..sound(1, 1) };
            certificate.weaknesses().into_iter().map(|fault| fault.bad.detail).collect()
        };
        for key in [Key::Rsa { bits: 2048 }, Key::Curve { bits: 256 }, Key::Other] {
            assert_eq!(weak(key, None), Vec::<String>::new());
        }
        assert_eq!(
            weak(Key::Rsa { bits: 2047 }, Some("SHA-1")),
            [
                "the certificate of `shop.test` has an RSA key of 2047 bits, less than 2048",
                "the certificate of `shop.test` has a signature with SHA-1",
            ]
        );
        assert!(weak(Key::Curve { bits: 224 }, None)[0].contains("224 bits"));
        assert_eq!(weak(Key::Dsa, None).len(), 1);
    }

    #[test]
    fn the_length_of_a_number_is_that_of_its_first_bit() {
        assert_eq!(bits(&[0, 0x80, 0]), 16);
        assert_eq!(bits(&[0x7f, 0]), 15);
        assert_eq!(bits(&[0, 0]), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_certificate_or_none(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            Certificate::read(&bytes);
        }

        #[test]
        fn a_damaged_certificate_is_one_or_none(
            changes in prop::collection::vec((0..600_usize, any::<u8>()), 1..6), end in 0..600_usize, now in any::<i64>(),
        ) {
            let mut der = made::self_signed("shop.test", made::days(NOW, -30, 60)).certificate.der().to_vec();
            for (at, byte) in changes {
                if let Some(changed) = der.get_mut(at) {
                    *changed = byte;
                }
            }
            der.truncate(der.len().min(end.max(200)));
            if let Some(read) = Certificate::read(&der) {
                read.told(now);
                read.date_fault(now, None);
                read.weaknesses();
                read.valid_moment(now);
            }
        }
    }
}
