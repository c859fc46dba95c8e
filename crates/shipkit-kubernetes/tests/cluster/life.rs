//! Deploys that work, and the way back.

use serde_json::{Value, json};
use shipkit_core::rollout::Next;
use shipkit_core::target::{NoWayBack, Observed, way_back};
use shipkit_tests::server::kubernetes::Fate;

use crate::bed::{Bed, DEADLINE, image, release, three};

#[test]
fn a_release_replaces_what_ran_by_digest_and_leaves_alone_what_others_own() {
    let bed = Bed::new("first", &["api", "web"]);
    bed.namespace.apply_as("autoscaler", &json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 2},
    }));
    let before = bed.observe();
    assert!(before.services.iter().all(|service| service.stamp.is_none() && service.image.is_none()));

    let one = release("1", 1, &[("api", "one"), ("web", "one")]);
    // One of its pods is named by the manifest of its platform.
    bed.namespace.will(
        image("one").digest.as_str(),
        Fate::Called(format!("x@{}", shipkit_core::Digest::of(b"one amd64"))),
    );
    let remarks = bed.namespace.wait(bed.cluster.preflight(&one, &before)).unwrap();
    assert_eq!(remarks, Vec::<String>::new());
    let written = |seen: &Observed| -> Vec<_> {
        seen.services.iter().map(|service| (service.version, service.stamp.clone())).collect()
    };
    assert_eq!(written(&bed.observe()), written(&before), "trying a change keeps nothing");
    bed.deploy(&one);

    let two_pods = vec![(image("one").digest.to_string(), 2)];
    let version = Some("1".to_owned());
    assert_eq!(
        bed.shown(),
        [
            ("api".to_owned(), version.clone(), true, three("one")),
            ("web".to_owned(), version, true, two_pods)
        ]
    );
    let live = bed.namespace.get("Deployment", "api");
    assert_eq!(live["metadata"]["labels"]["team"], "a");
    assert_eq!(live["spec"]["template"]["spec"]["containers"][0]["image"], image("one").to_string());

    // Deployed again, nothing is written but what its controller says of it: the same object, the same pods.
    let again = bed.apply(&one);
    assert!(again.iter().all(|applied| bed.arrive(applied, DEADLINE) == Next::Done));
    assert_eq!(stated(&bed.namespace.get("Deployment", "api")), stated(&live));
}

/// All of a deployment but its status, and when shipkit wrote it last.
fn stated(deployment: &Value) -> Value {
    let metadata = &deployment["metadata"];
    let fields = metadata["managedFields"].as_array().unwrap();
    let ours: Vec<_> = fields.iter().filter(|one| one["manager"] == "shipkit").collect();
    json!([deployment["spec"], metadata["generation"], metadata["annotations"], metadata["labels"], ours])
}

#[test]
fn a_rollback_takes_all_services_to_the_release_before_and_no_further() {
    let bed = Bed::new("back", &["api", "web"]);
    bed.deploy(&release("1", 1, &[("api", "one"), ("web", "same")]));
    bed.deploy(&release("2", 2, &[("api", "two"), ("web", "same")]));
    let back = way_back("shop", &bed.observe()).unwrap();
    let from_to: Vec<_> = back
        .returns
        .iter()
        .map(|one| {
            (one.from.as_ref().unwrap().version.as_str(), one.to.stamp.as_ref().unwrap().version.as_str())
        })
        .collect();
    assert_eq!(from_to, [("2", "1"), ("2", "1")]);
    for service in &back.returns {
        let applied = bed.namespace.wait(bed.cluster.restore(service)).unwrap();
        assert_eq!(bed.arrive(&applied, DEADLINE), Next::Done);
    }
    let version = Some("1".to_owned());
    assert_eq!(
        bed.shown(),
        [
            ("api".to_owned(), version.clone(), true, three("one")),
            ("web".to_owned(), version, true, three("same"))
        ]
    );
    let further = way_back("shop", &bed.observe());
    assert!(matches!(further, Err(NoWayBack::NothingBefore { .. })), "{further:?}");
}

#[test]
fn the_first_release_goes_back_to_what_ran_before_shipkit() {
    let bed = Bed::new("foreign", &["api"]);
    bed.deploy(&release("1", 1, &[("api", "one")]));
    let back = way_back("shop", &bed.observe()).unwrap();
    let applied = bed.namespace.wait(bed.cluster.restore(&back.returns[0])).unwrap();
    assert_eq!(bed.arrive(&applied, DEADLINE), Next::Done);
    let before = vec![("registry.example/shop/app:before".to_owned(), 3)];
    assert_eq!(bed.shown(), [("api".to_owned(), None, true, before)]);
    let left = bed.namespace.get("Deployment", "api")["metadata"]["annotations"].to_string();
    assert!(!left.contains("shipkit.dev/release"), "{left}");
}

#[test]
fn a_deploy_that_was_killed_is_finished_by_the_next_and_the_good_release_stays_remembered() {
    let bed = Bed::new("killed", &["api", "web"]);
    bed.deploy(&release("1", 1, &[("api", "one"), ("web", "one")]));
    // Killed after the first service was written.
    let killed = release("2", 2, &[("api", "two"), ("web", "two")]);
    let (changes, now) = (shipkit_core::target::plan(&killed, &bed.observe()), bed.observe());
    assert_eq!(now.services.len(), 2);
    bed.namespace.wait(bed.cluster.apply(&killed, &changes[0])).unwrap();
    let left = bed.namespace.wait(bed.cluster.preflight(&killed, &bed.observe())).unwrap();
    assert_eq!(left, ["deployment of `api` was left by a deploy that did not finish"]);

    let mut again = killed;
    again.stamp.time = "2026-01-02T04:00:00Z".parse().unwrap();
    bed.deploy(&again);
    let version = Some("2".to_owned());
    assert_eq!(
        bed.shown(),
        [
            ("api".to_owned(), version.clone(), true, three("two")),
            ("web".to_owned(), version, true, three("two"))
        ]
    );
    let back = way_back("shop", &bed.observe()).unwrap();
    assert!(back.returns.iter().all(|one| one.to.stamp.as_ref().unwrap().version == "1"), "{back:?}");
}

#[test]
fn pods_that_are_ready_do_not_count_before_they_have_been_so_for_as_long_as_their_deployment_wants() {
    let bed = Bed::new("minready", &["api"]);
    // All pods are replaced at once: nothing but the new ones is available.
    bed.namespace.merge(
        "Deployment",
        "api",
        &json!({"spec": {"minReadySeconds": 2, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 3}}}}),
    );
    let applied = bed.apply(&release("1", 1, &[("api", "one")])).pop().unwrap();
    assert_eq!(bed.arrive(&applied, DEADLINE), Next::Done);
    let status = bed.namespace.get("Deployment", "api")["status"].clone();
    assert_eq!(status["availableReplicas"], 3, "{status}");
}
