//! What of a request `consistent_hash` goes by: its path, a header field, or a cookie.

use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::xxh3_64;

use crate::http::cookie::cookies;
use crate::http::list::is_token;
use crate::http::request::RequestView;

/// What a hash is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashBy {
    /// The value of the first cookie of this name.
    Cookie(Box<str>),
    /// The first value of the field of this name, in lower case.
    Header(Box<str>),
    /// The path without the query. The default: a server that caches gets the same paths again and again.
    #[default]
    Path,
}

impl HashBy {
    /// The key of a request; `None` if the field or cookie is absent. An empty one counts as absent, as in nginx:
    /// otherwise one server would have all the clients that have nothing to be told apart by.
    pub fn key(&self, view: &RequestView<'_>) -> Option<u64> {
        let value = match self {
            Self::Cookie(name) => cookies(view.fields).find(|(sent, _)| *sent == name.as_bytes())?.1,
            // HTTP/2 names it elsewhere (RFC 9113 §8.3.1), and only the view knows where.
            Self::Header(name) if **name == *"host" => view.host.as_bytes(),
            Self::Header(name) => view.fields.first(name)?,
            Self::Path => view.path.as_bytes(),
        };
        (!value.is_empty()).then(|| xxh3_64(value))
    }
}

/// As it is written: `path`, `header:NAME`, `cookie:NAME`.
impl fmt::Display for HashBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Path => f.write_str("path"),
        }
    }
}

impl FromStr for HashBy {
    type Err = HashByError;

    fn from_str(text: &str) -> Result<Self, HashByError> {
        match text.split_once(':') {
            None if text == "path" => Ok(Self::Path),
            None if matches!(text, "cookie" | "header") => Err(HashByError::NoName(text.to_owned())),
            Some((kind @ ("cookie" | "header"), "")) => Err(HashByError::NoName(kind.to_owned())),
            Some(("cookie", name)) if is_token(name.as_bytes()) => Ok(Self::Cookie(name.into())),
            Some(("cookie", name)) => Err(HashByError::Cookie(name.to_owned())),
            Some(("header", name)) if is_token(name.as_bytes()) => {
                Ok(Self::Header(name.to_ascii_lowercase().into()))
            }
            Some(("header", name)) => Err(HashByError::Header(name.to_owned())),
            _ => Err(HashByError::Unknown(text.to_owned())),
        }
    }
}

/// Why a text does not say what to hash by, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashByError {
    #[error("`{0}` is not the name of a cookie: letters, digits, - and _ are, as in `cookie:session`")]
    Cookie(String),
    #[error("`{0}` is not the name of a header field: letters, digits and - are, as in `header:x-user`")]
    Header(String),
    #[error("`{0}` needs a name, without blanks: write `{0}:NAME`")]
    NoName(String),
    #[error("`{0}` is nothing to hash by: write `path`, `header:NAME` or `cookie:NAME`")]
    Unknown(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fields::Fields;
    use crate::http::request::{Framing, Protocol, Scheme};
    use std::net::{IpAddr, Ipv4Addr};

    fn key(by: &str, path: &str, headers: &[(&str, &str)]) -> Option<u64> {
        let fields: Vec<_> =
            headers.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        let view = RequestView {
            method: "GET",
            scheme: Scheme::Http,
            host: "example.com",
            port: 80,
            path,
            query: Some("a=1"),
            protocol: Protocol::Http11,
            fields: Fields::Raw(&fields),
            framing: Framing::None,
            upgrade: false,
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        by.parse::<HashBy>().unwrap().key(&view)
    }

    #[test]
    fn what_is_written_is_shown_again() {
        for text in ["path", "header:x-user", "cookie:Session", "header:host"] {
            assert_eq!(text.parse::<HashBy>().unwrap().to_string(), text);
        }
        assert_eq!("header:X-User".parse::<HashBy>().unwrap(), HashBy::Header("x-user".into()));
        assert_eq!(HashBy::default(), HashBy::Path);
    }

    #[test]
    fn what_cannot_be_hashed_by_is_named_with_what_to_write_instead() {
        for (text, error) in [
            ("", "`` is nothing to hash by: write `path`, `header:NAME` or `cookie:NAME`"),
            ("Path", "`Path` is nothing to hash by: write `path`, `header:NAME` or `cookie:NAME`"),
            ("path:/a", "`path:/a` is nothing to hash by: write `path`, `header:NAME` or `cookie:NAME`"),
            ("query:id", "`query:id` is nothing to hash by: write `path`, `header:NAME` or `cookie:NAME`"),
            ("header", "`header` needs a name, without blanks: write `header:NAME`"),
            ("cookie:", "`cookie` needs a name, without blanks: write `cookie:NAME`"),
            (
                "header: x-user",
                "` x-user` is not the name of a header field: letters, digits and - are, as in `header:x-user`",
            ),
            (
                "cookie:a;b",
                "`a;b` is not the name of a cookie: letters, digits, - and _ are, as in `cookie:session`",
            ),
        ] {
            assert_eq!(text.parse::<HashBy>().unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn requests_are_alike_in_what_they_are_hashed_by() {
        let hash = |value: &str| Some(xxh3_64(value.as_bytes()));
        assert_eq!(key("path", "/a/b", &[("X-User", "ann")]), hash("/a/b"));
        assert_eq!(key("header:X-User", "/", &[("x-user", "ann"), ("X-USER", "bob")]), hash("ann"));
        assert_eq!(key("header:host", "/", &[]), hash("example.com"));
        let cookie = [("Cookie", "theme=dark; session=1"), ("Cookie", "session=2")];
        assert_eq!(key("cookie:session", "/", &cookie), hash("1"));
        assert_eq!(key("cookie:theme", "/", &cookie), hash("dark"));
    }

    #[test]
    fn what_is_absent_or_empty_has_no_key() {
        assert_eq!(key("header:x-user", "/", &[("x-users", "ann")]), None);
        assert_eq!(key("header:x-user", "/", &[("x-user", "")]), None);
        assert_eq!(key("cookie:session", "/", &[("Cookie", "Session=1; sessions=2")]), None);
        assert_eq!(key("cookie:session", "/", &[("Cookie", "session=")]), None);
        assert_eq!(key("cookie:session", "/", &[]), None);
    }
}
