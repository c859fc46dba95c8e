//! Asks how long browsers use a page and its files, and whether they are told that nothing has changed.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::HeaderMap;
use url::Url;

use super::pages::at;
use super::{AT_ONCE, Session};
use crate::caching;
use crate::class::Class;
use crate::client::{Ask, Bad};
use crate::page::{self, Asset, assets};

/// What is wrong with how one file is kept, and whether its name has a hash.
struct Kept {
    faults: Vec<String>,
    has_hash: bool,
}

impl Session<'_> {
    /// One attempt: the page and its files, each of them once more with the question whether it has changed.
    pub(super) async fn caching(&self, url: &Url) -> Result<String, Bad> {
        let page = self.whole_page(url).await?;
        let files = assets(url, &page.body);
        let again = self.changed(url, &page.headers).await?;
        // In a loop, for with a closure the future of a run could not be sent to another thread.
        let mut asking = Vec::new();
        for file in &files {
            asking.push(self.kept(file));
        }
        let kept: Vec<Kept> = stream::iter(asking).buffered(AT_ONCE).try_collect().await?;
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut add =
            |fault: String, url: &Url| found.entry(fault).or_default().push(format!("`{}`", url.path()));
        for fault in caching::of_page(&page.headers).into_iter().chain(again) {
            add(fault, url);
        }
        for (Kept { faults, .. }, file) in kept.iter().zip(&files) {
            for fault in faults {
                add(fault.clone(), &file.url);
            }
        }
        if !found.is_empty() {
            return Err(Bad::new(Class::Headers, page::told(&found)));
        }
        let hashed = kept.iter().filter(|kept| kept.has_hash).count();
        let of_files = match files.len() {
            0 => "it names no files of its host".to_owned(),
            all => format!("{hashed} of its {all} files have a hash in their name and are kept for a year"),
        };
        Ok(format!("browsers ask about the page anew, and {of_files}"))
    }

    async fn kept(&self, Asset { url, kind }: &Asset) -> Result<Kept, Bad> {
        let answer = self.get(url).await.map_err(|bad| at(url, &bad))?;
        if let Some(fault) = page::fault(*kind, &answer) {
            // A moment later it may be there.
            return Err(Bad::new(Class::Body, format!("`{}` {fault}", url.path())));
        }
        let has_hash = caching::has_hash(url);
        let of_name = if has_hash { caching::of_file(&answer.headers) } else { None };
        let again = self.changed(url, &answer.headers).await?;
        Ok(Kept { faults: of_name.into_iter().chain(again).collect(), has_hash })
    }

    /// What is wrong with the answer to the question whether it has changed since, if it can be asked.
    async fn changed(&self, url: &Url, before: &HeaderMap) -> Result<Option<String>, Bad> {
        let Some(question) = caching::question(before) else { return Ok(None) };
        let ask = Ask { headers: HeaderMap::from_iter([question]), ..Ask::get(url.clone()) };
        let answer = self.send(&ask, self.options.timeout).await.map_err(|bad| at(url, &bad))?;
        Ok(caching::unanswered(before, answer.status, &answer.headers))
    }
}
