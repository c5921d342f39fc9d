//! What a request gets of what the cache found, and of what a fetch brought: pure, so that a rehearsal turns where
//! serving does.

use crate::cache::object::Object;
use crate::cache::policy::{self, RequestDirectives};
use crate::cache::store::fill::{Failure, Fill, FillReader, Verdict};
use crate::cache::{Ask, Found, may_share};
use crate::http::accept_encoding::{self, Coding};
use crate::http::fields::Fields;
use crate::verdict::{BypassWhy, Kind, MissWhy, NotStored, Outcome, Reason, StaleWhy, Stored, Transport};
use std::sync::Arc;

/// How often a client that waited in vain for somebody else's variant asks again.
pub const ROUNDS: usize = 3;

/// What somebody is told who wants what is stored or nothing, and nothing is.
pub const NOT_CACHED: &str = "not in the cache, and the request asks for nothing else";

/// What a request gets of what the cache found.
pub enum Turn {
    /// A fetch; perhaps there is something to validate, or to fall back on.
    Fetch(MissWhy, Option<Arc<Object>>),
    /// What is just coming in.
    Join(FillReader),
    /// Nothing: it wants what is stored or nothing (RFC 9111 §5.2.1.7).
    Nothing(MissWhy),
    /// What is stored, past its lifetime, while it is refreshed (RFC 5861 §3).
    Refresh(Arc<Object>),
    /// What is stored.
    Serve(Arc<Object>, Kind, Reason),
    /// What the origin says, past the cache.
    Straight(Kind, Reason, Option<Stored>),
}

/// Where a request turns.
pub fn turn(found: Found, directives: &RequestDirectives) -> Turn {
    match found {
        Found::Hit(object) => Turn::Serve(object, Kind::Hit, Reason::None),
        Found::Filling(reader) => Turn::Join(reader),
        Found::Stale(object, StaleWhy::Revalidating) => Turn::Refresh(object),
        Found::Stale(object, why) => Turn::Serve(object, Kind::Stale, Reason::Stale(why)),
        Found::Forbidden => Turn::Straight(Kind::Bypass, Reason::Bypass(BypassWhy::Authorization), None),
        Found::HitForMiss(why) => {
            Turn::Straight(Kind::HitForMiss, Reason::Miss(MissWhy::Absent), Some(Stored::No(why)))
        }
        Found::Miss(why, _) if directives.only_if_cached => Turn::Nothing(why),
        Found::Miss(why, object) => Turn::Fetch(why, object),
    }
}

/// What the one who sent a fetch out is given when its verdict is there.
pub enum Led {
    /// The stored response that the origin confirmed.
    Confirmed(Arc<Object>),
    /// An error page.
    Error(u16),
    /// The response as it comes in and is stored.
    Incoming,
    /// The response as it comes in, which is not stored.
    PassOn,
    /// Another look at the cache.
    Again,
    /// What is stored, in place of the origin's failure; and the status that the origin answered with.
    Stale(Arc<Object>, StaleWhy, Option<u16>),
    /// An answer of its own from the origin, past the cache.
    Straight,
}

/// What the verdict on a fetch means for the one who sent it out. `origin` is the status that came back, `form` the
/// compression that was asked for, `stale` what was there to validate.
pub fn led(
    verdict: Verdict,
    fill: &Fill,
    ask: &Ask<'_>,
    origin: Option<u16>,
    form: Option<Coding>,
    stale: Option<Arc<Object>>,
) -> Led {
    let reads = |coding| accept_encoding::parse(ask.fields.all("accept-encoding")).accepts(coding);
    match verdict {
        // It was asked for in a compression that this client may not be able to read.
        Verdict::NotStored(_) if form.is_some_and(|coding| !reads(coding)) => Led::Straight,
        // The fetch asked for the whole and without conditions: ask again, for what this client wants.
        Verdict::NotStored(_) if origin == Some(304) || wants_part(ask.fields) => Led::Straight,
        Verdict::NotStored(_) => Led::PassOn,
        verdict => shared(verdict, fill, ask, stale),
    }
}

/// What it means for anybody who waited, where there is something to share.
pub fn shared(verdict: Verdict, fill: &Fill, ask: &Ask<'_>, stale: Option<Arc<Object>>) -> Led {
    if let Verdict::Failed(failure) = verdict {
        return failed(failure, stale, ask.now);
    }
    if !may_share(fill, ask) {
        return Led::Again;
    }
    match fill.resolved() {
        Some(object) if verdict == Verdict::Revalidated => Led::Confirmed(object.clone()),
        _ => Led::Incoming,
    }
}

/// The origin failed: something stale if policy allows (RFC 5861 §4), an error page otherwise.
fn failed(failure: Failure, stale: Option<Arc<Object>>, now: u64) -> Led {
    match stale.filter(|object| covers(Some(object), now)) {
        Some(object) => {
            let status = (failure.why == StaleWhy::Origin5xx).then_some(failure.status);
            Led::Stale(object, failure.why, status)
        }
        None => Led::Error(failure.status),
    }
}

/// Whether something stale may stand in for a failed origin.
pub fn covers(stale: Option<&Object>, now: u64) -> bool {
    stale.is_some_and(|object| policy::may_serve_on_error(&object.head.times, now))
}

fn wants_part(fields: Fields<'_>) -> bool {
    ["range", "if-none-match", "if-modified-since", "if-match", "if-unmodified-since"]
        .iter()
        .any(|name| fields.has(name))
}

/// What the log says once the one who sent the fetch out knows the verdict.
pub fn account(outcome: &mut Outcome, verdict: Verdict) {
    match verdict {
        Verdict::Failed(_) | Verdict::Pending => {}
        Verdict::NotStored(why) => outcome.stored = Some(Stored::No(why)),
        Verdict::Revalidated => (outcome.kind, outcome.stored) = (Kind::Revalidated, Some(Stored::Yes)),
        Verdict::Storing => outcome.stored = Some(Stored::Yes),
    }
}

/// What was to be stored and is lost after all.
pub fn correct(outcome: &mut Outcome, fill: &Fill) {
    if let Some(why) = fill.lost().filter(|_| outcome.stored == Some(Stored::Yes)) {
        outcome.stored = Some(Stored::No(why));
    }
}

/// A fetch that nobody waits for is logged under its own name.
pub fn refreshed(fill: &Fill) -> Outcome {
    let mut outcome = Outcome::new(Transport::Refresh, Kind::Miss, Reason::Miss(MissWhy::Expired));
    let verdict = fill.progress().verdict;
    account(&mut outcome, verdict);
    correct(&mut outcome, fill);
    match verdict {
        Verdict::Failed(failure) => outcome.reason = Reason::Stale(failure.why),
        Verdict::Pending => outcome.stored = Some(Stored::No(NotStored::Incomplete)),
        Verdict::NotStored(_) | Verdict::Revalidated | Verdict::Storing => {}
    }
    outcome
}
