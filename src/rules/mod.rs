//! Cache rules: when a request (or its response) looks like this, then cache it like that.
//!
//! Rules apply from top to bottom, and a later rule overrides a setting only where it names it. A rule whose `when`
//! names the request alone is decided before the store is asked; one that names the response is decided when the
//! response is there, and sets only what still matters then.
//!
//! | part | question |
//! |---|---|
//! | [`Rule`], [`Then`] | what does a rule set, and how is that written? |
//! | [`When`] | does a rule match: yes, no, or not to be said yet? |
//! | `because` | which condition settled it? |
//! | `candidates` | which rules can match here at all? |
//! | [`RuleSet`] | which rule decides each setting of this request, and to what value? |
//! | [`StripCookies`] | what is left of the cookies? |
//! | `implies`, `findings` | which rules can be told to be useless before any request came? |
//!
//! The invariant: which rule decides is [`Terms`](crate::verdict::Terms), plain numbers that do not depend on the order of evaluation;
//! deciding for a request allocates nothing, and what cannot match here costs next to nothing. `explain` asks the
//! same conditions that serving asks.
//! Not here: reading rule files, running their tests, what HTTP says about storing, and doing what was decided.

mod because;
mod candidates;
mod cookies;
mod findings;
mod implies;
mod pattern;
mod read;
mod rule;
mod set;
mod when;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod laws;

pub use cookies::StripCookies;
pub use findings::Finding;
pub use rule::{Rule, Store, Then};
pub use set::{Matched, RuleSet, Traced};
pub use when::{Response, When};
