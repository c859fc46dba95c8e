//! Asks for a page and its scripts and styles with and without compression.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use url::Url;

use super::Session;
use super::pages::at;
use crate::class::Class;
use crate::client::{Answer, Ask, Bad};
use crate::compression::{AT_ONCE, LEAST, LIMIT, Packed, of_gzip, of_plain, offers_http3};
use crate::judge::list;
use crate::page::{self, AssetKind, assets};

/// What is known of one answer.
enum Sent {
    /// It is too small to be judged.
    Small,
    /// How large it is, and compressed.
    Good {
        plain: usize,
        packed: usize,
    },
    /// It is another one each time, and cannot be compared.
    Changing,
    Wrong(String),
}

impl Session<'_> {
    /// One attempt: the page, its scripts and its styles.
    pub(super) async fn compression(&self, url: &Url) -> Result<String, Bad> {
        let page = self.whole_page(url).await?;
        let files = assets(url, &page.body);
        let of_text = files.iter().filter(|file| file.kind != AssetKind::Other);
        let all: Vec<_> =
            std::iter::once((url, None)).chain(of_text.map(|file| (&file.url, Some(file.kind)))).collect();
        // In a loop, for with a closure the future of a run could not be sent to another thread.
        let mut asking = Vec::new();
        for (url, kind) in &all {
            asking.push(self.sent(url, *kind));
        }
        let sent: Vec<Sent> = stream::iter(asking).buffered(AT_ONCE).try_collect().await?;
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let (mut count, mut before, mut after, mut apart) = (0_usize, 0, 0, Vec::new());
        for (sent, (url, _)) in sent.into_iter().zip(&all) {
            let path = format!("`{}`", url.path());
            match sent {
                Sent::Small => {}
                Sent::Good { plain, packed } => {
                    (count, before, after) = (count + 1, before + plain, after + packed);
                }
                Sent::Changing => apart.push(path),
                Sent::Wrong(fault) => found.entry(fault).or_default().push(path),
            }
        }
        if !found.is_empty() {
            return Err(Bad::new(Class::Headers, page::told(&found)));
        }
        let mut told = Vec::new();
        if 0 < count {
            let all = all.len();
            told.push(format!(
                "{count} of {all} answers have {LEAST} bytes or more, {before} in all, and {after} as gzip"
            ));
        }
        if !apart.is_empty() {
            told.push(format!("not compared, because it is another one each time: {}", list(&apart)));
        }
        if told.is_empty() {
            told.push(format!("none of {} answers has {LEAST} bytes to compress", all.len()));
        }
        if offers_http3(&page.headers) {
            told.push("it offers HTTP/3".to_owned());
        }
        Ok(told.join("; "))
    }

    async fn sent(&self, url: &Url, kind: Option<AssetKind>) -> Result<Sent, Bad> {
        let plain = self.coded(url, "identity").await?;
        if let Some(fault) = kind.and_then(|kind| page::fault(kind, &plain)) {
            return Err(Bad::new(Class::Body, format!("`{}` {fault}", url.path())));
        }
        if let Some(fault) = of_plain(&plain) {
            return Ok(Sent::Wrong(fault));
        }
        if plain.body.len() < LEAST {
            return Ok(Sent::Small);
        }
        let packed = self.coded(url, "gzip").await?;
        match of_gzip(&plain, &packed) {
            Packed::Same => Ok(Sent::Good { plain: plain.body.len(), packed: packed.body.len() }),
            Packed::Wrong(fault) => Ok(Sent::Wrong(fault)),
            Packed::Another if self.coded(url, "identity").await?.body != plain.body => Ok(Sent::Changing),
            Packed::Another => Ok(Sent::Wrong("compressed, it is not what it is without".to_owned())),
        }
    }

    async fn coded(&self, url: &Url, coding: &'static str) -> Result<Answer, Bad> {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(coding))]);
        let (ask, end) = (Ask { headers, ..Ask::get(url.clone()) }, Instant::now() + self.options.timeout);
        self.sender.send_up_to(LIMIT, &ask, end).await.map_err(|bad| at(url, &bad))
    }
}
