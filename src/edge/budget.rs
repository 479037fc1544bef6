//! The byte budget of the memory tier: one pool for objects, indexes, fills in flight and what readers still hold.
//!
//! Bytes are charged before memory is taken and given back when it is freed, so `used <= capacity` whenever every charge was granted.
//! Structures that must grow (tables, indexes) are charged by [`Budget::force`]; the next reservation evicts to make up for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds `other`'s bytes to this charge.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.bytes += other.hand_over().1;
    }

    /// Gives back all beyond `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        if let Some(over) = self.bytes.checked_sub(bytes) {
            self.budget.release(over);
            self.bytes = bytes;
        }
    }

    /// Passes the duty to give the bytes back to the caller, who must call [`Budget::release`].
    pub(crate) fn hand_over(mut self) -> (Arc<Budget>, u64) {
        let bytes = std::mem::take(&mut self.bytes);
        (Arc::clone(&self.budget), bytes)
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
        let mut first = budget.try_charge(60).unwrap();
        assert!(budget.try_charge(41).is_none());
        first.absorb(budget.try_charge(40).unwrap());
        assert_eq!(budget.used(), 100);
        drop(first);
        assert_eq!(budget.used(), 0);
        budget.force(150);
        assert!(budget.try_charge(1).is_none());
        budget.force(-150);
    }
}
