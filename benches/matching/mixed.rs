//! The mixed load: all engines side by side, in interleaved rounds.

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

/// What an engine took in the rounds for one share of hits: nanoseconds a key.
#[derive(Default)]
struct Taken {
    fresh: Vec<f64>,
    warm: Vec<f64>,
}

pub(crate) fn run(options: &Options, report: &mut Report) {
    let mut plots: Vec<[Vec<Series>; 2]> = SHARES.iter().map(|_| Default::default()).collect();
    for &count in &options.rules {
        let rules = rules::rules(count);
        println!("\nmixed load, {count} rules");
        let mut engines = engines(options, &rules, report);
        check(&mut engines, &rules, options);
        let taken = measure(options, &rules, &mut engines);
        for (share, (taken, plots)) in SHARES.into_iter().zip(taken.iter().zip(&mut plots)) {
            println!("  {share} % of the keys taken; ratios to oust     warm                      never seen before");
            for ((name, _), own) in engines.iter().zip(taken) {
                show(count, share, name, own, &taken[0], report);
                for (plot, times) in plots.iter_mut().zip([&own.warm, &own.fresh]) {
                    add(plot, name, count as f64, Spread::of(times).median);
                }
            }
        }
    }
    for (share, [warm, fresh]) in SHARES.into_iter().zip(&plots) {
        let title = |what: &str| format!("Mixed rules, {share} % of the keys taken, {what}");
        report.plot(&format!("mixed-{share}-warm"), &title("keys seen before"), warm);
        report.plot(&format!("mixed-{share}-fresh"), &title("keys never seen before"), fresh);
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
            if begun.elapsed() > 4 * options.limit {
                break;
            }
        }
        println!("    {name:<20} answers as it should for {checked} keys");
    }
}

/// For each share of hits what each engine took.
fn measure(options: &Options, rules: &[Rule], engines: &mut [(&'static str, Box<dyn Engine>)]) -> Vec<Vec<Taken>> {
    let mut taken: Vec<Vec<Taken>> =
        SHARES.iter().map(|_| engines.iter().map(|_| Taken::default()).collect()).collect();
    for round in 0..options.rounds {
        for (nth_share, share) in SHARES.into_iter().enumerate() {
            // Others in each round.
            let keys = Keys::new(rules, options.keys, share, (10 * round + nth_share) as u64);
            for turn in 0..engines.len() {
                let nth = (turn + round) % engines.len();
                let engine = &mut engines[nth].1;
                engine.fresh(rules);
                engine.answer(&keys, 0);
                keys.touch();
                let (done, took) = engine.pass(&keys, options.keys, options.limit);
                let own = &mut taken[nth_share][nth];
                own.fresh.push(each(done, took));
                let warm: Vec<f64> = (0..WARM)
                    .map(|_| {
                        let (done, took) = engine.pass(&keys, done, options.limit);
                        each(done, took)
                    })
                    .collect();
                own.warm.push(Spread::of(&warm).median);
            }
        }
    }
    taken
}

fn each(done: usize, took: Duration) -> f64 {
    took.as_nanos() as f64 / done as f64
}

fn show(count: usize, share: usize, name: &str, own: &Taken, first: &Taken, report: &mut Report) {
    let mut line = format!("    {name:<20}");
    for (what, own, first) in [("warm", &own.warm, &first.warm), ("fresh", &own.fresh, &first.fresh)] {
        let ratios: Vec<f64> = own.iter().zip(first).map(|(own, first)| own / first).collect();
        let (own, ratio) = (Spread::of(own), Spread::of(&ratios));
        line += &format!("{:>12} {:>8.2}  ({:.2} to {:.2})", time(own.median), ratio.median, ratio.low, ratio.high);
        report.row(
            &[("section", "mixed"), ("engine", name), ("keys", what)],
            &[
                ("rules", count as f64),
                ("taken_percent", share as f64),
                ("ns", own.median),
                ("ns_low", own.low),
                ("ns_high", own.high),
                ("ratio", ratio.median),
                ("ratio_low", ratio.low),
                ("ratio_high", ratio.high),
            ],
        );
    }
    println!("{line}");
}
