//! The lease on a stack, and the journal that its holder writes.

use std::time::Duration;

use shipkit_core::journal::{Journal, Migration};
use shipkit_core::lease::{Claim, Claimant};
use shipkit_docker::{Swarm, SwarmError};
use shipkit_tests::server::gate::{Gate, Moment};

use crate::Bed;

fn claimant(owner: &str, token: Option<u64>) -> Claimant {
    Claimant { owner: owner.to_owned(), token }
}

#[tokio::test]
async fn of_many_who_want_the_lease_one_gets_it_and_its_token_grows_with_each_holder() {
    let bed = Bed::new("lease").await;
    let (swarm, stack) = (&bed.swarm, &bed.stack);
    let asking: Vec<_> = (0..6)
        .map(|n| {
            let (swarm, stack) = (swarm.clone(), stack.clone());
            tokio::spawn(async move {
                swarm.claim(&stack, &claimant(&format!("run {n}"), None), Duration::from_mins(1)).await
            })
        })
        .collect();
    let mut claims = Vec::new();
    for one in asking {
        claims.push(one.await.unwrap().unwrap());
    }
    let taken: Vec<_> = claims.iter().filter(|claim| matches!(claim, Claim::Take(_))).collect();
    assert_eq!(taken.len(), 1, "{claims:?}");
    let [Claim::Take(first)] = taken[..] else { panic!() };
    assert_eq!(first.token, 1);
    let mine = claimant(&first.owner, Some(1));
    let renewed = swarm.claim(stack, &mine, Duration::from_mins(1)).await.unwrap();
    assert!(matches!(&renewed, Claim::Renew(lease) if lease.token == 1), "{renewed}");
    swarm.give_up(stack, 7).await.unwrap();
    let wait = swarm.claim(stack, &claimant("next", None), Duration::from_mins(1)).await.unwrap();
    assert!(matches!(wait, Claim::Wait { .. }), "{wait}");
    swarm.give_up(stack, 1).await.unwrap();
    let next = swarm.claim(stack, &claimant("next", None), Duration::from_mins(1)).await.unwrap();
    assert!(matches!(&next, Claim::Take(lease) if lease.token == 2), "{next}");
    let lost = swarm.claim(stack, &mine, Duration::from_mins(1)).await.unwrap();
    assert!(matches!(lost, Claim::Lost { to: Some(_) }), "{lost}");
}

#[tokio::test]
async fn only_the_holder_of_the_lease_writes_the_journal() {
    let mut bed = Bed::new("journal").await;
    let stamp = bed.release(Vec::new()).stamp;
    let (swarm, stack) = (&bed.swarm, &bed.stack);
    assert_eq!(swarm.journal(stack).await.unwrap(), None);
    let early =
        swarm.write_journal(stack, 1, &Journal::begin(None, stamp.clone(), 1, Migration::Compatible)).await;
    assert!(matches!(early, Err(SwarmError::LeaseLost(_))), "{early:?}");
    swarm.claim(stack, &claimant("a", None), Duration::ZERO).await.unwrap();
    let mut journal = Journal::begin(None, stamp, 1, Migration::Compatible);
    swarm.write_journal(stack, 1, &journal).await.unwrap();
    journal.service_done("api");
    swarm.write_journal(stack, 1, &journal).await.unwrap();
    assert_eq!(swarm.journal(stack).await.unwrap(), Some(journal.clone()));
    let over = swarm.claim(stack, &claimant("b", None), Duration::from_mins(1)).await.unwrap();
    assert!(matches!(&over, Claim::Take(lease) if lease.token == 2), "{over}");
    let late = swarm.write_journal(stack, 1, &journal).await.unwrap_err();
    assert!(matches!(late, SwarmError::LeaseLost(_)), "{late}");
    assert_eq!(bed.observe().await.services.len(), 0, "it is no service");
}

#[tokio::test]
async fn a_lease_is_taken_once_although_the_answer_to_that_is_lost() {
    let bed = Bed::new("unheard").await;
    let gate = Gate::start("/var/run/docker.sock");
    let (swarm, stack) = (Swarm::connect(&gate.host()).await.unwrap(), bed.stack.clone());
    let held = gate.hold(1, Moment::After);
    let lost = tokio::task::spawn_blocking(move || held.wait());
    let claim = swarm.claim(&stack, &claimant("a", None), Duration::from_mins(1)).await.unwrap();
    assert!(matches!(&claim, Claim::Take(lease) if lease.token == 1), "{claim}");
    assert!(lost.await.unwrap().unwrap().contains("/configs/create"), "{:?}", gate.changes());
    assert_eq!(gate.changes().len(), 1, "{:?}", gate.changes());
}
