//! Deploys that do not work: each is noticed, says why, and can be taken back.

use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;
use shipkit_core::rollout::Next;
use shipkit_tests::server::kubernetes::Fate;
use shipkit_tests::soon;

use crate::access::as_user;
use crate::bed::{Bed, DEADLINE, image, release, three};

/// Shorter than any grace: what is only waited for ends here.
const SHORT: Duration = Duration::from_secs(3);

fn will(bed: &Bed, content: &str, fate: Fate) {
    bed.namespace.will(image(content).digest.as_str(), fate);
}

#[test]
fn a_crash_is_noticed_long_before_any_deadline_and_is_taken_back() {
    let bed = Bed::new("crash", &["api"]);
    bed.deploy(&release("1", 1, &[("api", "one")]));
    will(&bed, "two", Fate::Crash(3));
    let (applied, cause) = bed.fails(&release("2", 2, &[("api", "two")]), DEADLINE);
    assert!(cause.starts_with("`api` keeps failing: container `api` of pod `api-"), "{cause}");
    assert!(cause.contains(" ended with exit code 3"), "{cause}");
    let problems = bed.observe().services.remove(0).problems;
    assert!(problems.is_empty(), "three pods of the release before serve: {problems:?}");

    let back = bed.namespace.wait(bed.cluster.undo(&applied)).unwrap().unwrap();
    assert_eq!(bed.arrive(&back, DEADLINE), Next::Done);
    assert_eq!(bed.shown(), [("api".to_owned(), Some("1".to_owned()), true, three("one"))]);
}

#[test]
fn what_only_another_deploy_can_change_is_noticed_at_once() {
    let bed = Bed::new("config", &["api"]);
    will(
        &bed,
        "one",
        Fate::Wait("CreateContainerConfigError".to_owned(), "secret \"key\" not found".to_owned()),
    );
    let (_, cause) = bed.fails(&release("1", 1, &[("api", "one")]), DEADLINE);
    assert!(cause.ends_with("waits, CreateContainerConfigError: secret \"key\" not found"), "{cause}");
}

#[test]
fn pods_that_never_become_ready_end_at_the_deadline() {
    let bed = Bed::new("unready", &["api"]);
    will(&bed, "one", Fate::Unready);
    let (_, cause) = bed.fails(&release("1", 1, &[("api", "one")]), SHORT);
    assert!(cause.starts_with("`api` did not converge within 3 s, 0 of 3 pods ready: pod `api-"), "{cause}");
    assert!(cause.ends_with("runs and does not become ready"), "{cause}");
}

/// Says something about a pod as a kubelet does.
fn kubelet_says(bed: &Bed, pod: &str, reason: &str, message: &str) {
    let uid = &bed.namespace.get("Pod", pod)["metadata"]["uid"];
    let name = format!("{pod}.{}", reason.to_lowercase());
    bed.namespace.apply(&json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "type": "Warning", "reason": reason, "message": message,
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": pod, "namespace": bed.namespace.name(), "uid": uid},
        "count": 3, "firstTimestamp": "2026-01-02T03:04:05Z", "lastTimestamp": "2026-01-02T03:04:09Z",
        "source": {"component": "kubelet"},
    }));
}

#[test]
fn what_the_cluster_says_about_new_pods_is_told_to_whom_may_read_it() {
    let bed = Bed::new("events", &["api"]);
    bed.deploy(&release("1", 1, &[("api", "one")]));
    let old = bed.namespace.names("Pod");
    will(&bed, "two", Fate::Unready);
    let applied = bed.apply(&release("2", 2, &[("api", "two")])).pop().unwrap();
    let is_new = |pod: &String| !old.contains(pod);
    let find = || bed.namespace.names("Pod").into_iter().find(is_new);
    soon("there is never a new pod", || find().is_some());
    let new = find().unwrap();
    let probe = "Readiness probe failed: HTTP probe failed with statuscode: 503";
    kubelet_says(&bed, &new, "BackOff", "Back-off restarting failed container");
    kubelet_says(&bed, &new, "Unhealthy", probe);
    kubelet_says(&bed, &old[0], "FailedMount", "of a pod that goes");
    let Next::RollBack { cause } = bed.arrive(&applied, SHORT) else { panic!("it arrived") };
    let event = format!("runs and does not become ready; event of pod `{new}`: Unhealthy, {probe}");
    assert!(cause.ends_with(&event), "{cause}");

    let rules: [(&[&str], &str, &[&str]); 3] = [
        (&["get", "list", "watch"], "apps", &["deployments", "replicasets"]),
        (&["list", "watch"], "", &["pods"]),
        (&["get", "list", "watch"], "coordination.k8s.io", &["leases"]),
    ];
    let cluster = as_user(&bed, &bed.namespace.user("deaf", &rules));
    let next = bed.namespace.wait(cluster.rollout(&applied, SHORT, |_| {})).unwrap();
    let Next::RollBack { cause } = next else { panic!("{next:?}") };
    assert!(cause.ends_with("runs and does not become ready"), "{cause}");
}

#[test]
fn an_image_that_cannot_be_pulled_is_named_at_the_deadline() {
    let bed = Bed::new("pull", &["api"]);
    will(&bed, "one", Fate::Wait("ErrImagePull".to_owned(), "manifest unknown".to_owned()));
    let (_, cause) = bed.fails(&release("1", 1, &[("api", "one")]), SHORT);
    assert!(
        cause.contains("0 of 3 pods ready") && cause.ends_with("ErrImagePull: manifest unknown"),
        "{cause}"
    );
}

#[test]
fn pods_that_run_another_image_than_their_template_names_are_not_the_release() {
    let bed = Bed::new("other", &["api"]);
    will(&bed, "one", Fate::Called(image("cached").to_string()));
    let (_, cause) = bed.fails(&release("1", 1, &[("api", "one")]), SHORT);
    assert!(cause.ends_with("which is not an image of this release"), "{cause}");
}

#[test]
fn a_quota_that_allows_no_pod_is_named_in_the_words_of_the_cluster() {
    let bed = Bed::new("quota", &["api"]);
    bed.deploy(&release("1", 1, &[("api", "one")]));
    bed.namespace.apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "3"}},
    }));
    let (_, cause) = bed.fails(&release("2", 2, &[("api", "two")]), DEADLINE);
    assert!(cause.starts_with("`api` gets no pods: ") && cause.contains("exceeded quota"), "{cause}");
}

#[test]
fn pods_that_no_node_takes_are_named_at_the_deadline() {
    let bed = Bed::new("room", &["api"]);
    let container = json!({"name": "api", "resources": {"requests": {"cpu": "1000"}}});
    bed.namespace.apply_as(
        "team",
        &json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api"},
            "spec": {"template": {"spec": {"containers": [container]}}},
        }),
    );
    let (_, cause) = bed.fails(&release("1", 1, &[("api", "one")]), SHORT);
    assert!(cause.contains("no node takes pod `api-") && cause.contains("Insufficient cpu"), "{cause}");
}

#[test]
fn what_somebody_else_changes_in_mid_rollout_is_left_to_them() {
    let bed = Bed::new("else", &["api"]);
    will(&bed, "one", Fate::Unready);
    let applied = bed.apply(&release("1", 1, &[("api", "one")])).pop().unwrap();
    let (begun, seen) = mpsc::channel();
    let next = std::thread::scope(|scope| {
        let bed = &bed;
        scope.spawn(move || {
            seen.recv().unwrap();
            bed.namespace.deployment("api", "registry.example/shop/app:hotfix");
        });
        let show = |seen: &shipkit_core::rollout::workload::Seen| {
            if !seen.pods.is_empty() {
                // The other side listens once.
                begun.send(()).ok();
            }
        };
        bed.namespace.wait(bed.cluster.rollout(&applied, DEADLINE, show)).unwrap()
    });
    let cause = "`api` was changed by somebody else during the rollout".to_owned();
    assert_eq!(next, Next::Overtaken { cause });
}

#[test]
fn a_later_deploy_is_not_undone_by_an_earlier_one() {
    let bed = Bed::new("later", &["api"]);
    let applied = bed.apply(&release("1", 1, &[("api", "one")])).pop().unwrap();
    bed.apply(&release("2", 2, &[("api", "two")]));
    assert!(bed.namespace.wait(bed.cluster.undo(&applied)).unwrap().is_none());
    assert_eq!(bed.shown()[0].1.as_deref(), Some("2"));
}
