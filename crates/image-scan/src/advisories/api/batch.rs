//! What is asked in a batch, and what its answer says (OSV API, `POST /v1/querybatch`).

use serde::{Deserialize, Serialize};

use crate::osv::Package;

/// The longest id.
const ID: usize = 200;
/// The longest token.
const TOKEN: usize = 4096;

#[derive(Debug, Serialize)]
pub(super) struct Request<'queries> {
    pub(super) queries: &'queries [Query],
}

/// A question about one package in one version, or for the next page of its answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Query {
    package: Named,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_token: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Named {
    ecosystem: String,
    name: String,
}

/// One result for each query, in their order.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    results: Vec<Option<Page>>,
}

/// A page may have records, a token for the next page, both, or nothing.
#[derive(Debug, Default, Deserialize)]
struct Page {
    #[serde(default)]
    vulns: Option<Vec<Listed>>,
    #[serde(default)]
    next_page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    id: String,
}

impl Query {
    pub(super) fn of(package: &Package<'_>) -> Self {
        let (ecosystem, name) = (package.ecosystem.to_owned(), package.name.to_owned());
        Self { package: Named { ecosystem, name }, version: package.version.to_owned(), page_token: None }
    }
}

impl Answer {
    /// The ids in it, and the queries for what is left.
    ///
    /// # Errors
    /// When it is no answer to these queries.
    pub(super) fn of(self, queries: Vec<Query>) -> Result<(Vec<String>, Vec<Query>), &'static str> {
        if self.results.len() != queries.len() {
            return Err("another number of results than of queries");
        }
        let (mut ids, mut more) = (Vec::new(), Vec::new());
        for (page, query) in self.results.into_iter().zip(queries) {
            let page = page.unwrap_or_default();
            for Listed { id } in page.vulns.unwrap_or_default() {
                if !is_id(&id) {
                    return Err("an id that is none");
                }
                ids.push(id);
            }
            let token = page.next_page_token.filter(|token| !token.is_empty());
            if token.as_ref().is_some_and(|token| TOKEN < token.len()) {
                return Err("a token that is too long");
            }
            if token.is_some() && token == query.page_token {
                return Err("the page after a page is the page itself");
            }
            if token.is_some() {
                more.push(Query { page_token: token, ..query });
            }
        }
        Ok((ids, more))
    }
}

/// It goes into a path, and must not lead elsewhere.
fn is_id(id: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:+".contains(c);
    id.len() <= ID && id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_nowhere_else() {
        for id in ["GHSA-1234-abcd-5678", "DEBIAN-CVE-2026-1", "openSUSE-SU-2024:0001-1", "GO-2026-1", "A"] {
            assert!(is_id(id), "{id}");
        }
        for id in ["", ".", "..", "../x", "a/b", "a?b", "a#b", "a%2fb", "a b", "é", "-a", &"a".repeat(201)] {
            assert!(!is_id(id), "{id}");
        }
    }
}
