//! Questions that change nothing: what would a purge take, what is stored of a URL.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Engine;
use super::lookup::{Lookup, decide};
use crate::edge::index::{Place, Scope};
use crate::entry::{EntryRef, Handle, Mark};
use crate::purge::{Compiled, Cost, Count, Purge, PurgeError, Selector, Shape, Subject, cost};

/// Keys in a sample.
const SAMPLE: usize = 20;
/// Most objects in a listing.
const LISTED: usize = 1000;

/// What a purge would take.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Explained {
    /// Objects and bytes of the memory tier.
    pub edge: Count,
    /// Texts of some of their keys.
    pub sample: Vec<String>,
    /// The time budget ran out: there may be more.
    pub partial: bool,
    /// What each selector would cost as a live rule, in order.
    pub costs: Vec<Cost>,
}

/// A stored object, for listings.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Key text.
    pub key: String,
    /// Request fields it varies on, with the values it was stored for.
    pub variant: Vec<(String, Option<String>)>,
    /// Status code.
    pub status: u16,
    /// Age in seconds.
    pub age: u64,
    /// Freshness left in seconds.
    pub ttl: i64,
    /// Bytes charged.
    pub size: u64,
    /// Tags.
    pub tags: Vec<String>,
    /// Judged against every rule up to this number.
    pub stamp: u64,
    /// Strongest rule that took it: `none`, `soft`, `invalidate` or `dead`.
    pub mark: &'static str,
    /// What a request would get: `hit`, `stale` or the reason for neither.
    pub verdict: String,
}

impl Engine {
    pub(crate) fn explain(&self, purge: &Purge, budget: Duration) -> Result<Explained, PurgeError> {
        let rules = self.prepare(purge)?;
        let costs = rules.iter().map(|rule| cost(&rule.parts)).collect();
        let mut explained = Explained { costs, ..Explained::default() };
        let parts: Vec<Compiled> = rules.into_iter().flat_map(|rule| rule.parts).collect();
        let deadline = Instant::now().checked_add(budget);
        explained.partial = !self.visit(&parts, deadline, |entry| {
            explained.edge.objects += 1;
            explained.edge.bytes += entry.weight();
            if explained.sample.len() < SAMPLE {
                explained.sample.push(lossy(entry.key().text()));
            }
            true
        });
        Ok(explained)
    }

    pub(crate) fn objects(&self, of: &Selector) -> Result<Vec<ObjectInfo>, PurgeError> {
        let purge = Purge::new(of.clone());
        let parts: Vec<Compiled> = self.prepare(&purge)?.into_iter().flat_map(|rule| rule.parts).collect();
        let mut listed = Vec::new();
        self.visit(&parts, Instant::now().checked_add(Duration::from_secs(1)), |entry| {
            listed.push(self.describe(entry));
            listed.len() < LISTED
        });
        Ok(listed)
    }

    /// Calls `seen` with every live object that one of `parts` takes, each once; whether it went to the end. `seen` says whether to go on.
    fn visit(&self, parts: &[Compiled], deadline: Option<Instant>, mut seen: impl FnMut(&EntryRef) -> bool) -> bool {
        let mut known: HashSet<Place> = HashSet::new();
        for part in parts {
            if let Some(found) = self.edge.direct(part.shape()) {
                if !self.report(part, &found, &mut known, &mut seen) {
                    return false;
                }
                continue;
            }
            let mut found: Vec<EntryRef> = Vec::new();
            let scope = match part.shape() {
                Shape::Tag(tag) => Scope::Tag(tag),
                shape => shape.walks().map_or(Scope::Hosts, |(dir, recursive)| Scope::Directory { dir, recursive }),
            };
            let mut walk = self.edge.index.walk(scope);
            let mut places = Vec::new();
            loop {
                let more = walk.next_chunk(&mut places, |dir| part.shape().reaches(dir));
                for place in places.drain(..) {
                    let (shard, slot) = self.edge.at(place);
                    found.extend(self.edge.shards()[shard].table.read().in_slot(slot).cloned());
                }
                if !self.report(part, &found, &mut known, &mut seen) {
                    return false;
                }
                found.clear();
                if !more {
                    break;
                }
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    return false;
                }
            }
        }
        true
    }

    fn report(
        &self,
        part: &Compiled,
        found: &[EntryRef],
        known: &mut HashSet<Place>,
        seen: &mut impl FnMut(&EntryRef) -> bool,
    ) -> bool {
        for entry in found {
            let subject = Subject { key: entry.key(), vary: Some(entry.vary()), tags: entry.tags() };
            let place = self.edge.place_of(entry);
            if part.matches(&subject) && self.mark_of(entry).1 != Mark::Dead && known.insert(place) && !seen(entry) {
                return false;
            }
        }
        true
    }

    /// Stamp and mark as a lookup would see them now; writes nothing.
    fn mark_of(&self, entry: &EntryRef) -> (u64, Mark) {
        let snapshot = self.rules.load();
        let shard = self.edge.shard(entry.key().url_hash());
        let swept = shard.swept_upto.load(Ordering::Acquire);
        let (stamp, mark) = entry.control().load();
        let effective = stamp.max(swept);
        let subject = Subject { key: entry.key(), vary: Some(entry.vary()), tags: entry.tags() };
        let verdict = snapshot.judge(&subject, effective).edge;
        (effective, verdict.map_or(mark, |(action, _)| mark.max(action.into())))
    }

    fn describe(&self, entry: &EntryRef) -> ObjectInfo {
        let (stamp, mark) = self.mark_of(entry);
        let hit = super::Hit { handle: Handle::Direct(entry.clone()), now: self.now(), mark };
        let verdict = if entry.is_uncacheable() {
            super::Reason::Uncacheable.to_string()
        } else {
            match decide(hit.handle.clone(), mark, hit.now) {
                Lookup::Hit(_) => "hit".to_owned(),
                Lookup::Stale(..) => "stale".to_owned(),
                Lookup::MustValidate(_, reason) | Lookup::Miss(reason) => reason.to_string(),
                Lookup::Deferred(_) => "deferred".to_owned(),
            }
        };
        ObjectInfo {
            key: lossy(entry.key().text()),
            variant: entry.vary().iter().map(|(name, value)| (lossy(name), value.map(lossy))).collect(),
            status: entry.status(),
            age: hit.age().as_secs(),
            ttl: hit.ttl(),
            size: entry.weight(),
            tags: entry.tags().iter().map(lossy).collect(),
            stamp,
            mark: match mark {
                Mark::None => "none",
                Mark::Soft => "soft",
                Mark::Invalidate => "invalidate",
                Mark::Dead => "dead",
            },
            verdict,
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
