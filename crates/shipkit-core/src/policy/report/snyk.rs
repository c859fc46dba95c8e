//! JSON of `snyk container test --json` and `snyk test --json`.

use serde::Deserialize;
use serde_json::Value;

use super::{Report, ReportError, day, digests_of, failed, is_malware, named, or_unnamed, parsed, title};
use crate::policy::finding::{Finding, Severity};
use crate::policy::purl::Purl;

const SCANNER: &str = "snyk";

/// One project; an image may hold several, for its system and for each language.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scanned {
    ok: Option<bool>,
    error: Option<Value>,
    vulnerabilities: Option<Vec<Vulnerability>>,
    /// Those of languages, beside those of the system.
    applications: Option<Vec<Self>>,
    dependency_count: Option<u64>,
    project_name: Option<String>,
    package_manager: Option<String>,
    path: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vulnerability {
    id: String,
    title: Option<String>,
    publication_time: Option<String>,
    /// `license` is about a licence.
    #[serde(rename = "type")]
    kind: Option<String>,
    identifiers: Option<Identifiers>,
    alternative_ids: Option<Vec<String>>,
    /// With a distribution the source package.
    package_name: Option<String>,
    module_name: Option<String>,
    /// With a distribution `source/binary`.
    name: Option<String>,
    version: Option<String>,
    #[serde(default)]
    severity: String,
    #[serde(rename = "CVSSv3")]
    cvss: Option<String>,
    cvss_score: Option<f64>,
    nearest_fixed_in_version: Option<String>,
    fixed_in: Option<Vec<String>>,
    #[serde(default)]
    malicious: bool,
    package_manager: Option<String>,
}

#[derive(Deserialize)]
struct Identifiers {
    #[serde(rename = "CVE")]
    cve: Option<Vec<String>>,
    #[serde(rename = "GHSA")]
    ghsa: Option<Vec<String>>,
}

/// The ecosystem of a package manager, as OSV names it. That of a distribution is with its release: `debian:12`.
fn ecosystem(manager: &str) -> Option<&'static str> {
    Some(match manager.split(':').next().unwrap_or_default() {
        "debian" => "Debian",
        "ubuntu" => "Ubuntu",
        "alpine" | "apk" => "Alpine",
        "npm" | "yarn" | "pnpm" => "npm",
        "pip" | "poetry" | "pipenv" => "PyPI",
        "maven" | "gradle" | "sbt" => "Maven",
        "golang" | "gomodules" | "golangdep" | "govendor" => "Go",
        "cargo" => "crates.io",
        "nuget" | "paket" => "NuGet",
        "rubygems" => "RubyGems",
        "composer" => "Packagist",
        "hex" => "Hex",
        _ => return None,
    })
}

impl Vulnerability {
    fn finding(self, project: Option<&str>) -> Finding {
        let Identifiers { cve, ghsa } = self.identifiers.unwrap_or(Identifiers { cve: None, ghsa: None });
        let others = [cve, ghsa, self.alternative_ids].into_iter().flatten().flatten();
        let (id, aliases) = named(std::iter::once(self.id).chain(others));
        let vector = self.cvss.as_deref().and_then(Severity::of_vector);
        let score = self.cvss_score.and_then(Severity::of_score);
        let package = self.package_name.or(self.module_name).or(self.name);
        let version = self.version.unwrap_or_default();
        let manager = self.package_manager.as_deref().or(project);
        let purl = manager
            .and_then(ecosystem)
            .zip(package.as_ref())
            .and_then(|(ecosystem, name)| Purl::of(ecosystem, name, &version));
        let nearest = self.nearest_fixed_in_version.filter(|version| !version.is_empty());
        let listed = self.fixed_in.into_iter().flatten().filter(|version| !version.is_empty());
        let listed = listed.collect::<Vec<_>>().join(", ");
        Finding {
            is_malware: self.malicious || is_malware([id.as_str()]),
            id,
            aliases,
            package: or_unnamed(package),
            version,
            purl: purl.map(|purl| purl.to_string()),
            built: Vec::new(),
            severity: Severity::of_word(&self.severity).or(vector).or(score).unwrap_or(Severity::Unknown),
            fixed_in: nearest.or(Some(listed).filter(|listed| !listed.is_empty())),
            title: title(self.title.as_deref()),
            published: day(self.publication_time.as_deref()),
            ..Finding::default()
        }
    }
}

/// Takes a project and those inside of it; the first one that failed makes all of it unusable.
fn take(project: Scanned, report: &mut Report) -> Result<(), ReportError> {
    let name =
        project.project_name.or_else(|| project.path.clone()).unwrap_or_else(|| "a project".to_owned());
    match project.error {
        None | Some(Value::Null) => {}
        Some(Value::String(said)) => return Err(failed(SCANNER, said)),
        Some(said) => return Err(failed(SCANNER, said.to_string())),
    }
    let vulnerabilities = project
        .vulnerabilities
        .ok_or_else(|| failed(SCANNER, format!("of {name} it has no list of vulnerabilities")))?;
    if project.dependency_count == Some(0) {
        report.doubts.push(format!("snyk looked at no package of {name}"));
    }
    if project.ok == Some(false) && vulnerabilities.is_empty() {
        report.doubts.push(format!("snyk says that {name} is not ok, and not why"));
    }
    report.digests.extend(digests_of(project.path.as_deref().filter(|path| path.contains("@sha256:"))));
    let manager = project.package_manager.as_deref();
    let vulnerabilities = vulnerabilities.into_iter().filter(|one| one.kind.as_deref() != Some("license"));
    report.findings.extend(vulnerabilities.map(|one| one.finding(manager)));
    project.applications.into_iter().flatten().try_for_each(|one| take(one, report))
}

pub(super) fn read(value: Value) -> Result<Report, ReportError> {
    let projects: Vec<Scanned> =
        if value.is_array() { parsed(SCANNER, value)? } else { vec![parsed(SCANNER, value)?] };
    let mut report =
        Report { scanner: SCANNER, digests: Vec::new(), findings: Vec::new(), doubts: Vec::new() };
    projects.into_iter().try_for_each(|project| take(project, &mut report))?;
    Ok(report)
}
