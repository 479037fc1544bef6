//! RFC 9111 freshness, without I/O (the seam; to be built).

use std::time::Duration;

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
