//! The storage: Pingora's questions, asked of the engine.
//!
//! 1. What may be fetched has a stamp not younger than its fetch: a ticket taken by the last lookup, or the moment of that lookup, or the moment the key
//!    was fenced, or the moment the storage was made.
//! 2. A reader of a fill was given it by the engine, which gives nothing that a purge has taken (H3); or it is the writer's own.

use std::any::Any;
use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, StatusCode, header};
use oust::cache::{Admit, Answer, FillReader, Hit, Lookup, Stamp};
use oust::freshness::{groups, tags};
use oust::{Action, Cache, Key, Reason};
use parking_lot::Mutex;
use pingora_cache::key::CacheHashKey;
use pingora_cache::storage::streaming_write::U64WriteId;
use pingora_cache::trace::SpanHandle;
use pingora_cache::{CacheKey, CacheMeta, HitHandler, MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage};
use pingora_error::Result;

use crate::hit::{StoredBody, StreamedBody, broken};
use crate::key::{Slot, combined_tag, engine_key, primary_tag, selecting};
use crate::meta::{self, Stored};
use crate::miss::{Own, Writing};

/// An engine as Pingora's cache storage. See the [crate's documentation](crate) for how the two fit.
///
/// Costs no memory of its own beside the responses that stream in. To be made once and leaked: Pingora asks for `&'static`.
#[derive(Debug)]
pub struct OustStorage {
    cache: Cache,
    tag_fields: Vec<HeaderName>,
    groups: bool,
    /// Since when the storage has watched purges.
    born: Stamp,
    /// The number of the next object, random at first.
    next: AtomicU64,
    /// The leaders' readers, between a miss handler and the lookup that follows it.
    own: Mutex<HashMap<u64, (CacheMeta, FillReader)>>,
    warned: AtomicBool,
}

impl OustStorage {
    /// A storage on `cache`, which other servers may use as well: under other keys, since what they store has no meta of Pingora's.
    pub fn new(cache: Cache) -> Self {
        let names = ["surrogate-key", "cache-tag", "edge-cache-tag", "xkey", "x-cache-tags"];
        let born = cache.stamp();
        Self {
            cache,
            tag_fields: names.map(HeaderName::from_static).into(),
            groups: true,
            born,
            next: AtomicU64::new(RandomState::new().hash_one(())),
            own: Mutex::default(),
            warned: AtomicBool::new(false),
        }
    }

    /// As [`new`](Self::new), for good: what [`HttpCache::enable`](pingora_cache::HttpCache::enable) takes.
    ///
    /// ```
    /// use oust_pingora::OustStorage;
    /// use pingora_cache::HttpCache;
    /// let storage = OustStorage::leak(oust::Config::new().edge_size(64 << 20).build()?);
    /// let mut session = HttpCache::new();
    /// // No eviction manager: the engine evicts.
    /// session.enable(storage, None, None, None, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn leak(cache: Cache) -> &'static Self {
        Box::leak(Box::new(Self::new(cache)))
    }

    /// The response fields whose members are tags. Default: `Surrogate-Key`, `Cache-Tag`, `Edge-Cache-Tag`, `xkey`, `X-Cache-Tags`. They stay in the
    /// response: what clients are not to see is Pingora's response filter to take out.
    pub fn tag_fields(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.tag_fields = names.into_iter().collect();
        self
    }

    /// Whether the groups of `Cache-Groups` (RFC 9875) are [tags](oust::freshness::groups::tag) too. Default: yes.
    pub fn cache_groups(mut self, yes: bool) -> Self {
        self.groups = yes;
        self
    }

    /// The engine: statistics, `explain`, purge history. It has a second tier if it was built with one.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(crate) fn take_own(&self, id: u64) -> Option<(CacheMeta, FillReader)> {
        self.own.lock().remove(&id)
    }

    pub(crate) fn note(&self, admit: Admit) {
        if let Admit::Skipped(reason) = admit {
            log::debug!("a response was not stored: {reason}");
        }
    }

    fn name(&self, key: &CacheKey) -> Result<Key> {
        match key.extensions.get::<Slot>() {
            Some(slot) => slot.engine_key(key),
            None => engine_key(key),
        }
    }

    /// Since when the request of `key` may have asked the origin.
    fn since(&self, key: &CacheKey) -> Stamp {
        key.extensions.get::<Slot>().map_or_else(
            || {
                if !self.warned.swap(true, Ordering::Relaxed) {
                    log::warn!(
                        "a cache key has no fence (OustStorage::fence): after purges nothing is stored under such keys"
                    );
                }
                self.born
            },
            Slot::since,
        )
    }

    /// The tags of a response: its own, and those by which hashes find it.
    fn tags(&self, meta: &CacheMeta, key: &CacheKey, name: &Key) -> Vec<Vec<u8>> {
        let mut all = vec![primary_tag(key).into_bytes()];
        if let Some(variance) = key.get_variance_key().copied().or_else(|| meta.variance()) {
            let mut full = key.to_compact();
            full.variance = Some(Box::new(variance));
            all.push(combined_tag(&full).into_bytes());
        }
        let headers: &HeaderMap = meta.headers();
        all.extend(tags(headers, &self.tag_fields).into_iter().map(<[u8]>::to_vec));
        if self.groups {
            let name = name.as_ref();
            let text = |bytes| String::from_utf8_lossy(bytes);
            let origin = format!("{}://{}", text(name.scheme()), text(name.authority()));
            all.extend(groups::groups(headers).iter().map(|group| groups::tag(&origin, group).into_bytes()));
        }
        all
    }

    /// What a lookup found, as Pingora is to see it.
    fn opened(&self, key: &CacheKey, hit: &Hit, reason: Option<Reason>) -> Option<(CacheMeta, HitHandler, u64)> {
        let (Stored { mut meta, id, primary, len }, chunks) = meta::open(hit)?;
        if primary != key.primary_bin() {
            // The same text under another hash that was set for it: not what is asked for.
            return None;
        }
        match reason {
            Some(Reason::PurgedInvalidate) => meta::invalidate(&mut meta),
            Some(Reason::PurgedSoft) => meta::soften(&mut meta, hit.ttl().min(0).unsigned_abs()),
            // Freshness is Pingora's.
            _ => {}
        }
        let weight = meta::weight(hit.key_text().len(), len, hit.body_len());
        Some((meta, Box::new(StoredBody::new(hit.clone(), chunks, id, weight)), id))
    }

    /// What streams in for `key`, if a request that begins now may have it.
    fn streaming(&self, key: &CacheKey, name: &Key, request: &HeaderMap) -> Option<(CacheMeta, HitHandler)> {
        let mut reader = self.cache.join(name, request)?;
        let Poll::Ready(Answer::Head(head)) = reader.poll_answer(&mut Context::from_waker(Waker::noop())) else {
            return None;
        };
        let stored = meta::decode(head.headers.clone()).filter(|stored| stored.primary == key.primary_bin())?;
        Some((stored.meta, Box::new(StreamedBody::new(reader, stored.id))))
    }
}

#[async_trait]
impl Storage for OustStorage {
    /// Finds what is stored, else what streams in; leaves in the key's fence what a fetch that follows needs.
    ///
    /// May wait for the disk where the engine has a second tier. Given up, it leaves nothing behind.
    async fn lookup(&'static self, key: &CacheKey, _: &SpanHandle) -> Result<Option<(CacheMeta, HitHandler)>> {
        let slot = key.extensions.get::<Slot>();
        if let Some(slot) = slot {
            slot.begin(self.cache.stamp());
        }
        let name = self.name(key)?;
        let variance = key.get_variance_key();
        let request = selecting(variance);
        let found = match self.cache.lookup(&name, &request) {
            Lookup::Deferred(mut deferred) => poll_fn(|cx| deferred.poll(cx)).await,
            found => found,
        };
        let (hit, reason) = match found {
            Lookup::Hit(hit) => (Some(hit), None),
            Lookup::Stale(hit, reason) | Lookup::MustValidate(hit, reason) => (Some(hit), Some(reason)),
            _ => (None, None),
        };
        let mut fresh = reason.is_none();
        let mut opened = hit.and_then(|hit| Some((self.opened(key, &hit, reason)?, hit)));
        if !fresh || opened.is_none() {
            if let Some(joined) = self.streaming(key, &name, &request) {
                return Ok(Some(joined));
            }
            // What streamed may have been stored since the lookup.
            if let Some(hit) = self.cache.lookup_settled(&name, &request, |_| false)
                && let Some(late) = self.opened(key, &hit, None)
            {
                (fresh, opened) = (true, Some((late, hit)));
            }
        }
        fresh &= opened.is_some();
        let (base, found) = match opened {
            Some(((meta, handler, id), hit)) => (Some((hit, id)), Some((meta, handler))),
            None => (None, None),
        };
        if let Some(slot) = slot {
            // What is fresh is rarely fetched, and then its fence is the moment this lookup began.
            let ticket =
                (!fresh).then(|| self.cache.fetch_alone(&name, &request, base.as_ref().map(|(hit, _)| hit.clone())));
            slot.leave(&name, variance, ticket, base);
        }
        Ok(found)
    }

    /// With a tag the reader of that very write, once; without, a [`lookup`](Self::lookup).
    async fn lookup_streaming_write(
        &'static self,
        key: &CacheKey,
        tag: Option<&[u8]>,
        trace: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let Some(tag) = tag else { return self.lookup(key, trace).await };
        let Ok(id) = U64WriteId::try_from(tag).map(u64::from) else { return Ok(None) };
        let own = self.take_own(id);
        Ok(own.map(|(meta, reader)| (meta, Box::new(StreamedBody::new(reader, id)) as HitHandler)))
    }

    /// Begins to write. Others that look up the key from now on read along, unless a purge has taken the response or does so later.
    async fn get_miss_handler(&'static self, key: &CacheKey, meta: &CacheMeta, _: &SpanHandle) -> Result<MissHandler> {
        let name = self.name(key);
        // A key too long for the engine: the response passes through a fill that is not stored. Pingora would fail the request for an error here.
        let storable = name.is_ok();
        let name = name.or_else(|_| nowhere())?;
        let request = selecting(key.get_variance_key());
        let ticket = match key.extensions.get::<Slot>().and_then(|slot| slot.take_ticket(&name)) {
            Some(ticket) => ticket,
            None => self.cache.fetch_alone_since(&name, &request, None, self.since(key)),
        };
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let head = meta::encode(meta, id, &key.primary_bin())?;
        let Some(Stored { meta: own, len, .. }) = meta::decode(head.headers.clone()) else {
            return Err(broken("cache meta cannot be read back"));
        };
        let tags = self.tags(meta, key, &name);
        let tags: Vec<&[u8]> = tags.iter().map(Vec::as_slice).collect();
        let length = announced(meta);
        // Only now it is known which variant it is.
        let ticket = ticket.reopen(&request);
        let reader = ticket.reader();
        let writer = ticket.respond(head, length, storable.then(|| meta::freshness(meta)), &tags);
        self.own.lock().insert(id, (own, reader));
        Ok(Box::new(Writing {
            storage: self,
            writer,
            id,
            tag: U64WriteId::from(id),
            length,
            written: 0,
            weight: meta::weight(name.text().len(), len, 0),
            own: Own(self, id),
        }))
    }

    /// Deletes what the target names, in both tiers, and fences fetches of it in flight: without a variance every variant (H8). Never `NotFound` for an
    /// active target, since what is in flight is taken too (H2).
    async fn purge(&'static self, target: PurgeTarget<'_>, _: PurgeType, _: &SpanHandle) -> Result<PurgeOutcome> {
        self.take(target, Action::Delete).await
    }

    /// Purges softly: as [`purge`](Self::purge), but what is stored stays, stale as of now, with its serve-stale windows.
    async fn expire(&'static self, target: PurgeTarget<'_>, _: &SpanHandle) -> Result<PurgeOutcome> {
        self.take(target, Action::Soft).await
    }

    /// Stores what the key's last lookup found under a new meta. `false` if a purge has taken it since then (G3), or if it is not stored any more.
    async fn update_meta(&'static self, key: &CacheKey, meta: &CacheMeta, _: &SpanHandle) -> Result<bool> {
        let Some(slot) = key.extensions.get::<Slot>() else { return Ok(false) };
        let name = self.name(key)?;
        let variance = key.get_variance_key();
        let (ticket, Some((base, id))) = slot.take_base(&name, variance) else { return Ok(false) };
        let ticket = ticket
            .unwrap_or_else(|| self.cache.fetch_alone_since(&name, &selecting(variance), Some(base), slot.since()));
        let tags = self.tags(meta, key, &name);
        let tags: Vec<&[u8]> = tags.iter().map(Vec::as_slice).collect();
        let head = meta::encode(meta, id, &key.primary_bin())?;
        let done = ticket.not_modified(head, Some(meta::freshness(meta)), &tags);
        Ok(done.is_some_and(|(_, admit)| {
            self.note(admit);
            admit == Admit::Stored
        }))
    }

    fn support_streaming_partial_write(&self) -> bool {
        true
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}

/// The key of what has none.
fn nowhere() -> Result<Key> {
    Key::parse(b"http://pingora.invalid/none").map_err(|error| broken(error.to_string()))
}

/// The length of the body, where the head tells it.
fn announced(meta: &CacheMeta) -> Option<u64> {
    let status = meta.response_header().status;
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return None;
    }
    meta.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
