//! What the second tier keeps on disk: the journal of purges and marks, and the segments of stored objects.
//!
//! Nothing here knows rules or requests. All I/O goes through [`Media`], so that the same code runs on a file system, in memory, and under a
//! simulated crash. `docs/format.md` describes every structure byte by byte.

pub mod media;
#[allow(dead_code, unused_imports, reason = "the purge protocol is built on it")]
pub(crate) mod store;

pub use media::{File, Identity, Media};
