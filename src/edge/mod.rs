//! The memory tier: shards, their index, the byte budget, and the threads' fronts.
//!
//! Every insertion and removal goes through here, so that table, queues, index and budget change together.

pub(crate) mod budget;
pub(crate) mod front;
pub(crate) mod ghost;
pub(crate) mod index;
pub(crate) mod leaving;
mod map;
pub(crate) mod queue;
pub(crate) mod shard;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use self::budget::{Budget, Charge};
use self::front::Fronts;
use self::index::{Index, Place};
use self::leaving::{Leaving, Outbox, Work};
use self::shard::{Shard, Table};
use crate::entry::EntryRef;
use crate::key::{Key, prefix_hash, url_of};
use crate::purge::Shape;
use crate::sync::{RwLockWriteGuard, point};

/// Evictions for one reservation after which the fronts are cleared of what was evicted.
const FRONT_ROUND: u32 = 64;

/// The memory tier of a cache.
#[derive(Debug)]
pub(crate) struct Edge {
    shards: Box<[Shard]>,
    /// Bits of a place that name the shard.
    shard_bits: u32,
    pub(crate) index: Index,
    pub(crate) budget: Arc<Budget>,
    pub(crate) fronts: Fronts,
    next_victim: AtomicUsize,
    pub(crate) evicted: AtomicU64,
    /// Where evicted entries go that are worth it, if there is a second tier.
    pub(crate) outbox: Option<Arc<Outbox>>,
}

impl Edge {
    /// `shards` must be a power of two up to 256.
    pub(crate) fn new(capacity: u64, shards: usize, outbox: Option<Arc<Outbox>>) -> Self {
        let budget = Budget::new(capacity);
        let edge = Self {
            shards: (0..shards).map(|_| Shard::new()).collect(),
            shard_bits: shards.trailing_zeros(),
            index: Index::new(),
            fronts: Fronts::new(capacity),
            budget,
            next_victim: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
            outbox,
        };
        edge.budget.force(edge.index.bytes() as i64);
        edge
    }

    pub(crate) fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The shard of all keys with this URL part.
    #[inline]
    pub(crate) fn shard(&self, url_hash: u64) -> &Shard {
        &self.shards[self.shard_index(url_hash)]
    }

    fn shard_index(&self, url_hash: u64) -> usize {
        // The top bits: the shard's own table tells its buckets by lower ones.
        (url_hash >> 56) as usize & (self.shards.len() - 1)
    }

    /// The entries of a shape that names a URL or a key: found by hash, in no time. `None` for every other shape.
    pub(crate) fn direct(&self, shape: &Shape) -> Option<Vec<EntryRef>> {
        match shape {
            Shape::Url(url) => {
                let hash = prefix_hash(url);
                Some(self.shard(hash).table.read().of_url(hash, url).cloned().collect())
            }
            Shape::Key(key) | Shape::Variant { key, .. } => {
                let table = self.shard(prefix_hash(url_of(key))).table.read();
                Some(table.of_key(prefix_hash(key), key).cloned().collect())
            }
            _ => None,
        }
    }

    /// Shard and slot of a place.
    pub(crate) fn at(&self, place: Place) -> (usize, u32) {
        (place as usize & (self.shards.len() - 1), place >> self.shard_bits)
    }

    /// Where `entry` is, or was.
    pub(crate) fn place_of(&self, entry: &EntryRef) -> Place {
        (entry.slot() << self.shard_bits) | self.shard_index(entry.key().url_hash()) as u32
    }

    /// Takes `bytes` from the budget, evicting what S3-FIFO gives up, the shard of `near` first. `None` if there is nothing left to evict.
    pub(crate) fn reserve(&self, bytes: u64, near: u64) -> Option<Charge> {
        if bytes > self.budget.capacity() {
            return None;
        }
        let mut shard = self.shard_index(near);
        let (mut empty, mut evicted) = (0, 0_u32);
        loop {
            if let Some(charge) = self.budget.try_charge(bytes) {
                return Some(charge);
            }
            if self.evict_one(shard) {
                empty = 0;
                evicted += 1;
                // What threads' fronts still hold is not free yet.
                if evicted % FRONT_ROUND == 0 && self.budget.pinned() > 0 {
                    self.fronts.sweep();
                }
            } else {
                empty += 1;
                shard = self.next_victim.fetch_add(1, Ordering::Relaxed) & (self.shards.len() - 1);
                if empty > 2 * self.shards.len() {
                    self.fronts.sweep();
                    // Nothing is stored any more: readers and fills hold the rest.
                    return self.budget.try_charge(bytes);
                }
            }
        }
    }

    /// Evicts until the budget is kept, the shard of `near` first; structures may have grown past it.
    pub(crate) fn settle(&self, near: u64) {
        if self.budget.used() > self.budget.capacity() {
            drop(self.reserve(0, near));
        }
    }

    fn evict_one(&self, shard: usize) -> bool {
        let mut table = self.shards[shard].table.write();
        let Some(victim) = table.victim() else { return false };
        if let Some(outbox) = &self.outbox {
            self.see_off(&mut table, &victim, shard, outbox);
        }
        self.unlink(&mut table, &victim);
        self.evicted.fetch_add(1, Ordering::Relaxed);
        drop(table);
        drop(victim);
        true
    }

    /// Evicts the next in line of the first shard; false if there is none.
    #[cfg(any(test, oust_shuttle))]
    pub(crate) fn evict_any(&self) -> bool {
        self.evict_one(0)
    }

    /// Sends an entry that is about to be evicted on its way to the second tier, if it is worth it.
    fn see_off(&self, table: &mut Table, victim: &EntryRef, shard: usize, outbox: &Outbox) {
        // Before the control word: what it vouches for was judged before.
        let swept = self.shards[shard].swept_upto.load(Ordering::Acquire);
        let Some(leaving) = Leaving::of(victim, swept).map(Arc::new) else { return };
        if outbox.push(Work::Leaving(Arc::clone(&leaving))) {
            table.leaving.insert_unique(entry_hash(victim), leaving, |leaving| entry_hash(&leaving.entry));
            self.recharge(table);
        }
    }

    /// Inserts `entry` under the shard's lock, in the index first: a sweep that finds no trace of it there has been waited for.
    pub(crate) fn link(&self, table: &mut RwLockWriteGuard<'_, Table>, key: &Key, entry: &EntryRef) {
        let slot = table.reserve_slot();
        let place = (slot << self.shard_bits) | self.shard_index(key.url_hash()) as u32;
        let (handle, grew) = self.index.insert(entry.key(), entry.tags(), place);
        self.budget.force(grew);
        point("link:indexed");
        table.insert(key.hash(), key.url_hash(), slot, handle, entry.clone());
        self.recharge(table);
    }

    /// Removes `entry` under its shard's lock: dead from now on. Whether it was in the table.
    pub(crate) fn unlink(&self, table: &mut Table, entry: &EntryRef) -> bool {
        let url_hash = entry.key().url_hash();
        let Some(handle) = table.remove(entry.key().hash_under(url_hash), url_hash, entry) else { return false };
        let grew = self.index.remove(entry.key(), entry.tags(), handle);
        self.budget.force(grew);
        true
    }

    /// Charges what the table's own structures grew.
    pub(crate) fn recharge(&self, table: &mut Table) {
        let now = table.overhead();
        if now != table.charged {
            self.budget.force(now as i64 - table.charged as i64);
            table.charged = now;
        }
    }

    /// Whether the table can hold no further entry: places have 32 bits.
    pub(crate) fn is_full(&self, table: &Table) -> bool {
        table.len() >> (32 - self.shard_bits) != 0
    }

    /// Locks the shard of `key` for writing.
    pub(crate) fn lock(&self, key: &Key) -> RwLockWriteGuard<'_, Table> {
        self.shard(key.url_hash()).table.write()
    }

    pub(crate) fn objects(&self) -> u64 {
        self.shards.iter().map(|shard| shard.table.read().len() as u64).sum()
    }

    pub(crate) fn fills(&self) -> u64 {
        self.shards.iter().map(|shard| shard.table.read().fills.len() as u64).sum()
    }

    /// Checks every invariant of the tier that can be recomputed.
    #[cfg(any(test, fuzzing, oust_shuttle))]
    pub(crate) fn validate(&self) -> Result<(), String> {
        let mut objects = 0;
        for shard in &self.shards {
            let table = shard.table.read();
            table.validate()?;
            objects += table.len();
        }
        let indexed = self.index.validate()?;
        if indexed != objects {
            return Err(format!("{objects} objects, {indexed} indexed"));
        }
        Ok(())
    }
}

/// The hash under which an entry is in its table.
pub(crate) fn entry_hash(entry: &EntryRef) -> u64 {
    let key = entry.key();
    key.hash_under(key.url_hash())
}
