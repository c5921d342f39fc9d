//! Names against name servers of the tests' own: every kind of answer, and what is made of none.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Record, RecordType};
use tokio::time::{Instant, timeout};

use super::fake_dns::{Asked, FakeDns, Reply, alias, at, zone};
use super::name_servers::Servers;
use super::resolver::{Family, Found, LookupError, Resolve};
use super::system::System;

const LONG: Duration = Duration::from_secs(10);
/// For what is to end in silence.
const SHORT: Duration = Duration::from_millis(300);
const A: RecordType = RecordType::A;

async fn resolve(servers: &[&FakeDns], host: &str) -> Result<Found, LookupError> {
    resolve_within(LONG, servers, host).await
}

async fn resolve_within(patience: Duration, servers: &[&FakeDns], host: &str) -> Result<Found, LookupError> {
    let servers = servers.iter().map(|server| server.address).collect();
    Servers::new(servers, patience).resolve(host).await
}

fn found(addresses: &[&str], seconds: u64) -> Found {
    let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
    Found::new(addresses, Duration::from_secs(seconds))
}

fn no_such(names: &[&str]) -> LookupError {
    LookupError::NoSuchName(names.iter().map(ToString::to_string).collect())
}

/// A zone with one name of both families, but for questions of `kind`, which get `reply`.
fn except(kind: RecordType, reply: Reply) -> impl Fn(&Asked) -> Reply + Send + Sync + 'static {
    let zone = zone(vec![at("app.", 60, "10.0.0.1"), at("app.", 60, "fd00::1")]);
    move |asked| if asked.kind == kind { reply.clone() } else { zone(asked) }
}

/// A socket that nobody reads.
fn nobody() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test]
async fn both_families_are_found_and_the_shorter_ttl_counts() {
    let records = vec![
        at("four.", 30, "10.0.0.1"),
        at("four.", 20, "10.0.0.2"),
        at("six.", 40, "fd00::1"),
        at("both.", 60, "10.0.0.3"),
        at("both.", 50, "fd00::2"),
        at("brief.", 0, "10.0.0.4"),
        at("lasting.", 100_000, "10.0.0.5"),
        at("nonsense.", u32::MAX, "10.0.0.6"),
        at("my_app-1.", 60, "10.0.0.7"),
    ];
    let dns = FakeDns::with(records).await;
    for (host, expected) in [
        ("four", found(&["10.0.0.1", "10.0.0.2"], 20)),
        ("six", found(&["fd00::1"], 40)),
        ("both", found(&["10.0.0.3", "fd00::2"], 50)),
        ("both.", found(&["10.0.0.3", "fd00::2"], 50)),
        ("brief", found(&["10.0.0.4"], 0)),
        ("lasting", found(&["10.0.0.5"], 100_000)),
        ("nonsense", found(&["10.0.0.6"], 0)),
        ("my_app-1", found(&["10.0.0.7"], 60)),
    ] {
        assert_eq!(resolve(&[&dns], host).await, Ok(expected), "{host}");
    }
    assert_eq!(dns.asked().len(), 16, "each was asked for once");
}

#[tokio::test]
async fn nothing_is_remembered() {
    let dns = FakeDns::with(vec![at("app.", 3600, "10.0.0.1")]).await;
    let servers = Servers::new(vec![dns.address], LONG);
    assert_eq!(servers.resolve("app").await, Ok(found(&["10.0.0.1"], 3600)));
    dns.change(|_| Reply::Code(ResponseCode::NXDomain));
    assert_eq!(servers.resolve("app").await, Err(no_such(&["app."])));
    dns.change(zone(vec![at("app.", 3600, "10.0.0.2")]));
    assert_eq!(servers.resolve("app").await, Ok(found(&["10.0.0.2"], 3600)));
}

#[tokio::test]
async fn an_answer_is_good_for_as_long_as_every_alias_on_its_way() {
    let records = vec![
        alias("www.", 300, "lb."),
        alias("lb.", 10, "node."),
        at("node.", 60, "10.0.0.1"),
        alias("ring.", 60, "gnir."),
        alias("gnir.", 60, "ring."),
        alias("astray.", 60, "nowhere."),
    ];
    let dns = FakeDns::with(records.clone()).await;
    assert_eq!(resolve(&[&dns], "www").await, Ok(found(&["10.0.0.1"], 10)), "one question each");
    assert!(resolve(&[&dns], "ring").await.is_err());
    assert_eq!(resolve(&[&dns], "astray").await, Err(no_such(&["astray."])));
    let chain: Vec<Record> = records[..3].to_vec();
    dns.change(move |asked| match asked.kind {
        RecordType::A => Reply::Records(chain.clone()),
        _ => Reply::Records(chain[..2].to_vec()),
    });
    assert_eq!(resolve(&[&dns], "www").await, Ok(found(&["10.0.0.1"], 10)), "all in one answer");
}

#[tokio::test]
async fn an_operator_is_told_why_there_is_no_address() {
    let dns = FakeDns::start(|asked| match &*asked.name {
        "none." => Reply::Records(vec![]),
        "broken." => Reply::Code(ResponseCode::ServFail),
        "refused." => Reply::Code(ResponseCode::Refused),
        "silent." => Reply::Silence,
        _ => Reply::Code(ResponseCode::NXDomain),
    })
    .await;
    let server = dns.address;
    for (host, text) in [
        ("gone", "there is no such name: asked for gone.".to_owned()),
        ("none", "the name exists, but has neither an A nor an AAAA record".to_owned()),
        ("broken", format!("name server {server} answers SERVFAIL")),
        ("refused", format!("name server {server} answers REFUSED")),
    ] {
        assert_eq!(resolve(&[&dns], host).await.unwrap_err().to_string(), text, "{host}");
    }
    let (_socket, nobody) = nobody();
    let silent = Servers::new(vec![server, nobody], SHORT).resolve("silent").await.unwrap_err();
    assert_eq!(silent.to_string(), format!("no name server answered: asked {server}, {nobody}"));
}

#[tokio::test]
async fn one_family_is_not_lost_with_the_other() {
    let negative = [Reply::Records(vec![]), Reply::Code(ResponseCode::NXDomain)];
    let (v4, v6) = (found(&["10.0.0.1"], 60), found(&["fd00::1"], 60));
    for reply in negative {
        let dns = FakeDns::start(except(RecordType::AAAA, reply.clone())).await;
        assert_eq!(resolve(&[&dns], "app").await, Ok(v4.clone()));
        dns.change(except(A, reply));
        assert_eq!(resolve(&[&dns], "app").await, Ok(v6.clone()));
    }
    for reply in [Reply::Code(ResponseCode::ServFail), Reply::Silence] {
        let dns = FakeDns::start(except(RecordType::AAAA, reply.clone())).await;
        let partial = resolve_within(SHORT, &[&dns], "app").await;
        assert_eq!(partial, Ok(Found { unanswered: Some(Family::V6), ..v4.clone() }), "{reply:?}");
        dns.change(except(A, reply));
        let partial = resolve_within(SHORT, &[&dns], "app").await;
        assert_eq!(partial, Ok(Found { unanswered: Some(Family::V4), ..v6.clone() }));
    }
}

#[tokio::test]
async fn another_server_answers_for_one_that_is_silent_or_fails() {
    let good = FakeDns::with(vec![at("app.", 60, "10.0.0.1")]).await;
    for code in [ResponseCode::ServFail, ResponseCode::Refused] {
        let bad = FakeDns::start(move |_| Reply::Code(code)).await;
        assert_eq!(resolve(&[&bad, &good], "app").await, Ok(found(&["10.0.0.1"], 60)), "{code}");
        assert_eq!(resolve(&[&good, &bad], "app").await, Ok(found(&["10.0.0.1"], 60)), "{code}");
        assert_eq!(bad.asked().len(), 2, "only when it is the first");
    }
    let silent = FakeDns::start(|_| Reply::Silence).await;
    let began = Instant::now();
    assert_eq!(resolve(&[&silent, &good], "app").await, Ok(found(&["10.0.0.1"], 60)));
    assert!(began.elapsed() < LONG / 2, "the first was not waited for");
}

#[tokio::test]
async fn what_a_server_knows_of_a_name_is_not_asked_of_another() {
    let (one, other) = (FakeDns::with(vec![]).await, FakeDns::with(vec![at("app.", 60, "10.0.0.1")]).await);
    assert_eq!(resolve(&[&one, &other], "app").await, Err(no_such(&["app."])));
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_too_long_comes_over_tcp() {
    let many: Vec<Record> = (0..100).map(|n| at("app.", 60, &format!("10.0.0.{n}"))).collect();
    let dns = FakeDns::with(many).await;
    assert_eq!(resolve(&[&dns], "app").await.unwrap().addresses.len(), 100);
    assert!(dns.asked().iter().any(|asked| asked.tcp));
    dns.change(|_| Reply::Truncated);
    let never_whole = resolve(&[&dns], "app").await.unwrap_err();
    assert!(matches!(never_whole, LookupError::Other(_)), "{never_whole}");
}

#[tokio::test]
async fn a_server_without_edns_is_asked_without() {
    let zone = zone(vec![at("app.", 60, "10.0.0.1")]);
    let dns = FakeDns::start(move |asked| match asked.edns {
        true => Reply::Code(ResponseCode::FormErr),
        false => zone(asked),
    })
    .await;
    assert_eq!(resolve(&[&dns], "app").await, Ok(found(&["10.0.0.1"], 60)));
}

/// The machine's files, in a folder of the test's own.
struct Machine {
    folder: PathBuf,
    system: System,
}

impl Machine {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("foreland-names-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let system = System::at(folder.join("hosts"), folder.join("resolv.conf"), LONG);
        Self { folder, system }
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.join(file), text).unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn the_hosts_file_comes_first_and_its_changes_count_at_once() {
    let machine = Machine::new("hosts");
    machine.write("resolv.conf", "nameserver 192.0.2.1\n");
    for (hosts, address) in [("10.0.0.1 app\n", "10.0.0.1"), ("10.0.0.2 app\n", "10.0.0.2")] {
        machine.write("hosts", hosts);
        let addresses = vec![address.parse().unwrap()];
        assert_eq!(machine.system.resolve("app").await, Ok(Found::new(addresses, Duration::MAX)));
    }
}

#[tokio::test]
async fn localhost_is_here_even_without_a_hosts_file() {
    let machine = Machine::new("localhost");
    machine.write("resolv.conf", "nameserver 192.0.2.1\n");
    let loopback: Vec<IpAddr> = ["127.0.0.1", "::1"].map(|a| a.parse().unwrap()).to_vec();
    assert_eq!(machine.system.resolve("localhost").await, Ok(Found::new(loopback, Duration::MAX)));
    machine.write("hosts", "127.0.0.1 localhost\n");
    assert_eq!(machine.system.resolve("localhost").await.unwrap().addresses.len(), 1, "as it is listed");
}

#[tokio::test]
async fn without_a_name_server_the_c_library_is_asked() {
    let machine = Machine::new("libc");
    for conf in [None, Some("# nothing\n"), Some("search example.com\n")] {
        conf.iter().for_each(|text| machine.write("resolv.conf", text));
        // It takes an address for a name, which is the one answer that every machine gives.
        assert_eq!(machine.system.resolve("192.0.2.1").await, Ok(found(&["192.0.2.1"], 30)));
    }
}

#[tokio::test]
async fn a_search_list_is_gone_through_like_the_c_library_does() {
    let dns = FakeDns::start(|asked| match &*asked.name {
        "app.gone." => Reply::Code(ResponseCode::NXDomain),
        "app.none." => Reply::Records(vec![]),
        "app.broken." => Reply::Code(ResponseCode::ServFail),
        "app.good." if asked.kind == A => Reply::Records(vec![at("app.good.", 60, "10.0.0.1")]),
        "app.good." => Reply::Records(vec![]),
        "app.good.elsewhere." => panic!("asked for behind the one that was found"),
        "app.silent." => Reply::Silence,
        _ => Reply::Code(ResponseCode::NXDomain),
    })
    .await;
    let ask = async |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|n| super::name_servers::absolute(n).unwrap()).collect();
        super::name_servers::ask(&[dns.address], &names, Instant::now() + SHORT).await
    };
    let here = Ok(found(&["10.0.0.1"], 60));
    assert_eq!(ask(&["app.gone", "app.none", "app.broken", "app.good", "app.good.elsewhere"]).await, here);
    assert_eq!(ask(&["app.gone", "app"]).await, Err(no_such(&["app.gone.", "app."])));
    assert_eq!(ask(&["app.none", "app"]).await, Err(LookupError::NoAddress));
    let failed = ask(&["app.broken", "app.none", "app"]).await.unwrap_err();
    assert!(failed.to_string().ends_with("SERVFAIL"), "{failed}");
    let silent = ask(&["app.silent", "app.good"]).await;
    assert_eq!(silent, Err(LookupError::NoAnswer(vec![dns.address])), "the next is another's name");
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_no_answer() {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let servers = Servers::new(vec![socket.local_addr().unwrap()], SHORT);
    let liar = async {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let question = buffer[..length].to_vec();
            for nonsense in [&question[..1], &question[..2], &question[..length.min(12)], b"", &[0xFF; 600]] {
                socket.send_to(nonsense, from).await.unwrap();
            }
        }
    };
    tokio::select! {
        answer = timeout(LONG, servers.resolve("app")) => assert!(answer.unwrap().is_err()),
        () = liar => {}
    }
}
