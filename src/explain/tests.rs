//! Explaining and rehearsing whole requests under a plan like the one of the manual.

use super::{
    Case, Down, Expect, Question, Report, Request, Response, START, Step, Storing, dry, explain, run, stage,
};
use crate::cache::key::{Pick, QueryRecipe};
use crate::cache::{Cache, Settings};
use crate::files;
use crate::http::accept_encoding::Coding;
use crate::plan::Plan;
use crate::route::{FieldTest, Match, Rewrite, Test, ValueTest};
use crate::rules::{Rule, RuleSet, Then, When};
use crate::setup::{Action, Answer, Limits, Listener, Log, Route, Setup};
use crate::telemetry::Format;
use crate::verdict::{Kind, NotStored};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

fn rule(name: &str, line: u32, when: When, then: Then) -> Rule {
    Rule { name: name.into(), place: format!("cache-rules/site.yaml:{line}").into(), when, then }
}

fn path(patterns: &[&str]) -> When {
    When::Request(Test::Path(patterns.iter().map(|pattern| pattern.parse().unwrap()).collect()))
}

/// The rule file of the manual.
fn site() -> Arc<RuleSet> {
    let tracking = vec!["@tracking".parse().unwrap()];
    let assets = Then {
        edge: Some(30 * 86_400),
        browser: Some(3600),
        status: Some(vec![("404".parse().unwrap(), 30)]),
        query: Some(QueryRecipe { pick: Pick::Drop(tracking), sort: true }),
        tags: Some(vec!["assets".into()]),
        ..Then::default()
    };
    let html = When::ContentType(vec![When::media_type("text/html").unwrap()]);
    Arc::new(RuleSet::open(vec![
        rule("private", 3, path(&["/account/"]), Then { bypass: Some(true), ..Then::default() }),
        rule("assets", 6, path(&["*.js", "*.css", "*.woff2"]), assets),
        rule("pages", 12, html, Then { while_revalidate: Some(60), ..Then::default() }),
    ]))
}

fn route(name: &str, line: u32, takes: Match) -> Route {
    let upstream = "app".into();
    Route {
        name: name.into(),
        place: format!("conf/foreland.yaml:{line}").into(),
        takes,
        ..Route::to(&upstream, site())
    }
}

fn plan() -> Arc<Plan> {
    plan_at(Vec::new())
}

fn plan_at(listeners: Vec<Listener>) -> Arc<Plan> {
    let host = |host: &str| Match { hosts: vec![host.parse().unwrap()], ..Match::default() };
    let robots = Match { paths: vec!["/robots.txt".parse().unwrap()], ..host("www.example.com") };
    let answer = Answer { status: 200, fields: Vec::new(), body: Bytes::from_static(b"ok") };
    let routes = vec![
        Arc::new(Route { action: Action::Answer(answer), ..route("robots", 18, robots) }),
        Arc::new(route("www", 19, host("www.example.com"))),
        Arc::new(route("rest", 20, Match::default())),
    ];
    dry(&Setup { routes, ..setup(listeners) })
}

/// A setup without routes.
fn setup(listeners: Vec<Listener>) -> Setup {
    Setup {
        compress: Default::default(),
        listeners,
        admin: None,
        trusted_proxies: Arc::default(),
        upstreams: Vec::new(),
        routes: Vec::new(),
        cache: Settings::default(),
        log: Log { format: Format::Off, file: None },
        limits: Limits::default(),
    }
}

fn text(question: &str) -> String {
    text_of(&plan(), question)
}

fn text_of(plan: &Plan, question: &str) -> String {
    let question = Question::from_json(question.as_bytes()).unwrap();
    let mut explained = explain(plan, &Cache::new(Settings::default()), &question, START);
    explained.now = None;
    explained.text(false)
}

#[test]
fn a_redirect_to_https_is_certain_only_where_every_plain_listener_makes_it() {
    let listener =
        |bind: &str, https| Listener { redirect_https: https, ..Listener::at(bind.parse().unwrap()) };
    let question = |scheme: &str| format!(r#"{{"url": "{scheme}://www.example.com/robots.txt?a"}}"#);
    let all = plan_at(vec![listener(":80", Some(8443)), listener(":8080", Some(443))]);
    assert_eq!(
        text_of(&all, &question("http")),
        "\
request    GET http://www.example.com/robots.txt?a
route      #1 robots  host www.example.com, path /robots.txt  conf/foreland.yaml:18
             beats #2 (host www.example.com, path /): an exact path is more specific than any path
             beats #3 (any host, path /): a named host is more specific than any host
answer     308 to https://www.example.com:8443/robots.txt?a: every listener without TLS says so
gates      none
front      would answer itself
"
    );
    let some = plan_at(vec![listener(":80", Some(443)), listener(":8080", None)]);
    let told = text_of(&some, &question("http"));
    let line = "answer     200, by Foreland itself\n             not at :80, which sends whoever asks over http to https\n";
    assert!(told.contains(line), "{told}");
    for plan in [all, some] {
        let told = text_of(&plan, &question("https"));
        assert!(told.contains("answer     200, by Foreland itself\ngates"), "{told}");
    }
}

#[test]
fn what_the_manual_shows() {
    let question = r#"{"url": "https://www.example.com/a.js?utm_source=x",
        "response": {"status": 200, "headers": {"cache-control": "max-age=600"}, "age": 90}}"#;
    let expected = "\
request    GET https://www.example.com/a.js?utm_source=x
route      #2 www  host www.example.com, path /                    conf/foreland.yaml:19
             beats #3 (any host, path /): a named host is more specific than any host
upstream   app
rules      private  no    path is not under /account/              cache-rules/site.yaml:3
           assets   yes   path ends with .js                       cache-rules/site.yaml:6
                          sets ttl.edge 30d, ttl.browser 1h, ttl.status 404 30s
                               key.query drop @tracking, sort, tags assets
           pages    no    the response has no content type         cache-rules/site.yaml:12
key        https www.example.com 443 /a.js ?                       utm_source dropped (@tracking)
gates      none
front      would answer a fresh hit itself
response   200, cache-control: max-age=600, age: 90
stored     yes                                                     RFC 9111 §3
lifetime   30d       rule `assets` replaces max-age=600
age        1m 30s    from the origin's Age                         RFC 9111 §4.2.3
fresh for  29d 23h 58m 30s
stale      while revalidating 0s (default); if the origin fails 1h (default)
browser    cache-control: max-age=3690 beside age: 90, so 1h more  rule `assets`
tags       assets
";
    assert_eq!(text(question), expected);
}

#[test]
fn a_miss_that_surprises_ends_with_the_next_step() {
    let question = r#"{"url": "http://other.test/", "response": {"headers": {"Set-Cookie": "a=b", "Cache-Control": "max-age=60"}}}"#;
    let expected = "\
request    GET http://other.test/
route      #3 rest  any host, path /                                    conf/foreland.yaml:20
upstream   app
rules      private  no    path is not under /account/                   cache-rules/site.yaml:3
           assets   no    path does not end with .js, .css or .woff2    cache-rules/site.yaml:6
           pages    no    the response has no content type              cache-rules/site.yaml:12
key        http other.test 80 /
gates      none
front      would answer a fresh hit itself
response   200, cache-control: max-age=60, set-cookie: a=b
not stored set_cookie. The response sets a cookie (state of one user).  RFC 6265, RFC 9111 §7.3
           If it is safe to share, strip it: then: { strip_set_cookie: true }.
";
    assert_eq!(text(question), expected);
}

#[test]
fn what_rules_say_of_compression_is_shown_with_what_decides() {
    let asked = Then { accept_encoding: Some(Some(Coding::Gzip)), compress: Some(true), ..Then::default() };
    let plain = Then { compress: Some(false), ..Then::default() };
    let rules = vec![
        rule("far", 3, path(&["/"]), asked),
        rule("plain", 6, path(&["/a/"]), plain),
        rule("own", 9, path(&["/b/"]), Then { accept_encoding: Some(None), ..Then::default() }),
    ];
    let plan = stage(Arc::new(RuleSet::open(rules)));
    let told = text_of(&plan, r#"{"url": "http://a.test/a/x"}"#);
    for line in ["sets (compress true: a later rule decides), accept_encoding gzip", "sets compress false"] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
    let told = text_of(&plan, r#"{"url": "http://a.test/b/x"}"#);
    assert!(told.contains("sets accept_encoding identity"), "{told}");
}

#[test]
fn a_route_with_files_says_which_folder() {
    let folder = files::Settings::of("conf/site".into());
    let plan = dry(&Setup::files(":8080".parse().unwrap(), folder));
    let told = text_of(&plan, r#"{"url": "http://a.test/css/site.css"}"#);
    assert!(told.contains("files      conf/site/css/site.css\n"), "{told}");
}

#[test]
fn a_bypass_names_its_rule() {
    let expected = "\
request    GET https://www.example.com/account/me
route      #2 www  host www.example.com, path /                       conf/foreland.yaml:19
             beats #3 (any host, path /): a named host is more specific than any host
upstream   app
rules      private  yes   path is under /account/                     cache-rules/site.yaml:3
                          sets bypass true
           assets   no    path does not end with .js, .css or .woff2  cache-rules/site.yaml:6
           pages    later needs the response: content type            cache-rules/site.yaml:12
cache      bypass: rule (rule `private`). A cache rule leaves the cache out.
           Change its `when`, or take it back in a later rule: then: { bypass: false }.
gates      none
front      leaves it to the proxy: rule, a rule needs the proxy
";
    assert_eq!(text(r#"{"url": "https://www.example.com/account/me"}"#), expected);
}

/// What explain says of a path of a route with files, as text and for programs.
fn of_files(change: impl FnOnce(&mut Route), path: &str) -> (String, serde_json::Value) {
    let settings = files::Settings::of("/srv/www".into());
    let mut route =
        Route { action: Action::Files(settings), rules: None, ..route("site", 3, Match::default()) };
    change(&mut route);
    let plan = dry(&Setup { routes: vec![Arc::new(route)], ..setup(Vec::new()) });
    let question = Question::from_json(format!(r#"{{"url": "https://a.test{path}"}}"#).as_bytes()).unwrap();
    let explained = explain(&plan, &Cache::new(Settings::default()), &question, START);
    (explained.text(false), explained.json()["action"].clone())
}

#[test]
fn a_path_of_a_route_with_files_means_a_file_or_nothing() {
    let indexes = |route: &mut Route| {
        if let Action::Files(settings) = &mut route.action {
            settings.index = vec!["index.html".into(), "index.htm".into()];
        }
    };
    let strip = |route: &mut Route| route.rewrite = Some(Rewrite::strip("/static").unwrap());
    for (change, path, line) in [
        ((|_| {}) as fn(&mut Route), "/css/a%20b.css?v=1", "/srv/www/css/a b.css"),
        (|_| {}, "/", "/srv/www/index.html"),
        (indexes, "/docs/", "/srv/www/docs/index.html, then /srv/www/docs/index.htm"),
        (strip, "/static/a.css", "/srv/www/a.css"),
        (
            |_| {},
            "/.git/config",
            "none below /srv/www: /.git/config names nothing: hidden files are not served",
        ),
        (
            |_| {},
            "/a%00",
            "none below /srv/www: /a%00 names nothing: it leads above the folder, is too long, or has a byte or an \
             escape that no name has",
        ),
    ] {
        let (text, _) = of_files(change, path);
        assert!(text.contains(&format!("\nfiles      {line}\n")), "{path}: {text}");
        assert!(
            text.ends_with("gates      none\nfront      would answer a file in memory itself\n"),
            "{text}"
        );
    }
    let (_, json) = of_files(indexes, "/docs/");
    let tried = ["/srv/www/docs/index.html", "/srv/www/docs/index.htm"];
    assert_eq!(json, serde_json::json!({ "files": "/srv/www", "tried": tried }));
    let (_, json) = of_files(|_| {}, "/.git/config");
    assert_eq!(json["files"], "/srv/www");
    assert!(json["refused"].as_str().unwrap().contains("hidden files"), "{json}");
}

#[test]
fn an_answer_of_our_own_is_no_matter_of_the_cache() {
    let expected = "\
request    GET https://www.example.com/robots.txt
route      #1 robots  host www.example.com, path /robots.txt  conf/foreland.yaml:18
             beats #2 (host www.example.com, path /): an exact path is more specific than any path
             beats #3 (any host, path /): a named host is more specific than any host
answer     200, by Foreland itself
gates      none
front      would answer itself
";
    assert_eq!(text(r#"{"url": "https://www.example.com/robots.txt"}"#), expected);
}

fn step(method: &str, url: &str) -> Step {
    Step {
        place: "site.yaml:9".into(),
        method: method.into(),
        url: url.into(),
        headers: Vec::new(),
        client: None,
        at: Duration::ZERO,
        response: None,
        origin: None,
        expect: Expect::default(),
    }
}

fn get(url: &str) -> Step {
    step("GET", url)
}

impl Step {
    fn at(mut self, seconds: u64) -> Self {
        self.at = Duration::from_secs(seconds);
        self
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn answered(mut self, status: u16, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.response = Some(Response { status, headers, body_size: None });
        self
    }

    fn down(mut self, down: Down) -> Self {
        self.origin = Some(down);
        self
    }

    fn expect(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }
}

/// Kind, reason, and whether it was stored.
fn became(outcome: Kind, reason: &'static str, stored: Option<Storing>) -> Expect {
    Expect { outcome: Some(outcome), reason: Some(reason), stored, ..Expect::default() }
}

#[track_caller]
fn passes(steps: Vec<Step>) {
    let case = Case { name: "a test".into(), place: "site.yaml:8".into(), steps };
    let report = Report { files: vec![("site.yaml".into(), run(&stage(site()), &[case]))] };
    assert_eq!(report.failed(), 0, "{}", report.text(false));
}

const URL: &str = "http://a.test/x";
const FRESH: &[(&str, &str)] =
    &[("Cache-Control", "max-age=60, stale-while-revalidate=30, stale-if-error=300"), ("ETag", "\"1\"")];

#[test]
fn a_response_is_fresh_stale_refreshed_and_confirmed_as_time_goes_by() {
    let fresh = get(URL).answered(200, FRESH).expect(became(Kind::Miss, "absent", Some(Storing::Yes)));
    let refreshed =
        Expect { age: Some(Duration::from_secs(60)), ..became(Kind::Stale, "revalidating", None) };
    let hit = |seconds| Expect { age: Some(Duration::from_secs(seconds)), ..became(Kind::Hit, "", None) };
    passes(vec![
        fresh,
        get(URL).at(59).expect(hit(59)),
        get(URL).at(60).answered(200, FRESH).expect(refreshed),
        get(URL).at(61).expect(hit(1)),
        get(URL).at(150).answered(304, &[]).expect(became(Kind::Revalidated, "expired", Some(Storing::Yes))),
        get(URL).at(151).expect(hit(1)),
        get(URL).at(152).header("Cache-Control", "no-cache").answered(304, &[]).expect(became(
            Kind::Revalidated,
            "request_no_cache",
            None,
        )),
    ]);
}

#[test]
fn what_is_stored_stands_in_for_an_origin_that_fails() {
    let stale = |why| Expect { status: Some(200), ..became(Kind::Stale, why, None) };
    passes(vec![
        get(URL).answered(200, FRESH).expect(became(Kind::Miss, "absent", Some(Storing::Yes))),
        get(URL).at(100).down(Down::Unreachable).expect(stale("origin_unreachable")),
        get(URL).at(101).down(Down::Timeout).expect(stale("origin_timeout")),
        get(URL).at(102).answered(503, &[]).expect(stale("origin_5xx")),
        get(URL)
            .at(360)
            .down(Down::Timeout)
            .expect(Expect { status: Some(504), ..became(Kind::Miss, "expired", Some(Storing::No)) }),
        get(URL)
            .at(360)
            .down(Down::Unreachable)
            .expect(Expect { status: Some(502), ..became(Kind::Miss, "expired", None) }),
        get("http://a.test/account/").down(Down::Timeout).expect(Expect {
            status: Some(504),
            bypass: Some(true),
            ..Expect::default()
        }),
    ]);
}

#[test]
fn a_confirmation_that_forbids_keeping_is_served_once_and_not_kept() {
    let why = Some(Storing::Because(NotStored::Private));
    passes(vec![
        get(URL).answered(200, FRESH).expect(became(Kind::Miss, "absent", Some(Storing::Yes))),
        get(URL).at(100).answered(304, &[("Cache-Control", "private")]).expect(became(
            Kind::Revalidated,
            "expired",
            why,
        )),
        get(URL).at(101).expect(became(Kind::Miss, "absent", None)),
    ]);
}

#[test]
fn what_may_not_be_shared_is_remembered_for_a_while() {
    let why = Some(Storing::Because(NotStored::SetCookie));
    let cookie: &[(&str, &str)] = &[("Set-Cookie", "a=b"), ("Cache-Control", "max-age=60")];
    passes(vec![
        get(URL).answered(200, cookie).expect(became(Kind::Miss, "absent", why)),
        get(URL).at(119).answered(200, cookie).expect(became(Kind::HitForMiss, "absent", why)),
        get(URL).at(120).answered(200, cookie).expect(became(Kind::Miss, "absent", why)),
        get(URL).at(121).answered(200, FRESH).expect(became(Kind::HitForMiss, "absent", why)),
        get(URL).at(122).answered(200, FRESH).expect(became(Kind::Miss, "absent", Some(Storing::Yes))),
        get(URL).at(123).header("Authorization", "x").expect(became(Kind::Bypass, "authorization", None)),
    ]);
}

#[test]
fn a_write_makes_what_is_stored_invalid() {
    let post = || step("POST", URL).answered(204, &[("Location", "/y")]);
    passes(vec![
        get(URL).answered(200, FRESH).expect(became(Kind::Miss, "absent", Some(Storing::Yes))),
        get("http://a.test/y").answered(200, FRESH).expect(became(Kind::Miss, "absent", Some(Storing::Yes))),
        step("POST", URL).answered(500, &[]).expect(became(Kind::Bypass, "method", None)),
        step("HEAD", URL).expect(became(Kind::Hit, "", None)),
        post().expect(became(Kind::Bypass, "method", Some(Storing::No))),
        get(URL).answered(200, FRESH).expect(became(Kind::Miss, "purged", Some(Storing::Yes))),
        get("http://a.test/y").answered(200, FRESH).expect(became(Kind::Miss, "purged", Some(Storing::Yes))),
    ]);
}

#[test]
fn requests_are_heard() {
    let only = || get(URL).header("Cache-Control", "only-if-cached");
    let status = |status, expect: Expect| Expect { status: Some(status), ..expect };
    passes(vec![
        only().expect(status(504, became(Kind::Miss, "absent", None))),
        step("HEAD", URL)
            .answered(200, FRESH)
            .expect(status(200, became(Kind::Miss, "absent", Some(Storing::Yes)))),
        only().expect(status(200, became(Kind::Hit, "", None))),
        get(URL).header("If-None-Match", "\"1\"").expect(status(304, became(Kind::Hit, "", None))),
        get(URL).header("Range", "bytes=0-3").expect(status(206, became(Kind::Hit, "", None))),
        get(URL).header("Cache-Control", "no-store").answered(200, &[]).expect(became(
            Kind::Bypass,
            "request_no_store",
            None,
        )),
        get(URL).at(200).header("Cache-Control", "max-stale=200").expect(became(Kind::Stale, "asked", None)),
    ]);
}

#[test]
fn the_test_of_the_manual_passes() {
    let header = |name: &str, value: ValueTest| FieldTest { name: name.into(), value };
    passes(vec![
        get("https://www.example.com/a.js?utm_source=x").answered(200, &[("Set-Cookie-Not", "x")]).expect(
            Expect {
                rule: Some("assets".into()),
                ttl: Some(Duration::from_secs(30 * 86_400)),
                same_key_as: vec!["https://www.example.com/a.js".into()],
                different_key_from: vec![
                    "https://www.example.com/b.js".into(),
                    "http://www.example.com/a.js".into(),
                ],
                tags: Some(vec!["assets".into()]),
                headers: vec![
                    header("cache-control", ValueTest::Is(vec!["max-age=3600".parse().unwrap()])),
                    header("age", ValueTest::Present),
                    header("expires", ValueTest::Absent),
                    header(
                        "cache-status",
                        ValueTest::Is(vec!["Foreland; fwd=uri-miss; stored".parse().unwrap()]),
                    ),
                ],
                ..Expect::default()
            },
        ),
        get("https://www.example.com/b.js")
            .answered(404, &[])
            .expect(Expect { ttl: Some(Duration::from_secs(30)), ..Expect::default() }),
    ]);
}

#[test]
fn a_step_that_does_not_say_what_the_origin_answers_may_ask_for_keys_and_rules() {
    let expect = Expect {
        rule: Some("assets".into()),
        same_key_as: vec!["http://a.test/a.js?fbclid=1".into()],
        outcome: Some(Kind::Miss),
        ..Expect::default()
    };
    passes(vec![get("http://a.test/a.js").expect(expect.clone()), get("http://a.test/a.js").expect(expect)]);
    passes(vec![get("http://a.test/account/").expect(Expect {
        bypass: Some(true),
        rule: Some("private".into()),
        ..Expect::default()
    })]);
}

#[test]
fn what_fails_says_what_was_expected_what_came_and_why() {
    let bypass = Expect { outcome: Some(Kind::Bypass), rule: Some("private".into()), ..Expect::default() };
    let steps = vec![
        get(URL).answered(200, FRESH).expect(became(Kind::Miss, "absent", None)),
        get("http://a.test/my/account").answered(200, &[("Cache-Control", "max-age=600")]).expect(bypass),
        get(URL).expect(became(Kind::Miss, "absent", None)),
    ];
    let wrong = Expect {
        route: Some("shop".into()),
        reason: Some("vary"),
        stored: Some(Storing::Yes),
        ttl: Some(Duration::from_secs(60)),
        age: Some(Duration::ZERO),
        status: Some(200),
        tags: Some(vec!["b".into(), "a".into()]),
        headers: vec![FieldTest { name: "x-a".into(), value: ValueTest::Present }],
        same_key_as: vec!["http://a.test/b.js?v=2".into(), "http://a.test/account/".into()],
        different_key_from: vec!["http://a.test/a.js?utm_id=2".into()],
        ..Expect::default()
    };
    let cookie: &[(&str, &str)] = &[("Set-Cookie", "a=b")];
    let cases = [
        Case { name: "an account is private".into(), place: "site.yaml:31".into(), steps },
        Case {
            name: "everything is wrong".into(),
            place: "site.yaml:41".into(),
            steps: vec![get("http://a.test/a.js").answered(404, cookie).expect(wrong)],
        },
        Case {
            name: "nobody answers".into(),
            place: "site.yaml:51".into(),
            steps: vec![get(URL).expect(became(Kind::Hit, "", Some(Storing::Yes)))],
        },
    ];
    let mut ran = run(&stage(site()), &cases);
    let trace =
        ran.iter_mut().flat_map(|ran| &mut ran.failures).map(|failure| std::mem::take(&mut failure.trace));
    assert!(trace.into_iter().all(|trace| trace.starts_with("route      #1 default  any host, path /\n")));
    let expected = "\
site.yaml
  FAIL  an account is private                                   site.yaml:31
          in        step 2, GET http://a.test/my/account (site.yaml:9)
          expected  outcome bypass, rule private
          got       outcome miss, no rule, stored, ttl 10m
          because   Nothing is stored under this key.
                    rule `private` did not match: path is not under /account/
  FAIL  everything is wrong                                     site.yaml:41
          expected  route shop, reason vary, stored, ttl 1m, age 0s, status 200, tags a b, a header x-a, the same key as http://a.test/b.js?v=2, the same key as http://a.test/account/, another key than http://a.test/a.js?utm_id=2
          got       outcome miss, rule assets, not stored: set_cookie, route default, reason absent, no age, status 404, no tags, no header x-a, another key, no key to compare, the same key
          because   any host, path /
                    Nothing is stored under this key.
                    The response sets a cookie (state of one user). If it is safe to share, strip it: then: { strip_set_cookie: true }.
                    its key is http a.test 80 /a.js, the other http a.test 80 /b.js ?v=2
                    A cache rule leaves the cache out.
                    both keys are http a.test 80 /a.js
  FAIL  nobody answers                                          site.yaml:51
          expected  outcome hit, no reason, stored
          got       outcome miss, no rule, reason absent
          because   Nothing is stored under this key.
                    the origin is asked, and the test does not say what it answers: add `response`
0 passed, 3 failed
";
    assert_eq!(Report { files: vec![("site.yaml".into(), ran)] }.text(false), expected);
}

#[test]
fn json_says_the_same() {
    let question =
        r#"{"url": "https://www.example.com/a.js?utm_source=x", "response": {"status": 200, "age": 90}}"#;
    let question = Question::from_json(question.as_bytes()).unwrap();
    let json = explain(&plan(), &Cache::new(Settings::default()), &question, START).json();
    assert_eq!(json["route"]["number"], 2);
    assert_eq!(json["rules"][1]["matched"], "yes");
    assert_eq!(json["cache"]["key"][4]["note"], "utm_source dropped (@tracking)");
    assert_eq!(json["front"]["answers"], true);
    assert_eq!(json["now"]["reason"], "absent");
    assert_eq!(json["response"]["lifetime"]["seconds"], 30 * 86_400);
    assert_eq!(json["response"]["fresh_for"], 30 * 86_400 - 90);
    let question =
        Question::from_json(br#"{"url": "http://a.test/account/", "response": {"headers": {"a": "b"}}}"#)
            .unwrap();
    let json = explain(&plan(), &Cache::new(Settings::default()), &question, START).json();
    assert_eq!(
        (&json["cache"]["bypass"], &json["response"]["not_stored"]),
        (&"rule".into(), &"bypass".into())
    );
}

#[test]
fn what_is_stored_now_is_told_without_counting_as_a_visit() {
    let (plan, cache) = (plan(), Cache::new(Settings::default()));
    let request = Request::new("GET", "https://www.example.com/a.js", &[], None).unwrap();
    let origin = crate::edge::rehearse::Origin::Answers(super::Given::new(200, Vec::new()).unwrap());
    request.with(|view| crate::edge::rehearse::rehearse(&plan, &cache, view, &origin, START)).unwrap();
    let question = Question { request, response: None };
    let explained = explain(&plan, &cache, &question, START + 90);
    let text = explained.text(false);
    assert!(text.contains("now        hit: it is stored, and fresh\n"), "{text}");
    assert!(text.contains("           200, 16 bytes, 1m 30s old, fresh for 29d 23h 58m 30s"), "{text}");
    assert!(text.contains("           tags assets\n"), "{text}");
    assert_eq!((explained.now.unwrap().variants, cache.fills()), (1, (0, 0)));
}
