//! Texts that are huge, deep, or say a thing twice.

use serde_json::json;

use crate::tars::{DEBIAN, STATUS, file, tar};
use crate::victim::{CONFIG, Victim, refused};

const LARGE: usize = (16 << 20) + 1;

/// Looks at an image with this file.
fn with(path: &str, content: &[u8]) -> shipkit_tests::step::Done {
    Victim::with_advisories().layer(&tar(&[file(path, content)])).scan()
}

#[test]
fn a_package_json_is_as_deep_as_node_reads_it() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = format!("{}1{}", open.repeat(200_000), close.repeat(200_000));
        let text = format!(r#"{{"x": {deep}, "name": "ws", "version": "1.0.0"}}"#);
        with("app/node_modules/ws/package.json", text.as_bytes()).check(0, "it holds packages: 1 of npm");
    }
}

#[test]
fn the_last_of_two_names_counts_as_in_node() {
    let text = br#"{"name": "fake", "version": "9", "name": "ws", "version": "1.0.0", "version": "1.0.1"}"#;
    let victim = Victim::with_advisories();
    victim.advise("npm", "ws", &json!([{"introduced": "1.0.1"}, {"fixed": "1.0.2"}]));
    let done = victim.layer(&tar(&[file("app/node_modules/ws/package.json", text)])).scan();
    done.check(1, "in ws 1.0.1, fixed in 1.0.2");
}

#[test]
fn what_is_too_large_to_be_read_is_missed() {
    let padded = |text: &str| [text.as_bytes(), &vec![b' '; LARGE]].concat();
    let module = padded(r#"{"name": "ws", "version": "1.0.0"}"#);
    for (path, content) in [
        ("app/node_modules/ws/package.json", module.clone()),
        ("usr/lib/python3/x-1.dist-info/METADATA", padded("Name: x\nVersion: 1\n\n")),
        ("usr/lib/python3/x.egg-info", padded("Name: x\nVersion: 1\n\n")),
        ("lib/apk/db/installed", padded("P:x\nV:1\n\n")),
    ] {
        refused(&with(path, &content), &format!("`{path}` cannot be read: it is larger than 16777216 bytes"));
    }
    let status = [STATUS, &vec![b'\n'; LARGE]].concat();
    let layer = tar(&[file("etc/os-release", DEBIAN), file("var/lib/dpkg/status", &status)]);
    refused(&Victim::with_advisories().layer(&layer).scan(), "larger than 16777216 bytes");
    // Where nobody loads it, it is nobody's package.
    with("app/package.json", &module).check(0, "");
}

#[test]
fn long_names_and_odd_bytes_are_no_packages() {
    let long = "x".repeat(100_000);
    for (path, text) in [
        ("usr/lib/python3/x-1.dist-info/METADATA", format!("Name: {long}\nVersion: 1\n")),
        ("usr/lib/python3/x-1.dist-info/METADATA", "Name: x\n".repeat(100_000)),
        ("lib/apk/db/installed", format!("P:a\nV:{long}\n\n")),
        ("lib/apk/db/installed", "P:a\n".repeat(100_000)),
        ("lib/apk/db/installed", "\0\u{1b}[31m".repeat(1000)),
    ] {
        refused(&with(path, text.as_bytes()), &format!("`{path}` cannot be read"));
    }
    let status = b"Package: x\nStatus: install ok installed\nVersion: 1\n".repeat(1000);
    let layer = tar(&[
        file("etc/os-release", DEBIAN),
        file("var/lib/dpkg/status", &[&status[..], b"\n\n\xff\xfe: \0"].concat()),
    ]);
    refused(&Victim::with_advisories().layer(&layer).scan(), "cannot be read");
}

#[test]
fn a_configuration_is_as_large_and_as_deep_as_one_can_be() {
    let victim = Victim::new();
    let mut config = victim.config();
    let scan = |config: &[u8]| {
        let mut manifest = victim.manifest();
        manifest["config"] = victim.blob(CONFIG, config);
        victim.scan_manifest(manifest.to_string().as_bytes())
    };
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let text = config.to_string();
    scan(format!(r#"{{"x": {deep}, {}"#, text.trim_start_matches('{')).as_bytes()).check(0, "unpacked");
    let ports = text.replace(r#""User""#, &format!(r#""ExposedPorts": {{"80/tcp": {deep}}}, "User""#));
    refused(&scan(ports.as_bytes()), "the configuration of");
    config["history"] = vec![json!({"created_by": "RUN x"}); 300_000].into();
    config["config"]["Env"] = vec![json!("A_TOKEN=1"); 100_000].into();
    refused(&scan(config.to_string().as_bytes()), "the configuration of");
    config["config"]["Labels"]["x"] = json!("x".repeat(8 << 20));
    refused(&scan(config.to_string().as_bytes()), "larger than 8388608 bytes");
}

#[test]
fn a_manifest_is_as_large_and_as_deep_as_one_can_be() {
    let victim = Victim::new();
    let mut manifest = victim.manifest();
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let text = manifest.to_string();
    let done = victim.scan_manifest(format!(r#"{{"x": {deep}, {}"#, text.trim_start_matches('{')).as_bytes());
    assert!(matches!(done.exit, Some(0 | 3)), "{done:#?}");
    manifest["annotations"] = json!({"x": "x".repeat(4 << 20)});
    refused(&victim.scan_manifest(manifest.to_string().as_bytes()), "larger than 4194304 bytes");
}
