//! `dns` against name servers that know a name, that do not, and that misbehave.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use shipkit_core::Verdict;
use shipkit_core::config::Dns;
use shipkit_smoke::{Check, CheckReport, Class, Kind, Options, SmokeError};

use crate::fixture::nobody;
use crate::name_server::{Asked, NameServer, Zone};

const SHOP: &str = "
    shop.test 60 A 192.0.2.1
    shop.test 60 A 192.0.2.2
    shop.test 30 AAAA 2001:db8::1
    www.shop.test 300 CNAME shop.test
    shop.test 60 CAA 0 issue letsencrypt.org;validationmethods=dns-01
    shop.test 60 CAA 0 iodef mailto:security@shop.test";

fn quick() -> Options {
    Options {
        timeout: Duration::from_mins(1),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        ..Options::default()
    }
}

fn about(name: &str, servers: &[SocketAddr]) -> Dns {
    Dns { name: Some(name.to_owned()), resolvers: servers.to_vec(), ..Dns::default() }
}

async fn run(wanted: Dns, options: &Options) -> Result<CheckReport, SmokeError> {
    let base = "https://shop.test/path".parse().unwrap();
    let check = Check { retries: 0, ..Check::new("dns", Kind::Dns(wanted)) };
    Ok(shipkit_smoke::run(&base, vec![check], options).await?.checks.remove(0))
}

async fn ask(wanted: Dns) -> CheckReport {
    run(wanted, &quick()).await.unwrap()
}

#[track_caller]
fn check(report: &CheckReport, verdict: Verdict, part: &str) {
    assert_eq!(report.outcome.verdict, verdict, "{:?}", report.outcome);
    assert!(report.outcome.cause.contains(part), "{:?}", report.outcome);
}

/// An address at which no server is, as long as this is held: who has it hears one other address only.
fn no_server() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    socket.connect(address).unwrap();
    (socket, address)
}

#[tokio::test]
async fn servers_that_say_the_same_in_any_order_agree() {
    let turned = SHOP.replace(".0.2.1", ".0.2.X").replace(".0.2.2", ".0.2.1").replace(".0.2.X", ".0.2.2");
    let (one, two) = (NameServer::start(SHOP).await, NameServer::start(&turned).await);
    let report = ask(about("shop.test", &[one.address, two.address])).await;
    let wanted = format!(
        "`shop.test` has IPv4 `192.0.2.1`, `192.0.2.2` and IPv6 `2001:db8::1`, TTL 60s; asked: `{}`, `{}`",
        one.address, two.address
    );
    check(&report, Verdict::Pass, &wanted);
    assert_eq!(report.url, "dns:shop.test");
    let repeat = |port| format!("dig -p {port} @127.0.0.1 'shop.test' A 'shop.test' AAAA");
    let repeats = [repeat(one.address.port()), repeat(two.address.port())].join("; ");
    assert_eq!(report.repeat, repeats);
    let mut asked = two.asked();
    asked.sort();
    assert_eq!(asked, ["udp shop.test A", "udp shop.test AAAA"]);
}

#[tokio::test]
async fn servers_that_do_not_agree_are_named_with_what_they_say() {
    let one = NameServer::start("shop.test 60 A 192.0.2.1\nshop.test 60 AAAA 2001:db8::1").await;
    let two = NameServer::start("shop.test 60 A 192.0.2.1\nshop.test 60 AAAA 2001:db8::2").await;
    let report = ask(about("shop.test", &[one.address, two.address, one.address])).await;
    let wanted = format!(
        "the name servers do not agree: IPv6 `2001:db8::1` by `{0}`, `{0}`, IPv6 `2001:db8::2` by `{1}`",
        one.address, two.address
    );
    check(&report, Verdict::Fail, &wanted);
    assert_eq!(report.class, Some(Class::Records));
    assert!(!report.outcome.cause.contains("IPv4"), "{:?}", report.outcome);
}

#[tokio::test]
async fn the_ways_of_not_knowing_a_name_are_told_apart() {
    let server = NameServer::start(
        "www.shop.test 60 CNAME gone.test\nmail.test 60 CAA 0 issue ;\nalias.test 60 CNAME mail.test\n\
         broken.test SERVFAIL\nother.test REFUSED\na.test 60 CNAME b.test\nb.test 60 CNAME a.test\n\
         four.test 60 A 192.0.2.1",
    )
    .await;
    for (name, wanted) in [
        ("none.test", "`none.test` does not exist (NXDOMAIN)"),
        ("www.shop.test", "`gone.test` does not exist (NXDOMAIN)"),
        ("mail.test", "`mail.test` has no address (NODATA)"),
        ("shop.test", "`shop.test` has no address (NODATA)"),
        ("alias.test", "`alias.test` is an alias of `mail.test`, which has no address (NODATA)"),
        ("broken.test", "it could not find out (SERVFAIL)"),
        ("other.test", "it does not answer such questions (REFUSED)"),
        ("a.test", "the aliases of `a.test` lead in a circle"),
    ] {
        let report = ask(about(name, &[server.address])).await;
        assert_eq!(report.outcome.verdict, Verdict::Fail, "{name}: {:?}", report.outcome);
        assert_eq!(report.outcome.cause, format!("`{}`: {wanted}", server.address));
        assert_eq!(report.class, Some(Class::Records), "{name}");
    }
    check(
        &ask(about("FOUR.test", &[server.address])).await,
        Verdict::Pass,
        "`192.0.2.1` and no IPv6, TTL 60s",
    );
}

#[tokio::test]
async fn what_is_wanted_is_compared_and_all_that_differs_is_told() {
    let server = NameServer::start(SHOP).await;
    let wanted = |cname: &str, ttl: u64, addresses: &[&str], caa: &str| Dns {
        cname: Some(cname.to_owned()),
        ttl: Some(Duration::from_secs(ttl)),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        caa: Some(caa.to_owned()),
        ..about("www.shop.test", &[server.address])
    };
    let all = ["2001:db8::1", "192.0.2.2", "192.0.2.1"];
    let report = ask(wanted("Shop.test", 300, &all, "letsencrypt.org")).await;
    let good = "`www.shop.test` is an alias of `shop.test` and has IPv4 `192.0.2.1`, `192.0.2.2` and IPv6 `2001:db8::1`, TTL 300s; \
                `letsencrypt.org` may issue certificates by the CAA records of `www.shop.test`; asked: ";
    check(&report, Verdict::Pass, good);
    assert!(report.repeat.ends_with(" 'www.shop.test' AAAA 'www.shop.test' CAA"), "{}", report.repeat);
    let report = ask(wanted("other.test", 299, &all[1..], "other.example")).await;
    let bad = [
        "`www.shop.test` has IPv6 `2001:db8::1`, and should have no IPv6",
        "`www.shop.test` is an alias of `shop.test`, not of `other.test`",
        "its TTL is 300s, more than 299s",
        "`other.example` may not issue certificates: by the CAA records of `www.shop.test`, only `letsencrypt.org` may",
    ]
    .map(|why| format!("`{}`: {why}", server.address));
    check(&report, Verdict::Fail, &bad.join("; "));
    let plain = Dns { cname: Some("x.test".to_owned()), ..about("shop.test", &[server.address]) };
    check(&ask(plain).await, Verdict::Fail, "`shop.test` is no alias, and should be one of `x.test`");
}

#[tokio::test]
async fn the_first_name_on_the_way_up_with_caa_records_decides() {
    let server = NameServer::start(
        "a.b.shop.test 60 A 192.0.2.1\nshop.test 60 CAA 0 issue letsencrypt.org\ntest 60 CAA 0 issue ;\n\
         free.example 60 A 192.0.2.1\nx.broken.example 60 A 192.0.2.1\nbroken.example SERVFAIL",
    )
    .await;
    let caa = |name| Dns { caa: Some("letsencrypt.org".to_owned()), ..about(name, &[server.address]) };
    let report = ask(caa("a.b.shop.test")).await;
    check(
        &report,
        Verdict::Pass,
        "`letsencrypt.org` may issue certificates by the CAA records of `shop.test`",
    );
    let asked: Vec<_> = server.asked().into_iter().filter(|asked| asked.ends_with(" CAA")).collect();
    assert_eq!(asked, ["udp a.b.shop.test CAA", "udp b.shop.test CAA", "udp shop.test CAA"]);
    check(&ask(caa("free.example")).await, Verdict::Pass, "as there is no CAA record");
    let report = ask(caa("x.broken.example")).await;
    check(&report, Verdict::Fail, "asked about CAA, it could not find out (SERVFAIL)");
}

#[tokio::test]
async fn the_name_is_the_host_of_the_base_address_where_no_other_is_given() {
    let server = NameServer::start(SHOP).await;
    let wanted = Dns { resolvers: vec![server.address], ..Dns::default() };
    check(&ask(wanted.clone()).await, Verdict::Pass, "`shop.test` has IPv4 ");
    let checks = vec![Check::new("dns", Kind::Dns(wanted))];
    for (base, host) in [("http://127.0.0.1:80", "127.0.0.1"), ("http://[::1]:80", "[::1]")] {
        let ended = shipkit_smoke::validate(&base.parse().unwrap(), &checks, &quick()).unwrap_err();
        assert_eq!(
            ended.to_string(),
            format!("check `dns` asks name servers about `{host}`, which is no name")
        );
    }
}

#[tokio::test]
async fn what_does_not_fit_a_datagram_comes_over_tcp() {
    let many: Vec<String> = (1..100).map(|n| format!("many.test 60 A 192.0.2.{n}")).collect();
    let server = NameServer::start(&many.join("\n")).await;
    let report = ask(about("many.test", &[server.address])).await;
    check(&report, Verdict::Pass, "and 94 more and no IPv6");
    assert!(server.asked().contains(&"tcp many.test A".to_owned()), "{:?}", server.asked());
    assert!(!server.asked().contains(&"tcp many.test AAAA".to_owned()), "{:?}", server.asked());
}

#[tokio::test]
async fn what_is_cut_off_and_has_no_server_over_tcp_fails() {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let many: Vec<String> = (1..100).map(|n| format!("many.test 60 A 192.0.2.{n}")).collect();
        let (zone, mut bytes) = (Zone::of(&many.join("\n")), [0; 512]);
        loop {
            let (length, from) = socket.recv_from(&mut bytes).await.unwrap();
            socket.send_to(&zone.datagram(&bytes[..length]), from).await.unwrap();
        }
    });
    let report = ask(about("many.test", &[address])).await;
    let wanted =
        "asked about IPv4, its answer is too long for UDP, and over TCP it does not take a connection";
    check(&report, Verdict::Fail, wanted);
}

#[tokio::test]
async fn what_is_no_answer_to_the_question_is_not_heard() {
    let server = NameServer::with(SHOP, &|zone, asked| {
        let Asked { question, from, .. } = asked;
        let truth = zone.datagram(question);
        let wrong =
            Zone::of("shop.test 60 A 203.0.113.66\nshop.test 60 AAAA 2001:db8::66").datagram(question);
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&wrong, from).unwrap();
        let mut other_id = wrong.clone();
        other_id[0] ^= 1;
        // The first letter of the name, of the type, and whether it is a reply.
        let other = [(13, b'S' ^ b'z'), (wrong.len().min(23), 1), (2, 0x80)];
        let others = other.map(|(at, bits)| {
            let mut other = wrong.clone();
            other[at] ^= bits;
            other
        });
        [vec![other_id, Vec::new(), wrong[..11].to_vec(), wrong[..20].to_vec()], others.to_vec(), vec![truth]]
            .concat()
    })
    .await;
    let report = ask(about("shop.test", &[server.address])).await;
    check(&report, Verdict::Pass, "has IPv4 `192.0.2.1`, `192.0.2.2` and IPv6 `2001:db8::1`");
    assert_eq!(server.asked().len(), 2, "{:?}", server.asked());
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again() {
    let server = NameServer::with(SHOP, &|zone, asked| {
        if asked.before == 0 { Vec::new() } else { vec![zone.datagram(asked.question)] }
    })
    .await;
    let options = Options { timeout: Duration::from_secs(3), ..quick() };
    let report = run(about("shop.test", &[server.address]), &options).await.unwrap();
    check(&report, Verdict::Pass, "`shop.test` has IPv4 ");
    assert_eq!(report.attempts.len(), 1);
    assert!(4 <= server.asked().len(), "{:?}", server.asked());
}

#[tokio::test]
async fn a_server_that_says_nothing_fails_only_beside_one_that_answers() {
    let (good, (_held, dead)) = (NameServer::start(SHOP).await, no_server());
    let silent = NameServer::with("", &|_, _| Vec::new()).await;
    let options = Options { timeout: Duration::from_millis(500), ..quick() };
    let report = run(about("shop.test", &[silent.address, dead]), &options).await.unwrap();
    check(
        &report,
        Verdict::Inconclusive,
        &format!("no name server answers: `{}`: it does not ", silent.address),
    );
    assert!(
        report.outcome.cause.contains(&format!("`{dead}`: it cannot be reached: ")),
        "{:?}",
        report.outcome
    );
    assert_eq!(report.class, Some(Class::Dns));
    let control = Options { control: Some(nobody().await), ..options };
    let report = run(about("shop.test", &[dead]), &control).await.unwrap();
    check(&report, Verdict::Unreachable, "the network from here does not work");
    let report = ask(about("shop.test", &[good.address, dead])).await;
    check(&report, Verdict::Fail, &format!("`{dead}`: it cannot be reached: "));
    assert_eq!(report.class, Some(Class::Timeout));
    assert!(!report.outcome.cause.contains(&good.address.to_string()), "{:?}", report.outcome);
}

#[tokio::test]
async fn a_server_that_has_no_route_from_here_is_told_and_does_not_count() {
    // An address of a link, and nothing says which link.
    let (good, far) = (NameServer::start(SHOP).await, "[fe80::1]:53".parse().unwrap());
    let report = ask(about("shop.test", &[far, good.address])).await;
    check(&report, Verdict::Pass, "; from here there is no route to `[fe80::1]:53`");
    let report = ask(about("shop.test", &[far])).await;
    check(
        &report,
        Verdict::Inconclusive,
        "no name server answers; from here there is no route to `[fe80::1]:53`",
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_about_ipv6_fails() {
    // As many did, so that clients wait for it (RFC 4074 4).
    let server = NameServer::with("shop.test 60 A 192.0.2.1", &|zone, asked| {
        let is_v6 = asked.question.ends_with(&[0, 28, 0, 1]);
        if is_v6 { Vec::new() } else { vec![zone.datagram(asked.question)] }
    })
    .await;
    let options = Options { timeout: Duration::from_secs(2), ..quick() };
    let report = run(about("shop.test", &[server.address]), &options).await.unwrap();
    check(&report, Verdict::Fail, "asked about IPv6, it does not answer in time");
    assert_eq!(report.class, Some(Class::Timeout));
}
