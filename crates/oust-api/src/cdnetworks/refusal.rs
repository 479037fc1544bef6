//! Refusals: `{code,message}` with a status.

use http::{Method, StatusCode};

use super::typed;
use crate::call::{Reply, with_header};

/// Why a request is refused, as the client is told.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    header: Option<(&'static str, String)>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), header: None }
    }

    /// A URL that cannot be purged.
    pub(super) fn url(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidPurgeUrl", message)
    }

    /// Anything else the client wrote wrong.
    pub(super) fn parameter(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidParameter", message)
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        let header = Some(("www-authenticate", "Basic realm=\"cdn\"".to_owned()));
        Self { header, ..Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message) }
    }

    /// A host that is not in an environment, or another account's: which of them is not told.
    pub(super) fn not_deployed(host: &str, target: &str) -> Self {
        Self::url(format!("The host '{host}' has not been deployed in the '{target}' environment."))
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    pub(super) fn method(method: &Method, allow: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", format!("{method} is not one of {allow}."))
    }

    /// Over a rate or quota that has room again in `wait_ms`.
    pub(super) fn too_many(message: impl Into<String>, wait_ms: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message).retry_after(wait_ms)
    }

    /// Nothing the client did: the engine is at a limit that sweeping relieves.
    pub(super) fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message).retry_after(1000)
    }

    /// The operating system gives no random bytes, hence there are no ids.
    pub(super) fn no_random() -> Self {
        Self::busy("No identity could be drawn.")
    }

    fn retry_after(mut self, wait_ms: u64) -> Self {
        self.header = Some(("retry-after", wait_ms.div_ceil(1000).max(1).to_string()));
        self
    }

    pub(super) fn reply(self) -> Reply {
        let reply = typed(self.status, &serde_json::json!({ "code": self.code, "message": self.message }));
        match self.header {
            Some((name, value)) => with_header(reply, name, &value),
            None => reply,
        }
    }
}
