//! The engines that are compared, under one trait.
//!
//! Every engine does the same: a lookup takes a prepared key, hashes what it hashes, obtains a handle that keeps the value alive, reads the
//! first byte of the body and gives the handle back. An insertion copies key and body into memory of the engine's own.
//!
//! `oust` is asked with a [`Key`], which carries the hash it was given when the URL was made canonical. The others come in two forms:
//!
//! - *text*: keyed by the URL's bytes, hashed at every lookup by the engine's default hasher, as they are used mostly;
//! - *key*: keyed by the same [`Key`] objects; the default hasher gets the eight bytes of hash that the key carries.
//!
//! Their values are `Arc<[u8]>`: count and body in one allocation, the cheapest handle there is (`Bytes` costs one more). They know nothing of
//! `Vary`, freshness or purges, and weigh entries by number unless told otherwise; what `oust` does of these at every hit is in its figures.

use std::borrow::Borrow;
use std::hash::Hash;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foyer_memory::{CacheBuilder, S3FifoConfig};
use http::{HeaderMap, StatusCode};
use oust::freshness::Freshness;
use oust::{Admit, Cache, Config, Head, Key, Lookup};

use super::keys::{self, BODY};
use super::timed;

/// A cache under test.
pub(crate) trait Engine: Send + Sync {
    /// First byte of the body stored under `key`.
    fn get(&self, key: &Key) -> Option<u8>;
    /// Stores `body` under `key`, in place of what is there.
    fn insert(&self, key: &Key, body: &'static [u8]);
    /// Objects held, after whatever the engine has put off.
    fn len(&self) -> usize;
    /// Bytes it says it uses, if it counts them.
    fn charged(&self) -> Option<u64> {
        None
    }
}

/// How much an engine may hold.
#[derive(Clone, Copy)]
pub(crate) enum Room {
    /// So many entries of the usual size.
    Entries(usize),
    /// So many bytes; what the engine spends on an entry beyond its key and body is given, and counts (`oust` counts by itself).
    Bytes { capacity: u64, overhead: u64 },
}

/// `oust`.
pub(crate) struct Oust {
    pub(crate) cache: Cache,
    request: HeaderMap,
    head: Head,
    freshness: Freshness,
}

impl Oust {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            cache: config.build().expect("the configuration is valid"),
            request: HeaderMap::new(),
            head: Head::new(StatusCode::OK, HeaderMap::new()),
            freshness: Freshness::fresh_for(Duration::from_secs(86_400)),
        }
    }

    /// Stores `body` under `key` with these tags.
    pub(crate) fn insert_tagged(&self, key: &Key, body: &'static [u8], tags: &[&[u8]]) {
        let ticket = self.cache.fetch_alone(key, &self.request, None);
        let admit = ticket.store(self.head.clone(), Bytes::from_static(body), self.freshness.clone(), tags);
        assert!(matches!(admit, Admit::Stored), "{admit:?}");
    }
}

impl Engine for Oust {
    #[inline]
    fn get(&self, key: &Key) -> Option<u8> {
        // By reference: moving the hit out of the answer would cost a copy that nothing needs.
        match &self.cache.lookup(key, &self.request) {
            Lookup::Hit(hit) => hit.body_slice().and_then(|body| body.first().copied()),
            _ => None,
        }
    }

    fn insert(&self, key: &Key, body: &'static [u8]) {
        self.insert_tagged(key, body, &[]);
    }

    fn len(&self) -> usize {
        self.cache.stats().objects as usize
    }

    fn charged(&self) -> Option<u64> {
        Some(self.cache.stats().bytes)
    }
}

/// What the others are keyed by.
pub(crate) trait Form: Hash + Eq + Send + Sync + Borrow<Self::Asked> + 'static {
    /// What a lookup hashes and compares.
    type Asked: Hash + Eq + ?Sized;
    const NAME: &'static str;
    fn asked(key: &Key) -> &Self::Asked;
    fn owned(key: &Key) -> Self;
    fn text_len(&self) -> usize;
}

impl Form for Box<[u8]> {
    type Asked = [u8];
    const NAME: &'static str = "text";

    #[inline]
    fn asked(key: &Key) -> &[u8] {
        key.text()
    }

    fn owned(key: &Key) -> Self {
        key.text().into()
    }

    fn text_len(&self) -> usize {
        self.len()
    }
}

impl Form for Key {
    type Asked = Self;
    const NAME: &'static str = "key";

    #[inline]
    fn asked(key: &Key) -> &Self {
        key
    }

    fn owned(key: &Key) -> Self {
        key.clone()
    }

    fn text_len(&self) -> usize {
        self.text().len()
    }
}

/// A body as the other engines hold it.
type Value = Arc<[u8]>;

/// A map without eviction: the floor for what a lookup costs.
pub(crate) struct Dashmap<K: Form>(dashmap::DashMap<K, Value>);

impl<K: Form> Dashmap<K> {
    pub(crate) fn new() -> Self {
        Self(dashmap::DashMap::new())
    }
}

impl<K: Form> Engine for Dashmap<K> {
    #[inline]
    fn get(&self, key: &Key) -> Option<u8> {
        let value = Value::clone(&*self.0.get(K::asked(key))?);
        value.first().copied()
    }

    fn insert(&self, key: &Key, body: &'static [u8]) {
        drop(self.0.insert(K::owned(key), body.into()));
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// moka's cache without async: W-TinyLFU.
pub(crate) struct Moka<K: Form>(moka::sync::Cache<K, Value>);

impl<K: Form> Moka<K> {
    pub(crate) fn new(room: Room) -> Self {
        let builder = moka::sync::Cache::builder();
        Self(match room {
            Room::Entries(entries) => builder.max_capacity(entries as u64).build(),
            Room::Bytes { capacity, overhead } => builder
                .max_capacity(capacity)
                .weigher(move |key: &K, value: &Value| (key.text_len() + value.len() + overhead as usize) as u32)
                .build(),
        })
    }
}

impl<K: Form> Engine for Moka<K> {
    #[inline]
    fn get(&self, key: &Key) -> Option<u8> {
        self.0.get(K::asked(key))?.first().copied()
    }

    fn insert(&self, key: &Key, body: &'static [u8]) {
        self.0.insert(K::owned(key), body.into());
    }

    fn len(&self) -> usize {
        self.0.run_pending_tasks();
        self.0.entry_count() as usize
    }
}

/// Weighs what quick_cache holds; zero overhead stands for "by number".
#[derive(Clone)]
pub(crate) struct ByBytes(Option<u64>);

impl<K: Form> quick_cache::Weighter<K, Value> for ByBytes {
    fn weight(&self, key: &K, value: &Value) -> u64 {
        self.0.map_or(1, |overhead| (key.text_len() + value.len()) as u64 + overhead)
    }
}

/// quick_cache: a variant of CLOCK-Pro / S3-FIFO.
pub(crate) struct Quick<K: Form>(quick_cache::sync::Cache<K, Value, ByBytes>);

impl<K: Form> Quick<K> {
    pub(crate) fn new(room: Room) -> Self {
        use quick_cache::sync::Cache;
        Self(match room {
            Room::Entries(entries) => Cache::with_weighter(entries, entries as u64, ByBytes(None)),
            Room::Bytes { capacity, overhead } => {
                Cache::with_weighter(capacity as usize / 3000, capacity, ByBytes(Some(overhead)))
            }
        })
    }
}

impl<K: Form> Engine for Quick<K> {
    #[inline]
    fn get(&self, key: &Key) -> Option<u8> {
        self.0.get(K::asked(key))?.first().copied()
    }

    fn insert(&self, key: &Key, body: &'static [u8]) {
        self.0.insert(K::owned(key), body.into());
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// foyer's memory cache with S3-FIFO.
pub(crate) struct Foyer<K: Form>(foyer_memory::Cache<K, Value>);

impl<K: Form> Foyer<K> {
    pub(crate) fn new(room: Room) -> Self {
        Self(match room {
            Room::Entries(entries) => CacheBuilder::new(entries).with_eviction_config(S3FifoConfig::default()).build(),
            Room::Bytes { capacity, overhead } => CacheBuilder::new(capacity as usize)
                .with_eviction_config(S3FifoConfig::default())
                .with_weighter(move |key: &K, value: &Value| key.text_len() + value.len() + overhead as usize)
                .build(),
        })
    }
}

impl<K: Form> Engine for Foyer<K> {
    #[inline]
    fn get(&self, key: &Key) -> Option<u8> {
        // Its entry is the handle; the value need not be cloned.
        self.0.get(K::asked(key))?.value().first().copied()
    }

    fn insert(&self, key: &Key, body: &'static [u8]) {
        drop(self.0.insert(K::owned(key), body.into()));
    }

    fn len(&self) -> usize {
        self.0.entries()
    }
}

/// An engine whose type is forgotten between measurements only: the loops inside are compiled for each engine.
pub(crate) trait Subject {
    fn name(&self) -> &str;
    /// Lookups only; see [`timed::run`] for the time.
    fn hits(&self, requests: &[Key], threads: usize, warm: usize, ops: usize) -> Duration;
    /// Nine lookups, then an insertion of the key that is next.
    fn mixed(&self, requests: &[Key], threads: usize, warm: usize, ops: usize) -> Duration;
    /// The engine, through a virtual call.
    fn engine(&self) -> &dyn Engine;
}

/// An engine with its name.
pub(crate) struct Named<E>(pub(crate) String, pub(crate) E);

impl<E: Engine> Subject for Named<E> {
    fn name(&self) -> &str {
        &self.0
    }

    fn hits(&self, requests: &[Key], threads: usize, warm: usize, ops: usize) -> Duration {
        timed::run(requests, threads, warm, ops, |key, _| {
            black_box(self.1.get(key));
        })
    }

    fn mixed(&self, requests: &[Key], threads: usize, warm: usize, ops: usize) -> Duration {
        timed::run(requests, threads, warm, ops, |key, nth| {
            if nth % 10 == 9 {
                self.1.insert(key, BODY);
            } else {
                black_box(self.1.get(key));
            }
        })
    }

    fn engine(&self) -> &dyn Engine {
        &self.1
    }
}

/// Names of the peers that evict, and of the map that does not.
pub(crate) const EVICTING: [&str; 3] = ["quick_cache", "foyer", "moka"];
pub(crate) const MAP: &str = "dashmap";

/// What the peer `name` is called when it is keyed by `K`.
pub(crate) fn label<K: Form>(name: &str) -> String {
    format!("{name} ({})", K::NAME)
}

/// The peer `name`, keyed by `K`.
pub(crate) fn peer<K: Form>(name: &str, room: Room) -> Box<dyn Subject> {
    let label = label::<K>(name);
    match name {
        "quick_cache" => Box::new(Named(label, Quick::<K>::new(room))),
        "foyer" => Box::new(Named(label, Foyer::<K>::new(room))),
        "moka" => Box::new(Named(label, Moka::<K>::new(room))),
        _ => Box::new(Named(label, Dashmap::<K>::new())),
    }
}

/// `oust` by its name.
pub(crate) fn oust(config: Config) -> Named<Oust> {
    Named("oust".into(), Oust::new(config))
}

/// Stores the first `entries` keys of the general population.
pub(crate) fn fill(engine: &dyn Engine, entries: usize) {
    for id in 0..entries {
        engine.insert(&keys::key(id), BODY);
    }
}
