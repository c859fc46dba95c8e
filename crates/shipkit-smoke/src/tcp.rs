//! `tcp`: whether every address that a name has takes connections.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use crate::class::Class;
use crate::client::{Bad, class_of_io};
use crate::judge::list;

/// How many connections are begun at once.
const AT_ONCE: usize = 32;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Endpoint {
    /// A name, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// What became of the connection to one address.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Taken,
    /// This machine has no route to it, as most have none for IPv6: that says nothing about the other side.
    NotFromHere,
    Bad(Bad),
}

impl Endpoint {
    /// Reads `host:port`. An IPv6 address stands in brackets, as its colons could be the port's (RFC 3986 3.2.2).
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|inner| inner.contains(':'))?,
            None => Some(host).filter(|host| !host.is_empty() && !host.contains([':', '/', '@', ' ']))?,
        };
        Some(Self { host: host.to_owned(), port })
    }

    /// Where the requests for an address go.
    pub(crate) fn of(url: &Url) -> Option<Self> {
        let host = match url.host()? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        Some(Self { host, port: url.port_or_known_default()? })
    }

    /// Its addresses, each once.
    pub(crate) async fn addresses(&self, deadline: Instant) -> Result<Vec<SocketAddr>, Bad> {
        let looked_up = timeout_at(deadline, lookup_host((self.host.as_str(), self.port))).await;
        let found = match looked_up {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(Bad::new(Class::Dns, format!("`{}`: {error}", self.host))),
            Err(_elapsed) => {
                let detail = format!("nobody said in time which addresses `{}` has", self.host);
                return Err(Bad::new(Class::Dns, detail));
            }
        };
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Connects to every address of a name by itself: a client that takes the first that works hides the others (RFC 8305).
pub(crate) async fn ask(endpoint: &Endpoint, deadline: Instant) -> Result<String, Bad> {
    let addresses = endpoint.addresses(deadline).await?;
    judged(&tried(&addresses, deadline).await)
}

/// A connection to one address.
pub(crate) async fn connect(address: SocketAddr, deadline: Instant) -> Result<TcpStream, Bad> {
    match timeout_at(deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            let class = class_of_io(&error).unwrap_or(Class::NoRoute);
            Err(Bad::new(class, error.to_string()))
        }
        Err(_elapsed) => Err(Bad::new(Class::ConnectTimeout, "no connection in time")),
    }
}

async fn tried(addresses: &[SocketAddr], deadline: Instant) -> Vec<(SocketAddr, End)> {
    let each = addresses.iter().copied().map(|address| async move {
        let end = match connect(address, deadline).await {
            Ok(_closed_at_once) => End::Taken,
            Err(bad) if bad.class == Class::NoRoute && !is_routed(address).await => End::NotFromHere,
            Err(bad) => End::Bad(bad),
        };
        (address, end)
    });
    stream::iter(each).buffered(AT_ONCE).collect().await
}

/// Whether this machine has a route there. To connect a UDP socket looks that up and sends nothing; what a router on the way
/// says, which ends a TCP connection with the same error, is not heard so.
pub(crate) async fn is_routed(address: SocketAddr) -> bool {
    let any = match address.ip() {
        IpAddr::V4(_) => "0.0.0.0:0",
        IpAddr::V6(_) => "[::]:0",
    };
    match UdpSocket::bind(any).await {
        Ok(socket) => socket.connect(address).await.is_ok(),
        Err(_no_such_family) => false,
    }
}

/// What the ends of the connections mean together.
fn judged(tried: &[(SocketAddr, End)]) -> Result<String, Bad> {
    let with = |wanted: &End| -> Vec<String> {
        tried.iter().filter(|(_, end)| end == wanted).map(|(address, _)| format!("`{address}`")).collect()
    };
    let bad: Vec<(&SocketAddr, &Bad)> = tried
        .iter()
        .filter_map(|(address, end)| match end {
            End::Bad(bad) => Some((address, bad)),
            End::Taken | End::NotFromHere => None,
        })
        .collect();
    let (taken, not_from_here) = (with(&End::Taken), with(&End::NotFromHere));
    let apart = match not_from_here.as_slice() {
        [] => String::new(),
        _ => format!("; from here there is no route to {}", list(&not_from_here)),
    };
    if !bad.is_empty() {
        let said: Vec<String> =
            bad.iter().map(|(address, bad)| format!("`{address}` ({})", bad.detail)).collect();
        let count = match tried.len() {
            1 => "it does not take the connection".to_owned(),
            all => format!("{} of {all} addresses do not take the connection", bad.len()),
        };
        return Err(Bad::new(class(&bad, !taken.is_empty()), format!("{count}: {}{apart}", list(&said))));
    }
    match taken.as_slice() {
        [] if not_from_here.is_empty() => Err(Bad::new(Class::Dns, "the name has no address")),
        [] => {
            Err(Bad::new(Class::NoRoute, format!("from here there is no route to {}", list(&not_from_here))))
        }
        _ => Ok(format!("{} takes connections{apart}", list(&taken))),
    }
}

/// Silence may be this machine's fault, unless another address gave a sign of life.
fn class(bad: &[(&SocketAddr, &Bad)], is_one_taken: bool) -> Class {
    let first =
        |is_wanted: fn(Class) -> bool| bad.iter().map(|(_, bad)| bad.class).find(|one| is_wanted(*one));
    match first(|class| !class.is_silence()) {
        Some(class) => class,
        None if is_one_taken => Class::Timeout,
        None => first(Class::is_silence).unwrap_or(Class::NoRoute),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn bad(class: Class) -> End {
        End::Bad(Bad::new(class, "x"))
    }

    #[test]
    fn a_host_and_a_port_are_read_and_nothing_else() {
        let read =
            |text: &str| Endpoint::read(text).map(|read| (read.host.clone(), read.port, read.to_string()));
        let of = |host: &str, port, shown: &str| Some((host.to_owned(), port, shown.to_owned()));
        assert_eq!(read("db:5432"), of("db", 5432, "db:5432"));
        assert_eq!(read("[::1]:80"), of("::1", 80, "[::1]:80"));
        for wrong in [
            "db", "db:", ":80", "db:0", "db:65536", "::1:80", "[::1]", "[db]:80", "[]:80", "a/b:80",
            "u@db:80",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn one_address_that_does_not_take_the_connection_fails_and_is_named() {
        let (one, two, three) = (address("10.0.0.1:80"), address("10.0.0.2:80"), address("[fd00::1]:80"));
        assert_eq!(judged(&[(one, End::Taken)]), Ok("`10.0.0.1:80` takes connections".to_owned()));
        let seen = judged(&[(one, End::Taken), (two, bad(Class::Refused)), (three, End::Taken)]).unwrap_err();
        assert_eq!(
            (seen.class, seen.detail.as_str()),
            (Class::Refused, "1 of 3 addresses do not take the connection: `10.0.0.2:80` (x)")
        );
    }

    #[test]
    fn silence_of_one_is_no_doubt_about_this_machine_while_another_answers() {
        let (one, two) = (address("10.0.0.1:80"), address("10.0.0.2:80"));
        let class = |ends: [End; 2]| {
            let [first, second] = ends;
            judged(&[(one, first), (two, second)]).unwrap_err().class
        };
        assert!(class([bad(Class::ConnectTimeout), bad(Class::NoRoute)]).is_silence());
        assert_eq!(class([bad(Class::ConnectTimeout), End::Taken]), Class::Timeout);
        assert_eq!(class([bad(Class::ConnectTimeout), bad(Class::Refused)]), Class::Refused);
    }

    #[test]
    fn an_address_without_a_route_from_here_is_told_and_is_no_fault_of_the_others() {
        let (four, six) = (address("10.0.0.1:80"), address("[fd00::1]:80"));
        let seen = judged(&[(four, End::Taken), (six, End::NotFromHere)]).unwrap();
        assert_eq!(seen, "`10.0.0.1:80` takes connections; from here there is no route to `[fd00::1]:80`");
        let seen = judged(&[(six, End::NotFromHere)]).unwrap_err();
        assert_eq!((seen.class, seen.class.is_silence()), (Class::NoRoute, true));
        assert_eq!(judged(&[]).unwrap_err().class, Class::Dns);
    }

    #[test]
    fn a_hundred_addresses_do_not_make_a_sentence_of_a_hundred() {
        let many: Vec<_> =
            (0..100).map(|n| (address(&format!("10.0.0.{n}:80")), bad(Class::Refused))).collect();
        let seen = judged(&many).unwrap_err().detail;
        assert!(seen.starts_with("100 of 100 ") && seen.ends_with("and 95 more"), "{seen}");
    }

    #[tokio::test]
    async fn who_cannot_be_reached_from_any_machine_is_not_from_here() {
        // An address of a link, and nothing says which link.
        let linked = address("[fe80::1]:80");
        let ends = tried(&[linked], Instant::now() + Duration::from_mins(1)).await;
        assert_eq!(ends, [(linked, End::NotFromHere)]);
        assert!(is_routed(address("127.0.0.1:80")).await);
        // Nobody takes a connection to a group (RFC 1122 4.2.3.10), whether there is a route to it or not.
        let group = address("224.0.0.1:80");
        let ends = tried(&[group], Instant::now() + Duration::from_mins(1)).await;
        assert_eq!(ends[0].1 == End::NotFromHere, !is_routed(group).await, "{ends:?}");
    }

    #[tokio::test]
    async fn every_address_is_tried_for_itself() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listens = listener.local_addr().unwrap();
        let other = SocketAddr::new([127, 0, 0, 2].into(), listens.port());
        let ends = tried(&[listens, other], Instant::now() + Duration::from_mins(1)).await;
        assert_eq!(ends[0], (listens, End::Taken));
        let (address, End::Bad(bad)) = &ends[1] else { panic!("{ends:?}") };
        assert_eq!((*address, bad.class), (other, Class::Refused));
    }
}
