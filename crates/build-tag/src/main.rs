//! Runs `build-tag`: plans a build, records it as a release, publishes it; or names images, in place of
//! docker/metadata-action, whose users give no command.

fn main() -> std::process::ExitCode {
    shipkit_runner::run_with_default("meta", build_tag::run)
}
