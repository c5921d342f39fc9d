//! The words in which pipeline tests are written: an origin that is scripted, an edge before it, and clients.
//!
//! `Origin::start(|seen| ok("hello"))` answers; `Edge::start(mode, &origin)` runs what production runs; `edge.get("/a")`
//! asks over the mode's protocol. [`in_every_mode`] makes four tests of one: HTTP/1 and HTTP/2, front on and off; or six,
//! with both over TLS.
//! Nothing sleeps: a `Gate` stops an origin where the test wants it, and waiting for a number is polling it, with a
//! bound.

mod answer;
mod ask;
mod authority;
mod backend;
mod client;
mod coded;
mod edge;
mod files;
mod h1;
mod origin;
mod reply;
mod tls;

pub use answer::Answer;
pub use ask::{Ask, HOST, get, head, post};
pub use authority::{Authority, Signed};
pub use backend::{Backend, Call, Exchange, Raw};
pub use client::{h2_connect, h2_over};
pub use coded::text;
pub use edge::Edge;
pub use files::Files;
pub use h1::Wire;
pub use origin::{Origin, Seen};
pub use reply::{Gate, Reply, fresh, hangup, ok, reply, upgrade};
pub use tls::{Site, connect, settings, trusting, trusting_with};

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
    /// Whether it speaks TLS.
    pub tls: bool,
}

impl Mode {
    pub const H1: Self = Self { protocol: Protocol::H1, front: true, tls: false };
    pub const H1_PROXY: Self = Self { protocol: Protocol::H1, front: false, tls: false };
    pub const H2: Self = Self { protocol: Protocol::H2, front: true, tls: false };
    pub const H2_PROXY: Self = Self { protocol: Protocol::H2, front: false, tls: false };

    pub const H1_TLS: Self = Self { protocol: Protocol::H1, front: true, tls: true };
    pub const H2_TLS: Self = Self { protocol: Protocol::H2, front: true, tls: true };

    /// `http` or `https`.
    pub fn scheme(self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// Whether the client speaks HTTP/2.
    pub fn is_h2(self) -> bool {
        self.protocol == Protocol::H2
    }
}

/// Makes four tests of each function: both protocols, with the front on and off. Behind `and_over_tls;` two more.
macro_rules! in_every_mode {
    (and_over_tls; $($(#[doc = $doc:literal])* async fn $name:ident($mode:ident) $body:block)+) => {
        in_every_mode! { $($(#[doc = $doc])* async fn $name($mode) $body)+ }
        mod over_tls {$(
            mod $name {
                #[tokio::test]
                async fn h1() {
                    super::super::$name::run(crate::dsl::Mode::H1_TLS).await;
                }

                #[tokio::test]
                async fn h2() {
                    super::super::$name::run(crate::dsl::Mode::H2_TLS).await;
                }
            }
        )+}
    };
    ($($(#[doc = $doc:literal])* async fn $name:ident($mode:ident) $body:block)+) => {$(
        $(#[doc = $doc])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            pub async fn run($mode: Mode) $body

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

/// Makes two tests of each function, with the front on and off, for what only HTTP/1 has. Behind `and_over_tls;` one
/// more.
macro_rules! in_both_h1_modes {
    (and_over_tls; $($(#[doc = $doc:literal])* async fn $name:ident($mode:ident) $body:block)+) => {
        in_both_h1_modes! { $($(#[doc = $doc])* async fn $name($mode) $body)+ }
        mod over_tls {$(
            #[tokio::test]
            async fn $name() {
                super::$name::run(crate::dsl::Mode::H1_TLS).await;
            }
        )+}
    };
    ($($(#[doc = $doc:literal])* async fn $name:ident($mode:ident) $body:block)+) => {$(
        $(#[doc = $doc])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            pub async fn run($mode: Mode) $body

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
