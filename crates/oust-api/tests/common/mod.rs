//! A cache with the APIs on it, and a client.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses its part; a failed unwrap is a failed test"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use oust::clock::ManualClock;
use oust::freshness::Freshness;
use oust::site::Sites;
use oust::{Cache, Config, Fetch, Head, Key, Lookup};
use oust_api::{Account, Api};
use serde_json::Value;

/// Saturday, 21 November 2026, 12:00:00 UTC, in milliseconds.
pub const NOW_MS: u64 = 1_795_262_400_000;

/// A cache of nobody's sweeper, its APIs, and their clock.
pub struct Fixture {
    pub cache: Cache,
    pub api: Api,
    pub clock: Arc<ManualClock>,
}

/// An answer, its body read as JSON (null if it is none).
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub json: Value,
}

impl Fixture {
    pub fn new(accounts: impl IntoIterator<Item = Account>) -> Self {
        Self::with_sites(Sites::default(), accounts)
    }

    pub fn with_sites(sites: Sites, accounts: impl IntoIterator<Item = Account>) -> Self {
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let config = Config::new().edge_size(16 << 20).background_sweep(false).sites(sites);
        let cache = config.clock(Arc::clone(&clock) as _).build().unwrap();
        let api = Api::with_clock(cache.clone(), accounts, Arc::clone(&clock) as _).unwrap();
        Self { cache, api, clock }
    }

    /// Stores an object under a key text, `url[@@variation]`.
    pub fn store(&self, key: &str) {
        self.store_variant(key, &[], &[]);
    }

    /// Stores a variant: the request's fields, and the response's (`Vary` among them).
    pub fn store_variant(&self, key: &str, request: &[(&str, &str)], response: &[(&str, &str)]) {
        let key = Key::parse(key.as_bytes()).unwrap();
        let request = fields(request);
        let Fetch::Lead(ticket) = self.cache.fetch(&key, &request, None) else { panic!("{key}: a fill is in flight") };
        let head = Head::new(StatusCode::OK, fields(response));
        ticket.store(head, Bytes::from_static(b"body"), Freshness::fresh_for(Duration::from_secs(86_400)), &[]);
        assert!(self.holds_variant_key(&key, &request), "{key} is stored");
    }

    /// Whether a request for the key gets a hit: neither a miss nor anything to validate.
    pub fn holds(&self, key: &str) -> bool {
        self.holds_variant(key, &[])
    }

    pub fn holds_variant(&self, key: &str, request: &[(&str, &str)]) -> bool {
        self.holds_variant_key(&Key::parse(key.as_bytes()).unwrap(), &fields(request))
    }

    fn holds_variant_key(&self, key: &Key, request: &HeaderMap) -> bool {
        matches!(self.cache.lookup(key, request), Lookup::Hit(_))
    }

    /// Sends a request as a client does.
    pub fn send(&self, method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::new(Bytes::copy_from_slice(body.as_bytes()));
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().unwrap();
        *request.headers_mut() = fields(headers);
        let (parts, body) = self.api.handle(&request).into_parts();
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body, json }
    }

    pub fn post(&self, target: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.send(Method::POST, target, headers, &body.to_string())
    }

    pub fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, target, headers, "")
    }
}

pub fn fields(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |&(name, value): &(&str, &str)| {
        (http::HeaderName::from_bytes(name.as_bytes()).unwrap(), http::HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}
