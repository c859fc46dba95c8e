//! A name server on loopback, over UDP and TCP, with records from a table. It may be told to misbehave.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use simple_dns::rdata::{A, AAAA, CAA, CNAME, RData};
use simple_dns::{CLASS, CharacterString, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

/// The longest answer without EDNS (RFC 1035 4.2.1).
const DATAGRAM: usize = 512;

/// The datagrams that a server sends in answer to one.
pub(crate) type Manners = dyn Fn(&Zone, &Asked<'_>) -> Vec<Vec<u8>> + Send + Sync;

/// A question that came over UDP.
pub(crate) struct Asked<'a> {
    pub(crate) question: &'a [u8],
    pub(crate) from: SocketAddr,
    /// How often the same was asked before.
    pub(crate) before: usize,
}

/// It ends with the runtime of the test.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Lines such as `shop.test 60 A 192.0.2.1`, or `broken.test SERVFAIL`.
#[derive(Clone)]
pub(crate) struct Zone(Vec<String>);

impl Zone {
    pub(crate) fn of(lines: &str) -> Self {
        Self(lines.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
    }

    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
        let words = self.0.iter().map(|line| line.split_whitespace().collect::<Vec<_>>());
        words.filter(move |words| words[0].eq_ignore_ascii_case(name))
    }

    /// The whole answer, with the aliases that lead to it.
    pub(crate) fn answer(&self, question: &[u8]) -> Vec<u8> {
        let question = Packet::parse(question).unwrap();
        let asked = question.questions[0].clone();
        let mut reply = question.into_reply();
        reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
        let (mut name, kind) = (asked.qname.to_string(), kind(asked.qtype));
        let mut records: Vec<(String, Vec<String>)> = Vec::new();
        let mut rcode = RCODE::NoError;
        for _ in 0..40 {
            let lines: Vec<Vec<&str>> = self.lines(&name).collect();
            let below =
                self.0.iter().any(|line| line.split(' ').next().unwrap().ends_with(&format!(".{name}")));
            if let Some(code) = lines.iter().find(|words| words.len() == 2) {
                rcode = if code[1] == "SERVFAIL" { RCODE::ServerFailure } else { RCODE::Refused };
                break;
            }
            if lines.is_empty() && !below {
                rcode = RCODE::NameError;
            }
            let own = |words: &[&str]| (name.clone(), words.iter().map(ToString::to_string).collect());
            records.extend(lines.iter().filter(|words| words[2] == kind).map(|words| own(words)));
            let Some(alias) = lines.iter().find(|words| words[2] == "CNAME") else { break };
            records.push(own(alias));
            name = alias[3].to_owned();
        }
        reply.answers = records.iter().map(|(name, words)| record(name, words)).collect();
        *reply.rcode_mut() = rcode;
        reply.build_bytes_vec_compressed().unwrap()
    }

    /// The answer as it fits a datagram.
    pub(crate) fn datagram(&self, question: &[u8]) -> Vec<u8> {
        let whole = self.answer(question);
        if whole.len() <= DATAGRAM {
            return whole;
        }
        let mut cut = Packet::parse(&whole).unwrap();
        cut.answers.clear();
        cut.set_flags(PacketFlag::TRUNCATION);
        cut.build_bytes_vec().unwrap()
    }
}

fn kind(asked: QTYPE) -> &'static str {
    let known = [(TYPE::A, "A"), (TYPE::AAAA, "AAAA"), (TYPE::CAA, "CAA")];
    known.into_iter().find(|(kind, _)| asked == QTYPE::TYPE(*kind)).unwrap().1
}

fn record<'a>(name: &'a str, words: &'a [String]) -> ResourceRecord<'a> {
    let value = &words[3];
    let data = match words[2].as_str() {
        "A" => RData::A(A { address: value.parse::<std::net::Ipv4Addr>().unwrap().into() }),
        "AAAA" => RData::AAAA(AAAA { address: value.parse::<std::net::Ipv6Addr>().unwrap().into() }),
        "CNAME" => RData::CNAME(CNAME(Name::new(value).unwrap())),
        "CAA" => RData::CAA(CAA {
            flag: value.parse().unwrap(),
            tag: CharacterString::new(words[4].as_bytes()).unwrap(),
            value: words[5].as_bytes().into(),
        }),
        other => panic!("no records are of kind {other}"),
    };
    ResourceRecord::new(Name::new(name).unwrap(), CLASS::IN, words[1].parse().unwrap(), data)
}

impl NameServer {
    /// One that answers as it should.
    pub(crate) async fn start(lines: &str) -> Self {
        Self::with(lines, &|zone, asked| vec![zone.datagram(asked.question)]).await
    }

    /// One that sends what these manners say. Over TCP it answers as it should.
    pub(crate) async fn with(lines: &str, manners: &'static Manners) -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let server = Self { address: udp.local_addr().unwrap(), asked: Arc::default() };
        let zone = Zone::of(lines);
        tokio::spawn(by_udp(udp, zone.clone(), manners, server.asked.clone()));
        tokio::spawn(by_tcp(tcp, zone, server.asked.clone()));
        server
    }

    /// The questions in order, such as `udp shop.test A`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn told(over: &str, question: &[u8]) -> String {
    let packet = Packet::parse(question).unwrap();
    assert!(packet.has_flags(PacketFlag::RECURSION_DESIRED) && packet.questions.len() == 1);
    format!("{over} {} {}", packet.questions[0].qname, kind(packet.questions[0].qtype))
}

async fn by_udp(socket: UdpSocket, zone: Zone, manners: &'static Manners, asked: Arc<Mutex<Vec<String>>>) {
    let mut bytes = [0; DATAGRAM];
    loop {
        let (length, from) = socket.recv_from(&mut bytes).await.unwrap();
        let question = &bytes[..length];
        let told = told("udp", question);
        let before = asked.lock().unwrap().iter().filter(|other| **other == told).count();
        asked.lock().unwrap().push(told);
        for datagram in manners(&zone, &Asked { question, from, before }) {
            // Who has its answer does not listen any more.
            socket.send_to(&datagram, from).await.ok();
        }
    }
}

async fn by_tcp(listener: TcpListener, zone: Zone, asked: Arc<Mutex<Vec<String>>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut question = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut question).await.unwrap();
        asked.lock().unwrap().push(told("tcp", &question));
        let answer = zone.answer(&question);
        stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    }
}
