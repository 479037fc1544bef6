//! A small Bloom filter: what a segment certainly does not hold.

use std::mem::size_of_val;

/// Bits for an item: with four probes about 2 % of what is not there seems to be.
const BITS_PER_ITEM: usize = 10;

/// No filter is larger, in words.
const MAX_WORDS: usize = 8 << 10;

const PROBES: u32 = 4;

/// A set of 64-bit hashes. Ten bits an item, at most 64 KiB.
#[derive(Debug, Default)]
pub(crate) struct Filter(Box<[u64]>);

impl Filter {
    /// A filter of these hashes, sorted and without repetition.
    pub(crate) fn new(hashes: &[u64]) -> Self {
        if hashes.is_empty() {
            return Self::default();
        }
        let words = (hashes.len() * BITS_PER_ITEM).div_ceil(64).min(MAX_WORDS);
        let mut filter = Self(vec![0; words].into());
        for &hash in hashes {
            for (word, bit) in filter.probes(hash) {
                if let Some(word) = filter.0.get_mut(word) {
                    *word |= bit;
                }
            }
        }
        filter
    }

    /// Whether the hash may be in it. False is certain.
    pub(crate) fn may_hold(&self, hash: u64) -> bool {
        !self.0.is_empty()
            && self.probes(hash).into_iter().all(|(word, bit)| self.0.get(word).is_some_and(|word| word & bit != 0))
    }

    fn probes(&self, hash: u64) -> [(usize, u64); PROBES as usize] {
        let bits = u64::try_from(self.0.len()).unwrap_or(1) * 64;
        let (mut at, step) = (hash, hash.rotate_left(32) | 1);
        std::array::from_fn(|_| {
            at = at.wrapping_add(step);
            let bit = u64::try_from((u128::from(at) * u128::from(bits)) >> 64).unwrap_or(0);
            (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
        })
    }

    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.0)
    }
}
