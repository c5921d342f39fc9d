//! Names of files as a folder's settings write them: index names, paths below the folder, ends of names.

use crate::config::media::MediaType;
use crate::config::{Fields, Report, Span};
use std::str::FromStr;

/// The folder with a dot that everybody must find (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// The name of a file in whatever folder is asked for.
struct IndexName(Box<str>);

/// A path of a file, from the root of the folder.
struct FilePath(Box<str>);

impl FromStr for IndexName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            return Err(format!(
                "`{text}` has a slash: write the name alone, the folder is the one asked for"
            ));
        }
        refuse_part(text, text)?;
        Ok(Self(text.into()))
    }
}

impl FromStr for FilePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(below) = text.strip_prefix('/') else {
            return Err(format!("`{text}` must begin with `/`, the root of the folder: write `/{text}`"));
        };
        if below.is_empty() || below.ends_with('/') {
            return Err(format!(
                "`{text}` is a folder: write the path of a file, such as `{text}index.html`"
            ));
        }
        below.split('/').try_for_each(|part| refuse_part(part, text))?;
        Ok(Self(text.into()))
    }
}

/// Says why a part of a path cannot be the name of a file or folder that is served.
fn refuse_part(part: &str, whole: &str) -> Result<(), String> {
    match part {
        "" if whole.is_empty() => return Err("a file has a name".to_owned()),
        "" => return Err(format!("`{whole}` has a part without a name: write `/` once")),
        "." | ".." if whole == part => return Err(format!("`{part}` is no file")),
        "." | ".." => {
            return Err(format!(
                "`{whole}` has a `{part}`: write the path without; it never leaves the folder"
            ));
        }
        _ => {}
    }
    // What a path would say in other words: the name is meant as it is on the disk.
    match part.chars().find(|c| c.is_control() || matches!(c, '%' | '?' | '#' | '\\')) {
        Some(odd) => Err(format!("`{whole}` has a `{}`, which no name here may have", odd.escape_default())),
        None => Ok(()),
    }
}

/// Reports a path with a part that begins with a dot, where such are not served.
fn refuse_hidden(path: &str, serves_hidden: bool, place: Span, report: &mut Report) -> bool {
    let hidden = path.split('/').find(|part| part.starts_with('.') && *part != WELL_KNOWN);
    let Some(part) = hidden.filter(|_| !serves_hidden) else { return false };
    let message = format!("`{part}` begins with a dot, and such names are not served");
    report.error_with(place, message, "give it another name, or set `hidden: true`");
    true
}

/// The names of files under a key, or those that the table has. None: something is wrong, and reported.
pub fn index(
    key: &str,
    serves_hidden: bool,
    fields: &Fields<'_>,
    report: &mut Report,
) -> Option<Vec<Box<str>>> {
    if !fields.has(key) {
        let usual: Vec<IndexName> = fields.parse_all(key, report);
        return Some(usual.into_iter().map(|name| name.0).collect());
    }
    let mut names = Vec::new();
    for node in fields.list(key, report) {
        let name = node.parse(key, "the name of a file", report).map(|IndexName(name)| name);
        names.push(name.filter(|name| !refuse_hidden(name, serves_hidden, node.span, report)));
    }
    names.into_iter().collect()
}

/// The file under a key; `Some(None)` without the key. None: something is wrong, and reported.
pub fn path(
    key: &str,
    serves_hidden: bool,
    fields: &Fields<'_>,
    report: &mut Report,
) -> Option<Option<Box<str>>> {
    if !fields.has(key) {
        return Some(None);
    }
    let FilePath(path) = fields.parse(key, report)?;
    let refused = refuse_hidden(&path, serves_hidden, fields.value_span(key), report);
    (!refused).then_some(Some(path))
}

/// Media types by the ends of names, in lower case and without the dot. None: something is wrong, and reported.
pub fn types(fields: &Fields<'_>, report: &mut Report) -> Option<Vec<(Box<str>, Box<str>)>> {
    let mut types: Vec<Option<(Box<str>, Box<str>)>> = Vec::new();
    for (key, node) in fields.map("types", report) {
        let end = key.text.to_ascii_lowercase();
        let kind = node.parse(&key.text, "a media type", report).map(|MediaType(kind)| kind);
        let last = end.rsplit('.').next().unwrap_or(&end);
        if let Some(message) = match end.as_str() {
            "" => Some("`types` has an empty end of a name".to_owned()),
            _ if end.contains('/') => Some(format!("`{}` has a slash, which no end of a name has", key.text)),
            _ if end.contains('.') => {
                Some(format!("`{}` has a dot: write the end alone, `{last}`", key.text))
            }
            _ if types.iter().flatten().any(|(known, _)| **known == *end) => {
                Some(format!("`types` has `{end}` twice"))
            }
            _ => None,
        } {
            report.error(key.span, message);
        }
        types.push(kind.map(|kind| (end.into(), kind)));
    }
    types.into_iter().collect()
}
