//! Fills: asking the inner service on behalf of everyone who waits for one key.
//!
//! The leader of a fill is a task of its own; the client whose miss began it reads the fill as any other does, so its going away ends nothing.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Buf, Bytes};
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;
use oust::Reason;
use oust::cache::{Admit, Answer, Fetch, FillTicket, FillWriter, Head, Hit};
use oust::freshness::{Assessment, Exchange, Freshness, Skip, conditional, strip_unstorable};
use tower_service::Service;

use super::ask::{self, Ask};
use super::body::Body;
use super::error::{BoxError, Failure};
use super::fields;
use super::key::{Event, KeyFor};
use super::options::Options;
use super::runtime::Runtime;
use super::service::{self, Found, Shared, ask_inner, passed};
use super::status::CacheStatus;

/// A request that is not answered from the store at once.
pub(crate) struct Slow<K, R> {
    pub(crate) shared: Arc<Shared<K, R>>,
    pub(crate) options: Arc<Options>,
    pub(crate) ask: Ask,
}

/// Fills of other variants that a request waits for, one after the other, before it asks alone.
const MAX_JOINS: u32 = 4;

/// When a head came, and how long after it was asked for. One reading of the clock: a `Date` of ours is never a second older than that.
type Arrival = (SystemTime, Duration);

/// What a leader tells the client it leads for, beside the fill itself.
struct Report<C>(Mutex<Told<C>>);

struct Told<C> {
    /// Whether it is going to be stored; `Some(false)` if it might have been.
    stored: Option<bool>,
    /// Why the store refused it.
    refused: Option<Reason>,
    /// Why it may not be stored.
    skip: Option<Skip>,
    /// Why the fill has no answer.
    outcome: Option<Outcome<C>>,
}

enum Outcome<C> {
    /// The inner service gave none.
    Failed(Failure),
    /// It answered with an error that is no news about the resource: for this client only, what is stored stays.
    Error(Box<Response<C>>),
}

impl<C> Report<C> {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Told { stored: None, refused: None, skip: None, outcome: None })))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Told<C>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K: KeyFor, R: Runtime> Slow<K, R> {
    pub(crate) async fn answer<S, B, C>(self: Arc<Self>, inner: S, found: Found) -> Response<Body<C>>
    where
        S: Service<Request<B>, Response = Response<C>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
        B: http_body::Body + Default + Send + 'static,
        C: http_body::Body<Error: Into<BoxError>> + Send + 'static,
    {
        let (base, status) = match self.look_up(found).await {
            // Cannot be: a wait ends with what was found.
            Found::Wait(_) => (None, CacheStatus::forwarded("miss")),
            Found::Use(hit, status) => return self.ask.serve(&self.options, &hit, status),
            Found::UseStale(hit, status) => {
                // A request that wants nothing kept, or nothing sent on, is no reason to fetch.
                if !self.ask.wants.no_store && !self.ask.wants.only_if_cached {
                    self.revalidate_behind(inner, &hit);
                }
                return self.ask.serve(&self.options, &hit, status);
            }
            Found::Ask(base, status) => (base, status),
        };
        if self.ask.wants.only_if_cached {
            let status = CacheStatus::own("only-if-cached");
            return ask::own(&self.options, StatusCode::GATEWAY_TIMEOUT, &status, Some(&self.ask.key));
        }
        if self.ask.wants.no_store {
            return self.fetch_unstored(inner).await;
        }
        self.obtain(inner, base, status).await
    }

    /// What the store says, once it is known: a lookup that has to wait for the second tier does it here, since whatever could be answered at once has
    /// been (`CacheService::cached`).
    async fn look_up(&self, found: Found) -> Found {
        match found {
            Found::Wait(mut deferred) => service::found(&self.ask, poll_fn(|cx| deferred.poll(cx)).await),
            found => found,
        }
    }

    /// A request that asked for nothing to be kept.
    async fn fetch_unstored<S, B, C>(&self, inner: S) -> Response<Body<C>>
    where
        S: Service<Request<B>, Response = Response<C>, Error: Into<BoxError>>,
        B: Default,
    {
        let mut headers = self.ask.headers.clone();
        headers.append(header::VIA, self.options.via(self.ask.version).clone());
        let method = if self.ask.head_only { Method::HEAD } else { Method::GET };
        let status = CacheStatus::forwarded("request");
        match ask_inner(inner, self.ask.request(method, headers)).await {
            Ok(response) => self.passed(response, status),
            Err(failure) => self.without_origin(failure, None, status),
        }
    }

    fn passed<C>(&self, response: Response<C>, status: CacheStatus) -> Response<Body<C>> {
        passed(&self.shared.keys, &self.options, response, status, Some(&self.ask.key))
    }

    /// Gets the response from the inner service, or from somebody who is already asking it.
    async fn obtain<S, B, C>(self: Arc<Self>, inner: S, base: Option<Hit>, status: CacheStatus) -> Response<Body<C>>
    where
        S: Service<Request<B>, Response = Response<C>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
        B: http_body::Body + Default + Send + 'static,
        C: http_body::Body<Error: Into<BoxError>> + Send + 'static,
    {
        let (cache, ask) = (&self.shared.cache, &self.ask);
        let mut joins = 0;
        let ticket = loop {
            match cache.fetch(&ask.key, &ask.headers, base.clone()) {
                Fetch::Join(mut reader) => {
                    if joins == 0 {
                        self.shared.keys.event(Event::Collapsed);
                    }
                    joins += 1;
                    let joined = CacheStatus { collapsed: true, ..status.clone() };
                    match poll_fn(|cx| reader.poll_answer(cx)).await {
                        Answer::Head(head) => return ask.relay(&self.options, &head, reader, joined),
                        Answer::Validated(hit) => return self.serve_validated(&hit, joined),
                        // Others of our variant were told the same, and one of us may ask for all.
                        Answer::Refetch(Reason::VaryMiss) if joins < MAX_JOINS => {}
                        // Not for us after all.
                        _ => break cache.fetch_alone(&ask.key, &ask.headers, base.clone()),
                    }
                }
                Fetch::Lead(ticket) => break ticket,
                Fetch::Found(hit) => return ask.serve(&self.options, &hit, CacheStatus::hit(hit.ttl())),
                _ => break cache.fetch_alone(&ask.key, &ask.headers, base.clone()),
            }
        };
        self.lead_and_read(inner, ticket, base, status).await
    }

    /// Validates a stale response that is about to be served, unless somebody does already.
    fn revalidate_behind<S, B, C>(self: &Arc<Self>, inner: S, hit: &Hit)
    where
        S: Service<Request<B>, Response = Response<C>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
        B: http_body::Body + Default + Send + 'static,
        C: http_body::Body<Error: Into<BoxError>> + Send + 'static,
    {
        let ask = &self.ask;
        if let Fetch::Lead(ticket) = self.shared.cache.fetch(&ask.key, &ask.headers, Some(hit.clone())) {
            let report = Report::new();
            self.shared.runtime.spawn(self.clone().lead(inner, ticket, report));
        }
    }

    async fn lead_and_read<S, B, C>(
        self: Arc<Self>,
        inner: S,
        ticket: FillTicket,
        base: Option<Hit>,
        mut status: CacheStatus,
    ) -> Response<Body<C>>
    where
        S: Service<Request<B>, Response = Response<C>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
        B: http_body::Body + Default + Send + 'static,
        C: http_body::Body<Error: Into<BoxError>> + Send + 'static,
    {
        let mut reader = ticket.reader();
        let report = Report::new();
        self.shared.runtime.spawn(self.clone().lead(inner, ticket, Arc::clone(&report)));
        let answer = poll_fn(|cx| reader.poll_answer(cx)).await;
        let outcome = report.with(|told| {
            status.stored = told.stored;
            let refused = told.refused.map(|reason| reason.as_str().into());
            if let Some(detail) = refused.or_else(|| told.skip.map(|skip| skip.to_string().into())) {
                status.detail = Some(detail);
            }
            told.outcome.take()
        });
        match answer {
            Answer::Head(head) => self.ask.relay(&self.options, &head, reader, status),
            Answer::Validated(hit) => self.serve_validated(&hit, status),
            _ => match outcome {
                Some(Outcome::Error(response)) => self.passed_or_stale(*response, base.as_ref(), status),
                Some(Outcome::Failed(failure)) => self.without_origin(failure, base.as_ref(), status),
                // The task is gone: the inner service panicked.
                None => self.without_origin(Failure::UNKNOWN, base.as_ref(), status),
            },
        }
    }

    /// The inner service failed while something is stored that may have to do.
    fn without_origin<C>(&self, failure: Failure, base: Option<&Hit>, status: CacheStatus) -> Response<Body<C>> {
        self.shared.keys.event(Event::Failed);
        if let Some(response) = self.stale_on_error(base, &status) {
            return response;
        }
        // Something is there but cannot be validated (RFC 9111 4.3.3, 5.2.2.2): the origin is what is missing, not the resource.
        let code = match failure.status() {
            StatusCode::BAD_GATEWAY if base.is_some() => StatusCode::GATEWAY_TIMEOUT,
            code => code,
        };
        ask::failed(&self.options, code, failure, status, Some(&self.ask.key))
    }

    fn passed_or_stale<C>(&self, response: Response<C>, base: Option<&Hit>, status: CacheStatus) -> Response<Body<C>> {
        let shown = CacheStatus { fwd_status: Some(response.status()), ..status.clone() };
        if let Some(stale) = self.stale_on_error(base, &shown) {
            return stale;
        }
        let mut response = self.passed(response, status);
        if self.ask.head_only {
            *response.body_mut() = Body::empty();
        }
        response
    }

    /// RFC 5861 4: what is stale, if its windows, the purges that took it and the client allow.
    fn stale_on_error<C>(&self, base: Option<&Hit>, status: &CacheStatus) -> Option<Response<Body<C>>> {
        let hit = base.filter(|hit| hit.may_serve_on_error())?;
        // A peer must not take a soft purge's leavings for good, and a client that asked for validation gets it or an error.
        let soft = status.detail.as_deref() == Some(Reason::PurgedSoft.as_str());
        if (soft && self.ask.seen.from_cache) || self.ask.wants.no_cache {
            return None;
        }
        self.shared.keys.event(Event::StaleOnError);
        let detail = if soft { Reason::PurgedSoft.as_str() } else { "stale-if-error" };
        let told = CacheStatus { fwd_status: status.fwd_status, ..CacheStatus::stale(hit.ttl(), detail) };
        Some(self.ask.serve(&self.options, hit, told))
    }

    fn serve_validated<C>(&self, hit: &Hit, mut status: CacheStatus) -> Response<Body<C>> {
        status.fwd_status = Some(StatusCode::NOT_MODIFIED);
        if status.detail.as_deref() == Some(Reason::PurgedSoft.as_str()) {
            // It was; now it is as good as new.
            status.detail = None;
        }
        self.ask.serve(&self.options, hit, status)
    }

    /// Feeds a ticket.
    async fn lead<S, B, C>(self: Arc<Self>, inner: S, ticket: FillTicket, report: Arc<Report<C>>)
    where
        S: Service<Request<B>, Response = Response<C>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
        B: http_body::Body + Default + Send + 'static,
        C: http_body::Body<Error: Into<BoxError>> + Send + 'static,
    {
        self.shared.keys.event(Event::Fetched);
        let base = ticket.base().map(Hit::head);
        let mut headers = self.ask.headers.clone();
        let conditional = match &base {
            Some(base) => conditional::make_conditional(&mut headers, &base.headers),
            None => conditional::make_conditional(&mut headers, &HeaderMap::new()),
        };
        headers.append(header::VIA, self.options.via(self.ask.version).clone());
        // The client's word on caching is for us; the origin is asked on behalf of all.
        headers.remove(header::CACHE_CONTROL);
        headers.remove(header::PRAGMA);

        let mut begun = Instant::now();
        let mut answer = self.get(inner.clone(), headers.clone()).await;
        if let (true, Some(base), Ok(response)) = (conditional, &base, &answer)
            && response.status() == StatusCode::NOT_MODIFIED
        {
            if conditional::validates(&base.headers, response.headers()) {
                let received = SystemTime::now();
                let mut update = response.headers().clone();
                clean(&mut update, received);
                return self.validated(ticket, base, &update, (received, begun.elapsed()), &report);
            }
            // It validated something else: the whole object, then.
            let _ = conditional::make_conditional(&mut headers, &HeaderMap::new());
            begun = Instant::now();
            answer = self.get(inner, headers).await;
        }
        let response = match answer {
            Ok(response) if response.status() == StatusCode::NOT_MODIFIED => Err(Failure::NONSENSE),
            other => other,
        };
        match response {
            Ok(response) => self.filled(ticket, response, (SystemTime::now(), begun.elapsed()), &report).await,
            Err(failure) => {
                report.with(|told| told.outcome = Some(Outcome::Failed(failure)));
                drop(ticket);
            }
        }
    }

    async fn get<S, B, C>(&self, inner: S, headers: HeaderMap) -> Result<Response<C>, Failure>
    where
        S: Service<Request<B>, Response = Response<C>, Error: Into<BoxError>>,
        B: Default,
    {
        ask_inner(inner, self.ask.request(Method::GET, headers)).await
    }

    /// A 304 to what we asked about.
    fn validated<C>(&self, ticket: FillTicket, base: &Head, update: &HeaderMap, arrival: Arrival, report: &Report<C>) {
        let mut merged = conditional::merge(&base.headers, update);
        // What the update now calls private may be stored already.
        strip_unstorable(&mut merged);
        let (freshness, skip) = self.judge(base.status, &merged, arrival);
        let tags = Tags::of(&self.options, &self.ask, &merged);
        // Under the report's lock: the client that is told next sees what is known about storing it.
        report.with(|told| {
            told.skip = skip;
            let storable = freshness.is_some();
            let admit = ticket.not_modified(Head::new(base.status, merged), freshness, &tags.list());
            if let (true, Some((_, admit))) = (storable, admit) {
                told.stored = Some(admit == Admit::Stored);
                told.refused = refusal(admit);
            }
        });
    }

    /// A whole response.
    async fn filled<C>(&self, ticket: FillTicket, response: Response<C>, arrival: Arrival, report: &Report<C>)
    where
        C: http_body::Body<Error: Into<BoxError>>,
    {
        let hint = http_body::Body::size_hint(response.body()).exact();
        let (mut parts, body) = response.into_parts();
        clean(&mut parts.headers, arrival.0);
        let (freshness, skip) = self.judge(parts.status, &parts.headers, arrival);
        if freshness.is_none() && is_failure(parts.status) {
            // Not stored, and not a reason to forget what is.
            let response = Box::new(Response::from_parts(parts, body));
            report.with(|told| told.outcome = Some(Outcome::Error(response)));
            return drop(ticket);
        }
        if parts.status == StatusCode::NO_CONTENT {
            // It says nothing (RFC 9110 8.6), and would be waited for.
            parts.headers.remove(header::CONTENT_LENGTH);
        }
        let stated = fields::content_length(&parts.headers);
        let length = stated.or(hint);
        if let (None, Some(length)) = (stated, length.filter(|_| parts.status != StatusCode::NO_CONTENT)) {
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let tags = Tags::of(&self.options, &self.ask, &parts.headers);
        let head = Head::new(parts.status, parts.headers);
        let writer = report.with(|told| {
            // Under the report's lock, as above.
            told.skip = skip;
            let storable = freshness.is_some();
            let writer = ticket.respond(head, length, freshness, &tags.list());
            told.stored = storable.then(|| writer.refused().is_none());
            told.refused = writer.refused().filter(|_| storable);
            writer
        });
        // Dropped unfinished, the writer breaks the fill.
        self.pump(writer, body, length).await;
    }

    async fn pump<C>(&self, mut writer: FillWriter, body: C, length: Option<u64>)
    where
        C: http_body::Body<Error: Into<BoxError>>,
    {
        let mut body = pin!(body);
        let mut left = length;
        while let Some(chunk) = poll_fn(|cx| body.as_mut().poll_frame(cx).map(|frame| frame.map(data))).await {
            let Ok(chunk) = chunk else { return };
            if writer.is_abandoned() {
                return;
            }
            if let Some(left) = &mut left {
                let Some(rest) = left.checked_sub(chunk.len() as u64) else { return };
                *left = rest;
            }
            // Not ready means that a reader of what is not stored lags behind: it is cut off for the others' sake, or all are.
            if !self.ready(&mut writer).await {
                writer.cut_laggards();
                if !self.ready(&mut writer).await {
                    return;
                }
            }
            writer.write(chunk);
        }
        // Shorter than it said it was: whatever ended it, this is not the whole.
        if left.is_none_or(|left| left == 0) {
            writer.finish();
        }
    }

    /// Whether the writer may go on within the time that a slow reader is given.
    async fn ready(&self, writer: &mut FillWriter) -> bool {
        // Nearly always at once, without a timer.
        let now = poll_fn(|cx| Poll::Ready(writer.poll_ready(cx).is_ready())).await;
        if now {
            return true;
        }
        let mut timer = pin!(self.shared.runtime.sleep(self.options.laggard_patience));
        poll_fn(|cx| match writer.poll_ready(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => timer.as_mut().poll(cx).map(|()| false),
        })
        .await
    }

    fn judge(&self, status: StatusCode, headers: &HeaderMap, arrival: Arrival) -> (Option<Freshness>, Option<Skip>) {
        let exchange = Exchange {
            method: &Method::GET,
            request: &self.ask.headers,
            status,
            response: headers,
            received: arrival.0,
            delay: arrival.1,
        };
        match self.options.assess(&exchange) {
            Assessment::Store(freshness) => (Some(freshness), None),
            Assessment::Skip(skip) => (None, Some(skip)),
        }
    }
}

/// The bytes of a frame. Trailers, which have none, are not shared.
fn data<D: Buf, E>(frame: Result<Frame<D>, E>) -> Result<Bytes, Broken> {
    let data = frame.map_err(|_| Broken)?.into_data();
    Ok(data.map_or(Bytes::new(), |mut data| data.copy_to_bytes(data.remaining())))
}

/// The inner service's body failed.
struct Broken;

fn refusal(admit: Admit) -> Option<Reason> {
    match admit {
        Admit::Skipped(reason) => Some(reason),
        _ => None,
    }
}

/// The tags of a response.
struct Tags {
    all: Vec<Vec<u8>>,
}

impl Tags {
    fn of(options: &Options, ask: &Ask, headers: &HeaderMap) -> Self {
        let mut all: Vec<Vec<u8>> =
            fields::tags(headers, &options.tag_headers).into_iter().map(<[u8]>::to_vec).collect();
        if options.groups {
            all.extend(super::invalidate::group_tags(&ask.key, headers));
        }
        Self { all }
    }

    fn list(&self) -> Vec<&[u8]> {
        self.all.iter().map(Vec::as_slice).collect()
    }
}

/// Statuses that say the origin failed rather than what the resource is (RFC 5861 4).
fn is_failure(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Makes an origin's header fields fit to be judged and kept. A `Date` is needed to age it by (RFC 9110 6.6.1).
fn clean(headers: &mut HeaderMap, received: SystemTime) {
    strip_unstorable(headers);
    if !headers.contains_key(header::DATE)
        && let Ok(now) = HeaderValue::from_str(&httpdate::fmt_http_date(received))
    {
        headers.insert(header::DATE, now);
    }
}
