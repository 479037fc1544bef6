//! Why an origin gave no answer.

use std::error::Error;
use std::fmt;

use http::StatusCode;

/// Any error, kept for the log.
pub(super) type Cause = Box<dyn Error + Send + Sync>;

/// Why an origin gave no answer. Its text is the `detail` of `Cache-Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It cannot be reached.
    Down,
    /// Connecting, or the TLS handshake, took too long.
    ConnectTimeout,
    /// TLS failed: a certificate of somebody else's, or no protocol in common.
    Tls,
    /// It took too long to begin its answer.
    Timeout,
    /// The request's own body did not come, or broke off: there was nothing to be answered.
    Unasked,
    /// The connection ended before an answer.
    Reset,
    /// What it sent is no HTTP, or an answer to a question that was not asked.
    Nonsense,
    /// As many fetches as the site may have are in flight, and as many as may wait do.
    Busy,
    /// There is none for this host.
    Nobody,
}

impl Failure {
    /// The status a client is told when nothing stored may stand in.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Timeout | Self::ConnectTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Unasked => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Down | Self::Tls | Self::Reset | Self::Nonsense | Self::Nobody => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether the request was sent whole, so that it may have been carried out.
    pub(crate) fn is_in_doubt(self) -> bool {
        matches!(self, Self::Timeout | Self::Reset | Self::Nonsense)
    }

    /// Seconds after which asking again makes sense, for `Retry-After`.
    pub(crate) fn retry_after(self) -> Option<u64> {
        matches!(self, Self::Busy).then_some(1)
    }

    /// The token of it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Down => "origin-down",
            Self::ConnectTimeout => "origin-connect-timeout",
            Self::Tls => "origin-tls",
            Self::Timeout => "origin-timeout",
            Self::Unasked => "client-body",
            Self::Reset => "origin-reset",
            Self::Nonsense => "origin-nonsense",
            Self::Busy => "origin-busy",
            Self::Nobody => "no-origin",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error with its causes.
pub(super) struct Chain<'a>(pub(super) &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
