//! Takes connections, as many as the node can hold, and knows when the last of them is gone.

use super::gate::Gate;
use super::handshake::shake;
use super::{Door, Socket, caller, h1, h2};
use crate::http::request::Scheme;
use crate::verdict::Refused;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// How long to wait when the machine has no descriptor left: something must close first.
const BREATH: Duration = Duration::from_millis(50);

/// What a client gets that is one too many: no head was read, so it cannot be told more.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
Content-Length: 42\r\nCache-Control: no-store\r\nRetry-After: 5\r\nConnection: close\r\n\r\n\
503 Service Unavailable: too many clients\n";

/// Every open connection, over all listeners.
#[derive(Default)]
pub struct Connections {
    open: AtomicUsize,
    none: Notify,
}

/// One open connection.
struct Open(Arc<Connections>);

impl Connections {
    /// Counts a connection, unless there are `most` already.
    fn enter(self: &Arc<Self>, most: usize) -> Option<Open> {
        let entered =
            self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < most).then_some(n + 1));
        entered.ok().map(|_| Open(self.clone()))
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Waits until none is open.
    pub async fn gone(&self) {
        loop {
            let none = self.none.notified();
            if self.count() == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}

/// Accepts until the server is being stopped.
pub async fn accept(listener: TcpListener, door: Arc<Door>, connections: Arc<Connections>) {
    let mut shutdown = door.shutdown.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((io, peer)) => match connections.enter(door.limits().connections) {
                Some(open) => {
                    // Answers are written whole; waiting to fill a packet would only delay them.
                    let _ = io.set_nodelay(true);
                    let door = door.clone();
                    tokio::spawn(async move {
                        let _open = open;
                        serve(door, io, peer).await;
                    });
                }
                None => turn_away(&door, io),
            },
            Err(error) if is_about_the_client(&error) => {}
            Err(error) => {
                log::warn!("{}: cannot accept: {error}", door.name);
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// A connection from its first byte to its last.
async fn serve(door: Arc<Door>, mut io: TcpStream, peer: SocketAddr) {
    let Some(mut caller) = caller::identify(&door, &mut io, peer).await else { return };
    let mut closing = h1::closing(&door);
    let socket = match door.terminator() {
        None => Socket::Plain(io),
        // Boxed: what a handshake needs is not kept for as long as the connection.
        Some(terminator) => match Box::pin(shake(&door, io, caller, &terminator, &mut closing)).await {
            Some(socket) => {
                caller.scheme = Scheme::Https;
                socket
            }
            None => return,
        },
    };
    let gate = Box::new(Gate::new(socket, caller.address));
    let h2 = match gate.is_h2() {
        true => Some((gate, closing)),
        false => h1::serve(door.clone(), gate, caller, closing).await,
    };
    if let Some((gate, closing)) = h2 {
        // Boxed, so that a connection at rest is not as large as the largest of its lives.
        Box::pin(h2::serve(door, gate, caller, closing)).await;
    }
}

fn turn_away(door: &Door, mut io: TcpStream) {
    door.edge.state.metrics.refused(Refused::TooManyConnections);
    if door.terminator().is_some() {
        // Nobody would understand it before a handshake, which is what there is no room for.
        return;
    }
    tokio::spawn(async move {
        let _ = tokio::time::timeout(BREATH, io.write_all(FULL)).await;
    });
}

/// The connection was gone before it was taken: nothing to slow down for.
fn is_about_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_one_too_many_tells_its_own_length() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }

    #[tokio::test]
    async fn the_last_connection_to_close_is_noticed_and_none_enters_beyond_the_limit() {
        let connections = Arc::new(Connections::default());
        let one = connections.enter(1).unwrap();
        assert!(connections.enter(1).is_none());
        let wait = tokio::spawn({
            let connections = connections.clone();
            async move { connections.gone().await }
        });
        drop(one);
        wait.await.unwrap();
        assert_eq!(connections.count(), 0);
    }
}
