//! The cache: lookups, fills and purges over the memory tier.

mod commit;
#[cfg(oust_shuttle)]
mod explore;
mod head;
mod hit;
mod inspect;
mod keep;
mod lookup;
mod reason;
mod stats;
mod sweep;
mod ticket;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

pub use self::head::Head;
pub use self::hit::{Chunks, Hit};
pub use self::inspect::{Explained, ObjectInfo};
pub use self::lookup::Lookup;
pub use self::reason::{Admit, Reason};
pub use self::stats::Stats;
pub use self::ticket::{Answer, Fetch, FillBroken, FillReader, FillTicket, FillWriter};
pub use crate::l2::{Deferred, L2State, L2Stats};

pub(crate) use self::inspect::{lossy, mark_name};
pub(crate) use self::lookup::{decide, verdict};
use self::stats::Counters;
use self::sweep::Sweeper;
use crate::clock::Clock;
use crate::config::BuildError;
use crate::disk::journal::Entry;
use crate::edge::Edge;
use crate::entry::{TICKS, Tick};
use crate::key::Key;
use crate::l2::history::Note;
use crate::l2::{self, L2, Recovered};
use crate::purge::history::{History, Record};
use crate::purge::rules::{Prepared, RuleSet};
use crate::purge::{Durability, Purge, PurgeError, PurgeId, PurgeRecord, Selector};
use crate::site::{self, Sites};
use crate::sync::{self, ArcSwap, point};

/// An HTTP edge cache with purges that are effective when they return.
///
/// A handle: cheap to clone, `Send + Sync`, used from any number of threads. With the last handle the sweeper thread ends and everything
/// stored is freed, except what readers still hold.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use bytes::Bytes;
/// use http::{HeaderMap, StatusCode};
/// use oust::{Config, Fetch, Head, Key, Lookup, Purge, Selector, freshness::Freshness};
///
/// let cache = Config::new().edge_size(64 << 20).build()?;
/// let key = Key::parse(b"http://example.com/a.css")?;
/// let request = HeaderMap::new();
///
/// // A miss leads a fill.
/// let Fetch::Lead(ticket) = cache.fetch(&key, &request, None) else { unreachable!() };
/// let head = Head::new(StatusCode::OK, HeaderMap::new());
/// let mut fill = ticket.respond(head, Some(5), Some(Freshness::fresh_for(Duration::from_secs(60))), &[]);
/// fill.write(Bytes::from_static(b"body{"));
/// fill.finish();
/// assert!(matches!(cache.lookup(&key, &request), Lookup::Hit(_)));
///
/// // After a purge returns, no later lookup serves what it takes.
/// cache.purge(&Purge::new(Selector::Pattern("http://example.com/*.css".into())))?;
/// assert!(matches!(cache.lookup(&key, &request), Lookup::Miss(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Cache {
    /// Ends with the last handle, before the engine.
    _threads: Arc<Threads>,
    engine: Arc<Engine>,
}

/// The threads of a cache; dropped in this order with its last handle.
#[derive(Debug)]
struct Threads {
    _sweeper: Option<Sweeper>,
    _l2: Option<l2::Threads>,
}

/// What all handles, tickets and the sweeper share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) edge: Edge,
    pub(crate) rules: RuleSet,
    pub(crate) history: History,
    pub(crate) counters: Counters,
    /// The second tier, if there is one.
    pub(crate) l2: Option<L2>,
    sites: ArcSwap<Sites>,
    clock: Arc<dyn Clock>,
    /// What tick 0 is, in milliseconds since the Unix epoch.
    pub(crate) base_ms: u64,
    epoch: u64,
    max_object: u64,
    max_batch: usize,
    sweeping: sync::Mutex<()>,
    wake: sweep::Wake,
}

/// A moment in the order of purges: see [`Cache::stamp`]. Copy; says nothing after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    epoch: u64,
    seq: u64,
}

/// Validated settings of an engine.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) edge_size: u64,
    pub(crate) max_object: u64,
    pub(crate) shards: usize,
    pub(crate) max_rules: usize,
    pub(crate) max_batch: usize,
    pub(crate) history: usize,
    pub(crate) background_sweep: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sites: Sites,
    pub(crate) l2: Option<l2::Options>,
}

impl Engine {
    /// Now, in ticks.
    #[inline]
    pub(crate) fn now(&self) -> Tick {
        self.tick_of(self.clock.now_ms())
    }

    /// The tick of a wall-clock time.
    #[inline]
    pub(crate) fn tick_of(&self, ms: u64) -> Tick {
        let since = (ms as i64).wrapping_sub(self.base_ms as i64) / (1000 / TICKS);
        since.clamp(i64::from(Tick::MIN), i64::from(Tick::MAX)) as Tick
    }

    /// When a tick is, in milliseconds since the Unix epoch.
    pub(crate) fn ms_of(&self, tick: Tick) -> i64 {
        (self.base_ms as i64).saturating_add(i64::from(tick) * (1000 / TICKS))
    }

    /// When the soft rule of this number was made.
    pub(crate) fn softened_at(&self, seq: u64) -> Tick {
        // Soft: expired as of the purge, not as of whoever noticed.
        self.history.of_rule(seq).map_or_else(|| self.now(), |record| self.tick_of(record.created_ms))
    }

    /// The sites in use.
    pub(crate) fn sites(&self) -> Arc<Sites> {
        self.sites.load_full()
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Compiles what a purge names. Nothing has changed if it fails.
    pub(crate) fn prepare(&self, purge: &Purge) -> Result<Vec<Prepared>, PurgeError> {
        if purge.selectors.is_empty() {
            return Err(PurgeError::empty());
        }
        if purge.selectors.len() > self.max_batch {
            return Err(PurgeError::batch_too_long(purge.selectors.len(), self.max_batch));
        }
        // Without an L2 a purge of "all layers" is one of the layers there are.
        if !(purge.layers.edge || purge.layers.l2 && self.l2.is_some()) {
            return Err(PurgeError::no_such_layer());
        }
        let sites = self.sites.load();
        let compile = |(index, selector): (usize, &Selector)| {
            let parts = selector.compile(&sites).map_err(|error| error.into_purge_error(index))?;
            Ok(Prepared { parts, action: purge.action, layers: purge.layers })
        };
        purge.selectors.iter().enumerate().map(compile).collect()
    }
}

impl Cache {
    pub(crate) fn new(settings: Settings) -> Result<Self, BuildError> {
        let base_ms = settings.clock.now_ms();
        let (l2, recovered) = match settings.l2 {
            Some(options) => {
                let (l2, recovered) = L2::open(options, settings.edge_size)?;
                (Some(l2), Some(recovered))
            }
            None => (None, None),
        };
        let fresh = recovered.as_ref().is_none_or(Recovered::is_fresh);
        let (retired, newest) = recovered.as_ref().map_or((0, 0), |recovered| recovered.numbers());
        let outbox = l2.as_ref().map(|l2| Arc::clone(&l2.outbox));
        let engine = Arc::new(Engine {
            edge: Edge::new(settings.edge_size, settings.shards, outbox),
            rules: RuleSet::resumed(settings.max_rules, retired, newest),
            history: History::new(settings.history),
            counters: Counters::default(),
            l2,
            sites: ArcSwap::from_pointee(settings.sites),
            clock: settings.clock,
            base_ms,
            epoch: recovered.as_ref().map_or_else(random_epoch, |recovered| recovered.epoch()),
            max_object: settings.max_object,
            max_batch: settings.max_batch,
            sweeping: sync::Mutex::new(()),
            wake: sweep::Wake::default(),
        });
        // Rules are in force before the first lookup.
        let l2 = recovered.map(|recovered| engine.resume(recovered, settings.background_sweep)).transpose()?;
        let started = settings.background_sweep.then(|| Sweeper::start(&engine)).transpose();
        let sweeper =
            started.map_err(|error| BuildError::new(format!("the sweeper thread could not be started: {error}")))?;
        let cache = Self { engine, _threads: Arc::new(Threads { _sweeper: sweeper, _l2: l2 }) };
        cache.check_sites(fresh)?;
        Ok(cache)
    }

    /// Purges the hosts whose keys were made by other rules than the sites in use have, before anything is looked up.
    fn check_sites(&self, fresh: bool) -> Result<(), BuildError> {
        let Some(l2) = &self.engine.l2 else { return Ok(()) };
        let new = self.engine.sites().rules_of_names();
        let old = l2.kept_sites();
        if old.as_ref() == Some(&new) {
            return Ok(());
        }
        if !fresh {
            let changed = old.map_or_else(|| vec![Selector::All], |old| site::changed(&old, &new));
            if !changed.is_empty() {
                let purged = self.purge(&Purge::batch(changed).by("sites"));
                purged.map_err(|error| {
                    BuildError::storage(format!("objects of changed sites cannot be purged: {error}"))
                })?;
            }
        }
        l2.keep_sites(&new)
            .map_err(|error| BuildError::storage(format!("the sites cannot be written beside the objects: {error}")))
    }

    /// Writes what waits for the second tier, and makes all it holds durable. Blocks. Without a second tier it does nothing.
    ///
    /// # Errors
    ///
    /// Those of the disk since the last call, and if something found no room there. Nothing is lost but what is not written: the memory tier still has
    /// it, and tries again when it is asked for or evicted.
    pub fn flush(&self) -> std::io::Result<()> {
        self.engine.l2.as_ref().map_or(Ok(()), |l2| self.engine.flush_l2(l2))
    }

    /// Whether there is a second tier.
    pub fn has_l2(&self) -> bool {
        self.engine.l2.is_some()
    }

    /// Why the contents of the second tier's directory were discarded when the cache was built, if they were: a copied, damaged or distrusted
    /// directory.
    pub fn l2_notice(&self) -> Option<&str> {
        self.engine.l2.as_ref()?.notice()
    }

    /// Why the history of purges that was on disk is lost, if it is: its file was damaged or could not be read. What is in force is not
    /// affected.
    pub fn history_notice(&self) -> Option<&str> {
        self.engine.l2.as_ref()?.history.notice()
    }

    /// What a request for `key` with these header fields gets.
    ///
    /// O(length of the key) plus, for an object not yet judged by the newest rules that may concern it, one question to the rules. Takes a
    /// shard's read lock, or none when the object is in the thread's front. Never waits for a purge, a sweep or a fill.
    ///
    /// A lookup that starts after [`purge`](Self::purge) has returned does not return what the purge took.
    #[inline]
    pub fn lookup(&self, key: &Key, request: &HeaderMap) -> Lookup {
        self.engine.lookup(key, request)
    }

    /// A fresh response under `key` that a request with these fields gets whatever values it has for the fields that `open` names; for servers that
    /// work those out only for requests that go on to an origin. `open` is asked about each field (lower case) that the response varies on.
    ///
    /// `None` says nothing, and is not counted: ask [`lookup`](Self::lookup), with all fields. What is found is found as it would be there.
    #[inline]
    pub fn lookup_settled(&self, key: &Key, request: &HeaderMap, open: impl Fn(&[u8]) -> bool) -> Option<Hit> {
        self.engine.lookup_settled(key, request, open)
    }

    /// Goes on from a miss, or from something to validate (`base`).
    ///
    /// The first request for a key leads: it gets the ticket to fetch it, stamped before this returns. Others join it, unless a purge has
    /// overtaken the fill, another variant is being fetched, or the key is marked uncacheable; then they lead fills of their own.
    ///
    /// A base that a delete has taken meanwhile is dropped: such a ticket has no [`base`](FillTicket::base), and no validators are to be sent.
    pub fn fetch(&self, key: &Key, request: &HeaderMap, base: Option<Hit>) -> Fetch {
        self.engine.fetch(key, request, base)
    }

    /// Like [`fetch`](Self::fetch), but never joins and is never joined: for requests that were told [`Answer::Refetch`].
    pub fn fetch_alone(&self, key: &Key, request: &HeaderMap, base: Option<Hit>) -> FillTicket {
        self.engine.fetch_alone(key, request, base)
    }

    /// The present, for [`fetch_alone_since`](Self::fetch_alone_since). One load; holds nothing.
    pub fn stamp(&self) -> Stamp {
        Stamp { epoch: self.engine.epoch, seq: self.engine.rules.load().seq }
    }

    /// Like [`fetch_alone`](Self::fetch_alone), for a request that may have gone to the origin already, but not before `since`.
    ///
    /// The response is not stored if any purge that concerns it came after `since`, nor if that can no longer be told, because purges have been
    /// retired in between. So take a ticket before the origin is asked wherever that is possible.
    ///
    /// ```
    /// use std::time::Duration;
    /// use http::{HeaderMap, StatusCode};
    /// use oust::{Admit, Config, Head, Key, Purge, Reason, Selector, freshness::Freshness};
    ///
    /// let cache = Config::new().edge_size(64 << 20).build()?;
    /// let (key, request) = (Key::parse(b"http://example.com/a")?, HeaderMap::new());
    /// let before = cache.stamp();
    /// // ... the origin is asked, and meanwhile:
    /// cache.purge(&Purge::new(Selector::All))?;
    /// let ticket = cache.fetch_alone_since(&key, &request, None, before);
    /// let head = Head::new(StatusCode::OK, HeaderMap::new());
    /// let admit = ticket.store(head, "old".into(), Freshness::fresh_for(Duration::from_secs(60)), &[]);
    /// assert_eq!(admit, Admit::Skipped(Reason::PurgeFenced));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fetch_alone_since(&self, key: &Key, request: &HeaderMap, base: Option<Hit>, since: Stamp) -> FillTicket {
        self.engine.fetch_alone_since(key, request, base, since)
    }

    /// A reader of a fetch in flight whose head is known and that a request with these fields may read along: it can be joined, its `Vary` selects
    /// the request, and no purge has taken it. Never waits and never leads; [`FillReader::poll_answer`] is ready at once.
    ///
    /// After a [`purge`](Self::purge) has returned, nothing it takes is joined.
    pub fn join(&self, key: &Key, request: &HeaderMap) -> Option<FillReader> {
        self.engine.join(key, request)
    }

    /// Ends everything stored under the URL of `key`, all variations and variants, and keeps fills of it in flight from being stored or joined:
    /// what an unsafe method does to its target (RFC 9111 4.4).
    ///
    /// After this returns, no later lookup finds what was fetched before it. Publishes no rule, so that any number of such requests costs a
    /// shard's lock each. The number of objects ended.
    pub fn end_url(&self, key: &Key) -> usize {
        self.engine.end_url(key)
    }

    /// Publishes a purge.
    ///
    /// After this returns, no lookup that starts later returns what the purge takes, no fill or revalidation that began before is stored, and
    /// no request joins one (G1-G3). All selectors take effect together or none does. Costs the compilation of the selectors and a table
    /// insert each, whatever is stored; the sweeper reclaims the objects afterwards.
    ///
    /// With a second tier it returns only when the purge is on disk (G5): many callers share one write. It blocks for that long, so call it from a
    /// thread that may; lookups never wait for it.
    ///
    /// # Errors
    ///
    /// Nothing has changed after an error. It names the selector, the position in its text and the limit, where one applies: malformed
    /// selectors, budgets, too many selectors in a batch, too many live rules, a layer this cache does not have. The exception is
    /// [`NotDurable`](crate::purge::PurgeErrorKind::NotDurable): the purge may be in force, until a restart.
    pub fn purge(&self, purge: &Purge) -> Result<PurgeRecord, PurgeError> {
        let engine = &self.engine;
        let prepared = engine.prepare(purge)?;
        let created_ms = engine.clock.now_ms();
        let journal = engine.l2.as_ref().map(|l2| &l2.journal);
        let payload =
            journal.map(|_| l2::codec::encode(&purge.selectors, purge.action, purge.layers, &purge.by, created_ms));
        if let Some(journal) = journal {
            // Numbers are never given out twice (H28): those to come are reserved on disk before they reach a record there.
            let most = engine.rules.load().seq.saturating_add(l2::AHEAD);
            journal.reserve(most).map_err(|error| PurgeError::not_durable(&error))?;
        }
        if let Some(l2) = &engine.l2 {
            l2.bury_condemned();
        }
        let mut position = None;
        let record = engine.rules.publish(prepared, |first, last| {
            if let Some(journal) = journal {
                // Below what is reserved, unless this batch is huge or very many came at once.
                journal.reserve(last).map_err(|error| PurgeError::not_durable(&error))?;
            }
            let record = Arc::new(Record::new(engine.epoch, (first, last), purge, created_ms));
            // In the history before any lookup can count on it.
            engine.history.push(Arc::clone(&record));
            if let (Some(journal), Some(payload)) = (journal, &payload) {
                position = Some(journal.append(Entry::Purge { first, last, payload }));
            }
            Ok(record)
        })?;
        engine.wake.wake();
        if let Some(l2) = &engine.l2 {
            l2.history.note(Note::New, &record);
        }
        if let (Some(journal), Some(position)) = (journal, position) {
            point("publish:appended");
            match purge.durability {
                Durability::Disk => {
                    journal.sync(position).map_err(|error| PurgeError::not_durable(&error))?;
                    record.set_durable();
                }
                Durability::Memory if journal.is_durable(position) => record.set_durable(),
                Durability::Memory => {}
            }
        }
        Ok(record.view())
    }

    /// What `purge` would take now, counted and sampled; changes nothing. Stops when `budget` is used up and says so. May wait for the disk.
    ///
    /// # Errors
    ///
    /// As [`purge`](Self::purge).
    pub fn explain(&self, purge: &Purge, budget: Duration) -> Result<Explained, PurgeError> {
        self.engine.explain(purge, budget)
    }

    /// Every stored object of a [`Selector::Url`] or [`Selector::Key`], of each tier that holds it. Other selectors list what
    /// [`explain`](Self::explain) would count, up to 1,000 objects. May wait for the disk, but for no body.
    ///
    /// # Errors
    ///
    /// As [`purge`](Self::purge).
    pub fn objects(&self, of: &Selector) -> Result<Vec<ObjectInfo>, PurgeError> {
        self.engine.objects(of)
    }

    /// A purge of the history; `None` if it is unknown, of another epoch, or forgotten.
    ///
    /// With a second tier the history outlives a restart: it is written beside the objects about every second and when the cache ends, as far as
    /// it takes no more than 48 MiB, and a purge no more than 16 MiB. Counts are lost that come between the last writing and a crash.
    pub fn purge_record(&self, id: PurgeId) -> Option<PurgeRecord> {
        let record = self.engine.history.of_rule(id.seq)?;
        (record.epoch == id.epoch && record.last == id.seq).then(|| record.view())
    }

    /// Up to `limit` purges older than `before` (or the newest), newest first.
    pub fn purge_records(&self, before: Option<PurgeId>, limit: usize) -> Vec<PurgeRecord> {
        self.engine.history.list(before.map(|id| id.seq), limit).iter().map(|record| record.view()).collect()
    }

    /// Ends and reclaims what all published rules take, then retires the rules. The background sweeper calls this by itself; see
    /// [`Config::background_sweep`](crate::Config::background_sweep).
    pub fn sweep(&self) {
        self.engine.sweep();
    }

    /// Most selectors in one purge, for who would rather refuse a long list before reading it: see
    /// [`Config::max_batch`](crate::Config::max_batch).
    pub fn max_batch(&self) -> usize {
        self.engine.max_batch
    }

    /// Figures of the cache, summed over shards and threads. O(shards + threads + directories that live rules name).
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// What live rules use of their budgets: per host, URL or domain, the most used first, at most `most` of them.
    pub fn rule_usage(&self, most: usize) -> Vec<crate::purge::Usage> {
        self.engine.rules.usage(most)
    }

    /// The sites whose aliases and key policies apply to purges.
    pub fn sites(&self) -> Arc<Sites> {
        self.engine.sites()
    }

    /// Replaces the sites, and deletes what is stored of hosts whose requests get other keys from now on: an object stored under a key of the old
    /// policy may be another one's answer under the new. The purge is `None` if there are none.
    ///
    /// Requests must get their keys from the new sites before this is called. Blocks as [`purge`](Self::purge) does.
    ///
    /// # Errors
    ///
    /// As [`purge`](Self::purge); the new sites are in use all the same.
    pub fn set_sites(&self, sites: Sites) -> Result<Option<PurgeRecord>, PurgeError> {
        let new = sites.rules_of_names();
        let changed = site::changed(&self.engine.sites().rules_of_names(), &new);
        if let Some(l2) = self.engine.l2.as_ref().filter(|_| !changed.is_empty()) {
            // Until the new rules are written, a start purges these hosts whichever rules it has: both kinds of keys may be stored.
            let mut between = new.clone();
            let names = changed.iter().map(|selector| match selector {
                Selector::Host(name) => name.clone(),
                _ => "*".to_owned(),
            });
            between.extend(names.map(|name| (name, "changing".to_owned())));
            drop(l2.keep_sites(&between));
        }
        self.engine.sites.store(Arc::new(sites));
        if changed.is_empty() {
            return Ok(None);
        }
        let record = self.purge(&Purge::batch(changed).by("sites"))?;
        point("sites:purged");
        if let Some(l2) = &self.engine.l2 {
            // Not written, they are compared with older ones at the next start, and purged once more.
            drop(l2.keep_sites(&new));
        }
        Ok(Some(record))
    }

    /// Recomputes every invariant that can be; for tests and fuzzing.
    ///
    /// # Errors
    ///
    /// Names the invariant that does not hold.
    #[cfg(any(test, fuzzing, oust_shuttle))]
    #[doc(hidden)]
    pub fn validate(&self) -> Result<(), String> {
        self.engine.validate()
    }
}

/// 53 random bits, never a counter: a number is never read as one of another numbering.
fn random_epoch() -> u64 {
    use std::hash::BuildHasher;
    (std::hash::RandomState::new().hash_one(std::process::id()) >> 11).max(1)
}
