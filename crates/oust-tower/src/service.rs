//! The service: what is answered at once, what is fetched, and what is passed on.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use oust::cache::{Cache, Deferred, Hit, Lookup};
use oust::freshness::{Demand, RequestDirectives};
use oust::{Key, Reason};
use tower_service::Service;

use super::ask::{self, Ask};
use super::body::Body;
use super::error::{BoxError, Failure};
use super::fetch::Slow;
use super::fields::{self, Seen};
use super::future::ResponseFuture;
use super::invalidate::Invalidation;
use super::key::{Event, KeyFor, NoKey, SiteKeys, parts_of};
use super::options::Options;
use super::runtime::{Runtime, Tokio};
use super::status::CacheStatus;

/// A cache before the HTTP service `S`; made by [`CacheLayer`](crate::CacheLayer).
///
/// `S` takes the requests of clients as they are, body included, and is cloned for each one that is not answered from the store. It is asked for
/// readiness then, so that [`poll_ready`](Service::poll_ready) of this service is always ready: a hit needs nothing of `S`. Its errors are answered: see
/// [`Failure`].
pub struct CacheService<S, K = SiteKeys, R = Tokio> {
    inner: S,
    shared: Arc<Shared<K, R>>,
}

/// What all services of a layer share.
pub(crate) struct Shared<K, R> {
    pub(crate) cache: Cache,
    pub(crate) keys: K,
    pub(crate) options: Arc<Options>,
    pub(crate) runtime: R,
}

/// What the store says about a request.
pub(crate) enum Found {
    /// It may be used.
    Use(Hit, CacheStatus),
    /// It may be used, and is to be validated behind the client's back.
    UseStale(Hit, CacheStatus),
    /// The origin must be asked; the hit may be validated.
    Ask(Option<Hit>, CacheStatus),
    /// The disk must be waited for.
    Wait(Deferred),
}

impl<S, K, R> CacheService<S, K, R> {
    pub(crate) fn new(inner: S, shared: Arc<Shared<K, R>>) -> Self {
        Self { inner, shared }
    }

    /// The service that is asked.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The cache it answers from.
    pub fn cache(&self) -> &Cache {
        &self.shared.cache
    }
}

impl<S, K, R> CacheService<S, K, R>
where
    K: KeyFor,
    R: Runtime,
{
    /// Answers a request; what [`call`](Service::call) does, without asking for `&mut self`.
    pub fn answer<B, C>(&self, request: Request<B>) -> ResponseFuture<C>
    where
        S: Service<Request<B>, Response = Response<C>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
        B: http_body::Body + Default + Send + 'static,
        C: http_body::Body<Error: Into<BoxError>> + Send + 'static,
    {
        let (mut parts, body) = request.into_parts();
        let shared = &self.shared;
        // An answer to an unsafe method ends its URL whatever else was offered with it: there the offer is passed over (RFC 9110 7.8).
        let upgrade = parts.method == Method::GET && fields::is_upgrade(&parts.headers, parts.version);
        if upgrade || parts.method == Method::CONNECT {
            let request = Request::from_parts(parts, body);
            let status = CacheStatus::forwarded(if upgrade { "bypass" } else { "method" });
            return ResponseFuture::working(tunnel(self.inner.clone(), Arc::clone(shared), request, status));
        }
        let trailers = fields::te_trailers(&parts.headers, parts.version);
        fields::strip_hop_by_hop(&mut parts.headers);
        let key = shared.keys.key_for(&parts);
        let options = shared.keys.options_for(&parts, &shared.options);
        if trailers && (key.is_err() || !is_cacheable(&parts.method, &body)) {
            parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        self.answer_as(Request::from_parts(parts, body), key, options)
    }

    /// Answers a request by this key and these settings, for callers that know them without [`KeyFor`]. Its hop-by-hop fields must have been taken
    /// out before the key was made: [`strip_hop_by_hop`](fields::strip_hop_by_hop).
    pub fn answer_as<B, C>(
        &self,
        request: Request<B>,
        key: Result<Key, NoKey>,
        options: &Arc<Options>,
    ) -> ResponseFuture<C>
    where
        S: Service<Request<B>, Response = Response<C>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
        B: http_body::Body + Default + Send + 'static,
        C: http_body::Body<Error: Into<BoxError>> + Send + 'static,
    {
        self.answer_late(request, key, options, NothingLate)
    }

    /// The same for requests that get fields of the caller's on their way: `late` is asked for those only where they matter, which for most hits they
    /// do not.
    pub fn answer_late<B, C>(
        &self,
        mut request: Request<B>,
        key: Result<Key, NoKey>,
        options: &Arc<Options>,
        late: impl Late,
    ) -> ResponseFuture<C>
    where
        S: Service<Request<B>, Response = Response<C>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
        B: http_body::Body + Default + Send + 'static,
        C: http_body::Body<Error: Into<BoxError>> + Send + 'static,
    {
        let key = match key {
            Ok(key) if is_cacheable(request.method(), request.body()) => key,
            key => {
                late.add(key.as_ref().ok(), request.headers_mut());
                let (inner, shared) = (self.inner.clone(), Arc::clone(&self.shared));
                let pass = Pass { inner, shared, options: Arc::clone(options) };
                return ResponseFuture::working(pass.on(request, key));
            }
        };
        let (parts, _) = request.into_parts();
        let seen = Seen::of(&parts.headers);
        let mut ask = Ask {
            key,
            wants: if seen.directives {
                RequestDirectives::parse(&parts.headers)
            } else {
                RequestDirectives::default()
            },
            head_only: parts.method == Method::HEAD,
            seen,
            headers: parts.headers,
            version: parts.version,
            uri: parts.uri,
            extensions: parts.extensions,
        };
        // What is selected by `Vary` must be what the origin of this key is told. Most of what is stored does not vary on what is still to be set.
        let open = |name: &[u8]| matches!(name, b"host" | b"content-length") || late.sets(name);
        let settled = self.shared.cache.lookup_settled(&ask.key, &ask.headers, open);
        if let Some(hit) = &settled
            && demand(&ask, hit) == Demand::Use
        {
            let status = CacheStatus::hit(hit.ttl());
            return ResponseFuture::ready(ask.serve_last(options, hit, status));
        }
        late.add(Some(&ask.key), &mut ask.headers);
        ask.headers.remove(header::CONTENT_LENGTH);
        fields::set_host(&mut ask.headers, parts_of(&ask.key).1);
        self.cached(ask, options, settled)
    }

    fn cached<B, C>(&self, ask: Ask, options: &Arc<Options>, settled: Option<Hit>) -> ResponseFuture<C>
    where
        S: Service<Request<B>, Response = Response<C>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
        B: http_body::Body + Default + Send + 'static,
        C: http_body::Body<Error: Into<BoxError>> + Send + 'static,
    {
        // With the one above the only place where the store is asked. What it can say at once is answered without a task or a box; what it cannot is
        // for `Slow::look_up` to wait for.
        let lookup = match settled {
            Some(hit) => Lookup::Hit(hit),
            None => self.shared.cache.lookup(&ask.key, &ask.headers),
        };
        match found(&ask, lookup) {
            Found::Use(hit, status) => ResponseFuture::ready(ask.serve_last(options, &hit, status)),
            found => {
                let slow = Slow { shared: Arc::clone(&self.shared), options: Arc::clone(options), ask };
                ResponseFuture::working(Arc::new(slow).answer(self.inner.clone(), found))
            }
        }
    }
}

/// Fields that a request gets on its way to the origin, worked out only when it goes there, or when something stored varies on one of them. See
/// [`CacheService::answer_late`].
pub trait Late {
    /// Whether [`add`](Self::add) sets, changes or removes the field of this name, which is in lower case.
    fn sets(&self, name: &[u8]) -> bool;

    /// Makes the fields those that the origin is told. `key` is the request's, if it has one.
    fn add(self, key: Option<&Key>, headers: &mut HeaderMap);
}

/// Of requests that are as the origin is told.
struct NothingLate;

impl Late for NothingLate {
    fn sets(&self, _: &[u8]) -> bool {
        false
    }

    fn add(self, _: Option<&Key>, _: &mut HeaderMap) {}
}

/// Whether the store may answer at all.
fn is_cacheable(method: &Method, body: &impl http_body::Body) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && body.is_end_stream()
}

/// What may be done with what was looked up.
pub(crate) fn found(ask: &Ask, lookup: Lookup) -> Found {
    match lookup {
        Lookup::Hit(hit) => match demand(ask, &hit) {
            Demand::Use => {
                let status = CacheStatus::hit(hit.ttl());
                Found::Use(hit, status)
            }
            // RFC 8246: a reload of what never changes is no reason to ask.
            Demand::Validate
                if ask.wants.max_age == Some(0) && ask.wants.is_reload_of_immutable(hit.ttl(), &hit.head().headers) =>
            {
                let status = CacheStatus::hit(hit.ttl());
                Found::Use(hit, status)
            }
            Demand::Validate => Found::Ask(Some(hit), CacheStatus::forwarded("request")),
        },
        Lookup::Stale(hit, reason) => {
            // A peer would store it and, not seeing our mark, hand it on as good (H7).
            let hidden = reason == Reason::PurgedSoft && ask.seen.from_cache;
            if !hidden && demand(ask, &hit) == Demand::Use {
                let status = CacheStatus::stale(hit.ttl(), reason.as_str());
                return Found::UseStale(hit, status);
            }
            Found::Ask(Some(hit), CacheStatus::because(reason))
        }
        Lookup::MustValidate(hit, reason) => {
            if ask.wants.accepts_stale(hit.age(), hit.ttl(), hit.may_serve_stale()) {
                let status = CacheStatus::stale(hit.ttl(), "max-stale");
                return Found::Use(hit, status);
            }
            Found::Ask(Some(hit), CacheStatus::because(reason))
        }
        Lookup::Miss(reason) => Found::Ask(None, CacheStatus::because(reason)),
        Lookup::Deferred(deferred) => Found::Wait(deferred),
        // A later engine's outcome: asking the origin is always right.
        _ => Found::Ask(None, CacheStatus::forwarded("miss")),
    }
}

fn demand(ask: &Ask, hit: &Hit) -> Demand {
    ask.wants.demand(hit.age(), hit.ttl())
}

/// Passing on what is not for the store.
struct Pass<S, K, R> {
    inner: S,
    shared: Arc<Shared<K, R>>,
    options: Arc<Options>,
}

impl<S, K: KeyFor, R: Runtime> Pass<S, K, R> {
    async fn on<B, C>(self, request: Request<B>, key: Result<Key, NoKey>) -> Response<Body<C>>
    where
        S: Service<Request<B>, Response = Response<C>, Error: Into<BoxError>, Future: Send> + Send,
        B: Send,
        C: Send,
    {
        let Self { inner, shared, options } = self;
        let (mut parts, body) = request.into_parts();
        let get = matches!(parts.method, Method::GET | Method::HEAD);
        let mut status = CacheStatus::forwarded(if get { "bypass" } else { "method" });
        let invalidation = Invalidation::of(&parts);
        let key = match key {
            Ok(key) => {
                parts.extensions.insert(key.clone());
                Some(key)
            }
            Err(reason) => {
                status.detail = Some(reason.as_str().into());
                None
            }
        };
        parts.headers.append(header::VIA, options.via(parts.version).clone());
        match ask_inner(inner, Request::from_parts(parts, body)).await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                if let Some(invalidation) = invalidation {
                    // Before the client can see the answer and ask again.
                    let done = invalidation.apply(&shared, &options, key.as_ref(), parts.status, &parts.headers).await;
                    if let Err(word) = done {
                        status.detail = Some(word.into());
                    }
                }
                passed(&shared.keys, &options, Response::from_parts(parts, body), status, key.as_ref())
            }
            Err(failure) => {
                shared.keys.event(Event::Failed);
                if let Some(invalidation) = invalidation.filter(|_| failure.is_in_doubt()) {
                    invalidation.in_doubt(&shared, key.as_ref());
                }
                ask::failed(&options, failure.status(), failure, status, key.as_ref())
            }
        }
    }
}

/// Hands an answer on without storing it.
pub(crate) fn passed<C>(
    keys: &impl KeyFor,
    options: &Options,
    response: Response<C>,
    status: CacheStatus,
    key: Option<&Key>,
) -> Response<Body<C>> {
    keys.event(Event::Passed);
    let (mut parts, body) = response.into_parts();
    fields::strip_hop_by_hop(&mut parts.headers);
    let status = CacheStatus { fwd_status: Some(parts.status), ..status };
    ask::dress(options, &mut parts.headers, parts.version, &status, key);
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, Body::pass(body))
}

/// Passes an upgrade on with its hop-by-hop fields: they are what it is about.
async fn tunnel<S, K, R, B, C>(
    inner: S,
    shared: Arc<Shared<K, R>>,
    mut request: Request<B>,
    mut status: CacheStatus,
) -> Response<Body<C>>
where
    S: Service<Request<B>, Response = Response<C>, Error: Into<BoxError>, Future: Send> + Send,
    K: KeyFor,
    R: Runtime,
    B: Send,
{
    let options = &shared.options;
    let via = options.via(request.version()).clone();
    request.headers_mut().append(header::VIA, via);
    match ask_inner(inner, request).await {
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            shared.keys.event(Event::Passed);
            let (mut parts, body) = response.into_parts();
            status.fwd_status = Some(parts.status);
            ask::dress(options, &mut parts.headers, parts.version, &status, None);
            Response::from_parts(parts, Body::pass(body))
        }
        Ok(response) => passed(&shared.keys, options, response, status, None),
        Err(failure) => {
            shared.keys.event(Event::Failed);
            ask::failed(options, failure.status(), failure, status, None)
        }
    }
}

/// Asks the inner service when it is ready.
pub(crate) async fn ask_inner<S, B, C>(mut inner: S, request: Request<B>) -> Result<Response<C>, Failure>
where
    S: Service<Request<B>, Response = Response<C>, Error: Into<BoxError>>,
{
    poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Failure::of)?;
    inner.call(request).await.map_err(Failure::of)
}

impl<S, K, R, B, C> Service<Request<B>> for CacheService<S, K, R>
where
    S: Service<Request<B>, Response = Response<C>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    K: KeyFor,
    R: Runtime,
    B: http_body::Body + Default + Send + 'static,
    C: http_body::Body<Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body<C>>;
    type Error = Infallible;
    type Future = ResponseFuture<C>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<C> {
        self.answer(request)
    }
}

impl<S: Clone, K, R> Clone for CacheService<S, K, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S, K, R> fmt::Debug for CacheService<S, K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheService").field("options", &self.shared.options).finish_non_exhaustive()
    }
}
