//! Reads the tests of a rule file: one request each, or several one after the other.

use super::RULE_FILE;
use super::expect::{self, EXPECT};
use crate::config::names::FieldName;
use crate::config::{Field, Fields, Files, Kind, Need, Node, Report, Section, Span};
use crate::explain::Request;
use crate::explain::{Case, Down, Expect, Response, Step};
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// A test: its own keys, and those of its one request.
pub static CASE: Section = Section {
    name: "test",
    doc: "A test of the rules: one request, or `steps`, each with what the origin would answer and what is expected. The \
          cache is empty at first. No network is used, and time passes only by `at`.",
    fields: &[
        Field {
            name: "name",
            kind: Kind::Text("a sentence"),
            need: Need::Required,
            doc: "What the test shows, as a sentence.",
            example: "a page with a session cookie is never stored",
        },
        Field {
            name: "steps",
            kind: Kind::List(&Kind::Section(&STEP)),
            need: Need::Optional,
            doc: "Requests that come one after the other. A test of one request writes its keys beside `name` instead.",
            example: "[{ get: \"https://a.example/\", response: { status: 200 } }, { get: /, at: 5m, expect: { outcome: hit } }]",
        },
        GET,
        HEAD,
        REQUEST,
        HEADERS,
        CLIENT,
        AT,
        RESPONSE,
        ORIGIN,
        EXPECTED,
    ],
};

/// One request of a test.
pub static STEP: Section = Section {
    name: "step",
    doc: "One request of a test, what the origin would answer, and what is expected to come of it.",
    fields: &[GET, HEAD, REQUEST, HEADERS, CLIENT, AT, RESPONSE, ORIGIN, EXPECTED],
};

/// What an origin would answer.
pub static RESPONSE_OF_ORIGIN: Section = Section {
    name: "response",
    doc: "What the origin would answer if it is asked.",
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
            kind: HEADERS.kind,
            need: Need::Optional,
            doc: "Its header fields. The test begins on 1 January 2026 at 00:00:00 UTC, where `Date` or `Expires` matter.",
            example: "{ cache-control: max-age=60, set-cookie: [a=1, b=2] }",
        },
        Field {
            name: "body_size",
            kind: Kind::Size,
            need: Need::Optional,
            doc: "How long its body is. Without it: short.",
            example: "20MiB",
        },
    ],
};

const GET: Field = Field {
    name: "get",
    kind: Kind::Text("a URL"),
    need: Need::Optional,
    doc: "The URL that is asked for with GET. A step after the first may name the path alone: scheme and host are those of \
          the first step. Of `get`, `head` and `request` one is needed.",
    example: "https://www.example.com/a.js?utm_source=x",
};

const HEAD: Field = Field {
    name: "head",
    kind: Kind::Text("a URL"),
    need: Need::Optional,
    doc: "The same with HEAD.",
    example: "https://www.example.com/a.js",
};

const REQUEST: Field = Field {
    name: "request",
    kind: Kind::Text("a method and a URL"),
    need: Need::Optional,
    doc: "The same with any method, which stands before the URL.",
    example: "POST https://www.example.com/cart",
};

const HEADERS: Field = Field {
    name: "headers",
    kind: Kind::Map(&Kind::OneOrMany(&Kind::Text("a value"))),
    need: Need::Optional,
    doc: "Header fields of the request; a list is as many lines. `host` is in the URL.",
    example: "{ cookie: session=1, accept: text/html }",
};

const CLIENT: Field = Field {
    name: "client",
    kind: Kind::Text("an address such as 203.0.113.9"),
    need: Need::Optional,
    doc: "The address of the client.",
    example: "10.1.2.3",
};

const AT: Field = Field {
    name: "at",
    kind: Kind::Duration,
    need: Need::Optional,
    doc: "When the request comes, counted from the start of the test. Without it: when the one before it came.",
    example: "10m",
};

const RESPONSE: Field = Field {
    name: "response",
    kind: Kind::Section(&RESPONSE_OF_ORIGIN),
    need: Need::Optional,
    doc: "What the origin would answer if it is asked. Without it only what the request decides is known: rule, key, bypass.",
    example: "{ status: 200, headers: { cache-control: max-age=60 } }",
};

const ORIGIN: Field = Field {
    name: "origin",
    kind: Kind::Word(&["timeout", "unreachable"]),
    need: Need::Optional,
    doc: "How the origin fails if it is asked, in place of a `response`.",
    example: "unreachable",
};

const EXPECTED: Field = Field {
    name: "expect",
    kind: Kind::Section(&EXPECT),
    need: Need::Optional,
    doc: "What is expected. What it does not name is not compared.",
    example: "{ rule: assets, outcome: miss, stored: true, ttl: 30d }",
};

/// What a case is read against.
pub struct Reader<'a> {
    /// The files, for places.
    pub files: &'a Files,
    /// The names of all rules that tests see.
    pub rules: &'a [&'a str],
}

/// The tests in the root of a file, as far as they can be read; what is wrong is reported.
pub fn compile(root: &Node, rules: &[&str], files: &Files, report: &mut Report) -> Vec<Case> {
    let Some(file) = Fields::open(root, &RULE_FILE, report) else { return Vec::new() };
    let reader = Reader { files, rules };
    file.list("tests", report).iter().filter_map(|node| reader.case(node, report)).collect()
}

impl Reader<'_> {
    fn case(&self, node: &Node, report: &mut Report) -> Option<Case> {
        let fields = Fields::open(node, &CASE, report)?;
        let name = fields.text("name", report)?.to_owned();
        let (steps, expected) = match fields.maybe("steps") {
            Some(steps) => (self.steps(steps, &fields, report)?, steps.as_list().unwrap_or_default()),
            None => (vec![self.step(&fields, None, report)?], std::slice::from_ref(node)),
        };
        if expected.iter().all(|step| step.at("expect").is_none_or(Node::is_null)) {
            let message = format!("the test `{name}` expects nothing");
            report.error_with(
                fields.value_span("name"),
                message,
                "add such as `expect: { outcome: miss, stored: true }`",
            );
        }
        Some(Case { name, place: self.files.place(fields.value_span("name")), steps })
    }

    fn steps(&self, node: &Node, case: &Fields<'_>, report: &mut Report) -> Option<Vec<Step>> {
        for field in STEP.fields.iter().filter(|field| case.has(field.name)) {
            let message = format!("`{}` stands beside `steps`: write it in a step", field.name);
            report.error(case.key_span(field.name), message);
        }
        let items = case.list("steps", report);
        if items.is_empty() && node.as_list().is_some() {
            report.error(node.span, "`steps` lists no step");
            return None;
        }
        let mut steps: Vec<Step> = Vec::new();
        for item in items {
            let fields = Fields::open(item, &STEP, report)?;
            steps.push(self.step(&fields, steps.last(), report)?);
        }
        Some(steps)
    }

    fn step(&self, fields: &Fields<'_>, before: Option<&Step>, report: &mut Report) -> Option<Step> {
        let asked = asked(fields, before, report);
        let headers = headers(fields, report);
        let client = fields.parse::<Client>("client", report).map(|Client(address)| address);
        let (method, url, asked_at) = asked?;
        let expect = match fields.maybe("expect") {
            Some(node) => expect::compile(node, &url, self, report)?,
            None => Expect::default(),
        };
        if let Err(why) = Request::new(&method, &url, &headers, client) {
            // Fields were looked at one by one, so what is left is between method, URL and fields.
            report.error(asked_at, why);
        }
        Some(Step {
            place: self.files.place(asked_at),
            method,
            url,
            headers,
            client,
            at: at(fields, before, report),
            response: response(fields, report),
            origin: origin(fields, report),
            expect,
        })
    }
}

/// Method, absolute URL, and where that is written.
fn asked(fields: &Fields<'_>, before: Option<&Step>, report: &mut Report) -> Option<(String, String, Span)> {
    let given: Vec<&str> = ["get", "head", "request"].into_iter().filter(|key| fields.has(key)).collect();
    let key = match given[..] {
        [key] => key,
        [] => {
            report.error_with(
                fields.span(),
                "nothing is asked for: `get`, `head` or `request` is missing",
                "for example `get: https://www.example.com/`",
            );
            return None;
        }
        [first, second, ..] => {
            report.error(
                fields.key_span(second),
                format!("`{second}` stands beside `{first}`: a step is one request"),
            );
            return None;
        }
    };
    let text = fields.text(key, report)?;
    let at = fields.value_span(key);
    let (method, url) = match (key, text.split_once(' ')) {
        ("get", _) => ("GET", text),
        ("head", _) => ("HEAD", text),
        (_, Some((method, url))) => (method, url.trim_start()),
        (_, None) => {
            let message =
                format!("`request` needs a method and a URL, such as `POST {text}`; `{text}` is one word");
            report.error(at, message);
            return None;
        }
    };
    let url =
        absolute(url, before.map(|step| step.url.as_str())).map_err(|why| report.error(at, why)).ok()?;
    Some((method.to_owned(), url, at))
}

/// A URL with scheme and host; those of `base` where it has none.
pub fn absolute(url: &str, base: Option<&str>) -> Result<String, String> {
    if let (true, Some(base)) = (url.starts_with('/'), base) {
        return Ok(format!("{}{url}", origin_of(base)));
    }
    if url.starts_with("http://") || url.starts_with("https://") {
        let bare = origin_of(url).len() == url.len();
        return Ok(if bare { format!("{url}/") } else { url.to_owned() });
    }
    Err(format!("`{url}` is no URL: write it in full, such as https://www.example.com/a?b=c"))
}

/// Scheme and host of a URL that has them.
fn origin_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + "://".len());
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    &url[..end]
}

fn headers(fields: &Fields<'_>, report: &mut Report) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for (key, node) in fields.map("headers", report) {
        let name = key.text.parse::<FieldName>();
        if let Err(why) = &name {
            report.error(key.span, why.clone());
        }
        for value in node.as_list().unwrap_or(std::slice::from_ref(node)) {
            let Some(text) = value.text(&key.text, "a value", report) else { continue };
            // RFC 9110 §5.5
            if text.chars().any(|c| c.is_control() && c != '\t') || text.trim() != text {
                report.error(
                    value.span,
                    format!(
                        "`{}` has a value that no field can have: spaces around it, or line ends",
                        key.text
                    ),
                );
            }
            headers.push((key.text.clone(), text.to_owned()));
        }
    }
    headers
}

fn at(fields: &Fields<'_>, before: Option<&Step>, report: &mut Report) -> Duration {
    let earliest = before.map_or(Duration::ZERO, |step| step.at);
    let at = fields.duration("at", report).unwrap_or(earliest);
    if at < earliest {
        fields.error(
            "at",
            "`at` counts from the start of the test, and the step before this one comes later",
            report,
        );
    }
    at
}

fn response(fields: &Fields<'_>, report: &mut Report) -> Option<Response> {
    let node = fields.maybe("response")?;
    let response = Fields::open(node, &RESPONSE_OF_ORIGIN, report)?;
    Some(Response {
        status: response.integer("status", report)?,
        headers: headers(&response, report),
        body_size: response.size("body_size", report),
    })
}

/// The address of a client.
struct Client(IpAddr);

impl FromStr for Client {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = |_| format!("`{text}` is not an address: write one such as 203.0.113.9");
        text.parse().map(Self).map_err(error)
    }
}

fn origin(fields: &Fields<'_>, report: &mut Report) -> Option<Down> {
    let word = fields.word("origin", report)?;
    if fields.has("response") {
        let message = "`origin` stands beside `response`: an origin that fails answers nothing";
        report.error(fields.key_span("origin"), message);
    }
    match word {
        "timeout" => Some(Down::Timeout),
        _ => Some(Down::Unreachable),
    }
}
