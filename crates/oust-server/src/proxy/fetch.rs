//! Fills: asking an origin on behalf of everyone who waits for one key.
//!
//! The leader of a fill is a task of its own; the client whose miss began it reads the fill as any other does, so its going away ends nothing.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use oust::cache::{Admit, Answer, Fetch, FillReader, FillTicket, FillWriter, Head, Hit, Reason};
use oust::freshness::conditional;
use oust::freshness::{Assessment, Exchange, Freshness, Skip, assess};

use super::body::Body;
use super::status::CacheStatus;
use super::{Ask, Proxy, head, not_modified, respond, with_retry_after};
use crate::engine;
use crate::origin::{Failure, Stream, StreamError};

/// What a leader tells the client it leads for, beside the fill itself.
#[derive(Debug, Default)]
struct Report(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    /// Whether it is going to be stored; `Some(false)` if it might have been.
    stored: Option<bool>,
    /// Why the store refused it.
    refused: Option<Reason>,
    /// Why it may not be stored.
    skip: Option<Skip>,
    /// Why the fill has no answer.
    outcome: Option<Outcome>,
}

#[derive(Debug)]
enum Outcome {
    /// The origin gave none.
    Failed(Failure),
    /// It answered with an error that is no news about the resource: for this client only, what is stored stays.
    Error(Box<Response<Stream>>),
}

impl Report {
    fn with<T>(&self, f: impl FnOnce(&mut Told) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Proxy {
    /// Gets the response from an origin, or from somebody who is already asking it.
    pub(super) async fn obtain(
        self: Arc<Self>,
        ask: Arc<Ask>,
        base: Option<Hit>,
        status: CacheStatus,
    ) -> Response<Body> {
        match self.cache.fetch(&ask.key, &ask.headers, base.clone()) {
            Fetch::Join(mut reader) => {
                self.figures.collapsed.add(1);
                let joined = CacheStatus { collapsed: true, ..status.clone() };
                match poll_fn(|cx| reader.poll_answer(cx)).await {
                    Answer::Head(head) => return self.relay(&ask, &head, reader, joined),
                    Answer::Validated(hit) => return self.serve_validated(&ask, &hit, joined),
                    // Not for us after all.
                    _ => {}
                }
                let ticket = self.cache.fetch_alone(&ask.key, &ask.headers, base.clone());
                self.lead_and_read(ticket, ask, base, status).await
            }
            Fetch::Lead(ticket) => self.lead_and_read(ticket, ask, base, status).await,
            Fetch::Found(hit) => {
                let status = CacheStatus::hit(hit.ttl());
                self.serve(&ask, &hit, status)
            }
            _ => {
                let ticket = self.cache.fetch_alone(&ask.key, &ask.headers, base.clone());
                self.lead_and_read(ticket, ask, base, status).await
            }
        }
    }

    /// Validates a stale response that has just been served, unless somebody does already.
    pub(super) fn revalidate_behind(self: &Arc<Self>, ask: &Arc<Ask>, hit: &Hit) {
        if let Fetch::Lead(ticket) = self.cache.fetch(&ask.key, &ask.headers, Some(hit.clone())) {
            let report = Arc::new(Report::default());
            drop(tokio::spawn(self.clone().lead(ticket, ask.clone(), report)));
        }
    }

    async fn lead_and_read(
        self: Arc<Self>,
        ticket: FillTicket,
        ask: Arc<Ask>,
        base: Option<Hit>,
        mut status: CacheStatus,
    ) -> Response<Body> {
        let mut reader = ticket.reader();
        let report = Arc::new(Report::default());
        drop(tokio::spawn(self.clone().lead(ticket, ask.clone(), report.clone())));
        let answer = poll_fn(|cx| reader.poll_answer(cx)).await;
        let outcome = report.with(|told| {
            status.stored = told.stored;
            let refused = told.refused.map(|reason| reason.to_string());
            if let Some(detail) = refused.or_else(|| told.skip.map(|skip| skip.to_string())) {
                status.detail = Some(detail);
            }
            told.outcome.take()
        });
        match answer {
            Answer::Head(head) => self.relay(&ask, &head, reader, status),
            Answer::Validated(hit) => self.serve_validated(&ask, &hit, status),
            _ => match outcome {
                Some(Outcome::Error(response)) => self.pass_or_stale(*response, &ask, base, status),
                Some(Outcome::Failed(failure)) => self.without_origin(failure, &ask, base, status),
                None => self.without_origin(Failure::Down, &ask, base, status),
            },
        }
    }

    /// The origin failed while something is stored that may have to do.
    fn without_origin(&self, failure: Failure, ask: &Ask, base: Option<Hit>, status: CacheStatus) -> Response<Body> {
        self.figures.origin_errors.add(1);
        if let Some(response) = self.stale_on_error(ask, base.as_ref(), &status) {
            return response;
        }
        // Something is there but cannot be validated (RFC 9111 4.3.3, 5.2.2.2): the origin is what is missing, not the resource.
        let code = match failure.status() {
            StatusCode::BAD_GATEWAY if base.is_some() => StatusCode::GATEWAY_TIMEOUT,
            code => code,
        };
        let response = self.failed(ask, code, CacheStatus { detail: Some(failure.to_string()), ..status });
        with_retry_after(response, failure)
    }

    fn pass_or_stale(
        &self,
        response: Response<Stream>,
        ask: &Ask,
        base: Option<Hit>,
        status: CacheStatus,
    ) -> Response<Body> {
        let shown = CacheStatus { fwd_status: Some(response.status()), ..status.clone() };
        if let Some(stale) = self.stale_on_error(ask, base.as_ref(), &shown) {
            return stale;
        }
        let mut response = self.pass(Ok(response), status, Some(ask));
        if ask.head_only {
            *response.body_mut() = Body::Empty;
        }
        response
    }

    /// RFC 5861 4: what is stale, if its windows, the purges that took it and the client allow.
    fn stale_on_error(&self, ask: &Ask, base: Option<&Hit>, status: &CacheStatus) -> Option<Response<Body>> {
        let hit = base.filter(|hit| hit.may_serve_on_error())?;
        // A peer must not take a soft purge's leavings for good, and a client that asked for validation gets it or an error.
        let soft = status.detail.as_deref() == Some(Reason::PurgedSoft.as_str());
        if (soft && ask.from_cache) || ask.wants.no_cache {
            return None;
        }
        self.figures.stale_on_error.add(1);
        let told = CacheStatus { hit: true, ttl: Some(hit.ttl().min(0)), fwd: None, ..status.clone() };
        let detail = told.detail.clone().or_else(|| Some("stale-if-error".to_owned()));
        Some(self.serve(ask, hit, CacheStatus { detail, ..told }))
    }

    /// Hands a fill on to a client as it comes.
    fn relay(&self, ask: &Ask, answer: &Head, reader: FillReader, mut status: CacheStatus) -> Response<Body> {
        status.fwd_status = Some(answer.status);
        let mut headers = answer.headers.clone();
        let left = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        self.dress(&mut headers, &status, ask);
        if conditional::not_modified(&ask.headers, answer.status, &headers, SystemTime::now()) {
            return not_modified(headers);
        }
        let body = if ask.head_only { Body::Empty } else { Body::Fill { reader, left, last: None } };
        respond(answer.status, headers, body)
    }

    fn serve_validated(&self, ask: &Ask, hit: &Hit, mut status: CacheStatus) -> Response<Body> {
        status.fwd_status = Some(StatusCode::NOT_MODIFIED);
        self.serve(ask, hit, status)
    }

    /// Feeds a ticket.
    async fn lead(self: Arc<Self>, ticket: FillTicket, ask: Arc<Ask>, report: Arc<Report>) {
        self.figures.fetches.add(1);
        let base = ticket.base().map(Hit::head);
        let mut headers = ask.headers.clone();
        let conditional = match &base {
            Some(base) => conditional::make_conditional(&mut headers, &base.headers),
            None => conditional::make_conditional(&mut headers, &HeaderMap::new()),
        };
        head::add_via(&mut headers, ask.version);
        // The client's word on caching is for us; the origin is asked on behalf of all.
        headers.remove(header::CACHE_CONTROL);
        headers.remove(header::PRAGMA);

        let mut begun = Instant::now();
        let mut answer = self.get(&ask, headers.clone()).await;
        if let (true, Some(base), Ok(response)) = (conditional, &base, &answer)
            && response.status() == StatusCode::NOT_MODIFIED
        {
            if conditional::validates(&base.headers, response.headers()) {
                let mut update = response.headers().clone();
                clean(&mut update);
                return self.validated(ticket, &ask, base, &update, begun.elapsed(), &report);
            }
            // It validated something else: the whole object, then.
            let _ = conditional::make_conditional(&mut headers, &HeaderMap::new());
            begun = Instant::now();
            answer = self.get(&ask, headers).await;
        }
        let response = match answer {
            Ok(response) if response.status() == StatusCode::NOT_MODIFIED => Err(Failure::Nonsense),
            other => other,
        };
        let response = match response {
            Ok(response) => response,
            Err(failure) => {
                report.with(|told| told.outcome = Some(Outcome::Failed(failure)));
                return drop(ticket);
            }
        };
        self.filled(ticket, &ask, response, begun.elapsed(), &report).await;
    }

    async fn get(&self, ask: &Ask, headers: HeaderMap) -> Result<Response<Stream>, Failure> {
        let target = engine::target(&ask.key);
        self.origins.send(&target, Method::GET, target.path_and_query, headers, Body::Empty).await
    }

    /// A 304 to what we asked about.
    fn validated(
        &self,
        ticket: FillTicket,
        ask: &Ask,
        base: &Head,
        update: &HeaderMap,
        delay: Duration,
        report: &Report,
    ) {
        let merged = conditional::merge(&base.headers, update);
        let (freshness, skip) = self.judge(ask, base.status, &merged, delay);
        report.with(|told| {
            told.stored = freshness.is_some().then_some(true);
            told.skip = skip;
        });
        let tags_of = merged.clone();
        let tags = head::tags(&tags_of, &self.http.tag_headers);
        let admit = ticket.not_modified(Head::new(base.status, merged), freshness, &tags);
        tracing::debug!(?admit, "validated");
    }

    /// A whole response.
    async fn filled(
        &self,
        ticket: FillTicket,
        ask: &Ask,
        response: Response<Stream>,
        delay: Duration,
        report: &Report,
    ) {
        let length = http_body::Body::size_hint(response.body()).exact();
        let (mut parts, body) = response.into_parts();
        clean(&mut parts.headers);
        let (freshness, skip) = self.judge(ask, parts.status, &parts.headers, delay);
        if freshness.is_none() && is_failure(parts.status) {
            // Not stored, and not a reason to forget what is.
            let response = Box::new(Response::from_parts(parts, body));
            report.with(|told| told.outcome = Some(Outcome::Error(response)));
            return drop(ticket);
        }
        report.with(|told| told.skip = skip);
        let tags_of = parts.headers.clone();
        let tags = head::tags(&tags_of, &self.http.tag_headers);
        let head = Head::new(parts.status, parts.headers);
        let writer = report.with(|told| {
            // Under the report's lock: the client that reads the head next sees what is known about storing it.
            let storable = freshness.is_some();
            let writer = ticket.respond(head, length, freshness, &tags);
            told.stored = storable.then(|| writer.refused().is_none());
            told.refused = writer.refused().filter(|_| storable);
            writer
        });
        match self.pump(writer, body).await {
            Ok(Some(admit)) => tracing::debug!(?admit, "filled"),
            Ok(None) => tracing::debug!("nobody reads what will not be stored: given up"),
            Err(error) => tracing::debug!(%error, "fill broke off"),
        }
    }

    async fn pump(&self, mut writer: FillWriter, mut body: Stream) -> Result<Option<Admit>, StreamError> {
        let limit = self.server.body_timeout;
        while let Some(chunk) = poll_fn(|cx| body.poll_data(cx)).await {
            let chunk: Bytes = chunk?;
            if writer.is_abandoned() {
                return Ok(None);
            }
            // Not ready means that a reader of what is not stored lags behind: it is cut off for the others' sake, or all are.
            if tokio::time::timeout(limit, poll_fn(|cx| writer.poll_ready(cx))).await.is_err() {
                writer.cut_laggards();
                let ready = poll_fn(|cx| writer.poll_ready(cx));
                tokio::time::timeout(limit, ready).await.map_err(|_| StreamError::Stalled)?;
            }
            writer.write(chunk);
        }
        Ok(Some(writer.finish()))
    }

    fn judge(
        &self,
        ask: &Ask,
        status: StatusCode,
        headers: &HeaderMap,
        delay: Duration,
    ) -> (Option<Freshness>, Option<Skip>) {
        let exchange = Exchange {
            method: &Method::GET,
            request: &ask.headers,
            status,
            response: headers,
            received: SystemTime::now(),
            delay,
        };
        match assess(&exchange) {
            Assessment::Store(freshness) => (Some(freshness), None),
            Assessment::Skip(skip) => (None, Some(skip)),
        }
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

/// Makes an origin's header fields fit to be stored. A `Date` is needed to age it by (RFC 9110 6.6.1).
fn clean(headers: &mut HeaderMap) {
    head::strip_hop_by_hop(headers);
    if !headers.contains_key(header::DATE)
        && let Ok(now) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now()))
    {
        headers.insert(header::DATE, now);
    }
}
