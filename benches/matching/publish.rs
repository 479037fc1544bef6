//! Publishing one rule where many are live, with a reader on the other core.
//!
//! One publication is a [`MatchSet::add`] of one `d/**` selector, text to being in force; what compiling it takes is measured apart. The reader
//! judges mixed keys all the time and takes the time of each judgement: alone, while rules are published without a pause, and at a steady rate.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use oust::purge::{MatchSet, Matcher};
use oust::site::Sites;
use oust::{Action, Key, Selector};

use crate::Options;
use crate::peers::set_of;
use crate::report::{Report, percentile, time};
use crate::rules::{self, Keys};

/// Rules published without a pause.
const ADDS: usize = 20_000;
/// Rules a second of the steady run.
const RATE: u32 = 10_000;

/// What one phase took, in nanoseconds.
struct Phase {
    name: &'static str,
    adds: Vec<u32>,
    reads: Vec<u32>,
    lasted: Duration,
}

pub(crate) fn run(options: &Options, report: &mut Report) {
    let live = options.rules.iter().copied().max().unwrap_or(100_000);
    println!("\npublishing one d/** where {live} mixed rules are live");
    let rules = rules::rules(live);
    let set = set_of(&rules).expect("the rules are valid");
    let keys = Keys::new(&rules, options.keys, 1, 5);
    let mut compiled: Vec<u32> = (0..options.of(ADDS))
        .map(|nth| {
            let (selector, begun) = (selector(nth), Instant::now());
            black_box(Matcher::new(&selector, &Sites::default())).expect("the selector is valid");
            nanos(begun.elapsed())
        })
        .collect();
    println!("    compiling alone: median {}", time(percentile(&mut compiled, 0.5)));

    let seconds = Duration::from_secs(if options.quick { 1 } else { 4 });
    let quiet = with_reader("none published", &set, &keys.keys, |_| std::thread::sleep(seconds));
    let burst = with_reader("without a pause", &set, &keys.keys, |adds| {
        for nth in 0..options.of(ADDS) {
            adds.push(add(&set, nth));
        }
    });
    let steady = with_reader("10,000 a second", &set, &keys.keys, |adds| {
        let begun = Instant::now();
        for nth in 0..seconds.as_secs() as u32 * RATE {
            // Sleeping would be late by half of the interval.
            while begun.elapsed() < Duration::from_secs(1) / RATE * nth {
                std::hint::spin_loop();
            }
            adds.push(add(&set, ADDS + nth as usize));
        }
    });
    println!(
        "                        adds: median          p99          max     reads: median          p99    p99 to quiet        p99.9"
    );
    let mut first = f64::NAN;
    for mut phase in [quiet, burst, steady] {
        let adds = [0.5, 0.99, 1.0].map(|share| percentile(&mut phase.adds, share));
        let reads = [0.5, 0.99, 0.999].map(|share| percentile(&mut phase.reads, share));
        if first.is_nan() {
            first = reads[1];
        }
        let rate = phase.adds.len() as f64 / phase.lasted.as_secs_f64();
        println!(
            "    {:<20} {:>12} {:>12} {:>12} {:>17} {:>12} {:>15.2} {:>12}   {rate:.0} adds/s",
            phase.name,
            time(adds[0]),
            time(adds[1]),
            time(adds[2]),
            time(reads[0]),
            time(reads[1]),
            reads[1] / first,
            time(reads[2])
        );
        report.row(
            &[("section", "publish"), ("phase", phase.name)],
            &[
                ("live", live as f64),
                ("adds", phase.adds.len() as f64),
                ("adds_per_second", rate),
                ("add_p50", adds[0]),
                ("add_p99", adds[1]),
                ("add_max", adds[2]),
                ("read_p50", reads[0]),
                ("read_p99", reads[1]),
                ("read_p999", reads[2]),
                ("read_p99_ratio", reads[1] / first),
            ],
        );
    }
}

fn nanos(took: Duration) -> u32 {
    took.as_nanos().min(u128::from(u32::MAX)) as u32
}

/// On hosts that keys are asked for, in directories that they are not in.
fn selector(nth: usize) -> Selector {
    Selector::Pattern(format!("https://h{:03}.example.net/section-{:02}/p{nth:05}/**", nth % 100, nth / 100 % 10))
}

fn add(set: &MatchSet, nth: usize) -> u32 {
    let (selector, begun) = ([selector(nth)], Instant::now());
    set.add(&selector, Action::Delete).expect("the selector is valid");
    nanos(begun.elapsed())
}

/// Runs `publish` while another thread judges.
fn with_reader(name: &'static str, set: &MatchSet, keys: &[Key], publish: impl FnOnce(&mut Vec<u32>)) -> Phase {
    const MOST: usize = 1 << 25;
    let (stop, reading) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            // Written beforehand: a pause for memory would be taken for one of the engine.
            let mut reads = vec![1; MOST];
            let mut at = 0;
            for _ in 0..2 {
                at = 0;
                reading.fetch_add(1, Ordering::Release);
                for key in keys.iter().cycle() {
                    let begun = Instant::now();
                    black_box(set.judge(key.as_ref(), 0));
                    reads[at] = nanos(begun.elapsed());
                    at += 1;
                    // The first time warms up.
                    let warm = reading.load(Ordering::Relaxed) == 1 && at == keys.len();
                    if warm || at == MOST || stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            }
            reads.truncate(at);
            reads
        });
        while reading.load(Ordering::Acquire) < 2 {
            std::thread::yield_now();
        }
        let mut adds = Vec::with_capacity(1 << 20);
        let begun = Instant::now();
        publish(&mut adds);
        let lasted = begun.elapsed();
        stop.store(true, Ordering::Relaxed);
        let reads = reader.join().expect("the reader panicked");
        Phase { name, adds, reads, lasted }
    })
}
