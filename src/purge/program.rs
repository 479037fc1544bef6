//! What no table can say: patterns with wildcards in odd places, and regular expressions.
//!
//! Time to match, all linear in the key:
//!
//! | form | bound |
//! | --- | --- |
//! | one wildcard | one compare of prefix and suffix, one scan of the run |
//! | several that cross everything | leftmost search of each literal in turn: never back over the key |
//! | `*` and `**` mixed | [`Nfa`]: at most 33 word steps a byte |
//! | regex | [`super::regex`]: at most `MAX_POSITIONS` steps a byte |

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};

use super::error::SelectorError;
use super::nfa::Nfa;
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
    Mixed { nfa: Nfa, suffix: Box<[u8]> },
    /// Anchored at `start`, open at the end. The literal beginning is part of the regex too.
    Regex { start: usize, positions: u32, regex: Box<Regex> },
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
                    Body::Mixed { nfa: Nfa::new(first, &inner)?, suffix }
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
            Body::Mixed { nfa, suffix } => rest.strip_suffix(&**suffix).is_some_and(|rest| nfa.matches(rest, path)),
            Body::Regex { start, regex, .. } => {
                regex.is_match(Input::new(text).range(*start..).anchored(Anchored::Yes).earliest(true))
            }
        }
    }
}

impl Program {
    pub(super) fn pattern(target: Target, text: Part, variation: Option<Part>) -> Self {
        Self { target, text, variation }
    }

    /// `literal` begins every text the regex matches, which is anchored at byte `start` of it.
    pub(super) fn regex(target: Target, literal: Vec<u8>, start: usize, positions: u32, regex: Regex) -> Self {
        let body = Body::Regex { start, positions, regex: Box::new(regex) };
        Self { target, text: Part { literal: literal.into(), body }, variation: None }
    }

    /// What every key it matches begins with, from the scheme on.
    #[cfg(test)]
    pub(crate) fn literal_prefix(&self) -> &[u8] {
        &self.text.literal
    }

    /// Whether all it takes is in the directory its literal beginning names: nothing below needs to be asked.
    pub(crate) fn stays_in_directory(&self) -> bool {
        match &self.text.body {
            Body::Single { crossing: false, suffix } => {
                self.target == Target::Path && memchr::memchr(b'/', suffix).is_none()
            }
            _ => false,
        }
    }

    /// Positions of a regex when written out; `None` for a pattern.
    ///
    /// In the worst case a byte of the key costs so many steps of some 10 ns: admission has to bound their sum over the live rules of a host.
    pub(crate) fn regex_positions(&self) -> Option<u32> {
        match self.text.body {
            Body::Regex { positions, .. } => Some(positions),
            _ => None,
        }
    }

    /// Whether it takes a key. See the module for what bounds the time.
    pub(crate) fn matches(&self, key: KeyRef<'_>) -> bool {
        let path = usize::from(key.layout().path_end);
        let text = match self.target {
            Target::Path => key.text().get(..path).unwrap_or_default(),
            Target::Url => key.url(),
            Target::Key => key.text(),
        };
        self.text.matches(text, path)
            && match &self.variation {
                None => true,
                Some(part) => key.variation().is_some_and(|variation| part.matches(variation, 0)),
            }
    }
}
