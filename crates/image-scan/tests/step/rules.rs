//! Rules about what a build left in an image.

use serde_json::{Value, json};
use shipkit_tests::server::registry::{Options, Registry};
use shipkit_tests::step::Done;

use crate::bench::{Bench, good, gzip, of_layers, scans};
use crate::pushed::tar;

/// Judges an image of these layers by `scan`, with all that it says as JSON.
fn judge(scan: &str, change: impl FnOnce(&mut Value), layers: &[&[u8]]) -> Done {
    let registry = Registry::start(Options::default());
    let host = registry.host();
    let services = "services: {api: {build: {}, port: 8080}}";
    let bench = Bench::with_config(&format!("registry: {host}/shop\n{services}\nscan: {scan}"));
    let mut config = of_layers(&good(), layers);
    change(&mut config);
    let packed: Vec<_> = layers.iter().map(|layer| gzip(layer)).collect();
    let packed: Vec<_> = packed.iter().map(Vec::as_slice).collect();
    let digest = registry.seed_image("shop/api", &config, &packed);
    let image = format!("{host}/shop/api@{digest}");
    let done = bench.step(&[("INPUT_IMAGE", &image), ("INPUT_JSON", "true")]);
    let kept = scans(&host, "shop/api", &digest);
    assert!(kept.iter().all(|record| record.verdict.to_string() == done.output("verdict")), "{kept:?}");
    assert!(!format!("{done:?}{kept:?}").contains("hunter2"), "{done:#?}");
    done
}

const SECRETS: &str = "{policy: [no-secrets]}";

#[test]
fn a_secret_in_the_settings_of_an_image_fails_and_is_never_shown() {
    judge(SECRETS, |config| config["config"]["Env"] = json!(["PATH=/bin", "DB_PASSWORD=hunter2"]), &[])
        .check(1, "it holds secrets: a password or token in `ENV DB_PASSWORD`. Change them");
    judge(SECRETS, |config| config["config"]["Labels"] = json!({"acme.token": "hunter2"}), &[])
        .check(1, "in the label `acme.token`");
    judge(SECRETS, |config| config["config"]["Env"] = json!(["DB_PASSWORD_FILE=/run/secrets/x"]), &[])
        .check(0, "`api` (linux/amd64): ");
}

#[test]
fn a_secret_in_a_step_is_shown_nowhere_not_even_with_packages() {
    let layer = tar("app/node_modules/ws/package.json", r#"{"name": "ws", "version": "8.17.1"}"#);
    let step = json!([{"created_by": "RUN |1 NPM_TOKEN=hunter2 /bin/sh -c npm ci # buildkit"}]);
    let done = judge(SECRETS, |config| config["history"] = step.clone(), &[&layer]);
    done.check(1, "in the step `RUN |1 NPM_TOKEN=*** /bin/sh -c npm ci`");
    assert!(done.stdout.contains("NPM_TOKEN=*** /bin/sh"), "{}", done.stdout);
    // It stays out of what is told also where nobody asks for the rule.
    judge("{policy: [non-root]}", |config| config["history"] = step, &[&layer]).check(0, "pass: ");
}

#[test]
fn a_file_that_a_later_layer_deletes_can_still_be_pulled() {
    let layers = [tar("app/.npmrc", "//r.dev/:_authToken=hunter2"), tar("app/.wh..npmrc", "")];
    let layers = layers.each_ref().map(Vec::as_slice);
    let history = json!([{"created_by": "COPY . /app # buildkit"}, {"created_by": "RUN rm /app/.npmrc"}]);
    let done = judge(SECRETS, |config| config["history"] = history, &layers);
    done.check(
        1,
        "a login of npm in `app/.npmrc` (layer 0, made by `COPY . /app`), which a later layer hides",
    );
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    let expected = json!([{"what": "a login of npm", "path": "app/.npmrc", "layer": 0, "madeBy": "COPY . /app # buildkit",
        "isGone": true}]);
    assert_eq!(told[0]["traces"]["leaks"], expected);
    judge(SECRETS, |_| (), &[&tar("app/.npmrc", "//r.dev/:_authToken=${NPM_TOKEN}")]).check(0, "");
}

#[test]
fn rights_caches_and_ports_are_judged_where_they_are_asked_for() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o4755);
    builder.append_data(&mut header, "app/run", &b"x"[..]).unwrap();
    let setuid = builder.into_inner().unwrap();
    judge("{policy: [no-setuid]}", |_| (), &[&setuid])
        .check(1, "that no package of the system brought: `app/run`.");
    let cache = tar("var/lib/apt/lists/x", "1234");
    judge("{policy: [no-package-cache]}", |_| (), &[&cache])
        .check(1, "caches of package managers take 4 B: 4 B of apt in `var/lib/apt/lists`");
    let ports = |exposed: Value| {
        judge("{policy: [exposed-ports]}", |config| config["config"]["ExposedPorts"] = exposed, &[])
    };
    ports(json!({"8080/tcp": {}})).check(0, "");
    ports(json!({"8080/tcp": {}, "22/tcp": {}}))
        .check(1, "it exposes what it should not: `22/tcp`: 22 is SSH");
    ports(json!({"9090/tcp": {}})).check(1, "`9090/tcp`: the service listens on 8080");
    // Nothing of this is said where nobody asks for it.
    let done = judge("{policy: [non-root]}", |_| (), &[&setuid, &cache]);
    done.check(0, "`api` (linux/amd64): ");
}

#[test]
fn every_budget_is_about_every_image_and_says_what_is_over() {
    let large = "x".repeat(20_000);
    let layers = [tar("app/a", &large), tar("app/.wh.a", ""), tar("app/b", "1")];
    let layers = layers.each_ref().map(Vec::as_slice);
    let history =
        json!([{"created_by": "COPY a /app"}, {"created_by": "RUN rm a"}, {"created_by": "COPY b /app"}]);
    let limits = |limits: &str| {
        let scan = format!("{{image: {{limits: {{{limits}}}}}}}");
        judge(&scan, |config| config["history"] = history.clone(), &layers)
    };
    let fits = limits("compressed: 1k");
    fits.check(0, "unpacked");
    assert!(fits.summary.contains("unpacked, budget 1.0 kB compressed"), "{}", fits.summary);
    limits("compressed: 0k").check(1, "it is larger than its budget of 0 B compressed");
    limits("unpacked: 20k").check(1, "it is larger than its budget of 20.0 kB unpacked");
    limits("unpacked: 1M, wasted: 20k, layers: 3").check(0, "unpacked");
    limits("wasted: 19k").check(
        1,
        "later layers replace or remove 20.0 kB of its files, over the budget of 19.0 kB; most of it is 20.0 kB in `app/a` \
         (layer 0, made by `COPY a /app`)",
    );
    limits("layers: 2").check(1, "it has 3 layers, over the budget of 2");
    limits("wasted: much").check(2, "scan.image.limits.wasted: `much` is not a size");
    limits("wasted_bytes: 1k").check(2, "wasted_bytes");
}
