//! `Places`: the file and line of the checkout at which something about an image is told.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use shipkit_core::config::{Config, Source};
use shipkit_core::policy::Whence;

/// The most that is read of a file in which only a line is looked for.
const FILE: u64 = 1024 * 1024;

/// A line of a file of the checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// From the root of the checkout, with `/`.
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: u64,
}

/// The configuration, and the Dockerfile of each service that has one.
#[derive(Debug, Default)]
pub(crate) struct Places {
    config: Option<Text>,
    dockerfiles: BTreeMap<String, Text>,
}

/// A file of the checkout.
#[derive(Debug)]
struct Text {
    file: String,
    text: String,
}

impl Places {
    /// Of the checkout in this folder, whose root this is, where `file` is the configuration. What cannot be read is no place.
    pub(crate) fn read(root: &Path, directory: &Path, file: &Path, config: Option<&Config>) -> Self {
        let Some(config) = config else { return Self::default() };
        let mut dockerfiles = BTreeMap::new();
        for (name, service) in &config.services {
            let Source::Build(build) = &service.source else { continue };
            let path = Path::new(&build.context).join(&build.dockerfile);
            dockerfiles.extend(Text::read(root, &directory.join(path)).map(|text| (name.clone(), text)));
        }
        Self { config: Text::read(root, &directory.join(file)), dockerfiles }
    }

    /// Where the configuration has the service.
    pub(crate) fn of_service(&self, name: &str) -> Option<Place> {
        let Text { file, text } = self.config.as_ref()?;
        Some(Place { file: file.clone(), line: service_line(text, name) })
    }

    /// The instruction of its Dockerfile that something in an image comes from; else where the configuration has the service.
    pub(crate) fn of_origin(&self, name: &str, whence: &Whence) -> Option<Place> {
        match self.dockerfiles.get(name) {
            Some(Text { file, text }) => {
                Some(Place { file: file.clone(), line: instruction_line(text, whence) })
            }
            None => self.of_service(name),
        }
    }
}

impl Text {
    fn read(root: &Path, path: &Path) -> Option<Self> {
        use std::io::Read as _;
        let whole = plain(path)?;
        let mut text = String::new();
        std::fs::File::open(&whole).ok()?.take(FILE).read_to_string(&mut text).ok()?;
        let inside = if whole.is_absolute() { whole.strip_prefix(root).ok()? } else { &whole };
        let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        Some(Self { file: parts.join("/"), text })
    }
}

/// The path without `.` and `..`; none where it leads out of where it begins.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    Some(plain)
}

/// The line with the key of a service below `services`, else that of `services`, else the first.
fn service_line(text: &str, name: &str) -> u64 {
    let mut of_services = None;
    for (line, number) in text.lines().zip(1_u64..) {
        let is_key = |text: &str, key: &str| {
            let text = text.trim_start_matches(['{', ' ', '"', '\'']);
            let rest = text.strip_prefix(key).map(|rest| rest.trim_start_matches(['"', '\'']));
            rest.is_some_and(|rest| rest.starts_with(':'))
        };
        if line.starts_with("services:") {
            of_services = Some(number);
            if line.split_once('{').is_some_and(|(_, rest)| is_key(rest, name)) {
                return number;
            }
        } else if of_services.is_some() && line.starts_with([' ', '\t']) {
            if is_key(line, name) {
                return number;
            }
        } else if of_services.is_some() && !line.trim().is_empty() && !line.starts_with('#') {
            break;
        }
    }
    of_services.unwrap_or(1)
}

/// The line of the instruction that a step was, else of the last `FROM`, else the first.
fn instruction_line(text: &str, whence: &Whence) -> u64 {
    let step = match whence {
        Whence::Step(step) => step.trim_end_matches("..."),
        Whence::Base(_) | Whence::Layer(_) | Whence::Unknown => "",
    };
    let (mut from, mut found) = (1, None);
    let mut lines = text.lines().zip(1_u64..);
    while let Some((line, number)) = lines.next() {
        let mut instruction = line.trim().to_owned();
        if instruction.is_empty() || instruction.starts_with('#') {
            continue;
        }
        while instruction.ends_with('\\') {
            instruction.pop();
            let Some((more, _)) = lines.next() else { break };
            instruction.push(' ');
            instruction.push_str(more.trim());
        }
        let instruction = instruction.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "'");
        if instruction.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("from ")) {
            from = number;
        }
        if !step.is_empty() && instruction.starts_with(step) {
            found = Some(number);
        }
    }
    found.unwrap_or(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_the_line_of_its_key() {
        let text = "version: 1\napi: x\nservices:\n  # api:\n  web: {}\n\n  \"api\":\n    build: {}\nscan:\n  other: 1\n";
        for (name, line) in [("web", 5), ("api", 7), ("other", 3), ("ap", 3)] {
            assert_eq!(service_line(text, name), line, "{name}");
        }
        assert_eq!(service_line("version: 1\nservices: {api: {build: {}}}", "api"), 2);
        assert_eq!(service_line("version: 1", "api"), 1);
    }

    #[test]
    fn what_a_step_added_has_the_line_of_its_instruction_and_all_else_that_of_the_base() {
        let text = "# x\nFROM node:20 AS build\nRUN npm ci\nfrom node:20-alpine\n\nRUN apk add \\\n    openssl\nCOPY . /app\n";
        let of = |step: &str| instruction_line(text, &Whence::Step(step.to_owned()));
        assert_eq!((of("RUN apk add openssl"), of("COPY . /app"), of("RUN npm ci")), (6, 8, 3));
        assert_eq!((of("RUN apk add op..."), of("ADD x")), (6, 4));
        assert_eq!(instruction_line(text, &Whence::Base("node:20-alpine".to_owned())), 4);
        assert_eq!(instruction_line("", &Whence::Unknown), 1);
    }

    #[test]
    fn no_place_is_outside_of_the_checkout() {
        let file = |path: &str| plain(Path::new(path)).map(|path| path.display().to_string());
        assert_eq!(file("./a/../b/./c"), Some("b/c".to_owned()));
        assert_eq!(file("a/../../b"), None);
    }
}
