//! Tests of rule files as plain data: what is asked, what the origin would say, and what is expected to come of it.

use crate::route::FieldTest;
use crate::rules::RuleSet;
use crate::verdict::{Kind, NotStored};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The tests of one rule file.
#[derive(Clone, Debug)]
pub struct CaseFile {
    /// The file as users write it: `cache-rules/site.yaml`.
    pub name: String,
    /// The default rules and those of the file.
    pub rules: Arc<RuleSet>,
    /// Its tests, in its order.
    pub cases: Vec<Case>,
}

/// One test: requests that come one after the other to a cache that is empty at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What it shows, as a sentence.
    pub name: String,
    /// Where it is written: `cache-rules/site.yaml:31`.
    pub place: String,
    /// Its requests; at least one.
    pub steps: Vec<Step>,
}

/// One request of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it is written.
    pub place: String,
    /// The method.
    pub method: String,
    /// The URL: `http` or `https`, with a host and a path.
    pub url: String,
    /// Header fields, in the order of the file.
    pub headers: Vec<(String, String)>,
    /// Who asks.
    pub client: Option<IpAddr>,
    /// When it comes, from the start of the test; never before the one before it.
    pub at: Duration,
    /// What the origin would answer, if that is said.
    pub response: Option<Response>,
    /// How the origin fails, if it does.
    pub origin: Option<Down>,
    /// What is expected.
    pub expect: Expect,
}

/// What the origin would answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Header fields, in the order of the file.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body; a small one if it is not said.
    pub body_size: Option<u64>,
}

/// How an origin fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    /// It does not answer in time.
    Timeout,
    /// It cannot be reached.
    Unreachable,
}

/// What is expected; what is not named is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// The name of the route.
    pub route: Option<String>,
    /// The name of the rule that log and metrics show; empty: no rule decides anything.
    pub rule: Option<String>,
    /// What becomes of the request.
    pub outcome: Option<Kind>,
    /// Why, in a word of the closed vocabulary.
    pub reason: Option<&'static str>,
    /// Whether the response is stored.
    pub stored: Option<Storing>,
    /// Whether the cache is left out.
    pub bypass: Option<bool>,
    /// The status that the client gets.
    pub status: Option<u16>,
    /// The lifetime under which the response is stored or served, its age not taken off.
    pub ttl: Option<Duration>,
    /// The age of what is served from the store.
    pub age: Option<Duration>,
    /// URLs that have the same key as this one.
    pub same_key_as: Vec<String>,
    /// URLs that have another key than this one.
    pub different_key_from: Vec<String>,
    /// What the stored response can be purged by, in any order.
    pub tags: Option<Vec<String>>,
    /// Fields of the answer that the client gets.
    pub headers: Vec<FieldTest>,
}

/// Whether a response is expected to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storing {
    /// It is not, for this reason.
    Because(NotStored),
    /// It is not, for whatever reason.
    No,
    /// It is.
    Yes,
}

impl Expect {
    /// Whether nothing at all is expected.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
