//! Talks to a service by socket.io, as browsers do.

use std::time::Duration;

use futures_util::SinkExt as _;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use shipkit_core::config::Method;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;

use super::Session;
use super::socket::{Handshake, Socket, close, framed, next};
use crate::class::Class;
use crate::client::{Answer, Ask, Bad};
use crate::socketio::{
    Opened, Packet, Talk, Transport, is_unknown_transport, packets, refused, refused_socket,
};
use crate::websocket::{self, broken, opened};

/// How many requests of a session, each on a new connection, have to reach the node that knows it. With two nodes in random
/// order, all of them do so by chance once in five hundred times.
pub(crate) const REQUESTS: u32 = 9;
/// How many answers may come before the one that is waited for. Others come seldom: a service that answers at once with
/// something else would be asked without a pause.
const ANSWERS: u32 = 20;

/// A session by polling.
struct Polling<'a> {
    session: &'a Session<'a>,
    talk: &'a Talk,
    sid: String,
    /// How many requests followed the first.
    requests: u32,
}

impl Session<'_> {
    /// One attempt: a session by polling, which changes to a WebSocket, and one that begins with a WebSocket.
    pub(super) async fn talk(&self, talk: &Talk) -> Result<String, Bad> {
        let answer =
            self.send(&Ask::get(talk.address(Transport::Polling, None)), self.options.timeout).await?;
        if is_unknown_transport(&answer) {
            let took = self.by_websocket(talk).await?;
            return Ok(format!("a session by WebSocket in {took:.1?}; the service takes no other"));
        }
        let Opened { sid, upgrades } = first(talk, &answer)?;
        let mut polling = Polling { session: self, talk, sid, requests: 0 };
        polling.join().await?;
        while polling.requests < REQUESTS {
            // A pong may come at any time.
            polling.post("3".to_owned()).await?;
        }
        let polled = format!("a session of {} requests on new connections", 1 + polling.requests);
        if !upgrades.iter().any(|to| to == "websocket") {
            return Ok(format!("{polled}; the service takes no WebSockets"));
        }
        let upgraded = self.upgrade(talk, &polling.sid).await?;
        let alone = self.by_websocket(talk).await?;
        Ok(format!(
            "{polled}, upgraded to a WebSocket in {upgraded:.1?}; a session by WebSocket alone in {alone:.1?}"
        ))
    }

    /// Goes on with a session on a WebSocket (Engine.IO protocol 4, "Upgrade").
    async fn upgrade(&self, talk: &Talk, sid: &str) -> Result<Duration, Bad> {
        let began = Instant::now();
        let end = began + self.options.timeout;
        let within = async {
            let mut socket = self.websocket(talk, Some(sid), end).await?;
            say(&mut socket, "2probe".to_owned()).await?;
            wait(talk, &mut socket, &Packet::Probed).await?;
            say(&mut socket, "5".to_owned()).await?;
            say(&mut socket, talk.leave()).await?;
            let took = began.elapsed();
            close(&mut socket).await.map(|()| took)
        };
        timeout_at(end, within).await.map_err(|_elapsed| self.late("the upgrade to a WebSocket"))?
    }

    /// A session that begins with a WebSocket, joins the namespace, sends the event and leaves.
    async fn by_websocket(&self, talk: &Talk) -> Result<Duration, Bad> {
        let began = Instant::now();
        let end = began + self.options.timeout;
        let within = async {
            let mut socket = self.websocket(talk, None, end).await?;
            while !matches!(read(talk, &mut socket).await?, Packet::Opened(_)) {}
            say(&mut socket, talk.join()).await?;
            wait(talk, &mut socket, &Packet::Joined).await?;
            if let Some(event) = talk.event() {
                say(&mut socket, event).await?;
                wait(talk, &mut socket, &Packet::Acknowledged).await?;
            }
            let took = began.elapsed();
            say(&mut socket, talk.leave()).await?;
            close(&mut socket).await.map(|()| took)
        };
        timeout_at(end, within).await.map_err(|_elapsed| self.late("the session by WebSocket"))?
    }

    async fn websocket(&self, talk: &Talk, sid: Option<&str>, end: Instant) -> Result<Socket, Bad> {
        let url = talk.address(Transport::WebSocket, sid);
        let ask = Ask { headers: websocket::handshake(), ..Ask::get(url) };
        let Handshake { key, answer, connection } = self.handshake(&ask, end).await?;
        if answer.status == 400 {
            return Err(refused_socket(&answer, sid.map(|_| 1 + REQUESTS)));
        }
        opened(&answer, &key)?;
        let missing = || Bad::new(Class::Protocol, "status 101, but there is no connection");
        Ok(framed(connection.ok_or_else(missing)?).await)
    }

    fn late(&self, what: &str) -> Bad {
        Bad::new(
            Class::Timeout,
            format!("{what} did not come to its end within {:.1?}", self.options.timeout),
        )
    }
}

impl Polling<'_> {
    /// Joins the namespace and sends the event.
    async fn join(&mut self) -> Result<(), Bad> {
        self.post(self.talk.join()).await?;
        self.wait(&Packet::Joined).await?;
        let Some(event) = self.talk.event() else { return Ok(()) };
        self.post(event).await?;
        self.wait(&Packet::Acknowledged).await
    }

    async fn post(&mut self, packet: String) -> Result<(), Bad> {
        let text = HeaderValue::from_static("text/plain;charset=UTF-8");
        let ask = Ask {
            method: Method::Post,
            url: self.talk.address(Transport::Polling, Some(&self.sid)),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, text)]),
            body: Some(packet),
        };
        self.send(&ask, self.session.options.timeout).await.map(|_ok| ())
    }

    /// Polls until this packet comes.
    async fn wait(&mut self, wanted: &Packet) -> Result<(), Bad> {
        let end = Instant::now() + self.session.options.timeout;
        let ask = Ask::get(self.talk.address(Transport::Polling, Some(&self.sid)));
        for _ in 0..ANSWERS {
            let answer = self.send(&ask, end.saturating_duration_since(Instant::now())).await?;
            for packet in packets(&answer)? {
                let packet = self.talk.read(packet)?;
                if packet == *wanted {
                    return Ok(());
                }
                goes_on(&packet)?;
                if packet == Packet::Ping {
                    self.post("3".to_owned()).await?;
                }
            }
        }
        let detail = format!("{ANSWERS} answers came, and none of them is the one that was waited for");
        Err(Bad::new(Class::Protocol, detail))
    }

    async fn send(&mut self, ask: &Ask, timeout: Duration) -> Result<Answer, Bad> {
        self.requests += 1;
        let answer = self.session.send(ask, timeout).await?;
        if answer.status == 200 { Ok(answer) } else { Err(refused(&answer, self.requests)) }
    }
}

/// What the first answer opens.
fn first(talk: &Talk, answer: &Answer) -> Result<Opened, Bad> {
    if answer.status != 200 {
        return Err(refused(answer, 0));
    }
    let packet = packets(answer)?.first().map(|packet| talk.read(packet));
    match packet {
        Some(Ok(Packet::Opened(opened))) => Ok(opened),
        Some(Err(bad)) => Err(bad),
        Some(Ok(_)) | None => Err(Bad::new(Class::Protocol, "the first answer opens no session")),
    }
}

/// Reads packets until this one comes.
async fn wait(talk: &Talk, socket: &mut Socket, wanted: &Packet) -> Result<(), Bad> {
    loop {
        let packet = read(talk, socket).await?;
        if packet == *wanted {
            return Ok(());
        }
        goes_on(&packet)?;
    }
}

async fn say(socket: &mut Socket, packet: String) -> Result<(), Bad> {
    socket.send(Message::Text(packet.into())).await.map_err(|error| broken(&error))
}

async fn read(talk: &Talk, socket: &mut Socket) -> Result<Packet, Bad> {
    loop {
        match next(socket).await? {
            Message::Text(text) => return talk.read(&text),
            Message::Close(_) => return Ok(Packet::Closed),
            Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
        }
    }
}

/// Whether a packet that was not waited for leaves the conversation as it is.
fn goes_on(packet: &Packet) -> Result<(), Bad> {
    match packet {
        Packet::Closed => Err(Bad::new(Class::Reset, "the service ended the session")),
        Packet::Refused(why) => Err(Bad::new(Class::Body, format!("the namespace was not joined: `{why}`"))),
        Packet::Opened(_)
        | Packet::Ping
        | Packet::Probed
        | Packet::Joined
        | Packet::Acknowledged
        | Packet::Other => Ok(()),
    }
}
