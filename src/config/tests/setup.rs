//! What becomes of each section.

use crate::compress::{self, Levels};
use crate::config::fixture::Machine;
use crate::config::load_with;
use crate::files::{self, Lifetime, Symlinks};
use crate::http::accept_encoding::Coding;
use crate::route::Test;
use crate::setup::{Action, Answer, Route, Setup};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FILE: &str = r#"
listeners:
  - { bind: "0.0.0.0:8080" }
  - { bind: "[::1]:8443", front: false }
trusted_proxies: [10.0.0.0/8, "::1"]
upstreams:
  app: { servers: ["app1:8080", { address: "https://app2" }], tries: 5, lookup: { retry: 250ms } }
routes:
  - { name: www, match: { host: WWW.example.com, path: [/a/, "*.js"] }, upstream: app, cache: off }
  - { match: { host: old.example.com }, redirect: "https://www.example.com{uri}" }
  - { match: { path: /now }, redirect: { to: /later, status: 302 } }
  - { match: { path: /page }, respond: { status: 503, headers: { Retry-After: "9", X-A: [b, c] }, file: page.html } }
  - match:
      { method: [GET, HEAD], header: { X-Key: true, X-Gone: false, x-kind: [a, "b*"] }, cookie: Session, query: { q: 1 },
        user_agent: "*bot*", client: 10.1.2.3 }
    upstream: app
    rewrite: { replace: { prefix: /a, with: /b } }
    request_headers: { set: { X-Client: "{client}" }, add: { Via: a }, remove: Cookie }
    response_headers: { remove: [Server, x-powered-by] }
  - { upstream: app }
cache: { memory: 1GiB, hit_for_miss: 1m, stale_if_error: 0s, stale_while_revalidate: 30s }
admin: off
log: { access: { format: combined, to: ../access.log } }
limits: { max_body: 10MiB, drain: 0s, requests: 7 }
"#;

fn setup() -> Setup {
    let machine = Machine::default().file("conf/foreland.yaml", FILE).file("conf/page.html", [0xff, 0x00]);
    load_with(Path::new("conf/foreland.yaml"), Arc::new(machine)).unwrap().0
}

fn answer(route: &Route) -> &Answer {
    match &route.action {
        Action::Answer(answer) => answer,
        Action::Upstream(name) => panic!("{name}"),
        Action::Files(files) => panic!("{files:?}"),
    }
}

fn fields(answer: &Answer) -> Vec<String> {
    answer.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

#[test]
fn what_stands_alone_is_as_it_is_written() {
    let setup = setup();
    let listeners: Vec<_> = setup.listeners.iter().map(|l| (l.bind.to_string(), l.front)).collect();
    assert_eq!(listeners, [("0.0.0.0:8080".to_owned(), true), ("[::1]:8443".to_owned(), false)]);
    assert!(setup.admin.is_none());
    assert_eq!(setup.trusted_proxies.len(), 2);
    assert_eq!((setup.cache.memory, setup.cache.hit_for_miss), (1 << 30, 60));
    assert_eq!((setup.cache.policy.stale_if_error, setup.cache.policy.stale_while_revalidate), (0, 30));
    assert_eq!(setup.log.file, Some(PathBuf::from("conf/../access.log")));
    assert_eq!((setup.limits.max_body, setup.limits.requests), (10 << 20, 7));
    assert!(setup.limits.drain.is_zero());
    let app = &setup.upstreams[0];
    assert_eq!((&*app.name, app.settings.tries, app.settings.lookup.retry.as_millis()), ("app", 5, 250));
    assert_eq!(
        app.servers.iter().map(|server| server.address.to_string()).collect::<Vec<_>>(),
        ["app1:8080", "app2:443"]
    );
}

#[test]
fn routes_have_names_places_and_rules() {
    let setup = setup();
    let names: Vec<_> = setup.routes.iter().map(|route| &*route.name).collect();
    assert_eq!(names, ["www", "route 2", "route 3", "route 4", "app", "route 6"]);
    assert_eq!(&*setup.routes[1].place, "conf/foreland.yaml:10");
    let cached: Vec<_> = setup.routes.iter().map(|route| route.rules.is_some()).collect();
    assert_eq!(cached, [false, false, false, false, true, true]);
    let (one, other) = (setup.routes[4].rules.as_ref(), setup.routes[5].rules.as_ref());
    assert!(Arc::ptr_eq(one.unwrap(), other.unwrap()), "routes with the same rules share them");
}

#[test]
fn answers_are_ready() {
    let setup = setup();
    let old = answer(&setup.routes[1]);
    assert_eq!((old.status, fields(old)), (308, vec!["Location: https://www.example.com{uri}".to_owned()]));
    let now = answer(&setup.routes[2]);
    assert_eq!((now.status, fields(now)), (302, vec!["Location: /later".to_owned()]));
    let page = answer(&setup.routes[3]);
    assert_eq!((page.status, &*page.body), (503, &[0xff, 0x00][..]));
    assert_eq!(fields(page), ["Retry-After: 9", "X-A: b", "X-A: c"]);
}

#[test]
fn a_route_takes_and_changes_what_is_written() {
    let setup = setup();
    let www = &setup.routes[0].takes;
    assert_eq!((www.hosts.len(), www.paths.len(), www.tests.len()), (1, 2, 0));
    let route = &setup.routes[4];
    let kinds: String = route
        .takes
        .tests
        .iter()
        .map(|test| match test {
            Test::Client(_) => 'a',
            Test::Cookie(_) => 'c',
            Test::Header(_) => 'h',
            Test::Method(_) => 'm',
            Test::Query(_) => 'q',
            Test::UserAgent(_) => 'u',
            Test::Host(_) | Test::Path(_) => '-',
        })
        .collect();
    assert_eq!(kinds, "mhhhcqua");
    assert_eq!(route.rewrite.as_ref().unwrap().apply("/a/x"), "/b/x");
    assert!(route.request_headers.removes("x-client") && route.request_headers.removes("cookie"));
    assert_eq!(route.request_headers.add.len(), 1);
    assert!(route.response_headers.removes("X-Powered-By"));
}

#[test]
fn a_folder_and_compression_are_as_they_are_written() {
    let file = r#"
listeners: [{ bind: ":8080" }]
routes:
  - match: { path: /a/ }
    files:
      root: ../public
      index: [a.html, b.html]
      listing: true
      symlinks: anywhere
      hidden: true
      precompressed: [gzip, br]
      types: { MD: "text/markdown; charset=utf-8" }
      default_type: text/plain
      expires: { text/html: no-cache, "Image/*": 30d, "*": 1h }
      not_found: /.errors/404.html
      memory: 0
    rewrite: { strip: /a }
    compress: false
  - { files: { root: ../public, precompressed: false, expires: 1m, fallback: /index.html } }
compress:
  codings: [zstd, br]
  types: [TEXT/*, application/json]
  min_size: 2KiB
  levels: { br: 1, zstd: 2, gzip: 3 }
  stored_levels: { br: 4, zstd: 5, gzip: 6 }
  cpu_percent: 0
"#;
    let machine = Machine::default().file("conf/foreland.yaml", file).file("public/index.html", "");
    let setup = load_with(Path::new("conf/foreland.yaml"), Arc::new(machine)).unwrap().0;
    let folder = |route: &Route| match &route.action {
        Action::Files(settings) => settings.clone(),
        Action::Answer(_) | Action::Upstream(_) => panic!("no folder"),
    };
    let root = || PathBuf::from("conf/../public");
    let expected = files::Settings {
        index: vec!["a.html".into(), "b.html".into()],
        listing: true,
        symlinks: Symlinks::Anywhere,
        hidden: true,
        precompressed: vec![Coding::Gzip, Coding::Br],
        types: vec![("md".into(), "text/markdown; charset=utf-8".into())],
        default_type: "text/plain".into(),
        expires: vec![
            ("text/html".into(), Lifetime::NoCache),
            ("image/*".into(), Lifetime::Seconds(30 * 86_400)),
            ("*".into(), Lifetime::Seconds(3_600)),
        ],
        not_found: Some("/.errors/404.html".into()),
        keep: 0,
        ..files::Settings::of(root())
    };
    assert_eq!(folder(&setup.routes[0]), expected);
    assert!(!setup.routes[0].compress && setup.routes[1].compress);
    assert_eq!(setup.routes[0].rewrite.as_ref().unwrap().apply("/a/x"), "/x");
    let expected = files::Settings {
        precompressed: Vec::new(),
        expires: vec![("*".into(), Lifetime::Seconds(60))],
        fallback: Some("/index.html".into()),
        ..files::Settings::of(root())
    };
    assert_eq!(folder(&setup.routes[1]), expected);
    let expected = compress::Settings {
        codings: vec![Coding::Zstd, Coding::Br],
        types: vec!["text/*".into(), "application/json".into()],
        min_size: 2048,
        // In the order of `Coding`: br, gzip, zstd.
        levels: Levels { now: [1, 3, 2], stored: [4, 6, 5] },
        cpu_percent: 0,
    };
    assert_eq!(setup.compress, expected);
}

#[test]
fn compression_that_is_off_has_no_codings() {
    let file = "listeners: [{ bind: ':8080' }]\nroutes: [{ respond: {} }]\ncompress: off\n";
    let machine = Machine::default().file("conf/foreland.yaml", file);
    let setup = load_with(Path::new("conf/foreland.yaml"), Arc::new(machine)).unwrap().0;
    assert_eq!(setup.compress, compress::Settings::off());
}

#[test]
fn a_folder_that_is_not_there_is_watched_for_and_one_that_is_there_is_not() {
    let file = "listeners: [{ bind: ':8080' }]\nroutes: [{ files: public }]\n";
    let machine = Machine::default().file("conf/foreland.yaml", file);
    let load = |machine: Machine| load_with(Path::new("conf/foreland.yaml"), Arc::new(machine));
    let refused = load(machine.clone()).err().unwrap();
    assert_eq!(refused.files(), ["conf/foreland.yaml", "conf/public"].map(Path::new));
    let loaded = load(machine.file("conf/public/index.html", "")).unwrap().1;
    assert_eq!(loaded.files, [Path::new("conf/foreland.yaml")]);
}
