//! What the proxy counts, beside what the engine does.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since start.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) connections: Counter,
    pub(crate) open_connections: Counter,
    pub(crate) requests: Counter,
    pub(crate) passed: Counter,
    pub(crate) collapsed: Counter,
    pub(crate) fetches: Counter,
    pub(crate) origin_errors: Counter,
    pub(crate) stale_on_error: Counter,
}

/// One counter. Order between counters means nothing.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
