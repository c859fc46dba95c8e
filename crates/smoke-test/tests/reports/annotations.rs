//! Of a step, GitHub shows ten errors and ten warnings.

use crate::fixture::{run, shop};

#[tokio::test]
async fn the_first_annotation_sums_up_and_the_worst_nine_follow_on_their_lines() {
    let unclear = "{get: /limited, expect: {p95: 500ms}}";
    let bad: Vec<String> =
        (0..11).map(|n| format!("{{get: '/items?{n}', expect: {{status: 404}}}}")).collect();
    let checks: Vec<&str> = [unclear].into_iter().chain(bad.iter().map(String::as_str)).collect();
    let env = [("GITHUB_ACTIONS", "true")];
    let step = run(&format!("http://{}", shop().await), &checks, &[], &env).await.ends_with(1);
    let stderr = step.stderr();
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("::error ")).collect();
    assert_eq!(errors.len(), 10, "{stderr}");
    assert!(errors[0].starts_with("::error title=smoke-test%3A fail::"), "{}", errors[0]);
    for (n, error) in errors[1..].iter().enumerate() {
        // The first check stands in line 9.
        let start = format!(
            "::error file=shipkit.yml,line={},title=get /items?{n}::status 200, not 404%0Arepeat with: curl",
            10 + n
        );
        assert!(error.starts_with(&start), "{error}");
    }
    // What is not shown at the run is in the log.
    for told in ["error: get /items?10: status 200, not 404", "error: get /limited: p95 was not measured"] {
        assert!(stderr.contains(told), "{stderr}");
    }
}
