//! The purge APIs of five CDNs on an [`oust::Cache`]: Azion Real-Time Purge, Naver Cloud Global Edge, Medianova, CDNetworks CDN Pro and ImageKit.
//!
//! Their existing clients work unchanged: paths, authentication, limits, answers and errors are the vendors' own, and every request ends in
//! [`Cache::purge`](oust::Cache::purge): what a request asked for is gone when its answer is sent. `docs/apis.md` says how each is translated.
//!
//! No I/O and no runtime: [`Api::handle`] turns a request into a response. [`ApiService`] is the same as a tower service over any body, and
//! what has to be sent of its own accord, the callbacks of CDNetworks' webhooks, is handed out by [`Api::due_callbacks`].
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use oust_api::{Account, Api, Azion};
//!
//! let cache = oust::Config::new().build()?;
//! let azion = Azion { tokens: vec!["583f8a9ca8d6".into()], ..Azion::default() };
//! let account = Account { azion: Some(azion), ..Account::new("acme", ["www.example.com"]) };
//! let api = Api::new(cache, [account])?;
//! let request = Request::post("/purge/wildcard")
//!     .header("authorization", "Token 583f8a9ca8d6")
//!     .body(Bytes::from(r#"{"urls":["http://www.example.com/img/*"],"method":"delete"}"#))?;
//! assert_eq!(api.handle(&request).status(), 201);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod account;
mod api;
mod azion;
mod body;
mod call;
mod cdnetworks;
mod dialect;
mod imagekit;
mod medianova;
mod naver;
mod rate;
mod service;
mod shared;
mod task;
#[cfg(test)]
mod tests;
mod time;
mod variation;

pub use account::{Account, AccountError, Azion, Cdnetworks, ImageKit, Medianova, Naver};
pub use api::{Api, MAX_BODY};
pub use dialect::Dialect;
pub use rate::Rate;
pub use service::ApiService;
pub use shared::Callback;
