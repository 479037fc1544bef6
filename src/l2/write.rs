//! What is written to the second tier: copies of entries that were asked for again, and evicted ones.
//!
//! An append is a commit of the second tier: under the append lock the newest snapshot is loaded, rules of both layers newer than the entry are
//! asked, and the record carries that snapshot's number and the verdict. It enters the index under the shard's lock, unless a newer response of
//! its key has come meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{L2, LARGE};
use crate::cache::Engine;
use crate::disk::RecordId;
use crate::disk::journal::Entry;
use crate::disk::store::{AppendError, Appended, Candidate, Meta, Record, RecordParts, Reinsert, variant_of};
use crate::edge::leaving::{Leaving, Work, judge_for_l2};
use crate::edge::shard::MAX_VARIANTS;
use crate::entry::{Control, EntryRef, Handle, HeadAndBody, Mark};
use crate::key::{KeyRef, Layout};
use crate::sync::point;

/// How long an open segment without appends stays open.
const IDLE: Duration = Duration::from_secs(60);

/// Bytes that may be written a second, and as a burst.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second: u64,
    left: u64,
    at: Instant,
}

impl Rate {
    pub(crate) fn new(per_second: u64) -> Self {
        Self { per_second, left: per_second, at: Instant::now() }
    }

    fn take(&mut self, bytes: u64) -> bool {
        let now = Instant::now();
        let gained = u128::from(self.per_second).saturating_mul(now.duration_since(self.at).as_micros()) / 1_000_000;
        if gained > 0 {
            self.left = self.left.saturating_add(u64::try_from(gained).unwrap_or(u64::MAX)).min(self.per_second);
            self.at = now;
        }
        // A whole burst lets through what is larger than one.
        let pays = bytes.min(self.per_second);
        let admitted = self.left >= pays;
        if admitted {
            self.left -= pays;
        }
        admitted
    }
}

impl Engine {
    /// An entry of the memory tier is used for the first time since it came, or since its count was run down.
    #[cold]
    #[inline(never)]
    pub(crate) fn used_first(&self, entry: &EntryRef) {
        if let Some(l2) = &self.l2
            && !entry.is_uncacheable()
        {
            l2.outbox.push(Work::Copy(entry.clone()));
        }
    }

    /// Sends an entry that has just been stored to the second tier if that is where it belongs: a large one takes the place of many, and leaves
    /// the memory tier as soon as it is written.
    pub(crate) fn send_down(&self, entry: &EntryRef) {
        if let Some(l2) = &self.l2
            && entry.body_len() > LARGE
        {
            l2.outbox.push(Work::Copy(entry.clone()));
        }
    }

    /// Writes what waits, for as long as `most` without anything new; false once there will be no more.
    pub(crate) fn write_waiting(&self, l2: &L2, most: Duration) -> bool {
        let goes_on = l2.outbox.wait(most);
        let writing = l2.writing.lock();
        while let Some(work) = l2.outbox.take() {
            let written = match &work {
                Work::Copy(entry) => self.write_copy(l2, entry),
                Work::Leaving(leaving) => self.write_leaving(l2, leaving),
            };
            let counter = if written { &l2.counters.written } else { &l2.counters.not_written };
            counter.fetch_add(1, Ordering::Relaxed);
            if written {
                *l2.idle_since.lock() = Instant::now();
            }
            if l2.store.wants_eviction() || l2.store.wants_sealing() {
                self.keep_house(l2);
            }
        }
        self.keep_house(l2);
        // What was replaced waits for no purge to come: it is bounded, and does not come back after a crash. An error is the journal's figure.
        drop(l2.journal.flush());
        l2.history.write(&*l2.media, &self.history);
        drop(writing);
        goes_on
    }

    /// Seals what is full or idle, and makes room for what comes next.
    fn keep_house(&self, l2: &L2) {
        if l2.idle_since.lock().elapsed() >= IDLE {
            l2.store.seal();
            *l2.idle_since.lock() = Instant::now();
        }
        l2.store.seal_pending();
        while l2.store.wants_eviction() {
            if self.evict_segment(l2).is_none() {
                return;
            }
        }
    }

    /// Evicts the oldest segment; what was asked for since it was written is written again. A reinsertion is a commit like any append: judged by the
    /// newest snapshot under the append lock, and indexed under the shard's lock if its record is still the key's.
    pub(crate) fn evict_segment(&self, l2: &L2) -> Option<()> {
        let decide = |candidate: &Candidate, record: &Record| {
            let key = KeyRef::from_stored(record.key(), Layout::of(record.key())?).to_key();
            let snapshot = self.rules.load();
            // After the candidate's mark was read here, a sweep may raise both; this one's number is not above what it was judged by.
            let swept = l2.swept_upto.load(Ordering::Acquire);
            let now = l2.store.candidate_of(candidate)?;
            let effective = record.meta().seq.max(swept);
            let (mark, soft_at) = self.judge_record(&key, record, &now, effective, &snapshot)?;
            Some(Reinsert { seq: snapshot.seq, mark, soft_at_ms: self.ms_of(soft_at) })
        };
        let hold = |url_hash: u64| self.edge.shard(url_hash).table.read();
        let bury = |ended: &[RecordId]| l2.bury(ended);
        let evicted = l2.store.evict_oldest(&mut |candidate, record| decide(candidate, record), &hold, &bury)?;
        if evicted.gone {
            l2.journal.append(Entry::Dropped { segment: evicted.segment });
        } else {
            // Its file may be there at the next start: its marks must not be forgotten.
            l2.bury_segment(evicted.segment);
        }
        Some(())
    }

    /// Writes what waits, and makes it durable.
    pub(crate) fn flush_l2(&self, l2: &L2) -> std::io::Result<()> {
        self.write_waiting(l2, Duration::ZERO);
        l2.store.seal();
        l2.bury_condemned();
        l2.journal.flush().map_err(std::io::Error::other)?;
        let errors = l2.store.stats().io_errors + l2.counters.append_errors.load(Ordering::Relaxed);
        match errors.saturating_sub(l2.told_errors.fetch_max(errors, Ordering::AcqRel)) {
            0 => Ok(()),
            new => {
                Err(std::io::Error::other(format!("{new} failures to write to the second tier since the last flush")))
            }
        }
    }

    fn write_copy(&self, l2: &L2, entry: &EntryRef) -> bool {
        let written = self.append_copy(l2, entry);
        if written && entry.body_len() > LARGE {
            let key = entry.key().to_key();
            let mut table = self.edge.lock(&key);
            self.edge.unlink(&mut table, entry);
        }
        written
    }

    fn append_copy(&self, l2: &L2, entry: &EntryRef) -> bool {
        let key = entry.key();
        let url_hash = key.url_hash();
        let hash = key.hash_under(url_hash);
        if !self.is_wanted(l2, entry, (url_hash, hash)) {
            return false;
        }
        let mut appender = l2.store.appender();
        let snapshot = self.rules.load();
        let shard = self.edge.shard(url_hash);
        // Before the control word: it vouches for what was in the table, and what left is dead.
        let swept = shard.swept_upto.load(Ordering::Acquire);
        let (stamp, mark) = entry.control().load();
        let control = Control::new(stamp.max(swept));
        control.raise(0, mark);
        let mark = judge_for_l2(entry, &control, &snapshot, |seq| self.softened_at(seq));
        if mark == Mark::Dead || entry.no_demote() {
            return false;
        }
        point("write:judged");
        let body = body_of(entry);
        let appended = appender.append_under(&self.record_of(entry, &body, snapshot.seq, mark), || {
            point("write:appended");
            let table = shard.table.read();
            // A newer response has come meanwhile.
            (entry.control().load().1 != Mark::Dead).then_some(table)
        });
        l2.account(appended)
    }

    fn write_leaving(&self, l2: &L2, leaving: &Arc<Leaving>) -> bool {
        let entry = &leaving.entry;
        let key = entry.key();
        let url_hash = key.url_hash();
        let hash = key.hash_under(url_hash);
        let shard = self.edge.shard(url_hash);
        let wanted = self.is_wanted(l2, entry, (url_hash, hash));
        let mut appender = l2.store.appender();
        let snapshot = self.rules.load();
        let mark = leaving.catch_up(&snapshot, |seq| self.softened_at(seq));
        let mut written = false;
        if wanted && mark != Mark::Dead {
            let body = body_of(entry);
            let appended = appender.append_under(&self.record_of(entry, &body, snapshot.seq, mark), || {
                point("write:appended");
                let table = shard.table.read();
                (leaving.control.load().1 != Mark::Dead).then_some(table)
            });
            written = l2.account(appended);
        }
        drop(appender);
        let mut table = shard.table.write();
        if let Ok(found) = table.leaving.find_entry(hash, |held| Arc::ptr_eq(held, leaving)) {
            found.remove();
        }
        written
    }

    /// Whether an entry is to be written: it is not there, and the tier may write as much now.
    fn is_wanted(&self, l2: &L2, entry: &EntryRef, (url_hash, hash): (u64, u64)) -> bool {
        let variant = variant_of(entry.vary().as_bytes());
        let held = l2.store.find(url_hash, hash);
        // A lookup may have to read all variants of a key.
        let wanted = held.len() < MAX_VARIANTS && !held.iter().any(|candidate| candidate.variant == variant);
        wanted && l2.rate.lock().take(entry.weight())
    }

    fn record_of<'a>(&self, entry: &'a EntryRef, body: &'a [Bytes], seq: u64, mark: Mark) -> RecordParts<'a> {
        let deadlines = entry.deadlines();
        RecordParts {
            meta: Meta {
                seq,
                mark,
                soft_at_ms: self.ms_of(entry.soft_at()),
                status: entry.status(),
                must_revalidate: deadlines.must_revalidate,
                no_cache: deadlines.no_cache,
                born_ms: self.ms_of(deadlines.born),
                fresh_until_ms: self.ms_of(deadlines.fresh_until),
                stale_while_revalidate_s: deadlines.while_revalidate,
                stale_if_error_s: deadlines.if_error,
            },
            key: entry.key().text(),
            vary: entry.vary().as_bytes(),
            tags: entry.tags().as_bytes(),
            head: entry.head(),
            body,
        }
    }
}

impl L2 {
    /// Tells the journal what an append has ended; whether it is in the index.
    fn account(&self, appended: Result<Appended, AppendError>) -> bool {
        match appended {
            Ok(appended) => {
                self.bury(&appended.superseded);
                appended.kept
            }
            Err(AppendError::Withdrawn(record)) => {
                self.bury(&[record]);
                false
            }
            Err(_) => {
                self.counters.append_errors.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }
}

fn body_of(entry: &EntryRef) -> Vec<Bytes> {
    match entry.chunks() {
        Some(chunks) => chunks.to_vec(),
        None => vec![Bytes::from_owner(HeadAndBody(Handle::Direct(entry.clone()))).slice(entry.head().len()..)],
    }
}
