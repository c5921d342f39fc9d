//! A pattern for the host of a request.

use super::check_length;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// `www.example.com` exact, `*.example.com` every name below, `*` any host. Case and a final dot do not count.
#[derive(Clone, Debug)]
pub struct HostPattern {
    written: Box<str>,
    shape: HostShape,
}

/// What a host pattern means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostShape {
    /// Every host, and a request without one.
    Any,
    /// Names that end in a dot and this one, at any depth.
    Below(Box<str>),
    /// This name, in lower case.
    Exact(Box<str>),
}

impl HostPattern {
    /// Whether it takes a host as [`crate::route::Subject::host`] gives it: lower case, without a final dot.
    pub fn matches(&self, host: &str) -> bool {
        match &self.shape {
            HostShape::Any => true,
            HostShape::Below(parent) => {
                host.strip_suffix(&**parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            HostShape::Exact(name) => **name == *host,
        }
    }

    pub(in crate::route) fn shape(&self) -> &HostShape {
        &self.shape
    }
}

/// Equal when they take the same hosts, however they are written.
impl PartialEq for HostPattern {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape
    }
}

impl Eq for HostPattern {}

impl std::hash::Hash for HostPattern {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.shape.hash(state);
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        check_length(written)?;
        let shape = match written {
            "*" => HostShape::Any,
            _ if written.starts_with('[') => HostShape::Exact(literal(written)?),
            _ => match written.strip_prefix("*.") {
                Some(parent) => HostShape::Below(name(written, parent)?),
                None => HostShape::Exact(name(written, written)?),
            },
        };
        Ok(Self { written: written.into(), shape })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// An IPv6 literal in its one form (RFC 5952).
fn literal(written: &str) -> Result<Box<str>, String> {
    let Some((inner, rest)) = written[1..].split_once(']') else {
        return Err(format!("host `{written}` has no closing `]`"));
    };
    if rest.starts_with(':') {
        return Err(format!("host `{written}` names a port: write only `[{inner}]`"));
    }
    match inner.parse::<Ipv6Addr>() {
        Ok(address) if rest.is_empty() => Ok(format!("[{address}]").into()),
        _ => Err(format!("host `{written}` is not an IPv6 address in brackets, such as [2001:db8::1]")),
    }
}

/// A name in lower case, or what is wrong with it.
fn name(written: &str, name: &str) -> Result<Box<str>, String> {
    if name.is_empty() {
        return Err("the host is empty: write a name such as www.example.com, or `*` for any host".to_owned());
    }
    if let Some((_, rest)) = written.split_once("://") {
        let host = rest.split(['/', ':', '?']).next().unwrap_or(rest);
        return Err(format!("host `{written}` has a scheme: write only `{host}`"));
    }
    if let Some((host, _)) = written.split_once('/') {
        return Err(format!("host `{written}` has a path: write only `{host}`, and the path as `path`"));
    }
    if written.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("host `{written}` is an IPv6 address: write it in brackets, `[{written}]`"));
    }
    if let Some((host, _)) = written.split_once(':') {
        return Err(format!("host `{written}` names a port: write only `{host}`"));
    }
    if name.contains('*') {
        return Err(format!(
            "host `{written}`: `*` may stand alone or for everything before a dot, such as *.example.com"
        ));
    }
    if !name.is_ascii() {
        return Err(format!("host `{written}` is not ASCII: write its `xn--` form, as browsers send it"));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.split('.').any(str::is_empty) {
        return Err(format!("host `{written}` has an empty label: write one dot between names"));
    }
    match name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_')) {
        Some(other) => Err(format!("host `{written}` has a {other:?}, which no host name has")),
        None => Ok(name.to_ascii_lowercase().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_matched_by_name_and_by_what_they_are_below() {
        for (pattern, host, expected) in [
            ("www.example.com", "www.example.com", true),
            ("WWW.Example.com.", "www.example.com", true),
            ("www.example.com", "example.com", false),
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "badexample.com", false),
            ("*", "anything", true),
            ("*", "", true),
            ("[::1]", "[::1]", true),
            ("[0:0::1]", "[::1]", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("my_host", "my_host", true),
        ] {
            let parsed: HostPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(host), expected, "{pattern} {host}");
            assert_eq!(parsed.to_string(), pattern);
        }
        let parse = |text: &str| text.parse::<HostPattern>().unwrap();
        assert_eq!(parse("A.b"), parse("a.B."));
        assert_ne!(parse("*.a"), parse("a"));
    }

    #[test]
    fn an_error_says_what_to_write_instead() {
        for (pattern, hint) in [
            ("https://www.example.com/x", "write only `www.example.com`"),
            ("www.example.com:8080", "write only `www.example.com`"),
            ("www.example.com/x", "write only `www.example.com`"),
            ("::1", "write it in brackets, `[::1]`"),
            ("[::1]:80", "write only `[::1]`"),
            ("[::1", "no closing `]`"),
            ("[zz]", "not an IPv6 address"),
            ("www.*.com", "such as *.example.com"),
            ("*example.com", "such as *.example.com"),
            ("*.", "empty"),
            ("", "empty"),
            (".", "empty label"),
            ("a..b", "empty label"),
            (".a", "empty label"),
            ("münchen.de", "`xn--` form"),
            ("a b", "which no host name has"),
        ] {
            let error = pattern.parse::<HostPattern>().unwrap_err();
            assert!(error.contains(hint), "{pattern}: {error}");
        }
    }
}
