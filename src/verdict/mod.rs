//! What was decided about a request and what became of it, in one closed vocabulary.
//!
//! `decide` fills a [`Decision`]; whoever serves it ends with an [`Outcome`]. Log, metrics, `Cache-Status` and
//! explain read these and nothing else, so they cannot disagree. Nothing here knows the store, Pingora or a socket.

mod decision;
mod key;
mod outcome;
mod reason;
mod terms;

pub use decision::{Action, Answer, By, CacheUse, Decision};
pub use key::Key;
pub use outcome::{Outcome, Reason, Stored};
pub use reason::{BypassWhy, Declined, Kind, MissWhy, NotStored, Refused, StaleWhy, Transport};
pub use terms::{Setting, Terms};
