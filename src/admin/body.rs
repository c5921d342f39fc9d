//! Reads a request body of bounded length in bounded time.

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use std::time::Duration;
use tokio::time::timeout;

/// Largest body that is taken.
const MAX_BODY: usize = 64 << 10;

/// From the end of the head to the end of the body.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why a body was not read. Always the client's fault.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// It ended early, or is not delimited as HTTP wants it.
    #[error("the body could not be read: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// It is not finished in time.
    #[error("the body did not arrive within {} seconds", DEADLINE.as_secs())]
    Slow,
    /// It is larger than any question.
    #[error("the body is larger than {} KiB", MAX_BODY >> 10)]
    TooLarge,
}

impl Unread {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

/// Reads it.
pub(super) async fn read<B>(body: B) -> Result<Bytes, Unread>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match timeout(DEADLINE, Box::pin(Limited::new(body, MAX_BODY)).collect()).await {
        Err(_) => Err(Unread::Slow),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unread::TooLarge),
        Ok(Err(error)) => Err(Unread::Broken(error)),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}
