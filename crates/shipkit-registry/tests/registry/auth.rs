//! Logins, tokens, and who gets to see them.

use std::time::Duration;

use shipkit_core::exit::ExitCode;
use shipkit_core::{Digest, Hint as _};
use shipkit_registry::{Credentials, Descriptor, Error, Login};
use shipkit_tests::server::registry::{
    Auth, Broken, Fault, IDENTITY, Kind, Options, PASSWORD, Registry, Request, USERNAME,
};

use crate::{anonymous, by_digest, logged_in, repository, seed};

const HOUR: Duration = Duration::from_hours(1);

fn bearer() -> Options {
    Options { auth: Auth::Bearer { ttl: HOUR }, ..Options::default() }
}

fn tokens(server: &Registry) -> Vec<Request> {
    server.requests().into_iter().filter(|request| request.path == "/token").collect()
}

#[tokio::test]
async fn one_challenge_and_one_token_serve_many_requests() {
    let server = Registry::start(bearer());
    let digest = seed(&server, "acme/api");
    let (api, client) = (repository(&server, "acme/api"), logged_in(&server.host()));
    for _ in 0..5 {
        client.clone().manifest(&api, &by_digest(&digest)).await.unwrap();
    }
    client.put_blob(&api, "content").await.unwrap();
    let tokens = tokens(&server);
    assert_eq!(tokens.len(), 2, "one to pull, one to push");
    assert_eq!(tokens[0].query, "service=in-test&scope=repository%3Aacme%2Fapi%3Apull");
    let refused = server.requests().iter().filter(|request| request.status == 401).count();
    assert_eq!(refused, 1);
}

#[tokio::test]
async fn a_password_is_sent_where_a_password_is_asked_for() {
    let server = Registry::start(Options { auth: Auth::Basic, ..Options::default() });
    let digest = seed(&server, "acme/api");
    let api = repository(&server, "acme/api");
    logged_in(&server.host()).manifest(&api, &by_digest(&digest)).await.unwrap();
    logged_in(&server.host()).put_blob(&api, "content").await.unwrap();
    assert_eq!(server.requests()[0].authorization, None, "not before it is asked for");
}

#[tokio::test]
async fn without_a_login_the_answer_is_denied_and_the_hint_says_what_to_do() {
    for auth in [Auth::Basic, Auth::Bearer { ttl: HOUR }] {
        let server = Registry::start(Options { auth, ..Options::default() });
        let api = repository(&server, "acme/api");
        let tag = "v1".parse().unwrap();
        let elsewhere = logged_in("ghcr.io");
        for client in [anonymous(), elsewhere] {
            let error = client.resolve(&api, &tag).await.unwrap_err();
            assert!(matches!(error, Error::Denied { .. }), "{error}");
            assert_eq!(error.exit_code(), ExitCode::Unknown);
            assert!(error.hint().unwrap().contains("registry-password"));
            assert!(error.to_string().contains(&server.host()), "{error}");
        }
        let sent: Vec<_> = server.requests().into_iter().filter_map(|r| r.authorization).collect();
        assert_eq!(sent, Vec::<String>::new(), "a login for one registry is not shown to another");
    }
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_is_renewed_once() {
    let server = Registry::start(bearer());
    let (api, client) = (repository(&server, "acme/api"), logged_in(&server.host()));
    client.put_blob(&api, "one").await.unwrap();
    server.expire_tokens();
    client.put_blob(&api, "two").await.unwrap();
    // Also between POST and PUT of one upload.
    server.fail(Fault::new("PUT", Kind::Upload, Broken::Status(401, challenge(&server.host()))));
    client.put_blob(&api, "three").await.unwrap();
    assert_eq!(tokens(&server).len(), 3);
    // A registry that refuses every token is not asked for ever.
    let for_ever = Fault::new("HEAD", Kind::Blob, Broken::Status(401, challenge(&server.host()))).times(99);
    server.fail(for_ever);
    let before = server.requests().len();
    let error = client.put_blob(&api, "four").await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    assert!(server.requests().len() - before <= 3);
}

fn challenge(host: &str) -> Vec<(&'static str, String)> {
    vec![("www-authenticate", format!("Bearer realm=\"http://{host}/token\",service=\"in-test\""))]
}

#[tokio::test]
async fn a_short_lived_token_is_replaced_before_it_is_refused() {
    let server =
        Registry::start(Options { auth: Auth::Bearer { ttl: Duration::ZERO }, ..Options::default() });
    let api = repository(&server, "acme/api");
    let error = logged_in(&server.host()).put_blob(&api, "x").await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    let server =
        Registry::start(Options { auth: Auth::Bearer { ttl: Duration::from_secs(1) }, ..Options::default() });
    let api = repository(&server, "acme/api");
    let client = logged_in(&server.host());
    let until = std::time::Instant::now() + Duration::from_millis(2500);
    let mut round = 0;
    while std::time::Instant::now() < until {
        round += 1;
        client.put_blob(&api, format!("round {round}")).await.unwrap();
    }
    assert!(2 <= tokens(&server).len());
}

#[tokio::test]
async fn many_calls_at_once_share_one_token() {
    let server = Registry::start(bearer());
    let digest = seed(&server, "acme/api");
    let (api, client) = (repository(&server, "acme/api"), logged_in(&server.host()));
    client.manifest(&api, &by_digest(&digest)).await.unwrap();
    server.expire_tokens();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (client, api, target) = (client.clone(), api.clone(), by_digest(&digest));
            tokio::spawn(async move { client.manifest(&api, &target).await.unwrap() })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(tokens(&server).len(), 2, "the first, and one for all after it was refused");
}

#[tokio::test]
async fn an_identity_token_is_exchanged_and_goes_to_the_token_server_only() {
    let server = Registry::start(bearer());
    let digest = seed(&server, "acme/api");
    let api = repository(&server, "acme/api");
    let client = |token: &str| {
        let login = Login { registry: server.host(), username: "<token>".to_owned(), password: token.into() };
        shipkit_registry::Registry::new(Credentials::default().and(login)).unwrap()
    };
    client(IDENTITY).manifest(&api, &by_digest(&digest)).await.unwrap();
    let asked = &tokens(&server)[0];
    assert_eq!((asked.method.as_str(), asked.query.as_str(), &asked.authorization), ("POST", "", &None));
    let error = client("another").manifest(&api, &by_digest(&digest)).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }) && !error.to_string().contains("another"), "{error}");
    // A registry that wants a password has no use for it.
    let server = Registry::start(Options { auth: Auth::Basic, ..Options::default() });
    let login = Login { registry: server.host(), username: "<token>".to_owned(), password: IDENTITY.into() };
    let client = shipkit_registry::Registry::new(Credentials::default().and(login)).unwrap();
    let error = client.resolve(&repository(&server, "a/b"), &"v1".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    assert!(server.requests().iter().all(|request| request.authorization.is_none()));
}

#[tokio::test]
async fn the_login_given_comes_before_the_one_of_docker() {
    let server = Registry::start(Options { auth: Auth::Basic, ..Options::default() });
    let digest = seed(&server, "acme/api");
    let api = repository(&server, "acme/api");
    let folder = tempfile::tempdir().unwrap();
    // base64 of `user:hunter2`.
    let config = serde_json::json!({"auths": {(server.host()): {"auth": "dXNlcjpodW50ZXIy"}}});
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let read = async |password: Option<&str>| {
        let password = password.map(Into::into);
        let username = password.as_ref().map(|_| USERNAME);
        let docker = Some(folder.path().to_owned());
        let credentials = Credentials::new(&server.host(), username, password.as_ref(), docker);
        let client = shipkit_registry::Registry::new(credentials).unwrap();
        client.manifest(&api, &by_digest(&digest)).await
    };
    assert!(read(None).await.is_ok());
    assert!(matches!(read(Some("wrong")).await, Err(Error::Denied { .. })));
}

#[tokio::test]
async fn a_token_server_that_fails_is_asked_again() {
    let server = Registry::start(bearer());
    let digest = seed(&server, "acme/api");
    server.fail(
        Fault::new("GET", Kind::Token, Broken::Status(503, vec![("retry-after", "0".to_owned())])).times(2),
    );
    let api = repository(&server, "acme/api");
    logged_in(&server.host()).manifest(&api, &by_digest(&digest)).await.unwrap();
    assert_eq!(tokens(&server).len(), 3);
}

#[tokio::test]
async fn a_registry_cannot_send_our_password_to_another_machine_in_the_clear() {
    let server = Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    for realm in [
        "http://192.0.2.1/token?secret=1",
        "https://169.254.169.254/token?secret=1",
        "https://[fe80::1]/token",
        "ftp://127.0.0.1/",
        "not a url",
    ] {
        let value = format!("Bearer realm=\"{realm}\"");
        server.fail(Fault::new(
            "HEAD",
            Kind::Manifest,
            Broken::Status(401, vec![("www-authenticate", value)]),
        ));
        let client = logged_in(&server.host());
        let error = client.resolve(&api, &"v1".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{error}");
        assert!(!error.to_string().contains("secret=1"), "{error}");
    }
}

#[tokio::test]
async fn a_blob_may_come_from_elsewhere_and_credentials_stay_at_home() {
    let (home, elsewhere) = (
        Registry::start(Options { auth: Auth::Basic, ..Options::default() }),
        Registry::start(Options::default()),
    );
    let digest = home.seed_blob("acme/api", "content");
    elsewhere.seed_blob("store", "content");
    let target = format!("http://{}/v2/store/blobs/{digest}?signature=abc", elsewhere.host());
    let redirect = Broken::Status(307, vec![("location", target)]);
    // The first request is refused for want of a password; the second one is sent away.
    home.fail(Fault::new("GET", Kind::Blob, redirect).after(1));
    let api = repository(&home, "acme/api");
    let blob = Descriptor::of("x", b"content");
    let bytes = logged_in(&home.host()).blob(&api, &blob, 100).await.unwrap();
    assert_eq!(bytes.as_ref(), b"content");
    assert!(home.requests().last().unwrap().authorization.is_some());
    let there = elsewhere.requests();
    assert_eq!((there.len(), &there[0].authorization, there[0].query.as_str()), (1, &None, "signature=abc"));
}

#[tokio::test]
async fn an_upload_may_go_elsewhere_without_credentials() {
    let (home, elsewhere) = (
        Registry::start(Options { auth: Auth::Basic, ..Options::default() }),
        Registry::start(Options::default()),
    );
    let target = format!("http://{}/v2/store/blobs/uploads/0?_state=x%2Fy", elsewhere.host());
    home.fail(Fault::new("POST", Kind::Upload, Broken::Status(202, vec![("location", target)])));
    let api = repository(&home, "acme/api");
    logged_in(&home.host()).put_blob(&api, "content").await.unwrap();
    let there = elsewhere.requests();
    assert_eq!((there.len(), &there[0].authorization), (1, &None));
    assert_eq!(
        there[0].query,
        format!("_state=x%2Fy&digest={}", Digest::of(b"content")).replace("sha256:", "sha256%3A")
    );
}

#[tokio::test]
async fn a_challenge_from_elsewhere_gets_no_password() {
    let home = Registry::start(Options { auth: Auth::Basic, ..Options::default() });
    let elsewhere = Registry::start(Options::default());
    let digest = home.seed_blob("acme/api", "content");
    let target = format!("http://{}/v2/store/blobs/{digest}", elsewhere.host());
    let redirect = Broken::Status(307, vec![("location", target)]);
    home.fail(Fault::new("GET", Kind::Blob, redirect).after(1).times(99));
    let refusal = Broken::Status(401, challenge(&elsewhere.host()));
    elsewhere.fail(Fault::new("GET", Kind::Blob, refusal).times(99));
    let api = repository(&home, "acme/api");
    let client = logged_in(&home.host());
    let error = client.blob(&api, &Descriptor::of("x", b"content"), 100).await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 401, .. }), "{error}");
    assert!(elsewhere.requests().iter().all(|r| r.path != "/token" && r.authorization.is_none()));
}

#[tokio::test]
async fn a_blob_that_is_kept_elsewhere_is_not_pushed_again() {
    let server = Registry::start(Options::default());
    let away = Broken::Status(307, vec![("location", "https://192.0.2.1/".to_owned())]);
    server.fail(Fault::new("HEAD", Kind::Blob, away));
    anonymous().put_blob(&repository(&server, "acme/api"), "content").await.unwrap();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn redirects_end_and_manifests_have_none() {
    let server = Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let digest = server.seed_blob("acme/api", "content");
    let own = format!("/v2/acme/api/blobs/{digest}");
    server.fail(Fault::new("GET", Kind::Blob, Broken::Status(307, vec![("location", own)])).times(99));
    let error = anonymous().blob(&api, &Descriptor::of("x", b"content"), 100).await.unwrap_err();
    assert!(error.to_string().contains("more than 5 redirects"), "{error}");
    let image = seed(&server, "acme/api");
    let away = Broken::Status(302, vec![("location", "https://192.0.2.1/".to_owned())]);
    server.fail(Fault::new("GET", Kind::Manifest, away));
    let error = anonymous().manifest(&api, &by_digest(&image)).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn no_error_shows_the_password() {
    let server = Registry::start(Options { auth: Auth::Basic, ..Options::default() });
    server.fail(Fault::new("HEAD", Kind::Manifest, Broken::Status(403, vec![])).after(1));
    let client = logged_in(&server.host());
    let error = client.resolve(&repository(&server, "a/b"), &"v1".parse().unwrap()).await.unwrap_err();
    for text in [format!("{error:?}"), format!("{client:?}")] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
}
