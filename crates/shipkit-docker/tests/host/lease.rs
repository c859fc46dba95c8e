//! The lease on a stack, and the journal that its holder writes.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use shipkit_core::Digest;
use shipkit_core::Hint as _;
use shipkit_core::exit::ExitCode;
use shipkit_core::journal::{Journal, JournalError, Migration};
use shipkit_core::lease::{Claim, Claimant, DURATION, Lease};
use shipkit_core::target::Stamp;
use shipkit_docker::{Host, HostError};
use shipkit_tests::server::sshd::Sshd;

use crate::client::connect;
use crate::place::{Place, names, while_locked};

const STACK: &str = "shop-staging";

fn claimant(owner: &str, token: Option<u64>) -> Claimant {
    Claimant { owner: owner.to_owned(), token }
}

async fn claim(host: &Host, owner: &str, token: Option<u64>) -> Claim {
    host.claim(STACK, &claimant(owner, token), DURATION).await.unwrap()
}

fn journal() -> Journal {
    let stamp = Stamp {
        release: Digest::of(b"1"),
        version: "1.0.0 it's $HOME \\".to_owned(),
        commit: "c".repeat(40),
        environment: "staging".to_owned(),
        run: None,
        time: "2026-01-02T03:04:05Z".parse().unwrap(),
    };
    Journal::begin(None, stamp, 1, Migration::Compatible)
}

/// The lease as it lies there.
fn there(place: &Place) -> Lease {
    Lease::parse(&fs::read_to_string(place.path(".shipkit/shop-staging/lease.json")).unwrap()).unwrap()
}

fn mode(place: &Place, name: &str) -> u32 {
    fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn of_many_who_want_the_lease_one_gets_it_and_its_token_grows_with_each_holder() {
    for place in Place::both().await {
        let asking: Vec<_> = (0..6)
            .map(|n| {
                let host = place.host.clone();
                tokio::spawn(async move { claim(&host, &format!("run {n}"), None).await })
            })
            .collect();
        let mut claims = Vec::new();
        for one in asking {
            claims.push(one.await.unwrap());
        }
        let taken: Vec<_> = claims.iter().filter(|claim| matches!(claim, Claim::Take(_))).collect();
        let [Claim::Take(first)] = taken[..] else { panic!("{claims:?}") };
        assert_eq!((first.token, first), (1, &there(&place)));
        let waiting =
            claims.iter().filter(|claim| matches!(claim, Claim::Wait { held, .. } if held == first));
        assert_eq!(waiting.count(), 5, "{claims:?}");

        let host = &place.host;
        let renewed = claim(host, &first.owner, Some(1)).await;
        assert!(matches!(&renewed, Claim::Renew(lease) if *lease == there(&place)), "{renewed}");
        host.give_up(STACK, 7).await.unwrap();
        let wait = claim(host, "next", None).await;
        assert!(matches!(wait, Claim::Wait { left, .. } if Duration::from_secs(40) < left), "{wait}");
        host.give_up(STACK, 1).await.unwrap();
        let next = claim(host, "next", None).await;
        assert!(matches!(&next, Claim::Take(lease) if lease.token == 2), "{next}");
        let lost = claim(host, &first.owner, Some(1)).await;
        assert!(matches!(lost, Claim::Lost { to: Some(_) }), "{lost}");
        fs::remove_file(place.path(".shipkit/shop-staging/lease.json")).unwrap();
        assert_eq!(claim(host, "next", Some(2)).await, Claim::Lost { to: None });
    }
}

#[tokio::test]
async fn a_lease_that_ended_is_taken_over_and_its_holder_goes_on_only_until_then() {
    for place in Place::both().await {
        let host = &place.host;
        host.claim(STACK, &claimant("a", None), Duration::ZERO).await.unwrap();
        let late = host.claim(STACK, &claimant("a", Some(1)), Duration::ZERO).await.unwrap();
        assert!(matches!(late, Claim::Renew(_)), "{late}");
        let over = claim(host, "b", None).await;
        assert!(matches!(&over, Claim::Take(lease) if lease.token == 2), "{over}");
        let lost = claim(host, "a", Some(1)).await;
        assert!(matches!(&lost, Claim::Lost { to: Some(lease) } if lease.owner == "b"), "{lost}");
    }
}

#[tokio::test]
async fn stacks_have_leases_of_their_own() {
    let place = Place::here();
    claim(&place.host, "a", None).await;
    let other = place.host.claim("shop-production", &claimant("b", None), DURATION).await.unwrap();
    assert!(matches!(other, Claim::Take(_)), "{other}");
}

#[tokio::test]
async fn only_the_holder_of_the_lease_writes_the_journal() {
    for place in Place::both().await {
        let host = &place.host;
        assert_eq!(host.journal(STACK).await.unwrap(), None);
        assert_eq!(names(&place.home), [""; 0], "looking makes nothing");
        let early = host.write_journal(STACK, 1, &journal()).await;
        assert!(matches!(early, Err(HostError::LeaseLost(_))), "{early:?}");
        host.claim(STACK, &claimant("a", None), Duration::ZERO).await.unwrap();
        let mut journal = journal();
        host.write_journal(STACK, 1, &journal).await.unwrap();
        journal.service_done("api");
        host.write_journal(STACK, 1, &journal).await.unwrap();
        assert_eq!(host.journal(STACK).await.unwrap(), Some(journal.clone()));
        claim(host, "b", None).await;
        let late = host.write_journal(STACK, 1, &self::journal()).await.unwrap_err();
        assert_eq!(late.to_string(), "another run has the lease on stack `shop-staging` now");
        assert_eq!((late.exit_code(), late.hint().is_some()), (ExitCode::Unknown, true));
        assert_eq!(host.journal(STACK).await.unwrap(), Some(journal));
    }
}

#[tokio::test]
async fn what_lies_there_is_for_its_owner_alone_and_nothing_is_left_over() {
    for place in Place::both().await {
        let folder = place.path(".shipkit/shop-staging");
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        claim(&place.host, "a", None).await;
        place.host.write_journal(STACK, 1, &journal()).await.unwrap();
        assert_eq!(names(&folder), ["journal.json", "lease.json", "lock"]);
        assert_eq!(mode(&place, ".shipkit/shop-staging"), 0o700);
        for name in names(&folder) {
            assert_eq!(mode(&place, &format!(".shipkit/shop-staging/{name}")), 0o600, "{name}");
        }
        fs::remove_dir_all(place.path(".shipkit")).unwrap();
        claim(&place.host, "a", None).await;
        assert_eq!(mode(&place, ".shipkit"), 0o700);
    }
}

#[tokio::test]
async fn what_is_damaged_is_an_error_with_its_path_and_never_free() {
    for place in Place::both().await {
        let host = &place.host;
        claim(host, "a", None).await;
        let path = place.text(".shipkit/shop-staging/lease.json");
        for text in ["", "\n", "{\"owner\":\"a\"", "{}", &"x".repeat(10_000)] {
            fs::write(&path, text).unwrap();
            let error = host.claim(STACK, &claimant("b", None), DURATION).await.unwrap_err();
            assert!(error.to_string().contains(&path), "{error}");
            assert_eq!(error.exit_code(), ExitCode::Unknown);
            assert!(host.write_journal(STACK, 1, &journal()).await.is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, "{}").unwrap();
        let error = host.claim(STACK, &claimant("b", None), DURATION).await.unwrap_err();
        assert_eq!(error.to_string(), format!("`{path}` {} is no lease", place.name));
        assert_eq!(error.hint().unwrap(), format!("if no other run is under way, delete `{path}` there"));
        host.give_up(STACK, 1).await.unwrap();
        fs::write(place.path(".shipkit/shop-staging/journal.json"), "{").unwrap();
        let error = host.journal(STACK).await.unwrap_err();
        assert!(matches!(error, HostError::Journal(JournalError::Shape(_))), "{error}");
    }
}

#[tokio::test]
async fn a_lease_that_a_person_has_edited_is_still_one() {
    for place in Place::both().await {
        let path = place.path(".shipkit/shop-staging/lease.json");
        claim(&place.host, "a", None).await;
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("\n {text}\n\n")).unwrap();
        let renewed = claim(&place.host, "a", Some(1)).await;
        assert!(matches!(renewed, Claim::Renew(_)), "{renewed}");
    }
}

#[tokio::test]
async fn nothing_is_written_while_somebody_else_has_the_lock() {
    let place = Place::here();
    claim(&place.host, "a", None).await;
    let before = there(&place);
    let renewing = claim(&place.host, "a", Some(1));
    let waits_for_it = while_locked(&place, || assert_eq!(there(&place), before));
    let (renewed, ()) = tokio::join!(renewing, waits_for_it);
    assert!(matches!(renewed, Claim::Renew(_)), "{renewed}");
}

#[tokio::test]
async fn a_server_without_flock_and_a_lock_that_is_never_free_are_told() {
    let sshd = Sshd::with("SetEnv SHLVL=9 PATH=FOLDER/bin HOME=FOLDER/home");
    fs::create_dir(sshd.path("bin")).unwrap();
    for program in ["sh", "cat", "date", "mkdir", "chmod"] {
        symlink(format!("/bin/{program}"), sshd.path("bin").join(program)).unwrap();
    }
    let host = Host::over(connect(&sshd).await).await.unwrap();
    let error = host.claim(STACK, &claimant("a", None), DURATION).await.unwrap_err();
    assert_eq!(error.to_string(), format!("there is no program `flock` on `{}`", sshd.host()));
    assert_eq!(error.exit_code(), ExitCode::Usage);
    // As the real one ends when its time is up.
    fs::write(sshd.path("bin/flock"), "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(sshd.path("bin/flock"), Permissions::from_mode(0o755)).unwrap();
    let error = host.claim(STACK, &claimant("a", None), DURATION).await.unwrap_err();
    assert!(error.to_string().ends_with("somebody keeps the file `lock` of the stack locked"), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Unknown);
    assert!(!sshd.path("home/.shipkit/shop-staging/lease.json").exists());
}
