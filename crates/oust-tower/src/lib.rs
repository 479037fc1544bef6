//! A tower layer that turns any HTTP stack into a caching proxy on the [`oust`] engine.
//!
//! [`CacheLayer`] wraps a service that answers `http::Request`s - a hyper client, an axum router, a tonic channel - with a shared cache (RFC 9111):
//! GET and HEAD are answered from the store where they may be, concurrent misses of one key share one request, and a purge of the
//! [`Cache`](oust::Cache) is effective when it returns, whatever is in flight.
//!
//! ```
//! use axum::{Router, body::Body, http::Request, http::header, routing::get};
//! use oust::{Config, Purge, Selector};
//! use oust_tower::CacheLayer;
//! use tower_service::Service;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = Config::new().edge_size(64 << 20).build()?;
//! let page = || async { ([(header::CACHE_CONTROL, "max-age=60")], "hello") };
//! let mut app = Router::new().route("/", get(page)).layer(CacheLayer::new(cache.clone()));
//!
//! let ask = || Request::get("/").header(header::HOST, "example.com").body(Body::empty());
//! let miss = app.call(ask()?).await?;
//! assert_eq!(miss.headers()["cache-status"], "oust; fwd=uri-miss; fwd-status=200; stored");
//! # axum::body::to_bytes(miss.into_body(), 100).await?;
//! # tokio::task::yield_now().await;
//! let hit = app.call(ask()?).await?;
//! assert!(hit.headers()["cache-status"].to_str()?.starts_with("oust; hit; ttl="));
//!
//! cache.purge(&Purge::new(Selector::Host("example.com".into())))?;
//! let miss = app.call(ask()?).await?;
//! assert!(miss.headers()["cache-status"].to_str()?.starts_with("oust; fwd=uri-miss"));
//! # Ok(())
//! # }
//! ```
//!
//! # What it does
//!
//! | a request | gets |
//! | --- | --- |
//! | GET, HEAD without a body | the stored response if the request and RFC 9111 allow; else joins a fill of its key or leads one |
//! | with `Range` | pieces of the whole object, stored or in flight; ranges are never asked of the inner service |
//! | with `If-None-Match`, `If-Modified-Since` | 304 from what is stored or was just fetched |
//! | unsafe or unknown methods | passed on; a 2xx or 3xx answer first ends the URL, and what `Location` and `Content-Location` name on the same origin (RFC 9111 4.4) |
//! | an upgrade, or what has no key | passed on as it is |
//!
//! Every answer carries `Cache-Status` (RFC 9211), whose `detail` names the [`Reason`](oust::Reason).
//!
//! # What the inner service sees
//!
//! A fill is asked for by GET, without the client's conditions, ranges and caching directives, by the canonical path and query of its key and with
//! the key's authority as `Host`; the [`Key`](oust::Key) is in the request's extensions, beside those of the client's request. The body is
//! `B::default()`, which must be empty.
//!
//! # Cancel safety
//!
//! A client that goes away ends nothing but its own reading. Each fill and each background revalidation is a task of its own
//! ([`Runtime::spawn`]) that feeds the store and all who read along; dropping a [`ResponseFuture`] or a [`Body`] takes one reader away from it. A fill
//! that nobody reads goes on if its response will be stored and is given up if not. A fill that breaks gives an error to all who read
//! it, so that a connection is cut rather than ended as if the body were whole, and nothing is stored. What is *passed on* belongs to its
//! client: dropping the future drops the inner service's.
//!
//! After the inner service has answered an unsafe method the URL is ended before the response can be seen; if the future is dropped
//! before the inner service answers, nothing is known of the outcome and nothing is ended.

mod ask;
mod body;
mod cut;
mod error;
mod fetch;
pub mod fields;
mod future;
mod invalidate;
mod key;
mod layer;
mod options;
mod ranges;
mod runtime;
mod service;
mod small;
mod status;

pub use self::ask::FromMap;
pub use self::body::Body;
pub use self::error::{BodyError, BoxError, Failure};
pub use self::future::ResponseFuture;
pub use self::key::{Event, KeyFor, NoKey, SiteKeys};
pub use self::layer::CacheLayer;
pub use self::options::{InvalidName, Options};
pub use self::runtime::{Runtime, Tokio};
pub use self::service::{CacheService, Late};
