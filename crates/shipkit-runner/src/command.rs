//! Workflow commands: the only place that writes `::name::`.

use crate::sanitize;

/// How many annotations of one level the runner keeps per step.
pub const ANNOTATIONS_PER_LEVEL: usize = 10;
/// How long the message of an annotation may be, in characters.
const MESSAGE_LIMIT: usize = 4000;
/// Lines of a secret shorter than this are not masked: `}` as a mask would star out half of the log and make the
/// runner drop every output that holds it.
const SHORTEST_MASK: usize = 4;

/// How bad an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Red.
    Error,
    /// Yellow.
    Warning,
    /// Grey.
    Notice,
}

/// A remark that GitHub shows at the run, and at a line of a file where one is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// How bad it is.
    pub level: Level,
    /// A few words; may be foreign text.
    pub title: String,
    /// What is to be said; may be foreign text.
    pub message: String,
    /// The file, relative to the root of the repository.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u64>,
}

impl Level {
    /// The word for it: the command's name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

impl Annotation {
    /// An annotation without a place.
    pub fn new(level: Level, title: impl Into<String>, message: impl Into<String>) -> Self {
        Self { level, title: title.into(), message: message.into(), file: None, line: None }
    }

    /// At this line of this file.
    #[must_use]
    pub fn at(mut self, file: impl Into<String>, line: Option<u64>) -> Self {
        self.file = Some(file.into());
        self.line = line;
        self
    }

    /// With every text in it changed by `change`.
    pub(crate) fn map(self, change: impl Fn(&str) -> String) -> Self {
        Self {
            title: change(&self.title),
            message: change(&self.message),
            file: self.file.as_deref().map(&change),
            ..self
        }
    }

    /// For people: one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        let place = match (&self.file, self.line) {
            (Some(file), Some(line)) => format!(" ({file}:{line})"),
            (Some(file), None) => format!(" ({file})"),
            (None, _) => String::new(),
        };
        let title = if self.title.is_empty() { String::new() } else { format!("{}: ", self.title) };
        sanitize::line(&format!("{}: {title}{}{place}", self.level.word(), self.message))
    }

    /// The command, without line end.
    #[must_use]
    pub fn command(&self) -> String {
        let line = self.line.map(|line| line.to_string());
        let places =
            [("file", self.file.as_deref()), ("line", line.as_deref()), ("title", Some(&*self.title))];
        let properties = places
            .iter()
            .filter_map(|(name, value)| {
                let value = value.map(sanitize::line).filter(|value| !value.is_empty())?;
                Some(format!("{name}={}", property(&value)))
            })
            .collect::<Vec<_>>()
            .join(",");
        let space = if properties.is_empty() { "" } else { " " };
        let message: String = sanitize::text(&self.message).chars().take(MESSAGE_LIMIT).collect();
        format!("::{}{space}{properties}::{}", self.level.word(), data(&message))
    }
}

/// The commands for all annotations of a step: errors first, at most ten of a level. Where there are more, the first of
/// the level says how many; without that the runner would drop the rest silently.
#[must_use]
pub fn annotations(all: &[Annotation]) -> Vec<String> {
    let mut commands = Vec::new();
    for level in [Level::Error, Level::Warning, Level::Notice] {
        let of_level: Vec<&Annotation> = all.iter().filter(|annotation| annotation.level == level).collect();
        let mut shown = of_level.len();
        if ANNOTATIONS_PER_LEVEL < shown {
            shown = ANNOTATIONS_PER_LEVEL - 1;
            let message =
                format!("{} of {} are shown here, all of them are in the log", shown, of_level.len());
            let title = format!("{} {}s", of_level.len(), level.word());
            commands.push(Annotation::new(level, title, message).command());
        }
        commands.extend(of_level.iter().take(shown).map(|annotation| annotation.command()));
    }
    commands
}

/// The lines of a secret that are masked: the runner masks line by line.
pub(crate) fn maskable(secret: &str) -> impl Iterator<Item = &str> {
    secret.split(['\r', '\n']).map(str::trim).filter(|line| SHORTEST_MASK <= line.chars().count())
}

/// The command that masks one line of a secret in everything that follows.
#[must_use]
pub(crate) fn mask(line: &str) -> String {
    format!("::add-mask::{}", data(line))
}

/// The command that begins a group.
#[must_use]
pub(crate) fn group(title: &str) -> String {
    format!("::group::{}", data(&sanitize::line(title)))
}

/// The command that ends a group.
pub(crate) const END_GROUP: &str = "::endgroup::";

/// Escapes the data of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_an_annotation_ends_it_early() {
        let hostile =
            Annotation::new(Level::Error, "a,b::c", "50%\n::error::x ##[add-mask]y").at("a:b,c", Some(3));
        assert_eq!(
            hostile.command(),
            "::error file=a%3Ab%2Cc,line=3,title=a%2Cb%3A%3Ac::50%25%0A| ::error::x ##\\[add-mask]y"
        );
        assert_eq!(Annotation::new(Level::Notice, "", "x").command(), "::notice::x");
    }

    #[test]
    fn more_than_ten_of_a_level_are_counted_first() {
        let warnings: Vec<_> = (0..12).map(|n| Annotation::new(Level::Warning, "t", n.to_string())).collect();
        let mut all = warnings.clone();
        all.push(Annotation::new(Level::Error, "t", "worst"));
        let commands = annotations(&all);
        assert_eq!(commands.len(), 11);
        assert_eq!(commands[0], "::error title=t::worst");
        assert_eq!(
            commands[1],
            "::warning title=12 warnings::9 of 12 are shown here, all of them are in the log"
        );
        assert_eq!(annotations(&warnings[..10]).len(), 10);
    }

    #[test]
    fn a_mask_covers_every_line_that_is_long_enough() {
        assert_eq!(maskable("{\n  \"key\": 1\n}\n").collect::<Vec<_>>(), ["\"key\": 1"]);
        assert_eq!(mask("100%"), "::add-mask::100%25");
    }
}
