//! What rule files become, and what is said about those that are wrong.

use super::*;
use crate::config::fixture::Machine;
use crate::config::{Files, Span, render_text};
use crate::explain::{self, Down, Storing};
use crate::rules::{RuleSet, Store};
use crate::verdict::{NotStored, Setting};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Rule files as a route names them, and what becomes of them.
struct Read {
    rules: RuleFiles,
    files: Files,
    report: Report,
    set: Option<Arc<RuleSet>>,
}

/// Reads the texts as `a.yaml`, `b.yaml`, … of one route.
fn read(texts: &[&str]) -> Read {
    let names = ["a.yaml", "b.yaml", "c.yaml"];
    let machine = names.iter().zip(texts).fold(Machine::default(), |all, (name, text)| all.file(name, *text));
    let mut files = Files::new(Arc::new(machine));
    files.add_text("main.yaml", "cache: [a.yaml, b.yaml, c.yaml]");
    let mut read = Read { rules: RuleFiles::default(), report: Report::new(), set: None, files };
    read.set = read.compile(&names[..texts.len()]);
    read
}

impl Read {
    fn compile(&mut self, names: &[&str]) -> Option<Arc<RuleSet>> {
        let at = |index: usize| Span::new(0, 8 + 8 * index, 14 + 8 * index);
        let paths: Vec<(PathBuf, Span)> =
            names.iter().enumerate().map(|(index, name)| (PathBuf::from(name), at(index))).collect();
        self.rules.compile(&paths, &mut self.files, &mut self.report)
    }

    /// `file:line:column message [label]`.
    fn found(&self) -> Vec<String> {
        let line = |d: &crate::config::Diagnostic| {
            let (line, column) = d.span.map_or((0, 0), |span| self.files.line_col(span));
            let file = d.span.and_then(|span| self.files.get(span.file)).map_or("-", |file| &*file.name);
            let label = d.label.as_ref().map_or(String::new(), |label| format!(" [{label}]"));
            format!("{file}:{line}:{column} {}{label}", d.message)
        };
        self.report.diagnostics().into_iter().map(line).collect()
    }
}

#[track_caller]
fn fine(text: &str) -> Read {
    let read = read(&[text]);
    assert_eq!(read.found(), [""; 0]);
    read
}

/// What is said about a rule with this `when` and this `then`; columns count from there.
fn said(when: &str, then: &str) -> Vec<String> {
    read(&[&format!("rules:\n- name: r\n  when:\n    {when}\n  then:\n    {then}\n")]).found()
}

#[track_caller]
fn hold(rows: &[(&str, &str, &[&str])]) {
    for (when, then, expected) in rows {
        assert_eq!(said(when, then), *expected, "when {when}, then {then}");
    }
}

#[test]
fn a_mistake_in_a_condition_is_found_where_it_is_written() {
    hold(&[
        ("{ pth: /a }", "bypass: true", &["a.yaml:4:7 unknown key `pth` [did you mean `path`?]"]),
        (
            "{ path: a }",
            "bypass: true",
            &["a.yaml:4:13 `path`: path `a` must begin with `/`, `*` or `~`: write `/a`"],
        ),
        (
            "{ path: [] }",
            "bypass: true",
            &["a.yaml:4:13 `path` lists nothing [leave the key out, or name something]"],
        ),
        (
            "{ status: [404, 40x] }",
            "store: false",
            &[
                "a.yaml:4:21 `status`: `40x` is not a status: write one such as 404, a class such as 4xx, or a range such as 400-499",
            ],
        ),
        (
            "{ content_type: text/html; charset=utf-8 }",
            "store: false",
            &[
                "a.yaml:4:21 `content_type`: `text/html; charset=utf-8` is no media type: write one such as text/html, without parameters, or image/*",
            ],
        ),
        (
            "{ content_type: ~( }",
            "store: false",
            &["a.yaml:4:21 `content_type`: regular expression `(` is malformed: unclosed group"],
        ),
        ("{ any: [] }", "bypass: true", &["a.yaml:4:12 `any` lists no condition"]),
        (
            "{ any: [{}] }",
            "bypass: true",
            &["a.yaml:4:13 a condition in `any` is empty, so it would always hold"],
        ),
        (
            "{ not: {} }",
            "bypass: true",
            &["a.yaml:4:12 a condition in `not` is empty, so it would always hold"],
        ),
        (
            "{ any: {path: /a} }",
            "bypass: true",
            &["a.yaml:4:12 `any` needs a list of a condition, not a map"],
        ),
        (
            "{ any: [{ pth: /a }, { all: [{ path: b }] }] }",
            "bypass: true",
            &[
                "a.yaml:4:15 unknown key `pth` [did you mean `path`?]",
                "a.yaml:4:42 `path`: path `b` must begin with `/`, `*` or `~`: write `/b`",
            ],
        ),
        ("[]", "bypass: true", &["a.yaml:4:5 `when` needs keys: path, host, method, …, not a list"]),
    ]);
}

#[test]
fn conditions_within_conditions_end_somewhere() {
    let deep = |depth: usize| format!("{}{{ path: /a }}{}", "{ not: ".repeat(depth), " }".repeat(depth));
    assert_eq!(said(&deep(16), "bypass: true"), [""; 0]);
    let found = said(&deep(17), "bypass: true");
    assert_eq!(found, ["a.yaml:4:124 conditions are nested more than 16 deep"]);
}

#[test]
fn a_mistake_in_a_setting_is_found_where_it_is_written() {
    const ALWAYS: &str = "{ path: /a }";
    hold(&[
        (
            ALWAYS,
            "{}",
            &["a.yaml:6:5 the rule sets nothing [name a setting, such as `ttl: 10m` or `bypass: true`]"],
        ),
        (ALWAYS, "", &["a.yaml:5:3 a rule needs `then` [for example `then: { ttl: 30d }`]"]),
        (ALWAYS, "bypas: true", &["a.yaml:6:5 unknown key `bypas` [did you mean `bypass`?]"]),
        (
            ALWAYS,
            "bypass: yes",
            &["a.yaml:6:13 `bypass` needs true or false; `yes` is neither [write `true`]"],
        ),
        (
            ALWAYS,
            "store: deceptoin",
            &[
                "a.yaml:6:12 `store` needs true or false or `deception`; `deceptoin` is neither [did you mean `deception`?]",
            ],
        ),
        (
            ALWAYS,
            "ttl: 30 parsecs",
            &[
                "a.yaml:6:10 `ttl` needs a duration such as 30s, 10m, 1h, 30d; `30 parsecs` has an unknown unit",
            ],
        ),
        (ALWAYS, "ttl: 500ms", &["a.yaml:6:10 `ttl` needs whole seconds; `500ms` has a fraction"]),
        (
            ALWAYS,
            "ttl: {}",
            &["a.yaml:6:10 `ttl` is empty: name `edge`, `browser` or `status`, or write `ttl: 10m`"],
        ),
        (ALWAYS, "ttl: { edg: 1s }", &["a.yaml:6:12 unknown key `edg` [did you mean `edge`?]"]),
        (
            ALWAYS,
            "ttl: { status: { 404: 1, 60x: 1s, 4xx: 1s, 400-499: 2s } }",
            &[
                "a.yaml:6:27 `404` needs a duration such as 30s, 10m, 1h, 30d; `1` has no unit; 1 seconds are `1s`",
                "a.yaml:6:30 `status`: `60x` is not a status: write one such as 404, a class such as 4xx, or a range such as 400-499",
                "a.yaml:6:48 `status` has a lifetime for 4xx already",
            ],
        ),
        (
            ALWAYS,
            "override: nostore",
            &[
                "a.yaml:6:15 `override` needs `no_store`, `private`, `no_cache`, `set_cookie` or `authorization`; `nostore` is not one of them [did you mean `no_store`?]",
            ],
        ),
        (
            ALWAYS,
            "tags: [\"a b\"]",
            &[
                "a.yaml:6:12 `tags`: `a b` is no tag: one has letters, digits and signs, but no spaces and no commas",
            ],
        ),
        (
            ALWAYS,
            "strip_cookies: []",
            &["a.yaml:6:20 `strip_cookies` lists nothing: write `false` to strip no cookie"],
        ),
        (
            ALWAYS,
            "collapse: 1",
            &["a.yaml:6:15 `collapse` needs true or false; `1` is neither [write `true`]"],
        ),
        (
            ALWAYS,
            "request_directives: ignor",
            &[
                "a.yaml:6:25 `request_directives` needs `follow` or `ignore`; `ignor` is not one of them [did you mean `ignore`?]",
            ],
        ),
    ]);
}

#[test]
fn a_mistake_about_compression_is_found_where_it_is_written() {
    const ALWAYS: &str = "{ path: /a }";
    hold(&[
        (
            ALWAYS,
            "compress: on",
            &["a.yaml:6:15 `compress` needs true or false; `on` is neither [write `true`]"],
        ),
        (
            ALWAYS,
            "accept_encoding: [br, gzip]",
            &["a.yaml:6:22 `accept_encoding` needs `identity`, `br`, `zstd` or `gzip`, not a list"],
        ),
        (
            ALWAYS,
            "accept_encoding: gzp",
            &[
                "a.yaml:6:22 `accept_encoding` needs `identity`, `br`, `zstd` or `gzip`; `gzp` is not one of them [did you mean `gzip`?]",
            ],
        ),
        ("{ status: 200 }", "compress: false", &[]),
    ]);
}

#[test]
fn a_mistake_in_a_key_is_found_where_it_is_written() {
    const ALWAYS: &str = "{ path: /a }";
    hold(&[
        (ALWAYS, "key: {}", &["a.yaml:6:10 `key` is empty: name `query`, `headers` or `cookies`"]),
        (
            ALWAYS,
            "key: { query: none }",
            &["a.yaml:6:19 `query` needs `all` or `ignore` or keys: keep, drop, sort; `none` is neither"],
        ),
        (ALWAYS, "key: { query: {} }", &["a.yaml:6:19 `query` is empty: name `keep`, `drop` or `sort`"]),
        (
            ALWAYS,
            "key: { query: { keep: a, drop: b } }",
            &[
                "a.yaml:6:30 `drop` stands beside `keep`: what is not kept does not count anyway, so name one of them",
            ],
        ),
        (
            ALWAYS,
            "key: { query: { drop: [\"@trackin\", a=b] } }",
            &[
                "a.yaml:6:28 `drop`: there is one built-in list of names: `@tracking`",
                "a.yaml:6:40 `drop`: write the name of a parameter alone, without `&`, `=`, `#` or a value",
            ],
        ),
        (
            ALWAYS,
            "key: { headers: [accept-encoding, cookie, host] }",
            &[
                "a.yaml:6:22 `headers`: `accept-encoding` is no part of a key: encodings are kept apart by `Vary`",
                "a.yaml:6:39 `headers`: `cookie` would make a key for every visitor: name the cookies that count under `cookies`",
                "a.yaml:6:47 `headers`: `host` is always part of the key",
            ],
        ),
        (
            ALWAYS,
            "key: { cookies: [\"a*\"] }",
            &["a.yaml:6:22 `cookies`: `a*` is a pattern: name the cookies that count one by one"],
        ),
    ]);
}

#[test]
fn fields_that_everybody_gets_have_nothing_of_one_request() {
    let headers = "response_headers: { set: { X-A: \"{client} {host} {{id}}\", X-B: \"{hots}\" }, add: { X-C: [a, \"{uri}\"] } }";
    let beside = "[`response_headers` of the route may have it]";
    let stored = "may differ from request to request, and what a rule sets is stored for everybody";
    let expected = [
        format!("a.yaml:6:37 `{{client}}` {stored} {beside}"),
        "a.yaml:6:68 `X-B`: unknown variable `{hots}`: did you mean `{host}`?".to_owned(),
        format!("a.yaml:6:96 `{{uri}}` {stored} {beside}"),
    ];
    assert_eq!(said("{ path: /a }", headers), expected);
}

#[test]
fn what_was_needed_before_the_response_cannot_be_set_after_it() {
    let too_late = "in a rule that looks at the response:";
    let then = "{ bypass: true, key: { query: ignore, cookies: [a] }, strip_cookies: true, collapse: false, request_directives: ignore, accept_encoding: br }";
    let expected = [
        format!(
            "a.yaml:6:7 `bypass` {too_late} the cache is asked before the response exists [`store: false` keeps a response out of the cache]"
        ),
        format!("a.yaml:6:21 `key` {too_late} the key is needed before the response exists"),
        format!(
            "a.yaml:6:59 `strip_cookies` {too_late} the request has gone out by then [`strip_set_cookie` is about the response]"
        ),
        format!("a.yaml:6:80 `collapse` {too_late} requests wait for each other before the response exists"),
        format!(
            "a.yaml:6:97 `request_directives` {too_late} the request is heard before the response exists"
        ),
        format!(
            "a.yaml:6:125 `accept_encoding` {too_late} the request has gone out by then [`compress` is about the response]"
        ),
    ];
    assert_eq!(said("{ status: 404 }", then), expected);
    let nested = said("{ any: [{ path: /a }, { not: { content_type: text/html } }] }", "bypass: true");
    assert!(matches!(&nested[..], [one] if one.starts_with("a.yaml:6:5 `bypass` in a rule")), "{nested:?}");
}

#[test]
fn a_file_is_held_to_its_form() {
    let rows: &[(&str, &[&str])] = &[
        ("", &[]),
        ("rules:", &[]),
        ("rule: []", &["a.yaml:1:1 unknown key `rule` [did you mean `rules`?]"]),
        ("rules: {}", &["a.yaml:1:8 `rules` needs a list of a rule, not a map"]),
        (
            "rules: [{ then: { bypass: true } }]",
            &["a.yaml:1:9 a rule needs `name` [for example `name: assets`]"],
        ),
        (
            "rules: [{ name: a b, then: { bypass: true } }, { name: none, then: { bypass: true } }]",
            &[
                "a.yaml:1:17 `name`: `a b` is no name of a rule: letters, digits, `-`, `_` and `.` make one, such as `a-b`",
                "a.yaml:1:56 `name`: `none` is what tests call the absence of a rule; choose another name",
            ],
        ),
        (
            "rules: [{ name: a, then: { bypass: true }, tests: [] }]",
            &["a.yaml:1:44 unknown key `tests` [a rule has: name, when, then]"],
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(read(&[text]).found(), *expected, "{text}");
    }
}

#[test]
fn two_rules_of_a_route_cannot_share_a_name() {
    const LABEL: &str = "[choose another name; a later rule overrides what it names, whatever it is called]";
    let a = "rules: [{ name: a, then: { ttl: 1s } }]";
    let same = read(&["rules:\n- { name: a, then: { ttl: 1s } }\n- { name: a, then: { bypass: true } }\n"]);
    assert_eq!(same.found(), [format!("a.yaml:3:11 rule `a` is there already: a.yaml:2 {LABEL}")]);
    let other =
        read(&[a, "rules:\n- { name: b, then: { ttl: 1s } }\n- { name: a, then: { bypass: true } }\n"]);
    assert_eq!(other.found(), [format!("b.yaml:3:11 rule `a` is there already: a.yaml:1 {LABEL}")]);
    assert!(
        render_text(&other.report, &other.files, false).contains("first defined here\n  --> a.yaml:1:17\n")
    );
    let built_in = read(&["rules: [{ name: deception, then: { bypass: true } }]"]).found();
    assert!(
        built_in[0].starts_with("a.yaml:1:17 rule `deception` is there already: cache-rules/default.yaml:"),
        "{built_in:?}"
    );
    let twice = read(&[a]).compile(&["a.yaml", "a.yaml"]);
    assert!(twice.is_none());
}

#[test]
fn a_rule_that_is_useless_by_itself_is_a_warning() {
    let text = "rules:\n- { name: a, when: { path: /a/b }, then: { ttl: 1s } }\n- { name: b, when: { path: /a/ }, then: { ttl: 2s } }\n";
    let read_alone = read(&[text]);
    let expected = "a.yaml:2:11 rule `a` never decides anything: `b` (line 3) comes later, matches whenever it does and sets the same";
    assert_eq!(read_alone.found(), [expected]);
    assert!(read_alone.set.is_some());
    // Another file may replace what this one says: that is what it is for.
    let [first, second] = ["a", "b"].map(|name| format!("rules: [{{ name: {name}, then: {{ ttl: 1s }} }}]"));
    assert_eq!(read(&[&first, &second]).found(), [""; 0]);
}

#[test]
fn a_file_that_cannot_be_read_is_reported_where_it_is_named() {
    let mut read = read(&["rules: [{ name: a, then: { ttl: 1s } }]"]);
    assert!(read.compile(&["a.yaml", "missing.yaml"]).is_none());
    assert_eq!(read.found(), ["main.yaml:1:17 cannot read `missing.yaml`: there is no such file"]);
}

#[test]
fn the_same_files_make_the_same_set_and_count_once() {
    let mut read =
        read(&["rules: [{ name: a, then: { ttl: 1s } }]", "rules: [{ name: b, then: { ttl: 2s } }]"]);
    let [both, again, one, none] = [&["a.yaml", "b.yaml"][..], &["a.yaml", "./b.yaml"], &["a.yaml"], &[]]
        .map(|names| read.compile(names).unwrap());
    assert!(Arc::ptr_eq(&both, &again) && !Arc::ptr_eq(&both, &one));
    let names = |set: &RuleSet| set.rules().iter().map(|rule| rule.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&both), ["deception", "error-answers", "a", "b"]);
    assert_eq!(names(&one), ["deception", "error-answers", "a"]);
    assert_eq!(names(&none), names(&default_rules()));
    assert_eq!((read.rules.count(), read.found()), (2, vec![]));
    assert_eq!(&*both.rules()[2].place, "a.yaml:1");
}

#[test]
fn every_setting_is_read() {
    let text = r#"rules:
- name: all
  then:
    bypass: false
    store: true
    ttl: { edge: 30d, browser: 1h, status: { 404: 30s, 5xx: 0s } }
    override: [private, set_cookie]
    stale_while_revalidate: 1m
    stale_if_error: 1d
    key: { query: { drop: ["@tracking", a], sort: true }, headers: X-Device, cookies: [lang] }
    tags: [a, b, a]
    strip_cookies: ["_ga*", x]
    strip_set_cookie: true
    max_object: 10MiB
    collapse: false
    request_directives: ignore
    compress: false
    accept_encoding: gzip
    response_headers: { set: { X-A: "{host}" }, remove: [Server] }
"#;
    let read = fine(text);
    let set = read.set.unwrap();
    let then = &set.rules().last().unwrap().then;
    let described: Vec<String> =
        then.describe().into_iter().map(|(setting, value)| format!("{setting}: {value}")).collect();
    let expected = [
        "bypass: false",
        "store: true",
        "ttl.edge: 30d",
        "ttl.browser: 1h",
        "ttl.status: 404 30s, 5xx 0s",
        "override: private, set_cookie",
        "stale_while_revalidate: 1m",
        "stale_if_error: 1d",
        "key.query: drop @tracking, a, sort",
        "key.headers: x-device",
        "key.cookies: lang",
        "tags: a, b",
        "strip_cookies: _ga*, x",
        "strip_set_cookie: true",
        "max_object: 10MiB",
        "collapse: false",
        "request_directives: ignore",
        "compress: false",
        "accept_encoding: gzip",
        "response_headers: remove Server; set X-A: {host}",
    ];
    assert_eq!(described, expected);
    assert_eq!(then.settings().count(), Setting::ALL.len());
}

#[test]
fn a_later_rule_can_take_back_what_an_earlier_one_sets() {
    let text = "rules: [{ name: a, then: { store: deception, override: [], tags: [], strip_cookies: false, accept_encoding: identity, key: { query: all, headers: [], cookies: none } } }]";
    let set = fine(text).set.unwrap();
    let then = &set.rules().last().unwrap().then;
    assert_eq!((then.store, then.accept_encoding), (Some(Store::Deception), Some(None)));
    assert_eq!(
        (then.tags.as_deref().map(<[_]>::len), then.headers.as_deref(), then.cookies.as_deref()),
        (Some(0), Some(&[][..]), Some(&[][..]))
    );
    assert_eq!(then.overrides, Some(crate::cache::policy::Ignore::default()));
    assert_eq!(then.query, Some(crate::cache::key::QueryRecipe::default()));
}

#[test]
fn what_is_in_force_is_listed_value_by_value() {
    let text = "rules: [{ name: a, when: { any: [{ path: [/x, /y] }, { header: { b: false } }] }, then: { ttl: 60s, tags: [t, u], strip_cookies: true, request_directives: ignore, response_headers: { set: { A: b } } } }]";
    let listed: Vec<String> =
        fine(text).rules.effective.iter().map(|e| format!("{} {} {}", e.subject, e.key, e.value)).collect();
    let expected = [
        "rule a when.any.path /x",
        "rule a when.any.path /y",
        "rule a when.any.header.b false",
        "rule a ttl.edge 1m",
        "rule a tags t",
        "rule a tags u",
        "rule a strip_cookies true",
        "rule a request_directives ignore",
        "rule a response_headers.set.A b",
        "rules a.yaml order a",
    ];
    assert_eq!(listed, expected);
}

#[test]
fn the_tests_of_a_file_are_read() {
    let text = r#"rules: [{ name: a, then: { ttl: 1s } }]
tests:
- name: one request
  request: POST http://h/x
  client: 10.1.2.3
  headers: { a: [b, c], d: e }
  expect: { rule: none, stored: set_cookie, tags: [], headers: { x: false }, same_key_as: [/y, "http://i"] }
- name: several
  steps:
  - { get: "http://h?x=1", response: { body_size: 1KiB } }
  - { head: /z, at: 1m, origin: timeout, expect: { rule: a, outcome: stale, reason: origin_timeout, ttl: 1s, age: 1m } }
"#;
    let read = fine(text);
    let file = &read.rules.cases[0];
    assert_eq!((file.name.as_str(), file.rules.rules().len(), file.cases.len()), ("a.yaml", 3, 2));
    let one = &file.cases[0].steps[0];
    assert_eq!((file.cases[0].place.as_str(), one.place.as_str()), ("a.yaml:3", "a.yaml:4"));
    assert_eq!((one.method.as_str(), one.url.as_str()), ("POST", "http://h/x"));
    assert_eq!(one.client, Some([10, 1, 2, 3].into()));
    assert_eq!(one.headers, [("a", "b"), ("a", "c"), ("d", "e")].map(|(n, v)| (n.to_owned(), v.to_owned())));
    assert_eq!(
        (one.expect.rule.as_deref(), one.expect.stored),
        (Some(""), Some(Storing::Because(NotStored::SetCookie)))
    );
    assert_eq!(one.expect.same_key_as, ["http://h/y", "http://i/"]);
    assert_eq!((one.expect.tags.as_deref(), one.expect.headers.len()), (Some(&[][..]), 1));
    let [first, second] = &file.cases[1].steps[..] else { panic!("two steps") };
    assert_eq!(first.response.as_ref().map(|r| (r.status, r.body_size)), Some((200, Some(1024))));
    assert_eq!((second.method.as_str(), second.url.as_str()), ("HEAD", "http://h/z"));
    assert_eq!((second.at, second.origin), (Duration::from_secs(60), Some(Down::Timeout)));
    assert_eq!(second.expect.age, Some(Duration::from_secs(60)));
}

#[test]
fn a_mistake_in_a_test_is_found_where_it_is_written() {
    const MORE: &str = "[add such as `expect: { outcome: miss, stored: true }`]";
    let rows: &[(&str, &[&str])] = &[
        (
            "{}",
            &[
                "a.yaml:1:9 a test needs `name` [for example `name: a page with a session cookie is never stored`]",
            ],
        ),
        (
            "{ name: a }",
            &[
                "a.yaml:1:9 nothing is asked for: `get`, `head` or `request` is missing [for example `get: https://www.example.com/`]",
            ],
        ),
        (
            "{ name: a, get: /x }",
            &["a.yaml:1:25 `/x` is no URL: write it in full, such as https://www.example.com/a?b=c"],
        ),
        ("{ name: a, get: 'http://a/' }", &[&format!("a.yaml:1:17 the test `a` expects nothing {MORE}")]),
        (
            "{ name: a, get: 'http://a/', expect: {} }",
            &["a.yaml:1:46 `expect` is empty, so the step would pass whatever comes of it"],
        ),
        (
            "{ name: a, get: 'http://a/', head: 'http://a/', expect: { rule: none } }",
            &["a.yaml:1:38 `head` stands beside `get`: a step is one request"],
        ),
        (
            "{ name: a, request: 'http://a/', expect: { rule: none } }",
            &[
                "a.yaml:1:29 `request` needs a method and a URL, such as `POST http://a/`; `http://a/` is one word",
            ],
        ),
        (
            "{ name: a, get: 'http://a/', steps: [{ get: 'http://a/', expect: { rule: none } }] }",
            &["a.yaml:1:20 `get` stands beside `steps`: write it in a step"],
        ),
        (
            "{ name: a, steps: [{ get: 'http://a/', at: 5s }, { get: /, at: 4s, expect: { outcome: hit } }] }",
            &["a.yaml:1:72 `at` counts from the start of the test, and the step before this one comes later"],
        ),
        (
            "{ name: a, get: 'http://a/', origin: timeout, response: {}, expect: { status: 502 } }",
            &["a.yaml:1:38 `origin` stands beside `response`: an origin that fails answers nothing"],
        ),
        (
            "{ name: a, get: 'http://a/', headers: { x: \" a\" }, client: 1.2.3, expect: { status: 502 } }",
            &[
                "a.yaml:1:52 `x` has a value that no field can have: spaces around it, or line ends",
                "a.yaml:1:68 `client`: `1.2.3` is not an address: write one such as 203.0.113.9",
            ],
        ),
        (
            "{ name: a, get: 'http://a/', expect: { rule: deceptoin, same_key_as: a, ttl: 1500ms } }",
            &[
                "a.yaml:1:54 `rule`: neither this file nor the built-in rules have a rule `deceptoin` [did you mean `deception`?]",
                "a.yaml:1:78 `a` is no URL: write it in full, such as https://www.example.com/a?b=c",
                "a.yaml:1:86 `ttl` needs whole seconds; `1s500ms` has a fraction",
            ],
        ),
    ];
    for (test, expected) in rows {
        assert_eq!(read(&[&format!("tests: [{test}]")]).found(), *expected, "{test}");
    }
}

#[test]
fn the_tables_are_complete() {
    let problems: Vec<String> =
        RULE_FILE.family().into_iter().flat_map(|section| section.problems()).collect();
    assert_eq!(problems, [""; 0]);
}

#[test]
fn the_shipped_files_read_without_a_word() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cache-rules");
    for name in ["default.yaml", "json-api.yaml", "static-assets.yaml", "wordpress.yaml"] {
        let (files, report, read) = load_rules(&folder.join(name), Arc::new(crate::config::System));
        assert_eq!(render_text(&report, &files, false), "", "{name}");
        let read = read.unwrap();
        assert!(read.cases.len() > 8, "{name}");
        // The built-in rules come first, and stand there once.
        let first: Vec<&str> = read.rules.rules().iter().take(2).map(|rule| &*rule.name).collect();
        assert_eq!(first, ["deception", "error-answers"], "{name}");
        assert_eq!(read.rules.rules().len() == 2, name == "default.yaml");
    }
}

#[test]
fn the_tests_of_the_shipped_files_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cache-rules");
    let files = ["default.yaml", "json-api.yaml", "static-assets.yaml", "wordpress.yaml"].map(|name| {
        let (_, _, read) = load_rules(&folder.join(name), Arc::new(crate::config::System));
        let file = read.unwrap();
        (file.name, explain::run(&explain::stage(file.rules), &file.cases))
    });
    let report = explain::Report { files: files.into() };
    assert_eq!(report.failed(), 0, "\n{}", report.text(false));
}

#[test]
fn the_examples_of_the_manual_pass() {
    let manual = include_str!("../../../cache-rules/README.md");
    let examples = manual.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let wanted = examples.filter(|example| example.starts_with("rules:") || example.starts_with("tests:"));
    let mut read = fine(&wanted.collect::<Vec<_>>().join(""));
    let file = read.rules.cases.remove(0);
    let report =
        explain::Report { files: vec![(file.name, explain::run(&explain::stage(file.rules), &file.cases))] };
    assert_eq!((report.passed(), report.failed()), (3, 0), "\n{}", report.text(false));
}
