//! The listener of the CDN purge APIs: `oust-api` behind hyper, and the webhooks it wants called.

mod address;
mod body;
mod serving;
mod webhook;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use oust::site::Sites;
use oust_api::{AccountError, Api, MAX_BODY};

use self::body::{Room, Unread};
pub(crate) use self::serving::Serving;
use self::webhook::Webhooks;

use crate::config::{AccountEntry, Config};
use crate::listen::{Answer, Peer};
use crate::proxy::Body;

/// The purge APIs of a server.
#[derive(Debug)]
pub(crate) struct PurgeApis {
    api: Arc<Api>,
    room: Room,
    body_timeout: Duration,
}

impl PurgeApis {
    /// The APIs of a cache for the configured accounts.
    ///
    /// # Errors
    ///
    /// As [`Api::new`].
    pub(crate) fn new(config: &Config, cache: oust::Cache) -> Result<Self, AccountError> {
        // Who reaches a loopback listener reaches the private addresses of this machine by other means too.
        let loopback = config.server.api.is_some_and(|addr| addr.ip().is_loopback());
        let accounts = config.accounts.iter().map(|entry| {
            let mut account = entry.account.clone();
            account.webhook_private |= loopback;
            account
        });
        let body_timeout = config.server.body_timeout;
        Ok(Self { api: Arc::new(Api::new(cache, accounts)?), room: Room::new(body_timeout), body_timeout })
    }

    /// What calls its webhooks.
    fn webhooks(&self) -> Webhooks {
        Webhooks::new(self.api.clone())
    }

    async fn reply(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Bytes> {
        if request.uri().path() == "/openapi.json" {
            return description(request.method());
        }
        let (mut parts, body) = request.into_parts();
        let held = match self.room.read(Body::stream(body, self.body_timeout)).await {
            Ok(held) => held,
            Err(Unread::TooLong) => {
                return message(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is longer than {MAX_BODY} bytes"));
            }
            Err(Unread::Stalled) => return message(StatusCode::REQUEST_TIMEOUT, "the body did not come to its end"),
        };
        let api = self.api.clone();
        // Some vendors tell who asked.
        parts.extensions.insert(peer);
        let request = Request::from_parts(parts, held.bytes.clone());
        // A purge may compile regexes and look through what is stored, longer than an event loop should stand still.
        let reply = tokio::task::spawn_blocking(move || {
            let reply = api.handle(&request);
            drop(held);
            reply
        })
        .await;
        reply.unwrap_or_else(|_| message(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be carried out"))
    }
}

impl Answer for PurgeApis {
    type Body = Full<Bytes>;

    async fn answer(self: Arc<Self>, peer: Peer, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let peer = peer.addr;
        let begun = Instant::now();
        // The path alone: header fields, queries and bodies may hold what is not for a log.
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.reply(peer, request).await;
        let (status, micros) = (response.status().as_u16(), begun.elapsed().as_micros());
        tracing::debug!(%peer, %method, path, status, micros, "purge API answered");
        response.map(Full::new)
    }
}

/// Tells each account that is wrong, and how.
pub(crate) fn check(config: &Config) -> Vec<(&AccountEntry, String)> {
    if config.accounts.is_empty() {
        return Vec::new();
    }
    let with = |accounts: &[&AccountEntry]| -> Result<(), String> {
        let sites = crate::engine::sites(&config.sites).unwrap_or_else(|_| Sites::default());
        let cache = oust::Config::new().edge_size(CHECKED_SIZE).background_sweep(false).sites(sites).build();
        let cache = cache.map_err(|error| error.to_string())?;
        let accounts = accounts.iter().map(|entry| entry.account.clone());
        Api::new(cache, accounts).map(drop).map_err(|error| error.to_string())
    };
    let all: Vec<&AccountEntry> = config.accounts.iter().collect();
    if with(&all).is_ok() {
        return Vec::new();
    }
    // Only then one by one, each beside those before it that are right, since some faults are of two accounts.
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for entry in all {
        right.push(entry);
        if let Err(message) = with(&right) {
            right.pop();
            wrong.push((entry, message));
        }
    }
    wrong
}

/// Least size of a cache, for one that only checks accounts.
const CHECKED_SIZE: u64 = 1 << 20;

fn description(method: &Method) -> Response<Bytes> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = message(StatusCode::METHOD_NOT_ALLOWED, "the description is only to be read");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    json(StatusCode::OK, Bytes::from_static(crate::openapi::document().as_bytes()))
}

fn message(status: StatusCode, text: &str) -> Response<Bytes> {
    json(status, serde_json::json!({ "message": text }).to_string().into())
}

fn json(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
