//! socket.io: what the packets of a server mean (Engine.IO protocol 4, Socket.IO protocol 5).

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::class::Class;
use crate::client::{Answer, Bad};
use crate::judge::short;

/// What stands between the packets of one answer.
const SEPARATOR: char = '\u{1e}';

/// What is said to a server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Talk {
    /// The address without a query.
    pub(crate) url: Url,
    /// Begins with `/`.
    pub(crate) namespace: String,
    /// What the namespace is told when it is joined.
    pub(crate) auth: Option<Value>,
    /// The name of an event and what comes with it, which the server has to acknowledge.
    pub(crate) emit: Vec<Value>,
}

/// How packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Polling,
    WebSocket,
}

/// The first packet of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Opened {
    pub(crate) sid: String,
    /// The transports that the session may go on with.
    #[serde(default)]
    pub(crate) upgrades: Vec<String>,
}

/// A packet of the server, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    Opened(Opened),
    Closed,
    /// Asks whether the client is there.
    Ping,
    /// Answers the ping that precedes an upgrade.
    Probed,
    /// The namespace was joined.
    Joined,
    /// It was not, and why.
    Refused(String),
    Acknowledged,
    /// Anything else: noops, events, other namespaces, binary data.
    Other,
}

/// Why a server refused a request, as Engine.IO says it in the body.
#[derive(Deserialize)]
struct Refusal {
    code: u64,
    message: String,
}

/// The `code`s of refusals that are told apart.
const UNKNOWN_TRANSPORT: u64 = 0;
const UNKNOWN_SESSION: u64 = 1;
const BAD_REQUEST: u64 = 3;
const UNSUPPORTED_VERSION: u64 = 5;

impl Talk {
    /// Where a request goes; without a session to open one.
    pub(crate) fn address(&self, transport: Transport, session: Option<&str>) -> Url {
        let mut url = self.url.clone();
        let transport = match transport {
            Transport::Polling => "polling",
            Transport::WebSocket => "websocket",
        };
        url.query_pairs_mut().append_pair("EIO", "4").append_pair("transport", transport);
        if let Some(session) = session {
            url.query_pairs_mut().append_pair("sid", session);
        }
        url
    }

    /// The packet that joins the namespace.
    pub(crate) fn join(&self) -> String {
        let auth = self.auth.as_ref().map(Value::to_string).unwrap_or_default();
        format!("40{}{auth}", self.prefix())
    }

    /// The packet of the event, with the number 0, if one is to be sent.
    pub(crate) fn event(&self) -> Option<String> {
        let event = || Value::Array(self.emit.clone());
        (!self.emit.is_empty()).then(|| format!("42{}0{}", self.prefix(), event()))
    }

    /// The packet that leaves the namespace.
    pub(crate) fn leave(&self) -> String {
        format!("41{}", self.prefix())
    }

    /// The main namespace is not named.
    fn prefix(&self) -> String {
        if self.namespace == "/" { String::new() } else { format!("{},", self.namespace) }
    }

    /// What one packet means to this conversation. What is none is `Err`.
    pub(crate) fn read(&self, packet: &str) -> Result<Packet, Bad> {
        let wrong = || {
            let detail = format!("`{}` is no packet of socket.io", short(packet));
            Bad::new(Class::Protocol, detail)
        };
        let mut rest = packet.chars();
        let kind = rest.next().ok_or_else(wrong)?;
        let rest = rest.as_str();
        Ok(match kind {
            '0' => {
                let opened = serde_json::from_str(rest).map_err(|_not_the_shape| wrong())?;
                Packet::Opened(opened)
            }
            '1' => Packet::Closed,
            '2' => Packet::Ping,
            '3' if rest == "probe" => Packet::Probed,
            '4' => self.message(rest).ok_or_else(wrong)?,
            '3' | '5' | '6' | 'b' => Packet::Other,
            _ => return Err(wrong()),
        })
    }

    fn message(&self, message: &str) -> Option<Packet> {
        let kind = message.chars().next()?;
        let rest = message.get(1..)?;
        if !('0'..='6').contains(&kind) {
            return None;
        }
        let (namespace, rest) = match rest.split_once(',') {
            Some((namespace, rest)) if namespace.starts_with('/') => (namespace, rest),
            _ if rest.starts_with('/') => (rest, ""),
            _ => ("/", rest),
        };
        if namespace != self.namespace {
            return Some(Packet::Other);
        }
        Some(match kind {
            '0' => Packet::Joined,
            '1' => Packet::Closed,
            '3' if rest.starts_with("0[") => Packet::Acknowledged,
            '4' => {
                let said = serde_json::from_str::<Value>(rest).ok();
                let text = said.as_ref().and_then(|said| said.get("message").unwrap_or(said).as_str());
                Packet::Refused(short(text.unwrap_or(rest)))
            }
            _ => Packet::Other,
        })
    }
}

/// The packets of one answer by polling.
pub(crate) fn packets(answer: &Answer) -> Result<Vec<&str>, Bad> {
    if !answer.is_whole {
        return Err(Bad::new(Class::Protocol, "the answer is larger than any of socket.io"));
    }
    let text = std::str::from_utf8(&answer.body)
        .map_err(|_not_utf8| Bad::new(Class::Protocol, "the answer is no text"))?;
    Ok(text.split(SEPARATOR).collect())
}

/// Whether a server that refuses this transport may take the other one.
pub(crate) fn is_unknown_transport(answer: &Answer) -> bool {
    refusal(answer).is_some_and(|refusal| refusal.code == UNKNOWN_TRANSPORT)
}

/// What it means that a request was refused: the first one of a session, or the one of this number.
pub(crate) fn refused(answer: &Answer, number: u32) -> Bad {
    let status = answer.status;
    let bad = |detail: String| Bad::new(Class::Status(status), detail);
    let first = if number == 0 { "the first request" } else { "a request" };
    match refusal(answer) {
        Some(Refusal { code: UNKNOWN_SESSION, message }) if 0 < number => bad(format!(
            "sessions are not sticky: request {number} of a session, on a new connection, was refused by who does not know it \
             (status {status}, `{}`); a proxy before several replicas has to send all requests of one client to the same",
            short(&message)
        )),
        Some(Refusal { code: UNSUPPORTED_VERSION, .. }) => bad(format!(
            "status {status}: the server does not speak Engine.IO 4, so it is older than socket.io 3"
        )),
        Some(Refusal { message, .. }) => {
            bad(format!("{first} was refused: status {status}, `{}`", short(&message)))
        }
        None => bad(format!("{first} was answered with status {status}, and not by socket.io")),
    }
}

/// What it means that a WebSocket was refused with 400, which continues a session if it has a number.
pub(crate) fn refused_socket(answer: &Answer, number: Option<u32>) -> Bad {
    match refusal(answer) {
        Some(Refusal { code: BAD_REQUEST, message }) => Bad::new(
            Class::Status(answer.status),
            format!(
                "the WebSocket was refused: status {}, `{}`; a proxy before the service has to pass `upgrade` and `connection` on",
                answer.status,
                short(&message)
            ),
        ),
        Some(_) | None => refused(answer, number.unwrap_or(0)),
    }
}

fn refusal(answer: &Answer) -> Option<Refusal> {
    serde_json::from_slice(&answer.body).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;
    use std::time::Duration;

    use super::*;
    use crate::client::Phases;

    fn talk(namespace: &str) -> Talk {
        Talk {
            url: "http://host/socket.io/".parse().unwrap(),
            namespace: namespace.to_owned(),
            auth: None,
            emit: Vec::new(),
        }
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
            is_whole: true,
            took: Duration::ZERO,
            phases: Phases::default(),
        }
    }

    #[test]
    fn packets_are_written_for_the_namespace() {
        let main = talk("/");
        assert_eq!((main.join().as_str(), main.event(), main.leave().as_str()), ("40", None, "41"));
        let chat =
            Talk { auth: Some(json!({"token": "a"})), emit: vec![json!("echo"), json!(1)], ..talk("/chat") };
        assert_eq!(chat.join(), r#"40/chat,{"token":"a"}"#);
        assert_eq!(chat.event().unwrap(), r#"42/chat,0["echo",1]"#);
        assert_eq!(chat.leave(), "41/chat,");
        let address = chat.address(Transport::WebSocket, Some("a b"));
        assert_eq!(address.as_str(), "http://host/socket.io/?EIO=4&transport=websocket&sid=a+b");
    }

    #[track_caller]
    fn check(namespace: &str, packet: &str, expected: &Packet) {
        assert_eq!(&talk(namespace).read(packet).unwrap(), expected, "{packet}");
    }

    #[test]
    fn packets_are_read() {
        let opened = Opened { sid: "x".to_owned(), upgrades: vec!["websocket".to_owned()] };
        check("/", r#"0{"sid":"x","upgrades":["websocket"],"pingInterval":25000}"#, &Packet::Opened(opened));
        check("/", "1", &Packet::Closed);
        check("/", "2", &Packet::Ping);
        check("/", "3probe", &Packet::Probed);
        check("/", "6", &Packet::Other);
        check("/", r#"40{"sid":"y"}"#, &Packet::Joined);
        check("/", r#"40/chat,{"sid":"y"}"#, &Packet::Other);
        check("/chat", r#"40/chat,{"sid":"y"}"#, &Packet::Joined);
        check("/chat", "40/chat", &Packet::Joined);
        check("/chat", r#"40{"sid":"y"}"#, &Packet::Other);
        check("/", r#"44{"message":"no"}"#, &Packet::Refused("no".to_owned()));
        check("/chat", r#"44/chat,"no""#, &Packet::Refused("no".to_owned()));
        check("/", r#"430["done"]"#, &Packet::Acknowledged);
        check("/", r#"431["done"]"#, &Packet::Other);
        check("/", r#"42["news",{"a":"/b,c"}]"#, &Packet::Other);
        check("/", "41", &Packet::Closed);
    }

    #[test]
    fn what_is_no_packet_is_quoted() {
        for text in ["", "0", "0{}", "<!doctype html>", "4", "49", "7", "4\u{e9}"] {
            let bad = talk("/").read(text).unwrap_err();
            assert_eq!(bad.class, Class::Protocol, "{text}");
        }
    }

    #[test]
    fn an_answer_holds_several_packets() {
        assert_eq!(packets(&answer(200, "6\u{1e}40{}")).unwrap(), ["6", "40{}"]);
        assert!(packets(&Answer { is_whole: false, ..answer(200, "6") }).is_err());
        assert!(packets(&Answer { body: vec![0xff], ..answer(200, "") }).is_err());
    }

    #[test]
    fn refusals_are_told_apart() {
        let detail = |body: &str, number| refused(&answer(400, body), number).detail;
        let unknown = r#"{"code":1,"message":"Session ID unknown"}"#;
        assert!(detail(unknown, 3).starts_with("sessions are not sticky: request 3 of a session"));
        assert!(
            detail(unknown, 0).starts_with("the first request was refused: status 400, `Session ID unknown`")
        );
        assert!(
            detail(r#"{"code":5,"message":"Unsupported protocol version"}"#, 0)
                .contains("older than socket.io 3")
        );
        assert_eq!(
            detail("<html>", 0),
            "the first request was answered with status 400, and not by socket.io"
        );
        let no_upgrade = refused_socket(&answer(400, r#"{"code":3,"message":"Bad request"}"#), None).detail;
        assert!(no_upgrade.contains("has to pass `upgrade` and `connection` on"), "{no_upgrade}");
        assert!(refused_socket(&answer(400, unknown), Some(10)).detail.contains("not sticky: request 10"));
        assert!(is_unknown_transport(&answer(400, r#"{"code":0,"message":"Transport unknown"}"#)));
        assert!(!is_unknown_transport(&answer(400, unknown)));
    }
}
