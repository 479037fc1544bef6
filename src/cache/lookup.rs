//! Lookup: find, check against the rules, decide.
//!
//! Load order (G1): the newest number or the snapshot, then the shard's `swept_upto`, then the entry, then its control word. `swept_upto` vouches only for
//! entries that were in the table when it was raised; whatever left before was marked dead first, and the control word is read last.

use std::sync::atomic::Ordering;

use http::HeaderMap;

use super::hit::Hit;
use super::{Engine, Reason};
use crate::edge::front::Counts;
use crate::edge::shard::Found;
use crate::entry::{EntryRef, Handle, Mark, TICKS, Tick};
use crate::key::Key;
use crate::purge::Subject;
use crate::sync::point;

/// What a lookup found.
#[derive(Debug)]
#[non_exhaustive]
pub enum Lookup {
    /// Fresh.
    Hit(Hit),
    /// Expired or softly purged, within its stale-while-revalidate window: may be served while it is revalidated in the background. The
    /// reason is [`Reason::Expired`] or [`Reason::PurgedSoft`].
    Stale(Hit, Reason),
    /// Stored, but to be validated before use. [`Hit::may_serve_on_error`] tells whether it may be served if the origin fails.
    MustValidate(Hit, Reason),
    /// Nothing usable.
    Miss(Reason),
}

enum Fast {
    Done(Lookup),
    /// The entry may owe an answer to newer rules.
    Judge,
}

impl Engine {
    pub(crate) fn lookup(&self, key: &Key, request: &HeaderMap) -> Lookup {
        let now = self.now();
        let looked = self.edge.fronts.with(|local| {
            let lookup = match self.fast(key, request, now, Some(local)) {
                Fast::Done(lookup) => lookup,
                Fast::Judge => self.judged_lookup(key, request, now),
            };
            match &lookup {
                Lookup::Hit(_) => Counts::add(&local.counts.hits),
                Lookup::Stale(..) => Counts::add(&local.counts.stale),
                Lookup::MustValidate(..) => Counts::add(&local.counts.must_validate),
                Lookup::Miss(reason) => self.counters.miss(*reason),
            }
            lookup
        });
        looked.unwrap_or_else(|| self.judged_lookup(key, request, now))
    }

    /// The way of nearly all lookups: the gates say that nothing newer concerns the entry.
    #[inline]
    fn fast(&self, key: &Key, request: &HeaderMap, now: Tick, local: Option<&crate::edge::front::Local>) -> Fast {
        let newest = self.rules.gates.newest();
        let shard = self.edge.shard(key.url_hash());
        let swept = shard.swept_upto.load(Ordering::Acquire);
        point("lookup:swept-loaded");
        let handle = match local.and_then(|local| local.probe(key, request)) {
            Some(handle) => handle,
            None => {
                let entry = match shard.table.read().find(key, request) {
                    Found::Entry(entry) => entry.clone(),
                    Found::NoVariant => return Fast::Done(Lookup::Miss(Reason::VaryMiss)),
                    Found::Nothing => return Fast::Done(Lookup::Miss(Reason::UriMiss)),
                };
                entry.touch();
                if let Some(local) = local {
                    local.offer(&self.edge.fronts, key.hash(), &entry);
                }
                Handle::Direct(entry)
            }
        };
        point("lookup:entry-loaded");
        let (stamp, mark) = handle.entry().control().load();
        let effective = stamp.max(swept);
        if newest > effective && self.gate(key, handle.entry()) > effective {
            return Fast::Judge;
        }
        Fast::Done(decide(handle, mark, now))
    }

    /// The newest rule that may concern `entry`, which is stored under `key`.
    fn gate(&self, key: &Key, entry: &EntryRef) -> u64 {
        let gates = &self.rules.gates;
        let of_key = gates.of_key(key.gates());
        if entry.has_tags() { of_key.max(gates.of_tags(entry.tags().iter(), of_key)) } else { of_key }
    }

    /// The same, asking the rules.
    #[cold]
    fn judged_lookup(&self, key: &Key, request: &HeaderMap, now: Tick) -> Lookup {
        let snapshot = self.rules.load();
        point("judge:snapshot-loaded");
        let shard = self.edge.shard(key.url_hash());
        let swept = shard.swept_upto.load(Ordering::Acquire);
        let entry = match shard.table.read().find(key, request) {
            Found::Entry(entry) => entry.clone(),
            Found::NoVariant => return Lookup::Miss(Reason::VaryMiss),
            Found::Nothing => return Lookup::Miss(Reason::UriMiss),
        };
        let (stamp, mark) = entry.control().load();
        let effective = stamp.max(swept);
        if mark == Mark::Dead || self.gate(key, &entry) <= effective {
            return decide(Handle::Direct(entry), mark, now);
        }
        if effective < snapshot.lwm {
            // Cannot be: I2. Refusing is the safe answer.
            return Lookup::Miss(Reason::PurgedDelete);
        }
        let mark = self.judge_entry(&entry, effective, &snapshot, now);
        decide(Handle::Direct(entry), mark, now)
    }

    /// Judges `entry` by every rule of `snapshot` above `effective` and writes the verdict; its mark then.
    pub(crate) fn judge_entry(
        &self,
        entry: &EntryRef,
        effective: u64,
        snapshot: &crate::purge::Snapshot,
        now: Tick,
    ) -> Mark {
        let subject = Subject { key: entry.key(), vary: Some(entry.vary()), tags: entry.tags() };
        let verdict = snapshot.judge(&subject, effective);
        let Some((action, seq)) = verdict.edge else {
            return entry.judge(snapshot.seq, Mark::None, now);
        };
        let record = self.history.of_rule(seq);
        // Soft: expired as of the purge, not as of whoever noticed.
        let at = record.as_ref().map_or(now, |record| self.tick_of(record.created_ms));
        let mark = action.into();
        let had = entry.judge(snapshot.seq, mark, at);
        if let Some(record) = record.filter(|_| mark > had) {
            record.count(entry.weight());
        }
        had.max(mark)
    }
}

/// What may be done with an entry that carries `mark`.
#[inline]
pub(crate) fn decide(handle: Handle, mark: Mark, now: Tick) -> Lookup {
    let hit = Hit { handle, now, mark };
    match mark {
        Mark::Dead => return Lookup::Miss(Reason::PurgedDelete),
        Mark::Invalidate => return Lookup::MustValidate(hit, Reason::PurgedInvalidate),
        Mark::None | Mark::Soft => {}
    }
    let deadlines = hit.entry().deadlines();
    if deadlines.no_cache {
        return Lookup::MustValidate(hit, Reason::NoCache);
    }
    let expires = hit.expires();
    if now < expires {
        return Lookup::Hit(hit);
    }
    let reason = if mark == Mark::Soft { Reason::PurgedSoft } else { Reason::Expired };
    let window = i64::from(expires) + i64::from(deadlines.while_revalidate) * TICKS;
    if !deadlines.must_revalidate && i64::from(now) < window {
        Lookup::Stale(hit, reason)
    } else {
        Lookup::MustValidate(hit, reason)
    }
}
