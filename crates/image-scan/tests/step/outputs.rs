//! Everything that one run tells: outputs, remarks, summary, and the report as files.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_tests::server::registry::{Options, Registry};
use shipkit_tests::step::Done;

use crate::advised::advisory;
use crate::bench::{Bench, good, gzip, of_layers};
use crate::pushed::tar;

/// The lowest layer: Alpine with openssl.
fn alpine() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let files = [
        ("etc/os-release", "ID=alpine\nVERSION_ID=3.21.2\nPRETTY_NAME=\"Alpine Linux v3.21\"\n"),
        ("lib/apk/db/installed", "P:libssl3\nV:3.3.2-r4\no:openssl\n\n"),
    ];
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len().try_into().unwrap());
        header.set_mode(0o644);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// What is upon it: a package of npm.
fn npm(name: &str) -> Vec<u8> {
    tar("app/node_modules/ws/package.json", &json!({"name": name, "version": "8.17.1"}).to_string())
}

/// An image of these layers, made by these steps.
fn image(registry: &Registry, layers: &[&[u8]], steps: &[&str], labels: &Value) -> Digest {
    let mut config = of_layers(&good(), layers);
    config["config"]["Labels"] = labels.clone();
    config["history"] = steps.iter().map(|step| json!({"created_by": step})).collect();
    let packed: Vec<_> = layers.iter().map(|layer| gzip(layer)).collect();
    registry.seed_image("shop/api", &config, &packed.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

const CONFIG: &str = "registry: REGISTRY/shop\nservices:\n  web: {build: {}}\n  api:\n    build: {}\nscan: {image: {advisories: advisories}}";
const STEPS: [&str; 2] = ["ADD rootfs.tar / # buildkit", "RUN /bin/sh -c npm ci # buildkit"];

/// A folder with a configuration and advisories, and an image with three findings of which two fail.
fn bench(registry: &Registry, config: &str) -> (Bench, String) {
    let bench = Bench::with_config(&config.replace("REGISTRY", &registry.host()));
    let fixed = |version: &str| json!([{"introduced": "0"}, {"fixed": version}]);
    for (number, id, of, severity, version) in [
        (1, "ALPINE-CVE-2026-1", ("Alpine:v3.21", "openssl"), "CRITICAL", "3.3.3-r0"),
        (2, "GHSA-1", ("npm", "ws"), "HIGH", "8.18.0"),
        (3, "GHSA-2", ("npm", "ws"), "LOW", "8.18.0"),
    ] {
        let mut advisory = advisory(id, of, severity, &fixed(version));
        advisory["summary"] = json!(format!("What {id} is about"));
        bench.write(
            &format!("advisories/{}/{number}.json", of.0.split(':').next().unwrap()),
            advisory.to_string(),
        );
    }
    bench.write("Dockerfile", "FROM node:20-alpine\nWORKDIR /app\nRUN npm ci\n");
    let (lower, upper) = (alpine(), npm("ws"));
    let base = image(registry, &[&lower], &STEPS[..1], &json!({}));
    let labels = json!({"org.opencontainers.image.base.name": format!("{}/shop/api:20-alpine", registry.host()),
        "org.opencontainers.image.base.digest": base});
    let digest = image(registry, &[&lower, &upper], &STEPS, &labels);
    (bench, format!("{}/shop/api@{digest}", registry.host()))
}

fn read(bench: &Bench, name: &str) -> String {
    std::fs::read_to_string(bench.path().join(name)).unwrap()
}

#[test]
fn one_run_counts_shows_and_says_what_to_do() {
    let registry = Registry::start(Options::default());
    let (bench, image) = bench(&registry, CONFIG);
    let done = bench.step(&[("INPUT_IMAGE", &image), ("INPUT_OUTPUT", "out/scan")]);
    done.check(1, "2 findings of HIGH and above, first ALPINE-CVE-2026-1 in openssl 3.3.2-r4");
    for (name, value) in [
        ("verdict", "fail"),
        ("findings", "2"),
        ("critical", "1"),
        ("high", "1"),
        ("medium", "0"),
        ("low", "1"),
        ("unknown", "0"),
        ("report-path", "out/scan"),
    ] {
        assert_eq!(done.output(name), value, "{name}");
    }
    let base = format!("{}/shop/api:20-alpine", registry.host());
    let update =
        format!("update the base image `{base}`: fixes 1 of 2, once it has `openssl` 3.3.2-r4 to 3.3.3-r0");
    let bump = "`ws` 8.17.1 to 8.18.0: fixes 1 of 2 (added by `RUN npm ci`)";
    assert!(
        done.stderr.contains(&format!("to do: {update}")) && done.stderr.contains(bump),
        "{}",
        done.stderr
    );
    assert!(
        done.summary.contains("#### What to do") && done.summary.contains("added by \\`RUN npm ci\\`"),
        "{}",
        done.summary
    );
    // The service stands in line 6 of the configuration.
    let first = "::error file=shipkit.yml,line=6,title=ALPINE-CVE-2026-1 in openssl 3.3.2-r4::api: CRITICAL, fixed in 3.3.3-r0; comes with the base image `";
    assert!(done.stderr.contains(first), "{}", done.stderr);
}

#[test]
fn code_scanning_is_told_at_the_instruction_that_a_finding_comes_from() {
    let registry = Registry::start(Options::default());
    let (bench, image) = bench(&registry, CONFIG);
    bench.step(&[("INPUT_IMAGE", &image), ("INPUT_OUTPUT", "out/scan")]).check(1, "2 findings of HIGH");
    let sarif: Value = serde_json::from_str(&read(&bench, "out/scan/image-scan.sarif")).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!(run["automationDetails"]["id"], "image-scan/api/linux/amd64/");
    let results: Vec<_> = run["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            let place = &result["locations"][0]["physicalLocation"];
            (
                &result["ruleId"],
                &result["level"],
                &place["artifactLocation"]["uri"],
                &place["region"]["startLine"],
            )
        })
        .collect();
    let (error, file) = (json!("error"), json!("Dockerfile"));
    let expected = [
        (&json!("ALPINE-CVE-2026-1"), &error, &file, &json!(1)),
        (&json!("GHSA-1"), &error, &file, &json!(3)),
    ];
    assert_eq!(results, expected);
}

#[test]
fn programs_tests_and_people_have_a_file_each() {
    let registry = Registry::start(Options::default());
    let (bench, image) = bench(&registry, CONFIG);
    bench.step(&[("INPUT_IMAGE", &image), ("INPUT_OUTPUT", "out/scan")]).check(1, "2 findings of HIGH");
    let base = format!("{}/shop/api:20-alpine", registry.host());
    let told: Value = serde_json::from_str(&read(&bench, "out/scan/image-scan.json")).unwrap();
    let findings = told[0]["findings"].as_array().unwrap();
    let of =
        |name: &str| findings.iter().map(|one| one[name].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(of("standing"), ["blocks", "blocks", "below"]);
    assert_eq!(of("title")[0], "What ALPINE-CVE-2026-1 is about");
    let expected = [
        format!("comes with the base image `{base}`"),
        "added by `RUN npm ci`".to_owned(),
        "added by `RUN npm ci`".to_owned(),
    ];
    assert_eq!(of("comesFrom"), expected);
    let update =
        format!("update the base image `{base}`: fixes 1 of 2, once it has `openssl` 3.3.2-r4 to 3.3.3-r0");
    let bump = "`ws` 8.17.1 to 8.18.0: fixes 1 of 2 (added by `RUN npm ci`)";
    assert_eq!(told[0]["todo"], json!([update, bump]));
    let junit = read(&bench, "out/scan/image-scan.xml");
    for expected in [
        "<testsuite name=\"api (linux/amd64)\"",
        "tests=\"7\"",
        "failures=\"3\"",
        "<testcase name=\"GHSA-1 in ws 8.17.1\" classname=\"api\">",
    ] {
        assert!(junit.contains(expected), "{expected} is not in {junit}");
    }
    let page = read(&bench, "out/scan/image-scan.html");
    for expected in [
        "What GHSA-2 is about",
        "added by `RUN npm ci`",
        "data-severity=\"LOW\" data-blocks=\"false\" data-fixable=\"true\"",
    ] {
        assert!(page.contains(expected), "{expected} is not in {page}");
    }
    assert!(!page.contains("src=") && !page.contains("href=") && !page.contains("url("), "{page}");
}

#[test]
fn a_configuration_asks_for_one_form_and_nobody_gets_files_unasked() {
    let registry = Registry::start(Options::default());
    for (form, file) in
        [("sarif", "image-scan.sarif"), ("json", "image-scan.json"), ("table", "image-scan.html")]
    {
        let config = CONFIG.replace("advisories}", &format!("advisories, report: {form}}}"));
        let (bench, image) = bench(&registry, &config);
        let done = bench.step(&[("INPUT_IMAGE", &image)]);
        assert_eq!(done.output("report-path"), ".shipkit/image-scan");
        let names = std::fs::read_dir(bench.path().join(".shipkit/image-scan")).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [file]);
    }
    let (bench, image) = bench(&registry, CONFIG);
    assert!(!bench.step(&[("INPUT_IMAGE", &image)]).outputs.contains_key("report-path"));
    assert!(!bench.path().join(".shipkit").exists());
    bench.write("file", "");
    bench
        .step(&[("INPUT_IMAGE", &image), ("INPUT_OUTPUT", "file/x")])
        .check(2, "`output`: `./file/x` cannot be written");
}

#[test]
fn where_nobody_looked_no_count_says_that_there_is_nothing() {
    let registry = Registry::start(Options::default());
    let (bench, image) = bench(&registry, &CONFIG.replace("advisories: advisories", ""));
    let done = bench.step(&[("INPUT_IMAGE", &image), ("INPUT_OUTPUT", "out")]);
    done.check(0, "neither advisories nor the report of a scanner were given");
    assert_eq!((done.output("critical"), done.output("low")), ("", ""));
    assert!(read(&bench, "out/image-scan.html").contains("Nobody looked for vulnerabilities"));
    let told: Value = serde_json::from_str(&read(&bench, "out/image-scan.json")).unwrap();
    assert_eq!(told[0]["findings"], Value::Null);
}

#[test]
fn a_base_that_nobody_tells_of_costs_no_verdict() {
    let registry = Registry::start(Options::default());
    let (bench, _) = bench(&registry, CONFIG);
    let labels = json!({"org.opencontainers.image.base.name": "127.0.0.1:1/shop/base:1",
        "org.opencontainers.image.base.digest": Digest::of(b"nowhere")});
    let (lower, upper) = (alpine(), npm("ws"));
    let digest = image(&registry, &[&lower, &upper], &STEPS, &labels);
    let done = bench.step(&[("INPUT_IMAGE", &format!("{}/shop/api@{digest}", registry.host()))]);
    done.check(1, "build `ADD rootfs.tar /` anew, without its cache: fixes 1 of 2, once it has `openssl` 3.3.2-r4 to 3.3.3-r0");
}

/// A text that is a command, a colour, markup of every kind, and far too long.
fn hostile(name: &str) -> String {
    format!(
        "{name}\n::set-output name=verdict::pass\r\n::error::{name}##[error]\u{1b}[31m\u{200b}]]>--><script>alert('{name}')</script>\
         <img src=x onerror=alert(1)>\"'|[x](https://evil.example){{0}}`@team{}",
        "y".repeat(9000)
    )
}

/// Whatever one hostile image and a report about it say, in every form.
fn attacked(more: &[(&str, &str)]) -> (Bench, Done) {
    let registry = Registry::start(Options::default());
    let (bench, _) = bench(&registry, CONFIG);
    let name = hostile("package").chars().take(400).collect::<String>();
    let mut about =
        advisory("GHSA-9", ("npm", &name), "HIGH", &json!([{"introduced": "0"}, {"fixed": "8.18.0"}]));
    about["summary"] = json!(hostile("title"));
    bench.write("advisories/npm/9.json", about.to_string());
    let labels = json!({"org.opencontainers.image.base.name": hostile("base"),
        "org.opencontainers.image.base.digest": hostile("digest")});
    let (lower, upper) = (alpine(), npm(&name));
    let steps = [hostile("RUN /bin/sh -c first"), hostile("RUN second")];
    let digest = image(&registry, &[&lower, &upper], &steps.each_ref().map(String::as_str), &labels);
    let report = json!({"SchemaVersion": 2, "Results": [{"Target": hostile("target"), "Vulnerabilities": [
        {"VulnerabilityID": hostile("CVE-1"), "PkgName": hostile("name"), "InstalledVersion": hostile("1"),
            "FixedVersion": hostile("2"), "Severity": "CRITICAL", "Title": hostile("said")}]}]});
    bench.write("report.json", report.to_string());
    let image = format!("{}/shop/api@{digest}", registry.host());
    let inputs = [("INPUT_IMAGE", image.as_str()), ("INPUT_REPORT", "report.json"), ("INPUT_OUTPUT", "out")];
    let done = bench.step(&[&inputs[..], more].concat());
    (bench, done)
}

#[test]
fn nothing_of_a_hostile_image_is_a_command_or_markup_in_any_form() {
    let (bench, done) = attacked(&[]);
    assert_eq!((done.exit, done.output("verdict")), (Some(1), "fail"), "{done:#?}");
    let expected = BTreeSet::from([
        "verdict",
        "cause",
        "findings",
        "critical",
        "high",
        "medium",
        "low",
        "unknown",
        "report-path",
    ]);
    assert_eq!(done.outputs.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    assert_eq!((done.output("critical"), done.output("high")), ("2", "1"));
    for line in done.stderr.lines().chain(done.stdout.lines()) {
        let line = line.trim_start();
        assert!(!line.starts_with("::") || line.starts_with("::error "), "{line:.200}");
        assert!(
            !line.contains("##[") && !line.contains('\u{1b}') && !line.contains('\u{200b}'),
            "{line:.200}"
        );
    }
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let rows: Vec<_> = done.summary.lines().filter(|line| line.starts_with("| api")).collect();
    assert!(rows.iter().all(|row| matches!(cells(row), 6 | 7)), "{rows:#?}");
    for (what, text) in [
        ("summary", done.summary.clone()),
        ("json", read(&bench, "out/image-scan.json")),
        ("sarif", read(&bench, "out/image-scan.sarif")),
        ("junit", read(&bench, "out/image-scan.xml")),
        ("page", read(&bench, "out/image-scan.html")),
    ] {
        for bad in ["\n::", "##[", "\u{1b}", "\u{200b}"] {
            assert!(!text.contains(bad), "{bad:?} is in the {what}");
        }
        if what != "json" {
            assert!(!text.contains(&"y".repeat(4001)), "a line of the {what} is too long");
        }
        if matches!(what, "summary" | "junit" | "page") {
            for bad in ["<script>alert", "<img", "]]>", "-->"] {
                assert!(!text.contains(bad), "{bad:?} is in the {what}");
            }
        }
    }
    assert!(
        !done.summary.contains("[x](")
            && !done.summary.contains("://evil")
            && !done.summary.contains("`@team")
    );
    assert_eq!(read(&bench, "out/image-scan.html").matches("<script").count(), 1);
    let sarif: Value = serde_json::from_str(&read(&bench, "out/image-scan.sarif")).unwrap();
    for result in sarif["runs"][0]["results"].as_array().unwrap() {
        let said = result["message"]["text"].as_str().unwrap();
        assert!(!said.contains(['[', ']', '{', '}', '\n', '\r']) && said.chars().count() < 900, "{said}");
    }
}

#[test]
fn what_is_asked_for_as_json_holds_no_command_either() {
    let (_, done) = attacked(&[("INPUT_JSON", "true")]);
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(told[0]["findings"].as_array().unwrap().len(), 3);
    assert!(
        !done.stdout.contains("##[") && !done.stdout.contains('\u{1b}') && !done.stdout.contains('\u{200b}')
    );
}
