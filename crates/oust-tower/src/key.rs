//! From a request to its key: the seam to whoever embeds the middleware.

use std::fmt;
use std::sync::Arc;

use http::header;
use http::request::Parts;
use oust::Key;
use oust::site::Sites;

use super::options::Options;

/// Tells the key of a request, and what else depends on whose request it is.
///
/// Closures from `&Parts` to a key implement it; [`SiteKeys`] is the default.
pub trait KeyFor: Send + Sync + 'static {
    /// The key of a request, whose hop-by-hop fields have been taken out. It is also asked for URLs that an answer to an unsafe method names, with
    /// that URL in place of the request's.
    ///
    /// # Errors
    ///
    /// Why it has none. Such a request is passed on, and its answer not stored.
    fn key_for(&self, request: &Parts) -> Result<Key, NoKey>;

    /// The settings for a request. `default` are those of the layer.
    fn options_for<'a>(&'a self, request: &Parts, default: &'a Arc<Options>) -> &'a Arc<Options> {
        let _ = request;
        default
    }

    /// Something happened that an operator counts. Called on the way of requests: it must be quick.
    fn event(&self, event: Event) {
        let _ = event;
    }
}

impl<F: Fn(&Parts) -> Result<Key, NoKey> + Send + Sync + 'static> KeyFor for F {
    fn key_for(&self, request: &Parts) -> Result<Key, NoKey> {
        self(request)
    }
}

/// What is counted. Hits and misses are in [`Cache::stats`](oust::Cache::stats).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// An answer was passed on without going through the store.
    Passed,
    /// A request joined a fill.
    Collapsed,
    /// A fill or revalidation began.
    Fetched,
    /// The inner service had no answer.
    Failed,
    /// A stale response was served because the inner service failed.
    StaleOnError,
}

/// Why a request has no key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoKey {
    /// Its host belongs to no site.
    UnknownHost,
    /// It is longer than a key may be.
    TooLong,
    /// It is no URL, or has no host.
    Malformed(String),
    /// Whoever embeds the middleware does not want it cached.
    Unwanted,
}

impl NoKey {
    /// A stable token, such as `unknown-host`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::UnknownHost => "unknown-host",
            Self::TooLong => "too-long",
            Self::Malformed(_) => "malformed",
            Self::Unwanted => "unwanted",
        }
    }
}

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(message) => f.write_str(message),
            other => f.write_str(other.as_str()),
        }
    }
}

impl std::error::Error for NoKey {}

/// Keys by the sites of a cache: scheme and host of the request's URI, or of `Host`.
#[derive(Debug, Clone)]
pub struct SiteKeys {
    sites: Sites,
    scheme: &'static str,
}

impl SiteKeys {
    /// Keys by `sites`; a request whose URI has no scheme came by http.
    pub fn new(sites: Sites) -> Self {
        Self { sites, scheme: "http" }
    }

    /// Requests whose URI has no scheme came by https: behind a listener or a proxy that ends TLS.
    pub fn https(mut self) -> Self {
        self.scheme = "https";
        self
    }
}

impl KeyFor for SiteKeys {
    fn key_for(&self, request: &Parts) -> Result<Key, NoKey> {
        let scheme = request.uri.scheme_str().unwrap_or(self.scheme);
        let authority = match request.uri.authority() {
            Some(authority) => authority.as_str().as_bytes(),
            None => {
                let mut hosts = request.headers.get_all(header::HOST).iter();
                match (hosts.next(), hosts.next()) {
                    (Some(host), None) if !host.is_empty() => host.as_bytes(),
                    (Some(_), Some(_)) => return Err(NoKey::Malformed("more than one Host".to_owned())),
                    _ => return Err(NoKey::Malformed("no Host".to_owned())),
                }
            }
        };
        if authority.contains(&b'@') {
            return Err(NoKey::Malformed("Host is no host".to_owned()));
        }
        let path_and_query = request.uri.path_and_query().map_or("/", |text| text.as_str());
        self.sites.key(scheme.as_bytes(), authority, path_and_query.as_bytes(), &request.headers).map_err(|error| {
            match error.malformed() {
                None => NoKey::UnknownHost,
                Some(error) if error.is_too_long() => NoKey::TooLong,
                Some(error) => NoKey::Malformed(error.to_string()),
            }
        })
    }
}

/// Scheme, authority, and path with query of a key's URL.
pub(crate) fn parts_of(key: &Key) -> (&str, &str, &str) {
    let key = key.as_ref();
    // Canonical keys are ASCII: nothing is lost.
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    let before_path = key.scheme().len() + "://".len() + key.authority().len();
    (text(key.scheme()), text(key.authority()), key.url().get(before_path..).map_or("/", text))
}
