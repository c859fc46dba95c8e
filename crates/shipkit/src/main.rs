//! The four programs as one file: it does what the one does by whose name it was called. The image holds it once, and a
//! link for each name: what they have in common is stored once, which halves what every job has to pull.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use shipkit_runner::Failure;

/// build-tag, image-scan, deploy-promote and smoke-test in one file, which is called by one of these names.
#[derive(clap::Parser)]
#[command(name = "shipkit", version)]
struct Unnamed {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _given: Vec<OsString>,
}

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    match Path::new(&called).file_name().and_then(|name| name.to_str()) {
        // Users of docker/metadata-action, whose place it takes, give no command.
        Some("build-tag") => shipkit_runner::run_with_default("meta", build_tag::run),
        Some("image-scan") => shipkit_runner::run(image_scan::run),
        Some("deploy-promote") => shipkit_runner::run(deploy_promote::run),
        Some("smoke-test") => shipkit_runner::run(smoke_test::run),
        _ => shipkit_runner::run(|_: Unnamed, _| async {
            Err(Failure::usage("this file is four programs, and was called by the name of none").with_hint(
                "call it through a link named build-tag, image-scan, deploy-promote or smoke-test",
            ))
        }),
    }
}
