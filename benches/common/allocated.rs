//! Memory: what is allocated, counted by the allocator of the program, and what is resident.
#![allow(unsafe_code, reason = "a global allocator, to count what the engines allocate")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Resident set of this process; 0 where the system does not tell.
pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The system's allocator, counted while `on`.
pub(crate) struct Counting {
    on: AtomicBool,
    live: AtomicI64,
}

impl Counting {
    pub(crate) const fn new() -> Self {
        Self { on: AtomicBool::new(false), live: AtomicI64::new(0) }
    }

    /// Counts from zero.
    pub(crate) fn start(&self) {
        self.live.store(0, Ordering::Relaxed);
        self.on.store(true, Ordering::Relaxed);
    }

    /// Counts no more; the bytes allocated since the start and not given back.
    pub(crate) fn stop(&self) -> i64 {
        self.on.store(false, Ordering::Relaxed);
        self.live.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: i64) {
        if self.on.load(Ordering::Relaxed) {
            self.live.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

/// What a block of `bytes` takes: a word before it, a multiple of 16, at least 32.
fn rounded(bytes: usize) -> i64 {
    (bytes + 8).next_multiple_of(16).max(32) as i64
}

// SAFETY: every call is passed on to the system's allocator as it came, and its answer given back unchanged; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count(rounded(layout.size()));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.count(rounded(layout.size()));
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.count(-rounded(layout.size()));
        // SAFETY: the caller keeps the contract of `dealloc`, and every block came from the system's allocator.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.count(rounded(size) - rounded(layout.size()));
        // SAFETY: the caller keeps the contract of `realloc`, and every block came from the system's allocator.
        unsafe { System.realloc(block, layout, size) }
    }
}
