//! The cache (skeleton).

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::freshness::Freshness;
use crate::key::Key;
use crate::purge::{Purge, PurgeError, PurgeId, PurgeRecord, Selector, Count};

/// An HTTP edge cache. Cheap to clone, `Send + Sync`.
#[derive(Debug, Clone)]
pub struct Cache {}

/// Status and header fields of a response.
#[derive(Debug, Clone)]
pub struct Head {
    /// Status code.
    pub status: StatusCode,
    /// Header fields.
    pub headers: HeaderMap,
}

/// What a lookup found.
#[derive(Debug)]
#[non_exhaustive]
pub enum Lookup {
    /// Fresh.
    Hit(Hit),
    /// Expired or softly purged, but may be served while (stale-while-revalidate) it is revalidated in the background.
    Stale(Hit, Reason),
    /// Stored but to be validated before use; `Hit::stale_if_error` tells whether it may be served when the origin fails.
    MustValidate(Hit, Reason),
    /// Nothing usable.
    Miss(Reason),
}

/// Why: feeds `Cache-Status` detail, logs and metrics. `Display` gives a token such as `uri-miss`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing is stored under the key.
    UriMiss,
    /// Variants are stored, none is selected.
    VaryMiss,
    /// The stored response has expired.
    Expired,
    /// The response asks for validation before each use.
    NoCache,
    /// A delete took it.
    PurgedDelete,
    /// An invalidate took it.
    PurgedInvalidate,
    /// A soft purge took it.
    PurgedSoft,
    /// The key is marked uncacheable.
    Uncacheable,
    /// A purge overtook the fill.
    PurgeFenced,
    /// The response may not be stored.
    NotStorable,
    /// Larger than the largest object.
    TooLarge,
    /// No room.
    NoRoom,
    /// The fill broke.
    Failed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A stored response; holding it keeps its bytes alive. Clone is cheap.
#[derive(Debug, Clone)]
pub struct Hit {}

impl Hit {
    /// Status code.
    pub fn status(&self) -> StatusCode {
        todo!()
    }
    /// Decoded head.
    pub fn head(&self) -> Head {
        todo!()
    }
    /// The body as cheaply cloned chunks (one for small objects).
    pub fn body(&self) -> Vec<Bytes> {
        todo!()
    }
    /// Body length in bytes.
    pub fn body_len(&self) -> u64 {
        todo!()
    }
    /// Current age.
    pub fn age(&self) -> Duration {
        todo!()
    }
    /// Seconds of freshness left; negative when stale.
    pub fn ttl(&self) -> i64 {
        todo!()
    }
    /// Whether it may be served now although the origin failed (RFC 5861 stale-if-error; never after an invalidate).
    pub fn may_serve_on_error(&self) -> bool {
        todo!()
    }
}

/// How a miss goes on: as the one that fetches, or as a reader of a fetch in flight.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fetch {
    /// Fetch from the origin and feed the ticket.
    Lead(FillTicket),
    /// Read what another request is fetching.
    Join(FillReader),
}

/// Why a response was or was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admit {
    /// Stored.
    Stored,
    /// Not stored.
    Skipped(Reason),
}

/// The right and duty to fetch one key. Dropped without an answer, it fails its readers (they get `Refetch`).
#[derive(Debug)]
pub struct FillTicket {}

impl FillTicket {
    /// The stored response to validate, if this is a revalidation: send its validators.
    pub fn base(&self) -> Option<&Hit> {
        todo!()
    }
    /// A reader from the first byte on, for the leader's own client. Take it before `respond`.
    pub fn reader(&self) -> FillReader {
        todo!()
    }
    /// The origin's answer. `freshness: None` = not to be stored: readers that joined are told to refetch, the key is marked uncacheable;
    /// the leader's own readers (from `reader()`) still get it.
    pub fn respond(self, head: Head, length: Option<u64>, freshness: Option<Freshness>, tags: &[&[u8]]) -> FillWriter {
        todo!()
    }
    /// The origin answered 304 to the conditional request: readers get the stored body under the merged head.
    pub fn not_modified(self, head: Head, freshness: Option<Freshness>, tags: &[&[u8]]) -> (Hit, Admit) {
        todo!()
    }
}

/// The writing end of a fill. Dropped before `finish`, the fill is broken: nothing is stored, readers get an error.
#[derive(Debug)]
pub struct FillWriter {}

impl FillWriter {
    /// Whether it may take more now (a fill that will not be stored keeps a window of 1 MiB).
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        todo!()
    }
    /// Appends body bytes.
    pub fn write(&mut self, chunk: Bytes) {
        todo!()
    }
    /// The body is complete.
    pub fn finish(self) -> Admit {
        todo!()
    }
}

/// The reading end of a fill.
#[derive(Debug)]
pub struct FillReader {}

/// How a fill answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Answer {
    /// The origin's response: its body follows through `poll_chunk`.
    Head(Arc<Head>),
    /// The stored response was validated: take body and head from it.
    Validated(Hit),
    /// Not for this request (uncacheable, another variant, leader failed): fetch for yourself.
    Refetch(Reason),
}

/// A fill broke midway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FillBroken;

impl FillReader {
    /// The answer, once it is there.
    pub fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        todo!()
    }
    /// The next chunk; `None` at the end.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FillBroken>>> {
        todo!()
    }
}

/// What a purge would take.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Explained {
    /// Objects and bytes of the memory tier.
    pub edge: Count,
    /// Some of their keys.
    pub sample: Vec<String>,
    /// The time budget ran out.
    pub partial: bool,
}

/// One stored object, for listings.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Key text.
    pub key: String,
    /// Nominated request fields and their values.
    pub variant: Vec<(String, Option<String>)>,
    /// Status code.
    pub status: u16,
    /// Age in seconds.
    pub age: u64,
    /// Freshness left in seconds.
    pub ttl: i64,
    /// Bytes charged.
    pub size: u64,
    /// Tags.
    pub tags: Vec<String>,
    /// Judged up to this rule.
    pub stamp: u64,
    /// `none`, `soft`, `invalidate`, `dead`.
    pub mark: &'static str,
    /// What a request would get: `hit`, or the reason why not.
    pub verdict: String,
}

/// Figures of a cache. All counters since start.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Stored objects.
    pub objects: u64,
    /// Bytes in use.
    pub bytes: u64,
    /// Capacity.
    pub capacity: u64,
    /// Fresh hits.
    pub hits: u64,
    /// Stale answers.
    pub stale: u64,
    /// Lookups that found something to validate.
    pub must_validate: u64,
    /// Misses by reason.
    pub misses: Vec<(Reason, u64)>,
    /// Stored responses.
    pub stored: u64,
    /// Responses not stored, by reason.
    pub skipped: Vec<(Reason, u64)>,
    /// Evicted objects.
    pub evicted: u64,
    /// Fills in flight and the bytes they hold.
    pub fills: u64,
    /// Bytes held by fills in flight.
    pub fill_bytes: u64,
    /// Bytes of objects no longer stored that readers still hold.
    pub pinned_bytes: u64,
    /// Newest rule.
    pub seq: u64,
    /// Every rule up to this one is retired.
    pub low_water: u64,
    /// Live rules.
    pub live_rules: u64,
    /// Their cap.
    pub max_rules: u64,
    /// Age of the oldest unswept rule in milliseconds.
    pub oldest_unswept_ms: u64,
}

impl Cache {
    /// Finds what a request for `key` with these header fields gets.
    pub fn lookup(&self, key: &Key, request: &HeaderMap) -> Lookup {
        todo!()
    }
    /// Goes on from a miss, or with `base` from something to validate.
    pub fn fetch(&self, key: &Key, request: &HeaderMap, base: Option<Hit>) -> Fetch {
        todo!()
    }
    /// Like [`fetch`](Self::fetch) but never joins: after [`Answer::Refetch`].
    pub fn fetch_alone(&self, key: &Key, request: &HeaderMap, base: Option<Hit>) -> FillTicket {
        todo!()
    }
    /// Publishes a purge. After this returns, no later lookup serves what it takes.
    pub fn purge(&self, purge: &Purge) -> Result<PurgeRecord, PurgeError> {
        todo!()
    }
    /// What `purge` would take; changes nothing.
    pub fn explain(&self, purge: &Purge, budget: Duration) -> Result<Explained, PurgeError> {
        todo!()
    }
    /// Every stored object of a `Selector::Url` or `Selector::Key`.
    pub fn objects(&self, of: &Selector) -> Result<Vec<ObjectInfo>, PurgeError> {
        todo!()
    }
    /// One purge of the history.
    pub fn purge_record(&self, id: PurgeId) -> Option<PurgeRecord> {
        todo!()
    }
    /// Purges older than `before` (or the newest), newest first.
    pub fn purge_records(&self, before: Option<PurgeId>, limit: usize) -> Vec<PurgeRecord> {
        todo!()
    }
    /// Sweeps all published rules now and retires them.
    pub fn sweep(&self) {
        todo!()
    }
    /// Figures.
    pub fn stats(&self) -> Stats {
        todo!()
    }
}
