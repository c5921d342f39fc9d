//! A server of a cluster as the configuration lists it: where it is, and which share of the requests it gets.

use super::address::{AddressError, ServerAddress};
use std::num::NonZeroU32;
use std::str::FromStr;

/// One listed server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSpec {
    /// Where it is.
    pub address: ServerAddress,
    /// Its share of the requests, 1 to 256.
    pub weight: u32,
    /// Whether it is asked only while no other can be.
    pub backup: bool,
    /// Requests it gets at once, per address; `None` for as many as come.
    pub max_connections: Option<NonZeroU32>,
}

impl ServerSpec {
    /// Whether both are the same server, whatever is said of it: the name is what logs and metrics know.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        let (one, other) = (&self.address, &other.address);
        one.host() == other.host() && one.port() == other.port() && one.endpoint() == other.endpoint()
    }
}

/// A server of which only the address is said.
impl From<ServerAddress> for ServerSpec {
    fn from(address: ServerAddress) -> Self {
        Self { address, weight: 1, backup: false, max_connections: None }
    }
}

/// The address of a server, as it may be written alone.
impl FromStr for ServerSpec {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        text.parse().map(|address: ServerAddress| address.into())
    }
}
