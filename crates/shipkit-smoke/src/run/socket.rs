//! Opens a WebSocket, asks whether anybody is there, and closes it.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderValue;
use http::header::SEC_WEBSOCKET_KEY;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::Session;
use crate::class::Class;
use crate::client::{Answer, Ask, BODY_LIMIT, Bad, Upgraded};
use crate::expected::Expected;
use crate::judge::{self, short};
use crate::websocket::{broken, median, opened};

/// How many pings are sent, one after the other.
pub(crate) const PINGS: u8 = 5;

pub(super) type Socket = WebSocketStream<Upgraded>;

impl Session<'_> {
    /// One attempt: the handshake, five pings and the close, all within `timeout`. Where another status than 101 is expected,
    /// the answer is all.
    pub(super) async fn socket(
        &self,
        ask: &Ask,
        expected: &Expected,
        timeout: Duration,
    ) -> Result<String, Bad> {
        let end = Instant::now() + timeout;
        let Handshake { key, answer, connection } = self.handshake(ask, end).await?;
        if expected.status.allow(101) {
            opened(&answer, &key)?;
        }
        judge::expected(&answer, expected)?;
        let Some(connection) = connection else {
            return Ok(format!("status {} in {:.1?}", answer.status, answer.took));
        };
        let mut socket = framed(connection).await;
        let late = |what: &str| {
            Bad::new(
                Class::Timeout,
                format!("the handshake went well, but no {what} came within {timeout:.1?}"),
            )
        };
        let times = timeout_at(end, pings(&mut socket)).await.map_err(|_elapsed| late("pong"))??;
        timeout_at(end, close(&mut socket)).await.map_err(|_elapsed| late("close frame"))??;
        let (opened, trip) = (answer.took, median(times));
        Ok(format!(
            "open in {opened:.1?}, a ping is answered in {trip:.1?} (median of {PINGS}), closed cleanly"
        ))
    }

    /// Asks for a WebSocket; the answer is not judged.
    pub(super) async fn handshake(&self, ask: &Ask, end: Instant) -> Result<Handshake, Bad> {
        let key = generate_key();
        let mut ask = ask.clone();
        let value =
            HeaderValue::try_from(&key).map_err(|error| Bad::new(Class::Protocol, error.to_string()))?;
        ask.headers.insert(SEC_WEBSOCKET_KEY, value);
        let (answer, connection) = self.sender.upgrade(&ask, end).await?;
        Ok(Handshake { key, answer, connection })
    }
}

/// What came of a handshake.
pub(super) struct Handshake {
    /// What was sent as its key.
    pub(super) key: String,
    pub(super) answer: Answer,
    /// Where the answer has status 101.
    pub(super) connection: Option<Upgraded>,
}

/// The frames of a connection, in bounded memory.
pub(super) async fn framed(connection: Upgraded) -> Socket {
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(0)
        .max_message_size(Some(BODY_LIMIT))
        .max_frame_size(Some(BODY_LIMIT));
    WebSocketStream::from_raw_socket(connection, Role::Client, Some(config)).await
}

/// How long each ping took until its pong, which holds the same bytes (RFC 6455 5.5.3). What the server says besides is no
/// answer.
async fn pings(socket: &mut Socket) -> Result<Vec<Duration>, Bad> {
    let mut times = Vec::new();
    for n in 0..PINGS {
        let sent = Instant::now();
        let payload = [b"shipkit-smoke ".as_slice(), &[b'1' + n]].concat();
        socket.send(Message::Ping(payload.clone().into())).await.map_err(|error| broken(&error))?;
        loop {
            match next(socket).await? {
                Message::Pong(pong) if *pong == *payload => break,
                Message::Close(frame) => return Err(left(frame)),
                Message::Pong(_)
                | Message::Ping(_)
                | Message::Text(_)
                | Message::Binary(_)
                | Message::Frame(_) => {}
            }
        }
        times.push(sent.elapsed());
    }
    Ok(times)
}

/// Asks to close, and waits until the server agrees (RFC 6455 7.1.2).
pub(super) async fn close(socket: &mut Socket) -> Result<(), Bad> {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    socket.close(Some(frame)).await.map_err(|error| broken(&error))?;
    while !matches!(next(socket).await?, Message::Close(_)) {}
    Ok(())
}

pub(super) async fn next(socket: &mut Socket) -> Result<Message, Bad> {
    match socket.next().await {
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(broken(&error)),
        None => {
            Err(Bad::new(Class::Reset, "after the handshake: the connection ended without a close frame"))
        }
    }
}

fn left(frame: Option<CloseFrame>) -> Bad {
    let why = frame
        .map_or_else(|| "no reason".to_owned(), |frame| format!("{} `{}`", frame.code, short(&frame.reason)));
    Bad::new(Class::Reset, format!("the server closed the WebSocket before it answered a ping ({why})"))
}
