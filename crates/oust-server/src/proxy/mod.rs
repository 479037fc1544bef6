//! The caching reverse proxy: from a client's request to the caching middleware, and from there to an origin.
//!
//! What is answered from the store, fetched for all or passed on is decided by `oust-tower`; here it is decided whether a request is answered at
//! all, what its key is, and what the origin is told about the client.

mod body;
mod figures;
mod fills;
mod head;
mod upgrade;
mod upstream;

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use oust::cache::Cache;
use oust::freshness::Policy;
use oust::site::Sites;
use oust_tower::{CacheLayer, CacheService, Options, ResponseFuture, fields};
use tower_layer::Layer;

pub(crate) use self::body::Body;
pub(crate) use self::figures::{Counter, Figures, Seldom};

use self::fills::Fills;
use self::upstream::{Keys, SiteKey, Upstream};
use crate::config::{Config, Http, Server, Site, Ttl};
use crate::engine::{self, NoKey};
use crate::listen::{Answer, Peer, Refused};
use crate::origin::{Origins, Stream};

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) cache: Cache,
    pub(crate) figures: Arc<Figures>,
    pub(crate) origins: Arc<Origins>,
    sites: Sites,
    service: CacheService<Upstream, Keys, Fills>,
    /// For answers that are of no site.
    options: Arc<Options>,
    /// By index of the site. Sites with the same settings share them.
    of_sites: Box<[Arc<Options>]>,
    server: Server,
    /// Fields that any site's keys hold.
    keyed: Box<[String]>,
    /// Whether a site's keys depend on what is said of clients to origins.
    keys_by_forwarding: bool,
}

/// What a client gets.
pub(crate) type Answered = oust_tower::Body<Stream>;

impl Answer for Proxy {
    type Body = Answered;

    async fn answer(self: Arc<Self>, peer: Peer, request: Request<Incoming>) -> Response<Answered> {
        self.figures.requests.add(1);
        let version = request.version();
        let response = match self.route(peer, request) {
            Ok(Route::Cache(answer)) => match answer.await {
                Ok(response) => response,
                Err(never) => match never {},
            },
            // Boxed: the future of every answer would have room for it, and is moved about.
            Ok(Route::Upgrade(upgrade)) => Box::pin(upgrade.pass(&self)).await,
            Err(refusal) => refusal.into_response(&self.options),
        };
        tracing::debug!(peer = %peer.addr, ?version, status = response.status().as_u16(), "answered");
        response
    }
}

impl Proxy {
    pub(crate) fn new(config: &Config, sites: Sites, cache: Cache, figures: Arc<Figures>) -> Self {
        let origins = Origins::new(&config.server, &config.sites, &sites);
        Self::build(config, sites, cache, figures, origins)
    }

    /// One of a new configuration. Origins that are the same keep their connections and what is known of them. Needs a runtime.
    pub(crate) fn renewed(&self, config: &Config, sites: Sites) -> Self {
        let origins = self.origins.renewed(&config.server, &config.sites, &sites);
        Self::build(config, sites, self.cache.clone(), self.figures.clone(), origins)
    }

    fn build(config: &Config, sites: Sites, cache: Cache, figures: Arc<Figures>, origins: Origins) -> Self {
        let origins = Arc::new(origins);
        let keys = Keys { sites: sites.clone(), figures: figures.clone() };
        let service = CacheLayer::new(cache.clone()).runtime(Fills).keys(keys).layer(Upstream::new(origins.clone()));
        let of_sites = site_options(config);
        let options = Arc::new(options(&config.http, &config.server, &Ttl::default()));
        let keyed: Box<[String]> = config.sites.iter().flat_map(|site| &site.key.headers).cloned().collect();
        let keys_by_forwarding = keyed.iter().any(|name| head::sets(name.as_bytes()));
        let server = config.server.clone();
        Self { cache, figures, origins, sites, service, options, of_sites, server, keyed, keys_by_forwarding }
    }

    /// Whether the other end may speak for its clients.
    pub(crate) fn trusts(&self, peer: Peer) -> bool {
        let addr = peer.addr.ip().to_canonical();
        self.server.trusted_proxies.iter().any(|network| network.contains(&addr))
    }

    /// The scheme of the URLs that a request with these fields is about.
    pub(crate) fn scheme(&self, peer: Peer, headers: &HeaderMap) -> &'static str {
        let stated = if self.trusts(peer) { stated_scheme(headers) } else { None };
        stated.unwrap_or_else(|| peer.scheme())
    }

    /// The address a trusted proxy says its client has, as it is; `None` if it says nothing.
    pub(crate) fn stated_client<'a>(&self, peer: Peer, headers: &'a HeaderMap) -> Option<&'a [u8]> {
        let last = headers.get_all(head::X_FORWARDED_FOR).iter().next_back().filter(|_| self.trusts(peer))?;
        // As of the scheme: the last member is what the proxy itself saw.
        last.as_bytes().rsplit(|&byte| byte == b',').next().map(<[u8]>::trim_ascii)
    }

    /// Refuses a request, or says how it goes on.
    fn route(&self, peer: Peer, request: Request<Incoming>) -> Result<Route, Refusal> {
        let (mut parts, body) = request.into_parts();
        if refused_method(&parts.method) {
            return Err(Refusal::Method);
        }
        let upgrade = upgrade::Wanted::take(&mut parts);
        let headers = &mut parts.headers;
        let authority = Authority::of(&parts.uri, headers)?;
        let authority = authority.as_str()?;
        let (trusted, scheme) = (self.trusts(peer), self.scheme(peer, headers));
        // A trusted proxy's target may name the scheme of its own connection to us: what it says of its client's goes before.
        if parts.uri.scheme_str().is_some_and(|stated| stated != scheme && stated != peer.scheme()) {
            return Err(Refusal::Misdirected);
        }
        // Before anything is said for the client, which must not be able to name it in `Connection`.
        fields::strip_hop_by_hop(headers);
        let has_body = !http_body::Body::is_end_stream(&body);
        let cacheable = matches!(parts.method, Method::GET | Method::HEAD) && !has_body;
        let mut late =
            head::Forwarding { peer: peer.addr.ip(), trusted, scheme, cacheable, said: false, keyed: &self.keyed };
        if self.keys_by_forwarding {
            late.say(headers);
        }

        if parts.method == Method::OPTIONS && parts.uri.path() == "*" {
            return Err(Refusal::Options);
        }
        let path_and_query = parts.uri.path_and_query().map_or("/", |text| text.as_str());
        if let Some(wanted) = upgrade.filter(|_| !has_body) {
            late.say(headers);
            let (site, _) = engine::key(&self.sites, scheme, authority, "/", headers)?;
            let path_and_query = path_and_query.to_owned();
            return Ok(Route::Upgrade(wanted.of(site, parts.method, path_and_query, parts.headers, parts.version)));
        }
        let (key, site) = match engine::key(&self.sites, scheme, authority, path_and_query, headers) {
            Ok((key, site)) => (Ok(key), site),
            // Too long to be stored, not to be answered; and what is no URL for us may be one for an origin, if nothing is to be stored.
            Err(reason) if reason == NoKey::TooLong || (!cacheable && reason != NoKey::UnknownHost) => {
                let (key, site) = engine::key(&self.sites, scheme, authority, "/", headers)?;
                parts.extensions.insert(SiteKey(key));
                (Err(upstream::told_no_key(reason)), site)
            }
            Err(reason) => return Err(reason.into()),
        };
        let body = Body::stream(body, self.server.body_timeout);
        let options = self.of_sites.get(site).unwrap_or(&self.options);
        Ok(Route::Cache(self.service.answer_late(Request::from_parts(parts, body), key, options, late)))
    }
}

/// How a request goes on.
enum Route {
    /// Through the cache.
    Cache(ResponseFuture<Stream>),
    /// To the origin alone, and its connection with it.
    Upgrade(upgrade::Upgrade),
}

/// The middleware's settings for each site.
fn site_options(config: &Config) -> Box<[Arc<Options>]> {
    let mut made: Vec<(Ttl, Arc<Options>)> = Vec::new();
    let of = |site: &Site| {
        if let Some((_, options)) = made.iter().find(|(ttl, _)| *ttl == site.ttl) {
            return options.clone();
        }
        let options = Arc::new(options(&config.http, &config.server, &site.ttl));
        made.push((site.ttl, options.clone()));
        options
    };
    config.sites.iter().map(of).collect()
}

/// The middleware's settings for sites with these lifetimes.
fn options(http: &Http, server: &Server, ttl: &Ttl) -> Options {
    let policy = Policy::new()
        .targeted(http.targeted.iter().cloned())
        .default_ttl(ttl.default)
        .negative_ttl(ttl.negative)
        .minimum_ttl(ttl.minimum)
        .maximum_ttl(ttl.maximum)
        .stale_if_error(ttl.stale_if_error);
    Options::new()
        .policy(policy)
        .groups(http.groups)
        .tag_headers(http.tag_headers.iter().cloned())
        .cache_status_key(http.cache_status_key)
        .laggard_patience(server.body_timeout)
}

const ALLOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Methods that are never passed on: they ask a proxy for what this one is not. PURGE does not come this far.
fn refused_method(method: &Method) -> bool {
    matches!(*method, Method::CONNECT | Method::TRACE) || method.as_str().eq_ignore_ascii_case("purge")
}

/// The answer to a request that is refused before it is looked at. Of a bad one, the connection ends too.
pub(crate) fn refused(code: StatusCode, detail: &'static str, reason: Refused) -> Response<Answered> {
    let mut response = Options::new().own_answer(code, detail);
    response.extensions_mut().insert(reason);
    if code == StatusCode::BAD_REQUEST {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The host a request is for, held without a copy.
enum Authority {
    Target(http::uri::Authority),
    Host(HeaderValue),
}

impl Authority {
    /// That of an absolute target wins (RFC 9112 3.2.2), but `Host` must be there, once.
    fn of(uri: &http::Uri, headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host,
            (None, _) => return Err(Refusal::Bad("no Host")),
            (Some(_), Some(_)) => return Err(Refusal::Bad("more than one Host")),
        };
        Ok(match uri.authority() {
            Some(authority) => Self::Target(authority.clone()),
            None => Self::Host(host.clone()),
        })
    }

    fn as_str(&self) -> Result<&str, Refusal> {
        let text = match self {
            Self::Target(authority) => authority.as_str(),
            Self::Host(host) => host.to_str().map_err(|_| Refusal::Bad("Host is no host"))?,
        };
        // As nearly all are written; what is left to say of them the key says.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let (name, port) = text.split_once(':').unwrap_or((text, ""));
        if !name.is_empty() && name.bytes().all(plain) && port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(text);
        }
        if text.is_empty() || text.contains('@') || (text.is_ascii() && text.parse::<http::uri::Authority>().is_err()) {
            return Err(Refusal::Bad("Host is no host"));
        }
        Ok(text)
    }
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

/// Why a request is answered without asking store or origin.
#[derive(Debug)]
enum Refusal {
    Method,
    Misdirected,
    /// A question about us, which we answer ourselves.
    Options,
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
    fn into_response(self, options: &Options) -> Response<Answered> {
        let (code, reason, detail) = match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, Some(Refused::Method), "method".into()),
            Self::Options => (StatusCode::NO_CONTENT, None, "options".into()),
            Self::Misdirected => (StatusCode::MISDIRECTED_REQUEST, Some(Refused::UnknownHost), "unknown-host".into()),
            Self::Bad(message) => (StatusCode::BAD_REQUEST, Some(Refused::Host), Cow::Borrowed(message)),
            Self::Malformed(message) => (StatusCode::BAD_REQUEST, Some(Refused::Host), Cow::Owned(message)),
        };
        let mut response = options.own_answer(code, detail);
        if let Some(reason) = reason {
            response.extensions_mut().insert(reason);
        }
        match code {
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NO_CONTENT => {
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(ALLOW));
            }
            // Where one message ends and the next begins is in doubt after such a request.
            StatusCode::BAD_REQUEST => {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
