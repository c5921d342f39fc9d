//! What is known of one request while it lives.

use super::arrival::Arrival;
use super::fetch::Errand;
use super::passing::Passing;
use super::relay::Relayed;
use crate::cache::Found;
use crate::plan::{Plan, Ruled};
use crate::upstream::{self, Endpoint, InFlight, Phase, Server, Want};
use crate::verdict::{BypassWhy, Decision, Kind, Outcome, Reason, Terms, Transport};
use smallvec::SmallVec;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the listener hands over: everything it has found out, so that nothing is decided or looked up twice.
pub struct Handoff {
    /// The plan that decided.
    pub plan: Arc<Plan>,
    /// Where the request came from.
    pub arrival: Arrival,
    /// What is to be done.
    pub decision: Decision,
    /// What the cache had, if it was asked already.
    pub found: Option<Found>,
    /// Whether the connection must end with this answer.
    pub last: bool,
}

/// What happened on the way to the origin.
#[derive(Default)]
pub struct Origin {
    /// The server of the present try.
    pub server: Option<Arc<Server>>,
    /// Its mark of being busy.
    pub in_flight: Option<InFlight>,
    /// Where it failed.
    pub tried: SmallVec<[Endpoint; 2]>,
    /// Who failed there, and how.
    pub failed: SmallVec<[(Arc<str>, Box<str>); 2]>,
    /// Connections tried.
    pub tries: u32,
    /// Of these, such on connections that their server had closed while they were idle.
    pub stale: u32,
    /// When the first try began.
    pub first_try: Option<Instant>,
    /// When the present try began.
    pub began: Option<Instant>,
    /// How long connecting took; `None` on a reused connection.
    pub connect: Option<Duration>,
    /// Whether the connection had served before.
    pub reused: bool,
    /// When the request was sent.
    pub sent: Option<Instant>,
    /// From there to the head of the response.
    pub first_byte: Option<Duration>,
    /// Status of the response.
    pub status: Option<u16>,
    /// What went wrong.
    pub failure: Option<upstream::Failure>,
}

impl Origin {
    /// How far the present try has come.
    pub fn phase(&self) -> Phase {
        match (self.sent, self.status) {
            (None, _) => Phase::Connect,
            (_, None) => Phase::Head,
            _ => Phase::Body,
        }
    }

    /// The server of the present try failed, and is not asked again for this request.
    pub fn blame(&mut self, server: &Server, what: Box<str>) {
        self.tried.push(server.endpoint.clone());
        self.failed.push((server.name.clone(), what));
    }

    /// Takes the last blame back: it is the answer after all.
    pub fn forgive(&mut self) {
        self.tried.pop();
        self.failed.pop();
    }

    /// Who failed and how, as the log says it: `app1:8080=timeout app2:8080=503`.
    fn failures(&self) -> Option<Box<str>> {
        let mut text = String::new();
        for (server, what) in &self.failed {
            let space = if text.is_empty() { "" } else { " " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{space}{server}={what}");
        }
        (!text.is_empty()).then(|| text.into())
    }

    /// Tells the log what is known of the origin.
    pub fn report(&self, outcome: &mut Outcome) {
        outcome.tries = self.tries;
        outcome.failed = self.failures();
        outcome.server = self.server.as_ref().map(|s| s.name.clone());
        outcome.connect = self.connect;
        outcome.first_byte = self.first_byte;
    }
}

/// Pingora's per-request context.
pub struct Ctx {
    /// What the listener found out; `None` in a fetch and before the first filter.
    pub handoff: Option<Box<Handoff>>,
    /// What this fetch is for; `None` for a client's request.
    pub errand: Option<Arc<Errand>>,
    /// Whoever carries the bytes of this request, which is a client's all the same; `None` if it has them itself.
    pub relayed: Option<Arc<Relayed>>,
    /// Whether it has become such a request, which speaks for it.
    pub relays: bool,
    /// What became of the request.
    pub outcome: Outcome,
    /// What happened on the way to the origin.
    pub origin: Origin,
    /// What it needs of a connection.
    pub want: Want,
    /// Which cache rules decide what, once there was a response; before, the decision knows.
    pub terms: Option<Terms>,
    /// Request body bytes so far.
    pub bytes_in: u64,
    /// Whether the origin has asked for the body with a 100.
    pub continued: bool,
    /// Whether the client has left: nobody reads an error page.
    pub gone: bool,
    /// The stream into which the body is compressed on its way to the client.
    pub passing: Option<Passing>,
}

impl Default for Ctx {
    fn default() -> Self {
        Self {
            handoff: None,
            errand: None,
            relayed: None,
            relays: false,
            outcome: Outcome::new(Transport::Proxy, Kind::Bypass, Reason::Bypass(BypassWhy::Off)),
            origin: Origin::default(),
            want: Want::default(),
            terms: None,
            bytes_in: 0,
            continued: false,
            gone: false,
            passing: None,
        }
    }
}

impl Ctx {
    /// The plan and arrival of the request or of the client that caused the fetch.
    pub fn cause(&self) -> Option<(&Arc<Plan>, &Arrival, usize)> {
        if let Some(errand) = &self.errand {
            return Some((&errand.plan, &errand.arrival, errand.route));
        }
        self.handoff.as_ref().map(|h| (&h.plan, &h.arrival, h.decision.route))
    }

    /// What the cache rules of its route made of the request, and of the response if there was one.
    pub fn ruled(&self) -> Ruled<'_> {
        let decided = self.decided();
        Ruled { terms: self.terms.unwrap_or(decided.terms), ..decided }
    }

    /// What the cache rules of its route made of the request alone.
    pub fn decided(&self) -> Ruled<'_> {
        let terms = match (&self.errand, &self.handoff) {
            (Some(errand), _) => errand.terms,
            (None, Some(handoff)) => handoff.decision.terms,
            (None, None) => Terms::default(),
        };
        self.cause().map_or(Ruled { rules: None, terms }, |(plan, _, route)| plan.ruled(route, terms))
    }
}
