//! A cache before an origin that answers when it is told to. Everything runs on one thread; nothing sleeps.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use oust::clock::ManualClock;
use oust::purge::PurgeRecord;
use oust::{Action, Cache, Config, Purge, Selector};
use oust_tower::{CacheLayer, CacheService, Failure, Options};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tower_layer::Layer;
use tower_service::Service;

pub const HOST: &str = "h.test";
pub const A: &str = "http://h.test/a";
pub const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];
pub const TAGGED: &[(&str, &str)] = &[("cache-control", "max-age=60"), ("etag", "\"v1\"")];

/// A body fed by a test.
#[derive(Debug)]
pub struct Fed {
    chunks: mpsc::UnboundedReceiver<Result<Bytes, Failure>>,
    len: Option<u64>,
    ended: bool,
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let next = self.chunks.poll_recv(cx);
        self.ended |= matches!(next, Poll::Ready(None));
        next.map(|next| next.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.len.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A request body: none, or a text.
#[derive(Debug, Default)]
pub struct Sent(pub Bytes);

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready((!self.0.is_empty()).then(|| Ok(Frame::data(std::mem::take(&mut self.0)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// The inner service: hands each request to the test.
#[derive(Debug, Clone)]
pub struct Inner {
    to: mpsc::UnboundedSender<Asked>,
    count: Arc<AtomicUsize>,
}

impl Service<Request<Sent>> for Inner {
    type Response = Response<Fed>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Fed>, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Sent>) -> Self::Future {
        self.count.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let (parts, body) = request.into_parts();
        let _sent = self.to.send(Asked { parts, body: body.0, reply });
        // A test that drops the request unanswered stands for an origin that vanished.
        Box::pin(async move { answer.await.expect("the origin panics when nobody answers") })
    }
}

/// A request that has reached the origin.
#[derive(Debug)]
pub struct Asked {
    pub parts: Parts,
    pub body: Bytes,
    reply: oneshot::Sender<Result<Response<Fed>, Failure>>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn answer(self, status: u16, fields: &[(&str, &str)], body: &str) {
        let writer = self.begin(status, fields, Some(body.len() as u64));
        writer.write(body);
    }

    /// Answers with a head; the body follows through the writer.
    pub fn begin(self, status: u16, fields: &[(&str, &str)], len: Option<u64>) -> Writer {
        let (to, chunks) = mpsc::unbounded_channel();
        let mut response = Response::new(Fed { chunks, len, ended: false });
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        *response.headers_mut() = headers(fields);
        let _sent = self.reply.send(Ok(response));
        Writer(to)
    }

    /// Fails after the request was taken whole.
    pub fn leave_in_doubt(self, status: u16, word: &'static str) {
        let failure = Failure::new(StatusCode::from_u16(status).unwrap(), word).may_be_done();
        let _sent = self.reply.send(Err(failure));
    }

    pub fn fail(self, status: u16, word: &'static str) {
        let _sent = self.reply.send(Err(Failure::new(StatusCode::from_u16(status).unwrap(), word)));
    }
}

/// Feeds a body; dropped, the body ends.
#[derive(Debug)]
pub struct Writer(mpsc::UnboundedSender<Result<Bytes, Failure>>);

impl Writer {
    pub fn write(&self, text: &str) {
        let _sent = self.0.send(Ok(Bytes::copy_from_slice(text.as_bytes())));
    }

    /// Breaks the body off.
    pub fn fail(self) {
        let _sent = self.0.send(Err(Failure::new(StatusCode::BAD_GATEWAY, "broke")));
    }

    /// Whether nobody reads the body any more.
    pub fn is_given_up(&self) -> bool {
        self.0.is_closed()
    }
}

pub type Answer = Response<oust_tower::Body<Fed>>;

/// Cache, origin and clock.
pub struct Rig {
    pub cache: Cache,
    pub service: CacheService<Inner>,
    pub clock: Arc<ManualClock>,
    asked: mpsc::UnboundedReceiver<Asked>,
    count: Arc<AtomicUsize>,
}

pub fn rig() -> Rig {
    with(Options::new())
}

pub fn with(options: Options) -> Rig {
    let clock = Arc::new(ManualClock::new(1_000_000_000_000));
    let config = Config::new().edge_size(64 << 20).shards(1).background_sweep(false).clock(clock.clone());
    let cache = config.build().unwrap();
    let (to, asked) = mpsc::unbounded_channel();
    let count = Arc::new(AtomicUsize::new(0));
    let service = CacheLayer::new(cache.clone()).options(options).layer(Inner { to, count: count.clone() });
    Rig { cache, service, clock, asked, count }
}

impl Rig {
    /// Sends a request; the answer comes when it comes.
    pub fn send(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> JoinHandle<Answer> {
        let mut request = Request::new(Sent(Bytes::copy_from_slice(body.as_bytes())));
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = path.parse().unwrap();
        *request.headers_mut() = headers(fields);
        request.headers_mut().entry("host").or_insert(HeaderValue::from_static(HOST));
        let future = self.service.clone().call(request);
        tokio::spawn(async move {
            match future.await {
                Ok(answer) => answer,
                Err(never) => match never {},
            }
        })
    }

    pub fn get(&self, path: &str, fields: &[(&str, &str)]) -> JoinHandle<Answer> {
        self.send("GET", path, fields, "")
    }

    /// The next request at the origin.
    pub async fn asked(&mut self) -> Asked {
        settle().await;
        self.asked.try_recv().expect("a request at the origin")
    }

    /// Requests the origin has got.
    pub async fn count(&self) -> usize {
        settle().await;
        self.count.load(Ordering::Relaxed)
    }

    /// Fetches `path` through the cache; the origin answers this.
    pub async fn fill(&mut self, path: &str, fields: &[(&str, &str)], body: &str) -> Full {
        let answer = self.get(path, &[]);
        self.asked().await.answer(200, fields, body);
        let full = whole(answer).await;
        settle().await;
        full
    }

    /// Gets `path`, which needs no origin.
    pub async fn hit(&self, path: &str, fields: &[(&str, &str)]) -> Full {
        let before = self.count().await;
        let full = whole(self.get(path, fields)).await;
        assert_eq!(self.count().await, before, "the origin was asked");
        full
    }

    pub fn purge(&self, url: &str, action: Action) -> PurgeRecord {
        self.cache.purge(&Purge::new(Selector::Url(url.into())).action(action)).unwrap()
    }

    pub fn pass_time(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Full {
    pub status: u16,
    pub headers: HeaderMap,
    /// `Err`: it broke off.
    pub body: Result<String, ()>,
}

impl Full {
    pub fn text(&self) -> &str {
        self.body.as_deref().expect("a whole body")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn cache_status(&self) -> &str {
        self.header("cache-status").expect("Cache-Status on every answer")
    }

    pub fn is_hit(&self) -> bool {
        self.cache_status().starts_with("oust; hit")
    }
}

pub async fn whole(answer: JoinHandle<Answer>) -> Full {
    read(head(answer).await).await
}

/// The head of an answer, which must be there when nothing moves any more.
pub async fn head(answer: JoinHandle<Answer>) -> Answer {
    settle().await;
    assert!(answer.is_finished(), "no answer");
    answer.await.unwrap()
}

pub async fn read(answer: Answer) -> Full {
    let (parts, body) = answer.into_parts();
    let exact = http_body::Body::size_hint(&body).exact();
    let collecting = tokio::spawn(body.collect());
    settle().await;
    assert!(collecting.is_finished(), "the body does not end");
    let body = collecting.await.unwrap().map_err(drop).map(|whole| whole.to_bytes());
    if let (Ok(body), Some(exact)) = (&body, exact) {
        assert_eq!(body.len() as u64, exact, "the length a body hints at is its own");
    }
    let body = body.map(|body| String::from_utf8(body.to_vec()).unwrap());
    Full { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// The next data of a body, if it is there when nothing moves any more.
pub async fn next(answer: &mut Answer) -> Option<Option<Result<String, ()>>> {
    settle().await;
    let frame =
        std::future::poll_fn(|cx| Poll::Ready(http_body::Body::poll_frame(Pin::new(answer.body_mut()), cx))).await;
    match frame {
        Poll::Pending => None,
        Poll::Ready(frame) => Some(frame.map(|frame| {
            frame.map_err(drop).map(|frame| String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
        })),
    }
}

/// Lets every task run until none can.
pub async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

pub fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let field =
        |&(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
    fields.iter().map(field).fold(HeaderMap::new(), |mut map, (name, value)| {
        map.append(name, value);
        map
    })
}
