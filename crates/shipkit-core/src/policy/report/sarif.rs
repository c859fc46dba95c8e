//! SARIF 2.1.0, of whichever scanner.
//!
//! It has no place for a package, a version or a fix. What Trivy, Grype, osv-scanner and Snyk write into their texts is read from there.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Report, ReportError, SOME_FIX, digests_of, failed, is_malware, named, or_unnamed, parsed, title,
};
use crate::policy::finding::{Finding, Severity};
use crate::policy::purl::Purl;

const SCANNER: &str = "SARIF";

#[derive(Deserialize)]
struct Sarif {
    runs: Option<Vec<Run>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    invocations: Option<Vec<Invocation>>,
    // An empty list is a run that found nothing; without one no run took place (§3.14.23).
    results: Option<Vec<Found>>,
    properties: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Tool {
    driver: Component,
    extensions: Option<Vec<Component>>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(default)]
    name: String,
    rules: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: String,
    deprecated_ids: Option<Vec<String>>,
    help: Option<Text>,
    short_description: Option<Text>,
    properties: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    tool_execution_notifications: Option<Vec<Notification>>,
}

#[derive(Deserialize)]
struct Notification {
    level: Option<String>,
    message: Option<Text>,
}

#[derive(Deserialize)]
struct Text {
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    rule_id: Option<String>,
    rule_index: Option<usize>,
    rule: Option<RuleReference>,
    kind: Option<String>,
    baseline_state: Option<String>,
    suppressions: Option<Vec<Suppression>>,
    message: Option<Text>,
    locations: Option<Vec<Location>>,
    properties: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct RuleReference {
    id: Option<String>,
    index: Option<usize>,
}

#[derive(Deserialize)]
struct Suppression {
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: Option<PhysicalLocation>,
    logical_locations: Option<Vec<LogicalLocation>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: Option<ArtifactLocation>,
}

#[derive(Deserialize)]
struct ArtifactLocation {
    uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation {
    fully_qualified_name: Option<String>,
}

impl Found {
    /// Whether it says that something is wrong, now, and nobody has accepted it there.
    fn counts(&self) -> bool {
        let is_suppressed = self.suppressions.as_ref().is_some_and(|all| {
            !all.is_empty()
                && all.iter().all(|one| one.status.as_deref().is_none_or(|status| status == "accepted"))
        });
        let is_problem = !matches!(self.kind.as_deref(), Some("pass" | "notApplicable" | "informational"));
        is_problem && !is_suppressed && self.baseline_state.as_deref() != Some("absent")
    }

    fn rule<'tool>(&self, tool: &'tool Tool) -> Option<&'tool Rule> {
        let id = self.rule_id.as_ref().or(self.rule.as_ref().and_then(|rule| rule.id.as_ref()));
        let index = self.rule_index.or(self.rule.as_ref().and_then(|rule| rule.index));
        let own = || tool.driver.rules.iter().flatten();
        let is_meant = |rule: &&Rule| id.is_none_or(|id| *id == rule.id);
        let by_index = index.and_then(|index| own().nth(index)).filter(is_meant);
        let all = own().chain(tool.extensions.iter().flatten().flat_map(|one| one.rules.iter().flatten()));
        by_index.or_else(|| id.and_then(|id| all.into_iter().find(|rule| rule.id == *id)))
    }

    /// `name@version` where a location has that for a name, as Snyk writes.
    fn located(&self) -> Option<(&str, &str)> {
        let locations = self.locations.iter().flatten();
        let names = locations.flat_map(|one| one.logical_locations.iter().flatten());
        names.filter_map(|one| one.fully_qualified_name.as_deref()).find_map(pair)
    }

    fn place(&self) -> Option<String> {
        let location = self.locations.iter().flatten().find_map(|one| one.physical_location.as_ref())?;
        location.artifact_location.as_ref()?.uri.clone()
    }

    fn finding(&self, tool: &Tool) -> Finding {
        let rule = self.rule(tool);
        let message = self.message.as_ref().and_then(|message| message.text.as_deref()).unwrap_or_default();
        let help = rule.and_then(|rule| rule.help.as_ref()?.text.as_deref()).unwrap_or_default();
        let line = |keys: &[&str]| line(message, keys).or_else(|| line(help, keys));
        let mut names = Vec::new();
        let ids = [line(&["Vulnerability"]), self.rule_id.as_deref(), rule.map(|rule| rule.id.as_str())];
        names.extend(ids.into_iter().flatten().map(str::to_owned));
        names.extend(rule.iter().flat_map(|rule| rule.deprecated_ids.iter().flatten().cloned()));
        let (id, aliases) = named(names);
        let purl = rule.and_then(|rule| first_purl(rule.properties.as_ref()?));
        let told = quoted(message).or_else(|| self.located());
        let package = line(&["Package"]).or(told.map(|(name, _)| name)).map(str::to_owned);
        let version = line(&["Installed Version", "Version"]).or(told.map(|(_, version)| version));
        let word = line(&["Severity"]).and_then(Severity::of_word);
        let score = [self.properties.as_ref(), rule.and_then(|rule| rule.properties.as_ref())];
        let score = score.into_iter().flatten().find_map(security_severity);
        let fixed =
            if has_line(message, help) { line(&["Fixed Version", "Fix Version"]) } else { Some(SOME_FIX) };
        Finding {
            is_malware: is_malware([id.as_str()]),
            id,
            aliases,
            package: or_unnamed(package.or_else(|| self.place())),
            version: version.unwrap_or_default().to_owned(),
            purl,
            built: Vec::new(),
            severity: word.or(score).unwrap_or(Severity::Unknown),
            fixed_in: fixed.map(str::to_owned),
            title: title(rule.and_then(|rule| rule.short_description.as_ref()?.text.as_deref())),
            ..Finding::default()
        }
    }
}

/// Whether the texts have a line about a fix: then an empty one says that there is none.
fn has_line(message: &str, help: &str) -> bool {
    let is_fix = |line: &str| line.starts_with("Fixed Version:") || line.starts_with("Fix Version:");
    message.lines().chain(help.lines()).any(is_fix)
}

/// What stands behind the first of these words, as in `Package: zlib`; for the vulnerability without a colon.
fn line<'text>(text: &'text str, keys: &[&str]) -> Option<&'text str> {
    let value = |line: &'text str| {
        let rest = keys.iter().find_map(|key| line.strip_prefix(key))?;
        let value = rest
            .strip_prefix(':')
            .or_else(|| rest.strip_prefix(' ').filter(|_| keys == ["Vulnerability"]))?;
        Some(value.trim()).filter(|value| !value.is_empty())
    };
    text.lines().find_map(value)
}

/// `name@version`. A version has digits, and no path does.
fn pair(text: &str) -> Option<(&str, &str)> {
    let (name, version) = text.rsplit_once('@')?;
    let is_version = version.bytes().any(|byte| byte.is_ascii_digit())
        && !version.contains(['/', ' '])
        && !version.starts_with(':');
    (is_version && !name.is_empty()).then_some((name, version))
}

/// As osv-scanner writes: `Package 'zlib@1.2' is vulnerable to ...`.
fn quoted(message: &str) -> Option<(&str, &str)> {
    pair(message.strip_prefix("Package '")?.split_once('\'')?.0)
}

/// What GitHub reads too: a score as a text, or as a number where somebody did not know.
fn security_severity(properties: &Map<String, Value>) -> Option<Severity> {
    let score = match properties.get("security-severity")? {
        Value::String(score) => score.trim().parse().ok()?,
        Value::Number(score) => score.as_f64()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    Severity::of_score(score)
}

fn first_purl(properties: &Map<String, Value>) -> Option<String> {
    let purl = properties.get("purls")?.as_array()?.first()?.as_str()?;
    purl.parse::<Purl>().ok().map(|purl| purl.to_string())
}

fn take(run: &Run, report: &mut Report) -> Result<(), ReportError> {
    let Run { tool, invocations, results, properties } = run;
    let name = if tool.driver.name.is_empty() { "its tool" } else { tool.driver.name.as_str() };
    for invocation in invocations.iter().flatten() {
        let notifications = invocation.tool_execution_notifications.iter().flatten();
        let errors = notifications.filter(|one| one.level.as_deref() == Some("error"));
        let mut errors = errors.map(|one| {
            let text = one.message.as_ref().and_then(|message| message.text.clone());
            text.unwrap_or_else(|| "an error that it does not describe".to_owned())
        });
        if !invocation.execution_successful {
            let said = errors.next().unwrap_or_else(|| "it says so, and not why".to_owned());
            return Err(failed(SCANNER, format!("{name}: {said}")));
        }
        report.doubts.extend(errors.map(|said| format!("{name} met an error ({said})")));
    }
    let results = results
        .as_ref()
        .ok_or_else(|| failed(SCANNER, format!("the run of {name} has no list of results")))?;
    let digests = properties.as_ref().and_then(|all| all.get("repoDigests")).and_then(Value::as_array);
    report.digests.extend(digests_of(digests.into_iter().flatten().filter_map(Value::as_str)));
    report.findings.extend(results.iter().filter(|one| one.counts()).map(|one| one.finding(tool)));
    Ok(())
}

pub(super) fn read(value: Value) -> Result<Report, ReportError> {
    let Sarif { runs } = parsed(SCANNER, value)?;
    let runs = runs.filter(|runs| !runs.is_empty()).ok_or_else(|| failed(SCANNER, "it has no runs"))?;
    let mut report =
        Report { scanner: SCANNER, digests: Vec::new(), findings: Vec::new(), doubts: Vec::new() };
    runs.iter().try_for_each(|run| take(run, &mut report))?;
    Ok(report)
}
