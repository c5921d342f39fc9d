//! What is to be done with a request, with its reasons, before anything is done.

use super::key::Key;
use super::reason::{BypassWhy, Refused};
use super::terms::Terms;

/// The pure answer to "what shall happen to this request?".
#[derive(Clone, Debug)]
pub struct Decision {
    /// Position of the route in the plan that decided.
    pub route: usize,
    /// What produces the response.
    pub action: Action,
    /// Whether the cache takes part.
    pub cache: CacheUse,
    /// Which cache rules decide what, as far as the request alone can tell.
    pub terms: Terms,
}

impl Decision {
    /// Whether the cache takes part.
    pub fn uses_cache(&self) -> bool {
        matches!(self.cache, CacheUse::Use(_))
    }
}

/// What produces the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Foreland answers by itself.
    Answer(Answer),
    /// The route's cluster answers, through the cache where [`CacheUse`] says so.
    Proxy,
}

/// An answer that needs no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Why, where the request was refused; otherwise it is what the route says.
    pub refused: Option<Refused>,
}

/// Whether the cache takes part in a request.
#[derive(Clone, Debug)]
pub enum CacheUse {
    /// Look the key up; store what comes back if it may be stored.
    Use(Key),
    /// Go to the origin and leave the store alone.
    Bypass(BypassWhy),
}
