//! What some work costs, in figures that a busy machine does not change.

use rustix::time::{ClockId, clock_gettime};

use crate::alloc::{Spent, spent};

/// Sanitizers and builds without optimisation are slow.
pub const SLOW: u64 = 20;

/// CPU time of this thread, and what it asks the allocator for.
#[derive(Debug)]
pub struct Cost {
    pub micros: u64,
    pub spent: Spent,
}

fn cpu_micros() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000
}

/// What `body` costs.
pub fn measured<T>(body: impl FnOnce() -> T) -> (T, Cost) {
    let before = cpu_micros();
    let (out, spent) = spent(body);
    (out, Cost { micros: cpu_micros() - before, spent })
}
