//! Counts the connections a listener has open.

use super::table::Families;
use prometheus::{IntCounter, IntGauge};
use std::sync::{Arc, OnceLock};

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

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// It went wrong.
    Failed,
    /// With a new session.
    Full,
    /// With the session of an earlier connection, which costs a tenth.
    Resumed,
    /// It took too long.
    Timeout,
}

impl Handshake {
    const ALL: [Self; 4] = [Self::Failed, Self::Full, Self::Resumed, Self::Timeout];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Timeout => "timeout",
        }
    }
}

/// The numbers of one listener.
pub struct ListenerMetrics {
    h1: IntGauge,
    h2: IntGauge,
    /// Not there before the first handshake: most listeners of a machine speak no TLS.
    handshakes: OnceLock<[IntCounter; Handshake::ALL.len()]>,
    families: Arc<Families>,
    listener: Box<str>,
}

impl ListenerMetrics {
    pub(super) fn new(families: Arc<Families>, listener: &str) -> Self {
        let gauge = |protocol: ConnectionProtocol| {
            families.connections.with_label_values(&[listener, protocol.as_str()])
        };
        let (h1, h2) = (gauge(ConnectionProtocol::H1), gauge(ConnectionProtocol::H2));
        Self { h1, h2, handshakes: OnceLock::new(), families, listener: listener.into() }
    }

    /// Counts a handshake.
    pub fn handshake(&self, result: Handshake) {
        self.handshakes()[result as usize].inc();
    }

    /// Shows handshakes from now on, be there some or none.
    pub fn show_handshakes(&self) {
        self.handshakes();
    }

    fn handshakes(&self) -> &[IntCounter; Handshake::ALL.len()] {
        self.handshakes.get_or_init(|| {
            let family = &self.families.tls_handshakes;
            Handshake::ALL.map(|result| family.with_label_values(&[&*self.listener, result.as_str()]))
        })
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
    use super::Handshake;
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

    #[test]
    fn handshakes_are_counted_by_how_they_ended_and_shown_only_where_there_is_tls() {
        let metrics = Metrics::new();
        let _plain = metrics.listener(":8080");
        let listener = metrics.listener(":8443");
        assert!(!metrics.encode().contains("foreland_tls_handshakes_total{"));
        listener.show_handshakes();
        listener.handshake(Handshake::Resumed);
        let text = metrics.encode();
        for (result, count) in [("failed", 0), ("full", 0), ("resumed", 1), ("timeout", 0)] {
            let line =
                format!("foreland_tls_handshakes_total{{listener=\":8443\",result=\"{result}\"}} {count}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
        assert!(!text.contains("foreland_tls_handshakes_total{listener=\":8080\""));
    }
}
