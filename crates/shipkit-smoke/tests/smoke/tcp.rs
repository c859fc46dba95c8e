//! `tcp` against those who listen and those who do not.

use std::time::Duration;

use crate::fixture::{nobody, serve, status};
use shipkit_core::Verdict;
use shipkit_smoke::{Check, CheckReport, Kind, Options, SmokeError};
use url::Url;

fn quick() -> Options {
    Options {
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        ..Options::default()
    }
}

async fn ask(address: &str) -> Result<CheckReport, SmokeError> {
    let base = "https://shop.invalid".parse().unwrap();
    let check = Check::new("tcp", Kind::Tcp { address: address.to_owned() });
    Ok(shipkit_smoke::run(&base, vec![check], &quick()).await?.checks.remove(0))
}

fn port(url: &Url) -> u16 {
    url.port().unwrap()
}

#[tokio::test]
async fn who_listens_takes_the_connection_whatever_the_environment_is() {
    let port = port(&serve(|_, _| status(200)).await.url);
    let report = ask(&format!("127.0.0.1:{port}")).await.unwrap();
    assert_eq!(report.outcome.verdict, Verdict::Pass, "{:?}", report.outcome);
    assert_eq!(report.outcome.cause, format!("`127.0.0.1:{port}` takes connections"));
    assert_eq!(report.url, format!("tcp://127.0.0.1:{port}"));
    assert_eq!(report.repeat, format!("nc -vz -w 5 '127.0.0.1' {port}"));
}

#[tokio::test]
async fn who_does_not_listen_is_asked_again_and_named() {
    let port = port(&nobody().await);
    let report = ask(&format!("127.0.0.1:{port}")).await.unwrap();
    assert_eq!((report.outcome.verdict, report.attempts.len()), (Verdict::Fail, 3), "{:?}", report.outcome);
    let cause = &report.outcome.cause;
    assert!(cause.starts_with(&format!("it does not take the connection: `127.0.0.1:{port}`")), "{cause}");
    assert!(cause.ends_with("(3 times)"), "{cause}");
}

#[tokio::test]
async fn a_name_without_addresses_may_be_the_fault_of_the_network_here() {
    let report = ask("db.invalid:5432").await.unwrap();
    assert_eq!(report.outcome.verdict, Verdict::Inconclusive, "{:?}", report.outcome);
}

#[tokio::test]
async fn what_is_no_host_with_a_port_is_an_error() {
    for wrong in ["db", "::1:80", "db:0", "http://db:80", "d b:80"] {
        let ended = ask(wrong).await;
        assert!(matches!(ended, Err(SmokeError::Endpoint { .. })), "{wrong}: {ended:?}");
    }
}
