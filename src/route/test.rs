//! One condition on a request, shared by routes and cache rules.

use super::hidden::is_same_set;
use super::pattern::{HostPattern, PathPattern, TextPattern};
use super::subject::Subject;
use super::{because, client};
use crate::http::{cookie, query};
use ipnet::IpNet;

/// What is asked of a field, a cookie or a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ValueTest {
    /// It is not there.
    Absent,
    /// One of its values is taken by one of these.
    Is(Vec<TextPattern>),
    /// It is there, whatever its value.
    Present,
}

impl ValueTest {
    /// Whether two conditions ask the same, in whatever order.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Is(a), Self::Is(b)) => is_same_set(a, b),
            _ => self == other,
        }
    }
}

/// A condition on one field, cookie or parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldTest {
    /// Its name: lower case for header fields, as written for cookies and parameters.
    pub name: Box<str>,
    /// What is asked of it.
    pub value: ValueTest,
}

impl FieldTest {
    /// Whether the condition holds for the values of the name. Each value is matched by itself.
    pub fn check<'v>(&self, mut values: impl Iterator<Item = &'v [u8]>) -> bool {
        match &self.value {
            ValueTest::Absent => values.next().is_none(),
            ValueTest::Is(patterns) => values.any(|value| patterns.iter().any(|p| p.matches(value))),
            ValueTest::Present => values.next().is_some(),
        }
    }
}

/// One condition on a request. A list means any of its members.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// The client is in one of these networks.
    Client(Vec<IpNet>),
    /// A cookie.
    Cookie(FieldTest),
    /// A header field.
    Header(FieldTest),
    /// The host.
    Host(Vec<HostPattern>),
    /// The method; case counts.
    Method(Vec<Box<str>>),
    /// The path.
    Path(Vec<PathPattern>),
    /// A parameter of the query, not decoded.
    Query(FieldTest),
    /// The User-Agent field.
    UserAgent(Vec<TextPattern>),
}

impl Test {
    /// Whether the condition holds. Allocates nothing.
    pub fn check(&self, s: &Subject<'_>) -> bool {
        let view = s.view();
        match self {
            Self::Client(nets) => client::is_in(nets, view.client).is_some(),
            Self::Cookie(test) => test.check(cookie_values(s, &test.name)),
            Self::Header(test) => test.check(view.fields.all(&test.name)),
            Self::Host(hosts) => hosts.iter().any(|host| host.matches(s.host())),
            // A HEAD is fetched as the GET it stands for, so what is meant for GET is meant for it (nginx's limit_except).
            Self::Method(methods) => methods
                .iter()
                .any(|method| **method == *view.method || (view.method == "HEAD" && &**method == "GET")),
            Self::Path(paths) => paths.iter().any(|path| path.matches(s.path())),
            Self::Query(test) => test.check(parameter_values(s, &test.name)),
            Self::UserAgent(patterns) => {
                view.fields.all("user-agent").any(|value| patterns.iter().any(|p| p.matches(value)))
            }
        }
    }

    /// Why it holds or does not, for people: "path is not under /account/". Values of fields and cookies are not
    /// shown: they may be secrets.
    pub fn because(&self, s: &Subject<'_>, matched: bool) -> String {
        because::of(self, s, matched)
    }

    /// Whether the URL alone decides it: host, path and query.
    pub fn known_from_url(&self) -> bool {
        matches!(self, Self::Host(_) | Self::Path(_) | Self::Query(_))
    }
}

/// The values of every cookie of a name.
pub(super) fn cookie_values<'s>(s: &Subject<'s>, name: &str) -> impl Iterator<Item = &'s [u8]> {
    let named = cookie::cookies(s.view().fields).filter(move |(cookie, _)| *cookie == name.as_bytes());
    named.map(|(_, value)| value)
}

/// The values of every parameter of a name.
pub(super) fn parameter_values<'s>(s: &Subject<'s>, name: &str) -> impl Iterator<Item = &'s [u8]> {
    let named = query::parameters(s.view().query).filter(move |(parameter, _)| *parameter == name);
    named.map(|(_, whole)| query::value(whole).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fields::Fields;
    use crate::route::client::parse_net;
    use crate::route::fixture::view;

    fn field(name: &str, value: ValueTest) -> FieldTest {
        FieldTest { name: name.into(), value }
    }

    fn is(patterns: &[&str]) -> ValueTest {
        ValueTest::Is(patterns.iter().map(|p| p.parse().unwrap()).collect())
    }

    fn hosts(list: &[&str]) -> Test {
        Test::Host(list.iter().map(|p| p.parse().unwrap()).collect())
    }

    fn paths(list: &[&str]) -> Test {
        Test::Path(list.iter().map(|p| p.parse().unwrap()).collect())
    }

    fn nets(list: &[&str]) -> Test {
        Test::Client(list.iter().map(|p| parse_net(p).unwrap()).collect())
    }

    fn methods(list: &[&str]) -> Test {
        Test::Method(list.iter().map(|m| (*m).into()).collect())
    }

    fn agents(list: &[&str]) -> Test {
        Test::UserAgent(list.iter().map(|p| p.parse().unwrap()).collect())
    }

    /// A condition, whether it holds for the request of `every_condition_holds_or_says_why`, and what it says.
    type Row = (Test, bool, &'static str);

    fn of_the_url() -> Vec<Row> {
        use ValueTest::{Absent, Present};
        vec![
            (paths(&["/a/"]), true, "path is under /a/"),
            (paths(&["/account/"]), false, "path is not under /account/"),
            (paths(&["/account/", "/x/"]), false, "path is not under /account/ or /x/"),
            (paths(&["*.css", "*.js"]), true, "path ends with .js"),
            (paths(&["*.css", "*.woff2"]), false, "path does not end with .css or .woff2"),
            (paths(&["/a/b.js"]), true, "path is /a/b.js"),
            (paths(&["/b"]), false, "path is not /b"),
            (paths(&["/a/*.js"]), true, "path matches /a/*.js"),
            (paths(&["~^/v", "/b/"]), false, "path matches none of ~^/v, /b/"),
            (paths(&["~^/v"]), false, "path does not match ~^/v"),
            (paths(&["*"]), true, "any path"),
            (hosts(&["www.example.com"]), true, "host is www.example.com"),
            (hosts(&["*.example.com"]), true, "host www.example.com is under example.com"),
            (hosts(&["a", "b"]), false, "host www.example.com is not one of a, b"),
            (hosts(&["*.org"]), false, "host www.example.com is not under org"),
            (hosts(&["*.org", "b"]), false, "host www.example.com is not one of *.org, b"),
            (hosts(&["*"]), true, "any host"),
            (Test::Query(field("q", Present)), true, "parameter q is there"),
            (Test::Query(field("q", Absent)), false, "parameter q is there"),
            (Test::Query(field("z", Absent)), true, "no parameter z"),
            (Test::Query(field("q", is(&["1"]))), true, "parameter q is 1"),
            (Test::Query(field("q", is(&["2", "3"]))), false, "parameter q is not one of 2, 3"),
        ]
    }

    fn of_the_fields() -> Vec<Row> {
        use ValueTest::{Absent, Present};
        vec![
            (methods(&["POST"]), true, "method is POST"),
            (methods(&["GET", "HEAD"]), false, "method POST is not one of GET, HEAD"),
            (methods(&["GET"]), false, "method POST is not GET"),
            (nets(&["10.0.0.0/8"]), true, "client 10.1.2.3 is in 10.0.0.0/8"),
            (nets(&["11.0.0.0/8"]), false, "client 10.1.2.3 is not in 11.0.0.0/8"),
            (nets(&["11.0.0.0/8", "::1"]), false, "client 10.1.2.3 is in none of 11.0.0.0/8, ::1"),
            (Test::Header(field("authorization", Present)), false, "no header authorization"),
            (Test::Header(field("authorization", Absent)), true, "no header authorization"),
            (Test::Header(field("x-kind", is(&["a*"]))), true, "header x-kind matches a*"),
            (Test::Header(field("x-kind", is(&["b*"]))), false, "header x-kind does not match b*"),
            (Test::Header(field("x-kind", is(&["b*", "c"]))), false, "header x-kind matches none of b*, c"),
            (Test::Header(field("x-none", is(&["b"]))), false, "no header x-none"),
            (Test::Cookie(field("session", Present)), true, "cookie session is there"),
            (Test::Cookie(field("Session", Present)), false, "no cookie Session"),
            (Test::Cookie(field("session", Absent)), false, "cookie session is there"),
            (Test::Cookie(field("session", is(&["2"]))), false, "cookie session is not 2"),
            (agents(&["*bot*"]), true, "user agent matches *bot*"),
            (agents(&["curl/*"]), false, "user agent does not match curl/*"),
        ]
    }

    #[test]
    fn every_condition_holds_or_says_why() {
        let fields = [
            httparse::Header { name: "X-Kind", value: b"abc" },
            httparse::Header { name: "Cookie", value: b"session=1" },
            httparse::Header { name: "User-Agent", value: b"a bot" },
        ];
        let mut view = view("POST", "WWW.example.com", "/a/b.js?q=1");
        view.fields = Fields::Raw(&fields);
        let s = Subject::of(&view);
        for (test, expected, because) in of_the_url().into_iter().chain(of_the_fields()) {
            assert_eq!(test.check(&s), expected, "{test:?}");
            assert_eq!(test.because(&s, expected), because, "{test:?}");
        }
    }

    #[test]
    fn a_long_list_is_cut() {
        let view = view("GET", "a", "/");
        let many: Vec<String> = (0..20).map(|n| format!("/{n}/")).collect();
        let test = paths(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let because = test.because(&Subject::of(&view), false);
        assert_eq!(because, "path is not under /0/, /1/, /2/, /3/, /4/, /5/ or 14 more");
    }

    #[test]
    fn only_the_url_is_known_from_the_url() {
        let query = Test::Query(field("q", ValueTest::Present));
        assert!(paths(&["/"]).known_from_url() && hosts(&["*"]).known_from_url() && query.known_from_url());
        assert!(!methods(&["GET"]).known_from_url() && !nets(&["::1"]).known_from_url());
    }
}
