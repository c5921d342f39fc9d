//! Which servers can be sent requests: those whose checks pass, less those that fail requests all the same.
//!
//! - [`HealthRegistry`] has servers checked in the background, each once however many clusters name it, through every
//!   reload: [`Watched`] is what comes of it, and checks run while somebody holds one. `probe` asks a server once,
//!   `pace` says when to ask again and what the answers add up to, `subject` whether two ask for the same;
//! - [`Passive`] takes a server out that fails requests although its checks pass, and [`may_eject`] says when not to;
//! - [`Told`] logs changes, and tells an [`Observer`] of them, by comparing each [`Standing`] with the one before.
//!
//! The invariant: every check ends by its deadline, whatever the server does, and never are more than [`PLACES`] under
//! way. What this folder does not do: choose a server, find its addresses, or say which requests failed.

mod pace;
mod passive;
mod probe;
mod registry;
mod settings;
mod subject;
mod told;
mod watched;

pub use passive::{Out, Passive, may_eject};
pub use registry::{HealthRegistry, PLACES};
pub use settings::{Ejection, Health, HttpProbe, Probe, ProbeMethod};
pub use subject::{CheckTls, Target};
pub use told::{Observer, Standing, Told};
pub use watched::{Check, Watched, WatchedState};
