//! The title of a record that has no summary: Debian's and many of Python's have only details.

/// How much of the details is a title, in characters: they make most of an index.
const LONGEST: usize = 80;

/// The first sentence of the details. Headings and lines that only lead to the next, as all about Linux begin, are passed over.
pub(super) fn of_details(details: &str) -> Option<String> {
    let lines = details.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#') && !line.ends_with(':'));
    let line = lines.next()?;
    let is_end = |(at, _): &(usize, &str)| {
        let next = line.get(at.saturating_add(2)..).and_then(|rest| rest.chars().next());
        next.is_some_and(char::is_uppercase)
    };
    let end = line.match_indices(". ").find(is_end).map_or(line.len(), |(at, _)| at);
    let sentence = line.get(..end).unwrap_or(line);
    let sentence = sentence.strip_suffix('.').unwrap_or(sentence);
    Some(sentence.chars().take(LONGEST).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(details: &str, title: Option<&str>) {
        assert_eq!(of_details(details).as_deref(), title, "{details}");
    }

    #[test]
    fn it_is_the_first_sentence() {
        check("A flaw in a.c, e.g. by 1.2, is here. It is bad.", Some("A flaw in a.c, e.g. by 1.2, is here"));
        check("\n  one line\nanother", Some("one line"));
        check("Ends here.", Some("Ends here"));
        check(&"é".repeat(200), Some(&"é".repeat(80)));
    }

    #[test]
    fn what_only_leads_to_it_is_passed_over() {
        let linux =
            "In the Linux kernel, the following vulnerability has been resolved:\n\nx: fix a leak\n\nLong.";
        check(linux, Some("x: fix a leak"));
        check("### Impact\nAll of it. Yes", Some("All of it"));
        check("# Only a heading", None);
        check("", None);
    }
}
