//! Whether the roots vouch for a chain, and if not, where it breaks (RFC 5280 6).

use std::time::Duration;

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::certificate::{Certificate, listed, printable};
use super::fault::{Fault, Gravity};

/// What is wrong with whom the chain is for and who vouches for it. Dates are judged apart, so the chain is looked at as of a
/// moment at which the certificate of the server is valid.
pub(crate) fn faults(
    chain: &[CertificateDer<'_>],
    read: &[Certificate],
    host: &ServerName<'_>,
    roots: &RootCertStore,
    now: i64,
) -> Vec<Fault> {
    let unreadable = || vec![Fault::new(Gravity::NotTrusted, "its certificate cannot be read")];
    let (Some((leaf, others)), Some(facts)) = (chain.split_first(), read.first()) else {
        return unreadable();
    };
    let Ok(parsed) = ParsedCertificate::try_from(leaf) else {
        return unreadable();
    };
    let moment = u64::try_from(facts.valid_moment(now)).unwrap_or(0);
    let moment = UnixTime::since_unix_epoch(Duration::from_secs(moment));
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
    let named = verify_server_name(&parsed, host).err().map(|_| for_another_host(facts, host));
    let vouched = verify_server_cert_signed_by_trust_anchor(&parsed, roots, others, moment, algorithms);
    named.into_iter().chain(vouched.err().map(|error| untrusted(&error, read, now))).collect()
}

fn for_another_host(facts: &Certificate, host: &ServerName<'_>) -> Fault {
    let host = host.to_str();
    let text = match facts.hosts.as_slice() {
        [] => format!("its certificate names no host in its subject alternative names, and so not `{host}`"),
        hosts => format!("its certificate is for {}, not for `{host}`", listed(hosts)),
    };
    Fault::new(Gravity::OtherHost, text)
}

fn untrusted(error: &Error, read: &[Certificate], now: i64) -> Fault {
    let text = if matches!(read, [leaf] if leaf.is_self_issued()) {
        "its certificate is signed by itself, and by nobody who is trusted".to_owned()
    } else if *error == Error::InvalidCertificate(CertificateError::UnknownIssuer) {
        where_it_ends(read)
    } else if is_out_of_time(error) {
        out_of_time(read, now)
    } else if is_signed_in_an_old_way(error) {
        "its chain has a signature of a kind that is not trusted".to_owned()
    } else {
        format!("its certificate is not trusted: {}", printable(&error.to_string()))
    };
    Fault::new(Gravity::NotTrusted, text)
}

fn is_out_of_time(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        )
    )
}

fn is_signed_in_an_old_way(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
        )
    )
}

/// Follows the issuers through what the server has sent.
fn where_it_ends(read: &[Certificate]) -> String {
    let Some((leaf, others)) = read.split_first() else {
        return "it sends no certificate".to_owned();
    };
    let mut last = leaf;
    // Each is used once, so that two that name each other end it.
    let mut left: Vec<&Certificate> = others.iter().collect();
    while let Some(at) =
        left.iter().position(|other| !last.is_self_issued() && other.subject_bytes == last.issuer_bytes)
    {
        last = left.swap_remove(at);
    }
    if last == leaf && !leaf.is_self_issued() {
        let issuer = &leaf.issuer;
        return format!(
            "an intermediate certificate is missing: `{issuer}`, who issued its certificate, is no trusted root, and no \
             certificate of `{issuer}` is sent"
        );
    }
    format!("its chain ends at `{}`, which is no trusted root", last.issuer)
}

fn out_of_time(read: &[Certificate], now: i64) -> String {
    let is_out = |one: &&Certificate| now < one.not_before || one.not_after < now;
    match read.iter().skip(1).find(is_out) {
        Some(one) => {
            format!("the certificate of `{}` in its chain has expired or is not valid yet", one.subject)
        }
        None => "a certificate in its chain has expired or is not valid yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::{self, Issuer, NOW, Validity};
    use super::*;

    const DAY: i64 = 86_400;

    fn months() -> Validity {
        made::days(NOW, -30, 60)
    }

    /// The faults of this chain for `shop.test`, if only `root` is trusted.
    fn faults(chain: &[&rcgen::Certificate], root: &Issuer, now: i64) -> Vec<String> {
        let mut roots = RootCertStore::empty();
        roots.add(root.der()).unwrap();
        let chain: Vec<CertificateDer<'static>> = chain.iter().map(|one| one.der().clone()).collect();
        let read: Vec<Certificate> = chain.iter().map(|der| Certificate::read(der).unwrap()).collect();
        let host = ServerName::try_from("shop.test").unwrap();
        super::faults(&chain, &read, &host, &roots, now).into_iter().map(|fault| fault.bad.detail).collect()
    }

    #[test]
    fn a_whole_chain_is_trusted_and_no_other_is() {
        let root = Issuer::root("Root");
        let middle = root.issuer("Middle", months());
        let leaf = middle.server(&["shop.test"], months()).certificate;
        assert_eq!(faults(&[&leaf, &middle.certificate], &root, NOW), Vec::<String>::new());
        assert_eq!(
            faults(&[&leaf], &root, NOW),
            [
                "an intermediate certificate is missing: `Middle`, who issued its certificate, is no trusted root, and no \
             certificate of `Middle` is sent"
            ]
        );
        let other = Issuer::root("Other");
        let unknown = ["its chain ends at `Root`, which is no trusted root"];
        assert_eq!(faults(&[&leaf, &middle.certificate], &other, NOW), unknown);
        assert_eq!(faults(&[&leaf, &middle.certificate, &root.certificate], &other, NOW), unknown);
    }

    #[test]
    fn a_name_is_looked_for_whatever_else_is_wrong() {
        let root = Issuer::root("Root");
        let leaf = root.server(&["*.other.test", "other.test"], months()).certificate;
        let is_for = "its certificate is for `*.other.test`, `other.test`, not for `shop.test`";
        assert_eq!(faults(&[&leaf], &root, NOW), [is_for]);
        assert_eq!(faults(&[&leaf], &Issuer::root("Else"), NOW).len(), 2);
        let nameless = root.server(&[], months()).certificate;
        assert!(faults(&[&nameless], &root, NOW)[0].contains("names no host"));
    }

    #[test]
    fn one_that_has_expired_may_still_be_trusted() {
        let root = Issuer::root("Root");
        let leaf = root.server(&["shop.test"], months()).certificate;
        for now in [NOW - 31 * DAY, NOW + 61 * DAY] {
            assert_eq!(faults(&[&leaf], &root, now), Vec::<String>::new());
        }
    }

    #[test]
    fn one_in_the_chain_that_has_expired_is_named() {
        let root = Issuer::root("Root");
        let middle = root.issuer("Middle", made::days(NOW, -30, 10));
        let leaf = middle.server(&["shop.test"], months()).certificate;
        assert_eq!(
            faults(&[&leaf, &middle.certificate], &root, NOW + 11 * DAY),
            ["the certificate of `Middle` in its chain has expired or is not valid yet"]
        );
    }

    #[test]
    fn one_that_signs_itself_is_told_so() {
        let own = made::self_signed("shop.test", months()).certificate;
        let text = ["its certificate is signed by itself, and by nobody who is trusted"];
        assert_eq!(faults(&[&own], &Issuer::root("Root"), NOW), text);
    }

    #[test]
    fn what_is_for_something_else_than_servers_is_not_trusted() {
        let root = Issuer::root("Root");
        let leaf = root.client("shop.test", months()).certificate;
        assert!(faults(&[&leaf], &root, NOW)[0].starts_with("its certificate is not trusted: "));
    }

    #[test]
    fn two_that_name_each_other_end() {
        let one = |subject: u8, issuer: u8| Certificate {
            subject_bytes: vec![subject],
            issuer_bytes: vec![issuer],
            issuer: format!("{issuer}"),
            ..Certificate::read(made::self_signed("shop.test", months()).certificate.der()).unwrap()
        };
        assert!(where_it_ends(&[one(1, 2), one(2, 3), one(3, 2)]).contains("ends at `2`"));
        assert!(where_it_ends(&[]).contains("no certificate"));
    }
}
