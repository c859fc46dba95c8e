//! Rule files of Prometheus, judged as the real promtool judges them.

use std::process::Command;

use shipkit_core::config::check_rule_file;

use crate::bed::Step;

/// A file that holds one rule.
fn rule(lines: &str) -> String {
    let lines = lines.replace('\n', "\n      ");
    format!("groups:\n  - name: api\n    rules:\n    -\n      {lines}\n")
}

/// What it is, the file, and whether Prometheus takes it.
fn files() -> Vec<(&'static str, String, bool)> {
    let alert = |expression: &str| rule(&format!("alert: A\nexpr: {expression}"));
    let ratio = "sum by (job) (rate(http_requests_total{status=~\"5..\"}[5m]))\n  / sum by (job) (rate(http_requests_total[5m])) > 0.05";
    vec![
        (
            "an alert",
            rule(&format!(
                "alert: A\nexpr: |\n  {ratio}\nfor: 2m\nlabels: {{severity: page}}\nannotations: {{summary: 'it is {{{{ $value }}}}'}}"
            )),
            true,
        ),
        (
            "a recording",
            rule("record: job:requests:rate5m\nexpr: sum by (job) (rate(requests_total[5m]))"),
            true,
        ),
        ("a number as a label", rule("alert: A\nexpr: up == 0\nlabels: {level: 1, empty: }"), true),
        ("a quantile", alert("histogram_quantile(0.95, sum by (le) (rate(a_bucket[5m]))) > 1"), true),
        ("a subquery", alert("max_over_time(rate(a[1m])[10m:30s] offset 1h) > 1"), true),
        ("a join", alert("a * on (job) group_left (team) b > 1"), true),
        ("a number alone", alert("1"), true),
        ("absent", alert("absent(up{job=\"api\"})"), true),
        ("set operators", alert("a and b unless c or d"), true),
        ("an unclosed bracket", alert("sum(rate(a[5m])"), false),
        ("a rate of no range", alert("rate(a) > 1"), false),
        ("a range alone", alert("a[5m] > 1"), false),
        ("no such function", alert("rat(a[5m])"), false),
        ("a comparison with a text", alert("up == \"1\""), false),
        ("a selector of everything", alert("'{job=~\".*\"}'"), false),
        ("a bad regular expression", alert("a{b=~\"(\"}"), false),
        ("words", alert("the api is down"), false),
        ("no expression", rule("alert: A\nexpr: ''"), false),
        ("neither alert nor record", rule("expr: up == 0"), false),
        ("both", rule("alert: A\nrecord: b\nexpr: up == 0"), false),
        ("a recording with `for`", rule("record: b\nexpr: up\nfor: 5m"), false),
        ("a recording with annotations", rule("record: b\nexpr: up\nannotations: {a: b}"), false),
        ("a name with labels", rule("record: 'b{c=\"d\"}'\nexpr: up"), false),
        ("a duration without a unit", rule("alert: A\nexpr: up == 0\nfor: 5"), false),
        ("a duration in words", rule("alert: A\nexpr: up == 0\nfor: 5 minutes"), false),
        ("a reserved label", rule("alert: A\nexpr: up == 0\nlabels: {__name__: b}"), false),
        (
            "a template without an end",
            rule("alert: A\nexpr: up == 0\nannotations: {a: 'x {{ $value'}"),
            false,
        ),
        ("an unknown key", rule("alert: A\nexpr: up == 0\nseverity: page"), false),
        ("two groups of one name", format!("{}{}", alert("up"), alert("up").replace("groups:\n", "")), false),
        ("a group without a name", alert("up").replace("name: api", "name: ''"), false),
        ("a list of labels", rule("alert: A\nexpr: up == 0\nlabels: [a]"), false),
        ("not YAML", "groups: [\n".to_owned(), false),
    ]
}

#[test]
fn a_rule_file_is_judged_as_promtool_judges_it() {
    let promtool = std::env::var("PROMTOOL").expect("`scripts/bed up prometheus` says where promtool is");
    let folder = tempfile::tempdir().unwrap();
    for (what, text, is_good) in files() {
        let file = folder.path().join("rules.yml");
        std::fs::write(&file, &text).unwrap();
        let asked = Command::new(&promtool).args(["check", "rules"]).arg(&file).output().unwrap();
        assert_eq!(asked.status.success(), is_good, "promtool, {what}: {asked:?}\n{text}");
        let ours = check_rule_file("rules.yml", &text);
        assert_eq!(ours.is_ok(), is_good, "{what}: {ours:?}\n{text}");
    }
}

#[test]
fn a_file_without_rules_is_refused_though_prometheus_takes_it() {
    for text in ["groups: []\n", "groups:\n  - {name: a, rules: []}\n"] {
        let error = check_rule_file("rules.yml", text).unwrap_err();
        assert!(error.to_string().contains("the file holds no rule"), "{error}");
    }
}

#[test]
fn what_prometheus_would_refuse_is_told_with_its_line_before_anything_is_asked() {
    let config = "version: 1\nname: shop\nregistry: localhost:1/shop\nservices:\n  api:\n    build: {context: api}\n\
                  environments:\n  staging:\n    target: {type: swarm, rule_files: [alerts.yml, more.yml, missing.yml]}\n";
    let release = format!("sha256:{}", "0".repeat(64));
    let step = Step::new("deploy", config).input("environment", "staging").input("release", &release);
    let step = step.file("alerts.yml", &rule("alert: A\nexpr: rate(up) > 1\nfor: 5"));
    let run = step.file("more.yml", &rule("alert: A\nexpr: up == 0")).run();
    let run = run.ended(2, "alerts.yml");
    for part in [
        "this is not PromQL: expected type matrix",
        "`5` is not a duration of Prometheus",
        "the rule file `missing.yml` cannot be read",
    ] {
        assert!(run.stderr.contains(part), "{part}: {run:#?}");
    }
    assert!(!run.stderr.contains("more.yml"), "{run:#?}");
}
