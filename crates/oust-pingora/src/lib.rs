//! The [`oust`] engine as the cache storage of [Pingora](https://docs.rs/pingora-proxy/0.9).
//!
//! [`OustStorage`] is a [`Storage`](pingora_cache::Storage) whose objects can be purged by URL, key, variant, directory, wildcard, extension, regex, host
//! and tag, for good: a purge is in force when it returns, and neither a fetch in flight, nor a request that waits for one, nor a 304, nor a restart
//! brings back what it took. Pingora decides what is stored and how long it is fresh; the engine keeps it, evicts it and purges it.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use oust::{Purge, Selector};
//! use oust_pingora::OustStorage;
//! use pingora_cache::{CacheMeta, Storage, trace::Span};
//! use pingora_http::ResponseHeader;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let storage = OustStorage::leak(oust::Config::new().edge_size(64 << 20).build()?);
//! let (request, ()) = http::Request::get("/img/a.png").header("host", "example.com").body(())?.into_parts();
//! let span = Span::inactive().handle();
//!
//! // What Pingora does with a miss. The key is made before the origin is asked.
//! let key = storage.key_of_request("https", &request)?;
//! assert!(storage.lookup(&key, &span).await?.is_none());
//! let now = SystemTime::now();
//! let meta = CacheMeta::new(now + Duration::from_secs(60), now, 0, 0, ResponseHeader::build(200, None)?);
//! let mut miss = storage.get_miss_handler(&key, &meta, &span).await?;
//! miss.write_body("image".into(), true).await?;
//! miss.finish().await?;
//! assert!(storage.lookup(&key, &span).await?.is_some());
//!
//! storage.publish(Purge::new(Selector::Pattern("https://example.com/img/**".into()))).await?;
//! assert!(storage.lookup(&key, &span).await?.is_none());
//! # Ok(())
//! # }
//! ```
//!
//! `examples/proxy.rs` is a whole proxy.
//!
//! # How to put it into a proxy
//!
//! | in `ProxyHttp` | |
//! | --- | --- |
//! | `request_cache_filter` | `session.cache.enable(storage, None, None, Some(cache_lock), None)`. The second is `None`: the engine evicts by itself (S3-FIFO, in bytes), and an [`EvictionManager`](pingora_cache::eviction::EvictionManager) would evict what it knows of a second time |
//! | `cache_key_callback` | [`OustStorage::key_of_request`]; for keys of another make [`OustStorage::fence`] |
//! | `cache_vary_filter` | as ever: each variance is a stored variant beneath its URL |
//! | `is_purge`, `purge_action` | as ever: `PURGE` takes every variant of the URL and what is being fetched of it, and is answered by 200 |
//! | wherever purges come in | [`OustStorage::publish`] with any [`Selector`](oust::Selector) |
//! | after unsafe methods | [`Cache::end_url`](oust::Cache::end_url): Pingora does not do what RFC 9111 4.4 asks for |
//!
//! # Keys, variants, tags
//!
//! A key's primary is the canonical text of an engine key; [`engine_key`] says what becomes of others. `user_tag` is no part of an object's identity,
//! as in Pingora's own hashes. The engine compares key texts byte by byte, and a primary hash that was set by hand with the object's, so that no
//! collision of 128 bits serves anything. At most 64 variants of a key are kept.
//!
//! Tags come from the response's [tag fields](OustStorage::tag_fields) and from `Cache-Groups`. Each object carries one more, made of its primary hash,
//! and a variant two: that is how the hash in a `CompactCacheKey` finds it, also after a restart, at about 40 bytes each and a posting in the tag
//! index. [`selector_of`] names them.
//!
//! # How purges beat what is in flight
//!
//! Pingora asks for a miss handler when the origin has answered, which is too late to say what the answer is older than. So a key carries a
//! *fence* in its extensions: the lookup leaves there a [ticket](oust::FillTicket), stamped before the origin is asked, and the miss handler or
//! `update_meta` takes it.
//!
//! | what Pingora does | what holds |
//! | --- | --- |
//! | looks up again after waiting for a lock | the last lookup's stamp counts; the origin was not asked before. A fill that a purge took is not joined, so who waited after the purge fetches anew |
//! | looks up the primary, then a variant; stores in either | the ticket is for the URL, and learns the variant from the answer |
//! | serves stale and validates in a subrequest | that has a key, a lookup and a ticket of its own |
//! | fetches what was fresh (forced), or without a lookup (bypassed, `CachePut`) | stamped with the lookup, or when the key was made. Purges of other things may keep such a response out if they are swept meanwhile, never let a purged one in |
//! | clones a key | the clone has a fence of its own |
//! | drops a handler, or the origin breaks off | nothing is stored, readers get an error. So they do if the body is not as long as `Content-Length` says |
//!
//! # What a purge is to Pingora
//!
//! `delete`: a miss. `invalidate`: stale, without serve-stale windows, so that it is validated first. `soft`, which is also
//! [`expire`](pingora_cache::Storage::expire): stale since the purge, windows intact; they may end up to a second early. A 304 makes the latter two fresh
//! again unless another purge came after the lookup that led to it. Pingora's predictor, which remembers what is uncacheable, knows nothing of purges.
//!
//! # Threads, lifetimes, costs
//!
//! - The storage is `&'static`, as Pingora demands, so a leaked [`Cache`](oust::Cache) does not end with its last handle: call
//!   [`flush`](oust::Cache::flush) after `Server::run` has returned, or what waits for the second tier is fetched again after the restart. Purges
//!   are on disk when they are acknowledged, whatever happens then.
//! - Any number of Pingora's threads use it. The engine has its own for sweeping and for the disk, and needs no runtime; only purges with a second
//!   tier use tokio's blocking threads, since they wait for `fsync`.
//! - A hit takes what [`Cache::lookup`](oust::Cache::lookup) takes, and the decoding of Pingora's meta. Bodies are not copied, except
//!   those of a mapped file: 64 KiB at a time, checked afterwards. Install
//!   [`install_sigbus_handler`](oust::disk::media::install_sigbus_handler) with a second tier.
//! - A miss takes its shard's lock three times: for the ticket, for the writer, for the commit. A request that waits at Pingora's lock holds a ticket
//!   of 1 KiB meanwhile.
//! - What streams in is held once, charged to the memory tier, for any number of readers. What turns out not to be storable is held until its
//!   slowest reader has it, and charged to nobody: `write_body` never waits, since the task that writes is the one that reads. So let
//!   `response_cache_filter` refuse what announces more than the engine's [largest object](oust::Config::max_object), as the example does; Pingora
//!   then passes it on without the storage.
//! - The response's fields are stored as they are, and not compressed as [`CacheMeta::serialize`](pingora_cache::CacheMeta::serialize) does: a hit takes
//!   them without a copy. Letter case of names is not kept. The rest of the meta takes some 200 bytes. With a compression dictionary
//!   ([`set_compression_dict_content`](pingora_cache::set_compression_dict_content)) objects stored with another one are misses.
//!
//! # Cancel safety
//!
//! Every future of the storage and its handlers may be dropped. A lookup leaves nothing but its ticket, which goes with the key. A dropped writer
//! breaks its fill. A dropped [`publish`](OustStorage::publish) has taken place, or will, or did not begin.

mod hit;
mod key;
mod meta;
mod miss;
mod purge;
mod storage;

pub use self::key::{VARIANCE, engine_key, selector_of};
pub use self::storage::OustStorage;
