//! The store's vocabulary: what goes in, what comes out, what can go wrong.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::record::{Decoded, Meta, decode};
use super::segment::Segment;
use crate::entry::Mark;

pub(crate) use crate::disk::RecordId;

/// How a [`Store`](super::Store) is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreOptions {
    /// Bytes all segment files together may take, preallocated space and pinned files included.
    pub(crate) capacity: u64,
    /// Bytes of a segment file.
    pub(crate) segment_size: u64,
    /// Objects longer than this get a segment file of their own.
    pub(crate) large: u64,
    /// Bytes collected in memory before they are written.
    pub(crate) buffer: usize,
    /// Epoch of the cache's numbers; segments of another are removed.
    pub(crate) epoch: u64,
    /// No new segment gets a lower number: one above all that the journal has ever named.
    pub(crate) first_segment: u32,
}

impl StoreOptions {
    /// Segments of 64 MiB, buffers of 256 KiB, objects over 16 MiB apart.
    pub(crate) fn new(capacity: u64, epoch: u64) -> Self {
        Self { capacity, segment_size: 64 << 20, large: 16 << 20, buffer: 256 << 10, epoch, first_segment: 1 }
    }
}

/// An index entry, copied out: a record that may be of the key asked for. Hashes only have been compared; the record has the key's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: RecordId,
    /// Hash of the URL part it was found under.
    pub(crate) url_hash: u64,
    /// Strongest mark in memory, never [`Mark::Dead`].
    pub(crate) mark: Mark,
    /// When that mark was set, in milliseconds since the Unix epoch; `None` if the record was written with it and says so itself.
    pub(crate) mark_at_ms: Option<i64>,
    /// See [`variant_of`](super::variant_of).
    pub(crate) variant: u32,
    /// Times it was asked for since it was written or loaded; 3 means 3 or more.
    pub(crate) hits: u8,
    /// Its body's sum has been checked in this process.
    pub(crate) verified: bool,
}

/// A record read back, header and body verified. Holds its segment: the file's space counts until the last view is gone.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(super) bytes: Bytes,
    pub(super) parts: Decoded,
    pub(super) segment: Arc<Segment>,
}

impl Record {
    /// What was written with it: its stamp, mark, status and deadlines.
    pub(crate) fn meta(&self) -> &Meta {
        &self.parts.meta
    }
    /// Key text.
    pub(crate) fn key(&self) -> &[u8] {
        self.bytes.get(self.parts.key.clone()).unwrap_or_default()
    }
    /// Encoded selecting fields.
    pub(crate) fn vary(&self) -> &[u8] {
        self.bytes.get(self.parts.vary.clone()).unwrap_or_default()
    }
    /// Encoded tags.
    pub(crate) fn tags(&self) -> &[u8] {
        self.bytes.get(self.parts.tags.clone()).unwrap_or_default()
    }
    /// Encoded header fields.
    pub(crate) fn head(&self) -> &[u8] {
        self.bytes.get(self.parts.head.clone()).unwrap_or_default()
    }
    /// The body: a view of the mapped file where the media maps. A clone of it pins the segment as the record does.
    pub(crate) fn body(&self) -> Bytes {
        if self.bytes.len() < self.parts.body.end { Bytes::new() } else { self.bytes.slice(self.parts.body.clone()) }
    }
    /// A copy in memory, verified as a copy: a page that is lost later, or was while copying, does not get into a record with a good sum.
    pub(super) fn detached(&self) -> Option<Self> {
        let bytes = Bytes::copy_from_slice(&self.bytes);
        let place = &self.parts.place;
        let parts = decode(&bytes, place.epoch, place.segment, place.ordinal).ok()?;
        parts.body_is_sound(&bytes).then(|| Self { bytes, parts, segment: Arc::clone(&self.segment) })
    }
    /// The segment it is in.
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }
    /// Whether views of the segment are still what the device holds. Ask it after copying from a view, before the copy is used.
    pub(crate) fn is_intact(&self) -> bool {
        self.segment.is_intact()
    }
}

/// A record met while loading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loaded<'a> {
    pub(crate) id: RecordId,
    pub(crate) key: &'a [u8],
    pub(crate) vary: &'a [u8],
    /// Mark it was written with.
    pub(crate) mark: Mark,
}

/// What loading makes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Its mark now; [`Mark::Dead`] is the same as none at all.
    pub(crate) mark: Mark,
    /// When that mark was set; `None` if it is the one the record was written with.
    pub(crate) mark_at_ms: Option<i64>,
}

/// Which records [`Store::visit`](super::Store::visit) shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope<'a> {
    /// Those whose key text begins so.
    Under(&'a [u8]),
    /// Those with this tag.
    Tag(&'a [u8]),
    /// Every variation and variant of a URL part.
    Exact(&'a [u8]),
    /// All.
    Everything,
}

/// A record as a sweep sees it. Bodies are not touched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visited<'a> {
    pub(crate) id: RecordId,
    pub(crate) key: &'a [u8],
    pub(crate) vary: &'a [u8],
    pub(crate) tags: &'a [u8],
    /// Stamp it was written with.
    pub(crate) seq: u64,
    /// Bytes it takes in its segment.
    pub(crate) weight: u64,
}

/// What an append did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) id: RecordId,
    /// Records whose place it took. They are dead in memory; the journal is to be told.
    pub(crate) superseded: SmallVec<[RecordId; 2]>,
    /// False if its segment was dropped meanwhile: it is not there.
    pub(crate) kept: bool,
}

/// One segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentInfo {
    pub(crate) id: u32,
    /// Whether it is complete on disk.
    pub(crate) sealed: bool,
    /// Records, dead ones too.
    pub(crate) records: u32,
    /// Of these, dead ones.
    pub(crate) dead: u32,
    /// Bytes of the file.
    pub(crate) size: u64,
    /// Bytes that hold records.
    pub(crate) fill: u64,
}

/// Counters since the store was opened, and what it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StoreStats {
    /// Objects in the index.
    pub(crate) objects: u64,
    /// Bytes of all segment files, retired ones that are still in use too.
    pub(crate) disk_bytes: u64,
    /// Of these, bytes of retired files that somebody still reads.
    pub(crate) pinned_bytes: u64,
    /// Bytes of memory: index, offsets, filters, buffers.
    pub(crate) memory_bytes: u64,
    pub(crate) appended: u64,
    pub(crate) appended_bytes: u64,
    pub(crate) sealed: u64,
    pub(crate) evicted_segments: u64,
    pub(crate) reinserted: u64,
    /// Records found damaged when they were read.
    pub(crate) damaged: u64,
    /// Segments dropped because of an I/O error or damage.
    pub(crate) dropped_segments: u64,
    /// I/O errors of any kind.
    pub(crate) io_errors: u64,
}

/// Why the store did not open.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The directory cannot be read.
    Io(io::Error),
    /// The segment size is out of range, or the capacity holds fewer than two segments.
    Size,
}

/// Why an object was not written. The tier goes on without it.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// No room, even after eviction: other segments are in use, or the object is larger than the tier.
    Full,
    /// A part is longer than the format can say, or the key is none.
    Unencodable,
    /// The device failed; the segment has been dropped if it was being written.
    Io(io::Error),
    /// It was written, but is not wanted any more: it is dead.
    Withdrawn(RecordId),
}

/// Why a record could not be read. For the caller each is a miss.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It has left the index since it was found.
    Gone,
    /// Its bytes are not what was written; it has left the index.
    Damaged,
    /// The device failed; its segment has been dropped.
    Io(io::Error),
}

macro_rules! error {
    ($($type:ident { $($variant:pat => $text:literal),* $(,)? })*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($variant => $text),* })
            }
        }
        impl std::error::Error for $type {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                #[allow(unreachable_patterns, reason = "every error here has an Io variant first or last")]
                match self { Self::Io(error) => Some(error), _ => None }
            }
        }
    )*};
}

error! {
    OpenError { Self::Io(_) => "the segments cannot be listed", Self::Size => "segment size or capacity is out of range" }
    AppendError {
        Self::Full => "no room on disk",
        Self::Withdrawn(_) => "not wanted any more",
        Self::Unencodable => "the object cannot be encoded",
        Self::Io(_) => "the device failed while writing",
    }
    ReadError {
        Self::Gone => "the record has left the index",
        Self::Damaged => "the record is damaged",
        Self::Io(_) => "the device failed while reading",
    }
}
