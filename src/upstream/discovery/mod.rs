//! Finds the addresses of names, and says when to ask again: by the TTL of what was found.
//!
//! - [`Resolve`] says what a look-up gives, `name_servers` and `system` are where it comes from, `resolv_conf` tells
//!   whom the system asks and for what; [`open`] chooses between them;
//! - [`Agenda`] knows when each name is due again.
//!
//! What was found is kept by `names`. Nothing here is asked while a request waits.

mod agenda;
#[cfg(test)]
mod clusters;
#[cfg(test)]
mod fake_dns;
mod name_servers;
mod resolv_conf;
mod resolver;
mod system;
#[cfg(test)]
mod tests;

pub use agenda::Agenda;
pub use resolver::{Family, Found, LookupError, Resolve, open};
