//! One page that needs nothing but itself: nothing from elsewhere, which its policy forbids a browser to fetch (Content Security Policy
//! Level 3, 3.3), and no script but the one that its maker gave it. All that is foreign in it passes [`text`].

use std::fmt::Write as _;

use shipkit_core::Verdict;

use crate::sanitize;

const STYLE: &str = include_str!("html.css");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// A page about something that was judged.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// What was done, such as `Smoke test`: HTML.
    pub title: &'a str,
    /// How it ended.
    pub verdict: Verdict,
    /// What it is about, for the title; may be foreign text.
    pub target: &'a str,
    /// One sentence; may be foreign text.
    pub sentence: &'a str,
    /// What else there is to know, by name; values may be foreign text, and what has none is left out.
    pub facts: &'a [(&'a str, Option<&'a str>)],
    /// CSS besides that of all pages.
    pub style: &'a str,
    /// JavaScript with its SHA-256 in base64, by which the page allows it and no other.
    pub script: Option<(&'a str, &'a str)>,
    /// The rest: HTML.
    pub body: &'a str,
}

impl Page<'_> {
    /// The whole page.
    #[must_use]
    pub fn html(&self) -> String {
        let Self { title, style, body, .. } = self;
        let word = self.verdict.word();
        let mut facts = String::new();
        for (name, value) in self.facts {
            let Some(value) = value else { continue };
            // Writing to a String cannot fail.
            write!(facts, "<dt>{name}</dt><dd>{}</dd>", text(value)).ok();
        }
        let policy = self.script.map(|(_, hash)| format!("{POLICY}; script-src 'sha256-{hash}'"));
        let script = self.script.map(|(script, _)| format!("<script>{script}</script>\n"));
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
             <title>{title}: {word} ({target})</title>\n<style>\n{STYLE}{style}</style>\n</head>\n<body>\n<header>\n\
             <h1>{title}: <span class=\"{word}\">{word}</span></h1>\n<p class=\"lead\">{}</p>\n<dl>{facts}</dl>\n</header>\n\
             <main>\n{body}</main>\n{script}</body>\n</html>\n",
            text(self.sentence),
            policy = policy.as_deref().unwrap_or(POLICY),
            target = text(self.target),
            script = script.unwrap_or_default(),
        )
    }
}

/// A part of the page; none where there is nothing to show.
#[must_use]
pub fn section(title: &str, body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    format!("<section>\n<h2>{title}</h2>\n{body}\n</section>\n")
}

/// The cells of the head of a table.
#[must_use]
pub fn columns(names: &[&str]) -> String {
    names.iter().map(column).collect()
}

fn column(name: &&str) -> String {
    format!("<th scope=\"col\">{name}</th>")
}

/// Foreign text as HTML: one line, fit for an element and for an attribute in quotes (HTML, 13.1.2.3 and 13.1.3).
#[must_use]
pub fn text(foreign: &str) -> String {
    let mut escaped = String::with_capacity(foreign.len() + 16);
    for character in sanitize::line(foreign).chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_no_markup_and_only_the_script_with_that_hash_may_run() {
        let page = Page {
            title: "Scan",
            verdict: Verdict::Pass,
            target: "</title><script>x</script>",
            sentence: "a\u{1b}[31m<b title='x' alt=\"y\">&\n::error::z",
            facts: &[("Began", None), ("Took", Some("<1 s"))],
            style: "",
            script: None,
            body: "",
        };
        let html = page.html();
        assert!(html.contains("&lt;b title=&#39;x&#39; alt=&quot;y&quot;&gt;&amp; ::error::z"), "{html}");
        assert!(html.contains("<dt>Took</dt><dd>&lt;1 s</dd>") && !html.contains("Began"), "{html}");
        assert!(!html.contains("<script") && !html.contains("script-src"), "{html}");
        let html = Page { script: Some(("run()", "aGFzaA==")), ..page }.html();
        assert!(html.contains("form-action 'none'; script-src 'sha256-aGFzaA=='\">"), "{html}");
        assert!(html.contains("<script>run()</script>"), "{html}");
    }
}
