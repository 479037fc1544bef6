//! One origin of a site, and one attempt to ask it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::runtime::{Handle, Id};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::dial::{self, Endpoint, Outgoing, Sender};
use super::failure::{Cause, Failure};
use super::health::Health;
use super::meter::Meters;
use super::pool::Pool;
use super::roots::SystemRoots;
use super::stream::{Lease, Stream};
use crate::config::{HealthCheck, Origin, OriginHttp2, OriginTls};
use crate::listen::Interim;

/// Interim answers to one request, beyond which an origin talks nonsense.
const MAX_INTERIM: usize = 16;

/// What an origin is; with all of it the same, it is the same one after a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spec {
    /// The site's first host.
    pub(super) site: String,
    pub(super) origin: Origin,
    pub(super) tls: OriginTls,
    pub(super) http2: OriginHttp2,
    pub(super) connect_timeout: Duration,
}

/// One origin: its connections, its health, its figures.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) spec: Spec,
    endpoint: Endpoint,
    pub(super) pool: Pool,
    pub(super) health: Health,
    pub(super) meters: Meters,
    /// Whether its last connection was one for many requests: then they share the next one too.
    shares: AtomicBool,
    /// Held while such a connection is made. Taken before the pool's lock, never inside it.
    dialling: tokio::sync::Mutex<()>,
}

/// A request as it is sent, to whichever origin.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Of the site, for `Host`: not the origin's own.
    pub(super) authority: &'a str,
    pub(super) path_and_query: &'a str,
    pub(super) headers: HeaderMap,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) first_byte: Duration,
    pub(super) body: Duration,
}

/// An attempt without an answer.
pub(super) struct Refused {
    pub(super) failure: Failure,
    pub(super) cause: Cause,
    /// The request's body, if nothing of the request was sent.
    pub(super) unsent: Option<Outgoing>,
    /// Whether the connection had been used before: its end tells nothing about the origin.
    pub(super) reused: bool,
    /// Whether the request's own body is why: it broke off, or did not come. That tells nothing about the origin either.
    pub(super) by_client: bool,
}

/// No body.
pub(super) fn nothing() -> Outgoing {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

impl Upstream {
    pub(super) fn new(spec: Spec, system: &SystemRoots) -> Self {
        let origin = &spec.origin;
        let endpoint = Endpoint {
            host: origin.host.clone(),
            port: origin.port,
            tls: origin.https.then(|| dial::tls(&spec.tls, spec.http2, &origin.host, system)),
            http2_only: spec.http2 == OriginHttp2::Always,
        };
        let shares = AtomicBool::new(endpoint.http2_only);
        Self {
            spec,
            endpoint,
            pool: Pool::default(),
            health: Health::default(),
            meters: Meters::default(),
            shares,
            dialling: tokio::sync::Mutex::default(),
        }
    }

    /// Asks once; `fresh`: on a new connection.
    pub(super) async fn ask(
        self: &Arc<Self>,
        call: &Call<'_>,
        body: Outgoing,
        fresh: bool,
        patience: Patience,
    ) -> Result<Response<Stream>, Refused> {
        let mut counted = Counted { meters: &self.meters, done: false };
        let answer = self.attempt(call, body, fresh, patience).await;
        counted.done = true;
        match &answer {
            Ok(_) => {
                self.meters.count(Ok(()));
                if self.health.answered() {
                    tracing::info!(origin = %self.spec.origin, site = self.spec.site, "origin is back");
                }
            }
            Err(refused) if refused.by_client => self.meters.gone(),
            Err(refused) => {
                self.meters.count(Err(refused.failure));
                if !(refused.reused && refused.failure == Failure::Reset)
                    && let Some(out) = self.health.failed(Instant::now())
                {
                    tracing::warn!(origin = %self.spec.origin, site = self.spec.site, ?out, "origin is taken out");
                }
            }
        }
        answer
    }

    async fn attempt(
        self: &Arc<Self>,
        call: &Call<'_>,
        body: Outgoing,
        fresh: bool,
        patience: Patience,
    ) -> Result<Response<Stream>, Refused> {
        let runtime = Handle::current().id();
        let (mut sender, reused) = match self.connection(runtime, fresh).await {
            Ok(connection) => connection,
            Err((failure, cause)) => {
                return Err(Refused { failure, cause, unsent: Some(body), reused: false, by_client: false });
            }
        };
        let refused = |failure, cause: Cause| Refused { failure, cause, unsent: None, reused, by_client: false };
        let progress = Arc::new(Progress::new());
        let body =
            if body.is_end_stream() { body } else { Watched { body, progress: progress.clone() }.boxed_unsync() };
        let multiplexed = matches!(sender, Sender::Many(_));
        let mut request = match self.request(call, body, multiplexed) {
            Ok(request) => request,
            Err(cause) => return Err(refused(Failure::Nobody, cause)),
        };
        let flooded = Arc::new(Notify::new());
        if !multiplexed {
            let (interim, flooded, client) = (AtomicUsize::new(0), flooded.clone(), Interim::client());
            hyper::ext::on_informational(&mut request, move |head| {
                if interim.fetch_add(1, Ordering::Relaxed) >= MAX_INTERIM {
                    flooded.notify_one();
                } else if let Some(client) = &client {
                    client.tell(head.status(), head.headers());
                }
            });
        }
        let begun = Instant::now();
        let sent = async {
            match &mut sender {
                Sender::One(sender) => sender.try_send_request(request).await,
                Sender::Many(sender) => sender.try_send_request(request).await,
            }
        };
        let sent = tokio::select! {
            biased;
            sent = sent => sent,
            () = flooded.notified() => {
                return Err(refused(Failure::Nonsense, "interim answers without end".into()));
            }
            () = progress.stalled(patience.first_byte) => {
                let by_client = progress.waits_for_client();
                return Err(Refused { by_client, ..refused(Failure::Timeout, "no answer in time".into()) });
            }
        };
        let response = sent.map_err(|mut error| {
            let unsent = error.take_message().map(Request::into_body);
            let error = error.into_error();
            // Broken HTTP shows as a parse error; over HTTP/2 as an error of the connection, which is as good as its end.
            let failure = if error.is_parse() { Failure::Nonsense } else { Failure::Reset };
            Refused { failure, cause: error.into(), unsent, reused, by_client: progress.broke() }
        })?;
        self.meters.first_byte.record(begun.elapsed());
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let asked = !multiplexed && call.headers.contains_key(header::UPGRADE);
        if let Some(what) = nonsense(&response, asked) {
            return Err(refused(Failure::Nonsense, what.into()));
        }
        let lease = match sender {
            // One that is no HTTP any more belongs to whoever asked for that. And some origins send a body after an answer to HEAD, which would be
            // read as the answer to the next request.
            Sender::One(sender) if !switched && call.method != Method::HEAD => Some(Lease { runtime, sender }),
            _ => None,
        };
        Ok(response.map(|incoming| Stream::new(incoming, patience.body, self.clone(), lease)))
    }

    /// A connection, and whether it was used before.
    async fn connection(&self, runtime: Id, fresh: bool) -> Result<(Sender, bool), (Failure, Cause)> {
        if !fresh && let Some(sender) = self.pool.take(runtime) {
            return Ok((sender, true));
        }
        if !self.shares.load(Ordering::Relaxed) {
            return self.dial(runtime).await.map(|sender| (sender, false));
        }
        // One dials for all; whoever waits behind a dial that fails has no more time than the first.
        let limit = self.spec.connect_timeout.saturating_mul(2);
        let dialling = async {
            let _alone = self.dialling.lock().await;
            // Even for who needs a fresh one: the one that died is no longer there, and what is was made since.
            match self.pool.take(runtime) {
                Some(sender) => Ok((sender, true)),
                None => self.dial(runtime).await.map(|sender| (sender, false)),
            }
        };
        match timeout(limit, dialling).await {
            Ok(dialled) => dialled,
            Err(_) => Err((Failure::ConnectTimeout, "no connection in time".into())),
        }
    }

    async fn dial(&self, runtime: Id) -> Result<Sender, (Failure, Cause)> {
        let begun = Instant::now();
        let sender = self.endpoint.dial(self.spec.connect_timeout).await?;
        self.meters.connect.record(begun.elapsed());
        if let Sender::Many(sender) = &sender {
            self.pool.share(runtime, sender.clone());
        }
        self.shares.store(matches!(sender, Sender::Many(_)), Ordering::Relaxed);
        Ok(sender)
    }

    fn request(&self, call: &Call<'_>, body: Outgoing, multiplexed: bool) -> Result<Request<Outgoing>, Cause> {
        let mut request = Request::new(body);
        *request.method_mut() = call.method.clone();
        *request.headers_mut() = call.headers.clone();
        if multiplexed {
            // The authority of HTTP/2 stands for `Host` (RFC 9113 8.3.1); the scheme is that of the connection.
            *request.version_mut() = Version::HTTP_2;
            *request.uri_mut() = Uri::builder()
                .scheme(if self.spec.origin.https { "https" } else { "http" })
                .authority(call.authority)
                .path_and_query(call.path_and_query)
                .build()?;
            request.headers_mut().remove(header::HOST);
        } else {
            *request.uri_mut() = Uri::builder().path_and_query(call.path_and_query).build()?;
            if !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
                // Said here: of a GET or HEAD hyper would leave the body out in silence.
                request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            request.headers_mut().insert(header::HOST, HeaderValue::from_str(call.authority)?);
        }
        Ok(request)
    }

    /// One active check, on a connection of its own: what a pooled one would tell is how the origin was.
    async fn probe(&self, check: &HealthCheck, host: &str) -> bool {
        let Ok(mut sender) = self.endpoint.dial(self.spec.connect_timeout).await else { return false };
        let multiplexed = matches!(sender, Sender::Many(_));
        let call = Call {
            method: Method::GET,
            authority: host,
            path_and_query: check.path.as_str(),
            headers: HeaderMap::new(),
        };
        let Ok(mut request) = self.request(&call, nothing(), multiplexed) else { return false };
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("oust-health"));
        if !multiplexed {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let answer = match &mut sender {
            Sender::One(sender) => sender.send_request(request).await,
            Sender::Many(sender) => sender.send_request(request).await,
        };
        answer.is_ok_and(|response| usize::from(response.status().as_u16()) == check.status)
    }

    /// Checks the origin for ever.
    pub(super) async fn watch(self: Arc<Self>, check: HealthCheck, host: String) {
        let mut ticks = tokio::time::interval(check.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let good = timeout(check.timeout, self.probe(&check, &host)).await.unwrap_or(false);
            match self.health.checked(good, &check) {
                Some(true) => tracing::info!(origin = %self.spec.origin, site = self.spec.site, "checks find it up"),
                Some(false) => tracing::warn!(origin = %self.spec.origin, site = self.spec.site, "checks find it down"),
                None => {}
            }
        }
    }
}

/// What an answer says that no answer may, if it does.
fn nonsense(response: &Response<Incoming>, may_switch: bool) -> Option<&'static str> {
    let headers = response.headers();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS && !may_switch {
        Some("it switches protocols, unasked")
    } else if headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH) {
        // Where it ends is a matter of who reads it (RFC 9112 6.3).
        Some("both Content-Length and Transfer-Encoding")
    } else if headers
        .get_all(header::TRANSFER_ENCODING)
        .iter()
        .enumerate()
        .any(|(at, coding)| at > 0 || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        // Nobody offered another, and nobody here undoes it: stored, it would be taken for the content.
        Some("a transfer coding that was not asked for")
    } else {
        None
    }
}

/// Counts an attempt that is dropped before it ends.
struct Counted<'a> {
    meters: &'a Meters,
    done: bool,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.meters.gone();
        }
    }
}

/// When the last of a request was handed over, and what the client did last.
#[derive(Debug)]
struct Progress {
    last: Mutex<Instant>,
    waits: AtomicBool,
    broke: AtomicBool,
}

impl Progress {
    fn new() -> Self {
        Self { last: Mutex::new(Instant::now()), waits: AtomicBool::new(false), broke: AtomicBool::new(false) }
    }

    fn get(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether the origin would take more of the request, and the client has not sent it.
    fn waits_for_client(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Whether the client's body has failed.
    fn broke(&self) -> bool {
        self.broke.load(Ordering::Relaxed)
    }

    /// Ends when there was none for so long.
    async fn stalled(&self, limit: Duration) {
        loop {
            let last = self.get();
            sleep_until(last + limit).await;
            if self.get() == last {
                return;
            }
        }
    }
}

/// A body that tells when it is read.
struct Watched {
    body: Outgoing,
    progress: Arc<Progress>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let frame = std::pin::Pin::new(&mut self.body).poll_frame(cx);
        self.progress.waits.store(frame.is_pending(), Ordering::Relaxed);
        if let std::task::Poll::Ready(frame) = &frame {
            self.progress.made();
            self.progress.broke.fetch_or(matches!(frame, Some(Err(_))), Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
