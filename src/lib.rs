//! An embeddable HTTP edge cache engine built for **purging**.
//!
//! A purge of any kind (URL, key, variant, directory, wildcard, extension, regex, host, tag, everything) is effective when [`Cache::purge`]
//! returns, is never undone by a fill or a revalidation that was in flight, and costs the same however much is stored. `docs/purge.md` says what
//! a purge means, `docs/design.md` how it is done.
//!
//! # Should you use this crate?
//!
//! Yes, if you write a reverse proxy, a CDN node or a gateway in Rust and want its cache: keys, variants, freshness deadlines, joinable streaming
//! fills, revalidation, memory limits in bytes, a second tier on disk if you want one, and purges that hold, also over a crash. It has no async
//! runtime; the waiting ends of a fill, and a lookup that waits for the disk, are `poll` functions for any executor. Its threads are the sweeper and,
//! with a second tier, one that writes, one that loads, and a few that wait for the disk.
//!
//! No, if you want a general map with eviction: keys here are URLs, and every hit pays for being checked.
//!
//! # Where to begin
//!
//! - [`Config`] builds a [`Cache`]; its example is the whole life of an object.
//! - [`Key`] is the canonical form of a URL; [`site`] derives keys from requests, with aliases and key policies.
//! - [`Cache::lookup`], then [`Cache::fetch`] on a miss: [`FillTicket`] for the one who fetches, [`FillReader`] for the ones who wait.
//! - [`Config::l2`] adds the second tier: objects in mapped segments, and a journal that makes purges durable. `docs/format.md` has its files.
//! - [`Purge`] and [`Selector`] for [`Cache::purge`], [`Cache::explain`] and the history.
//! - `docs/embedding.md`: which adapter to take, what blocks, what is held how long, what it costs, what dropping means.
//! - [`freshness`] decides by RFC 9111 whether and how long a response may be stored; bring your own policy by giving plain deadlines.

#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

pub mod cache;
pub mod clock;
mod config;
pub mod disk;
mod edge;
mod entry;
mod fill;
pub mod freshness;
pub mod inspect;
pub mod key;
mod l2;
pub mod purge;
pub mod site;
mod sync;
mod vary;

pub use cache::{
    Admit, Answer, Cache, Chunks, Deferred, Explained, Fetch, FillBroken, FillReader, FillTicket, FillWriter, Head,
    Hit, Lookup, ObjectInfo, Reason, Stamp, Stats,
};
pub use config::{BuildError, Config, L2Config};
pub use key::Key;
pub use purge::{Action, Layers, Purge, PurgeError, Selector};

/// Compiles and runs the code of the text for embedders.
#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
struct Embedding;
