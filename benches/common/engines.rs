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
//! Their values are `Arc<[u8]>` in these two: count and body in one allocation, the cheapest handle there is. In a third form, *text, Bytes*,
//! they are what an HTTP server would keep and hand on. The others know nothing of heads, `Vary`, freshness or purges, and weigh entries by
//! number unless told otherwise; what `oust` does of these at every hit is in its figures.

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

/// A URL's bytes as a key.
pub(crate) type Text = Box<[u8]>;
/// A body in one counted allocation.
pub(crate) type Shared = Arc<[u8]>;

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
pub(crate) trait Value: Clone + Send + Sync + 'static {
    const NAME: &'static str;
    fn copied(body: &[u8]) -> Self;
    fn bytes(&self) -> &[u8];
}

impl Value for Arc<[u8]> {
    const NAME: &'static str = "";

    fn copied(body: &[u8]) -> Self {
        body.into()
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        self
    }
}

impl Value for Bytes {
    const NAME: &'static str = ", Bytes";

    fn copied(body: &[u8]) -> Self {
        Self::copy_from_slice(body)
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// A map without eviction: the floor for what a lookup costs.
pub(crate) struct Dashmap<K: Form, V: Value>(dashmap::DashMap<K, V>);

impl<K: Form, V: Value> Dashmap<K, V> {
    pub(crate) fn new() -> Self {
        Self(dashmap::DashMap::new())
    }
}

impl<K: Form, V: Value> Engine for Dashmap<K, V> {
    #[inline]
    fn get(&self, key: &Key) -> Option<u8> {
        let value = V::clone(&*self.0.get(K::asked(key))?);
        value.bytes().first().copied()
    }

    fn insert(&self, key: &Key, body: &'static [u8]) {
        drop(self.0.insert(K::owned(key), V::copied(body)));
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// moka's cache without async: W-TinyLFU.
pub(crate) struct Moka<K: Form, V: Value>(moka::sync::Cache<K, V>);

impl<K: Form, V: Value> Moka<K, V> {
    pub(crate) fn new(room: Room) -> Self {
        let builder = moka::sync::Cache::builder();
        Self(match room {
            Room::Entries(entries) => builder.max_capacity(entries as u64).build(),
            Room::Bytes { capacity, overhead } => builder
                .max_capacity(capacity)
                .weigher(move |key: &K, value: &V| (key.text_len() + value.bytes().len() + overhead as usize) as u32)
                .build(),
        })
    }
}

impl<K: Form, V: Value> Engine for Moka<K, V> {
    #[inline]
    fn get(&self, key: &Key) -> Option<u8> {
        self.0.get(K::asked(key))?.bytes().first().copied()
    }

    fn insert(&self, key: &Key, body: &'static [u8]) {
        self.0.insert(K::owned(key), V::copied(body));
    }

    fn len(&self) -> usize {
        self.0.run_pending_tasks();
        self.0.entry_count() as usize
    }
}

/// Weighs what quick_cache holds; zero overhead stands for "by number".
#[derive(Clone)]
pub(crate) struct ByBytes(Option<u64>);

impl<K: Form, V: Value> quick_cache::Weighter<K, V> for ByBytes {
    fn weight(&self, key: &K, value: &V) -> u64 {
        self.0.map_or(1, |overhead| (key.text_len() + value.bytes().len()) as u64 + overhead)
    }
}

/// quick_cache: a variant of CLOCK-Pro / S3-FIFO.
pub(crate) struct Quick<K: Form, V: Value>(quick_cache::sync::Cache<K, V, ByBytes>);

impl<K: Form, V: Value> Quick<K, V> {
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

impl<K: Form, V: Value> Engine for Quick<K, V> {
    #[inline]
    fn get(&self, key: &Key) -> Option<u8> {
        self.0.get(K::asked(key))?.bytes().first().copied()
    }

    fn insert(&self, key: &Key, body: &'static [u8]) {
        self.0.insert(K::owned(key), V::copied(body));
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// foyer's memory cache with S3-FIFO.
pub(crate) struct Foyer<K: Form, V: Value>(foyer_memory::Cache<K, V>);

impl<K: Form, V: Value> Foyer<K, V> {
    pub(crate) fn new(room: Room) -> Self {
        Self(match room {
            Room::Entries(entries) => CacheBuilder::new(entries).with_eviction_config(S3FifoConfig::default()).build(),
            Room::Bytes { capacity, overhead } => CacheBuilder::new(capacity as usize)
                .with_eviction_config(S3FifoConfig::default())
                .with_weighter(move |key: &K, value: &V| key.text_len() + value.bytes().len() + overhead as usize)
                .build(),
        })
    }
}

impl<K: Form, V: Value> Engine for Foyer<K, V> {
    #[inline]
    fn get(&self, key: &Key) -> Option<u8> {
        // Its entry is the handle; the value need not be cloned.
        self.0.get(K::asked(key))?.value().bytes().first().copied()
    }

    fn insert(&self, key: &Key, body: &'static [u8]) {
        drop(self.0.insert(K::owned(key), V::copied(body)));
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

/// What the peer `name` is called when it is keyed by `K` and holds `V`.
pub(crate) fn label<K: Form, V: Value>(name: &str) -> String {
    format!("{name} ({}{})", K::NAME, V::NAME)
}

/// The peer `name`, keyed by `K`, holding `V`.
pub(crate) fn peer<K: Form, V: Value>(name: &str, room: Room) -> Box<dyn Subject> {
    let label = label::<K, V>(name);
    match name {
        "quick_cache" => Box::new(Named(label, Quick::<K, V>::new(room))),
        "foyer" => Box::new(Named(label, Foyer::<K, V>::new(room))),
        "moka" => Box::new(Named(label, Moka::<K, V>::new(room))),
        _ => Box::new(Named(label, Dashmap::<K, V>::new())),
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
