//! The journal: section "Journal" of the document.

use std::collections::BTreeMap;

use super::{crc32c, u16_at, u32_at, u64_at, used};

/// The fields of a file's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the document")]
pub struct JournalHeader {
    pub begin: u32,
    pub id: u64,
    pub epoch: u64,
    /// Inode and time of birth, if they are known.
    pub identity: Option<(u64, u64)>,
    pub swept_upto: u64,
    pub reserved_upto: u64,
    pub previous: u64,
    pub position: u64,
    pub len: u64,
    pub salt: u64,
}

impl JournalHeader {
    /// The 128 bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut out = b"OUSTJRNL\x01\0\0\0".to_vec();
        out.extend_from_slice(&self.begin.to_le_bytes());
        let (inode, born) = self.identity.unwrap_or_default();
        let fields = [self.id, self.epoch, u64::from(self.identity.is_some()), inode, born, self.swept_upto];
        let more = [self.reserved_upto, self.previous, self.position, self.len, self.salt];
        for field in fields.into_iter().chain(more) {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.resize(124, 0);
        let crc = crc32c(&[&out]);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let u64_at = |at| u64_at(bytes, at);
        Some(Self {
            begin: u32_at(bytes, 12)?,
            id: u64_at(16)?,
            epoch: u64_at(24)?,
            identity: if u64_at(32)? == 1 { Some((u64_at(40)?, u64_at(48)?)) } else { None },
            swept_upto: u64_at(56)?,
            reserved_upto: u64_at(64)?,
            previous: u64_at(72)?,
            position: u64_at(80)?,
            len: u64_at(88)?,
            salt: u64_at(96)?,
        })
    }
}

/// A record whose sum is right.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the document")]
pub struct JournalRecord {
    pub kind: u8,
    pub position: u64,
    pub synced_upto: u64,
    pub payload: Vec<u8>,
}

/// The bytes of a record in the file of `salt`.
pub fn frame(salt: u64, record: &JournalRecord) -> Vec<u8> {
    let mut out = (salt as u32).to_le_bytes().to_vec();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(record.payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&[record.kind, 0, 0, 0]);
    out.extend_from_slice(&record.position.to_le_bytes());
    out.extend_from_slice(&record.synced_upto.to_le_bytes());
    out.extend_from_slice(&record.payload);
    let crc = crc32c(&[&salt.to_le_bytes(), &out[8..]]);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The record at an offset, and where it ends.
pub(crate) fn frame_at(bytes: &[u8], at: usize, salt: u64) -> Option<(JournalRecord, usize)> {
    if u32_at(bytes, at)? != salt as u32 {
        return None;
    }
    let begin = at.checked_add(32)?;
    let end = begin.checked_add(u32_at(bytes, at + 8)? as usize)?;
    let payload = bytes.get(begin..end)?.to_vec();
    let record = JournalRecord {
        kind: *bytes.get(at + 12)?,
        position: u64_at(bytes, at + 16)?,
        synced_upto: u64_at(bytes, at + 24)?,
        payload,
    };
    (crc32c(&[&salt.to_le_bytes(), &bytes[at + 8..end]]) == u32_at(bytes, at + 4)?).then_some((record, end))
}

/// Whether a good record at `from` or behind says that `position` was durable.
pub(crate) fn has_witness(bytes: &[u8], from: usize, salt: u64, position: u64) -> bool {
    let last = used(bytes);
    let marker = (salt as u32).to_le_bytes();
    let starts = (from..last).filter(|&at| bytes.get(at..at + 4) == Some(&marker));
    starts.filter_map(|at| frame_at(bytes, at, salt)).any(|(record, _)| record.synced_upto >= position)
}

/// Gives every record from `begin` on, up to the first whose marker or length is not one, a sum that is right.
pub fn reseal_frames(bytes: &mut [u8], begin: usize, salt: u64) {
    let mut at = begin;
    while u32_at(bytes, at) == Some(salt as u32) {
        let Some(end) = u32_at(bytes, at + 8).and_then(|len| at.checked_add(32)?.checked_add(len as usize)) else {
            return;
        };
        let Some(covered) = bytes.get(at + 8..end) else { return };
        let crc = crc32c(&[&salt.to_le_bytes(), covered]);
        bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
}

/// A batch of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the document")]
pub struct Batch {
    pub first: u64,
    pub last: u64,
    pub rules: Vec<u8>,
}

/// What a file comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalReading {
    /// Not to be trusted.
    Damaged,
    /// It was being made; its header, if there is one.
    HalfMade(Option<JournalHeader>),
    /// It has a whole checkpoint.
    Whole(Box<JournalState>),
    /// The document does not say.
    Open,
}

/// What a whole file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalState {
    /// Its header.
    pub header: JournalHeader,
    /// Where the last good record ends.
    pub used: u64,
    /// Good records.
    pub records: u64,
    /// Batches in force, in order.
    pub batches: Vec<Batch>,
    /// The strongest mark of each record, by segment and ordinal, with the instant of the first of that strength.
    pub marks: BTreeMap<(u32, u32), (u8, u64)>,
    /// As the records say.
    pub swept_upto: u64,
    /// As the records say.
    pub reserved_upto: u64,
    /// The highest segment named.
    pub max_segment: u32,
    /// The number of a clean stop.
    pub closed: Option<u64>,
    /// Whether anything but zeros is behind the last good record.
    pub torn: bool,
    /// The first number that may be given out.
    pub next: u64,
    /// The highest number an entry has named.
    pub max_seq: u64,
}

/// Reads the file of this number.
pub fn read_journal(bytes: &[u8], id: u64) -> JournalReading {
    let zeros = used(bytes) <= 128;
    let none = if zeros { JournalReading::HalfMade(None) } else { JournalReading::Damaged };
    let sound = bytes.len() >= 128 && u32_at(bytes, 124) == Some(crc32c(&[&bytes[..124]]));
    if !sound || &bytes[..8] != b"OUSTJRNL" {
        return none;
    }
    if u16_at(bytes, 8) != Some(1) {
        return JournalReading::Damaged;
    }
    let Some(header) = JournalHeader::read(bytes) else { return none };
    if header.begin < 128 {
        return none;
    }
    if header.id != id || header.position >= 1 << 63 {
        return JournalReading::Damaged;
    }
    let mut state = JournalState {
        header,
        used: 0,
        records: 0,
        batches: Vec::new(),
        marks: BTreeMap::new(),
        swept_upto: 0,
        reserved_upto: 0,
        max_segment: 0,
        closed: None,
        torn: false,
        next: 0,
        max_seq: 0,
    };
    // The checkpoint.
    let mut at = header.begin as usize;
    loop {
        let found = frame_at(bytes, at, header.salt);
        let Some((record, end)) = found.filter(|(r, _)| r.position == header.position && r.synced_upto == 0) else {
            let witness = has_witness(bytes, at, header.salt, header.position);
            return if witness { JournalReading::Damaged } else { JournalReading::HalfMade(Some(header)) };
        };
        state.records += 1;
        at = end;
        let first = state.records == 1;
        match record.kind {
            1 if first => {}
            2 if !first && record.payload == state.records.to_le_bytes() => break,
            1 | 2 => return JournalReading::Damaged,
            5..=8 => return JournalReading::Open,
            _ if first => return JournalReading::Damaged,
            _ => {}
        }
        if !state.apply(&record) {
            return JournalReading::Damaged;
        }
    }
    if (bytes.len() as u64) < header.len {
        return JournalReading::Damaged;
    }
    // What was appended.
    let mut position = header.position + 1;
    let mut closed = None;
    while let Some((record, end)) = frame_at(bytes, at, header.salt).filter(|(r, _)| r.position == position) {
        if record.kind <= 2 || !state.apply(&record) {
            return JournalReading::Damaged;
        }
        closed = if record.kind == 8 { u64_at(&record.payload, 0) } else { None };
        state.records += 1;
        at = end;
        position += 1;
    }
    if has_witness(bytes, at, header.salt, position) {
        return JournalReading::Damaged;
    }
    if state.max_seq.max(state.reserved_upto) > 1 << 60 {
        return JournalReading::Damaged;
    }
    state.used = at as u64;
    state.torn = used(bytes) > at;
    state.closed = closed.filter(|_| !state.torn);
    let swept = state.swept_upto;
    state.batches.retain(|batch| batch.last > swept);
    let given = state.closed.unwrap_or(state.reserved_upto);
    state.next = given.max(state.max_seq).saturating_add(1);
    JournalReading::Whole(Box::new(state))
}

impl JournalState {
    /// False if the payload is not what the kind has.
    fn apply(&mut self, record: &JournalRecord) -> bool {
        let bytes = &record.payload;
        let exactly = |len: usize| bytes.len() == len;
        let number = |at| u64_at(bytes, at).unwrap_or(0);
        let segment = |at| u32_at(bytes, at).unwrap_or(0);
        match record.kind {
            1 if exactly(28) => {
                self.swept(number(0));
                self.reserved_upto = self.reserved_upto.max(number(8));
                self.max_segment = self.max_segment.max(segment(16));
                self.max_seq = self.max_seq.max(number(20));
            }
            3 if bytes.len() >= 16 && number(0) > 0 && number(0) <= number(8) => {
                let (first, last) = (number(0), number(8));
                self.max_seq = self.max_seq.max(last);
                self.batches.push(Batch { first, last, rules: bytes[16..].to_vec() });
            }
            4 if bytes.len().is_multiple_of(17) => {
                for mark in bytes.chunks(17) {
                    let (of, ordinal) = (u32_at(mark, 0).unwrap_or(0), u32_at(mark, 4).unwrap_or(0));
                    self.max_segment = self.max_segment.max(of);
                    let new = (mark[8], u64_at(mark, 9).unwrap_or(0));
                    let held = self.marks.entry((of, ordinal)).or_insert(new);
                    if new.0 > held.0 {
                        *held = new;
                    }
                }
            }
            5 if exactly(8) => self.swept(number(0)),
            6 if exactly(4) => {
                self.max_segment = self.max_segment.max(segment(0));
                self.marks.retain(|&(of, _), _| of != segment(0));
            }
            7 if exactly(8) => self.reserved_upto = self.reserved_upto.max(number(0)),
            8 if exactly(8) => self.max_seq = self.max_seq.max(number(0)),
            128.. => {}
            _ => return false,
        }
        true
    }

    fn swept(&mut self, upto: u64) {
        self.swept_upto = self.swept_upto.max(upto);
        self.max_seq = self.max_seq.max(upto);
    }
}
