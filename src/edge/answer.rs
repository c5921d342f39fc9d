//! Answers that need no origin: what a route says, a page for what no route takes, and refusals.

use super::arrival::Arrival;
use super::ctx::Ctx;
use super::edit::Edit;
use super::headers::HSTS;
use super::{fail, page, view};
use crate::http::date;
use crate::http::request::{Framing, RequestView, Scheme};
use crate::plan::Plan;
use crate::setup;
use crate::verdict::{Answer, By, Kind, Reason};
use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType, Result};
use std::borrow::Cow;

/// How long a browser keeps a redirect to https: an hour, as behind Cloudflare. Told nothing it keeps a 308 for good
/// (RFC 9110 §15.4.9), even when nobody listens there any more; told not to, it sends every click in the clear first.
/// Browsers only: a shared cache that asks us over http, however it was asked, would send those to https who have come
/// over it, in circles, and would go on when the setting is mended.
const KEPT: &str = "private, max-age=3600";

/// An answer of our own, ready but for its Connection field.
pub struct Own {
    /// Its status.
    pub status: u16,
    /// Its fields, the length included.
    pub fields: Vec<(Cow<'static, str>, Vec<u8>)>,
    /// Its body.
    pub body: Bytes,
}

/// What is said instead of asking an origin.
pub fn own(plan: &Plan, route: usize, decided: Answer, view: &RequestView<'_>, arrival: &Arrival) -> Own {
    let page = |detail| page_of(decided.status, detail, view.fields.first("accept"), plan, arrival);
    let setup = plan.routes.get(route).filter(|_| route != plan.nowhere()).map(|route| &*route.setup);
    match (decided.by, setup.map(|setup| (setup, &setup.action))) {
        (By::Listener(port), _) => to_https(decided.status, port, view, plan, arrival),
        (By::Refusal(why), _) => page(fail::refusal_detail(why)),
        (By::Route, Some((setup, setup::Action::Answer(answer)))) => {
            of_route(plan, setup, answer, view, arrival)
        }
        (By::Route, Some((setup, setup::Action::Files(_)))) => {
            of_files(plan, setup, decided.status, view, arrival)
        }
        (By::Route, _) => page("no route takes this request"),
    }
}

/// The same URL with https. No route changes it: what routes say is for those who arrive there.
fn to_https(status: u16, port: u16, view: &RequestView<'_>, plan: &Plan, arrival: &Arrival) -> Own {
    let mut fields: Vec<(Cow<'static, str>, Vec<u8>)> =
        vec![("Location".into(), https_url(port, view).into_bytes()), ("Cache-Control".into(), KEPT.into())];
    framed(&mut fields, status, 0, plan, arrival);
    Own { status, fields, body: Bytes::new() }
}

/// What a request over http would ask for over https.
pub fn https_url(port: u16, view: &RequestView<'_>) -> String {
    let host = view.host.to_ascii_lowercase();
    let port = if port == Scheme::Https.default_port() { String::new() } else { format!(":{port}") };
    // RFC 9110 §7.1: the asterisk of OPTIONS stands for a URL without a path.
    let path = if view.path == "*" { "" } else { view.path };
    let query = view.query.map_or(String::new(), |query| format!("?{query}"));
    format!("https://{host}{port}{path}{query}")
}

fn of_route(
    plan: &Plan,
    setup: &setup::Route,
    answer: &setup::Answer,
    view: &RequestView<'_>,
    arrival: &Arrival,
) -> Own {
    let edit = Edit::new(&setup.response_headers, plan, &setup.name, view, arrival);
    let mut fields: Vec<(Cow<'static, str>, Vec<u8>)> = Vec::with_capacity(8);
    for (name, template) in &answer.fields {
        let mut value = template.value(&edit.values);
        if name.eq_ignore_ascii_case("location") && !template.to_string().starts_with("//") {
            one_slash(&mut value);
        }
        fields.push((name.to_string().into(), value));
    }
    let typed = fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !typed && !answer.body.is_empty() {
        fields.push(("Content-Type".into(), b"text/plain; charset=utf-8".to_vec()));
    }
    framed(&mut fields, answer.status, answer.body.len(), plan, arrival);
    edit.fields(&mut fields);
    Own { status: answer.status, fields, body: answer.body.clone() }
}

/// What may be done with files, to whoever asks for that or tries something else (RFC 9110 §15.5.6).
fn of_files(
    plan: &Plan,
    setup: &setup::Route,
    status: u16,
    view: &RequestView<'_>,
    arrival: &Arrival,
) -> Own {
    let mut own = match status {
        204 => {
            let mut fields = Vec::new();
            framed(&mut fields, status, 0, plan, arrival);
            Own { status, fields, body: Bytes::new() }
        }
        _ => page_of(status, "files can only be read", view.fields.first("accept"), plan, arrival),
    };
    own.fields.push(("Allow".into(), b"GET, HEAD, OPTIONS".to_vec()));
    Edit::new(&setup.response_headers, plan, &setup.name, view, arrival).fields(&mut own.fields);
    own
}

/// An answer of ours on a route that is no page of an error: these fields and this body, changed as the route says.
pub(super) fn on_route(
    plan: &Plan,
    route: usize,
    status: u16,
    mut fields: Vec<(Cow<'static, str>, Vec<u8>)>,
    body: Bytes,
    view: &RequestView<'_>,
    arrival: &Arrival,
) -> Own {
    framed(&mut fields, status, body.len(), plan, arrival);
    edited(plan, route, Own { status, fields, body }, view, arrival)
}

/// A page of ours on a route, changed as the route says.
pub(super) fn page_on_route(
    plan: &Plan,
    route: usize,
    status: u16,
    detail: &str,
    view: &RequestView<'_>,
    arrival: &Arrival,
) -> Own {
    let mut own = page_of(status, detail, view.fields.first("accept"), plan, arrival);
    if status == 503 {
        own.fields.push(("Retry-After".into(), page::RETRY_AFTER.into()));
    }
    edited(plan, route, own, view, arrival)
}

fn edited(plan: &Plan, route: usize, mut own: Own, view: &RequestView<'_>, arrival: &Arrival) -> Own {
    if let Some(setup) = plan.routes.get(route).map(|route| &route.setup) {
        Edit::new(&setup.response_headers, plan, &setup.name, view, arrival).fields(&mut own.fields);
    }
    own
}

/// A path that a client wrote with two slashes must not become the name of a host (RFC 3986 §4.2).
pub(super) fn one_slash(location: &mut Vec<u8>) {
    let slashes = location.iter().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
    if slashes > 1 {
        location.drain(..slashes - 1);
        location[0] = b'/';
    }
}

fn page_of(status: u16, detail: &str, accept: Option<&[u8]>, plan: &Plan, arrival: &Arrival) -> Own {
    let page = page::page(status, detail, arrival.id.as_str(), accept);
    let mut fields: Vec<(Cow<'static, str>, Vec<u8>)> = vec![
        ("Content-Type".into(), page.content_type.into()),
        ("Cache-Control".into(), b"no-store".to_vec()),
    ];
    framed(&mut fields, status, page.body.len(), plan, arrival);
    Own { status, fields, body: page.body.into() }
}

/// What every answer of ours has. RFC 9110 §8.6: no length with a 204, and none is needed with a 304.
fn framed(
    fields: &mut Vec<(Cow<'static, str>, Vec<u8>)>,
    status: u16,
    length: usize,
    plan: &Plan,
    arrival: &Arrival,
) {
    let has = |fields: &[(Cow<'_, str>, _)], name| fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    if !has(fields, "date") {
        fields.push(("Date".into(), date::format(arrival.unix_millis / 1000).to_vec()));
    }
    if let Some(hsts) = plan.hsts(arrival.listener, arrival.scheme).filter(|_| !has(fields, HSTS)) {
        fields.push((HSTS.into(), hsts.as_bytes().to_vec()));
    }
    if !matches!(status, 204 | 304) {
        fields.push(("Content-Length".into(), length.to_string().into_bytes()));
    }
    fields.push(("X-Request-Id".into(), arrival.id.as_bytes().to_vec()));
}

impl Own {
    /// As a parsed head.
    pub fn header(&self) -> Result<ResponseHeader> {
        let mut header = ResponseHeader::build(self.status, Some(self.fields.len()))?;
        for (name, value) in &self.fields {
            header.append_header(name.to_string(), value.as_slice())?;
        }
        Ok(header)
    }
}

/// Executes a decision to answer by ourselves, where the front did not.
pub async fn write(s: &mut ServerSession, ctx: &mut Ctx, decided: Answer) -> Result<()> {
    let Some((plan, arrival, route)) = ctx.cause() else {
        return Error::e_explain(ErrorType::InternalError, "an answer to what nobody asked");
    };
    let request = s.req_header();
    let Ok(view) = view::of(request, arrival.scheme, arrival.client) else {
        return Error::e_explain(ErrorType::InternalError, "an answer to what cannot be read");
    };
    let own = own(plan, route, decided, &view, arrival);
    let bodied = view.framing != Framing::None;
    ctx.outcome.kind = Kind::Answer;
    ctx.outcome.reason = decided.refused().map_or(Reason::None, Reason::Refused);
    if bodied {
        // What is not read is in the way: the connection cannot go on behind it.
        s.set_keepalive(None);
    }
    put(s, ctx, own).await
}

/// Writes an answer of our own.
pub(super) async fn put(s: &mut ServerSession, ctx: &mut Ctx, own: Own) -> Result<()> {
    ctx.outcome.status = own.status;
    let head_only = s.req_header().method == http::Method::HEAD;
    s.write_response_header(Box::new(own.header()?)).await?;
    if !head_only && !own.body.is_empty() {
        s.write_response_body(own.body, false).await?;
    }
    s.finish_body().await
}
