//! `Exposition`: the metrics that an application shows, in the text format of Prometheus (0.0.4, "Exposition formats") or in
//! `OpenMetrics` 1.0.

mod family;
mod line;

use std::collections::BTreeMap;

use family::{Family, Type};
pub(crate) use line::Format;
use line::{Sample, is_blank, is_name, short, split, unescaped};

/// More series of one metric are told: each is kept and searched by Prometheus for itself.
pub(crate) const MANY: usize = 10_000;

/// All metrics of an application.
#[derive(Debug)]
pub(crate) struct Exposition<'a> {
    format: Format,
    families: BTreeMap<&'a str, Family<'a>>,
    /// That of the last line, in `OpenMetrics`.
    current: Option<&'a str>,
    has_end: bool,
}

/// What is wrong, and on which line, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) line: usize,
    pub(crate) why: String,
}

/// Series that are looked for: a name, and labels of which there may be more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector {
    text: String,
    name: String,
    labels: Vec<(String, String)>,
}

impl Format {
    /// The format that a media type names.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        let name = media_type.split(';').next().unwrap_or_default().trim();
        if name.eq_ignore_ascii_case("text/plain") {
            Some(Self::Text)
        } else if name.eq_ignore_ascii_case("application/openmetrics-text") {
            Some(Self::Open)
        } else {
            None
        }
    }
}

impl<'a> Exposition<'a> {
    /// Reads all of it, up to the first fault.
    pub(crate) fn read(format: Format, body: &'a [u8]) -> Result<Self, Fault> {
        let mut exposition = Self { format, families: BTreeMap::new(), current: None, has_end: false };
        let text = std::str::from_utf8(body).map_err(|error| {
            let before = body.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count();
            Fault { line: before + 1, why: "this is not UTF-8".to_owned() }
        })?;
        let mut count = 0;
        for line in text.split_inclusive('\n') {
            count += 1;
            let read = exposition.line(count, line);
            read.map_err(|why| Fault { line: count, why })?;
        }
        if format == Format::Open && !exposition.has_end {
            return Err(Fault { line: count, why: "there is no `# EOF` at the end".to_owned() });
        }
        let mut families = exposition.families.iter();
        match families.find_map(|(name, family)| family.fault(name, format)) {
            Some(fault) => Err(fault),
            None => Ok(exposition),
        }
    }

    fn line(&mut self, count: usize, line: &'a str) -> Result<(), String> {
        if self.has_end {
            return Err("there is more after `# EOF`".to_owned());
        }
        let Some(text) = line.strip_suffix('\n') else {
            if self.format == Format::Open && line == "# EOF" {
                self.has_end = true;
                return Ok(());
            }
            return Err("the last line has no end".to_owned());
        };
        match self.format {
            Format::Text => {
                let text = text.trim_start_matches(is_blank);
                match text.strip_prefix('#') {
                    Some(comment) => self.comment(comment.trim_start_matches(is_blank)),
                    None if text.is_empty() => Ok(()),
                    None => self.sample(count, text),
                }
            }
            Format::Open if text == "# EOF" => {
                self.has_end = true;
                Ok(())
            }
            Format::Open => match text.strip_prefix('#') {
                Some(comment) => self.descriptor(comment.strip_prefix(' ').unwrap_or_default()),
                None => self.sample(count, text),
            },
        }
    }

    /// `HELP` or `TYPE`, or what anybody may write.
    fn comment(&mut self, comment: &'a str) -> Result<(), String> {
        let (word, rest) = split(comment, |sign| !is_blank(sign));
        if word != "HELP" && word != "TYPE" {
            return Ok(());
        }
        let rest = rest.trim_start_matches(is_blank);
        let (name, rest) = named(rest)?;
        let rest = rest.trim_start_matches(is_blank);
        if rest.is_empty() {
            return Ok(());
        }
        let (name, family) = (name, self.families.entry(name).or_default());
        match word {
            "HELP" => help(family, name, rest, "\\n"),
            _ => kind(family, name, rest, Format::Text),
        }
    }

    /// `HELP`, `TYPE` or `UNIT`: there is nothing else in `OpenMetrics`.
    fn descriptor(&mut self, comment: &'a str) -> Result<(), String> {
        let (word, rest) = comment.split_once(' ').unwrap_or((comment, ""));
        let (name, rest) = named(rest)?;
        self.enter(name)?;
        let rest = rest.strip_prefix(' ').ok_or_else(|| format!("nothing is said about `{name}`"))?;
        let family = self.families.entry(name).or_default();
        if !family.series.is_empty() {
            return Err(format!("`{name}` is described after its samples"));
        }
        match word {
            "HELP" => help(family, name, rest, "\\n\""),
            "TYPE" => kind(family, name, rest, Format::Open),
            "UNIT" if family.has_unit => Err(format!("`{name}` has two units")),
            "UNIT" => {
                family.has_unit = true;
                let is_end =
                    rest.is_empty() || name.strip_suffix(rest).is_some_and(|name| name.ends_with('_'));
                if is_end {
                    Ok(())
                } else {
                    Err(format!("`{name}` does not end with its unit `{}`", short(rest)))
                }
            }
            _ => Err(format!("`{}` is no descriptor of OpenMetrics", short(word))),
        }
    }

    fn sample(&mut self, count: usize, text: &'a str) -> Result<(), String> {
        let sample = line::sample(text, self.format)?;
        let name = self.family_of(sample.name)?;
        if self.format == Format::Open {
            self.enter(name)?;
        }
        let family = self.families.entry(name).or_default();
        let takes_exemplar = sample.name.ends_with("_bucket")
            || (family.stated == Some(Type::Counter) && sample.name.ends_with("_total"));
        if sample.has_exemplar && !takes_exemplar {
            return Err(format!("`{}` takes no exemplar", sample.name));
        }
        family.series.push((count, sample));
        Ok(())
    }

    /// The metric that a sample belongs to by its name.
    fn family_of(&self, sample: &'a str) -> Result<&'a str, String> {
        const SUFFIXES: [&str; 8] =
            ["_total", "_created", "_bucket", "_sum", "_count", "_gsum", "_gcount", "_info"];
        let stated = |name: &str| self.families.get(name).and_then(|family| family.stated);
        let found = SUFFIXES.into_iter().find_map(|suffix| {
            let name = sample.strip_suffix(suffix)?;
            stated(name)?.suffixes(self.format).contains(&suffix).then_some(name)
        });
        match (found, stated(sample)) {
            (Some(name), _) => Ok(name),
            (None, Some(kind)) if !kind.suffixes(self.format).contains(&"") => {
                let ends: Vec<&str> = kind.suffixes(self.format).to_vec();
                Err(format!("a sample of `{sample}` ends with none of {}", ends.join(", ")))
            }
            (None, _) => Ok(sample),
        }
    }

    /// In `OpenMetrics` all lines of a metric stand together.
    fn enter(&mut self, name: &'a str) -> Result<(), String> {
        if self.current != Some(name) && self.families.contains_key(name) {
            return Err(format!("the lines of `{name}` do not stand together"));
        }
        self.current = Some(name);
        Ok(())
    }

    fn samples(&self) -> impl Iterator<Item = &Sample<'a>> {
        self.families.values().flat_map(|family| family.series.iter().map(|(_, sample)| sample))
    }

    /// The sum of all series that are looked for; `None` if there are none.
    pub(crate) fn sum(&self, wanted: &Selector) -> Option<f64> {
        let mut found = self.samples().filter(|sample| wanted.is(sample)).map(|sample| sample.value);
        found.next().map(|first| found.fold(first, |sum, value| sum + value))
    }

    /// When the process began that has shown this, if it says so: that tells one instance from another.
    pub(crate) fn process(&self) -> Option<u64> {
        self.samples()
            .find(|sample| sample.name == "process_start_time_seconds")
            .map(|sample| sample.value.to_bits())
    }

    /// What there is, and what is too much of it.
    pub(crate) fn told(&self) -> String {
        let all = self.samples().count();
        let many = self.families.iter().filter(|(_, family)| MANY < family.series.len());
        let many = many.map(|(name, family)| {
            format!("; warning: `{name}` has {} series, more than {MANY}", family.series.len())
        });
        format!("{} metrics with {all} series{}", self.families.len(), many.collect::<String>())
    }
}

/// A name and what comes after it.
fn named(text: &str) -> Result<(&str, &str), String> {
    let (name, rest) = split(text, |sign| !is_blank(sign));
    if is_name(name) { Ok((name, rest)) } else { Err(format!("`{}` is no name of a metric", short(name))) }
}

fn help(family: &mut Family<'_>, name: &str, text: &str, known: &str) -> Result<(), String> {
    if family.has_help {
        return Err(format!("`{name}` has two lines of `HELP`"));
    }
    family.has_help = true;
    unescaped(text, known).map(|_text| ()).map_err(|why| format!("`HELP` of `{name}` {why}"))
}

fn kind(family: &mut Family<'_>, name: &str, word: &str, format: Format) -> Result<(), String> {
    if family.stated.is_some() || !family.series.is_empty() {
        return Err(format!("`{name}` has two lines of `TYPE`, or one after its samples"));
    }
    family.stated = Some(Type::of(word, format).ok_or_else(|| format!("`{}` is no type", short(word)))?);
    Ok(())
}

impl Selector {
    /// Reads `name` or `name{label="value"}`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (name, labels, rest) = line::series(text.trim(), Format::Text).ok()?;
        let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.into_owned())).collect();
        rest.is_empty().then(|| Self { text: text.to_owned(), name: name.to_owned(), labels })
    }

    fn is(&self, sample: &Sample<'_>) -> bool {
        let has = |(name, value): &(String, String)| {
            sample.labels.iter().any(|(its, is)| its == name && is == value)
        };
        sample.name == self.name && self.labels.iter().all(has)
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for format in [Format::Text, Format::Open] {
                Exposition::read(format, &body).ok();
            }
        }

        /// What looks like an exposition gets further.
        #[test]
        fn whatever_stands_in_a_line_is_read(
            body in r#"((# (TYPE|HELP|UNIT|EOF) )?[a-c]{0,2}(_total|_bucket|_sum|_count)?(\{([a-c]|le|quantile)="[a-z0-9\\"+.]{0,3}"[,}]{0,2})?[ #\n]{0,2}(counter|histogram|summary|NaN|[0-9.e+-]{1,4})?[\n ]){0,12}"#
        ) {
            for format in [Format::Text, Format::Open] {
                if let Ok(read) = Exposition::read(format, body.as_bytes()) {
                    read.told();
                    read.process();
                }
            }
            Selector::read(&body);
        }
    }
}
