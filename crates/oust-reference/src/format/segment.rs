//! Segments: section "Segments" of the document.

use super::{crc32c, i64_at, u16_at, u32_at, u64_at};

/// A record, its sums right.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "named as in the document")]
pub struct StoredRecord {
    pub ordinal: u32,
    pub write: u64,
    pub stamp: u64,
    pub born_ms: i64,
    pub expires_ms: i64,
    pub soft_at_ms: i64,
    pub while_revalidate_s: u32,
    pub if_error_s: u32,
    pub status: u16,
    pub flags: u8,
    pub mark: u8,
    pub key: Vec<u8>,
    pub vary: Vec<u8>,
    pub tags: Vec<u8>,
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    /// Where it is in the file, and how long.
    pub at: usize,
    pub len: usize,
}

/// What a footer says of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the document")]
pub struct FooterEntry {
    pub at: u64,
    pub len: u64,
    pub stamp: u64,
    pub write: u64,
    pub soft_at_ms: i64,
    pub mark: u8,
    pub key: Vec<u8>,
    pub vary: Vec<u8>,
    pub tags: Vec<u8>,
}

/// What a file comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentReading {
    /// It is removed as a whole.
    Removed,
    /// Sealed: what its footer says; and whether that is to the byte the footer of the records it names.
    Sealed(Vec<FooterEntry>, bool),
    /// Open: its records up to the first that is not intact, and where they end.
    Open(Vec<StoredRecord>, usize),
}

const fn padded(len: usize) -> usize {
    len.next_multiple_of(16)
}

/// The epoch and number a file's header has, if that is good.
pub(crate) fn file_header(bytes: &[u8]) -> Option<(u64, u32)> {
    let head = bytes.get(..64)?;
    let good = &head[..4] == b"oSeg" && head[4] == 1 && u32_at(head, 60)? == crc32c(&[&head[..60]]);
    good.then_some((u64_at(head, 8)?, u32_at(head, 16)?))
}

/// The record at `at`, if it is intact and of this place.
pub fn read_record(bytes: &[u8], at: usize, epoch: u64, segment: u32, ordinal: u32) -> Option<StoredRecord> {
    let bytes = bytes.get(at..)?;
    if bytes.get(..4)? != b"oRec" || *bytes.get(4)? != 1 {
        return None;
    }
    let header = usize::from(u16_at(bytes, 6)?);
    let len = usize::try_from(u64_at(bytes, 8)?).ok()?;
    let record = bytes.get(..len)?;
    let of = (u64_at(record, 16)?, u32_at(record, 24)?, u32_at(record, 28)?);
    if header < 128 || !header.is_multiple_of(16) || of != (epoch, segment, ordinal) {
        return None;
    }
    let mut from = header;
    let mut part = |len_at: usize| {
        let part = record.get(from..from.checked_add(u32_at(record, len_at)? as usize)?)?;
        from += part.len();
        Some(part.to_vec())
    };
    let (key, vary, tags, head) = (part(88)?, part(92)?, part(96)?, part(100)?);
    if u32_at(record, 124)? != crc32c(&[&record[..124], record.get(128..from)?]) {
        return None;
    }
    let body_at = padded(from);
    let body_len = usize::try_from(u64_at(record, 72)?).ok()?;
    let body = record.get(body_at..body_at.checked_add(body_len)?)?.to_vec();
    if padded(body_at + body_len) != len || crc32c(&[&body]) != u32_at(record, 108)? {
        return None;
    }
    Some(StoredRecord {
        ordinal,
        write: u64_at(record, 32)?,
        stamp: u64_at(record, 40)?,
        born_ms: i64_at(record, 48)?,
        expires_ms: i64_at(record, 56)?,
        soft_at_ms: i64_at(record, 64)?,
        while_revalidate_s: u32_at(record, 80)?,
        if_error_s: u32_at(record, 84)?,
        status: u16_at(record, 104)?,
        flags: record[106],
        mark: record[107],
        key,
        vary,
        tags,
        head,
        body,
        at,
        len,
    })
}

/// The bytes of a record.
pub fn write_record(record: &StoredRecord, epoch: u64, segment: u32) -> Vec<u8> {
    let parts = [&record.key, &record.vary, &record.tags, &record.head];
    let front = padded(128 + parts.iter().map(|part| part.len()).sum::<usize>());
    let len = padded(front + record.body.len());
    let mut out = b"oRec\x01\0\x80\0".to_vec();
    for field in [len as u64, epoch] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&segment.to_le_bytes());
    out.extend_from_slice(&record.ordinal.to_le_bytes());
    let times = [record.born_ms as u64, record.expires_ms as u64, record.soft_at_ms as u64, record.body.len() as u64];
    for field in [record.write, record.stamp].into_iter().chain(times) {
        out.extend_from_slice(&field.to_le_bytes());
    }
    for field in [record.while_revalidate_s, record.if_error_s] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    for part in parts {
        out.extend_from_slice(&(part.len() as u32).to_le_bytes());
    }
    out.extend_from_slice(&record.status.to_le_bytes());
    out.extend_from_slice(&[record.flags, record.mark]);
    out.extend_from_slice(&crc32c(&[&record.body]).to_le_bytes());
    out.resize(124, 0);
    let crc = crc32c(&[&out, parts[0], parts[1], parts[2], parts[3]]);
    out.extend_from_slice(&crc.to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    out.resize(front, 0);
    out.extend_from_slice(&record.body);
    out.resize(len, 0);
    out
}

/// Reads a file of this number and epoch.
pub fn read_segment(bytes: &[u8], sealed: bool, epoch: u64, segment: u32) -> SegmentReading {
    if file_header(bytes) != Some((epoch, segment)) {
        return SegmentReading::Removed;
    }
    if sealed {
        return sealed_entries(bytes, epoch, segment)
            .map_or(SegmentReading::Removed, |(entries, exact)| SegmentReading::Sealed(entries, exact));
    }
    let (mut records, mut at) = (Vec::new(), 64);
    while let Some(record) = read_record(bytes, at, epoch, segment, records.len() as u32) {
        at += record.len;
        records.push(record);
    }
    if records.is_empty() { SegmentReading::Removed } else { SegmentReading::Open(records, at) }
}

fn sealed_entries(bytes: &[u8], epoch: u64, segment: u32) -> Option<(Vec<FooterEntry>, bool)> {
    let end = bytes.len().checked_sub(64).filter(|end| *end >= 64)?;
    let trailer = &bytes[end..];
    let good = &trailer[..4] == b"oEnd" && trailer[4] == 1 && u32_at(trailer, 60)? == crc32c(&[&trailer[..60]]);
    if !good || u32_at(trailer, 8)? != segment || u64_at(trailer, 16)? != epoch {
        return None;
    }
    let (count, tag_count) = (u32_at(trailer, 12)? as usize, u32_at(trailer, 48)? as usize);
    let footer_at = usize::try_from(u64_at(trailer, 24)?).ok()?;
    let footer_end = footer_at.checked_add(usize::try_from(u64_at(trailer, 32)?).ok()?)?;
    let data_end = u64_at(trailer, 40)?;
    if footer_end > end || data_end < 64 || data_end > footer_at as u64 {
        return None;
    }
    let footer = bytes.get(footer_at..footer_end)?;
    if crc32c(&[footer]) != u32_at(trailer, 52)? {
        return None;
    }
    let tags_at = padded(count.checked_mul(52)?);
    let keys = footer.get(tags_at.checked_add(tag_count.checked_mul(16)?)?..)?;
    let mut entries = Vec::new();
    let mut expected = 64_u64;
    for entry in footer.get(..count * 48)?.chunks(48) {
        let (at, len) = (u64::from(u32_at(entry, 0)?) * 16, u64::from(u32_at(entry, 4)?) * 16);
        if at != expected || len == 0 {
            return None;
        }
        expected = at + len;
        let mut from = u32_at(entry, 32)? as usize;
        let mut part = |len: usize| {
            let part = keys.get(from..from.checked_add(len)?)?;
            from += len;
            Some(part.to_vec())
        };
        let key = part(usize::from(u16_at(entry, 36)?))?;
        let (vary, tags) = (part(u32_at(entry, 40)? as usize)?, part(u32_at(entry, 44)? as usize)?);
        let (stamp, write, soft_at_ms) = (u64_at(entry, 8)?, u64_at(entry, 16)?, i64_at(entry, 24)?);
        entries.push(FooterEntry { at, len, stamp, write, soft_at_ms, mark: entry[38], key, vary, tags });
    }
    if expected != data_end {
        return None;
    }
    let mut previous: Option<&[u8]> = None;
    for ordinal in footer.get(count * 48..count * 52)?.chunks(4) {
        let key = &entries.get(u32_at(ordinal, 0)? as usize)?.key;
        if previous.is_some_and(|previous| previous > key) {
            return None;
        }
        previous = Some(key);
    }
    let records: Option<Vec<StoredRecord>> = (0..)
        .zip(&entries)
        .map(|(ordinal, entry)| read_record(bytes, entry.at as usize, epoch, segment, ordinal))
        .collect();
    let exact = records.is_some_and(|records| {
        let (own, tags) = write_footer(&records);
        own == footer && tags as usize == tag_count
    });
    Some((entries, exact))
}

/// The footer of records that know where they are, and how many tags it has.
pub fn write_footer(records: &[StoredRecord]) -> (Vec<u8>, u32) {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by_key(|&at| (&records[at].key, at));
    let (mut block, mut starts) = (Vec::new(), vec![0; records.len()]);
    for &at in &order {
        starts[at] = block.len() as u32;
        for part in [&records[at].key, &records[at].vary, &records[at].tags] {
            block.extend_from_slice(part);
        }
    }
    let (mut out, mut tags) = (Vec::new(), Vec::new());
    for (at, record) in records.iter().enumerate() {
        tags.extend(decode_tags(&record.tags).into_iter().map(|tag| (fnv(&tag), at as u32)));
        out.extend_from_slice(&((record.at / 16) as u32).to_le_bytes());
        out.extend_from_slice(&((record.len / 16) as u32).to_le_bytes());
        for field in [record.stamp, record.write, record.soft_at_ms as u64] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&starts[at].to_le_bytes());
        out.extend_from_slice(&(record.key.len() as u16).to_le_bytes());
        out.extend_from_slice(&[record.mark, 0]);
        out.extend_from_slice(&(record.vary.len() as u32).to_le_bytes());
        out.extend_from_slice(&(record.tags.len() as u32).to_le_bytes());
    }
    order.iter().for_each(|&at| out.extend_from_slice(&(at as u32).to_le_bytes()));
    out.resize(padded(out.len()), 0);
    tags.sort_unstable();
    for &(hash, at) in &tags {
        out.extend_from_slice(&hash.to_le_bytes());
        out.extend_from_slice(&u64::from(at).to_le_bytes());
    }
    out.extend_from_slice(&block);
    (out, tags.len() as u32)
}

/// A whole file. Ordinals and places are given here.
pub fn write_segment(records: &mut [StoredRecord], sealed: bool, epoch: u64, segment: u32) -> Vec<u8> {
    let mut out = b"oSeg\x01\0\x40\0".to_vec();
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&segment.to_le_bytes());
    out.resize(60, 0);
    let crc = crc32c(&[&out]);
    out.extend_from_slice(&crc.to_le_bytes());
    for (ordinal, record) in (0..).zip(records.iter_mut()) {
        (record.ordinal, record.at) = (ordinal, out.len());
        let bytes = write_record(record, epoch, segment);
        record.len = bytes.len();
        out.extend_from_slice(&bytes);
    }
    let data_end = out.len() as u64;
    if !sealed {
        out.resize(out.len() + 256, 0);
        return out;
    }
    let (footer, tag_count) = write_footer(records);
    let footer_at = out.len() as u64;
    out.extend_from_slice(&footer);
    out.resize(padded(out.len()), 0);
    let mut trailer = b"oEnd\x01\0\x40\0".to_vec();
    trailer.extend_from_slice(&segment.to_le_bytes());
    trailer.extend_from_slice(&(records.len() as u32).to_le_bytes());
    for field in [epoch, footer_at, footer.len() as u64, data_end] {
        trailer.extend_from_slice(&field.to_le_bytes());
    }
    trailer.extend_from_slice(&tag_count.to_le_bytes());
    trailer.extend_from_slice(&crc32c(&[&footer]).to_le_bytes());
    trailer.resize(60, 0);
    let crc = crc32c(&[&trailer]);
    trailer.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&trailer);
    out
}

fn fnv(tag: &[u8]) -> u64 {
    tag.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn decode_tags(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(tag) = u16_at(bytes, at).and_then(|len| bytes.get(at + 2..at + 2 + usize::from(len))) {
        at += 2 + tag.len();
        out.push(tag.to_vec());
    }
    out
}

/// Tags as a record has them.
pub fn encode_tags(tags: &[&[u8]]) -> Vec<u8> {
    tags.iter().flat_map(|tag| [&(tag.len() as u16).to_le_bytes()[..], tag].concat()).collect()
}

/// Selecting fields as a record has them, given in the order of their names.
pub fn encode_fields(fields: &[(&[u8], Option<&[u8]>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let put = |out: &mut Vec<u8>, text: &[u8]| {
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(text);
    };
    for (name, value) in fields {
        put(&mut out, name);
        out.push(u8::from(value.is_some()));
        value.iter().for_each(|value| put(&mut out, value));
    }
    out
}
