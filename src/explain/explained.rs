//! What there is to say about one request, as plain data: text and JSON are written from it.

use super::reasons::Told;
use crate::rules::Matched;
use crate::verdict::{BypassWhy, Declined, Kind, NotStored, Reason};

/// Everything that explain knows of a request.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Which route takes it.
    pub route: Route,
    /// Listeners that answer it with a redirect to https, where others do as it is told here.
    pub redirecting: Vec<String>,
    /// Who answers.
    pub action: Action,
    /// Every cache rule of the route, in order; none where the cache has no part.
    pub rules: Vec<Rule>,
    /// The name of the rule that log and metrics show.
    pub rule: Option<String>,
    /// Whether the cache takes part.
    pub cache: Cache,
    /// Gates that would look at it.
    pub gates: Vec<String>,
    /// Whether the front would answer a fresh hit by itself.
    pub front: Result<(), Declined>,
    /// What is stored now; whoever asks of no running node takes it out.
    pub now: Option<Now>,
    /// What becomes of the response.
    pub response: Option<Response>,
}

/// Which route takes a request.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its place in the file, from 1; `None` where no route takes the request.
    pub number: Option<usize>,
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub place: String,
    /// By what it matched.
    pub because: String,
    /// The other routes that were looked at.
    pub others: Vec<Other>,
}

/// A route that was looked at and did not win.
#[derive(Clone, Debug)]
pub struct Other {
    /// Its place in the file, from 1.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// Whether it could have taken the request.
    pub matched: bool,
    /// By what it matched, or the condition that failed.
    pub because: String,
    /// Why the winner goes before it, if it matched.
    pub beaten: Option<String>,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Foreland itself, with a status.
    Answer(u16),
    /// A file of a folder.
    Files(Files),
    /// Nobody: no route takes it.
    Nobody(u16),
    /// Every listener without TLS, with a redirect to this URL.
    Redirect(u16, String),
    /// A cluster.
    Upstream(String),
}

/// Which file of a folder a path means, so far as the path alone can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The folder.
    pub root: String,
    /// What is looked for, in this order; or why nothing is.
    pub tried: Result<Vec<String>, String>,
}

/// What became of one rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub place: String,
    /// Whether it matches.
    pub matched: Matched,
    /// Which condition settled that.
    pub because: String,
    /// What it sets, and whether it has the last word on it.
    pub sets: Vec<Set>,
}

/// One thing that a rule sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// What: `ttl.edge`.
    pub setting: &'static str,
    /// To what.
    pub value: String,
    /// Whether no later rule that matches sets it too.
    pub decides: bool,
}

/// Whether the cache takes part.
#[derive(Clone, Debug)]
pub enum Cache {
    /// It does not.
    Bypass(BypassWhy),
    /// It does, under this key.
    Key(Vec<Part>),
}

/// One part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub what: String,
    /// What it says.
    pub value: String,
    /// What is special about it.
    pub note: String,
}

/// What is stored for the request at this moment.
#[derive(Clone, Debug)]
pub struct Now {
    /// What the request would become.
    pub kind: Kind,
    /// Why.
    pub reason: Reason,
    /// Why the last response could not be shared, where that is remembered.
    pub not_shared: Option<NotStored>,
    /// What is there.
    pub object: Option<Object>,
    /// How many variants of the resource are stored.
    pub variants: usize,
}

/// A stored response.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its status.
    pub status: u16,
    /// Seconds since the origin made it.
    pub age: u64,
    /// Seconds for which it is still fresh; negative when it is not.
    pub ttl: i64,
    /// Bytes of its body.
    pub size: u64,
    /// The rule that decided when it was stored.
    pub rule: Option<String>,
    /// By which it can be purged.
    pub tags: Vec<String>,
}

/// What becomes of a response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub fields: Vec<(String, String)>,
    /// Whether it is stored, and how.
    pub stored: Result<Stored, Refusal>,
}

/// Why a response is not stored.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The word.
    pub word: &'static str,
    /// The rule that refused it, if one did.
    pub rule: Option<String>,
    /// What it means and what to do.
    pub told: Told,
}

/// How a response is stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// How long it is good for.
    pub lifetime: Sourced,
    /// How old it is on arrival.
    pub age: Sourced,
    /// Seconds for which it is fresh from now on; negative when it is stale on arrival.
    pub fresh: i64,
    /// Whether it is never used without asking the origin.
    pub always_validate: bool,
    /// How long after that it may be served while it is refreshed.
    pub while_revalidate: Sourced,
    /// How long after that it may stand in for a failing origin.
    pub if_error: Sourced,
    /// By which fields of the request it varies, and what this one says in them.
    pub vary: Vec<(String, String)>,
    /// In which compressions it can be had, in words; empty where there is only one.
    pub variants: String,
    /// What a browser is told of how long it may keep it, and who says so.
    pub browser: (String, String),
    /// By which it can be purged.
    pub tags: Vec<String>,
}

/// A number of seconds, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced {
    /// How many.
    pub seconds: u64,
    /// From where: "rule `assets` replaces max-age=600".
    pub source: String,
    /// The clause; often none.
    pub clause: &'static str,
}
