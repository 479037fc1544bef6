//! A thread's front: a direct-mapped table of handles to its hottest objects.
//!
//! A hit in it touches no lock and no count that another thread writes: the front owns one lease per object, and hits count that. What it
//! holds is validated by the object's own control word, so a purge needs no message to the fronts; dead entries leave when met, or within
//! one round of [`Fronts::sweep`].
//!
//! On a flat load a front only costs; it is probed while its hit rate pays, and tried again from time to time.
//!
//! A thread reaches its part of a cache by one load from a thread-local cell. Parts are therefore never freed: they go to a pool when both the
//! thread and the cache have let go of them, and are used again.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use parking_lot::Mutex as PlainMutex;
use try_lock::TryLock;

use crate::entry::{EntryRef, Handle, Mark};
use crate::key::Key;
use crate::sync::{AtomicU8, Mutex, thread_local};

/// Handles in a front.
const SLOTS: usize = if cfg!(oust_shuttle) { 16 } else { 1024 };
/// Largest entry a front may hold, in bytes.
const MAX_WEIGHT: u64 = 16 << 10;
/// One lookup in so many that miss the front puts its entry there.
const FILL_ONE_IN: u32 = if cfg!(oust_shuttle) { 1 } else { 64 };
/// Probes after which the hit rate is looked at, and lookups for which a front that does not pay is left alone.
const SAMPLE: u32 = 4096;
const REST: u32 = 65_536;

/// The fronts of all threads that use one cache.
#[derive(Debug)]
pub(crate) struct Fronts {
    id: u64,
    max_weight: u64,
    locals: Mutex<Vec<&'static Local>>,
    /// Hits of threads that are gone.
    past: AtomicU64,
}

/// What one thread keeps of one cache.
#[derive(Debug)]
pub(crate) struct Local {
    /// The cache; no id is used twice.
    cache: AtomicU64,
    /// Who has let go: [`THREAD`], [`CACHE`]. Whoever is second gives it to the pool.
    gone: AtomicU8,
    /// Taken by its thread for a probe and by [`Fronts::sweep`]; who does not get it goes on without.
    table: TryLock<Front>,
    /// Fresh hits. One writer, its thread, so that counting is a plain load and store.
    hits: AtomicU64,
}

const THREAD: u8 = 1;
const CACHE: u8 = 2;

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

/// Parts nobody uses.
static POOL: PlainMutex<Vec<&'static Local>> = PlainMutex::new(Vec::new());

thread_local! {
    /// This thread's part of the cache it used last.
    static CURRENT: Cell<Option<&'static Local>> = const { Cell::new(None) };
    /// Its parts of all caches, let go of when it ends.
    static HELD: Held = const { Held(RefCell::new(Vec::new())) };
}

struct Held(RefCell<Vec<&'static Local>>);

impl Drop for Held {
    fn drop(&mut self) {
        CURRENT.try_with(|current| current.set(None)).unwrap_or_default();
        for local in self.0.get_mut().drain(..) {
            local.let_go(THREAD);
        }
    }
}

impl Fronts {
    pub(crate) fn new(capacity: u64) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(1);
        Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            // All of a front's entries together stay under 1/64 of the cache.
            max_weight: MAX_WEIGHT.min(capacity / 64 / SLOTS as u64),
            locals: Mutex::default(),
            past: AtomicU64::new(0),
        }
    }

    /// This thread's part of the cache; `None` while the thread is being torn down.
    #[inline(always)]
    pub(crate) fn local(&self) -> Option<&'static Local> {
        match CURRENT.with(Cell::get) {
            Some(local) if local.cache.load(Ordering::Relaxed) == self.id => Some(local),
            _ => self.enter(),
        }
    }

    #[cold]
    #[inline(never)]
    fn enter(&self) -> Option<&'static Local> {
        HELD.try_with(|held| {
            let mut held = held.0.try_borrow_mut().ok()?;
            // What its cache has let go of is given back here.
            held.retain(|local| {
                let keep = local.gone.load(Ordering::Acquire) & CACHE == 0;
                if !keep {
                    local.let_go(THREAD);
                }
                keep
            });
            let known = held.iter().find(|local| local.cache.load(Ordering::Relaxed) == self.id);
            let local = known.copied().unwrap_or_else(|| {
                let local = Local::take(self.id);
                self.locals.lock().push(local);
                held.push(local);
                local
            });
            CURRENT.with(|current| current.set(Some(local)));
            Some(local)
        })
        .ok()
        .flatten()
    }

    /// Drops dead entries from all fronts, and lets go of those of threads that are gone.
    pub(crate) fn sweep(&self) {
        self.locals.lock().retain(|local| {
            let keep = local.gone.load(Ordering::Acquire) & THREAD == 0;
            if keep {
                local.clear(|entry| entry.control().load().1 == Mark::Dead);
            } else {
                self.past.fetch_add(local.hits.load(Ordering::Relaxed), Ordering::Relaxed);
                local.let_go(CACHE);
            }
            keep
        });
    }

    /// Fresh hits of all threads.
    pub(crate) fn hits(&self) -> u64 {
        let locals = self.locals.lock();
        let present: u64 = locals.iter().map(|local| local.hits.load(Ordering::Relaxed)).sum();
        self.past.load(Ordering::Relaxed) + present
    }
}

impl Drop for Fronts {
    fn drop(&mut self) {
        for local in self.locals.get_mut().drain(..) {
            local.clear(|_| true);
            local.let_go(CACHE);
        }
    }
}

impl Local {
    /// One from the pool, or a new one.
    fn take(cache: u64) -> &'static Self {
        let local = POOL.lock().pop().unwrap_or_else(|| {
            Box::leak(Box::new(Self {
                cache: AtomicU64::new(0),
                gone: AtomicU8::new(0),
                table: TryLock::new(Front::new()),
                hits: AtomicU64::new(0),
            }))
        });
        local.hits.store(0, Ordering::Relaxed);
        local.gone.store(0, Ordering::Relaxed);
        local.cache.store(cache, Ordering::Relaxed);
        local
    }

    fn let_go(&'static self, who: u8) {
        if who == THREAD {
            self.clear(|_| true);
        }
        if self.gone.fetch_or(who, Ordering::AcqRel) == (THREAD | CACHE) & !who {
            // Again, now that nobody else has it: a sweep may have held the table just now, and the next cache must not find what this one stored, nor
            // rest because this one's load was flat.
            self.renew();
            self.cache.store(0, Ordering::Relaxed);
            POOL.lock().push(self);
        }
    }

    fn clear(&self, gone: impl Fn(&EntryRef) -> bool) {
        if let Some(mut front) = self.table.try_lock() {
            for slot in &mut front.slots {
                slot.take_if(|(_, entry)| gone(entry));
            }
        }
    }

    /// As it was when it was made.
    fn renew(&self) {
        self.clear(|_| true);
        if let Some(mut front) = self.table.try_lock() {
            (front.tick, front.probes, front.hits, front.rest) = (0, 0, 0, 0);
        }
    }

    /// Counts a fresh hit.
    #[inline(always)]
    pub(crate) fn count_hit(&self) {
        self.hits.store(self.hits.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// The entry `request` selects under `key`, if it is in front.
    #[inline(always)]
    pub(crate) fn probe(&self, key: &Key, request: &HeaderMap) -> Option<Handle> {
        let mut front = self.table.try_lock()?;
        if front.rest > 0 {
            front.rest -= 1;
            return None;
        }
        front.probes += 1;
        if front.probes >= SAMPLE {
            // Under one hit in two a probe costs more than it saves.
            if front.hits < SAMPLE / 2 {
                front.rest = REST;
            }
            (front.probes, front.hits) = (0, 0);
        }
        let slot = &mut front.slots[key.hash() as usize % SLOTS];
        let (hash, entry) = slot.as_ref()?;
        if *hash != key.hash() || entry.key().text() != key.text() || !entry.vary().selects(request) {
            return None;
        }
        if entry.control().load().1 == Mark::Dead {
            *slot = None;
            return None;
        }
        entry.touch();
        let handle = Handle::Leased(Arc::clone(entry));
        front.hits += 1;
        Some(handle)
    }

    /// Puts `entry` in front, once in [`FILL_ONE_IN`] calls.
    #[inline]
    pub(crate) fn offer(&self, fronts: &Fronts, hash: u64, entry: &EntryRef) {
        let Some(mut front) = self.table.try_lock() else { return };
        front.tick = front.tick.wrapping_add(1);
        if front.tick.is_multiple_of(FILL_ONE_IN) && entry.weight() <= fronts.max_weight {
            front.slots[hash as usize % SLOTS] = Some((hash, Arc::new(entry.clone())));
        }
    }
}

impl Front {
    fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| None).collect(), tick: 0, probes: 0, hits: 0, rest: 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;
    use crate::freshness::Freshness;
    use crate::{Config, Fetch, Head, Lookup};

    /// A sweep that looks for dead entries while a thread ends must not leave live ones to the cache that uses its part next.
    #[test]
    fn a_part_that_goes_to_the_pool_is_empty() {
        let cache = Config::new().edge_size(64 << 20).background_sweep(false).build().unwrap();
        let key = Key::parse(b"http://pooled/").unwrap();
        let none = HeaderMap::new();
        let Fetch::Lead(ticket) = cache.fetch(&key, &none, None) else { panic!("leads") };
        let fresh = Freshness::fresh_for(Duration::from_secs(60));
        ticket.store(Head::new(StatusCode::OK, HeaderMap::new()), "x".into(), fresh, &[]);
        let Lookup::Hit(hit) = cache.lookup(&key, &none) else { panic!("hits") };
        let fronts = Fronts::new(64 << 20);
        let local = Local::take(fronts.id);
        let offer = || (0..FILL_ONE_IN).for_each(|_| local.offer(&fronts, key.hash(), hit.entry()));
        // A cache that used the part before had a flat load.
        local.table.try_lock().unwrap().rest = REST;
        offer();
        assert!(local.probe(&key, &none).is_none());
        local.renew();
        offer();
        assert!(local.probe(&key, &none).is_some(), "the next cache's thread goes without its front");
        let sweeping = local.table.try_lock().unwrap();
        local.let_go(THREAD);
        drop(sweeping);
        local.let_go(CACHE);
        assert!(local.probe(&key, &none).is_none(), "another cache finds what was stored in this one");
    }
}
