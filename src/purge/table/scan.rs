//! A key as literals are looked for in it: hashes of its endings, of what follows a directory, and of its windows.
//!
//! All of them are computed once per key, whatever the number of rules, and only as far as rules ask for them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use crate::key::{ByteChain, MAX_KEY, Windows};

/// The lengths of literals in use somewhere. Only grows.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    /// Lengths 1 to 64.
    short: AtomicU64,
    /// All others up to the longest key.
    long: OnceLock<Box<[AtomicU64; MAX_KEY / 64]>>,
}

impl Lengths {
    pub(super) fn add(&self, length: usize) {
        let Some(bit) = length.checked_sub(1) else { return };
        if bit < 64 {
            self.short.fetch_or(1 << bit, Ordering::Release);
        } else {
            let long = self.long.get_or_init(|| Box::new([const { AtomicU64::new(0) }; MAX_KEY / 64]));
            if let Some(word) = long.get(bit / 64) {
                word.fetch_or(1 << (bit % 64), Ordering::Release);
            }
        }
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.long.get().map_or(0, |long| size_of_val(&**long))
    }

    /// Calls `f` with each length in use up to `most`, in rising order.
    #[inline]
    pub(super) fn each(&self, most: usize, mut f: impl FnMut(usize)) {
        let mut bits = self.short.load(Ordering::Acquire);
        while bits != 0 {
            let length = bits.trailing_zeros() as usize + 1;
            if length > most {
                return;
            }
            f(length);
            bits &= bits - 1;
        }
        let Some(long) = self.long.get() else { return };
        for (at, word) in long.iter().enumerate().take(most.div_ceil(64)) {
            let mut bits = word.load(Ordering::Acquire);
            while bits != 0 {
                let length = at * 64 + bits.trailing_zeros() as usize + 1;
                if length > most {
                    return;
                }
                f(length);
                bits &= bits - 1;
            }
        }
    }
}

/// Hashes of a text's endings by length, computed as far as they were asked for.
#[derive(Debug)]
pub(super) struct Endings<'a> {
    text: &'a [u8],
    hashes: SmallVec<[u64; 24]>,
    chain: ByteChain,
}

impl<'a> Endings<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, hashes: SmallVec::new(), chain: ByteChain::new() }
    }

    /// Hash of the last `length` bytes; `length` is at least one and at most the text's.
    #[inline]
    pub(super) fn hash(&mut self, length: usize) -> u64 {
        while self.hashes.len() < length {
            let at = self.text.len().saturating_sub(self.hashes.len() + 1);
            self.hashes.push(self.chain.push(self.text.get(at).copied().unwrap_or_default()));
        }
        self.hashes.get(length.wrapping_sub(1)).copied().unwrap_or_default()
    }
}

/// Hash of an ending as [`Endings::hash`] has it.
pub(super) fn ending_hash(literal: &[u8]) -> u64 {
    let mut chain = ByteChain::new();
    literal.iter().rev().fold(0, |_, &byte| chain.push(byte))
}

/// Hash of a beginning: what follows a directory.
pub(super) fn beginning_hash(literal: &[u8]) -> u64 {
    let mut chain = ByteChain::new();
    literal.iter().fold(0, |_, &byte| chain.push(byte))
}

/// A literal by its first and its last window, which together cover all of it: `size <= length < 2 * size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    /// Log of the windows' size.
    pub(super) scale: u32,
    pub(super) first: u64,
    /// From the first window's beginning to the last one's.
    pub(super) offset: usize,
    pub(super) last: u64,
}

impl Spot {
    /// Of a literal that is not empty.
    pub(super) fn of(literal: &[u8]) -> Option<Self> {
        let scale = literal.len().checked_ilog2()?;
        let size = 1_usize << scale;
        let offset = literal.len() - size;
        let (first, last) = (literal.get(..size)?, literal.get(offset..)?);
        Some(Self { scale, first: Windows::hash(first), offset, last: Windows::hash(last) })
    }
}
