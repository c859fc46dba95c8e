//! What an installed `hurl` reports: with `--json` one document for each file, each on a line.

use serde::Deserialize;

/// How many failures a sentence names.
const NAMED: usize = 5;

#[derive(Deserialize)]
struct File {
    filename: String,
    success: bool,
    /// In milliseconds.
    #[serde(default)]
    time: u64,
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    asserts: Vec<Assert>,
}

#[derive(Deserialize)]
struct Assert {
    line: u64,
    success: bool,
    #[serde(default)]
    message: String,
}

/// What became of all files: how many there are, or what is wrong, with files and lines. `None` if it is no report; it is known
/// besides whether the program itself was content.
pub(crate) fn judge(reports: &str, is_content: bool) -> Option<Result<String, String>> {
    let lines = reports.lines().map(str::trim).filter(|line| !line.is_empty());
    let files: Vec<File> = lines.map(|line| serde_json::from_str(line).ok()).collect::<Option<_>>()?;
    let slowest = files.iter().max_by_key(|file| file.time)?;
    let wrong: Vec<String> = files.iter().filter(|file| !file.success).flat_map(wrong).collect();
    if wrong.is_empty() {
        let requests: usize = files.iter().map(|file| file.entries.len()).sum();
        let told = format!(
            "{} files with {requests} requests, the slowest, `{}`, in {} ms",
            files.len(),
            slowest.filename,
            slowest.time
        );
        return is_content.then_some(Ok(told));
    }
    let more = wrong.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let named: Vec<String> = wrong.into_iter().take(NAMED).collect();
    Some(Err(format!("{}{more}", named.join("; "))))
}

/// What is wrong in a file, each with its line.
fn wrong(file: &File) -> Vec<String> {
    let asserts = file.entries.iter().flat_map(|entry| &entry.asserts).filter(|assert| !assert.success);
    let wrong: Vec<String> = asserts
        .map(|assert| format!("`{}:{}`: {}", file.filename, assert.line, said(&assert.message)))
        .collect();
    if wrong.is_empty() { vec![format!("`{}`: a request failed", file.filename)] } else { wrong }
}

/// The message without its frame: what it is, and the lines of what was seen and what was expected.
fn said(message: &str) -> String {
    let is_said = |line: &&str| line.starts_with("actual:") || line.starts_with("expected:");
    let lines = message.lines().map(|line| line.trim_start_matches([' ', '|']).trim());
    let head = message.lines().next().unwrap_or_default().trim();
    let all: Vec<&str> = std::iter::once(head).chain(lines.filter(is_said)).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = r#"{"filename":"a.hurl","success":true,"time":4,"entries":[{"asserts":[{"line":2,"success":true}]}]}"#;
    const BAD: &str = r#"{"filename":"b.hurl","success":false,"time":9,"entries":[{"asserts":[{"line":2,"success":true},{"line":5,"success":false,"message":"Assert failure\n  --> b.hurl:5:0\n   |\n 5 | body == 8\n   |   actual:   integer <7>\n   |   expected: integer <8>\n   |"}]}]}"#;

    #[test]
    fn failures_are_named_by_file_and_line() {
        assert_eq!(
            judge(GOOD, true),
            Some(Ok("1 files with 1 requests, the slowest, `a.hurl`, in 4 ms".to_owned()))
        );
        let wrong = "`b.hurl:5`: Assert failure, actual:   integer <7>, expected: integer <8>";
        assert_eq!(judge(&format!("{GOOD}\n\n{BAD}\n"), false), Some(Err(wrong.to_owned())));
        let refused = BAD.replace("\"success\":false,\"message\"", "\"success\":true,\"message\"");
        assert_eq!(judge(&refused, false), Some(Err("`b.hurl`: a request failed".to_owned())));
        let many = judge(&format!("{BAD}\n").repeat(7), false).unwrap().unwrap_err();
        assert!(many.ends_with("; and 2 more"), "{many}");
    }

    #[test]
    fn what_is_no_report_and_what_contradicts_itself_says_nothing() {
        for (text, is_content) in [("", true), ("x", true), ("{}", true), (GOOD, false)] {
            assert_eq!(judge(text, is_content), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in any::<String>(), cut in 0..BAD.len()) {
            prop_assert!(judge(&text, true).is_none());
            let mixed = format!("{}{text}", BAD.get(..cut).unwrap_or_default());
            prop_assert!(judge(&mixed, true).is_none());
        }
    }
}
