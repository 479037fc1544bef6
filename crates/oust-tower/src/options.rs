//! Settings that may differ from site to site.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header};
use oust::freshness::{Assessment, Exchange, Policy};

use super::ask;
use super::body::Body;
use super::status::{CacheStatus, is_sf_token};

/// Settings of the middleware. [`KeyFor::options_for`](crate::KeyFor::options_for) may choose others for each request.
///
/// A plain value, to be changed by its methods and given to [`CacheLayer::options`](crate::CacheLayer::options).
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) name: Box<str>,
    pub(crate) via: [HeaderValue; 3],
    policy: Policy,
    pub(crate) tag_headers: Vec<HeaderName>,
    pub(crate) keeps_tags: bool,
    pub(crate) groups: bool,
    pub(crate) cache_status_key: bool,
    pub(crate) laggard_patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The defaults, which each method tells.
    pub fn new() -> Self {
        let names = ["surrogate-key", "cache-tag", "edge-cache-tag", "xkey", "x-cache-tags"];
        Self {
            name: "oust".into(),
            via: ["1.0 oust", "1.1 oust", "2 oust"].map(HeaderValue::from_static),
            policy: Policy::new(),
            tag_headers: names.map(HeaderName::from_static).into(),
            keeps_tags: false,
            groups: true,
            cache_status_key: false,
            laggard_patience: Duration::from_secs(30),
        }
    }

    /// The name of this cache in `Cache-Status` and its pseudonym in `Via`. Default: `oust`.
    ///
    /// # Errors
    ///
    /// If it is no token that both fields take: a letter, then letters, digits, `-`, `_`, `.`.
    pub fn name(mut self, name: &str) -> Result<Self, InvalidName> {
        if !is_sf_token(name) || name.bytes().any(|b| b":/*".contains(&b)) {
            return Err(InvalidName);
        }
        let via = |version: &str| HeaderValue::from_str(&format!("{version} {name}")).map_err(|_| InvalidName);
        self.via = [via("1.0")?, via("1.1")?, via("2")?];
        self.name = name.into();
        Ok(self)
    }

    /// What may be stored and for how long. Default: [`Policy::new`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Response fields whose members are the response's tags. `Surrogate-Key` and `xkey` are split at spaces, others at commas.
    /// Default: those two, `Cache-Tag`, `Edge-Cache-Tag` and `X-Cache-Tags`.
    pub fn tag_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.tag_headers = names.into_iter().collect();
        self
    }

    /// Whether clients see the tag fields. Default: no, they are between the origin and us.
    pub fn keep_tags(mut self, yes: bool) -> Self {
        self.keeps_tags = yes;
        self
    }

    /// Whether `Cache-Groups` tags a response and `Cache-Group-Invalidation` purges groups (RFC 9875), within an origin. Default: yes.
    pub fn groups(mut self, yes: bool) -> Self {
        self.groups = yes;
        self
    }

    /// Whether `Cache-Status` carries the cache key. Default: no.
    pub fn cache_status_key(mut self, yes: bool) -> Self {
        self.cache_status_key = yes;
        self
    }

    /// How long the slowest reader of a fill that is not stored may hold up the others before it is cut off. Default: 30 s.
    pub fn laggard_patience(mut self, time: Duration) -> Self {
        self.laggard_patience = time;
        self
    }

    /// An answer of the cache's own, such as the refusal of a request, with its `Cache-Status` and the reason in it. Nothing to keep.
    pub fn own_answer<B>(&self, status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Response<Body<B>> {
        ask::own(self, status, &CacheStatus::own(detail), None)
    }

    /// Adds this cache to the `Via` of a request received by `version`.
    pub fn add_via(&self, headers: &mut HeaderMap, version: Version) {
        headers.append(header::VIA, self.via(version).clone());
    }

    /// An answer that was fetched around the cache, as it is, with `Cache-Status` (`fwd` is its word for why) and `Via`. Hop-by-hop fields are the
    /// caller's matter.
    pub fn passed_answer<B>(&self, response: Response<B>, fwd: &'static str) -> Response<Body<B>> {
        let (mut parts, body) = response.into_parts();
        let status = CacheStatus { fwd_status: Some(parts.status), ..CacheStatus::forwarded(fwd) };
        ask::dress(self, &mut parts.headers, parts.version, &status, None);
        Response::from_parts(parts, Body::pass(body))
    }

    /// Whether a response may be stored, and how fresh it then is.
    pub(crate) fn assess(&self, exchange: &Exchange<'_>) -> Assessment {
        self.policy.assess(exchange)
    }

    /// Whether clients do not see this field of what is stored.
    pub(crate) fn hides(&self, name: &HeaderName) -> bool {
        !self.keeps_tags && self.tag_headers.contains(name)
    }

    /// The `Via` member of a message received by `version`.
    pub(crate) fn via(&self, version: Version) -> &HeaderValue {
        let [v10, v11, v2] = &self.via;
        match version {
            Version::HTTP_10 => v10,
            Version::HTTP_2 => v2,
            _ => v11,
        }
    }
}

/// A cache's name is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidName;

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a cache is a letter, then letters, digits, '-', '_' or '.'")
    }
}

impl std::error::Error for InvalidName {}
