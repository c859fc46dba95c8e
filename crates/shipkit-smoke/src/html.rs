//! `Elements`: places in a page, by CSS selector (Selectors Level 4).

use std::fmt;
use std::time::{Duration, Instant};

use ego_tree::iter::Edge;
use html5ever::ParseOpts;
use html5ever::driver::{Parser, parse_document};
use html5ever::tendril::{StrTendril, TendrilSink as _};
use scraper::{ElementRef, Html, HtmlTreeSink, Selector};
use serde_json::Value;

/// What a page may be made of. A parser of HTML makes much of little: formatting that is never closed begins again in each paragraph
/// (HTML 13.2.4.3).
const NODES: usize = 100_000;
/// How deep elements may lie within each other; browsers stop at half of it.
const DEPTH: usize = 1_000;
/// How long a page may take to be read. Pages of people take some milliseconds.
const READING: Duration = Duration::from_secs(2);
/// How much is read before it is looked at what came of it.
const STEP: usize = 16;
/// How many bytes of text may be found: elements within each other have the same text again and again.
const TEXT: usize = 8 << 20;

/// A page, as a browser without scripts has it.
pub(crate) struct Page(Html);

/// Places in a page: elements, which have texts, or an attribute of them.
#[derive(Debug, Clone)]
pub(crate) struct Elements {
    text: String,
    selector: Selector,
    attribute: Option<String>,
}

impl Page {
    /// Reads a page. Whatever the bytes are, there is a page in them, unless it is none that people would make.
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        let (text, began) = (String::from_utf8_lossy(body), Instant::now());
        let mut parser = parse_document(HtmlTreeSink::new(Html::new_document()), ParseOpts::default());
        let mut rest = &*text;
        while !rest.is_empty() {
            let (part, more) = rest.split_at(rest.ceil_char_boundary(STEP));
            parser.process(StrTendril::from_slice(part));
            within_bounds(&parser, began)?;
            rest = more;
        }
        let html = parser.finish();
        if is_too_deep(&html) {
            return Err(format!("the page has elements more than {DEPTH} deep"));
        }
        Ok(Self(html))
    }
}

fn within_bounds(parser: &Parser<HtmlTreeSink>, began: Instant) -> Result<(), String> {
    if NODES < parser.tokenizer.sink.sink.0.borrow().tree.values().len() {
        return Err(format!("the page has more than {NODES} nodes"));
    }
    if READING < began.elapsed() {
        return Err(format!("the page takes more than {READING:?} to read"));
    }
    Ok(())
}

fn is_too_deep(html: &Html) -> bool {
    let mut depth = 0_usize;
    html.tree.root().traverse().any(|edge| {
        match edge {
            Edge::Open(_) => depth += 1,
            Edge::Close(_) => depth -= 1,
        }
        DEPTH < depth
    })
}

impl Elements {
    /// Reads `SELECTOR`, or `SELECTOR::attr(NAME)` for the values of an attribute in place of texts.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let bad = |why: &dyn fmt::Display| format!("`{text}` is no CSS selector: {why}");
        let (selector, attribute) = match text.strip_suffix(')').and_then(|text| text.rsplit_once("::attr("))
        {
            Some((selector, attribute)) => (selector, Some(attribute.to_ascii_lowercase())),
            None => (text, None),
        };
        let selector = Selector::parse(selector).map_err(|error| bad(&error))?;
        Ok(Self { text: text.to_owned(), selector, attribute })
    }

    /// The texts of the elements, or the attribute of those that have it, without white space around them.
    pub(crate) fn find(&self, page: &Page) -> Result<Vec<Value>, String> {
        let mut room = TEXT;
        let found = page.0.select(&self.selector).filter_map(|element| self.of(element, &mut room));
        let found = found.map(Value::from).collect();
        if room == 0 { Err(format!("`{self}` finds more than {TEXT} bytes of text")) } else { Ok(found) }
    }

    fn of(&self, element: ElementRef<'_>, room: &mut usize) -> Option<String> {
        let Some(name) = &self.attribute else {
            let mut words: Vec<&str> = Vec::new();
            for text in element.text() {
                *room = room.saturating_sub(text.len());
                if *room == 0 {
                    break;
                }
                words.push(text);
            }
            return Some(words.concat().split_whitespace().collect::<Vec<_>>().join(" "));
        };
        Some(element.attr(name)?.trim().to_owned())
    }
}

impl fmt::Display for Elements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SHOP: &str = r#"<!doctype html><title>Shop</title><meta name=version content=" 1.4.0 ">
        <body><h1>Fresh   <b>bread</b></h1><ul><li>rye<li>wheat</ul><a href="/cart">Cart</a><a name=top>Top</a>"#;

    #[track_caller]
    fn finds(selector: &str, expected: &Value) {
        let page = Page::read(SHOP.as_bytes()).unwrap();
        let found = Elements::read(selector).unwrap().find(&page).unwrap();
        assert_eq!(Value::from(found), *expected, "{selector}");
    }

    #[test]
    fn texts_and_attributes_are_found_as_a_browser_has_them() {
        finds("title", &json!(["Shop"]));
        finds("h1", &json!(["Fresh bread"]));
        finds("ul > li", &json!(["rye", "wheat"]));
        finds("html > head > meta[name=version]::attr(content)", &json!(["1.4.0"]));
        finds("a::attr(HREF)", &json!(["/cart"]));
        finds("h2, li:last-child", &json!(["wheat"]));
        finds("h2", &json!([]));
    }

    #[test]
    fn what_is_no_selector_is_told() {
        for text in ["", ">", "a[", "a::attr()x", "::text", "a:hover("] {
            let wrong = Elements::read(text).unwrap_err();
            assert!(wrong.starts_with(&format!("`{text}` is no CSS selector: ")), "{wrong}");
        }
    }

    #[test]
    fn any_bytes_are_a_page() {
        for body in [&b""[..], b"\xff\xfe<", b"{\"a\": 1}", "<p>\u{e9}\u{1f600}<".as_bytes()] {
            assert!(Page::read(body).is_ok(), "{body:?}");
        }
    }

    #[test]
    fn pages_that_blow_up_are_refused() {
        let deep = "<div>".repeat(200_000);
        let formatted = (0..20_000).map(|n| format!("<b id={n}>")).collect::<Vec<_>>().concat();
        let again = format!("<p>{formatted}</p>{}", "<p>x</p>".repeat(50_000));
        for page in [deep, again, "<i>a</i>".repeat(130_000)] {
            let why = Page::read(page.as_bytes()).err().unwrap();
            assert!(why.starts_with("the page "), "{why}");
        }
        assert!(Page::read("<div>".repeat(1_200).as_bytes()).is_err());
        assert!(Page::read("<div>".repeat(900).as_bytes()).is_ok());
    }

    #[test]
    fn the_same_text_is_not_found_without_end() {
        let page = format!("{}{}", "<div>".repeat(900), "word ".repeat(100_000));
        let page = Page::read(page.as_bytes()).unwrap();
        let wrong = Elements::read("div").unwrap().find(&page).unwrap_err();
        assert_eq!(wrong, "`div` finds more than 8388608 bytes of text");
        assert!(Elements::read("div:empty").unwrap().find(&page).unwrap().is_empty());
    }
}
