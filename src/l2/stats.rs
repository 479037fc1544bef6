//! Figures of the second tier.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::L2;

/// How the second tier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum L2State {
    /// What is on disk is still being read in; what is not there yet is a miss.
    Loading,
    /// All well.
    #[default]
    Ok,
    /// The journal cannot be written, or the device failed: purges may not be durable, or objects were lost.
    Degraded,
}

/// Figures of the second tier. Counters run from the start of the cache.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct L2Stats {
    /// How it is.
    pub state: L2State,
    /// Stored objects.
    pub objects: u64,
    /// Bytes of segment files, those that readers still hold included.
    pub bytes: u64,
    /// Capacity in bytes.
    pub capacity: u64,
    /// Of the bytes, those of removed files that readers still hold.
    pub pinned_bytes: u64,
    /// Bytes of memory: index, offsets, filters, buffers.
    pub memory_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Lookups answered from here.
    pub hits: u64,
    /// Lookups that waited for the disk.
    pub deferred: u64,
    /// Lookups that missed because too many waited already.
    pub busy: u64,
    /// Objects copied to the memory tier.
    pub promoted: u64,
    /// Objects written.
    pub written: u64,
    /// Objects that were to be written and were not: purged or replaced meanwhile, there already, or over the rate.
    pub not_written: u64,
    /// Bytes that wait to be written.
    pub waiting_bytes: u64,
    /// Objects that found no room among those that wait.
    pub refused: u64,
    /// Bytes appended to segments.
    pub appended_bytes: u64,
    /// Segments evicted.
    pub evicted_segments: u64,
    /// Objects of evicted segments that were written again.
    pub reinserted: u64,
    /// Records that could not be read.
    pub read_errors: u64,
    /// Records whose sums were wrong.
    pub damaged: u64,
    /// Segments dropped because of damage or the device.
    pub dropped_segments: u64,
    /// Errors of the device.
    pub io_errors: u64,
    /// Every rule up to this number has been swept here.
    pub swept_upto: u64,
    /// Times the purge history could not be written.
    pub history_errors: u64,
    /// Purges in the journal that are not swept.
    pub journal_purges: u64,
    /// Bytes appended to the journal that are not on disk yet.
    pub journal_pending_bytes: u64,
    /// Bytes in use of the journal's file.
    pub journal_bytes: u64,
    /// Syncs of the journal that succeeded.
    pub journal_syncs: u64,
    /// Syncs that failed.
    pub journal_failures: u64,
    /// How long all syncs together took.
    pub journal_time: Duration,
    /// Syncs by time: class `n` is those under `2^n` microseconds that are in no class below; the last takes all others.
    pub journal_times: Vec<u64>,
}

impl L2 {
    pub(crate) fn stats(&self) -> L2Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (store, journal) = (self.store.stats(), self.journal.stats());
        let (waiting_bytes, refused) = self.outbox.figures();
        let counters = &self.counters;
        let state = match (journal.failed || store.io_errors > 0, self.is_loading()) {
            (true, _) => L2State::Degraded,
            (false, true) => L2State::Loading,
            (false, false) => L2State::Ok,
        };
        L2Stats {
            state,
            objects: store.objects,
            bytes: store.disk_bytes,
            capacity: self.capacity,
            pinned_bytes: store.pinned_bytes,
            memory_bytes: store.memory_bytes,
            segments: self.store.segments().len() as u64,
            hits: get(&counters.hits),
            deferred: get(&counters.cold),
            busy: get(&counters.busy),
            promoted: get(&counters.promoted),
            written: get(&counters.written),
            not_written: get(&counters.not_written),
            waiting_bytes,
            refused,
            appended_bytes: store.appended_bytes,
            evicted_segments: store.evicted_segments,
            reinserted: store.reinserted,
            read_errors: get(&counters.read_errors),
            damaged: store.damaged,
            dropped_segments: store.dropped_segments,
            io_errors: store.io_errors,
            swept_upto: self.swept_upto.load(Ordering::Relaxed),
            history_errors: self.history.errors(),
            journal_purges: journal.live_purges as u64,
            journal_pending_bytes: journal.pending_bytes as u64,
            journal_bytes: journal.bytes,
            journal_syncs: journal.syncs,
            journal_failures: journal.failures,
            journal_time: journal.total_sync,
            journal_times: journal.sync_times.to_vec(),
        }
    }
}
