//! Days of grace, lists of what is exploited, ends of life, unknown severity, and the policy of an environment.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use shipkit_core::Repository;
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::policy::Catalog;
use shipkit_registry::Credentials;
use shipkit_tests::server::registry::{Options, Registry};
use shipkit_tests::step::Done;

use crate::bench::{Bench, good, gzip, of_layers, scans};
use crate::pushed::tar;

const KEV: &str =
    r#"{"dateReleased": "2026-05-01T17:04:19.9796Z", "count": 1, "vulnerabilities": [{"cveID": "CVE-1"}]}"#;
const EPSS: &str =
    "#model_version:v1,score_date:2026-05-02T00:00:00Z\ncve,epss,percentile\nCVE-1,0.2,0.9\nCVE-2,0.1,0.8\n";

fn found(id: &str, severity: &str, published: Option<&str>) -> Value {
    json!({"VulnerabilityID": id, "PkgName": "zlib1g", "InstalledVersion": "1.2", "FixedVersion": "1.3",
        "Severity": severity, "PublishedDate": published})
}

/// Judges an image, on 2026-05-06, in which Trivy found this, by these words of `scan.image`.
fn judge(found: &[Value], image: &str) -> Done {
    judge_with(found, image, |bench| {
        bench.write("kev.json", KEV);
        bench.write("epss.csv", EPSS);
        bench.write("epss.csv.gz", gzip(EPSS.as_bytes()));
    })
}

fn judge_with(found: &[Value], image: &str, files: impl FnOnce(&Bench)) -> Done {
    let registry = Registry::start(Options::default());
    let bench =
        Bench::with_config(&format!("services: {{api: {{build: {{}}}}}}\nscan: {{image: {{{image}}}}}"));
    files(&bench);
    let digest = registry.seed_image("shop/api", &good(), &[]);
    let report = json!({"SchemaVersion": 2, "Metadata": {"RepoDigests": [format!("shop/api@{digest}")]}, "Results": [
        {"Target": "debian", "Class": "os-pkgs", "Vulnerabilities": found}]});
    bench.write("trivy.json", report.to_string());
    let image = format!("{}/shop/api@{digest}", registry.host());
    let words = [("INPUT_IMAGE", image.as_str()), ("INPUT_REPORT", "trivy.json"), ("INPUT_JSON", "true")];
    let done = bench.step(&words);
    let kept = scans(&registry.host(), "shop/api", &digest);
    assert!(kept.iter().all(|record| record.verdict.to_string() == done.output("verdict")), "{kept:?}");
    done
}

#[test]
fn a_finding_has_days_from_its_publication_on() {
    let high = |day| found("CVE-2", "HIGH", Some(day));
    let grace = "grace: {high: 14d}";
    let done = judge(&[high("2026-05-01T10:00:00Z")], grace);
    done.check(0, "pass: ");
    assert!(done.summary.contains("1 findings block from 2026-05-15 on"), "{}", done.summary);
    let data: Value = serde_json::from_str(&done.stdout).unwrap();
    let waiting = data.pointer("/0/waiting/0").unwrap();
    assert_eq!((&waiting["id"], &waiting["blocksFrom"]), (&json!("CVE-2"), &json!("2026-05-15")), "{data}");
    judge(&[high("2026-04-22")], grace).check(1, "1 findings of HIGH and above");
    judge(&[high("2026-04-23")], grace).check(0, "pass: ");
    judge(&[found("CVE-2", "CRITICAL", Some("2026-05-06"))], grace).check(1, "first CVE-2");
    let undated = judge(&[found("CVE-2", "HIGH", None)], grace);
    undated.check(1, "first CVE-2");
    assert!(undated.summary.contains("1 have no days"), "{}", undated.summary);
}

#[test]
fn what_is_exploited_fails_at_once_and_whatever_its_severity() {
    let low = [found("CVE-1", "LOW", Some("2026-05-06")), found("CVE-2", "LOW", None)];
    for lists in
        ["kev: kev.json", "epss: {file: epss.csv, above: 10%}", "epss: {file: epss.csv.gz, above: 19.99%}"]
    {
        let done = judge(&low, &format!("{lists}, grace: {{low: 14d}}"));
        done.check(1, "1 findings, first CVE-1 in zlib1g 1.2, which is ");
        assert!(done.summary.contains("1 findings listed, 1 of them fail ("), "{}", done.summary);
        assert!(done.stdout.contains("\"exploited\":\""), "{}", done.stdout);
    }
    judge(&low, "epss: {file: epss.csv, above: 20%}").check(0, "pass: ");
    let accepted = |day| format!("kev: kev.json, ignore: [{{id: CVE-1, reason: unused, until: {day}}}]");
    judge(&low, &accepted("2026-05-06")).check(0, "pass: ");
    judge(&low, &accepted("2026-05-05"))
        .check(1, "first CVE-1 in zlib1g 1.2, which is known to be exploited");
}

#[test]
fn a_list_that_cannot_be_read_or_is_none_is_no_empty_one() {
    let epss = "epss: {file: list, above: 10%}";
    let cut = gzip(EPSS.as_bytes());
    for (image, list, said) in [
        ("kev: list", None, "the file `list` of `kev` cannot be used: No such file"),
        (epss, None, "the file `list` of `epss` cannot be used: No such file"),
        ("kev: list", Some(EPSS.as_bytes()), "it is not the catalog of CISA"),
        (epss, Some(KEV.as_bytes()), "line 1 is not as in the scores of FIRST"),
        (epss, Some(&cut[..cut.len() - 9]), "the file `list` of `epss` cannot be used"),
        (epss, Some(b"\xff\xfe"), "invalid utf-8"),
    ] {
        let done = judge_with(&[], image, |bench| {
            if let Some(list) = list {
                bench.write("list", list);
            }
        });
        done.check(3, said);
    }
}

#[test]
fn unknown_severity_has_a_rule_of_its_own() {
    let unknown = [found("CVE-2", "UNKNOWN", None)];
    let passed = judge(&unknown, "severity: LOW");
    passed.check(0, "pass: ");
    assert!(passed.summary.contains("1 of unknown severity"), "{}", passed.summary);
    judge(&unknown, "unknown: fail").check(1, "or of unknown severity, first CVE-2 in zlib1g 1.2");
}

/// Judges an image of this system by the rule `supported`.
fn supported(release: &str) -> Done {
    let registry = Registry::start(Options::default());
    let bench = Bench::with_config("services: {api: {build: {}}}\nscan: {policy: [supported]}");
    let layer = tar("etc/os-release", release);
    let digest = registry.seed_image("shop/api", &of_layers(&good(), &[&layer]), &[&gzip(&layer)]);
    bench.step(&[("INPUT_IMAGE", &format!("{}/shop/api@{digest}", registry.host()))])
}

#[test]
fn a_distribution_without_fixes_fails_and_one_that_is_not_known_does_not_pass() {
    supported("ID=alpine\nVERSION_ID=3.20.6\nPRETTY_NAME=\"Alpine Linux v3.20\"\n")
        .check(1, "Alpine Linux v3.20 has had no fixes since 2026-04-01");
    supported("ID=alpine\nVERSION_ID=3.22.1\n").check(0, "fixes until 2027-05-01 at least");
    for unknown in ["ID=alpine\nVERSION_ID=9.9.9\n", "ID=void\nPRETTY_NAME=Void\n"] {
        supported(unknown).check(3, "until when there are fixes is not known here");
    }
}

/// The evidence of a scan for an environment.
fn scans_for(host: &str, digest: &shipkit_core::Digest, environment: &str) -> Vec<Record> {
    let repository: Repository = format!("{host}/shop/api").parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = shipkit_registry::Registry::new(Credentials::default()).unwrap();
    let kinds = [(Kind::Scan, Some(environment))];
    let mut records = runtime.block_on(client.evidence(&repository, digest, &kinds)).unwrap().records;
    records.retain(|record| record.environment.as_deref() == Some(environment));
    records
}

#[test]
fn an_environment_judges_by_its_own_policy_and_has_evidence_of_its_own() {
    let registry = Registry::start(Options::default());
    let bench = Bench::new();
    bench.write(
        "shipkit.yml",
        "version: 1\nname: shop\nservices: {api: {build: {}}}\nenvironments:\n  staging: {}\n  \
         production: {policy: {scan: {severity: MEDIUM}}}\n",
    );
    let digest = registry.seed_image("shop/api", &good(), &[]);
    let report = json!({"SchemaVersion": 2, "Metadata": {"RepoDigests": [format!("shop/api@{digest}")]}, "Results": [
        {"Target": "debian", "Class": "os-pkgs", "Vulnerabilities": [found("CVE-1", "MEDIUM", None)]}]});
    bench.write("trivy.json", report.to_string());
    let image = format!("{}/shop/api@{digest}", registry.host());
    let step = |environment| {
        bench.step(&[
            ("INPUT_IMAGE", &image),
            ("INPUT_REPORT", "trivy.json"),
            ("INPUT_ENVIRONMENT", environment),
        ])
    };
    step("production").check(1, "1 findings of MEDIUM and above, first CVE-1");
    let kept = scans_for(&registry.host(), &digest, "production");
    assert_eq!(kept.iter().map(|one| one.verdict.word()).collect::<Vec<_>>(), ["fail"]);
    step("").check(0, "pass: ");
    let everywhere = |record: &Record| record.environment.is_none();
    assert_eq!(scans(&registry.host(), "shop/api", &digest).iter().filter(|one| everywhere(one)).count(), 1);
    step("staging").check(0, "`staging` has no `policy.scan`");
    assert_eq!(scans_for(&registry.host(), &digest, "staging").len(), 0);
    step("prod").check(2, "there is no environment `prod`");
}

#[test]
fn the_recorded_catalog_is_read() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/osv/extra/kev/known_exploited_vulnerabilities.json");
    let Ok(bytes) = std::fs::read(file) else { return };
    let catalog = Catalog::kev(&bytes).unwrap();
    assert_eq!((catalog.what.as_str(), catalog.names.len()), ("KEV of 2025-08-25 with 1404 entries", 1404));
    assert!(catalog.names.contains("CVE-2025-48384"));
    // Written past the test runner, which swallows what passing tests print; `./test` adds these up.
    writeln!(std::io::stderr(), "shared cases: 1").unwrap();
}
