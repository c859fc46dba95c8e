//! No secret is in any report, whatever a service does with it.

use crate::fixture::{run, shop};

#[tokio::test]
async fn a_password_of_the_address_is_nowhere_although_the_service_says_it() {
    for (canary, written) in [("canary&'7fz", "canary&'7fz"), ("canary<\"+/7fz", "canary%3C%22+%2F7fz")] {
        let url = format!("\"http://me:{written}@{}\"", shop().await);
        let checks = ["{get: /echo, expect: {json: {said: nobody}}}"];
        let step = run(&url, &checks, &["--report", "out"], &[]).await.ends_with(1);
        let mut all = vec![step.stdout(), step.stderr()];
        let files = [
            "out/smoke-test.json",
            "out/smoke-test.xml",
            "out/smoke-test.html",
            "GITHUB_STEP_SUMMARY",
            "GITHUB_OUTPUT",
        ];
        all.extend(files.map(|name| step.file(name)));
        for text in &all {
            assert!(
                text.contains("***") || text.contains("\\*\\*\\*"),
                "the service said it, and this does not tell: {text}"
            );
            for part in ["canary", "7fz", canary] {
                assert!(!text.contains(part), "`{part}` is in {text}");
            }
        }
    }
}
