//! `tls`: which versions a server speaks, who vouches for its certificate and for how long, and what it says about both.
//!
//! `floor`, `handshake` and the header are asked for; what the answers mean is decided by the other modules without I/O.

mod answer;
pub(crate) mod certificate;
mod fault;
mod floor;
mod handshake;
mod hello;
pub(crate) mod hsts;
mod trust;
mod version;

#[cfg(test)]
#[path = "../tests/nginx/made.rs"]
mod made;

use std::net::SocketAddr;

use futures_util::future::select_ok;
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use shipkit_core::config;
use tokio::time::Instant;
use url::Url;

use crate::class::Class;
use crate::client::{Ask, Bad, Client};
use crate::run::harmless;
use crate::tcp::{self, Endpoint};
use certificate::{Certificate, printable};
use fault::{Fault, Gravity, together};
use floor::{Floor, list};
use handshake::Seen;
pub(crate) use handshake::blind;
use version::Version;

/// How many addresses of a name are tried, to find one that answers.
const AT_ONCE: usize = 32;

/// Whose TLS is asked, and what it must be like.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    endpoint: Endpoint,
    name: ServerName<'static>,
    url: Url,
    wanted: config::Tls,
}

impl Target {
    /// `None` for an address that is not https, or whose host is no name that a certificate can hold.
    pub(crate) fn of(url: &Url, wanted: &config::Tls) -> Option<Self> {
        let endpoint = Endpoint::of(url).filter(|_| url.scheme() == "https")?;
        let name = ServerName::try_from(endpoint.host.clone()).ok()?;
        Some(Self { endpoint, name, url: harmless(url), wanted: wanted.clone() })
    }

    /// What the hello calls the server: an address is no name (RFC 6066 3), and a dot at the end is no part of one.
    fn sni(&self) -> Option<&str> {
        let ServerName::DnsName(name) = &self.name else { return None };
        Some(name.as_ref().trim_end_matches('.'))
    }

    /// A command that shows the same.
    pub(crate) fn repeat(&self) -> String {
        let name = self.sni().map(|name| format!(" -servername '{name}'")).unwrap_or_default();
        format!("openssl s_client -connect '{}'{name} -status < /dev/null", self.endpoint)
    }
}

/// Everything that the judgement needs.
struct Found {
    floor: Floor,
    seen: Seen,
    /// The header lines for HTTP Strict Transport Security, if they are asked for.
    hsts: Option<Result<Vec<Vec<u8>>, Bad>>,
}

/// Asks one server: all connections but that for the header go to the address of the name that answers first.
pub(crate) async fn ask(target: &Target, roots: &RootCertStore, deadline: Instant) -> Result<String, Bad> {
    let address = first_that_answers(&target.endpoint, deadline).await?;
    let header = async { if target.wanted.hsts { Some(header(target, deadline).await) } else { None } };
    let (floor, seen, hsts) = tokio::join!(
        floor::ask(address, target.sni(), deadline),
        handshake::shake(address, target.name.clone(), deadline),
        header
    );
    judged(target, roots, &Found { floor, seen, hsts }, Timestamp::now().as_second())
}

async fn first_that_answers(endpoint: &Endpoint, deadline: Instant) -> Result<SocketAddr, Bad> {
    let addresses = endpoint.addresses(deadline).await?;
    let each = addresses.into_iter().take(AT_ONCE).map(|address| {
        Box::pin(async move { tcp::connect(address, deadline).await.map(|_closed_at_once| address) })
    });
    let each: Vec<_> = each.collect();
    if each.is_empty() {
        return Err(Bad::new(Class::Dns, format!("`{}` has no address", endpoint.host)));
    }
    let (address, _) = select_ok(each).await?;
    Ok(address)
}

async fn header(target: &Target, deadline: Instant) -> Result<Vec<Vec<u8>>, Bad> {
    let left = deadline.saturating_duration_since(Instant::now());
    let blind = Client::blind(left).map_err(|error| Bad::new(Class::Tls, error.to_string()))?;
    let answer = blind.ask(&Ask::get(target.url.clone()), deadline).await?;
    let lines = answer.headers.get_all(http::header::STRICT_TRANSPORT_SECURITY);
    Ok(lines.iter().map(|line| line.as_bytes().to_vec()).collect())
}

/// What everything that was found means.
fn judged(target: &Target, roots: &RootCertStore, found: &Found, now: i64) -> Result<String, Bad> {
    let (floor, seen, wanted) = (&found.floor, &found.seen, &target.wanted);
    let spoken = floor.spoken();
    let mut faults = Vec::new();
    if let Some(bad) = &seen.broken {
        faults.push(broken(bad, floor, &target.endpoint));
    }
    let read: Vec<Certificate> = seen.chain.iter().map_while(|der| Certificate::read(der)).collect();
    if seen.broken.is_none() || !seen.chain.is_empty() {
        faults.extend(trust::faults(&seen.chain, &read, &target.name, roots, now));
        // A root needs no signature, and whoever trusts it has its key already.
        let others = read.iter().skip(1).filter(|one| !one.is_self_issued());
        faults.extend(read.iter().take(1).chain(others).flat_map(Certificate::weaknesses));
    }
    let mut known = Vec::new();
    if !spoken.is_empty() {
        known.push(list(&spoken));
    }
    if let Some(leaf) = read.first() {
        faults.extend(leaf.date_fault(now, wanted.expires_in));
        known.push(leaf.told(now));
    }
    // A key that is too small can show nothing, and is told already.
    let is_small = read.first().is_some_and(|leaf| leaf.key.weakness().is_some());
    if let Some(why) = seen.unproven.as_ref().filter(|_| !is_small) {
        let text = format!("it does not show that the certificate is its own: {why}");
        faults.push(Fault::new(Gravity::NotProven, text));
    }
    // Where nothing was said at all, what is not known of old versions is no news.
    if seen.broken.is_none() || !spoken.is_empty() {
        faults.extend(floor.faults(wanted.min_version.map_or(Version::Tls1_2, Version::from)));
    }
    if seen.broken.is_none() {
        faults.extend(missing(wanted, found));
    }
    together(faults, &known)
}

fn broken(bad: &Bad, floor: &Floor, endpoint: &Endpoint) -> Fault {
    let text = if floor.is_no_tls() {
        format!("what answers at `{endpoint}` is no TLS")
    } else {
        format!("no handshake with TLS 1.2 or 1.3: {}", bad.detail)
    };
    Fault { gravity: Gravity::NoHandshake, bad: Bad::new(bad.class, text) }
}

/// What is asked for and not there.
fn missing(wanted: &config::Tls, found: &Found) -> Vec<Fault> {
    let mut faults = Vec::new();
    match &found.hsts {
        Some(Ok(lines)) => faults.extend(hsts::fault(lines).map(|text| Fault::new(Gravity::Missing, text))),
        Some(Err(bad)) => {
            let text = format!(
                "whether it has `Strict-Transport-Security` is not known: {}",
                printable(&bad.detail)
            );
            faults.push(Fault { gravity: Gravity::NotKnown, bad: Bad::new(bad.class, text) });
        }
        None => {}
    }
    if wanted.http2 && !found.seen.is_http2 {
        faults.push(Fault::new(Gravity::Missing, "it does not speak HTTP/2"));
    }
    if wanted.ocsp_stapling && !found.seen.is_stapled {
        faults.push(Fault::new(Gravity::Missing, "no OCSP response is stapled to its certificate"));
    }
    faults
}
