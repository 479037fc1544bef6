//! What a shared cache may store, for how long, and what it may answer from it (RFC 9111, RFC 5861, RFC 8246, RFC 9213, RFC 9875), without I/O.
//!
//! The questions of a caching proxy, each answered from message heads alone:
//!
//! - may this response be stored, and how long is it fresh: [`strip_unstorable`], then [`Policy::assess`];
//! - does this request allow a stored response: [`RequestDirectives`];
//! - how is a stored response validated, what does a 304 change, and does the client have it already: [`conditional`];
//! - which part of a stored response was asked for: [`range`];
//! - what does a request that changes something end: [`invalidation`], and which groups: [`groups`].
//!
//! The store takes deadlines as plain values ([`Freshness`]), so an embedder may bring a policy of its own and leave this module out. All of this
//! runs when a response is stored or when a request asks for something unusual; a plain hit compares two integers.
//!
//! 1. A text that cannot be read is never a reason to store more or serve longer: malformed freshness is stale, a malformed `Cache-Control` is
//!    `no-store`, a list of field names that cannot be read is the bare directive.
//! 2. No number overflows: seconds saturate at [`MAX_DELTA`], times are compared, never subtracted unchecked.
//! 3. Reading a head allocates nothing, but for names and texts that are handed out.
//!
//! Where the RFCs leave a choice, `docs/http.md` says what was chosen and why.

pub mod conditional;
mod date;
mod directives;
mod fields;
pub mod groups;
pub mod invalidation;
mod policy;
pub mod range;
mod request;
mod sf;
mod targeted;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode};

pub use self::directives::{Directives, MAX_DELTA};
pub use self::fields::{strip_unstorable, tags};
pub use self::policy::Policy;
pub use self::request::{Demand, RequestDirectives};

/// What the store must know of a response's freshness. Plain values: an embedder may bring a policy of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Freshness {
    /// How long the response is fresh, counted from when it had age 0.
    pub lifetime: Duration,
    /// The age it had when received (RFC 9111 4.2.3).
    pub age: Duration,
    /// RFC 5861 window after expiry in which it may be served while it is revalidated.
    pub stale_while_revalidate: Duration,
    /// RFC 5861 window after expiry in which it may be served when the origin fails.
    pub stale_if_error: Duration,
    /// `must-revalidate`, `proxy-revalidate`, `s-maxage`: never served stale.
    pub must_revalidate: bool,
    /// `no-cache`: validated before every use.
    pub no_cache: bool,
}

impl Freshness {
    /// Fresh for `lifetime` from now on, with no stale use.
    pub fn fresh_for(lifetime: Duration) -> Self {
        Self {
            lifetime,
            age: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            must_revalidate: false,
            no_cache: false,
        }
    }
}

/// One request and the response it got, as far as storing is concerned.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_structs,
    reason = "callers make it; the questions of RFC 9111 3 and 4.2 are all asked of these"
)]
pub struct Exchange<'a> {
    /// Method of the request that was sent to the origin.
    pub method: &'a Method,
    /// Its header fields.
    pub request: &'a HeaderMap,
    /// Status of the response.
    pub status: StatusCode,
    /// Its header fields, after [`strip_unstorable`]. After a 304: the merged ones.
    pub response: &'a HeaderMap,
    /// When the response head was received.
    pub received: SystemTime,
    /// How long the origin took to answer; counts as age (RFC 9111 4.2.3).
    pub delay: Duration,
}

/// Whether a response may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a response that may not be stored must not be"]
#[expect(clippy::exhaustive_enums, reason = "it may be stored or it may not")]
pub enum Assessment {
    /// It may, and is this fresh.
    Store(Freshness),
    /// It may not.
    Skip(Skip),
}

/// Why a response may not be stored. `Display` gives a token for logs and `Cache-Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Skip {
    /// Only answers to GET are stored.
    Method,
    /// Partial content, a status that says nothing about the resource or forbids storing, or one that `must-understand` asks us to understand and
    /// we do not.
    Status,
    /// The request said `no-store`.
    RequestNoStore,
    /// The response said `no-store`, or its `Cache-Control` cannot be read.
    NoStore,
    /// The response said `private`, or still has a field that is `private`.
    Private,
    /// The request carried credentials and the response does not allow sharing it (RFC 9111 3.5).
    Authorization,
    /// `Vary: *`: no later request can be matched to it.
    VaryAny,
    /// It sets cookies and does not say that it is meant for everyone.
    SetCookie,
    /// It has no freshness, neither stated nor by policy, and is not stored only to be validated.
    NoFreshness,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::RequestNoStore => "request-no-store",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::VaryAny => "vary-any",
            Self::SetCookie => "set-cookie",
            Self::NoFreshness => "no-freshness",
        })
    }
}

/// [`Policy::assess`] by the policy of [`Policy::new`].
pub fn assess(exchange: &Exchange<'_>) -> Assessment {
    static POLICY: LazyLock<Policy> = LazyLock::new(Policy::new);
    POLICY.assess(exchange)
}
