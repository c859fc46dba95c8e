//! `build-tag meta`: tags, labels and annotations out of an event and the inputs of docker/metadata-action.
//!
//! [`Asked::read`] reads what was asked for, [`decide`] says what comes of it. What cannot be meant is an error with
//! its line; nothing is guessed, and no tag is ever one that a registry refuses.

mod attributes;
mod csv;
mod decide;
mod entry;
mod error;
mod expression;
mod facts;
mod flavor;
mod image;
mod labels;
mod moment;
mod pattern;
mod pep440;
mod tags;

pub use decide::{Asked, BakePart, Inputs, Meta, decide};
pub use error::{MetaError, Problem};
pub use facts::{About, Facts, Happened, OfPullRequest};
