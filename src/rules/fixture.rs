//! Requests, responses and rules in a line each, for the tests of this folder.

use super::{Response, Rule, Then, When};
use crate::http::fields::Fields;
use crate::http::request::{Framing, Protocol, RequestView, Scheme};
use crate::http::status::StatusRange;
use crate::route::{FieldTest, Subject, Test, TextPattern, ValueTest};
use std::net::{IpAddr, Ipv4Addr};

/// A request that a test makes up.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub method: &'static str,
    pub host: &'static str,
    pub path: &'static str,
    pub query: Option<&'static str>,
    pub fields: Vec<(&'static str, &'static str)>,
}

/// A GET from `http://a.com`.
pub(super) fn get(path: &'static str) -> Asked {
    Asked { method: "GET", host: "a.com", path, query: None, fields: Vec::new() }
}

impl Asked {
    pub(super) fn with<T>(&self, run: impl FnOnce(&Subject<'_>) -> T) -> T {
        let fields = headers(&self.fields);
        let view = RequestView {
            method: self.method,
            scheme: Scheme::Http,
            host: self.host,
            port: 80,
            path: self.path,
            query: self.query,
            protocol: Protocol::Http11,
            fields: Fields::Raw(&fields),
            framing: Framing::None,
            upgrade: false,
            client: IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)),
        };
        run(&Subject::of(&view))
    }
}

/// A response that a test makes up.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub status: u16,
    pub fields: Vec<(&'static str, &'static str)>,
}

impl Answered {
    pub(super) fn with<T>(&self, run: impl FnOnce(&Response<'_>) -> T) -> T {
        run(&Response { status: self.status, fields: Fields::Raw(&headers(&self.fields)) })
    }
}

fn headers(fields: &[(&'static str, &'static str)]) -> Vec<httparse::Header<'static>> {
    fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect()
}

/// A rule on line `4 + 10 * n` for the n-th letter.
pub(super) fn rule(name: &str, when: When, then: Then) -> Rule {
    let line = 4 + 10 * usize::from(name.as_bytes()[0] - b'a');
    Rule { name: name.into(), place: format!("cache-rules/site.yaml:{line}").into(), when, then }
}

pub(super) fn edge(seconds: u32) -> Then {
    Then { edge: Some(seconds), ..Then::default() }
}

pub(super) fn path(patterns: &[&str]) -> When {
    When::Request(Test::Path(patterns.iter().map(|text| text.parse().unwrap()).collect()))
}

pub(super) fn host(patterns: &[&str]) -> When {
    When::Request(Test::Host(patterns.iter().map(|text| text.parse().unwrap()).collect()))
}

pub(super) fn method(methods: &[&str]) -> When {
    When::Request(Test::Method(methods.iter().map(|text| (*text).into()).collect()))
}

pub(super) fn field(name: &str, value: ValueTest) -> FieldTest {
    FieldTest { name: name.into(), value }
}

pub(super) fn is(texts: &[&str]) -> ValueTest {
    ValueTest::Is(patterns(texts))
}

pub(super) fn header(name: &str, value: ValueTest) -> When {
    When::Request(Test::Header(field(name, value)))
}

pub(super) fn status(ranges: &[&str]) -> When {
    When::Status(ranges.iter().map(|text| text.parse::<StatusRange>().unwrap()).collect())
}

pub(super) fn content_type(texts: &[&str]) -> When {
    When::ContentType(patterns(texts))
}

pub(super) fn not(when: When) -> When {
    When::Not(Box::new(when))
}

fn patterns(texts: &[&str]) -> Vec<TextPattern> {
    texts.iter().map(|text| When::media_type(text).unwrap()).collect()
}
