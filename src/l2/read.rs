//! Lookups that go on into the second tier, and promotion to the first.
//!
//! Load order as in the memory tier (G1): snapshot, `swept_upto`, index entry with its mark.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use http::HeaderMap;

use super::{L2, LARGE};
use crate::cache::{Engine, Lookup, Reason, decide};
use crate::disk::store::{Candidate, Meta, ReadError, Record, Store};
use crate::entry::{Body, Deadlines, Deep, EntryRef, Handle, Mark, Parts, TICKS, Tick};
use crate::key::Key;
use crate::purge::{Snapshot, Subject, TagsRef};
use crate::sync::{Condvar, Mutex, point};
use crate::vary::VaryRef;

/// Bodies up to this length are copied out of the map: a view costs more.
const COPIED: usize = 2048;

/// Bodies up to this length are promoted by the lookup that finds them; longer ones by a thread of the pool.
const PROMOTED_AT_ONCE: usize = 64 << 10;

/// Hits after which a record is promoted.
const PROMOTE_AT: u8 = 2;

impl Engine {
    /// Goes on where the memory tier has nothing: a hit if the record can be read without waiting, [`Lookup::Deferred`] if it cannot.
    #[cold]
    #[inline(never)]
    pub(crate) fn look_deeper(self: &Arc<Self>, key: &Key, request: &HeaderMap, missed: Reason) -> Lookup {
        let Some(l2) = &self.l2 else { return self.missed(missed) };
        if let Some(found) = self.read_record(l2, key, request, missed, Store::read_warm) {
            return found;
        }
        let deferred = Deferred::new();
        let (engine, promise, key, request) = (Arc::clone(self), deferred.promise(), key.clone(), request.clone());
        let job = move || {
            if let Some(l2) = &engine.l2 {
                let wait = |store: &Store, candidate: &Candidate| store.read(candidate).map(Some);
                let found = engine.read_record(l2, &key, &request, missed, wait);
                promise.keep(found.unwrap_or_else(|| engine.missed(missed)));
            }
        };
        if l2.pool.submit(job) {
            l2.counters.cold.fetch_add(1, Ordering::Relaxed);
            Lookup::Deferred(deferred)
        } else {
            l2.counters.busy.fetch_add(1, Ordering::Relaxed);
            self.missed(missed)
        }
    }

    /// Finds, reads and judges the record that `request` selects; `None` as soon as `read` gives none.
    fn read_record(
        self: &Arc<Self>,
        l2: &L2,
        key: &Key,
        request: &HeaderMap,
        mut missed: Reason,
        read: impl Fn(&Store, &Candidate) -> Result<Option<Record>, ReadError>,
    ) -> Option<Lookup> {
        let snapshot = self.rules.load();
        let swept = l2.swept_upto.load(Ordering::Acquire);
        point("l2:swept-loaded");
        for candidate in l2.store.find(key.url_hash(), key.hash()) {
            point("l2:entry-loaded");
            let record = match read(&l2.store, &candidate) {
                Ok(record) => record?,
                Err(error) => {
                    l2.counters.read_errors.fetch_add(1, Ordering::Relaxed);
                    if matches!(error, ReadError::Damaged) {
                        // It has left the index: a restart must not bring it back, judged by nobody since.
                        l2.bury(&[candidate.id]);
                    }
                    continue;
                }
            };
            if record.key() != key.text() {
                continue;
            }
            let vary = VaryRef::from_stored(record.vary());
            if !vary.selects(request) {
                missed = Reason::VaryMiss;
                continue;
            }
            let effective = record.meta().seq.max(swept);
            let Some((mark, soft_at)) = self.judge_record(key, &record, &candidate, effective, &snapshot) else {
                missed = Reason::PurgedDelete;
                continue;
            };
            let Some(entry) = self.entry_of(key, &record, mark, soft_at, snapshot.seq) else {
                missed = Reason::NoRoom;
                continue;
            };
            if !record.is_intact() {
                continue;
            }
            let handle =
                Handle::Deep(Arc::new(Deep { entry, record: candidate, segment: Arc::clone(record.segment()) }));
            let found = decide(handle, mark, self.now());
            self.count_lookup(&found);
            l2.counters.hits.fetch_add(1, Ordering::Relaxed);
            l2.store.bump_hit(&candidate);
            if candidate.hits.saturating_add(1) >= PROMOTE_AT {
                self.promote(l2, key, candidate, record);
            }
            return Some(found);
        }
        Some(self.missed(missed))
    }

    /// The mark of a record judged by every rule of `snapshot`, with the moment its freshness ended if that is soft; `None` if it is dead.
    pub(super) fn judge_record(
        &self,
        key: &Key,
        record: &Record,
        candidate: &Candidate,
        effective: u64,
        snapshot: &Snapshot,
    ) -> Option<(Mark, Tick)> {
        let soft_ms = candidate.mark_at_ms.unwrap_or_else(|| record.meta().soft_at_ms);
        let (mut mark, mut soft_at) = (candidate.mark, self.tick_of_signed(soft_ms));
        if effective < snapshot.lwm {
            // Cannot be: I2. Refusing is the safe answer.
            return None;
        }
        let tags = TagsRef::from_stored(record.tags());
        let gates = &self.rules.gates;
        let mut gate = gates.of_key(key.gates());
        if !tags.is_empty() {
            gate = gate.max(gates.of_tags(tags.iter(), gate));
        }
        if gate > effective {
            let subject = Subject { key: key.as_ref(), vary: Some(VaryRef::from_stored(record.vary())), tags };
            if let Some((action, seq)) = snapshot.judge(&subject, effective).l2 {
                if Mark::from(action) == Mark::Soft {
                    let first = snapshot.first_soft(&subject, effective, seq, |verdict| verdict.l2);
                    soft_at = soft_at.min(self.softened_at(first));
                }
                mark = mark.max(action.into());
            }
        }
        (mark != Mark::Dead).then_some((mark, soft_at))
    }

    /// A record as an entry that is in no table, judged up to `stamp`; its body is a view of the record.
    fn entry_of(&self, key: &Key, record: &Record, mark: Mark, soft_at: Tick, stamp: u64) -> Option<EntryRef> {
        let bytes = record.body();
        let body = if bytes.len() <= COPIED { Body::Inline(&bytes) } else { Body::Chunks(vec![bytes.clone()]) };
        let parts = parts(key, record, body, self.deadlines_of(record.meta()));
        if !parts.fits() {
            return None;
        }
        let charge = self.edge.reserve(parts.weight().0, key.url_hash())?;
        let entry = EntryRef::new(parts, stamp, charge);
        entry.judge(stamp, mark, soft_at);
        Some(entry)
    }

    pub(super) fn deadlines_of(&self, meta: &Meta) -> Deadlines {
        Deadlines {
            born: self.tick_of_signed(meta.born_ms),
            fresh_until: self.tick_of_signed(meta.fresh_until_ms),
            while_revalidate: meta.stale_while_revalidate_s,
            if_error: meta.stale_if_error_s,
            must_revalidate: meta.must_revalidate,
            no_cache: meta.no_cache,
        }
    }

    /// Copies a record that was asked for again into the memory tier.
    fn promote(self: &Arc<Self>, l2: &L2, key: &Key, candidate: Candidate, record: Record) {
        if record.body().len() as u64 > LARGE {
            return;
        }
        if record.body().len() <= PROMOTED_AT_ONCE {
            self.promote_now(l2, key, &candidate, &record);
            return;
        }
        let (engine, key) = (Arc::clone(self), key.clone());
        l2.pool.submit(move || {
            if let Some(l2) = &engine.l2 {
                engine.promote_now(l2, &key, &candidate, &record);
            }
        });
    }

    /// A promotion is a fill with the record's own stamp (H5): under the shard's lock the index entry must still be the same, and rules newer than
    /// the record's effective stamp are asked again.
    pub(crate) fn promote_now(&self, l2: &L2, key: &Key, candidate: &Candidate, record: &Record) {
        let vary = VaryRef::from_stored(record.vary());
        let same = |held: &EntryRef| held.is_uncacheable() || held.vary() == vary;
        if self.edge.shard(key.url_hash()).table.read().of_key(key.hash(), key.text()).any(same) {
            return;
        }
        let bytes = record.body();
        let body = if bytes.len() <= crate::entry::INLINE_BODY {
            Body::Inline(&bytes)
        } else {
            let Some(room) = self.edge.reserve(crate::entry::weight_of(bytes.len()), key.url_hash()) else { return };
            Body::Chunks(vec![room.hold(&bytes)])
        };
        let parts = parts(key, record, body, self.deadlines_of(record.meta()));
        if !parts.fits() {
            return;
        }
        let Some(charge) = self.edge.reserve(parts.weight().0, key.url_hash()) else { return };
        let entry = EntryRef::new(parts, 0, charge);
        if !record.is_intact() {
            return;
        }
        point("promote:before-lock");
        let mut table = self.edge.lock(key);
        let snapshot = self.rules.load();
        // Before the index entry.
        let swept = l2.swept_upto.load(Ordering::Acquire);
        point("promote:swept-loaded");
        let Some(now) = l2.store.candidate_of(candidate) else { return };
        let effective = record.meta().seq.max(swept);
        let Some((mark, soft_at)) = self.judge_record(key, record, &now, effective, &snapshot) else { return };
        if self.edge.is_full(&table) || table.of_key(key.hash(), key.text()).any(same) {
            return;
        }
        entry.judge(snapshot.seq, mark, soft_at);
        self.edge.link(&mut table, key, &entry);
        drop(table);
        l2.counters.promoted.fetch_add(1, Ordering::Relaxed);
        self.edge.settle(key.url_hash());
    }

    /// The tick of a wall-clock time that may lie before the epoch.
    pub(super) fn tick_of_signed(&self, ms: i64) -> Tick {
        let since = ms.saturating_sub_unsigned(self.base_ms) / (1000 / TICKS);
        since.clamp(i64::from(Tick::MIN), i64::from(Tick::MAX)) as Tick
    }
}

fn parts<'a>(key: &'a Key, record: &'a Record, body: Body<'a>, deadlines: Deadlines) -> Parts<'a> {
    Parts {
        key: key.as_ref(),
        vary: VaryRef::from_stored(record.vary()),
        tags: TagsRef::from_stored(record.tags()),
        status: record.meta().status,
        head: record.head(),
        body,
        deadlines,
        uncacheable: false,
    }
}

/// A lookup that waits for the disk. Runtime-free: wakers of any executor will do; [`wait`](Self::wait) blocks.
#[derive(Debug)]
#[must_use = "dropped, what was found is lost: poll it, or wait"]
pub struct Deferred(Arc<Promise>);

#[derive(Debug, Default)]
struct Promise {
    state: Mutex<State>,
    kept: Condvar,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Lookup>,
    broken: bool,
    waker: Option<Waker>,
}

impl Deferred {
    /// A wait whose end [`promise`](Self::promise) holds. Without a promise it would have none.
    fn new() -> Self {
        Self(Arc::default())
    }

    /// The outcome, once it is known; never [`Lookup::Deferred`]. Taken once: later calls get a miss.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the wait is given up.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Lookup> {
        let mut state = self.0.state.lock();
        if let Some(outcome) = state.outcome.take() {
            state.broken = true;
            return Poll::Ready(outcome);
        }
        if state.broken {
            return Poll::Ready(Lookup::Miss(Reason::Failed));
        }
        let replaced = state.waker.replace(cx.waker().clone());
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// Blocks until the outcome is known.
    pub fn wait(self) -> Lookup {
        let mut state = self.0.state.lock();
        loop {
            if let Some(outcome) = state.outcome.take() {
                state.broken = true;
                return outcome;
            }
            if state.broken {
                return Lookup::Miss(Reason::Failed);
            }
            self.0.kept.wait(&mut state);
        }
    }

    fn promise(&self) -> Kept {
        Kept(Arc::clone(&self.0))
    }
}

/// The other end: if it is dropped without an outcome (the pool was closed), the wait ends with a miss.
struct Kept(Arc<Promise>);

impl Kept {
    fn keep(self, outcome: Lookup) {
        self.0.state.lock().outcome = Some(outcome);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.broken |= state.outcome.is_none();
        let waker = state.waker.take();
        drop(state);
        self.0.kept.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }
}
