//! Plays one request through on a cache, without a client, an origin or a clock of its own: what serving does, by the
//! functions that serving calls.
//!
//! What is left out is what a request cannot be told beforehand: other requests at the same time, and a connection
//! that breaks in the middle.

use super::arrived::{self, Arriving};
use super::ctx::{Ctx, Handoff};
use super::decide::{ask, decide};
use super::fail::{self, Fault};
use super::form::{self, Choice};
use super::part::{self, Part};
use super::turn::{self, Led, Turn};
use super::{Arrival, answer, finish, headers, judge, origin, page, passing, respond, view};
use crate::cache::forms::{self, Made};
use crate::cache::object::{Object, StoredHead};
use crate::cache::store::fill::{Fill, FillReader};
use crate::cache::{Ask, Cache, Fetch};
use crate::http::fields::Fields;
use crate::http::request::RequestView;
use crate::plan::Plan;
use crate::upstream::Failure;
use crate::verdict::{Action, Answer, CacheUse, Decision, Key, Kind, Outcome, Reason, StaleWhy, Terms};
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The answer of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its status.
    pub status: u16,
    /// Its header fields.
    pub fields: Vec<(String, String)>,
    /// Bytes of its body, if that is known.
    pub length: Option<u64>,
}

/// What an origin does when it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It answers.
    Answers(Given),
    /// It does not answer in time.
    Timeout,
    /// Nobody said what it does.
    Unknown,
    /// It cannot be reached.
    Unreachable,
}

/// What became of the request.
pub struct Rehearsed {
    /// What was decided.
    pub decision: Decision,
    /// What the log would say.
    pub outcome: Outcome,
    /// The lifetime under which the response is stored or served, in seconds, its age not taken off.
    pub lifetime: Option<u32>,
    /// What the stored response can be purged by.
    pub tags: Vec<String>,
    /// The fields that the client gets.
    pub fields: Vec<(String, Vec<u8>)>,
    /// What the log would say of the refresh that was sent out.
    pub refresh: Option<Outcome>,
    /// Whether it came to what nobody said: what the origin answers.
    pub unknown: bool,
}

/// Plays a request through at a time, in seconds since 1970.
///
/// # Errors
/// What cannot be sent as it was given.
pub fn rehearse(
    plan: &Arc<Plan>,
    cache: &Cache,
    view: &RequestView<'_>,
    origin: &Origin,
    now: u64,
) -> Result<Rehearsed, String> {
    let decision = decide(plan, &cache.recipe(), view, None);
    let mut arrival = Arrival::now(0, view.client, view.scheme);
    arrival.unix_millis = now.saturating_mul(1000);
    let handoff =
        Handoff { plan: plan.clone(), arrival, decision: decision.clone(), found: None, last: false };
    let mut ctx = Ctx { handoff: Some(Box::new(handoff)), ..Ctx::default() };
    if let Some((kind, reason)) = origin::bypass(&ctx) {
        (ctx.outcome.kind, ctx.outcome.reason) = (kind, reason);
    }
    let outcome = ctx.outcome.clone();
    let (fields, tags) = (Vec::new(), Vec::new());
    let done = Rehearsed { decision, outcome, lifetime: None, tags, fields, refresh: None, unknown: false };
    let request = view::request(view).map_err(|error| error.to_string())?;
    let mut play = Play { plan, cache, view, request, origin, now, ctx, done };
    play.run().map_err(|error| error.to_string())?;
    finish::name_rule(&mut play.ctx);
    Ok(Rehearsed { outcome: play.ctx.outcome, ..play.done })
}

/// A rehearsal under way.
struct Play<'a> {
    plan: &'a Arc<Plan>,
    cache: &'a Cache,
    view: &'a RequestView<'a>,
    request: RequestHeader,
    origin: &'a Origin,
    now: u64,
    ctx: Ctx,
    done: Rehearsed,
}

/// What a fetch told.
#[derive(Default)]
struct Fetched {
    terms: Option<Terms>,
    status: Option<u16>,
}

impl Play<'_> {
    fn run(&mut self) -> pingora::Result<()> {
        match (self.done.decision.action, self.done.decision.cache.clone()) {
            (Action::Answer(decided), _) => self.own(decided),
            // Which file it is nobody knows without looking.
            (Action::Files, _) => {
                self.became(Kind::File, Reason::None);
                Ok(())
            }
            (Action::Proxy, CacheUse::Bypass(_)) => self.straight(),
            (Action::Proxy, CacheUse::Use(key)) => self.cached(&key),
        }
    }

    fn own(&mut self, decided: Answer) -> pingora::Result<()> {
        let Some((plan, arrival, route)) = self.ctx.cause() else { return Ok(()) };
        let own = answer::own(plan, route, decided, self.view, arrival);
        self.became(Kind::Answer, decided.refused().map_or(Reason::None, Reason::Refused));
        self.sent(&own.header()?);
        Ok(())
    }

    fn became(&mut self, kind: Kind, reason: Reason) {
        (self.ctx.outcome.kind, self.ctx.outcome.reason) = (kind, reason);
    }

    /// The answer goes to the client.
    fn sent(&mut self, header: &ResponseHeader) {
        self.ctx.outcome.status = header.status.as_u16();
        let fields = headers::list(header).into_iter();
        self.done.fields = fields.map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    }

    fn cached(&mut self, key: &Key) -> pingora::Result<()> {
        let (view, plan, route, terms) =
            (self.view, self.plan, self.done.decision.route, self.done.decision.terms);
        let ask = ask(&plan.ruled(route, terms), view.fields, key, self.now);
        for _ in 0..turn::ROUNDS {
            match turn::turn(self.cache.lookup(&ask), &ask.directives) {
                Turn::Serve(object, kind, reason) => {
                    self.became(kind, reason);
                    return self.stored(&object.head, &object.made);
                }
                Turn::Refresh(object) => {
                    self.became(Kind::Stale, Reason::Stale(StaleWhy::Revalidating));
                    if let Fetch::Lead(reader) = self.cache.fetch(&ask, Some(object.clone())) {
                        self.refresh(reader)?;
                    }
                    return self.stored(&object.head, &object.made);
                }
                Turn::Straight(kind, reason, stored) => {
                    self.became(kind, reason);
                    self.ctx.outcome.stored = stored;
                    return self.straight();
                }
                Turn::Nothing(why) => {
                    self.became(Kind::Miss, Reason::Miss(why));
                    return self.page(504, turn::NOT_CACHED);
                }
                Turn::Fetch(why, stale) => match self.cache.fetch(&ask, stale.clone()) {
                    Fetch::Lead(reader) => {
                        self.became(Kind::Miss, Reason::Miss(why));
                        if self.lead(reader, &ask, stale)? {
                            return Ok(());
                        }
                    }
                    Fetch::Ready(object) => {
                        self.became(Kind::Collapsed, Reason::Miss(why));
                        return self.stored(&object.head, &object.made);
                    }
                    // Nobody else is here.
                    Fetch::Crowded | Fetch::Follow(_) => break,
                },
                // Nobody else is here.
                Turn::Join(_) => break,
            }
        }
        self.straight()
    }

    fn refresh(&mut self, reader: FillReader) -> pingora::Result<()> {
        let fill = reader.fill().clone();
        // Nobody reads a refresh.
        drop(reader);
        let fetched = self.fetch(&fill, None)?;
        let mut outcome = turn::refreshed(&fill);
        let terms = fetched.terms.unwrap_or(self.ctx.ruled().terms);
        outcome.rule = self.plan.ruled(self.done.decision.route, terms).name().cloned();
        outcome.status = fetched.status.unwrap_or(0);
        self.done.refresh = Some(outcome);
        Ok(())
    }

    /// Whether the client has its answer.
    fn lead(
        &mut self,
        reader: FillReader,
        ask: &Ask<'_>,
        stale: Option<Arc<Object>>,
    ) -> pingora::Result<bool> {
        let fill = reader.fill().clone();
        let fetched = self.fetch(&fill, Some(reader))?;
        if self.done.unknown {
            return Ok(true);
        }
        self.ctx.origin.status = fetched.status;
        self.ctx.terms = fetched.terms.or(self.ctx.terms);
        let verdict = fill.progress().verdict;
        turn::account(&mut self.ctx.outcome, verdict);
        let form = self.ctx.decided().accept_encoding();
        match turn::led(verdict, &fill, ask, fetched.status, form, stale) {
            Led::Again => return Ok(false),
            Led::Confirmed(object) => self.stored(&object.head, &object.made)?,
            Led::Error(status) => self.page(status, fail::origin_detail(status))?,
            Led::Incoming => match fill.head() {
                Some(head) => self.stored(head, &Made::default())?,
                None => return Ok(false),
            },
            Led::PassOn => self.passed()?,
            Led::Stale(object, why, status) => {
                self.ctx.origin.status = status;
                self.became(Kind::Stale, Reason::Stale(why));
                self.stored(&object.head, &object.made)?;
            }
            Led::Straight => self.straight()?,
        }
        turn::correct(&mut self.ctx.outcome, &fill);
        Ok(true)
    }

    /// The origin's side. Without a reader nobody waits for it.
    fn fetch(&mut self, fill: &Arc<Fill>, reader: Option<FillReader>) -> pingora::Result<Fetched> {
        let (fetched, failure) = match self.origin {
            Origin::Answers(given) => (self.answered(given, fill, reader)?, Failure::BodyCut),
            Origin::Timeout => (Fetched::default(), Failure::Timeout),
            Origin::Unreachable => (Fetched::default(), Failure::Unreachable),
            Origin::Unknown => {
                self.done.unknown = true;
                (Fetched::default(), Failure::NoServer)
            }
        };
        // As every fetch ends, however it went.
        self.cache.end(fill, arrived::failure(Fault::Origin(failure), Some(failure)));
        Ok(fetched)
    }

    fn answered(
        &mut self,
        given: &Given,
        fill: &Arc<Fill>,
        reader: Option<FillReader>,
    ) -> pingora::Result<Fetched> {
        let response = given.header()?;
        let plan = self.plan;
        let (route, terms) = (self.done.decision.route, self.ctx.ruled().terms);
        let (view, now) = (self.view, self.now);
        let arriving = Arriving { plan, route, terms, view, requested_at: now, now };
        let mut ruled = None;
        arrived::first_look(self.cache, fill, &arriving, &response, |terms| ruled = Some(terms));
        if arrived::judge(self.cache, fill, &arriving, &response, |terms| ruled = Some(terms)) {
            self.take_in(fill, given.body_length(), reader);
        }
        let head = fill.resolved().map(|object| &object.head).or(fill.head());
        if let Some(head) = head {
            self.kept(head);
        }
        Ok(Fetched { terms: ruled, status: Some(given.status) })
    }

    /// The body, byte for byte: whether it finds room is known only then.
    fn take_in(&self, fill: &Arc<Fill>, length: u64, mut reader: Option<FillReader>) {
        const PIECE: &[u8] = &[0; 64 * 1024];
        let mut writer = self.cache.writer(fill);
        let mut left = length;
        while left > 0 {
            let size = left.min(PIECE.len() as u64);
            // Whoever reads has read it all, so the writer never waits.
            if let Some(reader) = &mut reader {
                reader.seek(length - left, u64::MAX);
            }
            let piece = Bytes::from_static(PIECE).slice(..size as usize);
            let write = pin!(writer.write(piece));
            match write.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(())) => left -= size,
                // Too large to keep, and nobody reads it.
                Poll::Pending | Poll::Ready(Err(_)) => return,
            }
        }
        self.cache.finish(fill, writer, self.now);
    }

    fn kept(&mut self, head: &StoredHead) {
        self.done.lifetime = Some(head.times.life.lifetime);
        let tags = head.ruled.tags.iter().flat_map(|tags| tags.iter());
        self.done.tags = tags.map(|tag| tag.to_string()).collect();
    }

    /// Answers with what is stored, or is being stored.
    fn stored(&mut self, head: &StoredHead, made: &Made) -> pingora::Result<()> {
        self.kept(head);
        respond::account(&mut self.ctx.outcome, head, self.now);
        let settings = self.plan.compress(self.done.decision.route).filter(|_| self.ctx.decided().compress());
        let body = form::Body { head, made };
        let choice = form::choose(settings.map(|s| &**s), body, self.view.fields, self.view.protocol);
        let head = &match choice {
            Choice::AsIs => head.clone(),
            Choice::Made(object) => object.head.clone(),
            Choice::Make(form) => {
                let head = forms::head_of(head, form, None);
                let part = respond::part_of_made(self.view.method, self.view.fields, &head);
                let header = respond::header(&self.request, &self.ctx, &head, &part)?;
                self.sent(&header);
                return Ok(());
            }
        };
        let part = match part::choose(self.view.method, self.view.fields, head, head.length) {
            // Serving waits for as much of the body as it needs.
            Part::Later(set) if !part::is_all(&set) => part::resolve(set, head, self.body_length()),
            Part::Later(_) => Part::Whole,
            part => part,
        };
        let header = respond::header(&self.request, &self.ctx, head, &part)?;
        self.sent(&header);
        Ok(())
    }

    fn body_length(&self) -> Option<u64> {
        match self.origin {
            Origin::Answers(given) => Some(given.body_length()),
            Origin::Timeout | Origin::Unknown | Origin::Unreachable => None,
        }
    }

    /// Asks the origin past the cache.
    fn straight(&mut self) -> pingora::Result<()> {
        let failure = match self.origin {
            Origin::Answers(_) => {
                self.ctx.origin.status = None;
                return self.past();
            }
            Origin::Timeout => Failure::Timeout,
            Origin::Unreachable => Failure::Unreachable,
            Origin::Unknown => {
                self.done.unknown = true;
                return Ok(());
            }
        };
        let status = Fault::Origin(failure).status();
        self.page(status, fail::origin_detail(status))
    }

    fn past(&mut self) -> pingora::Result<()> {
        let Origin::Answers(given) = self.origin else { return Ok(()) };
        let response = given.header()?;
        self.ctx.origin.status = Some(given.status);
        let fields = Fields::Map(&response.headers);
        let terms = judge::terms(&self.ctx.ruled(), self.view, given.status, fields);
        origin::passed_by(self.cache, &self.ctx, self.view, &response, self.now);
        self.ctx.terms = Some(terms);
        self.passed()
    }

    /// What is not stored goes to the client.
    fn passed(&mut self) -> pingora::Result<()> {
        let Origin::Answers(given) = self.origin else { return Ok(()) };
        // A length that nobody told decides nothing.
        let mut response = if given.length.is_some() { given.header() } else { given.head() }?;
        headers::pass(&mut response, &self.request, &self.ctx)?;
        passing::foretell(&self.ctx, &self.request, &mut response)?;
        self.sent(&response);
        Ok(())
    }

    fn page(&mut self, status: u16, detail: &str) -> pingora::Result<()> {
        let cause = self.ctx.cause().map(|(plan, arrival, _)| (&**plan, arrival));
        let id = cause.map_or("", |(_, arrival)| arrival.id.as_str());
        let page = page::page(status, detail, id, self.view.fields.first("accept"));
        let header = fail::header(status, &page, cause)?;
        self.sent(&header);
        Ok(())
    }
}

impl Given {
    /// Its fields as everything here sees them: without those that concern only the connection to the origin.
    pub fn received(&self) -> Vec<(String, Vec<u8>)> {
        let owned = |(name, value): (&str, &[u8])| (name.to_owned(), value.to_vec());
        match self.head() {
            Ok(head) => headers::list(&head).into_iter().map(owned).collect(),
            Err(_) => self.fields.iter().map(|(name, value)| owned((name, value.as_bytes()))).collect(),
        }
    }

    fn head(&self) -> pingora::Result<ResponseHeader> {
        let mut head = ResponseHeader::build(self.status, Some(self.fields.len() + 1))?;
        for (name, value) in &self.fields {
            head.append_header(name.clone(), value.as_str())?;
        }
        headers::strip_hop_by_hop(&mut head);
        Ok(head)
    }

    /// The same with the length of the body that comes, as an origin would tell it.
    fn header(&self) -> pingora::Result<ResponseHeader> {
        let mut header = self.head()?;
        let framed =
            ["content-length", "transfer-encoding"].iter().any(|name| header.headers.contains_key(*name));
        if !framed && !self.is_bodiless() {
            header.insert_header("Content-Length", self.body_length().to_string())?;
        }
        Ok(header)
    }

    /// Bytes of the body that comes; a few if nobody said.
    fn body_length(&self) -> u64 {
        const SOME: u64 = 16;
        let announced = || {
            let field = self.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            field.and_then(|(_, value)| value.trim().parse().ok())
        };
        if self.is_bodiless() { 0 } else { self.length.or_else(announced).unwrap_or(SOME) }
    }

    fn is_bodiless(&self) -> bool {
        matches!(self.status, 204 | 304)
    }
}
