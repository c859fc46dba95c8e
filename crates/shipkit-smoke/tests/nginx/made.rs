//! Certificates of an authority of the tests' own.

use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::CertificateDer;

/// A moment to judge at, in seconds of Unix time.
#[allow(dead_code, reason = "only tests without a clock need it")]
pub(crate) const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// From when until when, in seconds of Unix time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validity {
    pub(crate) from: i64,
    pub(crate) until: i64,
}

/// Somebody who issues certificates.
pub(crate) struct Issuer {
    pub(crate) certificate: Certificate,
    issuer: rcgen::Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub(crate) struct Made {
    pub(crate) certificate: Certificate,
    #[allow(dead_code, reason = "only a server needs it")]
    pub(crate) key: KeyPair,
}

/// Some days before and after `now`.
pub(crate) fn days(now: i64, from: i64, until: i64) -> Validity {
    Validity { from: now + from * DAY, until: now + until * DAY }
}

impl Issuer {
    /// Who vouches for itself, for as long as any test lasts.
    pub(crate) fn root(name: &str) -> Self {
        let (params, key) = (authority(name, days(NOW, -3650, 3650)), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: rcgen::Issuer::new(params, key) }
    }

    /// Another one, for whom this one vouches.
    pub(crate) fn issuer(&self, name: &str, validity: Validity) -> Self {
        let (params, key) = (authority(name, validity), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { certificate, issuer: rcgen::Issuer::new(params, key) }
    }

    pub(crate) fn server(&self, hosts: &[&str], validity: Validity) -> Made {
        self.made(hosts, validity, ExtendedKeyUsagePurpose::ServerAuth)
    }

    #[allow(dead_code, reason = "only tests of chains need it")]
    pub(crate) fn client(&self, name: &str, validity: Validity) -> Made {
        self.made(&[name], validity, ExtendedKeyUsagePurpose::ClientAuth)
    }

    #[allow(dead_code, reason = "only tests of chains need it")]
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    #[allow(dead_code, reason = "only OpenSSL needs it")]
    pub(crate) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    fn made(&self, hosts: &[&str], validity: Validity, purpose: ExtendedKeyUsagePurpose) -> Made {
        let mut params = params(hosts.first().unwrap_or(&"nobody"), hosts, validity);
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        Made { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }
}

/// One that vouches for itself, as people make it when they have no authority.
pub(crate) fn self_signed(host: &str, validity: Validity) -> Made {
    let key = KeyPair::generate().unwrap();
    Made { certificate: params(host, &[host], validity).self_signed(&key).unwrap(), key }
}

fn authority(name: &str, validity: Validity) -> CertificateParams {
    let mut params = params(name, &[], validity);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params(name: &str, hosts: &[&str], validity: Validity) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let moment =
        |seconds: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).unwrap());
    (params.not_before, params.not_after) = (moment(validity.from), moment(validity.until));
    params
}
