//! The defaults that the tables promise are those that the parts have by themselves.

use crate::cache;
use crate::compress;
use crate::config::fixture::Machine;
use crate::config::{Nothing, RULE_FILE, TOP, load_text};
use crate::files;
use crate::setup::{Action, Limits, Setup};
use crate::telemetry::Format;
use crate::upstream;
use std::sync::Arc;

const LEAST: &str =
    "listeners: [{ bind: ':8080' }]\nupstreams: { app: { servers: app } }\nroutes: [{ upstream: app }]\n";

fn least() -> Setup {
    load_text("least.yaml", LEAST, Arc::new(Nothing)).unwrap().0
}

#[test]
fn the_tables_have_no_flaws() {
    for section in [&TOP, &RULE_FILE] {
        assert_eq!(section.problems(), Vec::<String>::new(), "{}", section.name);
    }
}

#[test]
fn a_file_that_says_nothing_gets_what_the_parts_have_by_themselves() {
    let setup = least();
    assert_eq!(setup.limits, Limits::default());
    let (settings, cache) = (setup.cache, cache::Settings::default());
    assert_eq!(settings.memory, cache.memory);
    assert_eq!(settings.policy, cache.policy);
    assert_eq!(settings.hit_for_miss, cache.hit_for_miss);
    assert_eq!(setup.compress, compress::Settings::default());
    assert_eq!(setup.upstreams[0].settings, upstream::Settings::default());
    assert_eq!(setup.log.format, Format::default());
    assert_eq!(setup.log.file, None);
    assert_eq!(setup.admin.unwrap().bind.to_string(), "127.0.0.1:9900");
    assert!(setup.listeners[0].front && setup.trusted_proxies.is_empty());
}

#[test]
fn a_route_that_says_nothing_takes_everything_under_the_default_rules() {
    let setup = least();
    let route = &setup.routes[0];
    assert_eq!((&*route.name, &*route.place), ("app", "least.yaml:3"));
    assert_eq!(route.takes, crate::route::Match::default());
    assert!(route.rules.is_some() && route.rewrite.is_none());
    assert!(route.request_headers.is_empty() && route.response_headers.is_empty());
    assert!(route.compress && route.max_body.is_none());
}

#[test]
fn a_folder_that_says_nothing_is_served_as_it_is_by_itself_however_it_is_written() {
    for written in ["public", "{ root: public }"] {
        let text = format!("listeners: [{{ bind: ':8080' }}]\nroutes: [{{ files: {written} }}]\n");
        let machine = Machine::default().file("public/index.html", "");
        let setup = load_text("least.yaml", &text, Arc::new(machine)).unwrap().0;
        let Action::Files(settings) = &setup.routes[0].action else { panic!("no folder") };
        assert_eq!(*settings, files::Settings::of("public".into()), "{written}");
        assert!(setup.routes[0].rules.is_none());
    }
}
