//! No secret is in any report, whatever a service does with it.

use crate::fixture::{Step, run, shop, step};

/// Passwords, as they are sent and as they stand in an address.
const CANARIES: [(&str, &str); 2] =
    [("canary&'7fz", "canary&'7fz"), ("canary<\"+/7fz", "canary%3C%22+%2F7fz")];

#[track_caller]
fn check(step: &Step, canary: &str) {
    let files = [
        "out/smoke-test.json",
        "out/smoke-test.xml",
        "out/smoke-test.html",
        "GITHUB_STEP_SUMMARY",
        "GITHUB_OUTPUT",
    ];
    let mut all = vec![step.stdout(), step.stderr()];
    all.extend(files.map(|name| step.file(name)));
    for text in &all {
        for part in ["canary", "7fz", canary] {
            assert!(!text.contains(part), "`{part}` is in {text}");
        }
    }
    // The service said it.
    for text in &all[2..5] {
        assert!(text.contains("***"), "{text}");
    }
}

#[tokio::test]
async fn a_password_of_the_address_is_nowhere_although_the_service_says_it() {
    for (canary, written) in CANARIES {
        let url = format!("\"http://me:{written}@{}\"", shop().await);
        let checks = ["{get: /echo, expect: {json: {said: nobody}}}", "release: /version"];
        let step = run(&url, &checks, &["--release", "1.4.0", "--report", "out"], &[]).await.ends_with(1);
        check(&step, canary);
    }
}

#[tokio::test]
async fn a_password_that_calls_itself_a_release_is_nowhere_either() {
    for (canary, written) in CANARIES {
        let url = format!("http://me:{written}@{}", shop().await);
        let watched =
            ["watch", "--url", &url, "--revision-path", "/echo", "--duration", "1s", "--report", "out"];
        check(&step("", &watched, &[]).await.ends_with(0), canary);
        let released =
            ["run", "--url", &url, "--revision-path", "/echo", "--release", "1.4.0", "--deadline", "3s"];
        let args = [&released[..], &["--ready-path", "/health", "--report", "out"]].concat();
        check(&step("", &args, &[]).await.ends_with(1), canary);
    }
}
