//! Damage to bytes, chosen by the input.

use oust_reference::Entropy;
use oust_reference::format::{crc32c, used};

/// A place in `bytes`, more often in its first bytes and where there is anything.
pub fn place(entropy: &mut Entropy<'_>, bytes: &[u8]) -> usize {
    let used = used(bytes);
    let far = usize::from(entropy.byte()) << 8 | usize::from(entropy.byte());
    let within = match entropy.below(4) {
        0 => 160,
        1 => bytes.len(),
        2 => return used.saturating_sub(1 + far % 96).min(bytes.len().saturating_sub(1)),
        _ => used,
    };
    if within == 0 { 0 } else { (far * within.div_ceil(1 << 16) + far % 7) % within.min(bytes.len()).max(1) }
}

/// Any damage to the bytes as they are: no sum is made right.
pub fn any(entropy: &mut Entropy<'_>, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = place(entropy, bytes);
    let len = 1 + entropy.below(64);
    let end = (at + len).min(bytes.len());
    match entropy.below(8) {
        0..=2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << entropy.below(8);
            }
        }
        3 => bytes[at.min(end)..end].fill(0),
        4 => bytes.truncate(at),
        5 => {
            let noise = entropy.stretched(end - at.min(end));
            bytes[at.min(end)..end].copy_from_slice(&noise);
        }
        6 => {
            // As a write that went astray: one place gets another's bytes, or a sector's.
            let len = if entropy.one_in(2) { 512 } else { len };
            let from = place(entropy, bytes);
            let moved = bytes[from.min(bytes.len())..(from + len).min(bytes.len())].to_vec();
            let end = (at + moved.len()).min(bytes.len());
            let count = end - at.min(end);
            bytes[at.min(end)..end].copy_from_slice(&moved[..count]);
        }
        _ => {
            let more = entropy.stretched(len);
            bytes.extend(more);
        }
    }
}

/// Writes a number over a field of `width` bytes.
pub fn set(bytes: &mut [u8], at: usize, width: usize, value: u64) {
    if let Some(field) = bytes.get_mut(at..at + width) {
        field.copy_from_slice(&value.to_le_bytes()[..width]);
    }
}

/// Puts the sum of `covered` at `at`.
pub fn reseal(bytes: &mut [u8], at: usize, covered: std::ops::Range<usize>) {
    if let Some(crc) = bytes.get(covered).map(|covered| crc32c(&[covered])) {
        set(bytes, at, 4, u64::from(crc));
    }
}
