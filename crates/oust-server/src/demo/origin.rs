//! The demo's origin: every URL has a version that counts how often it was made.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// How long it thinks about each answer.
pub(super) const THINKS: Duration = Duration::from_millis(20);

/// An origin on loopback.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    made: Mutex<HashMap<String, u64>>,
    arrived: Semaphore,
    released: Semaphore,
}

impl Origin {
    /// Opens it. Needs a runtime.
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let shared =
            Arc::new(Shared { made: Mutex::default(), arrived: Semaphore::new(0), released: Semaphore::new(0) });
        drop(tokio::spawn(accept(listener, shared.clone())));
        Ok(Self { addr, shared })
    }

    /// Waits until a request for a held URL is there.
    pub(super) async fn arrived(&self) {
        if let Ok(permit) = self.shared.arrived.acquire().await {
            permit.forget();
        }
    }

    /// Lets the held request be answered.
    pub(super) fn release(&self) {
        self.shared.released.add_permits(1);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        drop(tokio::spawn(async move {
            let service = service_fn(move |request| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(shared.answer(request).await) }
            });
            // A connection that ends early is the client's business.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        }));
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let field = |name| request.headers().get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let host = field(header::HOST).unwrap_or_default().to_owned();
        let path = request.uri().path().to_owned();
        let cookie = field(header::COOKIE).unwrap_or_default().to_owned();
        let encoding = field(header::ACCEPT_ENCODING).unwrap_or_default().to_owned();
        // Nothing the demo purges changes in content, so a validator that is sent is still good.
        let conditional = request.headers().contains_key(header::IF_NONE_MATCH);
        let url = format!("{host}{}", request.uri());
        let version = {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            let version = made.entry(format!("{url} {cookie} {encoding}")).or_default();
            *version += 1;
            *version
        };
        if path.starts_with("/held/") {
            // The version is fixed; what follows happens while the answer is on its way.
            self.arrived.add_permits(1);
            if let Ok(permit) = self.released.acquire().await {
                permit.forget();
            }
        } else {
            tokio::time::sleep(THINKS).await;
        }
        let mut response = Response::builder()
            .header(header::CACHE_CONTROL, "max-age=300, stale-while-revalidate=60")
            .header(header::ETAG, "\"demo\"");
        if path.starts_with("/encoded/") {
            response = response.header(header::VARY, "accept-encoding");
        }
        // /tagged/a/b carries the tags a and b.
        if let Some(tags) = path.strip_prefix("/tagged/") {
            response = response.header("surrogate-key", tags.replace('/', " "));
        }
        let (status, body) = if conditional {
            (StatusCode::NOT_MODIFIED, String::new())
        } else {
            (StatusCode::OK, format!("{url} version {version}\n"))
        };
        response.status(status).body(Full::from(body)).unwrap_or_default()
    }
}
