//! Where a registry must not send whoever asks it: to this machine itself, and to addresses that only this machine gets at.

use std::net::{IpAddr, Ipv6Addr};

use shipkit_core::Repository;
use url::Url;

/// Whether a repository that somebody else names is at a registry on this machine, or where only this machine gets at, and the one that he
/// was found in is not; without one he was found nowhere. Such a registry is not asked.
#[must_use]
pub fn is_named_inside(from: Option<&Repository>, to: &Repository) -> bool {
    let url = |repository: &Repository| Url::parse(&format!("https://{}/", repository.registry())).ok();
    match (from.and_then(url), url(to)) {
        (Some(from), Some(to)) => leads_inside(&from, &to),
        (None, Some(to)) => is_link_local(&to) || is_this_machine(&to),
        (_, None) => true,
    }
}

/// Whether the way from one to the other leads from outside to this machine, or to addresses that only it sees, such as those at which
/// clouds tell a machine its credentials. A name may lead there as well; then TLS stops it, as nobody has a certificate for that.
pub(crate) fn leads_inside(from: &Url, to: &Url) -> bool {
    is_link_local(to) && !is_link_local(from) || is_this_machine(to) && !is_this_machine(from)
}

/// IPv4 as it is, or inside IPv6 (RFC 4291 2.5.5.2), by which the same machine is reached.
fn address(url: &Url) -> Option<IpAddr> {
    match url.host() {
        Some(url::Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(url::Host::Ipv6(address)) => Some(IpAddr::V6(address).to_canonical()),
        Some(url::Host::Domain(_)) | None => None,
    }
}

/// RFC 3927, RFC 4291 2.5.6; and the address of the same service in networks of IPv6 alone at Amazon's.
fn is_link_local(url: &Url) -> bool {
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address(url) {
        Some(IpAddr::V4(address)) => address.is_link_local(),
        Some(IpAddr::V6(address)) => address.is_unicast_link_local() || address == METADATA,
        None => false,
    }
}

/// Its own addresses, `0.0.0.0` among them, and the names that stand for them (RFC 6761 6.3).
fn is_this_machine(url: &Url) -> bool {
    let is_local_name = |name: &str| {
        let name = name.trim_end_matches('.');
        name == "localhost" || name.ends_with(".localhost")
    };
    match address(url) {
        Some(address) => address.is_loopback() || address.is_unspecified(),
        None => matches!(url.host(), Some(url::Host::Domain(name)) if is_local_name(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_asked_where_others_may_ask_as_well() {
        let repository = |text: &str| -> Repository { text.parse().unwrap() };
        let (here, outside) = (repository("127.0.0.1:5000/a"), repository("ghcr.io/acme/a"));
        for (from, to, is_inside) in [
            (None, "localhost:5000/b", true),
            (Some(&outside), "127.0.0.1:6000/b", true),
            (Some(&outside), "169.254.169.254/b", true),
            (Some(&here), "169.254.169.254/b", true),
            (Some(&here), "127.0.0.1:6000/b", false),
            (None, "registry.example:5000/b", false),
            (Some(&outside), "docker.io/library/node", false),
        ] {
            assert_eq!(is_named_inside(from, &repository(to)), is_inside, "{from:?} {to}");
        }
    }

    #[test]
    fn from_outside_no_way_leads_inside() {
        let url = |text: &str| Url::parse(text).unwrap();
        let (outside, here) = (url("https://ghcr.io/v2/"), url("http://127.0.0.1:5000/"));
        for inside in [
            "https://169.254.169.254/latest",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fd00:ec2::254]/",
        ] {
            assert!(leads_inside(&outside, &url(inside)) && leads_inside(&here, &url(inside)), "{inside}");
            assert!(!leads_inside(&url("http://169.254.1.1/"), &url(inside)), "{inside}");
        }
        for inside in [
            "https://127.0.0.1:2376/",
            "https://localhost/",
            "https://db.localhost./",
            "https://0.0.0.0/",
            "https://[::1]/",
            "https://[::]/",
            "https://2130706433/",
            "https://0x7f.1/",
        ] {
            assert!(leads_inside(&outside, &url(inside)) && !leads_inside(&here, &url(inside)), "{inside}");
        }
        // The store of a company, and one elsewhere.
        for other in ["https://10.1.2.3/", "https://store.example/", "https://localhost.example/"] {
            assert!(!leads_inside(&outside, &url(other)) && !leads_inside(&here, &url(other)), "{other}");
        }
    }
}
