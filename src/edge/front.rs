//! A thread's front: a direct-mapped table of handles to its hottest objects.
//!
//! A hit in it touches no lock and no count that another thread writes: the front owns one lease per object, and hits count that. What it
//! holds is validated by the object's own control word, so a purge needs no message to the fronts; dead entries leave when met, or within
//! one round of [`Fronts::sweep`].
//!
//! On a flat load a front only costs; it is probed while its hit rate pays, and tried again from time to time.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use parking_lot::Mutex;
use try_lock::TryLock;

use crate::entry::{EntryRef, Handle, Mark};
use crate::key::Key;

/// Handles in a front.
const SLOTS: usize = 1024;
/// Largest entry a front may hold, in bytes.
const MAX_WEIGHT: u64 = 16 << 10;
/// One lookup in so many that miss the front puts its entry there.
const FILL_ONE_IN: u32 = 64;
/// One front hit in so many counts as a use for S3-FIFO.
const TOUCH_ONE_IN: u32 = 64;
/// Probes after which the hit rate is looked at, and lookups for which a front that does not pay is left alone.
const SAMPLE: u32 = 4096;
const REST: u32 = 65_536;

/// The fronts of all threads that use one cache.
#[derive(Debug)]
pub(crate) struct Fronts {
    id: u64,
    max_weight: u64,
    locals: Mutex<Vec<Arc<Local>>>,
    /// Counts of threads that are gone.
    past: Counts,
}

/// What one thread keeps of one cache.
#[derive(Debug)]
pub(crate) struct Local {
    cache: u64,
    /// Taken by its thread for a probe and by [`Fronts::sweep`]; who does not get it goes on without.
    table: TryLock<Front>,
    pub(crate) counts: Counts,
}

/// Lookup counters. Each has one writer, its thread, so that counting is a plain load and store.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) hits: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) must_validate: AtomicU64,
}

impl Counts {
    #[inline]
    pub(crate) fn add(counter: &AtomicU64) {
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn merge(&self, other: &Self) {
        for (sum, part) in self.all().into_iter().zip(other.all()) {
            sum.fetch_add(part.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    fn all(&self) -> [&AtomicU64; 3] {
        [&self.hits, &self.stale, &self.must_validate]
    }
}

/// The hash of a key with a lease of its entry.
type Leased = Option<(u64, Arc<EntryRef>)>;

#[derive(Debug)]
struct Front {
    slots: Box<[Leased]>,
    tick: u32,
    probes: u32,
    hits: u32,
    /// Lookups still to go without a probe.
    rest: u32,
}

thread_local! {
    /// This thread's part of each cache it has used, the last used first.
    static LOCALS: RefCell<Vec<Arc<Local>>> = const { RefCell::new(Vec::new()) };
}

impl Fronts {
    pub(crate) fn new(capacity: u64) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(0);
        Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            // All of a front's entries together stay under 1/64 of the cache.
            max_weight: MAX_WEIGHT.min(capacity / 64 / SLOTS as u64),
            locals: Mutex::default(),
            past: Counts::default(),
        }
    }

    /// Runs `f` with this thread's part of the cache; `None` while the thread is being torn down.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&Local) -> R) -> Option<R> {
        LOCALS
            .try_with(|locals| {
                if let Ok(held) = locals.try_borrow()
                    && let Some(first) = held.first()
                    && first.cache == self.id
                {
                    return Some(f(first));
                }
                let local = self.enter(&mut *locals.try_borrow_mut().ok()?);
                Some(f(&local))
            })
            .ok()
            .flatten()
    }

    #[cold]
    fn enter(&self, locals: &mut Vec<Arc<Local>>) -> Arc<Local> {
        // Caches that are gone have let go of their part.
        locals.retain(|local| local.cache == self.id || Arc::strong_count(local) > 1);
        if let Some(at) = locals.iter().position(|local| local.cache == self.id) {
            locals.swap(0, at);
        } else {
            let local =
                Arc::new(Local { cache: self.id, table: TryLock::new(Front::new()), counts: Counts::default() });
            self.locals.lock().push(Arc::clone(&local));
            locals.insert(0, local);
        }
        Arc::clone(&locals[0])
    }

    /// Drops dead entries from all fronts, and the fronts of threads that are gone.
    pub(crate) fn sweep(&self) {
        let mut locals = self.locals.lock();
        locals.retain(|local| {
            let alive = Arc::strong_count(local) > 1;
            if !alive {
                self.past.merge(&local.counts);
            } else if let Some(mut front) = local.table.try_lock() {
                for slot in &mut front.slots {
                    slot.take_if(|(_, entry)| entry.control().load().1 == Mark::Dead);
                }
            }
            alive
        });
    }

    /// Sums of all threads' counters: hits, stale answers, answers to validate.
    pub(crate) fn counts(&self) -> [u64; 3] {
        let sum = Counts::default();
        let locals = self.locals.lock();
        sum.merge(&self.past);
        locals.iter().for_each(|local| sum.merge(&local.counts));
        sum.all().map(|counter| counter.load(Ordering::Relaxed))
    }
}

impl Drop for Fronts {
    fn drop(&mut self) {
        for local in self.locals.get_mut().drain(..) {
            // Its thread can hold it only inside a lookup, and then a handle of this cache.
            if let Some(mut front) = local.table.try_lock() {
                front.slots.fill(None);
            }
        }
    }
}

impl Local {
    /// The entry `request` selects under `key`, if it is in front.
    #[inline]
    pub(crate) fn probe(&self, key: &Key, request: &HeaderMap) -> Option<Handle> {
        let mut front = self.table.try_lock()?;
        if front.rest > 0 {
            front.rest -= 1;
            return None;
        }
        front.probes += 1;
        if front.probes >= SAMPLE {
            // Under one hit in eight a probe costs more than it saves.
            if front.hits < SAMPLE / 8 {
                front.rest = REST;
            }
            (front.probes, front.hits) = (0, 0);
        }
        front.tick = front.tick.wrapping_add(1);
        let touch = front.tick % TOUCH_ONE_IN == 0;
        let slot = &mut front.slots[key.hash() as usize % SLOTS];
        let (hash, entry) = slot.as_ref()?;
        if *hash != key.hash() || entry.key().text() != key.text() || !entry.vary().selects(request) {
            return None;
        }
        if entry.control().load().1 == Mark::Dead {
            *slot = None;
            return None;
        }
        if touch {
            entry.touch();
        }
        let handle = Handle::Leased(Arc::clone(entry));
        front.hits += 1;
        Some(handle)
    }

    /// Puts `entry` in front, once in [`FILL_ONE_IN`] calls.
    #[inline]
    pub(crate) fn offer(&self, fronts: &Fronts, hash: u64, entry: &EntryRef) {
        let Some(mut front) = self.table.try_lock() else { return };
        front.tick = front.tick.wrapping_add(1);
        if front.tick % FILL_ONE_IN == 0 && entry.weight() <= fronts.max_weight {
            front.slots[hash as usize % SLOTS] = Some((hash, Arc::new(entry.clone())));
        }
    }
}

impl Front {
    fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| None).collect(), tick: 0, probes: 0, hits: 0, rest: 0 }
    }
}
