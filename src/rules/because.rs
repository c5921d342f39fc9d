//! Says which condition settled whether a rule matches.

use super::rule::list;
use super::when::{Known, Response, When, media_type};
use crate::http::status::StatusRange;
use crate::route::{Subject, because_field, because_value};

impl When {
    /// Why the condition holds or not (`holds` is its value), or what it is waiting for.
    ///
    /// What holds because all of it does names each part, joined by `; `; what fails because all of it does joins
    /// them by `, and `; otherwise the first part that settles it speaks.
    pub(super) fn because(&self, subject: &Subject<'_>, known: Known<'_>, holds: Option<bool>) -> String {
        let Some(holds) = holds else {
            let mut wanted = Vec::new();
            self.wanted(subject, known, &mut wanted);
            return format!("needs the response: {}", wanted.join(", "));
        };
        match (self, holds) {
            (Self::All(members), true) if members.is_empty() => "always".to_owned(),
            (Self::Any(members), false) if members.is_empty() => "no condition to hold".to_owned(),
            (Self::All(members), true) => every(members, subject, known, holds, "; "),
            (Self::Any(members), false) => every(members, subject, known, holds, ", and "),
            (Self::All(members) | Self::Any(members), _) => members
                .iter()
                .find(|member| member.value(subject, known) == Some(holds))
                .map_or_else(String::new, |member| member.because(subject, known, Some(holds))),
            (Self::Not(member), _) => member.because(subject, known, Some(!holds)),
            (Self::Request(test), _) => test.because(subject, holds),
            (Self::ContentType(_) | Self::ResponseHeader(_) | Self::Status(_), _) => match known {
                Known::Response(response) => self.because_of(response, holds),
                Known::Url | Known::Request => String::new(),
            },
        }
    }

    /// The same for a single condition on the response.
    fn because_of(&self, response: &Response<'_>, holds: bool) -> String {
        match self {
            Self::ContentType(patterns) => match media_type(response.fields) {
                Some(found) => {
                    let value = because_value(patterns, std::iter::once(&*found), holds);
                    let is_all = holds && value.starts_with("is ");
                    let found = if is_all { String::new() } else { shown(&found) + " " };
                    format!("content type {found}{value}")
                }
                None => "the response has no content type".to_owned(),
            },
            Self::ResponseHeader(test) => {
                because_field("response header", test, response.fields.all(&test.name), holds)
            }
            Self::Status(ranges) => status(ranges, response.status, holds),
            Self::All(_) | Self::Any(_) | Self::Not(_) | Self::Request(_) => String::new(),
        }
    }

    /// Names the conditions that leave it open.
    fn wanted(&self, subject: &Subject<'_>, known: Known<'_>, wanted: &mut Vec<String>) {
        let name = match self {
            Self::All(members) | Self::Any(members) => {
                let open = members.iter().filter(|member| member.value(subject, known).is_none());
                open.for_each(|member| member.wanted(subject, known, wanted));
                return;
            }
            Self::Not(member) => return member.wanted(subject, known, wanted),
            Self::Request(_) => return,
            Self::ContentType(_) => "content type".to_owned(),
            Self::ResponseHeader(test) => format!("response header {}", test.name),
            Self::Status(_) => "status".to_owned(),
        };
        if !wanted.contains(&name) {
            wanted.push(name);
        }
    }
}

fn every(members: &[When], subject: &Subject<'_>, known: Known<'_>, holds: bool, separator: &str) -> String {
    let parts: Vec<String> =
        members.iter().map(|member| member.because(subject, known, Some(holds))).collect();
    parts.join(separator)
}

fn status(ranges: &[StatusRange], found: u16, holds: bool) -> String {
    let range = ranges.iter().find(|range| range.contains(found) && range.from != range.to);
    match (holds, range, ranges) {
        (true, Some(range), _) => format!("status {found} is in {range}"),
        (true, None, _) => format!("status is {found}"),
        (false, _, [one]) if one.from == one.to => format!("status {found} is not {one}"),
        (false, _, [one]) => format!("status {found} is not in {one}"),
        (false, _, _) => format!("status {found} is none of {}", list(ranges)),
    }
}

/// A value from outside, short and clean enough for a line of text.
fn shown(value: &[u8]) -> String {
    const MOST: usize = 80;
    let text = String::from_utf8_lossy(value);
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::ValueTest;
    use crate::rules::fixture::{
        Answered, content_type, edge, field, get, header, method, not, path, rule, status,
    };
    use crate::rules::{Matched, RuleSet};

    /// What explain says of a condition, for `GET /a.js` and a response or none.
    fn said(when: When, answered: Option<Answered>) -> (Matched, String) {
        let set = RuleSet::open(vec![rule("a", when, edge(1))]);
        let trace = get("/a.js").with(|subject| match answered {
            Some(answered) => answered.with(|response| set.trace(subject, Some(response))),
            None => set.trace(subject, None),
        });
        let traced = trace.into_iter().next().unwrap();
        (traced.matched, traced.because)
    }

    #[track_caller]
    fn assert_said(when: When, matched: Matched, because: &str) {
        assert_eq!(said(when, None), (matched, because.to_owned()));
    }

    #[test]
    fn the_condition_that_settles_it_is_named() {
        use Matched::{No, Yes};
        let private = When::Any(vec![path(&["/account/"]), header("authorization", ValueTest::Present)]);
        assert_said(private.clone(), No, "path is not under /account/, and no header authorization");
        assert_said(not(private), Yes, "path is not under /account/, and no header authorization");
        let script = || path(&["*.css", "*.js"]);
        assert_said(script(), Yes, "path ends with .js");
        assert_said(not(script()), No, "path ends with .js");
        assert_said(When::All(vec![script(), method(&["GET"])]), Yes, "path ends with .js; method is GET");
        assert_said(When::All(vec![script(), method(&["PUT"])]), No, "method GET is not PUT");
        assert_said(When::Any(vec![method(&["PUT"]), script()]), Yes, "path ends with .js");
        assert_said(When::All(Vec::new()), Yes, "always");
        assert_said(When::Any(Vec::new()), No, "no condition to hold");
    }

    #[test]
    fn what_waits_for_the_response_says_for_what() {
        use Matched::{Later, No};
        let late = || When::Any(vec![not(status(&["404"])), content_type(&["text/*"]), status(&["5xx"])]);
        assert_said(late(), Later, "needs the response: status, content type");
        assert_said(When::All(vec![late(), path(&["/b/"])]), No, "path is not under /b/");
        let field = When::ResponseHeader(field("x-a", ValueTest::Present));
        assert_said(When::All(vec![path(&["/"]), field]), Later, "needs the response: response header x-a");
        let either = When::Any(vec![path(&["*.js"]), status(&["404"])]);
        assert_said(either, Later, "path ends with .js; applies to the response");
    }

    #[test]
    fn the_response_speaks_in_the_same_words() {
        use Matched::{No, Yes};
        let answered = |content_type: &'static str| Answered {
            status: 404,
            fields: vec![("Content-Type", content_type), ("X-A", "secret")],
        };
        for (when, matched, because) in [
            (status(&["404"]), Yes, "status is 404"),
            (status(&["4xx"]), Yes, "status 404 is in 4xx"),
            (status(&["200"]), No, "status 404 is not 200"),
            (status(&["2xx"]), No, "status 404 is not in 2xx"),
            (status(&["2xx", "500"]), No, "status 404 is none of 2xx, 500"),
            (content_type(&["text/html"]), Yes, "content type is text/html"),
            (content_type(&["text/*"]), Yes, "content type text/html matches text/*"),
            (content_type(&["image/*"]), No, "content type text/html does not match image/*"),
            (content_type(&["image/png"]), No, "content type text/html is not image/png"),
            (When::ResponseHeader(field("x-a", ValueTest::Absent)), No, "response header x-a is there"),
            (When::ResponseHeader(field("x-b", ValueTest::Present)), No, "no response header x-b"),
        ] {
            let (was, why) = said(when, Some(answered("Text/HTML ; charset=utf-8")));
            assert_eq!((was, why.as_str()), (matched, because));
        }
        for empty in ["", " ; charset=utf-8"] {
            let (was, why) = said(content_type(&["*"]), Some(answered(empty)));
            assert_eq!((was, why.as_str()), (No, "the response has no content type"));
        }
    }

    #[test]
    fn what_a_stranger_sent_stays_in_its_line() {
        let odd = Answered { status: 200, fields: vec![("Content-Type", "a\tb\u{1b}[0m")] };
        let (_, why) = said(content_type(&["text/html"]), Some(odd));
        assert_eq!(why, "content type a\u{fffd}b\u{fffd}[0m is not text/html");
    }
}
