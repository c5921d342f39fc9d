//! Addresses as people write them, and the sockets behind them.

mod address;
mod socket;

pub use address::{AddressError, ListenAddress};
pub use socket::{bind, raise_descriptor_limit};
