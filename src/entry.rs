//! A stored response: one allocation that holds everything a hit needs.
//!
//! Header first (control word, deadlines, lengths), then one byte string: key text, `Vary` values, tags, response head, small body.
//! Bodies over [`INLINE_BODY`] hang on the header as chunks.
//!
//! The **control word** is a 62-bit stamp and a 2-bit [`Mark`]. Invariants:
//!
//! 1. The stamp only rises, the mark only grows (I1 of `docs/design.md`: judged against every rule up to the stamp, carrying the strongest
//!    mark that matched).
//! 2. An entry that has left its shard's table is `Dead`, and was so before the shard lock was released.
//! 3. Its bytes stay charged to the budget until the last handle is gone; those of a chunk until nobody holds the chunk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use bytes::Bytes;
use triomphe::ThinArc;

use crate::disk::store::{Candidate, Segment};
use crate::edge::budget::{Budget, Charge};
use crate::key::{KeyRef, Layout};
use crate::purge::{Action, TagsRef};
use crate::sync::{AtomicI32, AtomicU8 as OrderedU8, AtomicU64};
use crate::vary::VaryRef;

/// Largest body that lives inside the entry's allocation, in bytes.
pub(crate) const INLINE_BODY: usize = 16 << 10;

/// No slot: the entry is not in a table.
pub(crate) const UNLINKED: u32 = u32::MAX;

/// Engine time: tenths of a second since the cache was built. Wraps out of range only after 6.8 years, and saturates there.
pub(crate) type Tick = i32;

/// Ticks in a second.
pub(crate) const TICKS: i64 = 10;

/// The strongest rule that took an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    None = 0,
    Soft = 1,
    Invalidate = 2,
    Dead = 3,
}

impl Mark {
    pub(crate) fn from_bits(bits: u64) -> Self {
        match bits & 3 {
            0 => Self::None,
            1 => Self::Soft,
            2 => Self::Invalidate,
            _ => Self::Dead,
        }
    }

    /// The mark as two bits, here and on disk; the inverse of [`from_bits`](Self::from_bits).
    pub(crate) fn bits(self) -> u8 {
        self as u8
    }
}

impl From<Action> for Mark {
    fn from(action: Action) -> Self {
        match action {
            Action::Soft => Self::Soft,
            Action::Invalidate => Self::Invalidate,
            Action::Delete => Self::Dead,
        }
    }
}

/// Stamp and mark of a holder, changed together by compare and swap.
#[derive(Debug)]
pub(crate) struct Control(AtomicU64);

impl Control {
    pub(crate) fn new(stamp: u64) -> Self {
        Self(AtomicU64::new(stamp << 2))
    }

    /// Stamp and mark, read together.
    #[inline]
    pub(crate) fn load(&self) -> (u64, Mark) {
        let word = self.0.load(Ordering::Acquire);
        (word >> 2, Mark::from_bits(word))
    }

    /// Raises the stamp to at least `stamp` and the mark to at least `mark`; the mark it had before.
    pub(crate) fn raise(&self, stamp: u64, mark: Mark) -> Mark {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let had = Mark::from_bits(word);
            let next = ((word >> 2).max(stamp) << 2) | had.max(mark) as u64;
            if next == word {
                return had;
            }
            match self.0.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return had,
                Err(now) => word = now,
            }
        }
    }
}

/// First tick at which an object is not fresh, as of `now`, when it carries `mark`. A soft purge ends freshness when it was made; a clock that was
/// set back since does not bring it back (G9).
pub(crate) fn expires(fresh_until: Tick, soft_at: Tick, mark: Mark, now: Tick) -> Tick {
    if mark == Mark::Soft { fresh_until.min(soft_at).min(now) } else { fresh_until }
}

/// Deadlines and permissions, computed once when the response is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// When the response had age 0.
    pub(crate) born: Tick,
    /// First tick at which it is no longer fresh.
    pub(crate) fresh_until: Tick,
    /// Seconds after expiry in which it may be served while it is revalidated.
    pub(crate) while_revalidate: u32,
    /// Seconds after expiry in which it may be served when the origin fails.
    pub(crate) if_error: u32,
    pub(crate) must_revalidate: bool,
    pub(crate) no_cache: bool,
}

const MUST_REVALIDATE: u8 = 1;
const NO_CACHE: u8 = 2;
/// An uncacheable mark: says that the key's response was not storable, so that requests do not queue behind each other.
const UNCACHEABLE: u8 = 4;

const IN_MAIN: u8 = 1;
const PINNED: u8 = 2;
/// A rule took it from the second tier alone: it must not get there again.
const NO_DEMOTE: u8 = 4;

/// Fixed part of an entry.
pub(crate) struct Header {
    pub(crate) control: Control,
    budget: Arc<Budget>,
    #[expect(clippy::box_collection, reason = "one word in the header of every small object")]
    chunks: Option<Box<Vec<Bytes>>>,
    /// In units of 16 bytes.
    weight: u32,
    slot: AtomicU32,
    soft_at: AtomicI32,
    born: Tick,
    fresh_until: Tick,
    while_revalidate: u32,
    if_error: u32,
    head_len: u32,
    body_len: u32,
    layout: Layout,
    key_len: u16,
    tags_len: u16,
    status: u16,
    flags: u8,
    frequency: AtomicU8,
    queue: OrderedU8,
}

impl Header {
    fn weight(&self) -> u64 {
        u64::from(self.weight) * 16
    }
}

impl Drop for Header {
    fn drop(&mut self) {
        let chunks = self.chunks.iter().flat_map(|chunks| chunks.iter()).map(chunk_weight).sum::<u64>();
        self.budget.release(self.weight() - chunks);
        if *self.queue.get_mut() & PINNED != 0 {
            self.budget.unpin(self.weight());
        }
    }
}

/// What an entry is made from.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) key: KeyRef<'a>,
    pub(crate) vary: VaryRef<'a>,
    pub(crate) tags: TagsRef<'a>,
    pub(crate) status: u16,
    pub(crate) head: &'a [u8],
    pub(crate) body: Body<'a>,
    pub(crate) deadlines: Deadlines,
    pub(crate) uncacheable: bool,
}

/// A body to be stored.
#[derive(Debug)]
pub(crate) enum Body<'a> {
    /// Copied into the entry, at most [`INLINE_BODY`] bytes.
    Inline(&'a [u8]),
    /// Kept as they are; each carries its charge.
    Chunks(Vec<Bytes>),
}

impl Parts<'_> {
    /// Whether every variable part fits the header's length fields.
    pub(crate) fn fits(&self) -> bool {
        let body = match &self.body {
            Body::Inline(bytes) => bytes.len(),
            Body::Chunks(chunks) => chunks.iter().map(Bytes::len).sum(),
        };
        u16::try_from(self.vary.as_bytes().len()).is_ok()
            && u16::try_from(self.tags.as_bytes().len()).is_ok()
            && u32::try_from(self.head.len()).is_ok()
            && u32::try_from(body).is_ok()
    }

    /// Bytes an entry of these parts occupies by itself, the allocator's rounding included, and those of its chunks, which are charged already.
    pub(crate) fn weight(&self) -> (u64, u64) {
        let inline = self.key.text().len() + self.vary.as_bytes().len() + self.tags.as_bytes().len() + self.head.len();
        let (inline, lists, chunks) = match &self.body {
            Body::Inline(bytes) => (inline + bytes.len(), 0, 0),
            Body::Chunks(chunks) => {
                let list = allocated(chunks.capacity() * size_of::<Bytes>()) + allocated(size_of::<Vec<Bytes>>());
                (inline, list, chunks.iter().map(chunk_weight).sum())
            }
        };
        (allocated(size_of::<Header>() + 2 * size_of::<usize>() + inline) + lists, chunks)
    }
}

/// What the allocator takes for `bytes` (word of its own, multiples of 16).
pub(crate) fn allocated(bytes: usize) -> u64 {
    (bytes as u64 + 8).next_multiple_of(16).max(32)
}

/// What one body chunk takes: its buffer, and its owner with the charge.
pub(crate) fn chunk_weight(chunk: &Bytes) -> u64 {
    weight_of(chunk.len())
}

/// What a chunk of `len` bytes takes.
pub(crate) fn weight_of(len: usize) -> u64 {
    allocated(len) + 64
}

/// Counted handle of an entry; the entry is freed with its last handle.
#[derive(Clone)]
pub(crate) struct EntryRef(ThinArc<Header, u8>);

impl EntryRef {
    /// Builds an entry judged up to `stamp`. `charge` must be its own part of `parts.weight()`, and `parts.fits()` must hold.
    pub(crate) fn new(parts: Parts<'_>, stamp: u64, charge: Charge) -> Self {
        let d = parts.deadlines;
        let (_, chunks_weight) = parts.weight();
        let (inline, chunks, body_len) = match parts.body {
            Body::Inline(bytes) => (bytes, None, bytes.len()),
            Body::Chunks(chunks) => {
                let len = chunks.iter().map(Bytes::len).sum();
                (&[][..], Some(Box::new(chunks)), len)
            }
        };
        let flags = if d.must_revalidate { MUST_REVALIDATE } else { 0 }
            | if d.no_cache { NO_CACHE } else { 0 }
            | if parts.uncacheable { UNCACHEABLE } else { 0 };
        let (budget, own) = charge.hand_over();
        let weight = own + chunks_weight;
        let header = Header {
            control: Control::new(stamp),
            budget,
            chunks,
            weight: (weight / 16) as u32,
            slot: AtomicU32::new(UNLINKED),
            soft_at: AtomicI32::new(Tick::MAX),
            born: d.born,
            fresh_until: d.fresh_until,
            while_revalidate: d.while_revalidate,
            if_error: d.if_error,
            head_len: parts.head.len() as u32,
            body_len: body_len as u32,
            layout: parts.key.layout(),
            key_len: parts.key.text().len() as u16,
            tags_len: parts.tags.as_bytes().len() as u16,
            status: parts.status,
            flags,
            frequency: AtomicU8::new(0),
            queue: OrderedU8::new(0),
        };
        let text = parts.key.text();
        let mut bytes = Vec::with_capacity(
            text.len() + parts.vary.as_bytes().len() + usize::from(header.tags_len) + parts.head.len() + inline.len(),
        );
        bytes.extend_from_slice(text);
        bytes.extend_from_slice(parts.vary.as_bytes());
        bytes.extend_from_slice(parts.tags.as_bytes());
        bytes.extend_from_slice(parts.head);
        bytes.extend_from_slice(inline);
        Self(ThinArc::from_header_and_slice(header, &bytes))
    }

    #[inline]
    fn header(&self) -> &Header {
        &self.0.header.header
    }

    /// Cuts the byte string: end of vary, tags, head.
    #[inline]
    fn cuts(&self) -> [usize; 3] {
        let header = self.header();
        let inline = if header.chunks.is_none() { header.body_len as usize } else { 0 };
        let head_end = self.0.slice.len() - inline;
        let tags_end = head_end - header.head_len as usize;
        [tags_end - usize::from(header.tags_len), tags_end, head_end]
    }

    #[inline]
    pub(crate) fn control(&self) -> &Control {
        &self.header().control
    }

    #[inline]
    pub(crate) fn key(&self) -> KeyRef<'_> {
        let header = self.header();
        KeyRef::from_stored(&self.0.slice[..usize::from(header.key_len)], header.layout)
    }

    #[inline]
    pub(crate) fn vary(&self) -> VaryRef<'_> {
        let [vary_end, ..] = self.cuts();
        VaryRef(&self.0.slice[usize::from(self.header().key_len)..vary_end])
    }

    #[inline]
    pub(crate) fn tags(&self) -> TagsRef<'_> {
        let [vary_end, tags_end, _] = self.cuts();
        TagsRef::from_stored(&self.0.slice[vary_end..tags_end])
    }

    #[inline]
    pub(crate) fn has_tags(&self) -> bool {
        self.header().tags_len != 0
    }

    pub(crate) fn head(&self) -> &[u8] {
        let [_, tags_end, head_end] = self.cuts();
        &self.0.slice[tags_end..head_end]
    }

    /// The head, and the body behind it when it is inline.
    pub(crate) fn head_and_body(&self) -> &[u8] {
        let [_, tags_end, _] = self.cuts();
        &self.0.slice[tags_end..]
    }

    /// The body when it is inline.
    pub(crate) fn inline_body(&self) -> &[u8] {
        let [.., head_end] = self.cuts();
        &self.0.slice[head_end..]
    }

    /// The body when it is not inline.
    pub(crate) fn chunks(&self) -> Option<&[Bytes]> {
        self.header().chunks.as_deref().map(Vec::as_slice)
    }

    pub(crate) fn body_len(&self) -> u64 {
        u64::from(self.header().body_len)
    }

    pub(crate) fn status(&self) -> u16 {
        self.header().status
    }

    #[inline]
    pub(crate) fn is_uncacheable(&self) -> bool {
        self.header().flags & UNCACHEABLE != 0
    }

    #[inline]
    pub(crate) fn deadlines(&self) -> Deadlines {
        let header = self.header();
        Deadlines {
            born: header.born,
            fresh_until: header.fresh_until,
            while_revalidate: header.while_revalidate,
            if_error: header.if_error,
            must_revalidate: header.flags & MUST_REVALIDATE != 0,
            no_cache: header.flags & NO_CACHE != 0,
        }
    }

    /// First tick at which it is not fresh, as of `now`, when it carries `mark`.
    pub(crate) fn expires(&self, mark: Mark, now: Tick) -> Tick {
        expires(self.header().fresh_until, self.soft_at(), mark, now)
    }

    /// A soft purge made `at` that time ends its freshness; of several the first counts.
    pub(crate) fn soften(&self, at: Tick) {
        self.header().soft_at.fetch_min(at, Ordering::Relaxed);
    }

    /// Judged up to `stamp` with the verdict `mark` of a purge made `at` that time; the mark it had. A soft mark's instant is stored before the word changes.
    pub(crate) fn judge(&self, stamp: u64, mark: Mark, at: Tick) -> Mark {
        if mark == Mark::Soft {
            self.soften(at);
        }
        self.control().raise(stamp, mark)
    }

    pub(crate) fn weight(&self) -> u64 {
        self.header().weight()
    }

    /// Slot in its shard, [`UNLINKED`] when it is in none. Changes only under the shard lock.
    pub(crate) fn slot(&self) -> u32 {
        self.header().slot.load(Ordering::Relaxed)
    }

    /// Whether it is in a table.
    pub(crate) fn is_linked(&self) -> bool {
        self.slot() != UNLINKED
    }

    pub(crate) fn set_slot(&self, slot: u32) {
        self.header().slot.store(slot, Ordering::Relaxed);
    }

    /// It has left its table: dead from now on (invariant 2), and what readers keep of it counts as pinned.
    pub(crate) fn unlink(&self) {
        let header = self.header();
        header.control.raise(0, Mark::Dead);
        header.slot.store(UNLINKED, Ordering::Relaxed);
        header.queue.fetch_or(PINNED, Ordering::Relaxed);
        header.budget.pin(header.weight());
    }

    /// Keeps it from being written to the second tier. Before its stamp rises past the rule that says so.
    pub(crate) fn set_no_demote(&self) {
        self.header().queue.fetch_or(NO_DEMOTE, Ordering::Release);
    }

    /// Whether it must not be written to the second tier. Read after its control word.
    pub(crate) fn no_demote(&self) -> bool {
        self.header().queue.load(Ordering::Acquire) & NO_DEMOTE != 0
    }

    /// When a soft purge ended its freshness.
    pub(crate) fn soft_at(&self) -> Tick {
        self.header().soft_at.load(Ordering::Relaxed)
    }

    /// Whether it is in the main queue (else the small one). Changes only under the shard lock.
    pub(crate) fn in_main(&self) -> bool {
        self.header().queue.load(Ordering::Relaxed) & IN_MAIN != 0
    }

    pub(crate) fn set_in_main(&self) {
        self.header().queue.fetch_or(IN_MAIN, Ordering::Relaxed);
    }

    /// Counts a use, up to three; whether it is the first. A lost race costs a count, not a line bounce: hot entries are not written any more.
    #[inline]
    pub(crate) fn touch(&self) -> bool {
        let frequency = &self.header().frequency;
        let seen = frequency.load(Ordering::Relaxed);
        if seen < 3 {
            frequency.store(seen + 1, Ordering::Relaxed);
        }
        seen == 0
    }

    pub(crate) fn frequency(&self) -> u8 {
        self.header().frequency.load(Ordering::Relaxed)
    }

    pub(crate) fn set_frequency(&self, frequency: u8) {
        self.header().frequency.store(frequency, Ordering::Relaxed);
    }

    /// Whether both are handles of the same entry.
    pub(crate) fn same(&self, other: &Self) -> bool {
        std::ptr::eq(self.header(), other.header())
    }
}

impl std::fmt::Debug for EntryRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &String::from_utf8_lossy(self.key().text()))
            .field("control", &self.control().load())
            .finish_non_exhaustive()
    }
}

/// An entry's head and inline body, one behind the other, as the owner of a [`Bytes`].
pub(crate) struct HeadAndBody(pub(crate) Handle);

impl AsRef<[u8]> for HeadAndBody {
    fn as_ref(&self) -> &[u8] {
        self.0.entry().head_and_body()
    }
}

/// A reader's hold on an entry: counted at the entry, or through a thread's front, whose count only that thread's readers touch.
#[derive(Debug, Clone)]
pub(crate) enum Handle {
    Direct(EntryRef),
    Leased(Arc<EntryRef>),
    /// Made from a record of the second tier; in no table.
    Deep(Arc<Deep>),
}

/// An entry read from the second tier, with the record it was read from.
#[derive(Debug)]
pub(crate) struct Deep {
    pub(crate) entry: EntryRef,
    pub(crate) record: Candidate,
    /// Whose file the body may be a view of.
    pub(crate) segment: Arc<Segment>,
}

impl Handle {
    #[inline]
    pub(crate) fn entry(&self) -> &EntryRef {
        match self {
            Self::Direct(entry) => entry,
            Self::Leased(entry) => entry,
            Self::Deep(deep) => &deep.entry,
        }
    }

    /// The segment of the second tier it was read from.
    pub(crate) fn segment(&self) -> Option<&Segment> {
        match self {
            Self::Deep(deep) => Some(&deep.segment),
            _ => None,
        }
    }

    /// The record of the second tier it was read from.
    pub(crate) fn record(&self) -> Option<&Candidate> {
        match self {
            Self::Deep(deep) => Some(&deep.record),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_as_small_as_the_memory_target_needs() {
        assert!(size_of::<Header>() <= 80, "{}", size_of::<Header>());
        assert_eq!(size_of::<EntryRef>(), 8);
    }

    #[test]
    fn control_only_grows() {
        let control = Control::new(5);
        assert_eq!(control.raise(7, Mark::Invalidate), Mark::None);
        assert_eq!(control.raise(6, Mark::Soft), Mark::Invalidate);
        assert_eq!(control.load(), (7, Mark::Invalidate));
    }
}
