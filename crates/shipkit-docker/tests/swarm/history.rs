//! The releases that were confirmed on a stack, and the way back to each.

use std::collections::BTreeMap;

use jiff::Timestamp;
use shipkit_core::history::{Entry, Means};
use shipkit_core::journal::Migration;
use shipkit_core::rollout::Next;
use shipkit_core::target::Desired;
use shipkit_docker::Memory;

use crate::{Bed, DEADLINE, check_runs, docker, service, with};

/// A deploy that must succeed, and is kept.
async fn deploy(bed: &Bed, desired: &Desired) -> Memory {
    bed.deploy(desired).await;
    remember(bed, desired).await
}

async fn remember(bed: &Bed, desired: &Desired) -> Memory {
    bed.swarm.remember(desired, Migration::Compatible, Timestamp::UNIX_EPOCH).await.unwrap()
}

async fn versions(bed: &Bed) -> Vec<String> {
    let entries = bed.swarm.history(&bed.stack).await.unwrap().entries;
    entries.into_iter().map(|entry| entry.stamp.version).collect()
}

/// Puts back all that an entry keeps.
async fn come_back(bed: &Bed, entry: &Entry) {
    let way = entry.way_to(&bed.observe().await);
    for back in &way.returns {
        let applied = bed.swarm.come_back(&bed.stack, entry, &back.service, None).await.unwrap();
        assert_eq!(bed.swarm.rollout(&applied, DEADLINE, |_| {}).await.unwrap(), Next::Done);
    }
    for name in &way.stay {
        bed.swarm.forget(&bed.stack, name).await.unwrap();
    }
}

#[tokio::test]
async fn a_release_of_long_ago_comes_back_as_a_whole_and_what_was_no_part_of_it_stays() {
    let mut bed = Bed::new("further").await;
    let (one, two) = (bed.good("1"), bed.good("2"));
    let api = |image, value: &str| {
        with(service("api", image), |settings| {
            settings.environment = BTreeMap::from([("A".to_owned(), value.to_owned())]);
        })
    };
    let mut db = service("db", &one);
    db.stateful = true;
    let first = bed.release(vec![api(&one, "1"), db.clone(), service("web", &one)]);
    assert_eq!(deploy(&bed, &first).await, Memory::Kept);
    let kept = bed.containers("db");
    let second = bed.release(vec![api(&two, "2"), db.clone(), service("new", &one)]);
    deploy(&bed, &second).await;
    let third = bed.release(vec![api(&two, "3"), db, service("new", &two)]);
    deploy(&bed, &third).await;
    assert_eq!(versions(&bed).await, ["3", "2", "1"]);

    // Nothing can be pulled from now on, and somebody has removed a service.
    bed.registry = None;
    docker(&["service", "rm", &format!("{}_web", bed.stack)]);
    let history = bed.swarm.history(&bed.stack).await.unwrap();
    let entry = &history.entries[2];
    assert_eq!(entry.services["db"].means, Means::HoldsData);
    let before = bed.observe().await;
    assert!(history.entries[0].runs(&before) && !entry.runs(&before));
    come_back(&bed, entry).await;
    let seen = bed.observe().await;
    check_runs(&seen, "1", &one, 1);
    assert_eq!(seen.services[0].settings.environment["A"], "1");
    let there: Vec<_> = seen.services.iter().map(|s| (s.name.as_str(), s.is_confirmed)).collect();
    assert_eq!(there, [("api", true), ("db", true), ("new", true), ("web", true)]);
    assert!(entry.runs(&seen) && seen.services[2].stamp == Some(third.stamp.clone()));
    assert!(seen.services.iter().all(|service| service.previous.is_none()), "nothing leads to what was left");
    assert_eq!(bed.containers("db"), kept);

    // What was left is reached by its name, and coming back to what runs changes nothing.
    come_back(&bed, &history.entries[0]).await;
    let containers = bed.containers("api");
    come_back(&bed, &history.entries[0]).await;
    check_runs(&bed.observe().await, "3", &two, 1);
    // The one before it may still have been stopping.
    assert!(bed.containers("api").iter().all(|container| containers.contains(container)));
    assert_eq!(versions(&bed).await, ["3", "2", "1"]);
}

#[tokio::test]
async fn a_deploy_is_kept_once_and_the_newest_ten_stay() {
    let mut bed = Bed::new("ten").await;
    let one = bed.good("1");
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    // Killed before this: the next run of the release finds all confirmed.
    remember(&bed, &first).await;
    let again = Desired {
        stamp: shipkit_core::target::Stamp { time: Timestamp::MAX, ..first.stamp.clone() },
        ..first.clone()
    };
    deploy(&bed, &again).await;
    assert_eq!(versions(&bed).await, ["1"]);
    assert_eq!(bed.swarm.history(&bed.stack).await.unwrap().entries[0].stamp, first.stamp);
    for _ in 0..11 {
        let next = bed.release(vec![service("api", &one)]);
        deploy(&bed, &next).await;
    }
    let expected: Vec<String> = (3..=12).rev().map(|version: u8| version.to_string()).collect();
    assert_eq!(versions(&bed).await, expected);
    assert_eq!(bed.observe().await.services.len(), 1, "they are no services");
    // What is not confirmed is not kept.
    let unconfirmed = bed.release(vec![service("api", &one)]);
    bed.apply(&unconfirmed).await;
    remember(&bed, &unconfirmed).await;
    assert_eq!(versions(&bed).await, expected);
}

#[tokio::test]
async fn what_is_too_large_is_listed_and_what_cannot_be_read_is_named() {
    let mut bed = Bed::new("large").await;
    let one = bed.good("1");
    let large = with(service("api", &one), |settings| {
        let variable = |n: u8| (format!("V{n}"), "x".repeat(100_000));
        settings.environment = (0..6).map(variable).collect();
    });
    let first = bed.release(vec![large]);
    let memory = deploy(&bed, &first).await;
    assert!(matches!(memory, Memory::OnlyListed { bytes } if 600_000 < bytes), "{memory:?}");
    let name = format!("{}_shipkit-history-7", bed.stack);
    let namespace = format!("com.docker.stack.namespace={}", bed.stack);
    docker(&[
        "config",
        "create",
        "--label",
        &namespace,
        "--label",
        "dev.shipkit.history=x",
        &name,
        "/etc/hostname",
    ]);
    let history = bed.swarm.history(&bed.stack).await.unwrap();
    assert_eq!(history.entries.iter().map(Entry::is_reachable).collect::<Vec<_>>(), [false]);
    assert_eq!(history.unreadable, [format!("`{name}`: it cannot be read")]);
    let error = bed.swarm.come_back(&bed.stack, &history.entries[0], "api", None).await.unwrap_err();
    assert!(error.to_string().contains("remembers no good release"), "{error}");
    let second = bed.release(vec![service("api", &one)]);
    assert_eq!(deploy(&bed, &second).await, Memory::Kept);
    assert_eq!(versions(&bed).await, ["2", "1"]);
}
