//! Versions that take long to compare, in every order. Both sides are hostile: what is installed, and what advisories say.

use serde_json::json;

use crate::tars::{DEBIAN, file, tar};
use crate::victim::Victim;

/// Forms that make a careless comparison take long, as long as they may be and much longer.
fn hostile(length: usize) -> Vec<String> {
    let forms = [
        "1", "1.", "1-", "1.1-", "0", "a", "1a", "a1.", "~", "1~", "_p1", "_alpha", "-r1", "1.0.0-a.", "1!",
        "1+a.", "alpha-", "-1", ".", "9", "00", "1.post", "1rc", "\u{1f}", "é",
    ];
    let repeated = forms
        .iter()
        .map(|form| form.repeat(length / form.len() + 1).chars().take(length).collect::<String>());
    let led = forms
        .iter()
        .map(|form| format!("1.0.0-{}", form.repeat(length / form.len() + 1)).chars().take(length).collect());
    repeated.chain(led).collect()
}

#[test]
fn no_order_takes_long_or_breaks() {
    let victim = Victim::with_advisories();
    let events = |length| -> Vec<_> {
        let versions = hostile(length);
        versions
            .iter()
            .flat_map(|version| [json!({"introduced": version}), json!({"fixed": version})])
            .collect()
    };
    let both = json!([events(512), events(20_000)].concat());
    for ecosystem in ["npm", "PyPI", "Maven", "Debian:12", "Go", "crates.io"] {
        victim.advise(ecosystem, "hostile", &both);
    }
    let mut files = vec![("etc/os-release".to_owned(), DEBIAN.to_vec())];
    let mut status = String::new();
    for (number, version) in hostile(500).iter().enumerate() {
        status.extend(["Package: hostile\nStatus: install ok installed\nVersion: ", version, "\n\n"]);
        let module = json!({"name": "hostile", "version": version}).to_string();
        files.push((format!("{number}/node_modules/hostile/package.json"), module.into_bytes()));
        let metadata = format!("Name: hostile\nVersion: {version}\n");
        files.push((format!("{number}/hostile-1.dist-info/METADATA"), metadata.into_bytes()));
    }
    files.push(("var/lib/dpkg/status".to_owned(), status.into_bytes()));
    let files: Vec<_> = files.iter().map(|(path, content)| file(path, content)).collect();
    let done = victim.layer(&tar(&files)).scan();
    // What no rule orders is in doubt, and never without a finding.
    assert!(matches!(done.exit, Some(1 | 3)), "{:?} {:.3000}", done.exit, done.stderr);
}
