//! Evicted entries on their way to the second tier.
//!
//! An entry that leaves its table is dead (invariant 4 of [`super::shard`]); what is to be written of it is a holder of its own, with the stamp and
//! mark it left with. It stays in its shard's table until it is written or given up, so that sweeps judge it and a commit of its key ends it, both
//! under the shard's lock.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::entry::{Control, EntryRef, Mark, Tick};
use crate::purge::{Snapshot, Subject};
use crate::sync::{Condvar, Mutex};

/// An evicted entry with the state it left in.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) entry: EntryRef,
    /// Dead once a rule or a newer response has taken it.
    pub(crate) control: Control,
}

impl Leaving {
    /// `entry`, which is in a table swept up to `swept`, as it is about to leave; `None` if it is not worth writing or must not be. `swept` was
    /// loaded before this is called.
    pub(crate) fn of(entry: &EntryRef, swept: u64) -> Option<Self> {
        let used = entry.in_main() || entry.frequency() > 0;
        let (stamp, mark) = entry.control().load();
        if !used || mark == Mark::Dead || entry.is_uncacheable() || entry.no_demote() {
            return None;
        }
        let control = Control::new(stamp.max(swept));
        control.raise(0, mark);
        Some(Self { entry: entry.clone(), control })
    }

    /// Judges it by every rule of `snapshot`, of either layer, that it was not judged by: past this check it counts as the second tier's. Its mark then.
    pub(crate) fn catch_up(&self, snapshot: &Snapshot, soft_at: impl Fn(u64) -> Tick) -> Mark {
        judge_for_l2(&self.entry, &self.control, snapshot, soft_at)
    }
}

/// Judges `entry`, whose state is `control`, by the rules of both layers; its mark then.
pub(crate) fn judge_for_l2(
    entry: &EntryRef,
    control: &Control,
    snapshot: &Snapshot,
    soft_at: impl Fn(u64) -> Tick,
) -> Mark {
    let (stamp, mark) = control.load();
    if mark == Mark::Dead || stamp >= snapshot.seq {
        return mark;
    }
    if stamp < snapshot.lwm {
        control.raise(0, Mark::Dead);
        return Mark::Dead;
    }
    let subject = Subject { key: entry.key(), vary: Some(entry.vary()), tags: entry.tags() };
    let verdict = snapshot.judge(&subject, stamp);
    let Some((action, seq)) = verdict.edge.max(verdict.l2) else {
        return control.raise(snapshot.seq, Mark::None);
    };
    let verdict = Mark::from(action);
    if verdict == Mark::Soft {
        entry.soften(soft_at(snapshot.first_soft(&subject, stamp, seq, |verdict| verdict.edge.max(verdict.l2))));
    }
    control.raise(snapshot.seq, verdict).max(verdict)
}

/// What is to be written to the second tier.
#[derive(Debug)]
pub(crate) enum Work {
    /// A copy of an entry that was asked for again.
    Copy(EntryRef),
    /// An evicted entry.
    Leaving(Arc<Leaving>),
}

impl Work {
    fn bytes(&self) -> u64 {
        match self {
            Self::Copy(entry) => entry.weight(),
            Self::Leaving(leaving) => leaving.entry.weight(),
        }
    }
}

/// The way to the second tier's writer, bounded in bytes: what does not fit is not written, unless nothing else waits.
#[derive(Debug)]
pub(crate) struct Outbox {
    most: u64,
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct State {
    work: VecDeque<Work>,
    bytes: u64,
    refused: u64,
    closed: bool,
}

impl Outbox {
    pub(crate) fn new(most: u64) -> Self {
        Self { most, state: Mutex::default(), more: Condvar::new() }
    }

    /// Hands over `work`; false if there is no room for it.
    pub(crate) fn push(&self, work: Work) -> bool {
        let bytes = work.bytes();
        let mut state = self.state.lock();
        if state.closed || (state.bytes > 0 && state.bytes.saturating_add(bytes) > self.most) {
            state.refused += 1;
            return false;
        }
        state.bytes += bytes;
        state.work.push_back(work);
        drop(state);
        self.more.notify_one();
        true
    }

    /// The next work if there is some.
    pub(crate) fn take(&self) -> Option<Work> {
        let mut state = self.state.lock();
        let work = state.work.pop_front()?;
        state.bytes -= work.bytes();
        Some(work)
    }

    /// Waits for work for as long as `most`; false once closed and empty.
    pub(crate) fn wait(&self, most: std::time::Duration) -> bool {
        let mut state = self.state.lock();
        if state.work.is_empty() && !state.closed {
            self.more.wait_for(&mut state, most);
        }
        !(state.closed && state.work.is_empty())
    }

    /// Takes no more; the writer ends when it has written what is there.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.more.notify_all();
    }

    /// Bytes that wait, and how often something was refused.
    pub(crate) fn figures(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.bytes, state.refused)
    }
}
