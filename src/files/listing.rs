//! Shows what is in a folder: reads it, and writes the page or the JSON of it.

use super::beneath::Beneath;
use super::name;
use super::stamp;
use crate::telemetry::timestamp;
use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;
use serde::Serialize;
use std::fmt::Write;
use std::os::fd::{AsFd, BorrowedFd};

/// The most things that are listed of a folder.
const MOST: usize = 10_000;

/// A thing in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Its length in bytes.
    pub length: u64,
    /// When it was changed last, in seconds since 1970.
    pub modified: u64,
}

/// The files and folders in a folder that could be asked for: folders first, then by name. Of a very large one it shows
/// the first 10,000 that the disk gives.
pub(super) fn read(
    beneath: &Beneath,
    root: BorrowedFd<'_>,
    folder: &str,
    hidden: bool,
) -> Result<Vec<Item>, Errno> {
    let open = beneath.open_folder(root, folder)?;
    let mut items = Vec::new();
    for entry in Dir::read_from(&open)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if matches!(name, "." | "..") || !name::is_served(name, hidden) {
            continue;
        }
        if items.len() == MOST {
            break;
        }
        items.extend(item(beneath, root, open.as_fd(), folder, name));
    }
    items.sort_unstable_by(|one, other| (!one.is_folder, &one.name).cmp(&(!other.is_folder, &other.name)));
    Ok(items)
}

/// `None` for what went meanwhile, is neither file nor folder, or is a link that is not followed.
fn item(
    beneath: &Beneath,
    root: BorrowedFd<'_>,
    open: BorrowedFd<'_>,
    folder: &str,
    name: &str,
) -> Option<Item> {
    let mut stat = statat(open, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        let slash = if folder.is_empty() { "" } else { "/" };
        stat = beneath.stat(root, &format!("{folder}{slash}{name}")).ok()?;
    }
    let is_folder = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => true,
        FileType::RegularFile => false,
        _ => return None,
    };
    Some(Item {
        name: name.into(),
        is_folder,
        length: stamp::length(&stat),
        modified: stamp::modified(&stat),
    })
}

/// The page of a folder. `path` is its path as people should read it; nothing in it or in a name is taken for markup.
pub fn html(path: &str, items: &[Item]) -> String {
    let mut out = String::with_capacity(1024 + items.len() * 160);
    out.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    escape(&mut out, path);
    out.push_str("</title>\n<style>\n");
    out.push_str(STYLE);
    out.push_str("</style>\n</head>\n<body>\n<main>\n<h1>");
    escape(&mut out, path);
    out.push_str("</h1>\n<table>\n<thead><tr><th scope=\"col\">Name</th><th scope=\"col\">Size</th>");
    out.push_str("<th scope=\"col\">Changed</th></tr></thead>\n<tbody>\n");
    if !path.trim_matches('/').is_empty() {
        out.push_str("<tr><td><a href=\"../\">Parent folder</a></td><td></td><td></td></tr>\n");
    }
    for item in items {
        row(&mut out, item);
    }
    out.push_str("</tbody>\n</table>\n</main>\n</body>\n</html>\n");
    out
}

const STYLE: &str = ":root { color-scheme: light dark; font-family: system-ui, sans-serif }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.25rem; overflow-wrap: anywhere }
table { width: 100%; border-collapse: collapse }
th, td { padding: .25rem .75rem .25rem 0; text-align: start; overflow-wrap: anywhere }
th + th, td + td { white-space: nowrap; font-variant-numeric: tabular-nums }
";

fn row(out: &mut String, item: &Item) {
    let slash = if item.is_folder { "/" } else { "" };
    // `./` first: `javascript:` is then a name and no scheme, and what is empty or begins with a slash no other host.
    out.push_str("<tr><td><a href=\"./");
    encode(out, &item.name);
    out.push_str(slash);
    out.push_str("\"><bdi>");
    escape(out, &item.name);
    out.push_str(slash);
    out.push_str("</bdi></a></td><td>");
    if !item.is_folder {
        out.push_str(&size(item.length));
    }
    let at = date(item.modified);
    let (day, time) = (at.get(..10).unwrap_or(""), at.get(11..16).unwrap_or(""));
    // Writing to a String cannot fail.
    let _ = writeln!(out, "</td><td><time datetime=\"{at}\">{day} {time}</time></td></tr>");
}

/// The things in a folder as JSON, with the members that nginx writes. Times are of RFC 3339.
pub fn json(items: &[Item]) -> String {
    #[derive(Serialize)]
    struct Row<'a> {
        name: &'a str,
        r#type: &'a str,
        mtime: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    }
    let rows: Vec<Row<'_>> = items
        .iter()
        .map(|item| Row {
            name: &item.name,
            r#type: if item.is_folder { "directory" } else { "file" },
            mtime: date(item.modified),
            size: (!item.is_folder).then_some(item.length),
        })
        .collect();
    // Strings and numbers always have a JSON form.
    serde_json::to_string(&rows).unwrap_or_default()
}

/// `2026-11-22T12:25:35Z`
fn date(seconds: u64) -> String {
    // A date of more than four digits of year could not be written.
    let mut at = timestamp::utc(seconds.min(253_402_300_799) * 1000);
    at.truncate(19);
    at.push('Z');
    at
}

fn size(length: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if length < 1024 {
        return format!("{length} B");
    }
    let unit = ((length.ilog2() / 10) as usize).min(UNITS.len());
    let tenths = u128::from(length) * 10 / (1_u128 << (10 * unit));
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit - 1])
}

/// Text in HTML, in an attribute as well. A control byte, which no name that is served has, is shown as nothing.
fn escape(out: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
}

/// A name as one part of a path (RFC 3986 §3.3): all but letters, digits and `-._~` is escaped.
fn encode(out: &mut String, name: &str) {
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, length: u64) -> Item {
        Item { name: name.into(), is_folder: false, length, modified: 1_700_000_000 }
    }

    #[test]
    fn a_page_is_safe_against_any_name() {
        for (name, link, shown) in [
            ("a.txt", "./a.txt", "a.txt"),
            (
                "<script>alert(1)</script>",
                "./%3Cscript%3Ealert%281%29%3C%2Fscript%3E",
                "&lt;script&gt;alert(1)&lt;/script&gt;",
            ),
            ("\"onclick='x'", "./%22onclick%3D%27x%27", "&quot;onclick=&#39;x&#39;"),
            ("javascript:alert(1)", "./javascript%3Aalert%281%29", "javascript:alert(1)"),
            ("//evil.example", "./%2F%2Fevil.example", "//evil.example"),
            ("a?b#c%d:e", "./a%3Fb%23c%25d%3Ae", "a?b#c%d:e"),
            ("a\nb\r\0", "./a%0Ab%0D%00", "a\u{fffd}b\u{fffd}\u{fffd}"),
            ("&amp;", "./%26amp%3B", "&amp;amp;"),
            ("ä b", "./%C3%A4%20b", "ä b"),
            ("", "./", ""),
        ] {
            let page = html("/x/", &[file(name, 1)]);
            assert!(page.contains(&format!("<a href=\"{link}\"><bdi>{shown}</bdi></a>")), "{name:?}: {page}");
            let page = html(name, &[]);
            assert!(page.contains(&format!("<title>{shown}</title>")), "{name:?}: {page}");
        }
    }

    #[test]
    fn a_page_shows_what_is_there() {
        let folder = Item { name: "css".into(), is_folder: true, length: 4096, modified: 0 };
        let page = html("/a/", &[folder, file("a", 1536)]);
        for part in [
            "<a href=\"../\">Parent folder</a>",
            "<a href=\"./css/\"><bdi>css/</bdi></a></td><td></td><td><time datetime=\"1970-01-01T00:00:00Z\">1970-01-01 00:00<",
            "</a></td><td>1.5 KiB</td><td><time datetime=\"2023-11-14T22:13:20Z\">2023-11-14 22:13</time>",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!html("/", &[]).contains("../"));
    }

    #[test]
    fn json_has_the_members_that_nginx_writes() {
        let folder = Item { name: "css".into(), is_folder: true, length: 4096, modified: 0 };
        assert_eq!(
            json(&[folder, file("a\"\n", 7)]),
            r#"[{"name":"css","type":"directory","mtime":"1970-01-01T00:00:00Z"},{"name":"a\"\n","type":"file","mtime":"2023-11-14T22:13:20Z","size":7}]"#
        );
        assert_eq!(json(&[]), "[]");
    }

    #[test]
    fn sizes_and_dates_are_for_people() {
        for (length, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (1 << 20, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(size(length), text, "{length}");
        }
        assert_eq!(date(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
