//! What the proxy counts, beside what the engine does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Counters since start.
#[derive(Debug, Default)]
pub(crate) struct Figures {
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

/// Lets something through at most once a second: a log must not grow with every request of a bad minute.
#[derive(Debug)]
pub(crate) struct Seldom {
    since: Instant,
    /// The first second after then in which it may happen again.
    next: AtomicU64,
}

impl Default for Seldom {
    fn default() -> Self {
        Self { since: Instant::now(), next: AtomicU64::new(0) }
    }
}

impl Seldom {
    /// Whether it may happen now.
    pub(crate) fn now(&self) -> bool {
        let second = self.since.elapsed().as_secs();
        self.next.fetch_max(second + 1, Ordering::Relaxed) <= second
    }
}
