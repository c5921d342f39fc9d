//! What can be answered without an origin and without waiting: pure, so that explain says what the front would do.

use crate::cache::Found;
use crate::cache::object::Object;
use crate::http::fields::Fields;
use crate::http::request::{Framing, RequestView};
use crate::verdict::{Action, Answer, BypassWhy, CacheUse, Decision, Declined, Key, Kind, Reason, StaleWhy};
use std::sync::Arc;

/// What may answer without an origin.
pub enum Candidate<'a> {
    /// We ourselves.
    Answer(Answer),
    /// A file of the route's folder.
    File,
    /// What is stored under a key.
    Stored(&'a Key),
}

/// What the front may look at at all.
///
/// # Errors
/// Why it leaves the request to the proxy.
pub fn candidate<'a>(decision: &'a Decision, view: &RequestView<'_>) -> Result<Candidate<'a>, Declined> {
    match (&decision.action, &decision.cache) {
        // What has a body would have to be read first.
        (Action::Answer(_) | Action::Files, _) if view.framing != Framing::None => Err(Declined::Body),
        (Action::Answer(answer), _) => Ok(Candidate::Answer(*answer)),
        (Action::Files, _) => Ok(Candidate::File),
        (Action::Proxy, CacheUse::Use(key)) => Ok(Candidate::Stored(key)),
        (Action::Proxy, CacheUse::Bypass(why)) => Err(match why {
            BypassWhy::Method => Declined::Method,
            BypassWhy::Body => Declined::Body,
            BypassWhy::Upgrade => Declined::Upgrade,
            _ => Declined::Rule,
        }),
    }
}

/// The object, if it answers the request as it is: fresh, or stale while somebody refreshes it already.
///
/// # Errors
/// Why the front leaves the request to the proxy.
pub fn answerable(
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
    whole(fields)?;
    Ok((object.clone(), kind, reason))
}

/// Whether the request asks for the whole, without a condition.
///
/// # Errors
/// What it asks for instead.
pub fn whole(fields: Fields<'_>) -> Result<(), Declined> {
    match fields.ask_for_part() {
        false => Ok(()),
        true if fields.has("range") => Err(Declined::Range),
        true => Err(Declined::Conditional),
    }
}
