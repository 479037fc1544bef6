//! What a request demands of a cache (RFC 9111 5.2.1).

use std::time::Duration;

use http::{HeaderMap, header};

use super::Directives;

/// The request's `Cache-Control`, and `Pragma: no-cache` where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestDirectives {
    /// Nothing of the exchange is stored.
    pub no_store: bool,
    /// Stored responses are validated before use.
    pub no_cache: bool,
    /// The origin is not asked: a stored response, or 504.
    pub only_if_cached: bool,
    /// Oldest age that is accepted, in seconds.
    pub max_age: Option<u32>,
    /// Freshness that must be left, in seconds.
    pub min_fresh: Option<u32>,
}

/// What a request's directives say about one stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// It may be used.
    Use,
    /// It must be validated first.
    Validate,
}

impl RequestDirectives {
    /// Reads the directives of a request. Costs two header probes when there are none.
    pub fn parse(request: &HeaderMap) -> Self {
        if !request.contains_key(header::CACHE_CONTROL) {
            // RFC 9111 5.4: only without Cache-Control.
            let no_cache = request
                .get_all(header::PRAGMA)
                .iter()
                .any(|line| line.as_bytes().trim_ascii().eq_ignore_ascii_case(b"no-cache"));
            return Self { no_cache, ..Self::default() };
        }
        let directives = Directives::parse(request.get_all(header::CACHE_CONTROL));
        Self {
            no_store: directives.no_store,
            no_cache: directives.no_cache,
            only_if_cached: directives.only_if_cached,
            max_age: directives.max_age,
            min_fresh: directives.min_fresh,
        }
    }

    /// Whether a stored response of this age and freshness left (negative: stale) may be used without asking the origin.
    ///
    /// `max-stale` is not read: how stale a response may get is for the origin to say.
    pub fn demand(&self, age: Duration, ttl: i64) -> Demand {
        let too_old = self.max_age.is_some_and(|max| age > Duration::from_secs(max.into()));
        let too_near = self.min_fresh.is_some_and(|min| ttl < i64::from(min));
        if self.no_cache || too_old || too_near { Demand::Validate } else { Demand::Use }
    }
}
