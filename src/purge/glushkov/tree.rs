//! The expression as a tree of byte sets, without its empty parts, and how many positions it has when written out.

use std::collections::HashMap;

use regex_syntax::hir::{Class, Hir, HirKind, Look};
use regex_syntax::utf8::{Utf8Range, Utf8Sequences};

use super::{MAX_MEMORY, Unfit};

/// A set of bytes.
pub(super) type Set = [u64; 4];

/// The set of positions that take no byte.
pub(super) const NO_SET: u16 = u16::MAX;

/// An expression with its empty parts removed.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) kind: Kind,
    /// Positions when written out.
    pub(super) size: u64,
    /// Whether a loop inside leads back to its first place.
    pub(super) reentrant: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    Set(u16),
    Start,
    End,
    All(Vec<Tree>),
    /// Two or more, none of them of size 0.
    Any(Vec<Tree>),
    Repeat {
        sub: Box<Tree>,
        min: u32,
        max: Option<u32>,
    },
}

impl Tree {
    fn leaf(kind: Kind) -> Self {
        Self { kind, size: 1, reentrant: false }
    }

    fn all(parts: impl Iterator<Item = Self>) -> Self {
        let mut parts: Vec<Self> = parts.filter(|part| part.size > 0).collect();
        if parts.len() == 1
            && let Some(part) = parts.pop()
        {
            return part;
        }
        let size = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.size));
        let reentrant = parts.first().is_some_and(|part| part.reentrant);
        Self { kind: Kind::All(parts), size, reentrant }
    }

    fn any(mut parts: Vec<Self>) -> Self {
        let before = parts.len();
        parts.retain(|part| part.size > 0);
        let option = parts.len() < before;
        let tree = if parts.len() < 2 {
            Self::all(parts.into_iter())
        } else {
            let apart = (parts.len() - 1) as u64 + u64::from(parts.first().is_some_and(|part| part.reentrant));
            let size = parts.iter().fold(apart, |sum, part| sum.saturating_add(part.size));
            Self { kind: Kind::Any(parts), size, reentrant: false }
        };
        if option { tree.repeat(0, Some(1)) } else { tree }
    }

    fn repeat(self, min: u32, max: Option<u32>) -> Self {
        if self.size == 0 || max == Some(0) {
            return Self::all(std::iter::empty());
        }
        match self.kind {
            _ if (min, max) == (1, Some(1)) => return self,
            // An option some times over, a loop some times over.
            Kind::Repeat { sub, min: 0, max: Some(1) } => return sub.repeat(0, max),
            Kind::Repeat { sub, min: own @ (0 | 1), max: None } => return sub.repeat(own * min, None),
            _ => {}
        }
        let guarded = self.guarded();
        let single = matches!(self.kind, Kind::Set(_));
        let (copies, apart, reentrant) = match max {
            None => {
                let guards = u64::from(min == 0 && guarded);
                (min.max(1), guards + u64::from(!single), if min < 2 { guards == 0 } else { self.reentrant })
            }
            Some(max) => {
                let guards = u64::from(guarded) * u64::from(max.saturating_sub(min));
                (max, guards, min > 0 && self.reentrant)
            }
        };
        let size = self.size.saturating_mul(u64::from(copies)).saturating_add(apart);
        Self { kind: Kind::Repeat { sub: Box::new(self), min, max }, size, reentrant }
    }

    /// Whether an option of it needs a position before it.
    pub(super) fn guarded(&self) -> bool {
        self.reentrant && !matches!(self.kind, Kind::Set(_))
    }
}

/// The different sets of bytes of an expression.
#[derive(Default)]
pub(super) struct Sets {
    pub(super) sets: Vec<Set>,
    index: HashMap<Set, u16>,
}

impl Sets {
    pub(super) fn tree(&mut self, hir: &Hir) -> Result<Tree, Unfit> {
        Ok(match hir.kind() {
            HirKind::Empty => Tree::all(std::iter::empty()),
            HirKind::Literal(literal) => {
                let parts: Result<Vec<Tree>, Unfit> = literal.0.iter().map(|&b| self.set([(b, b)])).collect();
                Tree::all(parts?.into_iter())
            }
            HirKind::Class(Class::Bytes(class)) => {
                self.set(class.ranges().iter().map(|range| (range.start(), range.end())))?
            }
            // The parser makes one of `a|b` as well, and of literals that happen to be UTF-8.
            HirKind::Class(Class::Unicode(class)) => match class.to_byte_class() {
                Some(class) => self.set(class.ranges().iter().map(|range| (range.start(), range.end())))?,
                None => {
                    let ranges = class.ranges().iter();
                    let all = ranges.flat_map(|range| Utf8Sequences::new(range.start(), range.end()));
                    let parts: Result<Vec<Tree>, Unfit> = all.map(|one| self.sequence(one.as_slice())).collect();
                    Tree::any(parts?)
                }
            },
            HirKind::Look(Look::Start) => Tree::leaf(Kind::Start),
            HirKind::Look(Look::End) => Tree::leaf(Kind::End),
            HirKind::Look(_) => return Err(Unfit::LookAround),
            HirKind::Repetition(repetition) => self.tree(&repetition.sub)?.repeat(repetition.min, repetition.max),
            HirKind::Capture(capture) => self.tree(&capture.sub)?,
            HirKind::Concat(parts) => Tree::all(self.trees(parts)?.into_iter()),
            HirKind::Alternation(parts) => Tree::any(self.trees(parts)?),
        })
    }

    fn trees(&mut self, parts: &[Hir]) -> Result<Vec<Tree>, Unfit> {
        parts.iter().map(|part| self.tree(part)).collect()
    }

    fn sequence(&mut self, ranges: &[Utf8Range]) -> Result<Tree, Unfit> {
        let parts: Result<Vec<Tree>, Unfit> = ranges.iter().map(|range| self.set([(range.start, range.end)])).collect();
        Ok(Tree::all(parts?.into_iter()))
    }

    fn set(&mut self, ranges: impl IntoIterator<Item = (u8, u8)>) -> Result<Tree, Unfit> {
        let mut set = Set::default();
        for (start, end) in ranges {
            for byte in start..=end {
                insert(&mut set, u32::from(byte));
            }
        }
        let next = self.sets.len();
        let id = *self.index.entry(set).or_insert_with(|| u16::try_from(next).unwrap_or(NO_SET));
        if id == NO_SET {
            return Err(Unfit::Memory(MAX_MEMORY));
        }
        if usize::from(id) == next {
            self.sets.push(set);
        }
        Ok(Tree::leaf(Kind::Set(id)))
    }

    /// Numbers the classes of bytes that no set tells apart; returns a byte of each class.
    pub(super) fn classes(&self) -> (Box<[u8; 256]>, Vec<u8>) {
        let mut class = Box::new([0_u8; 256]);
        let mut count = 1_usize;
        for set in &self.sets {
            // A class that is partly in the set is split: its bytes in the set become a class of their own.
            let (mut outside, mut split) = ([false; 256], [None; 256]);
            for byte in 0..=u8::MAX {
                outside[usize::from(class[usize::from(byte)])] |= !contains(set, u32::from(byte));
            }
            for byte in 0..=u8::MAX {
                let old = usize::from(class[usize::from(byte)]);
                if outside[old] && contains(set, u32::from(byte)) {
                    let new = *split[old].get_or_insert_with(|| {
                        count += 1;
                        // No more classes than bytes.
                        u8::try_from(count - 1).unwrap_or(u8::MAX)
                    });
                    class[usize::from(byte)] = new;
                }
            }
        }
        let mut samples = vec![0; count];
        for byte in 0..=u8::MAX {
            if let Some(sample) = samples.get_mut(usize::from(class[usize::from(byte)])) {
                *sample = byte;
            }
        }
        (class, samples)
    }
}

pub(super) fn insert(set: &mut [u64], bit: u32) {
    if let Some(word) = set.get_mut(bit as usize / 64) {
        *word |= 1 << (bit % 64);
    }
}

pub(super) fn contains(set: &[u64], bit: u32) -> bool {
    set.get(bit as usize / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
}
