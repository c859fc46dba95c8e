//! Who may change what a project has in a namespace, and the journal of its last run.

use std::time::Duration;

use serde_json::json;
use shipkit_core::Hint as _;
use shipkit_core::exit::ExitCode;
use shipkit_core::journal::{Journal, Migration};
use shipkit_core::lease::{Claim, Claimant, DURATION, Lease};
use shipkit_kubernetes::{Access, Cluster, ClusterError, Place};
use shipkit_tests::server::kubernetes::kubeconfig;

use crate::bed::{Bed, place, release};

fn claim(bed: &Bed, owner: &str, token: Option<u64>) -> Result<Claim, ClusterError> {
    let me = Claimant { owner: owner.to_owned(), token };
    bed.namespace.wait(bed.cluster.claim(&me, DURATION))
}

#[track_caller]
fn taken(claim: Result<Claim, ClusterError>) -> Lease {
    let Ok(Claim::Take(lease)) = claim else { panic!("{claim:?}") };
    lease
}

fn journal(version: &str, token: u64) -> Journal {
    Journal::begin(None, release(version, 1, &[]).stamp, token, Migration::Compatible)
}

#[test]
fn one_run_has_the_lease_until_it_gives_it_up_and_the_next_one_gets_a_greater_token() {
    let bed = Bed::new("lease", &[]);
    let first = taken(claim(&bed, "a", None));
    assert_eq!((first.owner.as_str(), first.token), ("a", 1));
    let waits = claim(&bed, "b", None);
    let Ok(Claim::Wait { held, left }) = waits else { panic!("{waits:?}") };
    assert_eq!(held, first);
    assert!(Duration::from_secs(50) < left && left <= DURATION, "{left:?}");
    assert!(matches!(claim(&bed, "a", Some(1)), Ok(Claim::Renew(_))));
    let shown = bed.namespace.get("Lease", "shop-shipkit")["spec"].clone();
    assert_eq!((&shown["holderIdentity"], &shown["leaseTransitions"]), (&json!("a"), &json!(1)), "{shown}");

    bed.namespace.wait(bed.cluster.give_up(2)).unwrap();
    assert!(matches!(claim(&bed, "b", None), Ok(Claim::Wait { .. })), "only its holder gives it up");
    bed.namespace.wait(bed.cluster.give_up(1)).unwrap();
    bed.namespace.wait(bed.cluster.give_up(1)).unwrap();
    assert_eq!(taken(claim(&bed, "b", None)).token, 2);
    assert!(matches!(claim(&bed, "a", Some(1)), Ok(Claim::Lost { to: Some(lease) }) if lease.owner == "b"));
    bed.namespace.delete("Lease", "shop-shipkit");
    assert!(matches!(claim(&bed, "b", Some(2)), Ok(Claim::Lost { to: None })));
    bed.namespace.wait(bed.cluster.give_up(2)).unwrap();
}

#[test]
fn of_many_who_ask_at_once_one_gets_it_and_other_projects_of_the_namespace_have_their_own() {
    let bed = Bed::new("race", &[]);
    let other = Place { project: "blog".to_owned(), ..place(bed.namespace.name(), &[], &[]) };
    let access = Access::File { path: kubeconfig(), context: None };
    let other = bed.namespace.wait(Cluster::connect(&access, other)).unwrap();
    for round in 1..=4 {
        let everyone: Vec<_> =
            (0..6).map(|number| Claimant { owner: format!("run {number}"), token: None }).collect();
        let claims = bed.namespace.wait(async {
            let asking: Vec<_> = everyone
                .into_iter()
                .map(|me| {
                    let cluster = bed.cluster.clone();
                    tokio::spawn(async move { cluster.claim(&me, DURATION).await.unwrap() })
                })
                .collect();
            let mut claims = Vec::new();
            for one in asking {
                claims.push(one.await.unwrap());
            }
            claims
        });
        let tokens: Vec<u64> = claims
            .iter()
            .filter_map(|claim| if let Claim::Take(lease) = claim { Some(lease.token) } else { None })
            .collect();
        assert_eq!(tokens, [round], "{claims:?}");
        bed.namespace.wait(bed.cluster.give_up(round)).unwrap();
    }
    let me = Claimant { owner: "a".to_owned(), token: None };
    let taken = bed.namespace.wait(other.claim(&me, DURATION)).unwrap();
    assert!(matches!(taken, Claim::Take(Lease { token: 1, .. })), "{taken:?}");
    assert_eq!(bed.namespace.names("Lease"), ["blog-shipkit", "shop-shipkit"]);
}

#[test]
fn a_lease_ends_by_the_clock_of_the_cluster_and_what_is_none_is_never_free() {
    let bed = Bed::new("clock", &[]);
    taken(claim(&bed, "a", None));
    let renewed = |time: jiff::Timestamp| {
        let fields = json!({"spec": {"renewTime": format!("{time:.6}")}});
        bed.namespace.merge("Lease", "shop-shipkit", &fields);
    };
    let now = jiff::Timestamp::now();
    renewed(now - Duration::from_secs(30));
    let waits = claim(&bed, "b", None);
    let Ok(Claim::Wait { left, .. }) = waits else { panic!("{waits:?}") };
    assert!(Duration::from_secs(20) < left && left <= Duration::from_secs(31), "{left:?}");
    renewed(now - Duration::from_secs(61));
    assert_eq!(taken(claim(&bed, "b", None)).token, 2);

    let nowhere = bed.namespace.wait(Cluster::connect(
        &Access::File { path: kubeconfig(), context: None },
        place("sk-nowhere", &[], &[]),
    ));
    let me = Claimant { owner: "a".to_owned(), token: None };
    let error = bed.namespace.wait(nowhere.unwrap().claim(&me, DURATION)).unwrap_err();
    assert!(matches!(error, ClusterError::NoNamespace(_)), "{error:?}");

    for broken in [json!({"renewTime": null}), json!({"leaseTransitions": 0})] {
        bed.namespace.merge("Lease", "shop-shipkit", &json!({"spec": broken}));
        let error = claim(&bed, "c", None).unwrap_err();
        assert!(matches!(error, ClusterError::BadLease(_)), "{error:?}");
        assert_eq!(error.exit_code(), ExitCode::Unknown);
        assert!(error.hint().unwrap().contains("delete the lease"), "{error}");
    }
}

#[test]
fn the_journal_is_written_by_the_holder_alone_and_stays_when_the_lease_changes_hands() {
    let bed = Bed::new("journal", &[]);
    let read = || bed.namespace.wait(bed.cluster.journal());
    let write = |token, journal: &Journal| bed.namespace.wait(bed.cluster.write_journal(token, journal));
    assert_eq!(read().unwrap(), None);
    let error = write(1, &journal("1", 1)).unwrap_err();
    assert!(matches!(error, ClusterError::LeaseLost(_)), "{error:?}");
    taken(claim(&bed, "a", None));
    assert_eq!(read().unwrap(), None);
    write(1, &journal("1", 1)).unwrap();
    assert_eq!(read().unwrap(), Some(journal("1", 1)));
    assert!(matches!(claim(&bed, "a", Some(1)), Ok(Claim::Renew(_))));
    bed.namespace.wait(bed.cluster.give_up(1)).unwrap();
    taken(claim(&bed, "b", None));
    assert_eq!(read().unwrap(), Some(journal("1", 1)));

    let error = write(1, &journal("0", 1)).unwrap_err();
    let said = "the lease `shop-shipkit` belongs to another run by now";
    assert_eq!((error.to_string().as_str(), error.exit_code()), (said, ExitCode::Unknown));
    assert_eq!(read().unwrap(), Some(journal("1", 1)));
    write(2, &journal("2", 2)).unwrap();
    assert_eq!(read().unwrap(), Some(journal("2", 2)));

    let fields = json!({"metadata": {"annotations": {"shipkit.dev/journal": "{"}}});
    bed.namespace.merge("Lease", "shop-shipkit", &fields);
    assert!(matches!(read(), Err(ClusterError::Journal(_))));
    bed.namespace.delete("Lease", "shop-shipkit");
    assert!(matches!(write(2, &journal("2", 2)), Err(ClusterError::LeaseLost(_))));
}
