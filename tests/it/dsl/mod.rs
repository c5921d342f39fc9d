//! The words in which pipeline tests are written: an origin that is scripted, an edge before it, and clients.
//!
//! `Origin::start(|seen| ok("hello"))` answers; `Edge::start(mode, &origin)` runs what production runs; `edge.get("/a")`
//! asks over the mode's protocol. [`in_every_mode`] makes four tests of one: HTTP/1 and HTTP/2, front on and off.
//! Nothing sleeps: a `Gate` stops an origin where the test wants it, and waiting for a number is polling it, with a
//! bound.

mod answer;
mod ask;
mod authority;
mod backend;
mod client;
mod edge;
mod files;
mod h1;
mod origin;
mod reply;

pub use answer::Answer;
pub use ask::{Ask, HOST, get, head, post};
pub use authority::{Authority, Signed};
pub use backend::{Backend, Call, Exchange, Raw};
pub use client::h2_connect;
pub use edge::Edge;
pub use files::Files;
pub use h1::Wire;
pub use origin::{Origin, Seen};
pub use reply::{Gate, Reply, fresh, hangup, ok, reply, upgrade};

use std::future::Future;
use std::time::{Duration, Instant};

/// Longest wait for anything: a loaded machine is slow, a hang is for ever.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    H1,
    H2,
}

/// One of the ways through the pipeline.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// What the client speaks.
    pub protocol: Protocol,
    /// Whether the front is on.
    pub front: bool,
}

impl Mode {
    pub const H1: Self = Self { protocol: Protocol::H1, front: true };
    pub const H1_PROXY: Self = Self { protocol: Protocol::H1, front: false };
    pub const H2: Self = Self { protocol: Protocol::H2, front: true };
    pub const H2_PROXY: Self = Self { protocol: Protocol::H2, front: false };

    /// Whether the client speaks HTTP/2.
    pub fn is_h2(self) -> bool {
        self.protocol == Protocol::H2
    }
}

/// Makes four tests of each function: both protocols, with the front on and off.
macro_rules! in_every_mode {
    ($($(#[doc = $doc:literal])* async fn $name:ident($mode:ident) $body:block)+) => {$(
        $(#[doc = $doc])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn run($mode: Mode) $body

            #[tokio::test]
            async fn h1() {
                run(Mode::H1).await;
            }

            #[tokio::test]
            async fn h1_front_off() {
                run(Mode::H1_PROXY).await;
            }

            #[tokio::test]
            async fn h2() {
                run(Mode::H2).await;
            }

            #[tokio::test]
            async fn h2_front_off() {
                run(Mode::H2_PROXY).await;
            }
        }
    )+};
}

/// Makes two tests of each function, with the front on and off, for what only HTTP/1 has.
macro_rules! in_both_h1_modes {
    ($($(#[doc = $doc:literal])* async fn $name:ident($mode:ident) $body:block)+) => {$(
        $(#[doc = $doc])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn run($mode: Mode) $body

            #[tokio::test]
            async fn h1() {
                run(Mode::H1).await;
            }

            #[tokio::test]
            async fn h1_front_off() {
                run(Mode::H1_PROXY).await;
            }
        }
    )+};
}

pub(crate) use {in_both_h1_modes, in_every_mode};

/// A body in which every place can be told from every other.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length.div_ceil(8)).flat_map(|n| format!("{n:07x}\n").into_bytes()).take(length).collect()
}

/// Waits for an event, within bounds.
pub async fn soon<F: Future>(event: F, what: &str) -> F::Output {
    match tokio::time::timeout(PATIENCE, event).await {
        Ok(output) => output,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// Waits until something has become true that nobody announces.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    until_or(what, condition, String::new).await;
}

/// The same; says what it was instead if it never came true.
pub async fn until_or(what: &str, condition: impl Fn() -> bool, instead: impl Fn() -> String) {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > PATIENCE {
            panic!("waited too long for {what}; it is `{}`", instead());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
