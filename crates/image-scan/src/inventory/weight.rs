//! How much memory what was found takes, about: each part on its own counts with what an allocation costs.

use super::{Found, Installed, java};
use crate::layer::{Entry, Kind};

/// What the allocator adds to a text, about.
const ALLOCATION: usize = 16;

impl Entry {
    /// How many bytes of memory it takes, about.
    pub(crate) fn weight(&self) -> usize {
        let more = match &self.kind {
            Kind::File { found: Some(found), .. } => size_of::<Found>() + ALLOCATION + found.weight(),
            Kind::HardLink(to) | Kind::Symlink(to) => text(to),
            Kind::File { found: None, .. } | Kind::Folder | Kind::Other | Kind::Gone | Kind::Emptied => 0,
        };
        size_of::<Self>() + text(&self.path) - size_of::<Box<str>>() + more
    }
}

impl Found {
    fn weight(&self) -> usize {
        match self {
            Self::Dpkg(packages)
            | Self::Language(_, packages)
            | Self::Java(java::Archive { packages, .. }) => all(packages),
            Self::Files(files) => files.iter().map(|file| text(file)).sum(),
            Self::Apk(packages, files) => all(packages) + files.iter().map(|file| text(file)).sum::<usize>(),
            Self::System(_) | Self::Secret(_) | Self::Unreadable(_) => 0,
        }
    }
}

fn all(packages: &[Installed]) -> usize {
    let of_source = |(name, version): &(Box<str>, Box<str>)| name.len() + version.len() + 2 * ALLOCATION;
    let one = |one: &Installed| {
        let own = one.name.len() + one.version.len() + 2 * ALLOCATION;
        size_of::<Installed>() + own + one.source.as_ref().map_or(0, of_source)
    };
    packages.iter().map(one).sum()
}

fn text(text: &str) -> usize {
    size_of::<Box<str>>() + ALLOCATION + text.len()
}
