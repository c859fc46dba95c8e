//! Clusters of clouds: tokens that a fake cloud gives, at the real control plane or at somebody in front of it.

use std::sync::mpsc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use shipkit_core::exit::ExitCode;
use shipkit_core::rollout::Next;
use shipkit_core::rollout::workload::Seen;
use shipkit_core::{Hint as _, Secret};
use shipkit_kubernetes::{
    Access, Aks, AksCredentials, AwsKeys, Cluster, ClusterError, Eks, EksCredentials, Gke, GkeCredentials,
    GoogleEndpoints, Identity, Login, Token,
};
use shipkit_tests::server::cloud::{ACCOUNT, CLIENT_SECRET, FakeCloud, GKE, PROVIDER, ROLE};
use shipkit_tests::server::kubernetes::{Fate, kubeconfig};

use crate::bed::{Bed, DEADLINE, image, place, release, three};
use crate::front::Front;

/// The administrator's token, the address of the API server without its scheme, and its certificate.
fn control_plane() -> (String, String, String) {
    let text = std::fs::read_to_string(kubeconfig()).unwrap();
    let after = |word: &str, end: char| {
        let (_, rest) = text.split_once(word).unwrap();
        rest.split_once(end).unwrap().0.to_owned()
    };
    let ca = std::fs::read_to_string(after("certificate-authority: ", '}')).unwrap();
    (after("token: ", '}'), after("https://", '"'), ca)
}

fn github(cloud: &FakeCloud) -> Identity {
    Identity::GitHub { url: cloud.identity_url(), token: Secret::new(FakeCloud::request_token()) }
}

fn eks(cloud: &FakeCloud, credentials: EksCredentials) -> Login {
    Login::Eks(Eks {
        cluster: "shop".to_owned(),
        region: "eu-central-1".to_owned(),
        credentials,
        sts: Some(cloud.url()),
        eks: Some(cloud.url()),
    })
}

fn role(cloud: &FakeCloud) -> EksCredentials {
    EksCredentials::Role { role: ROLE.to_owned(), identity: github(cloud) }
}

fn gke(cloud: &FakeCloud, credentials: GkeCredentials) -> Login {
    let url = Some(cloud.url());
    let endpoints = GoogleEndpoints { sts: url.clone(), iamcredentials: url.clone(), container: url };
    Login::Gke(Gke { cluster: Some(GKE.to_owned()), credentials, endpoints })
}

fn provider(cloud: &FakeCloud, end: &str, account: Option<&str>) -> GkeCredentials {
    GkeCredentials::Federated {
        provider: format!("{PROVIDER}{end}"),
        service_account: account.map(str::to_owned),
        identity: github(cloud),
    }
}

fn aks(cloud: &FakeCloud, credentials: AksCredentials) -> Login {
    let (tenant, client) = ("tenant-1".to_owned(), "client-1".to_owned());
    Login::Aks(Aks { tenant, client, credentials, authority: Some(cloud.url()) })
}

fn at(address: String, ca: Option<String>) -> Access {
    Access::Server { address, ca, token: None }
}

fn cloud_access(login: Login, at: Option<Access>) -> Access {
    Access::Cloud { login: Box::new(login), at: at.map(Box::new) }
}

fn connect(bed: &Bed, access: &Access) -> Result<Cluster, ClusterError> {
    bed.namespace.wait(Cluster::connect(access, place(bed.namespace.name(), &["api"], &[])))
}

/// Connects and looks; how many services are there.
fn looks(bed: &Bed, access: &Access) -> Result<usize, ClusterError> {
    let cluster = connect(bed, access)?;
    Ok(bed.namespace.wait(cluster.observe())?.services.len())
}

#[test]
fn the_real_control_plane_takes_what_google_and_entra_give_for_every_kind_of_credentials() {
    let bed = Bed::new("cloud", &["api"]);
    let (admin, host, ca) = control_plane();
    let cloud = FakeCloud::start();
    cloud.gives(&admin, 3600);
    cloud.cluster_is_at(&host, &STANDARD.encode(&ca));
    let json = |text: String| GkeCredentials::Json(Secret::new(text));
    for credentials in [
        provider(&cloud, "", Some(ACCOUNT)),
        provider(&cloud, "-direct", None),
        json(cloud.service_account()),
        json(cloud.external_account()),
    ] {
        let said = format!("{credentials:?}");
        assert_eq!(looks(&bed, &cloud_access(gke(&cloud, credentials), None)).unwrap(), 1, "{said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "identity-for-api://AzureADTokenExchange\n").unwrap();
    for credentials in [
        AksCredentials::Secret(Secret::new(CLIENT_SECRET)),
        AksCredentials::Federated(github(&cloud)),
        AksCredentials::Federated(Identity::File(file)),
    ] {
        let here = at(format!("https://{host}"), Some(ca.clone()));
        assert_eq!(looks(&bed, &cloud_access(aks(&cloud, credentials), Some(here))).unwrap(), 1);
    }
    // A kubeconfig says where the cluster is, and its own credentials do not count.
    let text = std::fs::read_to_string(kubeconfig()).unwrap().replace(&admin, "stale");
    let there = Access::Text { text: Secret::new(text), context: None };
    let login = aks(&cloud, AksCredentials::Secret(Secret::new(CLIENT_SECRET)));
    assert_eq!(looks(&bed, &cloud_access(login, Some(there))).unwrap(), 1);
}

#[test]
fn a_cluster_of_eks_gets_a_signed_address_and_is_found_by_its_name() {
    let bed = Bed::new("eks", &["api"]);
    let (_, host, ca) = control_plane();
    let cloud = FakeCloud::start();
    let front = Front::open(&["k8s-aws-v1."]);
    let keys = AwsKeys { id: "AKIDEXAMPLE".to_owned(), secret: Secret::new("secret"), session: None };
    for (credentials, id) in [(EksCredentials::Keys(keys), "AKIDEXAMPLE"), (role(&cloud), "ASIAFAKE")] {
        let access = cloud_access(eks(&cloud, credentials), Some(at(front.address(), None)));
        assert_eq!(looks(&bed, &access).unwrap(), 1);
        let (seen, refused) = front.seen();
        let url = seen.last().unwrap().strip_prefix("k8s-aws-v1.").unwrap();
        let url = String::from_utf8(URL_SAFE_NO_PAD.decode(url).unwrap()).unwrap();
        // Not the address of the fake: clusters take those of AWS only.
        assert!(url.starts_with("https://sts.eu-central-1.amazonaws.com/?Action=GetCallerIdentity"), "{url}");
        assert!(url.contains(&format!("X-Amz-Credential={id}%2F")) && refused == 0, "{url}");
    }
    // The control plane of the bed does not ask STS; that it is asked at all shows that EKS has said where it is.
    cloud.cluster_is_at(&host, &STANDARD.encode(&ca));
    let error = looks(&bed, &cloud_access(eks(&cloud, role(&cloud)), None)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the cluster at `https://{host}` does not accept these credentials")
    );
    assert!(error.hint().unwrap().contains("access entry"));
}

#[test]
fn a_token_that_expires_in_the_middle_of_a_rollout_is_renewed_and_watches_come_again_with_the_new_one() {
    let bed = Bed::new("renew", &["api"]);
    bed.namespace.will(image("one").digest.as_str(), Fate::Unready);
    let (cloud, front) = (FakeCloud::start(), Front::open(&["one", "two"]));
    // Each request finds that the token at hand has expired.
    cloud.gives("one", 0);
    let login = aks(&cloud, AksCredentials::Federated(github(&cloud)));
    let cluster = connect(&bed, &cloud_access(login, Some(at(front.address(), None)))).unwrap();
    let applied = bed.apply(&release("1", 1, &[("api", "one")])).pop().unwrap();
    let (begun, seen) = mpsc::channel();
    let next = std::thread::scope(|scope| {
        let (bed, cloud, front) = (&bed, &cloud, &front);
        scope.spawn(move || {
            seen.recv().unwrap();
            cloud.gives("two", 3600);
            front.only(&["one", "two"]);
            front.wait_for("two");
            front.only(&["two"]);
            bed.namespace.will(image("one").digest.as_str(), Fate::Ready);
        });
        let show = |seen: &Seen| {
            if !seen.pods.is_empty() {
                // The other side listens once.
                begun.send(()).ok();
            }
        };
        bed.namespace.wait(cluster.rollout(&applied, DEADLINE, show))
    });
    assert_eq!(next.unwrap(), Next::Done);
    assert_eq!(bed.shown()[0].3, three("one"));
    let (tokens, refused) = front.seen();
    assert!(tokens.contains(&"one".to_owned()) && refused == 0, "{tokens:?}");
}

/// A way to a token whose request to `path` is refused with these words, and the sentence of it.
#[track_caller]
fn refused(
    login: impl Fn(&FakeCloud) -> Login,
    (path, status, said): (&str, u16, &str),
    sentence: &str,
    exit: ExitCode,
) {
    let (bed, cloud) = (Bed::new("refused", &[]), FakeCloud::start());
    cloud.refuses(path, status, said, 1);
    let Err(error) = connect(&bed, &cloud_access(login(&cloud), None)) else { panic!("{path}: connected") };
    let host = cloud.url().replace("http://", "");
    assert_eq!(error.to_string(), format!("`{host}` {sentence}"));
    assert_eq!(error.exit_code(), exit);
    assert!(error.hint().is_some(), "{error:?}");
}

#[test]
fn every_refusal_says_who_refused_what_and_why() {
    let unknown = ExitCode::Unknown;
    refused(
        |cloud| eks(cloud, role(cloud)),
        ("/identity", 403, r#"{"message": "no permission"}"#),
        "refused to give an identity token to this job: no permission (status 403)",
        unknown,
    );
    let said = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized</Message></Error></ErrorResponse>";
    refused(
        |cloud| eks(cloud, role(cloud)),
        ("/", 403, said),
        "refused to give keys of the role: AccessDenied: Not authorized (status 403)",
        unknown,
    );
    refused(
        |cloud| eks(cloud, role(cloud)),
        ("/clusters/shop", 404, "ResourceNotFoundException"),
        "refused to say where the cluster is: ResourceNotFoundException: ResourceNotFoundException (status 404)",
        ExitCode::Usage,
    );
    let said = r#"{"error": "unauthorized_client", "error_description": "The given credential is rejected"}"#;
    refused(
        |cloud| gke(cloud, provider(cloud, "", None)),
        ("/v1/token", 401, said),
        "refused to take the identity token of this job: unauthorized_client: The given credential is rejected (status 401)",
        unknown,
    );
    let said = r#"{"error": {"code": 403, "message": "Permission denied", "status": "PERMISSION_DENIED"}}"#;
    let path = format!("/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken");
    refused(
        |cloud| gke(cloud, provider(cloud, "", Some(ACCOUNT))),
        (&path, 403, said),
        "refused to give a token of the service account: PERMISSION_DENIED: Permission denied (status 403)",
        unknown,
    );
    refused(
        |cloud| gke(cloud, GkeCredentials::Json(Secret::new(cloud.service_account()))),
        ("/token", 400, r#"{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}"#),
        "refused to give a token for the key of the service account: invalid_grant: Invalid JWT Signature. (status 400)",
        unknown,
    );
    refused(
        |cloud| gke(cloud, provider(cloud, "-direct", None)),
        (&format!("/v1/{GKE}"), 403, said),
        "refused to say where the cluster is: PERMISSION_DENIED: Permission denied (status 403)",
        unknown,
    );
}

#[test]
fn credentials_that_cannot_be_used_are_named_and_never_quoted() {
    let (bed, cloud) = (Bed::new("unfit", &[]), FakeCloud::start());
    for (json, why) in [
        ("hunter2", "it is no JSON"),
        (
            r#"{"type": "authorized_user"}"#,
            "its `type` is `authorized_user`, and neither `service_account` nor `external_account`",
        ),
        (
            r#"{"type": "service_account", "token_uri": "http://127.0.0.1:1/", "client_email": "a", "private_key_id": "7",
                "private_key": "hunter2"}"#,
            "its `private_key` is no PEM of PKCS #8",
        ),
        (
            r#"{"type": "external_account", "credential_source": {}}"#,
            "its `credential_source` has neither `url` nor `file`",
        ),
    ] {
        let login = gke(&cloud, GkeCredentials::Json(Secret::new(json)));
        let error = connect(&bed, &cloud_access(login, None)).err().unwrap();
        let sentence = format!("the credentials of Google cannot be used: {why}");
        assert_eq!((error.to_string(), error.exit_code()), (sentence, ExitCode::Usage), "{error:?}");
    }
    let login = aks(&cloud, AksCredentials::Secret(Secret::new(CLIENT_SECRET)));
    let error = connect(&bed, &cloud_access(login, None)).err().unwrap();
    assert_eq!(error.to_string(), "it is not said where the cluster is");
    assert_eq!(error.exit_code(), ExitCode::Usage);
}

#[test]
fn a_server_its_authority_and_a_token_are_enough() {
    let bed = Bed::new("server", &["api"]);
    let (admin, host, ca) = control_plane();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, &admin).unwrap();
    let server = |ca: Option<&str>, token: Token| Access::Server {
        address: format!("https://{host}"),
        ca: ca.map(str::to_owned),
        token: Some(token),
    };
    let text = || Token::Text(Secret::new(format!("{admin}\n")));
    for (ca, token) in [(ca.as_str(), text()), (&STANDARD.encode(&ca), text()), (&ca, Token::File(file))] {
        assert_eq!(looks(&bed, &server(Some(ca), token)).unwrap(), 1);
    }
    for (ca, why) in [
        ("rubbish!", "the server cannot be used: its `ca`: it is neither PEM nor base64"),
        (
            "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----",
            "the server cannot be used: its `ca`: its PEM is damaged",
        ),
        (&STANDARD.encode("nothing"), "the server cannot be used: its `ca`: there is no certificate in it"),
    ] {
        let error = looks(&bed, &server(Some(ca), text())).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.exit_code()), (why, ExitCode::Usage));
    }
    // Nobody whom the world believes has signed the certificate of the bed.
    let error = looks(&bed, &server(None, text())).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Unknown);
    assert!(error.to_string().contains("certificate"), "{error}");
}

/// The kubeconfig of the bed with a program in place of its token.
fn with_program(program: &str, arguments: &[&str]) -> Access {
    let (admin, ..) = control_plane();
    let exec = serde_json::json!({
        "apiVersion": "client.authentication.k8s.io/v1", "command": program, "args": arguments, "interactiveMode": "Never",
    });
    let text = std::fs::read_to_string(kubeconfig()).unwrap();
    let text = text.replace(&format!("token: {admin}"), &format!("exec: {exec}"));
    Access::Text { text: Secret::new(text), context: None }
}

#[test]
fn a_program_of_a_kubeconfig_gives_the_credentials_and_one_that_is_missing_or_fails_is_named() {
    let bed = Bed::new("exec", &["api"]);
    let (admin, ..) = control_plane();
    let credential = |token: &str| {
        let status = serde_json::json!({"token": token, "expirationTimestamp": "2035-01-01T00:00:00Z"});
        serde_json::json!({
            "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status,
        })
    };
    let shell = |script: &str| with_program("sh", &["-c", script]);
    assert_eq!(looks(&bed, &shell(&format!("echo '{}'", credential(&admin)))).unwrap(), 1);

    let error = looks(&bed, &with_program("gke-gcloud-auth-plugin-of-nobody", &[])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kubeconfig has its credentials from the program `gke-gcloud-auth-plugin-of-nobody`, which is not here"
    );
    assert!(
        error.hint().unwrap().starts_with("`target.auth` in shipkit.yml needs none for EKS, GKE and AKS")
    );
    assert_eq!(error.exit_code(), ExitCode::Usage);

    let script = format!("echo '{}'; echo 'log in first' >&2; exit 3", credential("hunter2"));
    let error = looks(&bed, &shell(&script)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the credentials cannot be had: `sh` ended with exit status: 3: log in first"
    );
    let error = looks(&bed, &shell("echo hunter2")).unwrap_err();
    assert_eq!(error.to_string(), "the credentials cannot be had: what `sh` printed is no `ExecCredential`");
    assert_eq!(error.exit_code(), ExitCode::Unknown);
}
