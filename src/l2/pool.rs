//! The threads that wait for the disk, so that nobody else does: few, with a bounded queue.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::sync::{Condvar, Mutex, thread};

type Job = Box<dyn FnOnce() + Send>;

/// Jobs that wait at most; a lookup beyond them is a miss.
const MOST: usize = 1024;

/// A bounded queue of jobs with its threads.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    more: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("jobs", &self.jobs.len()).field("closed", &self.closed).finish()
    }
}

impl Pool {
    /// A pool of so many threads.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let state = State { jobs: VecDeque::new(), closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), more: Condvar::new() });
        let start = |n| {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("oust-disk-{n}")).spawn(move || shared.work())
        };
        let threads = (0..threads).map(start).collect::<Result<_, _>>()?;
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    /// Hands over a job; false if too many wait.
    pub(crate) fn submit(&self, job: impl FnOnce() + Send + 'static) -> bool {
        let mut state = self.shared.state.lock();
        if state.closed || state.jobs.len() >= MOST {
            return false;
        }
        state.jobs.push_back(Box::new(job));
        drop(state);
        self.shared.more.notify_one();
        true
    }

    /// Drops what waits and ends the threads.
    pub(crate) fn close(&self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        let dropped = std::mem::take(&mut state.jobs);
        drop(state);
        drop(dropped);
        self.shared.more.notify_all();
        for thread in self.threads.lock().drain(..) {
            // The last handle of a cache may go on one of these threads: it cannot wait for itself.
            if thread.thread().id() != thread::current().id() {
                drop(thread.join());
            }
        }
    }
}

impl Shared {
    fn work(&self) {
        loop {
            let mut state = self.state.lock();
            while state.jobs.is_empty() && !state.closed {
                self.more.wait(&mut state);
            }
            let Some(job) = state.jobs.pop_front() else { return };
            drop(state);
            // A job runs wakers, which are not ours. One that panics has said so; who waits for it was told by the drop of its promise.
            drop(catch_unwind(AssertUnwindSafe(job)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_job_that_panics_costs_no_thread() {
        let pool = Pool::start(1).unwrap();
        let (done, is_done) = mpsc::channel();
        assert!(pool.submit(|| panic!("of a waker")));
        assert!(pool.submit(move || done.send(()).unwrap()));
        is_done.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
        pool.close();
    }
}
