//! Asks for pages: what they are made of, what their headers say, and whether a page says anything at all.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shipkit_core::config::{Cors, Method, Profile};
use url::Url;

use super::{AT_ONCE, Session};
use crate::class::Class;
use crate::client::{Answer, Ask, Bad};
use crate::cors;
use crate::judge;
use crate::page::{self, Asset, assets, media_type};
use crate::security_headers::{Seen, faults, remark};

impl Session<'_> {
    /// A page and every file of its own host that it names.
    pub(super) async fn page(&self, url: &Url) -> Result<String, Bad> {
        let answer = self.whole_page(url).await?;
        let files = assets(url, &answer.body);
        // In a loop, for with a closure the future of a run could not be sent to another thread.
        let mut asking = Vec::new();
        for file in &files {
            asking.push(self.file(file));
        }
        let found: Vec<Option<String>> = stream::iter(asking).buffered(AT_ONCE).try_collect().await?;
        let wrong: Vec<String> = found.into_iter().flatten().collect();
        match (files.len(), wrong.is_empty()) {
            (0, _) => Ok("a page that names no files of its host".to_owned()),
            (count, true) => Ok(format!("a page with its {count} files")),
            (count, false) => {
                let detail =
                    format!("{} of the {count} files of the page: {}", wrong.len(), wrong.join("; "));
                Err(Bad::new(Class::Body, detail))
            }
        }
    }

    /// The answer at an address where a page must be.
    pub(super) async fn whole_page(&self, url: &Url) -> Result<Answer, Bad> {
        let answer = self.get(url).await?;
        judge::ready(&answer)?;
        if !is_page(&answer) {
            let said = media_type(&answer);
            return Err(Bad::new(Class::Body, format!("it is `{}` and no page", judge::short(&said))));
        }
        Ok(answer)
    }

    /// What is wrong with a file of a page, if anything is.
    async fn file(&self, Asset { url, kind }: &Asset) -> Result<Option<String>, Bad> {
        let answer = self.get(url).await.map_err(|bad| at(url, &bad))?;
        Ok(page::fault(*kind, &answer).map(|fault| format!("`{}` {fault}", url.path())))
    }

    /// The headers of answers at these addresses; without any, of the page at `root`, a file that it names, and two paths that
    /// do not exist: what a server says on one path, it may forget on another.
    pub(super) async fn security_headers(
        &self,
        profile: Profile,
        root: &Url,
        urls: &[Url],
    ) -> Result<String, Bad> {
        let urls = if urls.is_empty() { self.usual(root).await? } else { urls.to_vec() };
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut remarks = Vec::new();
        for url in &urls {
            let answer = self.get(url).await.map_err(|bad| at(url, &bad))?;
            if 500 <= answer.status {
                let status = answer.status;
                return Err(at(url, &Bad::new(Class::Status(status), format!("status {status}"))));
            }
            let is_shown = is_page(&answer) && !(300..400).contains(&answer.status);
            let seen =
                Seen { headers: &answer.headers, is_page: is_shown, is_https: url.scheme() == "https" };
            for fault in faults(profile, seen) {
                found.entry(fault).or_default().push(format!("`{}`", url.path()));
            }
            remarks.extend(remark(&answer.headers).filter(|remark| !remarks.contains(remark)));
        }
        let place = |paths: &[String]| match paths.len() {
            all if 1 < all && all == urls.len() => "everywhere".to_owned(),
            _ => format!("at {}", paths.join(", ")),
        };
        let mut text = match found.len() {
            0 => format!("the headers of {} answers", urls.len()),
            _ => found
                .iter()
                .map(|(fault, paths)| format!("{fault} {}", place(paths)))
                .collect::<Vec<_>>()
                .join("; "),
        };
        for remark in remarks {
            // A text takes whatever is written to it.
            write!(text, "; {remark}").ok();
        }
        if found.is_empty() { Ok(text) } else { Err(Bad::new(Class::Headers, text)) }
    }

    /// What pages of an origin are answered, before a request and on it, and what those of a stranger are.
    pub(super) async fn cors(&self, url: &Url, wanted: &Cors) -> Result<String, Bad> {
        let wrong = |why: String| Bad::new(Class::Headers, why);
        let first = self.from(&wanted.origin, Method::Options, Some(wanted.method), url).await?;
        if let Some(why) = cors::shut_out(wanted, &first, true) {
            return Err(wrong(why));
        }
        // What changes something is not sent.
        if wanted.method == Method::Get {
            let second = self.from(&wanted.origin, Method::Get, None, url).await?;
            if let Some(why) = cors::shut_out(wanted, &second, false) {
                return Err(wrong(why));
            }
        }
        let stranger = self.from(cors::STRANGER, Method::Options, Some(wanted.method), url).await?;
        match cors::let_in(&stranger) {
            Some(why) => Err(wrong(why)),
            None => Ok(format!("`{}` is let in, and others are not", wanted.origin)),
        }
    }

    /// Asks as a page of this origin does.
    async fn from(
        &self,
        origin: &str,
        method: Method,
        meant: Option<Method>,
        url: &Url,
    ) -> Result<Answer, Bad> {
        let no_origin = || Bad::new(Class::Protocol, format!("`{origin}` cannot be sent"));
        let headers = cors::headers(origin, meant).ok_or_else(no_origin)?;
        self.send(&Ask { method, headers, ..Ask::get(url.clone()) }, self.options.timeout).await
    }

    async fn usual(&self, root: &Url) -> Result<Vec<Url>, Bad> {
        let page = self.get(root).await.map_err(|bad| at(root, &bad))?;
        let file = assets(root, &page.body).into_iter().next().map(|asset| asset.url);
        let nothing = ["", "api/"].map(|below| nobodys(root, below));
        Ok([Some(root.clone()), file].into_iter().chain(nothing).flatten().collect())
    }

    /// Whether a good answer says anything about its path. Many hosts answer every path with one page, even with nobody behind it.
    pub(super) async fn proves(&self, url: &Url, answer: &Answer) -> Result<(), Bad> {
        let is_index = url.path().ends_with('/');
        if is_index || !is_page(answer) || !(200..300).contains(&answer.status) {
            return Ok(());
        }
        let Some(other) = nobodys(url, "") else { return Ok(()) };
        let of_other = self.get(&other).await?;
        if is_page(&of_other) && (200..300).contains(&of_other.status) {
            let detail = format!(
                "status {} with a page, which means nothing here: `{}`, which nobody has made, has one, too; expect something of \
                 the body",
                answer.status,
                other.path()
            );
            return Err(Bad::new(Class::Status(answer.status), detail));
        }
        Ok(())
    }

    pub(super) async fn get(&self, url: &Url) -> Result<Answer, Bad> {
        self.send(&Ask::get(url.clone()), self.options.timeout).await
    }
}

pub(super) fn is_page(answer: &Answer) -> bool {
    media_type(answer) == "text/html"
}

/// An address below this one, or beside it, that no service has.
fn nobodys(url: &Url, below: &str) -> Option<Url> {
    let mut random = [0; 8];
    // Without randomness it is the same each time, and nobody has it either.
    getrandom::fill(&mut random).ok();
    let mut other = url.join(&format!("{below}shipkit-smoke-{:016x}", u64::from_be_bytes(random))).ok()?;
    other.set_query(None);
    Some(other)
}

pub(super) fn at(url: &Url, bad: &Bad) -> Bad {
    Bad::new(bad.class, format!("`{}`: {}", url.path(), bad.detail))
}
