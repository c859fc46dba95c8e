//! One line of an exposition: a sample, and its parts.

use std::borrow::Cow;

/// In which of its formats an exposition is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The text format of Prometheus, 0.0.4.
    Text,
    /// `OpenMetrics` 1.0.
    Open,
}

/// Labels in the order of their names.
pub(crate) type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// A sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample<'a> {
    pub(crate) name: &'a str,
    pub(crate) labels: Labels<'a>,
    pub(crate) value: f64,
    /// When it was measured, as it stands there.
    pub(crate) at: Option<&'a str>,
    pub(crate) has_exemplar: bool,
}

/// Reads a line with a sample.
pub(crate) fn sample(line: &str, format: Format) -> Result<Sample<'_>, String> {
    let (name, labels, rest) = series(line, format)?;
    let rest = match format {
        Format::Text => blanks(rest, format),
        Format::Open => rest.strip_prefix(' ').ok_or("a single space is needed before the value")?,
    };
    let (value, rest) = split(rest, |sign| !is_blank(sign));
    let value = number(value).ok_or_else(|| format!("`{}` is no value", short(value)))?;
    let mut sample = Sample { name, labels, value, at: None, has_exemplar: false };
    match format {
        Format::Text if rest.is_empty() => {}
        Format::Text => {
            let at = blanks(rest, format);
            at.parse::<i64>().map_err(|_not_whole| format!("`{}` is no timestamp", short(at)))?;
            sample.at = Some(at);
        }
        Format::Open => {
            let (at, exemplar) = match rest.split_once(" # ") {
                Some((at, exemplar)) => (at, Some(exemplar)),
                None => (rest, None),
            };
            sample.at = timestamp(at)?;
            sample.has_exemplar = exemplar.map(self::exemplar).transpose()?.is_some();
        }
    }
    Ok(sample)
}

/// Reads the name and the labels of a series, and gives what is left of the line.
pub(crate) fn series(line: &str, format: Format) -> Result<(&str, Labels<'_>, &str), String> {
    let (name, rest) = split(line, is_of_name);
    if !is_name(name) {
        return Err(format!("`{}` does not begin with the name of a metric", short(line)));
    }
    let after = match format {
        Format::Text => blanks(rest, format),
        Format::Open => rest,
    };
    match after.strip_prefix('{') {
        Some(inner) => labels(inner, format).map(|(labels, rest)| (name, labels, rest)),
        None => Ok((name, Vec::new(), rest)),
    }
}

/// The labels after `{`, and what is left after `}`.
fn labels(text: &str, format: Format) -> Result<(Labels<'_>, &str), String> {
    let mut labels = Labels::new();
    let mut rest = blanks(text, format);
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            break labels_of(labels).map(|labels| (labels, rest));
        }
        let (name, after) = split(rest, |sign| sign.is_ascii_alphanumeric() || sign == '_');
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) || name == "__name__" {
            return Err(format!("`{}` does not begin with the name of a label", short(rest)));
        }
        let after = blanks(after, format).strip_prefix('=');
        let after = after.ok_or_else(|| format!("label `{name}` has no `=`"))?;
        let after = blanks(after, format).strip_prefix('"');
        let after = after.ok_or_else(|| format!("the value of label `{name}` is not in quotes"))?;
        let (value, after) = quoted(after).map_err(|why| format!("the value of label `{name}` {why}"))?;
        labels.push((name, value));
        let after = blanks(after, format);
        rest = match after.strip_prefix(',') {
            Some(next) => blanks(next, format),
            None if after.starts_with('}') => after,
            None => return Err(format!("after label `{name}` there is neither `,` nor `}}`")),
        };
    }
}

/// In order, and none twice.
fn labels_of(mut labels: Labels<'_>) -> Result<Labels<'_>, String> {
    labels.sort();
    let twice = labels.windows(2).find_map(|pair| match pair {
        [(one, _), (other, _)] if one == other => Some(*one),
        _ => None,
    });
    twice.map_or(Ok(labels), |name| Err(format!("label `{name}` is there twice")))
}

/// What stands before the quote that ends it, and what comes after that.
fn quoted(text: &str) -> Result<(Cow<'_, str>, &str), String> {
    let mut is_escape = false;
    let end = text.char_indices().find(|(_, sign)| {
        let is_end = *sign == '"' && !is_escape;
        is_escape = *sign == '\\' && !is_escape;
        is_end
    });
    let (end, _) = end.ok_or("has no end on its line")?;
    let (value, rest) = text.split_at(end);
    let rest = rest.strip_prefix('"').unwrap_or_default();
    unescaped(value, "\\\"n").map(|value| (value, rest))
}

/// A text in which only these signs follow a `\`.
pub(crate) fn unescaped<'a>(text: &'a str, known: &str) -> Result<Cow<'a, str>, String> {
    if !text.contains('\\') {
        return Ok(Cow::Borrowed(text));
    }
    let mut plain = String::with_capacity(text.len());
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        plain.push(match sign {
            '\\' => match signs.next().filter(|next| known.contains(*next)) {
                Some('n') => '\n',
                Some(other) => other,
                None => return Err("has a `\\` before what needs none".to_owned()),
            },
            other => other,
        });
    }
    Ok(Cow::Owned(plain))
}

/// A number as both formats write it. What has digits and is too large for one is none.
fn number(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let has_sign = text.starts_with(['+', '-']);
    let is_one = if value.is_nan() {
        !has_sign
    } else {
        !value.is_infinite() || !text.contains(|sign: char| sign.is_ascii_digit())
    };
    is_one.then_some(value)
}

/// What stands after a value of `OpenMetrics`: nothing, or a space and seconds.
fn timestamp(text: &str) -> Result<Option<&str>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let at = text.strip_prefix(' ').filter(|at| number(at).is_some_and(f64::is_finite));
    at.map(Some).ok_or_else(|| format!("`{}` is no timestamp", short(text)))
}

/// An exemplar of `OpenMetrics`: labels, a value and perhaps a timestamp.
fn exemplar(text: &str) -> Result<(), String> {
    let bad = || "the exemplar is not `{label=\"value\"} value timestamp`".to_owned();
    let (labels, rest) = labels(text.strip_prefix('{').ok_or_else(bad)?, Format::Open)?;
    let length: usize = labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    if 128 < length {
        return Err(format!("the labels of the exemplar have {length} characters, more than 128"));
    }
    let (value, at) = split(rest.strip_prefix(' ').ok_or_else(bad)?, |sign| !is_blank(sign));
    number(value).ok_or_else(bad)?;
    timestamp(at).map(|_at| ())
}

/// The text without blanks before it, where the format allows any.
fn blanks(text: &str, format: Format) -> &str {
    match format {
        Format::Text => text.trim_start_matches(is_blank),
        Format::Open => text,
    }
}

/// Whether it is the name of a metric.
pub(crate) fn is_name(text: &str) -> bool {
    text.chars().all(is_of_name) && text.starts_with(|first: char| !first.is_ascii_digit())
}

fn is_of_name(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || sign == '_' || sign == ':'
}

pub(crate) fn is_blank(sign: char) -> bool {
    sign == ' ' || sign == '\t'
}

/// The signs at the beginning that are like this, and the rest.
pub(crate) fn split(text: &str, is_part: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|sign| !is_part(sign)).unwrap_or(text.len()))
}

/// So much of a foreign text as a sentence takes.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
