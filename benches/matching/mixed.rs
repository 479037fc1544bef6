//! The mixed load: all engines side by side, in interleaved rounds.
//!
//! In its turn an engine forgets what it learnt, judges keys for the first time (*first*: a lazy automaton is as empty as after every publication,
//! which builds it anew), the same keys three times more (*warm*: the middle one counts), and then as many others (*unseen*). A pass that takes too
//! long is cut short, and those that follow it are over as many keys; where that is so, the number of keys is printed.

use std::time::Duration;

use crate::Options;
use crate::child::{self, Built};
use crate::peers::{self, Engine};
use crate::report::{Report, Series, Spread, time};
use crate::rules::{self, Keys, Rule};

/// Keys taken, in a hundred.
const SHARES: [usize; 3] = [0, 1, 50];
/// Passes over the same keys behind the first.
const WARM: usize = 3;
/// Keys on which the answers are compared.
const CHECKED: usize = 5_000;

/// Whether the keys of a pass were seen before, in the order in which they are shown.
const PASSES: [&str; 3] = ["warm", "unseen", "first"];

/// What an engine took in the rounds for one share of hits: nanoseconds a key for each of [`PASSES`], and the fewest keys of a pass.
struct Taken {
    ns: [Vec<f64>; 3],
    keys: usize,
}

pub(crate) fn run(options: &Options, report: &mut Report) {
    let mut plots: Vec<[Vec<Series>; 3]> = SHARES.iter().map(|_| Default::default()).collect();
    for &count in &options.rules {
        let rules = rules::rules(count);
        println!("\nmixed load, {count} rules");
        let mut engines = engines(options, &rules, report);
        check(&mut engines, &rules, options);
        let taken = measure(options, &rules, &mut engines);
        for (share, (taken, plots)) in SHARES.into_iter().zip(taken.iter().zip(&mut plots)) {
            let [warm, unseen, first] = PASSES;
            println!("  {share} % of the keys taken; ratio to oust {warm:>15} {unseen:>38} {first:>38}");
            for ((name, _), own) in engines.iter().zip(taken) {
                show((count, share, options.keys), name, own, &taken[0], report);
                for (plot, times) in plots.iter_mut().zip(&own.ns) {
                    add(plot, name, count as f64, Spread::of(times).median);
                }
            }
        }
    }
    for (share, plots) in SHARES.into_iter().zip(&plots) {
        for (pass, plot) in PASSES.into_iter().zip(plots) {
            let title = format!("Mixed rules, {share} % of the keys taken, {pass}");
            report.plot(&format!("mixed-{share}-{pass}"), &title, plot);
        }
    }
}

fn add(plot: &mut Vec<Series>, name: &str, x: f64, y: f64) {
    match plot.iter_mut().find(|series| series.name == name) {
        Some(series) => series.points.push((x, y)),
        None => plot.push(Series { name: name.into(), points: vec![(x, y)] }),
    }
}

/// The engines that can be built within the limits, `oust` first.
fn engines(options: &Options, rules: &[Rule], report: &mut Report) -> Vec<(&'static str, Box<dyn Engine>)> {
    let mut engines = Vec::new();
    println!("  build                        time     allocated      resident    after keys    bytes a rule, resident");
    for name in peers::NAMES.into_iter().filter(|name| options.asks_for(name)) {
        let count = rules.len();
        let texts = [("section", "build"), ("engine", name)];
        match child::build(name, count) {
            Ok(Built { seconds, allocated, resident, used }) => {
                let mib = |bytes: f64| format!("{:.1} MiB", bytes / f64::from(1 << 20));
                let each = resident / count as f64;
                println!(
                    "    {name:<20} {:>12} {:>13} {:>13} {:>13} {each:>12.0}",
                    time(seconds * 1e9),
                    mib(allocated),
                    mib(resident),
                    mib(used)
                );
                let numbers = [
                    ("rules", count as f64),
                    ("seconds", seconds),
                    ("allocated", allocated),
                    ("resident", resident),
                    ("resident_after_keys", used),
                ];
                report.row(&texts, &numbers);
                if name == peers::NAMES[0] {
                    println!("    {name:<20} {:>12.0} bytes allocated for each rule", allocated / count as f64);
                }
                engines.push((name, peers::build(name, rules).expect("it was built before")));
            }
            Err(reason) => {
                println!("    {name:<20} {reason}");
                report.row(&[texts[0], texts[1], ("failed", &reason)], &[("rules", count as f64)]);
            }
        }
    }
    engines
}

/// Asserts that every engine answers what is known.
fn check(engines: &mut [(&'static str, Box<dyn Engine>)], rules: &[Rule], options: &Options) {
    let keys = Keys::new(rules, CHECKED, 50, 99);
    for (name, engine) in engines {
        let begun = std::time::Instant::now();
        let mut checked = 0;
        for (nth, &taken) in keys.taken.iter().enumerate() {
            let key = String::from_utf8_lossy(keys.keys[nth].text());
            assert_eq!(engine.answer(&keys, nth), taken, "{name} on {key}");
            checked += 1;
            if begun.elapsed() > 10 * options.limit {
                break;
            }
        }
        println!("    {name:<20} answers as it should for {checked} keys");
    }
}

/// For each share of hits what each engine took.
fn measure(options: &Options, rules: &[Rule], engines: &mut [(&'static str, Box<dyn Engine>)]) -> Vec<Vec<Taken>> {
    let none = || Taken { ns: Default::default(), keys: options.keys };
    let mut taken: Vec<Vec<Taken>> = SHARES.iter().map(|_| engines.iter().map(|_| none()).collect()).collect();
    for round in 0..options.rounds {
        for (nth_share, share) in SHARES.into_iter().enumerate() {
            // Others in each round.
            let seed = 100 * round + 10 * nth_share;
            let [keys, others] = [seed, seed + 1].map(|seed| Keys::new(rules, options.keys, share, seed as u64));
            // Made off the clock.
            for keys in [&keys, &others] {
                keys.requests();
            }
            for turn in 0..engines.len() {
                let nth = (turn + round) % engines.len();
                let engine = &mut engines[nth].1;
                let own = &mut taken[nth_share][nth];
                // What learns is given the time to.
                let limit = if engine.learns() { 10 * options.limit } else { options.limit };
                engine.fresh(rules);
                let mut pass = |keys: &Keys, count: usize| {
                    keys.touch();
                    let (done, took) = engine.pass(keys, count, limit);
                    own.keys = own.keys.min(done);
                    (done, each(done, took))
                };
                let (done, first) = pass(&keys, options.keys);
                let warm = [(); WARM].map(|()| pass(&keys, done).1);
                let (_, unseen) = pass(&others, done);
                for (all, ns) in own.ns.iter_mut().zip([Spread::of(&warm).median, unseen, first]) {
                    all.push(ns);
                }
            }
        }
    }
    taken
}

fn each(done: usize, took: Duration) -> f64 {
    took.as_nanos() as f64 / done as f64
}

fn show((count, share, keys): (usize, usize, usize), name: &str, own: &Taken, first: &Taken, report: &mut Report) {
    let mut line = format!("    {name:<13}");
    for ((pass, times), first) in PASSES.into_iter().zip(&own.ns).zip(&first.ns) {
        let ratios: Vec<f64> = times.iter().zip(first).map(|(own, first)| own / first).collect();
        let (times, ratio) = (Spread::of(times), Spread::of(&ratios));
        let range = format!("({:.2} to {:.2})", ratio.low, ratio.high);
        line += &format!("{:>11} {:>7.2} {range:<20}", time(times.median), ratio.median);
        report.row(
            &[("section", "mixed"), ("engine", name), ("pass", pass)],
            &[
                ("rules", count as f64),
                ("taken_percent", share as f64),
                ("keys", own.keys as f64),
                ("ns", times.median),
                ("ns_low", times.low),
                ("ns_high", times.high),
                ("ratio", ratio.median),
                ("ratio_low", ratio.low),
                ("ratio_high", ratio.high),
            ],
        );
    }
    if own.keys < keys {
        line += &format!("  {} keys", own.keys);
    }
    println!("{line}");
}
