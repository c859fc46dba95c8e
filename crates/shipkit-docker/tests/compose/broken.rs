//! Releases that have something wrong with them, and people who meddle: what served before serves on.

use shipkit_core::rollout::Next;
use shipkit_core::rollout::slots::{Slot, Step};
use shipkit_core::target;
use shipkit_core::{Digest, Hint as _, ImageRef};
use shipkit_docker::ComposeError;
use shipkit_tests::container::docker;

use crate::bed::{API, Bed, DEADLINE, ONE, PROXY, TRAEFIK, WORKER, service};

#[tokio::test]
async fn a_release_that_crashes_or_is_never_ready_is_taken_back_and_the_old_one_serves() {
    let mut bed = Bed::new("crash");
    bed.write(&[("api", ONE), ("nginx", PROXY)]);
    let (one, crash) = (bed.good("1"), bed.image("crash", &["/container", "exit", "3"]));
    let deaf = bed.image("deaf", &["/container", "serve"]);
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    let (id, conf) = (bed.id("api"), bed.conf());
    for (image, expected) in [(&crash, "ended with exit code 3"), (&deaf, "is unhealthy")] {
        let broken = bed.release(vec![service("api", image)]);
        let (cause, _) = bed.fail(&broken).await;
        assert!(
            cause.starts_with("`api` keeps failing: instance `api-") && cause.ends_with(expected),
            "{cause}"
        );
        assert_eq!((bed.id("api"), bed.conf()), (id.clone(), conf.clone()));
        assert_eq!(bed.answer(), r#"{"version":"1"}"#);
    }
    let seen = bed.observe().await;
    let api = seen.services.iter().find(|service| service.name == "api").unwrap();
    assert_eq!((api.stamp.as_ref(), api.is_confirmed), (Some(&first.stamp), true));
}

#[tokio::test]
async fn one_that_starts_slowly_is_waited_for_while_the_old_one_serves() {
    let mut bed = Bed::new("slow");
    let patient = ONE.replace("retries: 3}", "retries: 3, start_period: 50s}");
    bed.write(&[("api", &patient), ("nginx", PROXY)]);
    // Longer than the checks that may fail take without the period for the start.
    let (one, slow) = (bed.good("1"), bed.image("2", &["/container", "http", "2", "4"]));
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    let second = bed.release(vec![service("api", &slow)]);
    let compose = bed.compose().await;
    let desired = compose.complete(second).await.unwrap();
    let change = &target::plan(&desired, &compose.observe().await.unwrap())[0];
    let applied = compose.apply(&desired, change, None).await.unwrap().unwrap();
    let mut waited = Vec::new();
    let rollout = compose.rollout(&applied, DEADLINE, |seen, _| {
        if seen.instances.iter().any(|one| one.slot == Slot::Preview && !one.is_ready()) {
            waited.push(bed.answer());
        }
    });
    assert_eq!(rollout.await.unwrap(), Next::Done);
    assert!(waited.iter().all(|answer| answer == r#"{"version":"1"}"#) && !waited.is_empty(), "{waited:?}");
    bed.check_containers("api", &[(&slow, "running", 1), (&one, "exited", 1)]);
    assert_eq!(bed.answer(), r#"{"version":"2"}"#);
}

#[tokio::test]
async fn what_crashes_after_it_got_the_traffic_is_taken_back_and_the_old_one_serves() {
    let mut bed = Bed::new("later");
    bed.write(&[("api", ONE), ("nginx", PROXY)]);
    let (one, two) = (bed.good("1"), bed.good("2"));
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    let (id, conf) = (bed.id("api"), bed.conf());
    let second = bed.release(vec![service("api", &two)]);
    let compose = bed.compose().await;
    let desired = compose.complete(second).await.unwrap();
    let change = &target::plan(&desired, &compose.observe().await.unwrap())[0];
    let applied = compose.apply(&desired, change, None).await.unwrap().unwrap();
    let mut killed = Vec::new();
    let rollout = compose.rollout(&applied, DEADLINE, |seen, step| {
        // Where the old one has stopped, nothing is left to watch.
        assert!(!matches!(step, Step::Stop { .. }), "{seen:#?}");
        // The old one serves again before another new one is tried.
        let has_traffic = |slot| seen.instances.iter().any(|one| one.slot == slot && one.has_traffic);
        assert!(!matches!(step, Step::Start { .. }) || has_traffic(Slot::Active), "{seen:#?}");
        for new in seen.instances.iter().filter(|one| one.slot == Slot::Preview && one.has_traffic) {
            if new.is_ready() {
                docker(&["kill", new.id.rsplit('@').next().unwrap()]);
                killed.push(new.id.clone());
            }
        }
    });
    let Next::RollBack { cause } = rollout.await.unwrap() else { panic!("not taken back: {killed:?}") };
    // Of the second failure the first is the cause.
    let expected = format!("`api` keeps failing: instance `{}` ended with exit code 137", killed[0]);
    assert_eq!((cause, killed.len()), (expected, 2));
    let back = compose.undo(&applied, None).await.unwrap().unwrap();
    assert_eq!(compose.rollout(&back, DEADLINE, |_, _| {}).await.unwrap(), Next::Done);
    assert_eq!((bed.id("api"), bed.conf()), (id, conf));
    assert_eq!(bed.answer(), r#"{"version":"1"}"#);
}

#[tokio::test]
async fn a_registry_that_is_down_is_named_and_what_is_on_the_host_needs_none() {
    let mut bed = Bed::bare("down");
    let (one, two) = (bed.image("1", &["/container", "serve"]), bed.image("2", &["/container", "serve"]));
    let first = bed.release(vec![service("worker", &one)]);
    bed.deploy(&first).await;
    let id = bed.id("worker");
    bed.lose(&two);
    let second = bed.release(vec![service("worker", &two)]);
    let (cause, _) = bed.fail(&second).await;
    let name = two.to_string();
    let registry = name.split('/').next().unwrap();
    assert!(cause.starts_with(&format!("`worker` cannot start: Get \"http://{registry}/v2/\"")), "{cause}");
    assert!(cause.ends_with("connection refused"), "{cause}");
    assert_eq!(bed.id("worker"), id);
    let compose = bed.compose().await;
    let desired = compose.complete(second).await.unwrap();
    let found = compose.preflight(&desired, &compose.observe().await.unwrap(), None).await.unwrap();
    assert!(
        found.problems.iter().any(|problem| problem.to_string().contains("connection refused")),
        "{found:?}"
    );
    assert_eq!(bed.deploy(&first).await, ["done"]);
    bed.check_containers("worker", &[(&one, "running", 1)]);
}

#[tokio::test]
async fn the_last_lines_of_what_failed_are_kept_though_it_is_removed() {
    let mut bed = Bed::bare("log");
    let crash = bed.image("crash", &["/container", "exit", "3"]);
    let compose = bed.compose().await;
    let first = compose.complete(bed.release(vec![service("worker", &crash)])).await.unwrap();
    let change = &target::plan(&first, &compose.observe().await.unwrap())[0];
    let applied = compose.apply(&first, change, None).await.unwrap().unwrap();
    let next = compose.rollout(&applied, DEADLINE, |_, _| {}).await.unwrap();
    assert!(matches!(next, Next::RollBack { .. }), "{next:?}");
    let logs = compose.logs(&applied).await.unwrap();
    assert_eq!(logs.len(), 2, "{logs:?}");
    assert!(logs.iter().all(|log| log.lines == ["ending with 3"]), "{logs:?}");
    let back = compose.undo(&applied, None).await.unwrap().unwrap();
    assert_eq!(compose.rollout(&back, DEADLINE, |_, _| {}).await.unwrap(), Next::Done);
    assert!(bed.ids("worker").is_empty());
    assert!(bed.observe().await.services.is_empty());
}

#[tokio::test]
async fn an_image_that_is_nowhere_is_found_before_and_named_when_it_is_tried() {
    let mut bed = Bed::bare("absent");
    let one = bed.image("1", &["/container", "serve"]);
    let first = bed.release(vec![service("worker", &one)]);
    bed.deploy(&first).await;
    let id = bed.id("worker");
    let absent: ImageRef = format!("{}@{}", one.repository, Digest::of(b"nowhere")).parse().unwrap();
    let second = bed.release(vec![service("worker", &absent)]);
    let compose = bed.compose().await;
    let desired = compose.complete(second.clone()).await.unwrap();
    let found = compose.preflight(&desired, &compose.observe().await.unwrap(), None).await.unwrap();
    let [problem] = &found.problems[..] else { panic!("{found:?}") };
    assert!(problem.to_string().starts_with(&format!("Docker refused to find `{absent}`")), "{problem}");
    let (cause, _) = bed.fail(&second).await;
    assert!(cause.starts_with("`worker` cannot start: ") && cause.contains("unknown"), "{cause}");
    assert_eq!(bed.id("worker"), id);
}

#[tokio::test]
async fn a_program_that_is_not_in_the_image_is_what_the_engine_says() {
    let mut bed = Bed::bare("program");
    let absent = bed.image("1", &["/absent"]);
    let first = bed.release(vec![service("worker", &absent)]);
    let (cause, _) = bed.fail(&first).await;
    assert!(cause.starts_with("`worker` cannot start: ") && cause.contains("/absent"), "{cause}");
    assert!(bed.ids("worker").is_empty());
}

#[tokio::test]
async fn what_nginx_refuses_changes_nothing_and_is_said_in_its_words() {
    let mut bed = Bed::new("refused");
    bed.write(&[("api", ONE), ("nginx", PROXY)]);
    let (one, two) = (bed.good("1"), bed.good("2"));
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    let conf = bed.conf();
    bed.write_nginx(|conf| conf.replace("listen 80", "lisTen 80"));
    let second = bed.release(vec![service("api", &two)]);
    let error = bed.try_deploy(&second).await.unwrap_err();
    assert!(matches!(&error, ComposeError::ProxyRefused { .. }), "{error}");
    assert!(error.to_string().contains(r#"unknown directive "lisTen""#), "{error}");
    assert_eq!((bed.conf(), bed.answer().as_str()), (conf, r#"{"version":"1"}"#));
    let compose = bed.compose().await;
    let desired = compose.complete(second.clone()).await.unwrap();
    let found = compose.preflight(&desired, &compose.observe().await.unwrap(), None).await.unwrap();
    assert!(matches!(found.problems[..], [ComposeError::ProxyRefused { .. }]), "{found:?}");

    bed.write_nginx(|conf| {
        conf.replace("include /etc/nginx/shipkit", "include /etc/nginx/elsewhere")
            .replace("http://api", "http://127.0.0.1:9")
    });
    let error = bed.try_deploy(&second).await.unwrap_err();
    assert!(error.to_string().contains("does not include /etc/nginx/shipkit/*.conf"), "{error}");

    bed.write_nginx(str::to_owned);
    bed.deploy(&second).await;
    assert_eq!(bed.answer(), r#"{"version":"2"}"#);
}

#[tokio::test]
async fn everything_that_is_in_the_way_is_found_at_once() {
    let mut bed = Bed::new("ways");
    let one = bed.good("1");
    bed.project.services.insert("worker".to_owned(), None);
    let api = format!("{ONE}    container_name: x\n    ports: ['8080:8080']\n    networks: [back]\n");
    let nginx = PROXY.replace("      - shipkit:/etc/nginx/shipkit\n", "");
    bed.write(&[("api", &api), ("worker", WORKER), ("nginx", &nginx)]);
    let file = &bed.project.files[0];
    let text = std::fs::read_to_string(file).unwrap() + "networks: {back: {}}\n";
    std::fs::write(file, text).unwrap();
    let release = bed.release(vec![service("api", &one), service("worker", &one)]);
    let compose = bed.compose().await;
    let desired = compose.complete(release).await.unwrap();
    let found = compose.preflight(&desired, &compose.observe().await.unwrap(), None).await.unwrap();
    let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    let expected = [
        "`services.api.container_name` of the Compose files is taken while the old container runs",
        "`services.api.ports (8080:8080)` of the Compose files is taken while the old container runs",
        "`services.api.networks` of the Compose files has none in common with the proxy",
        "`/etc/nginx/shipkit` of the service `nginx`, which is nginx, is not on a volume",
    ];
    assert_eq!(problems, expected);
    assert!(found.problems.iter().all(|problem| problem.hint().is_some()));
    assert!(found.remarks[0].contains("new containers of `worker` as soon as they start"), "{found:?}");
    assert!(bed.ids("api").is_empty());
}

#[tokio::test]
async fn a_service_that_somebody_else_deploys_meanwhile_is_theirs() {
    let mut bed = Bed::bare("stranger");
    let (one, two) = (bed.image("1", &["/container", "serve"]), bed.image("2", &["/container", "serve"]));
    let first = bed.release(vec![service("worker", &one)]);
    bed.deploy(&first).await;
    let (mine, theirs) =
        (bed.release(vec![service("worker", &two)]), bed.release(vec![service("worker", &one)]));
    let compose = bed.compose().await;
    let (mine, theirs) = (compose.complete(mine).await.unwrap(), compose.complete(theirs).await.unwrap());
    let seen = compose.observe().await.unwrap();
    let applied = compose.apply(&mine, &target::plan(&mine, &seen)[0], None).await.unwrap().unwrap();
    let seen = compose.observe().await.unwrap();
    compose.apply(&theirs, &target::plan(&theirs, &seen)[0], None).await.unwrap().unwrap();
    let next = compose.rollout(&applied, DEADLINE, |_, _| {}).await.unwrap();
    assert!(matches!(next, Next::Overtaken { .. }), "{next:?}");
    assert!(compose.undo(&applied, None).await.unwrap().is_none());
}

#[tokio::test]
async fn a_container_that_a_person_removes_is_made_again_and_a_return_survives_a_prune() {
    let mut bed = Bed::new("prune");
    bed.write(&[("api", ONE), ("nginx", PROXY)]);
    let (one, two) = (bed.good("1"), bed.good("2"));
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    let second = bed.release(vec![service("api", &two)]);
    bed.deploy(&second).await;
    for id in bed.ids("api") {
        docker(&["rm", "--force", &id]);
    }
    bed.deploy(&second).await;
    assert_eq!(bed.answer(), r#"{"version":"2"}"#);
    bed.check_containers("api", &[(&two, "running", 1)]);
    bed.rollback().await;
    bed.check_containers("api", &[(&one, "running", 1)]);
    assert_eq!(bed.answer(), r#"{"version":"1"}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_traefik_would_not_see_is_not_deployed() {
    let mut bed = Bed::traefik("blind");
    let image = bed.good("1");
    let desired = bed.release(vec![service("api", &image)]);
    bed.deploy(&desired).await;
    let seen = async |said: &str| {
        bed.write(&[
            ("api", API),
            ("edge", &TRAEFIK.replace("--providers.file.directory=/etc/traefik/shipkit", said)),
        ]);
        let compose = bed.compose().await;
        let desired = compose.complete(desired.clone()).await.unwrap();
        let found = compose.preflight(&desired, &bed.observe().await, None).await.unwrap();
        found.problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let expected = "no file provider of Traefik, the service `edge`, watches `/etc/traefik/shipkit`";
    assert_eq!(seen("--providers.file.directory=/etc/traefik/elsewhere").await, [expected]);
    let off = "--providers.file.directory=/etc/traefik/shipkit, --providers.file.watch=false";
    assert_eq!(seen(off).await, [expected]);
    assert!(seen("--providers.file.directory=/etc/traefik/shipkit").await.is_empty());
}
