//! The seeded 64-bit hash of keys, hosts and tags, and its chain over the segments of a key.
//!
//! Portable folded multiplication, eight bytes a step. Both keys of it are drawn once per process from the operating system (through
//! [`RandomState`](std::hash::RandomState)), so that nobody outside can search for collisions; hence no value of it may ever reach a disk or a peer.
//!
//! A key's text is cut into segments: `scheme://authority/`, each further path segment with its closing `/`, the rest of the URL part (the
//! last path segment and the query, whose slashes do not count), and `@@variation`. The state after a segment is the hash of the text up to
//! there, so one pass over a key yields the hash of every directory above it. The cut depends on the text alone: a text has one hash, whether it
//! is met as a prefix of a longer key or as the literal a rule names.

use std::hash::BuildHasher;
use std::sync::OnceLock;

use super::KeyRef;

/// The keys of the hash, drawn once per process.
#[derive(Debug, Clone, Copy)]
struct Seed {
    start: u64,
    step: u64,
    tail: u64,
}

fn seed() -> Seed {
    static SEED: OnceLock<Seed> = OnceLock::new();
    *SEED.get_or_init(|| {
        #[cfg(oust_shuttle)]
        // The same in every process: a schedule can then be replayed.
        let state = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::new();
        #[cfg(not(oust_shuttle))]
        let state = std::hash::RandomState::new();
        // Multipliers are odd so that no factor of two is lost.
        Seed { start: state.hash_one(1_u8), step: state.hash_one(2_u8) | 1, tail: state.hash_one(3_u8) | 1 }
    })
}

/// High and low half of the 128-bit product, folded: every input bit reaches the low output bits.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    #[expect(clippy::cast_possible_truncation, reason = "both halves are wanted")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

/// Chains segments; the state after each is the hash of the text so far. A few registers, no allocation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PrefixHasher {
    seed: Seed,
    state: u64,
}

impl PrefixHasher {
    /// A chain before its first segment.
    #[inline]
    pub(crate) fn new() -> Self {
        let seed = seed();
        Self { seed, state: seed.start }
    }

    /// Takes in one segment and returns the hash of everything so far. O(segment), eight bytes a step.
    #[inline]
    pub(crate) fn segment(&mut self, segment: &[u8]) -> u64 {
        let (words, tail) = segment.as_chunks::<8>();
        let mut state = self.state;
        for word in words {
            state = fold(state ^ u64::from_le_bytes(*word), self.seed.step);
        }
        // Overlapping reads take the tail without a loop over its bytes; with the length mixed in nothing is ambiguous.
        let last = if tail.is_empty() {
            0
        } else if let Some(word) = segment.last_chunk::<8>() {
            u64::from_le_bytes(*word)
        } else if let (Some(low), Some(high)) = (tail.first_chunk::<4>(), tail.last_chunk::<4>()) {
            u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)) << 32
        } else {
            // One to three bytes: the first, the middle and the last are all of them.
            let byte = |at: usize| u64::from(tail.get(at).copied().unwrap_or_default());
            byte(0) | byte(tail.len() / 2) << 8 | byte(tail.len().saturating_sub(1)) << 16
        };
        // The length tells a tail of zero bytes from none, and one cut into segments from another.
        let len = u64::try_from(segment.len()).unwrap_or(u64::MAX);
        state = fold(state ^ last, self.seed.tail ^ (len << 1));
        self.state = state;
        state
    }
}

/// A chain over single bytes, for texts of which every beginning (or, walked backwards, every ending) is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByteChain {
    seed: Seed,
    state: u64,
}

impl ByteChain {
    /// A chain before its first byte.
    #[inline]
    pub(crate) fn new() -> Self {
        let seed = seed();
        Self { seed, state: !seed.start }
    }

    /// Takes in a byte and returns the hash of all so far.
    #[inline]
    pub(crate) fn push(&mut self, byte: u8) -> u64 {
        self.state = fold(self.state ^ u64::from(byte), self.seed.step);
        self.state
    }
}

/// Hashes of all windows of one size of a text: a polynomial in a random odd multiplier, rolled from window to window.
///
/// Windows that differ may collide more often than by chance (two of a thousand bytes can be made to): what is found has to be compared.
#[derive(Debug)]
pub(crate) struct Windows;

impl Windows {
    /// Hash of a text that is one window.
    pub(crate) fn hash(text: &[u8]) -> u64 {
        let multiplier = seed().step;
        text.iter().fold(0, |hash: u64, &byte| hash.wrapping_mul(multiplier).wrapping_add(u64::from(byte) + 1))
    }

    /// Appends the hash of every window of `size` bytes, in order. Nothing if the text is shorter.
    pub(crate) fn roll(text: &[u8], size: usize, out: &mut impl Extend<u64>) {
        let Some((first, rest)) = text.split_at_checked(size) else { return };
        let multiplier = seed().step;
        let leaving = (0..size).fold(1_u64, |power, _| power.wrapping_mul(multiplier));
        let mut hash = Self::hash(first);
        out.extend([hash]);
        out.extend(text.iter().zip(rest).map(|(&out, &next)| {
            let gone = (u64::from(out) + 1).wrapping_mul(leaving);
            hash = hash.wrapping_mul(multiplier).wrapping_add(u64::from(next) + 1).wrapping_sub(gone);
            hash
        }));
    }
}

/// Hash of a flat byte string: a host's name, a tag.
#[inline]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    PrefixHasher::new().segment(bytes)
}

/// Hash of a canonical text as [`taps`] reports it: a directory such as `http://h/d/`, a URL part, or a whole key.
pub(crate) fn prefix_hash(text: &[u8]) -> u64 {
    let start = memchr::memmem::find(text, b"://").map_or(0, |at| at.saturating_add(3));
    let authority_end = after(text, start, b'/').unwrap_or(text.len());
    // A URL part holds no `@@`; should its last byte be an `@`, the pair that separates is the last of the run.
    let url_end = super::canonical::separator(text).unwrap_or(text.len());
    let path_end = text.get(..url_end).and_then(|url| memchr::memchr(b'?', url)).unwrap_or(url_end);
    let mut last = 0;
    segments(text, authority_end, path_end, url_end, |_, hash| last = hash);
    last
}

fn after(text: &[u8], from: usize, byte: u8) -> Option<usize> {
    memchr::memchr(byte, text.get(from..)?).map(|at| from.saturating_add(at).saturating_add(1))
}

/// One pass over a key that yields the hash of each text a rule can be filed under.
///
/// `f` is called with the end of a text in the key and its hash, in this order: the host's name (the hash of the name alone, reported at the
/// end of the host), every prefix that ends in a `/` of the path beginning with `scheme://authority/`, the URL part unless it ends in such a `/`
/// (its hash has then been reported), and the whole key if it has a variation. No end is reported twice. O(key), no allocation.
#[inline]
pub(crate) fn taps(key: KeyRef<'_>, mut f: impl FnMut(usize, u64)) {
    let layout = key.layout();
    f(usize::from(layout.host_end), hash(key.host()));
    let authority_end = usize::from(layout.path).saturating_add(1);
    segments(key.text(), authority_end, usize::from(layout.path_end), usize::from(layout.url_end), f);
}

/// The chain over a text whose parts end at the given offsets; all of them at most the text's length.
#[inline]
fn segments(text: &[u8], authority_end: usize, path_end: usize, url_end: usize, mut f: impl FnMut(usize, u64)) {
    let mut chain = PrefixHasher::new();
    let mut from = authority_end.min(text.len());
    f(from, chain.segment(text.get(..from).unwrap_or(text)));
    if let Some(path) = text.get(from..path_end) {
        let base = from;
        for slash in memchr::memchr_iter(b'/', path) {
            let end = base.saturating_add(slash).saturating_add(1);
            f(end, chain.segment(text.get(from..end).unwrap_or_default()));
            from = end;
        }
    }
    if from < url_end {
        f(url_end, chain.segment(text.get(from..url_end).unwrap_or_default()));
    }
    if url_end < text.len() {
        f(text.len(), chain.segment(text.get(url_end..).unwrap_or_default()));
    }
}

/// Hash of a whole key: what [`taps`] reports at its end.
pub(crate) fn key_hash(key: KeyRef<'_>) -> u64 {
    let layout = key.layout();
    let mut last = 0;
    let authority_end = usize::from(layout.path).saturating_add(1);
    segments(key.text(), authority_end, usize::from(layout.path_end), usize::from(layout.url_end), |_, hash| {
        last = hash
    });
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;

    #[test]
    fn taps_are_the_hashes_of_the_literal_texts() {
        let text = b"http://h:81/a/long-directory-name/x.jpg?q=/z/@@device=mobile";
        let key = Key::parse(text).unwrap();
        let mut seen = Vec::new();
        taps(key.as_ref(), |end, hash| seen.push((end, hash)));
        let ends: Vec<usize> = seen.iter().map(|&(end, _)| end).collect();
        assert_eq!(ends, [8, 12, 14, 34, 45, 60]);
        assert_eq!(seen[0].1, hash(b"h"));
        for &(end, value) in &seen[1..] {
            assert_eq!(value, prefix_hash(&text[..end]), "{end}");
        }
        assert_eq!(key.hash(), seen[5].1);
    }

    #[test]
    fn a_url_that_ends_in_a_slash_is_reported_once() {
        let key = Key::parse(b"https://h/d/").unwrap();
        let mut seen = Vec::new();
        taps(key.as_ref(), |end, hash| seen.push((end, hash)));
        assert_eq!(seen.len(), 3);
        assert_eq!(seen[2], (12, prefix_hash(b"https://h/d/")));
        assert_eq!(key.hash(), seen[2].1);
    }

    #[test]
    fn windows_roll() {
        let text = b"the quick brown fox jumps over the lazy dog";
        for size in [1, 2, 4, 8, 32, text.len()] {
            let mut rolled = Vec::new();
            Windows::roll(text, size, &mut rolled);
            let each: Vec<u64> = text.windows(size).map(Windows::hash).collect();
            assert_eq!(rolled, each);
        }
        let mut none: Vec<u64> = Vec::new();
        Windows::roll(b"abc", 4, &mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn neighbours_differ() {
        let texts: [&[u8]; 7] = [
            b"http://h/a/",
            b"http://h/a",
            b"http://h/a/\0",
            b"http://h/",
            b"http://h/a/b/",
            b"http://h/ab/",
            b"http://h/a@@b",
        ];
        for (i, a) in texts.iter().enumerate() {
            for b in &texts[i + 1..] {
                assert_ne!(prefix_hash(a), prefix_hash(b));
            }
        }
        assert_ne!(hash(b""), hash(b"\0"));
        assert_ne!(hash(b"12345678"), hash(b"12345678\0"));
    }
}
