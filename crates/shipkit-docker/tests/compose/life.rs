//! What a release goes through that has nothing wrong with it.

use crate::bed::{Bed, service};

#[tokio::test]
async fn a_release_comes_behind_nginx_is_replaced_and_comes_back_from_what_was_kept() {
    let mut bed = Bed::new("life");
    let (one, two) = (bed.good("1"), bed.good("2"));
    let first = bed.release(vec![service("api", &one)]);
    let steps = bed.deploy(&first).await;
    assert!(steps.iter().any(|step| step.starts_with("start 1 in the preview slot")), "{steps:#?}");
    bed.check_containers("api", &[(&one, "running", 2)]);
    assert_eq!(bed.answer(), r#"{"version":"1"}"#);
    let nginx = bed.id("nginx");

    let second = bed.release(vec![service("api", &two)]);
    bed.deploy(&second).await;
    bed.check_containers("api", &[(&two, "running", 2), (&one, "exited", 2)]);
    assert_eq!(bed.answer(), r#"{"version":"2"}"#);

    let steps = bed.rollback().await;
    assert!(!steps.iter().any(|step| step.starts_with("start ") && step.contains("slot")), "{steps:#?}");
    bed.check_containers("api", &[(&one, "running", 2)]);
    assert_eq!(bed.answer(), r#"{"version":"1"}"#);
    assert_eq!(bed.id("nginx"), nginx);
    let seen = bed.observe().await;
    let api = seen.services.iter().find(|service| service.name == "api").unwrap();
    assert_eq!((api.stamp.as_ref(), api.previous.as_ref()), (Some(&first.stamp), None));
}
