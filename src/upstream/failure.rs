//! What went wrong with a try at an origin, whether another is allowed, and what the client is told.

use pingora::{Error, ErrorSource, ErrorType, RetryType};

/// A try that gave no whole response. Closed: the words are the `result` label of `foreland_upstream_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The head came, the body did not end as announced.
    BodyCut,
    /// No connection within the connect deadline.
    ConnectTimeout,
    /// Every server has as many requests as it may get.
    Full,
    /// There was no server left to try.
    NoServer,
    /// What came back is not HTTP.
    Protocol,
    /// The connection broke before a response head.
    Reset,
    /// A status that another server shall be asked after.
    Status,
    /// The connection stood, but the origin neither read nor answered in time.
    Timeout,
    /// Refused, no route, or no TLS handshake.
    Unreachable,
}

/// How far a try had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// `fail_to_connect`: nothing was sent.
    Connect,
    /// Connected, no response head yet.
    Head,
    /// After the response head.
    Body,
}

/// What a retry must know about the try that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try {
    /// The connection had served a request before.
    pub reused: bool,
    /// The method is idempotent, or the server did not look at the request; and its whole body is still in the retry
    /// buffer.
    pub replayable: bool,
    /// The server promises that it did not look at the request.
    pub untouched: bool,
}

/// Where the next try may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Any server, this one included: only its old connection is at fault. Do not add it to `tried`.
    Anywhere,
    /// Another server. Add this one to `tried`.
    Elsewhere,
    /// Nowhere.
    No,
}

impl Failure {
    /// Reads Pingora's error; `None` if the client or we ourselves are at fault.
    pub fn of(error: &Error, phase: Phase) -> Option<Self> {
        match (error.esource(), phase) {
            (ErrorSource::Upstream, Phase::Connect) => Some(connecting(error.etype())),
            (ErrorSource::Upstream, Phase::Head) => Some(waiting(error.etype())),
            (ErrorSource::Upstream, Phase::Body) => Some(Self::BodyCut),
            _ => None,
        }
    }

    /// Whether the server promises that it did not look at the request: it refused the stream (RFC 9113 §8.7), it is
    /// leaving and the stream came too late (§6.8), or it wants HTTP/1.1 (§7).
    pub fn is_untouched(error: &Error) -> bool {
        matches!(error.etype(), ErrorType::H2Error | ErrorType::H2Downgrade)
            && matches!(error.retry, RetryType::Decided(true))
    }

    /// Whether the request may be tried again; the caller counts the tries.
    pub fn retry(self, it: Try) -> Retry {
        match self {
            // Nothing was sent: safe for every method.
            Self::ConnectTimeout | Self::Unreachable => Retry::Elsewhere,
            // RFC 9112 §9.3.1: an idle connection may close at any time; repeating is for idempotent requests.
            Self::Reset if it.reused && it.replayable => Retry::Anywhere,
            Self::Protocol | Self::Reset if it.untouched && it.replayable => Retry::Anywhere,
            // RFC 9110 §9.2.2: the origin may have acted on it, so only what may be repeated goes elsewhere.
            Self::Protocol | Self::Reset | Self::Status | Self::Timeout if it.replayable => Retry::Elsewhere,
            Self::Protocol | Self::Reset | Self::Status | Self::Timeout => Retry::No,
            // The client has a part of the answer, or there is nowhere else to go.
            Self::BodyCut | Self::Full | Self::NoServer => Retry::No,
        }
    }

    /// The status of our answer, if none was sent yet.
    pub fn status(self) -> u16 {
        match self {
            Self::BodyCut | Self::Protocol | Self::Reset | Self::Status | Self::Unreachable => 502,
            Self::Full | Self::NoServer => 503,
            Self::ConnectTimeout | Self::Timeout => 504,
        }
    }

    /// Whether any request would have failed this way: the server was not there, or did not answer in time.
    pub fn is_general(self) -> bool {
        matches!(self, Self::ConnectTimeout | Self::Full | Self::NoServer | Self::Timeout | Self::Unreachable)
    }

    /// Whether the server had the request before it failed.
    pub fn was_sent(self) -> bool {
        !matches!(self, Self::ConnectTimeout | Self::Full | Self::NoServer | Self::Unreachable)
    }

    /// The word in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BodyCut => "body_cut",
            Self::ConnectTimeout => "connect_timeout",
            Self::Full => "full",
            Self::NoServer => "no_server",
            Self::Protocol => "protocol",
            Self::Reset => "reset",
            Self::Status => "status",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
        }
    }
}

fn connecting(error: &ErrorType) -> Failure {
    match error {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Failure::ConnectTimeout,
        _ => Failure::Unreachable,
    }
}

fn waiting(error: &ErrorType) -> Failure {
    match error {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::Timeout,
        ErrorType::ConnectionClosed | ErrorType::H2Error | ErrorType::ReadError | ErrorType::WriteError => {
            Failure::Reset
        }
        _ => Failure::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Try = Try { reused: false, replayable: true, untouched: false };
    const REUSED: Try = Try { reused: true, ..FRESH };
    const REUSED_POST: Try = Try { replayable: false, ..REUSED };

    #[test]
    fn every_origin_error_has_a_word_a_status_and_a_retry() {
        use ErrorType as E;
        use Phase::{Body, Connect, Head};
        use Retry::{Anywhere, Elsewhere, No};
        // error, phase → word, status, retry on a fresh, a reused, a reused connection with POST
        for (error, phase, word, status, retries) in [
            (E::ConnectRefused, Connect, "unreachable", 502, [Elsewhere; 3]),
            (E::ConnectNoRoute, Connect, "unreachable", 502, [Elsewhere; 3]),
            (E::ConnectError, Connect, "unreachable", 502, [Elsewhere; 3]),
            (E::InternalError, Connect, "unreachable", 502, [Elsewhere; 3]),
            (E::TLSHandshakeFailure, Connect, "unreachable", 502, [Elsewhere; 3]),
            (E::InvalidCert, Connect, "unreachable", 502, [Elsewhere; 3]),
            (E::ConnectTimedout, Connect, "connect_timeout", 504, [Elsewhere; 3]),
            (E::TLSHandshakeTimedout, Connect, "connect_timeout", 504, [Elsewhere; 3]),
            (E::ConnectionClosed, Head, "reset", 502, [Elsewhere, Anywhere, No]),
            (E::ReadError, Head, "reset", 502, [Elsewhere, Anywhere, No]),
            (E::WriteError, Head, "reset", 502, [Elsewhere, Anywhere, No]),
            (E::ReadTimedout, Head, "timeout", 504, [Elsewhere, Elsewhere, No]),
            (E::WriteTimedout, Head, "timeout", 504, [Elsewhere, Elsewhere, No]),
            (E::H2Error, Head, "reset", 502, [Elsewhere, Anywhere, No]),
            (E::H2Downgrade, Head, "protocol", 502, [Elsewhere, Elsewhere, No]),
            (E::InvalidHTTPHeader, Head, "protocol", 502, [Elsewhere, Elsewhere, No]),
            (E::H1Error, Head, "protocol", 502, [Elsewhere, Elsewhere, No]),
            (E::ConnectionClosed, Body, "body_cut", 502, [No; 3]),
            (E::ReadTimedout, Body, "body_cut", 502, [No; 3]),
            (E::Custom("InvalidChunk"), Body, "body_cut", 502, [No; 3]),
        ] {
            let failure = Failure::of(&Error::new_up(error.clone()), phase).unwrap();
            let got = [FRESH, REUSED, REUSED_POST].map(|it| failure.retry(it));
            assert_eq!((failure.as_str(), failure.status(), got), (word, status, retries), "{error:?}");
        }
        assert_eq!((Failure::NoServer.as_str(), Failure::NoServer.status()), ("no_server", 503));
    }

    #[test]
    fn what_the_server_did_not_look_at_is_tried_again_whatever_the_method() {
        for (error, untouched) in [
            (ErrorType::H2Error, true),
            (ErrorType::H2Downgrade, true),
            (ErrorType::InvalidH2, false),
            (ErrorType::ReadError, false),
        ] {
            let mut error = Error::new_up(error);
            assert!(!Failure::is_untouched(&error));
            error.set_retry(true);
            assert_eq!(Failure::is_untouched(&error), untouched, "{error}");
            let failure = Failure::of(&error, Phase::Head).unwrap();
            let it = Try { reused: false, replayable: true, untouched };
            assert_eq!(failure.retry(it) == Retry::Anywhere, untouched);
            assert_eq!(failure.retry(Try { replayable: false, ..it }), Retry::No);
        }
    }

    #[test]
    fn a_client_that_left_is_not_the_origins_fault() {
        let left = Error::new_down(ErrorType::ConnectionClosed);
        let ours = Error::new_in(ErrorType::InternalError);
        for phase in [Phase::Connect, Phase::Head, Phase::Body] {
            assert_eq!(Failure::of(&left, phase), None);
            assert_eq!(Failure::of(&ours, phase), None);
        }
    }
}
