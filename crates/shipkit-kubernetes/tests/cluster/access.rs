//! Who may ask, where, and what is said before anything changes.

use shipkit_core::exit::ExitCode;
use shipkit_core::{Hint as _, Secret};
use shipkit_kubernetes::{Access, Cluster, ClusterError};

use crate::bed::{Bed, cluster, place, release, workload};

#[track_caller]
fn ends<T>(result: Result<T, ClusterError>, exit: ExitCode, sentence: &str) {
    let Err(error) = result else { panic!("no error: {sentence}") };
    assert_eq!((error.to_string().as_str(), error.exit_code()), (sentence, exit), "{error:?}");
}

pub(crate) fn as_user(bed: &Bed, text: &str) -> Cluster {
    let access = Access::Text { text: Secret::new(text), context: None };
    bed.namespace.wait(Cluster::connect(&access, place(bed.namespace.name(), &["api"], &[]))).unwrap()
}

#[test]
fn all_permissions_that_are_missing_are_named_and_the_least_role_suffices() {
    let bed = Bed::new("rbac", &["api"]);
    let name = bed.namespace.name();
    let look: &[&str] = &["get", "list"];
    let reader =
        as_user(&bed, &bed.namespace.user("reader", &[(look, "apps", &["deployments", "replicasets"])]));
    let one = release("1", 1, &[("api", "one")]);
    let observed = bed.observe();
    let missing = format!(
        "these credentials may not, in namespace `{name}`: watch deployments, patch deployments, watch replicasets, \
         list pods, watch pods, get leases, create leases, patch leases"
    );
    ends(bed.namespace.wait(reader.preflight(&one, &observed)), ExitCode::Unknown, &missing);
    let nobody = as_user(&bed, &bed.namespace.user("nobody", &[]));
    let missing = format!(
        "these credentials may not, in namespace `{name}`: get deployments, list deployments, watch deployments, \
         patch deployments, list replicasets, watch replicasets, list pods, watch pods, get leases, create leases, \
         patch leases"
    );
    ends(bed.namespace.wait(nobody.observe()), ExitCode::Unknown, &missing);

    let deployer = bed.namespace.user(
        "deployer",
        &[
            (&["get", "list", "watch", "patch"], "apps", &["deployments"]),
            (&["list", "watch"], "apps", &["replicasets"]),
            (&["list", "watch"], "", &["pods"]),
            (&["get", "create", "patch"], "coordination.k8s.io", &["leases"]),
        ],
    );
    let cluster = as_user(&bed, &deployer);
    let bed = Bed { cluster, ..bed };
    let observed = bed.observe();
    assert_eq!(bed.namespace.wait(bed.cluster.preflight(&one, &observed)).unwrap(), Vec::<String>::new());
    bed.deploy(&one);
}

#[test]
fn what_is_missing_is_named_before_anything_changes() {
    let bed = Bed::new("missing", &["api"]);
    let name = bed.namespace.name();
    let observed = bed.observe();
    let both = cluster(&bed.namespace, &["api", "web", "job"], &[]).unwrap();
    let release =
        |services: &[&str]| release("1", 1, &services.iter().map(|&one| (one, "one")).collect::<Vec<_>>());
    let wanted = release(&["api", "web", "job"]);
    let sentence = format!("namespace `{name}` has no deployment `web`, `job`");
    ends(bed.namespace.wait(both.preflight(&wanted, &observed)), ExitCode::Usage, &sentence);

    let secret = cluster(&bed.namespace, &["api"], &["key", "cert"]).unwrap();
    let sentence = "secrets do not exist in the namespace: `cert`, `key`";
    ends(bed.namespace.wait(secret.preflight(&release(&["api"]), &observed)), ExitCode::Usage, sentence);

    let mut other = place(name, &[], &[]);
    other.workloads = vec![shipkit_kubernetes::Workload { container: "app".to_owned(), ..workload("api") }];
    let access = Access::File { path: shipkit_tests::server::kubernetes::kubeconfig(), context: None };
    let other = bed.namespace.wait(Cluster::connect(&access, other)).unwrap();
    let sentence = "deployment `api` has no container `app`, only `api`";
    ends(bed.namespace.wait(other.preflight(&release(&["api"]), &observed)), ExitCode::Usage, sentence);

    bed.namespace.apply_as("team", &serde_json::json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api"}, "spec": {"paused": true},
    }));
    let sentence = "deployment `api` is paused: no pod would be replaced";
    ends(bed.namespace.wait(bed.cluster.preflight(&release(&["api"]), &observed)), ExitCode::No, sentence);
    let live = bed.namespace.get("Deployment", "api");
    assert_eq!(
        live["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.example/shop/app:before"
    );
}

#[test]
fn a_namespace_that_is_not_there_is_named() {
    let bed = Bed::new("nowhere", &[]);
    let access = Access::File { path: shipkit_tests::server::kubernetes::kubeconfig(), context: None };
    let nowhere = bed.namespace.wait(Cluster::connect(&access, place("sk-nowhere", &["api"], &[]))).unwrap();
    ends(bed.namespace.wait(nowhere.observe()), ExitCode::Usage, "there is no namespace `sk-nowhere`");
}

#[test]
fn a_kubeconfig_that_does_not_fit_is_refused_and_never_quoted() {
    let bed = Bed::new("access", &[]);
    let connect = |access: &Access| bed.namespace.wait(Cluster::connect(access, place("x", &[], &[])));
    let text = |text: &str, context: Option<&str>| Access::Text {
        text: Secret::new(text),
        context: context.map(str::to_owned),
    };
    let sentence = "the kubeconfig cannot be used: it is no YAML of its form";
    ends(connect(&text("token: [hunter2", None)), ExitCode::Usage, sentence);
    let good = std::fs::read_to_string(shipkit_tests::server::kubernetes::kubeconfig()).unwrap();
    let sentence = "the kubeconfig cannot be used: failed to load current context: prod";
    ends(connect(&text(&good, Some("prod"))), ExitCode::Usage, sentence);
    ends(
        connect(&Access::InCluster),
        ExitCode::Usage,
        "no cluster is named: there is no kubeconfig, and this is not a pod of a cluster",
    );

    let (before, after) = good.split_once("token: ").unwrap();
    let (_, after) = after.split_once('}').unwrap();
    let stranger = format!("{before}token: wrong}}{after}");
    let stranger = connect(&text(&stranger, None)).unwrap();
    let Err(ClusterError::Unknown(server)) = bed.namespace.wait(stranger.observe()) else {
        panic!("it is known")
    };
    assert!(server.starts_with("https://127.0.0.1:"), "{server}");

    // Nobody listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (before, after) = good.split_once("https://127.0.0.1:").unwrap();
    let (_, after) = after.split_once('"').unwrap();
    let gone = format!("{before}https://127.0.0.1:{port}\"{after}");
    let gone = connect(&text(&gone, None)).unwrap();
    let error = bed.namespace.wait(gone.observe()).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Unknown, "{error:?}");
    assert!(error.to_string().contains("onnection refused"), "{error}");
}
