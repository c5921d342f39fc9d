//! Answers by itself what it fully understands, and says why it leaves the rest to the proxy.

use crate::cache::object::Object;
use crate::cache::{Found, policy};
use crate::edge::Edge;
use crate::edge::ctx::Handoff;
use crate::edge::decide::{ask, decide};
use crate::edge::form;
use crate::edge::offhand::{Candidate, answerable, candidate};
use crate::edge::{Arrival, Own, file, own};
use crate::http::request::RequestView;
use crate::plan::Plan;
use crate::verdict::{Decision, Kind, Outcome, Reason, Transport};
use std::sync::Arc;

/// What the front makes of a request.
pub enum Considered {
    /// It answers with this object.
    Answer(Hit),
    /// It answers by itself, without any object.
    Own(Arc<Plan>, usize, Own, Outcome),
    /// It leaves the request to the proxy, with all it has found out.
    Leave(Box<Handoff>),
}

/// A request that an object in memory answers.
pub struct Hit {
    /// The plan that decided.
    pub plan: Arc<Plan>,
    /// The route.
    pub route: usize,
    /// What is stored.
    pub object: Arc<Object>,
    /// What the log will say.
    pub outcome: Outcome,
}

/// Decides, looks into memory, and answers or leaves it. Counts which.
pub fn consider(edge: &Edge, plan: Arc<Plan>, view: &RequestView<'_>, arrival: &Arrival) -> Considered {
    let cache = &edge.state.cache;
    let listener = plan.listeners.get(arrival.listener);
    let https = listener.and_then(|listener| listener.redirect_https);
    let decision = decide(&plan, &cache.recipe(), view, https);
    if !listener.is_some_and(|listener| listener.front) {
        return leave(plan, decision, arrival, None);
    }
    let (found, result) = match candidate(&decision, view) {
        Err(why) => (None, Err(why)),
        Ok(Candidate::Answer(answer)) => {
            edge.state.metrics.front(Ok(Kind::Answer));
            let own = own(&plan, decision.route, answer, view, arrival);
            let reason = answer.refused().map_or(Reason::None, Reason::Refused);
            let mut outcome = Outcome::new(Transport::Front, Kind::Answer, reason);
            outcome.status = own.status;
            return Considered::Own(plan, decision.route, own, outcome);
        }
        Ok(Candidate::File) => {
            let ready = file::ready(&plan, cache, decision.route, view, arrival.unix_millis / 1000);
            let settings = plan.compress(decision.route).map(|settings| &**settings);
            let formed = ready.and_then(|object| {
                form::at_once(settings, object, view.fields, view.protocol, &edge.state.load)
            });
            let result = formed.map(|object| {
                let mut outcome = Outcome::new(Transport::Front, Kind::File, Reason::None);
                outcome.status = object.head.status;
                (object, outcome)
            });
            (None, result)
        }
        Ok(Candidate::Stored(key)) => {
            let ruled = plan.ruled(decision.route, decision.terms);
            let ask = ask(&ruled, view.fields, key, arrival.unix_millis / 1000);
            let found = cache.lookup(&ask);
            let settings = plan.compress(decision.route).filter(|_| ruled.compress()).map(|s| &**s);
            let result = answerable(&found, view.fields, || cache.is_refreshing(&ask)).and_then(
                |(object, kind, reason)| {
                    let load = &edge.state.load;
                    let object = form::at_once(settings, object, view.fields, view.protocol, load)?;
                    let times = &object.head.times;
                    let mut outcome = Outcome::new(Transport::Front, kind, reason);
                    outcome.age = Some(policy::age(times, ask.now));
                    outcome.ttl = Some(policy::ttl(times, ask.now));
                    outcome.status = object.head.status;
                    outcome.rule = object.head.ruled.rule.as_ref().or(ruled.name()).cloned();
                    Ok((object, outcome))
                },
            );
            (Some(found), result)
        }
    };
    match result {
        Ok((object, outcome)) => {
            // Stale or fresh, it came from memory; the word `stale` is what the other list says of declined requests.
            let kind = if outcome.kind == Kind::File { Kind::File } else { Kind::Hit };
            edge.state.metrics.front(Ok(kind));
            Considered::Answer(Hit { plan, route: decision.route, object, outcome })
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
