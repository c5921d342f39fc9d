//! Counts the allocations of what every request pays for: evaluating patterns makes none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use foreland::cache::object::{Body, Object, Ruled, StoredHead};
use foreland::cache::policy::{Lifetime, LifetimeSource, StoredTimes};
use foreland::cache::{Cache, Found, Settings};
use foreland::edge::decide::{ask, decide};
use foreland::http::fields::Fields;
use foreland::http::request::{Framing, Protocol, RequestView, Scheme};
use foreland::route::{FieldTest, Index, Match, Subject, Table, Test, ValueTest, parse_net};
use foreland::rules::{Rule, RuleSet, Then, When};
use foreland::verdict::{CacheUse, Key};
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

#[path = "../benches/plans.rs"]
mod plans;

/// Allocations of this thread while `run` runs.
fn allocations<T>(run: impl FnOnce() -> T) -> u64 {
    let counted = allocation_counter::measure(|| {
        black_box(run());
    });
    counted.count_total
}

const FIELDS: [httparse::Header<'static>; 3] = [
    httparse::Header { name: "User-Agent", value: b"Mozilla/5.0 (a bot)" },
    httparse::Header { name: "Cookie", value: b"theme=dark; session=abc" },
    httparse::Header { name: "Accept", value: b"*/*" },
];

fn view<'a>(host: &'a str, path: &'a str) -> RequestView<'a> {
    RequestView {
        method: "GET",
        scheme: Scheme::Https,
        host,
        port: 443,
        path,
        query: Some("utm_source=x&q=1"),
        protocol: Protocol::Http11,
        fields: Fields::Raw(&FIELDS),
        framing: Framing::None,
        upgrade: false,
        client: IpAddr::from([10, 1, 2, 3]),
    }
}

const PATHS: [&str; 7] =
    ["/", "/assets/app.js", "/a/b/c", "/a%20b/.well-known/x", "/x/1/y", "/v2/items", "*"];
const HOSTS: [&str; 4] = ["www.example.com", "WWW.Example.COM.", "a.b.example.org", "[2001:DB8:0::1]"];

fn tests() -> Vec<Test> {
    let field = |name: &str, patterns: &[&str]| FieldTest {
        name: name.into(),
        value: ValueTest::Is(patterns.iter().map(|p| p.parse().unwrap()).collect()),
    };
    vec![
        Test::Client(vec![parse_net("11.0.0.0/8").unwrap(), parse_net("10.0.0.0/8").unwrap()]),
        Test::Cookie(field("session", &["x*", "*c"])),
        Test::Header(field("accept", &["text/html", "*/*"])),
        Test::Host(vec!["*.example.com".parse().unwrap(), "[::1]".parse().unwrap()]),
        Test::Method(vec!["GET".into(), "HEAD".into()]),
        Test::Path(["/a/", "*.js", "/x/*/y", "~^/v[0-9]+/"].iter().map(|p| p.parse().unwrap()).collect()),
        Test::Query(field("q", &["1"])),
        Test::UserAgent(vec!["*bot*".parse().unwrap()]),
    ]
}

fn routes() -> Vec<Match> {
    let one = |host: &str, path: &str, tests: Vec<Test>| Match {
        hosts: vec![host.parse().unwrap()],
        paths: vec![path.parse().unwrap()],
        tests,
    };
    let paths = ["/", "/assets/", "*.js", "/x/*/y", "~^/v[0-9]+/", "~item", "/a/b/c"];
    let hosts = ["*", "*.example.com", "www.example.com", "[2001:db8::1]"];
    let pairs = hosts.iter().flat_map(|host| paths.iter().map(move |path| (host, path)));
    pairs.flat_map(|(host, path)| [one(host, path, Vec::new()), one(host, path, tests())]).collect()
}

fn every_view(mut run: impl FnMut(&RequestView<'_>)) {
    for host in HOSTS {
        for path in PATHS {
            run(&view(host, path));
        }
    }
}

#[test]
fn the_count_counts() {
    assert_eq!(allocations(|| Box::new(1u64)), 1);
    assert_eq!(allocations(|| 1 + 1), 0);
}

#[test]
fn a_subject_allocates_nothing_for_an_ordinary_request() {
    every_view(|view| assert_eq!(allocations(|| Subject::of(view)), 0, "{} {}", view.host, view.path));
}

#[test]
fn a_condition_allocates_nothing() {
    let tests = tests();
    every_view(|view| {
        let s = Subject::of(view);
        for test in &tests {
            // An expression makes its working memory when a thread uses it for the first time.
            test.check(&s);
            assert_eq!(allocations(|| test.check(&s)), 0, "{test:?} {}", view.path);
        }
    });
}

#[test]
fn finding_a_route_allocates_nothing() {
    let routes = routes();
    let table = Table::open(&routes);
    let mut index = Index::default();
    for (id, route) in (0..).zip(&routes) {
        index.insert(&route.hosts, &route.paths, id);
    }
    every_view(|view| {
        let s = Subject::of(view);
        assert!(table.find(&s).is_some());
        assert_eq!(allocations(|| table.find(&s)), 0, "{} {}", view.host, view.path);
        // An expression makes its working memory when a thread uses it for the first time.
        index.visit(s.host(), s.path(), |_| {});
        let mut found = 0;
        assert_eq!(allocations(|| index.visit(s.host(), s.path(), |_| found += 1)), 0);
        assert!(found > 0);
    });
}

fn one_of(members: Vec<When>) -> When {
    When::Any(members)
}

fn on_path(text: &str) -> When {
    When::Request(Test::Path(vec![text.parse().unwrap()]))
}

fn is(name: &str, pattern: &str) -> FieldTest {
    FieldTest { name: name.into(), value: ValueTest::Is(vec![pattern.parse().unwrap()]) }
}

/// Rules of every kind, with those that match among a thousand that do not.
fn rule_set() -> RuleSet {
    let mut whens: Vec<When> = (0..1_000).map(|n| on_path(&format!("/section-{n}/"))).collect();
    whens.extend([
        one_of(vec![on_path("*.js"), on_path("~^/assets/[a-z]+")]),
        When::All(vec![on_path("/assets/"), When::Request(Test::Method(vec!["GET".into()]))]),
        When::Request(Test::Host(vec!["*.example.com".parse().unwrap()])),
        When::Request(Test::Cookie(is("session", "*"))),
        When::Request(Test::Query(is("v", "~^[0-9]+$"))),
        When::Not(Box::new(When::Request(Test::Header(is("accept", "text/*"))))),
        When::Request(Test::UserAgent(vec!["*bot*".parse().unwrap()])),
        When::Request(Test::Client(vec!["10.0.0.0/8".parse().unwrap()])),
    ]);
    let rule = |when| Rule {
        name: "a".into(),
        place: "a.yaml:1".into(),
        when,
        then: Then { edge: Some(60), browser: Some(60), bypass: Some(false), ..Then::default() },
    };
    RuleSet::open(whens.into_iter().map(rule).collect())
}

#[test]
fn deciding_the_rules_of_a_request_allocates_nothing() {
    let rules = rule_set();
    let header = |name, value: &'static str| httparse::Header { name, value: value.as_bytes() };
    let fields = [header("User-Agent", "a bot"), header("Cookie", "a=1; session=2"), header("Accept", "*/*")];
    let view = RequestView {
        method: "GET",
        scheme: Scheme::Https,
        host: "WWW.example.com",
        port: 443,
        path: "/assets/app.js",
        query: Some("v=3"),
        protocol: Protocol::H2,
        fields: Fields::Raw(&fields),
        framing: Framing::None,
        upgrade: false,
        client: [10, 0, 0, 1].into(),
    };
    let decide = || {
        let subject = Subject::of(black_box(&view));
        rules.request(&subject)
    };
    // The regular expressions make room for themselves once for each thread.
    let terms = decide();
    assert_eq!(terms.last(), Some(1_007));
    let used = allocations(|| {
        for _ in 0..100 {
            black_box(decide());
        }
    });
    assert_eq!(used, 0);
}

/// Everything between a request's head and the first byte of its answer from memory.
#[test]
fn a_hit_among_a_thousand_routes_and_rules_is_found_without_an_allocation() {
    let (plan, view) = (plans::plan(1_000, 1_000), plans::view());
    let cache = Cache::new(Settings { memory: 64 << 20, ..Settings::default() });
    let recipe = cache.recipe();
    let now = 1_795_348_800;
    let evaluate = || {
        let decision = decide(&plan, &recipe, black_box(&view), black_box(None));
        let CacheUse::Use(key) = &decision.cache else { return false };
        let ruled = plan.ruled(decision.route, decision.terms);
        matches!(cache.lookup(&ask(&ruled, view.fields, key, now)), Found::Hit(_))
    };
    assert!(!evaluate(), "nothing is stored yet");
    let CacheUse::Use(key) = decide(&plan, &recipe, &view, None).cache else {
        panic!("the cache is not used")
    };
    cache.ram().insert(stored(key, now), |_| false).unwrap();
    assert!(evaluate(), "it is not a hit");
    let used = allocations(|| {
        for _ in 0..100 {
            black_box(evaluate());
        }
    });
    assert_eq!(used, 0);
}

fn stored(key: Key, now: u64) -> Arc<Object> {
    let life = Lifetime {
        lifetime: 60,
        initial_age: 0,
        while_revalidate: 0,
        if_error: 0,
        always_validate: false,
        must_revalidate: false,
        shareable_with_credentials: false,
        stale_if_asked: true,
        source: LifetimeSource::Rule,
    };
    let times = StoredTimes { received_at: now, life };
    let head = StoredHead::new(200, std::iter::empty(), Some(1), times, None, Ruled::default());
    Arc::new(Object::new(key, head, Body::pack(&[bytes::Bytes::from_static(b"x")])))
}
