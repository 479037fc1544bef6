//! A cache, its purge APIs behind hyper, and a client on one connection that it keeps.
//!
//! Mounted as in `oust serve`: a request is read on the event loop and handled on a thread that may block.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use oust::freshness::Freshness;
use oust::{Admit, Cache, Config, Head};
use oust_api::Api;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::asked;

/// Bytes of every body.
static BODY: &[u8] = &[b'x'; 200];

/// A served cache and the client's end of the connection.
pub(crate) struct Side {
    pub(crate) cache: Cache,
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Side {
    /// A cache of so many objects, served on a port of its own.
    pub(crate) fn start(runtime: &Runtime, objects: usize) -> Self {
        let cache = Config::new().edge_size(3 << 30).build().expect("the configuration is valid");
        fill(&cache, objects);
        let api = Arc::new(Api::new(cache.clone(), asked::accounts()).expect("the accounts are valid"));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        drop(runtime.spawn(serve(listener, api)));
        let stream = TcpStream::connect(addr).expect("the server listens");
        stream.set_nodelay(true).expect("an open socket");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("an open socket");
        Self { cache, stream, answer: Vec::new() }
    }

    /// Sends a request; how long it takes from its first byte to the last one of the answer, which is to be a success.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Duration {
        let mut chunk = [0; 8192];
        self.answer.clear();
        let begun = Instant::now();
        self.stream.write_all(request).expect("the server reads");
        let ends = loop {
            let read = self.stream.read(&mut chunk).expect("the server answers");
            assert!(read > 0, "the server closed the connection");
            self.answer.extend_from_slice(&chunk[..read]);
            if let Some(ends) = length(&self.answer).filter(|&ends| self.answer.len() >= ends) {
                break ends;
            }
        };
        let took = begun.elapsed();
        let text = || String::from_utf8_lossy(&self.answer);
        assert_eq!(self.answer.len(), ends, "{}", text());
        assert!([&b"HTTP/1.1 200"[..], b"HTTP/1.1 201"].iter().any(|line| self.answer.starts_with(line)), "{}", text());
        took
    }

    /// Waits until every purge is swept.
    pub(crate) fn settle(&self) {
        let begun = Instant::now();
        while self.cache.stats().live_rules > 0 {
            assert!(begun.elapsed() < Duration::from_secs(120), "purges are not swept: {:?}", self.cache.stats());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn fill(cache: &Cache, objects: usize) {
    let (request, head) = (HeaderMap::new(), Head::new(StatusCode::OK, HeaderMap::new()));
    for id in 0..objects {
        let ticket = cache.fetch_alone(&asked::key(id), &request, None);
        let freshness = Freshness::fresh_for(Duration::from_secs(86_400));
        let admit = ticket.store(head.clone(), Bytes::from_static(BODY), freshness, &[]);
        assert!(matches!(admit, Admit::Stored), "{admit:?}");
    }
}

/// Bytes of the whole answer, once its head is there.
fn length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).expect("a head is text");
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().expect("a length"))
    });
    Some(head + length.expect("answers have a length"))
}

async fn serve(listener: TcpListener, api: Arc<Api>) {
    while let Ok((stream, peer)) = listener.accept().await {
        drop(stream.set_nodelay(true));
        let api = Arc::clone(&api);
        let service = service_fn(move |request| {
            let api = Arc::clone(&api);
            async move { Ok::<_, Infallible>(answer(api, peer, request).await) }
        });
        drop(tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service)));
    }
}

async fn answer(api: Arc<Api>, peer: SocketAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(peer);
    let body = body.collect().await.expect("the client sends what it announces").to_bytes();
    let request = Request::from_parts(parts, body);
    let reply = tokio::task::spawn_blocking(move || api.handle(&request)).await;
    reply.expect("requests do not panic").map(Full::new)
}
