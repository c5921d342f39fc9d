//! In which compression a client gets a stored body: pure, so that the front, the proxy and explain choose alike.

use crate::cache::forms::{Form, Made};
use crate::cache::object::{Object, StoredHead};
use crate::compress::{Load, Settings};
use crate::http::accept_encoding::{self, Coding, Preferences};
use crate::http::cache_control;
use crate::http::fields::Fields;
use crate::http::request::Protocol;
use crate::verdict::Declined;
use std::sync::Arc;

/// What there is of a body.
#[derive(Clone, Copy)]
pub struct Body<'a> {
    /// Its head, as it came.
    pub head: &'a StoredHead,
    /// Its other forms.
    pub made: &'a Made,
}

impl<'a> From<&'a Object> for Body<'a> {
    fn from(object: &'a Object) -> Self {
        Self { head: &object.head, made: &object.made }
    }
}

/// What a client gets.
#[derive(Debug)]
pub enum Choice {
    /// The body as it is stored.
    AsIs,
    /// Another form of it, which is there.
    Made(Arc<Object>),
    /// Another form of it, which must be made.
    Make(Form),
}

/// Chooses by what the client likes (RFC 9110 §12.5.3) and what can be had. `settings` is how the route compresses.
pub fn choose(settings: Option<&Settings>, body: Body<'_>, fields: Fields<'_>, protocol: Protocol) -> Choice {
    if body.head.desk.is_none() && body.made.is_empty() {
        return Choice::AsIs;
    }
    let preferences = accept_encoding::parse(fields.all("accept-encoding"));
    match body.head.coding {
        Some(coding) => undone(coding, body, preferences, fields),
        None => done(settings, body, preferences, fields, protocol),
    }
}

/// The body came compressed: whoever can read that gets it.
fn undone(coding: Coding, body: Body<'_>, preferences: Preferences, fields: Fields<'_>) -> Choice {
    // RFC 9110 §8.4: nothing is compressed where there is nothing, whatever the origin says.
    if preferences.accepts(coding) || is_untouchable(fields) || body.head.length == Some(0) {
        return Choice::AsIs;
    }
    match body.made.find(None) {
        Some(made) => Choice::Made(made.clone()),
        None if body.head.desk.is_some() => Choice::Make(None),
        None => Choice::AsIs,
    }
}

/// The body came as it is: the best compression that there is or can be.
fn done(
    settings: Option<&Settings>,
    body: Body<'_>,
    preferences: Preferences,
    fields: Fields<'_>,
    protocol: Protocol,
) -> Choice {
    let beside = |coding: &Coding| body.made.find(Some(*coding)).is_some_and(|made| !made.head.is_form);
    // Somebody took the trouble to put it beside the file, whether we compress or not.
    let found = preferences.best(ORDER.into_iter().filter(beside));
    // HTTP/1.0 has no way to send what has no length yet, and keep the connection.
    let favourites = settings.map_or(&[][..], |settings| &settings.codings);
    let worth = |settings: &Settings| body.head.length.is_none_or(|length| length >= settings.min_size);
    let makes = settings.is_some_and(worth) && protocol != Protocol::Http10;
    let there = |coding: Coding| body.made.find(Some(coding)).is_some();
    let offered = |coding: &Coding| there(*coding) || makes && can_be_made(body.head, Some(*coding));
    match found.or_else(|| preferences.best(favourites.iter().copied().filter(offered))) {
        // A range of what is made while it is sent cannot be told, and of two forms the ranges do not fit together.
        Some(_) if is_part(fields) => Choice::AsIs,
        Some(coding) => {
            body.made.find(Some(coding)).map_or(Choice::Make(Some(coding)), |made| Choice::Made(made.clone()))
        }
        None => Choice::AsIs,
    }
}

/// Whether the request is for bytes of the body as it is.
fn is_part(fields: Fields<'_>) -> bool {
    fields.has("range") || is_untouchable(fields)
}

/// Our order where nobody sets one: what browsers read fastest among what is smallest.
const ORDER: [Coding; 3] = [Coding::Br, Coding::Zstd, Coding::Gzip];

fn can_be_made(head: &StoredHead, form: Form) -> bool {
    head.desk.as_ref().is_some_and(|desk| !desk.is_useless(form))
}

/// RFC 9111 §5.2.1.6: the client wants it as the origin sent it.
fn is_untouchable(fields: Fields<'_>) -> bool {
    fields.has("cache-control") && cache_control::parse(fields.all("cache-control")).no_transform
}

/// What the front sends of a stored response, at once. While compression has no time left, what would have to be made
/// goes out as it is: leaving it to the proxy would cost more still.
///
/// # Errors
/// [`Declined`]: it must be made.
pub fn at_once(
    settings: Option<&Settings>,
    object: Arc<Object>,
    fields: Fields<'_>,
    protocol: Protocol,
    load: &Load,
) -> Result<Arc<Object>, Declined> {
    match choose(settings, Body::from(&*object), fields, protocol) {
        Choice::AsIs => Ok(object),
        Choice::Made(made) => Ok(made),
        Choice::Make(Some(_)) if load.is_spent() => Ok(object),
        Choice::Make(_) => Err(Declined::Encoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::forms::{Desk, head_of};
    use crate::cache::key::Recipe;
    use crate::cache::object::{self, Ruled};
    use crate::cache::policy::StoredTimes;
    use crate::http::request::Scheme;
    use bytes::Bytes;

    fn stored(coding: Option<Coding>, has_desk: bool) -> Object {
        let times = StoredTimes { received_at: 0, life: crate::cache::fixture::life(60) };
        let fields = [("ETag", &b"\"v\""[..]), ("Content-Type", b"text/html")].into_iter();
        let mut head = StoredHead::new(200, fields, Some(4000), times, None, Ruled::default());
        head.coding = coding;
        head.desk = has_desk.then(Arc::<Desk>::default);
        let key = Recipe::new(1).url(Scheme::Http, "a", 80, "/", None, None);
        Object::new(key, head, object::Body::pack(&[Bytes::from_static(b"body")]))
    }

    fn with(object: &Object, form: Form) -> Object {
        let body = object::Body::pack(&[Bytes::from_static(b"b")]);
        let head = head_of(&object.head, form, Some(&body));
        object.with(object.made.with(form, Arc::new(Object::new(object.key.clone(), head, body))))
    }

    /// What a request with these fields gets, in a word.
    fn chosen(
        settings: Option<&Settings>,
        object: &Object,
        fields: &[(&str, &str)],
        protocol: Protocol,
    ) -> String {
        let raw: Vec<_> =
            fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        match choose(settings, Body::from(object), Fields::Raw(&raw), protocol) {
            Choice::AsIs => "as it is".to_owned(),
            Choice::Made(made) => format!("made {}", made.head.coding.map_or("plain", Coding::token)),
            Choice::Make(form) => format!("make {}", form.map_or("plain", Coding::token)),
        }
    }

    #[test]
    fn a_client_gets_what_it_likes_best_of_what_can_be_had() {
        let on = Settings::default();
        let gzip_only = Settings { codings: vec![Coding::Gzip], ..Settings::default() };
        let plain = stored(None, true);
        let both = with(&plain, Some(Coding::Gzip));
        let beside = {
            let found = with(&stored(None, false), Some(Coding::Gzip));
            let gzip = found.made.find(Some(Coding::Gzip)).unwrap();
            let mut head = gzip.head.clone();
            head.is_form = false;
            let sibling = Arc::new(Object::new(gzip.key.clone(), head, gzip.body.clone()));
            found.with(found.made.with(Some(Coding::Gzip), sibling))
        };
        let packed = stored(Some(Coding::Gzip), true);
        let undone = with(&packed, None);
        let rigid = stored(None, false);
        for (settings, object, codings, expected) in [
            (Some(&on), &plain, "gzip, deflate, br, zstd", "make br"),
            (Some(&on), &plain, "gzip", "make gzip"),
            (Some(&on), &plain, "br;q=0.1, zstd", "make zstd"),
            (Some(&on), &plain, "", "as it is"),
            (Some(&on), &plain, "identity;q=0, gzip", "make gzip"),
            (Some(&gzip_only), &plain, "br, gzip;q=0.1", "make gzip"),
            (Some(&gzip_only), &plain, "br", "as it is"),
            (None, &plain, "br", "as it is"),
            (Some(&on), &both, "gzip", "made gzip"),
            (Some(&on), &both, "gzip, br", "make br"),
            (None, &both, "gzip, br", "as it is"),
            (Some(&on), &rigid, "gzip, br", "as it is"),
            (Some(&on), &beside, "gzip, br", "made gzip"),
            (Some(&on), &beside, "br", "as it is"),
            (None, &beside, "gzip", "made gzip"),
            (Some(&on), &packed, "gzip", "as it is"),
            (Some(&on), &packed, "br", "make plain"),
            (None, &packed, "", "make plain"),
            (Some(&on), &undone, "br", "made plain"),
            (Some(&on), &undone, "gzip;q=0.1", "as it is"),
        ] {
            let fields = [("Accept-Encoding", codings)];
            assert_eq!(chosen(settings, object, &fields, Protocol::Http11), expected, "{codings} {object:?}");
        }
    }

    #[test]
    fn ranges_and_old_clients_get_no_form_that_is_made_as_it_goes() {
        let on = Settings::default();
        let both = with(&stored(None, true), Some(Coding::Br));
        let all = ("accept-encoding", "gzip, br");
        let of = |fields: &[_], protocol| chosen(Some(&on), &both, fields, protocol);
        assert_eq!(of(&[all], Protocol::H2), "made br");
        assert_eq!(of(&[all, ("range", "bytes=0-1")], Protocol::H2), "as it is");
        assert_eq!(of(&[all, ("cache-control", "no-transform")], Protocol::H2), "as it is");
        assert_eq!(of(&[all, ("cache-control", "no-cache")], Protocol::H2), "made br");
        assert_eq!(of(&[("accept-encoding", "gzip")], Protocol::H2), "make gzip");
        assert_eq!(of(&[("accept-encoding", "gzip")], Protocol::Http10), "as it is");
        assert_eq!(of(&[all], Protocol::Http10), "made br");
    }

    #[test]
    fn what_was_not_worth_it_is_not_made_again() {
        let on = Settings::default();
        let plain = stored(None, true);
        plain.head.desk.as_ref().unwrap().give_up(Some(Coding::Br));
        let of = |codings| chosen(Some(&on), &plain, &[("accept-encoding", codings)], Protocol::H2);
        assert_eq!((of("br"), of("br, gzip")), ("as it is".to_owned(), "make gzip".to_owned()));
    }
}
