//! `Ignore`: `.dockerignore` as `BuildKit` reads it (moby/patternmatcher and its `ignorefile`).
//!
//! The rules look like git's and are others: patterns are anchored, the last one that fits decides, and a `!` brings
//! back what lies below an ignored folder.

use regex::Regex;

/// The largest file that is read, in bytes.
const LIMIT: usize = 256 * 1024;
/// The most patterns that are read. Real files have some dozens.
const PATTERNS: usize = 1000;

/// A `.dockerignore`.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

/// Which patterns fit a folder, so that its files need not ask for it again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Fits(Vec<bool>);

/// Asks for many paths in their order, and looks at each folder once.
pub struct Walk<'a> {
    ignore: &'a Ignore,
    /// The folders above the last path, outermost first.
    above: Vec<(String, Fits)>,
}

#[derive(Debug, Clone)]
struct Pattern {
    is_exception: bool,
    form: Form,
    /// What it begins with before anything special, for [`Ignore::may_bring_back_below`].
    literal: String,
}

#[derive(Debug, Clone)]
enum Form {
    Exact(String),
    /// `literal**`.
    Begins(String),
    /// `**literal`.
    Ends(String),
    Like(Regex),
}

impl Ignore {
    /// Reads a `.dockerignore`.
    ///
    /// # Errors
    /// With the pattern that cannot be read the same way as `BuildKit` reads it.
    pub fn read(text: &str) -> Result<Self, String> {
        if LIMIT < text.len() {
            return Err(format!("it has more than {LIMIT} bytes"));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let line = line.trim();
            let (is_exception, rest) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            if rest.is_empty() {
                if is_exception {
                    return Err("`!` alone is no pattern".to_owned());
                }
                continue;
            }
            patterns.push(Pattern::read(rest, is_exception).ok_or_else(|| format!("the pattern `{line}`"))?);
        }
        if PATTERNS < patterns.len() {
            return Err(format!("it has more than {PATTERNS} patterns"));
        }
        Ok(Self { patterns })
    }

    /// Whether the file or folder at `path`, relative to the context, stays out of it.
    #[must_use]
    pub fn ignores(&self, path: &str) -> bool {
        Walk::new(self).ignores(path)
    }

    /// Whether something below the ignored folder `path` could be in the context all the same.
    #[must_use]
    pub fn may_bring_back_below(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        self.patterns
            .iter()
            .filter(|pattern| pattern.is_exception)
            .any(|pattern| pattern.literal.starts_with(&folder) || folder.starts_with(&pattern.literal))
    }

    /// One step down: what fits `path`, below a folder that `above` fits.
    fn fit(&self, path: &str, above: Option<&Fits>) -> (bool, Fits) {
        let mut is_ignored = false;
        let mut fits = Vec::with_capacity(self.patterns.len());
        for (at, pattern) in self.patterns.iter().enumerate() {
            let inherited = above.and_then(|above| above.0.get(at)).copied().unwrap_or(false);
            // A pattern that could change nothing is not asked, and counts as one that does not fit: so it is in
            // BuildKit, where `["d/f", "!d"]` keeps `d/f` out.
            let does = inherited || pattern.is_exception == is_ignored && pattern.fits(path);
            if does {
                is_ignored = !pattern.is_exception;
            }
            fits.push(does);
        }
        (is_ignored, Fits(fits))
    }
}

impl<'a> Walk<'a> {
    /// Begins at the context.
    #[must_use]
    pub fn new(ignore: &'a Ignore) -> Self {
        Self { ignore, above: Vec::new() }
    }

    /// Whether the file or folder at `path`, relative to the context, stays out of it.
    pub fn ignores(&mut self, path: &str) -> bool {
        if self.ignore.patterns.is_empty() {
            return false;
        }
        self.above.retain(|(folder, _)| {
            path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
        });
        let known = self.above.last().map_or(0, |(folder, _)| folder.len() + 1);
        for (at, _) in path.match_indices('/').filter(|(at, _)| known <= *at) {
            let folder = path.get(..at).unwrap_or_default();
            let (_, fits) = self.ignore.fit(folder, self.above.last().map(|(_, fits)| fits));
            self.above.push((folder.to_owned(), fits));
        }
        self.ignore.fit(path, self.above.last().map(|(_, fits)| fits)).0
    }
}

impl Pattern {
    /// `None` for what Go's `filepath.Match` refuses, and for a class that means something else to our matcher.
    fn read(text: &str, is_exception: bool) -> Option<Self> {
        let clean = clean(text);
        let literal: String = clean.chars().take_while(|c| !matches!(c, '*' | '?' | '[' | '\\')).collect();
        Some(Self { is_exception, form: form(&clean)?, literal })
    }

    fn fits(&self, path: &str) -> bool {
        match &self.form {
            Form::Exact(text) => path == text,
            Form::Begins(text) => path.starts_with(text.as_str()),
            Form::Ends(text) => path.ends_with(text.as_str()) || text.strip_prefix('/') == Some(path),
            Form::Like(regex) => regex.is_match(path),
        }
    }
}

fn form(pattern: &str) -> Option<Form> {
    let is_plain = |text: &str| !text.contains(['*', '?', '[', ']', '\\']);
    if is_plain(pattern) {
        return Some(Form::Exact(pattern.to_owned()));
    }
    if let Some(rest) = pattern.strip_prefix("**").filter(|rest| is_plain(rest)) {
        return Some(Form::Ends(rest.to_owned()));
    }
    if let Some(rest) = pattern.strip_suffix("**").filter(|rest| is_plain(rest)) {
        return Some(Form::Begins(rest.to_owned()));
    }
    Regex::new(&regex(pattern)?).ok().map(Form::Like)
}

/// The expression that stands for a pattern; `(?s)` because a file name may hold a line break.
fn regex(pattern: &str) -> Option<String> {
    let mut regex = "(?s)^".to_owned();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                regex.push_str(if chars.peek().is_some() { "(.*/)?" } else { ".*" });
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            // BuildKit hands these on to an expression, in which they mean something else than in Go's `Match`.
            '\\' => {
                let next = chars.next().filter(|next| !next.is_alphanumeric())?;
                regex.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
            }
            ']' | '^' => return None,
            '[' => {
                let class: String = chars.by_ref().take_while(|c| *c != ']').collect();
                // Escapes and nested brackets are read one way by Go and another one here.
                let inner = class.strip_prefix('^').unwrap_or(&class);
                let is_known = !inner.is_empty()
                    && inner.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
                    && !inner.contains("--");
                if !is_known {
                    return None;
                }
                regex.push('[');
                regex.push_str(&class);
                regex.push(']');
            }
            _ => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push('$');
    Some(regex)
}

/// Go's `filepath.Clean`, and no `/` at the front.
fn clean(text: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if text.starts_with('/') && parts.is_empty() => {}
            _ => parts.push(part),
        }
    }
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, ignored: &[&str], kept: &[&str]) {
        let ignore = Ignore::read(text).unwrap();
        for path in ignored {
            assert!(ignore.ignores(path), "{text:?} should ignore {path}");
        }
        for path in kept {
            assert!(!ignore.ignores(path), "{text:?} should keep {path}");
        }
        let mut paths: Vec<_> = ignored.iter().chain(kept).copied().collect();
        paths.sort_unstable();
        let mut walk = Walk::new(&ignore);
        for path in paths {
            assert_eq!(walk.ignores(path), ignore.ignores(path), "in a walk: {path}");
        }
    }

    #[test]
    fn a_name_is_anchored_at_the_context_and_takes_its_folder_along() {
        check(
            "node_modules",
            &["node_modules", "node_modules/a/b.js"],
            &["web/node_modules/a", "node_modules2"],
        );
        check("/docs/", &["docs/a"], &["a/docs/a"]);
        check("./a//b/../c", &["a/c", "a/c/d"], &["a/b"]);
    }

    #[test]
    fn a_star_stops_at_a_slash_and_two_do_not() {
        check("*.md", &["README.md"], &["docs/a.md", "README.mdx"]);
        check("*/*.md", &["docs/a.md"], &["README.md", "a/b/c.md"]);
        check("**/*.md", &["README.md", "docs/a.md", "a/b/c.md"], &["md"]);
        check("**/tmp", &["tmp", "a/tmp", "a/b/tmp/c"], &["atmp", "tmp2"]);
        check("a/**", &["a/b", "a/b/c"], &["a", "ab"]);
        check("a/**/z", &["a/z", "a/b/z", "a/b/c/z/y"], &["a/bz", "z"]);
        check("**", &["a", "a/b"], &[]);
        check("**foo", &["foo", "barfoo", "a/barfoo"], &["foob"]);
        check("a**/b*", &["ax/b", "a/x/bc"], &["b"]);
        check("file?.txt", &["file1.txt"], &["file.txt", "file/.txt", "file10.txt"]);
        check("[a-c].[^x]", &["b.y"], &["d.y", "b.x"]);
    }

    #[test]
    fn every_other_character_stands_for_itself() {
        check("a.b+(c){d}$|^", &["a.b+(c){d}$|^"], &["axb+(c){d}$|^"]);
        check("*.b+(c){d}$|&~<", &["a.b+(c){d}$|&~<"], &["a.bb(c){d}$|&~<"]);
        check(r"\*.md", &["*.md"], &["a.md"]);
        check("\u{e9}?\u{e9}", &["\u{e9}t\u{e9}", "\u{e9}\u{e8}\u{e9}"], &["e"]);
    }

    #[test]
    fn the_last_pattern_that_fits_decides() {
        check("*.md\n!README.md", &["a.md"], &["README.md"]);
        check("!README.md\n*.md", &["a.md", "README.md"], &[]);
        check("*\n!src\n!package.json", &["a", "docs/b"], &["src", "src/a/b.ts", "package.json"]);
        check("docs\n!docs/keep", &["docs", "docs/a"], &["docs/keep", "docs/keep/b"]);
        check("**/*.rs\n!src/**\nsrc/gen", &["a.rs", "b/a.rs", "src/gen/a.rs"], &["src/a.rs"]);
    }

    #[test]
    fn an_exception_that_comes_too_early_for_its_folder_is_not_asked_again() {
        check("d/f\n!d", &["d/f"], &["d", "d/g"]);
    }

    #[test]
    fn comments_blank_lines_and_a_byte_order_mark_are_no_patterns() {
        check("\u{feff}# a\n\n  b  \n #c\n! d", &["b", "#c"], &["a", "d", "# a"]);
        check("", &[], &["a"]);
    }

    #[test]
    fn what_would_be_read_in_another_way_is_refused() {
        for text in ["[", "a[]", "[!a]", r"a\", "[a&&b]", "]", "!", r"[\]]", "[a--b]", r"\d*", "*^"] {
            assert!(Ignore::read(text).is_err(), "{text}");
        }
        assert!(Ignore::read(&"a\n".repeat(1001)).is_err());
        assert!(Ignore::read(&"a".repeat(LIMIT + 1)).is_err());
    }

    #[test]
    fn an_exception_may_reach_below_an_ignored_folder() {
        let ignore = Ignore::read("node_modules\n!node_modules/own\n!*.md").unwrap();
        assert!(ignore.may_bring_back_below("node_modules"));
        assert!(!Ignore::read("a\n!b/c").unwrap().may_bring_back_below("a"));
        assert!(Ignore::read("a\n!**/c").unwrap().may_bring_back_below("a"));
        assert!(!Ignore::read("a").unwrap().may_bring_back_below("a"));
    }
}
