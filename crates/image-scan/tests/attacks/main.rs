//! What an image, a registry, advisories and reports may do to whoever looks at them. Each attack ends in bounded memory and time, and in
//! "could not evaluate" where it hides something: never in a pass, never in a crash. The program runs as a child whose memory and
//! processor time are limited by the system, so that too much of either ends it, and with it the test.
//!
//! | attack | where |
//! |---|---|
//! | bombs: gzip, zstd, a jar in a jar, `all.zip` | `bombs` |
//! | a million entries, long paths, long descriptions, sparse files, two sizes of one entry | `entries` |
//! | links that lead over links | `links` |
//! | huge and deep `package.json`, `METADATA`, databases, configurations, manifests | `texts` |
//! | paths out of the root, `.`, zero bytes | `paths` |
//! | hidden, faked and deleted databases, odd whiteouts | `whiteouts` |
//! | text of others in what is printed | `output` |
//! | truncated, trailing bytes, other bytes, foreign layers, an index in an index, ten thousand layers | `lies` |
//! | a media type that is not known, other bytes than the digest names, from a registry | `step::pushed` |
//! | redirects inside, to other hosts, for ever; a token server of somebody else | `redirects`, and `auth` of shipkit-registry's tests |
//! | a registry that sends less, more, other bytes, nothing, or slowly | `faults` and `pieces` of shipkit-registry's tests |
//! | an index or a record of advisories that is none, or too much | `advisories` |
//! | versions of any length and form | `versions` |
//! | reports and VEX documents, deep and huge | `documents` |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod advisories;
mod bombs;
mod documents;
mod entries;
mod lies;
mod links;
mod output;
mod paths;
mod redirects;
mod tars;
mod texts;
mod versions;
mod victim;
mod whiteouts;
