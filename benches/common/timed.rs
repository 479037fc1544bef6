//! Threads that start together and run one operation over their requests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use oust::Key;

/// Operations each thread does before its clock starts: a thread is new for every measurement, and what an engine keeps by thread fills up
/// in the course of use.
pub(crate) const WARM: usize = 1 << 17;

/// Runs `op` on `ops` requests in each of `threads` threads, which walk through `requests` from different starting points. The mean of the
/// threads' times: divided by `ops`, what one operation takes in the eyes of the thread that does it.
///
/// Threads start when all are running, not when all have been woken, and one that is ready goes on off the clock until all are: each of them
/// has the company of the others from its first operation to its last.
pub(crate) fn run(
    requests: &[Key],
    threads: usize,
    warm: usize,
    ops: usize,
    op: impl Fn(&Key, usize) + Sync,
) -> Duration {
    let (started, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let one = |thread: usize| {
        let mut at = thread * requests.len() / threads;
        let mut go = |ops: usize| {
            for nth in 0..ops {
                op(&requests[at], nth);
                at = if at + 1 == requests.len() { 0 } else { at + 1 };
            }
        };
        go(warm);
        started.fetch_add(1, Ordering::AcqRel);
        while started.load(Ordering::Acquire) < threads {
            std::hint::spin_loop();
        }
        let begun = Instant::now();
        go(ops);
        let took = begun.elapsed();
        done.fetch_add(1, Ordering::AcqRel);
        while done.load(Ordering::Acquire) < threads {
            go(100);
        }
        took
    };
    let one = &one;
    let total: Duration = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        running.into_iter().map(|thread| thread.join().expect("an operation panicked")).sum()
    });
    total / threads as u32
}

/// The middle of some measurements.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Slope of the least-squares line through the logarithms.
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let n = logs.len() as f64;
    let (mean_x, mean_y) = (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
    let rise: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let run: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    rise / run
}
