//! The index in memory: 16 bytes an object, found by the hash of the URL part.
//!
//! Invariants:
//!
//! 1. A slot lies between its home and the first empty slot after it; a removal moves later ones back.
//! 2. Slots come, go and change their mark under the shard's write lock; hits and `verified` change under the read lock too, and may be lost
//!    to a growth that runs meanwhile.
//! 3. A table grows while it can be read: no lookup waits for more than the swap.
//! 4. While segments are being loaded, a URL whose records were removed since the store was opened gets none of them back.
//!
//! Lock order: a shard, then what the closures given take (a segment's places).

use std::collections::HashSet;
use std::mem::size_of;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use crate::entry::Mark;
use crate::sync::{AtomicU64, RwLock, RwLockUpgradableReadGuard, RwLockWriteGuard};

const SHARDS: usize = 256;

/// Largest number of segments, and of records in one.
pub(crate) const LIMIT: u32 = 1 << 24;

const OCCUPIED: u64 = 1;
const VERIFIED: u64 = 1 << 1;
const HIT: u64 = 1 << 2;
const HITS: u64 = 3 << 2;
const MARK_SHIFT: u32 = 4;
const ORDINAL_SHIFT: u32 = 16;
const SLOT_SHIFT: u32 = 40;
const PLACE: u64 = !0 << ORDINAL_SHIFT;

/// Bits of a URL's hash that a slot holds; the shard's number is eight others.
const URL_BITS: u32 = 48;

/// What the index knows of a record: where it is, and a few bits. Eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(u64);

impl Entry {
    /// An entry without hits. `slot` and `ordinal` are below [`LIMIT`].
    pub(crate) fn new(slot: u32, ordinal: u32, mark: Mark) -> Self {
        Self(
            OCCUPIED
                | u64::from(mark.bits()) << MARK_SHIFT
                | u64::from(ordinal & (LIMIT - 1)) << ORDINAL_SHIFT
                | u64::from(slot) << SLOT_SHIFT,
        )
    }
    /// The segment's place in the table of segments.
    pub(crate) fn slot(self) -> u32 {
        u32::try_from(self.0 >> SLOT_SHIFT).unwrap_or(0)
    }
    pub(crate) fn ordinal(self) -> u32 {
        u32::try_from(self.0 >> ORDINAL_SHIFT & u64::from(LIMIT - 1)).unwrap_or(0)
    }
    pub(crate) fn mark(self) -> Mark {
        Mark::from_bits(self.0 >> MARK_SHIFT)
    }
    pub(crate) fn hits(self) -> u8 {
        u8::try_from((self.0 & HITS) >> 2).unwrap_or(0)
    }
    pub(crate) fn verified(self) -> bool {
        self.0 & VERIFIED != 0
    }
    /// Whether both are of one record, whatever their bits.
    pub(crate) fn is(self, other: Self) -> bool {
        self.0 & PLACE == other.0 & PLACE
    }
    fn with_mark(self, mark: Mark) -> Self {
        Self(self.0 & !(3 << MARK_SHIFT) | u64::from(mark.bits()) << MARK_SHIFT)
    }
}

/// A few entries, nearly always one.
pub(crate) type Entries = SmallVec<[Entry; 2]>;

/// All shards. 16 bytes a slot, 0.68 to 0.85 of them in use once a shard has a hundred entries.
#[derive(Debug)]
pub(crate) struct Index {
    shards: Box<[RwLock<Table>]>,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::new(Table::new())).collect() }
    }

    #[expect(clippy::cast_possible_truncation, reason = "eight bits")]
    fn shard(&self, url_hash: u64) -> Option<&RwLock<Table>> {
        self.shards.get((url_hash as usize) % SHARDS)
    }

    /// The entries under both hashes.
    pub(crate) fn find(&self, url_hash: u64, key_hash: u64) -> Entries {
        let mut found = Entries::new();
        let Some(shard) = self.shard(url_hash) else { return found };
        shard.read().each(url_hash, |_, slot| {
            if slot.key16() == key_hash & 0xffff {
                found.push(slot.entry());
            }
        });
        found
    }

    /// The entry of a record as it is now.
    pub(crate) fn get(&self, url_hash: u64, place: Entry) -> Option<Entry> {
        let mut found = None;
        self.shard(url_hash)?.read().each(url_hash, |_, slot| {
            if slot.entry().is(place) {
                found = Some(slot.entry());
            }
        });
        found
    }

    /// Adds an entry and removes those under the same two hashes that `replaces` names, in one step.
    pub(crate) fn insert(
        &self,
        url_hash: u64,
        key_hash: u64,
        entry: Entry,
        mut replaces: impl FnMut(Entry) -> bool,
    ) -> Entries {
        let Some(shard) = self.shard(url_hash) else { return Entries::new() };
        let mut table = roomy(shard);
        let removed = table.remove_if(url_hash, |key16, old| key16 == key_hash & 0xffff && replaces(old));
        if let Some(forgotten) = &mut table.forgotten {
            forgotten.insert(url_hash);
        }
        table.insert(url_hash, key_hash, entry);
        removed
    }

    /// Adds an entry met while loading and removes `losers`, if the entries under both hashes are still `seen`. `None`: they are not, look again.
    /// `Some(false)`: the URL has been written or removed since loading began, the record is not wanted.
    pub(crate) fn load(
        &self,
        (url_hash, key_hash): (u64, u64),
        entry: Option<Entry>,
        seen: &[Entry],
        losers: &[Entry],
    ) -> Option<bool> {
        let mut table = roomy(self.shard(url_hash)?);
        if table.forgotten.as_ref().is_some_and(|forgotten| forgotten.contains(&url_hash)) {
            return Some(false);
        }
        let mut now = Entries::new();
        table.each(url_hash, |_, slot| {
            if slot.key16() == key_hash & 0xffff {
                now.push(slot.entry());
            }
        });
        if now.len() != seen.len() || now.iter().any(|now| !seen.iter().any(|seen| seen.is(*now))) {
            return None;
        }
        table.remove_if(url_hash, |_, old| losers.iter().any(|loser| loser.is(old)));
        if let Some(entry) = entry {
            table.insert(url_hash, key_hash, entry);
        }
        Some(true)
    }

    /// Removes the entries of a URL that `f` names, given the low bits of their key's hash. While loading, the URL is remembered.
    pub(crate) fn remove_if(&self, url_hash: u64, f: impl FnMut(u64, Entry) -> bool) -> Entries {
        let Some(shard) = self.shard(url_hash) else { return Entries::new() };
        let mut table = shard.write();
        if let Some(forgotten) = &mut table.forgotten {
            forgotten.insert(url_hash);
        }
        table.remove_if(url_hash, f)
    }

    /// Removes one record's entry and nothing else.
    pub(crate) fn remove(&self, url_hash: u64, place: Entry) -> bool {
        self.shard(url_hash).is_some_and(|shard| !shard.write().remove_if(url_hash, |_, old| old.is(place)).is_empty())
    }

    /// Raises a record's mark; [`Mark::Dead`] removes it. Whether anything changed.
    pub(crate) fn raise(&self, url_hash: u64, place: Entry, mark: Mark) -> bool {
        let Some(shard) = self.shard(url_hash) else { return false };
        let mut table = shard.write();
        if mark == Mark::Dead {
            return !table.remove_if(url_hash, |_, old| old.is(place)).is_empty();
        }
        let mut raised = false;
        table.each(url_hash, |_, slot| {
            let old = slot.entry();
            if old.is(place) && old.mark() < mark {
                slot.place.store(old.with_mark(mark).0, Ordering::Relaxed);
                raised = true;
            }
        });
        raised
    }

    /// Counts a hit, up to three.
    pub(crate) fn bump(&self, url_hash: u64, place: Entry) {
        self.change(url_hash, place, |bits| (bits & HITS != HITS).then_some(bits.wrapping_add(HIT)));
    }

    /// Remembers that the body's sum was right.
    pub(crate) fn verify(&self, url_hash: u64, place: Entry) {
        self.change(url_hash, place, |bits| (bits & VERIFIED == 0).then_some(bits | VERIFIED));
    }

    fn change(&self, url_hash: u64, place: Entry, f: impl Fn(u64) -> Option<u64>) {
        let Some(shard) = self.shard(url_hash) else { return };
        shard.read().each(url_hash, |_, slot| {
            if slot.entry().is(place) {
                // Whoever loses a race loses a hint.
                let _ = slot.place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, &f);
            }
        });
    }

    /// Removes every entry of a segment by looking at all slots. For when its keys cannot be read.
    pub(crate) fn remove_slot(&self, segment_slot: u32) -> u64 {
        let mut removed = 0_u64;
        for shard in &self.shards {
            let mut table = shard.write();
            let stale: Vec<(u64, Entry)> = table
                .slots
                .iter()
                .filter(|slot| slot.is_used() && slot.entry().slot() == segment_slot)
                .map(|slot| (slot.url(), slot.entry()))
                .collect();
            for (url, entry) in stale {
                // The shard is known already, so the high bits are all of the hash that matters.
                removed += u64::from(!table.remove_if(url << (64 - URL_BITS), |_, old| old.is(entry)).is_empty());
            }
        }
        removed
    }

    /// From now on URLs that are written or removed are remembered, until [`Index::loaded`].
    pub(crate) fn loading(&self) {
        self.shards.iter().for_each(|shard| {
            shard.write().forgotten.get_or_insert_with(HashSet::new);
        });
    }

    /// Loading is over.
    pub(crate) fn loaded(&self) {
        self.shards.iter().for_each(|shard| shard.write().forgotten = None);
    }

    /// Entries.
    pub(crate) fn len(&self) -> u64 {
        self.shards.iter().map(|shard| u64::try_from(shard.read().len).unwrap_or(0)).sum()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> u64 {
        let slots: usize = self.shards.iter().map(|shard| shard.read().slots.len()).sum();
        u64::try_from(slots * size_of::<Slot>() + self.shards.len() * size_of::<RwLock<Table>>()).unwrap_or(u64::MAX)
    }

    /// Recomputes what the invariants say.
    #[cfg(test)]
    pub(crate) fn validate(&self) {
        for shard in &self.shards {
            let table = shard.read();
            let used = table.slots.iter().filter(|slot| slot.is_used()).count();
            assert_eq!(used, table.len);
            for slot in table.slots.iter().filter(|slot| slot.is_used()) {
                let mut found = 0;
                table.each(slot.url() << (64 - URL_BITS), |_, other| {
                    found += usize::from(other.entry().is(slot.entry()))
                });
                assert_eq!(found, 1, "a slot cannot be found, or twice");
            }
        }
    }
}

/// The shard's table, locked, with room for one entry more.
fn roomy(shard: &RwLock<Table>) -> RwLockWriteGuard<'_, Table> {
    let table = shard.upgradable_read();
    if !table.is_full() {
        return RwLockUpgradableReadGuard::upgrade(table);
    }
    let slots = table.grown();
    let mut table = RwLockUpgradableReadGuard::upgrade(table);
    table.slots = slots;
    table
}

/// Open addressing with linear probing; a hash's home is its share of the table, so that any size will do.
#[derive(Debug)]
struct Table {
    slots: Box<[Slot]>,
    len: usize,
    /// URLs written or removed since loading began.
    forgotten: Option<HashSet<u64>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// 48 bits of the URL's hash, 16 of the key's.
    hashes: u64,
    /// [`Entry`]; 0 in an empty slot.
    place: AtomicU64,
}

impl Slot {
    fn url(&self) -> u64 {
        self.hashes >> 16
    }
    fn key16(&self) -> u64 {
        self.hashes & 0xffff
    }
    fn entry(&self) -> Entry {
        Entry(self.place.load(Ordering::Relaxed))
    }
    fn is_used(&self) -> bool {
        self.place.load(Ordering::Relaxed) != 0
    }
}

impl Table {
    fn new() -> Self {
        Self { slots: Box::default(), len: 0, forgotten: None }
    }

    fn is_full(&self) -> bool {
        (self.len + 1) * 100 > self.slots.len() * 85
    }

    fn home(&self, url: u64) -> usize {
        let share = (u128::from(url) * u128::try_from(self.slots.len()).unwrap_or(0)) >> URL_BITS;
        usize::try_from(share).unwrap_or(0)
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 >= self.slots.len() { 0 } else { at + 1 }
    }

    /// Calls `f` with every slot of a URL's hash.
    fn each(&self, url_hash: u64, mut f: impl FnMut(usize, &Slot)) {
        let url = url_hash >> (64 - URL_BITS);
        let mut at = self.home(url);
        while let Some(slot) = self.slots.get(at).filter(|slot| slot.is_used()) {
            if slot.url() == url {
                f(at, slot);
            }
            at = self.after(at);
        }
    }

    /// Adds an entry; there is room.
    fn insert(&mut self, url_hash: u64, key_hash: u64, entry: Entry) {
        let url = url_hash >> (64 - URL_BITS);
        self.put(Slot { hashes: url << 16 | key_hash & 0xffff, place: AtomicU64::new(entry.0) });
        self.len += 1;
    }

    fn put(&mut self, slot: Slot) {
        let mut at = self.home(slot.url());
        while self.slots.get(at).is_some_and(Slot::is_used) {
            at = self.after(at);
        }
        if let Some(free) = self.slots.get_mut(at) {
            *free = slot;
        }
    }

    fn remove_if(&mut self, url_hash: u64, mut f: impl FnMut(u64, Entry) -> bool) -> Entries {
        let mut removed = Entries::new();
        self.each(url_hash, |_, slot| {
            if f(slot.key16(), slot.entry()) {
                removed.push(slot.entry());
            }
        });
        for entry in &removed {
            // Each removal moves slots, so each is looked for anew.
            let mut found = None;
            self.each(url_hash, |at, slot| {
                if slot.entry().is(*entry) {
                    found = Some(at);
                }
            });
            if let Some(at) = found {
                self.remove_at(at);
            }
        }
        removed
    }

    fn remove_at(&mut self, mut hole: usize) {
        let mut at = hole;
        loop {
            at = self.after(at);
            let Some(slot) = self.slots.get(at).filter(|slot| slot.is_used()) else { break };
            let home = self.home(slot.url());
            // It may fill the hole unless its home lies between the hole and itself.
            let stays = if hole < at { hole < home && home <= at } else { hole < home || home <= at };
            if !stays {
                self.slots.swap(hole, at);
                hole = at;
            }
        }
        if let Some(slot) = self.slots.get_mut(hole) {
            *slot = Slot::default();
        }
        self.len = self.len.saturating_sub(1);
    }

    /// A table a quarter larger with the same entries.
    fn grown(&self) -> Box<[Slot]> {
        let size = self.slots.len() + self.slots.len() / 4;
        let mut larger =
            Self { slots: std::iter::repeat_with(Slot::default).take(size.max(16)).collect(), len: 0, forgotten: None };
        for slot in self.slots.iter().filter(|slot| slot.is_used()) {
            larger.put(Slot { hashes: slot.hashes, place: AtomicU64::new(slot.place.load(Ordering::Relaxed)) });
        }
        larger.slots
    }
}
