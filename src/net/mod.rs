//! Addresses as people write them, the sockets behind them, and the secret that opens the operator's.

mod address;
mod socket;
mod token;

pub use address::{AddressError, ListenAddress};
pub use socket::{bind, raise_descriptor_limit};
pub use token::{AdminError, Token, token_for};
