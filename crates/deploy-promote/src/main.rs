//! Runs `deploy-promote`: deploys a release to an environment, verifies it, can take it back.

fn main() -> std::process::ExitCode {
    shipkit_runner::run(deploy_promote::run)
}
