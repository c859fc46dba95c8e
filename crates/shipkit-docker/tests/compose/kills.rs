//! Runs that are killed: the next one goes on from what is there, and it ends the same.

use shipkit_core::target::{self, Desired};
use shipkit_tests::container::docker;
use shipkit_tests::soon;
use tokio::sync::mpsc;

use crate::bed::{Bed, DEADLINE, ONE, PROXY, service};

/// Begins a deploy and drops it when the first step that begins with this word is under way.
async fn killed_at(bed: &Bed, desired: &Desired, word: &str) {
    let compose = bed.compose().await;
    let desired = compose.complete(desired.clone()).await.unwrap();
    let seen = compose.observe().await.unwrap();
    let change =
        target::plan(&desired, &seen).into_iter().find(|change| change.service() == Some("api")).unwrap();
    let applied = compose.apply(&desired, &change, None).await.unwrap().unwrap();
    let (reached, mut is_reached) = mpsc::unbounded_channel();
    let rollout = compose.rollout(&applied, DEADLINE, |_, step| {
        if step.to_string().starts_with(word) {
            reached.send(()).unwrap();
        }
    });
    tokio::select! {
        biased;
        _ = is_reached.recv() => {}
        ended = rollout => panic!("never reached `{word}`: {ended:?}"),
    }
}

#[tokio::test]
async fn a_deploy_that_is_killed_at_any_step_is_finished_by_the_next_one() {
    let mut bed = Bed::new("killed");
    bed.write(&[("api", ONE), ("nginx", PROXY)]);
    let mut old = bed.good("0");
    let first = bed.release(vec![service("api", &old)]);
    bed.deploy(&first).await;
    for step in ["start", "wait", "verify", "send", "stop"] {
        let new = bed.good(step);
        let next = bed.release(vec![service("api", &new)]);
        killed_at(&bed, &next, step).await;
        assert!(bed.answer().contains("version"), "nobody serves after `{step}`");
        bed.deploy(&next).await;
        bed.check_containers("api", &[(&new, "running", 1), (&old, "exited", 1)]);
        assert_eq!(bed.answer(), format!(r#"{{"version":"{step}"}}"#));
        old = new;
    }
}

#[tokio::test]
async fn a_rollback_that_is_killed_at_any_step_is_finished_by_the_next_one() {
    let mut bed = Bed::new("unreturned");
    bed.write(&[("api", ONE), ("nginx", PROXY)]);
    let (one, two) = (bed.good("1"), bed.good("2"));
    for step in ["start", "send", "remove"] {
        for image in [&one, &two] {
            let next = bed.release(vec![service("api", image)]);
            bed.deploy(&next).await;
        }
        let compose = bed.compose().await;
        let way = target::way_back(&bed.project.stack, &compose.observe().await.unwrap()).unwrap();
        let applied = compose.restore(&way.returns[0], None).await.unwrap();
        let (reached, mut is_reached) = mpsc::unbounded_channel();
        let rollout = compose.rollout(&applied, DEADLINE, |_, seen| {
            if seen.to_string().starts_with(step) {
                reached.send(()).unwrap();
            }
        });
        tokio::select! {
            biased;
            _ = is_reached.recv() => {}
            ended = rollout => panic!("never reached `{step}`: {ended:?}"),
        }
        bed.rollback().await;
        bed.check_containers("api", &[(&one, "running", 1)]);
        assert_eq!(bed.answer(), r#"{"version":"1"}"#);
    }
}

#[tokio::test]
async fn nginx_is_told_by_the_next_run_what_a_killed_one_only_wrote() {
    let mut bed = Bed::new("untold");
    bed.write(&[("api", ONE), ("nginx", PROXY)]);
    let one = bed.good("1");
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    let folder = "/etc/nginx/shipkit";
    // nginx works with a file that names nobody, and the one in place, which is right, was not told.
    let nginx = bed.id("nginx");
    let script = "cd $0 && cp -p api.conf right && sed -i 's/^    server .*/    server 127.0.0.1:9 down;/' api.conf && \
                  nginx -s reload";
    docker(&["exec", &nginx, "sh", "-c", script, folder]);
    soon("it never reads the file", || !bed.answer().contains("version"));
    docker(&["exec", &nginx, "sh", "-c", "cd $0 && mv api.conf api.before && mv right api.conf", folder]);
    bed.deploy(&first).await;
    assert_eq!(bed.answer(), r#"{"version":"1"}"#);
    let files = docker(&["exec", &bed.id("nginx"), "ls", folder]);
    assert_eq!(files, "api.conf");
}
