//! `Answer`: what a server says to a hello. It may say anything: all of it is read within bounds, or not at all.

use super::version::Version;

/// More than this is never needed to tell: the largest `ServerHello` is far shorter.
pub(crate) const LIMIT: usize = 16 * 1024;
/// A record holds at most so much (RFC 8446 5.1, and 2 KiB of a cipher's own in older versions).
const RECORD: usize = 16 * 1024 + 2048;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;
const WARNING: u8 = 1;
/// A server that does not know the name may say so and go on (RFC 6066 3).
const UNRECOGNIZED_NAME: u8 = 112;
const SUPPORTED_VERSIONS: u16 = 43;

/// What a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It goes on with this version: in a `ServerHello`, or in a `HelloRetryRequest`, which has the same form (RFC 8446 4.1.4).
    Hello(Version),
    /// It says no, by this alert (RFC 8446 6).
    Alert(u8),
    /// That is no answer of TLS.
    Nonsense,
}

/// What these bytes say, if it is clear already. What it says to the first bytes it says to all that follow.
pub(crate) fn read(bytes: &[u8]) -> Option<Answer> {
    let mut rest = bytes;
    let mut message: Vec<u8> = Vec::new();
    loop {
        let record = match record(rest) {
            Ok(Some(record)) => record,
            Ok(None) => return None,
            Err(Nonsense) => return Some(Answer::Nonsense),
        };
        if record.is_alert {
            match record.content {
                [WARNING, UNRECOGNIZED_NAME] => {}
                [_, description] => return Some(Answer::Alert(*description)),
                _ => return None,
            }
        } else {
            message.extend(record.content);
            match server_hello(&message) {
                Ok(Some(version)) => return Some(Answer::Hello(version)),
                Ok(None) => {}
                Err(Nonsense) => return Some(Answer::Nonsense),
            }
        }
        rest = record.rest?;
    }
}

/// Bytes that no server sends that speaks TLS.
#[derive(Debug)]
struct Nonsense;

/// A record, as far as it is there.
struct Record<'a> {
    /// An alert, or else a part of a handshake.
    is_alert: bool,
    content: &'a [u8],
    /// What comes after it; `None` if it is not all there.
    rest: Option<&'a [u8]>,
}

/// The first record (RFC 8446 5.1). `None` if its head is not all there. A fragment of a handshake is not empty, and an alert is
/// in one piece.
fn record(bytes: &[u8]) -> Result<Option<Record<'_>>, Nonsense> {
    let could_be = |at: usize, allowed: &[u8]| bytes.get(at).is_none_or(|byte| allowed.contains(byte));
    if !could_be(0, &[ALERT, HANDSHAKE]) || !could_be(1, &[3]) {
        return Err(Nonsense);
    }
    let [kind, _major, _minor, high, low, content @ ..] = bytes else {
        return Ok(None);
    };
    let (is_alert, length) = (*kind == ALERT, usize::from(u16::from_be_bytes([*high, *low])));
    if !(if is_alert { length == 2 } else { (1..=RECORD).contains(&length) }) {
        return Err(Nonsense);
    }
    let (content, rest) = match content.split_at_checked(length) {
        Some((content, rest)) => (content, Some(rest)),
        None => (content, None),
    };
    Ok(Some(Record { is_alert, content, rest }))
}

/// The version in the first message, which must be a `ServerHello` (RFC 8446 4.1.3, RFC 5246 7.4.1.3). `None` if not all of it
/// is there.
fn server_hello(message: &[u8]) -> Result<Option<Version>, Nonsense> {
    if message.first().is_some_and(|kind| *kind != SERVER_HELLO) {
        return Err(Nonsense);
    }
    let [_kind, length @ ..] = message else {
        return Ok(None);
    };
    let [a, b, c, body @ ..] = length else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, *a, *b, *c]);
    let length = usize::try_from(length).ok().filter(|length| *length < LIMIT).ok_or(Nonsense)?;
    let Some(body) = body.get(..length) else {
        return Ok(None);
    };
    version(&mut Reader(body)).map(Some).ok_or(Nonsense)
}

fn version(body: &mut Reader<'_>) -> Option<Version> {
    let legacy = body.number()?;
    body.take(32)?;
    let session = body.vector_8()?;
    let (_suite, _compression) = (body.number()?, body.take(1)?);
    if 32 < session.len() {
        return None;
    }
    let mut selected = None;
    if !body.0.is_empty() {
        let mut extensions = Reader(body.vector_16()?);
        if !body.0.is_empty() {
            return None;
        }
        while !extensions.0.is_empty() {
            let (kind, content) = (extensions.number()?, extensions.vector_16()?);
            if kind == SUPPORTED_VERSIONS && selected.replace(Reader(content).only_number()?).is_some() {
                return None;
            }
        }
    }
    match (selected, Version::of(legacy)?) {
        (None, version) if version < Version::Tls1_3 => Some(version),
        // Only TLS 1.3 is said so, by one that calls itself 1.2 for those on the way (RFC 8446 4.2.1).
        (Some(number), Version::Tls1_2) => Version::of(number).filter(|version| *version == Version::Tls1_3),
        (None | Some(_), _) => None,
    }
}

/// Takes bytes from the front, as far as there are.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let bytes: [u8; 2] = self.take(2)?.try_into().ok()?;
        Some(u16::from_be_bytes(bytes))
    }

    fn only_number(mut self) -> Option<u16> {
        self.number().filter(|_| self.0.is_empty())
    }

    fn vector_8(&mut self) -> Option<&'a [u8]> {
        let [length] = self.take(1)? else { return None };
        self.take(usize::from(*length))
    }

    fn vector_16(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A `ServerHello` of this version, with these extensions.
    fn server_hello(legacy: u16, session: usize, extensions: Option<&[u8]>) -> Vec<u8> {
        let mut body = legacy.to_be_bytes().to_vec();
        body.extend([9; 32]);
        body.push(u8::try_from(session).unwrap());
        body.extend(vec![8; session]);
        body.extend([0xc0, 0x2f, 0]);
        if let Some(extensions) = extensions {
            body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
            body.extend(extensions);
        }
        let mut message = vec![2, 0];
        message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        message.extend(body);
        message
    }

    fn record(kind: u8, content: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 3, 3];
        record.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        record.extend(content);
        record
    }

    /// Extension 43 with this version, after one that does not matter.
    fn selects(number: u16) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        vec![0, 23, 0, 0, 0, 43, 0, 2, high, low]
    }

    #[track_caller]
    fn check(bytes: &[u8], answer: Option<Answer>) {
        assert_eq!(read(bytes), answer);
    }

    #[test]
    fn a_hello_says_its_version() {
        for version in [Version::Ssl3, Version::Tls1_0, Version::Tls1_1, Version::Tls1_2] {
            check(&record(22, &server_hello(version.number(), 0, None)), Some(Answer::Hello(version)));
            let with = server_hello(version.number(), 32, Some(&[0xff, 1, 0, 1, 0]));
            check(&record(22, &with), Some(Answer::Hello(version)));
        }
        let newest = Some(Answer::Hello(Version::Tls1_3));
        check(&record(22, &server_hello(0x0303, 32, Some(&selects(0x0304)))), newest);
    }

    #[test]
    fn a_request_for_another_hello_says_its_version_as_well() {
        // SHA-256 of `HelloRetryRequest` stands where the random bytes do (RFC 8446 4.1.3); only the group is not the one wanted.
        let mut hello = server_hello(0x0303, 32, Some(&[selects(0x0304), vec![0, 51, 0, 2, 0, 23]].concat()));
        hello[6..38].copy_from_slice(&[
            0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
            0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
        ]);
        check(&record(22, &hello), Some(Answer::Hello(Version::Tls1_3)));
    }

    #[test]
    fn a_version_that_may_not_be_said_so_is_nonsense() {
        for (legacy, selected) in [(0x0303, 0x0303), (0x0303, 0x0305), (0x0302, 0x0304), (0x0304, 0x0304)] {
            let hello = server_hello(legacy, 0, Some(&selects(selected)));
            check(&record(22, &hello), Some(Answer::Nonsense));
        }
        for legacy in [0x0304, 0x0305, 0x0200] {
            check(&record(22, &server_hello(legacy, 0, None)), Some(Answer::Nonsense));
        }
        let twice = [selects(0x0304), selects(0x0304)].concat();
        check(&record(22, &server_hello(0x0303, 0, Some(&twice))), Some(Answer::Nonsense));
        check(&record(22, &server_hello(0x0303, 0, Some(&[0, 43, 0, 1, 3]))), Some(Answer::Nonsense));
        check(&record(22, &server_hello(0x0303, 33, None)), Some(Answer::Nonsense));
    }

    #[test]
    fn an_alert_is_a_no_and_a_warning_about_the_name_is_not() {
        check(&record(21, &[2, 70]), Some(Answer::Alert(70)));
        check(&record(21, &[1, 0]), Some(Answer::Alert(0)));
        let warning = record(21, &[1, 112]);
        check(&warning, None);
        let hello = record(22, &server_hello(0x0301, 0, None));
        check(&[warning, hello].concat(), Some(Answer::Hello(Version::Tls1_0)));
        check(&record(21, &[2, 112]), Some(Answer::Alert(112)));
    }

    #[test]
    fn a_hello_in_pieces_is_put_together() {
        let hello = server_hello(0x0303, 0, None);
        let pieces: Vec<u8> = hello.chunks(1).flat_map(|piece| record(22, piece)).collect();
        check(&pieces, Some(Answer::Hello(Version::Tls1_2)));
        let whole = record(22, &hello);
        for end in 0..whole.len() {
            check(&whole[..end], None);
        }
    }

    #[test]
    fn what_is_no_tls_is_told_at_once() {
        for bytes in
            [b"HTTP/1.1 400".as_slice(), b"\x16\x04", b"\x17\x03\x03", b"SSH-2.0", &[22, 3, 3, 0, 0], &[0x80]]
        {
            check(bytes, Some(Answer::Nonsense));
        }
        // Another message than a hello, one that is too long for one, an alert that is none.
        check(&record(22, &[11]), Some(Answer::Nonsense));
        check(&record(22, &[2, 1, 0, 0]), Some(Answer::Nonsense));
        check(&[21, 3, 3, 0, 3], Some(Answer::Nonsense));
        check(&[22, 3, 3, 0xff, 0xff], Some(Answer::Nonsense));
    }

    proptest! {
        #[test]
        fn nothing_stops_the_reader_and_it_never_takes_its_word_back(
            bytes in prop::collection::vec(any::<u8>(), 0..600), end in 0..600_usize,
        ) {
            let first = bytes.get(..end).and_then(read);
            if first.is_some() {
                prop_assert_eq!(first, read(&bytes));
            }
        }

        #[test]
        fn a_hello_with_a_wrong_byte_or_a_wrong_end_stops_nothing_either(
            session in 0..40_usize, at in 0..120_usize, byte in any::<u8>(), tail in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = record(22, &server_hello(0x0303, session, Some(&selects(0x0304))));
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
            }
            bytes.extend(tail);
            for end in 0..bytes.len() {
                let first = read(&bytes[..end]);
                if first.is_some() {
                    prop_assert_eq!(first, read(&bytes));
                }
            }
        }
    }
}
