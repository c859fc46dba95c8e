//! `Floor`: which versions a server speaks, found out by one hello for each.

use std::net::SocketAddr;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::answer::{self, Answer};
use super::fault::{Fault, Gravity};
use super::hello::{Random, hello};
use super::version::Version;
use crate::class::Class;
use crate::client::Bad;
use crate::tcp::connect;

/// How a server ended the conversation about one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Answer(Answer),
    /// It closed or reset the connection.
    Closed,
    /// It said nothing that is an answer until the time was up.
    Silence,
    NotConnected(Bad),
}

/// What became of each hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Floor(Vec<(Version, End)>);

/// Says hello in every version, each on a connection of its own and all at once.
pub(crate) async fn ask(address: SocketAddr, name: Option<&str>, deadline: Instant) -> Floor {
    let each =
        Version::ALL.map(|version| async move { (version, probe(address, version, name, deadline).await) });
    Floor(join_all(each).await)
}

async fn probe(address: SocketAddr, version: Version, name: Option<&str>, deadline: Instant) -> End {
    let mut random: Random = [0; 96];
    // Without randomness these are still bytes that a server has to answer.
    getrandom::fill(&mut random).ok();
    let mut stream = match connect(address, deadline).await {
        Ok(stream) => stream,
        Err(bad) => return End::NotConnected(bad),
    };
    let mut heard: Vec<u8> = Vec::new();
    let conversation = async {
        if stream.write_all(&hello(version, name, &random)).await.is_err() {
            return End::Closed;
        }
        loop {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).await.unwrap_or(0);
            heard.extend(part.iter().take(read));
            match answer::read(&heard) {
                Some(answer) => return End::Answer(answer),
                None if read == 0 => return End::Closed,
                None if answer::LIMIT <= heard.len() => return End::Answer(Answer::Nonsense),
                None => {}
            }
        }
    };
    timeout_at(deadline, conversation).await.unwrap_or(End::Silence)
}

impl Floor {
    /// The versions that are spoken: a hello that is answered in another version is refused as much as by an alert.
    pub(crate) fn spoken(&self) -> Vec<Version> {
        let is_spoken = |(version, end): &&(Version, End)| *end == End::Answer(Answer::Hello(*version));
        self.0.iter().filter(is_spoken).map(|(version, _)| *version).collect()
    }

    /// Whether there was any answer of TLS, or none that says otherwise.
    pub(crate) fn is_no_tls(&self) -> bool {
        self.0.iter().any(|(_, end)| *end == End::Answer(Answer::Nonsense))
            && self.0.iter().all(|(_, end)| match end {
                End::Answer(Answer::Nonsense) | End::Closed | End::Silence | End::NotConnected(_) => true,
                End::Answer(Answer::Hello(_) | Answer::Alert(_)) => false,
            })
    }

    /// What is wrong where nothing older than `least` may be spoken. An alert and a close are a no; silence is neither.
    pub(crate) fn faults(&self, least: Version) -> Vec<Fault> {
        let older = || self.0.iter().filter(|(version, _)| *version < least);
        let old: Vec<Version> = self.spoken().into_iter().filter(|version| *version < least).collect();
        let unclear: Vec<Version> = older()
            .filter(|(_, end)| match end {
                End::Silence | End::NotConnected(_) => true,
                End::Answer(_) | End::Closed => false,
            })
            .map(|(version, _)| *version)
            .collect();
        let mut faults = Vec::new();
        if !old.is_empty() {
            let text = format!("it speaks {}, older than {least}", list(&old));
            faults.push(Fault::new(Gravity::OldVersion, text));
        }
        if !unclear.is_empty() {
            let text = format!("it gave no answer in time that refuses {}", list(&unclear));
            faults.push(Fault { gravity: Gravity::NotKnown, bad: Bad::new(Class::Timeout, text) });
        }
        faults
    }
}

pub(crate) fn list(versions: &[Version]) -> String {
    versions.iter().map(Version::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(ends: [End; 5]) -> Floor {
        Floor(Version::ALL.into_iter().zip(ends).collect())
    }

    fn hello(version: Version) -> End {
        End::Answer(Answer::Hello(version))
    }

    fn no() -> End {
        End::Answer(Answer::Alert(70))
    }

    fn faults(floor: &Floor, least: Version) -> Vec<String> {
        floor.faults(least).into_iter().map(|fault| fault.bad.detail).collect()
    }

    #[test]
    fn an_alert_a_close_and_another_version_refuse() {
        let good = floor([
            no(),
            End::Closed,
            hello(Version::Tls1_0),
            hello(Version::Tls1_2),
            hello(Version::Tls1_3),
        ]);
        assert_eq!(good.spoken(), [Version::Tls1_2, Version::Tls1_3]);
        assert_eq!(faults(&good, Version::Tls1_2), Vec::<String>::new());
        assert_eq!(faults(&good, Version::Tls1_3), ["it speaks TLS 1.2, older than TLS 1.3"]);
    }

    #[test]
    fn what_is_spoken_below_the_floor_is_named() {
        let old = floor([hello(Version::Ssl3), hello(Version::Tls1_0), no(), hello(Version::Tls1_2), no()]);
        assert_eq!(faults(&old, Version::Tls1_2), ["it speaks SSL 3, TLS 1.0, older than TLS 1.2"]);
    }

    #[test]
    fn silence_refuses_nothing_and_matters_only_below_the_floor() {
        let silent = floor([End::Silence, no(), no(), hello(Version::Tls1_2), End::Silence]);
        assert_eq!(faults(&silent, Version::Tls1_2), ["it gave no answer in time that refuses SSL 3"]);
        assert_eq!(silent.faults(Version::Tls1_2)[0].bad.class, Class::Timeout);
        let refused = || End::NotConnected(Bad::new(Class::Refused, "x"));
        let gone = floor([no(), refused(), no(), hello(Version::Tls1_2), no()]);
        assert_eq!(faults(&gone, Version::Tls1_2), ["it gave no answer in time that refuses TLS 1.0"]);
    }

    #[test]
    fn nonsense_is_no_tls_unless_something_else_came_too() {
        let nonsense = || End::Answer(Answer::Nonsense);
        assert!(floor([nonsense(), nonsense(), End::Closed, nonsense(), End::Silence]).is_no_tls());
        assert!(!floor([nonsense(), no(), nonsense(), nonsense(), nonsense()]).is_no_tls());
        assert!(!floor([End::Closed, End::Closed, End::Closed, End::Closed, End::Silence]).is_no_tls());
    }
}
