//! Questions to the second tier that change nothing: what would selectors take, and what is it like.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::L2;
use super::scope::scopes;
use crate::cache::{Engine, ObjectInfo, lossy, mark_name, verdict};
use crate::disk::store::{Candidate, Visited};
use crate::entry::{Mark, TICKS, Tick, expires};
use crate::key::{KeyRef, Layout};
use crate::purge::{Compiled, Subject, TagsRef};
use crate::vary::VaryRef;

/// Records that are looked at between two looks at the clock.
const STRIDE: u32 = 256;

/// A record that lookups may find, judged as they would now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) record: Visited<'a>,
    candidate: Candidate,
    /// Every rule up to this one has judged it.
    stamp: u64,
    /// Never [`Mark::Dead`].
    mark: Mark,
    /// When the rule that softened it was made, if that is not yet noted with the record.
    softened: Option<Tick>,
}

impl Engine {
    /// Calls `seen` with every live record that one of `parts` takes, each once; whether it went to the end. `seen` says whether to go on.
    pub(crate) fn visit_l2(
        &self,
        l2: &L2,
        parts: &[Compiled],
        deadline: Option<Instant>,
        seen: &mut dyn FnMut(&Seen<'_>) -> bool,
    ) -> bool {
        let mut known = HashSet::new();
        // What is still being read in cannot be seen.
        let mut whole = !l2.is_loading();
        let mut over = false;
        let mut looked_at = 0_u32;
        for scope in scopes(parts.iter().map(Compiled::shape)) {
            for segment in l2.store.segments() {
                let mut look = |record: Visited<'_>| {
                    looked_at = looked_at.wrapping_add(1);
                    over |= looked_at.is_multiple_of(STRIDE) && is_past(deadline);
                    if !over && let Some(found) = self.live_match(l2, parts, record) {
                        over = known.insert(record.id) && !seen(&found);
                    }
                };
                // A segment that is gone meanwhile, or cannot be read: what it held is not counted.
                whole &= l2.store.visit(segment.id, scope, &mut look);
                over |= is_past(deadline);
                if over {
                    return false;
                }
            }
        }
        whole
    }

    /// The record as a lookup would find it, if one of `parts` takes it.
    fn live_match<'a>(&self, l2: &L2, parts: &[Compiled], record: Visited<'a>) -> Option<Seen<'a>> {
        let key = KeyRef::from_stored(record.key, Layout::of(record.key)?);
        let vary = Some(VaryRef::from_stored(record.vary));
        let subject = Subject { key, vary, tags: TagsRef::from_stored(record.tags) };
        if !parts.iter().any(|part| part.matches(&subject)) {
            return None;
        }
        // In the order of a lookup.
        let snapshot = self.rules.load();
        let stamp = record.seq.max(l2.swept_upto.load(Ordering::Acquire));
        let url_hash = key.url_hash();
        let candidates = l2.store.find(url_hash, key.hash_under(url_hash));
        let candidate = candidates.into_iter().find(|candidate| candidate.id == record.id)?;
        if stamp < snapshot.lwm {
            return None;
        }
        let mut seen = Seen { record, candidate, stamp, mark: candidate.mark, softened: None };
        if let Some((action, seq)) = snapshot.judge(&subject, stamp).l2 {
            let mark = Mark::from(action);
            seen.softened = (mark == Mark::Soft).then(|| self.softened_at(seq));
            seen.mark = seen.mark.max(mark);
        }
        (seen.mark != Mark::Dead).then_some(seen)
    }

    /// A record as a listing shows it; `None` if its header cannot be read. Reads no body, and writes nothing.
    pub(crate) fn describe_record(&self, l2: &L2, seen: &Seen<'_>) -> Option<ObjectInfo> {
        let meta = l2.store.peek(&seen.candidate)?;
        let (deadlines, now) = (self.deadlines_of(&meta), self.now());
        let noted = self.tick_of_signed(seen.candidate.mark_at_ms.unwrap_or(meta.soft_at_ms));
        let soft_at = seen.softened.map_or(noted, |softened| softened.min(noted));
        let expires = expires(deadlines.fresh_until, soft_at, seen.mark, now);
        let whole_seconds = |ticks: i64| ticks.div_euclid(TICKS);
        Some(ObjectInfo {
            key: lossy(seen.record.key),
            layer: "l2",
            variant: VaryRef::from_stored(seen.record.vary)
                .iter()
                .map(|(name, value)| (lossy(name), value.map(lossy)))
                .collect(),
            status: meta.status,
            age: whole_seconds((i64::from(now) - i64::from(deadlines.born)).max(0)).unsigned_abs(),
            ttl: whole_seconds(i64::from(expires) - i64::from(now)),
            size: seen.record.weight,
            tags: TagsRef::from_stored(seen.record.tags).iter().map(lossy).collect(),
            stamp: seen.stamp,
            mark: mark_name(seen.mark),
            verdict: verdict(deadlines, expires, seen.mark, now),
        })
    }
}

fn is_past(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}
