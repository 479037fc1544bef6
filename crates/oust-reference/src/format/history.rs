//! The purge history: section "Purge history" of the document.

use std::collections::BTreeMap;

use super::journal::{JournalRecord, frame, frame_at, has_witness};
use super::purge::read_purge;
use super::{crc32c, u16_at, u32_at, u64_at};

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Whose numbers these are.
    pub epoch: u64,
    /// By the last number of a purge: the first, the 49 bytes of what became of it, and the purge.
    pub purges: BTreeMap<u64, HistoryRecord>,
}

/// One purge: the first number, the 49 bytes of what became of it, and the purge itself.
pub type HistoryRecord = (u64, Vec<u8>, Vec<u8>);

/// Reads one; `None` if it is damaged.
pub fn read_history(bytes: &[u8]) -> Option<History> {
    let head = bytes.get(..64)?;
    let sound = &head[..8] == b"OUSTHIST" && u16_at(head, 8)? == 1 && u32_at(head, 60)? == crc32c(&[&head[..60]]);
    let begin = u32_at(head, 12)? as usize;
    let (epoch, salt, count, len) = (u64_at(head, 16)?, u64_at(head, 24)?, u64_at(head, 32)?, u64_at(head, 40)?);
    if !sound || begin < 64 || (bytes.len() as u64) < len {
        return None;
    }
    let (mut at, mut position, mut purges) = (begin, 1, BTreeMap::new());
    while let Some((record, end)) = frame_at(bytes, at, salt).filter(|(record, _)| record.position == position) {
        let payload = &record.payload;
        match record.kind {
            1 => {
                let (first, last) = (u64_at(payload, 0)?, u64_at(payload, 8)?);
                let (progress, purge) = (payload.get(16..65)?.to_vec(), &payload[65..]);
                read_purge(purge).filter(|_| first > 0 && first <= last)?;
                purges.insert(last, (first, progress, purge.to_vec()));
            }
            2 if payload.len() == 57 => {
                let last = u64_at(payload, 0)?;
                if let Some(purge) = purges.get_mut(&last) {
                    purge.1 = payload[8..].to_vec();
                }
            }
            128.. => {}
            _ => return None,
        }
        (at, position) = (end, position + 1);
    }
    let whole = position > count && !has_witness(bytes, at, salt, position);
    whole.then_some(History { epoch, purges })
}

/// A file of `len` bytes with these records, all of them written before it had its name.
pub fn write_history(epoch: u64, salt: u64, len: usize, records: &[JournalRecord]) -> Vec<u8> {
    let mut out = b"OUSTHIST\x01\0\0\0\x40\0\0\0".to_vec();
    for field in [epoch, salt, records.len() as u64, len as u64] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.resize(60, 0);
    let crc = crc32c(&[&out]);
    out.extend_from_slice(&crc.to_le_bytes());
    for record in records {
        out.extend_from_slice(&frame(salt, record));
    }
    out.resize(len.max(out.len()), 0);
    out
}
