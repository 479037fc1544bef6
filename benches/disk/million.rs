//! A million objects: opening them again, the memory they take, and a purge of a hundredth of them.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use oust::{Config, L2Config, Purge, Selector};

use crate::Size;
use crate::place::{Place, Raw, drop_cached, read_all};
use crate::report::{Report, Spread, at_share, time};
use crate::tier::{Found, Tier, body, config, key, part};

/// What this program is asked when it is started to open a directory: memory that was given back before would hide what it takes.
pub(crate) const OPENED: &str = "opened";

/// Rules that are live while it opens.
const RULES: usize = 1_000;

/// Objects in memory that are asked for during purges.
const HOT: usize = 10_000;

pub(crate) fn section(size: Size, place: &Place, report: &mut Report) {
    let count = size.of(1_000_000, 20_000);
    let capacity = size.of(4 << 30, 512 << 20) as u64;
    let path = place.sub("million");
    let tier = Tier::open(&path, capacity);
    tier.write_all((0..count).map(key), &body(200));
    drop(tier);
    restart(size, report, (&path, capacity, count));
    purge(size, place, report, (&path, capacity, count));
    drop((place.sub("million"), place.sub("million-empty")));
}

// ===== Opening =====

/// What a process that opened it says.
struct Opened {
    built: f64,
    first: f64,
    loaded: f64,
    resident: f64,
    counted: f64,
}

fn restart(size: Size, report: &mut Report, (path, capacity, count): (&Path, u64, usize)) {
    let rounds = size.of(5, 1);
    for (name, cold) in [("files cached", false), ("files not cached", true)] {
        let mut times: [Vec<f64>; 4] = Default::default();
        let mut memory: [Vec<f64>; 2] = Default::default();
        for _ in 0..rounds {
            publish_rules(path, capacity);
            drop_cached(path);
            if !cold {
                read_all(path);
            }
            let opened = open_elsewhere(path, capacity, count);
            if cold {
                drop_cached(path);
            }
            let begun = Instant::now();
            read_all(path);
            for (times, ns) in times.iter_mut().zip([opened.built, opened.first, opened.loaded]) {
                times.push(ns);
            }
            times[3].push(begun.elapsed().as_nanos() as f64);
            memory[0].push(opened.counted);
            memory[1].push(opened.resident);
        }
        let median = |nth: usize| Spread::of(&times[nth]).median;
        let beside = format!("reading all files {}", time(median(3)));
        let ratio = |nth: usize| Some(Spread::of_ratios(&times[nth], &times[3]));
        let figure = |what: &str| format!("restart, {count} objects, {RULES} rules, {name}: {what}");
        let second = |nth: usize, most: f64| median(nth) <= most * 1e9;
        report.row(
            figure("lookups answered"),
            time(median(0)),
            beside.clone(),
            ratio(0),
            Some(("<= 1 s", second(0, 1.0))),
        );
        report.row(figure("first hit"), time(median(1)), beside.clone(), ratio(1), Some(("<= 1 s", second(1, 1.0))));
        report.row(figure("all loaded"), time(median(2)), beside, ratio(2), Some(("<= 3 s", second(2, 3.0))));
        if !cold {
            for (nth, what) in ["counted", "resident, without mapped files"].into_iter().enumerate() {
                let bytes = Spread::of(&memory[nth]).median;
                let met = bytes <= 32.0;
                let figure = format!("memory an object, {what}");
                report.row(figure, format!("{bytes:.1} B"), "", None, Some(("<= 32 B", met)));
            }
        }
    }
}

/// Leaves live rules in the journal: nothing is swept without the sweeper.
fn publish_rules(path: &Path, capacity: u64) {
    let tier = Tier::with(config(path, capacity).background_sweep(false));
    let rule = |nth: usize| Selector::Pattern(format!("https://p{:02}.example.net/not-asked-for-{nth}/**", nth % 100));
    tier.cache.purge(&Purge::batch((0..RULES).map(rule).collect())).expect("the selectors are valid");
}

fn open_elsewhere(path: &Path, capacity: u64, count: usize) -> Opened {
    let this = std::env::current_exe().expect("the path of this program");
    let numbers = [capacity.to_string(), count.to_string()];
    let answer = Command::new(this).arg(OPENED).arg(path).args(numbers).output().expect("this program runs again");
    let text = String::from_utf8_lossy(&answer.stdout);
    let values: Vec<f64> = text.split_whitespace().filter_map(|value| value.parse().ok()).collect();
    let [built, first, loaded, resident, counted] = values[..] else {
        panic!("{text}{}", String::from_utf8_lossy(&answer.stderr));
    };
    Opened { built, first, loaded, resident, counted }
}

/// Opens a directory and says how long that took, in nanoseconds, and what each object takes, in bytes.
pub(crate) fn child(arguments: &[String]) {
    let [path, capacity, count] = arguments else { panic!("a path and two numbers") };
    let (capacity, count): (u64, usize) = (capacity.parse().expect("a number"), count.parse().expect("a number"));
    // The newest segment is the first to be read.
    let newest = key(count - 1);
    let config = |path: &str| Config::new().edge_size(1 << 20).l2(L2Config::directory(path, capacity));
    // What a tier takes without any objects is no object's.
    let bare = anonymous_bytes();
    let empty = Tier::with(config(&format!("{path}-empty")));
    empty.wait_loaded();
    let fixed = anonymous_bytes().saturating_sub(bare);
    let before = anonymous_bytes() + fixed;
    let begun = Instant::now();
    let tier = Tier::with(config(path));
    let built = begun.elapsed();
    let live = tier.cache.stats().live_rules;
    assert!(live >= RULES as u64, "{live} rules are live");
    while matches!(tier.find(&newest), Found::Nothing) {
        std::thread::sleep(Duration::from_micros(100));
    }
    let first = begun.elapsed();
    tier.wait_loaded();
    let loaded = begun.elapsed();
    let stats = tier.stats();
    assert_eq!(stats.objects, count as u64, "all are there");
    let resident = anonymous_bytes().saturating_sub(before) as f64 / count as f64;
    let counted = stats.memory_bytes as f64 / count as f64;
    println!("{} {} {} {resident} {counted}", built.as_nanos(), first.as_nanos(), loaded.as_nanos());
}

/// Resident memory that is no file's.
fn anonymous_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

// ===== A purge of a hundredth =====

const QUIET: usize = 0;
const PURGED: usize = 1;
const OVER: usize = 2;

fn purge(size: Size, place: &Place, report: &mut Report, (path, capacity, count): (&Path, u64, usize)) {
    let rounds = size.of(9, 3);
    let tier = Tier::open(path, capacity);
    tier.wait_loaded();
    let raw = Raw::reserved(place.path().join("purge.raw"), 1 << 20);
    let hot: Vec<_> = (0..HOT).map(crate::common::keys::key).collect();
    let small = body(200);
    hot.iter().for_each(|key| tier.store(key, &small));
    for key in &hot {
        assert!(matches!(tier.find(key), Found::Now(_)));
    }
    tier.flush();
    let mut times: [Vec<f64>; 5] = Default::default();
    for round in 0..rounds {
        let begun = Instant::now();
        raw.write_synced(4096 * round as u64, &[1; 4096]);
        times[2].push(begun.elapsed().as_nanos() as f64);
        let (phase, ready) = (AtomicUsize::new(QUIET), AtomicBool::new(false));
        let mut quantiles = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen: [Vec<f64>; 2] = [Vec::with_capacity(1 << 20), Vec::with_capacity(1 << 20)];
                ready.store(true, Ordering::Release);
                for key in hot.iter().cycle() {
                    let now = phase.load(Ordering::Relaxed);
                    if now == OVER {
                        break;
                    }
                    let begun = Instant::now();
                    assert!(matches!(tier.find(key), Found::Now(_)), "it is in memory");
                    let took = begun.elapsed().as_nanos() as f64;
                    if seen[now].len() < 1 << 20 {
                        seen[now].push(took);
                    }
                }
                seen.map(|mut seen| at_share(&mut seen, 0.99))
            });
            while !ready.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(100));
            phase.store(PURGED, Ordering::Relaxed);
            let begun = Instant::now();
            let purged = tier.cache.purge(&Purge::new(part(round))).expect("the selector is valid");
            times[0].push(begun.elapsed().as_nanos() as f64);
            let record = loop {
                let record = tier.cache.purge_record(purged.id).expect("just published");
                if record.swept_ms.is_some() {
                    break record;
                }
                std::thread::sleep(Duration::from_micros(200));
            };
            times[1].push(begun.elapsed().as_nanos() as f64);
            phase.store(OVER, Ordering::Relaxed);
            assert_eq!(record.l2.objects, (count / 100) as u64, "a hundredth is taken");
            reader.join().expect("the reader goes on")
        });
        times[3].push(std::mem::take(&mut quantiles[PURGED]));
        times[4].push(quantiles[QUIET]);
    }
    let median = |nth: usize| Spread::of(&times[nth]).median;
    let figure = |what: &str| format!("purge of 1 % of {count} objects: {what}");
    let ratio = |over: usize, under: usize| Some(Spread::of_ratios(&times[over], &times[under]));
    let beside = format!("fdatasync {}", time(median(2)));
    report.row(figure("acknowledged"), time(median(0)), beside.clone(), ratio(0, 2), None);
    let met = median(1) <= 200e6;
    report.row(figure("swept"), time(median(1)), beside, ratio(1, 2), Some(("<= 200 ms", met)));
    let within = Spread::of_ratios(&times[3], &times[4]);
    let beside = format!("before {}", time(median(4)));
    let target = Some(("<= 1.10", within.median <= 1.1));
    report.row(figure("p99 of hits in memory"), time(median(3)), beside, Some(within), target);
}
