//! Clusters of origin servers: which one gets a request, how it is connected to, and what its failure means.
//!
//! - [`ServerSpec`] is a server as listed; `names` knows the endpoints found for it, `discovery` looks them up;
//! - [`Cluster::pick`] chooses a [`Server`] from the `roster` by one of the algorithms in `balance`, and
//!   [`Cluster::peer`] says how Pingora connects to it;
//! - `tls` is how HTTPS servers are verified, and who we are to them;
//! - `health` keeps track of who is up, by checks that clusters share and by what requests meet; an [`Observer`] is
//!   told; `background` is the work that nobody waits for;
//! - [`Update`] gives a cluster that stays through a reload other servers or settings;
//! - [`Failure`] reads Pingora's error: status, metric word, and whether another try is allowed; `budget` bounds how
//!   many tries there are beside the first.
//!
//! The invariant: a request gets a server as long as one is left untried, and never reaches it without a deadline.
//!
//! Choosing is our own: Pingora's balancer looks every candidate's health up by a hash, which at 100 servers costs
//! more than the pick may, and knows neither load nor caps nor who was tried. What this folder does not do: count
//! tries, read the configuration, or write metrics.

mod address;
mod background;
pub mod balance;
mod budget;
mod cluster;
pub mod discovery;
mod endpoint;
mod failure;
pub mod health;
mod load;
mod names;
mod peer;
mod roster;
mod server;
mod settings;
mod spec;
#[cfg(test)]
mod tests;
pub mod tls;
mod update;

pub use address::{AddressError, ServerAddress};
pub use cluster::{Cluster, UpstreamError};
pub use endpoint::Endpoint;
pub use failure::{Failure, Phase, Retry, Try};
pub use health::{Health, HealthRegistry, Observer};
pub use load::{InFlight, LastError};
pub use peer::Want;
pub use roster::Picked;
pub use server::{ClusterState, Server, ServerState, State};
pub use settings::{Lookup, Protocol, RetryOn, Settings};
pub use spec::ServerSpec;
pub use tls::OriginTls;
pub use update::{Change, Update};
