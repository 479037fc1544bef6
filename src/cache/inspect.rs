//! Questions that change nothing: what would a purge take, what is stored of a URL.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Engine;
use super::lookup::verdict;
use crate::edge::index::{Place, Scope};
use crate::entry::{EntryRef, Handle, Mark};
use crate::purge::{Compiled, Cost, Count, Purge, PurgeError, Selector, Shape, Subject, cost};

/// Keys in a sample, of each tier.
const SAMPLE: usize = 20;
/// Most objects in a listing.
const LISTED: usize = 1000;

/// What a purge would take.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Explained {
    /// Objects and bytes of the memory tier.
    pub edge: Count,
    /// Objects and bytes of the second tier. What both tiers hold counts in both.
    pub l2: Count,
    /// Texts of some of their keys, up to 20 of each tier, each text once.
    pub sample: Vec<String>,
    /// There may be more: the time budget ran out, or what is on disk is still being read in, or part of it has just left or cannot be read.
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
    /// Where: `edge`, the memory tier, or `l2`. One that is in both is listed twice.
    pub layer: &'static str,
    /// Request fields it varies on, with the values it was stored for.
    pub variant: Vec<(String, Option<String>)>,
    /// Status code.
    pub status: u16,
    /// Age in seconds.
    pub age: u64,
    /// Freshness left in seconds.
    pub ttl: i64,
    /// Bytes charged to the memory tier, or taken in a segment.
    pub size: u64,
    /// Tags.
    pub tags: Vec<String>,
    /// Judged against every rule up to this number.
    pub stamp: u64,
    /// Strongest rule that took it: `none`, `soft`, `invalidate` or `dead`.
    pub mark: &'static str,
    /// What a request would get of it: `hit`, `stale` or the reason for neither.
    pub verdict: String,
}

impl Engine {
    pub(crate) fn explain(&self, purge: &Purge, budget: Duration) -> Result<Explained, PurgeError> {
        let rules = self.prepare(purge)?;
        let costs = rules.iter().map(|rule| cost(&rule.parts)).collect();
        let mut explained = Explained { costs, ..Explained::default() };
        let parts: Vec<Compiled> = rules.into_iter().flat_map(|rule| rule.parts).collect();
        let deadline = Instant::now().checked_add(budget);
        let mut sampled = HashSet::new();
        if purge.layers.edge {
            explained.partial |= !self.visit(&parts, deadline, |entry| {
                explained.edge.objects += 1;
                explained.edge.bytes += entry.weight();
                if sampled.len() < SAMPLE {
                    sample(&mut explained.sample, &mut sampled, entry.key().text());
                }
                true
            });
        }
        if let Some(l2) = self.l2.as_ref().filter(|_| purge.layers.l2) {
            let most = sampled.len().saturating_add(SAMPLE);
            explained.partial |= !self.visit_l2(l2, &parts, deadline, &mut |seen| {
                explained.l2.objects += 1;
                explained.l2.bytes += seen.record.weight;
                if sampled.len() < most {
                    sample(&mut explained.sample, &mut sampled, seen.record.key);
                }
                true
            });
        }
        Ok(explained)
    }

    pub(crate) fn objects(&self, of: &Selector) -> Result<Vec<ObjectInfo>, PurgeError> {
        let purge = Purge::new(of.clone());
        let parts: Vec<Compiled> = self.prepare(&purge)?.into_iter().flat_map(|rule| rule.parts).collect();
        let deadline = Instant::now().checked_add(Duration::from_secs(1));
        let mut listed = Vec::new();
        self.visit(&parts, deadline, |entry| {
            listed.push(self.describe(entry));
            listed.len() < LISTED
        });
        if let Some(l2) = &self.l2
            && listed.len() < LISTED
        {
            self.visit_l2(l2, &parts, deadline, &mut |seen| {
                listed.extend(self.describe_record(l2, seen));
                listed.len() < LISTED
            });
        }
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
        let now = self.now();
        let hit = super::Hit { handle: Handle::Direct(entry.clone()), now, mark };
        let verdict = if entry.is_uncacheable() {
            super::Reason::Uncacheable.to_string()
        } else {
            verdict(entry.deadlines(), entry.expires(mark, now), mark, now)
        };
        ObjectInfo {
            key: lossy(entry.key().text()),
            layer: "edge",
            variant: entry.vary().iter().map(|(name, value)| (lossy(name), value.map(lossy))).collect(),
            status: entry.status(),
            age: hit.age().as_secs(),
            ttl: hit.ttl(),
            size: entry.weight(),
            tags: entry.tags().iter().map(lossy).collect(),
            stamp,
            mark: mark_name(mark),
            verdict,
        }
    }
}

/// Adds a key to a sample that does not have it.
fn sample(to: &mut Vec<String>, sampled: &mut HashSet<Box<[u8]>>, key: &[u8]) {
    if sampled.insert(key.into()) {
        to.push(lossy(key));
    }
}

pub(crate) fn mark_name(mark: Mark) -> &'static str {
    match mark {
        Mark::None => "none",
        Mark::Soft => "soft",
        Mark::Invalidate => "invalidate",
        Mark::Dead => "dead",
    }
}

pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
