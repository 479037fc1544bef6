//! One shard of the memory tier: the table of its entries and their S3-FIFO queues, under one lock.
//!
//! All variations and variants of a URL are in the shard its URL part hashes to, so that every question about a URL is answered under one lock.
//!
//! Invariants, recomputed by [`Table::validate`]:
//!
//! 1. An entry is in the map iff it has a slot, iff it is linked in exactly one queue, iff the index has a handle for it.
//! 2. `small_bytes + main_bytes` is the sum of the linked entries' weights.
//! 3. `swept_upto` (I1): every entry in the table has been judged against every rule up to it, by itself or by a sweep.
//! 4. What leaves the table is marked dead before the lock is released.
//!
//! Lock order: shard, then index stripe. No two shards at once.

use std::hash::RandomState;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet, HashTable};
use http::HeaderMap;

use super::ghost::Ghost;
use super::leaving::Leaving;
use super::map::Map;
use super::queue::{Links, Queue};
use crate::entry::EntryRef;
use crate::fill::Fill;
use crate::key::Key;
use crate::sync::{AtomicU64, RwLock};
use crate::vary::VaryRef;

/// Most variants stored under one key; a further one takes the place of the oldest.
pub(crate) const MAX_VARIANTS: usize = 64;

/// The small queue is meant to hold one byte in so many. A twentieth found more than a tenth or a fifth on mixed traces.
const SMALL_SHARE: u64 = 20;

/// Most entries that are moved in the queues to find one to evict.
const MAX_MOVES: usize = 128;

/// A shard, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Shard {
    pub(crate) swept_upto: AtomicU64,
    pub(crate) table: RwLock<Table>,
}

impl Shard {
    pub(crate) fn new() -> Self {
        Self { swept_upto: AtomicU64::new(0), table: RwLock::new(Table::default()) }
    }
}

/// Slots of one URL's variations.
type Variations = HashSet<u32, RandomState>;

/// Place of an entry in the slab.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) entry: Option<EntryRef>,
    pub(crate) links: Links,
    /// The index's handle.
    pub(crate) handle: u32,
}

/// What the shard lock guards.
#[derive(Debug, Default)]
pub(crate) struct Table {
    map: Map,
    /// Slots of entries under a variation, by the hash of their URL part: a purge of the URL takes them all.
    variations: HashMap<u64, Variations, RandomState>,
    variations_bytes: usize,
    slab: Vec<Slot>,
    free: Vec<u32>,
    small: Queue,
    main: Queue,
    ghost: Ghost,
    /// Fills in flight, by the hash of their key.
    pub(crate) fills: HashTable<Arc<Fill>>,
    /// Evicted entries on their way to the second tier, by the hash of their key.
    pub(crate) leaving: HashTable<Arc<Leaving>>,
    /// Bytes of the structures above as last charged to the budget.
    pub(crate) charged: u64,
}

/// What [`Table::find`] found.
pub(crate) enum Found<'a> {
    Entry(&'a EntryRef),
    /// Variants are stored, but the request selects none.
    NoVariant,
    Nothing,
}

impl Table {
    /// The entry `request` selects under `key`. O(variants).
    #[inline]
    pub(crate) fn find(&self, key: &Key, request: &HeaderMap) -> Found<'_> {
        let mut variants = false;
        let found = self.map.find(key.hash(), |entry| {
            entry.key().text() == key.text() && !entry.is_uncacheable() && {
                let vary = entry.vary();
                vary.is_empty() || {
                    variants = true;
                    vary.selects(request)
                }
            }
        });
        match found {
            Some(entry) => Found::Entry(entry),
            None if variants => Found::NoVariant,
            None => Found::Nothing,
        }
    }

    /// The uncacheable mark of `key`.
    pub(crate) fn find_uncacheable(&self, key: &Key) -> Option<&EntryRef> {
        self.map.find(key.hash(), |entry| entry.is_uncacheable() && entry.key().text() == key.text())
    }

    /// Every entry under the whole key `text`, which hashes to `hash`.
    pub(crate) fn of_key<'a>(&'a self, hash: u64, text: &'a [u8]) -> impl Iterator<Item = &'a EntryRef> {
        self.map.under(hash).filter(move |entry| entry.key().text() == text)
    }

    /// Every entry of a URL part, which hashes to `hash`: all variations, all variants.
    pub(crate) fn of_url<'a>(&'a self, hash: u64, url: &'a [u8]) -> impl Iterator<Item = &'a EntryRef> {
        let varied = self.variations.get(&hash).into_iter().flat_map(|slots| slots.iter());
        let varied = varied.filter_map(|slot| self.in_slot(*slot));
        self.map.under(hash).chain(varied).filter(move |entry| entry.key().url() == url)
    }

    /// Entries that an entry with this key and these `Vary` selectors replaces: the same variant, and all that vary on other fields (the
    /// newest response's list is the key's). At the cap the oldest goes too.
    pub(crate) fn replaced_by(&self, hash: u64, text: &[u8], vary: VaryRef<'_>, uncacheable: bool) -> Vec<EntryRef> {
        let same =
            |e: &&EntryRef| e.is_uncacheable() || (!uncacheable && (!e.vary().same_fields(vary) || e.vary() == vary));
        let mut gone: Vec<EntryRef> = self.of_key(hash, text).filter(same).cloned().collect();
        let stay = self.of_key(hash, text).filter(|e| !same(e));
        let (count, oldest) = stay.fold((0, None::<&EntryRef>), |(count, oldest), e| {
            let older = oldest.is_none_or(|oldest| e.deadlines().born < oldest.deadlines().born);
            (count + 1, if older { Some(e) } else { oldest })
        });
        if count >= MAX_VARIANTS {
            gone.extend(oldest.cloned());
        }
        gone
    }

    /// A free slot for an entry that is about to be inserted: known to the index before the table knows the entry.
    pub(crate) fn reserve_slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slab.push(Slot { entry: None, links: Links::default(), handle: u32::MAX });
            (self.slab.len() - 1) as u32
        })
    }

    /// Links `entry` under `slot`, in the main queue if it was evicted not long ago.
    pub(crate) fn insert(&mut self, hash: u64, url_hash: u64, slot: u32, handle: u32, entry: EntryRef) {
        let weight = entry.weight();
        entry.set_slot(slot);
        let queue = if self.ghost.take(hash) {
            entry.set_in_main();
            &mut self.main
        } else {
            &mut self.small
        };
        let place = &mut self.slab[slot as usize];
        place.handle = handle;
        place.entry = Some(entry.clone());
        queue.push(&mut self.slab, slot, weight);
        if entry.key().variation().is_some() {
            let slots = self.variations.entry(url_hash).or_default();
            self.variations_bytes -= slots.allocation_size();
            slots.insert(slot);
            self.variations_bytes += slots.allocation_size();
        }
        self.map.insert(hash, entry);
    }

    /// Unlinks `entry` and marks it dead; its index handle. `None` if it is not in the table.
    pub(crate) fn remove(&mut self, hash: u64, url_hash: u64, entry: &EntryRef) -> Option<u32> {
        let slot = entry.slot();
        let place = self.slab.get_mut(slot as usize)?;
        place.entry.take_if(|held| held.same(entry))?;
        let handle = place.handle;
        let queue = if entry.in_main() { &mut self.main } else { &mut self.small };
        queue.remove(&mut self.slab, slot, entry.weight());
        self.free.push(slot);
        if entry.key().variation().is_some()
            && let Some(slots) = self.variations.get_mut(&url_hash)
        {
            self.variations_bytes -= slots.allocation_size();
            slots.remove(&slot);
            if slots.is_empty() {
                self.variations.remove(&url_hash);
            } else {
                self.variations_bytes += slots.allocation_size();
            }
        }
        self.map.remove(hash, entry);
        entry.unlink();
        Some(handle)
    }

    /// The entry in `slot`.
    pub(crate) fn in_slot(&self, slot: u32) -> Option<&EntryRef> {
        self.slab.get(slot as usize)?.entry.as_ref()
    }

    /// The entry S3-FIFO gives up next, still linked. Amortised O(1): each pass over an entry was paid for by a hit. After [`MAX_MOVES`] the next
    /// in line goes whatever its uses, so that the lock is not held for a walk over all of them.
    pub(crate) fn victim(&mut self) -> Option<EntryRef> {
        let mut moves = 0;
        loop {
            moves += 1;
            let small_is_over = self.small.bytes() * SMALL_SHARE >= self.small.bytes() + self.main.bytes();
            let from_small = !self.small.is_empty() && (small_is_over || self.main.is_empty());
            let queue = if from_small { &mut self.small } else { &mut self.main };
            let slot = queue.front()?;
            let entry = self.slab[slot as usize].entry.clone()?;
            let frequency = entry.frequency();
            let weight = entry.weight();
            if from_small {
                if frequency < 2 || moves > MAX_MOVES {
                    self.ghost.add(self.slab.len(), crate::edge::entry_hash(&entry));
                    return Some(entry);
                }
                // Used again while in the small queue: it moves up with a clean count.
                self.small.remove(&mut self.slab, slot, weight);
                entry.set_in_main();
                entry.set_frequency(0);
                self.main.push(&mut self.slab, slot, weight);
            } else {
                if frequency == 0 || moves > MAX_MOVES {
                    return Some(entry);
                }
                entry.set_frequency(frequency - 1);
                self.main.remove(&mut self.slab, slot, weight);
                self.main.push(&mut self.slab, slot, weight);
            }
        }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// All entries. O(slots).
    #[cfg(any(test, fuzzing, oust_shuttle))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &EntryRef> {
        self.slab.iter().filter_map(|slot| slot.entry.as_ref())
    }

    /// Bytes of the table's own structures.
    pub(crate) fn overhead(&self) -> u64 {
        (self.map.bytes()
            + self.variations.allocation_size()
            + self.variations_bytes
            + self.slab.capacity() * size_of::<Slot>()
            + self.free.capacity() * size_of::<u32>()
            + self.fills.allocation_size()
            + self.leaving.allocation_size()
            + self.ghost.bytes()) as u64
    }

    /// Recomputes invariants 1 and 2.
    #[cfg(any(test, fuzzing, oust_shuttle))]
    pub(crate) fn validate(&self) -> Result<(), String> {
        self.map.validate()?;
        let mut seen = 0;
        for (queue, main) in [(&self.small, false), (&self.main, true)] {
            let mut bytes = 0;
            for slot in queue.iter(&self.slab) {
                let entry = self.slab[slot as usize].entry.as_ref().ok_or("a queue holds an empty slot")?;
                if entry.slot() != slot || entry.in_main() != main {
                    return Err(format!("{entry:?} does not know its place"));
                }
                if !self.map.under(crate::edge::entry_hash(entry)).any(|held| held.same(entry)) {
                    return Err(format!("{entry:?} is queued but not in the map"));
                }
                bytes += entry.weight();
                seen += 1;
            }
            if bytes != queue.bytes() {
                return Err(format!("queue says {} bytes, holds {bytes}", queue.bytes()));
            }
        }
        let varied = self.iter().filter(|entry| entry.key().variation().is_some()).count();
        if seen != self.map.len() || varied != self.variations.values().map(HashSet::len).sum::<usize>() {
            return Err(format!(
                "{seen} queued, {} in the map, {varied}/{} varied",
                self.map.len(),
                self.variations.len()
            ));
        }
        Ok(())
    }
}
