//! Turns the path of a request into a name below a folder, or refuses it.
//!
//! One chain, in this order: escapes are decoded, once; what is a control byte, a slash in disguise or no UTF-8 is
//! refused; slashes in a row become one; dots are resolved, and refused where they lead above the folder (RFC 3986
//! §5.2.4 would stop there; nginx refuses as well); what is hidden or too long is refused. Whatever comes out is looked
//! up byte by byte: other dots (`．`), names that are devices elsewhere (`CON`, `aux.txt`), streams (`a.txt::$DATA`),
//! dots and blanks at the end are letters of ordinary names and mean nothing here.

/// The most bytes in a name, and in a part of it: what Linux takes.
const MOST: usize = 4096;
const MOST_IN_A_PART: usize = 255;

/// A name below a folder: decoded once, without dots, without hidden parts; relative, `/` between its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// `css/a.css`; empty for the folder itself.
    pub text: String,
    /// Whether the path ended in a slash: only a folder will do.
    pub is_folder: bool,
}

/// The path names nothing that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

impl Name {
    /// The name that a path means, as it stands in a request. `hidden`: whether parts may begin with a dot.
    ///
    /// # Errors
    /// [`Refused`]: nothing of that name is ever served.
    pub fn parse(path: &str, hidden: bool) -> Result<Self, Refused> {
        let path = path.strip_prefix('/').ok_or(Refused)?;
        if !is_plain(path) {
            return resolve(path, hidden);
        }
        let text = path.strip_suffix('/').unwrap_or(path);
        Ok(Self { text: text.to_owned(), is_folder: path.is_empty() || text.len() < path.len() })
    }
}

/// Whether a thing of this name, found in a folder, could be asked for.
pub(super) fn is_served(name: &str, hidden: bool) -> bool {
    name.bytes().all(is_allowed) && check(name.as_bytes(), hidden).is_ok()
}

/// Whether nothing in the path needs a closer look: most paths leave here. Its first slash is gone.
fn is_plain(path: &str) -> bool {
    let mut before = b'/';
    let mut begin = 0;
    for (at, &byte) in path.as_bytes().iter().enumerate() {
        if byte == b'%' || !is_allowed(byte) || (before == b'/' && matches!(byte, b'/' | b'.')) {
            return false;
        }
        if byte == b'/' {
            begin = at + 1;
        }
        if at - begin.min(at) >= MOST_IN_A_PART {
            return false;
        }
        before = byte;
    }
    path.len() <= MOST
}

/// A slash that came out of an escape would be no separator to whoever matched the path before; a backslash is one to
/// some programs and not to others.
fn is_allowed(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7f && byte != b'\\'
}

fn resolve(path: &str, hidden: bool) -> Result<Name, Refused> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len() + 1);
    let mut is_folder = true;
    for part in path.split('/') {
        let end = out.len();
        if end > 0 {
            out.push(b'/');
        }
        let begin = out.len();
        decode(part, &mut out)?;
        is_folder = matches!(&out[begin..], b"" | b"." | b"..");
        match &out[begin..] {
            b"" | b"." => out.truncate(end),
            b".." if end == 0 => return Err(Refused),
            b".." => out.truncate(out[..end].iter().rposition(|&byte| byte == b'/').unwrap_or(0)),
            part => check(part, hidden || (end == 0 && part == b".well-known"))?,
        }
    }
    if out.len() > MOST {
        return Err(Refused);
    }
    // What is no UTF-8, over-long forms of a slash or a dot among it, has become nothing else on the way.
    let text = String::from_utf8(out).map_err(|_| Refused)?;
    Ok(Name { text, is_folder })
}

/// Appends a part of a path, its escapes decoded (RFC 3986 §2.1).
fn decode(part: &str, out: &mut Vec<u8>) -> Result<(), Refused> {
    let mut bytes = part.bytes();
    while let Some(mut byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(Refused);
            let (high, low) = (digit()?, digit()?);
            byte = u8::try_from(high * 16 + low).map_err(|_| Refused)?;
            if byte == b'/' {
                return Err(Refused);
            }
        }
        if !is_allowed(byte) {
            return Err(Refused);
        }
        out.push(byte);
    }
    Ok(())
}

fn check(part: &[u8], hidden: bool) -> Result<(), Refused> {
    let is_fine = part.len() <= MOST_IN_A_PART && (hidden || part.first() != Some(&b'.'));
    if is_fine { Ok(()) } else { Err(Refused) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(path: &str) -> Option<(String, bool)> {
        Name::parse(path, false).ok().map(|name| (name.text, name.is_folder))
    }

    #[test]
    fn a_path_means_one_name() {
        let long = "a".repeat(255);
        let deep = "abcdefg/".repeat(512);
        for (path, text, is_folder) in [
            ("/", "", true),
            ("/a", "a", false),
            ("/a/", "a", true),
            ("/css/a.css", "css/a.css", false),
            ("//a", "a", false),
            ("/a//b///c", "a/b/c", false),
            ("/a//", "a", true),
            ("//", "", true),
            ("/./a", "a", false),
            ("/a/.", "a", true),
            ("/a/./b", "a/b", false),
            ("/a/../b", "b", false),
            ("/a/b/../c", "a/c", false),
            ("/a/..", "", true),
            ("/a/%2e%2e/b", "b", false),
            ("/a/.%2E/b", "b", false),
            ("/%61%20b", "a b", false),
            ("/%C3%A4", "ä", false),
            ("/ä", "ä", false),
            ("/%2561", "%61", false),
            ("/%252e%252e/a", "%2e%2e/a", false),
            ("/a%3Fb%23c", "a?b#c", false),
            ("/a.", "a.", false),
            ("/a%20", "a ", false),
            ("/CON", "CON", false),
            ("/a.txt::$DATA", "a.txt::$DATA", false),
            ("/\u{ff0e}\u{ff0e}/a", "\u{ff0e}\u{ff0e}/a", false),
            ("/.well-known/a", ".well-known/a", false),
            ("/%2ewell-known/a", ".well-known/a", false),
            ("/x/../.well-known/a", ".well-known/a", false),
            (&format!("/{long}"), &long, false),
            (&format!("/{deep}"), deep.trim_end_matches('/'), true),
        ] {
            assert_eq!(name(path), Some((text.into(), is_folder)), "{path}");
        }
    }

    #[test]
    fn what_could_mean_two_things_means_nothing() {
        let long = format!("/{}", "a".repeat(256));
        let long_escaped = format!("/%61{}", "a".repeat(255));
        let deep = format!("/{}", "abcdefg/".repeat(513));
        for path in [
            "",
            "a",
            "*",
            "/..",
            "/../a",
            "/a/../..",
            "/a/../../a",
            "/%2e%2e",
            "/./..",
            "//..",
            "/a%",
            "/a%2",
            "/%zz",
            "/%u002e",
            "/%%2e",
            "/%+1",
            "/a%00",
            "/a%00.css",
            "/a%0a",
            "/a\n",
            "/a\0",
            "/a%7f",
            "/a\u{7f}",
            "/a%2fb",
            "/a%2Fb",
            "/a%2f",
            "/a%5cb",
            "/a%5C",
            "/a\\b",
            "/..\\a",
            "/%ff",
            "/%c0%ae%c0%ae/a",
            "/%c0%af",
            "/%e0%80%af",
            "/%f0%80%80%af",
            "/%c3",
            "/%ed%a0%80",
            "/.git/config",
            "/a/.htaccess",
            "/%2egit",
            "/...",
            "/..;/a",
            "/.well-known/.a",
            "/a/.well-known/b",
            "/.well-known2/a",
            "/.Well-Known/a",
            &long,
            &long_escaped,
            &deep,
        ] {
            assert_eq!(name(path), None, "{path}");
        }
    }

    #[test]
    fn hidden_parts_are_served_where_that_is_wanted() {
        for (path, text) in [("/.git/a", ".git/a"), ("/a/.b", "a/.b"), ("/...", "..."), ("/..;/a", "..;/a")] {
            assert_eq!(Name::parse(path, true).map(|name| name.text), Ok(text.into()));
        }
        for path in ["/..", "/../a", "/a/../..", "/%2e%2e/a"] {
            assert_eq!(Name::parse(path, true), Err(Refused), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leaves_the_folder(pieces in prop::collection::vec(prop::sample::select(vec![
            "/", "/", "/", ".", "..", "%2e", "%2E", "%2f", "%5c", "\\", "%00", "a", "b.c", "%61", "%25", "%", "2e", "%c0%ae",
            "ä", ";", ".well-known", "%ff", "\n",
        ]), 0..12), hidden: bool) {
            if let Ok(name) = Name::parse(&format!("/{}", pieces.concat()), hidden) {
                if !name.text.is_empty() {
                    for part in name.text.split('/') {
                        prop_assert!(!matches!(part, "" | "." | ".."), "{name:?}");
                        prop_assert!(hidden || part == ".well-known" || !part.starts_with('.'), "{name:?}");
                    }
                }
                prop_assert!(name.text.bytes().all(is_allowed));
            }
        }

        #[test]
        fn the_short_way_and_the_long_way_agree(path in "[a-c/.]{0,10}") {
            prop_assert_eq!(Name::parse(&format!("/{path}"), false), resolve(&path, false));
        }
    }
}
