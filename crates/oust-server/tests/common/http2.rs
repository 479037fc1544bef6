//! An origin that speaks HTTP/2, with or without TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// It answers with the method, the authority and the path it was asked for.
pub struct Http2 {
    pub addr: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    /// Server names asked for by TLS.
    pub names: Arc<Mutex<Vec<Option<String>>>>,
}

pub fn http2(tls: Option<ServerConfig>) -> Http2 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    let origin = Http2 { addr, connections: Arc::default(), names: Arc::default() };
    let (connections, names) = (origin.connections.clone(), origin.names.clone());
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, names) = (acceptor.clone(), names.clone());
                tokio::spawn(async move {
                    let serve = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    match acceptor {
                        None => drop(serve.serve_connection(TokioIo::new(stream), service_fn(answer)).await),
                        Some(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            names.lock().unwrap().push(stream.get_ref().1.server_name().map(str::to_owned));
                            drop(serve.serve_connection(TokioIo::new(stream), service_fn(answer)).await);
                        }
                    }
                });
            }
        });
    });
    origin
}

async fn answer(request: hyper::Request<hyper::body::Incoming>) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let uri = request.uri();
    let hosts = request.headers().get_all("host").iter().count();
    let text = format!("{:?} {} {uri} hosts={hosts}", request.version(), request.method());
    Ok(hyper::Response::builder().header("cache-control", "max-age=60").body(Full::from(text)).unwrap())
}
