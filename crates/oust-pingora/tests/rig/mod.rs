//! A Pingora proxy on a port of its own, an origin that answers when the test says so, and a client that reads as far as it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oust::{Purge, Selector};
use oust_pingora::OustStorage;
use pingora_cache::cache_control::CacheControl;
use pingora_cache::filters::resp_cacheable;
use pingora_cache::key::HashBinary;
use pingora_cache::lock::{CacheKeyLockImpl, CacheLock};
use pingora_cache::{
    CacheKey, CacheMeta, CacheMetaDefaults, MemCache, NoCacheReason, PurgeAction, RespCacheable, Storage,
    VarianceBuilder,
};
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{ProxyHttp, Session, http_proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

static DEFAULTS: CacheMetaDefaults = CacheMetaDefaults::new(|_| None, 0, 0);

pub type Any = &'static (dyn Storage + Sync);

/// Which storage a scenario runs on.
#[derive(Clone, Copy)]
pub enum On {
    Oust(&'static OustStorage),
    MemCache(&'static MemCache),
}

impl On {
    pub fn oust() -> Self {
        let cache = oust::Config::new().edge_size(64 << 20).build().unwrap();
        Self::Oust(OustStorage::leak(cache))
    }

    pub fn memcache() -> Self {
        Self::MemCache(Box::leak(Box::new(MemCache::new())))
    }

    pub fn storage(self) -> Any {
        match self {
            Self::Oust(storage) => storage,
            Self::MemCache(storage) => storage,
        }
    }

    pub fn key(self, url: &str) -> CacheKey {
        match self {
            Self::Oust(storage) => storage.key_of(&oust::Key::parse(url.as_bytes()).unwrap()),
            Self::MemCache(_) => CacheKey::new(url, ""),
        }
    }
}

struct Proxy {
    on: On,
    lock: &'static CacheKeyLockImpl,
    origin: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.origin, false, String::new())))
    }

    fn request_cache_filter(&self, session: &mut Session, (): &mut ()) -> Result<()> {
        session.cache.enable(self.on.storage(), None, None, Some(self.lock), None);
        Ok(())
    }

    fn cache_key_callback(&self, session: &Session, (): &mut ()) -> Result<CacheKey> {
        match self.on {
            On::Oust(storage) => storage.key_of_request("http", session.req_header()),
            On::MemCache(_) => Ok(CacheKey::new(format!("http://h{}", session.req_header().uri), "")),
        }
    }

    fn response_cache_filter(&self, _: &Session, response: &ResponseHeader, (): &mut ()) -> Result<RespCacheable> {
        let directives = CacheControl::from_resp_headers(response);
        Ok(match directives {
            Some(directives) => resp_cacheable(Some(&directives), response.clone(), false, &DEFAULTS),
            None => RespCacheable::Uncacheable(NoCacheReason::OriginNotCache),
        })
    }

    fn cache_vary_filter(&self, meta: &CacheMeta, (): &mut (), request: &RequestHeader) -> Option<HashBinary> {
        let mut variance = VarianceBuilder::new();
        for name in meta.headers().get_all("vary").iter().filter_map(|name| name.to_str().ok()) {
            variance.add_owned_value(name, request.headers.get(name).map_or(Vec::new(), |v| v.as_bytes().to_vec()));
        }
        variance.finalize()
    }

    fn should_serve_stale(&self, _: &mut Session, (): &mut (), error: Option<&Error>) -> bool {
        error.is_none_or(|error| error.esource() == &pingora_error::ErrorSource::Upstream)
    }

    fn is_purge(&self, session: &Session, (): &()) -> bool {
        session.req_header().method == "PURGE"
    }

    fn purge_action(&self, session: &Session, (): &()) -> PurgeAction {
        if session.req_header().headers.contains_key("soft") { PurgeAction::Expire } else { PurgeAction::Delete }
    }
}

/// Everything a scenario needs.
pub struct Rig {
    pub on: On,
    pub proxy: SocketAddr,
    asked: mpsc::UnboundedReceiver<Asked>,
    _shutdown: watch::Sender<bool>,
}

/// A request at the origin, which waits for its answer.
pub struct Asked {
    pub head: String,
    stream: TcpStream,
}

impl Asked {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// A whole response, fresh for an hour unless `fields` say otherwise.
    pub async fn answer(mut self, fields: &str, body: &str) {
        self.begin(fields, body.len()).await;
        self.send(body).await;
    }

    pub async fn begin(&mut self, fields: &str, length: usize) {
        let fresh = if fields.contains("cache-control") { "" } else { "cache-control: max-age=3600\r\n" };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n{fresh}{fields}\r\n");
        self.send(head).await;
    }

    pub async fn not_modified(mut self) {
        self.send(
            "HTTP/1.1 304 Not Modified\r\ncache-control: max-age=3600\r\netag: \"1\"\r\nconnection: close\r\n\r\n",
        )
        .await;
    }

    pub fn has(&self, field: &str) -> bool {
        self.head.to_ascii_lowercase().contains(&field.to_ascii_lowercase())
    }
}

impl Rig {
    pub async fn new(on: On) -> Self {
        let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = origin.local_addr().unwrap();
        let (tell, asked) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = origin.accept().await {
                let tell = tell.clone();
                tokio::spawn(async move {
                    let head = read_head(&mut stream).await?;
                    tell.send(Asked { head, stream }).ok()
                });
            }
        });
        let lock: &'static CacheKeyLockImpl = Box::leak(CacheLock::new_boxed(Duration::from_secs(3600)));
        let proxy = Arc::new(http_proxy(&Arc::new(ServerConf::default()), Proxy { on, lock, origin: at }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_shutdown, watch) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (proxy, watch) = (Arc::clone(&proxy), watch.clone());
                tokio::spawn(async move {
                    let session = ServerSession::new_http1(Box::new(Stream::from(stream)));
                    proxy.process_new_http(session, &watch).await;
                });
            }
        });
        Self { on, proxy: address, asked, _shutdown }
    }

    /// Sends a request; its answer is to be read.
    pub async fn ask(&self, method: &str, path: &str, fields: &str) -> Answer {
        let mut stream = TcpStream::connect(self.proxy).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Answer { stream, head: String::new() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    /// The next request at the origin.
    pub async fn asked(&mut self) -> Asked {
        self.asked.recv().await.unwrap()
    }

    /// The body of an answer that the origin must not be asked for.
    pub async fn cached(&mut self, path: &str, fields: &str) -> String {
        let answer = self.ask("GET", path, fields).await;
        tokio::select! {
            body = answer.body() => body.unwrap(),
            asked = self.asked.recv() => panic!("the origin was asked: {}", asked.unwrap().head),
        }
    }

    /// The body of an answer, which the origin gives as `new` if it is asked.
    pub async fn cached_or(&mut self, answer: Answer, new: &str) -> String {
        let mut body = std::pin::pin!(answer.body());
        loop {
            tokio::select! {
                body = &mut body => return body.unwrap(),
                asked = self.asked.recv() => asked.unwrap().answer("", new).await,
            }
        }
    }

    /// Fetches `path` through the proxy with this answer of the origin.
    pub async fn fill(&mut self, path: &str, request: &str, fields: &str, body: &str) {
        let answer = self.ask("GET", path, request).await;
        self.asked().await.answer(fields, body).await;
        assert_eq!(answer.body().await.unwrap(), body);
    }

    /// `PURGE` through Pingora; its status.
    pub async fn purge(&self, path: &str, fields: &str) -> u16 {
        let mut answer = self.ask("PURGE", path, fields).await;
        answer.read_head().await;
        answer.status()
    }

    pub async fn publish(&self, selector: Selector) {
        self.publish_as(selector, oust::Action::Delete).await;
    }

    pub async fn publish_as(&self, selector: Selector, action: oust::Action) {
        let On::Oust(storage) = self.on else { panic!("no such purge") };
        storage.publish(Purge::new(selector).action(action)).await.unwrap();
    }
}

/// An answer of the proxy.
pub struct Answer {
    stream: TcpStream,
    pub head: String,
}

impl Answer {
    pub async fn read_head(&mut self) {
        self.head = read_head(&mut self.stream).await.expect("an answer");
    }

    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn length(&self) -> usize {
        let head = self.head.to_ascii_lowercase();
        let line = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        line.expect("a length").trim().parse().unwrap()
    }

    pub async fn read(&mut self, bytes: usize) -> String {
        let mut body = vec![0; bytes];
        self.stream.read_exact(&mut body).await.unwrap();
        String::from_utf8(body).unwrap()
    }

    /// The rest of the body; `None` if the connection ends before it does.
    pub async fn rest(mut self) -> Option<String> {
        let mut body = Vec::new();
        self.stream.read_to_end(&mut body).await.ok()?;
        Some(String::from_utf8(body).unwrap())
    }

    /// Head and body; `None` if it is cut off.
    pub async fn body(mut self) -> Option<String> {
        if self.head.is_empty() {
            self.read_head().await;
        }
        let length = self.length();
        self.rest().await.filter(|body| body.len() == length)
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
