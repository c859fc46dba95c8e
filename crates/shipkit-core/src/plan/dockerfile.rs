//! `images`: what a Dockerfile builds upon, as far as that can be told without building it.
//!
//! What cannot be told for certain is an error with a sentence: a service without a content key is built, a wrong key
//! would ship the wrong image.

use std::collections::{BTreeMap, BTreeSet};

/// The largest file that is read, in bytes.
const LIMIT: usize = 1024 * 1024;
/// Frontends whose language this is.
const FRONTENDS: [&str; 2] = ["docker/dockerfile", "docker/dockerfile-upstream"];

/// One instruction, its lines joined.
struct Instruction {
    word: String,
    rest: String,
    line: usize,
}

struct Reader<'a> {
    args: &'a BTreeMap<String, String>,
    contexts: &'a BTreeSet<&'a str>,
    /// The arguments before the first `FROM`: the only ones that a `FROM` sees.
    global: BTreeMap<String, String>,
    stages: Vec<Option<String>>,
    images: BTreeSet<String>,
}

/// The images that a Dockerfile needs when it is built with these arguments and named contexts: those of `FROM`,
/// `COPY --from`, `RUN --mount=from=` and of the frontend, each as it is written there, with its variables replaced.
///
/// # Errors
/// With what is not understood, and where.
pub(super) fn images(
    text: &str,
    args: &BTreeMap<String, String>,
    contexts: &BTreeSet<&str>,
) -> Result<BTreeSet<String>, String> {
    if LIMIT < text.len() {
        return Err(format!("it has more than {LIMIT} bytes"));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let directives = directives(text);
    let escape = match directives.get("escape").map(String::as_str) {
        None | Some("\\") => '\\',
        Some("`") => '`',
        Some(other) => return Err(format!("its escape character `{other}`")),
    };
    let (global, stages, images) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
    let mut reader = Reader { args, contexts, global, stages, images };
    if let Some(frontend) = args.get("BUILDKIT_SYNTAX").or_else(|| directives.get("syntax")) {
        reader.frontend(frontend)?;
    }
    for instruction in instructions(text, escape)? {
        let line = instruction.line;
        reader.instruction(&instruction).map_err(|what| format!("line {line}: {what}"))?;
    }
    if reader.stages.is_empty() {
        return Err("it has no `FROM`".to_owned());
    }
    Ok(reader.images)
}

impl Reader<'_> {
    fn frontend(&mut self, image: &str) -> Result<(), String> {
        let image = image.trim();
        let name = image.split('@').next().unwrap_or(image);
        let name = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(name, _)| name);
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        if !FRONTENDS.contains(&name) {
            return Err(format!("the frontend `{image}` may read the file in another way"));
        }
        self.images.insert(image.to_owned());
        Ok(())
    }

    fn instruction(&mut self, instruction: &Instruction) -> Result<(), String> {
        let rest = instruction.rest.as_str();
        match instruction.word.as_str() {
            "ARG" if self.stages.is_empty() => {
                self.global_args(rest);
                Ok(())
            }
            "FROM" => self.from(rest),
            "COPY" => self.flags(rest, "--from="),
            "ADD" => self.add(rest),
            "RUN" => self.mounts(rest),
            // What a later build does with this image, or this build with a stage of its own.
            "ONBUILD" => {
                let (word, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                match word.to_ascii_uppercase().as_str() {
                    "COPY" => self.flags(rest, "--from="),
                    "ADD" => self.add(rest),
                    "RUN" => self.mounts(rest),
                    _ => Ok(()),
                }
            }
            "ARG" | "CMD" | "ENTRYPOINT" | "ENV" | "EXPOSE" | "HEALTHCHECK" | "LABEL" | "MAINTAINER"
            | "SHELL" | "STOPSIGNAL" | "USER" | "VOLUME" | "WORKDIR" => Ok(()),
            word => Err(format!("the instruction `{word}`")),
        }
    }

    fn global_args(&mut self, rest: &str) {
        for word in rest.split_whitespace() {
            let (name, default) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            let value = match (self.args.get(name), default) {
                (Some(given), _) => Ok(given.clone()),
                (None, Some(default)) => unquoted(default).and_then(|default| self.expand(default)),
                (None, None) => continue,
            };
            // One that is not understood matters only where a `FROM` names it.
            match value {
                Ok(value) => self.global.insert(name.to_owned(), value),
                Err(_not_understood) => self.global.remove(name),
            };
        }
    }

    fn from(&mut self, rest: &str) -> Result<(), String> {
        let mut words = rest.split_whitespace().skip_while(|word| word.starts_with("--"));
        let image = words.next().ok_or("a `FROM` without an image")?;
        let image = self.expand(unquoted(image)?)?;
        let name = match (words.next(), words.next()) {
            (None, _) => None,
            (Some(word), Some(name)) if word.eq_ignore_ascii_case("as") => Some(name.to_ascii_lowercase()),
            _ => return Err(format!("`FROM {rest}`")),
        };
        self.take(&image);
        self.stages.push(name);
        Ok(())
    }

    /// An image, a stage or a named context, whichever the name means.
    fn take(&mut self, name: &str) {
        let lower = name.to_ascii_lowercase();
        let is_stage = self.stages.iter().any(|stage| stage.as_deref() == Some(lower.as_str()));
        if !is_stage && lower != "scratch" && !self.contexts.contains(name) {
            self.images.insert(name.to_owned());
        }
    }

    fn flags(&mut self, rest: &str, wanted: &str) -> Result<(), String> {
        for flag in rest.split_whitespace().take_while(|word| word.starts_with("--")) {
            if let Some(source) = flag.strip_prefix(wanted) {
                self.source(source)?;
            }
        }
        Ok(())
    }

    /// What `--from` names: a stage by name or number, a named context, or an image.
    fn source(&mut self, source: &str) -> Result<(), String> {
        let source = unquoted(source)?;
        if source.contains('$') {
            return Err(format!("`{source}`, whose variable is not replaced there"));
        }
        let is_number = !source.is_empty() && source.bytes().all(|b| b.is_ascii_digit());
        if !is_number {
            self.take(source);
        }
        Ok(())
    }

    /// What `ADD` fetches may be another thing each time, unless its checksum is stated.
    fn add(&mut self, rest: &str) -> Result<(), String> {
        self.flags(rest, "--from=")?;
        let words: Vec<_> = rest.split_whitespace().collect();
        // A variable at the front could hold an address; the last word says where it goes.
        let is_remote = |word: &&&str| {
            let word = word.trim_start_matches(['"', '\'', '[', ',']);
            word.contains("://") || word.starts_with("git@") || word.starts_with('$')
        };
        let is_pinned = words.iter().any(|word| word.starts_with("--checksum="));
        let sources = words.split_last().map(|(_, sources)| sources).unwrap_or_default();
        match sources.iter().find(is_remote) {
            Some(word) if !is_pinned => {
                Err(format!("`ADD {word}`, which may be something else at each build"))
            }
            _ => Ok(()),
        }
    }

    fn mounts(&mut self, rest: &str) -> Result<(), String> {
        for flag in rest.split_whitespace().take_while(|word| word.starts_with("--")) {
            let Some(mount) = flag.strip_prefix("--mount=") else { continue };
            for field in unquoted(mount)?.split(',') {
                match field.split_once('=') {
                    Some((key, source)) if key.eq_ignore_ascii_case("from") => self.source(source)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}`.
    fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (value, left) = if let Some(inner) = after.strip_prefix('{') {
                let (inner, left) = inner.split_once('}').ok_or_else(|| format!("`{text}`"))?;
                (self.braced(inner).ok_or_else(|| format!("`${{{inner}}}` in `{text}`"))?, left)
            } else {
                let end = after.find(|c: char| !is_word(c)).unwrap_or(after.len());
                let (name, left) = after.split_at_checked(end).unwrap_or((after, ""));
                (self.variable(name).ok_or_else(|| format!("`${name}` in `{text}`"))?, left)
            };
            out.push_str(&value);
            rest = left;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn braced(&self, inner: &str) -> Option<String> {
        let end = inner.find(|c: char| !is_word(c)).unwrap_or(inner.len());
        let (name, operator) = inner.split_at_checked(end)?;
        let value = self.variable(name).filter(|value| !value.is_empty());
        let is_simple = |text: &str| !text.contains(['$', '\\', '"', '\'']);
        match (operator.strip_prefix(":-"), operator.strip_prefix(":+")) {
            (Some(default), _) if is_simple(default) => Some(value.unwrap_or_else(|| default.to_owned())),
            (_, Some(other)) if is_simple(other) => {
                Some(value.map_or_else(String::new, |_| other.to_owned()))
            }
            _ if operator.is_empty() => value,
            _ => None,
        }
    }

    /// `None` also for what only the builder knows, such as `TARGETARCH`.
    fn variable(&self, name: &str) -> Option<String> {
        self.global.get(name).cloned()
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A word without the quotes around it; quotes within it are not read.
fn unquoted(word: &str) -> Result<&str, String> {
    let inner = ['"', '\''].iter().find_map(|quote| word.strip_prefix(*quote)?.strip_suffix(*quote));
    let inner = inner.unwrap_or(word);
    if inner.contains(['"', '\'', '\\']) { Err(format!("the quotes of `{word}`")) } else { Ok(inner) }
}

/// `# name=value` lines at the very top.
fn directives(text: &str) -> BTreeMap<String, String> {
    let mut directives = BTreeMap::new();
    for line in text.lines() {
        // A file may begin with `#!`, for those who run it.
        if line.starts_with("#!") && directives.is_empty() {
            continue;
        }
        let comment = line.trim().strip_prefix('#');
        let Some((name, value)) = comment.and_then(|comment| comment.split_once('=')) else { break };
        let name = name.trim().to_ascii_lowercase();
        if !matches!(name.as_str(), "syntax" | "escape" | "check") || directives.contains_key(&name) {
            break;
        }
        directives.insert(name, value.trim().to_owned());
    }
    directives
}

/// The instructions of a file, without comments and without the text of here-documents.
fn instructions(text: &str, escape: char) -> Result<Vec<Instruction>, String> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut joined = String::new();
        let mut part = line;
        // Two of them stand for the character itself.
        while let Some(open) = part.strip_suffix(escape).filter(|open| !open.ends_with(escape)) {
            joined.push_str(open);
            // Comments and blank lines do not end a continued line.
            let next = lines.by_ref().map(|(_, line)| line.trim());
            let Some(line) = next.into_iter().find(|line| !line.is_empty() && !line.starts_with('#')) else {
                part = "";
                break;
            };
            part = line;
        }
        joined.push_str(part);
        let (word, rest) = joined.split_once(char::is_whitespace).unwrap_or((&joined, ""));
        let instruction =
            Instruction { word: word.to_ascii_uppercase(), rest: rest.trim().to_owned(), line: at + 1 };
        for name in here_documents(&instruction) {
            let is_end = |line: &str| line.trim_start_matches('\t') == name;
            if !lines.by_ref().any(|(_, line)| is_end(line)) {
                return Err(format!("line {}: the text that should end with `{name}`", at + 1));
            }
        }
        found.push(instruction);
    }
    Ok(found)
}

/// The names with which here-documents end: `<<EOF`, `<<-"EOF"`, `3<<EOF`.
fn here_documents(instruction: &Instruction) -> Vec<String> {
    let takes_one = matches!(instruction.word.as_str(), "RUN" | "COPY" | "ADD" | "ONBUILD");
    let word = |word: &str| {
        let (number, name) = word.split_once("<<")?;
        let name = name.strip_prefix('-').unwrap_or(name).trim_matches(['"', '\'']);
        let is_one = number.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() && !name.contains('<');
        is_one.then(|| name.to_owned())
    };
    instruction.rest.split_whitespace().filter(|_| takes_one).filter_map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGS: [(&str, &str); 2] = [("TAG", "3.12"), ("EMPTY", "")];

    fn read(text: &str) -> Result<BTreeSet<String>, String> {
        let args = ARGS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        images(text, &args, &BTreeSet::from(["shared"]))
    }

    #[track_caller]
    fn check(text: &str, images: &[&str]) {
        let found = read(text).unwrap();
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), images, "{text}");
    }

    #[track_caller]
    fn refused(text: &str, sentence: &str) {
        let error = read(text).unwrap_err();
        assert!(error.contains(sentence), "{text:?}: {error}");
    }

    #[test]
    fn every_stage_names_its_image_and_no_stage_is_one() {
        check("FROM node:20", &["node:20"]);
        check(
            "from a AS Build\nFROM build\nFROM scratch\nCOPY --from=BUILD /a /a\nCOPY --from=0 /a /b",
            &["a"],
        );
        check("FROM --platform=$BUILDPLATFORM a@sha256:0 as b\nRUN make", &["a@sha256:0"]);
        check("FROM shared\nCOPY --from=shared a b\nFROM c", &["c"]);
    }

    #[test]
    fn copies_and_mounts_name_images_too() {
        check("FROM a\nCOPY --link --from=b:1 /x /y\nADD x y", &["a", "b:1"]);
        check(
            "FROM a\nRUN --network=none --mount=type=bind,from=b,target=/x \\\n  --mount=type=cache,target=/y make",
            &["a", "b"],
        );
        check(
            "FROM a\nONBUILD COPY --from=b x y\nONBUILD RUN --mount=from=c ls\nONBUILD USER 1",
            &["a", "b", "c"],
        );
        check("FROM a\nRUN echo --mount=from=b", &["a"]);
    }

    #[test]
    fn arguments_before_the_first_from_are_replaced_in_it() {
        check("ARG TAG=3.11\nFROM python:${TAG}-slim", &["python:3.12-slim"]);
        check("ARG A=1 B=$A.2\nFROM x:$B", &["x:1.2"]);
        check("ARG A='1'\nARG R=\"two words\"\nFROM x:${A}", &["x:1"]);
        check("ARG EMPTY\nFROM x${EMPTY:-y}${TAG:-z}${EMPTY:+q}", &["xyz"]);
        check("ARG TAG\nFROM x:${TAG:+t}", &["x:t"]);
        refused("FROM x:$TAG", "line 1: `$TAG` in `x:$TAG`");
        refused("ARG A\nFROM x:${A}", "`${A}`");
        refused("FROM x-${TARGETARCH}", "`${TARGETARCH}`");
        refused("FROM x\nARG A=1\nFROM y:$A", "line 3");
        refused("ARG A=\"a b\"\nFROM x:$A", "`$A`");
        refused("ARG TAG\nFROM x:${TAG#3}", "`${TAG#3}`");
        refused("ARG TAG\nFROM x:${TAG", "line 2");
    }

    #[test]
    fn continued_lines_comments_and_here_documents_hide_nothing() {
        check("FROM a\nRUN x \\\n# FROM b\n\n  && FROM c\nFROM d", &["a", "d"]);
        check("FROM a\nRUN <<EOF\nFROM b\nEOF\nFROM c", &["a", "c"]);
        check("FROM a\nCOPY <<-'X' <<Y /d/\n\tFROM b\n\tX\nFROM c\nY\nFROM d", &["a", "d"]);
        check("FROM a\nRUN echo $((1<<2)) <<< x && cat<<Z\nFROM b", &["a", "b"]);
        check("FROM a\nRUN echo \\\\\nFROM b", &["a", "b"]);
        check("# escape=`\nFROM a\nRUN x `\n FROM b\nFROM c", &["a", "c"]);
        check("\u{feff}# a comment\r\nFROM a\r\n", &["a"]);
        check("FROM a\nRUN x \\", &["a"]);
        refused("FROM a\nRUN <<EOF\nFROM b", "line 2: the text that should end with `EOF`");
    }

    #[test]
    fn the_frontend_is_an_image_and_only_dockers_own_is_read() {
        check("# syntax=docker/dockerfile:1\nFROM a", &["a", "docker/dockerfile:1"]);
        check(
            "#!/x\n# syntax = docker.io/docker/dockerfile@sha256:0\nFROM a",
            &["a", "docker.io/docker/dockerfile@sha256:0"],
        );
        check("# no directive\n# syntax=other/frontend\nFROM a", &["a"]);
        refused("# syntax=other/frontend:1\nFROM a", "the frontend `other/frontend:1`");
        let args = BTreeMap::from([("BUILDKIT_SYNTAX".to_owned(), "other".to_owned())]);
        assert!(images("FROM a", &args, &BTreeSet::new()).is_err());
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        refused("", "it has no `FROM`");
        refused("RUN x", "it has no `FROM`");
        refused("FROM", "without an image");
        refused("FROM a b c", "`FROM a b c`");
        refused("FROM a\nFETCH b", "line 2: the instruction `FETCH`");
        refused("# escape=|\nFROM a", "escape character");
        refused("FROM a\nCOPY --from=$B x y", "whose variable is not replaced");
        refused("FROM a\nADD https://h/x.tar /x", "`ADD https://h/x.tar`");
        refused("FROM a\nADD [\"git@h:x.git\", \"/x\"]", "at each build");
        refused("FROM a\nADD $URL /x", "at each build");
        check("FROM a\nADD --checksum=sha256:0 https://h/x.tar /x\nADD a $HOME/b", &["a"]);
        refused(&"# x\n".repeat(LIMIT / 4 + 1), "bytes");
    }
}
