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
    /// A file of the route's folder answers.
    Files,
    /// The route's cluster answers, through the cache where [`CacheUse`] says so.
    Proxy,
}

/// An answer that needs no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Whose answer it is.
    pub by: By,
}

/// Whose answer it is that needs no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The listener's, which sends whoever asks over http to this port for https.
    Listener(u16),
    /// Ours: the request is refused.
    Refusal(Refused),
    /// The route's; without one: not found.
    Route,
}

impl Answer {
    /// Why the request was refused, if it was.
    pub fn refused(&self) -> Option<Refused> {
        match self.by {
            By::Refusal(why) => Some(why),
            By::Listener(_) | By::Route => None,
        }
    }
}

/// Whether the cache takes part in a request.
#[derive(Clone, Debug)]
pub enum CacheUse {
    /// Look the key up; store what comes back if it may be stored.
    Use(Key),
    /// Go to the origin and leave the store alone.
    Bypass(BypassWhy),
}
