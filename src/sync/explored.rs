//! The same names as in `sync.rs`, each operation a point at which the scheduler of an exploration may go on with another thread.
//!
//! All threads of an exploration are coroutines on one thread of the operating system: between two points nobody else runs, and memory is sequentially
//! consistent. So what a point is put before is atomic, which is what is wanted of [`ArcSwap`], whose loads and stores are linearizable, and of the lists
//! (`boxcar`) and counted pointers (`triomphe`) that the engine uses: an operation of theirs is one step wherever it is called. Not explored: the
//! orderings of atomics, the inside of the rule table (its publisher holds a lock, and what it adds is above the number of every snapshot in use), the
//! simulated disks, statistics.
//!
//! Locks are `shuttle-parking_lot`'s. They are handed on in the order of asking; a schedule in which somebody pushes in is one in which the other asks later.
//!
//! 1. A lock of `parking_lot` itself is never held over a point: the only thread there is would wait for itself. Such are the pool of fronts and the disks'.
//! 2. No time passes. A wait that is limited in time ends at once, after others had a chance to run: a schedule in which it takes longer is one in which it
//!    begins later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{self, Ordering};
use std::time::Duration;

pub(crate) use shuttle::{thread, thread_local};
pub(crate) use shuttle_parking_lot::{Mutex, MutexGuard, RwLock, RwLockUpgradableReadGuard, RwLockWriteGuard};

/// Lets the scheduler choose who goes on.
pub(crate) fn switch() {
    // Not `yield_now`, which asks to be put last.
    thread::sleep(Duration::ZERO);
}

/// A pointer that is loaded and swapped in one step.
#[derive(Debug)]
pub(crate) struct ArcSwap<T>(arc_swap::ArcSwap<T>);

impl<T> ArcSwap<T> {
    pub(crate) fn from_pointee(value: T) -> Self {
        Self(arc_swap::ArcSwap::from_pointee(value))
    }

    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<T>> {
        switch();
        self.0.load()
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        switch();
        self.0.load_full()
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        switch();
        self.0.store(value);
    }
}

impl<T: Default> Default for ArcSwap<T> {
    fn default() -> Self {
        Self::from_pointee(T::default())
    }
}

/// An atomic of `std` with a point before each operation.
macro_rules! atomic {
    ($name:ident, $of:ty) => {
        #[derive(Debug, Default)]
        pub(crate) struct $name(atomic::$name);

        #[allow(dead_code, reason = "each is used with some of these")]
        impl $name {
            pub(crate) const fn new(value: $of) -> Self {
                Self(atomic::$name::new(value))
            }

            pub(crate) fn get_mut(&mut self) -> &mut $of {
                self.0.get_mut()
            }

            pub(crate) fn load(&self, _: Ordering) -> $of {
                switch();
                self.0.load(Ordering::SeqCst)
            }

            pub(crate) fn store(&self, value: $of, _: Ordering) {
                switch();
                self.0.store(value, Ordering::SeqCst);
            }

            pub(crate) fn swap(&self, value: $of, _: Ordering) -> $of {
                switch();
                self.0.swap(value, Ordering::SeqCst)
            }

            pub(crate) fn fetch_or(&self, value: $of, _: Ordering) -> $of {
                switch();
                self.0.fetch_or(value, Ordering::SeqCst)
            }

            pub(crate) fn fetch_and(&self, value: $of, _: Ordering) -> $of {
                switch();
                self.0.fetch_and(value, Ordering::SeqCst)
            }

            pub(crate) fn compare_exchange(&self, old: $of, new: $of, _: Ordering, _: Ordering) -> Result<$of, $of> {
                switch();
                self.0.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
            }

            pub(crate) fn compare_exchange_weak(
                &self,
                old: $of,
                new: $of,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$of, $of> {
                self.compare_exchange(old, new, success, failure)
            }
        }
    };
    ($name:ident, $of:ty, of numbers) => {
        atomic!($name, $of);

        #[allow(dead_code, reason = "each is used with some of these")]
        impl $name {
            pub(crate) fn fetch_add(&self, value: $of, _: Ordering) -> $of {
                switch();
                self.0.fetch_add(value, Ordering::SeqCst)
            }

            pub(crate) fn fetch_max(&self, value: $of, _: Ordering) -> $of {
                switch();
                self.0.fetch_max(value, Ordering::SeqCst)
            }

            pub(crate) fn fetch_min(&self, value: $of, _: Ordering) -> $of {
                switch();
                self.0.fetch_min(value, Ordering::SeqCst)
            }

            pub(crate) fn fetch_update(
                &self,
                _: Ordering,
                _: Ordering,
                next: impl FnMut($of) -> Option<$of>,
            ) -> Result<$of, $of> {
                switch();
                self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next)
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU8, u8, of numbers);
atomic!(AtomicI32, i32, of numbers);
atomic!(AtomicU64, u64, of numbers);

/// A condition variable for [`Mutex`].
#[derive(Debug, Default)]
pub(crate) struct Condvar {
    waiting: std::sync::Mutex<VecDeque<Arc<Waiter>>>,
}

#[derive(Debug)]
struct Waiter {
    thread: thread::Thread,
    told: atomic::AtomicBool,
}

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self { waiting: std::sync::Mutex::new(VecDeque::new()) }
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let waiter = Arc::new(Waiter { thread: thread::current(), told: atomic::AtomicBool::new(false) });
        self.waiters().push_back(Arc::clone(&waiter));
        MutexGuard::unlocked(guard, || {
            while !waiter.told.load(Ordering::SeqCst) {
                thread::park();
            }
        });
    }

    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) {
        MutexGuard::unlocked(guard, switch);
    }

    pub(crate) fn notify_one(&self) {
        let waiter = self.waiters().pop_front();
        waiter.into_iter().for_each(|waiter| waiter.tell());
    }

    pub(crate) fn notify_all(&self) {
        let waiters = std::mem::take(&mut *self.waiters());
        waiters.iter().for_each(|waiter| waiter.tell());
    }

    fn waiters(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Waiter>>> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Waiter {
    fn tell(&self) {
        self.told.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}
