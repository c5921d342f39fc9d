//! Where one server listens: an IP address and port, or a unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Where to connect. Two that are equal are the same server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// An address that was written, or found for a name.
    Inet(SocketAddr),
    /// The path of a unix socket.
    Unix(Arc<Path>),
}

/// `10.0.0.1:80`, `[::1]:80` or `unix:/run/app.sock`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_shown_as_it_is_written() {
        let socket: SocketAddr = "[::1]:80".parse().unwrap();
        assert_eq!(Endpoint::from(socket).to_string(), "[::1]:80");
        assert_eq!(Endpoint::Unix(Path::new("/run/app.sock").into()).to_string(), "unix:/run/app.sock");
    }
}
