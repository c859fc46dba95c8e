//! Runs `image-scan`: judges the images of a release by a policy.

fn main() -> std::process::ExitCode {
    shipkit_runner::run(image_scan::run)
}
