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
    /// How stale a response may be, in seconds; `Some(None)` is any.
    pub max_stale: Option<Option<u32>>,
}

/// What a request's directives say about one stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "it may be used or it may not")]
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
            return Self { no_cache: super::policy::is_pragma_no_cache(request), ..Self::default() };
        }
        let directives = Directives::parse(request.get_all(header::CACHE_CONTROL));
        Self {
            no_store: directives.no_store,
            // No field names are defined for requests.
            no_cache: directives.no_cache || directives.no_cache_fields,
            only_if_cached: directives.only_if_cached,
            max_age: directives.max_age,
            min_fresh: directives.min_fresh,
            max_stale: directives.max_stale,
        }
    }

    /// Whether a stored response that the cache may use on its own account (fresh, or within its stale-while-revalidate window) may be used
    /// without asking the origin. `ttl` is its freshness left in seconds, negative once stale.
    pub fn demand(&self, age: Duration, ttl: i64) -> Demand {
        // A client that states an age and says nothing of staleness wants nothing stale (RFC 9111 5.2.1.1).
        let too_stale = ttl < 0 && (!self.accepts(ttl) || (self.max_age.is_some() && self.max_stale.is_none()));
        if self.refuses(age, ttl) || too_stale { Demand::Validate } else { Demand::Use }
    }

    /// Whether a stored response that must be validated because it is stale may be used without that, since the request says so (`max-stale`, RFC
    /// 9111 5.2.1.2). `may_serve_stale` is whether the response and the purges allow it: the engine's
    /// [`Hit::may_serve_stale`](crate::Hit::may_serve_stale).
    pub fn accepts_stale(&self, age: Duration, ttl: i64, may_serve_stale: bool) -> bool {
        may_serve_stale && self.max_stale.is_some() && self.accepts(ttl) && !self.refuses(age, ttl)
    }

    /// Whether what [`demand`](Self::demand) wants validated is only a reload (`max-age=0`) of a stored response that is fresh and `immutable`,
    /// given by its fields: then it may be used all the same (RFC 8246 2.1). `no-cache` is always obeyed.
    pub fn is_reload_of_immutable(&self, ttl: i64, stored: &HeaderMap) -> bool {
        let reload = Self { max_age: None, ..*self };
        self.max_age == Some(0)
            && ttl > 0
            && !reload.refuses(Duration::ZERO, ttl)
            && Directives::parse(stored.get_all(header::CACHE_CONTROL)).immutable
    }

    fn refuses(&self, age: Duration, ttl: i64) -> bool {
        let too_old = self.max_age.is_some_and(|max| age > Duration::from_secs(max.into()));
        let too_near = self.min_fresh.is_some_and(|min| ttl < i64::from(min));
        self.no_cache || too_old || too_near
    }

    /// Whether `max-stale`, if it is there, allows this freshness left.
    fn accepts(&self, ttl: i64) -> bool {
        self.max_stale.flatten().is_none_or(|limit| ttl >= -i64::from(limit))
    }
}
