//! What the second tier keeps on disk: the journal of purges and marks, and the segments of stored objects.
//!
//! Nothing here knows rules or requests. All I/O goes through [`Media`], so that the same code runs on a file system, in memory, and under a
//! simulated crash. `docs/format.md` describes every structure byte by byte.

pub(crate) mod journal;
pub(crate) mod kept;
pub mod media;
pub(crate) mod store;

/// A stored object's record: its segment and its place in the order of records there. Never used for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RecordId {
    pub(crate) segment: u32,
    pub(crate) ordinal: u32,
}

pub(crate) use media::{File, Identity, Media};
