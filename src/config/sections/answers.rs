//! `redirect` and `respond` of a route: answers that need no origin.

use super::bench::Bench;
use crate::config::{Field, Fields, Kind, Need, Node, Report, Section, edits};
use crate::route::Template;
use crate::setup::Answer;
use bytes::Bytes;

/// The largest file that a route may answer with: it is kept in memory.
const MOST_BODY: usize = 1 << 20;

/// What `redirect` may be.
pub const REDIRECT_KIND: Kind = Kind::Either(&[LOCATION, Kind::Section(&REDIRECT)]);

const LOCATION: Kind = Kind::Text("a URL such as https://www.example.com{uri}");

/// A redirect.
pub static REDIRECT: Section = Section {
    name: "redirect",
    doc: "An answer that sends the client elsewhere. The URL alone, as text, means the same with status 308.",
    fields: &[
        Field {
            name: "to",
            kind: LOCATION,
            need: Need::Required,
            doc: "Where to, with the variables of header values: `https://www.example.com{uri}` keeps path and query.",
            example: "\"https://www.example.com{uri}\"",
        },
        Field {
            name: "status",
            kind: Kind::Integer { min: 301, max: 308 },
            need: Need::Default("308"),
            doc: "301 or 308 for good, 302, 303 or 307 for now. With 301, 302 and 303 a POST becomes a GET. 308 by default: \
                  it keeps the method.",
            example: "302",
        },
    ],
};

/// A response as it stands.
pub static RESPOND: Section = Section {
    name: "response",
    doc: "An answer as it stands here.",
    fields: &[
        Field {
            name: "status",
            kind: Kind::Integer { min: 200, max: 599 },
            need: Need::Default("200"),
            doc: "The status.",
            example: "404",
        },
        Field {
            name: "headers",
            kind: Kind::Map(&Kind::OneOrMany(&Kind::Text("a value"))),
            need: Need::Optional,
            doc: "Header fields, with the variables of header values. `Content-Type` is `text/plain; charset=utf-8` unless \
                  it is given.",
            example: "{ Content-Type: text/html, Cache-Control: no-store }",
        },
        Field {
            name: "body",
            kind: Kind::Text("a text"),
            need: Need::Optional,
            doc: "The body. Without `body` and `file` it is empty.",
            example: "\"User-agent: *\\nDisallow: /\\n\"",
        },
        Field {
            name: "file",
            kind: Kind::Text("the path of a file"),
            need: Need::Optional,
            doc: "A file whose contents are the body, relative to the file that names it; 1 MiB at most. It is read when \
                  the configuration is.",
            example: "pages/maintenance.html",
        },
    ],
};

/// A redirect, from its URL or its keys.
pub fn redirect(node: &Node, report: &mut Report) -> Option<Answer> {
    let (to, status) = match node.as_map() {
        None => (node.parse("redirect", "a URL such as https://www.example.com{uri}", report), Some(308)),
        Some(_) => {
            let fields = Fields::open(node, &REDIRECT, report)?;
            (fields.parse("to", report), redirect_status(&fields, report))
        }
    };
    let to: Template = to?;
    if to.constant() == Some("") {
        report.error(node.span, "a redirect needs a URL to go to");
        return None;
    }
    Some(Answer { status: status?, fields: vec![("Location".into(), to)], body: Bytes::new() })
}

fn redirect_status(fields: &Fields<'_>, report: &mut Report) -> Option<u16> {
    let status: u16 = fields.integer("status", report)?;
    // RFC 9110 §15.4: 304 answers a condition, 305 and 306 are no longer used.
    match status {
        301 | 302 | 303 | 307 | 308 => Some(status),
        _ => {
            let message = format!("{status} sends nobody elsewhere: write 301, 302, 303, 307 or 308");
            fields.error("status", message, report);
            None
        }
    }
}

/// A response as it stands.
pub fn respond(node: &Node, bench: &mut Bench<'_>) -> Option<Answer> {
    let fields = Fields::open(node, &RESPOND, bench.report)?;
    let status: Option<u16> = fields.integer("status", bench.report);
    let headers = edits::values("headers", &fields, bench.report);
    let body = body(&fields, bench);
    let (status, body) = (status?, body?);
    // RFC 9110 §15.3.5, §15.4.5.
    if matches!(status, 204 | 304) && !body.is_empty() {
        let key = if fields.has("body") { "body" } else { "file" };
        fields.error(key, format!("a response with status {status} has no body"), bench.report);
    }
    Some(Answer { status, fields: headers?, body })
}

fn body(fields: &Fields<'_>, bench: &mut Bench<'_>) -> Option<Bytes> {
    let text = fields.maybe("body").map(|node| node.text("body", "a text", bench.report));
    let Some(file) = fields.maybe("file") else {
        return text
            .map_or(Some(Bytes::new()), |text| text.map(|text| Bytes::copy_from_slice(text.as_bytes())));
    };
    if text.is_some() {
        let message = "a response has either `body` or `file`";
        bench.report.error_with(fields.key_span("file"), message, "remove one of them");
        return None;
    }
    let path = file.text("file", "the path of a file", bench.report)?;
    bench.page(path, file.span, MOST_BODY, "1 MiB").map(Bytes::from)
}
