//! Clusters against a name server of the tests' own: what becomes of their servers as answers come, change and fail.

use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Record, RecordType};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::fake_dns::{Asked as Question, FakeDns, Reply, at, zone};
use crate::upstream::names::{Asked, MAX_ADDRESSES};
use crate::upstream::tests::{LONG, SOON, specs};
use crate::upstream::{Cluster, HealthRegistry, Settings};

const HOUR: Duration = Duration::from_secs(3600);

fn settings(dns: &FakeDns) -> Settings {
    let mut settings = Settings::default();
    settings.lookup.servers = vec![dns.address];
    settings
}

/// Settings by which an answer is used for a moment, and a look-up may take for ever.
fn brisk(dns: &FakeDns) -> Settings {
    let mut settings = settings(dns);
    settings.health.every = HOUR;
    let lookup = &mut settings.lookup;
    (lookup.min_ttl, lookup.max_ttl, lookup.retry, lookup.timeout) = (SOON, SOON, SOON, HOUR);
    settings
}

fn cluster(servers: &[&str], settings: Settings) -> Arc<Cluster> {
    Cluster::open("app", &specs(servers), settings, Arc::new(()), HealthRegistry::new()).unwrap()
}

fn found(cluster: &Cluster) -> Vec<String> {
    let servers = cluster.servers();
    servers.iter().filter_map(|server| Some(server.endpoint.as_ref()?.to_string())).collect()
}

/// Waits until `cluster` has these addresses, looking whenever `dns` is asked something.
async fn finds(cluster: &Cluster, dns: &FakeDns, expected: &[&str]) {
    let end = Instant::now() + LONG;
    while found(cluster) != expected {
        assert!(Instant::now() < end, "{:?}", found(cluster));
        dns.asked_times(dns.asked().len() + 1).await;
    }
}

/// How long the cluster waits until it looks a name up.
fn pause(cluster: &Cluster) -> Duration {
    cluster.ask_due(&mut Asked::new()).unwrap() - Instant::now()
}

fn either(kind: RecordType, reply: Reply, records: Vec<Record>) -> impl Fn(&Question) -> Reply + Send + Sync {
    let zone = zone(records);
    move |question| if question.kind == kind { reply.clone() } else { zone(question) }
}

#[tokio::test]
async fn a_changed_answer_is_seen_when_its_ttl_is_over() {
    let dns = FakeDns::with(vec![at("app.", 1, "10.0.0.1")]).await;
    let cluster = cluster(&["app:80"], brisk(&dns));
    let (_stop, shutdown) = watch::channel(false);
    cluster.start(shutdown).await;
    assert_eq!(found(&cluster), ["10.0.0.1:80"]);
    dns.change(zone(vec![at("app.", 1, "10.0.0.2"), at("app.", 1, "fd00::1")]));
    finds(&cluster, &dns, &["10.0.0.2:80", "[fd00::1]:80"]).await;
    assert_eq!(&*cluster.pick(&[], None).unwrap().server.name, "app:80");
}

#[tokio::test]
async fn the_ttl_counts_within_its_bounds() {
    for (ttl, least) in [(0, 5), (1, 5), (60, 60), (100_000, 300)] {
        let dns = FakeDns::with(vec![at("app.", ttl, "10.0.0.1")]).await;
        let cluster = cluster(&["app:80"], settings(&dns));
        cluster.look_up().await;
        let least = Duration::from_secs(least);
        let pause = pause(&cluster);
        assert!(pause > least - LONG / 10 && pause <= least.mul_f64(1.1), "{pause:?} for {ttl}");
    }
}

#[tokio::test]
async fn no_failure_takes_a_server_away() {
    let dns = FakeDns::with(vec![at("app.", 60, "10.0.0.1"), at("app.", 60, "fd00::1")]).await;
    let mut settings = settings(&dns);
    settings.lookup.timeout = 15 * SOON;
    let cluster = cluster(&["app:80"], settings);
    cluster.look_up().await;
    let both = ["10.0.0.1:80", "[fd00::1]:80"];
    assert_eq!(found(&cluster), both);
    for reply in [
        Reply::Code(ResponseCode::NXDomain),
        Reply::Code(ResponseCode::ServFail),
        Reply::Records(vec![]),
        Reply::Silence,
        Reply::Truncated,
    ] {
        let failing = reply.clone();
        dns.change(move |_| failing.clone());
        cluster.look_up().await;
        assert_eq!(found(&cluster), both, "{reply:?}");
    }
}

#[tokio::test]
async fn a_family_that_nobody_speaks_of_stays() {
    let dns = FakeDns::with(vec![at("app.", 60, "10.0.0.1"), at("app.", 60, "fd00::1")]).await;
    let mut settings = settings(&dns);
    settings.lookup.timeout = 15 * SOON;
    let cluster = cluster(&["app:80"], settings);
    cluster.look_up().await;
    dns.change(either(RecordType::AAAA, Reply::Silence, vec![at("app.", 60, "10.0.0.2")]));
    cluster.look_up().await;
    assert_eq!(found(&cluster), ["10.0.0.2:80", "[fd00::1]:80"]);
    let broken = Reply::Code(ResponseCode::ServFail);
    dns.change(either(RecordType::A, broken, vec![at("app.", 60, "fd00::2")]));
    cluster.look_up().await;
    assert_eq!(found(&cluster), ["10.0.0.2:80", "[fd00::2]:80"]);
    dns.change(zone(vec![at("app.", 60, "10.0.0.3")]));
    cluster.look_up().await;
    assert_eq!(found(&cluster), ["10.0.0.3:80"], "there are none of the other");
}

#[tokio::test]
async fn rotated_answers_change_nothing() {
    let mut records: Vec<_> = (1..=5).map(|n| at("app.", 60, &format!("10.0.0.{n}"))).collect();
    let dns = FakeDns::with(records.clone()).await;
    let cluster = cluster(&["app:80"], settings(&dns));
    cluster.look_up().await;
    let before = found(&cluster);
    for _ in 0..5 {
        records.rotate_left(2);
        dns.change(zone(records.clone()));
        let (asked, lookup) = (cluster.names().specs(), &cluster.settings().lookup);
        let answers = cluster.names().look_up(&asked, lookup).await;
        assert!(!cluster.names().learn(answers, lookup), "nothing to tell anybody of");
        assert_eq!(found(&cluster), before);
    }
}

#[tokio::test]
async fn of_too_many_addresses_the_same_are_used_every_time() {
    let mut records: Vec<_> = (100..200).map(|n| at("app.", 60, &format!("10.0.0.{n}"))).collect();
    let dns = FakeDns::with(records.clone()).await;
    let cluster = cluster(&["app:80"], settings(&dns));
    let first: Vec<_> = (100..164).map(|n| format!("10.0.0.{n}:80")).collect();
    assert_eq!(first.len(), MAX_ADDRESSES);
    for _ in 0..3 {
        cluster.look_up().await;
        assert_eq!(found(&cluster), first);
        records.rotate_left(37);
        dns.change(zone(records.clone()));
    }
}

#[tokio::test]
async fn a_name_that_is_not_there_yet_is_found_when_it_is() {
    let dns = FakeDns::with(vec![]).await;
    let cluster = cluster(&["app:80"], brisk(&dns));
    let (_stop, shutdown) = watch::channel(false);
    cluster.start(shutdown).await;
    assert!(cluster.pick(&[], None).is_err());
    dns.asked_times(6).await;
    dns.change(zone(vec![at("app.", 60, "10.0.0.1")]));
    finds(&cluster, &dns, &["10.0.0.1:80"]).await;
}

#[tokio::test]
async fn a_name_whose_servers_are_silent_holds_up_no_other() {
    let dns = FakeDns::with(vec![at("app.", 1, "10.0.0.1"), at("dead.", 1, "10.0.0.9")]).await;
    let cluster = cluster(&["app:80", "dead:80"], brisk(&dns));
    let (_stop, shutdown) = watch::channel(false);
    cluster.start(shutdown).await;
    let good = zone(vec![at("app.", 1, "10.0.0.2")]);
    dns.change(move |question| if question.name == "dead." { Reply::Silence } else { good(question) });
    finds(&cluster, &dns, &["10.0.0.2:80", "10.0.0.9:80"]).await;
}

#[tokio::test]
async fn a_look_up_under_way_holds_up_no_end() {
    let dns = FakeDns::with(vec![at("app.", 1, "10.0.0.1")]).await;
    let cluster = cluster(&["app:80"], brisk(&dns));
    let (stop, shutdown) = watch::channel(false);
    cluster.start(shutdown).await;
    dns.change(|_| Reply::Silence);
    dns.asked_times(dns.asked().len() + 2).await;
    stop.send(true).unwrap();
    timeout(LONG, stop.closed()).await.unwrap(); // the tasks dropped their receivers
}

#[tokio::test]
async fn after_a_reload_the_new_name_servers_are_asked() {
    let (old, new) = (
        FakeDns::with(vec![at("app.", 3600, "10.0.0.1")]).await,
        FakeDns::with(vec![at("app.", 3600, "10.0.0.2"), at("api.", 3600, "10.0.0.3")]).await,
    );
    let cluster = cluster(&["app:80"], settings(&old));
    let (_stop, shutdown) = watch::channel(false);
    cluster.start(shutdown).await;
    assert_eq!(found(&cluster), ["10.0.0.1:80"]);
    let change = cluster.prepare(&specs(&["app:80", "api:80"]), brisk(&new)).await.unwrap();
    assert!(new.asked().iter().all(|question| question.name == "api."), "only who is new cannot wait");
    change.apply();
    let joined = found(&cluster);
    assert!(joined.contains(&"10.0.0.3:80".parse().unwrap()), "from the first moment");
    finds(&cluster, &new, &["10.0.0.2:80", "10.0.0.3:80"]).await;
}
