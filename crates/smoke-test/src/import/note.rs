//! `Note`: what could not be taken over, or is for people to look at.

use std::fmt;

/// Where something stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The number of the file.
    pub(super) file: usize,
    /// Counted from 1.
    pub(super) line: usize,
}

/// A sentence about a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Note {
    pub(super) place: Place,
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// What a note means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// It is not in the checks.
    LeftOut,
    /// It is in them in another way, or people have to do something.
    Told,
}

/// What there is to say.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    /// This is not in the checks.
    pub(super) fn left_out(&mut self, place: Place, text: impl fmt::Display) {
        self.0.push(Note { place, kind: Kind::LeftOut, text: format!("left out: {text}") });
    }

    /// This is for people.
    pub(super) fn tell(&mut self, place: Place, text: impl Into<String>) {
        self.0.push(Note { place, kind: Kind::Told, text: text.into() });
    }

    /// All of them, by their places, each once.
    pub(super) fn sorted(mut self) -> Vec<Note> {
        self.0.sort();
        self.0.dedup();
        self.0
    }
}
