//! The caching reverse proxy: from a request to an answer.

mod body;
mod fetch;
mod figures;
mod head;
mod status;
mod upgrade;

use std::sync::Arc;
use std::time::SystemTime;

use http::header::{self, HeaderValue};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use oust::cache::{Cache, Hit, Lookup, Reason};
use oust::freshness::conditional;
use oust::freshness::{Demand, RequestDirectives};
use oust::key::Key;
use oust::site::Sites;

pub(crate) use self::body::{Body, BodyError};
pub(crate) use self::figures::{Counter, Figures, Seldom};

use self::status::CacheStatus;
use crate::config::{Config, Http, Server};
use crate::engine::{self, NoKey};
use crate::listen::{Answer, Peer, Refused};
use crate::origin::{self, Failure, Origins};

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) cache: Cache,
    pub(crate) figures: Arc<Figures>,
    sites: Sites,
    pub(crate) origins: Origins,
    server: Server,
    http: Http,
}

/// A GET or HEAD that has a key.
#[derive(Debug)]
struct Ask {
    key: Key,
    /// As the origin would see it, but for conditions and `Via`: what a variant is selected by.
    headers: HeaderMap,
    wants: RequestDirectives,
    head_only: bool,
    from_cache: bool,
    version: Version,
}

impl Answer for Proxy {
    type Body = Body;

    async fn answer(self: Arc<Self>, peer: Peer, request: Request<Incoming>) -> Response<Body> {
        self.figures.requests.add(1);
        let version = request.version();
        let response = match self.clone().route(peer, request).await {
            Ok(response) => response,
            Err(refusal) => refusal.into_response(),
        };
        tracing::debug!(peer = %peer.addr, ?version, status = response.status().as_u16(), "answered");
        response
    }
}

impl Proxy {
    pub(crate) fn new(config: &Config, sites: Sites, cache: Cache, figures: Arc<Figures>) -> Self {
        let origins = Origins::new(&config.server, &config.sites, &sites);
        Self { cache, figures, sites, origins, server: config.server.clone(), http: config.http.clone() }
    }

    /// One of a new configuration. Origins that are the same keep their connections and what is known of them. Needs a runtime.
    pub(crate) fn renewed(&self, config: &Config, sites: Sites) -> Self {
        Self {
            cache: self.cache.clone(),
            figures: self.figures.clone(),
            origins: self.origins.renewed(&config.server, &config.sites, &sites),
            sites,
            server: config.server.clone(),
            http: config.http.clone(),
        }
    }

    async fn route(self: Arc<Self>, peer: Peer, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let (mut parts, body) = request.into_parts();
        if refused_method(&parts.method) {
            return Err(Refusal::Method);
        }
        let upgrade = upgrade::Wanted::take(&mut parts);
        let mut headers = parts.headers;
        let authority = authority(&parts.uri, &headers)?;
        let trusted = self.server.trusted_proxies.iter().any(|network| network.contains(&peer.addr.ip()));
        let scheme = if trusted { stated_scheme(&headers) } else { None }.unwrap_or_else(|| peer.scheme());
        if parts.uri.scheme_str().is_some_and(|stated| stated != scheme) {
            return Err(Refusal::Misdirected);
        }
        let from_cache = head::is_from_cache(&headers);
        head::strip_hop_by_hop(&mut headers);
        head::forwarded(&mut headers, peer.addr.ip(), trusted, scheme);
        headers.remove(header::EXPECT);

        if parts.method == Method::OPTIONS && parts.uri.path() == "*" {
            return Ok(answer_to_options());
        }
        let path_and_query = parts.uri.path_and_query().map_or("/", |text| text.as_str());
        let cacheable = matches!(parts.method, Method::GET | Method::HEAD);
        let has_body = !http_body::Body::is_end_stream(&body);
        if cacheable && !has_body && upgrade.is_none() {
            headers.remove(header::CONTENT_LENGTH);
            match engine::key(&self.sites, scheme, &authority, path_and_query, &headers) {
                Ok(key) => {
                    let wants = RequestDirectives::parse(&headers);
                    let head_only = parts.method == Method::HEAD;
                    // What is selected by `Vary` must be what the origin of this key is told.
                    let target = engine::target(&key);
                    headers.insert(head::X_FORWARDED_PROTO, HeaderValue::from_static(target.scheme));
                    if let Ok(host) = HeaderValue::from_str(target.authority) {
                        headers.insert(header::HOST, host);
                    }
                    let ask = Ask { key, headers, wants, head_only, from_cache, version: parts.version };
                    return Ok(self.cached(Arc::new(ask)).await);
                }
                // Too long to be stored, not to be answered.
                Err(NoKey::TooLong) => {}
                Err(other) => return Err(other.into()),
            }
        }
        let body = Body::stream(body, self.server.body_timeout);
        let fwd = if cacheable { "bypass" } else { "method" };
        let site_key = engine::key(&self.sites, scheme, &authority, "/", &headers)?;
        head::add_via(&mut headers, parts.version);
        let target = engine::target(&site_key);
        if let Some(upgrade) = upgrade.filter(|_| !has_body) {
            return Ok(upgrade.pass(&self, &target, parts.method, path_and_query, headers).await);
        }
        let answer = self.origins.send(&target, parts.method, path_and_query, headers, body).await;
        Ok(self.pass(answer, CacheStatus::forwarded(fwd), None))
    }

    /// Answers from the store if it may, from an origin else.
    async fn cached(self: Arc<Self>, ask: Arc<Ask>) -> Response<Body> {
        let (base, status) = match self.cache.lookup(&ask.key, &ask.headers) {
            Lookup::Hit(hit) => match ask.wants.demand(hit.age(), hit.ttl()) {
                Demand::Use => {
                    let status = CacheStatus::hit(hit.ttl());
                    return self.serve(&ask, &hit, status);
                }
                Demand::Validate => (Some(hit), CacheStatus::forwarded("request")),
            },
            Lookup::Stale(hit, reason) => {
                // A peer would store it and, not seeing our mark, hand it on as good.
                let hidden = reason == Reason::PurgedSoft && ask.from_cache;
                if !hidden && ask.wants.demand(hit.age(), hit.ttl()) == Demand::Use {
                    self.revalidate_behind(&ask, &hit);
                    return self.serve(&ask, &hit, stale(&hit, reason));
                }
                (Some(hit), CacheStatus::because(reason))
            }
            Lookup::MustValidate(hit, reason) => (Some(hit), CacheStatus::because(reason)),
            Lookup::Miss(reason) => (None, CacheStatus::because(reason)),
            // A later engine's outcome: asking the origin is always right.
            _ => (None, CacheStatus::forwarded("miss")),
        };
        if ask.wants.only_if_cached {
            return self.failed(&ask, StatusCode::GATEWAY_TIMEOUT, CacheStatus::own("only-if-cached"));
        }
        if ask.wants.no_store {
            return self.fetch_unstored(&ask).await;
        }
        self.obtain(ask, base, status).await
    }

    /// A request that asked for nothing to be kept.
    async fn fetch_unstored(&self, ask: &Ask) -> Response<Body> {
        let target = engine::target(&ask.key);
        let mut headers = ask.headers.clone();
        head::add_via(&mut headers, ask.version);
        let method = if ask.head_only { Method::HEAD } else { Method::GET };
        let answer = self.origins.send(&target, method, target.path_and_query, headers, Body::Empty).await;
        self.pass(answer, CacheStatus::forwarded("request"), Some(ask))
    }

    /// Hands an origin's answer on without storing it.
    fn pass(
        &self,
        answer: Result<Response<origin::Stream>, Failure>,
        mut status: CacheStatus,
        ask: Option<&Ask>,
    ) -> Response<Body> {
        match answer {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                self.figures.passed.add(1);
                head::strip_hop_by_hop(&mut parts.headers);
                head::strip_tags(&mut parts.headers, &self.http.tag_headers);
                head::add_via(&mut parts.headers, parts.version);
                status.fwd_status = Some(parts.status);
                self.put_status(&mut parts.headers, &status, ask);
                parts.version = Version::HTTP_11;
                Response::from_parts(parts, Body::answer(body))
            }
            Err(failure) => {
                self.figures.origin_errors.add(1);
                status.detail = Some(failure.to_string());
                let response = failed(failure.status(), status.value(self.key_text(ask).as_deref()));
                with_retry_after(response, failure)
            }
        }
    }

    /// Serves a stored response.
    fn serve(&self, ask: &Ask, hit: &Hit, status: CacheStatus) -> Response<Body> {
        let stored = hit.head();
        let mut headers = stored.headers;
        headers.insert(header::AGE, HeaderValue::from(hit.age().as_secs()));
        self.dress(&mut headers, &status, ask);
        if conditional::not_modified(&ask.headers, stored.status, &headers, SystemTime::now()) {
            return not_modified(headers);
        }
        if stored.status != StatusCode::NO_CONTENT {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(hit.body_len()));
        }
        let body = if ask.head_only { Body::Empty } else { Body::stored(hit) };
        respond(stored.status, headers, body)
    }

    /// The fields every answer from or through the store carries.
    fn dress(&self, headers: &mut HeaderMap, status: &CacheStatus, ask: &Ask) {
        head::strip_tags(headers, &self.http.tag_headers);
        head::add_via(headers, Version::HTTP_11);
        self.put_status(headers, status, Some(ask));
    }

    fn put_status(&self, headers: &mut HeaderMap, status: &CacheStatus, ask: Option<&Ask>) {
        // Appended: caches on the way before us have their own members (RFC 9211 2).
        headers.append(CACHE_STATUS, status.value(self.key_text(ask).as_deref()));
    }

    fn key_text(&self, ask: Option<&Ask>) -> Option<String> {
        ask.filter(|_| self.http.cache_status_key).map(|ask| engine::key_text(&ask.key))
    }

    fn failed(&self, ask: &Ask, code: StatusCode, status: CacheStatus) -> Response<Body> {
        failed(code, status.value(self.key_text(Some(ask)).as_deref()))
    }
}

const CACHE_STATUS: header::HeaderName = header::HeaderName::from_static("cache-status");
const ALLOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Methods that are never passed on: they ask a proxy for what this one is not. PURGE does not come this far.
fn refused_method(method: &Method) -> bool {
    matches!(*method, Method::CONNECT | Method::TRACE) || method.as_str().eq_ignore_ascii_case("purge")
}

/// The answer to a request that is refused before it is looked at. Of a bad one, the connection ends too.
pub(crate) fn refused(code: StatusCode, detail: &str, reason: Refused) -> Response<Body> {
    let mut response = failed(code, CacheStatus::own(detail).value(None));
    response.extensions_mut().insert(reason);
    if code == StatusCode::BAD_REQUEST {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The host the request is for: that of an absolute target wins (RFC 9112 3.2.2), but `Host` must be there, once.
fn authority(uri: &http::Uri, headers: &HeaderMap) -> Result<String, Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        (None, _) => return Err(Refusal::Bad("no Host")),
        (Some(_), Some(_)) => return Err(Refusal::Bad("more than one Host")),
    };
    let text = match uri.authority() {
        Some(authority) => authority.as_str(),
        None => host.to_str().map_err(|_| Refusal::Bad("Host is no host"))?,
    };
    if text.is_empty() || text.contains('@') || (text.is_ascii() && text.parse::<Authority>().is_err()) {
        return Err(Refusal::Bad("Host is no host"));
    }
    Ok(text.to_owned())
}

/// The scheme a trusted proxy says its client used.
fn stated_scheme(headers: &HeaderMap) -> Option<&'static str> {
    // The last member is what the proxy itself saw; earlier ones are hearsay.
    let value = headers.get_all(head::X_FORWARDED_PROTO).iter().next_back()?.to_str().ok()?;
    let last = value.rsplit(',').next()?.trim();
    if last.eq_ignore_ascii_case("https") {
        Some("https")
    } else if last.eq_ignore_ascii_case("http") {
        Some("http")
    } else {
        None
    }
}

/// `Cache-Status` of a response that is served although it is stale.
fn stale(hit: &Hit, reason: Reason) -> CacheStatus {
    CacheStatus { detail: Some(reason.to_string()), ..CacheStatus::hit(hit.ttl().min(0)) }
}

fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn not_modified(mut headers: HeaderMap) -> Response<Body> {
    conditional::strip_for_not_modified(&mut headers);
    respond(StatusCode::NOT_MODIFIED, headers, Body::Empty)
}

/// An answer of ours to a request that failed. It says so, and that it is nothing to keep.
fn failed(code: StatusCode, status: HeaderValue) -> Response<Body> {
    let reason = code.canonical_reason().unwrap_or("error");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CACHE_STATUS, status);
    head::add_via(&mut headers, Version::HTTP_11);
    respond(code, headers, Body::text(format!("{} {reason}\n", code.as_u16())))
}

/// Tells when to come back, where that is known.
fn with_retry_after(mut response: Response<Body>, failure: Failure) -> Response<Body> {
    if let Some(seconds) = failure.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn answer_to_options() -> Response<Body> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ALLOW, HeaderValue::from_static(ALLOW));
    headers.insert(CACHE_STATUS, CacheStatus::own("options").value(None));
    respond(StatusCode::NO_CONTENT, headers, Body::Empty)
}

/// Why a request is answered without asking store or origin.
#[derive(Debug)]
enum Refusal {
    Method,
    Misdirected,
    Bad(&'static str),
    Malformed(String),
}

impl From<NoKey> for Refusal {
    fn from(reason: NoKey) -> Self {
        match reason {
            NoKey::UnknownHost => Self::Misdirected,
            NoKey::TooLong => Self::Malformed("the URL is too long".to_owned()),
            NoKey::Malformed(message) => Self::Malformed(message),
        }
    }
}

impl Refusal {
    fn into_response(self) -> Response<Body> {
        let (code, reason, detail) = match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, Refused::Method, "method".to_owned()),
            Self::Misdirected => (StatusCode::MISDIRECTED_REQUEST, Refused::UnknownHost, "unknown-host".to_owned()),
            Self::Bad(message) => (StatusCode::BAD_REQUEST, Refused::Host, message.to_owned()),
            Self::Malformed(message) => (StatusCode::BAD_REQUEST, Refused::Host, message),
        };
        let mut response = failed(code, CacheStatus::own(&detail).value(None));
        response.extensions_mut().insert(reason);
        if code == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(ALLOW));
        } else if code == StatusCode::BAD_REQUEST {
            // Where one message ends and the next begins is in doubt after such a request.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
