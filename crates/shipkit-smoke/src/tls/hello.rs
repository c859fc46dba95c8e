//! The first message of a client, made for one version only. Nothing here can finish a handshake: it needs no cryptography.

use super::version::Version;

/// Bytes that must differ from one hello to the next: those of the client, of its session and of its key.
pub(crate) type Random = [u8; 96];

/// What TLS 1.3 encrypts with (RFC 8446 B.4).
const SUITES_1_3: [u16; 5] = [0x1301, 0x1302, 0x1303, 0x1304, 0x1305];
/// What everything older does, also what nobody should use any more: a server that can only do that speaks the version, too.
/// The last one is no suite, but says that the client knows secure renegotiation (RFC 5746 3.3), which some servers demand.
const SUITES: [u16; 62] = [
    0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc0ac, 0xc0ad, 0xc0ae, 0xc0af, 0xc023, 0xc027, 0xc024,
    0xc028, 0xc009, 0xc013, 0xc00a, 0xc014, 0xc007, 0xc011, 0xc008, 0xc012, 0x009e, 0x009f, 0xccaa, 0xc09e,
    0xc09f, 0x00a2, 0x00a3, 0x0067, 0x006b, 0x0040, 0x006a, 0x0033, 0x0039, 0x0032, 0x0038, 0x0016, 0x0013,
    0x0045, 0x0088, 0x0044, 0x0087, 0x009c, 0x009d, 0xc09c, 0xc09d, 0x003c, 0x003d, 0x002f, 0x0035, 0x0041,
    0x0084, 0x000a, 0x0005, 0x0004, 0x0007, 0x0096, 0x009a, 0x0099, 0x0009, 0x00ff,
];
const X25519: u16 = 0x001d;
/// Groups to exchange keys in (RFC 8446 4.2.7; 0x11ec is the hybrid of X25519 with ML-KEM).
const GROUPS: [u16; 8] = [X25519, 0x0017, 0x0018, 0x0019, 0x001e, 0x0100, 0x0101, 0x11ec];
/// How a server may prove that it has its key (RFC 8446 4.2.3).
const SIGNATURES: [u16; 18] = [
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0401, 0x0501,
    0x0601, 0x0203, 0x0201, 0x0402, 0x0202,
];

/// A record with a `ClientHello` that offers this version and no other (RFC 6101 5.6.1.2, RFC 8446 4.1.2). `name` is what the
/// server is called; an address has none (RFC 6066 3).
pub(crate) fn hello(version: Version, name: Option<&str>, random: &Random) -> Vec<u8> {
    let (client, rest) = random.split_at(32);
    let (session, key) = rest.split_at(32);
    let is_1_3 = version == Version::Tls1_3;
    let mut body = Vec::new();
    // What TLS 1.3 really is stands in an extension; to those who do not know it, it looks like 1.2.
    body.extend(version.min(Version::Tls1_2).number().to_be_bytes());
    body.extend(client);
    // Not empty in TLS 1.3, because devices on the way expect it (RFC 8446 D.4).
    body.extend(sized_8(if is_1_3 { session } else { &[] }));
    body.extend(sized_16(&numbers(if is_1_3 { &SUITES_1_3 } else { &SUITES })));
    body.extend(sized_8(&[0]));
    if version != Version::Ssl3 {
        body.extend(sized_16(&extensions(version, name, key)));
    }
    let mut message = vec![1];
    message.extend(sized_24(&body));
    let mut record = vec![22];
    // Devices on the way refuse a first record of any other version (RFC 8446 5.1).
    record.extend(version.min(Version::Tls1_0).number().to_be_bytes());
    record.extend(sized_16(&message));
    record
}

fn extensions(version: Version, name: Option<&str>, key: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut add = |number: u16, content: &[u8]| {
        all.extend(number.to_be_bytes());
        all.extend(sized_16(content));
    };
    if let Some(name) = name {
        let mut entry = vec![0];
        entry.extend(sized_16(name.as_bytes()));
        add(0, &sized_16(&entry));
    }
    add(10, &sized_16(&numbers(&GROUPS)));
    if version != Version::Tls1_3 {
        add(11, &sized_8(&[0]));
    }
    if Version::Tls1_2 <= version {
        add(13, &sized_16(&numbers(&SIGNATURES)));
    }
    if version == Version::Tls1_3 {
        add(43, &sized_8(&numbers(&[version.number()])));
        // Any 32 bytes are a public key of X25519 (RFC 7748 5), and the private one is not needed to read the answer.
        let mut share = X25519.to_be_bytes().to_vec();
        share.extend(sized_16(key));
        add(51, &sized_16(&share));
    }
    all
}

fn numbers(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// A vector with its length in front (RFC 8446 3.4). Everything that is sent here is far shorter than these can say.
fn sized_8(content: &[u8]) -> Vec<u8> {
    sized(1, content)
}

fn sized_16(content: &[u8]) -> Vec<u8> {
    sized(2, content)
}

fn sized_24(content: &[u8]) -> Vec<u8> {
    sized(3, content)
}

fn sized(width: usize, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
    length.into_iter().skip(4 - width).chain(content.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: Version, name: Option<&str>) -> Vec<u8> {
        hello(version, name, &[7; 96])
    }

    #[test]
    fn the_lengths_fit_whatever_the_version_and_the_name() {
        let long = "a".repeat(253);
        for version in Version::ALL {
            for name in [None, Some("shop.test"), Some(long.as_str())] {
                let record = of(version, name);
                let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
                assert_eq!(record.len(), 5 + length, "{version}");
                assert_eq!(usize::from(u16::from_be_bytes([record[7], record[8]])), length - 4, "{version}");
            }
        }
    }

    #[test]
    fn each_version_says_itself_where_its_servers_look() {
        for (version, record, legacy) in [
            (Version::Ssl3, [3, 0], [3, 0]),
            (Version::Tls1_0, [3, 1], [3, 1]),
            (Version::Tls1_1, [3, 1], [3, 2]),
            (Version::Tls1_2, [3, 1], [3, 3]),
            (Version::Tls1_3, [3, 1], [3, 3]),
        ] {
            let hello = of(version, Some("shop.test"));
            assert_eq!(
                (hello[1..3].to_vec(), hello[9..11].to_vec()),
                (record.to_vec(), legacy.to_vec()),
                "{version}"
            );
            // Extension 43 with the one version in it.
            let says = hello.windows(7).any(|part| part == [0, 43, 0, 3, 2, 3, 4]);
            assert_eq!(says, version == Version::Tls1_3, "{version}");
        }
    }

    #[test]
    fn ssl_3_knows_no_extensions_and_an_address_is_no_name() {
        let has = |record: &[u8], name: &str| record.windows(name.len()).any(|part| part == name.as_bytes());
        assert!(!has(&of(Version::Ssl3, Some("shop.test")), "shop.test"));
        assert!(has(&of(Version::Tls1_0, Some("shop.test")), "shop.test"));
    }
}
