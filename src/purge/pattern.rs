//! The grammar of patterns and globs: text to shapes.
//!
//! Literals are canonicalised piece by piece, each as it would be in a URL at that place: dot segments before the first wildcard are removed, later
//! ones have no meaning and are refused, as are a wildcard inside an escape and a `%` that starts none.

use super::error::SelectorError;
use super::program::{Part, Program, Target};
use super::selector::{Shape, schemes};
use super::span::Span;
use crate::key::canonical::{self, Part as UrlPart, Scheme, Stray};
use crate::key::{Key, MAX_KEY};
use crate::site::Sites;

/// How runs of `*` are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stars {
    /// `*` stops at a slash of the path, two or more cross everything.
    Native,
    /// Any run crosses everything.
    Crossing,
    /// Only the last run is a wildcard, read as `Native` reads it; those before it are literal.
    Last,
}

impl Stars {
    /// Where in `text` wildcards begin: an asterisk before that is literal.
    fn begin(self, text: &[u8]) -> usize {
        match (self, memchr::memrchr(b'*', text)) {
            (Self::Last, Some(last)) => {
                let run = text.get(..=last).map_or(0, |text| text.iter().rev().take_while(|&&b| b == b'*').count());
                last.saturating_add(1).saturating_sub(run)
            }
            _ => 0,
        }
    }
}

/// A canonical literal, then wildcards (whether they cross slashes), each with the canonical literal behind it.
#[derive(Debug, Default)]
struct Pieces {
    first: Vec<u8>,
    rest: Vec<(bool, Vec<u8>)>,
    /// Where the path ends in `first`.
    path_end: usize,
}

impl Pieces {
    fn len(&self) -> usize {
        self.rest.iter().fold(self.first.len(), |sum, (_, literal)| sum.saturating_add(literal.len()))
    }
}

/// A wildcard's length, the literal behind it and that literal's position.
type Token<'a> = (usize, &'a [u8], usize);

/// The first wildcard of a text at byte `at` of a selector whose wildcards begin at byte `begin`.
fn star(text: &[u8], at: usize, begin: usize) -> Option<usize> {
    let skip = begin.saturating_sub(at);
    memchr::memchr(b'*', text.get(skip..)?).map(|star| star.saturating_add(skip))
}

/// Cuts a text at its wildcards: the literal before the first, then each wildcard with the literal behind it.
fn tokens(text: &[u8], at: usize, begin: usize) -> (&[u8], Vec<Token<'_>>) {
    let end = star(text, at, begin).unwrap_or(text.len());
    let (first, mut rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    let mut tokens = Vec::new();
    while !rest.is_empty() {
        let stars = rest.iter().take_while(|&&b| b == b'*').count();
        let after = rest.get(stars..).unwrap_or_default();
        let end = memchr::memchr(b'*', after).unwrap_or(after.len());
        let (literal, next) = after.split_at_checked(end).unwrap_or((after, &[]));
        tokens.push((stars, literal, at.saturating_add(text.len().saturating_sub(after.len()))));
        rest = next;
    }
    (first, tokens)
}

/// Refuses a wildcard that stands right behind a begun escape.
fn whole_escapes(literal: &[u8], at: usize) -> Result<(), SelectorError> {
    match literal {
        [.., b'%'] => {}
        [.., b'%', digit] if digit.is_ascii_hexdigit() => {}
        _ => return Ok(()),
    }
    Err(SelectorError::malformed("a wildcard inside a percent-encoding").at(at.saturating_add(literal.len())))
}

/// The pieces of path and query.
fn target(text: &[u8], at: usize, stars: Stars, begin: usize) -> Result<Pieces, SelectorError> {
    let (first, tokens) = tokens(text, at, begin);
    let mut pieces = Pieces::default();
    let open = !tokens.is_empty();
    if open {
        whole_escapes(first, at)?;
    }
    let mark = memchr::memchr(b'?', first);
    let (path, query) = first.split_at_checked(mark.unwrap_or(first.len())).unwrap_or((first, &[]));
    if path.is_empty() {
        pieces.first.push(b'/');
    } else {
        canonical::push(&mut pieces.first, path, UrlPart::Path, Stray::Refuse, at)?;
        canonical::remove_dots(&mut pieces.first, 0, open && mark.is_none());
    }
    pieces.path_end = pieces.first.len();
    canonical::push(&mut pieces.first, query, UrlPart::Query, Stray::Refuse, at.saturating_add(path.len()))?;

    let mut in_query = mark.is_some();
    // Whether the path segment the wildcard stands in began with nothing but one dot.
    let mut dot_before = !in_query && pieces.first.ends_with(b"/.");
    let count = tokens.len();
    for (index, (run, literal, literal_at)) in tokens.into_iter().enumerate() {
        let last = index.saturating_add(1) == count;
        if !last {
            whole_escapes(literal, literal_at)?;
        }
        let mut out = Vec::with_capacity(literal.len());
        // Behind the path both kinds of wildcard are the same.
        let crossing = run > 1 || stars == Stars::Crossing || (mark.is_some() && in_query);
        if in_query {
            canonical::push(&mut out, literal, UrlPart::Query, Stray::Refuse, literal_at)?;
        } else {
            let mark = memchr::memchr(b'?', literal);
            let (path, query) = literal.split_at_checked(mark.unwrap_or(literal.len())).unwrap_or((literal, &[]));
            canonical::push(&mut out, path, UrlPart::Path, Stray::Refuse, literal_at)?;
            dot_before = no_dot_segments(&out, path, literal_at, last || mark.is_some(), dot_before)?;
            canonical::push(&mut out, query, UrlPart::Query, Stray::Refuse, literal_at.saturating_add(path.len()))?;
            in_query = mark.is_some();
        }
        pieces.rest.push((crossing, out));
    }
    if pieces.len() > MAX_KEY {
        return Err(SelectorError::too_large("key bytes", MAX_KEY));
    }
    Ok(pieces)
}

/// Refuses dot segments in the path behind a wildcard. `closed`: no wildcard follows in the path. Returns whether the text ends in a segment `.`.
fn no_dot_segments(
    canonical: &[u8],
    raw: &[u8],
    at: usize,
    closed: bool,
    dot_before: bool,
) -> Result<bool, SelectorError> {
    let is_slash = |b: &u8| *b == b'/';
    // An encoded slash stays encoded, so that both have the same segments.
    let mut segments = canonical.split(is_slash).zip(raw.split(is_slash)).enumerate().peekable();
    let mut position = at;
    while let Some((index, (segment, raw))) = segments.next() {
        let last = segments.peek().is_none();
        let whole = !last || closed;
        let dots = if index == 0 { dot_before && segment == b"." } else { matches!(segment, b"." | b"..") };
        if dots && whole {
            return Err(SelectorError::malformed("a dot segment after a wildcard").at(position));
        }
        if last {
            return Ok(index > 0 && segment == b".");
        }
        position = position.saturating_add(raw.len()).saturating_add(1);
    }
    Ok(false)
}

/// The pieces of a variation.
fn variation(text: &[u8], at: usize, begin: usize) -> Result<Part, SelectorError> {
    if matches!(text.first(), None | Some(b'@')) {
        return Err(SelectorError::malformed("a variation is not empty and does not begin with '@'").at(at));
    }
    let (first, tokens) = tokens(text, at, begin);
    let mut literal = Vec::with_capacity(first.len());
    if !tokens.is_empty() {
        whole_escapes(first, at)?;
    }
    canonical::push(&mut literal, first, UrlPart::Variation, Stray::Refuse, at)?;
    let mut rest = Vec::with_capacity(tokens.len());
    let count = tokens.len();
    for (index, (_, piece, piece_at)) in tokens.into_iter().enumerate() {
        if index.saturating_add(1) < count {
            whole_escapes(piece, piece_at)?;
        }
        let mut out = Vec::with_capacity(piece.len());
        canonical::push(&mut out, piece, UrlPart::Variation, Stray::Refuse, piece_at)?;
        // A variation has no path: every wildcard crosses.
        rest.push((true, out));
    }
    Part::pattern(literal, &rest)
}

/// Compiles a pattern. O(text).
pub(super) fn compile(text: &[u8], stars: Stars, sites: &Sites) -> Result<Vec<Shape>, SelectorError> {
    let separator = canonical::separator(text);
    let url = separator.and_then(|at| text.get(..at)).unwrap_or(text);
    let behind = separator.map(|at| at.saturating_add(2)).and_then(|at| Some((text.get(at..)?, at)));
    let cut = canonical::cut(url)?;
    let schemes = schemes(cut.scheme)?;
    let begin = stars.begin(text);
    let many = stars == Stars::Native && cut.authority.starts_with(b"*.");
    let authority_star = memchr::memchr(b'*', cut.authority.get(if many { 1 } else { 0 }..).unwrap_or_default());
    if let Some(star) = authority_star.map(|at| at.saturating_add(usize::from(many))) {
        let at = cut.authority_at.saturating_add(star);
        return Err(SelectorError::malformed("a wildcard in the host or port").at(at));
    }
    let (path_and_query, fragment) = match memchr::memchr(b'#', cut.target) {
        Some(hash) => cut.target.split_at_checked(hash).unwrap_or((cut.target, &[])),
        None => (cut.target, &[][..]),
    };
    if let Some(star) = memchr::memchr(b'*', fragment) {
        let at = cut.target_at.saturating_add(path_and_query.len()).saturating_add(star);
        return Err(SelectorError::malformed("a wildcard in the fragment, which is no part of a key").at(at));
    }
    if many {
        return below(&cut, path_and_query, behind, sites);
    }
    let wild = star(path_and_query, cut.target_at, begin).is_some();
    let wild_behind = behind.is_some_and(|(variation, at)| star(variation, at, begin).is_some());
    let pieces = if wild { Some(target(path_and_query, cut.target_at, stars, begin)?) } else { None };

    let mut shapes = Vec::with_capacity(schemes.len());
    for &scheme in schemes {
        let variation = match behind {
            Some((text, at)) if wild || wild_behind => Some(variation(text, at, begin)?),
            _ => None,
        };
        let Some(pieces) = &pieces else {
            let literal = if wild_behind { None } else { behind };
            let key = sites.rewrite(Key::read_url(url, literal, Some(scheme), Stray::Refuse)?)?;
            let key = key.as_ref();
            shapes.push(match (behind, variation) {
                (_, Some(variation)) => {
                    let slash =
                        key.text().get(..usize::from(key.layout().path_end)).and_then(|t| memchr::memrchr(b'/', t));
                    let dir = slash.map_or(0, |at| at.saturating_add(1));
                    let text = Part::pattern(key.url().to_vec(), &[])?;
                    let source = source(scheme, stars, cut.authority, url, behind);
                    Shape::Residual(Box::new(Program::pattern(Target::Url, dir, text, Some(variation), source)))
                }
                (Some(_), None) => Shape::Key(key.text().into()),
                (None, None) => Shape::Url(key.url().into()),
            });
            continue;
        };
        let mark = memchr::memchr(b'?', path_and_query);
        let (base, keeps_query) = origin(&cut, scheme, sites)?;
        if let Some(mark) = mark.filter(|_| !keeps_query) {
            let reason = "the site's key policy changes queries, which cannot be applied to a pattern with a wildcard in or before its query";
            return Err(SelectorError::malformed(reason).at(cut.target_at.saturating_add(mark)));
        }
        // What ends in a wildcard takes any query either way.
        let open = pieces.rest.last().is_some_and(|(_, literal)| literal.is_empty());
        let by_path = match stars {
            Stars::Native => mark.is_none() && behind.is_none(),
            Stars::Crossing => false,
            Stars::Last => open && mark.is_none() && behind.is_none(),
        };
        let source = source(scheme, stars, &base, path_and_query, behind);
        shapes.push(shape(base, pieces, by_path, variation, source)?);
    }
    Ok(shapes)
}

/// The canonical `scheme://host[:port]` under which a selector's keys are, and whether its site keeps queries.
pub(super) fn origin(
    cut: &canonical::Cut<'_>,
    scheme: Scheme,
    sites: &Sites,
) -> Result<(Vec<u8>, bool), SelectorError> {
    let (name, digits, digits_at) = canonical::split_authority(cut.authority, cut.authority_at)?;
    let mut host = Vec::with_capacity(name.len());
    canonical::push_host(&mut host, name, cut.authority_at)?;
    let port = canonical::port(digits, cut.authority_at.saturating_add(digits_at))?;
    let place = sites.place(scheme, &host, port.filter(|&port| port != scheme.default_port()));
    let mut base = Vec::new();
    place.push(&mut base);
    Ok((base, place.keeps_query()))
}

/// What tells one pattern's program from another's.
fn source(scheme: Scheme, stars: Stars, base: &[u8], target: &[u8], behind: Option<(&[u8], usize)>) -> Vec<u8> {
    let kind = match stars {
        Stars::Native => b'p',
        Stars::Crossing => b'g',
        Stars::Last => b'l',
    };
    let variation = behind.map(|(text, _)| text);
    let mut source = vec![kind];
    source.extend([scheme.prefix(), base, target].concat());
    if let Some(variation) = variation {
        source.extend_from_slice(b"@@");
        source.extend_from_slice(variation);
    }
    source
}

/// The narrowest shape of a pattern with a wildcard in its URL part.
fn shape(
    mut text: Vec<u8>,
    pieces: &Pieces,
    by_path: bool,
    variation: Option<Part>,
    source: Vec<u8>,
) -> Result<Shape, SelectorError> {
    let base = text.len();
    text.extend_from_slice(&pieces.first);
    let slash = pieces.first.get(..pieces.path_end).and_then(|path| memchr::memrchr(b'/', path)).unwrap_or(0);
    let dir = base.saturating_add(slash).saturating_add(1);
    if let ([(crossing, suffix)], None) = (pieces.rest.as_slice(), &variation) {
        return Ok(Shape::Span(Span::new(text, dir, *crossing, by_path, suffix)));
    }
    let target = if by_path { Target::Path } else { Target::Url };
    let text = Part::pattern(text, &pieces.rest)?;
    Ok(Shape::Residual(Box::new(Program::pattern(target, dir, text, variation, source))))
}

/// A pattern of every host below a name, and of those hosts by name whose site rewrites what is asked of them.
fn below(
    cut: &canonical::Cut<'_>,
    target_text: &[u8],
    behind: Option<(&[u8], usize)>,
    sites: &Sites,
) -> Result<Vec<Shape>, SelectorError> {
    let at = cut.authority_at.saturating_add(2);
    let authority = cut.authority.get(2..).unwrap_or_default();
    let (name, digits, digits_at) = canonical::split_authority(authority, at)?;
    let mut host = Vec::with_capacity(name.len());
    canonical::push_host(&mut host, name, at)?;
    if host.first() == Some(&b'[') {
        return Err(SelectorError::malformed("nothing is below an address").at(at));
    }
    let port = canonical::port(digits, at.saturating_add(digits_at))?;
    let pieces = target(target_text, cut.target_at, Stars::Native, 0)?;
    let mark = memchr::memchr(b'?', target_text);
    let rewritten = sites.rewritten_below(&host);
    if let Some(mark) = mark.filter(|_| !sites.place_of_others(Scheme::Http).keeps_query()) {
        let reason = "the key policy of hosts without a site of their own changes queries, which cannot be applied to a pattern of many hosts";
        return Err(SelectorError::malformed(reason).at(cut.target_at.saturating_add(mark)));
    }
    let wild = !pieces.rest.is_empty() || behind.is_some_and(|(text, _)| memchr::memchr(b'*', text).is_some());
    let by_path = wild && mark.is_none() && behind.is_none();
    let mut shapes = Vec::new();
    for &scheme in schemes(cut.scheme)? {
        let target = if by_path { Target::Path } else { Target::Url };
        let source = source(scheme, Stars::Native, authority, target_text, behind);
        let of = |scheme, name: &[u8], itself, except: Vec<Box<[u8]>>| -> Result<Shape, SelectorError> {
            let variation = behind.map(|(text, at)| variation(text, at, 0)).transpose()?;
            let text = Part::pattern(pieces.first.clone(), &pieces.rest)?;
            let program = Box::new(Program::pattern(target, 0, text, variation, source.clone()));
            Ok(Shape::Below { scheme, name: name.into(), itself, port, except: except.into(), program })
        };
        let scheme_of_others = sites.place_of_others(scheme).scheme;
        if scheme_of_others == scheme {
            shapes.push(of(scheme, &host, false, Vec::new())?);
        } else {
            // Where hosts without a site of their own merge schemes, those whose site does not are still asked by their own.
            shapes.push(of(scheme_of_others, &host, false, sites.unmerged_below(&host))?);
            shapes.push(of(scheme, &host, false, Vec::new())?);
        }
        for named in &rewritten {
            if port.is_none() && mark.is_none() {
                // Of every port too; without a query no policy has a say.
                let place = sites.place(scheme, named, None);
                shapes.push(of(place.scheme, &place.host, true, Vec::new())?);
                continue;
            }
            let mut text = [scheme.prefix(), named].concat();
            if let Some(port) = port {
                text.extend_from_slice(format!(":{port}").as_bytes());
            }
            text.extend_from_slice(target_text);
            if let Some((variation, _)) = behind {
                text.extend_from_slice(b"@@");
                text.extend_from_slice(variation);
            }
            shapes.extend(compile(&text, Stars::Native, sites)?);
        }
    }
    Ok(shapes)
}
