//! The second tier's objects: appended to segment files, found through an index in memory, evicted a segment at a time.
//!
//! The store knows neither rules nor requests. It keeps for each record the stamp it was written with and the strongest mark it was told of,
//! in memory; making marks durable is the journal's part, fed by [`Store::marks`] and by the ids that removals return.
//!
//! Invariants:
//!
//! 1. What the index names is in the table of segments, or the segment is just being taken out of it.
//! 2. Of one (key, variant) the index holds at most one record (I5 of `docs/design.md`). Compared by hash while running, where a collision ends
//!    a copy too many; by bytes while loading.
//! 3. A mark is raised in the segment first, then in the index; an entry is added to the index first, then the segment's mark is read again. So
//!    no entry stays in the index that is dead in its segment.
//! 4. No body leaves the store unless its sum was right in this process. An error is a counter and a miss, never a panic and never another
//!    object's delay.
//! 5. Numbers of segments only rise; a name is durable before the first record of its file is.
//! 6. A retired file's name is durably gone before the store forgets its marks.
//!
//! Lock order: the append lock, `sealing`, a shard of the index, the locks of one segment. The table of segments is read without a lock; its
//! writers take `table_writers` last. None but the append lock and `sealing` is held across I/O, save a segment's own `name`.

#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod append;
mod evict;
mod filter;
mod footer;
mod index;
mod inspect;
mod load;
mod record;
mod segment;
#[cfg(test)]
mod tests;
mod types;
mod visit;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::disk::Media;
use crate::entry::Mark;
use crate::key::hash::{PrefixHasher, hash};
use crate::key::{KeyRef, Layout};
use crate::sync::{ArcSwap, AtomicBool, AtomicU64 as Ordered, Mutex, MutexGuard};
use crate::vary::VaryRef;
use index::{Entry, Index, LIMIT};
use load::Loading;
use segment::Space;

pub(crate) use append::Appender;
pub(crate) use evict::Reinsert;
pub(crate) use inspect::inspect;
pub(crate) use record::{Meta, RecordParts};
pub(crate) use segment::Segment;
pub(crate) use types::{
    AppendError, Appended, Candidate, Judged, Loaded, OpenError, ReadError, Record, RecordId, Scope, SegmentInfo,
    StoreOptions, StoreStats, Visited,
};

/// The objects of the second tier. Shared between threads by reference; every method may be called from any.
#[derive(Debug)]
pub(crate) struct Store {
    media: Arc<dyn Media>,
    options: StoreOptions,
    index: Index,
    table: ArcSwap<Table>,
    table_writers: Mutex<()>,
    space: Arc<Space>,
    writer: Mutex<append::Writer>,
    sealing: Mutex<()>,
    pending: Mutex<VecDeque<Arc<Segment>>>,
    loading: Mutex<Loading>,
    is_loading: AtomicBool,
    /// Retired segments whose names could not be removed durably, with how many records each has.
    condemned: Mutex<Vec<(u32, u32)>>,
    /// How often a segment came to them.
    condemnations: Ordered,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    appended: AtomicU64,
    appended_bytes: AtomicU64,
    sealed: AtomicU64,
    evicted_segments: AtomicU64,
    reinserted: AtomicU64,
    damaged: AtomicU64,
    dropped_segments: AtomicU64,
    io_errors: AtomicU64,
}

/// Segments by place, sorted. Immutable; a change makes a new one.
#[derive(Debug, Clone, Default)]
struct Table(Vec<(u32, Arc<Segment>)>);

impl Table {
    fn by_slot(&self, slot: u32) -> Option<&Arc<Segment>> {
        let at = self.0.binary_search_by_key(&slot, |(slot, _)| *slot).ok()?;
        self.0.get(at).map(|(_, segment)| segment)
    }

    fn by_id(&self, id: u32) -> Option<&Arc<Segment>> {
        self.by_slot(slot_of(id)).filter(|segment| segment.id == id)
    }
}

/// What [`Store::supersede`] removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Every record of the URL.
    Url,
    /// Of the key with this hash the variant, and those that vary on other fields than it.
    Variant(u64, u32),
}

impl Store {
    /// Opens the tier: lists the segments and counts their bytes. Nothing is found before [`Store::load`] has met it; appends may begin at once.
    ///
    /// # Errors
    ///
    /// If the media cannot be listed, or sizes are out of range. A file that cannot be opened is counted and condemned.
    pub(crate) fn open(media: Arc<dyn Media>, options: StoreOptions) -> Result<Self, OpenError> {
        let largest = u64::from(u32::MAX);
        if options.segment_size < 4096 || options.segment_size > largest || options.capacity < 2 * options.segment_size
        {
            return Err(OpenError::Size);
        }
        let counters = Counters::default();
        let space = Arc::new(Space::default());
        let (mut loading, highest) = Loading::list(&*media, &space, &counters).map_err(OpenError::Io)?;
        let next_id = options.first_segment.max(highest.saturating_add(1)).max(1);
        let index = Index::new();
        let condemned = std::mem::take(&mut loading.unopened);
        let is_loading = !loading.is_over();
        if is_loading {
            index.loading();
        }
        Ok(Self {
            media,
            options,
            index,
            table: ArcSwap::default(),
            table_writers: Mutex::new(()),
            space,
            writer: Mutex::new(append::Writer::new(next_id)),
            sealing: Mutex::new(()),
            pending: Mutex::default(),
            loading: Mutex::new(loading),
            is_loading: AtomicBool::new(is_loading),
            condemnations: Ordered::new(u64::try_from(condemned.len()).unwrap_or(u64::MAX)),
            condemned: Mutex::new(condemned),
            counters,
        })
    }

    /// The records that may be of a key, by hash alone. Memory only, one shard's read lock; no allocation for up to two.
    pub(crate) fn find(&self, url_hash: u64, key_hash: u64) -> SmallVec<[Candidate; 2]> {
        let entries = self.index.find(url_hash, key_hash);
        if entries.is_empty() {
            return SmallVec::new();
        }
        let table = self.table.load();
        entries
            .into_iter()
            .filter_map(|entry| {
                let segment = table.by_slot(entry.slot())?;
                let mark_at_ms = if entry.mark() == Mark::None { None } else { segment.mark_of(entry.ordinal()).1 };
                Some(Candidate {
                    id: segment.id_of(entry.ordinal()),
                    url_hash,
                    mark: entry.mark(),
                    mark_at_ms,
                    variant: segment.variant(entry.ordinal())?,
                    hits: entry.hits(),
                    verified: entry.verified(),
                })
            })
            .collect()
    }

    /// The candidate as it is now; `None` once it has left the index. For the last check before its copy is used.
    pub(crate) fn candidate_of(&self, candidate: &Candidate) -> Option<Candidate> {
        let table = self.table.load();
        let segment = table.by_id(candidate.id.segment)?;
        let entry = self.index.get(candidate.url_hash, place(candidate.id))?;
        let mark_at_ms = if entry.mark() == Mark::None { None } else { segment.mark_of(entry.ordinal()).1 };
        let (mark, hits, verified) = (entry.mark(), entry.hits(), entry.verified());
        Some(Candidate { mark, mark_at_ms, hits, verified, ..*candidate })
    }

    /// Reads a record. Header and metadata are always verified; the body unless it has been and is in memory. May wait for the device.
    ///
    /// # Errors
    ///
    /// For the caller each is a miss: the record is gone, or damaged (it leaves the index), or the device failed (its segment is dropped).
    pub(crate) fn read(&self, candidate: &Candidate) -> Result<Record, ReadError> {
        self.read_if(candidate, true)?.ok_or(ReadError::Gone)
    }

    /// Reads a record unless that would wait for the device, as far as can be told, or sum its body; `None` then.
    ///
    /// # Errors
    ///
    /// As [`Store::read`].
    pub(crate) fn read_warm(&self, candidate: &Candidate) -> Result<Option<Record>, ReadError> {
        if candidate.verified { self.read_if(candidate, false) } else { Ok(None) }
    }

    fn read_if(&self, candidate: &Candidate, waits: bool) -> Result<Option<Record>, ReadError> {
        let segment = self.segment(candidate.id.segment).ok_or(ReadError::Gone)?;
        let ordinal = candidate.id.ordinal;
        let range = segment.places.read().range(ordinal).ok_or(ReadError::Gone)?;
        // The device is asked once: each question is a call of the system.
        let warm = if candidate.verified { segment.warm_bytes(range.clone()) } else { Ok(None) };
        let trusted = matches!(warm, Ok(Some(_)));
        let bytes = match warm {
            Ok(None) if !waits => return Ok(None),
            Ok(None) => segment.bytes(range),
            Ok(Some(bytes)) => Ok(bytes),
            Err(error) => Err(error),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                self.fail(&segment);
                return Err(ReadError::Io(error));
            }
        };
        let parts = record::decode(&bytes, self.options.epoch, segment.id, ordinal);
        let parts = match parts {
            Ok(parts) if trusted || parts.body_is_sound(&bytes) => parts,
            _ => {
                count(&self.counters.damaged);
                segment.raise(ordinal, Mark::Dead, 0);
                self.index.remove(candidate.url_hash, place(candidate.id));
                return Err(ReadError::Damaged);
            }
        };
        if !trusted {
            self.index.verify(candidate.url_hash, place(candidate.id));
        }
        let bytes = Bytes::from_owner(Pinned { bytes, _segment: Arc::clone(&segment) });
        Ok(Some(Record { bytes, parts, segment }))
    }

    /// What was written with a record beside its bytes, header and metadata verified; `None` if it cannot be read. The body is not read, and nothing
    /// changes. May wait for the device.
    pub(crate) fn peek(&self, candidate: &Candidate) -> Option<Meta> {
        let segment = self.segment(candidate.id.segment)?;
        let ordinal = candidate.id.ordinal;
        let range = segment.places.read().range(ordinal)?;
        let bytes = |len: u64| segment.bytes(range.start..range.start.saturating_add(len).min(range.end)).ok();
        let front = record::claimed_front(&bytes(record::HEADER)?).ok()?;
        let front = bytes(front)?;
        let meta = record::decode_front(&front, self.options.epoch, segment.id, ordinal).ok()?.meta;
        segment.is_intact().then_some(meta)
    }

    /// Removes records from the index and marks them dead in memory, without I/O: may be called under other locks. Returns them for the journal.
    ///
    /// After this returns no [`Store::find`] sees them, and no load in progress brings any of the URL back.
    pub(crate) fn supersede(&self, url_hash: u64, which: Which) -> Vec<RecordId> {
        let table = self.table.load();
        let removed = self.index.remove_if(url_hash, |key16, entry| match which {
            Which::Url => true,
            Which::Variant(key, variant) => {
                let own = table.by_slot(entry.slot()).and_then(|segment| segment.variant(entry.ordinal()));
                key & 0xffff == key16 && own.is_none_or(|own| replaces(variant, own))
            }
        });
        drop(table);
        self.bury(&removed).collect()
    }

    /// Raises a record's mark in memory; one as strong or stronger stays as it is. [`Mark::Dead`] takes it out of the index. `url_hash` is its key's.
    ///
    /// Returns whether the mark rose. Works for records that are not in the index too: an older copy of a key must not come back either.
    pub(crate) fn set_mark(&self, url_hash: u64, id: RecordId, mark: Mark, at_ms: i64) -> bool {
        let Some(segment) = self.segment(id.segment) else { return false };
        let rose = segment.raise(id.ordinal, mark, at_ms);
        self.index.raise(url_hash, place(id), mark) || rose
    }

    /// Counts a hit, up to three. Free of locks but one shard's read lock.
    pub(crate) fn bump_hit(&self, candidate: &Candidate) {
        self.index.bump(candidate.url_hash, place(candidate.id));
    }

    /// Calls `f` with every mark set since its record was written: segment, ordinal, mark, instant (0 of dead ones). For the journal's checkpoint.
    ///
    /// Holds no lock while `f` runs. A retired segment is reported, as dead throughout, until its name is durably gone; segments that have not
    /// been loaded are not.
    pub(crate) fn marks(&self, f: &mut dyn FnMut(u32, u32, Mark, i64)) {
        // The table first: what leaves it is condemned before.
        let table = self.table.load_full();
        for &(id, records) in &self.condemned.lock().clone() {
            (0..records).for_each(|ordinal| f(id, ordinal, Mark::Dead, 0));
        }
        for (_, segment) in &table.0 {
            segment.each_mark(f);
        }
    }

    /// Segments out of service whose names may be back after a restart: they could not be removed. The journal has to hold each dead as a whole, or what
    /// was purged since would be found again; of some the store does not know how many records they have, so that [`Store::marks`] cannot say it.
    ///
    /// Removal is tried again whenever a segment is retired.
    pub(crate) fn condemned(&self) -> Vec<u32> {
        self.condemned.lock().iter().map(|(id, _)| *id).collect()
    }

    /// How often a segment came to the condemned: another number means that [`Store::condemned`] may have more to tell.
    pub(crate) fn condemnations(&self) -> u64 {
        self.condemnations.load(Ordering::Acquire)
    }

    /// All segments in the order of their numbers.
    pub(crate) fn segments(&self) -> Vec<SegmentInfo> {
        let mut all: Vec<SegmentInfo> = self
            .table
            .load()
            .0
            .iter()
            .map(|(_, segment)| SegmentInfo {
                id: segment.id,
                sealed: segment.is_sealed(),
                records: segment.records(),
                dead: segment.dead(),
                size: segment.size,
                fill: segment.places.read().end,
            })
            .collect();
        all.sort_by_key(|info| info.id);
        all
    }

    /// Counters, and what is held now. O(segments + shards).
    pub(crate) fn stats(&self) -> StoreStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let segments: u64 = self.table.load().0.iter().map(|(_, segment)| segment.memory()).sum();
        StoreStats {
            objects: self.index.len(),
            disk_bytes: get(&self.space.total),
            pinned_bytes: get(&self.space.pinned),
            memory_bytes: self.index.bytes().saturating_add(segments),
            appended: get(&self.counters.appended),
            appended_bytes: get(&self.counters.appended_bytes),
            sealed: get(&self.counters.sealed),
            evicted_segments: get(&self.counters.evicted_segments),
            reinserted: get(&self.counters.reinserted),
            damaged: get(&self.counters.damaged),
            dropped_segments: get(&self.counters.dropped_segments),
            io_errors: get(&self.counters.io_errors),
        }
    }

    /// Takes the append lock. What is loaded under it (a snapshot) and what is appended are one step for everybody who takes it.
    pub(crate) fn appender(&self) -> Appender<'_> {
        Appender::new(self, self.writer.lock())
    }

    /// The append lock, if nobody has it.
    pub(crate) fn try_appender(&self) -> Option<Appender<'_>> {
        self.writer.try_lock().map(|writer| Appender::new(self, writer))
    }

    fn segment(&self, id: u32) -> Option<Arc<Segment>> {
        self.table.load().by_id(id).cloned()
    }

    /// Marks entries that have left the index as dead.
    fn bury(&self, removed: &[Entry]) -> impl Iterator<Item = RecordId> {
        let table = self.table.load();
        removed.iter().filter_map(move |entry| {
            let segment = table.by_slot(entry.slot())?;
            segment.raise(entry.ordinal(), Mark::Dead, 0);
            Some(segment.id_of(entry.ordinal()))
        })
    }

    fn publish(&self, segment: Arc<Segment>) {
        let _writers: MutexGuard<'_, ()> = self.table_writers.lock();
        let mut table = Table::clone(&self.table.load());
        let at = table.0.partition_point(|(slot, _)| *slot < segment.slot);
        table.0.insert(at, (segment.slot, segment));
        self.table.store(Arc::new(table));
    }

    fn withdraw(&self, id: u32) {
        let _writers: MutexGuard<'_, ()> = self.table_writers.lock();
        let mut table = Table::clone(&self.table.load());
        table.0.retain(|(_, segment)| segment.id != id);
        self.table.store(Arc::new(table));
    }

    fn io_error(&self, _: &io::Error) {
        count(&self.counters.io_errors);
    }
}

/// Keeps a segment's space counted for as long as somebody holds a view of it.
#[derive(Debug)]
struct Pinned {
    bytes: Bytes,
    _segment: Arc<Segment>,
}

impl AsRef<[u8]> for Pinned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What the index holds of a variant: 16 bits of the hash of its selecting fields' names, 16 of its encoded form. 0 without any.
pub(crate) fn variant_of(vary: &[u8]) -> u32 {
    if vary.is_empty() {
        return 0;
    }
    let mut names = PrefixHasher::new();
    let fields = VaryRef(vary).iter().fold(0, |_, (name, _)| names.segment(name));
    u32::try_from((fields & 0xffff) << 16 | hash(vary) & 0xffff).unwrap_or(0)
}

/// Whether a record of variant `new` takes the place of one of variant `old` under the same key: it is the same, or the fields differ.
fn replaces(new: u32, old: u32) -> bool {
    new == old || new >> 16 != old >> 16
}

/// Hashes of a stored key text: of its URL part, of the whole. `None` if it is none.
pub(crate) fn hashes_of(text: &[u8]) -> Option<(u64, u64)> {
    let key = KeyRef::from_stored(text, Layout::of(text)?);
    let url = key.url_hash();
    Some((url, key.hash_under(url)))
}

/// The place of a segment in the table: its number's low bits. A number is passed over while an older one has its place.
fn slot_of(id: u32) -> u32 {
    id & (LIMIT - 1)
}

/// What an index entry of a record says of where it is.
fn place(id: RecordId) -> Entry {
    Entry::new(slot_of(id.segment), id.ordinal, Mark::None)
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
