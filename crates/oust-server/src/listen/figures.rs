//! What is counted of connections. Counters are shared by all threads, but for those that every request moves (see [`PerThread`]).

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::framing::Violation;
use crate::proxy::Counter;

/// Upper bounds of the classes of a request's duration, in microseconds.
pub(crate) const BOUNDS: [u64; 14] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000];

/// What is counted of the connections of `listen` and `tls_listen`.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Accepted since start.
    pub(crate) connections: Counter,
    /// Open now.
    pub(crate) open: Counter,
    pub(crate) http1: Counter,
    pub(crate) http2: Counter,
    pub(crate) tls: Counter,
    pub(crate) tls_failed: Counter,
    /// Connections that became something else.
    pub(crate) upgraded: Counter,
    pub(crate) reloads: Counter,
    pub(crate) reloads_failed: Counter,
    refused: [Counter; Refused::COUNT],
    /// A place for each thread.
    threads: Box<[PerThread]>,
}

/// Why a request, or a connection, got no answer from store or origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Where its messages end is in doubt.
    Framing(Violation),
    HeaderTimeout,
    /// What came is no HTTP.
    Malformed,
    /// More than is taken of a head.
    TooLarge,
    /// No, several or contradicting hosts, or one that is none.
    Host,
    /// A host of no site.
    UnknownHost,
    Method,
    /// PURGE from who may not.
    Purge,
}

impl Refused {
    const OTHERS: [Self; 7] = [
        Self::HeaderTimeout,
        Self::Malformed,
        Self::TooLarge,
        Self::Host,
        Self::UnknownHost,
        Self::Method,
        Self::Purge,
    ];
    const COUNT: usize = Violation::ALL.len() + Self::OTHERS.len();

    /// All there are.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Violation::ALL.into_iter().map(Self::Framing).chain(Self::OTHERS)
    }

    /// Its name in figures.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Framing(violation) => violation.as_str(),
            Self::HeaderTimeout => "header-timeout",
            Self::Malformed => "malformed",
            Self::TooLarge => "head-too-large",
            Self::Host => "host",
            Self::UnknownHost => "unknown-host",
            Self::Method => "method",
            Self::Purge => "purge",
        }
    }

    fn index(self) -> usize {
        Self::all().position(|other| other == self).unwrap_or_default()
    }
}

/// What one thread counts, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct PerThread {
    requests: AtomicU64,
    micros: AtomicU64,
    classes: [AtomicU64; BOUNDS.len()],
}

thread_local! {
    /// Which place is this thread's. Threads that were given none share the first.
    static PLACE: Cell<usize> = const { Cell::new(0) };
}

/// Durations of requests, of all threads.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Durations {
    pub(crate) count: u64,
    /// Their sum.
    pub(crate) micros: u64,
    /// How many took no longer than each of [`BOUNDS`], those of the bounds before included.
    pub(crate) within: [u64; BOUNDS.len()],
}

impl Figures {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            connections: Counter::default(),
            open: Counter::default(),
            http1: Counter::default(),
            http2: Counter::default(),
            tls: Counter::default(),
            tls_failed: Counter::default(),
            upgraded: Counter::default(),
            reloads: Counter::default(),
            reloads_failed: Counter::default(),
            refused: std::array::from_fn(|_| Counter::default()),
            threads: (0..threads.max(1)).map(|_| PerThread::default()).collect(),
        }
    }

    /// This thread counts in place `index` from now on.
    pub(super) fn settle(index: usize) {
        PLACE.set(index);
    }

    pub(crate) fn refuse(&self, why: Refused) {
        if let Some(counter) = self.refused.get(why.index()) {
            counter.add(1);
        }
    }

    /// How many were refused so.
    pub(crate) fn refused(&self, why: Refused) -> u64 {
        self.refused.get(why.index()).map_or(0, Counter::get)
    }

    /// A request was answered after so long.
    pub(crate) fn answered(&self, took: Duration) {
        let Some(thread) = self.threads.get(PLACE.get()).or_else(|| self.threads.first()) else { return };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        thread.requests.fetch_add(1, Ordering::Relaxed);
        thread.micros.fetch_add(micros, Ordering::Relaxed);
        if let Some(class) = thread.classes.get(BOUNDS.partition_point(|&bound| bound < micros)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn durations(&self) -> Durations {
        let mut sum = Durations::default();
        for thread in &self.threads {
            sum.count += thread.requests.load(Ordering::Relaxed);
            sum.micros = sum.micros.saturating_add(thread.micros.load(Ordering::Relaxed));
            let mut within = 0;
            for (all, class) in sum.within.iter_mut().zip(&thread.classes) {
                within += class.load(Ordering::Relaxed);
                *all += within;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_in_every_class_they_fit() {
        let figures = Figures::new(2);
        for (place, micros) in [(0, 50), (1, 51), (1, 20_000_000), (9, 1)] {
            Figures::settle(place);
            figures.answered(Duration::from_micros(micros));
        }
        Figures::settle(0);
        let sum = figures.durations();
        assert_eq!((sum.count, sum.micros), (4, 20_000_102));
        assert_eq!((sum.within[0], sum.within[1], sum.within[BOUNDS.len() - 1]), (2, 3, 3));
    }

    #[test]
    fn reasons_have_names_and_places_of_their_own() {
        let names: std::collections::HashSet<_> = Refused::all().map(Refused::as_str).collect();
        assert_eq!(names.len(), Refused::COUNT);
        let figures = Figures::new(1);
        for why in Refused::all() {
            figures.refuse(why);
            assert_eq!(figures.refused(why), 1);
        }
    }
}
