//! A server under mixed traffic, 100 purges a second, faults of its origin and reloads, for as long as it is told: nothing may grow, nothing
//! may fail that the origin did not make fail, and the history of all of it is judged as it comes.
//!
//! `OUST_SOAK=seconds` runs it; `-- --ignored` without that runs for 1,200 seconds. `OUST_HISTORY_SEED` repeats the choices.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../histories/client.rs"]
mod client;
#[path = "../common/mod.rs"]
mod common;
#[path = "../histories/drive.rs"]
mod drive;
mod figures;
#[path = "../histories/source.rs"]
mod source;
#[path = "../histories/world.rs"]
mod world;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use common::Oust;
use drive::{Addresses, Mix, Purged, Server};
use figures::{Sample, Samples};
use oust_reference::{Checker, Event, Request, Time};
use source::Faults;
use world::{Random, VARY, World};

const CLIENTS: u64 = 8;
/// Of all clients together, in a second.
const REQUESTS: u64 = 240;
const PURGERS: u64 = 4;
/// Of all purgers together, in a second.
const PURGES: u64 = 100;
const SECOND: Time = 1_000_000;
/// What is judged has ended so long ago: the revalidations that it owes are known then.
const SETTLED: Time = 15 * SECOND;
/// What is forgotten was over so long ago: longer than any request may take.
const FORGOTTEN: Time = 120 * SECOND;
/// Growth of private memory that fails a run of ten minutes or more, KiB a minute. What leaks 40 bytes for each purge shows here.
const GROWTH: f64 = 256.0;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn soak_for_as_long_as_the_environment_says() {
    match number("OUST_SOAK") {
        Some(seconds) => soak(seconds),
        None => println!("OUST_SOAK is not set"),
    }
}

#[test]
#[ignore = "20 minutes"]
fn soak_for_twenty_minutes() {
    if number("OUST_SOAK").is_none() {
        soak(1200);
    }
}

/// A metronome: so many ticks a second, late ones at once.
fn ticks(world: Arc<World>, a_second: f64) -> impl FnMut() {
    let mut next = Instant::now();
    move || {
        next += Duration::from_secs_f64(1.0 / a_second);
        let now = Instant::now();
        if next > now && !world.is_over() {
            thread::sleep(next - now);
        } else if now > next + Duration::from_secs(1) {
            // Behind by more than a second: no storm to catch up.
            next = now;
        }
    }
}

/// Judges what has settled.
struct Judge {
    checker: Checker,
    pending: Vec<Request>,
    fed: Time,
    forgot: Time,
    violations: u64,
    told: Vec<String>,
    clauses: HashMap<String, u64>,
}

impl Judge {
    fn step(&mut self, world: &World, all: bool) {
        let now = world.now();
        // Fetches first: what a request names began before it was answered.
        let events = std::mem::take(&mut *world.events.lock().unwrap());
        {
            let mut fetches = world.fetches.lock().unwrap();
            for fetch in fetches.values().filter(|fetch| fetch.end.is_none_or(|end| end + SECOND >= self.fed)) {
                self.checker.fetch(fetch.clone());
            }
            fetches.retain(|_, fetch| fetch.end.is_none_or(|end| end + FORGOTTEN > now));
        }
        self.fed = now;
        for event in events {
            match event {
                Event::Purge(purge) => self.checker.purge(&purge),
                Event::Request(request) => self.pending.push(request),
                Event::Stop(stop) => self.checker.stop(stop),
                Event::Fetch(fetch) => self.checker.fetch(fetch),
            }
        }
        let settled: Vec<_> = self.pending.extract_if(.., |request| all || request.end + SETTLED < now).collect();
        for request in settled {
            for violation in self.checker.request(&request, now) {
                self.violations += 1;
                *self.clauses.entry(format!("{:?}", violation.clause)).or_default() += 1;
                if self.told.len() < 5 {
                    println!("{violation}");
                    self.told.push(violation.to_string());
                }
            }
        }
        if self.forgot + 10 * SECOND < now {
            self.forgot = now;
            self.checker.forget(now.saturating_sub(FORGOTTEN));
        }
    }
}

fn soak(seconds: u64) {
    let seed = number("OUST_HISTORY_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("{seconds} s, seed {seed}");
    let world = Arc::new(World::new(world::resources(400)));
    let source = source::start(&world, seed, Faults { failed: 1, cut: 1, error: 1, held: 3 });
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak");
    drop(std::fs::remove_dir_all(&dir));
    // Small enough that everything is full long before the warm-up ends.
    let config = common::config_file(
        "soak",
        &format!(
            "[edge]\nsize = \"8MiB\"\nmax_object = \"1MiB\"\n[purge]\nhistory = 2000\n[l2]\ndir = {dir:?}\nsize = \"64MiB\"\nsegment = \"4MiB\"\n\
             [[site]]\nhosts = [\"*\"]\norigins = [\"http://{source}\"]\nkey = {{ headers = [\"x-side\"] }}\n{}",
            drive::ACCOUNT
        ),
    );
    // The lines that tell the addresses are of this level.
    let oust = Oust::logging("info", &["--config", config.to_str().unwrap(), "--api", "127.0.0.1:0"]);
    let at = Addresses { listen: oust.listen, admin: oust.admin, apis: oust.apis.unwrap() };
    let server: Arc<Server> = Arc::new(RwLock::new(at));
    let (mut clients, mut threads) = (Vec::new(), Vec::new());
    for n in 0..CLIENTS {
        let (world, server, random) = (world.clone(), server.clone(), Random::new(seed * 1000 + n + 1));
        let wait = ticks(world.clone(), REQUESTS as f64 / CLIENTS as f64);
        clients.push(thread::spawn(move || drive::client(&world, &server, random, wait)));
    }
    let took: Arc<Mutex<Vec<u32>>> = Arc::default();
    let [refused, unanswered]: [Arc<AtomicU64>; 2] = Default::default();
    for n in 0..PURGERS {
        let (world, server, took) = (world.clone(), server.clone(), took.clone());
        let (refused, unanswered) = (refused.clone(), unanswered.clone());
        let mut random = Random::new(seed * 1000 + 500 + n);
        let mut wait = ticks(world.clone(), PURGES as f64 / PURGERS as f64);
        threads.push(thread::spawn(move || {
            let mut client = client::Client::default();
            while !world.is_over() {
                wait();
                let begun = Instant::now();
                match drive::purge(&world, &server, &mut client, &mut random, Mix { broad: 1, rough: 5, imagekit: 5 }) {
                    Purged::Acknowledged => {
                        took.lock().unwrap().push(begun.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
                    }
                    Purged::Refused(status) => {
                        if refused.fetch_add(1, Ordering::SeqCst) < 5 {
                            println!("a purge was refused: {status}");
                        }
                    }
                    Purged::Unanswered => {
                        unanswered.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        }));
    }

    let begun = Instant::now();
    let mut judge = Judge {
        checker: Checker::new(true, VARY),
        pending: Vec::new(),
        fed: 0,
        forgot: 0,
        violations: 0,
        told: Vec::new(),
        clauses: HashMap::new(),
    };
    let mut samples = Samples::default();
    let [mut sampled, mut reloads, mut reported] = [0; 3];
    while begun.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(Duration::from_secs(1));
        judge.step(&world, false);
        let second = begun.elapsed().as_secs();
        // Judging takes what it takes, so these go by the clock and not by steps.
        if second / 5 > sampled {
            sampled = second / 5;
            samples.push(begun.elapsed(), Sample::of(oust.child.id()).expect("the server runs"));
        }
        if second / 5 > reloads {
            reloads = second / 5;
            if reloads % 2 == 0 {
                assert_eq!(oust.api("POST", "/v1/reload", "").status, 200);
            } else {
                oust.signal("HUP");
            }
        }
        if second / 60 > reported {
            reported = second / 60;
            let (fetches, rules) = judge.checker.remembered();
            println!(
                "{second:>5} s: {} | {:?}, {fetches} fetches and {rules} rules remembered, {} violations",
                samples.last(),
                judge.checker.tally(),
                judge.violations
            );
        }
    }
    world.over.store(true, Ordering::SeqCst);
    world.calm.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().unwrap();
    }
    let again: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    judge.step(&world, true);

    let tally = judge.checker.tally();
    let mut took = std::mem::take(&mut *took.lock().unwrap());
    took.sort_unstable();
    let at = |share: usize| f64::from(took[(took.len() * share / 100).min(took.len() - 1)]) / 1000.0;
    println!("{tally:?}");
    println!(
        "hit ratio {:.3}; {again} requests sent again, their kept connection was closed",
        tally.hits as f64 / tally.answered.max(1) as f64
    );
    println!(
        "{} purges acknowledged ({:.1} a second), p50 {:.2} ms, p99 {:.2} ms; {} refused, {} unanswered",
        took.len(),
        took.len() as f64 / begun.elapsed().as_secs_f64(),
        at(50),
        at(99),
        refused.load(Ordering::SeqCst),
        unanswered.load(Ordering::SeqCst)
    );
    let report = samples.report();
    println!("{report}");
    println!("{} violations {:?}", judge.violations, judge.clauses);
    assert_eq!(judge.violations, 0, "{}", judge.told.join("\n"));
    assert_eq!(unanswered.load(Ordering::SeqCst), 0, "purges without an answer");
    assert!(tally.hits * 10 > tally.answered, "a pass that says something");
    assert!(report.steady(), "descriptors or threads grow");
    if seconds >= 600 {
        assert!(report.growth < GROWTH, "memory grows by more than {GROWTH} KiB a minute");
    }
}
