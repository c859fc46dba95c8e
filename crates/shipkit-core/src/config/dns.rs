//! `dns` in `smoke`: what the name servers must say about a name.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::raw_check::FromWord;
use super::resolve::Context;
use super::values::{Span, Texts};
use super::yaml::join;

/// The port of name servers (RFC 1035 4.2).
const PORT: u16 = 53;
/// The longest name, as people write it (RFC 1035 2.3.4).
const LONGEST: usize = 253;
const NAME_HINT: &str =
    "write one such as `shop.example.com`; names in other letters are written as `xn--...`";

/// What name servers must say about a name. Names are without a dot at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// The name; `None` is the host of `url`.
    pub name: Option<String>,
    /// The addresses that it must have, and no others; empty accepts any.
    pub addresses: BTreeSet<IpAddr>,
    /// The name that it must be an alias of.
    pub cname: Option<String>,
    /// How long its records may be kept at most.
    pub ttl: Option<Duration>,
    /// The certificate authority that must be allowed to issue certificates for it (RFC 8659).
    pub caa: Option<String>,
    /// The servers that are asked; empty is those of the machine that asks.
    pub resolvers: Vec<SocketAddr>,
}

/// What the name servers must say about a name.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawDns {
    /// The name. Default: the host of `url`.
    name: Option<String>,
    /// The addresses that it must have, and no others.
    addresses: Option<Texts>,
    /// The name that it must be an alias of.
    cname: Option<String>,
    /// How long its records may be kept at most.
    ttl: Option<Span>,
    /// The certificate authority that must be allowed to issue certificates for it, such as `letsencrypt.org`.
    caa: Option<String>,
    /// The servers that are asked, each by its address, with a port where it is not 53. Default: those of `/etc/resolv.conf`.
    resolvers: Option<Texts>,
}

impl FromWord for RawDns {
    type Word = String;
    fn from_word(name: String) -> Self {
        Self { name: Some(name), ..Self::default() }
    }
}

/// Reads names and addresses; what is none is noted.
pub(super) fn dns(context: &mut Context<'_>, path: &str, raw: &RawDns) -> Dns {
    let path = join(path, "dns");
    let mut text = |key: &str, text: &Option<String>, hint: &str| {
        let own = place(context, &path, key);
        name(context, &own, text.as_ref()?, hint)
    };
    let (name, cname) = (text("name", &raw.name, NAME_HINT), text("cname", &raw.cname, NAME_HINT));
    let caa = text("caa", &raw.caa, "write it as CAA records do, such as `letsencrypt.org`");
    let hint = "write one such as `192.0.2.1` or `2001:db8::1`";
    let addresses =
        several(context, &join(&path, "addresses"), raw.addresses.as_ref(), hint, |text| text.parse().ok());
    let hint = "write one such as `192.0.2.53`, `192.0.2.53:5353` or `[2001:db8::53]:5353`";
    let resolvers = several(context, &join(&path, "resolvers"), raw.resolvers.as_ref(), hint, resolver);
    Dns {
        name,
        addresses: addresses.into_iter().collect(),
        cname,
        ttl: raw.ttl.map(|Span(ttl)| ttl),
        caa,
        resolvers,
    }
}

/// Where a key stands: a name alone has none.
fn place(context: &Context<'_>, path: &str, key: &str) -> String {
    let own = join(path, key);
    if context.has(&own) { own } else { path.to_owned() }
}

fn name(context: &mut Context<'_>, path: &str, text: &str, hint: &str) -> Option<String> {
    if text.parse::<IpAddr>().is_ok() {
        context.wrong(path, format!("`{text}` is an address, and no name"), Some(hint));
        return None;
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if !is_name(name) {
        context.wrong(path, format!("`{text}` is no name of a host"), Some(hint));
        return None;
    }
    Some(name.to_owned())
}

/// Letters, digits and hyphens (RFC 1123 2.1), and the underscore, which services begin with (RFC 8552).
fn is_name(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(word);
    text.len() <= LONGEST && text.split('.').all(is_label)
}

/// The things that a list has, each read by itself.
fn several<T>(
    context: &mut Context<'_>,
    path: &str,
    raw: Option<&Texts>,
    hint: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Vec<T> {
    let Some(Texts(texts)) = raw else { return Vec::new() };
    if texts.is_empty() {
        context.wrong(path, "none is named", Some(hint));
    }
    let mut found = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let own = format!("{path}[{index}]");
        let own = if context.has(&own) { own } else { path.to_owned() };
        match read(text) {
            Some(one) => found.push(one),
            None => context.wrong(&own, format!("`{text}` is no address"), Some(hint)),
        }
    }
    found
}

fn resolver(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let alone = bare.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, PORT));
    alone.or_else(|| text.parse().ok()).filter(|address| address.port() != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_a_host_can_have() {
        let longest = [&"a".repeat(63); 3].map(String::as_str).join(".") + "." + &"a".repeat(61);
        assert_eq!(longest.len(), 253);
        for name in ["localhost", "Shop.example.com", "xn--bcher-kva.example", "_acme.a-b.c", &longest] {
            assert!(is_name(name), "{name}");
        }
        let long = format!("a{longest}");
        let label = "a".repeat(64);
        for wrong in
            ["", ".", "a..b", ".a", "a b", "*.a", "a/b", "a:53", "bücher.example", "${A}", &long, &label]
        {
            assert!(!is_name(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_resolver_is_an_address_with_or_without_a_port() {
        for (text, wanted) in [
            ("192.0.2.53", "192.0.2.53:53"),
            ("192.0.2.53:5353", "192.0.2.53:5353"),
            ("2001:db8::53", "[2001:db8::53]:53"),
            ("[2001:db8::53]", "[2001:db8::53]:53"),
            ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
        ] {
            assert_eq!(resolver(text).map(|address| address.to_string()).as_deref(), Some(wanted));
        }
        for wrong in ["dns.example", "192.0.2.53:0", "192.0.2.53:65536", "192.0.2.53:", "192.0.2", ""] {
            assert_eq!(resolver(wrong), None, "{wrong}");
        }
    }
}
