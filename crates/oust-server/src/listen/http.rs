//! One connection: which protocol it speaks, and serving it.

use std::convert::Infallible;
use std::error::Error as _;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::http::{Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use super::figures::Refused;
use super::frames::{Frames, PREFACE};
use super::framing::Framing;
use super::interim::Desk;
use super::io::{Guarded, Watch};
use super::limits::{
    CONNECTION_WINDOW, MAX_FAULTS, MAX_HEAD, MAX_RESETS, MAX_STREAMS, SEND_BUFFER, STREAM_WINDOW, Times,
};
use super::tls::H2;
use super::{Answer, Hold, Peer, Shared};

/// What is read at once to find out a protocol: a request's head, mostly.
const FIRST: usize = 2 << 10;

/// A connection that was accepted.
pub(super) struct Connection<A> {
    pub(super) shared: Arc<Shared<A>>,
    pub(super) peer: Peer,
    pub(super) hold: Hold,
    pub(super) times: Times,
    pub(super) stop: watch::Receiver<bool>,
}

impl<A: Answer> Connection<A> {
    /// Serves a client that speaks TLS.
    pub(super) async fn greet(mut self, tls: TlsAcceptor, stream: TcpStream) {
        let figures = self.shared.figures.clone();
        let greeted = tokio::select! {
            greeted = timeout(self.times.header, tls.accept(stream)) => greeted,
            // Nothing is in flight yet.
            _ = self.stop.wait_for(|&stop| stop) => return,
        };
        let stream = match greeted {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                figures.tls_failed.add(1);
                tracing::debug!(peer = %self.peer.addr, %error, "TLS handshake failed");
                return;
            }
            Err(_) => {
                figures.tls_failed.add(1);
                return;
            }
        };
        figures.tls.add(1);
        if stream.get_ref().1.alpn_protocol() == Some(H2) {
            self.http2(stream, Box::default()).await;
        } else {
            self.http1(stream, Box::default()).await;
        }
    }

    /// Serves a client that speaks HTTP/1.1, or HTTP/2 by prior knowledge, which its first bytes tell.
    pub(super) async fn plain(mut self, mut stream: TcpStream) {
        let found = tokio::select! {
            found = timeout(self.times.header, first_bytes(&mut stream)) => found,
            _ = self.stop.wait_for(|&stop| stop) => return,
        };
        match found {
            Ok(Some((first, true))) => self.http2(stream, first).await,
            Ok(Some((first, false))) => self.http1(stream, first).await,
            // It has gone without a word.
            Ok(None) => {}
            Err(_) => self.shared.figures.refuse(Refused::HeaderTimeout),
        }
    }

    async fn http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S, first: Box<[u8]>) {
        let Self { shared, peer, hold, times, mut stop } = self;
        shared.figures.http1.add(1);
        let told = Arc::new(AtomicBool::new(false));
        let figures = shared.figures.clone();
        let stream = Guarded::new(stream, first, Watch::Http1(Framing::default()), times, figures, told.clone());
        let desk = Arc::new(Desk::default());
        let stream = stream.telling(desk.clone());
        let service = service_fn({
            let shared = shared.clone();
            move |mut request: Request<Incoming>| {
                let service = shared.service.clone();
                let desk = desk.clone();
                // Those of HTTP/1.0 know no interim answers.
                let can_be_told = request.version() == ::http::Version::HTTP_11;
                // What may leave HTTP takes its place along; what does not leave ends (see `Framing`).
                let leaves =
                    request.headers().contains_key(header::UPGRADE) || request.method() == ::http::Method::CONNECT;
                if leaves {
                    request.extensions_mut().insert(hold.clone());
                }
                async move {
                    let mut response = desk.answer(can_be_told, service.answer(peer, request)).await;
                    if leaves && response.status() != ::http::StatusCode::SWITCHING_PROTOCOLS {
                        response.headers_mut().insert(header::CONNECTION, ::http::HeaderValue::from_static("close"));
                    }
                    Ok::<_, Infallible>(response)
                }
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(times.idle)
            .max_buf_size(2 * MAX_HEAD)
            .max_header_size(MAX_HEAD);
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
        let mut stopping = false;
        let result = loop {
            tokio::select! {
                biased;
                result = connection.as_mut() => break result,
                _ = stop.wait_for(|&stop| stop), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        shared.note_end(peer, result, &told);
    }

    async fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S, first: Box<[u8]>) {
        let Self { shared, peer, hold: _hold, times, mut stop } = self;
        shared.figures.http2.add(1);
        let told = Arc::new(AtomicBool::new(false));
        let figures = shared.figures.clone();
        let stream = Guarded::new(stream, first, Watch::Http2(Frames::default()), times, figures, told.clone());
        let streams = Arc::new(Streams::default());
        let service = service_fn({
            let (shared, streams) = (shared.clone(), streams.clone());
            move |request| {
                let service = shared.service.clone();
                let stream = Stream::begin(streams.clone());
                async move {
                    let response: Response<A::Body> = service.answer(peer, request).await;
                    Ok::<_, Infallible>(response.map(|body| Told { body, stream: stream.answered() }))
                }
            }
        });
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .max_local_error_reset_streams(MAX_FAULTS)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER);
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let mut check = pin!(tokio::time::sleep(times.idle.min(times.body * 2)));
        let mut stopping = false;
        let result = loop {
            tokio::select! {
                biased;
                result = connection.as_mut() => break result,
                _ = stop.wait_for(|&stop| stop), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                    check.as_mut().reset(Instant::now() + times.header);
                }
                () = check.as_mut() => match streams.judge(times) {
                    // The goodbye waits for a word of the client's, which may not come: a drain is not for those who want nothing.
                    Judged::Busy(_) if stopping && streams.is_idle() => return,
                    // What waits for its client longer than it may is cut, with all of its connection.
                    Judged::Stuck => return,
                    Judged::Idle if !stopping => {
                        stopping = true;
                        connection.as_mut().graceful_shutdown();
                        check.as_mut().reset(Instant::now() + times.header);
                    }
                    // It does not even end: the goodbye was not taken.
                    Judged::Idle => return,
                    // A client that leaves one answer and goes on with others does so on another connection.
                    Judged::Lags(wait) => {
                        if !stopping {
                            stopping = true;
                            connection.as_mut().graceful_shutdown();
                        }
                        check.as_mut().reset(Instant::now() + wait);
                    }
                    Judged::Busy(wait) => check.as_mut().reset(Instant::now() + wait),
                }
            }
        };
        shared.note_end(peer, result, &told);
    }
}

impl<A> Shared<A> {
    fn note_end(&self, peer: Peer, result: Result<(), hyper::Error>, told: &AtomicBool) {
        let Err(error) = result else { return };
        if told.load(Ordering::Relaxed) {
            // Counted by what it is.
        } else if error.is_parse_too_large() {
            self.figures.refuse(Refused::TooLarge);
        } else if error.is_parse() {
            self.figures.refuse(Refused::Malformed);
        }
        let cause = error.source().map(ToString::to_string);
        tracing::debug!(peer = %peer.addr, %error, cause, "connection ended");
    }
}

/// The first bytes of a client, and whether they begin HTTP/2. `None` if it ends before they tell: a part of the preface is no request of either
/// protocol, and reading on at the end of a stream would never wait.
async fn first_bytes(stream: &mut TcpStream) -> Option<(Box<[u8]>, bool)> {
    // The buffer is there only when there is something to read: idle connections have none.
    stream.readable().await.ok()?;
    let mut first = Vec::with_capacity(FIRST);
    loop {
        if stream.read_buf(&mut first).await.ok()? == 0 {
            return None;
        }
        let known = first.len().min(PREFACE.len());
        let http2 = first.get(..known) == PREFACE.get(..known);
        if !http2 || known == PREFACE.len() {
            return Some((first.into_boxed_slice(), http2));
        }
    }
}

/// The streams of one HTTP/2 connection.
#[derive(Debug)]
struct Streams {
    /// Requests whose answers have not ended.
    open: AtomicUsize,
    /// When any of them last went on, in milliseconds since `since`.
    moved: AtomicUsize,
    /// The same of each whose answer has begun: what one holds is not given back because others go on. `None`: a free place. Lock: a leaf.
    answers: Mutex<Vec<Option<usize>>>,
    since: Instant,
}

impl Default for Streams {
    fn default() -> Self {
        Self { open: AtomicUsize::new(0), moved: AtomicUsize::new(0), answers: Mutex::default(), since: Instant::now() }
    }
}

enum Judged {
    Busy(Duration),
    Idle,
    /// One answer is not taken; all may be given up after this time.
    Lags(Duration),
    Stuck,
}

impl Streams {
    fn moved(&self, place: Option<usize>) {
        let now = usize::try_from(self.since.elapsed().as_millis()).unwrap_or(usize::MAX);
        self.moved.store(now, Ordering::Relaxed);
        if let Some(place) = place
            && let Some(answer) = self.answers().get_mut(place)
        {
            *answer = Some(now);
        }
    }

    fn is_idle(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }

    fn place(&self) -> usize {
        let mut answers = self.answers();
        let free = answers.iter().position(Option::is_none).unwrap_or(answers.len());
        if free == answers.len() {
            answers.push(Some(0));
        }
        free
    }

    fn answers(&self) -> MutexGuard<'_, Vec<Option<usize>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, times: Times) -> Judged {
        let since = |moved: usize| self.since.elapsed().saturating_sub(Duration::from_millis(moved as u64));
        let still = since(self.moved.load(Ordering::Relaxed));
        // An answer that waits for its origin fails after `body`; one that does not go on for twice as long waits for its client.
        let limit = times.body * 2;
        if self.open.load(Ordering::Relaxed) == 0 {
            // Not longer than `limit`: a request may come in between.
            let idle = still >= times.idle;
            return if idle { Judged::Idle } else { Judged::Busy((times.idle - still).min(limit)) };
        }
        let longest = self.answers().iter().flatten().min().map(|&moved| since(moved));
        match longest {
            Some(longest) if still >= limit || longest >= limit * 2 => Judged::Stuck,
            Some(longest) if longest >= limit => Judged::Lags((limit - still).min(limit * 2 - longest)),
            Some(longest) => Judged::Busy(limit - longest),
            None => Judged::Busy(if still < limit { limit - still } else { limit }),
        }
    }
}

/// One of them.
#[derive(Debug)]
struct Stream {
    streams: Arc<Streams>,
    /// Its place among the answers, once it has begun.
    place: Option<usize>,
}

impl Stream {
    fn begin(streams: Arc<Streams>) -> Self {
        streams.open.fetch_add(1, Ordering::Relaxed);
        streams.moved(None);
        Self { streams, place: None }
    }

    fn answered(mut self) -> Self {
        self.place = Some(self.streams.place());
        self.streams.moved(self.place);
        self
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Ordering::Relaxed);
        self.streams.moved(None);
        if let Some(place) = self.place
            && let Some(answer) = self.streams.answers().get_mut(place)
        {
            *answer = None;
        }
    }
}

pin_project_lite::pin_project! {
    /// A body that tells its connection when it goes on.
    struct Told<B> {
        #[pin]
        body: B,
        stream: Stream,
    }
}

impl<B: Body> Body for Told<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        this.stream.streams.moved(this.stream.place);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_taken_is_not_kept_by_others_that_are() {
        let second = Duration::from_secs(1);
        let times = Times { header: second, body: second * 5, idle: second * 60 };
        let streams = Arc::new(Streams::default());
        let left = Stream::begin(streams.clone()).answered();
        let mut judged = Vec::new();
        for _ in 0..21 {
            tokio::time::advance(second).await;
            drop(Stream::begin(streams.clone()).answered());
            judged.push(match streams.judge(times) {
                Judged::Busy(_) => 'b',
                Judged::Idle => 'i',
                Judged::Lags(_) => 'l',
                Judged::Stuck => 's',
            });
        }
        assert_eq!(judged.iter().collect::<String>(), "bbbbbbbbbllllllllllss");
        left.streams.moved(left.place);
        assert!(matches!(streams.judge(times), Judged::Busy(_)), "it went on");
        drop(left);
        tokio::time::advance(second * 60).await;
        assert!(matches!(streams.judge(times), Judged::Idle));
        assert_eq!(streams.answers().len(), 2, "places are used again");
    }

    #[tokio::test]
    async fn a_client_that_ends_within_the_preface_is_not_waited_for() {
        for part in ["", "P", "PRI * HTTP/2.0\r\n"] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let mut client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a connection");
            client.write_all(part.as_bytes()).await.expect("taken");
            client.shutdown().await.expect("ended");
            let (mut stream, _) = listener.accept().await.expect("a connection");
            // The limit is for who would spin for ever.
            let found = timeout(Duration::from_secs(10), first_bytes(&mut stream)).await.expect("it ends");
            assert!(found.is_none(), "{part:?}");
        }
    }
}
