//! Accepting connections, for whatever answers the requests on them.
//!
//! Each thread has sockets of its own for every address (`SO_REUSEPORT`), and a connection stays on the thread that accepted it.
//!
//! Invariants:
//!
//! 1. A connection is served only while it has its place among `max_connections`; beyond that it waits, one for each socket accepted, the
//!    others in the kernel's queue.
//! 2. Everything a client can leave undone has a time limit: the TLS handshake, its first byte and each head (`header_timeout`), bodies and
//!    taking what is sent (`body_timeout`), the next request (`keep_alive_timeout`).
//! 3. [`Listeners::serve`] returns only when no connection is left, those that became something else included.

mod figures;
mod frames;
mod framing;
mod http;
mod interim;
mod io;
mod limits;
pub(crate) mod tls;
mod workers;

use std::future::Future;
use std::io as stdio;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

pub(crate) use self::figures::{BOUNDS, Figures, Refused};
pub(crate) use self::interim::Interim;
pub(crate) use self::limits::Limits;
pub(crate) use self::workers::Workers;

use self::limits::Place;
use crate::proxy::Seldom;

/// Connections that wait in the kernel for each socket.
const BACKLOG: i32 = 1024;
/// How long nothing is heard of a client before the kernel asks whether it is still there.
const PROBE_AFTER: Duration = Duration::from_secs(60);

/// What answers the requests of listeners.
pub(crate) trait Answer: Send + Sync + 'static {
    /// The body of its answers.
    type Body: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static;

    /// Answers a request.
    fn answer(
        self: Arc<Self>,
        peer: Peer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    /// Whether what it sends comes by TLS.
    pub(crate) secure: bool,
}

impl Peer {
    /// The scheme of the URLs it asks for.
    pub(crate) fn scheme(self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

/// A connection's place and its share of the drain, for who goes on with it after an upgrade. Found among the extensions of a request that asks
/// for one.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    _place: Arc<Place>,
    _alive: mpsc::Sender<()>,
}

/// Opens an address `count` times; with port 0 all get the port of the first.
pub(crate) fn bind(addr: SocketAddr, count: usize) -> stdio::Result<Vec<std::net::TcpListener>> {
    if addr.port() != 0 {
        // Sockets that share a port do so with other processes too: a second server would take half of the connections of the first, silently.
        drop(open(addr, false)?);
    }
    let mut sockets = Vec::with_capacity(count);
    let mut addr = addr;
    for _ in 0..count {
        let socket = open(addr, true)?;
        addr = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn open(addr: SocketAddr, shared: bool) -> stdio::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the last run to time out.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted sockets inherit both.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER))?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// One open socket, and what greets its clients if it is for TLS.
#[derive(Clone)]
pub(crate) struct Greeter(pub(crate) Option<TlsAcceptor>);

impl std::fmt::Debug for Greeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Greeter").field(&self.0.is_some()).finish()
    }
}

/// Open sockets of one thread before one service.
#[derive(Debug)]
pub(crate) struct Listeners<A> {
    sockets: Vec<(std::net::TcpListener, Greeter)>,
    shared: Arc<Shared<A>>,
}

/// What the connections of a service share.
#[derive(Debug)]
struct Shared<A> {
    service: Arc<A>,
    limits: Arc<Limits>,
    figures: Arc<Figures>,
}

impl<A: Answer> Listeners<A> {
    pub(crate) fn new(
        sockets: Vec<(std::net::TcpListener, Greeter)>,
        service: Arc<A>,
        limits: Arc<Limits>,
        figures: Arc<Figures>,
    ) -> Self {
        Self { sockets, shared: Arc::new(Shared { service, limits, figures }) }
    }

    /// Serves until `stop` turns true, then lets requests in flight end; returns when none is left.
    ///
    /// # Errors
    ///
    /// A socket cannot be used, or a task that accepts connections has panicked.
    pub(crate) async fn serve(self, mut stop: watch::Receiver<bool>) -> Result<(), String> {
        // The receiver ends when nobody holds a sender: then no connection is left.
        let (alive, mut ended) = mpsc::channel(1);
        // A channel of this thread's own: waiting for it costs connections nothing that other threads share.
        let (stop_here, stop_connections) = watch::channel(false);
        let mut accepting = Vec::new();
        for (socket, greeter) in self.sockets {
            let listener = TcpListener::from_std(socket).map_err(|error| error.to_string())?;
            let each = Accepting {
                listener,
                greeter,
                shared: self.shared.clone(),
                alive: alive.clone(),
                stop: stop_connections.clone(),
            };
            accepting.push(tokio::spawn(each.run()));
        }
        drop(alive);
        let mut failed = Ok(());
        // A sender that is gone is as good as one that says stop.
        let stopped = async { drop(stop.wait_for(|&stop| stop).await) };
        tokio::select! {
            () = stopped => {}
            // They never end before they are told to.
            () = any_panic(&mut accepting) => failed = Err("an accept loop ended by a panic".to_owned()),
        }
        stop_here.send_replace(true);
        // Nothing is ever sent: this is the end of the last sender.
        let _none = ended.recv().await;
        failed
    }
}

async fn any_panic(tasks: &mut [tokio::task::JoinHandle<()>]) {
    std::future::poll_fn(|cx| {
        let panicked = tasks.iter_mut().any(|task| std::pin::Pin::new(task).poll(cx).is_ready());
        if panicked { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

struct Accepting<A> {
    listener: TcpListener,
    greeter: Greeter,
    shared: Arc<Shared<A>>,
    alive: mpsc::Sender<()>,
    stop: watch::Receiver<bool>,
}

impl<A: Answer> Accepting<A> {
    async fn run(mut self) {
        let warned = Seldom::default();
        loop {
            let next = async {
                let accepted = self.listener.accept().await;
                // After it: waiting with a place in hand would keep it from the other sockets.
                (accepted, self.shared.limits.enter().await)
            };
            let (accepted, place) = tokio::select! {
                biased;
                _ = self.stop.wait_for(|&stop| stop) => return,
                next = next => next,
            };
            match accepted {
                Ok((stream, addr)) => self.begin(stream, addr, place),
                Err(error) => {
                    drop(place);
                    // Out of descriptors, mostly: trying again at once would only spin.
                    if warned.now() {
                        tracing::warn!(%error, "accept failed");
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn begin(&self, stream: TcpStream, addr: SocketAddr, place: Place) {
        let peer = Peer { addr, secure: self.greeter.0.is_some() };
        let hold = Hold { _place: Arc::new(place), _alive: self.alive.clone() };
        let connection = http::Connection {
            shared: self.shared.clone(),
            peer,
            hold,
            times: self.shared.limits.times(),
            stop: self.stop.clone(),
        };
        let figures = self.shared.figures.clone();
        figures.connections.add(1);
        figures.open.add(1);
        let open = Open(figures);
        let greeter = self.greeter.0.clone();
        drop(tokio::spawn(async move {
            let _open = open;
            match greeter {
                // The future of a handshake is large, and most connections have none.
                Some(tls) => Box::pin(connection.greet(tls, stream)).await,
                None => connection.plain(stream).await,
            }
        }));
    }
}

/// Counts a connection as open, also if its task ends by a panic.
struct Open(Arc<Figures>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.sub(1);
    }
}
