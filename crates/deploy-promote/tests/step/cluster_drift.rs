//! What `status` tells of a namespace with manifests that somebody has changed since a release was deployed there.

use crate::bed::Transcript;
use crate::cluster::Shop;
use crate::cluster_manifests::{deploy, empty, manifests, step};

/// The lines of `status` about what somebody has changed.
#[track_caller]
fn changed(shop: &Shop, kubeconfig: Option<&str>) -> (Vec<String>, Transcript) {
    let mut status = step(shop, "status", "");
    if let Some(kubeconfig) = kubeconfig {
        status = status.input("kubeconfig", kubeconfig);
    }
    let run = status.run();
    assert_eq!(run.exit, Some(0), "{run:#?}");
    let lines = run.stdout.lines().filter_map(|line| line.strip_prefix("changed since: "));
    (lines.map(str::to_owned).collect(), run)
}

#[test]
fn status_names_every_field_that_somebody_has_changed_and_what_is_gone() {
    let shop = empty("dm-drift");
    let probe = "readinessProbe: {httpGet: {path: /, port: 80}}";
    let settings = format!(", env: [{{name: KEY, value: s3cret}}], {probe}, envFrom:");
    let hello = manifests(&shop, "hello").replacen(", envFrom:", &settings, 1);
    deploy(&shop, &shop.release(1, None), &hello).run().ended(0, "1.1.0 runs in staging");
    let (lines, run) = changed(&shop, None);
    assert_eq!((lines, run.outputs["cause"].as_str()), (Vec::new(), "1.1.0 serves"));

    let by_hand = |arguments: &[&str]| shop.kubectl(arguments);
    by_hand(&["label", "deployment", "web", "owner=somebody"]);
    by_hand(&["annotate", "service", "web", "owner=somebody"]);
    assert_eq!(changed(&shop, None).0, Vec::<String>::new(), "what is added beside is no difference");
    by_hand(&["set", "env", "deployment/shop-api", "KEY=other-s3cret"]);
    by_hand(&["set", "image", "deployment/cache", "cache=registry.example/cache:8"]);
    by_hand(&["set", "image", "deployment/web", "web=registry.example/web:hotfix"]);
    by_hand(&["scale", "deployment/cache", "--replicas=5"]);
    by_hand(&["label", "deployment", "cache", "team=b", "--overwrite"]);
    by_hand(&["delete", "service", "web"]);
    let (lines, run) = changed(&shop, None);
    let api = "spec.template.spec.containers[shop-api]";
    let cache =
        "spec.template.spec.containers[cache].image registry.example/cache:7 -> registry.example/cache:8";
    let left = shop.image("web", 1).digest;
    let expected = [
        format!("`web` has an image that no digest names, and 1.1.0 left it at {}", left.short()),
        "`Service/web` is gone".to_owned(),
        format!("`Deployment/shop-api` is not as 1.1.0 left it: {api}.env[KEY].value changed"),
        format!(
            "`Deployment/cache` is not as 1.1.0 left it: metadata.labels.team changed, spec.replicas 3 -> 5, {cache}"
        ),
    ];
    let (mut sorted, mut expected) = (lines.clone(), expected.to_vec());
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected);
    assert!(
        run.outputs["cause"].ends_with(&lines.join("; ")) && run.summary.contains("- changed since: "),
        "{run:#?}"
    );
    assert!(!run.everything().contains("s3cret"), "{run:#?}");

    // A reader is told what is gone, and what cannot be found out.
    let reader = shop.namespace.user(
        "reader",
        &[
            (&["get", "list"], "apps", &["daemonsets", "deployments", "replicasets", "statefulsets"]),
            (&["get", "list"], "", &["configmaps", "pods", "secrets", "services"]),
            (&["list"], "autoscaling", &["horizontalpodautoscalers"]),
        ],
    );
    let (lines, run) = changed(&shop, Some(&reader));
    assert!(lines.contains(&"`Service/web` is gone".to_owned()), "{lines:?}");
    let why = "what else somebody has changed cannot be found out: these credentials may not, in namespace";
    assert!(
        run.stderr.contains(why) && run.stderr.contains(": patch configmaps, patch deployments"),
        "{run:#?}"
    );

    // An autoscaler that came since has `replicas`.
    by_hand(&["autoscale", "deployment/cache", "--max=9"]);
    let (lines, _) = changed(&shop, None);
    assert!(!lines.iter().any(|line| line.contains("spec.replicas")), "{lines:?}");
}
