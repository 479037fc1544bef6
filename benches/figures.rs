//! The figures of `docs/benchmarks.md`: medians over interleaved rounds, as ratios within one run.
//!
//! `cargo bench --bench figures [-- [--quick] [--large] [section ...]]` with the sections `hits`, `mixed`, `rules`, `memory`, `ratio`,
//! `sweep`, `growth`; all without. `--quick` takes a tenth of everything, to see that it runs; `--large` adds 10 M objects to `growth` (about
//! 6 GB).
//!
//! In each round every engine has its turn, so that what else the machine does meets all of them; a ratio is taken within a round, and the
//! median of the rounds is printed, with the lowest and the highest. More than 1 means that `oust` is faster.
//!
//! See `lookup` for what is compared. Memory is counted by the global allocator of this program, with the rounding that a general-purpose
//! allocator adds; it counts only while memory is measured.

mod common;

use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use oust::{Config, Key, Selector};

use common::allocated::{Counting, resident_bytes};
use common::engines::{EVICTING, Engine, MAP, Named, Oust, Room, Shared, Subject, Text, fill, oust, peer};
use common::keys::{BODY, BODY_LEN, KEY_LEN, Random, Zipf, key, mix, place, zipf_requests};
use common::purges::{self, Part, Population, Publisher};
use common::timed::{WARM, median, slope};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

fn main() {
    // Cargo's own flag is of no interest here.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [asked, name, entries] = &arguments[..]
        && asked == SPENT
    {
        let spent = Spent::of(entries.parse().expect("a number"), &|entries| one_of(name, entries));
        println!("{:>6.0} B allocated   {:>6.0} B resident{}", spent.allocated, spent.resident, spent.charged);
        return;
    }
    let (flags, sections): (Vec<_>, Vec<_>) = arguments.iter().map(String::as_str).partition(|a| a.starts_with("--"));
    if let Some(unknown) = flags.iter().find(|flag| !["--quick", "--large"].contains(flag)) {
        eprintln!("unknown flag {unknown}: --quick and --large are known");
        std::process::exit(2);
    }
    if let Some(unknown) = sections.iter().find(|section| SECTIONS.iter().all(|(name, _)| name != *section)) {
        eprintln!("unknown section {unknown}: {} are known", SECTIONS.map(|(name, _)| name).join(", "));
        std::process::exit(2);
    }
    let size = Size { quick: flags.contains(&"--quick"), large: flags.contains(&"--large") };
    for (name, section) in SECTIONS {
        if sections.is_empty() || sections.contains(&name) {
            section(size);
        }
    }
}

type Section = fn(Size);

const SECTIONS: [(&str, Section); 7] = [
    ("hits", hits),
    ("mixed", mixed),
    ("rules", under_rules),
    ("memory", memory),
    ("ratio", hit_ratio),
    ("sweep", sweep),
    ("growth", growth),
];

/// How much is measured.
#[derive(Clone, Copy)]
struct Size {
    quick: bool,
    large: bool,
}

impl Size {
    fn of(self, full: usize) -> usize {
        if self.quick { full / 10 } else { full }
    }

    fn entries(self) -> usize {
        self.of(1_000_000)
    }

    fn rounds(self) -> usize {
        if self.quick { 3 } else { 9 }
    }

    fn requests(self, seed: u64) -> Vec<Key> {
        zipf_requests(self.entries(), self.of(1 << 20), seed)
    }
}

/// Bytes in which nothing is evicted.
const PLENTY: u64 = 3 << 30;

// ===== Lookups =====

fn hits(size: Size) {
    let requests = size.requests(1);
    let hot = vec![key(7); 1024];
    let ops = size.of(1 << 20);
    let plenty = Room::Entries(2 * size.entries());
    let subjects =
        beside_peers(oust(Config::new().edge_size(PLENTY)), plenty, &[EVICTING[0], EVICTING[1], EVICTING[2], MAP]);
    for subject in &subjects {
        fill(subject.engine(), size.entries());
    }
    title("hit: all entries held, zipf 0.99");
    compare(size, "1 thread", &subjects, |subject| subject.hits(&requests, 1, size.of(WARM), ops), ops);
    compare(size, "2 threads", &subjects, |subject| subject.hits(&requests, 2, size.of(WARM), ops), ops);
    compare(size, "2 threads, one hot key", &subjects, |subject| subject.hits(&hot, 2, size.of(WARM), ops), ops);
}

fn mixed(size: Size) {
    let requests = size.requests(2);
    let room = size.entries() / 10;
    let ops = size.of(1 << 20);
    let subjects = beside_peers(oust(Config::new().edge_size(bytes_for(room))), Room::Entries(room), &EVICTING);
    for subject in &subjects {
        fill(subject.engine(), room);
    }
    title("get/insert 90/10, room for a tenth of the keys");
    compare(size, "1 thread", &subjects, |subject| subject.mixed(&requests, 1, size.of(WARM), ops), ops);
    compare(size, "2 threads", &subjects, |subject| subject.mixed(&requests, 2, size.of(WARM), ops), ops);
    for subject in &subjects {
        let held = subject.engine().len();
        let found = requests.iter().filter(|key| subject.engine().get(key).is_some()).count();
        println!(
            "    {:<26} holds {held}, finds {:.1} %",
            subject.name(),
            100.0 * found as f64 / requests.len() as f64
        );
    }
}

/// Bytes in which `oust` holds about so many entries.
fn bytes_for(entries: usize) -> u64 {
    let probe = Oust::new(Config::new().edge_size(PLENTY));
    fill(&probe, entries);
    probe.cache.stats().bytes
}

fn beside_peers(engine: Named<Oust>, room: Room, names: &[&str]) -> Vec<Box<dyn Subject>> {
    let mut subjects: Vec<Box<dyn Subject>> = vec![Box::new(engine)];
    for name in names {
        subjects.push(peer::<Key, Shared>(name, room));
        subjects.push(peer::<Text, Shared>(name, room));
        subjects.push(peer::<Text, Bytes>(name, room));
    }
    subjects
}

fn compare(
    size: Size,
    setting: &str,
    subjects: &[Box<dyn Subject>],
    run: impl Fn(&dyn Subject) -> Duration,
    ops: usize,
) {
    let names: Vec<&str> = subjects.iter().map(|subject| subject.name()).collect();
    rounds(size, setting, &names, |nth| per_op(run(&*subjects[nth]), ops));
}

fn under_rules(size: Size) {
    let requests = size.requests(3);
    let ops = size.of(1 << 20);
    let make = |sweeps: bool| oust(Config::new().edge_size(PLENTY).background_sweep(sweeps));
    let (none, ruled, purged) = (make(false), make(false), make(true));
    purges::publish_elsewhere(&ruled.1.cache, 10_000);
    for engine in [&none, &ruled, &purged] {
        fill(&engine.1, size.entries());
    }
    let run = |engine: &Named<Oust>| per_op(engine.hits(&requests, 1, size.of(WARM), ops), ops);
    title("hit of oust, 1 thread: ratio over the same lookup with no rule");
    rounds(size, "", &["no rules", "10,000 live, judged", "no purges", "1,000 purges/s"], |nth| match nth {
        0 => run(&none),
        1 => run(&ruled),
        2 => run(&purged),
        _ => {
            let publisher = Publisher::start(&purged.1.cache, 1000);
            let took = run(&purged);
            drop(publisher);
            took
        }
    });
    let stats = purged.1.cache.stats();
    println!("    {} rules published, {} live", stats.seq, stats.live_rules);
}

/// Measures each of `names` once a round and prints nanoseconds and, but for the first, the ratio to the first.
fn rounds(size: Size, setting: &str, names: &[&str], measure: impl Fn(usize) -> f64) {
    let mut taken: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
    for round in 0..size.rounds() {
        // Neither always first nor always after the same one.
        for turn in 0..names.len() {
            let nth = (turn + round) % names.len();
            taken[nth].push(measure(nth));
        }
    }
    if !setting.is_empty() {
        println!("  {setting}");
    }
    for (name, times) in names.iter().zip(&taken) {
        let mut ratios: Vec<f64> = times.iter().zip(&taken[0]).map(|(time, first)| time / first).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let (low, high) = (ratios.first().copied().unwrap_or(f64::NAN), ratios.last().copied().unwrap_or(f64::NAN));
        let time = median(times.clone());
        println!("    {name:<26} {time:>10.1} ns   {:>6.2}  ({low:.2} to {high:.2})", median(ratios));
    }
}

fn per_op(took: Duration, ops: usize) -> f64 {
    took.as_nanos() as f64 / ops as f64
}

// ===== Memory =====

/// What this program is asked when it is started to measure one engine: memory given back by an earlier one would hide what it takes.
const SPENT: &str = "spent";

fn memory(size: Size) {
    title("memory per object beyond body and head, key of 60 bytes included");
    for name in ["oust"].into_iter().chain(EVICTING).chain([MAP]) {
        let this = std::env::current_exe().expect("the path of this program");
        let answer = Command::new(this).args([SPENT, name, &size.entries().to_string()]).output();
        let answer = answer.expect("this program runs again");
        print!("    {name:<26} {}", String::from_utf8_lossy(&answer.stdout));
    }
}

/// An engine by name, with room for `entries` and more.
fn one_of(name: &str, entries: usize) -> Box<dyn Subject> {
    match name {
        "oust" => Box::new(oust(Config::new().edge_size(PLENTY))),
        name => peer::<Text, Shared>(name, Room::Entries(2 * entries)),
    }
}

/// Bytes an engine takes for each object beyond its body.
struct Spent {
    /// Counted at the allocator.
    allocated: f64,
    /// As the system sees it.
    resident: f64,
    /// What the engine itself says, if it counts.
    charged: String,
}

impl Spent {
    fn of(entries: usize, make: &dyn Fn(usize) -> Box<dyn Subject>) -> Self {
        let before = resident_bytes();
        ALLOCATOR.start();
        let subject = make(entries);
        fill(subject.engine(), entries);
        let held = subject.engine().len() as f64;
        let allocated = ALLOCATOR.stop() as f64;
        let grown = resident_bytes() as f64 - before as f64;
        let beyond = |bytes: f64| bytes / held - BODY_LEN as f64;
        let charged = subject.engine().charged().map(|bytes| format!("   {:>6.0} B charged", beyond(bytes as f64)));
        drop(subject);
        Self { allocated: beyond(allocated), resident: beyond(grown), charged: charged.unwrap_or_default() }
    }
}

// ===== Hit ratio =====

/// Keys of the zipf part.
const POPULAR: usize = 200_000;
/// Keys the scans go through, over and over.
const SCANNED: usize = 500_000;

fn hit_ratio(size: Size) {
    let entries = size.of(200_000);
    let overhead = |name: &str| {
        let spent = Spent::of(entries, &|entries| one_of(name, entries));
        (spent.allocated - KEY_LEN as f64).max(0.0) as u64
    };
    let capacity = size.of(64 << 20) as u64;
    title("hit ratio: 70 % zipf 0.99, 15 % scans, 15 % asked for once; equal bytes, each engine's own included");
    let trace = Trace::new(size);
    let report = |subject: Box<dyn Subject>, overhead: u64| {
        let ratio = 100.0 * trace.run(subject.engine());
        let (name, held) = (subject.name(), subject.engine().len());
        println!("    {name:<26} {ratio:>6.2} %   holds {held} objects, {overhead} B each beyond key and body");
    };
    report(Box::new(oust(Config::new().edge_size(capacity))), overhead("oust"));
    for name in EVICTING {
        let overhead = overhead(name);
        report(peer::<Text, Shared>(name, Room::Bytes { capacity, overhead }), overhead);
    }
}

/// Requests of three kinds.
struct Trace {
    ids: Vec<u32>,
    /// Requests that only warm the cache up.
    warm: usize,
}

impl Trace {
    fn new(size: Size) -> Self {
        let (popular, scanned, len) = (size.of(POPULAR), size.of(SCANNED), size.of(4_000_000));
        let zipf = Zipf::new(popular, 0.99);
        let mut random = Random::new(42);
        let mut ids = Vec::with_capacity(len);
        let (mut scan, mut once) = (0, popular + scanned);
        while ids.len() < len {
            // Stretches of ordinary load, then one of a scan.
            for _ in 0..8500 {
                if random.below(85) < 15 {
                    ids.push(once as u32);
                    once += 1;
                } else {
                    ids.push(zipf.draw(&mut random) as u32);
                }
            }
            for _ in 0..1500 {
                ids.push((popular + scan) as u32);
                scan = (scan + 1) % scanned;
            }
        }
        Self { warm: ids.len() / 5, ids }
    }

    /// The share of requests that find their object; the others store it.
    fn run(&self, engine: &dyn Engine) -> f64 {
        let mut found = 0;
        for (nth, &id) in self.ids.iter().enumerate() {
            let key = key(id as usize);
            if black_box(engine.get(&key)).is_none() {
                engine.insert(&key, body_of(id));
            } else if nth >= self.warm {
                found += 1;
            }
        }
        found as f64 / (self.ids.len() - self.warm) as f64
    }
}

/// A body of 256 bytes to 16 KiB, always the same length for a key.
fn body_of(id: u32) -> &'static [u8] {
    static BYTES: [u8; 16 << 10] = [b'x'; 16 << 10];
    let word = mix(u64::from(id)) as usize;
    let octave = 256 << (word % 6);
    &BYTES[..octave + (word >> 8) % octave]
}

// ===== Purges =====

fn sweep(size: Size) {
    title("sweep: time to end and free what one rule takes");
    let engine = Oust::new(Config::new().edge_size(PLENTY).background_sweep(false));
    let population = Population::new(size.entries());
    population.store_all(&engine);
    for (name, part) in [
        ("one URL", Part::One),
        ("directory of 10 objects", Part::Ten),
        ("1 % below a directory", Part::Hundredth),
        ("1 % by tag", Part::Tagged),
        ("50 % below a directory", Part::Half),
    ] {
        let times = (0..size.rounds()).map(|_| population.sweep(&engine, Population::selector(part), part));
        let times: Vec<f64> = times.map(|took| took.as_nanos() as f64 / 1000.0).collect();
        println!("    {name:<26} {:>12.1} us of {} objects", median(times), size.entries());
    }
}

/// Objects that match, however many there are.
const MATCHES: usize = 1000;

fn growth(size: Size) {
    title("growth of a sweep that ends 1,000 objects, with the number of objects stored");
    let mut totals = vec![10_000, 100_000];
    if !size.quick {
        totals.push(1_000_000);
    }
    if size.large {
        totals.push(10_000_000);
    }
    let mut points: [Vec<(f64, f64)>; 2] = Default::default();
    for &total in &totals {
        let engine = Oust::new(Config::new().edge_size(PLENTY.max(total as u64 * 1000)).background_sweep(false));
        let population = Population::with_matches(total, MATCHES);
        population.store_all(&engine);
        let flat = |engine: &Oust| (0..MATCHES).for_each(|n| engine.insert(&place("flt", 0, n), BODY));
        let mut times: [Vec<f64>; 2] = Default::default();
        for _ in 0..3 * size.rounds() {
            let took = population.sweep(&engine, Population::selector(Part::Hundredth), Part::Hundredth);
            times[0].push(took.as_nanos() as f64 / 1000.0);
            flat(&engine);
            let selector = Selector::Pattern("https://flt.example.net/assets-00000/*".into());
            times[1].push(purges::sweep(&engine, selector, MATCHES).as_nanos() as f64 / 1000.0);
        }
        for (points, times) in points.iter_mut().zip(times) {
            points.push((total as f64, median(times)));
        }
    }
    for (name, points) in ["/**, all below a directory", "/*, one directory"].into_iter().zip(&points) {
        let times: Vec<String> = points.iter().map(|(total, time)| format!("{total:.0}: {time:.0} us")).collect();
        println!("    {name:<28} slope {:>5.2}   {}", slope(points), times.join(", "));
    }
}

fn title(text: &str) {
    println!("\n{text}");
}
