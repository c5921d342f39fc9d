//! Reads a request that Pingora or HTTP/2 parsed the way policy sees requests.

use crate::http::fields::Fields;
use crate::http::head::{self, MAX_FIELDS, MAX_TARGET, Refusal};
use crate::http::request::{Framing, Protocol, RequestView, Scheme};
use crate::verdict::Refused;
use pingora::http::RequestHeader;
use std::net::IpAddr;

const fn bad(detail: &'static str) -> Refusal {
    Refusal { status: 400, reason: Refused::BadRequest, detail }
}

/// The request as policy sees it.
///
/// # Errors
/// [`Refusal`] for what HTTP/2 lets through and we do not: no host, too long a target, too many fields, CONNECT.
pub fn of(request: &RequestHeader, scheme: Scheme, client: IpAddr) -> Result<RequestView<'_>, Refusal> {
    let method = request.method.as_str();
    if matches!(method, "CONNECT" | "TRACE") {
        return Err(Refusal { status: 405, ..bad("the method is not allowed here") });
    }
    let target =
        std::str::from_utf8(request.raw_path()).map_err(|_| bad("the request target is malformed"))?;
    let target = without_authority(target);
    if !(target.starts_with('/') || (target == "*" && method == "OPTIONS")) {
        return Err(bad("the request target is malformed"));
    }
    if target.len() > MAX_TARGET {
        let reason = Refused::TargetTooLong;
        return Err(Refusal { status: 414, reason, detail: "the request target is too long" });
    }
    if request.headers.len() > MAX_FIELDS {
        let reason = Refused::HeadTooLarge;
        return Err(Refusal { status: 431, reason, detail: "the request head is too large" });
    }
    let (host, port) = authority(request).ok_or(bad("the host is missing or malformed"))?;
    let (path, query) = head::split_query(target);
    Ok(RequestView {
        method,
        scheme,
        host,
        port: port.unwrap_or(scheme.default_port()),
        path,
        query,
        protocol: protocol(request),
        fields: Fields::Map(&request.headers),
        framing: framing(request),
        upgrade: request.version == http::Version::HTTP_11 && request.headers.contains_key("upgrade"),
        client,
    })
}

/// The head of a request that nobody sent, as Pingora would have parsed it.
///
/// # Errors
/// What Pingora finds wrong with it.
pub fn request(view: &RequestView<'_>) -> pingora::Result<RequestHeader> {
    let target = match view.query {
        Some(query) => format!("{}?{query}", view.path),
        None => view.path.to_owned(),
    };
    let mut request = RequestHeader::build(view.method, target.as_bytes(), None)?;
    request.set_version(http::Version::HTTP_11);
    match view.fields {
        Fields::Map(map) => {
            for (name, value) in map {
                request.append_header(name.clone(), value.clone())?;
            }
        }
        Fields::Raw(list) => {
            for field in list {
                request.append_header(field.name.to_owned(), field.value)?;
            }
        }
    }
    Ok(request)
}

/// The protocol a request came over.
pub fn protocol(request: &RequestHeader) -> Protocol {
    match request.version {
        http::Version::HTTP_2 => Protocol::H2,
        http::Version::HTTP_11 => Protocol::Http11,
        _ => Protocol::Http10,
    }
}

/// Path and query of an absolute-form target.
fn without_authority(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => target,
    }
}

fn authority(request: &RequestHeader) -> Option<(&str, Option<u16>)> {
    let named = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => match request.headers.get(http::header::HOST) {
            Some(value) => value.to_str().ok()?,
            None if request.version == http::Version::HTTP_10 => "",
            None => return None,
        },
    };
    head::split_host(named)
}

fn framing(request: &RequestHeader) -> Framing {
    match Fields::Map(&request.headers).content_length() {
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None if request.headers.contains_key(http::header::TRANSFER_ENCODING) => Framing::Chunked,
        None => Framing::None,
    }
}
