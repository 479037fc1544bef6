//! Counts what the current thread asks the allocator for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Bytes and calls so far; a block that grows counts by what it gains.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    pub bytes: usize,
    pub calls: usize,
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static SPENT: Cell<Spent> = const { Cell::new(Spent { bytes: 0, calls: 0 }) };
}

/// Of this thread, since it began.
pub fn spent() -> Spent {
    SPENT.with(Cell::get)
}

fn count(bytes: usize) {
    SPENT.with(|spent| {
        let Spent { bytes: sum, calls } = spent.get();
        spent.set(Spent { bytes: sum.wrapping_add(bytes), calls: calls.wrapping_add(1) });
    });
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's own promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.saturating_sub(layout.size()));
        // SAFETY: the caller's own promise.
        unsafe { System.realloc(at, layout, size) }
    }
}
