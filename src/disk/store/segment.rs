//! One segment file: where its records are, what of it is still in memory, its marks.
//!
//! Invariants:
//!
//! 1. Records lie without gaps from [`DATA_AT`] on, in the order of their ordinals; `places` holds one for each.
//! 2. What lies below the tail's start has been written to the file, the rest is in the tail: every record can be read at any time.
//! 3. A record's mark only grows. What is dead here has left the index, or is about to.
//! 4. The file's bytes are counted from its creation until the last holder of the segment is gone.
//!
//! Lock order: `name`, `keys`, `places`, `tail`, `marks`; none is held while another segment's is taken.

use std::collections::HashMap;
use std::io;
use std::mem::size_of;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::footer::Sealed;
use super::record::ALIGN;
use super::types::RecordId;
use crate::disk::File;
use crate::entry::Mark;
use crate::sync::{AtomicBool, Mutex, RwLock};

/// Offset of the first record; before it is the file's header.
pub(crate) const DATA_AT: u64 = 64;

/// Bytes of all files, and of those retired but still in use.
#[derive(Debug, Default)]
pub(crate) struct Space {
    pub(crate) total: AtomicU64,
    pub(crate) pinned: AtomicU64,
}

/// A segment. Shared by the table of segments and by whoever reads from it; about 300 bytes, eight for each record, and the filters.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: u32,
    /// Place in the table of segments.
    pub(crate) slot: u32,
    /// Bytes of the file.
    pub(crate) size: u64,
    pub(crate) file: Arc<dyn File>,
    pub(crate) name: Mutex<Name>,
    pub(crate) keys: RwLock<Keys>,
    pub(crate) places: RwLock<Places>,
    tail: RwLock<Tail>,
    marks: Mutex<Marks>,
    /// Somebody is taking it out of service.
    pub(crate) leaving: AtomicBool,
    space: Arc<Space>,
}

/// What the file is called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) sealed: bool,
    /// Taken out of service: nothing is renamed any more.
    pub(crate) retired: bool,
}

/// What sweeps look at.
#[derive(Debug)]
pub(crate) enum Keys {
    /// In memory, by ordinal.
    Open(Vec<OpenKey>),
    /// In the file's footer.
    Sealed(Box<Sealed>),
}

/// Key and metadata of a record whose segment has no footer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenKey {
    pub(crate) key: Box<[u8]>,
    pub(crate) vary: Box<[u8]>,
    pub(crate) tags: Box<[u8]>,
    pub(crate) seq: u64,
    pub(crate) write: u64,
    pub(crate) mark: Mark,
    pub(crate) soft_at_ms: i64,
}

/// Where the records are.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) each: Vec<PlaceOf>,
    /// Where the last one ends.
    pub(crate) end: u64,
}

/// Offset in units of [`ALIGN`], and the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlaceOf {
    pub(crate) at: u32,
    pub(crate) variant: u32,
}

impl Places {
    /// Bytes of the file a record takes.
    pub(crate) fn range(&self, ordinal: u32) -> Option<Range<u64>> {
        let ordinal = usize::try_from(ordinal).ok()?;
        let offset = |place: &PlaceOf| u64::from(place.at).saturating_mul(ALIGN);
        let from = offset(self.each.get(ordinal)?);
        Some(from..self.each.get(ordinal.saturating_add(1)).map_or(self.end, offset))
    }
}

#[derive(Debug, Default)]
struct Tail {
    start: u64,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Marks {
    dead: Vec<u64>,
    dead_count: u32,
    raised: HashMap<u32, (Mark, i64)>,
}

impl Segment {
    /// A segment whose file begins with `tail`, of which nothing has been written.
    pub(crate) fn open(id: u32, slot: u32, file: Arc<dyn File>, size: u64, tail: Vec<u8>, space: &Arc<Space>) -> Self {
        space.total.fetch_add(size, Ordering::Relaxed);
        let places = Places { each: Vec::new(), end: DATA_AT };
        Self {
            id,
            slot,
            size,
            file,
            name: Mutex::new(Name { sealed: false, retired: false }),
            keys: RwLock::new(Keys::Open(Vec::new())),
            places: RwLock::new(places),
            tail: RwLock::new(Tail { start: 0, bytes: tail }),
            marks: Mutex::default(),
            leaving: AtomicBool::new(false),
            space: Arc::clone(space),
        }
    }

    /// A segment found on disk.
    pub(crate) fn found(
        (id, slot): (u32, u32),
        file: Arc<dyn File>,
        size: u64,
        keys: Keys,
        places: Places,
        space: &Arc<Space>,
    ) -> Self {
        let mut segment = Self::open(id, slot, file, size, Vec::new(), space);
        segment.name.get_mut().sealed = matches!(keys, Keys::Sealed(_));
        segment.tail.get_mut().start = places.end;
        *segment.keys.get_mut() = keys;
        *segment.places.get_mut() = places;
        segment
    }

    pub(crate) fn id_of(&self, ordinal: u32) -> RecordId {
        RecordId { segment: self.id, ordinal }
    }

    pub(crate) fn records(&self) -> u32 {
        u32::try_from(self.places.read().each.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn variant(&self, ordinal: u32) -> Option<u32> {
        Some(self.places.read().each.get(usize::try_from(ordinal).ok()?)?.variant)
    }

    /// See [`File::is_intact`].
    pub(crate) fn is_intact(&self) -> bool {
        self.file.is_intact()
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.name.lock().sealed
    }

    /// Bytes of the file, from memory as far as they are not written.
    pub(crate) fn bytes(&self, range: Range<u64>) -> io::Result<Bytes> {
        let tail = self.tail.read();
        if range.end <= tail.start {
            drop(tail);
            return self.file.bytes(range);
        }
        let from_file = range.start.min(tail.start)..range.end.min(tail.start);
        let mut whole = vec![0; usize::try_from(from_file.end - range.start.min(from_file.end)).unwrap_or(0)];
        if range.start < tail.start {
            self.file.read_at(range.start, &mut whole)?;
        }
        let relative = |at: u64| usize::try_from(at.saturating_sub(tail.start)).unwrap_or(usize::MAX);
        let rest = tail.bytes.get(relative(range.start)..relative(range.end));
        whole.extend_from_slice(rest.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(whole.into())
    }

    /// Whether the bytes can be had without waiting for the device.
    pub(crate) fn is_warm(&self, range: Range<u64>) -> bool {
        let start = self.tail.read().start;
        range.start >= start || self.file.is_warm(range.start..range.end.min(start))
    }

    /// The bytes, if they can be had without waiting for the device.
    pub(crate) fn warm_bytes(&self, range: Range<u64>) -> io::Result<Option<Bytes>> {
        let start = self.tail.read().start;
        if range.end <= start {
            return self.file.warm_bytes(range);
        }
        if self.is_warm(range.clone()) { self.bytes(range).map(Some) } else { Ok(None) }
    }

    /// Adds bytes at the end of the tail.
    pub(crate) fn push(&self, bytes: &[u8]) {
        self.tail.write().bytes.extend_from_slice(bytes);
    }

    /// Bytes that are not written.
    pub(crate) fn unwritten(&self) -> usize {
        self.tail.read().bytes.len()
    }

    /// Writes what the tail holds, down to a multiple of `unit`; readable throughout. One caller at a time.
    pub(crate) fn flush(&self, unit: usize) -> io::Result<()> {
        let (start, len) = {
            let tail = self.tail.read();
            let len = tail.bytes.len() / unit * unit;
            self.file.write_at(tail.start, tail.bytes.get(..len).unwrap_or_default())?;
            (tail.start, len)
        };
        let mut tail = self.tail.write();
        // Less than a unit stays, so that little is moved and the allocation is kept.
        tail.bytes.drain(..len);
        tail.start = start.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Notes that the file holds everything up to `end`.
    pub(crate) fn written_to(&self, end: u64) {
        *self.tail.write() = Tail { start: end, bytes: Vec::new() };
    }

    /// Raises a record's mark. Whether it was lower.
    pub(crate) fn raise(&self, ordinal: u32, mark: Mark, at_ms: i64) -> bool {
        if ordinal >= self.records() {
            return false;
        }
        let mut marks = self.marks.lock();
        if marks.is_dead(ordinal) {
            return false;
        }
        if mark != Mark::Dead {
            let had = marks.raised.get(&ordinal).map_or(Mark::None, |&(had, _)| had);
            if had < mark {
                marks.raised.insert(ordinal, (mark, at_ms));
            }
            return had < mark;
        }
        let (word, bit) = bit_of(ordinal);
        if marks.dead.len() <= word {
            marks.dead.resize(word + 1, 0);
        }
        if let Some(word) = marks.dead.get_mut(word) {
            *word |= bit;
        }
        marks.dead_count += 1;
        marks.raised.remove(&ordinal);
        true
    }

    /// The mark set since the record was written, and when; [`Mark::None`] if none was.
    pub(crate) fn mark_of(&self, ordinal: u32) -> (Mark, Option<i64>) {
        let marks = self.marks.lock();
        if marks.is_dead(ordinal) {
            return (Mark::Dead, None);
        }
        marks.raised.get(&ordinal).map_or((Mark::None, None), |&(mark, at)| (mark, Some(at)))
    }

    pub(crate) fn dead(&self) -> u32 {
        self.marks.lock().dead_count
    }

    /// A copy of which records are dead, to be asked without a lock.
    pub(crate) fn dead_bits(&self) -> DeadBits {
        DeadBits(self.marks.lock().dead.clone())
    }

    /// Calls `f` with every mark set since its record was written.
    pub(crate) fn each_mark(&self, f: &mut dyn FnMut(u32, u32, Mark, i64)) {
        let (dead, raised) = {
            let marks = self.marks.lock();
            (marks.dead.clone(), marks.raised.iter().map(|(&at, &mark)| (at, mark)).collect::<Vec<_>>())
        };
        for (word, bits) in (0_u32..).step_by(64).zip(dead) {
            (0..64).filter(|bit| bits >> bit & 1 == 1).for_each(|bit| f(self.id, word + bit, Mark::Dead, 0));
        }
        raised.into_iter().for_each(|(ordinal, (mark, at))| f(self.id, ordinal, mark, at));
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> u64 {
        let keys = match &*self.keys.read() {
            Keys::Open(keys) => keys
                .iter()
                .map(|key| size_of::<OpenKey>() + key.key.len() + key.vary.len() + key.tags.len())
                .sum::<usize>(),
            Keys::Sealed(sealed) => sealed.memory(),
        };
        let places = self.places.read().each.capacity() * size_of::<PlaceOf>();
        let tail = self.tail.read().bytes.capacity();
        let marks = self.marks.lock();
        let marks = marks.dead.capacity() * 8 + marks.raised.capacity() * 32;
        u64::try_from(size_of::<Self>() + keys + places + tail + marks).unwrap_or(u64::MAX)
    }

    /// Counts the file as retired: its bytes stay counted, but as somebody else's.
    pub(crate) fn retire(&self) {
        self.space.pinned.fetch_add(self.size, Ordering::Relaxed);
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.space.total.fetch_sub(self.size, Ordering::Relaxed);
        if self.name.get_mut().retired {
            self.space.pinned.fetch_sub(self.size, Ordering::Relaxed);
        }
    }
}

/// Which records of a segment were dead at one moment.
#[derive(Debug)]
pub(crate) struct DeadBits(Vec<u64>);

impl DeadBits {
    pub(crate) fn contains(&self, ordinal: u32) -> bool {
        let (word, bit) = bit_of(ordinal);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

impl Marks {
    fn is_dead(&self, ordinal: u32) -> bool {
        let (word, bit) = bit_of(ordinal);
        self.dead.get(word).is_some_and(|word| word & bit != 0)
    }
}

fn bit_of(ordinal: u32) -> (usize, u64) {
    (usize::try_from(ordinal / 64).unwrap_or(usize::MAX), 1 << (ordinal % 64))
}

/// The file's name.
pub(crate) fn file_name(id: u32, sealed: bool) -> String {
    format!("seg-{id:08x}.{}", if sealed { "seg" } else { "open" })
}

/// The number and state a name stands for; `None` if it is no segment's.
pub(crate) fn parse_name(name: &str) -> Option<(u32, bool)> {
    let (id, kind) = name.strip_prefix("seg-")?.split_once('.')?;
    let sealed = match kind {
        "seg" => true,
        "open" => false,
        _ => return None,
    };
    let id = u32::from_str_radix(id, 16).ok()?;
    (file_name(id, sealed) == name).then_some((id, sealed))
}
