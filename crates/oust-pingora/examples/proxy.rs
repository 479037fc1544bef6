//! A caching reverse proxy: Pingora in front of one origin, with the engine as its cache and an admin listener that purges.
//!
//! ```text
//! cargo run -p oust-pingora --example proxy -- --origin 127.0.0.1:8000
//! curl -i http://127.0.0.1:8080/a.css
//! curl -X POST --data 'http://127.0.0.1:8080/**.css' 'http://127.0.0.1:8081/purge/pattern?soft'
//! curl -X PURGE http://127.0.0.1:8080/a.css
//! curl http://127.0.0.1:8081/stats
//! ```
//!
//! | option | default |
//! | --- | --- |
//! | `--listen ADDRESS` | 127.0.0.1:8080 |
//! | `--admin ADDRESS`, which must not be reachable by clients: it asks for no password | 127.0.0.1:8081 |
//! | `--origin ADDRESS`, plain HTTP | |
//! | `--storage oust` or `memcache`, for comparison; the latter evicts nothing and knows no purge but `PURGE` | oust |
//! | `--edge-size BYTES` | 268435456 |
//! | `--l2-dir DIRECTORY` and `--l2-size BYTES`: a second tier, which outlasts a restart | none |
//! | `--threads NUMBER` | 2 |
//!
//! `SIGTERM` lets requests end and writes what waits for the second tier.

use std::time::Duration;

use async_trait::async_trait;
use http::header::{CONTENT_LENGTH, HOST, VARY};
use http::{HeaderName, Method, Response, StatusCode};
use oust::freshness::invalidation;
use oust::{Action, Purge, Selector};
use oust_pingora::{OustStorage, engine_key};
use pingora_cache::cache_control::CacheControl;
use pingora_cache::filters::{request_cacheable, resp_cacheable};
use pingora_cache::key::HashBinary;
use pingora_cache::lock::{CacheKeyLockImpl, CacheLock};
use pingora_cache::{
    CacheKey, CacheMeta, CacheMetaDefaults, MemCache, NoCacheReason, RespCacheable, Storage, VarianceBuilder,
};
use pingora_core::apps::http_app::{HttpServer, ServeHttp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use pingora_core::services::listening::Service;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorSource, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

/// Fields that tell the cache something and clients nothing.
const INWARD: [HeaderName; 5] = [
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("edge-cache-tag"),
    HeaderName::from_static("xkey"),
    HeaderName::from_static("x-cache-tags"),
];

/// Longer bodies pass by the cache.
const MAX_OBJECT: u64 = 64 << 20;

/// Nothing is stored that does not say how long.
static DEFAULTS: CacheMetaDefaults = CacheMetaDefaults::new(|_| None, 0, 0);

struct Proxy {
    origin: String,
    storage: &'static (dyn Storage + Sync),
    /// The same, if it is the engine.
    engine: Option<&'static OustStorage>,
    lock: &'static CacheKeyLockImpl,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(&*self.origin, false, String::new())))
    }

    fn request_cache_filter(&self, session: &mut Session, (): &mut ()) -> Result<()> {
        let request = session.req_header();
        if request_cacheable(request) || request.method == "PURGE" {
            // No eviction manager: the engine evicts. The lock lets one of many misses ask the origin.
            session.cache.enable(self.storage, None, None, Some(self.lock), None);
        }
        Ok(())
    }

    fn cache_key_callback(&self, session: &Session, (): &mut ()) -> Result<CacheKey> {
        let request = session.req_header();
        match self.engine {
            Some(engine) => engine.key_of_request("http", request),
            None => {
                let host = request.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
                Ok(CacheKey::new(format!("http://{host}{}", request.uri), ""))
            }
        }
    }

    fn response_cache_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        (): &mut (),
    ) -> Result<RespCacheable> {
        let star =
            |value: &http::HeaderValue| value.as_bytes().split(|&byte| byte == b',').any(|m| m.trim_ascii() == b"*");
        if response.headers.get_all(VARY).iter().any(star) || response.headers.contains_key("set-cookie") {
            return Ok(RespCacheable::Uncacheable(NoCacheReason::OriginNotCache));
        }
        let length = response.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length > MAX_OBJECT) {
            return Ok(RespCacheable::Uncacheable(NoCacheReason::ResponseTooLarge));
        }
        let authorized = session.req_header().headers.contains_key("authorization");
        let directives = CacheControl::from_resp_headers(response);
        Ok(resp_cacheable(directives.as_ref(), response.clone(), authorized, &DEFAULTS))
    }

    fn cache_vary_filter(&self, meta: &CacheMeta, (): &mut (), request: &RequestHeader) -> Option<HashBinary> {
        let mut variance = VarianceBuilder::new();
        for line in meta.headers().get_all(VARY).iter().filter_map(|line| line.to_str().ok()) {
            for name in line.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()) {
                let lines: Vec<&[u8]> = request.headers.get_all(&name).iter().map(|value| value.as_bytes()).collect();
                variance.add_owned_name_value(name, lines.join(&b", "[..]));
            }
        }
        variance.finalize()
    }

    fn should_serve_stale(&self, _: &mut Session, (): &mut (), error: Option<&Error>) -> bool {
        // Without an error: while it is revalidated. How long is in the response.
        error.is_none_or(|error| error.esource() == &ErrorSource::Upstream)
    }

    async fn response_filter(&self, session: &mut Session, response: &mut ResponseHeader, (): &mut ()) -> Result<()> {
        for name in INWARD {
            response.remove_header(&name);
        }
        let phase = session.cache.phase().as_str();
        response.insert_header("x-cache", phase)?;
        let request = session.req_header();
        // What changes a resource ends what is stored of it, before its client hears of it (RFC 9111 4.4).
        if let Some(engine) = self.engine
            && invalidation::invalidates(&request.method, response.status)
            && let Ok(key) = engine.key_of_request("http", request)
        {
            engine.cache().end_url(&engine_key(&key)?);
        }
        Ok(())
    }

    fn is_purge(&self, session: &Session, (): &()) -> bool {
        let near = |address: &pingora_core::protocols::l4::socket::SocketAddr| {
            address.as_inet().is_some_and(|address| address.ip().is_loopback())
        };
        session.req_header().method == "PURGE" && session.client_addr().is_some_and(near)
    }

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<bool> {
        if session.req_header().method == "PURGE" && !self.is_purge(session, &()) {
            session.respond_error(403).await?;
            return Ok(true);
        }
        Ok(false)
    }
}

/// `POST /purge/KIND` with the selector's text as the body, `?soft` or `?invalidate` for less than a delete; `GET /stats`.
struct Admin(Option<&'static OustStorage>);

impl Admin {
    async fn answer(&self, session: &mut ServerSession) -> std::result::Result<String, (StatusCode, String)> {
        let refuse = |status, why: &str| Err((status, format!("{why}\n")));
        let Some(engine) = self.0 else { return refuse(StatusCode::NOT_IMPLEMENTED, "there is no engine") };
        let (method, uri) = (session.req_header().method.clone(), session.req_header().uri.clone());
        if method == Method::GET && uri.path() == "/stats" {
            return Ok(format!("{:#?}\n", engine.cache().stats()));
        }
        let Some(kind) = uri.path().strip_prefix("/purge/").filter(|_| method == Method::POST) else {
            return refuse(StatusCode::NOT_FOUND, "POST /purge/KIND or GET /stats");
        };
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = session.read_request_body().await {
            body.extend_from_slice(&chunk);
            if body.len() > oust::purge::MAX_SELECTOR {
                return refuse(StatusCode::PAYLOAD_TOO_LARGE, "a selector is not as long as that");
            }
        }
        let Ok(text) = String::from_utf8(body).map(|text| text.trim().to_owned()) else {
            return refuse(StatusCode::BAD_REQUEST, "a selector is text");
        };
        let selector = match kind {
            "url" => Selector::Url(text),
            "key" => Selector::Key(text),
            "pattern" => Selector::Pattern(text),
            "glob" => Selector::Glob(text),
            "regex" => Selector::Regex(text),
            "host" => Selector::Host(text),
            "tag" => Selector::Tag(text),
            "all" => Selector::All,
            _ => return refuse(StatusCode::NOT_FOUND, "url, key, pattern, glob, regex, host, tag or all"),
        };
        let action = match uri.query() {
            None => Action::Delete,
            Some("invalidate") => Action::Invalidate,
            Some("soft") => Action::Soft,
            Some(_) => return refuse(StatusCode::BAD_REQUEST, "?soft or ?invalidate"),
        };
        match engine.publish(Purge::new(selector).action(action).by("admin")).await {
            Ok(record) => Ok(format!("{}\n", record.id)),
            Err(error) => Err((StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n"))),
        }
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let (status, text) = match self.answer(session).await {
            Ok(text) => (StatusCode::OK, text),
            Err(refused) => refused,
        };
        let mut response = Response::new(text.into_bytes());
        *response.status_mut() = status;
        let length = response.body().len().into();
        response.headers_mut().insert(CONTENT_LENGTH, length);
        response
    }
}

/// The value of `--name`.
fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}

fn number(name: &str, default: u64) -> std::result::Result<u64, Box<dyn std::error::Error>> {
    Ok(option(name).map_or(Ok(default), |text| text.parse()).map_err(|error| format!("{name}: {error}"))?)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let origin = option("--origin").ok_or("--origin ADDRESS is missing")?;
    let engine = match option("--storage").as_deref() {
        None | Some("oust") => {
            let mut config = oust::Config::new().edge_size(number("--edge-size", 256 << 20)?).max_object(MAX_OBJECT);
            if let Some(directory) = option("--l2-dir") {
                config = config.l2(oust::L2Config::directory(directory, number("--l2-size", 1 << 30)?));
            }
            let cache = config.build()?;
            if let Some(notice) = cache.l2_notice() {
                eprintln!("the second tier begins empty: {notice}");
            }
            Some(OustStorage::leak(cache))
        }
        Some("memcache") => None,
        Some(_) => return Err("--storage is oust or memcache".into()),
    };
    let storage: &'static (dyn Storage + Sync) = match engine {
        Some(engine) => engine,
        None => Box::leak(Box::new(MemCache::new())),
    };
    let conf = ServerConf {
        threads: usize::try_from(number("--threads", 2)?)?,
        grace_period_seconds: Some(1),
        graceful_shutdown_timeout_seconds: Some(10),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let lock = Box::leak(CacheLock::new_boxed(Duration::from_secs(30)));
    let mut proxy = http_proxy_service(&server.configuration, Proxy { origin, storage, engine, lock });
    proxy.add_tcp(&option("--listen").unwrap_or_else(|| "127.0.0.1:8080".to_owned()));
    server.add_service(proxy);
    let mut admin = Service::new("admin".to_owned(), HttpServer::new_app(Admin(engine)));
    admin.add_tcp(&option("--admin").unwrap_or_else(|| "127.0.0.1:8081".to_owned()));
    server.add_service(admin);
    server.run(RunArgs::default());
    if let Some(engine) = engine {
        engine.cache().flush()?;
    }
    Ok(())
}
