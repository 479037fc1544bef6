//! Accepting connections, for whatever answers the requests on them.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, Sleep};

use crate::config::Server;
use crate::proxy::Seldom;

/// What answers the requests of listeners.
pub(crate) trait Answer: Send + Sync + 'static {
    /// The body of its answers.
    type Body: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static;

    /// Answers a request; `peer` is the other end of its connection.
    fn answer(
        self: Arc<Self>,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// A connection was accepted.
    fn opened(&self) {}

    /// A connection has ended.
    fn closed(&self) {}
}

/// Binds an address. Needs a runtime.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the last run to time out.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

/// Open listeners before one service, with limits on their connections together.
#[derive(Debug)]
pub(crate) struct Listeners<A> {
    listeners: Vec<TcpListener>,
    service: Arc<A>,
    permits: Arc<Semaphore>,
    header_timeout: Duration,
    body_timeout: Duration,
}

impl<A: Answer> Listeners<A> {
    pub(crate) fn new(listeners: Vec<TcpListener>, service: Arc<A>, server: &Server) -> Self {
        let permits = Arc::new(Semaphore::new(server.max_connections.min(Semaphore::MAX_PERMITS)));
        let (header_timeout, body_timeout) = (server.header_timeout, server.body_timeout);
        Self { listeners, service, permits, header_timeout, body_timeout }
    }

    /// Serves until `stop` turns true, then lets requests in flight end; returns when none is left.
    pub(crate) async fn serve(self, stop: watch::Receiver<bool>) {
        let graceful = Arc::new(GracefulShutdown::new());
        let shared = Arc::new(Shared {
            service: self.service,
            permits: self.permits,
            header_timeout: self.header_timeout,
            body_timeout: self.body_timeout,
        });
        let accepting: Vec<_> = self
            .listeners
            .into_iter()
            .map(|listener| tokio::spawn(accept(listener, shared.clone(), graceful.clone(), stop.clone())))
            .collect();
        for task in accepting {
            if task.await.is_err() {
                tracing::error!("an accept loop ended by a panic");
            }
        }
        if let Some(graceful) = Arc::into_inner(graceful) {
            graceful.shutdown().await;
        }
    }
}

#[derive(Debug)]
struct Shared<A> {
    service: Arc<A>,
    permits: Arc<Semaphore>,
    header_timeout: Duration,
    body_timeout: Duration,
}

async fn accept<A: Answer>(
    listener: TcpListener,
    shared: Arc<Shared<A>>,
    graceful: Arc<GracefulShutdown>,
    mut stop: watch::Receiver<bool>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(shared.header_timeout).max_buf_size(64 << 10);
    let warned = Seldom::default();
    loop {
        let next = async {
            // Taken first: beyond the limit connections wait in the kernel's queue.
            let permit = shared.permits.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            biased;
            _ = stop.wait_for(|&stop| stop) => return,
            next = next => next,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: trying again at once would only spin.
                if warned.now() {
                    tracing::warn!(%error, "accept failed");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "set_nodelay failed");
        }
        let counted = shared.service.clone();
        counted.opened();
        let service = service_fn({
            let service = counted.clone();
            move |request| {
                let service = service.clone();
                async move { Ok::<_, Infallible>(service.answer(peer, request).await) }
            }
        });
        let io = TokioIo::new(Unstuck::new(stream, shared.body_timeout));
        let connection = graceful.watch(http.serve_connection(io, service));
        drop(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "connection ended");
            }
            counted.closed();
            drop(permit);
        }));
    }
}

/// A connection whose writes fail when the other side takes nothing for too long.
#[derive(Debug)]
struct Unstuck {
    stream: TcpStream,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Unstuck {
    fn new(stream: TcpStream, limit: Duration) -> Self {
        Self { stream, limit, timer: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.timer = None;
            return progress;
        }
        let deadline = Instant::now() + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Unstuck {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Unstuck {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
