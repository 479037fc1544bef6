//! A cache directory's files, read and written as `docs/format.md` has them.
//!
//! A second implementation of the document, not of the engine: one pass over the bytes at a time, every offset spelled out, nothing shared with what
//! it is held against. Readers are total; writers are for making directories, whole or damaged, that the engine then opens.

mod history;
mod journal;
mod purge;
mod segment;

pub use history::{History, HistoryRecord, read_history, write_history};
pub use journal::{
    Batch, JournalHeader, JournalReading, JournalRecord, JournalState, frame, read_journal, reseal_frames,
};
pub use purge::{StoredPurge, read_purge, write_purge};
pub use segment::{
    FooterEntry, SegmentReading, StoredRecord, encode_fields, encode_tags, read_record, read_segment, write_footer,
    write_record, write_segment,
};

/// CRC-32C of these bytes, one piece behind the other.
pub fn crc32c(pieces: &[&[u8]]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0_u32; 256];
        let mut at = 0;
        while at < 256 {
            let mut value = at as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ 0x82f6_3b78 } else { value >> 1 };
                bit += 1;
            }
            table[at] = value;
            at += 1;
        }
        table
    };
    let step = |crc: u32, &byte: &u8| crc >> 8 ^ TABLE[((crc ^ u32::from(byte)) & 0xff) as usize];
    !pieces.iter().flat_map(|piece| piece.iter()).fold(u32::MAX, step)
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

pub(crate) fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    Some(u64_at(bytes, at)? as i64)
}

/// Where the last byte that is not zero ends; by the page, as most of a file is zeros.
pub fn used(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut end = bytes.len();
    while let Some(page) = bytes[..end].rchunks(ZEROS.len()).next().filter(|page| ZEROS.starts_with(page)) {
        end -= page.len();
    }
    bytes[..end].iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1)
}

/// Whether these are all bytes of a kept file; what it keeps.
pub fn read_kept(bytes: &[u8]) -> Option<&[u8]> {
    let kept = bytes.get(24..)?;
    let known = &bytes[..8] == b"OUSTKEPT" && u16_at(bytes, 8)? == 1;
    let whole = u64_at(bytes, 16)? == kept.len() as u64;
    (known && whole && u32_at(bytes, 12)? == crc32c(&[&bytes[..12], &bytes[16..]])).then_some(kept)
}

/// A kept file.
pub fn write_kept(kept: &[u8]) -> Vec<u8> {
    let mut out = b"OUSTKEPT\x01\0\0\0\0\0\0\0".to_vec();
    out.extend_from_slice(&(kept.len() as u64).to_le_bytes());
    out.extend_from_slice(kept);
    let crc = crc32c(&[&out[..12], &out[16..]]);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out
}

#[cfg(test)]
mod tests;
