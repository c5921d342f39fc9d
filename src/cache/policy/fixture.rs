//! One exchange in a line, for the tests of the policy.

use super::{Defaults, Exchange, Lifetime, Override, ResponseView, StoredTimes, storable};
use crate::http::fields::Fields;
use crate::http::request::{Framing, Protocol, RequestView, Scheme};
use crate::verdict::NotStored;
use httparse::Header;
use std::net::{IpAddr, Ipv4Addr};

/// When responses arrive, and the same as a date.
pub(super) const NOW: u64 = 784_111_777;
pub(super) const NOW_DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

type Pair<'a> = (&'a str, &'a str);

/// Turns each row, a sentence, what is looked at and what it must be, into a test.
macro_rules! rows {
    ($($sentence:ident: $got:expr => $want:expr;)+) => {
        $(#[test] fn $sentence() { assert_eq!($got, $want); })+
    };
}
pub(super) use rows;

/// One exchange to be judged.
pub(super) struct Trial<'a> {
    method: &'a str,
    status: u16,
    answer: &'a [Pair<'a>],
    asked: &'a [Pair<'a>],
    took: u64,
    origin: (Scheme, &'a str, u16),
}

impl<'a> Trial<'a> {
    /// A GET that was answered 200 with these fields, at once.
    pub(super) fn get(answer: &'a [Pair<'a>]) -> Self {
        Self::method("GET", answer)
    }

    /// The same for any method.
    pub(super) fn method(method: &'a str, answer: &'a [Pair<'a>]) -> Self {
        Self { method, status: 200, answer, asked: &[], took: 0, origin: (Scheme::Http, "Example.com", 80) }
    }

    pub(super) fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(super) fn asked(self, asked: &'a [Pair<'a>]) -> Self {
        Self { asked, ..self }
    }

    pub(super) fn took(self, took: u64) -> Self {
        Self { took, ..self }
    }

    pub(super) fn at(self, scheme: Scheme, host: &'a str, port: u16) -> Self {
        Self { origin: (scheme, host, port), ..self }
    }

    /// Runs with the exchange built.
    pub(super) fn exchange<R>(&self, run: impl FnOnce(&Exchange<'_>) -> R) -> R {
        let (asked, answer) = (headers(self.asked), headers(self.answer));
        let (scheme, host, port) = self.origin;
        let request = RequestView {
            method: self.method,
            scheme,
            host,
            port,
            path: "/shop/cart",
            query: Some("id=7"),
            protocol: Protocol::Http11,
            fields: Fields::Raw(&asked),
            framing: Framing::None,
            upgrade: false,
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let response = ResponseView { status: self.status, fields: Fields::Raw(&answer) };
        let requested_at = NOW - self.took;
        run(&Exchange { request: &request, response: &response, requested_at, received_at: NOW })
    }

    pub(super) fn store(&self) -> Result<Lifetime, NotStored> {
        self.under(&Override::default())
    }

    /// What becomes of it under this rule.
    pub(super) fn under(&self, rule: &Override) -> Result<Lifetime, NotStored> {
        self.exchange(|exchange| storable(exchange, &Defaults::default(), rule))
    }

    pub(super) fn stored_under(&self, rule: &Override) -> Result<StoredTimes, NotStored> {
        self.under(rule).map(|life| StoredTimes { received_at: NOW, life })
    }

    /// Why it is not stored.
    pub(super) fn refused(&self) -> Option<NotStored> {
        self.store().err()
    }

    pub(super) fn stored(&self) -> Result<StoredTimes, NotStored> {
        self.stored_under(&Override::default())
    }
}

/// A 200 to a GET with this Cache-Control and nothing else.
pub(super) fn controlled(cache_control: &str) -> Result<Lifetime, NotStored> {
    Trial::get(&[("cache-control", cache_control)]).store()
}

pub(super) fn headers<'a>(pairs: &[Pair<'a>]) -> Vec<Header<'a>> {
    pairs.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect()
}
