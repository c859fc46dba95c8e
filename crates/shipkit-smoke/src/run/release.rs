//! Asks which release answers: on new connections, and where it is wanted, at every address of the name.

use std::net::SocketAddr;

use futures_util::{StreamExt as _, stream};
use shipkit_core::Outcome;
use tokio::time::Instant;
use url::Url;

use super::log::Log;
use super::sender::Sender;
use super::{AT_ONCE, Session, is_hopeless_while_rolling};
use crate::check::Wanted;
use crate::class::Class;
use crate::client::{Ask, Bad};
use crate::judge;
use crate::replicas::{Answered, judged, stranger};
use crate::tcp::{Endpoint, is_routed};

/// Where the release is asked, and which it should be.
pub(super) struct Running<'a> {
    pub(super) url: Url,
    pub(super) wanted: &'a Wanted,
    /// Whether every address of the name is asked for itself.
    pub(super) every_address: bool,
}

impl Session<'_> {
    pub(super) async fn release(&self, running: &Running<'_>, log: &mut Log) -> Outcome {
        let mut before = None;
        loop {
            let began = Instant::now();
            let (seen, third) = match self.sample(running).await {
                Ok((answers, no_route)) => {
                    for name in answers.iter().filter_map(|answer| answer.name.clone()) {
                        log.said(name);
                    }
                    (judged(&answers, &no_route), stranger(&mut before, &answers))
                }
                Err(bad) => (Err(bad), None),
            };
            let seen = third.as_ref().map_or(seen, |third| Err(Bad::new(Class::Body, third.clone())));
            match log.take(began, seen) {
                Ok(()) => {
                    return Outcome::pass(format!("{} after {}", log.last_seen(), log.elapsed()));
                }
                Err(bad) if third.is_some() || is_hopeless_while_rolling(bad.class) => {
                    return Outcome::fail(bad.detail);
                }
                Err(_) if self.pause(self.wait(log.bad_in_a_row())).await => {}
                Err(_) => return self.give_up("not the wanted release", log).await,
            }
        }
    }

    /// The answers, and those addresses that this machine has no route to.
    async fn sample(&self, running: &Running<'_>) -> Result<(Vec<Answered>, Vec<SocketAddr>), Bad> {
        if running.every_address {
            let endpoint = Endpoint::of(&running.url);
            let endpoint = endpoint.ok_or_else(|| Bad::new(Class::Dns, "the address has no host"))?;
            let addresses = endpoint.addresses(Instant::now() + self.options.timeout).await?;
            self.everywhere(running, &addresses).await
        } else {
            Ok((self.answers(&self.sender, None, running).await, Vec::new()))
        }
    }

    /// The answers of each of these addresses, and those addresses that this machine has no route to.
    async fn everywhere(
        &self,
        running: &Running<'_>,
        addresses: &[SocketAddr],
    ) -> Result<(Vec<Answered>, Vec<SocketAddr>), Bad> {
        let mut senders = Vec::new();
        for address in addresses {
            senders
                .push(Sender { client: self.sender.client.at(*address), marks: self.sender.marks.clone() });
        }
        // In a loop, for with a closure the future of a run could not be sent to another thread.
        let mut asking = Vec::new();
        for (sender, address) in senders.iter().zip(addresses) {
            asking.push(self.answers(sender, Some(*address), running));
        }
        let found: Vec<Vec<Answered>> = stream::iter(asking).buffered(AT_ONCE).collect().await;
        let (mut answers, mut no_route) = (Vec::new(), Vec::new());
        for (found, address) in found.into_iter().zip(addresses) {
            let has_none = found
                .iter()
                .all(|answer| answer.judged.as_ref().is_err_and(|bad| bad.class == Class::NoRoute));
            if has_none && !is_routed(*address).await {
                no_route.push(*address);
            } else {
                answers.extend(found);
            }
        }
        Ok((answers, no_route))
    }

    /// Asks once, and where that is the wanted release, on the other new connections side by side.
    async fn answers(
        &self,
        sender: &Sender,
        address: Option<SocketAddr>,
        running: &Running<'_>,
    ) -> Vec<Answered> {
        let mut answers = vec![self.answered(sender, address, running).await];
        if answers.iter().all(|answer| answer.judged.is_ok()) {
            let mut asking = Vec::new();
            for _ in 1..self.options.samples {
                asking.push(self.answered(sender, address, running));
            }
            answers.extend(stream::iter(asking).buffered(AT_ONCE).collect::<Vec<_>>().await);
        }
        answers
    }

    async fn answered(
        &self,
        sender: &Sender,
        address: Option<SocketAddr>,
        running: &Running<'_>,
    ) -> Answered {
        let end = Instant::now() + self.options.timeout;
        let answer = sender.send(&Ask::get(running.url.clone()), end).await;
        let said = answer.and_then(|answer| judge::said(&answer));
        let name = said.as_ref().ok().map(judge::Said::name);
        let judged = said.and_then(|said| judge::is_wanted(&said, running.wanted));
        Answered { address: address.map(|address| address.ip()), name, judged }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::run::Options;

    const HOST: &str = "shop.invalid";

    /// Answers with this version, if it is asked for the host.
    async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, port: u16, version: &str) {
        let mut head = Vec::new();
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            let mut piece = [0; 1024];
            match stream.read(&mut piece).await {
                Ok(read) if 0 < read => head.extend_from_slice(&piece[..read]),
                Ok(_) | Err(_) => return,
            }
        }
        let is_ours = String::from_utf8_lossy(&head).contains(&format!("host: {HOST}:{port}\r\n"));
        let status = if is_ours { 200 } else { 421 };
        let body = format!("{{\"version\": \"{version}\"}}");
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.ok();
        stream.shutdown().await.ok();
    }

    /// Listens at these addresses of the loopback, on one port.
    async fn listeners<const N: usize>(ends: [u8; N]) -> ([TcpListener; N], u16) {
        loop {
            let mut bound = Vec::new();
            let mut port = 0;
            for end in ends {
                let Ok(listener) = TcpListener::bind(SocketAddr::from(([127, 0, 0, end], port))).await else {
                    break;
                };
                port = listener.local_addr().unwrap().port();
                bound.push(listener);
            }
            // Somebody else may have the port at one of them.
            if let Ok(all) = bound.try_into() {
                return (all, port);
            }
        }
    }

    fn options(ca_pem: Option<Vec<u8>>) -> Options {
        Options { timeout: Duration::from_mins(1), samples: 4, ca_pem, ..Options::default() }
    }

    async fn seen(base: &str, options: &Options, addresses: &[SocketAddr]) -> Result<String, Bad> {
        let url: Url = base.parse().unwrap();
        let wanted = Wanted { version: Some("1.4.0".to_owned()), revision: None };
        let session = Session::new(&url, options).unwrap();
        let running = Running { url: url.clone(), wanted: &wanted, every_address: true };
        let (answers, no_route) = session.everywhere(&running, addresses).await.unwrap();
        judged(&answers, &no_route)
    }

    #[tokio::test]
    async fn every_address_is_asked_for_the_host_and_told_where_another_release_answers() {
        let ([one, two], port) = listeners([2, 3]).await;
        for (listener, version) in [(one, "1.4.0"), (two, "1.3.9")] {
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(answer(stream, port, version));
                }
            });
        }
        let base = format!("http://{HOST}:{port}/version");
        let at = |end: u8| SocketAddr::from(([127, 0, 0, end], port));
        let said = seen(&base, &options(None), &[at(2)]).await.unwrap();
        assert_eq!(said, "`1.4.0` answers on 4 of 4 new connections to the one address of the name");
        let bad = seen(&base, &options(None), &[at(2), at(3)]).await.unwrap_err();
        assert_eq!(
            (bad.class, bad.detail.as_str()),
            (Class::Body, "mixed: 4 answers are `1.4.0`, 1 is `1.3.9` (`127.0.0.3`)")
        );
        let bad = seen(&base, &options(None), &[at(2), at(4)]).await.unwrap_err();
        assert_eq!(bad.class, Class::Refused, "{bad:?}");
        assert!(bad.detail.ends_with(" (`127.0.0.4`)"), "{bad:?}");
        // An address of a link, and nothing says which link.
        let linked = "[fe80::1]:80".parse().unwrap();
        let said = seen(&base, &options(None), &[at(2), linked]).await.unwrap();
        assert!(said.ends_with("; from here there is no route to `fe80::1`"), "{said}");
        let alone = seen(&base, &options(None), &[linked]).await.unwrap_err();
        assert_eq!(alone.class, Class::NoRoute);
    }

    #[tokio::test]
    async fn the_name_goes_into_tls_as_well() {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let ([one, two], port) = listeners([2, 3]).await;
        for listener in [one, two] {
            let acceptor = TlsAcceptor::from(Arc::new(server.clone()));
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        let is_ours = stream.get_ref().1.server_name() == Some(HOST);
                        answer(stream, port, if is_ours { "1.4.0" } else { "of nobody" }).await;
                    });
                }
            });
        }
        let base = format!("https://{HOST}:{port}/version");
        let addresses = [2, 3].map(|end| SocketAddr::from(([127, 0, 0, end], port)));
        let said = seen(&base, &options(Some(made.cert.pem().into_bytes())), &addresses).await.unwrap();
        assert_eq!(said, "`1.4.0` answers on 8 of 8 new connections to 2 addresses");
    }
}
