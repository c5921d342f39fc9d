//! A request as policy sees it: borrowed, transport-free, already found to be well-formed.

use super::fields::Fields;
use std::net::IpAddr;

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Cleartext.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// The scheme as it stands in a URI.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URI without one means (RFC 9110 §4.2).
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The protocol a request came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    H2,
}

impl Protocol {
    /// As the access log and metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::H2 => "h2",
        }
    }
}

/// How the request's body is delimited (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// As many bytes as Content-Length says; never 0.
    Length(u64),
    /// Chunked, or an HTTP/2 body without a length.
    Chunked,
}

/// A well-formed request, borrowed from wherever its bytes live.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The method, case-sensitive.
    pub method: &'a str,
    /// The scheme of the effective request URI.
    pub scheme: Scheme,
    /// Host without port; case as sent; empty only for HTTP/1.0 without a Host field.
    pub host: &'a str,
    /// Port of the effective request URI.
    pub port: u16,
    /// Path, beginning with `/`, or `*`.
    pub path: &'a str,
    /// Query without `?`; `Some("")` differs from `None`.
    pub query: Option<&'a str>,
    /// The protocol it came over.
    pub protocol: Protocol,
    /// Its header fields.
    pub fields: Fields<'a>,
    /// Its body.
    pub framing: Framing,
    /// Whether it asks to change protocol (RFC 9110 §7.8).
    pub upgrade: bool,
    /// Who asks; the peer, or whom a trusted proxy names.
    pub client: IpAddr,
}

impl RequestView<'_> {
    /// GET or HEAD: the methods whose responses we store and reuse.
    pub fn is_get_or_head(&self) -> bool {
        matches!(self.method, "GET" | "HEAD")
    }

    /// Whether the method is safe (RFC 9110 §9.2.1).
    pub fn is_safe(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
    }
}
