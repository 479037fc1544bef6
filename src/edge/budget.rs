//! The byte budget of the memory tier: one pool for objects, indexes, fills in flight and what readers still hold.
//!
//! Bytes are charged before memory is taken and given back when it is freed, so `used <= capacity` whenever every charge was granted.
//! Structures that must grow (tables, indexes) are charged by [`Budget::force`]; the next reservation evicts to make up for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// Shared pool of bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    capacity: u64,
    used: AtomicU64,
    pinned: AtomicU64,
    fills: AtomicU64,
}

impl Budget {
    pub(crate) fn new(capacity: u64) -> Arc<Self> {
        Arc::new(Self { capacity, used: AtomicU64::new(0), pinned: AtomicU64::new(0), fills: AtomicU64::new(0) })
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes of entries that left the table while readers hold them.
    pub(crate) fn pinned(&self) -> u64 {
        self.pinned.load(Ordering::Relaxed)
    }

    /// Bytes of fills in flight.
    pub(crate) fn fills(&self) -> u64 {
        self.fills.load(Ordering::Relaxed)
    }

    /// Takes `bytes` if they are free.
    pub(crate) fn try_charge(self: &Arc<Self>, bytes: u64) -> Option<Charge> {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|&used| used <= self.capacity)
            })
            .ok()?;
        Some(Charge { bytes, budget: Arc::clone(self) })
    }

    /// Adjusts the pool by what a structure grew or shrank, unasked.
    pub(crate) fn force(&self, grew: i64) {
        if grew >= 0 {
            self.used.fetch_add(grew.unsigned_abs(), Ordering::Relaxed);
        } else {
            self.used.fetch_sub(grew.unsigned_abs(), Ordering::Relaxed);
        }
    }

    /// Gives back bytes whose [`Charge`] was handed over.
    pub(crate) fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn pin(&self, bytes: u64) {
        self.pinned.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn unpin(&self, bytes: u64) {
        self.pinned.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_fill(&self, grew: i64) {
        if grew >= 0 {
            self.fills.fetch_add(grew.unsigned_abs(), Ordering::Relaxed);
        } else {
            self.fills.fetch_sub(grew.unsigned_abs(), Ordering::Relaxed);
        }
    }
}

/// Bytes taken from a [`Budget`], given back on drop.
#[derive(Debug)]
pub(crate) struct Charge {
    bytes: u64,
    budget: Arc<Budget>,
}

impl Charge {
    /// A copy of `bytes` that is charged for as long as any part of it is held, by whomever.
    pub(crate) fn hold(self, bytes: &[u8]) -> Bytes {
        Bytes::from_owner(Held { bytes: bytes.into(), _charge: self })
    }

    /// Passes the duty to give the bytes back to the caller, who must call [`Budget::release`].
    pub(crate) fn hand_over(mut self) -> (Arc<Budget>, u64) {
        let bytes = std::mem::take(&mut self.bytes);
        (Arc::clone(&self.budget), bytes)
    }
}

/// Bytes with their charge.
struct Held {
    bytes: Box<[u8]>,
    _charge: Charge,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_never_pass_the_capacity_and_come_back() {
        let budget = Budget::new(100);
        let first = budget.try_charge(60).unwrap().hold(b"abc");
        assert!(budget.try_charge(41).is_none());
        let second = first.slice(1..2);
        drop(first);
        assert_eq!(budget.used(), 60);
        drop(second);
        assert_eq!(budget.used(), 0);
        budget.force(150);
        assert!(budget.try_charge(1).is_none());
        budget.force(-150);
    }
}
