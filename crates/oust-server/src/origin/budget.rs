//! Limits on what a site asks of its origins: extra attempts, and fetches at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::Failure;

/// Retries in store, in tenths: each request earns one tenth, each retry costs a whole, so that at most a tenth more than was asked for is asked
/// of an origin in trouble.
#[derive(Debug)]
pub(super) struct Retries(AtomicI64);

const RETRY: i64 = 10;
/// What may be saved up, and what there is at first.
const MAX_SAVED: i64 = 10 * RETRY;

impl Default for Retries {
    fn default() -> Self {
        Self(AtomicI64::new(MAX_SAVED))
    }
}

impl Retries {
    /// A request was made.
    pub(super) fn earn(&self) {
        // Lost races lose a tenth, which errs on the careful side.
        let saved = self.0.load(Ordering::Relaxed);
        if saved < MAX_SAVED {
            let _ = self.0.compare_exchange(saved, saved + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether a retry can be paid for; it is.
    pub(super) fn spend(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| (saved >= RETRY).then_some(saved - RETRY))
            .is_ok()
    }
}

/// Lets so many fetches of a site through at a time; others wait in order, so many of them and for so long.
#[derive(Debug)]
pub(super) struct Gate {
    most: usize,
    permits: Option<Arc<Semaphore>>,
    waiting: AtomicUsize,
}

/// Waiting requests that are accepted at least, however few fetches there may be.
const MIN_QUEUE: usize = 16;

impl Gate {
    /// `most` 0: any number.
    pub(super) fn new(most: usize) -> Self {
        let permits = (most > 0).then(|| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))));
        Self { most, permits, waiting: AtomicUsize::new(0) }
    }

    /// How many it lets through.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Fetches that wait now.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits for one's turn, first come, first served.
    pub(super) async fn enter(&self, patience: Duration) -> Result<Option<OwnedSemaphorePermit>, Failure> {
        let Some(permits) = &self.permits else { return Ok(None) };
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            return Ok(Some(permit));
        }
        let _place = Place::take(&self.waiting, self.most.max(MIN_QUEUE)).ok_or(Failure::Busy)?;
        match tokio::time::timeout(patience, permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            _ => Err(Failure::Busy),
        }
    }
}

/// A place in the queue, given up when dropped: by whoever enters, and whoever goes away.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let room = |now| (now < most).then_some(now + 1);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok().map(|_| Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_tenth_of_requests() {
        let retries = Retries::default();
        let saved = (0..1000).filter(|_| retries.spend()).count();
        assert_eq!(saved, 10);
        let extra = (0..1000)
            .filter(|_| {
                retries.earn();
                retries.spend()
            })
            .count();
        assert_eq!(extra, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn h22_the_queue_is_bounded_in_order_and_in_time() {
        let gate = Arc::new(Gate::new(1));
        let inside = gate.enter(Duration::from_secs(1)).await.expect("room");
        let (order, mut entered) = tokio::sync::mpsc::unbounded_channel();
        let waiting: Vec<_> = (0..MIN_QUEUE)
            .map(|number| {
                let (gate, order) = (gate.clone(), order.clone());
                tokio::spawn(async move {
                    let permit = gate.enter(Duration::from_secs(60)).await.expect("a turn");
                    order.send(number).expect("read");
                    drop(permit);
                })
            })
            .collect();
        while gate.waiting() < MIN_QUEUE {
            tokio::task::yield_now().await;
        }
        assert_eq!(gate.enter(Duration::from_secs(60)).await.err(), Some(Failure::Busy));
        drop(inside);
        for number in 0..MIN_QUEUE {
            assert_eq!(entered.recv().await, Some(number));
        }
        for task in waiting {
            task.await.expect("no panic");
        }
        assert_eq!(gate.waiting(), 0);
        let _inside = gate.enter(Duration::from_secs(1)).await.expect("room");
        assert_eq!(gate.enter(Duration::from_secs(1)).await.err(), Some(Failure::Busy), "waited long enough");
        assert_eq!(gate.waiting(), 0);
    }

    #[tokio::test]
    async fn without_a_cap_there_is_no_gate() {
        let gate = Gate::new(0);
        assert!(gate.enter(Duration::ZERO).await.expect("open").is_none());
    }
}
