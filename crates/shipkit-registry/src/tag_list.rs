//! The tags of a repository: what is there already, by name.

use std::collections::BTreeSet;

use http::StatusCode;
use http::header::LINK;
use serde::Deserialize;
use shipkit_core::{Repository, Tag};

use crate::Registry;
use crate::content::says_unknown;
use crate::error::Error;
use crate::referrers::next_page;

/// As many tags as are asked for at once; registries give fewer where they want to.
const PAGE: usize = 1000;
/// More pages than any repository has: a registry that goes on and on is not believed.
const PAGES: usize = 1000;

impl Registry {
    /// Every tag of a repository; none where the registry says that there is no such repository. What is no tag by the
    /// grammar is left out.
    ///
    /// # Errors
    /// Whenever the list is not whole: a tag that is there and not listed would count as missing.
    pub async fn tags(&self, repository: &Repository) -> Result<BTreeSet<Tag>, Error> {
        #[derive(Deserialize)]
        struct Page {
            // `null` where the last tag was deleted.
            tags: Option<Vec<String>>,
        }
        let mut tags = BTreeSet::new();
        let mut url = self.transport.url(repository, "tags/list")?;
        url.query_pairs_mut().append_pair("n", &PAGE.to_string());
        for page in 0..PAGES {
            let what = format!("the list of tags of `{}`", repository.path());
            let call = self.get(repository, url.clone(), what);
            let answer = self.transport.send(&call).await?;
            match answer.status {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND if page == 0 && says_unknown(&answer) => return Ok(tags),
                _ => return Err(call.status(&answer)),
            }
            let read: Page = serde_json::from_slice(&answer.body)
                .map_err(|error| *call.protocol(format!("it is no list of tags: {error}")).error)?;
            tags.extend(read.tags.into_iter().flatten().filter_map(|tag| tag.parse::<Tag>().ok()));
            let Some(next) = answer.header(LINK).and_then(next_page) else { return Ok(tags) };
            let next = url.join(next).map_err(|error| *call.protocol(error.to_string()).error)?;
            if next.origin() != url.origin() || next == url {
                return Err(*call.protocol("its next page is elsewhere".to_owned()).error);
            }
            url = next;
        }
        let registry = repository.registry().to_owned();
        let what = format!("the list of tags of `{}`", repository.path());
        Err(Error::Protocol { registry, what, why: format!("it has more than {PAGES} pages") })
    }
}
