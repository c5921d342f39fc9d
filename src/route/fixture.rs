//! Requests for the tests of this folder.

use super::normal::normal;
use super::pattern::{HostPattern, PathPattern};
use super::table::Match;
use super::test::{FieldTest, Test, ValueTest};
use crate::http::fields::Fields;
use crate::http::request::{Framing, Protocol, RequestView, Scheme};
use proptest::prelude::*;
use std::net::IpAddr;

/// A request without fields.
pub fn view<'a>(method: &'a str, host: &'a str, target: &'a str) -> RequestView<'a> {
    let (path, query) = crate::http::head::split_query(target);
    RequestView {
        method,
        scheme: Scheme::Https,
        host,
        port: 443,
        path,
        query,
        protocol: Protocol::Http11,
        fields: Fields::Raw(&[]),
        framing: Framing::None,
        upgrade: false,
        client: IpAddr::from([10, 1, 2, 3]),
    }
}

/// Host patterns over few names, so that they meet.
pub fn a_host_pattern() -> impl Strategy<Value = HostPattern> {
    "(\\*|(\\*\\.)?[ab]{1,2}(\\.[ab]){0,2})".prop_map(|text| text.parse().unwrap())
}

/// Hosts that those patterns may take, and some that are none.
pub fn a_host() -> impl Strategy<Value = String> {
    "(([ab]{1,2}\\.){0,3}[ab]|[ab.]{0,5})"
}

/// Path patterns of every kind over few names, so that they meet.
pub fn a_path_pattern() -> impl Strategy<Value = PathPattern> {
    let text = prop_oneof![
        "(/[ab]{1,2}){1,3}/?",
        "(/[ab]){0,2}/\\*",
        "\\*[ab]{0,1}\\.[ab]{1,2}",
        "\\*/?[ab.]{0,3}",
        "(/[ab]){0,2}/[ab]?\\*(/?[ab.]{1,2}\\*?){0,2}",
        "~\\^(/[ab]){0,2}/[ab]?",
        "~\\^(/[ab]){1,2}(/?|/\\[ab\\]|\\(a\\|/b\\)|\\$|\\|/b)",
        "~[ab]{1,2}",
    ];
    text.prop_filter_map("a pattern", |text| text.parse().ok())
}

/// Paths in normal form that those patterns may take.
pub fn a_path() -> impl Strategy<Value = String> {
    "(\\*|(/[ab.]{1,3}){0,4}/?)".prop_map(|path| normal(&path).into_owned())
}

/// A route as `hosts paths conditions`: lists with commas, `-` for none; of the conditions `m` is method GET, `p`
/// method POST, `c` no cookie `x`.
pub fn route(text: &str) -> Match {
    let mut parts = text.split(' ');
    let mut list = || parts.next().unwrap_or("-").split(',').filter(|item| *item != "-").collect::<Vec<_>>();
    Match {
        hosts: list().iter().map(|text| text.parse().unwrap()).collect(),
        paths: list().iter().map(|text| text.parse().unwrap()).collect(),
        tests: list().concat().chars().map(condition).collect(),
    }
}

fn condition(letter: char) -> Test {
    match letter {
        'm' => Test::Method(vec!["GET".into()]),
        'p' => Test::Method(vec!["POST".into()]),
        _ => Test::Cookie(FieldTest { name: "x".into(), value: ValueTest::Absent }),
    }
}

/// Routes over few names, so that they meet.
pub fn a_match() -> impl Strategy<Value = Match> {
    let hosts = proptest::collection::vec(a_host_pattern(), 0..3);
    let paths = proptest::collection::vec(a_path_pattern(), 0..3);
    (hosts, paths, "[mpc]{0,2}").prop_map(|(hosts, paths, letters)| Match {
        hosts,
        paths,
        tests: letters.chars().map(condition).collect(),
    })
}
