//! How a cluster's servers are checked, and when one that fails requests is left alone; every default beside its reason.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::uri::PathAndQuery;

use crate::http::status::StatusRange;

/// When a server counts as down, and when as up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Pause between two checks of a server that is up. Default 5 s.
    pub every: Duration,
    /// Pause while it is down, or has just failed; `every` if that is shorter. Default 1 s: an outage is noticed
    /// within seconds, and so is its end.
    pub every_down: Duration,
    /// Longest time one check may take, from connecting to the last byte it wants. Default 2 s.
    pub timeout: Duration,
    /// Failed checks in a row that take a server out. Default 3: one lost packet is no outage.
    pub fall: usize,
    /// Passed checks in a row that take it back. Default 2: a server that just started may stumble.
    pub rise: usize,
    /// The port that is asked instead of the server's own; a unix socket has none.
    pub port: Option<u16>,
    /// What is asked. Default: a connection opens.
    pub probe: Probe,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5),
            every_down: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            fall: 3,
            rise: 2,
            port: None,
            probe: Probe::Tcp,
        }
    }
}

/// What a check asks of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// An answer to an HTTP request, over TLS where the server speaks it.
    Http(Arc<HttpProbe>),
    /// That a connection opens, be it to a TLS port or not.
    Tcp,
}

/// The request of a check, and which answers are good. Redirects are not followed: where they lead to is not
/// this server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpProbe {
    /// Path and query.
    pub path: PathAndQuery,
    /// The Host field; without it, the server's host and the port that is asked.
    pub host: Option<HeaderValue>,
    /// The method.
    pub method: ProbeMethod,
    /// Good statuses.
    pub statuses: Vec<StatusRange>,
    /// A text that must occur in the first 64 KiB of the body; without it, the body is not read.
    pub body: Option<Box<str>>,
}

/// The method of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeMethod {
    Get,
    Head,
}

/// When a server is left alone although its checks pass, because requests to it fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Failed requests in a row. Default 5: more than one client's bad luck, few enough to be soon. 0 turns it off.
    pub failures: u32,
    /// How long the first time; each further time twice as long. Default 10 s: a restart is over by then.
    pub for_: Duration,
    /// How long at most. Default 5 min: nobody waits longer for a server that has been repaired.
    pub at_most: Duration,
}

impl Default for Ejection {
    fn default() -> Self {
        Self { failures: 5, for_: Duration::from_secs(10), at_most: Duration::from_secs(300) }
    }
}
