//! Brings a path into its one normal form, so that no spelling of a path slips past the pattern written for it.
//!
//! What RFC 3986 calls equivalent becomes equal: `%61` is `a` (§6.2.2.2), `%2f` is `%2F` (§6.2.2.1), dot segments are
//! resolved (§5.2.4), and bytes that may not stand in a path at all are encoded. Repeated slashes become one, as every
//! common origin reads them. `%2F` and `%5C` stay: they are data, not separators.

use std::borrow::Cow;

/// The normal form of a path. It begins with `/` or is `*`; borrowed when the path already has it.
pub fn normal(path: &str) -> Cow<'_, str> {
    if is_normal(path) {
        return Cow::Borrowed(path);
    }
    let escaped = escape(path);
    Cow::Owned(if has_no_empty_or_dot_segment(&escaped) { escaped.into_owned() } else { resolve(&escaped) })
}

/// The path with escapes in their one form and nothing in it that may not stand in a path; segments stay.
pub fn escape(path: &str) -> Cow<'_, str> {
    if path.bytes().all(|byte| CLASS[usize::from(byte)] <= SLASH) {
        return Cow::Borrowed(path);
    }
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(path.len() + 16);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match escaped(&bytes[at..]).filter(|_| byte == b'%') {
            Some(decoded) => {
                at += 2;
                push(&mut out, decoded, is_unreserved(decoded));
            }
            // A `%` that escapes nothing would begin an escape once its neighbour is decoded.
            None => push(&mut out, byte, CLASS[usize::from(byte)] <= SLASH),
        }
    }
    Cow::Owned(out)
}

/// Resolves dot segments and merges slashes. The result begins with `/`; there is nothing above the root.
pub fn resolve(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 1);
    let mut ends_in_slash = false;
    for segment in path.split('/') {
        ends_in_slash = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => out.truncate(out.rfind('/').unwrap_or(0)),
            _ => {
                out.push('/');
                out.push_str(segment);
            }
        }
    }
    if ends_in_slash || out.is_empty() {
        out.push('/');
    }
    out
}

/// Whether a path has `.` or `..` as a segment, escapes already being in their one form.
pub fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// Whether an origin that takes `%2F` or `%5C` for a slash would see dot segments where patterns see none: the path then
/// means one thing here and another there.
pub fn hides_dot_segments(path: &str) -> bool {
    let bytes = path.as_bytes();
    let Some(first) = memchr::memchr(b'%', bytes) else { return false };
    let is_slash = |rest: &[u8]| {
        matches!(rest, [b'%', b'2', b'f' | b'F', ..]) || matches!(rest, [b'%', b'5', b'c' | b'C', ..])
    };
    if !(first..bytes.len()).any(|at| is_slash(&bytes[at..])) {
        return false;
    }
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(letter) = rest.chars().next() {
        if is_slash(rest.as_bytes()) {
            decoded.push('/');
            rest = rest.get(3..).unwrap_or("");
        } else {
            decoded.push(if letter == '\\' { '/' } else { letter });
            rest = rest.get(letter.len_utf8()..).unwrap_or("");
        }
    }
    has_dot_segment(&escape(&decoded))
}

fn has_no_empty_or_dot_segment(path: &str) -> bool {
    let inner = path.strip_suffix('/').unwrap_or(path);
    path == "/"
        || inner
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(|segment| !matches!(segment, "" | "." | "..")))
}

const PLAIN: u8 = 0;
const SLASH: u8 = 1;
const PERCENT: u8 = 2;
const FORBIDDEN: u8 = 3;

/// What may stand in a path: `pchar`, `/` and `%` (RFC 3986 §3.3).
static CLASS: [u8; 256] = {
    let mut class = [FORBIDDEN; 256];
    let mut byte = 0;
    while byte < 256 {
        if is_unreserved(byte as u8) || matches!(byte as u8, b'!' | b'$'..=b',' | b':' | b';' | b'=' | b'@') {
            class[byte] = PLAIN;
        }
        byte += 1;
    }
    class[b'/' as usize] = SLASH;
    class[b'%' as usize] = PERCENT;
    class
};

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// One pass without a write: most paths leave here.
fn is_normal(path: &str) -> bool {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return path == "*";
    }
    // Blocks at once take a sixth of the instructions of a look at each byte.
    match bytes.len() {
        17.. if is_plain::<16>(bytes) => true,
        9..17 if is_plain::<8>(bytes) => true,
        _ => is_normal_by_byte(bytes),
    }
}

/// Whether there are only letters, digits, `-._~` and single slashes without a dot behind; false says nothing.
/// `bytes` begins with `/` and has more than `N` bytes.
fn is_plain<const N: usize>(bytes: &[u8]) -> bool {
    let block = |at: usize| match (bytes[at..].first_chunk::<N>(), bytes[at + 1..].first_chunk::<N>()) {
        (Some(before), Some(block)) => is_plain_block(before, block),
        _ => false,
    };
    // The last block overlaps the one before it.
    let last = bytes.len() - N - 1;
    (0..last).step_by(N).all(block) && block(last)
}

/// Without a branch, so that the compiler looks at all bytes at once.
fn is_plain_block<const N: usize>(before: &[u8; N], block: &[u8; N]) -> bool {
    let mut odd = false;
    for (before, byte) in before.iter().zip(block) {
        // `-`, `.`, `/` and the digits follow each other in ASCII.
        let plain = ((byte | 0x20).wrapping_sub(b'a') < 26)
            | (byte.wrapping_sub(b'-') < 13)
            | (*byte == b'_')
            | (*byte == b'~');
        odd |= !plain | ((*before == b'/') & ((*byte == b'/') | (*byte == b'.')));
    }
    !odd
}

fn is_normal_by_byte(bytes: &[u8]) -> bool {
    let mut before = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let class = CLASS[usize::from(byte)];
        if class != PLAIN {
            let fine = match class {
                SLASH => before != b'/',
                PERCENT => is_normal_escape(&bytes[at + 1..]),
                _ => false,
            };
            if !fine {
                return false;
            }
        } else if byte == b'.' && before == b'/' && matches!(bytes[at + 1..], [] | [b'/' | b'.', ..]) {
            // `/.well-known` passes; `/..x` is rare enough for the long way.
            return false;
        }
        before = byte;
    }
    true
}

fn is_normal_escape(rest: &[u8]) -> bool {
    let is_upper = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    rest.len() >= 2
        && rest[..2].iter().all(is_upper)
        && escaped(rest).is_some_and(|byte| !is_unreserved(byte))
}

/// The byte that two hexadecimal digits stand for.
fn escaped(rest: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(rest.first()?)? * 16 + digit(rest.get(1)?)?)
}

fn push(out: &mut String, byte: u8, as_it_is: bool) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    if as_it_is {
        out.push(char::from(byte));
    } else {
        out.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_path_become_one() {
        for (path, expected) in [
            ("/", "/"),
            ("*", "*"),
            ("", "/"),
            ("/account/", "/account/"),
            ("/%61ccount/", "/account/"),
            ("/a/../account/", "/account/"),
            ("/account//x", "/account/x"),
            ("//account/x", "/account/x"),
            ("/a/%2e%2e/account/", "/account/"),
            ("/a/%2E./account", "/account"),
            ("/./account/.", "/account/"),
            ("/account/..", "/"),
            ("/..", "/"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("/a//../b", "/b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/..x/.y", "/..x/.y"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%2Fb%5Cc", "/a%2Fb%5Cc"),
            ("/a%2f..%2fb", "/a%2F..%2Fb"),
            ("/a\\b", "/a%5Cb"),
            ("/100%", "/100%25"),
            ("/%zz", "/%25zz"),
            ("/%%361", "/%2561"),
            ("/%2561", "/%2561"),
            ("/é", "/%C3%A9"),
            ("/%c3%a9", "/%C3%A9"),
            ("/a b|c?d#e[f]", "/a%20b%7Cc%3Fd%23e%5Bf%5D"),
            ("/a%20b", "/a%20b"),
            ("/a%00b", "/a%00b"),
            ("/a;x=1/,b@c:d!$&'()*+", "/a;x=1/,b@c:d!$&'()*+"),
            ("account", "/account"),
            ("*x", "/*x"),
        ] {
            assert_eq!(normal(path), expected, "{path:?}");
        }
    }

    #[test]
    fn dot_segments_behind_encoded_slashes_are_noticed() {
        for path in ["/share/%2F..%2Fapi", "/share/..%2fapi", "/a/%2e%2e%5Cb", "/a%2F..", "/a%5c.%5cb"] {
            assert!(hides_dot_segments(path), "{path}");
        }
        for path in ["/a%2Fb", "/a/..b%2Fc", "/a", "/%61%2F...%2Fb", "/a%2", "/é%2Fb", "/a%5Cb"] {
            assert!(!hides_dot_segments(path), "{path}");
        }
    }

    #[test]
    fn an_ordinary_path_is_borrowed() {
        for path in ["/", "/a/b.js", "/a%20b/", "/.well-known/acme", "*", "/~user/a-b_c"] {
            assert!(matches!(normal(path), Cow::Borrowed(_)), "{path}");
        }
    }

    fn hostile() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![
                Just("/"),
                Just("."),
                Just(".."),
                Just("%"),
                Just("2"),
                Just("e"),
                Just("E"),
                Just("f"),
                Just("%2e"),
                Just("%2F"),
                Just("%5c"),
                Just("a"),
                Just("é"),
                Just("\\"),
                Just("%61"),
                Just("*"),
                Just("\0"),
                Just("6"),
                Just("1"),
                Just("?"),
            ],
            0..14,
        )
        .prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn the_normal_form_is_safe_and_final(path in hostile()) {
            let once = normal(&path).into_owned();
            prop_assert!(once == "*" || once.starts_with('/'));
            prop_assert!(!once.contains("//"), "{}", once);
            prop_assert!(!has_dot_segment(&once), "{}", once);
            prop_assert!(once.bytes().all(|byte| CLASS[usize::from(byte)] != FORBIDDEN));
            prop_assert!(matches!(normal(&once), Cow::Borrowed(_)) || once.contains("/.."), "{}", once);
            prop_assert!(!is_normal(&path) || once == path);
            prop_assert_eq!(normal(&once).into_owned(), once.clone());
            let escaped_once = escape(&path).into_owned();
            prop_assert_eq!(escape(&escaped_once).into_owned(), escaped_once.clone());
        }

        #[test]
        fn blocks_find_no_other_paths_normal(before in "(/[a-z0-9._~-]{1,9}){1,5}", odd in hostile(), after in "[/a-z]{0,20}") {
            let path = format!("{before}{odd}{after}");
            prop_assert_eq!(is_normal(&path), is_normal_by_byte(path.as_bytes()));
        }

        #[test]
        fn arbitrary_text_gives_no_panic(path in any::<String>()) {
            let once = normal(&path).into_owned();
            prop_assert_eq!(normal(&once).into_owned(), once.clone());
        }

        #[test]
        fn encoding_unreserved_bytes_changes_nothing(path in "(/[a-z.~_-]{0,4}){1,4}") {
            let encoded: String = path
                .bytes()
                .map(|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02x}") })
                .collect();
            prop_assert_eq!(normal(&encoded).into_owned(), normal(&path).into_owned());
        }
    }
}
