//! A caching reverse proxy that asks the engine itself, on hyper: what `oust_tower::CacheLayer` does for any stack, in its shortest form, for who
//! writes a proxy with a pipeline of its own.
//!
//! `cargo run -p oust-tower --example hyper -- 127.0.0.1:8080 http://127.0.0.1:8000`, then `curl -i http://127.0.0.1:8080/`, and
//! `curl -d 'http://127.0.0.1:8080/img/**' http://127.0.0.1:8080/_purge` (which belongs behind a door, and has none here).
//!
//! 1. A client that goes away takes nobody with it: a fill is a task of its own, and its client one of its readers.
//! 2. Whatever ends that task early, an error or a panic, drops the ticket or the writer: its readers are told, and nothing is stored.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use oust::freshness::{Assessment, Demand, Exchange, RequestDirectives, assess, conditional, strip_unstorable};
use oust::{Answer, Cache, Chunks, Config, Fetch, FillReader, FillTicket, Head, Hit, Key, Lookup, Purge, Selector};
use oust_tower::fields::strip_hop_by_hop;

type Error = Box<dyn std::error::Error + Send + Sync>;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// How long a response that is not stored waits for its slowest reader before that one is cut off.
const PATIENCE: Duration = Duration::from_secs(30);

struct Proxy {
    cache: Cache,
    client: Client<HttpConnector, Body>,
    origin: Uri,
}

/// A GET on its way through the cache. What is fetched is for all: the client's own conditions and range are not in `request`.
struct Ask {
    key: Key,
    request: HeaderMap,
    own: HeaderMap,
}

impl Proxy {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let head_only = request.method() == Method::HEAD;
        let mut response = match self.answer(request).await {
            Ok(response) => response,
            Err((status, detail)) => {
                let mut response = Response::new(Body::Whole(detail.into()));
                *response.status_mut() = status;
                response
            }
        };
        if head_only {
            // The fill goes on without this reader.
            *response.body_mut() = Body::default();
        }
        Ok(response)
    }

    async fn answer(self: Arc<Self>, mut request: Request<Incoming>) -> Result<Response<Body>, (StatusCode, String)> {
        if request.uri().path() == "/_purge" && request.method() == Method::POST {
            return self.purge(request.into_body()).await;
        }
        strip_hop_by_hop(request.headers_mut());
        let host = request.headers().get(header::HOST).map_or(&b""[..], HeaderValue::as_bytes);
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let key = Key::from_parts(b"http", host, target.as_bytes())
            .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return self.pass(key, request).await;
        }
        let own = std::mem::take(request.headers_mut());
        let mut request = own.clone();
        conditional::CONDITIONS.iter().for_each(|name| drop(request.remove(name)));
        self.get(Arc::new(Ask { key, request, own })).await
    }

    async fn get(self: Arc<Self>, ask: Arc<Ask>) -> Result<Response<Body>, (StatusCode, String)> {
        let wants = RequestDirectives::parse(&ask.own);
        let usable = |hit: &Hit| wants.demand(hit.age(), hit.ttl()) == Demand::Use;
        let found = match self.cache.lookup(&ask.key, &ask.request) {
            // Only with a second tier: the disk has to be waited for.
            Lookup::Deferred(mut deferred) => poll_fn(|cx| deferred.poll(cx)).await,
            found => found,
        };
        let base = match found {
            Lookup::Hit(hit) if usable(&hit) => return Ok(ask.send(&hit, "hit")),
            Lookup::Stale(hit, _) if usable(&hit) => {
                // Whoever is first validates it behind everybody's back.
                if let Fetch::Lead(ticket) = self.cache.fetch(&ask.key, &ask.request, Some(hit.clone())) {
                    tokio::spawn(Arc::clone(&self).lead(Arc::clone(&ask), ticket));
                }
                return Ok(ask.send(&hit, "hit; detail=stale"));
            }
            Lookup::Hit(hit) | Lookup::Stale(hit, _) | Lookup::MustValidate(hit, _) => Some(hit),
            _ => None,
        };
        if wants.only_if_cached {
            return Err((StatusCode::GATEWAY_TIMEOUT, "not stored".into()));
        }
        let (mut reader, mut leads) = match self.cache.fetch(&ask.key, &ask.request, base.clone()) {
            Fetch::Found(hit) if usable(&hit) => return Ok(ask.send(&hit, "hit")),
            Fetch::Join(reader) => (reader, false),
            Fetch::Lead(ticket) => (self.start(&ask, ticket), true),
            _ => (self.alone(&ask, base.clone()), true),
        };
        loop {
            match poll_fn(|cx| reader.poll_answer(cx)).await {
                Answer::Head(head) => {
                    return Ok(ask.relay(&head, reader, if leads { "fwd=miss" } else { "fwd=miss; collapsed" }));
                }
                Answer::Validated(hit) => return Ok(ask.send(&hit, "fwd=stale; fwd-status=304")),
                // Another variant, private, or overtaken by a purge: not for those who joined.
                _ if !leads => (reader, leads) = (self.alone(&ask, base.clone()), true),
                // Our own fetch failed.
                _ => break,
            }
        }
        match base.filter(Hit::may_serve_on_error) {
            Some(hit) => Ok(ask.send(&hit, "hit; detail=stale-if-error")),
            None => Err((StatusCode::BAD_GATEWAY, "the origin does not answer".into())),
        }
    }

    fn alone(self: &Arc<Self>, ask: &Arc<Ask>, base: Option<Hit>) -> FillReader {
        self.start(ask, self.cache.fetch_alone(&ask.key, &ask.request, base))
    }

    fn start(self: &Arc<Self>, ask: &Arc<Ask>, ticket: FillTicket) -> FillReader {
        let reader = ticket.reader();
        tokio::spawn(Arc::clone(self).lead(Arc::clone(ask), ticket));
        reader
    }

    /// Fetches for everybody who waits. Returning without an answer drops the ticket, which tells them.
    async fn lead(self: Arc<Self>, ask: Arc<Ask>, ticket: FillTicket) {
        let base = ticket.base().map(|hit| (hit.clone(), hit.head()));
        let mut request = ask.request.clone();
        let conditional =
            base.as_ref().is_some_and(|(_, old)| conditional::make_conditional(&mut request, &old.headers));
        let asked = SystemTime::now();
        let Ok(mut response) = self.ask_origin(Method::GET, &ask.key, request, Body::default()).await else { return };
        let assess = |status, fields: &HeaderMap| {
            let received = SystemTime::now();
            let delay = received.duration_since(asked).unwrap_or_default();
            let exchange =
                Exchange { method: &Method::GET, request: &ask.request, status, response: fields, received, delay };
            match assess(&exchange) {
                Assessment::Store(freshness) => Some(freshness),
                Assessment::Skip(_) => None,
            }
        };
        if let Some((hit, old)) = base {
            if conditional && response.status() == StatusCode::NOT_MODIFIED {
                if conditional::validates(&old.headers, response.headers()) {
                    let merged = conditional::merge(&old.headers, response.headers());
                    let freshness = assess(old.status, &merged);
                    let tags = tags(&merged);
                    ticket.not_modified(Head::new(old.status, merged), freshness, &slices(&tags));
                    return;
                }
                // It speaks of something else than what is stored.
                let again = self.ask_origin(Method::GET, &ask.key, ask.request.clone(), Body::default()).await;
                let Ok(again) = again else { return };
                response = again;
            }
            if response.status().is_server_error() && hit.may_serve_on_error() {
                return;
            }
        }
        let (mut parts, mut body) = response.into_parts();
        strip_unstorable(&mut parts.headers);
        let freshness = assess(parts.status, &parts.headers);
        let tags = tags(&parts.headers);
        let length = http_body::Body::size_hint(&body).exact();
        let mut writer = ticket.respond(Head::new(parts.status, parts.headers), length, freshness, &slices(&tags));
        while let Some(frame) = body.frame().await {
            // A body that breaks off drops the writer: nothing is stored, and its readers get an error.
            let Ok(frame) = frame else { return };
            let Ok(chunk) = frame.into_data() else { continue };
            if tokio::time::timeout(PATIENCE, poll_fn(|cx| writer.poll_ready(cx))).await.is_err() {
                writer.cut_laggards();
            }
            if writer.is_abandoned() {
                return;
            }
            writer.write(chunk);
        }
        writer.finish();
    }

    /// Asks the origin by the canonical form of the key, so that what is stored under it is what was asked for.
    async fn ask_origin(
        &self,
        method: Method,
        key: &Key,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Response<Incoming>, Error> {
        let of = key.as_ref();
        let target = of.url().get(of.scheme().len() + 3 + of.authority().len()..).unwrap_or(b"/");
        let mut uri = self.origin.clone().into_parts();
        uri.path_and_query = Some(http::uri::PathAndQuery::try_from(target)?);
        let mut request = Request::new(body);
        (*request.method_mut(), *request.uri_mut()) = (method, Uri::from_parts(uri)?);
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::HOST, HeaderValue::from_bytes(of.authority())?);
        let mut response = self.client.request(request).await?;
        strip_hop_by_hop(response.headers_mut());
        Ok(response)
    }

    /// What is not for the cache; a change that went well ends what is stored of its URL before its client can see the answer (RFC 9111 4.4).
    async fn pass(&self, key: Key, request: Request<Incoming>) -> Result<Response<Body>, (StatusCode, String)> {
        let (parts, body) = request.into_parts();
        let answer = self.ask_origin(parts.method.clone(), &key, parts.headers, Body::Passed(body)).await;
        let response = answer.map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))?;
        if oust::freshness::invalidation::invalidates(&parts.method, response.status()) {
            self.cache.end_url(&key);
        }
        Ok(response.map(Body::Passed))
    }

    /// Each line of the body is a pattern. Durable when it is answered, where there is a second tier: that blocks, so it is no work for a task.
    async fn purge(&self, body: Incoming) -> Result<Response<Body>, (StatusCode, String)> {
        let refused = |error: &dyn std::fmt::Display| (StatusCode::BAD_REQUEST, format!("{error}\n"));
        let text = Limited::new(body, 1 << 20).collect().await.map_err(|error| refused(&error))?.to_bytes();
        let text = String::from_utf8(text.into()).map_err(|error| refused(&error))?;
        let cache = self.cache.clone();
        let purge = Purge::batch(text.lines().map(|line| Selector::Pattern(line.into())).collect()).by("example");
        let purged = tokio::task::spawn_blocking(move || cache.purge(&purge)).await;
        let record = purged.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        let record = record.map_err(|error| refused(&error))?;
        Ok(Response::new(Body::Whole(format!("purged: {}\n", record.id).into())))
    }
}

impl Ask {
    fn send(&self, hit: &Hit, status: &str) -> Response<Body> {
        let mut head = hit.head();
        head.headers.insert(header::AGE, hit.age().as_secs().into());
        self.dress(head, Body::Stored(hit.body()), status)
    }

    fn relay(&self, head: &Head, reader: FillReader, status: &str) -> Response<Body> {
        self.dress(head.clone(), Body::Fill(reader), status)
    }

    fn dress(&self, head: Head, body: Body, status: &str) -> Response<Body> {
        let mut response = Response::new(body);
        (*response.status_mut(), *response.headers_mut()) = (head.status, head.headers);
        if conditional::not_modified(&self.own, response.status(), response.headers(), SystemTime::now()) {
            conditional::strip_for_not_modified(response.headers_mut());
            (*response.status_mut(), *response.body_mut()) = (StatusCode::NOT_MODIFIED, Body::default());
        }
        if let Ok(status) = format!("example; {status}").parse() {
            response.headers_mut().insert(CACHE_STATUS, status);
        }
        response
    }
}

/// Tags in the form of `Surrogate-Key`: words.
fn tags(fields: &HeaderMap) -> Vec<Vec<u8>> {
    let lines = fields.get_all("surrogate-key").iter();
    let words = lines.flat_map(|line| line.as_bytes().split(u8::is_ascii_whitespace));
    words.filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
}

fn slices(tags: &[Vec<u8>]) -> Vec<&[u8]> {
    tags.iter().map(Vec::as_slice).collect()
}

/// What is sent, to clients and to the origin.
enum Body {
    Whole(Bytes),
    Stored(Chunks),
    Fill(FillReader),
    Passed(Incoming),
}

impl Default for Body {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stored(chunks) => Poll::Ready(chunks.next().map(|chunk| Ok(Frame::data(chunk)))),
            Self::Fill(reader) => reader.poll_chunk(cx).map(|next| next.map(|chunk| Ok(Frame::data(chunk?)))),
            Self::Passed(body) => Pin::new(body).poll_frame(cx).map(|next| next.map(|frame| frame.map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Passed(body) => body.size_hint(),
            Self::Stored(_) | Self::Fill(_) => SizeHint::default(),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(origin)) = (args.next(), args.next()) else {
        return Err("usage: proxy LISTEN ORIGIN".into());
    };
    let client = Client::builder(TokioExecutor::new()).build_http();
    let cache = Config::new().edge_size(256 << 20).build()?;
    let proxy = Arc::new(Proxy { cache, client, origin: origin.parse()? });
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        let proxy = Arc::clone(&proxy);
        tokio::spawn(async move {
            let service = service_fn(move |request| Arc::clone(&proxy).handle(request));
            // A broken connection is its client's affair.
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service).await);
        });
    }
}
