//! What the journal holds at one moment: what a checkpoint writes and what replaying gives.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;

use super::record::{self, Fields, Frame, MARK, MARKS, kind};
use super::{Checkpoint, Entry, RecordId};

/// Marks by segment and ordinal: the strongest, with the instant of the first of that strength.
pub(crate) type Marks = HashMap<u32, BTreeMap<u32, (u8, u64)>>;

/// One batch of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LivePurge {
    /// First number of the batch.
    pub(crate) first: u64,
    /// Last number of the batch.
    pub(crate) last: u64,
    /// What was appended with it.
    pub(crate) payload: Bytes,
}

/// The state that all entries so far add up to.
#[derive(Debug, Clone, Default)]
pub(super) struct Live {
    /// Those not swept, in the order they were appended in.
    pub(super) purges: VecDeque<LivePurge>,
    /// `None` once the tier keeps them.
    pub(super) marks: Option<Marks>,
    pub(super) swept_upto: u64,
    pub(super) reserved_upto: u64,
    pub(super) max_segment: u32,
    /// The highest number seen in any entry.
    pub(super) max_seq: u64,
}

impl Live {
    pub(super) fn new() -> Self {
        Self { marks: Some(Marks::new()), ..Self::default() }
    }

    pub(super) fn apply(&mut self, entry: &Entry<'_>) {
        match *entry {
            Entry::Purge { first, last, payload } => self.purge(first, last, payload),
            Entry::Mark { record, mark, at_ms } => self.mark(record, mark, at_ms),
            Entry::Swept { upto } => self.swept(upto),
            Entry::Dropped { segment } => self.dropped(segment),
        }
    }

    fn purge(&mut self, first: u64, last: u64, payload: &[u8]) {
        self.max_seq = self.max_seq.max(last);
        if last > self.swept_upto {
            self.purges.push_back(LivePurge { first, last, payload: Bytes::copy_from_slice(payload) });
        }
    }

    fn mark(&mut self, RecordId { segment, ordinal }: RecordId, mark: u8, at_ms: u64) {
        self.max_segment = self.max_segment.max(segment);
        let Some(marks) = &mut self.marks else { return };
        let known = marks.entry(segment).or_default().entry(ordinal).or_insert((mark, at_ms));
        if mark > known.0 {
            *known = (mark, at_ms);
        }
    }

    fn swept(&mut self, upto: u64) {
        self.max_seq = self.max_seq.max(upto);
        self.swept_upto = self.swept_upto.max(upto);
        // Batches are appended in the order of their numbers, so this frees all that are swept; a checkpoint filters in any case.
        while self.purges.front().is_some_and(|purge| purge.last <= self.swept_upto) {
            self.purges.pop_front();
        }
    }

    fn dropped(&mut self, segment: u32) {
        self.max_segment = self.max_segment.max(segment);
        if let Some(marks) = &mut self.marks {
            marks.remove(&segment);
        }
    }

    /// Applies a record of a file. False if its payload is not what its kind has, or its kind has no place there.
    pub(super) fn replay(&mut self, frame: &Frame<'_>) -> bool {
        let mut fields = Fields(frame.payload);
        let applied = (|| {
            match frame.kind {
                kind::STATE => {
                    let (swept, reserved, segment, seq) = (fields.u64()?, fields.u64()?, fields.u32()?, fields.u64()?);
                    self.swept(swept);
                    self.reserved_upto = self.reserved_upto.max(reserved);
                    self.max_segment = self.max_segment.max(segment);
                    self.max_seq = self.max_seq.max(seq);
                }
                kind::PURGE => {
                    let (first, last) = (fields.u64()?, fields.u64()?);
                    if first == 0 || first > last {
                        return None;
                    }
                    self.purge(first, last, fields.take(fields.0.len())?);
                }
                kind::MARKS => {
                    while !fields.0.is_empty() {
                        let record = RecordId { segment: fields.u32()?, ordinal: fields.u32()? };
                        let (mark, at_ms) = (fields.u8()?, fields.u64()?);
                        self.mark(record, mark, at_ms);
                    }
                }
                kind::SWEPT => self.swept(fields.u64()?),
                kind::DROPPED => self.dropped(fields.u32()?),
                kind::RESERVED => self.reserved_upto = self.reserved_upto.max(fields.u64()?),
                kind::CLOSED => self.max_seq = self.max_seq.max(fields.u64()?),
                kind::OPTIONAL.. => {
                    fields.take(fields.0.len())?;
                }
                _ => return None,
            }
            Some(fields.0.is_empty())
        })();
        applied == Some(true)
    }

    /// The records of a checkpoint at `position`, not sealed yet. Marks come from `source` if the tier keeps them.
    pub(super) fn checkpoint(&self, position: u64, source: Option<&dyn Checkpoint>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut records: u64 = 1;
        record::put(&mut out, kind::STATE, position, 28, |out| {
            out.extend_from_slice(&self.swept_upto.to_le_bytes());
            out.extend_from_slice(&self.reserved_upto.to_le_bytes());
            out.extend_from_slice(&self.max_segment.to_le_bytes());
            out.extend_from_slice(&self.max_seq.to_le_bytes());
        });
        for purge in self.purges.iter().filter(|purge| purge.last > self.swept_upto) {
            put_purge(&mut out, position, purge.first, purge.last, &purge.payload);
            records += 1;
        }
        let mut run = Vec::new();
        let mut flush = |out: &mut Vec<u8>, run: &mut Vec<u8>| {
            record::put(out, kind::MARKS, position, run.len(), |out| out.append(run));
            records += 1;
        };
        let mut each = |record: RecordId, mark: u8, at_ms: u64| {
            record::put_mark(&mut run, record, mark, at_ms);
            if run.len() >= MARKS * MARK {
                flush(&mut out, &mut run);
            }
        };
        for (&segment, marks) in self.marks.iter().flatten() {
            for (&ordinal, &(mark, at_ms)) in marks {
                each(RecordId { segment, ordinal }, mark, at_ms);
            }
        }
        if let Some(source) = source {
            source.marks(&mut each);
        }
        if !run.is_empty() {
            flush(&mut out, &mut run);
        }
        record::put_u64(&mut out, kind::END, position, records + 1);
        out
    }
}

/// Appends entries as records and gives the position of the last; a run of marks is one record.
pub(super) fn put_entries(out: &mut Vec<u8>, mut position: u64, mut entries: &[Entry<'_>]) -> u64 {
    while let Some((entry, rest)) = entries.split_first() {
        position += 1;
        let mut taken = rest;
        match *entry {
            Entry::Purge { first, last, payload } => put_purge(out, position, first, last, payload),
            Entry::Swept { upto } => record::put_u64(out, kind::SWEPT, position, upto),
            Entry::Dropped { segment } => {
                record::put(out, kind::DROPPED, position, 4, |out| out.extend_from_slice(&segment.to_le_bytes()));
            }
            Entry::Mark { .. } => {
                let run = entries.iter().take(MARKS).take_while(|entry| matches!(entry, Entry::Mark { .. })).count();
                let (marks, behind) = entries.split_at_checked(run).unwrap_or((entries, &[]));
                record::put(out, kind::MARKS, position, run * MARK, |out| {
                    for entry in marks {
                        if let Entry::Mark { record, mark, at_ms } = *entry {
                            record::put_mark(out, record, mark, at_ms);
                        }
                    }
                });
                taken = behind;
            }
        }
        entries = taken;
    }
    position
}

fn put_purge(out: &mut Vec<u8>, position: u64, first: u64, last: u64, payload: &[u8]) {
    record::put(out, kind::PURGE, position, 16 + payload.len(), |out| {
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&last.to_le_bytes());
        out.extend_from_slice(payload);
    });
}
