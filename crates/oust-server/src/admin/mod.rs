//! The admin API: purge, look, measure.

mod auth;
mod metrics;
mod problem;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use oust::Cache;
use oust::purge::{Purge, PurgeError, PurgeId, Selector};
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) use self::auth::Guards;
pub(crate) use self::problem::Problem;
pub(crate) use self::wire::{ack as acknowledgement, action, instant, layers_of as layers, selector};

use crate::config::Role;
use crate::front::Front;
use crate::proxy::Figures;
use crate::reload::Reload;

/// Largest body of a request: ten thousand selectors of a kilobyte and more.
const MAX_BODY: usize = 16 << 20;
/// How long an explain may look.
const EXPLAIN_BUDGET: Duration = Duration::from_secs(2);
/// Hosts and directories whose rule budgets are shown.
const USAGE: usize = 10;
/// Purges in one page of the history.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// What every request of the API needs.
#[derive(Debug)]
pub(crate) struct Admin {
    cache: Cache,
    figures: Arc<Figures>,
    front: Arc<Front>,
    guard: Arc<Guards>,
    reload: Arc<Reload>,
    max_batch: usize,
    started: Instant,
    /// Listeners are open.
    open: AtomicBool,
    /// A drain has begun.
    draining: AtomicBool,
}

impl Admin {
    pub(crate) fn new(
        cache: Cache,
        figures: Arc<Figures>,
        front: Arc<Front>,
        guard: Arc<Guards>,
        reload: Arc<Reload>,
        max_batch: usize,
    ) -> Self {
        let (open, draining) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { cache, figures, front, guard, reload, max_batch, started: Instant::now(), open, draining }
    }

    /// From now on the proxy takes requests.
    pub(crate) fn set_open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// From now on no new ones should be sent here.
    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// The API as a service.
    pub(crate) fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/purges", post(purge).get(history))
            .route("/v1/purges/{id}", get(one_purge))
            .route("/v1/explain", post(explain))
            .route("/v1/objects", get(objects))
            .route("/v1/stats", get(stats))
            .route("/v1/reload", post(reload))
            .route("/metrics", get(exposition))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/openapi.json", get(openapi))
            .fallback(async || Problem::new(StatusCode::NOT_FOUND, "no such resource"))
            .method_not_allowed_fallback(async || {
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this resource does not take this method")
            })
            .with_state(self)
    }
}

type Shared = State<Arc<Admin>>;

async fn purge(State(admin): Shared, request: Request) -> Result<Response, Problem> {
    let by = admin.guard.admit(request.headers(), Role::Purge)?;
    let body = json_body(request).await?;
    let purge = wire::purge(&body, by, admin.max_batch, admin.cache.has_l2())?;
    let record = off_loop(move || admin.cache.purge(&purge)).await??;
    tracing::debug!(id = %record.id, rules = record.rules, by = record.by, "purged");
    Ok(json_response(&wire::ack(&record)))
}

async fn explain(State(admin): Shared, request: Request) -> Result<Response, Problem> {
    let by = admin.guard.admit(request.headers(), Role::Read)?;
    let body = json_body(request).await?;
    let purge: Purge = wire::purge(&body, by, admin.max_batch, admin.cache.has_l2())?;
    let has_l2 = admin.cache.has_l2();
    let explained = off_loop(move || admin.cache.explain(&purge, EXPLAIN_BUDGET)).await??;
    let mut edge = wire::count(explained.edge);
    if let Some(edge) = edge.as_object_mut() {
        edge.insert("sample".to_owned(), json!(explained.sample));
    }
    let costs: Vec<Value> = explained.costs.iter().map(wire::cost).collect();
    let mut answer = json!({ "edge": edge, "partial": explained.partial, "costs": costs });
    if let Some(members) = answer.as_object_mut().filter(|_| has_l2) {
        members.insert("l2".to_owned(), wire::count(explained.l2));
    }
    Ok(json_response(&answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    limit: Option<usize>,
    before: Option<String>,
}

async fn history(State(admin): Shared, headers: HeaderMap, request: Request) -> Result<Response, Problem> {
    admin.guard.admit(&headers, Role::Read)?;
    let page: PageQuery = query(&request)?;
    let before = page
        .before
        .map(|id| id.parse::<PurgeId>().map_err(|_| Problem::bad("`before` is no purge id: <epoch>-<seq>")))
        .transpose()?;
    let limit = page.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad(format!("`limit` is 1 to {MAX_PAGE}")));
    }
    let records = admin.cache.purge_records(before, limit);
    // A full page may have another behind it; a short one has not.
    let next = records.last().filter(|_| records.len() == limit).map(|record| record.id.to_string());
    let purges: Vec<Value> = records.iter().map(wire::record).collect();
    Ok(json_response(&json!({ "purges": purges, "next": next })))
}

async fn one_purge(State(admin): Shared, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    admin.guard.admit(&headers, Role::Read)?;
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "no such purge, or it has left the history");
    let id: PurgeId = id.parse().map_err(|_| unknown())?;
    let record = admin.cache.purge_record(id).ok_or_else(unknown)?;
    Ok(json_response(&wire::record(&record)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectsQuery {
    url: Option<String>,
    key: Option<String>,
}

async fn objects(State(admin): Shared, headers: HeaderMap, request: Request) -> Result<Response, Problem> {
    admin.guard.admit(&headers, Role::Read)?;
    let ObjectsQuery { url, key } = query(&request)?;
    let selector = match (url, key) {
        (Some(url), None) => Selector::Url(url),
        (None, Some(key)) => Selector::Key(key),
        _ => return Err(Problem::bad("give `url` or `key`")),
    };
    let found = off_loop(move || admin.cache.objects(&selector)).await??;
    let objects: Vec<Value> = found
        .into_iter()
        .map(|object| {
            let variant: serde_json::Map<String, Value> =
                object.variant.into_iter().map(|(name, value)| (name, json!(value))).collect();
            json!({
                "layer": object.layer,
                "key": object.key,
                "variant": variant,
                "status": object.status,
                "age": object.age,
                "ttl": object.ttl,
                "size": object.size,
                "tags": object.tags,
                "stamp": object.stamp,
                "mark": object.mark,
                "verdict": object.verdict,
            })
        })
        .collect();
    Ok(json_response(&json!({ "objects": objects })))
}

async fn stats(State(admin): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    admin.guard.admit(&headers, Role::Read)?;
    let stats = admin.cache.stats();
    Ok(json_response(&metrics::json(&stats, &admin.figures, &admin.front, admin.started.elapsed())))
}

async fn exposition(State(admin): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    admin.guard.admit(&headers, Role::Read)?;
    let usage = admin.cache.rule_usage(USAGE);
    let text = metrics::exposition(&admin.cache.stats(), &admin.figures, &admin.front, &usage)
        + &admin.front.origins_exposition();
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

async fn reload(State(admin): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    admin.guard.admit(&headers, Role::Admin)?;
    let reload = admin.reload.clone();
    let result = tokio::task::spawn_blocking(move || reload.reload())
        .await
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be carried out"))?;
    match result {
        Ok(restart) => Ok(json_response(&json!({ "reloaded": true, "restart": restart }))),
        Err(errors) => {
            let detail = "the configuration is kept as it was: see `errors`";
            Err(Problem::bad(detail).errors(errors))
        }
    }
}

async fn healthz(State(admin): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    admin.open_to_probes(&headers)?;
    Ok(json_response(&json!({ "status": "alive" })))
}

async fn readyz(State(admin): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    admin.open_to_probes(&headers)?;
    let mut reasons = Vec::new();
    if !admin.open.load(Ordering::Acquire) {
        reasons.push("starting");
    }
    if admin.draining.load(Ordering::Acquire) {
        reasons.push("draining");
    }
    let mut response = json_response(&json!({ "ready": reasons.is_empty(), "reasons": reasons }));
    if !reasons.is_empty() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

async fn openapi(State(admin): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    admin.open_to_probes(&headers)?;
    let mut response = Response::new(Body::from(crate::openapi::document()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

impl Admin {
    /// Probes have no token; the rule for loopback names still holds.
    fn open_to_probes(&self, headers: &HeaderMap) -> Result<(), Problem> {
        self.guard.admit_probe(headers)
    }
}

/// The body of a request that says it is JSON. Anything a web form can send without asking is refused.
async fn json_body(request: Request) -> Result<Vec<u8>, Problem> {
    let declared = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = declared.split(';').next().unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json"));
    }
    let too_large = || {
        let limit = u64::try_from(MAX_BODY).unwrap_or(u64::MAX);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large").limit("body", limit)
    };
    if http_body::Body::size_hint(request.body()).lower() > u64::try_from(MAX_BODY).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    // Beyond the declared length the only way to fail short of the limit is a connection that broke, which gets no answer anyway.
    let body = to_bytes(request.into_body(), MAX_BODY).await.map_err(|_| too_large())?;
    Ok(body.into())
}

fn query<T: serde::de::DeserializeOwned>(request: &Request) -> Result<T, Problem> {
    Query::try_from_uri(request.uri())
        .map(|Query(query)| query)
        .map_err(|error| Problem::bad(format!("query: {error}")))
}

/// Runs engine work that may take longer than an event loop should stand still.
async fn off_loop<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PurgeError> + Send + 'static,
) -> Result<Result<T, PurgeError>, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be carried out"))
}

fn json_response(value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
