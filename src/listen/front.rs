//! Answers by itself what it fully understands, and says why it leaves the rest to the proxy.

use crate::cache::object::Object;
use crate::cache::{Found, policy};
use crate::edge::Edge;
use crate::edge::ctx::{Arrival, Handoff};
use crate::edge::decide::decide;
use crate::edge::labels;
use crate::edge::serve::ask_of;
use crate::http::fields::Fields;
use crate::http::request::RequestView;
use crate::plan::Plan;
use crate::verdict::{
    Action, BypassWhy, CacheUse, Decision, Declined, Kind, Outcome, Reason, StaleWhy, Transport,
};
use std::sync::Arc;

/// What the front makes of a request.
pub enum Considered {
    /// It answers with this object.
    Answer(Arc<Plan>, usize, Arc<Object>, Outcome),
    /// It leaves the request to the proxy, with all it has found out.
    Leave(Box<Handoff>),
}

/// Decides, looks into memory, and answers or leaves it. Counts which.
pub fn consider(edge: &Edge, enabled: bool, view: &RequestView<'_>, arrival: &Arrival) -> Considered {
    let plan = edge.plan.load_full();
    let cache = &edge.state.cache;
    let decision = decide(&plan, &cache.recipe(), view);
    if !enabled {
        return leave(plan, decision, arrival, None);
    }
    let (found, result) = match candidate(&decision) {
        Err(why) => (None, Err(why)),
        Ok(key) => {
            let ask = ask_of(view.fields, key, arrival.unix_millis / 1000);
            let found = cache.lookup(&ask);
            let result = answerable(&found, view.fields, || cache.is_refreshing(&ask)).map(
                |(object, kind, reason)| {
                    let times = &object.head.times;
                    let mut outcome = Outcome::new(Transport::Front, kind, reason);
                    outcome.age = Some(policy::age(times, ask.now));
                    outcome.ttl = Some(policy::ttl(times, ask.now));
                    outcome.status = object.head.status;
                    (object, outcome)
                },
            );
            (Some(found), result)
        }
    };
    match result {
        Ok((object, outcome)) => {
            // Stale or fresh, it came from memory; the word `stale` is what the other list says of declined requests.
            edge.state.metrics.front(Ok(Kind::Hit));
            Considered::Answer(plan, decision.route, object, outcome)
        }
        Err(why) => {
            edge.state.metrics.front(Err(why));
            leave(plan, decision, arrival, found)
        }
    }
}

fn leave(plan: Arc<Plan>, decision: Decision, arrival: &Arrival, found: Option<Found>) -> Considered {
    Considered::Leave(Box::new(Handoff { plan, arrival: arrival.clone(), decision, found, last: false }))
}

/// The key, if a stored response may answer at all.
fn candidate(decision: &Decision) -> Result<&crate::verdict::Key, Declined> {
    match (&decision.action, &decision.cache) {
        (Action::Answer(_), _) => Err(Declined::Body),
        (Action::Proxy, CacheUse::Use(key)) => Ok(key),
        (Action::Proxy, CacheUse::Bypass(why)) => Err(match why {
            BypassWhy::Method => Declined::Method,
            BypassWhy::Body => Declined::Body,
            BypassWhy::Upgrade => Declined::Upgrade,
            _ => Declined::Rule,
        }),
    }
}

/// The object, if it answers the request as it is: fresh, or stale while somebody refreshes it already.
fn answerable(
    found: &Found,
    fields: Fields<'_>,
    refreshing: impl FnOnce() -> bool,
) -> Result<(Arc<Object>, Kind, Reason), Declined> {
    let (object, kind, reason) = match found {
        Found::Hit(object) => (object, Kind::Hit, Reason::None),
        Found::Stale(object, why @ StaleWhy::Revalidating) if refreshing() => {
            (object, Kind::Stale, Reason::Stale(*why))
        }
        Found::Stale(..) => return Err(Declined::Stale),
        Found::Forbidden | Found::HitForMiss(_) => return Err(Declined::Rule),
        Found::Filling(_) | Found::Miss(..) => return Err(Declined::Absent),
    };
    if fields.ask_for_part() {
        return Err(if fields.has("range") { Declined::Range } else { Declined::Conditional });
    }
    Ok((object.clone(), kind, reason))
}

/// Writes the head of an answer from memory, ready for the wire: one copy of what was prepared when it was stored.
pub fn wire_head(object: &Object, outcome: &Outcome, id: &str, connection: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(object.head.wire());
    if object.head.status != 204 {
        number(out, b"Content-Length: ", object.body.len());
    }
    number(out, b"Age: ", outcome.age.unwrap_or(0));
    out.extend_from_slice(b"Cache-Status: ");
    labels::cache_status(outcome, None, out);
    out.extend_from_slice(b"\r\nX-Request-Id: ");
    out.extend_from_slice(id.as_bytes());
    if let Some(connection) = connection {
        out.extend_from_slice(b"\r\nConnection: ");
        out.extend_from_slice(connection.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
}

fn number(out: &mut Vec<u8>, name: &[u8], value: u64) {
    out.extend_from_slice(name);
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
    out.extend_from_slice(b"\r\n");
}
