//! Regular expressions as a bit-parallel automaton of positions.
//!
//! The expression is written out (`x{2,4}` is `xxx?x?`) and its byte classes are numbered in the order they are written. Bit `i` of a state set
//! is the place before position `i`, and the last bit the end of the expression. A byte keeps the places before positions that take it and
//! shifts them on by one; that is all a literal, a class or a counted class costs. What else an expression may do is done by
//!
//! * `loops`: positions that may take the next byte too (`.*`, `[ab]+`);
//! * `skip`: places that reach the next place without a byte (`x?`, each optional copy of `x{2,4}`, `x*`). A run of them is crossed by one addition:
//!   its carry fills all of the run behind the first place reached;
//! * groups: from any place of a set to a set of places without a byte, for alternatives, and for options and loops of more than one position.
//!
//! Groups are in an order in which each comes behind those that reach its sources, and their targets are closed over `skip`; those that lead back
//! are closed over everything. One pass over them is enough.
//!
//! Some positions take no byte: those that keep alternatives apart, and `^` and `$`, crossed only when a match begins or when the text ends.

mod build;
#[cfg(test)]
pub(in crate::purge) mod tests;
mod tree;

use std::fmt;

use regex_syntax::hir::Hir;

/// Most positions when everything is written out.
pub(super) const MAX_POSITIONS: u32 = 10_000;
/// Most memory of an automaton, and most while one is built.
pub(super) const MAX_MEMORY: usize = 1 << 20;
/// Most steps a byte costs: see [`Automaton::work`].
pub(super) const MAX_WORK: u32 = 1_024;

const MAX_WORDS: usize = MAX_POSITIONS as usize / 64 + 1;
/// Words of a state set small enough to be cleared without a thought.
const FEW_WORDS: usize = 16;

/// Why an expression is not run as an automaton.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It looks around: word boundaries, anchors of lines.
    LookAround,
    /// More positions than this when written out.
    Positions(u32),
    /// More steps a byte than this.
    Work(u32),
    /// More bytes of memory than this.
    Memory(usize),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LookAround => f.write_str("word boundaries and anchors of lines are not supported"),
            Self::Positions(most) => write!(f, "the regex written out has more than {most} positions"),
            Self::Work(most) => write!(f, "the regex takes more than {most} steps for each byte"),
            Self::Memory(most) => write!(f, "the compiled regex takes more than {most} bytes"),
        }
    }
}

/// A compiled expression, anchored at the start of the text and open at its end.
#[derive(Debug)]
pub(super) struct Automaton {
    /// Byte to row of `rows`.
    class: Box<[u8; 256]>,
    /// For each class of bytes the positions that take it, `masks.len()` words each.
    rows: Box<[u64]>,
    masks: Box<[Masks]>,
    groups: Box<[Group]>,
    /// Sources and targets of the groups, one group after the other.
    entries: Box<[Entry]>,
    /// The last bit, in the last word.
    accept: u64,
    /// Whether the empty text matches.
    empty: bool,
    work: u32,
}

/// One word of each set of places.
#[derive(Debug, Clone, Copy, Default)]
struct Masks {
    loops: u64,
    skip: u64,
    /// Sources of any group.
    sources: u64,
    /// The places a match begins with.
    first: u64,
    /// The places that match if the text ends there.
    last: u64,
}

/// If one of the sources is reached, so are the targets.
#[derive(Debug, Clone, Copy)]
struct Group {
    sources: u32,
    targets: u32,
}

/// One word of a set of places.
#[derive(Debug, Clone, Copy)]
struct Entry {
    word: u32,
    mask: u64,
}

/// Where a text led to.
enum Run {
    /// Nothing that begins so matches.
    Dead,
    /// A beginning of it matched.
    Matched,
    /// More may match; `ends`: what there is does if nothing follows.
    Open { ends: bool },
}

impl Run {
    fn is_match(&self) -> bool {
        matches!(self, Self::Matched | Self::Open { ends: true })
    }
}

impl Automaton {
    /// Compiles. Positions are counted before anything is written out.
    ///
    /// Recursion is as deep as `hir`, which its parser bounds.
    pub(super) fn new(hir: &Hir) -> Result<Self, Unfit> {
        build::build(hir)
    }

    /// Whether a beginning of `text` matches.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        match text {
            [] => self.empty,
            _ => self.run(text).is_match(),
        }
    }

    /// Whether anything that begins with `text` may match.
    pub(super) fn survives(&self, text: &[u8]) -> bool {
        !matches!(self.run(text), Run::Dead)
    }

    fn run(&self, text: &[u8]) -> Run {
        match self.masks.len() {
            1 => self.narrow(text),
            words if words <= FEW_WORDS => self.wide(text, &mut [0; FEW_WORDS]),
            _ => self.wide(text, &mut [0; MAX_WORDS]),
        }
    }

    /// What a byte costs at most, in words read: a unit is about a nanosecond.
    pub(super) fn work(&self) -> u32 {
        self.work
    }

    /// Bytes it takes, its own included.
    pub(super) fn memory(&self) -> usize {
        memory(self.rows.len(), self.masks.len(), self.groups.len(), self.entries.len())
    }

    /// A state set of one word.
    fn narrow(&self, text: &[u8]) -> Run {
        let Some(&Masks { loops, skip, sources, first, last }) = self.masks.first() else { return Run::Dead };
        let accept = self.accept;
        let mut places = first;
        if places & accept != 0 {
            return Run::Matched;
        }
        for &byte in text {
            let row = self.rows.get(usize::from(self.class[usize::from(byte)])).copied().unwrap_or_default();
            let taken = places & row;
            let moved = taken << 1;
            places = moved | (taken & loops) | ((moved & skip).wrapping_add(skip) ^ skip);
            if places & sources != 0 {
                for pair in self.entries.chunks_exact(2) {
                    if let [source, target] = pair
                        && places & source.mask != 0
                    {
                        places |= target.mask;
                    }
                }
            }
            if (places == 0) | (places & accept != 0) {
                return if places == 0 { Run::Dead } else { Run::Matched };
            }
        }
        Run::Open { ends: places & last != 0 }
    }

    /// A state set of any number of words, in `buffer`, which is zero.
    fn wide(&self, text: &[u8], buffer: &mut [u64]) -> Run {
        let words = self.masks.len();
        let Some(places) = buffer.get_mut(..words) else { return Run::Dead };
        for (place, masks) in places.iter_mut().zip(&self.masks) {
            *place = masks.first;
        }
        if places.last().is_some_and(|place| place & self.accept != 0) {
            return Run::Matched;
        }
        for &byte in text {
            let row = usize::from(self.class[usize::from(byte)]) * words;
            let Some(row) = self.rows.get(row..row + words) else { return Run::Dead };
            let (mut shifted, mut carry) = (0, false);
            let (mut alive, mut hit) = (0, 0);
            for ((place, row), masks) in places.iter_mut().zip(row).zip(&self.masks) {
                let taken = *place & row;
                let moved = (taken << 1) | shifted;
                shifted = taken >> 63;
                let (sum, over) = (moved & masks.skip).overflowing_add(masks.skip);
                let (sum, once_more) = sum.overflowing_add(u64::from(carry));
                carry = over | once_more;
                let next = moved | (taken & masks.loops) | (sum ^ masks.skip);
                hit |= next & masks.sources;
                alive |= next;
                *place = next;
            }
            if alive == 0 {
                return Run::Dead;
            }
            if hit != 0 {
                self.apply(places);
            }
            if places.last().is_some_and(|place| place & self.accept != 0) {
                return Run::Matched;
            }
        }
        Run::Open { ends: places.iter().zip(&self.masks).any(|(place, masks)| place & masks.last != 0) }
    }

    /// Adds what the groups reach.
    fn apply(&self, places: &mut [u64]) {
        let mut rest = &*self.entries;
        for group in &self.groups {
            let Some((sources, behind)) = rest.split_at_checked(group.sources as usize) else { return };
            let Some((targets, behind)) = behind.split_at_checked(group.targets as usize) else { return };
            rest = behind;
            let hit = sources.iter().fold(0, |hit, entry| hit | (word(places, entry) & entry.mask));
            if hit != 0 {
                for entry in targets {
                    if let Some(place) = places.get_mut(entry.word as usize) {
                        *place |= entry.mask;
                    }
                }
            }
        }
    }
}

fn word(places: &[u64], entry: &Entry) -> u64 {
    places.get(entry.word as usize).copied().unwrap_or_default()
}

/// Bytes of an automaton with so many words of rows, words of places, groups and entries.
fn memory(rows: usize, words: usize, groups: usize, entries: usize) -> usize {
    size_of::<Automaton>()
        + size_of::<[u8; 256]>()
        + rows * size_of::<u64>()
        + words * size_of::<Masks>()
        + groups * size_of::<Group>()
        + entries * size_of::<Entry>()
}
