//! Runs `smoke-test`: checks from outside that a release answers as it should.

fn main() -> std::process::ExitCode {
    shipkit_runner::run(smoke_test::run)
}
