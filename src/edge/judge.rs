//! What becomes of a response by RFC and rules: pure, so that a fetch does what `explain` says it would.

use super::edit::Stored;
use super::headers;
use crate::cache::forms::Desk;
use crate::cache::object::{Ruled as Kept, StoredHead};
use crate::cache::policy::{self, Exchange, LifetimeSource, ResponseView, StoredTimes};
use crate::cache::{Cache, variant};
use crate::compress;
use crate::http::accept_encoding::Coding;
use crate::http::fields::Fields;
use crate::http::request::RequestView;
use crate::http::{date, vary};
use crate::plan::{Plan, Ruled};
use crate::route::Subject;
use crate::rules::Response;
use crate::verdict::{NotStored, Terms};
use std::sync::Arc;

/// A response that has come for a request.
pub struct Case<'a> {
    /// The plan that decided about the request.
    pub plan: &'a Plan,
    /// Its route.
    pub route: usize,
    /// Which rules decide, as far as the request alone could tell.
    pub terms: Terms,
    /// The request as the client sent it.
    pub view: &'a RequestView<'a>,
    /// The status; after a 304, the stored one.
    pub status: u16,
    /// The fields; after a 304, the merged ones.
    pub fields: &'a [(&'a str, &'a [u8])],
    /// Length of the body, if it is known.
    pub length: Option<u64>,
    /// When the request was sent to the origin, in seconds since 1970.
    pub requested_at: u64,
    /// When the response came.
    pub now: u64,
}

/// Where the origin is silent, and how much may be stored.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// Windows where the origin is silent.
    pub defaults: policy::Defaults,
    /// Longest body that the store takes.
    pub max_object: u64,
}

/// What becomes of it.
pub struct Judged {
    /// Which rules decide now.
    pub terms: Terms,
    /// Longest body that may be stored.
    pub max_object: u64,
    /// The head to store, or why not.
    pub head: Result<StoredHead, NotStored>,
}

impl Bounds {
    /// Those of a cache.
    pub fn of(cache: &Cache) -> Self {
        Self { defaults: cache.settings().policy, max_object: cache.max_object() }
    }
}

impl Case<'_> {
    /// Judges it.
    pub fn judge(&self, bounds: &Bounds) -> Judged {
        let raw: Vec<_> = self.fields.iter().map(|(name, value)| httparse::Header { name, value }).collect();
        let fields = Fields::Raw(&raw);
        let terms = terms(&self.plan.ruled(self.route, self.terms), self.view, self.status, fields);
        let ruled = self.plan.ruled(self.route, terms);
        let max_object = ruled.rules.and_then(|rules| rules.max_object(terms)).unwrap_or(u64::MAX);
        let max_object = max_object.min(bounds.max_object);
        let head = if self.length.is_some_and(|length| length > max_object) {
            Err(NotStored::TooLarge)
        } else {
            self.head(&ruled, fields, &bounds.defaults)
        };
        Judged { terms, max_object, head }
    }

    fn head(
        &self,
        ruled: &Ruled<'_>,
        fields: Fields<'_>,
        defaults: &policy::Defaults,
    ) -> Result<StoredHead, NotStored> {
        let request = RequestView { method: "GET", ..*self.view };
        let response = ResponseView { status: self.status, fields };
        let (requested_at, received_at) = (self.requested_at, self.now);
        let exchange = Exchange { request: &request, response: &response, requested_at, received_at };
        let changes = ruled.rules.map(|rules| rules.policy(ruled.terms, self.status)).unwrap_or_default();
        let life = policy::storable(&exchange, defaults, &changes)?;
        let varies = vary::parse(fields.all("vary"));
        let variant = match &varies {
            // What a fetch asks for in this field is ours to say, and the same for everybody.
            vary::Vary::Names(names) => {
                let names: Vec<_> = names.iter().filter(|name| &***name != ENCODING).cloned().collect();
                (!names.is_empty()).then(|| variant(&names, request.fields))
            }
            vary::Vary::None => None,
            vary::Vary::Star => return Err(NotStored::VaryStar),
        };
        let forms = Forms::of(self, ruled, fields);
        let today = date::format(self.now);
        let lifetime = (life.source == LifetimeSource::Expires).then(|| format!("max-age={}", life.lifetime));
        let edits = Stored::by(ruled, self.view, self.plan.route_name(self.route), self.status);
        let mut fields = headers::stored(self.fields, &today, lifetime.as_deref(), &edits);
        let shown = fields.kept.iter().chain(&fields.added);
        let said = shown.filter(|(name, _)| name.eq_ignore_ascii_case("vary"));
        if forms.are_there && !vary::is_by_encoding(said.map(|(_, value)| *value)) {
            // RFC 9110 §12.5.5: whoever stores one of the forms must know that there are others.
            fields.added.push(("Vary", b"Accept-Encoding"));
        }
        let times = StoredTimes { received_at, life };
        let own = Kept {
            tags: ruled
                .rules
                .map(|rules| rules.tags(ruled.terms))
                .filter(|tags| !tags.is_empty())
                .map(Arc::from),
            browser: edits.browser,
            rule: ruled.name().cloned(),
        };
        // A 204 has no body whatever it says.
        let length = if self.status == 204 { Some(0) } else { self.length };
        let mut head = StoredHead::of(self.status, fields, length, times, variant, own);
        head.coding = forms.coding;
        head.desk = forms.are_there.then(Arc::<Desk>::default);
        Ok(head)
    }
}

/// The request field that other forms of a body are chosen by.
const ENCODING: &str = "accept-encoding";

/// In what forms a body may be had.
struct Forms {
    /// How it came.
    coding: Option<Coding>,
    /// Whether there are others.
    are_there: bool,
}

impl Forms {
    fn of(case: &Case<'_>, ruled: &Ruled<'_>, fields: Fields<'_>) -> Self {
        let whole = !matches!(case.status, 204 | 206 | 304);
        let settings = case.plan.compress(case.route).filter(|_| whole && !compress::forbids(fields));
        let wanted = ruled.compress();
        match (compress::coding(fields), settings) {
            // What comes compressed can be undone for those who cannot read it, whether we compress or not.
            (compress::Came::As(coding), _) => {
                Self { coding: Some(coding), are_there: whole && !compress::forbids(fields) }
            }
            (compress::Came::Plain, Some(settings)) => {
                let are_there = wanted && settings.is_worth(fields.first("content-type"), case.length);
                Self { coding: None, are_there }
            }
            (compress::Came::Plain | compress::Came::Otherwise, _) => Self { coding: None, are_there: false },
        }
    }
}

/// Which rules decide, now that there is a response.
pub fn terms(ruled: &Ruled<'_>, view: &RequestView<'_>, status: u16, fields: Fields<'_>) -> Terms {
    match ruled.rules {
        Some(rules) => rules.response(ruled.terms, &Subject::of(view), &Response { status, fields }),
        None => ruled.terms,
    }
}
