//! Packets of DNS (RFC 1035 4): a question as bytes, and what came back.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, Question, RCODE, TYPE, header_buffer};

/// How many aliases in a row are followed.
const ALIASES: usize = 16;
/// Where the counts of the three sections of records stand in a header, and where it ends.
const COUNTS: std::ops::Range<usize> = 6..12;

/// What is asked about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Its IPv4 addresses.
    V4,
    /// Its IPv6 addresses.
    V6,
    /// Who may issue certificates for it.
    Caa,
}

/// One question to one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) id: u16,
    pub(crate) name: String,
    pub(crate) about: About,
}

/// What a server replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// There is more than a datagram holds: it has to be asked over TCP (RFC 7766 5).
    Truncated,
    Answer(Answer),
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What there is; nothing, where the name has none of what is asked about.
    Found(Found),
    /// NXDOMAIN: this name, the last of its aliases, does not exist.
    NoName(String),
    /// The server has not found out, or does not say.
    Error(&'static str),
    /// It cannot be read, or not followed.
    Broken(String),
}

/// The records of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The name that it is an alias of, the name that this is an alias of, and so on.
    pub(crate) aliases: Vec<String>,
    pub(crate) addresses: BTreeSet<IpAddr>,
    pub(crate) caa: Vec<Property>,
    /// The longest time for which one of these records may be kept.
    pub(crate) ttl: Option<Duration>,
}

/// A CAA record (RFC 8659 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) is_critical: bool,
    /// In lower case.
    pub(crate) tag: String,
    pub(crate) value: String,
}

impl About {
    fn kind(self) -> TYPE {
        match self {
            Self::V4 => TYPE::A,
            Self::V6 => TYPE::AAAA,
            Self::Caa => TYPE::CAA,
        }
    }
}

impl Query {
    /// The packet, which asks the server to find out for itself. Without EDNS an answer is 512 bytes long at most, and does not get lost on
    /// its way in fragments; longer ones come over TCP.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        let mut packet = Packet::new_query(self.id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = Name::new(&self.name).ok()?;
        packet.questions.push(Question::new(name, self.about.kind().into(), CLASS::IN.into(), false));
        packet.build_bytes_vec().ok()
    }

    /// What a packet says about this question; `None` if it is no reply to it, but to another one, or made up by somebody who does not
    /// know its number (RFC 5452 9.1).
    pub(crate) fn read(&self, bytes: &[u8]) -> Option<Reply> {
        let is_reply = header_buffer::id(bytes).ok()? == self.id
            && header_buffer::has_flags(bytes, PacketFlag::RESPONSE).ok()?
            && header_buffer::questions(bytes).ok()? == 1;
        if !is_reply || !self.is_in(bytes) {
            return None;
        }
        if header_buffer::has_flags(bytes, PacketFlag::TRUNCATION).ok()? {
            return Some(Reply::Truncated);
        }
        Some(Reply::Answer(self.answer(bytes)))
    }

    /// Whether a packet of one question asks this one.
    fn is_in(&self, bytes: &[u8]) -> bool {
        let Some(bytes) = with_answers(bytes, 0) else { return false };
        let Ok(packet) = Packet::parse(&bytes) else { return false };
        packet.questions.first().is_some_and(|asked| {
            asked.qtype == self.about.kind().into()
                && asked.qclass == QCLASS::CLASS(CLASS::IN)
                && text(&asked.qname) == self.name.to_ascii_lowercase()
        })
    }

    fn answer(&self, bytes: &[u8]) -> Answer {
        let broken = || Answer::Broken("what it sends is no DNS packet".to_owned());
        let Ok(count) = header_buffer::answers(bytes) else { return broken() };
        // The smallest record has eleven bytes: who says that there are more has no say in how much memory they take.
        if bytes.len() / 11 < usize::from(count) {
            return broken();
        }
        let Some(bytes) = with_answers(bytes, count) else { return broken() };
        let Ok(packet) = Packet::parse(&bytes) else { return broken() };
        let found = match self.found(&packet) {
            Ok(found) => found,
            Err(why) => return Answer::Broken(why),
        };
        let code = packet.rcode();
        if code == RCODE::NoError {
            return Answer::Found(found);
        }
        if code == RCODE::NameError {
            return Answer::NoName(found.aliases.last().cloned().unwrap_or_else(|| self.name.clone()));
        }
        Answer::Error(error(code))
    }

    /// The records at the end of the aliases.
    fn found(&self, packet: &Packet<'_>) -> Result<Found, String> {
        let records = || packet.answers.iter().filter(|record| record.class == CLASS::IN);
        let mut found = Found::default();
        let mut name = self.name.to_ascii_lowercase();
        loop {
            let mut own = records().filter(|record| text(&record.name) == name);
            let alias = own.find_map(|record| {
                if let RData::CNAME(target) = &record.rdata { Some((text(target), record.ttl)) } else { None }
            });
            let Some((target, ttl)) = alias else { break };
            found.keep(ttl);
            if target == self.name.to_ascii_lowercase() || found.aliases.contains(&target) {
                return Err(format!("the aliases of `{}` lead in a circle", self.name));
            }
            found.aliases.push(target.clone());
            if ALIASES < found.aliases.len() {
                return Err(format!("`{}` has more than {ALIASES} aliases in a row", self.name));
            }
            name = target;
        }
        for record in records().filter(|record| text(&record.name) == name) {
            match (&record.rdata, self.about) {
                (RData::A(ip), About::V4) => found.addresses.extend([IpAddr::V4(ip.address.into())]),
                (RData::AAAA(ip), About::V6) => found.addresses.extend([IpAddr::V6(ip.address.into())]),
                (RData::CAA(caa), About::Caa) => found.caa.push(Property {
                    is_critical: caa.flag & 0x80 != 0,
                    tag: String::try_from(caa.tag.clone()).unwrap_or_default().to_ascii_lowercase(),
                    value: plain(&caa.value),
                }),
                _ => continue,
            }
            found.keep(record.ttl);
        }
        Ok(found)
    }
}

impl Found {
    /// Takes note of a time to live. One with the highest bit is none (RFC 2181 8).
    fn keep(&mut self, seconds: u32) {
        let seconds = i32::try_from(seconds).map_or(0, i32::cast_unsigned);
        self.ttl = self.ttl.max(Some(Duration::from_secs(seconds.into())));
    }
}

/// What a server means that has nothing to say about the name.
fn error(code: RCODE) -> &'static str {
    let known = [
        (RCODE::ServerFailure, "it could not find out (SERVFAIL)"),
        (RCODE::Refused, "it does not answer such questions (REFUSED)"),
        (RCODE::FormatError, "it does not understand the question (FORMERR)"),
        (RCODE::NotImplemented, "it knows no such questions (NOTIMP)"),
    ];
    let text = known.into_iter().find(|(known, _)| *known == code).map(|(_, text)| text);
    text.unwrap_or("it answers with an error that says nothing about the name")
}

/// The packet as if it had so many answers, and nothing after them: what is not asked for need not be understood.
fn with_answers(bytes: &[u8], count: u16) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let [high, low] = count.to_be_bytes();
    bytes.get_mut(COUNTS)?.copy_from_slice(&[high, low, 0, 0, 0, 0]);
    Some(bytes)
}

/// A name as people write it, in lower case: case means nothing in it (RFC 4343).
fn text(name: &Name<'_>) -> String {
    let labels: Vec<String> = name.as_bytes().map(|label| plain(label).to_ascii_lowercase()).collect();
    labels.join(".")
}

/// A text of somebody else in which no character is more than it seems: others are shown by their number, as RFC 1035 5.1 has it.
fn plain(bytes: &[u8]) -> String {
    let shown = |byte: &u8| match byte {
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(*byte).to_string(),
        other => format!("\\{other:03}"),
    };
    bytes.iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, CNAME};

    fn query() -> Query {
        Query { id: 0x1234, name: "Shop.test".to_owned(), about: About::V4 }
    }

    fn name(text: &str) -> Name<'_> {
        Name::new(text).unwrap()
    }

    fn a(owner: &str, ttl: u32, last: u8) -> ResourceRecord<'_> {
        let address = u32::from_be_bytes([192, 0, 2, last]);
        ResourceRecord::new(name(owner), CLASS::IN, ttl, RData::A(A { address }))
    }

    fn alias<'a>(owner: &'a str, target: &'a str) -> ResourceRecord<'a> {
        ResourceRecord::new(name(owner), CLASS::IN, 5, RData::CNAME(CNAME(name(target))))
    }

    /// The reply to [`query`] with these records.
    fn reply(answers: Vec<ResourceRecord<'_>>) -> Vec<u8> {
        let bytes = query().bytes().unwrap();
        let mut reply = Packet::parse(&bytes).unwrap().into_reply();
        reply.answers = answers;
        reply.build_bytes_vec_compressed().unwrap()
    }

    fn found(bytes: &[u8]) -> Found {
        let Some(Reply::Answer(Answer::Found(found))) = query().read(bytes) else {
            panic!("{:?}", query().read(bytes))
        };
        found
    }

    fn broken(bytes: &[u8]) -> String {
        let Some(Reply::Answer(Answer::Broken(why))) = query().read(bytes) else {
            panic!("{:?}", query().read(bytes))
        };
        why
    }

    #[test]
    fn only_records_at_the_end_of_the_aliases_count() {
        let records = vec![
            a("other.test", 900, 9),
            a("end.test", 60, 1),
            alias("MIDDLE.test", "end.test"),
            a("END.test", 7, 2),
            alias("shop.test", "middle.test"),
            ResourceRecord::new(name("end.test"), CLASS::CH, 900, RData::A(A { address: 1 })),
        ];
        let found = found(&reply(records));
        assert_eq!(found.aliases, ["middle.test", "end.test"]);
        let addresses: Vec<_> = found.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(found.ttl, Some(Duration::from_mins(1)));
    }

    #[test]
    fn a_ttl_with_the_highest_bit_is_none() {
        assert_eq!(found(&reply(vec![a("shop.test", 1 << 31, 1)])).ttl, Some(Duration::ZERO));
        assert_eq!(found(&reply(Vec::new())).ttl, None);
    }

    #[test]
    fn aliases_end_somewhere() {
        let circle = "the aliases of `Shop.test` lead in a circle";
        assert_eq!(broken(&reply(vec![alias("shop.test", "shop.test")])), circle);
        let later = vec![alias("shop.test", "a.test"), alias("a.test", "b.test"), alias("b.test", "a.test")];
        assert_eq!(broken(&reply(later)), circle);
        let names: Vec<String> = (0..=16).map(|n| format!("n{n}.test")).collect();
        let chain = |length: usize| {
            let all: Vec<&str> = ["shop.test"].into_iter().chain(names.iter().map(String::as_str)).collect();
            reply(all.windows(2).take(length).map(|pair| alias(pair[0], pair[1])).collect())
        };
        assert_eq!(found(&chain(16)).aliases.len(), 16);
        assert_eq!(broken(&chain(17)), "`Shop.test` has more than 16 aliases in a row");
    }

    #[test]
    fn what_answers_another_question_is_no_reply() {
        let good = reply(vec![a("shop.test", 1, 1)]);
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            query().read(&bytes)
        };
        assert!(query().read(&good).is_some());
        // The number, what it is, how many questions there are, and the name, type and class of the question.
        for (at, byte) in [(0, 0), (1, 0), (2, 0), (5, 0), (5, 2), (13, b'x'), (24, 28), (26, 3), (26, 255)] {
            assert_eq!(with(at, byte), None, "{at}");
        }
        for length in 0..27 {
            assert_eq!(query().read(&good[..length]), None, "{length}");
        }
        let mut cut = good.clone();
        cut[2] |= 0x02;
        // Where it was cut does not matter.
        for length in 27..good.len() {
            assert_eq!(query().read(&cut[..length]), Some(Reply::Truncated), "{length}");
            assert_eq!(broken(&good[..length]), "what it sends is no DNS packet");
        }
    }

    #[test]
    fn hostile_records_are_no_records() {
        let none = reply(Vec::new());
        let with = |count: u16, records: &[u8]| {
            let mut bytes = [none.as_slice(), records].concat();
            bytes[6..8].copy_from_slice(&count.to_be_bytes());
            bytes
        };
        // A name that points at itself, one that points ahead, labels that lead back into themselves, and of no known kind.
        for name in [&[0xc0, 27][..], &[0xc0, 40], &[1, b'a', 0xc0, 27], &[0x80, 27]] {
            let record = [name, &[0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, 1]].concat();
            assert_eq!(broken(&with(1, &record)), "what it sends is no DNS packet", "{name:?}");
        }
        // More records than there are bytes, and more bytes in one than are left.
        assert_eq!(broken(&with(u16::MAX, &[])), "what it sends is no DNS packet");
        let long = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 192, 0, 2, 1];
        assert_eq!(broken(&with(1, &long)), "what it sends is no DNS packet");
        // What nobody has asked for may be anything.
        let mut others = with(1, &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, 1, 0xff]);
        others[8..12].fill(0xff);
        assert_eq!(found(&others).addresses.len(), 1);
    }

    #[test]
    fn names_and_values_of_others_cannot_break_out_of_a_sentence() {
        assert_eq!(plain(b"a\\b `c`\n\x1b\xff"), r"a\\b `c`\010\027\255");
    }

    #[test]
    fn errors_are_told_apart() {
        let with = |code: u8| {
            let mut bytes = reply(vec![alias("shop.test", "end.test")]);
            bytes[3] |= code;
            let Some(Reply::Answer(answer)) = query().read(&bytes) else { panic!() };
            answer
        };
        assert_eq!(with(3), Answer::NoName("end.test".to_owned()));
        let errors = [1, 2, 4, 5, 6, 15].map(with);
        for (at, error) in errors.iter().enumerate() {
            assert!(matches!(error, Answer::Error(_)), "{error:?}");
            assert!(at == 5 || !errors[at + 1..].contains(error) || at == 4, "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn no_packet_makes_it_panic(
            start in prop_oneof![Just(0_usize), Just(12), Just(27)],
            tail in prop::collection::vec(any::<u8>(), 0..600),
            about in prop_oneof![Just(About::V4), Just(About::V6), Just(About::Caa)],
        ) {
            let query = Query { about, ..query() };
            let asked = query.bytes().unwrap();
            let mut packet = [&asked[..start], &tail].concat();
            if start != 0 {
                packet[2] |= 0x80;
                packet[7] = tail.first().map_or(0, |count| count % 8);
            }
            query.read(&packet);
        }

        #[test]
        fn a_packet_with_wrong_bits_never_brings_addresses_of_another_kind(
            changes in prop::collection::vec((0_usize..59, any::<u8>()), 1..6)
        ) {
            let mut packet = reply(vec![alias("shop.test", "end.test"), a("end.test", 60, 1)]);
            for (at, byte) in changes {
                let length = packet.len();
                packet[at % length] = byte;
            }
            if let Some(Reply::Answer(Answer::Found(found))) = query().read(&packet) {
                prop_assert!(found.addresses.iter().all(IpAddr::is_ipv4) && found.aliases.len() <= 2);
            }
        }
    }
}
