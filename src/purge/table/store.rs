//! From 64-bit hashes to indices: an open-addressing table that one writer extends while any number of readers look.
//!
//! Segments, each sixteen times the one before, so that growing copies nothing: a writer never stalls and a reader's slots never move. In front of
//! each stands a Bloom filter of eight bits an entry, so that a hash nobody filed, the usual case by far, costs a cache line of the filter.
//!
//! Invariants: bits of the filter are set before the slot that needs them; a slot is published by a `Release` store after what its index leads
//! to is complete, and only ever moves to a newer index of the same text.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytemuck::allocation::zeroed_slice_box;

/// Entries of the first segment; a power of two.
const FIRST: usize = 1 << 11;
/// Each segment holds `1 << GROWTH` times the entries of the one before.
const GROWTH: usize = 4;
/// The last one's entries could not be numbered in 32 bits.
const SEGMENTS: usize = 6;

#[derive(Debug, Default)]
pub(super) struct Store {
    segments: [OnceLock<Segment>; SEGMENTS],
}

#[derive(Debug)]
struct Segment {
    /// High half of the hash and index plus one; 0 is free. Twice the entries, so that a probe is short.
    slots: Box<[AtomicU64]>,
    filter: Box<[AtomicU64]>,
    used: AtomicU32,
}

impl Segment {
    fn new(entries: usize) -> Self {
        // Zeroed pages of the operating system are not touched before they are used.
        Self { slots: zeroed_slice_box(entries * 2), filter: zeroed_slice_box(entries / 8), used: AtomicU32::new(0) }
    }

    fn is_full(&self) -> bool {
        self.used.load(Ordering::Relaxed) as usize >= self.slots.len() / 2
    }

    #[inline]
    fn bits(&self, hash: u64) -> (&AtomicU64, u64) {
        let word = &self.filter[(hash >> 12) as usize & (self.filter.len() - 1)];
        (word, 1 << (hash & 63) | 1 << (hash >> 6 & 63) | 1 << (hash >> 32 & 63))
    }

    #[inline]
    fn may_hold(&self, hash: u64) -> bool {
        let (word, bits) = self.bits(hash);
        word.load(Ordering::Acquire) & bits == bits
    }

    fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = place(hash) & mask;
        loop {
            let word = self.slots[at].load(Ordering::Acquire);
            if word == 0 {
                return None;
            }
            if word >> 32 == hash >> 32 && same(word as u32 - 1) {
                return Some(word as u32 - 1);
            }
            at = (at + 1) & mask;
        }
    }

    /// `older`: overwritten where it is found.
    fn put(&self, hash: u64, index: u32, older: Option<u32>) {
        let (filter, bits) = self.bits(hash);
        filter.fetch_or(bits, Ordering::Release);
        let mask = self.slots.len() - 1;
        let mut at = place(hash) & mask;
        loop {
            let held = self.slots[at].load(Ordering::Relaxed);
            if held == 0 {
                self.used.fetch_add(1, Ordering::Relaxed);
            }
            if held == 0 || older.is_some_and(|older| held == word(hash, older)) {
                self.slots[at].store(word(hash, index), Ordering::Release);
                return;
            }
            at = (at + 1) & mask;
        }
    }
}

/// The bits below those that slots keep.
fn place(hash: u64) -> usize {
    (hash as u32).rotate_left(16) as usize
}

fn word(hash: u64, index: u32) -> u64 {
    hash & !0xffff_ffff | (u64::from(index) + 1)
}

impl Store {
    /// Whether anything may be filed under a hash. One or two cache lines.
    #[inline]
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        self.segments.iter().map_while(OnceLock::get).any(|segment| segment.may_hold(hash))
    }

    /// The newest index filed under `hash` that passes `same`, which has to compare what the index leads to.
    #[inline]
    pub(super) fn find(&self, hash: u64, same: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.may_hold(hash) { self.look_up(hash, same) } else { None }
    }

    #[inline(never)]
    fn look_up(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        for segment in self.segments.iter().rev().filter_map(OnceLock::get) {
            if segment.may_hold(hash)
                && let Some(index) = segment.find(hash, &mut same)
            {
                return Some(index);
            }
        }
        None
    }

    /// Makes [`may_hold`](Self::may_hold) true for a hash under which nothing is filed. One writer at a time.
    pub(super) fn announce(&self, hash: u64) {
        if !self.may_hold(hash) {
            let newest = self.segments.iter().rev().find_map(OnceLock::get);
            let (filter, bits) =
                newest.unwrap_or_else(|| self.segments[0].get_or_init(|| Segment::new(FIRST))).bits(hash);
            filter.fetch_or(bits, Ordering::Release);
        }
    }

    /// Files `index`, in the place of `older` if that was filed under the same hash for the same text. One writer at a time.
    pub(super) fn put(&self, hash: u64, index: usize, older: Option<u32>) {
        // Rules are capped far below what 32 bits number.
        let index = u32::try_from(index).unwrap_or(u32::MAX - 1);
        let mut entries = FIRST;
        for (nth, segment) in self.segments.iter().enumerate() {
            let next_is_open = self.segments.get(nth + 1).is_some_and(|next| next.get().is_some());
            let segment = segment.get_or_init(|| Segment::new(entries));
            if !next_is_open && (!segment.is_full() || nth + 1 == SEGMENTS) {
                segment.put(hash, index, older);
                return;
            }
            entries <<= GROWTH;
        }
    }

    /// Bytes of its slots and filters.
    pub(super) fn bytes(&self) -> usize {
        self.segments.iter().filter_map(OnceLock::get).map(|s| (s.slots.len() + s.filter.len()) * 8).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> u64 {
        let x = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    #[test]
    fn what_is_put_is_found_across_segments_and_the_newest_first() {
        let store = Store::default();
        for n in 0..40_000 {
            store.put(hash(n), n as usize, None);
        }
        for n in 0..40_000 {
            assert_eq!(store.find(hash(n), |index| index == n as u32), Some(n as u32));
        }
        assert!((40_000..80_000).filter(|&n| store.may_hold(hash(n))).count() < 4_000, "the filter filters");
        store.put(hash(7), 50_000, Some(7));
        assert_eq!(store.find(hash(7), |index| index == 7 || index == 50_000), Some(50_000));
        assert!(store.bytes() > 40_000 * 16);
    }
}
