//! Tells a person what a key is made of, part by part, and what of the request does not count.

use super::query::{Fate, QueryRecipe};
use super::{LINE, PAIR, Parts};
use crate::http::cookie::cookies;
use crate::http::query::parameters;
use crate::http::request::RequestView;

/// One part of a key, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which: `host`, `query`, `header accept-language`, `cookie lang`.
    pub what: String,
    /// What it says.
    pub value: String,
    /// What is special about it, such as `utm_source dropped (@tracking)`; often nothing.
    pub note: String,
}

/// Names that a note lists; a query may have thousands.
const NAMED: usize = 8;

/// What the key of a request is made of, in the order of its bytes. Kept beside `Recipe::of`: what counts there is
/// named here.
pub fn describe(view: &RequestView<'_>, parts: &Parts<'_>) -> Vec<Part> {
    let mut described = vec![
        plain("scheme", view.scheme.as_str().to_owned()),
        plain("host", view.host.to_ascii_lowercase()),
        plain("port", view.port.to_string()),
        plain("path", view.path.to_owned()),
    ];
    if let Some(query) = view.query {
        described.push(match parts.query {
            Some(recipe) => chosen(query, recipe),
            None => plain("query", query.to_owned()),
        });
    }
    for name in parts.headers {
        let values = view.fields.all(name).map(<[u8]>::trim_ascii);
        described.push(named(format!("header {name}"), values.collect(), LINE));
    }
    for name in parts.cookies {
        let all = cookies(view.fields).filter(|(other, _)| super::may_be(other, name));
        described.push(named(format!("cookie {name}"), all.map(|(_, value)| value).collect(), PAIR));
    }
    described
}

fn plain(what: &str, value: String) -> Part {
    Part { what: what.to_owned(), value, note: String::new() }
}

fn named(what: String, values: Vec<&[u8]>, between: u8) -> Part {
    let note = if values.is_empty() { "absent".to_owned() } else { String::new() };
    Part { what, value: String::from_utf8_lossy(&values.join(&between)).replace('\n', ", "), note }
}

fn chosen(query: &str, recipe: &QueryRecipe) -> Part {
    if recipe.is_verbatim() {
        return plain("query", query.to_owned());
    }
    let kept = recipe.apply(query);
    let mut notes: Vec<String> = Vec::new();
    let mut more = 0;
    for (name, whole) in parameters(Some(query)).filter(|(_, whole)| !whole.is_empty()) {
        let note = match recipe.fate(name, whole) {
            Fate::Counts => continue,
            Fate::Doubtful => format!("{name} stays: the origin may read it as another parameter"),
            Fate::Dropped(by) if by.to_string() == name => format!("{name} dropped"),
            Fate::Dropped(by) => format!("{name} dropped ({by})"),
            Fate::NotKept => format!("{name} dropped (not kept)"),
            Fate::NoneCounts => format!("{name} dropped (ignore)"),
        };
        if notes.contains(&note) {
            continue;
        }
        if notes.len() < NAMED { notes.push(note) } else { more += 1 }
    }
    if more > 0 {
        notes.push(format!("and {more} more"));
    }
    if recipe.sort && !kept.is_empty() {
        notes.push("sorted".to_owned());
    }
    Part { what: "query".to_owned(), value: kept.join("&"), note: notes.join(", ") }
}
