//! What goes over the wire for an [`Ask`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Uri};
use http_body_util::Full;
use shipkit_core::config::Method;
use url::{Position, Url};

use super::{Ask, Bad};
use crate::class::Class;

/// The request, for a connection to the host of its address (RFC 9112 3.2.1). Its own headers come before those that every request has.
pub(super) fn of(ask: &Ask) -> Result<Request<Full<Bytes>>, Bad> {
    let url = &ask.url;
    let unsent = |what: &str| Bad::new(Class::Protocol, format!("the {what} of the address cannot be sent"));
    let target = &url[Position::BeforePath..Position::AfterQuery];
    let host = &url[Position::BeforeHost..Position::AfterPort];
    let mut request = Request::new(Full::from(ask.body.clone().unwrap_or_default()));
    *request.method_mut() = method(ask.method);
    *request.uri_mut() = target.parse::<Uri>().map_err(|_no_uri| unsent("path"))?;
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_str(host).map_err(|_no_value| unsent("host"))?);
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers
        .insert(USER_AGENT, HeaderValue::from_static(concat!("shipkit-smoke/", env!("CARGO_PKG_VERSION"))));
    if let Some(login) = login(url) {
        headers.insert(AUTHORIZATION, login);
    }
    // What is there already is replaced.
    headers.extend(ask.headers.clone());
    *request.headers_mut() = headers;
    Ok(request)
}

/// Name and password in the address, as servers want them (RFC 7617 2).
fn login(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let pair = format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn decoded(text: &str) -> String {
    // As a form, in which two more characters mean something.
    let form = format!("v={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(form.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn method(method: Method) -> http::Method {
    match method {
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
        Method::Options => http::Method::OPTIONS,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Patch => http::Method::PATCH,
        Method::Delete => http::Method::DELETE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, path: &str, expected: &[(&str, &str)]) {
        let request = of(&Ask::get(url.parse().unwrap())).unwrap();
        assert_eq!(request.uri(), path);
        let headers = request.headers();
        let seen: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let agent = ("user-agent", concat!("shipkit-smoke/", env!("CARGO_PKG_VERSION")));
        let usual = [("accept", "*/*"), agent];
        for expected in expected.iter().chain(&usual) {
            assert!(seen.contains(expected), "{expected:?} {seen:?}");
        }
        assert_eq!(seen.len(), expected.len() + 2, "{seen:?}");
    }

    #[test]
    fn the_host_has_its_port_where_it_is_not_the_usual_one() {
        check("http://a.example", "/", &[("host", "a.example")]);
        check("https://a.example:443/b?c=d#e", "/b?c=d", &[("host", "a.example")]);
        check("http://[::1]:8080/", "/", &[("host", "[::1]:8080")]);
    }

    #[test]
    fn name_and_password_of_the_address_are_a_login() {
        let login = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for (url, pair) in [("http://me:p%40ss+1&2@a.example", "me:p@ss+1&2"), ("http://me@a.example", "me:")]
        {
            check(url, "/", &[("host", "a.example"), ("authorization", &login(pair))]);
        }
    }

    #[test]
    fn headers_of_the_check_replace_those_of_every_request() {
        let mut ask = Ask::get("http://me:it@a.example".parse().unwrap());
        for name in ["authorization", "accept", "host", "x"] {
            ask.headers.insert(name, HeaderValue::from_static("own"));
        }
        let headers = of(&ask).unwrap().headers().clone();
        assert_eq!(headers.values().filter(|value| *value == "own").count(), 4, "{headers:?}");
        assert_eq!(headers.len(), 5);
    }
}
