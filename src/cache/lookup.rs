//! Lookup: find, check against the rules, decide.
//!
//! Load order (G1): the newest number or the snapshot, then the shard's `swept_upto`, then the entry, then its control word. `swept_upto` vouches only for
//! entries that were in the table when it was raised; whatever left before was marked dead first, and the control word is read last.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::HeaderMap;

use super::hit::Hit;
use super::{Engine, Reason};
use crate::edge::front::Local;
use crate::edge::shard::Found;
use crate::entry::{Deadlines, EntryRef, Handle, Mark, TICKS, Tick};
use crate::key::Key;
use crate::l2::Deferred;
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
    /// The second tier has it, but the disk must be waited for.
    Deferred(Deferred),
}

impl Engine {
    // Inlined all the way: the outcome is then built in registers, where copies of it through memory would cost more than the lookup.
    #[inline(always)]
    pub(crate) fn lookup(self: &Arc<Self>, key: &Key, request: &HeaderMap) -> Lookup {
        let now = self.now();
        let local = self.edge.fronts.local();
        let (handle, mark) = match self.fast(key, request, local) {
            Ok(found) => found,
            Err(Some(reason)) => return self.look_deeper(key, request, reason),
            Err(None) => return self.judged_lookup(key, request, now),
        };
        let found = usable(handle.entry(), mark, now);
        match (&found, local) {
            (Use::Fresh, Some(local)) => local.count_hit(),
            (Use::None(reason), _) => return self.look_deeper(key, request, *reason),
            _ => self.count(&found),
        }
        found.of(handle, mark, now)
    }

    /// The same for a request some of whose fields are not known yet, where these do not matter. All variants of a key vary on the same fields, so that
    /// what is selected by known fields alone is selected by all.
    #[inline(always)]
    pub(crate) fn lookup_settled(&self, key: &Key, request: &HeaderMap, open: impl Fn(&[u8]) -> bool) -> Option<Hit> {
        let now = self.now();
        let local = self.edge.fronts.local();
        let (handle, mark) = self.fast(key, request, local).ok()?;
        let entry = handle.entry();
        let vary = entry.vary();
        let settled = vary.is_empty() || !vary.iter().any(|(name, _)| open(name));
        let found = usable(entry, mark, now);
        if !settled || !matches!(found, Use::Fresh) {
            return None;
        }
        match local {
            Some(local) => local.count_hit(),
            None => self.count(&found),
        }
        Some(Hit { handle, now, mark })
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn missed(&self, reason: Reason) -> Lookup {
        self.count(&Use::None(reason));
        Lookup::Miss(reason)
    }

    /// The way of nearly all hits: the gates say that nothing newer than its stamp concerns the entry. The error is why there is no entry, or
    /// `None` if there is one that may owe an answer to newer rules.
    #[inline(always)]
    fn fast(&self, key: &Key, request: &HeaderMap, local: Option<&Local>) -> Result<(Handle, Mark), Option<Reason>> {
        let newest = self.rules.gates.newest();
        let shard = self.edge.shard(key.url_hash());
        let swept = shard.swept_upto.load(Ordering::Acquire);
        point("lookup:swept-loaded");
        let handle = match local.and_then(|local| local.probe(key, request)) {
            Some(handle) => handle,
            None => {
                let table = shard.table.read();
                let entry = match table.find(key, request) {
                    Found::Entry(entry) => entry.clone(),
                    Found::NoVariant => return Err(Some(Reason::VaryMiss)),
                    Found::Nothing => return Err(Some(Reason::UriMiss)),
                };
                drop(table);
                if entry.touch() {
                    self.used_first(&entry);
                }
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
            return Err(None);
        }
        Ok((handle, mark))
    }

    #[cold]
    #[inline(never)]
    fn count(&self, found: &Use) {
        match found {
            Use::Fresh => &self.counters.hits,
            Use::Stale(_) => &self.counters.stale,
            Use::Validated(_) => &self.counters.must_validate,
            Use::None(reason) => self.counters.miss(*reason),
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    /// The newest rule that may concern `entry`, which is stored under `key`.
    fn gate(&self, key: &Key, entry: &EntryRef) -> u64 {
        let gates = &self.rules.gates;
        let of_key = gates.of_key(key.gates());
        if entry.has_tags() { of_key.max(gates.of_tags(entry.tags().iter(), of_key)) } else { of_key }
    }

    /// The same, asking the rules.
    #[cold]
    #[inline(never)]
    fn judged_lookup(self: &Arc<Self>, key: &Key, request: &HeaderMap, now: Tick) -> Lookup {
        match self.judged(key, request, now) {
            Ok((entry, mark)) => {
                let found = usable(&entry, mark, now);
                if let Use::None(reason) = found {
                    return self.look_deeper(key, request, reason);
                }
                self.count(&found);
                found.of(Handle::Direct(entry), mark, now)
            }
            Err(reason) => self.look_deeper(key, request, reason),
        }
    }

    fn judged(&self, key: &Key, request: &HeaderMap, now: Tick) -> Result<(EntryRef, Mark), Reason> {
        let snapshot = self.rules.load();
        point("judge:snapshot-loaded");
        let shard = self.edge.shard(key.url_hash());
        let swept = shard.swept_upto.load(Ordering::Acquire);
        let entry = match shard.table.read().find(key, request) {
            Found::Entry(entry) => entry.clone(),
            Found::NoVariant => return Err(Reason::VaryMiss),
            Found::Nothing => return Err(Reason::UriMiss),
        };
        let (stamp, mark) = entry.control().load();
        let effective = stamp.max(swept);
        if mark == Mark::Dead || self.gate(key, &entry) <= effective {
            return Ok((entry, mark));
        }
        if effective < snapshot.lwm {
            // Cannot be: I2. Refusing is the safe answer.
            return Err(Reason::PurgedDelete);
        }
        let mark = self.judge_entry(&entry, effective, &snapshot, now);
        Ok((entry, mark))
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
        if verdict.leaves_edge_alone() {
            entry.set_no_demote();
        }
        let Some((action, seq)) = verdict.edge else {
            return entry.judge(snapshot.seq, Mark::None, now);
        };
        let record = self.history.of_rule(seq);
        let mark = action.into();
        let at = match mark {
            Mark::Soft => self.softened_at(snapshot.first_soft(&subject, effective, seq, |verdict| verdict.edge)),
            _ => now,
        };
        let had = entry.judge(snapshot.seq, mark, at);
        if let Some(record) = record.filter(|_| mark > had) {
            record.count(entry.weight());
        }
        had.max(mark)
    }

    /// Counts what a lookup came to.
    pub(crate) fn count_lookup(&self, found: &Lookup) {
        self.count(&match found {
            Lookup::Hit(_) => Use::Fresh,
            Lookup::Stale(_, reason) => Use::Stale(*reason),
            Lookup::MustValidate(_, reason) => Use::Validated(*reason),
            Lookup::Miss(reason) => Use::None(*reason),
            Lookup::Deferred(_) => return,
        });
    }
}

/// What may be done with an entry that carries `mark`.
pub(crate) fn decide(handle: Handle, mark: Mark, now: Tick) -> Lookup {
    usable(handle.entry(), mark, now).of(handle, mark, now)
}

enum Use {
    Fresh,
    Stale(Reason),
    Validated(Reason),
    None(Reason),
}

impl Use {
    #[inline(always)]
    fn of(self, handle: Handle, mark: Mark, now: Tick) -> Lookup {
        let hit = Hit { handle, now, mark };
        match self {
            Self::Fresh => Lookup::Hit(hit),
            Self::Stale(reason) => Lookup::Stale(hit, reason),
            Self::Validated(reason) => Lookup::MustValidate(hit, reason),
            Self::None(reason) => Lookup::Miss(reason),
        }
    }
}

#[inline(always)]
fn usable(entry: &EntryRef, mark: Mark, now: Tick) -> Use {
    let deadlines = entry.deadlines();
    if mark == Mark::None && now < deadlines.fresh_until && !deadlines.no_cache {
        return Use::Fresh;
    }
    not_fresh(entry, mark, now)
}

#[cold]
#[inline(never)]
fn not_fresh(entry: &EntryRef, mark: Mark, now: Tick) -> Use {
    unfresh(entry.deadlines(), entry.expires(mark, now), mark, now)
}

fn unfresh(deadlines: Deadlines, expires: Tick, mark: Mark, now: Tick) -> Use {
    match mark {
        Mark::Dead => return Use::None(Reason::PurgedDelete),
        Mark::Invalidate => return Use::Validated(Reason::PurgedInvalidate),
        Mark::None | Mark::Soft => {}
    }
    if deadlines.no_cache {
        return Use::Validated(Reason::NoCache);
    }
    let reason = if mark == Mark::Soft { Reason::PurgedSoft } else { Reason::Expired };
    let window = i64::from(expires) + i64::from(deadlines.while_revalidate) * TICKS;
    if !deadlines.must_revalidate && i64::from(now) < window { Use::Stale(reason) } else { Use::Validated(reason) }
}

/// What a request would get of an object with these deadlines, which is fresh before the tick `expires`: `hit`, `stale` or the reason for neither.
pub(crate) fn verdict(deadlines: Deadlines, expires: Tick, mark: Mark, now: Tick) -> String {
    if mark == Mark::None && now < deadlines.fresh_until && !deadlines.no_cache {
        return "hit".to_owned();
    }
    match unfresh(deadlines, expires, mark, now) {
        Use::Fresh => "hit".to_owned(),
        Use::Stale(_) => "stale".to_owned(),
        Use::Validated(reason) | Use::None(reason) => reason.to_string(),
    }
}
