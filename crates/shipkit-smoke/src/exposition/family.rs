//! `Family`: a metric with all its series, and whether they agree with its type.

use std::collections::{BTreeMap, HashSet};

use super::Fault;
use super::line::{Format, Labels, Sample};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
    Unknown,
}

/// A metric.
#[derive(Debug, Default)]
pub(super) struct Family<'a> {
    pub(super) stated: Option<Type>,
    pub(super) has_help: bool,
    pub(super) has_unit: bool,
    pub(super) series: Vec<(usize, Sample<'a>)>,
}

/// What belongs together in a histogram or a summary.
#[derive(Default)]
struct Group {
    line: usize,
    parts: Vec<(f64, f64)>,
    count: Option<f64>,
}

impl Type {
    /// The type of a name in this format.
    pub(super) fn of(word: &str, format: Format) -> Option<Self> {
        match (word, format) {
            ("counter", _) => Some(Self::Counter),
            ("gauge", _) => Some(Self::Gauge),
            ("histogram", _) => Some(Self::Histogram),
            ("summary", _) => Some(Self::Summary),
            ("untyped", Format::Text) | ("unknown", Format::Open) => Some(Self::Unknown),
            ("gaugehistogram", Format::Open) => Some(Self::GaugeHistogram),
            ("info", Format::Open) => Some(Self::Info),
            ("stateset", Format::Open) => Some(Self::StateSet),
            _ => None,
        }
    }

    /// What the names of its samples end with.
    pub(super) fn suffixes(self, format: Format) -> &'static [&'static str] {
        match (self, format) {
            (Self::Histogram, Format::Text) => &["_bucket", "_sum", "_count"],
            (Self::Summary, Format::Text) => &["", "_sum", "_count"],
            (Self::Histogram, Format::Open) => &["_bucket", "_sum", "_count", "_created"],
            (Self::Summary, Format::Open) => &["", "_sum", "_count", "_created"],
            (Self::Counter, Format::Open) => &["_total", "_created"],
            (Self::GaugeHistogram, _) => &["_bucket", "_gsum", "_gcount"],
            (Self::Info, _) => &["_info"],
            (Self::Counter, Format::Text) | (Self::Gauge | Self::StateSet | Self::Unknown, _) => &[""],
        }
    }
}

impl Family<'_> {
    /// The first thing in which its series do not agree with its type, or with each other.
    pub(super) fn fault(&self, name: &str, format: Format) -> Option<Fault> {
        self.twice().or_else(|| {
            let kind = self.stated.unwrap_or(Type::Unknown);
            match kind {
                Type::Histogram => self.uneven(name, ("_bucket", "le"), "_count"),
                Type::GaugeHistogram => self.uneven(name, ("_bucket", "le"), "_gcount"),
                Type::Summary => self.uneven(name, ("", "quantile"), "_count"),
                Type::Counter => self.first(|sample| {
                    let is_created = format == Format::Open && sample.name.ends_with("_created");
                    let is_none = sample.value.is_nan() || sample.value < 0.0;
                    (is_none && !is_created).then(|| format!("counter `{name}` is {}", sample.value))
                }),
                Type::Info => self.first(|sample| {
                    (![1.0].contains(&sample.value))
                        .then(|| format!("info `{name}` is {}, and not 1", sample.value))
                }),
                Type::StateSet => self.first(|sample| {
                    (![0.0, 1.0].contains(&sample.value))
                        .then(|| format!("state `{name}` is {}, neither 0 nor 1", sample.value))
                }),
                Type::Gauge | Type::Unknown => None,
            }
        })
    }

    fn first(&self, why: impl Fn(&Sample<'_>) -> Option<String>) -> Option<Fault> {
        self.series.iter().find_map(|(line, sample)| Some(Fault { line: *line, why: why(sample)? }))
    }

    /// One series has one value, at one time.
    fn twice(&self) -> Option<Fault> {
        let mut seen = HashSet::new();
        let (line, sample) =
            self.series.iter().find(|(_, one)| !seen.insert((one.name, &one.labels, one.at)))?;
        Some(Fault { line: *line, why: format!("a series of `{}` is there twice", sample.name) })
    }

    /// The parts of a histogram or a summary, whose samples end with `end` and are told apart by `key`, agree.
    fn uneven(&self, name: &str, (end, key): (&str, &str), count: &str) -> Option<Fault> {
        let mut groups: BTreeMap<Labels<'_>, Group> = BTreeMap::new();
        for (line, sample) in &self.series {
            let its_end = sample.name.strip_prefix(name);
            let is_part = its_end == Some(end);
            let others = sample.labels.iter().filter(|(label, _)| !(is_part && *label == key));
            let group = groups.entry(others.cloned().collect()).or_default();
            group.line = *line;
            if is_part {
                let part = sample.labels.iter().find(|(label, _)| *label == key);
                let Some(part) = part.and_then(|(_, text)| part_of(text)) else {
                    let why = format!("`{}` has no number as `{key}`", sample.name);
                    return Some(Fault { line: *line, why });
                };
                group.parts.push((part, sample.value));
            } else if its_end == Some(count) {
                group.count = Some(sample.value);
            }
        }
        groups.into_values().find_map(|group| {
            let line = group.line;
            let why = if key == "le" { group.uneven() } else { group.beyond() }?;
            Some(Fault { line, why: format!("`{name}`: {why}") })
        })
    }
}

/// The value of `le` or `quantile`.
fn part_of(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| !number.is_nan())
}

impl Group {
    /// What is wrong with buckets.
    fn uneven(mut self) -> Option<String> {
        self.parts.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let Some((last, all)) = self.parts.last().copied() else {
            return Some("a histogram has no buckets".to_owned());
        };
        if last != f64::INFINITY {
            return Some("a histogram has no bucket `le=\"+Inf\"`".to_owned());
        }
        let falls = self.parts.windows(2).find_map(|pair| match pair {
            [(_, below), (end, upto)] if upto < below => Some(*end),
            _ => None,
        });
        if let Some(end) = falls {
            return Some(format!("the bucket up to {end} of a histogram holds less than the one below it"));
        }
        let count = self.count.filter(|count| count.total_cmp(&all).is_ne())?;
        Some(format!("a histogram counts {count}, and its last bucket holds {all}"))
    }

    /// What is wrong with quantiles.
    fn beyond(self) -> Option<String> {
        let beyond = self.parts.iter().find(|(quantile, _)| !(0.0..=1.0).contains(quantile))?;
        Some(format!("a summary has a quantile {}", beyond.0))
    }
}
