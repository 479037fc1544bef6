//! Chooses schedules: every other one at random, the others by priorities that change at a few random steps (PCT, Burckhardt et al. 2010).
//!
//! A schedule is a function of its seed alone, so that a seed is all it takes to have it again. That is why neither of shuttle's own schedulers is used:
//! what they choose hangs on the schedules before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// Random numbers from a seed (splitmix64).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// A scheduler for the seeds from one on.
#[derive(Debug)]
pub struct Walk {
    left: u64,
    seed: u64,
    /// The seed of the schedule that runs, for whoever reports it.
    running: Arc<AtomicU64>,
    choices: Random,
    data: Random,
    /// Of each task, the highest runs; `None` where all are alike.
    priorities: Option<Vec<i64>>,
    lowest: i64,
    /// Steps at which the task that runs goes to the end of the queue.
    changes: Vec<u64>,
    steps: u64,
}

impl Walk {
    /// `count` schedules, of the seeds from `seed` on. `running` is told the seed of each.
    pub fn new(seed: u64, count: u64, running: Arc<AtomicU64>) -> Self {
        let (choices, data) = (Random(0), Random(0));
        Self { left: count, seed, running, choices, data, priorities: None, lowest: 0, changes: Vec::new(), steps: 0 }
    }
}

impl Scheduler for Walk {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.left = self.left.checked_sub(1)?;
        let seed = self.seed;
        self.seed = seed.wrapping_add(1);
        self.running.store(seed, Ordering::Relaxed);
        self.choices = Random(seed);
        self.data = Random(!seed);
        self.steps = 0;
        self.lowest = 0;
        self.priorities = (seed % 2 == 1).then(Vec::new);
        // How long the schedule will be is not known: short ones and long ones get their share.
        let length = 32 << self.choices.below(6);
        let depth = 1 + self.choices.below(4);
        self.changes = (0..depth).map(|_| self.choices.below(length)).collect();
        Some(Schedule::new(seed))
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Option<TaskId> {
        if runnable.len() == 1 {
            return runnable.first().map(|task| task.id());
        }
        let Some(priorities) = &mut self.priorities else {
            let at = self.choices.below(runnable.len() as u64) as usize;
            return runnable.get(at).map(|task| task.id());
        };
        let newest = runnable.iter().map(|task| usize::from(task.id())).max().unwrap_or(0);
        while priorities.len() <= newest {
            priorities.push(self.choices.below(1 << 40) as i64);
        }
        let changes = self.changes.contains(&self.steps) || is_yielding;
        self.steps += 1;
        if let Some(current) = current.filter(|_| changes) {
            self.lowest -= 1;
            if let Some(priority) = priorities.get_mut(usize::from(current)) {
                *priority = self.lowest;
            }
        }
        runnable.iter().max_by_key(|task| priorities.get(usize::from(task.id()))).map(|task| task.id())
    }

    fn next_u64(&mut self) -> u64 {
        self.data.next()
    }
}
