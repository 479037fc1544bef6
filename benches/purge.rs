//! Purges: publishing rules, sweeping what they take, and explaining what they would take.
//!
//! `publish`: one purge of one rule, from its text to its being in force, in an empty cache with no live rules and with 10,000 others. Rules
//! are retired in between and the 10,000 published anew, both off the clock. Nothing is made durable here: there is no journal.
//!
//! `sweep`: how long the sweep of one rule takes over 1 M objects, by kind and by how many objects it ends; freeing them is included. What was
//! taken is stored again off the clock.
//!
//! `explain`: the same questions without taking anything.

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use oust::{Cache, Config, Purge, Selector};

use common::engines::Oust;
use common::purges::{Part, Population, publish_elsewhere};

const OBJECTS: usize = 1_000_000;
/// Rules published before the table is emptied.
const ROUND: u64 = 1000;

fn publish(c: &mut Criterion) {
    for live in [0, 10_000] {
        let mut group = c.benchmark_group(format!("publish into {live} live rules"));
        group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(500));
        for (name, selector) in kinds() {
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter_custom(|iterations| publish_round(live, iterations, &selector));
            });
        }
        group.finish();
    }
}

/// A selector for each number.
type Numbered = Box<dyn Fn(u64) -> Selector>;

/// One of each kind.
fn kinds() -> Vec<(&'static str, Numbered)> {
    fn pattern(text: impl Fn(u64) -> String + 'static) -> Numbered {
        Box::new(move |n| Selector::Pattern(text(n)))
    }
    vec![
        ("url", Box::new(|n| Selector::Url(format!("https://www.example.net/d/{n}/index.html")))),
        ("key", Box::new(|n| Selector::Key(format!("https://www.example.net/d/{n}/index.html@@device=mobile")))),
        (
            "variant",
            Box::new(|n| Selector::Variant {
                key: format!("https://www.example.net/d/{n}/index.html"),
                headers: vec![("accept-encoding".into(), "br".into())],
            }),
        ),
        ("directory, one level", pattern(|n| format!("https://www.example.net/d/{n}/*"))),
        ("directory, all levels", pattern(|n| format!("https://www.example.net/d/{n}/**"))),
        ("extension", pattern(|n| format!("https://www.example.net/d/{n}/*.jpeg"))),
        ("prefix", pattern(|n| format!("https://www.example.net/d/{n}/photo*"))),
        ("prefix and suffix", pattern(|n| format!("https://www.example.net/d/{n}/a**b"))),
        ("glob", Box::new(|n| Selector::Glob(format!("https://www.example.net/d/{n}/*/size-*/*.jpeg?v=*")))),
        ("regex", Box::new(|n| Selector::Regex(format!("https://www.example.net/d/{n}/[a-z]+[0-9]{{1,4}}\\.jpe?g$")))),
        ("host", Box::new(|n| Selector::Host(format!("h{n}.example.net")))),
        ("below a host", Box::new(|n| Selector::Host(format!("*.h{n}.example.net")))),
        ("tag", Box::new(|n| Selector::Tag(format!("tag-{n}")))),
        ("all", Box::new(|_| Selector::All)),
    ]
}

fn publish_round(live: usize, iterations: u64, selector: &dyn Fn(u64) -> Selector) -> Duration {
    let cache = empty_cache();
    let mut took = Duration::ZERO;
    for first in (0..iterations).step_by(ROUND as usize) {
        publish_elsewhere(&cache, live);
        let purges: Vec<Purge> = (first..iterations.min(first + ROUND)).map(|n| Purge::new(selector(n))).collect();
        let begun = Instant::now();
        for purge in &purges {
            drop(black_box(cache.purge(purge)).expect("the selector is valid"));
        }
        took += begun.elapsed();
        cache.sweep();
    }
    took
}

fn empty_cache() -> Cache {
    Config::new().edge_size(64 << 20).background_sweep(false).build().expect("the configuration is valid")
}

fn swept() -> [(&'static str, Part); 5] {
    [
        ("url", Part::One),
        ("directory of 10 objects", Part::Ten),
        ("1 % below a directory", Part::Hundredth),
        ("1 % by tag", Part::Tagged),
        ("50 %, one host's directories", Part::Half),
    ]
}

fn sweep_and_explain(c: &mut Criterion) {
    let engine = Oust::new(Config::new().edge_size(2 << 30).background_sweep(false));
    let population = Population::new(OBJECTS);
    population.store_all(&engine);

    let mut group = c.benchmark_group("sweep of 1 M objects");
    // One iteration a sample: storing again what was taken costs far more than the sweep.
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(1));
    for (name, part) in swept() {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter_custom(|iterations| {
                (0..iterations).map(|_| population.sweep(&engine, Population::selector(part), part)).sum()
            });
        });
    }
    group.finish();

    let mut group = c.benchmark_group("explain over 1 M objects");
    group.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_secs(1));
    for (name, part) in swept() {
        let purge = Purge::new(Population::selector(part));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| engine.cache.explain(&purge, Duration::from_secs(60)).expect("the selector is valid"));
        });
    }
    group.finish();
}

criterion_group!(benches, publish, sweep_and_explain);
criterion_main!(benches);
