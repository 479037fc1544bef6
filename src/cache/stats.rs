//! Figures.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Admit, Engine, Reason};
use crate::l2::{L2, L2Stats};

/// Counters of the rarer outcomes; most hits are counted by thread.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) must_validate: AtomicU64,
    misses: [AtomicU64; Reason::COUNT],
    skipped: [AtomicU64; Reason::COUNT],
    stored: AtomicU64,
}

impl Counters {
    pub(crate) fn miss(&self, reason: Reason) -> &AtomicU64 {
        &self.misses[reason as usize]
    }

    pub(crate) fn admit(&self, admit: Admit) {
        match admit {
            Admit::Stored => &self.stored,
            Admit::Skipped(reason) => &self.skipped[reason as usize],
        }
        .fetch_add(1, Ordering::Relaxed);
    }
}

/// Figures of a cache. Counters run from its start.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Stored objects, uncacheable marks included.
    pub objects: u64,
    /// Bytes in use: objects, indexes, fills in flight, and what readers still hold.
    pub bytes: u64,
    /// Capacity in bytes.
    pub capacity: u64,
    /// Fresh hits.
    pub hits: u64,
    /// Stale answers.
    pub stale: u64,
    /// Lookups that found something to validate.
    pub must_validate: u64,
    /// Misses by reason.
    pub misses: Vec<(Reason, u64)>,
    /// Stored responses.
    pub stored: u64,
    /// Responses not stored, by reason.
    pub skipped: Vec<(Reason, u64)>,
    /// Evicted objects.
    pub evicted: u64,
    /// Fills in flight.
    pub fills: u64,
    /// Bytes held by fills in flight.
    pub fill_bytes: u64,
    /// Bytes of objects no longer stored that readers still hold.
    pub pinned_bytes: u64,
    /// Number of the newest rule.
    pub seq: u64,
    /// Every rule up to this number is retired.
    pub low_water: u64,
    /// Every rule up to this number has been swept in the memory tier.
    pub swept_upto: u64,
    /// Live rules.
    pub live_rules: u64,
    /// Their cap.
    pub max_rules: u64,
    /// Bytes of the rule table, without the rules' own texts and automata.
    pub rule_table_bytes: u64,
    /// Age of the oldest rule that no sweep has taken up, in milliseconds; 0 if there is none.
    pub oldest_unswept_ms: u64,
    /// The second tier, if there is one.
    pub l2: Option<L2Stats>,
}

impl Engine {
    pub(crate) fn stats(&self) -> Stats {
        let counted = |counters: &[AtomicU64; Reason::COUNT]| {
            let counts = counters.iter().map(|counter| counter.load(Ordering::Relaxed));
            Reason::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
        };
        let snapshot = self.rules.load();
        // What is retired was swept; a shard that was made later need not know.
        let swept = self.edge.shards().iter().map(|shard| shard.swept_upto.load(Ordering::Acquire)).min();
        let oldest = self.rules.oldest_pending().map(|rule| rule.record.created_ms);
        Stats {
            objects: self.edge.objects(),
            bytes: self.edge.budget.used(),
            capacity: self.edge.budget.capacity(),
            hits: self.edge.fronts.hits() + self.counters.hits.load(Ordering::Relaxed),
            stale: self.counters.stale.load(Ordering::Relaxed),
            must_validate: self.counters.must_validate.load(Ordering::Relaxed),
            misses: counted(&self.counters.misses),
            stored: self.counters.stored.load(Ordering::Relaxed),
            skipped: counted(&self.counters.skipped),
            evicted: self.edge.evicted.load(Ordering::Relaxed),
            fills: self.edge.fills(),
            fill_bytes: self.edge.budget.fills(),
            pinned_bytes: self.edge.budget.pinned(),
            seq: snapshot.seq,
            low_water: snapshot.lwm,
            swept_upto: swept.unwrap_or(0).max(snapshot.lwm),
            live_rules: self.rules.live(),
            max_rules: self.rules.max_rules() as u64,
            rule_table_bytes: self.rules.table_bytes() as u64,
            oldest_unswept_ms: oldest.map_or(0, |created| self.clock.now_ms().saturating_sub(created)),
            l2: self.l2.as_ref().map(L2::stats),
        }
    }

    #[cfg(any(test, fuzzing, oust_shuttle))]
    pub(crate) fn validate(&self) -> Result<(), String> {
        self.edge.validate()?;
        let snapshot = self.rules.load();
        for shard in self.edge.shards() {
            let table = shard.table.read();
            let swept = shard.swept_upto.load(Ordering::Acquire);
            // I2: the low-water mark is at most every holder's effective stamp.
            for entry in table.iter() {
                if entry.control().load().0.max(swept) < snapshot.lwm {
                    return Err(format!("{entry:?} is below the low-water mark {}", snapshot.lwm));
                }
            }
            for fill in &table.fills {
                let (stamp, mark) = fill.control.load();
                if mark != crate::entry::Mark::Dead && stamp < snapshot.lwm {
                    return Err(format!("a fill at {stamp} is below the low-water mark {}", snapshot.lwm));
                }
            }
        }
        Ok(())
    }
}
