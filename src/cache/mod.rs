//! The shared cache: what is stored, what is on its way in, and what a request may have of either.
//!
//! `policy` says by RFC 9111 what may be stored and reused; `key` tells resources apart; `object` is a stored
//! response as plain data; `store` keeps objects within one byte budget and lets clients read a fetch along;
//! `collapse` elects one fetch per resource; `marks` remembers what cannot be shared; `purge` forgets;
//! `storage` is the one file where Pingora's cache machinery meets all this.
//!
//! Invariants: no object is stored whose bytes the origin did not finish; nothing fetched before a purge is
//! fresh after it; a fetch belongs to no client. It deliberately knows no socket and, but for `storage`, no Pingora.

pub mod collapse;
pub mod forms;
pub mod key;
pub mod marks;
pub mod object;
pub mod policy;
pub mod purge;
pub mod storage;
pub mod store;

#[cfg(test)]
pub(crate) mod fixture;

use crate::http::fields::Fields;
use crate::http::vary;
use crate::verdict::{Key, MissWhy, NotStored, StaleWhy, Stored};
use arc_swap::ArcSwap;
use collapse::{Flights, Joined, same_guess};
use forms::{Added, Form, Made};
use marks::{Mark, Marks};
use object::{Body, Object, StoredHead, Variant};
use policy::{RequestDirectives, Reuse};
use std::sync::Arc;
use store::fill::{Fill, FillReader, FillWriter, Verdict};
use store::ram::Ram;

/// Shards of the RAM tier.
const SHARDS: usize = 64;

/// Variants of one resource: more languages and encodings than any site has, fewer than User-Agents.
const MAX_VARIANTS: usize = 64;

/// How the cache behaves where the origin is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of memory for stored and incoming bodies, heads and keys.
    pub memory: u64,
    /// Windows and lifetimes where the origin is silent.
    pub policy: policy::Defaults,
    /// Seconds for which a response that could not be stored lets later requests pass at once.
    pub hit_for_miss: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { memory: 512 << 20, policy: policy::Defaults::default(), hit_for_miss: 120 }
    }
}

/// What a request asks of the cache.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Which resource.
    pub key: &'a Key,
    /// The fields that may select a variant.
    pub fields: Fields<'a>,
    /// What the request's Cache-Control says.
    pub directives: RequestDirectives,
    /// Whether it carries an Authorization field.
    pub with_credentials: bool,
    /// Whether it may wait for, or read along with, a fetch that another request caused.
    pub collapse: bool,
    /// Now, in seconds since 1970.
    pub now: u64,
}

/// What the cache has for a request.
pub enum Found {
    /// A fresh stored response.
    Hit(Arc<Object>),
    /// A response that is still coming in.
    Filling(FillReader),
    /// A stored response past its lifetime that may be served now.
    Stale(Arc<Object>, StaleWhy),
    /// A stored response that a request with credentials must not have (RFC 9111 §3.5).
    Forbidden,
    /// Recently not storable: go straight to the origin.
    HitForMiss(NotStored),
    /// Nothing usable; perhaps something to validate, or to fall back on if the origin fails.
    Miss(MissWhy, Option<Arc<Object>>),
}

/// What became of asking for a fetch.
pub enum Fetch {
    /// Run it.
    Lead(FillReader),
    /// Read along with somebody else's.
    Follow(FillReader),
    /// It has just ended; this is fresh.
    Ready(Arc<Object>),
    /// Too many wait or fetch already: ask for yourself.
    Crowded,
}

/// The cache of one node.
pub struct Cache {
    ram: Arc<Ram<Object>>,
    flights: Flights,
    marks: Marks,
    recipe: key::Recipe,
    settings: ArcSwap<Settings>,
}

impl Cache {
    /// An empty cache.
    pub fn new(settings: Settings) -> Self {
        Self {
            ram: Arc::new(Ram::new(settings.memory, SHARDS)),
            flights: Flights::default(),
            marks: Marks::default(),
            recipe: key::Recipe::new(fastrand::u64(..)),
            settings: ArcSwap::from_pointee(settings),
        }
    }

    /// How keys are made here.
    pub fn recipe(&self) -> key::Recipe {
        self.recipe
    }

    /// How it behaves where the origin is silent.
    pub fn settings(&self) -> Settings {
        **self.settings.load()
    }

    /// Behaves like this from now on; what is stored keeps the lifetime it was stored with.
    pub fn configure(&self, settings: Settings) {
        let before = self.settings.swap(Arc::new(settings));
        if before.memory != settings.memory {
            self.resize(settings.memory);
        }
    }

    /// The RAM tier, for counters.
    pub fn ram(&self) -> &Ram<Object> {
        &self.ram
    }

    /// Fetches without a head yet, and fetches whose body is coming in.
    pub fn fills(&self) -> (usize, usize) {
        self.flights.count()
    }

    /// What is stored, or on its way in, for a request. Changes nothing but the object's popularity.
    pub fn lookup(&self, ask: &Ask<'_>) -> Found {
        self.found(ask, self.ram.find(ask.key.hash, |o| o.key == *ask.key && selects(&o.head, ask.fields)))
    }

    /// The same without counting as a visit, for whoever only wants to know.
    pub fn glance(&self, ask: &Ask<'_>) -> Found {
        self.found(ask, self.ram.peek(ask.key.hash, |o| o.key == *ask.key && selects(&o.head, ask.fields)))
    }

    /// How many variants of a resource are stored.
    pub fn variants(&self, key: &Key) -> usize {
        let mut count = 0;
        self.ram.peek(key.hash, |o| {
            count += usize::from(o.key == *key);
            false
        });
        count
    }

    fn found(&self, ask: &Ask<'_>, stored: Option<Arc<Object>>) -> Found {
        let Some(object) = stored else { return self.lookup_absent(ask) };
        if ask.with_credentials && !object.head.times.life.shareable_with_credentials {
            return Found::Forbidden;
        }
        match policy::reuse(&object.head.times, &ask.directives, ask.now) {
            Reuse::Fresh => Found::Hit(object),
            Reuse::StaleAsked => Found::Stale(object, StaleWhy::Asked),
            reuse => match self.streaming(ask) {
                Some(reader) => Found::Filling(reader),
                None => match reuse {
                    Reuse::Validate(why) => Found::Miss(why, Some(object)),
                    _ => Found::Stale(object, StaleWhy::Revalidating),
                },
            },
        }
    }

    fn lookup_absent(&self, ask: &Ask<'_>) -> Found {
        if let Some(reader) = self.streaming(ask) {
            return Found::Filling(reader);
        }
        match self.marks.find(ask.key, ask.with_credentials, ask.now) {
            Some(Mark::HitForMiss(why)) => return Found::HitForMiss(why),
            Some(Mark::Purged) => return Found::Miss(MissWhy::Purged, None),
            None => {}
        }
        let other = self.ram.peek(ask.key.hash, |o| o.key == *ask.key).is_some();
        Found::Miss(if other { MissWhy::Vary } else { MissWhy::Absent }, None)
    }

    fn streaming(&self, ask: &Ask<'_>) -> Option<FillReader> {
        if !ask.collapse {
            return None;
        }
        self.flights.find(ask.key, |fill| is_streaming(fill, ask))?.read()
    }

    /// Whether somebody fetches the resource already, so that what is stale may be served without sending out another.
    pub fn is_refreshing(&self, ask: &Ask<'_>) -> bool {
        let guess = self.guess(ask);
        self.flights.find(ask.key, |fill| is_pending(fill, ask, guess.as_ref())).is_some()
    }

    /// Joins the fetch of a resource, or becomes its leader. A request that may not join leads a fetch of its own.
    pub fn fetch(&self, ask: &Ask<'_>, stale: Option<Arc<Object>>) -> Fetch {
        let guess = self.guess(ask);
        let joined = self.flights.join(
            ask.key,
            |fill| ask.collapse && (is_streaming(fill, ask) || is_pending(fill, ask, guess.as_ref())),
            || self.fresh(ask),
            || Fill::new(ask.key.clone(), ask.with_credentials, guess.clone(), self.still_there(stale)),
        );
        match joined {
            Err(object) => Fetch::Ready(object),
            Ok(Joined::Crowded) => Fetch::Crowded,
            Ok(Joined::Lead(fill)) => fill.read().map_or(Fetch::Crowded, Fetch::Lead),
            Ok(Joined::Follow(fill)) => fill.read().map_or(Fetch::Crowded, Fetch::Follow),
        }
    }

    /// What is to be validated, unless a purge took it away in between.
    fn still_there(&self, stale: Option<Arc<Object>>) -> Option<Arc<Object>> {
        stale.filter(|stale| self.ram.peek(stale.key.hash, |o| o.is_same(stale)).is_some())
    }

    fn fresh(&self, ask: &Ask<'_>) -> Option<Arc<Object>> {
        match self.ram.peek(ask.key.hash, |o| o.key == *ask.key && selects(&o.head, ask.fields)) {
            Some(o) if ask.with_credentials && !o.head.times.life.shareable_with_credentials => None,
            Some(o) if policy::reuse(&o.head.times, &ask.directives, ask.now) == Reuse::Fresh => Some(o),
            _ => None,
        }
    }

    /// What the request says in the fields by which this resource varied last.
    fn guess(&self, ask: &Ask<'_>) -> Option<Variant> {
        let known = self.ram.peek(ask.key.hash, |o| o.key == *ask.key)?;
        known.head.variant.as_ref().map(|v| variant(&v.names, ask.fields))
    }

    /// Starts to take in a response that may be stored.
    pub fn writer(&self, fill: &Arc<Fill>) -> FillWriter {
        FillWriter::new(fill.clone(), self.ram.reserve(), self.max_object_of(fill))
    }

    /// Starts to take in another form of a body, and gathers so many bytes of it at most.
    pub fn form_writer(&self, fill: &Arc<Fill>, most: u64) -> FillWriter {
        FillWriter::new(fill.clone(), self.ram.reserve(), most.min(self.max_object()))
    }

    /// Whether an object is still stored, perhaps with other forms of its body.
    pub fn is_there(&self, object: &Object) -> bool {
        self.ram.peek(object.key.hash, |o| o.is_same(object)).is_some()
    }

    /// Longest body that is stored, in bytes.
    pub fn max_object(&self) -> u64 {
        self.ram.max_object()
    }

    /// Longest body that is stored of this fetch: a rule may set less than [`Cache::max_object`], never more.
    pub fn max_object_of(&self, fill: &Fill) -> u64 {
        fill.limit().map_or(self.max_object(), |limit| limit.min(self.max_object()))
    }

    /// Gives the RAM tier another number of bytes, evicting at once what no longer fits. What is just coming in keeps
    /// the bytes that it has.
    pub fn resize(&self, memory: u64) {
        self.ram.set_budget(memory);
    }

    /// The origin has sent everything: stores it and tells the readers.
    pub fn finish(&self, fill: &Arc<Fill>, mut writer: FillWriter, now: u64) {
        let stored = match writer.seal() {
            // Purged while it came in: it must not take the place of what was fetched since.
            Ok(_) if fill.is_doomed() => Stored::Yes,
            Ok((object, charged)) => {
                self.make_room_for_variant(&object);
                let replaces = object.clone();
                let variant = replaces.head.variant.as_deref();
                match charged.insert(object, |o| o.key == fill.key && o.is_variant(variant)) {
                    Ok(()) => self.keep_unless_doomed(fill, &replaces),
                    Err(_) => Stored::No(NotStored::TooLarge),
                }
            }
            Err(why) => Stored::No(why),
        };
        if let Stored::No(why) = stored {
            fill.lose(why);
            if why == NotStored::TooLarge {
                // The next ones need not wait for each other to learn that.
                let until = now + self.settings().hit_for_miss;
                self.marks.set(&fill.key, fill.with_credentials, Mark::HitForMiss(why), now, until);
            }
        }
        self.flights.remove(fill);
        if stored != Stored::No(NotStored::Incomplete) {
            writer.complete();
        }
    }

    /// A resource has a bounded number of variants: each is looked at by every request for it. The oldest goes.
    fn make_room_for_variant(&self, object: &Object) {
        let (mut count, mut surplus) = (0, Vec::new());
        // Newest first; all that are too many go at once, so that inserts side by side cannot outrun it.
        self.ram.peek(object.key.hash, |o| {
            if o.key == object.key && !o.is_variant(object.head.variant.as_deref()) {
                count += 1;
                if count >= MAX_VARIANTS {
                    surplus.push(std::ptr::from_ref(o) as usize);
                }
            }
            false
        });
        if !surplus.is_empty() {
            self.ram.remove(object.key.hash, |o| surplus.contains(&(std::ptr::from_ref(o) as usize)));
        }
    }

    /// A purge between the start of the fetch and now wins.
    fn keep_unless_doomed(&self, fill: &Fill, object: &Arc<Object>) -> Stored {
        if fill.is_doomed() {
            self.ram.remove(fill.key.hash, |o| o.is_same(object));
        } else {
            self.marks.clear(&fill.key, fill.with_credentials);
        }
        Stored::Yes
    }

    /// The origin confirmed the stored response: stores it again with its new head.
    pub fn confirm(&self, fill: &Arc<Fill>, head: StoredHead, stale: &Arc<Object>) {
        let mut head = head.with_length(stale.body.len());
        // The same bytes: who makes other forms of them goes on, and what was made stays.
        head.desk = head.desk.map(|new| stale.head.desk.clone().unwrap_or(new));
        let present = self.ram.peek(fill.key.hash, |o| o.is_same(stale));
        let made = present.as_ref().unwrap_or(stale);
        let made = if head.desk.is_some() { made.made.under(&head) } else { Made::default() };
        let object = Arc::new(Object { made, ..Object::new(fill.key.clone(), head, stale.body.clone()) });
        let variant = object.head.variant.as_deref();
        if fill.is_doomed() {
            fill.confirm(object);
            return;
        }
        let admitted = self.ram.insert(object.clone(), |o| o.key == fill.key && o.is_variant(variant));
        if admitted.is_ok() {
            self.keep_unless_doomed(fill, &object);
        }
        self.flights.remove(fill);
        fill.confirm(object);
    }

    /// The response may not be stored: its waiters go their own way, and so do later requests for a while.
    pub fn not_stored(&self, fill: &Arc<Fill>, why: NotStored, status: u16, now: u64) {
        // A failing origin is no property of the resource: the next request may well be storable.
        if status < 500 {
            let until = now + self.settings().hit_for_miss;
            self.marks.set(&fill.key, fill.with_credentials, Mark::HitForMiss(why), now, until);
        }
        self.flights.remove(fill);
        fill.decide(Verdict::NotStored(why));
    }

    /// A stored response turned out not to be what the origin has: forgets it, and sends whoever waits for the
    /// fetch to the origin.
    pub fn disown(&self, fill: &Arc<Fill>, stale: &Arc<Object>) {
        self.ram.remove(fill.key.hash, |o| o.is_same(stale));
        self.flights.remove(fill);
        fill.decide(Verdict::NotStored(NotStored::Status));
    }

    /// Puts another form of a stored body beside it, unless that has gone since.
    pub fn add_form(&self, parent: &Object, form: Form, body: &Body) -> Added {
        let Some(desk) = &parent.head.desk else { return Added::Gone };
        let _alone = desk.edit();
        // What the origin confirmed meanwhile has a new head: each time round, that is what counts.
        while let Some(present) = self.ram.peek(parent.key.hash, |o| o.is_same(parent)) {
            let head = forms::head_of(&present.head, form, Some(body)).with_length(body.len());
            let made = Arc::new(Object::new(present.key.clone(), head, body.clone()));
            let object = Arc::new(present.with(present.made.with(form, made)));
            match self.ram.exchange(&present, object) {
                Ok(true) => return Added::Yes,
                Ok(false) => {}
                Err(_) => return Added::TooLarge,
            }
        }
        Added::Gone
    }

    /// Keeps what is not a response of an origin: a file. It may be too large.
    pub fn keep(&self, object: Arc<Object>) -> bool {
        let key = object.key.clone();
        self.ram.insert(object, |o| o.key == key).is_ok()
    }

    /// What was kept under a key.
    pub fn kept(&self, key: &Key) -> Option<Arc<Object>> {
        self.ram.find(key.hash, |o| o.key == *key)
    }

    /// Forgets what was kept.
    pub fn drop_kept(&self, object: &Object) {
        self.ram.remove(object.key.hash, |o| o.is_same(object));
    }

    /// A response that went past the cache could have been stored: let the next one in.
    pub fn heal(&self, key: &Key, with_credentials: bool) {
        self.marks.clear(key, with_credentials);
    }

    /// The fetch is over, however it went. Safe to call more than once.
    pub fn end(&self, fill: &Arc<Fill>, failure: store::fill::Failure) {
        self.flights.remove(fill);
        fill.abandon(failure);
    }
}

/// Whether a stored response is the variant that a request means (RFC 9111 §4.1).
fn selects(head: &StoredHead, fields: Fields<'_>) -> bool {
    head.variant.as_ref().is_none_or(|v| vary::select(&v.names, fields) == v.values)
}

/// The variant that a request means, under these names from Vary.
pub fn variant(names: &[Box<str>], fields: Fields<'_>) -> Variant {
    Variant { names: names.into(), values: vary::select(names, fields) }
}

fn is_streaming(fill: &Fill, ask: &Ask<'_>) -> bool {
    let Some(head) = fill.head() else { return false };
    let progress = fill.progress();
    progress.verdict == Verdict::Storing
        && progress.end != store::fill::End::Aborted
        && !progress.window
        && selects(head, ask.fields)
        && (!ask.with_credentials || head.times.life.shareable_with_credentials)
        && policy::reuse(&head.times, &ask.directives, ask.now) == Reuse::Fresh
}

fn is_pending(fill: &Fill, ask: &Ask<'_>, guess: Option<&Variant>) -> bool {
    fill.progress().verdict == Verdict::Pending
        && fill.with_credentials == ask.with_credentials
        && same_guess(fill, guess)
}

/// Whether a client that waited may have what came, or must ask again because it selects another variant.
pub fn may_share(fill: &Fill, ask: &Ask<'_>) -> bool {
    let head = fill.resolved().map(|o| &o.head).or_else(|| fill.head());
    head.is_some_and(|head| {
        selects(head, ask.fields) && (!ask.with_credentials || head.times.life.shareable_with_credentials)
    })
}

#[cfg(test)]
mod tests {
    use super::fixture::{NOW, ask, cache, complete, for_device, head, lead, store, url};
    use super::*;
    use bytes::Bytes;

    fn hit_for_miss(found: &Found) -> Option<NotStored> {
        match found {
            Found::HitForMiss(why) => Some(*why),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_request_that_does_not_collapse_leads_its_own_fetch_and_reads_no_other() {
        let cache = cache();
        let key = url(&cache, "/a");
        let alone = Ask { collapse: false, ..ask(&key) };
        let first = lead(&cache, &ask(&key));
        let second = lead(&cache, &alone);
        assert!(!Arc::ptr_eq(first.fill(), second.fill()));
        assert!(first.fill().start(head(&[])));
        assert!(matches!(cache.lookup(&alone), Found::Miss(MissWhy::Absent, None)));
        assert!(matches!(cache.lookup(&ask(&key)), Found::Filling(_)));
        assert!(matches!(cache.fetch(&alone, None), Fetch::Lead(_)));
        // What is stored already serves it as anybody.
        complete(&cache, first.fill(), "x").await;
        assert!(matches!(cache.lookup(&alone), Found::Hit(_)));
        assert!(matches!(cache.fetch(&alone, None), Fetch::Ready(_)));
    }

    #[test]
    fn fetches_that_do_not_collapse_are_bounded() {
        let cache = cache();
        let key = url(&cache, "/a");
        let alone = Ask { collapse: false, ..ask(&key) };
        let fetches: Vec<_> = (0..1000).map(|_| cache.fetch(&alone, None)).collect();
        let led = fetches.iter().filter(|fetch| matches!(fetch, Fetch::Lead(_))).count();
        assert_eq!((led, cache.fills().0), (64, 64));
        assert!(matches!(fetches[999], Fetch::Crowded));
    }

    #[tokio::test]
    async fn a_body_that_outgrows_the_limit_of_its_rule_is_read_and_not_kept() {
        let cache = cache();
        for (limit, stored) in [(3, false), (4, true), (u64::MAX, true)] {
            let key = url(&cache, &format!("/{limit}"));
            let mut reader = lead(&cache, &ask(&key));
            assert!(reader.fill().limit_to(limit) && !reader.fill().limit_to(1), "set once");
            assert_eq!(cache.max_object_of(reader.fill()), limit.min(cache.max_object()));
            assert!(reader.fill().start(head(&[])));
            let fill = reader.fill().clone();
            complete(&cache, &fill, "body").await;
            assert_eq!(reader.next().await, store::fill::Piece::Data(Bytes::from_static(b"body")));
            assert_eq!(reader.next().await, store::fill::Piece::End);
            let found = cache.lookup(&ask(&key));
            assert_eq!(matches!(found, Found::Hit(_)), stored, "{limit}");
            assert_eq!(hit_for_miss(&found), (!stored).then_some(NotStored::TooLarge));
            assert_eq!(fill.lost(), (!stored).then_some(NotStored::TooLarge));
        }
        assert_eq!(cache.fills(), (0, 0));
    }

    #[tokio::test]
    async fn a_smaller_memory_takes_effect_at_once() {
        let cache = cache();
        for n in 0..100 {
            store(&cache, &url(&cache, &format!("/{n}")), &[], "x").await;
        }
        let (before, bytes) = (cache.ram().objects(), cache.ram().bytes());
        cache.resize(bytes / 2);
        assert_eq!((before, cache.max_object()), (100, bytes / 16));
        assert!(cache.ram().bytes() <= bytes / 2 && cache.ram().objects() >= 40);
        cache.resize(1 << 20);
        store(&cache, &url(&cache, "/new"), &[], "x").await;
        assert!(matches!(cache.lookup(&ask(&url(&cache, "/new"))), Found::Hit(_)));
    }

    #[tokio::test]
    async fn what_rules_decided_survives_being_stored_and_confirmed() {
        let cache = cache();
        let key = for_device(&cache, "/a", "m");
        store(&cache, &key, &["news"], "body").await;
        let Found::Hit(object) = cache.lookup(&ask(&key)) else { panic!("not stored") };
        assert!(object.head.ruled.has_tag("news") && object.head.length == Some(4));
        let asked = Ask { now: NOW + 100, ..ask(&key) };
        let Fetch::Lead(reader) = cache.fetch(&asked, Some(object.clone())) else { panic!("fresh") };
        cache.confirm(reader.fill(), head(&["sport"]), &object);
        let confirmed = reader.fill().resolved().unwrap();
        assert!(confirmed.head.ruled.has_tag("sport") && !confirmed.head.ruled.has_tag("news"));
    }
}
