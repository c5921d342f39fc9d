//! Counts the connections a listener has open.

use super::table::Families;
use prometheus::IntGauge;

/// What a client connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionProtocol {
    /// HTTP/1.0 or HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
}

impl ConnectionProtocol {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
        }
    }
}

/// The gauges of one listener.
pub struct ListenerMetrics {
    h1: IntGauge,
    h2: IntGauge,
}

impl ListenerMetrics {
    pub(super) fn new(families: &Families, listener: &str) -> Self {
        let gauge = |protocol: ConnectionProtocol| {
            families.connections.with_label_values(&[listener, protocol.as_str()])
        };
        Self { h1: gauge(ConnectionProtocol::H1), h2: gauge(ConnectionProtocol::H2) }
    }

    /// Counts a connection for as long as the guard lives.
    #[must_use = "the connection is counted until the guard is dropped"]
    pub fn connection(&self, protocol: ConnectionProtocol) -> ConnectionGuard {
        let gauge = match protocol {
            ConnectionProtocol::H1 => &self.h1,
            ConnectionProtocol::H2 => &self.h2,
        };
        gauge.inc();
        ConnectionGuard(gauge.clone())
    }

    /// Connections that are open.
    pub fn open(&self) -> u64 {
        u64::try_from(self.h1.get() + self.h2.get()).unwrap_or(0)
    }
}

/// A connection that is being counted.
pub struct ConnectionGuard(IntGauge);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::ConnectionProtocol::{H1, H2};
    use crate::telemetry::Metrics;

    #[test]
    fn a_connection_is_counted_for_as_long_as_it_lives() {
        let metrics = Metrics::new();
        let listener = metrics.listener("0.0.0.0:8443");
        let first = listener.connection(H2);
        let _second = listener.connection(H2);
        let _other = listener.connection(H1);
        drop(first);
        let text = metrics.encode();
        assert!(
            text.contains("foreland_connections{listener=\"0.0.0.0:8443\",protocol=\"h2\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("foreland_connections{listener=\"0.0.0.0:8443\",protocol=\"h1\"} 1\n"),
            "{text}"
        );
    }
}
