//! What we write, held against our own reading of how GitHub's runner and act parse it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use shipkit_runner::{Annotation, Env, Form, Level, Runner, markdown, output, sanitize};

/// One command that the runner would carry out.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    name: String,
    properties: BTreeMap<String, String>,
    data: String,
}

/// The commands in a stream. More suspicious than the runner: any name counts, and what its culture-aware search skips
/// is skipped before the search.
fn commands(stream: &str) -> Vec<Parsed> {
    let stream = stream.replace("\r\n", "\n").replace('\r', "\n");
    stream.split('\n').filter_map(|line| {
        let skipped = |c: char| {
            c.is_control() && c != '\t'
                || "\u{ad}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{202a}\u{202e}\u{2060}\u{2066}\u{fe0f}\u{feff}\u{e0001}"
                    .contains(c)
        };
        let line: String = line.chars().filter(|c| !skipped(*c)).collect();
        second(&line).or_else(|| first(&line))
    }).collect()
}

/// `::name key=value,key=value::data` at the start of a line.
fn second(line: &str) -> Option<Parsed> {
    let (info, data) = line.trim_start().strip_prefix("::")?.split_once("::")?;
    let (name, rest) = info.split_once(' ').unwrap_or((info, ""));
    let pairs = rest.trim().split(',').filter_map(|pair| pair.split_once('='));
    let unescape = |text: &str| {
        text.replace("%0D", "\r")
            .replace("%0A", "\n")
            .replace("%3A", ":")
            .replace("%2C", ",")
            .replace("%25", "%")
    };
    let data = data.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%");
    let properties = pairs.map(|(key, value)| (key.to_owned(), unescape(value))).collect();
    Some(Parsed { name: name.to_owned(), properties, data })
}

/// `##[name key=value;key=value]data` anywhere in a line.
fn first(line: &str) -> Option<Parsed> {
    let (_, rest) = line.split_once("##[")?;
    let (info, data) = rest.split_once(']')?;
    let name = info.split(' ').next().unwrap().to_owned();
    Some(Parsed { name, properties: BTreeMap::new(), data: data.to_owned() })
}

type Entries = Vec<(String, String)>;

/// How an entry begins: whichever of `=` and `<<` comes first decides.
enum Head<'a> {
    Line(&'a str, &'a str),
    Block(&'a str, &'a str),
}

fn head(line: &str) -> Result<Head<'_>, String> {
    match (line.split_once('='), line.split_once("<<")) {
        (Some((name, value)), block) if block.is_none_or(|(other, _)| name.len() < other.len()) => {
            Ok(Head::Line(name, value))
        }
        (_, Some((name, delimiter))) => Ok(Head::Block(name, delimiter)),
        (_, None) => Err(format!("no entry: {line:?}")),
    }
}

/// How the runner on Linux reads a file of outputs: only `\n` ends a line, blank lines between entries are skipped.
fn read_as_runner(text: &str) -> Result<Entries, String> {
    let mut entries = Entries::new();
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        let line = line.strip_suffix('\n').unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let (name, delimiter) = match head(line)? {
            Head::Line(name, value) => {
                entries.push((name.to_owned(), value.to_owned()));
                continue;
            }
            Head::Block(name, delimiter) => (name, delimiter),
        };
        let mut value = String::new();
        loop {
            let line = lines.next().ok_or("no closing delimiter")?;
            if line.strip_suffix('\n').unwrap_or(line) == delimiter {
                break;
            }
            value.push_str(line.strip_suffix('\n').map(|_| line).ok_or("no line end before the delimiter")?);
        }
        entries.push((name.to_owned(), value.strip_suffix('\n').unwrap_or(&value).to_owned()));
    }
    Ok(entries)
}

/// How act reads it: `\r` before a line end is dropped, so are blank lines before a value, and a blank line is an error.
fn read_as_act(text: &str) -> Result<Entries, String> {
    let mut entries = Entries::new();
    let text = text.strip_suffix('\n').unwrap_or(text);
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    while let Some(line) = lines.next() {
        let (name, delimiter) = match head(line)? {
            Head::Line(name, value) => {
                entries.push((name.to_owned(), value.to_owned()));
                continue;
            }
            Head::Block(name, delimiter) => (name, delimiter),
        };
        let mut value = String::new();
        loop {
            let line = lines.next().ok_or("no closing delimiter")?;
            if line == delimiter {
                break;
            }
            if !value.is_empty() {
                value.push('\n');
            }
            value.push_str(line);
        }
        entries.push((name.to_owned(), value));
    }
    Ok(entries)
}

/// Text made of what hurts, and of anything.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("::".to_owned()),
        Just("##".to_owned()),
        Just("[".to_owned()),
        Just("##[".to_owned()),
        Just("]".to_owned()),
        Just("::set-output name=verdict::pass".to_owned()),
        Just("##[add-mask]a".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("\r\n".to_owned()),
        Just(" ".to_owned()),
        Just("\t".to_owned()),
        Just("\u{1b}[31m".to_owned()),
        Just("\u{1b}]0;".to_owned()),
        Just("\u{1b}".to_owned()),
        Just("\u{7}".to_owned()),
        Just("\u{200b}".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("\u{202e}".to_owned()),
        Just("\u{e0001}".to_owned()),
        Just("\u{85}".to_owned()),
        Just("\u{a0}".to_owned()),
        Just("\u{2028}".to_owned()),
        Just("%".to_owned()),
        Just("%0A::error::x".to_owned()),
        Just(",".to_owned()),
        Just("=".to_owned()),
        Just("DELIMITER".to_owned()),
        Just("a<<b".to_owned()),
        Just("|".to_owned()),
        Just("`".to_owned()),
        Just("<b>".to_owned()),
        Just("@team".to_owned()),
        "[a-z]{1,5}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

/// What a value is once it went through a file: line ends are `\n`, none around.
fn as_handed_over(value: &str) -> String {
    let mut value = value.to_owned();
    while value.contains("\r\n") {
        value = value.replace("\r\n", "\n");
    }
    value.trim_matches(['\n', '\r']).to_owned()
}

proptest! {
    #[test]
    fn sanitized_text_holds_no_command(foreign in hostile()) {
        prop_assert_eq!(commands(&sanitize::text(&foreign)), []);
        prop_assert_eq!(commands(&sanitize::line(&foreign)), []);
        prop_assert_eq!(commands(&sanitize::quoted(&foreign, 100)), []);
        prop_assert!(!sanitize::line(&foreign).contains('\n'));
    }

    #[test]
    fn sanitizing_twice_changes_nothing_more(foreign in hostile()) {
        let once = sanitize::text(&foreign);
        prop_assert_eq!(sanitize::text(&once), once);
    }

    #[test]
    fn json_holds_no_command_and_stays_the_same(foreign in hostile(), key in hostile()) {
        let value = serde_json::json!({ key: [foreign] });
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let shown = sanitize::json(&text);
            prop_assert_eq!(commands(&shown), []);
            prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&shown).unwrap(), &value);
        }
    }

    #[test]
    fn an_annotation_is_one_command_and_says_what_it_should(
        title in hostile(), message in hostile(), file in hostile()
    ) {
        let command = Annotation::new(Level::Error, &title, &message).at(&file, Some(7)).command();
        let parsed = commands(&command);
        prop_assert_eq!(parsed.len(), 1);
        prop_assert_eq!(&parsed[0].name, "error");
        prop_assert_eq!(&parsed[0].data, &sanitize::text(&message));
        let mut expected = BTreeMap::from([("line".to_owned(), "7".to_owned())]);
        for (key, value) in [("title", &title), ("file", &file)] {
            expected.insert(key.to_owned(), sanitize::line(value));
        }
        expected.retain(|_, value| !value.is_empty());
        prop_assert_eq!(&parsed[0].properties, &expected);
    }

    #[test]
    fn outputs_read_the_same_on_github_and_under_act(values in prop::collection::vec(hostile(), 1..5)) {
        let mut file = String::new();
        let mut expected = Entries::new();
        for value in &values {
            match output::entry("value", value, "DELIMITER") {
                Ok(entry) => {
                    file.push_str(&entry);
                    expected.push(("value".to_owned(), as_handed_over(value)));
                }
                Err(_) => prop_assert!(value.contains("DELIMITER") || value.contains('\0')),
            }
        }
        prop_assert_eq!(&read_as_runner(&file).unwrap(), &expected);
        if !file.is_empty() {
            prop_assert_eq!(&read_as_act(&file).unwrap(), &expected);
        }
    }

    #[test]
    fn what_goes_through_the_runners_file_arrives(one in hostile(), other in hostile()) {
        prop_assume!(!one.contains('\0') && !other.contains('\0'));
        let file = tempfile::NamedTempFile::new().unwrap();
        let env = Env::of([("GITHUB_ACTIONS", "true"), ("GITHUB_OUTPUT", file.path().to_str().unwrap())]);
        let runner = Runner::detached(env, Form::Text);
        runner.output("one", &one).unwrap();
        runner.output("other", &other).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let expected =
            [("one".to_owned(), as_handed_over(&one)), ("other".to_owned(), as_handed_over(&other))];
        prop_assert_eq!(read_as_runner(&text).unwrap(), expected.clone());
        prop_assert_eq!(read_as_act(&text).unwrap(), expected);
    }

    #[test]
    fn a_table_keeps_its_columns(one in hostile(), other in hostile()) {
        let table = markdown::table(&["a", "b"], &[vec![markdown::text(&one), markdown::code(&other)]]);
        prop_assert_eq!(table.lines().count(), 3);
        let row = table.lines().nth(2).unwrap().replace("\\\\", "");
        let bars = row.char_indices().filter(|(at, c)| *c == '|' && !row.as_bytes()[..*at].ends_with(b"\\"));
        // A backslash in code is itself; before a bar it is doubled by ours, so only unescaped bars count.
        prop_assert_eq!(bars.count(), 3, "{}", row);
        let text = markdown::text(&one);
        prop_assert!(!text.contains('<') && !text.contains("://"));
    }
}

#[test]
fn the_oracle_sees_what_the_runner_sees() {
    assert_eq!(commands(" \t::error file=a%3Ab,line=1::50%25%0Ax")[0].data, "50%\nx");
    assert_eq!(commands("a ##[set-output name=v]pass")[0].name, "set-output");
    assert_eq!(commands("#\u{200b}#[error]x").len(), 1);
    assert_eq!(commands("ok\r::error::x").len(), 1);
    assert!(read_as_act("a<<D\nx\nD\n\nb=1\n").is_err());
    assert_eq!(read_as_runner("a<<D\n\nx\r\nD\n\nb=1\n").unwrap()[0].1, "\nx\r");
    assert_eq!(read_as_act("a<<D\n\nx\r\nD\nb=1\n").unwrap()[0].1, "x");
}

#[test]
fn outputs_beyond_the_limit_of_a_job_are_refused_and_the_rest_still_fits() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let runner = Runner::detached(Env::of([("GITHUB_OUTPUT", file.path().to_str().unwrap())]), Form::Text);
    runner.output("big", &"x".repeat(400_000)).unwrap();
    assert!(runner.output("more", &"x".repeat(200_000)).is_err());
    runner.output("small", "x").unwrap();
    assert_eq!(read_as_runner(&std::fs::read_to_string(file.path()).unwrap()).unwrap().len(), 2);
}
