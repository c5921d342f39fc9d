//! Opens listening sockets, and asks the system for enough descriptors to serve from them.

use super::ListenAddress;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Connections that may wait to be accepted; the system caps it at its own limit.
const BACKLOG: i32 = 4096;

/// Binds and listens. The port may be taken over at once from a process that has just ended.
///
/// # Errors
/// What the system says, for the first address if none of them can be had.
pub fn bind(address: ListenAddress) -> io::Result<TcpListener> {
    let mut first = None;
    for candidate in address.candidates() {
        match bind_one(candidate) {
            Ok(listener) => return Ok(listener),
            // Only a missing family is a reason to try the other one.
            Err(error) if error.raw_os_error() == Some(97) => first = first.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    Err(first.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Raises the soft limit of open descriptors to the hard one, and gives it.
pub fn raise_descriptor_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current < maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_means_both_families() {
        let listener = bind(":0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(false).unwrap();
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let taken = listener.local_addr().unwrap().to_string();
        assert_eq!(bind(taken.parse().unwrap()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
