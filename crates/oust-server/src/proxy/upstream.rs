//! What the caching middleware asks: the origins, as a tower service.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Request, Response};
use oust::Key;
use oust::site::Sites;
use oust_tower::{Event, KeyFor};
use tower_service::Service;

use super::body::Body;
use super::figures::Figures;
use crate::engine::{self, NoKey};
use crate::origin::{Failure, Origins, Stream};

/// A key of the request's site, where the request has none of its own.
#[derive(Debug, Clone)]
pub(super) struct SiteKey(pub(super) Key);

/// The origins of all sites.
#[derive(Debug, Clone)]
pub(super) struct Upstream(Arc<Origins>);

impl Upstream {
    pub(super) fn new(origins: Arc<Origins>) -> Self {
        Self(origins)
    }
}

impl Service<Request<Body>> for Upstream {
    type Response = Response<Stream>;
    type Error = oust_tower::Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let origins = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let site = parts.extensions.get::<SiteKey>().map(|site| &site.0);
            let Some(key) = parts.extensions.get::<Key>().or(site) else { return Err(told(Failure::Nobody)) };
            let path_and_query = parts.uri.path_and_query().map_or("/", |text| text.as_str());
            origins.send(&engine::target(key), parts.method, path_and_query, parts.headers, body).await.map_err(told)
        })
    }
}

/// A failure as clients are told of it.
fn told(failure: Failure) -> oust_tower::Failure {
    let told = oust_tower::Failure::new(failure.status(), failure.as_str());
    let told = if failure.is_in_doubt() { told.may_be_done() } else { told };
    failure.retry_after().map_or(told, |seconds| told.retry_after(seconds))
}

/// Why there is no key, in the middleware's words.
pub(super) fn told_no_key(reason: NoKey) -> oust_tower::NoKey {
    match reason {
        NoKey::UnknownHost => oust_tower::NoKey::UnknownHost,
        NoKey::TooLong => oust_tower::NoKey::TooLong,
        NoKey::Malformed(message) => oust_tower::NoKey::Malformed(message),
    }
}

/// Keys by the server's sites, and figures.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) sites: Sites,
    pub(super) figures: Arc<Figures>,
}

impl KeyFor for Keys {
    /// Asked only for what an answer to an unsafe method names, which is absolute.
    fn key_for(&self, request: &Parts) -> Result<Key, oust_tower::NoKey> {
        let (Some(scheme), Some(authority)) = (request.uri.scheme_str(), request.uri.authority()) else {
            return Err(oust_tower::NoKey::Unwanted);
        };
        let path_and_query = request.uri.path_and_query().map_or("/", |text| text.as_str());
        engine::key(&self.sites, scheme, authority.as_str(), path_and_query, &request.headers)
            .map(|(key, _)| key)
            .map_err(told_no_key)
    }

    fn event(&self, event: Event) {
        match event {
            Event::Passed => self.figures.passed.add(1),
            Event::Collapsed => self.figures.collapsed.add(1),
            Event::Fetched => self.figures.fetches.add(1),
            Event::Failed => self.figures.origin_errors.add(1),
            Event::StaleOnError => self.figures.stale_on_error.add(1),
            _ => {}
        }
    }
}
