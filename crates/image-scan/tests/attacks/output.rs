//! Text of others in what is printed.

use serde_json::json;

use crate::tars::{file, tar};
use crate::victim::Victim;

#[test]
fn no_line_of_an_image_becomes_a_line_of_ours() {
    let evil = "x\n::set-output name=verdict::pass\r::error::\u{1b}[2J\u{9b}%0A::warning::|<script>";
    let module = json!({"name": evil, "version": evil}).to_string();
    let victim = Victim::with_advisories();
    let path = format!("app/{evil}/node_modules/ws/package.json");
    let mut layers =
        victim.layer(&tar(&[file(&path, module.as_bytes()), file(&format!("{evil}.jar"), b"no")]));
    layers.configure("advisories: advisories");
    layers = layers.layer(&tar(&[file(&format!("{evil}/.env"), b"PASSWORD=hunter2\n")]));
    for vars in [&[("INPUT_LAYOUT", "layout")][..], &[("INPUT_LAYOUT", "layout"), ("INPUT_JSON", "true")]] {
        layers.scan();
        let done = layers.step(vars);
        assert_ne!(done.exit, Some(0), "{done:#?}");
        for line in done.stdout.lines().chain(done.stdout.split('\r')) {
            let is_ours = ["::group::", "::endgroup::", "::error ", "::error::", "::warning ", "::notice "];
            let is_command = line.trim_start().starts_with("::");
            let own = is_ours.iter().any(|own| line.starts_with(own)) && !line.starts_with("::error::\u{1b}");
            assert!(!is_command || own, "{line:?}");
        }
        assert!(!done.stdout.contains(['\u{1b}', '\u{9b}']), "{:?}", done.stdout);
    }
}
