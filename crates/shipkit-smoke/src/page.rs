//! A page and what it is made of: which files it names, and whether they came (HTML, "Fetching resources").

use std::collections::BTreeMap;

use html5gum::emitters::default::{DefaultEmitter, StartTag};
use html5gum::{Token, Tokenizer};
use http::header::CONTENT_TYPE;
use url::Url;

use crate::client::Answer;
use crate::judge::{list, short};

/// How many files of one page are asked for.
pub(crate) const FILES: usize = 64;

/// A file that a page needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asset {
    pub(crate) url: Url,
    pub(crate) kind: AssetKind,
}

/// What a file is needed for. Browsers do not run a script, nor apply a style, of another media type where `nosniff` is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AssetKind {
    Script,
    Style,
    Other,
}

/// The files of a page on its own host, each once.
pub(crate) fn assets(page: &Url, body: &[u8]) -> Vec<Asset> {
    let mut base = page.clone();
    let mut has_base = false;
    let mut found: Vec<Asset> = Vec::new();
    let mut emitter = DefaultEmitter::default();
    // What a script says is no tag.
    emitter.naively_switch_states(true);
    // Whatever bytes there are, a tokenizer of HTML reads them as something.
    for token in Tokenizer::new_with_emitter(body, emitter) {
        let Ok(Token::StartTag(tag)) = token else { continue };
        if tag.name.as_slice() == b"base" && !has_base {
            if let Some(url) = attribute(&tag, "href").and_then(|to| page.join(to.trim()).ok()) {
                (base, has_base) = (url, true);
            }
            continue;
        }
        let Some((address, kind)) = named(&tag) else { continue };
        let Ok(mut url) = base.join(address.trim()) else { continue };
        url.set_fragment(None);
        let asset = Asset { url, kind };
        if asset.url.origin() == page.origin() && !found.contains(&asset) && found.len() < FILES {
            found.push(asset);
        }
    }
    found
}

/// What a tag names, and what for.
fn named(tag: &StartTag<()>) -> Option<(String, AssetKind)> {
    match tag.name.as_slice() {
        b"script" => Some((attribute(tag, "src")?, AssetKind::Script)),
        b"link" => {
            let kind = relation(&attribute(tag, "rel")?, attribute(tag, "as").as_deref())?;
            Some((attribute(tag, "href")?, kind))
        }
        _ => None,
    }
}

/// What a link is for, if the page needs it.
fn relation(rel: &str, of: Option<&str>) -> Option<AssetKind> {
    let words: Vec<String> = rel.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
    let is = |word: &str| words.iter().any(|known| known == word);
    if is("alternate") {
        return None;
    }
    match of.map(str::to_ascii_lowercase).as_deref() {
        _ if is("stylesheet") => Some(AssetKind::Style),
        _ if is("modulepreload") => Some(AssetKind::Script),
        Some("script") if is("preload") => Some(AssetKind::Script),
        Some("style") if is("preload") => Some(AssetKind::Style),
        _ if is("icon") || is("preload") || is("manifest") => Some(AssetKind::Other),
        _ => None,
    }
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    let value = tag.attributes.get(name.as_bytes())?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// What is wrong with the answer for a file, if anything is.
pub(crate) fn fault(kind: AssetKind, answer: &Answer) -> Option<String> {
    if answer.status != 200 {
        return Some(format!("has status {}", answer.status));
    }
    let said = media_type(answer);
    let fits = match kind {
        AssetKind::Script => is_javascript(&said),
        AssetKind::Style => said == "text/css",
        AssetKind::Other => said != "text/html",
    };
    if fits {
        return None;
    }
    let why = if said == "text/html" { ", a page in its place" } else { "" };
    Some(format!("is `{}`{why}", short(&said)))
}

/// What is wrong, each fault with the paths where it is.
pub(crate) fn told(found: &BTreeMap<String, Vec<String>>) -> String {
    found.iter().map(|(fault, paths)| format!("{}: {fault}", list(paths))).collect::<Vec<_>>().join("; ")
}

/// The media type of an answer in lower case, without parameters; empty if none is said.
pub(crate) fn media_type(answer: &Answer) -> String {
    let value = answer.headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(value);
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A JavaScript MIME type (MIME Sniffing, 4.6), and WebAssembly or JSON modules.
fn is_javascript(said: &str) -> bool {
    let (group, name) = said.split_once('/').unwrap_or_default();
    let is_script = matches!(group, "text" | "application")
        && (name.ends_with("javascript") || name.ends_with("ecmascript"));
    is_script || matches!(said, "text/jscript" | "text/livescript" | "application/json" | "application/wasm")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;
    use proptest::prelude::*;

    use super::*;
    use crate::client::Phases;

    fn found(body: &str) -> Vec<(String, AssetKind)> {
        let page = "https://shop.example/app/index.html".parse().unwrap();
        let whole = |asset: Asset| (asset.url.to_string(), asset.kind);
        assets(&page, body.as_bytes()).into_iter().map(whole).collect()
    }

    #[track_caller]
    fn check(body: &str, expected: &[(&str, AssetKind)]) {
        let expected: Vec<_> =
            expected.iter().map(|(path, kind)| (format!("https://shop.example{path}"), *kind)).collect();
        assert_eq!(found(body), expected, "{body}");
    }

    #[test]
    fn a_page_names_its_scripts_styles_and_icons() {
        use AssetKind::{Other, Script, Style};
        check("<script src=/a.js></script>", &[("/a.js", Script)]);
        check("<SCRIPT type=module SRC='a-1f.js?x=1&amp;y=2#z'>", &[("/app/a-1f.js?x=1&y=2", Script)]);
        check("<link rel=stylesheet href=/a.css>", &[("/a.css", Style)]);
        check("<link rel='modulepreload' href='/m.js'>", &[("/m.js", Script)]);
        check("<link rel=preload as=style href=/b.css>", &[("/b.css", Style)]);
        check("<link rel=preload as=script href=/b.js>", &[("/b.js", Script)]);
        check("<link rel=preload as=font href=/f.woff2>", &[("/f.woff2", Other)]);
        check("<link rel='shortcut icon' href=/i.ico>", &[("/i.ico", Other)]);
        check("<script src=/a.js></script><script src=/a.js#x></script>", &[("/a.js", Script)]);
    }

    #[test]
    fn what_is_not_needed_or_lies_elsewhere_is_left_out() {
        check("<script>let a = '<script src=/no.js>'</script>", &[]);
        check("<!-- <script src=/no.js></script> -->", &[]);
        check("<script src=https://cdn.example/x.js></script><script src=//cdn.example/y.js></script>", &[]);
        check("<script src='data:text/javascript,1'></script>", &[]);
        check("<link rel='alternate stylesheet' href=/dark.css><link rel=canonical href=/x>", &[]);
        check("<a href=/other><img src=/photo.jpg>", &[]);
        check("<link rel=stylesheet>", &[]);
    }

    #[test]
    fn the_base_of_the_page_counts_once() {
        let body = "<base href=/v2/><base href=/v3/><script src=a.js></script>";
        check(body, &[("/v2/a.js", AssetKind::Script)]);
        check("<base href=https://cdn.example/><script src=a.js></script>", &[]);
    }

    #[test]
    fn a_page_of_many_files_is_asked_for_the_first() {
        let body = (0..100).map(|n| format!("<script src=/{n}.js></script>")).collect::<Vec<_>>().concat();
        assert_eq!(found(&body).len(), FILES);
    }

    #[track_caller]
    fn judged(kind: AssetKind, status: u16, said: Option<&str>, expected: Option<&str>) {
        let headers =
            said.map(|said| (CONTENT_TYPE, said.parse().unwrap())).into_iter().collect::<HeaderMap>();
        let answer = Answer {
            status,
            headers,
            body: Vec::new(),
            is_whole: true,
            took: Duration::ZERO,
            phases: Phases::default(),
        };
        assert_eq!(fault(kind, &answer).as_deref(), expected, "{kind:?} {said:?}");
    }

    #[test]
    fn a_file_is_of_the_kind_that_is_needed() {
        judged(AssetKind::Script, 200, Some("text/javascript; charset=utf-8"), None);
        judged(AssetKind::Script, 200, Some("Application/X-JavaScript"), None);
        judged(AssetKind::Script, 200, Some("text/html"), Some("is `text/html`, a page in its place"));
        judged(AssetKind::Script, 200, Some("text/plain"), Some("is `text/plain`"));
        judged(AssetKind::Script, 200, None, Some("is ``"));
        judged(AssetKind::Script, 404, Some("text/javascript"), Some("has status 404"));
        judged(AssetKind::Style, 200, Some("text/css"), None);
        judged(AssetKind::Style, 200, Some("text/javascript"), Some("is `text/javascript`"));
        judged(AssetKind::Other, 200, Some("font/woff2"), None);
        judged(AssetKind::Other, 200, None, None);
        judged(AssetKind::Other, 200, Some("text/html"), Some("is `text/html`, a page in its place"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let page: Url = "https://shop.example/".parse().unwrap();
            for asset in assets(&page, &body) {
                prop_assert_eq!(asset.url.origin(), page.origin());
            }
        }
    }
}
