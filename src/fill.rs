//! A fill: one fetch from the origin, read by everybody who asked for the key before it was overtaken by a purge.
//!
//! A fill is a holder of the purge protocol. It is stamped before the origin request is written, judged again by [`Fill::catch_up`] whenever
//! somebody joins, when its response is known, when it is swept and when it is committed; a rule that takes it marks it dead: those who read
//! it go on reading, nobody joins it any more, and its response is not stored.
//!
//! Invariants:
//!
//! 1. The stamp is that of a snapshot loaded under the shard lock when the fill entered the table (I1).
//! 2. Rules up to the stamp that only a response can answer (tags, variants) are kept in `late` until it is known, then answered.
//! 3. A reader has joined at a number; if a rule up to that number takes the response, the reader fetches for itself.
//!
//! Lock order: shard, then the fill's state. Wakers only schedule: they are called with the state locked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;

use crate::cache::{Head, Hit, Reason};
use crate::entry::{Control, Mark};
use crate::key::Key;
use crate::purge::{Rule, Snapshot, Subject, Tags, TagsRef};
use crate::vary::Vary;

/// How far the slowest reader of a fill that is not stored may stay behind the writer, in bytes.
pub(crate) const WINDOW: u64 = 1 << 20;

/// Rules a fill may owe an answer to until its response is known; beyond that it is given up.
const MAX_LATE: usize = 1 << 16;

/// One fetch in flight.
#[derive(Debug)]
pub(crate) struct Fill {
    pub(crate) key: Key,
    /// Header fields of the request that leads the fill.
    pub(crate) request: HeaderMap,
    pub(crate) control: Control,
    joinable: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    late: Vec<Arc<Rule>>,
    /// Tags and selectors of the response, once known.
    known: Option<(Vary, Tags)>,
    /// Readers that joined at or after this number must not have the response.
    refused_from: u64,
    chunks: VecDeque<Bytes>,
    /// Absolute index of `chunks[0]`.
    first: u64,
    written: u64,
    keeps_all: bool,
    readers: Vec<Option<Position>>,
    wakers: Vec<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Position {
    chunk: u64,
    bytes: u64,
}

#[derive(Debug, Clone)]
enum Phase {
    Waiting,
    Streaming { head: Arc<Head>, shared: bool, done: bool },
    Validated { hit: Hit, shared: bool },
    Over(Reason),
}

impl Fill {
    pub(crate) fn new(key: Key, request: HeaderMap, stamp: u64, joinable: bool) -> Self {
        let state = State {
            phase: Phase::Waiting,
            late: Vec::new(),
            known: None,
            refused_from: u64::MAX,
            chunks: VecDeque::new(),
            first: 0,
            written: 0,
            keeps_all: true,
            readers: Vec::new(),
            wakers: Vec::new(),
            writer: None,
        };
        Self { key, request, control: Control::new(stamp), joinable, state: Mutex::new(state) }
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
                    state.late.extend(snapshot.late(stamp).cloned());
                    !snapshot.judge(&subject, stamp).takes_fill() && state.late.len() <= MAX_LATE
                }
            };
        }
        self.control.raise(snapshot.seq, if lives { Mark::None } else { Mark::Dead });
        lives
    }

    /// Whether a request with these header fields may read along, as far as is known. The caller has caught up.
    pub(crate) fn may_join(&self, request: &HeaderMap) -> bool {
        let state = self.state.lock();
        self.joinable
            && match &state.phase {
                Phase::Waiting => true,
                Phase::Streaming { shared, done, .. } => *shared && !*done && state.keeps_all && state.selects(request),
                Phase::Validated { .. } | Phase::Over(_) => false,
            }
    }

    /// The response is known: answers the late rules, and tells readers. `shared`: whether it may be given to those who joined.
    pub(crate) fn respond(&self, head: Arc<Head>, vary: Option<Vary>, tags: Tags, shared: bool, stores: bool) {
        let mut state = self.state.lock();
        state.know(self, vary.unwrap_or_default(), tags);
        state.keeps_all = stores;
        state.phase = Phase::Streaming { head, shared, done: false };
        state.wake();
    }

    /// The stored response was validated; called after `know`. `shared`: whether it may be given to those who joined.
    pub(crate) fn validated(&self, hit: Hit, shared: bool) {
        let mut state = self.state.lock();
        state.phase = Phase::Validated { hit, shared };
        state.wake();
    }

    /// Records what the response is, and answers the late rules by it. Idempotent.
    pub(crate) fn know(&self, vary: Vary, tags: Tags) {
        self.state.lock().know(self, vary, tags);
    }

    /// No response will come, or no more of it.
    pub(crate) fn over(&self, reason: Reason) {
        let mut state = self.state.lock();
        state.phase = Phase::Over(reason);
        state.wake();
    }

    pub(crate) fn done(&self) {
        let mut state = self.state.lock();
        if let Phase::Streaming { done, .. } = &mut state.phase {
            *done = true;
        }
        state.wake();
    }

    pub(crate) fn write(&self, chunk: Bytes) {
        let mut state = self.state.lock();
        state.written += chunk.len() as u64;
        state.chunks.push_back(chunk);
        state.trim();
        state.wake();
    }

    /// The response will not be stored after all: what every reader has passed is dropped from now on.
    pub(crate) fn stop_keeping(&self) {
        let mut state = self.state.lock();
        state.keeps_all = false;
        state.trim();
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
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Breaks the readers that are a window behind the fastest one.
    pub(crate) fn cut_laggards(&self) {
        let mut state = self.state.lock();
        let fastest = state.readers.iter().flatten().map(|at| at.bytes).max().unwrap_or(0);
        for reader in &mut state.readers {
            if reader.is_some_and(|at| at.bytes + WINDOW <= fastest) {
                *reader = None;
            }
        }
        state.trim();
        state.wake();
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
        let mut state = self.state.lock();
        state.readers.push(Some(Position::default()));
        state.readers.len() - 1
    }

    pub(crate) fn drop_reader(&self, id: usize) {
        let mut state = self.state.lock();
        state.readers[id] = None;
        state.trim();
        let writer = state.writer.take();
        drop(state);
        writer.into_iter().for_each(Waker::wake);
    }

    /// The answer for a reader that joined at `joined`; `own`: it came with the leader.
    pub(crate) fn poll_answer(&self, joined: u64, own: bool, request: &HeaderMap, cx: &Context<'_>) -> Poll<Answered> {
        let mut state = self.state.lock();
        let refused = !own && joined >= state.refused_from;
        Poll::Ready(match &state.phase {
            Phase::Waiting => {
                state.wakers.push(cx.waker().clone());
                return Poll::Pending;
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
        let Some(at) = state.readers[id] else { return Poll::Ready(Some(Err(()))) };
        let next = at.chunk.checked_sub(state.first).and_then(|index| state.chunks.get(index as usize)).cloned();
        if let Some(chunk) = next {
            state.readers[id] = Some(Position { chunk: at.chunk + 1, bytes: at.bytes + chunk.len() as u64 });
            state.trim();
            let writer = state.writer.take();
            drop(state);
            writer.into_iter().for_each(Waker::wake);
            return Poll::Ready(Some(Ok(chunk)));
        }
        match state.phase {
            Phase::Streaming { done: true, .. } => Poll::Ready(None),
            Phase::Streaming { .. } | Phase::Waiting => {
                state.wakers.push(cx.waker().clone());
                Poll::Pending
            }
            Phase::Validated { .. } => Poll::Ready(None),
            Phase::Over(_) => Poll::Ready(Some(Err(()))),
        }
    }
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

    fn know(&mut self, fill: &Fill, vary: Vary, tags: Tags) {
        if self.known.is_some() {
            return;
        }
        let subject = Subject { key: fill.key.as_ref(), vary: Some(vary.as_ref()), tags: tags.as_ref() };
        for rule in std::mem::take(&mut self.late) {
            if rule.matches(&subject) {
                self.refused_from = self.refused_from.min(rule.seq);
            }
        }
        if self.refused_from != u64::MAX {
            fill.control.raise(0, Mark::Dead);
        }
        self.known = Some((vary, tags));
    }

    /// Drops what nobody will read again, unless all is kept.
    fn trim(&mut self) {
        if self.keeps_all {
            return;
        }
        let slowest = self.readers.iter().flatten().map(|at| at.chunk).min().unwrap_or(u64::MAX);
        while self.first < slowest && self.chunks.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// Wakes all readers. Called with the lock held: wakers only schedule.
    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
        self.writer.take().into_iter().for_each(Waker::wake);
    }
}
