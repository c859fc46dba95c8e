//! What a run leaves on a Swarm: services of one release, what is remembered of those before, and a ledger that is closed.

use shipkit_core::journal::{Intent, Journal, Resume, resume};
use shipkit_core::lease::Lease;

use crate::bed::Bed;

/// Release `version` of `api` and `web` serves in `staging`, one task of each; nothing else is there but `further` services.
#[track_caller]
pub(crate) fn check_serves(bed: &Bed, version: &str, further: &[&str]) {
    assert_eq!(bed.versions(), [version, "1.1.0", version]);
    let mut services = bed.services();
    services.sort();
    let mut expected: Vec<String> =
        ["api", "db", "web"].iter().chain(further).map(|name| format!("{}_{name}", bed.stack)).collect();
    expected.sort();
    assert_eq!(services, expected);
    for service in ["api", "web"] {
        let image = bed.inspect(service, "{{.Spec.TaskTemplate.ContainerSpec.Image}}");
        assert_eq!(meant_to_run(bed, service), [image], "{service}");
    }
    check_closed(bed, &[]);
}

/// Nobody holds the lease, the last run has ended, and no other object is there but `further` ones.
#[track_caller]
pub(crate) fn check_closed(bed: &Bed, further: &[&str]) {
    let names =
        bed.docker(&["config", "ls", "--format", "{{.Name}}", "--filter", &format!("name={}", bed.stack)]);
    let ledger = format!("{}_shipkit", bed.stack);
    let history = format!("{ledger}-history-");
    let is_ours = |name: &str| name == ledger || name.starts_with(&history) || further.contains(&name);
    assert!(names.lines().all(is_ours), "{names}");
    let label = |name: &str| {
        bed.docker(&[
            "config",
            "inspect",
            "--format",
            &format!("{{{{index .Spec.Labels \"{name}\"}}}}"),
            &ledger,
        ])
    };
    let lease = Lease::parse(&label("dev.shipkit.lease")).unwrap();
    assert!(lease.expires <= jiff::Timestamp::now(), "{lease:?}");
    let journal = Journal::parse(&label("dev.shipkit.journal")).unwrap();
    let left = resume(Some(&journal), Intent::Reconcile);
    assert!(matches!(left, Resume::Nothing { .. }), "{left:?}");
}

/// The images of the tasks of a service that are meant to run.
fn meant_to_run(bed: &Bed, service: &str) -> Vec<String> {
    let name = format!("{}_{service}", bed.stack);
    let format = ["--no-trunc", "--format", "{{.Image}}", "--filter", "desired-state=running"];
    bed.docker(&[&["service", "ps"], &format[..], &[&name]].concat()).lines().map(str::to_owned).collect()
}
