//! Choices from a byte string.

/// Reads choices off a byte string, zeros once it is used up: the same bytes always give the same choices, and shorter input gives smaller
/// cases.
#[derive(Debug, Clone)]
pub struct Entropy<'a> {
    rest: &'a [u8],
}

impl<'a> Entropy<'a> {
    /// Choices from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.rest.split_first() {
            Some((&byte, rest)) => {
                self.rest = rest;
                byte
            }
            None => 0,
        }
    }

    /// A number below `n`, which is at most 256; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        let byte = usize::from(self.byte());
        if n == 0 { 0 } else { byte % n }
    }

    /// True in one of `n` cases; never once the input is used up.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) + 1 == n
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let at = self.below(choices.len());
        choices[at]
    }

    /// `n` bytes that follow from the next two: for more choices than an input has bytes.
    pub fn stretched(&mut self, n: usize) -> Vec<u8> {
        let mut state = u64::from(self.byte()) << 8 | u64::from(self.byte());
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        // The first ones are alike.
        (0..n + 8).map(|_| next()).skip(8).collect()
    }

    /// What is left.
    pub fn rest(self) -> &'a [u8] {
        self.rest
    }
}

/// Bytes to choose by in a test; `seed` goes on from call to call.
#[cfg(test)]
pub(crate) fn bytes(seed: &mut u32, len: usize) -> Vec<u8> {
    let next = |_| {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*seed >> 24) as u8
    };
    (0..len).map(next).collect()
}
