//! `Signer`: signatures of AWS, version 4, as a header or in the query of an address. No clock and no network.

use std::fmt::Write as _;

use jiff::Timestamp;
use ring::{digest, hmac};

use super::eks::AwsKeys;

/// The hash of an empty body.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs, for which service, and when.
#[derive(Debug)]
pub(super) struct Signer<'a> {
    pub(super) keys: &'a AwsKeys,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) at: Timestamp,
}

/// A GET without a body. Its path has nothing in it that would have to be escaped.
#[derive(Debug)]
pub(super) struct Unsigned<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a [(&'a str, &'a str)],
    /// Besides `host`: names in lower case, in alphabetical order after it.
    pub(super) headers: &'a [(&'a str, &'a str)],
}

impl Signer<'_> {
    /// The query of an address that is valid for so many seconds.
    pub(super) fn presign(&self, request: &Unsigned<'_>, seconds: u32) -> String {
        self.presign_hashed(request, seconds, EMPTY)
    }

    fn presign_hashed(&self, request: &Unsigned<'_>, seconds: u32, hash: &str) -> String {
        let names = names(request.headers);
        let (credential, time, seconds) =
            (format!("{}/{}", self.keys.id, self.scope()), self.time(), seconds.to_string());
        let mut query: Vec<(&str, &str)> = request.query.to_vec();
        query.extend([
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &time),
            ("X-Amz-Expires", &seconds),
            ("X-Amz-SignedHeaders", &names),
        ]);
        if let Some(session) = &self.keys.session {
            query.push(("X-Amz-Security-Token", session.reveal()));
        }
        let query: Vec<String> = query.iter().map(pair).collect();
        let signature = self.sign(request, &query, request.headers, hash);
        format!("{}&X-Amz-Signature={signature}", query.join("&"))
    }

    /// The headers that make the request one of ours.
    pub(super) fn authorize(&self, request: &Unsigned<'_>) -> Vec<(&'static str, String)> {
        let (time, query): (_, Vec<String>) = (self.time(), request.query.iter().map(pair).collect());
        let mut headers = vec![("x-amz-date", time.clone())];
        headers.extend(self.keys.session.iter().map(|one| ("x-amz-security-token", one.reveal().to_owned())));
        let mut signed: Vec<(&str, &str)> = request.headers.to_vec();
        signed.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
        let signature = self.sign(request, &query, &signed, EMPTY);
        let authorization = format!(
            "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={signature}",
            self.keys.id,
            self.scope(),
            names(&signed)
        );
        headers.push(("authorization", authorization));
        headers
    }

    fn sign(&self, request: &Unsigned<'_>, query: &[String], headers: &[(&str, &str)], hash: &str) -> String {
        let mut sorted = query.to_vec();
        sorted.sort();
        let lines = headers.iter().flat_map(|(name, value)| [*name, ":", *value, "\n"]);
        let lines: String = lines.collect();
        let canonical = format!(
            "GET\n{}\n{}\nhost:{}\n{lines}\n{}\n{hash}",
            request.path,
            sorted.join("&"),
            request.host,
            names(headers)
        );
        let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let text = format!("{ALGORITHM}\n{}\n{}\n{hash}", self.time(), self.scope());
        let begin = format!("AWS4{}", self.keys.secret.reveal()).into_bytes();
        let date = self.at.strftime("%Y%m%d").to_string();
        let parts = [date.as_str(), self.region, self.service, "aws4_request", &text];
        hex(&parts.iter().fold(begin, |key, part| hmac(&key, part)))
    }

    fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.at.strftime("%Y%m%d"), self.region, self.service)
    }

    fn time(&self) -> String {
        self.at.strftime("%Y%m%dT%H%M%SZ").to_string()
    }
}

fn names(headers: &[(&str, &str)]) -> String {
    headers.iter().fold("host".to_owned(), |names, (name, _)| format!("{names};{name}"))
}

fn pair((name, value): &(&str, &str)) -> String {
    format!("{}={}", escaped(name), escaped(value))
}

/// As RFC 3986 escapes: form encoding would differ in a space, `*` and `~`.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            // A text takes whatever is written.
            write!(escaped, "%{byte:02X}").ok();
        }
    }
    escaped
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // A text takes whatever is written.
        write!(hex, "{byte:02x}").ok();
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shipkit_core::Secret;

    fn keys(id: &str, session: Option<&str>) -> AwsKeys {
        AwsKeys {
            id: id.to_owned(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session: session.map(Secret::from),
        }
    }

    fn signer<'a>(keys: &'a AwsKeys, service: &'a str, at: &str) -> Signer<'a> {
        Signer { keys, region: "us-east-1", service, at: at.parse().unwrap() }
    }

    /// The example of the documentation of S3, whose body is not signed.
    #[test]
    fn an_address_is_signed_as_the_documentation_of_aws_shows() {
        let mut keys = keys("AKIAIOSFODNN7EXAMPLE", None);
        keys.secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let request =
            Unsigned { host: "examplebucket.s3.amazonaws.com", path: "/test.txt", query: &[], headers: &[] };
        let signer = signer(&keys, "s3", "2013-05-24T00:00:00Z");
        let query = signer.presign_hashed(&request, 86400, "UNSIGNED-PAYLOAD");
        assert_eq!(
            query,
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F\
             aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=\
             aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    /// `get-vanilla` and `get-vanilla-query-order-key-case` of the test suite that AWS publishes.
    #[test]
    fn a_request_is_signed_as_the_test_suite_of_aws_does() {
        let keys = keys("AKIDEXAMPLE", None);
        let signer = signer(&keys, "service", "2015-08-30T12:36:00Z");
        for (query, signature) in [
            (&[][..], "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            (
                &[("Param2", "value2"), ("Param1", "value1")],
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ] {
            let request = Unsigned { host: "example.amazonaws.com", path: "/", query, headers: &[] };
            let headers = signer.authorize(&request);
            let wanted = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature={signature}"
            );
            assert_eq!(headers, [("x-amz-date", "20150830T123600Z".to_owned()), ("authorization", wanted)]);
        }
    }

    #[test]
    fn what_is_not_plain_is_escaped_byte_by_byte() {
        assert_eq!(escaped("a ~*/+ü"), "a%20~%2A%2F%2B%C3%BC");
    }
}
