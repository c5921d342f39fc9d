//! Writes the heads of the front's answers as they go over HTTP/1.

use crate::cache::object::StoredHead;
use crate::edge::edit::Edit;
use crate::edge::headers::HSTS;
use crate::edge::{Arrival, Own, labels};
use crate::http::date;
use crate::http::request::RequestView;
use crate::plan::Plan;
use crate::verdict::{Kind, Outcome};

/// What every head needs beside what is in it.
pub struct Frame<'a> {
    /// The plan that decided.
    pub plan: &'a Plan,
    /// The route.
    pub route: usize,
    /// The request.
    pub view: &'a RequestView<'a>,
    /// Where it came from.
    pub arrival: &'a Arrival,
    /// What the Connection field says, where it must say something.
    pub connection: Option<&'static str>,
}

impl Frame<'_> {
    /// What the listener has to say about https.
    fn hsts(&self) -> Option<&http::HeaderValue> {
        self.plan.hsts(self.arrival.listener, self.arrival.scheme)
    }
}

/// The head of an answer from memory: one copy of what was prepared when it was stored, where nothing is edited.
pub fn stored(frame: &Frame<'_>, head: &StoredHead, length: u64, outcome: &Outcome, out: &mut Vec<u8>) {
    let setup = frame.plan.routes.get(frame.route).map(|route| &*route.setup);
    let edit = setup
        .filter(|setup| !setup.response_headers.is_empty())
        .map(|setup| Edit::new(&setup.response_headers, frame.plan, &setup.name, frame.view, frame.arrival));
    let removed = |name: &str| edit.as_ref().is_some_and(|edit| edit.edits.removes(name));
    // RFC 6797 §6.1: one field, and what the listener says takes the place of the origin's.
    let replaced = frame.hsts().is_some() && head.first(HSTS).is_some();
    if edit.is_none() && !replaced {
        out.extend_from_slice(head.wire());
        ours(frame, head, length, outcome, out, |_| false);
    } else {
        let stays = |name: &str| !(removed(name) || replaced && name.eq_ignore_ascii_case(HSTS));
        out.extend_from_slice(head.status_line());
        for (name, value) in head.shown_fields().filter(|(name, _)| stays(name)) {
            field(out, name, value);
        }
        ours(frame, head, length, outcome, out, removed);
    }
    for (name, value) in edit.iter().flat_map(Edit::additions) {
        field(out, name, &value);
    }
    end(frame, out);
}

/// The fields that differ from answer to answer.
fn ours(
    frame: &Frame<'_>,
    head: &StoredHead,
    length: u64,
    outcome: &Outcome,
    out: &mut Vec<u8>,
    removed: impl Fn(&str) -> bool,
) {
    if head.status != 204 {
        number(out, b"Content-Length: ", length);
    }
    if outcome.kind != Kind::File {
        from_store(frame, head, outcome, out, &removed);
    } else if !removed("date") {
        field(out, "Date", &date::format(frame.arrival.unix_millis / 1000));
    }
    if !removed("x-request-id") {
        field(out, "X-Request-Id", frame.arrival.id.as_bytes());
    }
    if let Some(hsts) = frame.hsts().filter(|_| !removed(HSTS)) {
        field(out, HSTS, hsts.as_bytes());
    }
}

/// How old it is that comes from the store, and what the cache did.
fn from_store(
    frame: &Frame<'_>,
    head: &StoredHead,
    outcome: &Outcome,
    out: &mut Vec<u8>,
    removed: impl Fn(&str) -> bool,
) {
    let age = outcome.age.unwrap_or(0);
    if !removed("age") {
        number(out, b"Age: ", age);
    }
    if let Some(max_age) =
        head.max_age(if removed("age") { 0 } else { age }).filter(|_| !removed("cache-control"))
    {
        number(out, b"Cache-Control: max-age=", max_age);
    }
    if !removed("cache-status") {
        out.extend_from_slice(b"Cache-Status: ");
        labels::cache_status(outcome, None, frame.arrival.trusted, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// The head of an answer of our own.
pub fn own(frame: &Frame<'_>, own: &Own, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    digits(out, own.status.into());
    out.push(b' ');
    let reason = http::StatusCode::from_u16(own.status).ok().and_then(|status| status.canonical_reason());
    out.extend_from_slice(reason.unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in &own.fields {
        field(out, name, value);
    }
    end(frame, out);
}

fn end(frame: &Frame<'_>, out: &mut Vec<u8>) {
    if let Some(connection) = frame.connection {
        field(out, "Connection", connection.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, name: &[u8], value: u64) {
    out.extend_from_slice(name);
    digits(out, value);
    out.extend_from_slice(b"\r\n");
}

fn digits(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
