//! Migrations: jobs that run once for a release.

use std::time::Duration;

use serde_json::Value;
use shipkit_core::journal::Hook;
use shipkit_core::target::{Desired, Job, JobEnd};
use shipkit_kubernetes::ClusterError;
use shipkit_tests::server::kubernetes::Fate;
use shipkit_tests::soon;

use crate::bed::{Bed, DEADLINE, image, release};

/// A migration of the release of `api`.
fn job<'a>(desired: &'a Desired, command: &'a [String], limit: Duration) -> Job<'a> {
    Job { service: &desired.services[0], command, is_begun: false, limit }
}

fn make(bed: &Bed, desired: &Desired) -> Result<(), ClusterError> {
    make_within(bed, desired, DEADLINE)
}

fn make_within(bed: &Bed, desired: &Desired, limit: Duration) -> Result<(), ClusterError> {
    let command = ["up".to_owned()];
    bed.namespace.wait(bed.cluster.make_job(Hook::Migrate, desired, job(desired, &command, limit)))
}

fn wait_for(bed: &Bed, desired: &Desired) -> JobEnd {
    let command = ["up".to_owned()];
    bed.namespace
        .wait(bed.cluster.run_job(Hook::Migrate, desired, job(desired, &command, DEADLINE), |_| {}))
        .unwrap()
}

fn migrate(bed: &Bed, desired: &Desired) -> JobEnd {
    make(bed, desired).unwrap();
    wait_for(bed, desired)
}

/// Begins it, and goes away while it runs.
fn leave_running(bed: &Bed, desired: &Desired) {
    bed.namespace.jobs_will(image("one").digest.as_str(), Fate::Ready);
    make(bed, desired).unwrap();
    let (name, command) = (name(bed), ["up".to_owned()]);
    let (leave, left) = tokio::sync::oneshot::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let migrating =
                bed.cluster.run_job(Hook::Migrate, desired, job(desired, &command, DEADLINE), |_| {});
            bed.namespace.wait(async {
                tokio::select! {
                    ended = Box::pin(migrating) => panic!("{ended:?}"),
                    _told = left => {}
                }
            });
        });
        let is_active = || bed.namespace.get("Job", &name)["status"]["active"] == 1;
        soon("it never ran", is_active);
        leave.send(()).unwrap();
    });
}

fn name(bed: &Bed) -> String {
    let names = bed.namespace.names("Job");
    assert_eq!(names.len(), 1, "{names:?}");
    names[0].clone()
}

fn failed(end: JobEnd) -> String {
    let JobEnd::Failed { cause } = end else { panic!("{end:?}") };
    cause
}

#[test]
fn a_migration_begins_when_it_is_told_to_runs_once_and_gets_no_requests() {
    let bed = Bed::new("migrate", &["api"]);
    bed.namespace.apply(&serde_json::json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "api"},
        "spec": {"selector": {"app": "api"}, "ports": [{"port": 80}]},
    }));
    let one = release("1", 1, &[("api", "one")]);
    make(&bed, &one).unwrap();
    let made = bed.namespace.get("Job", &name(&bed));
    assert_eq!((&made["spec"]["suspend"], &made["status"]["active"]), (&true.into(), &Value::Null));
    make(&bed, &one).unwrap();
    assert_eq!(wait_for(&bed, &one), JobEnd::Done);
    let done = bed.namespace.get("Job", &name(&bed));
    let pod = &done["spec"]["template"];
    assert_eq!(pod["spec"]["containers"][0]["image"], image("one").to_string());
    assert_eq!(pod["metadata"]["labels"]["app"], Value::Null);
    assert_eq!(done["metadata"]["annotations"]["shipkit.dev/version"], "1");
    assert_eq!((migrate(&bed, &one), wait_for(&bed, &one)), (JobEnd::DoneBefore, JobEnd::DoneBefore));
    assert_eq!(bed.namespace.get("Job", &name(&bed))["metadata"]["uid"], done["metadata"]["uid"]);
    assert_eq!(bed.observe().services[0].stamp, None, "nothing is rolled out by it");
}

#[test]
fn one_that_failed_is_not_run_again_until_a_person_removes_it() {
    let bed = Bed::new("mfail", &["api"]);
    bed.namespace.jobs_will(image("one").digest.as_str(), Fate::Exit(4));
    let one = release("1", 1, &[("api", "one")]);
    let cause = failed(migrate(&bed, &one));
    let name = name(&bed);
    assert!(cause.starts_with(&format!("container `api` of pod `{name}-")), "{cause}");
    assert!(cause.ends_with(" ended with exit code 4"), "{cause}");
    bed.namespace.jobs_will(image("one").digest.as_str(), Fate::Exit(0));
    let again = failed(migrate(&bed, &one));
    let hint =
        format!("{cause}; it is not run twice for one release: `kubectl delete job {name}` allows it again");
    assert_eq!(again, hint);
    bed.namespace.delete("Job", &name);
    assert_eq!(migrate(&bed, &one), JobEnd::Done);
}

#[test]
fn one_that_was_begun_and_is_gone_is_not_made_again() {
    let bed = Bed::new("mgone", &["api"]);
    let one = release("1", 1, &[("api", "one")]);
    let command = ["up".to_owned()];
    let begun = Job { is_begun: true, ..job(&one, &command, DEADLINE) };
    bed.namespace.wait(bed.cluster.make_job(Hook::Migrate, &one, begun)).unwrap();
    assert_eq!(bed.namespace.names("Job"), Vec::<String>::new());
    assert_eq!(wait_for(&bed, &one), JobEnd::Gone);
}

#[test]
fn one_that_a_killed_run_began_is_waited_for_and_holds_other_releases() {
    let bed = Bed::new("mattach", &["api"]);
    let (one, two) = (release("1", 1, &[("api", "one")]), release("2", 2, &[("api", "two")]));
    leave_running(&bed, &one);
    let running = name(&bed);
    let error = make(&bed, &two).unwrap_err();
    assert_eq!(error.to_string(), format!("job `{running}` of another release has not ended"));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| migrate(&bed, &one));
        bed.namespace.jobs_will(image("one").digest.as_str(), Fate::Exit(0));
        assert_eq!(waiting.join().unwrap(), JobEnd::DoneBefore);
    });
    assert_eq!(migrate(&bed, &two), JobEnd::Done);
    assert_ne!(name(&bed), running, "that of the release before is removed");
}

#[test]
fn one_that_does_not_end_in_time_is_ended_by_the_cluster_and_it_is_said_what_kept_it() {
    let bed = Bed::new("mlate", &["api"]);
    let command = ["up".to_owned()];
    let limit = Duration::from_secs(1);
    for (version, content, fate, why) in [
        ("1", "one", Fate::Ready, ""),
        (
            "2",
            "two",
            Fate::Wait("ErrImagePull".to_owned(), "no such image".to_owned()),
            "waits, ErrImagePull: no such image",
        ),
    ] {
        let desired = release(version, 1, &[("api", content)]);
        bed.namespace.jobs_will(image(content).digest.as_str(), fate);
        make_within(&bed, &desired, limit).unwrap();
        let job = job(&desired, &command, limit);
        let end = bed.namespace.wait(bed.cluster.run_job(Hook::Migrate, &desired, job, |_| {})).unwrap();
        let cause = failed(end);
        assert!(cause.starts_with("it did not end within 1 s, so the cluster has ended it"), "{cause}");
        assert!(cause.ends_with(why), "{cause}");
    }
}

#[test]
fn a_backup_and_a_migration_of_one_release_are_two_jobs_and_neither_removes_the_other() {
    let bed = Bed::new("mboth", &["api"]);
    let (one, command) = (release("1", 1, &[("api", "one")]), ["save".to_owned()]);
    let backup = |desired: &Desired| {
        let (cluster, job) = (&bed.cluster, job(desired, &command, DEADLINE));
        bed.namespace.wait(cluster.make_job(Hook::Backup, desired, job)).unwrap();
        bed.namespace.wait(cluster.run_job(Hook::Backup, desired, job, |_| {})).unwrap()
    };
    assert_eq!((backup(&one), migrate(&bed, &one)), (JobEnd::Done, JobEnd::Done));
    assert_eq!((backup(&one), migrate(&bed, &one)), (JobEnd::DoneBefore, JobEnd::DoneBefore));
    let names = bed.namespace.names("Job");
    assert!(names[0].starts_with("shipkit-backup-") && names[1].starts_with("shipkit-migrate-"), "{names:?}");
    let saved = bed.namespace.get("Job", &names[0]);
    assert_eq!(saved["spec"]["template"]["metadata"]["labels"]["shipkit.dev/job"], "backup");
    let two = release("2", 2, &[("api", "two")]);
    assert_eq!(backup(&two), JobEnd::Done);
    let now = bed.namespace.names("Job");
    assert!(now.len() == 2 && now[0] != names[0] && now[1] == names[1], "{now:?}");
}
