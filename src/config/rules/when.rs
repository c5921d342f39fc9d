//! Reads the conditions of a rule: `when`.

use crate::config::matchers;
use crate::config::named::{FIELD_TESTS, header_tests};
use crate::config::{Field, Fields, Kind, Need, Node, Report, Section};
use crate::http::status::StatusRange;
use crate::route::TextPattern;
use crate::rules::When;
use std::str::FromStr;

/// The conditions of a rule. Contains itself, for `any`, `all` and `not`.
pub static WHEN: Section = Section {
    name: "condition",
    doc: "When a rule applies. Several keys mean all of them; a list in one key means any of its elements. A condition \
          on the response (`status`, `content_type`, `response_header`) makes the rule wait for the response: then it \
          can no longer leave the cache out or choose the key.",
    fields: &[
        matchers::PATH,
        matchers::HOST,
        matchers::METHOD,
        matchers::HEADER,
        matchers::COOKIE,
        matchers::QUERY,
        matchers::USER_AGENT,
        matchers::CLIENT,
        Field {
            name: "status",
            kind: Kind::OneOrMany(&Kind::Text("a status such as 404, 4xx or 400-499")),
            need: Need::Optional,
            doc: "The status of the response: one (`404`), a class (`4xx`) or a range (`400-499`).",
            example: "[404, 5xx]",
        },
        Field {
            name: "content_type",
            kind: Kind::OneOrMany(&Kind::Text("a media type such as text/html or image/*")),
            need: Need::Optional,
            doc: "The media type of the response, without parameters such as `charset`; letter case does not count. \
                  `*` stands for any characters, `~` begins a regular expression. A response without a Content-Type \
                  has none of them.",
            example: "[text/html, \"image/*\"]",
        },
        Field {
            name: "response_header",
            kind: FIELD_TESTS,
            need: Need::Optional,
            doc: "Header fields of the response as the origin sends them, written as `header` is.",
            example: "{ x-cacheable: \"no\" }",
        },
        Field {
            name: "any",
            kind: Kind::List(&Kind::Section(&WHEN)),
            need: Need::Optional,
            doc: "Conditions of which at least one must hold.",
            example: "[{ path: /account/ }, { header: authorization }]",
        },
        Field {
            name: "all",
            kind: Kind::List(&Kind::Section(&WHEN)),
            need: Need::Optional,
            doc: "Conditions that must all hold; for several of one kind, since a key can be given once only.",
            example: "[{ cookie: a }, { cookie: b }]",
        },
        Field {
            name: "not",
            kind: Kind::Section(&WHEN),
            need: Need::Optional,
            doc: "A condition that must not hold.",
            example: "{ path: /account/ }",
        },
    ],
};

/// Conditions within conditions end here, so that a file cannot exhaust the stack.
const DEEPEST: usize = 16;

/// The conditions in `node`. None when something in them is wrong, which has been reported.
pub fn compile(node: &Node, report: &mut Report) -> Option<When> {
    nested(node, 0, report)
}

fn nested(node: &Node, depth: usize, report: &mut Report) -> Option<When> {
    let fields = Fields::open(node, &WHEN, report)?;
    if depth > DEEPEST {
        report.error(node.span, format!("conditions are nested more than {DEEPEST} deep"));
        return None;
    }
    let request =
        matchers::tests(&fields, report).map(|tests| tests.into_iter().map(When::Request).collect());
    let parts = [
        request,
        of_status(&fields, report),
        of_content_type(&fields, report),
        of_response_header(&fields, report),
        of_list("any", When::Any, &fields, depth, report),
        of_list("all", When::All, &fields, depth, report),
        of_not(&fields, depth, report),
    ];
    let mut members: Vec<When> =
        parts.into_iter().collect::<Option<Vec<Vec<When>>>>()?.into_iter().flatten().collect();
    if members.len() == 1 { members.pop() } else { Some(When::All(members)) }
}

fn of_status(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<When>> {
    let ranges: Vec<StatusRange> = matchers::all("status", fields, report)?;
    Some(some(ranges).map(When::Status).into_iter().collect())
}

fn of_content_type(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<When>> {
    let types: Vec<MediaType> = matchers::all("content_type", fields, report)?;
    let types = types.into_iter().map(|MediaType(pattern)| pattern).collect();
    Some(some(types).map(When::ContentType).into_iter().collect())
}

fn of_response_header(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<When>> {
    let tests = header_tests("response_header", fields, report)?;
    Some(tests.into_iter().map(When::ResponseHeader).collect())
}

fn of_list(
    key: &str,
    make: fn(Vec<When>) -> When,
    fields: &Fields<'_>,
    depth: usize,
    report: &mut Report,
) -> Option<Vec<When>> {
    if !fields.has(key) {
        return Some(Vec::new());
    }
    let items = fields.list(key, report);
    if items.is_empty() {
        if fields.maybe(key).is_some_and(|node| node.as_list().is_some()) {
            fields.error(key, format!("`{key}` lists no condition"), report);
        }
        return None;
    }
    let members: Vec<Option<When>> = items.iter().map(|item| member(key, item, depth, report)).collect();
    let members: Option<Vec<When>> = members.into_iter().collect();
    Some(vec![make(members?)])
}

fn of_not(fields: &Fields<'_>, depth: usize, report: &mut Report) -> Option<Vec<When>> {
    match fields.maybe("not") {
        Some(node) => Some(vec![When::Not(Box::new(member("not", node, depth, report)?))]),
        None => Some(Vec::new()),
    }
}

/// A condition within another. One without keys always holds, which is never meant there.
fn member(key: &str, node: &Node, depth: usize, report: &mut Report) -> Option<When> {
    if node.as_map().is_some_and(<[_]>::is_empty) {
        report.error(node.span, format!("a condition in `{key}` is empty, so it would always hold"));
        return None;
    }
    nested(node, depth + 1, report)
}

fn some<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

/// A pattern for media types.
struct MediaType(TextPattern);

impl FromStr for MediaType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pattern = When::media_type(text)?;
        let is_type = |text: &str| text.contains(['/', '*']) && !text.contains([';', ' ', ',']);
        if text.starts_with('~') || is_type(text) {
            return Ok(Self(pattern));
        }
        Err(format!("`{text}` is no media type: write one such as text/html, without parameters, or image/*"))
    }
}
