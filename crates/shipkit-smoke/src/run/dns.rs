//! Asks name servers about a name: over UDP, and over TCP what is too long for that.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use futures_util::future::join_all;
use shipkit_core::config::Dns;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use super::question::quoted;
use crate::check::Check;
use crate::client::Bad;
use crate::dns::caa::{Climb, Relevant, climb};
use crate::dns::packet::{About, Answer, Query, Reply};
use crate::dns::{Said, Silence, judged, resolv_conf};
use crate::error::SmokeError;
use crate::tcp;

/// Where a machine says which name servers it asks.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// More than any answer without EDNS has (RFC 1035 4.2.1).
const DATAGRAM: usize = 4096;

/// What is asked, and whom.
pub(super) struct Lookup<'a> {
    pub(super) name: String,
    wanted: &'a Dns,
    servers: Vec<SocketAddr>,
}

impl<'a> Lookup<'a> {
    /// The name is that of the base address where no other is given.
    pub(super) fn of(base: &Url, wanted: &'a Dns, check: &Check) -> Result<Self, SmokeError> {
        let name = match (&wanted.name, base.host()) {
            (Some(name), _) => name.clone(),
            (None, Some(Host::Domain(name))) => name.trim_end_matches('.').to_owned(),
            (None, host) => {
                let host = host.map(|host| host.to_string()).unwrap_or_default();
                return Err(SmokeError::NoName { check: check.name.clone(), host });
            }
        };
        let servers = if wanted.resolvers.is_empty() {
            of_machine(Path::new(RESOLV_CONF))
                .map_err(|why| SmokeError::NameServers { check: check.name.clone(), why })?
        } else {
            wanted.resolvers.clone()
        };
        Ok(Self { name, wanted, servers })
    }

    /// The same, for people to type.
    pub(super) fn repeat(&self) -> String {
        let name = quoted(&self.name);
        let caa = if self.wanted.caa.is_some() { format!(" {name} CAA") } else { String::new() };
        let ask = |server: &SocketAddr| {
            format!("dig -p {} @{} {name} A {name} AAAA{caa}", server.port(), server.ip())
        };
        self.servers.iter().map(ask).collect::<Vec<_>>().join("; ")
    }

    /// Asks every server, all at the same time.
    pub(super) async fn ask(&self, deadline: Instant) -> Result<String, Bad> {
        let said = join_all(self.servers.iter().map(|server| self.said(*server, deadline))).await;
        judged(&self.name, self.wanted, &said)
    }

    async fn said(&self, server: SocketAddr, deadline: Instant) -> Said {
        let ask = |about| ask(server, self.name.clone(), about, deadline);
        let caa = async {
            match &self.wanted.caa {
                Some(_) => Some(relevant(server, self.name.clone(), deadline).await),
                None => None,
            }
        };
        let (v4, v6, caa) = tokio::join!(ask(About::V4), ask(About::V6), caa);
        Said { server, v4, v6, caa }
    }
}

/// The servers that this file names.
fn of_machine(file: &Path) -> Result<Vec<SocketAddr>, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
    resolv_conf::servers(&text).map_err(|why| format!("`{shown}` {why}"))
}

/// Goes from the name towards the root until one has CAA records.
async fn relevant(server: SocketAddr, mut name: String, deadline: Instant) -> Result<Relevant, String> {
    loop {
        let answer = match ask(server, name.clone(), About::Caa, deadline).await {
            Ok(answer) => answer,
            Err(Silence::NotFromHere) => return Err("there is no route to it".to_owned()),
            Err(Silence::Dead(why)) => return Err(why),
        };
        match climb(&name, answer) {
            Climb::Ask(parent) => name = parent,
            Climb::Relevant(relevant) => return Ok(relevant),
            Climb::Unknown(why) => return Err(why),
        }
    }
}

async fn ask(server: SocketAddr, name: String, about: About, deadline: Instant) -> Result<Answer, Silence> {
    let mut id = [0; 2];
    // Without randomness the port of the socket is left, which is as hard to guess.
    getrandom::fill(&mut id).ok();
    let query = Query { id: u16::from_be_bytes(id), name, about };
    let Some(bytes) = query.bytes() else {
        return Ok(Answer::Broken(format!("`{}` is no name that can be asked about", query.name)));
    };
    match by_udp(server, &query, &bytes, deadline).await? {
        Reply::Answer(answer) => Ok(answer),
        Reply::Truncated => Ok(by_tcp(server, &query, &bytes, deadline).await.unwrap_or_else(|why| {
            Answer::Broken(format!("its answer is too long for UDP, and over TCP {why}"))
        })),
    }
}

/// A datagram may get lost, so it is sent again after a fifth and after three fifths of the time. What is no answer to the question is not
/// heard; the socket takes nothing from any other address.
async fn by_udp(
    server: SocketAddr,
    query: &Query,
    bytes: &[u8],
    deadline: Instant,
) -> Result<Reply, Silence> {
    let dead = |error: std::io::Error| Silence::Dead(format!("it cannot be reached: {error}"));
    let any = match server.ip() {
        IpAddr::V4(_) => "0.0.0.0:0",
        IpAddr::V6(_) => "[::]:0",
    };
    let socket = UdpSocket::bind(any).await.map_err(|_no_such_family| Silence::NotFromHere)?;
    socket.connect(server).await.map_err(|_no_route| Silence::NotFromHere)?;
    let began = Instant::now();
    let time = deadline.duration_since(began);
    for until in [began + time / 5, began + time * 3 / 5, deadline] {
        socket.send(bytes).await.map_err(dead)?;
        let heard = timeout_at(until, async {
            let mut datagram = vec![0; DATAGRAM];
            loop {
                let length = socket.recv(&mut datagram).await?;
                if let Some(reply) = query.read(datagram.get(..length).unwrap_or_default()) {
                    return Ok(reply);
                }
            }
        });
        if let Ok(reply) = heard.await {
            return reply.map_err(dead);
        }
    }
    Err(Silence::Dead("it does not answer in time".to_owned()))
}

/// Each message follows its length (RFC 1035 4.2.2).
async fn by_tcp(
    server: SocketAddr,
    query: &Query,
    bytes: &[u8],
    deadline: Instant,
) -> Result<Answer, String> {
    let talk = async {
        let mut stream = tcp::connect(server, deadline)
            .await
            .map_err(|bad| format!("it does not take a connection: {}", bad.detail))?;
        let length = u16::try_from(bytes.len()).map_err(|error| error.to_string())?;
        let message = [&length.to_be_bytes(), bytes].concat();
        let talked = async {
            stream.write_all(&message).await?;
            let mut answer = vec![0; stream.read_u16().await?.into()];
            stream.read_exact(&mut answer).await?;
            Ok(answer)
        };
        let answer = talked.await.map_err(|error: std::io::Error| format!("there is none: {error}"))?;
        match query.read(&answer) {
            Some(Reply::Answer(answer)) => Ok(answer),
            Some(Reply::Truncated) => Err("it is cut off, too".to_owned()),
            None => Err("it answers something else".to_owned()),
        }
    };
    timeout_at(deadline, talk).await.unwrap_or_else(|_elapsed| Err("it does not come in time".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_names_no_servers_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resolv.conf");
        let missing = of_machine(&file).unwrap_err();
        assert_eq!(
            missing,
            format!("`{}` cannot be read: No such file or directory (os error 2)", file.display())
        );
        std::fs::write(&file, "options edns0\n").unwrap();
        assert_eq!(of_machine(&file).unwrap_err(), format!("`{}` names no server", file.display()));
        std::fs::write(&file, "nameserver 192.0.2.1\n").unwrap();
        assert_eq!(of_machine(&file), Ok(vec!["192.0.2.1:53".parse().unwrap()]));
    }
}
