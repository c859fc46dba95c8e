//! The cookies that an answer sets, and whether they are protected (draft-ietf-httpbis-rfc6265bis, here 6265bis; the clauses stand
//! beside the rules). No value of a cookie is ever told.

use http::HeaderMap;
use http::header::SET_COOKIE;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::class::Class;
use crate::client::Bad;
use crate::judge::short;

/// The longest name and value together that browsers keep (6265bis 5.6).
const LONGEST: usize = 4096;
/// Parts of names that cookies of a login have, in any case.
const OF_LOGINS: [&str; 5] = ["sess", "login", "auth", "token", "jwt"];
/// The same of cookies that pages read to show that a request comes from them.
const OF_PAGES: [&str; 2] = ["csrf", "xsrf"];

/// What a cookie is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Whoever has it is logged in.
    Login,
    /// A script of the page reads it, and sends what it says along.
    Page,
    Other,
}

/// A cookie as it is set.
#[derive(Debug, Default)]
struct Cookie {
    name: String,
    /// The length of its name and value.
    size: usize,
    is_secure: bool,
    is_http_only: bool,
    has_domain: bool,
    path: Option<String>,
    same_site: Option<String>,
    max_age: Option<i64>,
    expires: Option<Timestamp>,
}

/// Whether the cookies of an answer are protected.
pub(crate) fn judge(headers: &HeaderMap, wanted: &[String], is_https: bool) -> Result<(), Bad> {
    let faults = faults(headers, wanted, is_https, Timestamp::now());
    if faults.is_empty() { Ok(()) } else { Err(Bad::new(Class::Headers, faults.join("; "))) }
}

/// What is wrong with the cookies of an answer, of which those called `wanted` must be among them, and are for a login.
fn faults(headers: &HeaderMap, wanted: &[String], is_https: bool, now: Timestamp) -> Vec<String> {
    let set: Vec<Cookie> = lines(headers).map(|line| Cookie::read(&line)).collect();
    let mut faults = Vec::new();
    for name in wanted {
        let mut of_name = set.iter().filter(|cookie| cookie.name == *name).peekable();
        if of_name.peek().is_none() {
            faults.push(format!("cookie `{}` is not set", short(name)));
        } else if of_name.all(|cookie| cookie.is_removed(now)) {
            faults.push(format!("cookie `{}` is removed", short(name)));
        }
    }
    for cookie in set.iter().filter(|cookie| !cookie.is_removed(now)) {
        let wrong = cookie.wrong(cookie.purpose(wanted), is_https);
        let fault = format!("cookie `{}` {}", short(&cookie.name), wrong.join(", "));
        if !wrong.is_empty() && !faults.contains(&fault) {
            faults.push(fault);
        }
    }
    faults
}

/// A text about these headers without the values of cookies.
pub(crate) fn hidden(headers: &HeaderMap, text: &str) -> String {
    let mut pairs: Vec<String> = lines(headers).map(|line| pair(&line).to_owned()).collect();
    // The longest first: one may be the beginning of another.
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.len()));
    pairs.iter().filter(|pair| !pair.is_empty()).fold(text.to_owned(), |text, pair| {
        let shown = pair.split_once('=').map_or_else(|| "***".to_owned(), |(name, _)| format!("{name}=***"));
        text.replace(pair, &shown)
    })
}

fn lines(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers.get_all(SET_COOKIE).iter().map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
}

/// The name and the value.
fn pair(line: &str) -> &str {
    line.split(';').next().unwrap_or_default().trim()
}

impl Cookie {
    /// Reads a line as browsers do, which take every line for some cookie; the last attribute of a name counts (6265bis 5.6).
    fn read(line: &str) -> Self {
        let (name, value) = pair(line).split_once('=').unwrap_or(("", pair(line)));
        let (name, value) = (name.trim(), value.trim());
        let mut cookie = Self { name: name.to_owned(), size: name.len() + value.len(), ..Self::default() };
        for attribute in line.split(';').skip(1) {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "secure" => cookie.is_secure = true,
                "httponly" => cookie.is_http_only = true,
                "samesite" => cookie.same_site = Some(value.to_ascii_lowercase()),
                "path" => cookie.path = Some(value.to_owned()),
                "domain" => cookie.has_domain = !value.is_empty(),
                "max-age" => cookie.max_age = value.parse().ok().or(cookie.max_age),
                "expires" => cookie.expires = moment(value).or(cookie.expires),
                _ => {}
            }
        }
        cookie
    }

    /// What is removed is no longer there to be protected. `Max-Age` counts for more than `Expires` (6265bis 5.7).
    fn is_removed(&self, now: Timestamp) -> bool {
        match (self.max_age, self.expires) {
            (Some(seconds), _) => seconds <= 0,
            (None, Some(expires)) => expires <= now,
            (None, None) => false,
        }
    }

    fn purpose(&self, wanted: &[String]) -> Purpose {
        let name = self.name.to_ascii_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        if has(&OF_PAGES) {
            Purpose::Page
        } else if wanted.contains(&self.name)
            || has(&OF_LOGINS)
            || name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "sid")
        {
            Purpose::Login
        } else {
            Purpose::Other
        }
    }

    fn wrong(&self, purpose: Purpose, is_https: bool) -> Vec<String> {
        let mut wrong = self.refused();
        let is_said = |text: &&str| wrong.iter().any(|said| said.contains(text));
        let mut missing = Vec::new();
        if purpose != Purpose::Other && is_https && !self.is_secure && !is_said(&"`Secure`") {
            missing.push("no `Secure`");
        }
        if purpose == Purpose::Login && !self.is_http_only {
            missing.push("no `HttpOnly`");
        }
        if purpose != Purpose::Other {
            match self.same_site.as_deref() {
                Some("strict" | "lax" | "none") => {}
                Some(_) => missing.push("a `SameSite` that browsers do not know"),
                None => missing.push("no `SameSite`"),
            }
        }
        wrong.extend(missing.iter().map(|missing| format!("has {missing}")));
        wrong
    }

    /// Why browsers do not take it, whatever it is for.
    fn refused(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let name = self.name.to_ascii_lowercase();
        // 6265bis 4.1.3, and 5.7: whatever their case.
        let prefix = ["__Secure-", "__Host-"]
            .into_iter()
            .find(|prefix| name.starts_with(&prefix.to_ascii_lowercase()));
        if let Some(prefix) = prefix {
            let is_host = prefix == "__Host-";
            let needs = [
                ("needs `Secure`", !self.is_secure),
                ("needs `Path=/`", is_host && self.path.as_deref() != Some("/")),
                ("takes no `Domain`", is_host && self.has_domain),
            ];
            let needs = needs.into_iter().filter(|(_, is_broken)| *is_broken);
            wrong.extend(needs.map(|(need, _)| format!("{need} for its `{prefix}`")));
        }
        // 6265bis 5.7.
        if self.same_site.as_deref() == Some("none") && !self.is_secure {
            wrong.push("has `SameSite=None` without `Secure`".to_owned());
        }
        if LONGEST < self.size {
            wrong.push(format!("has {} bytes, and browsers take {LONGEST}", self.size));
        }
        wrong
    }
}

/// The moment of `Expires`, in any of the ways in which servers write it (6265bis 5.6.1).
fn moment(text: &str) -> Option<Timestamp> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && c != ':') {
        if time.is_none()
            && let Some(found) = clock(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some(found) = number(token, 1, 2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some(found) = number(token, 2, 4)
        {
            year = Some(found);
        }
    }
    let year = match year? {
        late @ 70..=99 => late + 1900,
        early @ 0..=69 => early + 2000,
        whole => whole,
    };
    let (day, month) = (i8::try_from(day?).ok()?, i8::try_from(month?).ok()?);
    let (hour, minute, second) = time?;
    let moment = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    Some(moment.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// `12:34:56`.
fn clock(token: &str) -> Option<(i8, i8, i8)> {
    let mut parts = token.split(':').map(|part| number(part, 1, 2).and_then(|part| i8::try_from(part).ok()));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some((hour, minute, second))
}

/// A number of so many digits.
fn number(token: &str, fewest: usize, most: usize) -> Option<i16> {
    let fits = (fewest..=most).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| token.parse().ok()).flatten()
}

/// The number of a month, by the first three letters of its name.
fn month_of(token: &str) -> Option<usize> {
    const NAMES: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let name = token.get(..3)?.to_ascii_lowercase();
    Some(1 + NAMES.iter().position(|known| *known == name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (SET_COOKIE, line.parse().unwrap())).collect()
    }

    fn now() -> Timestamp {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    #[track_caller]
    fn check(lines: &[&str], expected: &[&str]) {
        assert_eq!(faults(&headers(lines), &[], true, now()), expected, "{lines:?}");
    }

    #[track_caller]
    fn named(wanted: &str, lines: &[&str], expected: &[&str]) {
        assert_eq!(faults(&headers(lines), &[wanted.to_owned()], true, now()), expected, "{lines:?}");
    }

    #[test]
    fn a_cookie_of_a_login_has_three_attributes() {
        check(&["connect.sid=1; Path=/; HttpOnly; Secure; SameSite=Lax"], &[]);
        check(
            &["connect.sid=1"],
            &["cookie `connect.sid` has no `Secure`, has no `HttpOnly`, has no `SameSite`"],
        );
        check(&["PHPSESSID=1; secure; httponly"], &["cookie `PHPSESSID` has no `SameSite`"]);
        check(&["access_token=1; Secure; SameSite=Strict"], &["cookie `access_token` has no `HttpOnly`"]);
        check(&["jwt=1; HttpOnly; SameSite=strict"], &["cookie `jwt` has no `Secure`"]);
        check(
            &["sid=1; Secure; HttpOnly; SameSite=Yes"],
            &["cookie `sid` has a `SameSite` that browsers do not know"],
        );
        let plain = headers(&["sid=1; HttpOnly; SameSite=Lax"]);
        assert!(
            faults(&plain, &[], false, now()).is_empty(),
            "over http there is nothing that `Secure` keeps"
        );
    }

    #[test]
    fn what_a_cookie_is_for_stands_in_its_name_or_is_said() {
        check(&["theme=dark", "residence=1", "_ga=1"], &[]);
        check(&["XSRF-TOKEN=1; Secure; SameSite=Lax"], &[]);
        check(&["csrftoken=1"], &["cookie `csrftoken` has no `Secure`, has no `SameSite`"]);
        named("id", &["id=1; Secure; SameSite=Lax", "theme=dark"], &["cookie `id` has no `HttpOnly`"]);
        named("csrftoken", &["csrftoken=1; Secure; SameSite=Lax"], &[]);
    }

    #[test]
    fn what_is_wanted_is_set_and_not_removed() {
        named("id", &[], &["cookie `id` is not set"]);
        named("id", &["ID=1"], &["cookie `id` is not set"]);
        named("id", &["id=; Max-Age=0"], &["cookie `id` is removed"]);
        let again = ["id=; Max-Age=0", "id=1; HttpOnly; Secure; SameSite=Lax"];
        named("id", &again, &[]);
    }

    #[test]
    fn what_is_removed_needs_no_protection() {
        for removed in [
            "Max-Age=0",
            "Max-Age=-1; Expires=Fri, 01 Jan 2100 00:00:00 GMT",
            "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "expires=Thursday, 01-Jan-70 00:00:01 GMT",
            "Expires=Thu Jan  1 00:00:00 2026",
        ] {
            check(&[&format!("sid=; {removed}")], &[]);
        }
        for kept in [
            "Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "Max-Age=soon",
            "Expires=Fri, 01 Jan 2100 00:00:00 GMT",
            "Expires=Sat, 31 Jan 2026 12:00:01 GMT",
            "Expires=Fri, 32 Jan 1970 00:00:00 GMT",
            "Expires=1970",
            "Expires=é",
            "Expires=",
        ] {
            assert_eq!(faults(&headers(&[&format!("sid=; {kept}")]), &[], true, now()).len(), 1, "{kept}");
        }
    }

    #[test]
    fn prefixes_are_promises_and_a_broken_one_is_thrown_away() {
        check(&["__Host-a=1; Secure; Path=/", "__Secure-a=1; Secure; Domain=a.example"], &[]);
        check(&["__Secure-a=1"], &["cookie `__Secure-a` needs `Secure` for its `__Secure-`"]);
        check(
            &["__Host-a=1; Path=/a; Domain=a.example"],
            &["cookie `__Host-a` needs `Secure` for its `__Host-`, needs `Path=/` for its `__Host-`, \
               takes no `Domain` for its `__Host-`"],
        );
        check(&["__Host-a=1; Secure"], &["cookie `__Host-a` needs `Path=/` for its `__Host-`"]);
        check(&["__host-a=1; Secure"], &["cookie `__host-a` needs `Path=/` for its `__Host-`"]);
        check(&["__Host-a=1; Secure; Path=/; Domain="], &[]);
        check(&["__Host-a=1; Secure; Path=/a; path=/"], &[]);
    }

    #[test]
    fn what_browsers_do_not_keep_is_told_whatever_it_is_for() {
        check(&["a=1; SameSite=None"], &["cookie `a` has `SameSite=None` without `Secure`"]);
        check(&["a=1; SameSite=None; Secure"], &[]);
        let sid = "cookie `sid` has `SameSite=None` without `Secure`";
        check(&["sid=1; HttpOnly; SameSite=None"], &[sid]);
        check(&[&format!("a={}", "x".repeat(LONGEST - 1))], &[]);
        check(
            &[&format!("a={}", "x".repeat(LONGEST))],
            &["cookie `a` has 4097 bytes, and browsers take 4096"],
        );
    }

    #[test]
    fn each_fault_is_told_once() {
        let line = "sid=1; Secure; HttpOnly";
        check(
            &[line, line, "a_sid=2; Secure; HttpOnly"],
            &["cookie `sid` has no `SameSite`", "cookie `a_sid` has no `SameSite`"],
        );
    }

    #[test]
    fn no_value_is_told() {
        let headers = headers(&["a=1", "a=12; Path=/", "hunter2", "b=x=hunter2; HttpOnly", "c="]);
        let all = crate::judge::joined(&headers, SET_COOKIE).unwrap();
        assert_eq!(hidden(&headers, &all), "a=***, a=***; Path=/, ***, b=***; HttpOnly, c=***");
        let judged = faults(&headers, &["b".to_owned()], true, now()).concat();
        assert!(!judged.contains("hunter2"), "{judged}");
    }
}
