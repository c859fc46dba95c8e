//! A cluster without a kubeconfig: a server and a token, and tokens of clouds, at the real control plane.

use shipkit_tests::server::cloud::{CLIENT_SECRET, FakeCloud, GKE, ROLE};
use shipkit_tests::server::kubernetes::kubeconfig;

use crate::bed::{Step, Transcript};
use crate::cluster::Shop;

const AKS: &str = ", auth: {aks: {tenant_id: tenant-1, client_id: client-1}}";

/// What the kubeconfig of the bed says: the administrator's token, the address of the API server, its certificate.
struct Plane {
    token: String,
    server: String,
    ca: String,
}

impl Plane {
    fn of_the_bed() -> Self {
        let text = std::fs::read_to_string(kubeconfig()).unwrap();
        let after = |word: &str, end: char| {
            let (_, rest) = text.split_once(word).unwrap();
            rest.split_once(end).unwrap().0.to_owned()
        };
        let ca = std::fs::read_to_string(after("certificate-authority: ", '}')).unwrap();
        Self { token: after("token: ", '}'), server: after("server: \"", '"'), ca }
    }
}

/// A run whose target has these keys in place of a context, and `ca.pem` beside its configuration.
fn step(shop: &Shop, command: &str, keys: &str) -> Step {
    let config = shop.config();
    let config = config.replace(", context: bed}", &format!("{keys}}}"));
    let step = Step::new(command, &config).input("environment", "staging");
    step.file("ca.pem", &Plane::of_the_bed().ca)
}

fn server() -> String {
    format!(", server: \"{}\", ca: ca.pem", Plane::of_the_bed().server)
}

fn with_cloud(step: Step, cloud: &FakeCloud) -> Step {
    cloud.vars().iter().fold(step, |step, (name, value)| step.var(name, value))
}

#[track_caller]
fn shows_no(run: &Transcript, secret: &str) {
    assert!(!run.everything().contains(secret), "{run:#?}");
}

#[test]
fn a_release_is_deployed_with_a_token_that_entra_gives_for_the_identity_of_the_job() {
    let (shop, plane, cloud) = (Shop::new("dp-aks"), Plane::of_the_bed(), FakeCloud::start());
    cloud.gives(&plane.token, 3600);
    let one = shop.release(1, None);
    let step = step(&shop, "deploy", &format!("{}{AKS}", server())).input("release", one.as_str());
    let run = with_cloud(step, &cloud).run().ended(0, "1.1.0 runs in staging");
    assert_eq!(shop.versions(), ["1.1.0", "1.1.0"]);
    // Pods that still started at the first look let the run look, and connect, once more.
    let (asked, look) = (cloud.requests(), ["GET /identity", "POST /tenant-1/oauth2/v2.0/token"]);
    assert!(asked == look || asked == [look, look].concat(), "one token for a look is enough: {asked:?}");
    for secret in [&plane.token, FakeCloud::request_token()] {
        shows_no(&run, secret);
    }
    assert!(run.stderr.contains(&format!("::add-mask::{}", FakeCloud::request_token())), "{run:#?}");
}

#[test]
fn gke_says_where_the_cluster_is_and_takes_the_key_of_a_service_account() {
    use base64::Engine as _;
    let (shop, plane, cloud) = (Shop::new("dp-gke"), Plane::of_the_bed(), FakeCloud::start());
    cloud.gives(&plane.token, 3600);
    let ca = base64::engine::general_purpose::STANDARD.encode(&plane.ca);
    cloud.cluster_is_at(plane.server.strip_prefix("https://").unwrap(), &ca);
    let gke = format!(", auth: {{gke: {{cluster: {GKE}}}}}");
    let key = cloud.service_account();
    let run = with_cloud(step(&shop, "status", &gke), &cloud).var("GOOGLE_CREDENTIALS", &key).run();
    let run = run.ended(0, "");
    shows_no(&run, &plane.token);
    let lines: Vec<_> = key.split("\\n").filter(|line| 60 < line.len()).collect();
    assert!(lines.iter().all(|line| !run.everything().contains(line)), "{run:#?}");
    let path =
        step(&shop, "status", &gke).file("key.json", &key).var("GOOGLE_APPLICATION_CREDENTIALS", "key.json");
    with_cloud(path, &cloud).run().ended(0, "");
}

#[test]
fn credentials_may_be_lines_of_the_secret_of_the_environment() {
    let (shop, plane, cloud) = (Shop::new("dp-lines"), Plane::of_the_bed(), FakeCloud::start());
    cloud.gives(&plane.token, 3600);
    let lines = format!("AZURE_CLIENT_SECRET={CLIENT_SECRET}\nAZURE_AUTHORITY_HOST={}\n", cloud.url());
    let run = step(&shop, "status", &format!("{}{AKS}", server())).var("SHIPKIT_ENV", &lines).run();
    shows_no(&run.ended(0, ""), CLIENT_SECRET);
    assert_eq!(cloud.requests(), ["POST /tenant-1/oauth2/v2.0/token"]);
}

#[test]
fn a_refusal_of_a_cloud_is_no_verdict_and_says_what_to_do() {
    let (shop, cloud) = (Shop::new("dp-denied"), FakeCloud::start());
    let said =
        "<E><Code>AccessDenied</Code><Message>Not authorized: identity-for-sts.amazonaws.com</Message></E>";
    cloud.refuses("/", 403, said, 1);
    let eks = format!(", auth: {{eks: {{cluster: shop, region: eu-central-1, role: \"{ROLE}\"}}}}");
    let run = with_cloud(step(&shop, "status", &eks), &cloud).run();
    let run =
        run.ended(3, "refused to give keys of the role: AccessDenied: Not authorized: *** (status 403)");
    assert!(run.stderr.contains("the role's trust policy must name GitHub's provider"), "{run:#?}");
    let run = step(&shop, "status", &eks).run();
    let run = run.ended(2, "GitHub gives no identity token to this job, and there are no other credentials");
    let hint =
        "the job needs `permissions: id-token: write`: use `ship-oidc.yml`; or set `AWS_ACCESS_KEY_ID`";
    assert!(run.stderr.contains(hint), "{run:#?}");
}

#[test]
fn a_server_and_a_token_need_no_kubeconfig_and_what_does_not_fit_together_is_refused() {
    let (shop, plane) = (Shop::new("dp-server"), Plane::of_the_bed());
    let run = step(&shop, "status", &server()).input("cluster-token", &plane.token).run();
    shows_no(&run.ended(0, ""), &plane.token);
    let path = token_file(&plane);
    step(&shop, "status", &server()).input("cluster-token", path.path().to_str().unwrap()).run().ended(0, "");
    let run = step(&shop, "status", &server()).run();
    run.ended(2, "`target.server` is given, and no token for it");
    let run = step(&shop, "status", "").input("cluster-token", "abc").run();
    run.ended(2, "`cluster-token` is given without `target.server`");
    let run = step(&shop, "status", &format!("{}{AKS}", server())).input("cluster-token", "abc").run();
    run.ended(2, "`cluster-token` and `target.auth` are both given");
    let run =
        step(&shop, "status", &server().replace("ca.pem", "other.pem")).input("cluster-token", "abc").run();
    run.ended(2, "`target.ca`: `other.pem` cannot be read");
    let run = step(&shop, "status", &server()).input("cluster-token", "hunter2").run();
    shows_no(&run.ended(3, "does not accept these credentials"), "hunter2");
}

/// The administrator's token in a file.
fn token_file(plane: &Plane) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &plane.token).unwrap();
    file
}
