//! Errors: of the inner service, and of bodies.

use std::error::Error;
use std::fmt;

use http::StatusCode;

/// Any error.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why an inner service has no answer, in words of HTTP.
///
/// An inner service may fail with any error; one that is, or is caused by, a `Failure` says with which status clients are told, and by which word in
/// `Cache-Status`. Others are 502 and `origin-failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    status: StatusCode,
    detail: &'static str,
    retry_after: Option<u64>,
    may_be_done: bool,
}

impl Failure {
    /// A failure told by `status` and the word `detail`.
    pub fn new(status: StatusCode, detail: &'static str) -> Self {
        Self { status, detail, retry_after: None, may_be_done: false }
    }

    /// Clients are told to come back after so many seconds.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The request was sent whole, and may have been carried out although no answer came: what an unsafe one may have changed is ended as if it had
    /// succeeded (RFC 9111 4.4 asks for that when the answer says so; it forbids it at no time).
    pub fn may_be_done(mut self) -> Self {
        self.may_be_done = true;
        self
    }

    /// Whether the request may have been carried out.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.may_be_done
    }

    /// The status clients are told.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The word for it in `Cache-Status`.
    pub fn detail(&self) -> &'static str {
        self.detail
    }

    /// Seconds after which clients are to come back.
    pub(crate) fn comes_back_in(&self) -> Option<u64> {
        self.retry_after
    }

    /// It answered 304 to a request that was not conditional.
    pub(crate) const NONSENSE: Self =
        Self { status: StatusCode::BAD_GATEWAY, detail: "origin-nonsense", retry_after: None, may_be_done: true };
    /// It failed and did not say how.
    pub(crate) const UNKNOWN: Self =
        Self { status: StatusCode::BAD_GATEWAY, detail: "origin-failed", retry_after: None, may_be_done: true };

    /// What an error of an inner service says.
    pub(crate) fn of(error: impl Into<BoxError>) -> Self {
        let error = error.into();
        let mut cause: Option<&(dyn Error + 'static)> = Some(error.as_ref());
        while let Some(error) = cause {
            if let Some(failure) = error.downcast_ref::<Self>() {
                return *failure;
            }
            cause = error.source();
        }
        Self::UNKNOWN
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail)
    }
}

impl Error for Failure {}

/// Why a body ended early.
#[derive(Debug)]
pub struct BodyError {
    /// The inner service's, if it was passed through.
    source: Option<BoxError>,
}

impl BodyError {
    /// The fill that was read broke off, or its reader was cut off.
    pub(crate) const BROKEN: Self = Self { source: None };

    /// For who hands on a stored body that turns out not to be whole.
    pub fn broken() -> Self {
        Self::BROKEN
    }

    pub(crate) fn passed(error: impl Into<BoxError>) -> Self {
        Self { source: Some(error.into()) }
    }

    /// Whether the fill that was read broke off, or this reader fell too far behind the others; else the body that was passed through failed.
    pub fn is_broken_fill(&self) -> bool {
        self.source.is_none()
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(error) => error.fmt(f),
            None => f.write_str("the fetch that was read broke off"),
        }
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().and_then(|error| error.source())
    }
}
