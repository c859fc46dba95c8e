//! A WebSocket: what an answer to a handshake means, and what goes wrong after it (RFC 6455).

use std::time::Duration;

use http::header::{
    CONNECTION, LOCATION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::class::Class;
use crate::client::{Answer, Bad, class_of};
use crate::judge::short;

/// The headers of every handshake but its key (RFC 6455 4.1).
pub(crate) fn handshake() -> HeaderMap {
    [(CONNECTION, "Upgrade"), (UPGRADE, "websocket"), (http::header::SEC_WEBSOCKET_VERSION, "13")]
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .into_iter()
        .collect()
}

/// Whether this answer to a handshake with this key opens a WebSocket (RFC 6455 4.1, what the client must validate).
pub(crate) fn opened(answer: &Answer, key: &str) -> Result<(), Bad> {
    if answer.status != 101 {
        return Err(refused(answer));
    }
    let wrong = |what: String| Err(Bad::new(Class::Protocol, format!("status 101, but {what}")));
    let has = |name: &HeaderName, wanted: &str| {
        let lines = answer.headers.get_all(name).iter();
        let mut words = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        words.any(|word| word.trim().eq_ignore_ascii_case(wanted))
    };
    if !has(&UPGRADE, "websocket") {
        return wrong("`upgrade` is not `websocket`".to_owned());
    }
    if !has(&CONNECTION, "upgrade") {
        return wrong("`connection` does not say `upgrade`".to_owned());
    }
    let accept = answer.headers.get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    match accept {
        Some(accept) if accept.trim_ascii() == derive_accept_key(key.as_bytes()).as_bytes() => {}
        Some(_) => {
            return wrong("`sec-websocket-accept` does not belong to the key that was sent".to_owned());
        }
        None => return wrong("`sec-websocket-accept` is missing".to_owned()),
    }
    match [SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL]
        .iter()
        .find(|name| answer.headers.contains_key(*name))
    {
        Some(unasked) => wrong(format!("`{unasked}` was not asked for")),
        None => Ok(()),
    }
}

fn refused(answer: &Answer) -> Bad {
    let status = answer.status;
    let text = |name: HeaderName| {
        answer.headers.get(name).map(|value| short(&String::from_utf8_lossy(value.as_bytes())))
    };
    let kind = text(http::header::CONTENT_TYPE).unwrap_or_else(|| "no media type".to_owned());
    let why = match (status, text(LOCATION)) {
        (200..300, _) => format!(
            " with a body (`{kind}`): who answers every path with a page does not pass WebSockets on to the service"
        ),
        (300..400, Some(to)) => format!(" (to `{to}`)"),
        (426, _) => ": the service saw no `upgrade`, which a proxy before it has to pass on".to_owned(),
        _ => String::new(),
    };
    Bad::new(Class::Status(status), format!("status {status}, not 101{why}"))
}

/// What ended the conversation.
pub(crate) fn broken(error: &Error) -> Bad {
    #[expect(clippy::wildcard_enum_match_arm, reason = "these errors are not ours and grow")]
    let class = match error {
        Error::Io(error) => class_of(error).unwrap_or(Class::Reset),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Class::Reset,
        _ => Class::Protocol,
    };
    Bad::new(class, format!("after the handshake: {}", short(&error.to_string())))
}

/// The middle one of an odd number of times; of an even number, the later one of the two.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Phases;

    /// The key of RFC 6455 1.3 and what belongs to it.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: (&str, &str) = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    const UPGRADED: (&str, &str) = ("upgrade", "websocket");
    const CONNECTED: (&str, &str) = ("connection", "upgrade");

    #[track_caller]
    fn check(status: u16, headers: &[(&'static str, &'static str)], expected: Result<(), (Class, &str)>) {
        let header =
            |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        let answer = Answer {
            status,
            headers: headers.iter().map(header).collect(),
            body: Vec::new(),
            is_whole: true,
            took: Duration::ZERO,
            phases: Phases::default(),
        };
        match (opened(&answer, KEY), expected) {
            (Ok(()), Ok(())) => {}
            (Err(bad), Err((class, part))) => {
                assert_eq!(bad.class, class, "{bad:?}");
                assert!(bad.detail.contains(part), "{bad:?}");
            }
            (opened, _) => panic!("{opened:?} of {headers:?}"),
        }
    }

    #[test]
    fn an_answer_opens_a_websocket_only_with_all_that_belongs_to_it() {
        check(101, &[UPGRADED, CONNECTED, ACCEPT], Ok(()));
        check(101, &[("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade"), ACCEPT], Ok(()));
        let bad = |what| Err((Class::Protocol, what));
        check(101, &[CONNECTED, ACCEPT], bad("`upgrade` is not `websocket`"));
        check(101, &[("upgrade", "h2c"), CONNECTED, ACCEPT], bad("`upgrade` is not `websocket`"));
        check(101, &[UPGRADED, ACCEPT], bad("`connection` does not say `upgrade`"));
        check(101, &[UPGRADED, CONNECTED], bad("`sec-websocket-accept` is missing"));
        let of_another = ("sec-websocket-accept", "ICX+Yqv66kxgM0FcWaLWlFLwTAI=");
        check(101, &[UPGRADED, CONNECTED, of_another], bad("does not belong to the key"));
        let unasked = ("sec-websocket-protocol", "chat");
        check(
            101,
            &[UPGRADED, CONNECTED, ACCEPT, unasked],
            bad("`sec-websocket-protocol` was not asked for"),
        );
    }

    #[test]
    fn what_answers_in_place_of_a_websocket_is_named() {
        let is = |status, part| Err((Class::Status(status), part));
        let page = [("content-type", "text/html")];
        check(
            200,
            &page,
            is(200, "status 200, not 101 with a body (`text/html`): who answers every path with a page"),
        );
        check(302, &[("location", "/login")], is(302, "status 302, not 101 (to `/login`)"));
        check(426, &[], is(426, "the service saw no `upgrade`"));
        check(503, &page, is(503, "status 503, not 101"));
    }

    #[test]
    fn the_median_is_the_middle_one() {
        let ms = |times: &[u64]| times.iter().map(|time| Duration::from_millis(*time)).collect();
        assert_eq!(median(ms(&[900, 1, 3, 2, 4])), Duration::from_millis(3));
        assert_eq!(median(Vec::new()), Duration::ZERO);
    }
}
