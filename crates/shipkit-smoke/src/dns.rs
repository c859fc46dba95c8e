//! `dns`: whether all name servers say the same about a name, and what they should. How they are asked is in `run/dns.rs`.

pub(crate) mod caa;
pub(crate) mod packet;
pub(crate) mod resolv_conf;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use shipkit_core::config::Dns;

use crate::class::Class;
use crate::client::Bad;
use crate::judge::list;
use caa::Relevant;
use packet::{Answer, Found};

/// Why a server said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Silence {
    /// This machine has no route to it, as most have none for IPv6: that says nothing about the name.
    NotFromHere,
    /// Nobody is there, or it did not answer in time.
    Dead(String),
}

/// What one server said about the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) server: SocketAddr,
    pub(crate) v4: Result<Answer, Silence>,
    pub(crate) v6: Result<Answer, Silence>,
    /// Which records say who may issue certificates, where that is asked; or why it is not known.
    pub(crate) caa: Option<Result<Relevant, String>>,
}

/// What one server knows of the addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Addresses(Addresses),
    /// From here it cannot be asked.
    Far,
    /// It gave no sign of life.
    Dead(String),
    Wrong(Class, String),
}

/// The addresses of the name, by one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Addresses {
    aliases: Vec<String>,
    v4: BTreeSet<IpAddr>,
    v6: BTreeSet<IpAddr>,
    ttl: Duration,
}

/// Something that is wrong, and which servers say so.
struct Fault {
    class: Class,
    why: String,
    servers: Vec<String>,
}

/// What the servers mean together. Each of them has clients of its own, so one that does not answer is as bad as one that answers
/// wrongly, while another answers; where none does, that says nothing about the name.
pub(crate) fn judged(name: &str, wanted: &Dns, said: &[Said]) -> Result<String, Bad> {
    let read: Vec<(&Said, Known)> = said.iter().map(|said| (said, Known::of(name, said))).collect();
    let far: Vec<String> = read
        .iter()
        .filter(|(_, known)| *known == Known::Far)
        .map(|(said, _)| format!("`{}`", said.server))
        .collect();
    let apart = match far.as_slice() {
        [] => String::new(),
        _ => format!("; from here there is no route to {}", list(&far)),
    };
    let mut faults: Vec<Fault> = Vec::new();
    let mut known: Vec<(&Said, &Addresses)> = Vec::new();
    for (said, read) in &read {
        match read {
            Known::Far => {}
            // While others answer, it is no fault of the network here.
            Known::Dead(why) => note(&mut faults, Class::Timeout, why, said),
            Known::Wrong(class, why) => note(&mut faults, *class, why, said),
            Known::Addresses(addresses) => {
                known.push((said, addresses));
                for why in against(name, wanted, said, addresses) {
                    note(&mut faults, Class::Records, &why, said);
                }
            }
        }
    }
    if read.iter().all(|(_, known)| matches!(known, Known::Far | Known::Dead(_))) {
        return Err(Bad::new(Class::Dns, format!("no name server answers{}{apart}", told(&faults))));
    }
    if wanted.addresses.is_empty() {
        faults.extend(disagreement("IPv4", &known, |addresses| &addresses.v4));
        faults.extend(disagreement("IPv6", &known, |addresses| &addresses.v6));
    }
    if let Some(first) = faults.first() {
        let class = faults.iter().map(|fault| fault.class).find(|class| *class == Class::Records);
        let told = faults.iter().map(Fault::told).collect::<Vec<_>>().join("; ");
        return Err(Bad::new(class.unwrap_or(first.class), format!("{told}{apart}")));
    }
    Ok(format!("{}{apart}", praise(name, wanted, &known)))
}

impl Known {
    fn of(name: &str, said: &Said) -> Self {
        let (v4, v6) = match (&said.v4, &said.v6) {
            (Err(Silence::NotFromHere), Err(Silence::NotFromHere)) => return Self::Far,
            (Err(Silence::Dead(why)), Err(_)) | (Err(_), Err(Silence::Dead(why))) => {
                return Self::Dead(why.clone());
            }
            (v4, v6) => (read(v4), read(v6)),
        };
        match (v4, v6) {
            (Ok(v4), Ok(v6)) => Self::together(name, v4, v6),
            (Err((class, why)), Err((_, other))) if why == other => Self::Wrong(class, why),
            (v4, v6) => {
                let families = [("IPv4", v4.err()), ("IPv6", v6.err())];
                let wrong: Vec<(&str, (Class, String))> =
                    families.into_iter().filter_map(|(family, error)| Some((family, error?))).collect();
                let is_answer = wrong.iter().any(|(_, (class, _))| *class == Class::Records);
                let told: Vec<String> = wrong
                    .into_iter()
                    .map(|(family, (_, why))| format!("asked about {family}, {why}"))
                    .collect();
                Self::Wrong(if is_answer { Class::Records } else { Class::Timeout }, told.join(", and "))
            }
        }
    }

    /// A name may have addresses of one kind only.
    fn together(name: &str, v4: &Found, v6: &Found) -> Self {
        let has_v4 = !v4.addresses.is_empty();
        let aliases = if has_v4 { &v4.aliases } else { &v6.aliases }.clone();
        if !has_v4 && v6.addresses.is_empty() {
            let why = match aliases.last() {
                None => format!("`{name}` has no address (NODATA)"),
                Some(last) => format!("`{name}` is an alias of `{last}`, which has no address (NODATA)"),
            };
            return Self::Wrong(Class::Records, why);
        }
        let (v4_addresses, v6_addresses) = (v4.addresses.clone(), v6.addresses.clone());
        let ttl = v4.ttl.max(v6.ttl).unwrap_or_default();
        Self::Addresses(Addresses { aliases, v4: v4_addresses, v6: v6_addresses, ttl })
    }
}

/// What was found, or what is wrong with an answer.
fn read(answer: &Result<Answer, Silence>) -> Result<&Found, (Class, String)> {
    match answer {
        Ok(Answer::Found(found)) => Ok(found),
        Ok(Answer::NoName(name)) => Err((Class::Records, format!("`{name}` does not exist (NXDOMAIN)"))),
        Ok(Answer::Error(why)) => Err((Class::Records, (*why).to_owned())),
        Ok(Answer::Broken(why)) => Err((Class::Records, why.clone())),
        Err(Silence::Dead(why)) => Err((Class::Timeout, why.clone())),
        Err(Silence::NotFromHere) => Err((Class::Timeout, "there is no route to it".to_owned())),
    }
}

/// What of the wanted is not so, by one server.
fn against(name: &str, wanted: &Dns, said: &Said, seen: &Addresses) -> Vec<String> {
    let mut wrong = Vec::new();
    if !wanted.addresses.is_empty() {
        let (v4, v6): (BTreeSet<IpAddr>, _) = wanted.addresses.iter().partition(|ip| ip.is_ipv4());
        for (family, seen, wanted) in [("IPv4", &seen.v4, v4), ("IPv6", &seen.v6, v6)] {
            if *seen != wanted {
                let (seen, wanted) = (shown(family, seen), shown(family, &wanted));
                wrong.push(format!("`{name}` has {seen}, and should have {wanted}"));
            }
        }
    }
    if let Some(target) = &wanted.cname {
        match seen.aliases.first() {
            Some(alias) if alias.eq_ignore_ascii_case(target) => {}
            Some(alias) => wrong.push(format!("`{name}` is an alias of `{alias}`, not of `{target}`")),
            None => wrong.push(format!("`{name}` is no alias, and should be one of `{target}`")),
        }
    }
    if let Some(limit) = wanted.ttl.filter(|limit| *limit < seen.ttl) {
        wrong.push(format!("its TTL is {:?}, more than {limit:?}", seen.ttl));
    }
    if let (Some(authority), Some(caa)) = (&wanted.caa, &said.caa) {
        let judged = match caa {
            Ok(relevant) => relevant.allows(authority).map(drop),
            Err(why) => Err(format!("asked about CAA, {why}")),
        };
        wrong.extend(judged.err());
    }
    wrong
}

/// Who says otherwise than the others; in what order they name the addresses means nothing.
fn disagreement(
    family: &str,
    known: &[(&Said, &Addresses)],
    addresses: impl Fn(&Addresses) -> &BTreeSet<IpAddr>,
) -> Option<Fault> {
    let mut sets: Vec<(&BTreeSet<IpAddr>, Vec<String>)> = Vec::new();
    for (said, seen) in known {
        let (seen, server) = (addresses(seen), format!("`{}`", said.server));
        match sets.iter_mut().find(|(set, _)| *set == seen) {
            Some((_, servers)) => servers.push(server),
            None => sets.push((seen, vec![server])),
        }
    }
    let each: Vec<String> =
        sets.iter().map(|(set, servers)| format!("{} by {}", shown(family, set), list(servers))).collect();
    (1 < sets.len()).then(|| Fault {
        class: Class::Records,
        why: format!("the name servers do not agree: {}", each.join(", ")),
        servers: Vec::new(),
    })
}

fn praise(name: &str, wanted: &Dns, known: &[(&Said, &Addresses)]) -> String {
    let ttl = known.iter().map(|(_, seen)| seen.ttl).max().unwrap_or_default();
    let servers: Vec<String> = known.iter().map(|(said, _)| format!("`{}`", said.server)).collect();
    let Some((said, seen)) = known.first() else { return String::new() };
    let alias =
        seen.aliases.first().map(|alias| format!("is an alias of `{alias}` and ")).unwrap_or_default();
    let (v4, v6) = (shown("IPv4", &seen.v4), shown("IPv6", &seen.v6));
    let caa = wanted.caa.as_ref().zip(said.caa.as_ref());
    let caa = caa.and_then(|(authority, caa)| caa.as_ref().ok()?.allows(authority).ok());
    let caa = caa.map(|why| format!("; {why}")).unwrap_or_default();
    format!("`{name}` {alias}has {v4} and {v6}, TTL {ttl:?}{caa}; asked: {}", list(&servers))
}

fn shown(family: &str, addresses: &BTreeSet<IpAddr>) -> String {
    let all: Vec<String> = addresses.iter().map(|address| format!("`{address}`")).collect();
    if all.is_empty() { format!("no {family}") } else { format!("{family} {}", list(&all)) }
}

/// What several servers say is told once.
fn note(faults: &mut Vec<Fault>, class: Class, why: &str, said: &Said) {
    let server = format!("`{}`", said.server);
    match faults.iter_mut().find(|fault| fault.why == why) {
        Some(fault) => fault.servers.push(server),
        None => faults.push(Fault { class, why: why.to_owned(), servers: vec![server] }),
    }
}

impl Fault {
    fn told(&self) -> String {
        match self.servers.as_slice() {
            [] => self.why.clone(),
            servers => format!("{}: {}", list(servers), self.why),
        }
    }
}

/// The same of several, after a colon.
fn told(faults: &[Fault]) -> String {
    let all: Vec<String> = faults.iter().map(Fault::told).collect();
    if all.is_empty() { String::new() } else { format!(": {}", all.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(addresses: &[&str]) -> Answer {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Answer::Found(Found { addresses, ttl: Some(Duration::from_secs(5)), ..Found::default() })
    }

    fn said(port: u16, v4: Result<Answer, Silence>, v6: Result<Answer, Silence>) -> Said {
        Said { server: SocketAddr::from(([192, 0, 2, 53], port)), v4, v6, caa: None }
    }

    fn asked(all: &[Said]) -> Result<String, (Class, String)> {
        judged("shop.test", &Dns::default(), all).map_err(|bad| (bad.class, bad.detail))
    }

    #[test]
    fn what_is_wrong_with_one_kind_of_address_says_which() {
        let no_name = || Ok(Answer::NoName("shop.test".to_owned()));
        let half = said(1, Ok(found(&["192.0.2.1"])), no_name());
        let wanted = "`192.0.2.53:1`: asked about IPv6, `shop.test` does not exist (NXDOMAIN)";
        assert_eq!(asked(&[half]), Err((Class::Records, wanted.to_owned())));
        let both = said(1, Err(Silence::Dead("it is late".to_owned())), Ok(Answer::Error("it fails")));
        let wanted = "`192.0.2.53:1`: asked about IPv4, it is late, and asked about IPv6, it fails";
        assert_eq!(asked(&[both]), Err((Class::Records, wanted.to_owned())));
        let same = [said(1, no_name(), no_name()), said(2, no_name(), no_name())];
        let wanted = "`192.0.2.53:1`, `192.0.2.53:2`: `shop.test` does not exist (NXDOMAIN)";
        assert_eq!(asked(&same), Err((Class::Records, wanted.to_owned())));
    }

    #[test]
    fn addresses_of_one_kind_are_enough() {
        let only = asked(&[said(1, Ok(found(&[])), Ok(found(&["2001:db8::1"])))]).unwrap();
        assert_eq!(only, "`shop.test` has no IPv4 and IPv6 `2001:db8::1`, TTL 5s; asked: `192.0.2.53:1`");
    }

    #[test]
    fn what_is_wanted_must_hold_of_every_server() {
        let wanted = Dns { addresses: ["192.0.2.1".parse().unwrap()].into(), ..Dns::default() };
        let of = |port, ip: &str| said(port, Ok(found(&[ip])), Ok(found(&[])));
        let judged = |second: &str| judged("shop.test", &wanted, &[of(1, "192.0.2.1"), of(2, second)]);
        assert!(judged("192.0.2.1").is_ok());
        let bad = "`192.0.2.53:2`: `shop.test` has IPv4 `192.0.2.2`, and should have IPv4 `192.0.2.1`";
        assert_eq!(judged("192.0.2.2").unwrap_err(), Bad::new(Class::Records, bad));
    }

    #[test]
    fn silence_of_one_is_told_with_what_is_wrong_of_others_and_is_not_what_decides() {
        let dead = || Err(Silence::Dead("it is late".to_owned()));
        let (good, late) = (said(1, Ok(found(&["192.0.2.1"])), Ok(found(&[]))), said(2, dead(), dead()));
        let bad = said(3, Ok(found(&[])), Ok(found(&[])));
        let class = |all: &[Said]| asked(all).unwrap_err().0;
        assert_eq!(class(&[good.clone(), late.clone()]), Class::Timeout);
        assert_eq!(class(&[late.clone(), bad]), Class::Records);
        assert!(class(std::slice::from_ref(&late)).is_silence());
        let far = said(4, Err(Silence::NotFromHere), Err(Silence::NotFromHere));
        assert!(class(&[late, far.clone()]).is_silence());
        let told = asked(&[far, good]).unwrap();
        assert!(
            told.ends_with("asked: `192.0.2.53:1`; from here there is no route to `192.0.2.53:4`"),
            "{told}"
        );
    }
}
