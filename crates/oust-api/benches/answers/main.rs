//! How long the answers of the purge APIs take, before a cache of many objects and before an empty one.
//!
//! `cargo bench -p oust-api --bench answers [-- [--objects N] [--requests N]]`: 1,000,000 objects, 2,000 requests of each kind to each cache.
//!
//! Both caches are served by hyper on the loopback interface, each to one connection that is kept; their background sweepers run. In each round
//! one kind of purge is sent to both, first to the one, then to the other, in turns; before the caches change, and not on the clock, the sweeper
//! comes to its end, so that neither answers in the company of the other's. Every second purge takes something of the full cache, the others
//! nothing; what is taken is counted, and must be what was to be taken.
//!
//! Ratios of percentiles are taken within a round; the median of the rounds is printed, with the lowest and the highest.

mod asked;
mod side;

use std::time::Duration;

use asked::Kind;
use side::Side;

/// Rounds of each kind.
const ROUNDS: usize = 10;
/// Requests of each kind to each cache before the clock counts.
const WARM: usize = 200;
/// What 99 of 100 answers are to take at most, in microseconds.
const TARGET_P99: f64 = 2000.0;
/// What the full cache is to take beside the empty one at most.
const TARGET_RATIO: f64 = 1.2;

fn main() {
    let (objects, requests) = options().unwrap_or_else(|message| {
        eprintln!("{message}; known are --objects N and --requests N, of {ROUNDS} requests or more");
        std::process::exit(2);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build().expect("threads can be started");
    let mut sides = [Side::start(&runtime, objects), Side::start(&runtime, 0)];
    println!(
        "{objects} objects and none, {requests} requests of each kind to each; microseconds, p99 <= {TARGET_P99}, ratio <= {TARGET_RATIO}"
    );
    println!("{:<36} {:>23}   {:>23}", "", "full: p50    p99    max", "empty: p50    p99    max");
    let mut met = true;
    for kind in &asked::ALL {
        met &= measure(kind, &mut sides, objects, requests);
    }
    println!("{}", if met { "all within the targets" } else { "not all within the targets" });
}

fn options() -> Result<(usize, usize), String> {
    let (mut objects, mut requests) = (1_000_000, 2000);
    // Cargo's own flag is of no interest here.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(name) = arguments.next() {
        let value =
            arguments.next().and_then(|value| value.parse().ok()).ok_or_else(|| format!("{name} wants a number"))?;
        match name.as_str() {
            "--objects" => objects = value,
            "--requests" => requests = value,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    if requests < ROUNDS { Err(format!("{requests} requests are too few")) } else { Ok((objects, requests)) }
}

/// Measures a kind and prints its line; whether it is within the targets.
fn measure(kind: &Kind, sides: &mut [Side; 2], objects: usize, requests: usize) -> bool {
    let mut taken: [Vec<f64>; 2] = Default::default();
    let mut ratios: [Vec<f64>; 2] = Default::default();
    for side in &mut *sides {
        for nth in 0..WARM {
            side.ask(&kind.request(nth));
        }
        side.settle();
    }
    let mut sent = WARM;
    for round in 0..ROUNDS {
        let ends = WARM + requests * (round + 1) / ROUNDS;
        let mut times: [Vec<f64>; 2] = Default::default();
        for turn in 0..2 {
            // Neither always first.
            let nth_side = (turn + round) % 2;
            for nth in sent..ends {
                times[nth_side].push(micros(sides[nth_side].ask(&kind.request(nth))));
            }
            sides[nth_side].settle();
        }
        for (per_mille, ratios) in [500, 990].into_iter().zip(&mut ratios) {
            ratios.push(percentile(&times[0], per_mille) / percentile(&times[1], per_mille));
        }
        for (all, times) in taken.iter_mut().zip(times) {
            all.extend(times);
        }
        sent = ends;
    }
    let ended = check_taken(kind, sides, objects, sent);

    let figures = |times: &[f64]| [500, 990, 1000].map(|per_mille| percentile(times, per_mille));
    let [full, empty] = [figures(&taken[0]), figures(&taken[1])];
    let shown = |[p50, p99, max]: [f64; 3]| format!("{p50:>9.0} {p99:>6.0} {max:>6.0}");
    let spread = |ratios: &[f64]| {
        let [low, middle, high] = [0, 500, 1000].map(|per_mille| percentile(ratios, per_mille));
        format!("{middle:.2} ({low:.2} to {high:.2})")
    };
    println!(
        "{:<10} {:<25} {}   {}   p50 {}   p99 {}   took {ended}",
        kind.group,
        kind.name,
        shown(full),
        shown(empty),
        spread(&ratios[0]),
        spread(&ratios[1])
    );
    full[1] <= TARGET_P99 && percentile(&ratios[1], 500) <= TARGET_RATIO
}

/// Checks by the history that each of the last purges took of the full cache what it was to take, and of the empty one nothing; their sum.
fn check_taken(kind: &Kind, sides: &[Side; 2], objects: usize, sent: usize) -> u64 {
    let mut sum = 0;
    for (side, stored) in sides.iter().zip([objects, 0]) {
        let records = side.cache.purge_records(None, sent);
        assert_eq!(records.len(), sent, "purges in the history");
        // The newest comes first.
        for (nth, record) in (0..sent).zip(records.iter().rev()) {
            let taken = record.edge.objects;
            assert_eq!(taken, kind.takes(nth, stored) as u64, "{}, purge {nth}: {:?}", kind.name, record.selectors);
            sum += taken;
        }
    }
    sum
}

fn micros(took: Duration) -> f64 {
    took.as_nanos() as f64 / 1000.0
}

/// The value that so many in a thousand are not above.
fn percentile(values: &[f64], per_mille: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (sorted.len() * per_mille).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
