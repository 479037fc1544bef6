//! Fills: who leads, who joins, and what is stored at the end.
//!
//! The protocol of `docs/design.md` section 2: a fill enters the shard's table under its lock with the snapshot loaded there; it is judged by
//! all newer rules before it is stored, outside the lock first and again inside; what it replaces is marked dead and its own entry is in the
//! index before the table has it, all under the one lock.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::head::{self, Head};
use super::hit::Hit;
use super::lookup::{Lookup, decide};
use super::ticket::{Fetch, FillReader, FillTicket};
use super::{Admit, Engine, Reason, Stamp};
use crate::edge::leaving::judge_for_l2;
use crate::edge::shard::{Found, Table};
use crate::entry::{self, Body, Deadlines, EntryRef, Handle, Mark, Parts, TICKS, Tick};
use crate::fill::Fill;
use crate::freshness::Freshness;
use crate::key::Key;
use crate::purge::Tags;
use crate::sync::{self, point};
use crate::vary::{Vary, VaryRef};

/// How long a key whose response could not be stored is marked, so that its requests do not queue behind each other.
const UNCACHEABLE_FOR: i64 = 120 * TICKS;

/// Cost of a fill in flight besides its bytes: ticket, request fields, readers.
const FILL_OVERHEAD: u64 = 1024;

/// Fills in flight that a request asks whether it may join: each is of another variant, or was overtaken.
const FILLS_ASKED: usize = 32;

/// A response about to be stored.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) head: &'a Head,
    pub(crate) vary: &'a Vary,
    pub(crate) tags: &'a Tags,
    pub(crate) freshness: &'a Freshness,
    /// When its head came: ages count from there, however long the body takes (RFC 9111 4.2.3).
    pub(crate) received: Tick,
}

impl Engine {
    pub(crate) fn fetch(self: &Arc<Self>, key: &Key, request: &HeaderMap, base: Option<Hit>) -> Fetch {
        let table = self.edge.lock(key);
        let snapshot = self.rules.load();
        if base.is_none()
            && let Found::Entry(entry) = table.find(key, request)
            && let Lookup::Hit(hit) =
                decide(Handle::Direct(entry.clone()), self.judge_in_table(&table, entry), self.now())
        {
            // Stored since the caller looked.
            return Fetch::Found(hit);
        }
        let fills = table.fills.iter_hash(key.hash()).take(FILLS_ASKED).filter(|fill| fill.key == *key);
        for fill in fills {
            if fill.catch_up(&snapshot)
                && let Some(id) = fill.join(request)
            {
                let fill = Arc::clone(fill);
                return Fetch::Join(FillReader::new(self, fill, id, (snapshot.seq, false), request.clone()));
            }
        }
        let marked = table.find_uncacheable(key).is_some_and(|mark| {
            self.judge_in_table(&table, mark) == Mark::None && self.now() < mark.deadlines().fresh_until
        });
        Fetch::Lead(self.lead(table, key, request, base, snapshot.seq, !marked))
    }

    pub(crate) fn fetch_alone(self: &Arc<Self>, key: &Key, request: &HeaderMap, base: Option<Hit>) -> FillTicket {
        let table = self.edge.lock(key);
        let seq = self.rules.load().seq;
        self.lead(table, key, request, base, seq, false)
    }

    pub(crate) fn fetch_alone_since(
        self: &Arc<Self>,
        key: &Key,
        request: &HeaderMap,
        base: Option<Hit>,
        since: Stamp,
    ) -> FillTicket {
        let table = self.edge.lock(key);
        let newest = self.rules.load().seq;
        let since = if since.epoch == self.epoch { since.seq.min(newest) } else { 0 };
        self.lead(table, key, request, base, since, false)
    }

    /// Joins a fill whose response is known, if it is for a request with these fields and no rule has taken it.
    pub(crate) fn join(self: &Arc<Self>, key: &Key, request: &HeaderMap) -> Option<FillReader> {
        let table = self.edge.shard(key.url_hash()).table.read();
        if table.fills.is_empty() {
            return None;
        }
        let snapshot = self.rules.load();
        let fills = table.fills.iter_hash(key.hash()).filter(|fill| fill.key == *key).take(FILLS_ASKED);
        for fill in fills {
            if fill.is_streaming()
                && fill.catch_up(&snapshot)
                && let Some(id) = fill.join(request)
            {
                let fill = Arc::clone(fill);
                return Some(FillReader::new(self, fill, id, (snapshot.seq, false), request.clone()));
            }
        }
        None
    }

    /// Puts a fill that others may join in the place of `old`.
    pub(crate) fn reopen(&self, old: &Arc<Fill>, request: &HeaderMap) -> Arc<Fill> {
        let mut table = self.edge.lock(&old.key);
        // What is published while the lock is held finds the new one in the table, stamped with the number the old one was judged up to.
        old.catch_up(&self.rules.load());
        let fill = Arc::new(old.reopened(request.clone()));
        self.remove_fill(&mut table, old);
        table.fills.insert_unique(fill.table_hash(), Arc::clone(&fill), |fill| fill.table_hash());
        self.edge.recharge(&mut table);
        self.edge.budget.force(FILL_OVERHEAD as i64);
        fill
    }

    fn lead(
        self: &Arc<Self>,
        mut table: sync::RwLockWriteGuard<'_, Table>,
        key: &Key,
        request: &HeaderMap,
        base: Option<Hit>,
        stamp: u64,
        joinable: bool,
    ) -> FillTicket {
        // What a delete took must not lend its validators to a fetch that is newer than the delete.
        let base = base.filter(|hit| self.judge_in_table(&table, hit.entry()) != Mark::Dead);
        let validates = base.as_ref().map(|hit| hit.entry().clone());
        let fill = Arc::new(Fill::new(key.clone(), request.clone(), stamp, joinable, validates));
        // An older stamp than the newest: judged before it is in the table, since what is there is not below the low-water mark (I2).
        fill.catch_up(&self.rules.load());
        table.fills.insert_unique(fill.table_hash(), Arc::clone(&fill), |fill| fill.table_hash());
        self.edge.recharge(&mut table);
        self.edge.budget.force(FILL_OVERHEAD as i64);
        drop(table);
        FillTicket::new(self, fill, base)
    }

    pub(crate) fn end_url(&self, key: &Key) -> usize {
        let mut table = self.edge.lock(key);
        for fill in table.fills.iter().filter(|fill| fill.key.as_ref().url() == key.as_ref().url()) {
            fill.end();
        }
        let ended: Vec<EntryRef> = table.of_url(key.url_hash(), key.as_ref().url()).cloned().collect();
        for entry in &ended {
            self.edge.unlink(&mut table, entry);
        }
        for leaving in &table.leaving {
            if leaving.entry.key().url() == key.as_ref().url() {
                leaving.control.raise(0, Mark::Dead);
            }
        }
        let deeper = self.l2.as_ref().map_or(0, |l2| l2.end_url(key.url_hash()));
        drop(table);
        ended.len() + deeper
    }

    /// Ends what the second tier has, or is about to have, of what a response with these `Vary` selectors replaces.
    fn end_deeper(&self, table: &mut Table, key: &Key, vary: VaryRef<'_>) {
        let Some(l2) = &self.l2 else { return };
        for leaving in table.leaving.iter_hash(key.hash()).filter(|leaving| leaving.entry.key().text() == key.text()) {
            let held = leaving.entry.vary();
            if held == vary || !held.same_fields(vary) {
                leaving.control.raise(0, Mark::Dead);
            }
        }
        l2.supersede(key.url_hash(), key.hash(), vary);
    }

    /// The mark of an entry judged up to now, with its shard locked.
    fn judge_in_table(&self, _locked: &Table, entry: &EntryRef) -> Mark {
        let snapshot = self.rules.load();
        let shard = self.edge.shard(entry.key().url_hash());
        let swept = shard.swept_upto.load(std::sync::atomic::Ordering::Acquire);
        let (stamp, mark) = entry.control().load();
        if mark != Mark::Dead && !entry.is_linked() {
            // Read from the second tier: nothing but its own stamp vouches for it.
            return judge_for_l2(entry, entry.control(), &snapshot, |seq| self.softened_at(seq));
        }
        if mark == Mark::Dead || stamp.max(swept) >= snapshot.seq {
            return mark;
        }
        self.judge_entry(entry, stamp.max(swept), &snapshot, self.now())
    }

    /// Takes `fill` out of its shard's table, its response not stored for this reason.
    pub(crate) fn leave(&self, fill: &Arc<Fill>, reason: Reason) -> Admit {
        let mut table = self.edge.lock(&fill.key);
        self.remove_fill(&mut table, fill);
        Admit::Skipped(reason)
    }

    /// As [`leave`](Self::leave), and counts it.
    pub(crate) fn skip(&self, fill: &Arc<Fill>, reason: Reason) -> Admit {
        let admit = self.leave(fill, reason);
        self.counters.admit(admit);
        admit
    }

    fn remove_fill(&self, table: &mut Table, fill: &Arc<Fill>) {
        if let Ok(found) = table.fills.find_entry(fill.table_hash(), |held| Arc::ptr_eq(held, fill)) {
            found.remove();
            self.edge.budget.force(-(FILL_OVERHEAD as i64));
        }
    }

    /// The fill has its response: answers what it owed to rules that only a response can answer; whether it still may be stored.
    pub(crate) fn learn(&self, fill: &Fill, vary: &Vary, tags: &Tags) -> bool {
        // What a sweep adds to the rules owed between the two calls is answered by the second; later ones are judged with the response known.
        let lives = fill.catch_up(&self.rules.load());
        fill.know(vary.clone(), tags.clone());
        lives && fill.control.load().1 != Mark::Dead
    }

    /// Stores the response of `fill`, unless a rule has taken it.
    pub(crate) fn commit(&self, fill: &Arc<Fill>, of: &Candidate<'_>, body: Body<'_>) -> Admit {
        let admit = match self.build(&fill.key, of, body, false) {
            // Outside the lock first: most rules that came meanwhile are judged here, and a fill they took never asks for the lock.
            Ok(entry) if fill.catch_up(&self.rules.load()) => self.install(fill, None, &entry),
            Ok(_) => return self.skip(fill, Reason::PurgeFenced),
            Err(reason) => return self.skip(fill, reason),
        };
        self.counters.admit(admit);
        admit
    }

    /// Stores the entry of `base` again under the head a 304 brought, unless a rule newer than the request has taken it.
    pub(crate) fn commit_validated(&self, fill: &Arc<Fill>, base: &Hit, of: &Candidate<'_>) -> (Hit, Admit) {
        let body = match base.entry().chunks() {
            // Views of the second tier must not be what the memory tier stores.
            Some(chunks) if base.handle.record().is_some() => {
                // A page that is lost while it is copied must not be stored as if it had been read.
                self.hold(fill, &chunks.concat()).filter(|_| base.is_intact()).map(|held| Body::Chunks(vec![held]))
            }
            Some(chunks) => Some(Body::Chunks(chunks.to_vec())),
            None => Some(Body::Inline(base.entry().inline_body())),
        };
        let built = body.ok_or(Reason::NoRoom).and_then(|body| self.build(&fill.key, of, body, false));
        let (hit, admit) = match built {
            Ok(entry) => {
                let admit = self.install(fill, Some(&base.handle), &entry);
                if admit != Admit::Stored {
                    // Not to be validated again: nothing vouches for it.
                    entry.control().raise(0, Mark::Dead);
                }
                (Hit { handle: Handle::Direct(entry), now: self.now(), mark: Mark::None }, admit)
            }
            Err(reason) => (base.clone(), self.leave(fill, reason)),
        };
        self.counters.admit(admit);
        (hit, admit)
    }

    /// A copy of `chunk` charged to the budget; `None` if there is no room for it.
    pub(crate) fn hold(&self, fill: &Fill, chunk: &[u8]) -> Option<Bytes> {
        Some(self.edge.reserve(entry::weight_of(chunk.len()), fill.key.url_hash())?.hold(chunk))
    }

    /// Marks the key of `fill` as uncacheable for a while, unless a rule has taken the fill.
    pub(crate) fn mark_uncacheable(&self, fill: &Arc<Fill>) {
        let vary = Vary::default();
        let tags = Tags::default();
        let freshness = Freshness::fresh_for(Duration::from_millis((UNCACHEABLE_FOR * (1000 / TICKS)).unsigned_abs()));
        let head = Head::new(http::StatusCode::OK, HeaderMap::new());
        let of = Candidate { head: &head, vary: &vary, tags: &tags, freshness: &freshness, received: self.now() };
        if let Ok(mark) = self.build(&fill.key, &of, Body::Inline(&[]), true)
            && fill.catch_up(&self.rules.load())
        {
            self.install(fill, None, &mark);
        }
    }

    /// Makes the entry, charged to the budget and judged by nothing yet.
    fn build(&self, key: &Key, of: &Candidate<'_>, body: Body<'_>, uncacheable: bool) -> Result<EntryRef, Reason> {
        let head = head::encode(&of.head.headers);
        let parts = Parts {
            key: key.as_ref(),
            vary: of.vary.as_ref(),
            tags: of.tags.as_ref(),
            status: of.head.status.as_u16(),
            head: &head,
            body,
            deadlines: deadlines(of.freshness, of.received),
            uncacheable,
        };
        if !parts.fits() {
            return Err(Reason::TooLarge);
        }
        let charge = self.edge.reserve(parts.weight().0, key.url_hash()).ok_or(Reason::NoRoom)?;
        Ok(EntryRef::new(parts, 0, charge))
    }

    /// The commit: under the shard lock, in this order: the fill leaves, newer rules are asked again, what is replaced ends, the entry comes in.
    fn install(&self, fill: &Arc<Fill>, base: Option<&Handle>, entry: &EntryRef) -> Admit {
        let (base, validates) = (base.map(Handle::entry), base.and_then(Handle::record));
        let key = &fill.key;
        point("commit:before-lock");
        let mut table = self.edge.lock(key);
        let snapshot = self.rules.load();
        if !entry.is_uncacheable() {
            self.remove_fill(&mut table, fill);
        }
        if !fill.catch_up(&snapshot) {
            return Admit::Skipped(Reason::PurgeFenced);
        }
        if base.is_some() && fill.base_is_taken() {
            return Admit::Skipped(Reason::PurgeFenced);
        }
        if base.is_some_and(|base| base.control().load().1 == Mark::Dead) {
            return Admit::Skipped(Reason::Superseded);
        }
        if let (Some(l2), Some(record)) = (&self.l2, validates)
            && l2.store.candidate_of(record).is_none()
        {
            return Admit::Skipped(Reason::Superseded);
        }
        if self.edge.is_full(&table) {
            return Admit::Skipped(Reason::NoRoom);
        }
        point("commit:judged");
        entry.control().raise(snapshot.seq, Mark::None);
        if entry.is_uncacheable() {
            // What is usable needs no mark; what is not would let its requests queue behind each other without one.
            let now = self.now();
            let usable = |held: &EntryRef| {
                let mark = self.judge_in_table(&table, held);
                !held.is_uncacheable() && mark == Mark::None && now < held.deadlines().fresh_until
            };
            if table.of_key(key.hash(), key.text()).any(usable) {
                return Admit::Skipped(Reason::NotStorable);
            }
        }
        if !entry.is_uncacheable() {
            self.end_deeper(&mut table, key, entry.vary());
        }
        let replaced = table.replaced_by(key.hash(), key.text(), entry.vary(), entry.is_uncacheable());
        for old in &replaced {
            self.edge.unlink(&mut table, old);
        }
        self.edge.link(&mut table, key, entry);
        drop(table);
        drop(replaced);
        point("commit:stored");
        self.send_down(entry);
        self.edge.settle(key.url_hash());
        Admit::Stored
    }
}

fn deadlines(freshness: &Freshness, received: Tick) -> Deadlines {
    let ticks = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX) / (1000 / TICKS);
    let clamp = |t: i64| t.clamp(i64::from(Tick::MIN), i64::from(Tick::MAX)) as Tick;
    let seconds = |d: Duration| u32::try_from(d.as_secs()).unwrap_or(u32::MAX);
    let born = i64::from(received).saturating_sub(ticks(freshness.age));
    Deadlines {
        born: clamp(born),
        fresh_until: clamp(born.saturating_add(ticks(freshness.lifetime))),
        while_revalidate: seconds(freshness.stale_while_revalidate),
        if_error: seconds(freshness.stale_if_error),
        must_revalidate: freshness.must_revalidate,
        no_cache: freshness.no_cache,
    }
}

/// The `Vary` and tags of a response, if it may be stored at all.
pub(crate) fn selectors(head: &Head, request: &HeaderMap, tags: &[&[u8]]) -> Option<(Vary, Tags)> {
    Some((Vary::new(&head.headers, request)?, Tags::encode(tags.iter().copied())))
}
