//! Combinations of operations: each on a thread of its own, in a world whose state, keys and purges are drawn at random from the schedule's seed.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use shuttle::rand::{Rng, thread_rng};
use shuttle::{Config, MaxSteps, Runner, UngracefulShutdownConfig, thread};

use crate::history::JUDGED;
use crate::walk::Walk;
use crate::world::World;

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    /// A lookup, twice: the second may promote, or find the thread's front.
    Look,
    /// A request: lookup, then a fill, a join, or a validation.
    Request,
    /// A request that has to be validated whatever is stored.
    Validate,
    /// A purge of any action and layers, then a look.
    Purge,
    /// An unsafe method, then a look.
    End,
    /// A sweep of both tiers.
    Sweep,
    /// An eviction of the whole memory tier.
    Evict,
    /// A flush: what waits is written to the second tier.
    Write,
    /// An eviction of the second tier's oldest segment.
    Segment,
}

use Operation::{End, Evict, Look, Purge, Request, Segment, Sweep, Validate, Write};

const ALL: [Operation; 9] = [Look, Request, Validate, Purge, End, Sweep, Evict, Write, Segment];

impl Operation {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn is_deep(self) -> bool {
        matches!(self, Write | Segment)
    }

    fn run(self, world: &World) {
        let key = World::some_key();
        match self {
            Look => {
                world.look(key);
            }
            Request => world.request(key, None),
            Validate => world.request(key, Some(())),
            Purge => world.purge(),
            End => world.end(key),
            Sweep => world.sweep(),
            Evict => world.evict(),
            Write => world.write(),
            Segment => world.evict_segment(),
        }
        // Who comes after what was acknowledged, while others are still at it.
        world.look(key);
        if thread_rng().gen_bool(0.25) {
            world.request(World::some_key(), None);
        }
    }
}

/// Every pair, and every triple with a purge in it.
fn combinations() -> Vec<Vec<Operation>> {
    let pairs = (0..ALL.len()).flat_map(|first| (first..ALL.len()).map(move |second| [ALL[first], ALL[second]]));
    let pairs: Vec<[Operation; 2]> = pairs.collect();
    let triples = pairs.iter().map(|pair| vec![Purge, pair[0], pair[1]]);
    pairs.iter().map(|pair| pair.to_vec()).chain(triples).collect()
}

fn name_of(combination: &[Operation]) -> String {
    combination.iter().map(|operation| operation.name()).collect::<Vec<_>>().join("+")
}

fn execute(combination: &[Operation]) {
    let world = Arc::new(World::new(combination.iter().any(|operation| operation.is_deep())));
    let start = |&operation: &Operation| {
        let world = Arc::clone(&world);
        thread::spawn(move || operation.run(&world))
    };
    let threads: Vec<_> = combination.iter().map(start).collect();
    for thread in threads {
        thread.join().expect("a panic ends the execution");
    }
    world.check();
}

/// Runs the schedules of one combination; the seed of the one that failed.
fn explore(combination: &[Operation], seed: u64, count: u64) -> Result<(), u64> {
    let running = Arc::new(AtomicU64::new(seed));
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.max_steps = MaxSteps::FailAfter(100_000);
    config.silence_warnings = true;
    config.failure_persistence = shuttle::FailurePersistence::None;
    let mut shutdown = UngracefulShutdownConfig::default();
    shutdown.immediately_return_on_panic = true;
    config.ungraceful_shutdown_config = shutdown;
    let walk = Walk::new(seed, count, Arc::clone(&running));
    let combination = combination.to_vec();
    // On a thread of its own: one on which an execution has failed is of no more use.
    let ran = std::thread::spawn(move || Runner::new(walk, config).run(move || execute(&combination))).join();
    ran.map(drop).map_err(|_| running.load(Ordering::Relaxed))
}

fn number_of(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
        Err(_) => default,
    }
}

/// The test binary.
pub fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let count = number_of("OUST_SCHEDULES", 2_000);
    let seed = number_of("OUST_SCHEDULE_SEED", 0);
    let stops = std::env::var_os("OUST_SCHEDULE_STOP").is_some();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let work: Vec<_> =
        combinations().into_iter().map(|of| (name_of(&of), of)).filter(|(name, _)| is_wanted(name)).collect();
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(work.len());
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let failed = Mutex::new(Vec::new());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((name, combination)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let begun = Instant::now();
                    match explore(combination, seed, count) {
                        Ok(()) => println!("{name}: {count} in {:.1} s", begun.elapsed().as_secs_f64()),
                        Err(seed) => {
                            println!("{name}: FAILED. Again: OUST_SCHEDULE_SEED={seed} OUST_SCHEDULES=1 with the argument {name}");
                            failed.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                            over.fetch_or(stops, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seconds = begun.elapsed().as_secs_f64();
    let schedules = work.len() as u64 * count;
    println!(
        "{} combinations, {} failed; {:.0} schedules a second",
        work.len(),
        failed.len(),
        schedules as f64 / seconds
    );
    let judged = JUDGED.each_ref().map(|counter| counter.load(Ordering::Relaxed));
    let [fresh, stale, base, joined, kept] = judged;
    println!(
        "judged: {fresh} fresh, {stale} stale, {base} to be validated, {joined} joined; {kept} had to be there at the end and were"
    );
    if schedules >= 10_000 && work.len() == combinations().len() && judged.contains(&0) {
        println!("something never happens: what is it that passes?");
        return ExitCode::FAILURE;
    }
    if failed.is_empty() && !work.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
