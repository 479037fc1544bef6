//! What the journal counts.

use std::time::Duration;

/// Classes of [`JournalStats::sync_times`].
pub(crate) const CLASSES: usize = 24;

/// Figures of a journal.
#[derive(Debug, Clone, Default)]
pub(crate) struct JournalStats {
    /// Bytes in use of the current file; 0 after a failure, until a new file is made.
    pub(crate) bytes: u64,
    /// Bytes reserved for the current file.
    pub(crate) reserved_bytes: u64,
    /// Files in the directory, the current one included.
    pub(crate) files: usize,
    /// Batches of rules that are not swept.
    pub(crate) live_purges: usize,
    /// Bytes appended that are not written yet.
    pub(crate) pending_bytes: usize,
    /// Commits that succeeded, rolls included.
    pub(crate) syncs: u64,
    /// Commits that failed.
    pub(crate) failures: u64,
    /// Files made.
    pub(crate) rolls: u64,
    /// How long the last commit that succeeded took.
    pub(crate) last_sync: Duration,
    /// How long all commits that succeeded took.
    pub(crate) total_sync: Duration,
    /// Commits by time: class `n` is those under `2^n` microseconds that are in no class below; the last takes all others.
    pub(crate) sync_times: [u64; CLASSES],
    /// Whether the last commit failed: nothing is durable until one succeeds.
    pub(crate) failed: bool,
}

impl JournalStats {
    pub(super) fn succeeded(&mut self, took: Duration, rolled: bool) {
        self.syncs += 1;
        self.rolls += u64::from(rolled);
        self.failed = false;
        self.last_sync = took;
        self.total_sync = self.total_sync.saturating_add(took);
        let micros = took.as_micros();
        let class = usize::try_from(u128::BITS - micros.leading_zeros()).unwrap_or(CLASSES);
        if let Some(count) = self.sync_times.get_mut(class.min(CLASSES - 1)) {
            *count += 1;
        }
    }

    pub(super) fn failed(&mut self) {
        self.failures += 1;
        self.failed = true;
    }
}
