//! A stored body in other compressions: which there are, who is making one, and what its head says.
//!
//! A form is a compression, or `None` for none. What was made hangs on the object that it was made from, so that
//! whatever ends the one ends the other: a purge, its lifetime, an eviction. An object is never changed: one that has one
//! form more takes the place of the one before. What is in the making is told apart by the [`Desk`], which all copies of
//! an object share.

use super::object::{Body, Fields, Object, StoredHead};
use super::store::fill::{End, Fill, FillReader};
use crate::http::accept_encoding::{Coding, OF_BYTES};
use crate::http::etag;
use parking_lot::{Mutex, MutexGuard};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use xxhash_rust::xxh3::Xxh3;

/// A compression, or none.
pub type Form = Option<Coding>;

/// How many forms there are.
const FORMS: usize = Coding::ALL.len() + 1;

const fn index(form: Form) -> usize {
    match form {
        Some(coding) => coding.index(),
        None => FORMS - 1,
    }
}

/// Forms that are there, each an object of its own with its own length and entity tag.
#[derive(Clone, Debug, Default)]
pub struct Made(Option<Box<[Option<Arc<Object>>; FORMS]>>);

impl Made {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The body in a form.
    pub fn find(&self, form: Form) -> Option<&Arc<Object>> {
        self.0.as_ref()?[index(form)].as_ref()
    }

    /// The same and one form more.
    pub fn with(&self, form: Form, object: Arc<Object>) -> Self {
        let mut forms = self.0.clone().unwrap_or_default();
        forms[index(form)] = Some(object);
        Self(Some(forms))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Form, &Arc<Object>)> {
        let forms = [Some(Coding::Br), Some(Coding::Gzip), Some(Coding::Zstd), None];
        forms.into_iter().filter_map(|form| Some((form, self.find(form)?)))
    }

    /// The same bodies below the new head of the body that they were made from.
    pub fn under(&self, head: &StoredHead) -> Self {
        self.iter().fold(Self::default(), |made, (form, old)| {
            let head = head_of(head, form, Some(&old.body)).with_length(old.body.len());
            made.with(form, Arc::new(Object::new(old.key.clone(), head, old.body.clone())))
        })
    }
}

/// Who is making which form of one body; shared by all copies of its object, and by the fetch that brings it.
#[derive(Debug, Default)]
pub struct Desk {
    slots: [Mutex<Slot>; FORMS],
    /// A bit for each form that is not worth having.
    useless: AtomicU8,
    /// A bit for each form that there is no room to keep.
    homeless: AtomicU8,
    edit: Mutex<()>,
}

#[derive(Default)]
struct Slot {
    /// Whether somebody asked for it before.
    asked: bool,
    /// Made while clients read it.
    stream: Weak<Fill>,
    /// Clients that came to read it after the first.
    followed: bool,
    /// Whether it is being made for the store.
    building: bool,
}

impl Slot {
    fn follow(&mut self) -> Option<FillReader> {
        let fill = self.stream.upgrade().filter(|fill| fill.progress().end != End::Aborted)?;
        let reader = fill.read()?;
        self.followed = true;
        Some(reader)
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("asked", &self.asked).field("building", &self.building).finish()
    }
}

/// A form is being made for the store; dropping this says that it no longer is.
#[derive(Debug)]
pub struct Building {
    desk: Arc<Desk>,
    form: Form,
}

impl Drop for Building {
    fn drop(&mut self) {
        self.desk.slot(self.form).building = false;
    }
}

/// What came of putting a form beside its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// The body has gone.
    Gone,
    /// Both together are larger than an object may be.
    TooLarge,
    /// It is there.
    Yes,
}

/// What came of wanting a form that is not there.
pub enum Streamed {
    /// Somebody makes it already: read along.
    Follow(FillReader),
    /// Nobody does: make it.
    Lead(Arc<Fill>),
}

impl Desk {
    fn slot(&self, form: Form) -> MutexGuard<'_, Slot> {
        self.slots[index(form)].lock()
    }

    /// Reads along with whoever makes this form for clients, or begins to.
    pub fn stream(&self, form: Form, begin: impl FnOnce() -> Arc<Fill>) -> Streamed {
        let mut slot = self.slot(form);
        if let Some(reader) = slot.follow() {
            return Streamed::Follow(reader);
        }
        let fill = begin();
        slot.stream = Arc::downgrade(&fill);
        slot.followed = false;
        Streamed::Lead(fill)
    }

    /// Reads along with whoever makes this form for clients, if anybody does.
    pub fn follow(&self, form: Form) -> Option<FillReader> {
        self.slot(form).follow()
    }

    /// Nobody may read along any more with whoever makes this form, since nobody does. False: somebody does again.
    pub fn withdraw(&self, form: Form, fill: &Arc<Fill>) -> bool {
        let mut slot = self.slot(form);
        let unread = !fill.is_read();
        if unread && std::ptr::eq(slot.stream.as_ptr(), Arc::as_ptr(fill)) {
            slot.stream = Weak::new();
        }
        unread
    }

    /// Whether more than one client has read what is being made for clients.
    pub fn was_followed(&self, form: Form) -> bool {
        self.slot(form).followed
    }

    /// Somebody asks for the form anew. If somebody did before, there may be room, and nobody makes it for the store, it
    /// is the caller who does, for as long as what this gives is alive.
    pub fn ask(self: &Arc<Self>, form: Form) -> Option<Building> {
        let mut slot = self.slot(form);
        let again = std::mem::replace(&mut slot.asked, true);
        let room = self.homeless.load(Ordering::Relaxed) & 1 << index(form) == 0;
        let begins = again && room && !slot.building;
        slot.building |= begins;
        begins.then(|| Building { desk: self.clone(), form })
    }

    /// There is no room to keep the form: it is made whenever somebody wants it.
    pub fn no_room(&self, form: Form) {
        self.homeless.fetch_or(1 << index(form), Ordering::Relaxed);
    }

    /// The form is not worth having: as long as the body itself.
    pub fn give_up(&self, form: Form) {
        self.useless.fetch_or(1 << index(form), Ordering::Relaxed);
    }

    /// Whether the form is not worth having.
    pub fn is_useless(&self, form: Form) -> bool {
        self.useless.load(Ordering::Relaxed) & 1 << index(form) != 0
    }

    /// Held while a form is put beside others, so that two at once do not lose one.
    pub(super) fn edit(&self) -> MutexGuard<'_, ()> {
        self.edit.lock()
    }
}

/// The head of a body in another form. What is made while it is sent has a weak entity tag: where it is cut depends on
/// how fast its body came. What is stored, `body`, has one of its own bytes, and a strong one if its body has.
pub fn head_of(head: &StoredHead, form: Form, body: Option<&Body>) -> StoredHead {
    let tag = head.first_shown("etag").and_then(|tag| match body {
        None => etag::weakened(tag),
        Some(body) => etag::with_suffix(tag, &suffix(form, body)),
    });
    let replaced = ["content-encoding", "etag"];
    let goes = |name: &str| !OF_BYTES.iter().chain(&replaced).any(|n| name.eq_ignore_ascii_case(n));
    let kept = head.shown_fields().filter(|(name, _)| goes(name)).collect();
    let mut added: Vec<(&str, &[u8])> = Vec::new();
    if let Some(coding) = form {
        added.push(("Content-Encoding", coding.token().as_bytes()));
    }
    if let Some(tag) = &tag {
        added.push(("ETag", tag));
    }
    let fields = Fields { kept, added, hidden: Vec::new() };
    let mut made = StoredHead::of(head.status, fields, None, head.times, None, head.ruled.clone());
    made.variant = head.variant.clone();
    made.coding = form;
    made.is_form = true;
    made
}

/// What tells the entity tag of a form from that of the body: the form, and a hash of its bytes.
fn suffix(form: Form, body: &Body) -> String {
    let mut hash = Xxh3::new();
    let mut at = 0;
    while let Some(piece) = body.slice(at, u64::MAX) {
        hash.update(&piece);
        at += piece.len() as u64;
    }
    format!("-{}-{:016x}", form.map_or("identity", Coding::token), hash.digest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::fixture::{NOW, ask, cache, complete, head, lead, url};
    use crate::cache::{Ask, Cache, Fetch, Found};
    use bytes::Bytes;

    const BR: Form = Some(Coding::Br);
    const GZIP: Form = Some(Coding::Gzip);

    /// Stores an object that may have other forms.
    async fn stored(cache: &Cache, path: &str) -> Arc<Object> {
        let key = url(cache, path);
        let reader = lead(cache, &ask(&key));
        let mut head = head(&[]);
        head.desk = Some(Arc::default());
        assert!(reader.fill().start(head));
        complete(cache, reader.fill(), "body").await;
        found(cache, path)
    }

    fn found(cache: &Cache, path: &str) -> Arc<Object> {
        let key = url(cache, path);
        let Found::Hit(object) = cache.lookup(&ask(&key)) else { panic!("{path} is not stored") };
        object
    }

    fn body(text: &'static str) -> Body {
        Body::pack(&[Bytes::from_static(text.as_bytes())])
    }

    #[tokio::test]
    async fn a_form_stands_beside_others_and_is_charged() {
        let cache = cache();
        let before = stored(&cache, "/a").await;
        let alone = cache.ram().bytes();
        assert_eq!(cache.add_form(&before, BR, &body("b")), Added::Yes);
        // The copy at hand is older than what is stored now.
        assert_eq!(cache.add_form(&before, GZIP, &body("gg")), Added::Yes);
        let after = found(&cache, "/a");
        let forms: Vec<_> = after.made.iter().map(|(form, object)| (form, object.body.len())).collect();
        assert_eq!(forms, [(BR, 1), (GZIP, 2)]);
        assert!(before.made.is_empty() && after.is_same(&before));
        assert!(cache.ram().bytes() > alone && cache.ram().objects() == 1);
        cache.purge(&after.key, NOW);
        assert_eq!((cache.ram().bytes(), cache.ram().objects()), (0, 0));
    }

    #[tokio::test]
    async fn a_form_of_what_has_gone_is_not_kept() {
        let cache = cache();
        let object = stored(&cache, "/a").await;
        cache.purge(&object.key, NOW);
        assert!(cache.add_form(&object, BR, &body("b")) == Added::Gone && !cache.is_there(&object));
        // Nor does it go to what took its place.
        let other = stored(&cache, "/a").await;
        assert!(cache.add_form(&object, BR, &body("b")) == Added::Gone && !other.is_same(&object));
        assert!(found(&cache, "/a").made.is_empty());
    }

    #[tokio::test]
    async fn a_form_without_room_leaves_the_body_where_it_is() {
        let cache = cache();
        let object = stored(&cache, "/a").await;
        let bytes = cache.ram().bytes();
        let large = Body::pack(&[Bytes::from(vec![0; cache.max_object() as usize])]);
        assert_eq!(cache.add_form(&object, BR, &large), Added::TooLarge);
        assert!(found(&cache, "/a").made.is_empty() && cache.ram().bytes() == bytes);
    }

    #[tokio::test]
    async fn what_is_confirmed_keeps_its_forms_under_its_new_head() {
        let cache = cache();
        let object = stored(&cache, "/a").await;
        cache.add_form(&object, BR, &body("b"));
        let later = Ask { now: NOW + 100, ..ask(&object.key) };
        let Fetch::Lead(reader) = cache.fetch(&later, Some(object.clone())) else { panic!("it is fresh") };
        let mut new = head(&["news"]);
        new.desk = Some(Arc::default());
        cache.confirm(reader.fill(), new, &object);
        let confirmed = reader.fill().resolved().unwrap();
        assert!(confirmed.made.find(BR).unwrap().head.ruled.has_tag("news") && confirmed.is_same(&object));
        // What is added to a copy from before has the new head too.
        assert_eq!(cache.add_form(&object, GZIP, &body("g")), Added::Yes);
        let Found::Hit(now) = cache.lookup(&ask(&object.key)) else { panic!("it was confirmed") };
        assert!(now.made.find(GZIP).unwrap().head.ruled.has_tag("news") && now.made.find(BR).is_some());
    }

    #[tokio::test]
    async fn what_is_confirmed_without_forms_has_none_any_more() {
        let cache = cache();
        let object = stored(&cache, "/a").await;
        cache.add_form(&object, BR, &body("b"));
        let later = Ask { now: NOW + 100, ..ask(&object.key) };
        let Fetch::Lead(reader) = cache.fetch(&later, Some(object.clone())) else { panic!("it is fresh") };
        cache.confirm(reader.fill(), head(&[]), &object);
        let confirmed = reader.fill().resolved().unwrap();
        assert!(confirmed.made.is_empty() && !confirmed.head.has_forms());
    }

    #[test]
    fn a_form_is_made_once_for_all_who_read_it() {
        let cache = cache();
        let desk = Desk::default();
        let begin = || Fill::new(url(&cache, "/a"), false, None, None);
        let Streamed::Lead(fill) = desk.stream(BR, begin) else { panic!("somebody leads") };
        assert!(desk.withdraw(BR, &fill), "nobody reads it yet");
        let Streamed::Lead(fill) = desk.stream(BR, begin) else { panic!("it was withdrawn") };
        let first = fill.read().unwrap();
        assert!(matches!(desk.stream(GZIP, begin), Streamed::Lead(_)), "another form is another run");
        assert!(!desk.was_followed(BR));
        let Streamed::Follow(second) = desk.stream(BR, begin) else { panic!("it is being made") };
        assert!(desk.was_followed(BR) && !desk.withdraw(BR, &fill));
        drop((first, second));
        assert!(desk.withdraw(BR, &fill) && desk.follow(BR).is_none());
    }

    #[test]
    fn the_second_who_asks_has_it_built_once() {
        let desk = Arc::new(Desk::default());
        assert!(desk.ask(BR).is_none() && desk.ask(GZIP).is_none());
        let building = desk.ask(BR);
        assert!(building.is_some() && desk.ask(BR).is_none(), "once");
        drop(building);
        assert!(desk.ask(BR).is_some() && !desk.is_useless(BR));
        desk.no_room(BR);
        assert!(desk.ask(BR).is_none() && !desk.is_useless(BR), "it may be made for who asks");
        desk.give_up(BR);
        assert!(desk.is_useless(BR) && !desk.is_useless(GZIP));
    }

    #[test]
    fn a_form_says_nothing_of_the_bytes_it_was_made_from() {
        let times = head(&[]).times;
        let fields: [(&str, &[u8]); 6] = [
            ("Content-Type", b"text/html"),
            ("ETag", b"\"v\""),
            ("Accept-Ranges", b"bytes"),
            ("Content-Digest", b"sha-256=:x:"),
            ("Vary", b"Accept-Encoding"),
            ("content-md5", b"x"),
        ];
        let plain = StoredHead::new(200, fields.into_iter(), Some(9), times, None, Default::default());
        let on_the_fly = head_of(&plain, BR, None);
        let shown: Vec<_> = on_the_fly.shown_fields().map(|(name, value)| (name, value.to_vec())).collect();
        assert_eq!(
            shown,
            [
                ("Content-Type", b"text/html".to_vec()),
                ("Vary", b"Accept-Encoding".to_vec()),
                ("Content-Encoding", b"br".to_vec()),
                ("ETag", b"W/\"v\"".to_vec())
            ]
        );
        assert_eq!((on_the_fly.length, on_the_fly.has_forms()), (None, true));
        let body = Body::pack(&[Bytes::from_static(b"x")]);
        let (one, two) = (head_of(&plain, BR, Some(&body)), head_of(&plain, GZIP, Some(&body)));
        assert_ne!(one.first("etag"), two.first("etag"));
        assert!(one.first("etag").unwrap().starts_with(b"\"v-br-"));
        assert_eq!(head_of(&one, None, None).first("etag"), Some(&b"W/\"v\""[..]));
    }
}
