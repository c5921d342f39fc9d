//! Text with variables of the request in it, for field values, redirects and bodies.

use crate::http::cookie;
use crate::http::list;
use crate::http::request::RequestView;
use std::fmt;
use std::io::Write as _;
use std::str::FromStr;
use strsim::osa_distance;

/// Text with variables such as `{host}` or `{header:user-agent}`; `{{` and `}}` are braces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    written: Box<str>,
    pieces: Box<[Piece]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Piece {
    Cookie(Box<str>),
    Header(Box<str>),
    Text(Box<str>),
    Variable(Variable),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Variable {
    Client,
    Host,
    Id,
    Listener,
    Method,
    Path,
    Port,
    Protocol,
    Query,
    Route,
    Scheme,
    Uri,
}

/// Every variable by its name.
const VARIABLES: [(&str, Variable); 12] = [
    ("client", Variable::Client),
    ("host", Variable::Host),
    ("id", Variable::Id),
    ("listener", Variable::Listener),
    ("method", Variable::Method),
    ("path", Variable::Path),
    ("port", Variable::Port),
    ("protocol", Variable::Protocol),
    ("query", Variable::Query),
    ("route", Variable::Route),
    ("scheme", Variable::Scheme),
    ("uri", Variable::Uri),
];

/// Where the variables of one request come from.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The request.
    pub view: &'a RequestView<'a>,
    /// The id of the request.
    pub id: &'a str,
    /// The listener it came in by.
    pub listener: &'a str,
    /// The name of its route.
    pub route: &'a str,
}

impl Template {
    /// The text on its own.
    pub fn value(&self, values: &Values<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        self.render(values, &mut out);
        out
    }

    /// Appends the text for a request. What is missing is empty; CR, LF and NUL are left out of what is not.
    pub fn render(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Variable(variable) => variable.render(values, out),
                Piece::Cookie(name) => {
                    let mut cookies = cookie::cookies(values.view.fields);
                    let found = cookies.find(|(cookie, _)| *cookie == name.as_bytes());
                    push(out, found.map_or(b"", |(_, value)| value));
                }
                Piece::Header(name) => {
                    for (place, value) in values.view.fields.all(name).enumerate() {
                        push(out, if place > 0 { b", " } else { b"" });
                        push(out, value);
                    }
                }
            }
        }
    }

    /// The text, if no request changes it.
    pub fn constant(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

impl Variable {
    fn render(self, values: &Values<'_>, out: &mut Vec<u8>) {
        let view = values.view;
        match self {
            // Writing to a Vec cannot fail.
            Self::Client => drop(write!(out, "{}", view.client.to_canonical())),
            Self::Host => {
                let from = out.len();
                push(out, view.host.as_bytes());
                out[from..].make_ascii_lowercase();
            }
            Self::Id => push(out, values.id.as_bytes()),
            Self::Listener => push(out, values.listener.as_bytes()),
            Self::Method => push(out, view.method.as_bytes()),
            Self::Path => push(out, view.path.as_bytes()),
            Self::Port => drop(write!(out, "{}", view.port)),
            Self::Protocol => push(out, view.protocol.as_str().as_bytes()),
            Self::Query => push(out, view.query.unwrap_or("").as_bytes()),
            Self::Route => push(out, values.route.as_bytes()),
            Self::Scheme => push(out, view.scheme.as_str().as_bytes()),
            Self::Uri => {
                push(out, view.path.as_bytes());
                if let Some(query) = view.query {
                    out.push(b'?');
                    push(out, query.as_bytes());
                }
            }
        }
    }
}

/// Appends a value without what would end a field line (RFC 9110 §5.5).
fn push(out: &mut Vec<u8>, value: &[u8]) {
    out.extend(value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
}

impl FromStr for Template {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        if let Some(control) = written.chars().find(|letter| letter.is_control() && *letter != '\t') {
            let shown = written.escape_default();
            return Err(format!("`{shown}` has a `{}`, which would end the line", control.escape_default()));
        }
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = written;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            text.push_str(before);
            if brace.starts_with("{{") || brace.starts_with("}}") {
                text.push_str(&brace[..1]);
                rest = &brace[2..];
                continue;
            }
            let Some(inner) = brace.strip_prefix('{') else {
                return Err(format!("`{written}` has a `}}` without `{{`: write `}}}}` for a brace"));
            };
            let Some((name, after)) = inner.split_once('}') else {
                return Err(format!("`{written}` has a `{{` that is never closed: write `{{{{` for a brace"));
            };
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text).into()));
            }
            pieces.push(variable(name)?);
            rest = after;
        }
        text.push_str(rest);
        if !text.is_empty() {
            pieces.push(Piece::Text(text.into()));
        }
        Ok(Self { written: written.into(), pieces: pieces.into() })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

fn variable(name: &str) -> Result<Piece, String> {
    if let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| *known == name) {
        return Ok(Piece::Variable(*variable));
    }
    match name.split_once(':') {
        Some((kind @ ("header" | "cookie"), field)) if !list::is_token(field.as_bytes()) => {
            Err(format!("`{{{name}}}` needs the name of a {kind}, such as `{{{kind}:{}}}`", example(kind)))
        }
        Some(("header", field)) => Ok(Piece::Header(field.to_ascii_lowercase().into())),
        Some(("cookie", cookie)) => Ok(Piece::Cookie(cookie.into())),
        _ => Err(unknown(name)),
    }
}

fn example(kind: &str) -> &'static str {
    if kind == "header" { "user-agent" } else { "session" }
}

fn unknown(name: &str) -> String {
    // A mistyped name is short; what is longer need not be compared to its end.
    let kind: String = name.split(':').next().unwrap_or(name).chars().take(32).collect();
    let known = VARIABLES.iter().map(|(known, _)| *known).chain(["header:", "cookie:"]);
    let nearest = known.clone().map(|known| (osa_distance(&kind, known.trim_end_matches(':')), known)).min();
    match nearest {
        Some((steps, known)) if steps <= 2 && steps < kind.len() => {
            format!("unknown variable `{{{name}}}`: did you mean `{{{}}}`?", full(known))
        }
        _ => {
            let all: Vec<String> = known.map(|known| format!("{{{}}}", full(known))).collect();
            format!("unknown variable `{{{name}}}`: there are {}", all.join(" "))
        }
    }
}

fn full(known: &str) -> String {
    if known.ends_with(':') { format!("{known}name") } else { known.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fields::Fields;
    use crate::route::fixture;
    use proptest::prelude::*;

    fn render(template: &str, view: &RequestView<'_>) -> String {
        let values = Values { view, id: "01JD", listener: "0.0.0.0:8443", route: "www" };
        let mut out = Vec::new();
        template.parse::<Template>().unwrap().render(&values, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_variable_has_its_value() {
        let fields = [
            httparse::Header { name: "X-A", value: b"1" },
            httparse::Header { name: "x-a", value: b"2" },
            httparse::Header { name: "Cookie", value: b"session=s; t=u" },
        ];
        let mut view = fixture::view("GET", "WWW.example.com", "/a%20b?x=1");
        view.fields = Fields::Raw(&fields);
        for (template, expected) in [
            ("", ""),
            ("text", "text"),
            ("{client}", "10.1.2.3"),
            ("{method} {uri} {protocol}", "GET /a%20b?x=1 http/1.1"),
            ("{scheme}://{host}:{port}{path}", "https://www.example.com:443/a%20b"),
            ("[{query}]", "[x=1]"),
            ("{id}/{listener}/{route}", "01JD/0.0.0.0:8443/www"),
            ("{header:X-A} {header:x-none}", "1, 2 "),
            ("{cookie:session}{cookie:t}{cookie:Session}", "su"),
            ("{{host}} }}{{", "{host} }{"),
            ("{{{host}}}", "{www.example.com}"),
        ] {
            assert_eq!(render(template, &view), expected, "{template}");
            assert_eq!(template.parse::<Template>().unwrap().to_string(), template);
        }
        let view = fixture::view("GET", "a", "/a");
        assert_eq!(render("{uri}[{query}]", &view), "/a[]");
    }

    #[test]
    fn a_value_cannot_end_a_field_line() {
        let fields = [httparse::Header { name: "x", value: b"a\r\nSet-Cookie: b\0" }];
        let mut view = fixture::view("GET", "a", "/");
        view.fields = Fields::Raw(&fields);
        assert_eq!(render("{header:x}", &view), "aSet-Cookie: b");
    }

    #[test]
    fn an_error_says_what_to_write_instead() {
        for (template, hint) in [
            ("{hots}", "did you mean `{host}`?"),
            ("{cleint}", "did you mean `{client}`?"),
            ("{headers:x}", "did you mean `{header:name}`?"),
            ("{zebra}", "there are {client} {host}"),
            ("{}", "there are"),
            ("{header:}", "such as `{header:user-agent}`"),
            ("{cookie:a b}", "such as `{cookie:session}`"),
            ("{header}", "did you mean `{header:name}`?"),
            ("a{b", "never closed"),
            ("a}b", "write `}}`"),
        ] {
            let error = template.parse::<Template>().unwrap_err();
            assert!(error.contains(hint), "{template}: {error}");
        }
    }

    #[test]
    fn what_no_request_changes_is_constant() {
        let parse = |text: &str| text.parse::<Template>().unwrap();
        assert_eq!(parse("a{{b").constant(), Some("a{b"));
        assert_eq!(parse("").constant(), Some(""));
        assert_eq!(parse("a{host}").constant(), None);
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused(text in "[a-z{}:é]{0,20}") {
            let _ = text.parse::<Template>();
        }

        #[test]
        fn text_with_doubled_braces_is_itself(text in "[a-z{}]{0,12}") {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            let template: Template = doubled.parse().unwrap();
            prop_assert_eq!(template.constant(), Some(text.as_str()));
        }
    }
}
