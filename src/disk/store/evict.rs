//! Making room: whole segments, oldest first, with reinsertion of what was asked for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::record::RecordParts;
use super::segment::{Segment, file_name};
use super::types::{AppendError, Candidate, Record, RecordId, Scope};
use super::visit::each_key;
use super::{Store, count, hashes_of, place};
use crate::entry::Mark;
use crate::sync::point;

/// How a record is written anew: the state it has been judged to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reinsert {
    /// Its stamp.
    pub(crate) seq: u64,
    /// Its mark, not [`Mark::Dead`].
    pub(crate) mark: Mark,
    /// When that mark was set.
    pub(crate) soft_at_ms: i64,
}

/// What an eviction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evicted {
    /// The segment that is gone.
    pub(crate) segment: u32,
    /// What was written anew.
    pub(crate) reinserted: u64,
    /// Whether its name is durably gone too. If not, it is condemned (see [`Store::condemned`]), or somebody else is still removing it.
    pub(crate) gone: bool,
}

impl Store {
    /// Whether the next segment would not fit: time for [`Store::evict_oldest`], so that no append has to evict.
    pub(crate) fn wants_eviction(&self) -> bool {
        let next = self.options.segment_size.saturating_mul(2);
        self.space.total.load(Ordering::Relaxed).saturating_add(next) > self.options.capacity
    }

    /// Evicts the oldest sealed segment. Its records with hits are read and offered to `decide` under the append lock, taken anew for each; what it
    /// returns is how the record is appended again; what `hold` gives for the hash of its URL is held while it enters the index, if it is still the
    /// key's record then. At most half of the segment's bytes come back. `None` if there is no sealed segment.
    ///
    /// `bury` is told under the append lock what is dead: what the new records take the place of, and those that were not wanted when they were written.
    ///
    /// When this returns, nothing of the segment is found, and its name is durably gone or condemned (see [`Store::marks`]). Readers keep what they hold.
    pub(crate) fn evict_oldest<G>(
        &self,
        decide: &mut dyn FnMut(&Candidate, &Record) -> Option<Reinsert>,
        hold: &dyn Fn(u64) -> G,
        bury: &dyn Fn(&[RecordId]),
    ) -> Option<Evicted> {
        let segment = self.victim(|_| true)?;
        let mut wanted = Vec::new();
        let listed = each_key(&segment, Scope::Everything, &mut |visited| {
            if let Some(candidate) = self.hit_candidate(&visited.id, visited.key) {
                wanted.push((candidate, visited.weight));
            }
        });
        if listed.is_err() {
            self.fail(&segment);
        }
        let mut evicted = Evicted { segment: segment.id, reinserted: 0, gone: false };
        let mut left = segment.size / 2;
        for (candidate, weight) in wanted {
            let Some(rest) = left.checked_sub(weight) else { continue };
            let Some(record) = self.read(&candidate).ok().and_then(|record| record.detached()) else { continue };
            let mut appender = self.appender();
            let Some(judged) = decide(&candidate, &record) else { continue };
            point("evict:judged");
            let mut meta = *record.meta();
            (meta.seq, meta.mark, meta.soft_at_ms) = (judged.seq, judged.mark, judged.soft_at_ms);
            let body: [Bytes; 1] = [record.body()];
            let (key, vary, tags, head) = (record.key(), record.vary(), record.tags(), record.head());
            let parts = RecordParts { meta, key, vary, tags, head, body: &body };
            let still = || {
                let held = hold(candidate.url_hash);
                self.candidate_of(&candidate).map(|_| held)
            };
            let appended = match appender.append_under(&parts, still) {
                Ok(appended) => appended,
                Err(AppendError::Withdrawn(id)) => {
                    bury(&[id]);
                    drop(appender);
                    point("evict:withdrawn");
                    continue;
                }
                Err(_) => continue,
            };
            bury(&appended.superseded);
            drop(appender);
            point("evict:reinserted");
            left = rest;
            evicted.reinserted += 1;
            count(&self.counters.reinserted);
        }
        if evicted.reinserted > 0 {
            // What was on disk stays so: the copies first, then the originals go.
            self.write_out();
        }
        if self.retire(&segment) {
            count(&self.counters.evicted_segments);
            evicted.gone = !self.condemned().contains(&segment.id);
        }
        Some(evicted)
    }

    fn hit_candidate(&self, id: &RecordId, key: &[u8]) -> Option<Candidate> {
        let (url_hash, key_hash) = hashes_of(key)?;
        self.find(url_hash, key_hash).into_iter().find(|candidate| candidate.id == *id && candidate.hits > 0)
    }

    /// Drops a segment with everything in it. False if there is none, or somebody else is dropping it.
    #[cfg(test)]
    pub(crate) fn drop_segment(&self, id: u32) -> bool {
        self.segment(id).is_some_and(|segment| self.retire(&segment))
    }

    /// Evicts the oldest sealed segment that nobody reads, without reinsertion.
    pub(super) fn evict_any(&self) -> bool {
        // The table holds one, `victim` another.
        let Some(segment) = self.victim(|segment| Arc::strong_count(segment) <= 2) else { return false };
        let retired = self.retire(&segment);
        if retired {
            count(&self.counters.evicted_segments);
        }
        retired
    }

    fn victim(&self, fits: impl Fn(&Arc<Segment>) -> bool) -> Option<Arc<Segment>> {
        let table = self.table.load();
        let mut oldest: Option<Arc<Segment>> = None;
        for (_, segment) in &table.0 {
            let older = oldest.as_ref().is_none_or(|oldest| segment.id < oldest.id);
            if older && segment.is_sealed() && !segment.leaving.load(Ordering::Acquire) {
                let segment = Arc::clone(segment);
                if fits(&segment) {
                    oldest = Some(segment);
                }
            }
        }
        oldest
    }

    /// Takes a segment out of service after an error.
    pub(super) fn fail(&self, segment: &Arc<Segment>) {
        count(&self.counters.io_errors);
        if self.retire(segment) {
            count(&self.counters.dropped_segments);
        }
    }

    /// Takes a segment out of service: index, table, name. False if somebody else has begun to.
    pub(super) fn retire(&self, segment: &Arc<Segment>) -> bool {
        if segment.leaving.swap(true, Ordering::AcqRel) {
            return false;
        }
        {
            let mut name = segment.name.lock();
            name.retired = true;
            segment.retire();
        }
        // Before anything of it leaves the index: who ends a record meanwhile finds it in one of the two. Its marks are reported until the name is
        // gone, or a restart would bring its records back.
        self.condemn(segment.id, segment.records());
        let unlisted = each_key(segment, Scope::Everything, &mut |visited| {
            if let Some((url_hash, _)) = hashes_of(visited.key) {
                self.index.remove(url_hash, place(visited.id));
            }
        });
        if unlisted.is_err() || !segment.is_intact() {
            self.index.remove_slot(segment.slot);
        }
        self.withdraw(segment.id);
        self.retry_condemned();
        true
    }

    /// Takes a segment among those whose names may be back after a restart.
    pub(super) fn condemn(&self, id: u32, records: u32) {
        self.condemned.lock().push((id, records));
        self.condemnations.fetch_add(1, Ordering::AcqRel);
    }

    /// Removes both names a segment can have, durably. False if that failed.
    pub(super) fn forget(&self, id: u32) -> bool {
        let remove = |sealed| match self.media.remove(&file_name(id, sealed)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let (sealed, open) = (remove(true), remove(false));
        let removed = sealed.and(open).and_then(|()| self.media.sync_dir());
        removed.inspect_err(|error| self.io_error(error)).is_ok()
    }

    fn retry_condemned(&self) {
        let ids = self.condemned.lock().clone();
        for (id, _) in ids {
            if self.forget(id) {
                self.condemned.lock().retain(|(condemned, _)| *condemned != id);
            }
        }
    }
}
