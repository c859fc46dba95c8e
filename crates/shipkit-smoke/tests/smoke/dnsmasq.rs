//! `dns` against a real dnsmasq, whose program `scripts/bed up dnsmasq` fetches.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shipkit_core::config::Dns;
use shipkit_core::{Outcome, Verdict};
use shipkit_smoke::{Check, Kind, Options};

/// A dnsmasq that knows these names and asks nobody else. It ends with this.
struct Dnsmasq {
    address: SocketAddr,
    process: Child,
}

impl Dnsmasq {
    /// Starts one on a free port with these lines, and waits until it listens.
    fn start(lines: &str) -> Self {
        let program = std::env::var("DNSMASQ_PROGRAM").expect("`scripts/bed up dnsmasq` says where it is");
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            let folder = tempfile::tempdir().unwrap();
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let file = folder.path().join("dnsmasq.conf");
            // As whoever it is started by.
            let config = format!(
                "keep-in-foreground\nuser=\ngroup=\npid-file=\nno-resolv\nno-hosts\nport={}\nlisten-address=127.0.0.1\nbind-interfaces\n\
                 local-ttl=60\nlocal=/test/\n{lines}\n",
                address.port()
            );
            std::fs::write(&file, config).unwrap();
            let mut process = Command::new(&program)
                .arg(format!("--conf-file={}", file.display()))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            loop {
                // Somebody else may have taken the port meanwhile.
                if process.try_wait().unwrap().is_some() {
                    break;
                }
                if TcpStream::connect(address).is_ok() {
                    return Self { address, process };
                }
                assert!(Instant::now() < until, "dnsmasq does not listen");
                std::thread::park_timeout(Duration::from_millis(10));
            }
            assert!(Instant::now() < until, "dnsmasq does not start");
        }
    }

    fn about(&self, name: &str) -> Dns {
        Dns { name: Some(name.to_owned()), resolvers: vec![self.address], ..Dns::default() }
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

async fn ask(wanted: Dns) -> Outcome {
    let options = Options { timeout: Duration::from_mins(1), ..Options::default() };
    let check = Check { retries: 0, ..Check::new("dns", Kind::Dns(wanted)) };
    let base = "https://shop.test".parse().unwrap();
    shipkit_smoke::run(&base, vec![check], &options).await.unwrap().checks.remove(0).outcome
}

#[track_caller]
fn check(outcome: &Outcome, verdict: Verdict, part: &str) {
    assert_eq!(outcome.verdict, verdict, "{outcome:?}");
    assert!(outcome.cause.contains(part), "{outcome:?}");
}

const SHOP: &str = "host-record=shop.test,192.0.2.1,2001:db8::1\ncname=www.shop.test,shop.test\nhost-record=a.b.shop.test,192.0.2.9\n\
                    caa-record=shop.test,0,issue,letsencrypt.org\ncaa-record=shop.test,128,iodef,mailto:security@shop.test";

#[tokio::test]
async fn a_real_server_knows_addresses_aliases_ttl_and_caa() {
    let server = Dnsmasq::start(SHOP);
    let wanted = |name: &str, authority: &str| Dns {
        ttl: Some(Duration::from_mins(1)),
        caa: Some(authority.to_owned()),
        ..server.about(name)
    };
    let www = Dns {
        cname: Some("shop.test".to_owned()),
        addresses: ["192.0.2.1", "2001:db8::1"].map(|address| address.parse().unwrap()).into(),
        ..wanted("www.shop.test", "letsencrypt.org")
    };
    let good = "`www.shop.test` is an alias of `shop.test` and has IPv4 `192.0.2.1` and IPv6 `2001:db8::1`, TTL 60s; \
                `letsencrypt.org` may issue certificates by the CAA records of `www.shop.test`";
    check(&ask(www.clone()).await, Verdict::Pass, good);
    check(
        &ask(Dns { ttl: Some(Duration::from_secs(59)), ..www }).await,
        Verdict::Fail,
        "TTL is 60s, more than 59s",
    );
    // From a name without records up to the one that has them, and to the end where none has.
    check(
        &ask(wanted("a.b.shop.test", "letsencrypt.org")).await,
        Verdict::Pass,
        "by the CAA records of `shop.test`",
    );
    let other = ask(wanted("a.b.shop.test", "other.example")).await;
    check(&other, Verdict::Fail, "by the CAA records of `shop.test`, only `letsencrypt.org` may");
}

#[tokio::test]
async fn a_real_server_says_what_it_does_not_know() {
    let server = Dnsmasq::start("txt-record=mail.test,text");
    check(&ask(server.about("none.test")).await, Verdict::Fail, "`none.test` does not exist (NXDOMAIN)");
    check(&ask(server.about("mail.test")).await, Verdict::Fail, "`mail.test` has no address (NODATA)");
    check(
        &ask(server.about("shop.example")).await,
        Verdict::Fail,
        "does not answer such questions (REFUSED)",
    );
}

#[tokio::test]
async fn what_a_real_server_cuts_off_comes_over_tcp() {
    let many: Vec<String> = (1..100).map(|n| format!("host-record=many.test,192.0.2.{n}")).collect();
    let server = Dnsmasq::start(&many.join("\n"));
    let addresses = (1..100).map(|n| format!("192.0.2.{n}").parse().unwrap()).collect();
    check(
        &ask(Dns { addresses, ..server.about("many.test") }).await,
        Verdict::Pass,
        "and 94 more and no IPv6",
    );
}

#[tokio::test]
async fn real_servers_that_differ_do_not_agree() {
    let (one, two) = (Dnsmasq::start(SHOP), Dnsmasq::start("host-record=shop.test,192.0.2.2"));
    let both = Dns { resolvers: vec![one.address, two.address], ..one.about("shop.test") };
    let wanted = format!(
        "the name servers do not agree: IPv4 `192.0.2.1` by `{}`, IPv4 `192.0.2.2` by `{}`; the name servers do not agree: \
         IPv6 `2001:db8::1` by `{0}`, no IPv6 by `{1}`",
        one.address, two.address
    );
    check(&ask(both).await, Verdict::Fail, &wanted);
}
