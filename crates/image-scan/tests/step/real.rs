//! The packages of real images, against what their own package managers and Go say of them.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use shipkit_tests::container::{docker, push};

use crate::bench::Bench;

/// Debian with one program of Go above it.
const IMAGE: &str = "shipkit-test/kamal-proxy:0.9";
const PROGRAM: &str = "usr/local/bin/kamal-proxy";

/// The packages of an image, one way or the other.
type Packages = BTreeSet<Vec<String>>;

fn words(lines: &str) -> Packages {
    lines.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// The modules that Go itself finds in a program, and its own version.
fn modules(program: &std::path::Path) -> Packages {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/bed-kubernetes");
    let found = Command::new(script).arg("go").output().unwrap();
    assert!(found.status.success(), "{found:?}");
    let go = String::from_utf8(found.stdout).unwrap();
    let said = Command::new(go.trim()).args(["version", "-m"]).arg(program).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let mut packages = Packages::new();
    for line in said.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [_, version] if version.starts_with("go1.") => {
                packages.insert(vec!["stdlib".to_owned(), version.trim_start_matches("go").to_owned()]);
            }
            ["mod" | "dep", name, version, ..] if version != "(devel)" => {
                packages.insert(vec![name.to_owned(), version.to_owned()]);
            }
            _ => {}
        }
    }
    packages
}

#[test]
fn a_debian_image_with_a_go_program_holds_what_dpkg_and_go_say() {
    let registry = std::env::var("REGISTRY").expect("`scripts/bed up` and `. target/bed.env` first");
    let tagged = format!("{registry}/{IMAGE}");
    docker(&["tag", IMAGE, &tagged]);
    let image = push(&tagged);
    let bench = Bench::new();
    let done = bench.step(&[("INPUT_IMAGE", &image), ("INPUT_JSON", "true"), ("INPUT_DRY_RUN", "true")]);
    let told: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:#?}"));
    let inventory = &told[0]["inventory"];
    assert_eq!(
        (inventory["system"].as_str(), &inventory["doubts"]),
        (Some("Debian GNU/Linux 12 (bookworm)"), &Value::Array(Vec::new()))
    );
    let packages = inventory["packages"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();

    let format = "${db:Status-Status} ${Package} ${Version} ${source:Package} ${source:Version}\\n";
    let said = docker(&["run", "--rm", IMAGE, "dpkg-query", "--show", &format!("--showformat={format}")]);
    let expected =
        said.lines().filter_map(|line| line.strip_prefix("installed ")).collect::<Vec<_>>().join("\n");
    let of_debian = packages.iter().filter(|package| package["ecosystem"] == "Debian:12");
    let found: Packages = of_debian
        .clone()
        .map(|package| {
            let parts = [&package["name"], &package["version"], &package["source"][0], &package["source"][1]];
            parts.map(text).to_vec()
        })
        .collect();
    assert_eq!(found, words(&expected));
    assert!(of_debian.clone().all(|package| package["layer"] == 0));

    let made = docker(&["create", IMAGE]);
    let program = bench.path().join("program");
    docker(&["cp", &format!("{made}:/{PROGRAM}"), program.to_str().unwrap()]);
    docker(&["rm", &made]);
    let of_go = packages.iter().filter(|package| package["ecosystem"] == "Go");
    let found: Packages =
        of_go.clone().map(|package| [&package["name"], &package["version"]].map(text).to_vec()).collect();
    assert_eq!(found, modules(&program));
    assert!(found.len() > 5, "{found:?}");
    assert!(
        of_go.clone().all(|package| package["layer"] == 1 && package["path"] == PROGRAM),
        "{packages:#?}"
    );
}

/// The packages that are told of an image.
fn told(bench: &Bench, vars: &[(&str, &str)]) -> Value {
    let done = bench.step(&[vars, &[("INPUT_JSON", "true"), ("INPUT_DRY_RUN", "true")]].concat());
    let told: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:#?}"));
    told[0]["inventory"].clone()
}

#[test]
fn an_image_of_the_engine_or_saved_by_it_holds_what_it_holds_at_a_registry() {
    let registry = std::env::var("REGISTRY").expect("`scripts/bed up` and `. target/bed.env` first");
    let tagged = format!("{registry}/{IMAGE}");
    docker(&["tag", IMAGE, &tagged]);
    let bench = Bench::new();
    let pushed = told(&bench, &[("INPUT_IMAGE", &push(&tagged))]);
    assert!(pushed["packages"].as_array().unwrap().len() > 50, "{pushed}");
    assert_eq!(told(&bench, &[("INPUT_DAEMON", IMAGE)]), pushed);
    let id = docker(&["image", "inspect", "--format", "{{.Id}}", IMAGE]);
    assert_eq!(told(&bench, &[("INPUT_DAEMON", id.trim())]), pushed);
    let saved = bench.path().join("saved.tar");
    docker(&["save", "--output", saved.to_str().unwrap(), IMAGE]);
    assert_eq!(told(&bench, &[("INPUT_LAYOUT", "saved.tar")]), pushed);
    bench.step(&[("INPUT_DAEMON", "shipkit-test/none:1")]).check(2, "has no image");
}
