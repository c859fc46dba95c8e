//! Runs `build-tag`: plans a build, records it as a release, publishes it.

fn main() -> std::process::ExitCode {
    shipkit_runner::run(build_tag::run)
}
