//! Plans with as many routes and rules as wanted, for whoever measures what a request pays for them.

#![allow(clippy::expect_used)]

use foreland::http::fields::Fields;
use foreland::http::request::{Framing, Protocol, RequestView, Scheme};
use foreland::plan::{Listener, Plan};
use foreland::route::{FieldTest, Match, Test, ValueTest};
use foreland::rules::{Rule, RuleSet, Then, When};
use foreland::setup::{Route, Setup};
use foreland::telemetry::{AccessLog, Metrics};
use std::net::IpAddr;
use std::sync::Arc;

/// Fields as a browser sends them.
pub const FIELDS: [httparse::Header<'static>; 6] = [
    httparse::Header { name: "Host", value: b"www.site-7.example.com" },
    httparse::Header {
        name: "User-Agent",
        value: b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101",
    },
    httparse::Header { name: "Accept", value: b"*/*" },
    httparse::Header { name: "Accept-Encoding", value: b"gzip, deflate, br, zstd" },
    httparse::Header { name: "Cookie", value: b"theme=dark; _ga=GA1.1.1; consent=yes" },
    httparse::Header { name: "Referer", value: b"https://www.site-7.example.com/" },
];

/// A request that one route takes and three rules match, however many there are.
pub fn view() -> RequestView<'static> {
    RequestView {
        method: "GET",
        scheme: Scheme::Https,
        host: "www.site-7.example.com",
        port: 443,
        path: "/section-7/app.js",
        query: Some("v=3"),
        protocol: Protocol::Http11,
        fields: Fields::Raw(&FIELDS),
        framing: Framing::None,
        upgrade: false,
        client: IpAddr::from([203, 0, 113, 9]),
    }
}

/// So many routes, each to one host and path, under so many rules of every kind.
pub fn plan(routes: usize, rules: usize) -> Plan {
    let rules = Arc::new(RuleSet::open((0..rules).map(rule).collect()));
    let servers = vec!["127.0.0.1:1".parse().expect("an address")];
    let mut setup = Setup::simple("127.0.0.1:0".parse().expect("an address"), servers, rules.clone());
    setup.routes = (0..routes).map(|n| Arc::new(route(n, &rules))).collect();
    let listeners = setup.listeners.iter().map(|it| Listener::open("127.0.0.1:0".into(), it, None)).collect();
    let (metrics, log) = (Metrics::new(), Arc::new(AccessLog::off()));
    Plan::open(1, &setup, setup.limits, listeners, |_| None, &metrics, log)
}

fn route(n: usize, rules: &Arc<RuleSet>) -> Route {
    let takes = Match {
        hosts: vec![format!("www.site-{n}.example.com").parse().expect("a host")],
        paths: vec![format!("/section-{n}/").parse().expect("a path")],
        tests: vec![Test::Method(vec!["GET".into(), "HEAD".into()])],
    };
    Route { name: format!("route {n}").into(), takes, ..Route::to(&"origin".into(), rules.clone()) }
}

/// The rules take turns in what they look at.
fn rule(n: usize) -> Rule {
    let path = |text: String| When::Request(Test::Path(vec![text.parse().expect("a path")]));
    let host = |text: String| When::Request(Test::Host(vec![text.parse().expect("a host")]));
    let cookie = FieldTest { name: "session".into(), value: ValueTest::Present };
    let when = match n % 5 {
        0 => When::All(vec![path(format!("/private-{n}/")), When::Request(Test::Cookie(cookie))]),
        1 => path(format!("*.kind{n}")),
        2 if n == 2 => path("*.js".into()),
        2 => path(format!("/section-{n}/")),
        3 => When::Any(vec![path(format!("/old-{n}")), path(format!("/new-{n}/*/page"))]),
        _ => When::All(vec![host(format!("*.site-{n}.example.com")), path("/assets/".into())]),
    };
    let then = Then { edge: Some(60), browser: Some(60), strip_cookies: None, ..Then::default() };
    Rule { name: format!("rule {n}").into(), place: "rules.yaml:1".into(), when, then }
}
