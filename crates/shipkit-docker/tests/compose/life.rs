//! What a release goes through that has nothing wrong with it.

use std::collections::BTreeMap;
use std::net::TcpListener;

use shipkit_core::target::{self, Change, DesiredService, Replacement};
use shipkit_core::{ImageRef, Secret};
use shipkit_tests::container::docker;

use crate::bed::{Bed, ONE, PROXY, WORKER, replaced, service};

#[tokio::test]
async fn a_release_comes_behind_nginx_is_replaced_and_comes_back_from_what_was_kept() {
    let mut bed = Bed::new("life");
    let (one, two) = (bed.good("1"), bed.good("2"));
    let first = bed.release(vec![service("api", &one)]);
    let steps = bed.deploy(&first).await;
    assert!(steps.iter().any(|step| step.starts_with("start 1 in the preview slot")), "{steps:#?}");
    bed.check_containers("api", &[(&one, "running", 2)]);
    assert_eq!(bed.answer(), r#"{"version":"1"}"#);
    let nginx = bed.id("nginx");

    let second = bed.release(vec![service("api", &two)]);
    bed.deploy(&second).await;
    bed.check_containers("api", &[(&two, "running", 2), (&one, "exited", 2)]);
    assert_eq!(bed.answer(), r#"{"version":"2"}"#);

    let steps = bed.rollback().await;
    assert!(!steps.iter().any(|step| step.starts_with("start ") && step.contains("slot")), "{steps:#?}");
    bed.check_containers("api", &[(&one, "running", 2)]);
    assert_eq!(bed.answer(), r#"{"version":"1"}"#);
    assert_eq!(bed.id("nginx"), nginx);
    let seen = bed.observe().await;
    let api = seen.services.iter().find(|service| service.name == "api").unwrap();
    assert_eq!((api.stamp.as_ref(), api.previous.as_ref()), (Some(&first.stamp), None));
}

const DB: &str = "
    image: db
    stop_grace_period: 1s
    volumes: ['data:/data']
    depends_on: [cache]
";

fn cache(image: &ImageRef) -> String {
    format!("\n    image: {image}\n    stop_grace_period: 1s\n")
}

#[tokio::test]
async fn what_is_not_replaced_is_started_once_in_order_and_never_touched_again() {
    let mut bed = Bed::bare("stateful");
    let (one, two) = (bed.image("1", &["/container", "serve"]), bed.image("2", &["/container", "serve"]));
    let worker = format!("{WORKER}    depends_on: [db]\n");
    bed.write(&[("worker", &worker), ("db", DB), ("cache", &cache(&one))]);
    let db = |image: &ImageRef| DesiredService { stateful: true, ..service("db", image) };
    let first = bed.release(vec![service("worker", &one), db(&one)]);
    let compose = bed.compose().await;
    let desired = compose.complete(first.clone()).await.unwrap();
    let plan = target::plan(&desired, &compose.observe().await.unwrap());
    let order: Vec<&str> = plan.iter().filter_map(Change::service).collect();
    assert_eq!(order, ["cache", "db", "worker"]);
    bed.deploy(&first).await;
    let untouched = (bed.id("db"), bed.id("cache"));
    for image in [&two, &one, &two] {
        let next = bed.release(vec![service("worker", image), db(image)]);
        bed.deploy(&next).await;
    }
    bed.rollback().await;
    bed.check_containers("worker", &[(&one, "running", 1)]);
    assert_eq!((bed.id("db"), bed.id("cache")), untouched);
    bed.check_containers("db", &[(&one, "running", 1)]);
}

#[tokio::test]
async fn a_deploy_of_what_runs_writes_nothing_and_a_new_number_needs_no_other_containers() {
    let mut bed = Bed::bare("same");
    let one = bed.image("1", &["/container", "serve"]);
    let first = bed.release(vec![service("worker", &one)]);
    bed.deploy(&first).await;
    let ids = bed.ids("worker");
    assert_eq!(bed.deploy(&first).await, ["done"]);

    bed.write(&[("worker", &WORKER.replace("deploy:", "deploy:\n      replicas: 3"))]);
    let second = bed.release(vec![service("worker", &one)]);
    bed.deploy(&second).await;
    bed.check_containers("worker", &[(&one, "running", 3)]);
    assert!(bed.ids("worker").contains(&ids[0]));
    bed.rollback().await;
    bed.check_containers("worker", &[(&one, "running", 1)]);
    let seen = bed.observe().await;
    assert_eq!(seen.services[0].stamp.as_ref(), Some(&first.stamp));
}

#[tokio::test]
async fn what_the_compose_file_says_of_a_service_is_a_part_of_it() {
    let mut bed = Bed::bare("file");
    let one = bed.image("1", &["/container", "serve"]);
    let token = "it's $x\n\"2\"";
    bed.project.secrets = BTreeMap::from([("TOKEN".to_owned(), Secret::from(token))]);
    bed.write(&[("worker", &format!("{WORKER}    environment: {{TOKEN: '${{TOKEN}}', A: $$1}}\n"))]);
    let mut wanted = service("worker", &one);
    wanted.settings.environment.insert("EXTRA".to_owned(), "a$b".to_owned());
    let first = bed.release(vec![wanted.clone()]);
    bed.deploy(&first).await;
    let environment = docker(&["inspect", "--format", "{{json .Config.Env}}", &bed.id("worker")]);
    let environment: Vec<String> = serde_json::from_str(&environment).unwrap();
    for variable in [format!("TOKEN={token}"), "A=$1".to_owned(), "EXTRA=a$b".to_owned()] {
        assert!(environment.contains(&variable), "{variable:?} is not in {environment:?}");
    }
    bed.project.secrets.insert("TOKEN".to_owned(), Secret::from("another"));
    wanted.settings.environment.insert("EXTRA".to_owned(), "c".to_owned());
    let second = bed.release(vec![wanted]);
    let compose = bed.compose().await;
    let desired = compose.complete(second.clone()).await.unwrap();
    let plan = target::plan(&desired, &compose.observe().await.unwrap());
    let Change::Update { differs, .. } = &plan[0] else { panic!("{plan:?}") };
    assert_eq!(differs.join(", "), "environment EXTRA, compose file");
    bed.deploy(&second).await;
    bed.check_containers("worker", &[(&one, "running", 1), (&one, "exited", 1)]);
}

#[tokio::test]
async fn recreate_lets_one_container_after_the_other_have_the_name_and_the_port() {
    let mut bed = Bed::bare("fixed");
    let (one, two) = (bed.good("1"), bed.good("2"));
    let name = format!("{}-the-one", bed.project.stack);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let fixed = format!("{WORKER}    container_name: {name}\n    ports: ['127.0.0.1:{port}:8080']\n");
    bed.write(&[("worker", &fixed)]);
    for image in [&one, &two] {
        let next = bed.release(vec![replaced(service("worker", image), Replacement::Recreate)]);
        bed.deploy(&next).await;
        assert_eq!(docker(&["inspect", "--format", "{{.Config.Image}}", &name]), image.to_string());
    }
    bed.rollback().await;
    assert_eq!(docker(&["inspect", "--format", "{{.Config.Image}}", &name]), one.to_string());
    bed.check_containers("worker", &[(&one, "running", 1)]);
}

#[tokio::test]
async fn what_people_started_before_is_taken_over_and_given_back() {
    let mut bed = Bed::new("foreign");
    let (zero, one) = (bed.good("0"), bed.good("1"));
    bed.write(&[("api", &ONE.replace("image: api", &format!("image: {zero}"))), ("nginx", PROXY)]);
    let project = &bed.project;
    docker(&["compose", "-p", &project.stack, "-f", &project.files[0], "up", "--detach", "--no-deps", "api"]);
    let theirs = bed.id("api");
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    assert_eq!(bed.answer(), r#"{"version":"1"}"#);
    bed.check_containers("api", &[(&one, "running", 1), (&zero, "exited", 1)]);
    bed.rollback().await;
    assert_eq!((bed.id("api"), bed.answer().as_str()), (theirs, r#"{"version":"0"}"#));
}

#[tokio::test]
async fn what_was_stopped_does_not_come_back_with_the_engine() {
    let mut bed = Bed::bare("always");
    let (one, two) = (bed.image("1", &["/container", "serve"]), bed.image("2", &["/container", "serve"]));
    bed.write(&[("worker", &format!("{WORKER}    restart: always\n"))]);
    for image in [&one, &two] {
        let next = bed.release(vec![service("worker", image)]);
        bed.deploy(&next).await;
    }
    let format = "{{.State.Status}} {{.HostConfig.RestartPolicy.Name}}";
    let mut seen: Vec<String> =
        bed.ids("worker").iter().map(|id| docker(&["inspect", "--format", format, id])).collect();
    seen.sort();
    assert_eq!(seen, ["exited unless-stopped", "running always"]);
}
