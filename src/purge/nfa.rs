//! Patterns that mix `*` and `**`, run as a bit-parallel automaton.
//!
//! State `j` is "the first `j` literal bytes are matched". A literal byte moves a state on by one, a wildcard lets a state stay: all states are
//! bits of a few words, and one byte of the key is a shift and three masks of each word. Time is `words * bytes` with at most
//! `MAX_MIXED / 64 + 1` words, whatever the pattern and the key; memory is a mask a word for each different literal byte.

use super::error::SelectorError;

/// Most literal bytes between the first and the last wildcard of a pattern that mixes `*` and `**`.
pub(crate) const MAX_MIXED: usize = 2048;

const MAX_WORDS: usize = MAX_MIXED / 64 + 1;

/// A compiled pattern: a wildcard, then literals each followed by a wildcard.
#[derive(Debug)]
pub(super) struct Nfa {
    words: usize,
    accept: usize,
    /// Byte to row of `rows`; row 0 is that of bytes the pattern does not hold.
    class: Box<[u8; 256]>,
    /// For each class the states its byte moves on.
    rows: Box<[u64]>,
    /// States that stay on any byte.
    deep: Box<[u64]>,
    /// States that stay on any byte but a slash of the path.
    star: Box<[u64]>,
}

impl Nfa {
    /// `first` and the second of each pair tell whether the wildcard crosses slashes.
    pub(super) fn new(first: bool, rest: &[(&[u8], bool)]) -> Result<Self, SelectorError> {
        let accept: usize = rest.iter().map(|(literal, _)| literal.len()).sum();
        if accept > MAX_MIXED {
            return Err(SelectorError::over_budget("literal bytes between mixed wildcards", MAX_MIXED));
        }
        let words = accept / 64 + 1;
        let mut nfa = Self {
            words,
            accept,
            class: Box::new([0; 256]),
            rows: Box::default(),
            deep: vec![0; words].into(),
            star: vec![0; words].into(),
        };
        let mut rows = vec![0_u64; words];
        let mut state = 0_usize;
        nfa.stay(0, first);
        for &(literal, crossing) in rest {
            for &byte in literal {
                let classes = rows.len() / words;
                if let Some(class) = nfa.class.get_mut(usize::from(byte)) {
                    if *class == 0 {
                        // Literals are canonical, hence ASCII: far fewer than 256 classes.
                        *class = u8::try_from(classes).unwrap_or(u8::MAX);
                        rows.resize(rows.len() + words, 0);
                    }
                    set(&mut rows, usize::from(*class) * words * 64 + state);
                }
                state += 1;
            }
            nfa.stay(state, crossing);
        }
        nfa.rows = rows.into();
        Ok(nfa)
    }

    fn stay(&mut self, state: usize, crossing: bool) {
        set(if crossing { &mut self.deep } else { &mut self.star }, state);
    }

    /// Words that a byte of the key moves.
    pub(super) fn work(&self) -> u32 {
        u32::try_from(self.words).unwrap_or(u32::MAX)
    }

    pub(super) fn memory(&self) -> usize {
        256 + (self.rows.len() + self.deep.len() + self.star.len()) * 8
    }

    /// Whether the whole of `text` matches; its first `path` bytes are the path's.
    pub(super) fn matches(&self, text: &[u8], path: usize) -> bool {
        self.run(text, path, |states| {
            states.get(self.accept / 64).is_some_and(|word| word >> (self.accept % 64) & 1 == 1)
        })
    }

    /// Whether anything that begins with `text`, which is of the path, may match.
    pub(super) fn survives(&self, text: &[u8]) -> bool {
        self.run(text, text.len(), |_| true)
    }

    /// What `end` says of the states after `text`; false if there are none.
    fn run(&self, text: &[u8], path: usize, end: impl Fn(&[u64]) -> bool) -> bool {
        let mut states = [0_u64; MAX_WORDS];
        let Some(states) = states.get_mut(..self.words) else { return false };
        set(states, 0);
        for (at, &byte) in text.iter().enumerate() {
            let class = self.class.get(usize::from(byte)).copied().map_or(0, usize::from);
            let Some(row) = self.rows.get(class * self.words..(class + 1) * self.words) else { return false };
            let star = if byte == b'/' && at < path { 0 } else { u64::MAX };
            let (mut carry, mut alive) = (0, 0);
            let masks = row.iter().zip(self.deep.iter()).zip(self.star.iter());
            for (word, ((row, deep), own)) in states.iter_mut().zip(masks) {
                let moved = *word & row;
                let next = (moved << 1) | carry | (*word & (deep | (own & star)));
                carry = moved >> 63;
                alive |= next;
                *word = next;
            }
            if alive == 0 {
                return false;
            }
        }
        end(states)
    }
}

fn set(words: &mut [u64], bit: usize) {
    if let Some(word) = words.get_mut(bit / 64) {
        *word |= 1 << (bit % 64);
    }
}
