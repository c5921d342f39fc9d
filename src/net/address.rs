//! Reads the address to listen on: `127.0.0.1:8080`, `[::1]:8080`, or `:8080` for every address of both families.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// `None`: every address of both families.
    pub ip: Option<IpAddr>,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

/// What is no address to listen on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an address to listen on: write 127.0.0.1:8080, [::1]:8080, or :8080 for all addresses")]
pub struct AddressError(String);

impl ListenAddress {
    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        self.ip.is_some_and(|ip| ip.is_loopback())
    }

    /// The addresses to try, in order; the first that the machine has serves for all.
    pub fn candidates(&self) -> Vec<SocketAddr> {
        match self.ip {
            Some(ip) => vec![SocketAddr::new(ip, self.port)],
            // A machine without IPv6 still has the other family.
            None => vec![
                SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), self.port),
                SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), self.port),
            ],
        }
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError(text.to_owned());
        if let Some(port) = text.strip_prefix(':') {
            return Ok(Self { ip: None, port: port.parse().map_err(|_| error())? });
        }
        let text = text.replacen("localhost:", "127.0.0.1:", 1);
        let address: SocketAddr = text.parse().map_err(|_| error())?;
        Ok(Self { ip: Some(address.ip()), port: address.port() })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(ip) => SocketAddr::new(ip, self.port).fmt(f),
            None => write!(f, ":{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_shown() {
        for text in ["127.0.0.1:8080", "[::1]:80", ":8080", "0.0.0.0:0"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        assert!("localhost:80".parse::<ListenAddress>().unwrap().is_loopback());
        assert!(!":80".parse::<ListenAddress>().unwrap().is_loopback());
        for text in ["", "8080", ":", ":x", "example.com:80", "127.0.0.1", ":70000"] {
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(error.contains("write 127.0.0.1:8080"), "{error}");
        }
    }
}
