//! Requests, purges, faults of the origin, restarts and kills by chance, all at once; then the history of what was seen is judged by the
//! specification (`oust_reference::History`). Assertions are on that history alone, so nothing hangs on how fast anything is.
//!
//! `OUST_HISTORY_SEED` repeats the choices of a run (not its interleavings), `OUST_HISTORY_SECONDS` runs for so long instead of for 5,000
//! requests, `OUST_HISTORY_FILE` keeps the history there if it is violated, `OUST_HISTORY_CHECK` judges a kept one instead of running.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
#[path = "../common/mod.rs"]
mod common;
mod drive;
mod source;
mod world;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use common::Oust;
use drive::{Addresses, Purged, Server};
use oust_reference::{Event, History, Stop};
use source::Faults;
use world::{Random, VARY, World};

const CLIENTS: u64 = 16;
const PURGERS: u64 = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Panics with the first violations, and keeps the history.
fn judge(history: &History) -> oust_reference::Tally {
    let (violations, tally) = history.check();
    if violations.is_empty() {
        return tally;
    }
    let default = Path::new(env!("CARGO_TARGET_TMPDIR")).join("violated.history");
    let file = std::env::var_os("OUST_HISTORY_FILE").map_or(default, PathBuf::from);
    std::fs::write(&file, history.to_text()).unwrap();
    let shown: Vec<_> = violations.iter().take(3).map(ToString::to_string).collect();
    panic!("{} violations, history in {}\n{}", violations.len(), file.display(), shown.join("\n"));
}

struct Runs {
    oust: Option<Oust>,
    config: PathBuf,
}

impl Runs {
    fn start(config: &Path) -> (Self, Addresses) {
        let oust = Oust::serve(&["--config", config.to_str().unwrap(), "--api", "127.0.0.1:0"]);
        let at = Addresses { listen: oust.listen, admin: oust.admin, apis: oust.apis.unwrap() };
        (Self { oust: Some(oust), config: config.to_owned() }, at)
    }

    fn restart(&mut self, world: &World, server: &Server, kill: bool) {
        let start = world.now();
        let mut oust = self.oust.take().unwrap();
        oust.signal(if kill { "KILL" } else { "TERM" });
        let code = oust.exit_code();
        assert!(kill || code == Some(0), "{}", oust.log());
        let (runs, at) = Self::start(&self.config);
        *self = runs;
        *server.write().unwrap() = at;
        world.saw(Event::Stop(Stop { start, end: world.now(), kill }));
    }

    fn is_quiet(&self) -> bool {
        let stats = self.oust.as_ref().unwrap().api("GET", "/v1/stats", "").json();
        stats.pointer("/fills/in_flight").and_then(serde_json::Value::as_u64) == Some(0)
    }
}

#[test]
fn no_answer_is_older_than_a_purge_that_was_acknowledged_before_it_was_asked_for() {
    if let Ok(file) = std::env::var("OUST_HISTORY_CHECK") {
        let history = History::from_text(&std::fs::read_to_string(file).unwrap()).expect("a history");
        println!("{:?}", judge(&history));
        return;
    }
    let seed = number("OUST_HISTORY_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let seconds = number("OUST_HISTORY_SECONDS");
    println!("seed {seed}");
    let world = Arc::new(World::new(world::resources(48)));
    let source = source::start(&world, seed, Faults { failed: 3, cut: 3, error: 4, held: 15 });
    let name = format!("histories-{seed}");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
    drop(std::fs::remove_dir_all(&dir));
    let config = common::config_file(
        &name,
        &format!(
            "[edge]\nsize = \"3MiB\"\nmax_object = \"1MiB\"\n[l2]\ndir = {dir:?}\nsize = \"64MiB\"\nsegment = \"4MiB\"\n\
             [[site]]\nhosts = [\"*\"]\norigins = [\"http://{source}\"]\nkey = {{ headers = [\"x-side\"] }}\n{}",
            drive::ACCOUNT
        ),
    );
    let (mut runs, at) = Runs::start(&config);
    let server: Arc<Server> = Arc::new(RwLock::new(at));
    let mut random = Random::new(seed);
    let mut threads = Vec::new();
    for n in 0..CLIENTS {
        let (world, server, random) = (world.clone(), server.clone(), Random::new(seed * 1000 + n + 1));
        threads.push(thread::spawn(move || {
            drive::client(&world, &server, random, || {});
        }));
    }
    let counts: Arc<[AtomicU64; 3]> = Arc::default();
    for n in 0..PURGERS {
        let (world, server, counts) = (world.clone(), server.clone(), counts.clone());
        let mut random = Random::new(seed * 1000 + 500 + n);
        threads.push(thread::spawn(move || {
            let mut client = client::Client::default();
            while !world.is_over() {
                let mix = drive::Mix { broad: 45, rough: 15, imagekit: 100 };
                let which = match drive::purge(&world, &server, &mut client, &mut random, mix) {
                    Purged::Acknowledged => 0,
                    Purged::Refused(_) => 1,
                    Purged::Unanswered => 2,
                };
                counts[which].fetch_add(1, Ordering::SeqCst);
                if which == 2 {
                    thread::sleep(Duration::from_millis(5));
                }
                // Some tens of requests for a purge, or nothing would be stored for long.
                world.hold(5 + random.below(60));
            }
        }));
    }

    let begun = Instant::now();
    let mut next = 600 + random.below(400);
    let over = || match seconds {
        Some(seconds) => begun.elapsed() >= Duration::from_secs(seconds),
        None => world.done() >= 5000,
    };
    let (mut kills, mut stops, mut reloads) = (0, 0, 0);
    while !over() {
        // Told by the requests that are answered, or at the latest after a while.
        world.hold(50);
        if world.done() < next {
            continue;
        }
        next = world.done() + 600 + random.below(800);
        match random.below(4) {
            0 | 1 => {
                runs.restart(&world, &server, true);
                kills += 1;
            }
            2 => {
                runs.restart(&world, &server, false);
                stops += 1;
            }
            _ => {
                runs.oust.as_ref().unwrap().signal("HUP");
                reloads += 1;
            }
        }
    }
    world.over.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().unwrap();
    }
    world.calm.store(true, Ordering::SeqCst);
    let waited = Instant::now();
    let mut quiet = false;
    while !quiet && waited.elapsed() < Duration::from_secs(60) {
        quiet = runs.is_quiet() && world.under_way.load(Ordering::SeqCst) == 0;
        thread::yield_now();
    }
    drop(runs);
    let mut events = std::mem::take(&mut *world.events.lock().unwrap());
    events.extend(world.fetches.lock().unwrap().values().cloned().map(Event::Fetch));
    let history = History { l2: true, vary: VARY.to_owned(), quiet, events };
    let tally = judge(&history);
    let [acknowledged, refused, unanswered] = [0, 1, 2].map(|n: usize| counts[n].load(Ordering::SeqCst));
    let fetches = world.fetches.lock().unwrap().len();
    println!(
        "{:.1} s, {tally:?}, {fetches} fetches, purges: {acknowledged} acknowledged, {refused} refused, {unanswered} unanswered; \
         {kills} kills, {stops} stops, {reloads} reloads; hit ratio {:.3}",
        begun.elapsed().as_secs_f64(),
        tally.hits as f64 / tally.answered.max(1) as f64
    );
    assert!(tally.hits * 10 > tally.answered && tally.judged > 0 && acknowledged > 0, "a pass that says something");
}
