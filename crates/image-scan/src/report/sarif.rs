//! SARIF 2.1.0 for code scanning: a run for each image and platform, with a category of its own, so that none takes the place of another,
//! and inside of what GitHub takes (docs.github.com, "SARIF support for code scanning" and "results exceed limit").

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_core::policy::{Finding, Severity, Standing, Whence};
use shipkit_core::verdict::Verdict;
use shipkit_runner::{markdown, sanitize};

use super::{Found, Judged};
use crate::places::{Place, Places};

/// The version that is written.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// How many runs a file may have.
const RUNS: usize = 20;
/// How many results of a run are kept: it may have 25,000, and no more than the worst of them are shown.
const RESULTS: usize = 5_000;
/// How many bytes a file may have when it is packed with gzip.
const PACKED: usize = 10_000_000;
/// The longest text, in characters: there may be many of them.
const TEXT: usize = 400;
/// The longest name of a rule, in characters.
const NAME: usize = 200;

/// The files, and what of them was left out, a sentence each.
pub(super) struct Files {
    /// In their order; at least one.
    pub(super) texts: Vec<String>,
    /// Where something was.
    pub(super) left_out: Vec<String>,
}

/// What there is to know about all of these images.
pub(super) fn of(images: &[Judged], places: &Places) -> Files {
    let (mut files, mut left_out): (Vec<Vec<Value>>, _) = (vec![Vec::new()], Vec::new());
    let (mut bytes, mut categories) = (0_usize, BTreeMap::new());
    for image in images {
        let Fitting { run, packed, told } = fitting(image, places, &category(image, &mut categories));
        left_out.extend(told);
        let is_full = |runs: &Vec<Value>| {
            runs.len() == RUNS || (!runs.is_empty() && PACKED < bytes.saturating_add(packed))
        };
        if files.last().is_some_and(is_full) {
            files.push(Vec::new());
            bytes = 0;
        }
        bytes = bytes.saturating_add(packed);
        if let Some(file) = files.last_mut() {
            file.push(run);
        }
    }
    let text = |runs: &Vec<Value>| {
        let file = json!({"$schema": SCHEMA, "version": "2.1.0", "runs": runs});
        sanitize::json(&format!("{file:#}\n"))
    };
    Files { texts: files.iter().map(text).collect(), left_out }
}

/// A name by which the results of an image take the place of those of the image before it, and of no other.
fn category(image: &Judged, seen: &mut BTreeMap<String, usize>) -> String {
    let plain = |text: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        text.chars().map(|c| if is_plain(c) { c } else { '-' }).take(NAME).collect::<String>()
    };
    let name = format!("image-scan/{}/{}", plain(&image.name), plain(&image.platform));
    let count = seen.entry(name.clone()).or_default();
    *count = count.saturating_add(1);
    // What is before the last slash is the category.
    if *count == 1 { format!("{name}/") } else { format!("{name}/{count}/") }
}

/// A run that GitHub takes.
struct Fitting {
    run: Value,
    /// Its bytes, packed.
    packed: usize,
    told: Option<String>,
}

/// The run of an image with as many results as fit, the worst of them.
fn fitting(image: &Judged, places: &Places, category: &str) -> Fitting {
    let all: Vec<&Found> = image.findings.iter().flatten().filter(|one| one.standing.counts()).collect();
    let mut kept = all.len().min(RESULTS);
    loop {
        let told = (kept < all.len()).then(|| {
            format!(
                "`{}` ({}): {kept} of {} findings are in the SARIF file, the worst: GitHub shows no more",
                image.name,
                image.platform,
                all.len()
            )
        });
        let results = Results::of(image, places, all.iter().take(kept).copied());
        let run = run(image, category, &results, told.as_deref());
        let packed = packed(&run);
        if packed <= PACKED || kept == 0 {
            return Fitting { run, packed, told };
        }
        kept /= 2;
    }
}

/// How many bytes it has when it is packed.
fn packed(run: &Value) -> usize {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory cannot fail.
    packer.write_all(format!("{run:#}").as_bytes()).ok();
    packer.finish().map_or(usize::MAX, |packed| packed.len())
}

fn run(image: &Judged, category: &str, results: &Results, told: Option<&str>) -> Value {
    let outcome = &image.judgement.outcome;
    let is_told = matches!(outcome.verdict, Verdict::Pass | Verdict::Fail);
    let rules = image.judgement.rules.iter();
    let open =
        rules.filter(|(_, outcome)| matches!(outcome.verdict, Verdict::Inconclusive | Verdict::Unreachable));
    let open = open.map(|(_, outcome)| ("error", outcome.cause.as_str()));
    let notes: Vec<_> = open
        .chain(told.map(|told| ("warning", told)))
        .map(|(level, cause)| json!({"level": level, "message": {"text": text(cause, TEXT)}}))
        .collect();
    let invocation = json!({"executionSuccessful": is_told, "toolExecutionNotifications": notes});
    let driver = json!({"name": "shipkit image-scan", "semanticVersion": env!("CARGO_PKG_VERSION"),
        "informationUri": "https://github.com/org/shipkit", "rules": results.rules});
    let properties = json!({"image": text(&image.name, NAME), "platform": text(&image.platform, NAME),
        "digest": image.digest, "verdict": outcome.verdict, "cause": text(&outcome.cause, TEXT)});
    json!({"tool": {"driver": driver}, "automationDetails": {"id": category}, "columnKind": "unicodeCodePoints",
        "invocations": [invocation], "results": results.all, "properties": properties})
}

/// Results and the rules that they are about.
#[derive(Default)]
struct Results {
    all: Vec<Value>,
    rules: Vec<Value>,
    /// The number of each rule, by its name.
    numbers: BTreeMap<String, usize>,
    /// How many results have each fingerprint.
    prints: BTreeMap<String, usize>,
}

impl Results {
    /// What fails of the rules about an image, and these findings.
    fn of<'a>(image: &Judged, places: &Places, findings: impl Iterator<Item = &'a Found>) -> Self {
        let mut results = Self::default();
        let own = image.judgement.rules.iter().filter(|(rule, _)| *rule != "vulnerabilities");
        for (rule, outcome) in own.filter(|(_, outcome)| outcome.verdict == Verdict::Fail) {
            let place = places.of_origin(&image.name, &Whence::Unknown);
            let id = format!("image/{rule}");
            let about = json!({"id": id, "shortDescription": {"text": format!("The rule `{rule}` of images")},
                "helpUri": "https://github.com/org/shipkit/blob/main/actions/image-scan/README.md",
                "properties": {"tags": ["security", "image"]}});
            let more = json!({"level": "error", "message": {"text": text(&format!("{}: {}", image.name, outcome.cause), TEXT)}});
            let print = [image.name.as_str(), &image.platform, &id];
            results.add((&id, about), place, &print, more);
        }
        for found in findings {
            let Finding { id, package, layer, .. } = &found.finding;
            let place = places.of_origin(&image.name, &image.build.whence(*layer));
            let kind =
                found.finding.purl.as_deref().and_then(|purl| purl.split('/').next()).unwrap_or_default();
            let print = [image.name.as_str(), &image.platform, id, kind, package];
            results.add((id, rule(found)), place, &print, result(found, image));
        }
        results
    }

    /// Adds a result about a rule, which is described by the first one.
    fn add(&mut self, (id, about): (&str, Value), place: Option<Place>, print: &[&str], more: Value) {
        let (id, next) = (text(id, NAME), self.rules.len());
        let number = *self.numbers.entry(id.clone()).or_insert(next);
        if number == next {
            self.rules.push(about);
        }
        // Code scanning shows nothing that has no place in the repository.
        let Place { file, line } = place.unwrap_or_else(|| Place { file: "shipkit.yml".to_owned(), line: 1 });
        let location = json!({"physicalLocation": {"artifactLocation": {"uri": uri(&file), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": line}}});
        let Value::Object(mut result) = more else { return };
        result.insert("ruleId".to_owned(), json!(id));
        result.insert("ruleIndex".to_owned(), json!(number));
        result.insert("locations".to_owned(), json!([location]));
        result.insert("partialFingerprints".to_owned(), self.fingerprint(print));
        self.all.push(Value::Object(result));
    }

    /// The same for the same vulnerability in the same package of the same image, whatever their versions and lines. Where a package is
    /// there in several versions, they are counted.
    fn fingerprint(&mut self, print: &[&str]) -> Value {
        let hash: String = Digest::of(print.join("\0").as_bytes()).hex().chars().take(32).collect();
        let count = self.prints.entry(hash.clone()).or_default();
        *count = count.saturating_add(1);
        json!({"primaryLocationLineHash": format!("{hash}:{count}")})
    }
}

/// What is said of a vulnerability, wherever it is.
fn rule(found: &Found) -> Value {
    let finding = &found.finding;
    let id = text(&finding.id, NAME);
    let title = if finding.title.is_empty() { &finding.id } else { &finding.title };
    let fixed = finding.fixed_in.as_deref().unwrap_or("no fix yet");
    let cells =
        [&finding.package, &finding.version, fixed].map(markdown::code).map(|cell| vec![cell]).concat();
    let table = markdown::table(&["package", "installed", "fixed in"], &[cells]);
    let help = format!("{}\n\n{table}", markdown::text(&text(title, TEXT)));
    let plain = format!("{title}. {}: fixed in {fixed}", finding.what());
    let short = format!("{} in {} ({})", finding.id, finding.package, finding.severity.word());
    let mut properties =
        json!({"precision": "very-high", "tags": ["security", "vulnerability", finding.severity.word()]});
    if let (Some(score), Some(properties)) = (score(finding), properties.as_object_mut()) {
        properties.insert("security-severity".to_owned(), json!(score));
    }
    let mut rule = json!({"id": id, "name": "Vulnerability", "shortDescription": {"text": text(&short, TEXT)},
        "fullDescription": {"text": text(title, TEXT)}, "help": {"text": text(&plain, TEXT), "markdown": help},
        "defaultConfiguration": {"level": level(found)}, "properties": properties});
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.' | '_');
    if let (true, Some(rule)) = (id.chars().all(is_plain), rule.as_object_mut()) {
        rule.insert("helpUri".to_owned(), json!(format!("https://osv.dev/vulnerability/{id}")));
    }
    rule
}

fn result(found: &Found, image: &Judged) -> Value {
    let Found { finding, standing } = found;
    let what = finding.what();
    let said = format!(
        "{what} has {}: {} ({}, {})",
        finding.id,
        super::found::sentence(finding, &image.build),
        image.name,
        image.platform
    );
    let properties = json!({"package": text(&finding.package, NAME), "version": text(&finding.version, NAME),
        "fixedIn": finding.fixed_in.as_deref().map(|version| text(version, NAME)), "severity": finding.severity.word(),
        "standing": standing.word(), "comesFrom": text(&image.build.whence(finding.layer).to_string(), TEXT),
        "purl": finding.purl.as_deref().map(|purl| text(purl, TEXT))});
    json!({"level": level(found), "message": {"text": text(&said, TEXT * 2)}, "properties": properties})
}

fn level(found: &Found) -> &'static str {
    match found.standing {
        Standing::Blocks => "error",
        Standing::Waits | Standing::Old => "warning",
        Standing::Unfixed | Standing::Accepted | Standing::NotAffected | Standing::Below => "note",
    }
}

/// A number in the middle of what CVSS means by the word: GitHub makes the word of it again. None where nobody knows it.
fn score(finding: &Finding) -> Option<&'static str> {
    if finding.is_malware {
        return Some("10.0");
    }
    match finding.severity {
        Severity::Critical => Some("9.5"),
        Severity::High => Some("8.0"),
        Severity::Medium => Some("5.5"),
        Severity::Low => Some("2.0"),
        Severity::Unknown => None,
    }
}

/// Foreign words in a message: one line, without what makes links and placeholders there (SARIF 2.1.0, 3.11.5 and 3.11.6).
fn text(foreign: &str, most: usize) -> String {
    let plain = |c: char| match c {
        '[' | '{' => '(',
        ']' | '}' => ')',
        other => other,
    };
    let line = sanitize::line(foreign);
    let cut = if most < line.chars().count() { "..." } else { "" };
    format!("{}{cut}", line.chars().take(most).map(plain).collect::<String>())
}

/// A path as a relative reference (RFC 3986, 4.2).
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(uri, "%{byte:02X}").ok();
        }
    }
    uri
}

#[cfg(test)]
mod tests;
