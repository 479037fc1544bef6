//! Whether a response may be stored and how long it is fresh (RFC 9111 3, 4.2), with what an operator adds to that.

use std::time::{Duration, SystemTime};

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::directives::{self, Directive};
use super::fields::{has_listed, single};
use super::{Assessment, Directives, Exchange, Freshness, MAX_DELTA, RequestDirectives, Skip, date};

/// How responses are assessed: RFC 9111 and what an operator says about freshness that origins do not state.
///
/// Never overrides `no-store`, `private`, `no-cache` or the rules on credentials and cookies.
///
/// ```
/// use std::time::Duration;
/// use http::header::HeaderName;
/// use oust::freshness::Policy;
///
/// let policy = Policy::new()
///     .targeted([HeaderName::from_static("cdn-cache-control")])
///     .negative_ttl(Duration::from_secs(10))
///     .maximum_ttl(Duration::from_secs(86_400));
/// # let _ = policy;
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Policy {
    targeted: Vec<HeaderName>,
    default_ttl: Duration,
    negative_ttl: Option<Duration>,
    minimum_ttl: Duration,
    maximum_ttl: Duration,
    heuristics: bool,
    stale_if_error: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy {
    /// What the RFCs say: heuristic freshness, no freshness of our own, `Oust-Cache-Control` before `CDN-Cache-Control` before `Cache-Control`.
    pub fn new() -> Self {
        Self {
            targeted: vec![HeaderName::from_static("oust-cache-control"), HeaderName::from_static("cdn-cache-control")],
            default_ttl: Duration::ZERO,
            negative_ttl: None,
            minimum_ttl: Duration::ZERO,
            maximum_ttl: Duration::from_secs(MAX_DELTA as u64),
            heuristics: true,
            stale_if_error: Duration::ZERO,
        }
    }

    /// The fields that speak to us in particular, the most particular first (RFC 9213 2.2). None: only `Cache-Control`.
    pub fn targeted(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        Self { targeted: names.into_iter().collect(), ..self }
    }

    /// Lifetime of a response that states none and gets none by heuristics, where heuristics would be allowed. Zero, the default: not stored.
    pub fn default_ttl(self, ttl: Duration) -> Self {
        Self { default_ttl: ttl, ..self }
    }

    /// Lifetime of an error (400 and above) that states none, where heuristics would be allowed: 404, 405, 410, 414, 501, and any that is
    /// `public`. Zero: such errors are not stored. Not called: they are treated as other responses are.
    pub fn negative_ttl(self, ttl: Duration) -> Self {
        Self { negative_ttl: Some(ttl), ..self }
    }

    /// What is stored is fresh for at least this long, even where the origin says less.
    pub fn minimum_ttl(self, ttl: Duration) -> Self {
        Self { minimum_ttl: ttl, ..self }
    }

    /// What is stored is fresh for at most this long. Wins over [`minimum_ttl`](Self::minimum_ttl).
    pub fn maximum_ttl(self, ttl: Duration) -> Self {
        Self { maximum_ttl: ttl, ..self }
    }

    /// Whether a response that states no lifetime is fresh for a tenth of the time since it was last modified, at most a day (RFC 9111 4.2.2).
    pub fn heuristics(self, on: bool) -> Self {
        Self { heuristics: on, ..self }
    }

    /// How long after it has expired a response may be served when the origin fails (RFC 9111 4.2.4, 4.3.3), where it does not say so itself by
    /// `stale-if-error`. Zero, the default: not at all. Never overrides `must-revalidate`, `proxy-revalidate`, `s-maxage` or `no-cache`.
    pub fn stale_if_error(self, window: Duration) -> Self {
        Self { stale_if_error: window, ..self }
    }

    /// Whether the response of `exchange` may be stored by a shared cache, and how fresh it then is (RFC 9111 3, 4.2).
    ///
    /// Its fields must have been through [`strip_unstorable`](super::strip_unstorable).
    pub fn assess(&self, exchange: &Exchange<'_>) -> Assessment {
        let response = exchange.response;
        let targeted = Directives::targeted(response, &self.targeted);
        // Either all of a targeted field counts or all of Cache-Control and Expires; never a mix (RFC 9213 2.2).
        let is_targeted = targeted.is_some();
        let control = targeted.unwrap_or_else(|| Directives::parse(response.get_all(header::CACHE_CONTROL)));
        if let Some(skip) = forbidden(exchange, &control) {
            return Assessment::Skip(skip);
        }
        let no_cache = control.no_cache || (control.no_cache_fields && has_listed(response, Directive::NoCache));
        let stated = stated(exchange, &control, is_targeted).or_else(|| self.assumed(exchange, &control, is_targeted));
        let lifetime = match stated {
            Some(lifetime) => lifetime.max(self.minimum_ttl).min(self.maximum_ttl),
            // Stored only to be validated: worth it for what the origin marks so and can validate.
            None if no_cache && has_validator(response) && exchange.status == StatusCode::OK => Duration::ZERO,
            None => return Assessment::Skip(Skip::NoFreshness),
        };
        let window = |delta: Option<u32>| Duration::from_secs(delta.unwrap_or(0).into());
        let windows = control.stale_while_revalidate.is_some() || control.stale_if_error.is_some();
        // `s-maxage` forbids stale use of its own accord (RFC 9111 5.2.2.10): what the origin says beside it counts, what we would add does not.
        let assumed = if control.s_maxage.is_some() { Duration::ZERO } else { self.stale_if_error };
        Assessment::Store(Freshness {
            lifetime,
            age: age(exchange),
            stale_while_revalidate: window(control.stale_while_revalidate),
            stale_if_error: control.stale_if_error.map_or(assumed, |stated| window(Some(stated))),
            // `s-maxage` alone forbids stale use (RFC 9111 5.2.2.10); beside an explicit RFC 5861 window it would make that window void, which is
            // not what an origin that sends both means.
            must_revalidate: control.must_revalidate
                || control.proxy_revalidate
                || (control.s_maxage.is_some() && !windows),
            no_cache,
        })
    }

    /// The lifetime of a response that states none, if it may be given one (RFC 9111 4.2.2).
    fn assumed(&self, exchange: &Exchange<'_>, control: &Directives, is_targeted: bool) -> Option<Duration> {
        if !(control.public || is_heuristic(exchange.status)) {
            return None;
        }
        let response = exchange.response;
        // RFC 9111 gives `Pragma` in a response no meaning, but who sends it and nothing else did not mean to be guessed at.
        if !is_targeted && !response.contains_key(header::CACHE_CONTROL) && is_pragma_no_cache(response) {
            return None;
        }
        let some = |ttl: Duration| (!ttl.is_zero()).then_some(ttl);
        if let (true, Some(ttl)) = (exchange.status.as_u16() >= 400, self.negative_ttl) {
            return some(ttl);
        }
        let guessed = if self.heuristics { heuristic(exchange) } else { None };
        guessed.or_else(|| some(self.default_ttl))
    }
}

fn forbidden(exchange: &Exchange<'_>, control: &Directives) -> Option<Skip> {
    let (status, response) = (exchange.status, exchange.response);
    if *exchange.method != Method::GET {
        return Some(Skip::Method);
    }
    // `Content-Range` is no reason: but for 206 and 416 it says nothing (RFC 9110 14.4), and a stored 416 answers no other range.
    if is_never_stored(status) || (control.must_understand && !is_understood(status)) {
        return Some(Skip::Status);
    }
    if RequestDirectives::parse(exchange.request).no_store {
        return Some(Skip::RequestNoStore);
    }
    // Who understands the status does as if `no-store` were not there (RFC 9111 5.2.2.3).
    if control.malformed || (control.no_store && !control.must_understand) {
        return Some(Skip::NoStore);
    }
    if control.private || (control.private_fields && has_listed(response, Directive::Private)) {
        return Some(Skip::Private);
    }
    if exchange.request.contains_key(header::AUTHORIZATION)
        && !(control.public || control.must_revalidate || control.s_maxage.is_some())
    {
        return Some(Skip::Authorization);
    }
    let any = response
        .get_all(header::VARY)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&b| b == b','))
        .any(|member| member.trim_ascii() == b"*");
    if any {
        return Some(Skip::VaryAny);
    }
    // RFC 9111 7.3 does not forbid it; every CDN refuses all the same, since such a cookie is mostly somebody's session.
    if response.contains_key(header::SET_COOKIE) && !(control.public || control.s_maxage.is_some()) {
        return Some(Skip::SetCookie);
    }
    None
}

/// The explicit freshness lifetime (RFC 9111 4.2.1), `None` if there is none.
fn stated(exchange: &Exchange<'_>, control: &Directives, is_targeted: bool) -> Option<Duration> {
    if let Some(seconds) = control.s_maxage.or(control.max_age) {
        return Some(Duration::from_secs(seconds.into()));
    }
    if is_targeted || !exchange.response.contains_key(header::EXPIRES) {
        return None;
    }
    // An invalid date, `0` above all, means already expired (RFC 9111 5.3); so do two that differ (4.2.1).
    let expires = single(exchange.response, &header::EXPIRES).and_then(|value| date::parse(value, exchange.received));
    let Some(expires) = expires else { return Some(Duration::ZERO) };
    let date = date(exchange).unwrap_or(exchange.received);
    Some(expires.duration_since(date).unwrap_or(Duration::ZERO).min(Duration::from_secs(MAX_DELTA.into())))
}

/// A tenth of the time since the last modification, at most a day; nothing where that is less than a second.
fn heuristic(exchange: &Exchange<'_>) -> Option<Duration> {
    let modified = date::parse(single(exchange.response, &header::LAST_MODIFIED)?, exchange.received)?;
    let date = date(exchange).unwrap_or(exchange.received);
    let seconds = date.duration_since(modified).ok()?.as_secs() / 10;
    (seconds > 0).then_some(Duration::from_secs(seconds.min(86_400)))
}

/// The age of the response when it was received (RFC 9111 4.2.3).
fn age(exchange: &Exchange<'_>) -> Duration {
    let apparent =
        date(exchange).and_then(|date| exchange.received.duration_since(date).ok()).unwrap_or(Duration::ZERO);
    // Of a list the first counts, what is no number is ignored (RFC 9111 5.1).
    let stated = exchange
        .response
        .get(header::AGE)
        .and_then(|value| value.as_bytes().split(|&b| b == b',').next())
        .and_then(|first| directives::delta(first.trim_ascii()))
        .unwrap_or(0);
    let corrected = Duration::from_secs(stated.into()).saturating_add(exchange.delay);
    // `Date` has a resolution of a second: what is left of one is no age.
    let apparent = Duration::from_secs(apparent.as_secs().min(MAX_DELTA.into()));
    apparent.max(Duration::from_secs(corrected.as_secs().min(MAX_DELTA.into())))
}

fn date(exchange: &Exchange<'_>) -> Option<SystemTime> {
    exchange.response.get(header::DATE).and_then(|value| date::parse(value, exchange.received))
}

fn has_validator(response: &HeaderMap) -> bool {
    response.contains_key(header::ETAG) || response.get(header::LAST_MODIFIED).is_some_and(date::is_valid)
}

pub(super) fn is_pragma_no_cache(headers: &HeaderMap) -> bool {
    headers.get_all(header::PRAGMA).iter().flat_map(members).any(|member| member.eq_ignore_ascii_case(b"no-cache"))
}

fn members(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// A 206 is a piece of something else, a 304 no response of its own, a 416 an answer to one request's range; RFC 6585 forbids to store its four.
/// 400, 408, 413, 417 and 421 are about the request: a field of it that no key has may have provoked them, and then they are no answer to anybody
/// else's (cache-poisoned denial of service).
fn is_never_stored(status: StatusCode) -> bool {
    status.is_informational()
        || matches!(status.as_u16(), 206 | 304 | 400 | 408 | 413 | 416 | 417 | 421 | 428 | 429 | 431 | 511)
}

/// Statuses that are cacheable without being told (RFC 9110 15.1), but for 206.
fn is_heuristic(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Statuses whose rules for caches we keep (RFC 9111 5.2.2.3): those of RFC 9110 and 7725 that may be stored at all.
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 451 | 500..=505
    )
}
