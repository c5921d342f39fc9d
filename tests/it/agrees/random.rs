//! Random plans, requests and responses: few names and values, so that they meet again and again.
//!
//! Times are far from now in either direction: what is fresh stays fresh while the test runs, and what is stale was so
//! from the start, whichever second a request falls into.

use crate::dsl::{Reply, hangup, reply};
use bytes::Bytes;
use foreland::cache::key::{Pick, QueryRecipe};
use foreland::cache::policy::Ignore;
use foreland::edge::rehearse::{Given, Origin};
use foreland::route::{Edits, FieldTest, Match, Test, ValueTest};
use foreland::rules::{Rule, RuleSet, Store, StripCookies, Then, When};
use foreland::setup::{Action, Answer, Route};
use std::sync::Arc;

/// Where random things come from.
pub struct Random(fastrand::Rng);

/// A request: method, URL as it is written in the request line, fields, and whether it has a body.
pub struct Asked {
    pub method: &'static str,
    pub host: &'static str,
    pub target: String,
    pub fields: Vec<(String, String)>,
    pub body: bool,
}

/// What the origin does.
#[derive(Clone)]
pub struct Answered {
    pub origin: Origin,
    pub chunked: bool,
}

const HOSTS: &[&str] = &["edge.test", "www.edge.test", "b.test"];
const PATHS: &[&str] =
    &["/", "/a", "/a/b", "/a/b.js", "/a/b.css", "/b/", "/b/c", "/img/x.png", "/%61/b", "/account/me", "/own"];
const QUERIES: &[&str] = &["", "", "", "?", "?x=1", "?utm_source=m&x=1", "?x=1&y=2", "?y=2&x=1", "?fbclid=7"];

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    fn one<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.0.usize(..list.len())]
    }

    /// True once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.0.usize(..times) == 0
    }

    fn some<T>(&mut self, times: usize, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.once_in(times).then(|| make(self))
    }

    fn number(&mut self, below: usize) -> usize {
        self.0.usize(..below)
    }
}

/// Routes and rules.
impl Random {
    /// Routes of every kind to one cluster.
    pub fn routes(&mut self, upstream: &Arc<str>) -> Vec<Arc<Route>> {
        let sets: Vec<Arc<RuleSet>> = (0..3).map(|set| self.rule_set(set)).collect();
        (0..8).map(|number| Arc::new(self.route(number, upstream, &sets))).collect()
    }

    fn route(&mut self, number: usize, upstream: &Arc<str>, sets: &[Arc<RuleSet>]) -> Route {
        let hosts = ["edge.test", "*.edge.test", "b.test"];
        let paths = ["/a/", "/a/b", "*.js", "/b/", "/img/", "~^/a", "/own"];
        let takes = Match {
            hosts: self.some(2, |r| r.one(&hosts).parse().unwrap()).into_iter().collect(),
            paths: self.some(2, |r| r.one(&paths).parse().unwrap()).into_iter().collect(),
            tests: self.some(4, Self::test).into_iter().collect(),
        };
        let answer = self.some(8, |r| Answer {
            status: r.one(&[200, 302, 410]),
            fields: vec![("Location".into(), "/there{uri}".parse().unwrap())],
            body: Bytes::from_static(b"own"),
        });
        let route = Route::to(upstream, sets[self.number(sets.len())].clone());
        Route {
            name: format!("r{number}").into(),
            takes,
            action: answer.map_or(route.action, Action::Answer),
            rules: route.rules.filter(|_| !self.once_in(8)),
            response_headers: self.some(3, Self::edits).unwrap_or_default(),
            ..Route::to(upstream, sets[0].clone())
        }
    }

    fn edits(&mut self) -> Edits {
        Edits {
            set: vec![("X-Out".into(), self.one(&["1", "{path}", "{method}"]).parse().unwrap())],
            add: self.some(3, |_| ("X-More".into(), "2".parse().unwrap())).into_iter().collect(),
            remove: self.some(3, |r| r.one(&["x-kind", "content-language"]).into()).into_iter().collect(),
        }
    }

    /// The same without what differs from request to request: it is stored.
    fn stored_edits(&mut self) -> Edits {
        let remove = ["vary", "etag", "last-modified", "cache-control", "expires", "set-cookie"];
        Edits {
            set: vec![("X-Rule".into(), "1".parse().unwrap())],
            add: self.some(3, |_| ("X-More".into(), "3".parse().unwrap())).into_iter().collect(),
            remove: self.some(2, |r| r.one(&remove).into()).into_iter().collect(),
        }
    }

    fn rule_set(&mut self, set: usize) -> Arc<RuleSet> {
        let count = 4 + self.number(10);
        Arc::new(RuleSet::open((0..count).map(|number| self.rule(&format!("s{set}r{number}"))).collect()))
    }

    fn rule(&mut self, name: &str) -> Rule {
        let when = self.when(2);
        Rule { name: name.into(), place: "random.yaml:1".into(), when, then: self.then() }
    }

    fn when(&mut self, depth: usize) -> When {
        let kind = if depth == 0 { self.number(8) } else { self.number(12) };
        let members = |r: &mut Self| (0..1 + r.number(2)).map(|_| r.when(depth - 1)).collect();
        match kind {
            0..=4 => When::Request(self.test()),
            5 => When::Status(vec![self.one(&["404", "2xx", "300-399", "5xx"]).parse().unwrap()]),
            6 => When::ContentType(vec![When::media_type(self.one(&["text/html", "image/*"])).unwrap()]),
            7 => When::ResponseHeader(self.field(&["x-kind", "content-language"], &["k", "en"])),
            8 => When::Not(Box::new(self.when(depth - 1))),
            9 => When::Any(members(self)),
            10 => When::All(members(self)),
            _ => When::All(Vec::new()),
        }
    }

    fn test(&mut self) -> Test {
        let paths = ["/a/", "/a", "*.js", "/img/*", "~b", "/account/", "/a/*.css"];
        match self.number(12) {
            0..=3 => Test::Path(vec![self.one(&paths).parse().unwrap()]),
            4 => Test::Host(vec![self.one(&["b.test", "*.edge.test", "edge.test"]).parse().unwrap()]),
            5 => Test::Method(vec![self.one(&["GET", "HEAD", "POST"]).into()]),
            6 => Test::Header(self.field(&["x-kind", "authorization", "accept-language"], &["k", "en*"])),
            7 => Test::Cookie(self.field(&["session", "lang"], &["1", "d*"])),
            8 => Test::Query(self.field(&["x", "y", "utm_source"], &["1", "2"])),
            9 => Test::UserAgent(vec![self.one(&["t1*", "*7"]).parse().unwrap()]),
            _ => Test::Client(vec![self.one(&["127.0.0.0/8", "10.0.0.0/8"]).parse().unwrap()]),
        }
    }

    fn field(&mut self, names: &[&str], values: &[&str]) -> FieldTest {
        let value = match self.number(3) {
            0 => ValueTest::Absent,
            1 => ValueTest::Present,
            _ => ValueTest::Is(vec![self.one(values).parse().unwrap()]),
        };
        FieldTest { name: self.one(names).into(), value }
    }

    fn then(&mut self) -> Then {
        let status = [("404", 5000), ("5xx", 0), ("302", 5000), ("2xx", 0), ("200", 7000)];
        let query = |r: &mut Self| QueryRecipe {
            pick: match r.number(4) {
                0 => Pick::All,
                1 => Pick::None,
                2 => Pick::Keep(vec!["x".parse().unwrap()]),
                _ => Pick::Drop(vec!["@tracking".parse().unwrap()]),
            },
            sort: r.once_in(2),
        };
        Then {
            bypass: self.some(12, |r| !r.once_in(3)),
            store: self.some(10, |r| r.one(&[Store::Deception, Store::No, Store::Yes, Store::Yes])),
            edge: self.some(4, |r| r.one(&[0, 5000, 90_000])),
            browser: self.some(6, |r| r.one(&[0, 60])),
            status: self.some(6, |r| {
                let (range, seconds) = r.one(&status);
                vec![(range.parse().unwrap(), seconds)]
            }),
            overrides: self.some(6, Self::ignore),
            while_revalidate: self.some(6, |r| r.one(&[0, 5000])),
            if_error: self.some(6, |r| r.one(&[0, 5000])),
            query: self.some(5, query),
            headers: self.some(8, |r| vec![r.one(&["x-kind", "accept-language"]).into()]),
            cookies: self.some(8, |r| vec![r.one(&["session", "lang"]).into()]),
            tags: self.some(8, |_| vec!["tag".into()]),
            strip_cookies: self.some(8, |r| if r.once_in(2) { StripCookies::All } else { StripCookies::No }),
            strip_set_cookie: self.some(6, |r| !r.once_in(4)),
            max_object: self.some(8, |r| r.one(&[0, 10, 1000])),
            collapse: self.some(8, |r| r.once_in(2)),
            request_directives: self.some(8, |r| r.once_in(2)),
            compress: self.some(8, |r| r.once_in(2)),
            accept_encoding: self.some(8, |_| None),
            response_headers: self.some(6, Self::stored_edits),
        }
    }

    fn ignore(&mut self) -> Ignore {
        Ignore {
            no_store: self.once_in(2),
            private: self.once_in(2),
            no_cache: self.once_in(2),
            set_cookie: self.once_in(2),
            authorization: self.once_in(2),
        }
    }
}

/// Requests.
impl Random {
    /// A request that can be told in the log by its number.
    pub fn asked(&mut self, number: usize) -> Asked {
        let methods = ["GET"; 16].into_iter().chain(["HEAD", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]);
        let method = self.one(&methods.collect::<Vec<_>>());
        let mut fields = vec![("User-Agent".to_owned(), format!("t{number}"))];
        let mut maybe = |r: &mut Self, times: usize, name: &str, values: &[&str]| {
            if r.once_in(times) {
                fields.push((name.to_owned(), r.one(values).to_owned()));
            }
        };
        let directives = [
            "no-cache",
            "no-store",
            "only-if-cached",
            "max-age=0",
            "max-age=900",
            "min-fresh=900",
            "min-fresh=8000",
            "max-stale",
            "max-stale=900",
            "max-age=900, max-stale=9000",
            "no-cache, only-if-cached",
        ];
        maybe(self, 6, "Cache-Control", &directives);
        maybe(self, 40, "Pragma", &["no-cache"]);
        maybe(self, 12, "Authorization", &["Basic eDp5"]);
        maybe(self, 5, "Cookie", &["session=1", "lang=de; session=2", "other=3"]);
        maybe(self, 4, "X-Kind", &["k", "l"]);
        maybe(self, 3, "Accept-Language", &["en", "de"]);
        maybe(self, 3, "Accept-Encoding", &["gzip, br", "gzip;q=1", "identity", "br;q=0.5, zstd", "*;q=0"]);
        maybe(self, 16, "If-None-Match", &["\"1\"", "\"2\"", "*"]);
        maybe(self, 40, "If-Modified-Since", &["Sun, 06 Nov 1994 08:49:37 GMT"]);
        maybe(self, 40, "If-Match", &["\"1\"", "\"2\""]);
        maybe(
            self,
            16,
            "Range",
            &["bytes=0-3", "bytes=2-", "bytes=-2", "bytes=90-", "bytes=0-0,2-3", "bytes=x"],
        );
        maybe(self, 60, "If-Range", &["\"1\""]);
        maybe(self, 30, "Accept", &["text/html", "application/json"]);
        let body = match method {
            "POST" | "PUT" => true,
            "GET" => self.once_in(40),
            _ => false,
        };
        let target = format!("{}{}", self.one(PATHS), self.one(QUERIES));
        Asked { method, host: self.one(HOSTS), target, fields, body }
    }

    /// What the origin does if it is asked.
    pub fn answered(&mut self, asked: &Asked) -> Answered {
        if self.once_in(20) {
            return Answered { origin: Origin::Unreachable, chunked: false };
        }
        let statuses = [200; 24]
            .into_iter()
            .chain([304, 304, 304, 404, 404, 302, 301, 500, 503, 503, 204, 206, 410, 429]);
        let status = self.one(&statuses.collect::<Vec<_>>());
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut maybe = |r: &mut Self, times: usize, name: &str, values: &[&str]| {
            if r.once_in(times) {
                fields.push((name.to_owned(), r.one(values).to_owned()));
            }
        };
        let directives = [
            "max-age=5000",
            "max-age=5000",
            "max-age=5000, must-revalidate",
            "max-age=0, stale-while-revalidate=5000",
            "max-age=0, stale-if-error=5000",
            "s-maxage=5000",
            "s-maxage=0, stale-while-revalidate=5000",
            "no-cache",
            "no-store",
            "private",
            "public",
            "public, max-age=0",
            "max-age=5000, must-understand, no-store",
        ];
        if !self.once_in(8) {
            maybe(self, 1, "Cache-Control", &directives);
        }
        maybe(self, 12, "Expires", &["0", "Wed, 01 Jan 2098 00:00:00 GMT"]);
        maybe(self, 10, "Age", &["100", "9000"]);
        maybe(self, 16, "Date", &["Sun, 06 Nov 1994 08:49:37 GMT"]);
        maybe(self, 2, "ETag", &["\"1\"", "\"2\"", "W/\"1\""]);
        maybe(self, 5, "Last-Modified", &["Sun, 06 Nov 1994 08:49:37 GMT"]);
        maybe(self, 5, "Vary", &["Accept-Language", "X-Kind, Accept-Encoding", "accept-encoding", "*"]);
        maybe(self, 8, "Set-Cookie", &["a=b"]);
        maybe(self, 2, "Content-Type", &["text/html; charset=utf-8", "image/png", "application/json"]);
        // Not one that would be undone: the bodies of this test mean nothing.
        maybe(self, 10, "Content-Encoding", &["compress", "identity"]);
        maybe(self, 8, "Content-Language", &["en", "de"]);
        maybe(self, 8, "X-Kind", &["k", "l"]);
        maybe(self, 10, "Location", &["/a", "http://b.test/b/c", "b"]);
        maybe(self, 20, "Content-Location", &["/a/b.js", "/a?x=1"]);
        maybe(self, 20, "Connection", &["X-Kind"]);
        if status == 206 {
            fields.push(("Content-Range".to_owned(), "bytes 0-3/5000".to_owned()));
        }
        let bodiless = matches!(status, 204 | 304);
        let length = if bodiless { 0 } else { self.one(&[0, 4, 5, 50, 2000]) };
        // That a body of unknown length is too large is told at its end, which whoever reads a part may not see.
        let whole = asked.method == "GET"
            && !asked.fields.iter().any(|(name, _)| name.starts_with("If-") || name == "Range");
        let chunked = whole && !bodiless && self.once_in(5);
        // Whether a small one is compressed depends on whether its end is there already.
        let length = if chunked { 2000 } else { length };
        if chunked {
            fields.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
        }
        Answered { origin: Origin::Answers(Given { status, fields, length: Some(length) }), chunked }
    }
}

impl Answered {
    /// As the origin of a test sends it.
    pub fn reply(&self) -> Reply {
        let Origin::Answers(given) = &self.origin else { return hangup() };
        let mut answer = reply(given.status);
        for (name, value) in given.fields.iter().filter(|(name, _)| name != "Transfer-Encoding") {
            answer = answer.field(name, value);
        }
        let body = Bytes::from(vec![b'x'; given.length.unwrap_or(0) as usize]);
        if self.chunked { answer.piece(body).chunked() } else { answer.piece(body) }
    }
}
