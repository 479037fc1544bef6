//! What was purged: a bounded history of records with states and counts (G10).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Action, Count, Layers, PurgeId, PurgeRecord, PurgeState, Selector};
use crate::sync::Mutex;

/// A purge, shared by its rules and the history.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) epoch: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) selectors: Arc<[Selector]>,
    pub(crate) action: Action,
    pub(crate) layers: Layers,
    pub(crate) by: String,
    pub(crate) created_ms: u64,
    /// Zero until a sweep takes it up.
    started_ms: AtomicU64,
    /// Zero until swept.
    swept_ms: AtomicU64,
    edge: Ended,
    l2: Ended,
    durable: AtomicBool,
}

/// What a purge has ended in one layer.
#[derive(Debug, Default)]
struct Ended {
    objects: AtomicU64,
    bytes: AtomicU64,
}

impl Ended {
    fn add(&self, bytes: u64) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn restored(count: Count) -> Self {
        Self { objects: AtomicU64::new(count.objects), bytes: AtomicU64::new(count.bytes) }
    }

    fn view(&self) -> Count {
        Count { objects: self.objects.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

/// How far a purge has got, as far as it changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Zero until a sweep takes it up.
    pub(crate) started_ms: u64,
    /// Zero until swept.
    pub(crate) swept_ms: u64,
    pub(crate) edge: Count,
    pub(crate) l2: Count,
    pub(crate) durable: bool,
}

impl Record {
    pub(crate) fn new(epoch: u64, numbers: (u64, u64), purge: &super::Purge, created_ms: u64) -> Self {
        Self::restored(epoch, numbers, purge, created_ms, Progress::default())
    }

    /// One that had got so far.
    pub(crate) fn restored(
        epoch: u64,
        numbers: (u64, u64),
        purge: &super::Purge,
        created_ms: u64,
        progress: Progress,
    ) -> Self {
        Self {
            epoch,
            first: numbers.0,
            last: numbers.1,
            selectors: purge.selectors.clone().into(),
            action: purge.action,
            layers: purge.layers,
            by: purge.by.clone(),
            created_ms,
            started_ms: AtomicU64::new(progress.started_ms),
            swept_ms: AtomicU64::new(progress.swept_ms),
            edge: Ended::restored(progress.edge),
            l2: Ended::restored(progress.l2),
            durable: AtomicBool::new(progress.durable),
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress {
            swept_ms: self.swept_ms.load(Ordering::Acquire),
            started_ms: self.started_ms.load(Ordering::Acquire),
            edge: self.edge.view(),
            l2: self.l2.view(),
            durable: self.durable.load(Ordering::Acquire),
        }
    }

    /// Bytes it keeps in memory, its selectors' texts for the most part.
    pub(crate) fn bytes_held(&self) -> u64 {
        let texts: usize = self.selectors.iter().map(|selector| size_of::<Selector>() + selector.text_bytes()).sum();
        (size_of::<Self>() + self.by.len() + texts) as u64
    }

    /// One more object of the memory tier ended by this purge.
    pub(crate) fn count(&self, bytes: u64) {
        self.edge.add(bytes);
    }

    /// One more object of the second tier ended by this purge.
    pub(crate) fn count_l2(&self, bytes: u64) {
        self.l2.add(bytes);
    }

    /// It is on disk.
    pub(crate) fn set_durable(&self) {
        self.durable.store(true, Ordering::Release);
    }

    /// A sweep has taken it up. The first of its rules counts.
    pub(crate) fn set_started(&self, at_ms: u64) {
        if self.started_ms.load(Ordering::Relaxed) == 0 {
            self.started_ms.store(at_ms.max(1), Ordering::Release);
        }
    }

    pub(crate) fn set_swept(&self, at_ms: u64) {
        self.swept_ms.store(at_ms.max(1), Ordering::Release);
    }

    pub(crate) fn view(&self) -> PurgeRecord {
        let Progress { started_ms, swept_ms, edge, l2, durable } = self.progress();
        PurgeRecord {
            id: PurgeId { epoch: self.epoch, seq: self.last },
            state: if swept_ms == 0 { PurgeState::Effective } else { PurgeState::Swept },
            rules: (self.last + 1 - self.first) as usize,
            selectors: Arc::clone(&self.selectors),
            action: self.action,
            layers: self.layers,
            by: self.by.clone(),
            created_ms: self.created_ms,
            started_ms: (started_ms != 0).then_some(started_ms),
            swept_ms: (swept_ms != 0).then_some(swept_ms),
            edge,
            l2,
            durable,
        }
    }
}

/// Bytes of selectors that the history holds at most; the newest purge stays whatever it takes.
const MAX_BYTES: u64 = 64 << 20;

/// The newest purges, bounded by the number of their rules and by the bytes of their selectors.
#[derive(Debug)]
pub(crate) struct History {
    keep: u64,
    records: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// In order of their numbers.
    records: VecDeque<Arc<Record>>,
    rules: u64,
    bytes: u64,
}

impl History {
    pub(crate) fn new(keep: usize) -> Self {
        Self { keep: keep as u64, records: Mutex::default() }
    }

    /// Appends `record`, which is newer than all before it. Drops the oldest beyond the bound; the newest always stays.
    pub(crate) fn push(&self, record: Arc<Record>) {
        let mut forgotten = Vec::new();
        let mut kept = self.records.lock();
        kept.rules += record.last + 1 - record.first;
        kept.bytes += record.bytes_held();
        kept.records.push_back(record);
        while (kept.rules > self.keep || kept.bytes > MAX_BYTES) && kept.records.len() > 1 {
            if let Some(oldest) = kept.records.pop_front() {
                kept.rules -= oldest.last + 1 - oldest.first;
                kept.bytes -= oldest.bytes_held();
                forgotten.push(oldest);
            }
        }
        drop(kept);
        // Freed without the lock, which lookups may wait for.
        drop(forgotten);
    }

    /// The purge that published rule `seq`. O(log of the history).
    pub(crate) fn of_rule(&self, seq: u64) -> Option<Arc<Record>> {
        let kept = self.records.lock();
        let index = kept.records.partition_point(|record| record.last < seq);
        kept.records.get(index).filter(|record| record.first <= seq).cloned()
    }

    /// Up to `limit` purges numbered below `before`, newest first.
    pub(crate) fn list(&self, before: Option<u64>, limit: usize) -> Vec<Arc<Record>> {
        let kept = self.records.lock();
        let end = before.map_or(kept.records.len(), |before| kept.records.partition_point(|r| r.last < before));
        kept.records.range(..end).rev().take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purge::Purge;

    #[test]
    fn the_history_is_bounded_in_bytes_too() {
        let history = History::new(100_000);
        let text = "x".repeat(1 << 20);
        for n in 1..=100 {
            let purge = Purge::new(Selector::Tag(text.clone()));
            history.push(Arc::new(Record::new(1, (n, n), &purge, 0)));
        }
        let kept = history.list(None, 1000);
        assert!(kept.len() >= 60 && kept.len() < 64, "{}", kept.len());
        assert_eq!((kept[0].last, history.of_rule(1).is_none()), (100, true));
    }
}
