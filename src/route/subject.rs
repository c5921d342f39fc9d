//! A request as patterns see it: host and path in their one normal form, the rest as it came.

use super::normal;
use crate::http::request::RequestView;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::Ipv6Addr;

/// Longest host that is brought into lower case without an allocation.
const SHORT_HOST: usize = 64;

/// A request as patterns see it. Made once per request.
///
/// It allocates nothing where the path is already normal and the host has at most 64 bytes.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    view: &'a RequestView<'a>,
    host: Host<'a>,
    path: Cow<'a, str>,
}

impl<'a> Subject<'a> {
    /// Looks at a request.
    pub fn of(view: &'a RequestView<'a>) -> Self {
        Self { view, host: Host::of(view.host), path: normal::normal(view.path) }
    }

    /// The request as it came.
    pub fn view(&self) -> &'a RequestView<'a> {
        self.view
    }

    /// The host in lower case, without a final dot; empty where an HTTP/1.0 request names none.
    pub fn host(&self) -> &str {
        match &self.host {
            Host::AsSent(host) => host,
            Host::Short(text) => text.as_str(),
            Host::Long(host) => host,
        }
    }

    /// The path in its normal form (`normal`); it begins with `/`, or is `*`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

#[derive(Clone, Debug)]
enum Host<'a> {
    AsSent(&'a str),
    Short(Short),
    Long(String),
}

impl<'a> Host<'a> {
    fn of(sent: &'a str) -> Self {
        let host = sent.strip_suffix('.').unwrap_or(sent);
        if is_plain(host.as_bytes()) { Self::AsSent(host) } else { Self::rewritten(host) }
    }

    #[cold]
    fn rewritten(host: &'a str) -> Self {
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address = literal.and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        let mut short = Short::default();
        let written = match address {
            Some(address) => write!(short, "[{address}]"),
            None => short.write_str(host),
        };
        match written {
            Ok(()) => {
                short.bytes.make_ascii_lowercase();
                Self::Short(short)
            }
            Err(_) => Self::Long(host.to_ascii_lowercase()),
        }
    }
}

/// Whether a host is in lower case and no IPv6 literal. Blocks at once take half the instructions of a look at each byte.
fn is_plain(host: &[u8]) -> bool {
    // `A` to `Z`, and `[` right behind them.
    let byte = |byte: &u8| byte.wrapping_sub(b'A') > b'[' - b'A';
    let block = |block: &[u8; 8]| block.iter().fold(true, |plain, b| plain & byte(b));
    match host.last_chunk::<8>() {
        // The last block overlaps the one before it.
        Some(last) => host.as_chunks::<8>().0.iter().all(block) && block(last),
        None => host.iter().all(byte),
    }
}

/// A short text in place.
#[derive(Clone, Debug)]
struct Short {
    bytes: [u8; SHORT_HOST],
    len: usize,
}

impl Default for Short {
    fn default() -> Self {
        Self { bytes: [0; SHORT_HOST], len: 0 }
    }
}

impl Short {
    fn as_str(&self) -> &str {
        // Only whole texts are written here, so this is always text.
        self.bytes.get(..self.len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("")
    }
}

impl std::fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::fixture::view;

    fn host(sent: &str) -> String {
        Subject::of(&view("GET", sent, "/")).host().to_owned()
    }

    #[test]
    fn a_host_is_lower_case_without_its_final_dot() {
        assert_eq!(host("www.example.com"), "www.example.com");
        assert_eq!(host("WWW.Example.COM."), "www.example.com");
        assert_eq!(host(""), "");
        assert_eq!(host("[0:0::1]"), "[::1]");
        assert_eq!(host("[2001:DB8::A]"), "[2001:db8::a]");
        assert_eq!(host("[x"), "[x");
        let long = "A".repeat(70);
        assert_eq!(host(&long), long.to_lowercase());
        assert_eq!(host(&"É".repeat(40)), "É".repeat(40));
    }

    #[test]
    fn a_path_is_in_its_normal_form() {
        let view = view("GET", "a", "/x/../%61ccount//y");
        assert_eq!(Subject::of(&view).path(), "/account/y");
        assert_eq!(Subject::of(&view).view().path, "/x/../%61ccount//y");
    }
}
