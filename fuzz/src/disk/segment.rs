//! Segments: written by the document, then changed field by field with good sums, or damaged.

use oust_reference::Entropy;
use oust_reference::format::{StoredRecord, crc32c, write_segment};

use super::damage::{self, reseal, set};
use super::files::{Files, journal_name, segment_name, sites};
use super::opened::Opened;
use super::scene::{self, EPOCH, Plan};

/// One directory whose segments the input makes.
pub fn segment(data: &[u8]) {
    let entropy = &mut Entropy::new(data);
    let depth = scene::depth(entropy);
    let purges = (0..1 + entropy.below(2)).map(|_| scene::purge(entropy, 1)).collect();
    let mut files = Files::from([("sites".to_owned(), sites())]);
    files.insert(journal_name(1), Plan::any(entropy, 1, 0).render());
    let mut number = 1;
    for id in 1..=1 + entropy.below(3) as u32 {
        let mut records: Vec<StoredRecord> = Vec::new();
        for _ in 0..1 + entropy.below(5) {
            records.push(scene::record(entropy, number));
            number += 1;
        }
        let sealed = !entropy.one_in(3);
        let mut bytes = write_segment(&mut records, sealed, EPOCH, id);
        for _ in 0..entropy.below(4) {
            match entropy.below(6) {
                0 => damage::any(entropy, &mut bytes),
                1..=3 => {
                    let at = entropy.below(records.len());
                    record_field(entropy, &mut bytes, &records[at]);
                }
                _ if sealed => footer_field(entropy, &mut bytes),
                _ => {}
            }
        }
        let id = if entropy.one_in(24) { id + 1 } else { id };
        files.insert(segment_name(id, sealed), bytes);
    }
    if std::env::var_os("OUST_FUZZ_TRACE").is_some() {
        eprintln!("{:#?}", super::view::View::of(&files));
    }
    Opened::of(&files).conclude(purges, depth);
}

/// Changes a record, and mostly makes its sums right.
fn record_field(entropy: &mut Entropy<'_>, bytes: &mut [u8], record: &StoredRecord) {
    let fields: [(usize, usize); 26] = [
        (0, 1),
        (4, 1),
        (5, 1),
        (6, 2),
        (8, 8),
        (16, 8),
        (24, 4),
        (28, 4),
        (32, 8),
        (40, 8),
        (48, 8),
        (56, 8),
        (64, 8),
        (72, 8),
        (80, 4),
        (84, 4),
        (88, 4),
        (92, 4),
        (96, 4),
        (100, 4),
        (104, 2),
        (106, 1),
        (107, 1),
        (108, 4),
        (112, 8),
        (120, 4),
    ];
    if entropy.one_in(3) {
        // In key, fields, tags, head or body.
        let at = record.at + 128 + entropy.below(256) % (record.len - 128).max(1);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = entropy.byte();
        }
    } else {
        let (at, width) = entropy.pick(&fields);
        let here = bytes
            .get(record.at + at..record.at + at + width)
            .map_or(0, |field| field.iter().rev().fold(0_u64, |value, &byte| value << 8 | u64::from(byte)));
        let value = if entropy.one_in(2) {
            here.wrapping_add(u64::from(entropy.byte())).wrapping_sub(16)
        } else {
            scene::number(entropy)
        };
        set(bytes, record.at + at, width, value);
    }
    if entropy.one_in(6) {
        return;
    }
    let Some(of) = bytes.get_mut(record.at..) else { return };
    let number =
        |of: &[u8], at: usize| of.get(at..at + 4).map_or(0, |f| u32::from_le_bytes([f[0], f[1], f[2], f[3]]) as usize);
    let header = of.get(6..8).map_or(128, |f| usize::from(u16::from_le_bytes([f[0], f[1]])));
    let parts = [88, 92, 96, 100].map(|at| number(of, at));
    let end = parts.into_iter().fold(header, usize::saturating_add);
    let body = end.saturating_add(15) / 16 * 16;
    if !entropy.one_in(6) {
        reseal(of, 108, body..body.saturating_add(number(of, 72)));
    }
    if let (Some(front), Some(rest)) = (of.get(..124), of.get(128..end)) {
        let crc = crc32c(&[front, rest]);
        set(of, 124, 4, u64::from(crc));
    }
}

/// Changes the footer or the trailer, and mostly makes their sums right.
fn footer_field(entropy: &mut Entropy<'_>, bytes: &mut [u8]) {
    let Some(trailer) = bytes.len().checked_sub(64) else { return };
    let long = |bytes: &[u8], at: usize| {
        let field = bytes.get(at..at + 8).and_then(|field| field.try_into().ok());
        usize::try_from(field.map_or(0, u64::from_le_bytes)).unwrap_or(0)
    };
    let footer = long(bytes, trailer + 24);
    let len = trailer.saturating_sub(footer);
    if entropy.one_in(3) {
        let fields = [(0, 1), (4, 1), (5, 1), (8, 4), (12, 4), (16, 8), (24, 8), (32, 8), (40, 8), (48, 4), (52, 4)];
        let (at, width) = entropy.pick(&fields);
        let value = if entropy.one_in(2) {
            scene::number(entropy)
        } else {
            (long(bytes, trailer + at) as u64).wrapping_add(u64::from(entropy.byte()) * 16).wrapping_sub(256)
        };
        set(bytes, trailer + at, width, value);
    } else if len > 0 {
        let (width, value) = (entropy.pick(&[1, 2, 4, 8]), scene::number(entropy));
        let at = footer + (usize::from(entropy.byte()) * 4 + entropy.pick(&[0, 0, 0, 2, 6])) % len;
        set(bytes, at, width, value);
    }
    if entropy.one_in(6) {
        return;
    }
    let (footer, len) = (long(bytes, trailer + 24), long(bytes, trailer + 32));
    reseal(bytes, trailer + 52, footer..footer.saturating_add(len));
    reseal(bytes, trailer + 60, trailer..trailer + 60);
}
