//! Origins: which one a key is fetched from, and asking it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::body::Body;
use super::figures::Seldom;
use crate::config::{Origin, Server, Site};
use crate::engine::{self, Target};

/// The origins of all sites, and the connections to them.
#[derive(Debug)]
pub(super) struct Origins {
    by_host: HashMap<String, usize>,
    any: Option<usize>,
    groups: Vec<Group>,
    client: Client<HttpConnector, Body>,
    /// How long an origin may take to begin its answer.
    patience: Duration,
    warned: Seldom,
}

#[derive(Debug)]
struct Group {
    origins: Vec<Origin>,
    next: AtomicUsize,
}

/// Why an origin gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It cannot be reached, or what it sent is no HTTP.
    Down,
    /// It took too long.
    Timeout,
    /// There is none for this host.
    Nobody,
}

impl Failure {
    /// A stable token, for `Cache-Status`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Down => "origin-down",
            Self::Timeout => "origin-timeout",
            Self::Nobody => "no-origin",
        }
    }
}

impl Origins {
    pub(super) fn new(server: &Server, sites: &[Site], engine: &oust::site::Sites) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(server.header_timeout));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        let mut by_host = HashMap::new();
        let mut any = None;
        let mut groups = Vec::new();
        for (index, site) in sites.iter().enumerate() {
            for host in &site.hosts {
                if host == "*" {
                    any = Some(index);
                } else if let Ok(key) = engine::key(engine, "http", host, "/", &HeaderMap::new()) {
                    // The engine's spelling of the host, so that keys find it.
                    by_host.insert(engine::target(&key).host.to_owned(), index);
                }
            }
            groups.push(Group { origins: site.origins.clone(), next: AtomicUsize::new(0) });
        }
        Self { by_host, any, groups, client, patience: server.body_timeout, warned: Seldom::default() }
    }

    /// Asks an origin of the target's host. Origins take turns; one that cannot be reached passes its turn on if nothing of the request is lost.
    ///
    /// A safe request without a body is also asked again when the connection ends before an answer: an origin may close an idle connection in the
    /// moment it is used again.
    pub(super) async fn send(
        &self,
        target: &Target<'_>,
        method: Method,
        path_and_query: &str,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Response<Incoming>, Failure> {
        let group = self
            .by_host
            .get(target.host)
            .copied()
            .or(self.any)
            .and_then(|index| self.groups.get(index))
            .ok_or(Failure::Nobody)?;
        let safe = matches!(method, Method::GET | Method::HEAD) && matches!(body, Body::Empty);
        let tries = match body {
            Body::Empty if safe => group.origins.len().max(2),
            Body::Empty => group.origins.len(),
            _ => 1,
        };
        let first = group.next.fetch_add(1, Ordering::Relaxed);
        let mut body = Some(body);
        let mut failure = Failure::Nobody;
        for turn in 0..tries {
            let Some(origin) = group.origins.get((first.wrapping_add(turn)) % group.origins.len()) else { break };
            let body = body.take().unwrap_or(Body::Empty);
            match self.ask(origin, target, method.clone(), path_and_query, headers.clone(), body).await {
                Ok(response) => return Ok(response),
                Err((Failure::Down, unsent)) if unsent || safe => failure = Failure::Down,
                Err((other, _)) => return Err(other),
            }
        }
        Err(failure)
    }

    /// One attempt. The flag of an error tells that no connection came about, so that another origin may be asked.
    async fn ask(
        &self,
        origin: &Origin,
        target: &Target<'_>,
        method: Method,
        path_and_query: &str,
        mut headers: HeaderMap,
        body: Body,
    ) -> Result<Response<Incoming>, (Failure, bool)> {
        let uri = Uri::builder()
            .scheme("http")
            .authority(origin.authority.as_str())
            .path_and_query(path_and_query)
            .build()
            .map_err(|_| (Failure::Nobody, false))?;
        let host = HeaderValue::from_str(target.authority).map_err(|_| (Failure::Nobody, false))?;
        headers.insert(header::HOST, host);
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        match tokio::time::timeout(self.patience, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                self.warn(origin, &Chain(&error));
                Err((Failure::Down, error.is_connect()))
            }
            Err(_) => {
                self.warn(origin, &"no answer in time");
                Err((Failure::Timeout, false))
            }
        }
    }

    fn warn(&self, origin: &Origin, error: &dyn fmt::Display) {
        if self.warned.now() {
            tracing::warn!(origin = origin.authority, %error, "origin failed");
        } else {
            tracing::debug!(origin = origin.authority, %error, "origin failed");
        }
    }
}

/// An error with its causes.
struct Chain<'a>(&'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
