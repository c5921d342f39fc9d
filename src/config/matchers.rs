//! Conditions on a request, as `match` of a route and `when` of a cache rule write them.

use super::fields::Fields;
use super::named::{FIELD_TESTS, cookie_tests, header_tests, parameter_tests};
use super::names::{Method, Net};
use super::quantity::lists_nothing;
use super::report::Report;
use super::table::{Field, Kind, Need};
use crate::route::{HostPattern, PathPattern, Test, TextPattern};
use ipnet::IpNet;
use std::fmt::Display;
use std::str::FromStr;

/// The host that is asked for.
pub const HOST: Field = Field {
    name: "host",
    kind: Kind::OneOrMany(&Kind::Text("a host such as www.example.com or *.example.com")),
    need: Need::Optional,
    doc: "The host that the client asks for, without a port: a name, `*.example.com` for every name below \
          `example.com` at any depth (but not that name itself), or `*` for any. Of several, one must match. Letter \
          case does not count. Without it: any host.",
    example: "[www.example.com, \"*.shop.example.com\"]",
};

/// The path that is asked for.
pub const PATH: Field = Field {
    name: "path",
    kind: Kind::OneOrMany(&Kind::Text("a path such as /a, /a/, *.js or ~regex")),
    need: Need::Optional,
    doc: "The path that the client asks for, without the query: `/a` is that path alone, `/a/` or `/a/*` is everything \
          below it and `/a/` itself, `*.js` is a pattern in which `*` stands for any characters (also `/`), and `~` \
          begins a regular expression. Of several, one must match. Paths are compared in their normal form: `%41` is \
          `A`, `//` is `/`, and `..` is resolved. Without it: any path.",
    example: "[/assets/, \"*.css\"]",
};

/// The method.
pub const METHOD: Field = Field {
    name: "method",
    kind: Kind::OneOrMany(&Kind::Text("a method such as GET")),
    need: Need::Optional,
    doc: "The method, in capital letters as clients send it. Of several, one must match. `GET` takes HEAD too, which is \
          fetched as a GET. Without it: any method.",
    example: "[GET, HEAD]",
};

/// Header fields.
pub const HEADER: Field = Field {
    name: "header",
    kind: FIELD_TESTS,
    need: Need::Optional,
    doc: "Header fields of the request. A name alone must be there; names with a text, a pattern (`a*`, `~regex`) or a \
          list of them must have one of these values; names with `true` must be there, with `false` must not. All \
          names must hold. Letter case counts in values, not in names.",
    example: "{ x-version: [\"2\", \"3*\"], x-internal: false }",
};

/// Cookies.
pub const COOKIE: Field = Field {
    name: "cookie",
    kind: FIELD_TESTS,
    need: Need::Optional,
    doc: "Cookies of the request, in the same words as `header`. Letter case counts in names and values.",
    example: "session",
};

/// Query parameters.
pub const QUERY: Field = Field {
    name: "query",
    kind: FIELD_TESTS,
    need: Need::Optional,
    doc: "Parameters of the query, in the same words as `header`. Names and values are compared as they are sent, \
          without decoding. Letter case counts.",
    example: "{ preview: true }",
};

/// The client's program.
pub const USER_AGENT: Field = Field {
    name: "user_agent",
    kind: Kind::OneOrMany(&Kind::Text("a pattern such as *bot*")),
    need: Need::Optional,
    doc: "The User-Agent field: a text, a pattern with `*`, or `~` and a regular expression. Of several, one must match.",
    example: "[\"*bot*\", \"curl/*\"]",
};

/// The client's address.
pub const CLIENT: Field = Field {
    name: "client",
    kind: Kind::OneOrMany(&Kind::Text("an address such as 10.1.2.3 or a network such as 10.0.0.0/8")),
    need: Need::Optional,
    doc: "The client's address, or the network it is in. Of several, one must match. Behind proxies that \
          `trusted_proxies` names it is the address that they report.",
    example: "[10.0.0.0/8, \"2001:db8::/32\"]",
};

/// Every condition that is given, one for each key and, where a key has names, for each name. None: something is wrong,
/// and reported.
pub fn tests(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<Test>> {
    let (hosts, paths) = (hosts(fields, report), paths(fields, report));
    let others = others(fields, report);
    let mut tests = Vec::new();
    tests.extend(Some(hosts?).filter(|hosts| !hosts.is_empty()).map(Test::Host));
    tests.extend(Some(paths?).filter(|paths| !paths.is_empty()).map(Test::Path));
    tests.extend(others?);
    Some(tests)
}

/// The hosts of `host`; none for any.
pub fn hosts(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<HostPattern>> {
    all("host", fields, report)
}

/// The paths of `path`; none for any.
pub fn paths(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<PathPattern>> {
    all("path", fields, report)
}

/// Every condition but those on host and path.
pub fn others(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<Test>> {
    let methods = all::<Method>("method", fields, report);
    let headers = header_tests("header", fields, report);
    let cookies = cookie_tests("cookie", fields, report);
    let parameters = parameter_tests("query", fields, report);
    let agents = all::<TextPattern>("user_agent", fields, report);
    let clients = all::<Net>("client", fields, report);
    let mut tests = Vec::new();
    let methods: Vec<Box<str>> = methods?.into_iter().map(|method| method.0).collect();
    tests.extend(Some(methods).filter(|methods| !methods.is_empty()).map(Test::Method));
    tests.extend(headers?.into_iter().map(Test::Header));
    tests.extend(cookies?.into_iter().map(Test::Cookie));
    tests.extend(parameters?.into_iter().map(Test::Query));
    tests.extend(Some(agents?).filter(|agents| !agents.is_empty()).map(Test::UserAgent));
    let clients: Vec<IpNet> = clients?.into_iter().map(|net| net.0).collect();
    tests.extend(Some(clients).filter(|clients| !clients.is_empty()).map(Test::Client));
    Some(tests)
}

/// Every element of a list, or the one value that stands for it. None if one of them is wrong; nothing at all under a
/// key that is given is an error, since it could mean everything as well as nothing.
pub fn all<T: FromStr<Err: Display>>(key: &str, fields: &Fields<'_>, report: &mut Report) -> Option<Vec<T>> {
    if !fields.has(key) {
        return Some(Vec::new());
    }
    let items = fields.list(key, report);
    let read = fields.parse_all::<T>(key, report);
    if lists_nothing(key, fields) {
        report.error_with(
            fields.value_span(key),
            format!("`{key}` lists nothing"),
            "leave the key out, or name something",
        );
    }
    (!items.is_empty() && read.len() == items.len()).then_some(read)
}
