//! What the purge protocol synchronises by, in one place, and named points in it at which tests take control of a schedule.
//!
//! A race is an interleaving of a few steps; a test that stops one operation at a point and runs another there checks that
//! interleaving every time, without sleeping. Outside of tests a point is nothing.
//!
//! Built with `--cfg oust_shuttle`, the names below are those of `sync/explored.rs`, and `crates/oust-schedules` runs the engine under schedules
//! that [shuttle] chooses. Otherwise they are what they always were, and cost nothing.
//!
//! [shuttle]: https://docs.rs/shuttle

#[cfg(oust_shuttle)]
#[path = "sync/explored.rs"]
mod explored;

#[cfg(oust_shuttle)]
pub(crate) use explored::*;

#[cfg(not(oust_shuttle))]
pub(crate) use plain::*;

/// Locks, threads, and the atomics that order the protocol. What is only counted is `std`'s everywhere.
#[cfg(not(oust_shuttle))]
mod plain {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64};
    pub(crate) use std::{thread, thread_local};

    pub(crate) use arc_swap::ArcSwap;
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockUpgradableReadGuard, RwLockWriteGuard};
}

/// Marks a step of the purge protocol. In unit tests, runs what the current thread has set with [`at`].
#[cfg(not(any(test, oust_shuttle)))]
#[inline(always)]
pub(crate) fn point(_name: &'static str) {}

/// Marks a step of the purge protocol: another thread may go on here.
#[cfg(oust_shuttle)]
pub(crate) fn point(_name: &'static str) {
    switch();
}

#[cfg(all(test, not(oust_shuttle)))]
pub(crate) use under_test::{at, point};

#[cfg(all(test, not(oust_shuttle)))]
mod under_test {
    use std::cell::RefCell;

    type Hook = (&'static str, Box<dyn FnOnce()>);

    thread_local! {
        static HOOKS: RefCell<Vec<Hook>> = const { RefCell::new(Vec::new()) };
    }

    /// Runs `hook` once, the next time this thread passes the point `name`.
    pub(crate) fn at(name: &'static str, hook: impl FnOnce() + 'static) {
        HOOKS.with(|hooks| hooks.borrow_mut().push((name, Box::new(hook))));
    }

    pub(crate) fn point(name: &'static str) {
        let hook = HOOKS.with(|hooks| {
            let mut hooks = hooks.borrow_mut();
            hooks.iter().position(|(at, _)| *at == name).map(|found| hooks.remove(found).1)
        });
        if let Some(hook) = hook {
            hook();
        }
    }
}
