//! What no table can say: patterns with wildcards in odd places, and regular expressions.
//!
//! Time to match, all linear in the key:
//!
//! | form | bound |
//! | --- | --- |
//! | one wildcard | one compare of prefix and suffix, one scan of the run |
//! | several that cross everything | leftmost search of each literal in turn: never back over the key |
//! | `*` and `**` mixed | [`Nfa`]: at most 33 word steps a byte |
//! | regex | [`Automaton`]: [`Program::work`] word steps a byte |

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};

use super::error::SelectorError;
use super::glushkov::Automaton;
use super::nfa::Nfa;
use super::regex::CACHE_BYTES;
use crate::key::KeyRef;

/// What of the key a program looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// From the scheme to the path's end; any query and variation.
    Path,
    /// The URL part; any variation.
    Url,
    /// The whole text.
    Key,
}

/// A compiled pattern or regex.
#[derive(Debug)]
pub(crate) struct Program {
    target: Target,
    text: Part,
    /// The pattern behind `@@`. The text of a key holds `@@` once, so that matching its two sides apart is matching the whole.
    variation: Option<Part>,
    /// Where in the literal beginning the directory ends, and what of it rules are filed under.
    dir: usize,
    begin: usize,
    /// What it was compiled from, canonical enough that equal sources take the same.
    source: Box<[u8]>,
}

/// What every text that matches has besides its literal beginning; where programs are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchors<'a> {
    /// It ends the target with this; may be empty.
    pub(crate) suffix: &'a [u8],
    /// It holds this somewhere behind the literal beginning; may be empty.
    pub(crate) required: &'a [u8],
    /// Whether `suffix` ends the path instead of the URL part.
    pub(crate) by_path: bool,
}

/// A literal beginning and what follows it.
#[derive(Debug)]
pub(super) struct Part {
    literal: Box<[u8]>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// Nothing.
    End,
    /// One run and a literal.
    Single { crossing: bool, suffix: Box<[u8]> },
    /// Runs that all cross everything, with literals between and a last one.
    Crossing { inner: Box<[Box<[u8]>]>, suffix: Box<[u8]> },
    /// Runs of both kinds.
    Mixed { nfa: Nfa, required: Box<[u8]>, suffix: Box<[u8]> },
    /// Anchored at `start`, open at the end. The literal beginning is part of the regex too.
    Regex { start: usize, engine: Engine, required: Box<[u8]>, suffix: Box<[u8]> },
}

/// What runs a regex.
#[derive(Debug)]
pub(super) enum Engine {
    /// All positions at once, as bits.
    Bits(Box<Automaton>),
    /// With look-around, which bits cannot say: few positions only.
    Lazy { regex: Box<Regex>, positions: u32 },
}

impl Part {
    /// A pattern: a literal, then wildcards (whether they cross slashes) each with the literal behind it.
    pub(super) fn pattern(literal: Vec<u8>, rest: &[(bool, Vec<u8>)]) -> Result<Self, SelectorError> {
        let body = match rest {
            [] => Body::End,
            [(crossing, suffix)] => Body::Single { crossing: *crossing, suffix: suffix.as_slice().into() },
            [head @ .., (_, suffix)] => {
                let suffix = suffix.as_slice().into();
                if rest.iter().all(|(crossing, _)| *crossing) {
                    Body::Crossing { inner: head.iter().map(|(_, inner)| inner.as_slice().into()).collect(), suffix }
                } else {
                    let first = head.first().is_some_and(|(crossing, _)| *crossing);
                    let next = rest.iter().skip(1).map(|(crossing, _)| *crossing);
                    let inner: Vec<(&[u8], bool)> = head.iter().map(|(_, inner)| inner.as_slice()).zip(next).collect();
                    let required = longest(head.iter().map(|(_, inner)| inner.as_slice())).into();
                    Body::Mixed { nfa: Nfa::new(first, &inner)?, required, suffix }
                }
            }
        };
        Ok(Self { literal: literal.into(), body })
    }

    /// Whether the whole of `text` matches; its first `path` bytes are those in which `*` stops at a slash.
    fn matches(&self, text: &[u8], path: usize) -> bool {
        let Some(rest) = text.strip_prefix(&*self.literal) else { return false };
        let path = path.saturating_sub(self.literal.len());
        match &self.body {
            Body::End => rest.is_empty(),
            Body::Single { crossing, suffix } => rest
                .strip_suffix(&**suffix)
                .is_some_and(|run| *crossing || memchr::memchr(b'/', run.get(..path).unwrap_or(run)).is_none()),
            Body::Crossing { inner, suffix } => rest.strip_suffix(&**suffix).is_some_and(|mut rest| {
                // The leftmost place of each literal leaves the most room for the next.
                inner.iter().all(|literal| {
                    let found = memchr::memmem::find(rest, literal).map(|at| at.saturating_add(literal.len()));
                    found.and_then(|end| rest.get(end..)).map(|after| rest = after).is_some()
                })
            }),
            Body::Mixed { nfa, suffix, .. } => rest.strip_suffix(&**suffix).is_some_and(|rest| nfa.matches(rest, path)),
            Body::Regex { start, engine, .. } => match engine {
                Engine::Bits(automaton) => text.get(*start..).is_some_and(|rest| automaton.matches(rest)),
                Engine::Lazy { regex, .. } => {
                    regex.is_match(Input::new(text).range(*start..).anchored(Anchored::Yes).earliest(true))
                }
            },
        }
    }
}

fn longest<'a>(literals: impl Iterator<Item = &'a [u8]>) -> &'a [u8] {
    literals.max_by_key(|literal| literal.len()).unwrap_or_default()
}

impl Program {
    pub(super) fn pattern(target: Target, dir: usize, text: Part, variation: Option<Part>, source: Vec<u8>) -> Self {
        let begin = text.literal.len();
        Self { target, text, variation, dir, begin, source: source.into() }
    }

    /// `literal` begins every text the regex matches, which is anchored at byte `start` of it. `required` and `suffix` as in [`Anchors`].
    pub(super) fn regex(
        target: Target,
        (literal, start, dir, begin): (Vec<u8>, usize, usize, usize),
        engine: Engine,
        (required, suffix): (Vec<u8>, Vec<u8>),
        source: Vec<u8>,
    ) -> Self {
        let body = Body::Regex { start, engine, required: required.into(), suffix: suffix.into() };
        Self {
            target,
            text: Part { literal: literal.into(), body },
            variation: None,
            dir,
            begin,
            source: source.into(),
        }
    }

    /// What it is filed under: a literal that every text it matches begins with, or as much of that as is looked for at once.
    pub(crate) fn beginning(&self) -> &[u8] {
        self.text.literal.get(..self.begin).unwrap_or(&self.text.literal)
    }

    /// The directory its literal beginning names.
    pub(crate) fn directory(&self) -> &[u8] {
        self.text.literal.get(..self.dir).unwrap_or(&self.text.literal)
    }

    /// The one URL part it takes: it is a pattern of that URL's variation.
    pub(crate) fn url(&self) -> Option<&[u8]> {
        matches!(self.text.body, Body::End).then_some(&*self.text.literal)
    }

    /// What it was compiled from.
    pub(crate) fn source(&self) -> &[u8] {
        &self.source
    }

    /// What every text that matches has besides its literal beginning.
    pub(crate) fn anchors(&self) -> Anchors<'_> {
        let (required, suffix): (&[u8], &[u8]) = match &self.text.body {
            Body::End => (b"", b""),
            Body::Single { suffix, .. } => (b"", suffix),
            Body::Crossing { inner, suffix } => (longest(inner.iter().map(|inner| &**inner)), suffix),
            Body::Mixed { required, suffix, .. } | Body::Regex { required, suffix, .. } => (required, suffix),
        };
        Anchors { suffix, required, by_path: self.target == Target::Path }
    }

    /// What a byte of a key costs in the worst case, in units of about a nanosecond; 0 for what is a search of literals.
    pub(crate) fn work(&self) -> u32 {
        match &self.text.body {
            Body::Mixed { nfa, .. } => nfa.work(),
            Body::Regex { engine: Engine::Bits(automaton), .. } => automaton.work(),
            // A step of the simulation that a lazy automaton falls back to takes some 10 ns.
            Body::Regex { engine: Engine::Lazy { positions, .. }, .. } => positions.saturating_mul(10),
            _ => 0,
        }
    }

    /// Bytes its automaton takes.
    pub(crate) fn memory(&self) -> usize {
        match &self.text.body {
            Body::Mixed { nfa, .. } => nfa.memory(),
            Body::Regex { engine: Engine::Bits(automaton), .. } => automaton.memory(),
            Body::Regex { engine: Engine::Lazy { regex, .. }, .. } => regex.memory_usage().saturating_add(CACHE_BYTES),
            _ => 0,
        }
    }

    /// Whether it may take anything in a directory or below.
    pub(crate) fn reaches(&self, dir: &[u8]) -> bool {
        let Some(rest) = dir.strip_prefix(&*self.text.literal) else { return self.text.literal.starts_with(dir) };
        match &self.text.body {
            Body::Mixed { nfa, .. } => nfa.survives(rest),
            Body::Regex { start, engine: Engine::Bits(automaton), .. } => {
                dir.get(*start..).is_none_or(|text| automaton.survives(text))
            }
            _ => true,
        }
    }

    /// Whether it takes a key, looked at from byte `from` on. See the module for what bounds the time.
    pub(crate) fn matches(&self, key: KeyRef<'_>, from: usize) -> bool {
        let path = usize::from(key.layout().path_end);
        let text = match self.target {
            Target::Path => key.text().get(..path).unwrap_or_default(),
            Target::Url => key.url(),
            Target::Key => key.text(),
        };
        text.get(from..).is_some_and(|text| self.text.matches(text, path.saturating_sub(from)))
            && match &self.variation {
                None => true,
                Some(part) => key.variation().is_some_and(|variation| part.matches(variation, 0)),
            }
    }
}
