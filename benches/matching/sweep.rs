//! Sweeping a cache: a regex that takes half of the objects, and a batch of 10,000 mixed rules. *Matched* is an explanation without end of time,
//! which looks at the same objects and ends none; *swept* includes freeing what is taken.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use oust::{Config, Key, Purge, Selector};

use crate::Options;
use crate::common::engines::{Engine, Oust};
use crate::common::keys::{BODY, Random};
use crate::common::purges::{Part, Population};
use crate::report::{Report, Spread, time};
use crate::rules;

/// Rules of the batch.
const BATCH: usize = 10_000;
/// Objects it takes, in a hundred.
const TAKEN: usize = 10;
/// Long enough for any explanation.
const NO_END: Duration = Duration::from_secs(600);

pub(crate) fn run(options: &Options, report: &mut Report) {
    half(options, report);
    batch(options, report);
}

fn cache(objects: usize) -> Oust {
    let config = Config::new().edge_size((3 << 30).max(objects as u64 * 1000));
    Oust::new(config.background_sweep(false).max_rules(2 * BATCH).max_batch(BATCH))
}

fn half(options: &Options, report: &mut Report) {
    let total = options.of(1_000_000);
    println!("\nsweep: a regex that takes half of {total} objects");
    let engine = cache(total);
    let population = Population::new(total);
    population.store_all(&engine);
    let regex = || Selector::Regex("https://two.example.net/assets-[0-9]+/.*-photo\\.jpe?g$".into());
    let (mut matched, mut swept) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        matched.push(explained(&engine, &Purge::new(regex()), total / 2));
        swept.push(nanos(population.sweep(&engine, regex(), Part::Half)));
    }
    show("regex, half", total, &matched, &swept, report);
}

fn batch(options: &Options, report: &mut Report) {
    let total = if options.large { 10_000_000 } else { options.of(1_000_000) };
    println!("\nsweep: a batch of {BATCH} mixed rules that take {TAKEN} % of {total} keys");
    let rules = rules::rules(BATCH);
    let engine = cache(total);
    let mut random = Random::new(3);
    let mut taken: HashSet<Key> = HashSet::new();
    for _ in 0..total {
        let (key, hit) = rules::draw(&rules, TAKEN, &mut random);
        engine.insert(&key, BODY);
        if hit {
            taken.insert(key);
        }
    }
    let stored = engine.len();
    println!("    {stored} objects, some keys are drawn several times");
    let purge = Purge::batch(rules.iter().map(rules::Rule::selector).collect());
    let (mut matched, mut swept) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds.min(3) {
        matched.push(explained(&engine, &purge, taken.len()));
        let purged = engine.cache.purge(&purge).expect("the selectors are valid");
        let begun = Instant::now();
        engine.cache.sweep();
        swept.push(nanos(begun.elapsed()));
        let ended = engine.cache.purge_record(purged.id).expect("just published").edge.objects;
        assert_eq!(ended, taken.len() as u64);
        taken.iter().for_each(|key| engine.insert(key, BODY));
        assert_eq!(engine.len(), stored);
    }
    show("batch of 10,000", stored, &matched, &swept, report);
}

/// How long it takes to find what `purge` takes.
fn explained(engine: &Oust, purge: &Purge, matches: usize) -> f64 {
    let begun = Instant::now();
    let explained = engine.cache.explain(purge, NO_END).expect("the selectors are valid");
    let took = begun.elapsed();
    assert!(!explained.partial, "the time was not enough");
    assert_eq!(explained.edge.objects, matches as u64);
    nanos(took)
}

fn nanos(took: Duration) -> f64 {
    took.as_nanos() as f64
}

fn show(name: &str, objects: usize, matched: &[f64], swept: &[f64], report: &mut Report) {
    for (what, times) in [("matched", matched), ("swept", swept)] {
        let spread = Spread::of(times);
        println!(
            "    {what:<10} {:>12}  ({} to {}), {:.1} ns an object stored",
            time(spread.median),
            time(spread.low),
            time(spread.high),
            spread.median / objects as f64
        );
        report.row(
            &[("section", "sweep"), ("purge", name), ("what", what)],
            &[("objects", objects as f64), ("ns", spread.median), ("ns_low", spread.low), ("ns_high", spread.high)],
        );
    }
}
