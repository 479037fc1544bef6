//! Counts what the current thread asks the allocator for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What some work asked for; a block that grows counts by what it gains.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// All of it.
    pub bytes: usize,
    pub calls: usize,
    /// The most held at once.
    pub peak: usize,
    /// Held at the end; for whoever reads a trace.
    #[allow(dead_code, reason = "shown")]
    pub kept: isize,
}

#[derive(Clone, Copy)]
struct Counts {
    bytes: usize,
    calls: usize,
    live: isize,
    peak: isize,
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { bytes: 0, calls: 0, live: 0, peak: 0 }) };
}

/// What `body` asks for on this thread.
pub fn spent<T>(body: impl FnOnce() -> T) -> (T, Spent) {
    COUNTS.with(|counts| counts.set(Counts { bytes: 0, calls: 0, live: 0, peak: 0 }));
    let out = body();
    let Counts { bytes, calls, live, peak } = COUNTS.with(Cell::get);
    (out, Spent { bytes, calls, peak: peak.unsigned_abs(), kept: live })
}

/// So much more is held than before; `asked`: the allocator is called for it.
fn count(more: isize, asked: bool) {
    COUNTS.with(|counts| {
        let mut now = counts.get();
        now.bytes = now.bytes.wrapping_add_signed(more.max(0));
        now.calls = now.calls.wrapping_add(usize::from(asked));
        now.live = now.live.wrapping_add(more);
        now.peak = now.peak.max(now.live);
        counts.set(now);
    });
}

/// No block is larger than `isize::MAX`.
fn signed(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()), true);
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()), true);
        // SAFETY: the caller's own promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-signed(layout.size()), false);
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(signed(size) - signed(layout.size()), true);
        // SAFETY: the caller's own promise.
        unsafe { System.realloc(at, layout, size) }
    }
}
