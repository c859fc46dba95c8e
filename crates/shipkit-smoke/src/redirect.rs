//! `Route`: where redirects must lead, and what an answer on the way means. Who asks stands in `run`.

use http::HeaderMap;
use url::Url;

use crate::class::Class;
use crate::client::Bad;
use crate::judge::short;
use crate::run::harmless;

/// How many redirects are followed.
pub(crate) const HOPS: usize = 3;

/// What is asked, and where it must lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) asked: Url,
    pub(crate) to: To,
}

/// Where a redirect must lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum To {
    /// From http to https of the same host, and from there to an answer.
    Https,
    /// To this address.
    Address(Url),
    /// To the path and query of this address, on its host, by https or as it is asked.
    Path(Url),
}

/// What to do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Ask(Url),
    /// It leads where it must.
    Done(String),
}

/// The addresses that led here; the last is the one that is asked.
#[derive(Debug)]
pub(crate) struct Trail {
    before: Vec<Url>,
    here: Url,
}

impl Route {
    /// What the answer of the last address on the trail means.
    pub(crate) fn next(&self, trail: &mut Trail, status: u16, headers: &HeaderMap) -> Result<Next, Bad> {
        self.led(trail, status, headers).map_err(|wrong| {
            let wanted = match &self.to {
                To::Https => String::new(),
                To::Address(wanted) | To::Path(wanted) => format!("; it must lead to {}", shown(wanted)),
            };
            // Not of the class of a body that is not there yet: who is led to a wrong place now is a moment later, too.
            Bad::new(Class::Status(status), format!("{}: {wrong}{wanted}", trail.told()))
        })
    }

    fn led(&self, trail: &mut Trail, status: u16, headers: &HeaderMap) -> Result<Next, String> {
        let is_first = trail.before.is_empty();
        if !is_redirect(status) {
            return match self.to {
                To::Https if !is_first => {
                    Ok(Next::Done(format!("{}, which answers with status {status}", trail.told())))
                }
                To::Https | To::Address(_) | To::Path(_) => Err(format!("status {status} is no redirect")),
            };
        }
        let target = target(&trail.here, status, headers)?;
        if is_first && self.to == To::Https {
            is_https_of(&trail.here, &target, status)?;
        }
        if HOPS <= trail.before.len() {
            return Err(format!("it leads on to {}, after {HOPS} redirects", shown(&target)));
        }
        if self.is_reached(&target) {
            return Ok(Next::Done(format!("{} leads to {}, status {status}", trail.told(), shown(&target))));
        }
        if trail.here.scheme() == "https" && target.scheme() != "https" {
            return Err(format!("it leads back to http, {}", shown(&target)));
        }
        if trail.before.iter().chain([&trail.here]).any(|seen| is_same(seen, &target)) {
            return Err(format!("it leads in a circle, to {}", shown(&target)));
        }
        trail.before.push(std::mem::replace(&mut trail.here, target.clone()));
        Ok(Next::Ask(target))
    }

    fn is_reached(&self, target: &Url) -> bool {
        match &self.to {
            To::Https => false,
            To::Address(wanted) => is_same(wanted, target),
            To::Path(wanted) => {
                let is_there = wanted.host() == target.host() && place(wanted) == place(target);
                is_there && (target.scheme() == "https" || target.scheme() == self.asked.scheme())
            }
        }
    }
}

impl Trail {
    pub(crate) fn from(asked: &Url) -> Self {
        Self { before: Vec::new(), here: asked.clone() }
    }

    /// That there is no answer. Where one has led there, silence is no doubt about the network here.
    pub(crate) fn broken(&self, bad: Bad) -> Bad {
        if self.before.is_empty() {
            return bad;
        }
        let class = if bad.class.is_silence() { Class::Timeout } else { bad.class };
        Bad::new(class, format!("{}: {}", self.told(), bad.detail))
    }

    fn told(&self) -> String {
        self.before.iter().chain([&self.here]).map(shown).collect::<Vec<_>>().join(" leads to ")
    }
}

/// The redirects that have one address to go to (RFC 9110 15.4): 300 offers several, 304 is none.
fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Where the answer leads, relative to where it came from (RFC 9110 10.2.2).
fn target(from: &Url, status: u16, headers: &HeaderMap) -> Result<Url, String> {
    let mut lines = headers.get_all(http::header::LOCATION).iter();
    let line = match (lines.next(), lines.next()) {
        (Some(line), None) => line,
        (None, _) => return Err(format!("status {status} without a `location`")),
        (Some(_), Some(_)) => return Err(format!("status {status} with more than one `location`")),
    };
    let nowhere = || {
        format!(
            "status {status} to `{}`, which is no address",
            short(&String::from_utf8_lossy(line.as_bytes()))
        )
    };
    let target = line.to_str().ok().and_then(|text| from.join(text).ok()).ok_or_else(nowhere)?;
    if matches!(target.scheme(), "http" | "https") { Ok(harmless(&target)) } else { Err(nowhere()) }
}

/// Whether the first redirect leads by https to the same place, for good (RFC 6797 7.2): a first answer by http from another host
/// could set no rule for this one.
fn is_https_of(from: &Url, target: &Url, status: u16) -> Result<(), String> {
    let mut wrong = Vec::new();
    if !matches!(status, 301 | 308) {
        wrong.push(format!("status {status}, not 301 or 308"));
    }
    if target.scheme() != "https" {
        wrong.push("the first redirect is not to https".to_owned());
    }
    if target.host() != from.host() {
        wrong.push("the first redirect is to another host".to_owned());
    }
    if place(target) != place(from) {
        wrong.push("it does not keep path and query".to_owned());
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("{} (it leads to {})", wrong.join("; "), shown(target)))
    }
}

fn place(url: &Url) -> (&str, Option<&str>) {
    (url.path(), url.query())
}

/// A fragment is never sent.
fn is_same(one: &Url, other: &Url) -> bool {
    let bare = |url: &Url| {
        let mut url = harmless(url);
        url.set_fragment(None);
        url
    };
    bare(one) == bare(other)
}

fn shown(url: &Url) -> String {
    format!("`{}`", short(harmless(url).as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn https() -> Route {
        Route { asked: url("http://shop.test/a?b=1"), to: To::Https }
    }

    fn location(to: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::header::LOCATION, HeaderValue::from_str(to).unwrap())])
    }

    /// Follows these answers, each a status and where it leads, and gives what came of it.
    fn follow(route: &Route, answers: &[(u16, &str)]) -> Result<String, String> {
        let mut trail = Trail::from(&route.asked);
        for (status, to) in answers {
            let headers = if to.is_empty() { HeaderMap::new() } else { location(to) };
            match route.next(&mut trail, *status, &headers).map_err(|bad| bad.detail)? {
                Next::Ask(_) => {}
                Next::Done(told) => return Ok(told),
            }
        }
        panic!("there is more to ask: {trail:?}")
    }

    #[track_caller]
    fn fails(route: &Route, answers: &[(u16, &str)], part: &str) {
        let seen = follow(route, answers).unwrap_err();
        assert!(seen.contains(part), "{seen}");
    }

    #[test]
    fn http_leads_to_https_of_the_same_place_for_good() {
        for status in [301, 308] {
            let told = follow(&https(), &[(status, "https://shop.test/a?b=1"), (404, "")]).unwrap();
            assert_eq!(
                told,
                "`http://shop.test/a?b=1` leads to `https://shop.test/a?b=1`, which answers with status 404"
            );
        }
        // Elsewhere only after the first, and a fragment is not sent.
        let on =
            [(301, "https://shop.test/a?b=1#top"), (302, "https://www.shop.test/"), (303, "/en"), (200, "")];
        assert!(follow(&https(), &on).is_ok());
    }

    #[test]
    fn what_is_wrong_with_the_first_redirect_is_named() {
        fails(&https(), &[(200, "")], "`http://shop.test/a?b=1`: status 200 is no redirect");
        fails(&https(), &[(302, "https://shop.test/a?b=1")], "status 302, not 301 or 308");
        fails(&https(), &[(301, "http://shop.test/a?b=1")], "not to https");
        fails(&https(), &[(301, "/a?b=1")], "not to https");
        fails(&https(), &[(301, "https://www.shop.test/a?b=1")], "another host");
        for lost in ["https://shop.test/a", "https://shop.test/?b=1", "https://shop.test/a/?b=1"] {
            fails(&https(), &[(301, lost)], "does not keep path and query");
        }
        fails(
            &https(),
            &[(307, "https://other.test/")],
            "status 307, not 301 or 308; the first redirect is to another host; it does not keep path and query (it \
             leads to `https://other.test/`)",
        );
    }

    #[test]
    fn circles_ways_back_and_long_ways_end() {
        let first = (301, "https://shop.test/a?b=1");
        fails(&https(), &[first, (302, "https://shop.test/a?b=1#x")], "in a circle");
        fails(&https(), &[first, (302, "/b"), (302, "/a?b=1")], "in a circle, to `https://shop.test/a?b=1`");
        fails(&https(), &[first, (302, "http://shop.test/a?b=1")], "back to http");
        assert!(follow(&https(), &[first, (302, "/b"), (302, "/c"), (200, "")]).is_ok());
        fails(&https(), &[first, (302, "/b"), (302, "/c"), (302, "/d")], "after 3 redirects");
    }

    #[test]
    fn an_address_that_is_named_must_be_reached() {
        let to = To::Address(url("https://www.shop.test/new"));
        let route = Route { asked: url("https://shop.test/old"), to };
        let told = "`https://shop.test/old` leads to `https://www.shop.test/new`, status 302";
        assert_eq!(follow(&route, &[(302, "https://www.shop.test/new")]).unwrap(), told);
        assert!(follow(&route, &[(301, "/older"), (307, "//www.shop.test/new#x")]).is_ok());
        fails(
            &route,
            &[(301, "/older"), (200, "")],
            "`https://shop.test/old` leads to `https://shop.test/older`: status 200 is no redirect; it must lead to \
             `https://www.shop.test/new`",
        );
        fails(&route, &[(301, "http://www.shop.test/new")], "back to http");
        fails(
            &route,
            &[(301, "/1"), (301, "/2"), (301, "/3"), (301, "https://www.shop.test/new")],
            "after 3",
        );
    }

    #[test]
    fn a_path_is_one_of_the_same_host_and_never_by_a_weaker_way() {
        let to = |asked: &str| Route { asked: url(asked), to: To::Path(url("http://shop.test/new")) };
        for there in ["https://shop.test/new", "/new"] {
            assert!(follow(&to("http://shop.test/old"), &[(302, there)]).is_ok(), "{there}");
        }
        fails(&to("https://shop.test/old"), &[(302, "http://shop.test/new")], "back to http");
        fails(&to("http://shop.test/old"), &[(302, "https://other.test/new"), (200, "")], "must lead to");
    }

    #[test]
    fn nonsense_leads_nowhere() {
        fails(&https(), &[(301, "")], "without a `location`");
        for nowhere in ["mailto:me@shop.test", "https://", "javascript:alert(1)", "http://[::1"] {
            fails(&https(), &[(301, nowhere)], "which is no address");
        }
        let mut two = location("https://shop.test/a?b=1");
        two.append(http::header::LOCATION, HeaderValue::from_static("https://other.test/"));
        let mut trail = Trail::from(&https().asked);
        let seen = https().next(&mut trail, 301, &two).unwrap_err();
        assert!(seen.detail.contains("more than one `location`"), "{seen:?}");
        let bytes =
            HeaderMap::from_iter([(http::header::LOCATION, HeaderValue::from_bytes(b"/\xff").unwrap())]);
        assert!(https().next(&mut trail, 301, &bytes).unwrap_err().detail.contains("no address"));
    }

    #[test]
    fn silence_after_an_answer_is_the_fault_of_who_led_there() {
        let mut trail = Trail::from(&https().asked);
        let silent = || Bad::new(Class::ConnectTimeout, "silent");
        assert_eq!(trail.broken(silent()), silent());
        https().next(&mut trail, 301, &location("https://shop.test/a?b=1")).unwrap();
        let seen = trail.broken(silent());
        assert_eq!(seen.class, Class::Timeout);
        assert!(seen.detail.ends_with("leads to `https://shop.test/a?b=1`: silent"), "{seen:?}");
    }

    #[test]
    fn a_password_is_in_no_sentence() {
        let seen = follow(&https(), &[(301, "https://me:hunter2@shop.test/a?b=1"), (200, "")]).unwrap();
        assert!(!seen.contains("hunter2"), "{seen}");
    }

    #[test]
    fn only_what_the_server_may_mend_is_asked_again() {
        let class = |status| {
            https().next(&mut Trail::from(&https().asked), status, &HeaderMap::new()).unwrap_err().class
        };
        assert!(class(503).is_mendable());
        assert!(!class(200).is_mendable() && !class(302).is_mendable());
    }
}
