//! Purges that take nothing of the general population, and the population on which sweeps are measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use oust::{Cache, Key, Purge, Selector};

use super::engines::{Engine, Oust};
use super::keys::{BODY, place};

/// The `nth` of a sequence of selectors that match nothing stored: other hosts, and other directories and URLs of hosts that are asked for.
pub(crate) fn elsewhere(nth: usize) -> Selector {
    match nth % 4 {
        0 => Selector::Url(format!("https://other-{nth}.example.org/index.html")),
        1 => Selector::Pattern(format!("https://other-{nth}.example.org/d/**")),
        2 => Selector::Pattern(format!("https://h{:02}.example.net/not-asked-for-{nth}/*", nth % 50)),
        _ => Selector::Pattern(format!("https://h{:02}.example.net/not-asked-for-{nth}/*.jpeg", nth % 50)),
    }
}

/// Publishes `count` rules that match nothing stored.
pub(crate) fn publish_elsewhere(cache: &Cache, count: usize) {
    for first in (0..count).step_by(1000) {
        let batch = (first..count.min(first + 1000)).map(elsewhere).collect();
        cache.purge(&Purge::batch(batch)).expect("the selectors are valid");
    }
}

/// A thread that publishes purges of what is not stored, at a steady rate, until it is dropped.
pub(crate) struct Publisher {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    pub(crate) fn start(cache: &Cache, per_second: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, cache) = (Arc::clone(&stop), cache.clone());
        let thread = std::thread::spawn(move || {
            let every = Duration::from_secs(1) / per_second;
            let mut due = Instant::now();
            for nth in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                cache.purge(&Purge::new(elsewhere(nth))).expect("rules are retired faster than they are published");
                due += every;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the publisher panicked");
        }
    }
}

/// How long the sweep of a selector takes that ends so many objects.
pub(crate) fn sweep(engine: &Oust, selector: Selector, matches: usize) -> Duration {
    let purged = engine.cache.purge(&Purge::new(selector)).expect("the selector is valid");
    let begun = Instant::now();
    engine.cache.sweep();
    let took = begun.elapsed();
    let ended = engine.cache.purge_record(purged.id).expect("just published").edge.objects;
    assert_eq!(ended, matches as u64, "{:?}", purged.selectors);
    took
}

/// Objects of the population in one directory.
const PER_DIRECTORY: usize = 100;

/// A part of the sweep population: which objects, and the selector that takes exactly these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Ten objects of one directory.
    Ten,
    /// A hundredth of all, in directories below one.
    Hundredth,
    /// The same objects, by their tag.
    Tagged,
    /// A half, in directories below one host.
    Half,
    /// One URL.
    One,
}

/// A population of `total` objects: half on one host, a hundredth with a tag on a second, ten in one directory of it, the others elsewhere.
pub(crate) struct Population {
    pub(crate) total: usize,
    pub(crate) hundredth: usize,
}

impl Population {
    pub(crate) fn new(total: usize) -> Self {
        Self { total, hundredth: total / 100 }
    }

    /// As `new`, with a constant number of objects in the place of the hundredth.
    pub(crate) fn with_matches(total: usize, matches: usize) -> Self {
        Self { total, hundredth: matches }
    }

    pub(crate) fn selector(part: Part) -> Selector {
        match part {
            Part::Ten => Selector::Pattern("https://ten.example.net/assets-00000/**".into()),
            Part::Hundredth => Selector::Pattern("https://one.example.net/**".into()),
            Part::Tagged => Selector::Tag("hundredth".into()),
            Part::Half => Selector::Pattern("https://two.example.net/**".into()),
            Part::One => Selector::Url(super::keys::text("ten", 0, 0)),
        }
    }

    /// Keys of a part.
    fn keys(&self, part: Part) -> Box<dyn Iterator<Item = Key>> {
        let spread = |label: &'static str, count: usize| (0..count).map(move |n| place(label, n / PER_DIRECTORY, n));
        match part {
            Part::Ten => Box::new((0..10).map(|n| place("ten", 0, n))),
            Part::One => Box::new(std::iter::once(place("ten", 0, 0))),
            Part::Hundredth | Part::Tagged => Box::new(spread("one", self.hundredth)),
            Part::Half => Box::new(spread("two", self.total / 2)),
        }
    }

    /// Stores a part (again).
    pub(crate) fn store(&self, engine: &Oust, part: Part) {
        for key in self.keys(part) {
            if matches!(part, Part::Hundredth | Part::Tagged) {
                engine.insert_tagged(&key, BODY, &[b"hundredth"]);
            } else {
                engine.insert(&key, BODY);
            }
        }
    }

    /// Stores all parts and what belongs to none.
    pub(crate) fn store_all(&self, engine: &Oust) {
        self.store(engine, Part::Half);
        self.store(engine, Part::Hundredth);
        self.store(engine, Part::Ten);
        for n in self.total / 2 + self.hundredth + 10..self.total {
            engine.insert(&super::keys::key(n), BODY);
        }
    }

    /// How long a sweep takes that ends `part`, which is stored again afterwards.
    pub(crate) fn sweep(&self, engine: &Oust, selector: Selector, part: Part) -> Duration {
        let before = engine.len();
        let took = sweep(engine, selector, self.keys(part).count());
        self.store(engine, part);
        assert_eq!(engine.len(), before);
        took
    }
}
