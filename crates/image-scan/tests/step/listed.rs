//! Packages that are in no image: those of lock files, and of bills of materials.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};
use shipkit_tests::server::registry::{Options, Registry};
use shipkit_tests::step::Done;

use crate::advised::advisory;
use crate::bench::{Bench, good, gzip, of_layers};
use crate::pushed::tar;

const LOCK: &str = r#"{"lockfileVersion": 3, "packages": {"": {},
    "node_modules/ws": {"version": "8.17.0"}, "node_modules/mocha": {"version": "10.0.0", "dev": true},
    "node_modules/own": {"resolved": "packages/own", "link": true}}}"#;

/// A checkout with advisories about ws, Debian's openssl and Go.
fn bench(more: &str) -> Bench {
    let bench = Bench::with_config(&format!(
        "services: {{api: {{build: {{}}}}}}\nscan: {{image: {{advisories: advisories{more}}}}}"
    ));
    let fixed = |version: &str| json!([{"introduced": "0"}, {"fixed": version}]);
    for (path, about, severity, fixed) in [
        ("npm/GHSA-1", ("npm", "ws"), "HIGH", fixed("8.17.1")),
        ("Debian/CVE-1", ("Debian:12", "openssl"), "CRITICAL", fixed("3.0.13-1")),
        ("Debian/CVE-2", ("Debian:12", "zlib"), "LOW", fixed("1:2")),
        ("Go/GO-1", ("Go", "stdlib"), "HIGH", fixed("1.22.3")),
    ] {
        let (_, id) = path.split_once('/').unwrap();
        bench.write(&format!("advisories/{path}.json"), advisory(id, about, severity, &fixed).to_string());
    }
    bench
}

fn source(bench: &Bench, folder: &str) -> Done {
    bench.step(&[("INPUT_SOURCE", folder)])
}

fn told(done: &Done) -> Value {
    serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:#?}"))
}

#[test]
fn lock_files_are_judged_by_the_policy_of_images() {
    let with_lock = |more: &str| {
        let bench = bench(more);
        bench.write("web/package-lock.json", LOCK);
        bench
    };
    let done = source(&with_lock(""), "web");
    done.check(
        1,
        "`web` (lock files): 1 findings of HIGH and above, first GHSA-1 in ws 8.17.0, fixed in 8.17.1",
    );
    assert_eq!(done.output("findings"), "1");
    assert!(done.summary.contains("2 of npm, 1 of them for development; listed in package-lock.json; left out: 1 links, files and folders"), "{}", done.summary);
    assert!(!done.output("cause").contains("evidence"), "nothing is stored about a folder");
    source(&with_lock(", severity: CRITICAL"), "web").check(0, "1 findings, none blocks");
    let accepted = ", ignore: [{id: GHSA-1, reason: unused, until: 2026-05-06}]";
    source(&with_lock(accepted), "web").check(0, "1 accepted");
}

#[test]
fn packages_of_lock_files_are_told_to_machines_without_layers() {
    let bench = bench("");
    bench.write("package-lock.json", LOCK.replace("8.17.0", "8.17.1"));
    let done = bench.run(&["--source", "--json"], &[]);
    done.check(0, "`shop` (lock files): 0 findings");
    let told = told(&done);
    let listed = json!({"in": "lock files", "files": ["package-lock.json"], "leftOut": {"links, files and folders": 1}});
    assert_eq!(told[0]["listed"], listed);
    let packages = json!([
        {"ecosystem": "npm", "name": "mocha", "version": "10.0.0", "path": "package-lock.json", "isDev": true},
        {"ecosystem": "npm", "name": "ws", "version": "8.17.1", "path": "package-lock.json"}]);
    assert_eq!(told[0]["inventory"]["packages"], packages);
    let skipped = json!({"rule": "non-root", "verdict": "skipped", "cause": "there is no image"});
    assert!(told[0]["rules"].as_array().unwrap().contains(&skipped), "{told:#}");
}

#[test]
fn what_was_not_found_out_is_no_pass() {
    let bench = bench("");
    source(&bench, "nowhere").check(2, "is no folder that can be read");
    bench.write("empty/README.md", "");
    source(&bench, "empty").check(2, "neither a lock file nor anything that would need one");
    bench.write("web/package.json", r#"{"dependencies": {"ws": "^8.0.0"}}"#);
    source(&bench, "web").check(3, "has no lock file that can be read: `package.json` has no lock file");
    bench.write("both/package-lock.json", LOCK.replace("8.17.0", "8.17.1"));
    bench.write("both/py/requirements.txt", "idna\n");
    let done = source(&bench, "both");
    done.check(3, "in `py/requirements.txt` `idna` is not pinned to a version (`==`)");
    assert_eq!(done.output("verdict"), "inconclusive");
    // No advisories for an ecosystem are no advisories against it.
    bench.write("py/requirements.txt", "idna==3.4\n");
    source(&bench, "py").check(3, "`PyPI`");
    bench.run(&["--source", ".", "--layout", "x"], &[]).check(2, "--layout");
    bench
        .run(&["--from-sbom", "nowhere.json"], &[])
        .check(2, "the bill of materials `nowhere.json` cannot be read");
    bench.write("x.json", "{}");
    bench.run(&["--from-sbom", "x.json"], &[]).check(3, "it is neither CycloneDX");
    let bare = Bench::with_config("services: {api: {build: {}}}");
    bare.write("package-lock.json", LOCK);
    source(&bare, ".").check(2, "nothing says by what the packages of `shop` are judged");
}

#[test]
fn a_report_about_sources_is_judged_with_them() {
    let bare = Bench::with_config("services: {api: {build: {}}}");
    bare.write("package-lock.json", LOCK);
    let report = json!({"auditReportVersion": 2, "vulnerabilities": {}, "metadata": {"vulnerabilities": {"total": 0}}});
    bare.write("audit.json", report.to_string());
    bare.step(&[("INPUT_SOURCE", "."), ("INPUT_REPORT", "audit.json")]).check(0, "0 findings, none blocks");
}

/// What judging an image and judging a bill of it have in common.
fn judged(done: &Done) -> Value {
    let told = told(done);
    let rule =
        |name: &str| told[0]["rules"].as_array().unwrap().iter().find(|rule| rule["rule"] == name).cloned();
    let mut packages = told[0]["inventory"]["packages"].clone();
    for package in packages.as_array_mut().unwrap() {
        package
            .as_object_mut()
            .unwrap()
            .retain(|key, _| !["layer", "madeBy", "path"].contains(&key.as_str()));
    }
    let doubts = told[0]["inventory"]["doubts"].as_array().unwrap().len();
    json!({"blocking": told[0]["blocking"], "vulnerabilities": rule("vulnerabilities"), "packages": packages, "sure": doubts == 0})
}

#[test]
fn a_bill_of_an_image_has_the_findings_of_the_image() {
    let registry = Registry::start(Options::default());
    let package = |name: &str, version: &str, source: &str| {
        format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n{source}Version: {version}\n\n"
        )
    };
    let status = [
        package("libssl3", "3.0.11-1~deb12u2", "Source: openssl\n"),
        package("zlib1g", "1:1.2.13.dfsg-1+b1", "Source: zlib (1:1.2.13.dfsg-1)\n"),
        package("tzdata", "2024a-0+deb12u1", ""),
    ];
    let node = "#define NODE_MAJOR_VERSION 20\n#define NODE_MINOR_VERSION 18\n#define NODE_PATCH_VERSION 1\n";
    let layers = [
        tar(
            "etc/os-release",
            "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
        ),
        tar("var/lib/dpkg/status", &status.concat()),
        tar("app/node_modules/ws/package.json", r#"{"name": "ws", "version": "8.17.0"}"#),
        tar("app/node_modules/@a/b/package.json", r#"{"name": "@a/b", "version": "1.0.0-rc.1+x"}"#),
        tar("usr/local/include/node/node_version.h", node),
    ];
    let layers = layers.each_ref().map(Vec::as_slice);
    let packed = layers.map(gzip);
    let digest =
        registry.seed_image("shop/api", &of_layers(&good(), &layers), &packed.each_ref().map(Vec::as_slice));
    let bench = bench("");
    let image = format!("{}/shop/api@{digest}", registry.host());
    let done = bench.step(&[("INPUT_IMAGE", &image), ("INPUT_SBOM", "out"), ("INPUT_JSON", "true")]);
    done.check(1, "2 findings of HIGH and above");
    let of_image = judged(&done);
    for format in ["cdx", "spdx"] {
        let file = format!("out/shop-api.{format}.json");
        let done = bench.step(&[("INPUT_FROM-SBOM", &file), ("INPUT_JSON", "true")]);
        done.check(1, "2 findings of HIGH and above");
        assert_eq!(judged(&done), of_image, "{format}");
        // A bill of the same packages says the same again.
        let done = bench.step(&[("INPUT_FROM-SBOM", &file), ("INPUT_SBOM", "again"), ("INPUT_JSON", "true")]);
        done.check(1, "2 findings of HIGH and above");
        let again = std::fs::read_dir(bench.path().join("again")).unwrap().map(|entry| entry.unwrap().path());
        let again = again.filter(|path| path.to_str().unwrap().ends_with(&format!(".{format}.json")));
        let again = again.map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>();
        let done = bench.step(&[("INPUT_FROM-SBOM", &again[0]), ("INPUT_JSON", "true")]);
        assert_eq!(judged(&done), of_image, "{format}");
        std::fs::remove_dir_all(bench.path().join("again")).unwrap();
    }
}

#[test]
fn statements_about_the_image_of_a_bill_count() {
    let bench = bench(", vex: [vex.json]");
    let image = format!("sha256:{}", "a".repeat(64));
    let bill = json!({"bomFormat": "CycloneDX", "specVersion": "1.6",
        "metadata": {"component": {"type": "container", "name": "api", "version": image}},
        "components": [{"type": "library", "name": "ws", "version": "8.17.0", "purl": "pkg:npm/ws@8.17.0"}]});
    bench.write("bill.json", bill.to_string());
    let vex = |image: &str| {
        json!({"@context": "https://openvex.dev/ns/v0.2.0", "@id": "x", "author": "x",
        "timestamp": "2026-05-01T00:00:00Z", "version": 1, "statements": [{"vulnerability": {"name": "GHSA-1"},
            "products": [{"@id": format!("pkg:oci/api@{image}")}], "status": "not_affected",
            "justification": "vulnerable_code_not_present"}]}).to_string()
    };
    bench.write("vex.json", vex(&image));
    bench.step(&[("INPUT_FROM-SBOM", "bill.json")]).check(0, "`api` (CycloneDX): 1 findings, none blocks");
    bench.write("vex.json", vex(&image.replace('a', "b")));
    bench.step(&[("INPUT_FROM-SBOM", "bill.json")]).check(1, "first GHSA-1 in ws 8.17.0");
}

#[test]
fn what_a_bill_names_and_nobody_knows_is_no_pass() {
    let bench = bench("");
    let bill = |purl: &str| {
        let bill = json!({"spdxVersion": "SPDX-2.3", "name": "api", "packages": [{"SPDXID": "SPDXRef-1", "name": "x",
            "versionInfo": "1", "externalRefs": [{"referenceType": "purl", "referenceLocator": purl}]}]});
        bench.write("bill.json", bill.to_string());
        bench.step(&[("INPUT_FROM-SBOM", "bill.json")])
    };
    bill("pkg:npm/ws@8.17.1").check(0, "`api` (SPDX): 0 findings");
    bill("pkg:rpm/fedora/bash@5").check(3, "`pkg:rpm/fedora/bash@5` is of nothing that is known here");
    bill("pkg:deb/debian/openssl@3.0.11-1").check(3, "is of nothing that is known here");
    bill("pkg:deb/debian/libssl3@3.0.11-1?distro=debian-12&upstream=openssl")
        .check(1, "CVE-1 in openssl 3.0.11-1");
}

/// The packages that npm itself finds in the lock file of a folder, but those of the project.
fn npm_ls(bench: &Bench, more: &[&str]) -> BTreeSet<(String, String)> {
    fn each(tree: &Value, to: &mut BTreeSet<(String, String)>) {
        for (name, one) in tree["dependencies"].as_object().into_iter().flatten() {
            let is_own = one["resolved"].as_str().is_some_and(|resolved| resolved.starts_with("file:"));
            // One that may be missing has no version.
            if let (Some(version), false) = (one["version"].as_str(), is_own) {
                to.insert((name.clone(), version.to_owned()));
            }
            each(one, to);
        }
    }
    let words = ["ls", "--all", "--json", "--package-lock-only", "--offline"];
    let said = Command::new("npm").args(words).args(more).current_dir(bench.path()).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    let mut packages = BTreeSet::new();
    each(&serde_json::from_slice(&said.stdout).unwrap(), &mut packages);
    packages
}

#[test]
fn npm_finds_the_same_packages_in_lock_files_of_all_its_versions() {
    let manifest = json!({"name": "shop", "version": "1.0.0", "workspaces": ["packages/*"],
        "dependencies": {"debug": "4.3.4", "finalhandler": "1.1.2"}, "devDependencies": {"ws": "8.17.0"},
        "optionalDependencies": {"fsevents": "2.3.3"}});
    let member = json!({"name": "@shop/api", "version": "0.1.0", "dependencies": {"ms": "1.0.0"}});
    for (lock, name) in [
        (include_str!("locks/npm-1.json"), "package-lock.json"),
        (include_str!("locks/npm-2.json"), "package-lock.json"),
        (include_str!("locks/npm-3.json"), "npm-shrinkwrap.json"),
    ] {
        let bench = bench("");
        bench.write("package.json", manifest.to_string());
        bench.write("packages/api/package.json", member.to_string());
        bench.write(name, lock);
        let done = bench.step(&[("INPUT_SOURCE", "."), ("INPUT_JSON", "true")]);
        done.check(1, "GHSA-1 in ws 8.17.0");
        let told = told(&done);
        let packages = told[0]["inventory"]["packages"].as_array().unwrap();
        let named = |is_wanted: &dyn Fn(&Value) -> bool| -> BTreeSet<(String, String)> {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let wanted = packages.iter().filter(|package| is_wanted(package));
            wanted.map(|package| (text(&package["name"]), text(&package["version"]))).collect()
        };
        assert_eq!(named(&|_| true), npm_ls(&bench, &[]), "{lock}");
        assert_eq!(named(&|package| package["isDev"].is_null()), npm_ls(&bench, &["--omit=dev"]), "{lock}");
        assert_eq!((packages.len(), &told[0]["inventory"]["doubts"]), (15, &json!([])), "{lock}");
    }
}
