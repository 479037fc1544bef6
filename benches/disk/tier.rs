//! A cache with a second tier, and how objects get there.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use oust::cache::{L2State, L2Stats};
use oust::freshness::Freshness;
use oust::{Admit, Cache, Config, Head, Hit, Key, L2Config, Layers, Lookup, Purge, Selector};

use crate::common::keys;

/// What waits to be written at most before more is stored: a part of what may, which is a sixteenth of the memory tier.
const WAITING: u64 = 4 << 20;

/// The least size of the memory tier.
const EDGE: u64 = 256 << 20;

pub(crate) struct Tier {
    pub(crate) cache: Cache,
    pub(crate) request: HeaderMap,
    head: Head,
    freshness: Freshness,
}

/// What a lookup came to.
pub(crate) enum Found {
    Now(Hit),
    Waited(Hit),
    Nothing,
}

impl Tier {
    /// A tier in a directory, writing as fast as it can.
    pub(crate) fn open(path: &Path, capacity: u64) -> Self {
        Self::with(config(path, capacity))
    }

    pub(crate) fn with(config: Config) -> Self {
        Self {
            cache: config.build().expect("the configuration is valid"),
            request: HeaderMap::new(),
            head: Head::new(StatusCode::OK, HeaderMap::new()),
            freshness: Freshness::fresh_for(Duration::from_secs(86_400)),
        }
    }

    pub(crate) fn stats(&self) -> L2Stats {
        self.cache.stats().l2.expect("there is a second tier")
    }

    /// Into memory alone.
    pub(crate) fn store(&self, key: &Key, body: &Bytes) {
        let ticket = self.cache.fetch_alone(key, &self.request, None);
        let admit = ticket.store(self.head.clone(), body.clone(), self.freshness.clone(), &[]);
        assert!(matches!(admit, Admit::Stored), "{admit:?}");
    }

    /// Stores every key, asks for it once, which sends it to the second tier, and waits until all are durable there.
    pub(crate) fn write_all(&self, keys: impl Iterator<Item = Key>, body: &Bytes) {
        let before = self.stats().objects;
        let mut since = 0;
        let mut count = 0;
        for key in keys {
            self.store(&key, body);
            assert!(matches!(self.cache.lookup(&key, &self.request), Lookup::Hit(_)), "stored just now");
            count += 1;
            since += body.len() as u64 + 1024;
            if since > WAITING {
                since = 0;
                while self.stats().waiting_bytes > WAITING {
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
        }
        self.flush();
        let stats = self.stats();
        assert_eq!(stats.objects - before, count, "{stats:?}");
    }

    /// Until nothing waits, and all is durable.
    pub(crate) fn flush(&self) {
        while self.stats().waiting_bytes > 0 {
            std::thread::sleep(Duration::from_micros(50));
        }
        self.cache.flush().expect("the disk takes it");
    }

    /// Ends everything in memory, and nothing on disk.
    pub(crate) fn empty_edge(&self) {
        let purge = Purge::new(Selector::All).layers(Layers { edge: true, l2: false });
        let purged = self.cache.purge(&purge).expect("a purge of all");
        while self.cache.purge_record(purged.id).is_none_or(|record| record.swept_ms.is_none()) {
            self.cache.sweep();
        }
        // Until the rule is retired nothing is kept from being judged by it.
        assert_eq!(self.cache.stats().live_rules, 0, "swept");
    }

    #[inline]
    pub(crate) fn find(&self, key: &Key) -> Found {
        match self.cache.lookup(key, &self.request) {
            Lookup::Hit(hit) => Found::Now(hit),
            Lookup::Deferred(deferred) => match deferred.wait() {
                Lookup::Hit(hit) => Found::Waited(hit),
                _ => Found::Nothing,
            },
            _ => Found::Nothing,
        }
    }

    /// Waits until what is on disk has been read in.
    pub(crate) fn wait_loaded(&self) {
        let begun = Instant::now();
        while self.stats().state == L2State::Loading {
            assert!(begun.elapsed() < Duration::from_secs(300), "it is still loading");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Memory for all that is on disk: nothing is evicted while it is filled, since what is evicted waits to be written too.
pub(crate) fn config(path: &Path, capacity: u64) -> Config {
    Config::new()
        .edge_size(capacity.max(EDGE))
        .max_rules(1 << 20)
        .l2(L2Config::directory(path, capacity).write_rate(64 << 30))
}

/// Object `id` of a population of which part `id % 100` lies below a host of its own.
pub(crate) fn key(id: usize) -> Key {
    keys::place(&format!("p{:02}", id % 100), id / 100_000, id)
}

/// What takes that part.
pub(crate) fn part(nth: usize) -> Selector {
    Selector::Pattern(format!("https://p{:02}.example.net/**", nth % 100))
}

/// A body that no file system can make smaller.
pub(crate) fn body(len: usize) -> Bytes {
    let mut random = keys::Random::new(len as u64);
    (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).take(len).collect::<Vec<_>>().into()
}

/// Reads every byte, as whoever sends them does.
#[inline]
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    rest.iter().fold(words, |sum, &byte| sum.wrapping_add(u64::from(byte)))
}
