//! What Foreland adds to and takes from header fields, towards the origin and towards the client.

use super::arrival::Arrival;
use super::ctx::Ctx;
use super::edit::{Edit, Stored};
use super::{labels, view};
use crate::cache::object::{self, StoredHead};
use crate::http::accept_encoding::Coding;
use crate::http::fields::Fields;
use crate::http::request::{Protocol, RequestView};
use crate::http::{date, forwarded, hop_by_hop};
use crate::plan::Plan;
use crate::route::Rewrite;
use crate::rules::StripCookies;
use crate::verdict::{Kind, Outcome};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

/// Our name in Via (RFC 9110 §7.6.3).
const PSEUDONYM: &str = "foreland";
/// What we add to a response's Via; what comes from an origin came over HTTP/1.1.
const VIA: &str = "1.1 foreland";

/// Tells the origin who asks (RFC 7239 and its X- forerunners), by which name, and under which id.
///
/// What the client sent under these names is replaced: it is not trusted, and an origin that believes it can be
/// told any address.
pub fn to_origin(
    request: &mut RequestHeader,
    view: &RequestView<'_>,
    arrival: &Arrival,
    server: &str,
) -> Result<()> {
    let (scheme, host) = (arrival.scheme.as_str(), authority(view));
    // CGI and its heirs cannot tell `X_Device` from `X-Device`, which a key or Vary may name (nginx drops them too).
    let odd: Vec<http::HeaderName> =
        request.headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    for name in odd {
        request.remove_header(&name);
    }
    if !arrival.trusted {
        for name in OF_PROXIES {
            request.remove_header(name);
        }
    }
    if host.is_empty() {
        // HTTP/1.0 without a Host: HTTP/1.1, which the origin is spoken to in, needs one.
        request.insert_header("Host", server)?;
        request.remove_header("x-forwarded-host");
    } else {
        // In the spelling of the key: an origin that repeats its Host must not be able to tell two spellings apart.
        request.insert_header("Host", &host)?;
        request.insert_header("X-Forwarded-Host", &host)?;
    }
    let (hops, elements) = before(request, arrival);
    request
        .insert_header("X-Forwarded-For", forwarded::append_forwarded_for(hops.as_deref(), arrival.peer))?;
    request.insert_header("X-Forwarded-Proto", scheme)?;
    request.insert_header("X-Real-IP", arrival.client.to_canonical().to_string())?;
    let element = forwarded::element(arrival.peer, &host, scheme);
    request.insert_header("Forwarded", forwarded::append(elements.as_deref(), &element))?;
    request.insert_header("X-Request-Id", arrival.id.as_str())?;
    let version = match view.protocol {
        Protocol::Http10 => "1.0",
        Protocol::Http11 => "1.1",
        Protocol::H2 => "2.0",
    };
    request.append_header("Via", format!("{version} {PSEUDONYM}"))?;
    Ok(())
}

/// What comes before the peer in X-Forwarded-For and in Forwarded: what a trusted proxy wrote. Of the two only one was
/// heard (`http::hops`); the other may be the client's own, and says the same in place of what came under its name.
fn before(request: &RequestHeader, arrival: &Arrival) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let joined = |name: &str| {
        let lines: Vec<&[u8]> = request.headers.get_all(name).iter().map(|line| line.as_bytes()).collect();
        (!lines.is_empty()).then(|| lines.join(&b", "[..]))
    };
    let named = (arrival.client != arrival.peer).then_some(arrival.client.to_canonical());
    let written = (joined("x-forwarded-for"), joined("forwarded"));
    match written {
        _ if !arrival.trusted => (None, None),
        (None, elements) => (named.map(|client| client.to_string().into_bytes()), elements),
        (hops, _) => {
            let element = |client| forwarded::element(client, "", arrival.scheme.as_str()).into_bytes();
            (hops, named.map(element))
        }
    }
}

/// Fields by which a proxy tells an application what was asked. From anybody else they are a way to have one page made
/// and stored under the key of another: no key has them.
const OF_PROXIES: [&str; 11] = [
    "x-forwarded-port",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-forwarded-path",
    "x-original-url",
    "x-original-host",
    "x-rewrite-url",
    "x-http-method-override",
    "x-host",
];

/// Host in lower case, with the port if it is not the scheme's own.
fn authority(view: &RequestView<'_>) -> String {
    let host = view.host.to_ascii_lowercase();
    if view.port == view.scheme.default_port() { host } else { format!("{host}:{}", view.port) }
}

/// Takes cookies out of what the origin sees, as a rule says.
pub fn strip_cookies(request: &mut RequestHeader, strip: &StripCookies) -> Result<()> {
    if *strip == StripCookies::No {
        return Ok(());
    }
    let kept = strip.rest(Fields::Map(&request.headers));
    match kept {
        Some(cookies) => request.insert_header("Cookie", cookies)?,
        None => drop(request.remove_header("cookie")),
    }
    Ok(())
}

/// The path that the origin is asked for; the query stays as it is. What makes no valid target is left alone.
pub fn rewrite(request: &mut RequestHeader, rewrite: &Rewrite, view: &RequestView<'_>) {
    let path = rewrite.apply(view.path);
    let target = match view.query {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    };
    match request.set_raw_path(target.as_bytes()) {
        Ok(()) => {}
        Err(error) => log::warn!("a rewritten path is not one that can be sent: {error}"),
    }
}

/// A fetch asks for one form of the body, whoever caused it: all its readers share what comes, and other forms are made
/// here. What a client can take is no business of the origin then.
pub fn ask_for_form(request: &mut RequestHeader, form: Option<Coding>) -> Result<()> {
    request.insert_header("Accept-Encoding", form.map_or("identity", Coding::token))
}

/// The fields of a response as the origin spelled them.
pub fn list(response: &ResponseHeader) -> Vec<(&str, &[u8])> {
    if !response.has_case() {
        return response.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    }
    let spelled = response.case_header_iter();
    spelled
        .map(|(name, value)| (std::str::from_utf8(name.as_slice()).unwrap_or_default(), value.as_bytes()))
        .collect()
}

/// Takes out what concerns only the connection to the origin (RFC 9110 §7.6.1). A 101 keeps its upgrade fields.
pub fn strip_hop_by_hop(response: &mut ResponseHeader) {
    let upgrade = response.status == http::StatusCode::SWITCHING_PROTOCOLS;
    let named: Vec<String> =
        hop_by_hop::named_by_connection(response.headers.get_all("connection").iter().map(|v| v.as_bytes()))
            .map(str::to_ascii_lowercase)
            .collect();
    for name in named.iter().filter(|name| !(upgrade && *name == "upgrade")) {
        response.remove_header(name.as_str());
    }
    for name in ["keep-alive", "proxy-connection", "te", "trailer", "proxy-authenticate"] {
        response.remove_header(name);
    }
    if !upgrade {
        response.remove_header("upgrade");
        response.remove_header("connection");
    }
}

/// Marks a response from the store or from a file: its age or its date, what the cache did, and under which id.
pub fn from_store(
    response: &mut ResponseHeader,
    head: &StoredHead,
    outcome: &Outcome,
    origin: Option<u16>,
    arrival: &Arrival,
    shows_age: bool,
) -> Result<()> {
    if outcome.kind == Kind::File {
        // It comes from its origin, which is here: its age is none, and its date now.
        response.insert_header("Date", date::format(arrival.unix_millis / 1000).as_slice())?;
        return what_became(response, outcome, origin, arrival);
    }
    let age = outcome.age.unwrap_or(0);
    response.insert_header("Age", http::HeaderValue::from(age))?;
    // A browser takes off the age that it is shown.
    if let Some(max_age) = head.max_age(if shows_age { age } else { 0 }) {
        response.insert_header("Cache-Control", format!("max-age={max_age}"))?;
    }
    what_became(response, outcome, origin, arrival)
}

/// What the cache did (RFC 9211), and the id by which a person finds it in the log.
fn what_became(
    response: &mut ResponseHeader,
    outcome: &Outcome,
    origin: Option<u16>,
    arrival: &Arrival,
) -> Result<()> {
    let mut status = Vec::with_capacity(64);
    labels::cache_status(outcome, origin, arrival.trusted, &mut status);
    if !status.is_empty() {
        response.append_header("Cache-Status", status)?;
    }
    response.insert_header("X-Request-Id", arrival.id.as_str())
}

/// The fields of a response that are stored, with our Via and, if the origin gave none, the time it was received
/// (RFC 9110 §6.6.1). Age and Content-Length are told afresh with every answer.
pub fn stored<'a>(
    fields: &[(&'a str, &'a [u8])],
    date: &'a [u8],
    lifetime: Option<&'a str>,
    rules: &'a Stored<'_>,
) -> object::Fields<'a> {
    let storable = |name: &str| !is_ours(name) && !hop_by_hop::never_stored(name) && !rules.strips(name);
    let fields = fields.iter().copied().filter(|(name, _)| storable(name));
    let (hidden, kept): (Vec<_>, Vec<_>) = fields.partition(|(name, _)| rules.replaces(name));
    let mut added: Vec<_> = rules.additions.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    added.retain(|(name, _)| !is_ours(name));
    let has = |added: &[_], name| has(&kept, name) || has(added, name);
    if !has(&added, "date") {
        added.push(("Date", date));
    }
    // Whoever reads only Expires would count from a Date that a later hop may rewrite; max-age does not depend on it.
    if let Some(max_age) = lifetime
        && !has(&added, "cache-control")
    {
        added.push(("Cache-Control", max_age.as_bytes()));
    }
    added.push(("Via", VIA.as_bytes()));
    object::Fields { kept, added, hidden }
}

fn has(fields: &[(&str, &[u8])], name: &str) -> bool {
    fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
}

/// Fields that we write anew with every answer.
fn is_ours(name: &str) -> bool {
    ["age", "content-length", "x-request-id"].iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

/// Marks a response that was not stored: who it came through, what the cache did, and under which id.
pub fn pass(response: &mut ResponseHeader, request: &RequestHeader, ctx: &Ctx) -> Result<()> {
    if let Some((plan, arrival, route)) = ctx.cause() {
        response.append_header("Via", VIA)?;
        if let Ok(view) = view::of(request, arrival.scheme, arrival.client) {
            let status = response.status.as_u16();
            Stored::by(&ctx.ruled(), &view, plan.route_name(route), status).pass(response)?;
        }
        let rule = ctx.ruled().name().cloned();
        what_became(response, &Outcome { rule, ..ctx.outcome.clone() }, ctx.origin.status, arrival)?;
        of_listener(response, plan, arrival)?;
        of_route(response, request, plan, route, arrival)?;
    }
    fit_protocol(response, request);
    Ok(())
}

/// The field in which a listener has browsers come over https only (RFC 6797 §6.1).
pub const HSTS: &str = "Strict-Transport-Security";

/// What the listener says in every answer, in place of what an origin says about it.
pub fn of_listener(response: &mut ResponseHeader, plan: &Plan, arrival: &Arrival) -> Result<()> {
    match plan.hsts(arrival.listener, arrival.scheme) {
        Some(hsts) => response.insert_header(HSTS, hsts.clone()),
        None => Ok(()),
    }
}

/// Whether answers of a route keep their Age field.
pub fn shows_age(plan: &Plan, route: usize) -> bool {
    plan.routes.get(route).is_none_or(|route| !route.setup.response_headers.removes("age"))
}

/// What the route changes in every answer.
pub fn of_route(
    response: &mut ResponseHeader,
    request: &RequestHeader,
    plan: &Plan,
    route: usize,
    arrival: &Arrival,
) -> Result<()> {
    let Some(setup) = plan.routes.get(route).map(|route| &route.setup) else { return Ok(()) };
    if setup.response_headers.is_empty() {
        return Ok(());
    }
    match view::of(request, arrival.scheme, arrival.client) {
        Ok(view) => Edit::new(&setup.response_headers, plan, &setup.name, &view, arrival).response(response),
        Err(_) => Ok(()),
    }
}

/// A client of HTTP/1.0 cannot read chunks: its answer ends with the connection instead.
fn fit_protocol(response: &mut ResponseHeader, request: &RequestHeader) {
    if request.version <= http::Version::HTTP_10 {
        response.remove_header("transfer-encoding");
    }
}
