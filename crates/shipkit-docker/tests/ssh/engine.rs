//! Docker through SSH: the real engine (`scripts/bed up swarm` makes it a manager), and servers that do not let us through.

use std::os::unix::net::UnixListener;

use shipkit_core::Hint as _;
use shipkit_core::exit::ExitCode;
use shipkit_docker::{Access, Swarm, SwarmError};

use shipkit_tests::server::sshd::Sshd;

use crate::client::options;

fn access(sshd: &Sshd) -> Access {
    Access { ssh: options(sshd), ..Access::default() }
}

async fn refusal(sshd: &Sshd, socket: &str) -> SwarmError {
    Swarm::connect_with(&format!("{}{socket}", sshd.host()), &access(sshd)).await.unwrap_err()
}

#[tokio::test]
async fn the_engine_is_the_same_through_ssh() {
    let sshd = Sshd::start();
    let swarm = Swarm::connect_with(&sshd.host(), &access(&sshd)).await.unwrap();
    let observed = swarm.observe("no-such-stack").await.unwrap();
    assert!(observed.services.is_empty() && !observed.has_network);
    // A connection that breaks off between two requests is made again.
    sshd.signal("KILL");
    swarm.observe("no-such-stack").await.unwrap();
}

#[tokio::test]
async fn an_engine_that_is_not_reached_at_all_is_exit_3() {
    let sshd = Sshd::start();
    let swarm = Swarm::connect_with(&sshd.host(), &access(&sshd)).await.unwrap();
    let host = sshd.host();
    drop(sshd);
    let error = swarm.observe("no-such-stack").await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("no answer from Docker at `{host}`: ")), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Unknown);
}

#[tokio::test]
async fn a_server_that_forbids_tunnels_is_told_what_to_allow() {
    for line in
        ["AllowStreamLocalForwarding no", "DisableForwarding yes", "AllowStreamLocalForwarding remote"]
    {
        let sshd = Sshd::with(line);
        let error = refusal(&sshd, "").await;
        let said = format!("`{}` makes no connection to its socket `/var/run/docker.sock`", sshd.host());
        assert_eq!(error.to_string(), said);
        assert!(error.hint().unwrap().contains("AllowStreamLocalForwarding yes"));
    }
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_named() {
    let sshd = Sshd::start();
    let error = refusal(&sshd, "/nowhere/docker.sock").await;
    let said = format!("there is no socket at `/nowhere/docker.sock` on `{}`", sshd.host());
    assert_eq!(error.to_string(), said);
    assert_eq!(error.exit_code(), ExitCode::Usage);
    drop(UnixListener::bind(sshd.path("docker.sock")).unwrap());
    let error = refusal(&sshd, &sshd.text("docker.sock")).await;
    assert!(error.hint().unwrap().starts_with("is Docker running there"), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Unknown);
}

#[tokio::test]
async fn what_stands_in_the_way_is_said_by_ssh_itself() {
    let sshd = Sshd::start();
    let error = Swarm::connect(&sshd.host()).await.unwrap_err();
    assert!(error.to_string().starts_with("there is no key to log in to"), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Usage);
    let error = Swarm::connect("ssh://user:word@host").await.unwrap_err();
    assert!(error.to_string().starts_with("`ssh://user:***@host` is not an SSH address"), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Usage);
}
