//! What a shared cache may store and for how long (RFC 9111, RFC 5861), without I/O.
//!
//! Three questions of a caching proxy, each answered from message heads alone:
//!
//! - may this response be stored, and how long is it fresh: [`assess`];
//! - does this request allow a stored response: [`RequestDirectives`];
//! - how is a stored response validated, and what does a 304 change: [`conditional`].
//!
//! The store takes deadlines as plain values ([`Freshness`]), so an embedder may bring a policy of its own and leave this module out.
//!
//! Deliberately conservative where RFC 9111 leaves a choice: a response without explicit freshness is not stored (no heuristics), unless it
//! asks to be validated before each use and can be; malformed freshness counts as stale; a directive text that cannot be read is taken as
//! `no-store`.

pub mod conditional;
mod directives;
mod request;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode, header};

pub use self::directives::{Directives, MAX_DELTA};
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
pub struct Exchange<'a> {
    /// Method of the request that was sent to the origin.
    pub method: &'a Method,
    /// Its header fields.
    pub request: &'a HeaderMap,
    /// Status of the response.
    pub status: StatusCode,
    /// Its header fields. After a 304: the merged ones.
    pub response: &'a HeaderMap,
    /// When the response head was received.
    pub received: SystemTime,
    /// How long the origin took to answer; counts as age (RFC 9111 4.2.3).
    pub delay: Duration,
}

/// Whether a response may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Partial content, or a status that says nothing about the resource.
    Status,
    /// The request said `no-store`.
    RequestNoStore,
    /// The response said `no-store`, or its `Cache-Control` cannot be read.
    NoStore,
    /// The response said `private`.
    Private,
    /// The request carried credentials and the response does not allow sharing it (RFC 9111 3.5).
    Authorization,
    /// `Vary: *`: no later request can be matched to it.
    VaryAny,
    /// It sets cookies and does not say that it is meant for everyone.
    SetCookie,
    /// It has no explicit freshness and cannot be validated.
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

/// Whether the response of `exchange` may be stored by a shared cache, and how fresh it then is (RFC 9111 3, 4.2).
pub fn assess(exchange: &Exchange<'_>) -> Assessment {
    let directives = Directives::parse(exchange.response.get_all(header::CACHE_CONTROL));
    if let Some(skip) = forbidden(exchange, &directives) {
        return Assessment::Skip(skip);
    }
    let explicit = lifetime(exchange, &directives);
    let validator =
        exchange.response.contains_key(header::ETAG) || exchange.response.contains_key(header::LAST_MODIFIED);
    let lifetime = match explicit {
        Some(lifetime) => lifetime,
        // Stored only to be validated: worth it for what the origin marks so and can validate.
        None if directives.no_cache && validator && exchange.status == StatusCode::OK => Duration::ZERO,
        None => return Assessment::Skip(Skip::NoFreshness),
    };
    let window = |delta: Option<u32>| Duration::from_secs(delta.unwrap_or(0).into());
    let windows = directives.stale_while_revalidate.is_some() || directives.stale_if_error.is_some();
    Assessment::Store(Freshness {
        lifetime,
        age: age(exchange),
        stale_while_revalidate: window(directives.stale_while_revalidate),
        stale_if_error: window(directives.stale_if_error),
        // `s-maxage` alone forbids stale use (RFC 9111 5.2.2.10); beside an explicit RFC 5861 window it would make that window void, which is
        // not what an origin that sends both means.
        must_revalidate: directives.must_revalidate
            || directives.proxy_revalidate
            || (directives.s_maxage.is_some() && !windows),
        no_cache: directives.no_cache,
    })
}

fn forbidden(exchange: &Exchange<'_>, directives: &Directives) -> Option<Skip> {
    let status = exchange.status;
    if *exchange.method != Method::GET {
        return Some(Skip::Method);
    }
    // A 206 is a piece of something else, and a 304 no response of its own.
    if status.is_informational()
        || status == StatusCode::PARTIAL_CONTENT
        || status == StatusCode::NOT_MODIFIED
        || exchange.response.contains_key(header::CONTENT_RANGE)
    {
        return Some(Skip::Status);
    }
    if RequestDirectives::parse(exchange.request).no_store {
        return Some(Skip::RequestNoStore);
    }
    if directives.no_store || directives.malformed {
        return Some(Skip::NoStore);
    }
    if directives.private {
        return Some(Skip::Private);
    }
    if exchange.request.contains_key(header::AUTHORIZATION)
        && !(directives.public || directives.must_revalidate || directives.s_maxage.is_some())
    {
        return Some(Skip::Authorization);
    }
    let any = exchange
        .response
        .get_all(header::VARY)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&b| b == b','))
        .any(|member| member.trim_ascii() == b"*");
    if any {
        return Some(Skip::VaryAny);
    }
    // RFC 9111 7.3 does not forbid it; every CDN refuses all the same, since such a cookie is mostly somebody's session.
    if exchange.response.contains_key(header::SET_COOKIE) && !(directives.public || directives.s_maxage.is_some()) {
        return Some(Skip::SetCookie);
    }
    None
}

/// The explicit freshness lifetime (RFC 9111 4.2.1), `None` if there is none.
fn lifetime(exchange: &Exchange<'_>, directives: &Directives) -> Option<Duration> {
    if let Some(seconds) = directives.s_maxage.or(directives.max_age) {
        return Some(Duration::from_secs(seconds.into()));
    }
    let expires = exchange.response.get(header::EXPIRES)?;
    // An invalid date, `0` above all, means already expired (RFC 9111 5.3).
    let Some(expires) = expires.to_str().ok().and_then(|text| httpdate::parse_http_date(text).ok()) else {
        return Some(Duration::ZERO);
    };
    let date = date(exchange).unwrap_or(exchange.received);
    Some(expires.duration_since(date).unwrap_or(Duration::ZERO).min(Duration::from_secs(MAX_DELTA.into())))
}

/// The age of the response when it was received (RFC 9111 4.2.3).
fn age(exchange: &Exchange<'_>) -> Duration {
    let apparent =
        date(exchange).and_then(|date| exchange.received.duration_since(date).ok()).unwrap_or(Duration::ZERO);
    let stated = exchange
        .response
        .get(header::AGE)
        .and_then(|value| value.as_bytes().split(|&b| b == b',').next())
        .and_then(|first| directives::delta(first.trim_ascii()))
        .unwrap_or(0);
    let corrected = Duration::from_secs(stated.into()).saturating_add(exchange.delay);
    // `Date` has a resolution of a second: what is left of one is no age.
    let apparent = Duration::from_secs(apparent.as_secs().min(MAX_DELTA.into()));
    apparent.max(Duration::from_secs(corrected.as_secs()))
}

fn date(exchange: &Exchange<'_>) -> Option<SystemTime> {
    exchange
        .response
        .get(header::DATE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| httpdate::parse_http_date(text).ok())
}
