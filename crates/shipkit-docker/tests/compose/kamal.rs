//! kamal-proxy: what people said to it stays said, and what it does not take is told.

use serde_json::Value;
use shipkit_core::Hint as _;
use shipkit_core::exit::ExitCode;
use shipkit_core::target::Replacement;
use shipkit_tests::container::docker;

use crate::bed::{API, Bed, KAMAL, ONE, WORKER, replaced, service};

/// What it keeps of `api`.
fn kept(bed: &Bed) -> Value {
    let services: Value = serde_json::from_str(&bed.conf()).unwrap();
    services.as_array().unwrap().iter().find(|service| service["name"] == "api").unwrap().clone()
}

fn kamal(bed: &Bed, words: &[&str]) -> String {
    docker(&[&["exec", &bed.id("edge"), "kamal-proxy"], words].concat())
}

/// The problems and the remarks before a deploy.
async fn found(bed: &Bed, desired: &shipkit_core::target::Desired) -> (Vec<String>, Vec<String>) {
    let compose = bed.compose().await;
    let desired = compose.complete(desired.clone()).await.unwrap();
    let found = compose.preflight(&desired, &compose.observe().await.unwrap(), None).await.unwrap();
    (found.problems.iter().map(ToString::to_string).collect(), found.remarks)
}

#[tokio::test]
async fn what_people_said_of_a_service_outlasts_deploys_a_rollback_and_a_restart() {
    let mut bed = Bed::kamal("said");
    bed.write(&[("api", ONE), ("edge", KAMAL)]);
    let (one, two) = (bed.good("1"), bed.good("2"));
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    let id = bed.id("api");
    let target = format!("--target={}:8080", id.split_at(12).0);
    assert_eq!(kept(&bed)["active_targets"][0], target.split_once('=').unwrap().1);
    let said = "--host=shop.example --host=10.0.0.1 --path-prefix=/ --path-prefix=/shop --strip-path-prefix=false \
                --target-timeout=7s --health-check-path=/ready --health-check-interval=300ms --buffer-requests \
                --max-request-body=1000 --log-request-header=X-A --forward-headers=false --writer-affinity-timeout=2s";
    kamal(&bed, &[vec!["deploy", "api", &target], said.split_whitespace().collect()].concat());
    let (options, target_options) = (kept(&bed)["options"].clone(), kept(&bed)["target_options"].clone());
    assert_eq!(options["hosts"].as_array().unwrap().len(), 2);
    assert_eq!(target_options["health_check_config"]["interval"], 300_000_000);
    let second = bed.release(vec![service("api", &two)]);
    let same = |bed: &Bed| {
        let now = kept(bed);
        assert_eq!((&now["options"], &now["target_options"]), (&options, &target_options));
    };
    bed.deploy(&second).await;
    same(&bed);
    bed.check_containers("api", &[(&two, "running", 1), (&one, "exited", 1)]);
    bed.rollback().await;
    same(&bed);
    assert_eq!(kept(&bed)["active_targets"], serde_json::json!([target.split_once('=').unwrap().1]));
    docker(&["restart", &bed.id("edge")]);
    same(&bed);
    bed.deploy(&second).await;
    same(&bed);
}

#[tokio::test]
async fn a_service_of_which_nothing_says_where_to_ask_it_is_refused() {
    let mut bed = Bed::kamal("unasked");
    let one = bed.good("1");
    bed.project.ready.clear();
    let first = bed.release(vec![service("api", &one)]);
    let expected =
        "kamal-proxy asks the containers of `api` whether they can serve, and nothing says at which path";
    assert_eq!(found(&bed, &first).await.0, [expected]);
    bed.project.ready.insert("api".to_owned(), "/ready".to_owned());
    assert_eq!(found(&bed, &first).await.0, Vec::<String>::new());
    bed.deploy(&first).await;
    // It knows that now.
    bed.project.ready.clear();
    assert_eq!(found(&bed, &first).await.0, Vec::<String>::new());
    let two = bed.good("2");
    let second = bed.release(vec![service("api", &two)]);
    bed.deploy(&second).await;
    assert_eq!(bed.answer(), r#"{"version":"2"}"#);
    assert_eq!(kept(&bed)["target_options"]["health_check_config"]["path"], "/ready");
    bed.write(&[
        ("api", API),
        ("edge", &KAMAL.replace("shipkit:/home/kamal-proxy/.config", "shipkit:/other")),
    ]);
    let said = found(&bed, &second).await.0;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].ends_with("which is kamal-proxy, is not on a volume"), "{said:?}");
}

#[tokio::test]
async fn what_does_not_answer_at_its_path_gets_no_traffic() {
    let mut bed = Bed::kamal("deaf");
    // No health check: kamal-proxy is the first to ask it.
    bed.write(&[("api", &WORKER.replace("worker", "api")), ("edge", KAMAL)]);
    let (one, deaf) = (bed.good("1"), bed.image("2", &["/container", "serve"]));
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    let before = kept(&bed);
    let second = bed.release(vec![service("api", &deaf)]);
    let error = bed.try_deploy(&second).await.unwrap_err();
    let expected = "kamal-proxy, the service `edge`, does not send the traffic of `api` elsewhere: target failed to \
                    become healthy";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert_eq!(error.exit_code(), ExitCode::No);
    assert_eq!(kept(&bed), before);
    assert_eq!(bed.answer(), r#"{"version":"1"}"#);
    bed.deploy(&first).await;
    bed.check_containers("api", &[(&one, "running", 1)]);
}

#[tokio::test]
async fn what_somebody_stopped_is_said_and_goes_on_with_the_next_release() {
    let mut bed = Bed::kamal("stopped");
    bed.write(&[("api", ONE), ("edge", KAMAL)]);
    let (one, two) = (bed.good("1"), bed.good("2"));
    let first = bed.release(vec![replaced(service("api", &one), Replacement::Recreate)]);
    bed.deploy(&first).await;
    kamal(&bed, &["stop", "api", "--drain-timeout=0s"]);
    assert!(!bed.answer().contains("version"));
    let second = bed.release(vec![replaced(service("api", &two), Replacement::Recreate)]);
    let (problems, remarks) = found(&bed, &second).await;
    assert_eq!(problems, Vec::<String>::new());
    assert!(remarks.iter().any(|said| said.contains("passes no request on to `api`")), "{remarks:?}");
    bed.deploy(&second).await;
    assert_eq!(bed.answer(), r#"{"version":"2"}"#);
    // Where one comes after the other, nobody gets traffic in between.
    let steps = bed.rollback().await;
    assert_eq!(steps[0], "send the traffic to nobody");
    assert_eq!(bed.answer(), r#"{"version":"1"}"#);
}
