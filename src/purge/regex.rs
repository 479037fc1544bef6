//! Bounded regular expressions.
//!
//! Syntax is that of `regex-syntax` without Unicode: no look-around, no back-references. All limits are counted on the parsed tree, where `\*` and
//! `[*]` are no quantifiers and nested ones are. They are checked before anything is expanded, so that a refusal costs no more than a parse.
//!
//! What is left runs on the automaton of [`super::glushkov`], whose steps for each byte of the key are counted and bounded before it is admitted.
//! Only what looks around (word boundaries) runs on `regex-automata`: a lazy automaton with a cache of [`CACHE_BYTES`] for each thread.

use regex_automata::meta;
use regex_syntax::ast::{self, Ast, Flag, RepetitionKind, RepetitionRange};
use regex_syntax::hir::{Hir, HirKind, Look, translate::TranslatorBuilder};

use super::error::SelectorError;
use super::glushkov::{Automaton, MAX_POSITIONS, Unfit};
use super::literals::{self, Simple};
use super::pattern::origin;
use super::program::{self, Engine, Program, Target};
use super::selector::{Shape, schemes};
use super::span::Span;
use crate::key::canonical::{self, Part};
use crate::site::Sites;

/// Most bytes after the first `/` behind the host.
pub(crate) const MAX_BYTES: usize = 126;
/// Most unlimited quantifiers: `*`, `+` and `{n,}`.
pub(crate) const MAX_UNLIMITED: usize = 2;
/// Largest number in a counted quantifier.
pub(crate) const MAX_COUNT: u32 = 59;
/// Most positions of what looks around: word boundaries, which the automaton of bits cannot say.
const MAX_LOOKING: u32 = 64;
/// Most memory of what looks around.
const MAX_MEMORY: usize = 1 << 20;
/// Shortest literal that leads to a regex: shorter ones are in every other key.
const MIN_REQUIRED: usize = 3;
/// Memory of the lazy automaton's cache; it is grown as needed, up to this.
pub(crate) const CACHE_BYTES: usize = 128 << 10;
/// Deepest nesting of groups.
const MAX_NESTING: u32 = 64;

/// Compiles a regex for each scheme it names.
pub(super) fn compile(text: &[u8], sites: &Sites) -> Result<Vec<Shape>, SelectorError> {
    let cut = canonical::cut(text)?;
    let schemes = schemes(cut.scheme)?;
    let Some(pattern) = cut.target.strip_prefix(b"/") else {
        return Err(SelectorError::malformed("a regex has a '/' right after its host").at(cut.target_at));
    };
    let at = cut.target_at.saturating_add(1);
    if pattern.len() > MAX_BYTES {
        return Err(
            SelectorError::over_budget("regex bytes after the first '/'", MAX_BYTES).at(at.saturating_add(MAX_BYTES))
        );
    }
    let Ok(pattern) = std::str::from_utf8(pattern) else {
        return Err(SelectorError::malformed("a regex is ASCII").at(at));
    };
    // Whether to look at the variation is told by the raw text, as the seed of this dialect has it.
    let target = if memchr::memmem::find(text, b"@@").is_some() { Target::Key } else { Target::Url };
    let parsed = parse(pattern, at, target)?;

    let mut shapes = Vec::with_capacity(schemes.len());
    for &scheme in schemes {
        let (mut base, keeps_query) = origin(&cut, scheme, sites)?;
        if let Some(mark) = parsed.query.filter(|_| !keeps_query) {
            let reason = "the site's key policy changes queries, which cannot be applied to a regex that names one";
            return Err(SelectorError::malformed(reason).at(mark));
        }
        base.push(b'/');
        if matches!(pattern, "" | ".*") {
            shapes.push(Shape::Span(Span::everything_below(base)));
            continue;
        }
        let start = base.len();
        if target == Target::Url
            && let Some(simple) = literals::simplify(&parsed.hir)
        {
            let source = source(&base, pattern);
            simplified(simple, &base, source, &mut shapes)?;
            continue;
        }
        let source = source(&base, pattern);
        let (begin, tail) = split(&parsed.hir);
        // What is filed under must be of the URL part; where the regex looks at the variation too, it may end at an `@`.
        let cut = begin.iter().position(|&b| b == b'@' && target == Target::Key).unwrap_or(begin.len());
        let (filed_under, behind) = begin.split_at_checked(cut).unwrap_or((&begin, &[]));
        let filed = start.saturating_add(filed_under.len());
        let dir = directory(&[&base, filed_under].concat(), start);
        literal_prefix(&parsed.hir, &mut base);
        let required = literals::required(&tail).into_iter().chain([behind.to_vec()]).max_by_key(Vec::len);
        let required = required.filter(|literal| literal.len() >= MIN_REQUIRED).unwrap_or_default();
        let suffix = literals::suffix(&tail).filter(|_| target == Target::Url).unwrap_or_default();
        let places = (base, start, dir, filed.max(dir));
        let engine = engine(&parsed)?;
        shapes.push(Shape::Residual(Box::new(Program::regex(target, places, engine, (required, suffix), source))));
    }
    Ok(shapes)
}

/// What tells one regex's program from another's.
fn source(base: &[u8], pattern: &str) -> Vec<u8> {
    [b"r", base, pattern.as_bytes()].concat()
}

/// What is nothing but literals and `.*`, or a few literals, is what a pattern could have said. The URL part is what it is matched against.
fn simplified(simple: Simple, base: &[u8], source: Vec<u8>, shapes: &mut Vec<Shape>) -> Result<(), SelectorError> {
    let with_base = |literal: &[u8]| [base, literal].concat();
    let literal = |literal: &[u8], closed: bool| {
        let text = with_base(literal);
        if closed {
            return Shape::Url(text.into());
        }
        let dir = directory(&text, base.len());
        Shape::Span(Span::new(text, dir, true, false, b""))
    };
    match simple {
        Simple::Literals { literals, closed } => shapes.extend(literals.iter().map(|text| literal(text, closed))),
        Simple::Runs { first, rest, closed } if rest.is_empty() => shapes.push(literal(&first, closed)),
        Simple::Runs { first, mut rest, closed } => {
            if !closed && rest.last().is_some_and(|last| !last.is_empty()) {
                rest.push(Vec::new());
            }
            let text = with_base(&first);
            let dir = directory(&text, base.len());
            shapes.push(match rest.as_slice() {
                [suffix] => Shape::Span(Span::new(text, dir, true, false, suffix)),
                _ => {
                    let rest: Vec<(bool, Vec<u8>)> = rest.into_iter().map(|literal| (true, literal)).collect();
                    let text = program::Part::pattern(text, &rest)?;
                    Shape::Residual(Box::new(Program::pattern(Target::Url, dir, text, None, source)))
                }
            });
        }
    }
    Ok(())
}

/// The literals an expression begins with, and the rest of it.
fn split(hir: &Hir) -> (Vec<u8>, Hir) {
    let mut hir = hir;
    while let HirKind::Capture(capture) = hir.kind() {
        hir = &capture.sub;
    }
    let mut literal = Vec::new();
    let HirKind::Concat(parts) = hir.kind() else { return (literal, hir.clone()) };
    let mut parts = parts.as_slice();
    while let Some((first, rest)) = parts.split_first() {
        let mut first = first;
        while let HirKind::Capture(capture) = first.kind() {
            first = &capture.sub;
        }
        let HirKind::Literal(text) = first.kind() else { break };
        literal.extend_from_slice(&text.0);
        parts = rest;
    }
    (literal, Hir::concat(parts.to_vec()))
}

fn engine(parsed: &Parsed) -> Result<Engine, SelectorError> {
    let limit = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
    match Automaton::new(&parsed.hir) {
        Ok(automaton) => Ok(Engine::Bits(Box::new(automaton))),
        Err(Unfit::LookAround) if parsed.positions <= MAX_LOOKING => {
            Ok(Engine::Lazy { regex: Box::new(build(&parsed.hir)?), positions: parsed.positions })
        }
        Err(Unfit::LookAround) => {
            Err(SelectorError::over_budget("positions of a regex with word boundaries", limit(MAX_LOOKING)))
        }
        Err(Unfit::Positions(most)) => Err(SelectorError::over_budget("regex positions", limit(most))),
        Err(Unfit::Work(most)) => Err(SelectorError::over_budget("steps of a regex for each byte", limit(most))),
        Err(Unfit::Memory(most)) => Err(SelectorError::over_budget("bytes of a compiled regex", most)),
    }
}

/// The longest directory a literal beginning names: slashes behind `?` or `@@` are none of the path.
fn directory(literal: &[u8], start: usize) -> usize {
    let tail = literal.get(start..).unwrap_or_default();
    let end = tail.iter().position(|&b| b == b'?').unwrap_or(tail.len());
    let end = end.min(memchr::memmem::find(tail, b"@@").unwrap_or(tail.len()));
    let slash = tail.get(..end).and_then(|path| memchr::memrchr(b'/', path));
    slash.map_or(start, |slash| start.saturating_add(slash).saturating_add(1))
}

/// Appends what everything that matches begins with; returns whether that is all of the expression.
fn literal_prefix(hir: &Hir, out: &mut Vec<u8>) -> bool {
    match hir.kind() {
        HirKind::Empty => true,
        HirKind::Literal(literal) => {
            out.extend_from_slice(&literal.0);
            true
        }
        HirKind::Capture(capture) => literal_prefix(&capture.sub, out),
        HirKind::Concat(parts) => parts.iter().all(|part| literal_prefix(part, out)),
        _ => false,
    }
}

fn build(hir: &Hir) -> Result<meta::Regex, SelectorError> {
    let config = meta::Config::new()
        .utf8_empty(false)
        .which_captures(regex_automata::nfa::thompson::WhichCaptures::None)
        .nfa_size_limit(Some(MAX_MEMORY))
        .onepass(false)
        .hybrid_cache_capacity(CACHE_BYTES);
    meta::Regex::builder().configure(config).build_from_hir(hir).map_err(|error| match error.size_limit() {
        Some(_) => SelectorError::over_budget("bytes of a compiled regex", MAX_MEMORY),
        None => SelectorError::malformed(format!("the regex cannot be compiled: {error}")),
    })
}

/// A regex within the limits.
struct Parsed {
    hir: Hir,
    positions: u32,
    /// Position of a literal `?`.
    query: Option<usize>,
}

fn parse(pattern: &str, at: usize, target: Target) -> Result<Parsed, SelectorError> {
    let position = |span: &ast::Span| at.saturating_add(span.start.offset);
    let tree =
        ast::parse::ParserBuilder::new().nest_limit(MAX_NESTING).empty_min_range(true).build().parse(pattern).map_err(
            |error| match error.kind() {
                ast::ErrorKind::NestLimitExceeded(_) => {
                    let limit = usize::try_from(MAX_NESTING).unwrap_or(usize::MAX);
                    SelectorError::over_budget("regex nesting", limit).at(position(error.span()))
                }
                kind => SelectorError::malformed(format!("not a regex of the supported subset: {kind}"))
                    .at(position(error.span())),
            },
        )?;
    let mut limits = Limits { at, target, unlimited: 0, ignores_case: false, query: None };
    let positions = limits.walk(&tree)?;
    let Some(positions) = u32::try_from(positions).ok().filter(|&own| own <= MAX_POSITIONS) else {
        let limit = usize::try_from(MAX_POSITIONS).unwrap_or(usize::MAX);
        return Err(SelectorError::over_budget("regex positions", limit));
    };
    let hir =
        TranslatorBuilder::new().unicode(false).utf8(false).build().translate(pattern, &tree).map_err(|error| {
            SelectorError::malformed(format!("not a regex of the supported subset: {}", error.kind()))
                .at(position(error.span()))
        })?;
    // `^` is the key's beginning, which is before the scheme.
    let hir = if hir.properties().look_set().contains(Look::Start) { never_at_start(&hir) } else { hir };
    Ok(Parsed { hir, positions, query: limits.query })
}

/// The same expression without what begins at the beginning of the text.
fn never_at_start(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Look(Look::Start) => Hir::fail(),
        HirKind::Capture(capture) => never_at_start(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(never_at_start).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(never_at_start).collect()),
        HirKind::Repetition(repetition) => Hir::repetition(repetition.with(never_at_start(&repetition.sub))),
        _ => hir.clone(),
    }
}

/// Counts a tree and looks for literals no key can match. Recursion is bounded by [`MAX_NESTING`] and the length of the text.
struct Limits {
    at: usize,
    target: Target,
    unlimited: usize,
    ignores_case: bool,
    query: Option<usize>,
}

impl Limits {
    fn position(&self, span: &ast::Span) -> usize {
        self.at.saturating_add(span.start.offset)
    }

    fn never(&self, what: &'static str, span: &ast::Span) -> SelectorError {
        SelectorError::malformed(what).at(self.position(span))
    }

    /// Positions of the tree when written out. What matches nothing counts one as well: a nest of it is as costly to expand.
    fn walk(&mut self, tree: &Ast) -> Result<u64, SelectorError> {
        Ok(match tree {
            Ast::Empty(_) | Ast::Assertion(_) | Ast::Dot(_) => 1,
            Ast::ClassUnicode(_) | Ast::ClassPerl(_) | Ast::ClassBracketed(_) => 1,
            Ast::Flags(set) => {
                self.flags(&set.flags)?;
                1
            }
            Ast::Literal(literal) => {
                self.literal(literal)?;
                1
            }
            Ast::Repetition(repetition) => {
                let copies = self.copies(&repetition.op)?;
                self.walk(&repetition.ast)?.saturating_mul(copies)
            }
            Ast::Group(group) => {
                let outside = self.ignores_case;
                if let ast::GroupKind::NonCapturing(flags) = &group.kind {
                    self.flags(flags)?;
                }
                let positions = self.walk(&group.ast)?;
                self.ignores_case = outside;
                positions
            }
            Ast::Alternation(alternation) => self.all(&alternation.asts)?,
            Ast::Concat(concat) => {
                let positions = self.all(&concat.asts)?;
                for (index, part) in concat.asts.iter().enumerate() {
                    if let Ast::Literal(literal) = part
                        && literal.c == '%'
                    {
                        self.escape(literal, concat.asts.get(index.saturating_add(1)..).unwrap_or_default())?;
                    }
                }
                positions
            }
        })
    }

    fn all(&mut self, parts: &[Ast]) -> Result<u64, SelectorError> {
        let mut sum = 0_u64;
        for part in parts {
            sum = sum.saturating_add(self.walk(part)?);
        }
        Ok(sum)
    }

    fn flags(&mut self, flags: &ast::Flags) -> Result<(), SelectorError> {
        if flags.flag_state(Flag::Unicode) == Some(true) {
            return Err(self.never("Unicode is not supported: keys are bytes", &flags.span));
        }
        self.ignores_case = flags.flag_state(Flag::CaseInsensitive).unwrap_or(self.ignores_case);
        Ok(())
    }

    fn copies(&mut self, op: &ast::RepetitionOp) -> Result<u64, SelectorError> {
        let (count, unlimited) = match &op.kind {
            RepetitionKind::ZeroOrOne => (1, false),
            RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => (1, true),
            RepetitionKind::Range(RepetitionRange::Exactly(count) | RepetitionRange::Bounded(_, count)) => {
                (*count, false)
            }
            RepetitionKind::Range(RepetitionRange::AtLeast(count)) => (*count, true),
        };
        if count > MAX_COUNT {
            let limit = usize::try_from(MAX_COUNT).unwrap_or(usize::MAX);
            return Err(
                SelectorError::over_budget("the number in a regex quantifier", limit).at(self.position(&op.span))
            );
        }
        if unlimited {
            self.unlimited = self.unlimited.saturating_add(1);
            if self.unlimited > MAX_UNLIMITED {
                return Err(SelectorError::over_budget("unlimited regex quantifiers", MAX_UNLIMITED)
                    .at(self.position(&op.span)));
            }
        }
        Ok(u64::from(count.max(1)))
    }

    fn literal(&mut self, literal: &ast::Literal) -> Result<(), SelectorError> {
        let byte = u8::try_from(u32::from(literal.c)).unwrap_or(0);
        let occurs = match self.target {
            Target::Key => canonical::is_raw(byte, Part::Variation) || byte == b'%',
            Target::Path | Target::Url => canonical::is_raw(byte, Part::Query) || byte == b'%',
        };
        if !occurs {
            return Err(self.never("this byte is percent-encoded in every key and can never match", &literal.span));
        }
        if byte == b'?' {
            let position = self.position(&literal.span);
            self.query.get_or_insert(position);
        }
        Ok(())
    }

    /// What follows a literal `%`, as far as it is literal, must be an escape a canonical key can hold.
    fn escape(&self, percent: &ast::Literal, rest: &[Ast]) -> Result<(), SelectorError> {
        let Some((high, whole)) = rest.first().and_then(first_byte) else { return Ok(()) };
        let upper = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'A'..=b'F');
        let fold = |byte: u8| if self.ignores_case { byte.to_ascii_uppercase() } else { byte };
        let low = rest.get(1).filter(|_| whole).and_then(first_byte).map(|(low, _)| low);
        for digit in std::iter::once(high).chain(low).map(fold) {
            if !upper(digit) {
                return Err(
                    self.never("a '%' is followed by two upper-case hexadecimal digits in every key", &percent.span)
                );
            }
        }
        if low.and_then(|low| canonical::unhex(high, low)).is_some_and(canonical::is_unreserved) {
            return Err(self.never("this byte is not percent-encoded in any key: write it as it is", &percent.span));
        }
        Ok(())
    }
}

/// The byte an expression's matches begin with if it is a literal, and whether it is just that once.
fn first_byte(tree: &Ast) -> Option<(u8, bool)> {
    match tree {
        Ast::Literal(literal) => u8::try_from(u32::from(literal.c)).ok().map(|byte| (byte, true)),
        Ast::Repetition(repetition) => {
            let present = match &repetition.op.kind {
                RepetitionKind::OneOrMore => true,
                RepetitionKind::Range(
                    RepetitionRange::Exactly(least)
                    | RepetitionRange::AtLeast(least)
                    | RepetitionRange::Bounded(least, _),
                ) => *least > 0,
                RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore => false,
            };
            first_byte(&repetition.ast).filter(|_| present).map(|(byte, _)| (byte, false))
        }
        _ => None,
    }
}
