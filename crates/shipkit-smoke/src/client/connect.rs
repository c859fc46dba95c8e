//! Opens connections, and tells how long each part of that took.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use url::Url;

use super::{Bad, Phases, class_of_io, classify};
use crate::class::Class;
use crate::tcp::Endpoint;

/// How long one address is waited for before the next is tried beside it (RFC 8305 5).
const ATTEMPT: Duration = Duration::from_millis(250);

/// Where requests for an address go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    endpoint: Endpoint,
    is_tls: bool,
}

/// A connection that requests go over. It ends with this.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) requests: SendRequest<Full<Bytes>>,
    pub(super) driver: Driver,
}

/// What moves a connection: only while somebody waits for something of it, so that there is no task for each.
pub(super) struct Driver {
    driving: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_over: bool,
}

impl Driver {
    /// Waits for something that comes over the connection.
    pub(super) async fn drive<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        let mut wanted = pin!(wanted);
        poll_fn(|context| {
            self.is_over = self.is_over || self.driving.as_mut().poll(context).is_ready();
            wanted.as_mut().poll(context)
        })
        .await
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

impl Place {
    pub(super) fn of(url: &Url) -> Result<Self, Bad> {
        let endpoint =
            Endpoint::of(url).ok_or_else(|| Bad::new(Class::Protocol, "the address has no host"))?;
        Ok(Self { endpoint, is_tls: url.scheme() == "https" })
    }

    /// Resolves the name, or takes this address for it, connects, and speaks TLS where that is asked for.
    pub(super) async fn connect(
        &self,
        tls: &Arc<rustls::ClientConfig>,
        at: Option<SocketAddr>,
        deadline: Instant,
    ) -> Result<(Connection, Phases), Bad> {
        let mut phases = Phases::default();
        let began = Instant::now();
        let addresses = match at {
            Some(address) => vec![address],
            None => self.endpoint.addresses(deadline).await?,
        };
        phases.dns = began.elapsed();
        let began = Instant::now();
        let stream = first_of(alternating(&addresses)).await.map_err(|error| {
            let class = class_of_io(&error).unwrap_or(Class::NoRoute);
            Bad::new(class, error.to_string())
        })?;
        // What is sent is small and complete: nothing is to be waited for. Without it, it is only slower.
        stream.set_nodelay(true).ok();
        phases.connect = began.elapsed();
        if !self.is_tls {
            return Ok((opened(stream).await?, phases));
        }
        let began = Instant::now();
        let name = ServerName::try_from(self.endpoint.host.clone())
            .map_err(|error| Bad::new(Class::Tls, error.to_string()))?;
        let stream = TlsConnector::from(tls.clone())
            .connect(name, stream)
            .await
            .map_err(|error| classify(&error, Class::Tls))?;
        phases.tls = began.elapsed();
        Ok((opened(stream).await?, phases))
    }
}

/// Speaks HTTP/1.1 over a stream.
async fn opened(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Connection, Bad> {
    let (requests, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| classify(&error, Class::Protocol))?;
    let driving = Box::pin(async move {
        // How it ended, the answer says, too.
        connection.with_upgrades().await.ok();
    });
    Ok(Connection { requests, driver: Driver { driving, is_over: false } })
}

/// The addresses of both families in turn, so that one that does not work here is not waited for again and again (RFC 8305 4).
fn alternating(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_first =
        |address: &&SocketAddr| addresses.first().is_some_and(|first| first.is_ipv4() == address.is_ipv4());
    let mut first = addresses.iter().filter(is_first);
    let mut other = addresses.iter().filter(|address| !is_first(address));
    std::iter::from_fn(|| {
        let pair = [first.next(), other.next()];
        pair.iter().any(Option::is_some).then_some(pair)
    })
    .flatten()
    .flatten()
    .copied()
    .collect()
}

/// A connection to the first address that takes one. The next is tried when one has failed, or has not answered for a while.
async fn first_of(addresses: Vec<SocketAddr>) -> std::io::Result<TcpStream> {
    let mut left = addresses.into_iter();
    let mut trying = FuturesUnordered::new();
    let mut last = std::io::Error::other("the name has no address");
    loop {
        if let Some(address) = left.next() {
            trying.push(TcpStream::connect(address));
        }
        let next =
            if left.len() == 0 { Ok(trying.next().await) } else { timeout(ATTEMPT, trying.next()).await };
        match next {
            Ok(Some(Ok(stream))) => return Ok(stream),
            Ok(Some(Err(error))) => last = error,
            Ok(None) => return Err(last),
            Err(_elapsed) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(addresses: &[&str], expected: &[&str]) {
        let address = |text: &&str| text.parse::<SocketAddr>().unwrap();
        let addresses: Vec<_> = addresses.iter().map(address).collect();
        assert_eq!(alternating(&addresses), expected.iter().map(address).collect::<Vec<_>>());
    }

    #[test]
    fn families_take_turns_and_the_first_stays_first() {
        check(&[], &[]);
        check(&["[::1]:80", "[::2]:80", "1.1.1.1:80"], &["[::1]:80", "1.1.1.1:80", "[::2]:80"]);
        check(&["1.1.1.1:80", "1.1.1.2:80"], &["1.1.1.1:80", "1.1.1.2:80"]);
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_followed_by_the_next() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let taken = listener.local_addr().unwrap();
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let stream = first_of(vec![free, free, taken]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), taken);
        let error = first_of(vec![free]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(first_of(Vec::new()).await.is_err());
    }
}
