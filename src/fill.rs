//! A fill: one fetch from the origin, read by everybody who asked for the key before it was overtaken by a purge.
//!
//! A fill is a holder of the purge protocol. It is stamped before the origin request is written, judged again by [`Fill::catch_up`] whenever
//! somebody joins, when its response is known, when it is swept and when it is committed; a rule that takes it marks it dead: those who read
//! it go on reading, nobody joins it any more, and its response is not stored.
//!
//! Invariants:
//!
//! 1. The stamp is that of a snapshot loaded under the shard lock when the fill entered the table (I1).
//! 2. Rules up to the stamp that only a response can answer (tags, variants) are owed an answer: `owed` keeps them, and no others, until the
//!    response is known.
//! 3. A reader has joined at a number; if a rule up to it takes the response, the reader fetches for itself.
//!
//! Lock order: shard, then the fill's state. Wakers run with neither held by the one who wakes: they may drop a reader.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;

use crate::cache::{Head, Hit, Reason};
use crate::entry::{Control, EntryRef, Mark};
use crate::key::Key;
use crate::purge::table::Late;
use crate::purge::{Snapshot, Subject, Tags, TagsRef};
use crate::sync::{Mutex, MutexGuard};
use crate::vary::Vary;

/// How far the slowest reader of a fill that is not stored may stay behind the writer, in bytes.
pub(crate) const WINDOW: u64 = 1 << 20;

/// Rules a fill may owe an answer to until its response is known; beyond that it is given up.
const MAX_OWED: usize = 1 << 16;

/// One fetch in flight.
#[derive(Debug)]
pub(crate) struct Fill {
    pub(crate) key: Key,
    /// Header fields of the request that leads the fill.
    pub(crate) request: HeaderMap,
    pub(crate) control: Control,
    joinable: bool,
    /// The stored response that is being validated. Its tags and selectors are known from the start, and need not be those of the answer.
    base: Option<EntryRef>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    owed: Vec<Late>,
    /// Tags and selectors of the response, once known.
    known: Option<(Vary, Tags)>,
    /// Readers that joined at or after this number must not have the response.
    refused_from: u64,
    /// The same for a 304: from here on a rule may have taken the base.
    base_taken_from: u64,
    chunks: VecDeque<Bytes>,
    /// Absolute index of `chunks[0]`.
    first: u64,
    written: u64,
    keeps_all: bool,
    readers: Vec<Option<Reader>>,
    writer: Option<Waker>,
}

/// Where a reader is, and who waits there.
#[derive(Debug, Default)]
struct Reader {
    chunk: u64,
    bytes: u64,
    waker: Option<Waker>,
}

#[derive(Debug, Clone)]
enum Phase {
    Waiting,
    Streaming { head: Arc<Head>, shared: bool, done: bool },
    Validated { hit: Hit, shared: bool },
    Over(Reason),
}

impl Fill {
    pub(crate) fn new(key: Key, request: HeaderMap, stamp: u64, joinable: bool, base: Option<EntryRef>) -> Self {
        let state = State {
            phase: Phase::Waiting,
            owed: Vec::new(),
            known: None,
            refused_from: u64::MAX,
            base_taken_from: u64::MAX,
            chunks: VecDeque::new(),
            first: 0,
            written: 0,
            keeps_all: true,
            readers: Vec::new(),
            writer: None,
        };
        Self { key, request, control: Control::new(stamp), joinable, base, state: Mutex::new(state) }
    }

    /// Where the shard's table keeps it: under the hash of its key if it can be joined, else anywhere, so that many fills of an uncacheable key do
    /// not meet each other.
    pub(crate) fn table_hash(&self) -> u64 {
        let hash = self.key.hash();
        if self.joinable {
            hash
        } else {
            hash ^ (std::ptr::from_ref(self).addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        }
    }

    /// The same fetch as of this moment, to be read by other request fields and open to who joins. The caller has caught up and lets no rule come
    /// between until the new one is in the table.
    pub(crate) fn reopened(&self, request: HeaderMap) -> Self {
        let (stamp, mark) = self.control.load();
        let fill = Self::new(self.key.clone(), request, stamp, true, self.base.clone());
        fill.control.raise(0, mark);
        {
            let (mut old, mut new) = (self.state.lock(), fill.state.lock());
            new.owed = std::mem::take(&mut old.owed);
            new.refused_from = old.refused_from;
            new.base_taken_from = old.base_taken_from;
        }
        fill
    }

    /// Whether its response is known, and more of it may come.
    pub(crate) fn is_streaming(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Streaming { .. })
    }

    /// Judges the fill by every rule of `snapshot` that it was not judged by; whether it lives.
    pub(crate) fn catch_up(&self, snapshot: &Snapshot) -> bool {
        let mut state = self.state.lock();
        let (stamp, mark) = self.control.load();
        if mark == Mark::Dead || stamp >= snapshot.seq {
            return mark != Mark::Dead;
        }
        // Below the low-water mark rules are gone that nobody asked: the fill cannot vouch for itself.
        let mut lives = stamp >= snapshot.lwm;
        if lives {
            lives = match &state.known {
                Some((vary, tags)) => {
                    let subject = Subject { key: self.key.as_ref(), vary: Some(vary.as_ref()), tags: tags.as_ref() };
                    !snapshot.judge(&subject, stamp).takes_fill()
                }
                None => {
                    let subject = Subject { key: self.key.as_ref(), vary: None, tags: TagsRef::default() };
                    state.owed.extend(snapshot.late(stamp));
                    let owed: usize = state.owed.iter().map(Late::len).sum();
                    !snapshot.judge(&subject, stamp).takes_fill() && owed <= MAX_OWED
                }
            };
        }
        // A 304 must not revive what a rule took by the tags or selectors of the stored response (G3).
        if let Some(base) = self.base.as_ref().filter(|_| lives) {
            let subject = Subject { key: self.key.as_ref(), vary: Some(base.vary()), tags: base.tags() };
            if snapshot.judge(&subject, stamp).takes_fill() {
                state.base_taken_from = state.base_taken_from.min(stamp + 1);
            }
        }
        self.control.raise(snapshot.seq, if lives { Mark::None } else { Mark::Dead });
        lives
    }

    /// Takes it whatever the rules say: its response is not stored, nobody joins it, and who joined from now on fetches for himself.
    pub(crate) fn end(&self) {
        self.control.raise(0, Mark::Dead);
    }

    /// Whether a rule newer than the request has taken what it validates. The caller has caught up.
    pub(crate) fn base_is_taken(&self) -> bool {
        self.state.lock().base_taken_from != u64::MAX
    }

    /// Joins a request with these header fields if it may read along, as far as is known: the id of its reader. The caller has caught up.
    pub(crate) fn join(&self, request: &HeaderMap) -> Option<usize> {
        let mut state = self.state.lock();
        let open = match &state.phase {
            Phase::Waiting => true,
            Phase::Streaming { shared, done, .. } => *shared && !*done && state.keeps_all && state.selects(request),
            Phase::Validated { .. } | Phase::Over(_) => false,
        };
        (self.joinable && open).then(|| state.add_reader())
    }

    /// The response is known: answers the rules that are owed one, and tells readers. `shared`: whether it may be given to those who joined.
    pub(crate) fn respond(&self, head: Arc<Head>, vary: Option<Vary>, tags: Tags, shared: bool, stores: bool) {
        self.know(vary.unwrap_or_default(), tags);
        let mut state = self.state.lock();
        state.keeps_all = stores;
        state.phase = Phase::Streaming { head, shared, done: false };
        wake(state);
    }

    /// The stored response was validated; called after `know`. `shared`: whether it may be given to those who joined.
    pub(crate) fn validated(&self, hit: Hit, shared: bool) {
        let mut state = self.state.lock();
        state.refused_from = state.refused_from.min(state.base_taken_from);
        state.phase = Phase::Validated { hit, shared };
        wake(state);
    }

    /// Records what the response is, and answers the rules that are owed an answer by it. Idempotent.
    pub(crate) fn know(&self, vary: Vary, tags: Tags) {
        let subject = Subject { key: self.key.as_ref(), vary: Some(vary.as_ref()), tags: tags.as_ref() };
        loop {
            let mut state = self.state.lock();
            if state.known.is_some() {
                return;
            }
            let owed = std::mem::take(&mut state.owed);
            if owed.is_empty() {
                state.known = Some((vary, tags));
                return;
            }
            drop(state);
            // They may be many: asked with nothing locked, until no more came meanwhile.
            let taken =
                owed.iter().flat_map(Late::iter).filter(|rule| rule.matches(&subject)).map(|rule| rule.seq).min();
            if let Some(seq) = taken {
                let mut state = self.state.lock();
                state.refused_from = state.refused_from.min(seq);
                self.control.raise(0, Mark::Dead);
            }
        }
    }

    /// No response will come, or no more of it.
    pub(crate) fn over(&self, reason: Reason) {
        let mut state = self.state.lock();
        state.phase = Phase::Over(reason);
        wake(state);
    }

    pub(crate) fn done(&self) {
        let mut state = self.state.lock();
        if let Phase::Streaming { done, .. } = &mut state.phase {
            *done = true;
        }
        wake(state);
    }

    pub(crate) fn write(&self, chunk: Bytes) {
        let mut state = self.state.lock();
        state.written += chunk.len() as u64;
        state.chunks.push_back(chunk);
        let passed = state.trim();
        wake(state);
        drop(passed);
    }

    /// The response will not be stored after all: what every reader has passed is dropped from now on.
    pub(crate) fn stop_keeping(&self) {
        let mut state = self.state.lock();
        state.keeps_all = false;
        let passed = state.trim();
        drop(state);
        drop(passed);
    }

    /// All chunks, if they were kept.
    pub(crate) fn kept(&self) -> Option<Vec<Bytes>> {
        let state = self.state.lock();
        (state.keeps_all && state.first == 0).then(|| state.chunks.iter().cloned().collect())
    }

    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        let slowest = state.readers.iter().flatten().map(|at| at.bytes).min();
        if state.keeps_all || slowest.is_none_or(|slowest| state.written - slowest < WINDOW) {
            return Poll::Ready(());
        }
        let replaced = state.writer.replace(cx.waker().clone());
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// Breaks the readers that are a window behind the fastest one.
    pub(crate) fn cut_laggards(&self) {
        let mut state = self.state.lock();
        let fastest = state.readers.iter().flatten().map(|at| at.bytes).max().unwrap_or(0);
        let mut cut = Vec::new();
        for reader in &mut state.readers {
            cut.extend(reader.take_if(|at| at.bytes + WINDOW <= fastest).and_then(|reader| reader.waker));
        }
        let passed = state.trim();
        wake(state);
        cut.into_iter().for_each(Waker::wake);
        drop(passed);
    }

    pub(crate) fn has_readers(&self) -> bool {
        self.state.lock().readers.iter().any(Option::is_some)
    }

    /// Whether nobody reads and nothing will be stored.
    pub(crate) fn is_abandoned(&self) -> bool {
        let state = self.state.lock();
        !state.keeps_all && state.readers.iter().all(Option::is_none)
    }

    pub(crate) fn add_reader(&self) -> usize {
        self.state.lock().add_reader()
    }

    pub(crate) fn drop_reader(&self, id: usize) {
        let mut state = self.state.lock();
        let reader = state.readers[id].take();
        let passed = state.trim();
        let writer = state.writer.take();
        drop(state);
        drop((reader, passed));
        writer.into_iter().for_each(Waker::wake);
    }

    /// The answer for reader `id`, which joined at `joined`; `own`: it came with the leader.
    pub(crate) fn poll_answer(
        &self,
        id: usize,
        (joined, own): (u64, bool),
        request: &HeaderMap,
        cx: &Context<'_>,
    ) -> Poll<Answered> {
        let state = self.state.lock();
        let refused = !own && joined >= state.refused_from;
        Poll::Ready(match &state.phase {
            Phase::Waiting => {
                return wait(state, id, cx);
            }
            Phase::Over(reason) => Answered::Refetch(*reason),
            _ if refused => Answered::Refetch(Reason::PurgeFenced),
            Phase::Streaming { shared: false, .. } | Phase::Validated { shared: false, .. } if !own => {
                Answered::Refetch(Reason::Uncacheable)
            }
            _ if !own && !state.selects(request) => Answered::Refetch(Reason::VaryMiss),
            Phase::Streaming { head, .. } => Answered::Head(Arc::clone(head)),
            Phase::Validated { hit, .. } => Answered::Validated(hit.clone()),
        })
    }

    /// The next chunk for reader `id`: `None` at the end, an error if the fill broke or the reader was cut off.
    pub(crate) fn poll_chunk(&self, id: usize, cx: &Context<'_>) -> Poll<Option<Result<Bytes, ()>>> {
        let mut state = self.state.lock();
        let Some(at) = &state.readers[id] else { return Poll::Ready(Some(Err(()))) };
        let next = at.chunk.checked_sub(state.first).and_then(|index| state.chunks.get(index as usize)).cloned();
        if let Some(chunk) = next {
            if let Some(at) = &mut state.readers[id] {
                at.chunk += 1;
                at.bytes += chunk.len() as u64;
            }
            let passed = state.trim();
            let writer = state.writer.take();
            drop(state);
            drop(passed);
            writer.into_iter().for_each(Waker::wake);
            return Poll::Ready(Some(Ok(chunk)));
        }
        match state.phase {
            Phase::Streaming { done: true, .. } | Phase::Validated { .. } => Poll::Ready(None),
            Phase::Streaming { .. } | Phase::Waiting => wait(state, id, cx),
            Phase::Over(_) => Poll::Ready(Some(Err(()))),
        }
    }
}

/// Leaves the waker of reader `id` and unlocks; what it replaces is dropped then, since it may drop a reader too.
fn wait<T>(mut state: MutexGuard<'_, State>, id: usize, cx: &Context<'_>) -> Poll<T> {
    let replaced = state.readers[id].as_mut().and_then(|reader| reader.waker.replace(cx.waker().clone()));
    drop(state);
    drop(replaced);
    Poll::Pending
}

/// Unlocks, then wakes all readers and the writer.
fn wake(mut state: MutexGuard<'_, State>) {
    let mut wakers: Vec<Waker> = state.readers.iter_mut().flatten().filter_map(|reader| reader.waker.take()).collect();
    wakers.extend(state.writer.take());
    drop(state);
    wakers.into_iter().for_each(Waker::wake);
}

/// [`Fill::poll_answer`]'s answer.
#[derive(Debug)]
pub(crate) enum Answered {
    Head(Arc<Head>),
    Validated(Hit),
    Refetch(Reason),
}

impl State {
    fn selects(&self, request: &HeaderMap) -> bool {
        self.known.as_ref().is_none_or(|(vary, _)| vary.as_ref().selects(request))
    }

    fn add_reader(&mut self) -> usize {
        self.readers.push(Some(Reader::default()));
        self.readers.len() - 1
    }

    /// Takes out what nobody will read again, unless all is kept; for the caller to drop without the lock.
    fn trim(&mut self) -> Vec<Bytes> {
        if self.keeps_all {
            return Vec::new();
        }
        let slowest = self.readers.iter().flatten().map(|at| at.chunk).min().unwrap_or(u64::MAX);
        let passed = slowest.saturating_sub(self.first).min(self.chunks.len() as u64);
        self.first += passed;
        self.chunks.drain(..passed as usize).collect()
    }
}
