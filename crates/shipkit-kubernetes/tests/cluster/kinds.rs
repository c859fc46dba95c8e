//! Stateful sets, daemon sets and jobs while they change: when they have arrived, and how what does not work is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_core::rollout::workload::{Seen, Wanted};
use shipkit_core::rollout::{Next, Purpose};
use shipkit_kubernetes::{Expected, WorkloadKind};
use shipkit_tests::server::kubernetes::Fate;

use crate::bed::{Bed, DEADLINE, image};

/// Shorter than any grace: what is only waited for ends here.
const SHORT: Duration = Duration::from_secs(3);

/// The name of everything here, of its container too.
const NAME: &str = "db";

fn pods(image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": NAME}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": NAME, "image": image,
                // Written so, it comes back in other words.
                "resources": {"requests": {"cpu": "0.001", "memory": "1024"}},
            }],
        },
    })
}

fn stateful_set(image: &str, more: &Value) -> Value {
    let mut spec = json!({
        "replicas": 3, "serviceName": NAME, "selector": {"matchLabels": {"app": NAME}}, "template": pods(image),
    });
    merge(&mut spec, more);
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": NAME}, "spec": spec})
}

/// One pod on each node of the namespace.
fn daemon_set(bed: &Bed, image: &str, more: &Value) -> Value {
    let mut template = pods(image);
    let its = json!({
        "nodeSelector": {"only": bed.namespace.name()},
        "tolerations": [{"key": "only", "operator": "Exists"}],
    });
    merge(&mut template["spec"], &its);
    let mut spec = json!({"selector": {"matchLabels": {"app": NAME}}, "template": template});
    merge(&mut spec, more);
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": NAME}, "spec": spec})
}

fn job(image: &str, more: &Value) -> Value {
    let mut template = pods(image);
    template["spec"]["restartPolicy"] = json!("Never");
    let mut spec = json!({"backoffLimit": 0, "template": template});
    merge(&mut spec, more);
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": NAME}, "spec": spec})
}

fn merge(into: &mut Value, more: &Value) {
    for (key, value) in more.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}

fn named(content: &str) -> String {
    image(content).to_string()
}

/// Writes an object whose pods run an image, and tells what is expected of it.
fn apply(bed: &Bed, content: &str, object: &Value) -> Expected {
    bed.namespace.apply(object);
    let kind = object["kind"].as_str().unwrap();
    let digests = BTreeSet::from([Digest::of(content.as_bytes())]);
    Expected {
        service: NAME.to_owned(),
        kind: match kind {
            "StatefulSet" => WorkloadKind::StatefulSet,
            "DaemonSet" => WorkloadKind::DaemonSet,
            "Job" => WorkloadKind::Job,
            other => panic!("{other}"),
        },
        name: NAME.to_owned(),
        purpose: Purpose::Deploy,
        generation: bed.namespace.get(kind, NAME)["metadata"]["generation"].as_i64().unwrap(),
        wanted: BTreeMap::from([(NAME.to_owned(), Wanted { image: named(content), digests })]),
        monitor: Duration::from_millis(200),
        mark: None,
    }
}

fn arrive(bed: &Bed, expected: &Expected, deadline: Duration, mut show: impl FnMut(&Seen)) -> Next {
    let one = std::slice::from_ref(expected);
    let ended = bed.namespace.wait(bed.cluster.arrive(one, deadline, |_, seen| show(seen))).unwrap();
    ended.map_or(Next::Done, |(_, next)| next)
}

#[track_caller]
fn arrives(bed: &Bed, content: &str, object: &Value) {
    let expected = apply(bed, content, object);
    assert_eq!(arrive(bed, &expected, DEADLINE, |_| {}), Next::Done);
}

#[track_caller]
fn fails(bed: &Bed, expected: &Expected, deadline: Duration) -> String {
    let next = arrive(bed, expected, deadline, |_| {});
    let Next::RollBack { cause } = next else { panic!("{next:?}") };
    cause
}

fn will(bed: &Bed, content: &str, fate: Fate) {
    bed.namespace.will(image(content).digest.as_str(), fate);
}

/// Which pod runs what.
fn running(bed: &Bed) -> BTreeMap<String, String> {
    let pods = bed.namespace.names("Pod").into_iter();
    pods.map(|name| {
        let pod = bed.namespace.get("Pod", &name);
        (name, pod["spec"]["containers"][0]["image"].as_str().unwrap().to_owned())
    })
    .collect()
}

fn each(names: &[(&str, &str)]) -> BTreeMap<String, String> {
    names.iter().map(|(name, content)| ((*name).to_owned(), named(content))).collect()
}

/// A rollout whose new pods are not ready until one was seen so: it must not have arrived by then, and arrives after.
#[track_caller]
fn arrives_when_its_pods_are_ready(bed: &Bed, content: &str, object: &Value) {
    will(bed, content, Fate::Unready);
    let expected = apply(bed, content, object);
    let mut most = 0;
    let next = arrive(bed, &expected, DEADLINE, |seen| {
        let ready = seen.pods.iter().filter(|pod| pod.is_ready).count();
        if ready < seen.pods.len() && most == 0 {
            will(bed, content, Fate::Ready);
        }
        most = most.max(ready);
    });
    assert_eq!((next, most), (Next::Done, 3));
}

#[test]
fn a_stateful_set_has_arrived_when_all_its_pods_run_the_new_image_and_are_ready() {
    let bed = Bed::new("sts", &[]);
    arrives(&bed, "one", &stateful_set(&named("one"), &json!({})));
    arrives_when_its_pods_are_ready(&bed, "two", &stateful_set(&named("two"), &json!({})));
    assert_eq!(running(&bed), each(&[("db-0", "two"), ("db-1", "two"), ("db-2", "two")]));
    let status = &bed.namespace.get("StatefulSet", NAME)["status"];
    assert_eq!(status["currentRevision"], status["updateRevision"]);
    // Back to pods of a revision that the cluster knows already.
    arrives(&bed, "one", &stateful_set(&named("one"), &json!({})));
    assert_eq!(running(&bed), each(&[("db-0", "one"), ("db-1", "one"), ("db-2", "one")]));
}

#[test]
fn of_a_stateful_set_with_a_partition_only_the_pods_from_there_on_are_waited_for() {
    let bed = Bed::new("part", &[]);
    let part = |content: &str, partition: u64| {
        let rolling = json!({"updateStrategy": {"rollingUpdate": {"partition": partition}}});
        stateful_set(&named(content), &rolling)
    };
    arrives(&bed, "one", &part("one", 2));
    arrives(&bed, "two", &part("two", 2));
    assert_eq!(running(&bed), each(&[("db-0", "one"), ("db-1", "one"), ("db-2", "two")]));
    arrives(&bed, "two", &part("two", 1));
    assert_eq!(running(&bed), each(&[("db-0", "one"), ("db-1", "two"), ("db-2", "two")]));
    // Beyond the last one there is nothing to replace.
    arrives(&bed, "one", &part("one", 3));
    assert_eq!(running(&bed), each(&[("db-0", "one"), ("db-1", "two"), ("db-2", "two")]));
}

#[test]
fn a_stateful_set_whose_new_pod_crashes_is_told_soon_and_on_the_way_back_that_a_person_must_help() {
    let bed = Bed::new("stscrash", &[]);
    arrives(&bed, "one", &stateful_set(&named("one"), &json!({})));
    will(&bed, "two", Fate::Crash(3));
    let cause = fails(&bed, &apply(&bed, "two", &stateful_set(&named("two"), &json!({}))), DEADLINE);
    assert_eq!(cause, "`db` keeps failing: container `db` of pod `db-2` ended with exit code 3");

    let mut back = apply(&bed, "one", &stateful_set(&named("one"), &json!({})));
    back.purpose = Purpose::Restore;
    let next = arrive(&bed, &back, SHORT, |_| {});
    let cause = "`db` did not converge within 3 s, 2 of 3 pods ready: no pod is replaced before `db-2` of another \
                 revision is ready (container `db` of pod `db-2` ended with exit code 3); `kubectl delete pod db-2` helps";
    assert_eq!(next, Next::Stuck { cause: cause.to_owned() });
    bed.namespace.delete("Pod", "db-2");
    assert_eq!(arrive(&bed, &back, DEADLINE, |_| {}), Next::Done);
    assert_eq!(running(&bed), each(&[("db-0", "one"), ("db-1", "one"), ("db-2", "one")]));
}

#[test]
fn a_stateful_set_that_keeps_no_order_goes_back_by_itself() {
    let bed = Bed::new("parallel", &[]);
    let parallel = |content: &str| stateful_set(&named(content), &json!({"podManagementPolicy": "Parallel"}));
    arrives(&bed, "one", &parallel("one"));
    will(&bed, "two", Fate::Crash(3));
    fails(&bed, &apply(&bed, "two", &parallel("two")), DEADLINE);
    arrives(&bed, "one", &parallel("one"));
}

#[test]
fn a_daemon_set_has_arrived_when_each_of_its_nodes_has_a_new_pod_that_is_ready() {
    let bed = Bed::new("ds", &[]);
    arrives(&bed, "none", &daemon_set(&bed, &named("none"), &json!({})));
    assert_eq!(running(&bed), each(&[]), "there is no node for it");
    for number in 0..3 {
        bed.namespace.node(number);
    }
    let all = |content: &str| {
        let mut images: Vec<_> = running(&bed).into_values().collect();
        images.dedup();
        assert_eq!((images, running(&bed).len()), (vec![named(content)], 3));
    };
    arrives(&bed, "one", &daemon_set(&bed, &named("one"), &json!({})));
    all("one");
    arrives_when_its_pods_are_ready(&bed, "two", &daemon_set(&bed, &named("two"), &json!({})));
    all("two");
    // Back to pods of a revision that the cluster knows already.
    arrives(&bed, "one", &daemon_set(&bed, &named("one"), &json!({})));
    all("one");
}

#[test]
fn a_daemon_set_that_changes_in_other_than_its_images_is_waited_for() {
    let bed = Bed::new("dsenv", &[]);
    for number in 0..3 {
        bed.namespace.node(number);
    }
    let mut object = daemon_set(&bed, &named("one"), &json!({}));
    arrives(&bed, "one", &object);
    object["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "LEVEL", "value": "2"}]);
    arrives(&bed, "one", &object);
    for name in bed.namespace.names("Pod") {
        let pod = bed.namespace.get("Pod", &name);
        assert_eq!(pod["spec"]["containers"][0]["env"][0]["value"], "2", "{name}");
    }
}

#[test]
fn a_daemon_set_whose_new_pod_crashes_is_told_soon_and_goes_back_by_itself() {
    let bed = Bed::new("dscrash", &[]);
    for number in 0..3 {
        bed.namespace.node(number);
    }
    arrives(&bed, "one", &daemon_set(&bed, &named("one"), &json!({})));
    will(&bed, "two", Fate::Crash(3));
    let cause = fails(&bed, &apply(&bed, "two", &daemon_set(&bed, &named("two"), &json!({}))), DEADLINE);
    assert!(cause.starts_with("`db` keeps failing: container `db` of pod `db-"), "{cause}");
    assert!(cause.ends_with(" ended with exit code 3"), "{cause}");
    arrives(&bed, "one", &daemon_set(&bed, &named("one"), &json!({})));
}

#[test]
fn pods_that_only_a_person_replaces_are_not_waited_for() {
    let bed = Bed::new("ondelete", &[]);
    bed.namespace.node(0);
    let by_hand = json!({"updateStrategy": {"type": "OnDelete"}});
    let why = "`db` waits for somebody to delete its pods: its update strategy is `OnDelete`";
    let sets = [
        |_: &Bed, content: &str, more: &Value| stateful_set(&named(content), more),
        |bed: &Bed, content: &str, more: &Value| daemon_set(bed, &named(content), more),
    ];
    for set in sets {
        arrives(&bed, "one", &set(&bed, "one", &by_hand));
        assert_eq!(fails(&bed, &apply(&bed, "two", &set(&bed, "two", &by_hand)), DEADLINE), why);
    }
}

#[test]
fn a_job_has_arrived_when_it_is_complete_even_if_it_is_gone_with_that() {
    let bed = Bed::new("job", &[]);
    bed.namespace.jobs_will(image("one").digest.as_str(), Fate::Ready);
    let object = job(&named("one"), &json!({"completions": 2, "ttlSecondsAfterFinished": 0}));
    let expected = apply(&bed, "one", &object);
    let mut has_run = false;
    let next = arrive(&bed, &expected, DEADLINE, |seen| {
        if !seen.pods.is_empty() && !has_run {
            has_run = true;
            bed.namespace.jobs_will(image("one").digest.as_str(), Fate::Exit(0));
        }
    });
    assert_eq!((next, has_run), (Next::Done, true));
}

#[test]
fn a_job_that_failed_is_told_with_the_reason_and_how_its_container_ended() {
    let bed = Bed::new("jobfail", &[]);
    bed.namespace.jobs_will(image("one").digest.as_str(), Fate::Exit(4));
    let cause = fails(&bed, &apply(&bed, "one", &job(&named("one"), &json!({}))), DEADLINE);
    let start = "`db` failed, BackoffLimitExceeded: Job has reached the specified backoff limit: container `db` of pod `db-";
    assert!(cause.starts_with(start) && cause.ends_with(" ended with exit code 4"), "{cause}");
}

#[test]
fn a_job_that_cannot_begin_is_told_at_once_and_one_that_does_not_end_at_the_deadline() {
    let bed = Bed::new("jobstuck", &[]);
    let wait = Fate::Wait("CreateContainerConfigError".to_owned(), "secret \"key\" not found".to_owned());
    bed.namespace.jobs_will(image("one").digest.as_str(), wait);
    bed.namespace.jobs_will(image("two").digest.as_str(), Fate::Ready);
    let cause = fails(&bed, &apply(&bed, "one", &job(&named("one"), &json!({}))), DEADLINE);
    assert!(cause.ends_with("waits, CreateContainerConfigError: secret \"key\" not found"), "{cause}");
    bed.namespace.delete("Job", NAME);
    let mut other = job(&named("two"), &json!({}));
    other["metadata"]["name"] = json!("other");
    bed.namespace.apply(&other);
    let name = "other".to_owned();
    let wanted = BTreeMap::new();
    let expected = Expected {
        service: name.clone(),
        kind: WorkloadKind::Job,
        name,
        purpose: Purpose::Deploy,
        generation: 1,
        wanted,
        monitor: Duration::ZERO,
        mark: None,
    };
    assert_eq!(fails(&bed, &expected, SHORT), "`other` did not end within 3 s");
}

#[test]
fn what_the_controller_has_not_seen_is_not_taken_for_the_end() {
    let bed = Bed::new("unseen", &[]);
    bed.namespace.node(0);
    for object in [stateful_set(&named("one"), &json!({})), daemon_set(&bed, &named("one"), &json!({}))] {
        let mut expected = apply(&bed, "one", &object);
        assert_eq!(arrive(&bed, &expected, DEADLINE, |_| {}), Next::Done);
        // A change that is not written yet, so no controller can have seen it.
        expected.generation += 1;
        let cause = fails(&bed, &expected, SHORT);
        assert!(cause.ends_with(": its controller has not seen the change"), "{cause}");
    }
}

#[test]
fn a_quota_that_allows_no_pod_is_named_in_the_words_of_the_cluster_for_every_kind() {
    let bed = Bed::new("quotas", &[]);
    bed.namespace.node(0);
    bed.namespace.apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "0"}},
    }));
    for object in [
        stateful_set(&named("one"), &json!({})),
        daemon_set(&bed, &named("one"), &json!({})),
        job(&named("one"), &json!({})),
    ] {
        let cause = fails(&bed, &apply(&bed, "one", &object), DEADLINE);
        assert!(cause.starts_with("`db` gets no pods: ") && cause.contains("exceeded quota: few"), "{cause}");
    }
}

#[test]
fn what_is_removed_or_made_anew_by_somebody_else_is_theirs() {
    let bed = Bed::new("removed", &[]);
    will(&bed, "one", Fate::Unready);
    let object = stateful_set(&named("one"), &json!({}));
    let expected = apply(&bed, "one", &object);
    let mut is_removed = false;
    let next = std::thread::scope(|scope| {
        arrive(&bed, &expected, DEADLINE, |seen| {
            if !seen.pods.is_empty() && !is_removed {
                is_removed = true;
                let (bed, object) = (&bed, &object);
                scope.spawn(move || {
                    bed.namespace.delete("StatefulSet", NAME);
                    bed.namespace.apply(object);
                });
            }
        })
    });
    let cause = "stateful set `db` was removed during the rollout".to_owned();
    assert_eq!(next, Next::Overtaken { cause });
}
