//! The tags of a repository, page by page.

use std::collections::BTreeSet;

use http::StatusCode;
use http::header::LINK;
use serde::Deserialize;
use shipkit_core::{Repository, Tag};

use crate::Registry;
use crate::error::Error;
use crate::evidence::next_page;

/// More tags than this are not read: twenty pages of the size that is asked for.
const LIMIT: usize = 20_000;

impl Registry {
    /// The tags of a repository; none where the registry says that there is no such repository. At most 20,000: a
    /// registry that lists more is not asked on.
    ///
    /// # Errors
    /// When they could not be listed.
    pub async fn list_tags(&self, repository: &Repository) -> Result<BTreeSet<Tag>, Error> {
        #[derive(Deserialize)]
        struct Page {
            // Some registries say `null` for a repository whose tags are gone.
            tags: Option<Vec<String>>,
        }
        let mut tags = BTreeSet::new();
        let mut url = self.transport.url(repository, "tags/list?n=1000")?;
        loop {
            let call = self.get(repository, url.clone(), format!("the tags of `{}`", repository.path()));
            let answer = self.transport.send(&call).await?;
            match answer.status {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND if tags.is_empty() => return Ok(tags),
                _ => return Err(call.status(&answer)),
            }
            let page: Page = serde_json::from_slice(&answer.body)
                .map_err(|error| *call.protocol(error.to_string()).error)?;
            tags.extend(page.tags.into_iter().flatten().filter_map(|tag| tag.parse().ok()));
            let next = answer.header(LINK).and_then(next_page).filter(|_| tags.len() < LIMIT);
            let Some(next) = next else { return Ok(tags) };
            let next = url.join(next).map_err(|error| *call.protocol(error.to_string()).error)?;
            if next.origin() != url.origin() || next == url {
                return Err(*call.protocol("its next page is elsewhere".to_owned()).error);
            }
            url = next;
        }
    }
}
