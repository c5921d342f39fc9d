//! What is said on a route of files where no file answers: another URL, a listing, or a page that says why not.

use crate::edge::Arrival;
use crate::edge::answer::{Own, on_route, one_slash, page_on_route};
use crate::files::{Item, listing};
use crate::http::list;
use crate::http::request::RequestView;
use crate::plan::Plan;
use crate::verdict::Kind;

/// Why no file answers.
pub enum Instead<'a> {
    /// It may not be read.
    Forbidden,
    /// A folder without an index, which is listed.
    Listing(&'a [Item]),
    /// There is none.
    NotFound,
    /// A folder was asked for without its slash, from which its pages would reckon their links.
    Slash,
    /// The disk failed.
    Unreadable,
}

impl Instead<'_> {
    /// What the log calls the answer.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Listing(_) => Kind::File,
            Self::Forbidden | Self::NotFound | Self::Slash | Self::Unreadable => Kind::Answer,
        }
    }

    /// The answer.
    pub fn own(&self, plan: &Plan, route: usize, view: &RequestView<'_>, arrival: &Arrival) -> Own {
        let page = |status, detail| page_on_route(plan, route, status, detail, view, arrival);
        match self {
            Self::Forbidden => page(403, "the file may not be read"),
            Self::NotFound => page(404, "there is no such file"),
            Self::Unreadable => page(503, "the file cannot be read now"),
            Self::Slash => {
                let fields = vec![("Location".into(), with_slash(view))];
                on_route(plan, route, 301, fields, bytes::Bytes::new(), view, arrival)
            }
            Self::Listing(items) => {
                let json = prefers_json(view.fields.first("accept").unwrap_or_default());
                let (media_type, body) = match json {
                    true => ("application/json", listing::json(items)),
                    false => ("text/html; charset=utf-8", listing::html(&shown(view.path), items)),
                };
                let fields = vec![
                    ("Content-Type".into(), media_type.into()),
                    ("Cache-Control".into(), b"no-cache".to_vec()),
                    ("Vary".into(), b"Accept".to_vec()),
                ];
                on_route(plan, route, 200, fields, body.into(), view, arrival)
            }
        }
    }
}

/// Where the folder is that was asked for without its slash: the client's own path, whatever the route makes of it.
fn with_slash(view: &RequestView<'_>) -> Vec<u8> {
    let query = view.query.map_or(String::new(), |query| format!("?{query}"));
    let mut location = format!("{}/{query}", view.path).into_bytes();
    one_slash(&mut location);
    location
}

/// A path as people read it.
fn shown(path: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (bytes, mut at) = (path.as_bytes(), 0);
    let mut out = Vec::with_capacity(bytes.len());
    while let Some(byte) = bytes.get(at) {
        let escaped =
            (*byte == b'%').then(|| Some(digit(bytes.get(at + 1))? * 16 + digit(bytes.get(at + 2))?));
        match escaped.flatten().and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether a client names JSON, and likes it no less than HTML (RFC 9110 §12.5.1).
fn prefers_json(accept: &[u8]) -> bool {
    let weight = |wanted: &[u8]| {
        let members = list::members(accept).filter_map(|member| {
            let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let named = parts.next()?.eq_ignore_ascii_case(wanted);
            let weight = parts.find_map(|part| part.strip_prefix(b"q=").or(part.strip_prefix(b"Q=")));
            let weight =
                weight.map_or(Some(1.0), |weight| std::str::from_utf8(weight).ok()?.parse::<f32>().ok());
            named.then_some(weight.unwrap_or(0.0))
        });
        members.fold(None, |most: Option<f32>, weight| Some(most.map_or(weight, |most| most.max(weight))))
    };
    match (weight(b"application/json"), weight(b"text/html")) {
        (Some(json), html) => json > 0.0 && json >= html.unwrap_or(0.0),
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_for_who_names_it_and_likes_it_no_less() {
        for (accept, json) in [
            ("", false),
            ("*/*", false),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("application/json", true),
            ("Application/JSON;q=0.1", true),
            ("text/html, application/json", true),
            ("text/html;q=0.9, application/json;q=0.8", false),
            ("text/html;q=0.8, application/json;q=0.9", true),
            ("application/json;q=0", false),
            ("application/json;q=x", false),
        ] {
            assert_eq!(prefers_json(accept.as_bytes()), json, "{accept}");
        }
    }

    #[test]
    fn a_path_is_shown_as_people_read_it() {
        for (path, expected) in [
            ("/a/", "/a/"),
            ("/a%20b/", "/a b/"),
            ("/%C3%A4/", "/ä/"),
            ("/%zz%4", "/%zz%4"),
            ("/%ff", "/\u{fffd}"),
        ] {
            assert_eq!(shown(path), expected);
        }
    }
}
