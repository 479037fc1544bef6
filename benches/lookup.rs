//! Lookups: `oust` beside dashmap, moka, quick_cache and foyer, all in one run.
//!
//! What is compared: 1 M entries with keys of 60 bytes and bodies of 200, every one held; a precomputed sequence of requests, zipf 0.99, the
//! same for all; one thread and two, and two threads that ask for one key only. Then nine lookups to one insertion with room for a tenth of
//! the keys. One operation is: key lookup with whatever hashing the engine does on a prepared key, a handle of the value, its first body byte,
//! the handle given back. Times are those of a thread, not divided by the number of threads.
//!
//! What is not: how a key is made from a request (`oust` hashes there; the others' rows `(key)` use the same hashed keys, their rows `(text)`
//! hash the text at each lookup); reading the whole body; eviction policy (see `figures`). The others check neither `Vary` nor freshness nor
//! purges; `oust` does at each lookup.
//!
//! Then `oust` against itself: with 10,000 live unswept rules on other hosts and directories, and while another thread publishes 1,000 purges a
//! second that the background sweep takes up.

mod common;

use std::cell::{LazyCell, OnceCell};
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use oust::{Config, Key};

use common::engines::{EVICTING, Form, MAP, Named, Oust, Room, Shared, Subject, Text, Value, fill, label, oust, peer};
use common::keys::{key, zipf_requests};
use common::purges;
use common::timed::WARM;

const ENTRIES: usize = 1_000_000;
/// Requests in the sequence.
const REQUESTS: usize = 1 << 20;
/// Room for everything.
const PLENTY: u64 = 2 << 30;

/// A subject that is made and filled when it is first measured: what a filter leaves out costs nothing.
struct Later {
    name: String,
    entries: usize,
    make: Box<dyn Fn() -> Box<dyn Subject>>,
    made: OnceCell<Box<dyn Subject>>,
}

impl Later {
    fn new(name: String, entries: usize, make: impl Fn() -> Box<dyn Subject> + 'static) -> Self {
        Self { name, entries, make: Box::new(make), made: OnceCell::new() }
    }

    fn peer<K: Form, V: Value>(name: &'static str, entries: usize, room: usize) -> Self {
        Self::new(label::<K, V>(name), entries, move || peer::<K, V>(name, Room::Entries(room)))
    }

    fn get(&self) -> &dyn Subject {
        let made = self.made.get_or_init(|| {
            let made = (self.make)();
            fill(made.engine(), self.entries);
            made
        });
        &**made
    }
}

fn lookups(c: &mut Criterion) {
    let requests = zipf_requests(ENTRIES, REQUESTS, 1);
    let hot = vec![key(7); 1024];
    let mut hits = |subject: &Later| {
        bench(c, "hit, 1 thread", &subject.name, |ops| subject.get().hits(&requests, 1, WARM, ops));
        bench(c, "hit, 2 threads", &subject.name, |ops| subject.get().hits(&requests, 2, WARM, ops));
        bench(c, "one hot key, 2 threads", &subject.name, |ops| subject.get().hits(&hot, 2, WARM, ops));
    };
    hits(&Later::new("oust".into(), ENTRIES, || Box::new(oust(Config::new().edge_size(PLENTY)))));
    for name in EVICTING.into_iter().chain([MAP]) {
        // Shards do not fill evenly: room to spare, or some entries would be evicted.
        hits(&Later::peer::<Text, Shared>(name, ENTRIES, 2 * ENTRIES));
        hits(&Later::peer::<Key, Shared>(name, ENTRIES, 2 * ENTRIES));
        hits(&Later::peer::<Text, Bytes>(name, ENTRIES, 2 * ENTRIES));
    }
}

fn mixed(c: &mut Criterion) {
    let requests = zipf_requests(ENTRIES, REQUESTS, 2);
    let room = ENTRIES / 10;
    let mut both = |subject: &Later| {
        bench(c, "get-insert 90-10, 1 thread", &subject.name, |ops| subject.get().mixed(&requests, 1, WARM, ops));
        bench(c, "get-insert 90-10, 2 threads", &subject.name, |ops| subject.get().mixed(&requests, 2, WARM, ops));
    };
    both(&Later::new("oust".into(), room, move || Box::new(oust(Config::new().edge_size(room_for(room))))));
    for name in EVICTING {
        both(&Later::peer::<Text, Shared>(name, room, room));
        both(&Later::peer::<Key, Shared>(name, room, room));
    }
}

fn under_rules(c: &mut Criterion) {
    let requests = zipf_requests(ENTRIES, REQUESTS, 3);
    let mut hits = |name: &str, engine: &LazyCell<Named<Oust>, Box<dyn FnOnce() -> Named<Oust>>>| {
        bench(c, "hit under rules, 1 thread", name, |ops| engine.hits(&requests, 1, WARM, ops));
    };
    let plenty = |sweeps: bool| oust(Config::new().edge_size(PLENTY).background_sweep(sweeps));

    hits(
        "no rules",
        &LazyCell::new(Box::new(move || {
            let engine = plenty(false);
            fill(&engine.1, ENTRIES);
            engine
        })),
    );
    hits(
        "judged up to the newest of 10,000 live rules",
        &LazyCell::new(Box::new(move || {
            let engine = plenty(false);
            purges::publish_elsewhere(&engine.1.cache, 10_000);
            fill(&engine.1, ENTRIES);
            engine
        })),
    );
    hits(
        "judged up to the newest but one of 10,001 live rules",
        &LazyCell::new(Box::new(move || {
            let engine = plenty(false);
            purges::publish_elsewhere(&engine.1.cache, 10_000);
            fill(&engine.1, ENTRIES);
            purges::publish_elsewhere(&engine.1.cache, 1);
            engine
        })),
    );
    let swept = LazyCell::new(Box::new(move || {
        let engine = plenty(true);
        fill(&engine.1, ENTRIES);
        engine
    }) as Box<dyn FnOnce() -> Named<Oust>>);
    bench(c, "hit under rules, 1 thread", "1,000 purges a second elsewhere", |ops| {
        let publisher = purges::Publisher::start(&swept.1.cache, 1_000);
        let took = swept.hits(&requests, 1, WARM, ops);
        drop(publisher);
        took
    });
}

/// Bytes in which `oust` holds about so many entries.
fn room_for(entries: usize) -> u64 {
    let probe = Oust::new(Config::new().edge_size(PLENTY));
    fill(&probe, entries);
    probe.cache.stats().bytes
}

fn bench(c: &mut Criterion, setting: &str, name: &str, run: impl Fn(usize) -> Duration) {
    let mut group = c.benchmark_group(setting);
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group.bench_function(BenchmarkId::from_parameter(name), |b| {
        b.iter_custom(|iterations| run(usize::try_from(iterations).expect("a few billions at most")));
    });
    group.finish();
}

criterion_group!(benches, lookups, mixed, under_rules);
criterion_main!(benches);
